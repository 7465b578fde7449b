"""Capacity by channel and day: who goes where while there is room, best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from overdue_ml.reminders.scored import Bools, Ints

#: What has room for so many: ("channel", channel, day), ("day", day) or ("list",).
_Place = tuple[str, *tuple[int, ...]]


@dataclass(frozen=True)
class Kind:
    """Customers who want the same: a day, and channels in order of preference.

    Attributes
    ----------
    day : int
    channels : tuple of int
    """

    day: int
    channels: tuple[int, ...]


@dataclass(frozen=True)
class Capacity:
    """How many there is room for; None for any number.

    Attributes
    ----------
    channels : sequence of (int or None)
        On one day, by channel.
    day : int or None
        On one day, over all channels.
    whole : int or None
        On the whole list.
    taken : mapping of (int, int) to int
        By channel and day, how many are planned there already, by other lists; -1 for a channel that is none
        of these, which takes of the day alone.
    """

    channels: Sequence[int | None] = field(default_factory=tuple)
    day: int | None = None
    whole: int | None = None
    taken: Mapping[tuple[int, int], int] = field(default_factory=dict)


def allocate(kind_of: Ints, kinds: Sequence[Kind], capacity: Capacity) -> Ints:
    """Give each customer, best first, the first channel of the customer's that has room left.

    A customer for whom none has takes nothing from anybody. Between two moments at which something becomes
    full everybody of a kind goes the same way, so customers are placed in as few strides as things fill.

    Parameters
    ----------
    kind_of : ndarray of int64, shape (n,)
        Place of each customer's kind among ``kinds``, the best customer first.
    kinds : sequence of Kind
    capacity : Capacity

    Returns
    -------
    ndarray of int64, shape (n,)
        The channel; -1 for a customer beyond capacity.
    """
    left = _room(kinds, capacity)
    found = np.full(len(kind_of), -1, dtype=np.int64)
    start = 0
    while start < len(kind_of):
        ways = [_first_open(kind, left) for kind in kinds]
        ahead = kind_of[start:]
        users = {place: _uses(ways, kinds, place)[ahead] for place, room in left.items() if room > 0}
        stop = len(ahead)
        for place, used in users.items():
            full_at = np.flatnonzero(used)[left[place] - 1 : left[place]]
            stop = min([stop, *(full_at + 1)])
        found[start : start + stop] = np.array(ways, dtype=np.int64)[ahead[:stop]]
        for place, used in users.items():
            left[place] -= int(used[:stop].sum())
        start += stop
    return found


def _room(kinds: Sequence[Kind], capacity: Capacity) -> dict[_Place, int]:
    """Everything that has a limit, and what is left of it."""
    days = sorted({kind.day for kind in kinds})
    room: dict[_Place, int | None] = {("list",): capacity.whole}
    room |= {("day", day): capacity.day for day in days}
    room |= {("channel", c, day): limit for c, limit in enumerate(capacity.channels) for day in days}
    left = {place: limit for place, limit in room.items() if limit is not None}
    for (channel, day), n in capacity.taken.items():
        for place in _places(channel, day):
            if place in left and place != ("list",):
                left[place] = max(0, left[place] - n)
    return left


def _places(channel: int, day: int) -> tuple[_Place, ...]:
    return ("list",), ("day", day), ("channel", channel, day)


def _first_open(kind: Kind, left: dict[_Place, int]) -> int:
    for channel in kind.channels:
        if all(left.get(place, 1) > 0 for place in _places(channel, kind.day)):
            return channel
    return -1


def _uses(ways: Sequence[int], kinds: Sequence[Kind], place: _Place) -> Bools:
    """Whether customers of each kind take room there."""
    return np.array(
        [way >= 0 and place in _places(way, kind.day) for way, kind in zip(ways, kinds, strict=True)],
        dtype=np.bool_,
    )
