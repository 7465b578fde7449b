"""What monotone constraints cost: the same model with and without them, on the same held-out rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from overdue_ml.metrics import compute_auc, compute_log_loss, paired_difference
from overdue_ml.model.calibration import fit_calibrator
from overdue_ml.model.classifier import OverdueClassifier
from overdue_ml.model.rows import Rows

FloatArray = npt.NDArray[np.float64]
Constraints = dict[str, int]
#: Name of the entry for all constraints together.
ALL = "all"


def constraint_cost(
    classifier: OverdueClassifier,
    constraints: Mapping[str, int],
    families: Mapping[str, str],
    train: Rows,
    test: Rows,
    n_boot: int = 200,
    advance: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, float]]:
    """Measure what constraints cost, all together and family by family.

    Everything but the constraints stays the same: folds, seeds and settings. Without those of a family means:
    with those of all other families.

    Parameters
    ----------
    classifier : OverdueClassifier
        Fitted on ``train``, with these constraints or with none; it is not fitted again.
    constraints : mapping of str to {-1, 1}
        Feature to direction.
    families : mapping of str to str
        Feature to family.
    train : Rows
        What the classifier was fitted on, in the same order.
    test : Rows
        Rows that were set aside.
    n_boot : int
        Bootstrap resamples of customers for the intervals.
    advance : callable (done, total) -> None, optional

    Returns
    -------
    dict of str to dict
        ``all`` and each family, where there are several, to figures: n_constraints, then for ``oof``
        (held-out rows of training) and ``test``: log_loss and auc ``_with`` and ``_without``, ``_cost`` with
        its 95 % interval ``_low`` and ``_high``. A cost above 0 means that the model is better without.
    """
    wanted = {name: int(direction) for name, direction in constraints.items() if direction}
    names = sorted({families[name] for name in wanted})
    settings: dict[str, Constraints] = {ALL: {}}
    # The only family is all there is.
    for family in names if len(names) > 1 else []:
        settings[family] = {name: d for name, d in wanted.items() if families[name] != family}
    if not wanted:
        return {}
    total = len(settings) + 1

    def fitted(chosen: Constraints, done: int) -> OverdueClassifier:
        if chosen == (classifier.monotone_constraints or {}):
            model = classifier
        else:
            model = clone(classifier).set_params(monotone_constraints=chosen or None)
            model.fit(train.features, train.target, train.weight, groups=train.groups, dates=train.dates)
        if advance is not None:
            advance(done, total)
        return model

    held = fitted(wanted, 1)
    found = {}
    for number, (name, chosen) in enumerate(settings.items(), start=2):
        free = fitted(chosen, number)
        figures: dict[str, float] = {"n_constraints": len(wanted) - len(chosen)}
        found[name] = figures | _out_of_fold(held, free, train, n_boot) | _tested(held, free, test, n_boot)
    return found


def _out_of_fold(
    held: OverdueClassifier, free: OverdueClassifier, train: Rows, n_boot: int
) -> dict[str, float]:
    with_, without = held.out_of_fold_log_odds_, free.out_of_fold_log_odds_
    if with_ is None or without is None:
        return {}
    seen = ~(np.isnan(with_) | np.isnan(without))
    target, z = train.target[seen], (with_[seen], without[seen])
    # Two numbers fitted on these very rows flatter nobody; the steps of other calibrators would.
    p = [fit_calibrator("platt", part, target.astype(np.float64)).predict(part) for part in z]
    return _figures("oof", target, (p[0], p[1]), z, train.groups[seen], n_boot)


def _tested(held: OverdueClassifier, free: OverdueClassifier, test: Rows, n_boot: int) -> dict[str, float]:
    z = held.decision_function(test.features), free.decision_function(test.features)
    p = held.calibrator_.predict(z[0]), free.calibrator_.predict(z[1])
    return _figures("test", test.target, p, z, test.groups, n_boot)


def _figures(
    part: str,
    target: npt.NDArray[np.int64],
    p: tuple[FloatArray, FloatArray],
    z: tuple[FloatArray, FloatArray],
    groups: Any,
    n_boot: int,
) -> dict[str, float]:
    figures: dict[str, float] = {}
    # Log loss is better below, AUC above: the cost is positive where the constraints do harm.
    for name, metric, pair, sign in (("log_loss", compute_log_loss, p, 1.0), ("auc", compute_auc, z, -1.0)):
        first, second = pair if sign > 0 else pair[::-1]
        cost = paired_difference(metric, target, (first, second), groups, n_boot or 1)
        figures |= {
            f"{part}_{name}_with": metric(target, pair[0]),
            f"{part}_{name}_without": metric(target, pair[1]),
            f"{part}_{name}_cost": cost.value,
            f"{part}_{name}_low": cost.low,
            f"{part}_{name}_high": cost.high,
        }
    return figures
