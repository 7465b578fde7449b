"""The cost of monotone constraints: nothing where they are true, something where they are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from overdue_ml.model import Rows, constraint_cost

FAMILIES = {"repay_dpd": "repay", "repay_early": "repay", "income_level": "income", "noise": "other"}


def rows(n=1500, seed=0):
    """Risk rises with dpd, and falls then rises with income: a direction of income is wrong by half."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 4)), columns=list(FAMILIES))
    z = 1.5 * X["repay_dpd"] + 1.5 * np.abs(X["income_level"]) - 1.5
    y = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(int).to_numpy()
    return Rows(X, y, pd.Index([f"c{i}" for i in range(n)]), pd.DatetimeIndex(["2024-01-31"] * n))


@pytest.mark.parametrize("fitted_with", [True, False])
def test_only_the_family_with_the_wrong_direction_costs(small, fitted_with):
    train, test = rows(), rows(seed=1)
    constraints = {"repay_dpd": 1, "income_level": -1, "noise": 0}
    wanted = {name: d for name, d in constraints.items() if d}
    model = small(n_estimators=60, monotone_constraints=wanted if fitted_with else None)
    model.fit(train.features, train.target, groups=train.groups)
    told = []
    found = constraint_cost(
        model, constraints, FAMILIES, train, test, n_boot=40, advance=lambda *step: told.append(step)
    )
    assert list(found) == ["all", "income", "repay"]
    assert [found[name]["n_constraints"] for name in found] == [2, 1, 1]
    for part in ("oof", "test"):
        for metric in ("log_loss", "auc"):
            costly, free = (found[name][f"{part}_{metric}_low"] for name in ("income", "repay"))
            assert costly > 0, (part, metric)
            assert free <= 0, (part, metric)
        figures = found["all"]
        assert figures[f"{part}_log_loss_cost"] == pytest.approx(
            figures[f"{part}_log_loss_with"] - figures[f"{part}_log_loss_without"]
        )
        assert figures[f"{part}_auc_cost"] == pytest.approx(
            figures[f"{part}_auc_without"] - figures[f"{part}_auc_with"]
        )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    z = model.decision_function(test.features)
    wins = (z[test.target == 1][:, None] > z[test.target == 0]).mean()
    ties = (z[test.target == 1][:, None] == z[test.target == 0]).mean()
    assert found["all"]["test_auc_with" if fitted_with else "test_auc_without"] == pytest.approx(
        wins + ties / 2
    )


def test_the_model_itself_is_not_fitted_again(small, monkeypatch):
    train, test = rows(300), rows(300, seed=1)
    model = small().fit(train.features, train.target)
    boosters = model.boosters_
    found = constraint_cost(model, {"repay_dpd": 1}, FAMILIES, train, test, n_boot=5)
    assert list(found) == ["all"]  # the only family is all there is
    assert model.boosters_ is boosters
    assert model.monotone_constraints is None


def test_without_constraints_there_is_nothing_to_measure(small):
    train = rows(300)
    model = small().fit(train.features, train.target)
    assert constraint_cost(model, {"noise": 0}, FAMILIES, train, train) == {}
