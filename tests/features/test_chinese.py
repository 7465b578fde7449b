"""The catalogue in Chinese: complete, put together like the English one, and nothing left untranslated."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from overdue_ml.errors import ConfigError
from overdue_ml.features import (
    ALL,
    AttributeFeature,
    DerivedFeature,
    Feature,
    Measure,
    RankFeature,
    Registry,
    SqlFeature,
    days,
    default_registry,
    feature_catalogue,
    last,
    words_zh,
)
from overdue_ml.features.chinese import meaning_in_chinese, missing_chinese, null_in_chinese

DPD = Measure("dpd", "statements", "days", "days past due", ((1.0, "dpd", 0),), direction=1)
LATE = Measure("late", "statements", "ratio", "a payment late", ((1.0, "dpd", 0),), where=(">", 0.0))
NEXT = Measure("amount", "upcoming", "amount", "what is still to be paid", ((1.0, "shortfall_amount", 0),))
COUNT = Measure(
    "unpaid_count", "instalments", "count", "instalments still unpaid", ((1.0, "unpaid", 0),),
    when_null="no instalment has fallen due",
)  # fmt: skip


def said(measure, statistic, window=ALL, lag=0):
    return meaning_in_chinese(Feature("own", measure, statistic, window, "OWN", lag=lag))


def test_every_feature_has_chinese_words():
    lacking = missing_chinese(default_registry(ranks=True))
    assert not lacking, "add to overdue_ml/features/words_zh.py:\n" + "\n".join(lacking)


def test_no_english_is_left():
    catalogue = feature_catalogue("zh", ranks=True)
    # Names of features and columns, and the one abbreviation that is used in Chinese too.
    allowed = re.compile(r"\b[a-z]+(?:_[a-z0-9]+)+\b|DPD")
    for text in [*catalogue["meaning"], *catalogue["when_null"]]:
        assert not re.search("[A-Za-z]", allowed.sub("", text)), text
        assert "{" not in text
    assert catalogue["meaning"].str.fullmatch(r"[^。]+。").all()
    assert not catalogue["when_null"].str.contains("。").any()


def test_only_the_words_differ_between_the_languages():
    english, chinese = feature_catalogue(ranks=True), feature_catalogue(lang="zh", ranks=True)
    assert list(english) == list(chinese)
    same = ["name", "family", "unit", "direction", "reason_code"]
    assert english[same].equals(chinese[same])
    # What English tells apart, Chinese does too.
    assert english["meaning"].groupby(chinese["meaning"]).nunique().max() == 1
    with pytest.raises(ConfigError, match="no catalogue in 'fr'; expected 'en' or 'zh'"):
        feature_catalogue("fr")


@pytest.mark.parametrize(
    ("measure", "statistic", "window", "sentence"),
    [
        (DPD, "last", ALL, "最近一期账单的逾期天数。"),
        (DPD, "max", last(6), "最近6期账单中逾期天数的最大值。"),
        (DPD, "mean", days(90), "最近90天的账单中逾期天数的平均值。"),
        (DPD, "count", ALL, "全部已知账单中逾期天数已知的期数。"),
        (DPD, "first", ALL, "全部已知账单中最早一期账单的逾期天数。"),
        # A flag is said as what is so or not, a number as a number.
        (LATE, "last", ALL, "最近一期账单是否还款逾期（1为是，0为否）。"),
        (LATE, "share", last(3), "最近3期账单中还款逾期的期数占比。"),
        (LATE, "streak", ALL, "截至最近一期账单，连续还款逾期的期数。"),
        (LATE, "since", ALL, "距最近一期还款逾期的账单的天数。"),
        (LATE, "wmean", last(6), "最近6期账单中还款逾期的加权占比（由近及远，权重逐期减半）。"),
        # Ahead of the as_of date.
        (NEXT, "last", ALL, "下一期应还款的待还金额。"),
        (NEXT, "sum", days(31), "未来31天的应还款中待还金额之和。"),
        (NEXT, "sum", last(2), "接下来2期应还款中待还金额之和。"),
        (NEXT, "streak", ALL, "从下一期应还款起，连续待还金额的期数。"),
        (COUNT, "sum", ALL, "全部已知应还款中未结清期数合计。"),
        (COUNT, "mean", last(3), "最近3期应还款中未结清期数的平均值。"),
    ],
)
def test_sentences(measure, statistic, window, sentence):
    assert said(measure, statistic, window) == sentence


def test_lags_count_away_from_the_as_of_date():
    assert said(DPD, "lag", lag=5) == "最近一期账单之前第5期的逾期天数。"
    assert said(NEXT, "lag", lag=1) == "下一期应还款之后第1期的待还金额。"


def test_nulls():
    past = Feature("own", COUNT, "slope", last(6), "OWN")
    assert null_in_chinese(past) == "已知值不足两个（尚无应还款到期）"
    assert null_in_chinese(replace(past, statistic="sum")) == "尚无应还款到期"
    assert null_in_chinese(Feature("own", LATE, "since", ALL, "OWN")) == "已知记录中从未发生"


def test_a_users_own_text_stays_as_it_is():
    own = replace(DPD, name="own", meaning="按揭逾期天数", when_null="没有按揭")
    feature = Feature("own", own, "max", last(6), "OWN")
    sql = SqlFeature(
        "own_x", "statements", "count(*)", "OWN", "count", "Own text.", frozenset(), when_null="own null"
    )
    catalogue = Registry([feature, sql, AttributeFeature("job_kind")]).catalogue("zh").set_index("name")
    assert catalogue.loc["own_own_max_last6", "meaning"] == "最近6期账单中按揭逾期天数的最大值。"
    assert catalogue.loc["own_own_max_last6", "when_null"] == "没有按揭"
    assert catalogue.loc["own_x", "meaning"] == "Own text."
    assert catalogue.loc["attr_job_kind", "meaning"] == "本机构登记的客户资料 job_kind。"
    assert catalogue.loc["attr_job_kind", "when_null"] == "未登记"


def test_what_is_missing_is_named_with_its_table():
    feature = Feature("own", replace(DPD, meaning="days of rain", when_null="no rain"), "std", last(6), "OWN")
    derived = DerivedFeature("own_y", "ratio", feature.name, feature.name, "OWN", "ratio", "Rain on rain.")
    # Once each, however many features say it.
    assert missing_chinese([feature, replace(feature, statistic="max"), derived]) == [
        "NULLS: no rain", "MEASURES: days of rain", "SENTENCES: Rain on rain."
    ]  # fmt: skip


def test_no_word_is_kept_that_nothing_says():
    """Texts that were changed in English leave their old translation behind."""
    features = list(default_registry(["job"], ranks=True))
    meanings = {f.measure.meaning if isinstance(f, Feature) else f.meaning for f in features}
    assert not set(words_zh.MEASURES) - meanings
    assert not set(words_zh.SENTENCES) - meanings
    assert not set(words_zh.RANKED) - {f.of for f in features if isinstance(f, RankFeature)}
    nulls = {f.when_null for f in features} | {
        f.measure.when_null for f in features if isinstance(f, Feature)
    }
    # Of features of one's own in Python.
    assert not set(words_zh.NULLS) - nulls - {"not known"}
