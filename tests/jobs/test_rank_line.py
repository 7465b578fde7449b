"""The whole line with places in the whole book: trained with, kept with the model, rebuilt at scoring."""

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest

from overdue_ml import cli
from overdue_ml.explain import pay_next_dues
from overdue_ml.features import FeatureBuilder, build_features, default_registry, ranks_of
from overdue_ml.jobs.explain import run_explain
from overdue_ml.jobs.monitor import run_monitor
from overdue_ml.jobs.replay import run_replay
from overdue_ml.jobs.whatif import run_what_if
from overdue_ml.records import load_records, simulate_to
from overdue_ml.tracking import load_model, open_store

from .conftest import digests

AS_OF = "2022-10-31"
SETTINGS = {
    "labels.source": "instalments",
    "labels.grace_days": "3",
    "split.by": "time",
    "as_of": "[2022-05-31, 2022-06-30, 2022-07-31, 2022-08-31]",
    "model.n_estimators": "40",
    "model.cv": "2",
    "model.colsample_bytree": "1.0",
    "evaluation.n_boot": "0",
    "audit.customers": "50",
    "audit.dates": "1",
    "features.ranks": "true",
}


def run(*words, settings=None):
    options = [word for key, value in (settings or {}).items() for word in ("--set", f"{key}={value}")]
    return cli.run([*map(str, words), *options])


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """Records, a model with ranks, and the scores of one date."""
    root = tmp_path_factory.mktemp("ranks")
    simulate_to(root / "lender", 1500, seed=4, months=11)
    (root / "lender" / "truth").rename(root / "truth")
    models = ("--models", root / "models")
    assert run("train", "--records", root / "lender", *models, settings=SETTINGS) == 0
    promote = ("promote", "1", "--alias", "challenger", "--by", "tester", "--reason", "a trial")
    assert run(*promote, *models) == 0
    score = ("score", "--records", root / "lender", "--as-of", AS_OF, "--model", "overdue@challenger")
    assert run(*score, *models, "--out", root / "out") == 0
    return root


@pytest.fixture(scope="module")
def model(line):
    return load_model(open_store(line / "models"), "overdue@challenger").model


def test_the_choice_travels_with_the_model(line, model):
    assert ranks_of(model.meta)
    ranks = [name for name in model.feature_names if name.endswith("_rank")]
    assert len(ranks) >= 10
    manifest = json.loads((line / "out" / f"as_of={AS_OF}" / "manifest.json").read_text())
    assert manifest["ranks"] is True


def test_scores_are_of_ranks_in_the_whole_book_of_the_date(line, model):
    """A score is what the model says of features of everybody, and of one customer asked for alone."""
    scores = pd.read_parquet(line / "out" / f"as_of={AS_OF}" / "scores.parquet").set_index("customer_id")
    records, registry = load_records(line / "lender"), default_registry(ranks=True)
    names = model.feature_names
    whole = build_features(records, AS_OF, names, registry=registry)
    assert model.classifier.decision_function(whole).tolist() == scores["log_odds"].tolist()
    one = scores.index[7]
    keys = pd.DataFrame({"customer_id": [one], "as_of_date": [dt.date.fromisoformat(AS_OF)]})
    alone = FeatureBuilder(records, names, registry).fit(keys).transform(keys)
    assert model.classifier.decision_function(alone)[0] == scores.loc[one, "log_odds"]
    # The ranks matter: with others the score is another.
    moved = alone.assign(**{name: 0.99 for name in names if name.endswith("_rank")})
    assert not np.isclose(model.classifier.decision_function(moved)[0], scores.loc[one, "log_odds"])


@pytest.fixture(scope="module")
def cut(line):
    """The same scores from three buckets, by two processes."""
    to, out = line / "prepared", line / "cut"
    assert run("prepare", "--records", line / "lender", "--to", to, "--buckets", 3) == 0
    words = ("--as-of", AS_OF, "--model", "overdue@challenger", "--models", line / "models")
    assert run("score", "--records", to, *words, "--out", out, "--workers", 2) == 0
    return out / f"as_of={AS_OF}"


def test_buckets_and_processes_change_no_byte(line, cut):
    whole = line / "out" / f"as_of={AS_OF}"
    ours, theirs = digests(cut), digests(whole)
    del ours["manifest.json"], theirs["manifest.json"]
    assert ours == theirs
    keys = [json.loads((folder / "manifest.json").read_text())["run_key"] for folder in (cut, whole)]
    assert keys[0] == keys[1]


def test_a_score_from_buckets_is_told_and_replayed_on_the_whole_book(line, cut, tmp_path):
    """Of one bucket alone the ranks would be others."""
    customer_id = pd.read_parquet(cut / "scores.parquet")["customer_id"].iloc[9]
    one, other = (
        run_explain(folder, customer_id, out=tmp_path / f"{folder.parent.name}.html").path.read_text()
        for folder in (cut, line / "out" / f"as_of={AS_OF}")
    )
    assert one == other
    day, source = dt.date.fromisoformat(AS_OF), line / "prepared"
    assert run_replay(cut, customer_id, day, source, line / "models").differences == []
    assert (
        run_what_if(cut, customer_id, line / "models", [pay_next_dues(1)]).answer.customer_id == customer_id
    )


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_card_tells_the_reasons_of_ranks(line, tmp_path, lang):
    scores = pd.read_parquet(line / "out" / f"as_of={AS_OF}" / "scores.parquet").sort_values("rank")
    first = scores.iloc[0]
    card = run_explain(line / "out", first["customer_id"], lang, out=tmp_path / "card.html").card
    total = sum(reason.contribution for reason in card.reasons) + card.base_log_odds
    assert total == pytest.approx(first["log_odds"], abs=1e-9)


def test_monitoring_knows_them(line, model):
    assert any(name.endswith("_rank") for name in model.references)
    drift = run_monitor(line / "out").drift
    assert drift["feature"].iloc[0] == "p_overdue"
