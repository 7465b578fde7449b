from __future__ import annotations

import numpy as np
import pytest

from overdue_ml.explain.speaking import CONTRADICTIONS, MAX_ADVERSE, MAX_PROTECTIVE, choose_reasons
from overdue_ml.features.catalogue import default_registry

CODES = sorted({feature.reason for feature in default_registry(["education"])})


def test_every_pair_is_of_two_reasons_of_the_registry():
    assert all(len(pair) == 2 and pair <= set(CODES) for pair in CONTRADICTIONS)


def test_the_stronger_of_a_contradiction_is_told():
    # By hand: often late lowers by 0.3 what days late raises by 0.2, so only the former is told.
    told = choose_reasons({"INSTALMENT_DEPTH": 0.2, "INSTALMENT_OFTEN": -0.3, "ACCOUNT_AGE": 0.1})
    assert told == (["ACCOUNT_AGE"], ["INSTALMENT_OFTEN"])
    # The same way round they do not contradict each other.
    assert choose_reasons({"INSTALMENT_DEPTH": 0.2, "INSTALMENT_OFTEN": 0.3}) == (
        ["INSTALMENT_OFTEN", "INSTALMENT_DEPTH"],
        [],
    )


def test_a_reason_that_is_not_told_contradicts_nothing():
    # Five raise; the fifth is over the limit, so what contradicts it may be told.
    strong = dict.fromkeys(("ACCOUNT_AGE", "CREDIT_LIMIT", "SPENDING", "UTILISATION"), 1.0)
    raises, lowers = choose_reasons(strong | {"LATE_DEPTH": 0.5, "LATE_OFTEN": -0.1})
    assert sorted(raises) == sorted(strong)
    assert lowers == ["LATE_OFTEN"]


def test_silent_and_tiny_reasons_are_not_told():
    assert choose_reasons({"PROFILE": 2.0, "SPENDING": 0.0049, "UTILISATION": float("nan")}, ["PROFILE"]) == (
        [],
        [],
    )


@pytest.mark.parametrize("seed", range(50))
def test_no_choice_contradicts_itself_and_the_order_of_the_reasons_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    values = dict(zip(CODES, rng.normal(0, 0.3, len(CODES)).round(2).tolist(), strict=True))
    raises, lowers = choose_reasons(values)
    assert len(raises) <= MAX_ADVERSE
    assert len(lowers) <= MAX_PROTECTIVE
    assert all(values[code] > 0 for code in raises)
    assert all(values[code] < 0 for code in lowers)
    assert not {frozenset((a, b)) for a in raises for b in lowers} & CONTRADICTIONS
    assert choose_reasons(dict(reversed(list(values.items())))) == (raises, lowers)
