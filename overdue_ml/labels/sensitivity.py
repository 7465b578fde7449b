"""Sensitivity: what another definition of overdue would change."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from overdue_ml.config import LabelsConfig, RecordsConfig, build_config
from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.labels.instalments import Cell, judge_parts
from overdue_ml.labels.reach import last_known
from overdue_ml.records import Records
from overdue_ml.records.dates import AsOf, parse_dates
from overdue_ml.records.facts import known_on_sql


def require_dpd(records: Records) -> None:
    """Refuse statements without days past due."""
    if "dpd" not in records.columns("statements"):
        raise RecordsError("the column 'dpd' is missing", where="table statements", next_step="add it")


#: What is varied by default, by label source.
_VARIED: dict[str, dict[str, tuple[float, ...]]] = {
    "next_statement": {"horizon_days": (15, 31, 62, 93), "overdue_dpd": (1, 7, 15, 30, 31, 60, 90)},
    "instalments": {
        "grace_days": (0, 3, 7),
        "tolerance_ratio": (0.0, 0.01, 0.05),
        "overdue_dpd": (1, 7, 15, 30, 60, 90),
    },
}
#: What can be varied; the tolerances are settings of the records.
_CAN_VARY = {
    "next_statement": ("horizon_days", "overdue_dpd"),
    "instalments": ("horizon_days", "grace_days", "tolerance_amount", "tolerance_ratio", "overdue_dpd"),
}
_COUNTS = ["n_customers", "n_decided", "n_overdue", "n_immature"]


def sensitivity_grid(
    records: Records,
    as_of: AsOf | Sequence[AsOf],
    config: LabelsConfig | None = None,
    vary: Mapping[str, Sequence[float]] | None = None,
) -> pd.DataFrame:
    """Overdue rate under other definitions of overdue.

    Each cell is what :func:`label_customers` would give for it; the records are read once for all.

    Parameters
    ----------
    records : Records
    as_of : date, str or sequence of these
    config : LabelsConfig, optional
        Its source must be ``next_statement`` or ``instalments``; by default the one of the two that the
        records have.
    vary : mapping of str to sequence of numbers, optional
        Values in place of those of the configs: ``horizon_days`` and ``overdue_dpd``, and for instalments
        ``grace_days``, ``tolerance_amount`` and ``tolerance_ratio``. By default days past due with the
        horizon, or with grace and tolerance_ratio.

    Returns
    -------
    pandas.DataFrame
        Indexed by as_of_date and what was varied, sorted. Columns: n_customers (known on the date),
        n_decided, n_overdue, n_immature, overdue_rate (of the decided, null where none is).

    Raises
    ------
    ConfigError
        If a value is out of range, none is given, or the source or population is another one.
    RecordsError
        If the statements have no days past due, or there are no instalments or payments.
    """
    if config is None:
        by_statement = "dpd" in records.columns("statements") or "instalments" not in records
        config = LabelsConfig(source="next_statement" if by_statement else "instalments")
    if config.source not in _CAN_VARY or config.population == "past_due":
        raise ConfigError(
            f"a sensitivity grid cannot be made of labels from '{config.source}', "
            f"population '{config.population}'",
            where="labels.source",
            expected="next_statement or instalments, population all or pre_due",
        )
    asked = {name: sorted(set(values)) for name, values in (vary or _VARIED[config.source]).items()}
    _check_values(asked, records, config)
    names = [name for name in _CAN_VARY[config.source] if name in asked]
    dates = parse_dates(as_of)
    if config.source == "instalments":
        grid = _count_instalments(records, dates, [asked[name] for name in names], names, config)
    else:
        require_dpd(records)
        dpd = [int(value) for value in asked.get("overdue_dpd", [config.overdue_dpd])]
        horizons = [int(value) for value in asked.get("horizon_days", [config.horizon_days])]
        grid = _count_cells(records, dates, dpd, horizons, config)
    grid["as_of_date"] = grid["as_of_date"].astype("datetime64[s]")
    grid = grid.set_index(["as_of_date", *names])[_COUNTS].astype("int64").sort_index()
    decided = grid["n_decided"]
    grid["overdue_rate"] = (grid["n_overdue"] / decided).where(decided > 0).astype("float64")
    return grid


def _check_values(asked: Mapping[str, Sequence[float]], records: Records, config: LabelsConfig) -> None:
    if not asked or not all(len(values) for values in asked.values()):
        raise ConfigError("no cell was asked for", expected="at least one value of everything varied")
    unknown = sorted(set(asked) - set(_CAN_VARY[config.source]))
    if unknown:
        raise ConfigError(
            f"'{unknown[0]}' cannot be varied for labels from {config.source}",
            where="vary",
            expected=" or ".join(_CAN_VARY[config.source]),
        )
    for name, values in asked.items():
        for value in values:
            if name.startswith("tolerance"):
                settings = records.config.model_dump() | {name: value}
                build_config(RecordsConfig, settings, where="sensitivity_grid")
            else:
                settings = config.model_dump() | {name: value}
                build_config(LabelsConfig, settings, where="sensitivity_grid")


def _count_instalments(
    records: Records,
    dates: list[dt.date],
    values: list[list[float]],
    names: list[str],
    config: LabelsConfig,
) -> pd.DataFrame:
    """One row a date and cell, summed over the parts of the book."""
    own = Cell.of(records, config)
    varied = [dict(zip(names, row, strict=True)) for row in itertools.product(*values)]
    cells = [replace(own, **row) for row in varied]  # type: ignore[arg-type]
    index = pd.MultiIndex.from_product([pd.DatetimeIndex(dates), range(len(cells))], names=["as_of", "cell"])
    counts = pd.DataFrame(0, index=index, columns=_COUNTS)
    for con in judge_parts(records, dates, cells, config):
        part = con.sql(
            """SELECT as_of, cell, count(*) AS n_customers,
                count(*) FILTER (WHERE verdict IN ('overdue', 'on_time')) AS n_decided,
                count(*) FILTER (WHERE verdict = 'overdue') AS n_overdue,
                count(*) FILTER (WHERE verdict = 'immature') AS n_immature
            FROM verdicts GROUP BY as_of, cell"""
        ).df()
        part["as_of"] = pd.to_datetime(part["as_of"])
        counts = counts.add(part.set_index(["as_of", "cell"]), fill_value=0)
    found = counts.reset_index().rename(columns={"as_of": "as_of_date"})
    which = pd.DataFrame(varied).iloc[found["cell"].to_numpy()].reset_index(drop=True)
    return pd.concat([found, which], axis=1)


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
        con.execute("SET VARIABLE reach = ?", [last_known(records, "statements")])
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
            judged AS (
                SELECT as_of, horizon_days, worst_dpd, is_already,
                    getvariable('reach') >= as_of + horizon_days AS is_over,
                    worst_dpd IS NOT NULL AND (NOT is_silent OR is_over) AS is_told
                FROM decided
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
