"""However broken a table is: no row is lost, and report and rejected rows tell the same story."""

from __future__ import annotations

from collections import Counter

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.config import RecordsConfig
from overdue_ml.records import load_records

IDS = st.sampled_from(["a", "b", "c", "d", "007", "7", "", None])
DATES = st.sampled_from(
    ["2005-01-31", "2005-02-28", "2004-02-29", "2005-02-30", "9999-12-31", "0000-00-00", "", None, "soon"]
)
NUMBERS = st.sampled_from(["0", "1", "30.7", "-1", "1e400", "nan", "inf", "1,234.50", "1e3", "", None])
BEHAVIOURS = st.sampled_from(["late", "inactive", "Late", "", None])
BOOLEANS = st.sampled_from(["true", "0", "yes", "", None])


def rows(*columns: st.SearchStrategy[object]) -> st.SearchStrategy[list[tuple[object, ...]]]:
    return st.lists(st.tuples(*columns), min_size=1, max_size=12)


@given(
    accounts=rows(IDS, IDS, DATES, DATES, NUMBERS),
    statements=rows(IDS, DATES, DATES, NUMBERS, NUMBERS, BEHAVIOURS),
    labels=rows(IDS, DATES, BOOLEANS, DATES),
    customers=st.none() | rows(IDS, BEHAVIOURS),
)
@settings(max_examples=25, deadline=None)
def test_rows_in_are_rows_accepted_and_rejected(accounts, statements, labels, customers):
    names = {
        "accounts": ["account_id", "customer_id", "opened_on", "closed_on", "credit_limit_amount"],
        "statements": [
            "account_id",
            "statement_date",
            "due_date",
            "balance_amount",
            "dpd",
            "payment_behaviour",
        ],
        "labels": ["customer_id", "as_of_date", "is_overdue", "known_on"],
        "customers": ["customer_id", "education"],
    }
    content = {"accounts": accounts, "statements": statements, "labels": labels, "customers": customers}
    frames = {
        name: pd.DataFrame(cells, columns=names[name], dtype=object)
        for name, cells in content.items()
        if cells is not None
    }
    records = load_records(frames, RecordsConfig(), strict=False)

    results = {result.table: result for result in records.report.tables}
    assert set(results) == set(frames)
    for name, frame in frames.items():
        accepted, rejected = records.tables[name], records.rejected[name]
        assert results[name].rows == len(frame) == accepted.num_rows + rejected.num_rows
        assert (results[name].accepted, results[name].rejected) == (accepted.num_rows, rejected.num_rows)

        told = Counter(rule for row in rejected.column("rule").to_pylist() for rule in row.split("; "))
        counted = {r.rule: r for r in records.report.rules if r.table == name}
        assert set(told) <= set(counted), "every rejected row carries the name of a rule of the report"
        assert told == Counter({rule: r.rows_rejected for rule, r in counted.items() if r.rows_rejected})
        assert all(r.rows_checked == len(frame) for r in counted.values())
        assert all(bool(r.first_keys) == bool(r.rows_rejected) for r in counted.values())

        # What is kept is what came: accepted and rejected ids together are the ids of the input.
        ids = accepted.column(0).to_pylist() + rejected.column(0).to_pylist()
        assert Counter(ids) == Counter(value or None for value in frame.iloc[:, 0])
        key = [c for c in ("account_id", "statement_date", "customer_id", "as_of_date") if c in names[name]]
        key = key[:1] if name == "accounts" else key
        assert len(accepted.select(key).group_by(key).aggregate([])) == accepted.num_rows, "keys are unique"

    assert records.report.passed == all(
        r.accepted > 0 and r.rejected_share <= 0.001 for r in records.report.tables
    )
    known = set(records.tables["accounts"].column("account_id").to_pylist())
    assert set(records.tables["statements"].column("account_id").to_pylist()) <= known
