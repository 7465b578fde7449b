"""On paper: two pages, whatever stands on the card, in a real browser."""

from __future__ import annotations

import datetime as dt
import math
import os
import re
import shutil

import pytest

from overdue_ml.explain.wording import load_wording
from overdue_ml.reports import (
    Card,
    Debt,
    Income,
    Instalment,
    PastScore,
    Payment,
    ReasonLine,
    Scenario,
    Statement,
    WhatIfCard,
    render_card,
)

AS_OF = dt.date(2022, 10, 31)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>" + "X" * 10_000
CHROMIUM = os.environ.get("OVERDUE_ML_CHROMIUM") or shutil.which("chromium")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")


@pytest.fixture(scope="module")
def page():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser.new_page()
        browser.close()


def _instalments(account):
    """Of five years, every seventh unpaid, the others up to five weeks late; a year is to come."""
    found, paid = [], []
    for month in range(-60, 12):
        year, place = divmod(12 * AS_OF.year + AS_OF.month - 1 + month, 12)
        due = dt.date(year, place + 1, 5)
        settled = due + dt.timedelta(days=9 * (month % 5))
        if settled <= AS_OF and month % 7:
            found.append(Instalment(account, due, 970.66, 970.66, settled, (settled - due).days))
            paid.append(Payment(account, settled, 970.66))
        else:
            found.append(Instalment(account, due, 970.66, 0.0, None, max((AS_OF - due).days, 0)))
    return found, paid


def _fullest(lang, kind):
    """A card with as much in every section as it shows."""
    words = load_wording(lang)
    values = [0.9, 0.8, 0.7, 0.6, 0.5, -0.4, -0.3, -0.2]
    codes = sorted(words.reasons)[: len(values)]
    told = max((r.adverse_plain for r in words.reasons.values()), key=len)
    days = [AS_OF - dt.timedelta(days=30 * i) for i in range(40)]
    clause = {
        "en": "everything that has fallen due is paid today and the next 3 dues are paid on time",
        "zh": "已到期未付的款项今日全部付清，且接下来3期款项均按时还清",
    }[lang]
    moves = [(words.title("INSTALMENT_DEPTH"), -0.5), (words.title("INSTALMENT_OFTEN"), -0.2)]
    notes = ["note_protected", "note_no_incomes", "note_no_borrowings", "note_accounts"]
    card = Card(
        HOSTILE, AS_OF, lang, 0.448, math.fsum(values) - 2.4, -2.4, 493.0, "high", 1, 30_000,
        [0.0, 0.5, 1.0], [20_000, 10_000], days[0], 970.66, 14_544.0, 435.34,
        [ReasonLine(c, words.title(c), 2 * told, v) for c, v in zip(codes, values, strict=True)], [],
        {"name": "overdue", "version": "3", "trained_on": ", ".join(map(str, days[:6])), "run_id": "ab" * 32},
        [words.text(key) for key in notes],
        incomes=[Income(day, 5000.0) for day in days],
        debts=[Debt(f"LENDER-{i}", day, 1e6, 2000.0, 90) for i, day in enumerate(days[:9])],
        past=[PastScore(day, 0.3, "high", 9, 30_000, "3", "x") for day in days[1:20]],
        what_if=WhatIfCard([Scenario(clause, AS_OF, 0.448, 0.19, "high", "medium", moves)] * 4, clause),
    )  # fmt: skip
    if kind == "statements":
        card.statements.extend(Statement(d, d, 5e5, 1e4, 6e5, 30, "late") for d in reversed(days))
    elif kind == "cards":
        card.statements.extend(
            Statement(d, d, 5e5, 1e4, 6e5, 30, "late", account)
            for d in reversed(days)
            for account in ("A-1", HOSTILE, "A-3")
        )
    else:
        for account in ("A-1", HOSTILE, "A-3", "A-4", "A-5"):
            instalments, payments = _instalments(account)
            card.instalments.extend(instalments)
            card.payments.extend(payments)
    return render_card(card, words)


@pytest.mark.parametrize("kind", ["instalments", "statements", "cards"])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_fullest_card_prints_on_two_pages(page, lang, kind):
    asked, dialogs = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.set_content(_fullest(lang, kind))
    pdf = page.pdf(prefer_css_page_size=True, print_background=True)
    assert len(re.findall(rb"/Type\s*/Page[^s]", pdf)) == 2
    assert (asked, dialogs) == ([], [])
