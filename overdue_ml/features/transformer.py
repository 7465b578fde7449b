"""``FeatureBuilder``: features as the first step of a scikit-learn pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.features.build import Beside, available_features, feature_rows, refuse_missing
from overdue_ml.features.catalogue import default_registry
from overdue_ml.features.declare import AttributeFeature
from overdue_ml.features.keys import Keys
from overdue_ml.features.program import IntArray
from overdue_ml.features.registry import Registry
from overdue_ml.features.views import known_customers
from overdue_ml.records import Records
from overdue_ml.records.dates import parse_date
from overdue_ml.records.select import keep_customers

_KEYS = ("customer_id", "as_of_date")
_TOLD = 3


class _Rows(NamedTuple):
    """The rows asked for: distinct (customer, day) pairs, and which of them each row is.

    ``pair`` is the place of the customer times the number of days plus the place of the day, so pairs are
    sorted by customer and day.
    """

    customer_ids: npt.NDArray[np.object_]
    days: IntArray
    pair: IntArray
    place: npt.NDArray[np.intp]


class FeatureBuilder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn keys into features, as the first step of a pipeline.

    Parameters
    ----------
    records : Records
        Needed by ``fit``; a default only so that ``FeatureBuilder()`` can be printed and cloned.
    features : sequence of str, optional
        Names; all that the records allow by default.
    registry : Registry, optional
        With features of your own; the default registry otherwise.
    n_threads : int, optional
        Threads over customers; the result does not depend on it.
    unknown : {'error', 'null'}, default 'error'
        What a key becomes of whose customer the lender knew nothing on its date: an error, or a row of
        nulls.

    Attributes
    ----------
    registry_ : Registry
    feature_names_ : list of str
        Fixed by ``fit``; nothing is dropped.
    feature_set_hash_ : str
        Of their definitions; it travels with a model.

    Notes
    -----
    Keys are a DataFrame with the columns, or else the index levels, ``customer_id`` (text) and
    ``as_of_date``, or a MultiIndex of the two; other columns are ignored, and a key may stand there twice.
    The result has a row for each key, in their order, and the index of the DataFrame or the MultiIndex
    itself.

    Nothing is learned from the keys of ``fit`` but which features there are, and a feature of a date never
    knows what came later: cross-validation over pipelines does not leak through this step. Records are
    not copied when a pipeline is cloned, as they are never changed; all clones share them.

    A function of the user's own is called with all records and the distinct keys.

    Examples
    --------
    >>> import pandas as pd
    >>> from overdue_ml import load_records
    >>> accounts = pd.DataFrame({"account_id": ["a"], "customer_id": ["c"], "opened_on": ["2024-01-05"]})
    >>> statements = pd.DataFrame({"account_id": ["a"], "statement_date": ["2024-02-29"], "dpd": [7]})
    >>> records = load_records({"accounts": accounts, "statements": statements})
    >>> keys = pd.DataFrame({"customer_id": ["c", "c"], "as_of_date": ["2024-03-31", "2024-01-31"]})
    >>> FeatureBuilder(records, ["repay_dpd_latest"]).fit_transform(keys)
       repay_dpd_latest
    0               7.0
    1               NaN
    """

    def __init__(
        self,
        records: Records | None = None,
        features: Sequence[str] | None = None,
        registry: Registry | None = None,
        n_threads: int | None = None,
        unknown: Literal["error", "null"] = "error",
    ) -> None:
        self.records = records
        self.features = features
        self.registry = registry
        self.n_threads = n_threads
        self.unknown = unknown

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Fix the list of features.

        Parameters
        ----------
        X : DataFrame or MultiIndex
            Keys; only their form is checked.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ConfigError
            If there are no records, the keys have another form, or a feature is unknown.
        FeatureMismatchError
            If a feature that was asked for needs a table or column that is not there.
        """
        if not isinstance(self.records, Records):
            raise ConfigError(
                "FeatureBuilder has no records", next_step="give what load_records returned as 'records'"
            )
        if self.unknown not in ("error", "null"):
            raise ConfigError(f"unknown is {self.unknown!r}", expected="'error' or 'null'")
        _key_columns(X)
        registry = self.registry
        if registry is None:
            registry = default_registry(self.records.config.attributes)
        names = available_features(self.records, registry) if self.features is None else list(self.features)
        refuse_missing(names, self.records, registry)
        self.registry_ = registry
        self.feature_names_ = names
        self.feature_set_hash_ = registry.feature_set_hash(names)
        return self

    def transform(self, X: Any) -> pd.DataFrame:
        """Features of the keys.

        Parameters
        ----------
        X : DataFrame or MultiIndex of n_samples keys

        Returns
        -------
        pandas.DataFrame, shape (n_samples, n_features)

        Raises
        ------
        ConfigError
            If the keys have another form.
        RecordsError
            If nothing is known of a customer on a date, and ``unknown`` is 'error'.
        """
        check_is_fitted(self, "feature_names_")
        assert self.records is not None
        customers, dates = _key_columns(X)
        index = X if isinstance(X, pd.MultiIndex) else X.index
        rows = _rows(customers, dates)
        part = keep_customers(self.records, rows.customer_ids)
        is_known = _is_known(part, rows)
        if self.unknown == "error" and not is_known.all():
            raise _unknown_keys(rows, is_known)
        if not is_known.any():
            return self._empty().reindex(range(len(index))).set_axis(index)
        keys = _keys(rows, rows.pair[is_known])
        built = feature_rows(
            part, keys, self.feature_names_, self.registry_, self.n_threads, Beside(self.records)
        ).reset_index(drop=True)
        if is_known.all():
            return built.take(rows.place).set_axis(index)
        # -1 is no row of what was built, so it becomes nulls.
        wanted = np.where(is_known, np.cumsum(is_known) - 1, -1)
        return built.reindex(wanted[rows.place]).set_axis(index)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:  # noqa: ARG002
        """Names of the features, in order.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self, "feature_names_")
        return np.array(self.feature_names_, dtype=object)

    def _empty(self) -> pd.DataFrame:
        kinds = {
            name: "category" if isinstance(self.registry_[name], AttributeFeature) else "float64"
            for name in self.feature_names_
        }
        return pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in kinds.items()})


def _key_columns(X: Any) -> tuple[pd.Series, pd.Series]:
    """Customers and dates of the keys, in a frame's columns or in its index."""
    frame = X
    if isinstance(X, pd.MultiIndex):
        frame = pd.DataFrame(index=X)
    if not isinstance(frame, pd.DataFrame):
        raise _no_keys(f"a {type(X).__name__}")
    found = []
    for name in _KEYS:
        if name in frame.columns:
            found.append(pd.Series(frame[name]).reset_index(drop=True))
        elif name in frame.index.names:
            found.append(pd.Series(frame.index.get_level_values(name)).reset_index(drop=True))
        else:
            raise _no_keys(f"without '{name}'")
    customers, dates = found
    for name, column in zip(_KEYS, found, strict=True):
        if column.isna().any():
            raise ConfigError(f"{int(column.isna().sum())} keys have no {name}", expected="one in each")
    # A number would be written back with its leading zeros lost.
    if any(not isinstance(value, str) for value in customers.unique()):
        raise ConfigError("customer_id of the keys is no text", expected="ids as the records hold them")
    return customers, dates


def _no_keys(what: str) -> ConfigError:
    return ConfigError(
        f"the keys are {what}",
        expected="a DataFrame with customer_id and as_of_date as columns or in its index, or a MultiIndex",
    )


def _rows(customers: pd.Series, dates: pd.Series) -> _Rows:
    ids, who = np.unique(customers.to_numpy(dtype=object), return_inverse=True)
    code, distinct = pd.factorize(dates)
    read = [np.datetime64(parse_date(value, "as_of_date"), "D") for value in distinct]
    parsed = np.array(read, dtype="datetime64[D]").astype(np.int64)
    days, when = np.unique(parsed[code], return_inverse=True)
    pair, place = np.unique(who * max(len(days), 1) + when, return_inverse=True)
    return _Rows(ids, days, pair.astype(np.int64), place)


def _is_known(part: Records, rows: _Rows) -> npt.NDArray[np.bool_]:
    known = known_customers(part, rows.days)
    who = np.searchsorted(rows.customer_ids, known.customer_ids)
    when = np.searchsorted(rows.days, known.day)
    return np.isin(rows.pair, np.repeat(who, np.diff(known.start)) * len(rows.days) + when)


def _keys(rows: _Rows, pair: IntArray) -> Keys:
    who, when = np.divmod(pair, len(rows.days))
    places, sizes = np.unique(who, return_counts=True)
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Keys(rows.customer_ids[places], start, rows.days[when])


def _unknown_keys(rows: _Rows, is_known: npt.NDArray[np.bool_]) -> RecordsError:
    who, when = np.divmod(rows.pair[~is_known], len(rows.days))
    told = [
        f"{rows.customer_ids[c]} {rows.days[d].astype('datetime64[D]')}"
        for c, d in zip(who[:_TOLD], when[:_TOLD], strict=True)
    ]
    return RecordsError(
        f"nothing is known of {len(who)} key(s) on their date",
        where=f"first {', '.join(told)}",
        expected="customers with an account opened by then",
        next_step="leave these keys out, or set unknown='null' for rows of nulls",
    )
