"""Meanings in Chinese, put together from the declarations as the English ones are."""

from __future__ import annotations

import re
from collections.abc import Iterable

from overdue_ml.features.declare import AnyFeature, AttributeFeature, Feature, Window
from overdue_ml.features.ranks import RankFeature
from overdue_ml.features.words_zh import EVENTS, FLAGS, MEASURES, NULLS, RANKED, SENTENCES, STATISTICS

_FEW = re.compile(r"fewer than two known values \((?P<why>.*)\)")


def meaning_in_chinese(feature: AnyFeature) -> str:
    """One sentence; texts without a translation, which are a user's own, stay as they are.

    Examples
    --------
    >>> from overdue_ml.features import default_registry
    >>> meaning_in_chinese(default_registry()["repay_dpd_max_last6"])
    '最近6期账单中逾期天数的最大值。'
    """
    if isinstance(feature, AttributeFeature):
        return f"本机构登记的客户资料 {feature.column}。"
    if isinstance(feature, RankFeature):
        return f"在观察日全部客户中，按{RANKED.get(feature.of, feature.of)}排列的位次（0为最低，1为最高）。"
    if not isinstance(feature, Feature):
        return SENTENCES.get(feature.meaning, feature.meaning)
    event, counted = EVENTS.get(feature.view.event, (feature.view.event, "次"))
    nearest = f"{'下' if feature.view.ahead else '最近'}一{counted}{event}"
    text = _statistic(feature).format(
        m=MEASURES.get(feature.measure.meaning, feature.measure.meaning),
        w=_window(feature.window, event, counted, ahead=feature.view.ahead), e=event, c=counted, n=nearest,
        k=feature.lag, beyond="之后" if feature.view.ahead else "之前",
        until=f"从{nearest}起" if feature.view.ahead else f"截至{nearest}",
    )  # fmt: skip
    return f"{text}。"


def _statistic(feature: Feature) -> str:
    measure, name = feature.measure, feature.statistic
    is_flag = measure.unit == "ratio" and measure.where is not None
    if name == "sum" and measure.unit == "count":
        return "{w}{m}合计"
    if name in FLAGS and (is_flag or name not in STATISTICS):
        return FLAGS[name]
    return STATISTICS[name]


def _window(window: Window, event: str, counted: str, *, ahead: bool) -> str:
    if window.kind == "events":
        return f"{'接下来' if ahead else '最近'}{window.size}{counted}{event}中"
    if window.kind == "days":
        return f"{'未来' if ahead else '最近'}{window.size}天的{event}中"
    return f"今后全部{event}中" if ahead else f"全部已知{event}中"


def null_in_chinese(feature: AnyFeature) -> str:
    """What a null value means."""
    text = feature.when_null
    few = _FEW.fullmatch(text)
    if few:
        return f"已知值不足两个（{NULLS.get(few['why'], few['why'])}）"
    return NULLS.get(text, text)


def missing_chinese(features: Iterable[AnyFeature]) -> list[str]:
    """The English texts of the features that have no Chinese one, each with its table in ``words_zh``."""
    lacking: dict[str, None] = {}
    for feature in features:
        few = _FEW.fullmatch(feature.when_null)
        wanted = [("NULLS", NULLS, few["why"] if few else feature.when_null)]
        if isinstance(feature, Feature):
            wanted.append(("MEASURES", MEASURES, feature.measure.meaning))
            wanted.append(("EVENTS", dict.fromkeys(EVENTS, ""), feature.view.event))
        elif isinstance(feature, RankFeature):
            wanted.append(("RANKED", RANKED, feature.of))
        elif not isinstance(feature, AttributeFeature):
            wanted.append(("SENTENCES", SENTENCES, feature.meaning))
        lacking |= {f"{table}: {text}": None for table, words, text in wanted if text not in words}
    return list(lacking)
