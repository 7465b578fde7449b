"""Features in a folder: the same frame and the same bytes, whole or refused."""

import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import overdue_ml.features.folder as folder_module
from overdue_ml.config import RecordsConfig
from overdue_ml.errors import ConfigError, FeatureMismatchError, NothingToScoreError, RecordsError
from overdue_ml.features import (
    FunctionFeature,
    Registry,
    SqlFeature,
    build_features,
    default_registry,
    open_features,
    read_features,
)
from overdue_ml.records import load_records

DATES = ["2024-03-31", "2024-05-31", "2024-06-30"]
BULK_DATES = ["2024-06-30", "2024-12-31"]


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def bulk(ledgers):
    """Statements, instalments, attributes; customers with holes."""
    return ledgers.bulk(60, 8, n_instalments=6)


@pytest.mark.parametrize("customers_per_part", [1, 7, 60, 1000])
def test_the_frame_comes_back_exactly(bulk, tmp_path, customers_per_part):
    whole = build_features(bulk, BULK_DATES)
    written = build_features(bulk, BULK_DATES, to=tmp_path / "f", customers_per_part=customers_per_part)
    pd.testing.assert_frame_equal(read_features(tmp_path / "f"), whole, check_exact=True)
    assert written.rows == len(whole)
    assert written.features == list(whole.columns)
    assert written.feature_set_hash == default_registry(bulk.config.attributes).feature_set_hash(whole)
    assert len(written.parts) == -(-60 // customers_per_part)
    assert open_features(str(tmp_path / "f")).manifest == written.manifest


def test_attributes_and_customers_known_later_come_back_exactly(five, tmp_path):
    """Dan has no education and comes in December, Eve in June: levels and rows differ between the parts."""
    dates = ["2023-12-15", "2024-03-31", "2024-06-30"]
    whole = build_features(five.records, dates)
    assert whole["attr_education"].isna().any()
    build_features(five.records, dates, to=tmp_path / "f", customers_per_part=1)
    pd.testing.assert_frame_equal(read_features(tmp_path / "f"), whole, check_exact=True)


def peers(records, keys):
    """How many customers the records have: what only the whole book can tell."""
    return np.full(len(keys), records.tables["customers"].num_rows)


def test_a_function_is_given_everybody(five, tmp_path):
    registry = Registry([FunctionFeature("own_peers_count", peers, "OWN", "count", "Peers.")])
    build_features(five.records, DATES, registry=registry, to=tmp_path / "f", customers_per_part=2)
    frame = read_features(tmp_path / "f")
    assert set(frame["own_peers_count"]) == {5.0}
    pd.testing.assert_frame_equal(frame, build_features(five.records, DATES, registry=registry))


def test_the_same_records_give_the_same_bytes(five, tmp_path):
    frames = {
        name: f.sample(frac=1.0, random_state=3).reset_index(drop=True) for name, f in five.frames.items()
    }
    shuffled = load_records(frames, RecordsConfig(attributes=["education"]))
    first, second = tmp_path / "a", tmp_path / "b"
    build_features(five.records, DATES, to=first, customers_per_part=2, n_threads=1)
    build_features(shuffled, DATES[::-1], to=second, customers_per_part=2, n_threads=2)
    before = hashes(first)
    assert before == hashes(second)
    assert list(before) == ["features.json", "part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    build_features(five.records, DATES, to=first, customers_per_part=2)
    assert hashes(first) == before


def test_what_the_manifest_says(five, tmp_path):
    build_features(
        five.records, DATES, ["attr_education", "repay_dpd_latest"], to=tmp_path, customers_per_part=4
    )
    manifest = json.loads((tmp_path / "features.json").read_text(encoding="utf-8"))
    found = hashes(tmp_path)
    # Ann, Ben, Cat and Dan on three dates each, Eve from her first statement in June on.
    assert manifest["rows"] == len(read_features(tmp_path)) == 13
    assert manifest["as_of"] == DATES
    assert manifest["features"] == ["attr_education", "repay_dpd_latest"]
    assert manifest["categorical"] == ["attr_education"]
    assert manifest["records_fingerprint"] == five.records.fingerprint
    assert [(p["name"], p["sha256"]) for p in manifest["parts"]] == [
        (name, found[name]) for name in ("part-00000.parquet", "part-00001.parquet")
    ]
    assert [p["rows"] for p in manifest["parts"]] == [12, 1]


def test_a_shorter_run_leaves_no_old_part(five, tmp_path):
    build_features(five.records, DATES, to=tmp_path, customers_per_part=1)
    (tmp_path / ".part-00009.parquet.tmp").touch()
    (tmp_path / "notes.txt").write_text("mine")
    build_features(five.records, DATES, to=tmp_path, customers_per_part=3)
    assert list(hashes(tmp_path)) == [
        "features.json",
        "notes.txt",
        "part-00000.parquet",
        "part-00001.parquet",
    ]


@pytest.mark.parametrize("name", ["part-00000.parquet", "notes.txt", "features.json"])
def test_a_folder_that_is_not_ours_is_left_alone(five, tmp_path, name):
    (tmp_path / name).write_text('{"kind": "another"}')
    with pytest.raises(ConfigError, match="the folder holds files that are no features"):
        build_features(five.records, DATES, to=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == '{"kind": "another"}'
    with pytest.raises(RecordsError, match="there are no features"):
        read_features(tmp_path)


def test_a_run_that_was_killed_is_not_read_and_may_be_run_again(five, tmp_path, monkeypatch):
    build_features(five.records, DATES, to=tmp_path, customers_per_part=2)
    whole, done = hashes(tmp_path), []
    write = folder_module._write_part

    def dies(table, path):
        if done:
            raise KeyboardInterrupt
        done.append(write(table, path))
        return done[-1]

    monkeypatch.setattr(folder_module, "_write_part", dies)
    with pytest.raises(KeyboardInterrupt):
        build_features(five.records, DATES, to=tmp_path, customers_per_part=2)
    with pytest.raises(RecordsError, match="the features are not whole"):
        read_features(tmp_path)
    monkeypatch.undo()
    build_features(five.records, DATES, to=tmp_path, customers_per_part=2)
    assert hashes(tmp_path) == whole


def test_a_claim_that_was_killed_at_once_may_be_run_again(five, tmp_path):
    (tmp_path / ".features.json.tmp").write_text("{")
    with pytest.raises(RecordsError, match="there are no features"):
        read_features(tmp_path)
    build_features(five.records, DATES, ["repay_dpd_latest"], to=tmp_path)
    assert len(read_features(tmp_path)) == 13


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "other"])
def test_a_changed_part_is_refused(five, tmp_path, damage):
    build_features(five.records, DATES, to=tmp_path, customers_per_part=3)
    part = tmp_path / "part-00000.parquet"
    data = bytearray(part.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
        part.write_bytes(data)
    elif damage == "cut":
        part.write_bytes(data[:-1])
    elif damage == "gone":
        part.unlink()
    else:
        shutil.copy(tmp_path / "part-00001.parquet", part)
    with pytest.raises(RecordsError, match=r"missing or was changed.*part-00000\.parquet") as raised:
        read_features(tmp_path)
    assert raised.value.exit_code == 3


def test_pages_carry_checksums(five, tmp_path):
    """A flip within the file is found also where nobody compares the file's hash."""
    build_features(five.records, DATES, to=tmp_path)
    part = tmp_path / "part-00000.parquet"
    column = pq.read_metadata(part).row_group(0).column(2)
    data = bytearray(part.read_bytes())
    # Its last bytes are values; a header, which no checksum covers, stands before them.
    data[column.data_page_offset + column.total_compressed_size - 4] ^= 1
    part.write_bytes(data)
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(part, page_checksum_verification=True)


def test_other_definitions_are_refused(five, tmp_path):
    def registry(sql):
        return Registry(
            [
                SqlFeature(
                    "own_n_count", "accounts", sql, "OWN", "count", "Accounts.", frozenset({"account_id"})
                )
            ]
        )

    build_features(five.records, DATES, registry=registry("count(*)"), to=tmp_path)
    assert len(read_features(tmp_path, registry=registry("count(*)"))) == 13
    for other in (registry("count(*) + 0"), default_registry()):
        with pytest.raises(FeatureMismatchError, match="built by other definitions"):
            read_features(tmp_path, registry=other)


def test_what_cannot_be_built_writes_nothing(five, tmp_path):
    with pytest.raises(NothingToScoreError):
        build_features(five.records, "2019-01-01", to=tmp_path / "f")
    with pytest.raises(ConfigError, match="there is no feature 'own_x'"):
        build_features(five.records, DATES, ["own_x"], to=tmp_path / "f")
    with pytest.raises(ConfigError, match="customers_per_part is 0"):
        build_features(five.records, DATES, to=tmp_path / "f", customers_per_part=0)
    assert not (tmp_path / "f").exists()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="a file stands there"):
        build_features(five.records, DATES, to=tmp_path / "file")
    with pytest.raises(ConfigError, match="cannot be written"):
        build_features(five.records, DATES, to=tmp_path / "file" / "below")
