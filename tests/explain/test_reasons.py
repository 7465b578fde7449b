import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from overdue_ml.explain.reasons import sum_by_reason, top_reasons

REASONS = {"a": "late", "b": "income", "c": "late", "d": "debt"}


def frame(matrix, columns):
    index = pd.MultiIndex.from_product(
        [[f"c{i}" for i in range(len(matrix))], [pd.Timestamp("2024-01-31")]],
        names=["customer_id", "as_of_date"],
    )
    return pd.DataFrame(matrix, index=index, columns=columns)


def test_sums_by_hand():
    found = sum_by_reason(frame([[1.0, 2.0, 4.0, -8.0]], list("abcd")), REASONS)
    assert found.columns.tolist() == ["debt", "income", "late"]
    assert found.iloc[0].tolist() == [-8.0, 2.0, 5.0]


@settings(deadline=None)
@given(hnp.arrays(np.float64, st.tuples(st.integers(0, 6), st.just(4)), elements=st.floats(-10, 10)))
def test_reasons_add_up_to_what_features_add_up_to(matrix):
    contributions = frame(matrix, list("abcd"))
    found = sum_by_reason(contributions, REASONS)
    np.testing.assert_allclose(found.sum(axis=1), contributions.sum(axis=1), atol=1e-12)
    assert found.index.equals(contributions.index)


def test_a_feature_without_a_reason_is_an_error():
    with pytest.raises(KeyError, match="e"):
        sum_by_reason(frame([[1.0]], ["e"]), REASONS)


def test_strongest_first_and_protective_ones_last():
    found = top_reasons(frame([[-1.0, 3.0, 0.5], [2.0, -4.0, -3.0]], ["debt", "income", "late"]), n=3)
    assert found.columns.tolist() == [
        "reason_1_code", "reason_1_contribution", "reason_2_code", "reason_2_contribution",
        "reason_3_code", "reason_3_contribution",
    ]  # fmt: skip
    assert found.iloc[0].tolist() == ["income", 3.0, "late", 0.5, "debt", -1.0]
    assert found.iloc[1].tolist() == ["debt", 2.0, "late", -3.0, "income", -4.0]


def test_equal_contributions_keep_the_order_of_the_codes():
    table = frame(np.zeros((50, 6)), ["f", "e", "d", "c", "b", "a"])
    found = top_reasons(table, n=4)
    assert (found[[f"reason_{i}_code" for i in range(1, 5)]] == ["f", "e", "d", "c"]).all().all()
    pd.testing.assert_frame_equal(found, top_reasons(table.copy(), n=4))


def test_fewer_reasons_than_asked_for_leave_nulls():
    found = top_reasons(frame([[1.0, 2.0]], ["debt", "late"]), n=4)
    assert found.iloc[0, :4].tolist() == ["late", 2.0, "debt", 1.0]
    assert found.iloc[0, 4:].isna().all()
    assert len(found.columns) == 8


def test_no_customers_no_reasons():
    assert top_reasons(frame(np.empty((0, 2)), ["debt", "late"]), n=2).shape == (0, 4)


@settings(deadline=None)
@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.floats(-10, 10)))
def test_listed_reasons_are_the_largest(matrix):
    table = frame(matrix, [f"r{i}" for i in range(matrix.shape[1])])
    found = top_reasons(table, n=2)
    expected = -np.sort(-matrix, axis=1)[:, :2]
    for i in range(expected.shape[1]):
        np.testing.assert_array_equal(found[f"reason_{i + 1}_contribution"], expected[:, i])
        picked = [table.loc[row, code] for row, code in found[f"reason_{i + 1}_code"].items()]
        np.testing.assert_array_equal(picked, expected[:, i])
