"""Scores and inputs made by hand."""

import datetime as dt

import pandas as pd
from hypothesis import strategies as st

from overdue_ml.config import (
    ChannelRule,
    ContactCap,
    ContactsConfig,
    ExclusionRule,
    HoldoutConfig,
    HoursConfig,
    RemindersConfig,
)
from overdue_ml.reminders import ReminderInputs

#: A Wednesday.
AS_OF = pd.Timestamp("2024-01-31")


def day(text):
    """A day of 2024, as '02-01'."""
    return dt.date.fromisoformat(f"2024-{text}")


def scores(**columns):
    """A scores table: 'due_in' days (None: nothing due), the rest as in scores.parquet."""
    n = len(next(iter(columns.values())))
    base = {
        "customer_id": [f"c{i}" for i in range(n)],
        "due_in": [5] * n,
        "due_amount": [100.0] * n,
        "p_overdue": [0.5] * n,
        "tier": ["high"] * n,
    } | columns
    table = pd.DataFrame(base)
    due_in = pd.to_timedelta(pd.Series(table.pop("due_in"), dtype="float64"), unit="D")
    amount = table["due_amount"].fillna(0.0)
    return table.assign(
        as_of_date=AS_OF,
        next_due_date=AS_OF + due_in,
        exposure_amount=10 * amount,
        expected_overdue_amount=columns.get("expected_overdue_amount", table["p_overdue"] * amount),
        log_odds=columns.get("log_odds", table["p_overdue"] * 4 - 2),
        **{f"reason_{i}_code": f"R{i}" for i in range(1, 5)},
    )


def inputs(people=(), contacts=(), **facts):
    """Inputs: people as dicts with 'customer_id', contacts as (customer, day, n)."""
    columns = ["customer_id", "exclusion", "paid_due_date", "covered_due_date", "timezone", "channel"]
    kinds = {c: "datetime64[s]" if c.endswith("_date") else "str" for c in columns}
    named = ["customer_id", "contacted_on", "n"]
    return ReminderInputs(
        **{
            "as_of": AS_OF.date(),
            "people": pd.DataFrame(list(people), columns=columns).astype(kinds),
            "contacts": pd.DataFrame(list(contacts), columns=named).astype(
                {"customer_id": "str", "contacted_on": "datetime64[s]", "n": "int64"}
            ),
        }
        | facts
    )


def rules(found):
    """The rule of each suppressed customer."""
    return dict(zip(found.suppressed["customer_id"], found.suppressed["rule"], strict=True))


def listed(found):
    """Customers on the list, best first."""
    return found.reminders["customer_id"].tolist()


_tiers = st.sampled_from(["high", "medium", "low"])

#: One customer: scores and, under 'known' and 'contacts', what the inputs say.
customers = st.fixed_dictionaries(
    {
        "due_in": st.one_of(st.none(), st.integers(1, 20)),
        "due_amount": st.one_of(st.just(float("nan")), st.sampled_from([0.0, 50.0, 1000.0])),
        "p_overdue": st.sampled_from([0.0, 0.1, 0.5, 1.0, float("nan")]),
        "tier": _tiers,
        "known": st.fixed_dictionaries(
            {
                "exclusion": st.sampled_from([None, None, None, "opted_out"]),
                "paid_due_date": st.sampled_from([None, None, "2024-02-02", "2024-02-20"]),
                "covered_due_date": st.sampled_from([None, None, "2024-02-02", "2024-02-05"]),
                "timezone": st.sampled_from([None, "Asia/Shanghai", "America/Sao_Paulo", "Mars/Olympus"]),
                "channel": st.sampled_from([None, "sms", "Email", "call", "pigeon"]),
            }
        ),
        "contacts": st.dictionaries(st.integers(0, 9), st.integers(1, 4), max_size=4),
    }
)
_some = st.one_of(st.none(), st.integers(0, 4))
_channels = st.builds(
    lambda names, tiers, limits: [
        ChannelRule(channel=c, tiers=t, daily_capacity=k)
        for c, t, k in zip(names, tiers, limits, strict=False)
    ],
    st.permutations(["sms", "email", "call"]),
    st.lists(st.lists(_tiers, min_size=1, max_size=3), max_size=3),
    st.lists(_some, min_size=3, max_size=3),
)
policies = st.builds(
    RemindersConfig,
    # The first day of contact, at most 3, is within reach.
    lead_days=st.one_of(
        st.integers(3, 20),
        st.lists(st.integers(0, 14), min_size=1, max_size=3).filter(lambda days: max(days) >= 3),
    ),
    every_days=st.integers(1, 7),
    min_probability=st.sampled_from([0.0, 0.1, 0.6]),
    min_amount=st.sampled_from([0.0, 60.0]),
    tiers=st.lists(_tiers, min_size=1, max_size=3),
    capacity=_some,
    daily_capacity=_some,
    rank_by=st.sampled_from(["expected_overdue_amount", "p_overdue", "log_odds", "expected_benefit"]),
    benefits=st.just({"high": 0.1, "medium": 0.2, "low": 0.05}),
    exclusions=st.just([ExclusionRule(rule="opted_out", column="opt_out")]),
    contacts=st.builds(
        ContactsConfig,
        caps=st.lists(st.builds(ContactCap, days=st.integers(1, 9), contacts=st.integers(0, 9)), max_size=2),
        cooldown_days=st.integers(0, 5),
    ),
    hours=st.builds(
        HoursConfig,
        first_day=st.integers(0, 3),
        weekdays=st.lists(st.integers(1, 7), min_size=1, max_size=7),
        holidays=st.lists(st.sampled_from(["2024-02-01", "2024-02-02"]), max_size=2),
    ),
    channels=_channels,
    holdout=st.builds(
        HoldoutConfig, share=st.sampled_from([0.0, 0.3, 0.9]), campaign=st.sampled_from(["spring", "autumn"])
    ),
)


def tables_of(rows):
    """Scores and inputs of drawn customers c0, c1, ..."""
    ids = [f"c{i}" for i in range(len(rows))]
    plain = [key for key in rows[0] if key not in ("known", "contacts")]
    table = scores(customer_id=ids, **{key: [row[key] for row in rows] for key in plain})
    contacts = [
        (i, (AS_OF - pd.Timedelta(days=ago)).date().isoformat(), n)
        for i, row in zip(ids, rows, strict=True)
        for ago, n in row["contacts"].items()
    ]
    people = [{"customer_id": i} | row["known"] for i, row in zip(ids, rows, strict=True)]
    return table, inputs(people, contacts)
