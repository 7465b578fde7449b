"""The leakage audit: delete or change everything known after a date, and see which feature moves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.features.build import available_features, build_features
from overdue_ml.features.future import BoolArray, Later, forget_after, row_name
from overdue_ml.features.perturb import OtherFuture
from overdue_ml.features.registry import Registry
from overdue_ml.records import Records
from overdue_ml.records.dates import AsOf, parse_date

__all__ = ["LeakageFinding", "audit_leakage", "forget_after"]

#: Values closer than this, relative or absolute, are equal: the order of a sum is no leak.
CLOSE = 1e-9


@dataclass(frozen=True)
class LeakageFinding:
    """A feature that changed with the future.

    Attributes
    ----------
    feature : str
    n_rows : int
        Customers whose value changed.
    first_customer : str
    with_future, without_future : float or str
        That customer's values: on the records as they are, and with the future deleted or another.
    as_of : datetime.date
    how : {'deleted', 'perturbed', 'added'}
        What moved it: the later rows deleted; or their values changed; or rows added that became known
        the day after.
    table : str or None
        Where a single table moves the value, its name.
    row : mapping of str to value, or None
        Where a single row moves it, the columns that name the row. Of an added row these are its own.
    """

    feature: str
    n_rows: int
    first_customer: str
    with_future: object
    without_future: object
    as_of: dt.date
    how: Literal["deleted", "perturbed", "added"]
    table: str | None = None
    row: Mapping[str, Any] | None = None


def audit_leakage(
    records: Records,
    as_of: AsOf,
    features: Sequence[str] | None = None,
    *,
    registry: Registry | None = None,
) -> list[LeakageFinding]:
    """Build features with the future, without it and with another; report each that differs.

    Parameters
    ----------
    records : Records
    as_of : date or str
    features : sequence of str, optional
        All that the records allow by default.
    registry : Registry, optional
        With features of your own.

    Returns
    -------
    list of LeakageFinding
        One for each feature that moved, in the order of ``features``; empty where nothing leaks.

    Notes
    -----
    A rank is a place among the customers of ``records``, with the future and without it: of a sample of
    the customers it is not the place that a model sees, and moves with the future just the same.
    """
    day = parse_date(as_of)
    names = list(features) if features is not None else available_features(records, registry)
    whole = build_features(records, day, names, registry=registry)
    later = Later.than(records, day)

    def build(other: Records, wanted: list[str]) -> pd.DataFrame:
        return build_features(other, day, wanted, registry=registry).reindex(whole.index)

    found: dict[str, LeakageFinding] = {}
    for make in (_without_future, _with_other_future):
        # What moved already need not be asked again.
        left = [name for name in names if name not in found]
        if left:
            world = make(later)
            here = _findings(whole, build(world.all, left), day, world.how)
            found |= _Trace(world, build, here).run()
    return [found[name] for name in names if name in found]


@dataclass(frozen=True)
class _World:
    """Two states of the records, and all that lies between: units, each a row that may be taken or not."""

    how: Literal["deleted", "perturbed"]
    #: The records when every unit makes its difference, as against the records as they are.
    all: Records
    #: The records of some units alone, and of none.
    some: Callable[[dict[str, BoolArray]], Records]
    units: Mapping[str, pa.Table]
    n_real: Mapping[str, int]


def _without_future(later: Later) -> _World:
    tables = later.records.tables
    units = {name: table.filter(pa.array(later.touched[name])) for name, table in tables.items()}

    def some(chosen: dict[str, BoolArray]) -> Records:
        # Told one by one to the lender who has forgotten all.
        kept = {}
        for name, mask in chosen.items():
            kept[name] = later.touched[name].copy()
            kept[name][later.touched[name]] = mask
        return later.forget(kept)

    sizes = {name: table.num_rows for name, table in units.items()}
    return _World("deleted", later.forget(), some, units, sizes)


def _with_other_future(later: Later) -> _World:
    other = OtherFuture.of(later)
    units = {
        name: pa.concat_tables([table.filter(pa.array(other.changed[name])), other.added[name]])
        for name, table in later.records.tables.items()
    }
    sizes = {name: table.num_rows for name, table in other.scrambled.items()}
    return _World("perturbed", other.records(), other.records, units, sizes)


def _findings(
    whole: pd.DataFrame, other: pd.DataFrame, day: dt.date, how: Literal["deleted", "perturbed"]
) -> dict[str, LeakageFinding]:
    found = {}
    for name in other.columns:
        moved = _differs(whole[name], other[name])
        if moved.any():
            first = int(np.flatnonzero(moved)[0])
            found[str(name)] = LeakageFinding(
                str(name), int(moved.sum()), str(whole.index[first][0]),
                whole[name].iloc[first], other[name].iloc[first], day, how,
            )  # fmt: skip
    return found


def _differs(before: pd.Series, after: pd.Series) -> BoolArray:
    if isinstance(before.dtype, pd.CategoricalDtype):
        before, after = before.astype("str"), after.astype("str")
        same = (before == after) | (before.isna() & after.isna())
        return np.asarray(~same, dtype=np.bool_)
    left, right = before.to_numpy(dtype=np.float64), after.to_numpy(dtype=np.float64)
    return np.asarray(~np.isclose(left, right, rtol=CLOSE, atol=CLOSE, equal_nan=True), dtype=np.bool_)


@dataclass
class _Trace:
    """The search for the row that moved each feature."""

    world: _World
    build: Callable[[Records, list[str]], pd.DataFrame]
    findings: dict[str, LeakageFinding]

    def run(self) -> dict[str, LeakageFinding]:
        """The findings with the row of each, as far as one alone moves it."""
        if not self.findings:
            return {}
        self._none = self.build(self.world.some({}), list(self.findings))
        traced: dict[str, LeakageFinding] = {}
        for name, finding in self.findings.items():
            if name in traced:
                continue
            table, unit = self._search(finding)
            traced[name] = self._named(finding, table, unit)
            if table is not None and unit is not None:
                # Often one row moves many features.
                left = [n for n in self.findings if n not in traced]
                for other in self._moved_by({table: np.array([unit])}, left):
                    traced[other] = self._named(self.findings[other], table, unit)
        return traced

    def _moved_by(self, units: Mapping[str, npt.NDArray[np.int64]], names: list[str]) -> list[str]:
        """The features whose first customer moves when these units are taken."""
        if not names:
            return []
        chosen = {}
        for table, numbers in units.items():
            chosen[table] = np.zeros(self.world.units[table].num_rows, dtype=np.bool_)
            chosen[table][numbers] = True
        frame = self.build(self.world.some(chosen), names)
        moved = []
        for name in names:
            here = frame.index.get_level_values(0) == self.findings[name].first_customer
            if _differs(self._none[name][here], frame[name][here]).any():
                moved.append(name)
        return moved

    def _search(self, finding: LeakageFinding) -> tuple[str | None, int | None]:
        """The first table that moves the feature alone, and in it the first row that does.

        The customer's own rows are tried first, then everybody's.
        """
        everybody = {
            name: np.arange(table.num_rows) for name, table in self.world.units.items() if table.num_rows
        }
        own = {
            name: numbers[self._is_of(name, finding.first_customer)] for name, numbers in everybody.items()
        }
        for candidates in (own, everybody):
            for table, numbers in candidates.items():
                if len(numbers) and self._moved_by({table: numbers}, [finding.feature]):
                    return table, self._halve(table, numbers, finding.feature)
        return None, None

    def _halve(self, table: str, numbers: npt.NDArray[np.int64], feature: str) -> int | None:
        while len(numbers) > 1:
            middle = len(numbers) // 2
            for half in (numbers[:middle], numbers[middle:]):
                if self._moved_by({table: half}, [feature]):
                    numbers = half
                    break
            else:
                return None
        return int(numbers[0])

    def _is_of(self, table: str, customer: str) -> BoolArray:
        units = self.world.units[table]
        if "customer_id" in units.column_names:
            return np.asarray(pc.equal(units.column("customer_id"), customer).to_numpy(), dtype=np.bool_)
        accounts = self.world.units["accounts"], self.world.all.tables["accounts"]
        ids = pa.concat_arrays(
            [
                a.column("account_id").filter(pc.equal(a.column("customer_id"), customer)).combine_chunks()
                for a in accounts
            ]
        )
        return np.asarray(pc.is_in(units.column("account_id"), value_set=ids).to_numpy(), dtype=np.bool_)

    def _named(self, finding: LeakageFinding, table: str | None, unit: int | None) -> LeakageFinding:
        if table is None or unit is None:
            return replace(finding, table=table)
        row = row_name(table, self.world.units[table], unit)
        is_added = unit >= self.world.n_real[table]
        return replace(finding, table=table, row=row, how="added" if is_added else finding.how)
