from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.errors import ModelError
from overdue_ml.explain import contributions as module
from overdue_ml.explain.contributions import (
    TOLERANCE,
    build_explainer,
    check_ties_out,
    choose_background,
    explain_features,
    explain_scores,
    score_features,
)
from overdue_ml.model import OverdueClassifier

SMALL = {
    "n_estimators": 6, "learning_rate": 0.3, "num_leaves": 5, "min_child_samples": 3, "reg_lambda": 0.1,
    "colsample_bytree": 1.0, "cv": 2, "n_jobs": 1,
}  # fmt: skip


def book(seed, n=60, categories=True):
    rng = np.random.default_rng(seed)
    features = pd.DataFrame(
        {
            "dpd": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
            "income": rng.integers(0, 5, n).astype(float),
            "empty": np.full(n, np.nan),
        },
        index=pd.MultiIndex.from_product(
            [[f"c{i}" for i in range(n)], [pd.Timestamp("2024-01-31")]], names=["customer_id", "as_of_date"]
        ),
    )
    if categories:
        features["product"] = pd.Categorical(rng.choice(["a", "b", "c"], n)).astype("category")
        features.loc[features.index[:3], "product"] = None
    y = (features["dpd"].fillna(0.5).to_numpy() + rng.normal(size=n) > 0).astype(int)
    y[:2] = 0, 1
    return features, y


@pytest.fixture(scope="module")
def fitted():
    features, y = book(0)
    return OverdueClassifier(**SMALL).fit(features, y), features


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000), leaves=st.integers(2, 12), cv=st.integers(2, 4), lr=st.floats(0.01, 1.0))
def test_base_and_contributions_are_the_log_odds(seed, leaves, cv, lr):
    features, y = book(seed)
    model = OverdueClassifier(**SMALL | {"num_leaves": leaves, "cv": cv, "learning_rate": lr}).fit(
        features, y
    )
    # Rows the model has not seen, with a level and a gap of their own.
    new = book(seed + 1)[0].assign(product=lambda d: d["product"].astype("str").replace("b", "boat"))
    for rows in (features, new):
        log_odds = model.decision_function(rows)
        found = explain_scores(model, rows, log_odds)
        gap = found.values.sum(axis=1) + found.base - log_odds
        assert gap.abs().max() <= TOLERANCE
        assert (found.values["empty"] == 0).all()


def test_indexed_like_the_features(fitted):
    model, features = fitted
    found = explain_scores(model, features, model.decision_function(features))
    assert found.values.index.equals(features.index)
    assert found.values.columns.tolist() == features.columns.tolist()


@pytest.fixture(params=["tables", "pred_contrib"])
def way(request, monkeypatch):
    """Both ways of explaining."""
    if request.param == "pred_contrib":
        monkeypatch.setattr(module, "build_explainer", lambda classifier: None)


@pytest.mark.parametrize("block", [1, 7, 59, 60, 61])
def test_blocks_change_nothing(fitted, monkeypatch, block, way):
    model, features = fitted
    log_odds = model.decision_function(features)
    whole = explain_scores(model, features, log_odds)
    seen = []
    monkeypatch.setattr(module, "_BLOCK", block)
    monkeypatch.setattr(module, "_FAST_BLOCK", block)
    cut = explain_scores(model, features, log_odds, progress=lambda done, total: seen.append((done, total)))
    assert cut.values.to_numpy().tobytes() == whole.values.to_numpy().tobytes()
    assert cut.base == whole.base
    assert seen[-1] == (60, 60)
    assert len(seen) == -(-60 // block)


@pytest.mark.parametrize("n", [1, 7, 59])
def test_a_part_of_the_book_is_explained_as_the_whole(fitted, n, way):
    model, features = fitted
    log_odds = model.decision_function(features)
    whole = explain_scores(model, features, log_odds)
    part = explain_scores(model, features.iloc[-n:], log_odds[-n:])
    assert part.values.to_numpy().tobytes() == whole.values.iloc[-n:].to_numpy().tobytes()
    assert part.base == whole.base


@pytest.mark.parametrize("n_threads", [None, 1, 3])
@pytest.mark.parametrize("block", [7, 1000])
def test_scores_of_the_same_pass_have_the_bits_of_lightgbm(fitted, monkeypatch, block, n_threads, way):
    model, features = fitted
    expected = model.decision_function(features)
    values = explain_scores(model, features, expected).values
    monkeypatch.setattr(module, "_FAST_BLOCK", block)
    log_odds, found = explain_features(model, features, n_threads=n_threads)
    assert log_odds.tobytes() == expected.tobytes()
    assert score_features(model, features, n_threads).tobytes() == expected.tobytes()
    pd.testing.assert_frame_equal(found.values, values, check_exact=True)


@pytest.mark.parametrize("checked", [1, 60])
def test_scores_of_other_tables_are_refused(fitted, monkeypatch, checked):
    model, features = fitted
    other = OverdueClassifier(**SMALL | {"learning_rate": 0.1}).fit(features, (np.arange(60) % 2))
    monkeypatch.setattr(module, "_CHECKED", checked)
    with pytest.raises(ModelError, match="not those of LightGBM"):
        explain_features(model, features, explainer=build_explainer(other))
    tables = build_explainer(other)
    monkeypatch.setattr(module, "build_explainer", lambda classifier: tables)
    with pytest.raises(ModelError, match="not those of LightGBM"):
        score_features(model, features)


def test_nobody_to_explain(fitted):
    model, features = fitted
    assert explain_scores(model, features.iloc[:0], np.array([])).values.shape == (0, 4)
    assert len(explain_features(model, features.iloc[:0])[0]) == 0
    assert len(score_features(model, features.iloc[:0])) == 0


@pytest.mark.parametrize("off", [2e-9, -1.0, np.nan, np.inf])
def test_one_row_that_does_not_add_up_stops_all(fitted, off):
    model, features = fitted
    log_odds = model.decision_function(features)
    log_odds[17] += off
    with pytest.raises(ModelError, match="contributions of 1 rows do not add up") as caught:
        explain_scores(model, features, log_odds)
    assert caught.value.exit_code == 4
    assert "c17" not in str(caught.value)


def test_scores_of_another_model_are_refused(fitted):
    model, features = fitted
    other = OverdueClassifier(**SMALL | {"learning_rate": 0.1}).fit(features, (np.arange(60) % 2))
    with pytest.raises(ModelError, match="do not add up"):
        explain_scores(model, features, other.decision_function(features))


def test_the_explainer_is_built_once_and_anew_after_another_fit(fitted, monkeypatch):
    features, y = book(0)
    model = OverdueClassifier(**SMALL).fit(features, y)
    first = build_explainer(model)
    assert build_explainer(model) is first
    assert build_explainer(fitted[0]) is not first
    rows, log_odds = features.iloc[:7], model.decision_function(features.iloc[:7])
    found = explain_scores(model, rows, log_odds)
    # Given one, as a task in another process is, it builds none.
    monkeypatch.setattr(module, "build_explainer", None)
    given = explain_scores(model, rows, log_odds, explainer=first)
    assert given.values.to_numpy().tobytes() == found.values.to_numpy().tobytes()
    monkeypatch.undo()
    model.set_params(learning_rate=0.1).fit(features, y)
    assert build_explainer(model) is not first
    explain_scores(model, rows, model.decision_function(rows))


def test_against_a_background_the_base_is_its_mean(fitted):
    model, features = fitted
    log_odds = model.decision_function(features)
    chosen = choose_background([str(i) for i in features.index.get_level_values(0)], 20)
    background = features.loc[chosen]
    found = explain_scores(model, features, log_odds, explainer=build_explainer(model, background))
    assert found.base == pytest.approx(model.decision_function(background).mean(), abs=1e-12)
    plain = explain_scores(model, features, log_odds)
    assert not np.allclose(found.values, plain.values)
    # Against herself alone no feature of a customer changes anything.
    one = features.iloc[[5]]
    alone = explain_scores(model, one, log_odds[[5]], explainer=build_explainer(model, one))
    assert (alone.values == 0).all(axis=None)
    with pytest.raises(ModelError, match="nobody is in the background"):
        build_explainer(model, features.iloc[:0])


def test_the_background_is_drawn_by_id():
    ids = [f"c{i}" for i in range(1000)]
    drawn = choose_background(ids, 50)
    assert drawn == sorted(drawn) == choose_background(ids[::-1], 50)
    assert len(set(drawn)) == 50
    assert len(set(choose_background(ids[1:], 50)) - set(drawn)) <= 1
    assert choose_background(ids, 50, seed=1) != drawn
    assert choose_background(ids[:3], 50) == ids[:3]
    # 500 of each half are expected about equally often: 25 +- 3.5.
    assert 10 < sum(int(i[1:]) < 500 for i in drawn) < 40


def test_ties_out_by_hand():
    matrix = np.array([[1.0, -0.5], [0.0, 0.25]])
    assert check_ties_out(matrix, 0.5, np.array([1.0, 0.75])) == 0.0
    assert check_ties_out(matrix, 0.5, np.array([1.0, 0.75 + 1e-10])) == pytest.approx(1e-10, rel=1e-3)
    assert check_ties_out(np.empty((0, 2)), 0.5, np.array([])) == 0.0
    with pytest.raises(ModelError, match="largest gap 1"):
        check_ties_out(matrix, 0.5, np.array([2.0, 0.75]))


def test_rows_and_scores_of_different_length():
    with pytest.raises(ValueError, match="shapes"):
        check_ties_out(np.zeros((3, 2)), 0.0, np.zeros(2))


# ---- Against the definition


def _given(node, row, known):
    """Expected leaf value of a tree when only the features in ``known`` are known."""
    if "leaf_value" in node:
        return node["leaf_value"]
    left, right = node["left_child"], node["right_child"]
    feature = node["split_feature"]
    if feature in known:
        value = row[feature]
        if np.isnan(value):
            goes_left = node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0
        else:
            goes_left = value <= node["threshold"]
        return _given(left if goes_left else right, row, known)
    n_left, n_right = (child.get("internal_count", child.get("leaf_count")) for child in (left, right))
    total = n_left * _given(left, row, known) + n_right * _given(right, row, known)
    return total / (n_left + n_right)


def _shapley(boosters, row):
    """Shapley values by their definition: the mean over all orders in which features become known."""
    trees = [tree["tree_structure"] for b in boosters for tree in b.dump_model()["tree_info"]]
    n = len(row)

    def worth(known):
        return sum(_given(tree, row, known) for tree in trees) / len(boosters)

    orders = list(permutations(range(n)))
    values = np.zeros(n)
    for order in orders:
        for i, feature in enumerate(order):
            values[feature] += worth(set(order[: i + 1])) - worth(set(order[:i]))
    return values / len(orders), worth(set())


def test_contributions_are_shapley_values():
    features, y = book(3, n=120, categories=False)
    model = OverdueClassifier(**SMALL).fit(features, y)
    rows = features.iloc[:12]
    assert rows["dpd"].isna().any()
    found = explain_scores(model, rows, model.decision_function(rows))
    for values, row in zip(found.values.to_numpy(), rows.to_numpy(), strict=True):
        expected, base = _shapley(model.boosters_, row)
        np.testing.assert_allclose(values, expected, atol=1e-9)
        assert found.base == pytest.approx(base, abs=1e-9)


# matplotlib's, raised while shap is imported.
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_agrees_with_shap():
    import shap

    features, y = book(3, n=120, categories=False)
    model = OverdueClassifier(**SMALL).fit(features, y)
    found = explain_scores(model, features, model.decision_function(features))
    theirs = [shap.TreeExplainer(booster)(features.to_numpy()) for booster in model.boosters_]
    values = np.mean([t.values for t in theirs], axis=0)
    np.testing.assert_allclose(found.values.to_numpy(), values, atol=1e-9)
    np.testing.assert_allclose(found.base, np.mean([t.base_values for t in theirs]), atol=1e-9)

    explanation = found.to_explanation(features)
    assert isinstance(explanation, shap.Explanation)
    assert explanation.feature_names == features.columns.tolist()
    np.testing.assert_array_equal(explanation.values, found.values.to_numpy())
    np.testing.assert_array_equal(explanation.base_values, np.full(120, found.base))
    np.testing.assert_array_equal(explanation.data, features.to_numpy())
    # One customer's bars, in shap's own way of slicing.
    assert explanation[4].values.shape == (3,)
