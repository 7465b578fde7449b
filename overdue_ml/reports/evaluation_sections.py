"""The parts of the evaluation page that show an :class:`~overdue_ml.reports.assessment.Assessment`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from overdue_ml.metrics import Interval, psi_status
from overdue_ml.reports.assessment import Assessment, Remark
from overdue_ml.reports.evaluation_charts import dot_chart, money_chart, shift_chart, time_chart
from overdue_ml.reports.evaluation_tables import (
    Column,
    Row,
    Section,
    Table,
    build_table,
    figure,
    group_name,
    percent,
    whole,
    within,
)
from overdue_ml.reports.phrases import Phrases

_AUC_4 = partial(figure, digits=4)
#: Charts of groups need two to compare, and room for all.
_MOST_DOTS = 12


def findings(assessment: Assessment, metrics: pd.DataFrame, facts: Mapping[str, Any]) -> list[Remark]:
    """What the page says first: the gravest before the rest.

    Parameters
    ----------
    assessment : Assessment
    metrics : DataFrame
        See :func:`overdue_ml.metrics.evaluate_scores`.
    facts : mapping of str to value
        ``n``, ``n_overdue``, ``mean_p`` and ``overdue_rate`` of the rows set aside.

    Returns
    -------
    list of Remark
    """
    cells = metrics[["value", "low", "high"]].to_numpy(dtype=float).tolist()
    by_name = dict(zip(metrics["metric"].astype("str"), cells, strict=True))
    auc, low, high = by_name["auc"]
    values = {
        "n": whole(facts["n"]),
        "overdue": whole(facts["n_overdue"]),
        "auc": figure(auc),
    }
    rank = Remark("finding_rank", values)
    if math.isfinite(low):
        rank = Remark("finding_rank_interval", values | {"low": figure(low), "high": figure(high)})
    calibration = Remark(
        "finding_calibration",
        {
            "mean": figure(100 * facts["mean_p"], 1),
            "rate": figure(100 * facts["overdue_rate"], 1),
            "ece": figure(by_name["ece"][0]),
        },
    )
    found = [rank, calibration]
    rule, champion, money = assessment.rule, assessment.champion, assessment.money
    if rule is not None:
        values = {"feature": rule.feature, "auc": figure(rule.model_auc), "rule": figure(rule.auc)}
        said = _verdict("finding_rule", rule.difference, values)
        # Before everything else: a model that a single column replaces needs no further reading.
        found = [*found, said] if said.key == "finding_rule_better" else [said, *found]
    if champion is not None:
        said = _verdict("finding_champion", champion.difference, {"version": champion.version})
        unsure = said.key == "finding_champion_worse" and not champion.unseen
        found.append(Remark("finding_champion_unsure", said.values) if unsure else said)
    if money is not None and (lift := _money_remark(money.table)) is not None:
        found.append(lift)
    if assessment.n_shifted:
        n, total = assessment.n_shifted.get("shifted", 0), sum(assessment.n_shifted.values())
        found.append(Remark("finding_shift", {"n": whole(n), "all": whole(total)}))
    leaks = [limit for limit in assessment.limits if limit.key == "limit_leakage"]
    return [Remark("finding_leakage", leaks[0].values), *found] if leaks else found


#: Findings that must not be overlooked.
WARNINGS = (
    "finding_rule_equal",
    "finding_rule_worse",
    "finding_champion_worse",
    "finding_leakage",
)


def _verdict(stem: str, difference: Interval, values: dict[str, str]) -> Remark:
    """Better, worse, equal within chance, or untested, with the difference."""
    low, high = difference.low, difference.high
    values = values | {"difference": f"{difference.value:+.4f}"}
    if not (math.isfinite(low) and math.isfinite(high)):
        return Remark(f"{stem}_untested", values)
    values |= {"low": f"{low:+.4f}", "high": f"{high:+.4f}"}
    return Remark(f"{stem}_{'better' if low > 0 else 'worse' if high < 0 else 'equal'}", values)


def _money_remark(table: pd.DataFrame) -> Remark | None:
    tops = sorted(set(table["top"].tolist()))
    top = tops[len(tops) // 2]
    share = table[table["top"] == top].set_index("ranking")["share"]
    values = {
        "share": f"{100 * top:g}",
        "caught": figure(100 * float(share["expected_amount"]), 1),
        "amount": figure(100 * float(share["amount"]), 1),
        "perfect": figure(100 * float(share["perfect"]), 1),
    }
    return Remark("finding_money", values)


def time_section(by_date: pd.DataFrame, stability: float | None, phrases: Phrases) -> Section:
    """The metrics of each date, drawn where there are two or more."""
    words = phrases.text("about_time_single")
    if stability is not None:
        words = phrases.text("about_time", stability=figure(stability))
    word = partial(phrases.word, "c")
    columns = [
        Column(word("as_of_date"), lambda row: str(row["as_of_date"]), "text"),
        Column(word("n"), lambda row: whole(row["n"])),
        Column(word("overdue_rate"), lambda row: percent(row["overdue_rate"])),
        Column(word("mean_p"), lambda row: percent(row["mean_p"])),
        Column(word("auc"), lambda row: figure(row["auc"])),
        Column(word("ks"), lambda row: figure(row["ks"])),
        Column(word("brier"), lambda row: figure(row["brier"])),
        Column(word("ece"), lambda row: figure(row["ece"])),
    ]
    charts = [("", time_chart(by_date, phrases))] if len(by_date) > 1 else []
    return Section(phrases.text("s_time"), [words], charts, [build_table("", by_date, columns)])


def assessment_sections(
    assessment: Assessment, score_psi: float | None, limits: Mapping[str, int], phrases: Phrases
) -> list[Section]:
    """Segments, drift, rule, champion, money and fairness.

    Parameters
    ----------
    assessment : Assessment
    score_psi : float or None
    limits : mapping of str to int
        ``rows`` and ``overdue``, below which a group is too few.
    phrases : Phrases
    """
    return [
        _segments(assessment, limits, phrases),
        _shift(assessment, score_psi, phrases),
        _rule(assessment, phrases),
        _champion(assessment, phrases),
        _money(assessment, phrases),
        _fairness(assessment, phrases),
    ]


def _notes(assessment: Assessment, section: str, phrases: Phrases) -> list[str]:
    return [phrases.remark(remark) for remark in assessment.notes.get(section, ())]


def _name(column: str, phrases: Phrases) -> str:
    if column == "amount":
        return phrases.text("by_amount")
    return phrases.word("n", column).replace("_", " ")


def _dots(table: pd.DataFrame, label: str, figures: tuple[str, str, str], phrases: Phrases) -> Any:
    shown = table[~table["too_few"]]
    return [
        (group_name(str(name), phrases), value, low, high)
        for name, value, low, high in zip(
            shown[label], *(shown[f].astype(float).tolist() for f in figures), strict=True
        )
    ]


def _segments(assessment: Assessment, limits: Mapping[str, int], phrases: Phrases) -> Section:
    word, few = partial(phrases.word, "c"), phrases.text("too_few")

    def auc(row: Row) -> str:
        return few if row["too_few"] else within(figure(row["auc"]), row["auc_low"], row["auc_high"], figure)

    columns = [
        Column(word("segment"), lambda row: group_name(str(row["segment"]), phrases), "text"),
        Column(word("n"), lambda row: whole(row["n"])),
        Column(word("auc"), auc),
        Column(word("overdue_rate"), lambda row: percent(row["overdue_rate"])),
        Column(word("mean_p"), lambda row: percent(row["mean_p"])),
        Column(word("ece"), lambda row: figure(row["ece"])),
    ]
    charts, tables = [], []
    for column, table in assessment.segments.items():
        name = _name(column, phrases)
        tables.append(build_table(phrases.text("s_segment", name=name), table, columns))
        dots = _dots(table, "segment", ("auc", "auc_low", "auc_high"), phrases)
        if 1 < len(dots) <= _MOST_DOTS:
            title = phrases.text("x_auc_by", name=name)
            charts.append((title, dot_chart(dots, title, percent=False)))
    words = _notes(assessment, "segments", phrases)
    if tables:
        shown = {key: str(value) for key, value in limits.items()}
        words = [phrases.text("about_segments", **shown), *words]
    return Section(phrases.text("s_segments"), words, charts, tables)


def _shift(assessment: Assessment, score_psi: float | None, phrases: Phrases) -> Section:
    words = []
    if score_psi is not None:
        status = phrases.text(psi_status(score_psi))
        words.append(phrases.text("about_score_shift", psi=figure(score_psi), status=status))
    shift, counts = assessment.shift, assessment.n_shifted
    if shift.empty:
        return Section(phrases.text("s_shift"), words)
    shown = {status: whole(counts.get(status, 0)) for status in ("stable", "watch", "shifted")}
    words.append(phrases.text("about_shift", all=whole(sum(counts.values())), **shown))
    word = partial(phrases.word, "c")
    columns = [
        Column(word("feature"), lambda row: str(row["feature"]), "text"),
        Column(word("meaning"), lambda row: str(row["meaning"]), "text"),
        Column(word("psi"), lambda row: figure(row["psi"])),
        Column(word("status"), lambda row: phrases.text(str(row["status"])), "text"),
    ]
    title = phrases.text("x_psi")
    # Drawn for all, in words for those that moved most.
    return Section(
        phrases.text("s_shift"),
        words,
        [("", shift_chart(shift, title))],
        [build_table("", shift.head(5), columns)],
    )


def _pair(name: str, aucs: tuple[float, float], difference: Interval, phrases: Phrases) -> Table:
    """The model, the other and their difference."""
    frame = pd.DataFrame(
        {
            "who": [phrases.text("model"), phrases.text(name), phrases.text("difference")],
            "auc": [
                _AUC_4(aucs[0]),
                _AUC_4(aucs[1]),
                within(f"{difference.value:+.4f}", difference.low, difference.high, "{:+.4f}".format),
            ],
        }
    )
    columns = [
        Column(phrases.text("c_score"), lambda row: str(row["who"]), "text"),
        Column(phrases.text("c_auc"), lambda row: str(row["auc"])),
    ]
    return build_table("", frame, columns)


def _rule(assessment: Assessment, phrases: Phrases) -> Section:
    rule, heading = assessment.rule, phrases.text("s_rule")
    words = _notes(assessment, "rule", phrases)
    if rule is None:
        return Section(heading, words)
    about = phrases.text(
        "about_rule",
        auc=figure(rule.train_auc),
        feature=rule.feature,
        direction=phrases.text("rising" if rule.rising else "falling"),
        meaning=rule.meaning,
    )
    table = _pair("rule", (rule.model_auc, rule.auc), rule.difference, phrases)
    return Section(heading, [about, *words], tables=[table])


def _champion(assessment: Assessment, phrases: Phrases) -> Section:
    champion, heading = assessment.champion, phrases.text("s_champion")
    words = _notes(assessment, "champion", phrases)
    if champion is None:
        return Section(heading, words)
    words.insert(0, phrases.text("about_champion", share=f"{100 * champion.top:g}"))
    if not champion.unseen:
        words.append(phrases.text("champion_unsure"))
    word, few = partial(phrases.word, "c"), phrases.text("too_few")

    def rate(row: Row) -> str:
        if not math.isfinite(row["overdue_rate"]):
            return few
        return within(percent(row["overdue_rate"]), row["rate_low"], row["rate_high"], percent)

    def rows(row: Row) -> str:
        # Fewer than ten, none among them, are not told apart.
        return whole(row["n"]) if math.isfinite(row["overdue_rate"]) else "< 10"

    columns = [
        Column(word("part"), lambda row: phrases.text(f"part_{row['part']}"), "text"),
        Column(word("n"), rows),
        Column(word("n_overdue"), lambda row: whole(row["n_overdue"])),
        Column(word("overdue_rate"), rate),
    ]
    pair = _pair("champion", (champion.model_auc, champion.auc), champion.difference, phrases)
    return Section(heading, words, tables=[pair, build_table("", champion.swap, columns)])


def _money(assessment: Assessment, phrases: Phrases) -> Section:
    money, heading = assessment.money, phrases.text("s_money")
    words = _notes(assessment, "money", phrases)
    if money is None:
        return Section(heading, words)
    about = {"n": whole(money.n_rows), "total": whole(money.total), "overdue": whole(money.total_overdue)}
    words.insert(0, phrases.text("about_money", amount=money.amount, **about))
    if money.n_unknown:
        words.append(phrases.text("money_unknown", n=whole(money.n_unknown)))
    word = partial(phrases.word, "c")
    columns = [
        Column(word("top"), lambda row: f"{100 * row['top']:g} %"),
        Column(word("ranking"), lambda row: phrases.text(f"r_{row['ranking']}"), "text"),
        Column(word("n"), lambda row: whole(row["n"])),
        Column(word("expected_amount"), lambda row: whole(row["expected_amount"])),
        Column(word("realised_amount"), lambda row: whole(row["realised_amount"])),
        Column(word("share"), lambda row: within(percent(row["share"]), row["low"], row["high"], percent)),
        Column(word("lift"), lambda row: figure(row["lift"], 2)),
    ]
    chart = money_chart(money.curves, phrases)
    return Section(heading, words, [("", chart)], [build_table("", money.table, columns)])


def _fairness(assessment: Assessment, phrases: Phrases) -> Section:
    heading, words = phrases.text("s_fairness"), _notes(assessment, "fairness", phrases)
    if not assessment.fairness:
        return Section(heading, words)
    words.insert(0, phrases.text("about_fairness", selected=phrases.remark(assessment.selection)))
    word, few = partial(phrases.word, "c"), phrases.text("too_few")

    def rate(name: str) -> Column:
        def show(row: Row) -> str:
            if row["too_few"]:
                return few if name == "selected" else "–"
            shown = percent(row[f"{name}_rate"])
            return within(shown, row[f"{name}_low"], row[f"{name}_high"], percent)

        return Column(word(name), show)

    columns = [
        Column(word("group"), lambda row: group_name(str(row["group"]), phrases), "text"),
        Column(word("n"), lambda row: whole(row["n"])),
        *(rate(name) for name in ("selected", "tpr", "fpr", "overdue")),
        Column(word("mean_p"), lambda row: percent(row["mean_p"])),
    ]
    charts, tables = [], []
    for column, table in assessment.fairness.items():
        name = _name(column, phrases)
        tables.append(build_table(phrases.text("s_segment", name=name), table, columns))
        dots = _dots(table, "group", ("selected_rate", "selected_low", "selected_high"), phrases)
        if 1 < len(dots) <= _MOST_DOTS:
            title = phrases.text("x_selected_by", name=name)
            charts.append((title, dot_chart(dots, title, percent=True)))
    return Section(heading, words, charts, tables)


def list_section(key: str, remarks: Sequence[Remark], phrases: Phrases) -> Section:
    """A heading and sentences."""
    return Section(phrases.text(key), [phrases.remark(remark) for remark in remarks])
