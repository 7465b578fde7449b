"""What reminders did, by hand, on draws with a known truth, and when nothing is concluded."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from overdue_ml.errors import CampaignError, ConfigError
from overdue_ml.metrics import OTHER, compare_arms
from overdue_ml.monitoring import Campaign, CampaignLimits, estimate_campaign

JAN, FEB = dt.date(2024, 1, 31), dt.date(2024, 2, 29)
LATER = "2024-06-30"
SMALL = CampaignLimits(min_customers=10, min_overdue=1)
HALF = Campaign(0.5, limits=SMALL)


def book(n, *, as_of=JAN, first=0, **columns):
    """Customers of one run: even numbers are treated, odd ones held out."""
    number = np.arange(first, first + n)
    return pd.DataFrame(
        {
            "customer_id": [f"c{i:05}" for i in number],
            "as_of_date": as_of,
            "campaign": "spring",
            "arm": np.where(number % 2, "holdout", "treated"),
            "tier": "high",
            "next_due_date": as_of + dt.timedelta(days=10),
            "due_amount": 100.0,
            "p_overdue": 0.3,
            "channel": "sms",
            "contact_on": as_of + dt.timedelta(days=1),
        }
        | columns
    )


def outcomes(arms, verdicts, matured="2024-04-15"):
    """Labels of the rows, in their order."""
    return pd.DataFrame(
        {"verdict": verdicts, "matured_on": pd.Timestamp(matured)},
        index=pd.MultiIndex.from_arrays(
            [arms["customer_id"], pd.to_datetime(arms["as_of_date"]).astype("datetime64[s]")],
            names=["customer_id", "as_of_date"],
        ),
    )


def some_overdue(arms, treated, holdout):
    """The first so many rows of each arm are overdue."""
    held = arms["arm"] == "holdout"
    place = arms.groupby("arm").cumcount()
    return np.where(place < np.where(held, holdout, treated), "overdue", "on_time")


def row(effect, grouping="all", group="all"):
    found = effect.effects.query("grouping == @grouping and group == @group")
    assert len(found) == 1
    return found.iloc[0]


def test_the_difference_by_hand():
    """80 treated, of whom 48 went overdue, 70 held out, of whom 56: 20 points, Newcombe's first example.

    Each owes 100, so that 80 of 100 are overdue where 60 are: 20 for each due, with the same interval. All of
    this is in one tier and one band, as all owe the same.
    """
    arms = book(160).iloc[: 80 * 2]
    arms = arms.drop(index=arms.index[arms["arm"] == "holdout"][70:])
    effect = estimate_campaign(arms, outcomes(arms, some_overdue(arms, 48, 56)), LATER, HALF)
    found = effect.overall
    assert (found["treated_rows"], found["holdout_rows"]) == (80, 70)
    assert (found["treated_overdue"], found["holdout_overdue"]) == (48, 56)
    assert (found["treated_rate"], found["holdout_rate"]) == (0.6, 0.8)
    assert found[["rate_difference", "rate_low", "rate_high"]].astype(float).round(4).tolist() == [
        0.2, 0.0524, 0.3339,
    ]  # fmt: skip
    money = found[["treated_money", "holdout_money", "money_difference", "money_low", "money_high"]]
    assert money.astype(float).round(2).tolist() == [60.0, 80.0, 20.0, 5.24, 33.39]
    assert effect.detectable == pytest.approx((0.3339 - 0.0524) * 2.8 / 3.92, abs=1e-4)
    assert row(effect, "tier", "high")["rate_difference"] == found["rate_difference"]
    assert row(effect, "due_amount", "≤ 100")["rate_low"] == found["rate_low"]
    assert effect.contacted is None
    assert effect.differs.empty


def test_groups_by_tier_and_amount_by_hand():
    """Of 400 customers, numbers below 200 are in tier high and owe 100, the others low and owe 300.

    High: 50 of 100 held out, 30 of 100 treated: 20 points. Low: 20 and 20: none. In money: high 20 % of 100,
    low nothing; overall of 40,000 due in each arm 5,000 + 6,000 are overdue of those held out, 3,000 + 6,000
    of those treated: 5 % of the mean due of 200.
    """
    arms = book(400)
    low = np.arange(400) >= 200
    arms = arms.assign(tier=np.where(low, "low", "high"), due_amount=np.where(low, 300.0, 100.0))
    place = arms.groupby(["tier", "arm"]).cumcount()
    limit = np.where(low, 20, np.where(arms["arm"] == "holdout", 50, 30))
    labels = outcomes(arms, np.where(place < limit, "overdue", "on_time"))
    effect = estimate_campaign(arms, labels, LATER, Campaign(0.5, bands=[100], limits=SMALL))
    for grouping, high, other in (("tier", "high", "low"), ("due_amount", "≤ 100", "> 100")):
        first, second = row(effect, grouping, high), row(effect, grouping, other)
        assert (first["rate_difference"], second["rate_difference"]) == (pytest.approx(0.2), 0.0)
        assert (first["money_difference"], second["money_difference"]) == (pytest.approx(20.0), 0.0)
    assert effect.overall["money_difference"] == pytest.approx(10.0)
    assert effect.overall["rate_difference"] == pytest.approx(0.1)
    # Standard errors from the intervals: (0.3258 - 0.0642) / 3.92 = 0.0667 and 2 x 0.1110 / 3.92 = 0.0567;
    # Q = 0.2^2 / (0.0667^2 + 0.0567^2) = 5.22, of chi-square with one degree of freedom 2.2 %.
    assert effect.differs["grouping"].tolist() == ["tier", "due_amount"]
    assert effect.differs["p_value"].tolist() == pytest.approx([0.022, 0.022], abs=5e-4)


def unpaid_of(arms, amounts, days=10):
    """What is left of each row's due."""
    found = pd.DataFrame(
        {
            "customer_id": arms["customer_id"],
            "as_of_date": pd.to_datetime(arms["as_of_date"]),
            "due_date": pd.to_datetime(arms["as_of_date"]) + pd.Timedelta(days=days),
            "unpaid_amount": amounts,
        }
    )
    return found[found["unpaid_amount"] > 0]


def test_what_was_left_unpaid_by_hand():
    """100 in each arm owe 100. Of those held out 40 go overdue with half of it paid, of the treated 20 with
    nothing paid: the amount due of the overdue is 40 and 20 a due, and 20 is left unpaid in both.

    A rate of 0.2 with halves: variance 0.1 - 0.04 where whole hits have 0.16, so that 100 rows are worth
    266.7, and those of the treated 100. Wilson's limits are 0.1564 to 0.2521 and 0.1334 to 0.2888; Newcombe's
    are -root of (0.0436^2 + 0.0888^2) and root of (0.0521^2 + 0.0666^2), in units of 100.
    """
    arms = book(200)
    labels = outcomes(arms, some_overdue(arms, 20, 40))
    bad = (labels["verdict"] == "overdue").to_numpy()
    left = np.where(bad, np.where(arms["arm"] == "holdout", 50.0, 100.0), 0.0)
    known = unpaid_of(arms, left)
    found = estimate_campaign(arms, labels, LATER, HALF, unpaid=known).overall
    assert (found["treated_money"], found["holdout_money"]) == (pytest.approx(20), pytest.approx(40))
    assert (found["treated_unpaid"], found["holdout_unpaid"]) == (pytest.approx(20), pytest.approx(20))
    ends = found[["unpaid_difference", "unpaid_low", "unpaid_high"]].astype(float).round(2) + 0.0
    assert ends.tolist() == [0.0, -9.9, 8.46]
    # What is left of another due, also of the same customers and run, is not what was listed.
    other = unpaid_of(arms, np.full(200, 70.0), days=20)
    more = estimate_campaign(arms, labels, LATER, HALF, unpaid=pd.concat([other, known])).overall
    pd.testing.assert_series_equal(more, found, check_exact=True)
    # A later version asks for more than was listed: what was listed is what can be left of it.
    most = estimate_campaign(arms, labels, LATER, HALF, unpaid=unpaid_of(arms, left * 3)).overall
    assert (most["treated_unpaid"], most["holdout_unpaid"]) == (pytest.approx(20), pytest.approx(40))


def test_where_nobody_knows_what_was_left_nothing_is_said_of_it():
    arms = book(200)
    labels = outcomes(arms, some_overdue(arms, 20, 40))
    unknown = estimate_campaign(arms, labels, LATER, HALF)
    assert not unknown.knows_unpaid
    assert unknown.effects.filter(like="unpaid").isna().all(axis=None)
    assert unknown.effects.filter(like="money").notna().all(axis=None)
    # Known, and nothing was left.
    nothing = estimate_campaign(arms, labels, LATER, HALF, unpaid=unpaid_of(arms, np.zeros(200)))
    assert nothing.knows_unpaid
    assert nothing.overall["treated_unpaid"] == nothing.overall["holdout_unpaid"] == 0.0


def test_default_bands_are_rounded_thirds():
    arms = book(300, due_amount=np.arange(300) + 1001.0)
    effect = estimate_campaign(arms, outcomes(arms, some_overdue(arms, 20, 30)), LATER, HALF)
    groups = effect.effects.query("grouping == 'due_amount'")
    # Thirds at 1,100.7 and 1,200.3.
    assert groups["group"].tolist() == ["≤ 1,100", "1,100 – 1,200", "> 1,200"]
    assert (groups["treated_rows"] + groups["holdout_rows"]).tolist() == [100, 100, 100]


def test_a_due_counts_once_and_customers_are_clusters():
    """100 customers with a due in February and one in March; January's run lists the first, one of 15
    February lists it again for those held out, as nobody has contacted them."""
    first, second = book(100), book(100, as_of=FEB)
    again = first[first["arm"] == "holdout"].assign(as_of_date=dt.date(2024, 2, 5))
    arms = pd.concat([second, again, first])
    labels = outcomes(arms, "on_time")
    # Ten held out are overdue both times, and five treated.
    bad = [f"c{i:05}" for i in (*range(1, 20, 2), *range(0, 10, 2))]
    labels["verdict"] = np.where(arms["customer_id"].isin(bad), "overdue", "on_time")
    effect = estimate_campaign(arms, labels, LATER, HALF)
    found = effect.overall
    assert (found["treated_rows"], found["holdout_rows"], found["holdout_customers"]) == (100, 100, 50)
    assert effect.counts == {
        "rows": 200, "customers": 100, "dates": 3, "repeated": 50, "already_overdue": 0,
    }  # fmt: skip
    # As sure as one due of each, and not as two.
    once = compare_arms([1] * 10 + [0] * 40 + [1] * 5 + [0] * 45, [1] * 50 + [0] * 50)
    assert (found["rate_low"], found["rate_high"]) == pytest.approx((once.low, once.high))
    assert row(effect, "as_of_date", "2024-01-31")["holdout_rows"] == 50


def test_a_customer_stays_in_the_group_of_the_first_run():
    """Reminders may move a customer to another tier; the groups are those of when the arm was drawn."""
    first = book(200, tier=np.where(np.arange(200) < 100, "high", "medium"))
    second = book(200, as_of=FEB, tier=np.where(np.arange(200) % 2, "high", "low"))
    arms = pd.concat([first, second])
    effect = estimate_campaign(arms, outcomes(arms, some_overdue(arms, 20, 30)), LATER, HALF)
    assert effect.effects.query("grouping == 'tier'")["group"].tolist() == ["high", "medium"]
    assert row(effect, "tier", "high")["treated_rows"] == 100


def test_what_reminders_may_have_done_counts_and_what_was_before_does_not():
    """Ten customers were overdue when the arms were drawn; technical and nothing_due are not overdue."""
    arms = book(200)
    verdicts = some_overdue(arms, 10, 20).astype(object)
    verdicts[100:110], verdicts[110:120], verdicts[120:130] = "already_overdue", "technical", "nothing_due"
    effect = estimate_campaign(arms, outcomes(arms, verdicts), LATER, HALF)
    assert effect.overall["treated_rate"] == 10 / 95
    assert effect.overall["holdout_rate"] == 20 / 95
    counts = effect.verdicts.set_index("verdict")
    assert counts.loc["already_overdue"].tolist() == [5, 5]
    assert counts.loc["technical"].tolist() == [5, 5]


def test_contacts_of_those_held_out_are_counted():
    """Customer 1, held out, was contacted on 1 February; 3 before the run, 5 after the due date, and 7 has a
    row that says a contact was held back. 9's became known too late. 0 and 2, treated, were contacted."""
    arms = book(100)
    made = pd.DataFrame(
        [
            ("c00001", "2024-02-01", None, None), ("c00001", "2024-02-02", "treated", None),
            ("c00003", "2024-01-31", None, None), ("c00005", "2024-02-11", "treated", None),
            ("c00007", "2024-02-01", "holdout", None), ("c00009", "2024-02-01", None, "2024-07-01"),
            ("c00000", "2024-02-10", "treated", "2024-02-11"), ("c00002", "2024-02-01", "treated", None),
            ("stranger", "2024-02-01", "treated", None),
        ],
        columns=["customer_id", "contacted_on", "arm", "known_on"],
    )  # fmt: skip
    labels = outcomes(arms, some_overdue(arms, 10, 20))
    assert estimate_campaign(arms, labels, LATER, HALF, made).contacted == {"treated": 2, "holdout": 1}
    bare = made[["customer_id", "contacted_on"]]
    assert estimate_campaign(arms, labels, LATER, HALF, bare).contacted == {"treated": 2, "holdout": 3}


def test_small_groups_say_nothing():
    """Eight held out in tier medium could be told from the figures; low has four: both become one group."""
    tiers = np.where(np.arange(200) < 16, "medium", np.where(np.arange(200) < 24, "low", "high"))
    arms = book(200, tier=tiers)
    labels = outcomes(arms, some_overdue(arms, 20, 30))
    groups = estimate_campaign(arms, labels, LATER, HALF).effects.query("grouping == 'tier'")
    assert groups["group"].tolist() == ["high", OTHER]
    assert not groups["too_few"].any()
    arms = book(200, tier=np.where(np.arange(200) < 16, "low", "high"))
    last = estimate_campaign(arms, labels, LATER, HALF).effects.query("grouping == 'tier'").iloc[-1]
    assert last["too_few"]
    assert (last["group"], last["treated_rows"], last["holdout_rows"]) == (OTHER, 8, 8)
    assert last[["treated_overdue", "holdout_rate", "rate_low", "money_difference"]].isna().all()


def test_the_order_of_rows_and_what_is_known_later_change_nothing():
    arms = pd.concat([book(300, due_amount=np.linspace(50, 900, 300)), book(300, as_of=FEB)])
    labels = outcomes(arms, some_overdue(arms, 40, 60))
    first = estimate_campaign(arms, labels, LATER, HALF)
    mixed = arms.sample(frac=1.0, random_state=3)
    labels = labels.sample(frac=1.0, random_state=4)
    second = estimate_campaign(mixed, labels, "2025-01-01", HALF)
    for name, table in first.tables().items():
        pd.testing.assert_frame_equal(table, second.tables()[name], check_exact=True)


def test_intervals_cover_a_known_effect():
    """Two dues of each customer, chances that stay with the customer, amounts that vary, 20 % held out:
    in expectation 0.20 and 0.15 go overdue, the mean due is e^0.125 x 100. Of 60 campaigns at least 51 cover
    each (95 % would miss more than nine once in 1,000 times)."""
    rng = np.random.default_rng(11)
    rate = money = 0
    for _ in range(60):
        n, held = 700, rng.random(700) < 0.2
        chance = np.where(held, 0.20, 0.15) * rng.uniform(0.2, 1.8, n)
        parts = []
        for day in (JAN, FEB):
            part = book(n, as_of=day, arm=np.where(held, "holdout", "treated"))
            parts.append(part.assign(due_amount=100 * rng.lognormal(0, 0.5, n)))
        arms = pd.concat(parts)
        late = rng.random((2, n)) < chance
        effect = estimate_campaign(
            arms, outcomes(arms, np.where(late.ravel(), "overdue", "on_time")), LATER, Campaign(0.2)
        )
        found = effect.overall
        rate += found["rate_low"] <= 0.05 <= found["rate_high"]
        money += found["money_low"] <= 5 * np.exp(0.125) <= found["money_high"]
    assert rate >= 51
    assert money >= 51


def refused(arms, verdicts, campaign=HALF, as_of=LATER, **options):
    with pytest.raises(CampaignError) as caught:
        estimate_campaign(arms, outcomes(arms, verdicts, **options), as_of, campaign)
    assert caught.value.exit_code == 3
    assert caught.value.expected or caught.value.next_step or caught.value.where
    return str(caught.value)


def test_immature_arms_are_refused_with_the_day_up_to_which_they_are_final():
    arms = pd.concat([book(100), book(100, as_of=FEB)])
    verdicts = some_overdue(arms, 20, 30).astype(object)
    verdicts[150:] = "immature"
    said = refused(arms, verdicts)
    assert "50 of 200 outcomes are not final" in said
    assert "runs from 2024-02-29 on" in said
    assert "leave out the runs after 2024-01-31 (--until)" in said
    # Decided, but not known yet on that day.
    assert "200 of 200 outcomes" in refused(arms, "on_time", as_of="2024-04-14")
    assert "--until" not in refused(arms, "on_time", as_of="2024-04-14")
    labels = outcomes(arms, "on_time").iloc[:-3]
    with pytest.raises(CampaignError, match="3 of them of customers who have none in the records"):
        estimate_campaign(arms, labels, LATER, HALF)
    with pytest.raises(CampaignError, match="0 of 0"):
        estimate_campaign(arms.iloc[:0], labels, LATER, HALF)


def test_too_few_are_refused():
    arms = book(198)
    said = refused(arms, some_overdue(arms, 20, 30), Campaign(0.5))
    assert "99 customers were reminded and 99 held out" in said
    assert "at least 100 in each arm" in said
    arms = book(400)
    assert "9 of 400 rows went overdue" in refused(arms, some_overdue(arms, 4, 5), Campaign(0.5))


def test_a_share_that_was_not_drawn_is_refused():
    """100 of 200 held out where a fifth should be: chi-square (100 - 40)^2 / 32 = 112. Of two fifths it is
    8.3, p = 0.0039: chance."""
    arms = book(200)
    verdicts = some_overdue(arms, 20, 30)
    said = refused(arms, verdicts, Campaign(0.2, limits=SMALL))
    assert "100 of 200 customers (50.0%) were held out" in said
    found = estimate_campaign(arms, outcomes(arms, verdicts), LATER, Campaign(0.4, limits=SMALL))
    assert found.ratio_p == pytest.approx(0.0039, abs=1e-4)


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("p_overdue", (0.30, 0.33), "p_overdue"),
        ("due_amount", (100.0, 130.0), "due_amount"),
        ("tier", ("high", "low"), "tier_"),
    ],
)
def test_arms_that_were_not_alike_are_refused(column, values, said):
    arms = book(400)
    other = (np.arange(400) % 2 == 1) & (np.arange(400) % 10 < 7)
    arms[column] = np.where(other, values[1], values[0])
    if column != "tier":
        arms[column] = arms[column] + np.random.default_rng(0).normal(0, 0.01 * values[0], 400)
    assert said in refused(arms, some_overdue(arms, 30, 40))


def test_a_difference_that_chance_explains_is_shown_and_not_refused():
    """Of 60 held out five more than of 60 treated are in tier low: 0.2 standard deviations, p = 0.2."""
    place = np.arange(120) // 2
    low = place < np.where(np.arange(120) % 2, 13, 8)
    arms = book(120, tier=np.where(low, "low", "high"))
    effect = estimate_campaign(arms, outcomes(arms, some_overdue(arms, 20, 30)), LATER, HALF)
    tier = effect.balance.set_index("covariate").loc["tier_low"]
    assert (tier["treated"], tier["holdout"]) == (8 / 60, 13 / 60)
    assert tier["difference"] > 0.2
    assert tier["p_value"] > 0.2


def test_rows_that_the_reminders_chose_are_refused():
    """Those held out are listed for three more dues each, those treated never again."""
    first = book(200)
    held = first[first["arm"] == "holdout"]
    more = [
        held.assign(as_of_date=d, next_due_date=d + dt.timedelta(days=9))
        for d in (FEB, dt.date(2024, 3, 31), dt.date(2024, 4, 1))
    ]
    arms = pd.concat([first, *more])
    said = refused(arms, some_overdue(arms, 20, 60))
    assert "listed again more often: 80.0% of the dues" in said
    assert "--until" in said


def test_arms_that_make_no_sense_are_refused():
    arms = book(100)
    verdicts = some_overdue(arms, 20, 30)
    both = pd.concat([arms, arms.assign(as_of_date=FEB, arm="holdout")])
    assert "50 customer(s) stand in both arms" in refused(both, "on_time")
    assert "2 row(s) are in no arm" in refused(arms.assign(arm=["x", None, *arms["arm"][2:]]), verdicts)
    assert "no column 'tier'" in refused(arms.drop(columns="tier"), verdicts)
    for column, value in (("due_amount", 0.0), ("due_amount", np.nan), ("p_overdue", np.inf)):
        assert "missing or negative" in refused(arms.assign(**{column: value}), verdicts)


@pytest.mark.parametrize(
    ("campaign", "said"),
    [
        (Campaign(0.0), "no holdout"),
        (Campaign(1.0), "no holdout"),
        (Campaign(0.5, [100, 100], SMALL), "no bands"),
        (Campaign(0.5, [-1.0], SMALL), "no bands"),
        (Campaign(0.5, [float("nan")], SMALL), "no bands"),
    ],
)
def test_settings_that_cannot_be_used(campaign, said):
    arms = book(100)
    with pytest.raises(ConfigError, match=said):
        estimate_campaign(arms, outcomes(arms, some_overdue(arms, 20, 30)), LATER, campaign)
