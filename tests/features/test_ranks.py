"""Places in the whole book: their values, and that no part of a book is ranked against itself."""

import numpy as np
import pandas as pd
import pytest

from overdue_ml.config import TrainConfig, build_config
from overdue_ml.errors import ConfigError, FeatureMismatchError
from overdue_ml.features import (
    AttributeFeature,
    DerivedFeature,
    FeatureBuilder,
    FunctionFeature,
    OwnFeatures,
    RankFeature,
    Registry,
    SqlFeature,
    audit_leakage,
    available_features,
    build_features,
    default_registry,
    feature_catalogue,
    ranks_of,
    read_features,
    registry_with,
)
from overdue_ml.features.chinese import meaning_in_chinese, missing_chinese
from overdue_ml.features.ranks import Book, rank_features
from overdue_ml.records.select import keep_customers

JUN = "2024-06-30"
DATES = ["2024-03-31", "2024-06-30", "2024-12-31"]
REGISTRY = default_registry(ranks=True)
RANKS = [feature.name for feature in REGISTRY if isinstance(feature, RankFeature)]

BALANCE = SqlFeature(
    "own_balance", "statements", "arg_max(e.balance_amount, e.statement_date)", "OWN", "amount",
    "The balance.", frozenset({"balance_amount", "statement_date"}),
)  # fmt: skip
OWN = Registry([BALANCE, RankFeature("own_balance", "OWN", "the balance")])


@pytest.fixture(scope="module")
def bulk(ledgers):
    return ledgers.bulk(60, 8, n_instalments=10)


@pytest.fixture(scope="module")
def frame(bulk):
    return build_features(bulk, DATES, registry=REGISTRY)


def present(frame):
    return [name for name in RANKS if name in frame]


def same_bits(left, right):
    return left.index.equals(right.index) and left.to_numpy().tobytes() == right.to_numpy().tobytes()


def test_places_by_hand():
    """Of 4 values, 7 has two below; the two 5s share the second and third place; null has none."""
    day = np.zeros(5, dtype=np.int64)
    values = np.array([5.0, 9.0, np.nan, 5.0, 2.0])
    book = Book([(day, {"x": values})])
    assert book.ranks("x", day, values).tolist()[:2] == [(1 + 2 / 2) / 4, (3 + 1 / 2) / 4]
    assert np.isnan(book.ranks("x", day, values)[2])
    assert book.ranks("x", day, values)[4] == (0 + 1 / 2) / 4
    # What nobody has: as many below as there are, and nobody beside.
    asked = np.array([7.0, 1.0, 99.0])
    assert book.ranks("x", day[:3], asked).tolist() == [3 / 4, 0.0, 1.0]


def test_a_place_is_among_those_of_the_same_day():
    day = np.array([1, 1, 2, 2, 2], dtype=np.int64)
    values = np.array([10.0, 20.0, 10.0, 5.0, 1.0])
    book = Book([(day[:3], {"x": values[:3]}), (day[3:], {"x": values[3:]})])
    assert book.ranks("x", day, values).tolist() == [1 / 4, 3 / 4, 5 / 6, 3 / 6, 1 / 6]


def test_the_five_by_hand(five):
    """Balances in June: Ann 900, Ben 500, Cat -50, Dan 1500, Eve 300. In May: Ann 700, Ben 100, Dan 1000.

    Cat's May statement is not known before July: then April's 100 counts, the same as Ben's.
    """
    found = build_features(five.records, ["2024-05-31", JUN], registry=OWN)["own_balance_rank"]
    may, june = (found.xs(pd.Timestamp(day), level="as_of_date") for day in ("2024-05-31", JUN))
    assert june[["CAT", "EVE", "BEN", "ANN", "DAN"]].tolist() == [0.1, 0.3, 0.5, 0.7, 0.9]
    assert may[["BEN", "CAT", "ANN", "DAN"]].tolist() == [2 / 8, 2 / 8, 5 / 8, 7 / 8]


def test_they_are_the_ranks_of_pandas(frame):
    assert len(present(frame)) >= 20
    for name in present(frame):
        source = frame[name.removesuffix("_rank")]
        by_date = source.groupby("as_of_date")
        expected = (by_date.rank(method="average") - 0.5) / by_date.transform("count")
        np.testing.assert_allclose(frame[name], expected, rtol=0, atol=1e-15)


def test_unit_range_and_dtype(frame):
    ranks = frame[present(frame)]
    assert set(ranks.dtypes.astype(str)) == {"float64"}
    assert ((ranks > 0) & (ranks < 1) | ranks.isna()).all(axis=None)
    # The middle of everybody is 0.5, on every date.
    means = ranks.groupby("as_of_date").mean()
    np.testing.assert_allclose(means.to_numpy(), 0.5, atol=1e-12)


def test_the_other_features_are_what_they_are_without_ranks(bulk, frame):
    rest = build_features(bulk, DATES, registry=default_registry())
    assert list(rest) == [name for name in frame if name not in RANKS]
    pd.testing.assert_frame_equal(rest, frame[list(rest)], check_exact=True)


@pytest.mark.parametrize("as_of", DATES)
def test_what_becomes_known_later_changes_no_rank(bulk, as_of):
    names = [name for name in available_features(bulk, REGISTRY) if name in RANKS]
    assert audit_leakage(bulk, as_of, names, registry=REGISTRY) == []


def test_the_audit_finds_a_rank_of_the_future(five):
    """Ann's and Ben's balances of the whole table, with no word on when they were known."""

    def ahead(records, keys):
        statements = records.frame("statements").merge(
            records.frame("accounts")[["account_id", "customer_id"]]
        )
        return keys["customer_id"].map(
            statements.groupby("customer_id")["balance_amount"].max().astype(float)
        )

    source = FunctionFeature("own_ahead", ahead, "OWN", "amount", "The highest balance there will be.")
    registry = Registry([source, RankFeature("own_ahead", "OWN", "that")])
    found = audit_leakage(five.records, "2024-04-30", ["own_ahead_rank"], registry=registry)
    assert [f.feature for f in found] == ["own_ahead_rank"]


def test_row_order_and_threads_change_nothing(bulk, frame):
    rng = np.random.default_rng(3)
    shuffled = {name: table.take(rng.permutation(table.num_rows)) for name, table in bulk.tables.items()}
    other = type(bulk)(shuffled, bulk.rejected, bulk.report, bulk.config)
    for threads in (1, 2):
        built = build_features(other, DATES[::-1], present(frame), registry=REGISTRY, n_threads=threads)
        assert same_bits(built, frame[present(frame)])


def test_they_depend_on_other_customers_and_nothing_else_does(bulk, frame):
    """The one exemption from 'other customers change nothing'."""
    ids = frame.index.get_level_values("customer_id").unique()[::2]
    half = build_features(keep_customers(bulk, ids), DATES, list(frame), registry=REGISTRY)
    mine = frame.loc[half.index]
    moved = {name for name in frame.select_dtypes("float64") if not same_bits(half[[name]], mine[[name]])}
    assert moved == set(present(frame))


@pytest.mark.parametrize("customers_per_part", [7, 60])
def test_a_folder_in_parts_ranks_the_whole_book(bulk, frame, tmp_path, customers_per_part):
    names = ["income_amount_sum_90d", "income_amount_sum_90d_rank", "due_debt_amount_all_rank"]
    build_features(
        bulk, DATES, names, registry=REGISTRY, to=tmp_path / "f", customers_per_part=customers_per_part
    )
    pd.testing.assert_frame_equal(
        read_features(tmp_path / "f", registry=REGISTRY), frame[names], check_exact=True
    )


def test_some_keys_are_ranked_in_the_whole_book(bulk, frame):
    keys = frame.sample(frac=0.2, random_state=4).index
    names = present(frame)
    found = FeatureBuilder(bulk, names, REGISTRY).fit(keys).transform(keys)
    assert same_bits(found, frame.loc[keys, names])
    one = FeatureBuilder(bulk, names[:3], REGISTRY).fit(keys[:1]).transform(keys[:1])
    assert same_bits(one, frame.loc[keys[:1], names[:3]])


def test_a_rank_of_a_derived_feature_and_a_feature_of_a_rank(five):
    registry = Registry(
        [
            *OWN,
            DerivedFeature("own_double", "total", "own_balance", "own_balance", "OWN", "amount", "Twice."),
            RankFeature("own_double", "OWN", "twice the balance"),
            DerivedFeature(
                "own_none", "difference", "own_double_rank", "own_balance_rank", "OWN", "ratio", "Nothing."
            ),
        ]
    )
    assert set(build_features(five.records, JUN, ["own_none"], registry=registry)["own_none"]) == {0.0}


def test_what_cannot_be_ranked_is_refused():
    with pytest.raises(ConfigError, match="'own_y_rank' ranks 'own_y', which is not declared before it"):
        Registry([RankFeature("own_y", "OWN", "that")])
    for source in (AttributeFeature("education").name, "own_balance_rank"):
        with pytest.raises(ConfigError, match=f"ranks '{source}', which is a category or a rank"):
            Registry([*OWN, AttributeFeature("education"), RankFeature(source, "OWN", "that")])


def test_a_rank_needs_what_its_source_needs(five):
    assert "income_amount_sum_90d_rank" not in available_features(five.records, REGISTRY)
    assert "stmt_balance_amount_latest_rank" in available_features(five.records, REGISTRY)
    with pytest.raises(FeatureMismatchError, match="missing incomes"):
        build_features(five.records, JUN, ["income_amount_sum_90d_rank"], registry=REGISTRY)


def test_the_hash_follows_what_is_ranked():
    other = SqlFeature(
        "own_balance", "statements", "max(e.balance_amount)", "OWN", "amount", "", BALANCE.columns
    )
    changed = Registry([other, RankFeature("own_balance", "OWN", "the balance")])
    names = ["own_balance_rank"]
    assert changed.feature_set_hash(names) != OWN.feature_set_hash(names)
    assert OWN.feature_set_hash(names) != OWN.feature_set_hash(["own_balance"])


def test_every_rank_says_what_its_source_says():
    for name in RANKS:
        rank = REGISTRY[name]
        source = REGISTRY[rank.source]
        assert name == f"{source.name}_rank"
        assert (rank.reason, rank.direction, rank.family) == (source.reason, source.direction, source.family)
    assert len(rank_features(default_registry())) == len(RANKS) == 22
    assert len({REGISTRY[name].meaning for name in RANKS}) == 22
    assert missing_chinese(REGISTRY) == []
    assert (
        meaning_in_chinese(REGISTRY["income_amount_sum_90d_rank"])
        == "在观察日全部客户中，按90天内收入排列的位次（0为最低，1为最高）。"
    )


def test_they_are_not_there_unless_asked_for():
    assert not any(isinstance(feature, RankFeature) for feature in default_registry())
    assert len(feature_catalogue(ranks=True)) == len(feature_catalogue()) + 22
    own = OwnFeatures((RankFeature("due_days_next", "NEXT_DUE", "the days to the next due date"),))
    assert "due_days_next_rank" in registry_with([], own)
    assert "due_amount_next_rank" not in registry_with([], own)
    assert "due_amount_next_rank" in registry_with([], own, ranks=True)


def test_what_travels_with_a_model_says_so():
    for ranks in (False, True):
        config = build_config(TrainConfig, {"features": {"ranks": ranks}}, where="test")
        assert ranks_of({"config": config.model_dump(mode="json")}) is ranks
    # A model of before there were any.
    assert ranks_of({"config": {"labels": {}}}) is ranks_of({}) is False
