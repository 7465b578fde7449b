"""Rows that books do hold and that a model must neither stumble over nor pass in silence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from overdue_ml.model.calibration import KINDS


def test_labels_0_and_3_are_two_classes_like_any(small, book):
    features, y, groups = book
    plain = small().fit(features, y, groups=groups)
    odd = small().fit(features, 3 * y, groups=groups)
    assert odd.classes_.tolist() == [0, 3]
    np.testing.assert_array_equal(odd.predict_proba(features), plain.predict_proba(features))
    np.testing.assert_array_equal(odd.predict(features), 3 * plain.predict(features))


@pytest.mark.parametrize("fault", ["one class", "missing", "three classes", "one class of weight"])
@pytest.mark.parametrize("calibration", ["platt", "auto", "venn_abers"])
def test_labels_that_cannot_be_learnt_are_refused_before_anything_is_fitted(small, book, fault, calibration):
    features, y, _ = book
    labels = {
        "one class": np.zeros(300),
        "missing": np.where(y == 1, np.nan, 0.0),
        "three classes": np.arange(300) % 3,
    }
    weight = (y == 1).astype(float) if fault == "one class of weight" else None
    model = small(calibration=calibration)
    with pytest.raises(ValueError, match=r"class|missing labels"):
        model.fit(features, labels.get(fault, y), weight)
    assert not hasattr(model, "boosters_")


def test_a_column_without_a_single_value_says_nothing(small, book):
    features, y, groups = book
    model = small().fit(features.assign(empty=np.nan), y, groups=groups)
    filled = features.assign(empty=np.linspace(-9, 9, 300))
    np.testing.assert_array_equal(
        model.decision_function(filled), model.decision_function(features.assign(empty=np.nan))
    )
    assert np.isfinite(model.decision_function(filled)).all()


def test_a_fold_whose_rows_are_all_of_one_class(small, book):
    features, y, _ = book
    overdue, on_time = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    half = np.r_[overdue[::2], on_time[::2]], np.r_[overdue[1::2], on_time[1::2]]
    # Held out: overdue rows only. Trained on: on-time rows only, which makes no member.
    folds = [half, (np.r_[on_time, overdue[:5]], overdue[5:]), (on_time, overdue)]
    for calibration in (*KINDS, "auto"):
        model = small(cv=folds, calibration=calibration).fit(features, y)
        assert len(model.boosters_) == 2
        low, high = model.predict_interval(features).T
        assert np.isfinite(np.column_stack([low, high])).all()


def test_one_row_scores_as_it_does_among_others(small, book):
    features, y, groups = book
    model = small().fit(features, y, groups=groups)
    all_rows = np.column_stack([model.predict_proba(features), model.predict_interval(features)])
    for row in (0, 17, 299):
        one = features.iloc[[row]]
        alone = np.column_stack([model.predict_proba(one), model.predict_interval(one)])
        np.testing.assert_array_equal(alone[0], all_rows[row])


def test_unseen_and_missing_levels_are_counted_and_score_like_missing(small, book):
    features, y, groups = book
    model = small().fit(features, y, groups=groups)
    strange = features.head(6).astype({"product": "str"})
    strange["product"] = ["boat", "boat", None, "card", "loan", ""]
    assert model.count_unknown_categories(strange) == {"product": 4}
    missing = strange.assign(product=pd.Series([None] * 6, dtype="str"))
    same = model.decision_function(strange) == model.decision_function(missing)
    assert same[[0, 1, 2, 5]].all()
    assert np.isfinite(model.decision_function(strange)).all()


@pytest.mark.parametrize("calibration", [*KINDS, "auto"])
def test_a_few_positives_still_give_probabilities(small, calibration):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = np.zeros(200, dtype=int)
    y[:4] = 1
    p = small(calibration=calibration).fit(X, y).predict_proba(X)[:, 1]
    assert ((p >= 0) & (p <= 1)).all()
    # Isotonic regression on two positives a fold may say anything but nonsense.
    assert p.mean() < 0.2
