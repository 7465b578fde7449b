import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml import metrics as m

numbers = st.lists(st.one_of(st.none(), st.integers(-5, 5).map(float)), min_size=1, max_size=50)
labels = st.lists(st.one_of(st.none(), st.sampled_from("abcd")), min_size=1, max_size=50)


def test_psi_by_hand():
    # Shares 1/2, 1/2 become 1/4, 3/4: -1/4 ln(1/2) + 1/4 ln(3/2) = 1/4 ln 3.
    assert m.compute_psi([1, 2, 3, 4], [1, 3, 4, 5], n_bins=2) == pytest.approx(math.log(3) / 4)
    assert m.compute_psi_categorical(["a", "b"], list("abbb")) == pytest.approx(math.log(3) / 4)
    assert m.psi_from_counts([5, 5], [10, 30]) == pytest.approx(math.log(3) / 4)


def test_an_empty_bin_counts_as_one_in_ten_thousand():
    assert m.psi_from_counts([1, 1], [0, 2]) == pytest.approx(
        (0.0001 - 0.5) * math.log(0.0001 / 0.5) + 0.5 * math.log(2)
    )


def test_missing_values_are_a_bin_of_their_own():
    # Nothing missing before, one in five after; the present values keep their halves: 1/2 -> 2/5 twice.
    by_hand = 2 * (0.4 - 0.5) * math.log(0.4 / 0.5) + (0.2 - 0.0001) * math.log(0.2 / 0.0001)
    assert m.compute_psi([1, 2, 3, 4], [1, 2, 3, 4, np.nan], n_bins=2) == pytest.approx(by_hand)
    assert m.compute_psi_categorical(["a", "b"], ["a", "a", "b", "b", None]) == pytest.approx(by_hand)


@settings(deadline=None)
@given(numbers)
def test_psi_of_numbers_against_themselves_is_zero(values):
    assert m.compute_psi(values, values[::-1]) == 0.0


@settings(deadline=None)
@given(labels)
def test_psi_of_labels_against_themselves_is_zero(values):
    assert m.compute_psi_categorical(values, values[::-1]) == 0.0
    assert m.fit_reference(values, categorical=True).psi(values) == 0.0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=12))
def test_psi_is_symmetric_and_not_negative(pairs):
    before, after = np.array(pairs).T + np.array([[0], [1]])
    before[0] += 1
    assert m.psi_from_counts(before, after) == pytest.approx(m.psi_from_counts(after, before), abs=1e-12)
    assert m.psi_from_counts(before, after) >= 0


def test_edges_come_from_the_expected_only():
    reference = m.fit_reference(np.arange(100.0))
    assert len(reference.edges) == 9
    assert reference.shares == pytest.approx([0.1] * 10)
    # Ten per cent of the rows move from one bin of ten to the last one: 0.1 -> 0 and 0.1 -> 0.2.
    moved = np.r_[np.arange(10, 100.0), np.full(10, 1e9)]
    by_hand = (0.0001 - 0.1) * math.log(0.0001 / 0.1) + 0.1 * math.log(2)
    assert reference.psi(moved) == pytest.approx(by_hand)


@pytest.mark.parametrize("moved_to", [-1.0, 1.0])
def test_a_constant_is_seen_to_move_either_way(moved_to):
    assert m.compute_psi(np.zeros(50), np.zeros(50)) == 0.0
    assert m.compute_psi(np.zeros(50), np.r_[np.zeros(25), np.full(25, moved_to)]) > 0.25


def test_a_variable_that_was_always_missing():
    reference = m.fit_reference([np.nan] * 10)
    assert (reference.kind, reference.edges, reference.missing_share) == ("numeric", (), 1.0)
    assert reference.psi([None, None]) == 0.0
    assert reference.psi([1.0, None]) > 0.25


@settings(deadline=None)
@given(st.one_of(numbers, labels))
def test_a_reference_survives_json(values):
    reference = m.fit_reference(values)
    stored = json.dumps(reference.to_dict(), allow_nan=False)
    again = m.Reference.from_dict(json.loads(stored))
    assert again == reference
    assert again.psi(values) == reference.psi(values)


def test_a_reference_keeps_neither_extremes_nor_rare_levels():
    rng = np.random.default_rng(0)
    values = np.r_[rng.normal(size=998), -77777.0, 88888.0]
    stored = json.dumps(m.fit_reference(values).to_dict())
    assert "77777" not in stored
    assert "88888" not in stored
    ids = m.fit_reference([f"customer-{i}" for i in range(500)])
    assert ids.levels == ()
    mixed = m.fit_reference(["car"] * 90 + ["home"] * 6 + ["yacht"] * 4)
    assert mixed.levels == ("car", "home")
    assert mixed.shares == pytest.approx((0.9, 0.06, 0.04))


def test_new_levels_fall_into_the_other_bin():
    reference = m.fit_reference(["a"] * 50 + ["b"] * 50)
    by_hand = (0.4 - 0.5) * math.log(0.4 / 0.5) + (0.1 - 0.0001) * math.log(0.1 / 0.0001)
    assert reference.psi(["a"] * 50 + ["b"] * 40 + ["new"] * 10) == pytest.approx(by_hand)


def test_a_change_of_dtype_is_not_drift():
    codes = pd.Series([1] * 10 + [2] * 10)
    reference = m.fit_reference(codes.astype("category"))
    assert reference.kind == "categorical"
    for same in (codes, codes.astype(float), codes.astype(str), codes.astype("Int64"), codes.astype(object)):
        assert reference.psi(same) == 0.0
    nullable = pd.Series([1, 2, None, 4], dtype="Int64")
    assert m.fit_reference(nullable) == m.fit_reference([1.0, 2.0, np.nan, 4.0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"0 sample\(s\) in values"),
        ([1.0, np.inf], "values contains infinity"),
        (pd.to_datetime(["2024-01-01"]), "values holds dates"),
        (np.ones((2, 2)), r"values should be a 1d array, got an array of shape \(2, 2\)"),
    ],
)
def test_values_no_reference_can_describe(values, message):
    with pytest.raises(ValueError, match=message):
        m.fit_reference(values)


def test_labels_do_not_fit_a_numeric_reference():
    with pytest.raises(ValueError, match="values must hold numbers"):
        m.fit_reference([1.0, 2.0]).psi(["a", "b"])
    with pytest.raises(ValueError, match="expected must hold numbers"):
        m.compute_psi(["a"], [1.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "text"}, "kind must be"),
        ({"shares": [0.5]}, "shares must have 2 entries, got 1"),
        ({"shares": [0.5, 0.9]}, "sum to 1"),
        ({"shares": [1.5, -0.5]}, "must not be negative"),
        ({"edges": [2.0, 1.0], "shares": [0.5, 0.25, 0.25]}, "edges must be rising"),
        ({"extra": 1}, "must have the keys"),
    ],
)
def test_a_damaged_reference_is_refused(change, message):
    content = m.fit_reference([1.0, 2.0, 3.0, 4.0], n_bins=2).to_dict()
    with pytest.raises(ValueError, match=message):
        m.Reference.from_dict({**content, **change})


def test_csi_ranks_and_names():
    before = pd.DataFrame(
        {"dues": np.arange(100.0), "rate": np.arange(100.0), "product": ["car", "home"] * 50}
    )
    references = {name: m.fit_reference(before[name]) for name in before}
    after = before.assign(rate=before["rate"] + 40, product=["car"] * 66 + ["home"] * 34, unknown=1)
    table = m.compute_csi(after, references)
    assert table["feature"].tolist() == ["rate", "product", "dues"]
    assert table["status"].tolist() == ["shifted", "watch", "stable"]
    # 0.5 -> 0.66 and 0.5 -> 0.34: 0.16 ln(0.66 / 0.34).
    assert table["psi"][1] == pytest.approx(0.16 * math.log(0.66 / 0.34))
    assert m.compute_csi(after, {}).shape == (0, 3)


def test_csi_names_the_feature_at_fault():
    reference = {"dues": m.fit_reference([1.0, 2.0])}
    with pytest.raises(ValueError, match=r"lacks 1 column\(s\) that have a reference: \['dues'\]"):
        m.compute_csi(pd.DataFrame({"other": [1.0]}), reference)
    with pytest.raises(ValueError, match="Feature 'dues': values must hold numbers"):
        m.compute_csi(pd.DataFrame({"dues": ["x"]}), reference)


@pytest.mark.parametrize(
    ("psi", "status"),
    [(0, "stable"), (0.0999, "stable"), (0.1, "watch"), (0.2499, "watch"), (0.25, "shifted")],
)
def test_status_thresholds(psi, status):
    assert m.psi_status(psi) == status


def test_status_of_nothing():
    with pytest.raises(ValueError, match="psi must be a number"):
        m.psi_status(float("nan"))


def test_stability_score_by_hand():
    # Rising: no slope penalty, no residual.
    assert m.stability_score([0.5, 0.6, 0.7]) == pytest.approx(0.6)
    # Falling by 0.001: 0.499 - 88 * 0.001.
    assert m.stability_score([0.5, 0.499, 0.498]) == pytest.approx(0.411)
    # Flat line 0.5 with residuals 0.1, -0.2, 0.1 and slope 0: the deviation is sqrt(0.06 / 3).
    assert m.stability_score([0.6, 0.3, 0.6]) == pytest.approx(0.5 - 0.5 * math.sqrt(0.02))


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=30))
def test_stability_score_agrees_with_the_published_code(gini):
    x = np.arange(len(gini))
    slope, intercept = np.polyfit(x, gini, 1)
    residual = np.asarray(gini) - (slope * x + intercept)
    expected = np.mean(gini) + 88.0 * min(0, slope) - 0.5 * np.std(residual)
    assert m.stability_score(gini) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("gini", "message"),
    [([0.5], "at least 2 periods"), ([0.5, np.nan], "contains NaN"), ([50.0, 49.0], r"lie in \[-1, 1\]")],
)
def test_stability_score_of_bad_input(gini, message):
    with pytest.raises(ValueError, match=message):
        m.stability_score(gini)
