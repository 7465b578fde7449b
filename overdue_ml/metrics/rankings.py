"""Which order of a list saves more, by what a randomised holdout shows of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from overdue_ml.metrics._checks import FloatArray, as_target, as_vector, check_at_least, check_lengths
from overdue_ml.metrics._resampling import group_codes
from overdue_ml.metrics.trial import compare_arms

TOPS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


def compare_rankings(
    keys: Mapping[str, ArrayLike],
    hit: ArrayLike,
    is_holdout: ArrayLike,
    amount: ArrayLike,
    customers: ArrayLike | None = None,
    *,
    tops: Sequence[float] = TOPS,
    n_boot: int = 200,
) -> pd.DataFrame:
    """Money that reminders save among the first of a list, for several orders of the same list.

    Among the first rows of an order the arms are compared as everywhere: the share of the amount hit of
    those held out less that of the treated, times the whole amount of these rows. That is what is saved
    where all of them are reminded.

    Parameters
    ----------
    keys : mapping of str to array-like of shape (n,)
        What each order goes by, largest first; equal keys keep the order of the rows. The first is the one
        against which the others are set.
    hit : array-like of shape (n,)
        1 for overdue, 0 otherwise.
    is_holdout : array-like of shape (n,)
        1 for the rows that were held out, 0 for the treated.
    amount : array-like of shape (n,)
        Due; not negative.
    customers : array-like of shape (n,), optional
        Whose row it is.
    tops : sequence of float
        Shares of the list, in (0, 1].
    n_boot : int, default=200
        Bootstrap resamples of customers, always the same, for the interval of ``gain``.

    Returns
    -------
    DataFrame
        ranking, top, rows, saved, low, high (95 %, :func:`compare_arms`); gain over the first order,
        gain_low, gain_high (95 % percentiles; the orders themselves are not drawn anew). Missing where the
        first rows hold one arm only.

    Raises
    ------
    ValueError
        If inputs have NaN or different lengths, or a share is outside (0, 1].

    Examples
    --------
    >>> hit, held, due = [1, 0, 0, 0], [1, 0, 1, 0], [10.0, 10.0, 10.0, 10.0]
    >>> table = compare_rankings({"risk": [4, 3, 2, 1]}, hit, held, due, tops=[0.5, 1.0])
    >>> table[["top", "rows", "saved"]].values.tolist()
    [[0.5, 2.0, 20.0], [1.0, 4.0, 20.0]]
    """
    hits, held, due = as_target(hit), as_target(is_holdout), as_vector(amount, "amount")
    orders = {name: as_vector(key, name) for name, key in keys.items()}
    named = {"hit": hits, "is_holdout": held, "amount": due, **orders}
    check_lengths(tuple(named), tuple(v.size for v in named.values()))
    check_at_least(n_boot, 1, "n_boot")
    if not all(0 < top <= 1 for top in tops):
        raise ValueError(f"tops must lie in (0, 1], got {tuple(tops)!r}.")
    codes = group_codes(customers, hits.size)
    found, first = [], {}
    for name, key in orders.items():
        order = np.argsort(-key, kind="stable")
        for top in tops:
            # Less than a billionth, lest 0.3 x 10 be four rows.
            rows = np.sort(order[: math.ceil(top * hits.size - 1e-9)])
            first[name, top] = rows
            found.append(
                {"ranking": name, "top": top, "rows": len(rows), **_saved(hits, held, due, codes, rows)}
            )
    table = pd.DataFrame(found)
    drawn = _resampled(hits, held, due, codes, list(first.values()), n_boot)
    n, base = len(tops), table["saved"].to_numpy()[: len(tops)]
    gains = drawn - np.tile(drawn[:, :n], len(orders))
    ends = np.full((2, len(table)), np.nan)
    for i, column in enumerate(gains.T):
        known = column[np.isfinite(column)]
        if known.size:
            ends[:, i] = np.quantile(known, [0.025, 0.975])
    gain = table["saved"].to_numpy() - np.tile(base, len(orders))
    return table.assign(gain=gain, gain_low=ends[0], gain_high=ends[1])


def _saved(
    hits: np.ndarray, held: np.ndarray, due: FloatArray, codes: np.ndarray, rows: np.ndarray
) -> dict[str, float]:
    arms = [due[rows][held[rows] == side].sum() for side in (0, 1)]
    if not min(arms):
        return dict.fromkeys(("saved", "low", "high"), math.nan)
    # Two customers are needed to compare, and two arms have two.
    found = compare_arms(hits[rows], held[rows], due[rows], codes[rows])
    whole = float(due[rows].sum())
    return {"saved": found.value * whole, "low": found.low * whole, "high": found.high * whole}


def _resampled(
    hits: np.ndarray,
    held: np.ndarray,
    due: FloatArray,
    codes: np.ndarray,
    first: Sequence[np.ndarray],
    n_boot: int,
) -> FloatArray:
    """What each selection saves in each resample of customers, shape (n_boot, n_selections)."""
    generator, n = np.random.default_rng(0), int(codes.max()) + 1
    chosen = np.zeros((len(first), hits.size))
    for i, rows in enumerate(first):
        chosen[i, rows] = 1.0
    parts = np.column_stack([due, due * held, due * hits * held, due * hits * (1 - held)])
    drawn = np.empty((n_boot, len(first)))
    for b in range(n_boot):
        times = np.bincount(generator.integers(n, size=n), minlength=n)[codes]
        whole, held_out, bad_held, bad_treated = (chosen @ (parts * times[:, None])).T
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn[b] = whole * (bad_held / held_out - bad_treated / (whole - held_out))
    return drawn
