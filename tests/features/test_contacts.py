"""No risk feature reads ``contacts``: who was reminded, held out or reached tells the model nothing.

A held-out customer would otherwise look riskier or safer for the lot that was drawn.
"""

import datetime as dt

import pandas as pd
import pytest

from overdue_ml.errors import ConfigError
from overdue_ml.features import (
    FunctionFeature,
    SqlFeature,
    available_features,
    build_features,
    default_registry,
)
from overdue_ml.records import load_records, simulate

REGISTRY = default_registry(["region"], ranks=True)
CARDS = default_registry(["education"], ranks=True)


def loans():
    """A synthetic lender without its contacts."""
    tables = simulate(60, seed=3, months=9)
    return {name: table.to_pandas() for name, table in tables.items() if name not in ("contacts", "truth")}


def contacts_of(customers, *, reached):
    """Two contacts each, before and after the middle of 2022 and 2024: every other customer held out."""
    rows = [
        {
            "customer_id": customer,
            "contacted_on": dt.date(year, month, 1 + i % 28),
            "channel": ["sms", "call"][i % 2],
            "purpose": "reminder",
            "arm": ["treated", "holdout"][i % 2],
            "outcome": reached if i % 2 == 0 else None,
        }
        for i, customer in enumerate(customers)
        for year in (2022, 2024)
        for month in (3, 8)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("kind", ["loans", "cards"])
def test_features_are_the_same_whatever_contacts_say(kind, five):
    frames, registry = (loans(), REGISTRY) if kind == "loans" else (dict(five.frames), CARDS)
    dates = ["2022-06-30", "2022-08-31"] if kind == "loans" else ["2024-05-31", "2024-06-30"]
    ids = frames["customers"]["customer_id"].tolist()
    plain = load_records(frames)
    names = available_features(plain, registry)
    assert len(names) > 30
    found = build_features(plain, dates, registry=registry)
    assert len(found)
    for planted in (contacts_of(ids, reached="reached"), contacts_of(ids[:9], reached="no_answer")):
        records = load_records(frames | {"contacts": planted})
        assert available_features(records, registry) == names
        pd.testing.assert_frame_equal(build_features(records, dates, registry=registry), found)


def test_a_feature_that_read_them_would_be_seen():
    """Only a function of a user's own can: what it reads is for its author to answer."""

    def held_out(records, rows):
        if "contacts" not in records:
            return [0.0] * len(rows)
        contacts = records.frame("contacts")
        return (
            rows["customer_id"].isin(contacts.loc[contacts["arm"] == "holdout", "customer_id"]).astype(float)
        )

    registry = default_registry(["region"])
    registry.register(
        FunctionFeature(
            name="contact_holdout_share_latest", function=held_out, reason="CONTACT", unit="ratio",
            meaning="Held out.",
        )
    )  # fmt: skip
    frames = loans()
    ids = frames["customers"]["customer_id"].tolist()
    records = load_records(frames | {"contacts": contacts_of(ids, reached="reached")})
    plain, planted = (
        build_features(r, "2022-08-31", registry=registry) for r in (load_records(frames), records)
    )
    changed = [name for name in plain if not plain[name].equals(planted[name])]
    assert changed == ["contact_holdout_share_latest"]


def test_no_aggregate_can_be_declared_over_contacts():
    feature = SqlFeature(
        name="account_contacts_count_all", table="contacts", sql="count(*)", reason="ACCOUNT", unit="count",
        meaning="Contacts.", columns=frozenset(),
    )  # fmt: skip
    with pytest.raises(ConfigError, match="reads the table 'contacts'"):
        default_registry().register(feature)
