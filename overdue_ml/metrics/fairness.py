"""What a score does to groups of people: who is selected, rightly or not, and whether probabilities hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from overdue_ml.metrics._checks import (
    FloatArray,
    IntArray,
    as_probabilities,
    as_target,
    as_vector,
    check_lengths,
)
from overdue_ml.metrics.calibration import wilson_interval
from overdue_ml.metrics.segments import SmallGroups, pool_small

_RATES = ("selected", "tpr", "fpr", "overdue")
_COLUMNS = [f"{rate}_{end}" for rate in _RATES for end in ("rate", "low", "high")]


def compare_groups(
    y_true: ArrayLike,
    p: ArrayLike,
    selected: ArrayLike,
    group: ArrayLike | pd.Categorical[str],
    customers: ArrayLike | None = None,
    limits: SmallGroups | None = None,
) -> pd.DataFrame:
    """Selection, errors and calibration of each group; a report, not a verdict.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        1 for overdue, 0 otherwise.
    p : array-like of shape (n,)
        Probability of overdue, in [0, 1].
    selected : array-like of shape (n,)
        Whether each row is selected; a share for ties at a cut, as `select_top` gives it.
    group : array-like of shape (n,) or Categorical
        Group of each row; see `pool_small` for those of few rows.
    customers : array-like of shape (n,), optional
        Whose row it is: the rows of one customer count once for the width of an interval.
    limits : SmallGroups, optional

    Returns
    -------
    DataFrame
        One row a group: group, n, n_overdue, mean_p, then rate, low and high (Wilson 95 %) of ``selected``
        (all rows), ``tpr`` (overdue rows that are selected), ``fpr`` (other rows that are selected) and
        ``overdue``, then too_few. Where a group is too few, everything but n is NaN.

    Raises
    ------
    ValueError
        If `p` or `selected` leaves [0, 1], or inputs have NaN or different lengths.

    References
    ----------
    Hardt, Price and Srebro (2016), Equality of opportunity in supervised learning, NeurIPS; Kleinberg,
    Mullainathan and Raghavan (2017), Inherent trade-offs in the fair determination of risk scores, ITCS:
    groups with different overdue rates cannot be equal in all of these at once.

    Examples
    --------
    >>> y, p = [0, 0, 1, 1] * 50, [0.1, 0.3, 0.2, 0.8] * 50
    >>> table = compare_groups(y, p, np.array(p) >= 0.25, ["a"] * 100 + ["b"] * 100)
    >>> table[["group", "selected_rate", "tpr_rate", "fpr_rate"]]
      group  selected_rate  tpr_rate  fpr_rate
    0     a            0.5       0.5       0.5
    1     b            0.5       0.5       0.5
    """
    limits = limits or SmallGroups()
    target, probability = as_target(y_true), as_probabilities(p)
    chosen = as_probabilities(as_vector(np.asarray(selected, dtype=np.float64), "selected"), "selected")
    parts = pool_small(group, customers)
    owner = np.arange(target.size) if customers is None else pd.factorize(np.asarray(customers))[0]
    check_lengths(
        ("y_true", "p", "selected", "group", "customers"),
        (target.size, probability.size, chosen.size, len(parts), owner.size),
    )
    rows = []
    for code, name in enumerate(parts.categories):
        here = parts.codes == code
        n, hits = int(here.sum()), int(target[here].sum())
        row: dict[str, object] = {"group": name, "n": n, "too_few": not limits.allow(n, hits)}
        if not row["too_few"]:
            bad = here & (target == 1)
            row |= {"n_overdue": hits, "mean_p": float(np.sort(probability[here]).sum()) / n}
            shares = (
                _share(chosen[here], owner[here]),
                _share(chosen[bad], owner[bad]),
                _share(chosen[here & ~bad], owner[here & ~bad]),
                _share(target[here].astype(np.float64), owner[here]),
            )
            row |= dict(zip(_COLUMNS, (end for share in shares for end in share), strict=True))
        rows.append(row)
    numbers = ["n_overdue", "mean_p", *_COLUMNS]
    table = pd.DataFrame(rows, columns=["group", "n", *numbers, "too_few"])
    return table.astype(dict.fromkeys(numbers, "float64") | {"group": "str"})


def _share(values: FloatArray, owner: IntArray) -> tuple[float, float, float]:
    """Mean with its interval, as wide as for one row a customer."""
    rate = float(np.sort(values).sum()) / values.size
    n = np.array([float(np.unique(owner).size)])
    low, high = wilson_interval(rate * n, n)
    return rate, float(low[0]), float(high[0])
