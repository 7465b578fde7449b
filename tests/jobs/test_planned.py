"""Runs before a day of rest plan for the same day: what earlier runs planned counts in later ones."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from overdue_ml.config import BatchConfig, ChannelRule, HoursConfig, RemindersConfig, ScoreConfig
from overdue_ml.jobs.places import sha256_of
from overdue_ml.jobs.planned import planned_before
from overdue_ml.jobs.replay import run_replay
from overdue_ml.jobs.score import ScoreSettings, plan_score, run_score
from overdue_ml.jobs.text import plan_json, scoring_text

from .conftest import AS_OF, digests

#: 30 September 2005 is a Friday.
FRIDAY, SATURDAY, SUNDAY, MONDAY = (AS_OF + dt.timedelta(days=n) for n in range(4))
ONCE = {"caps": [{"days": 7, "contacts": 1}]}


def settings(buckets: int = 1, **policy) -> ScoreSettings:
    """Everybody with something due may be listed; contacts are from Monday to Friday."""
    everybody = {"lead_days": 31, "min_probability": 0.0, "tiers": ["high", "medium", "low"]}
    hours = HoursConfig(weekdays=[1, 2, 3, 4, 5])
    return ScoreSettings(
        score=ScoreConfig(explain="none"),
        reminders=RemindersConfig(**everybody | {"hours": hours, "contacts": ONCE} | policy),
        batch=BatchConfig(customers_per_bucket=-(-300 // buckets)),
    )


#: Twelve on a list, and twenty on a day.
TIGHT = {"capacity": 12, "daily_capacity": 20}


def listed(result) -> pd.DataFrame:
    return pq.read_table(result.folder / "reminders.parquet").to_pandas()


@pytest.fixture(scope="module")
def weekend(few, champion, tmp_path_factory):
    """Three runs with one Monday before them."""
    out = tmp_path_factory.mktemp("weekend")
    return [run_score(few, day, champion, out, settings(**TIGHT)) for day in (FRIDAY, SATURDAY, SUNDAY)]


@pytest.fixture(scope="module")
def alone(few, champion, tmp_path_factory):
    """The Saturday with nothing before it."""
    return run_score(few, SATURDAY, champion, tmp_path_factory.mktemp("alone"), settings(**TIGHT))


def copy_of(out: Path, to: Path, *names: str) -> Path:
    for name in names:
        shutil.copytree(out / name, to / name)
    return to


class TestAWeekend:
    def test_nobody_stands_there_twice_and_the_day_is_never_overfull(self, weekend, few, champion, tmp_path):
        friday, saturday, sunday = map(listed, weekend)
        # Monday has room for 20: 12 take theirs on Friday, and the other 8 theirs on Saturday.
        assert [len(friday), len(saturday), len(sunday)] == [12, 8, 0]
        assert set(friday["contact_on"]) == set(saturday["contact_on"]) == {MONDAY}
        assert not set(friday["customer_id"]) & set(saturday["customer_id"])
        # They are the best of those whom Friday did not take.
        free = listed(run_score(few, SATURDAY, champion, tmp_path, settings()))
        left = free.loc[~free["customer_id"].isin(friday["customer_id"]), "customer_id"]
        assert saturday["customer_id"].tolist() == left.head(8).tolist()
        suppressed = pq.read_table(weekend[1].folder / "suppressed.parquet").to_pandas()
        capped = suppressed.loc[suppressed["rule"] == "over_contact_cap", "customer_id"]
        assert set(capped) == set(friday["customer_id"])

    def test_manifest_and_text_say_whose_contacts_count(self, weekend):
        friday, saturday, sunday = weekend
        assert "planned" not in friday.manifest
        assert saturday.manifest["planned"]["runs"] == [["2005-09-30", 12]]
        assert sunday.manifest["planned"]["runs"] == [["2005-09-30", 12], ["2005-10-01", 8]]
        assert "planned before" not in scoring_text(friday)
        assert "no table 'contacts': nobody is left out" in scoring_text(friday)
        text = scoring_text(sunday)
        assert "after 2005-10-02: 12 by the run of 2005-09-30, 8 by the run of 2005-10-01; they count" in text
        assert "no table 'contacts': of contacts only those that earlier runs planned are known." in text

    def test_channels_are_filled_over_all_lists(self, few, champion, tmp_path):
        channels = [
            ChannelRule(channel="sms", daily_capacity=6),
            ChannelRule(channel="email", daily_capacity=6),
        ]
        found = [
            listed(run_score(few, day, champion, tmp_path, settings(capacity=8, channels=channels)))
            for day in (FRIDAY, SATURDAY, SUNDAY)
        ]
        counts = [rows["channel"].value_counts().to_dict() for rows in found]
        assert counts == [{"sms": 6, "email": 2}, {"email": 4}, {}]

    def test_in_four_buckets_the_bytes_are_the_same(self, weekend, few, champion, tmp_path):
        out = copy_of(weekend[0].folder.parent, tmp_path, "as_of=2005-09-30")
        four = run_score(few, SATURDAY, champion, out, settings(buckets=4, **TIGHT))
        assert digests(four.folder) == digests(weekend[1].folder)

    def test_a_later_first_day_is_a_weekend_every_day(self, few, champion, tmp_path):
        late = settings(hours=HoursConfig(first_day=2), capacity=12)
        results = [run_score(few, day, champion, tmp_path, late) for day in (FRIDAY, SATURDAY, SUNDAY)]
        friday, saturday, sunday = map(listed, results)
        assert [set(rows["contact_on"]) for rows in (friday, saturday)] == [{SUNDAY}, {MONDAY}]
        assert not set(friday["customer_id"]) & set(saturday["customer_id"])
        # On Sunday what Friday planned for Sunday is history, and no contact is told of.
        assert results[2].manifest["planned"]["runs"] == [["2005-10-01", 12]]
        assert set(friday["customer_id"]) & set(sunday["customer_id"])
        assert not set(saturday["customer_id"]) & set(sunday["customer_id"])


class TestTheKey:
    def test_the_same_run_is_done_and_a_plan_knows_its_key(self, weekend, alone, few, champion, tmp_path):
        out, saturday = weekend[0].folder.parent, weekend[1]
        assert run_score(few, SATURDAY, champion, out, settings(**TIGHT)).already_done
        plan = plan_score(few, SATURDAY, champion, out, settings(**TIGHT))
        assert (plan.run_key, plan.done) == (saturday.manifest["run_key"], saturday.folder)
        # Before it is done as well; and alone it is another run.
        here = copy_of(out, tmp_path, "as_of=2005-09-30")
        before = plan_score(few, SATURDAY, champion, here, settings(**TIGHT))
        assert (plan_json(before)["run_key"], before.done) == (plan.run_key, None)
        assert plan.run_key != alone.manifest["run_key"]

    def test_a_run_alone_is_what_it_was(self, alone, few, champion, tmp_path):
        names = ["as_of", "records_fingerprint", "model_hash", "feature_set_hash", "config_hash",
                 "code_version", "watched"]  # fmt: skip
        text = json.dumps({name: alone.manifest[name] for name in names}, sort_keys=True)
        assert alone.manifest["run_key"] == hashlib.sha256(text.encode()).hexdigest()
        # So is one for which the run before has planned nothing later than today.
        daily = settings(hours=HoursConfig(), alerts=[], **TIGHT)
        run_score(few, FRIDAY, champion, tmp_path / "daily", daily)
        second = run_score(few, SATURDAY, champion, tmp_path / "daily", daily)
        other = run_score(few, SATURDAY, champion, tmp_path / "other", daily)
        assert "planned" not in second.manifest
        assert digests(second.folder) == digests(other.folder)

    def test_where_nothing_asks_nothing_counts(self, weekend, few, champion):
        free = {"contacts": {"caps": []}, "alerts": []}
        out = weekend[0].folder.parent
        keys = [
            plan_score(few, SATURDAY, champion, place, settings(**free)).run_key
            for place in (out, out / "new")
        ]
        assert keys[0] == keys[1]
        sms = [ChannelRule(channel="sms", daily_capacity=9)]
        for asks in ({"daily_capacity": 9}, {"channels": sms}, {"contacts": ONCE}):
            some = settings(**free | asks)
            assert plan_score(few, SATURDAY, champion, out, some).run_key not in keys
            assert planned_before(out, SATURDAY, "overdue", some.reminders).runs == [("2005-09-30", 12)]

    def test_a_replay_knows_it(self, weekend, line, few):
        folder = weekend[1].folder
        customer = listed(weekend[1])["customer_id"].iloc[0]
        assert run_replay(folder, customer, SATURDAY, few, line.models).exit_code == 0


class TestOrder:
    def test_a_friday_that_comes_late_makes_another_saturday(self, weekend, alone, few, champion, tmp_path):
        out = copy_of(alone.folder.parent, tmp_path, "as_of=2005-10-01")
        friday = run_score(few, FRIDAY, champion, out, settings(**TIGHT))
        assert digests(friday.folder) == digests(weekend[0].folder)
        saturday = run_score(few, SATURDAY, champion, out, settings(**TIGHT))
        assert saturday.folder.name == "as_of=2005-10-01.run2"
        assert digests(saturday.folder) == digests(weekend[1].folder)
        # Sunday counts the last run of each day, as if there had never been another.
        sunday = run_score(few, SUNDAY, champion, out, settings(**TIGHT))
        assert sunday.manifest["planned"] == weekend[2].manifest["planned"]

    def test_one_that_was_interrupted_goes_on_as_the_same(
        self, weekend, few, champion, tmp_path, monkeypatch
    ):
        out = copy_of(weekend[0].folder.parent, tmp_path, "as_of=2005-09-30")

        def killed(*_args: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("overdue_ml.jobs.score.publish", killed)
            with pytest.raises(KeyboardInterrupt):
                run_score(few, SATURDAY, champion, out, settings(**TIGHT))
        # It has published nothing, so that Sunday knows of Friday alone.
        policy = settings(**TIGHT).reminders
        assert planned_before(out, SUNDAY, champion.name, policy).runs == [("2005-09-30", 12)]
        assert plan_score(few, SATURDAY, champion, out, settings(**TIGHT)).n_ready == 1
        saturday = run_score(few, SATURDAY, champion, out, settings(**TIGHT))
        assert digests(saturday.folder) == digests(weekend[1].folder)


def write_run(out: Path, name: str, rows, *, lead_days=31, every_days=1, model="overdue") -> Path:
    """A run that has nothing but what is asked of it; rows are (customer, day, channel)."""
    folder = out / name
    folder.mkdir(parents=True)
    kinds = [("customer_id", pa.large_string()), ("contact_on", pa.date32()), ("channel", pa.string())]
    columns = list(zip(*rows, strict=True)) or [[], [], []]
    pq.write_table(pa.table(columns, schema=pa.schema(kinds)), folder / "reminders.parquet")
    manifest = {
        "as_of": name[6:16],
        "model": {"name": model, "version": "1"},
        "settings": {"reminders": {"lead_days": lead_days, "every_days": every_days}},
        "files": {"reminders.parquet": sha256_of(folder / "reminders.parquet")},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def before(out: Path, as_of: dt.date = SATURDAY, **policy):
    return planned_before(out, as_of, "overdue", RemindersConfig(**policy))


class TestWhatIsRead:
    def test_days_that_are_over_are_not(self, tmp_path):
        rows = [("b", MONDAY, "sms"), ("a", SATURDAY, None), ("c", SUNDAY, None), ("a", SUNDAY, "call")]
        write_run(tmp_path, "as_of=2005-09-29", rows)
        found = before(tmp_path)
        assert found.runs == [("2005-09-29", 3)]
        cells = list(zip(*found.contacts.to_pydict().values(), strict=True))
        assert cells == [("a", SUNDAY, "call"), ("c", SUNDAY, None), ("b", MONDAY, "sms")]
        assert before(tmp_path, SUNDAY).runs == [("2005-09-29", 1)]
        assert before(tmp_path, MONDAY) is None

    def test_the_order_of_a_list_is_of_no_account(self, tmp_path):
        rows = [("b", MONDAY, "sms"), ("c", SUNDAY, None)]
        write_run(tmp_path / "one", "as_of=2005-09-29", rows)
        write_run(tmp_path / "two", "as_of=2005-09-29", rows[::-1])
        write_run(tmp_path / "three", "as_of=2005-09-29", [rows[0], ("c", SUNDAY, "sms")])
        one, two, three = (before(tmp_path / name).identity() for name in ("one", "two", "three"))
        assert one == two
        assert one["contacts_hash"] != three["contacts_hash"]

    @pytest.mark.parametrize(("model", "runs"), [("overdue", [("2005-09-30", 2)]), ("other", None)])
    def test_the_last_run_of_a_date_by_a_model_of_the_name(self, tmp_path, model, runs):
        write_run(tmp_path, "as_of=2005-09-30", [("a", MONDAY, None)])
        write_run(tmp_path, "as_of=2005-09-30.run2", [("b", MONDAY, None), ("c", MONDAY, None)])
        write_run(tmp_path, "as_of=2005-09-30.run3", [("d", MONDAY, None)], model="third")
        # Never one of the date itself or a later one.
        write_run(tmp_path, "as_of=2005-10-01", [("e", MONDAY, None)])
        write_run(tmp_path, "as_of=2005-10-02", [("e", MONDAY, None)])
        found = planned_before(tmp_path, SATURDAY, model, RemindersConfig())
        assert (found and found.runs) == runs

    def test_a_last_run_without_any_takes_back_what_the_first_had(self, tmp_path):
        write_run(tmp_path, "as_of=2005-09-30", [("a", MONDAY, None)])
        write_run(tmp_path, "as_of=2005-09-30.run2", [])
        assert before(tmp_path) is None

    @pytest.mark.parametrize("harm", ["other bytes", "gone", "no settings", "no column"])
    def test_a_run_that_is_not_whole_is_passed_over(self, tmp_path, harm):
        write_run(tmp_path, "as_of=2005-09-30", [("a", MONDAY, None)])
        folder = write_run(tmp_path, "as_of=2005-09-30.run2", [("b", MONDAY, None), ("c", MONDAY, None)])
        assert before(tmp_path).runs == [("2005-09-30", 2)]
        path, manifest = folder / "reminders.parquet", json.loads((folder / "manifest.json").read_text())
        if harm == "other bytes":
            path.write_bytes(path.read_bytes() + b"x")
        elif harm == "gone":
            path.unlink()
        elif harm == "no settings":
            del manifest["settings"]
        else:
            pq.write_table(pq.read_table(path).drop_columns(["contact_on"]), path)
            manifest["files"]["reminders.parquet"] = sha256_of(path)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        assert before(tmp_path).runs == [("2005-09-30", 1)]

    @pytest.mark.parametrize(
        ("lead_days", "every_days", "farthest"), [(31, 1, 31), (0, 1, 0), ([14, 3], 1, 14), ([3, 1], 7, 9)]
    )
    def test_only_runs_that_reach_so_far_are_opened(
        self, tmp_path, monkeypatch, lead_days, every_days, farthest
    ):
        """No contact is later than the due date it is for, and no due date than the lead days allow."""
        start = dt.date(2005, 9, 1)
        last = start + dt.timedelta(days=farthest)
        write_run(
            tmp_path, "as_of=2005-09-01", [("a", last, None)], lead_days=lead_days, every_days=every_days
        )
        opened = []
        monkeypatch.setattr(
            "overdue_ml.jobs.planned.is_whole", lambda folder, files: opened.append(folder) or True
        )
        for ahead in range(1, farthest + 3):
            found = before(tmp_path, start + dt.timedelta(days=ahead))
            assert (found is not None) == (ahead < farthest)
            assert len(opened) == min(ahead, max(farthest - 1, 0))
