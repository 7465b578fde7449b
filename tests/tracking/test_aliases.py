"""Who was champion when, going back, and what a kill leaves behind."""

import datetime as dt
import errno
import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from overdue_ml.errors import ConfigError, ModelError
from overdue_ml.tracking import (
    champion_on,
    load_model,
    promote,
    read_promotions,
    roll_back,
)
from overdue_ml.tracking.promotion import append_promotion, champions, read_log, standing

DAY = 86_400_000


def champion(store):
    return load_model(store, "overdue@champion").version


def log_of(store):
    return [
        (e["kind"], e["version"], e["from_version"])
        for e in read_promotions(store.folder / "promotions.jsonl")
    ]


def line(version, time_ms, kind="promotion", **more):
    return {
        "kind": kind, "model": "overdue", "alias": "champion", "version": version, "from_version": "",
        "by": "lin", "reason": "", "registry_time_ms": str(time_ms),
    } | more  # fmt: skip


# ---- Which version on which day


def on(folder, day, **more):
    found = champion_on(folder, dt.date.fromisoformat(day), **more)
    return found and found.version


def test_the_champion_of_a_day_is_that_at_its_end(tmp_path):
    log = tmp_path / "promotions.jsonl"
    # 2 January 1970 at 15:59 UTC, and 4 January at 16:01: one day later in Shanghai, eight hours ahead.
    append_promotion(log, line("1", DAY + 57_540_000))
    append_promotion(log, line("9", 2 * DAY, alias="challenger"))
    append_promotion(log, line("8", 2 * DAY, model="other"))
    append_promotion(log, line("2", 3 * DAY + 57_660_000))
    days = ["1970-01-01", "1970-01-02", "1970-01-03", "1970-01-04", "1970-01-05", "2030-01-01"]
    assert [on(tmp_path, day) for day in days] == [None, "1", "1", "2", "2", "2"]
    shanghai = [on(tmp_path, day, timezone="Asia/Shanghai") for day in days]
    assert shanghai == [None, "1", "1", "1", "2", "2"]
    assert on(tmp_path, "1970-01-05", name="other") == "8"
    found = champion_on(tmp_path, dt.date(1970, 1, 9))
    assert (found.since, found.line["by"], found.notes) == (dt.date(1970, 1, 4), "lin", [])
    with pytest.raises(ConfigError, match="no time zone"):
        on(tmp_path, "1970-01-05", timezone="../etc")


def test_no_log_no_champion(tmp_path):
    assert on(tmp_path, "2030-01-01") is None


def test_a_clock_that_was_set_back_puts_no_line_before_an_earlier_one(tmp_path):
    for version, day in (("1", 5), ("2", 2), ("3", 9)):
        append_promotion(tmp_path / "promotions.jsonl", line(version, day * DAY))
    # Version 2 counts from 6 January, the day of the line before it.
    assert [on(tmp_path, f"1970-01-{day:02}") for day in (3, 6, 9, 10)] == [None, "2", "2", "3"]


def test_promoting_the_champion_again_does_not_make_it_newer(tmp_path):
    for version, day in (("1", 1), ("2", 3), ("2", 6)):
        append_promotion(tmp_path / "promotions.jsonl", line(version, day * DAY))
    found = champion_on(tmp_path, dt.date(1970, 1, 20))
    assert (found.version, found.since) == ("2", dt.date(1970, 1, 4))


def test_lines_of_before_there_were_kinds_stay_readable(tmp_path):
    old = line("1", DAY)
    del old["kind"]
    append_promotion(tmp_path / "promotions.jsonl", old)
    append_promotion(tmp_path / "promotions.jsonl", line("2", 3 * DAY))
    found = champion_on(tmp_path, dt.date(1970, 1, 3))
    assert found.version == "1"
    assert "an old line" in found.notes[0]
    assert champions(read_promotions(tmp_path / "promotions.jsonl"), "overdue") == ["1", "2"]


def test_the_log_has_the_time_of_the_move_not_that_of_the_version(store):
    """MLflow keeps no time of an alias: of a version that comes back, one would read when it was made."""
    for version in ("1", "2", "1"):
        promote(store, "overdue", version, "champion", "lin")
    times = [int(e["registry_time_ms"]) for e in read_promotions(store.folder / "promotions.jsonl")]
    registered = [store.client().get_model_version("overdue", v).creation_timestamp for v in ("1", "2", "3")]
    assert max(registered) < times[0] < times[1] < times[2]
    day = dt.datetime.fromtimestamp(times[0] / 1000, dt.UTC).date()
    assert champion_on(store.folder, day).version == "1"
    assert champion_on(store.folder, day - dt.timedelta(1)) is None


# ---- A line that was cut off


@pytest.fixture
def log(tmp_path):
    for version in ("1", "2", "3"):
        append_promotion(tmp_path / "promotions.jsonl", line(version, int(version) * DAY))
    return tmp_path / "promotions.jsonl"


def test_a_line_cut_anywhere_is_told_and_set_aside_by_the_next(log):
    whole = log.read_bytes()
    start = whole.rstrip(b"\n").rindex(b"\n") + 1
    for end in (*range(start + 1, len(whole) - 1, 37), len(whole) - 2):
        log.write_bytes(whole[:end])
        log.with_name("promotions.torn").unlink(missing_ok=True)
        found = read_log(log)
        assert ([e["version"] for e in found.lines], found.torn) == (["1", "2"], whole[start:end])
        assert any("cut off" in note for note in champion_on(log.parent, dt.date(1970, 1, 9)).notes)
        written = append_promotion(log, line("4", 4 * DAY))
        assert written["set_aside"] == hashlib.sha256(whole[start:end]).hexdigest()
        assert [e["version"] for e in read_promotions(log)] == ["1", "2", "4"]
        assert log.with_name("promotions.torn").read_bytes() == whole[start:end] + b"\n"


def test_a_whole_line_without_its_line_feed_stays(log):
    log.write_bytes(log.read_bytes()[:-1])
    assert [e["version"] for e in read_promotions(log)] == ["1", "2", "3"]
    append_promotion(log, line("4", 4 * DAY))
    assert [e["version"] for e in read_promotions(log)] == ["1", "2", "3", "4"]
    assert not log.with_name("promotions.torn").exists()


def test_a_changed_last_line_is_not_mistaken_for_a_cut_one(log):
    log.write_bytes(log.read_bytes()[:-1].replace(b'"3"', b'"4"'))
    with pytest.raises(ModelError, match="chain of hashes is broken"):
        read_log(log)


def test_a_full_disk_leaves_the_log_as_it_was(log, monkeypatch):
    before = log.read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("overdue_ml.tracking.promotion.os.fsync", full)
    with pytest.raises(ModelError, match="No space left") as caught:
        append_promotion(log, line("4", 4 * DAY))
    assert caught.value.exit_code == 4
    assert log.read_bytes() == before


# ---- Going back


def test_a_rollback_goes_back_and_a_second_one_further(store):
    for version in ("1", "2", "3"):
        promote(store, "overdue", version, "champion", "lin")
    back = roll_back(store, "overdue", "wang", "too many calls")
    assert (back["kind"], back["version"], back["from_version"]) == ("rollback", "2", "3")
    assert (back["by"], back["reason"]) == ("wang", "too many calls")
    assert champion(store) == "2"
    assert roll_back(store, "overdue", "wang", "still")["version"] == "1"
    with pytest.raises(ModelError, match="no champion of 'overdue' to go back to") as caught:
        roll_back(store, "overdue", "wang", "still")
    assert caught.value.exit_code == 4
    assert champion(store) == "1"
    # What was rolled back is no way back any more, until it is promoted again.
    promote(store, "overdue", "3", "champion", "lin")
    assert roll_back(store, "overdue", "wang", "again")["version"] == "1"
    assert [kind for kind, _, _ in log_of(store)] == [
        "promotion", "promotion", "promotion", "rollback", "rollback", "promotion", "rollback",
    ]  # fmt: skip


def test_a_rollback_verifies_before_the_alias_moves(store):
    for version in ("1", "2"):
        promote(store, "overdue", version, "champion", "lin")
    uri = store.client().get_model_version("overdue", "1").source
    (path,) = store.artifacts.rglob(f"m-{uri.rpartition('m-')[2]}/**/model.json")
    path.write_bytes(path.read_bytes() + b" ")
    before = log_of(store)
    with pytest.raises(ModelError, match="was changed"):
        roll_back(store, "overdue", "wang", "bad")
    assert champion(store) == "2"
    assert log_of(store) == before


@pytest.mark.parametrize(("by", "reason"), [("", "bad"), ("wang", " ")])
def test_a_rollback_needs_a_name_and_a_reason(store, by, reason):
    with pytest.raises(ModelError, match="needs a name and a reason"):
        roll_back(store, "overdue", by, reason)


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ("p1 p2 p1", "121"), ("p1 p2 p1 r2", "12"), ("p1 p2 p1 r2 r1", "1"), ("p1 p1 p2", "12"),
        # Found on an earlier version: as if rolled back to it. Found on another: as if promoted.
        ("p1 p2 p3 n1", "1"), ("p1 p2 n3", "123"), ("p1 p2 n- p3", "123"), ("p1 p2 p1 n2", "12"),
    ],
)  # fmt: skip
def test_the_row_of_champions(moves, expected):
    kinds = {"p": "promotion", "r": "rollback", "n": "noticed"}
    lines = [line(m[1].strip("-"), 0, kinds[m[0]]) for m in moves.split()]
    assert champions(lines, "overdue") == list(expected)
    assert standing(lines, "overdue") == moves[-1].strip("-")


# ---- An alias that stands elsewhere


def test_an_alias_moved_off_the_record_is_noticed_by_the_next_promotion(store):
    promote(store, "overdue", "1", "champion", "lin")
    store.client().set_registered_model_alias("overdue", "champion", "2")
    promote(store, "overdue", "3", "champion", "wang")
    assert log_of(store) == [("promotion", "1", ""), ("noticed", "2", "1"), ("promotion", "3", "2")]
    noticed = read_promotions(store.folder / "promotions.jsonl")[1]
    assert noticed["by"] == "wang"
    assert "moved by other means" in noticed["reason"]


def test_an_alias_that_was_taken_away_is_noticed(store):
    promote(store, "overdue", "1", "champion", "lin")
    store.client().delete_registered_model_alias("overdue", "champion")
    promote(store, "overdue", "2", "champion", "lin")
    assert log_of(store) == [("promotion", "1", ""), ("noticed", "", "1"), ("promotion", "2", "")]


def test_days_before_a_notice_are_in_doubt(tmp_path):
    log = tmp_path / "promotions.jsonl"
    append_promotion(log, line("1", 1 * DAY))
    append_promotion(log, line("2", 9 * DAY, "noticed"))
    doubt = champion_on(tmp_path, dt.date(1970, 1, 5))
    assert doubt.version == "1"
    assert "1970-01-10 the alias was found on version 2" in doubt.notes[0]
    assert champion_on(tmp_path, dt.date(1970, 1, 10)).version == "2"


def test_a_rollback_stops_at_an_alias_that_stands_elsewhere_and_goes_on_when_asked_again(store):
    """Killed between alias and log, a rollback is called again: without the stop it would go back twice."""
    for version in ("1", "2", "3"):
        promote(store, "overdue", version, "champion", "lin")
    store.client().set_registered_model_alias("overdue", "champion", "2")
    with pytest.raises(ModelError, match="stands on version 2 and the log has it on version 3"):
        roll_back(store, "overdue", "wang", "bad")
    assert champion(store) == "2"
    assert log_of(store)[-1] == ("noticed", "2", "3")
    assert roll_back(store, "overdue", "wang", "bad")["version"] == "1"


@pytest.mark.parametrize("first", [True, False])
def test_where_the_log_cannot_be_written_the_alias_goes_back(store, monkeypatch, first):
    if not first:
        promote(store, "overdue", "1", "champion", "lin")

    def full(*args):
        raise ModelError("the promotion log cannot be written: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("overdue_ml.tracking.aliases.append_promotion", full)
        with pytest.raises(ModelError, match="No space left"):
            promote(store, "overdue", "2", "champion", "lin")
    if first:
        with pytest.raises(ModelError, match="there is no model"):
            champion(store)
    else:
        assert champion(store) == "1"
    promote(store, "overdue", "3", "champion", "lin")
    assert "noticed" not in [kind for kind, _, _ in log_of(store)]


def test_many_promotions_at_once_follow_one_another(store):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda v: promote(store, "overdue", v, "champion", "lin"), ["1", "2", "3"] * 4))
    lines = read_promotions(store.folder / "promotions.jsonl")
    assert sorted(e["version"] for e in lines) == sorted(["1", "2", "3"] * 4)
    # Each knew where the one before had put the alias, and nobody noticed anything else.
    assert [e["from_version"] for e in lines] == ["", *(e["version"] for e in lines[:-1])]
    assert {e["kind"] for e in lines} == {"promotion"}
    assert champion(store) == lines[-1]["version"]


# ---- Killed for good

_KILLED = """
import json, os, shutil, signal, sys
from pathlib import Path
from overdue_ml.tracking import TrainingRecord, load_model, log_run, open_store, promote
from overdue_ml.tracking import aliases, promotion, runs
from overdue_ml.tracking.store import mlflow_module

mlflow = mlflow_module()
import mlflow.tracking.client

root, bundle, bundle_hash = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
record = TrainingRecord(bundle, bundle_hash, ["dpd", "income", "product"], ["product"], {}, {}, {})

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

def log_then_die(handle, data):
    handle.write(data[:len(data) // 2])
    handle.flush()
    die()

POINTS = {
    "before the model is logged": (mlflow.pyfunc, "log_model", die),
    "between log and register": (mlflow, "register_model", die),
    "between register and alias": (mlflow.tracking.client.MlflowClient, "set_registered_model_alias", die),
    "between alias and log": (aliases, "append_promotion", die),
    "in the middle of the line": (promotion, "_write_whole", log_then_die),
}
# All are forked before this process opens a store: one with threads of LightGBM's must not be forked.
status = {}
for number, (point, (where, name, what)) in enumerate(POINTS.items()):
    models = root / str(number)
    shutil.copytree(root / "models", models)
    child = os.fork()
    if child == 0:
        setattr(where, name, what)
        store = open_store(models)
        made = log_run(store, record, "overdue", "overdue")
        promote(store, "overdue", made.version, "champion", "lin")
        os._exit(0)
    status[point] = os.waitpid(child, 0)[1]
outcome = {}
for number, point in enumerate(POINTS):
    models = root / str(number)
    store = open_store(models)
    champion = load_model(store, "overdue@champion").version
    made = log_run(store, record, "overdue", "overdue").version
    promote(store, "overdue", made, "champion", "lin")
    lines = promotion.read_promotions(models / "promotions.jsonl")
    outcome[point] = {
        "signal": os.WTERMSIG(status[point]) if os.WIFSIGNALED(status[point]) else 0,
        "champion": champion,
        "after": load_model(store, "overdue@champion").version == made,
        "log": [[e["kind"], e["version"]] for e in lines],
        "torn": (models / "promotions.torn").is_file(),
    }
print(json.dumps(outcome))
"""


def test_killed_at_every_point_the_champion_still_loads(store, record, tmp_path):
    promote(store, "overdue", "1", "champion", "lin")
    made = record()
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path), str(made.bundle), made.bundle_hash],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    outcome = json.loads(done.stdout.splitlines()[-1])
    first, old, new = ["promotion", "1"], "1", "4"
    assert {point: (found["champion"], found["log"]) for point, found in outcome.items()} == {
        "before the model is logged": (old, [first, ["promotion", "4"]]),
        "between log and register": (old, [first, ["promotion", "4"]]),
        "between register and alias": (old, [first, ["promotion", "5"]]),
        "between alias and log": (new, [first, ["noticed", "4"], ["promotion", "5"]]),
        "in the middle of the line": (new, [first, ["noticed", "4"], ["promotion", "5"]]),
    }
    assert all(found["signal"] == 9 and found["after"] for found in outcome.values())
    assert [found["torn"] for found in outcome.values()] == [False, False, False, False, True]
