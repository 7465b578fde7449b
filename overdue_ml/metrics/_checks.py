"""Input checks shared by the metrics; each raises ``ValueError`` and names the argument at fault."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def as_vector(values: ArrayLike, name: str) -> FloatArray:
    """Return `values` as a finite float64 vector, shape (n,), n >= 1.

    Raises
    ------
    ValueError
        If `values` is not numeric, not one-dimensional, empty, or holds NaN or infinity.
    """
    vector = as_vector_with_gaps(values, name)
    if np.isnan(vector).any():
        raise ValueError(
            f"Input {name} contains NaN ({int(np.isnan(vector).sum())} of {vector.size} values)."
        )
    return vector


def as_vector_with_gaps(values: ArrayLike, name: str) -> FloatArray:
    """Return `values` as a float64 vector, shape (n,), where NaN stands for missing.

    Raises
    ------
    ValueError
        If `values` is not numeric, not one-dimensional, empty, or holds infinity.
    """
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers: {error}") from error
    if vector.ndim != 1:
        raise ValueError(f"{name} should be a 1d array, got an array of shape {vector.shape} instead.")
    if vector.size == 0:
        raise ValueError(f"Found array with 0 sample(s) in {name} while a minimum of 1 is required.")
    if np.isinf(vector).any():
        raise ValueError(f"Input {name} contains infinity.")
    return vector


def as_target(y_true: ArrayLike) -> IntArray:
    """Return `y_true` as an integer vector of 0 and 1, shape (n,).

    Raises
    ------
    ValueError
        If `y_true` is not a vector of 0 and 1 (booleans are accepted).
    """
    vector = as_vector(y_true, "y_true")
    strange = np.unique(vector[(vector != 0) & (vector != 1)])
    if strange.size:
        raise ValueError(f"y_true must hold only 0 and 1 (1 = overdue), got also {strange[:5].tolist()}.")
    return vector.astype(np.int64)


def as_probabilities(p: ArrayLike, name: str = "p") -> FloatArray:
    """Return `p` as a float vector within [0, 1], shape (n,).

    Raises
    ------
    ValueError
        If `p` is not a finite vector or leaves [0, 1].
    """
    vector = as_vector(p, name)
    outside = vector[(vector < 0) | (vector > 1)]
    if outside.size:
        raise ValueError(
            f"{name} must hold probabilities in [0, 1], got {outside.size} value(s) outside, "
            f"such as {float(outside[0])!r}. Pass probabilities, not log-odds."
        )
    return vector


def as_weights(sample_weight: ArrayLike | None, n_rows: int) -> FloatArray:
    """Return the row weights, shape (n_rows,); ones when `sample_weight` is None.

    Raises
    ------
    ValueError
        If a weight is negative, all are zero, or their number is not `n_rows`.
    """
    if sample_weight is None:
        return np.ones(n_rows, dtype=np.float64)
    weight = as_vector(sample_weight, "sample_weight")
    check_lengths(("y_true", "sample_weight"), (n_rows, weight.size))
    if (weight < 0).any():
        raise ValueError("sample_weight must not be negative.")
    if not weight.any():
        raise ValueError("sample_weight must not be zero everywhere.")
    return weight


def check_lengths(names: Sequence[str], lengths: Sequence[int]) -> None:
    """Raise ``ValueError`` unless all `lengths` are equal."""
    if len(set(lengths)) > 1:
        found = ", ".join(f"{name} {length}" for name, length in zip(names, lengths, strict=True))
        raise ValueError(f"Found input variables with inconsistent numbers of samples: {found}.")


def check_both_classes(y_true: IntArray, weight: FloatArray, metric: str) -> None:
    """Raise ``ValueError`` unless overdue and not-overdue rows both carry weight."""
    seen = y_true[weight > 0]
    if seen.min() == seen.max():
        raise ValueError(
            f"Only one class present in y_true ({seen[0]}); {metric} is not defined in that case."
        )


def check_share(share: float, name: str = "top") -> float:
    """Return `share` if it lies in (0, 1], else raise ``ValueError``."""
    if not 0 < share <= 1:
        raise ValueError(f"{name} must be a share in (0, 1], got {share!r}.")
    return float(share)


def check_at_least(value: int, minimum: int, name: str) -> int:
    """Return `value` if it is a whole number not below `minimum`, else raise ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < minimum:
        raise ValueError(f"{name} must be a whole number of at least {minimum}, got {value!r}.")
    return int(value)
