import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GroupKFold, ShuffleSplit, TimeSeriesSplit

from overdue_ml.model import OverdueClassifier


def texts(model):
    return [booster.model_to_string().encode() for booster in model.boosters_]


# ---- Determinism


def test_same_seed_same_bytes(small, book):
    features, y, groups = book
    one, other = (small(subsample=0.7).fit(features, y, groups=groups) for _ in range(2))
    assert texts(one) == texts(other)
    assert one.calibrator_ == other.calibrator_


def test_threads_change_nothing(small, book):
    features, y, groups = book
    one, two = (small(n_jobs=n).fit(features, y, groups=groups) for n in (1, 2))
    assert one.predict_proba(features).tobytes() == two.predict_proba(features).tobytes()
    for a, b in zip(one.predict_contributions(features), two.predict_contributions(features), strict=True):
        assert a.tobytes() == b.tobytes()


def test_other_seeds_give_other_trees(small, book):
    features, y, _ = book
    one, other = (small(subsample=0.7, random_state=seed).fit(features, y) for seed in (0, 1))
    assert texts(one) != texts(other)
    # Members of a bag differ too.
    assert len(set(texts(one))) == len(one.boosters_)


def test_fit_does_not_touch_what_it_is_given(small, book):
    features, y, groups = book
    before = features.copy(deep=True)
    small().fit(features, y, groups=groups)
    pd.testing.assert_frame_equal(features, before)


def test_refit_forgets(small, book):
    features, y, _ = book
    model = small().fit(features, y)
    model.fit(features[["dpd", "noise"]], y)
    assert model.categories_ == {}
    assert texts(model) == texts(clone(model).fit(features[["dpd", "noise"]], y))


# ---- Folds


@pytest.fixture
def spied_rows(monkeypatch):
    """Row numbers (first column) that each booster was trained on."""
    seen = []
    train = OverdueClassifier._train

    def spy(self, matrix, target, weight, seed, n_trees):
        seen.append(matrix[:, 0].astype(int))
        return train(self, matrix, target, weight, seed, n_trees)

    monkeypatch.setattr(OverdueClassifier, "_train", spy)
    return seen


@pytest.mark.parametrize("cv", [2, 4, GroupKFold(3)], ids=["2", "4", "GroupKFold"])
def test_no_customer_on_both_sides(small, book, spied_rows, cv):
    features, y, groups = book
    features = pd.DataFrame({"row": np.arange(300.0), "dpd": features["dpd"]})
    model = small(cv=cv).fit(features, y, groups=groups)
    assert len(spied_rows) == len(model.boosters_) == (3 if isinstance(cv, GroupKFold) else cv)
    for rows in spied_rows:
        held_out = np.setdiff1d(np.arange(300), rows)
        assert 0 < len(held_out) < 300
        assert not set(groups[rows]) & set(groups[held_out])


def test_out_of_fold_score_comes_from_the_member_that_did_not_see_the_row(small, book, spied_rows):
    features, y, groups = book
    matrix = pd.DataFrame({"row": np.arange(300.0), "dpd": features["dpd"]})
    model = small(cv=3).fit(matrix, y, groups=groups)
    held_out_by = np.zeros(300, dtype=int)
    for booster, rows in zip(model.boosters_, spied_rows, strict=True):
        held_out = np.setdiff1d(np.arange(300), rows)
        held_out_by[held_out] += 1
        expected = booster.predict(matrix.to_numpy()[held_out], raw_score=True)
        np.testing.assert_array_equal(model.out_of_fold_log_odds_[held_out], expected)
    assert (held_out_by == 1).all()


def test_noise_is_learnt_by_heart_but_not_out_of_fold(small):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 5)), rng.integers(0, 2, 600)
    model = small(n_estimators=40, num_leaves=16, cv=5).fit(X, y)
    assert roc_auc_score(y, model.decision_function(X)) > 0.8
    assert 0.4 < roc_auc_score(y, model.out_of_fold_log_odds_) < 0.6


def test_a_customer_known_by_heart_does_not_leak_through_groups(small):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 10)
    y = rng.integers(0, 2, 60)[groups]
    X = np.column_stack([rng.normal(size=60)[groups], rng.normal(size=600)])
    grouped = small(n_estimators=40, cv=5).fit(X, y, groups=groups).out_of_fold_log_odds_
    loose = small(n_estimators=40, cv=5).fit(X, y).out_of_fold_log_odds_
    assert roc_auc_score(y, loose) > 0.8
    assert roc_auc_score(y, grouped) < 0.65


@pytest.mark.parametrize("cv", [None, 3, ShuffleSplit(2, random_state=0), TimeSeriesSplit(3)], ids=str)
def test_cv_in_every_form_of_scikit_learn(small, book, cv):
    features, y, _ = book
    model = small(cv=cv).fit(features, y)
    assert np.isfinite(model.predict_proba(features)).all()
    if isinstance(cv, TimeSeriesSplit):
        # The first block is never held out.
        assert np.isnan(model.out_of_fold_log_odds_[:75]).all()
        assert not np.isnan(model.out_of_fold_log_odds_[75:]).any()


def test_cv_as_a_list_of_folds(small, book):
    features, y, _ = book
    halves = [(np.arange(150), np.arange(150, 300)), (np.arange(150, 300), np.arange(150))]
    model = small(cv=halves).fit(features, y)
    assert len(model.boosters_) == 2
    assert not np.isnan(model.out_of_fold_log_odds_).any()


@pytest.mark.parametrize("cv", [1, 0, -3, 2.5, "five"])
def test_cv_that_is_none_of_these(small, book, cv):
    features, y, _ = book
    with pytest.raises(ValueError, match="cv"):
        small(cv=cv).fit(features, y)


def test_a_class_too_small_to_split_keeps_the_raw_score(small):
    X = np.arange(40.0)[:, None]
    y = (np.arange(40) == 39).astype(int)
    model = small(min_child_samples=1).fit(X, y)
    assert model.out_of_fold_log_odds_ is None
    assert model.calibrator_.to_dict() == {"kind": "none"}
    assert len(model.boosters_) == 1


def test_rows_of_no_known_customer_stay_together(small, book):
    features, y, _ = book
    # All in one unknown group: they cannot be split, and nothing falls over.
    assert small().fit(features, y, groups=[None] * 300).out_of_fold_log_odds_ is None


# ---- Calibration


def test_calibration_mends_an_overfitted_score():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 6))
    y = (rng.random(3000) < 1 / (1 + np.exp(1.5 - X[:, 0]))).astype(int)
    train, test = slice(None, 1000), slice(1000, None)
    settings = {
        "n_estimators": 60, "learning_rate": 0.3, "num_leaves": 16, "min_child_samples": 3, "reg_lambda": 0.0,
        "cv": 3, "n_jobs": 1,
    }  # fmt: skip
    losses = {}
    for kind in ("none", "platt", "beta", "isotonic"):
        model = OverdueClassifier(calibration=kind, **settings).fit(X[train], y[train])
        losses[kind] = log_loss(y[test], np.clip(model.predict_proba(X[test])[:, 1], 1e-6, 1 - 1e-6))
    assert losses["platt"] < losses["none"] - 0.02
    assert losses["beta"] < losses["none"] - 0.02
    assert losses["isotonic"] < losses["none"]


def test_ranking_is_that_of_the_log_odds(small, book):
    features, y, _ = book
    for kind in ("platt", "beta", "isotonic", "none"):
        model = small(calibration=kind).fit(features, y)
        order = np.argsort(model.decision_function(features), kind="stable")
        assert (np.diff(model.predict_proba(features)[order, 1]) >= 0).all()


def test_probabilities_are_two_columns_that_sum_to_one(small, book):
    features, y, _ = book
    model = small().fit(features, y)
    p = model.predict_proba(features)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    np.testing.assert_array_equal(model.predict(features), (p[:, 1] > 0.5).astype(int))


# ---- Constraints


@pytest.fixture(scope="module")
def constrained(small, book):
    features, y, groups = book
    # Against what the data say (dpd raises risk), so that a constraint that does nothing is found out.
    return small(monotone_constraints={"dpd": -1, "noise": 1}, n_estimators=25).fit(
        features, y, groups=groups
    )


@settings(deadline=None, max_examples=25)
@given(
    st.floats(-3, 3),
    st.one_of(st.just(float("nan")), st.floats(0, 10)),
    st.sampled_from(["card", "lease", "loan", "boat", None]),
)
def test_constraints_hold_on_every_sweep(constrained, other, income, product):
    grid = np.linspace(-4, 4, 60)
    row = {"dpd": other, "income": income, "product": product, "noise": other}
    for name, direction in (("dpd", -1), ("noise", 1)):
        sweep = pd.DataFrame([row] * 60)[list(row)].assign(product=pd.Series([product] * 60, dtype="str"))
        margins = constrained.decision_function(sweep.assign(**{name: grid}))
        assert (direction * np.diff(margins) >= 0).all()
        p = constrained.predict_proba(sweep.assign(**{name: grid}))[:, 1]
        assert (direction * np.diff(p) >= 0).all()


def test_without_constraints_the_same_sweep_does_turn(small, book):
    features, y, _ = book
    model = small(n_estimators=25).fit(features, y)
    sweep = features.iloc[[0] * 60].assign(noise=np.linspace(-4, 4, 60))
    steps = np.diff(model.decision_function(sweep))
    assert (steps < 0).any()
    assert (steps > 0).any()


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ({"unknown": 1}, "unknown"),
        ({"dpd": 2}, "dpd"),
        ({"dpd": "up"}, "dpd"),
        ({"product": 1}, "'product' is a category"),
    ],
)
def test_invalid_constraints_never_reach_lightgbm(small, book, constraints, message):
    features, y, _ = book
    with pytest.raises(ValueError, match=message):
        small(monotone_constraints=constraints).fit(features, y)


def test_constraints_need_column_names(small, book):
    features, y, _ = book
    with pytest.raises(ValueError, match="columns that X does not have"):
        small(monotone_constraints={"dpd": 1}).fit(features[["dpd", "noise"]].to_numpy(), y)


def test_a_direction_of_zero_is_no_constraint(small, book):
    features, y, _ = book
    free = small().fit(features, y)
    assert texts(small(monotone_constraints={"dpd": 0, "product": 0}).fit(features, y)) == texts(free)


# ---- Categories and columns


def test_new_and_missing_levels_are_counted_and_scored(small, book):
    features, y, _ = book
    model = small().fit(features, y)
    new = features.iloc[:6].assign(
        product=pd.Series(["card", "boat", None, "loan", "boat", "lease"], dtype="str")
    )
    assert model.count_unknown_categories(new) == {"product": 3}
    assert np.isfinite(model.decision_function(new)).all()
    # Unknown scores as missing does.
    missing = new.assign(product=pd.Series(["card", None, None, "loan", None, "lease"], dtype="str"))
    np.testing.assert_array_equal(model.decision_function(new), model.decision_function(missing))


@pytest.mark.parametrize("dtype", ["category", "str", "string", object, pd.ArrowDtype(pa.string())], ids=str)
def test_text_scores_the_same_however_it_is_stored(small, book, dtype):
    features, y, _ = book
    expected = small().fit(features, y)
    stored = features.assign(product=features["product"].astype("str").astype(dtype))
    model = small().fit(stored, y)
    assert model.categories_ == {2: ["card", "lease", "loan"]}
    assert model.decision_function(stored).tobytes() == expected.decision_function(features).tobytes()


def test_the_order_of_the_levels_does_not_matter(small, book):
    features, y, _ = book
    turned = features["product"].cat.reorder_categories(["loan", "lease", "card"])
    assert texts(small().fit(features.assign(product=turned), y)) == texts(small().fit(features, y))


def test_a_category_without_a_single_value(small, book):
    features, y, _ = book
    empty = features.assign(product=pd.Series(pd.Categorical([None] * 300, categories=["card"])))
    model = small().fit(empty, y)
    assert model.categories_ == {2: []}
    assert np.isfinite(model.decision_function(features)).all()


def test_reordered_missing_and_extra_columns_are_refused(small, book):
    features, y, _ = book
    model = small().fit(features, y)
    for wrong in (features[features.columns[::-1]], features[["dpd"]], features.assign(more=1.0)):
        with pytest.raises(ValueError, match="feature names should match"):
            model.predict_proba(wrong)


def test_text_where_training_saw_numbers_is_refused_without_showing_it(small, book):
    features, y, _ = book
    model = small().fit(features, y)
    for dtype in ("str", "category", object):
        wrong = features.assign(dpd=pd.Series(["Zhang Wei 110101"] * 300).astype(dtype))
        with pytest.raises(ValueError, match="column 'dpd'") as caught:
            model.decision_function(wrong)
        assert "Zhang" not in str(caught.value)


def test_numbers_where_training_saw_text_are_unknown(small, book):
    features, y, _ = book
    model = small().fit(features, y)
    wrong = features.assign(product=1.0)
    assert model.count_unknown_categories(wrong) == {"product": 300}
    assert np.isfinite(model.decision_function(wrong)).all()


@pytest.mark.parametrize(
    "dtype",
    ["float32", "Float64", "Float32", pd.ArrowDtype(pa.float64()), object],
    ids=str,
)
def test_numbers_score_the_same_however_they_are_stored(small, book, dtype):
    features, y, _ = book
    rounded = features[["dpd", "income"]].round(0) + 0.0
    expected = small().fit(rounded, y).decision_function(rounded)
    stored = rounded.astype(dtype)
    np.testing.assert_array_equal(small().fit(stored, y).decision_function(stored), expected)


@pytest.mark.parametrize(
    "dtype", ["Int64", "boolean", pd.ArrowDtype(pa.int64()), pd.ArrowDtype(pa.bool_())], ids=str
)
def test_nullable_numbers_take_missing_values(small, book, dtype):
    features, y, _ = book
    flag = pd.Series(np.where(features["income"].isna(), None, features["income"] > 1), dtype=object)
    expected = features[["dpd"]].assign(flag=flag.astype("float64"))
    stored = features[["dpd"]].assign(flag=flag.astype("boolean").astype(dtype))
    np.testing.assert_array_equal(
        small().fit(stored, y).decision_function(stored), small().fit(expected, y).decision_function(expected)
    )


# ---- Early stopping


@pytest.fixture(scope="module")
def dated(book):
    """A feature whose meaning turns on the last date: more trees only hurt there."""
    rng = np.random.default_rng(1)
    n = 400
    late = np.arange(n) >= 300
    x = rng.normal(size=n)
    y = (np.where(late, -x, x) + rng.normal(scale=0.3, size=n) > 0).astype(int)
    return pd.DataFrame({"x": x}), y, np.where(late, "2024-03-31", "2024-02-29")


def test_early_stopping_listens_to_the_latest_date(small, dated):
    X, y, dates = dated
    assert small(n_estimators=40, early_stopping_rounds=3).fit(X, y, dates=dates).n_trees_ == 1
    # Where the last date says the same as the others, more trees help.
    alike = np.where(np.arange(300) % 3 == 0, "2024-03-31", "2024-02-29")
    assert (
        1 < small(n_estimators=40, early_stopping_rounds=3).fit(X[:300], y[:300], dates=alike).n_trees_ <= 40
    )


def test_early_stopping_sees_nothing_else(small, dated, monkeypatch):
    X, y, dates = dated
    X = X.assign(row=np.arange(400.0))
    built = []
    dataset = OverdueClassifier._dataset

    def spy(self, matrix, target, weight):
        built.append(set(matrix[:, 1].astype(int)))
        return dataset(self, matrix, target, weight)

    monkeypatch.setattr(OverdueClassifier, "_dataset", spy)
    small(n_estimators=5, early_stopping_rounds=2).fit(X, y, dates=dates)
    assert built[:2] == [set(range(300, 400)), set(range(300))]


@pytest.mark.parametrize("kind", ["text", "numpy", "index", "date"])
def test_dates_in_any_form(small, dated, kind):
    X, y, dates = dated
    index = pd.DatetimeIndex(dates)
    forms = {"text": list(dates), "numpy": index.to_numpy(), "index": index, "date": list(index.date)}
    model = small(n_estimators=10, early_stopping_rounds=2)
    assert model.fit(X, y, dates=forms[kind]).n_trees_ == 1
    assert all(booster.num_trees() == 1 for booster in model.boosters_)


def test_early_stopping_needs_dates_to_stop_on(small, book):
    features, y, _ = book
    model = small(early_stopping_rounds=2)
    for dates in (
        None,
        np.zeros(300),
        pd.DatetimeIndex([pd.NaT] + ["2024-01-31", "2024-02-29"] * 149 + [pd.NaT]),
    ):
        with pytest.raises(ValueError, match="needs dates"):
            model.fit(features, y, dates=dates)
    with pytest.raises(ValueError, match="both classes"):
        model.fit(features, y, dates=y)
    with pytest.raises(ValueError, match="dates has 299"):
        model.fit(features, y, dates=np.arange(299))


# ---- Labels, weights, numbers


@pytest.mark.parametrize(
    ("classes", "expected"), [((0, 3), [0, 3]), ((-1, 1), [-1, 1]), (("no", "yes"), ["no", "yes"])]
)
def test_any_two_labels_are_two_classes(small, book, classes, expected):
    features, y, _ = book
    plain = small().fit(features, y)
    model = small().fit(features, np.array(classes)[y])
    assert model.classes_.tolist() == expected
    assert set(model.predict(features)) == set(expected)
    assert texts(model) == texts(plain)


def test_boolean_labels(small, book):
    features, y, _ = book
    assert small().fit(features, y == 1).predict(features).dtype == bool


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: np.where(np.arange(300) == 7, np.nan, y), "missing labels"),
        (lambda y: pd.Series(y).astype("Int64").where(np.arange(300) > 0), "missing labels"),
        (lambda y: np.zeros(300), "one class"),
        (lambda y: np.arange(300) % 3, "3 classes"),
        (lambda y: y * 0.5, "[Uu]nknown label type"),
        (lambda y: y[:-1], "X has 300 rows and y has 299"),
        (lambda y: np.column_stack([y, y]), "1d array"),
        (lambda y: None, "y"),
    ],
)
def test_labels_that_cannot_be_used(small, book, change, message):
    features, y, _ = book
    with pytest.raises(ValueError, match=message):
        small().fit(features, change(y))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.r_[-1.0, np.ones(299)], "[Nn]egative"),
        (np.r_[np.nan, np.ones(299)], "NaN"),
        (np.r_[np.inf, np.ones(299)], "infinity"),
        (np.ones(299), "sample_weight"),
        (np.zeros(300), "[Ss]ample"),
    ],
)
def test_weights_that_cannot_be_used(small, book, weight, message):
    features, y, _ = book
    with pytest.raises(ValueError, match=message):
        small().fit(features, y, sample_weight=weight)


def test_weights_must_leave_two_classes(small, book):
    features, y, _ = book
    with pytest.raises(ValueError, match="one class"):
        small().fit(features, y, sample_weight=y.astype(float))


def test_weights_move_the_score(small, book):
    features, y, _ = book
    plain, heavy = (
        small().fit(features, y),
        small().fit(features, y, sample_weight=np.where(y == 1, 5.0, 1.0)),
    )
    assert heavy.predict_proba(features)[:, 1].mean() > plain.predict_proba(features)[:, 1].mean() + 0.1


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinity_is_refused_in_training_and_scoring(small, book, value):
    features, y, _ = book
    broken = features.assign(dpd=features["dpd"].where(features.index != 3, value))
    with pytest.raises(ValueError, match="infinity"):
        small().fit(broken, y)
    with pytest.raises(ValueError, match="infinity"):
        small().fit(features, y).predict_proba(broken)


def test_groups_of_another_length(small, book):
    features, y, _ = book
    with pytest.raises(ValueError, match="groups has 299"):
        small().fit(features, y, groups=np.arange(299))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_estimators", 0),
        ("n_estimators", 1.5),
        ("learning_rate", 0.0),
        ("num_leaves", 1),
        ("max_depth", 0),
        ("min_child_samples", 0),
        ("reg_lambda", -1.0),
        ("colsample_bytree", 1.5),
        ("subsample", 0.0),
        ("max_bin", 1),
        ("calibration", "sigmoid"),
        ("early_stopping_rounds", 0),
        ("learning_rate", float("nan")),
    ],
)
def test_settings_out_of_range_are_named(small, book, name, value):
    features, y, _ = book
    with pytest.raises(ValueError, match=name):
        small(**{name: value}).fit(features, y)


# ---- What LightGBM aborts on

_WORST = """
import datetime as dt
import sys
import numpy as np, pandas as pd, pyarrow as pa
from overdue_ml.model import OverdueClassifier

n = 60
rng = np.random.default_rng(0)
num = rng.normal(size=n)
y = (num > 0).astype(int)
text = pa.array([["a", "b", "c"][i % 3] for i in range(n)])
day = [dt.date(2024, 1, 1 + i % 28) for i in range(n)]
arrow = lambda array: pd.Series(array, dtype=pd.ArrowDtype(array.type))
columns = {
    "arrow string": arrow(text),
    "arrow dictionary": arrow(text.dictionary_encode()),
    "arrow date": arrow(pa.array(day)),
    "arrow decimal": arrow(pa.array(range(n)).cast(pa.decimal128(21, 2))),
    "arrow null": arrow(pa.nulls(n)),
    "arrow list": arrow(pa.array([[1]] * n)),
    "date object": pd.Series(day, dtype=object),
    "datetime": pd.Series(pd.DatetimeIndex(day)),
    "list object": pd.Series([[1]] * n, dtype=object),
    "mixed object": pd.Series(["a", 1] * (n // 2), dtype=object),
    "complex": pd.Series(num + 1j),
    "period": pd.Series(pd.period_range("2020-01", periods=n, freq="M")),
}
good = pd.DataFrame({"num": num, "cat": pd.Categorical(text.to_pylist())})
make = lambda **k: OverdueClassifier(n_estimators=3, num_leaves=3, min_child_samples=2, cv=2, n_jobs=1, **k)
tries = {name: lambda c=c: make().fit(pd.DataFrame({"num": num, "x": c}), y) for name, c in columns.items()}
fitted = make().fit(good, y)
for name, c in columns.items():
    tries["score " + name] = lambda c=c: fitted.decision_function(good.assign(num=c))
tries |= {
    "arrow table": lambda: make().fit(pa.table({"a": num, "b": text}), y),
    "constraint on a category": lambda: make(monotone_constraints={"cat": 1}).fit(good, y),
    "constraint out of range": lambda: make(monotone_constraints={"num": 7}).fit(good, y),
    "constraint list": lambda: make(monotone_constraints=[1, 1, 1]).fit(good, y),
    "labels none": lambda: make().fit(good, [None] * n),
    "fewer columns": lambda: fitted.decision_function(good[["num"]]),
    "no rows": lambda: fitted.decision_function(good.iloc[:0]),
    "no columns": lambda: make().fit(good[[]], y),
    "contributions of fewer columns": lambda: fitted.predict_contributions(good[["num"]]),
}
for name, attempt in tries.items():
    try:
        attempt()
        print(name, "->", "handled", flush=True)
    except Exception as error:
        print(name, "->", type(error).__name__, flush=True)
print("alive")
"""


def test_nothing_aborts_the_interpreter():
    done = subprocess.run(
        [sys.executable, "-c", _WORST], capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes = dict(line.split(" -> ") for line in done.stdout.splitlines() if " -> " in line)
    assert done.stdout.endswith("alive\n")
    # Dates and other non-numbers are refused, never taken as nanoseconds.
    for name in ("arrow date", "arrow dictionary", "arrow list", "datetime", "period", "complex"):
        assert outcomes[name] == outcomes[f"score {name}"] == "ValueError"
    for name in ("constraint on a category", "constraint out of range", "constraint list"):
        assert outcomes[name] == "ValueError"
    assert outcomes["arrow string"] == "handled"
