"""What a version must show before it becomes champion."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from overdue_ml.config.settings import _Settings


class GatesConfig(_Settings):
    """``configs/gates.yaml``: what ``promote`` asks of a version before it becomes champion.

    Parameters
    ----------
    metric : {'auc', 'gini', 'ks', 'average_precision'}
        Discrimination on the rows that were set aside, compared with the champion's.
    level : float
        One-sided confidence: a loss that chance brings about more often than once in ``1 / (1 - level)``
        times passes for noise.
    max_ece : float or None
        Highest calibration error on the rows that were set aside, beyond what chance alone leaves a
        calibrated score in so many rows; None asks for none.
    max_score_psi : float or None
        Largest shift of the score from the training rows to those that were set aside; None: any.
    audit : bool
        The leakage audit must have been done and have found nothing.
    min_overdue : int
        Overdue rows among those that were set aside; fewer carry no verdict.
    """

    metric: Literal["auc", "gini", "ks", "average_precision"] = "auc"
    level: float = Field(default=0.95, gt=0.5, lt=1.0)
    max_ece: float | None = Field(default=0.05, gt=0.0, le=1.0)
    max_score_psi: float | None = Field(default=0.25, gt=0.0)
    audit: bool = True
    min_overdue: int = Field(default=50, ge=1)
