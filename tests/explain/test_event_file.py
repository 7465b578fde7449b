"""Events from a file, on the ledger of ``conftest.py`` as of 15 April 2024.

Ann then: 60 of the instalment of 10 April unpaid and 5 days past due, 2,000 of income in 90 days; log-odds
-2 + 0.01 * 60 + 0.1 * 5 - 0.0005 * 2000 = -1.9.
"""

import datetime as dt
from pathlib import Path

import pytest

from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.explain import Rescorer, load_events, load_wording
from overdue_ml.explain.smallest import search_smallest
from overdue_ml.records import load_records

AS_OF = dt.date(2024, 4, 15)
EXAMPLE = Path(__file__).parents[2] / "docs" / "events.yaml"


@pytest.fixture(scope="module")
def ann(lender, linear):
    return Rescorer(lender, "ANN", AS_OF, linear.model(linear.weights))


@pytest.fixture
def events(tmp_path):
    def load(text):
        path = tmp_path / "events.yaml"
        path.write_text(text, encoding="utf-8")
        return load_events(path)

    return load


def test_a_payment_of_ones_own(ann, events):
    """40 paid on the as_of date leave 20 unpaid and 5 days late: -2 + 0.2 + 0.5 - 1.0 = -2.3."""
    (event,) = events("events: [{event: payment, amount: 40, on: 2024-04-15}]")
    found = ann.what_if([event])
    assert found.on == AS_OF
    assert found.after.log_odds == pytest.approx(-2.3, abs=1e-12)
    assert event.clause == {"en": "40 is paid on 2024-04-15", "zh": "于2024-04-15还款40"}
    assert "If 40 is paid on 2024-04-15, it is" in " ".join(found.sentences(load_wording("en")))


def test_a_later_payment_that_names_its_instalment(ann, events):
    """100 on 12 May name the fourth, of 10 May, as of 12 May: 60 unpaid, 2 days late, 2,000 of income in 90
    days: -2 + 0.6 + 0.2 - 1.0 = -2.2. Without it 160 are unpaid: -2 + 1.6 + 0.2 - 1.0 = -1.2.
    """
    found = ann.what_if(events("events: [{event: payment, amount: 100, on: 2024-05-12, instalment_no: 4}]"))
    assert found.on == dt.date(2024, 5, 12)
    assert found.without.log_odds == pytest.approx(-1.2, abs=1e-12)
    assert found.after.log_odds == pytest.approx(-2.2, abs=1e-12)


def test_a_reversal_an_income_and_both(ann, events):
    """The 40 of April taken back: 100 unpaid, -1.5. An income of 400: -2.1. Both: -1.7."""
    back = "{event: payment, amount: -40, on: 2024-04-15}"
    more = "{event: income, amount: 400.0, on: 2024-04-14, kind: salary}"
    for items, expected in (((back,), -1.5), ((more,), -2.1), ((back, more), -1.7)):
        found = ann.what_if(events(f"events: [{', '.join(items)}]"))
        assert found.after.log_odds == pytest.approx(expected, abs=1e-12)


def test_a_limit_is_that_of_the_account_and_of_its_latest_statement(five):
    from overdue_ml.explain.event_file import LimitSpec, event_of
    from overdue_ml.records.select import keep_customers

    ben = keep_customers(five.records, ["BEN"])
    event = event_of(LimitSpec(event="limit", amount=5000.0, account="B1"))
    edit = event.edit(ben, dt.date(2024, 6, 30))
    limits = dict(
        zip(
            *(edit.tables["accounts"][c].to_pylist() for c in ("account_id", "credit_limit_amount")),
            strict=True,
        )
    )
    assert limits == {"B1": 5000.0, "B2": 500.0}
    told = {
        (r["account_id"], str(r["statement_date"])): r["credit_limit_amount"]
        for r in edit.tables["statements"].to_pylist()
        if r["credit_limit_amount"] is not None
    }
    # Only the statement of 30 June said a limit of its own, 800.
    assert told == {("B1", "2024-06-30"): 5000.0}
    # B2 was closed in May: one open account, which need not be named.
    unnamed = event_of(LimitSpec(event="limit", amount=5000.0))
    assert unnamed.edit(ben, dt.date(2024, 6, 30)).tables["accounts"].equals(edit.tables["accounts"])
    with pytest.raises(ConfigError, match="2 open accounts"):
        unnamed.edit(ben, dt.date(2024, 4, 30))


def test_a_debt_elsewhere_is_a_row_of_borrowings(linear, events):
    import pandas as pd

    frames = linear.frames() | {
        "borrowings": pd.DataFrame(
            {
                "customer_id": ["ANN"],
                "reported_on": [linear.day("03-01")],
                "lender_id": ["X"],
                "balance_amount": [5.0],
            }
        )
    }
    ann = Rescorer(load_records(frames), "ANN", AS_OF, linear.model({"borrow_balance_amount_latest": 0.01}))
    (event,) = events("events: [{event: borrowing, balance_amount: 70, on: 2024-04-10}]")
    assert ann.as_it_stands(AS_OF).log_odds == pytest.approx(-1.95, abs=1e-12)
    assert ann.what_if([event]).after.log_odds == pytest.approx(-1.25, abs=1e-12)


def test_rows_of_ones_own_and_a_standard_event(ann, events):
    """April's instalment is put off to 20 April: 10 March, ten days late, is the latest that has fallen due.

    Nothing that has fallen due is unpaid, so there are no arrears to pay: -2 + 0 + 1.0 - 1.0 = -2.0.
    """
    found = ann.what_if(
        events(
            """
events:
  - event: ledger
    name: put_off
    en: the instalment of April is put off
    append:
      instalments:
        - {account_id: A1, instalment_no: 3, due_date: 2024-04-20, amount_due: 100, known_on: 2024-04-15}
  - {event: standard, name: pay_arrears}
"""
        )
    )
    assert [e.name for e in found.idle] == ["pay_arrears"]
    assert found.after.log_odds == pytest.approx(-2.0, abs=1e-12)
    assert found.clause("zh") == "the instalment of April is put off"


def test_nothing_of_a_file_is_proposed(ann, events):
    with pytest.raises(ConfigError, match="nothing that a customer can do"):
        search_smallest(ann, 0.1, events("events: [{event: payment, amount: 40, on: 2024-04-15}]"))


def test_the_example_of_the_documentation_has_one_of_each():
    assert [event.name.partition(":")[0] for event in load_events(EXAMPLE)] == [
        "payment", "income", "borrowing", "limit", "pay_next_dues", "holiday",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("events: []", "events"),
        ("event: payment", "event: unknown key"),
        ("events: [{event: paymnt, amount: 1, on: 2024-04-15}]", "payment"),
        ("events: [{event: payment, amount: '1', on: 2024-04-15}]", "events.0.payment.amount"),
        ("events: [{event: payment, amount: 0, on: 2024-04-15}]", "other than 0"),
        ("events: [{event: payment, amount: 1}]", "events.0.payment.on"),
        ("events: [{event: payment, amount: 1, on: 2024-02-30}]", "YYYY-MM-DD"),
        ("events: [{event: payment, amount: 1, on: 2024-04-15, acount: A1}]", "acount: unknown key"),
        ("events: [{event: income, amount: -5, on: 2024-04-15}]", "events.0.income.amount"),
        ("events: [{event: standard, name: win_lottery}]", "names no event"),
        ("events: [{event: ledger, name: nothing}]", "edits nothing"),
        ("events: [{event: payment, amount: .inf, on: 2024-04-15}]", "events.0.payment.amount"),
    ],
)
def test_what_cannot_be_meant_is_said_with_its_place(events, text, said):
    with pytest.raises(ConfigError) as error:
        events(text)
    assert said in str(error.value)


def test_an_account_of_somebody_else_and_a_broken_row_are_refused(ann, events):
    with pytest.raises(ConfigError, match="none of the customer's"):
        ann.what_if(events("events: [{event: payment, amount: 1, on: 2024-04-15, account: B1}]"))
    rows = "{event: ledger, name: x, append: {payments: [{account_id: A1, paid_on: 2024-04-15, amount: x}]}}"
    with pytest.raises(RecordsError, match="cannot be read"):
        ann.what_if(events(f"events: [{rows}]"))
