"""Views as sorted arrays: the same whatever the order of the rows that they are read from."""

import datetime as dt
from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from overdue_ml.features.build import epoch_days
from overdue_ml.features.dated import DATED_VIEWS, dated_events
from overdue_ml.features.people import PEOPLE_COLUMNS, people_events
from overdue_ml.features.views import known_customers
from overdue_ml.records import load_records, simulate

DAY = epoch_days([dt.date(2023, 11, 30)])


@pytest.fixture(scope="module")
def records():
    """The synthetic lender with debts that were closed and days on which everything happened twice."""
    tables = simulate(60, seed=11)
    del tables["truth"]
    loaded = load_records(tables)
    found = dict(loaded.tables)
    closed = pc.if_else(
        pc.equal(found["borrowings"]["dpd"], 0),
        pc.add(found["borrowings"]["reported_on"].cast(pa.int32()), 20),
        None,
    )
    found["borrowings"] = found["borrowings"].append_column(
        "closed_on", closed.cast(pa.int32()).cast(pa.date32())
    )
    incomes = found["incomes"]
    kinds = pa.array(np.where(np.arange(len(incomes)) % 2, "revenue", "salary"))
    twin = incomes.set_column(incomes.column_names.index("kind"), "kind", kinds)
    found["incomes"] = pa.concat_tables([incomes, twin])
    payments = found["payments"]
    same_day = payments.set_column(
        payments.column_names.index("amount"), "amount", pc.add(payments["amount"], 1.0)
    )
    found["payments"] = pa.concat_tables([payments, same_day])
    return replace(loaded, tables=found)


def events(records, view):
    keys = known_customers(records, DAY)
    if view in DATED_VIEWS:
        return keys, dated_events(records, keys, view, list(DATED_VIEWS[view].columns))
    return keys, people_events(records, keys.customer_ids, view, list(PEOPLE_COLUMNS[view]))


@pytest.mark.parametrize("view", [*DATED_VIEWS, *PEOPLE_COLUMNS])
def test_the_order_of_rows_is_of_no_account(records, view):
    keys, expected = events(records, view)
    rng = np.random.default_rng(0)
    mixed = {
        name: table.take(pa.array(rng.permutation(len(table)))) for name, table in records.tables.items()
    }
    mixed_keys, found = events(replace(records, tables=mixed), view)
    assert mixed_keys.customer_ids.tolist() == keys.customer_ids.tolist()
    assert len(expected.event_day) > 100
    for field in fields(expected):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        assert np.array_equal(one, other, equal_nan=True) if isinstance(one, np.ndarray) else one == other


@pytest.mark.parametrize("view", [*DATED_VIEWS, *PEOPLE_COLUMNS])
def test_events_are_sorted_within_an_account_or_lender(records, view):
    _, found = events(records, view)
    day = np.stack([found.event_day, found.known_day])
    inside = np.setdiff1d(np.arange(1, day.shape[1]), found.account_start)
    step = np.diff(day, axis=1)[:, inside - 1]
    assert ((step[0] > 0) | ((step[0] == 0) & (step[1] >= 0))).all()
    assert found.account_start[-1] == day.shape[1]
    assert found.customer_start[-1] == len(found.account_start) - 1


def test_those_of_other_customers_are_left_out(records):
    keys = known_customers(records, DAY)
    some = keys.customer_ids[::7]
    whole = people_events(records, keys.customer_ids, "incomes", ["amount"])
    part = people_events(records, some, "incomes", ["amount"])
    # Incomes have one list a customer, or none.
    edges = zip(whole.customer_start[:-1:7], whole.customer_start[1::7], strict=True)
    own = np.concatenate([whole.values[whole.account_start[a] : whole.account_start[b]] for a, b in edges])
    assert np.array_equal(part.values, own)
