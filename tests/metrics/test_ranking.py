import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from overdue_ml import metrics as m

RANK_METRICS = [m.compute_auc, m.compute_gini, m.compute_ks, m.compute_average_precision, m.capture_rate]

# Eighths, so that ties are common and sums are exact.
rows = st.lists(st.tuples(st.integers(0, 1), st.integers(-8, 8), st.integers(0, 3)), min_size=2, max_size=40)


def unpack(drawn):
    y, score, weight = (np.array(column) for column in zip(*drawn, strict=True))
    y[0], y[-1] = 0, 1
    weight[0] = weight[-1] = 2
    return y, score / 8, weight.astype(float)


def test_known_answers_without_ties():
    # From the top: 1 0 1 0 0. Pairs: 2 overdue x 3 others; the first overdue beats 3, the second 2: AUC 5/6.
    y, score = [0, 0, 1, 0, 1], [1, 2, 3, 4, 5]
    assert m.compute_auc(y, score) == pytest.approx(5 / 6)
    assert m.compute_gini(y, score) == pytest.approx(2 / 3)
    # Overdue found 1/2, 1/2, 1; others found 0, 1/3, 1/3: the widest gap is 1 - 1/3.
    assert m.compute_ks(y, score) == pytest.approx(2 / 3)
    # Precision at the two overdue rows: 1/1 and 2/3, each half of the recall.
    assert m.compute_average_precision(y, score) == pytest.approx(5 / 6)


def test_known_answers_with_a_tie():
    # The middle two rows tie, one of each class. Pairs: 4; 2 wins + 1 win + 0.5: 3.5 / 4.
    y, score = [0, 1, 0, 1], [1, 2, 2, 3]
    assert m.compute_auc(y, score) == pytest.approx(3.5 / 4)
    # Half the overdue at precision 1, then recall 1 at 2 of 3.
    assert m.compute_average_precision(y, score) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_capture_counts_a_tie_at_the_cut_by_expectation():
    # The top row is overdue, the next four tie with two overdue among them, the last row is overdue too.
    score = [9, 5, 5, 5, 5, 4, 3, 2, 1, 0]
    y = [1, 1, 1, 0, 0, 0, 0, 0, 0, 1]
    # Top 3 rows: the first, and two out of a tie of four with two overdue: 1 + 2 * 2/4 = 2 of 4.
    assert m.capture_rate(y, score, top=0.3) == pytest.approx(0.5)
    assert m.compute_lift(y, score, top=0.3) == pytest.approx(0.5 / 0.3)
    # A cut between two rows: 1.5 rows are the first and an eighth of the tie of four: 1 + 0.5 * 2/4 = 1.25.
    assert m.capture_rate(y, score, top=0.15) == pytest.approx(1.25 / 4)
    assert m.capture_rate(y, score, top=1.0) == 1.0


def test_capture_is_the_mean_over_random_orders_of_the_ties():
    rng = np.random.default_rng(3)
    y, score = rng.integers(0, 2, 60), rng.integers(0, 4, 60)
    found = []
    for _ in range(4000):
        order = rng.permutation(60)
        order = order[np.argsort(-score[order], kind="stable")]
        found.append(y[order][:12].sum() / y.sum())
    assert m.capture_rate(y, score, top=0.2) == pytest.approx(np.mean(found), abs=0.005)


def test_capture_curve():
    curve = m.capture_curve([1, 0, 1, 0], [4, 3, 2, 1], n_points=4)
    assert curve.columns.tolist() == ["share", "captured", "lift"]
    np.testing.assert_allclose(curve.to_numpy(), [[0.25, 0.5, 2], [0.5, 0.5, 1], [0.75, 1, 4 / 3], [1, 1, 1]])


@settings(deadline=None)
@given(rows)
def test_agreement_with_scikit_learn_and_a_plain_ks(drawn):
    y, score, weight = unpack(drawn)
    assert m.compute_auc(y, score) == pytest.approx(roc_auc_score(y, score), abs=1e-12)
    assert m.compute_auc(y, score, weight) == pytest.approx(
        roc_auc_score(y, score, sample_weight=weight), abs=1e-12
    )
    assert m.compute_average_precision(y, score) == pytest.approx(
        average_precision_score(y, score), abs=1e-12
    )
    assert m.compute_average_precision(y, score, weight) == pytest.approx(
        average_precision_score(y, score, sample_weight=weight), abs=1e-12
    )
    gaps = [abs(np.mean(score[y == 1] <= cut) - np.mean(score[y == 0] <= cut)) for cut in score]
    assert m.compute_ks(y, score) == pytest.approx(max(gaps), abs=1e-12)


@settings(deadline=None)
@given(rows)
def test_whole_weights_equal_repeated_rows(drawn):
    y, score, weight = unpack(drawn)
    times = weight.astype(int)
    for metric in (m.compute_auc, m.compute_gini, m.compute_ks, m.compute_average_precision):
        repeated = metric(np.repeat(y, times), np.repeat(score, times))
        assert metric(y, score, weight) == pytest.approx(repeated, abs=1e-12)


@settings(deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_neither_monotone_maps_nor_row_order_change_a_ranking(drawn, random):
    y, score, _ = unpack(drawn)
    order = list(range(y.size))
    random.shuffle(order)
    for metric in RANK_METRICS:
        value = metric(y, score)
        assert metric(y, np.exp(score) - 5) == value
        assert metric(y[order], score[order]) == value


@settings(deadline=None)
@given(rows)
def test_turning_the_score_upside_down(drawn):
    y, score, _ = unpack(drawn)
    assert m.compute_gini(y, -score) == pytest.approx(-m.compute_gini(y, score), abs=1e-12)
    assert m.compute_ks(y, -score) == pytest.approx(m.compute_ks(y, score), abs=1e-12)


def test_a_constant_score_is_worth_nothing():
    y = [0, 1, 0, 1, 0]
    assert m.compute_auc(y, [3] * 5) == 0.5
    assert m.compute_ks(y, [3] * 5) == 0.0
    assert m.capture_rate(y, [3] * 5, top=0.2) == pytest.approx(0.2)
    assert m.compute_lift(y, [3] * 5, top=0.2) == pytest.approx(1.0)


def test_accepts_booleans_and_pandas_with_nullable_types():
    y = pd.Series([False, True, False, True], dtype="boolean")
    assert m.compute_auc(y, pd.Series([1, 2, 2, 3], dtype="Int64")) == pytest.approx(0.875)


@pytest.mark.parametrize("metric", RANK_METRICS)
@pytest.mark.parametrize(
    ("y", "score", "message"),
    [
        ([0, 0, 0], [1, 2, 3], r"Only one class present in y_true \(0\)"),
        ([1, 1, 1], [1, 2, 3], r"Only one class present in y_true \(1\)"),
        ([0, 1, 1], [1, np.nan, 3], r"Input score contains NaN \(1 of 3 values\)"),
        ([0, 1, np.nan], [1, 2, 3], "Input y_true contains NaN"),
        ([0, 1, 1], [1, np.inf, 3], "Input score contains infinity"),
        ([0, 1, 1], [1, 2], r"inconsistent numbers of samples: y_true 3, score 2"),
        ([0, 1, 2], [1, 2, 3], r"y_true must hold only 0 and 1 .* got also \[2.0\]"),
        ([0, 1], [[0.1, 0.9], [0.2, 0.8]], r"score should be a 1d array, got an array of shape \(2, 2\)"),
        ([], [], r"0 sample\(s\) in y_true"),
        (["no", "yes"], [1, 2], "y_true must hold numbers"),
    ],
)
def test_bad_input_is_named(metric, y, score, message):
    with pytest.raises(ValueError, match=message):
        metric(y, score)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, -1, 1], "must not be negative"),
        ([0, 0, 0], "must not be zero everywhere"),
        ([1, 1], "y_true 3, sample_weight 2"),
        ([1, 0, 0], "Only one class present"),
    ],
)
def test_bad_weights_are_named(weight, message):
    with pytest.raises(ValueError, match=message):
        m.compute_auc([0, 1, 1], [1, 2, 3], weight)


@pytest.mark.parametrize("top", [0, -0.1, 1.01, float("nan")])
def test_the_top_share_must_be_a_share(top):
    with pytest.raises(ValueError, match=r"top must be a share in \(0, 1\]"):
        m.capture_rate([0, 1], [1, 2], top=top)
