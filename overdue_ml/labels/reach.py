"""How far the records reach: labels are final only up to there."""

from __future__ import annotations

import datetime as dt

from overdue_ml.errors import RecordsError
from overdue_ml.records import Records
from overdue_ml.records.facts import known_on_sql

#: Rows that lie further than this after all others, and are fewer than one in FEW, are typing errors: taken
#: for the end of the records they would make labels final long before their outcomes are known.
GAP_DAYS, FEW = 92, 1000


def last_known(records: Records, table: str) -> dt.date:
    """The newest day on which a row of a table became known; the first day there is if it has no rows.

    Parameters
    ----------
    records : Records
    table : {'payments', 'statements'}

    Raises
    ------
    RecordsError
        If a few rows lie more than a quarter of a year after all others.
    """
    with records.connect() as con:
        ((last, day, gap, n_after),) = con.execute(
            f"""
            WITH days AS (
                SELECT {known_on_sql(records, table)} AS day, count(*) AS n FROM {table} GROUP BY day
            ),
            story AS (
                SELECT day, day - lag(day) OVER (ORDER BY day) AS gap,
                    sum(n) OVER (ORDER BY day DESC) AS n_after, sum(n) OVER () AS n_all
                FROM days
            )
            SELECT max(day), min(day) FILTER (WHERE is_stray), arg_min(gap, day) FILTER (WHERE is_stray),
                max(n_after) FILTER (WHERE is_stray)
            FROM (SELECT *, gap > {GAP_DAYS} AND n_after * {FEW} < n_all AS is_stray FROM story)
            """
        ).fetchall()
    if day is not None:
        raise RecordsError(
            f"{n_after} row(s) became known {gap} days or more after all others",
            where=f"table {table}, known from {day} on",
            expected="no gap at the end: labels would count as final before their outcomes are known",
            next_step="correct the dates of these rows, or leave the rows out",
        )
    found: dt.date = last or dt.date.min
    return found
