"""Our model beside a plain one: their figures on rows set aside, and whether a blend of both would pay."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from overdue_ml.metrics import compute_log_loss, evaluate_scores, paired_difference
from overdue_ml.model.calibration import PlattCalibrator, fit_calibrator, sigmoid
from overdue_ml.model.challenger import LogisticChallenger, ScorecardChallenger
from overdue_ml.model.classifier import OverdueClassifier
from overdue_ml.model.rows import Rows

Challenger = ScorecardChallenger | LogisticChallenger
#: By the word of the config.
CHALLENGERS: dict[str, type[Challenger]] = {"scorecard": ScorecardChallenger, "logistic": LogisticChallenger}
_METRICS = ("auc", "gini", "ks", "average_precision", "brier", "log_loss", "ece")
_WEIGHTS = np.linspace(0.0, 1.0, 21).round(2)


def compare_challenger(
    challenger: Challenger, classifier: OverdueClassifier, train: Rows, test: Rows, n_boot: int = 200
) -> dict[str, Any]:
    """Fit a challenger on the rows of our model and put the two side by side.

    The blend is a weighted mean of both log-odds. Its weight is the one with the lowest log loss on held-out
    rows of training, and it pays where that gain is beyond the 95 % interval of a paired bootstrap over
    customers. It is reported only: the model that is served stays ours alone, with exact explanations.

    Parameters
    ----------
    challenger : ScorecardChallenger or LogisticChallenger
        Not fitted; a clone is.
    classifier : OverdueClassifier
        Fitted on ``train``.
    train, test : Rows
        What both are trained on, and what was set aside.
    n_boot : int
        Bootstrap resamples; 0 leaves open whether the blend pays.

    Returns
    -------
    dict
        n_features, metrics (one record for ``served``, ``challenger`` and ``blend``), blend_weight,
        blend_pays, blend_served, and the gain in log loss on held-out rows with its interval. Without rows
        held out there is no blend.

    Raises
    ------
    ModelError
        If the library of the challenger is not installed.
    """
    fitted = clone(challenger).fit(train.features, train.target, train.weight)
    ours_z = classifier.decision_function(test.features)
    theirs = fitted.decision_function(test.features)
    served = classifier.calibrator_.predict(ours_z)
    scores = {"served": (served, ours_z), "challenger": (sigmoid(theirs), theirs)}
    found: dict[str, Any] = {"n_features": _n_used(fitted), "blend_served": False, "blend_pays": None}
    blend = _blend(challenger, classifier, train, n_boot)
    if blend is not None:
        share, platt, figures = blend
        found |= figures
        mixed = (1 - share) * (platt.slope * ours_z + platt.intercept) + share * theirs
        scores["blend"] = sigmoid(mixed), mixed
    found["metrics"] = []
    for name, (p, z) in scores.items():
        values = evaluate_scores(test.target, p, z).set_index("metric")["value"]
        found["metrics"].append({"model": name} | {metric: float(values[metric]) for metric in _METRICS})
    return found


def _blend(
    challenger: Challenger, classifier: OverdueClassifier, train: Rows, n_boot: int
) -> tuple[float, PlattCalibrator, dict[str, Any]] | None:
    """Share of the challenger, what brings our log-odds to its scale, and figures."""
    if classifier.out_of_fold_log_odds_ is None:
        return None
    theirs = np.full(len(train.target), np.nan)
    for fitted_on, held_out in classifier.folds(train.target, train.groups):
        if len(np.unique(train.target[fitted_on])) < 2:
            continue
        weight = None if train.weight is None else train.weight[fitted_on]
        part = clone(challenger).fit(train.features.iloc[fitted_on], train.target[fitted_on], weight)
        theirs[held_out] = part.decision_function(train.features.iloc[held_out])
    seen = ~(np.isnan(theirs) | np.isnan(classifier.out_of_fold_log_odds_))
    target, theirs, z = train.target[seen], theirs[seen], classifier.out_of_fold_log_odds_[seen]
    # Two numbers fitted on these very rows flatter nobody; the steps of other calibrators would.
    platt = fit_calibrator("platt", z, target)
    assert isinstance(platt, PlattCalibrator)
    ours = platt.slope * z + platt.intercept
    losses = [compute_log_loss(target, sigmoid((1 - w) * ours + w * theirs)) for w in _WEIGHTS]
    # The first of equal ones: the least of the challenger.
    share = float(_WEIGHTS[int(np.argmin(losses))])
    found = {"blend_weight": share, "oof_log_loss_gain": float(losses[0] - min(losses))}
    if not n_boot:
        return share, platt, found
    mixed = sigmoid((1 - share) * ours + share * theirs)
    gain = paired_difference(compute_log_loss, target, (sigmoid(ours), mixed), train.groups[seen], n_boot)
    pays = bool(share > 0 and gain.low > 0)
    return share, platt, found | {"oof_gain_low": gain.low, "oof_gain_high": gain.high, "blend_pays": pays}


def _n_used(fitted: Challenger) -> int:
    if isinstance(fitted, ScorecardChallenger):
        return len(fitted.bins_)
    return len(set(fitted.quantiles_) | set(fitted.categories_) | set(fitted.flagged_))
