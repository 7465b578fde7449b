"""The words of the evaluation page: complete in each language, and the gravest first."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import overdue_ml
from overdue_ml.config import EvaluationConfig, LabelsConfig, ModelConfig, SplitConfig, TrainConfig
from overdue_ml.errors import ConfigError
from overdue_ml.explain import load_wording
from overdue_ml.jobs.evidence import audit_remarks
from overdue_ml.jobs.limits import find_limits
from overdue_ml.metrics import (
    Interval,
    compare_groups,
    evaluate_scores,
    evaluate_segments,
    money_curve,
    money_table,
    swap_set,
)
from overdue_ml.reports.assessment import (
    Assessment,
    ChampionComparison,
    MoneyComparison,
    Remark,
    RuleComparison,
)
from overdue_ml.reports.evaluation import Judged, render_evaluation
from overdue_ml.reports.evaluation_sections import WARNINGS, findings
from overdue_ml.reports.phrases import load_phrases

PACKAGE = Path(overdue_ml.__file__).parent
RNG = np.random.default_rng(0)
N = 600
P = RNG.beta(1, 3, N)
Y = (RNG.random(N) < P).astype(int)
MONEY = RNG.lognormal(5, 1, N)
GROUP = np.where(np.arange(N) < 580, np.where(np.arange(N) % 2, "<b>", "b"), "tiny")
METRICS = evaluate_scores(Y, P, n_boot=10)
FACTS = {
    "n": N, "n_overdue": int(Y.sum()), "mean_p": float(P.mean()), "overdue_rate": float(Y.mean()),
    "min_rows": 100, "min_overdue": 10,
}  # fmt: skip
BY_DATE = pd.DataFrame(
    {"as_of_date": ["2024-01-31", "2024-02-29"], "n": [590, 10], "overdue_rate": [0.2, np.nan]}
    | {name: [0.5, np.nan] for name in ("mean_p", "auc", "ks", "brier", "ece")}
)


def rule_of(low: float, high: float) -> RuleComparison:
    difference = Interval((low + high) / 2, low, high)
    return RuleComparison("repay_dpd_latest", "The latest days past due.", True, 0.7, 0.7, 0.71, difference)


def champion_of(low: float, high: float, *, unseen: bool) -> ChampionComparison:
    difference, swap = Interval((low + high) / 2, low, high), swap_set(Y, MONEY, P, 0.1)
    return ChampionComparison("3", 0.7, 0.71, difference, 0.1, swap, unseen)


def assessment_of(**parts) -> Assessment:
    whole = {
        "segments": {"product": evaluate_segments(Y, P, GROUP, n_boot=5)},
        "fairness": {"sex": compare_groups(Y, P, P > 0.2, GROUP)},
        "selection": Remark("selected_from", {"p": "20"}),
        "shift": pd.DataFrame(
            {"feature": ["a_b", "c_d"], "meaning": ["A.", "C."], "psi": [0.4, 0.01]}
            | {"status": ["shifted", "stable"]}
        ),
        "n_shifted": {"shifted": 1, "stable": 1},
        "rule": rule_of(0.01, 0.03),
        "champion": champion_of(-0.01, 0.01, unseen=True),
        "money": MoneyComparison(
            "due_amount_next", N, 2, 9.0, 5.0,
            money_table(Y, P, MONEY, {"log_odds": P, "expected_amount": P * MONEY, "amount": MONEY}),
            {"log_odds": money_curve(Y, MONEY, P)},
        ),
        "limits": [Remark("limit_treated")],
    }  # fmt: skip
    return Assessment(**whole | parts)


def keys_of(assessment: Assessment) -> list[str]:
    return [remark.key for remark in findings(assessment, METRICS, FACTS)]


class _Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[str]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, [name for name, _ in attrs]))


def page_of(assessment: Assessment, lang: str) -> str:
    judged = Judged(assessment, FACTS, 0.12, 0.5, audit_remarks({"dates": [], "findings": []}))
    return render_evaluation({"metrics": METRICS, "by_date": BY_DATE}, {}, judged=judged, lang=lang)


def test_both_languages_have_the_same_texts_with_the_same_figures():
    english, chinese = load_phrases("en"), load_phrases("zh")
    assert english.texts.keys() == chinese.texts.keys()
    differing = [key for key, names in english.placeholders().items() if names != chinese.placeholders()[key]]
    assert not differing
    assert all(text.strip() for phrases in (english, chinese) for text in phrases.texts.values())
    untranslated = {k for k, v in english.texts.items() if v == chinese.texts[k]}
    assert untranslated <= {"c_auc", "c_ks", "c_psi", "m_auc", "m_ks"}


def test_every_text_is_used_and_every_remark_has_words():
    paths = [*(PACKAGE / "reports").glob("*.py"), *(PACKAGE / "jobs").glob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    texts = load_phrases("en").texts
    said = set(re.findall(r'Remark\(\s*"([a-z_]+)"', code)) | set(
        re.findall(r'(?:phrases|words|language)\.text\(\s*"([a-z_]+)"', code)
    )
    said |= set(re.findall(r'note\("[a-z]+", "([a-z_]+)"', code))
    # The words of cards stand elsewhere.
    assert not said - set(texts) - set(load_wording("en").card)
    # Whole groups are looked up by a part of their name.
    grouped = ("c_", "m_", "n_", "v_", "f_", "t_", "r_", "part_", "s_", "audit_", "finding_")
    template = (PACKAGE / "reports" / "templates" / "evaluation.html").read_text(encoding="utf-8")
    unused = [
        k
        for k in texts
        if not k.startswith(grouped) and f'"{k}"' not in code and f"words.{k} " not in template
    ]
    assert not unused


def test_a_missing_figure_or_language_is_an_error():
    with pytest.raises(ConfigError, match="'low' is missing"):
        load_phrases("en").text("to", high="1")
    with pytest.raises(ConfigError, match="one of en, zh"):
        load_phrases("fr")


@pytest.mark.parametrize(
    ("low", "high", "key"),
    [
        (0.01, 0.03, "finding_rule_better"),
        (-0.01, 0.03, "finding_rule_equal"),
        (0.0, 0.03, "finding_rule_equal"),
        (-0.03, -0.01, "finding_rule_worse"),
        (np.nan, np.nan, "finding_rule_untested"),
    ],
)
def test_a_model_no_better_than_a_rule_beyond_chance_is_told_first(low, high, key):
    keys = keys_of(assessment_of(rule=rule_of(low, high)))
    assert key in keys
    assert (keys[0] == key) == (key != "finding_rule_better")
    assert (key in WARNINGS) == (key in ("finding_rule_equal", "finding_rule_worse"))


def test_a_worse_model_than_a_champion_that_knew_the_rows_is_no_warning():
    assert "finding_champion_worse" in keys_of(assessment_of(champion=champion_of(-0.03, -0.01, unseen=True)))
    unsure = keys_of(assessment_of(champion=champion_of(-0.03, -0.01, unseen=False)))
    assert "finding_champion_unsure" in unsure
    assert "finding_champion_unsure" not in WARNINGS
    assert "finding_champion_better" in keys_of(assessment_of(champion=champion_of(0.01, 0.03, unseen=False)))


def test_leakage_comes_before_everything():
    leak = Remark("limit_leakage", {"n": "2"})
    assert keys_of(assessment_of(rule=rule_of(-1, 1), limits=[leak]))[:2] == [
        "finding_leakage",
        "finding_rule_equal",
    ]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_whole_page_is_safe_and_the_same_each_time(lang):
    html = page_of(assessment_of(), lang)
    assert html == page_of(assessment_of(), lang)
    for tag, names in _Tags(html).found:
        assert tag not in ("script", "img", "link", "iframe", "b")
        assert not [n for n in names if n.startswith("on") or n in ("src", "href", "style")]
    assert "&lt;b&gt;" in html
    assert f'<html lang="{lang}">' in html
    # Segments, fairness, drift, dates and money are drawn.
    assert html.count('role="img"') == 5
    assert load_phrases(lang).text("too_few") in html
    assert "nan" not in html


def test_an_assessment_without_anything_is_still_a_page():
    html = page_of(Assessment(notes={"rule": [Remark("rule_none")]}), "en")
    assert "No feature stands for past lateness" in html
    assert "Lift in money" not in html


def facts_of(**parts):
    return {
        "as_of": ["2024-01-31", "2024-02-29"], "test_as_of": ["2024-04-30"], "test_overdue": 500,
        "verdicts": {"overdue": 900, "on_time": 9000}, "rejected_rows": {"accounts": 0},
        "leakage_audit": {"dates": ["2024-01-31"], "findings": []},
    } | parts  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "config", "key"),
    [
        ({"as_of": ["2024-01-31"]}, {}, "limit_single_date"),
        ({"test_as_of": ["2024-02-29"]}, {}, "limit_not_out_of_time"),
        ({}, {}, "limit_one_test_date"),
        ({}, {"split": SplitConfig(by="time")}, "limit_same_customers"),
        ({"test_overdue": 199}, {}, "limit_few_overdue"),
        ({"verdicts": {"overdue": 1, "immature": 5}}, {}, "limit_immature"),
        ({"verdicts": {"overdue": 1, "technical": 5}}, {}, "limit_excluded"),
        ({"rejected_rows": {"accounts": 3}}, {}, "limit_rejected"),
        ({"leakage_audit": {"dates": [], "findings": []}}, {}, "limit_not_audited"),
        ({"leakage_audit": {"dates": ["x"], "findings": [1]}}, {}, "limit_leakage"),
        ({}, {"labels": LabelsConfig(population="pre_due")}, "limit_pre_due"),
        ({}, {"labels": LabelsConfig(population="past_due")}, "limit_past_due"),
        ({}, {"model": ModelConfig(calibration="none")}, "limit_not_calibrated"),
        ({}, {"evaluation": EvaluationConfig(n_boot=0)}, "limit_no_intervals"),
    ],
)
def test_each_limit_stands_where_the_data_have_it(facts, config, key):
    config = {"labels": LabelsConfig(source="instalments")} | config
    told = find_limits(facts_of(**facts), TrainConfig(**config))
    assert key in {remark.key for remark in told}
    assert all(load_phrases("en").remark(remark) for remark in told)
    ordinary = facts_of(test_as_of=["2024-04-30", "2024-05-31"])
    clean = find_limits(ordinary, TrainConfig(labels=LabelsConfig(source="instalments")))
    assert [remark.key for remark in clean] == ["limit_association", "limit_treated"]
