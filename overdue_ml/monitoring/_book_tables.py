"""The tables of the aged book, from the buckets of accounts by days."""

from __future__ import annotations

import calendar
import datetime as dt

import numpy as np
import numpy.typing as npt
import pandas as pd

from overdue_ml.metrics import DPD_BUCKETS
from overdue_ml.metrics.calibration import wilson_interval
from overdue_ml.records._ledger import NONE
from overdue_ml.records.ageing import ABSENT, STATEMENT_DAYS, UNKNOWN, Ageing

#: A bucket of accounts of which the latest statement does not say how late they are.
NOT_KNOWN = "unknown"
#: Where an account is that is in the book no more: all paid, or closed and nothing owed.
LEFT = "left"
_NAMES = (*DPD_BUCKETS, NOT_KNOWN, LEFT)
N_BUCKETS = len(DPD_BUCKETS)
_UPPER = np.array([0, 30, 60, 90])
_FORMER = 2  # the bucket 31-60, from which on an account counts as seriously late

CodeArray = npt.NDArray[np.int8]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def bucket_codes(found: Ageing) -> CodeArray:
    """Place of each account and day in the names of buckets."""
    codes = np.searchsorted(_UPPER, found.dpd, side="left").astype(np.int8)
    codes[found.dpd == UNKNOWN] = N_BUCKETS
    codes[found.dpd == ABSENT] = N_BUCKETS + 1
    return codes


def in_order(names: pd.Index) -> list[str]:
    """The buckets that are there, from current to the worst."""
    return [name for name in _NAMES if name in set(names)]


def _ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> FloatArray:
    """A share or a growth; missing where there is nothing to share."""
    above, below = np.broadcast_arrays(np.asarray(part, dtype=float), np.asarray(whole, dtype=float))
    out = np.full(above.shape, np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out


def _with_interval(frame: pd.DataFrame, hits: str, n: str, rate: str) -> pd.DataFrame:
    """The frame with a rate and its Wilson interval; missing where there is nobody."""
    k, total = frame[hits].to_numpy(dtype=float), frame[n].to_numpy(dtype=float)
    low, high = wilson_interval(k, np.maximum(total, 1.0))
    ends = {"low": np.where(total > 0, low, np.nan), "high": np.where(total > 0, high, np.nan)}
    return frame.assign(**{rate: _ratio(k, total)}, **ends)


def compute_cures(rolls: pd.DataFrame) -> pd.DataFrame:
    """Accounts past due that are current, or have paid all, a month later."""
    late = rolls[rolls["before"].isin(DPD_BUCKETS[1:])]
    late = late.assign(cured=late["accounts"].where(late["after"].isin([DPD_BUCKETS[0], LEFT]), 0))
    by_bucket = late.groupby(["to_date", "before"], sort=False, observed=True)[["accounts", "cured"]].sum()
    whole = late.groupby("to_date", sort=False)[["accounts", "cured"]].sum().assign(before="all")
    frame = pd.concat([by_bucket.reset_index(), whole.reset_index()]).rename(columns={"before": "bucket"})
    frame = frame.sort_values("to_date", kind="stable").reset_index(drop=True)
    return _with_interval(frame[["to_date", "bucket", "accounts", "cured"]], "cured", "accounts", "cure_rate")


class BookTables:
    """The buckets of accounts by days, and the tables that are made of them."""

    def __init__(self, found: Ageing, codes: CodeArray, first: int, fpd_days: int) -> None:
        self._found, self._codes, self._first, self._fpd_days = found, codes, first, fpd_days
        self._days = found.days
        self._shown = range(first, len(found.days))
        day = found.days[-1]
        ends_month = day.day == calendar.monthrange(day.year, day.month)[1]
        # A date within a month is no month end: nothing rolls to it.
        self._steps = range(first, len(found.days) - (1 if ends_month else 2))
        self._ends = range(first, len(found.days) - (0 if ends_month else 1))

    def _sums(self, j: int) -> tuple[IntArray, FloatArray, FloatArray]:
        """Accounts, amount and arrears of each bucket on a day."""
        code, found, width = self._codes[:, j], self._found, N_BUCKETS + 1
        count = np.bincount(code, minlength=len(_NAMES))[:width].astype(np.int64)
        amount = np.bincount(code, found.amount[:, j], len(_NAMES))[:width].astype(np.float64)
        arrears = np.full(width, np.nan)
        if found.arrears_amount is not None:
            arrears[:] = np.bincount(code, found.arrears_amount[:, j], len(_NAMES))[:width]
        return count, amount, arrears

    def ageing(self) -> pd.DataFrame:
        """See :class:`AgedBook`."""
        parts = []
        before: tuple[IntArray, FloatArray] | None = None
        for j in self._shown:
            count, amount, arrears = self._sums(j)
            nothing = np.full(N_BUCKETS + 1, np.nan)
            parts.append(
                pd.DataFrame(
                    {
                        "as_of_date": self._days[j],
                        "bucket": [*DPD_BUCKETS, NOT_KNOWN],
                        "accounts": count,
                        "amount": amount,
                        "arrears_amount": arrears,
                        "count_share": _ratio(count, count.sum()),
                        "amount_share": _ratio(amount, amount.sum()),
                        "accounts_growth": nothing if before is None else _ratio(count, before[0]) - 1,
                        "amount_growth": nothing if before is None else _ratio(amount, before[1]) - 1,
                    }
                )
            )
            before = count, amount
        frame = pd.concat(parts, ignore_index=True)
        has_unknown = bool(frame.loc[frame["bucket"] == NOT_KNOWN, "accounts"].any())
        return frame if has_unknown else frame[frame["bucket"] != NOT_KNOWN].reset_index(drop=True)

    def totals(self) -> pd.DataFrame:
        """See :class:`AgedBook`."""
        rows = []
        for j in self._shown:
            count, amount, _ = self._sums(j)
            late, former = slice(1, N_BUCKETS), slice(_FORMER, N_BUCKETS)
            rows.append(
                (
                    self._days[j], int(count.sum()), float(amount.sum()), int(count[late].sum()),
                    float(amount[late].sum()), int(count[former].sum()), float(amount[former].sum()),
                )
            )  # fmt: skip
        names = ["as_of_date", "accounts", "amount", "overdue_accounts", "overdue_amount", "late_accounts"]
        frame = pd.DataFrame(rows, columns=[*names, "late_amount"])
        for kind in ("overdue", "late"):
            for what, whole in (("accounts", "accounts"), ("amount", "amount")):
                share = "share" if what == "accounts" else "amount_share"
                frame[f"{kind}_{share}"] = _ratio(frame[f"{kind}_{what}"], frame[whole])
        for what in ("amount", "late_amount"):
            frame[f"{what}_growth"] = _ratio(frame[what], frame[what].shift(1).fillna(0.0)) - 1
        frame["amount_growth_12m"] = _ratio(frame["amount"], frame["amount"].shift(12).fillna(0.0)) - 1
        return frame

    def rolls(self) -> pd.DataFrame:
        """See :class:`AgedBook`."""
        size, parts = len(_NAMES), []
        for j in self._steps:
            pair = self._codes[:, j].astype(np.int64) * size + self._codes[:, j + 1]
            count = np.bincount(pair, minlength=size * size).reshape(size, size)
            amount = np.bincount(pair, self._found.amount[:, j], size * size).reshape(size, size)
            parts.append(
                pd.DataFrame(
                    {
                        "from_date": self._days[j],
                        "to_date": self._days[j + 1],
                        "before": np.repeat(_NAMES[:-1], size),
                        "after": np.tile(_NAMES, size - 1),
                        "accounts": count[:-1].ravel(),
                        "amount": amount[:-1].ravel(),
                        "share": _ratio(count[:-1], count[:-1].sum(axis=1, keepdims=True)).ravel(),
                        "amount_share": _ratio(amount[:-1], amount[:-1].sum(axis=1, keepdims=True)).ravel(),
                    }
                )
            )
        if not parts:
            names = ["from_date", "to_date", "before", "after", "accounts", "amount", "share", "amount_share"]
            return pd.DataFrame({name: [] for name in names})
        frame = pd.concat(parts, ignore_index=True)
        in_use = frame.loc[frame["accounts"] > 0, ["before", "after"]].to_numpy().ravel()
        if NOT_KNOWN not in in_use:
            frame = frame[(frame["before"] != NOT_KNOWN) & (frame["after"] != NOT_KNOWN)]
        return frame.reset_index(drop=True)

    def vintages(self) -> pd.DataFrame:
        """See :class:`AgedBook`."""
        found = self._found
        # Accounts of which nothing was ever told are no loans yet.
        known = (found.opened != NONE) & found.told
        month = _months_of(found.opened)
        ever = np.zeros(len(month), dtype=bool)
        first_month = _month(self._days[self._first])
        rows = []
        for j in self._ends:
            day = np.int32((self._days[j] - dt.date(1970, 1, 1)).days)
            late = (self._codes[:, j] >= _FORMER) & (self._codes[:, j] < N_BUCKETS)
            ever |= late
            here = known & (found.opened <= day)
            start = int(month[here].min()) if here.any() else 0
            n, now, before = (
                np.bincount(month[here & hit] - start) if here.any() else np.array([], dtype=np.int64)
                for hit in (np.ones_like(ever), late, ever)
            )
            for i in np.flatnonzero(n):
                counts = [int(c[i]) if i < len(c) else 0 for c in (now, before)]
                vintage, total = start + int(i), int(n[i])
                share = counts[1] / total if vintage >= first_month else np.nan
                rows.append(
                    (
                        _named(vintage),
                        _month(self._days[j]) - vintage,
                        total,
                        counts[0],
                        counts[0] / total,
                        share,
                    )
                )
        names = ["vintage", "mob", "accounts", "late_accounts", "late_share", "ever_share"]
        frame = pd.DataFrame(rows, columns=names)
        return frame.sort_values(["vintage", "mob"]).reset_index(drop=True)

    def first_payment(self) -> pd.DataFrame:
        """See :class:`AgedBook`."""
        decided, late = self._first_late()
        month = (
            self._found.first_due[decided].astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        )
        months, place = np.unique(month, return_inverse=True)
        n = np.bincount(place, minlength=len(months))
        hits = np.bincount(place, late[decided].astype(float), len(months)).astype(np.int64)
        frame = pd.DataFrame(
            {
                "month": pd.Series([_named(int(m)) for m in months], dtype="str"),
                "accounts": n,
                "defaults": hits,
            }
        )
        return _with_interval(frame, "defaults", "accounts", "rate")

    def _first_late(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Of which accounts it can be told whether the first due was missed, and which missed it."""
        day = (self._days[-1] - dt.date(1970, 1, 1)).days
        found = self._found
        # Statements tell it with a delay of their own; until then even a missed due may look paid.
        wait = self._fpd_days + np.where(found.first_by_statement, STATEMENT_DAYS, 0)
        due, late = found.first_due.astype(np.int64), found.first_late_days
        return (due != NONE) & (due + wait < day) & (late != NONE), late > self._fpd_days

    def of_groups(self, column: str, names: list[str], group: IntArray | None) -> pd.DataFrame:
        """See :class:`AgedBook`."""
        parts, width = [], N_BUCKETS + 1
        if group is not None:
            code = self._codes[:, -1].astype(np.int64)
            inside = code <= N_BUCKETS
            pair = group[inside] * width + code[inside]
            size = len(names) * width
            count = np.bincount(pair, minlength=size).reshape(-1, width)
            amount = np.bincount(pair, self._found.amount[inside, -1], size).reshape(-1, width)
            for i, name in enumerate(names):
                parts.append(
                    pd.DataFrame(
                        {
                            "column": column,
                            "group": name,
                            "bucket": _NAMES[:width],
                            "accounts": count[i],
                            "amount": amount[i],
                            "count_share": _ratio(count[i], count[i].sum()),
                            "amount_share": _ratio(amount[i], amount[i].sum()),
                        }
                    )
                )
        names_ = ["column", "group", "bucket", "accounts", "amount", "count_share", "amount_share"]
        frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({n: [] for n in names_})
        unknown = frame["bucket"] == NOT_KNOWN
        return frame if frame.loc[unknown, "accounts"].any() else frame[~unknown].reset_index(drop=True)

    def group_rates(self, column: str, names: list[str], group: IntArray | None) -> pd.DataFrame:
        """See :class:`AgedBook`."""
        rows = []
        if group is not None:
            decided, missed = self._first_late()
            late, cured = np.zeros(len(names)), np.zeros(len(names))
            for j in self._steps:
                before, after = self._codes[:, j], self._codes[:, j + 1]
                was_late = (before >= 1) & (before < N_BUCKETS)
                late += np.bincount(group[was_late], minlength=len(names))
                cured += np.bincount(
                    group[was_late & ((after == 0) | (after == N_BUCKETS + 1))], minlength=len(names)
                )
            code, amount = self._codes[:, -1], self._found.amount[:, -1]
            for i, name in enumerate(names):
                here = (group == i) & (code <= N_BUCKETS)
                bad = here & (code >= _FORMER) & (code < N_BUCKETS)
                known = (group == i) & decided
                rows.append(
                    (
                        column, name, int(here.sum()), float(amount[here].sum()),
                        float(_ratio(bad.sum(), here.sum())),
                        float(_ratio(amount[bad].sum(), amount[here].sum())),
                        float(_ratio(cured[i], late[i])), float(_ratio((known & missed).sum(), known.sum())),
                    )
                )  # fmt: skip
        columns = ["column", "group", "accounts", "amount", "late_share", "late_amount_share", "cure_rate"]
        return pd.DataFrame(rows, columns=[*columns, "first_payment_rate"])


def _month(day: dt.date) -> int:
    """Months since 1970-01."""
    return 12 * (day.year - 1970) + day.month - 1


def _named(month: int) -> str:
    return f"{1970 + month // 12:04d}-{month % 12 + 1:02d}"


def _months_of(days: npt.NDArray[np.int32]) -> IntArray:
    """Months since 1970-01 of days since 1970-01-01."""
    return days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
