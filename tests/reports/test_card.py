from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from overdue_ml.config import PointsConfig
from overdue_ml.errors import ConfigError, ModelError
from overdue_ml.explain.wording import load_wording
from overdue_ml.model import compute_points
from overdue_ml.reports import (
    Card,
    Debt,
    Income,
    Instalment,
    PastScore,
    Payment,
    ReasonLine,
    Statement,
    render_card,
)
from overdue_ml.reports.card import frequency
from overdue_ml.reports.card_reasons import round_to_total, signed
from overdue_ml.reports.page import CONTENT_SECURITY_POLICY

AS_OF = dt.date(2005, 9, 30)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202egnp.exe\x00" + "X" * 10_000
CONTRIBUTIONS = {
    "LATE_DEPTH": 0.931, "LATE_OFTEN": 0.612, "PAYMENT_STATUS": 0.284, "UTILISATION": 0.221,
    "PAID_LITTLE": 0.153, "SPENDING": 0.013, "PROFILE": 0.002, "BALANCE_TREND": -0.034,
    "UNPAID_BALANCE": -0.082,
    "BALANCE_LEVEL": -0.121, "CREDIT_LIMIT": -0.241, "ACCOUNT_AGE": 0.0,
}  # fmt: skip


class _Page(HTMLParser):
    """What a browser would see: tags, attributes and text."""

    void = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text.append(data)


def check_page(html: str) -> _Page:
    page = _Page(html)
    assert not {"script", "iframe", "object", "embed", "link", "img", "base", "form", "image", "use"} & set(
        page.tags
    )
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        assert name not in ("src", "href", "xlink:href", "action", "style", "srcset", "background")
        assert "javascript:" not in (value or "")
    assert ("meta", "content", CONTENT_SECURITY_POLICY) in page.attributes
    assert not re.search(r"https?:|url\(|@import|//", html)
    return page


def _reasons(lang: str) -> list[ReasonLine]:
    wording = load_wording(lang)
    return [
        ReasonLine(c, wording.title(c), wording.sentence(c, x, {}, {}), x) for c, x in CONTRIBUTIONS.items()
    ]


def _statements(n: int = 6) -> pd.DataFrame:
    dates = [AS_OF - dt.timedelta(days=30 * i) for i in reversed(range(n))]
    return pd.DataFrame(
        {
            "statement_date": dates,
            "due_date": [day + dt.timedelta(days=30) for day in dates],
            "balance_amount": [1000.0 * (i + 1) for i in range(n)],
            "paid_amount": [100.0 * i for i in range(n)],
            "credit_limit_amount": 10_000.0,
            "dpd": [30 * (i % 4) for i in range(n)],
            "payment_behaviour": ["late", "paid_minimum", "paid_in_full"][0:1] * n,
        }
    )


def _card(lang: str = "en", **changes) -> Card:
    card = Card(
        customer_id="C00130",
        as_of=AS_OF,
        lang=lang,
        p_overdue=0.334,
        log_odds=-1.42 + math.fsum(CONTRIBUTIONS.values()),
        base_log_odds=-1.42,
        points=514.2,
        tier="high",
        rank=37,
        n_customers=30_000,
        book_edges=np.linspace(0, 1, 26).tolist(),
        book_counts=[1000 - 40 * i for i in range(25)],
        next_due_date=dt.date(2005, 10, 31),
        due_amount=9211.0,
        exposure_amount=178_000.0,
        expected_overdue_amount=59_452.0,
        reasons=_reasons(lang),
        statements=_statements(),
        model={"name": "overdue", "version": "3", "run_id": "8f2b1c9d7e6a4f3b", "model_hash": "ab" * 32},
        notes=["2 of 184 figures are null."],
    )
    return replace(card, **changes)


def _render(lang: str = "en", **changes) -> str:
    return render_card(_card(lang, **changes), load_wording(lang))


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("tier", ["high", "medium", "low", "watch"])
def test_the_card_is_self_contained_and_says_what_it_must(lang, tier):
    wording = load_wording(lang)
    html = _render(lang, tier=tier)
    text = " ".join(check_page(html).text)
    assert f'<html lang="{lang}">' in html
    for expected in (
        "C00130",
        "33.4",
        "9,211",
        "30,000",
        "99.8",
        "8f2b1c9d7e6a",
        "abababababab",
        "2005-09-30",
    ):
        assert expected in text
    assert "8f2b1c9d7e6a4" not in text
    for expected in (wording.tier(tier), wording.format_date(AS_OF), wording.text("disclaimer")):
        assert expected in text


def test_four_adverse_three_protective_and_the_rest_as_one():
    page = check_page(_render())
    text = " ".join(page.text)
    en = load_wording("en")
    for code in (
        "LATE_DEPTH", "LATE_OFTEN", "PAYMENT_STATUS", "UTILISATION", "CREDIT_LIMIT",
        "BALANCE_LEVEL", "UNPAID_BALANCE",
    ):  # fmt: skip
        assert en.sentence(code, CONTRIBUTIONS[code], {}, {}) in text
    for code in ("PAID_LITTLE", "SPENDING", "PROFILE", "BALANCE_TREND", "ACCOUNT_AGE"):
        assert en.reasons[code].adverse_plain not in text
        assert en.reasons[code].protective_plain not in text
    assert "Number of further reasons added up here: 5." in text


def _numbers(html: str, cell: str) -> list[float]:
    return [float(value.replace("−", "-").replace("= ", "")) for value in re.findall(cell, html)]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_shown_adds_up_to_the_log_odds(seed):
    rng = np.random.default_rng(seed)
    values = dict(zip(CONTRIBUTIONS, rng.normal(0, 0.4, len(CONTRIBUTIONS)).tolist(), strict=True))
    base = float(rng.normal(-1.4, 0.3))
    reasons = [ReasonLine(code, code, "Fact.", x) for code, x in values.items()]
    total = base + math.fsum(values.values())
    html = _render(reasons=reasons, base_log_odds=base, log_odds=total)
    *parts, shown = _numbers(html.split('class="sums"')[1].split("</table>")[0], r"<td>([^<]*)</td>")
    assert len(parts) == 3
    assert sum(parts) == pytest.approx(shown, abs=1e-9)
    assert shown == pytest.approx(total, abs=0.0051)
    bars = _numbers(html, r'<td class="value">([^<]*)</td>')
    assert parts[0] + sum(bars) == pytest.approx(shown, abs=1e-9)


def test_reasons_that_do_not_add_up_are_refused():
    with pytest.raises(ModelError, match="add up"):
        _render(log_odds=0.5)
    with pytest.raises(ModelError, match="add up"):
        _render(log_odds=float("nan"))
    with pytest.raises(ModelError, match="between 0 and 1"):
        _render(p_overdue=1.5)


def test_hostile_texts_stay_text():
    statements = _statements().assign(payment_behaviour=HOSTILE)
    reasons = [replace(reason, title=HOSTILE, sentence=HOSTILE) for reason in _reasons("en")]
    html = _render(
        customer_id=HOSTILE, tier=HOSTILE, reasons=reasons, statements=statements, notes=[HOSTILE],
        model=dict.fromkeys(("name", "version", "run_id", "model_hash", HOSTILE), HOSTILE),
    )  # fmt: skip
    page = check_page(html)
    assert "alert(1)" in " ".join(page.text)
    assert "<script" not in html
    assert "onerror=alert(1)>" not in html
    assert not {"\u202e", "\x00"} & set(html)
    assert len(html) < 80_000
    html.encode("utf-8")


def test_ids_that_only_look_like_markup_are_shown_in_full():
    assert "<bdi>&lt;b&gt;&amp;&#34;&#39;</bdi>" in _render(customer_id="<b>&\"'")
    _render(customer_id="lone \ud800 surrogate").encode("utf-8")


def test_statements_may_come_as_they_are():
    listed = [
        Statement(row.statement_date, row.due_date, row.balance_amount, row.paid_amount, 1e4, row.dpd, "late")
        for row in _statements().itertuples()
    ]
    assert _render(statements=listed) == _render(statements=listed[::-1]) == _render()


def test_the_same_card_gives_the_same_bytes():
    shuffled = _statements().sample(frac=1, random_state=1)
    assert _render() == _render() == _render(statements=shuffled, reasons=_reasons("en")[::-1])


@pytest.mark.parametrize("column", _statements().columns)
def test_any_column_may_be_missing_or_null(column):
    check_page(_render(statements=_statements().drop(columns=column)))
    check_page(_render(statements=_statements().assign(**{column: None})))
    holes = _statements().astype(object)
    holes.loc[2, column] = None
    check_page(_render(statements=holes))


@pytest.mark.parametrize(
    "statements",
    [
        pd.DataFrame(),
        _statements(0),
        _statements(1),
        _statements(60),
        _statements().assign(balance_amount=0.0, paid_amount=0.0),
        _statements().assign(balance_amount=0.0, paid_amount=0.0, credit_limit_amount=0.0),
        _statements().assign(balance_amount=-500.0, credit_limit_amount=np.nan),
        _statements().assign(balance_amount=[0.0, -3.5, 1e15, np.inf, np.nan, 1e-300]),
        _statements().assign(balance_amount=[-1e308, 1e308, 0.0, 0.0, 0.0, 0.0]),
        _statements().assign(credit_limit_amount=5e6),
        _statements().assign(credit_limit_amount=[1e4, 1e4, np.nan, 2e4, 2e4, np.nan]),
        _statements().assign(statement_date=lambda d: pd.to_datetime(d["statement_date"])),
        _statements().assign(statement_date=lambda d: d["statement_date"].astype(str)),
        _statements().assign(statement_date="0000-00-00", due_date=dt.date(9999, 12, 31)),
        _statements().convert_dtypes(),
    ],
)
def test_odd_histories(statements):
    html = _render(statements=statements)
    check_page(html)
    assert not re.search(r'"[^"]*\b(?:nan|inf)\b[^"]*"', html)
    for x, width in re.findall(r'<rect x="([-\d.]+)" y="[-\d.]+" width="([-\d.]+)"', html):
        assert float(x) >= 0
        assert float(x) + float(width) <= 812


def test_no_statement_and_a_long_history_are_said():
    assert load_wording("en").text("history_none") in _render(statements=pd.DataFrame())
    html = _render(statements=_statements(30))
    assert "The latest 24 of 30 statements are shown." in html
    assert html.count('class="dpd ') == 24


def test_a_statement_of_the_future_is_refused():
    with pytest.raises(ValueError, match="not known"):
        _render(as_of=dt.date(2005, 9, 29))


def test_missing_amounts_reasons_and_books():
    html = _render(
        next_due_date=None, due_amount=None, exposure_amount=float("nan"), expected_overdue_amount=None,
        reasons=[], log_odds=-1.42, book_edges=[], book_counts=[], model={}, notes=[], rank=1, n_customers=1,
    )  # fmt: skip
    text = " ".join(check_page(html).text)
    assert text.count("not known") == 4
    assert "No reasons were recorded" in text
    assert "Rank 1 of 1" in text
    assert "ranked as higher" not in text


def test_a_malformed_book_or_another_language_is_refused():
    with pytest.raises(ValueError, match="book_edges"):
        _render(book_edges=[0.0, 1.0])
    with pytest.raises(ConfigError, match="'zh'"):
        render_card(_card("zh"), load_wording("en"))


@pytest.mark.parametrize(
    ("p", "percent"), [(0.0, "0.0 %"), (0.0001, "&lt; 0.1 %"), (0.99999, "&gt; 99.9 %"), (1.0, "100.0 %")]
)
def test_extreme_probabilities_are_not_rounded_to_certainty(p, percent):
    html = _render(p_overdue=p)
    check_page(html)
    assert f'<p class="big">{percent}</p>' in html


def test_the_rank_is_cut_not_rounded():
    assert "99.9\u00a0%" in _render(rank=1)
    assert "100\u00a0%" not in _render(rank=1)
    assert "higher risk than 0\u00a0%" in _render(rank=29_999)


@pytest.mark.parametrize("p", np.linspace(0, 1, 401).tolist())
def test_frequencies_are_near_and_never_certain(p):
    kind, a, b = frequency(p)
    assert 0 < a < b
    if kind == "about":
        assert abs(a / b - p) <= 0.026
        assert abs(a / b - p) <= 0.2 * min(p, 1 - p) + 0.005
    else:
        assert p < a / b if kind == "fewer" else p > a / b


def test_rounding_to_a_total():
    assert round_to_total([0.005, 0.005, -0.01], 0.0) in ([1, 0, -1], [0, 1, -1])
    assert round_to_total([], 0.0) == []
    assert [signed(v) for v in (5, 0, -123456)] == ["+0.05", "0.00", "−1,234.56"]


def test_points_and_probability_tie_out_on_their_scale():
    # By hand: p = 1/3 is 2 to 1 on time; 600 + 20 * log2(2 / 50) = 600 - 92.88.
    html = _render(p_overdue=1 / 3, points=600 + 20 * math.log2(2 / 50), points_scale=PointsConfig())
    text = " ".join(check_page(html).text)
    assert "2 to 1" in text
    assert "Points, 600 at 50 to 1 and 20 more each time the odds double" in text
    assert "<td>507</td>" in html
    # The log-odds of the card are 0.318; without calibration that is 1 / (1 + exp(-0.318)) = 57.9 %.
    assert "57.9 %" in text
    with pytest.raises(ModelError, match="the points"):
        _render(p_overdue=1 / 3, points=508.0, points_scale=PointsConfig())


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_certain_probabilities_have_points_but_no_odds(p):
    points = float(compute_points(np.array([p])).item())
    html = _render(p_overdue=p, points=points, points_scale=PointsConfig())
    assert load_wording("en").text("sum_points") in html


def test_the_interval_stands_beneath_the_probability():
    assert "Likely between 30.0 % and 35.5 %" in _render(p_low=0.3, p_high=0.355)
    assert "Likely" not in _render()
    with pytest.raises(ModelError, match="is not in"):
        _render(p_low=0.34, p_high=0.4)


def test_reasons_with_protected_details_count_but_are_not_told():
    reasons = [replace(r, contribution=0.9) if r.code == "PROFILE" else r for r in _reasons("en")]
    total = -1.42 + math.fsum(r.contribution for r in reasons)
    told = _render(reasons=reasons, log_odds=total)
    silent = _render(reasons=reasons, log_odds=total, silent=frozenset({"PROFILE"}))
    assert load_wording("en").title("PROFILE") in told
    assert load_wording("en").title("PROFILE") not in silent
    # PAID_LITTLE, SPENDING, BALANCE_TREND and ACCOUNT_AGE are told in neither list, and PROFILE is silent.
    assert "Number of further reasons added up here: 5." in silent


def test_reasons_that_contradict_each_other_are_not_both_told():
    en = load_wording("en")
    values = {"LATE_DEPTH": 0.9, "LATE_OFTEN": -0.5, "ACCOUNT_AGE": -0.1}
    reasons = [ReasonLine(c, en.title(c), en.sentence(c, x, {}, {}), x) for c, x in values.items()]
    html = _render(reasons=reasons, log_odds=-1.42 + 0.3)
    assert en.title("LATE_DEPTH") in html
    assert en.title("LATE_OFTEN") not in html


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_part_of_an_instalment_card_is_there_and_escaped(lang):
    day = AS_OF - dt.timedelta(days=20)
    wording = load_wording(lang)
    html = _render(
        lang,
        statements=pd.DataFrame(),
        instalments=[
            Instalment(HOSTILE, day, 500.0, 120.0, None, 20),
            Instalment("A2", AS_OF + dt.timedelta(days=9), 500.0, 0.0, None, 0),
        ],
        payments=[Payment(HOSTILE, day, 120.0)],
        incomes=[Income(day, 4000.0)],
        debts=[Debt(HOSTILE, day, 7000.0, 300.0, 5), Debt("B", day, 1.0, 1.0, 0)],
        past=[PastScore(day, 0.2, HOSTILE, 40, 29_000, HOSTILE, "other")],
    )
    text = " ".join(check_page(html).text)
    for key in ("instalments_heading", "incomes_heading", "debts_heading", "past_heading", "past_other"):
        assert wording.text(key) in text
    # Instalments are the history; nothing says that there is none.
    assert wording.text("history_none") not in text
    assert wording.text("history_heading") not in text
    assert "20 +" in text
    assert "<script" not in html


def test_sections_without_their_tables_are_left_out():
    html = _render()
    for key in ("instalments_heading", "incomes_heading", "debts_heading", "past_heading"):
        assert load_wording("en").text(key) not in html


def test_statements_of_several_accounts_are_told_apart():
    """The two with most days past due, or the largest balance, are drawn; all are listed."""
    day = dt.date(2005, 9, 30)
    listed = [
        Statement(day - dt.timedelta(days=30 * n), day, balance, 10.0, 1e4, dpd, "late", account)
        for account, balance, dpd in (("CARD-1", 100.0, 0), ("CARD-2", 900.0, 0), ("CARD-3", 5.0, 30))
        for n in range(3)
    ]
    html = _render(statements=listed)
    check_page(html)
    history = html[html.index('class="history statements several"') :]
    history = history[: history.index("</section>")]
    assert re.findall(r"Account: <bdi>(.*?)</bdi>", history) == ["CARD-3", "CARD-2"]
    assert history.count("<svg") == 2
    assert "The chart shows 2 of 3 accounts." in history
    rows = re.findall(r"<tr><td><bdi>([\d-]+)</bdi></td><td><bdi>(.*?)</bdi></td>", history)
    assert sorted(rows) == sorted((s.statement_date.isoformat(), s.account_id) for s in listed)
    # Of one account nothing is named.
    assert "CARD-1" not in _render(statements=[s for s in listed if s.account_id == "CARD-1"])


def test_an_account_that_is_not_named_is_one_of_its_own():
    several = _statements().assign(account_id=["A", "B", None] * (len(_statements()) // 3))
    html = _render(statements=several)
    check_page(html)
    assert "nan" not in html[html.index('class="history') :].split("</section>")[0].lower()
