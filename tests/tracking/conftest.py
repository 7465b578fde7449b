import socket

import numpy as np
import pandas as pd
import pytest

from overdue_ml.model import OverdueClassifier, ScoringModel, save_bundle

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
