"""Tiers on probability AND amount."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from overdue_ml.config import TierRule

FloatArray = npt.NDArray[np.float64]


def assign_tiers(
    p_overdue: FloatArray, due_amount: FloatArray, rules: Sequence[TierRule]
) -> npt.NDArray[np.str_]:
    """The first tier whose probability and amount are both reached.

    Parameters
    ----------
    p_overdue, due_amount : ndarray of float64, shape (n,)
    rules : sequence of TierRule
        In order; the last takes everybody.

    Returns
    -------
    ndarray of str, shape (n,)
    """
    reached = [(p_overdue >= r.min_probability) & (due_amount >= r.min_amount) for r in rules]
    return np.asarray(np.select(reached, [r.tier for r in rules], default=rules[-1].tier))
