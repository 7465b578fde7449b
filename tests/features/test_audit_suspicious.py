"""A feature that is too good alone: found whichever way it points, and nobody accused by chance."""

import numpy as np
import pandas as pd
import pytest

from overdue_ml.features import flag_suspicious
from overdue_ml.metrics import compute_auc

RNG = np.random.default_rng(4)
N = 4000
TARGET = RNG.random(N) < 0.2
NOISE = RNG.normal(size=N)


def auc_of(values, target=TARGET):
    """The AUC that a column is judged by."""
    found = flag_suspicious(pd.DataFrame({"own_x": values}), target, 0.5)
    return found[0].auc if found else 0.5


def test_a_number_is_judged_by_its_auc_whichever_way_it_points():
    values = NOISE + 3 * TARGET
    auc = compute_auc(TARGET, values)
    assert 0.95 < auc < 1
    assert auc_of(values) == pytest.approx(auc)
    assert auc_of(-values) == pytest.approx(auc)


def test_nulls_find_the_place_where_they_serve_best():
    """By hand: values 1 2 3 4, overdue 0 1 0 1, and nulls that are overdue twice and once not."""
    values = np.array([1, 2, 3, 4, np.nan, np.nan, np.nan])
    target = np.array([0, 1, 0, 1, 1, 1, 0], dtype=bool)
    # Best between 3 and 4. Of the 4 x 3 pairs are right: 2>1; 4 over 1, 3 and the null on time; the two
    # overdue nulls over 1 and 3, and half of their two pairs with the third null.
    best = (1 + 3 + 4 + 1) / 12
    places = [
        compute_auc(target, np.where(np.isnan(values), place, values)) for place in (0, 1.5, 2.5, 3.5, 5)
    ]
    assert max(places) == pytest.approx(best)
    assert auc_of(values, target) == pytest.approx(best)
    # Turned round, the nulls belong below.
    assert auc_of(-values, target) == pytest.approx(best)
    assert auc_of(np.where(TARGET, np.nan, 1.0)) == 1.0


def test_an_empty_or_constant_column_says_nothing():
    assert auc_of(np.full(N, np.nan)) == 0.5
    assert auc_of(np.ones(N)) == 0.5
    assert auc_of(np.where(NOISE > 0, np.inf, -np.inf)) < 0.55


def test_categories_are_judged_by_their_overdue_rate():
    told = pd.Categorical(np.where(TARGET, np.where(NOISE > 0, "b", "d"), np.where(NOISE > 0, "a", "c")))
    assert auc_of(told) == 1.0
    with_nulls = pd.Series(np.where(TARGET, None, "a"), dtype="str").astype("category")
    assert auc_of(with_nulls) == 1.0


def test_small_categories_are_chance():
    # An id, and 400 branches of 10 customers: their own rates would rank at 1.0 and about 0.8.
    ids = pd.Categorical([f"c{i}" for i in range(N)])
    branches = pd.Categorical([f"b{i % 400}" for i in range(N)])
    large = pd.Categorical([f"b{i % 40}" for i in range(N)])
    assert auc_of(ids) == 0.5
    assert auc_of(branches) == 0.5
    # 100 rows each: a little of chance is left, far from the limit.
    assert 0.5 < auc_of(large) < 0.65


def test_only_what_is_above_the_limit_is_flagged_best_first():
    frame = pd.DataFrame({"own_noise": NOISE, "own_good": NOISE + 3 * TARGET, "own_exact": TARGET * 1.0})
    found = flag_suspicious(frame, TARGET, 0.9)
    assert [f.feature for f in found] == ["own_exact", "own_good"]
    assert found[0].auc == 1.0
    assert flag_suspicious(frame, TARGET, 1.0) == []
    order = RNG.permutation(N)
    assert flag_suspicious(frame.iloc[order], TARGET[order], 0.9) == found


def test_a_target_of_one_class_is_refused():
    with pytest.raises(ValueError, match="Only one class"):
        flag_suspicious(pd.DataFrame({"own_x": NOISE}), np.zeros(N, dtype=bool))
