"""What reminders did: customers who were reminded against those whom a campaign held out at random.

By intention to treat: a customer counts in the arm that was drawn, whether or not a reminder was sent or
reached anybody.

*A due counts once.* A due that several runs listed counts with the first of them: whoever has been contacted
is often left out of the next run, and whoever was held out is not.

*Overdue* is who the label says; ``on_time``, ``technical`` and ``nothing_due`` are not, since a reminder may
have made them so. ``already_overdue`` was known when the arms were drawn, and is left out.

*Money* is told in two ways, both at the mean amount due of both arms. Overdue is the whole amount due of who
went overdue, whatever was paid of it: it means the same wherever labels come from. Unpaid is what was left of
that amount on the day on which a due becomes overdue; it needs instalments.

*Groups* and the balance of the arms go by the first row of each customer: what later runs say of a customer
may be what the reminders did.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from overdue_ml.errors import CampaignError, ConfigError
from overdue_ml.metrics import sample_ratio_p
from overdue_ml.monitoring._campaign_tables import (
    amount_bands,
    compute_balance,
    compute_differs,
    compute_effects,
    count_contacts,
    count_verdicts,
)
from overdue_ml.records.dates import AsOf, parse_date

_NEEDED = (
    "customer_id", "as_of_date", "arm", "tier", "next_due_date", "due_amount", "p_overdue",
)  # fmt: skip
_ARMS = ("treated", "holdout")


@dataclass(frozen=True)
class CampaignLimits:
    """Below what nothing is concluded.

    Parameters
    ----------
    min_customers : int
        In each arm.
    min_overdue : int
        Rows overdue in both arms together.
    min_p : float
        Arms that chance makes as uneven as they are less often than this were not drawn as they should be.
    max_difference : float
        Largest standardised difference of what was known before, where chance does not explain it.
    """

    min_customers: int = 100
    min_overdue: int = 10
    min_p: float = 0.001
    max_difference: float = 0.1


@dataclass(frozen=True)
class Campaign:
    """How arms were drawn, and how they are looked at.

    Parameters
    ----------
    share : float
        That was to be held out, in (0, 1).
    bands : sequence of float, optional
        Bounds of the amount due, rising, each the top of its band; by default the thirds, rounded.
    limits : CampaignLimits
    """

    share: float
    bands: Sequence[float] | None = None
    limits: CampaignLimits = field(default_factory=CampaignLimits)


@dataclass(frozen=True)
class CampaignEffect:
    """What reminders took off overdue rates and amounts; all intervals are of 95 %.

    Attributes
    ----------
    as_of : datetime.date
        By when outcomes were known.
    effects : DataFrame
        grouping (``all``, ``tier``, ``due_amount``, ``as_of_date``), group; customers, rows (dues) and
        overdue rows of each arm as ``treated_...`` and ``holdout_...``; treated_rate, holdout_rate,
        rate_difference (holdout minus treated: above 0 reminders helped), rate_low, rate_high; treated_money
        and holdout_money, the amount due of the overdue for each due listed, at the mean amount due of both
        arms; money_difference, money_low, money_high; treated_unpaid and holdout_unpaid, what was left unpaid
        of it; unpaid_difference, unpaid_low, unpaid_high, all missing where that is not known; too_few
        (everything but customers and rows is missing).
    differs : DataFrame
        grouping, p_value: how likely groups without any difference between them differ as much (rates).
    balance : DataFrame
        covariate, treated, holdout (means of each customer's first row), difference (standardised), p_value.
    verdicts : DataFrame
        verdict, treated, holdout: rows.
    counts : mapping of str to int
        rows, customers, dates, repeated (rows of a due that was listed before), already_overdue.
    contacted : mapping of str to int, or None
        Rows of each arm with a contact between the run and the due date; None where no contacts are known.
    share : float
        That was to be held out.
    ratio_p : float
        Of the sample ratio test over customers.
    detectable : float
        The difference in rates that four of five campaigns like this one would have found.
    """

    as_of: dt.date
    effects: pd.DataFrame
    differs: pd.DataFrame
    balance: pd.DataFrame
    verdicts: pd.DataFrame
    counts: dict[str, int]
    contacted: dict[str, int] | None
    share: float
    ratio_p: float
    detectable: float

    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables by name."""
        return {name: getattr(self, name) for name in ("effects", "differs", "balance", "verdicts")}

    @property
    def knows_unpaid(self) -> bool:
        """Whether it is known what was left unpaid."""
        return bool(self.effects["unpaid_difference"].notna().any())

    @property
    def overall(self) -> pd.Series:
        """The row of all customers."""
        row: pd.Series = self.effects.iloc[0]
        return row


def estimate_campaign(
    arms: pd.DataFrame,
    outcomes: pd.DataFrame,
    as_of: AsOf,
    campaign: Campaign,
    contacts: pd.DataFrame | None = None,
    unpaid: pd.DataFrame | None = None,
) -> CampaignEffect:
    """Compare the arms of a campaign.

    Intervals are those of :func:`overdue_ml.metrics.compare_arms`, which says where they come from.

    Parameters
    ----------
    arms : DataFrame
        customer_id, as_of_date, arm (treated, holdout), tier, next_due_date, due_amount, p_overdue: one row
        for each customer that a run would have reminded, over all runs.
    outcomes : DataFrame
        Indexed (customer_id, as_of_date): verdict, matured_on, as :func:`overdue_ml.label_customers` gives
        them for the dates of the runs.
    as_of : date or str
        Only outcomes that were final by then are known.
    campaign : Campaign
    contacts : DataFrame, optional
        customer_id, contacted_on and, where there are such columns, arm and known_on.
    unpaid : DataFrame, optional
        customer_id, as_of_date, due_date, unpaid_amount, as :func:`overdue_ml.labels.compute_unpaid` gives
        them for the dates of the runs; a due without a row has nothing unpaid.

    Returns
    -------
    CampaignEffect
        The order of the rows changes nothing.

    Raises
    ------
    CampaignError
        If outcomes are not final, the arms are too small, a customer stands in both, or the arms differ from
        each other or from the share by more than chance does.
    ConfigError
        If the share or the bands cannot be used.
    """
    day, limits = parse_date(as_of), campaign.limits
    if not 0 < campaign.share < 1:
        raise ConfigError(f"a share of {campaign.share} is no holdout", expected="above 0 and below 1")
    rows = campaign_rows(arms, outcomes, day)
    first = rows.drop_duplicates("customer_id")
    _refuse_few(first, rows, limits)
    ratio_p = _check_ratio(first, campaign)
    balance = compute_balance(first)
    _check_balance(balance, limits)
    counted = rows[rows["verdict"] != "already_overdue"]
    _check_rows(counted, campaign)
    groups = pd.DataFrame(
        {"tier": first["tier"], "due_amount": amount_bands(first["due_amount"], campaign.bands)}
    ).set_axis(first["customer_id"], axis=0)
    effects = compute_effects(_with_unpaid(counted, unpaid), groups)
    overall = effects.iloc[0]
    return CampaignEffect(
        day,
        effects,
        compute_differs(effects),
        balance,
        count_verdicts(rows),
        {
            "rows": len(counted),
            "customers": counted["customer_id"].nunique(),
            "dates": pd.to_datetime(arms["as_of_date"]).nunique(),
            "repeated": len(arms) - len(rows),
            "already_overdue": len(rows) - len(counted),
        },
        None if contacts is None else count_contacts(counted, contacts, day),
        campaign.share,
        ratio_p,
        # 1.96 + 0.84 standard errors, of which the interval is 2 x 1.96 wide.
        float((overall["rate_high"] - overall["rate_low"]) * 2.8 / 3.92),
    )


def campaign_rows(arms: pd.DataFrame, outcomes: pd.DataFrame, as_of: AsOf) -> pd.DataFrame:
    """The dues of a campaign, each once, with what became of them.

    Parameters
    ----------
    arms, outcomes, as_of
        As for :func:`estimate_campaign`.

    Returns
    -------
    DataFrame
        Columns of the arms that count, and is_holdout, due (its day), verdict, matured_on; sorted by
        customer_id and as_of_date.

    Raises
    ------
    CampaignError
        If an outcome is not final, or the arms make no sense.
    """
    listed = _checked(arms)
    return _with_outcomes(listed.drop_duplicates(["customer_id", "due"]), outcomes, parse_date(as_of))


def _checked(arms: pd.DataFrame) -> pd.DataFrame:
    """The rows in a fixed order, dates as days, ``is_holdout`` and ``due`` (which due of the customer)."""
    missing = [name for name in _NEEDED if name not in arms]
    if missing:
        raise CampaignError(f"the arms have no column '{missing[0]}'", where="arms")
    rows = arms[list(_NEEDED)].copy()
    for name in ("as_of_date", "next_due_date"):
        rows[name] = pd.to_datetime(rows[name]).astype("datetime64[s]")
    rows["customer_id"] = rows["customer_id"].astype("str")
    strange = ~rows["arm"].isin(_ARMS)
    if strange.any():
        raise CampaignError(
            f"{int(strange.sum())} row(s) are in no arm",
            where="arms, column arm",
            expected="treated, holdout",
        )
    numbers = rows[["due_amount", "p_overdue"]].to_numpy(dtype=np.float64)
    if not np.isfinite(numbers).all() or (numbers < 0).any() or not numbers[:, 0].all():
        raise CampaignError(
            "an amount due or a probability is missing or negative, or nothing is due", where="arms"
        )
    rows["is_holdout"] = rows["arm"] == "holdout"
    sides = rows.groupby("customer_id")["is_holdout"].nunique()
    if (sides > 1).any():
        raise CampaignError(
            f"{int((sides > 1).sum())} customer(s) stand in both arms",
            where="arms",
            expected="one arm for each customer of a campaign",
            next_step="give each change of the share another campaign name, and report on one name at a time",
        )
    rows["due"] = rows["next_due_date"].fillna(rows["as_of_date"])
    return rows.sort_values(["customer_id", "as_of_date", "due", "due_amount"], ignore_index=True)


def _with_outcomes(rows: pd.DataFrame, outcomes: pd.DataFrame, as_of: dt.date) -> pd.DataFrame:
    """Rows with their verdicts.

    Raises
    ------
    CampaignError
        If one of them is not final by ``as_of``.
    """
    found = outcomes[["verdict", "matured_on"]].reset_index()
    found["customer_id"] = found["customer_id"].astype("str")
    found["as_of_date"] = pd.to_datetime(found["as_of_date"]).astype("datetime64[s]")
    rows = rows.merge(found, on=["customer_id", "as_of_date"], how="left", validate="many_to_one")
    decided = rows["verdict"].notna() & (rows["verdict"] != "immature")
    final = (decided & (pd.to_datetime(rows["matured_on"]) <= pd.Timestamp(as_of))).to_numpy()
    if final.all() and len(rows):
        return rows
    absent = int(rows["verdict"].isna().sum())
    waiting = rows["as_of_date"][~final].min()
    before = rows["as_of_date"][rows["as_of_date"] < waiting].max()
    later = "" if pd.isna(before) else f", or leave out the runs after {before.date()} (--until)"
    raise CampaignError(
        f"{int((~final).sum()):,} of {len(rows):,} outcomes are not final"
        + (f", {absent:,} of them of customers who have none in the records" if absent else ""),
        where="no run" if pd.isna(waiting) else f"runs from {waiting.date()} on, known by {as_of}",
        expected="the outcome of every row: those known early are the bad ones",
        next_step=f"report as of a later day, with records that reach it{later}",
    )


def _with_unpaid(rows: pd.DataFrame, unpaid: pd.DataFrame | None) -> pd.DataFrame:
    """Rows with ``unpaid_amount``: of the due that was listed, which may be one of several in the horizon."""
    if unpaid is None:
        return rows.assign(unpaid_amount=np.nan)
    found = unpaid.rename(columns={"due_date": "due"})
    found = found.astype({"as_of_date": "datetime64[s]", "due": "datetime64[s]", "customer_id": "str"})
    keys = ["customer_id", "as_of_date", "due"]
    merged = rows.merge(found[[*keys, "unpaid_amount"]], on=keys, how="left", validate="many_to_one")
    return merged.fillna({"unpaid_amount": 0.0})


def _refuse_few(first: pd.DataFrame, rows: pd.DataFrame, limits: CampaignLimits) -> None:
    held = int(first["is_holdout"].sum())
    overdue = int((rows["verdict"] == "overdue").sum())
    if min(held, len(first) - held) < limits.min_customers:
        raise CampaignError(
            f"{len(first) - held:,} customers were reminded and {held:,} held out",
            expected=f"at least {limits.min_customers} in each arm",
            next_step="let the campaign run on, or hold out a larger share under another campaign name",
        )
    if overdue < limits.min_overdue:
        raise CampaignError(
            f"{overdue} of {len(rows):,} rows went overdue",
            expected=f"at least {limits.min_overdue}",
            next_step="let the campaign run on",
        )


def _check_ratio(first: pd.DataFrame, campaign: Campaign) -> float:
    p_value = sample_ratio_p(first["is_holdout"], campaign.share)
    if p_value < campaign.limits.min_p:
        held = int(first["is_holdout"].sum())
        raise CampaignError(
            f"{held:,} of {len(first):,} customers ({held / len(first):.1%}) were held out, which chance "
            f"makes of {campaign.share:.1%} less than once in {1 / campaign.limits.min_p:,.0f} times",
            where="arms",
            expected="the share of the config",
            next_step="look for runs that are missing, or were made with another share under the same name",
        )
    return p_value


def _check_balance(balance: pd.DataFrame, limits: CampaignLimits) -> None:
    uneven = balance[
        (balance["difference"].abs() > limits.max_difference) & (balance["p_value"] < limits.min_p)
    ]
    if len(uneven):
        worst = uneven.iloc[uneven["difference"].abs().argmax()]
        raise CampaignError(
            f"the arms differed before any reminder: {worst['covariate']} by "
            f"{worst['difference']:+.2f} standard deviations",
            where="arms, the first row of each customer",
            expected=f"at most {limits.max_difference}, or what chance explains",
            next_step="find out what decided who was held out beside the draw; without that nothing follows",
        )


def _check_rows(rows: pd.DataFrame, campaign: Campaign) -> None:
    if sample_ratio_p(rows["is_holdout"], campaign.share, rows["customer_id"]) < campaign.limits.min_p:
        held = float(rows["is_holdout"].mean())
        raise CampaignError(
            f"customers of one arm were listed again more often: {held:.1%} of the dues are held out, of "
            f"customers {campaign.share:.1%}",
            where="arms",
            expected="as many dues for each customer in both arms",
            next_step="leave out later runs (--until): who was listed there depends on the reminders before",
        )
