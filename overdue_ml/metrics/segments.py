"""The same metrics for parts of the rows, and nothing where a part is too small to say anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from overdue_ml.metrics._checks import as_probabilities, as_target, as_vector, check_at_least, check_lengths
from overdue_ml.metrics.calibration import compute_ece
from overdue_ml.metrics.intervals import bootstrap_interval
from overdue_ml.metrics.ranking import compute_auc
from overdue_ml.metrics.swap import MIN_SHOWN_ROWS

OTHER, UNKNOWN = "(other)", "(unknown)"
#: More would be a list of names.
MAX_LEVELS = 30


@dataclass(frozen=True, slots=True)
class SmallGroups:
    """From how many rows, and overdue and other rows, on a group is evaluated.

    Parameters
    ----------
    min_rows : int
        At least 10: fewer could point at a customer.
    min_overdue : int
        Of each class.

    Raises
    ------
    ValueError
        If a limit is too low.
    """

    min_rows: int = 100
    min_overdue: int = 10

    def __post_init__(self) -> None:
        check_at_least(self.min_rows, MIN_SHOWN_ROWS, "min_rows")
        check_at_least(self.min_overdue, 1, "min_overdue")

    def allow(self, n_rows: int, n_overdue: int) -> bool:
        """Whether a group of so many rows, of which so many overdue, is evaluated."""
        return n_rows >= self.min_rows and self.min_overdue <= n_overdue <= n_rows - self.min_overdue


def pool_small(
    labels: ArrayLike | pd.Categorical[str],
    customers: ArrayLike | None = None,
    min_customers: int = MIN_SHOWN_ROWS,
    max_levels: int = MAX_LEVELS,
) -> pd.Categorical[str]:
    """Put levels with few customers together, until together they have enough.

    The smallest that is large enough joins them where they alone have not: otherwise they could be told from
    the figures of all rows and of the levels that are shown.

    Parameters
    ----------
    labels : array-like of shape (n,) or Categorical
        Missing ones become ``(unknown)``.
    customers : array-like of shape (n,), optional
        Whose row it is; by default each row is a customer.
    min_customers : int, default=10
    max_levels : int, default=30
        The largest ones are kept.

    Returns
    -------
    Categorical of shape (n,)
        Levels in the order of the categories, or of their names; ``(unknown)`` and ``(other)`` last.

    Examples
    --------
    >>> pool_small(["a"] * 20 + ["b"] * 12 + ["c"] * 3).value_counts().to_dict()
    {'a': 20, '(other)': 15}
    """
    check_at_least(min_customers, 1, "min_customers")
    given = labels if isinstance(labels, pd.Categorical) else pd.Categorical(pd.Series(labels).astype("str"))
    names = [*(str(level) for level in given.categories), UNKNOWN]
    code = np.where(given.codes < 0, len(names) - 1, given.codes).astype(np.int64)
    owner = np.arange(code.size) if customers is None else pd.factorize(np.asarray(customers))[0]
    check_lengths(("segment", "customers"), (code.size, owner.size))
    pairs = pd.DataFrame({"code": code, "owner": owner}).drop_duplicates()
    count = np.bincount(pairs["code"], minlength=len(names))
    there = [i for i in range(len(names)) if count[i]]
    large = sorted(there, key=lambda i: (-count[i], names[i]))
    small = {i for i in large if count[i] < min_customers} | set(large[max_levels:])
    rest = [i for i in large if i not in small]
    # A customer may have rows in several small levels, and counts once.
    while small and rest and pairs["owner"][pairs["code"].isin(small)].nunique() < min_customers:
        small.add(rest.pop())
    kept = [i for i in there if i not in small]
    place = np.full(len(names), len(kept))
    place[kept] = np.arange(len(kept))
    # A level that calls itself (other) by chance would otherwise stand twice.
    shown = [f"{names[i]} " if names[i] == OTHER else names[i] for i in kept]
    return pd.Categorical.from_codes(
        place[code].tolist(), pd.Index([*shown, OTHER] if small else shown, dtype="str")
    )


def evaluate_segments(
    y_true: ArrayLike,
    p: ArrayLike,
    segment: ArrayLike | pd.Categorical[str],
    log_odds: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    limits: SmallGroups | None = None,
    n_boot: int = 0,
) -> pd.DataFrame:
    """Evaluate a score in each segment of the rows.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        1 for overdue, 0 otherwise.
    p : array-like of shape (n,)
        Probability of overdue, in [0, 1].
    segment : array-like of shape (n,) or Categorical
        Segment of each row; see `pool_small` for those of few rows.
    log_odds : array-like of shape (n,), optional
        What the rows are ranked by; `p` by default.
    groups : array-like of shape (n,), optional
        Resample whole groups (customer_id), not rows.
    limits : SmallGroups, optional
    n_boot : int, default=0
        Bootstrap resamples for the interval of the AUC; 0 leaves low and high NaN.

    Returns
    -------
    DataFrame
        One row a segment: segment, n, n_overdue, overdue_rate, mean_p, ece, auc, auc_low, auc_high (95 %),
        too_few. Where a segment is too few, everything but n is NaN.

    Raises
    ------
    ValueError
        If `p` leaves [0, 1], or inputs have NaN or different lengths.

    Examples
    --------
    >>> y, p = [0, 1] * 100, [0.2, 0.6] * 100
    >>> table = evaluate_segments(y, p, ["card"] * 150 + ["loan"] * 50)
    >>> table[["segment", "n", "auc", "too_few"]]
      segment    n  auc  too_few
    0    card  150  1.0    False
    1    loan   50  NaN     True
    """
    limits = limits or SmallGroups()
    target, probability = as_target(y_true), as_probabilities(p)
    score = probability if log_odds is None else as_vector(log_odds, "log_odds")
    parts = pool_small(segment, groups)
    check_lengths(
        ("y_true", "p", "segment", "log_odds"), (target.size, probability.size, len(parts), score.size)
    )
    owners = None if groups is None else np.asarray(groups)
    rows = []
    for code, name in enumerate(parts.categories):
        here = parts.codes == code
        n, hits = int(here.sum()), int(target[here].sum())
        row: dict[str, object] = {"segment": name, "n": n, "too_few": not limits.allow(n, hits)}
        if not row["too_few"]:
            ids = None if owners is None else owners[here]
            auc = _auc(target[here], score[here], ids, n_boot)
            row |= {
                "n_overdue": hits,
                "overdue_rate": hits / n,
                "mean_p": float(np.sort(probability[here]).sum()) / n,
                "ece": compute_ece(target[here], probability[here]),
                **dict(zip(("auc", "auc_low", "auc_high"), auc, strict=True)),
            }
        rows.append(row)
    columns = ["segment", "n", "n_overdue", "overdue_rate", "mean_p", "ece", "auc", "auc_low", "auc_high"]
    table = pd.DataFrame(rows, columns=[*columns, "too_few"])
    return table.astype(dict.fromkeys(columns[2:], "float64") | {"segment": "str"})


def _auc(
    target: np.ndarray, score: np.ndarray, ids: np.ndarray | None, n_boot: int
) -> tuple[float, float, float]:
    # A segment may be a single customer with many rows: then there is nothing to resample.
    if not n_boot or (ids is not None and len(np.unique(ids)) < 2):
        return compute_auc(target, score), np.nan, np.nan
    interval = bootstrap_interval(compute_auc, target, score, ids, n_boot)
    return interval.value, interval.low, interval.high
