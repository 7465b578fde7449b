"""The whole line once on 3,000 customers of the Taiwan book, for every test of the jobs."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from overdue_ml.config import EvaluationConfig, ModelConfig, RecordsConfig, RemindersConfig, TrainConfig
from overdue_ml.jobs.promote import run_promote
from overdue_ml.jobs.score import ScoreResult, ScoreSettings, run_score
from overdue_ml.jobs.train import TrainResult, run_train
from overdue_ml.tracking import RegisteredModel, load_model, open_store

TAIWAN = Path(__file__).parents[2] / "data" / "taiwan"
AS_OF = dt.date(2005, 9, 30)
N_CUSTOMERS = 3000
needs_java = pytest.mark.skipif(
    not (shutil.which("java") or os.environ.get("JAVA_HOME")), reason="Spark needs Java, which is not here"
)


@dataclass(frozen=True)
class Line:
    """Folders and results of one run of the line."""

    records: Path
    models: Path
    out: Path
    trained: TrainResult
    scored: ScoreResult


def small_config() -> TrainConfig:
    """A model that trains in a second."""
    return TrainConfig(model=ModelConfig(n_estimators=60, cv=2), evaluation=EvaluationConfig(n_boot=20))


def small_settings() -> ScoreSettings:
    """September's statements are due by the end of October."""
    return ScoreSettings(reminders=RemindersConfig(lead_days=31))


def write_book(folder: Path, n_customers: int = N_CUSTOMERS) -> Path:
    """The first customers of the Taiwan book as CSV files."""
    folder.mkdir(parents=True)
    accounts = pd.read_parquet(TAIWAN / "accounts.parquet").head(n_customers)
    accounts.to_csv(folder / "accounts.csv", index=False)
    for name, key, kept in (
        ("customers", "customer_id", accounts["customer_id"]),
        ("labels", "customer_id", accounts["customer_id"]),
        ("statements", "account_id", accounts["account_id"]),
    ):
        frame = pd.read_parquet(TAIWAN / f"{name}.parquet")
        frame[frame[key].isin(kept)].to_csv(folder / f"{name}.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Validate, train, promote and score, through the jobs."""
    root = tmp_path_factory.mktemp("line")
    records, models, out = write_book(root / "records"), root / "models", root / "out"
    trained = run_train(records, RecordsConfig(), small_config(), models)
    assert trained.run is not None
    run_promote(models, trained.run.version, "champion", "tester", "first model")
    registered = load_model(open_store(models), "overdue@champion")
    scored = run_score(records, AS_OF, registered, out, small_settings())
    return Line(records, models, out, trained, scored)


@pytest.fixture(scope="session")
def champion(line: Line) -> RegisteredModel:
    """The model of the line."""
    return load_model(open_store(line.models), "overdue@champion")


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hundred customers of the book, for what is scored again and again."""
    return write_book(tmp_path_factory.mktemp("few") / "records", 300)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but for how long it took."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "timings.json"]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    """A session with two Python workers; it and its Java process end with the module."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = {
        "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
    }  # fmt: skip
    session = SparkSession.builder.master("local[2,4]").config(map=settings).getOrCreate()
    yield session
    session.stop()
    gateway = SparkContext._gateway
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait(60)
    SparkContext._gateway = SparkContext._jvm = None
