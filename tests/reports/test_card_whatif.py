"""The what-if section of the card."""

from __future__ import annotations

import datetime as dt

import pytest

from overdue_ml.errors import ModelError
from overdue_ml.explain.wording import load_wording
from overdue_ml.reports import Scenario, WhatIfCard
from overdue_ml.reports.card_whatif import what_if_section

EN = load_wording("en")
AS_OF = dt.date(2024, 4, 15)
PAID = Scenario(
    "everything that has fallen due is paid today", AS_OF, 0.334, 0.1996, "high", "medium",
    [("Unpaid instalments", -0.604), ("Amounts paid", -0.1), ("Days past due", 0.01)],
)  # fmt: skip
LOWER = Scenario(
    "the incomes of the latest 90 days had been lower by 20 %", AS_OF, 0.334, 0.36, "high", "high"
)


def test_each_event_is_a_row_with_what_it_does():
    found = what_if_section(WhatIfCard([PAID, LOWER], "None brings it below 20 %."), AS_OF, EN)
    assert found.rows == [
        [
            "everything that has fallen due is paid today", "2024-04-15", "33.4 %", "20.0 %",
            "High risk → Medium risk", "Unpaid instalments −0.60 · Amounts paid −0.10",
        ],
        ["the incomes of the latest 90 days had been lower by 20 %", "2024-04-15", "33.4 %", "36.0 %",
         "High risk", "–"],
    ]  # fmt: skip
    assert len(found.head) == 6
    assert found.words == ["None brings it below 20 %."]
    assert found.notes == [EN.text("what_if_note")]


def test_what_was_not_asked_and_what_could_not_be_asked():
    assert what_if_section(None, AS_OF, EN) is None
    found = what_if_section(WhatIfCard(absent="No model."), AS_OF, EN)
    assert (found.rows, found.words, found.notes) == ([], ["No model."], [])
    found = what_if_section(WhatIfCard(smallest="In the lowest tier."), AS_OF, EN)
    assert found.words == [EN.text("what_if_none"), "In the lowest tier."]


def test_days_before_the_card_and_odd_probabilities_are_refused():
    with pytest.raises(ValueError, match="before 2024-04-16"):
        what_if_section(WhatIfCard([PAID]), AS_OF + dt.timedelta(days=1), EN)
    wrong = Scenario("x", AS_OF, 0.1, 1.2, "low", "high")
    with pytest.raises(ModelError, match="not between 0 and 1"):
        what_if_section(WhatIfCard([wrong]), AS_OF, EN)
