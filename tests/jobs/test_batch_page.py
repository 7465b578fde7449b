"""docs/batch.md keeps its word: its commands exist, and its Spark code does on real Spark what it says."""

from __future__ import annotations

import datetime as dt
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import typer.main

import overdue_ml as om
from overdue_ml.cli import app
from overdue_ml.config import BatchConfig, RecordsConfig, TrainConfig, build_config, parse_yaml
from overdue_ml.jobs.export import run_export
from overdue_ml.jobs.score import ScoreSettings, run_score
from overdue_ml.jobs.train import run_train
from overdue_ml.records import open_buckets
from overdue_ml.records.dates import parse_date
from overdue_ml.tracking import RegisteredModel, load_model, open_store, promote

from .conftest import digests, needs_java

PAGE = (Path(__file__).parents[2] / "docs" / "batch.md").read_text(encoding="utf-8")
AS_OF = parse_date("2022-11-30")
#: What PySpark says of pandas 3; the numbers that come out are compared here.
of_pandas = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def block(about: str, changed: dict[str, str]) -> str:
    """The Python of the page that speaks of something, with other places than those of the page."""
    [found] = [code for code in blocks("python") if about in code]
    for before, after in changed.items():
        assert found.count(before) == 1
        found = found.replace(before, after)
    return found


def test_commands_and_settings_exist():
    verbs = typer.main.get_command(app).commands
    shell = "\n".join(blocks("bash")) + "\n".join(re.findall(r"`(overdue-ml [a-z].*?)`", PAGE))
    commands = [
        shlex.split(line, comments=True)[1:] for line in shell.splitlines() if line.startswith("overdue-ml")
    ]
    assert {verb for verb, *_ in commands} == {"prepare", "score", "export"}
    options = {name: {o for p in verb.params for o in p.opts} for name, verb in verbs.items()}
    for verb, *rest in commands:
        assert {word for word in rest if word.startswith("--")} <= options[verb]
    told = set(re.findall(r"`(--[a-z-]+)", PAGE))
    assert told <= options["score"] | options["prepare"] | options["report"] | {"--nworkers", "--nthreads"}
    table = PAGE.partition("| setting | means |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == set(BatchConfig.model_fields)
    for text in blocks("yaml"):
        build_config(BatchConfig, parse_yaml(text, "page"), where="page")


@dataclass(frozen=True)
class Lender:
    """The synthetic lender, a champion trained on it, and its scores from the plain records."""

    tables: dict[str, pa.Table]
    models: Path
    registered: RegisteredModel
    settings: ScoreSettings
    scored: Path


@pytest.fixture(scope="module")
def lender(tmp_path_factory):
    root = tmp_path_factory.mktemp("lender")
    tables = om.simulate(800, seed=5, months=12)
    del tables["truth"]
    # A payment of an account that nobody has.
    payments = tables["payments"]
    lost = payments.slice(0, 1)
    for name in ("payment_id", "account_id"):
        lost = lost.set_column(lost.column_names.index(name), name, pa.array(["LOST"]))
    tables["payments"] = pa.concat_tables([payments, lost])
    records = om.load_records(tables, RecordsConfig(attributes=["region"]))
    config = build_config(
        TrainConfig,
        {
            "as_of": ["2022-07-31", "2022-08-31", "2022-09-30"],
            "labels": {"source": "instalments"},
            "split": {"by": "customer"},
            "model": {"n_estimators": 30, "cv": 2},
            "evaluation": {"n_boot": 0},
            "audit": {"dates": 0},
        },
        where="test",
    )
    trained = run_train(records, records.config, config, root / "models")
    store = open_store(root / "models")
    promote(store, "overdue", trained.run.version, "champion", "tester")
    registered = load_model(store, "overdue@champion")
    settings = ScoreSettings(records=records.config, reminders=om.RemindersConfig(lead_days=31))
    scored = run_score(records, AS_OF, registered, root / "out", settings).folder
    return Lender(tables, root / "models", registered, settings, scored)


def write_tables(spark, tables, folder):
    """The lender as a lakehouse has it: decimals, timestamps, big integers, in files cut anyhow."""
    spark.sql(f"CREATE DATABASE lender LOCATION '{folder / 'lender.db'}'")
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
        rows = spark.read.parquet(str(folder / f"{name}.parquet"))
        columns = []
        for column, kind in rows.dtypes:
            if "amount" in column or column.endswith("_due"):
                columns.append(f"CAST({column} AS DECIMAL(18, 2)) AS {column}")
            elif column == "paid_on":
                columns.append(f"to_timestamp(concat({column}, ' 23:59:59.123456')) AS {column}")
            elif kind == "int":
                columns.append(f"CAST({column} AS BIGINT) AS {column}")
            else:
                columns.append(column)
        if name == "accounts":
            columns += ["DATE'0001-01-01' AS never_on", "TIMESTAMP'9999-12-31 00:00:00' AS forever_at"]
        rows.selectExpr(*columns).repartition(3).write.saveAsTable(f"lender.{name}")


@needs_java
def test_buckets_from_spark_sql_give_the_bytes_of_the_plain_records(spark, lender, tmp_path):
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    write_tables(spark, lender.tables, tmp_path)
    to = tmp_path / "buckets"
    code = block("buckets.json", {'Path("/mnt/nightly/buckets/2026-05-31"), 64': f'Path("{to}"), 5'})
    try:
        exec(code, {})
    finally:
        spark.sql("DROP DATABASE lender CASCADE")
    bucketed = open_buckets(to, lender.settings.records)
    assert (bucketed.n_buckets, bucketed.prepared) == (5, None)
    assert set(bucketed.tables) == set(lender.tables)
    check_layout(to, lender.tables)

    found = run_score(to, AS_OF, lender.registered, tmp_path / "out", lender.settings).folder
    # They say what the input was, and rejected rows are written as they came.
    others = {"manifest.json", "rejected/payments.parquet"}
    expected, written = digests(lender.scored), digests(found)
    assert {"scores.parquet", "contributions.parquet", "reminders.parquet", "reminders.csv"} <= set(expected)
    assert set(written) == set(expected) > others
    assert {k for k in expected if written[k] != expected[k]} == others
    rejected = [pq.read_table(run / "rejected" / "payments.parquet") for run in (found, lender.scored)]
    assert rejected[0].column("account_id").to_pylist() == ["LOST"]
    assert rejected[0].column("rule").equals(rejected[1].column("rule"))


def check_layout(to, tables):
    """No row is lost or doubled; types and order are those that the page speaks of."""
    for name, table in tables.items():
        parts = [pq.ParquetFile(path).read() for path in sorted((to / name).glob("bucket=*/part-*.parquet"))]
        assert sum(part.num_rows for part in parts) == table.num_rows
        assert "bucket" not in parts[0].column_names
        assert parts[0].column_names[: len(table.column_names)] == table.column_names
        for part in parts:
            if name == "payments":
                assert part.schema.field("paid_on").type == pa.timestamp("us", "UTC")
                rows = part.select(["account_id", "paid_on"])
                assert rows.equals(rows.sort_by([("account_id", "ascending"), ("paid_on", "ascending")]))
            if name == "accounts":
                assert pc.unique(part.column("never_on")).to_pylist() == [dt.date(1, 1, 1)]
                [forever] = pc.unique(part.column("forever_at")).to_pylist()
                assert forever.replace(tzinfo=None) == dt.datetime(9999, 12, 31)


@pytest.fixture(scope="module")
def features(lender, tmp_path_factory):
    """A finished feature table: a folder, its features, and log-odds and probability in this process."""
    records = om.load_records(lender.tables, lender.settings.records)
    model = lender.registered.model
    built = om.build_features(records, AS_OF, model.feature_names)
    assert "attr_region" in built
    built["attr_region"] = built["attr_region"].astype("str")
    # One that training never saw, and one that is not known.
    built.iloc[0, built.columns.get_loc("attr_region")] = "elsewhere"
    built.iloc[1, built.columns.get_loc("attr_region")] = None
    folder = tmp_path_factory.mktemp("features")
    built.reset_index().to_parquet(folder / "features.parquet", index=False)
    log_odds = model.classifier.decision_function(built)
    return folder, built, log_odds, model.classifier.calibrator_.predict(log_odds)


def check_scored(scored, features):
    """Every customer once, with the very same numbers."""
    _, built, log_odds, p_overdue = features
    found = scored.toArrow().to_pandas().set_index("customer_id").loc[built.index.get_level_values(0)]
    assert len(found) == len(built)
    assert built.isna().to_numpy().any()
    assert np.array_equal(found["log_odds"], log_odds)
    assert np.array_equal(found["p_overdue"], p_overdue)


@needs_java
@of_pandas
def test_the_exported_model_scores_a_feature_table(spark, lender, features, tmp_path):
    registered, folder = run_export(lender.models, "overdue@champion", tmp_path / "model")
    code = block(
        "pandas_udf",
        {
            "/mnt/nightly/model/": f"{folder}/",
            "the hash that 'export' printed": registered.bundle_hash,
            "/mnt/nightly/features/2026-05-31": str(features[0]),
        },
    )
    names = {"spark": spark, "__name__": "page"}
    exec(code, names)
    check_scored(names["scored"], features)
    # A model that is exchanged while the job runs is refused where it is read.
    booster = folder / "bundle" / "booster_0.txt"
    booster.write_text(booster.read_text(encoding="utf-8").replace("0.1", "0.2", 1), encoding="utf-8")
    with pytest.raises(Exception, match="SHA-256 differs"):
        names["scored"].toArrow()


@needs_java
@of_pandas
def test_the_registered_model_scores_a_feature_table_by_mlflow(spark, lender, features):
    store = open_store(lender.models)
    code = block(
        "mlflow.pyfunc.spark_udf",
        {
            "sqlite:////mnt/nightly/models/mlflow.db": store.uri,
            "/mnt/nightly/features/2026-05-31": str(features[0]),
        },
    )
    names = {"spark": spark}
    exec(code, names)
    check_scored(names["scored"], features)
