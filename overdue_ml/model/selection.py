"""Which columns a model is trained on: chosen on the training rows, with a reason for each one left out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from overdue_ml.metrics import fit_reference
from overdue_ml.model.classifier import OverdueClassifier
from overdue_ml.model.encoding import category_levels, encode

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Rule = Literal["constant", "missing", "duplicate", "unstable", "weak"]

#: With fewer training dates a shift cannot be told from a season or a slip.
MIN_DATES = 3
#: The model that only ranks columns: small, so that it costs a fraction of the one that is kept.
_SCREEN: dict[str, Any] = {"n_estimators": 100, "learning_rate": 0.1, "cv": 3, "calibration": "none"}


@dataclass(frozen=True)
class DroppedFeature:
    """A column that was left out.

    Parameters
    ----------
    feature : str
    rule : {'constant', 'missing', 'duplicate', 'unstable', 'weak'}
        The first rule that it broke, in this order.
    figure : float or None
        The share of missing rows (constant, missing), the highest PSI (unstable) or the share of the total
        gain (weak); none of a duplicate.
    same_as : str or None
        The earlier column that a duplicate repeats.
    """

    feature: str
    rule: Rule
    figure: float | None = None
    same_as: str | None = None


@dataclass(frozen=True)
class SelectionReport:
    """What was left out and why.

    Parameters
    ----------
    n_features : int
        Columns to choose from.
    dropped : tuple of DroppedFeature
        In the order of the columns.
    not_checked : tuple of str
        Rules that were asked for and could not be checked, in words.
    """

    n_features: int
    dropped: tuple[DroppedFeature, ...] = ()
    not_checked: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """One row a column left out: feature, rule, figure, same_as."""
        return pd.DataFrame(
            {
                "feature": pd.Series([d.feature for d in self.dropped], dtype="str"),
                "rule": pd.Series([d.rule for d in self.dropped], dtype="str"),
                "figure": pd.Series([d.figure for d in self.dropped], dtype="float64"),
                "same_as": pd.Series([d.same_as for d in self.dropped], dtype="str"),
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, for a file."""
        return {
            "n_features": self.n_features,
            "dropped": [asdict(d) for d in self.dropped],
            "not_checked": list(self.not_checked),
        }


class FeatureSelector(SelectorMixin, BaseEstimator):
    """Leave out columns that can say nothing, say it twice, or do not hold over time.

    The rules are tried in the order of the parameters, each on the columns that the rules before it kept.
    Fit it on training rows only: it sees no others, so nothing else can move the choice.

    Parameters
    ----------
    constants : bool, default True
        Drop columns with one value on all rows; missing counts as a value.
    max_missing : float, default 1.0
        Drop columns of which a larger share of rows is missing; 1.0 drops none.
    duplicates : bool, default False
        Drop columns that equal an earlier one on every row, missing where it is missing. Statistics over
        windows of different lengths are equal where histories are short, and part later: off by default.
    max_psi : float, optional
        Drop columns whose population stability index between the earliest date and any later one is
        higher. Needs ``dates``; with fewer than three of them the report says that it was not checked.
    keep : int, optional
        Keep so many columns, those with the highest gain in a small :class:`OverdueClassifier` on the
        rows of the fit. Needs ``y``.
    random_state : int, default 0
        Seed of that classifier.

    Attributes
    ----------
    support_ : ndarray of bool, shape (n_features_in_,)
    report_ : SelectionReport
    n_features_in_ : int
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        Only for input with string column names.

    Examples
    --------
    >>> import pandas as pd
    >>> from overdue_ml.model import FeatureSelector
    >>> X = pd.DataFrame({"a": [1.0, 2.0, None], "b": [1.0, 2.0, None], "c": [7.0, 7.0, 7.0]})
    >>> selector = FeatureSelector(duplicates=True).fit(X)
    >>> list(selector.get_feature_names_out())
    ['a']
    >>> selector.report_.to_frame()[["feature", "rule"]].to_numpy().tolist()
    [['b', 'duplicate'], ['c', 'constant']]
    """

    def __init__(
        self,
        *,
        constants: bool = True,
        max_missing: float = 1.0,
        duplicates: bool = False,
        max_psi: float | None = None,
        keep: int | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.constants = constants
        self.max_missing = max_missing
        self.duplicates = duplicates
        self.max_psi = max_psi
        self.keep = keep
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.target_tags.required = self.keep is not None
        return tags

    def fit(self, X: Any, y: Any = None, *, dates: Any = None) -> Self:
        """Choose the columns.

        Parameters
        ----------
        X : DataFrame or array of shape (n_samples, n_features)
            Training rows. Numbers, NaN for missing; ``category`` or string columns of a DataFrame are
            categories.
        y : array of shape (n_samples,), optional
            Two classes; used by ``keep`` only.
        dates : array of shape (n_samples,), optional
            as_of date of each row; used by ``max_psi`` only.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter, the numbers, the labels or the dates cannot be used.
        """
        self._check_parameters()
        columns = _Columns.of(self, X)
        n_rows = len(columns.matrix)
        if dates is not None and len(dates) != n_rows:
            raise ValueError(f"X has {n_rows} rows and dates has {len(dates)}")
        target = None
        if self.keep is not None:
            if y is None:
                raise ValueError(
                    "keep ranks columns by what they say about y: requires y to be passed, not None"
                )
            target = column_or_1d(y, warn=True)
            if len(target) != n_rows:
                raise ValueError(f"X has {n_rows} rows and y has {len(target)}")
        when, not_checked = self._time(dates)
        found: dict[int, DroppedFeature] = {}
        for rule in (
            columns.constant() if self.constants else (),
            columns.missing(float(self.max_missing)),
            columns.duplicate(found) if self.duplicates else (),
            columns.unstable(found, when, self.max_psi)
            if when is not None and self.max_psi is not None
            else (),
        ):
            for position, dropped in rule:
                found.setdefault(position, dropped)
        if target is not None and self.keep is not None:
            screen = OverdueClassifier(**_SCREEN, random_state=self.random_state)
            found |= dict(columns.weak(found, target, screen, int(self.keep)))
        self.support_: BoolArray = np.array([p not in found for p in range(columns.matrix.shape[1])])
        self.report_ = SelectionReport(
            len(self.support_), tuple(found[p] for p in sorted(found)), tuple(not_checked)
        )
        return self

    def _check_parameters(self) -> None:
        # As a caller gave them, whatever their types promise.
        given: dict[str, Any] = self.get_params()
        share, psi, keep = given["max_missing"], given["max_psi"], given["keep"]
        if not isinstance(share, Real) or not 0 <= float(share) <= 1:
            raise ValueError(f"max_missing must be between 0 and 1, got {share!r}")
        if psi is not None and not psi > 0:
            raise ValueError(f"max_psi must be above 0, got {psi!r}")
        if keep is not None and (not isinstance(keep, Integral) or keep < 1):
            raise ValueError(f"keep must be a whole number of at least 1, got {keep!r}")

    def _time(self, dates: Any) -> tuple[npt.NDArray[np.intp] | None, list[str]]:
        """The place of each row's date in time; None where stability is not or cannot be checked."""
        if self.max_psi is None:
            return None, []
        if dates is None:
            raise ValueError("max_psi compares dates: requires dates to be passed, not None")
        when = pd.factorize(np.asarray(dates), sort=True)[0]
        if len(when) and when.min() < 0:
            raise ValueError("dates must not be missing")
        n_dates = len(np.unique(when))
        if n_dates < MIN_DATES:
            return None, [f"stability over time: {n_dates} training date(s), {MIN_DATES} are needed"]
        return when, []

    def _get_support_mask(self) -> BoolArray:
        check_is_fitted(self)
        return self.support_


@dataclass(frozen=True)
class _Columns:
    """The columns to choose from, as numbers."""

    names: list[str]
    matrix: FloatArray
    levels: dict[int, list[str]]

    @classmethod
    def of(cls, selector: FeatureSelector, X: Any) -> _Columns:
        levels: dict[int, list[str]] = {}
        encoded = X
        if isinstance(X, pd.DataFrame) and len(X.columns):
            levels = category_levels(X)
            encoded = encode(X, levels)
        # By column: every rule reads columns.
        matrix = validate_data(selector, encoded, dtype=np.float64, ensure_all_finite="allow-nan", order="F")
        names = getattr(selector, "feature_names_in_", [f"x{i}" for i in range(matrix.shape[1])])
        return cls([str(name) for name in names], np.asarray(matrix, dtype=np.float64), levels)

    def left(self, found: Iterable[int]) -> list[int]:
        """Positions of the columns that are still in."""
        out = set(found)
        return [p for p in range(len(self.names)) if p not in out]

    def missing_share(self, position: int) -> float:
        return float(np.isnan(self.matrix[:, position]).mean())

    def constant(self) -> Iterator[tuple[int, DroppedFeature]]:
        for position, name in enumerate(self.names):
            values = self.matrix[:, position]
            missing = self.missing_share(position)
            if missing == 1 or (missing == 0 and values.min() == values.max()):
                yield position, DroppedFeature(name, "constant", missing)

    def missing(self, limit: float) -> Iterator[tuple[int, DroppedFeature]]:
        for position, name in enumerate(self.names):
            share = self.missing_share(position)
            if share > limit:
                yield position, DroppedFeature(name, "missing", share)

    def duplicate(self, found: dict[int, DroppedFeature]) -> Iterator[tuple[int, DroppedFeature]]:
        first: dict[str, int] = {}
        for position in self.left(found):
            earlier = first.setdefault(self._digest(position), position)
            if earlier != position:
                yield position, DroppedFeature(self.names[position], "duplicate", None, self.names[earlier])

    def _digest(self, position: int) -> str:
        """Equal for columns that are equal in every row, whatever bits stand for zero and missing."""
        values = self.matrix[:, position] + 0.0  # -0.0 becomes 0.0
        values[np.isnan(values)] = np.nan
        kind = repr(self.levels.get(position)).encode()
        return hashlib.sha256(kind + b"\0" + values.tobytes()).hexdigest()

    def unstable(
        self, found: dict[int, DroppedFeature], when: npt.NDArray[np.intp], limit: float
    ) -> Iterator[tuple[int, DroppedFeature]]:
        dates = np.unique(when)
        for position in self.left(found):
            parts = [self._part(position, when == date) for date in dates]
            # Levels of a category are numbers here: they are compared as labels.
            reference = fit_reference(parts[0], categorical=position in self.levels)
            highest = max(reference.psi(part) for part in parts[1:])
            if highest > limit:
                yield position, DroppedFeature(self.names[position], "unstable", highest)

    def _part(self, position: int, rows: BoolArray) -> pd.Series[Any]:
        values = self.matrix[rows, position]
        if position not in self.levels:
            return pd.Series(values)
        names = np.array([*self.levels[position], None], dtype=object)
        return pd.Series(names[np.where(np.isnan(values), len(names) - 1, values).astype(int)], dtype="str")

    def weak(
        self, found: dict[int, DroppedFeature], target: npt.NDArray[Any], screen: OverdueClassifier, keep: int
    ) -> Iterator[tuple[int, DroppedFeature]]:
        rest = self.left(found)
        if len(rest) <= keep:
            return
        part = pd.DataFrame({str(p): self._part(p, np.ones(len(target), np.bool_)) for p in rest})
        screen.fit(part, target)
        gain = np.sum([b.feature_importance("gain") for b in screen.boosters_], axis=0)
        total = gain.sum() or 1.0
        # Stable: of columns that gain the same, the earlier ones stay.
        for place in np.argsort(-gain, kind="stable")[keep:]:
            position = rest[place]
            yield position, DroppedFeature(self.names[position], "weak", float(gain[place] / total))
