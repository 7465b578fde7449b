"""Pivot data/taiwan back to the classical flat table, and prove that nothing was lost on the way."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

CATEGORIES = ["sex", "education", "marriage"]
# Newest first, as the published table numbers them; it calls September's status PAY_0, not PAY_1.
MONTH_ENDS = ["2005-09-30", "2005-08-31", "2005-07-31", "2005-06-30", "2005-05-31", "2005-04-30"]
PAY_CODES = ["PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6"]
BILLS = [f"BILL_AMT{i}" for i in range(1, 7)]
PAID = [f"PAY_AMT{i}" for i in range(1, 7)]
RAW_COLUMNS = ["LIMIT_BAL", *CATEGORIES, "AGE", *PAY_CODES, *BILLS, *PAID]
NOT_LATE = {"inactive": -2, "paid_in_full": -1, "paid_minimum": 0}
DAYS_PER_MONTH_LATE = 30
# SHA-256 of the 23 columns and the label computed from the published table itself, not from our Parquet.
FLAT_SHA256 = "9fc877580c6e28995f016353a75414dd59b26733c4ebbb0e523437685ec99a07"


class BenchError(Exception):
    """The benchmark cannot run: bad records, a missing package or a wrong option."""


def load_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Read the four Parquet tables, with the statements' dates as text.

    Raises
    ------
    BenchError
        If a table is missing.
    """
    tables = {}
    for name in ("customers", "accounts", "statements", "labels"):
        path = folder / f"{name}.parquet"
        if not path.is_file():
            raise BenchError(f"no {name}.parquet in the records folder: run data/taiwan/make_taiwan.py")
        tables[name] = pd.read_parquet(path)
    statements = tables["statements"]
    tables["statements"] = statements.assign(statement_date=statements["statement_date"].astype(str))
    return tables


def index_by(frame: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return the frame indexed by a key that must be unique.

    Raises
    ------
    BenchError
        If a key stands twice.
    """
    if frame[key].duplicated().any():
        raise BenchError(f"{key} is not unique")
    return frame.set_index(key)


def build_flat(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Pivot the statements back to the 23 raw columns and the label, in customer id order.

    Parameters
    ----------
    tables : dict of DataFrame
        customers, accounts, statements and labels.

    Returns
    -------
    DataFrame, shape (30000, 24)
        `RAW_COLUMNS` and ``y``, indexed by customer id.

    Raises
    ------
    BenchError
        If the tables do not hold exactly what the published table holds.
    """
    statements = tables["statements"]
    code = statements["payment_behaviour"].map(NOT_LATE)
    late = statements["payment_behaviour"].eq("late")
    code = code.where(~late, statements["dpd"] / DAYS_PER_MONTH_LATE)
    wide = statements.assign(code=code).pivot(index="account_id", columns="statement_date")  # noqa: PD010 - must fail on duplicates
    accounts = index_by(tables["accounts"], "account_id")
    wide = wide.set_index(accounts["customer_id"].reindex(wide.index).to_numpy())
    customers = index_by(tables["customers"], "customer_id").sort_index()
    labels = index_by(tables["labels"], "customer_id")

    flat = customers[CATEGORIES].copy()
    flat["LIMIT_BAL"] = index_by(accounts, "customer_id")["credit_limit_amount"]
    flat["AGE"] = customers["age_years"]
    for column, names in (("code", PAY_CODES), ("balance_amount", BILLS), ("paid_amount", PAID)):
        flat[names] = wide[column][MONTH_ENDS].set_axis(names, axis="columns")
    flat["y"] = labels["is_overdue"].astype("int64")
    check_nothing_lost(flat, tables)
    for name in CATEGORIES:
        flat[name] = flat[name].astype("category")
    return flat[[*RAW_COLUMNS, "y"]]


def check_nothing_lost(flat: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> None:
    """Unpivot the flat table again, compare it with the statements, and check its digest.

    Raises
    ------
    BenchError
        If a cell is missing or differs, or the digest is not that of the published table.
    """
    if flat.isna().to_numpy().any():
        raise BenchError(f"the flat table has gaps in {list(flat.columns[flat.isna().any()])}")
    months = []
    for month, pay, bill, paid in zip(MONTH_ENDS, PAY_CODES, BILLS, PAID, strict=True):
        part = flat[[pay, bill, paid]].set_axis(["code", "balance_amount", "paid_amount"], axis="columns")
        months.append(part.assign(statement_date=month))
    back = pd.concat(months).rename_axis("customer_id").reset_index()
    names = {code: behaviour for behaviour, code in NOT_LATE.items()}
    back["payment_behaviour"] = back["code"].map(names).fillna("late")
    back["dpd"] = DAYS_PER_MONTH_LATE * back["code"].clip(lower=0)

    key = ["customer_id", "statement_date"]
    values = ["balance_amount", "paid_amount", "dpd", "payment_behaviour"]
    given = tables["statements"].merge(tables["accounts"][["account_id", "customer_id"]], on="account_id")
    given, back = (frame[key + values].sort_values(key, ignore_index=True) for frame in (given, back))
    if len(given) != len(back) or not (given == back).to_numpy().all():
        raise BenchError("unpivoting the flat table does not give the statements back")
    if compute_digest(flat) != FLAT_SHA256:
        raise BenchError("the flat table is not the published one: run data/taiwan/make_taiwan.py")


def compute_digest(flat: pd.DataFrame) -> str:
    """Return the SHA-256 of the flat table's numbers, then its categories, row by row."""
    numbers = flat[[c for c in RAW_COLUMNS if c not in CATEGORIES] + ["y"]].to_numpy("float64")
    words = "\n".join("|".join(row) for row in flat[CATEGORIES].astype(str).itertuples(index=False))
    digest = hashlib.sha256(np.ascontiguousarray(numbers, dtype="<f8").tobytes())
    digest.update(words.encode())
    return digest.hexdigest()
