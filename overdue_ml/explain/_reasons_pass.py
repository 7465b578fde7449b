"""The reasons of many scores chosen at once: a compiled loop."""

from __future__ import annotations

import numba as nb


@nb.njit(cache=True, nogil=True)
def choose_rows(by_reason, order, mute, clash, limits, chosen):  # type: ignore[no-untyped-def]
    """Choose as :func:`overdue_ml.explain.speaking.choose_reasons` does, and keep what raises the score.

    Parameters
    ----------
    by_reason : ndarray of float64, shape (n_samples, n_reasons)
    order : ndarray of int64, shape (n_samples, n_reasons)
        Columns, the largest size first.
    mute : ndarray of bool, shape (n_reasons,)
    clash : ndarray of bool, shape (n_reasons, n_reasons)
    limits : tuple of float, int
        Below this size nothing is told; of those that lower the score so many are.
    chosen : ndarray of int64, shape (n_samples, any)
        Is written: the columns told, then -1.
    """
    visible, most_lowering = limits
    raises, lowers = chosen.shape[1], most_lowering
    told = nb.typed.List.empty_list(nb.int64)
    for i in range(len(by_reason)):
        n_up, n_down = 0, 0
        told.clear()
        for j in order[i]:
            value = by_reason[i, j]
            if not abs(value) >= visible or n_up == raises:
                break
            if mute[j]:
                continue
            contradicts = False
            for other in told:
                if clash[j, other] and (by_reason[i, other] > 0) != (value > 0):
                    contradicts = True
            if contradicts:
                continue
            if value > 0:
                chosen[i, n_up] = j
                n_up += 1
                told.append(j)
            elif n_down < lowers:
                n_down += 1
                told.append(j)
        for k in range(n_up, raises):
            chosen[i, k] = -1
