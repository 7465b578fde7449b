"""The aged book, by hand on the ledger of five and on a small ledger of instalments."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import ConfigError, NothingToScoreError, RecordsError
from overdue_ml.features.future import forget_after
from overdue_ml.metrics import aged_book, roll_rate_matrix
from overdue_ml.monitoring import compute_book
from overdue_ml.monitoring.book import month_ends
from overdue_ml.records import Records, compute_facts, compute_next_due, load_records, simulate
from overdue_ml.records.ageing import ABSENT, compute_ageing


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


@pytest.fixture(scope="module")
def june(five):
    return compute_book(five.records, "2024-06-30", months=3, by=["education"])


def told(frame, *columns):
    return [tuple(row) for row in frame[list(columns)].astype(object).to_numpy().tolist()]


def test_the_buckets_of_each_month_end_as_known_then(june):
    """B2 is closed on 15 May and owes nothing; Dan's May statement does not say how late he is.

    Cat's May statement, 30 days late, becomes known in July: at the end of May hers of April is the latest.
    """
    shown = june.ageing[june.ageing["accounts"] > 0]
    assert told(shown, "as_of_date", "bucket", "accounts", "amount") == [
        (day("2024-03-31"), "current", 1, 200.0),
        (day("2024-03-31"), "1-30", 2, 1050.0),
        (day("2024-04-30"), "current", 2, 400.0),
        (day("2024-04-30"), "31-60", 2, 1200.0),
        (day("2024-05-31"), "current", 3, 900.0),
        (day("2024-05-31"), "unknown", 1, 1000.0),
        (day("2024-06-30"), "current", 4, 2300.0),
        (day("2024-06-30"), "1-30", 1, 900.0),
    ]
    last = shown.iloc[-1]
    assert (last["count_share"], last["amount_share"]) == (0.2, 900 / 3200)
    # Current accounts of May to June: 3 to 4, and 900 to 2,300; nothing was in 1-30 to grow from.
    assert shown.iloc[-2]["accounts_growth"] == pytest.approx(1 / 3)
    assert shown.iloc[-2]["amount_growth"] == pytest.approx(14 / 9)
    assert np.isnan(last["amount_growth"])


def test_the_totals_and_their_growth(june):
    assert told(june.totals, "accounts", "amount", "overdue_accounts", "overdue_amount", "late_accounts") == [
        (3, 1250.0, 2, 1050.0, 0),
        (4, 1600.0, 2, 1200.0, 2),
        (4, 1900.0, 0, 0.0, 0),
        (5, 3200.0, 1, 900.0, 0),
    ]
    assert june.totals["amount_growth"].tolist()[1:] == pytest.approx([0.28, 0.1875, 13 / 19])
    assert june.totals["amount_growth_12m"].isna().all()


def test_rolls_and_cures(june):
    moved = june.rolls[june.rolls["accounts"] > 0]
    assert told(moved, "to_date", "before", "after", "accounts", "amount") == [
        (day("2024-04-30"), "current", "current", 1, 200.0),
        (day("2024-04-30"), "1-30", "31-60", 2, 1050.0),
        (day("2024-05-31"), "current", "current", 2, 400.0),
        # A1 paid, B2 is closed.
        (day("2024-05-31"), "31-60", "current", 1, 800.0),
        (day("2024-05-31"), "31-60", "left", 1, 400.0),
        (day("2024-06-30"), "current", "current", 2, 200.0),
        (day("2024-06-30"), "current", "1-30", 1, 700.0),
        (day("2024-06-30"), "unknown", "current", 1, 1000.0),
    ]
    cures = june.cures[june.cures["accounts"] > 0]
    assert told(cures, "to_date", "bucket", "accounts", "cured", "cure_rate") == [
        (day("2024-04-30"), "1-30", 2, 0, 0.0),
        (day("2024-04-30"), "all", 2, 0, 0.0),
        (day("2024-05-31"), "31-60", 2, 2, 1.0),
        (day("2024-05-31"), "all", 2, 2, 1.0),
    ]
    # Of six in 'current' five stayed; in money 800 of 1,500.
    rates = june.roll_rates()
    assert rates.loc["current", ["current", "1-30"]].tolist() == pytest.approx([5 / 6, 1 / 6])
    assert june.roll_rates("amount").loc["current", "current"] == pytest.approx(800 / 1500)
    assert rates.sum(axis=1, min_count=1).dropna().tolist() == pytest.approx([1.0] * 4)
    with pytest.raises(ConfigError, match="no weight"):
        june.roll_rates("customers")


def test_vintages_by_months_on_book(june):
    """A1 was opened in January, B2 in June 2022: 60 days late at the end of April only.

    Eve's opening is not known. What happened before March is not shown, so only Cat's "ever" can be told.
    """
    table = june.vintages.set_index(["vintage", "mob"])
    assert table.loc["2024-01", "late_accounts"].to_dict() == {2: 0, 3: 1, 4: 0, 5: 0}
    assert table.loc["2022-06", "late_accounts"].to_dict() == {21: 0, 22: 1, 23: 0, 24: 0}
    assert table.loc["2024-03", "ever_share"].to_dict() == {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0}
    assert table.drop(index="2024-03", level=0)["ever_share"].isna().all()
    assert sorted(set(june.vintages["vintage"])) == ["2020-02", "2022-06", "2023-12", "2024-01", "2024-03"]


def test_first_payment_default_of_statements(five, june):
    """Only Ann's and Cat's first statements were written within two months of the opening.

    Ann's first due was 20 February; until 22 April the worst is 30 days late. Cat's, of 20 May, can be told
    after 21 July: 30 days, which her statement of May says once it is known.
    """
    assert told(june.first_payment, "month", "accounts", "defaults") == [("2024-02", 1, 0)]
    july = compute_book(five.records, "2024-07-31", months=3, fpd_days=29)
    assert told(july.first_payment, "month", "accounts", "defaults") == [("2024-02", 1, 1), ("2024-05", 1, 1)]


def test_groups_of_an_attribute(june):
    """Ann 900 and Cat 0 university, Ben 500 high school, Eve 300 others; Dan's is not known."""
    rates = june.group_rates.set_index("group")
    assert rates["amount"].to_dict() == {
        "high_school": 500.0,
        "university": 900.0,
        "others": 300.0,
        "(unknown)": 1500.0,
    }
    assert rates["accounts"].to_dict() == {"high_school": 1, "university": 2, "others": 1, "(unknown)": 1}
    # A1 and B2 were past due at the ends of March and April: once not cured, once cured, each.
    assert rates.loc[["high_school", "university"], "cure_rate"].tolist() == [0.5, 0.5]
    buckets = june.groups.set_index(["group", "bucket"])["accounts"]
    assert (buckets["university", "current"], buckets["university", "1-30"]) == (1, 1)
    assert june.groups["accounts"].sum() == 5


def test_a_date_within_a_month_is_aged_but_nothing_rolls_to_it(five):
    book = compute_book(five.records, "2024-06-15", months=3)
    assert str(book.totals["as_of_date"].iloc[-1]) == "2024-06-15"
    assert max(map(str, book.rolls["to_date"])) == "2024-05-31"
    assert max(book.vintages.query("vintage == '2024-03'")["mob"]) == 2


def test_what_cannot_be_asked(five):
    with pytest.raises(ConfigError, match="no column 'colour'"):
        compute_book(five.records, "2024-06-30", by=["colour"])
    with pytest.raises(ConfigError, match="no column 'customer_id'"):
        compute_book(five.records, "2024-06-30", by=["customer_id"])
    with pytest.raises(NothingToScoreError, match="no account was in the book"):
        compute_book(five.records, "2019-01-01")
    for wrong in ({"months": 0}, {"fpd_days": 0}):
        with pytest.raises(ConfigError):
            compute_book(five.records, "2024-06-30", **wrong)
    bare = replace(five.records, tables={"accounts": five.records.tables["accounts"]})
    with pytest.raises(RecordsError, match="nothing to age"):
        compute_book(bare, "2024-06-30")


@pytest.fixture(scope="module")
def loans() -> Records:
    """Five loans of two instalments; the second is due on 20 March, 100 each.

    a pays both on time; b the first 40 days late, the second never; c never pays; d pays everything on 10
    March; e's first is put off, as known on 15 February, from 20 February to 20 April.
    """
    rows = [(x, i, day(f"2024-0{i + 1}-20"), 100.0, None) for x in "abcde" for i in (1, 2)]
    rows.append(("e", 1, day("2024-04-20"), 100.0, day("2024-02-15")))
    paid = [("a", "02-20", 100.0), ("a", "03-20", 100.0), ("b", "03-31", 100.0), ("d", "03-10", 200.0)]
    opened = {"a": "2024-01-10", "b": "2024-01-31", "c": "2024-02-01", "d": "2024-02-01", "e": "2024-02-10"}
    return load_records(
        {
            "accounts": pd.DataFrame(
                {
                    "account_id": list(opened),
                    "customer_id": list(opened),
                    "opened_on": [day(d) for d in opened.values()],
                    "product": ["car", "car", "cash", "cash", None],
                }
            ),
            "instalments": pd.DataFrame(
                rows, columns=["account_id", "instalment_no", "due_date", "amount_due", "known_on"]
            ),
            "payments": pd.DataFrame(paid, columns=["account_id", "paid_on", "amount"]).assign(
                paid_on=lambda f: [day(f"2024-{d}") for d in f["paid_on"]]
            ),
        },
        RecordsConfig(),
    )


def test_instalments_by_hand(loans):
    """End of February: b, c, d are 9 days late. End of March, 40 days after 20 February: b's second is 11
    days late, c 40; a and d have paid all and left. End of April: b 41, c 70 days late; e's first, put off to
    20 April, 10 days, its second, of 20 March, 41.
    """
    book = compute_book(loans, "2024-04-30", months=3)
    shown = book.ageing[book.ageing["accounts"] > 0]
    assert told(shown, "as_of_date", "bucket", "accounts", "amount", "arrears_amount") == [
        (day("2024-01-31"), "current", 2, 400.0, 0.0),
        (day("2024-02-29"), "current", 2, 300.0, 0.0),
        (day("2024-02-29"), "1-30", 3, 600.0, 300.0),
        (day("2024-03-31"), "1-30", 2, 300.0, 200.0),
        (day("2024-03-31"), "31-60", 1, 200.0, 200.0),
        (day("2024-04-30"), "31-60", 2, 300.0, 300.0),
        (day("2024-04-30"), "61-90", 1, 200.0, 200.0),
    ]
    # Of the three late in February d paid all; in March nobody cured.
    assert told(book.cures[book.cures["bucket"] == "all"], "accounts", "cured") == [(0, 0), (3, 1), (3, 0)]
    # First dues: of February a in time, b 40, c 70 days and d 19 late. e's first is that of 20 March now,
    # 41 days late and so a default.
    assert told(book.first_payment, "month", "accounts", "defaults") == [("2024-02", 4, 2), ("2024-03", 1, 1)]
    vintages = book.vintages.set_index(["vintage", "mob"])
    # January's a and b: b 41 days late in April. February's c, d and e: c in March, c and e in April.
    assert vintages.loc["2024-01", "late_accounts"].tolist() == [0, 0, 0, 1]
    assert vintages.loc["2024-02", "ever_share"].tolist() == pytest.approx([0, 1 / 3, 2 / 3])
    # By product where nobody asks for anything else; a and d are in no bucket any more.
    assert book.group_rates.set_index("group")["accounts"].to_dict() == {"car": 1, "cash": 1, "(unknown)": 1}


#: A card's statements of 2024: written, due, balance, days past due. Nobody ever pays.
NEVER_PAID = [
    ("01-31", "02-20", 100.0, 0),
    ("02-29", "03-20", 150.0, 9),
    ("03-31", "04-20", 200.0, 40),
    ("04-30", "05-20", 200.0, 70),
    ("05-31", "06-20", 200.0, 101),
]


def cards(statements, columns=("balance_amount", "dpd"), **closed) -> dict[str, pd.DataFrame]:
    """Tables of cards opened on 5 January 2024: for each the statements, and when it was closed."""
    rows = [
        (card, *(day(f"2024-{d}") for d in row[:2]), *row[2:])
        for card, own in statements.items()
        for row in own
    ]
    accounts = pd.DataFrame(
        {"account_id": list(statements), "customer_id": list(statements), "opened_on": day("2024-01-05")}
    )
    if closed:
        accounts["closed_on"] = [day(f"2024-{closed[c]}") if c in closed else None for c in statements]
    names = ["account_id", "statement_date", "due_date", *columns]
    # As objects: an empty cell among numbers stays empty.
    told_of = pd.DataFrame(rows, columns=names, dtype=object).astype(
        {name: "Float64" if name.endswith("_amount") else "Int64" for name in columns}
    )
    return {"accounts": accounts, "statements": told_of}


def first_dues(frames, on="2024-07-31", **asked):
    found = compute_book(load_records(frames), on, months=3, **asked).first_payment
    return told(found, "month", "accounts", "defaults")


@pytest.fixture(scope="module")
def mixed() -> Records:
    """Two cards that never paid, and a loan that paid 100 on 5 February, March and April, before 5 May."""
    frames = cards({"k": NEVER_PAID, "l": NEVER_PAID})
    loan = frames["accounts"].iloc[:1].assign(account_id="m", customer_id="m")
    dues = pd.DataFrame({"due_date": [day(f"2024-0{i}-05") for i in (2, 3, 4, 5)], "amount_due": 100.0})
    paid = dues["due_date"].iloc[:3].to_frame("paid_on").assign(account_id="m", amount=100.0)
    return load_records(
        {
            "accounts": pd.concat([frames["accounts"], loan]),
            "statements": frames["statements"],
            "instalments": dues.assign(account_id="m", instalment_no=[1, 2, 3, 4]),
            "payments": paid,
        }
    )


def test_statements_of_a_lender_with_both_are_waited_for(mixed):
    """The first due of the cards, of 20 February, can be told 62 days later; the loan's, paid, after 30."""
    for on, expected in (("2024-03-25", (1, 0)), ("2024-04-22", (1, 0)), ("2024-04-23", (3, 2))):
        book = compute_book(mixed, on, months=2)
        assert told(book.first_payment, "month", "accounts", "defaults") == [("2024-02", *expected)]


def test_arrears_of_a_lender_with_both(mixed):
    """On 20 April both cards are 40 days late and owe 200 each; the loan owes 100, of 5 May, and is current.

    On 10 May the cards are 70 days late and the loan 5: 100 of it are in arrears.
    """
    for on, expected in (
        ("2024-04-20", [("current", 1, 100.0, 0.0), ("31-60", 2, 400.0, 400.0)]),
        ("2024-05-10", [("1-30", 1, 100.0, 100.0), ("61-90", 2, 400.0, 400.0)]),
    ):
        book = compute_book(mixed, on, months=2)
        here = book.ageing[(book.ageing["as_of_date"] == day(on)) & (book.ageing["accounts"] > 0)]
        assert told(here, "bucket", "accounts", "amount", "arrears_amount") == expected


def test_more_days_of_a_first_payment_default_are_waited_for_longer():
    """Of 90 days the statement of 31 May tells, 101 days after; it is waited for until 21 June."""
    frames = cards({"k": NEVER_PAID})
    assert first_dues(frames, fpd_days=90) == [("2024-02", 1, 1)]
    assert first_dues(frames, fpd_days=100) == [("2024-02", 1, 1)]
    assert first_dues(frames, "2024-06-21", fpd_days=90) == []
    assert first_dues(frames, "2024-06-22", fpd_days=90) == [("2024-02", 1, 1)]
    # Of one day the statement of 29 February tells, within 33 days: on 25 March.
    assert first_dues(frames, "2024-03-25", fpd_days=1) == [("2024-02", 1, 1)]


def test_accounts_of_which_nothing_tells_are_left_out():
    """All of the first due of 20 February, whose statements until 22 April count."""
    first, march = ("01-31", "02-20", 100.0, 0), ("02-29", "03-20", 100.0)
    silent = {
        "one": [first],
        "empty": [first, (*march, None), ("03-31", "04-20", 200.0, None)],
        "later": [first, ("04-30", "05-20", 100.0, 70), ("05-31", "06-20", 200.0, 101)],
        # Nine days late after nine days: unpaid so far, and then nobody knows.
        "open": [first, (*march, 9), ("03-31", "04-20", 200.0, None)],
    }
    assert first_dues(cards(silent)) == []
    speaking = {
        # Paid, since nothing was late nine days after it.
        "paid": [first, (*march, 0)],
        # The due of March is eleven days late, so that of February is paid.
        "next": [first, (*march, None), ("03-31", "04-20", 200.0, 11)],
        "never": [first, (*march, None), ("03-31", "04-20", 200.0, 40)],
    }
    assert first_dues(cards(silent | speaking)) == [("2024-02", 3, 1)]


def test_a_cycle_with_nothing_due_is_no_first_due():
    """The card is first used in February: 100, due on 20 March, 41 days late by the end of April."""
    used = [
        ("01-31", "02-20", 0.0, 0),
        ("02-29", "03-20", 100.0, 0),
        ("03-31", "04-20", 200.0, 11),
        ("04-30", "05-20", 200.0, 41),
    ]
    assert first_dues(cards({"k": used})) == [("2024-03", 1, 1)]
    # A minimum of nothing asks for nothing, whatever the balance; without one the balance decides.
    columns = ("balance_amount", "minimum_due_amount", "dpd")
    for balance, minimum, month in ((300.0, 0.0, "2024-03"), (300.0, None, "2024-02"), (0.0, 5.0, "2024-02")):
        rows = [(*used[0][:2], balance, minimum, 0), *((a, b, c, c / 10, d) for a, b, c, d in used[1:])]
        assert [row[0] for row in first_dues(cards({"k": rows}, columns))] == [month]
    # Where no amount is known every due date counts: of that of 20 February the worst is 11 days late.
    bare = cards({"k": [(a, b, d) for a, b, _, d in used]}, ("dpd",))
    assert first_dues(bare) == [("2024-02", 1, 0)]


def test_a_card_that_was_never_used_stays_in_its_vintage():
    """It was closed on 15 February: one of the two that were opened in January."""
    frames = cards({"k": NEVER_PAID, "unused": [("01-31", "02-20", 0.0, 0)]}, unused="02-15")
    vintages = compute_book(load_records(frames), "2024-04-30", months=1).vintages
    assert told(vintages, "vintage", "mob", "accounts", "late_share") == [
        ("2024-01", 2, 2, 0.5),
        ("2024-01", 3, 2, 0.5),
    ]


def test_arrears_of_statements_are_what_they_ask_for(five, june):
    """The minimum of Ann's account and of Ben's second; Dan's May is not known, and so are his arrears."""
    shown = june.ageing[june.ageing["accounts"] > 0].astype({"arrears_amount": object})
    arrears = shown["arrears_amount"].where(shown["arrears_amount"].notna(), None)
    assert list(zip(shown["as_of_date"].astype(str), shown["bucket"], arrears, strict=True)) == [
        ("2024-03-31", "current", 0.0),
        ("2024-03-31", "1-30", 60.0 + 45.0),
        ("2024-04-30", "current", 0.0),
        ("2024-04-30", "31-60", 80.0 + 40.0),
        ("2024-05-31", "current", 0.0),
        ("2024-05-31", "unknown", None),
        ("2024-06-30", "current", 0.0),
        ("2024-06-30", "1-30", 90.0),
    ]
    # As a scoring run says what is overdue.
    days = ["2024-03-31", "2024-04-30", "2024-06-30"]
    found = compute_ageing(five.records, days)
    for j, on in enumerate(found.days):
        overdue = compute_next_due(five.records, on)["overdue_amount"].sum()
        assert found.arrears_amount[:, j].sum() == overdue > 0


def test_arrears_that_nobody_knows_are_missing_and_not_nothing():
    columns = ("balance_amount", "minimum_due_amount", "dpd")
    rows = {
        "balance": [("04-30", "05-20", 70.0, None, 5)],
        "neither": [("04-30", "05-20", None, None, 40)],
        "current": [("04-30", "05-20", None, None, 0)],
    }
    last = compute_book(load_records(cards(rows, columns)), "2024-04-30", months=1).ageing.set_index("bucket")
    assert last.loc[["current", "1-30"], "arrears_amount"].tolist() == [0.0, 70.0]
    assert np.isnan(last.loc["31-60", "arrears_amount"])
    bare = cards({name: [(*row[0][:2], row[0][-1])] for name, row in rows.items()}, ("dpd",))
    assert compute_ageing(load_records(bare), "2024-04-30").arrears_amount is None


def test_an_account_with_both_owes_both():
    """100 of its instalment of 10 April, and the minimum of 30 of its statement, which is later than that.

    A statement that does not say how late it is leaves the arrears those of the instalment.
    """
    columns = ("balance_amount", "minimum_due_amount", "dpd")
    for late, arrears in ((35, 130.0), (0, 100.0), (None, 100.0)):
        frames = cards({"k": [("04-30", "05-20", 300.0, 30.0, late)]}, columns)
        due = {
            "account_id": ["k"],
            "instalment_no": [1],
            "due_date": [day("2024-04-10")],
            "amount_due": [100.0],
        }
        frames["instalments"] = pd.DataFrame(due)
        frames["payments"] = pd.DataFrame(
            {"account_id": ["k"], "paid_on": [day("2024-01-06")], "amount": [0.001]}
        )
        found = compute_ageing(load_records(frames), "2024-04-30")
        assert found.dpd[0, 0] == max(20, late or 0)
        assert found.arrears_amount[0, 0] == pytest.approx(arrears, abs=0.01)


def test_no_month_end_before_the_calendar_begins():
    assert month_ends(dt.date(1, 3, 15), 12) == [dt.date(1, 1, 31), dt.date(1, 2, 28)]
    assert month_ends(dt.date(1, 1, 31), 1) == []


@pytest.fixture(scope="module")
def lender() -> Records:
    """A synthetic lender of 300 customers."""
    tables = simulate(300, seed=4, months=10)
    tables.pop("truth", None)
    return load_records(tables)


def test_the_pass_agrees_with_the_facts_of_each_day(lender):
    days = [day("2022-03-31"), day("2022-06-15"), day("2022-09-30")]
    found = compute_ageing(lender, days)
    ids = found.account_id.to_pylist()
    for j, on in enumerate(days):
        facts = compute_facts(lender, on).to_pandas()
        facts["late"] = np.where(facts["is_settled"], -1, facts["dpd"])
        worst = facts[~facts["is_settled"]].groupby("account_id")["late"].max()
        assert found.dpd[:, j].tolist() == [int(worst.get(i, ABSENT)) for i in ids]
        short = facts[~facts["is_settled"]].groupby("account_id")["shortfall_amount"].sum()
        np.testing.assert_allclose(found.amount[:, j], [short.get(i, 0.0) for i in ids], atol=1e-6)
        past = (
            facts[~facts["is_settled"] & (facts["late"] > 0)].groupby("account_id")["shortfall_amount"].sum()
        )
        np.testing.assert_allclose(found.arrears_amount[:, j], [past.get(i, 0.0) for i in ids], atol=1e-6)
    # And with what a scoring run says is exposed.
    due = compute_next_due(lender, days[-1])
    assert found.amount[:, -1].sum() == pytest.approx(due["exposure_amount"].sum())


def test_the_tables_agree_with_the_metrics_of_arrays(lender):
    book = compute_book(lender, "2022-09-30", months=1)
    found = compute_ageing(lender, ["2022-08-31", "2022-09-30"])
    here = found.dpd[:, 1] >= 0
    expected = aged_book(found.dpd[here, 1], found.amount[here, 1])
    got = book.ageing[book.ageing["as_of_date"] == day("2022-09-30")].reset_index(drop=True)
    pd.testing.assert_series_equal(got["amount_share"], expected["amount_share"])
    assert got["accounts"].tolist() == expected["count"].tolist()
    both = (found.dpd >= 0).all(axis=1)
    matrix = roll_rate_matrix(found.dpd[both, 0], found.dpd[both, 1])
    ours = book.roll_rates().drop(columns="left")
    ours = ours.div(ours.sum(axis=1).where(lambda s: s > 0), axis=0)
    np.testing.assert_allclose(ours.to_numpy(), matrix.to_numpy(), atol=1e-12)


def same(first, second):
    for name, table in first.tables().items():
        pd.testing.assert_frame_equal(table, second.tables()[name], check_exact=True, obj=name)


@pytest.mark.parametrize("on", ["2022-06-30", "2022-07-13"])
def test_nothing_known_later_changes_anything(lender, five, on):
    same(compute_book(lender, on), compute_book(forget_after(lender, day(on)), on))
    later = on.replace("2022", "2024")
    same(compute_book(five.records, later), compute_book(forget_after(five.records, day(later)), later))


def test_rows_in_another_order_and_threads_change_no_bit(lender):
    shuffled = {
        name: table.to_pandas().sample(frac=1.0, random_state=7) for name, table in lender.tables.items()
    }
    same(compute_book(lender, "2022-09-30"), compute_book(load_records(shuffled), "2022-09-30"))
    one, two = (compute_ageing(lender, "2022-09-30", n_threads=n) for n in (1, 2))
    assert one.amount.tobytes() == two.amount.tobytes()
    assert one.dpd.tobytes() == two.dpd.tobytes()


def test_many_groups_are_put_together():
    n = 40
    ids = [f"A{i:02}" for i in range(n)]
    frames = {
        "accounts": pd.DataFrame(
            {"account_id": ids, "customer_id": ids, "opened_on": day("2024-01-01"), "product": ids}
        ),
        "statements": pd.DataFrame(
            {"account_id": ids, "statement_date": day("2024-01-31"), "balance_amount": 10.0, "dpd": 0}
        ),
    }
    rates = compute_book(load_records(frames), "2024-01-31").group_rates
    assert len(rates) == 30
    assert rates.iloc[-1]["group"] == "(other)"
    assert rates["accounts"].sum() == n
