"""Labels worked out by hand on the ledger of five, the labels table, maturity, and finality."""

import datetime as dt

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.config import LabelsConfig
from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.features.audit import forget_after
from overdue_ml.labels import TRAINABLE, VERDICTS, label_customers, trainable
from overdue_ml.records import load_records

APR, MAY, JUN = "2024-04-30", "2024-05-31", "2024-06-30"


def next_statement(population="pre_due", **options):
    return LabelsConfig(source="next_statement", population=population, **options)


def told(records, as_of, config):
    """Verdict and maturity by customer, as text; '-' where immature."""
    frame = label_customers(records, as_of, config).reset_index()
    matured = frame["matured_on"].dt.strftime("%Y-%m-%d").fillna("-")
    return {c: (v, m) for c, v, m in zip(frame["customer_id"], frame["verdict"], matured, strict=True)}


def test_one_statement_ahead(five):
    assert told(five.records, MAY, next_statement()) == {
        # Current in May; June's statement says 30 days.
        "ANN": ("overdue", JUN),
        # B1's June statement says 0; B2 closed on 15 May and is not waited for.
        "BEN": ("on_time", JUN),
        # The first that becomes known after May is June's: May's comes on 15 July, 45 days on.
        "CAT": ("on_time", JUN),
        # May's dpd is not known, which is not the same as overdue; June's is 0.
        "DAN": ("on_time", JUN),
        # Eve has no statement by May: she is not there.
    }


def test_who_is_late_already_is_not_asked(five):
    found = told(five.records, APR, next_statement())
    # Ann 60 days, Ben's second account 60 days; Cat's April statement says 0, and May's comes 76 days later.
    assert found["ANN"][0] == found["BEN"][0] == "already_overdue"
    # 31 days after 30 April is 31 May: neither May's statement (15 July) nor June's (30 June) is known.
    assert found["CAT"] == ("nothing_due", "2024-05-31")
    # All are asked in the other population: May's statements, B2's of 15 May too, say 0.
    found = told(five.records, APR, next_statement("all"))
    assert found["ANN"] == ("on_time", MAY)
    assert found["BEN"] == ("on_time", MAY)


def test_a_status_that_is_known_late_belongs_to_the_future(five):
    # On 30 June the first news of Cat is May's statement: 30 days late, known on 15 July.
    assert told(five.records, JUN, next_statement())["CAT"] == ("overdue", "2024-07-15")
    # On 15 July it is the past. The latest statement, June's, says 0: current, and no news after it.
    assert told(five.records, "2024-07-15", next_statement())["CAT"] == ("immature", "-")


def test_immature_where_the_records_end(five):
    found = told(five.records, JUN, next_statement())
    # The records reach to 15 July, the horizon to 31 July.
    assert found["EVE"] == found["BEN"] == found["DAN"] == ("immature", "-")
    # Ann is late already, whatever comes.
    assert found["ANN"][0] == "already_overdue"
    # A horizon of 15 days ends on 15 July: nothing came.
    assert told(five.records, JUN, next_statement(horizon_days=15))["EVE"] == ("nothing_due", "2024-07-15")
    assert told(five.records, JUN, next_statement(horizon_days=16))["EVE"] == ("immature", "-")


@pytest.mark.parametrize(
    ("horizon_days", "expected"),
    # 30 June is 30 days after 31 May.
    [(31, ("overdue", JUN)), (30, ("overdue", JUN)), (29, ("nothing_due", "2024-06-29"))],
)
def test_the_edge_of_the_horizon(five, horizon_days, expected):
    assert told(five.records, MAY, next_statement(horizon_days=horizon_days))["ANN"] == expected


@pytest.mark.parametrize(
    ("overdue_dpd", "expected"), [(1, "overdue"), (29, "overdue"), (30, "overdue"), (31, "on_time")]
)
def test_the_edge_of_overdue(five, overdue_dpd, expected):
    # Ann's June statement says 30.
    assert told(five.records, MAY, next_statement(overdue_dpd=overdue_dpd))["ANN"] == (expected, JUN)


def make(ledgers, *accounts):
    """One customer; an account is (closed day or None, {statement day: (dpd, known day)})."""
    rows = {"customers": [{"customer_id": "C"}], "accounts": [], "statements": []}
    for i, (closed, statements) in enumerate(accounts):
        account = {"account_id": f"A{i}", "customer_id": "C", "opened_on": ledgers.day(0)}
        rows["accounts"].append(account | {"closed_on": None if closed is None else ledgers.day(closed)})
        for day, (dpd, known) in statements.items():
            statement = {"account_id": f"A{i}", "statement_date": ledgers.day(day), "dpd": dpd}
            rows["statements"].append(statement | {"known_on": ledgers.day(known)})
    return ledgers.make_records(rows)


@pytest.mark.parametrize(
    ("accounts", "expected"),
    [
        # As of day 10, horizon 31: until day 41. The plain case.
        ([(None, {10: (0, 10), 40: (5, 40)})], ("overdue", 40)),
        # An older statement that is known after the horizon does not hide the one that came in time.
        ([(None, {10: (0, 10), 20: (0, 90), 40: (5, 40)})], ("overdue", 40)),
        # What is known first counts, not what is dated first.
        ([(None, {10: (0, 10), 20: (5, 41), 40: (0, 40)})], ("on_time", 40)),
        # Overdue is final with the first account that says so, on time with the last one.
        ([(None, {10: (0, 10), 20: (5, 20)}), (None, {10: (0, 10), 35: (0, 35)})], ("overdue", 20)),
        ([(None, {10: (0, 10), 20: (0, 20)}), (None, {10: (0, 10), 35: (5, 35)})], ("overdue", 35)),
        ([(None, {10: (0, 10), 20: (0, 20)}), (None, {10: (0, 10), 35: (0, 35)})], ("on_time", 35)),
        # One stays silent: on time only at the end of the horizon, and only if the records reach it.
        ([(None, {10: (0, 10), 20: (0, 20)}), (None, {10: (0, 10), 41: (0, 90)})], ("on_time", 41)),
        ([(None, {10: (0, 10), 20: (0, 20)}), (None, {10: (0, 10)})], ("immature", None)),
        # It is not waited for if it has been closed; one that closes later is.
        ([(None, {10: (0, 10), 20: (0, 20)}), (10, {10: (0, 10)})], ("on_time", 20)),
        ([(None, {10: (0, 10), 20: (0, 20)}), (11, {10: (0, 10)})], ("immature", None)),
        # A new account without a statement by then is not part of the question.
        ([(None, {10: (0, 10), 20: (0, 20)}), (None, {30: (9, 30)})], ("on_time", 20)),
        # A statement that does not say how late decides nothing.
        ([(None, {10: (0, 10), 20: (None, 20)}), (None, {50: (0, 50)})], ("nothing_due", 41)),
    ],
)
def test_several_accounts_and_late_news(ledgers, accounts, expected):
    found = label_customers(make(ledgers, *accounts), ledgers.day(10), next_statement()).iloc[0]
    assert found["verdict"] == expected[0]
    if expected[1] is None:
        assert pd.isna(found["matured_on"])
    else:
        assert found["matured_on"].date() == ledgers.day(expected[1])


def test_the_frame(five):
    labels = label_customers(five.records, [JUN, APR, MAY], next_statement())
    assert list(labels) == ["is_overdue", "verdict", "matured_on"]
    assert labels.index.names == ["customer_id", "as_of_date"]
    assert labels.index.is_monotonic_increasing
    assert labels.index.is_unique
    assert labels.index.get_level_values("as_of_date").dtype == "datetime64[s]"
    assert (labels["is_overdue"] == (labels["verdict"] == "overdue")).all()
    assert set(labels["verdict"]) <= set(VERDICTS)
    # A date at a time gives the same.
    for as_of in (APR, MAY, JUN):
        alone = label_customers(five.records, as_of, next_statement())
        assert alone.equals(labels[labels.index.get_level_values("as_of_date") == as_of])


def test_trainable_are_the_decided_and_final_ones(five):
    labels = label_customers(five.records, [APR, MAY, JUN], next_statement())
    assert [(c, str(d.date())) for c, d in trainable(labels).index] == [
        ("ANN", MAY), ("BEN", MAY), ("CAT", MAY), ("CAT", JUN), ("DAN", MAY),
    ]  # fmt: skip
    # On 30 June May's labels are final, on the day before none is; Cat's of June is on 15 July.
    assert len(trainable(labels, dt.date(2024, 6, 29))) == 0
    assert len(trainable(labels, dt.date(2024, 6, 30))) == 4
    assert len(trainable(labels, dt.date(2024, 7, 15))) == 5


def test_the_labels_table(five):
    table = pd.DataFrame(
        {
            "customer_id": ["BEN", "ANN", "ANN"],
            "as_of_date": ["2024-05-31", "2024-05-31", "2024-04-30"],
            "is_overdue": [False, True, False],
            "known_on": ["2024-07-01", None, None],
        }
    )
    records = five.with_labels(table)
    labels = label_customers(records)
    assert [(c, str(d.date())) for c, d in labels.index] == [("ANN", APR), ("ANN", MAY), ("BEN", MAY)]
    assert labels["verdict"].tolist() == ["on_time", "overdue", "on_time"]
    assert labels["is_overdue"].tolist() == [False, True, False]
    # Its known_on; else the end of the horizon of 31 days.
    assert labels["matured_on"].dt.strftime("%m-%d").tolist() == ["05-31", "07-01", "07-01"]
    assert len(label_customers(records, MAY)) == 2
    shorter = label_customers(records, APR, LabelsConfig(horizon_days=10))
    assert shorter["matured_on"].dt.strftime("%m-%d").tolist() == ["05-10"]
    without = five.with_labels(table.drop(columns="known_on"))
    assert label_customers(without, MAY)["matured_on"].dt.strftime("%m-%d").tolist() == ["07-01", "07-01"]


def test_what_is_missing_is_said(five):
    with pytest.raises(RecordsError, match=r"no table 'labels'; add it, or set labels\.source") as raised:
        label_customers(five.records)
    assert raised.value.exit_code == 3
    table = pd.DataFrame({"customer_id": ["ANN"], "as_of_date": ["2024-05-31"], "is_overdue": [True]})
    with pytest.raises(RecordsError, match=r"no row as of 2024-06-30.*expected one of 2024-05-31"):
        label_customers(five.with_labels(table), ["2024-05-31", "2024-06-30"])
    with pytest.raises(RecordsError, match="no as_of date was given"):
        label_customers(five.records, config=next_statement())
    frames = five.frames | {"statements": five.frames["statements"].drop(columns="dpd")}
    with pytest.raises(RecordsError, match=r"the column 'dpd' is missing \[table statements\]"):
        label_customers(load_records(frames), MAY, next_statement())


def test_records_without_statements_are_told_the_other_sources():
    frames = {
        "accounts": pd.DataFrame({"account_id": ["a"], "customer_id": ["c"], "opened_on": ["2024-01-05"]}),
        "instalments": pd.DataFrame(
            {"account_id": ["a"], "instalment_no": [1], "due_date": ["2024-02-05"], "amount_due": [10.0]}
        ),
        "payments": pd.DataFrame({"account_id": ["a"], "paid_on": ["2024-02-05"], "amount": [10.0]}),
    }
    with pytest.raises(RecordsError, match="the records have no table 'statements'") as caught:
        label_customers(load_records(frames), MAY, next_statement())
    assert str(caught.value).endswith(
        "; add it, or set labels.source to labels or instalments in the train config."
    )


def test_a_plain_dict_is_no_config(five):
    with pytest.raises(ConfigError, match="the config is a dict; expected a LabelsConfig"):
        label_customers(five.records, MAY, {"source": "next_statement"})


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_matured_label_does_not_hang_on_what_comes_later(ledgers, data):
    """Forget all that was known after a label matured: it is the same label, with the same maturity.

    What the records then cannot tell is whether the horizon has passed: a label that waited for its end
    (nothing due, or a silent account) may be immature, but never another one. And a label that is decided
    on any day stays as it is ever after.
    """
    records = data.draw(ledgers.ledger())
    as_of = data.draw(ledgers.as_of_dates(1))[0]
    config = next_statement(
        data.draw(st.sampled_from(["all", "pre_due"])),
        horizon_days=data.draw(st.sampled_from([1, 10, 31, 60])),
        overdue_dpd=data.draw(st.sampled_from([1, 31])),
    )
    whole = label_customers(records, as_of, config)
    days = set(whole["matured_on"].dropna().dt.date) | {as_of + dt.timedelta(days=n) for n in (5, 20)}
    for day in sorted(days):
        then = label_customers(forget_after(records, day), as_of, config)
        assert set(then.index) == set(whole.index)
        for key, row in then.iterrows():
            final = whole.loc[key]
            if row["verdict"] in TRAINABLE:
                # Decided on that day: as it stands at the end.
                if not closed_before(records, key[0], as_of):
                    assert row["verdict"] == final["verdict"], (key, day)
                    assert row["matured_on"] == final["matured_on"], (key, day)
            elif "already_overdue" in (row["verdict"], final["verdict"]):
                # That is known on the as_of date.
                assert row["verdict"] == final["verdict"], (key, day)
            elif final["verdict"] in TRAINABLE and final["matured_on"].date() <= day:
                assert row["verdict"] == "immature"
                assert final["matured_on"].date() == as_of + dt.timedelta(days=config.horizon_days)


def closed_before(records, customer_id, as_of):
    """A closed account is not waited for; a statement that it still gets may turn the label."""
    return any(
        a["customer_id"] == customer_id and a["closed_on"] and a["closed_on"] <= as_of
        for a in records.tables["accounts"].to_pylist()
    )


def test_the_labels_of_taiwan(taiwan):
    """August's customers by September's status, where one month late occurs in September only (README)."""
    config = next_statement(overdue_dpd=31)
    labels = label_customers(taiwan, "2005-08-31", config)
    assert labels["verdict"].value_counts().to_dict() == {
        "on_time": 24_308, "already_overdue": 4_213, "overdue": 1_479,
    }  # fmt: skip
    # September's status is known on its statement date.
    assert set(trainable(labels)["matured_on"].dt.strftime("%Y-%m-%d")) == {"2005-09-30"}
    # The source's own labels: 6,636 overdue in October.
    table = label_customers(taiwan)
    assert int(table["is_overdue"].sum()) == 6_636
    assert set(table["matured_on"].dt.strftime("%Y-%m-%d")) == {"2005-10-31"}


def test_rolling_to_a_worse_bucket(five):
    march, config = "2024-03-31", next_statement("past_due")
    # Ann 30 days and then 60; of Ben's accounts the worse counts, 30 and then 60. Cat has no statement yet.
    assert told(five.records, march, config) == {"ANN": ("overdue", APR), "BEN": ("overdue", APR)}
    # Both 60 days and then 0. Cat is current: there is nothing to roll.
    assert told(five.records, APR, config) == {
        "ANN": ("on_time", MAY),
        "BEN": ("on_time", MAY),
        "CAT": ("nothing_due", APR),
    }
    # Ann 30 days in June; the records end before the horizon does.
    assert told(five.records, JUN, config)["ANN"] == ("immature", "-")
    assert told(five.records, JUN, config)["BEN"] == ("nothing_due", JUN)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (1, 30, "on_time"),
        (30, 31, "overdue"),
        (31, 60, "on_time"),
        (60, 61, "overdue"),
        (90, 91, "overdue"),
        (61, 30, "on_time"),
        (91, 400, "already_overdue"),
        (0, 400, "nothing_due"),
    ],
)
def test_the_edges_of_the_buckets(ledgers, before, after, expected):
    records = make(ledgers, (None, {10: (before, 10), 40: (after, 40)}))
    assert told(records, ledgers.day(10), next_statement("past_due"))["C"][0] == expected
