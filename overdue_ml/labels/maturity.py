"""Maturity: which labels are final, from when on, and what another definition of overdue would change."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pandas as pd

from overdue_ml.config import LabelsConfig, build_config
from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.labels.compile import TRAINABLE, VERDICTS, label_customers
from overdue_ml.records import Records
from overdue_ml.records.dates import AsOf, parse_dates
from overdue_ml.records.facts import known_on_sql


def verdicts_by_date(labels: pd.DataFrame) -> pd.DataFrame:
    """Count customers by verdict on every as_of date.

    Parameters
    ----------
    labels : pandas.DataFrame
        From :func:`label_customers`.

    Returns
    -------
    pandas.DataFrame
        Indexed by as_of_date, sorted. One column of counts for each verdict, also where it is zero, then
        overdue_rate: overdue among the decided (overdue or on_time), null where none is.
    """
    names = [*VERDICTS, *sorted(set(labels["verdict"]) - set(VERDICTS))]
    dates = labels.index.get_level_values("as_of_date")
    counts = pd.DataFrame(
        {name: (labels["verdict"] == name).groupby(dates).sum().astype("int64") for name in names}
    ).sort_index()
    decided = counts[list(TRAINABLE)].sum(axis=1)
    counts["overdue_rate"] = (counts["overdue"] / decided).where(decided > 0).astype("float64")
    return counts


def maturity(
    records: Records, as_of_dates: AsOf | Sequence[AsOf] | None = None, config: LabelsConfig | None = None
) -> pd.DataFrame:
    """How far the labels of each as_of date are final.

    Parameters
    ----------
    records : Records
    as_of_dates : date, str or sequence of these, optional
        As for :func:`label_customers`.
    config : LabelsConfig, optional

    Returns
    -------
    pandas.DataFrame
        Indexed by as_of_date: source, n_customers, the columns of :func:`verdicts_by_date`, share_final
        (all verdicts but immature), all_final_on (the day from which on no label of that date can
        change: the last matured_on, or the end of the horizon while one is immature). A date on which no
        customer is known has n_customers 0 and no share.
    """
    config = config or LabelsConfig()
    labels = label_customers(records, as_of_dates, config)
    found = verdicts_by_date(labels)
    if as_of_dates is not None:
        wanted = pd.DatetimeIndex(parse_dates(as_of_dates), name="as_of_date").astype("datetime64[s]")
        counts = [name for name in found if name != "overdue_rate"]
        found = found.reindex(wanted).fillna(dict.fromkeys(counts, 0)).astype(dict.fromkeys(counts, "int64"))
    total = found.drop(columns="overdue_rate").sum(axis=1)
    found.insert(0, "source", config.source)
    found.insert(1, "n_customers", total)
    found["share_final"] = (1.0 - found["immature"] / total).where(total > 0)
    # Who is late already is known to be so on the as_of date, whatever comes.
    waiting = labels[labels["verdict"] != "already_overdue"]
    last = waiting.groupby(level="as_of_date")["matured_on"].max().reindex(found.index)
    dates = found.index.to_series()
    last = last.where(last.notna(), dates)
    end = dates + pd.Timedelta(days=config.horizon_days)
    found["all_final_on"] = last.where(found["immature"] == 0, end).where(total > 0).astype("datetime64[s]")
    return found


def final_from(
    records: Records,
    config: LabelsConfig | None = None,
    as_of_dates: AsOf | Sequence[AsOf] | None = None,
) -> dt.date:
    """The last as_of date whose labels are final, given the newest known row of the records.

    Parameters
    ----------
    records : Records
    config : LabelsConfig, optional
    as_of_dates : date, str or sequence of these, optional
        Candidates. The answer is then the last of them on which no label is immature; it may be later
        than the general one, where every account has spoken before the end of its horizon.

    Returns
    -------
    datetime.date
        Without candidates: for ``next_statement`` the newest day on which a statement became known less
        ``horizon_days``, up to which no label of any date is immature; for ``labels`` the last date of
        the table, whose outcomes are decided.

    Raises
    ------
    RecordsError
        If no candidate has final labels, or the table of the label source is missing.
    """
    config = config or LabelsConfig()
    day: dt.date
    if as_of_dates is not None:
        found = maturity(records, as_of_dates, config)
        final = found.index[(found["n_customers"] > 0) & (found["immature"] == 0)]
        if final.empty:
            raise RecordsError(
                "no given as_of date has final labels only",
                where=f"labels from {config.source}",
                next_step="give earlier dates, or shorten labels.horizon_days in the train config",
            )
        day = final.max().date()
        return day
    if config.source == "labels":
        dates = label_customers(records, None, config).index.get_level_values("as_of_date")
        day = dates.max().date()
        return day
    _require_dpd(records)
    known = known_on_sql(records, "statements", "statement_date", "s")
    with records.connect() as con:
        ((last,),) = con.execute(f"SELECT max({known}) FROM statements s").fetchall()
    if last is None:
        raise RecordsError("there are no statements", where="table statements")
    day = last - dt.timedelta(days=config.horizon_days)
    return day


def _require_dpd(records: Records) -> None:
    if "dpd" not in records.columns("statements"):
        raise RecordsError("the column 'dpd' is missing", where="table statements", next_step="add it")


def sensitivity_grid(
    records: Records,
    as_of: AsOf | Sequence[AsOf],
    overdue_dpd: Sequence[int] = (1, 7, 15, 30, 31, 60, 90),
    horizon_days: Sequence[int] = (15, 31, 62, 93),
    config: LabelsConfig | None = None,
) -> pd.DataFrame:
    """Overdue rate under other definitions of overdue, for labels from the next statement.

    Each cell is what :func:`label_customers` would give for it; the records are read once for all.

    Parameters
    ----------
    records : Records
    as_of : date, str or sequence of these
    overdue_dpd, horizon_days : sequence of int
        Values in place of those of the config.
    config : LabelsConfig, optional
        Its source must be ``next_statement``, which is the default here.

    Returns
    -------
    pandas.DataFrame
        Indexed (as_of_date, horizon_days, overdue_dpd), sorted. Columns: n_customers (known on the
        date), n_decided, n_overdue, n_immature, overdue_rate (of the decided, null where none is).

    Raises
    ------
    ConfigError
        If a value is out of range, none is given, or the source is another one.
    RecordsError
        If the statements have no days past due.
    """
    config = config or LabelsConfig(source="next_statement")
    if config.source != "next_statement":
        raise ConfigError(
            f"a sensitivity grid cannot be made of labels from '{config.source}'",
            where="labels.source",
            expected="next_statement",
        )
    if not overdue_dpd or not horizon_days:
        raise ConfigError("no cell was asked for", expected="values for both overdue_dpd and horizon_days")
    for name, values in (("overdue_dpd", overdue_dpd), ("horizon_days", horizon_days)):
        for value in values:
            build_config(LabelsConfig, config.model_dump() | {name: value}, where="sensitivity_grid")
    _require_dpd(records)
    grid = _count_cells(
        records, parse_dates(as_of), sorted(set(overdue_dpd)), sorted(set(horizon_days)), config
    )
    grid["as_of_date"] = grid["as_of_date"].astype("datetime64[s]")
    grid = grid.set_index(["as_of_date", "horizon_days", "overdue_dpd"]).astype("int64")
    decided = grid["n_decided"]
    grid["overdue_rate"] = (grid["n_overdue"] / decided).where(decided > 0).astype("float64")
    return grid


def _count_cells(
    records: Records, dates: list[dt.date], overdue_dpd: list[int], horizons: list[int], config: LabelsConfig
) -> pd.DataFrame:
    """One row a cell. What an account says next does not depend on the cell, only whether it came in time."""
    known = known_on_sql(records, "statements", "statement_date", "s")
    already = "coalesce(max(latest_dpd), 0) > 0" if config.population == "pre_due" else "false"
    closed = (
        "coalesce(a.closed_on <= o.as_of, false)" if "closed_on" in records.columns("accounts") else "false"
    )
    with records.connect() as con:
        frame = con.execute(
            f"""
            WITH observation AS (SELECT unnest($dates::DATE[]) AS as_of),
            horizon AS (SELECT unnest($horizons::INTEGER[]) AS horizon_days),
            threshold AS (SELECT unnest($overdue_dpd::INTEGER[]) AS overdue_dpd),
            dated AS (
                SELECT s.account_id, s.statement_date, s.dpd, {known} AS known_on FROM statements s
            ),
            account AS (
                SELECT a.customer_id, d.account_id, o.as_of, any_value({closed}) AS is_closed,
                    arg_max_null(d.dpd, d.statement_date) FILTER (WHERE known_on <= as_of) AS latest_dpd,
                    arg_min_null(d.dpd, (known_on, statement_date))
                        FILTER (WHERE known_on > as_of) AS next_dpd,
                    min(known_on) FILTER (WHERE known_on > as_of) AS next_known
                FROM dated d JOIN accounts a USING (account_id) CROSS JOIN observation o
                GROUP BY a.customer_id, d.account_id, o.as_of HAVING min(known_on) <= as_of
            ),
            decided AS (
                SELECT customer_id, as_of, horizon_days, {already} AS is_already,
                    max(next_dpd) FILTER (WHERE next_known <= as_of + horizon_days) AS worst_dpd,
                    bool_or(NOT is_closed AND coalesce(next_known > as_of + horizon_days, true)) AS is_silent
                FROM account CROSS JOIN horizon GROUP BY customer_id, as_of, horizon_days
            ),
            reach AS (SELECT max(known_on) AS last_known FROM dated),
            judged AS (
                SELECT as_of, horizon_days, worst_dpd, is_already,
                    last_known >= as_of + horizon_days AS is_over,
                    worst_dpd IS NOT NULL AND (NOT is_silent OR is_over) AS is_told
                FROM decided CROSS JOIN reach
            )
            SELECT o.as_of AS as_of_date, h.horizon_days, t.overdue_dpd, count(j.as_of) AS n_customers,
                count(*) FILTER (
                    WHERE NOT is_already AND (worst_dpd >= t.overdue_dpd OR is_told)
                ) AS n_decided,
                count(*) FILTER (WHERE NOT is_already AND worst_dpd >= t.overdue_dpd) AS n_overdue,
                count(*) FILTER (
                    WHERE NOT is_already AND NOT coalesce(worst_dpd >= t.overdue_dpd, false)
                        AND NOT is_told AND NOT is_over
                ) AS n_immature
            FROM observation o CROSS JOIN horizon h CROSS JOIN threshold t
                LEFT JOIN judged j ON j.as_of = o.as_of AND j.horizon_days = h.horizon_days
            GROUP BY ALL ORDER BY ALL
            """,
            {"dates": dates, "horizons": horizons, "overdue_dpd": overdue_dpd},
        ).df()
    return frame
