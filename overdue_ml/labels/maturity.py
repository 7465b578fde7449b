"""Maturity: which labels are final, and from when on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pandas as pd

from overdue_ml.config import LabelsConfig
from overdue_ml.errors import RecordsError
from overdue_ml.labels.compile import TRAINABLE, VERDICTS, label_customers
from overdue_ml.labels.instalments import days_to_final, require_instalments
from overdue_ml.labels.reach import last_known
from overdue_ml.labels.sensitivity import require_dpd
from overdue_ml.records import Records
from overdue_ml.records.dates import AsOf, parse_dates


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
        change: the last matured_on, or the end of the performance window while one is immature). A date
        on which no customer is known has n_customers 0 and no share.
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
    wait = days_to_final(records, config) if config.source == "instalments" else config.horizon_days
    end = dates + pd.Timedelta(days=wait)
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
        ``horizon_days``, for ``instalments`` the newest day on which a payment became known less the days
        until the last answer is final; up to there no label of any date is immature. For ``labels`` the
        last date of the table, whose outcomes are decided.

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
    if config.source == "instalments":
        require_instalments(records)
        return last_known(records, "payments") - dt.timedelta(days=days_to_final(records, config))
    require_dpd(records)
    if not records.tables["statements"].num_rows:
        raise RecordsError("there are no statements", where="table statements")
    return last_known(records, "statements") - dt.timedelta(days=config.horizon_days)
