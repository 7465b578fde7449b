"""The audit finds leaks that were planted, names them, and accuses nobody else."""

import datetime as dt

import pytest

import overdue_ml.features.build as build_module
from overdue_ml.features import (
    Feature,
    Measure,
    Registry,
    SqlFeature,
    audit_leakage,
    build_features,
    default_registry,
    last,
)
from overdue_ml.features.audit import forget_after

DPD = Measure("dpd", "statements", "days", "days past due", ((1.0, "dpd", 0),), direction=1)
HONEST = Feature("own", DPD, "max", last(6), "OWN")


def _sql(name, sql, table="statements", columns=("dpd",)):
    return SqlFeature(name, table, sql, "OWN", "days", "Planted.", frozenset(columns))


@pytest.mark.parametrize(
    "as_of", ["2024-01-01", "2024-03-31", "2024-05-01", "2024-06-30", "2024-07-14", "2024-07-15"]
)
def test_the_ledger_of_five_does_not_leak(five, as_of):
    assert audit_leakage(five.records, as_of) == []


def test_a_later_closing_date_does_not_leak(five):
    # On 30 April Ben's second account will close on 15 May: it counts as open, and the audit agrees.
    assert audit_leakage(five.records, "2024-04-30", ["account_open_count"]) == []
    assert (
        build_features(five.records, "2024-04-30", ["account_open_count"]).loc[("BEN", "2024-04-30")].item()
        == 2
    )


def test_sql_over_the_known_rows_cannot_see_the_future(five):
    """The rows under ``e`` are those known on the date, so that no aggregate of them can leak."""
    registry = Registry(
        [
            _sql("own_worst", "max(e.dpd)"),
            _sql("own_rows", "count(*)"),
            _sql("own_late_rows", "count(*) FILTER (WHERE e.dpd > 0)"),
            _sql("own_newest", "max(e.statement_date) - DATE '2020-01-01'"),
            _sql("own_closing", "max(as_of - closed_on)", "accounts", ("closed_on",)),
            _sql("own_opening", "min(as_of - opened_on)", "accounts", ("opened_on",)),
        ]
    )
    for as_of in ("2022-01-01", "2024-04-30", "2024-06-30"):
        assert audit_leakage(five.records, as_of, registry=registry) == []
    may = build_features(five.records, "2024-05-31", registry=registry)
    # Cat's late May statement is not among the rows before 15 July.
    assert may.loc[("CAT", "2024-05-31"), "own_worst"] == 0
    assert may.loc[("CAT", "2024-05-31"), "own_rows"] == 1


def test_a_subquery_on_the_raw_table_is_found(five):
    # On 31 March the highest dpd so far is 30; the table as a whole knows of 60.
    leaky = _sql("own_leak", "max(e.dpd) + (SELECT max(dpd) FROM statements)")
    findings = audit_leakage(five.records, "2024-03-31", registry=Registry([HONEST, leaky]))
    assert [f.feature for f in findings] == ["own_leak"]
    found = findings[0]
    # Of the three with statements by then only two have any: Ann 30 + 60, Ben 30 + 60 (null for the others).
    assert (found.n_rows, found.first_customer) == (2, "ANN")
    assert (found.with_future, found.without_future) == (90.0, 60.0)


def test_a_leak_of_one_customer_is_named(five):
    leaky = _sql(
        "own_leak",
        "max(e.dpd) + (SELECT count(*) FROM statements s WHERE s.account_id = 'C1') "
        "* max((e.account_id = 'C1')::INT)",
    )
    findings = audit_leakage(five.records, "2024-06-30", registry=Registry([leaky]))
    # Cat: 0 + 3 statements, of which 2 are known. Nobody else has rows that are known later.
    assert [(f.feature, f.n_rows, f.first_customer) for f in findings] == [("own_leak", 1, "CAT")]
    assert (findings[0].with_future, findings[0].without_future) == (3.0, 2.0)


def test_a_closing_date_from_the_raw_table_is_found(five):
    leaky = _sql(
        "own_leak",
        "count(*) FILTER (WHERE e.account_id IN (SELECT account_id FROM accounts WHERE closed_on IS NULL))",
        "accounts",
        ("closed_on",),
    )
    findings = audit_leakage(five.records, "2024-04-30", registry=Registry([leaky]))
    assert [(f.feature, f.first_customer, f.how) for f in findings] == [("own_leak", "BEN", "deleted")]
    assert (findings[0].table, findings[0].row) == ("accounts", {"account_id": "B2"})
    # From 15 May on no closing lies in the future: only another future tells, in which one comes.
    findings = audit_leakage(five.records, "2024-05-15", registry=Registry([leaky]))
    assert [(f.feature, f.first_customer, f.how) for f in findings] == [("own_leak", "ANN", "perturbed")]
    assert (findings[0].table, findings[0].row) == ("accounts", {"account_id": "A1"})


def test_a_pass_that_forgets_known_on_is_found(five, monkeypatch):
    """Statements taken at their date instead of the day they became known."""
    whole = build_module.statement_events

    def leaky(con, records, keys, columns):
        events = whole(con, records, keys, columns)
        return type(events)(**(vars(events) | {"known_day": events.event_day}))

    monkeypatch.setattr(build_module, "statement_events", leaky)
    findings = audit_leakage(five.records, "2024-06-30")
    assert {"repay_dpd_max_last6", "repay_late_share_last6"} <= {f.feature for f in findings}
    # Only Cat has a statement with a later known_on.
    deleted = [f for f in findings if f.how == "deleted"]
    assert {(f.n_rows, f.first_customer) for f in deleted} == {(1, "CAT")}
    late = {"account_id": "C1", "statement_date": dt.date(2024, 5, 31)}
    assert {(f.table, f.row["account_id"], f.row["statement_date"]) for f in deleted} == {
        ("statements", *late.values())
    }
    # The others move when such a statement is added.
    assert {f.how for f in findings} == {"deleted", "added"}


def test_forgetting_leaves_what_was_known(five):
    april = forget_after(five.records, dt.date(2024, 4, 30))
    accounts = april.frame("accounts").set_index("account_id")
    # Eve's account, opened nobody knows when, is known from June on; Ben's has not closed yet.
    assert sorted(accounts.index) == ["A1", "B1", "B2", "C1", "D1"]
    assert accounts["closed_on"].isna().all()
    statements = april.frame("statements")
    assert len(statements) == 4 + 2 + 2 + 1
    assert max(statements["statement_date"]) == dt.date(2024, 4, 30)
    assert "labels" not in april


def test_a_status_does_not_wait_for_a_dpd_of_the_future(ledgers):
    """A column that is empty so far is still a column: 'inactive' is -2 with or without a later dpd."""
    rows = {
        "customers": [{"customer_id": "C"}],
        "accounts": [{"account_id": "A", "customer_id": "C", "opened_on": ledgers.day(0)}],
        "statements": [
            {"account_id": "A", "statement_date": ledgers.day(10), "payment_behaviour": "inactive"},
            {"account_id": "A", "statement_date": ledgers.day(40), "payment_behaviour": "late", "dpd": 30},
        ],
    }
    records = ledgers.make_records(rows)
    assert audit_leakage(records, ledgers.day(10)) == []
    assert build_features(records, ledgers.day(10), ["repay_status_score_latest"]).iloc[0, 0] == -2


def test_an_account_is_known_from_its_opening_or_its_first_statement(ledgers):
    """Neither a statement before the opening nor an unknown opening day lets the future in."""
    rows = {
        "customers": [{"customer_id": "C"}],
        "accounts": [
            {"account_id": "A", "customer_id": "C", "opened_on": ledgers.day(50), "credit_limit_amount": 1.0},
            {"account_id": "B", "customer_id": "C", "opened_on": None, "credit_limit_amount": 10.0},
            {"account_id": "D", "customer_id": "C", "opened_on": None, "credit_limit_amount": 100.0},
        ],
        "statements": [
            {"account_id": "A", "statement_date": ledgers.day(10), "dpd": 30},
            {"account_id": "B", "statement_date": ledgers.day(30), "dpd": 0},
        ],
    }
    records = ledgers.make_records(rows)
    names = ["account_credit_limit_amount_sum", "account_oldest_age_days", "repay_dpd_latest"]
    dates = [ledgers.day(n) for n in (10, 29, 30, 60)]
    frame = build_features(records, dates, names)
    # A from day 10, B from day 30, D never: no opening day and no statement.
    assert list(frame[names[0]]) == [1, 1, 11, 11]
    # A's age counts from its opening only.
    assert list(frame[names[1]].fillna(-1)) == [-1, -1, -1, 10]
    for as_of in dates:
        assert audit_leakage(records, as_of) == []


def test_a_count_does_not_tell_that_statements_will_come(ledgers):
    """No count of 0 for an account whose first statement lies in the future."""
    rows = {
        "customers": [{"customer_id": "C"}],
        "accounts": [{"account_id": "A", "customer_id": "C", "opened_on": ledgers.day(0)}],
        "statements": [{"account_id": "A", "statement_date": ledgers.day(40), "dpd": 30}],
    }
    registry = Registry([Feature("own", DPD, "count", last(6), "OWN", rollup="min")])
    assert (
        audit_leakage(ledgers.make_records(rows), ledgers.day(10), ["own_dpd_count_last6"], registry=registry)
        == []
    )


def test_an_unknown_feature_is_refused(five):
    from overdue_ml.errors import ConfigError

    with pytest.raises(ConfigError, match="there is no feature 'nonsense_x'"):
        audit_leakage(five.records, "2024-06-30", ["nonsense_x"], registry=default_registry())
