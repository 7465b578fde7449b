"""Settlement as one DuckDB query, for joins and aggregates inside one's own database.

The rules stand in :mod:`overdue_ml.records.settlement`, which computes the same facts many times
faster by a compiled pass; here they are a lazy relation that leaves nothing behind.

*How it is computed.* A run of as_of dates in which no schedule changes and no payment is inserted before
one already known only appends to history. It is settled once, at its end, into moves: (instalment, day,
amount before, amount after). Facts at any T of the run sum the moves known by T. Accounts whose payments name
nothing, and accounts whose payments all fit what they name, have direct moves; only the
others need the grid of instalments x days. Amounts are whole units held as DOUBLE: sums are exact, hence the
same in any order and on any number of threads, as long as an account's total stays under 2**53 units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from overdue_ml.records._ledger import UNITS
from overdue_ml.records._ledger_reading import present_columns
from overdue_ml.records.dates import AsOf, parse_dates
from overdue_ml.records.settlement import SettlementRules

_ALWAYS, _NEVER = "DATE '0001-01-01'", "DATE '9999-12-31'"

# Every instalment version, with the first as_of date that sees it and the first that no longer does.
_VERSIONS = """
known_versions AS (
    SELECT k.a, i.instalment_no, CAST(i.due_date AS DATE) AS due_date, round(i.amount_due * {units}) AS due,
        coalesce({instalment_known}k.opened_on, {always}) AS known_on
    FROM instalments i JOIN keys k USING (account_id)
),
versions AS (
    SELECT v.*, t.as_of AS seen,
        lead(t.as_of, 1, {never}) OVER (
            PARTITION BY v.a, v.instalment_no ORDER BY v.known_on, v.due_date, v.due) AS unseen
    FROM known_versions v JOIN as_ofs t ON v.known_on > t.previous AND v.known_on <= t.as_of
)"""

_PAID = """
paid AS (
    SELECT q.*, t.as_of AS seen
    FROM (
        SELECT k.a, {paid_on} AS paid_on, round(p.amount * {units}) AS amount,
            {named} AS named, {technical} AS technical,
            greatest({paid_on}, coalesce({payment_known}{paid_on} + {lag})) AS known_on
        FROM payments p JOIN keys k USING (account_id)
    ) q JOIN as_ofs t ON q.known_on > t.previous AND q.known_on <= t.as_of
)"""

# A new run starts where a version is first seen or a payment is inserted into the days already told.
_RUNS = """
news AS (
    SELECT a, seen, bool_or(is_version) AS is_version, min(paid_on) AS first_paid, max(paid_on) AS last_paid
    FROM (
        SELECT DISTINCT a, seen, true AS is_version, CAST(NULL AS DATE) AS paid_on FROM versions
        UNION ALL
        SELECT a, seen, false, paid_on FROM paid
    ) GROUP BY a, seen
),
told AS (
    SELECT a, seen, is_version OR first_paid <= max(last_paid) OVER (
        PARTITION BY a ORDER BY seen ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS is_revision
    FROM news
),
numbered AS (
    SELECT a, seen, count(*) FILTER (WHERE is_revision) OVER (PARTITION BY a ORDER BY seen) AS run FROM told
),
runs AS MATERIALIZED (
    SELECT a, row_number() OVER () AS r, min(seen) AS run_from, max(seen) AS run_seen,
        lead(min(seen), 1, {never}) OVER (PARTITION BY a ORDER BY run) AS run_until
    FROM numbered GROUP BY a, run
)"""

# The instalments in force in each run (r), numbered (s) in order of payment, with the sum due before each.
_SCHEDULE = """
schedule AS MATERIALIZED (
    SELECT *, row_number() OVER (ORDER BY r, due_date, instalment_no) AS s, due - tolerance AS enough,
        coalesce(sum(due) OVER (PARTITION BY r ORDER BY due_date, instalment_no
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS due_before
    FROM (
        SELECT r.r, r.a, r.run_from, r.run_until, v.instalment_no, v.due_date, v.due,
            greatest({tolerance}, round(v.due * {ratio})) AS tolerance
        FROM runs r JOIN versions v ON r.a = v.a AND v.seen <= r.run_from AND v.unseen > r.run_from
    )
)"""

# Net sums by day and named instalment, what each named sum reaches, and the account's running total.
_DAYS = """
sums AS MATERIALIZED (
    SELECT r.r, s.s, p.paid_on, any_value(s.due) AS due, any_value(s.enough) AS enough,
        sum(p.amount) AS amount, greatest(max(p.seen), any_value(r.run_from)) AS seen,
        sum(p.amount) FILTER (WHERE p.amount > 0) AS received,
        sum(p.amount) FILTER (WHERE p.amount > 0 AND p.technical) AS technical
    FROM paid p JOIN runs r ON r.a = p.a AND p.seen <= r.run_seen
    LEFT JOIN schedule s ON s.r = r.r AND s.instalment_no = p.named
    GROUP BY r.r, s.s, p.paid_on
),
named AS MATERIALIZED (
    SELECT r, s, enough, paid_on, level BETWEEN 0 AND due AS fits,
        least(greatest(level - amount, 0), due) AS before, least(greatest(level, 0), due) AS after
    FROM (
        SELECT *, sum(amount) OVER (PARTITION BY s ORDER BY paid_on) AS level FROM sums WHERE s IS NOT NULL
    )
),
kinds AS (
    SELECT r, CASE WHEN {grid_only} THEN 'grid' WHEN NOT bool_or(is_named) THEN 'fifo'
        WHEN bool_and(fits) THEN 'named' ELSE 'grid' END AS kind
    FROM (
        SELECT r, false AS is_named, false AS fits FROM sums WHERE s IS NULL
        UNION ALL
        SELECT r, true, fits FROM named
    ) GROUP BY r
),
days AS MATERIALIZED (
    SELECT d.*, k.kind, sum(d.amount) OVER (PARTITION BY d.r ORDER BY d.paid_on) AS level
    FROM (
        SELECT r, paid_on, sum(amount) AS amount, max(seen) AS seen,
            sum(received) AS received, coalesce(sum(technical), 0) AS technical
        FROM sums GROUP BY r, paid_on
    ) d JOIN kinds k USING (r)
)"""

# The general case: rules 1 to 4 for every instalment at the end of every day with a payment.
_GRID = """
grid_days AS MATERIALIZED (
    SELECT d.r, d.paid_on, d.level,
        sum(coalesce(n.change, 0)) OVER (PARTITION BY d.r ORDER BY d.paid_on) AS named_total
    FROM days d LEFT JOIN (
        SELECT r, paid_on, sum(after - before) AS change FROM named GROUP BY r, paid_on
    ) n ON n.r = d.r AND n.paid_on = d.paid_on
    WHERE d.kind = 'grid'
),
grid AS (
    SELECT d.r, d.paid_on, d.level, d.named_total, s.s, s.due, s.due_before,
        coalesce(sum(n.after - n.before) OVER (PARTITION BY s.s ORDER BY d.paid_on), 0) AS named
    FROM grid_days d JOIN schedule s ON s.r = d.r
    LEFT JOIN named n ON n.s = s.s AND n.paid_on = d.paid_on
),
reserved AS (
    SELECT *, sum(named) OVER (PARTITION BY r, paid_on ORDER BY s ROWS UNBOUNDED PRECEDING) - named
        AS named_before
    FROM grid
),
filled AS (
    SELECT r, s, paid_on,
        least(greatest(level - named_before, 0), named)
        + least(greatest(level - named_total - (due_before - named_before), 0), due - named) AS after
    FROM reserved
),
grid_moves AS (
    SELECT r, s, paid_on, lag(after, 1, 0) OVER (PARTITION BY s ORDER BY paid_on) AS before, after FROM filled
)"""

_MOVES = """
all_moves AS (
    SELECT s.s, s.enough, d.paid_on, d.seen, d.received, d.technical,
        least(greatest(d.level - d.amount - s.due_before, 0), s.due) AS before,
        least(greatest(d.level - s.due_before, 0), s.due) AS after
    FROM days d JOIN schedule s ON s.r = d.r
        AND s.due_before < greatest(d.level, d.level - d.amount)
        AND s.due_before + s.due > least(d.level, d.level - d.amount)
    WHERE d.kind = 'fifo'
    UNION ALL
    SELECT n.s, n.enough, n.paid_on, d.seen, d.received, d.technical, n.before, n.after
    FROM named n JOIN days d ON d.r = n.r AND d.paid_on = n.paid_on AND d.kind = 'named'
    UNION ALL
    SELECT g.s, s.enough, g.paid_on, d.seen, d.received, d.technical, g.before, g.after
    FROM grid_moves g JOIN days d ON d.r = g.r AND d.paid_on = g.paid_on JOIN schedule s ON s.s = g.s
    WHERE g.after <> g.before
),
moves AS (SELECT *, after - before AS change FROM all_moves WHERE after <> before)"""

# The instalment's story so far at each as_of date that sees a move, starting from nothing paid.
_STEPS = """
steps AS (
    SELECT s, {seen} AS seen, sum(change) AS paid, sum(change) FILTER (WHERE change > 0) AS received,
        sum(round(change * m.technical / m.received)) FILTER (WHERE change > 0) AS technical,
        count(*) FILTER (WHERE change > 0) AS n_payments, count(*) FILTER (WHERE change < 0) AS n_reversals,
        max(paid_on) FILTER (WHERE change > 0) AS last_paid_on,
        max(paid_on) FILTER (WHERE after >= enough AND before < enough) AS covered_on
    FROM moves m GROUP BY ALL
)"""
_STATES_OF_ONE_DATE = """
states AS (
    SELECT schedule.s, {always} AS seen, {never} AS unseen, coalesce(paid, 0) AS paid,
        received, technical, coalesce(n_payments, 0) AS n_payments,
        coalesce(n_reversals, 0) AS n_reversals, last_paid_on, covered_on
    FROM schedule LEFT JOIN steps USING (s)
)"""
_STATES_OF_MANY_DATES = """
states AS (
    SELECT s, seen, lead(seen, 1, {never}) OVER story AS unseen,
        sum(paid) OVER story AS paid, sum(received) OVER story AS received,
        sum(technical) OVER story AS technical, sum(n_payments) OVER story AS n_payments,
        sum(n_reversals) OVER story AS n_reversals, max(last_paid_on) OVER story AS last_paid_on,
        max(covered_on) OVER story AS covered_on
    FROM (FROM steps UNION ALL SELECT s, {always}, 0, 0, 0, 0, 0, NULL, NULL FROM schedule)
    WINDOW story AS (PARTITION BY s ORDER BY seen)
)"""

_FACTS = """
settled AS (
    SELECT s.a, s.instalment_no, s.due_date, s.due, x.* EXCLUDE (s, seen, unseen),
        greatest(s.run_from, x.seen) AS fact_from, least(s.run_until, x.unseen) AS fact_until,
        x.paid >= s.enough AS is_settled,
        CASE WHEN x.paid >= s.enough THEN coalesce(x.covered_on, s.due_date) END AS settled_on
    FROM schedule s JOIN states x USING (s)
)
SELECT k.account_id, f.instalment_no, t.as_of AS as_of_date, f.due_date, f.due / {units} AS amount_due,
    f.paid / {units} AS paid_amount, (f.due - f.paid) / {units} AS shortfall_amount,
    f.is_settled, f.settled_on,
    greatest(coalesce(f.settled_on, t.as_of) - f.due_date, 0)::INTEGER AS dpd,
    greatest(coalesce(f.due_date - f.settled_on, 0), 0)::INTEGER AS days_early,
    f.n_payments::INTEGER AS n_payments, f.n_reversals::INTEGER AS n_reversals,
    {technical_ratio} AS technical_ratio, f.last_paid_on
FROM settled f JOIN as_ofs t ON t.as_of >= f.fact_from AND t.as_of < f.fact_until
JOIN keys k ON k.a = f.a"""


def settle(
    con: duckdb.DuckDBPyConnection,
    as_of: AsOf | Sequence[AsOf],
    rules: SettlementRules | None = None,
) -> duckdb.DuckDBPyRelation:
    """Settle the instalments registered in a DuckDB connection.

    Parameters
    ----------
    con : duckdb.DuckDBPyConnection
        Has ``accounts``, ``instalments`` and ``payments`` as tables or views that keep the contracts:
        amounts finite, amounts due not negative, one row an account. ``known_on`` in both tables and
        ``instalment_no`` and ``technical`` in payments may be absent or null.
    as_of : date, str or sequence of these
        The dates as of which the facts are told; repeated dates count once.
    rules : SettlementRules, optional
        Lag and tolerances; all zero otherwise.

    Returns
    -------
    duckdb.DuckDBPyRelation
        Lazy and unordered, for joins and aggregates in the same connection. One row for each
        (account_id, instalment_no, as_of_date) whose instalment is known at that date:

        - due_date, amount_due: of the version in force;
        - paid_amount, shortfall_amount: they add up to amount_due;
        - is_settled, settled_on: null until settled, never after the as_of date (but see the rules
          for an instalment that needs no payment: its due date);
        - dpd: (settled_on, else as_of_date) - due_date, never below 0, in days;
        - days_early: due_date - settled_on, never below 0; 0 while unsettled;
        - n_payments, n_reversals: days on which its paid amount rose, and fell;
        - technical_ratio: of the amount it received, the share that came on technical rows (of a day's
          incoming money the same share for each instalment); null without payments or such a column;
        - last_paid_on: the last day on which its paid amount rose.

    Raises
    ------
    RecordsError
        If a table or a column that settlement needs is missing.
    ConfigError
        If there is no as_of date.
    """
    return con.sql(_settlement_sql(present_columns(con), as_of, rules or SettlementRules()))


def _as_of_values(as_of: AsOf | Sequence[AsOf]) -> tuple[str, int]:
    """Rows of (as_of, previous as_of) and their number; what is known in between is first seen at as_of."""
    dates = [f"DATE '{day.isoformat()}'" for day in parse_dates(as_of)]
    previous = [f"{_ALWAYS} - 1", *dates[:-1]]
    rows = ", ".join(f"({day}, {before})" for day, before in zip(dates, previous, strict=True))
    return rows, len(dates)


def _settlement_sql(
    present: Mapping[str, set[str]],
    as_of: AsOf | Sequence[AsOf],
    rules: SettlementRules,
    *,
    grid_only: bool = False,
) -> str:
    """The query, one WITH from the records to the facts; ``grid_only`` takes no short cut (for tests)."""
    payments = present["payments"]
    has_technical = "technical" in payments
    technical_ratio = "f.technical / nullif(f.received, 0)" if has_technical else "CAST(NULL AS DOUBLE)"
    values, n_dates = _as_of_values(as_of)
    states = _STATES_OF_ONE_DATE if n_dates == 1 else _STATES_OF_MANY_DATES
    steps = [_VERSIONS, _PAID, _RUNS, _SCHEDULE, _DAYS, _GRID, _MOVES, _STEPS, states]
    keys = """
keys AS MATERIALIZED (
    SELECT account_id, row_number() OVER (ORDER BY account_id) AS a,
        CAST(accounts.opened_on AS DATE) AS opened_on
    FROM (SELECT DISTINCT account_id FROM instalments) LEFT JOIN accounts USING (account_id)
)"""
    query = f"WITH as_ofs(as_of, previous) AS (VALUES {values}),{keys}," + ",".join(steps) + "," + _FACTS
    return query.format(
        units=UNITS,
        seen="seen" if n_dates > 1 else _ALWAYS,
        always=_ALWAYS,
        never=_NEVER,
        lag=rules.posting_lag_days,
        tolerance=round(rules.tolerance_amount * UNITS),
        ratio=repr(float(rules.tolerance_ratio)),
        instalment_known="CAST(i.known_on AS DATE), " if "known_on" in present["instalments"] else "",
        payment_known="CAST(p.known_on AS DATE), " if "known_on" in payments else "",
        paid_on="CAST(p.paid_on AS DATE)",
        named="p.instalment_no" if "instalment_no" in payments else "NULL",
        technical="coalesce(p.technical, false)" if has_technical else "false",
        grid_only="true" if grid_only else "false",
        technical_ratio=technical_ratio,
    )
