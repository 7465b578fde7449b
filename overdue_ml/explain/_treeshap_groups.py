"""Compiled steps of the table build: leaves to groups, groups to look-up tables.

A leaf asks of a row that some ranks lie in ``low < rank <= high``. A dimension is one column of ranks that
a tree asks for; it belongs to a feature. A group is a run of neighbouring leaves; along one of its
dimensions, ranks that satisfy the same leaves of the group are one step, and the steps of all dimensions
are the digits of the cell that a row falls into. The contributions of all leaves of the group depend on the
row through the cell alone, so their sums stand in a table: one look-up a feature, not one a leaf and feature.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np

#: High end of a leaf that sets no upper limit.
NO_LIMIT = 1 << 30
#: Leaves of a group, as the bits of a word.
MAX_LEAVES = 64
# Cost of a step of one condition of a row, in look-ups, and of the look-ups that every group needs.
_CONDITION, _FIXED = 0.1, 1.3


class Nodes(NamedTuple):
    """The splits of one tree: children, training rows, and what a split asks for."""

    left: Any
    right: Any
    node_count: Any
    leaf_count: Any
    dimension: Any
    rank: Any
    dimension_feature: Any


class Leaves(NamedTuple):
    """The leaves of one tree: limits of ranks, shares of the features, and values.

    ``bounds`` has the shape (2, leaves, dimensions), ``shares`` (leaves, features).
    """

    bounds: Any
    shares: Any
    values: Any


@nb.njit(cache=True, nogil=True)
def trace_leaves(nodes, bounds, shares):  # type: ignore[no-untyped-def]
    """Conditions of every leaf and, of each feature, the share of rows that its splits let through.

    Fills ``bounds`` and ``shares``; returns the leaves from left to right.
    """
    left, right, node_count = nodes.left, nodes.right, nodes.node_count
    n = left.size
    parent, of_leaf = np.full(n, -1, np.int64), np.full(n + 1, -1, np.int64)
    for node in range(n):
        for child in (left[node], right[node]):
            if child >= 0:
                parent[child] = node
            else:
                of_leaf[-1 - child] = node
    for leaf in range(n + 1):
        child, node = -1 - leaf, of_leaf[leaf]
        inside = nodes.leaf_count[leaf]
        while node >= 0:
            d, rank = nodes.dimension[node], nodes.rank[node]
            if left[node] == child:
                bounds[1, leaf, d] = min(bounds[1, leaf, d], rank)
            else:
                bounds[0, leaf, d] = max(bounds[0, leaf, d], rank)
            shares[leaf, nodes.dimension_feature[d]] *= inside / node_count[node]
            inside = node_count[node]
            child, node = node, parent[node]
    order, n_order = np.empty(n + 1, np.int64), 0
    stack, top = np.empty(2 * n + 2, np.int64), 1
    stack[0] = 0 if n else -1
    while top:
        top -= 1
        node = stack[top]
        if node < 0:
            order[n_order] = -1 - node
            n_order += 1
        else:
            stack[top], stack[top + 1] = right[node], left[node]
            top += 2
    return order


@nb.njit(cache=True, nogil=True)
def step_dimension(bounds, leaves, d, ends, steps, masks):  # type: ignore[no-untyped-def]
    """Steps of one dimension for the leaves of a group.

    Fills ``ends``, the limits in rising order, ``steps``, the step of the ranks up to each limit and above
    the last, and ``masks``, the leaves that a step satisfies as bits. Returns how many limits and steps.
    """
    n = 0
    for side in range(2):
        for leaf in leaves:
            value = bounds[side, leaf, d]
            if value < 0 or value >= NO_LIMIT:
                continue
            i = n
            while i > 0 and ends[i - 1] > value:
                i -= 1
            if i > 0 and ends[i - 1] == value:
                continue
            for j in range(n, i, -1):
                ends[j] = ends[j - 1]
            ends[i] = value
            n += 1
    n_steps = 0
    for i in range(n + 1):
        # Any rank of the interval: its upper end, or what is above all ends.
        rank = ends[i] if i < n else NO_LIMIT - 1
        mask = np.uint64(0)
        for bit in range(leaves.size):
            if bounds[0, leaves[bit], d] < rank <= bounds[1, leaves[bit], d]:
                mask |= np.uint64(1) << np.uint64(bit)
        found = 0
        while found < n_steps and masks[found] != mask:
            found += 1
        if found == n_steps:
            masks[found] = mask
            n_steps += 1
        steps[i] = found
    return n, n_steps


@nb.njit(cache=True, nogil=True)
def _is_free(bounds, leaf, d):  # type: ignore[no-untyped-def]
    return bounds[0, leaf, d] < 0 and bounds[1, leaf, d] >= NO_LIMIT


@nb.njit(cache=True, nogil=True)
def used_dimensions(bounds, leaves):  # type: ignore[no-untyped-def]
    """Dimensions that any of the leaves asks for."""
    used = np.zeros(bounds.shape[2], np.bool_)
    for d in range(used.size):
        for leaf in leaves:
            if not _is_free(bounds, leaf, d):
                used[d] = True
                break
    return np.flatnonzero(used)


@nb.njit(cache=True, nogil=True)
def _cost(bounds, leaves, dim_feature, max_cells, cell_cost):  # type: ignore[no-untyped-def]
    """Cost of a group in look-ups for each row; below zero where its table would be too large."""
    ends, steps = np.empty(2 * MAX_LEAVES, np.int64), np.empty(2 * MAX_LEAVES + 1, np.int64)
    masks = np.empty(2 * MAX_LEAVES + 1, np.uint64)
    cells, n_conditions = 1, 0
    seen = np.zeros(dim_feature.size, np.bool_)
    n_features = 0
    for d in used_dimensions(bounds, leaves):
        n, n_steps = step_dimension(bounds, leaves, d, ends, steps, masks)
        cells *= n_steps
        if cells > max_cells:
            return -1.0
        n_conditions += n
        if not seen[dim_feature[d]]:
            seen[dim_feature[d]] = True
            n_features += 1
    return _FIXED + n_features + _CONDITION * n_conditions + cell_cost * cells * (n_features + 1)


@nb.njit(cache=True, nogil=True)
def partition(bounds, order, dim_feature, max_cells, cell_cost):  # type: ignore[no-untyped-def]
    """Cheapest cut of the leaves from left to right into groups.

    Returns where each group starts, and whether it is a leaf too large for a table.
    """
    n = order.size
    best, start = np.full(n + 1, np.inf), np.zeros(n + 1, np.int64)
    large = np.zeros(n + 1, np.bool_)
    best[0] = 0.0
    for first in range(n):
        for stop in range(first + 1, min(n, first + MAX_LEAVES) + 1):
            cost = _cost(bounds, order[first:stop], dim_feature, max_cells, cell_cost)
            if cost < 0.0 and stop > first + 1:
                break
            total = best[first] + max(cost, 0.0)
            if total < best[stop]:
                best[stop], start[stop], large[stop] = total, first, cost < 0.0
            if cost < 0.0:
                break
    starts, is_large, m, at = np.empty(n, np.int64), np.empty(n, np.bool_), 0, n
    while at > 0:
        starts[m], is_large[m] = start[at], large[at]
        m += 1
        at = start[at]
    return starts[:m][::-1].copy(), is_large[:m][::-1].copy()


@nb.njit(cache=True, nogil=True)
def _fill_leaf(value, shares, nodes, weights, table):  # type: ignore[no-untyped-def]
    """Contributions of one leaf for every pattern of satisfied features: bit j stands for feature j."""
    k = shares.size
    products = np.empty(1 << k)
    for m in range(nodes.size):
        x = nodes[m]
        products[0] = weights[m] * value
        for j in range(k):
            off = (1.0 - x) * shares[j]
            on = x + off
            for pattern in range(1 << j):
                products[pattern | 1 << j] = products[pattern] * on
                products[pattern] *= off
        for j in range(k):
            off = (1.0 - x) * shares[j]
            gain = (1.0 - shares[j]) / (x + off)
            # Off and a share of nothing: the factor before the integral is nothing too.
            loss = -shares[j] / off if off > 0.0 else 0.0
            for pattern in range(1 << k):
                table[j, pattern] += products[pattern] * (gain if pattern >> j & 1 else loss)


@nb.njit(cache=True, nogil=True)
def _count_patterns(bounds, leaf, dims, local, ranks, counts):  # type: ignore[no-untyped-def]
    """How many rows of a background satisfy which features of a leaf; ``local`` is the bit of a dimension."""
    for r in range(ranks.shape[1]):
        pattern = counts.size - 1
        for i in range(dims.size):
            # A dimension that the leaf does not ask for holds for every rank.
            if not bounds[0, leaf, dims[i]] < ranks[dims[i], r] <= bounds[1, leaf, dims[i]]:
                pattern &= ~(1 << local[i])
        counts[pattern] += 1


@nb.njit(cache=True, nogil=True)
def _fill_against(value, counts, factors, table):  # type: ignore[no-untyped-def]
    """The same against a background, given how many of its rows show each pattern.

    A row that takes the values of some features from the background reaches the leaf where every feature is
    satisfied by the one that it is taken from. Needed are then the features that the background row misses
    and harmful those that the row itself misses; ``factors[a, b]`` is (a - 1)! b! / (a + b)!.
    """
    k, n = table.shape[0], counts.sum()
    full = counts.size - 1
    for found in range(counts.size):
        if not counts[found]:
            continue
        unit = value * counts[found] / n
        needed = full & ~found
        n_needed = 0
        for j in range(k):
            n_needed += needed >> j & 1
        kept = found
        # Every set of features that the background row satisfies, from all of them to none.
        while True:
            pattern = needed | kept
            harmful = found & ~kept
            n_harmful = k - n_needed
            for j in range(k):
                n_harmful -= kept >> j & 1
            for j in range(k):
                if needed >> j & 1:
                    table[j, pattern] += unit * factors[n_needed, n_harmful]
                elif harmful >> j & 1:
                    table[j, pattern] -= unit * factors[n_harmful, n_needed]
            if not kept:
                break
            kept = (kept - 1) & found


@nb.njit(cache=True, nogil=True)
def _digits(bounds, leaves, dims, n_cells, digits, masks):  # type: ignore[no-untyped-def]
    """Step of every cell along each dimension, and the leaves that each step satisfies."""
    ends, steps = np.empty(2 * MAX_LEAVES, np.int64), np.empty(2 * MAX_LEAVES + 1, np.int64)
    stride = 1
    for i in range(dims.size):
        _, n_steps = step_dimension(bounds, leaves, dims[i], ends, steps, masks[i])
        for cell in range(n_cells):
            digits[i, cell] = cell // stride % n_steps
        stride *= n_steps


@nb.njit(cache=True, nogil=True)
def fill_table(of_tree, leaves, dims, places, quadrature, background, table):  # type: ignore[no-untyped-def]
    """Sums of the contributions of a group's leaves, and the value of the leaf reached, for every cell.

    ``dims`` are the dimensions that the group uses; ``places`` of shape (2, dimensions) the place of their
    feature among those of the group and its number within the tree. ``background`` holds the ranks of its
    rows, of shape (dimensions of the tree, rows), and factors; without rows contributions are
    path-dependent. ``table`` of shape (features + 1, cells) comes as zeros.
    """
    ranks, factors = background
    bounds, (nodes, weights) = of_tree.bounds, quadrature
    n_places, n_cells = table.shape[0] - 1, table.shape[1]
    digits = np.empty((dims.size, n_cells), np.uint8)
    masks = np.empty((dims.size, 2 * MAX_LEAVES + 1), np.uint64)
    _digits(bounds, leaves, dims, n_cells, digits, masks)
    local, feature_of = np.empty(n_places, np.int64), np.empty(n_places, np.int64)
    patterns, own = np.empty(n_cells, np.int64), np.empty(n_places)
    for bit in range(leaves.size):
        leaf, k = leaves[bit], 0
        local[:] = -1
        for i in range(dims.size):
            place = places[0, i]
            if local[place] < 0 and not _is_free(bounds, leaf, dims[i]):
                local[place], feature_of[k], own[k] = k, place, of_tree.shares[leaf, places[1, i]]
                k += 1
        all_hold = (1 << k) - 1
        patterns[:] = all_hold
        for i in range(dims.size):
            if not _is_free(bounds, leaf, dims[i]):
                cleared = ~(1 << local[places[0, i]])
                for cell in range(n_cells):
                    if not masks[i, digits[i, cell]] >> np.uint64(bit) & np.uint64(1):
                        patterns[cell] &= cleared
        m = (k + 1) // 2
        leaf_table = np.zeros((k, 1 << k))
        if ranks.shape[1]:
            counts = np.zeros(1 << k, np.int64)
            _count_patterns(bounds, leaf, dims, local[places[0]], ranks, counts)
            _fill_against(of_tree.values[leaf], counts, factors, leaf_table)
        else:
            _fill_leaf(of_tree.values[leaf], own[:k], nodes[m, :m], weights[m, :m], leaf_table)
        for j in range(k):
            row, found = table[feature_of[j]], leaf_table[j]
            for cell in range(n_cells):
                row[cell] += found[patterns[cell]]
        row = table[n_places]
        for cell in range(n_cells):
            if patterns[cell] == all_hold:
                row[cell] += of_tree.values[leaf]
