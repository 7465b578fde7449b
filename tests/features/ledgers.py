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
            ("product", pa.string()),
            ("principal_amount", pa.float64()),
            ("annual_rate", pa.float64()),
            ("term_months", pa.int32()),
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
    "instalments": pa.schema(
        [
            ("account_id", pa.string()),
            ("instalment_no", pa.int32()),
            ("due_date", pa.date32()),
            ("amount_due", pa.float64()),
            ("known_on", pa.date32()),
        ]
    ),
    "payments": pa.schema(
        [
            ("payment_id", pa.string()),
            ("account_id", pa.string()),
            ("paid_on", pa.date32()),
            ("amount", pa.float64()),
            ("instalment_no", pa.int32()),
            ("known_on", pa.date32()),
            ("technical", pa.bool_()),
        ]
    ),
    "incomes": pa.schema(
        [
            ("customer_id", pa.string()),
            ("received_on", pa.date32()),
            ("amount", pa.float64()),
            ("kind", pa.string()),
            ("known_on", pa.date32()),
        ]
    ),
    "borrowings": pa.schema(
        [
            ("customer_id", pa.string()),
            ("reported_on", pa.date32()),
            ("lender_id", pa.string()),
            ("balance_amount", pa.float64()),
            ("credit_limit_amount", pa.float64()),
            ("monthly_due_amount", pa.float64()),
            ("dpd", pa.int32()),
            ("opened_on", pa.date32()),
            ("closed_on", pa.date32()),
            ("known_on", pa.date32()),
        ]
    ),
}
KEYS = {
    "customers": ["customer_id"],
    "accounts": ["account_id"],
    "statements": ["account_id", "statement_date"],
    "instalments": ["account_id", "instalment_no", "known_on"],
    "payments": ["payment_id"],
    "incomes": ["customer_id", "received_on"],
    "borrowings": ["customer_id", "reported_on"],
}
#: Tables about the customer and not an account.
PEOPLE = ("customers", "accounts", "incomes", "borrowings")
#: Settings under which every ledger here is read: a payment without ``known_on`` posts a day later, and a
#: quarter more or less is none.
SETTINGS = {"posting_lag_days": 1, "tolerance_amount": 0.25}


def day(offset):
    return FIRST + dt.timedelta(days=offset)


def make_records(rows, attributes=("education", "branch")):
    """Records from lists of dicts, sorted by key; a table that ``rows`` does not name is not there."""
    tables = {}
    for name in SCHEMAS.keys() & rows.keys():
        ordered = sorted(rows[name], key=lambda row, name=name: tuple(str(row.get(k)) for k in KEYS[name]))
        tables[name] = pa.Table.from_pylist(ordered, schema=SCHEMAS[name])
    config = RecordsConfig(attributes=list(attributes), **SETTINGS)
    return Records(tables, {}, ValidationReport(0.001), config)


def rows_of(records):
    """The lists of dicts that records were made of."""
    return {name: table.to_pylist() for name, table in records.tables.items()}


def of_customers(rows, kept):
    """The rows of some customers."""
    own = {name: rows[name] for name in PEOPLE if name in rows}
    found = {name: [r for r in own[name] if r["customer_id"] in kept] for name in own}
    own = {row["account_id"] for row in found["accounts"]}
    for name in rows.keys() - found.keys():
        found[name] = [row for row in rows[name] if row["account_id"] in own]
    return found


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


def _customers(account, *people):
    return st.lists(
        st.tuples(
            _or_none(st.sampled_from(["university", "others"])),
            _or_none(st.integers(1, 3)),
            st.lists(account, max_size=3),
            *people,
        ),
        min_size=1,
        max_size=4,
    )


# Few amounts, so that payments often settle exactly, by a quarter less, or not at all.
_due = st.sampled_from([100.0, 100.0, 60.0, 33.25, 0.25, 0.0])
_instalment = st.tuples(st.integers(-20, 150), _due, _or_none(st.integers(-60, 60), 3, 1))
_version = st.tuples(st.integers(1, 6), st.integers(-20, 150), _due, st.integers(1, 160))
_payment = st.fixed_dictionaries(
    {
        "paid": st.integers(-30, 170),
        "amount": st.sampled_from([100.0, 100.0, 60.0, 99.75, 50.0, 33.25, 200.0, 0.25, -100.0, -60.0]),
        "instalment_no": _or_none(st.integers(1, 6), 1, 1),
        "known_after": _or_none(st.integers(-3, 40), 3, 1),
        "technical": st.sampled_from([None, False, False, True]),
    }
)
_terms = st.fixed_dictionaries(
    {
        "product": _or_none(st.sampled_from(["car", "phone"])),
        "principal_amount": _or_none(st.sampled_from([0.0, 400.25, 1000.0])),
        "annual_rate": _or_none(st.sampled_from([0.0, 0.125, 0.25])),
        "term_months": _or_none(st.sampled_from([6, 12])),
    }
)
_loan = st.fixed_dictionaries(
    {
        # Numbers follow due dates only where the draw does.
        "instalments": st.lists(_instalment, max_size=6),
        "versions": st.lists(_version, max_size=2, unique_by=lambda v: (v[0], v[3])),
        "payments": st.lists(_payment, max_size=6),
        "terms": _terms,
    }
)


# Days from a few, so that incomes, reports and closings meet on one day.
_income = st.fixed_dictionaries(
    {
        "received_on": st.one_of(st.integers(-60, 170), st.sampled_from([30, 60, 90])),
        "amount": st.sampled_from([0.0, 0.25, 900.0, 1000.0, 1000.0, 1250.5]),
        "kind": st.sampled_from([None, "salary", "salary", "pension", "revenue", "declared"]),
        "known_after": _or_none(st.integers(0, 40), 3, 1),
    }
)
_report = st.fixed_dictionaries(
    {
        "reported_on": st.sampled_from([-40, 10, 40, 40, 70, 100, 130]),
        "lender_id": _or_none(st.sampled_from(["L1", "L2"]), 1, 3),
        "balance_amount": _or_none(_quarters(-20, 900), 1, 6),
        "credit_limit_amount": _or_none(st.sampled_from([0.0, 500.0, 1000.25]), 1, 4),
        "monthly_due_amount": _or_none(_quarters(0, 90)),
        "dpd": _or_none(st.sampled_from([0, 0, 1, 30, 31, 90]), 1, 6),
        "opened_before": _or_none(st.sampled_from([0, 1, 40, 89, 90, 91, 400])),
        "closed_after": _or_none(st.integers(-30, 90), 2, 1),
        "known_after": _or_none(st.sampled_from([0, 1, 5, 31]), 2, 1),
    }
)


def _add_people(rows, customer_id, incomes, reports):
    for table in ("incomes", "borrowings"):
        rows.setdefault(table, [])
    for drawn in incomes:
        after, on = drawn["known_after"], drawn["received_on"]
        dates = {"received_on": day(on), "known_on": None if after is None else day(on + after)}
        given = {"amount": drawn["amount"], "kind": drawn["kind"]}
        rows["incomes"].append({"customer_id": customer_id} | given | dates)
    for drawn in reports:
        report = {k: v for k, v in drawn.items() if not k.endswith(("_before", "_after"))}
        on, before, closed = drawn["reported_on"], drawn["opened_before"], drawn["closed_after"]
        opened = None if before is None else on - before
        if closed is not None:
            closed = max(on + closed, on if opened is None else opened)
        after = drawn["known_after"]
        rows["borrowings"].append(
            report
            | {
                "customer_id": customer_id,
                "reported_on": day(on),
                "opened_on": None if opened is None else day(opened),
                "closed_on": None if closed is None else day(closed),
                "known_on": None if after is None else day(on + after),
            }
        )


def _assemble(customers):
    rows = {"customers": [], "accounts": [], "statements": []}
    for c, (education, branch, accounts, *people) in enumerate(customers):
        customer_id = f"C{c}"
        if people:
            _add_people(rows, customer_id, *people)
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
                | account.get("terms", {})
            )
            for offset, drawn in account["statements"].items():
                statement = {k: v for k, v in drawn.items() if k not in ("due_after", "known_after")}
                due, known = drawn["due_after"], drawn["known_after"]
                statement["due_date"] = None if due is None else day(offset + due)
                statement["known_on"] = None if known is None else day(offset + known)
                rows["statements"].append(
                    {"account_id": account_id, "statement_date": day(offset)} | statement
                )
            if "instalments" in account:
                _add_loan(rows, account_id, account)
    return rows


def _add_loan(rows, account_id, loan):
    for table in ("instalments", "payments"):
        rows.setdefault(table, [])
    known = {}
    for no, (due, amount, known_on) in enumerate(loan["instalments"], start=1):
        known[no] = {known_on}
        _add_version(rows, account_id, no, due, amount, known_on)
    for no, due, amount, known_on in loan["versions"]:
        if no in known and known_on not in known[no]:
            _add_version(rows, account_id, no, due, amount, known_on)
    for paid in loan["payments"]:
        after = paid["known_after"]
        rows["payments"].append(
            {
                "payment_id": f"P{len(rows['payments']):05d}",
                "account_id": account_id,
                "paid_on": day(paid["paid"]),
                "amount": paid["amount"],
                "instalment_no": paid["instalment_no"],
                "known_on": None if after is None else day(paid["paid"] + after),
                "technical": paid["technical"],
            }
        )


def _add_version(rows, account_id, no, due, amount, known_on):
    rows["instalments"].append(
        {
            "account_id": account_id,
            "instalment_no": no,
            "due_date": day(due),
            "amount_due": amount,
            "known_on": None if known_on is None else day(known_on),
        }
    )


def ledger(loans=False):
    """Records of 1 to 4 customers with 0 to 3 accounts of 0 to 8 statements, nulls everywhere.

    With ``loans`` each account also has 0 to 6 instalments, some in two versions, and 0 to 6 payments; and
    each customer 0 to 8 incomes and as many reports on debts elsewhere.
    """
    account = st.builds(lambda card, loan: card | loan, _account, _loan) if loans else _account
    people = (st.lists(_income, max_size=8), st.lists(_report, max_size=8)) if loans else ()
    return _customers(account, *people).map(lambda drawn: make_records(_tables(_assemble(drawn), loans)))


def _tables(rows, loans):
    return {"instalments": [], "payments": []} | rows if loans else rows


def as_of_dates(max_size=3):
    """Sorted dates, from before most events to after all of them."""
    return st.lists(st.integers(-20, 190), min_size=1, max_size=max_size, unique=True).map(
        lambda offsets: [day(offset) for offset in sorted(offsets)]
    )


def bulk(n_customers=150, n_statements=14, seed=7, n_instalments=0):
    """Seeded records of many customers with long, dense, unequal histories."""
    rng = np.random.default_rng(seed)
    loans = np.random.default_rng([seed, 1])
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
                | (_drawn_loan(loans, n_instalments) if n_instalments else {})
            )
            if n_instalments and loans.random() < 0.15:
                # Some are new, and some closed long ago.
                accounts[-1] |= {"opened": int(loans.integers(-90, 400)), "open_for": None}
            elif n_instalments and loans.random() < 0.15:
                accounts[-1] |= {"open_for": int(loans.integers(800, 2000))}
        people = _drawn_people(loans) if n_instalments else ()
        customers.append(("university", int(rng.integers(1, 4)), accounts, *people))
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


def _drawn_loan(rng, n_instalments):
    """Instalments about a month apart around the days 0 to 430; paid early, late, in parts, or never."""
    first, n = int(rng.integers(-60, 200)), int(rng.integers(n_instalments // 2, n_instalments + 1))
    loan = {"instalments": [], "versions": [], "payments": [], "terms": _drawn_terms(rng)}
    for no in range(1, n + 1):
        due, amount = first + 30 * no + int(rng.integers(0, 5)), float(rng.integers(2000, 90_000)) / 100
        loan["instalments"].append((due, amount, None))
        parts = int(rng.choice([0, 1, 1, 1, 2]))
        shares = [0.4, 0.6][:parts] if rng.random() < 0.5 else [1.0 / max(parts, 1)] * parts
        # Now and then the second part never comes.
        for share in shares[: int(rng.integers(1, 3))]:
            lag = int(rng.choice([-9, -4, -1, 0, 0, 1, 3, 8, 9, 20, 31, 45, 90]))
            loan["payments"].append(
                {
                    "paid": due + lag,
                    "amount": round(amount * share, 2),
                    "instalment_no": no if rng.random() < 0.9 else None,
                    "known_after": None,
                    "technical": bool(rng.random() < 0.2),
                }
            )
    if n > 2 and rng.random() < 0.3:
        loan["versions"].append((n, first + 30 * n + 12, 500.0, int(rng.integers(50, 300))))
    for no in (n - 1, n - 2) if n > 4 and rng.random() < 0.4 else ():
        due, amount, _ = loan["instalments"][no - 1]
        moved = due + int(rng.choice([-6, 0, 25]))
        loan["versions"].append((no, moved, round(0.8 * amount, 2), int(rng.integers(50, 400))))
    if loan["payments"] and rng.random() < 0.3:
        paid = loan["payments"][int(rng.integers(0, len(loan["payments"])))]
        loan["payments"].append(paid | {"paid": paid["paid"] + 4, "amount": -paid["amount"]})
    return loan


def _drawn_terms(rng):
    return {
        "product": str(rng.choice(["car", "phone", "house"])),
        "principal_amount": float(rng.integers(100_000, 900_000)) / 100,
        "annual_rate": float(rng.integers(50, 300)) / 1000,
        "term_months": int(rng.choice([6, 12, 24])),
    }


def _drawn_people(rng):
    """Incomes about a month apart, now and then none; reports of up to three lenders, quarter by quarter."""
    payday, level = int(rng.integers(0, 28)), float(rng.integers(90_000, 600_000)) / 100
    kinds = [["salary"], ["pension", "salary"], ["revenue", "declared", "salary"]][rng.integers(0, 3)]
    incomes, reports = [], []
    for month in range(-3, 15):
        if rng.random() < 0.15:
            continue
        incomes.append(
            {
                "received_on": 30 * month + payday + int(rng.integers(-2, 6)),
                "amount": round(level * float(rng.uniform(0.4, 1.3)), 2),
                "kind": str(rng.choice(kinds)),
                "known_after": int(rng.choice([0, 0, 1, 9])),
            }
        )
    for lender in ("L1", "L2", None)[: rng.integers(0, 4)]:
        opened, limit = int(rng.integers(-900, 300)), float(rng.integers(40_000, 900_000)) / 100
        ends = int(rng.integers(100, 420)) if rng.random() < 0.3 else None
        for quarter in range(5):
            on = 90 * quarter + int(rng.integers(0, 60))
            balance = round(limit * float(rng.random()), 2)
            for part in (0.37, 0.63)[: rng.integers(1, 3)] if on > opened else ():
                reports.append(
                    {
                        "reported_on": on,
                        "lender_id": lender,
                        "balance_amount": round(balance * part, 2),
                        "credit_limit_amount": round(limit * part, 2),
                        "monthly_due_amount": round(balance * part / 18, 2),
                        "dpd": int(rng.choice([0, 0, 0, 3, 17, 31, 62])),
                        "opened_before": on - opened - int(rng.integers(0, on - opened))
                        if part > 0.5
                        else on - opened,
                        "closed_after": None if ends is None else ends - on,
                        "known_after": int(rng.choice([1, 6])) if part > 0.5 else 6,
                    }
                )
    return incomes, reports
