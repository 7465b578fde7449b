import numpy as np
import pytest

from overdue_ml import metrics as m


@pytest.fixture(scope="module")
def book():
    rng = np.random.default_rng(0)
    log_odds = rng.normal(-1, 1, 400)
    p = 1 / (1 + np.exp(-log_odds))
    y = (rng.random(400) < p).astype(int)
    return {"y_true": y, "p": p, "log_odds": log_odds, "amount": rng.lognormal(7, 1, 400)}


def test_every_figure_is_the_function_of_its_name(book):
    table = m.evaluate_scores(**book, top=(0.05, 0.1)).set_index("metric")
    y, p, score, amount = book.values()
    expected = {
        "auc": m.compute_auc(y, score),
        "gini": m.compute_gini(y, score),
        "ks": m.compute_ks(y, score),
        "average_precision": m.compute_average_precision(y, score),
        "brier": m.compute_brier(y, p),
        "log_loss": m.compute_log_loss(y, p),
        "ece": m.compute_ece(y, p),
        "capture_rate_at_5": m.capture_rate(y, score, 0.05),
        "lift_at_5": m.compute_lift(y, score, 0.05),
        "amount_capture_at_5": m.expected_overdue_capture(y, score, amount, 0.05),
        "capture_rate_at_10": m.capture_rate(y, score, 0.1),
        "lift_at_10": m.compute_lift(y, score, 0.1),
        "amount_capture_at_10": m.expected_overdue_capture(y, score, amount, 0.1),
    }
    assert table["value"].to_dict() == pytest.approx(expected, abs=1e-12)
    assert table.index.tolist() == list(expected)
    assert table[["low", "high"]].isna().all(axis=None)


def test_ranking_reads_log_odds_and_calibration_reads_p(book):
    y, p, score, _ = book.values()
    table = m.evaluate_scores(y, p, log_odds=-score).set_index("metric")["value"]
    assert table["gini"] == pytest.approx(-m.compute_gini(y, score))
    assert table["brier"] == pytest.approx(m.compute_brier(y, p))
    without = m.evaluate_scores(y, p).set_index("metric")["value"]
    assert without["gini"] == pytest.approx(m.compute_gini(y, p))
    assert not any(name.startswith("amount") for name in without.index)


def test_odd_shares_have_readable_names(book):
    names = m.evaluate_scores(book["y_true"], book["p"], top=(0.025, 0.07, 1))["metric"].tolist()
    assert names[7::2] == ["capture_rate_at_2.5", "capture_rate_at_7", "capture_rate_at_100"]


@pytest.mark.parametrize("grouped", [False, True])
def test_intervals_hold_the_value_and_do_not_depend_on_row_order(book, grouped):
    groups = np.arange(400) // 2 if grouped else None
    table = m.evaluate_scores(**book, groups=groups, n_boot=40, random_state=1)
    ranked = table.set_index("metric").drop(index=["ece", "ks"])  # a bootstrap shifts these two upwards
    assert (ranked["low"] < ranked["value"]).all()
    assert (ranked["value"] < ranked["high"]).all()
    assert table.attrs["n_skipped"] == 0
    order = np.random.default_rng(5).permutation(400)
    shuffled = {name: column[order] for name, column in book.items()}
    again = m.evaluate_scores(
        **shuffled, groups=groups[order] if grouped else None, n_boot=40, random_state=1
    )
    np.testing.assert_allclose(again[["value", "low", "high"]], table[["value", "low", "high"]], rtol=1e-12)


def test_intervals_agree_with_bootstrap_interval(book):
    y, p = book["y_true"], book["p"]
    table = m.evaluate_scores(y, p, n_boot=60, random_state=3).set_index("metric")
    alone = m.bootstrap_interval(m.compute_auc, y, p, n_boot=60, random_state=3)
    assert table.loc["auc"].tolist() == pytest.approx([alone.value, alone.low, alone.high])


def test_resamples_without_overdue_money_leave_the_rest_alone():
    # Two overdue rows, one worth nothing: resamples with that one only have no money to catch.
    y, p, amount = [1, 1, 0, 0, 0, 0], [0.9, 0.2, 0.5, 0.4, 0.3, 0.1], [0.0, 10.0, 5.0, 5.0, 5.0, 5.0]
    table = m.evaluate_scores(y, p, amount=amount, top=(0.5,), n_boot=100)
    assert table.notna().all(axis=None)
    assert table.attrs["n_skipped"] > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_true": [0, 0, 0]}, "Only one class present"),
        ({"p": [0.1, 0.2, 1.5]}, r"probabilities in \[0, 1\]"),
        ({"log_odds": [1.0, np.nan, 2.0]}, "log_odds contains NaN"),
        ({"log_odds": [1.0]}, "y_true 3, p 3, log_odds 1"),
        ({"amount": [1.0, -2.0, 3.0]}, "amount must not be negative, got -2.0"),
        ({"amount": [1.0, 0.0, 1.0]}, "No overdue row has an amount above 0"),
        ({"top": ()}, "top must hold at least one share"),
        ({"top": (10,)}, r"top must be a share in \(0, 1\], got 10"),
        ({"n_boot": -1}, "n_boot must be a whole number of at least 0"),
        ({"groups": [1, 1, 1]}, "at least 2 different groups"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        m.evaluate_scores(**{"y_true": [0, 1, 0], "p": [0.1, 0.2, 0.3], **change})


def test_the_package_is_light():
    import subprocess
    import sys

    code = (
        "import sys, overdue_ml.metrics as m; "
        "assert all(hasattr(m, name) for name in m.__all__); "
        "print([x for x in ('sklearn', 'scipy', 'lightgbm', 'mlflow', 'shap', 'matplotlib', 'numba') "
        "if x in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
