"""Labels from instalments in plain Python, row by row, on top of the settlement oracle: slow and obvious.

See ``overdue_ml.labels.instalments`` for the rules. Amounts are exact fractions; every question is asked by
settling the account from scratch, with the rows that count as known on the day of the question.
"""

import datetime as dt
from fractions import Fraction

DAY = dt.timedelta(1)


def bucket(dpd):
    """0 current, 1 to 4 for 1-30, 31-60, 61-90, 90+."""
    return 0 if not dpd else 4 if dpd > 90 else -(-dpd // 30)


class LabelOracle:
    """Verdicts of one ledger; ``settlement`` is the oracle of settlement, ``rules`` lag and tolerances."""

    def __init__(self, settlement, ledger, rules, *, posting_days=0, has_technical=True):
        self.settlement, self.ledger, self.rules = settlement, ledger, rules
        self.posting = max(posting_days, rules[0])
        self.lag, self.tolerance_amount, self.tolerance_ratio = rules
        self.has_technical = has_technical
        self.reach = max(self.known_on(row) for row in ledger["payments"])

    def known_on(self, payment):
        return max(payment["paid_on"], payment["known_on"] or payment["paid_on"] + self.lag * DAY)

    def state(self, account, as_of, wait):
        """Due date, amount due, shortfall, technical money by number; money is known ``wait`` days sooner."""
        accounts, instalments, payments = (
            [row for row in self.ledger[table] if row["account_id"] == account]
            for table in ("accounts", "instalments", "payments")
        )
        versions = self.settlement.known_versions(accounts, instalments, as_of)
        own = {no: version for (_, no), version in versions.items()}
        known = [row for row in payments if max(row["paid_on"], self.known_on(row) - wait * DAY) <= as_of]
        story = self.settlement.facts_of_account(own, known, as_of, 0, 0)
        return {
            no: (own[no][0], own[no][1], own[no][1] - s["paid"], Fraction(s["tech"], 10_000))
            for no, s in story.items()
        }

    def tolerance(self, due):
        exact = self.settlement.exact
        return max(exact(self.tolerance_amount), exact(self.tolerance_ratio) * due)

    def is_short(self, due, shortfall):
        return shortfall > self.tolerance(due)

    def oldest(self, accounts, as_of, wait):
        """Most days past due, 0 if none."""
        late = [
            (as_of - due_date).days
            for account in accounts
            for due_date, due, shortfall, _ in self.state(account, as_of, wait).values()
            if due_date < as_of and self.is_short(due, shortfall)
        ]
        return max(late, default=0)

    def answers(self, accounts, as_of, config):
        """``(answer, final on)`` of each instalment that is asked."""
        technical = config.technical_days if self.has_technical else 0
        wait = config.grace_days + config.overdue_dpd - 1
        for account in accounts:
            for no, (due_date, due, _, _) in self.state(account, as_of, 0).items():
                if not as_of < due_date <= as_of + config.horizon_days * DAY or due == 0:
                    continue
                deadline = due_date + wait * DAY
                then_date, then_due, shortfall, money = self.state(account, deadline, self.posting)[no]
                final_on = deadline + self.posting * DAY
                if then_date + wait * DAY > deadline:
                    yield "put_off", final_on
                elif not self.is_short(then_due, shortfall):
                    yield "on_time", final_on
                else:
                    later = self.state(account, deadline + technical * DAY, self.posting)[no][3]
                    rest = shortfall - max(later - money, 0)
                    excused = technical and not self.is_short(then_due, rest)
                    yield ("technical" if excused else "overdue"), final_on + technical * DAY

    def verdict(self, accounts, as_of, config):
        """``(verdict, matured on)`` of a customer who is known on the date."""
        past = self.oldest(accounts, as_of, 0)
        if config.population == "past_due":
            end = as_of + config.horizon_days * DAY
            if past == 0:
                return "nothing_due", as_of
            if bucket(past) == 4:
                return "already_overdue", as_of
            if end + self.posting * DAY > self.reach:
                return "immature", None
            worse = bucket(self.oldest(accounts, end, self.posting)) > bucket(past)
            return ("overdue" if worse else "on_time"), end + self.posting * DAY
        if config.population == "pre_due" and past > 0:
            return "already_overdue", as_of
        answers = list(self.answers(accounts, as_of, config))
        if not answers:
            return "nothing_due", as_of
        overdue = [on for answer, on in answers if answer == "overdue" and on <= self.reach]
        if overdue:
            return "overdue", min(overdue)
        if any(on > self.reach for _, on in answers):
            return "immature", None
        kinds = {answer for answer, _ in answers}
        verdict = next((kind for kind in ("technical", "on_time") if kind in kinds), "nothing_due")
        return verdict, max(on for _, on in answers)

    def labels(self, dates, config):
        """``{(customer, as_of): (verdict, matured on)}`` of the customers known on each date."""
        found = {}
        for customer in sorted({row["customer_id"] for row in self.ledger["accounts"]}):
            own = [row for row in self.ledger["accounts"] if row["customer_id"] == customer]
            ids = [row["account_id"] for row in own]
            known = [row["opened_on"] for row in own if row["opened_on"]]
            known += [self.known_on(row) for row in self.ledger["payments"] if row["account_id"] in ids]
            for as_of in dates:
                if known and min(known) <= as_of:
                    found[customer, as_of] = self.verdict(ids, as_of, config)
        return found
