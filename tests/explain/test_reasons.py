import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from overdue_ml.explain.reasons import sum_by_reason, top_reasons
from overdue_ml.explain.speaking import CONTRADICTIONS, choose_reasons

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


def test_what_raises_the_score_strongest_first():
    found = top_reasons(frame([[-1.0, 3.0, 0.5], [2.0, -4.0, -3.0]], ["debt", "income", "late"]), n=3)
    assert found.columns.tolist() == [
        "reason_1_code", "reason_1_contribution", "reason_2_code", "reason_2_contribution",
        "reason_3_code", "reason_3_contribution",
    ]  # fmt: skip
    assert found.iloc[0, :4].tolist() == ["income", 3.0, "late", 0.5]
    assert found.iloc[1, :2].tolist() == ["debt", 2.0]
    # What lowers it is no reason for it.
    assert found.iloc[0, 4:].isna().all()
    assert found.iloc[1, 2:].isna().all()


def test_equal_contributions_keep_the_order_of_the_codes():
    table = frame(np.ones((50, 6)), ["f", "e", "d", "c", "b", "a"])
    found = top_reasons(table, n=4)
    assert (found[[f"reason_{i}_code" for i in range(1, 5)]] == ["f", "e", "d", "c"]).all().all()
    pd.testing.assert_frame_equal(found, top_reasons(table.copy(), n=4))


def test_what_contradicts_a_stronger_reason_or_is_silent_is_not_told():
    """``late`` says the same of the same facts as ``often``; 0.004 would be written 0.00."""
    pairs = frozenset([frozenset(("late", "often"))])
    table = frame([[0.3, -0.5, 0.2, 0.004], [0.3, -0.2, 0.4, 0.0]], ["late", "often", "sex", "debt"])
    found = top_reasons(table, 2, {"sex"}, pairs)
    assert found.iloc[0].isna().all()
    assert found.iloc[1, :2].tolist() == ["late", 0.3]
    assert found.iloc[1, 2:].isna().all()


def test_fewer_reasons_than_asked_for_leave_nulls():
    found = top_reasons(frame([[1.0, 2.0]], ["debt", "late"]), n=4)
    assert found.iloc[0, :4].tolist() == ["late", 2.0, "debt", 1.0]
    assert found.iloc[0, 4:].isna().all()
    assert len(found.columns) == 8


def test_no_customers_no_reasons():
    assert top_reasons(frame(np.empty((0, 2)), ["debt", "late"]), n=2).shape == (0, 4)


CODES = [*sorted({code for pair in CONTRADICTIONS for code in pair}), "ZZ"]


@settings(deadline=None)
@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 4), st.just(len(CODES))),
        elements=st.integers(-30, 30).map(lambda n: n / 1000),
    ),
    st.sets(st.sampled_from(CODES), max_size=3),
)
def test_the_reasons_of_a_run_are_those_of_a_card(matrix, silent):
    """Chosen all at once, and one customer at a time in plain Python; with ties, and next to nothing."""
    table = frame(matrix, CODES)
    found = top_reasons(table, 4, silent)
    for row in range(len(matrix)):
        raises, _ = choose_reasons(dict(zip(CODES, matrix[row], strict=True)), silent)
        codes = found.iloc[row][[f"reason_{i}_code" for i in range(1, 5)]]
        values = found.iloc[row][[f"reason_{i}_contribution" for i in range(1, 5)]]
        assert codes.dropna().tolist() == raises
        assert values.dropna().tolist() == [table.iloc[row][code] for code in raises]
