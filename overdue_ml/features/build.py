"""``build_features``: the one code path from records to a feature frame, in notebooks and jobs alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from overdue_ml.errors import FeatureMismatchError, NothingToScoreError
from overdue_ml.features.catalogue import default_registry
from overdue_ml.features.declare import AnyFeature, AttributeFeature, DerivedFeature, Feature, SqlFeature
from overdue_ml.features.engine import run_pass
from overdue_ml.features.function import FunctionFeature, function_values
from overdue_ml.features.registry import Registry
from overdue_ml.features.states import state_events
from overdue_ml.features.views import (
    Keys,
    is_available,
    known_customers,
    known_rows_sql,
    missing_columns,
    statement_events,
)
from overdue_ml.records import Records, iter_histories
from overdue_ml.records.dates import AsOf, parse_dates

if TYPE_CHECKING:
    _Values = np.ndarray | pd.Categorical[Any]


def available_features(records: Records, registry: Registry | None = None) -> list[str]:
    """Names of the features that the records have the tables and columns for.

    Customer attributes are included where ``records.config.attributes`` names them.

    Parameters
    ----------
    records : Records
    registry : Registry, optional
        The default registry otherwise.
    """
    registry = registry or default_registry(records.config.attributes)
    lookup = {f.name: f for f in registry}
    return [f.name for f in registry if is_available(f, records, lookup)]


def build_features(
    records: Records,
    as_of: AsOf | Sequence[AsOf],
    features: Sequence[str] | None = None,
    *,
    registry: Registry | None = None,
    n_threads: int | None = None,
) -> pd.DataFrame:
    """Features of every customer as known at the end of each as_of date.

    Parameters
    ----------
    records : Records
    as_of : date, str or sequence of these
    features : sequence of str, optional
        Names; all that the records allow by default.
    registry : Registry, optional
        With features of your own; the default registry otherwise.
    n_threads : int, optional
        Threads over customers; the result does not depend on it.

    Returns
    -------
    pandas.DataFrame
        Indexed (customer_id, as_of_date), sorted; one float64 column a feature in the order asked
        for, attributes as ``category``. A customer has a row from the first day on which the
        lender knew anything of them.

    Raises
    ------
    FeatureMismatchError
        If a feature that was asked for needs a table or column that is not there.
    NothingToScoreError
        If nothing is known of any customer on the dates.
    """
    registry = registry or default_registry(records.config.attributes)
    names = list(features) if features is not None else available_features(records, registry)
    lookup = {f.name: f for f in registry}
    wanted = registry.closure(names)
    _refuse_missing(wanted, records, lookup)
    dates = parse_dates(as_of)
    days = np.array([np.datetime64(d, "D").astype(np.int64) for d in dates], dtype=np.int64)
    with records.connect() as con:
        keys = known_customers(con, records, days)
        if len(keys.day) == 0:
            raise NothingToScoreError(
                f"nothing is known of any customer on {dates[-1]}",
                where="tables accounts, statements",
                next_step="choose an as_of date on or after the first record",
            )
        columns = _declared_columns(
            con, records, keys, [f for f in wanted if isinstance(f, Feature)], n_threads
        )
        columns |= _sql_columns(con, records, keys, [f for f in wanted if isinstance(f, SqlFeature)])
        columns |= _attribute_columns(records, keys, [f for f in wanted if isinstance(f, AttributeFeature)])
    for feature in wanted:
        if isinstance(feature, FunctionFeature):
            columns[feature.name] = function_values(feature, records, keys.frame())
    for feature in wanted:
        if isinstance(feature, DerivedFeature):
            columns[feature.name] = _derive(feature, columns)
    key = keys.frame()
    index = pd.MultiIndex.from_arrays([key["customer_id"], key["as_of"]], names=["customer_id", "as_of_date"])
    return pd.DataFrame({name: columns[name] for name in names}, index=index)


def _refuse_missing(wanted: list[AnyFeature], records: Records, lookup: dict[str, AnyFeature]) -> None:
    lacking = {f.name: missing_columns(f, records, lookup) for f in wanted}
    lacking = {name: columns for name, columns in lacking.items() if columns}
    if lacking:
        name, columns = next(iter(lacking.items()))
        raise FeatureMismatchError(
            f"{len(lacking)} feature(s) cannot be built, first '{name}'",
            where=f"missing {', '.join(sorted(columns))}",
            next_step="add the column, or train a model without these features",
        )


def _declared_columns(
    con: duckdb.DuckDBPyConnection,
    records: Records,
    keys: Keys,
    features: list[Feature],
    n_threads: int | None,
) -> dict[str, _Values]:
    if not features:
        return {}
    found: dict[str, _Values] = {}
    here = [f for f in features if f.measure.view == "statements"]
    if here:
        columns = sorted(set().union(*(f.columns for f in here)))
        events = statement_events(con, records, keys, columns)
        matrix = run_pass(events, here, keys.start, keys.day, n_threads)
        found |= dict(zip((f.name for f in here), _transposed(matrix), strict=True))
    others = [f for f in features if f.measure.view != "statements"]
    return found | _instalment_columns(records, keys, others, n_threads)


def _instalment_columns(
    records: Records, keys: Keys, features: list[Feature], n_threads: int | None
) -> dict[str, _Values]:
    """What settlement tells, a part of the book at a time."""
    by_view = [[f for f in features if f.measure.view == view] for view in ("instalments", "upcoming")]
    found: dict[str, _Values] = {f.name: np.full(len(keys.day), np.nan) for f in features}
    if not features:
        return found
    columns = sorted(set().union(*(f.columns for f in features)))
    dates = [day.item() for day in np.unique(keys.day).astype("datetime64[D]")]
    for part in iter_histories(records, as_of=dates):
        customer_ids, events = state_events(part, columns)
        rows, start = keys.rows_of(customer_ids)
        for here in filter(None, by_view):
            matrix = run_pass(events, here, start, keys.day[rows], n_threads)
            for f, column in zip(here, _transposed(matrix), strict=True):
                found[f.name][rows] = column
    return found


def _transposed(matrix: np.ndarray) -> np.ndarray:
    """Columns first, copied a block at a time: a whole column would be read from all over the memory."""
    columns = np.empty(matrix.shape[::-1])
    for first in range(0, len(matrix), 1024):
        columns[:, first : first + 1024] = matrix[first : first + 1024].T
    return columns


def _sql_columns(
    con: duckdb.DuckDBPyConnection, records: Records, keys: Keys, features: list[SqlFeature]
) -> dict[str, _Values]:
    found: dict[str, _Values] = {}
    if not features:
        return found
    frame = keys.frame()
    frame["row_number"] = np.arange(len(frame))
    frame["as_of"] = frame["as_of"].dt.date
    con.register("keys_frame", frame)
    con.execute(
        "CREATE OR REPLACE TEMP TABLE keys AS SELECT * REPLACE (CAST(as_of AS DATE) AS as_of) FROM keys_frame"
    )
    for table in sorted({f.table for f in features}):
        here = [f for f in features if f.table == table]
        cells = ", ".join(f'CAST({f.sql} AS DOUBLE) AS "{f.name}"' for f in here)
        result = con.sql(
            f"""
            WITH known AS ({known_rows_sql(records, table)}),
            aggregated AS (SELECT row_number, {cells} FROM known e GROUP BY row_number)
            SELECT k.row_number, {", ".join(f'g."{f.name}"' for f in here)}
            FROM keys k LEFT JOIN aggregated g USING (row_number) ORDER BY k.row_number
            """
        ).to_arrow_table()
        for f in here:
            found[f.name] = result.column(f.name).to_numpy().astype(np.float64)
    return found


def _attribute_columns(records: Records, keys: Keys, features: list[AttributeFeature]) -> dict[str, _Values]:
    if not features:
        return {}
    customers = records.tables["customers"]
    ids = keys.frame()["customer_id"]
    found: dict[str, _Values] = {}
    for f in features:
        # As text before pandas sees it: there a null of another customer would make 1 read '1.0'.
        text = customers.column(f.column).cast(pa.string()).to_pylist()
        by_customer = pd.Series(text, index=customers.column("customer_id").to_pylist(), dtype="str")
        found[f.name] = pd.Categorical(ids.map(by_customer).astype("str"))
    return found


def _derive(feature: DerivedFeature, columns: dict[str, _Values]) -> np.ndarray:
    left, right = np.asarray(columns[feature.left]), np.asarray(columns[feature.right])
    if feature.operator == "difference":
        value = left - right
    elif feature.operator == "product":
        value = left * right
    else:
        value = np.divide(left, right, out=np.full(len(left), np.nan), where=right > 0)
    return np.asarray(value if feature.clip is None else np.clip(value, *feature.clip))
