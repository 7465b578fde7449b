"""The page of the aged book: buckets, growth, roll rates, cures, vintages and first-payment default."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from overdue_ml.monitoring import AgedBook
from overdue_ml.records.ageing import STATEMENT_DAYS
from overdue_ml.reports.book_charts import bucket_chart, roll_chart, vintage_chart
from overdue_ml.reports.evaluation_charts import dot_chart
from overdue_ml.reports.evaluation_tables import Column, Section, Table, build_table, percent, whole, within
from overdue_ml.reports.page import render_page
from overdue_ml.reports.phrases import Phrases, load_phrases
from overdue_ml.reports.svg import clean

#: Rows of a table of vintages or first dues: the latest.
_LATEST = 24


def render_book(book: AgedBook, lang: str = "en", meta: Mapping[str, str] | None = None) -> str:
    """Write the aged book as a self-contained HTML page.

    Parameters
    ----------
    book : AgedBook
    lang : {'en', 'zh'}
    meta : mapping of str to str, optional
        Further lines of the head of the page.

    Returns
    -------
    str
        HTML without scripts or requests; the same book gives the same bytes. It names no customer.

    Raises
    ------
    ConfigError
        If there is no page in that language.
    """
    phrases = load_phrases(lang)
    sections = [
        _ageing(book, phrases),
        _months(book, phrases),
        _rolls(book, phrases),
        _cures(book, phrases),
        _vintages(book, phrases),
        _first_payment(book, phrases),
        *_groups(book, phrases),
    ]
    head = {phrases.text("book_as_of"): book.as_of.isoformat(), **(meta or {})}
    return render_page(
        "evaluation.html",
        lang,
        title=phrases.text("book_title"),
        words=dict(phrases.texts) | {"decides": phrases.text("book_decides")},
        meta=[(clean(key), clean(value)) for key, value in head.items()],
        findings=[],
        sections=[s for s in sections if s.words or s.charts or s.tables],
        data_sheet=[],
        notes=[phrases.text("book_note_known"), phrases.text("book_note_left")],
    )


def _share(key: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: percent(float(row[key]))


def _count(key: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: whole(float(row[key]))


def _change(key: str) -> Callable[[dict[str, Any]], str]:
    def show(row: dict[str, Any]) -> str:
        value = float(row[key])
        return f"{100 * value:+.1f} %" if math.isfinite(value) else "–"

    return show


def _rate(row: dict[str, Any], key: str) -> str:
    return within(percent(float(row[key])), row["low"], row["high"], percent)


def _bucket(phrases: Phrases, key: str = "bucket") -> Column:
    return Column(phrases.text("c_bucket"), lambda row: phrases.word("v", str(row[key])), "text")


def _columns(phrases: Phrases, **shows: Callable[[dict[str, Any]], str]) -> list[Column]:
    return [Column(phrases.word("c", name), show) for name, show in shows.items()]


def _ageing(book: AgedBook, phrases: Phrases) -> Section:
    here = book.ageing[book.ageing["as_of_date"] == book.as_of]
    total = book.totals.iloc[-1]
    columns = _columns(
        phrases,
        accounts=_count("accounts"),
        count_share=_share("count_share"),
        accounts_growth=_change("accounts_growth"),
        amount=_count("amount"),
        amount_share=_share("amount_share"),
        amount_growth=_change("amount_growth"),
    )
    words = [
        phrases.text(
            "book_about_ageing",
            accounts=whole(float(total["accounts"])),
            amount=whole(float(total["amount"])),
            overdue=percent(float(total["overdue_amount_share"])),
            late=percent(float(total["late_amount_share"])),
        )
    ]
    if here["arrears_amount"].notna().any():
        columns += _columns(phrases, arrears_amount=_count("arrears_amount"))
        words.append(phrases.text("book_about_arrears"))
    table = build_table("", here, [_bucket(phrases), *columns])
    return Section(phrases.text("book_ageing"), words, tables=[table])


def _months(book: AgedBook, phrases: Phrases) -> Section:
    if len(book.totals) < 2:
        return Section("")
    columns = _columns(
        phrases,
        as_of_date=lambda row: str(row["as_of_date"]),
        accounts=_count("accounts"),
        amount=_count("amount"),
        amount_growth=_change("amount_growth"),
        overdue_amount_share=_share("overdue_amount_share"),
        late_amount_share=_share("late_amount_share"),
        late_amount_growth=_change("late_amount_growth"),
        amount_growth_12m=_change("amount_growth_12m"),
    )
    if book.totals["amount_growth_12m"].isna().all():
        columns = columns[:-1]
    return Section(
        phrases.text("book_months"),
        charts=[(phrases.text("book_x_buckets"), bucket_chart(book.ageing, phrases))],
        tables=[build_table("", book.totals.iloc[::-1], columns)],
    )


def _rolls(book: AgedBook, phrases: Phrases) -> Section:
    if book.rolls.empty:
        return Section("")
    n = str(book.rolls["to_date"].nunique())
    charts = [
        (phrases.text("book_by_accounts"), roll_chart(book.roll_rates(), phrases)),
        (phrases.text("book_by_amount"), roll_chart(book.roll_rates("amount"), phrases)),
    ]
    return Section(phrases.text("book_rolls"), [phrases.text("book_about_rolls", n=n)], charts)


def _cures(book: AgedBook, phrases: Phrases) -> Section:
    whole_book = book.cures[(book.cures["bucket"] == "all") & (book.cures["accounts"] > 0)]
    if whole_book.empty:
        return Section("")
    sums = book.cures.groupby("bucket", sort=False)[["accounts", "cured"]].sum().reset_index()
    sums["rate"] = sums["cured"] / sums["accounts"].where(sums["accounts"] > 0)
    title = phrases.text("book_x_cures")
    columns = [_bucket(phrases), *_columns(phrases, accounts=_count("accounts"), cured=_count("cured"))]
    columns += _columns(phrases, cure_rate=_share("rate"))
    return Section(
        phrases.text("book_cures"),
        [phrases.text("book_about_cures")],
        [(title, _dots(whole_book, "to_date", "cure_rate", title))],
        [build_table(phrases.text("book_all_months"), sums, columns)],
    )


def _dots(frame: pd.DataFrame, label: str, rate: str, title: str) -> Markup:
    rows = [
        (str(row[label]), float(row[rate]), float(row["low"]), float(row["high"]))
        for row in frame.tail(_LATEST).to_dict("records")
    ]
    return dot_chart(rows, title, percent=True)


def _vintages(book: AgedBook, phrases: Phrases) -> Section:
    chart = vintage_chart(book.vintages, phrases)
    if chart is None:
        return Section("")
    last = book.vintages.groupby("vintage").tail(1).tail(_LATEST)
    columns = _columns(
        phrases,
        vintage=lambda row: str(row["vintage"]),
        mob=_count("mob"),
        accounts=_count("accounts"),
        late_share=_share("late_share"),
        ever_share=_share("ever_share"),
    )
    return Section(
        phrases.text("book_vintages"),
        [phrases.text("book_about_vintages")],
        [("", chart)],
        [build_table("", last.iloc[::-1], columns)],
    )


def _first_payment(book: AgedBook, phrases: Phrases) -> Section:
    if book.first_payment.empty:
        return Section("")
    title = phrases.text("book_first_payment")
    columns = _columns(
        phrases,
        month=lambda row: str(row["month"]),
        accounts=_count("accounts"),
        defaults=_count("defaults"),
        first_payment_rate=lambda row: _rate(row, "rate"),
    )
    table = build_table("", book.first_payment.tail(_LATEST).iloc[::-1], columns)
    until = str(book.fpd_days + STATEMENT_DAYS)
    about = phrases.text("book_about_first_payment", days=str(book.fpd_days), until=until)
    return Section(title, [about], [("", _dots(book.first_payment, "month", "rate", title))], [table])


def _groups(book: AgedBook, phrases: Phrases) -> list[Section]:
    sections = []
    for name in dict.fromkeys(book.group_rates["column"]):
        rates = book.group_rates[book.group_rates["column"] == name]
        columns = [
            Column(phrases.text("c_group"), lambda row: str(row["group"]), "text"),
            *_columns(
                phrases,
                accounts=_count("accounts"),
                amount=_count("amount"),
                late_share=_share("late_share"),
                late_amount_share=_share("late_amount_share"),
                cure_rate=_share("cure_rate"),
                first_payment_rate=_share("first_payment_rate"),
            ),
        ]
        heading = phrases.text("s_segment", name=clean(name, 40))
        sections.append(
            Section(
                heading, tables=[build_table("", rates, columns), _bucket_table(book, str(name), phrases)]
            )
        )
    return sections


def _bucket_table(book: AgedBook, column: str, phrases: Phrases) -> Table:
    """The amount of each group by bucket."""
    own = book.groups[book.groups["column"] == column]
    wide = own.pivot_table("amount", "group", "bucket", aggfunc="sum", sort=False).reset_index()
    columns = [Column(phrases.text("c_group"), lambda row: str(row["group"]), "text")]
    for bucket in dict.fromkeys(own["bucket"]):
        columns.append(Column(phrases.word("v", str(bucket)), _count(str(bucket))))
    return build_table(phrases.text("book_amount_by_bucket"), wide, columns)
