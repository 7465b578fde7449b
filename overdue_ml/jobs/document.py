"""``python -m overdue_ml.jobs.document --out docs``: the feature catalogue as pages, from the registry.

The pages are committed, and a test compares them with what this writes: a new feature is not done before they
are written again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from overdue_ml.errors import ConfigError
from overdue_ml.explain import Wording, load_wording
from overdue_ml.features import (
    AttributeFeature,
    DerivedFeature,
    Feature,
    Registry,
    SqlFeature,
    default_registry,
)
from overdue_ml.features.chinese import meaning_in_chinese, null_in_chinese
from overdue_ml.features.declare import AnyFeature
from overdue_ml.features.ranks import RankFeature

COMMAND = "python -m overdue_ml.jobs.document --out docs"
#: Name of the page in each language.
PAGES = {"en": "features.md", "zh": "features_zh.md"}

#: Tables behind a view that is not called as its table.
_TABLES = {
    "upcoming": ("instalments", "payments"), "instalments": ("instalments", "payments"),
    "plan": ("instalments", "payments"), "versions": ("instalments",),
}  # fmt: skip
_OPERATORS = {"ratio": "/", "difference": "−", "product": "×", "total": "+", "remainder": "mod"}

_FAMILIES = {
    "en": {
        "repay": "How dues were paid", "stmt": "Balances and spending", "account": "Accounts",
        "due": "What falls due next", "income": "Income", "borrow": "Debts elsewhere",
        "attr": "Customer details",
    },
    "zh": {
        "repay": "还款情况", "stmt": "余额与消费", "account": "账户", "due": "即将到期", "income": "收入",
        "borrow": "他处负债", "attr": "客户资料",
    },
}  # fmt: skip
_UNITS = {
    "en": {u: u for u in ("days", "amount", "ratio", "count", "score", "category")},
    "zh": {
        "days": "天数", "amount": "金额", "ratio": "比率", "count": "个数", "score": "分值",
        "category": "类别",
    },
}  # fmt: skip
_DIRECTIONS = {
    "en": {1: "riskier", -1: "safer", 0: "–"},
    "zh": {1: "风险上升", -1: "风险下降", 0: "–"},
}
_HEADS = {
    "en": ("Feature", "Unit", "Higher is", "Reason", "Meaning", "Null", "Made of"),
    "zh": ("特征", "单位", "数值越高", "原因", "含义", "为空的情形", "来源"),
}
_INTRODUCTION = {
    "en": """# Features

{n} features, each as known at the end of the as_of date. A feature whose tables or columns the records do
not have is left out by name, not filled with nulls. `overdue_ml.feature_catalogue()` gives the same as a
table, in English or Chinese.

- *Higher is*: the direction that a monotone model holds a feature to; – where neither is certain.
- *Reason*: the reason under which the feature's contribution is explained on a customer card.
- *Null*: what a null means. Nulls reach the model as they are.
- *Made of*: tables, or the features that are put together or ranked.

Columns of `customers` that a config names under `attributes` come in besides, as categories named
`attr_<column>`.
""",
    "zh": """# 特征目录

共{n}个特征，均按观察日结束时已知的信息计算。若所需的表或列不存在，对应特征按名称略去，不以空值填充。
`overdue_ml.feature_catalogue(lang="zh")` 以表格形式给出同样的内容。

- *数值越高*：单调模型所遵循的方向；“–”表示方向不定。
- *原因*：客户卡片上解释该特征贡献时所用的原因。
- *为空的情形*：空值的含义。空值原样进入模型。
- *来源*：所用的表，或参与运算、排列的特征。

配置项 `attributes` 所列的 `customers` 列另作为类别特征加入，名称为 `attr_<列名>`。
""",
}
_RANKS = {
    "en": """## Places in the whole book (`*_rank`, {n})

Not built unless a config says `features: {{ranks: true}}`, or a registry is made with `ranks=True`. The place
of a customer among all customers known on the same as_of date: 0.5 is the middle, equal values share a place.
Amounts drift with prices and the state of a book; places do not. They are the only features that depend on
other customers: always on the whole book, also where only a part of it is asked for.
""",
    "zh": """## 全部客户中的位次（`*_rank`，{n}个）

仅当配置为 `features: {{ranks: true}}`，或以 `ranks=True` 建立特征表时才计算。位次是客户在同一观察日全部已知
客户中的排列位置：0.5为居中，数值相同者位次相同。金额随物价与整体状况漂移，位次则不会。这是唯一取决于其他客户的
特征：即使只计算部分客户，也始终以全部客户为准。
""",
}
_GENERATED = {
    "en": "<!-- Written by `{command}`; do not edit. -->",
    "zh": "<!-- 由 `{command}` 生成，请勿手工修改。 -->",
}


def render_catalogue(registry: Registry, lang: str) -> str:
    """The catalogue as Markdown: a table for each family.

    Parameters
    ----------
    registry : Registry
    lang : {'en', 'zh'}

    Returns
    -------
    str
        The same registry gives the same text.

    Raises
    ------
    ConfigError
        If there are no words in that language, or a family or a reason has no title.

    Examples
    --------
    >>> from overdue_ml.features import default_registry
    >>> render_catalogue(default_registry(), "zh").splitlines()[1]
    '# 特征目录'
    """
    if lang not in PAGES:
        raise ConfigError(f"there is no catalogue in '{lang}'", expected=" or ".join(PAGES))
    titles = load_wording(lang)
    families: dict[str, list[AnyFeature]] = {}
    ranks = [feature for feature in registry if isinstance(feature, RankFeature)]
    for feature in registry:
        if isinstance(feature, RankFeature):
            continue
        families.setdefault(feature.family, []).append(feature)
    untitled = [family for family in families if family not in _FAMILIES[lang]]
    if untitled:
        raise ConfigError(
            f"the families {', '.join(untitled)} have no title", next_step="add one for each language"
        )
    parts = [
        _GENERATED[lang].format(command=COMMAND),
        _INTRODUCTION[lang].format(n=len(registry) - len(ranks)),
    ]
    for family, features in families.items():
        parts.append(f"## {_FAMILIES[lang][family]} (`{family}`, {len(features)})\n")
        parts += _table(features, titles, lang)
    if ranks:
        parts.append(_RANKS[lang].format(n=len(ranks)))
        parts += _table(ranks, titles, lang)
    return "\n".join(parts)


def _table(features: Sequence[AnyFeature], titles: Wording, lang: str) -> list[str]:
    rows = [_HEADS[lang], ("---",) * len(_HEADS[lang])]
    rows += [_row(f, titles.title(f.reason), lang) for f in features]
    return [*(f"| {' | '.join(row)} |" for row in rows), ""]


def _row(feature: AnyFeature, title: str, lang: str) -> tuple[str, ...]:
    chinese = lang == "zh"
    cells = (
        _UNITS[lang][feature.unit],
        _DIRECTIONS[lang][feature.direction],
        title,
        meaning_in_chinese(feature) if chinese else feature.meaning,
        null_in_chinese(feature) if chinese else feature.when_null,
    )
    return (f"`{feature.name}`", *(cell.replace("|", "\\|") for cell in cells), _made_of(feature))


def _made_of(feature: AnyFeature) -> str:
    if isinstance(feature, DerivedFeature):
        return f"`{feature.left}` {_OPERATORS[feature.operator]} `{feature.right}`"
    if isinstance(feature, RankFeature):
        return f"`{feature.source}`"
    if isinstance(feature, Feature):
        view = feature.measure.view
        tables = ", ".join(f"`{table}`" for table in _TABLES.get(view, (view,)))
        return f"{tables}; {feature.measure.source}" if feature.measure.source else tables
    if isinstance(feature, SqlFeature):
        return f"`{feature.table}`"
    return "`customers`" if isinstance(feature, AttributeFeature) else "Python"


def write_catalogue(out: Path) -> list[Path]:
    """Write the pages of the default registry, with the ranks that it can have.

    Parameters
    ----------
    out : Path
        Folder; made if it is not there.

    Returns
    -------
    list of Path
    """
    out.mkdir(parents=True, exist_ok=True)
    registry = default_registry(ranks=True)
    paths = []
    for lang, name in PAGES.items():
        path = out / name
        path.write_text(render_catalogue(registry, lang), encoding="utf-8", newline="\n")
        paths.append(path)
    return paths


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(prog="python -m overdue_ml.jobs.document")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pages")
    write_catalogue(parser.parse_args(arguments).out)


if __name__ == "__main__":
    main()
