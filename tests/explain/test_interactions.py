"""Interactions and contributions against a background, both against their definition."""

from itertools import combinations
from math import factorial

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.errors import ModelError
from overdue_ml.explain import TreeShap, compute_interactions, interaction_values
from overdue_ml.explain import interactions as module
from overdue_ml.model import OverdueClassifier

# Numbers that have been taken for something else before.
ODD = [0.0, -0.0, 1e-36, 1e-35, 2e-35, np.nan, np.inf, -np.inf, -1.0, 7.9, 70.0]


def odd_rows(rng, n):
    """Skewed with gaps, whole numbers with zeros, without gaps, categories."""
    X = np.column_stack(
        [
            np.where(rng.random(n) < 0.2, np.nan, np.exp(rng.normal(size=n))),
            np.where(rng.random(n) < 0.1, np.nan, rng.integers(-3, 4, n).astype(float)),
            rng.normal(size=n),
            np.where(rng.random(n) < 0.1, np.nan, rng.integers(0, 12, n).astype(float)),
        ]
    )
    signal = np.nan_to_num(X[:, 0]) - (X[:, 1] == 0) + X[:, 2] * (X[:, 3] % 3 == 0)
    y = (signal + rng.normal(size=n) > 1).astype(int)
    y[:2] = 0, 1
    return X, y


def train(X, y, rounds, **params):
    defaults = {
        "objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 1, "learning_rate": 0.3,
        "min_data_per_group": 1, "cat_smooth": 1.0, "min_sum_hessian_in_leaf": 1e-3, "deterministic": True,
    }  # fmt: skip
    data = lgb.Dataset(X, y, categorical_feature=[3], params={"verbose": -1})
    return lgb.train(defaults | params, data, rounds)


def with_odd_cells(rng, X, n):
    rows = X[rng.integers(0, len(X), n)]
    odd = rng.random(rows.shape) < 0.3
    rows[odd] = rng.choice(ODD, odd.sum())
    return rows


def subsets(n):
    return [frozenset(s) for size in range(n + 1) for s in combinations(range(n), size)]


def shapley(worth, n):
    """Of ``worth`` by set, as the definition has it."""
    values = []
    for i in range(n):
        own = 0.0
        for s in subsets(n):
            if i not in s:
                own += (
                    factorial(len(s)) * factorial(n - len(s) - 1) / factorial(n) * (worth[s | {i}] - worth[s])
                )
        values.append(own)
    return np.array(values)


def shapley_interaction(worth, n):
    """Halves off the diagonal, what is left of the Shapley value on it (Lundberg et al. 2020)."""
    values = np.diag(shapley(worth, n))
    for i, j in combinations(range(n), 2):
        total = 0.0
        for s in subsets(n):
            if i not in s and j not in s:
                weight = factorial(len(s)) * factorial(n - len(s) - 2) / (2 * factorial(n - 1))
                total += weight * (worth[s | {i, j}] - worth[s | {i}] - worth[s | {j}] + worth[s])
        values[i, j] = values[j, i] = total
        values[i, i] -= total
        values[j, j] -= total
    return values


# ---- Against a background


@settings(deadline=None, max_examples=40)
@given(data=st.data(), seed=st.integers(0, 10_000))
def test_contributions_against_a_background_by_definition(data, seed):
    rng = np.random.default_rng(seed)
    X, y = odd_rows(rng, 150)
    booster = train(
        X, y, data.draw(st.integers(1, 6), label="rounds"), seed=seed,
        num_leaves=data.draw(st.sampled_from([2, 5, 31]), label="leaves"),
        use_missing=data.draw(st.booleans(), label="use_missing"),
        zero_as_missing=data.draw(st.booleans(), label="zero_as_missing"),
        max_cat_to_onehot=data.draw(st.sampled_from([1, 64]), label="onehot"),
    )  # fmt: skip
    rows, background = with_odd_cells(rng, X, 6), with_odd_cells(rng, X, 9)
    # One cell: all leaves are summed up over the patterns of the background, and none by a table.
    cells = data.draw(st.sampled_from([1, 8, 4096]), label="cells")
    explainer = TreeShap.from_text([booster.model_to_string()], max_cells=cells, background=background)
    found = explainer.explain(rows)
    assert found.scores.tobytes() == (booster.predict(rows, raw_score=True) + 0.0).tobytes()
    assert explainer.base == pytest.approx(booster.predict(background, raw_score=True).mean(), abs=1e-12)
    for row, values in zip(rows, found.contributions, strict=True):
        worth = {}
        for s in subsets(4):
            mixed = background.copy()
            mixed[:, list(s)] = row[list(s)]
            worth[s] = booster.predict(mixed, raw_score=True).mean()
        np.testing.assert_allclose(values, shapley(worth, 4), rtol=0, atol=1e-9)


def chain(n):
    """A tree that asks for one feature after the other; zeros go left."""
    parts = {
        "split_feature": range(n), "threshold": [0.5] * n, "decision_type": [2] * n,
        "left_child": range(-1, -n - 1, -1), "right_child": [*range(1, n), -n - 1],
        "leaf_value": range(n + 1), "leaf_count": [1] * (n + 1), "internal_count": range(n + 1, 1, -1),
    }  # fmt: skip
    lines = [f"{name}={' '.join(map(str, values))}" for name, values in parts.items()]
    head = f"tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx={n - 1}\ntree_sizes=1\n"
    return "\n".join(
        [head, "Tree=0", f"num_leaves={n + 1}", "num_cat=0", *lines, "is_linear=0", "", "end of trees"]
    )


@pytest.mark.parametrize("n", [2, 20, 53, 128])
def test_leaves_of_very_many_features_against_a_background(n):
    """Leaf i needs ones before feature i and a zero there; the background has ones only, and so leaf n."""
    background, rows = np.ones((3, n)), np.ones((4, n))
    rows[1, n - 1] = 0.0
    rows[2, 0] = 0.0
    rows[3, [0, n - 1]] = 0.0
    explainer = TreeShap.from_text([chain(n)], background=background)
    found = explainer.explain(rows)
    assert explainer.base == n
    assert found.scores.tolist() == [n, n - 1, 0, 0]
    expected = np.zeros((4, n))
    expected[1, n - 1] = -1.0
    expected[2, 0] = -n
    # Alone the last lowers the score by 1 and the first by n; after the first the last does nothing.
    expected[3, n - 1], expected[3, 0] = -0.5, -n + 0.5
    np.testing.assert_allclose(found.contributions, expected, rtol=0, atol=1e-9)


def test_a_background_in_any_order_and_in_any_threads_gives_the_same_bytes():
    rng = np.random.default_rng(1)
    X, y = odd_rows(rng, 400)
    text = train(X, y, 10, num_leaves=31).model_to_string()
    for cells in (1, 4096):
        one = TreeShap.from_text([text], max_cells=cells, background=X[:100])
        other = TreeShap.from_text([text], max_cells=cells, background=X[:100][::-1])
        assert one.base == other.base
        first = one.explain(X, n_threads=1).contributions
        assert first.tobytes() == other.explain(X, n_threads=3).contributions.tobytes()
        twice = TreeShap.from_text([text], max_cells=cells, background=np.repeat(X[:100], 2, axis=0))
        np.testing.assert_allclose(twice.explain(X).contributions, first, rtol=0, atol=1e-12)


@pytest.mark.parametrize("background", [np.zeros((0, 2)), np.zeros((3, 3)), np.zeros(2)])
def test_a_background_that_fits_no_model_is_refused(background):
    with pytest.raises(ModelError, match="background has the shape"):
        TreeShap.from_text([chain(2)], background=background)


# ---- Interactions


def goes_left(node, value):
    """LightGBM's decision, written down a second time."""
    if node["decision_type"] == "==":
        codes = {int(code) for code in node["threshold"].split("||")}
        return not np.isnan(value) and int(value) in codes
    if np.isnan(value) and node["missing_type"] != "NaN":
        value = 0.0
    if np.isnan(value) or (node["missing_type"] == "Zero" and abs(value) <= 1e-35):
        return node["default_left"]
    return value <= node["threshold"]


def expected_value(node, row, known):
    """Expected leaf value of a tree when only the features in ``known`` are known."""
    if "leaf_value" in node:
        return node["leaf_value"]
    left, right = node["left_child"], node["right_child"]
    if node["split_feature"] in known:
        return expected_value(left if goes_left(node, row[node["split_feature"]]) else right, row, known)
    n_left, n_right = (child.get("internal_count", child.get("leaf_count")) for child in (left, right))
    total = n_left * expected_value(left, row, known) + n_right * expected_value(right, row, known)
    return total / (n_left + n_right)


@settings(deadline=None, max_examples=12)
@given(data=st.data(), seed=st.integers(0, 10_000))
def test_interactions_by_definition_add_up_to_contributions(data, seed):
    rng = np.random.default_rng(seed)
    X, y = odd_rows(rng, 150)
    options = {
        "num_leaves": data.draw(st.sampled_from([2, 5, 31]), label="leaves"),
        "zero_as_missing": data.draw(st.booleans(), label="zero_as_missing"),
        "max_cat_to_onehot": data.draw(st.sampled_from([1, 64]), label="onehot"),
    }
    boosters = [train(X, y, 3, seed=seed + i, extra_trees=i == 1, **options) for i in range(2)]
    texts = [booster.model_to_string() for booster in boosters]
    rows = with_odd_cells(rng, X, 5)
    # A category below zero is none: LightGBM's definition above would look it up.
    rows[:, 3] = np.where(rows[:, 3] < 0, np.nan, np.nan_to_num(rows[:, 3], nan=np.nan, posinf=9.0))
    found = interaction_values(texts, rows)
    contributions = sum(b.predict(rows, pred_contrib=True) for b in boosters)[:, :-1] / 2
    np.testing.assert_allclose(found.sum(axis=2), contributions, rtol=0, atol=1e-9)
    assert (found == found.transpose(0, 2, 1)).all()
    trees = [tree["tree_structure"] for b in boosters for tree in b.dump_model()["tree_info"]]
    for row, values in zip(rows, found, strict=True):
        worth = {s: sum(expected_value(t, row, s) for t in trees) / 2 for s in subsets(4)}
        np.testing.assert_allclose(values, shapley_interaction(worth, 4), rtol=0, atol=1e-9)


def test_interactions_by_hand():
    """x0 and x1 of a chain of two: 0 where x0 is zero, else 1 where x1 is zero, else 2."""
    found = interaction_values([chain(2)], np.array([[1.0, 1.0]]))[0]
    # Of 3 training rows one has x0 zero, of the other two one x1 zero. Nothing known: 1. x0 alone: 1.5;
    # x1 alone: 2 * 2 / 3; both: 2. Together beyond each alone: 2 - 1.5 - 4/3 + 1 = 1/6, in two halves.
    np.testing.assert_allclose(found[0, 1], 1 / 12, atol=1e-14)
    # Contributions (1/2 + 2/3) / 2 and (1/3 + 1/2) / 2, less the half each.
    np.testing.assert_allclose(np.diag(found), [7 / 12 - 1 / 12, 5 / 12 - 1 / 12], atol=1e-14)


@pytest.mark.parametrize("n", [20, 128])
def test_interactions_of_leaves_of_very_many_features(n):
    X = np.random.default_rng(0).integers(0, 2, (12, n)).astype(float)
    X[:4] = 1.0
    found = interaction_values([chain(n)], X)
    contributions = TreeShap.from_text([chain(n)]).explain(X).contributions
    np.testing.assert_allclose(found.sum(axis=2), contributions, rtol=0, atol=1e-9)


@pytest.mark.parametrize("cells", [16, 16 * 7, 16 * 5000])
def test_blocks_and_threads_change_no_interaction(monkeypatch, cells):
    rng = np.random.default_rng(1)
    X, y = odd_rows(rng, 60)
    text = train(X, y, 10, num_leaves=31).model_to_string()
    whole = interaction_values([text], X, n_threads=1)
    monkeypatch.setattr(module, "_BLOCK_CELLS", cells)
    assert interaction_values([text], pd.DataFrame(X), n_threads=3).tobytes() == whole.tobytes()


def test_the_strongest_pair_comes_first():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(600, 4)), columns=["a", "b", "c", "idle"])
    X["idle"] = 1.0
    X.index = [f"c{i:03}" for i in range(600)]
    y = (2 * X["a"] * X["c"] + X["b"] + rng.normal(size=600) > 0).astype(int)
    settings_ = {"n_estimators": 40, "learning_rate": 0.2, "cv": 2, "min_child_samples": 5, "n_jobs": 1}
    model = OverdueClassifier(**settings_).fit(X, y)
    found = compute_interactions(model, X.head(50))
    assert found.columns.tolist() == ["feature_1", "feature_2", "mean_abs", "mean"]
    assert found.iloc[0, :2].tolist() == ["a", "c"]
    assert (found["mean_abs"].diff().dropna() <= 0).all()
    assert "idle" not in found.to_numpy()
    values = interaction_values([b.model_to_string() for b in model.boosters_], X.head(50).to_numpy())
    both = values[:, 0, 2] + values[:, 2, 0]
    assert found.loc[0, "mean_abs"] == pytest.approx(np.abs(both).mean(), rel=1e-12)
    assert found.loc[0, "mean"] == pytest.approx(both.mean(), rel=1e-9)
    pd.testing.assert_frame_equal(
        compute_interactions(model, X.head(50).sample(frac=1, random_state=1)), found
    )
    with pytest.raises(ModelError, match="no rows"):
        compute_interactions(model, X.head(0))
    with pytest.raises(ModelError, match="4 columns"):
        interaction_values([b.model_to_string() for b in model.boosters_], X[["a"]])
