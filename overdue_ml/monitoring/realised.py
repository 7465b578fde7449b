"""What became of the customers that were scored."""

from __future__ import annotations

import pandas as pd

from overdue_ml.errors import RecordsError
from overdue_ml.metrics import evaluate_scores


def compute_realised(scores: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Performance of published scores, now that outcomes are known.

    Parameters
    ----------
    scores : pandas.DataFrame
        customer_id, as_of_date, p_overdue, log_odds.
    labels : pandas.DataFrame
        Indexed (customer_id, as_of_date), with is_overdue; decided rows only.

    Returns
    -------
    pandas.DataFrame
        metric, value, low, high; ``attrs["n_rows"]`` counts the customers with an outcome.

    Raises
    ------
    RecordsError
        If no scored customer has an outcome yet, or all have the same one.
    """
    keyed = scores.assign(as_of_date=pd.to_datetime(scores["as_of_date"]).astype("datetime64[s]"))
    joined = keyed.set_index(["customer_id", "as_of_date"]).join(labels[["is_overdue"]], how="inner")
    if joined["is_overdue"].nunique() < 2:
        raise RecordsError(
            f"{len(joined)} scored customers have an outcome, all of one kind",
            expected="both overdue and on-time customers",
            next_step="wait until the labels have matured",
        )
    table = evaluate_scores(joined["is_overdue"], joined["p_overdue"], joined["log_odds"], n_boot=200)
    table.attrs["n_rows"] = len(joined)
    return table
