"""The treatment ladder: a suggestion for customers who are past due already; an officer decides.

Nothing here sends, blocks or agrees anything, and nothing follows from a rung by itself.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd

from overdue_ml.config import RemindersConfig
from overdue_ml.records import Records, compute_next_due

TREATMENT_COLUMNS = (
    "customer_id", "as_of_date", "dpd", "overdue_amount", "tier", "rung", "reason_1_code"
)  # fmt: skip
#: The rung of a customer whom no rule fits.
NO_RUNG = "none"


def collect_past_due(records: Records, as_of: dt.date, *, dues: pd.DataFrame | None = None) -> pd.DataFrame:
    """Customers who are past due as known at the end of ``as_of``, of all records or of a part of them.

    The worst account counts. Instalments past due are overdue by what they are short by. A statement does
    not say how much of it is late: of an account that its latest statement calls past due it is the minimum
    due, or the balance where the records have no minimum. Who owes nothing on such accounts any more is
    left out, whatever the statement says of days.

    Parameters
    ----------
    records : Records
    as_of : datetime.date
    dues : pandas.DataFrame, optional
        What :func:`overdue_ml.records.compute_next_due` gave for the same records, to spare its work.

    Returns
    -------
    pandas.DataFrame
        customer_id, dpd (days), overdue_amount (missing where the records have no amounts); sorted by
        customer_id.
    """
    dues = compute_next_due(records, as_of) if dues is None else dues
    late = dues.loc[dues["dpd"] > 0, ["dpd", "overdue_amount"]].rename_axis("customer_id")
    amounts = {"minimum_due_amount", "balance_amount"} & set(records.columns("statements"))
    if amounts or "instalments" in records:
        late = late[late["overdue_amount"] > 0]
    else:
        late = late.assign(overdue_amount=np.nan)
    late.index = late.index.astype("str")
    return late.astype({"dpd": "int64", "overdue_amount": "float64"}).sort_index().reset_index()


def suggest_treatment(past_due: pd.DataFrame, config: RemindersConfig | None = None) -> pd.DataFrame:
    """Suggest a rung of the ladder: the first rule that fits by days, tier and overdue amount.

    Parameters
    ----------
    past_due : pandas.DataFrame
        customer_id, as_of_date, dpd, overdue_amount, tier and reason_1_code. A missing amount reaches no
        ``min_amount`` above 0.
    config : RemindersConfig, optional

    Returns
    -------
    pandas.DataFrame
        ``TREATMENT_COLUMNS``, every customer once; ``rung`` is ``none`` where no rule fits. Longest past due
        first, then the largest amount, then by customer_id.
    """
    ladder = (config or RemindersConfig()).ladder
    dpd, amount = past_due["dpd"].to_numpy(), past_due["overdue_amount"].fillna(0.0).to_numpy()
    fits = [
        (dpd >= rule.min_dpd) & (amount >= rule.min_amount) & past_due["tier"].isin(rule.tiers).to_numpy()
        for rule in ladder
    ]
    rung = pd.Series(NO_RUNG, past_due.index, dtype="object")
    for rule, here in zip(reversed(ladder), reversed(fits), strict=True):
        rung[here] = rule.rung
    found = past_due.assign(rung=rung).sort_values(
        ["dpd", "overdue_amount", "customer_id"], ascending=[False, False, True], kind="stable"
    )
    return found[list(TREATMENT_COLUMNS)].reset_index(drop=True)
