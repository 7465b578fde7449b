"""A ledger of instalments small enough to work out by hand, and a model whose scores can be."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from overdue_ml.config import RecordsConfig
from overdue_ml.features import default_registry
from overdue_ml.model import ScoringModel
from overdue_ml.model.calibration import IdentityCalibrator
from overdue_ml.records import load_records

UNPAID = "repay_instalment_unpaid_amount_sum_all"
LATE = "repay_instalment_dpd_latest"
INCOME = "income_amount_sum_90d"
WEIGHTS = {UNPAID: 0.01, LATE: 0.1, INCOME: -0.0005}


def day(text):
    return dt.date.fromisoformat(f"2024-{text}")


class Linear:
    """A classifier of weights: a missing value counts as nought, each contribution is weight times value."""

    def __init__(self, weights, base=-2.0, calibrator=None):
        self.weights, self.base = np.array(list(weights.values())), base
        self.feature_names_in_ = np.array(list(weights), dtype=object)
        self.calibrator_ = calibrator or IdentityCalibrator()
        # No tables to be made of it.
        self.boosters_ = []

    def decision_function(self, features):
        return self.predict_contributions(features)[0].sum(axis=1) + self.base

    def predict_contributions(self, features):
        assert list(features.columns) == list(self.feature_names_in_)
        parts = np.nan_to_num(features.to_numpy(dtype=float)) * self.weights
        return parts, np.full(len(parts), self.base)


def linear_model(weights, base=-2.0, calibrator=None, ranks=False, **meta):
    """A ScoringModel around it."""
    registry = default_registry(ranks=ranks)
    names = list(weights)
    return ScoringModel(
        Linear(weights, base, calibrator),
        registry.feature_set_hash(names),
        {name: registry[name].reason for name in names},
        {name: str(registry[name].unit) for name in names},
        meta={"attributes": [], "config": {"features": {"ranks": ranks}}} | meta,
    )


def _plan(account, first, amounts):
    month, on = int(first[:2]), first[3:]
    return [(account, i + 1, day(f"{month + i:02}-{on}"), amount) for i, amount in enumerate(amounts)]


PLANS = [
    *_plan("A1", "02-10", [100.0] * 5),
    *_plan("B1", "03-01", [200.0] * 4),
    *_plan("C1", "04-05", [50.0] * 2),
    *_plan("C2", "04-20", [80.0] * 2),
    *_plan("D1", "02-01", [70.0] * 2),
]
PAID = [
    # Ann: on time, ten days late, and 40 of 100 towards the instalment of 10 April.
    ("A1", "02-10", 100.0),
    ("A1", "03-20", 100.0),
    ("A1", "04-12", 40.0),
    # What 15 April does not know: the rest, five days later.
    ("A1", "04-20", 60.0),
    # Ben is always on time, Dan's plan is over and paid; Cat has paid nothing, Eve has no plan.
    ("B1", "03-01", 200.0),
    ("B1", "04-01", 200.0),
    ("D1", "02-01", 140.0),
]
INCOMES = [("ANN", "01-10", 1000.0), ("ANN", "03-01", 1000.0), ("ANN", "04-01", 1000.0)]
INCOMES += [("ANN", "05-01", 9000.0)]


def frames():
    """The tables as DataFrames."""
    names = ["ANN", "BEN", "CAT", "DAN", "EVE"]
    owners = {"A1": "ANN", "B1": "BEN", "C1": "CAT", "C2": "CAT", "D1": "DAN", "E1": "EVE"}
    paid = pd.DataFrame(PAID, columns=["account_id", "paid_on", "amount"])
    incomes = pd.DataFrame(INCOMES, columns=["customer_id", "received_on", "amount"])
    return {
        "customers": pd.DataFrame({"customer_id": names, "sex": ["female", "male"] * 2 + ["female"]}),
        "accounts": pd.DataFrame(
            {"account_id": list(owners), "customer_id": list(owners.values()), "opened_on": day("01-01")}
        ),
        "instalments": pd.DataFrame(PLANS, columns=["account_id", "instalment_no", "due_date", "amount_due"]),
        "payments": paid.assign(paid_on=paid["paid_on"].map(day)),
        "incomes": incomes.assign(received_on=incomes["received_on"].map(day)),
    }


@pytest.fixture(scope="session")
def lender():
    """Records of Ann, Ben, Cat, Dan and Eve."""
    return load_records(frames(), RecordsConfig())


@pytest.fixture(scope="session")
def linear():
    """Makers of hand-worked models, the ledger's frames, and names of features."""

    class Namespace:
        model = staticmethod(linear_model)
        frames = staticmethod(frames)
        day = staticmethod(day)
        weights = WEIGHTS

    return Namespace
