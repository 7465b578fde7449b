"""The best single rule: chosen by rank alone, whichever way it points and wherever its gaps belong."""

from __future__ import annotations

import numpy as np
import pandas as pd

from overdue_ml.metrics import SingleRule, compute_auc, find_best_rule

Y = np.array([0, 0, 0, 1, 1, 1])


def test_the_best_column_wins_whichever_way_it_points():
    frame = pd.DataFrame({"late": [0, 1, 0, 1, 0, 1], "days_since": [9.0, 8.0, 7.0, 3.0, 2.0, 1.0]})
    rule = find_best_rule(Y, frame)
    assert rule == SingleRule("days_since", rising=False, missing_first=False, auc=1.0)
    assert compute_auc(Y, rule.score(frame["days_since"])) == 1.0


def test_gaps_stand_where_they_rank_best():
    # Never late, so no days since: the safest. And no report at all: the riskiest.
    safe = pd.DataFrame({"dpd": [np.nan, np.nan, np.nan, 3.0, 2.0, 1.0]})
    rule = find_best_rule(Y, safe)
    assert (rule.missing_first, rule.auc) == (False, 1.0)
    risky = pd.DataFrame({"dpd": [3.0, 2.0, 1.0, np.nan, np.nan, np.nan]})
    rule = find_best_rule(Y, risky)
    assert (rule.missing_first, rule.auc) == (True, 1.0)
    # Beyond every number, also where numbers are too large for a step of one.
    assert rule.score([1e300, np.nan])[1] > rule.score([1e300, np.nan])[0]


def test_ties_go_to_the_first_name_and_words_are_passed_over():
    frame = pd.DataFrame({"b": Y, "a": Y * 2, "word": list("xxxyyy")})
    assert find_best_rule(Y, frame).feature == "a"
    assert find_best_rule(Y, frame[["word"]]) is None
    assert find_best_rule(Y, frame[["b"]].assign(b=np.nan)).auc == 0.5
