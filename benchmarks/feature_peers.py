"""The declared features of instalments in SQL windows and in Polars, from the same declarations as ours.

Both start from settled facts as of one date (``overdue_ml.records.compute_facts``): one row an instalment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from overdue_ml.features import Feature

#: Columns of the view over a row of the facts.
_SQL = {
    "amount_due": "amount_due",
    "paid_amount": "paid_amount",
    "shortfall_amount": "shortfall_amount",
    "dpd": "dpd",
    "days_early": "days_early",
    "unpaid": "(NOT is_settled)::DOUBLE",
    "is_partial": "(NOT is_settled AND paid_amount > 0)::DOUBLE",
    "n_payments": "n_payments",
    "n_reversals": "n_reversals",
    "technical_ratio": "technical_ratio",
    "is_first3": "(instalment_no <= 3)::DOUBLE",
}
_ROLLUPS = {"max": "max", "min": "min", "sum": "sum", "mean": "avg"}


def _value_sql(feature: Feature) -> str:
    """The measure of one instalment."""
    measure = feature.measure
    ((coefficient, column, _),) = measure.terms
    value = f"{coefficient} * {_SQL[column]}"
    if measure.times:
        value = f"({value}) * {_SQL[measure.times[0]]}"
    if measure.over:
        divisor = _SQL[measure.over[0]]
        value = f"CASE WHEN {divisor} > 0 THEN ({value}) / {divisor} END"
    if measure.clip:
        value = f"least(greatest({value}, {measure.clip[0]}), {measure.clip[1]})"
    if measure.where:
        value = f"(({value}) {measure.where[0]} {measure.where[1]})::INTEGER"
    return value


def _inside_sql(feature: Feature) -> str:
    window = feature.window
    if window.kind == "events":
        return f"k <= {window.size}"
    return f"due_date > as_of_date - {window.size}" if window.kind == "days" else "true"


def _statistic_sql(feature: Feature, value: str) -> str:
    """A statistic over the instalments of an account, ``k`` counting from the latest."""
    inside = f"FILTER (WHERE {_inside_sql(feature)})"
    plain = {"mean": "avg", "share": "avg", "max": "max", "min": "min", "sum": "sum"}
    two = f"CASE WHEN count({value}) {inside} > 1 THEN"
    if feature.statistic in plain:
        return f"{plain[feature.statistic]}({value}) {inside}"
    if feature.statistic == "count":
        return f"count({value}) {inside}"
    if feature.statistic == "last":
        return f"max({value}) FILTER (WHERE k = 1)"
    if feature.statistic == "first":
        return f"arg_max({value}, k) {inside}"
    if feature.statistic == "wmean":
        weight = f"power(0.5, k - 1) * CASE WHEN {value} IS NOT NULL THEN 1 END"
        return f"sum(({value}) * power(0.5, k - 1)) {inside} / sum({weight}) {inside}"
    if feature.statistic == "slope":
        return f"{two} regr_slope({value}, -k) {inside} END"
    if feature.statistic == "std":
        return f"{two} stddev_pop({value}) {inside} END"
    if feature.statistic == "since":
        return f"as_of_date - max(due_date) FILTER (WHERE {_inside_sql(feature)} AND ({value}) > 0)"
    # A streak ends before the first that is no hit.
    return f"coalesce(min(k) FILTER (WHERE NOT coalesce(({value}) > 0, false)) - 1, count(*))"


def sql_of(features: Sequence[Feature], facts: str = "facts") -> str:
    """The features over the settled facts of one date, by account with windows, then by customer."""
    cells, rollups = [], []
    values = {value: f"v{i}" for i, value in enumerate(dict.fromkeys(_value_sql(f) for f in features))}
    for feature in features:
        statistic = _statistic_sql(feature, values[_value_sql(feature)])
        cells.append(f"{statistic} AS {feature.name}")
        rollups.append(f"{_ROLLUPS[feature.combine]}({feature.name})::DOUBLE AS {feature.name}")
    named = ", ".join(f"{value} AS {name}" for value, name in values.items())
    return f"""
        WITH due AS (
            SELECT account_id, as_of_date, due_date, {named}, row_number() OVER (
                PARTITION BY account_id ORDER BY due_date DESC, instalment_no DESC) AS k
            FROM {facts} WHERE due_date <= as_of_date
        ),
        by_account AS (SELECT account_id, {", ".join(cells)} FROM due GROUP BY account_id, as_of_date)
        SELECT customer_id, {", ".join(rollups)}
        FROM by_account JOIN accounts USING (account_id) GROUP BY customer_id ORDER BY customer_id"""


def _value_polars(feature: Feature) -> Any:
    import polars as pl

    columns = {
        "unpaid": (~pl.col("is_settled")).cast(pl.Float64),
        "is_partial": (~pl.col("is_settled") & (pl.col("paid_amount") > 0)).cast(pl.Float64),
        "is_first3": (pl.col("instalment_no") <= 3).cast(pl.Float64),
    }

    def column(name: str) -> Any:
        return columns.get(name, pl.col(name).cast(pl.Float64) if name in _SQL else None)

    measure = feature.measure
    ((coefficient, name, _),) = measure.terms
    value = coefficient * column(name)
    if measure.times:
        value = value * column(measure.times[0])
    if measure.over:
        value = pl.when(column(measure.over[0]) > 0).then(value / column(measure.over[0]))
    if measure.where:
        operator, bound = measure.where
        found = {">": value > bound, ">=": value >= bound, "<=": value <= bound, "<": value < bound}
        value = found[operator].cast(pl.Float64)
    return value


def _statistic_polars(feature: Feature, value: Any) -> Any:
    import polars as pl

    window, k = feature.window, pl.col("k")
    if window.kind == "events":
        inside = k <= window.size
    elif window.kind == "days":
        inside = pl.col("due_date") > pl.col("as_of_date") - pl.duration(days=window.size)
    else:
        inside = pl.lit(True)
    kept = value.filter(inside)
    if feature.statistic in ("mean", "share"):
        return kept.mean()
    if feature.statistic in ("max", "min", "sum", "count"):
        # Polars has 0 for the sum of nothing.
        found = getattr(kept, feature.statistic)()
        return pl.when(kept.count() > 0).then(found) if feature.statistic == "sum" else found
    if feature.statistic == "std":
        return pl.when(kept.count() > 1).then(kept.std(ddof=0))
    if feature.statistic == "last":
        return value.filter(k == 1).first()
    if feature.statistic == "first":
        return (
            value.filter(inside & value.is_not_null()).sort_by(k.filter(inside & value.is_not_null())).last()
        )
    if feature.statistic == "wmean":
        weight = pl.when(value.is_not_null()).then(pl.lit(0.5).pow(k - 1))
        return (value * weight).filter(inside).sum() / weight.filter(inside).sum()
    if feature.statistic == "slope":
        x = pl.when(value.is_not_null()).then(-k.cast(pl.Float64)).filter(inside)
        return pl.when(kept.count() > 1).then(pl.cov(x, kept, ddof=0) / x.var(ddof=0))
    if feature.statistic == "since":
        hit = pl.col("due_date").filter(inside & (value > 0)).max()
        return (pl.col("as_of_date").first() - hit).dt.total_days()
    miss = k.filter(~(value > 0).fill_null(False)).min() - 1
    return pl.coalesce(miss, pl.len()).cast(pl.Float64)


def polars_of(features: Sequence[Feature], facts: Any, accounts: Any) -> Any:
    """The same by Polars: a lazy frame over lazy frames of the facts and the accounts."""
    import polars as pl

    due = facts.filter(pl.col("due_date") <= pl.col("as_of_date")).sort(
        "account_id", "due_date", "instalment_no", descending=[False, True, True]
    )
    due = due.with_columns(pl.int_range(1, pl.len() + 1).over("account_id").alias("k"))
    cells = [_statistic_polars(f, _value_polars(f)).cast(pl.Float64).alias(f.name) for f in features]
    by_account = due.group_by("account_id").agg(cells).join(accounts, on="account_id")
    rollups = [getattr(pl.col(f.name), f.combine)() for f in features if f.combine != "sum"]
    # The sum of nothing is nothing.
    sums = [
        pl.when(pl.col(f.name).count() > 0).then(pl.col(f.name).sum()).alias(f.name)
        for f in features
        if f.combine == "sum"
    ]
    return by_account.group_by("customer_id").agg([*rollups, *sums]).sort("customer_id")


def _value_pandas(feature: Feature, due: Any) -> Any:
    columns = {
        "unpaid": (~due["is_settled"]).astype(float),
        "is_partial": (~due["is_settled"] & (due["paid_amount"] > 0)).astype(float),
        "is_first3": (due["instalment_no"] <= 3).astype(float),
    }

    def column(name: str) -> Any:
        return columns[name] if name in columns else due[name].astype(float)

    measure = feature.measure
    ((coefficient, name, _),) = measure.terms
    value = coefficient * column(name)
    if measure.times:
        value = value * column(measure.times[0])
    if measure.over:
        divisor = column(measure.over[0])
        value = (value / divisor).where(divisor > 0)
    if measure.where:
        operator, bound = measure.where
        compare = {">": "gt", ">=": "ge", "<=": "le", "<": "lt"}[operator]
        value = getattr(value, compare)(bound).astype(float).where(value.notna())
    return value


def _statistic_pandas(feature: Feature, value: Any, due: Any) -> Any:
    account, k, window = due["account_id"], due["k"], feature.window
    inside = {"events": k <= window.size, "days": due["age"] < window.size, "all": k > 0}[window.kind]
    kept = value.where(inside)
    groups = kept.groupby(account, sort=False)
    if feature.statistic in ("mean", "share", "max", "min", "count"):
        return getattr(groups, "mean" if feature.statistic == "share" else feature.statistic)()
    if feature.statistic == "sum":
        return groups.sum(min_count=1)
    if feature.statistic == "std":
        return groups.std(ddof=0).where(groups.count() > 1)
    if feature.statistic == "last":
        return value.where(k == 1).groupby(account, sort=False).max()
    if feature.statistic == "first":
        # Rows stand from the oldest to the latest.
        return groups.first()

    if feature.statistic == "wmean":
        weight = (0.5 ** (k - 1)).where(kept.notna())
        by_account = (kept * weight).groupby(account, sort=False).sum()
        return by_account / weight.groupby(account, sort=False).sum()
    if feature.statistic == "slope":
        x = (-k.astype(float)).where(kept.notna())
        n, sx, sy = groups.count(), x.groupby(account, sort=False).sum(), groups.sum()
        sxx, sxy = (x * x).groupby(account, sort=False).sum(), (x * kept).groupby(account, sort=False).sum()
        return ((n * sxy - sx * sy) / (n * sxx - sx * sx)).where(n > 1)
    if feature.statistic == "since":
        return due["age"].where(inside & (value > 0)).groupby(account, sort=False).min()
    sizes = k.groupby(account, sort=False).max()
    return (k.where(~(value > 0)).groupby(account, sort=False).min() - 1).fillna(sizes)


def pandas_of(features: Sequence[Feature], facts: Any, owner: Any, as_of: Any) -> Any:
    """The same by pandas.

    Parameters
    ----------
    features : sequence of Feature
    facts : DataFrame
    owner : Series
        Customer by account.
    as_of : Timestamp
    """
    import pandas as pd

    due = facts.assign(age=(as_of - pd.to_datetime(facts["due_date"])).dt.days)
    due = due[due["age"] >= 0].sort_values(["account_id", "due_date", "instalment_no"])
    due["k"] = due.groupby("account_id").cumcount(ascending=False) + 1
    columns = {f.name: _statistic_pandas(f, _value_pandas(f, due), due) for f in features}
    by_account = pd.DataFrame(columns)
    groups = by_account.groupby(owner.reindex(by_account.index))
    found = groups.agg({f.name: f.combine for f in features if f.combine != "sum"})
    sums = groups[[f.name for f in features if f.combine == "sum"]].sum(min_count=1)
    return pd.concat([found, sums], axis=1).sort_index()
