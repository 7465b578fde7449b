"""A reader with a pocket calculator: every figure of the chain follows from those printed before it."""

from __future__ import annotations

import datetime as dt
import math
import re

import numpy as np
import pytest

from overdue_ml.config import PointsConfig
from overdue_ml.explain.wording import load_wording
from overdue_ml.model import compute_points
from overdue_ml.reports import Card, ReasonLine, render_card


def _rows(html, kind):
    table = re.search(rf'<table class="{kind}">(.*?)</table>', html, re.DOTALL)[1]
    return [cell.replace("−", "-").replace("= ", "") for cell in re.findall(r"<td>(.*?)</td>", table)]


def _share(text):
    return float(text.strip("<> %")) / 100


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("seed", range(15))
def test_the_printed_figures_can_be_done_again(lang, seed):
    rng = np.random.default_rng(seed)
    words = load_wording(lang)
    codes = sorted(words.reasons)
    values = rng.normal(0, 0.2, len(codes))
    base = float(rng.normal(-1.5, 0.5))
    log_odds = base + math.fsum(values)
    # A calibrator of Platt's kind: what is printed after it must hang on its own probability alone.
    p = 1 / (1 + math.exp(-(0.9 * log_odds - 0.2)))
    scale = PointsConfig(base=600.0, odds=50.0, pdo=20.0)
    points = float(compute_points(np.array([p]), scale)[0])
    html = render_card(
        Card(
            "C1", dt.date(2024, 4, 15), lang, p, log_odds, base, points,
            "high", 1, 10, [], [], None, 1.0, 1.0, p,
            [ReasonLine(c, words.title(c), "Fact.", float(x)) for c, x in zip(codes, values, strict=True)],
            [], points_scale=scale,
        ),
        words,
    )  # fmt: skip
    # 1. Starting point + what raises + what lowers = log-odds, to the last printed digit.
    start, up, down, total = (float(x) for x in _rows(html, "sums"))
    assert round(start + up + down, 2) == total
    # 2. The reasons that are told and all others come to the same.
    told = [float(x.replace("−", "-")) for x in re.findall(r'<td class="value">(.*?)</td>', html)]
    assert round(start + math.fsum(told), 2) == total
    # 3. The probability before calibration is that of the printed log-odds, within their rounding.
    scale_rows = _rows(html, "scale")
    assert float(scale_rows[0]) == total
    raw = _share(scale_rows[1])
    assert abs(raw - 1 / (1 + math.exp(-total))) <= 0.25 * 0.005 + 0.0005 + 1e-9
    # 4. Odds are those of the calibrated probability, and the points those of the odds.
    calibrated = _share(scale_rows[2])
    odds = float(re.search(r"[\d.,]+(?:e[+-]?\d+)?", scale_rows[3])[0].replace(",", ""))
    assert abs(1 / (1 + odds) - calibrated) <= 0.0005 + 1e-6
    assert abs(600 + 20 * math.log2(odds / 50) - float(scale_rows[4].replace(",", ""))) <= 0.51
