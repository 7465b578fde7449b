"""The picture of verdicts by month: what is summed, what is drawn, and the same bytes."""

import re

import pandas as pd
import pytest
from matplotlib.axes import Axes

from overdue_ml.errors import ConfigError
from overdue_ml.metrics import evaluate_scores
from overdue_ml.reports import plot_verdicts, render_evaluation
from overdue_ml.reports.verdicts import VERDICT_COLOURS, verdict_chart, verdicts_by_month

DAYS = pd.to_datetime(["2024-01-15", "2024-01-31", "2024-02-29", "2024-03-31"])
BY_DATE = pd.DataFrame(
    {
        "overdue": [1, 3, 0, 0],
        "on_time": [19, 7, 20, 0],
        "technical": [0, 1, 0, 0],
        "already_overdue": [0, 0, 5, 0],
        "nothing_due": [0, 0, 0, 0],
        "immature": [0, 0, 0, 25],
        "overdue_rate": [0.05, 0.3, 0.0, float("nan")],
    },
    index=DAYS.rename("as_of_date"),
)


def test_dates_of_a_month_are_summed():
    months = verdicts_by_month(BY_DATE)
    assert list(months.index) == ["2024-01", "2024-02", "2024-03"]
    # (1 + 3) of (1 + 3 + 19 + 7) = 0.1333; the mean of the two rates would be 0.175.
    assert months["overdue_rate"].tolist()[:2] == [4 / 30, 0.0]
    assert pd.isna(months["overdue_rate"].iloc[2])
    assert months.loc["2024-01", "technical"] == 1


def test_axes_show_every_verdict_that_occurs_and_the_rate():
    axes = plot_verdicts(BY_DATE)
    assert isinstance(axes, Axes)
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words == ["overdue", "on time", "technical", "already overdue", "immature"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2024-01", "2024-02", "2024-03"]
    heights = sum(patch.get_height() for patch in axes.patches)
    assert heights == BY_DATE.drop(columns="overdue_rate").to_numpy().sum()
    line, final, still_open = next(a for a in axes.figure.axes if a is not axes).get_lines()
    assert line.get_ydata()[:2].tolist() == pytest.approx([100 * 4 / 30, 0.0])
    # March has immature rows: its rate, had it one, would be hollow.
    assert (len(final.get_ydata()), len(still_open.get_ydata())) == (2, 1)


def test_the_inline_picture_stacks_to_the_whole():
    drawn = str(verdict_chart(BY_DATE))
    assert drawn == str(verdict_chart(BY_DATE.iloc[::-1]))
    # January has three verdicts, February two, March one; each bar is 120 high. Legend squares are 10.
    bars = re.findall(
        r'<rect x="([\d.]+)" y="[\d.]+" width="[\d.]+" height="([\d.]+)" class="v-(\w+)"', drawn
    )
    heights = {}
    for x, height, _ in bars:
        if float(height) != 10:
            heights[x] = heights.get(x, 0) + float(height)
    assert [round(height) for height in heights.values()] == [120, 120, 120]
    assert {kind for _, _, kind in bars} == {"overdue", "on_time", "technical", "already_overdue", "immature"}
    # Two months have a rate, so two dots; none hollow until one of them has open rows.
    assert drawn.count('class="dot"') == 2
    some_open = str(verdict_chart(BY_DATE.assign(immature=[0, 0, 1, 25])))
    assert (some_open.count('class="dot"'), some_open.count('class="dot open"')) == (1, 1)


def test_an_unknown_verdict_is_drawn_and_cannot_break_out():
    strange = BY_DATE.assign(**{"<script>": 1})
    drawn = str(verdict_chart(strange))
    assert "<script>" not in drawn
    assert "v-other" in drawn


def test_every_colour_of_the_figure_is_that_of_the_page():
    page = render_evaluation(
        {"metrics": evaluate_scores([0, 1, 0, 1], [0.1, 0.9, 0.2, 0.8], n_boot=0), "verdicts": BY_DATE}, {}
    )
    for name, colour in VERDICT_COLOURS.items():
        assert f"svg .v-{name} {{ fill: {colour}; }}" in page
    assert "Labels by month" in page


def test_nothing_to_draw_is_an_error():
    for table in (BY_DATE.iloc[:0], BY_DATE[["technical"]]):
        with pytest.raises(ConfigError, match="there are no verdicts to draw"):
            plot_verdicts(table)
