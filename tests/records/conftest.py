"""A small sound lender, and the ways to hand it over."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from overdue_ml.config import RecordsConfig
from overdue_ml.jobs.output import write_parquet
from overdue_ml.records import Records, load_records

Frames = dict[str, pd.DataFrame]
D = dt.date


@pytest.fixture(scope="session")
def lender() -> Callable[[], Frames]:
    """Fresh, sound tables: five accounts of three customers, with extra columns; nothing is rejected."""

    def build() -> Frames:
        ids = ["007", "7", "A-1", "NA", "123456789012345678"]
        owners = ["c1", "c1", "c2", "NA", "c2"]
        months = [D(2005, 1, 31), D(2005, 2, 28)]
        customers = pd.DataFrame({"customer_id": ["c1", "c2", "NA"], "education": ["high", None, "NA"]})
        accounts = pd.DataFrame(
            {
                "account_id": ids,
                "customer_id": owners,
                "opened_on": [D(2004, 2, 29), None, D(1970, 1, 1), D(2004, 1, 1), D(2004, 1, 2)],
                "product": ["card", "NA", None, "loan", "card"],
                "closed_on": [None, None, None, None, D(2005, 3, 1)],
                "credit_limit_amount": [1000.0, 0.0, 1e12, 0.1, 2500.5],
                "term_months": pd.array([None, 12, 24, None, 1], dtype="Int32"),
                "branch": ["north", "south", "=1+1", None, "東"],
            }
        )
        rows = [(account, day) for account in ids for day in months]
        n = len(rows)
        statements = pd.DataFrame(
            {
                "account_id": [account for account, _ in rows],
                "statement_date": [day for _, day in rows],
                "due_date": [day + dt.timedelta(20) for _, day in rows],
                "balance_amount": [100.25 * i - 200 for i in range(n)],
                "dpd": pd.array([0, 30, 0, 1, None, 90, 0, 0, 0, 0], dtype="Int32"),
                "payment_behaviour": ["late", "inactive", None, "paid_minimum", "paid_in_full"] * 2,
                "known_on": [day + dt.timedelta(3) for _, day in rows],
            }
        )
        labels = pd.DataFrame(
            {
                "customer_id": ["c1", "c2", "NA"],
                "as_of_date": [D(2005, 2, 28)] * 3,
                "is_overdue": [True, False, True],
            }
        )
        return {"customers": customers, "accounts": accounts, "statements": statements, "labels": labels}

    return build


@pytest.fixture(scope="session")
def write_folder() -> Callable[[Frames, Path, str], Path]:
    """Write each table as one ``<table>.csv`` or ``<table>.parquet``."""

    def write(frames: Frames, folder: Path, kind: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in frames.items():
            if kind == "csv":
                frame.to_csv(folder / f"{name}.csv", index=False)
            else:
                write_parquet(frame, folder / f"{name}.parquet")
        return folder

    return write


@pytest.fixture(scope="session")
def write_database() -> Callable[[Frames, Path], Path]:
    """Write every table into one DuckDB file."""

    def write(frames: Frames, path: Path) -> Path:
        with duckdb.connect(str(path)) as con:
            for name, frame in frames.items():
                con.register("frame", frame)
                con.execute(f"CREATE TABLE {name} AS SELECT * FROM frame")
        return path

    return write


@pytest.fixture
def as_csv(tmp_path: Path, write_folder: Callable[[Frames, Path, str], Path]) -> Callable[..., Records]:
    """Load tables through CSV files; never strict."""

    def load(frames: Frames, config: RecordsConfig | None = None) -> Records:
        return load_records(write_folder(frames, tmp_path / "records", "csv"), config, strict=False)

    return load


@pytest.fixture(params=["frames", "csv"])
def via(request: pytest.FixtureRequest, as_csv: Callable[..., Records]) -> Callable[..., Records]:
    """Load tables as they are, and once more through CSV files; never strict."""

    def load(frames: Frames, config: RecordsConfig | None = None) -> Records:
        if request.param == "csv":
            return as_csv(frames, config)
        return load_records(frames, config, strict=False)

    return load


@pytest.fixture(scope="session")
def broken() -> Callable[[Records, str], dict[str, int]]:
    """The rules of a table that were broken, with their counts."""

    def rules(records: Records, table: str) -> dict[str, int]:
        return {
            rule.rule: rule.rows_rejected
            for rule in records.report.rules
            if rule.table == table and rule.rows_rejected
        }

    return rules
