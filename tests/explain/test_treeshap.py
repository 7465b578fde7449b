from itertools import permutations

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.errors import ModelError
from overdue_ml.explain import TreeShap, explain_scores
from overdue_ml.explain import contributions as contributions_module
from overdue_ml.explain import treeshap as module
from overdue_ml.model import OverdueClassifier

CATEGORICAL = 3
# Numbers that have been taken for something else before: zeros of all kinds, infinities, codes that are none.
ODD = [
    0.0,
    -0.0,
    1e-36,
    -1e-36,
    1e-35,
    2e-35,
    np.nan,
    np.inf,
    -np.inf,
    1e300,
    -1.0,
    -0.5,
    0.5,
    7.9,
    3e9,
    70.0,
]


def odd_rows(rng, n):
    """Four columns: skewed with gaps, whole numbers with zeros and gaps, without gaps, categories."""
    X = np.column_stack(
        [
            np.where(rng.random(n) < 0.2, np.nan, np.exp(rng.normal(size=n))),
            np.where(rng.random(n) < 0.1, np.nan, rng.integers(-3, 4, n).astype(float)),
            rng.normal(size=n),
            np.where(rng.random(n) < 0.1, np.nan, rng.integers(0, 45, n).astype(float)),
        ]
    )
    signal = np.nan_to_num(X[:, 0]) - (X[:, 1] == 0) + X[:, 2] * (X[:, 3] % 3 == 0) + np.isnan(X[:, 0])
    y = (signal + rng.normal(size=n) > 1).astype(int)
    y[:2] = 0, 1
    return X, y


def train(X, y, rounds=5, categorical=(CATEGORICAL,), **params):
    defaults = {
        "objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 1, "learning_rate": 0.3,
        "min_data_per_group": 1, "cat_smooth": 1.0, "min_sum_hessian_in_leaf": 1e-3, "deterministic": True,
    }  # fmt: skip
    data = lgb.Dataset(X, y, categorical_feature=list(categorical), params={"verbose": -1})
    return lgb.train(defaults | params, data, rounds)


def odd_cells(rng, X):
    """Rows as seen in training and, behind them, some with odd numbers at odd places."""
    odd = X[:60].copy()
    odd[rng.random(odd.shape) < 0.4] = np.nan
    places = np.isnan(odd)
    odd[places] = rng.choice(ODD, places.sum())
    return np.concatenate([X, odd])


def assert_like_lightgbm(booster, X, **options):
    found = TreeShap.from_text([booster.model_to_string()], **options).explain(X)
    expected = booster.predict(X, pred_contrib=True)
    np.testing.assert_allclose(found.contributions, expected[:, :-1], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.base, expected[:, -1], rtol=0, atol=1e-12)
    assert found.scores.tobytes() == (booster.predict(X, raw_score=True) + 0.0).tobytes()
    np.testing.assert_allclose(found.contributions.sum(axis=1) + found.base, found.scores, rtol=0, atol=1e-9)
    return found


# ---- Against LightGBM


@settings(deadline=None, max_examples=80)
@given(data=st.data(), seed=st.integers(0, 10_000))
def test_odd_models_like_lightgbm(data, seed):
    rng = np.random.default_rng(seed)
    X, y = odd_rows(rng, data.draw(st.sampled_from([20, 80, 300]), label="rows"))
    boosting = data.draw(st.sampled_from(["gbdt", "dart", "rf"]), label="boosting")
    params = {
        "boosting": boosting,
        "num_leaves": data.draw(st.sampled_from([2, 3, 5, 31, 120]), label="leaves"),
        "max_depth": data.draw(st.sampled_from([-1, 1, 2, 8]), label="depth"),
        "use_missing": data.draw(st.booleans(), label="use_missing"),
        "zero_as_missing": data.draw(st.booleans(), label="zero_as_missing"),
        "max_cat_to_onehot": data.draw(st.sampled_from([1, 4, 64]), label="onehot"),
        "max_bin": data.draw(st.sampled_from([3, 63, 255]), label="bins"),
        "extra_trees": data.draw(st.booleans(), label="extra"),
        "min_data_in_leaf": data.draw(st.sampled_from([1, 5, 400]), label="min_data"),
        "seed": seed,
    }
    if boosting == "rf":
        params |= {"bagging_freq": 1, "bagging_fraction": 0.6}
    booster = train(X, y, data.draw(st.integers(1, 12), label="rounds"), **params)
    # One cell: no leaf fits and all are integrated. Few: tables and integrals together.
    cells = data.draw(st.sampled_from([1, 2, 8, 64, 4096, 65536]), label="cells")
    assert_like_lightgbm(booster, odd_cells(rng, X), max_cells=cells)


@pytest.mark.parametrize("cells", [1, 256, 4096])
def test_deep_trees(cells):
    """Trees that peel off a few rows at each split: leaves under more than twelve features."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 30))
    y = (X > 1.2).any(axis=1).astype(int)
    booster = train(X, y, 6, categorical=(), num_leaves=60, max_bin=15)
    explainer = TreeShap.from_text([booster.model_to_string()], max_cells=cells)
    used = np.diff(explainer._tables.group_feature)
    assert used[explainer._tables.is_large].max() > 12
    assert_like_lightgbm(booster, X[:500], max_cells=cells)


def test_same_feature_again_and_again():
    X, y = np.linspace(-3, 3, 500)[:, None], np.arange(500) // 7 % 2
    booster = train(X, y, 8, categorical=(), num_leaves=100)
    found = assert_like_lightgbm(booster, X)
    # One feature: all of the score beyond the base is its own.
    np.testing.assert_allclose(found.contributions[:, 0], found.scores - found.base, atol=1e-12)


def test_large_tree_of_few_features():
    """More leaves side by side than a group can hold, and a table for each group."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(3000, 2))
    y = (np.sin(9 * X[:, 0]) * np.cos(7 * X[:, 1]) > 0).astype(int)
    assert_like_lightgbm(train(X, y, 3, categorical=(), num_leaves=900), X[:400])


def test_constant_trees_and_stumps():
    X, y = odd_rows(np.random.default_rng(2), 100)
    constant = assert_like_lightgbm(train(X, y, 4, min_data_in_leaf=90), X)
    assert (constant.contributions == 0).all()
    assert np.ptp(constant.scores) == 0
    assert_like_lightgbm(train(X, y, 4, num_leaves=2), X)


def test_no_trees_and_no_rows():
    X, y = odd_rows(np.random.default_rng(2), 100)
    booster = train(X, y, 2)
    text = booster.model_to_string(num_iteration=1, start_iteration=5)
    found = TreeShap.from_text([text]).explain(X)
    assert not found.contributions.any()
    assert not found.scores.any()
    explainer = TreeShap.from_text([booster.model_to_string()])
    assert explainer.explain(X[:0]).contributions.shape == (0, 4)
    assert explainer.explain_top(X[:0], 2).values.shape == (0, 2)


def test_a_bag_is_the_mean_or_the_sum():
    X, y = odd_rows(np.random.default_rng(3), 300)
    boosters = [train(X[i::3], y[i::3], 4, zero_as_missing=i == 1) for i in range(3)]
    texts = [booster.model_to_string() for booster in boosters]
    expected = sum(booster.predict(X, pred_contrib=True) for booster in boosters)
    scores = sum(booster.predict(X, raw_score=True) for booster in boosters)
    for average, divisor in ((True, 3), (False, 1)):
        found = TreeShap.from_text(texts, average=average).explain(X)
        np.testing.assert_allclose(found.contributions, expected[:, :-1] / divisor, atol=1e-9)
        np.testing.assert_allclose(found.base, expected[:, -1] / divisor, atol=1e-12)
        np.testing.assert_array_equal(found.scores, scores / divisor)


# ---- Against the definition


def _goes_left(node, value):
    """LightGBM's decision, written down a second time."""
    if node["decision_type"] == "==":
        codes = {int(code) for code in node["threshold"].split("||")}
        return not np.isnan(value) and int(value) in codes
    if np.isnan(value) and node["missing_type"] != "NaN":
        value = 0.0
    if np.isnan(value) or (node["missing_type"] == "Zero" and abs(value) <= 1e-35):
        return node["default_left"]
    return value <= node["threshold"]


def _expected(node, row, known):
    """Expected leaf value of a tree when only the features in ``known`` are known."""
    if "leaf_value" in node:
        return node["leaf_value"]
    left, right = node["left_child"], node["right_child"]
    if node["split_feature"] in known:
        return _expected(left if _goes_left(node, row[node["split_feature"]]) else right, row, known)
    n_left, n_right = (child.get("internal_count", child.get("leaf_count")) for child in (left, right))
    total = n_left * _expected(left, row, known) + n_right * _expected(right, row, known)
    return total / (n_left + n_right)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    leaves=st.sampled_from([2, 4, 9]),
    zero=st.booleans(),
    missing=st.booleans(),
    cells=st.sampled_from([1, 8, 4096]),
)
def test_contributions_are_shapley_values(seed, leaves, zero, missing, cells):
    """The mean, over all orders in which features become known, of what each adds."""
    X, y = odd_rows(np.random.default_rng(seed), 60)
    params = {"num_leaves": leaves, "zero_as_missing": zero, "use_missing": missing}
    booster = train(X, y, 2, **params)
    trees = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    found = TreeShap.from_text([booster.model_to_string()], max_cells=cells).explain(X[:6])
    orders = list(permutations(range(4)))
    for values, base, row in zip(found.contributions, found.base, X[:6], strict=True):
        worth = {
            known: sum(_expected(tree, row, known) for tree in trees)
            for known in {frozenset(order[:i]) for order in orders for i in range(5)}
        }
        for feature in range(4):
            gains = [
                worth[frozenset(order[: order.index(feature) + 1])]
                - worth[frozenset(order[: order.index(feature)])]
                for order in orders
            ]
            assert values[feature] == pytest.approx(np.mean(gains), abs=1e-9)
        assert base == pytest.approx(worth[frozenset()], abs=1e-9)


STUMP = """tree
version=v4
num_class=1
num_tree_per_iteration=1
max_feature_idx=1
tree_sizes=1

Tree=0
num_leaves=3
num_cat=0
split_feature=0 1
threshold=0.5 2
decision_type=2 2
left_child=-1 -2
right_child=1 -3
leaf_value=-1 1 4
leaf_count=40 30 30
internal_count=100 60
is_linear=0
shrinkage=1

end of trees
"""


def test_by_hand():
    # x0 <= 0.5 (40 of 100): -1. Else x1 <= 2 (30 of 60): 1, else 4. Nothing known: -0.4 + 0.3 + 1.2 = 1.1.
    found = TreeShap.from_text([STUMP]).explain(np.array([[0.0, 9.0], [1.0, 9.0], [1.0, 2.0]]))
    np.testing.assert_allclose(found.base, 1.1, atol=1e-15)
    assert found.scores.tolist() == [-1.0, 4.0, 1.0]
    # Row 0. x0 alone: -1; x1 alone: 0.4 * -1 + 0.6 * 4 = 2; both: -1.
    #   x0: ((-1 - 1.1) + (-1 - 2)) / 2 = -2.55; x1: ((2 - 1.1) + (-1 + 1)) / 2 = 0.45.
    # Row 1. x0 alone: 2.5; x1 alone: 2; both: 4. x0: (1.4 + 2) / 2 = 1.7; x1: (0.9 + 1.5) / 2 = 1.2.
    # Row 2. x0 alone: 2.5; x1 alone: -0.4 + 0.6 = 0.2; both: 1. x0: (1.4 + 0.8) / 2 = 1.1;
    #   x1: (-0.9 - 1.5) / 2 = -1.2.
    np.testing.assert_allclose(
        found.contributions, [[-2.55, 0.45], [1.7, 1.2], [1.1, -1.2]], rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("cells", [1, 4096])
def test_a_leaf_without_training_rows(cells):
    """As a refit leaves behind: what it would add, no row of the training data weighs."""
    text = STUMP.replace("leaf_count=40 30 30", "leaf_count=40 60 0")
    X = np.array([[0.0, 9.0], [1.0, 9.0], [1.0, 2.0], [0.0, 0.0]])
    found = TreeShap.from_text([text], max_cells=cells).explain(X)
    np.testing.assert_allclose(found.contributions.sum(axis=1) + found.base, found.scores, atol=1e-14)
    # Nothing known: -0.4 + 0.6 = 0.2. Row 1. x0 alone: 1; x1 alone: -0.4 + 0.6 * 4 = 2; both: 4.
    np.testing.assert_allclose(found.contributions[1], [(0.8 + 2) / 2, (1.8 + 3) / 2], atol=1e-14)


# ---- The same bytes


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(5)
    X, y = odd_rows(rng, 2000)
    booster = train(X, y, 20, num_leaves=31)
    return TreeShap.from_text([booster.model_to_string()], max_cells=32), odd_cells(rng, X)


def test_holds_tables_and_integrals(fitted):
    assert 0 < fitted[0]._tables.is_large.mean() < 1


@pytest.mark.parametrize("block", [1, 7, 333, 2059, 2060])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_blocks_and_threads_change_nothing(fitted, monkeypatch, block, threads):
    explainer, X = fitted
    whole, top = explainer.explain(X, n_threads=1), explainer.explain_top(X, 2, n_threads=1)
    monkeypatch.setattr(module, "BLOCK", block)
    for a, b in zip(whole, explainer.explain(X, n_threads=threads), strict=True):
        assert a.tobytes() == b.tobytes()
    for a, b in zip(top, explainer.explain_top(X, 2, n_threads=threads), strict=True):
        assert a.tobytes() == b.tobytes()


def test_order_of_rows_changes_nothing(fitted):
    explainer, X = fitted
    order = np.random.default_rng(0).permutation(len(X))
    whole, moved = explainer.explain(X), explainer.explain(X[order])
    assert whole.contributions[order].tobytes() == moved.contributions.tobytes()
    assert whole.scores[order].tobytes() == moved.scores.tobytes()


def test_kinds_of_matrices(fitted):
    explainer, X = fitted
    expected = explainer.explain(X).contributions.tobytes()
    wide = np.zeros((len(X), 8))
    wide[:, ::2] = X
    for same in (np.asfortranarray(X), wide[:, ::2], pd.DataFrame(X), pd.DataFrame(X, index=X[:, 2])):
        assert explainer.explain(same).contributions.tobytes() == expected
    whole = np.nan_to_num(X, nan=2, posinf=3, neginf=-3).clip(-9, 9).astype(np.int8)
    assert (explainer.explain(whole).scores == explainer.explain(whole.astype(float)).scores).all()


def test_progress(fitted, monkeypatch):
    explainer, X = fitted
    monkeypatch.setattr(module, "BLOCK", 1000)
    seen = []
    explainer.explain(X, 2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1000, 2060), (2000, 2060), (2060, 2060)]


# ---- Top


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_top_is_the_largest_of_all(fitted, k):
    explainer, X = fitted
    whole, top = explainer.explain(X), explainer.explain_top(X, k)
    # Stable: the first feature among equals.
    order = np.argsort(-np.abs(whole.contributions), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(top.indices, order)
    np.testing.assert_array_equal(top.values, np.take_along_axis(whole.contributions, order, axis=1))
    np.testing.assert_array_equal(top.scores, whole.scores)
    rest = whole.contributions.sum(axis=1) - top.values.sum(axis=1)
    np.testing.assert_allclose(top.rest, rest, rtol=0, atol=1e-12)


def test_top_by_hand():
    top = TreeShap.from_text([STUMP]).explain_top(np.array([[0.0, 9.0], [1.0, 2.0]]), 1)
    assert top.indices.tolist() == [[0], [1]]
    np.testing.assert_allclose(top.values, [[-2.55], [-1.2]], atol=1e-14)
    np.testing.assert_allclose(top.rest, [0.45, 1.1], atol=1e-14)


def test_top_among_equals_is_the_first_feature():
    # x0 and x1 each move the score by 1 up or down, x2 never does.
    tree = (
        "Tree={0}\nnum_leaves=2\nnum_cat=0\nsplit_feature={0}\nthreshold=0.5\ndecision_type=2\nleft_child=-1\n"
        "right_child=-2\nleaf_value=-1 1\nleaf_count=50 50\ninternal_count=100\nis_linear=0\n\n"
    )
    head = "tree\nnum_tree_per_iteration=1\nmax_feature_idx=2\ntree_sizes=1 1\n\n"
    text = head + tree.format(1) + tree.format(0) + "end of trees\n"
    top = TreeShap.from_text([text]).explain_top(np.array([[1.0, 0.0, 5.0], [0.0, 1.0, 5.0]]), 1)
    assert top.indices.tolist() == [[0], [0]]
    assert top.values.tolist() == [[1.0], [-1.0]]
    assert top.rest.tolist() == [-1.0, 1.0]


# ---- Limits and refusals


def test_memory_is_bounded():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 20))
    booster = train(X, (X.sum(axis=1) > 0).astype(int), 10, categorical=(), num_leaves=31)
    text = booster.model_to_string()
    free, tight = TreeShap.from_text([text]), TreeShap.from_text([text], max_bytes=50_000)
    assert tight._tables.tables.nbytes <= 50_000 < free._tables.tables.nbytes
    assert tight.n_bytes < free.n_bytes
    np.testing.assert_allclose(
        tight.explain(X).contributions, free.explain(X).contributions, rtol=0, atol=1e-12
    )


def chain(n):
    """A tree that asks for one feature after the other."""
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


@pytest.mark.parametrize("n", [20, 128])
def test_long_chains(n):
    X = np.random.default_rng(0).integers(0, 2, (50, n)).astype(float)
    X[:5] = 1.0
    found = TreeShap.from_text([chain(n)]).explain(X)
    # Zeros go left: the leaf is the first feature that is zero, and the last leaf where there is none.
    first = np.where((X == 0).any(axis=1), (X == 0).argmax(axis=1), n)
    assert found.scores.tolist() == first.tolist()
    np.testing.assert_allclose(found.contributions.sum(axis=1) + found.base, first, atol=1e-9)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "needs a list"),
        (STUMP, "needs a list"),
        (["{}"], "not the text of a LightGBM model"),
        ([STUMP, chain(5)], "different numbers of features"),
        ([chain(129)], "129 features"),
        ([STUMP.replace("is_linear=0", "is_linear=1")], "linear leaves"),
        ([STUMP.replace("per_iteration=1", "per_iteration=3")], "one output"),
        ([STUMP[:200]], "cannot be read"),
        ([STUMP.replace("end of trees", "")], "trees are missing"),
        ([STUMP.replace("tree_sizes=1", "tree_sizes=1 1")], "trees are missing"),
        ([STUMP.replace("split_feature=0 1", "split_feature=0 2")], "does not have"),
        ([STUMP.replace("split_feature=0 1", "split_feature=0")], "split_feature has 1 values"),
        ([STUMP.replace("right_child=1 -3", "right_child=0 -3")], "hang together"),
        ([STUMP.replace("right_child=1 -3", "right_child=-2 -3")], "hang together"),
        ([STUMP.replace("left_child=-1 -2", "left_child=-1 1").replace("right_child=1", "right_child=-2")],
         "before its parent"),
        ([STUMP.replace("internal_count=100 60", "internal_count=100 0")], "no training rows"),
        ([STUMP.replace("leaf_value=-1", "leaf_value=nan")], "not a number"),
        ([STUMP.replace("leaf_value=-1", "leaf_value=x")], "cannot be read"),
        ([STUMP.replace("decision_type=2 2", "decision_type=2 1")], "no categories"),
    ],
)  # fmt: skip
def test_refuses_what_it_cannot_explain(texts, message):
    with pytest.raises(ModelError, match=message) as caught:
        TreeShap.from_text(texts)
    assert caught.value.exit_code == 4


def test_linear_trees_and_several_classes_of_lightgbm_are_refused():
    X, y = odd_rows(np.random.default_rng(0), 200)
    X = np.nan_to_num(X[:, :3])
    linear = train(X, y, 2, categorical=(), linear_tree=True)
    several = train(X, np.arange(200) % 3, 2, categorical=(), objective="multiclass", num_class=3)
    for booster, message in ((linear, "linear"), (several, "one output")):
        with pytest.raises(ModelError, match=message):
            TreeShap.from_text([booster.model_to_string()])


def test_refuses_wrong_matrices_and_numbers():
    explainer = TreeShap.from_text([STUMP])
    for wrong in (np.zeros((3, 3)), np.zeros(2)):
        with pytest.raises(ModelError, match="2 columns"):
            explainer.explain(wrong)
    for k in (0, 3):
        with pytest.raises(ModelError, match="1 to 2"):
            explainer.explain_top(np.zeros((3, 2)), k)
    for cells in (0, 2**16 + 1):
        with pytest.raises(ModelError, match="max_cells"):
            TreeShap.from_text([STUMP], max_cells=cells)


# ---- In explain_scores


@pytest.fixture(scope="module")
def bag():
    rng = np.random.default_rng(7)
    X, y = odd_rows(rng, 600)
    features = pd.DataFrame(X[:, :3], columns=["a", "b", "c"], index=[f"c{i}" for i in range(600)])
    features["d"] = pd.Categorical(np.where(np.isnan(X[:, 3]), None, (X[:, 3] % 5).astype(str)))
    settings = {"n_estimators": 20, "cv": 3, "min_child_samples": 3, "colsample_bytree": 1.0, "n_jobs": -1}
    model = OverdueClassifier(**settings).fit(features, y)
    new = features.assign(d=features["d"].astype("str").replace("1.0", "boat"))
    return model, new, model.decision_function(new)


def test_explain_scores_takes_the_tables(bag, monkeypatch):
    model, features, log_odds = bag
    values, base = model.predict_contributions(features)
    monkeypatch.setattr(contributions_module, "_FAST_BLOCK", 250)
    monkeypatch.setattr(OverdueClassifier, "predict_contributions", None)
    seen = []
    fast = explain_scores(model, features, log_odds, progress=lambda done, total: seen.append((done, total)))
    np.testing.assert_allclose(fast.values, values, rtol=0, atol=1e-12)
    assert fast.base == pytest.approx(base[0], abs=1e-12)
    assert fast.values.index.equals(features.index)
    assert fast.values.columns.tolist() == features.columns.tolist()
    assert seen == [(250, 600), (500, 600), (600, 600)]
    log_odds = log_odds.copy()
    log_odds[300] += 2e-9
    with pytest.raises(ModelError, match="contributions of 1 rows do not add up"):
        explain_scores(model, features, log_odds)


def test_explain_scores_falls_back_to_lightgbm(bag, monkeypatch):
    model, features, log_odds = bag

    def refuse(texts):
        raise ModelError("no tables")

    monkeypatch.setattr(contributions_module, "_BUILT", {})
    monkeypatch.setattr(TreeShap, "from_text", refuse)
    found = explain_scores(model, features, log_odds)
    assert found.values.to_numpy().tobytes() == model.predict_contributions(features)[0].tobytes()
