"""Global views, worked out by hand on five customers and drawn by shap's own plots."""

import numpy as np
import pandas as pd
import pytest

from overdue_ml.errors import ModelError
from overdue_ml.explain import (
    Contributions,
    compute_dependence,
    compute_importance,
    compute_reason_importance,
    compute_segment_reasons,
    compute_swarm,
    sum_by_reason,
)

IDS = pd.Index(["a", "b", "c", "d", "e"], name="customer_id")
REASONS = {"dpd": "LATE", "late": "LATE", "income": "INCOME", "job": "PROFILE"}
FEATURES = pd.DataFrame(
    {
        "dpd": [0.0, 10.0, 20.0, np.nan, 30.0],
        "late": [0.0, 1.0, 1.0, 1.0, 0.0],
        "income": [5.0, 4.0, 3.0, 2.0, 1.0],
        "job": pd.Categorical(["x", "y", "x", None, "z"]),
    },
    index=IDS,
)
VALUES = pd.DataFrame(
    {
        "dpd": [-0.4, 0.1, 0.2, 0.0, 0.8],
        "late": [0.2, 0.1, 0.1, 0.1, -0.5],
        "income": [-0.2, -0.1, 0.0, 0.1, 0.2],
        "job": [0.1, -0.1, 0.3, 0.0, 0.0],
    },
    index=IDS,
)


def test_importance_by_hand():
    found = compute_importance(VALUES, FEATURES, REASONS).set_index("feature")
    # dpd: (0.4 + 0.1 + 0.2 + 0.8) / 5; late 1 / 5; income 0.6 / 5; job 0.5 / 5; in all 0.72.
    assert found.index.tolist() == ["dpd", "late", "income", "job"]
    np.testing.assert_allclose(found["mean_abs"], [0.3, 0.2, 0.12, 0.1])
    np.testing.assert_allclose(found["share"], np.array([0.3, 0.2, 0.12, 0.1]) / 0.72)
    np.testing.assert_allclose(found["mean"], [0.14, 0.0, 0.0, 0.06], atol=1e-15)
    np.testing.assert_allclose(found["raises"], [0.6, 0.8, 0.4, 0.4])
    # The contribution rises with dpd where that is known and falls with income. Places of late are 1.5, 4, 4,
    # 4, 1.5, of its contributions 5, 3, 3, 3, 1: about their mean of 3 the products are -3, 0, 0, 0 and 3.
    np.testing.assert_allclose(found["direction"].head(3), [1.0, 0.0, -1.0], atol=1e-12)
    assert np.isnan(found.loc["job", "direction"])
    assert found["reason_code"].tolist() == ["LATE", "LATE", "INCOME", "PROFILE"]


def test_reasons_are_summed_customer_by_customer():
    found = compute_reason_importance(VALUES, REASONS)
    # LATE: -0.2, 0.2, 0.3, 0.1, 0.3, so 1.1 / 5, where the features alone make 0.5.
    assert found["reason_code"].tolist() == ["LATE", "INCOME", "PROFILE"]
    np.testing.assert_allclose(found["mean_abs"], [0.22, 0.12, 0.1])
    np.testing.assert_allclose(found["share"].sum(), 1.0)
    np.testing.assert_allclose(found["raises"], [0.8, 0.4, 0.4])
    assert found["n_features"].tolist() == [2, 1, 1]


def test_dependence_of_numbers_categories_and_what_is_missing():
    found = compute_dependence(VALUES, FEATURES, "dpd")
    assert found["kind"].tolist() == ["number"] * 4 + ["missing"]
    assert found["low"].tolist()[:4] == found["high"].tolist()[:4] == [0.0, 10.0, 20.0, 30.0]
    np.testing.assert_allclose(found["mean"], [-0.4, 0.1, 0.2, 0.8, 0.0])
    np.testing.assert_allclose(found["share"], 0.2)
    # Two bins of four: the lower two and the upper two.
    halves = compute_dependence(VALUES, FEATURES, "dpd", bins=2)
    assert halves[["low", "high"]].head(2).to_numpy().tolist() == [[0.0, 10.0], [20.0, 30.0]]
    np.testing.assert_allclose(halves["mean"], [-0.15, 0.5, 0.0])
    np.testing.assert_allclose(
        halves.loc[1, ["low_10", "median", "high_90"]].astype(float), [0.26, 0.5, 0.74]
    )
    jobs = compute_dependence(VALUES, FEATURES, "job")
    # x has 0.1 and 0.3, z nothing, y -0.1.
    assert jobs["label"].tolist()[:3] == ["x", "z", "y"]
    assert jobs["n"].tolist() == [2, 1, 1, 1]
    few = compute_dependence(VALUES, FEATURES, "job", bins=2)
    assert few["kind"].tolist() == ["category", "other", "missing"]
    assert few["n"].tolist() == [2, 2, 1]


def test_infinite_and_many_equal_values_have_a_bin():
    n = 200
    index = pd.RangeIndex(n)
    cells = np.r_[np.zeros(150), np.linspace(1, 40, 48), np.inf, -np.inf]
    features = pd.DataFrame({"x": cells}, index=index)
    found = compute_dependence(pd.DataFrame({"x": np.arange(n) / n}, index=index), features, "x", bins=10)
    assert found["n"].sum() == n
    assert found["low"].iloc[0] == -np.inf
    assert found["high"].iloc[-1] == np.inf
    assert (found["low"].to_numpy()[1:] > found["high"].to_numpy()[:-1]).all()


def test_segments_by_hand():
    by_reason = sum_by_reason(VALUES, REASONS)
    segments = pd.Series(["low", "high", "high", None, "low"], index=IDS)
    found = compute_segment_reasons(by_reason, segments).set_index(["segment", "reason_code"])
    assert found.index.get_level_values(0).unique().tolist() == ["high", "low"]
    assert found.loc["high", "n"].tolist() == [2, 2, 2]
    # LATE of b and c is 0.2 and 0.3, of everybody 0.14 on average.
    assert found.loc[("high", "LATE"), "mean"] == pytest.approx(0.25)
    assert found.loc[("high", "LATE"), "difference"] == pytest.approx(0.11)
    assert found.loc[("low", "INCOME"), "difference"] == pytest.approx(0.0)
    levels = segments.astype(pd.CategoricalDtype(["low", "none", "high"]))
    ordered = compute_segment_reasons(by_reason, levels)
    assert ordered["segment"].unique().tolist() == ["low", "high"]


def test_the_swarm_names_nobody_and_keeps_dots_apart():
    found = compute_swarm(VALUES, FEATURES, top=2)
    assert found.columns.tolist() == ["feature", "contribution", "place", "lane"]
    assert found["feature"].unique().tolist() == ["dpd", "late"]
    dpd = found[found["feature"] == "dpd"]
    np.testing.assert_allclose(dpd["place"], [0, 1 / 3, 2 / 3, np.nan, 1])
    # b, c and d stand at one place of late: in the middle and on both sides of it.
    late = found[found["feature"] == "late"]["lane"]
    assert sorted(late.tolist()) == [-1.0, 0.0, 0.0, 0.0, 1.0]
    assert len(compute_swarm(VALUES, FEATURES, top=1, points=3)) == 3


def test_the_order_of_customers_changes_no_bit():
    rng = np.random.default_rng(0)
    n = 500
    index = pd.Index([f"c{i:03}" for i in range(n)])
    values = pd.DataFrame(rng.normal(size=(n, 4)) * 0.3, index=index, columns=list(REASONS))
    features = pd.DataFrame(rng.normal(size=(n, 4)).round(1), index=index, columns=list(REASONS))
    segments = pd.Series(rng.choice(["x", "y"], n), index=index)
    order = rng.permutation(n)
    moved, moved_features = values.iloc[order], features.iloc[order]
    views = (
        lambda v, f: compute_importance(v, f, REASONS),
        lambda v, f: compute_reason_importance(v, REASONS),
        lambda v, f: compute_dependence(v, f, "dpd"),
        lambda v, f: compute_swarm(v, f, points=50),
        lambda v, f: compute_segment_reasons(sum_by_reason(v, REASONS), segments),
    )
    for view in views:
        pd.testing.assert_frame_equal(view(values, features), view(moved, moved_features), check_exact=True)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ModelError, match="nobody was explained"):
        compute_importance(VALUES.head(0), FEATURES.head(0), REASONS)
    with pytest.raises(ModelError, match="not of the same customers"):
        compute_importance(VALUES, FEATURES.iloc[::-1], REASONS)
    with pytest.raises(ModelError, match="not of the same customers"):
        compute_swarm(VALUES, FEATURES.drop(columns="dpd"))
    with pytest.raises(ModelError, match="'nothing'"):
        compute_dependence(VALUES, FEATURES, "nothing")


# matplotlib's, raised while shap is imported and while it draws.
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning", "ignore::FutureWarning")
def test_shaps_own_plots_take_contributions():
    import matplotlib as mpl

    mpl.use("Agg")
    import shap
    from matplotlib import pyplot

    explanation = Contributions(VALUES, -1.0).to_explanation(FEATURES)
    for draw in (
        lambda: shap.plots.beeswarm(explanation, show=False),
        lambda: shap.plots.bar(explanation, show=False),
        lambda: shap.plots.waterfall(explanation[2], show=False),
    ):
        draw()
        labels = " ".join(t.get_text() for axes in pyplot.gcf().axes for t in axes.get_yticklabels())
        assert "dpd" in labels
        pyplot.close("all")
