"""The compiled pass and the SQL against a slow oracle in plain Python, and the day arithmetic of both."""

import datetime as dt
import math
import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import overdue_ml
from overdue_ml.config import RecordsConfig
from overdue_ml.features import (
    ALL,
    AttributeFeature,
    DerivedFeature,
    Feature,
    Measure,
    Registry,
    SqlFeature,
    available_features,
    build_features,
    days,
    default_registry,
    last,
)
from overdue_ml.records import Records, ValidationReport

STATISTICS = [
    "last", "lag", "count", "sum", "mean", "max", "min", "std", "slope", "wmean", "share", "streak", "since",
    "first",
]  # fmt: skip


def _measure(name, terms, **options):
    return Measure(name, "statements", options.pop("unit", "ratio"), name, terms, **options)


MEASURES = [
    _measure("dpd", ((1.0, "dpd", 0),), unit="days", direction=1),
    _measure("usage", ((1.0, "balance_amount", 0),), over=("credit_limit_amount", 0)),
    _measure(
        "three",
        ((1.0, "balance_amount", 0), (-0.5, "balance_amount", 2), (2.0, "paid_amount", 1)),
        unit="amount",
    ),
    _measure("part", ((1.0, "paid_amount", 0),), over=("balance_amount", 1), clip=(0.0, 1.0), direction=-1),
    _measure("status", ((1.0, "status", 0),), where=(">=", 1.0), direction=1),
    _measure("small", ((1.0, "minimum_due_amount", 0),), where=("<", 50.0)),
    _measure("same", ((1.0, "dpd", 0), (-1.0, "dpd", 1)), where=("==", 0.0)),
    _measure("nothing", ((1.0, "paid_amount", 0),), over=("balance_amount", 1), where=("<=", 0.0)),
]
WINDOWS = [last(1), last(3), days(1), days(31), days(90), ALL]


def _everything():
    """Each statistic of each measure over each window, with a rollup in turn."""
    found = []
    for m, measure in enumerate(MEASURES):
        for s, statistic in enumerate(STATISTICS):
            for w, window in enumerate(WINDOWS):
                if statistic in ("last", "lag") and w > 0:
                    continue
                how = ("max", "min", "sum", "mean", None)[(m + s + w) % 5]
                lag = 2 if statistic == "lag" else 0
                found.append(Feature("own", measure, statistic, window, "OWN", lag=lag, rollup=how))
    return Registry(found)


EVERYTHING = _everything()


def _check(found, expected, scale, what):
    """Nulls exactly; numbers within 1e-12 of the largest number that went in.

    Not bit for bit: the oracle adds with ``math.fsum`` and centres first, the pass streams.
    """
    if expected is None:
        assert math.isnan(found), what
    else:
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-12 * scale), what


def _compare(oracle, records, dates, registry):
    names = available_features(records, registry)
    frame = build_features(records, dates, names, registry=registry)
    ledger = oracle.Ledger(records)
    keys = ledger.keys(dates)
    assert [(c, d.date()) for c, d in frame.index] == keys
    for row, (customer, as_of) in enumerate(keys):
        for name in names:
            feature, found = registry[name], frame[name].iloc[row]
            what = f"{name} of {customer} on {as_of}"
            if isinstance(feature, Feature):
                expected, scale = ledger.declared(feature, customer, as_of)
                # Sums of many accounts and events, and slopes, stay within this of one value.
                _check(found, expected, 64 * scale, what)
            elif isinstance(feature, SqlFeature):
                _check(found, ledger.sql(feature, customer, as_of), 0.0, what)
            elif isinstance(feature, DerivedFeature):
                # From the two parts as built, which were held against the oracle themselves: exact.
                parts = [frame[part].iloc[row] for part in (feature.left, feature.right)]
                parts = [None if math.isnan(part) else float(part) for part in parts]
                _check(found, oracle.derived(feature, *parts), 0.0, what)
            else:
                assert isinstance(feature, AttributeFeature)
                expected = ledger.attribute(feature, customer)
                assert (None if found != found else found) == expected, what


def _something_known(oracle, records, dates):
    return bool(oracle.Ledger(records).keys(dates))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_registered_feature_equals_the_oracle(oracle, ledgers, data):
    records, dates = data.draw(ledgers.ledger(loans=True)), data.draw(ledgers.as_of_dates())
    if _something_known(oracle, records, dates):
        _compare(oracle, records, dates, default_registry(["education", "branch"]))


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_every_statistic_window_and_rollup_equals_the_oracle(oracle, ledgers, data):
    records, dates = data.draw(ledgers.ledger()), data.draw(ledgers.as_of_dates(2))
    if _something_known(oracle, records, dates):
        _compare(oracle, records, dates, EVERYTHING)


def test_long_histories_equal_the_oracle(oracle, ledgers):
    records = ledgers.bulk(n_customers=4, n_statements=30, seed=3, n_instalments=8)
    for registry in (default_registry(["education"]), EVERYTHING):
        _compare(oracle, records, [ledgers.day(200), ledgers.day(450)], registry)


def test_every_feature_in_sql_has_a_twin_in_the_oracle(oracle):
    in_sql = {f.name for f in default_registry() if isinstance(f, SqlFeature)}
    assert in_sql <= set(oracle.SQL_TWINS), "write a twin of the new SQL feature into oracle.py"


def _single(statement_dates):
    """One account with dpd 1 on each of the dates."""
    accounts = pa.table(
        {"account_id": ["A"], "customer_id": ["C"], "opened_on": pa.array([dt.date(2019, 1, 1)])}
    )
    statements = pa.table(
        {
            "account_id": ["A"] * len(statement_dates),
            "statement_date": pa.array(statement_dates, pa.date32()),
            "dpd": pa.array([1] * len(statement_dates), pa.int32()),
        }
    )
    tables = {"accounts": accounts, "statements": statements}
    return Records(tables, {}, ValidationReport(0.001), RecordsConfig())


# Month ends with 28, 29, 30 and 31 days, 29 February and the day after it, two year ends.
_ENDS = "2023-02-28 2023-03-31 2023-04-30 2023-12-31 2024-01-01 2024-01-31 2024-02-29 2024-03-01 2024-03-31"
_ENDS += " 2024-12-31 2025-01-01 2025-02-28 2025-03-01"
ENDS = [dt.date.fromisoformat(text) for text in _ENDS.split()]
SIZES = (1, 27, 28, 29, 30, 31, 32, 59, 60, 61, 90, 91, 92, 365, 366)


def test_day_windows_equal_calendar_arithmetic():
    """A window of 30 days is never one of a month: in DuckDB ``INTERVAL 30 DAY`` and ``INTERVAL 1 MONTH``
    in one query were taken for the same expression, so days are whole numbers here."""
    start = dt.date(2023, 1, 1)
    daily = [start + dt.timedelta(days=n) for n in range(820)]
    dpd = MEASURES[0]
    registry = Registry(
        [Feature("own", dpd, "count", days(n), "OWN") for n in SIZES]
        + [Feature("own", dpd, "since", ALL, "OWN")]
        + [
            SqlFeature(
                "own_age_days", "accounts", "max(as_of - opened_on)", "OWN", "days", "Age.",
                frozenset({"opened_on"}),
            )
        ]
    )  # fmt: skip
    frame = build_features(_single(daily), ENDS, registry=registry)
    sparse = [d for d in daily if d.day == 31]
    lonely = build_features(_single(sparse), ENDS, registry=registry)
    for as_of in ENDS:
        row, other = frame.loc[("C", str(as_of))], lonely.loc[("C", str(as_of))]
        for n in SIZES:
            inside = [d for d in daily if as_of - dt.timedelta(days=n) < d <= as_of]
            assert row[f"own_dpd_count_{n}d"] == len(inside), (as_of, n)
            assert other[f"own_dpd_count_{n}d"] == len(set(inside) & set(sparse)), (as_of, n)
        before = [d for d in sparse if d <= as_of]
        assert other["own_dpd_since_all"] == (as_of - before[-1]).days
        assert row["own_age_days"] == (as_of - dt.date(2019, 1, 1)).days


def test_no_sql_interval_in_the_package():
    """DuckDB 1.4 to 2.0 mixes up ``INTERVAL 30 DAY`` and ``INTERVAL 1 MONTH``: see the test above."""
    package = Path(overdue_ml.__file__).parent
    written = re.compile(r"\bINTERVAL\b|\b[Ii]nterval\s+(?:'|\d|\(|\{)|\bto_(?:days|months|years)\(")
    found = [
        f"{path.name}:{number}"
        for path in sorted(package.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if written.search(line)
    ]
    assert found == []
