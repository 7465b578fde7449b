"""A model with further degrees of lateness, written down and read again."""

import json
from dataclasses import replace

import numpy as np
import pytest

from overdue_ml.errors import ModelError
from overdue_ml.model import load_bundle, predict_further, save_bundle


@pytest.fixture(scope="module")
def deeper(scoring_model, small, book):
    features, y, groups = book
    rng = np.random.default_rng(4)
    reached = y == 1
    further = {}
    for dpd in (7, 30):
        target = (rng.random(reached.sum()) < 0.5).astype(int)
        further[dpd] = small().fit(features[reached], target, groups=groups[reached])
    return replace(scoring_model, further=further)


def test_more_days_are_never_more_likely(deeper, book):
    p = deeper.classifier.predict_proba(book[0])[:, 1]
    found = predict_further(deeper.further, book[0], p)
    assert list(found) == [7, 30]
    assert (found[7] < p).all()
    assert (found[30] < found[7]).all()
    # The product of what the members of the chain say.
    conditional = deeper.further[7].predict_proba(book[0])[:, 1]
    assert np.array_equal(found[7], p * conditional)


def test_a_bundle_keeps_every_degree_exactly(deeper, book, tmp_path):
    again = load_bundle(tmp_path / "bundle", save_bundle(deeper, tmp_path / "bundle"))
    p = deeper.classifier.predict_proba(book[0])[:, 1]
    assert np.array_equal(again.classifier.predict_proba(book[0])[:, 1], p)
    before, after = (predict_further(model.further, book[0], p) for model in (deeper, again))
    assert list(after) == [7, 30]
    assert all(np.array_equal(before[dpd], after[dpd]) for dpd in before)


def test_a_bundle_of_one_degree_says_nothing_of_others(scoring_model, tmp_path):
    save_bundle(scoring_model, tmp_path / "bundle")
    assert "further" not in json.loads((tmp_path / "bundle" / "model.json").read_text("utf-8"))
    assert load_bundle(tmp_path / "bundle").further == {}


def test_boosters_of_a_degree_that_model_json_does_not_name_are_refused(deeper, tmp_path):
    save_bundle(deeper, tmp_path / "bundle")
    path = tmp_path / "bundle" / "model.json"
    payload = json.loads(path.read_text("utf-8"))
    del payload["further"]["30"]
    path.write_text(json.dumps(payload), "utf-8")
    with pytest.raises(ModelError, match="degrees of lateness"):
        load_bundle(tmp_path / "bundle")
