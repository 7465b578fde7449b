"""The overview of a book: its charts and its page, with hostile names."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from overdue_ml.errors import ConfigError
from overdue_ml.explain import (
    compute_dependence,
    compute_importance,
    compute_reason_importance,
    compute_segment_reasons,
    compute_swarm,
    sum_by_reason,
)
from overdue_ml.reports import (
    Names,
    Overview,
    plot_dependence,
    plot_importance,
    plot_interactions,
    plot_segment_reasons,
    plot_swarm,
    render_overview,
)

N = 200
RNG = np.random.default_rng(0)
IDS = pd.Index([f"CUSTOMER-{i}" for i in range(N)])
EVIL = "<script>alert(1)</script>"
REASONS = {"dpd": "LATE", "income": "INCOME", "job": "PROFILE", EVIL: "<b>"}
FEATURES = pd.DataFrame(
    {
        "dpd": np.where(np.arange(N) % 7 == 0, np.nan, RNG.exponential(2e4, N)),
        "income": RNG.integers(0, 4, N).astype(float),
        "job": pd.Categorical(RNG.choice(["a", EVIL], N)),
        EVIL: np.ones(N),
    },
    index=IDS,
)
VALUES = pd.DataFrame(RNG.normal(size=(N, 4)) * [0.5, 0.2, 0.1, 0.05], index=IDS, columns=list(REASONS))
VALUES["dpd"] = FEATURES["dpd"].fillna(0.0) / 4e4
PAIRS = pd.DataFrame({"feature_1": ["dpd"], "feature_2": [EVIL], "mean_abs": [0.02], "mean": [-0.01]})
GROUPS = pd.Series(np.where(np.arange(N) < 10, "tiny", np.where(np.arange(N) % 2, EVIL, "even")), index=IDS)


def overview(**changes):
    parts = {
        "n": N, "n_book": 5000,
        "reasons": compute_reason_importance(VALUES, REASONS),
        "features": compute_importance(VALUES, FEATURES, REASONS),
        "swarm": compute_swarm(VALUES, FEATURES),
        "dependence": {name: compute_dependence(VALUES, FEATURES, name) for name in VALUES},
        "interactions": PAIRS, "n_interactions": 150,
        "segments": {"tier": compute_segment_reasons(sum_by_reason(VALUES, REASONS), GROUPS)},
    }  # fmt: skip
    return Overview(**parts | changes)


NAMES = Names({"LATE": "Days past due", "<b>": EVIL}, {"dpd": "Days & more"}, {"even": "Even ones"})


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_is_one_file_that_runs_nothing_and_names_nobody(lang):
    page = render_overview(overview(), NAMES, {"model": EVIL}, lang, [EVIL])
    assert f'lang="{lang}"' in page
    for forbidden in ("<script", "<b>", "http://", "https://", "CUSTOMER-", "nan", "None"):
        assert forbidden not in page
    assert page.count("<svg") == 1 + 1 + 1 + 4 + 1
    assert "Days past due" in page
    assert "Days &amp; more" in page
    assert page == render_overview(overview(), NAMES, {"model": EVIL}, lang, [EVIL])


def test_the_page_says_what_is_strongest_in_words():
    page = render_overview(overview(), NAMES, {})
    assert "The scores move most by: Days past due (" in page
    assert "The strongest single feature is dpd" in page
    assert "▲ more raises the risk" in page
    assert "act together most are dpd and &lt;script&gt;" in page
    assert "Of 5,000 customers explained, 200 drawn by id are shown." in page
    assert "exact for 150 customers" in page
    # Ten customers are too few to be shown as a group.
    assert "1 group(s) of fewer than 30 customers are not shown." in page
    assert "Even ones" in page
    assert "tiny" not in page


def test_without_a_model_or_groups_the_rest_stands():
    tiny = compute_segment_reasons(sum_by_reason(VALUES, REASONS), GROUPS.where(GROUPS == "tiny"))
    page = render_overview(overview(n_book=N, interactions=None, segments={"tier": tiny}), NAMES, {})
    assert "give the models folder" in page
    assert "drawn by id are shown" not in page
    none = render_overview(overview(interactions=PAIRS.head(0), segments={}), NAMES, {})
    assert "act together most" not in none


def test_dots_and_bars_lie_inside_the_pictures():
    page = render_overview(overview(), NAMES, {})
    for width, height, body in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"(.*?)</svg>', page, re.S):
        for x, y in re.findall(r'cx="([-\d.]+)" cy="([-\d.]+)"', body):
            assert 0 <= float(x) <= float(width)
            assert 0 <= float(y) <= float(height)
        for x, wide in re.findall(r'<rect x="([-\d.]+)" y="[-\d.]+" width="([-\d.]+)"', body):
            assert float(x) + float(wide) <= float(width) + 0.02


def test_an_unknown_language_is_refused():
    with pytest.raises(ConfigError, match="xx"):
        render_overview(overview(), NAMES, {}, "xx")


def test_plots_return_labelled_axes():
    found = overview()
    drawn = [
        plot_importance(found.features),
        plot_importance(found.reasons),
        plot_dependence(found.dependence["dpd"], "dpd"),
        plot_dependence(found.dependence["job"], "job"),
        plot_swarm(found.swarm),
        plot_interactions(PAIRS),
        plot_segment_reasons(found.segments["tier"]),
    ]
    for axes in drawn:
        assert isinstance(axes, Axes)
        assert axes.get_xlabel()
        assert axes.get_title()
    assert [t.get_text() for t in drawn[0].get_yticklabels()][-1] == "dpd"
    assert [t.get_text() for t in drawn[2].get_xticklabels()][-1] == "missing"
    given = drawn[0]
    assert plot_swarm(found.swarm, ax=given) is given
