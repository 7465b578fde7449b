import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from overdue_ml import metrics as m

rows = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20), st.integers(0, 3)), min_size=1, max_size=60)


def unpack(drawn):
    y, p, weight = (np.array(column) for column in zip(*drawn, strict=True))
    weight[0] = 1
    return y, p / 20, weight.astype(float)


def test_known_answers():
    # (0.2 - 0)^2 = 0.04, (0.6 - 1)^2 = 0.16: mean 0.10.
    assert m.compute_brier([0, 1], [0.2, 0.6]) == pytest.approx(0.10)
    # Three parts weight on the first row: (3 * 0.04 + 0.16) / 4 = 0.07.
    assert m.compute_brier([0, 1], [0.2, 0.6], [3, 1]) == pytest.approx(0.07)
    # -(ln 0.8 + ln 0.6) / 2 = (0.223144 + 0.510826) / 2.
    assert m.compute_log_loss([0, 1], [0.2, 0.6]) == pytest.approx(0.366985, abs=1e-6)


def test_ece_by_hand():
    p = [0.1, 0.1, 0.3, 0.3, 0.9, 0.9]
    y = [0, 0, 1, 0, 1, 1]
    # Three quantile bins of two: gaps 0.1, 0.2, 0.1, each a third of the rows.
    assert m.compute_ece(y, p, n_bins=3) == pytest.approx(0.4 / 3)
    # Two bins of equal width: four rows with mean 0.2 and rate 0.25, two with mean 0.9 and rate 1.
    assert m.compute_ece(y, p, n_bins=2, strategy="uniform") == pytest.approx((4 * 0.05 + 2 * 0.1) / 6)
    # One bin: mean 2.6 / 6, rate 3 / 6.
    assert m.compute_ece(y, p, n_bins=1) == pytest.approx(0.4 / 6)


def test_table_by_hand():
    table = m.calibration_table([0, 1, 0, 0, 1, 1, 1, 0], [0.1, 0.2, 0.2, 0.3, 0.6, 0.7, 0.8, 0.9], n_bins=2)
    assert table.columns.tolist() == [
        "bin", "p_min", "p_max", "n", "mean_p", "overdue_rate", "gap", "rate_low", "rate_high"
    ]  # fmt: skip
    assert table[["bin", "n", "p_min", "p_max"]].to_numpy().tolist() == [[1, 4, 0.1, 0.3], [2, 4, 0.6, 0.9]]
    np.testing.assert_allclose(table["mean_p"], [0.2, 0.75])
    np.testing.assert_allclose(table["gap"], [0.05, 0.0], atol=1e-15)
    # Wilson for 1 of 4: centre (0.25 + 3.8415/8) / (1 + 3.8415/4) = 0.37244; half = 1.95996 / 1.96036
    # * sqrt(0.25 * 0.75 / 4 + 3.8415/64) = 0.32692.
    np.testing.assert_allclose([table["rate_low"][0], table["rate_high"][0]], [0.0456, 0.6994], atol=1e-4)


def test_wilson_stays_inside_the_unit_interval():
    table = m.calibration_table([0] * 10 + [1] * 10, [0.01] * 10 + [0.99] * 10)
    assert 0 <= table["rate_low"][0] < 1e-12
    assert 1 - 1e-12 < table["rate_high"][1] <= 1
    # Zero of ten: the upper end is z^2 / (n + z^2) = 3.8415 / 13.8415.
    assert table["rate_high"][0] == pytest.approx(0.27753, abs=1e-5)


def test_quantile_bins_are_even_without_ties():
    table = m.calibration_table([0, 1] * 50, np.linspace(0, 1, 100), n_bins=10)
    assert table["n"].tolist() == [10] * 10


def test_a_heavy_tie_keeps_its_own_bin():
    # 90 % of the rows share one probability: it neither splits nor swallows both tails.
    p = [0.01] * 5 + [0.05] * 90 + [0.5] * 5
    table = m.calibration_table([0, 1] * 50, p, n_bins=10)
    assert table["n"].tolist() == [5, 90, 5]
    assert (table["p_min"] == table["p_max"]).all()


def test_uniform_bins_include_both_ends():
    # Halves: 0 and 0.4 below, 0.5 and 1 above; certainty is not a bin of its own.
    table = m.calibration_table([0, 0, 1, 1], [0.0, 0.4, 0.5, 1.0], n_bins=2, strategy="uniform")
    assert table[["p_min", "p_max"]].to_numpy().tolist() == [[0.0, 0.4], [0.5, 1.0]]


@settings(deadline=None)
@given(rows, st.integers(1, 12))
def test_equal_probabilities_share_a_bin(drawn, n_bins):
    y, p, _ = unpack(drawn)
    table = m.calibration_table(y, p, n_bins)
    assert table["n"].sum() == y.size
    assert len(table) <= n_bins
    assert (table["p_min"].to_numpy()[1:] > table["p_max"].to_numpy()[:-1]).all()
    assert (table["rate_low"] <= table["overdue_rate"] + 1e-12).all()
    assert (table["rate_high"] >= table["overdue_rate"] - 1e-12).all()


@settings(deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_row_order_changes_nothing(drawn, random):
    y, p, _ = unpack(drawn)
    order = list(range(y.size))
    random.shuffle(order)
    for strategy in ("quantile", "uniform"):
        assert m.compute_ece(y[order], p[order], 7, strategy) == m.compute_ece(y, p, 7, strategy)
    assert m.compute_brier(y[order], p[order]) == pytest.approx(m.compute_brier(y, p), abs=1e-14)


@settings(deadline=None)
@given(rows)
def test_agreement_with_scikit_learn(drawn):
    y, p, weight = unpack(drawn)
    assert m.compute_brier(y, p) == pytest.approx(
        brier_score_loss(y, p, labels=[0, 1], pos_label=1), abs=1e-12
    )
    for w in (None, weight):
        expected = log_loss(y, p, labels=[0, 1], sample_weight=w)
        assert m.compute_log_loss(y, p, w) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(rows)
def test_slope_solves_the_likelihood_equations(drawn):
    # The maximum is unique, and it is where residuals sum to 0, alone and times the logit.
    y, p, _ = unpack(drawn)
    p = np.clip(p, 0.001, 0.999)
    assume(0 < y.sum() < y.size)
    assume(p[y == 1].max() > p[y == 0].min() and p[y == 0].max() > p[y == 1].min())
    logit = np.log(p / (1 - p))
    line = m.calibration_slope_intercept(y, p)
    residual = y - 1 / (1 + np.exp(-(line.intercept + line.slope * logit)))
    assert residual.sum() == pytest.approx(0, abs=1e-7)
    assert residual @ logit == pytest.approx(0, abs=1e-7)


def test_slope_recovers_a_distorted_model():
    # Logits doubled and raised by 1: to undo that, halve them and take off 0.5.
    rng = np.random.default_rng(0)
    logit = rng.normal(-1, 1, 40_000)
    y = rng.random(logit.size) < 1 / (1 + np.exp(-logit))
    line = m.calibration_slope_intercept(y, 1 / (1 + np.exp(-(2 * logit + 1))))
    assert line.slope == pytest.approx(0.5, abs=0.02)
    assert line.intercept == pytest.approx(-0.5, abs=0.04)


def test_slope_takes_probabilities_of_zero_and_one():
    line = m.calibration_slope_intercept([0, 1, 0, 1, 1], [0.0, 0.0, 0.5, 0.5, 1.0])
    assert np.isfinite(line).all()


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([0, 0], [0.1, 0.2], "Only one class present in y_true"),
        ([0, 1], [0.2, 0.2], "p takes a single value"),
        ([0, 0, 1], [0.1, 0.2, 0.3], "p separates the classes"),
        ([0, 0, 1, 1], [0.1, 0.2, 0.2, 0.3], "p separates the classes"),
        ([1, 1, 0], [0.1, 0.2, 0.3], "p separates the classes"),
    ],
)
def test_slope_without_a_finite_estimate(y, p, message):
    with pytest.raises(ValueError, match=message):
        m.calibration_slope_intercept(y, p)


@pytest.mark.parametrize(
    "metric",
    [m.compute_brier, m.compute_log_loss, m.compute_ece, m.calibration_table, m.calibration_slope_intercept],
)
@pytest.mark.parametrize(
    ("p", "message"),
    [
        ([0.1, 1.2, -3.0], r"probabilities in \[0, 1\], got 2 value\(s\) outside, such as 1.2"),
        ([0.1, np.nan, 0.3], "Input p contains NaN"),
        ([0.1, 0.2], "y_true 3, p 2"),
    ],
)
def test_bad_probabilities_are_named(metric, p, message):
    with pytest.raises(ValueError, match=message):
        metric([0, 1, 0], p)


def test_bad_binning_is_named():
    with pytest.raises(ValueError, match="strategy must be 'quantile' or 'uniform', got 'kmeans'"):
        m.compute_ece([0, 1], [0.1, 0.2], strategy="kmeans")
    for n_bins in (0, 2.5, True):
        with pytest.raises(ValueError, match="n_bins must be a whole number of at least 1"):
            m.compute_ece([0, 1], [0.1, 0.2], n_bins=n_bins)
