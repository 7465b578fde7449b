"""Reasons with a protected attribute count and are never told, in whatever words are made of a score."""

import datetime as dt

import pandas as pd
import pytest

from overdue_ml.explain import Rescorer, load_wording, pay_arrears
from overdue_ml.explain.change import Scores, split_change
from overdue_ml.explain.smallest import search_smallest

AS_OF = dt.date(2024, 4, 15)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_what_if_adds_them_to_the_others(lender, linear, lang):
    """Everything paid: -0.60 through what is unpaid, and through nothing else."""
    words = load_wording(lang)
    ann = Rescorer(lender, "ANN", AS_OF, linear.model(linear.weights))
    title = words.title("INSTALMENT_UNPAID")
    for answer in (ann.what_if([pay_arrears()]), search_smallest(ann, 0.1)):
        assert title in " ".join(answer.sentences(words))
        told = " ".join(answer.sentences(words, silent={"INSTALMENT_UNPAID"}))
        assert title not in told
        assert "-0.60" in told


def test_a_change_adds_them_to_the_others():
    def scores(profile, other):
        by_reason = pd.DataFrame({"PROFILE": [profile], "SPENDING": [other]}, index=["a"])
        log_odds = by_reason.sum(axis=1) - 1.0
        return Scores(by_reason, -1.0, log_odds, pd.Series([0.2], index=["a"]))

    then, now = scores(0.1, 0.2), scores(0.9, 0.3)
    change, words = split_change(then, now.by_reason, now), load_wording("en")
    open_, silent = (" ".join(change.sentences("a", words, "x", "y", s)) for s in ((), {"PROFILE"}))
    assert f"{words.title('PROFILE')}: +0.80" in open_
    assert words.title("PROFILE") not in silent
    assert "All other reasons together: +0.80" in silent
    assert f"{words.title('SPENDING')}: +0.10" in silent
