"""What the reminder policy needs to know from the records: small tables of those for whom anything holds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import pandas as pd

from overdue_ml.config import RemindersConfig
from overdue_ml.errors import ConfigError
from overdue_ml.records import Records, compute_next_due
from overdue_ml.records.facts import known_on_sql
from overdue_ml.reminders.eligibility import column_of, find_excluded, find_matched

_DAY: Final = "datetime64[s]"


def _none_planned() -> pd.DataFrame:
    kinds = {"customer_id": "str", "contact_on": _DAY, "channel": "str"}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})


@dataclass(frozen=True, eq=False)
class ReminderInputs:
    """Facts of some customers, or of all, as known at the end of ``as_of``.

    Attributes
    ----------
    as_of : datetime.date
    people : pandas.DataFrame
        customer_id, exclusion (the first rule that holds), paid_due_date and
        covered_due_date (as :func:`~overdue_ml.records.compute_next_due` tells them), timezone and
        channel (the customer's own). Only customers with any of these, sorted by customer_id.
    contacts : pandas.DataFrame
        customer_id, contacted_on, n: effective contacts by day, of the days that the config looks back;
        sorted.
    timezone : str
        Zone of the records.
    has_contacts : bool
        Whether the records have the table at all.
    unclear : mapping of str to int
        By rule, how many flags say neither yes nor no; they count as yes.
    planned : pandas.DataFrame
        customer_id, contact_on, channel, as in the reminders of earlier runs: what they planned. Of days
        after ``as_of`` they count as contacts of these customers, and take room of that day and channel,
        whoever the customer is. The rest is passed over: by then it is a contact, or did not happen.
    matched : mapping of str to collection of str
        By rule, which of the ``values`` that the config names stand in any cell.
    """

    as_of: dt.date
    people: pd.DataFrame
    contacts: pd.DataFrame
    timezone: str = "UTC"
    has_contacts: bool = False
    unclear: Mapping[str, int] = field(default_factory=dict)
    planned: pd.DataFrame = field(default_factory=_none_planned)
    matched: Mapping[str, Collection[str]] = field(default_factory=dict)

    @classmethod
    def concat(cls, parts: Iterable[ReminderInputs]) -> ReminderInputs:
        """Inputs of parts of the customers as those of all; the order of the parts is of no account.

        Parameters
        ----------
        parts : iterable of ReminderInputs
            Of one as_of date, each customer in one of them.

        Raises
        ------
        ConfigError
            If there is none, or they are of different dates.
        """
        found = list(parts)
        if len({(part.as_of, part.timezone) for part in found}) != 1:
            raise ConfigError("parts of inputs are of different dates or zones, or there are none")
        people = pd.concat([part.people for part in found]).sort_values("customer_id", ignore_index=True)
        contacts = pd.concat([part.contacts for part in found])
        rules = sorted({rule for part in found for rule in part.unclear})
        return cls(
            found[0].as_of,
            people,
            contacts.sort_values(["customer_id", "contacted_on"], ignore_index=True),
            found[0].timezone,
            any(part.has_contacts for part in found),
            {rule: sum(part.unclear.get(rule, 0) for part in found) for rule in rules},
            pd.concat([part.planned for part in found], ignore_index=True),
            {
                rule: sorted({value for part in found for value in part.matched.get(rule, ())})
                for rule in sorted({rule for part in found for rule in part.matched})
            },
        )


def collect_inputs(
    records: Records,
    as_of: dt.date,
    config: RemindersConfig | None = None,
    *,
    dues: pd.DataFrame | None = None,
) -> ReminderInputs:
    """Read from the records what the policy asks for; nothing that was not known on ``as_of``.

    Parameters
    ----------
    records : Records
        Of all customers or of a part of them.
    as_of : datetime.date
    config : RemindersConfig, optional
    dues : pandas.DataFrame, optional
        What :func:`overdue_ml.records.compute_next_due` gave for the same records, to spare its work.

    Returns
    -------
    ReminderInputs

    Raises
    ------
    ConfigError
        If the config names a column that the records do not have.
    """
    config = config or RemindersConfig()
    excluded, unclear = find_excluded(records, as_of, config)
    dues = compute_next_due(records, as_of) if dues is None else dues
    columns = {
        "exclusion": excluded,
        "paid_due_date": dues["paid_due_date"].dropna().astype(_DAY),
        "covered_due_date": dues["covered_due_date"].dropna().astype(_DAY),
        "timezone": _of_customer(records, config.hours.timezone_column, "hours.timezone_column"),
        "channel": _of_customer(records, config.channel_column, "channel_column"),
    }
    people = pd.concat(
        [part.rename(name).to_frame() for name, part in columns.items()], axis=1, sort=True
    ).rename_axis("customer_id")
    people.index = people.index.astype("str")
    kinds = {name: _DAY if name.endswith("_date") else "str" for name in columns}
    people = people.sort_index().astype(kinds).reset_index()
    return ReminderInputs(
        as_of,
        people,
        _recent_contacts(records, as_of, config),
        records.config.timezone,
        "contacts" in records,
        unclear,
        matched=find_matched(records, config),
    )


def _of_customer(records: Records, column: str | None, setting: str) -> pd.Series:
    """A text column of customers, where it says anything."""
    if column is None:
        return pd.Series([], index=pd.Index([], dtype="str"), dtype="str")
    cells = column_of(records, "customers", column, setting).to_pandas()
    ids = records.tables["customers"].column("customer_id").to_pandas()
    told = pd.Series(cells.to_numpy(), index=pd.Index(ids, dtype="str")).dropna().astype("str").str.strip()
    return told[told != ""]


def _recent_contacts(records: Records, as_of: dt.date, config: RemindersConfig) -> pd.DataFrame:
    """Effective contacts by customer and day, as far back as any cap looks."""
    if "contacts" not in records:
        return pd.DataFrame(
            {
                "customer_id": pd.Series(dtype="str"),
                "contacted_on": pd.Series(dtype=_DAY),
                "n": pd.Series(dtype="int64"),
            }
        )
    present = set(records.columns("contacts"))
    kept = ["c.arm IS DISTINCT FROM 'holdout'"] if "arm" in present else []
    outcomes = config.contacts.effective_outcomes
    if outcomes is not None and "outcome" in present:
        told = "nullif(lower(trim(c.outcome)), '')"
        kept.append(f"({told} IS NULL OR list_contains(getvariable('outcomes'), {told}))")
    with records.session() as con:
        con.execute("SET VARIABLE as_of = ?", [as_of])
        con.execute("SET VARIABLE outcomes = ?::VARCHAR[]", [[o.strip().lower() for o in outcomes or []]])
        known = known_on_sql(records, "contacts", alias="c")
        frame: pd.DataFrame = con.sql(
            f"""SELECT c.customer_id, c.contacted_on, count(*)::BIGINT AS n FROM contacts c
            WHERE greatest({known}, c.contacted_on) <= getvariable('as_of')
                AND c.contacted_on > getvariable('as_of') - {config.contacts.window_days}
                {"".join(f" AND {rule}" for rule in kept)}
            GROUP BY ALL ORDER BY ALL"""
        ).df()
    return frame.astype({"customer_id": "str", "contacted_on": _DAY, "n": "int64"})
