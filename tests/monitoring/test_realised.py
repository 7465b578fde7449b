import numpy as np
import pandas as pd
import pytest

from overdue_ml.errors import RecordsError
from overdue_ml.monitoring import compute_realised

AS_OF = pd.Timestamp("2024-01-31")


def labels(outcomes, as_of=AS_OF):
    index = pd.MultiIndex.from_product([list(outcomes), [as_of]], names=["customer_id", "as_of_date"])
    return pd.DataFrame({"is_overdue": list(outcomes.values())}, index=index)


@pytest.fixture
def scores():
    p = np.linspace(0.05, 0.95, 20)
    return pd.DataFrame(
        {
            "customer_id": [f"c{i:02d}" for i in range(20)],
            "as_of_date": AS_OF.date(),
            "p_overdue": p,
            "log_odds": np.log(p / (1 - p)),
        }
    )


def test_only_customers_with_an_outcome_count(scores):
    outcomes = {f"c{i:02d}": i >= 10 for i in range(4, 16)} | {"stranger": True}
    table = compute_realised(scores, labels(outcomes))
    assert table.attrs["n_rows"] == 12
    values = table.set_index("metric")["value"]
    assert values["auc"] == 1.0
    assert values["gini"] == 1.0


def test_outcomes_of_another_date_do_not_count(scores):
    outcomes = {f"c{i:02d}": i >= 10 for i in range(20)}
    other = labels({k: not v for k, v in outcomes.items()}, AS_OF + pd.Timedelta(days=1))
    table = compute_realised(scores, pd.concat([labels(outcomes), other]))
    assert table.attrs["n_rows"] == 20
    assert table.set_index("metric").loc["auc", "value"] == 1.0


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_any_unit_of_time_joins(scores, unit):
    stamped = scores.assign(as_of_date=pd.Series([AS_OF] * 20).astype(f"datetime64[{unit}]"))
    outcomes = labels({f"c{i:02d}": i % 2 == 0 for i in range(20)})
    dates = outcomes.index.levels[1].astype(f"datetime64[{unit}]")
    outcomes.index = outcomes.index.set_levels(dates, level=1)
    assert compute_realised(stamped, outcomes).attrs["n_rows"] == 20


def test_the_same_on_every_run(scores):
    outcomes = labels({f"c{i:02d}": i % 3 == 0 for i in range(20)})
    pd.testing.assert_frame_equal(compute_realised(scores, outcomes), compute_realised(scores, outcomes))


@pytest.mark.parametrize("outcomes", [{}, {"c01": True}, {"c01": True, "c02": True}, {"stranger": False}])
def test_too_early_to_tell(scores, outcomes):
    table = labels(outcomes) if outcomes else labels({"c01": True}).iloc[:0]
    with pytest.raises(RecordsError, match="wait until the labels have matured") as caught:
        compute_realised(scores, table)
    assert caught.value.exit_code == 3
