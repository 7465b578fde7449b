import hashlib
import json
import pickle
import random
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedKFold

from overdue_ml.errors import ModelError
from overdue_ml.metrics import fit_reference
from overdue_ml.model import OverdueClassifier, ScoringModel, load_bundle, save_bundle


@pytest.fixture(scope="session")
def saved(scoring_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "bundle"
    return folder, save_bundle(scoring_model, folder)


@pytest.fixture
def copy(saved, tmp_path):
    """A bundle of one's own to break, and its hash."""
    folder = tmp_path / "bundle"
    shutil.copytree(saved[0], folder)
    return folder, saved[1]


@pytest.fixture
def lightgbm_untouched(monkeypatch):
    """Fails the test when LightGBM is given a model text."""

    def refuse(*args, **kwargs):
        raise AssertionError("LightGBM saw bytes that were not verified")

    monkeypatch.setattr("lightgbm.Booster", refuse)


def rewrite(folder, change):
    """Change model.json, keeping it valid JSON; returns its new SHA-256."""
    path = folder / "model.json"
    payload = json.loads(path.read_bytes())
    change(payload)
    path.write_text(json.dumps(payload), encoding="utf-8")
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---- What comes back


def test_scores_and_contributions_are_the_same_bits(scoring_model, saved, book):
    loaded = load_bundle(*saved)
    for method in ("decision_function", "predict_proba", "predict"):
        one = getattr(scoring_model.classifier, method)(book[0])
        assert getattr(loaded.classifier, method)(book[0]).tobytes() == one.tobytes()
    for one, other in zip(
        scoring_model.classifier.predict_contributions(book[0]),
        loaded.classifier.predict_contributions(book[0]),
        strict=True,
    ):
        assert one.tobytes() == other.tobytes()


def test_everything_beside_the_trees_comes_back(scoring_model, saved):
    loaded = load_bundle(*saved)
    assert loaded.feature_names == scoring_model.feature_names
    for name in ("feature_set_hash", "reasons", "units", "references", "meta"):
        assert getattr(loaded, name) == getattr(scoring_model, name)
    assert loaded.classifier.categories_ == {2: ["card", "lease", "loan"]}
    assert loaded.classifier.classes_.tolist() == [0, 1]
    assert loaded.classifier.n_trees_ == scoring_model.classifier.n_trees_


def test_a_loaded_model_still_refuses_reordered_columns(saved, book):
    loaded = load_bundle(*saved)
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.classifier.predict_proba(book[0][book[0].columns[::-1]])


def test_unknown_levels_are_counted_after_loading(saved, book):
    new = book[0].iloc[:3].assign(product=pd.Series(["card", "boat", None], dtype="str"))
    assert load_bundle(*saved).classifier.count_unknown_categories(new) == {"product": 2}


def test_saving_what_was_loaded_gives_the_same_hash(saved, tmp_path):
    assert save_bundle(load_bundle(*saved), tmp_path / "again") == saved[1]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_same_training_same_hash(small, book, scoring_model, saved, tmp_path, n_jobs):
    features, y, groups = book
    again = replace(scoring_model, classifier=small(n_jobs=n_jobs).fit(features, y, groups=groups))
    assert save_bundle(again, tmp_path / "again") == saved[1]


def test_other_training_other_hash(small, book, scoring_model, saved, tmp_path):
    features, y, groups = book
    other = replace(scoring_model, classifier=small(learning_rate=0.1).fit(features, y, groups=groups))
    assert save_bundle(other, tmp_path / "other") != saved[1]


@pytest.mark.parametrize("classes", [(0, 3), ("no", "yes"), (False, True)])
def test_classes_of_any_kind(small, book, tmp_path, classes):
    features, y, _ = book
    classifier = small().fit(features, np.array(classes)[y])
    model = ScoringModel(classifier, "h", {}, {})
    loaded = load_bundle(tmp_path / "b", save_bundle(model, tmp_path / "b"))
    assert loaded.classifier.predict(features).tolist() == classifier.predict(features).tolist()


@pytest.mark.parametrize("calibration", ["platt", "beta", "isotonic", "none"])
def test_every_calibrator(small, book, tmp_path, calibration):
    features, y, _ = book
    classifier = small(calibration=calibration).fit(features, y)
    loaded = load_bundle(tmp_path / "b", save_bundle(ScoringModel(classifier, "h", {}, {}), tmp_path / "b"))
    assert loaded.classifier.predict_proba(features).tobytes() == classifier.predict_proba(features).tobytes()


def test_settings_that_are_objects_do_not_stop_saving(small, book, tmp_path):
    features, y, _ = book
    classifier = small(
        cv=StratifiedKFold(2), n_estimators=np.int64(8), monotone_constraints={"dpd": np.int8(1)}
    ).fit(features, y)
    loaded = load_bundle(tmp_path / "b", save_bundle(ScoringModel(classifier, "h", {}, {}), tmp_path / "b"))
    assert loaded.classifier.predict_proba(features).tobytes() == classifier.predict_proba(features).tobytes()
    assert loaded.classifier.monotone_constraints == {"dpd": 1}


def test_a_bundle_is_text_without_a_row(saved, book):
    for path in saved[0].iterdir():
        text = path.read_bytes().decode()
        assert path.suffix in (".txt", ".json")
        # Values of single rows: neither features nor out-of-fold scores.
        assert repr(float(book[0]["income"].iloc[11])) not in text


def test_saving_over_something_is_refused(scoring_model, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ModelError, match="not empty"):
        save_bundle(scoring_model, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


# ---- What is refused


@pytest.mark.usefixtures("lightgbm_untouched")
@pytest.mark.parametrize("with_hash", [True, False])
def test_a_changed_byte_in_a_booster(copy, with_hash):
    folder, expected = copy
    data = bytearray((folder / "booster_1.txt").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "booster_1.txt").write_bytes(bytes(data))
    with pytest.raises(ModelError, match="changed after it was registered") as caught:
        load_bundle(folder, expected if with_hash else None)
    assert caught.value.exit_code == 4
    assert "booster_1.txt" in str(caught.value)


@pytest.mark.usefixtures("lightgbm_untouched")
def test_a_changed_model_json(copy):
    folder, expected = copy
    rewrite(folder, lambda p: p["calibrator"].update(slope=-p["calibrator"]["slope"]))
    with pytest.raises(ModelError, match="changed after it was registered"):
        load_bundle(folder, expected)


@pytest.mark.usefixtures("lightgbm_untouched")
def test_another_hash(copy):
    with pytest.raises(ModelError, match="changed after it was registered"):
        load_bundle(copy[0], "0" * 64)


@pytest.mark.usefixtures("lightgbm_untouched")
def test_a_coherent_swap_is_refused_by_the_outer_hash(copy):
    folder, expected = copy
    text = (folder / "booster_0.txt").read_bytes()
    (folder / "booster_1.txt").write_bytes(text)
    rewrite(folder, lambda p: p["files"].update({"booster_1.txt": hashlib.sha256(text).hexdigest()}))
    with pytest.raises(ModelError, match="changed after it was registered"):
        load_bundle(folder, expected)


@pytest.mark.usefixtures("lightgbm_untouched")
@pytest.mark.parametrize(
    "name",
    [
        "extra.txt",
        "model.pkl",
        "model.joblib",
        "python_model.pkl",
        "booster_x.txt",
        "booster_0.txt.bak",
        "..x",
        "MLmodel",
    ],
)
def test_a_file_too_many(copy, name):
    folder, expected = copy
    (folder / name).write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ModelError, match="not part of a model"):
        load_bundle(folder, expected)


@pytest.mark.usefixtures("lightgbm_untouched")
def test_a_booster_too_many(copy):
    folder, expected = copy
    shutil.copy(folder / "booster_0.txt", folder / "booster_9.txt")
    with pytest.raises(ModelError, match="missing or extra"):
        load_bundle(folder, expected)


@pytest.mark.usefixtures("lightgbm_untouched")
@pytest.mark.parametrize("name", ["model.json", "booster_0.txt"])
def test_a_link_instead_of_a_file(copy, tmp_path, name):
    folder, expected = copy
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="not part of a model"):
        load_bundle(folder, expected)


@pytest.mark.usefixtures("lightgbm_untouched")
@pytest.mark.parametrize("name", ["sub", "booster_7.txt"])
def test_a_folder_inside(copy, name):
    folder, expected = copy
    (folder / name).mkdir()
    with pytest.raises(ModelError, match="not part of a model"):
        load_bundle(folder, expected)


@pytest.mark.usefixtures("lightgbm_untouched")
@pytest.mark.parametrize("name", ["../booster_0.txt", "/etc/passwd", "sub/../booster_0.txt", "..", ""])
def test_a_name_that_leads_elsewhere(copy, name):
    folder, _ = copy

    def change(payload):
        payload["files"][name] = payload["files"].pop("booster_0.txt")

    shutil.copy(folder / "booster_0.txt", folder.parent)
    (folder / "booster_0.txt").unlink()
    with pytest.raises(ModelError):
        load_bundle(folder, rewrite(folder, change))


@pytest.mark.usefixtures("lightgbm_untouched")
def test_a_booster_or_model_json_missing(copy):
    folder, expected = copy
    (folder / "booster_0.txt").unlink()
    with pytest.raises(ModelError, match="missing or extra"):
        load_bundle(folder, expected)
    (folder / "model.json").unlink()
    with pytest.raises(ModelError, match=r"no model\.json"):
        load_bundle(folder, expected)
    with pytest.raises(ModelError, match=r"no model\.json"):
        load_bundle(folder / "nowhere", expected)


@pytest.mark.usefixtures("lightgbm_untouched")
@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"3", b'"x"', b"{}", b"\xff\xfe\x00", b'{"format": 1}']
)
def test_model_json_that_is_none(copy, data):
    folder, _ = copy
    (folder / "model.json").write_bytes(data)
    for expected in (None, hashlib.sha256(data).hexdigest()):
        with pytest.raises(ModelError):
            load_bundle(folder, expected)


def _drop_boosters(payload):
    payload["files"] = {}


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.update(format=2),
        lambda p: p.update(files=[]),
        lambda p: p.update(files=None),
        lambda p: p.update(categories=[1]),
        lambda p: p.update(references=[]),
        lambda p: p.update(references={"a": {"kind": "numeric"}}),
        lambda p: p.update(calibrator={"kind": "magic"}),
        lambda p: p.update(calibrator=None),
        lambda p: p["parameters"].update(magic=1),
        lambda p: p.update(parameters=None),
        lambda p: p["features"].pop(),
        lambda p: p["features"].append("more"),
        lambda p: p.pop("reasons"),
        lambda p: p.pop("meta"),
        lambda p: p.update(meta=3),
    ],
)
def test_nonsense_with_a_good_hash_is_still_a_model_error(copy, change):
    folder, _ = copy
    with pytest.raises(ModelError):
        load_bundle(folder, rewrite(folder, change))


def test_a_bundle_without_boosters(copy):
    folder, _ = copy
    for path in folder.glob("booster_*"):
        path.unlink()
    with pytest.raises(ModelError):
        load_bundle(folder, rewrite(folder, _drop_boosters))


def _mutate(data, rng):
    kind = rng.choice(["flip", "flip", "truncate", "duplicate", "zero"])
    at = rng.randrange(len(data))
    if kind == "truncate":
        return data[:at]
    if kind == "duplicate":
        return data[:at] + data[at : at + 40] + data[at:]
    broken = bytearray(data)
    if kind == "zero":
        broken[at] = 0 if broken[at] else 1
    else:
        broken[at] ^= 1 << rng.randrange(8)
    return bytes(broken)


@pytest.mark.usefixtures("lightgbm_untouched")
def test_300_random_mutations_are_all_model_errors(copy):
    folder, expected = copy
    rng = random.Random(20240131)
    originals = {path: path.read_bytes() for path in sorted(folder.iterdir())}
    for _ in range(300):
        path = rng.choice(list(originals))
        broken = _mutate(originals[path], rng)
        path.write_bytes(broken)
        with pytest.raises(ModelError):
            load_bundle(folder, expected)
        if path.suffix == ".txt":
            # The inner hashes alone hold the boosters.
            with pytest.raises(ModelError):
                load_bundle(folder)
        path.write_bytes(originals[path])


def test_mutated_model_json_without_an_outer_hash_never_crashes(copy):
    folder, _ = copy
    rng = random.Random(7)
    original = (folder / "model.json").read_bytes()
    refused = 0
    for _ in range(150):
        (folder / "model.json").write_bytes(_mutate(original, rng))
        try:
            load_bundle(folder)
        except ModelError:
            refused += 1
    # A changed letter in a text goes unnoticed without the outer hash: that is what it is for.
    assert refused > 30


def test_references_survive_missing_values(scoring_model, tmp_path):
    reference = fit_reference([1.0, np.nan, 3.0, np.nan])
    model = replace(scoring_model, references={"income": reference})
    loaded = load_bundle(tmp_path / "b", save_bundle(model, tmp_path / "b"))
    assert loaded.references == {"income": reference}


def test_a_classifier_without_column_names_cannot_be_saved(tmp_path):
    X = np.arange(40.0).reshape(20, 2)
    plain = OverdueClassifier(n_estimators=1, cv=2, n_jobs=1).fit(X, np.arange(20) % 2)
    model = ScoringModel(plain, "0" * 64, {}, {})
    with pytest.raises(ModelError, match="no feature names"):
        save_bundle(model, tmp_path / "b")
