"""What is due next, by hand on the ledger of five and on three loans; and what settling once is worth."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import ConfigError
from overdue_ml.features import Beside, Feature, build_part, default_registry
from overdue_ml.records import InstalmentDues, compute_facts, compute_next_due, load_records, simulate
from overdue_ml.records.states import read_unsettled


def told(records, as_of):
    """Due date (or None), due amount, exposure and dpd (or None) by customer."""
    frame = compute_next_due(records, dt.date.fromisoformat(as_of)).replace({np.nan: None})
    assert frame.index.name == "customer_id"
    assert frame.index.is_monotonic_increasing
    assert list(frame) == [
        "next_due_date", "due_amount", "exposure_amount", "dpd", "paid_due_date", "overdue_amount",
        "covered_due_date",
    ]  # fmt: skip
    return {
        row.Index: (
            None if pd.isna(row.next_due_date) else str(row.next_due_date.date()),
            row.due_amount,
            row.exposure_amount,
            row.dpd,
        )
        for row in frame.itertuples()
    }


def test_at_the_end_of_june(five):
    assert told(five.records, "2024-06-30") == {
        # The minimum, not the balance.
        "ANN": ("2024-07-20", 90, 900, 30),
        # B1 has no minimum: its balance. B2's last due date was 4 June, and nothing is left of it.
        "BEN": ("2024-07-20", 500, 500, 0),
        # In credit: owes nothing.
        "CAT": ("2024-07-20", 0, 0, 0),
        "DAN": ("2024-07-20", 1500, 1500, 0),
        # No due date: nothing is due on a day, but 300 are owed.
        "EVE": (None, 0, 300, 0),
    }


def test_two_accounts_due_on_one_day_add_up(five):
    # B1 200 (no minimum) and B2 45 (minimum of 450), both on 20 April; the worse of 0 and 30 days.
    assert told(five.records, "2024-03-31")["BEN"] == ("2024-04-20", 245, 650, 30)


def test_the_earlier_of_two_due_dates_counts(five):
    # B2 on 10 May with a minimum of 40, B1 on 20 May with 300; what is owed is 300 + 400 all the same.
    assert told(five.records, "2024-04-30")["BEN"] == ("2024-05-10", 40, 700, 60)
    # On its due date the day is over: the end of 10 May is after it.
    assert told(five.records, "2024-05-09")["BEN"][0] == "2024-05-10"
    assert told(five.records, "2024-05-10")["BEN"] == ("2024-05-20", 300, 700, 60)
    # B2's statement of 15 May: a minimum of 0 and a balance of 0, due on 4 June; B1's April is past.
    assert told(five.records, "2024-05-20")["BEN"] == ("2024-06-04", 0, 300, 0)


def test_a_card_that_asks_for_nothing_does_not_hide_one_that_does(five):
    # As of 31 May B2 asks for nothing by 4 June, B1 for its balance of 100 by 20 June.
    assert told(five.records, "2024-05-31")["BEN"] == ("2024-06-20", 100, 100, 0)


def test_what_is_paid_since_comes_after_what_is_open(five):
    """Ben's B2 asks for 40 by 10 May, his B1 for 300 by 20 May."""
    payment = {"payment_id": "P1", "account_id": "B2", "paid_on": "2024-05-02", "amount": 40.0}

    def on(day, **other):
        frames = five.frames | {"payments": pd.DataFrame([payment | other])}
        row = compute_next_due(load_records(frames), dt.date.fromisoformat(day)).loc["BEN"]
        dates = ("next_due_date", "paid_due_date", "covered_due_date")
        return *(None if pd.isna(row[d]) else str(row[d].date()) for d in dates), row.due_amount

    # The earlier one is covered: what is due next is the other, and the first is told apart.
    assert on("2024-05-05") == ("2024-05-20", "2024-05-10", None, 300)
    # Not before it is known, nor by less.
    assert on("2024-05-05", known_on="2024-05-06") == ("2024-05-10", None, None, 40)
    assert on("2024-05-05", amount=39.0) == ("2024-05-10", None, None, 40)
    # The later one is paid: the earlier one is still due, and there is nothing to tell.
    later = {"account_id": "B1", "amount": 300.0}
    assert on("2024-05-05", **later) == ("2024-05-10", None, None, 40)
    # Of two that are due on one day only what is open counts; B2 asks for 45 by 20 April, B1 for 200.
    april = {"account_id": "B1", "paid_on": "2024-04-05", "amount": 200.0}
    assert on("2024-04-10", **april) == ("2024-04-20", None, None, 45)
    # Nothing else is due any more: it is the next date, and it is covered.
    assert on("2024-05-11", **later) == ("2024-05-20", None, "2024-05-20", 300)


def test_a_minimum_of_nothing_is_a_minimum(five):
    frames = five.frames | {"statements": five.frames["statements"].copy()}
    last = frames["statements"]["account_id"].eq("A1") & frames["statements"]["balance_amount"].eq(900)
    frames["statements"].loc[last, "minimum_due_amount"] = 0.0
    # Nothing has to be paid by 20 July, though 900 are owed.
    assert told(load_records(frames), "2024-06-30")["ANN"] == ("2024-07-20", 0, 900, 30)


def test_only_what_was_known(five):
    # Cat's May statement is known from 15 July on; June's is the latest then too.
    assert told(five.records, "2024-05-19")["CAT"] == ("2024-05-20", 10, 100, 0)
    # After its due date nothing is due until the next statement; the balance stays exposed.
    assert told(five.records, "2024-06-29")["CAT"] == (None, 0, 100, 0)
    assert told(five.records, "2024-07-15")["CAT"] == ("2024-07-20", 0, 0, 0)
    # Without a known statement a customer is not there.
    assert sorted(told(five.records, "2024-04-29")) == ["ANN", "BEN"]


def test_what_is_overdue_is_what_is_due_of_accounts_past_due(five):
    june = compute_next_due(five.records, dt.date(2024, 6, 30))["overdue_amount"]
    # The minimum of the one account that is late.
    assert june.to_dict() == {"ANN": 90.0, "BEN": 0.0, "CAT": 0.0, "DAN": 0.0, "EVE": 0.0}
    # B2's minimum of 45; B1 is not late. Of March Ann's 60.
    assert compute_next_due(five.records, dt.date(2024, 3, 31))["overdue_amount"].to_dict() == {
        "ANN": 60.0, "BEN": 45.0,
    }  # fmt: skip


def test_an_unknown_dpd_stays_unknown(five):
    # Dan's May statement does not say.
    assert told(five.records, "2024-05-31")["DAN"] == ("2024-06-20", 1000, 1000, None)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        # No minimum in the records: the balance is due.
        ("minimum_due_amount", ("2024-07-20", 900, 900, 30)),
        # No balance: the minimum is, and nothing is known to be exposed.
        ("balance_amount", ("2024-07-20", 90, 0, 30)),
        ("due_date", (None, 0, 900, 30)),
        ("dpd", ("2024-07-20", 90, 900, None)),
    ],
)
def test_without_a_column(five, column, expected):
    frames = five.frames | {"statements": five.frames["statements"].drop(columns=column)}
    assert told(load_records(frames), "2024-06-30")["ANN"] == expected


def test_the_amounts_of_taiwan(taiwan):
    """Due at the end of October: the whole balance, as the source has no minimum; credits owe nothing."""
    frame = compute_next_due(taiwan, dt.date(2005, 9, 30))
    assert len(frame) == 30_000
    assert set(frame["next_due_date"].dt.strftime("%Y-%m-%d")) == {"2005-10-31"}
    assert (frame["due_amount"] == frame["exposure_amount"]).all()
    assert (frame["due_amount"] >= 0).all()
    # README: 590 balances below 0 and 2,008 of 0 in September.
    assert int((frame["due_amount"] == 0).sum()) == 590 + 2_008


def instalment_frames():
    """One customer with three loans, as of 10 March 2024."""
    day = dt.date.fromisoformat
    instalments = [
        # Overdue since 1 March, half paid; the next on 20 March is short by all but 30 that came early.
        ("a", 1, "2024-03-01", 100.0),
        ("a", 2, "2024-03-20", 100.0),
        # Paid ahead: not due any more. The one after it is due on 20 March as well.
        ("b", 1, "2024-03-15", 50.0),
        ("b", 2, "2024-03-20", 50.0),
        # Later than both.
        ("c", 1, "2024-04-01", 70.0),
    ]
    payments = [("a", "2024-03-05", 50.0, 1), ("a", "2024-03-05", 30.0, 2), ("b", "2024-03-09", 50.0, 1)]
    return {
        "accounts": pd.DataFrame(
            {"account_id": list("abc"), "customer_id": ["X"] * 3, "opened_on": ["2024-01-01"] * 3}
        ),
        "instalments": pd.DataFrame(
            [
                {"account_id": a, "instalment_no": n, "due_date": day(due), "amount_due": amount}
                for a, n, due, amount in instalments
            ]
        ),
        "payments": pd.DataFrame(
            [
                {"account_id": a, "paid_on": day(paid), "amount": amount, "instalment_no": n}
                for a, paid, amount, n in payments
            ]
        ),
    }


def test_dues_of_instalments():
    records = load_records(instalment_frames())
    # 20 March: 70 of a and 50 of b. In all 50 + 70 + 50 + 70 are owed; the oldest is nine days late.
    assert told(records, "2024-03-10") == {"X": ("2024-03-20", 120.0, 240.0, 9)}
    # The day before its payment b was due on the 15th.
    assert told(records, "2024-03-08") == {"X": ("2024-03-15", 50.0, 290.0, 7)}
    # What is due today is no longer ahead and not yet late.
    assert told(records, "2024-03-20")["X"] == ("2024-04-01", 70.0, 240.0, 19)
    assert told(records, "2024-04-01")["X"] == (None, 0.0, 240.0, 31)


def test_overdue_instalments():
    records = load_records(instalment_frames())
    overdue = {
        # a1 is short by 50 of 100 from 5 March on.
        "2024-03-01": 0.0,
        "2024-03-04": 100.0,
        "2024-03-10": 50.0,
        # Since the 20th a2 by 70 and b2 by 50 as well; b1 is paid.
        "2024-03-20": 50.0,
        "2024-03-21": 170.0,
    }
    for as_of, amount in overdue.items():
        found = compute_next_due(records, dt.date.fromisoformat(as_of))["overdue_amount"]
        assert found.to_dict() == {"X": amount}, as_of


def test_the_posting_lag_holds_for_dues():
    config = RecordsConfig(posting_lag_days=2)
    records = load_records(instalment_frames(), config)
    # b's payment of the 9th is known on the 11th.
    assert told(records, "2024-03-10")["X"] == ("2024-03-15", 50.0, 290.0, 9)
    assert told(records, "2024-03-11")["X"] == ("2024-03-20", 120.0, 240.0, 10)


def test_within_the_tolerance_nothing_is_due():
    records = load_records(instalment_frames(), RecordsConfig(tolerance_amount=50.0))
    # a1's 50, b2's 50 and b1 are within it; a2 is short by 70.
    assert told(records, "2024-03-10")["X"] == ("2024-03-20", 70.0, 240.0, 0)


def test_statements_and_instalments_of_one_customer_add_up():
    frames = instalment_frames()
    frames["accounts"] = pd.concat(
        [
            frames["accounts"],
            pd.DataFrame({"account_id": ["card"], "customer_id": ["X"], "opened_on": ["2024-01-01"]}),
        ]
    )
    frames["statements"] = pd.DataFrame(
        {
            "account_id": ["card"],
            "statement_date": ["2024-02-29"],
            "due_date": ["2024-03-20"],
            "balance_amount": [500.0],
            "minimum_due_amount": [25.0],
            "dpd": [0],
        }
    )
    assert told(load_records(frames), "2024-03-10") == {"X": ("2024-03-20", 145.0, 740.0, 9)}


@pytest.fixture(scope="module")
def lender():
    """The synthetic lender, part of whose customers have a card account with statements as well."""
    tables = simulate(300, seed=5)
    del tables["truth"]
    accounts = tables["accounts"].to_pandas()
    cards = accounts.drop_duplicates("customer_id").iloc[::3]
    frames = {name: table.to_pandas() for name, table in tables.items()}
    # Two cards each, of which a third asks for nothing.
    owners = pd.concat([cards["customer_id"], cards["customer_id"]], ignore_index=True)
    card_ids = [f"card-{n}-{owner}" for n, owner in enumerate(owners)]
    frames["accounts"] = pd.concat(
        [accounts, pd.DataFrame({"account_id": card_ids, "customer_id": owners})], ignore_index=True
    )
    rng = np.random.default_rng(5)
    frames["statements"] = pd.DataFrame(
        {
            "account_id": card_ids,
            "statement_date": dt.date(2023, 11, 1),
            "due_date": [dt.date(2023, 12, int(d)) for d in rng.integers(1, 20, len(owners))],
            "balance_amount": rng.integers(-50, 500, len(owners)).astype(float),
            "minimum_due_amount": np.maximum(rng.integers(-25, 50, len(owners)), 0).astype(float),
            "dpd": rng.integers(0, 3, len(owners)),
        }
    )
    # Half of them are paid: all, part, or on the day of the statement, which counts it.
    paid = frames["statements"].sample(frac=0.5, random_state=5)
    to_cards = pd.DataFrame(
        {
            "payment_id": "to-" + paid["account_id"],
            "account_id": paid["account_id"],
            "paid_on": rng.choice(
                [dt.date(2023, 11, 1), dt.date(2023, 11, 9), dt.date(2023, 11, 15)], len(paid)
            ),
            "amount": np.maximum(paid["minimum_due_amount"] - rng.choice([0.0, 0.0, 5.0], len(paid)), 1.0),
        }
    )
    frames["payments"] = pd.concat([frames["payments"], to_cards], ignore_index=True)
    return load_records(frames)


def by_definition(records, as_of):
    """The same from the table of facts and the statements, one customer at a time."""
    day = pd.Timestamp(as_of)
    facts = compute_facts(records, as_of).to_pandas()
    owner = records.frame("accounts").set_index("account_id")["customer_id"]
    facts["customer_id"] = facts["account_id"].map(owner)
    cards = records.frame("statements")
    cards["customer_id"] = cards["account_id"].map(owner)
    cards = cards[pd.to_datetime(cards["statement_date"]) <= day]
    payments = records.frame("payments")
    paid_on = pd.to_datetime(payments["paid_on"])
    found = {}
    for customer in sorted({*facts["customer_id"], *cards["customer_id"]}):
        own, card = facts[facts["customer_id"] == customer], cards[cards["customer_id"] == customer]
        dates, still = pd.to_datetime(own["due_date"]), ~own["is_settled"].astype(bool)
        still_open, asked, amounts = [*dates[still & (dates > day)]], [], []
        for row in card.itertuples():
            since = payments[
                (payments["account_id"] == row.account_id)
                & (paid_on > pd.Timestamp(row.statement_date))
                & (paid_on <= day)
            ]
            if pd.Timestamp(row.due_date) > day and row.minimum_due_amount > 0:
                covers = since["amount"].sum() >= row.minimum_due_amount
                (asked if covers else still_open).append(pd.Timestamp(row.due_date))
                amounts.append((pd.Timestamp(row.due_date), covers, row.minimum_due_amount))
        any_date = [d for d in pd.to_datetime(card["due_date"]) if d > day]
        due = min(still_open or asked or any_date, default=pd.NaT)
        paid = [*dates[~still & (dates > day) & (own["amount_due"] > 0)]]
        if still_open and asked and min(asked) < due:
            paid.append(min(asked))
        short = own["shortfall_amount"]
        found[customer] = {
            "next_due_date": due,
            "due_amount": short[still & (dates == due)].sum()
            + sum(amount for on, covers, amount in amounts if on == due and not (covers and still_open)),
            "exposure_amount": short.sum() + card["balance_amount"].clip(lower=0).sum(),
            "dpd": max([*np.where(still, (day - dates).dt.days, 0), *card["dpd"], 0]),
            "paid_due_date": min(paid, default=pd.NaT),
            "overdue_amount": short[still & (dates < day)].sum()
            + card["minimum_due_amount"][card["dpd"] > 0].sum(),
            "covered_due_date": due if asked and not still_open else pd.NaT,
        }
    frame = pd.DataFrame.from_dict(found, orient="index")
    return frame.astype(
        dict.fromkeys([c for c in frame if c.endswith("date")], "datetime64[us]") | {"dpd": float}
    )


@pytest.mark.parametrize("as_of", [dt.date(2023, 3, 7), dt.date(2023, 11, 20)])
def test_by_definition(lender, as_of):
    found = compute_next_due(lender, as_of)
    expected = by_definition(lender, as_of)
    assert expected["paid_due_date"].notna().any()
    assert (expected["overdue_amount"] > 0).any()
    assert expected["covered_due_date"].notna().any() == (as_of.month == 11)
    pd.testing.assert_frame_equal(found, expected, check_names=False, check_index_type=False)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_states_that_features_are_made_of_tell_it_too(lender, n_threads):
    """Settled once; what is asked for does not hang on whether features of instalments were."""
    as_of = dt.date(2023, 11, 20)
    alone = compute_next_due(lender, as_of)
    registry = default_registry()
    for view in ("instalments", "incomes"):
        names = [f.name for f in registry if isinstance(f, Feature) and f.measure.view == view][:3]
        owed = InstalmentDues(as_of)
        build_part(lender, as_of, names, registry, beside=Beside(reader=owed), n_threads=n_threads)
        shared = compute_next_due(lender, as_of, instalments=owed, n_threads=n_threads)
        pd.testing.assert_frame_equal(shared, alone, check_exact=True)


def test_of_another_date_they_are_refused(lender):
    owed = InstalmentDues(dt.date(2023, 12, 2))
    with pytest.raises(ConfigError, match="these instalments are those of 2023-12-02"):
        compute_next_due(lender, dt.date(2023, 12, 3), instalments=owed)
    for dates in ([dt.date(2023, 12, 3)], [dt.date(2023, 12, 2), dt.date(2023, 12, 3)], None):
        with pytest.raises(ConfigError, match="states of other dates"):
            owed.read(read_unsettled(lender, as_of=dates))
