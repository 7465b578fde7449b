"""Compiled pass for interactions: single leaves, each pattern of satisfied features worked out once a block.

Interactions of a leaf are, like its contributions, integrals of polynomials, so that Gauss and Legendre's
nodes give them exactly: half the leaf's value times, for each of the two features, its gain (what knowing it
changes), integrated over the product of all other features' factors.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from overdue_ml.explain._treeshap_pass import hold_features, rank_block

#: Features of a leaf up to which its patterns are numbered by a table.
_MAX_BITS = 16


@nb.njit(cache=True, nogil=True)
def _find_slots(holds, slots, first_row):  # type: ignore[no-untyped-def]
    """Number the patterns that occur: the slot of each row, and a row of each slot. Returns how many."""
    k, n = holds.shape
    if k > _MAX_BITS:
        for r in range(n):
            slots[r] = first_row[r] = r
        return n
    number, found = np.full(1 << k, -1, np.int64), 0
    for r in range(n):
        pattern = 0
        for j in range(k):
            pattern |= int(holds[j, r]) << j
        if number[pattern] < 0:
            number[pattern] = found
            first_row[found] = r
            found += 1
        slots[r] = number[pattern]
    return found


@nb.njit(cache=True, nogil=True)
def _fill_slot(holds, row, shares, value, quadrature, gains, filled):  # type: ignore[no-untyped-def]
    """Contributions of a leaf on the diagonal and interactions below it, for the pattern of one row."""
    k, (nodes, weights) = shares.size, quadrature
    filled[:] = 0.0
    for j in range(k):
        if not holds[j, row] and shares[j] <= 0.0:
            # Unknown or known, such a row does not come here.
            return
    for m in range(nodes.size):
        x = nodes[m]
        product = weights[m] * value
        for j in range(k):
            factor = (x if holds[j, row] else 0.0) + (1.0 - x) * shares[j]
            gains[j] = ((1.0 if holds[j, row] else 0.0) - shares[j]) / factor
            product *= factor
        for i in range(k):
            own = product * gains[i]
            filled[i, i] += own
            for j in range(i):
                filled[i, j] += 0.5 * own * gains[j]


@nb.njit(cache=True, nogil=True)
def _add_leaf(tables, group, ranks, out):  # type: ignore[no-untyped-def]
    first, n = tables.group_feature[group], ranks.shape[1]
    k, at = tables.group_feature[group + 1] - first, tables.group_table[group]
    holds = np.ones((k, n), np.bool_)
    hold_features(tables, group, ranks, holds)
    slots, first_row = np.empty(n, np.int64), np.empty(n, np.int64)
    n_slots = _find_slots(holds, slots, first_row)
    m, gains = (k + 1) // 2, np.empty(k)
    quadrature = tables.nodes[m, :m], tables.weights[m, :m]
    filled = np.empty((n_slots, k, k))
    shares, value = tables.tables[at : at + k], tables.tables[at + k]
    for slot in range(n_slots):
        _fill_slot(holds, first_row[slot], shares, value, quadrature, gains, filled[slot])
    for i in range(k):
        for j in range(i + 1):
            one, other = tables.features[first + i], tables.features[first + j]
            total = out[max(one, other), min(one, other)]
            for r in range(n):
                total[r] += filled[slots[r], i, j]


@nb.njit(cache=True, nogil=True)
def interact_block(tables, block, out):  # type: ignore[no-untyped-def]
    """Interactions of a block of rows, added up over all boosters, whose groups are single leaves.

    ``block`` has the shape (features, rows), ``out`` (features, features, rows) and comes as zeros.
    """
    ranks = np.empty((tables.column_feature.size, block.shape[1]), np.uint16)
    rank_block(tables, block, ranks)
    for group in range(tables.is_large.size):
        if tables.is_large[group]:
            _add_leaf(tables, group, ranks, out)
    n = out.shape[0]
    # Off the diagonal both halves alike; on it what is left of a feature's contribution.
    for i in range(n):
        for j in range(i):
            out[j, i] = out[i, j]
    for i in range(n):
        for j in range(n):
            if j != i:
                out[i, i] -= out[i, j]
