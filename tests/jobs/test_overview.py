"""The overview of a scored book, through the job and the command line."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest

from overdue_ml.cli import run
from overdue_ml.config import ScoreConfig
from overdue_ml.errors import ConfigError
from overdue_ml.jobs.overview import OverviewSettings, run_overview
from overdue_ml.jobs.progress import Silent
from overdue_ml.jobs.score import score_book
from overdue_ml.records import load_records
from overdue_ml.tracking import load_model, open_store


@pytest.fixture(scope="module")
def found(line, tmp_path_factory):
    out = tmp_path_factory.mktemp("overview") / "page.html"
    settings = OverviewSettings(("tier", "sex"), sample=400, pairs=50, top=2)
    return run_overview(line.scored.folder, "zh", models=line.models, out=out, settings=settings)


def test_views_are_of_the_contributions_of_the_run(line, found):
    values = pd.read_parquet(line.scored.folder / "contributions.parquet").set_index("customer_id")
    whole = run_overview(line.scored.folder, out=found.path.with_name("whole.html")).overview
    assert whole.n == whole.n_book == len(values) == 3000
    assert whole.interactions is None
    sizes = values.drop(columns="base").abs().mean().sort_values(ascending=False)
    assert whole.features["feature"].iloc[0] == sizes.index[0]
    assert whole.features["mean_abs"].iloc[0] == pytest.approx(sizes.iloc[0], rel=1e-12)
    # Values come from the records as they were known on the date: those that were scored.
    registered = load_model(open_store(line.models), "overdue@champion")
    tiers = pd.read_parquet(line.scored.folder / "scores.parquet")["tier"].value_counts()
    table = whole.segments["tier"].drop_duplicates("segment").set_index("segment")["n"]
    assert table.to_dict() == tiers.to_dict()
    assert set(whole.features["feature"]) == set(registered.model.feature_names)


def test_a_sample_is_said_and_interactions_come_from_the_model(found):
    assert (found.overview.n, found.overview.n_book) == (400, 3000)
    assert found.overview.interactions is not None
    assert found.overview.interactions["mean_abs"].iloc[0] > 0
    assert len(found.overview.dependence) == 2
    assert set(found.overview.segments) == {"tier", "sex"}
    page = found.path.read_text(encoding="utf-8")
    assert "本批客户评分的影响因素" in page
    assert "共3,000名" in page


def test_values_of_the_dependence_are_those_that_were_scored(line, found):
    registered = load_model(open_store(line.models), "overdue@champion")
    day = dt.date.fromisoformat(line.scored.manifest["as_of"])
    records = load_records(line.records)
    _, features, _ = score_book(records, day, registered.model, ScoreConfig(), Silent())
    whole = run_overview(line.scored.folder, out=found.path.with_name("again.html")).overview
    name, table = next(iter(whole.dependence.items()))
    assert table["n"].sum() == len(features)
    numbers = table[table["kind"] == "number"]
    assert numbers["low"].min() == np.nanmin(features[name])
    assert numbers["high"].max() == np.nanmax(features[name])


def test_the_verb_prints_where_the_page_is(line, tmp_path, capsys):
    page = tmp_path / "new" / "page.html"
    words = ["overview", "--scores", str(line.scored.folder), "--models", str(line.models)]
    words += ["--sample", "200", "--out", str(page)]
    assert run(words) == 0
    assert "200 of 3,000 customers" in capsys.readouterr().out
    first = page.read_bytes()
    assert run([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert page.read_bytes() == first
    assert told["n_explained"] == 3000
    assert {"reasons", "features", "interactions", "segments"} <= set(told)
    assert run([*words, "--segment", "shoe_size"]) == 2
    assert "shoe_size" in capsys.readouterr().err


def test_a_run_in_which_nobody_was_explained_is_one_sentence(line, tmp_path):
    folder = tmp_path / "as_of=2005-09-30"
    folder.mkdir()
    (folder / "manifest.json").write_bytes((line.scored.folder / "manifest.json").read_bytes())
    with pytest.raises(ConfigError, match="nobody was explained"):
        run_overview(folder)
