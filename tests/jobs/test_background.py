"""Contributions against a background, through the batch: from any buckets the same, and replayed alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from overdue_ml.config import BatchConfig, ContributionsConfig, ScoreConfig
from overdue_ml.errors import ConfigError
from overdue_ml.jobs import change as module
from overdue_ml.jobs.background import BACKGROUND, is_interventional, read_background
from overdue_ml.jobs.change import run_change
from overdue_ml.jobs.parts import score_records
from overdue_ml.jobs.replay import run_replay
from overdue_ml.jobs.score import run_score
from overdue_ml.records import load_records
from overdue_ml.tracking import load_model, open_store

from .conftest import AS_OF, small_settings

AGAINST = ScoreConfig(contributions=ContributionsConfig(kind="interventional", background=40))


@pytest.fixture(scope="module")
def registered(line):
    return load_model(open_store(line.models), "overdue@champion")


def scored(line, registered, out, config=AGAINST, batch=None):
    settings = dataclasses.replace(small_settings(), score=config, batch=batch or BatchConfig())
    return run_score(line.records, AS_OF, registered, out, settings)


@pytest.fixture(scope="module")
def run(line, registered, tmp_path_factory):
    return scored(line, registered, tmp_path_factory.mktemp("against"))


def test_the_base_is_the_mean_of_the_background(line, run):
    background = read_background(run.folder)
    assert len(background) == 40
    assert background.index.is_monotonic_increasing
    scores = pd.read_parquet(run.folder / "scores.parquet").set_index("customer_id")
    contributions = pd.read_parquet(run.folder / "contributions.parquet").set_index("customer_id")
    base = contributions.pop("base")
    assert (base == run.manifest["base_log_odds"]).all()
    assert base.iloc[0] == pytest.approx(scores.loc[background.index, "log_odds"].mean(), abs=1e-9)
    np.testing.assert_allclose(contributions.sum(axis=1) + base, scores["log_odds"], rtol=0, atol=1e-9)
    assert is_interventional(run.manifest)
    assert run.manifest["settings"]["score"]["contributions"]["background"] == 40
    assert BACKGROUND in run.manifest["files"]
    # Scores are what they are; the same customers are explained another way.
    plain = pd.read_parquet(line.scored.folder / "contributions.parquet").set_index("customer_id")
    before = pd.read_parquet(line.scored.folder / "scores.parquet").set_index("customer_id")
    assert (before["log_odds"] == scores["log_odds"]).all()
    assert not np.allclose(plain.drop(columns="base"), contributions, atol=1e-3)
    assert read_background(line.scored.folder) is None
    assert not is_interventional(line.scored.manifest)


def test_buckets_change_no_byte(line, registered, run, tmp_path):
    cut = scored(line, registered, tmp_path, batch=BatchConfig(customers_per_bucket=700))
    for name in ("scores.parquet", "contributions.parquet", BACKGROUND):
        assert (cut.folder / name).read_bytes() == (run.folder / name).read_bytes()


def test_one_customer_is_replayed_against_the_background_of_the_run(line, run):
    customer_id = pd.read_parquet(run.folder / "scores.parquet")["customer_id"].iloc[7]
    result = run_replay(run.folder, customer_id, AS_OF, line.records, line.models)
    assert result.exit_code == 0, result.differences


def test_only_those_on_the_list_against_the_same_background(line, registered, run, tmp_path):
    few = scored(line, registered, tmp_path, AGAINST.model_copy(update={"explain": "listed"}))
    some = pd.read_parquet(few.folder / "contributions.parquet").set_index("customer_id")
    whole = pd.read_parquet(run.folder / "contributions.parquet").set_index("customer_id")
    assert 0 < len(some) < len(whole)
    pd.testing.assert_frame_equal(some, whole.loc[some.index], check_exact=True)


def test_without_a_background_nothing_is_passed_off_as_one(line, registered):
    records = load_records(line.records)
    with pytest.raises(ConfigError, match="need a background"):
        score_records(records, AS_OF, registered.model, AGAINST)


def test_model_and_data_are_not_told_apart_against_different_backgrounds(line, registered, run, monkeypatch):
    with pytest.raises(ConfigError, match="in one of the runs only"):
        run_change(line.scored.folder, run.folder, models=line.models)
    # The same book against itself: nothing changed, and nothing is said to have.
    assert run_change(run.folder, run.folder).change.total.abs().max() == 0
    then = run.manifest | {"model_hash": "0" * 64, "records_fingerprint": "0" * 64}
    manifests = iter([then, run.manifest])
    monkeypatch.setattr(module, "read_manifest", lambda folder: next(manifests))
    with pytest.raises(ConfigError, match="model and data are both others"):
        run_change(run.folder, run.folder, models=line.models)
