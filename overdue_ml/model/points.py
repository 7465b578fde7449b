"""The scorecard scale: points that rise as the risk falls."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from overdue_ml.config import PointsConfig

FloatArray = npt.NDArray[np.float64]

#: Probabilities are held this far from 0 and 1, so that points stay finite (isotonic steps touch both).
_EDGE = 1e-9


def compute_points(p_overdue: FloatArray, config: PointsConfig | None = None) -> FloatArray:
    """Scorecard points from calibrated probabilities.

    ``points = base + pdo / ln 2 * (ln((1 - p) / p) - ln(odds))``

    Parameters
    ----------
    p_overdue : ndarray of float64, shape (n,)
    config : PointsConfig, optional
        By default 600 points at odds of 50 to 1, and 20 points double the odds.

    Returns
    -------
    ndarray of float64, shape (n,)

    References
    ----------
    Siddiqi (2017), Intelligent Credit Scoring, 2nd ed., chapter 10 (scaling).

    Examples
    --------
    >>> compute_points(np.array([1 / 51, 1 / 101])).round(6).tolist()
    [600.0, 620.0]
    """
    config = config or PointsConfig()
    p = np.clip(np.asarray(p_overdue, dtype=np.float64), _EDGE, 1.0 - _EDGE)
    log_good = np.log1p(-p) - np.log(p)
    return np.asarray(
        config.base + config.pdo / np.log(2.0) * (log_good - np.log(config.odds)), dtype=np.float64
    )
