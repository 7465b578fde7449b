"""Splits over time: what no fold may do, for any panel; and at work in scikit-learn."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score

from overdue_ml.config import LabelsConfig
from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.labels import TimeSeriesPanelSplit, label_customers, purged_by_maturity, trainable
from overdue_ml.model import OverdueClassifier

MONTHS = pd.date_range("2024-01-31", periods=8, freq="ME").astype("datetime64[s]")
ONE_DAY = pd.Timedelta(days=1)


def panel(n_customers=40, dates=MONTHS, days_to_mature=31):
    """Labels of every customer on every date, in a random order of rows."""
    ids = [f"C{i:03d}" for i in range(n_customers)]
    index = pd.MultiIndex.from_product([ids, dates], names=["customer_id", "as_of_date"])
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"is_overdue": rng.random(len(index)) < 0.3, "verdict": "on_time"}, index=index)
    frame["verdict"] = np.where(frame["is_overdue"], "overdue", "on_time")
    frame["matured_on"] = index.get_level_values("as_of_date") + days_to_mature * ONE_DAY
    return frame.sample(frac=1.0, random_state=2)


def matrix(labels):
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {"x": labels["is_overdue"] + rng.normal(size=len(labels)), "noise": rng.normal(size=len(labels))},
        index=labels.index,
    )


def days_of(labels, rows):
    return sorted(labels.index.get_level_values("as_of_date")[rows].unique().strftime("%m-%d"))


def ids_of(labels, rows):
    return set(labels.index.get_level_values("customer_id")[rows])


def folds_of(splitter, labels, **options):
    return [(days_of(labels, a), days_of(labels, b)) for a, b in splitter.split(matrix(labels), **options)]


def test_month_ends_by_hand():
    # 31 days: January is final on 2 March, February on 31 March, March on 1 May, April on 31 May.
    labels = panel()
    assert folds_of(TimeSeriesPanelSplit(3, gap_days=31), labels) == [
        (["01-31", "02-29", "03-31", "04-30"], ["06-30"]),
        (["01-31", "02-29", "03-31", "04-30", "05-31", "06-30"], ["07-31"]),
        (["01-31", "02-29", "03-31", "04-30", "05-31", "06-30", "07-31"], ["08-31"]),
    ]
    # 61 days before 30 June is 30 April: on the edge it trains, a day later it does not.
    early = labels[labels.index.get_level_values("as_of_date") <= MONTHS[5]]
    assert folds_of(TimeSeriesPanelSplit(1, 61), early)[0][0][-1] == "04-30"
    assert folds_of(TimeSeriesPanelSplit(1, 62), early)[0][0][-1] == "03-31"
    # Without a gap the day before still trains, the test dates never do.
    assert folds_of(TimeSeriesPanelSplit(1, 0), early)[0][0][-1] == "05-31"


def test_a_rolling_window_and_several_test_dates_by_hand():
    labels = panel()
    rolling = TimeSeriesPanelSplit(2, gap_days=31, window="rolling", train_dates=2, test_dates=2)
    # 30 April and 31 days is 31 May.
    assert folds_of(rolling, labels) == [
        (["03-31", "04-30"], ["05-31", "06-30"]),
        (["05-31", "06-30"], ["07-31", "08-31"]),
    ]


def test_all_rows_of_a_date_are_tested_together():
    labels = panel()
    dates = labels.index.get_level_values("as_of_date")
    for train, test in TimeSeriesPanelSplit(3, 31).split(matrix(labels)):
        for rows in (train, test):
            assert rows.dtype == np.intp
            assert np.array_equal(rows, np.flatnonzero(dates.isin(dates[rows])))


def test_by_maturity_a_row_trains_when_its_own_label_is_final():
    labels = panel(days_to_mature=29)
    late = labels.index[3]
    last = MONTHS[-1]
    labels.loc[late, "matured_on"] = last + ONE_DAY
    assert late[1] < MONTHS[-2]
    train, _ = next(TimeSeriesPanelSplit(1).split(matrix(labels), groups=labels))
    assert late not in labels.index[train]
    assert len(train) == (len(MONTHS) - 1) * 40 - 1
    # On the test date itself it is final.
    labels.loc[late, "matured_on"] = last
    train, _ = next(TimeSeriesPanelSplit(1).split(matrix(labels), groups=labels))
    assert late in labels.index[train]
    # With a gap both must hold: 31 July and 32 days is 1 September.
    train, _ = next(TimeSeriesPanelSplit(1, gap_days=32).split(matrix(labels), groups=labels))
    assert days_of(labels, train)[-1] == "06-30"


panels = st.fixed_dictionaries(
    {
        "dates": st.lists(st.integers(0, 200), min_size=3, max_size=9, unique=True),
        "rows": st.lists(
            st.tuples(st.integers(0, 12), st.integers(0, 8), st.integers(0, 90)), min_size=20, max_size=80
        ),
    }
)


def frame_of(drawn):
    """Rows of few customers on irregular dates, with repeated rows and their own maturities."""
    dates = pd.Timestamp("2023-12-01") + pd.to_timedelta(drawn["dates"], unit="D")
    rows = [(f"C{c}", dates[d % len(dates)], days) for c, d, days in drawn["rows"]]
    frame = pd.DataFrame(rows, columns=["customer_id", "as_of_date", "days"])
    frame["matured_on"] = frame["as_of_date"] + pd.to_timedelta(frame["days"], unit="D")
    return frame


@settings(max_examples=120, deadline=None)
@given(
    drawn=panels,
    n_splits=st.integers(1, 3),
    test_dates=st.integers(1, 2),
    gap_days=st.one_of(st.none(), st.integers(0, 70)),
    train_dates=st.one_of(st.none(), st.integers(1, 2)),
    by_maturity=st.booleans(),
    disjoint=st.sampled_from([None, 0.2, 0.5, 1.0]),
)
def test_no_fold_sees_what_was_not_final(
    drawn, n_splits, test_dates, gap_days, train_dates, by_maturity, disjoint
):
    frame = frame_of(drawn)
    assume(gap_days is not None or by_maturity)
    splitter = TimeSeriesPanelSplit(
        n_splits,
        gap_days,
        window="expanding" if train_dates is None else "rolling",
        train_dates=train_dates,
        groups_disjoint=disjoint is not None,
        test_dates=test_dates,
        test_share=disjoint or 0.2,
    )
    groups = frame[["customer_id", "as_of_date"] + ["matured_on"] * by_maturity]
    try:
        folds = list(splitter.split(np.zeros((len(frame), 1)), groups=groups))
    except ValueError as error:
        # Too few dates, or a fold that is empty by the plain rules below.
        assert "need at least" in str(error) or str(error).startswith("fold ")  # noqa: PT017
        return
    assert len(folds) == n_splits == splitter.get_n_splits()
    as_of = frame["as_of_date"]
    seen_dates, latest = set(), pd.Timestamp.min
    for train, test in folds:
        first = as_of[test].min()
        assert len(train)
        assert (as_of[train] < first).all()
        final = pd.Series(True, index=frame.index)
        if gap_days is not None:
            final &= as_of + gap_days * ONE_DAY <= first
        if by_maturity:
            final &= frame["matured_on"] <= first
        assert final[train].all()
        tested = set(as_of[test])
        assert not tested & seen_dates
        assert len(tested) <= test_dates
        seen_dates |= tested
        assert first > latest
        latest = as_of[test].max()
        if disjoint is not None:
            assert not set(frame["customer_id"][train]) & set(frame["customer_id"][test])
            continue
        # Nothing is left out that may be in.
        usable = final & (as_of < first)
        if train_dates is not None:
            assert as_of[train].nunique() == train_dates
            usable &= as_of >= as_of[train].min()
            assert set(as_of[train]) == set(sorted(set(as_of[final & (as_of < first)]))[-train_dates:])
        assert set(train) == set(frame.index[usable])
        assert set(test) == set(frame.index[as_of.isin(tested)])
    if disjoint is None:
        assert seen_dates == set(sorted(set(as_of))[-n_splits * test_dates :])


@settings(max_examples=30, deadline=None)
@given(drawn=panels, seed=st.integers(0, 99), disjoint=st.booleans())
def test_the_order_of_rows_does_not_matter(drawn, seed, disjoint):
    frame = frame_of(drawn)
    splitter = TimeSeriesPanelSplit(1, 10, groups_disjoint=disjoint, test_share=0.5)
    shuffled = frame.sample(frac=1.0, random_state=seed)

    def rows(table):
        try:
            ((train, test),) = splitter.split(table.to_numpy(), groups=table)
        except ValueError as error:
            return str(error)
        return set(table.index[train]), set(table.index[test])

    assert rows(frame.drop(columns="matured_on")) == rows(shuffled.drop(columns="matured_on"))


def test_disjoint_customers_of_a_full_panel():
    labels = panel(400)
    splitter = TimeSeriesPanelSplit(4, 31, groups_disjoint=True, test_share=0.25)
    tested = []
    for train, test in splitter.split(matrix(labels)):
        assert ids_of(labels, train).isdisjoint(ids_of(labels, test))
        assert ids_of(labels, train) | ids_of(labels, test) == ids_of(labels, slice(None))
        tested.append(ids_of(labels, test))
        # Binomial: 100 and four standard deviations.
        assert abs(len(tested[-1]) - 100) < 35
    # Four quarters are everybody, each once.
    assert sum(map(len, tested)) == len(set().union(*tested)) == 400


def test_all_customers_of_a_full_panel_cannot_be_tested_and_kept_out():
    splitter = TimeSeriesPanelSplit(2, 31, groups_disjoint=True, test_share=1.0)
    with pytest.raises(ValueError, match=r"fold 1 of 2, tested from 2024-07-31, has no row to train.*test_s"):
        list(splitter.split(matrix(panel())))
    # Where customers come and go it can.
    labels = panel()
    ids, dates = (labels.index.get_level_values(i) for i in (0, 1))
    gone = labels[(ids < "C020") == (dates < MONTHS[6])]
    ((train, test),) = TimeSeriesPanelSplit(1, 31, groups_disjoint=True, test_share=1.0).split(matrix(gone))
    assert ids_of(gone, train) == {f"C{i:03d}" for i in range(20)}
    assert days_of(gone, test) == ["08-31"]


def positions(splitter, X, groups=None):
    return [(a.tolist(), b.tolist()) for a, b in splitter.split(X, groups=groups)]


def test_every_way_of_giving_the_dates_is_the_same():
    labels = panel()
    X, plain = matrix(labels), matrix(labels).to_numpy()
    splitter = TimeSeriesPanelSplit(2, 31)
    expected = positions(splitter, X)
    dates = labels.index.get_level_values("as_of_date")
    ways = [dates, dates.strftime("%Y-%m-%d"), list(dates.date), dates.to_numpy(), pd.Series(dates)]
    ways += [labels.index, labels[["is_overdue"]], labels.index.to_frame(index=False)]
    # A time of day is cut off.
    ways += [dates + pd.Timedelta(hours=9)]
    for groups in ways:
        assert positions(splitter, plain, groups) == expected
        assert positions(splitter, X, groups) == expected
    # The same each time, and of a clone.
    assert positions(splitter, X) == expected == positions(clone(splitter), X)


def test_customers_come_from_the_index_where_groups_have_none():
    labels = panel()
    splitter = TimeSeriesPanelSplit(2, 31, groups_disjoint=True)
    dates = labels.index.get_level_values("as_of_date")
    assert positions(splitter, matrix(labels), dates) == positions(splitter, matrix(labels))
    with pytest.raises(ValueError, match="groups_disjoint needs customer_id"):
        positions(splitter, matrix(labels).to_numpy(), dates)


def replaced(values, value):
    values = list(values)
    values[1] = value
    return values


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_splits": 0}, "n_splits must be a whole number of at least 1, got 0"),
        ({"n_splits": 2.0}, r"n_splits must be a whole number of at least 1, got 2\.0"),
        ({"n_splits": True}, "n_splits must be a whole number"),
        ({"gap_days": -1}, "gap_days must be a whole number of at least 0, got -1"),
        ({"gap_days": None}, "gap_days is None and no matured_on is given"),
        ({"test_dates": 0}, "test_dates must be"),
        ({"test_dates": None}, "test_dates must be"),
        ({"window": "sliding"}, "window must be 'expanding' or 'rolling', got 'sliding'"),
        ({"window": "rolling"}, "train_dates must be given for window='rolling'"),
        ({"train_dates": 3}, "train_dates must be given for window='rolling' and only for it, got 3"),
        ({"window": "rolling", "train_dates": 0}, "train_dates must be a whole number of at least 1"),
        ({"test_share": 0.0}, r"test_share must be above 0 and at most 1, got 0\.0"),
        ({"test_share": float("nan")}, "test_share must be above 0"),
        ({"n_splits": 8}, "8 folds of 1 test date.s. need at least 9 as_of dates, got 8"),
        ({"n_splits": 4, "test_dates": 2}, "4 folds of 2 test date.s. need at least 9 as_of dates, got 8"),
        ({"n_splits": 7}, "fold 1 of 7, tested from 2024-02-29, has no row to train on; give more dates"),
        (
            {"n_splits": 3, "window": "rolling", "train_dates": 5},
            r"fold 1 of 3, tested from 2024-06-30, has 4 as_of date.* before the gap; train_dates asks for 5",
        ),
    ],
)
def test_parameters_that_cannot_be(parameters, message):
    splitter = TimeSeriesPanelSplit(**{"n_splits": 2, "gap_days": 31} | parameters)
    with pytest.raises(ValueError, match=message):
        next(splitter.split(matrix(panel())))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda days: None, "no as_of_date: give the dates as groups, or as a level of the index"),
        (lambda days: days[1:], "X has 320 rows and groups has 319"),
        (lambda days: np.arange(len(days)), "as_of_date must be dates, got integer values"),
        (lambda days: list(range(len(days))), "as_of_date must be dates, got integer values"),
        (lambda days: replaced(days, 5), "as_of_date must be dates"),
        (lambda days: [f"C{i}" for i in range(len(days))], "as_of_date must be dates: "),
        (lambda days: replaced(days, None), r"as_of_date is missing in 1 row\(s\)$"),
        (lambda days: pd.DatetimeIndex(days).tz_localize("Asia/Taipei"), "without a time zone"),
        (lambda days: pd.DataFrame({"day": days}), "no as_of_date"),
        (
            lambda days: pd.DataFrame({"as_of_date": days, "matured_on": replaced(days, None)}),
            r"matured_on is missing in 1 row\(s\); keep decided rows only, as from trainable\(labels\)",
        ),
        (
            lambda days: pd.DataFrame({"as_of_date": days, "customer_id": replaced(["C"] * 320, None)}),
            r"1 row\(s\) have no customer_id",
        ),
    ],
)
def test_groups_that_cannot_be(change, message):
    labels = panel()
    groups = change(labels.index.get_level_values("as_of_date"))
    with pytest.raises(ValueError, match=message):
        next(
            TimeSeriesPanelSplit(2, 31, groups_disjoint=True).split(matrix(labels).to_numpy(), groups=groups)
        )


def test_labels_in_another_order_than_the_features_are_refused():
    labels = panel()
    for groups in (labels.sort_index(), labels.sort_index().index, labels.sort_index()["matured_on"]):
        with pytest.raises(ValueError, match="the index of groups is not that of X, row by row"):
            next(TimeSeriesPanelSplit(2, 31).split(matrix(labels), groups=groups))


def test_habits_of_scikit_learn():
    splitter = TimeSeriesPanelSplit(3, gap_days=31)
    again = clone(splitter)
    assert again is not splitter
    assert again.get_params() == splitter.get_params()
    assert splitter.get_params() == {
        "n_splits": 3, "gap_days": 31, "window": "expanding", "train_dates": None, "groups_disjoint": False,
        "test_dates": 1, "test_share": 0.2,
    }  # fmt: skip
    assert splitter.set_params(gap_days=40).gap_days == 40
    assert repr(splitter) == "TimeSeriesPanelSplit(gap_days=40, n_splits=3)"
    # Nothing is checked, nor changed, before split.
    assert TimeSeriesPanelSplit(n_splits="many").n_splits == "many"


def test_cross_validation():
    labels = panel()
    X, y = matrix(labels), labels["is_overdue"].astype(int)
    splitter = TimeSeriesPanelSplit(3, gap_days=31)
    scores = cross_val_score(LogisticRegression(), X, y, cv=splitter, scoring="roc_auc")
    by_hand = []
    for train, test in splitter.split(X):
        model = LogisticRegression().fit(X.iloc[train], y.iloc[train])
        p, truth = model.predict_proba(X.iloc[test])[:, 1], y.to_numpy()[test].astype(bool)
        by_hand.append((p[truth][:, None] > p[~truth]).mean())
    assert scores == pytest.approx(by_hand)
    for groups in (labels, labels.index.get_level_values("as_of_date")):
        given_groups = cross_val_score(
            LogisticRegression(), X.to_numpy(), y, groups=groups, cv=splitter, scoring="roc_auc"
        )
        assert given_groups == pytest.approx(scores)
    with config_context(enable_metadata_routing=True):
        routed = cross_val_score(
            LogisticRegression(), X.to_numpy(), y, params={"groups": labels}, cv=splitter, scoring="roc_auc"
        )
    assert routed == pytest.approx(scores)


def test_grid_search_and_the_classifier():
    labels = panel()
    X, y = matrix(labels), labels["is_overdue"].astype(int)
    splitter = TimeSeriesPanelSplit(2, window="rolling", train_dates=3)
    search = GridSearchCV(LogisticRegression(), {"C": [0.01, 1.0]}, cv=splitter, scoring="roc_auc")
    search.fit(X, y, groups=labels)
    assert search.n_splits_ == 2
    assert search.best_score_ > 0.6
    model = OverdueClassifier(cv=2, n_estimators=5, min_child_samples=5, colsample_bytree=1.0, n_jobs=1)
    scores = cross_val_score(model, X, y, groups=labels, cv=splitter, scoring="roc_auc")
    assert scores.shape == (2,)
    assert scores.min() > 0.6
    # And within: members of the bag by time, calibrated on the months after them.
    inner = OverdueClassifier(cv=splitter, n_estimators=5, min_child_samples=5, n_jobs=1)
    inner = clone(inner).fit(X, y, groups=labels)
    assert len(inner.boosters_) == 2
    held_out = ~np.isnan(inner.out_of_fold_log_odds_)
    assert days_of(labels, held_out) == ["07-31", "08-31"]


def test_folds_do_not_cover_all_rows_which_cross_val_predict_says():
    labels = panel()
    with pytest.raises(ValueError, match="only works for partitions"):
        cross_val_predict(
            LogisticRegression(), matrix(labels), labels["is_overdue"], cv=TimeSeriesPanelSplit(2, 31)
        )


def test_purged_by_maturity_by_hand(five):
    config = LabelsConfig(source="next_statement", population="pre_due")
    labels = label_customers(five.records, ["2024-05-31", "2024-06-30", "2024-07-31"], config)

    def kept(*arguments, **options):
        rows = purged_by_maturity(labels, *arguments, **options)
        assert rows.dtype == bool
        return [(c, f"{d:%m-%d}") for c, d in labels.index[rows]]

    may = [(c, "05-31") for c in ("ANN", "BEN", "CAT", "DAN")]
    # Cat's of June is final on 15 July; of June the others are late already or never known.
    assert kept("2024-07-15") == sorted([*may, ("CAT", "06-30")])
    assert kept("2024-07-14") == may == kept(dt.date(2024, 6, 30))
    assert kept("2024-06-29") == kept("2024-05-31") == []
    # The last as_of date by default.
    assert kept() == kept("2024-07-31") == sorted([*may, ("CAT", "06-30")])
    # June is not complete.
    assert kept(whole_dates=True) == may
    # Known on the day itself, it is tested on that day, not trained on.
    labels.loc[("CAT", "2024-06-30"), "matured_on"] = pd.Timestamp("2024-06-30")
    assert kept("2024-06-30") == may
    with pytest.raises(ConfigError, match=r"'July' is not a date \[first_test\]"):
        purged_by_maturity(labels, "July")
    with pytest.raises(RecordsError, match="there are no labels to purge"):
        purged_by_maturity(labels[:0])


def test_a_date_that_is_only_partly_final_is_kept_or_dropped_as_a_whole():
    """Overdue is known after 10 days, on time after 31: in between a date seems to have overdue rows only."""
    labels = panel()
    quick = labels.index.get_level_values("as_of_date") + 10 * ONE_DAY
    labels["matured_on"] = labels["matured_on"].where(~labels["is_overdue"], quick)
    first = MONTHS[3] + 15 * ONE_DAY
    rows = purged_by_maturity(labels, first.date())
    dates = labels.index.get_level_values("as_of_date")
    assert labels["is_overdue"][rows & (dates == MONTHS[3])].all()
    assert (rows & (dates == MONTHS[3])).any()
    whole = purged_by_maturity(labels, first.date(), whole_dates=True)
    assert np.array_equal(whole, dates <= MONTHS[2])


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_purged_rows_are_the_trainable_ones_known_by_then(ledgers, data):
    records, dates = data.draw(ledgers.ledger()), data.draw(ledgers.as_of_dates(3))
    labels = label_customers(records, dates, LabelsConfig(source="next_statement"))
    assume(len(labels))
    first = data.draw(st.sampled_from([*dates, dates[-1] + dt.timedelta(days=40)]))
    expected = trainable(labels, first)
    expected = expected[expected.index.get_level_values("as_of_date") < pd.Timestamp(first)]
    assert labels.index[purged_by_maturity(labels, first)].equals(expected.index)
    whole = purged_by_maturity(labels, first, whole_dates=True)
    assert not (whole & ~purged_by_maturity(labels, first)).any()
