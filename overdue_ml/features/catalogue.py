"""The default registry and its catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from overdue_ml.features.account import ACCOUNT_DERIVED, account_features, loan_account_features
from overdue_ml.features.borrowing import (
    BORROWING_BURDEN,
    BORROWING_DERIVED,
    DEBT_BURDEN,
    borrowing_features,
)
from overdue_ml.features.declare import AnyFeature, AttributeFeature
from overdue_ml.features.income import INCOME_BURDEN, INCOME_DERIVED, income_features
from overdue_ml.features.instalments import instalment_features
from overdue_ml.features.loans import loan_features
from overdue_ml.features.payments import PAYMENT_DERIVED, payment_features, version_features
from overdue_ml.features.ranks import rank_features
from overdue_ml.features.registry import Registry
from overdue_ml.features.repayment import DERIVED, statement_features


def default_registry(attributes: Sequence[str] = (), *, ranks: bool = False) -> Registry:
    """All features of the package, and the named customer attributes as categories.

    Parameters
    ----------
    attributes : sequence of str
        Columns of ``customers``.
    ranks : bool, default False
        Also places in the whole book of the date (``<feature>_rank``); see
        :class:`overdue_ml.features.RankFeature`.
    """
    profile = [AttributeFeature(column) for column in attributes]
    people: list[AnyFeature] = [
        *income_features(), *INCOME_DERIVED, *INCOME_BURDEN, *borrowing_features(), *BORROWING_DERIVED,
        *BORROWING_BURDEN, *DEBT_BURDEN,
    ]  # fmt: skip
    statements: list[AnyFeature] = [*statement_features(), *account_features(), *DERIVED]
    accounts: list[AnyFeature] = [*loan_account_features(), *ACCOUNT_DERIVED]
    payments: list[AnyFeature] = [*payment_features(), *version_features(), *PAYMENT_DERIVED]
    loans: list[AnyFeature] = [*accounts, *payments, *loan_features()]
    every = [*statements, *instalment_features(), *people, *loans]
    return Registry([*every, *(rank_features(every) if ranks else ()), *profile])


def feature_catalogue(lang: str = "en", *, ranks: bool = False) -> pd.DataFrame:
    """One row a feature: name, family, unit, direction, reason_code, meaning, when_null.

    Parameters
    ----------
    lang : {'en', 'zh'}
        Language of ``meaning`` and ``when_null``.
    ranks : bool, default False
        With the places in the whole book, which are built only where a config asks for them.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    ConfigError
        If there are no words in that language.

    Examples
    --------
    >>> catalogue = feature_catalogue()
    >>> bool(catalogue["name"].is_unique)
    True
    """
    return default_registry(ranks=ranks).catalogue(lang)
