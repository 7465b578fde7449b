"""What the inputs say of each scored customer, in the order of the scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from overdue_ml.config import RemindersConfig
from overdue_ml.config.reminders import POLICY_RULES
from overdue_ml.errors import ConfigError
from overdue_ml.reminders.inputs import ReminderInputs
from overdue_ml.reminders.scored import Bools, Days, Ints, Scored, days_of, strings_of


@dataclass(frozen=True)
class Known:
    """Facts of scored customers; codes are -1 where nothing is known.

    Attributes
    ----------
    exclusion : ndarray of int64, shape (n,)
        Place of the rule among ``config.rules``.
    paid_due, covered_due : ndarray of datetime64[D], shape (n,)
        See :class:`ReminderInputs`.
    zone : ndarray of int64, shape (n,)
        Place in ``zones``, the names as they stand in the records.
    zones : list of str
    preferred : ndarray of int64, shape (n,)
        Place among ``config.channels``.
    contact_row : ndarray of int64, shape (n_contacts,)
        Row of the scores that each day of contacts belongs to.
    contact_day : ndarray of datetime64[D], shape (n_contacts,)
        After the as_of date those that earlier runs planned.
    contact_n : ndarray of int64, shape (n_contacts,)
    taken_day : ndarray of datetime64[D], shape (n_planned,)
        Of every contact that earlier runs planned, also of customers who are not scored.
    taken_channel : ndarray of int64, shape (n_planned,)
        Place among ``config.channels``.
    """

    exclusion: Ints
    paid_due: Days
    covered_due: Days
    zone: Ints
    zones: list[str]
    preferred: Ints
    contact_row: Ints
    contact_day: Days
    contact_n: Ints
    taken_day: Days
    taken_channel: Ints

    @classmethod
    def of(cls, scored: Scored, config: RemindersConfig, inputs: ReminderInputs | None) -> Known:
        """Look up every scored customer; others in the inputs are passed over.

        Raises
        ------
        ConfigError
            If the inputs are of another date, or were collected by another config.
        """
        n = len(scored)
        if inputs is None:
            none, never = np.full(n, -1), np.full(n, np.datetime64("NaT", "D"))
            empty, no_day = np.empty(0, np.int64), np.empty(0, "datetime64[D]")
            return cls(none, never, never, none, [], none, empty, no_day, empty, no_day, empty)
        if scored.as_of is not None and inputs.as_of != scored.as_of:
            raise ConfigError(
                f"the inputs are of {inputs.as_of}, the scores of {scored.as_of}",
                where="inputs",
                next_step="collect the inputs of the date of the scores",
            )
        people = _OfPeople(scored, inputs.people)
        zone, zones = people.words("timezone")
        place, preferred = people.words("channel")
        told, names = people.words("exclusion")
        contacts, taken_day = inputs.contacts, days_of(inputs.planned["contact_on"])
        ahead = taken_day > np.datetime64(inputs.as_of, "D")
        planned, taken_day = inputs.planned[ahead], taken_day[ahead]
        row, has_row = _rows(scored, contacts)
        planned_row, is_scored = _rows(scored, planned)
        taken, words = _coded(planned["channel"])
        return cls(
            _translate(told, _places_of_rules(names, config)),
            people.days("paid_due_date"),
            people.days("covered_due_date"),
            zone,
            zones,
            _translate(place, _places_of_channels(preferred, config)),
            np.concatenate([row, planned_row]),
            np.concatenate([days_of(contacts["contacted_on"])[has_row], taken_day[is_scored]]),
            np.concatenate([contacts["n"].to_numpy(dtype=np.int64)[has_row], np.ones_like(planned_row)]),
            taken_day,
            _translate(taken, _places_of_channels(words, config)),
        )

    def contacts_between(self, last: Days, days: int) -> Ints:
        """Effective contacts of each customer in so many days up to and with ``last``.

        Parameters
        ----------
        last : ndarray of datetime64[D], shape (n,)
        days : int

        Returns
        -------
        ndarray of int64, shape (n,)
        """
        until = last[self.contact_row]
        counted = (self.contact_day <= until) & (self.contact_day > until - np.timedelta64(days, "D"))
        n = np.bincount(self.contact_row[counted], self.contact_n[counted], minlength=len(last))
        return n.astype(np.int64)

    def most_contacts(self, day: Days, days: int) -> Ints:
        """Effective contacts of each customer in the fullest of all windows of so many days with ``day``.

        Parameters
        ----------
        day : ndarray of datetime64[D], shape (n,)
        days : int

        Returns
        -------
        ndarray of int64, shape (n,)
        """
        most = self.contacts_between(day, days)
        # A window that is full ends with the day itself or with a contact.
        ahead = (self.contact_day - day[self.contact_row]).astype(np.int64)
        for later in np.unique(ahead[(ahead > 0) & (ahead < days)]):
            most = np.maximum(most, self.contacts_between(day + later, days))
        return most


class _OfPeople:
    """Columns of ``people``, spread over the scored customers."""

    def __init__(self, scored: Scored, people: pd.DataFrame) -> None:
        self._rows, has_row = _rows(scored, people)
        self._people, self._n = people[has_row], len(scored)

    def days(self, name: str) -> Days:
        found = np.full(self._n, np.datetime64("NaT", "D"))
        found[self._rows] = days_of(self._people[name])
        return found

    def words(self, name: str) -> tuple[Ints, list[str]]:
        """Codes and the words that they stand for."""
        codes, words = _coded(self._people[name])
        found = np.full(self._n, -1)
        found[self._rows] = codes
        return found, words


def _rows(scored: Scored, frame: pd.DataFrame) -> tuple[Ints, Bools]:
    """The row of the scores of each row of a table, and which of them have one."""
    places: Any = pc.index_in(strings_of(frame["customer_id"]), value_set=scored.ids)
    has_row = np.asarray(places.is_valid())
    return np.asarray(places.drop_null(), dtype=np.int64), has_row


def _coded(column: pd.Series) -> tuple[Ints, list[str]]:
    """Codes, -1 where nothing is said, and the words that they stand for."""
    coded = pc.dictionary_encode(strings_of(column))
    return np.asarray(coded.indices.fill_null(-1), dtype=np.int64), coded.dictionary.to_pylist()


def _translate(codes: Ints, places: list[int]) -> Ints:
    return np.array([*places, -1], dtype=np.int64)[codes]


def _places_of_rules(names: list[str], config: RemindersConfig) -> list[int]:
    order = {rule: place for place, rule in enumerate(config.rules) if rule not in POLICY_RULES}
    unknown = sorted(set(names) - set(order))
    if unknown:
        raise ConfigError(
            f"the inputs name a rule '{unknown[0]}' that the config does not have",
            where="exclusions",
            next_step="collect the inputs with the config by which customers are ranked",
        )
    return [order[name] for name in names]


def _places_of_channels(names: list[str], config: RemindersConfig) -> list[int]:
    """A preference for what is not offered is none."""
    offered: dict[str, int] = {}
    for place, rule in enumerate(config.channels):
        offered.setdefault(rule.channel.strip().casefold(), place)
    return [offered.get(name.strip().casefold(), -1) for name in names]
