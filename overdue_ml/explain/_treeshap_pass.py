"""Compiled pass over a block of rows: ranks, cells, look-ups; scores and contributions together.

Every loop that costs runs over the rows of a block, so that it works on many of them at once; each row's
sums are taken in the order of the groups, whatever block or thread it is in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np

#: Kinds of columns besides those of numbers, which are 2 * missing type + default left.
CATEGORY = 8
_NO_MISSING, _ZERO_IS_MISSING = 0, 1
#: Bits of a pattern that a number of a table keeps exactly.
BITS = 52
#: LightGBM's zero: the nearest float32 to 1e-35.
_ZERO = float(np.float32(1e-35))


class Tables(NamedTuple):
    """A model as flat arrays; ``*_start`` arrays have one entry more than there are things.

    Columns are features as one kind of split sees them. Conditions ask whether a row's rank is above
    ``condition_rank``, or look the category up where ``condition_set`` is not below zero. The groups of
    a booster stand together; one with ``is_large`` is a leaf whose contributions are integrated, or, where
    ``factors`` is not empty, summed up over the patterns of a background.
    """

    column_feature: Any
    column_kind: Any
    column_start: Any
    thresholds: Any
    sets: Any
    group_condition: Any
    condition_column: Any
    condition_set: Any
    condition_rank: Any
    condition_weight: Any
    condition_place: Any
    group_feature: Any
    features: Any
    group_table: Any
    tables: Any
    is_large: Any
    booster_group: Any
    nodes: Any
    weights: Any
    factors: Any


@nb.njit(cache=True, nogil=True)
def _rank_numbers(x, thresholds, kind, scratch, ranks):  # type: ignore[no-untyped-def]
    """How many thresholds lie below each number; what is missing is below or above all."""
    values, places = scratch
    missing, goes_left = kind >> 1, kind & 1
    # What takes the place of a zero, and of NaN: a missing one stays NaN, which no threshold is below.
    zero = np.nan if missing == _ZERO_IS_MISSING else 0.0
    gap = 0.0 if missing == _NO_MISSING else np.nan
    for r in range(x.size):
        value = x[r]
        value = gap if value != value else value
        values[r] = zero if abs(value) <= _ZERO else value
    places[:] = 0
    # Padded with infinity, which lies below nothing, to one less than a power of two.
    step = (thresholds.size + 1) >> 1
    while step > 0:
        for r in range(x.size):
            # A product, not a choice: a branch that nothing predicts costs more than all the rest.
            places[r] += step * np.int64(thresholds[places[r] + step - 1] < values[r])
        step >>= 1
    above = 0 if goes_left else thresholds.size
    for r in range(x.size):
        ranks[r] = above if values[r] != values[r] else places[r]


@nb.njit(cache=True, nogil=True)
def _code_categories(x, n_codes, ranks):  # type: ignore[no-untyped-def]
    """Category codes; one number for all that no split knows, which goes right everywhere."""
    for r in range(x.size):
        ranks[r] = np.int64(x[r]) if -1.0 < x[r] < n_codes else n_codes


@nb.njit(cache=True, nogil=True)
def rank_block(tables, block, ranks):  # type: ignore[no-untyped-def]
    """Rank of every row in each column of ``tables``, or of any tuple with its columns and thresholds."""
    scratch = np.empty(block.shape[1]), np.empty(block.shape[1], np.int64)
    for c in range(tables.column_feature.size):
        x = block[tables.column_feature[c]]
        if tables.column_kind[c] == CATEGORY:
            _code_categories(x, tables.column_start[c + 1] - tables.column_start[c], ranks[c])
        else:
            own = tables.thresholds[tables.column_start[c] : tables.column_start[c + 1]]
            _rank_numbers(x, own, tables.column_kind[c], scratch, ranks[c])


@nb.njit(cache=True, nogil=True)
def _find_cells(tables, group, ranks, cells):  # type: ignore[no-untyped-def]
    """The cell of a group that each row falls into, modulo 2**16 as weights may be negative."""
    cells[:] = 0
    for c in range(tables.group_condition[group], tables.group_condition[group + 1]):
        own = ranks[tables.condition_column[c]]
        weight, at = tables.condition_weight[c], tables.condition_set[c]
        if at < 0:
            limit = tables.condition_rank[c]
            for r in range(own.size):
                cells[r] += weight if own[r] > limit else np.uint16(0)
        else:
            for r in range(own.size):
                cells[r] += weight if tables.sets[at + own[r]] else np.uint16(0)


@nb.njit(cache=True, nogil=True)
def _look_up(tables, group, cells, sums, score):  # type: ignore[no-untyped-def]
    """Add what stands in the table of a group; two features at a time, as a cell is then read once."""
    first, stop = tables.group_feature[group], tables.group_feature[group + 1]
    at = tables.group_table[group]
    n = (tables.group_table[group + 1] - at) // (stop - first + 1)
    for i in range(first, stop - 1, 2):
        own, next_own = tables.tables[at : at + n], tables.tables[at + n : at + 2 * n]
        total, next_total = sums[tables.features[i]], sums[tables.features[i + 1]]
        for r in range(cells.size):
            cell = cells[r]
            total[r] += own[cell]
            next_total[r] += next_own[cell]
        at += 2 * n
    if (stop - first) % 2:
        own, total = tables.tables[at : at + n], sums[tables.features[stop - 1]]
        for r in range(cells.size):
            total[r] += own[cells[r]]
        at += n
    own = tables.tables[at : at + n]
    for r in range(cells.size):
        score[r] += own[cells[r]]


@nb.njit(cache=True, nogil=True)
def hold_features(tables, group, ranks, holds):  # type: ignore[no-untyped-def]
    """Which features of a large leaf each row satisfies."""
    for c in range(tables.group_condition[group], tables.group_condition[group + 1]):
        own, kept = ranks[tables.condition_column[c]], holds[tables.condition_place[c]]
        above, at = tables.condition_weight[c] == 1, tables.condition_set[c]
        limit = tables.condition_rank[c]
        for r in range(own.size):
            kept[r] &= (own[r] > limit if at < 0 else tables.sets[at + own[r]]) == above


@nb.njit(cache=True, nogil=True)
def _integrate(tables, group, ranks, sums, score):  # type: ignore[no-untyped-def]
    """Contributions of one leaf with many features; its table holds their shares and then its value.

    The weights of SHAP are integrals of polynomials, so that Gauss and Legendre's nodes give them exactly:
    the sum over all sets of other features is the integral over x of the product of x where a feature is
    satisfied plus (1 - x) times its share.
    """
    first, k = tables.group_feature[group], tables.group_feature[group + 1] - tables.group_feature[group]
    n = ranks.shape[1]
    holds = np.ones((k, n), np.bool_)
    hold_features(tables, group, ranks, holds)
    at = tables.group_table[group]
    shares, value = tables.tables[at : at + k], tables.tables[at + k]
    reached = np.ones(n, np.bool_)
    for j in range(k):
        reached &= holds[j]
    for r in range(n):
        score[r] += value if reached[r] else 0.0
    m = (k + 1) // 2
    product = np.empty(n)
    for i in range(m):
        x = tables.nodes[m, i]
        product[:] = tables.weights[m, i] * value
        for j in range(k):
            off = (1.0 - x) * shares[j]
            on = x + off
            for r in range(n):
                product[r] *= on if holds[j, r] else off
        for j in range(k):
            off = (1.0 - x) * shares[j]
            gain = (1.0 - shares[j]) / (x + off)
            loss = -shares[j] / off if off > 0.0 else 0.0
            total = sums[tables.features[first + j]]
            for r in range(n):
                total[r] += product[r] * (gain if holds[j, r] else loss)


@nb.njit(cache=True, nogil=True)
def _sum_patterns(tables, group, ranks, sums, score):  # type: ignore[no-untyped-def]
    """Contributions of one leaf with many features against a background.

    Its table holds the value and then, of each pattern that the background shows, the share of its rows and
    the features satisfied, as bits of whole numbers.
    """
    first, k = tables.group_feature[group], tables.group_feature[group + 1] - tables.group_feature[group]
    n, n_words = ranks.shape[1], (k + BITS - 1) // BITS
    holds, words = np.ones((k, n), np.bool_), np.zeros((n_words, n), np.int64)
    hold_features(tables, group, ranks, holds)
    reached = np.ones(n, np.bool_)
    for j in range(k):
        for r in range(n):
            reached[r] &= holds[j, r]
            words[j // BITS, r] |= np.int64(holds[j, r]) << (j % BITS)
    start, stop = tables.group_table[group], tables.group_table[group + 1]
    value = tables.tables[start]
    for r in range(n):
        score[r] += value if reached[r] else 0.0
    found = np.empty(n_words, np.int64)
    for at in range(start + 1, stop, n_words + 1):
        unit = value * tables.tables[at]
        for w in range(n_words):
            found[w] = np.int64(tables.tables[at + 1 + w])
        for r in range(n):
            missed = np.int64(0)
            for w in range(n_words):
                missed |= ((np.int64(1) << min(k - w * BITS, BITS)) - 1) & ~(found[w] | words[w, r])
            if missed:
                continue
            n_needed, n_harmful = 0, 0
            for j in range(k):
                known = found[j // BITS] >> (j % BITS) & 1
                n_needed += not known
                n_harmful += known and not holds[j, r]
            for j in range(k):
                if not found[j // BITS] >> (j % BITS) & 1:
                    sums[tables.features[first + j], r] += unit * tables.factors[n_needed, n_harmful]
                elif not holds[j, r]:
                    sums[tables.features[first + j], r] -= unit * tables.factors[n_harmful, n_needed]


@nb.njit(cache=True, nogil=True)
def explain_block(tables, block, sums, scores):  # type: ignore[no-untyped-def]
    """Contributions and scores of a block, added up over all boosters.

    ``block`` and ``sums`` have the shape (features, rows); ``sums`` and ``scores`` come as zeros.
    """
    n = block.shape[1]
    ranks = np.empty((tables.column_feature.size, n), np.uint16)
    rank_block(tables, block, ranks)
    cells, score = np.empty(n, np.uint16), np.empty(n)
    for b in range(tables.booster_group.size - 1):
        # A booster's own sum in the order of its trees is LightGBM's score bit for bit.
        score[:] = 0.0
        for group in range(tables.booster_group[b], tables.booster_group[b + 1]):
            if tables.is_large[group]:
                if tables.factors.size:
                    _sum_patterns(tables, group, ranks, sums, score)
                else:
                    _integrate(tables, group, ranks, sums, score)
            else:
                _find_cells(tables, group, ranks, cells)
                _look_up(tables, group, cells, sums, score)
        for r in range(n):
            scores[r] += score[r]


@nb.njit(cache=True, nogil=True)
def pick_top(sums, indices, values, rest):  # type: ignore[no-untyped-def]
    """The features with the largest contributions of each row by size, the first feature among equals.

    ``sums`` has the shape (features, rows); ``indices`` and ``values`` (rows, k) are filled, and ``rest``
    with the sum of all others.
    """
    n_features, k = sums.shape[0], indices.shape[1]
    size = np.empty(k)
    for r in range(sums.shape[1]):
        found, others = 0, 0.0
        for f in range(n_features):
            value = sums[f, r]
            if found == k and not abs(value) > size[k - 1]:
                others += value
                continue
            if found == k:
                others += values[r, k - 1]
            else:
                found += 1
            i = found - 1
            while i > 0 and size[i - 1] < abs(value):
                size[i], values[r, i], indices[r, i] = size[i - 1], values[r, i - 1], indices[r, i - 1]
                i -= 1
            size[i], values[r, i], indices[r, i] = abs(value), value, f
        rest[r] = others
