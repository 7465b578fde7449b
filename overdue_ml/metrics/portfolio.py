"""The overdue book in money and in buckets: ageing, roll rates and the money a ranking catches."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from overdue_ml.metrics._checks import (
    FloatArray,
    IntArray,
    as_target,
    as_vector,
    check_lengths,
    check_share,
)
from overdue_ml.metrics._curves import GainCurve

DPD_BUCKETS: tuple[str, ...] = ("current", "1-30", "31-60", "61-90", "90+")
_UPPER_DAYS = np.array([0, 30, 60, 90])


def dpd_bucket(dpd: ArrayLike) -> pd.Categorical[str]:
    """Name the ageing bucket of each row.

    Parameters
    ----------
    dpd : array-like of shape (n,)
        Days past due, whole and not negative.

    Returns
    -------
    Categorical of shape (n,)
        Ordered: current (0), 1-30, 31-60, 61-90, 90+ (91 days and more).

    Raises
    ------
    ValueError
        If a value is missing, negative or not whole.

    References
    ----------
    Basel Committee (2016), Guidelines: Prudential treatment of problem assets (the 90-day line), BCBS d403.

    Examples
    --------
    >>> list(dpd_bucket([0, 1, 30, 31, 90, 91]))
    ['current', '1-30', '1-30', '31-60', '61-90', '90+']
    """
    names = pd.Index(DPD_BUCKETS)
    return pd.Categorical.from_codes(_bucket_codes(dpd, "dpd"), categories=names, ordered=True)


def aged_book(dpd: ArrayLike, amount: ArrayLike) -> pd.DataFrame:
    """Count and amount of the book by ageing bucket.

    Parameters
    ----------
    dpd : array-like of shape (n,)
        Days past due, whole and not negative.
    amount : array-like of shape (n,)
        Outstanding amount of each row, in the lender's currency, not negative.

    Returns
    -------
    DataFrame of shape (5, 5)
        bucket, count, amount, count_share, amount_share. Every bucket has its row, also an empty one;
        amount_share is NaN when the whole book is worth 0.

    Raises
    ------
    ValueError
        If the inputs are missing, negative, or of different lengths, or a dpd is not whole.

    Examples
    --------
    >>> aged_book([0, 0, 5, 120], [100.0, 100.0, 50.0, 250.0])
        bucket  count  amount  count_share  amount_share
    0  current      2   200.0         0.50           0.4
    1     1-30      1    50.0         0.25           0.1
    2    31-60      0     0.0         0.00           0.0
    3    61-90      0     0.0         0.00           0.0
    4      90+      1   250.0         0.25           0.5
    """
    code, money = _bucket_codes(dpd, "dpd"), _amounts(amount)
    check_lengths(("dpd", "amount"), (code.size, money.size))
    count = np.bincount(code, minlength=len(DPD_BUCKETS))
    total = np.bincount(code, weights=money, minlength=len(DPD_BUCKETS))
    worth = float(total.sum())
    return pd.DataFrame(
        {
            "bucket": pd.Categorical(DPD_BUCKETS, categories=list(DPD_BUCKETS), ordered=True),
            "count": count,
            "amount": total,
            "count_share": count / code.size,
            "amount_share": total / worth if worth > 0 else np.full(len(DPD_BUCKETS), np.nan),
        }
    )


def expected_overdue_capture(
    y_true: ArrayLike, score: ArrayLike, amount: ArrayLike, top: float = 0.1
) -> float:
    """Share of the overdue money found among the `top` share of rows by score.

    The cut is a share of rows (the work a team can do), the answer a share of money. Ties at the cut count by
    expectation, as in `capture_rate`.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        1 for overdue, 0 otherwise.
    score : array-like of shape (n,)
        What the rows are ranked by, highest first: log-odds, or probability times amount.
    amount : array-like of shape (n,)
        Amount at stake in each row, in the lender's currency, not negative.
    top : float, default=0.1
        Share of the rows worked, in (0, 1].

    Returns
    -------
    float
        Between 0 and 1; about `top` for a random order.

    Raises
    ------
    ValueError
        If no overdue row has an amount, `top` is outside (0, 1], or the inputs have NaN, negative amounts or
        different lengths.

    References
    ----------
    Verbraken, Bravo, Weber and Baesens (2014), Development and application of consumer credit scoring models
    using profit-based classification measures, EJOR 238 (why money, not only counts).

    Examples
    --------
    >>> expected_overdue_capture([1, 1, 0, 0], [4, 3, 2, 1], [100.0, 300.0, 50.0, 50.0], top=0.25)
    0.25
    """
    share = np.array([check_share(top)])
    target, vector, money = as_target(y_true), as_vector(score, "score"), _amounts(amount)
    check_lengths(("y_true", "score", "amount"), (target.size, vector.size, money.size))
    if not (target * money).any():
        raise ValueError("No overdue row has an amount above 0; the share of money caught is not defined.")
    return float(GainCurve.build(vector, target * money, np.ones(target.size)).captured(share)[0])


def roll_rate_matrix(
    dpd_before: ArrayLike, dpd_after: ArrayLike, amount: ArrayLike | None = None
) -> pd.DataFrame:
    """Share of each bucket that is in each bucket one period later.

    Parameters
    ----------
    dpd_before, dpd_after : array-like of shape (n,)
        Days past due of the same rows at two dates, whole and not negative.
    amount : array-like of shape (n,), optional
        Weigh the rows by this amount, not negative; each row counts one by default.

    Returns
    -------
    DataFrame of shape (5, 5)
        Rows: bucket before; columns: bucket after; each row sums to 1, or is NaN when nothing was in the
        bucket.

    Raises
    ------
    ValueError
        If the inputs are missing, negative, or of different lengths, or a dpd is not whole.

    References
    ----------
    Cyert, Davidson and Thompson (1962), Estimation of the allowance for doubtful accounts by Markov chains,
    Management Science 8.

    Examples
    --------
    >>> matrix = roll_rate_matrix([0, 0, 0, 0, 10], [0, 0, 0, 5, 40])
    >>> matrix.loc["current", "1-30"], matrix.loc["1-30", "31-60"]
    (np.float64(0.25), np.float64(1.0))
    """
    before, after = _bucket_codes(dpd_before, "dpd_before"), _bucket_codes(dpd_after, "dpd_after")
    money = np.ones(before.size) if amount is None else _amounts(amount)
    check_lengths(("dpd_before", "dpd_after", "amount"), (before.size, after.size, money.size))
    size = len(DPD_BUCKETS)
    flows = np.bincount(before * size + after, weights=money, minlength=size * size).reshape(size, size)
    total = flows.sum(axis=1, keepdims=True)
    shares = np.divide(flows, total, out=np.full((size, size), np.nan), where=total > 0)
    names = list(DPD_BUCKETS)
    return pd.DataFrame(shares, index=pd.Index(names, name="before"), columns=pd.Index(names, name="after"))


def _bucket_codes(dpd: ArrayLike, name: str) -> IntArray:
    days = as_vector(dpd, name)
    wrong = days[(days < 0) | (days != np.floor(days))]
    if wrong.size:
        raise ValueError(f"{name} must hold whole days of at least 0, got {float(wrong[0])!r}.")
    return np.searchsorted(_UPPER_DAYS, days, side="left").astype(np.int64)


def _amounts(amount: ArrayLike) -> FloatArray:
    money = as_vector(amount, "amount")
    if (money < 0).any():
        raise ValueError(f"amount must not be negative, got {float(money.min())!r}.")
    return money
