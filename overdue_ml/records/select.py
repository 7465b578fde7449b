"""A part of the records: some customers with everything that is theirs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.records.load import Records


def keep_customers(records: Records, customer_ids: Iterable[str]) -> Records:
    """The records of some customers: their rows of every table, in the order in which they stand.

    Parameters
    ----------
    records : Records
    customer_ids : iterable of str
        Those that are not in the records are ignored.

    Returns
    -------
    Records
        With the rejected rows, the report and the config of the whole.
    """
    tables = dict(records.tables)
    ids = pa.array(sorted(set(customer_ids)), pa.string())
    tables["accounts"] = _rows(tables["accounts"], "customer_id", ids)
    accounts = tables["accounts"].column("account_id")
    for name, table in records.tables.items():
        if "customer_id" in table.column_names:
            tables[name] = _rows(table, "customer_id", ids)
        elif "account_id" in table.column_names:
            tables[name] = _rows(table, "account_id", accounts)
    return replace(records, tables=tables)


def _rows(table: pa.Table, column: str, wanted: pa.Array | pa.ChunkedArray) -> pa.Table:
    kind = table.schema.field(column).type
    return table.filter(pc.is_in(table.column(column), value_set=wanted.cast(kind)))
