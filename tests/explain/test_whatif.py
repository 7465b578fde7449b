"""What if on the ledger of ``conftest.py``, worked out by hand as of 15 April 2024.

Ann as of then: 60 of the instalment of 10 April is unpaid and 5 days past due, 2,000 of income in 90 days:
log-odds -2 + 0.01 * 60 + 0.1 * 5 - 0.0005 * 2000 = -1.9.
"""

import datetime as dt
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import ConfigError, FeatureMismatchError, RecordsError
from overdue_ml.explain import (
    Rescorer,
    event_named,
    income_falls,
    ledger_event,
    load_wording,
    pay_arrears,
    pay_next_dues,
    pay_next_statements,
    smallest_change,
    what_if,
)
from overdue_ml.explain.edits import changes_past
from overdue_ml.features import FunctionFeature, OwnFeatures, build_features, registry_with
from overdue_ml.model import OverdueClassifier, ScoringModel
from overdue_ml.records import load_records, simulate

AS_OF = dt.date(2024, 4, 15)
BOTH = {"en": "something happens", "zh": "发生某事"}
UNPAID, LATE = "repay_instalment_unpaid_amount_sum_all", "repay_instalment_dpd_latest"


@pytest.fixture(scope="module")
def model(linear):
    return linear.model(linear.weights)


@pytest.fixture(scope="module")
def ann(lender, model):
    return Rescorer(lender, "ANN", AS_OF, model)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def test_arrears_paid_today_leave_the_days_late_on_record(ann):
    """60 paid on the 15th: nothing unpaid, and an instalment that was settled five days late all the same."""
    found = ann.what_if([pay_arrears()])
    assert found.on == AS_OF
    assert found.now.log_odds == found.without.log_odds == pytest.approx(-1.9, abs=1e-12)
    assert found.after.log_odds == pytest.approx(-2.5, abs=1e-12)
    assert found.after.p_overdue == pytest.approx(sigmoid(-2.5), abs=1e-12)
    assert found.features.to_dict("records") == [{"feature": UNPAID, "without": 60.0, "after": 0.0}]
    first = found.reasons.iloc[0]
    assert (first["reason_code"], first["change"]) == ("INSTALMENT_UNPAID", pytest.approx(-0.6, abs=1e-12))
    assert (found.reasons["change"].iloc[1:] == 0).all()


def test_dues_ahead_are_compared_with_the_same_day_when_nothing_is_paid(ann):
    """10 May and 10 June, so 11 June. Income of 90 days is then that of 1 April alone, paid or not.

    Unpaid: 60 + 100 + 100, the latest one day late: -2 + 2.6 + 0.1 - 0.5 = 0.2.
    Paid: the 60 of April stay, the latest is not late: -2 + 0.6 - 0.5 = -1.9.
    """
    found = ann.what_if([pay_next_dues(2)])
    assert found.on == dt.date(2024, 6, 11)
    assert found.without.log_odds == pytest.approx(0.2, abs=1e-12)
    assert found.after.log_odds == pytest.approx(-1.9, abs=1e-12)
    assert found.now.log_odds == pytest.approx(-1.9, abs=1e-12)
    assert found.reasons["change"].sum() == pytest.approx(found.change, abs=1e-9)


def test_both_together_pay_everything_once(ann):
    found = ann.what_if([pay_arrears(), pay_next_dues(1)])
    # -2 + 0 + 0 - 1.0 on 11 May, when 1 March still counts.
    assert found.on == dt.date(2024, 5, 11)
    assert found.after.log_odds == pytest.approx(-3.0, abs=1e-12)
    records, _, _ = ann.edited([pay_arrears(), pay_next_dues(1)])
    rows = records.frame("payments")
    new = rows[rows["instalment_no"].notna()]
    assert new[["instalment_no", "amount"]].to_numpy().tolist() == [[3, 60.0], [4, 100.0]]
    assert [str(day)[:10] for day in new["known_on"]] == ["2024-04-15", "2024-05-10"]


def test_dues_of_several_accounts_are_taken_by_their_dates(lender, model):
    """Cat's next two due dates are 20 April and 5 May; 20 May is the third."""
    cat = Rescorer(lender, "CAT", AS_OF, model)
    records, on, _ = cat.edited([pay_next_dues(2)])
    paid = records.frame("payments").sort_values("paid_on")
    assert paid[["account_id", "instalment_no", "amount"]].to_numpy().tolist() == [
        ["C2", 1, 80.0],
        ["C1", 2, 50.0],
    ]
    assert on == dt.date(2024, 5, 6)


def test_a_payment_already_brought_by_another_event_is_not_made_twice(ann, linear):
    rows = pd.DataFrame({"account_id": ["A1"], "paid_on": [linear.day("05-09")], "amount": [160.0]})
    own = ledger_event("own", BOTH, append={"payments": rows})
    # 160 in May settle April and May: the next due that is open is that of June.
    records, on, _ = ann.edited([own, pay_next_dues(1)])
    assert on == dt.date(2024, 6, 11)
    assert records.frame("payments")["instalment_no"].dropna().tolist() == [5]


def test_income_that_had_been_lower(ann):
    """2,000 become 1,600; 10 January is 96 days ago. +0.0005 * 400."""
    found = ann.what_if([income_falls(0.2, 90)])
    assert found.change == pytest.approx(0.2, abs=1e-12)
    assert found.reasons.iloc[0]["reason_code"] == "INCOME_LEVEL"


def test_what_became_known_later_is_of_no_account(lender, linear, model, ann):
    """Without the payment of 20 April and the 9,000 of May, and with a plan of May, all is the same."""
    frames = linear.frames()
    frames["payments"] = frames["payments"][frames["payments"]["paid_on"] <= AS_OF]
    frames["incomes"] = frames["incomes"][frames["incomes"]["received_on"] <= AS_OF]
    plan = frames["instalments"].assign(known_on=None)
    later = plan.tail(1).assign(account_id="A1", instalment_no=4, amount_due=1.0, known_on=AS_OF)
    later["known_on"] = dt.date(2024, 5, 2)
    frames["instalments"] = pd.concat([plan, later])
    other = Rescorer(load_records(frames), "ANN", AS_OF, model)
    for events in ([pay_arrears()], [pay_next_dues(2)], [pay_arrears(), pay_next_dues(1)], [income_falls()]):
        one, two = ann.what_if(events), other.what_if(events)
        for name in ("now", "without", "after"):
            assert getattr(one, name).log_odds == getattr(two, name).log_odds
    # Were it not forgotten, the arrears would have been paid by May.
    assert (
        ann.score(lender, dt.date(2024, 6, 11)).log_odds != ann.what_if([pay_next_dues(2)]).without.log_odds
    )


def test_nothing_to_edit_is_said_and_changes_nothing(lender, model):
    ben = Rescorer(lender, "BEN", AS_OF, model)
    found = ben.what_if([pay_arrears(), pay_next_dues(5), pay_next_statements(1)])
    assert [event.name for event in found.idle] == ["pay_arrears", "pay_next_dues:5", "pay_next_statements:1"]
    assert found.change == 0
    assert "Nothing that has fallen due is unpaid." in found.sentences(load_wording("en"))
    assert "没有已到期而未付的款项。" in found.sentences(load_wording("zh"))


def test_both_languages_say_what_is_compared_with_what(ann, model):
    found = ann.what_if([pay_arrears(), pay_next_dues(1)])
    en = found.sentences(load_wording("en"), dict(model.units))
    assert en[1] == (
        "If everything that has fallen due is paid today and the next due is paid on time and nothing else "
        "becomes known, it is 4.7 % as of 11 May 2024; as of that same day it is 21 % if nothing at all "
        "becomes known by then."
    )
    # (160 unpaid, 1 day) to nothing.
    assert en[2].startswith("Instalments unpaid now: -1.60 in log-odds.")
    zh = found.sentences(load_wording("zh"), dict(model.units))
    assert zh[1] == (
        "若已到期未付的款项今日全部付清，且下一期款项按时还清，且此外没有新的记录，截至2024年5月11日的预计逾期概率为"
        "4.7%；若到该日为止没有任何新记录，则为21%。"
    )
    assert len(zh) == len(en)
    assert found.to_dict()["after"]["log_odds"] == found.after.log_odds


def test_a_reason_without_its_figures_is_told_by_its_change_alone(ann, model):
    """Its plain words say which way it points, and not which way it moved."""
    wording, found = load_wording("en"), ann.what_if([income_falls(0.2, 90)])
    (line,) = [line for line in found.sentences(wording, dict(model.units)) if "log-odds" in line]
    assert line == f"{wording.title('INCOME_LEVEL')}: +0.20 in log-odds."


def test_a_place_in_the_book_is_that_of_the_as_of_date(lender, linear):
    """Unpaid on 15 April: Ann 60, Ben 0, Cat 50, Dan 0, Eve has no plan.

    Ann is above three of four: 3.5 / 4. With nothing unpaid she shares the place of two: 1 / 4. In June 260
    would be above all four of April.
    """
    ranked = linear.model({f"{UNPAID}_rank": 1.0}, base=0.0, ranks=True)
    paid = what_if(lender, "ANN", AS_OF, ranked, [pay_arrears()])
    assert (paid.now.log_odds, paid.after.log_odds) == (0.875, 0.25)
    later = what_if(lender, "ANN", AS_OF, ranked, [pay_next_dues(2)])
    assert (later.without.log_odds, later.after.log_odds) == (1.0, 0.875)


def test_statements_paid_in_full_by_hand(five):
    """Ann: 900 on 30 June after 700 of which nothing was paid: 200 newly spent.

    Then 31 July: 900 paid, 200 owed, due 20 days later; 31 August: 200 paid, 200 owed.
    """
    from overdue_ml.explain.edits import with_tables
    from overdue_ml.features.future import forget_after
    from overdue_ml.records.select import keep_customers

    june = dt.date(2024, 6, 30)
    known = forget_after(keep_customers(five.records, ["ANN"]), june)
    edit = pay_next_statements(2).edit(known, june)
    assert edit.on == dt.date(2024, 8, 31)
    rows = with_tables(known, edit.tables).tables["statements"].to_pylist()[-2:]
    shown = ["statement_date", "due_date", "balance_amount", "paid_amount", "minimum_due_amount", "dpd"]
    assert [[row[name] for name in shown] for row in rows] == [
        [dt.date(2024, 7, 31), dt.date(2024, 8, 20), 200.0, 900.0, 20.0, 0],
        [dt.date(2024, 8, 31), dt.date(2024, 9, 20), 200.0, 200.0, 20.0, 0],
    ]
    # Ben's second account was closed in May.
    ben = forget_after(keep_customers(five.records, ["BEN"]), june)
    added = pay_next_statements(1).edit(ben, june).tables["statements"].to_pylist()[-1:]
    assert [row["account_id"] for row in added] == ["B1"]


def test_what_is_in_credit_stays_in_credit(five):
    """Cat: -50 on 30 June after 300 of which 350 were paid: nothing newly spent."""
    from overdue_ml.features.future import forget_after
    from overdue_ml.records.select import keep_customers

    july = dt.date(2024, 7, 15)
    known = forget_after(keep_customers(five.records, ["CAT"]), july)
    tables = pay_next_statements(2).edit(known, july).tables
    rows = tables["statements"].to_pylist()[known.tables["statements"].num_rows :]
    assert [(row["balance_amount"], row["paid_amount"]) for row in rows] == [(-50.0, 0.0), (-50.0, 0.0)]


def test_statements_paid_in_full_are_paid_in_the_ledger_too(five):
    """Ann owes 900 by 20 July and then 200 by 20 August; of the 900 she paid 150 on 10 July."""
    from overdue_ml.features.future import forget_after
    from overdue_ml.records.select import keep_customers

    def paid(as_of, *rows):
        payments = pd.DataFrame(rows, columns=["account_id", "paid_on", "amount"])
        known = forget_after(
            keep_customers(load_records(five.frames | {"payments": payments}), ["ANN"]), as_of
        )
        tables = pay_next_statements(2).edit(known, as_of).tables
        found = (
            tables["payments"].to_pylist()[known.tables["payments"].num_rows :]
            if "payments" in tables
            else []
        )
        return [(row["paid_on"], row["amount"], row["known_on"]) for row in found]

    july, august = dt.date(2024, 7, 20), dt.date(2024, 8, 20)
    before = ("A1", "2024-05-03", 10.0)
    assert paid(dt.date(2024, 6, 30), before) == [(july, 900.0, july), (august, 200.0, august)]
    assert paid(dt.date(2024, 7, 12), before, ("A1", "2024-07-10", 150.0)) == [
        (july, 750.0, july), (august, 200.0, august),
    ]  # fmt: skip
    # More than is owed; and after the due date, where it can be paid tomorrow.
    assert paid(dt.date(2024, 7, 12), ("A1", "2024-07-10", 950.0)) == [(august, 200.0, august)]
    tomorrow = dt.date(2024, 7, 26)
    assert paid(dt.date(2024, 7, 25), before) == [(tomorrow, 900.0, tomorrow), (august, 200.0, august)]
    # Of another account only: nobody keeps those of hers here.
    assert paid(dt.date(2024, 6, 30), ("B1", "2024-05-03", 10.0)) == []


def test_statements_that_were_not_written_are_left_out(five):
    """Ann's are of month ends. As of 15 August that of July would be known: the next is that of 31 August."""
    from overdue_ml.features.future import forget_after
    from overdue_ml.records.select import keep_customers

    event = pay_next_statements(1)
    for as_of, expected in (
        (dt.date(2024, 8, 15), dt.date(2024, 8, 31)),
        (dt.date(2024, 8, 31), dt.date(2024, 9, 30)),
        (dt.date(2024, 9, 30), None),
    ):
        edit = event.edit(forget_after(keep_customers(five.records, ["ANN"]), as_of), as_of)
        assert (edit and edit.on) == expected


def test_the_order_of_rows_is_of_no_account(lender, linear, model, ann):
    frames = {name: frame.iloc[::-1] for name, frame in linear.frames().items()}
    events = [pay_arrears(), pay_next_dues(2)]
    other = Rescorer(load_records(frames), "ANN", AS_OF, model).what_if(events)
    assert other.to_dict() == ann.what_if(events).to_dict()


def test_a_payment_of_an_event_is_known_on_its_day_where_others_post_later(linear, model):
    """With a lag of three days the 40 of 12 April are known on the 15th, and the 60 of today today."""
    records = load_records(linear.frames(), RecordsConfig(posting_lag_days=3))
    found = what_if(records, "ANN", AS_OF, model, [pay_arrears()])
    assert found.features.to_dict("records") == [{"feature": UNPAID, "without": 60.0, "after": 0.0}]


def test_paying_arrears_never_raises_the_score_of_a_monotone_model():
    records = load_records({k: v for k, v in simulate(150, seed=5, months=8).items() if k != "truth"})
    as_of = dt.date(2022, 7, 31)
    names = [UNPAID, "repay_instalment_unpaid_count_sum_all", "repay_instalment_unpaid_dpd_max_all"]
    registry = registry_with([], None)
    features = build_features(records, as_of, names).droplevel("as_of_date")
    rng = np.random.default_rng(0)
    y = (features[names[1]].fillna(0) + rng.normal(size=len(features)) > 0.5).astype(int)
    classifier = OverdueClassifier(
        n_estimators=30, learning_rate=0.2, min_child_samples=5, colsample_bytree=1.0, cv=2, n_jobs=1,
        monotone_constraints=dict.fromkeys(names, 1),
    ).fit(features, y)  # fmt: skip
    model = ScoringModel(
        classifier,
        registry.feature_set_hash(names),
        {name: registry[name].reason for name in names},
        dict.fromkeys(names, "count"),
        meta={"attributes": []},
    )
    short = features.index[features[names[1]] > 0][:8]
    assert len(short) == 8
    changes = []
    for customer in short:
        found = what_if(records, customer, as_of, model, [pay_arrears()])
        assert found.now.log_odds == classifier.decision_function(features.loc[[customer]])[0]
        assert (found.after.features[names].iloc[0] == 0).all()
        changes.append(found.change)
    assert max(changes) <= 0
    assert min(changes) < -0.1


def test_a_function_of_ones_own_sees_the_edited_customer_among_all_others(lender, linear):
    """Ann's share of what everybody paid by the 15th: 240 of 780, and with 60 more 300 of 840."""

    def share(records, keys):
        day = keys["as_of_date"].iloc[0].date()
        paid = records.frame("payments").merge(records.frame("accounts"), on="account_id")
        paid = paid[pd.to_datetime(paid["paid_on"]).dt.date <= day]
        own = paid.groupby("customer_id")["amount"].sum().reindex(keys["customer_id"])
        return own.to_numpy() / paid["amount"].sum()

    name = "own_paid_ratio_all"
    feature = FunctionFeature(
        name,
        share,
        reason="OWN",
        unit="ratio",
        meaning="Share of all payments.",
        needs=("payments",),
        version="1",
    )
    own = OwnFeatures((feature,))
    stub = linear.model({UNPAID: 1.0})
    model = ScoringModel(
        type(stub.classifier)({name: 1.0}, 0.0),
        registry_with([], own).feature_set_hash([name]),
        {name: "OWN"},
        {name: "ratio"},
        meta={"attributes": []},
    )
    found = what_if(lender, "ANN", AS_OF, model, [pay_arrears()], own)
    assert found.now.log_odds == pytest.approx(240 / 780)
    assert found.after.log_odds == pytest.approx(300 / 840)
    # A reason that no wording knows is called by its code.
    assert any(line.startswith("OWN: +0.05") for line in found.sentences(load_wording("en"), {}))


def test_rows_that_break_the_contracts_and_people_who_become_others_are_refused(lender, ann, linear):
    def asked(**tables):
        return ann.what_if([ledger_event("own", BOTH, **tables)])

    paid = {"paid_on": [AS_OF], "amount": [1.0]}
    with pytest.raises(RecordsError, match="account_id_unknown"):
        asked(append={"payments": pd.DataFrame({"account_id": ["B1"], **paid})})
    with pytest.raises(RecordsError, match=r"cannot be read.*payments.amount"):
        asked(append={"payments": pd.DataFrame({"account_id": ["A1"], "paid_on": [AS_OF], "amount": ["x"]})})
    with pytest.raises(ConfigError, match="no column 'colour'"):
        asked(append={"payments": pd.DataFrame({"account_id": ["A1"], "colour": ["red"], **paid})})
    with pytest.raises(ConfigError, match="protected attribute 'sex'"):
        asked(change={"customers": pd.DataFrame({"customer_id": ["ANN"], "sex": ["male"]})})
    with pytest.raises(ConfigError, match="cannot edit the table 'labels'"):
        asked(append={"labels": pd.DataFrame({"customer_id": ["ANN"]})})
    with pytest.raises(ConfigError, match="0 rows of 'instalments'"):
        asked(change={"instalments": pd.DataFrame({"account_id": ["A1"], "instalment_no": [99]})})
    with pytest.raises(ConfigError, match="edits nothing"):
        ledger_event("own", BOTH)
    rows = pd.DataFrame({"account_id": ["A1"], **paid})
    with pytest.raises(ConfigError, match="looked at as of 2024-04-14"):
        asked(append={"payments": rows}, on=dt.date(2024, 4, 14))
    with pytest.raises(RecordsError, match="nothing is known of customer 'NOBODY'"):
        what_if(lender, "NOBODY", AS_OF, linear.model(linear.weights), [pay_arrears()])
    with pytest.raises(ConfigError, match="names no event"):
        event_named("win_the_lottery")


def test_cells_changed_by_key(ann):
    """The instalment of 10 April had been of 40: it was paid, two days late."""
    rows = pd.DataFrame({"account_id": ["A1"], "instalment_no": [3], "amount_due": [40.0]})
    event = ledger_event("smaller", BOTH, change={"instalments": rows})
    found = ann.what_if([event])
    assert found.after.features[[UNPAID, LATE]].iloc[0].tolist() == [0.0, 2.0]
    records, _, _ = ann.edited([event])
    assert changes_past(ann.known, records, AS_OF)


def test_another_definition_of_the_features_is_refused(lender, linear):
    model = linear.model(linear.weights)
    other = ScoringModel(model.classifier, "0" * 64, model.reasons, model.units, meta=model.meta)
    with pytest.raises(FeatureMismatchError, match="other feature definitions"):
        what_if(lender, "ANN", AS_OF, other, [pay_arrears()])


# --- the smallest change ---


def test_the_smallest_set_that_comes_below(lender, model):
    """One event to 0.1, two to 0.05 (4.7 %), none to 0.01: three could be done alone, two sets of two."""
    one = smallest_change(lender, "ANN", AS_OF, model, 0.1)
    assert [event.name for event in one.found.events] == ["pay_arrears"]
    two = smallest_change(lender, "ANN", AS_OF, model, 0.05)
    assert [event.name for event in two.found.events] == ["pay_arrears", "pay_next_dues:1"]
    none = smallest_change(lender, "ANN", AS_OF, model, 0.01)
    assert none.found is None
    assert none.tried["events"].tolist() == [
        "pay_arrears", "pay_next_dues:1", "pay_next_dues:2", "pay_arrears+pay_next_dues:1",
        "pay_arrears+pay_next_dues:2",
    ]  # fmt: skip
    assert none.tried["after"].to_numpy() == pytest.approx(
        sigmoid(np.array([-2.5, -2.4, -1.9, -3.0, -2.5])), abs=1e-12
    )
    for lang, start in (
        ("en", "None of the 5 sets of up to 3 allowed"),
        ("zh", "在最多3项允许事件的5种组合中"),
    ):
        (told,) = none.sentences(load_wording(lang))
        assert told.startswith(start)
        assert "4.7" in told
    assert "brings the estimate below 5 %" in two.sentences(load_wording("en"))[0]
    assert none.to_dict()["tried"][0]["on"] == "2024-04-15"


def test_nothing_is_needed_or_nothing_is_possible(lender, model):
    low = smallest_change(lender, "ANN", AS_OF, model, 0.5)
    assert low.already
    assert low.tried.empty
    assert "already" in low.sentences(load_wording("en"))[0]
    dan = smallest_change(lender, "DAN", AS_OF, model, 0.05)
    assert (dan.found, dan.lowest) == (None, None)
    assert "None of the allowed events is possible" in dan.sentences(load_wording("en"))[0]


def test_what_the_days_do_by_themselves_is_no_merit_of_an_event(lender, linear):
    """A model of income alone, which turns over: by 11 June 1,000 are out of the window, paid or not."""
    model = linear.model({"income_amount_sum_90d": 0.0005}, base=-2.0)
    found = smallest_change(lender, "ANN", AS_OF, model, 0.2)
    # -1.0 as of today and -1.5 (18 %) as of 11 June, with and without.
    assert found.tried.set_index("events").loc["pay_next_dues:2", "after"] == pytest.approx(sigmoid(-1.5))
    assert found.found is None
    # It is not told as if the events could not bring it there, nor as if they did.
    (en,), (zh,) = (found.sentences(load_wording(lang)) for lang in ("en", "zh"))
    assert en == (
        "No event is needed to come below 20 %: as of 11 June 2024 the estimate is 18 % if nothing at all "
        "becomes known by then; it is lowest, 18 %, if the next 2 dues are paid on time."
    )
    assert zh.startswith(
        "无需任何事件即可低于20%：若到2024年6月11日为止没有任何新记录，该日的预计概率为18%；"
    )


def test_one_possible_set_is_spoken_of_in_the_singular(lender, model):
    found = smallest_change(lender, "ANN", AS_OF, model, 0.01, [pay_arrears()])
    assert len(found.tried) == 1
    (en,), (zh,) = (found.sentences(load_wording(lang)) for lang in ("en", "zh"))
    assert en == (
        "The one set of allowed events that is possible does not bring the estimate below 1 %: it is 7.6 %, "
        "if everything that has fallen due is paid today."
    )
    assert zh.startswith("唯一可行的允许事件组合不能使预计概率低于1%：")


def test_probabilities_that_are_compared_look_different(lender, model):
    """Below 7.590 % comes 7.586 %; the estimate of 21.4165 % is below 21.42 %."""
    found = smallest_change(lender, "ANN", AS_OF, model, 0.0759, [pay_arrears()])
    assert found.found is not None
    told = " ".join(found.sentences(load_wording("en")))
    assert "below 7.590 %: everything" in told
    assert f"it is {100 * sigmoid(-2.5):.3f} % as of the same day" in told
    now = found.now.p_overdue
    (already,) = smallest_change(lender, "ANN", AS_OF, model, now + 0.0004).sentences(load_wording("en"))
    assert already == f"The estimate of {100 * now:.1f} % is below {100 * now + 0.04:.1f} % already."


def test_the_past_and_the_hypothetical_are_never_proposed(lender, model, linear):
    with pytest.raises(ConfigError, match="nothing that a customer can do"):
        smallest_change(lender, "ANN", AS_OF, model, 0.05, [income_falls()])
    back = pd.DataFrame({"account_id": ["A1"], "paid_on": [linear.day("04-10")], "amount": [60.0]})
    smaller = pd.DataFrame({"account_id": ["A1"], "instalment_no": [3], "amount_due": [40.0]})
    allowed = [
        ledger_event("paid_back_then", BOTH, append={"payments": back}),
        ledger_event("smaller", BOTH, change={"instalments": smaller}),
        ledger_event("paid_today", BOTH, append={"payments": back.assign(paid_on=AS_OF)}),
    ]
    found = smallest_change(lender, "ANN", AS_OF, model, 0.1, allowed)
    # Either of the first two would do as well.
    assert [event.name for event in found.found.events] == ["paid_today"]
    assert found.tried["events"].tolist() == ["paid_today"]


def test_attributes_are_never_proposed(linear):
    """Not even one that is not protected."""
    frames = linear.frames()
    frames["customers"]["education"] = ["low", "high", "low", "low", "low"]
    records = load_records(frames, RecordsConfig(attributes=["education"]))
    rows = pd.DataFrame({"customer_id": ["ANN"], "education": ["high"]})
    event = ledger_event("study", BOTH, change={"customers": rows})
    model = linear.model(linear.weights)
    assert what_if(records, "ANN", AS_OF, model, [event]).change == 0
    assert smallest_change(records, "ANN", AS_OF, model, 0.1, [event]).tried.empty


def test_of_a_group_one_event_at_most_stands_in_a_set(lender, model):
    """Ben has two dues ahead; paid one by one they would be paid twice over in words."""
    again = replace(pay_next_dues(1), name="again")
    found = smallest_change(lender, "BEN", AS_OF, model, 0.01, [pay_next_dues(1), again])
    assert found.tried["events"].tolist() == ["pay_next_dues:1", "again"]
    alone = [replace(event, group="") for event in (pay_next_dues(1), again)]
    found = smallest_change(lender, "BEN", AS_OF, model, 0.01, alone)
    assert found.tried["events"].tolist() == ["pay_next_dues:1", "again", "pay_next_dues:1+again"]
