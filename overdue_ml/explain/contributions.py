"""Exact SHAP contributions of a whole book, checked to add up before anybody reads them."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

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
#: Rows, spread over all, whose scores are LightGBM's as well.
_CHECKED = 1000
_BLOCK = 8192
_FAST_BLOCK = 16 * _BLOCK
# Boosters and the explainers made of them, without and with the latest background, for as long as their
# classifier is in use.
_BUILT: WeakKeyDictionary[OverdueClassifier, tuple[tuple[Any, ...], dict[bool, Any]]] = WeakKeyDictionary()
_BUILDING = Lock()


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
    explainer: TreeShap | None = None,
) -> Contributions:
    """Contributions of every row, refused as a whole if one row does not add up.

    They come from :class:`overdue_ml.explain.TreeShap`, and from LightGBM's ``pred_contrib`` where the model
    is of a kind that has no tables; the two differ by rounding only. Which of them it is depends on the model
    alone, so that a book gives the same bytes whole and in parts.

    Parameters
    ----------
    classifier : OverdueClassifier
    features : pandas.DataFrame, shape (n_samples, n_features)
    log_odds : ndarray of float64, shape (n_samples,)
        The published scores.
    progress : callable, optional
        Called with (rows done, rows in all) after each block.
    explainer : TreeShap, optional
        What :func:`build_explainer` made of the same classifier, here or in another process. With one that
        has a background contributions are interventional.

    Returns
    -------
    Contributions

    Raises
    ------
    ModelError
        If base + contributions differ from a score by more than ``TOLERANCE``.
    """
    found = build_explainer(classifier) if explainer is None else explainer
    if found is None:
        matrix, base = _explain_slowly(classifier, features, progress)
    else:
        matrix, base, _ = _explain_fast(found, classifier, features, progress, classifier.n_jobs)
    check_ties_out(matrix, base, log_odds)
    return Contributions(pd.DataFrame(matrix, index=features.index, columns=features.columns), base)


def explain_features(
    classifier: OverdueClassifier,
    features: pd.DataFrame,
    progress: Any = None,
    explainer: TreeShap | None = None,
    n_threads: int | None = None,
) -> tuple[FloatArray, Contributions]:
    """Log-odds and contributions of every row from one pass, which costs less than a prediction.

    Parameters
    ----------
    classifier : OverdueClassifier
    features : pandas.DataFrame, shape (n_samples, n_features)
    progress, explainer
        As of :func:`explain_scores`.
    n_threads : int, optional
        As many as the classifier's ``n_jobs`` by default; the result does not depend on it.

    Returns
    -------
    log_odds : ndarray of float64, shape (n_samples,)
        The bits of ``classifier.decision_function``.
    contributions : Contributions

    Raises
    ------
    ModelError
        If base + contributions differ from a score by more than ``TOLERANCE``, or log-odds from
        LightGBM's in any of 1,000 rows.
    """
    found = build_explainer(classifier) if explainer is None else explainer
    if found is None:
        log_odds = classifier.decision_function(features)
        return log_odds, explain_scores(classifier, features, log_odds, progress)
    matrix, base, log_odds = _explain_fast(
        found, classifier, features, progress, n_threads or classifier.n_jobs
    )
    _check_scores(classifier, features, log_odds)
    check_ties_out(matrix, base, log_odds)
    return log_odds, Contributions(pd.DataFrame(matrix, index=features.index, columns=features.columns), base)


def score_features(
    classifier: OverdueClassifier, features: pd.DataFrame, n_threads: int | None = None
) -> FloatArray:
    """Log-odds alone, as :func:`explain_features` has them.

    Parameters
    ----------
    classifier : OverdueClassifier
    features : pandas.DataFrame, shape (n_samples, n_features)
    n_threads : int, optional

    Returns
    -------
    ndarray of float64, shape (n_samples,)

    Raises
    ------
    ModelError
        If they differ from LightGBM's in any of 1,000 rows.
    """
    explainer = build_explainer(classifier)
    if explainer is None:
        return classifier.decision_function(features)
    log_odds = np.empty(len(features))
    for start in range(0, len(features), _FAST_BLOCK):
        rows = classifier.to_matrix(features.iloc[start : start + _FAST_BLOCK])
        log_odds[start : start + len(rows)] = explainer.predict(rows, n_threads or classifier.n_jobs)
    _check_scores(classifier, features, log_odds)
    return log_odds


def _check_scores(classifier: OverdueClassifier, features: pd.DataFrame, log_odds: FloatArray) -> None:
    """Refuse scores that are not LightGBM's to the bit, in rows spread over all."""
    step = max(len(features) // _CHECKED, 1)
    if len(features) and not np.array_equal(
        classifier.decision_function(features.iloc[::step]), log_odds[::step]
    ):
        raise ModelError(
            "the scores of the explainer are not those of LightGBM",
            expected="the same bits",
            next_step="nothing was published; report the model version",
        )


def build_explainer(classifier: OverdueClassifier, background: pd.DataFrame | None = None) -> TreeShap | None:
    """The explainer of a classifier: what :func:`explain_scores` takes.

    Parameters
    ----------
    classifier : OverdueClassifier
    background : pandas.DataFrame, shape (n_rows, n_features), optional
        Customers against whom contributions are taken, as :func:`choose_background` draws them: base is then
        their mean log-odds, and a feature's contribution what it changes against their values. Without
        them contributions are path-dependent. An explainer is built on the first call and kept while the
        classifier is in use; of those with a background the latest.

    Returns
    -------
    TreeShap or None
        None where the model is of a kind that has no tables.

    Raises
    ------
    ModelError
        If the model has no tables and there is a background, or this has no rows.
    """
    # Of two threads that need the same one the second waits for it.
    with _BUILDING:
        return _kept_explainer(classifier, background)


def _kept_explainer(classifier: OverdueClassifier, background: pd.DataFrame | None) -> TreeShap | None:
    boosters = tuple(classifier.boosters_)
    known, built = _BUILT.get(classifier, ((), {}))
    # A classifier that is fitted again has other boosters: equal are only the very same.
    if known != boosters:
        built = {}
        _BUILT[classifier] = boosters, built
    if background is None:
        if False not in built:
            try:
                built[False] = TreeShap.from_text(_texts(boosters))
            except ModelError:
                built[False] = None
        return cast("TreeShap | None", built[False])
    if not len(background):
        raise ModelError("nobody is in the background", expected="customers of the book")
    rows = classifier.to_matrix(background)
    digest = hashlib.sha256(np.ascontiguousarray(rows).tobytes()).digest()
    if built.get(True, (b"", None))[0] != digest:
        built[True] = digest, TreeShap.from_text(_texts(boosters), background=rows)
    return cast("TreeShap", built[True][1])


def _texts(boosters: Sequence[Any]) -> list[str]:
    return [booster.model_to_string() for booster in boosters]


def choose_background(customer_ids: Sequence[str], n: int, seed: int = 0) -> list[str]:
    """Customers to compare all others with, drawn by their ids.

    Parameters
    ----------
    customer_ids : sequence of str
        Of the whole book, in any order.
    n : int
        How many; all where there are fewer.
    seed : int

    Returns
    -------
    list of str
        Sorted. The same book gives the same customers, and one that joins or leaves changes at most one.

    Examples
    --------
    >>> choose_background(["A", "B", "C", "D"], 2) == choose_background(["D", "C", "B", "A"], 2)
    True
    """

    def drawn(customer_id: str) -> bytes:
        return hashlib.sha256(f"{seed}:{customer_id}".encode()).digest()

    return sorted(heapq.nsmallest(n, customer_ids, key=drawn))


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
    explainer: TreeShap,
    classifier: OverdueClassifier,
    features: pd.DataFrame,
    progress: Any,
    n_threads: int | None,
) -> tuple[FloatArray, float, FloatArray]:
    """Contributions, their base and the scores."""
    # By column, as a frame keeps them.
    matrix, scores = np.empty(features.shape, order="F"), np.empty(len(features))
    for start in range(0, len(features), _FAST_BLOCK):
        stop = min(start + _FAST_BLOCK, len(features))
        found = explainer.explain(classifier.to_matrix(features.iloc[start:stop]), n_threads)
        matrix[start:stop], scores[start:stop] = found.contributions, found.scores
        if progress is not None:
            progress(stop, len(features))
    return matrix, explainer.base, scores


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
