"""What an evaluation says beyond its metrics: by group, over time, against simpler rules, and in money.

Plain data: figures that jobs compute and pages show, and remarks whose words stand in a catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from overdue_ml.metrics import Interval


@dataclass(frozen=True)
class Remark:
    """A sentence of the catalogue and the figures in it.

    Parameters
    ----------
    key : str
        Of the catalogue.
    values : mapping of str to str
        Its placeholders, as they are shown.
    """

    key: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RuleComparison:
    """The model against the best single rule.

    Parameters
    ----------
    feature : str
    meaning : str
        Of the feature, in the language of the page.
    rising : bool
        Higher values are riskier.
    train_auc, auc, model_auc : float
        Of the rule on training and test rows, and of the model on test rows.
    difference : Interval
        Of the AUCs on test rows, model less rule, paired.
    """

    feature: str
    meaning: str
    rising: bool
    train_auc: float
    auc: float
    model_auc: float
    difference: Interval


@dataclass(frozen=True)
class ChampionComparison:
    """The model against the registered champion, on the same rows.

    Parameters
    ----------
    version : str
    auc, model_auc : float
    difference : Interval
        Model less champion, paired.
    top : float
        Share of the rows that is worked.
    swap : DataFrame
        See :func:`overdue_ml.metrics.swap_set`.
    unseen : bool
        The champion is known not to have been trained on these rows.
    """

    version: str
    auc: float
    model_auc: float
    difference: Interval
    top: float
    swap: pd.DataFrame
    unseen: bool


@dataclass(frozen=True)
class MoneyComparison:
    """Lift in money.

    Parameters
    ----------
    amount : str
        The feature that tells the amount at stake.
    n_rows, n_unknown : int
        Rows with and without a known amount; the latter are left out.
    total, total_overdue : float
        Amount of all these rows, and of the overdue.
    table : DataFrame
        See :func:`overdue_ml.metrics.money_table`.
    curves : mapping of str to DataFrame
        By ranking, see :func:`overdue_ml.metrics.money_curve`.
    """

    amount: str
    n_rows: int
    n_unknown: int
    total: float
    total_overdue: float
    table: pd.DataFrame
    curves: Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Assessment:
    """Everything of an evaluation that :class:`overdue_ml.model.Evaluation` does not hold.

    Parameters
    ----------
    segments : mapping of str to DataFrame
        By column, see :func:`overdue_ml.metrics.evaluate_segments`.
    fairness : mapping of str to DataFrame
        By protected attribute, see :func:`overdue_ml.metrics.compare_groups`.
    selection : Remark
        Who counts as selected there.
    shift : DataFrame
        feature, meaning, psi, status: those that moved most between training and test rows.
    n_shifted : mapping of str to int
        Features by status.
    rule : RuleComparison or None
    champion : ChampionComparison or None
    money : MoneyComparison or None
    notes : mapping of str to sequence of Remark
        By section: why something is missing.
    limits : sequence of Remark
        What must not be concluded from these data.
    """

    segments: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    fairness: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    selection: Remark = Remark("selected_none")
    shift: pd.DataFrame = field(default_factory=pd.DataFrame)
    n_shifted: Mapping[str, int] = field(default_factory=dict)
    rule: RuleComparison | None = None
    champion: ChampionComparison | None = None
    money: MoneyComparison | None = None
    notes: Mapping[str, Sequence[Remark]] = field(default_factory=dict)
    limits: Sequence[Remark] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; NaN becomes null."""
        plain: dict[str, Any] = _plain(self)
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, pd.DataFrame):
        return value.astype(object).where(value.notna(), None).to_dict("records")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    # NaN alone differs from itself, and JSON has no word for it.
    return None if isinstance(value, float) and value != value else value
