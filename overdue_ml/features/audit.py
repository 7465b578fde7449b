"""The leakage audit: forget everything known after a date, and see which feature moves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from overdue_ml.features.build import available_features, build_features
from overdue_ml.features.registry import Registry
from overdue_ml.records import Records
from overdue_ml.records.dates import AsOf, parse_date
from overdue_ml.records.facts import account_known_sql, known_on_sql


@dataclass(frozen=True)
class LeakageFinding:
    """A feature that changed when the future was deleted.

    Attributes
    ----------
    feature : str
    n_rows : int
        Customers whose value changed.
    first_customer : str
    with_future, without_future : float or str
        That customer's values.
    """

    feature: str
    n_rows: int
    first_customer: str
    with_future: object
    without_future: object


def forget_after(records: Records, as_of: dt.date) -> Records:
    """The records as they stood at the end of ``as_of``: later rows and later account dates removed.

    Parameters
    ----------
    records : Records
    as_of : datetime.date
    """
    tables = dict(records.tables)
    with records.connect() as con:
        con.execute("SET VARIABLE as_of = ?", [as_of])
        for name, date in (("statements", "statement_date"), ("payments", "paid_on")):
            if name in records:
                known = known_on_sql(records, name, date)
                tables[name] = con.sql(
                    f"SELECT * FROM {name} WHERE {known} <= getvariable('as_of') ORDER BY account_id, {date}"
                ).to_arrow_table()
        dates = [name for name in ("opened_on", "closed_on") if name in records.columns("accounts")]
        cut = ", ".join(f"CASE WHEN {d} <= getvariable('as_of') THEN {d} END AS {d}" for d in dates)
        tables["accounts"] = con.sql(
            f"""SELECT * REPLACE ({cut}) FROM accounts SEMI JOIN (
                SELECT account_id FROM ({account_known_sql(records)}) WHERE known_on <= getvariable('as_of')
            ) USING (account_id) ORDER BY account_id"""
        ).to_arrow_table()
    tables.pop("labels", None)
    return replace(records, tables=tables)


def audit_leakage(
    records: Records,
    as_of: AsOf,
    features: Sequence[str] | None = None,
    *,
    registry: Registry | None = None,
) -> list[LeakageFinding]:
    """Build features with and without the future; report each that differs in any bit.

    Parameters
    ----------
    records : Records
    as_of : date or str
    features : sequence of str, optional
        All that the records allow by default.
    registry : Registry, optional
        With features of your own.

    Returns
    -------
    list of LeakageFinding
        Empty where nothing leaks.
    """
    day = parse_date(as_of)
    names = list(features) if features is not None else available_features(records, registry)
    whole = build_features(records, day, names, registry=registry)
    cut = build_features(forget_after(records, day), day, names, registry=registry)
    cut = cut.reindex(whole.index)
    findings = []
    for name in names:
        before, after = whole[name], cut[name]
        if isinstance(before.dtype, pd.CategoricalDtype):
            before, after = before.astype("str"), after.astype("str")
        moved = ~((before == after) | (before.isna() & after.isna())).to_numpy()
        if moved.any():
            first = int(np.flatnonzero(moved)[0])
            findings.append(
                LeakageFinding(
                    name, int(moved.sum()), str(whole.index[first][0]), before.iloc[first], after.iloc[first]
                )
            )
    return findings
