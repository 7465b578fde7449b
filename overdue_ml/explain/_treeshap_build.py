"""From trees to the flat arrays that the pass over rows reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import comb
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from overdue_ml.errors import ModelError
from overdue_ml.explain._treeshap_groups import (
    MAX_LEAVES,
    NO_LIMIT,
    Leaves,
    Nodes,
    fill_table,
    partition,
    step_dimension,
    trace_leaves,
    used_dimensions,
)
from overdue_ml.explain._treeshap_pass import BITS, CATEGORY, Tables, rank_block
from overdue_ml.explain._treeshap_text import Tree

#: Ranks are kept in 16 bits.
_MAX_RANK = 2**16 - 1
# Conditions of all leaves of one tree, above which the build would take too much memory.
_MAX_BOUNDS = 2**25
#: Features of a leaf: more would take more nodes of quadrature than are worth it.
_MAX_FEATURES = 128


@dataclass
class _Columns:
    """Features as one kind of split sees them, with all thresholds or sets of categories of the model."""

    numbers: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    sets: dict[int, set[tuple[int, ...]]] = field(default_factory=dict)

    def add(self, tree: Tree) -> None:
        """Take in the splits of a tree."""
        for node in range(len(tree.feature)):
            feature = int(tree.feature[node])
            if tree.is_categorical(node):
                self.sets.setdefault(feature, set()).add(_set_of(tree, node))
            else:
                self.numbers.setdefault((feature, _kind(tree, node)), []).append(float(tree.threshold[node]))

    def finish(self) -> None:
        """Number the columns, the thresholds and the sets."""
        self.place = {key: i for i, key in enumerate(sorted(self.numbers))}
        self.ranks = {key: np.unique(np.array(v)) for key, v in self.numbers.items()}
        self.category_place = {feature: len(self.place) + i for i, feature in enumerate(sorted(self.sets))}
        self.set_at: dict[tuple[int, tuple[int, ...]], int] = {}
        parts, at = [], 0
        self.n_codes: dict[int, int] = {}
        for feature in sorted(self.sets):
            n = max((max(s, default=-1) for s in self.sets[feature]), default=-1) + 1
            self.n_codes[feature] = n
            for chosen in sorted(self.sets[feature]):
                # One entry more for all that no split knows.
                goes_right = np.ones(n + 1, np.bool_)
                goes_right[list(chosen)] = False
                self.set_at[feature, chosen] = at
                parts.append(goes_right)
                at += n + 1
        self.goes_right = np.concatenate(parts) if parts else np.zeros(0, np.bool_)
        widest = max([len(v) for v in self.ranks.values()] + list(self.n_codes.values()), default=0)
        if widest > _MAX_RANK:
            raise _too_large(f"a feature has {widest} thresholds or categories", str(_MAX_RANK))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Feature, kind, start of thresholds, and thresholds of every column; the sets."""
        features, kinds, parts = [], [], []
        for feature, kind in self.place:
            own = self.ranks[feature, kind]
            padded = np.full(2 ** len(own).bit_length() - 1, np.inf)
            padded[: len(own)] = own
            features.append(feature)
            kinds.append(kind)
            parts.append(padded)
        for feature in sorted(self.sets):
            features.append(feature)
            kinds.append(CATEGORY)
            # No thresholds: their number alone is read.
            parts.append(np.zeros(self.n_codes[feature]))
        start = np.cumsum([0] + [len(part) for part in parts])
        thresholds = np.concatenate(parts) if parts else np.zeros(0)
        return {
            "column_feature": np.array(features, np.int64),
            "column_kind": np.array(kinds, np.int64),
            "column_start": start.astype(np.int64),
            "thresholds": thresholds,
            "sets": self.goes_right,
        }


class _Ranked(NamedTuple):
    """What ranks are taken with, before there are tables."""

    column_feature: Any
    column_kind: Any
    column_start: Any
    thresholds: Any
    sets: Any


@dataclass(frozen=True, eq=False)
class _Background:
    """Rows that contributions are taken against, as ranks; none where these are path-dependent.

    ``ranks`` has the shape (columns, rows); ``factors[a, b]`` is (a - 1)! b! / (a + b)!.
    """

    ranks: npt.NDArray[np.uint16]
    sets: npt.NDArray[np.bool_]
    factors: npt.NDArray[np.float64]

    def of_tree(self, column: Sequence[int], set_at: Sequence[int]) -> npt.NDArray[np.int64]:
        """Ranks along the dimensions of a tree, of shape (dimensions, rows)."""
        found = np.empty((len(column), self.ranks.shape[1]), np.int64)
        for d, (own, at) in enumerate(zip(column, set_at, strict=True)):
            found[d] = self.ranks[own] if at < 0 else self.sets[at + self.ranks[own].astype(np.int64)]
        return found


def _rank_background(columns: _Columns, rows: npt.NDArray[np.float64] | None) -> _Background:
    arrays = columns.arrays()
    if rows is None:
        empty = np.empty((len(arrays["column_feature"]), 0), np.uint16)
        return _Background(empty, arrays["sets"], np.empty((0, 0)))
    ranks = np.empty((len(arrays["column_feature"]), len(rows)), np.uint16)
    rank_block(_Ranked(**arrays), np.ascontiguousarray(rows.T), ranks)
    factors = np.zeros((_MAX_FEATURES + 1, _MAX_FEATURES + 1))
    for a in range(1, _MAX_FEATURES + 1):
        for b in range(_MAX_FEATURES + 1 - a):
            factors[a, b] = 1.0 / (a * comb(a + b, a))
    return _Background(ranks, arrays["sets"], factors)


def _set_of(tree: Tree, node: int) -> tuple[int, ...]:
    return tree.categories[int(tree.threshold[node])]


def _kind(tree: Tree, node: int) -> int:
    missing, goes_left = tree.missing(node)
    return 2 * missing + goes_left


def _too_large(what: str, limit: str) -> ModelError:
    return ModelError(
        f"the model is too large for tables of contributions: {what}",
        expected=f"at most {limit}",
        next_step="explain it with LightGBM's pred_contrib",
    )


@dataclass
class _Growing:
    """The arrays of groups, while trees are added."""

    condition: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    group_condition: list[int] = field(default_factory=lambda: [0])
    features: list[int] = field(default_factory=list)
    group_feature: list[int] = field(default_factory=lambda: [0])
    tables: list[npt.NDArray[np.float64]] = field(default_factory=list)
    group_table: list[int] = field(default_factory=lambda: [0])
    is_large: list[bool] = field(default_factory=list)

    def close(self, table: npt.NDArray[np.float64], large: bool) -> None:
        """End a group whose conditions and features stand already."""
        self.group_condition.append(len(self.condition))
        self.group_feature.append(len(self.features))
        self.tables.append(table.ravel())
        self.group_table.append(self.group_table[-1] + table.size)
        self.is_large.append(large)


@dataclass(frozen=True, eq=False)
class _Asked:
    """A tree's dimensions: column, offset of the set (-1: numbers) and feature of each."""

    column: list[int]
    set_at: list[int]
    feature: list[int]
    of_tree: Leaves
    order: npt.NDArray[np.int64]
    dim_feature: npt.NDArray[np.int64]


def build_tables(
    boosters: Sequence[Sequence[Tree]],
    max_cells: int,
    cell_cost: float,
    max_bytes: int,
    background: npt.NDArray[np.float64] | None = None,
) -> Tables | None:
    """Look-up tables of a model; None as soon as they need more memory than they may.

    Parameters
    ----------
    boosters : sequence of sequence of Tree
    max_cells : int
        Cells of a table; a leaf that needs more is integrated for each row.
    cell_cost : float
        What a number of a table costs each row, in look-ups: memory that has to be read.
    max_bytes : int
        Memory of the tables; those of one cell are built whatever they need.
    background : ndarray of float64, shape (n_rows, n_features), optional
        Rows that contributions are taken against; path-dependent ones without.

    Raises
    ------
    ModelError
        If a feature has too many thresholds, or a tree too many leaves or features.
    """
    columns = _Columns()
    for trees in boosters:
        for tree in trees:
            columns.add(tree)
    columns.finish()
    quadrature, against = _quadrature(_MAX_FEATURES), _rank_background(columns, background)
    growing, booster_group = _Growing(), [0]
    for trees in boosters:
        for tree in trees:
            _add_tree(growing, _ask(tree, columns), max_cells, cell_cost, quadrature, against)
            if 8 * growing.group_table[-1] > max_bytes and max_cells > 1:
                return None
        booster_group.append(len(growing.is_large))
    conditions = np.array(growing.condition, np.int64).reshape(-1, 5)
    return Tables(
        **columns.arrays(),
        group_condition=np.array(growing.group_condition),
        condition_column=conditions[:, 0].copy(),
        condition_set=conditions[:, 1].copy(),
        condition_rank=conditions[:, 2].astype(np.uint16),
        # Modulo 2**16, as the cells are counted.
        condition_weight=conditions[:, 3].astype(np.uint16),
        condition_place=conditions[:, 4].copy(),
        group_feature=np.array(growing.group_feature),
        features=np.array(growing.features, np.int64),
        group_table=np.array(growing.group_table),
        tables=np.concatenate(growing.tables) if growing.tables else np.zeros(0),
        is_large=np.array(growing.is_large, np.bool_),
        booster_group=np.array(booster_group),
        nodes=quadrature[0],
        weights=quadrature[1],
        factors=against.factors,
    )


def _quadrature(n_features: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Gauss-Legendre nodes and weights on [0, 1]; row m holds those of m nodes."""
    largest = (n_features + 1) // 2
    nodes, weights = np.zeros((largest + 1, largest)), np.zeros((largest + 1, largest))
    for m in range(1, largest + 1):
        x, w = np.polynomial.legendre.leggauss(m)
        nodes[m, :m], weights[m, :m] = (x + 1.0) / 2.0, w / 2.0
    return nodes, weights


def _ask(tree: Tree, columns: _Columns) -> _Asked:
    n = len(tree.feature)
    column: list[int] = []
    set_at: list[int] = []
    feature: list[int] = []
    found: dict[tuple[int, int], int] = {}
    node_dim, node_rank = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for node in range(n):
        own = int(tree.feature[node])
        if tree.is_categorical(node):
            key = (columns.category_place[own], columns.set_at[own, _set_of(tree, node)])
        else:
            kind = (own, _kind(tree, node))
            key = (columns.place[kind], -1)
            node_rank[node] = np.searchsorted(columns.ranks[kind], tree.threshold[node])
        if key not in found:
            found[key] = len(column)
            column.append(key[0])
            set_at.append(key[1])
            feature.append(own)
        node_dim[node] = found[key]
    if (n + 1) * len(column) > _MAX_BOUNDS:
        raise _too_large(f"a tree has {n + 1} leaves", f"{_MAX_BOUNDS} conditions of a tree")
    distinct, dim_feature = np.unique(np.array(feature, np.int64), return_inverse=True)
    dim_feature = dim_feature.astype(np.int64)
    bounds = np.empty((2, n + 1, len(column)), np.int64)
    bounds[0], bounds[1] = -1, NO_LIMIT
    shares = np.ones((n + 1, len(distinct)))
    nodes = Nodes(tree.left, tree.right, tree.node_count, tree.leaf_count, node_dim, node_rank, dim_feature)
    order = trace_leaves(nodes, bounds, shares)
    return _Asked(column, set_at, feature, Leaves(bounds, shares, tree.leaf_value), order, dim_feature)


def _add_tree(
    growing: _Growing,
    asked: _Asked,
    max_cells: int,
    cell_cost: float,
    quadrature: Any,
    background: _Background,
) -> None:
    bounds, order = asked.of_tree.bounds, asked.order
    ranks = background.of_tree(asked.column, asked.set_at)
    starts, large = partition(bounds, order, asked.dim_feature, max_cells, cell_cost)
    for start, stop, is_large in zip(starts, [*starts[1:], len(order)], large, strict=True):
        leaves = order[start:stop]
        dims = used_dimensions(bounds, leaves)
        distinct, place = np.unique(asked.dim_feature[dims], return_inverse=True)
        growing.features += [asked.feature[dims[list(place).index(i)]] for i in range(len(distinct))]
        if is_large:
            _add_large(growing, asked, int(leaves[0]), dims, (distinct, place), ranks)
            continue
        ends, steps = np.empty(2 * MAX_LEAVES, np.int64), np.empty(2 * MAX_LEAVES + 1, np.int64)
        masks, stride = np.empty(2 * MAX_LEAVES + 1, np.uint64), 1
        for d in dims:
            n, n_steps = step_dimension(bounds, leaves, d, ends, steps, masks)
            growing.condition += [
                (
                    asked.column[d],
                    asked.set_at[d],
                    int(ends[i]),
                    int(steps[i + 1] - steps[i]) * stride % 2**16,
                    0,
                )
                for i in range(n)
                if steps[i + 1] != steps[i]
            ]
            stride *= n_steps
        table = np.zeros((len(distinct) + 1, stride))
        places = np.array([place, asked.dim_feature[dims]], np.int64).reshape(2, -1)
        fill_table(asked.of_tree, leaves, dims, places, quadrature, (ranks, background.factors), table)
        growing.close(table, large=False)


def _add_large(
    growing: _Growing, asked: _Asked, leaf: int, dims: Any, features: Any, ranks: npt.NDArray[np.int64]
) -> None:
    """A leaf without a table: one condition for each limit, weight 1 where a rank must be above."""
    distinct, place = features
    if len(distinct) > _MAX_FEATURES:
        raise _too_large(f"a leaf depends on {len(distinct)} features", str(_MAX_FEATURES))
    for d, own in zip(dims, place, strict=True):
        low, high = asked.of_tree.bounds[:, leaf, d]
        growing.condition += [
            (asked.column[d], asked.set_at[d], int(limit), above, int(own))
            for limit, above, is_set in ((low, 1, low >= 0), (high, 0, high < NO_LIMIT))
            if is_set
        ]
    value = asked.of_tree.values[leaf]
    if not ranks.shape[1]:
        growing.close(np.r_[asked.of_tree.shares[leaf, distinct], value], large=True)
        return
    holds = np.ones((len(distinct), ranks.shape[1]), np.bool_)
    for d, own in zip(dims, place, strict=True):
        low, high = asked.of_tree.bounds[:, leaf, d]
        holds[own] &= (ranks[d] > low) & (ranks[d] <= high)
    patterns, counts = np.unique(holds.T, axis=0, return_counts=True)
    # As whole numbers of bits, which keep a table small.
    words = [
        patterns[:, at : at + BITS] @ 2.0 ** np.arange(min(BITS, len(distinct) - at))
        for at in range(0, len(distinct), BITS)
    ]
    rows = np.column_stack([counts / ranks.shape[1], *words])
    growing.close(np.r_[value, rows.ravel()], large=True)
