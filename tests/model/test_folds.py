"""Folds over whole groups, held to those of scikit-learn."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from overdue_ml.model.folds import grouped_folds


def theirs(y, groups, n_splits, seed):
    splitter = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(splitter.split(np.zeros((len(y), 1)), y, groups))


def assert_same(y, groups, n_splits, seed):
    for (train, test), (their_train, their_test) in zip(
        grouped_folds(y, groups, n_splits, seed), theirs(y, groups, n_splits, seed), strict=True
    ):
        assert np.array_equal(train, their_train)
        assert np.array_equal(test, their_test)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_folds_are_those_of_scikit_learn(data):
    n_splits = data.draw(st.integers(2, 7))
    n = data.draw(st.integers(2 * n_splits, 120))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    y = (rng.random(n) < data.draw(st.sampled_from([0.05, 0.3, 0.5, 0.95]))).astype(int)
    y[:n_splits], y[-n_splits:] = 0, 1
    groups = rng.integers(0, data.draw(st.integers(n_splits, n)), n)
    groups[:n_splits] = np.arange(n_splits)
    assert_same(y, groups, n_splits, data.draw(st.integers(0, 2**31 - 1)))


@pytest.mark.parametrize("share", [0.02, 0.22])
def test_one_row_a_group_and_many_groups(share):
    rng = np.random.default_rng(0)
    y = (rng.random(3000) < share).astype(float)
    assert_same(y, np.array([f"C{i}" for i in rng.permutation(3000)]), 5, 77)


def test_a_group_is_on_one_side():
    rng = np.random.default_rng(1)
    y, groups = rng.integers(0, 2, 200), rng.integers(0, 30, 200)
    folds = grouped_folds(y, groups, 4, 3)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(200))
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
