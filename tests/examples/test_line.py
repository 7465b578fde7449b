"""The whole line on three real sets: records, labels from instalments, features, audit, a model."""

import pytest

import overdue_ml as om
from overdue_ml.config import LabelsConfig, TrainConfig, build_config
from overdue_ml.jobs.train import run_train
from overdue_ml.labels import trainable, verdicts_by_date

# Grace of three days; dates on which each set has both outcomes.
SETS = {
    "zindi": ("2018-12-03", "2019-04-15", "week"),
    "bnpl": ("2023-10-31", "2024-05-31", "month_end"),
    "homecredit": ("2017-06-30", "2017-11-30", "month_end"),
}
LABELS = LabelsConfig(source="instalments", grace_days=3)


@pytest.fixture(scope="module", params=list(SETS))
def lender(request):
    """A set by name, as records, with its observation points."""
    converter = request.getfixturevalue(request.param)
    records = om.load_records(converter.module.convert(converter.real()), converter.module.CONFIG)
    return request.param, records, om.observation_points(*SETS[request.param])


def test_every_known_customer_has_a_verdict_and_both_outcomes_occur(lender):
    _, records, points = lender
    labels = om.label_customers(records, points, LABELS)
    counts = verdicts_by_date(labels)
    assert (counts[["overdue", "on_time"]].sum() > 0).all()
    # Sorted keys, each once, and a day of finality for everything but the immature.
    assert labels.index.is_unique
    assert labels.index.is_monotonic_increasing
    assert (labels["matured_on"].isna() == (labels["verdict"] == "immature")).all()
    matured = labels["matured_on"].dropna()
    assert (matured >= matured.index.get_level_values("as_of_date")).all()


def test_features_cover_the_labelled_and_do_not_leak(lender):
    _, records, points = lender
    decided = trainable(om.label_customers(records, points, LABELS))
    features = om.build_features(records, points)
    assert decided.index.isin(features.index).all()
    due = features.loc[decided.index].filter(regex="^due_")
    # Whoever is asked about a due date has one.
    assert due.shape[1] >= 3
    assert due["due_days_next"].between(1, LABELS.horizon_days).mean() > 0.9
    assert om.audit_leakage(records, points[len(points) // 2]) == []


def test_a_model_learns_from_instalments(request):
    """239 customers on 20 Mondays: small, and still far better than chance."""
    zindi = request.getfixturevalue("zindi")
    records = om.load_records(zindi.module.convert(zindi.real()), zindi.module.CONFIG)
    points = [str(day) for day in om.observation_points(*SETS["zindi"])]
    config = build_config(
        TrainConfig,
        {
            "as_of": points,
            "labels": LABELS.model_dump(),
            "split": {"by": "customer", "test_share": 0.4},
            "evaluation": {"n_boot": 0},
        },
    )
    result = run_train(records, records.config, config, None)
    metrics = result.evaluation.overall.set_index("metric")["value"]
    assert metrics["auc"] > 0.6
    assert result.facts["leakage_audit"]["findings"] == []
