"""The list of one scoring run, held as plain arrays: any page of a million customers in milliseconds."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overdue_ml.errors import ConfigError
from overdue_ml.jobs.silent import silent_reasons

#: Orders of the list; each begins with what an officer looks for first.
SORTS = ("rank", "expected", "probability", "due")
LISTED, SUPPRESSED = "listed", "suppressed"
REASONS = 4
_BATCH = 131_072
_NO_DATE = np.iinfo(np.int32).min
_EPOCH = dt.date(1970, 1, 1)
_NONE = -1

Positions = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Filter:
    """Which customers, and in which order; an empty text lets everybody through.

    Parameters
    ----------
    text : str
        An id, or how it begins.
    exact : bool
        The text is a whole id.
    tier, reason : str
        A reason counts where it is among those that raise the risk most.
    status : str
        ``listed`` for reminder, ``suppressed`` by any rule, or the name of a rule.
    due_from, due_to : date, optional
        Both included; who has nothing due is then left out.
    sort : str
        One of ``SORTS``; with a ``-`` before it the other way round. Who has nothing due comes last.
    """

    text: str = ""
    exact: bool = False
    tier: str = ""
    reason: str = ""
    status: str = ""
    due_from: dt.date | None = None
    due_to: dt.date | None = None
    sort: str = "rank"


@dataclass(frozen=True)
class Row:
    """One customer as the list shows them; ``status`` is empty where the run does not say."""

    customer_id: str
    rank: int
    p_overdue: float
    tier: str
    next_due_date: dt.date | None
    due_amount: float
    expected_overdue_amount: float
    reasons: list[str]
    status: str
    reminder_rank: int | None


@dataclass(frozen=True)
class Selection:
    """What a filter lets through.

    Parameters
    ----------
    positions : ndarray of int32
        Of rows, in the order asked for.
    tiers : mapping of str to int
        Customers by tier, only those of tiers that there are.
    expected_overdue_amount : float
    """

    positions: Positions
    tiers: Mapping[str, int]
    expected_overdue_amount: float


class _Names:
    """Texts as small numbers."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._codes: dict[str, int] = {}

    def codes(self, column: pa.Array) -> npt.NDArray[np.int16]:
        """A number for each cell; -1 for null."""
        found = column.cast(pa.string()).dictionary_encode()
        table = np.array([self.code(str(name)) for name in found.dictionary.to_pylist()] or [0], np.int16)
        indices = found.indices.fill_null(_NONE).to_numpy(zero_copy_only=False)
        return np.where(indices >= 0, table[indices], np.int16(_NONE))

    def code(self, name: str) -> int:
        """The number of a text, a new one for one not met before."""
        if name not in self._codes:
            self._codes[name] = len(self.names)
            self.names.append(name)
        return self._codes[name]

    def find(self, name: str) -> int:
        """The number of a text, or one that no cell has."""
        return self._codes.get(name, -2)


class Book:
    """The list of one scoring run.

    It holds some 85 bytes for each customer, and reads nothing more once it is made.

    Parameters
    ----------
    folder : Path
        Of the run.
    manifest : mapping

    Raises
    ------
    ConfigError
        If a table of the run is missing or damaged.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self._tiers, self._reason_names, self._statuses = _Names(), _Names(), _Names()
        self._silent = silent_reasons(manifest)
        try:
            self._read_scores(folder / "scores.parquet")
            self._read_status(folder)
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise ConfigError(
                f"the run cannot be shown: {error}", where=folder.name, next_step="score the date again"
            ) from error
        self._orders = {
            "rank": self._order(self._rank),
            "expected": self._order(-self._expected),
            "probability": self._order(-self._p),
            "due": self._order(np.where(self._due == _NO_DATE, np.iinfo(np.int32).max, self._due)),
        }
        self._n_due = int((self._due != _NO_DATE).sum())

    def __len__(self) -> int:
        """Customers of the run."""
        return len(self._rank)

    @property
    def tiers(self) -> list[str]:
        """Tiers that there are, in the order of risk where that is known."""
        known = [t for t in ("high", "medium", "low") if t in self._tiers.names]
        return known + sorted(set(self._tiers.names) - set(known))

    @property
    def reasons(self) -> list[str]:
        """Codes of the reasons that raise somebody's risk."""
        return sorted(self._reason_names.names)

    @property
    def statuses(self) -> dict[str, int]:
        """``listed`` and the rules, with how many customers each has."""
        known = self._status[self._status >= 0]
        counts = np.bincount(known, minlength=len(self._statuses.names))
        return dict(zip(self._statuses.names, counts.tolist(), strict=True))

    @property
    def nbytes(self) -> int:
        """Memory of the arrays in bytes."""
        arrays = [self._rank, self._p, self._expected, self._amount, self._due, self._tier, *self._reasons]
        arrays += [self._status, self._reminder_rank, *self._orders.values()]
        by_id = 0 if self._by_id is None else self._by_id.nbytes
        return int(sum(a.nbytes for a in arrays) + self._ids.nbytes + by_id)

    def select(self, wanted: Filter) -> Selection:
        """The customers that a filter lets through, in its order.

        Parameters
        ----------
        wanted : Filter

        Returns
        -------
        Selection
        """
        order, mask = self._ordered(wanted.sort), self._mask(wanted)
        tier, expected = self._tier, self._expected
        if mask is not None:
            order, tier, expected = order[mask[order]], tier[mask], expected[mask]
        counts = np.bincount(tier[tier >= 0], minlength=len(self._tiers.names))
        by_tier = {name: int(counts[self._tiers.find(name)]) for name in self.tiers}
        return Selection(order, by_tier, float(np.nansum(expected)))

    def rows(self, positions: Sequence[int] | Positions) -> list[Row]:
        """The rows at some positions."""
        return list(self._rows(positions))

    def customer_id(self, position: int) -> str:
        """Whose row stands at a position."""
        return str(self._ids[position].as_py())

    def find(self, customer_id: str) -> int | None:
        """The position of a customer, or None."""
        low, high = self._range(customer_id, exact=True)
        return int(self._sorted(low)) if high > low else None

    def find_rank(self, rank: int) -> int | None:
        """The position of the customer with a rank, or None."""
        order = self._orders["rank"]
        place = int(np.searchsorted(self._rank[order], rank))
        return int(order[place]) if place < len(order) and self._rank[order[place]] == rank else None

    def _rows(self, positions: Sequence[int] | Positions) -> Iterator[Row]:
        for i in positions:
            due, status = int(self._due[i]), int(self._status[i])
            reminder_rank = int(self._reminder_rank[i])
            yield Row(
                customer_id=self.customer_id(int(i)),
                rank=int(self._rank[i]),
                p_overdue=float(self._p[i]),
                tier=self._tiers.names[self._tier[i]] if self._tier[i] >= 0 else "",
                next_due_date=None if due == _NO_DATE else _EPOCH + dt.timedelta(days=due),
                due_amount=float(self._amount[i]),
                expected_overdue_amount=float(self._expected[i]),
                reasons=[self._reason_names.names[r[i]] for r in self._reasons if r[i] >= 0],
                status=self._statuses.names[status] if status >= 0 else "",
                reminder_rank=reminder_rank or None,
            )

    def _mask(self, wanted: Filter) -> npt.NDArray[np.bool_] | None:
        masks = []
        if wanted.text:
            found = np.zeros(len(self), dtype=bool)
            low, high = self._range(wanted.text, wanted.exact)
            found[slice(low, high) if self._by_id is None else self._by_id[low:high]] = True
            masks.append(found)
        if wanted.tier:
            masks.append(self._tier == self._tiers.find(wanted.tier))
        if wanted.reason:
            code = self._reason_names.find(wanted.reason)
            masks.append(np.logical_or.reduce([r == code for r in self._reasons]))
        if wanted.status == SUPPRESSED:
            masks.append((self._status >= 0) & (self._status != self._statuses.find(LISTED)))
        elif wanted.status:
            masks.append(self._status == self._statuses.find(wanted.status))
        if wanted.due_from is not None:
            # A missing date is smaller than any.
            masks.append(self._due >= (wanted.due_from - _EPOCH).days)
        if wanted.due_to is not None:
            masks.append((self._due <= (wanted.due_to - _EPOCH).days) & (self._due != _NO_DATE))
        return np.logical_and.reduce(masks) if masks else None

    def _ordered(self, sort: str) -> Positions:
        order = self._orders[sort.removeprefix("-")]
        if not sort.startswith("-"):
            return order
        if sort == "-due":
            return np.concatenate([order[: self._n_due][::-1], order[self._n_due :]])
        return order[::-1]

    def _order(self, key: npt.NDArray[Any]) -> Positions:
        """Positions by a key, ties by rank, NaN last."""
        return np.lexsort((self._rank, key)).astype(np.int32)

    def _range(self, text: str, exact: bool) -> tuple[int, int]:
        """From where to where the ids, in their order, are a text or begin with it."""
        places, size = range(len(self)), len(text)
        if exact:
            low = bisect_left(places, text, key=self._sorted_id)
            return low, low + (low < len(self) and self._sorted_id(low) == text)
        low = bisect_left(places, text, key=lambda i: self._sorted_id(i)[:size])
        return low, bisect_right(places, text, key=lambda i: self._sorted_id(i)[:size])

    def _sorted(self, place: int) -> int:
        return place if self._by_id is None else int(self._by_id[place])

    def _sorted_id(self, place: int) -> str:
        return self.customer_id(self._sorted(place))

    def _read_scores(self, path: Path) -> None:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            n, present = file.metadata.num_rows, set(file.schema_arrow.names)
            pairs = [(f"reason_{i}_code", f"reason_{i}_contribution") for i in range(1, REASONS + 1)]
            pairs = [pair for pair in pairs if set(pair) <= present]
            self._rank, self._due = np.empty(n, np.int32), np.empty(n, np.int32)
            self._p, self._expected, self._amount = (np.empty(n) for _ in range(3))
            self._tier = np.empty(n, np.int16)
            self._reasons = [np.empty(n, np.int16) for _ in pairs]
            columns = ["customer_id", "rank", "p_overdue", "expected_overdue_amount", "due_amount"]
            columns += ["next_due_date", "tier", *(name for pair in pairs for name in pair)]
            ids, start = [], 0
            for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
                part = slice(start, start + batch.num_rows)
                start = part.stop
                ids.append(batch.column("customer_id").cast(pa.large_string()))
                self._fill(batch, part, pairs)
        self._ids = pa.concat_arrays(ids) if ids else pa.array([], pa.large_string())
        in_order = pc.all(pc.less_equal(self._ids[:-1], self._ids[1:])).as_py() if n > 1 else True
        self._by_id = None if in_order else pc.sort_indices(self._ids).to_numpy().astype(np.int32)

    def _fill(self, batch: pa.RecordBatch, part: slice, pairs: Sequence[tuple[str, str]]) -> None:
        def numbers(name: str) -> npt.NDArray[np.float64]:
            column = batch.column(name).cast(pa.float64()).fill_null(float("nan"))
            return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)

        self._rank[part] = batch.column("rank").cast(pa.int32()).to_numpy(zero_copy_only=False)
        self._p[part] = numbers("p_overdue")
        self._expected[part] = numbers("expected_overdue_amount")
        self._amount[part] = numbers("due_amount")
        due = batch.column("next_due_date").cast(pa.date32()).cast(pa.int32())
        self._due[part] = due.fill_null(_NO_DATE).to_numpy(zero_copy_only=False)
        self._tier[part] = self._tiers.codes(batch.column("tier"))
        for column, (name, contribution) in zip(self._reasons, pairs, strict=True):
            raises = pc.greater(batch.column(contribution).cast(pa.float64()), 0.0).fill_null(False)
            # What lowers the risk is no reason to remind; what holds a protected attribute is never told.
            told = pc.and_(raises, pc.invert(pc.is_in(batch.column(name).cast(pa.string()), self._muted())))
            column[part] = self._reason_names.codes(
                pc.if_else(told, batch.column(name).cast(pa.string()), None)
            )

    def _muted(self) -> pa.Array:
        return pa.array(sorted(self._silent), pa.string())

    def _read_status(self, folder: Path) -> None:
        """Who is on the reminder list, and which rule suppressed the others; a run may lack either."""
        self._status = np.full(len(self), _NONE, np.int16)
        self._reminder_rank = np.zeros(len(self), np.int32)
        path = folder / "suppressed.parquet"
        if path.is_file():
            table = pq.read_table(path, columns=["customer_id", "rule"], page_checksum_verification=True)
            places, kept = self._places(table)
            self._status[places] = self._statuses.codes(table.column("rule").combine_chunks())[kept]
        path = folder / "reminders.parquet"
        if path.is_file():
            table = pq.read_table(
                path, columns=["customer_id", "reminder_rank"], page_checksum_verification=True
            )
            places, kept = self._places(table)
            self._status[places] = self._statuses.code(LISTED)
            self._reminder_rank[places] = table.column("reminder_rank").to_numpy()[kept]

    def _places(self, table: pa.Table) -> tuple[Positions, npt.NDArray[np.bool_]]:
        """Where the customers of a table stand, and which of its rows are meant."""
        ids = table.column("customer_id").cast(pa.large_string())
        places = pc.index_in(ids, value_set=self._ids).fill_null(_NONE).to_numpy().astype(np.int32)
        kept = places >= 0
        return places[kept], kept
