"""Settlement in plain Python, day by day with exact fractions: slow, obvious, and sharing no code.

The contract, in words
----------------------
Known as of T: an instalment version from its known_on, else the account's opened_on, else always; a
payment from its known_on, else paid_on + lag, but never before paid_on. The version with the latest
known_on counts (tie: later due date, larger amount).

At the end of each day, with all known rows paid up to that day: the net sum of the rows naming an
instalment in force goes to it, at least nothing and at most its amount due. What then remains of the net
sum of all rows is the pool. A positive pool is handed out to what is short, oldest first. A negative
pool is taken back from the named money, newest first.

Settled as of T: short by no more than max(tolerance_amount, tolerance_ratio x amount due) at the end of T;
settled_on is the first day of the unbroken stretch of such days up to T, or the due date if no
payment was ever needed. A day on which the paid amount rose is a payment, one on which it fell a
reversal. Of what arrived on a day, each instalment got the same share of technical money.
"""

import datetime as dt
import math
from fractions import Fraction

DAY = dt.timedelta(1)
CENT_OF_CENT = 10_000


def exact(number):
    """The decimal number that was meant: 0.1 is a tenth."""
    return Fraction(str(number))


def known_versions(accounts, instalments, as_of):
    """``{(account, no): (due_date, amount)}`` in force as of a date."""
    opened = {row["account_id"]: row["opened_on"] for row in accounts}
    best = {}
    for row in instalments:
        known = row["known_on"] or opened.get(row["account_id"]) or dt.date.min
        if known > as_of:
            continue
        candidate = (known, row["due_date"], exact(row["amount_due"]))
        key = (row["account_id"], row["instalment_no"])
        if key not in best or candidate > best[key]:
            best[key] = candidate
    return {key: version[1:] for key, version in best.items()}


def known_payments(payments, as_of, lag):
    """The payment rows known as of a date."""
    return [
        row
        for row in payments
        if max(row["paid_on"], row["known_on"] or row["paid_on"] + dt.timedelta(lag)) <= as_of
    ]


def allocate(queue, rows):
    """Paid amount of each instalment; ``queue`` is ``[(no, amount due)]``, oldest first."""
    box = {}
    for no, due in queue:
        net = sum((exact(row["amount"]) for row in rows if row["instalment_no"] == no), Fraction(0))
        box[no] = min(max(net, Fraction(0)), due)
    pool = sum((exact(row["amount"]) for row in rows), Fraction(0)) - sum(box.values())
    for no, due in queue:
        if pool > 0:
            part = min(pool, due - box[no])
            box[no] += part
            pool -= part
    for no, _ in reversed(queue):
        if pool < 0:
            part = min(-pool, box[no])
            box[no] -= part
            pool += part
    return box


def facts_of_account(versions, rows, as_of, tolerance_amount, tolerance_ratio):
    """``{no: facts}`` of one account; ``versions`` is ``{no: (due_date, amount)}``."""
    order = sorted(versions, key=lambda no: (versions[no][0], no))
    queue = [(no, versions[no][1]) for no in order]
    allowed = {no: max(exact(tolerance_amount), exact(tolerance_ratio) * due) for no, due in queue}
    story = {
        no: {"paid": Fraction(0), "since": None, "rises": 0, "falls": 0, "tech": 0, "got": 0, "last": None}
        for no in order
    }
    for no, due in queue:
        if due <= allowed[no]:
            story[no]["since"] = versions[no][0]
    day = min((row["paid_on"] for row in rows), default=as_of)
    while day <= as_of:
        today = [row for row in rows if row["paid_on"] == day]
        incoming = sum(exact(row["amount"]) for row in today if row["amount"] > 0)
        technical = sum(exact(row["amount"]) for row in today if row["amount"] > 0 and row["technical"])
        box = allocate(queue, [row for row in rows if row["paid_on"] <= day])
        for no, due in queue:
            s, rise = story[no], box[no] - story[no]["paid"]
            if rise > 0:
                s["rises"] += 1
                s["last"] = day
                s["got"] += rise
                s["tech"] += math.floor(rise * CENT_OF_CENT * technical / incoming + Fraction(1, 2))
            if rise < 0:
                s["falls"] += 1
            s["paid"] = box[no]
            if due - box[no] > allowed[no]:
                s["since"] = None
            elif s["since"] is None:
                s["since"] = day
        day += DAY
    return story


def facts(accounts, instalments, payments, as_of, rules=(0, 0.0, 0.0)):
    """``{(account, no, as_of): row}`` for one date; ``rules`` is (lag, tolerance amount, tolerance ratio)."""
    lag, tolerance_amount, tolerance_ratio = rules
    versions = known_versions(accounts, instalments, as_of)
    known = known_payments(payments, as_of, lag)
    result = {}
    for account in sorted({key[0] for key in versions}):
        own = {no: version for (owner, no), version in versions.items() if owner == account}
        rows = [row for row in known if row["account_id"] == account]
        for no, s in facts_of_account(own, rows, as_of, tolerance_amount, tolerance_ratio).items():
            due_date, due = own[no]
            until = as_of if s["since"] is None else s["since"]
            result[account, no, as_of] = {
                "due_date": due_date,
                "amount_due": float(due),
                "paid_amount": float(s["paid"]),
                "shortfall_amount": float(due - s["paid"]),
                "is_settled": s["since"] is not None,
                "settled_on": s["since"],
                "dpd": max((until - due_date).days, 0),
                "days_early": 0 if s["since"] is None else max((due_date - until).days, 0),
                "n_payments": s["rises"],
                "n_reversals": s["falls"],
                "technical_ratio": float(s["tech"] / (s["got"] * CENT_OF_CENT)) if s["got"] else None,
                "last_paid_on": s["last"],
            }
    return result
