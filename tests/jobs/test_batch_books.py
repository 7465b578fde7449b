"""The batch on books of every kind: small, empty, hostile, full of duplicates; and processes at once."""

from __future__ import annotations

import csv
import dataclasses
import logging
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from overdue_ml import cli
from overdue_ml.errors import FeatureMismatchError, NothingToScoreError, OverdueMLError, RecordsError
from overdue_ml.jobs.cards import CardBook
from overdue_ml.jobs.explain import run_explain, write_cards
from overdue_ml.jobs.export import run_export
from overdue_ml.jobs.prepare import run_prepare
from overdue_ml.jobs.score import run_score
from overdue_ml.records.dates import parse_date

from .batches import copy_records, first_customers, names, settings, tree
from .conftest import AS_OF, digests

RUN = "as_of=2005-09-30"


@pytest.fixture(scope="module")
def prepared(few, tmp_path_factory):
    """The few in three buckets."""
    return run_prepare(few, tmp_path_factory.mktemp("books") / "prepared", n_buckets=3).path


@pytest.fixture(scope="module")
def whole(prepared, champion, tmp_path_factory):
    """An undisturbed run."""
    return run_score(prepared, AS_OF, champion, tmp_path_factory.mktemp("whole"), settings())


def without_manifest(folder: Path) -> dict[str, str]:
    """Every file but the manifest, which says where records and model were read."""
    return {name: digest for name, digest in digests(folder).items() if name != "manifest.json"}


class TestAtOnce:
    """Processes that begin at the same moment."""

    SCRIPT = """
import sys
from pathlib import Path
from overdue_ml.config import RemindersConfig, ScoreConfig
from overdue_ml.jobs.export import load_export
from overdue_ml.jobs.score import ScoreSettings, run_score
from overdue_ml.records.dates import parse_date
export, source, out, explain = sys.argv[1:]
registered, _ = load_export(Path(export))
settings = ScoreSettings(ScoreConfig(explain=explain), RemindersConfig(lead_days=31))
print("ready", flush=True)
sys.stdin.readline()
result = run_score(Path(source), parse_date("2005-09-30"), registered, Path(out), settings)
print(result.folder.name, result.already_done)
"""

    def together(self, line, source, root, explains) -> list[str]:
        run_export(line.models, "overdue@champion", root / "export")
        base = [sys.executable, "-c", self.SCRIPT, root / "export", source, root / "out"]
        processes = [
            subprocess.Popen(
                [*map(str, base), explain], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for explain in explains
        ]
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        said = [process.communicate(timeout=120)[0].strip() for process in processes]
        assert [process.returncode for process in processes] == [0] * len(processes)
        return said

    def test_of_one_run_one_does_it_and_another_run_of_the_date_finds_its_own_place(
        self, line, prepared, whole, tmp_path
    ):
        said = self.together(line, prepared, tmp_path, ["all", "all", "none"])
        ours = {told.split()[0] for told in said[:2]}
        assert sorted(told.split()[1] for told in said[:2]) == ["False", "True"]
        assert len(ours) == 1
        assert said[2].split() == [({RUN, f"{RUN}.run2"} - ours).pop(), "False"]
        out = tmp_path / "out"
        assert without_manifest(out / ours.pop()) == without_manifest(whole.folder)
        assert "contributions.parquet" not in names(out / said[2].split()[0])
        assert names(out) == [RUN, f"{RUN}.run2"]


class TestSmallBooks:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_one_customer(self, few, champion, whole, tmp_path, workers):
        records = first_customers(few, tmp_path / "records", 1)
        source = run_prepare(records, tmp_path / "prepared", n_buckets=5).path
        one = run_score(records, AS_OF, champion, tmp_path / "a", settings())
        cut = run_score(source, AS_OF, champion, tmp_path / "b", settings(workers=workers))
        assert without_manifest(one.folder) == without_manifest(cut.folder)
        scores = pd.read_parquet(cut.folder / "scores.parquet")
        assert scores["rank"].tolist() == [1]
        everybody = pd.read_parquet(whole.folder / "scores.parquet").set_index("customer_id")
        same = [name for name in everybody.columns if name != "rank"]
        now = scores.set_index("customer_id")
        pd.testing.assert_frame_equal(now[same], everybody.loc[now.index, same], check_exact=True)

    def test_nothing_is_due(self, prepared, champion, tmp_path):
        """At the end of November the last statements' dues have passed."""
        result = run_score(prepared, parse_date("2005-11-30"), champion, tmp_path, settings(explain="listed"))
        assert result.manifest["n_reminders"] == 0
        assert result.manifest["suppressed"] == {"nothing_due": 300}
        assert result.manifest["n_explained"] == 0
        assert len(pd.read_csv(result.folder / "reminders.csv")) == 0
        assert len(pd.read_parquet(result.folder / "suppressed.parquet")) == 300
        assert not (result.folder / "contributions.parquet").exists()

    def test_room_for_nobody(self, prepared, champion, whole, tmp_path):
        result = run_score(prepared, AS_OF, champion, tmp_path, settings(reminders={"capacity": 0}))
        n = whole.manifest["n_reminders"]
        assert n > 0
        assert (result.manifest["n_reminders"], result.manifest["suppressed"]["over_capacity"]) == (0, n)
        columns = pd.read_parquet(whole.folder / "reminders.parquet").dtypes
        assert (
            pd.read_parquet(result.folder / "reminders.parquet")
            .dtypes.astype(str)
            .equals(columns.astype(str))
        )

    def test_everybody_opted_out(self, few, champion, tmp_path):
        records = copy_records(
            few, tmp_path / "records", customers=lambda frame: frame.assign(no_contact="yes")
        )
        rules = {"exclusions": [{"rule": "opted_out", "column": "no_contact"}]}
        source = run_prepare(records, tmp_path / "prepared", n_buckets=4).path
        result = run_score(source, AS_OF, champion, tmp_path / "out", settings(reminders=rules))
        assert result.manifest["suppressed"] == {"opted_out": 300}
        assert result.manifest["n_reminders"] == 0

    def test_nobody_is_known_yet(self, prepared, champion, tmp_path):
        with pytest.raises(NothingToScoreError, match="nothing is known of any customer"):
            run_score(prepared, parse_date("2004-12-31"), champion, tmp_path / "out", settings(workers=2))
        assert not (tmp_path / "out").exists()


class TestDuplicates:
    @pytest.fixture
    def doubled(self, few, tmp_path):
        """Each row of customers twice, and each customer with a second account that has no statement."""
        return copy_records(
            few,
            tmp_path / "records",
            customers=lambda frame: pd.concat([frame, frame.head(1)]),
            accounts=lambda frame: pd.concat([frame, frame.assign(account_id="2-" + frame["account_id"])]),
        )

    def test_a_customer_with_many_rows_is_scored_once(self, doubled, champion, tmp_path):
        given = settings()
        given = dataclasses.replace(
            given, records=given.records.model_copy(update={"max_rejected_share": 0.01})
        )
        result = run_score(doubled, AS_OF, champion, tmp_path / "a", given)
        scores = pd.read_parquet(result.folder / "scores.parquet")
        assert len(scores) == 300
        assert scores["customer_id"].is_unique
        assert sorted(scores["rank"]) == list(range(1, 301))
        rejected = pd.read_parquet(result.folder / "rejected" / "customers.parquet")
        assert rejected["rule"].tolist() == ["row_repeated"]
        # Prepared, the same: also the rows that were rejected then.
        source = run_prepare(doubled, tmp_path / "prepared", given.records, 3).path
        cut = run_score(source, AS_OF, champion, tmp_path / "b", settings(workers=2))
        assert without_manifest(result.folder) == without_manifest(cut.folder)
        assert cut.manifest["run_key"] == result.manifest["run_key"]

    def test_too_many_are_too_many_from_whichever_buckets(self, doubled, champion, tmp_path):
        """One of 301 rows is more than a tenth of a percent."""
        with pytest.raises(RecordsError, match="1 of 301 rows of 'customers' were rejected"):
            run_score(doubled, AS_OF, champion, tmp_path / "out", settings())
        given = settings().records.model_copy(update={"max_rejected_share": 0.01})
        source = run_prepare(doubled, tmp_path / "raw", given, 2).path
        path = source / "customers" / "bucket=00000" / "part-00000.parquet"
        table = pq.read_table(path)
        pq.write_table(pq.read_table(path).take(np.r_[0, 0 : table.num_rows]), path)
        (source / "buckets.json").write_text('{"n_buckets": 2}')
        with pytest.raises(RecordsError, match="1 of 301 rows of 'customers' were rejected") as caught:
            run_score(source, AS_OF, champion, tmp_path / "out", settings(workers=2))
        assert caught.value.exit_code == 3
        assert not (tmp_path / "out" / RUN).exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_model_of_other_features_is_refused_wherever_it_scores(few, champion, tmp_path, workers):
    def without(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.drop(columns="paid_amount")

    records = copy_records(few, tmp_path / "records", statements=without)
    source = run_prepare(records, tmp_path / "prepared", n_buckets=3).path
    with pytest.raises(FeatureMismatchError, match=r"statements\.paid_amount") as caught:
        run_score(source, AS_OF, champion, tmp_path / "out", settings(workers=workers))
    assert caught.value.exit_code == 4
    assert not (tmp_path / "out" / RUN).exists()


HOSTILE = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "@SUM(1)",
    "\uff1d1",
    "-2",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    "C:\\con",
    "x" * 10_000,
    "\U0001f600",
    "two\nlines",
    "tab\there",
    'comma, "quote"',
    "007",
    "NA",
    "123456789012345678",
    "{{ 7 * 7 }}",
    "%s %d {0}",
    "'; DROP TABLE accounts; --",
    "e\u0301",
    "\u00e9",
]


class TestHostileIds:
    @pytest.fixture(scope="class")
    @classmethod
    def renamed(cls, few, tmp_path_factory):
        """The first customers under other names."""
        first = pd.read_csv(few / "customers.csv", dtype=str)["customer_id"].head(len(HOSTILE))
        names = dict(zip(first, HOSTILE, strict=True))

        def rename(frame: pd.DataFrame) -> pd.DataFrame:
            return frame.assign(customer_id=frame["customer_id"].map(lambda i: names.get(i, i)))

        root = tmp_path_factory.mktemp("hostile") / "records"
        return copy_records(few, root, customers=rename, accounts=rename, labels=rename), names

    @pytest.fixture(scope="class")
    @classmethod
    def result(cls, renamed, champion, tmp_path_factory):
        everybody = {"tiers": ["high", "medium", "low"], "min_probability": 0.0}
        out = tmp_path_factory.mktemp("hostile") / "out"
        return run_score(renamed[0], AS_OF, champion, out, settings(reminders=everybody))

    def test_they_are_scored_as_anybody(self, renamed, result, whole):
        scores = pd.read_parquet(result.folder / "scores.parquet").set_index("customer_id")
        before = pd.read_parquet(whole.folder / "scores.parquet").set_index("customer_id")
        assert set(HOSTILE) <= set(scores.index)
        assert len(scores) == 300
        same = [name for name in before.columns if name != "rank"]
        now = scores.loc[list(renamed[1].values()), same].reset_index(drop=True)
        then = before.loc[list(renamed[1]), same].reset_index(drop=True)
        pd.testing.assert_frame_equal(now, then, check_exact=True)
        assert scores.index.is_monotonic_increasing

    def test_from_any_buckets_and_workers(self, renamed, result, champion, tmp_path):
        source = run_prepare(renamed[0], tmp_path / "prepared", n_buckets=4).path
        everybody = {"tiers": ["high", "medium", "low"], "min_probability": 0.0}
        cut = run_score(source, AS_OF, champion, tmp_path / "out", settings(reminders=everybody, workers=2))
        assert without_manifest(cut.folder) == without_manifest(result.folder)
        assert names(tmp_path / "out") == [RUN]
        assert names(tmp_path) == ["out", "prepared"]

    def test_no_cell_of_a_csv_is_a_formula_and_no_id_is_lost(self, result):
        for name in ("reminders", "watch_list", "treatment"):
            with (result.folder / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
                rows = list(csv.reader(stream))
            starts = tuple("=+-@\t\r\n\uff1d")
            cells = {cell for row in rows for cell in row}
            assert not [c[:20] for c in cells if c.startswith(starts) and not _is_number(c)]
        with (result.folder / "reminders.csv").open(encoding="utf-8", newline="") as stream:
            listed = {row["customer_id"] for row in csv.DictReader(stream)}
        truly = set(pd.read_parquet(result.folder / "reminders.parquet")["customer_id"])
        assert {i for i in listed if i in truly} | {f"'{i}" for i in truly - listed} == listed

    def test_cards_stay_in_their_folder_and_run_nothing(self, result):
        root = result.folder.parent.parent
        before = {p for p in root.rglob("*") if result.folder / "cards" not in p.parents}
        cards = write_cards(CardBook(result.folder), HOSTILE)
        assert len({card.path for card in cards}) == len(HOSTILE)
        for customer_id, card in zip(HOSTILE, cards, strict=True):
            assert card.path.parent == result.folder / "cards"
            text = card.path.read_text(encoding="utf-8")
            assert "<script>alert" not in text
            assert "<img src=x" not in text
            assert ("{{ 7 * 7 }}" in text) == (customer_id == "{{ 7 * 7 }}")
        after = {p for p in root.rglob("*") if result.folder / "cards" not in p.parents}
        assert after - before <= {result.folder / "cards"}

    def test_an_unknown_one_is_cut_short_in_the_error(self, result):
        with pytest.raises(OverdueMLError, match="was not scored in this run") as caught:
            run_explain(result.folder, "y" * 10_000)
        assert len(str(caught.value)) < 300


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


NAME, PHONE, NOTE = "Zanzibar Quuxworth", "+49 151 76543210", "owes his brother"


class TestPersonalData:
    """Planted in columns that the records may have and nobody asked for; ids of rows are no secret."""

    @pytest.fixture
    def records(self, few, tmp_path):
        return copy_records(
            few,
            tmp_path / "records",
            customers=lambda frame: frame.assign(full_name=NAME, phone=PHONE),
            accounts=lambda frame: frame.assign(note=NOTE),
        )

    def found_in(self, folder: Path) -> list[str]:
        """Files that hold any of it; tables are looked at unpacked."""
        found = []
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            text = path.read_bytes().decode("utf-8", errors="replace")
            if path.suffix == ".parquet":
                text += pq.read_table(path).to_pandas().to_csv()
            if any(word in text for word in (NAME, PHONE, NOTE)):
                found.append(str(path.relative_to(folder)))
        return found

    def score(self, records, line, out, *more) -> int:
        return cli.run(
            ["score", "--records", str(records), "--as-of", "2005-09-30", "--models", str(line.models),
             "--out", str(out), *more]
        )  # fmt: skip

    def quiet(self, capsys, caplog) -> str:
        """What was said, after it is made sure that none of it is anybody's."""
        said = "".join(capsys.readouterr()) + caplog.text
        assert not [word for word in (NAME, PHONE, NOTE) if word in said], said
        return said

    def test_a_run_holds_and_says_none_of_it(self, records, line, tmp_path, capsys, caplog):
        caplog.set_level(logging.DEBUG)
        models = tree(line.models)
        assert self.found_in(records) == ["accounts.csv", "customers.csv"]
        assert self.score(records, line, tmp_path / "out") == 0
        assert self.score(records, line, tmp_path / "out", "--explain", "listed", "--workers", "2") == 0
        assert "Scored 300 customers" in self.quiet(capsys, caplog)
        assert self.found_in(tmp_path / "out") == []
        assert tree(line.models) == models

    def test_no_error_tells_any_of_it(self, records, line, champion, tmp_path, capsys, caplog, monkeypatch):
        caplog.set_level(logging.DEBUG)
        frame = pd.read_csv(records / "accounts.csv", dtype=str)
        frame.loc[:9, "opened_on"] = NOTE
        frame.to_csv(records / "accounts.csv", index=False)
        assert self.score(records, line, tmp_path / "out") == 3
        assert "10 of 300 rows of 'accounts' were rejected" in self.quiet(capsys, caplog)
        broken = copy_records(
            records, tmp_path / "broken", statements=lambda f: f.drop(columns="paid_amount")
        )
        pd.read_csv(records / "accounts.csv", dtype=str).assign(opened_on="2004-01-05").to_csv(
            broken / "accounts.csv", index=False
        )
        assert self.score(broken, line, tmp_path / "out", "--workers", "2") == 4
        assert "paid_amount" in self.quiet(capsys, caplog)

        def bug(p, config):
            raise ValueError("a bug")

        whole = copy_records(broken, tmp_path / "whole", statements=lambda f: f.assign(paid_amount="1.0"))
        monkeypatch.setattr("overdue_ml.jobs.parts.compute_points", bug)
        with pytest.raises(ValueError, match="a bug") as caught:
            run_score(whole, AS_OF, champion, tmp_path / "out", settings())
        told = "".join(traceback.format_exception(caught.value))
        assert not [word for word in (NAME, PHONE, NOTE) if word in told]
        # Nor is a copy of the records left over, as other processes were given one.
        assert not (tmp_path / "out").exists()

    def test_rejected_rows_are_kept_whole_in_one_place(self, records, line, champion, tmp_path):
        frame = pd.read_csv(records / "accounts.csv", dtype=str)
        frame.loc[0, "opened_on"] = "never"
        frame.to_csv(records / "accounts.csv", index=False)
        given = settings()
        given = dataclasses.replace(
            given, records=given.records.model_copy(update={"max_rejected_share": 0.05})
        )
        result = run_score(records, AS_OF, champion, tmp_path / "out", given)
        assert self.found_in(result.folder) == ["rejected/accounts.parquet"]
