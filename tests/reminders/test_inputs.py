"""What the policy learns from the records: by hand, by parts, and nothing of what was known later."""

import datetime as dt

import duckdb
import pandas as pd
import pytest

from overdue_ml.config import (
    ChannelRule,
    ContactCap,
    ContactsConfig,
    ExclusionRule,
    HoursConfig,
    RecordsConfig,
    RemindersConfig,
)
from overdue_ml.errors import ConfigError
from overdue_ml.records import bucket_of, compute_next_due, keep_customers, load_records, simulate
from overdue_ml.reminders import ReminderInputs, collect_inputs, rank_customers

from .conftest import rules, scores

AS_OF = dt.date(2024, 1, 31)


def cards(statements, payments, config=None, **tables):
    """Cards: (account, statement_date, due_date, minimum, balance); account 'a2' is of customer 'a'."""
    columns = ["account_id", "statement_date", "due_date", "minimum_due_amount", "balance_amount"]
    frame = pd.DataFrame(statements, columns=columns)
    paid = pd.DataFrame(payments, columns=["account_id", "paid_on", "amount", "known_on"])
    accounts = sorted({*frame["account_id"], *tables.pop("accounts", [])})
    base = {
        "accounts": pd.DataFrame(
            {"account_id": accounts, "customer_id": [a[0] for a in accounts], "opened_on": "2020-01-01"}
        ),
        "statements": frame,
        "payments": paid,
    }
    return load_records(base | tables, config or RecordsConfig())


def covered(records):
    """customer to covered_due_date."""
    people = collect_inputs(records, AS_OF).people.set_index("customer_id")["covered_due_date"].dropna()
    return {who: day.date().isoformat() for who, day in people.items()}


#: 40 are due on 5 February, of a statement of 20 January.
CARD = ("a1", "2024-01-20", "2024-02-05", 40.0, 400.0)


@pytest.mark.parametrize(
    ("payments", "is_covered"),
    [
        ([("a1", "2023-01-25", 40.0, None)], False),
        ([("a1", "2024-01-25", 30.0, None), ("a1", "2024-01-31", 10.0, None)], True),
        ([("a1", "2024-01-25", 39.99, None)], False),
        ([("a1", "2024-01-20", 40.0, None)], False),  # on the day of the statement, which counts it
        ([("a1", "2024-01-31", 40.0, "2024-02-01")], False),  # known tomorrow
        ([("a1", "2024-02-01", 40.0, None)], False),
        # A payment that comes back, from the day on which that is known.
        ([("a1", "2024-01-25", 40.0, None), ("a1", "2024-01-30", -40.0, None)], False),
        ([("a1", "2024-01-25", 40.0, None), ("a1", "2024-01-30", -40.0, "2024-02-02")], True),
    ],
)
def test_a_statement_that_was_paid_since(payments, is_covered):
    assert covered(cards([CARD], payments)) == ({"a": "2024-02-05"} if is_covered else {})


def test_tolerances_of_a_statement():
    paid = [("a1", "2024-01-25", 38.0, None)]
    for name, enough, little in (("tolerance_amount", 2.0, 1.99), ("tolerance_ratio", 0.05, 0.049)):
        assert covered(cards([CARD], paid, RecordsConfig(**{name: enough})))
        assert not covered(cards([CARD], paid, RecordsConfig(**{name: little})))


def test_posting_lag_of_a_payment_towards_a_statement():
    paid = [("a1", "2024-01-30", 40.0, None)]
    assert covered(cards([CARD], paid, RecordsConfig(posting_lag_days=1)))
    assert not covered(cards([CARD], paid, RecordsConfig(posting_lag_days=2)))


@pytest.mark.parametrize(
    ("statements", "paid", "found"),
    [
        # All that is due on the day must be paid; what is due later is what is due next then.
        ([CARD, ("a2", "2024-01-22", "2024-02-05", 50.0, 50.0)], ["a1"], None),
        ([CARD, ("a2", "2024-01-22", "2024-02-05", 50.0, 50.0)], ["a1", "a2"], "2024-02-05"),
        ([CARD, ("a2", "2024-01-22", "2024-02-06", 50.0, 50.0)], ["a1"], None),
        ([CARD, ("a2", "2024-01-22", "2024-02-06", 50.0, 50.0)], ["a1", "a2"], "2024-02-05"),
        ([CARD, ("a2", "2024-01-22", "2024-02-06", 0.0, 50.0)], ["a1"], "2024-02-05"),
        ([CARD, ("a2", "2024-01-22", "2024-02-04", 0.0, 50.0)], ["a1"], "2024-02-05"),
        ([CARD, ("a2", "2024-01-22", "2024-02-04", 50.0, 50.0)], ["a1"], None),
        # The latest statement decides, and is known in February only.
        ([CARD, ("a1", "2024-02-01", "2024-02-20", 90.0, 90.0)], ["a1"], "2024-02-05"),
        ([("a1", "2023-12-20", "2024-02-03", 9.0, 9.0), CARD], ["a1"], "2024-02-05"),
        # Nothing is due, so nothing is paid either; in credit likewise.
        ([("a1", "2024-01-20", "2024-02-05", 0.0, 0.0)], ["a1"], None),
        ([("a1", "2024-01-20", "2024-02-05", None, -5.0)], ["a1"], None),
        # Without a minimum the balance is due: 100 are not enough.
        ([("a1", "2024-01-20", "2024-02-05", None, 400.0)], ["a1"], None),
        ([("a1", "2024-01-20", "2024-02-05", None, 100.0)], ["a1"], "2024-02-05"),
        ([("a1", "2024-01-20", "2024-01-31", 40.0, 40.0)], ["a1"], None),  # past
    ],
)
def test_what_a_payment_of_100_covers(statements, paid, found):
    records = cards(statements, [(account, "2024-01-25", 100.0, None) for account in paid])
    assert covered(records) == ({} if found is None else {"a": found})


@pytest.mark.parametrize(
    ("due_date", "amount", "is_covered"),
    [
        ("2024-02-05", 100.0, False),
        ("2024-02-05", 0.0, True),
        ("2024-02-10", 100.0, False),
        ("2024-02-03", 0.0, True),
    ],
)
def test_a_card_that_is_paid_beside_a_loan_that_is_not(due_date, amount, is_covered):
    loan = pd.DataFrame(
        {"account_id": ["a2"], "instalment_no": [1], "due_date": [due_date], "amount_due": [amount]}
    )
    records = cards([CARD], [("a1", "2024-01-25", 40.0, None)], accounts=["a2"], instalments=loan)
    assert covered(records) == ({"a": "2024-02-05"} if is_covered else {})
    due = compute_next_due(records, AS_OF).loc["a"]
    assert str(due["next_due_date"].date()) == ("2024-02-05" if is_covered else due_date)
    # What was paid is told apart from what is due next, if that is later.
    passed = None if pd.isna(due["paid_due_date"]) else str(due["paid_due_date"].date())
    assert passed == ("2024-02-05" if due_date == "2024-02-10" else None)


def loans(**tables):
    """Instalments of 100 on the 5th of each month from January on: a has paid ahead, b has not."""
    base = {
        "accounts": pd.DataFrame(
            {"account_id": ["a1", "b1"], "customer_id": ["a", "b"], "opened_on": "2023-12-20"}
        ),
        "instalments": pd.DataFrame(
            [(f"{c}1", n, f"2024-0{n}-05", 100.0) for c in "ab" for n in (1, 2, 3)],
            columns=["account_id", "instalment_no", "due_date", "amount_due"],
        ),
        "payments": pd.DataFrame(
            [("a1", "2024-01-05", 100.0), ("a1", "2024-01-28", 100.0), ("b1", "2024-01-05", 100.0)],
            columns=["account_id", "paid_on", "amount"],
        ),
    }
    return load_records(base | tables)


def test_an_instalment_that_was_paid_ahead():
    records = loans()
    people = collect_inputs(records, AS_OF).people
    assert people[["customer_id", "paid_due_date"]].to_numpy().tolist() == [["a", pd.Timestamp("2024-02-05")]]
    # The same through the list: b's instalment of 5 February is reminded of, a's is not.
    due = compute_next_due(records, AS_OF)
    table = scores(customer_id=["a", "b"], due_amount=due["due_amount"].tolist()).assign(
        next_due_date=due["next_due_date"].to_numpy()
    )
    assert table["next_due_date"].tolist() == [pd.Timestamp("2024-03-05"), pd.Timestamp("2024-02-05")]
    assert rules(rank_customers(table, None, collect_inputs(records, AS_OF))) == {"a": "paid_already"}


def test_zones_and_channels_of_customers():
    customers = pd.DataFrame(
        {
            "customer_id": ["a", "b", "c"],
            "zone": ["Asia/Shanghai", None, " "],
            "prefers": [" sms ", "call", None],
        }
    )
    config = RemindersConfig(
        hours=HoursConfig(timezone_column="zone"),
        channels=[ChannelRule(channel="sms")],
        channel_column="prefers",
    )
    found = collect_inputs(loans(customers=customers), AS_OF, config)
    cells = found.people.set_index("customer_id")[["timezone", "channel"]].astype(object)
    assert cells.where(cells.notna(), None).to_dict("index") == {
        "a": {"timezone": "Asia/Shanghai", "channel": "sms"},
        "b": {"timezone": None, "channel": "call"},
    }
    assert found.timezone == "UTC"
    with pytest.raises(ConfigError, match="no column 'zone'") as error:
        collect_inputs(loans(), AS_OF, config)
    assert error.value.where == "hours.timezone_column"
    with pytest.raises(ConfigError, match="no column 'prefers'"):
        collect_inputs(loans(customers=customers[["customer_id", "zone"]]), AS_OF, config)


#: (contacted_on, known_on, arm, outcome) of contacts, and whether they count on 31 January.
CONTACTS = [
    ("2024-01-25", None, None, "reached", True),  # the first of the 7 days of the default cap
    ("2024-01-24", None, None, "reached", False),
    ("2024-01-31", None, "treated", "Reached ", True),
    ("2024-01-31", None, "treated", "reached", True),
    ("2024-01-31", None, "holdout", None, False),  # never was
    ("2024-02-01", None, None, "reached", False),
    ("2024-01-30", "2024-02-01", None, "reached", False),  # known tomorrow
    ("2024-01-29", "2024-01-31", None, "reached", True),
    ("2024-01-28", None, None, None, True),  # nobody knows whether it reached anybody
    ("2024-01-28", None, None, " ", True),
    ("2024-01-27", None, None, "no_answer", None),  # counts where all outcomes do
]


def contacts_of(config=None, without=()):
    columns = ["contacted_on", "known_on", "arm", "outcome", "counts"]
    frame = pd.DataFrame(CONTACTS, columns=columns).drop(columns=["counts", *without])
    records = loans(contacts=frame.assign(customer_id="a"))
    found = collect_inputs(records, AS_OF, config)
    assert found.has_contacts
    days = found.contacts["contacted_on"].dt.date.astype("str")
    return dict(zip(days, found.contacts["n"], strict=True))


def test_contacts_by_day():
    every = {"2024-01-25": 1, "2024-01-27": 1, "2024-01-28": 2, "2024-01-29": 1, "2024-01-31": 2}
    assert contacts_of() == every
    reached = RemindersConfig(contacts=ContactsConfig(effective_outcomes=["REACHED", "promised"]))
    assert contacts_of(reached) == {day: n for day, n in every.items() if day != "2024-01-27"}
    # Only what nobody knows counts.
    nothing = RemindersConfig(contacts=ContactsConfig(effective_outcomes=[]))
    assert contacts_of(nothing) == {"2024-01-28": 2}


def test_contacts_without_arms_or_outcomes():
    assert contacts_of(without=["arm"])["2024-01-31"] == 3
    reached = RemindersConfig(contacts=ContactsConfig(effective_outcomes=["reached"]))
    assert contacts_of(reached, without=["outcome"]) == contacts_of(without=["outcome"])


@pytest.mark.parametrize(
    ("config", "days"),
    [
        (ContactsConfig(caps=[]), 0),
        (ContactsConfig(caps=[], cooldown_days=1), 1),
        (ContactsConfig(caps=[ContactCap(days=3, contacts=1)], cooldown_days=2), 3),
        (ContactsConfig(caps=[ContactCap(days=3, contacts=1)], cooldown_days=9), 9),
    ],
)
def test_how_far_contacts_are_looked_back_at(config, days):
    each = pd.DataFrame({"contacted_on": pd.date_range("2024-01-01", "2024-02-05").date, "customer_id": "b"})
    found = collect_inputs(loans(contacts=each), AS_OF, RemindersConfig(contacts=config)).contacts
    wanted = [AS_OF - dt.timedelta(days=back) for back in reversed(range(days))]
    assert found["contacted_on"].dt.date.tolist() == wanted


def test_records_without_contacts():
    found = collect_inputs(loans(), AS_OF)
    assert not found.has_contacts
    assert len(found.contacts) == 0
    assert found.contacts.dtypes.equals(collect_inputs(lender(), SUMMER, POLICY).contacts.dtypes)


# A synthetic lender with flags, zones and preferences on top.
SUMMER = dt.date(2022, 8, 31)
POLICY = RemindersConfig(
    exclusions=[
        ExclusionRule(rule="opted_out", column="opted_out_on"),
        ExclusionRule(rule="dispute", column="dispute", table="accounts"),
    ],
    technical_days=90,
    contacts=ContactsConfig(caps=[ContactCap(days=60, contacts=2)]),
    hours=HoursConfig(timezone_column="zone"),
    channels=[ChannelRule(channel="sms"), ChannelRule(channel="call")],
    channel_column="prefers",
)


def lender_tables():
    tables = {name: table for name, table in simulate(300, seed=5, months=10).items() if name != "truth"}
    frames = {name: table.to_pandas() for name, table in tables.items()}
    people, accounts = frames["customers"], frames["accounts"]
    place = pd.Series(range(len(people)))
    people["opted_out_on"] = [dt.date(2022, 6, 1) + dt.timedelta(days=7 * (i % 30)) for i in place]
    people.loc[place % 4 > 0, "opted_out_on"] = None
    people["zone"] = place.map(lambda i: [None, "Asia/Shanghai", "Mars/Olympus"][i % 3])
    people["prefers"] = place.map(lambda i: ["sms", "call", None][i % 3])
    accounts["dispute"] = [i % 11 == 0 for i in range(len(accounts))]
    # Some pay ahead; of every second payment the lender hears in September.
    open_ones = accounts.loc[pd.to_datetime(accounts["opened_on"]) < "2022-08-01", "account_id"]
    later = frames["instalments"][pd.to_datetime(frames["instalments"]["due_date"]) > pd.Timestamp(SUMMER)]
    later = later[later["account_id"].isin(open_ones)]
    ahead = later.groupby("account_id", as_index=False).first().iloc[::5].reset_index(drop=True)
    ahead = ahead.rename(columns={"amount_due": "amount"})[["account_id", "instalment_no", "amount"]].assign(
        payment_id=[f"ahead-{i}" for i in ahead.index],
        paid_on=dt.date(2022, 8, 30),
        known_on=[[dt.date(2022, 8, 31), dt.date(2022, 9, 2)][i % 2] for i in ahead.index],
    )
    frames["payments"] = pd.concat([frames["payments"], ahead])
    return frames


def lender(frames=None):
    return load_records(frames or lender_tables())


def same(one, other):
    pd.testing.assert_frame_equal(one.people, other.people)
    pd.testing.assert_frame_equal(one.contacts, other.contacts)
    assert one.unclear == other.unclear
    assert one.matched == other.matched


def test_every_fact_is_there_for_somebody():
    """Otherwise the tests below would compare nothing."""
    found = collect_inputs(lender(), SUMMER, POLICY)
    told = found.people.drop(columns="covered_due_date")
    assert (told.notna().sum() > 3).all()
    assert set(found.people["exclusion"].dropna()) == {"opted_out", "dispute", "technical"}
    assert len(found.contacts) > 30


def test_what_was_known_later_changes_nothing():
    """Deleting every row that was known after the date."""
    frames = lender_tables()
    reported = {"incomes": "received_on", "borrowings": "reported_on", "contacts": "contacted_on"}
    known = {name: f"coalesce(known_on, {day})" for name, day in reported.items()} | {
        "accounts": "opened_on",
        "instalments": "coalesce(known_on, DATE '1970-01-01')",
        "payments": "greatest(paid_on, coalesce(known_on, paid_on))",
    }
    then = dict(frames)
    for name, day in known.items():
        frame = frames[name]
        if "known_on" in day and "known_on" not in frame:
            frame = frame.assign(known_on=pd.Series(pd.NaT, index=frame.index, dtype="datetime64[s]"))
        then[name] = duckdb.sql(f"SELECT * FROM frame WHERE ({day})::DATE <= DATE '{SUMMER}'").df()
        assert len(then[name]) < len(frame) or name == "accounts", name
    then["instalments"] = then["instalments"][
        then["instalments"]["account_id"].isin(then["accounts"]["account_id"])
    ]
    same(collect_inputs(lender(then), SUMMER, POLICY), collect_inputs(lender(frames), SUMMER, POLICY))


@pytest.mark.parametrize("n_buckets", [2, 7])
def test_parts_of_a_book_are_the_whole(n_buckets):
    records = lender()
    whole = collect_inputs(records, SUMMER, POLICY)
    ids = records.tables["customers"].column("customer_id").combine_chunks()
    bucket = bucket_of(ids, n_buckets)
    parts = [
        collect_inputs(keep_customers(records, ids.filter(bucket == b).to_pylist()), SUMMER, POLICY)
        for b in reversed(range(n_buckets))
    ]
    joined = ReminderInputs.concat(parts)
    same(joined, whole)
    assert (joined.as_of, joined.timezone, joined.has_contacts) == (SUMMER, "UTC", True)


def test_parts_add_up_what_is_unclear():
    one = collect_inputs(loans(), AS_OF)
    parts = [
        ReminderInputs(
            AS_OF, one.people.iloc[:0], one.contacts, "UTC", False, {"hardship": 2}, matched={"vip": ["b"]}
        ),
        ReminderInputs(
            AS_OF, one.people, one.contacts, "UTC", True, {"hardship": 1, "dispute": 4},
            matched={"vip": ["a", "b"], "staff": []},
        ),
    ]  # fmt: skip
    joined = ReminderInputs.concat(iter(parts))
    assert dict(joined.matched) == {"staff": [], "vip": ["a", "b"]}
    assert dict(joined.unclear) == {"dispute": 4, "hardship": 3}
    assert joined.has_contacts
    pd.testing.assert_frame_equal(joined.people, one.people)


def test_parts_that_do_not_belong_together():
    one = collect_inputs(loans(), AS_OF)
    with pytest.raises(ConfigError, match="of different dates or zones"):
        ReminderInputs.concat([one, collect_inputs(loans(), AS_OF + dt.timedelta(days=1))])
    with pytest.raises(ConfigError, match="there are none"):
        ReminderInputs.concat([])


def test_dues_that_are_given_spare_work_only():
    records = lender()
    given = collect_inputs(records, SUMMER, POLICY, dues=compute_next_due(records, SUMMER))
    same(given, collect_inputs(records, SUMMER, POLICY))
