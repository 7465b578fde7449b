"""The time line of instalments, worked out by hand."""

from __future__ import annotations

import datetime as dt
import random
import re

import pytest

from overdue_ml.explain.wording import load_wording
from overdue_ml.reports.card_instalments import Instalment, Payment, instalment_section

AS_OF = dt.date(2024, 4, 30)
EN = load_wording("en")


def due(month, amount=100.0, paid=None, settled=None, dpd=0, account="A1", day=15):
    """An instalment of the 15th; paid in full on its day where nothing else is said."""
    date = dt.date(2024, month, day)
    if date > AS_OF:
        return Instalment(account, date, amount, paid or 0.0, None, 0)
    if paid is None:
        paid, settled = amount, settled or date
    return Instalment(account, date, amount, paid, settled, dpd)


def section(*instalments, payments=(), wording=EN):
    found = instalment_section(list(instalments), list(payments), AS_OF, wording)
    assert found is not None
    return found


def test_due_paid_and_days_late_are_listed_newest_first():
    found = section(
        due(2),
        due(3, settled=dt.date(2024, 3, 27), dpd=12),
        due(4, amount=1200.0, paid=480.0, dpd=15),
        due(5),
    )
    assert found.head == ["Due", "Amount", "Paid", "Settled", "Days late"]
    assert found.halves == [
        [
            # Short by 720 on 30 April: 15 days past due, and growing.
            ["2024-04-15", "1,200", "480", "–", "15 +"],
            ["2024-03-15", "100", "100", "2024-03-27", "12"],
            ["2024-02-15", "100", "100", "2024-02-15", "0"],
        ]
    ]
    assert found.notes == [EN.text("instalments_growing")]
    assert found.upcoming == "Upcoming: 15 May 2024: 100. Instalments to come: 1, with 100 to be paid in all."


def test_a_part_payment_fills_a_part_of_its_bar():
    html = str(section(due(4, amount=200.0, paid=50.0, dpd=15)).chart)
    # The first of each kind stands in the legend.
    (_, filled) = re.findall(r'<rect [^>]*height="([\d.]+)" class="due d-1"', html)
    (_, unpaid) = re.findall(r'<rect [^>]*height="([\d.]+)" class="open"/', html)
    # A quarter of a bar of 40 is paid, three quarters are not.
    assert (filled, unpaid) == ("10", "30")
    assert ">15+<" in html


def test_what_falls_due_today_is_listed_and_not_yet_unpaid():
    found = section(Instalment("A1", AS_OF, 100.0, 0.0, None, 0), due(5))
    assert found.halves == [[["2024-04-30", "100", "0", "–", "0 +"]]]
    html = str(found.chart)
    # One of each in the legend; today's and May's are drawn as to come.
    assert html.count('class="open"') == 1
    assert html.count('class="open ahead"') == 3


@pytest.mark.parametrize(
    ("dpd", "shade"),
    [(0, "d-ontime"), (1, "d-1"), (30, "d-1"), (31, "d-2"), (60, "d-2"), (61, "d-3"), (400, "d-3")],
)
def test_later_payments_are_darker_and_the_days_stand_above(dpd, shade):
    html = str(section(due(1, dpd=dpd)).chart)
    # Once in the legend and once on the line.
    assert html.count(f'class="due {shade}"') == 2
    assert (f'class="days" text-anchor="middle">{dpd}<' in html) == (dpd > 0)


def test_payments_and_reversals_are_marked_where_they_were_made():
    payments = [
        Payment("A1", dt.date(2024, 3, 15), 100.0), Payment("A1", dt.date(2024, 3, 20), -100.0),
        Payment("A2", dt.date(2024, 3, 20), 5.0),
    ]  # fmt: skip
    html = str(section(due(3), due(4), payments=payments).chart)
    # One of each in the legend; the payment of another account is none of this one's.
    assert html.count('class="paid"') == 2
    assert html.count('class="reversal"') == 2


def test_what_is_to_come_adds_up_by_day_over_accounts_and_prepaid_parts_count():
    ahead = [due(m, account=a) for m in range(5, 13) for a in ("A1", "A2")]
    found = section(*ahead[1:], due(5, paid=30.0))
    assert found.upcoming.startswith("Upcoming: 15 May 2024: 170 · 15 June 2024: 200 · ")
    assert "15 November" not in found.upcoming
    # 8 days with 2 instalments of 100 each, 30 of which is paid.
    assert found.upcoming.endswith("Instalments to come: 16, with 1,570 to be paid in all.")
    assert section(due(4)).upcoming == EN.text("upcoming_none")


def test_long_histories_and_many_accounts_are_cut_and_it_is_said():
    first = dt.date(2021, 1, 1)
    days = [first + dt.timedelta(days=30 * i) for i in range(30)]
    many = [Instalment(f"A{k}", day, 10.0, 10.0, day, 0) for day in days for k in range(6)]
    found = section(*many)
    assert sum(map(len, found.halves)) == 24
    assert found.notes == [
        "The chart shows 4 of 6 accounts.",
        "The latest 24 of 180 instalments that have fallen due are listed.",
    ]
    # 24 of each of four accounts, and one box of each kind in the legend.
    assert str(found.chart).count("due d-ontime") == 4 * 24 + 1


def test_accounts_with_something_open_come_before_closed_ones():
    closed = [due(4, account=f"C{i}", day=29) for i in range(4)]
    found = section(*closed, due(1, paid=0.0, dpd=106, account="OPEN"))
    assert ">OPEN<" in str(found.chart)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_rows_does_not_matter(seed):
    rows = [due(m, account=a) for m in range(1, 8) for a in ("A1", "A2")]
    payments = [Payment(r.account_id, r.due_date, r.amount_due) for r in rows if r.due_date <= AS_OF]
    expected = section(*rows, payments=payments)
    random.Random(seed).shuffle(rows)
    random.Random(seed).shuffle(payments)
    assert section(*rows, payments=payments) == expected


def test_an_instalment_ahead_that_needs_no_payment_is_settled_on_its_due_date():
    """A payment holiday, or so little that it lies within the tolerance."""
    holiday, little = (
        Instalment("A1", dt.date(2024, month, 15), amount, 0.0, dt.date(2024, month, 15), 0)
        for month, amount in ((5, 0.0), (6, 3.2))
    )
    found = section(due(4), holiday, little, due(7))
    assert found.upcoming.startswith("Upcoming: 15 July 2024: 100")


def test_nothing_later_than_the_date_is_shown():
    with pytest.raises(ValueError, match="2024-05-01"):
        section(due(4, settled=dt.date(2024, 5, 1)))
    with pytest.raises(ValueError, match="2024-05-01"):
        section(due(4), payments=[Payment("A1", dt.date(2024, 5, 1), 1.0)])


@pytest.mark.parametrize(
    "rows",
    [
        [due(4, amount=0.0, paid=0.0, settled=dt.date(2024, 4, 15))],
        [due(5)],
        [due(4), due(4), due(4)],
        [due(4, amount=1e15), due(3, amount=1e-300)],
        [due(4, paid=500.0, settled=dt.date(2024, 4, 1))],
        [due(4, paid=-20.0, dpd=15)],
        [Instalment("A1", dt.date(1970, 1, 1), 1.0, 0.0, None, 19_843), due(12)],
        [Instalment("A1", AS_OF, 1.0, 0.0, None, 0)],
        [Instalment("A1", dt.date(2024, 4, 1 + d), 1.0, 1.0, dt.date(2024, 4, 1), 0) for d in range(24)],
    ],
)
def test_odd_histories_stay_inside_the_picture(rows):
    html = str(section(*rows).chart)
    assert not re.search(r'"[^"]*\b(?:nan|inf)\b[^"]*"', html)
    for x, width in re.findall(r'<rect x="([-\d.]+)" y="[-\d.]+" width="([-\d.]+)"', html):
        assert float(x) >= 100
        assert float(x) + float(width) <= 812


def test_ids_are_escaped_and_cut_at_the_front():
    html = str(section(due(4, account="<script>x</script>")).chart)
    assert "<script" not in html
    assert ">…BBBBBBBBBBB-1<" in str(section(due(4, account="A" * 40 + "B" * 11 + "-1")).chart)


def test_accounts_are_listed_by_the_ends_of_their_ids_where_there_are_several():
    found = section(due(4, account="SYN000002418-1"), due(3, account="SYN000002418-2"))
    assert found.head[1] == "Account"
    assert [row[1] for half in found.halves for row in half] == ["…002418-1", "…002418-2"]


def test_no_instalment_no_section():
    assert instalment_section([], [], AS_OF, EN) is None


def test_a_table_of_large_amounts_is_not_cut_in_two_that_do_not_fit():
    small = section(*[due(m, account=a, day=d) for m in (1, 2, 3, 4) for d in (5, 15) for a in ("A1", "A2")])
    assert [len(half) for half in small.halves] == [8, 8]
    large = section(
        *[due(m, 25_000_000.0, account=a, day=d) for m in (1, 2, 3, 4) for d in (5, 15) for a in ("A1", "A2")]
    )
    assert [len(half) for half in large.halves] == [16]
