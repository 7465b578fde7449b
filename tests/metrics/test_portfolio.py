import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml import metrics as m

dpds = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 200), st.integers(0, 99)), min_size=1, max_size=60
)


def test_buckets_at_every_border():
    bucket = m.dpd_bucket([0, 1, 30, 31, 60, 61, 90, 91, 4000])
    assert list(bucket) == ["current", "1-30", "1-30", "31-60", "31-60", "61-90", "61-90", "90+", "90+"]
    assert bucket.ordered
    assert tuple(bucket.categories) == m.DPD_BUCKETS


@pytest.mark.parametrize(
    ("dpd", "message"),
    [
        ([0, -1], r"dpd must hold whole days of at least 0, got -1.0"),
        ([0, 30.5], r"whole days of at least 0, got 30.5"),
        ([0, None], "dpd contains NaN"),
    ],
)
def test_bad_days_are_named(dpd, message):
    with pytest.raises(ValueError, match=message):
        m.dpd_bucket(dpd)


def test_aged_book_by_hand():
    book = m.aged_book([0, 3, 30, 95], [10.0, 20.0, 30.0, 140.0])
    assert book["bucket"].tolist() == list(m.DPD_BUCKETS)
    assert book["count"].tolist() == [1, 2, 0, 0, 1]
    assert book["amount"].tolist() == [10, 50, 0, 0, 140]
    np.testing.assert_allclose(book["count_share"], [0.25, 0.5, 0, 0, 0.25])
    np.testing.assert_allclose(book["amount_share"], [0.05, 0.25, 0, 0, 0.7])


def test_a_book_worth_nothing_has_no_amount_shares():
    book = m.aged_book([0, 40], [0.0, 0.0])
    assert book["amount_share"].isna().all()
    assert book["count_share"].sum() == 1


def test_book_input_is_checked():
    with pytest.raises(ValueError, match=r"amount must not be negative, got -5\.0"):
        m.aged_book([0, 1], [1.0, -5.0])
    with pytest.raises(ValueError, match="dpd 2, amount 1"):
        m.aged_book([0, 1], [1.0])


def test_money_caught_by_hand():
    y, score, amount = [1, 0, 1, 0, 1], [5, 4, 3, 2, 1], [100.0, 900.0, 200.0, 0.0, 700.0]
    # Top two of five rows hold 100 of the 1,000 overdue; the 900 of a payer does not count.
    assert m.expected_overdue_capture(y, score, amount, top=0.4) == pytest.approx(0.1)
    assert m.expected_overdue_capture(y, score, amount, top=0.6) == pytest.approx(0.3)
    # A tie of all rows: two fifths of the rows bring two fifths of the money.
    assert m.expected_overdue_capture(y, [0] * 5, amount, top=0.4) == pytest.approx(0.4)


@settings(deadline=None)
@given(dpds)
def test_equal_amounts_give_the_capture_rate(drawn):
    y = np.array([score % 2 for score, _, _ in drawn] + [0, 1])
    score = np.array([score // 20 for score, _, _ in drawn] + [0, 0])
    money = m.expected_overdue_capture(y, score, np.full(y.size, 7.0), top=0.3)
    assert money == pytest.approx(m.capture_rate(y, score, top=0.3), abs=1e-12)


def test_money_caught_is_defined_only_with_overdue_money():
    with pytest.raises(ValueError, match="No overdue row has an amount above 0"):
        m.expected_overdue_capture([0, 1], [1, 2], [5.0, 0.0])
    with pytest.raises(ValueError, match="y_true 2, score 2, amount 1"):
        m.expected_overdue_capture([0, 1], [1, 2], [5.0])


def test_roll_rates_by_hand():
    before, after = [0, 0, 0, 0, 15, 15, 70], [0, 0, 10, 0, 0, 45, 100]
    matrix = m.roll_rate_matrix(before, after)
    assert matrix.loc["current"].tolist() == [0.75, 0.25, 0, 0, 0]
    assert matrix.loc["1-30"].tolist() == [0.5, 0, 0.5, 0, 0]
    assert matrix.loc["61-90", "90+"] == 1
    assert matrix.loc[["31-60", "90+"]].isna().all(axis=None)
    # By money: 10 of 40 cured, 30 rolled on.
    money = m.roll_rate_matrix(before, after, amount=[1, 1, 1, 1, 10, 30, 5])
    assert money.loc["1-30"].tolist() == [0.25, 0, 0.75, 0, 0]


@settings(deadline=None)
@given(dpds)
def test_roll_rates_are_the_cross_table(drawn):
    before, after, _ = (list(column) for column in zip(*drawn, strict=True))
    matrix = m.roll_rate_matrix(before, after)
    expected = pd.crosstab(np.array(m.dpd_bucket(before)), np.array(m.dpd_bucket(after)), normalize="index")
    seen = matrix.loc[expected.index, expected.columns]
    np.testing.assert_allclose(seen, expected, atol=1e-12)
    assert matrix.notna().any(axis=1).sum() == len(expected)


def test_roll_rates_need_the_same_rows():
    with pytest.raises(ValueError, match="dpd_before 2, dpd_after 1"):
        m.roll_rate_matrix([0, 1], [0])
