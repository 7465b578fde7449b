"""Ranks within the book of a date: where a customer stands among all whom the lender knew that day.

Amounts grow with prices, and a book moves as a whole; a place in the book does not. A rank is the one kind of
feature that depends on other customers, so a part of the book is never ranked against itself: see
:class:`Book`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from overdue_ml.features.declare import AnyFeature, Unit
    from overdue_ml.features.registry import Registry

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RankFeature:
    """The place of a customer among all customers of the same as_of date, by another feature.

    With ``n`` values known on the date, of which ``b`` are below and ``e`` equal to the customer's, the
    place is ``(b + e / 2) / n``: ties share the mean of their places, the middle of the book is 0.5, and
    the order of the customers plays no part.

    Parameters
    ----------
    source : str
        Name of the feature that is ranked: a number, and no rank itself.
    reason : str
        Reason code; that of ``source``, as a rule.
    of : str
        What is ranked, as it ends the sentence "Place in the whole book ... by ...".
    direction : {-1, 0, 1}
        That of ``source``, as a rule.
    """

    source: str
    reason: str
    of: str
    direction: int = 0

    when_null = "the value that is ranked is null"

    @property
    def unit(self) -> Unit:
        """A share of the book."""
        return "ratio"

    @property
    def name(self) -> str:
        """``<source>_rank``."""
        return f"{self.source}_rank"

    @property
    def family(self) -> str:
        """First part of the name."""
        return self.source.split("_", 1)[0]

    @property
    def meaning(self) -> str:
        """One sentence."""
        return f"Place in the whole book of the as_of date, from 0 (lowest) to 1 (highest), by {self.of}."

    def definition(self) -> dict[str, object]:
        """Everything that its value depends on besides what is ranked, as plain data."""
        return {"rank_of": self.source, "ties": "mean"}


class Book:
    """The values of ranked features of everybody, date by date, against which customers are ranked.

    A value of a customer who is not in the book, or of what if, gets the place that it would have among
    the values there.

    Parameters
    ----------
    parts : iterable of (ndarray of int64, mapping of str to ndarray of float64)
        Day of each row, in days since 1970-01-01, and the values of the features by name. All parts have
        the same features; together they hold every customer known on the days once a day.
    """

    def __init__(self, parts: Iterable[tuple[IntArray, Mapping[str, FloatArray]]]) -> None:
        found: dict[tuple[str, int], list[FloatArray]] = {}
        for day, columns in parts:
            for wanted in np.unique(day):
                here = day == wanted
                for name, values in columns.items():
                    known = values[here]
                    found.setdefault((name, int(wanted)), []).append(known[~np.isnan(known)])
        self._sorted = {key: np.sort(np.concatenate(found.pop(key))) for key in list(found)}

    def ranks(self, source: str, day: IntArray, values: FloatArray) -> FloatArray:
        """Places of some customers.

        Parameters
        ----------
        source : str
            The feature that is ranked.
        day : ndarray of int64, shape (n_rows,)
            Each one of the book's.
        values : ndarray of float64, shape (n_rows,)

        Returns
        -------
        ndarray of float64, shape (n_rows,)
            From 0 to 1; NaN where the value is.
        """
        places = np.full(len(values), np.nan)
        for wanted in np.unique(day):
            here = np.flatnonzero((day == wanted) & ~np.isnan(values))
            everybody = self._sorted[source, int(wanted)]
            if len(here) and len(everybody):
                below = np.searchsorted(everybody, values[here], side="left")
                upto = np.searchsorted(everybody, values[here], side="right")
                # Whole numbers up to the division: one rounding, the same everywhere.
                places[here] = (below + upto) / (2 * len(everybody))
        return places


def ranked_sources(names: Iterable[str], registry: Registry) -> list[str]:
    """Names of the features that the named ones rank, each once, in the order in which they are met."""
    ranked = [f.source for f in registry.closure(names) if isinstance(f, RankFeature)]
    return list(dict.fromkeys(ranked))


#: What is ranked, and how it is called. Levels that move with prices, wages or the state of a book.
_RANKED: Sequence[tuple[str, str]] = (
    ("repay_dpd_wmean_last6", "the weighted mean of days past due over the latest 6 statements"),
    ("repay_paid_amount_mean_last6", "the mean amount paid over the latest 6 statements"),
    ("stmt_balance_amount_latest", "the latest balance"),
    ("stmt_balance_amount_mean_last6", "the mean balance of the latest 6 statements"),
    ("stmt_utilisation_latest", "the share of the credit limit in use"),
    ("stmt_spend_amount_mean_last6", "the mean spending over the latest 6 statements"),
    ("account_credit_limit_amount_sum", "all credit limits together"),
    ("repay_instalment_dpd_mean_last6", "the mean of days past due over the latest 6 instalments"),
    ("repay_instalment_dpd_money_score_sum_last6", "days past due times amounts of the latest 6 instalments"),
    ("repay_instalment_unpaid_amount_sum_all", "all amounts that are past due and unpaid"),
    ("due_amount_next", "the amount of the next instalment"),
    ("due_unpaid_amount_sum_next31d", "what is still to be paid in the next 31 days"),
    ("due_debt_amount_all", "what is still to be paid in all"),
    ("repay_payment_amount_sum_90d", "what was paid in 90 days"),
    ("account_principal_amount_sum", "the principals of all loans together"),
    ("income_amount_mean_last6", "the mean of the latest 6 incomes"),
    ("income_amount_sum_90d", "the income of 90 days"),
    ("income_amount_sum_360d", "the income of 360 days"),
    ("income_due_ratio_next31d", "what is to be paid in the next 31 days for each unit of income"),
    ("borrow_balance_amount_latest", "the balance of debts elsewhere"),
    ("borrow_utilisation_latest", "the share of limits elsewhere in use"),
    ("borrow_all_due_income_ratio_next31d", "dues here and elsewhere for each unit of income"),
)  # fmt: skip


def rank_features(features: Iterable[AnyFeature]) -> list[RankFeature]:
    """The ranks that the package offers, of features that are among the given ones.

    Parameters
    ----------
    features : iterable of features
        Reason and direction of a rank are those of what it ranks.
    """
    known = {f.name: f for f in features}
    return [
        RankFeature(source, known[source].reason, of, known[source].direction)
        for source, of in _RANKED
        if source in known
    ]
