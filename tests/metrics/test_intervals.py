from statistics import NormalDist

import numpy as np
import pytest

from overdue_ml import metrics as m


def sample(seed, n=300, shift=1.0):
    rng = np.random.default_rng(seed)
    y = (np.arange(n) % 5 == 0).astype(int)
    return y, rng.normal(size=n) + shift * y


def test_the_seed_decides():
    y, score = sample(0)
    first = m.bootstrap_interval(m.compute_auc, y, score, random_state=7)
    assert m.bootstrap_interval(m.compute_auc, y, score, random_state=7) == first
    other = m.bootstrap_interval(m.compute_auc, y, score, random_state=8)
    assert (other.low, other.high) != (first.low, first.high)
    assert other.value == first.value == m.compute_auc(y, score)


@pytest.mark.parametrize("grouped", [False, True])
def test_row_order_changes_nothing(grouped):
    y, score = sample(1)
    score = score.round(1)
    groups = np.arange(y.size) // 3 if grouped else None
    order = np.random.default_rng(0).permutation(y.size)
    plain = m.bootstrap_interval(m.compute_auc, y, score, groups, n_boot=50)
    shuffled = m.bootstrap_interval(
        m.compute_auc, y[order], score[order], groups[order] if grouped else None, n_boot=50
    )
    assert plain == shuffled


def test_the_interval_covers_the_truth():
    # Normal scores one deviation apart have an AUC of Phi(1 / sqrt 2).
    truth = NormalDist().cdf(1 / 2**0.5)
    covered, width = [], []
    for seed in range(80):
        y, score = sample(seed, n=250)
        interval = m.bootstrap_interval(m.compute_auc, y, score, n_boot=100, level=0.9, random_state=seed)
        covered.append(interval.low <= truth <= interval.high)
        width.append(interval.high - interval.low)
    # 90 % nominal; 80 trials put three standard deviations at +-10 %.
    assert 0.8 <= np.mean(covered) < 1.0
    # DeLong's variance: var(Phi(Z - 1)) / n1 + var(Phi(Z + 1)) / n0, with 50 overdue and 200 others.
    z = np.random.default_rng(1).normal(size=200_000)
    placement = np.vectorize(NormalDist().cdf)(z[:20_000] + 1)
    error = np.sqrt(placement.var() / 50 + placement.var() / 200)
    assert np.mean(width) == pytest.approx(2 * 1.645 * error, rel=0.12)


def test_whole_groups_are_drawn():
    # Every row ten times: ten times the rows, no more knowledge. Drawn by group the width stays, by row it
    # shrinks by about sqrt(10).
    y, score = sample(2)
    single = m.bootstrap_interval(m.compute_auc, y, score, n_boot=400)
    y10, score10, customer = np.tile(y, 10), np.tile(score, 10), np.tile(np.arange(y.size), 10)
    by_group = m.bootstrap_interval(m.compute_auc, y10, score10, customer, n_boot=400)
    by_row = m.bootstrap_interval(m.compute_auc, y10, score10, n_boot=400)
    assert by_group.high - by_group.low == pytest.approx(single.high - single.low, rel=0.2)
    assert (by_row.high - by_row.low) * 10**0.5 == pytest.approx(single.high - single.low, rel=0.2)


def test_group_names_do_not_matter_only_their_order():
    y, score = sample(3)
    number = np.arange(y.size) // 4
    named = np.array([f"c{i:04d}" for i in number])
    for groups in (named, named.astype(object)):
        assert m.bootstrap_interval(m.compute_auc, y, score, groups, n_boot=20) == m.bootstrap_interval(
            m.compute_auc, y, score, number, n_boot=20
        )


def test_resamples_of_a_single_class_are_counted():
    # One overdue row of ten is missed by a resample with probability 0.9^10 = 0.349.
    y, score = [1] + [0] * 9, np.arange(10)
    interval = m.bootstrap_interval(m.compute_auc, y, score, n_boot=1000)
    assert interval.n_skipped + interval.n_boot == 1000
    assert interval.n_skipped / 1000 == pytest.approx(0.349, abs=0.05)


def test_a_metric_of_one_class_skips_nothing():
    interval = m.bootstrap_interval(m.compute_brier, [0, 0, 0], [0.1, 0.2, 0.3], n_boot=30)
    assert (interval.n_boot, interval.n_skipped) == (30, 0)


def test_higher_levels_are_wider():
    y, score = sample(4)
    narrow, wide = (m.bootstrap_interval(m.compute_ks, y, score, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert wide.level == 0.99


def test_paired_difference_by_hand_and_sign():
    y, score = sample(5)
    worse = score + np.random.default_rng(0).normal(size=y.size)
    ahead = m.paired_difference(m.compute_auc, y, (score, worse))
    assert ahead.value == pytest.approx(m.compute_auc(y, score) - m.compute_auc(y, worse))
    behind = m.paired_difference(m.compute_auc, y, (worse, score))
    assert behind.value == pytest.approx(-ahead.value)
    assert ahead.low < ahead.value < ahead.high


def test_pairing_removes_what_the_scores_share():
    y, score = sample(6)
    near = score + 0.05 * np.random.default_rng(0).normal(size=y.size)
    paired = m.paired_difference(m.compute_auc, y, (score, near))
    single = m.bootstrap_interval(m.compute_auc, y, score)
    assert paired.high - paired.low < 0.3 * (single.high - single.low)
    same = m.paired_difference(m.compute_auc, y, (score, np.exp(score)))
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 1.0}, r"level must lie in \(0, 1\)"),
        ({"n_boot": 0}, "n_boot must be a whole number of at least 1"),
        ({"groups": [1, 1, 1, 1]}, "at least 2 different groups"),
        ({"groups": [1, 2, 3]}, "y_true 4, groups 3"),
        ({"groups": ["a", None, "b", "c"]}, "groups contains missing values"),
        ({"groups": [1.0, np.nan, 2.0, 3.0]}, "groups contains missing values"),
        ({"groups": [[1], [2], [3], [4]]}, "groups should be a 1d array"),
        ({"score": [1, 2, 3]}, "y_true 4, score 3"),
        ({"score": [1, 2, 3, np.nan]}, "score contains NaN"),
        ({"y_true": [0, 0, 0, 0]}, "Only one class present"),
        (
            {"y_true": [0, 0, 1, 1], "groups": [0, 0, 1, 1], "n_boot": 1, "random_state": 0},
            "None of the 1 resamples",
        ),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"y_true": [0, 1, 0, 1], "score": [1, 2, 3, 4], **change}
    with pytest.raises(ValueError, match=message):
        m.bootstrap_interval(m.compute_auc, **arguments)


def test_paired_scores_are_two_and_named():
    with pytest.raises(ValueError, match="scores must be a pair"):
        m.paired_difference(m.compute_auc, [0, 1], ([1, 2],))
    with pytest.raises(ValueError, match=r"Input scores\[1\] contains NaN"):
        m.paired_difference(m.compute_auc, [0, 1], ([1, 2], [1, np.nan]))
