"""What every feature obeys; each feature of the default registry is enrolled by being registered."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.features import (
    AttributeFeature,
    Feature,
    SqlFeature,
    audit_leakage,
    available_features,
    build_features,
    default_registry,
)

REGISTRY = default_registry(["education"])
#: Ranks are named and explained as all others; what else they obey stands in ``test_ranks.py``.
EVERY = [pytest.param(feature, id=feature.name) for feature in default_registry(["education"], ranks=True)]

#: Groups of features that have the same values and say why; none does.
SAME_BY_DECLARATION: set[frozenset[str]] = set()


def differing(left, right):
    """Names of columns that differ in any bit; both frames have the same rows."""
    assert left.index.equals(right.index)
    names = []
    for name in left:
        a, b = left[name], right[name]
        if isinstance(a.dtype, pd.CategoricalDtype):
            # The set of categories follows the rows that are there; the values may not.
            same = a.astype("str").equals(b.astype("str"))
        else:
            same = a.to_numpy().tobytes() == b.to_numpy().tobytes()
        if not same:
            names.append(name)
    return names


def drawn(data, ledgers, oracle, max_dates=2):
    """Records and dates on which something is known; None if the draw has none."""
    records, dates = data.draw(ledgers.ledger(loans=True)), data.draw(ledgers.as_of_dates(max_dates))
    return (records, dates) if oracle.Ledger(records).keys(dates) else (None, None)


@pytest.fixture(scope="module")
def bulk(ledgers):
    return ledgers.bulk(n_instalments=20)


@pytest.fixture(scope="module")
def bulk_frame(ledgers, bulk):
    return build_features(bulk, [ledgers.day(120), ledgers.day(300), ledgers.day(430)])


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_becomes_known_later_changes_nothing(oracle, ledgers, data):
    records, dates = drawn(data, ledgers, oracle, 1)
    if records:
        assert audit_leakage(records, dates[0]) == []


@pytest.mark.parametrize("as_of", ["2005-07-31", "2005-09-30"])
def test_nothing_leaks_on_taiwan(taiwan, as_of):
    assert len(available_features(taiwan)) > 50
    assert audit_leakage(taiwan, as_of) == []


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_the_order_of_rows_changes_nothing(oracle, ledgers, data):
    records, dates = drawn(data, ledgers, oracle)
    if records is None:
        return
    shuffled = {}
    for name, table in records.tables.items():
        order = data.draw(st.permutations(range(table.num_rows)))
        shuffled[name] = table.take(order) if order else table
    other = type(records)(shuffled, records.rejected, records.report, records.config)
    assert differing(build_features(records, dates), build_features(other, dates)) == []


def test_the_order_of_rows_changes_nothing_in_bulk(ledgers, bulk, bulk_frame):
    rng = np.random.default_rng(5)
    shuffled = {name: table.take(rng.permutation(table.num_rows)) for name, table in bulk.tables.items()}
    other = type(bulk)(shuffled, bulk.rejected, bulk.report, bulk.config)
    dates = [ledgers.day(430), ledgers.day(120), ledgers.day(300)]
    assert differing(bulk_frame, build_features(other, dates)) == []


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_other_customers_change_nothing(oracle, ledgers, data):
    records, dates = drawn(data, ledgers, oracle)
    if records is None:
        return
    names = available_features(records)
    whole = build_features(records, dates, names)
    one = data.draw(st.sampled_from(sorted(set(whole.index.get_level_values("customer_id")))))
    rows = ledgers.of_customers(ledgers.rows_of(records), {one})
    alone = build_features(ledgers.make_records(rows), dates, names)
    assert differing(whole.loc[[one]], alone) == []


def test_half_the_customers_change_nothing_in_bulk(ledgers, bulk, bulk_frame):
    rows = ledgers.rows_of(bulk)
    kept = {row["customer_id"] for row in rows["customers"][::2]}
    rows = ledgers.of_customers(rows, kept)
    dates = [ledgers.day(120), ledgers.day(300), ledgers.day(430)]
    half = build_features(ledgers.make_records(rows), dates, list(bulk_frame))
    mine = bulk_frame[bulk_frame.index.get_level_values("customer_id").isin(kept)]
    assert differing(mine, half) == []


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_many_dates_at_once_equal_one_at_a_time(oracle, ledgers, data):
    records, dates = drawn(data, ledgers, oracle, 4)
    if records is None:
        return
    together = build_features(records, dates)
    found = together.index.get_level_values("as_of_date")
    for as_of in sorted(set(found)):
        assert differing(together[found == as_of], build_features(records, as_of)) == []


def test_one_and_two_threads_agree_in_every_bit(taiwan, ledgers, bulk):
    for records, dates in ((taiwan, "2005-09-30"), (bulk, [ledgers.day(300), ledgers.day(430)])):
        one, two = (build_features(records, dates, n_threads=n) for n in (1, 2))
        assert differing(one, two) == []


@pytest.mark.parametrize("feature", EVERY)
def test_it_is_named_and_explained(feature):
    assert re.fullmatch(r"(repay|income|borrow|account|stmt|due|attr)(_[a-z0-9]+)+", feature.name)
    assert feature.name.split("_")[0] == feature.family
    # A sentence.
    assert re.fullmatch(r"[A-Z].*[a-z0-9)]\.", feature.meaning)
    assert feature.when_null.strip()
    assert re.fullmatch(r"[A-Z]+(_[A-Z0-9]+)*", feature.reason)
    assert feature.direction in (-1, 0, 1)
    assert feature.unit in ("days", "amount", "ratio", "count", "score", "category")


@pytest.mark.parametrize("feature", EVERY)
def test_its_name_gives_its_unit(feature):
    """``_days``, ``_amount``, ``_ratio``, ``_count`` only where true (dpd and utilisation need no unit)."""
    own = [word for word in ("days", "amount", "count") if word in feature.name.split("_")]
    if isinstance(feature, Feature) and feature.statistic in ("share", "streak", "since", "count"):
        return
    if own:
        assert feature.unit in own or "ratio" in feature.name or feature.unit == "ratio"


def test_names_are_unique():
    names = [feature.name for feature in REGISTRY]
    assert len(names) == len(set(names)) == len(REGISTRY)


def test_the_catalogue_has_every_feature():
    catalogue = REGISTRY.catalogue()
    assert list(catalogue["name"]) == [feature.name for feature in REGISTRY]
    assert catalogue.notna().all(axis=None)


def test_dtypes(taiwan, bulk_frame):
    frame = build_features(taiwan, "2005-09-30")
    for each in (frame, bulk_frame):
        expected = {name: "category" if name.startswith("attr_") else "float64" for name in each.columns}
        assert {name: str(dtype) for name, dtype in each.dtypes.items()} == expected
    assert frame.index.names == ["customer_id", "as_of_date"]
    assert frame.index.is_monotonic_increasing
    assert frame.index.is_unique


def _is_flag(feature):
    return isinstance(feature, Feature) and feature.measure.where is not None


def _is_whole(feature):
    """Counts, and days where nothing was averaged."""
    if feature.unit == "count":
        return getattr(feature, "statistic", "") not in ("mean", "wmean")
    if isinstance(feature, SqlFeature):
        return feature.unit == "days" and "mean" not in feature.name.split("_")
    return (
        isinstance(feature, Feature)
        and feature.unit == "days"
        and feature.statistic in ("last", "lag", "sum", "max", "min", "since", "first")
        and feature.combine != "mean"
    )


def _unsound(frame):
    """Features with a value that their unit does not have."""
    found = []
    for feature in REGISTRY:
        if isinstance(feature, AttributeFeature) or feature.name not in frame:
            continue
        values = frame[feature.name].dropna().to_numpy()
        faults = {
            "infinite": ~np.isfinite(values),
            "not in [0, 1]": ((values < 0) | (values > 1)) & (_is_flag(feature) and feature.unit == "ratio"),
            "a negative count": (values < 0) & (feature.unit == "count"),
            "not whole": (values != np.floor(values)) & _is_whole(feature),
            "negative days since": (values < 0) & (getattr(feature, "statistic", "") == "since"),
        }
        found += [f"{feature.name}: {fault}" for fault, where in faults.items() if where.any()]
    return found


def test_values_lie_in_the_range_of_their_unit(taiwan, bulk_frame):
    assert _unsound(build_features(taiwan, ["2005-05-31", "2005-09-30"])) == []
    assert _unsound(bulk_frame) == []


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_values_lie_in_the_range_of_their_unit_on_any_ledger(oracle, ledgers, data):
    records, dates = drawn(data, ledgers, oracle)
    if records:
        assert _unsound(build_features(records, dates)) == []


def _depth_features():
    """How late, in days: the measure is dpd itself."""
    return [
        f.name
        for f in REGISTRY
        if isinstance(f, Feature)
        and f.unit == "days"
        and f.measure.terms == ((1.0, "dpd", 0),)
        and (f.measure.over, f.measure.clip, f.measure.where) == (None, None, None)
        and f.statistic in ("last", "lag", "mean", "max", "sum", "wmean")
    ]


def _lateness_features():
    """How often late: the share and the streak of a bad event about dpd."""
    return [
        f.name
        for f in REGISTRY
        if isinstance(f, Feature)
        and f.measure.columns == {"dpd"}
        and f.measure.where is not None
        and f.measure.where[0] in (">", ">=")
        and len(f.measure.terms) == 1
        and f.statistic in ("share", "streak", "wmean")
    ]


def _lowered(before, after, names):
    """Names whose value fell for somebody, beyond the rounding of a mean."""
    return [n for n in names if (after[n] < before[n] - 1e-9 * np.maximum(1.0, before[n].abs())).any()]


def test_the_semantic_tests_enrol_features():
    assert {"repay_dpd_latest", "repay_dpd_max_last6"} <= set(_depth_features())
    assert "repay_late_share_last6" in _lateness_features()
    for name in _depth_features() + _lateness_features():
        assert REGISTRY[name].direction == 1, name


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_paying_later_never_lowers_a_lateness_feature(oracle, ledgers, data):
    records, dates = drawn(data, ledgers, oracle)
    rows = ledgers.rows_of(records) if records else {"statements": []}
    late = [row for row in rows["statements"] if row["dpd"] is not None]
    names = _depth_features() + _lateness_features()
    if not late or not set(names) <= set(available_features(records)):
        return
    before = build_features(records, dates, names)
    data.draw(st.sampled_from(late))["dpd"] += data.draw(st.integers(1, 100))
    after = build_features(ledgers.make_records(rows), dates, names)
    assert _lowered(before, after, names) == []


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_one_more_late_statement_never_lowers_a_share_or_a_streak(oracle, ledgers, data):
    records, dates = drawn(data, ledgers, oracle, 1)
    names = _lateness_features()
    if records is None or not set(names) <= set(available_features(records)):
        return
    rows = ledgers.rows_of(records)
    before = build_features(records, dates, names)
    account = data.draw(st.sampled_from([row["account_id"] for row in rows["accounts"]]))
    newest = max([r["statement_date"] for r in rows["statements"] if r["account_id"] == account] + [dates[0]])
    if newest > dates[0] or any(
        (r["account_id"], r["statement_date"]) == (account, newest) for r in rows["statements"]
    ):
        return
    rows["statements"].append({"account_id": account, "statement_date": newest, "dpd": 60})
    after = build_features(ledgers.make_records(rows), dates, names)
    after = after.loc[before.index]
    assert _lowered(before, after, names) == []
    # Null before means that nothing was known; now something is.
    assert not (before.notna() & after.isna()).any(axis=None)


def test_no_two_features_have_the_same_values(bulk_frame):
    by_values = {}
    for name in bulk_frame.columns:
        if not name.startswith("attr_"):
            by_values.setdefault(bulk_frame[name].to_numpy().tobytes(), []).append(name)
    same = {frozenset(names) for names in by_values.values() if len(names) > 1}
    assert same == SAME_BY_DECLARATION


def test_every_feature_has_values_and_varies(bulk_frame):
    """On dense records: a feature that is always null or always the same is declared wrongly."""
    dead = [
        name
        for name in bulk_frame.columns
        if bulk_frame[name].nunique() < 2 and not name.startswith("attr_education")
    ]
    assert dead == []
    assert not any(math.isinf(v) for v in bulk_frame.select_dtypes("float64").to_numpy().ravel())
