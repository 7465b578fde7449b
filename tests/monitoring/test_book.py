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
