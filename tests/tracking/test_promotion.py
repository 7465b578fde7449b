import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from overdue_ml.errors import ModelError
from overdue_ml.tracking.promotion import append_promotion, read_promotions


def entry(version, reason=""):
    return {"model": "overdue", "alias": "champion", "version": str(version), "by": "lin", "reason": reason}


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "promotions.jsonl"
    for version in range(1, 5):
        append_promotion(path, entry(version, f"证据 {version}"))
    return path


def test_no_log_no_promotions(tmp_path):
    assert read_promotions(tmp_path / "promotions.jsonl") == []


def test_lines_are_chained(log):
    lines = read_promotions(log)
    assert [line["version"] for line in lines] == ["1", "2", "3", "4"]
    assert lines[0]["previous"] == "0" * 64
    assert [line["previous"] for line in lines[1:]] == [line["hash"] for line in lines[:-1]]
    # A person can read it.
    assert "证据" in log.read_text(encoding="utf-8")


def test_only_ever_appended_to(log):
    before = log.read_bytes()
    written = append_promotion(log, entry(5))
    assert log.read_bytes().startswith(before)
    assert read_promotions(log)[-1] == written


@pytest.mark.parametrize(
    "sign", ["\n", "\r", "\r\n", "\u2028", "\u2029", "\x85", "\x0b", "\x1c", '"', "\\", "逾"]
)
def test_any_sign_in_a_reason(tmp_path, sign):
    path = tmp_path / "promotions.jsonl"
    for version in (1, 2):
        append_promotion(path, entry(version, f"a{sign}b"))
    assert [line["reason"] for line in read_promotions(path)] == [f"a{sign}b"] * 2


def _changed(lines):
    lines[1] = lines[1].replace(b'"lin"', b'"wang"')


def _changed_with_new_hash(lines):
    import hashlib

    line = json.loads(lines[1])
    line["by"] = "wang"
    body = {k: v for k, v in line.items() if k != "hash"}
    line["hash"] = hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    lines[1] = json.dumps(line, sort_keys=True, ensure_ascii=False).encode()


def _removed(lines):
    del lines[1]


def _first_removed(lines):
    del lines[0]


def _swapped(lines):
    lines[1], lines[2] = lines[2], lines[1]


def _repeated(lines):
    lines.insert(2, lines[1])


def _empty_line(lines):
    lines.insert(2, b"")


def _torn(lines):
    lines[-1] = lines[-1][:30]


def _other_bytes(lines):
    lines[2] = b"\xff\xfe"


def _a_list(lines):
    lines[2] = b"[1, 2]"


@pytest.mark.parametrize(
    "tamper",
    [
        _changed, _changed_with_new_hash, _removed, _first_removed, _swapped, _repeated, _empty_line, _torn,
        _other_bytes, _a_list,
    ],
)  # fmt: skip
def test_tampering_is_found(log, tamper):
    lines = log.read_bytes().rstrip(b"\n").split(b"\n")
    tamper(lines)
    log.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(ModelError, match="chain of hashes is broken") as caught:
        read_promotions(log)
    assert caught.value.exit_code == 4
    assert "line " in caught.value.where
    before = log.read_bytes()
    with pytest.raises(ModelError):
        append_promotion(log, entry(9))
    assert log.read_bytes() == before


def test_many_at_once_make_one_chain(tmp_path):
    path = tmp_path / "promotions.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda v: append_promotion(path, entry(v)), range(24)))
    assert sorted(int(line["version"]) for line in read_promotions(path)) == list(range(24))


def test_a_line_outlasts_a_loss_of_power(tmp_path, monkeypatch):
    path, synced, fsync = tmp_path / "promotions.jsonl", [], os.fsync

    def record(handle):
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", record)
    append_promotion(path, entry(1))
    # A new log: its name as well.
    assert synced == [tmp_path.name, path.name]
    synced.clear()
    append_promotion(path, entry(2))
    assert synced == [path.name]
    synced.clear()
    with path.open("ab") as handle:
        handle.write(b'{"by": "')
    append_promotion(path, entry(3))
    # Remains are safe in their own file before they are taken out of the log.
    assert synced == ["promotions.torn", tmp_path.name, path.name]
