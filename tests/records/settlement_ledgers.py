"""Ledgers for the tests of settlement: rows ``{table: [row]}``, written by hand or drawn at random."""

import datetime as dt

import pyarrow as pa

SCHEMAS = {
    "accounts": pa.schema(
        [("account_id", pa.string()), ("customer_id", pa.string()), ("opened_on", pa.date32())]
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
            ("account_id", pa.string()),
            ("paid_on", pa.date32()),
            ("amount", pa.float64()),
            ("instalment_no", pa.int32()),
            ("known_on", pa.date32()),
            ("technical", pa.bool_()),
        ]
    ),
}
START = dt.date(2024, 2, 1)


def day(text):
    """Month-day of 2024 as a date."""
    return dt.date.fromisoformat(f"2024-{text}")


def tables(ledger):
    """Arrow tables of a ledger, which is ``{table: [row]}``."""
    return {name: pa.Table.from_pylist(ledger[name], schema=schema) for name, schema in SCHEMAS.items()}


def by_key(table):
    """``{(account, no, as_of): row}``; no key stands twice."""
    rows = {
        (row.pop("account_id"), row.pop("instalment_no"), row.pop("as_of_date")): row
        for row in table.to_pylist()
    }
    assert len(rows) == table.num_rows
    return rows


# Hand-written ledgers: one account "a", opened on 1 January, instalments of 100 unless said otherwise.


def hand(instalments, payments, opened="01-01"):
    """A ledger from tuples (no, due, amount[, known]) and (paid, amount[, named[, known[, technical]]])."""

    def padded(row, n):
        return tuple(row) + (None,) * (n - len(row))

    def date(text):
        return None if text is None else day(text)

    return {
        "accounts": [{"account_id": "a", "customer_id": "c", "opened_on": date(opened)}],
        "instalments": [
            {
                "account_id": "a",
                "instalment_no": no,
                "due_date": date(due),
                "amount_due": amount,
                "known_on": date(known),
            }
            for no, due, amount, known in (padded(row, 4) for row in instalments)
        ],
        "payments": [
            {
                "account_id": "a",
                "paid_on": date(paid),
                "amount": amount,
                "instalment_no": named,
                "known_on": date(known),
                "technical": technical,
            }
            for paid, amount, named, known, technical in (padded(row, 5) for row in payments)
        ],
    }


def random_ledger(rng, name="a"):
    """Rows of one account around 29 February 2024, with everything that can happen to it."""

    def when(low=0, high=70):
        return START + dt.timedelta(rng.randint(low, high))

    def cents():
        return rng.choice([rng.randint(1, 30_000), 10_000, 10_000, 5_000, rng.randint(9_900, 10_100)]) / 100

    opened = rng.choice([None, START, when(0, 30)])
    naming = rng.choice([0.0, 0.0, 1.0, 0.5])
    reversing = rng.choice([0.0, 0.0, 0.25])
    instalments, payments = [], []
    for no in range(1, rng.randint(0, 6) + 1):
        for version in range(rng.choice([1, 1, 1, 2, 3])):
            known = when() if version else rng.choice([None, None, None, when(0, 20)])
            amount = rng.choice([100.0, 100.0, cents(), 0.0 if rng.random() < 0.2 else 50.0])
            instalments.append((no, when(0, 90), amount, known))
    for _ in range(rng.randint(0, 10)):
        paid = when() if rng.random() < 0.8 else dt.date(2024, 2, 29)
        amount = cents()
        named = rng.randint(1, 7) if rng.random() < naming else None
        if payments and rng.random() < reversing:
            _, before, its_name, *_ = rng.choice(payments)
            amount = -abs(before) if rng.random() < 0.7 else -amount
            named = its_name if rng.random() < 0.7 else named
        elif naming == 1.0 and instalments and rng.random() < 0.8:
            named, _, amount, _ = rng.choice(instalments)
        known = rng.choice([None, None, paid, paid + dt.timedelta(rng.randint(-3, 40))])
        payments.append((paid, amount, named, known, rng.choice([None, False, True])))
    fields = {name: schema.names[1:] for name, schema in SCHEMAS.items()}
    return {
        "accounts": [{"account_id": name, "customer_id": "c", "opened_on": opened}],
        "instalments": [
            {"account_id": name} | dict(zip(fields["instalments"], row, strict=True)) for row in instalments
        ],
        "payments": [
            {"account_id": name} | dict(zip(fields["payments"], row, strict=True)) for row in payments
        ],
    }


def long_ledger(rng, name):
    """Rows of one account with 70 instalments and 400 payments."""

    def when():
        return START + dt.timedelta(rng.randint(0, 400))

    numbers = rng.sample(range(-5, 20_000), 70)
    instalments = [(no, when(), rng.randint(0, 500), None) for no in numbers]
    instalments += [(rng.choice(numbers), when(), rng.randint(0, 500), when()) for _ in range(20)]
    payments = []
    for _ in range(400):
        paid, amount = when(), rng.randint(-60, 100)
        known = paid + dt.timedelta(rng.randint(0, 60)) if rng.random() < 0.5 else None
        payments.append((paid, amount, rng.choice([None, *numbers[:9], 7]), known, rng.random() < 0.3))
    fields = {table: schema.names[1:] for table, schema in SCHEMAS.items()}
    return {
        "accounts": [{"account_id": name, "customer_id": "c", "opened_on": None}],
        "instalments": [
            {"account_id": name} | dict(zip(fields["instalments"], row, strict=True)) for row in instalments
        ],
        "payments": [
            {"account_id": name} | dict(zip(fields["payments"], row, strict=True)) for row in payments
        ],
    }


def merged(ledgers):
    """Several ledgers as one."""
    ledgers = list(ledgers)
    return {name: [row for ledger in ledgers for row in ledger[name]] for name in SCHEMAS}
