"""Random small ledgers, as hypothesis strategies and as seeded bulk.

Records are put together from Arrow tables sorted by key, as ``load_records`` leaves them; loading itself
is tested elsewhere and takes longer than building features of so few rows.
"""

import datetime as dt

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from overdue_ml.config import RecordsConfig
from overdue_ml.records import Records, ValidationReport

FIRST = dt.date(2023, 12, 20)
BEHAVIOURS = ["inactive", "paid_in_full", "paid_minimum", "late"]
SCHEMAS = {
    "customers": pa.schema(
        [("customer_id", pa.string()), ("education", pa.string()), ("branch", pa.int32())]
    ),
    "accounts": pa.schema(
        [
            ("account_id", pa.string()),
            ("customer_id", pa.string()),
            ("opened_on", pa.date32()),
            ("closed_on", pa.date32()),
            ("credit_limit_amount", pa.float64()),
        ]
    ),
    "statements": pa.schema(
        [
            ("account_id", pa.string()),
            ("statement_date", pa.date32()),
            ("due_date", pa.date32()),
            ("balance_amount", pa.float64()),
            ("credit_limit_amount", pa.float64()),
            ("minimum_due_amount", pa.float64()),
            ("paid_amount", pa.float64()),
            ("dpd", pa.int32()),
            ("payment_behaviour", pa.string()),
            ("known_on", pa.date32()),
        ]
    ),
}


def day(offset):
    return FIRST + dt.timedelta(days=offset)


def make_records(rows, attributes=("education", "branch")):
    """Records from lists of dicts, sorted by key."""
    keys = {
        "customers": ["customer_id"],
        "accounts": ["account_id"],
        "statements": ["account_id", "statement_date"],
    }
    tables = {}
    for name, schema in SCHEMAS.items():
        ordered = sorted(rows[name], key=lambda row, name=name: tuple(str(row[k]) for k in keys[name]))
        tables[name] = pa.Table.from_pylist(ordered, schema=schema)
    return Records(tables, {}, ValidationReport(0.001), RecordsConfig(attributes=list(attributes)))


def rows_of(records):
    """The lists of dicts that records were made of."""
    return {name: records.tables[name].to_pylist() for name in SCHEMAS}


# Quarters, so that sums are exact and equal values really meet.
def _quarters(low, high):
    return st.integers(low * 4, high * 4).map(lambda n: n / 4)


def _or_none(strategy, nones=1, values=4):
    return st.sampled_from([None] * nones + [...] * values).flatmap(
        lambda choice: st.none() if choice is None else strategy
    )


_statement = st.fixed_dictionaries(
    {
        "due_after": _or_none(st.integers(0, 40)),
        "balance_amount": _or_none(st.one_of(_quarters(-300, 2000), st.just(0.0)), 1, 6),
        "credit_limit_amount": _or_none(st.sampled_from([0.0, 100.0, 999.75]), 3, 1),
        "minimum_due_amount": _or_none(_quarters(0, 100)),
        "paid_amount": _or_none(st.one_of(_quarters(0, 900), st.just(0.0)), 1, 6),
        "dpd": _or_none(st.sampled_from([0, 0, 0, 1, 29, 30, 31, 60, 400]), 1, 6),
        "payment_behaviour": _or_none(st.sampled_from(BEHAVIOURS), 1, 6),
        "known_after": _or_none(st.one_of(st.just(0), st.integers(1, 60)), 3, 1),
    }
)
# Days 0 to 110 run over a year end, 29 February and months of 29, 30 and 31 days.
_account = st.fixed_dictionaries(
    {
        "opened": _or_none(st.integers(-500, 60)),
        "open_for": _or_none(st.integers(0, 400), 2, 1),
        "limit": _or_none(st.sampled_from([0.0, 500.0, 1000.25, 20000.0])),
        "statements": st.dictionaries(st.integers(0, 110), _statement, max_size=8),
    }
)
_customer = st.tuples(
    _or_none(st.sampled_from(["university", "others"])),
    _or_none(st.integers(1, 3)),
    st.lists(_account, max_size=3),
)


def _assemble(customers):
    rows = {"customers": [], "accounts": [], "statements": []}
    for c, (education, branch, accounts) in enumerate(customers):
        customer_id = f"C{c}"
        rows["customers"].append({"customer_id": customer_id, "education": education, "branch": branch})
        for a, account in enumerate(accounts):
            # Accounts of one customer do not stand together in the order of their ids.
            account_id, opened = f"A{a}{c}", account["opened"]
            closed = None
            if account["open_for"] is not None:
                closed = day((opened or -30) + account["open_for"])
            rows["accounts"].append(
                {
                    "account_id": account_id,
                    "customer_id": customer_id,
                    "opened_on": None if opened is None else day(opened),
                    "closed_on": closed,
                    "credit_limit_amount": account["limit"],
                }
            )
            for offset, drawn in account["statements"].items():
                statement = {k: v for k, v in drawn.items() if k not in ("due_after", "known_after")}
                due, known = drawn["due_after"], drawn["known_after"]
                statement["due_date"] = None if due is None else day(offset + due)
                statement["known_on"] = None if known is None else day(offset + known)
                rows["statements"].append(
                    {"account_id": account_id, "statement_date": day(offset)} | statement
                )
    return rows


def ledger():
    """Records of 1 to 4 customers with 0 to 3 accounts of 0 to 8 statements, nulls everywhere."""
    return st.lists(_customer, min_size=1, max_size=4).map(lambda drawn: make_records(_assemble(drawn)))


def as_of_dates(max_size=3):
    """Sorted dates, from before most events to after all of them."""
    return st.lists(st.integers(-20, 190), min_size=1, max_size=max_size, unique=True).map(
        lambda offsets: [day(offset) for offset in sorted(offsets)]
    )


def bulk(n_customers=150, n_statements=14, seed=7):
    """Seeded records of many customers with long, dense, unequal histories."""
    rng = np.random.default_rng(seed)
    customers = []
    for _ in range(n_customers):
        accounts = []
        for _ in range(rng.integers(1, 3)):
            offsets = rng.choice(np.arange(0, 420, 3), n_statements, replace=False)
            accounts.append(
                {
                    "opened": int(rng.integers(-2000, 0)),
                    "open_for": int(rng.integers(2000, 2400)) if rng.random() < 0.5 else None,
                    # Cents: their sum depends on the order of adding.
                    "limit": float(rng.integers(50_000, 300_000)) / 100,
                    "statements": {int(offset): _drawn_statement(rng) for offset in offsets},
                }
            )
        customers.append(("university", int(rng.integers(1, 4)), accounts))
    return make_records(_assemble(customers))


def _drawn_statement(rng):
    balance = float(rng.integers(-400, 8000)) / 4
    return {
        "due_after": 20,
        "balance_amount": balance,
        "credit_limit_amount": None,
        "minimum_due_amount": float(rng.integers(0, 100)),
        "paid_amount": float(rng.integers(0, 4000)) / 4 if rng.random() < 0.8 else 0.0,
        "dpd": int(rng.choice([0, 0, 0, 5, 29, 30, 31, 45, 60, 90])),
        "payment_behaviour": str(rng.choice(BEHAVIOURS)),
        "known_after": None,
    }
