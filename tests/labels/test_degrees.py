"""Further degrees of lateness, by hand: one instalment of each account, due on 2024-03-10."""

import datetime as dt

import pandas as pd
import pytest

from overdue_ml.config import LabelsConfig
from overdue_ml.errors import ConfigError
from overdue_ml.labels import judge_degrees, label_customers, label_degrees, trainable
from overdue_ml.records import load_records

CONFIG = LabelsConfig(source="instalments", further_dpd=[7, 30])
#: Days after the due date on which each customer pays; None never.
PAID_AFTER = {"A": 0, "B": 3, "C": 20, "D": None, "E": 40}


def lender(until):
    """Customers who know a plan from January, and an account that shows how far the records reach."""
    due = dt.date(2024, 3, 10)
    ids = list(PAID_AFTER)
    accounts = {"account_id": [*ids, "Z"], "customer_id": [*ids, "Z"], "opened_on": dt.date(2024, 1, 1)}
    instalments = {"account_id": [*ids, "Z"], "instalment_no": 1, "amount_due": 100.0}
    instalments["due_date"] = [*[due] * len(ids), dt.date(2024, 1, 10)]
    paid = [(who, due + dt.timedelta(days)) for who, days in PAID_AFTER.items() if days is not None]
    # Small payments of Z, a day apart, so that the end of the records is no stray row.
    paid += [("Z", until - dt.timedelta(days)) for days in range(30)]
    paid = [row for row in paid if row[1] <= until]
    payments = {"account_id": [p[0] for p in paid], "paid_on": [p[1] for p in paid]}
    payments["amount"] = [1.0 if p[0] == "Z" else 100.0 for p in paid]
    tables = {"accounts": accounts, "instalments": instalments, "payments": payments}
    return load_records({name: pd.DataFrame(table) for name, table in tables.items()})


def judged(until, by=None):
    records = lender(until)
    labels = trainable(label_customers(records, "2024-02-29", CONFIG))
    labels = labels[labels.index.get_level_values("customer_id") != "Z"]
    degrees = judge_degrees(labels, label_degrees(records, "2024-02-29", CONFIG), by)
    ids = labels.index.get_level_values("customer_id")
    return {
        dpd: {name: "".join(ids[getattr(degree, name)]) for name in ("asked", "overdue", "judged")}
        for dpd, degree in degrees.items()
    }


def test_each_degree_asks_those_who_reached_the_one_before():
    # One day late: B to E. Seven: B has paid by then. Thirty: C as well; E pays on the fortieth day.
    found = judged(dt.date(2024, 6, 30))
    assert found[7] == {"asked": "BCDE", "overdue": "CDE", "judged": "ABCDE"}
    assert found[30] == {"asked": "CDE", "overdue": "DE", "judged": "ABCDE"}


def test_a_date_that_is_not_final_at_a_degree_counts_for_nobody():
    # On 25 March thirty days are not over: only that A and B fell short would be known.
    found = judged(dt.date(2024, 3, 25))
    assert found[7]["overdue"] == "CDE"
    assert found[30] == {"asked": "", "overdue": "", "judged": ""}


def test_what_was_final_too_late_is_left_out():
    late = judged(dt.date(2024, 6, 30), pd.Timestamp("2024-04-01"))
    # Seven days past due are certain on 16 March; thirty on 8 April.
    assert late[7]["asked"] == "BCDE"
    assert late[30]["judged"] == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"further_dpd": [30, 7]},
        {"further_dpd": [1]},
        {"further_dpd": [7, 7]},
        {"further_dpd": [400]},
        {"source": "labels", "further_dpd": [7]},
        {"population": "past_due", "further_dpd": [7]},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    from overdue_ml.config import build_config

    with pytest.raises(ConfigError, match="further_dpd"):
        build_config(LabelsConfig, {"source": "instalments"} | wrong, where="here")
