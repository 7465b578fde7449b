"""Who is reminded, when and through what: the policy of the reminder list."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from overdue_ml.config.settings import _Settings

Tier = Literal["high", "medium", "low"]
Tiers = Annotated[list[Tier], Field(min_length=1)]

#: Rules that records may break for a customer, by columns that the config names; in this order by default.
EXCLUSIONS = ("deceased", "opted_out", "hardship", "dispute", "technical")
#: Rules of the policy itself, in the order in which they are asked, after the exclusions.
POLICY_RULES = (
    "paid_already",
    "nothing_due",
    "not_due_within_lead_days",
    "tier_not_reminded",
    "below_min_probability",
    "below_min_amount",
    "unknown_time_zone",
    "no_contact_day",
    "cooldown",
    "over_contact_cap",
    "no_channel",
    "over_capacity",
    "holdout",
)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_HOUR = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")


def _day(text: str) -> str:
    try:
        return dt.date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("not a day, as '2024-12-25'") from None


class ExclusionRule(_Settings):
    """A column of the records that keeps a customer off the list.

    Parameters
    ----------
    rule : str
        Name under which it is recorded, as ``opted_out``, ``hardship``, ``deceased``, ``dispute`` or
        ``technical``; or another one of the lender's own, in small letters.
    column : str
        Of ``table``. Without ``values``: true, a number that is not 0, a day not after the as_of date, or
        text that does not say no.
    table : {'customers', 'accounts'}
        One account of the customer's is enough.
    values : list of str or None
        Cells that count, as text, whatever the case of their letters. A run notes those that no cell holds.
    known_on, until : str or None
        Columns with the day from which the row counts, and the first on which it does not any more; an
        empty cell sets no limit.
    """

    rule: str
    column: str = Field(min_length=1)
    table: Literal["customers", "accounts"] = "customers"
    values: list[str] | None = Field(default=None, min_length=1)
    known_on: str | None = None
    until: str | None = None

    @field_validator("rule")
    @classmethod
    def _name_is_free(cls, name: str) -> str:
        if not _NAME.fullmatch(name) or name in POLICY_RULES:
            raise ValueError("not a rule's name: small letters, digits and _, none of the policy's own")
        return name


class ContactCap(_Settings):
    """At most ``contacts`` effective contacts in any ``days`` days, the reminder among them."""

    days: int = Field(ge=1, le=366)
    contacts: int = Field(ge=0)


class ContactsConfig(_Settings):
    """How often a customer is contacted, by the table ``contacts``.

    Parameters
    ----------
    effective_outcomes : list of str or None
        Outcomes of contacts that count, whatever the case of their letters; None: all do. A contact whose
        outcome is not known counts; one of the arm ``holdout`` never was.
    caps : list of ContactCap
    cooldown_days : int
        Fewest days from the last effective contact to the reminder.
    """

    effective_outcomes: list[str] | None = None
    caps: list[ContactCap] = Field(default=[ContactCap(days=1, contacts=3), ContactCap(days=7, contacts=7)])
    cooldown_days: int = Field(default=0, ge=0, le=366)

    @property
    def window_days(self) -> int:
        """Days of contacts that matter."""
        return max([self.cooldown_days, *(cap.days for cap in self.caps)])


class HoursConfig(_Settings):
    """When a customer may be contacted, on the customer's own clock.

    Parameters
    ----------
    start, end : str
        ``HH:MM`` of the local day; quiet before the one and from the other on.
    timezone : str or None
        IANA zone of customers without one; None for that of the records.
    timezone_column : str or None
        Column of ``customers`` with the zone of each.
    first_day : int
        Days from the as_of date to the first on which a contact is possible.
    weekdays : list of int
        Days of contact, 1 (Monday) to 7.
    holidays : list of str
        Days without contact, as ``"2024-12-25"``; the next possible one takes their place.
    """

    start: str = "08:00"
    end: str = "21:00"
    timezone: str | None = None
    timezone_column: str | None = None
    first_day: int = Field(default=1, ge=0, le=31)
    weekdays: list[int] = Field(default=[1, 2, 3, 4, 5, 6, 7])
    holidays: list[str] = Field(default=[])

    @field_validator("start", "end")
    @classmethod
    def _is_an_hour(cls, text: str) -> str:
        if not _HOUR.fullmatch(text):
            raise ValueError("not a time of the day, as '08:00'")
        return text

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str | None) -> str | None:
        try:
            return name if name is None else zoneinfo.ZoneInfo(name).key
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("not an IANA time zone, as 'UTC' or 'Asia/Shanghai'") from None

    @field_validator("weekdays")
    @classmethod
    def _are_weekdays(cls, days: list[int]) -> list[int]:
        if not days or set(days) - set(range(1, 8)):
            raise ValueError("needs days from 1 (Monday) to 7 (Sunday)")
        return sorted(set(days))

    @field_validator("holidays")
    @classmethod
    def _are_days(cls, days: list[str]) -> list[str]:
        return sorted({_day(day) for day in days})

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.end <= self.start:
            raise ValueError("the hours end before they start: 'end' must be later than 'start'")
        return self


class ChannelRule(_Settings):
    """A channel, the tiers that it is for, and how many it carries on one day (None: any number)."""

    channel: str = Field(min_length=1)
    tiers: Tiers = Field(default=["high", "medium", "low"])
    daily_capacity: int | None = Field(default=None, ge=0)


class HoldoutConfig(_Settings):
    """Who is listed, but not reminded, so that one can tell what reminders do.

    Parameters
    ----------
    share : float
        Of those who would be reminded; drawn by a hash of campaign and customer. 0 for none.
    campaign : str or None
        Another name draws other customers; needed with a share.
    """

    share: float = Field(default=0.0, ge=0.0, le=0.9)
    campaign: str | None = Field(default=None, min_length=1, max_length=100)

    @model_validator(mode="after")
    def _campaign_has_a_name(self) -> Self:
        if self.campaign is not None and not self.campaign.strip():
            raise ValueError("the name of the 'campaign' is blank")
        if self.share > 0 and self.campaign is None:
            raise ValueError("a holdout needs the name of its 'campaign'")
        return self


class AlertRule(_Settings):
    """A line of the watch list.

    Parameters
    ----------
    indicator : str
        A column of ``scores.parquet`` with numbers.
    kind : {'crossed', 'jumped'}
        It has reached ``threshold`` and had not at the last run, or has moved by it since. The last run is
        the newest one of an earlier date in the same folder by a model of the same name. Where there is
        none, or a customer was not in it, the threshold was not reached.
    threshold : float
    owner : str
        Who looks at it.
    direction : {'up', 'down'}
        Which way is worse.
    """

    indicator: str = Field(default="p_overdue", min_length=1)
    kind: Literal["crossed", "jumped"]
    threshold: float
    owner: str = Field(min_length=1)
    direction: Literal["up", "down"] = "up"

    @model_validator(mode="after")
    def _a_jump_is_not_negative(self) -> Self:
        if self.kind == "jumped" and self.threshold <= 0:
            raise ValueError("a jump's 'threshold' must be above 0, whichever direction it goes")
        return self


class LadderRule(_Settings):
    """A rung of treatment for customers past due: from these days, of these tiers, from this amount on."""

    rung: str = Field(min_length=1)
    min_dpd: int = Field(default=1, ge=1)
    tiers: Tiers = Field(default=["high", "medium", "low"])
    min_amount: float = Field(default=0.0, ge=0.0)

    @field_validator("rung")
    @classmethod
    def _rung_is_one(cls, name: str) -> str:
        if name.strip().casefold() == "none":
            raise ValueError("'none' stands for customers whom no rung fits; choose another name")
        return name

    def covers(self, dpd: int, tier: Tier, amount: float) -> bool:
        """Whether it takes whoever is of the tier, from so many days past due and this amount on."""
        return self.min_dpd <= dpd and self.min_amount <= amount and tier in self.tiers


class RemindersConfig(_Settings):
    """``configs/reminders.yaml``: who is put on the reminder list, when and through what, and who watches.

    Parameters
    ----------
    lead_days : int or list of int
        Only dues at most this many days after the as_of date; or, as a list, only dues exactly one of so
        many days after it. They must reach the first day of contact, and 1: no due of the as_of date itself
        is looked at.
    every_days : int
        Days from one run to the next: with a list of lead days, a reminder is not lost whose day lies
        between two runs.
    min_probability, min_amount : float
        Customers below are suppressed.
    tiers : list of str
        Tiers that are reminded.
    capacity : int or None
        The list is cut after this many customers; None for no limit.
    daily_capacity : int or None
        Most reminders on one day, over all channels.
    rank_by : {'expected_overdue_amount', 'p_overdue', 'log_odds', 'expected_benefit'}
        Order of the list. ``expected_benefit`` is due_amount x what a reminder takes off the probability:
        a column ``benefit`` of the scores, or ``benefits``.
    benefits : mapping of str to float
        What a reminder takes off the probability by tier, from -1 to 1, as a campaign report found it.
    exclusions : list of ExclusionRule
        The first that holds is recorded.
    technical_days : int or None
        Customers with a technical payment in so many days up to the as_of date are suppressed; None: none.
    contacts : ContactsConfig
    hours : HoursConfig
    channels : list of ChannelRule
        In order of preference; none: the list names no channel.
    channel_column : str or None
        Column of ``customers`` with the channel that each prefers.
    holdout : HoldoutConfig
    masked_columns : list of str
        Columns of which only the ends are shown in CSV and Excel, in every list; Parquet stays whole.
    excel : bool
        Also write the reminders as an Excel workbook.
    alerts : list of AlertRule
    ladder : list of LadderRule
        The first that fits is suggested; an officer decides. Each must fit somebody whom none before it
        fits.
    """

    lead_days: int | list[int] = 14
    every_days: int = Field(default=1, ge=1, le=31)
    min_probability: float = Field(default=0.1, ge=0.0, le=1.0)
    min_amount: float = Field(default=0.0, ge=0.0)
    tiers: Tiers = Field(default=["high", "medium"])
    capacity: int | None = Field(default=None, ge=0)
    daily_capacity: int | None = Field(default=None, ge=0)
    rank_by: Literal["expected_overdue_amount", "p_overdue", "log_odds", "expected_benefit"] = (
        "expected_overdue_amount"
    )
    benefits: dict[Tier, Annotated[float, Field(ge=-1.0, le=1.0)]] = Field(default={})
    exclusions: list[ExclusionRule] = Field(default=[])
    technical_days: int | None = Field(default=None, ge=1, le=366)
    contacts: ContactsConfig = ContactsConfig()
    hours: HoursConfig = HoursConfig()
    channels: list[ChannelRule] = Field(default=[])
    channel_column: str | None = None
    holdout: HoldoutConfig = HoldoutConfig()
    masked_columns: list[str] = Field(default=[])
    excel: bool = False
    alerts: list[AlertRule] = Field(
        default=[
            AlertRule(kind="crossed", threshold=0.5, owner="risk"),
            AlertRule(kind="jumped", threshold=0.2, owner="risk"),
        ]
    )
    ladder: list[LadderRule] = Field(
        default=[
            LadderRule(rung="legal_review", min_dpd=91, min_amount=1000.0),
            LadderRule(rung="restructuring_offer", min_dpd=61),
            LadderRule(rung="senior_call", min_dpd=31, tiers=["high"]),
            LadderRule(rung="call", min_dpd=31),
            LadderRule(rung="call", min_dpd=8, tiers=["high", "medium"]),
            LadderRule(rung="message", min_dpd=1),
        ]
    )

    @field_validator("lead_days")
    @classmethod
    def _lead_days_are_days(cls, days: int | list[int]) -> int | list[int]:
        named = days if isinstance(days, list) else [days]
        if not named or min(named) < 0 or max(named) > 366:
            raise ValueError("should be greater than or equal to 0 and less than or equal to 366")
        return sorted(set(days), reverse=True) if isinstance(days, list) else days

    @model_validator(mode="after")
    def _lead_days_reach_a_contact(self) -> Self:
        days, first = self.lead_days, max(1, self.hours.first_day)
        farthest = days if isinstance(days, int) else days[0] + self.every_days - 1
        if farthest < first:
            raise ValueError(
                f"'lead_days' reach {farthest} day(s) ahead, and dues that a contact can precede begin "
                f"{first} day(s) ahead ('hours.first_day'): nobody would ever be reminded"
            )
        return self

    @model_validator(mode="after")
    def _names_stand_once(self) -> Self:
        # A customer's own channel is found whatever the case of its letters.
        channels = [c.channel.strip().casefold() for c in self.channels]
        for words in (channels, [r.rung + str(r) for r in self.ladder]):
            twice = sorted({word for word in words if words.count(word) > 1})
            if twice:
                raise ValueError(f"'{twice[0][:60]}' stands twice")
        if self.channel_column is not None and not self.channels:
            raise ValueError("'channel_column' needs 'channels'")
        return self

    @model_validator(mode="after")
    def _every_rung_is_reached(self) -> Self:
        for place, rule in enumerate(self.ladder):
            before = self.ladder[:place]
            if all(any(b.covers(rule.min_dpd, tier, rule.min_amount) for b in before) for tier in rule.tiers):
                raise ValueError(
                    f"nobody reaches the rung '{rule.rung[:60]}' of min_dpd {rule.min_dpd}: those before it "
                    "take everybody whom it fits"
                )
        return self

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of all rules that may suppress a customer, in the order in which they are asked."""
        named = [e.rule for e in self.exclusions] + (["technical"] if self.technical_days else [])
        return (*dict.fromkeys(named), *POLICY_RULES)
