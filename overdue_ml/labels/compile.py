"""The label compiler: who went overdue after an as_of date, and whether that is known for good.

Every row gets a verdict, so that nothing leaves the training set without a reason.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pandas as pd

from overdue_ml.config import LabelsConfig, check_config
from overdue_ml.errors import RecordsError
from overdue_ml.labels.instalments import label_by_instalments, require_instalments
from overdue_ml.labels.reach import last_known
from overdue_ml.records import Records
from overdue_ml.records.dates import AsOf, parse_dates
from overdue_ml.records.facts import known_on_sql

VERDICTS = ("overdue", "on_time", "technical", "already_overdue", "nothing_due", "immature")
TRAINABLE = ("overdue", "on_time")


def label_customers(
    records: Records, as_of: AsOf | Sequence[AsOf] | None = None, config: LabelsConfig | None = None
) -> pd.DataFrame:
    """Label customers on one or many as_of dates.

    Parameters
    ----------
    records : Records
    as_of : date, str or sequence of these, optional
        All dates of the ``labels`` table by default; must be given for the other sources.
    config : LabelsConfig, optional

    Returns
    -------
    pandas.DataFrame
        Indexed (customer_id, as_of_date), sorted. Columns: is_overdue (bool, false where the verdict
        is neither overdue nor on_time), verdict, matured_on (the day from which on the label is
        final; null if immature).

    Raises
    ------
    ConfigError
        If ``config`` is anything but a LabelsConfig.
    RecordsError
        If the table of the label source is missing, or has nothing on the dates.

    Notes
    -----
    ``next_statement`` asks of every account with a known statement: what does the first statement
    say that became known after the as_of date and within ``horizon_days``? Overdue is
    ``dpd >= overdue_dpd`` there. Since it goes by ``known_on``, a status that is written on an old
    statement afterwards is part of the future, not of the past. Overdue is final with the first
    account that says so; on_time with the last of the accounts not closed by the as_of date, or at
    the end of the horizon if one of them stays silent. In the population ``past_due`` only customers with
    days past due on their latest statements are asked, and overdue is a next statement in a worse bucket
    (1-30, 31-60, 61-90, 90+) than the worst of those.

    ``instalments``: see :mod:`overdue_ml.labels.instalments`.
    """
    config = check_config(LabelsConfig, config)
    if config.source == "labels":
        return _from_table(records, as_of, config)
    if as_of is None:
        raise RecordsError(
            f"no as_of date was given for labels from {config.source}",
            next_step="list the observation points under 'as_of' in the train config",
        )
    dates = parse_dates(as_of)
    if config.source == "instalments":
        require_instalments(records)
        return _finish(label_by_instalments(records, dates, config))
    return _from_next_statement(records, dates, config)


def _finish(frame: pd.DataFrame) -> pd.DataFrame:
    frame["customer_id"] = frame["customer_id"].astype("str")
    frame["as_of_date"] = pd.to_datetime(frame["as_of_date"]).astype("datetime64[s]")
    frame["matured_on"] = pd.to_datetime(frame["matured_on"]).astype("datetime64[s]")
    frame["verdict"] = frame["verdict"].astype("str")
    frame["is_overdue"] = frame["verdict"] == "overdue"
    columns = ["is_overdue", "verdict", "matured_on"]
    return frame.set_index(["customer_id", "as_of_date"])[columns].sort_index()


def _from_table(records: Records, as_of: AsOf | Sequence[AsOf] | None, config: LabelsConfig) -> pd.DataFrame:
    if "labels" not in records:
        raise RecordsError(
            "the records have no table 'labels'",
            next_step="add it, or set labels.source to next_statement or instalments in the train config",
        )
    known = f"coalesce(l.known_on, l.as_of_date + {config.horizon_days})"
    if "known_on" not in records.columns("labels"):
        known = f"l.as_of_date + {config.horizon_days}"
    with records.connect() as con:
        frame = con.sql(
            f"""SELECT l.customer_id, l.as_of_date, {known} AS matured_on,
                CASE WHEN l.is_overdue THEN 'overdue' ELSE 'on_time' END AS verdict FROM labels l"""
        ).df()
    there = sorted({day.date() for day in pd.to_datetime(frame["as_of_date"])})
    if as_of is not None:
        wanted = parse_dates(as_of)
        absent = [day for day in wanted if day not in there]
        if absent:
            raise RecordsError(
                f"the labels table has no row as of {absent[0]}",
                where="table labels",
                expected=f"one of {', '.join(str(d) for d in there[-5:])}",
            )
        frame = frame[pd.to_datetime(frame["as_of_date"]).dt.date.isin(wanted)].copy()
    return _finish(frame)


_BUCKET = "CASE WHEN {0} > 90 THEN 4 ELSE ceil({0} / 30.0)::INTEGER END"
# Per population: who is not asked any more, who not at all, and what counts as overdue.
_POPULATIONS = {
    "all": ("false", "false", "dpd >= {overdue_dpd}"),
    "pre_due": ("coalesce(latest_dpd, 0) > 0", "false", "dpd >= {overdue_dpd}"),
    "past_due": (
        "coalesce(latest_dpd, 0) > 90",
        "coalesce(latest_dpd, 0) = 0",
        f"{_BUCKET.format('dpd')} > {_BUCKET.format('latest_dpd')}",
    ),
}


# One row a customer and date: what each account said next, then the verdict.
_NEXT_STATEMENT = """
    WITH dated AS (
        SELECT a.customer_id, s.account_id, o.as_of, s.statement_date, s.dpd, {known} AS known_on,
            {closed} AS is_closed
        FROM statements s JOIN accounts a USING (account_id) CROSS JOIN observation o
    ),
    marked AS (
        SELECT *,
            known_on <= as_of AND statement_date = max(statement_date)
                FILTER (WHERE known_on <= as_of) OVER account AS is_latest,
            known_on > as_of AND known_on <= as_of + {horizon_days}
                AND bool_or(known_on <= as_of) OVER account
                AND row_number() OVER (
                    PARTITION BY account_id, as_of, known_on > as_of ORDER BY known_on, statement_date
                ) = 1 AS is_next
        FROM dated WINDOW account AS (PARTITION BY account_id, as_of)
    ),
    compared AS (
        SELECT *, max(dpd) FILTER (WHERE is_latest)
            OVER (PARTITION BY customer_id, as_of) AS latest_dpd
        FROM marked
    ),
    decided AS (
        SELECT customer_id, as_of,
            count(*) FILTER (WHERE known_on <= as_of) AS n_known,
            bool_or({already}) AS is_already, bool_or({unasked}) AS is_unasked,
            max(dpd) FILTER (WHERE is_next) AS next_dpd,
            max(known_on) FILTER (WHERE is_next) AS all_known,
            min(known_on) FILTER (WHERE is_next AND {overdue}) AS overdue_known,
            count(*) FILTER (WHERE is_latest AND NOT is_closed)
                > count(*) FILTER (WHERE is_next AND NOT is_closed) AS is_silent
        FROM compared GROUP BY customer_id, as_of
    )
    SELECT customer_id, as_of AS as_of_date,
        CASE WHEN is_already THEN 'already_overdue'
            WHEN is_unasked THEN 'nothing_due'
            WHEN overdue_known IS NOT NULL THEN 'overdue'
            WHEN next_dpd IS NOT NULL AND (NOT is_silent OR getvariable('reach') >= as_of + {horizon_days})
                THEN 'on_time'
            WHEN getvariable('reach') >= as_of + {horizon_days} THEN 'nothing_due'
            ELSE 'immature' END AS verdict,
        CASE WHEN is_unasked THEN as_of
            WHEN overdue_known IS NOT NULL THEN overdue_known
            WHEN next_dpd IS NOT NULL AND NOT is_silent THEN all_known
            WHEN getvariable('reach') >= as_of + {horizon_days} THEN as_of + {horizon_days} END AS matured_on
    FROM decided WHERE n_known > 0"""


def _from_next_statement(records: Records, dates: list[dt.date], config: LabelsConfig) -> pd.DataFrame:
    if "statements" not in records:
        raise RecordsError(
            "the records have no table 'statements'",
            expected="statements with days past due (dpd), for labels from next_statement",
            next_step="add it, or set labels.source to labels or instalments in the train config",
        )
    if "dpd" not in records.columns("statements"):
        raise RecordsError("the column 'dpd' is missing", where="table statements", next_step="add it")
    already, unasked, overdue = _POPULATIONS[config.population]
    closed = "coalesce(a.closed_on <= o.as_of, false)"
    query = _NEXT_STATEMENT.format(
        known=known_on_sql(records, "statements", alias="s"),
        closed=closed if "closed_on" in records.columns("accounts") else "false",
        already=already,
        unasked=unasked,
        overdue=overdue.format(overdue_dpd=config.overdue_dpd),
        horizon_days=config.horizon_days,
    )
    with records.connect() as con:
        con.execute("SET VARIABLE reach = ?", [last_known(records, "statements")])
        con.execute("CREATE TEMP TABLE observation (as_of DATE)")
        con.executemany("INSERT INTO observation VALUES (?)", [[day] for day in dates])
        return _finish(con.sql(query).df())


def trainable(labels: pd.DataFrame, known_by: dt.date | None = None) -> pd.DataFrame:
    """Rows that may train a model: decided, and final by ``known_by``.

    Parameters
    ----------
    labels : pandas.DataFrame
        From :func:`label_customers`.
    known_by : datetime.date, optional
        The day on which the model is trained; every decided row otherwise.
    """
    keep = labels["verdict"].isin(TRAINABLE)
    if known_by is not None:
        keep &= labels["matured_on"] <= pd.Timestamp(known_by)
    return labels[keep]
