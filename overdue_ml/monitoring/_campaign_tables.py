"""The tables of a campaign: effects by group, balance, verdicts and contacts."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from overdue_ml.errors import ConfigError
from overdue_ml.metrics import MIN_SHOWN_ROWS, OTHER, compare_arms, standardised_difference

_TIERS = ("high", "medium", "low")
_ARMS = (("treated", False), ("holdout", True))
_FIGURES = (
    "treated_overdue", "holdout_overdue", "treated_rate", "holdout_rate", "rate_difference", "rate_low",
    "rate_high", "treated_money", "holdout_money", "money_difference", "money_low", "money_high",
    "treated_unpaid", "holdout_unpaid", "unpaid_difference", "unpaid_low", "unpaid_high",
)  # fmt: skip


def amount_bands(amounts: pd.Series, bands: Sequence[float] | None) -> pd.Series:
    """The band of each amount, as an ordered category.

    Parameters
    ----------
    amounts : Series
    bands : sequence of float, optional
        Tops of all bands but the last; by default the thirds of the amounts, rounded to two digits.

    Raises
    ------
    ConfigError
        If the bounds do not rise.

    Examples
    --------
    >>> amount_bands(pd.Series([100.0, 990.0, 1000.0, 5000.0]), [1000]).tolist()
    ['≤ 1,000', '≤ 1,000', '≤ 1,000', '> 1,000']
    """
    if bands is None:
        thirds = np.quantile(amounts, [1 / 3, 2 / 3]) if len(amounts) else np.empty(0)
        tops = sorted({float(f"{top:.2g}") for top in thirds if top > 0})
    else:
        tops = [float(top) for top in bands]
    if not all(math.isfinite(top) and top > 0 for top in tops) or sorted(set(tops)) != tops:
        raise ConfigError(
            f"the bounds {', '.join(f'{top:g}' for top in tops)} are no bands",
            where="bands",
            expected="amounts above 0, each larger than the one before",
        )
    shown = [f"{top:,.10g}" for top in tops]
    names = [f"≤ {shown[0]}"] if shown else ["> 0"]
    names += [f"{low} – {high}" for low, high in pairwise(shown)]
    names += [f"> {shown[-1]}"] if shown else []
    place = np.searchsorted(tops, amounts.to_numpy(dtype=np.float64), side="left")
    return pd.Series(pd.Categorical.from_codes(place.tolist(), pd.Index(names), ordered=True), amounts.index)


def compute_effects(rows: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Effects over all rows, then by each grouping; see :class:`overdue_ml.monitoring.CampaignEffect`.

    Parameters
    ----------
    rows : DataFrame
        customer_id, as_of_date, is_holdout, verdict, due_amount, unpaid_amount (NaN where it is not known).
    groups : DataFrame
        Indexed by customer_id: tier, due_amount (the band).
    """
    found = [_effect(rows, "all", "all")]
    by_customer = groups.reindex(rows["customer_id"])
    for grouping in groups.columns:
        found += _by_group(rows, str(grouping), by_customer[grouping].set_axis(rows.index))
    if len(rows["as_of_date"].unique()) > 1:
        found += _by_group(rows, "as_of_date", rows["as_of_date"].dt.strftime("%Y-%m-%d"))
    return pd.DataFrame(found).astype(dict.fromkeys(_FIGURES, "float64"))


def _by_group(rows: pd.DataFrame, grouping: str, labels: pd.Series) -> list[dict[str, Any]]:
    """An effect for each group; groups with very few customers in an arm are put together."""
    if isinstance(labels.dtype, pd.CategoricalDtype):
        order = [str(name) for name in labels.cat.categories]
    elif grouping == "tier":
        order = [*_TIERS, *sorted(set(labels) - set(_TIERS))]
    else:
        order = sorted(set(labels))
    names = labels.astype("str")
    once = rows.assign(group=names).drop_duplicates(["group", "customer_id"])
    people = pd.crosstab(once["group"], once["is_holdout"]).reindex(columns=[False, True], fill_value=0)
    small = set(people.index[people.min(axis=1) < MIN_SHOWN_ROWS])
    if small:
        names = names.where(~names.isin(small), OTHER)
    return [
        _effect(rows[(names == name).to_numpy()], grouping, name)
        for name in [*order, OTHER]
        if (names == name).any()
    ]


def _effect(rows: pd.DataFrame, grouping: str, group: str) -> dict[str, Any]:
    row: dict[str, Any] = {"grouping": grouping, "group": group}
    for arm, held in _ARMS:
        here = rows[rows["is_holdout"] == held]
        row |= {f"{arm}_customers": here["customer_id"].nunique(), f"{arm}_rows": len(here)}
    # Fewer could point at a customer.
    too_few = min(row["treated_customers"], row["holdout_customers"]) < MIN_SHOWN_ROWS
    figures = dict.fromkeys(_FIGURES, math.nan) if too_few else _figures(rows)
    return row | figures | {"too_few": too_few}


def _figures(rows: pd.DataFrame) -> dict[str, float]:
    overdue, held = rows["verdict"] == "overdue", rows["is_holdout"]
    rate = compare_arms(overdue, held, customers=rows["customer_id"])
    figures = {
        "treated_overdue": float((overdue & ~held).sum()),
        "holdout_overdue": float((overdue & held).sum()),
        "treated_rate": rate.treated,
        "holdout_rate": rate.holdout,
        "rate_difference": rate.value,
        "rate_low": rate.low,
        "rate_high": rate.high,
        **_amounts("money", rows, overdue),
    }
    # Known of all rows or of none.
    if rows["unpaid_amount"].isna().any():
        return dict.fromkeys(_FIGURES, math.nan) | figures
    # No more than was listed: a later version may ask for more.
    unpaid = (rows["unpaid_amount"] / rows["due_amount"]).clip(upper=1.0)
    return figures | _amounts("unpaid", rows, unpaid)


def _amounts(kind: str, rows: pd.DataFrame, part: pd.Series) -> dict[str, float]:
    """The part of the amount due in each arm, and its difference, for each due listed."""
    found = compare_arms(part, rows["is_holdout"], rows["due_amount"], rows["customer_id"])
    # At one mean amount for both arms: that one arm has larger dues by chance is no effect.
    mean_due = float(rows["due_amount"].mean())
    return {
        f"treated_{kind}": found.treated * mean_due,
        f"holdout_{kind}": found.holdout * mean_due,
        f"{kind}_difference": found.value * mean_due,
        f"{kind}_low": found.low * mean_due,
        f"{kind}_high": found.high * mean_due,
    }


def compute_differs(effects: pd.DataFrame) -> pd.DataFrame:
    """Whether the groups of a grouping differ: Cochran's Q of their differences in rates.

    Parameters
    ----------
    effects : DataFrame

    Returns
    -------
    DataFrame
        grouping, p_value; only groupings with two groups or more.

    References
    ----------
    Cochran (1954), The combination of estimates from different experiments, Biometrics 10, 101-129.
    """
    # scipy.stats takes half a second to import, and only this needs it.
    from scipy.stats import chi2

    found = []
    for grouping, group in effects[~effects["too_few"]].groupby("grouping", sort=False):
        if len(group) > 1:
            weight = 1.0 / ((group["rate_high"] - group["rate_low"]) / (2 * 1.959964)) ** 2
            mean = (weight * group["rate_difference"]).sum() / weight.sum()
            q = float((weight * (group["rate_difference"] - mean) ** 2).sum())
            found.append({"grouping": grouping, "p_value": float(chi2.sf(q, len(group) - 1))})
    return pd.DataFrame(found, columns=["grouping", "p_value"]).astype(
        {"grouping": "str", "p_value": "float64"}
    )


def compute_balance(first: pd.DataFrame) -> pd.DataFrame:
    """What was known of both arms when they were drawn; see :class:`CampaignEffect`.

    Parameters
    ----------
    first : DataFrame
        The first row of each customer: is_holdout, p_overdue, due_amount, tier.
    """
    covariates = {name: first[name].astype("float64") for name in ("p_overdue", "due_amount")}
    tiers = [*_TIERS, *sorted(set(first["tier"]) - set(_TIERS))]
    covariates |= {
        f"tier_{t}": (first["tier"] == t).astype("float64") for t in tiers if (first["tier"] == t).any()
    }
    found = []
    for name, values in covariates.items():
        difference, p_value = standardised_difference(values, first["is_holdout"])
        means = values.groupby(first["is_holdout"]).mean()
        found.append((name, float(means[False]), float(means[True]), difference, p_value))
    return pd.DataFrame(found, columns=["covariate", "treated", "holdout", "difference", "p_value"])


def count_verdicts(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows by verdict and arm."""
    counts = pd.crosstab(rows["verdict"], rows["is_holdout"]).reindex(columns=[False, True], fill_value=0)
    return pd.DataFrame(
        {
            "verdict": counts.index.astype("str"),
            "treated": counts[False].to_numpy(),
            "holdout": counts[True].to_numpy(),
        }
    )


def count_contacts(rows: pd.DataFrame, contacts: pd.DataFrame, as_of: dt.date) -> dict[str, int]:
    """Rows of each arm with a contact after the run and up to the due date.

    Parameters
    ----------
    rows : DataFrame
        customer_id, as_of_date, due, is_holdout.
    contacts : DataFrame
        customer_id, contacted_on; one whose ``arm`` is holdout never was made, and one whose ``known_on`` is
        later is not known.
    as_of : datetime.date
        Later ones are not known.
    """
    made = contacts
    if "arm" in made:
        made = made[~made["arm"].eq("holdout").fillna(False).astype(bool)]
    if "known_on" in made:
        made = made[~pd.to_datetime(made["known_on"]).gt(pd.Timestamp(as_of))]
    made = pd.DataFrame(
        {
            "customer_id": made["customer_id"].astype("str"),
            "contacted_on": pd.to_datetime(made["contacted_on"]).astype("datetime64[s]"),
        }
    )
    made = made[made["contacted_on"] <= pd.Timestamp(as_of)]
    found = rows.reset_index()[["index", "customer_id", "as_of_date", "due", "is_holdout"]].merge(
        made, on="customer_id"
    )
    found = found[found["contacted_on"].gt(found["as_of_date"]) & found["contacted_on"].le(found["due"])]
    reached = found.drop_duplicates("index")["is_holdout"]
    return {arm: int((reached == held).sum()) for arm, held in _ARMS}
