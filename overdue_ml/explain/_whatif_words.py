"""The sentences of what if and of score change, in English and Chinese."""

from __future__ import annotations

_EN: dict[str, str] = {
    "and": " and ",
    "space": " ",
    "now": "As of {date}, with the records as they stand, the estimated probability of going overdue is {p}.",
    "today": "If {events}, it is {after} as of the same day; as the records stand it is {without}.",
    "later": (
        "If {events} and nothing else becomes known, it is {after} as of {date}; as of that same day it is "
        "{without} if nothing at all becomes known by then."
    ),
    "reason": "{title}: {change} in log-odds.",
    "others": "All other reasons together: {change}.",
    "no_reason": "No reason moves by as much as can be shown.",
    "caveat": (
        "This is what the model makes of such records; it does not say that an event would bring about "
        "another outcome."
    ),
    "already": "The estimate of {p} is below {threshold} already.",
    "found": "The smallest change that brings the estimate below {threshold}: {events}.",
    "none": (
        "None of the {n} sets of up to {size} allowed events brings the estimate below {threshold}; "
        "the lowest is {p}, if {events}."
    ),
    "none_of_one": (
        "The one set of allowed events that is possible does not bring the estimate below {threshold}: it is "
        "{p}, if {events}."
    ),
    "by_itself": (
        "No event is needed to come below {threshold}: as of {date} the estimate is {without} if nothing at "
        "all becomes known by then; it is lowest, {p}, if {events}."
    ),
    "none_possible": (
        "None of the allowed events is possible for this customer, so none brings the estimate below "
        "{threshold}."
    ),
    "changed": (
        "The calibrated probability went from {then} ({first}) to {now} ({second}): {change} in calibrated "
        "log-odds."
    ),
    "parts": (
        "Of this the data account for {data}, the model for {model}, its starting point for {base} and its "
        "calibration for {calibration}."
    ),
    "part_data": "{title}: {change} through the data.",
    "part_model": "{title}: {change} through the model.",
}

_ZH: dict[str, str] = {
    "and": "，且",
    "space": "",
    "now": "截至{date}，按现有记录，预计逾期概率为{p}。",
    "today": "若{events}，同一日的预计逾期概率为{after}；按现有记录为{without}。",
    "later": (
        "若{events}，且此外没有新的记录，截至{date}的预计逾期概率为{after}；"
        "若到该日为止没有任何新记录，则为{without}。"
    ),
    "reason": "{title}：对数几率变化{change}。",
    "others": "其余因素合计：{change}。",
    "no_reason": "没有任何因素的变化达到可显示的程度。",
    "caveat": "这是模型对此类记录的判断，并不表示该事件会改变实际结果。",
    "already": "当前预计概率{p}已低于{threshold}。",
    "found": "使预计概率低于{threshold}的最小变化：{events}。",
    "none": (
        "在最多{size}项允许事件的{n}种组合中，没有一种能使预计概率低于{threshold}；"
        "最低为{p}，条件是{events}。"
    ),
    "none_of_one": "唯一可行的允许事件组合不能使预计概率低于{threshold}：若{events}，则为{p}。",
    "by_itself": (
        "无需任何事件即可低于{threshold}：若到{date}为止没有任何新记录，该日的预计概率为{without}；"
        "最低为{p}，条件是{events}。"
    ),
    "none_possible": "允许的事件对该客户均不可行，因此没有一种能使预计概率低于{threshold}。",
    "changed": "校准后的逾期概率由{then}（{first}）变为{now}（{second}）：校准后的对数几率变化{change}。",
    "parts": "其中数据变化占{data}，模型变化占{model}，模型起点占{base}，校准占{calibration}。",
    "part_data": "{title}：数据变化带来{change}。",
    "part_model": "{title}：模型变化带来{change}。",
}

_WORDS = {"en": _EN, "zh": _ZH}


def say(lang: str, key: str, **values: str) -> str:
    """A sentence with its placeholders filled in; English where there is none in the language."""
    return _WORDS.get(lang, _EN)[key].format(**values)
