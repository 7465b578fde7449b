"""Features of the user's own in Python: a function over the records, free to read anything.

Nothing holds such a function to what was known on the as_of date. That is what the audit is for: see
:func:`overdue_ml.audit_leakage`.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from overdue_ml.errors import ConfigError, FeatureMismatchError

if TYPE_CHECKING:
    from overdue_ml.features.declare import Unit
    from overdue_ml.records import Records


@dataclass(frozen=True)
class FunctionFeature:
    """A Python function from the records and the rows that are wanted to one number a row.

    Parameters
    ----------
    name : str
        Full name, in the grammar of all features.
    function : callable
        Called with the records and a DataFrame of the columns ``customer_id`` (str) and ``as_of_date``
        (datetime64), one row a wanted value. Returns one number for each, in that order; NaN for none.
    reason, unit, meaning, when_null : str
    needs : frozenset of str
        What the records must have: ``table`` or ``table.column``.
    direction : {-1, 0, 1}
    version : str
        Stands for the function in the hash that travels with a model. Its source does where this is
        empty; what the function calls or encloses does not count then.
    """

    name: str
    function: Callable[[Records, pd.DataFrame], Any]
    reason: str
    unit: Unit
    meaning: str
    needs: frozenset[str] = frozenset()
    direction: int = 0
    when_null: str = "not known"
    version: str = ""

    @property
    def family(self) -> str:
        """First part of the name."""
        return self.name.split("_", 1)[0]

    def definition(self) -> dict[str, object]:
        """Everything that its value depends on, as plain data.

        Raises
        ------
        ConfigError
            If there is neither a version nor a source to read.
        """
        if self.version:
            return {"function": self.version}
        try:
            source = inspect.getsource(self.function)
        except (OSError, TypeError):
            raise ConfigError(
                f"the source of the function of '{self.name}' cannot be read",
                next_step="define it in a file, or give the feature a version",
            ) from None
        return {"function": hashlib.sha256(source.encode()).hexdigest()}

    def missing(self, records: Records) -> set[str]:
        """What it needs and the records do not have."""
        return {
            need
            for need in self.needs
            if need not in records and need.partition(".")[2] not in records.columns(need.partition(".")[0])
        }


def function_values(feature: FunctionFeature, records: Records, keys: pd.DataFrame) -> np.ndarray:
    """Call the function and check what it returns.

    Parameters
    ----------
    feature : FunctionFeature
    records : Records
    keys : pandas.DataFrame
        Columns ``customer_id`` and ``as_of``, as :meth:`overdue_ml.features.views.Keys.frame` gives them.

    Returns
    -------
    ndarray of float64, shape (n_keys,)

    Raises
    ------
    FeatureMismatchError
        If it fails, or does not return one number a row.
    """
    asked = keys.rename(columns={"as_of": "as_of_date"})[["customer_id", "as_of_date"]]
    try:
        found = feature.function(records, asked.copy())
    except Exception as error:
        # Its kind only: what it says may quote a customer.
        raise FeatureMismatchError(
            f"the function of the feature '{feature.name}' failed with {type(error).__name__}",
            next_step="it has to work on any records, also on those with no later rows",
        ) from error
    if isinstance(found, pd.Series) and not found.index.equals(asked.index):
        raise _not_a_row_each(feature, "a Series under another index")
    try:
        values = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        raise _not_a_row_each(feature, "something that is no number") from None
    if values.shape != (len(asked),):
        raise _not_a_row_each(feature, f"values of the shape {values.shape} for {len(asked)} rows")
    return values


def _not_a_row_each(feature: FunctionFeature, what: str) -> FeatureMismatchError:
    return FeatureMismatchError(
        f"the function of the feature '{feature.name}' returned {what}",
        expected="one number for each row of the keys, in their order; NaN for none",
    )
