"""The choice of columns: each rule by hand, what it may look at, and scikit-learn's conformance suite."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from overdue_ml.model import FeatureSelector

NAN = np.nan


def dropped(selector: FeatureSelector) -> dict[str, str]:
    return {d.feature: d.rule for d in selector.report_.dropped}


def months(n: int, rows: int) -> pd.DatetimeIndex:
    """So many month ends, each for so many rows."""
    return pd.date_range("2024-01-31", periods=n, freq="ME").repeat(rows)


def test_columns_with_one_value_are_left_out():
    X = pd.DataFrame(
        {
            "same": [3.0, 3.0, 3.0],
            "empty": [NAN, NAN, NAN],
            # Missing is a value: known or not may say something.
            "known_or_not": [3.0, NAN, 3.0],
            "word": pd.Series(["a", "a", "a"], dtype="str"),
            "words": pd.Series(["a", "b", "a"], dtype="str"),
        }
    )
    selector = FeatureSelector().fit(X)
    assert dropped(selector) == {"same": "constant", "empty": "constant", "word": "constant"}
    assert list(selector.get_feature_names_out()) == ["known_or_not", "words"]
    assert selector.get_support().tolist() == [False, False, True, False, True]
    assert dropped(FeatureSelector(constants=False).fit(X)) == {}


def test_a_column_that_repeats_an_earlier_one_names_it():
    X = pd.DataFrame(
        {
            "first": [0.0, 1.0, NAN, 2.0],
            "whole": pd.array([0, 1, None, 2], dtype="Int64"),
            "minus_zero": [-0.0, 1.0, NAN, 2.0],
            "known": [0.0, 1.0, 5.0, 2.0],
            "word": pd.Series(["0", "1", None, "2"], dtype="str"),
            "word_again": pd.Categorical(["0", "1", None, "2"], categories=["2", "1", "0"]),
            "other_words": pd.Series(["a", "b", None, "c"], dtype="str"),
        }
    )
    report = FeatureSelector(duplicates=True).fit(X).report_
    assert {d.feature: d.same_as for d in report.dropped} == {
        "whole": "first", "minus_zero": "first", "word_again": "word"
    }  # fmt: skip
    table = report.to_frame()
    assert list(table) == ["feature", "rule", "figure", "same_as"]
    assert table["figure"].isna().all()
    assert report.to_dict() == {
        "n_features": 7,
        "dropped": [
            {"feature": "whole", "rule": "duplicate", "figure": None, "same_as": "first"},
            {"feature": "minus_zero", "rule": "duplicate", "figure": None, "same_as": "first"},
            {"feature": "word_again", "rule": "duplicate", "figure": None, "same_as": "word"},
        ],
        "not_checked": [],
    }


def test_the_limit_of_missing_rows_may_be_reached_but_not_passed():
    X = pd.DataFrame({"half": [1.0, 2.0, NAN, NAN], "more": [1.0, NAN, NAN, NAN], "all": [NAN] * 4})
    # Three of four are missing.
    (kept,) = [d for d in FeatureSelector(max_missing=0.5).fit(X).report_.dropped if d.rule == "missing"]
    assert (kept.feature, kept.figure) == ("more", 0.75)
    # The rules before come first, and 1.0 drops nothing.
    assert dropped(FeatureSelector().fit(X)) == {"all": "constant"}


def test_a_column_that_shifts_over_the_training_dates_is_unstable():
    base = np.arange(100.0)
    words = np.array(["a", "b"], dtype=object)
    X = pd.DataFrame(
        {
            "stable": np.tile(base, 3),
            # Away and back again: the last date alone would not show it.
            "there_and_back": np.concatenate([base, base + 50, base]),
            "label": words[[0] * 90 + [1] * 10 + [0] * 10 + [1] * 90 + [0, 1] * 50],
            "steady_label": np.tile(words[[0, 1] * 50], 3),
        }
    ).astype({"label": "str", "steady_label": "str"})
    dates = months(3, 100)
    selector = FeatureSelector(max_psi=0.25).fit(X, dates=dates)
    assert dropped(selector) == {"there_and_back": "unstable", "label": "unstable"}
    figures = {d.feature: d.figure for d in selector.report_.dropped}
    # Ten bins of a tenth; half the rows move beyond: five bins fall to nothing (counted as 1e-4), four keep
    # a tenth and the last has 0.6 of the rows.
    by_hand = 5 * (1e-4 - 0.1) * np.log(1e-4 / 0.1) + (0.6 - 0.1) * np.log(0.6 / 0.1)
    assert figures["there_and_back"] == pytest.approx(by_hand)
    # 0.9 and 0.1 change places.
    assert figures["label"] == pytest.approx(2 * 0.8 * np.log(9))
    # In any order of the rows.
    order = np.random.default_rng(0).permutation(len(X))
    again = FeatureSelector(max_psi=0.25).fit(X.iloc[order], dates=dates[order])
    assert again.report_ == selector.report_


def test_two_dates_are_too_few_for_stability_and_the_report_says_so():
    X = pd.DataFrame({"shifts": np.concatenate([np.arange(50.0), np.arange(50.0) + 100])})
    report = FeatureSelector(max_psi=0.1).fit(X, dates=months(2, 50)).report_
    assert not report.dropped
    assert report.not_checked == ("stability over time: 2 training date(s), 3 are needed",)
    assert FeatureSelector().fit(X, dates=months(2, 50)).report_.not_checked == ()


@pytest.fixture
def sample() -> tuple[pd.DataFrame, np.ndarray]:
    """Two columns that matter, one of them a category, and three of noise."""
    rng = np.random.default_rng(7)
    n = 1200
    X = pd.DataFrame({f"noise_{i}": rng.normal(size=n) for i in range(3)})
    X["strong"] = rng.normal(size=n)
    X["kind"] = pd.Series(rng.choice(["a", "b", "c"], size=n), dtype="str")
    X["constant"] = 1.0
    log_odds = 2 * X["strong"] + 2 * (X["kind"] == "b")
    return X, (log_odds + rng.logistic(size=n) > 1).to_numpy().astype(int)


def test_the_screen_keeps_the_columns_that_gain_most(sample):
    X, y = sample
    selector = FeatureSelector(keep=2).fit(X, y)
    assert list(selector.get_feature_names_out()) == ["strong", "kind"]
    weak = [d for d in selector.report_.dropped if d.rule == "weak"]
    assert len(weak) == 3
    assert all(0 < d.figure < 0.2 for d in weak)
    assert dropped(selector)["constant"] == "constant"
    assert FeatureSelector(keep=2).fit(X, y).report_ == selector.report_
    # As many as there are, or more: all stay.
    assert list(dropped(FeatureSelector(keep=5).fit(X, y))) == ["constant"]


def test_out_of_equal_columns_the_earlier_ones_stay():
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 4)), columns=list("abcd"))
    # Too few rows for a single split: nothing gains anything.
    selector = FeatureSelector(keep=2).fit(X, np.arange(60) % 2)
    assert list(selector.get_feature_names_out()) == ["a", "b"]
    assert {d.figure for d in selector.report_.dropped} == {0.0}


def test_a_frame_stays_a_frame_where_that_is_asked_for(sample):
    X, y = sample
    selector = FeatureSelector(keep=2).set_output(transform="pandas")
    out = selector.fit_transform(X, y)
    pd.testing.assert_frame_equal(out, X[["strong", "kind"]])
    with pytest.raises(ValueError, match="feature names should match"):
        selector.transform(X[X.columns[::-1]])
    copy = clone(selector)
    assert copy.get_params() == selector.get_params()
    assert not hasattr(copy, "support_")


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        ({"max_missing": 1.5}, {}, "max_missing must be between 0 and 1, got 1.5"),
        ({"max_missing": NAN}, {}, "max_missing must be between 0 and 1"),
        ({"max_psi": 0.0}, {}, "max_psi must be above 0"),
        ({"keep": 0}, {}, "keep must be a whole number of at least 1, got 0"),
        ({"keep": 2.5}, {}, "keep must be a whole number"),
        ({"keep": 1}, {}, "requires y to be passed"),
        ({"keep": 1}, {"y": [0, 1]}, "X has 4 rows and y has 2"),
        ({"max_psi": 0.1}, {}, "requires dates to be passed"),
        ({"max_psi": 0.1}, {"dates": months(2, 1)}, "X has 4 rows and dates has 2"),
        ({"max_psi": 0.1}, {"dates": [pd.NaT, *months(3, 1)]}, "dates must not be missing"),
    ],
)
def test_what_cannot_be_used_is_refused(settings, arguments, message):
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [4.0, 1.0, 3.0, 4.0]})
    with pytest.raises(ValueError, match=message):
        FeatureSelector(**settings).fit(X, **arguments)


@parametrize_with_checks([FeatureSelector(), FeatureSelector(duplicates=True, max_missing=0.5)])
def test_scikit_learn_conformance(estimator, check):
    check(estimator)
