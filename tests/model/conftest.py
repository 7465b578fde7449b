import numpy as np
import pandas as pd
import pytest

from overdue_ml.metrics import fit_reference
from overdue_ml.model import OverdueClassifier, ScoringModel

SMALL = {
    "n_estimators": 8, "learning_rate": 0.2, "num_leaves": 4, "min_child_samples": 5, "reg_lambda": 0.1,
    "colsample_bytree": 1.0, "cv": 2, "n_jobs": 1,
}  # fmt: skip


@pytest.fixture(scope="session")
def small():
    """A classifier that fits in milliseconds; keywords override."""

    def make(**settings):
        return OverdueClassifier(**SMALL | settings)

    return make


@pytest.fixture(scope="session")
def book():
    """300 rows of 150 customers: numbers, a missing share, a category; and labels they explain."""
    rng = np.random.default_rng(0)
    n = 300
    dpd = rng.normal(size=n)
    product = rng.choice(["card", "lease", "loan"], n)
    features = pd.DataFrame(
        {
            "dpd": dpd,
            "income": np.where(rng.random(n) < 0.2, np.nan, rng.lognormal(size=n)),
            "product": pd.Categorical(product),
            "noise": rng.normal(size=n),
        }
    )
    y = (dpd + (product == "loan") + rng.normal(scale=0.7, size=n) > 0.5).astype(int)
    return features, y, np.repeat(np.arange(n // 2), 2)


@pytest.fixture(scope="session")
def scoring_model(small, book):
    """A fitted model with everything a bundle holds."""
    features, y, groups = book
    classifier = small().fit(features, y, groups=groups)
    return ScoringModel(
        classifier=classifier,
        feature_set_hash="f" * 64,
        reasons={name: name.upper() for name in features},
        units=dict.fromkeys(features, "ratio"),
        references={name: fit_reference(features[name]) for name in features},
        meta={"as_of": ["2024-01-31"], "note": "逾期"},
    )
