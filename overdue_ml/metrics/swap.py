"""Who is worked on under one score and under another: the swap set, with ties shared out fairly."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from overdue_ml.metrics._checks import FloatArray, as_target, as_vector, check_lengths, check_share
from overdue_ml.metrics.calibration import wilson_interval

#: Figures of fewer rows could point at a customer.
MIN_SHOWN_ROWS = 10
#: Shares of ties add up to nothing only as nearly as floating numbers do.
_NOBODY = 1e-6


def select_top(score: ArrayLike, top: float) -> FloatArray:
    """How surely each row is among the `top` share of rows by score.

    Parameters
    ----------
    score : array-like of shape (n,)
        What the rows are ranked by, highest first.
    top : float
        Share of the rows, in (0, 1].

    Returns
    -------
    ndarray of shape (n,)
        1 above the cut, 0 below; rows that tie at the cut share what is left, so the order in which rows
        come never decides. Adds up to ``top * n``.

    Raises
    ------
    ValueError
        If `score` is empty or has NaN, or `top` is outside (0, 1].

    Examples
    --------
    >>> select_top([3.0, 2.0, 2.0, 1.0], 0.5).tolist()
    [1.0, 0.5, 0.5, 0.0]
    """
    vector = as_vector(score, "score")
    wanted = check_share(top) * vector.size
    place = min(max(int(np.ceil(wanted - 1e-9)) - 1, 0), vector.size - 1)
    cut = np.partition(vector, vector.size - 1 - place)[vector.size - 1 - place]
    above, tied = vector > cut, vector == cut
    share = (wanted - float(above.sum())) / float(tied.sum())
    return np.where(above, 1.0, np.where(tied, share, 0.0))


def swap_set(y_true: ArrayLike, champion: ArrayLike, challenger: ArrayLike, top: float = 0.1) -> pd.DataFrame:
    """Compare whom two scores would put among the `top` share of the same rows.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        1 for overdue, 0 otherwise.
    champion, challenger : array-like of shape (n,)
        The old and the new score, higher is riskier.
    top : float, default=0.1
        Share of the rows that is worked, in (0, 1].

    Returns
    -------
    DataFrame of shape (4, 6)
        part ('both', 'swapped_in': by the challenger only, 'swapped_out': by the champion only, 'neither'),
        n, n_overdue, overdue_rate, rate_low, rate_high (Wilson 95 %). Ties at a cut count by expectation, so
        n may be a fraction. Where a part has rows, but fewer than 10, n_overdue and the rates are NaN
        throughout; so is the rate of an empty part.

    Raises
    ------
    ValueError
        If inputs have NaN or different lengths, or `top` is outside (0, 1].

    References
    ----------
    Siddiqi (2017), Intelligent Credit Scoring, 2nd ed., Wiley (swap sets).

    Examples
    --------
    >>> y = [1, 1, 0, 0] * 20
    >>> table = swap_set(y, [1, 2, 3, 4] * 20, [4, 3, 2, 1] * 20, top=0.5).set_index("part")
    >>> table.loc["swapped_in", "overdue_rate"], table.loc["swapped_out", "overdue_rate"]
    (np.float64(1.0), np.float64(0.0))
    """
    target = as_target(y_true)
    check_lengths(("y_true", "champion", "challenger"), (target.size, np.size(champion), np.size(challenger)))
    old, new = select_top(champion, top), select_top(challenger, top)
    parts = {
        "both": old * new,
        "swapped_in": (1 - old) * new,
        "swapped_out": old * (1 - new),
        "neither": (1 - old) * (1 - new),
    }
    # Sorted before they are added, so that the last digit does not hang on the order of the rows.
    n = np.array([np.sort(weight).sum() for weight in parts.values()])
    hits = np.array([np.sort(weight[target == 1]).sum() for weight in parts.values()])
    few = (n < MIN_SHOWN_ROWS) & (n > _NOBODY)
    # Where one part is too small none has figures: the other parts and the whole would give it away.
    shown = (n >= MIN_SHOWN_ROWS) & ~few.any()
    n_shown, hits_shown = np.where(shown, n, 1.0), np.where(shown, np.minimum(hits, n), 0.0)
    low, high = wilson_interval(hits_shown, n_shown)
    figures = {"n_overdue": hits, "overdue_rate": hits_shown / n_shown, "rate_low": low, "rate_high": high}
    table = pd.DataFrame({"part": pd.Series(list(parts), dtype="str"), "n": n})
    for name, values in figures.items():
        table[name] = np.where(shown, values, np.nan)
    return table
