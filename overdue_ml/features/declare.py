"""The vocabulary in which a feature is declared: measure, statistic, window, and what follows from them.

A feature is data. Its name, unit, monotone direction and one-sentence meaning are derived from its
parts, so that a catalogue, a test suite and a model can be built from the same declarations.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from overdue_ml.errors import ConfigError
from overdue_ml.features.function import FunctionFeature
from overdue_ml.features.ranks import RankFeature

Unit = Literal["days", "amount", "ratio", "count", "score", "category"]
Statistic = Literal[
    "last",
    "lag",
    "count",
    "sum",
    "mean",
    "max",
    "min",
    "std",
    "slope",
    "wmean",
    "share",
    "streak",
    "since",
    "first",
]
Rollup = Literal["max", "min", "sum", "mean"]
Operator = Literal["ratio", "difference", "product", "total", "remainder"]


@dataclass(frozen=True)
class View:
    """A list of dated events of each account, in the order in which statistics read them.

    Parameters
    ----------
    event : str
        One of them, as it is called in a sentence.
    side : {'known', 'past', 'ahead'}
        All events known on the as_of date, those dated up to it, or those dated later. They are read from
        the latest to the oldest; those ahead from the next one on.
    """

    event: str
    side: Literal["known", "past", "ahead"] = "known"

    @property
    def ahead(self) -> bool:
        """Whether its events are still to come."""
        return self.side == "ahead"


#: Views of events that the pass can read. Those of instalments hold states: what was known when.
VIEWS: dict[str, View] = {
    "statements": View("statement"),
    "instalments": View("instalment", "past"),
    "upcoming": View("instalment", "ahead"),
    "plan": View("instalment"),
    "payments": View("payment"),
    "versions": View("version"),
    "incomes": View("income"),
    "borrowings": View("report"),
}
#: Terms that one measure may have: the pass keeps them in arrays of this width.
MAX_TERMS = 3
_NAME = re.compile(r"[a-z]+(?:_[a-z0-9]+)+")


@dataclass(frozen=True)
class Window:
    """Which of a view's events a statistic reads, counted from the as_of date.

    Parameters
    ----------
    kind : {'events', 'days', 'all'}
        The nearest ``size`` events, the events of the nearest ``size`` days, or all of them.
    size : int
    """

    kind: Literal["events", "days", "all"]
    size: int = 0

    def suffix(self, view: View) -> str:
        """As it stands at the end of a feature name."""
        events, days = ("next", "next") if view.ahead else ("last", "")
        return {"events": f"{events}{self.size}", "days": f"{days}{self.size}d", "all": "all"}[self.kind]

    def words(self, view: View) -> str:
        """As it is read aloud."""
        nearest = "next" if view.ahead else "latest"
        if self.kind == "events":
            return f"the {nearest} {self.size} {view.event}s"
        if self.kind == "days":
            return f"the {nearest} {self.size} days"
        return "all that are to come" if view.ahead else "the whole history"


def last(events: int) -> Window:
    """The latest ``events`` events, or the next in a view of what is ahead."""
    return Window("events", events)


def days(number: int) -> Window:
    """Events of the latest ``number`` days, the as_of date included; or of the next, without it."""
    return Window("days", number)


ALL = Window("all")


@dataclass(frozen=True)
class Measure:
    """A number for each event of a view.

    The value is ``sum(coefficient * column[lag]) * times[lag] / over[lag]``, clipped, then compared if
    ``where`` is given (1.0 true, 0.0 false). ``lag`` counts away from the as_of date over the view's events
    as known then, never over the whole table. The value is null where a term or the factor is null or the
    divisor is not above zero.

    Parameters
    ----------
    name : str
        Part of feature names; ends in its unit unless that goes without saying (dpd, utilisation).
    view : str
        View of events.
    unit : str
    meaning : str
        Completes "the mean of ..." in a sentence.
    terms : tuple of (float, str, int)
        Coefficient, column, lag.
    times, over : tuple of (str, int), optional
        Column and lag of a factor and of a divisor.
    clip : tuple of (float, float), optional
    where : tuple of (operator, float), optional
        Operator ``>``, ``>=``, ``<=``, ``<`` or ``==``.
    direction : {-1, 0, 1}
        +1 if a higher value is riskier, -1 if safer, 0 if neither is certain.
    when_null : str
        What a null means.
    source : str
        Where the measure is published, if it is.
    """

    name: str
    view: str
    unit: Unit
    meaning: str
    terms: tuple[tuple[float, str, int], ...]
    over: tuple[str, int] | None = None
    clip: tuple[float, float] | None = None
    where: tuple[str, float] | None = None
    direction: int = 0
    when_null: str = "no statement known"
    source: str = ""
    times: tuple[str, int] | None = None

    @property
    def columns(self) -> frozenset[str]:
        """The view's columns it reads."""
        names = {column for _, column, _ in self.terms}
        return frozenset(names | {part[0] for part in (self.times, self.over) if part})


_STATISTIC_WORDS: dict[str, str] = {
    "last": "the {nearest} value of {m}",
    "lag": "{m}, {k} {event}(s) {beyond} the {nearest}",
    "count": "the number of known values of {m} over {w}",
    "sum": "the sum of {m} over {w}",
    "mean": "the mean of {m} over {w}",
    "max": "the highest value of {m} over {w}",
    "min": "the lowest value of {m} over {w}",
    "std": "the standard deviation of {m} over {w}",
    "slope": "the trend of {m} over {w}, per {event} (least squares)",
    "wmean": "the mean of {m} over {w}, each {event} weighing half of the one {nearer} it",
    "share": "the share of {event}s with {m} over {w}",
    "streak": "the number of {nearest} {event}s in a row with {m}",
    "since": "days since the last {event} with {m}",
    "first": "the oldest value of {m} over {w}",
}
_KEEPS_DIRECTION = {"last", "lag", "sum", "mean", "max", "min", "slope", "wmean", "share", "streak"}


@dataclass(frozen=True)
class Feature:
    """A measure, a statistic over a window of events, and how accounts combine to a customer.

    Parameters
    ----------
    family : str
        First part of the name.
    measure : Measure
    statistic : str
    window : Window
    reason : str
        Reason code under which its contribution is explained.
    lag : int
        For the statistic ``lag``: how many events back.
    rollup : {'max', 'min', 'sum', 'mean'}, optional
        How the accounts of one customer combine; the worst account by default, the sum for amounts.
    monotone : int, optional
        Overrides the direction that follows from measure and statistic.
    """

    family: str
    measure: Measure
    statistic: Statistic
    window: Window
    reason: str
    lag: int = 0
    rollup: Rollup | None = None
    monotone: int | None = None

    @property
    def name(self) -> str:
        """``{family}_{measure}_{statistic}_{window}``."""
        stem = f"{self.family}_{self.measure.name}"
        if self.statistic == "last":
            return f"{stem}_next" if self.view.ahead else f"{stem}_latest"
        if self.statistic == "lag":
            return f"{stem}_lag{self.lag}"
        return f"{stem}_{self.statistic}_{self.window.suffix(self.view)}"

    @property
    def view(self) -> View:
        """The view that its measure reads; statements where there is no such view."""
        return VIEWS.get(self.measure.view, VIEWS["statements"])

    @property
    def unit(self) -> Unit:
        """Unit of the value."""
        if self.statistic in ("count", "streak"):
            return "count"
        if self.statistic == "since":
            return "days"
        return "ratio" if self.statistic == "share" else self.measure.unit

    @property
    def direction(self) -> int:
        """+1 riskier with a higher value, -1 safer, 0 not certain."""
        if self.monotone is not None:
            return self.monotone
        if self.statistic in _KEEPS_DIRECTION:
            return self.measure.direction
        # The longer a bad event lies back, the better.
        return -self.measure.direction if self.statistic == "since" else 0

    @property
    def combine(self) -> Rollup:
        """How accounts combine: amounts add up, everything else is the worst account."""
        if self.rollup:
            return self.rollup
        if self.unit == "amount" and self.statistic not in ("std", "slope"):
            return "sum"
        return "min" if self.direction < 0 else "max"

    @property
    def meaning(self) -> str:
        """One sentence."""
        nearest, nearer, beyond = "latest", "after", "before"
        if self.view.ahead:
            nearest, nearer, beyond = "next", "before", "after"
        words = _STATISTIC_WORDS[self.statistic]
        if self.statistic == "sum" and self.measure.unit == "count":
            words = "the number of {m} over {w}"
        text = words.format(
            m=self.measure.meaning, w=self.window.words(self.view), k=self.lag, event=self.view.event,
            nearest=nearest, nearer=nearer, beyond=beyond,
        )  # fmt: skip
        return text[0].upper() + text[1:] + "."

    @property
    def when_null(self) -> str:
        """What a null value means."""
        if self.statistic == "since":
            return "never in the known history"
        if self.statistic in ("slope", "std"):
            return f"fewer than two known values ({self.measure.when_null})"
        return self.measure.when_null

    @property
    def columns(self) -> frozenset[str]:
        """Columns of the view it needs."""
        return self.measure.columns

    def definition(self) -> dict[str, object]:
        """Everything that its value depends on, as plain data."""
        m = self.measure
        # Named only where there is one: a definition of old keeps its hash.
        factor = {"times": list(m.times)} if m.times else {}
        return factor | {
            "view": m.view, "terms": [list(t) for t in m.terms], "over": m.over and list(m.over),
            "clip": m.clip and list(m.clip), "where": m.where and list(m.where),
            "statistic": self.statistic, "lag": self.lag,
            "window": [self.window.kind, self.window.size], "rollup": self.combine,
        }  # fmt: skip


@dataclass(frozen=True)
class DerivedFeature:
    """Two features put together by an operator.

    Parameters
    ----------
    name : str
        Full name, in the grammar of all features.
    operator : {'ratio', 'difference', 'product', 'total', 'remainder'}
        A ratio, and what a division leaves (from 0 to below the divisor), is null where the divisor is not
        above zero. A total adds what is there: it is null only where both are.
    left, right : str
        Names of the two features.
    reason, unit, meaning, when_null : str
    direction : {-1, 0, 1}
    clip : tuple of (float, float), optional
    """

    name: str
    operator: Operator
    left: str
    right: str
    reason: str
    unit: Unit
    meaning: str
    direction: int = 0
    clip: tuple[float, float] | None = None
    when_null: str = "one of its two parts is null"

    @property
    def family(self) -> str:
        """First part of the name."""
        return self.name.split("_", 1)[0]

    def definition(self) -> dict[str, object]:
        """Everything that its value depends on besides its two parts, as plain data."""
        return {
            "operator": self.operator,
            "left": self.left,
            "right": self.right,
            "clip": self.clip and list(self.clip),
        }


@dataclass(frozen=True)
class SqlFeature:
    """An aggregate in DuckDB SQL over the rows of a table that were known on the as_of date.

    Parameters
    ----------
    name : str
    table : {'accounts', 'statements'}
        The rows are aliased ``e``; dates after the as_of date are null in them. The as_of date is
        ``as_of``.
    sql : str
        Aggregate expression.
    reason, unit, meaning, when_null : str
    columns : frozenset of str
        Columns of the table it needs.
    direction : {-1, 0, 1}
    """

    name: str
    table: str
    sql: str
    reason: str
    unit: Unit
    meaning: str
    columns: frozenset[str]
    direction: int = 0
    when_null: str = "no account known"

    @property
    def family(self) -> str:
        """First part of the name."""
        return self.name.split("_", 1)[0]

    def definition(self) -> dict[str, object]:
        """Everything that its value depends on, as plain data."""
        return {"table": self.table, "sql": " ".join(self.sql.split())}


@dataclass(frozen=True)
class AttributeFeature:
    """A column of ``customers`` as a category, named ``attr_<column>``."""

    column: str

    family = "attr"
    unit: Unit = "category"
    direction = 0
    reason = "PROFILE"
    when_null = "not given"

    @property
    def name(self) -> str:
        """``attr_<column>``."""
        return f"attr_{self.column}"

    @property
    def meaning(self) -> str:
        """One sentence."""
        return f"The customer's {self.column.replace('_', ' ')}, as the lender holds it."

    def definition(self) -> dict[str, object]:
        """Everything that its value depends on, as plain data."""
        return {"attribute": self.column}


AnyFeature = Feature | DerivedFeature | SqlFeature | AttributeFeature | FunctionFeature | RankFeature


def check_name(name: str) -> str:
    """Return the name if it follows the grammar.

    Raises
    ------
    ConfigError
        If it has capitals, blanks or fewer than two parts.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"'{name}' is not a feature name",
            expected="lower-case words joined by '_', as repay_dpd_max_90d",
        )
    return name
