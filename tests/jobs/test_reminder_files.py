"""The lists of a scoring run on disk: hostile ids, masks, counts, the watch list, and bytes that repeat."""

from __future__ import annotations

import csv
import datetime as dt
import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import pytest

from overdue_ml import cli
from overdue_ml.config import (
    AlertRule,
    BatchConfig,
    ExclusionRule,
    HoldoutConfig,
    RemindersConfig,
    ScoreConfig,
)
from overdue_ml.errors import ConfigError, OverdueMLError
from overdue_ml.jobs.lists import indicators_of
from overdue_ml.jobs.runs import newest_earlier
from overdue_ml.jobs.score import ScoreSettings, plan_score, run_score
from overdue_ml.jobs.text import scoring_text
from overdue_ml.records import compute_next_due, load_records
from overdue_ml.tracking import load_model, open_store

from .conftest import AS_OF

AUGUST = dt.date(2005, 8, 31)
N = 400
#: Ids as somebody with bad intentions, or a bad export, would choose them.
HOSTILE = (
    "=1+1", "+cmd|' /C calc'!A0", "-2", "@SUM(A1:A9)", "\tTAB", "＝1", "#N/A", "007",
    "<script>alert(1)</script>", "../../etc/passwd", "😀" * 2500, "客户甲", "_x0041_",
    'two "quotes", a comma',
)  # fmt: skip
#: Everybody with something due is listed.
ALL = {"lead_days": 31, "min_probability": 0.0, "tiers": ["high", "medium", "low"]}


def book(records: Path) -> dict[str, pd.DataFrame]:
    """Some customers of the book; the first with something due have hostile ids, a few are flagged."""
    frames = {path.stem: pd.read_csv(path, dtype=str) for path in sorted(records.glob("*.csv"))}
    del frames["labels"]
    accounts = frames["accounts"] = frames["accounts"].head(N)
    statements = frames["statements"]
    frames["statements"] = statements = statements[statements["account_id"].isin(accounts["account_id"])]
    last = statements[statements["statement_date"] == "2005-09-30"].set_index("account_id")
    owing = accounts[accounts["account_id"].map(last["balance_amount"]).astype(float) > 0]
    names = dict(zip(owing["customer_id"], HOSTILE, strict=False))
    customers = frames["customers"].merge(accounts[["customer_id"]])
    flags = ["no", "yes", "perhaps", None] * (len(customers) // 4)
    frames["customers"] = customers.assign(opted_out=flags)
    for name in ("customers", "accounts"):
        frames[name] = frames[name].assign(customer_id=[names.get(i, i) for i in frames[name]["customer_id"]])
    # Somebody of whom nothing is known yet, with a flag that nobody can read.
    stranger = {"customer_id": "STRANGER", "opted_out": "perhaps"}
    frames["customers"] = pd.concat([frames["customers"], pd.DataFrame([stranger])], ignore_index=True)
    return frames


@pytest.fixture(scope="module")
def records(line):
    return load_records(book(line.records))


@pytest.fixture(scope="module")
def registered(line):
    return load_model(open_store(line.models), "overdue@champion")


def settings(*, buckets=1, explain="all", **reminders):
    return ScoreSettings(
        score=ScoreConfig(explain=explain),
        reminders=RemindersConfig(**(ALL | reminders)),
        batch=BatchConfig(customers_per_bucket=-(-N // buckets)),
    )


FULL = {
    "excel": True,
    "exclusions": [ExclusionRule(rule="opted_out", column="opted_out")],
    "holdout": HoldoutConfig(share=0.3, campaign="autumn"),
}


@pytest.fixture(scope="module")
def hostile(records, registered, tmp_path_factory):
    """A run with every list, in one bucket."""
    return run_score(records, AS_OF, registered, tmp_path_factory.mktemp("hostile"), settings(**FULL))


@pytest.fixture(scope="module")
def out(records, registered, tmp_path_factory):
    """August, and then September with August before it."""
    out = tmp_path_factory.mktemp("watch")
    run_score(records, AUGUST, registered, out, settings())
    run_score(records, AS_OF, registered, out, settings())
    return out


def tables(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name != "timings.json"}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def frame_of(folder: Path, name: str) -> pd.DataFrame:
    return pq.read_table(folder / f"{name}.parquet", page_checksum_verification=True).to_pandas()


class TestFiles:
    def test_every_list_is_there(self, hostile):
        lists = {"reminders.parquet", "reminders.csv", "reminders.xlsx", "suppressed.parquet", "arms.parquet"}
        beside = {f"{name}.{kind}" for name in ("watch_list", "treatment") for kind in ("parquet", "csv")}
        assert (
            lists | beside
            <= set(tables(hostile.folder))
            == set(hostile.manifest["files"]) | {"manifest.json"}
        )

    def test_hostile_ids_are_whole_in_parquet_and_harmless_in_csv(self, hostile):
        ids = frame_of(hostile.folder, "scores")["customer_id"]
        assert set(HOSTILE) <= set(ids)
        for name in ("reminders", "watch_list", "treatment"):
            table, rows = frame_of(hostile.folder, name), rows_of(hostile.folder / f"{name}.csv")
            assert len(table) == len(rows) > 5
            for cell in (cell for row in rows for cell in row.values()):
                assert not cell.startswith(("=", "+", "@", "\t", "\r", "\n", "＝")), cell
                assert not cell.startswith("-") or float(cell) < 0
            told = [row["customer_id"] for row in rows]
            assert [i.removeprefix("'") for i in told] == table["customer_id"].tolist()
        listed = frame_of(hostile.folder, "reminders")["customer_id"]
        assert len(set(HOSTILE) & set(listed)) >= 4

    def test_excel_says_what_parquet_says(self, hostile):
        sheet = openpyxl.load_workbook(hostile.folder / "reminders.xlsx").active
        cells = list(sheet.iter_rows(min_row=2))
        assert {cell.data_type for row in cells for cell in row} <= {"s", "n", "d"}
        table = frame_of(hostile.folder, "reminders")
        assert [cell.value for cell in sheet[1]] == list(table)
        for row, expected in zip(cells, table.to_dict("records"), strict=True):
            shown = dict(zip(table, (cell.value for cell in row), strict=True))
            for name, value in expected.items():
                if isinstance(value, dt.date):
                    assert shown[name] == dt.datetime.combine(value, dt.time()), name
                elif name == "customer_id":
                    assert shown[name] == value.replace("_x0041_", "_x005F_x0041_")
                elif pd.isna(value):
                    assert shown[name] is None, name
                elif isinstance(value, float):
                    # Excel keeps fifteen digits of a number.
                    assert shown[name] == pytest.approx(value, rel=1e-14), name
                else:
                    assert shown[name] == value, name

    def test_an_id_is_no_path(self, hostile):
        assert {p.name for p in hostile.folder.parent.iterdir()} == {hostile.folder.name}

    def test_kinds_of_columns_do_not_depend_on_who_is_listed(self, hostile, records, registered, tmp_path):
        nobody = settings(**FULL | {"capacity": 0, "alerts": [], "ladder": []})
        empty = run_score(records, AS_OF, registered, tmp_path, nobody).folder
        assert len(frame_of(empty, "reminders")) == len(frame_of(empty, "watch_list")) == 0
        for name in ("reminders", "suppressed", "arms", "watch_list", "treatment"):
            full, none = (pq.read_schema(f / f"{name}.parquet") for f in (hostile.folder, empty))
            assert full.names == none.names
            for column in full.names:
                kinds = {str(s.field(column).type).removeprefix("large_") for s in (full, none)}
                assert len(kinds) == 1, (name, column, kinds)
        # No rule of the ladder: everybody past due is there all the same.
        assert set(frame_of(empty, "treatment")["rung"]) == {"none"}

    def test_without_a_campaign_there_are_no_arms(self, records, registered, tmp_path):
        folder = run_score(records, AS_OF, registered, tmp_path, settings()).folder
        assert not {"arms.parquet", "reminders.xlsx"} & {p.name for p in folder.iterdir()}


class TestMasks:
    def test_only_parquet_is_whole(self, records, registered, tmp_path):
        masked = settings(excel=True, masked_columns=["customer_id", "reason_1_code"])
        folder = run_score(records, AS_OF, registered, tmp_path, masked).folder
        ids = set(frame_of(folder, "scores")["customer_id"])
        for name in ("reminders", "watch_list", "treatment"):
            rows, table = rows_of(folder / f"{name}.csv"), frame_of(folder, name)
            assert set(table["customer_id"]) <= ids
            assert all(row["customer_id"].startswith("••••") for row in rows)
            # Nothing raises the score of some.
            codes = [row["reason_1_code"] for row in rows]
            assert all(code.startswith("••••") for code in codes if code)
            assert sum(map(bool, codes)) > 0.8 * len(codes)
            # A third of an id, four letters at most.
            told = {id_: row["customer_id"] for id_, row in zip(table["customer_id"], rows, strict=True)}
            plain = next(i for i in told if i not in HOSTILE)
            assert told[plain] == "••••" + plain[-(len(plain) // 3) :]
        sheet = openpyxl.load_workbook(folder / "reminders.xlsx").active
        column = [row[1] for row in sheet.iter_rows(min_row=1, values_only=True)]
        assert column[0] == "customer_id"
        assert all(cell.startswith("••••") for cell in column[1:])

    def test_a_column_that_no_list_has_is_refused_before_anything_is_read(self, registered, tmp_path):
        with pytest.raises(ConfigError, match="no list has a column 'customer' to mask"):
            run_score(tmp_path / "none", AS_OF, registered, tmp_path, settings(masked_columns=["customer"]))


class TestCounts:
    def test_lists_and_manifest_add_up(self, hostile, records):
        folder, manifest = hostile.folder, hostile.manifest
        scores, reminders, suppressed, arms, treatment = (
            frame_of(folder, n) for n in ("scores", "reminders", "suppressed", "arms", "treatment")
        )
        assert sorted([*reminders["customer_id"], *suppressed["customer_id"]]) == sorted(
            scores["customer_id"]
        )
        assert manifest["suppressed"] == suppressed["rule"].value_counts().to_dict()
        held = suppressed.loc[suppressed["rule"] == "holdout", "customer_id"]
        assert manifest["arms"] == {"holdout": len(held), "treated": len(reminders)}
        assert set(arms.loc[arms["arm"] == "holdout", "customer_id"]) == set(held)
        due = compute_next_due(records, AS_OF)
        late = due[(due["dpd"] > 0) & (due["overdue_amount"] > 0)]
        assert set(treatment["customer_id"]) == set(late.index)
        assert sum(manifest["treatment"].values()) == len(late) > 50
        both = treatment.merge(scores, on="customer_id", suffixes=("", "_scored"))
        assert (both["tier"] == both["tier_scored"]).all()
        assert (both["reason_1_code"] == both["reason_1_code_scored"]).all()
        assert treatment["dpd"].is_monotonic_decreasing
        # Flagged, or flagged in a way that nobody understands: neither is reminded.
        assert manifest["suppressed"]["opted_out"] == N // 2
        # The stranger's flag is not counted: nothing is known of him.
        assert manifest["reminder_inputs"] == {
            "has_contacts": False, "unclear": {"opted_out": N // 4}, "unmatched": {},
        }  # fmt: skip

    def test_the_text_says_what_was_not_asked_and_what_was_unclear(self, hostile):
        text = scoring_text(hostile)
        assert "no table 'contacts'" in text
        assert f"count as yes: opted_out {N // 4}." in text
        assert "misspelt" not in text
        assert "Watch list, with no run before it: " in text
        assert "customers are past due; suggested: " in text
        assert "an officer decides" in text
        # Every file of the lists is named with a word of what it is, in one form at least.
        for name in ("reminders.csv", "reminders.xlsx", "suppressed.parquet", "arms.parquet"):
            assert f"  {name} " in text

    @pytest.mark.parametrize("buckets", [1, 7])
    def test_values_that_nobody_has_are_noted_however_the_book_is_cut(
        self, records, registered, tmp_path, buckets
    ):
        """One of the values stands in the row of a single customer, one in that of the stranger alone."""
        customers = records.tables["customers"]
        note = ["one" if i == 3 else "x" for i in range(customers.num_rows - 1)]
        ids = customers.column("customer_id").to_pylist()
        note.insert(ids.index("STRANGER"), "strange")
        noted = replace(
            records, tables=records.tables | {"customers": customers.append_column("note", [note])}
        )
        rule = ExclusionRule(rule="vip", column="note", values=["One", "on", "strange"])
        policy = settings(buckets=buckets, exclusions=[rule], explain="none")
        result = run_score(noted, AS_OF, registered, tmp_path, policy)
        assert result.manifest["suppressed"]["vip"] == 1
        assert result.manifest["reminder_inputs"]["unmatched"] == {"vip": ["on", "strange"]}
        told = "no cell holds these values of the exclusion vip; are they misspelt? 'on', 'strange'."
        assert told in scoring_text(result)

    def test_the_text_says_for_whom_the_model_is_not_made(self, hostile):
        n_late, n = sum(hostile.manifest["treatment"].values()), hostile.manifest["n_customers"]
        assert 0 < n_late < n
        for population, told in {
            "all": None,
            "pre_due": f"were not past due (population: pre_due); the probabilities of the {n_late:,} who",
            "past_due": f"were past due (population: past_due); the probabilities of the {n - n_late:,} who",
        }.items():
            labels = hostile.manifest["labels"] | {"population": population}
            text = scoring_text(replace(hostile, manifest=dict(hostile.manifest) | {"labels": labels}))
            assert ("the model learned only from customers" in text) == (told is not None)
            assert told is None or told in text

    def test_contacts_are_counted_whatever_the_buckets(self, records, registered, tmp_path):
        listed = run_score(records, AS_OF, registered, tmp_path / "free", settings())
        ids = frame_of(listed.folder, "reminders")["customer_id"].tolist()[:60]
        contacts = pd.DataFrame({"customer_id": ids * 3, "contacted_on": "2005-09-30"})
        frames = {name: records.frame(name) for name in records.tables}
        told = load_records(frames | {"contacts": contacts})
        capped = {"contacts": {"caps": [{"days": 7, "contacts": 3}]}}
        found = [
            run_score(told, AS_OF, registered, tmp_path / str(n), settings(buckets=n, **capped))
            for n in (1, 4)
        ]
        for result in found:
            suppressed = frame_of(result.folder, "suppressed")
            assert set(suppressed.loc[suppressed["rule"] == "over_contact_cap", "customer_id"]) == set(ids)
            assert "no table 'contacts'" not in scoring_text(result)
        assert tables(found[0].folder) == tables(found[1].folder)

    @pytest.mark.parametrize("explain", ["listed", "none"])
    def test_with_fewer_reasons_the_same_customers_stand_there(
        self, hostile, records, registered, tmp_path, explain
    ):
        other = run_score(records, AS_OF, registered, tmp_path, settings(explain=explain, **FULL)).folder
        for name in ("reminders", "suppressed", "watch_list", "treatment"):
            ours, theirs = (frame_of(f, name)["customer_id"].tolist() for f in (hostile.folder, other))
            assert ours == theirs
        expected = frame_of(hostile.folder, "reminders")["reason_1_code"] if explain == "listed" else None
        told = frame_of(other, "reminders")["reason_1_code"]
        assert told.equals(expected) if expected is not None else told.isna().all()


class TestBytes:
    def test_in_five_buckets_and_once_more_they_are_the_same(self, hostile, records, registered, tmp_path):
        five = run_score(records, AS_OF, registered, tmp_path / "five", settings(buckets=5, **FULL))
        assert len(json.loads((five.folder / "timings.json").read_text())["buckets"]) == 5
        assert tables(five.folder) == tables(hostile.folder)
        again = run_score(records, AS_OF, registered, tmp_path / "five", settings(**FULL))
        assert again.already_done


class TestWatchList:
    def test_it_looks_back_to_the_run_before(self, out):
        folder = out / "as_of=2005-09-30"
        now, before = (
            frame_of(out / f"as_of={day}", "scores").set_index("customer_id")["p_overdue"]
            for day in (AS_OF, AUGUST)
        )
        found = frame_of(folder, "watch_list")
        before = before.reindex(now.index)
        assert before.isna().sum() == 0
        crossed = found[found["kind"] == "crossed"]
        assert set(crossed["customer_id"]) == set(now.index[(now >= 0.5) & (before < 0.5)])
        jumped = found[found["kind"] == "jumped"]
        assert set(jumped["customer_id"]) == set(now.index[(now - before).round(9) >= 0.2])
        assert len(crossed) > 3 < len(jumped)
        assert crossed["earlier_value"].tolist() == before[crossed["customer_id"]].tolist()
        assert set(found["earlier_as_of"]) == {AUGUST}
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["watched"]["earlier"][:2] == ["2005-08-31", "overdue/1"]
        assert [rule["n"] for rule in manifest["watch_list"]] == [len(crossed), len(jumped)]

    def test_in_the_first_run_it_is_everybody_above_the_line(self, out):
        scores, found = (frame_of(out / "as_of=2005-08-31", n) for n in ("scores", "watch_list"))
        assert set(found["customer_id"]) == set(scores.loc[scores["p_overdue"] >= 0.5, "customer_id"])
        assert set(found["kind"]) == {"crossed"}
        assert found["earlier_as_of"].isna().all()

    def test_another_run_before_is_another_run(self, out, records, registered, tmp_path):
        """The watch list depends on it, so the key does; without rules of alert neither does."""
        here = tmp_path / "out"
        shutil.copytree(out, here)
        assert plan_score(records, AS_OF, registered, here, settings()).done is not None
        first, quiet = plan_score(records, AS_OF, registered, tmp_path / "new", settings()), []
        assert first.done is None
        assert first.run_key != plan_score(records, AS_OF, registered, here, settings()).run_key
        for place in (here, tmp_path / "new"):
            quiet.append(plan_score(records, AS_OF, registered, place, settings(alerts=[])).run_key)
        assert len(set(quiet)) == 1
        # August once more with another policy: its scores are the same, so September is done.
        run_score(records, AUGUST, registered, here, settings(capacity=1))
        assert plan_score(records, AS_OF, registered, here, settings()).done is not None
        # And with other scores, the newest of which count.
        tiers = ScoreSettings(ScoreConfig(points={"base": 500.0}), settings().reminders)
        run_score(records, AUGUST, registered, here, tiers)
        assert (here / "as_of=2005-08-31.run3").is_dir()
        again = run_score(records, AS_OF, registered, here, settings())
        assert again.folder.name == "as_of=2005-09-30.run2"
        assert frame_of(again.folder, "scores").equals(frame_of(here / "as_of=2005-09-30", "scores"))

    def test_another_version_in_between_is_said(self, out, records, registered, tmp_path):
        here = tmp_path / "out"
        shutil.copytree(out, here)
        second = replace(registered, version="2")
        result = run_score(records, AS_OF, second, here, settings())
        found = frame_of(result.folder, "watch_list")
        assert set(found["model"]) == {"overdue/2"}
        assert set(found["earlier_model"]) == {"overdue/1"}
        assert "overdue/1 gave the scores of 2005-08-31, overdue/2 those of" in scoring_text(result)

    def test_a_run_that_is_not_whole_or_of_another_model_is_passed_over(self, out, tmp_path):
        here = tmp_path / "out"
        shutil.copytree(out, here)
        assert newest_earlier(here, "2005-10-31", "overdue").as_of == "2005-09-30"
        assert newest_earlier(here, "2005-10-31", "other") is None
        with (here / "as_of=2005-09-30" / "scores.parquet").open("ab") as file:
            file.write(b"x")
        assert newest_earlier(here, "2005-10-31", "overdue").as_of == "2005-08-31"
        # Never the date itself.
        assert newest_earlier(here, "2005-08-31", "overdue") is None

    def test_a_run_before_that_vanishes_is_an_error_that_says_so(self, out, tmp_path):
        here = tmp_path / "out"
        shutil.copytree(out, here)
        earlier = newest_earlier(here, "2005-09-30", "overdue")
        shutil.rmtree(here / "as_of=2005-08-31")
        with pytest.raises(OverdueMLError, match="scores of the run before cannot be read"):
            earlier.read_scores(["customer_id", "p_overdue"])

    def test_indicators_are_known_before_anything_is_scored(self, out, registered, tmp_path):
        scores = frame_of(out / "as_of=2005-09-30", "scores")
        assert indicators_of(registered.model, ScoreConfig()) == list(scores.select_dtypes("number"))
        wrong = [AlertRule(indicator="p_late", kind="crossed", threshold=0.5, owner="risk")]
        with pytest.raises(ConfigError, match="no column of numbers 'p_late'"):
            plan_score(tmp_path / "none", AS_OF, registered, tmp_path, settings(alerts=wrong))


def test_the_command_line_asks_for_excel(line, tmp_path, capsys):
    where = ("--records", line.records, "--as-of", AS_OF, "--models", line.models, "--out", tmp_path)
    assert cli.run([str(word) for word in ("score", *where, "--excel", "--explain", "none")]) == 0
    assert "treatment.csv" in capsys.readouterr().out
    assert (tmp_path / f"as_of={AS_OF}" / "reminders.xlsx").is_file()


def test_excel_without_openpyxl_is_refused_before_anything_is_read(registered, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == "openpyxl" else found(n, *a))
    with pytest.raises(ConfigError, match="Excel files need openpyxl"):
        run_score(tmp_path / "none", AS_OF, registered, tmp_path / "out", settings(excel=True))
    assert not (tmp_path / "out").exists()
