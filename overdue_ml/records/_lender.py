"""One block of customers of the synthetic lender: everything drawn, nothing written.

The order of draws is fixed and no draw depends on an outcome, so a block is a function of the seed, its
number and the calendar alone, and the drift switch changes nothing before its date. The equations stand in
:mod:`overdue_ml.records.simulate`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

#: Months of income before the first month.
BEFORE = 3
#: Instalments fall due on these days: late enough for a reminder after the month end, early enough that
#: grace and posting are over before the next one.
DUE_DAYS = np.array([5, 10, 15, 20, 22])
_SLOTS, _LENDERS = 3, 2


@dataclass(frozen=True)
class Coefficients:
    """Coefficients of the lateness score in log-odds; see :func:`overdue_ml.records.simulate.simulate`."""

    intercept: float = -3.0
    latent_std: float = 0.6
    income_drop: float = 1.1
    burden: float = 0.7
    utilisation: float = 1.5
    dpd_elsewhere: float = 0.7
    payday_gap: float = 0.8
    last_late: float = 0.9
    late_memory: float = 1.2
    unpaid: float = 0.8
    age: float = -0.06
    reminder: float = -1.0

    def drifted(self) -> Coefficients:
        """The coefficients from the drift date on."""
        return replace(self, intercept=self.intercept + 0.5, utilisation=2.0 * self.utilisation)


@dataclass(frozen=True)
class Calendar:
    """Months 0, 1, ... of the records as days since 1970-01-01.

    Parameters
    ----------
    first : int
        Month 0, counted from January 1970.
    months : int
        Number of months with payments.
    grace_days : int
        Days after the due date on which a payment is not late yet.
    drift_month : int, optional
        First month with the drifted coefficients.
    """

    first: int
    months: int
    grace_days: int
    drift_month: int | None = None

    def day(self, month: Ints, day: Ints | int) -> Ints:
        """Days since 1970-01-01 of a day of a month."""
        months = (np.asarray(month) + self.first).astype("datetime64[M]")
        return np.asarray(months.astype("datetime64[D]").astype(np.int64) + day - 1)

    def month_end(self, month: int) -> int:
        """Last day of the month before ``month``: the as_of date of its instalments."""
        return int(self.day(np.array(month), 1)) - 1

    @property
    def last_day(self) -> int:
        """Last day of the records."""
        return self.month_end(self.months)


@dataclass(frozen=True)
class People:
    """Customers of a block, shape (n,); ``latent`` and ``forgetful`` are in no table."""

    female: Bools
    birth_day: Ints
    region: Ints
    income: Floats
    irregular: Bools
    payday: Ints
    latent: Floats
    forgetful: Bools


@dataclass(frozen=True)
class Incomes:
    """Amounts and days of income, shape (n, BEFORE + months); 0 is a month without income."""

    amount: Floats
    received: Ints
    known: Ints


@dataclass(frozen=True)
class Borrowings:
    """Reports on the debts elsewhere, shape (n, lenders, reports), and their month, shape (n, reports)."""

    month: Ints
    exists: Bools
    opened: Ints
    reported: Ints
    known: Ints
    limit: Floats
    balance: Floats
    monthly: Floats
    dpd: Ints


@dataclass(frozen=True)
class Loans:
    """Loans of a block, sorted by customer and opening, shape (a,); ``changed`` is 0 for no new plan."""

    customer: Ints
    slot: Ints
    open_month: Ints
    opened: Ints
    term: Ints
    principal: Floats
    rate: Floats
    product: Ints
    due_day: Ints
    unnamed: Bools
    changed: Ints
    last_no: Ints


@dataclass(frozen=True)
class Plan:
    """Instalments in every version, one row each, shape (rows,)."""

    loan: Ints
    number: Ints
    due: Ints
    principal: Floats
    interest: Floats
    known: Ints


@dataclass(frozen=True)
class Course:
    """What happened: by loan and month (a, months + 1), and by customer and month (n, months + 1)."""

    due_amount: Floats
    late: Bools
    days_late: Ints
    lag: Ints
    has_due: Bools
    arm: npt.NDArray[np.int8]
    p: Floats
    p_reminded: Floats
    p_not_reminded: Floats


def draw_people(rng: np.random.Generator, n: int, calendar: Calendar, latent_std: float) -> People:
    """Customers with their stable traits."""
    female = rng.random(n) < 0.5
    income = np.exp(rng.normal(np.log(4500.0), 0.45, n)) * np.where(female, 0.92, 1.0)
    return People(
        female=female,
        birth_day=calendar.month_end(0) - rng.integers(20 * 366, 70 * 365, n),
        region=rng.integers(0, 5, n),
        income=income,
        irregular=rng.random(n) < 0.2,
        payday=rng.choice(np.array([1, 5, 10, 15, 20, 25]), n),
        latent=rng.normal(0.0, latent_std, n),
        forgetful=rng.random(n) < 0.4,
    )


def draw_incomes(rng: np.random.Generator, people: People, calendar: Calendar) -> Incomes:
    """Monthly income: level x noise x (1 - depth of a shock that comes and goes)."""
    n, k = len(people.income), BEFORE + calendar.months
    moves = rng.random((n, k))
    shock = np.zeros((n, k), dtype=bool)
    shock[:, 0] = moves[:, 0] < 0.012 / 0.212  # the share in the long run, lest the rate drift by itself
    for month in range(1, k):
        shock[:, month] = np.where(shock[:, month - 1], moves[:, month] > 0.2, moves[:, month] < 0.012)
    depth = np.where(rng.random(n) < 0.3, 1.0, 0.6)
    noise = rng.normal(0.0, 1.0, (n, k)) * np.where(people.irregular, 0.35, 0.05)[:, None]
    amount = np.round(people.income[:, None] * np.exp(noise) * (1.0 - depth[:, None] * shock), 2)
    jitter = np.array([-1, 0, 0, 0, 0, 1, 2])[rng.integers(0, 7, (n, k))]
    anyday = rng.integers(1, 27, (n, k))
    day = np.where(people.irregular[:, None], anyday, np.clip(people.payday[:, None] + jitter, 1, 26))
    received = calendar.day(np.arange(-BEFORE, calendar.months), 1)[None, :] + day - 1
    return Incomes(amount, received, received + rng.integers(0, 2, (n, k)))


def draw_borrowings(rng: np.random.Generator, people: People, calendar: Calendar) -> Borrowings:
    """Quarterly reports on up to two debts elsewhere; every customer has its own quarter."""
    n, q = len(people.income), (calendar.months + BEFORE - 1) // 3 + 1
    shape = (n, _LENDERS, q)
    month = rng.integers(0, 3, n)[:, None] - BEFORE + 3 * np.arange(q)[None, :]
    day = rng.integers(3, 16, (n, q))
    reported = calendar.day(month, 1) + day - 1
    known = reported + rng.integers(2, 11, (n, q))
    start = calendar.month_end(0)
    old = start - rng.integers(120, 1500, n)
    new = start + rng.integers(-400, 30 * calendar.months, n)
    opened = np.stack([old, new], axis=1)
    wanted = rng.random((n, _LENDERS)) < np.array([0.65, 0.4])
    # A report states what it saw, and none comes after the records end.
    exists = wanted[:, :, None] & (opened[:, :, None] < reported[:, None, :])
    exists &= (month < calendar.months)[:, None, :]
    walk = rng.normal(-0.4, 1.0, (n, _LENDERS, 1)) + np.cumsum(rng.normal(0.0, 0.35, shape), axis=2)
    use = sigmoid(walk)
    limit = np.round(people.income[:, None] * rng.uniform(1.0, 5.0, (n, _LENDERS)), -2)
    balance = np.round(use * limit[:, :, None], 2)
    p_dpd = sigmoid(-4.2 + 0.8 * people.latent[:, None, None] + 1.5 * (use - 0.5))
    dpd = np.where(rng.random(shape) < p_dpd, rng.integers(1, 61, shape), 0)
    return Borrowings(
        month, exists, opened, reported, known, limit, balance, np.round(0.05 * balance, 2), dpd
    )


def draw_loans(rng: np.random.Generator, people: People, calendar: Calendar) -> Loans:
    """One to three loans a customer, opened from the month before the first one on."""
    n, months = len(people.income), calendar.months
    count = np.searchsorted([0.45, 0.8], rng.random(n), side="right") + 1
    when = rng.integers(-1, months - 1, (n, _SLOTS))
    when[:, 0] = np.where(rng.random(n) < 0.4, -1, when[:, 0])
    used = np.arange(_SLOTS)[None, :] < count[:, None]
    # Numbered in the order of opening: a loan's id says nothing about later ones.
    when = np.sort(np.where(used, when, months), axis=1)
    customer, slot = np.nonzero(used)
    open_month = when[customer, slot]
    a = len(customer)
    term = np.array([6, 12, 18, 24])[np.searchsorted([0.25, 0.65, 0.85], rng.random(a), side="right")]
    size = rng.normal(np.log(2.0), 0.4, a)
    principal = np.maximum(np.round(people.income[customer] * np.exp(size) * term / 12.0, -2), 500.0)
    changed, last_no = _new_plans(rng, term, people.latent[customer], months - 1 - open_month)
    return Loans(
        customer=customer,
        slot=slot,
        open_month=open_month,
        opened=calendar.day(open_month, rng.integers(1, 29, a)),
        term=term,
        principal=principal,
        rate=np.round(rng.uniform(0.06, 0.24, a), 3),
        product=rng.integers(0, 3, a),
        due_day=rng.choice(DUE_DAYS, a),
        unnamed=rng.random(a) < 0.4,
        changed=changed,
        last_no=last_no,
    )


def _new_plans(rng: np.random.Generator, term: Ints, latent: Floats, seen: Ints) -> tuple[Ints, Ints]:
    """Instalment after which a new plan begins (0: never) and the number of the last instalment."""
    after = 3 + np.floor(rng.random(len(term)) * np.maximum(term - 6, 1)).astype(np.int64)
    wanted = rng.random(len(term)) < 0.03 * np.exp(latent)
    changed = np.where(wanted & (term >= 12) & (after <= seen), after, 0)
    return changed, np.where(changed > 0, changed + -(-3 * (term - changed) // 2), term)


def _amortise(principal: Floats, rate: Floats, term: Ints) -> tuple[Ints, Ints, Floats, Floats]:
    """Annuities in one flat run: loan position, number from 1, principal and interest to the cent."""
    loan: Ints = np.repeat(np.arange(len(term)), term)
    number = np.arange(len(loan)) - np.repeat(np.cumsum(term) - term, term) + 1
    r = rate / 12.0
    due = np.round(principal * r / (1.0 - (1.0 + r) ** -term), 2)[loan]
    growth = (1.0 + r[loan]) ** number
    exact = principal * r / (1.0 - (1.0 + r) ** -term)
    # The rounded balances telescope, so that the principal parts sum to the loan exactly.
    balance = np.round(principal[loan] * growth - exact[loan] * (growth - 1.0) / r[loan], 2)
    balance[number == term[loan]] = 0.0
    before = np.concatenate([[0.0], balance[:-1]])
    before[number == 1] = principal
    part: Floats = np.round(before - balance, 2)
    interest = np.round(np.maximum(due - part, 0.0), 2)
    return loan, number, part, np.asarray(interest, dtype=np.float64)


def make_plan(loans: Loans, calendar: Calendar) -> Plan:
    """The plan as signed, and the new plan of loans that were restructured, sorted by key."""
    loan, number, part, interest = _amortise(loans.principal, loans.rate, loans.term)
    who = np.flatnonzero(loans.changed)
    after = loans.changed[who]
    paid = np.bincount(loan, weights=np.where(number <= loans.changed[loan], part, 0.0))[who]
    left = np.round(loans.principal[who] - paid, 2)
    row, new_number, new_part, new_interest = _amortise(left, loans.rate[who], loans.last_no[who] - after)
    all_loan = np.concatenate([loan, who[row]])
    all_number = np.concatenate([number, new_number + after[row]])
    signed = np.concatenate([np.ones(len(loan), bool), np.zeros(len(row), bool)])
    agreed = calendar.day(loans.open_month + loans.changed, 26)
    order = np.lexsort((~signed, all_number, all_loan))
    all_loan, all_number, signed = all_loan[order], all_number[order], signed[order]
    return Plan(
        loan=all_loan,
        number=all_number,
        due=calendar.day(loans.open_month[all_loan] + all_number, loans.due_day[all_loan]),
        principal=np.concatenate([part, new_part])[order],
        interest=np.concatenate([interest, new_interest])[order],
        known=np.where(signed, loans.opened[all_loan], agreed[all_loan]),
    )


def due_by_month(plan: Plan, loans: Loans, calendar: Calendar) -> Floats:
    """Amount due by loan and month, (a, months + 1), in the version in force; 0 if nothing is due."""
    amounts = np.zeros((len(loans.term), calendar.months + 1))
    month = loans.open_month[plan.loan] + plan.number
    seen = np.flatnonzero((month >= 0) & (month <= calendar.months))
    # Later versions stand after earlier ones, and the last assignment holds.
    amounts[plan.loan[seen], month[seen]] = np.round(plan.principal + plan.interest, 2)[seen]
    return amounts


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x))."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


@dataclass
class _State:
    """What carries over from month to month."""

    income_level: Floats
    late_memory: Floats
    last_late: Floats
    unpaid_until: Ints


def _report_state(reports: Borrowings, month: int) -> tuple[Floats, Floats, Floats]:
    """Utilisation, monthly dues and a dpd flag of each customer in the last report before ``month``."""
    q = (month - 1 - reports.month[:, 0]) // 3
    rows = np.arange(len(q))
    there = reports.exists[rows, :, q]
    limit = (there * reports.limit).sum(axis=1)
    balance = (there * reports.balance[rows, :, q]).sum(axis=1)
    use = np.where(limit > 0, balance / np.maximum(limit, 1.0), 0.4)
    monthly = (there * reports.monthly[rows, :, q]).sum(axis=1)
    return use, monthly, (there & (reports.dpd[rows, :, q] > 0)).any(axis=1).astype(float)


@dataclass(frozen=True)
class Block:
    """All draws of one block of customers."""

    calendar: Calendar
    people: People
    incomes: Incomes
    reports: Borrowings
    loans: Loans
    plan: Plan
    course: Course


def _scores(b: Block, state: _State, month: int, c: Coefficients) -> Floats:
    """Log-odds of lateness of each loan in ``month`` without a reminder, shape (a,)."""
    loans, cust = b.loans, b.loans.customer
    last_income = b.incomes.amount[:, month - 1 + BEFORE]
    drop = np.clip(np.log((state.income_level + 1.0) / (last_income + 1.0)), -0.5, 1.5)
    use, elsewhere, dpd = _report_state(b.reports, month)
    dues = np.bincount(cust, weights=b.course.due_amount[:, month], minlength=len(drop)) + elsewhere
    burden = np.clip(np.log((dues + 1.0) / (0.3 * state.income_level + 1.0)), -1.5, 1.5)
    customer = (
        c.intercept
        + b.people.latent
        + c.income_drop * drop
        + c.burden * burden
        + c.utilisation * (use - 0.4)
        + c.dpd_elsewhere * dpd
        + c.late_memory * state.late_memory
    )
    gap = np.where(b.people.irregular[cust], 15, (loans.due_day - b.people.payday[cust]) % 30)
    return np.asarray(
        customer[cust]
        + c.payday_gap * (gap / 30.0 - 0.5)
        + c.last_late * state.last_late
        + c.unpaid * (state.unpaid_until > b.calendar.month_end(month))
        + c.age * np.clip(month - 1 - loans.open_month, 0, 12)
    )


def _any_late(p: Floats, active: Bools, customer: Ints, n: int) -> Floats:
    """1 - prod(1 - p) over the loans of each customer with something due."""
    kept = np.where(active, np.log1p(-p), 0.0)
    return np.asarray(-np.expm1(np.bincount(customer, weights=kept, minlength=n)))


def _draw_severity(rng: np.random.Generator, loans: Loans, grace: int, months: int) -> Ints:
    """Days from the due date to the last payment if late, (a, months + 1)."""
    shape = (len(loans.term), months + 1)
    step, u = rng.random(shape), rng.random(shape)
    long = np.where(step < 0.65, 10 * u, np.where(step < 0.88, 10 + 20 * u, 30 + 70 * u))
    # Unnamed money pays the oldest debt first: there, one instalment is paid before the next one's money
    # can come, so that both readings of a payment agree.
    beyond = np.where(loans.unnamed[:, None], 12 * u**2, long)
    return np.asarray(grace + 1 + np.floor(beyond).astype(np.int64))


def run_months(rng: np.random.Generator, block: Block, c: Coefficients) -> None:
    """Walk through the months and fill ``block.course``: reminders, true probabilities, lateness."""
    cal, course, cust = block.calendar, block.course, block.loans.customer
    n = len(block.people.income)
    u_late, u_arm = rng.random(course.late.shape), rng.random(course.has_due.shape)
    state = _State(
        income_level=block.incomes.amount[:, 0].copy(),
        late_memory=np.zeros(n),
        last_late=np.zeros(len(cust)),
        unpaid_until=np.full(len(cust), -(10**6)),
    )
    state.income_level += 0.2 * (block.incomes.amount[:, 1] - state.income_level)
    for month in range(cal.months + 1):
        drifted = cal.drift_month is not None and month >= cal.drift_month
        now = c.drifted() if drifted else c
        active = course.due_amount[:, month] > 0
        score = _scores(block, state, month, now)
        p_no = sigmoid(score)
        p_yes = sigmoid(score + now.reminder * block.people.forgetful[cust])
        has_due = np.bincount(cust, weights=active, minlength=n) > 0
        first = np.bincount(cust, weights=active & (month - block.loans.open_month == 1), minlength=n) > 0
        eligible = has_due & (first | (state.late_memory > 0.05))
        treated = eligible & (u_arm[:, month] < 0.5)
        course.p_not_reminded[:, month] = _any_late(p_no, active, cust, n)
        course.p_reminded[:, month] = _any_late(p_yes, active, cust, n)
        both = 0.5 * (course.p_reminded[:, month] + course.p_not_reminded[:, month])
        course.p[:, month] = np.where(eligible, both, course.p_not_reminded[:, month])
        course.arm[:, month] = eligible.astype(np.int8) + treated
        late = active & (u_late[:, month] < np.where(treated[cust], p_yes, p_no))
        course.has_due[:, month], course.late[:, month] = has_due, late
        if month < cal.months:
            _carry_over(block, state, month, late)


def _carry_over(block: Block, state: _State, month: int, late: Bools) -> None:
    """Move the state to the end of ``month``."""
    loans, course = block.loans, block.course
    any_late = np.bincount(loans.customer, weights=late, minlength=len(state.late_memory)) > 0
    state.late_memory += 0.25 * (any_late - state.late_memory)
    state.last_late = late.astype(float)
    settled = block.calendar.day(np.full(len(late), month), loans.due_day)
    settled += course.days_late[:, month] + course.lag[:, month]
    state.unpaid_until = np.where(late, np.maximum(state.unpaid_until, settled), state.unpaid_until)
    state.income_level += 0.2 * (block.incomes.amount[:, month - 1 + BEFORE] - state.income_level)


def draw_block(rng: np.random.Generator, n: int, calendar: Calendar, c: Coefficients) -> Block:
    """Draw one block of ``n`` customers with all that happens to them."""
    people = draw_people(rng, n, calendar, c.latent_std)
    incomes = draw_incomes(rng, people, calendar)
    reports = draw_borrowings(rng, people, calendar)
    loans = draw_loans(rng, people, calendar)
    plan = make_plan(loans, calendar)
    by_loan, by_customer = (len(loans.term), calendar.months + 1), (n, calendar.months + 1)
    course = Course(
        due_amount=due_by_month(plan, loans, calendar),
        late=np.zeros(by_loan, dtype=bool),
        days_late=_draw_severity(rng, loans, calendar.grace_days, calendar.months),
        lag=np.searchsorted([0.6, 0.9], rng.random(by_loan), side="right"),
        has_due=np.zeros(by_customer, dtype=bool),
        arm=np.zeros(by_customer, dtype=np.int8),
        p=np.zeros(by_customer),
        p_reminded=np.zeros(by_customer),
        p_not_reminded=np.zeros(by_customer),
    )
    block = Block(calendar, people, incomes, reports, loans, plan, course)
    run_months(rng, block, c)
    return block
