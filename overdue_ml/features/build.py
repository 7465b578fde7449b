"""``build_features``: the one code path from records to a feature frame, in notebooks and jobs alike."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from overdue_ml.errors import FeatureMismatchError, NothingToScoreError
from overdue_ml.features.catalogue import default_registry
from overdue_ml.features.dated import DATED_VIEWS, dated_events
from overdue_ml.features.declare import AttributeFeature, DerivedFeature, Feature, SqlFeature
from overdue_ml.features.engine import run_pass
from overdue_ml.features.function import FunctionFeature, function_values
from overdue_ml.features.keys import Keys
from overdue_ml.features.people import PEOPLE_COLUMNS, people_events
from overdue_ml.features.program import IntArray
from overdue_ml.features.ranks import Book, RankFeature, ranked_sources
from overdue_ml.features.registry import Registry
from overdue_ml.features.states import STATE_VIEWS, state_columns
from overdue_ml.features.views import (
    KNOWN_ACCOUNTS,
    is_available,
    known_accounts,
    known_customers,
    known_rows_sql,
    missing_columns,
    statement_events,
)
from overdue_ml.records import Records
from overdue_ml.records.dates import AsOf, parse_dates
from overdue_ml.records.select import keep_customers
from overdue_ml.records.states import StateReader

if TYPE_CHECKING:
    from overdue_ml.features.folder import FeatureFolder

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


@overload
def build_features(
    records: Records,
    as_of: AsOf | Sequence[AsOf],
    features: Sequence[str] | None = None,
    *,
    registry: Registry | None = None,
    n_threads: int | None = None,
    to: None = None,
    customers_per_part: int = 100_000,
) -> pd.DataFrame: ...


@overload
def build_features(
    records: Records,
    as_of: AsOf | Sequence[AsOf],
    features: Sequence[str] | None = None,
    *,
    registry: Registry | None = None,
    n_threads: int | None = None,
    to: str | Path,
    customers_per_part: int = 100_000,
) -> FeatureFolder: ...


def build_features(
    records: Records,
    as_of: AsOf | Sequence[AsOf],
    features: Sequence[str] | None = None,
    *,
    registry: Registry | None = None,
    n_threads: int | None = None,
    to: str | Path | None = None,
    customers_per_part: int = 100_000,
) -> pd.DataFrame | FeatureFolder:
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
    to : path, optional
        Write the frame to Parquet files in this folder instead, a part of the customers at a time; see
        :func:`read_features`. A folder that such a run left is written anew, no other that holds files.
    customers_per_part : int, default 100,000
        With ``to``: customers of one file. Memory beside the records grows with it and with the number of
        dates; ranks also keep one number for each customer, date and ranked feature.

    Returns
    -------
    pandas.DataFrame, or FeatureFolder where ``to`` is given
        Indexed (customer_id, as_of_date), sorted; one float64 column a feature in the order asked
        for, attributes as ``category``. A customer has a row from the first day on which the
        lender knew anything of them.

    Raises
    ------
    ConfigError
        If a feature or date is unknown, or ``to`` cannot be used.
    FeatureMismatchError
        If a feature that was asked for needs a table or column that is not there.
    NothingToScoreError
        If nothing is known of any customer on the dates.
    """
    registry = registry or default_registry(records.config.attributes)
    names = list(features) if features is not None else available_features(records, registry)
    dates = parse_dates(as_of)
    if to is not None:
        from overdue_ml.features.folder import write_features

        return write_features(records, dates, names, registry, n_threads, Path(to), customers_per_part)
    refuse_missing(names, records, registry)
    keys = known_customers(records, epoch_days(dates))
    if len(keys.day) == 0:
        raise nobody_known(dates)
    return feature_rows(records, keys, names, registry, n_threads)


def epoch_days(dates: Sequence[dt.date]) -> IntArray:
    """Days since 1970-01-01."""
    return np.array([np.datetime64(d, "D").astype(np.int64) for d in dates], dtype=np.int64)


def nobody_known(dates: Sequence[dt.date]) -> NothingToScoreError:
    """The error of dates before the first record."""
    return NothingToScoreError(
        f"nothing is known of any customer on {dates[-1]}",
        where="tables accounts, statements",
        next_step="choose an as_of date on or after the first record",
    )


@dataclass(frozen=True)
class Beside:
    """What goes with the building of a part of a book, beside the records of its customers.

    Attributes
    ----------
    whole : Records or None
        Of everybody: a function of the user's own may look at them, and a rank is the place among them.
    book : Book or None
        Where parts follow each other: what :func:`whole_book` gives, so that it is built once.
    reader : StateReader or None
        Is shown the states of instalments that features are made of, if any are.
    """

    whole: Records | None = None
    book: Book | None = None
    reader: StateReader | None = None


def feature_rows(
    records: Records,
    keys: Keys,
    names: Sequence[str],
    registry: Registry,
    n_threads: int | None = None,
    beside: Beside | None = None,
) -> pd.DataFrame:
    """Features of some rows.

    Parameters
    ----------
    records : Records
        At least all rows of the customers of the keys.
    keys : Keys
        Not empty; the customers known on their dates.
    names : sequence of str
    registry : Registry
    n_threads : int, optional
    beside : Beside, optional
        Where ``records`` or ``keys`` are a part. Without it the keys are everybody.

    Returns
    -------
    pandas.DataFrame
        As of :func:`build_features`, one row a key, in their order.
    """
    wanted, beside = registry.closure(names), beside or Beside()
    book = beside.book
    if book is None and beside.whole is not None:
        book = whole_book(beside.whole, np.unique(keys.day), names, registry, n_threads)
    with records.session() as con:
        columns = _declared_columns(
            con, records, keys, [f for f in wanted if isinstance(f, Feature)], n_threads, beside.reader
        )
        columns |= _sql_columns(con, records, keys, [f for f in wanted if isinstance(f, SqlFeature)])
        columns |= _attribute_columns(records, keys, [f for f in wanted if isinstance(f, AttributeFeature)])
    for feature in wanted:
        if isinstance(feature, FunctionFeature):
            columns[feature.name] = function_values(feature, beside.whole or records, keys.frame())
    for feature in wanted:
        if isinstance(feature, DerivedFeature):
            columns[feature.name] = _derive(feature, columns)
        elif isinstance(feature, RankFeature):
            values = np.asarray(columns[feature.source])
            among = Book([(keys.day, {feature.source: values})]) if book is None else book
            columns[feature.name] = among.ranks(feature.source, keys.day, values)
    key = keys.frame()
    index = pd.MultiIndex.from_arrays([key["customer_id"], key["as_of"]], names=["customer_id", "as_of_date"])
    return pd.DataFrame({name: columns[name] for name in names}, index=index)


def whole_book(
    records: Records,
    days: IntArray,
    names: Sequence[str],
    registry: Registry,
    n_threads: int | None = None,
    customers_per_part: int = 100_000,
) -> Book:
    """The values of everybody that the ranks among the named features are places among.

    Parameters
    ----------
    records : Records
        All of them.
    days : ndarray of int64
        Sorted, each once; days since 1970-01-01.
    names : sequence of str
    registry : Registry
    n_threads : int, optional
    customers_per_part : int
        Built together; the result does not depend on it.

    Returns
    -------
    Book
        In memory: one number for each customer, day and feature that is ranked.
    """
    sources = ranked_sources(names, registry)
    if not sources:
        return Book([])
    everybody = known_customers(records, days)
    columns = []
    for first in range(0, len(everybody.customer_ids), customers_per_part):
        ids = everybody.customer_ids[first : first + customers_per_part]
        part = keep_customers(records, ids)
        keys = known_customers(part, days)
        frame = feature_rows(part, keys, sources, registry, n_threads, Beside(records))
        columns.append((keys.day, {name: frame[name].to_numpy() for name in sources}))
    return Book(columns)


def build_part(
    records: Records,
    as_of: dt.date,
    names: Sequence[str],
    registry: Registry,
    *,
    beside: Beside | None = None,
    n_threads: int | None = None,
) -> pd.DataFrame | None:
    """Features of some customers of a book on one date, for whoever goes through a book in parts.

    Parameters
    ----------
    records : Records
        Of these customers, everything that is theirs.
    as_of : datetime.date
    names : sequence of str
    registry : Registry
    beside : Beside, optional
        Everybody, where a function of the user's own may look at them, and what :func:`book_of_parts` gives
        where ranks are among the names.
    n_threads : int, optional

    Returns
    -------
    pandas.DataFrame or None
        As of :func:`build_features`; None if none of them is known on the date.

    Raises
    ------
    ConfigError, FeatureMismatchError
        As :func:`build_features`.
    """
    refuse_missing(names, records, registry)
    keys = known_customers(records, epoch_days([as_of]))
    if len(keys.day) == 0:
        return None
    beside = beside or Beside()
    beside = replace(beside, whole=beside.whole or records, book=beside.book or Book([]))
    return feature_rows(records, keys, names, registry, n_threads, beside)


def book_of_parts(
    parts: Iterable[Records],
    as_of: dt.date,
    names: Sequence[str],
    registry: Registry,
    n_threads: int | None = None,
) -> Book:
    """The values that ranks are places among, of a book that comes in parts; see :func:`whole_book`.

    The parts are not looked at where no rank is among the names.
    """
    sources = ranked_sources(names, registry)
    columns = []
    for part in parts if sources else ():
        frame = build_part(part, as_of, sources, registry, n_threads=n_threads)
        if frame is not None:
            days = np.repeat(epoch_days([as_of]), len(frame))
            columns.append((days, {name: frame[name].to_numpy() for name in sources}))
    return Book(columns)


def refuse_missing(names: Sequence[str], records: Records, registry: Registry) -> None:
    """Stop where the records lack a table or column of one of the features.

    Raises
    ------
    ConfigError
        If a feature is unknown.
    FeatureMismatchError
        If a table or column is missing.
    """
    lookup = {f.name: f for f in registry}
    lacking = {f.name: missing_columns(f, records, lookup) for f in registry.closure(names)}
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
    reader: StateReader | None,
) -> dict[str, _Values]:
    if not features:
        return {}
    found: dict[str, _Values] = {}
    here = [f for f in features if f.measure.view == "statements"]
    if here:
        columns = sorted(set().union(*(f.columns for f in here)))
        events = statement_events(con, records, keys, columns)
        matrix = run_pass(events, here, keys.start, keys.day, n_threads)
        found |= dict(zip((f.name for f in here), matrix.T, strict=True))
    for view in DATED_VIEWS:
        here = [f for f in features if f.measure.view == view]
        if here:
            columns = sorted(set().union(*(f.columns for f in here)))
            events = dated_events(records, keys, view, columns)
            matrix = run_pass(events, here, keys.start, keys.day, n_threads)
            found |= dict(zip((f.name for f in here), matrix.T, strict=True))
    for view in PEOPLE_COLUMNS:
        here = [f for f in features if f.measure.view == view]
        if here:
            columns = sorted(set().union(*(f.columns for f in here)))
            events = people_events(records, keys.customer_ids, view, columns)
            matrix = run_pass(events, here, keys.start, keys.day, n_threads)
            found |= dict(zip((f.name for f in here), matrix.T, strict=True))
    others = [f for f in features if f.measure.view in STATE_VIEWS]
    if others:
        found |= state_columns(records, keys, others, n_threads, reader)
    return found


def _sql_columns(
    con: duckdb.DuckDBPyConnection, records: Records, keys: Keys, features: list[SqlFeature]
) -> dict[str, _Values]:
    found: dict[str, _Values] = {}
    if not features:
        return found
    rows = {
        "customer_id": pa.array(keys.frame()["customer_id"]),
        "as_of": pa.array(keys.day.astype(np.int32)).cast(pa.date32()),
        "row_number": np.arange(len(keys.day)),
    }
    con.register("keys_frame", pa.table(rows))
    con.execute("CREATE OR REPLACE TEMP TABLE keys AS FROM keys_frame")
    for table in sorted({f.table for f in features}):
        here = [f for f in features if f.table == table]
        if table == "accounts":
            con.register(KNOWN_ACCOUNTS, known_accounts(records))
        try:
            result = _aggregated(con, records, table, here)
        except duckdb.Error:
            # All at once is quicker; one by one tells which it is.
            for f in here:
                _check_sql(con, records, f)
            raise
        for f in here:
            found[f.name] = result.column(f.name).to_numpy().astype(np.float64)
    return found


def _aggregated(
    con: duckdb.DuckDBPyConnection, records: Records, table: str, features: list[SqlFeature]
) -> pa.Table:
    """One row a key, in their order, with a column for each feature."""
    cells = ", ".join(f'CAST({f.sql} AS DOUBLE) AS "{f.name}"' for f in features)
    return con.sql(
        f"""
        WITH known AS ({known_rows_sql(records, table)}),
        aggregated AS (SELECT row_number, {cells} FROM known e GROUP BY row_number)
        SELECT k.row_number, {", ".join(f'g."{f.name}"' for f in features)}
        FROM keys k LEFT JOIN aggregated g USING (row_number) ORDER BY k.row_number
        """
    ).to_arrow_table()


def _check_sql(con: duckdb.DuckDBPyConnection, records: Records, feature: SqlFeature) -> None:
    try:
        _aggregated(con, records, feature.table, [feature])
    except duckdb.Error as error:
        # Its kind only: what it says may quote a customer.
        raise FeatureMismatchError(
            f"the SQL of the feature '{feature.name}' failed with {type(error).__name__}",
            where=f"table {feature.table}",
            expected="an aggregate over columns of the table, which is called e, and as_of",
        ) from error


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
    elif feature.operator == "total":
        value = np.where(np.isnan(left), right, np.where(np.isnan(right), left, left + right))
    elif feature.operator == "remainder":
        value = np.mod(left, right, out=np.full(len(left), np.nan), where=right > 0)
    else:
        value = np.divide(left, right, out=np.full(len(left), np.nan), where=right > 0)
    return np.asarray(value if feature.clip is None else np.clip(value, *feature.clip))
