"""Setting rows aside: by customer, stable and disjoint; by time, with a gap."""

import numpy as np
import pandas as pd
import pytest

from overdue_ml.config import LabelsConfig, SplitConfig
from overdue_ml.errors import RecordsError
from overdue_ml.labels import hash_share, label_customers, split_by_customer, split_by_time, split_rows

DATES = pd.to_datetime(["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]).astype("datetime64[s]")


def labels_of(n_customers, dates=DATES, days_to_mature=31, start=0):
    ids = [f"C{i:05d}" for i in range(start, start + n_customers)]
    index = pd.MultiIndex.from_product([ids, dates], names=["customer_id", "as_of_date"])
    matured = index.get_level_values("as_of_date") + pd.Timedelta(days=days_to_mature)
    return pd.DataFrame({"is_overdue": False, "verdict": "on_time", "matured_on": matured}, index=index)


def customers(labels, rows):
    return set(labels.index.get_level_values("customer_id")[rows])


def test_a_customer_stands_on_one_side():
    labels = labels_of(500)
    test = split_by_customer(labels)
    assert test.dtype == bool
    assert customers(labels, test).isdisjoint(customers(labels, ~test))
    assert len(customers(labels, test)) * len(DATES) == test.sum()


def test_added_customers_move_nobody():
    few, many = labels_of(200, start=100), labels_of(1000)
    before = customers(few, split_by_customer(few))
    after = customers(many, split_by_customer(many))
    assert before == after & customers(few, np.ones(len(few), dtype=bool))
    # Nor does the order of rows, or a larger share: the test part only grows.
    shuffled = few.sample(frac=1.0, random_state=1)
    assert customers(shuffled, split_by_customer(shuffled)) == before
    assert before < customers(few, split_by_customer(few, 0.5))


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_the_share_is_near_the_target(share):
    labels = labels_of(4000, DATES[:1])
    # Binomial: three and a half standard deviations.
    spread = np.sqrt(share * (1 - share) / 4000)
    assert abs(split_by_customer(labels, share).mean() - share) < 3.5 * spread


def test_another_salt_draws_another_test_part():
    labels = labels_of(2000, DATES[:1])
    a, b = split_by_customer(labels, 0.2, "one"), split_by_customer(labels, 0.2, "two")
    # Independent draws agree on 0.2 x 0.2 of the rows, not on 0.2.
    assert 0.02 < (a & b).mean() < 0.06


def test_the_hash_is_the_same_everywhere():
    # The first 8 bytes of SHA-256 of "overdue_ml", the unit separator and the id, by hashlib.
    assert hash_share("C00001", "overdue_ml") == pytest.approx(0.03842256493686956, abs=1e-15)
    assert hash_share("C00001", "a") != hash_share("C00001", "b")
    # The separator keeps salt and id apart.
    assert hash_share("1x", "a") != hash_share("x", "a1")
    assert all(0.0 <= hash_share(str(i), "s") < 1.0 for i in range(2000))


def test_by_time_no_training_label_is_final_after_the_first_test_date():
    # On 30 April: January's labels are final since 2 March, February's since 31 March, March's on 1 May only.
    labels = labels_of(3)
    train, test = split_by_time(labels)
    dates = labels.index.get_level_values("as_of_date")
    assert set(dates[test]) == {DATES[3]}
    assert set(dates[train]) == {DATES[0], DATES[1]}
    assert set(dates[~train & ~test]) == {DATES[2]}
    assert labels["matured_on"][train].max() <= dates[test].min()


def test_by_time_a_label_final_on_the_test_date_trains():
    # March's labels are final 30 days later, on 30 April itself.
    labels = labels_of(3, days_to_mature=30)
    train, _ = split_by_time(labels)
    assert set(labels.index.get_level_values("as_of_date")[train]) == set(DATES[:3])


def test_by_time_with_two_test_dates():
    # The first of them is 31 March: February's labels are final on that day, 31 days on.
    labels = labels_of(3)
    train, test = split_by_time(labels, 2)
    dates = labels.index.get_level_values("as_of_date")
    assert set(dates[test]) == set(DATES[2:])
    assert set(dates[train]) == set(DATES[:2])
    train, _ = split_by_time(labels_of(3, days_to_mature=32), 2)
    assert set(dates[train]) == {DATES[0]}


def test_by_time_an_immature_label_never_trains():
    labels = labels_of(3)
    labels.iloc[0, labels.columns.get_loc("matured_on")] = pd.NaT
    train, test = split_by_time(labels)
    assert not train[0]
    assert not test[0]


@pytest.mark.parametrize(
    ("dates", "test_dates"), [(DATES[:1], 1), (DATES[:2], 2), (DATES[:2], 5), (DATES[2:], 1)]
)
def test_too_few_dates_are_refused(dates, test_dates):
    with pytest.raises(
        RecordsError, match="no label is final on or before the first test date 2024"
    ) as raised:
        split_by_time(labels_of(2, dates), test_dates)
    message = str(raised.value)
    assert f"{len(dates)} as_of date(s), {test_dates} of them to test on" in message
    assert "give more as_of dates, or split by customer" in message


def test_the_split_config_chooses():
    labels = labels_of(300)
    train, test = split_rows(labels, SplitConfig(by="customer", test_share=0.3, salt="x"))
    assert np.array_equal(test, split_by_customer(labels, 0.3, "x"))
    assert np.array_equal(train, ~test)
    train, test = split_rows(labels, SplitConfig(by="time", test_dates=2))
    expected = split_by_time(labels, 2)
    assert np.array_equal(train, expected[0])
    assert np.array_equal(test, expected[1])


def test_taiwan_by_time(taiwan):
    """July's labels train, final on 31 August; August's test. No row is in the gap."""
    config = LabelsConfig(source="next_statement", overdue_dpd=31)
    labels = label_customers(taiwan, ["2005-07-31", "2005-08-31"], config)
    train, test = split_by_time(labels)
    assert (train.sum(), test.sum()) == (30_000, 30_000)
    assert labels["matured_on"][train].max() <= labels.index.get_level_values("as_of_date")[test].min()


def test_a_date_that_is_not_final_as_a_whole_does_not_train():
    """Ann's overdue is final in February, Ben's on-time label only in March: she would stand for both."""
    index = pd.MultiIndex.from_tuples(
        [(c, pd.Timestamp(d)) for d in ("2024-01-01", "2024-02-01", "2024-03-01") for c in ("ANN", "BEN")],
        names=["customer_id", "as_of_date"],
    )
    final = ["2024-01-20", "2024-01-31", "2024-02-10", "2024-03-03", "2024-03-09", "2024-03-31"]
    labels = pd.DataFrame({"matured_on": pd.to_datetime(final)}, index=index).sort_index()
    train, test = split_by_time(labels)
    dates = labels.index.get_level_values("as_of_date")
    assert set(dates[train]) == {pd.Timestamp("2024-01-01")}
    assert set(dates[test]) == {pd.Timestamp("2024-03-01")}
