"""What is due next, as known on a date."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.errors import ConfigError
from overdue_ml.records._ledger import NEVER, Int64Array
from overdue_ml.records.facts import known_on_sql
from overdue_ml.records.load import Records
from overdue_ml.records.state_columns import UNITS
from overdue_ml.records.states import StateVisitor, UnsettledAccounts, read_unsettled

_DAY = "datetime64[us]"
_COLUMNS = {
    "next_due_date": _DAY,
    "due_amount": "float64",
    "exposure_amount": "float64",
    "dpd": "float64",
    "paid_due_date": _DAY,
    "overdue_amount": "float64",
    "covered_due_date": _DAY,
}


class InstalmentDues:
    """What customers owe of instalments, for whoever settles them anyway.

    Settling takes the most time of :func:`compute_next_due`, and features are made of the same states.

    Parameters
    ----------
    as_of : datetime.date
    """

    def __init__(self, as_of: dt.date) -> None:
        self.as_of = as_of
        self._ids: pa.Array | None = None
        self._owed: Int64Array = np.empty((0, 0), dtype=np.int64)

    def read(self, unsettled: UnsettledAccounts) -> StateVisitor[None]:
        """A visitor that adds up the states of some accounts.

        Raises
        ------
        ConfigError
            If states are told for other dates than ``as_of``.
        """
        from overdue_ml.records._dues_pass import N_COLUMNS, NEXT_DUE, PAID_AHEAD, add_up

        day = _day_number(self.as_of)
        if unsettled.terms.as_of_days.tolist() != [day]:
            raise ConfigError(
                "states of other dates do not tell what is due", expected=f"those of {self.as_of}"
            )
        customers = unsettled.customers.dictionary_encode()
        customer_of = pc.fill_null(customers.indices, -1).to_numpy().astype(np.int64)
        owed = np.zeros((len(customers.dictionary), N_COLUMNS), dtype=np.int64)
        owed[:, [NEXT_DUE, PAID_AHEAD]] = NEVER
        self._ids, self._owed = customers.dictionary, owed

        def visit(states: Int64Array, order: Int64Array) -> None:
            # A customer's accounts come in one call: no two threads have the same row.
            add_up(states, order, day, customer_of, owed)

        return visit

    def frame(self, records: Records, n_threads: int | None = None) -> pd.DataFrame:
        """What was added up, as :func:`compute_next_due` tells it; of the records if nothing was yet."""
        from overdue_ml.records._dues_pass import (
            DPD,
            DUE_ON_IT,
            EXPOSURE,
            N_INSTALMENTS,
            NEXT_DUE,
            OVERDUE,
            PAID_AHEAD,
        )

        if self._ids is None:
            unsettled = read_unsettled(records, as_of=self.as_of)
            unsettled.visit(self.read(unsettled), n_threads)
        assert self._ids is not None
        known = self._owed[:, N_INSTALMENTS] > 0
        owed = self._owed[known]
        return pd.DataFrame(
            {
                "next_due_date": _dates(owed[:, NEXT_DUE]),
                "due_amount": owed[:, DUE_ON_IT] / UNITS,
                "exposure_amount": owed[:, EXPOSURE] / UNITS,
                "dpd": owed[:, DPD].astype(np.float64),
                "paid_due_date": _dates(owed[:, PAID_AHEAD]),
                "overdue_amount": owed[:, OVERDUE] / UNITS,
                # What is settled is not due any more.
                "covered_due_date": np.full(len(owed), np.datetime64("NaT"), dtype=_DAY),
            },
            index=_index(self._ids.filter(pa.array(known))),
        )


def compute_next_due(
    records: Records,
    as_of: dt.date,
    *,
    instalments: InstalmentDues | None = None,
    n_threads: int | None = None,
) -> pd.DataFrame:
    """Next due date and amounts of every customer, as known at the end of ``as_of``.

    The latest known statement of an account decides, and its instalments if it has any. A statement's
    due amount is its minimum due, or the balance where the records have no minimum; balances in credit
    owe nothing. It stays due however much was paid since, but a date on which something is open comes before
    one that payments cover, and that before one on which nothing is asked for: an unused card must not hide
    the loan beside it. An instalment's is what it is short by, and what is settled already is not due.

    Parameters
    ----------
    records : Records
    as_of : datetime.date
    instalments : InstalmentDues, optional
        Of the same records and date, where its states were read already.
    n_threads : int, optional
        The result does not depend on it.

    Returns
    -------
    pandas.DataFrame
        Indexed by customer_id: next_due_date (the earliest due date after ``as_of`` on which something is
        open; if nothing is, the earliest on which something was asked for, else the earliest; null if none),
        due_amount (open on that date, or asked for where all of it is covered), exposure_amount (all
        balances, and all that instalments are short by), dpd (worst account, days), paid_due_date (the
        earliest due date after ``as_of`` of an instalment that is settled already, or of statements that
        payments cover where the next due date is a later one; null if none), overdue_amount (what is due of
        everything that is past due), covered_due_date (the next due date if payments since the statements
        cover all that is asked for on it; null if not).
        A customer without a known statement or instalment has no row.

    Raises
    ------
    ConfigError
        If ``instalments`` are of another date.
    """
    instalments = instalments or InstalmentDues(as_of)
    if instalments.as_of != as_of:
        raise ConfigError(f"these instalments are those of {instalments.as_of}", expected=f"those of {as_of}")
    parts = []
    if "statements" in records:
        parts.append(_statement_dues(records, as_of))
    if "instalments" in records and "payments" in records:
        parts.append(instalments.frame(records, n_threads))
    if not parts:
        return pd.DataFrame({c: pd.Series(dtype=kind) for c, kind in _COLUMNS.items()}, index=_index([]))
    return parts[0] if len(parts) == 1 else _together(*parts)


def _together(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """What customers owe of two kinds."""
    ids = one.index.union(other.index).sort_values()
    one, other = one.reindex(ids), other.reindex(ids)
    covered = one["covered_due_date"]
    still_open = _least(*(part["next_due_date"].where(part["due_amount"] > 0) for part in (
        one.assign(next_due_date=one["next_due_date"].where(covered.isna())), other
    )))  # fmt: skip
    any_date = _least(one["next_due_date"], other["next_due_date"])
    next_due = still_open.fillna(covered).fillna(any_date)
    passed = _least(one["paid_due_date"], covered)
    passed = passed.where(passed < still_open)
    due = [part["due_amount"].where(part["next_due_date"] == next_due, 0.0) for part in (one, other)]
    due[0] = due[0].where(covered.isna() | still_open.isna(), 0.0)
    sums = {
        name: one[name].fillna(0.0) + other[name].fillna(0.0)
        for name in ("exposure_amount", "overdue_amount")
    }
    return pd.DataFrame(
        {
            "next_due_date": next_due,
            "due_amount": due[0] + due[1],
            "exposure_amount": sums["exposure_amount"],
            "dpd": np.fmax(one["dpd"], other["dpd"]),
            "paid_due_date": _least(passed, other["paid_due_date"]),
            "overdue_amount": sums["overdue_amount"],
            "covered_due_date": covered.where(still_open.isna()),
        }
    )


def _least(one: pd.Series, other: pd.Series) -> pd.Series:
    return one.where((one <= other) | other.isna(), other)


def _statement_dues(records: Records, as_of: dt.date) -> pd.DataFrame:
    """By the latest known statement of each account."""
    present = set(records.columns("statements"))

    def col(name: str, kind: str) -> str:
        return f"s.{name}" if name in present else f"CAST(NULL AS {kind})"

    known = known_on_sql(records, "statements", "statement_date", "s")
    with records.session() as con:
        con.execute("SET VARIABLE as_of = ?", [as_of])
        # Sums in a fixed order: their last bit must not hang on threads.
        frame: pd.DataFrame = con.sql(
            f"""
            WITH latest AS (
                SELECT a.account_id, a.customer_id, s.statement_date, {col("due_date", "DATE")} AS due_date,
                    greatest(coalesce({col("minimum_due_amount", "DOUBLE")},
                                      {col("balance_amount", "DOUBLE")}), 0) AS due_amount,
                    greatest({col("balance_amount", "DOUBLE")}, 0) AS exposure_amount,
                    {col("dpd", "INTEGER")} AS dpd
                FROM accounts a JOIN statements s USING (account_id)
                WHERE {known} <= getvariable('as_of') AND a.customer_id IS NOT NULL
                QUALIFY row_number() OVER (PARTITION BY a.account_id ORDER BY s.statement_date DESC) = 1
            ), dues AS (
                SELECT latest.*, due_date > getvariable('as_of') AND due_amount > 0 AS is_asked,
                    {_is_covered(records)} AS is_covered
                FROM latest
            ), dates AS (
                SELECT customer_id, min(due_date) FILTER (is_asked AND NOT is_covered) AS open_date,
                    min(due_date) FILTER (is_asked) AS asked_date,
                    min(due_date) FILTER (due_date > getvariable('as_of')) AS any_date
                FROM dues GROUP BY customer_id
            ), upcoming AS (
                SELECT *, coalesce(open_date, asked_date, any_date) AS next_due_date
                FROM dues JOIN dates USING (customer_id)
            )
            SELECT customer_id, any_value(next_due_date) AS next_due_date,
                coalesce(sum(due_amount ORDER BY due_amount) FILTER (
                    WHERE due_date = next_due_date AND (open_date IS NULL OR NOT is_covered)
                ), 0.0) AS due_amount,
                coalesce(sum(exposure_amount ORDER BY exposure_amount), 0.0) AS exposure_amount,
                max(dpd) AS dpd,
                any_value(asked_date) FILTER (asked_date < open_date) AS paid_due_date,
                coalesce(sum(due_amount ORDER BY due_amount) FILTER (WHERE dpd > 0), 0.0) AS overdue_amount,
                any_value(asked_date) FILTER (open_date IS NULL) AS covered_due_date
            FROM upcoming GROUP BY customer_id ORDER BY customer_id
            """
        ).df()
    frame.index = _index(frame.pop("customer_id"))
    return frame.astype(_COLUMNS)


def _is_covered(records: Records) -> str:
    """SQL for whether payments since the latest statement of an account cover what it asks for.

    In whole units, as settlement counts: sums are exact whatever their order.
    """
    if "payments" not in records:
        return "false"
    due = f"round(latest.due_amount * {UNITS})"
    ratio, amount = records.config.tolerance_ratio, records.config.tolerance_amount
    return f"""{due} - coalesce((
            SELECT sum(round(p.amount * {UNITS})) FROM payments p
            WHERE p.account_id = latest.account_id AND p.paid_on > latest.statement_date
                AND {known_on_sql(records, "payments", alias="p")} <= getvariable('as_of')
        ), 0) <= greatest(round({amount!r} * {UNITS}), round({due} * {ratio!r}))"""


def _index(ids: Any) -> pd.Index:
    index: pd.Index = pd.Index(ids, dtype="str", name="customer_id")
    return index


def _day_number(day: dt.date) -> int:
    return (day - dt.date(1970, 1, 1)).days


def _dates(days: Int64Array) -> np.ndarray:
    found = days.astype("datetime64[D]").astype(_DAY)
    found[days == NEVER] = np.datetime64("NaT")
    return found
