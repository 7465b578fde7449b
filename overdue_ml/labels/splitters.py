"""Cross-validation over time: scikit-learn splitters that leave a gap for the performance window."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.model_selection import BaseCrossValidator

from overdue_ml.errors import RecordsError
from overdue_ml.labels.compile import TRAINABLE
from overdue_ml.labels.splits import BoolArray, hash_share
from overdue_ml.records.dates import AsOf, parse_date

IndexArray = npt.NDArray[np.intp]
DateArray = npt.NDArray[np.datetime64]


class _Panel(NamedTuple):
    """What a splitter has to know of each row; ``days`` are its distinct as_of dates, sorted."""

    as_of: DateArray
    days: DateArray
    customer: npt.NDArray[Any] | None
    matured_on: DateArray | None


class TimeSeriesPanelSplit(BaseEstimator, BaseCrossValidator):  # type: ignore[misc]
    """Train on earlier as_of dates, test on later ones, with a gap as long as the performance window.

    The last ``n_splits * test_dates`` as_of dates are tested, oldest first, each once. A row trains for a
    fold only if its label was final on the fold's first test date.

    Parameters
    ----------
    n_splits : int, default 5
    gap_days : int, optional
        Days from an as_of date until its labels are final, so ``horizon_days`` for labels from the next
        statement. With None, ``matured_on`` must be given; with both, a row must satisfy both.
    window : {'expanding', 'rolling'}, default 'expanding'
        Train on all dates before the gap, or on the last ``train_dates`` of them.
    train_dates : int, optional
        Number of as_of dates that each fold trains on; for ``window='rolling'`` only.
    groups_disjoint : bool, default False
        Test only a share of the customers in each fold, and keep these out of its training rows.
    test_dates : int, default 1
        Consecutive as_of dates that one fold tests.
    test_share : float, default 0.2
        Share of customers that a fold tests with ``groups_disjoint``, drawn by a hash of the id; other
        customers in other folds as far as the shares allow. With 1.0 all rows of the test dates are
        tested, and a customer seen on them trains nothing.

    Notes
    -----
    The rows are described by ``groups``: as_of dates, or a DataFrame or MultiIndex with ``as_of_date`` and,
    as needed, ``customer_id`` and ``matured_on``, such as the labels themselves. What ``groups`` does not
    say is read from the index of ``X``. Give decided rows only, as from :func:`trainable`.

    ``matured_on`` alone lets a date train as soon as some of its labels are final. An overdue is often
    final sooner than an on_time, so such a date has too many of them; ``gap_days`` avoids that.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.to_datetime(["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"])
    >>> for train, test in TimeSeriesPanelSplit(2, gap_days=31).split(range(4), groups=days):
    ...     print(train, test)
    [0 1] [2]
    [0 1] [3]
    """

    # groups are taken by default when metadata routing is switched on.
    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def __init__(
        self,
        n_splits: int = 5,
        gap_days: int | None = None,
        window: Literal["expanding", "rolling"] = "expanding",
        train_dates: int | None = None,
        groups_disjoint: bool = False,
        test_dates: int = 1,
        test_share: float = 0.2,
    ) -> None:
        self.n_splits = n_splits
        self.gap_days = gap_days
        self.window = window
        self.train_dates = train_dates
        self.groups_disjoint = groups_disjoint
        self.test_dates = test_dates
        self.test_share = test_share

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: ARG002
        """The number of folds; the arguments are not used."""
        return int(self.n_splits)

    def split(
        self,
        X: Any,
        y: Any = None,  # noqa: ARG002
        groups: Any = None,
    ) -> Iterator[tuple[IndexArray, IndexArray]]:
        """Positions of the training and test rows of each fold.

        Parameters
        ----------
        X : array or DataFrame of shape (n_samples, n_features)
        y : ignored
        groups : array of dates, DataFrame or MultiIndex of n_samples rows, optional
            See the notes of the class.

        Yields
        ------
        train, test : ndarray of intp

        Raises
        ------
        ValueError
            If a parameter or a date cannot be used, there are too few dates, or a fold has no row to
            train or to test on.
        """
        self._check_parameters()
        panel = _read_panel(X, groups, with_customers=self.groups_disjoint)
        if panel.matured_on is None and self.gap_days is None:
            raise ValueError("gap_days is None and no matured_on is given; give one of them")
        if panel.customer is None and self.groups_disjoint:
            raise ValueError("groups_disjoint needs customer_id, in groups or in the index of X")
        n_tested = self.n_splits * self.test_dates
        if len(panel.days) <= n_tested:
            raise ValueError(
                f"{self.n_splits} folds of {self.test_dates} test date(s) need at least {n_tested + 1} "
                f"as_of dates, got {len(panel.days)}"
            )
        drawn = self._draw_customers(panel)
        # All folds before the first is handed out: a fold that cannot be made stops before any is fitted.
        tested = panel.days[-n_tested:].reshape(self.n_splits, self.test_dates)
        yield from [self._make_fold(panel, tested[fold], drawn, fold) for fold in range(self.n_splits)]

    def _check_parameters(self) -> None:
        least = {"n_splits": 1, "gap_days": 0, "train_dates": 1, "test_dates": 1}
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is None and name in ("gap_days", "train_dates"):
                continue
            if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
                raise ValueError(f"{name} must be a whole number of at least {minimum}, got {value!r}")
        if self.window not in ("expanding", "rolling"):
            raise ValueError(f"window must be 'expanding' or 'rolling', got {self.window!r}")
        if (self.window == "rolling") != (self.train_dates is not None):
            raise ValueError(
                "train_dates must be given for window='rolling' and only for it, "
                f"got {self.train_dates!r} with {self.window!r}"
            )
        share: Any = self.test_share
        if isinstance(share, bool) or not isinstance(share, Real) or not 0 < float(share) <= 1:
            raise ValueError(f"test_share must be above 0 and at most 1, got {share!r}")

    def _draw_customers(self, panel: _Panel) -> npt.NDArray[np.float64] | None:
        """Each row's customer as a number in [0, 1), or None where all customers are tested."""
        if not self.groups_disjoint or self.test_share == 1 or panel.customer is None:
            return None
        codes, unique = pd.factorize(panel.customer)
        return np.array([hash_share(str(customer), "panel") for customer in unique])[codes]

    def _make_fold(
        self, panel: _Panel, tested: DateArray, drawn: npt.NDArray[np.float64] | None, fold: int
    ) -> tuple[IndexArray, IndexArray]:
        first = tested[0]
        test = (panel.as_of >= first) & (panel.as_of <= tested[-1])
        if drawn is not None:
            # Arcs of the unit circle one after the other: folds meet again only after a full turn.
            test &= (drawn - fold * self.test_share) % 1.0 < self.test_share
        train = panel.as_of < first
        if self.gap_days is not None:
            train &= panel.as_of + np.timedelta64(int(self.gap_days), "D") <= first
        if panel.matured_on is not None:
            train &= panel.matured_on <= first
        if self.train_dates is not None:
            days = np.unique(panel.as_of[train])
            if len(days) < self.train_dates:
                raise ValueError(
                    f"fold {fold + 1} of {self.n_splits}, tested from {first}, has {len(days)} as_of "
                    f"date(s) before the gap; train_dates asks for {self.train_dates}"
                )
            train &= panel.as_of >= days[-self.train_dates]
        if self.groups_disjoint and panel.customer is not None:
            train &= ~pd.Series(panel.customer).isin(pd.unique(panel.customer[test])).to_numpy()
        for name, rows in (("train", train), ("test", test)):
            if not rows.any():
                raise ValueError(
                    f"fold {fold + 1} of {self.n_splits}, tested from {first}, has no row to {name} on; give "
                    "more dates or fewer folds" + (", or another test_share" if self.groups_disjoint else "")
                )
        return np.flatnonzero(train), np.flatnonzero(test)


def _read_panel(X: Any, groups: Any, *, with_customers: bool) -> _Panel:
    """Dates, customers and maturity of the rows, from ``groups`` first and the index of ``X`` next."""
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
    index = X.index if isinstance(X, pd.DataFrame | pd.Series) else None
    if groups is not None and len(groups) != n_rows:
        raise ValueError(f"X has {n_rows} rows and groups has {len(groups)}")
    own = groups if isinstance(groups, pd.MultiIndex) else getattr(groups, "index", None)
    if isinstance(own, pd.MultiIndex) and isinstance(index, pd.MultiIndex) and not own.equals(index):
        raise ValueError("the index of groups is not that of X, row by row; reindex one by the other")
    # Ids are left alone unless asked for: there may be millions.
    names = ["as_of_date", "matured_on", *(["customer_id"] if with_customers else [])]
    said: dict[str, Any] = {} if index is None else _levels(index, names)
    if isinstance(groups, pd.DataFrame):
        said |= _levels(groups.index, names) | {name: groups[name] for name in names if name in groups}
    elif isinstance(groups, pd.MultiIndex):
        said |= _levels(groups, names)
    elif groups is not None:
        said["as_of_date"] = groups
    if "as_of_date" not in said:
        raise ValueError("no as_of_date: give the dates as groups, or as a level of the index of X")
    as_of = _dates(said["as_of_date"], "as_of_date")
    matured = _dates(said["matured_on"], "matured_on") if "matured_on" in said else None
    customer = np.asarray(said["customer_id"], dtype=object) if "customer_id" in said else None
    if customer is not None and pd.isna(customer).any():
        raise ValueError(f"{pd.isna(customer).sum()} row(s) have no customer_id")
    return _Panel(as_of, np.unique(as_of), customer, matured)


def _levels(index: pd.Index, names: list[str]) -> dict[str, Any]:
    return {name: index.get_level_values(name) for name in names if name in index.names}


def _dates(values: Any, name: str) -> DateArray:
    """Whole days; numbers are refused, which pandas would take for nanoseconds since 1970."""
    # pd.Index keeps a time zone, which NumPy would silently apply.
    found = pd.Index(values if np.ndim(values) == 1 else np.asarray(values).ravel())
    kind = pd.api.types.infer_dtype(found, skipna=True)
    if kind in ("integer", "floating", "mixed-integer", "mixed-integer-float", "decimal", "boolean"):
        raise ValueError(f"{name} must be dates, got {kind} values")
    try:
        dates = pd.to_datetime(found, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} must be dates: {error}") from None
    if isinstance(dates.dtype, pd.DatetimeTZDtype):
        raise ValueError(f"{name} must be dates without a time zone, got {dates.dtype}")
    if dates.isna().any():
        hint = "; keep decided rows only, as from trainable(labels)" if name == "matured_on" else ""
        raise ValueError(f"{name} is missing in {int(dates.isna().sum())} row(s){hint}")
    return np.asarray(dates.to_numpy().astype("datetime64[D]"))


def purged_by_maturity(
    labels: pd.DataFrame, first_test: AsOf | None = None, *, whole_dates: bool = False
) -> BoolArray:
    """Mark the rows that may train a model tested from ``first_test`` on.

    Parameters
    ----------
    labels : pandas.DataFrame
        From :func:`label_customers`.
    first_test : date or str, optional
        First as_of date of the test; the last one of the labels by default.
    whole_dates : bool, default False
        Keep only as_of dates of which every label was final on ``first_test``. Row by row, a date that is
        only partly final keeps too many overdue rows, which are often final before the on_time ones.

    Returns
    -------
    ndarray of bool, shape (n_rows,)
        Decided rows from before ``first_test`` whose labels were final on it.

    Raises
    ------
    RecordsError
        If there are no labels.
    """
    if labels.empty:
        raise RecordsError("there are no labels to purge", next_step="give other as_of dates")
    dates = labels.index.get_level_values("as_of_date")
    first = dates.max() if first_test is None else pd.Timestamp(parse_date(first_test, "first_test"))
    decided = labels["verdict"].isin(TRAINABLE).to_numpy()
    keep: BoolArray = decided & np.asarray(dates < first) & (labels["matured_on"] <= first).to_numpy()
    if whole_dates:
        open_yet = (decided & ~keep) | (labels["verdict"] == "immature").to_numpy()
        keep = keep & ~dates.isin(dates[open_yet])
    return keep
