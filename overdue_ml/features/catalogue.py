"""The default registry and its catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from overdue_ml.features.account import account_features
from overdue_ml.features.declare import AttributeFeature
from overdue_ml.features.instalments import instalment_features
from overdue_ml.features.registry import Registry
from overdue_ml.features.repayment import DERIVED, statement_features


def default_registry(attributes: Sequence[str] = ()) -> Registry:
    """All features of the package, and the named customer attributes as categories.

    Parameters
    ----------
    attributes : sequence of str
        Columns of ``customers``.
    """
    profile = [AttributeFeature(column) for column in attributes]
    return Registry([*statement_features(), *account_features(), *DERIVED, *instalment_features(), *profile])


def feature_catalogue() -> pd.DataFrame:
    """One row a feature: name, family, unit, direction, reason_code, meaning, when_null.

    Examples
    --------
    >>> catalogue = feature_catalogue()
    >>> bool(catalogue["name"].is_unique)
    True
    """
    return default_registry().catalogue()
