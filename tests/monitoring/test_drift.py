import numpy as np
import pandas as pd
import pytest

from overdue_ml.metrics import fit_reference
from overdue_ml.monitoring import compute_drift


@pytest.fixture
def book():
    rng = np.random.default_rng(0)
    features = pd.DataFrame(
        {
            "dpd": rng.normal(size=500),
            "income": rng.lognormal(size=500),
            "product": pd.Categorical(rng.choice(["card", "loan"], 500)),
            "gaps": np.where(rng.random(500) < 0.3, np.nan, rng.normal(size=500)),
        }
    )
    return features, rng.random(500)


@pytest.fixture
def references(book):
    features, p = book
    return {name: fit_reference(features[name]) for name in features} | {"p_overdue": fit_reference(p)}


def test_nothing_drifts_from_itself(book, references):
    found = compute_drift(*book, references)
    assert found["psi"].tolist() == [0.0] * 5
    assert found["status"].unique().tolist() == ["stable"]


def test_score_first_then_the_most_shifted(book, references):
    features, p = book
    shifted = features.assign(income=features["income"] + 5.0, dpd=features["dpd"] + 0.3)
    found = compute_drift(shifted, p, references)
    assert found["feature"].tolist() == ["p_overdue", "income", "dpd", "gaps", "product"]
    assert found["status"].tolist()[:2] == ["stable", "shifted"]
    assert found["psi"].iloc[1:].is_monotonic_decreasing


def test_a_shifted_score_is_found(book, references):
    features, p = book
    found = compute_drift(features, p / 3, references)
    assert found.loc[0, "feature"] == "p_overdue"
    assert found.loc[0, "status"] == "shifted"


def test_missing_values_and_new_levels_are_drift(book, references):
    features, p = book
    product = features["product"].cat.add_categories("lease")
    product[:200] = "lease"
    changed = features.assign(product=product, gaps=features["gaps"].where(features.index < 100))
    status = compute_drift(changed, p, references).set_index("feature")["status"]
    assert status["product"] == status["gaps"] == "shifted"
    assert status["dpd"] == "stable"


def test_an_absent_feature_is_named(book, references):
    features, p = book
    with pytest.raises(KeyError, match="income"):
        compute_drift(features.drop(columns="income"), p, references)
