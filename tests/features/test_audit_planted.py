"""Four leaks as they happen, each planted in a feature of the user's own, found and traced to its row."""

import datetime as dt
import importlib.util
from pathlib import Path

import pytest

from overdue_ml.features import (
    FunctionFeature,
    Registry,
    audit_leakage,
    available_features,
    build_features,
)
from overdue_ml.records import load_records, simulate

_spec = importlib.util.spec_from_file_location("planted", Path(__file__).with_name("planted.py"))
planted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(planted)
AS_OF, D = planted.AS_OF, dt.date.fromisoformat


@pytest.fixture(scope="module")
def lender():
    return planted.lender()


def found(records, feature, as_of=AS_OF):
    """The only finding of a registry with all the honest features and this one."""
    registry = Registry([*planted.HONEST.values(), feature])
    findings = audit_leakage(records, as_of, registry=registry)
    assert [f.feature for f in findings] == [feature.name]
    return findings[0]


def test_the_honest_features_are_clean(lender):
    registry = Registry(planted.HONEST.values())
    for as_of in ("2024-01-31", "2024-02-29", AS_OF, "2024-05-31"):
        assert audit_leakage(lender, as_of, registry=registry) == []
    frame = build_features(lender, AS_OF, registry=registry)
    # Of C4 only the report of February is known; of the card holders one in three was overdue in January.
    assert frame.loc[("C4", AS_OF), "own_bureau"] == 0
    assert frame.loc[("C1", AS_OF), "own_target"] == pytest.approx(1 / 3)


def test_the_eventual_paid_date(lender):
    """C1 paid on 10 March, and on 10 April, which nobody knew in March."""
    finding = found(lender, planted.LEAKS["eventual paid date"])
    # C1 31 days after the due date, C2 51, C5 71; the others pay no more.
    assert (finding.n_rows, finding.first_customer, finding.how) == (3, "C1", "deleted")
    assert (finding.with_future, finding.without_future) == (31, 0)
    assert finding.table == "payments"
    assert finding.row == {"payment_id": "P13", "account_id": "L1", "paid_on": D("2024-04-10")}
    assert finding.as_of == D(AS_OF)


def test_an_aggregate_over_the_label_window(lender):
    finding = found(lender, planted.LEAKS["label window"])
    # Within 31 days of 31 March pay C1 and C2.
    assert (finding.n_rows, finding.first_customer, finding.how) == (2, "C1", "deleted")
    assert (finding.table, finding.row["payment_id"]) == ("payments", "P13")


def test_a_target_encoding_over_all_time(lender):
    finding = found(lender, planted.LEAKS["target encoding"])
    # Cards: 3 of 9 labels, 1 of 3 known. Loans: 2 of 9, 1 of 3 known. So only the loans' mean moves.
    assert (finding.n_rows, finding.first_customer, finding.how) == (3, "C4", "deleted")
    assert (finding.with_future, finding.without_future) == (pytest.approx(2 / 9), pytest.approx(1 / 3))
    # Told of one more label of C4, on time, the mean becomes 1 / 4.
    assert finding.table == "labels"
    assert finding.row == {"customer_id": "C4", "as_of_date": D("2024-02-29")}


def test_a_bureau_row_with_a_late_known_on(lender):
    finding = found(lender, planted.LEAKS["late known_on"])
    assert (finding.n_rows, finding.first_customer, finding.how) == (1, "C4", "deleted")
    assert (finding.with_future, finding.without_future) == (90, 0)
    assert (finding.table, finding.row) == (
        "borrowings",
        {"customer_id": "C4", "reported_on": D("2024-03-20")},
    )


def test_a_payment_that_had_not_been_posted():
    """With a posting lag the payment of the day before is not known, whoever looks at paid_on."""
    records = planted.lender(posting_lag_days=3)
    registry = Registry([planted.HONEST["window before"]])
    # C2 paid on 20 March: posted on the 23rd.
    findings = audit_leakage(records, "2024-03-22", registry=registry)
    assert [(f.feature, f.how, f.table) for f in findings] == [("own_window", "deleted", "payments")]
    assert findings[0].row["payment_id"] == "P22"
    # On the 23rd no known payment is missing; one that is added on the 24th does not lie in the window.
    assert audit_leakage(records, "2024-03-23", registry=registry) == []


@pytest.mark.parametrize(
    ("kind", "table", "how"),
    [
        ("eventual paid date", "payments", "added"),
        ("target encoding", "labels", "added"),
        ("late known_on", "borrowings", "added"),
    ],
)
def test_a_leak_is_found_where_no_future_has_come_yet(lender, kind, table, how):
    """At the end of the records nothing can be deleted: the rows that the audit adds tell."""
    finding = found(lender, planted.LEAKS[kind], "2024-12-31")
    assert (finding.how, finding.table) == (how, table)
    assert set(finding.row) <= set(lender.columns(table))


def test_a_row_of_another_customer_is_named(lender):
    """C3's neighbours pay in April: the customer's own rows cannot say which row moved it."""
    everybody = planted.by_sql(
        "own_leak_all",
        "SELECT k.customer_id, k.day, (SELECT max(paid_on) - DATE '2024-01-01' FROM payments) AS value "
        "FROM k WHERE k.customer_id = 'C3'",
    )
    finding = found(lender, everybody)
    assert (finding.n_rows, finding.first_customer, finding.table) == (1, "C3", "payments")
    # Told of any one of the later payments the latest day moves; the first of them is C1's.
    assert finding.row["payment_id"] == "P13"


def test_no_row_is_named_where_only_two_together_move_it(lender):
    both = planted.by_sql(
        "own_leak_two",
        "SELECT k.customer_id, k.day, "
        + "(count(*) FILTER (WHERE p.paid_on > DATE '2024-04-01') >= 2)::INT AS value "
        + "FROM k CROSS JOIN payments p WHERE k.customer_id = 'C3' GROUP BY ALL",
    )
    finding = found(lender, both)
    assert (finding.how, finding.table, finding.row) == ("deleted", "payments", None)


def test_a_value_that_changes_without_a_row_coming_or_going_is_found(lender):
    """Deleting C5's late payment changes nothing here, as its amount is compared with what is due."""
    odd = planted.by_sql(
        "own_leak_odd",
        "SELECT k.customer_id, k.day, (count(*) FILTER (WHERE p.amount > 500) > 0)::INT AS value "
        "FROM k CROSS JOIN payments p WHERE p.payment_id NOT LIKE 'audit:%' GROUP BY ALL",
    )
    finding = found(lender, odd)
    assert (finding.how, finding.table, finding.row["payment_id"]) == ("perturbed", "payments", "P13")


def test_two_leaks_in_two_tables_are_told_apart(lender):
    registry = Registry([*planted.LEAKS.values(), *planted.HONEST.values()])
    findings = {
        f.feature: (f.table, f.first_customer) for f in audit_leakage(lender, AS_OF, registry=registry)
    }
    assert findings == {
        "own_leak_paid": ("payments", "C1"),
        "own_leak_window": ("payments", "C1"),
        "own_leak_target": ("labels", "C4"),
        "own_leak_bureau": ("borrowings", "C4"),
    }


def test_the_order_of_rows_changes_no_finding(lender):
    registry = Registry(planted.LEAKS.values())
    backwards = {name: table.take(list(range(table.num_rows))[::-1]) for name, table in lender.tables.items()}
    other = type(lender)(backwards, lender.rejected, lender.report, lender.config)
    plain, turned = (audit_leakage(r, AS_OF, registry=registry) for r in (lender, other))
    # Which of several rows is told first may differ, what moved may not.
    short = [[(f.feature, f.n_rows, f.first_customer, f.table) for f in found] for found in (plain, turned)]
    assert short[0] == short[1]


@pytest.mark.parametrize("as_of", ["2022-02-28", "2022-05-31", "2022-08-31"])
def test_nothing_leaks_on_a_synthetic_lender(as_of):
    tables = simulate(300, seed=3, months=8)
    tables.pop("truth")
    records = load_records(tables)
    assert available_features(records)
    assert audit_leakage(records, as_of) == []


def test_a_function_is_asked_row_by_row(lender):
    def ids(records, keys):
        assert list(keys.columns) == ["customer_id", "as_of_date"]
        return keys["customer_id"].str[1:].astype(float)

    feature = FunctionFeature("own_id", ids, "OWN", "count", "The id.")
    frame = build_features(lender, [AS_OF, "2024-02-29"], registry=Registry([feature]))
    assert list(frame["own_id"]) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
