from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from overdue_ml.errors import ConfigError
from overdue_ml.metrics import calibration_table, capture_curve, evaluate_scores
from overdue_ml.reports import render_evaluation

HOSTILE = "<script>alert(1)</script><svg onload=alert(1)>\"'\u202e" + "X" * 10_000
RNG = np.random.default_rng(0)
P = RNG.beta(1, 4, 1000)
Y = (RNG.random(1000) < P).astype(int)
EVALUATION = {
    "metrics": evaluate_scores(Y, P, n_boot=20),
    "calibration": calibration_table(Y, P),
    "capture": capture_curve(Y, P),
    "parts": pd.DataFrame({"part": ["train", "test"], "rows": [24_000, 6_000], "auc": [0.79312, np.nan]}),
}


class _Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[str]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, [name for name, _ in attrs]))


def _check(html: str) -> None:
    for tag, names in _Tags(html).found:
        assert tag not in ("script", "img", "link", "iframe")
        assert not [n for n in names if n.startswith("on") or n in ("src", "href", "style")]
    assert "Content-Security-Policy" in html
    assert not re.search(r"https?:|url\(|@import", html)


def test_the_page_shows_metrics_charts_parts_and_data_sheet():
    rest = ({"Model": "overdue v3"}, {"Source": "UCI"}, ["One date only."], "Run 7")
    html = render_evaluation(EVALUATION, *rest)
    _check(html)
    auc = EVALUATION["metrics"].set_index("metric").loc["auc"]
    interval = f"{auc['low']:.4f} to {auc['high']:.4f}"
    shown = (
        "Lift, riskiest 10 %",
        "24,000",
        "overdue v3",
        "UCI",
        "One date only.",
        "<h1><bdi>Run 7</bdi></h1>",
    )
    for expected in (f"{auc['value']:.4f}", interval, *shown):
        assert expected in html
    assert html.count('role="img"') == 2
    assert html == render_evaluation(EVALUATION, *rest)


def test_only_metrics_are_needed():
    html = render_evaluation({"metrics": evaluate_scores(Y, P)}, {})
    _check(html)
    assert "95 % interval" not in html
    with pytest.raises(ConfigError, match="metrics"):
        render_evaluation({}, {})


def test_hostile_names_stay_text():
    table = pd.DataFrame({HOSTILE: [HOSTILE, None], "n": [1, 2]})
    html = render_evaluation(
        EVALUATION | {HOSTILE: table}, {HOSTILE: HOSTILE}, {HOSTILE: HOSTILE}, [HOSTILE], title=HOSTILE
    )
    _check(html)
    assert "\u202e" not in html
    assert "<svg onload" not in html


def test_long_tables_are_cut_and_say_so():
    html = render_evaluation(EVALUATION | {"by_day": pd.DataFrame({"n": range(600)})}, {})
    assert "The first 500 of 600 rows." in html
    assert ">By day<" in html
