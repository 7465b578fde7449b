"""Labels from settled instalments: what fell due after an as_of date, and whether it was paid in time.

The rules, in words. T is the as_of date, ``grace`` and ``dpd`` the grace_days and overdue_dpd of the config.

*Asked* is every instalment that, as known at T, falls due in (T, T + horizon_days]; amounts of zero are
none. Its *deadline* is due_date + grace + dpd - 1, and the question is asked at the end of that day: is it
short by more than the tolerance? Money paid by the deadline counts even if it becomes known up to *wait*
days after it; what becomes known later does not, so that an answer never changes again. The wait is
``posting_lag_days`` of the records, or ``posting_days`` if that is more and payments have ``known_on``.

*Answers*: ``on_time`` if it is not short. ``put_off`` if a version known by then moved its due date so that
the new deadline lies ahead. ``technical`` if it is short, but technical payments alone make it good within
``technical_days``. Else ``overdue``. An answer is final on deadline + wait, and one that a technical
payment may still change ``technical_days`` later.

*The customer* is overdue if one instalment is, from the day on which the first such answer is final;
otherwise immature while an answer is open, then technical if one is, then on_time if one is, and nothing_due
if nothing fell due or all was put off.

*Past due at T* is who has an instalment due before T that is short by more than the tolerance. In the
population ``pre_due`` they are already_overdue. In ``past_due`` only they are asked, and otherwise: is the
oldest days past due at the end of T + horizon_days in a worse bucket (1-30, 31-60, 61-90, 90+) than at T?
Who is in the last bucket already cannot roll: already_overdue.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.config import LabelsConfig
from overdue_ml.errors import RecordsError
from overdue_ml.labels.reach import last_known
from overdue_ml.records import Records, compute_histories, iter_histories
from overdue_ml.records.dates import AsOf, parse_dates
from overdue_ml.records.facts import account_known_sql
from overdue_ml.records.settlement import UNITS


@dataclass(frozen=True)
class Cell:
    """One definition of overdue.

    Attributes
    ----------
    horizon_days, grace_days, overdue_dpd : int
    tolerance_amount, tolerance_ratio : float
    """

    horizon_days: int
    grace_days: int
    overdue_dpd: int
    tolerance_amount: float
    tolerance_ratio: float

    @property
    def wait(self) -> int:
        """Days from the due date to the deadline."""
        return self.grace_days + self.overdue_dpd - 1

    @classmethod
    def of(cls, records: Records, config: LabelsConfig) -> Cell:
        """The definition that the configs give."""
        return cls(
            config.horizon_days,
            config.grace_days,
            config.overdue_dpd,
            records.config.tolerance_amount,
            records.config.tolerance_ratio,
        )


def require_instalments(records: Records) -> None:
    """Refuse records without the two tables.

    Raises
    ------
    RecordsError
        If instalments or payments are missing.
    """
    for table in ("instalments", "payments"):
        if table not in records:
            raise RecordsError(
                f"the records have no table '{table}'",
                expected="instalments and payments, for labels from instalments",
                next_step="add it, or set labels.source to labels or next_statement in the train config",
            )


def days_to_final(records: Records, config: LabelsConfig) -> int:
    """The most days from an as_of date until its labels are final."""
    wait = _posting_days(records, config)
    if config.population == "past_due":
        return config.horizon_days + wait
    return config.horizon_days + Cell.of(records, config).wait + wait + _technical_days(records, config)


def _posting_days(records: Records, config: LabelsConfig) -> int:
    lag = records.config.posting_lag_days
    return max(lag, config.posting_days) if "known_on" in records.columns("payments") else lag


def _technical_days(records: Records, config: LabelsConfig) -> int:
    return config.technical_days if "technical" in records.columns("payments") else 0


# A shortfall above the tolerance, in whole units as settlement counts.
_SHORT = """round({s}.shortfall_amount * {units}) > greatest(
            round({c}.tolerance_amount * {units}),
            round(round({s}.amount_due * {units}) * {c}.tolerance_ratio))"""
_BUCKET = "CASE WHEN {dpd} IS NULL THEN 0 WHEN {dpd} > 90 THEN 4 ELSE ceil({dpd} / 30.0)::INTEGER END"

_KEYS = """
    SELECT k.customer_id, o.as_of, c.cell FROM customers_known k
        JOIN observation o ON k.known_on <= o.as_of CROSS JOIN cells c"""

# The oldest days past due of a customer, as of every observation point, or so many days after it.
_PAST = """
    SELECT h.customer_id, o.as_of, c.cell, max(o.as_of + {later} - h.due_date) AS dpd
    FROM {histories} h
        JOIN observation o
            ON o.as_of + {later} >= greatest(h.from_date, h.due_date + 1) AND o.as_of + {later} < h.until_date
        CROSS JOIN cells c
    WHERE h.shortfall_amount > 0 AND {short}
    GROUP BY ALL"""

# Each instalment that is asked, under each definition, with what is known of it at its deadline.
_ANSWERS = """
    WITH asked AS (
        SELECT h.customer_id, h.account_id, h.instalment_no, o.as_of, c.*, h.due_date + c.wait AS deadline
        FROM known h
            JOIN observation o ON o.as_of >= greatest(h.from_date, h.due_date - {longest})
                AND o.as_of < least(h.until_date, h.due_date)
            JOIN cells c ON h.due_date <= o.as_of + c.horizon_days
        WHERE h.amount_due > 0
    )
    SELECT a.customer_id, a.as_of, a.cell,
        CASE WHEN w.due_date + a.wait > a.deadline THEN 'put_off'
            WHEN NOT ({short}) THEN 'on_time'
            WHEN {excused} THEN 'technical' ELSE 'overdue' END AS answer,
        a.deadline - a.wait AS due_date, w.shortfall_amount,
        a.deadline + {posting}
            + CASE WHEN answer IN ('technical', 'overdue') THEN {technical} ELSE 0 END AS final_on
    FROM asked a
        JOIN waited w ON w.account_id = a.account_id AND w.instalment_no = a.instalment_no
            AND a.deadline >= w.from_date AND a.deadline < w.until_date
        {made_good}"""

_MADE_GOOD = """JOIN waited t ON t.account_id = a.account_id AND t.instalment_no = a.instalment_no
            AND a.deadline + {technical} >= t.from_date AND a.deadline + {technical} < t.until_date"""
# Of what is short at the deadline, technical money alone must cover all but the tolerance.
_EXCUSED = """round((w.shortfall_amount - greatest(t.technical_amount - w.technical_amount, 0)) * {units})
    <= greatest(
        round(a.tolerance_amount * {units}), round(round(w.amount_due * {units}) * a.tolerance_ratio))"""

_CUSTOMERS = """
    SELECT customer_id, as_of, cell,
        count(*) FILTER (WHERE final_on > getvariable('reach')) AS n_open,
        min(final_on) FILTER (WHERE answer = 'overdue' AND final_on <= getvariable('reach')) AS overdue_on,
        bool_or(answer = 'technical') AS is_technical, bool_or(answer = 'on_time') AS is_on_time,
        max(final_on) AS final_on
    FROM answers GROUP BY customer_id, as_of, cell"""

_ASKED = """
        SELECT k.customer_id, k.as_of, k.cell,
            CASE WHEN {is_past} THEN 'already_overdue'
                WHEN c.overdue_on IS NOT NULL THEN 'overdue'
                WHEN c.final_on IS NULL THEN 'nothing_due'
                WHEN c.n_open > 0 THEN 'immature'
                WHEN c.is_technical THEN 'technical'
                WHEN c.is_on_time THEN 'on_time' ELSE 'nothing_due' END AS verdict,
            CASE verdict WHEN 'already_overdue' THEN k.as_of WHEN 'overdue' THEN c.overdue_on
                WHEN 'immature' THEN NULL ELSE coalesce(c.final_on, k.as_of) END AS matured_on
        FROM keys k LEFT JOIN customers c USING (customer_id, as_of, cell)
            {past}"""
_ROLLED = """
        SELECT k.customer_id, k.as_of, k.cell,
            CASE WHEN p.dpd IS NULL THEN 'nothing_due'
                WHEN {bucket} = 4 THEN 'already_overdue'
                WHEN k.as_of + d.horizon_days + {posting} > getvariable('reach') THEN 'immature'
                WHEN {later_bucket} > {bucket} THEN 'overdue' ELSE 'on_time' END AS verdict,
            CASE WHEN verdict IN ('nothing_due', 'already_overdue') THEN k.as_of
                WHEN verdict <> 'immature' THEN k.as_of + d.horizon_days + {posting} END AS matured_on
        FROM keys k JOIN cells d USING (cell) LEFT JOIN past p USING (customer_id, as_of, cell)
            LEFT JOIN later l USING (customer_id, as_of, cell)"""


def judge_parts(
    records: Records, dates: Sequence[dt.date], cells: Sequence[Cell], config: LabelsConfig
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Verdicts under one or many definitions, a part of the customers at a time.

    Parameters
    ----------
    records : Records
    dates : sequence of datetime.date
    cells : sequence of Cell
        For the population ``past_due`` all of one horizon.
    config : LabelsConfig
        Population, posting_days and technical_days; the rest comes from the cells.

    Yields
    ------
    duckdb.DuckDBPyConnection
        With a view ``verdicts`` (customer_id, as_of, cell, verdict, matured_on), one row for each customer
        of the part, date on which the customer was known, and number of the cell.

    Raises
    ------
    RecordsError
        If there are no instalments or payments.
    """
    require_instalments(records)
    reach, wait = last_known(records, "payments"), _posting_days(records, config)
    customers = _known_from(records)
    known_parts = iter_histories(records)
    # Without a wait the second reading is the first.
    waited_parts = iter_histories(records, wait_days=wait) if wait else None
    with_instalments: list[pa.ChunkedArray] = []
    for known in known_parts:
        waited = known if waited_parts is None else next(waited_parts)
        owners = known.column("customer_id").unique()
        with_instalments.append(owners)
        part = customers.filter(pc.is_in(customers["customer_id"], owners))
        yield from _judge(part, known, waited, (records, dates, cells, config, reach))
    rest = customers
    for owners in with_instalments:
        rest = rest.filter(pc.invert(pc.is_in(rest["customer_id"], owners)))
    if rest.num_rows:
        nothing = compute_histories({name: table.slice(0, 0) for name, table in records.tables.items()})
        yield from _judge(rest, nothing, nothing, (records, dates, cells, config, reach))


def _judge(
    customers: pa.Table,
    known: pa.Table,
    waited: pa.Table,
    asked: tuple[Records, Sequence[dt.date], Sequence[Cell], LabelsConfig, dt.date],
) -> Iterator[duckdb.DuckDBPyConnection]:
    records, dates, cells, config, reach = asked
    with duckdb.connect() as con:
        con.register("known", known)
        con.register("waited", waited)
        con.register("customers_known", customers)
        con.execute("SET VARIABLE reach = ?", [reach])
        con.execute(
            "CREATE TEMP TABLE observation AS SELECT unnest($dates::DATE[]) AS as_of", {"dates": dates}
        )
        numbered = pd.DataFrame([asdict(cell) | {"wait": cell.wait} for cell in cells])
        con.register("numbered", numbered)
        con.execute(
            """CREATE TEMP TABLE cells AS
            SELECT row_number() OVER ()::INTEGER - 1 AS cell, horizon_days::INTEGER AS horizon_days,
                wait::INTEGER AS wait, tolerance_amount, tolerance_ratio
            FROM numbered"""
        )
        for name, query in _queries(records, cells, config).items():
            con.execute(f"CREATE TEMP TABLE {name} AS {query}")
        yield con


def _queries(records: Records, cells: Sequence[Cell], config: LabelsConfig) -> dict[str, str]:
    """The tables from the histories to the verdicts, in their order."""
    words: dict[str, object] = {"units": UNITS, "posting": _posting_days(records, config)}
    queries = {"keys": _KEYS}
    if config.population != "all":
        queries["past"] = _past("known", 0)
    if config.population == "past_due":
        (horizon,) = {cell.horizon_days for cell in cells}
        queries["later"] = _past("waited", horizon)
        words |= {"bucket": _BUCKET.format(dpd="p.dpd"), "later_bucket": _BUCKET.format(dpd="l.dpd")}
        return queries | {"verdicts": _ROLLED.format(**words)}
    words["longest"] = max(cell.horizon_days for cell in cells)
    words["technical"] = technical = _technical_days(records, config)
    words["made_good"] = _MADE_GOOD.format(technical=technical) if technical else ""
    words["excused"] = _EXCUSED.format(units=UNITS) if technical else "false"
    words["short"] = _SHORT.format(s="w", c="a", units=UNITS)
    words["past"] = "LEFT JOIN past p USING (customer_id, as_of, cell)" if "past" in queries else ""
    words["is_past"] = "p.dpd IS NOT NULL" if "past" in queries else "false"
    return queries | {
        "answers": _ANSWERS.format(**words),
        "customers": _CUSTOMERS,
        "verdicts": _ASKED.format(**words),
    }


def _past(histories: str, later: int) -> str:
    return _PAST.format(histories=histories, later=later, short=_SHORT.format(s="h", c="c", units=UNITS))


def _known_from(records: Records) -> pa.Table:
    """The day from which each customer was known, with or without instalments."""
    with records.connect() as con:
        return con.sql(
            f"""SELECT customer_id, min(known_on) AS known_on FROM ({account_known_sql(records)})
            WHERE known_on IS NOT NULL GROUP BY customer_id"""
        ).to_arrow_table()


def label_by_instalments(records: Records, dates: Sequence[dt.date], config: LabelsConfig) -> pd.DataFrame:
    """Verdicts of every customer on every date: customer_id, as_of_date, verdict, matured_on.

    Parameters
    ----------
    records : Records
    dates : sequence of datetime.date
    config : LabelsConfig

    Raises
    ------
    RecordsError
        If there are no instalments or payments.
    """
    query = "SELECT customer_id, as_of AS as_of_date, verdict, matured_on FROM verdicts"
    parts = judge_parts(records, dates, [Cell.of(records, config)], config)
    found: pd.DataFrame = pd.concat([con.sql(query).df() for con in parts], ignore_index=True)
    return found


# In whole units, of which sums are exact in any order.
_UNPAID = """
    SELECT customer_id, as_of AS as_of_date, due_date,
        (sum(round(shortfall_amount * {units})::BIGINT) / {units})::DOUBLE AS unpaid_amount
    FROM answers WHERE answer = 'overdue' AND final_on <= getvariable('reach') GROUP BY ALL"""


def compute_unpaid(
    records: Records, as_of: AsOf | Sequence[AsOf], config: LabelsConfig
) -> pd.DataFrame | None:
    """What was still unpaid at its deadline of that which went overdue after some dates.

    Parameters
    ----------
    records : Records
    as_of : date, str or sequence of these
    config : LabelsConfig
        What counts as overdue, and from which day on.

    Returns
    -------
    pandas.DataFrame or None
        customer_id, as_of_date, due_date, unpaid_amount (above 0): one row for each due date, as known on the
        as_of date, with an instalment whose answer is overdue and final. None where labels are not made of
        the instalments that fall due: from another source, or of who is past due already.

    Raises
    ------
    RecordsError
        If there are no instalments or payments.
    """
    if config.source != "instalments" or config.population == "past_due":
        return None
    query = _UNPAID.format(units=UNITS)
    parts = judge_parts(records, parse_dates(as_of), [Cell.of(records, config)], config)
    found: pd.DataFrame = pd.concat([con.sql(query).df() for con in parts], ignore_index=True)
    for name in ("as_of_date", "due_date"):
        found[name] = pd.to_datetime(found[name]).astype("datetime64[s]")
    found["customer_id"] = found["customer_id"].astype("str")
    return found.sort_values(["customer_id", "as_of_date", "due_date"], ignore_index=True)
