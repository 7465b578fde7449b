"""Which calibrator: the one that does best on rows it was not fitted on, with the table that says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from overdue_ml.metrics import compute_ece, compute_log_loss
from overdue_ml.model.calibration import KINDS, fit_calibrator

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
N_FOLDS = 5


@dataclass(frozen=True)
class CalibrationChoice:
    """The comparison of the calibrators.

    Attributes
    ----------
    chosen : str
        The kind with the lowest log loss; the simpler one where two are equal.
    scheme : {'time', 'cross_validation'}
        Fitted on earlier dates and read on the next one, or fitted on four fifths and read on the rest.
    candidates : pandas.DataFrame
        kind, log_loss and ece of every kind, on the rows it was read on.
    n_rows : int
        How many these are.
    """

    chosen: str
    scheme: str
    candidates: pd.DataFrame
    n_rows: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        table = self.candidates.to_dict("records")
        return {"chosen": self.chosen, "scheme": self.scheme, "n_rows": self.n_rows, "candidates": table}


def choose_calibrator(
    log_odds: FloatArray, y: FloatArray, *, dates: Any = None, sample_weight: FloatArray | None = None
) -> CalibrationChoice:
    """Compare all calibrators on rows that each was not fitted on.

    Parameters
    ----------
    log_odds : ndarray of float64, shape (n_samples,)
        Of a model that did not see these rows.
    y : ndarray of {0, 1}, shape (n_samples,)
        Both must occur.
    dates : array of shape (n_samples,), optional
        as_of date of each row. Where two dates or more hold both classes, each date after the first of
        them is read with calibrators fitted on all earlier ones.
    sample_weight : ndarray of float64, shape (n_samples,), optional
        For the fits and the log loss.

    Returns
    -------
    CalibrationChoice

    Raises
    ------
    ValueError
        If one class is missing, or there are too few rows of one to hold any out.
    """
    target = np.asarray(y, dtype=np.float64)
    folds = list(_later(target, dates))
    scheme = "time" if folds else "cross_validation"
    folds = folds or list(_fifths(log_odds, target))
    read = np.concatenate([held_out for _, held_out in folds])
    weight = None if sample_weight is None else sample_weight[read]
    rows = []
    for kind in KINDS:
        p = np.concatenate([_predict(kind, log_odds, target, sample_weight, fold) for fold in folds])
        loss = compute_log_loss(target[read], p, weight)
        rows.append({"kind": kind, "log_loss": loss, "ece": compute_ece(target[read], p)})
    table = pd.DataFrame(rows)
    return CalibrationChoice(KINDS[int(np.argmin(table["log_loss"]))], scheme, table, len(read))


def _predict(
    kind: str,
    log_odds: FloatArray,
    target: FloatArray,
    weight: FloatArray | None,
    fold: tuple[IndexArray, IndexArray],
) -> FloatArray:
    fitted, held_out = fold
    part = None if weight is None else weight[fitted]
    return fit_calibrator(kind, log_odds[fitted], target[fitted], part).predict(log_odds[held_out])


def _later(target: FloatArray, dates: Any) -> Iterator[tuple[IndexArray, IndexArray]]:
    if dates is None:
        return
    when = pd.factorize(np.asarray(dates), sort=True)[0]
    for date in np.unique(when)[1:]:
        earlier = np.flatnonzero(when < date)
        if len(np.unique(target[earlier])) == 2:
            yield earlier, np.flatnonzero(when == date)


def _fifths(log_odds: FloatArray, target: FloatArray) -> Iterator[tuple[IndexArray, IndexArray]]:
    """A fifth of each class at a time, drawn from sorted rows: the same for any order of the rows.

    Drawn, not every fifth: a sample spread so evenly over the scores would tell of the rest, and flatter
    the calibrators with many steps.
    """
    smallest = int(min(target.sum(), len(target) - target.sum()))
    if smallest < 2:
        raise ValueError(f"calibration='auto' needs two held-out rows of each class, got {smallest}")
    n_folds = min(N_FOLDS, smallest)
    place = np.empty(len(target), dtype=np.intp)
    generator = np.random.default_rng(0)
    order = np.lexsort((log_odds, target))
    for part in np.split(order, [int(len(target) - target.sum())]):
        place[part] = generator.permutation(len(part)) % n_folds
    for fold in range(n_folds):
        yield np.flatnonzero(place != fold), np.flatnonzero(place == fold)
