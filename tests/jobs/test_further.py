"""Several degrees of lateness in one run, and the roll-forward model, by settings alone."""

import numpy as np
import pandas as pd
import pytest

import overdue_ml as om
from overdue_ml.config import TrainConfig, build_config
from overdue_ml.errors import ModelError
from overdue_ml.jobs.progress import Silent
from overdue_ml.jobs.score import score_book
from overdue_ml.jobs.train import run_train
from overdue_ml.model import predict_further

DATES = [day.date().isoformat() for day in pd.date_range("2022-06-30", "2023-02-28", freq="ME")]


def config(**labels):
    return build_config(
        TrainConfig,
        {
            "as_of": DATES,
            "labels": {"source": "instalments"} | labels,
            "split": {"by": "time", "test_dates": 2},
            "model": {"n_estimators": 40, "cv": 2},
            "evaluation": {"n_boot": 0},
            "audit": {"dates": 0},
        },
        where="test",
    )


@pytest.fixture(scope="module")
def lender():
    tables = om.simulate(3000, seed=5, months=18)
    truth = tables.pop("truth")
    return om.load_records(tables), truth


@pytest.fixture(scope="module")
def trained(lender):
    return run_train(lender[0], lender[0].config, config(population="pre_due", further_dpd=[7, 28]), None)


def test_further_degrees_are_judged_on_rows_set_aside(trained):
    figures = trained.facts["further_degrees"]["7"]
    assert figures["overdue"] >= 30
    assert figures["auc"] > 0.6
    # Reached less often than the first degree, and the probability knows it.
    assert figures["overdue_rate"] < trained.evaluation.by_date["overdue_rate"].min()
    assert figures["mean_p"] == pytest.approx(figures["overdue_rate"], abs=0.03)


def test_labels_of_a_degree_are_final_before_the_first_test_date(trained, lender):
    # Tested from 31 January on. What falls due by 31 December is 28 days past due on 27 January, and with 7
    # days of posting certain on 3 February: November trains the first degrees and not this one.
    assert trained.facts["test_as_of"][0] == "2023-01-31"
    assert trained.facts["as_of"][-1] == "2022-11-30"
    rows = {dpd: len(model.out_of_fold_log_odds_) for dpd, model in trained.model.further.items()}
    labels = {
        dpd: om.label_customers(lender[0], DATES[:6], config(population="pre_due", overdue_dpd=dpd).labels)
        for dpd in (1, 7)
    }
    reached = {dpd: found["verdict"] == "overdue" for dpd, found in labels.items()}
    november = reached[1].index.get_level_values("as_of_date") == "2022-11-30"
    assert rows[7] == (reached[1] & labels[7]["verdict"].isin(["overdue", "on_time"])).sum()
    assert rows[28] == (reached[1] & reached[7] & ~november).sum()


def test_scores_have_a_column_for_each_degree_that_never_exceeds_the_one_before(trained, lender):
    scores, features, _ = score_book(
        lender[0], pd.Timestamp("2023-02-28").date(), trained.model, om.ScoreConfig(), Silent()
    )
    assert (scores["p_overdue_dpd7"] <= scores["p_overdue"]).all()
    again = predict_further(trained.model.further, features, scores["p_overdue"].to_numpy())
    assert np.array_equal(scores["p_overdue_dpd7"], again[7])


def test_too_few_who_reached_a_degree_are_refused(lender):
    with pytest.raises(ModelError, match="200 days past due"):
        run_train(lender[0], lender[0].config, config(population="pre_due", further_dpd=[200]), None)


def test_who_rolls_to_a_worse_bucket_by_settings_alone(lender):
    settings = config(population="past_due").model_copy(
        update={"split": config().split.model_copy(update={"by": "customer", "test_share": 0.4})}
    )
    found = run_train(lender[0], lender[0].config, settings, None)
    verdicts = found.facts["verdicts"]
    assert verdicts["nothing_due"] > verdicts["overdue"] > 150
    assert found.evaluation.value("auc") > 0.55
