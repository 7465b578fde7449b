"""``build_features``: what it refuses, what it leaves out, and how the frame comes back."""

import datetime as dt
from dataclasses import replace

import pandas as pd
import pytest

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import ConfigError, FeatureMismatchError, NothingToScoreError
from overdue_ml.features import (
    ALL,
    DerivedFeature,
    Feature,
    Measure,
    Registry,
    SqlFeature,
    available_features,
    build_features,
    default_registry,
)
from overdue_ml.records import compute_next_due, load_records, simulate
from overdue_ml.records.contracts import CONTRACTS

JUN = "2024-06-30"


def without(five, table, *columns):
    frames = five.frames | {table: five.frames[table].drop(columns=list(columns))}
    return load_records(frames)


@pytest.mark.parametrize(
    ("feature", "table", "column"),
    [
        ("repay_dpd_latest", "statements", "dpd"),
        ("repay_status_score_latest", "statements", "payment_behaviour"),
        ("stmt_utilisation_latest", "statements", "balance_amount"),
        ("account_open_count", "accounts", "closed_on"),
    ],
)
def test_a_missing_column_is_named(five, feature, table, column):
    records = without(five, table, column)
    assert feature not in available_features(records)
    with pytest.raises(FeatureMismatchError, match=f"first '{feature}'.*missing {table}.{column}") as raised:
        build_features(records, JUN, [feature])
    assert raised.value.exit_code == 4


def test_a_missing_limit_is_named_only_if_no_table_has_one(five):
    records = without(five, "statements", "credit_limit_amount")
    assert "stmt_utilisation_latest" in available_features(records)
    frames = {name: f.drop(columns="credit_limit_amount", errors="ignore") for name, f in five.frames.items()}
    records = load_records(frames)
    assert "stmt_utilisation_latest" not in available_features(records)
    with pytest.raises(FeatureMismatchError, match=r"missing accounts\.credit_limit_amount"):
        build_features(records, JUN, ["stmt_utilisation_latest"])


def test_a_derived_feature_misses_what_its_parts_miss(five):
    measure = Measure("dpd", "statements", "days", "dpd", ((1.0, "dpd", 0),))
    parts = [Feature("own", measure, s, ALL, "OWN") for s in ("max", "mean")]
    derived = DerivedFeature("own_ratio", "ratio", parts[1].name, parts[0].name, "OWN", "ratio", "Ratio.")
    registry, records = Registry([*parts, derived]), without(five, "statements", "dpd")
    assert available_features(records, registry) == []
    with pytest.raises(FeatureMismatchError, match=r"missing statements\.dpd"):
        build_features(records, JUN, ["own_ratio"], registry=registry)


def test_a_missing_attribute_is_named(five):
    with pytest.raises(FeatureMismatchError, match=r"missing customers\.region"):
        build_features(five.records, JUN, registry=default_registry(["region"]), features=["attr_region"])


def test_a_column_that_the_view_does_not_have_is_named(five):
    odd = Feature(
        "own", Measure("odd", "statements", "score", "odd", ((1.0, "mood", 0),)), "last", ALL, "OWN"
    )
    with pytest.raises(FeatureMismatchError, match=r"missing statements\.mood"):
        build_features(five.records, JUN, ["own_odd_latest"], registry=Registry([odd]))


def test_a_column_without_any_value_is_left_out_by_default(taiwan):
    # All opening dates of Taiwan are unknown: asked for, the feature is null; by default it is not there.
    assert "account_oldest_age_days" not in available_features(taiwan)
    frame = build_features(taiwan, "2005-09-30", ["account_oldest_age_days"])
    assert frame["account_oldest_age_days"].isna().all()


def test_nothing_is_known_before_the_first_record(five):
    with pytest.raises(NothingToScoreError, match="nothing is known of any customer on 2020-02-28") as raised:
        build_features(five.records, "2020-02-28")
    assert raised.value.exit_code == 5
    assert "on or after the first record" in str(raised.value)


def test_unknown_names_and_dates_are_refused(five):
    with pytest.raises(ConfigError, match="there is no feature 'repay_nothing'"):
        build_features(five.records, JUN, ["repay_nothing"])
    with pytest.raises(ConfigError, match="'2023-02-29' is not a date"):
        build_features(five.records, "2023-02-29")
    with pytest.raises(ConfigError, match="no as_of date was given"):
        build_features(five.records, [])


def test_the_frame_has_the_columns_asked_for_in_that_order(five):
    names = ["stmt_utilisation_latest", "attr_education", "repay_dpd_latest"]
    frame = build_features(five.records, [JUN, dt.date(2024, 5, 31), JUN], names)
    assert list(frame) == names
    assert frame.index.names == ["customer_id", "as_of_date"]
    # Four customers in May, five in June; a date that is given twice counts once.
    assert len(frame) == 9
    assert frame.index.is_monotonic_increasing
    assert frame.index.get_level_values("as_of_date").dtype == "datetime64[s]"


def test_a_date_is_the_same_as_text_or_with_a_clock_time(five):
    frames = [
        build_features(five.records, d) for d in (JUN, dt.date(2024, 6, 30), dt.datetime(2024, 6, 30, 23, 59))
    ]
    assert frames[0].equals(frames[1])
    assert frames[0].equals(frames[2])


def test_a_whole_number_attribute_reads_the_same_beside_a_customer_without_one(five):
    """pandas would turn 7 into '7.0' as soon as another customer has none."""
    config = RecordsConfig(attributes=["branch"])
    customers = five.frames["customers"].assign(branch=pd.array([7, None, 8, 7, 7], dtype="Int64"))
    frame = build_features(load_records(five.frames | {"customers": customers}, config), JUN, ["attr_branch"])
    assert list(frame["attr_branch"].cat.categories) == ["7", "8"]
    assert frame["attr_branch"].isna().tolist() == [False, True, False, False, False]
    absent = customers[customers["customer_id"] != "BEN"]
    accounts = five.frames["accounts"]
    statements = five.frames["statements"]
    rest = {
        "customers": absent,
        "accounts": accounts[accounts["customer_id"] != "BEN"],
        "statements": statements[~statements["account_id"].isin(["B1", "B2"])],
    }
    alone = build_features(load_records(rest, config), JUN, ["attr_branch"])
    assert alone["attr_branch"].tolist() == ["7", "8", "7", "7"]


def test_sql_and_declared_features_may_stand_beside_each_other(five):
    count = SqlFeature("own_rows", "statements", "count(*)", "OWN", "count", "Rows.", frozenset())
    registry = default_registry()
    registry.register(count)
    frame = build_features(five.records, JUN, ["own_rows", "repay_dpd_latest"], registry=registry)
    assert frame["own_rows"].tolist() == [6, 7, 2, 2, 1]


def test_nothing_is_computed_with_columns_that_are_said_to_be_for_people():
    """Large books are read without them."""
    tables = simulate(60, seed=4)
    del tables["truth"]
    records = load_records(tables)
    told = {
        name: table.select([c for c in table.column_names if CONTRACTS[name].column(c).is_read])
        for name, table in records.tables.items()
        if {c.name for c in CONTRACTS[name].columns} >= set(table.column_names)
    }
    assert any(told[name].num_columns < records.tables[name].num_columns for name in told)
    without = replace(records, tables=dict(records.tables) | told)
    names = available_features(records)
    assert available_features(without) == names
    day = dt.date(2023, 10, 31)
    pd.testing.assert_frame_equal(build_features(without, day, names), build_features(records, day, names))
    pd.testing.assert_frame_equal(compute_next_due(without, day), compute_next_due(records, day))
