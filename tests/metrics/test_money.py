"""Lift in money: hand-worked sums, bounds, and the same answer for any order of rows."""

from __future__ import annotations

import numpy as np
import pytest

from overdue_ml.metrics import expected_overdue_capture, money_curve, money_table

RNG = np.random.default_rng(5)
N = 400
P = RNG.beta(1, 3, N)
Y = (RNG.random(N) < P).astype(int)
MONEY = np.round(RNG.lognormal(5, 1, N), 2)
RANKINGS = {"risk": P, "expected": P * MONEY}


def test_sums_worked_by_hand():
    # Two of four rows are worked. Risk takes rows 0 and 1, amount rows 1 and 3; overdue are 0 and 1.
    table = money_table(
        [1, 1, 0, 0],
        [0.5, 0.4, 0.2, 0.1],
        [10.0, 30.0, 20.0, 40.0],
        {"risk": [4, 3, 2, 1], "amount": [1, 3, 2, 4]},
        top=[0.5],
    ).set_index("ranking")
    assert table["expected_amount"].to_dict() == pytest.approx(
        {"risk": 17.0, "amount": 16.0, "random": 12.5, "perfect": 17.0}
    )
    assert table["realised_amount"].to_dict() == {"risk": 40, "amount": 30, "random": 20, "perfect": 40}
    assert table["share"].to_dict() == {"risk": 1.0, "amount": 0.75, "random": 0.5, "perfect": 1.0}
    assert table["lift"].to_dict() == {"risk": 2.0, "amount": 1.5, "random": 1.0, "perfect": 2.0}


def test_shares_are_those_of_the_capture_metric_and_nothing_beats_perfect():
    table = money_table(Y, P, MONEY, RANKINGS, top=[0.05, 0.2], n_boot=20)
    for row in table.to_dict("records"):
        if row["ranking"] in RANKINGS:
            score = RANKINGS[row["ranking"]]
            assert row["share"] == pytest.approx(expected_overdue_capture(Y, score, MONEY, row["top"]))
            assert row["low"] <= row["share"] <= row["high"]
            assert row["share"] == pytest.approx(row["realised_amount"] / (Y * MONEY).sum())
    by_top = table.pivot_table(index="top", columns="ranking", values="share")
    assert (by_top.max(axis=1) == by_top["perfect"]).all()


def test_the_order_of_the_rows_changes_nothing():
    mixed = RNG.permutation(N)
    owner = np.repeat(np.arange(N // 2), 2)
    straight = money_table(Y, P, MONEY, RANKINGS, groups=owner, n_boot=15)
    moved = {name: score[mixed] for name, score in RANKINGS.items()}
    again = money_table(Y[mixed], P[mixed], MONEY[mixed], moved, groups=owner[mixed], n_boot=15)
    assert straight.equals(again)


def test_the_curve_ends_at_everything():
    curve = money_curve(Y, MONEY, P, n_points=20)
    assert curve["captured"].iloc[-1] == 1.0
    assert curve["captured"].is_monotonic_increasing
    at = expected_overdue_capture(Y, P, MONEY, 0.25)
    assert curve.set_index("share").loc[0.25, "captured"] == pytest.approx(at)


def test_no_money_is_no_lift():
    for function in (
        lambda: money_table([0, 1], [0.1, 0.2], [5.0, 0.0], {"risk": [1, 2]}),
        lambda: money_curve([0, 1], [5.0, 0.0], [1, 2]),
        lambda: money_table([0, 1], [0.1, 0.2], [5.0, -1.0], {"risk": [1, 2]}),
    ):
        with pytest.raises(ValueError, match="amount"):
            function()
