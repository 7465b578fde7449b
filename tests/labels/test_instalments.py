"""Labels from settled instalments: by hand, against the oracle, and for what the future may not change."""

import collections
import datetime as dt
import importlib.util
import random
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.config import LabelsConfig, RecordsConfig
from overdue_ml.errors import RecordsError
from overdue_ml.labels import (
    before_due_dates,
    compute_unpaid,
    final_from,
    label_customers,
    maturity,
    sensitivity_grid,
    verdicts_by_date,
)
from overdue_ml.records import load_records, simulate

TESTS = Path(__file__).parents[1]
START = dt.date(2024, 1, 31)


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


settlement_oracle = module(TESTS / "records" / "settlement_oracle.py")
LabelOracle = module(TESTS / "labels" / "label_oracle.py").LabelOracle


def day(text):
    return dt.date.fromisoformat(f"2024-{text}")


def frames(instalments, payments, opened="2023-01-01", owner=None):
    """Tables from tuples: (account, no, due, amount[, known]) and (account, paid, amount[, options])."""
    accounts = sorted({row[0] for row in [*instalments, *payments]})
    return {
        "accounts": pd.DataFrame(
            {
                "account_id": accounts,
                "customer_id": [(owner or {}).get(account, account[0]) for account in accounts],
                "opened_on": [opened] * len(accounts),
            }
        ),
        "instalments": pd.DataFrame(
            [
                {
                    "account_id": account,
                    "instalment_no": no,
                    "due_date": day(due),
                    "amount_due": amount,
                    "known_on": day(known[0]) if known else None,
                }
                for account, no, due, amount, *known in instalments
            ]
        ),
        "payments": pd.DataFrame(
            [
                {
                    "account_id": account,
                    "paid_on": day(paid),
                    "amount": amount,
                    "known_on": None,
                    "technical": False,
                }
                | (options[0] if options else {})
                for account, paid, amount, *options in payments
            ]
        ),
    }


def told(tables, as_of, options=None, **records_options):
    """``{customer: (verdict, matured on as MM-DD)}``."""
    records = load_records(tables, RecordsConfig(max_rejected_share=0.0, **records_options))
    config = LabelsConfig(source="instalments", **({"posting_days": 0} | (options or {})))
    frame = label_customers(records, day(as_of), config).reset_index()
    matured = frame["matured_on"].dt.strftime("%m-%d").fillna("-")
    return {c: (v, m) for c, v, m in zip(frame["customer_id"], frame["verdict"], matured, strict=True)}


# Everybody owes 100 on 10 February. Z's payment of 30 June is where the records end.
END = ("Z1", "06-30", 1.0)
DUE = [("A1", 1, "02-10", 100.0)]
PLAIN = {"technical_days": 0}


@pytest.mark.parametrize(
    ("payments", "options", "expected"),
    [
        # The deadline of overdue_dpd 1 is the due date itself, at the end of the day.
        ([("A1", "02-10", 100.0)], {}, ("on_time", "02-10")),
        ([("A1", "02-11", 100.0)], {}, ("overdue", "02-10")),
        ([("A1", "02-11", 100.0)], {"overdue_dpd": 2}, ("on_time", "02-11")),
        ([("A1", "02-11", 100.0)], {"grace_days": 1}, ("on_time", "02-11")),
        ([("A1", "02-12", 100.0)], {"grace_days": 1}, ("overdue", "02-11")),
        # 10 February + 3 + 30 - 1 = 13 March: 2024 is a leap year.
        ([("A1", "03-13", 100.0)], {"grace_days": 3, "overdue_dpd": 30}, ("on_time", "03-13")),
        ([("A1", "03-14", 100.0)], {"grace_days": 3, "overdue_dpd": 30}, ("overdue", "03-13")),
        # In part; in two parts; before the as_of date; nothing at all.
        ([("A1", "02-10", 99.99)], {}, ("overdue", "02-10")),
        ([("A1", "02-03", 60.0), ("A1", "02-10", 40.0)], {}, ("on_time", "02-10")),
        ([("A1", "01-20", 100.0)], {}, ("on_time", "02-10")),
        ([], {}, ("overdue", "02-10")),
        # Paid in time and taken back by the deadline, or after it.
        ([("A1", "02-08", 100.0), ("A1", "02-10", -100.0)], {}, ("overdue", "02-10")),
        ([("A1", "02-08", 100.0), ("A1", "02-11", -100.0)], {}, ("on_time", "02-10")),
        # The horizon: 31 January + 10 is the due date, + 9 is not.
        ([], {"horizon_days": 10}, ("overdue", "02-10")),
        ([], {"horizon_days": 9}, ("nothing_due", "01-31")),
    ],
)
def test_one_instalment(payments, options, expected):
    tables = frames(DUE, [*payments, END])
    assert told(tables, "01-31", PLAIN | options)["A"] == expected


def test_the_tolerance_is_that_of_settlement():
    tables = frames(DUE, [("A1", "02-10", 95.0), END])
    assert told(tables, "01-31", PLAIN)["A"][0] == "overdue"
    assert told(tables, "01-31", PLAIN, tolerance_amount=5.0)["A"][0] == "on_time"
    assert told(tables, "01-31", PLAIN, tolerance_amount=4.99)["A"][0] == "overdue"
    assert told(tables, "01-31", PLAIN, tolerance_ratio=0.05)["A"][0] == "on_time"


def test_money_paid_in_time_may_post_within_the_lag_and_no_later():
    known = {"known_on": day("02-13")}
    tables = frames(DUE, [("A1", "02-10", 100.0, known), END])
    # Known three days after the deadline: too late without a lag, in time with one of three days.
    assert told(tables, "01-31", PLAIN)["A"] == ("overdue", "02-10")
    assert told(tables, "01-31", PLAIN, posting_lag_days=2)["A"] == ("overdue", "02-12")
    assert told(tables, "01-31", PLAIN, posting_lag_days=3)["A"] == ("on_time", "02-13")
    # Paid after the deadline it is late, however soon it posts.
    tables = frames(DUE, [("A1", "02-11", 100.0, {"known_on": day("02-11")}), END])
    assert told(tables, "01-31", PLAIN, posting_lag_days=3)["A"] == ("overdue", "02-13")


def test_where_payments_say_when_they_were_known_posting_is_awaited():
    tables = frames(DUE, [("A1", "02-10", 100.0, {"known_on": day("02-13")}), END])
    waited = PLAIN | {"posting_days": 3}
    assert told(tables, "01-31", waited)["A"] == ("on_time", "02-13")
    assert told(tables, "01-31", PLAIN | {"posting_days": 2})["A"] == ("overdue", "02-12")
    assert told(tables, "01-31", waited, posting_lag_days=5)["A"] == ("on_time", "02-15")
    tables["payments"] = tables["payments"].drop(columns="known_on")
    assert told(tables, "01-31", waited)["A"] == ("on_time", "02-10")


def test_technical_payments_excuse_if_they_alone_make_it_good_in_time():
    def verdict(*payments, **options):
        return told(frames(DUE, [*payments, END]), "01-31", options)["A"]

    bank = {"technical": True}
    # Seven days after the deadline is 17 February: until then an overdue may still turn technical.
    assert verdict(("A1", "02-17", 100.0, bank)) == ("technical", "02-17")
    assert verdict(("A1", "02-18", 100.0, bank)) == ("overdue", "02-17")
    assert verdict(("A1", "02-18", 100.0, bank), technical_days=8) == ("technical", "02-18")
    assert verdict(("A1", "02-12", 100.0)) == ("overdue", "02-17")
    # 60 of the customer's own in time and 40 of the bank's cause is excused; the other way round is not.
    assert verdict(("A1", "02-10", 60.0), ("A1", "02-12", 40.0, bank))[0] == "technical"
    assert verdict(("A1", "02-12", 60.0), ("A1", "02-12", 40.0, bank))[0] == "overdue"
    # On time is final at the deadline.
    assert verdict(("A1", "02-10", 100.0, bank)) == ("on_time", "02-10")


def test_a_customer_of_several_instalments():
    due = [("A1", 1, "02-10", 100.0), ("A2", 1, "02-20", 50.0)]

    def verdict(*payments):
        return told(frames(due, [*payments, END]), "01-31")["A"]

    first, second = ("A1", "02-10", 100.0), ("A2", "02-20", 50.0)
    assert verdict(first, second) == ("on_time", "02-20")
    # Overdue from the first instalment that is; final seven days later, when no bank can be to blame.
    assert verdict(second) == ("overdue", "02-17")
    assert verdict(first) == ("overdue", "02-27")
    assert verdict() == ("overdue", "02-17")
    # One technical and the other on time: technical. One technical and the other overdue: overdue.
    bank = ("A1", "02-12", 100.0, {"technical": True})
    assert verdict(bank, second) == ("technical", "02-20")
    assert verdict(bank) == ("overdue", "02-27")


def test_what_is_still_unpaid_of_what_went_overdue():
    """Each owes 100 on 10 February, due by the 12th with two days of grace, seen at the end of January.

    A has paid 60 by then and the rest a day late: 40. B nothing: 100. C everything, D 99.99 with a tolerance
    of a cent, E by a technical payment within seven days, F put off before: none of them. G owes 50 of
    another account on the same day, of which 20 are paid: 130; and 70 on the 20th. H has paid and taken back:
    100. I has paid 60 that became known too late: 100. Z's payments are where the records end.
    """
    due = [(f"{who}1", 1, "02-10", 100.0) for who in "ABCDEFGHI"]
    due += [("F1", 1, "03-25", 100.0, "02-05"), ("G2", 1, "02-10", 50.0), ("G2", 2, "02-20", 70.0)]
    paid = [
        ("A1", "02-12", 60.0), ("A1", "02-13", 40.0), ("C1", "02-12", 100.0), ("D1", "02-10", 99.99),
        ("E1", "02-14", 100.0, {"technical": True}), ("G2", "02-12", 20.0), ("H1", "02-05", 100.0),
        ("H1", "02-11", -100.0), ("I1", "02-12", 60.0, {"known_on": day("02-14")}), END,
    ]  # fmt: skip
    records = load_records(frames(due, paid), RecordsConfig(tolerance_amount=0.01, max_rejected_share=0.0))
    config = LabelsConfig(source="instalments", grace_days=2, posting_days=1)
    found = compute_unpaid(records, [day("01-31"), day("02-15")], config)
    assert [
        (row.customer_id, row.as_of_date.strftime("%m-%d"), row.due_date.strftime("%m-%d"), row.unpaid_amount)
        for row in found.itertuples()
    ] == [
        ("A", "01-31", "02-10", 40.0), ("B", "01-31", "02-10", 100.0), ("G", "01-31", "02-10", 130.0),
        ("G", "01-31", "02-20", 70.0), ("G", "02-15", "02-20", 70.0), ("H", "01-31", "02-10", 100.0),
        ("I", "01-31", "02-10", 100.0),
    ]  # fmt: skip
    # Whoever has a row is overdue by the label; and nothing is told that is not final yet.
    labels = label_customers(records, [day("01-31"), day("02-15")], config)
    keys = found.set_index(["customer_id", "as_of_date"]).index
    overdue = labels.index[labels["is_overdue"]]
    assert set(overdue) - set(keys) == set()
    early = frames(due, [row for row in paid[:-1] if row[1] < "02-14"])
    assert compute_unpaid(load_records(early), day("01-31"), config).empty


@pytest.mark.parametrize("options", [{"source": "labels"}, {"population": "past_due"}])
def test_labels_that_ask_no_single_due_tell_nothing_unpaid(options):
    records = load_records(frames(DUE, [END]))
    assert (
        compute_unpaid(records, day("01-31"), LabelsConfig(**({"source": "instalments"} | options))) is None
    )


def test_an_instalment_that_is_put_off_is_no_answer():
    later = [("A1", 1, "02-10", 100.0), ("A1", 1, "03-10", 100.0, "02-09")]
    # Known on the day before the due date: nothing is left that fell due by the plan of 31 January.
    assert told(frames(later, [END]), "01-31", PLAIN)["A"] == ("nothing_due", "02-10")
    # Known on the day after: it was overdue by then.
    late = [("A1", 1, "02-10", 100.0), ("A1", 1, "03-10", 100.0, "02-11")]
    assert told(frames(late, [END]), "01-31", PLAIN)["A"] == ("overdue", "02-10")
    # A lower amount due counts as it then stands.
    lower = [("A1", 1, "02-10", 100.0), ("A1", 1, "02-10", 40.0, "02-09")]
    assert told(frames(lower, [("A1", "02-10", 40.0), END]), "01-31", PLAIN)["A"] == ("on_time", "02-10")
    # What is planned after the as_of date only is not asked.
    new = [("A1", 1, "02-10", 100.0, "02-01")]
    assert told(frames(new, [END]), "01-31", PLAIN)["A"] == ("nothing_due", "01-31")


def test_who_is_past_due_already():
    due = [("A1", 1, "01-30", 100.0), ("A1", 2, "02-28", 100.0), ("B1", 1, "01-31", 100.0)]
    tables = frames(due, [("A1", "02-10", 200.0), END])
    found = told(tables, "01-31", {"population": "pre_due"})
    # One day late on 31 January. B's is due on that very day: not late yet, and not ahead any more.
    assert found["A"] == ("already_overdue", "01-31")
    assert found["B"] == ("nothing_due", "01-31")
    # In the population of all, A's second instalment decides.
    assert told(tables, "01-31")["A"] == ("on_time", "02-28")


@pytest.mark.parametrize(
    ("as_of", "horizon", "payments", "expected"),
    [
        # Due on 10 January: 21 days late on 31 January, 50 on 29 February, 52 on 2 March.
        ("01-31", 29, [], ("overdue", "02-29")),
        # Cured; and half paid, which is not.
        ("01-31", 29, [("A1", "02-20", 100.0)], ("on_time", "02-29")),
        ("01-31", 29, [("A1", "02-20", 50.0)], ("overdue", "02-29")),
        # 30 days late on 9 February is still the first bucket; 31 on the 10th is the second.
        ("01-31", 9, [], ("on_time", "02-09")),
        ("01-31", 10, [], ("overdue", "02-10")),
        # 90 days late on 9 April, 91 on the 10th.
        ("04-09", 1, [], ("overdue", "04-10")),
        ("04-10", 1, [], ("already_overdue", "04-10")),
        # Due today: not past due.
        ("01-10", 31, [], ("nothing_due", "01-10")),
        # The records end on 30 June.
        ("03-31", 92, [], ("immature", "-")),
        ("03-31", 91, [], ("overdue", "06-30")),
    ],
)
def test_rolling_to_a_worse_bucket(as_of, horizon, payments, expected):
    tables = frames([("A1", 1, "01-10", 100.0)], [*payments, END])
    # 172 days after 10 January is 30 June: more than the 90 of the last bucket.
    options = {"population": "past_due", "horizon_days": horizon}
    assert told(tables, as_of, options)["A"] == expected


def test_money_that_posts_late_cures_a_roll():
    # Due on 10 January; paid on 29 February, when it is judged, and known two days later.
    cured = ("A1", "02-29", 100.0, {"known_on": day("03-02")})
    tables = frames([("A1", 1, "01-10", 100.0)], [cured, END])
    options = {"population": "past_due", "horizon_days": 29}
    assert told(tables, "01-31", options | {"posting_days": 2})["A"] == ("on_time", "03-02")
    assert told(tables, "01-31", options | {"posting_days": 1})["A"] == ("overdue", "03-01")


def test_an_amount_of_zero_is_not_due():
    tables = frames([("A1", 1, "02-10", 0.0)], [END])
    assert told(tables, "01-31", PLAIN)["A"] == ("nothing_due", "01-31")


def test_immature_until_the_records_reach_it():
    def verdict(end, *payments):
        tables = frames([*DUE, ("Z1", 1, "01-01", 1.0)], [*payments, ("Z1", end, 1.0)])
        return told(tables, "01-31", {"grace_days": 3})["A"]

    # The deadline is 13 February, and a technical payment may excuse until the 20th.
    assert verdict("02-12", ("A1", "02-10", 100.0)) == ("immature", "-")
    assert verdict("02-13", ("A1", "02-10", 100.0)) == ("on_time", "02-13")
    assert verdict("02-19") == ("immature", "-")
    assert verdict("02-20") == ("overdue", "02-20")


def test_customers_without_instalments_have_a_row():
    tables = frames(DUE, [END])
    found = told(tables, "01-31")
    assert found["Z"] == ("nothing_due", "01-31")
    assert set(found) == {"A", "Z"}


# Generated ledgers.

RULES = [(0, 0.0, 0.0), (2, 0.5, 0.0), (5, 0.0, 0.05)]


def random_ledger(seed):
    """A few customers, each instalment with everything that can happen to it."""
    rng = random.Random(seed)
    ledger = {"accounts": [], "instalments": [], "payments": []}
    for number in range(rng.randint(1, 4)):
        account = {"account_id": f"a{number}", "customer_id": f"c{number // 2}"}
        ledger["accounts"].append(account | {"opened_on": START + dt.timedelta(rng.randint(-60, 20))})
        named = rng.random() < 0.5
        first = START + dt.timedelta(rng.randint(-50, 30))
        for no in range(rng.randint(1, 4)):
            due = first + dt.timedelta(30 * no + rng.randint(-2, 2))
            row = {"account_id": f"a{number}", "instalment_no": no, "due_date": due, "amount_due": 100.0}
            ledger["instalments"].append(row | {"known_on": None})
            if rng.random() < 0.2:
                change = {"due_date": due + dt.timedelta(rng.choice([0, 10, 30])), "amount_due": 80.0}
                known = due + dt.timedelta(rng.randint(-20, 20))
                ledger["instalments"].append(row | change | {"known_on": known})
            for amount in rng.choice([[], [100.0], [100.0], [98.0], [60.0, 40.0], [100.0, -100.0, 100.0]]):
                paid = due + dt.timedelta(rng.choice([-3, 0, 0, 1, 4, 9, 40]))
                lag = rng.choice([None, 0, 1, 3, 8])
                ledger["payments"].append(
                    {
                        "account_id": f"a{number}",
                        "paid_on": paid,
                        "amount": amount,
                        "instalment_no": no if named else None,
                        "known_on": None if lag is None else paid + dt.timedelta(lag),
                        "technical": rng.random() < 0.3,
                    }
                )
    # Where the records end.
    end = {"paid_on": START + dt.timedelta(rng.randint(10, 120)), "amount": 1.0, "instalment_no": None}
    ledger["payments"].append({"account_id": "a0", "known_on": None, "technical": False} | end)
    return ledger


def loaded(ledger, rules, drop=()):
    lag, amount, ratio = rules
    config = RecordsConfig(
        posting_lag_days=lag, tolerance_amount=amount, tolerance_ratio=ratio, max_rejected_share=0.0
    )
    tables = {
        name: pd.DataFrame(rows).drop(columns=list(drop), errors="ignore") for name, rows in ledger.items()
    }
    for name in ("instalment_no", "due_date", "paid_on", "known_on", "opened_on"):
        for table in tables.values():
            if name == "instalment_no" and name in table:
                table[name] = table[name].astype("Int64")
    # An account without a row before its first instalment's opening would be refused.
    tables["accounts"]["opened_on"] = [
        min(
            [
                row["opened_on"],
                *(r["due_date"] for r in ledger["instalments"] if r["account_id"] == row["account_id"]),
            ]
        )
        for row in ledger["accounts"]
    ]
    for row, opened in zip(ledger["accounts"], tables["accounts"]["opened_on"], strict=True):
        row["opened_on"] = opened
    return load_records(tables, config, strict=False)


def as_told(records, dates, config):
    frame = label_customers(records, dates, config).reset_index()
    matured = [None if pd.isna(day) else day.date() for day in frame["matured_on"]]
    keys = zip(frame["customer_id"], frame["as_of_date"].dt.date, strict=True)
    return dict(zip(keys, zip(frame["verdict"], matured, strict=True), strict=True))


def configs():
    return st.builds(
        LabelsConfig,
        source=st.just("instalments"),
        horizon_days=st.sampled_from([1, 15, 31, 60]),
        overdue_dpd=st.sampled_from([1, 7, 30]),
        grace_days=st.sampled_from([0, 3]),
        posting_days=st.sampled_from([0, 4]),
        technical_days=st.sampled_from([0, 7]),
        population=st.sampled_from(["all", "pre_due", "past_due"]),
    )


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rules=st.sampled_from(RULES),
    config=configs(),
    days=st.lists(st.integers(-30, 90), min_size=1, max_size=3, unique=True),
    technical=st.booleans(),
)
def test_agrees_with_the_oracle(seed, rules, config, days, technical):
    ledger = random_ledger(seed)
    records = loaded(ledger, rules, drop=() if technical else ("technical",))
    dates = sorted(START + dt.timedelta(n) for n in days)
    if not technical:
        ledger["payments"] = [row | {"technical": False} for row in ledger["payments"]]
    options = {"posting_days": config.posting_days, "has_technical": technical}
    expected = LabelOracle(settlement_oracle, ledger, rules, **options).labels(dates, config)
    assert as_told(records, dates, config) == expected


def test_the_generated_ledgers_hold_every_verdict():
    counts = collections.Counter()
    dates = [START + dt.timedelta(n) for n in (0, 30, 60)]
    for seed in range(45):
        records = loaded(random_ledger(seed), RULES[0])
        for population in ("all", "pre_due", "past_due"):
            labels = as_told(records, dates, LabelsConfig(source="instalments", population=population))
            counts.update((population, verdict) for verdict, _ in labels.values())
    for population in ("all", "pre_due"):
        for verdict in ("overdue", "on_time", "technical", "nothing_due", "immature"):
            assert counts[population, verdict] >= 3, counts
    for verdict in ("overdue", "on_time", "nothing_due", "immature"):
        assert counts["past_due", verdict] >= 3, counts
    assert counts["pre_due", "already_overdue"] >= 3


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), rules=st.sampled_from(RULES), config=configs())
def test_a_final_verdict_is_known_on_the_day_it_matures(seed, rules, config):
    """Cut the records at matured_on: the verdict is the same."""
    ledger = random_ledger(seed)
    records = loaded(ledger, rules)
    oracle = LabelOracle(settlement_oracle, ledger, rules)
    whole = as_told(records, [START], config)
    for (customer, as_of), (verdict, matured_on) in whole.items():
        if matured_on is None:
            continue
        known = [row for row in ledger["payments"] if oracle.known_on(row) <= matured_on]
        # The records do reach that day, by a payment of nobody's.
        known.append(
            ledger["payments"][0] | {"paid_on": matured_on, "known_on": matured_on, "account_id": "x"}
        )
        versions = [
            row for row in ledger["instalments"] if not row["known_on"] or row["known_on"] <= matured_on
        ]
        stranger = {"account_id": "x", "customer_id": "x", "opened_on": dt.date(2023, 1, 1)}
        cut = {"accounts": [*ledger["accounts"], stranger], "instalments": versions, "payments": known}
        assert as_told(loaded(cut, rules), [as_of], config)[customer, as_of] == (verdict, matured_on)


@settings(max_examples=4, deadline=None)
@given(
    seed=st.integers(0, 2**32), rules=st.sampled_from(RULES), population=st.sampled_from(["all", "pre_due"])
)
def test_every_cell_of_the_grid_is_what_the_compiler_says(seed, rules, population):
    records = loaded(random_ledger(seed), rules)
    config = LabelsConfig(source="instalments", population=population, horizon_days=31)
    dates = [START, START + dt.timedelta(30)]
    vary = {
        "grace_days": (0, 4),
        "tolerance_ratio": (0.0, 0.05),
        "overdue_dpd": (1, 30),
        "horizon_days": (15, 31),
    }
    grid = sensitivity_grid(records, dates, config, vary)
    assert grid.index.names == ["as_of_date", "horizon_days", "grace_days", "tolerance_ratio", "overdue_dpd"]
    assert len(grid) == 2 * 16
    for (as_of, horizon, grace, ratio, dpd), cell in grid.iterrows():
        changed = config.model_copy(update={"horizon_days": horizon, "grace_days": grace, "overdue_dpd": dpd})
        settings_of_records = records.config.model_copy(update={"tolerance_ratio": ratio})
        other = type(records)(records.tables, records.rejected, records.report, settings_of_records)
        verdicts = [v for v, _ in as_told(other, [as_of.date()], changed).values()]
        counts = collections.Counter(verdicts)
        assert cell["n_customers"] == len(verdicts)
        assert (cell["n_overdue"], cell["n_immature"]) == (counts["overdue"], counts["immature"])
        assert cell["n_decided"] == counts["overdue"] + counts["on_time"]


def test_the_grid_of_the_synthetic_lender():
    records = load_records({k: v for k, v in simulate(400, seed=3, months=8).items() if k != "truth"})
    grid = sensitivity_grid(records, "2022-05-31")
    assert grid.index.names == ["as_of_date", "grace_days", "tolerance_ratio", "overdue_dpd"]
    # The later it is asked, the fewer are overdue; at 60 and 90 days past due few labels are final.
    rate = grid["overdue_rate"].droplevel("as_of_date")
    early = rate[rate.index.get_level_values("overdue_dpd") <= 30]
    assert (early.groupby(level=["grace_days", "tolerance_ratio"]).diff().dropna() <= 0).all()
    assert rate[(0, 0.0, 1)] > rate[(7, 0.0, 1)] > 0


def test_labels_of_the_synthetic_lender_follow_its_truth():
    """The rate of each month lies within four standard errors of the mean true probability."""
    tables = simulate(3000, seed=5, months=8)
    truth = tables.pop("truth").to_pandas()
    records = load_records(tables)
    config = LabelsConfig(source="instalments", horizon_days=31, grace_days=3)
    dates = ["2022-03-31", "2022-04-30", "2022-05-31"]
    labels = label_customers(records, dates, config).reset_index()
    truth["as_of_date"] = pd.to_datetime(truth["as_of_date"]).astype("datetime64[s]")
    both = labels.merge(truth, on=["customer_id", "as_of_date"])
    decided = both[both["verdict"].isin(["overdue", "on_time"])]
    assert len(decided) > 5000
    # Who had nothing due has no truth either, and the other way round.
    assert (both["verdict"] == "nothing_due").sum() == 0
    for _, month in decided.groupby("as_of_date"):
        p = month["p_overdue"]
        error = ((p * (1 - p)).sum() ** 0.5) / len(p)
        assert abs(month["is_overdue"].mean() - p.mean()) < 4 * error


def test_maturity_and_final_from():
    tables = frames([*DUE, ("B1", 1, "03-10", 100.0)], [("A1", "02-10", 100.0), END])
    records = load_records(tables)
    config = LabelsConfig(source="instalments", grace_days=3, overdue_dpd=2, posting_days=0)
    found = maturity(records, [day("01-31"), day("05-31")], config)
    # A's deadline is 10 February + 3 + 2 - 1 = the 14th.
    assert found.loc["2024-01-31", "all_final_on"] == pd.Timestamp("2024-02-14")
    assert found.loc["2024-01-31", "source"] == "instalments"
    # 30 June less 31 days of horizon, 4 to the deadline and 7 for technical payments.
    assert final_from(records, config) == dt.date(2024, 6, 30) - dt.timedelta(42)
    rolled = config.model_copy(update={"population": "past_due"})
    assert final_from(records, rolled) == dt.date(2024, 6, 30) - dt.timedelta(31)
    counts = verdicts_by_date(label_customers(records, [day("01-31")], config))
    assert counts.loc["2024-01-31", ["on_time", "nothing_due"]].tolist() == [1, 2]


def test_points_before_due_dates_of_instalments():
    records = load_records(frames([*DUE, ("B1", 1, "03-10", 100.0)], [("A1", "02-01", 100.0), END]))
    # The records tell of payments from 1 February to 30 June.
    assert before_due_dates(records, 9) == [day("02-01"), day("03-01")]
    assert before_due_dates(records, 10) == [day("02-29")]


def test_missing_tables_are_named(five):
    with pytest.raises(RecordsError, match="the records have no table 'instalments'"):
        label_customers(five.records, "2024-05-31", LabelsConfig(source="instalments"))
    with pytest.raises(RecordsError, match="no as_of date was given for labels from instalments"):
        label_customers(five.records, None, LabelsConfig(source="instalments"))
