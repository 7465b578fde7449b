"""The watch list: customers whose figures have reached a line, or moved far, since the last run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from overdue_ml.config import AlertRule, RemindersConfig
from overdue_ml.errors import ConfigError

WATCH_COLUMNS = (
    "customer_id", "as_of_date", "indicator", "kind", "value", "earlier_value", "earlier_as_of", "threshold",
    "direction", "owner", "tier", "reason_1_code", "model", "earlier_model",
)  # fmt: skip
#: A change is rounded to so many places, so that 0.7 after 0.5 is a change of 0.2.
_PLACES = 9


def compute_watch_list(
    scores: pd.DataFrame,
    earlier: pd.DataFrame | None = None,
    config: RemindersConfig | None = None,
    *,
    model: str = "",
    earlier_model: str = "",
) -> pd.DataFrame:
    """Hold the scores of a run against the rules of the watch list and the run before it.

    A customer has ``crossed`` who has reached the threshold and had not at the earlier run: either was below
    it, or had no value then. Without an earlier run it is therefore everybody who has reached it: the list
    of the first run is where the watch begins, so that nobody is above the line unseen. ``jumped`` needs a
    value in both runs.

    Another model may move a score where the customer did nothing; ``model`` and ``earlier_model`` say it.

    Parameters
    ----------
    scores : pandas.DataFrame
        Columns of ``scores.parquet``, one row a customer.
    earlier : pandas.DataFrame, optional
        The same of the newest run before; customer_id, as_of_date and the indicators are enough.
    config : RemindersConfig, optional
    model, earlier_model : str
        Which models gave the scores.

    Returns
    -------
    pandas.DataFrame
        ``WATCH_COLUMNS``, one row for each customer and rule: by rule in the order of the config, the worst
        value first, equal ones by customer_id.

    Raises
    ------
    ConfigError
        If a rule's indicator is no column of numbers.
    """
    watch = WatchList(config, model=model, earlier_model=earlier_model)
    watch.add(scores, earlier)
    return watch.table()


class WatchList:
    """The same from portions of the customers, as they come; see :func:`compute_watch_list`.

    Parameters
    ----------
    config : RemindersConfig, optional
    model, earlier_model : str
    """

    def __init__(
        self, config: RemindersConfig | None = None, *, model: str = "", earlier_model: str = ""
    ) -> None:
        self.rules = list(dict.fromkeys((config or RemindersConfig()).alerts))
        self._models = {"model": model, "earlier_model": earlier_model}
        self._found: list[list[pd.DataFrame]] = [[] for _ in self.rules]
        self._when: object = None

    def add(self, scores: pd.DataFrame, earlier: pd.DataFrame | None = None) -> None:
        """Look at some customers.

        Parameters
        ----------
        scores, earlier : pandas.DataFrame
            As of :func:`compute_watch_list`; of the earlier run at least these customers.

        Raises
        ------
        ConfigError
            If a rule's indicator is no column of numbers.
        """
        check_indicators(self.rules, [str(name) for name in scores.select_dtypes("number")])
        before = None if earlier is None else earlier.set_index("customer_id").reindex(scores["customer_id"])
        if earlier is not None and len(earlier):
            self._when = earlier["as_of_date"].iloc[0]
        for rule, found in zip(self.rules, self._found, strict=True):
            rows = _watched(rule, scores, before)
            if len(rows) or not found:
                found.append(rows)

    def table(self) -> pd.DataFrame:
        """Who is on the list."""
        if not self.rules:
            return pd.DataFrame({name: pd.Series(dtype="object") for name in WATCH_COLUMNS})
        found = [
            _worst_first(portions).assign(**rule.model_dump())
            for rule, portions in zip(self.rules, self._found, strict=True)
        ]
        rows = pd.concat(found, ignore_index=True)
        rows["earlier_as_of"] = pd.Series(self._when, rows.index, dtype="object").where(
            rows["earlier_value"].notna(), None
        )
        return rows.assign(**self._models)[list(WATCH_COLUMNS)]


def _worst_first(found: list[pd.DataFrame]) -> pd.DataFrame:
    """Rows of one rule from all portions."""
    # A table without rows has columns of no kind.
    rows = pd.concat([portion for portion in found if len(portion)] or found[:1])
    return rows.sort_values(["worst", "customer_id"], kind="stable").drop(columns="worst")


def check_indicators(rules: Sequence[AlertRule], columns: Sequence[str]) -> None:
    """Refuse a rule on what is no column of numbers.

    Parameters
    ----------
    rules : sequence of AlertRule
    columns : sequence of str
        Columns of numbers that the scores have.

    Raises
    ------
    ConfigError
    """
    for rule in rules:
        if rule.indicator not in columns:
            raise ConfigError(
                f"the scores have no column of numbers '{rule.indicator}'",
                where="alerts",
                expected=f"one of {', '.join(columns)}",
                next_step="mend the reminders config",
            )


def _watched(rule: AlertRule, scores: pd.DataFrame, before: pd.DataFrame | None) -> pd.DataFrame:
    """Rows of one rule, and by what they are sorted."""
    sign = 1.0 if rule.direction == "up" else -1.0
    value = scores[rule.indicator].to_numpy(np.float64)
    if before is None or rule.indicator not in before:
        last = np.full(len(value), np.nan)
    else:
        last = before[rule.indicator].to_numpy(np.float64)
    # Comparisons with NaN are false: who has no value has reached nothing, and moved by nothing.
    if rule.kind == "crossed":
        holds = (sign * value >= sign * rule.threshold) & ~(sign * last >= sign * rule.threshold)
    else:
        holds = np.round(sign * (value - last), _PLACES) >= rule.threshold
    return scores.loc[holds, ["customer_id", "as_of_date", "tier", "reason_1_code"]].assign(
        value=value[holds], earlier_value=last[holds], worst=-sign * value[holds]
    )
