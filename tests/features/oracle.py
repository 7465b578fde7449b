"""Every declared feature once more, in plain Python and plain loops: slow, obvious, and nothing shared.

It reads declarations (``Measure``, ``Feature``, ...) and the records' rows; it shares no line of code, no SQL
and no array with the package. A feature in SQL has its hand-written twin in ``SQL_TWINS``.
"""

import datetime as dt
import importlib.util
import math
import operator
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location(
    "settlement_oracle", Path(__file__).parents[1] / "records" / "settlement_oracle.py"
)
settlement = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(settlement)

EPOCH = dt.date(1970, 1, 1)

COMPARE = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq}


def known_on(statement):
    return statement.get("known_on") or statement["statement_date"]


def _flag(statement, behaviour):
    given = statement.get("payment_behaviour")
    return None if given is None else float(given == behaviour)


def _status(statement):
    fixed = {"inactive": -2.0, "paid_in_full": -1.0, "paid_minimum": 0.0}
    given = statement.get("payment_behaviour")
    if given in fixed:
        return fixed[given]
    dpd = statement.get("dpd")
    return None if dpd is None else float(math.ceil(dpd / 30))


def _limit(statement, account):
    own = statement.get("credit_limit_amount")
    return account.get("credit_limit_amount") if own is None else own


#: Columns of the instalment views from the facts of an instalment.
INSTALMENT_CELLS = {
    "amount_due": lambda fact: fact["amount_due"],
    "paid_amount": lambda fact: fact["paid_amount"],
    "shortfall_amount": lambda fact: fact["shortfall_amount"],
    "dpd": lambda fact: fact["dpd"],
    "days_to_due": lambda fact: max((fact["due_date"] - fact["as_of"]).days, 0),
    "days_early": lambda fact: fact["days_early"],
    "is_settled": lambda fact: fact["is_settled"],
    "unpaid": lambda fact: not fact["is_settled"],
    "is_partial": lambda fact: fact["paid_amount"] > 0 and not fact["is_settled"],
    "n_payments": lambda fact: fact["n_payments"],
    "technical_ratio": lambda fact: fact["technical_ratio"],
    "n_reversals": lambda fact: fact["n_reversals"],
    "is_first3": lambda fact: fact["instalment_no"] <= 3,
    "due_month_day": lambda fact: fact["due_date"].day,
    # Rounded: zero is zero.
    "due_month_sine": lambda fact: round(math.sin(2 * math.pi * (fact["due_date"].month - 1) / 12), 12),
    "due_month_cosine": lambda fact: round(math.cos(2 * math.pi * (fact["due_date"].month - 1) / 12), 12),
}


PAYMENT_CELLS = {
    "amount": lambda payment: payment["amount"],
    "paid_day": lambda payment: (payment["paid_on"] - EPOCH).days,
    "month_day": lambda payment: payment["paid_on"].day,
}


INCOME_CELLS = {
    "amount": lambda income: income["amount"],
    "received_day": lambda income: (income["received_on"] - EPOCH).days,
    "is_regular": lambda income: None if income["kind"] is None else income["kind"] in ("salary", "pension"),
    "is_revenue": lambda income: None if income["kind"] is None else income["kind"] == "revenue",
}


def told_on(report):
    return report["known_on"] or report["reported_on"]


def report_of(rows, as_of):
    """What a lender reported for one day, as of a date: the rows that became known last."""
    newest = max(told_on(r) for r in rows)
    rows = [r for r in rows if told_on(r) == newest]
    running = [r for r in rows if r["closed_on"] is None or r["closed_on"] > as_of]
    began = [r["opened_on"] for r in rows if r["opened_on"] and r["opened_on"] <= newest]
    on = rows[0]["reported_on"]

    def over(column, combine):
        there = [r[column] for r in running if r[column] is not None]
        # Of what is closed nothing is owed.
        there += [0] * (len(rows) - len(running))
        return combine(there) if there else None

    return {
        "reported_on": on,
        "balance_amount": over("balance_amount", math.fsum),
        "credit_limit_amount": over("credit_limit_amount", math.fsum),
        "monthly_due_amount": over("monthly_due_amount", math.fsum),
        "dpd": over("dpd", max),
        "is_open": float(bool(running)),
        "newest_days": (on - max(began)).days if began else None,
        "oldest_days": (on - min(began)).days if began else None,
        "report_days": (as_of - on).days,
    }


def cell(statement, account, column):
    """A column of a view for one event; None is null."""
    if "is_settled" in statement:
        return INSTALMENT_CELLS[column](statement)
    if "paid_on" in statement:
        return PAYMENT_CELLS[column](statement)
    if "told_on" in statement:
        return statement[column]
    if "received_on" in statement:
        return INCOME_CELLS[column](statement)
    if "reported_on" in statement:
        return statement[column]
    special = {
        "credit_limit_amount": lambda: _limit(statement, account),
        "status": lambda: _status(statement),
        "inactive": lambda: _flag(statement, "inactive"),
        "paid_in_full": lambda: _flag(statement, "paid_in_full"),
        "paid_minimum": lambda: _flag(statement, "paid_minimum"),
    }
    if column in special:
        return special[column]()
    assert column in ("balance_amount", "paid_amount", "minimum_due_amount", "dpd"), (
        f"teach the oracle the column {column}"
    )
    return statement.get(column)


def measured(measure, newest_first, account):
    """The measure's value on each known event, nearest first; None is null."""

    def at(column, index):
        return cell(newest_first[index], account, column) if index < len(newest_first) else None

    values = []
    for i in range(len(newest_first)):
        cells = [(coefficient, at(column, i + lag)) for coefficient, column, lag in measure.terms]
        if any(number is None for _, number in cells):
            values.append(None)
            continue
        value = 0.0
        for coefficient, number in cells:
            value += coefficient * float(number)
        if measure.times is not None:
            factor = at(measure.times[0], i + measure.times[1])
            if factor is None:
                values.append(None)
                continue
            value *= float(factor)
        if measure.over is not None:
            divisor = at(measure.over[0], i + measure.over[1])
            if divisor is None or not divisor > 0:
                values.append(None)
                continue
            value /= divisor
        if measure.clip is not None:
            value = min(max(value, measure.clip[0]), measure.clip[1])
        if measure.where is not None:
            value = float(COMPARE[measure.where[0]](value, measure.where[1]))
        values.append(value)
    return values


def in_window(window, newest_first, as_of):
    """How many of the nearest events the window holds."""
    if window.kind == "all":
        return len(newest_first)
    if window.kind == "events":
        return min(window.size, len(newest_first))
    # The latest `size` days with the as_of date as the last of them.
    first_day = as_of - dt.timedelta(days=window.size - 1)
    if newest_first and event_date(newest_first[0]) > as_of:
        last_day = as_of + dt.timedelta(days=window.size)
        return sum(event_date(e) <= last_day for e in newest_first)
    return sum(first_day <= event_date(e) <= as_of for e in newest_first)


def event_date(event):
    names = ("statement_date", "received_on", "reported_on", "paid_on", "told_on")
    return next((event[name] for name in names if name in event), None) or event["due_date"]


def _slope(points):
    """Least squares over (position, value), exact sums, centred first."""
    if len(points) < 2:
        return None
    x_mean = math.fsum(x for x, _ in points) / len(points)
    y_mean = math.fsum(y for _, y in points) / len(points)
    width = math.fsum((x - x_mean) ** 2 for x, _ in points)
    return math.fsum((x - x_mean) * (y - y_mean) for x, y in points) / width


def _streak(inside):
    if not inside:
        return None
    run = 0
    while run < len(inside) and inside[run] is not None and inside[run] > 0:
        run += 1
    return float(run)


def _since(inside, newest_first, as_of):
    for value, statement in zip(inside, newest_first, strict=False):
        if value is not None and value > 0:
            return float((as_of - event_date(statement)).days)
    return None


def statistic_of(feature, values, newest_first, as_of):
    """One statistic for one account; None is null."""
    name = feature.statistic
    if name in ("last", "lag"):
        steps = 0 if name == "last" else feature.lag
        return values[steps] if steps < len(values) else None
    extent = in_window(feature.window, newest_first, as_of)
    inside = values[:extent]
    known = [v for v in inside if v is not None]
    if name == "count":
        return float(len(known))
    if name == "streak":
        return _streak(inside)
    if name == "since":
        return _since(inside, newest_first, as_of)
    if not known:
        return None
    if name == "std":
        if len(known) < 2:
            return None
        mean = math.fsum(known) / len(known)
        return math.sqrt(math.fsum((v - mean) ** 2 for v in known) / len(known))
    if name == "slope":
        return _slope([(-float(i), v) for i, v in enumerate(inside) if v is not None])
    if name == "wmean":
        weights = [(0.5**i, v) for i, v in enumerate(inside) if v is not None]
        return math.fsum(w * v for w, v in weights) / math.fsum(w for w, _ in weights)
    simple = {
        "sum": lambda: math.fsum(known),
        "mean": lambda: math.fsum(known) / len(known),
        "share": lambda: math.fsum(known) / len(known),
        "max": lambda: max(known),
        "min": lambda: min(known),
        "first": lambda: known[-1],
    }
    return simple[name]()


def combined(rollup, per_account):
    """The customer's value from those of the accounts that have one."""
    there = [v for v in per_account if v is not None]
    if not there:
        return None
    mean = math.fsum(there) / len(there)
    return {"max": max(there), "min": min(there), "sum": math.fsum(there), "mean": mean}[rollup]


def _ages(accounts, as_of):
    return [(as_of - a["opened_on"]).days for a in accounts if a["opened_on"] and a["opened_on"] <= as_of]


def _open_count(accounts, as_of):
    if not accounts:
        return None
    return float(sum(a["closed_on"] is None or a["closed_on"] > as_of for a in accounts))


def _limits(accounts, as_of):
    there = [a["credit_limit_amount"] for a in accounts if a["credit_limit_amount"] is not None]
    return math.fsum(there) if there else None


def _given(column, combine, of=lambda account, as_of: True):
    """A statistic of a column of the accounts that have it; None if none has."""

    def twin(accounts, as_of):
        there = [a[column] for a in accounts if a[column] is not None and of(a, as_of)]
        return float(combine(there)) if there else None

    return twin


def _counted(of):
    """How many accounts are so; None without an account."""
    return lambda accounts, as_of: float(sum(of(a, as_of) for a in accounts)) if accounts else None


def _within(column, days):
    """Whether a date of an account lies in the latest days."""

    def is_within(account, as_of):
        on = account[column]
        return on is not None and 0 <= (as_of - on).days < days

    return is_within


def _products(accounts, as_of):
    if not accounts:
        return None
    return float(len({a["product"] for a in accounts if a["product"] is not None}))


def _mean_age(accounts, as_of):
    ages = _ages(accounts, as_of)
    return math.fsum(ages) / len(ages) if ages else None


def _is_open(account, as_of):
    return account["closed_on"] is None or account["closed_on"] > as_of


SQL_TWINS = {
    "account_mean_age_days": _mean_age,
    "account_opened_count_90d": _counted(_within("opened_on", 90)),
    "account_opened_count_360d": _counted(_within("opened_on", 360)),
    "account_closed_count": _counted(lambda a, as_of: not _is_open(a, as_of)),
    "account_closed_count_360d": _counted(_within("closed_on", 360)),
    "account_product_count": _products,
    "account_principal_amount_sum": _given("principal_amount", math.fsum),
    "account_principal_amount_max": _given("principal_amount", max),
    "account_principal_amount_open_sum": _given("principal_amount", math.fsum, _is_open),
    "account_rate_ratio_max": _given("annual_rate", max),
    "account_rate_ratio_min": _given("annual_rate", min),
    "account_term_months_max": _given("term_months", max),
    "account_term_months_min": _given("term_months", min),
    "account_oldest_age_days": lambda accounts, as_of: max(_ages(accounts, as_of), default=None),
    "account_newest_age_days": lambda accounts, as_of: min(_ages(accounts, as_of), default=None),
    "account_open_count": _open_count,
    "account_credit_limit_amount_sum": _limits,
}


class Ledger:
    """The rows of some records, asked for as known on a date."""

    def __init__(self, records):
        self.accounts = records.tables["accounts"].to_pylist()
        self.statements, self.customers, self.instalments, self.payments, self.incomes, self.borrowings = (
            records.tables[name].to_pylist() if name in records else []
            for name in ("statements", "customers", "instalments", "payments", "incomes", "borrowings")
        )
        config = records.config
        self.rules = config.posting_lag_days, config.tolerance_amount, config.tolerance_ratio
        self._values = {}
        self._facts = {}

    def facts(self, account, as_of):
        """The facts of an account's known instalments."""
        if as_of not in self._facts:
            rows = settlement.facts(self.accounts, self.instalments, self.payments, as_of, self.rules)
            self._facts[as_of] = [
                row | {"account_id": key[0], "instalment_no": key[1], "as_of": as_of}
                for key, row in rows.items()
            ]
        return [f for f in self._facts[as_of] if f["account_id"] == account["account_id"]]

    def events(self, view, account, as_of):
        """Known events of a view, nearest first; None if nothing is known of the account there."""
        if view == "statements":
            return self.known_statements(account, as_of) or None
        if view == "incomes":
            return self.known_incomes(account["customer_id"], as_of) or None
        if view == "borrowings":
            return self.known_reports(account["customer_id"], account["lender_id"], as_of) or None
        if view == "payments":
            return self.known_payments(account, as_of) or None
        if view == "versions":
            return self.known_versions(account, as_of) or None
        facts = sorted(self.facts(account, as_of), key=lambda f: (f["due_date"], f["instalment_no"]))
        if not facts:
            return None
        if view == "upcoming":
            return [f for f in facts if f["due_date"] > as_of]
        if view == "plan":
            return facts[::-1]
        return [f for f in facts if f["due_date"] <= as_of][::-1]

    def known_payments(self, account, as_of):
        """Nearest first; of those of one day the one known last, then the largest."""
        lag = dt.timedelta(self.rules[0])
        known = settlement.known_payments(self.payments, as_of, self.rules[0])
        return sorted(
            [p for p in known if p["account_id"] == account["account_id"]],
            key=lambda p: (
                p["paid_on"], max(p["paid_on"], p["known_on"] or p["paid_on"] + lag), p["amount"]
            ),
            reverse=True,
        )  # fmt: skip

    def known_versions(self, account, as_of):
        """What each version of an instalment changed of the one before, the latest first."""
        chains = {}
        for row in self.instalments:
            told = row["known_on"] or account["opened_on"] or dt.date.min
            if row["account_id"] == account["account_id"] and told <= as_of:
                chains.setdefault(row["instalment_no"], []).append((told, row["due_date"], row["amount_due"]))
        found = []
        for no, chain in chains.items():
            chain.sort()
            for before, (told, due, amount) in zip([None, *chain], chain, strict=False):
                change = {
                    "told_on": told,
                    "is_change": float(before is not None),
                    "put_off_days": 0 if before is None else (due - before[1]).days,
                    "amount_change": 0.0 if before is None else amount - before[2],
                }
                found.append(((told, no, due, amount), change))
        return [change for _, change in sorted(found, key=lambda pair: pair[0], reverse=True)]

    def groups(self, view, customer_id):
        """Whose events statistics are taken of: accounts, lenders elsewhere, or the customer."""
        if view == "incomes":
            return [{"customer_id": customer_id, "account_id": (view, customer_id)}]
        if view == "borrowings":
            lenders = {r["lender_id"] for r in self.borrowings if r["customer_id"] == customer_id}
            return [
                {"customer_id": customer_id, "lender_id": n, "account_id": (view, customer_id, n)}
                for n in lenders
            ]
        return [a for a in self.accounts if a["customer_id"] == customer_id]

    def known_incomes(self, customer_id, as_of):
        """Nearest first; of those of one day the one known last, then the largest."""
        rows = [
            r
            for r in self.incomes
            if r["customer_id"] == customer_id and (r["known_on"] or r["received_on"]) <= as_of
        ]
        return sorted(
            rows,
            key=lambda r: (r["received_on"], r["known_on"] or r["received_on"], r["amount"], r["kind"] or ""),
            reverse=True,
        )

    def known_reports(self, customer_id, lender_id, as_of):
        rows = [
            r
            for r in self.borrowings
            if (r["customer_id"], r["lender_id"]) == (customer_id, lender_id) and told_on(r) <= as_of
        ]
        days = sorted({r["reported_on"] for r in rows}, reverse=True)
        return [report_of([r for r in rows if r["reported_on"] == day], as_of) for day in days]

    def known_statements(self, account, as_of):
        rows = [
            s for s in self.statements if s["account_id"] == account["account_id"] and known_on(s) <= as_of
        ]
        return sorted(rows, key=lambda s: s["statement_date"], reverse=True)

    def known_accounts(self, customer_id, as_of):
        """An account is known from its opening or its first known statement, payment or instalment on."""
        own = [a for a in self.accounts if a["customer_id"] == customer_id]
        paid = {p["account_id"] for p in settlement.known_payments(self.payments, as_of, self.rules[0])}
        planned = {key[0] for key in settlement.known_versions(self.accounts, self.instalments, as_of)}
        return [
            a
            for a in own
            if (a["opened_on"] and a["opened_on"] <= as_of)
            or a["account_id"] in paid | planned
            or self.known_statements(a, as_of)
        ]

    def keys(self, as_of_dates):
        """(customer_id, as_of) of every customer of whom something is known, sorted."""
        ids = sorted({a["customer_id"] for a in self.accounts})
        return [(c, day) for c in ids for day in sorted(as_of_dates) if self.known_accounts(c, day)]

    def declared(self, feature, customer_id, as_of):
        """The value of a ``Feature`` and the largest number that went into it."""
        per_account, scale = [], 0.0
        for account in self.groups(feature.measure.view, customer_id):
            newest_first = self.events(feature.measure.view, account, as_of)
            if newest_first is None:
                per_account.append(None)
                continue
            key = (feature.measure, account["account_id"], as_of)
            if key not in self._values:
                self._values[key] = measured(feature.measure, newest_first, account)
            values = self._values[key]
            scale = max([scale, *(abs(v) for v in values if v is not None)])
            per_account.append(statistic_of(feature, values, newest_first, as_of))
        return combined(feature.combine, per_account), scale

    def sql(self, feature, customer_id, as_of):
        return SQL_TWINS[feature.name](self.known_accounts(customer_id, as_of), as_of)

    def attribute(self, feature, customer_id):
        value = next((c[feature.column] for c in self.customers if c["customer_id"] == customer_id), None)
        return None if value is None else str(value)


def derived(feature, left, right):
    """A ``DerivedFeature`` from its two parts; None is null."""
    if feature.operator == "total":
        there = [part for part in (left, right) if part is not None]
        return sum(there) if there else None
    if left is None or right is None or (feature.operator in ("ratio", "remainder") and not right > 0):
        return None
    value = {
        "ratio": lambda: left / right,
        "difference": lambda: left - right,
        "product": lambda: left * right,
        "remainder": lambda: left % right,
    }[feature.operator]()
    return value if feature.clip is None else min(max(value, feature.clip[0]), feature.clip[1])
