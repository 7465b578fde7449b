"""The batch: however a book is cut and carried out, the bytes are the same; runs stand beside each other."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from overdue_ml import cli
from overdue_ml.errors import ConfigError
from overdue_ml.jobs.cards import CardBook
from overdue_ml.jobs.change import run_change
from overdue_ml.jobs.explain import chosen_customers, run_explain, write_cards
from overdue_ml.jobs.overview import run_overview
from overdue_ml.jobs.prepare import run_prepare
from overdue_ml.jobs.replay import run_replay
from overdue_ml.jobs.score import ScoreResult, plan_score, run_score
from overdue_ml.records import Bucketed, bucket_of, load_records
from overdue_ml.records.dates import parse_date

from .batches import copy_records, names, settings, tree
from .conftest import AS_OF, digests

JULY = parse_date("2005-07-31")
#: Differs with where the records were read; everything else must not.
SOURCE = "records_source"


def manifest_of(folder: Path) -> dict:
    found = json.loads((folder / "manifest.json").read_text())
    found.pop(SOURCE)
    return found


def same(one: ScoreResult, other: ScoreResult) -> bool:
    """Whether two runs have the same bytes, but for where the records were read."""
    a, b = digests(one.folder), digests(other.folder)
    if one.manifest[SOURCE] != other.manifest[SOURCE]:
        a.pop("manifest.json"), b.pop("manifest.json")
    return a == b and manifest_of(one.folder) == manifest_of(other.folder)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("batch")


@pytest.fixture(scope="module")
def runs(few, champion, root):
    """One run for each way to explain, scored in one piece."""
    return {
        explain: run_score(few, AS_OF, champion, root / explain, settings(explain=explain))
        for explain in ("all", "listed", "none")
    }


@pytest.fixture(scope="module")
def prepared(few, root):
    """The book in one, three and seven buckets."""
    return {n: run_prepare(few, root / f"prepared{n}", n_buckets=n).path for n in (1, 3, 7)}


class TestSameBytes:
    @pytest.mark.parametrize(
        "batch",
        [
            {"customers_per_bucket": 100},
            {"customers_per_bucket": 43, "threads": 2},
            {"threads": 1},
            {"customers_per_bucket": 100, "workers": 2, "threads": 2},
            {"customers_per_bucket": 1},
        ],
        ids=str,
    )
    def test_however_records_are_cut(self, few, champion, runs, tmp_path, batch):
        records = few
        if batch.get("customers_per_bucket") == 1:
            # A bucket for each of a few customers.
            records = tmp_path / "records"
            shutil.copytree(few, records)
            accounts = pd.read_csv(few / "accounts.csv", dtype=str).head(9)
            accounts.to_csv(records / "accounts.csv", index=False)
            for name, key in (
                ("customers", "customer_id"),
                ("labels", "customer_id"),
                ("statements", "account_id"),
            ):
                frame = pd.read_csv(few / f"{name}.csv", dtype=str)
                frame[frame[key].isin(accounts[key])].to_csv(records / f"{name}.csv", index=False)
            whole = run_score(records, AS_OF, champion, tmp_path / "whole", settings())
        else:
            whole = runs["all"]
        assert same(run_score(records, AS_OF, champion, tmp_path / "out", settings(**batch)), whole)
        assert names(tmp_path / "out") == ["as_of=2005-09-30"]

    @pytest.mark.parametrize("n_buckets", [1, 3, 7])
    @pytest.mark.parametrize("workers", [1, 2])
    def test_from_prepared_buckets(self, prepared, champion, runs, tmp_path, n_buckets, workers):
        result = run_score(prepared[n_buckets], AS_OF, champion, tmp_path, settings(workers=workers))
        assert same(result, runs["all"])
        assert result.manifest["run_key"] == runs["all"].manifest["run_key"]
        assert names(tmp_path) == ["as_of=2005-09-30"]

    @pytest.mark.parametrize("explain", ["listed", "none"])
    def test_where_not_everybody_is_explained(self, few, prepared, champion, runs, tmp_path, explain):
        for i, (source, batch) in enumerate(
            [(few, {"customers_per_bucket": 100}), (prepared[3], {"workers": 2}), (prepared[7], {})]
        ):
            result = run_score(source, AS_OF, champion, tmp_path / str(i), settings(explain=explain, **batch))
            assert same(result, runs[explain])

    def test_records_in_memory_are_those_on_disk(self, few, champion, runs, tmp_path):
        records = load_records(few)
        assert same(
            run_score(records, AS_OF, champion, tmp_path, settings(customers_per_bucket=60)), runs["all"]
        )

    def test_buckets_of_another_program_give_the_same_scores(self, prepared, champion, runs, tmp_path):
        """Its fingerprint is of other bytes, so the key is another; what is computed is not."""
        raw = tmp_path / "raw"
        shutil.copytree(prepared[3], raw)
        (raw / "buckets.json").write_text('{"n_buckets": 3}')
        result = run_score(raw, AS_OF, champion, tmp_path / "out", settings(workers=2))
        theirs, ours = digests(result.folder), digests(runs["all"].folder)
        theirs.pop("manifest.json"), ours.pop("manifest.json")
        assert theirs == ours
        assert result.manifest["run_key"] != runs["all"].manifest["run_key"]

    def test_records_that_became_known_later_change_fingerprint_and_nothing_else(
        self, few, champion, tmp_path
    ):
        """July from records of July, and from those up to September: the same scores, reasons and lists."""
        then = tmp_path / "then"
        shutil.copytree(few, then)
        statements = pd.read_csv(few / "statements.csv", dtype=str)
        statements[statements["known_on"] <= "2005-07-31"].to_csv(then / "statements.csv", index=False)
        one = run_score(then, JULY, champion, tmp_path / "out", settings())
        other = run_score(few, JULY, champion, tmp_path / "out", settings())
        assert other.folder.name == "as_of=2005-07-31.run2"
        a, b = digests(one.folder), digests(other.folder)
        a.pop("manifest.json"), b.pop("manifest.json")
        assert a == b
        before, after = manifest_of(one.folder), manifest_of(other.folder)
        assert {key for key in before if before[key] != after[key]} == {"records_fingerprint", "run_key"}


class TestExplain:
    def tables(self, runs, explain) -> tuple[pd.DataFrame, pd.DataFrame]:
        folder = runs[explain].folder
        scores = pd.read_parquet(folder / "scores.parquet").set_index("customer_id")
        return scores, pd.read_parquet(folder / "contributions.parquet").set_index("customer_id")

    def reason_columns(self, scores) -> list[str]:
        return [name for name in scores.columns if name.startswith("reason_")]

    def test_listed_explains_exactly_the_listed_and_as_all_does(self, runs):
        every, whole = self.tables(runs, "all")
        scores, some = self.tables(runs, "listed")
        listed = pd.read_parquet(runs["listed"].folder / "reminders.parquet")["customer_id"]
        assert 0 < len(listed) < len(scores)
        assert some.index.tolist() == sorted(listed)
        pd.testing.assert_frame_equal(some, whole.loc[some.index], check_exact=True)
        columns = self.reason_columns(scores)
        assert len(columns) == 8
        pd.testing.assert_frame_equal(scores.loc[some.index], every.loc[some.index], check_exact=True)
        others = ~scores.index.isin(some.index)
        assert scores.loc[others, columns].isna().all().all()
        pd.testing.assert_frame_equal(
            scores.drop(columns=columns), every.drop(columns=columns), check_exact=True
        )
        assert runs["listed"].manifest["n_explained"] == len(listed)
        assert runs["listed"].manifest["base_log_odds"] == runs["all"].manifest["base_log_odds"]
        assert runs["listed"].manifest["largest_explanation_gap"] <= 1e-9

    def test_lists_are_the_same_but_for_the_reasons_of_those_not_explained(self, runs):
        for name in ("reminders.parquet", "reminders.csv", "suppressed.parquet"):
            assert digests(runs["listed"].folder)[name] == digests(runs["all"].folder)[name]

    def test_none_explains_nobody_and_says_so(self, runs):
        folder = runs["none"].folder
        scores = pd.read_parquet(folder / "scores.parquet")
        assert scores[self.reason_columns(scores)].isna().all().all()
        assert not (folder / "contributions.parquet").exists()
        assert (runs["none"].manifest["n_explained"], runs["none"].manifest["base_log_odds"]) == (0, None)
        with pytest.raises(ConfigError, match="was scored in this run, but not explained") as caught:
            run_explain(folder, scores["customer_id"].iloc[0])
        assert "--explain all" in str(caught.value)
        with pytest.raises(ConfigError, match="nobody was explained"):
            run_overview(folder)

    def test_a_card_of_somebody_listed_and_of_somebody_not(self, runs, tmp_path):
        listed = pd.read_parquet(runs["listed"].folder / "reminders.parquet")["customer_id"]
        scores = pd.read_parquet(runs["listed"].folder / "scores.parquet")
        other = scores.loc[~scores["customer_id"].isin(listed), "customer_id"].iloc[0]
        whole, some = (
            run_explain(runs[e].folder, listed.iloc[0], out=tmp_path / f"{e}.html") for e in ("all", "listed")
        )
        assert whole.path.read_bytes() == some.path.read_bytes()
        with pytest.raises(ConfigError, match="was scored in this run, but not explained"):
            run_explain(runs["listed"].folder, other)
        with pytest.raises(ConfigError, match="was not scored in this run"):
            run_explain(runs["listed"].folder, "nobody")
        book = CardBook(runs["listed"].folder)
        top = chosen_customers(book, None, 3)
        ranks = scores.set_index("customer_id")["rank"]
        assert top == ranks[ranks.index.isin(listed)].sort_values().index[:3].tolist()
        assert [result.card.customer_id for result in write_cards(book, top, tmp_path / "cards")] == top

    def test_change_needs_those_whom_it_compares(self, runs):
        listed = pd.read_parquet(runs["listed"].folder / "reminders.parquet")["customer_id"]
        n = runs["all"].manifest["n_customers"]
        with pytest.raises(ConfigError, match=rf"{n - len(listed)} of {n} customers were not explained"):
            run_change(runs["all"].folder, runs["listed"].folder)
        result = run_change(runs["all"].folder, runs["listed"].folder, listed.iloc[0])
        assert result.change.total.abs().max() == 0
        with pytest.raises(ConfigError, match="not explained"):
            run_change(runs["none"].folder, runs["all"].folder, listed.iloc[0])

    def test_a_score_without_reasons_is_replayed(self, runs, few, line):
        customer_id = pd.read_parquet(runs["none"].folder / "scores.parquet")["customer_id"].iloc[5]
        for explain in ("none", "listed", "all"):
            result = run_replay(runs[explain].folder, customer_id, AS_OF, few, line.models)
            assert (result.exit_code, result.differences) == (0, [])


class TestDryRun:
    def score(self, few, line, out, *more) -> list[str]:
        return [
            "score", "--records", str(few), "--as-of", "2005-09-30", "--models", str(line.models),
            "--out", str(out), *more,
        ]  # fmt: skip

    def test_it_says_what_would_be_done_and_writes_nothing(self, few, line, tmp_path, capsys):
        out = tmp_path / "out"
        models = tree(line.models)
        assert cli.run(self.score(few, line, out, "--dry-run")) == 0
        said = capsys.readouterr().out
        assert "1 of 1 bucket(s) would be scored." in said
        assert "Nothing was written." in said
        assert not out.exists()
        assert tree(line.models) == models
        # Nor is a folder of models made where a name is misspelt.
        args = self.score(few, line, out, "--dry-run", "--models", str(tmp_path / "modles"))
        assert cli.run(args) == 4
        assert "there are no models" in capsys.readouterr().err
        assert names(tmp_path) == []

    @pytest.mark.parametrize("source", ["few", "prepared"])
    @pytest.mark.parametrize(
        ("reminders", "said"),
        [
            ("rank_by: expected_benefit\nbenefits: {high: 0.1}", "for the tier 'medium' is not known"),
            ("exclusions: [{rule: vip, column: nosuch}]", "'nosuch' in 'customers' [exclusions, rule 'vip']"),
            (
                "exclusions: [{rule: vip, column: nosuch, table: accounts}]",
                "'nosuch' in 'accounts' [exclusions, rule 'vip']",
            ),
            ("exclusions: [{rule: vip, column: sex, until: nosuch}]", "'nosuch' in 'customers'"),
            ("exclusions: [{rule: vip, column: sex, known_on: nosuch}]", "'nosuch' in 'customers'"),
            (
                "channels: [{channel: sms}]\nchannel_column: nosuch",
                "'nosuch' in 'customers' [channel_column]",
            ),
            ("hours: {timezone_column: nosuch}", "'nosuch' in 'customers' [hours.timezone_column]"),
            ("technical_days: 30", "payments do not say which are technical"),
            (
                "alerts: [{indicator: nosuch, kind: crossed, threshold: 0.5, owner: risk}]",
                "no column of numbers 'nosuch'",
            ),
        ],
    )
    def test_what_a_run_would_refuse_is_refused_before_anything_is_scored(
        self, few, prepared, line, tmp_path, capsys, monkeypatch, source, reminders, said
    ):
        monkeypatch.setattr("overdue_ml.jobs.batch.Run.build", lambda *_: pytest.fail("somebody was scored"))
        records = few if source == "few" else prepared[7]
        (tmp_path / "reminders.yaml").write_text(reminders)
        args = self.score(records, line, tmp_path / "out", "--reminders-config", tmp_path / "reminders.yaml")
        for more in ([], ["--dry-run"]):
            assert cli.run([str(word) for word in [*args, *more]]) == 2
            assert said in capsys.readouterr().err
        assert names(tmp_path) == ["reminders.yaml"]

    def test_columns_that_are_there_are_taken(self, prepared, champion, tmp_path):
        named = {
            "exclusions": [{"rule": "vip", "column": "sex", "values": ["x"], "until": "age_years"}],
            "hours": {"timezone_column": "sex"},
            "channels": [{"channel": "sms"}],
            "channel_column": "sex",
        }
        plan = plan_score(prepared[7], AS_OF, champion, tmp_path / "out", settings(reminders=named))
        assert plan.n_buckets == 7

    @pytest.mark.parametrize("source", ["few", "prepared"])
    def test_a_date_on_which_nobody_is_known(self, few, prepared, line, tmp_path, capsys, source):
        records = few if source == "few" else prepared[7]
        args = self.score(records, line, tmp_path / "out", "--dry-run", "--as-of", "2004-12-31")
        assert cli.run(args) == 5
        assert "nothing is known of any customer on 2004-12-31" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_the_first_bucket_that_knows_somebody_is_enough(self, prepared, champion, tmp_path, monkeypatch):
        read = []
        load = Bucketed.load
        monkeypatch.setattr(Bucketed, "load", lambda *a, **o: read.append(a[1]) or load(*a, **o))
        plan_score(prepared[7], AS_OF, champion, tmp_path / "out", settings())
        assert read == [0]

    def test_of_a_run_that_stands_there(self, few, line, champion, tmp_path, capsys):
        out = tmp_path / "out"
        run_score(few, AS_OF, champion, out, settings(reminders={"lead_days": 14}))
        before = tree(out)
        assert cli.run(self.score(few, line, out, "--dry-run")) == 0
        assert "Already done, nothing would be written" in capsys.readouterr().out
        assert cli.run(self.score(few, line, out, "--dry-run", "--explain", "none", "--json")) == 0
        plan = json.loads(capsys.readouterr().out)
        assert plan["already_done"] is None
        assert plan["beside"] == [str(out / "as_of=2005-09-30")]
        assert (plan["n_buckets"], plan["n_ready"], plan["left_over"]) == (1, 0, [])
        assert tree(out) == before
        # And what it said comes true.
        assert cli.run(self.score(few, line, out, "--explain", "none")) == 0
        assert "No score is explained." in capsys.readouterr().out
        assert names(out) == ["as_of=2005-09-30", "as_of=2005-09-30.run2"]

    def test_of_a_run_that_was_begun(self, prepared, champion, tmp_path, monkeypatch):
        out = tmp_path / "out"
        with monkeypatch.context() as patch:
            patch.setattr("overdue_ml.jobs.assembly.decide", stop)
            for explain in ("all", "none"):
                with pytest.raises(KeyboardInterrupt):
                    run_score(prepared[7], AS_OF, champion, out, settings(explain=explain))
        (begun, other) = sorted(out.iterdir())
        before = tree(out)
        plan = plan_score(prepared[7], AS_OF, champion, out, settings())
        assert (plan.n_buckets, plan.n_ready, plan.done, plan.beside) == (7, 7, None, [])
        assert len(plan.left_over) == 1
        assert plan.left_over[0] in (begun, other)
        assert plan.run_key[:16] not in plan.left_over[0].name
        assert tree(out) == before


def stop(*_args) -> None:
    raise KeyboardInterrupt


class TestProgress:
    def test_stages_throughput_and_time_left_on_plain_lines(self, prepared, line, tmp_path, capsys):
        args = [
            "score", "--records", str(prepared[7]), "--as-of", "2005-09-30", "--models", str(line.models),
            "--out", str(tmp_path / "out"),
        ]  # fmt: skip
        assert cli.run(args) == 0
        out = capsys.readouterr()
        stages = [x for x in out.err.splitlines() if x.startswith("- ")]
        assert stages[0] == "- reading records"
        assert stages[1].startswith("- scoring 7 bucket(s)")
        assert stages[2] == "- ranking 300 customers"
        assert stages[-1] == "- writing"
        told = [x for x in out.err.splitlines() if x.startswith("  ")]
        assert [re.match(r"  (\d) of 7", x)[1] for x in told] == list("1234567")
        assert re.fullmatch(r"  3 of 7: [\d,]+ customers, [\d,]+ a second, \d+ s left", told[2])
        assert re.fullmatch(r"  7 of 7: 300 customers, [\d,]+ a second", told[6])

    def test_json_is_alone(self, prepared, line, tmp_path, capsys):
        args = [
            "score", "--records", str(prepared[3]), "--as-of", "2005-09-30", "--models", str(line.models),
            "--out", str(tmp_path / "out"), "--json",
        ]  # fmt: skip
        assert cli.run(args) == 0
        out = capsys.readouterr()
        assert out.err == ""
        assert json.loads(out.out)["n_customers"] == 300
        assert cli.run(args) == 0
        assert json.loads(capsys.readouterr().out)["already_done"] is True


def test_timings_say_what_was_done_and_are_no_part_of_the_result(runs):
    timings = json.loads((runs["all"].folder / "timings.json").read_text())
    assert timings["seconds"] > 0
    assert [[b, rows, was_there] for b, rows, _, was_there in timings["buckets"]] == [[0, 300, False]]
    assert "timings.json" not in runs["all"].manifest["files"]
    assert np.isfinite(timings["seconds"])


@pytest.mark.parametrize("spared", [1, 3])
def test_buckets_in_which_nothing_is_due_have_days_like_the_others(few, champion, tmp_path, spared):
    """Of three buckets one or all: pandas makes moments of days that are all missing."""
    owner = pd.read_csv(few / "accounts.csv", dtype=str).set_index("account_id")["customer_id"]
    bucket = pd.Series(bucket_of(pa.array(owner), 3), index=owner.index)

    def forget(statements):
        own = statements["account_id"].map(bucket) < spared
        return statements.assign(due_date=statements["due_date"].mask(own))

    records = copy_records(few, tmp_path / "records", statements=forget)
    whole = run_score(records, AS_OF, champion, tmp_path / "whole", settings())
    prepared = run_prepare(records, tmp_path / "prepared", n_buckets=3).path
    assert same(run_score(prepared, AS_OF, champion, tmp_path / "out", settings()), whole)
    due = pq.read_table(whole.folder / "scores.parquet").column("next_due_date")
    assert due.type == pa.date32()
    assert 0 < due.null_count < len(due) or spared == 3
    assert whole.manifest["n_reminders"] > 0 or spared == 3
