"""What reads finished runs: from records in buckets, and of several runs of a date the right one."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from overdue_ml.errors import ConfigError, OverdueMLError
from overdue_ml.jobs.cards import CardBook
from overdue_ml.jobs.change import run_change
from overdue_ml.jobs.explain import run_explain, write_cards
from overdue_ml.jobs.monitor import run_monitor
from overdue_ml.jobs.overview import run_overview
from overdue_ml.jobs.prepare import run_prepare
from overdue_ml.jobs.replay import run_replay
from overdue_ml.jobs.runs import earlier_runs, find_run, read_manifest
from overdue_ml.jobs.score import run_score
from overdue_ml.jobs.whatif import run_what_if
from overdue_ml.records import bucket_of
from overdue_ml.records.dates import parse_date
from overdue_ml.server.book import Book
from overdue_ml.server.runs import RunShelf

from .batches import names, settings, tree
from .conftest import AS_OF

JULY = parse_date("2005-07-31")


@pytest.fixture(scope="module")
def whole(few, champion, tmp_path_factory):
    """A run whose records were in one piece."""
    return run_score(few, AS_OF, champion, tmp_path_factory.mktemp("whole"), settings())


@pytest.fixture(scope="module", params=["prepared", "another program's"])
def run(request, few, champion, tmp_path_factory):
    """The same from buckets."""
    root = tmp_path_factory.mktemp("buckets")
    source = run_prepare(few, root / "records", n_buckets=7).path
    if request.param != "prepared":
        (source / "buckets.json").write_text('{"n_buckets": 7}')
    return run_score(source, AS_OF, champion, root / "out", settings())


@pytest.fixture(scope="module")
def late(few, tmp_path_factory):
    """The records with statements that were corrected since."""
    records = tmp_path_factory.mktemp("late") / "records"
    shutil.copytree(few, records)
    frame = pd.read_csv(records / "statements.csv", dtype=str)
    frame.loc[frame["statement_date"] == "2005-09-30", "paid_amount"] = "1.0"
    frame.to_csv(records / "statements.csv", index=False)
    return records


@pytest.fixture(scope="module")
def out(few, late, champion, tmp_path_factory):
    """July twice, September twice; the second each time from corrected records."""
    folder = tmp_path_factory.mktemp("beside") / "out"
    for records in (few, late):
        for day in (JULY, AS_OF):
            run_score(records, day, champion, folder, settings())
    return folder


class TestFromBuckets:
    """What reads a run finds its records also where they stand in buckets."""

    def test_cards_are_the_same(self, run, whole, tmp_path):
        ids = pd.read_parquet(run.folder / "scores.parquet")["customer_id"].iloc[[0, 17, 200]].tolist()
        for name, folder in (("buckets", run.folder), ("whole", whole.folder)):
            write_cards(CardBook(folder), ids, tmp_path / name)
        pages = [
            {p.name: re.sub("[0-9a-f]{12}", "", p.read_text()) for p in (tmp_path / name).iterdir()}
            for name in ("buckets", "whole")
        ]
        assert len(pages[0]) == 3
        assert pages[0] == pages[1]

    def test_what_if_and_replay(self, run, line):
        scores = pd.read_parquet(run.folder / "scores.parquet")
        customer_id = scores.sort_values("rank")["customer_id"].iloc[0]
        answer = run_what_if(run.folder, customer_id, line.models).answer
        assert answer.now.p_overdue == scores["p_overdue"].max()
        source = Path(run.manifest["records_source"])
        assert run_replay(run.folder, customer_id, AS_OF, source, line.models).differences == []

    def test_the_overview(self, run, whole, tmp_path):
        one = run_overview(run.folder, out=tmp_path / "a.html").overview
        other = run_overview(whole.folder, out=tmp_path / "b.html").overview
        pd.testing.assert_frame_equal(one.features, other.features, check_exact=True)

    def test_a_changed_part_is_no_card(self, run, tmp_path):
        source = tmp_path / "moved"
        shutil.copytree(run.manifest["records_source"], source)
        path = next((source / "statements" / "bucket=00003").glob("part-*"))
        pq.write_table(pq.read_table(path).slice(1), path)
        scores = pd.read_parquet(run.folder / "scores.parquet")
        here = scores["customer_id"][bucket_of(pa.array(scores["customer_id"]), 7) == 3]
        with pytest.raises(OverdueMLError, match=r"was changed|are not those that were scored") as caught:
            run_explain(run.folder, here.iloc[0], source=source)
        assert caught.value.exit_code == 3


class TestBeside:
    """A later run of a date, and who reads which."""

    def test_never_over_it(self, out, few, late, champion):
        assert names(out) == [
            "as_of=2005-07-31", "as_of=2005-07-31.run2", "as_of=2005-09-30", "as_of=2005-09-30.run2",
        ]  # fmt: skip
        before = tree(out)
        for records, name in ((few, "as_of=2005-09-30"), (late, "as_of=2005-09-30.run2")):
            again = run_score(records, AS_OF, champion, out, settings())
            assert (again.folder.name, again.already_done) == (name, True)
        assert tree(out) == before
        keys = {read_manifest(out / name)["records_fingerprint"] for name in names(out)[2:]}
        assert len(keys) == 2

    def test_of_one_date_the_last_run_is_found(self, out, tmp_path):
        with pytest.raises(ConfigError, match="scoring runs of 2 dates stand there"):
            find_run(out)
        assert find_run(out / "as_of=2005-09-30").name == "as_of=2005-09-30"
        for name in ("as_of=2005-09-30", "as_of=2005-09-30.run2"):
            shutil.copytree(out / name, tmp_path / name)
        shutil.copytree(tmp_path / "as_of=2005-09-30", tmp_path / "as_of=2005-09-30.run10")
        shutil.copytree(tmp_path / "as_of=2005-09-30", tmp_path / "as_of=2005-09-30.old")
        (tmp_path / "as_of=2005-10-31").mkdir()
        assert find_run(tmp_path).name == "as_of=2005-09-30.run10"
        with pytest.raises(ConfigError, match="there is no scoring run"):
            find_run(tmp_path / "as_of=2005-10-31")

    def test_a_card_tells_of_each_earlier_date_what_was_known_last(self, out):
        run = out / "as_of=2005-09-30.run2"
        found = [folder.name for folder, _ in earlier_runs(run, read_manifest(run))]
        assert found == ["as_of=2005-07-31", "as_of=2005-07-31.run2"]
        first, last = (
            pd.read_parquet(out / name / "scores.parquet").set_index("customer_id") for name in found
        )
        (customer_id,) = first.index[[11]]
        last.loc[customer_id, "p_overdue"] = 0.123
        last.reset_index().to_parquet(out / found[1] / "scores.parquet")
        (card,) = CardBook(run).make([customer_id])
        assert [(past.as_of, past.p_overdue) for past in card.past] == [(JULY, 0.123)]
        # Where the last one cannot be read the one before is told.
        (out / found[1] / "scores.parquet").write_text("damaged")
        (card,) = CardBook(run).make([customer_id])
        assert [past.p_overdue for past in card.past] == [first.loc[customer_id, "p_overdue"]]

    def test_readers_take_the_folder_they_are_given(self, out, late, line):
        run = out / "as_of=2005-09-30.run2"
        scores = pd.read_parquet(run / "scores.parquet").set_index("customer_id")
        before = pd.read_parquet(out / "as_of=2005-09-30" / "scores.parquet").set_index("customer_id")
        moved = (scores["p_overdue"] - before["p_overdue"]).abs().sort_values().index[-1]
        assert scores.loc[moved, "p_overdue"] != before.loc[moved, "p_overdue"]
        result = run_explain(run, moved)
        assert result.card.p_overdue == scores.loc[moved, "p_overdue"]
        assert result.path.is_relative_to(run)
        assert (
            run_what_if(run, moved, line.models, below=1e-9).answer.now.p_overdue
            == scores.loc[moved, "p_overdue"]
        )
        run_monitor(run, late)
        key = json.loads((run / "monitor.json").read_text())["run_key"]
        assert key == read_manifest(run)["run_key"]
        change = run_change(out / "as_of=2005-09-30", run, moved).change
        assert change.p_now.loc[moved] == scores.loc[moved, "p_overdue"]

    def test_the_page_shows_the_newest_first(self, out):
        shelf = RunShelf(out)
        assert [run.key for run in shelf.runs()] == [
            "2005-09-30.run2", "2005-09-30", "2005-07-31.run2", "2005-07-31",
        ]  # fmt: skip
        assert shelf.find("").key == "2005-09-30.run2"
        assert isinstance(shelf.book(shelf.find("2005-09-30.run2")), Book)
