"""Names, parts and the hash that travels with a model."""

from dataclasses import replace

import pytest

from overdue_ml.errors import ConfigError
from overdue_ml.features import (
    AttributeFeature,
    DerivedFeature,
    Feature,
    Measure,
    Registry,
    SqlFeature,
    days,
    default_registry,
    feature_catalogue,
    last,
)

MEASURE = Measure(
    "usage", "statements", "ratio", "the use", ((1.0, "balance_amount", 0),), over=("credit_limit_amount", 0),
    clip=(0.0, 2.0), where=(">", 0.9),
)  # fmt: skip
BASE = Feature("own", MEASURE, "mean", last(6), "OWN")
OTHER = Feature("own", MEASURE, "max", last(6), "OWN")
DERIVED = DerivedFeature(
    "own_mean_over_max", "ratio", "own_usage_mean_last6", "own_usage_max_last6", "OWN", "ratio", "Both.",
    clip=(0.0, 10.0),
)  # fmt: skip
SQL = SqlFeature("own_count", "accounts", "count(*)", "OWN", "count", "Accounts.", frozenset({"opened_on"}))
ATTRIBUTE = AttributeFeature("education")
ALL_KINDS = [BASE, OTHER, DERIVED, SQL, ATTRIBUTE]


def hash_of(features):
    registry = Registry(features)
    return registry.feature_set_hash([f.name for f in registry])


@pytest.mark.parametrize("feature", ALL_KINDS, ids=lambda f: f.name)
def test_a_name_is_taken_once(feature):
    registry = Registry(ALL_KINDS)
    with pytest.raises(ConfigError, match=f"'{feature.name}' is declared twice"):
        registry.register(feature)
    assert len(registry) == len(ALL_KINDS)


@pytest.mark.parametrize("missing", ["left", "right"])
def test_the_parts_of_a_derived_feature_come_first(missing):
    odd = replace(DERIVED, **{missing: "own_absent_last6"})
    with pytest.raises(ConfigError, match="'own_mean_over_max' is derived from 'own_absent_last6'"):
        Registry([BASE, OTHER, odd])
    with pytest.raises(ConfigError, match="not declared before it"):
        Registry([DERIVED, BASE, OTHER])


@pytest.mark.parametrize(
    "name",
    [
        "",
        "dpd",
        "Own_dpd",
        "own dpd",
        "own_",
        "_own",
        "own__dpd",
        "own-dpd",
        "1own_dpd",
        "own_dpd\n",
        "own_é",
    ],
)
def test_a_bad_name_is_refused(name):
    with pytest.raises(ConfigError, match="is not a feature name; expected lower-case words"):
        Registry([replace(SQL, name=name)])


def test_an_unknown_name_says_where_to_look():
    with pytest.raises(
        ConfigError, match=r"there is no feature 'own_x'; see overdue_ml.feature_catalogue\(\)"
    ):
        Registry()["own_x"]


def test_a_registry_is_a_collection_in_order_of_declaration():
    registry = Registry(ALL_KINDS)
    assert list(registry) == ALL_KINDS
    assert registry["own_usage_mean_last6"] is BASE
    assert "own_usage_mean_last6" in registry
    assert "own_nothing" not in registry


def test_the_closure_has_parts_first_and_each_once():
    registry = Registry(ALL_KINDS)
    assert registry.closure([DERIVED.name, OTHER.name]) == [BASE, OTHER, DERIVED]


CHANGES = {
    "coefficient": replace(BASE, measure=replace(MEASURE, terms=((2.0, "balance_amount", 0),))),
    "column": replace(BASE, measure=replace(MEASURE, terms=((1.0, "paid_amount", 0),))),
    "term lag": replace(BASE, measure=replace(MEASURE, terms=((1.0, "balance_amount", 1),))),
    "one more term": replace(BASE, measure=replace(MEASURE, terms=(*MEASURE.terms, (1.0, "dpd", 0)))),
    "divisor": replace(BASE, measure=replace(MEASURE, over=("balance_amount", 1))),
    "divisor lag": replace(BASE, measure=replace(MEASURE, over=("credit_limit_amount", 1))),
    "no divisor": replace(BASE, measure=replace(MEASURE, over=None)),
    "clip": replace(BASE, measure=replace(MEASURE, clip=(0.0, 3.0))),
    "no clip": replace(BASE, measure=replace(MEASURE, clip=None)),
    "operator": replace(BASE, measure=replace(MEASURE, where=(">=", 0.9))),
    "bound": replace(BASE, measure=replace(MEASURE, where=(">", 0.8))),
    "no comparison": replace(BASE, measure=replace(MEASURE, where=None)),
    "rollup": replace(BASE, rollup="min"),
    # A safer measure takes the account with the lowest value.
    "direction turns the rollup": replace(BASE, measure=replace(MEASURE, direction=-1)),
}


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
def test_the_hash_changes_with_a_definition(changed):
    assert changed.name == BASE.name
    assert hash_of([changed]) != hash_of([BASE])
    # And through a derived feature that reads it.
    before, after = Registry([BASE, OTHER, DERIVED]), Registry([changed, OTHER, DERIVED])
    assert before.feature_set_hash([DERIVED.name]) != after.feature_set_hash([DERIVED.name])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (BASE, replace(BASE, statistic="max")),
        (BASE, replace(BASE, window=last(5))),
        (BASE, replace(BASE, window=days(6))),
        (replace(BASE, statistic="lag", lag=1), replace(BASE, statistic="lag", lag=2)),
        (SQL, replace(SQL, sql="count(opened_on)")),
        (SQL, replace(SQL, table="statements")),
        (ATTRIBUTE, AttributeFeature("branch")),
    ],
)
def test_the_hash_changes_with_any_part(before, after):
    assert hash_of([before]) != hash_of([after])


@pytest.mark.parametrize("change", [{"operator": "difference"}, {"clip": None}, {"clip": (0.0, 9.0)}])
def test_the_hash_changes_with_a_derivation(change):
    assert hash_of([BASE, OTHER, replace(DERIVED, **change)]) != hash_of([BASE, OTHER, DERIVED])


def test_the_hash_changes_with_order_and_choice():
    registry = Registry(ALL_KINDS)
    names = [f.name for f in ALL_KINDS]
    hashes = [registry.feature_set_hash(n) for n in (names, names[::-1], names[:-1])]
    assert len(set(hashes)) == 3
    assert registry.feature_set_hash(names) == Registry(ALL_KINDS).feature_set_hash(names)


def test_the_hash_does_not_change_with_words():
    said_otherwise = [
        replace(BASE, measure=replace(MEASURE, meaning="another", when_null="x", source="y"), reason="OTHER"),
        replace(OTHER, measure=replace(MEASURE, meaning="another")),
        replace(DERIVED, meaning="Another.", when_null="x", reason="OTHER"),
        # Nor with the layout of SQL.
        replace(SQL, meaning="Another.", sql="\n  count(*)\n"),
        ATTRIBUTE,
    ]
    assert hash_of(said_otherwise) == hash_of(ALL_KINDS)
    # Nor with features beside those that are used.
    assert Registry([OTHER, BASE]).feature_set_hash([BASE.name]) == Registry([BASE]).feature_set_hash(
        [BASE.name]
    )


def test_directions_follow_from_measure_and_statistic():
    worse = replace(MEASURE, direction=1)
    directions = {
        s: Feature("own", worse, s, last(6), "OWN").direction
        for s in ("last", "lag", "count", "sum", "mean", "max", "min", "std", "wmean", "share", "streak",
                  "since", "first")
    }  # fmt: skip
    up = {s for s, d in directions.items() if d == 1}
    assert up == {"last", "lag", "sum", "mean", "max", "min", "wmean", "share", "streak"}
    # The longer ago, the better.
    assert directions["since"] == -1
    assert replace(BASE, monotone=-1).direction == -1


def test_the_catalogue():
    catalogue = feature_catalogue()
    assert list(catalogue) == ["name", "family", "unit", "direction", "reason_code", "meaning", "when_null"]
    row = catalogue.set_index("name").loc["repay_dpd_max_last6"]
    assert (row["family"], row["unit"], row["direction"]) == ("repay", "days", 1)
    assert row["meaning"] == "The highest value of days past due over the latest 6 statements."
    assert "attr_education" in set(default_registry(["education"]).catalogue()["name"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"view": "letters"}, "the view 'letters', which does not exist"),
        ({"terms": ((1.0, "dpd", 0),) * 4}, "has 4 terms"),
    ],
)
def test_a_measure_that_the_pass_cannot_compute_is_refused(change, message):
    measure = replace(Measure("m", "statements", "days", "m", ((1.0, "dpd", 0),)), **change)
    with pytest.raises(ConfigError, match=message):
        Registry([Feature("repay", measure, "max", last(3), "LATE_DEPTH")])


def test_an_aggregate_reads_a_table_it_can():
    feature = SqlFeature(
        "own_payment_count", "payments", "count(*)", "OWN", "count", "Payments.", frozenset({"amount"})
    )
    with pytest.raises(ConfigError, match=r"'own_payment_count' reads the table 'payments', of which"):
        Registry([feature])
