"""What a run leaves to read: every comparison is there, nobody is named, the same rows give the same page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from overdue_ml.config import (
    AuditConfig,
    EvaluationConfig,
    ModelConfig,
    RecordsConfig,
    SplitConfig,
    TrainConfig,
)
from overdue_ml.jobs.evidence import _choice_tables
from overdue_ml.jobs.train import run_train
from overdue_ml.labels import split_by_customer
from overdue_ml.records import load_records

SMALL = ModelConfig(n_estimators=20, cv=2)


def frames(line):
    return {p.stem: pd.read_csv(p, dtype=str) for p in line.records.glob("*.csv")}


def train(source, models: Path, **settings):
    """A run, its evaluation.json and its page."""
    before = set(models.rglob("evaluation.html")) if models.exists() else set()
    given = {"model": SMALL, "evaluation": EvaluationConfig(n_boot=10), "audit": AuditConfig(dates=0)}
    config = TrainConfig(**given | settings)
    result = run_train(source, RecordsConfig(), config, models)
    (page,) = set(models.rglob("evaluation.html")) - before
    plain = json.loads(page.with_name("evaluation.json").read_text(encoding="utf-8"))
    return result, plain["assessment"], page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def first(line):
    """The assessment and the page of the run of the line; nobody was champion then."""
    page = min(line.models.rglob("evaluation.html"))
    plain = json.loads(page.with_name("evaluation.json").read_text(encoding="utf-8"))
    return plain["assessment"], page.read_text(encoding="utf-8")


def test_the_rule_is_chosen_on_training_rows_and_held_against_the_model_on_others(line, first):
    rule = first[0]["rule"]
    assert rule["feature"].startswith("repay_")
    assert rule["model_auc"] == pytest.approx(line.trained.evaluation.value("auc"))
    assert rule["difference"]["value"] == pytest.approx(rule["model_auc"] - rule["auc"])
    # Of the whole book the same column ranks between what it did on both parts.
    assert 0.6 < rule["auc"] < rule["model_auc"]
    assert rule["feature"] in first[1]


def test_people_are_compared_by_protected_attributes_and_none_of_fewer_than_ten(first):
    assessment, page = first
    assert set(assessment["fairness"]) == {"sex", "marriage", "age_years"}
    for tables in (assessment["segments"], assessment["fairness"]):
        for table in tables.values():
            for row in table:
                assert row["n"] >= 10
                if row["too_few"]:
                    assert {row[key] for key in row if key.endswith(("rate", "auc", "mean_p"))} == {None}
    totals = {column: sum(row["n"] for row in table) for column, table in assessment["fairness"].items()}
    assert len(set(totals.values())) == 1
    assert "this is a report, not a verdict" in page


def test_money_and_bands_use_a_feature_of_the_day(first):
    assessment, page = first
    money = assessment["money"]
    assert money["amount"] == "stmt_balance_amount_latest"
    shares = {(row["top"], row["ranking"]): row["share"] for row in money["table"]}
    assert shares[0.1, "random"] == 0.1
    assert shares[0.1, "perfect"] > shares[0.1, "expected_amount"] > shares[0.1, "random"]
    assert money["total_overdue"] < money["total"]
    assert assessment["segments"]["amount"][0]["segment"].startswith("< ")
    assert "Lift in money" in page


def test_without_a_champion_the_page_says_so(first):
    assessment, page = first
    assert assessment["champion"] is None
    assert "There is no champion yet." in page
    # One product: nothing to split by.
    assert "product is not shown" in page


def test_limits_follow_from_the_data(first):
    keys = {limit["key"] for limit in first[0]["limits"]}
    assert {"limit_single_date", "limit_not_out_of_time", "limit_few_overdue"} <= keys
    assert not keys & {"limit_leakage", "limit_same_customers", "limit_rejected", "limit_no_intervals"}


def test_the_champion_is_compared_on_the_same_rows(line, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(line.models, models)
    _, assessment, page = train(line.records, models)
    champion = assessment["champion"]
    assert champion["version"] == "1"
    assert champion["unseen"]
    assert champion["auc"] == pytest.approx(line.trained.evaluation.value("auc"))
    assert champion["difference"]["value"] == pytest.approx(champion["model_auc"] - champion["auc"])
    parts = {row["part"]: row["n"] for row in champion["swap"]}
    assert parts["swapped_in"] == pytest.approx(parts["swapped_out"])
    assert "the champion, version 1" in page
    assert "may have been trained" not in page
    # Other customers are set aside: some of them the champion was trained on.
    _, assessment, page = train(line.records, models, split=SplitConfig(salt="other"))
    assert not assessment["champion"]["unseen"]
    assert "may have been trained on some of these rows" in page


def test_a_champion_of_other_features_or_with_changed_files_is_not_compared(line, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(line.models, models)
    tables = frames(line)
    tables["statements"] = tables["statements"].drop(columns="paid_amount")
    _, assessment, page = train(load_records(tables), models)
    assert assessment["champion"] is None
    assert "needs features that these records or this version do not give" in page
    for path in models.rglob("model.json"):
        path.write_text(path.read_text(encoding="utf-8") + " ", encoding="utf-8")
    _, assessment, page = train(line.records, models)
    assert assessment["champion"] is None
    assert "The champion could not be loaded" in page


def test_the_page_in_chinese_with_segments_of_choice(line, tmp_path):
    settings = EvaluationConfig(
        n_boot=0, lang="zh", segments=["education", "credit_limit_amount", "nowhere"], fairness_threshold=None
    )
    _, assessment, page = train(line.records, tmp_path / "models", evaluation=settings)
    assert set(assessment["segments"]) == {"education", "credit_limit_amount", "amount"}
    assert assessment["selection"] == {"key": "selected_top", "values": {"share": "10"}}
    assert assessment["rule"]["difference"]["low"] is None
    for words in ("公平性报告", "按学历", "accounts与customers表均无nowhere列", "尚无现用模型", "未作重抽样"):
        assert words in page
    # No English sentence is left: in Chinese a row of five words in Latin letters is a text forgotten.
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    assert not re.findall(r"(?:\b[a-z]{2,}[ ,]+){5}", text)


def test_the_order_of_rows_and_columns_changes_no_byte_of_the_page(line, tmp_path):
    tables = frames(line)
    _, plain, page = train(load_records(tables), tmp_path / "a")
    turned = {name: table.iloc[::-1, ::-1] for name, table in tables.items()}
    _, again, other = train(load_records(turned), tmp_path / "b")
    assert plain == again
    # The data sheet lists tables in the order in which they came.
    sheet = re.compile(r"<tr><th scope=\"row\"><bdi>rejected rows.*?</tr>")
    assert sheet.sub("", page) == sheet.sub("", other)


def test_a_model_that_a_rule_replaces_is_told_first(line, tmp_path):
    """The label is one column of the past and a coin: no model can rank better than that column."""
    tables = frames(line)
    late = tables["statements"].groupby("account_id")["dpd"].apply(lambda d: d.astype(int).max() > 0)
    owner = tables["accounts"].set_index("account_id")["customer_id"]
    by_customer = late.groupby(owner).any()
    labels = tables["labels"]
    coin = np.random.default_rng(0).random(len(labels))
    chance = np.where(by_customer.loc[labels["customer_id"]].to_numpy(), 0.7, 0.1)
    labels["is_overdue"] = np.where(coin < chance, "True", "False")
    result, assessment, page = train(load_records(tables), tmp_path / "models")
    assert assessment["rule"]["difference"]["low"] <= 0
    first = re.search(r'<section class="findings">.*?<li([^>]*)><bdi>(.*?)</bdi>', page, re.DOTALL)
    assert "warning" in first[1]
    assert first[2].startswith("The model ")
    assert "best single rule" in first[2]
    assert result.evaluation.value("auc") == pytest.approx(assessment["rule"]["model_auc"])


def test_the_rule_does_not_see_the_test_rows(line, tmp_path):
    """With test labels turned round the same rule is chosen, and ranks the other way."""
    tables = frames(line)
    _, before, _ = train(load_records(tables), tmp_path / "a")
    config = TrainConfig().split
    test = split_by_customer(
        tables["labels"].set_index(["customer_id", "as_of_date"]), config.test_share, config.salt
    )
    turned = tables["labels"]["is_overdue"].map({"True": "False", "False": "True"})
    tables["labels"]["is_overdue"] = tables["labels"]["is_overdue"].where(~test, turned)
    _, after, _ = train(load_records(tables), tmp_path / "b")
    assert after["rule"]["feature"] == before["rule"]["feature"]
    assert after["rule"]["train_auc"] == before["rule"]["train_auc"]
    assert after["rule"]["auc"] == pytest.approx(1 - before["rule"]["auc"])


def test_how_a_model_was_chosen_is_shown_as_far_as_it_is_known():
    tables = _choice_tables(
        {
            "challenger": {
                "kind": "logistic",
                "blend_weight": 0.25,
                "metrics": [{"model": "served", "auc": 0.8}],
            },
            "constraint_cost": {"all": {"oof_auc_cost": 0.1}, "repay": {"oof_auc_cost": 0.0}},
            "tuning": {"parameters": {"num_leaves": 8}, "trials": []},
            "n_features": 3,
        }
    )
    assert list(tables) == ["tuning", "challenger", "challenger: metrics", "constraint_cost"]
    assert tables["challenger"]["value"].tolist() == ["logistic", "0.2500"]
    assert tables["challenger: metrics"]["auc"].tolist() == [0.8]
    assert list(tables["constraint_cost"].columns) == ["all", "repay"]
    assert tables["tuning"]["name"].tolist() == ["parameters num leaves", "trials"]
    assert _choice_tables({"tuning": None}) == {}
