"""Features in Python: what they may return, what they are hashed by, and how they fail."""

import numpy as np
import pandas as pd
import pytest

from overdue_ml.errors import ConfigError, FeatureMismatchError
from overdue_ml.features import (
    DerivedFeature,
    FunctionFeature,
    Registry,
    available_features,
    build_features,
)

DATE = "2024-06-30"


def feature(function, name="own_x", **options):
    return FunctionFeature(name, function, "OWN", "count", "Ours.", **options)


def length(records, keys):
    """A module's function: its source can be read."""
    return keys["customer_id"].str.len()


def other_length(records, keys):
    return keys["customer_id"].str.len() + 0


def build(five, function, **options):
    return build_features(five.records, DATE, registry=Registry([feature(function, **options)]))["own_x"]


def test_it_is_asked_for_the_rows_of_the_frame(five):
    def month(records, keys):
        assert list(keys.columns) == ["customer_id", "as_of_date"]
        assert str(keys["as_of_date"].dtype).startswith("datetime64")
        return (10 * keys["as_of_date"].dt.month + keys["customer_id"].str.len()).tolist()

    frame = build_features(five.records, ["2024-05-31", DATE], registry=Registry([feature(month)]))
    assert frame["own_x"].dtype == np.float64
    assert frame.loc[("ANN", "2024-05-31"), "own_x"] == 53
    assert frame.loc[("EVE", DATE), "own_x"] == 63
    assert frame["own_x"].notna().all()


def test_other_features_may_be_derived_from_it(five):
    def counts(records, keys):
        return np.arange(len(keys)) * 1.0

    registry = Registry(
        [
            feature(counts),
            DerivedFeature("own_twice", "product", "own_x", "own_x", "OWN", "count", "Its square."),
        ]
    )
    assert list(build_features(five.records, DATE, ["own_twice"], registry=registry)["own_twice"]) == [
        0, 1, 4, 9, 16,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda records, keys: [1.0], r"values of the shape \(1,\) for 5 rows"),
        (lambda records, keys: 1.0, r"values of the shape \(\)"),
        (lambda records, keys: keys["customer_id"], "something that is no number"),
        (lambda records, keys: pd.Series(1.0, index=keys["customer_id"]), "a Series under another index"),
        (lambda records, keys: pd.Series(1.0, index=keys.index[::-1]), "a Series under another index"),
    ],
)
def test_it_must_return_a_number_for_each_row(five, function, message):
    with pytest.raises(FeatureMismatchError, match=message):
        build(five, function)


def test_a_failure_is_told_by_its_kind_and_quotes_nobody(five):
    def fails(records, keys):
        raise ValueError(f"no income for {keys['customer_id'][0]}")

    with pytest.raises(FeatureMismatchError, match="'own_x' failed with ValueError") as error:
        build(five, fails)
    assert "ANN" not in str(error.value)
    assert isinstance(error.value.__cause__, ValueError)


def test_rows_that_it_adds_to_its_keys_are_not_asked_for(five):
    def adds(records, keys):
        keys.loc[len(keys)] = ["ZED", keys["as_of_date"].iloc[0]]
        return keys["customer_id"].str.len().to_numpy()

    with pytest.raises(FeatureMismatchError, match=r"values of the shape \(6,\) for 5 rows"):
        build(five, adds)


def test_it_is_left_out_where_its_needs_are_missing(five):
    there = feature(length, "own_a", needs=frozenset({"statements", "accounts.closed_on"}))
    lacking = feature(length, "own_b", needs=frozenset({"statements.dpd", "payments", "accounts.branch"}))
    registry = Registry([there, lacking])
    assert available_features(five.records, registry) == ["own_a"]
    with pytest.raises(FeatureMismatchError, match=r"missing accounts\.branch, payments\b"):
        build_features(five.records, DATE, ["own_b"], registry=registry)


def test_the_hash_follows_the_source_or_the_version():
    def hash_of(*features):
        return Registry(features).feature_set_hash(["own_x"])

    assert hash_of(feature(length)) == hash_of(feature(length))
    assert hash_of(feature(length)) != hash_of(feature(other_length))
    assert hash_of(feature(length, version="1")) == hash_of(feature(other_length, version="1"))
    assert hash_of(feature(length, version="1")) != hash_of(feature(length, version="2"))


def test_without_a_source_a_version_is_asked_for():
    unreadable = eval("lambda records, keys: keys.index")
    with pytest.raises(ConfigError, match="the source of the function of 'own_x' cannot be read"):
        feature(unreadable).definition()
    assert feature(unreadable, version="7").definition() == {"function": "7"}


def test_it_stands_in_the_catalogue():
    row = Registry([feature(length, direction=1)]).catalogue().iloc[0]
    assert (row["family"], row["unit"], row["direction"], row["reason_code"]) == ("own", "count", 1, "OWN")
