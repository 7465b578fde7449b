"""The validate job: report.json, the rejected rows, and nobody else's files."""

from __future__ import annotations

import datetime as dt
import json

import pandas as pd
import pyarrow.parquet as pq
import pytest

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.jobs.text import validation_text
from overdue_ml.jobs.validate import run_validate


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    ids = ["a1", "a2", "007", "a4"]
    accounts = pd.DataFrame({"account_id": ids, "customer_id": ids, "opened_on": "2004-01-01"})
    accounts["credit_limit_amount"] = [1, -1, 2, -5]
    accounts.to_csv(folder / "accounts.csv", index=False)
    statements = pd.DataFrame({"account_id": ["a1", "007", "a1"], "statement_date": "2005-01-31", "dpd": 0})
    statements.to_csv(folder / "statements.csv", index=False)
    return folder


def names(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_it_writes_the_report_and_the_rejected_rows(source, tmp_path):
    out = tmp_path / "out"
    report = run_validate(source, RecordsConfig(), out)
    assert names(out) == {
        "report.json",
        "report.html",
        "rejected",
        "rejected/accounts.parquet",
        "rejected/statements.parquet",
    }
    told = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert told == json.loads(json.dumps(report.to_dict()))
    assert told["passed"] is False
    assert {t["table"]: (t["rows"], t["accepted"], t["rejected"]) for t in told["tables"]} == {
        "accounts": (4, 2, 2),
        "statements": (3, 2, 1),
    }
    broken = {(r["table"], r["rule"]): r for r in told["rules"] if r["rows_rejected"]}
    assert broken["accounts", "credit_limit_amount_out_of_range"]["first_keys"] == ["a2", "a4"]
    assert broken["statements", "row_repeated"]["rows_rejected"] == 1
    assert pq.read_table(out / "rejected" / "accounts.parquet").to_pylist() == [
        {
            "account_id": account,
            "customer_id": account,
            "opened_on": "2004-01-01",
            "credit_limit_amount": limit,
            "rule": "credit_limit_amount_out_of_range",
        }
        for account, limit in [("a2", "-1"), ("a4", "-5")]
    ]


def test_sound_records_have_an_empty_folder_of_rejected_rows(source, tmp_path):
    pd.read_csv(source / "accounts.csv", dtype=str).assign(credit_limit_amount=1).to_csv(
        source / "accounts.csv", index=False
    )
    pd.read_csv(source / "statements.csv", dtype=str).drop_duplicates().to_csv(
        source / "statements.csv", index=False
    )
    report = run_validate(source, RecordsConfig(), tmp_path / "out")
    assert report.passed
    assert names(tmp_path / "out") == {"report.json", "report.html", "rejected"}


def test_the_limit_comes_from_the_config(source):
    assert run_validate(source, RecordsConfig(max_rejected_share=0.5)).passed
    assert not run_validate(source, RecordsConfig(max_rejected_share=0.49)).passed


def test_without_out_nothing_is_written(source, tmp_path):
    before = names(tmp_path)
    run_validate(source, RecordsConfig())
    assert names(tmp_path) == before


def test_twice_gives_the_same_bytes_and_leaves_nothing_of_the_first(source, tmp_path):
    out = tmp_path / "out"
    run_validate(source, RecordsConfig(), out)
    first = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (out / "rejected" / "labels.parquet").write_bytes(b"left over")
    run_validate(source, RecordsConfig(), out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == first


def test_a_folder_with_other_files_is_never_replaced(source, tmp_path):
    before = names(source)
    with pytest.raises(ConfigError, match="the folder holds other files") as caught:
        run_validate(source, RecordsConfig(), source)
    assert str(source) in str(caught.value)
    assert caught.value.exit_code == 2
    assert names(source) == before
    (tmp_path / "empty").mkdir()
    run_validate(source, RecordsConfig(), tmp_path / "empty")
    assert (tmp_path / "empty" / "report.json").is_file()


def test_records_that_cannot_be_read_leave_the_earlier_report(source, tmp_path):
    out = tmp_path / "out"
    run_validate(source, RecordsConfig(), out)
    before = names(out)
    (source / "statements.csv").write_bytes(b"")
    with pytest.raises(RecordsError, match="0 bytes"):
        run_validate(source, RecordsConfig(), out)
    assert names(out) == before


@pytest.mark.parametrize(
    ("as_of", "limit", "age", "newest", "stale"),
    [
        ("2005-03-17", 45, 45, "2005-01-31", False),
        ("2005-03-18", 45, 46, "2005-01-31", True),
        ("2005-03-18", 46, 46, "2005-01-31", False),
        ("2005-01-31", 0, 0, "2005-01-31", False),
        # The only statement lies after the day: nothing reaches up to it.
        ("2005-01-30", 45, None, None, True),
    ],
)
def test_freshness_is_a_warning_and_no_rejection(source, tmp_path, as_of, limit, age, newest, stale):
    config = RecordsConfig(max_age_days=limit, max_rejected_share=0.5)
    day = dt.date.fromisoformat(as_of)
    report = run_validate(source, config, tmp_path / "out", day)
    told = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    # Accounts are opened when they are opened: an old one is not a stale table.
    assert told["freshness"] == [
        {
            "table": "statements",
            "column": "statement_date",
            "newest": newest,
            "age_days": age,
            "is_stale": stale,
        }
    ]
    assert (told["as_of"], told["max_age_days"]) == (as_of, limit)
    plain = run_validate(source, config)
    assert report.passed
    assert report.rules == plain.rules
    assert plain.freshness == []
    text = validation_text(report, None)
    assert ("Warning: statements" in text) == stale
    assert ("stale</td>" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")) == stale
