"""The scoring run: what is written, that it ties out, and that it is safe to repeat."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from overdue_ml.config import RemindersConfig, ScoreConfig, TierRule
from overdue_ml.errors import ConfigError, FeatureMismatchError, NothingToScoreError, OverdueMLError
from overdue_ml.jobs.score import ScoreSettings, check_feature_set, plan_score, run_score
from overdue_ml.records import load_records
from overdue_ml.records.dates import parse_date
from overdue_ml.tracking import load_model, open_store


def registered(line):
    return load_model(open_store(line.models), "overdue@champion")


def tables(folder: Path) -> dict[str, bytes]:
    """Everything that must be the same each time; how long it took is not."""
    paths = [p for p in sorted(folder.iterdir()) if p.is_file() and p.name != "timings.json"]
    return {p.name: p.read_bytes() for p in paths}


def test_the_files_of_the_design_are_there_for_every_customer(line):
    folder = line.scored.folder
    assert folder.name == "as_of=2005-09-30"
    names = {p.name for p in folder.iterdir() if p.is_file()}
    assert {
        "scores.parquet", "contributions.parquet", "reminders.csv", "reminders.parquet", "suppressed.parquet",
        "watch_list.csv", "watch_list.parquet", "treatment.csv", "treatment.parquet", "manifest.json",
        "timings.json",
    } == names  # fmt: skip
    scores = pd.read_parquet(folder / "scores.parquet")
    assert list(scores.columns) == [
        "customer_id", "as_of_date", "p_overdue", "p_low", "p_high", "log_odds", "points", "tier", "rank",
        "next_due_date",
        "due_amount", "exposure_amount", "expected_overdue_amount",
        *(f"reason_{i}_{part}" for i in range(1, 5) for part in ("code", "contribution")),
    ]  # fmt: skip
    assert scores["customer_id"].is_unique
    assert len(scores) == 3000
    assert scores["p_overdue"].between(0, 1).all()
    codes = scores[[f"reason_{i}_code" for i in range(1, 5)]]
    sizes = scores[[f"reason_{i}_contribution" for i in range(1, 5)]]
    # What raises the score, the strongest first; most have four such reasons, some none.
    assert (codes.notna().to_numpy() == sizes.notna().to_numpy()).all()
    assert (sizes.min() >= 0.005).all()
    assert (sizes.diff(axis=1).iloc[:, 1:].fillna(0.0) <= 0).all().all()
    assert codes.notna().all(axis=1).mean() > 0.3


def test_rank_follows_log_odds_and_ties_go_to_the_smaller_id(line):
    scores = pd.read_parquet(line.scored.folder / "scores.parquet")
    expected = scores.sort_values(["log_odds", "customer_id"], ascending=[False, True])["customer_id"]
    assert scores.sort_values("rank")["customer_id"].tolist() == expected.tolist()
    assert sorted(scores["rank"]) == list(range(1, len(scores) + 1))


def test_contributions_and_base_are_the_log_odds(line):
    scores = pd.read_parquet(line.scored.folder / "scores.parquet").set_index("customer_id")
    wide = pd.read_parquet(line.scored.folder / "contributions.parquet").set_index("customer_id")
    gap = (wide.sum(axis=1) - scores["log_odds"]).abs().max()
    assert gap <= 1e-9
    assert list(wide.columns) == [*line.trained.model.feature_names, "base"]


def test_reasons_are_sums_of_contributions_and_ordered(line):
    scores = pd.read_parquet(line.scored.folder / "scores.parquet").set_index("customer_id")
    wide = pd.read_parquet(line.scored.folder / "contributions.parquet").set_index("customer_id")
    reasons = line.trained.model.reasons
    some = scores.iloc[::500]
    for customer, row in some.iterrows():
        parts = wide.loc[customer, [n for n in reasons if reasons[n] == row["reason_1_code"]]]
        assert row["reason_1_contribution"] == pytest.approx(parts.sum(), abs=1e-12)
        values = [row[f"reason_{i}_contribution"] for i in range(1, 5)]
        assert values == sorted(values, reverse=True)


def test_every_customer_is_reminded_or_suppressed_with_one_rule(line):
    folder = line.scored.folder
    reminders = pd.read_parquet(folder / "reminders.parquet")
    suppressed = pd.read_parquet(folder / "suppressed.parquet")
    both = pd.concat([reminders["customer_id"], suppressed["customer_id"]])
    assert both.is_unique
    assert len(both) == 3000
    assert suppressed["rule"].ne("").all()
    assert len(pd.read_csv(folder / "reminders.csv")) == len(reminders) == line.scored.manifest["n_reminders"]
    amounts = reminders["expected_overdue_amount"]
    assert amounts.is_monotonic_decreasing


def test_a_repeat_is_already_done_and_another_place_gives_the_same_bytes(line, tmp_path):
    before = tables(line.scored.folder)
    again = run_score(line.records, parse_date("2005-09-30"), registered(line), line.out, small(line))
    assert again.already_done
    assert tables(line.scored.folder) == before
    other = run_score(line.records, parse_date("2005-09-30"), registered(line), tmp_path / "out", small(line))
    assert not other.already_done
    assert tables(other.folder) == before


def small(line):
    return ScoreSettings(reminders=RemindersConfig(lead_days=31))


def test_shuffled_records_give_the_same_tables(line, tmp_path):
    shuffled = tmp_path / "records"
    shuffled.mkdir()
    for path in line.records.glob("*.csv"):
        pd.read_csv(path, dtype=str).sample(frac=1, random_state=1).to_csv(shuffled / path.name, index=False)
    other = run_score(shuffled, parse_date("2005-09-30"), registered(line), tmp_path / "out", small(line))
    ours, theirs = tables(line.scored.folder), tables(other.folder)
    ours.pop("manifest.json"), theirs.pop("manifest.json")
    assert ours == theirs


def test_other_settings_stand_beside_a_run_and_never_over_it(line, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(line.out, out)
    changed = ScoreSettings(reminders=RemindersConfig(lead_days=31, capacity=5))
    result = run_score(line.records, parse_date("2005-09-30"), registered(line), out, changed)
    assert result.folder == out / "as_of=2005-09-30.run2"
    assert result.manifest["n_reminders"] == 5
    assert result.manifest["suppressed"]["over_capacity"] > 0
    assert tables(out / "as_of=2005-09-30") == tables(line.scored.folder)
    assert sorted(p.name for p in out.iterdir()) == ["as_of=2005-09-30", "as_of=2005-09-30.run2"]
    for settings in (changed, small(line)):
        again = run_score(line.records, parse_date("2005-09-30"), registered(line), out, settings)
        assert again.already_done
    assert len(list(out.iterdir())) == 2


def test_a_run_with_a_changed_file_is_not_taken_for_done(line, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(line.out, out)
    (out / "as_of=2005-09-30" / "reminders.csv").write_text("cut short")
    again = run_score(line.records, parse_date("2005-09-30"), registered(line), out, small(line))
    assert not again.already_done
    assert again.folder.name == "as_of=2005-09-30.run2"
    assert tables(again.folder) == tables(line.scored.folder)


def test_a_full_disk_leaves_the_old_run_and_what_was_finished(line, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(line.out, out)
    changed = ScoreSettings(reminders=RemindersConfig(lead_days=31, capacity=1))
    with monkeypatch.context() as patch:
        patch.setattr("overdue_ml.jobs.lists.write_csv", _disk_full)
        with pytest.raises(OverdueMLError, match=r"No space left on device.*what is finished is kept"):
            run_score(line.records, parse_date("2005-09-30"), registered(line), out, changed)
    assert tables(out / "as_of=2005-09-30") == tables(line.scored.folder)
    plan = plan_score(line.records, parse_date("2005-09-30"), registered(line), out, changed)
    assert (plan.n_ready, plan.n_buckets, plan.done) == (1, 1, None)
    result = run_score(line.records, parse_date("2005-09-30"), registered(line), out, changed)
    timings = json.loads((result.folder / "timings.json").read_text())
    assert [was_there for _, _, _, was_there in timings["buckets"]] == [True]
    assert sorted(p.name for p in out.iterdir()) == ["as_of=2005-09-30", "as_of=2005-09-30.run2"]


def _disk_full(*_args):
    raise OSError(28, "No space left on device")


def test_before_the_first_record_there_is_nothing_to_score(line, tmp_path):
    with pytest.raises(NothingToScoreError, match="nothing is known of any customer on 2004-12-31") as error:
        run_score(line.records, parse_date("2004-12-31"), registered(line), tmp_path / "out", small(line))
    assert error.value.exit_code == 5
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_date_near_the_end_of_the_calendar_is_scored_or_refused(line, tmp_path):
    """Days of contact are counted on from it for a year and more."""
    last = run_score(line.records, dt.date(9000, 12, 31), registered(line), tmp_path / "out", small(line))
    assert last.folder.name == "as_of=9000-12-31"
    for act in (run_score, plan_score):
        with pytest.raises(ConfigError, match="9999-12-31 is too far away"):
            act(line.records, dt.date(9999, 12, 31), registered(line), tmp_path / "out", small(line))


def test_scores_of_an_earlier_date_do_not_see_later_records(line, tmp_path):
    """The same date from whole records and from records cut at that date: the same scores."""
    day = parse_date("2005-07-31")
    whole = run_score(line.records, day, registered(line), tmp_path / "whole", small(line))
    cut = tmp_path / "cut"
    cut.mkdir()
    for path in line.records.glob("*.csv"):
        frame = pd.read_csv(path, dtype=str)
        if path.stem == "statements":
            frame = frame[frame["known_on"] <= "2005-07-31"]
        if path.stem != "labels":
            frame.to_csv(cut / path.name, index=False)
    late = run_score(cut, day, registered(line), tmp_path / "late", small(line))
    for name in ("scores.parquet", "contributions.parquet", "reminders.parquet", "suppressed.parquet"):
        assert (whole.folder / name).read_bytes() == (late.folder / name).read_bytes()


def test_a_model_of_other_feature_definitions_is_refused(line):
    model = registered(line).model
    check_feature_set(model, [])
    import dataclasses

    with pytest.raises(FeatureMismatchError, match="other feature definitions") as error:
        check_feature_set(dataclasses.replace(model, feature_set_hash="0" * 64), [])
    assert error.value.exit_code == 4


def test_a_column_the_model_needs_is_named(line, tmp_path):
    frames = {p.stem: pd.read_csv(p, dtype=str) for p in line.records.glob("*.csv")}
    frames["statements"] = frames["statements"].drop(columns="paid_amount")
    with pytest.raises(FeatureMismatchError, match=r"statements\.paid_amount"):
        run_score(load_records(frames), parse_date("2005-09-30"), registered(line), tmp_path, small(line))


def test_the_manifest_says_what_the_run_depends_on(line):
    manifest = json.loads((line.scored.folder / "manifest.json").read_text())
    for key in (
        "records_fingerprint",
        "model_hash",
        "feature_set_hash",
        "config_hash",
        "run_key",
        "code_version",
    ):
        assert manifest[key]
    assert manifest["model"]["version"] == line.trained.run.version
    # The only labels of this dataset are of the month after the scored date.
    assert manifest["trained_on_later_outcomes"] is True
    assert sum(manifest["book_counts"]) == manifest["n_customers"] == 3000
    assert manifest["drift"][0][0] == "p_overdue"


def test_parquet_pages_carry_checksums_that_notice_a_flipped_bit(line, tmp_path):
    copy = tmp_path / "scores.parquet"
    data = bytearray((line.scored.folder / "scores.parquet").read_bytes())
    data[len(data) // 3] ^= 1
    copy.write_bytes(data)
    with pytest.raises(OSError, match=r"(?i)crc|checksum"):
        pq.read_table(copy, page_checksum_verification=True)


def test_tiers_follow_probability_and_amount(line, tmp_path):
    rules = [
        TierRule(tier="high", min_probability=0.3, min_amount=50_000.0),
        TierRule(tier="low", min_probability=0.0, min_amount=0.0),
    ]
    settings = ScoreSettings(ScoreConfig(tiers=rules), RemindersConfig(lead_days=31))
    result = run_score(line.records, parse_date("2005-09-30"), registered(line), tmp_path, settings)
    scores = pd.read_parquet(result.folder / "scores.parquet")
    high = (scores["p_overdue"] >= 0.3) & (scores["due_amount"] >= 50_000)
    assert (scores["tier"] == np.where(high, "high", "low")).all()
    assert 0 < high.sum() < len(scores)
