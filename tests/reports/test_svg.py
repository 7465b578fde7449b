from __future__ import annotations

import math

import pytest

from overdue_ml.reports import svg


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0, 93),
        (0, 1),
        (-3.5, 12),
        (0, 1e15),
        (-1e15, 1e15),
        (0, 1e-7),
        (0.2, 0.9),
        (0, 0),
        (5, 5),
        (0, 1e-320),
    ],
)
def test_ticks_cover_the_range_with_few_steps(low, high):
    ticks = svg.nice_ticks(low, high)
    assert 2 <= len(ticks) <= 7
    assert ticks == sorted(set(ticks))
    assert ticks[0] <= low + 1e-9 * max(1, abs(low))
    assert ticks[-1] >= high - 1e-9 * max(1, abs(high))


def test_ticks_of_nothing_still_have_a_range():
    assert len(svg.nice_ticks(0.0, math.inf)) == 2


def test_numbers_and_texts_are_written_safely():
    assert [svg.number(v) for v in (-0.001, 1.0, 2.345678)] == ["0", "1", "2.35"]
    assert (
        str(svg.text(1, 2, "<b>&"))
        == '<text x="1" y="2" class="label" text-anchor="start">&lt;b&gt;&amp;</text>'
    )
    assert 'class="&#34;&gt;"' in str(svg.rect(0, 0, 1, -2, '">'))
    assert "<title>&lt;/title&gt;</title>" in str(svg.picture(1, 1, "</title>", []))


def test_clean_shows_what_must_not_be_obeyed():
    assert svg.clean("a\u202eb\x1bc\ud800") == "a\ufffdb\ufffdc\ufffd"
    assert svg.clean("字" * 10) == "字" * 10
    assert svg.clean(None) == "None"
