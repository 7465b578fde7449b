"""Exact SHAP contributions of a whole book, checked to add up before anybody reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from overdue_ml.errors import ModelError
from overdue_ml.explain.treeshap import TreeShap
from overdue_ml.model import OverdueClassifier

if TYPE_CHECKING:
    import shap

FloatArray = npt.NDArray[np.float64]

#: Largest allowed gap between base + contributions and the score, in log-odds.
TOLERANCE = 1e-9
_BLOCK = 8192
#: Rows from which building tables takes less time than it saves.
FAST_ROWS = 10_000
_FAST_BLOCK = 16 * _BLOCK


@dataclass(frozen=True)
class Contributions:
    """Contributions in log-odds and what they start from.

    Attributes
    ----------
    values : pandas.DataFrame, shape (n_samples, n_features)
        Indexed like the features.
    base : float
        The expected log-odds: where every sum starts.
    """

    values: pd.DataFrame
    base: float

    def to_explanation(self, features: pd.DataFrame) -> shap.Explanation:
        """The same as a ``shap.Explanation``, for shap's own plots.

        Parameters
        ----------
        features : pandas.DataFrame, shape (n_samples, n_features)
        """
        import shap

        return shap.Explanation(
            values=self.values.to_numpy(),
            base_values=np.full(len(self.values), self.base),
            data=features.loc[self.values.index, self.values.columns].to_numpy(),
            feature_names=list(self.values.columns),
        )


def explain_scores(
    classifier: OverdueClassifier,
    features: pd.DataFrame,
    log_odds: FloatArray,
    progress: Any = None,
) -> Contributions:
    """Contributions of every row, refused as a whole if one row does not add up.

    From ``FAST_ROWS`` rows on they come from :class:`overdue_ml.explain.TreeShap`, and from LightGBM's
    ``pred_contrib`` below that or where the model has no tables; the two differ by rounding only.

    Parameters
    ----------
    classifier : OverdueClassifier
    features : pandas.DataFrame, shape (n_samples, n_features)
    log_odds : ndarray of float64, shape (n_samples,)
        The published scores.
    progress : callable, optional
        Called with (rows done, rows in all) after each block.

    Returns
    -------
    Contributions

    Raises
    ------
    ModelError
        If base + contributions differ from a score by more than ``TOLERANCE``.
    """
    explainer = _build_explainer(classifier) if len(features) >= FAST_ROWS else None
    if explainer is None:
        matrix, base = _explain_slowly(classifier, features, progress)
    else:
        matrix, base = _explain_fast(explainer, classifier, features, progress)
    check_ties_out(matrix, base, log_odds)
    return Contributions(pd.DataFrame(matrix, index=features.index, columns=features.columns), base)


def _build_explainer(classifier: OverdueClassifier) -> TreeShap | None:
    try:
        return TreeShap.from_text([booster.model_to_string() for booster in classifier.boosters_])
    except ModelError:
        return None


def _explain_slowly(
    classifier: OverdueClassifier, features: pd.DataFrame, progress: Any
) -> tuple[FloatArray, float]:
    blocks, base = [], 0.0
    for start in range(0, len(features), _BLOCK):
        values, bases = classifier.predict_contributions(features.iloc[start : start + _BLOCK])
        blocks.append(values)
        base = float(bases[0])
        if progress is not None:
            progress(min(start + _BLOCK, len(features)), len(features))
    return np.concatenate(blocks) if blocks else np.empty((0, features.shape[1])), base


def _explain_fast(
    explainer: TreeShap, classifier: OverdueClassifier, features: pd.DataFrame, progress: Any
) -> tuple[FloatArray, float]:
    # By column, as a frame keeps them.
    matrix = np.empty(features.shape, order="F")
    for start in range(0, len(features), _FAST_BLOCK):
        stop = min(start + _FAST_BLOCK, len(features))
        rows = classifier.to_matrix(features.iloc[start:stop])
        matrix[start:stop] = explainer.explain(rows, classifier.n_jobs).contributions
        if progress is not None:
            progress(stop, len(features))
    return matrix, explainer.base


def check_ties_out(contributions: FloatArray, base: float, log_odds: FloatArray) -> float:
    """Largest gap between base + contributions and the scores, in log-odds.

    Raises
    ------
    ModelError
        If it is above ``TOLERANCE``: such explanations must not be published.
    """
    if len(contributions) == 0:
        return 0.0
    gap = np.abs(contributions.sum(axis=1) + base - log_odds)
    worst = float(gap.max())
    if not worst <= TOLERANCE:
        rows = int((~(gap <= TOLERANCE)).sum())
        raise ModelError(
            f"contributions of {rows} rows do not add up to their log-odds (largest gap {worst:.3g})",
            expected=f"at most {TOLERANCE:g}",
            next_step="nothing was published; report the model version",
        )
    return worst
