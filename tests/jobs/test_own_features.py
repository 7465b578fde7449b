"""A user's own features through the whole line: trained with, kept with the model, refused when changed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from overdue_ml import cli
from overdue_ml.errors import ConfigError, FeatureMismatchError
from overdue_ml.features import FunctionFeature, OwnFeatures, SqlFeature, build_features, load_own_features
from overdue_ml.jobs.explain import run_explain
from overdue_ml.jobs.score import ScoreSettings, run_score
from overdue_ml.jobs.train import run_train
from overdue_ml.records import load_records
from overdue_ml.tracking import load_model, open_store

AS_OF = "2005-09-30"
MODULE = '''
from overdue_ml import FunctionFeature, SqlFeature

BRAKE = 1000.0


def distance(records, keys):
    """How far the latest statement lies back, less so for others of the same book."""
    statements = records.frame("statements").merge(records.frame("accounts")[["account_id", "customer_id"]])
    known = keys.merge(statements, on="customer_id")
    told_on = known["known_on"].fillna(known["statement_date"])
    known = known[told_on.astype("datetime64[s]") <= known["as_of_date"]]
    owed = known.groupby(["customer_id", "as_of_date"])["balance_amount"].max().rename("owed").reset_index()
    return keys.merge(owed, how="left")["owed"] / BRAKE + len(records.frame("customers"))


FEATURES = [
    SqlFeature(
        "own_paid_amount_peak", "statements", "max(e.paid_amount)", "OWN_PAID", "amount",
        "The highest amount {ever} paid.", frozenset({"paid_amount"}),
    ),
    FunctionFeature("own_owed_score", distance, "OWN_OWED", "score", "The most owed, in thousands."),
    FunctionFeature(
        "own_owed_twice_score", lambda r, k: 2 * distance(r, k), "OWN_OWED", "score", "Twice that.",
        version="1",
    ),
]
'''
#: The balance of the last statement that the records have at all.
LEAKING = """
from overdue_ml import FunctionFeature


def last_balance(records, keys):
    statements = records.frame("statements").merge(records.frame("accounts")[["account_id", "customer_id"]])
    latest = statements.sort_values("statement_date").groupby("customer_id")["balance_amount"].last()
    return keys["customer_id"].map(latest)


FEATURES = [FunctionFeature("own_last_balance_amount", last_balance, "OWN", "amount", "The last balance.")]
"""
TRAIN = [
    "--set", "model.n_estimators=40", "--set", "model.cv=2", "--set", "evaluation.n_boot=0",
    "--set", "model.colsample_bytree=1.0",
]  # fmt: skip


@dataclass(frozen=True)
class Own:
    """A champion with features of its own, made on the command line."""

    root: Path
    records: Path
    module: Path

    @property
    def models(self) -> Path:
        return self.root / "models"

    def score(self, out: Path, *more: object) -> list[str]:
        words = ["score", "--records", self.records, "--as-of", AS_OF, "--models", self.models, "--out", out]
        return [str(w) for w in [*words, *more]]


@pytest.fixture(scope="module")
def own(tmp_path_factory, line):
    root = tmp_path_factory.mktemp("own")
    module = root / "mine.py"
    module.write_text(MODULE, encoding="utf-8")
    made = Own(root, line.records, module)
    words = ["train", "--records", line.records, "--models", made.models, "--features-module", module, *TRAIN]
    assert cli.run([str(w) for w in words]) == 0
    assert cli.run(["promote", "1", "--models", str(made.models), "--by", "tester"]) == 0
    assert cli.run(made.score(root / "out", "--features-module", module)) == 0
    return made


@pytest.fixture(scope="module")
def run(own):
    return own.root / "out" / f"as_of={AS_OF}"


@pytest.fixture(scope="module")
def registered(own):
    return load_model(open_store(own.models), "overdue@champion")


def test_they_are_trained_on_audited_and_kept_with_the_model(own, registered):
    meta = registered.model.meta
    names = ["own_paid_amount_peak", "own_owed_score", "own_owed_twice_score"]
    assert set(names) <= set(registered.model.feature_names)
    assert [f["name"] for f in meta["own_features"]["features"]] == names
    assert meta["own_features"]["sha256"] == load_own_features(own.module).sha256
    assert meta["leakage_audit"]["customers"] == 500
    assert meta["leakage_audit"]["findings"] == []
    assert registered.model.reasons["own_owed_score"] == "OWN_OWED"
    page = next(own.models.rglob("evaluation.html")).read_text(encoding="utf-8")
    assert "own_paid_amount_peak" in page


def test_they_say_something_of_the_scores(own, run):
    found = pd.read_parquet(run / "contributions.parquet")
    assert found[["own_paid_amount_peak", "own_owed_score"]].abs().to_numpy().sum() > 0
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["own_features"]["sha256"] == load_own_features(own.module).sha256


def test_other_processes_make_them_from_the_same_file(own, run, tmp_path):
    """A worker has never read the file, and its functions look at everybody."""
    batch = tmp_path / "batch.yaml"
    batch.write_text("customers_per_bucket: 1500\nworkers: 2\n", encoding="utf-8")
    words = own.score(tmp_path / "out", "--features-module", own.module, "--batch-config", batch)
    assert cli.run(words) == 0
    again = tmp_path / "out" / run.name
    for name in ("scores.parquet", "contributions.parquet"):
        assert (again / name).read_bytes() == (run / name).read_bytes()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_reason_without_words_is_told_by_its_meanings_and_figures(own, run, tmp_path, lang):
    scores = pd.read_parquet(run / "scores.parquet")
    customer = scores.sort_values("rank")["customer_id"].iloc[0]
    own_now = load_own_features(own.module)
    records = load_records(own.records)
    figures = (
        build_features(records, AS_OF, ["own_owed_score"], registry=_registry(own_now)).loc[customer].iloc[0]
    )
    card = run_explain(run, customer, lang, out=tmp_path / "a.html", own=own.module).card
    told = {line.code: line for line in card.reasons}
    paid = told["OWN_PAID"]
    assert paid.title == "Own paid"
    # Braces of a meaning are no placeholders.
    assert paid.sentence.startswith("The highest amount (ever) paid: ")
    assert any(character.isdigit() for character in paid.sentence)
    # A function is asked about the customer among all records, not among their own: 3,000 and some.
    once, twice = told["OWN_OWED"].sentence.removesuffix(".").split("; ")
    assert figures["own_owed_score"] > 3000
    assert once == f"The most owed, in thousands: {figures['own_owed_score']:,.0f}"
    assert twice == f"Twice that: {2 * figures['own_owed_score']:,.0f}"
    plain = run_explain(run, customer, lang, out=tmp_path / "b.html").card
    assert {line.code: line.sentence for line in plain.reasons}[
        "OWN_PAID"
    ] == "The highest amount (ever) paid."
    assert [line.contribution for line in plain.reasons] == [line.contribution for line in card.reasons]


def _registry(own_now):
    from overdue_ml.features import registry_with

    return registry_with([], own_now)


def test_a_wording_of_ones_own_comes_first(own, run, tmp_path):
    customer = pd.read_parquet(run / "scores.parquet")["customer_id"].iloc[0]
    texts = dict.fromkeys(("adverse", "protective"), "最高还款额为{own_paid_amount_peak}。")
    texts |= {"title": "最高还款额"} | dict.fromkeys(("adverse_plain", "protective_plain"), "最高还款额。")
    wording = tmp_path / "w.yaml"
    wording.write_text(json.dumps({"language": "zh", "reasons": {"OWN_PAID": texts}}), encoding="utf-8")
    result = run_explain(run, customer, "zh", out=tmp_path / "a.html", wording=wording, own=own.module)
    told = {line.code: line for line in result.card.reasons}
    assert told["OWN_PAID"].title == "最高还款额"
    assert told["OWN_PAID"].sentence.startswith("最高还款额为")
    plain = run_explain(run, customer, "zh", out=tmp_path / "b.html", wording=wording)
    assert {line.code: line.sentence for line in plain.card.reasons}["OWN_PAID"] == "最高还款额。"


def test_without_the_module_nothing_is_scored(own, tmp_path, capsys):
    assert cli.run(own.score(tmp_path / "out")) == 4
    told = capsys.readouterr().err
    assert "trained with features of your own (own_paid_amount_peak, own_owed_score" in told
    assert f"expected the features module of SHA-256 {load_own_features(own.module).sha256}" in told
    assert "give the file with --features-module" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", ["# a comment\n", "BRAKE = 1001.0\n"])
def test_a_changed_module_is_refused_before_a_line_of_it_is_run(own, tmp_path, capsys, change):
    """A value that a function encloses is no part of its source: only the file's hash can tell."""
    changed = tmp_path / "mine.py"
    trace = tmp_path / "trace"
    changed.write_text(f"{MODULE}\n{change}open({str(trace)!r}, 'w').close()\n", encoding="utf-8")
    # Also where the same run stands there finished already.
    for out in (own.root / "out", tmp_path / "out"):
        assert cli.run(own.score(out, "--features-module", changed)) == 4
        told = capsys.readouterr().err
        assert "the features module is not the one that the model was trained with" in told
        assert load_own_features(own.module).sha256 in told
    assert not (tmp_path / "out").exists()
    run = own.root / "out" / f"as_of={AS_OF}"
    words = ["explain", "--scores", run, "--customer", "x", "--features-module", changed]
    assert cli.run([str(w) for w in words]) == 4
    assert not trace.exists()
    changed.write_text(MODULE, encoding="utf-8")
    assert cli.run(own.score(own.root / "out", "--features-module", changed)) == 0, "by content, not by path"


def test_a_module_for_a_model_without_any_is_refused(own, line, tmp_path, capsys):
    words = own.score(tmp_path / "out", "--features-module", own.module)
    words[words.index("--models") + 1] = str(line.models)
    assert cli.run(words) == 4
    assert "the model was trained without any" in capsys.readouterr().err
    with pytest.raises(FeatureMismatchError, match="trained without any"):
        run_explain(line.scored.folder, "x", own=own.module)


def test_a_leaking_feature_of_ones_own_stops_training(line, tmp_path, capsys):
    module = tmp_path / "leak.py"
    module.write_text(LEAKING, encoding="utf-8")
    by_time = ["--set", "as_of=[2005-05-31, 2005-06-30, 2005-07-31, 2005-08-31]", "--set", "split.by=time"]
    by_time += ["--set", "labels.source=next_statement", "--set", "labels.overdue_dpd=31"]
    by_time += ["--set", "audit.customers=60", "--set", "audit.max_auc=1.0"]
    words = ["train", "--records", line.records, "--models", tmp_path / "models", *TRAIN, *by_time]
    assert cli.run([str(w) for w in [*words, "--features-module", module]]) == 4
    told = capsys.readouterr().err
    assert "the leakage audit found 1 feature(s): own_last_balance_amount" in told
    assert "moves when the future is deleted: by the row of statements account_id=" in told
    assert not list(tmp_path.rglob("model.json"))


def owed(records, keys):
    statements = records.frame("statements").merge(records.frame("accounts")[["account_id", "customer_id"]])
    known = keys.merge(statements, on="customer_id")
    told_on = known["known_on"].fillna(known["statement_date"])
    known = known[told_on.astype("datetime64[s]") <= known["as_of_date"]]
    found = known.groupby(["customer_id", "as_of_date"])["balance_amount"].max().rename("owed").reset_index()
    return keys.merge(found, how="left")["owed"]


def owed_otherwise(records, keys):
    return np.zeros(len(keys))


def test_in_python_they_are_given_as_they_are(line, tmp_path):
    def declared(function):
        return [FunctionFeature("own_owed_amount", function, "OWN_OWED", "amount", "The most owed.")]

    from overdue_ml.config import EvaluationConfig, ModelConfig, RecordsConfig, TrainConfig

    config = TrainConfig(model=ModelConfig(n_estimators=20, cv=2), evaluation=EvaluationConfig(n_boot=0))
    run_train(line.records, RecordsConfig(), config, tmp_path / "m", own=declared(owed))
    found = load_model(open_store(tmp_path / "m"), "overdue/1")
    assert found.model.meta["own_features"]["sha256"] == ""
    day = pd.Timestamp(AS_OF).date()
    result = run_score(line.records, day, found, tmp_path / "out", ScoreSettings(own=declared(owed)))
    assert "own_owed_amount" in pd.read_parquet(result.folder / "contributions.parquet")
    with pytest.raises(FeatureMismatchError, match="other feature definitions"):
        run_score(line.records, day, found, tmp_path / "out", ScoreSettings(own=declared(owed_otherwise)))
    with pytest.raises(
        FeatureMismatchError, match="none are given; expected the features it was trained with"
    ):
        run_score(line.records, day, found, tmp_path / "out")
    module = tmp_path / "mine.py"
    module.write_text(MODULE, encoding="utf-8")
    with pytest.raises(FeatureMismatchError, match="not from the file") as raised:
        run_score(line.records, day, found, tmp_path / "out", ScoreSettings(own=load_own_features(module)))
    assert raised.value.exit_code == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FEATURES = 7\n", "declares no FEATURES"),
        ("x = 1\n", "declares no FEATURES"),
        ("FEATURES = []\n", "there are no features of your own"),
        ("FEATURES = ['repay_dpd_latest']\n", "a str cannot be a feature of your own"),
        (
            "from overdue_ml.features import AttributeFeature\nFEATURES = [AttributeFeature('sex')]\n",
            "a AttributeFeature cannot be a feature of your own.*named in the records config",
        ),
        ("\nFEATURES = [\n1/0]\n", r"failed with ZeroDivisionError: division by zero \[.*mine.py, line 3\]"),
        ("a = 1\nb = (\n", r"failed with SyntaxError.*mine.py, line 2\]"),
        ("raise SystemExit(0)\n", r"failed with SystemExit.*line 1\]"),
        ("import neighbour\n", "failed with ModuleNotFoundError"),
        ("x = '\\xff'\n".encode("latin-1").decode("unicode_escape"), "declares no FEATURES"),
    ],
)
def test_a_module_that_cannot_be_used_is_one_sentence(line, tmp_path, text, message, capsys):
    module = tmp_path / "mine.py"
    module.write_text(text, encoding="utf-8")
    (tmp_path / "neighbour.py").touch()
    with pytest.raises(ConfigError, match=message):
        load_own_features(module)
    words = ["train", "--records", line.records, "--models", tmp_path / "m", "--features-module", module]
    assert cli.run([str(w) for w in words]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


def test_a_missing_module_and_a_taken_name_are_refused(line, tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_own_features(tmp_path / "mine.py")
    taken = SqlFeature("repay_dpd_latest", "accounts", "count(*)", "OWN", "count", "N.", frozenset())
    with pytest.raises(ConfigError, match="'repay_dpd_latest' is declared twice"):
        _registry(OwnFeatures((taken,)))
    other = SqlFeature("own_n_count", "payments", "count(*)", "OWN", "count", "N.", frozenset())
    with pytest.raises(ConfigError, match="reads the table 'payments'"):
        OwnFeatures((other,))


def test_sql_that_fails_is_named_and_quotes_nobody(line):
    fine = SqlFeature("own_n_count", "statements", "count(*)", "OWN", "count", "N.", frozenset())
    records = load_records(line.records)
    for sql, kind in (("max(e.mood)", "BinderException"), ("max(e.account_id::INT)", "ConversionException")):
        bad = SqlFeature("own_bad_count", "statements", sql, "OWN", "count", "B.", frozenset())
        with pytest.raises(
            FeatureMismatchError, match=f"SQL of the feature 'own_bad_count' failed with {kind}"
        ) as e:
            build_features(
                records, AS_OF, ["own_n_count", bad.name], registry=_registry(OwnFeatures((fine, bad)))
            )
        assert "A0" not in str(e.value)
