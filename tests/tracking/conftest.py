import json
import shutil
import socket
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from overdue_ml.model import OverdueClassifier, ScoringModel, save_bundle
from overdue_ml.tracking import TrainingRecord, log_run, open_store

#: Planted where customers' ids and values stand; must never be found in a store or a log.
CANARY_ID = "CANARY-110101199003071234"
CANARY_VALUE = 1234.567890123


def _names_no_host(host):
    return host in (None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0")


@pytest.fixture(scope="session", autouse=True)
def no_network():
    """Looking up any other machine is an error."""
    look_up = socket.getaddrinfo

    def refuse(host, *args, **kwargs):
        if not _names_no_host(host):
            raise AssertionError(f"the network was used: {host}")
        return look_up(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", refuse)
        yield


@pytest.fixture(scope="session", autouse=True)
def working_folder(tmp_path_factory):
    """A current folder with a populated ./mlruns, which would turn MLflow's default store round."""
    folder = tmp_path_factory.mktemp("cwd")
    (folder / "mlruns" / "0").mkdir(parents=True)
    (folder / "mlruns" / "0" / "meta.yaml").write_text("experiment_id: '0'\nname: Default\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("MLFLOW_REGISTRY_URI", raising=False)
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="session")
def canaries():
    """What must be found nowhere."""
    return [CANARY_ID.encode(), repr(CANARY_VALUE).encode(), b"CANARY"]


@pytest.fixture(scope="session")
def features():
    """200 customers; ids and one value in the middle are canaries."""
    rng = np.random.default_rng(0)
    n = 200
    index = pd.MultiIndex.from_product(
        [[f"{CANARY_ID}-{i}" for i in range(n)], [pd.Timestamp("2024-01-31")]],
        names=["customer_id", "as_of_date"],
    )
    income = rng.uniform(0, 5000, n)
    income[7] = CANARY_VALUE
    return pd.DataFrame(
        {"dpd": rng.normal(size=n), "income": income, "product": pd.Categorical(rng.choice(["a", "b"], n))},
        index=index,
    )


@pytest.fixture(scope="session")
def train(features):
    """Fit and save a bundle: folder and seed to (model, hash)."""

    def make(folder, seed=0):
        y = (features["dpd"] + (features["product"] == "a") > 0.5).to_numpy().astype(int)
        classifier = OverdueClassifier(
            n_estimators=5, num_leaves=4, min_child_samples=5, cv=2, n_jobs=1, random_state=seed
        ).fit(features, y, groups=features.index.get_level_values("customer_id"))
        model = ScoringModel(
            classifier=classifier,
            feature_set_hash="f" * 64,
            reasons={name: name.upper() for name in features},
            units=dict.fromkeys(features, "ratio"),
            meta={"as_of": ["2023-11-30", "2023-12-31"]},
        )
        return model, save_bundle(model, folder)

    return make


#: What a version shows that passes every gate; tests change one thing at a time.
GOOD = {
    "auc": 0.75, "ece": 0.02, "psi": 0.05, "overdue": 300, "interval": 0.04, "labels": "labels",
    "audit": {"dates": ["2023-12-31"], "customers": 100, "max_auc": 0.9, "findings": []},
    "test_as_of": ["2024-01-31"], "bins": [],
}  # fmt: skip


def _record(model, folder, **changes):
    """A training record: ``GOOD`` with changes; ``logged`` and ``evaluation`` for what does not fit."""
    facts = GOOD | changes
    meta = dict(model.meta) | {
        "test_as_of": facts["test_as_of"], "test_rows": 2000, "test_overdue": facts["overdue"],
        "leakage_audit": facts["audit"], "config": {"labels": {"source": facts["labels"]}},
        # Else two versions that show the same would be the same bundle.
        "number": folder.name,
    }  # fmt: skip
    folder.mkdir(parents=True)
    bundle_hash = save_bundle(replace(model, meta=meta), folder / "bundle")
    metrics = {"auc": facts["auc"], "ece": facts["ece"]}
    half = facts["interval"] and facts["interval"] / 2
    rows = [
        {"metric": k, "value": v, "low": half and v - half, "high": half and v + half}
        for k, v in metrics.items()
    ]
    report = folder / "evaluation.json"
    report.write_text(json.dumps({"overall": rows, "score_psi": facts["psi"], "calibration": facts["bins"]}))
    return TrainingRecord(
        bundle=folder / "bundle",
        bundle_hash=bundle_hash,
        features=model.feature_names,
        categorical=["product"],
        params={"split.by": "time"},
        metrics=facts.get("logged", metrics),
        tags={"records_fingerprint": "a" * 64},
        files={"evaluation": report} if facts.get("evaluation", True) else {},
    )


@pytest.fixture(scope="session")
def template(train, tmp_path_factory):
    """A models folder with three good versions and no promotion, to be copied; and how to make records."""
    root = tmp_path_factory.mktemp("template")
    model, _ = train(root / "first")
    made = []

    def record(**changes):
        made.append(len(made))
        return _record(model, root / f"record{len(made)}", **changes)

    store = open_store(root / "models")
    for auc in (0.75, 0.755, 0.76):
        log_run(store, record(auc=auc), "overdue", "overdue")
    return store.folder, record


@pytest.fixture
def record(template):
    """Changes to what a good version shows, to a training record."""
    return template[1]


@pytest.fixture
def store(template, tmp_path):
    """A store of its own with three good versions; copied, for a new database takes seconds."""
    shutil.copytree(template[0], tmp_path / "models")
    return open_store(tmp_path / "models")
