"""Maturity by hand and against its definition; the grid, cell by cell, against the label compiler."""

import datetime as dt

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.config import LabelsConfig
from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.features.audit import forget_after
from overdue_ml.labels import (
    VERDICTS,
    final_from,
    label_customers,
    maturity,
    sensitivity_grid,
    verdicts_by_date,
)
from overdue_ml.records import load_records

APR, MAY, JUN = "2024-04-30", "2024-05-31", "2024-06-30"
COLUMNS = [*VERDICTS, "overdue_rate"]


def next_statement(population="pre_due", **options):
    return LabelsConfig(source="next_statement", population=population, **options)


def configs():
    return st.builds(
        next_statement,
        st.sampled_from(["all", "pre_due"]),
        horizon_days=st.sampled_from([1, 10, 31, 60]),
        overdue_dpd=st.sampled_from([1, 30, 31]),
    )


def drop_column(five, name):
    return load_records(five.frames | {"statements": five.frames["statements"].drop(columns=name)})


def test_verdicts_by_hand(five):
    labels = label_customers(five.records, [JUN, APR, MAY], next_statement())
    found = verdicts_by_date(labels)
    assert list(found) == COLUMNS
    assert found.index.name == "as_of_date"
    assert [str(day.date()) for day in found.index] == [APR, MAY, JUN]
    # April: Ann and Ben late, Cat without news. May: Ann overdue, three on time. June: Ann late already,
    # Cat overdue on 15 July, nothing known of Ben, Dan and Eve.
    expected = {APR: [0, 0, 0, 2, 1, 0], MAY: [1, 3, 0, 0, 0, 0], JUN: [1, 0, 0, 1, 0, 3]}
    for day, counts in expected.items():
        assert found.loc[day, list(VERDICTS)].tolist() == counts
    assert pd.isna(found.loc[APR, "overdue_rate"])
    assert found["overdue_rate"].tolist()[1:] == [0.25, 1.0]
    assert (found[list(VERDICTS)].dtypes == "int64").all()


def test_a_verdict_of_another_compiler_is_counted_too(five):
    labels = label_customers(five.records, MAY, next_statement())
    labels.loc[("BEN", MAY), "verdict"] = "written_off"
    found = verdicts_by_date(labels)
    assert list(found) == [*VERDICTS, "written_off", "overdue_rate"]
    assert found["written_off"].tolist() == [1]
    assert found["overdue_rate"].tolist() == [pytest.approx(1 / 3)]


def test_no_labels_no_rows(five):
    found = verdicts_by_date(label_customers(five.records, "1999-12-31", next_statement()))
    assert list(found) == COLUMNS
    assert len(found) == 0


def test_maturity_by_hand(five):
    found = maturity(five.records, [APR, MAY, JUN, "1999-12-31"], next_statement())
    assert [str(day.date()) for day in found.index] == ["1999-12-31", APR, MAY, JUN]
    assert list(found) == ["source", "n_customers", *COLUMNS, "share_final", "all_final_on"]
    assert set(found["source"]) == {"next_statement"}
    assert found["n_customers"].tolist() == [0, 3, 4, 5]
    assert found["share_final"].tolist()[1:] == [1.0, 1.0, pytest.approx(0.4)]
    # April waits for the end of Cat's horizon, May for the June statements; June is not complete, and
    # will be on 31 July at the latest. Nobody is known in 1999.
    assert found["all_final_on"].dt.strftime("%m-%d").tolist()[1:] == ["05-31", "06-30", "07-31"]
    assert pd.isna(found["share_final"].iloc[0])
    assert pd.isna(found["all_final_on"].iloc[0])
    assert found["all_final_on"].dtype == found.index.dtype == "datetime64[s]"


def test_who_is_late_already_is_final_at_once(five):
    # Without Cat and Dan, everybody left on 30 April is late already.
    accounts = five.frames["accounts"][lambda a: a["customer_id"].isin(["ANN", "BEN"])]
    statements = five.frames["statements"][lambda s: s["account_id"].isin(accounts["account_id"])]
    records = load_records(five.frames | {"accounts": accounts, "statements": statements})
    found = maturity(records, APR, next_statement()).iloc[0]
    assert (found["already_overdue"], found["share_final"]) == (2, 1.0)
    assert str(found["all_final_on"].date()) == APR


def test_maturity_of_a_labels_table(five):
    table = pd.DataFrame(
        {
            "customer_id": ["BEN", "ANN", "ANN"],
            "as_of_date": [MAY, MAY, APR],
            "is_overdue": [False, True, False],
            "known_on": ["2024-07-09", None, None],
        }
    )
    records = five.with_labels(table)
    found = maturity(records)
    assert found["source"].tolist() == ["labels", "labels"]
    assert found["n_customers"].tolist() == [1, 2]
    assert found["overdue_rate"].tolist() == [0.0, 0.5]
    assert found["share_final"].tolist() == [1.0, 1.0]
    assert found["all_final_on"].dt.strftime("%m-%d").tolist() == ["05-31", "07-09"]
    assert final_from(records) == dt.date(2024, 5, 31)
    assert final_from(records, as_of_dates=APR) == dt.date(2024, 4, 30)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_all_final_on_is_when_the_last_label_is_final(ledgers, data):
    """From that day on no label changes: records cut off there tell what the whole records tell."""
    records, config = data.draw(ledgers.ledger()), data.draw(configs())
    dates = data.draw(ledgers.as_of_dates(3))
    found = maturity(records, dates, config)
    labels = label_customers(records, dates, config)
    assert found["n_customers"].sum() == len(labels)
    for day, row in found[found["n_customers"] > 0].iterrows():
        here = labels.xs(day, level="as_of_date")
        for verdict in VERDICTS:
            assert row[verdict] == (here["verdict"] == verdict).sum()
        assert row["share_final"] == pytest.approx((here["verdict"] != "immature").mean())
        assert day <= row["all_final_on"] <= day + pd.Timedelta(days=config.horizon_days)
        if row["immature"]:
            continue
        cut = forget_after(records, row["all_final_on"].date())
        if cut.tables["statements"].num_rows == 0:
            continue
        then = label_customers(cut, day.date(), config).xs(day, level="as_of_date")["verdict"]
        # Records that end early cannot tell that a horizon has passed: immature, but never another verdict.
        changed = then != here["verdict"]
        assert set(then[changed]) <= {"immature"}


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_final_from_is_the_edge(ledgers, data):
    """Nothing is immature up to that date. On the next, a customer without news would be."""
    records, config = data.draw(ledgers.ledger()), data.draw(configs())
    rows = records.tables["statements"].to_pylist()
    if not rows:
        return
    last = final_from(records, config)
    assert last == max(row["known_on"] or row["statement_date"] for row in rows) - dt.timedelta(
        days=config.horizon_days
    )
    days = [last - dt.timedelta(days=n) for n in range(0, 60, 4)]
    assert maturity(records, days, config)["immature"].sum() == 0
    # Candidates: the last of them without an immature label, at any place.
    after = [last + dt.timedelta(days=n) for n in (1, 3, 9, 20, 40)]
    table = maturity(records, after, config)
    good = [day.date() for day, row in table.iterrows() if row["n_customers"] and not row["immature"]]
    if good:
        assert final_from(records, config, after) == max(good)
    else:
        with pytest.raises(RecordsError, match="no given as_of date has final labels only"):
            final_from(records, config, after)


def test_final_from_on_real_records(taiwan, five):
    config = next_statement(overdue_dpd=31)
    # Statements until 30 September, a horizon of 31 days; but of 31 August all have spoken.
    assert final_from(taiwan, config) == dt.date(2005, 8, 30)
    assert final_from(taiwan, config, ["2005-07-31", "2005-08-31", "2005-09-30"]) == dt.date(2005, 8, 31)
    assert final_from(taiwan) == dt.date(2005, 9, 30)
    with pytest.raises(RecordsError, match=r"no given as_of date.*\[labels from next_statement\]"):
        final_from(five.records, next_statement(), [JUN])
    # On 15 July the records of five say that June is final for a horizon of 15 days, not of 16.
    assert final_from(five.records, next_statement(horizon_days=15)) == dt.date(2024, 6, 30)
    assert final_from(five.records, next_statement(horizon_days=16)) == dt.date(2024, 6, 29)


def assert_same_as_the_compiler(grid, records, config):
    for (day, horizon, dpd), cell in grid.iterrows():
        asked = config.model_copy(update={"horizon_days": horizon, "overdue_dpd": dpd})
        verdict = label_customers(records, day.date(), asked)["verdict"]
        overdue, decided = (verdict == "overdue").sum(), verdict.isin(["overdue", "on_time"]).sum()
        assert cell["n_customers"] == len(verdict)
        assert (cell["n_overdue"], cell["n_decided"]) == (overdue, decided), (day, horizon, dpd)
        assert cell["n_immature"] == (verdict == "immature").sum(), (day, horizon, dpd)
        if decided:
            assert cell["overdue_rate"] == pytest.approx(overdue / decided)
        else:
            assert pd.isna(cell["overdue_rate"])


def test_the_grid_by_hand(five):
    grid = sensitivity_grid(
        five.records, MAY, next_statement(), {"overdue_dpd": (31, 1, 30), "horizon_days": (30, 29)}
    )
    assert grid.index.names == ["as_of_date", "horizon_days", "overdue_dpd"]
    assert list(grid) == ["n_customers", "n_decided", "n_overdue", "n_immature", "overdue_rate"]
    rate = grid["overdue_rate"].droplevel("as_of_date")
    # June's statements come after 30 days; Ann's says 30. After 29 days there is nothing to go by.
    assert rate[30].to_dict() == {1: 0.25, 30: 0.25, 31: 0.0}
    assert rate[29].isna().all()
    assert grid["n_customers"].tolist() == [4] * 6
    assert grid["n_decided"].tolist() == [0, 0, 0, 4, 4, 4]
    # Cat's of June, 30 days, is known on 15 July; at 31 days she is on time, for she has one account only.
    june = sensitivity_grid(
        five.records, JUN, next_statement(), {"overdue_dpd": (1, 31), "horizon_days": (31,)}
    )
    assert june["n_overdue"].tolist() == [1, 0]
    assert june["n_decided"].tolist() == [1, 1]
    assert june["n_immature"].tolist() == [3, 3]


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_cell_is_what_the_compiler_says(ledgers, data):
    records = data.draw(ledgers.ledger())
    config = next_statement(data.draw(st.sampled_from(["all", "pre_due"])))
    dates = data.draw(ledgers.as_of_dates(2))
    dpd = data.draw(st.lists(st.sampled_from([1, 29, 30, 31, 61]), min_size=1, max_size=2, unique=True))
    horizons = data.draw(st.lists(st.integers(1, 70), min_size=1, max_size=2, unique=True))
    grid = sensitivity_grid(records, dates, config, {"overdue_dpd": dpd, "horizon_days": horizons})
    assert len(grid) == len(dates) * len(dpd) * len(horizons)
    assert grid.index.is_monotonic_increasing
    assert_same_as_the_compiler(grid, records, config)


@pytest.mark.parametrize("population", ["all", "pre_due"])
def test_every_cell_of_a_larger_ledger(ledgers, population):
    records, config = ledgers.bulk(60), next_statement(population)
    grid = sensitivity_grid(
        records,
        [ledgers.day(200), ledgers.day(400)],
        config,
        {"overdue_dpd": (1, 30, 61), "horizon_days": (7, 31)},
    )
    # All kinds of cells occur, or the comparison says little.
    assert grid["n_immature"].max() > 0
    assert grid["overdue_rate"].nunique() > 4
    assert_same_as_the_compiler(grid, records, config)


def test_the_grid_of_taiwan(taiwan):
    """August's 1,479 of 25,787 (see the labels of Taiwan), and who is late at all falls with the bar."""
    grid = sensitivity_grid(
        taiwan,
        "2005-08-31",
        next_statement(),
        {"overdue_dpd": (1, 7, 30, 31, 60), "horizon_days": (31,)},
    )
    cell = grid.loc[(pd.Timestamp("2005-08-31"), 31, 31)]
    assert (cell["n_overdue"], cell["n_decided"], cell["n_immature"]) == (1_479, 25_787, 0)
    assert grid["overdue_rate"].is_monotonic_decreasing
    # Everybody is asked by default, as by the labels config.
    everybody = sensitivity_grid(taiwan, "2005-08-31", vary={"overdue_dpd": (31,)})
    assert everybody["n_decided"].tolist() == [30_000]


def test_grids_that_cannot_be(five):
    with pytest.raises(
        ConfigError, match=r"'labels', population 'all' \[labels\.source\]; expected next_state"
    ):
        sensitivity_grid(five.records, MAY, config=LabelsConfig())
    with pytest.raises(ConfigError, match="overdue_dpd"):
        sensitivity_grid(five.records, MAY, vary={"overdue_dpd": (1, 0)})
    with pytest.raises(ConfigError, match="horizon_days"):
        sensitivity_grid(five.records, MAY, vary={"horizon_days": (400,)})
    with pytest.raises(ConfigError, match="no cell was asked for"):
        sensitivity_grid(five.records, MAY, vary={"overdue_dpd": ()})
    without = drop_column(five, "dpd")
    for ask in (lambda: sensitivity_grid(without, MAY), lambda: final_from(without, next_statement())):
        with pytest.raises(RecordsError, match=r"the column 'dpd' is missing \[table statements\]"):
            ask()
