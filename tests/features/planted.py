"""A lender of six with one leak to be planted of each kind, small enough to work out by hand."""

import datetime as dt

import pandas as pd

from overdue_ml.config import RecordsConfig
from overdue_ml.features import FunctionFeature
from overdue_ml.records import load_records

AS_OF = "2024-03-31"
D = dt.date.fromisoformat

#: Day and amount of what each customer paid; 100 are due on 10 February, March and April.
_PAID = {
    "C1": [("2024-02-10", 100), ("2024-03-10", 100), ("2024-04-10", 100)],
    "C2": [("2024-02-10", 100), ("2024-03-20", 100), ("2024-04-30", 100)],
    "C3": [("2024-02-15", 100)],
    "C4": [("2024-02-10", 100), ("2024-03-05", 100)],
    "C5": [("2024-02-20", 50), ("2024-05-20", 50)],
    "C6": [("2024-02-09", 100), ("2024-03-09", 100)],
}


def frames():
    """Cards of C1 to C3, loans of C4 to C6."""
    ids = list(_PAID)
    payments = [
        {"payment_id": f"P{c[1]}{i}", "account_id": f"L{c[1]}", "paid_on": D(day), "amount": float(amount)}
        for c, paid in _PAID.items()
        for i, (day, amount) in enumerate(paid, 1)
    ]
    instalments = [
        {
            "account_id": f"L{c[1]}",
            "instalment_no": i,
            "due_date": D(f"2024-0{i + 1}-10"),
            "amount_due": 100.0,
        }
        for c in ids
        for i in (1, 2, 3)
    ]
    labels = [
        {"customer_id": c, "as_of_date": D(day), "is_overdue": late, "known_on": D(known)}
        for day, known, overdue in (
            ("2024-01-31", "2024-02-29", ("C3", "C5")),
            ("2024-02-29", "2024-04-01", ("C3",)),
            ("2024-03-31", "2024-05-01", ("C2", "C5")),
        )
        for c, late in ((c, c in overdue) for c in ids)
    ]
    borrowings = [
        {"customer_id": "C1", "reported_on": D("2024-03-10"), "known_on": D("2024-03-12"), "dpd": 5},
        {"customer_id": "C4", "reported_on": D("2024-02-20"), "known_on": None, "dpd": 0},
        # Reported in March, delivered in April.
        {"customer_id": "C4", "reported_on": D("2024-03-20"), "known_on": D("2024-04-09"), "dpd": 90},
    ]
    return {
        "customers": pd.DataFrame({"customer_id": ids}),
        "accounts": pd.DataFrame(
            {
                "account_id": [f"L{c[1]}" for c in ids],
                "customer_id": ids,
                "opened_on": [D("2024-01-05")] * 6,
                "product": ["card"] * 3 + ["loan"] * 3,
            }
        ),
        "instalments": pd.DataFrame(instalments),
        "payments": pd.DataFrame(payments),
        "borrowings": pd.DataFrame(borrowings).astype({"dpd": "Int64"}),
        "incomes": pd.DataFrame(
            {"customer_id": ids, "received_on": [D("2024-03-25")] * 6, "amount": [1000.0] * 6}
        ),
        "labels": pd.DataFrame(labels),
    }


def lender(**config):
    """The six as records."""
    return load_records(frames(), RecordsConfig(**config))


def by_sql(name, sql):
    """A feature in Python that asks DuckDB for ``value`` of ``k`` (customer_id, day)."""

    def function(records, keys):
        asked = keys.assign(n=range(len(keys)), day=keys["as_of_date"].dt.date)[["customer_id", "day", "n"]]
        with records.connect() as con:
            con.register("asked", asked)
            con.execute("CREATE TEMP VIEW k AS SELECT customer_id, CAST(day AS DATE) AS day, n FROM asked")
            found = con.sql(f"SELECT k.n, v.value FROM k LEFT JOIN ({sql}) v USING (customer_id, day)")
            return found.order("n").df()["value"]

    return FunctionFeature(name, function, "OWN", "days", "Planted.", version=sql)


def _payments(condition, value="sum(p.amount)"):
    return f"""SELECT k.customer_id, k.day, {value} AS value FROM k
        JOIN accounts a USING (customer_id) JOIN payments p USING (account_id)
        WHERE {condition} GROUP BY ALL"""


def _by_product(condition):
    return f"""SELECT k.customer_id, k.day, any_value(r.rate) AS value FROM k
        JOIN accounts a ON a.customer_id = k.customer_id AND a.opened_on <= k.day JOIN (
            SELECT k.day, a.product, avg(l.is_overdue::INT) AS rate
            FROM (SELECT DISTINCT day FROM k) k CROSS JOIN labels l JOIN accounts a USING (customer_id)
            WHERE a.opened_on <= k.day AND {condition} GROUP BY ALL
        ) r ON r.day = k.day AND r.product = a.product GROUP BY ALL"""


def _reported(condition):
    return f"""SELECT k.customer_id, k.day, arg_max(b.dpd, b.reported_on) AS value FROM k
        JOIN borrowings b USING (customer_id) WHERE {condition} GROUP BY ALL"""


#: Each leak and the honest feature beside it.
LEAKS = {
    "eventual paid date": by_sql("own_leak_paid", _payments("true", "max(p.paid_on) - DATE '2024-03-10'")),
    "label window": by_sql("own_leak_window", _payments("p.paid_on > k.day AND p.paid_on <= k.day + 31")),
    "target encoding": by_sql("own_leak_target", _by_product("true")),
    "late known_on": by_sql("own_leak_bureau", _reported("b.reported_on <= k.day")),
}
HONEST = {
    "paid date so far": by_sql(
        "own_paid", _payments("p.paid_on <= k.day", "max(p.paid_on) - DATE '2024-03-10'")
    ),
    "window before": by_sql("own_window", _payments("p.paid_on <= k.day AND p.paid_on > k.day - 31")),
    "labels known": by_sql("own_target", _by_product("l.known_on <= k.day")),
    "reports known": by_sql("own_bureau", _reported("coalesce(b.known_on, b.reported_on) <= k.day")),
}
