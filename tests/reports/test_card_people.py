from __future__ import annotations

import datetime as dt
import re

import pytest

from overdue_ml.explain.wording import load_wording
from overdue_ml.reports.card_people import Debt, Income, debt_section, income_section
from overdue_ml.reports.svg import width_of

AS_OF = dt.date(2024, 4, 30)
EN = load_wording("en")


def test_incomes_add_up_by_month_over_twelve_months():
    incomes = [
        Income(dt.date(2024, 4, 5), 1000.0), Income(dt.date(2024, 4, 25), 500.0),
        Income(dt.date(2023, 5, 1), 750.0),
        # The month before the twelve that are shown.
        Income(dt.date(2023, 4, 30), 9000.0),
    ]  # fmt: skip
    found = income_section(incomes, AS_OF, EN)
    heights = [float(h) for h in re.findall(r'height="([\d.]+)" class="income"', str(found.chart))]
    # The scale goes to 1,500, which is 86 high; half of it is 43.
    assert heights == [43.0, *[0.0] * 10, 86.0]
    assert found.latest == "The latest income came on 25 April 2024, 500."


def test_no_table_no_section_and_no_rows_are_said():
    assert income_section(None, AS_OF, EN) is None
    assert income_section([], AS_OF, EN).latest == EN.text("incomes_none")
    assert debt_section(None, AS_OF, EN) is None
    assert debt_section([], AS_OF, EN).rows == []


def test_debts_are_listed_largest_first_with_their_total():
    day = dt.date(2024, 4, 1)
    debts = [
        Debt("B1", day, 100.0, 10.0, 0),
        Debt("B2", day, 900.0, None, 45),
        Debt("", day, None, None, None),
    ]
    found = debt_section(debts, AS_OF, EN)
    assert found.rows == [
        ["B2", "2024-04-01", "900", "–", "45"],
        ["B1", "2024-04-01", "100", "10", "0"],
        ["–", "2024-04-01", "–", "–", "–"],
    ]
    assert found.total == ["All", "", "1,000", "10", "45"]
    assert debt_section(debts[:1], AS_OF, EN).total == []
    many = [Debt(f"B{i}", day, float(i), 1.0, 0) for i in range(9)]
    # 0 + 1 + ... + 8, though only six are listed.
    assert debt_section(many, AS_OF, EN).total[2] == "36"
    assert "largest 6 of 9" in debt_section(many, AS_OF, EN).cut


def test_nothing_later_than_the_date_is_shown():
    later = dt.date(2024, 5, 1)
    with pytest.raises(ValueError, match="not known"):
        income_section([Income(later, 1.0)], AS_OF, EN)
    with pytest.raises(ValueError, match="reported after"):
        debt_section([Debt("B", later, 1.0, 1.0, 0)], AS_OF, EN)


def test_labels_of_large_incomes_stand_inside_the_picture():
    chart = str(income_section([Income(AS_OF, 12_000_000.0)], AS_OF, EN).chart)
    labels = re.findall(r'<text x="([\d.]+)"[^>]*text-anchor="end"[^>]*>([\d,]+)</text>', chart)
    assert "15,000,000" in [label for _, label in labels]
    assert all(float(x) - width_of(label) >= 0 for x, label in labels)
