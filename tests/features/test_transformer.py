"""``FeatureBuilder``: keys in, features out, in any order and inside scikit-learn."""

import copy
import datetime as dt

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline

from overdue_ml.errors import ConfigError, FeatureMismatchError, RecordsError
from overdue_ml.features import FeatureBuilder, FunctionFeature, Registry, available_features, build_features
from overdue_ml.labels import TimeSeriesPanelSplit
from overdue_ml.model import OverdueClassifier

DATES = ["2024-03-31", "2024-05-31", "2024-06-30"]
#: Unsorted, with other dates for each customer; one key stands here twice.
KEYS = pd.DataFrame(
    {
        "customer_id": ["EVE", "ANN", "BEN", "ANN", "CAT", "ANN", "DAN"],
        "as_of_date": pd.to_datetime(
            ["2024-06-30", "2024-06-30", "2024-03-31", "2024-03-31", "2024-06-30", "2024-06-30", "2024-05-31"]
        ),
    },
    index=[10, 3, 7, 7, 0, 1, 2],
)


@pytest.fixture
def whole(five):
    return build_features(five.records, DATES)


def expected(whole, keys, index):
    return whole.loc[pd.MultiIndex.from_frame(keys[["customer_id", "as_of_date"]])].set_axis(index)


def test_rows_come_in_the_order_of_the_keys(five, whole):
    found = FeatureBuilder(five.records).fit_transform(KEYS)
    pd.testing.assert_frame_equal(found, expected(whole, KEYS, KEYS.index), check_exact=True)


def test_keys_may_stand_in_the_index_or_be_one(five, whole):
    index = pd.MultiIndex.from_frame(KEYS)
    builder = FeatureBuilder(five.records).fit(KEYS)
    for keys in (index, pd.DataFrame({"other": 1}, index=index), index.to_frame()):
        found = builder.transform(keys)
        pd.testing.assert_frame_equal(found, expected(whole, KEYS, index), check_exact=True)


@pytest.mark.parametrize(
    "write",
    [
        lambda day: day.strftime("%Y-%m-%d"),
        lambda day: day.date(),
        lambda day: dt.datetime.combine(day.date(), dt.time(23, 59)),
    ],
    ids=["text", "date", "clock time"],
)
def test_dates_may_be_written_in_many_ways(five, write):
    builder = FeatureBuilder(five.records, ["repay_dpd_latest"]).fit(KEYS)
    written = KEYS.assign(as_of_date=pd.Series([write(d) for d in KEYS["as_of_date"]], index=KEYS.index))
    pd.testing.assert_frame_equal(builder.transform(written), builder.transform(KEYS))


def test_instalments_of_some_customers_on_some_of_the_dates(ledgers):
    """Dates that differ between customers go through the settlement and the pass alike."""
    records = ledgers.bulk(40, 5, n_instalments=6)
    whole = build_features(records, ["2024-03-31", "2024-06-30", "2024-12-31"])
    keys = whole.sample(frac=0.3, random_state=5).index
    found = FeatureBuilder(records).fit(keys).transform(keys)
    numbers = [name for name in whole if whole[name].dtype == np.float64]
    pd.testing.assert_frame_equal(found[numbers], whole.loc[keys, numbers], check_exact=True)
    assert found.filter(like="instal").notna().any(axis=None)
    for name in set(whole) - set(numbers):
        assert found[name].astype("str").tolist() == whole.loc[keys, name].astype("str").tolist()


def test_unknown_keys_are_named(five):
    builder = FeatureBuilder(five.records).fit(KEYS)
    # Eve is known from her first statement in June; Zoe never.
    keys = pd.DataFrame(
        {"customer_id": ["ZOE", "ANN", "EVE", "EVE"], "as_of_date": ["2024-06-30"] * 2 + ["2024-05-31"] * 2}
    )
    message = r"nothing is known of 2 key\(s\) on their date \[first EVE 2024-05-31, ZOE 2024-06-30\]"
    with pytest.raises(RecordsError, match=message):
        builder.transform(keys)


@pytest.mark.parametrize("n_known", [0, 1])
def test_unknown_keys_may_be_rows_of_nulls(five, n_known):
    names = ["attr_education", "repay_dpd_latest"]
    builder = FeatureBuilder(five.records, names, unknown="null").fit(KEYS)
    keys = pd.DataFrame(
        {"customer_id": ["ABE", "ANN", "EVE"], "as_of_date": ["2024-06-30", "2024-06-30", "2024-05-31"]},
        index=[5, 4, 3],
    ).drop(index=[] if n_known else [4])
    found = builder.transform(keys)
    assert found.index.tolist() == keys.index.tolist()
    assert found.dtypes.astype(str).tolist() == ["category", "float64"]
    assert found.drop(index=[4], errors="ignore").isna().all(axis=None)
    if n_known:
        assert found.loc[4].tolist() == ["university", 30.0]


def test_fit_fixes_the_features(five):
    builder = FeatureBuilder(five.records).fit(KEYS)
    names = available_features(five.records)
    assert builder.feature_names_ == names
    assert builder.get_feature_names_out().tolist() == names
    assert builder.feature_set_hash_ == builder.registry_.feature_set_hash(names)
    chosen = FeatureBuilder(five.records, ["repay_dpd_latest", "attr_education"]).fit(KEYS)
    assert list(chosen.transform(KEYS)) == ["repay_dpd_latest", "attr_education"]
    assert chosen.feature_set_hash_ != builder.feature_set_hash_


def test_a_function_is_given_everybody_and_each_key_once(five):
    asked = []

    def function(records, keys):
        asked.append(list(zip(keys["customer_id"], keys["as_of_date"].dt.strftime("%m"), strict=True)))
        return np.full(len(keys), records.tables["customers"].num_rows)

    registry = Registry([FunctionFeature("own_peers_count", function, "OWN", "count", "Peers.", version="1")])
    found = FeatureBuilder(five.records, registry=registry).fit(KEYS).transform(KEYS.iloc[[1, 3, 5]])
    assert asked == [[("ANN", "03"), ("ANN", "06")]]
    assert found["own_peers_count"].tolist() == [5.0, 5.0, 5.0]


def test_clones_share_the_records(five):
    builder = FeatureBuilder(five.records, n_threads=2).fit(KEYS)
    twin = clone(builder)
    assert twin.records is five.records
    assert twin.get_params() == builder.get_params()
    assert not hasattr(twin, "feature_names_")
    assert copy.deepcopy({"deep": [five.records]})["deep"][0] is five.records
    assert twin.set_params(unknown="null").unknown == "null"
    with pytest.raises(NotFittedError):
        twin.transform(KEYS)


def test_nothing_prints_customers(five):
    text = repr(FeatureBuilder(five.records))
    assert "Records(customers: 5 rows" in text
    assert "ANN" not in text + FeatureBuilder(five.records)._repr_html_()


def test_output_may_be_set(five):
    builder = FeatureBuilder(five.records, ["repay_dpd_latest"]).fit(KEYS)
    plain = builder.transform(KEYS)
    pd.testing.assert_frame_equal(builder.set_output(transform="pandas").transform(KEYS), plain)
    union = FeatureUnion([("a", clone(builder)), ("b", clone(builder))]).set_output(transform="pandas")
    found = union.fit_transform(KEYS.reset_index(drop=True))
    assert list(found) == ["a__repay_dpd_latest", "b__repay_dpd_latest"]
    np.testing.assert_array_equal(found["b__repay_dpd_latest"], plain["repay_dpd_latest"])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([["ANN", "2024-06-30"]], "the keys are a list"),
        (KEYS.drop(columns="as_of_date"), "the keys are without 'as_of_date'"),
        (KEYS.assign(customer_id=7), "customer_id of the keys is no text"),
        (KEYS.assign(as_of_date=pd.NaT), "7 keys have no as_of_date"),
        (KEYS.assign(customer_id=KEYS["customer_id"].where(KEYS.index > 0)), "1 keys have no customer_id"),
        (KEYS.assign(as_of_date="June"), "'June' is not a date"),
    ],
)
def test_other_keys_are_refused(five, keys, message):
    with pytest.raises(ConfigError, match=message):
        FeatureBuilder(five.records).fit(keys).transform(keys)


def test_settings_that_cannot_be_used_are_refused(five):
    with pytest.raises(ConfigError, match="has no records"):
        FeatureBuilder().fit(KEYS)
    with pytest.raises(ConfigError, match="unknown is 'skip'"):
        FeatureBuilder(five.records, unknown="skip").fit(KEYS)
    with pytest.raises(ConfigError, match="no feature 'own_x'"):
        FeatureBuilder(five.records, ["own_x"]).fit(KEYS)
    with pytest.raises(FeatureMismatchError, match="missing"):
        FeatureBuilder(five.records, ["repay_instalment_dpd_latest"], registry=_inst()).fit(KEYS)


def _inst():
    """One feature of instalments, which the five do not have."""
    from overdue_ml.features import Feature, Measure, last

    measure = Measure("instalment_dpd", "instalments", "days", "dpd", ((1.0, "dpd", 0),))
    return Registry([Feature("repay", measure, "last", last(1), "OWN")])


def test_no_keys_give_no_rows(five):
    builder = FeatureBuilder(five.records, ["repay_dpd_latest"]).fit(KEYS)
    assert builder.transform(KEYS.iloc[:0]).shape == (0, 1)


def test_a_pipeline_is_cross_validated_over_time(ledgers):
    """The score of every fold is what features built by hand give."""
    records = ledgers.bulk(120, 10)
    dates = ["2024-01-31", "2024-03-31", "2024-05-31", "2024-07-31"]
    whole = build_features(records, dates)
    index = whole.sample(frac=1.0, random_state=1).index
    late = whole["repay_dpd_max_last6"].loc[index].fillna(0.0)
    target = (late + np.random.default_rng(0).normal(0, 20, len(late)) > late.median()).to_numpy().astype(int)
    split = TimeSeriesPanelSplit(2, gap_days=31)
    model = OverdueClassifier(n_estimators=10, cv=2, min_child_samples=10)
    pipeline = Pipeline([("features", FeatureBuilder(records)), ("model", model)])
    for keys in (index.to_frame(index=False), pd.DataFrame(index=index)):
        found = cross_val_score(pipeline, keys, target, cv=split, groups=index, scoring="roc_auc")
        by_hand = cross_val_score(model, whole.loc[index], target, cv=split, groups=index, scoring="roc_auc")
        np.testing.assert_array_equal(found, by_hand)
        assert found.min() > 0.6
