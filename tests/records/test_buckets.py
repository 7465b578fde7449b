"""Records in buckets of customers: whole customers, the same rows, and no file missing, added or changed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.config import RecordsConfig, build_config
from overdue_ml.errors import ConfigError, OverdueMLError, RecordsError
from overdue_ml.records import bucket_of, is_bucketed, load_records, open_buckets, simulate, write_buckets
from overdue_ml.records.buckets import BUCKETS

HOSTILE = [
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "i" * 10_000,
    "😀",
    "two\nlines",
    "'",
]


def bucket_by_hand(customer_id: str, n_buckets: int) -> int:
    """The recipe of the module: 8 hexadecimal digits of the MD5, modulo the number of buckets."""
    return int(hashlib.md5(customer_id.encode(), usedforsecurity=False).hexdigest()[:8], 16) % n_buckets


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1), st.integers(1, 10**6))
@settings(max_examples=40)
def test_a_bucket_hangs_on_nothing_but_the_id(ids, n_buckets):
    ids = [*ids, *HOSTILE]
    assert bucket_of(pa.array(ids), n_buckets).tolist() == [bucket_by_hand(i, n_buckets) for i in ids]


def test_a_customer_without_an_id_stands_in_the_first_bucket():
    assert bucket_of(pa.array([None, "C1"], pa.string()), 64).tolist() == [0, 45]


@pytest.fixture(scope="module")
def records(lender):
    """Five accounts of three customers."""
    return load_records(lender())


@pytest.fixture
def prepared(records, tmp_path):
    """The same in four buckets."""
    return write_buckets(records, tmp_path / "prepared", 4)


def write_raw(records_or_frames, folder: Path, n_buckets: int, *, spread=None) -> Path:
    """Buckets as another program writes them: no zeros before the number, nobody without rows a file."""
    frames = records_or_frames
    of_account = frames["accounts"].set_index("account_id")["customer_id"]
    for name, frame in frames.items():
        owner = frame["customer_id"] if "customer_id" in frame else frame["account_id"].map(of_account)
        bucket = (spread or bucket_of)(pa.array(owner, pa.string()), n_buckets)
        for number in np.unique(bucket):
            path = folder / name / f"bucket={number}" / "part-00000-a1b2.snappy.parquet"
            path.parent.mkdir(parents=True)
            frame[bucket == number].to_parquet(path, index=False)
            (path.parent / "_SUCCESS").touch()
    (folder / BUCKETS).write_text(json.dumps({"n_buckets": n_buckets}))
    return folder


@pytest.mark.parametrize("n_buckets", [1, 3, 7, 64])
def test_buckets_hold_whole_customers_and_together_the_same_rows(records, tmp_path, n_buckets):
    found = write_buckets(records, tmp_path / "to", n_buckets)
    assert is_bucketed(tmp_path / "to")
    assert found.fingerprint == records.fingerprint
    rows = dict.fromkeys(records.tables, 0)
    for number in range(n_buckets):
        part = found.load(number)
        ids = {i for i in ("c1", "c2", "NA") if bucket_by_hand(i, n_buckets) == number}
        assert (part is None) == (not ids)
        if part is None:
            continue
        assert set(part.tables) == set(records.tables)
        assert set(part.tables["accounts"].column("customer_id").to_pylist()) == ids
        for name, table in part.tables.items():
            rows[name] += table.num_rows
            assert table.schema.equals(records.tables[name].schema)
    assert rows == {name: table.num_rows for name, table in records.tables.items()}
    assert found.load_all().fingerprint == records.fingerprint


def test_columns_of_other_names_are_read_once_and_need_no_mapping_again(tmp_path):
    accounts = pd.DataFrame(
        {
            "konto": ["a1", "a2"],
            "customer_id": ["c1", "c2"],
            # Half past eleven in the evening in Greenwich is the next day in Shanghai.
            "since": pd.to_datetime(["2024-01-05 23:30", "2024-01-05 10:00"], utc=True),
        }
    )
    statements = pd.DataFrame({"account_id": ["a1"], "statement_date": ["2024-02-29"], "dpd": [0]})
    columns = {"account_id": "konto", "opened_on": "since"}
    config = build_config(
        RecordsConfig,
        {"timezone": "Asia/Shanghai", "mapping": {"accounts": {"columns": columns}}},
        where="test",
    )
    records = load_records({"accounts": accounts, "statements": statements}, config)
    whole = write_buckets(records, tmp_path / "to", 3).load_all()
    assert whole.fingerprint == records.fingerprint
    assert [str(day) for day in whole.tables["accounts"].column("opened_on").to_pylist()] == [
        "2024-01-06",
        "2024-01-05",
    ]
    assert whole.config == config


def test_columns_that_nothing_is_computed_with_may_be_left_out(tmp_path):
    tables = simulate(30, seed=2)
    del tables["truth"]
    book = write_buckets(load_records(tables), tmp_path / "book", 2)
    for bucket in range(2):
        whole, part = book.load(bucket), book.load(bucket, unread=False)
        left_out = {f"{n}.{c}" for n in whole.tables for c in set(whole.columns(n)) - set(part.columns(n))}
        assert left_out == {"payments.payment_id", "instalments.principal_due", "instalments.interest_due"}
        for name, table in part.tables.items():
            assert table.equals(whole.tables[name].select(table.column_names)), name


def test_some_buckets_stand_in_order_as_in_the_whole(prepared, records):
    some = prepared.load_some(sorted({bucket_by_hand(i, 4) for i in ("c1", "c2")}))
    kept = records.tables["accounts"].to_pylist()
    assert [row["account_id"] for row in some.tables["accounts"].to_pylist()] == [
        row["account_id"] for row in kept if row["customer_id"] in ("c1", "c2")
    ]


def test_hostile_ids_go_into_buckets_and_come_back(tmp_path):
    accounts = pd.DataFrame({"account_id": [f"a{i}" for i in range(len(HOSTILE))], "customer_id": HOSTILE})
    accounts["opened_on"] = "2024-01-05"
    statements = pd.DataFrame({"account_id": ["a0"], "statement_date": ["2024-02-29"], "dpd": [0]})
    records = load_records({"accounts": accounts, "statements": statements})
    found = write_buckets(records, tmp_path / "to", 3)
    parts = [found.load(number) for number in range(3)]
    ids = [i for part in parts if part for i in part.tables["accounts"].column("customer_id").to_pylist()]
    assert sorted(ids) == sorted(HOSTILE)
    assert {p.name for p in tmp_path.iterdir()} == {"to"}


class TestAnotherProgram:
    def test_its_buckets_are_validated_as_they_are_read(self, lender, records, tmp_path):
        frames = lender()
        frames["statements"].loc[0, "dpd"] = -5
        found = open_buckets(write_raw(frames, tmp_path / "raw", 5))
        parts = [part for part in map(found.load, range(5)) if part is not None]
        rejected = [part.rejected["statements"].num_rows for part in parts]
        assert sum(rejected) == 1
        assert sum(part.tables["statements"].num_rows for part in parts) == 9
        whole = load_records(frames, strict=False)
        assert found.load_all().fingerprint == whole.fingerprint
        assert {name for part in parts for name in part.tables} == set(records.tables)

    def test_a_bucket_where_nobody_has_a_statement_or_label(self, lender, tmp_path):
        """As a lender with these tables, and without rows: columns and types stay."""
        frames = lender()
        alone = bucket_by_hand("NA", 64)
        assert alone not in (bucket_by_hand("c1", 64), bucket_by_hand("c2", 64))
        of_others = frames["statements"]["account_id"] != "NA"
        frames["statements"] = frames["statements"][of_others]
        frames["labels"] = frames["labels"][frames["labels"]["customer_id"] != "NA"]
        found = open_buckets(write_raw(frames, tmp_path / "raw", 64))
        part, other = found.load(alone), found.load(bucket_by_hand("c1", 64))
        assert part.tables["accounts"].num_rows == 1
        assert part.tables["statements"].num_rows == part.tables["labels"].num_rows == 0
        for name in part.tables:
            assert part.tables[name].schema.equals(other.tables[name].schema), name

    def test_the_fingerprint_is_of_the_files(self, lender, tmp_path):
        frames = lender()
        first = open_buckets(write_raw(frames, tmp_path / "a", 5)).fingerprint
        assert open_buckets(write_raw(frames, tmp_path / "b", 5)).fingerprint == first
        frames["statements"].loc[0, "balance_amount"] += 0.01
        assert open_buckets(write_raw(frames, tmp_path / "c", 5)).fingerprint != first

    def test_a_customer_in_the_wrong_bucket(self, lender, tmp_path):
        wrong = write_raw(lender(), tmp_path / "raw", 4, spread=lambda ids, n: (bucket_of(ids, n) + 1) % n)
        number = (bucket_by_hand("c1", 4) + 1) % 4
        with pytest.raises(RecordsError, match="stand in a bucket that is not their customer's") as caught:
            open_buckets(wrong).load(number)
        for part in (
            f"bucket {number}",
            f"in bucket {number - 1}" if number else "in bucket 3",
            "md5(customer_id)",
        ):
            assert part in str(caught.value)
        assert "c1" not in str(caught.value)

    def test_accounts_that_vanished_are_missed_by_what_hangs_on_them(self, lender, tmp_path):
        raw = write_raw(lender(), tmp_path / "raw", 64)
        number = bucket_by_hand("c1", 64)
        shutil.rmtree(raw / "accounts" / f"bucket={number}")
        with pytest.raises(RecordsError, match=r"rows of 'statements' stand in a bucket without an account"):
            open_buckets(raw).load(number)

    @pytest.mark.parametrize("how", ["changed", "vanished"])
    def test_a_part_that_is_another_since_the_book_was_opened(self, lender, tmp_path, how):
        found = open_buckets(write_raw(lender(), tmp_path / "raw", 64))
        assert len(found.fingerprint) == 64
        number = bucket_by_hand("c1", 64)
        (path,) = (tmp_path / "raw" / "statements" / f"bucket={number}").glob("part-*")
        if how == "changed":
            pq.write_table(pq.read_table(path).slice(1), path)
        else:
            path.unlink()
        message = "was changed after the records began to be scored" if how == "changed" else "No such file"
        with pytest.raises(RecordsError, match=message) as caught:
            found.load(number)
        assert f"statements/bucket={number}/" in str(caught.value)

    @pytest.mark.parametrize("name", ["data_0.parquet", "part-0.csv", "part-0.parquet.crc", "deep"])
    def test_files_that_would_be_left_out_are_refused(self, lender, tmp_path, name):
        raw = write_raw(lender(), tmp_path / "raw", 2)
        folder = raw / "accounts" / "bucket=0"
        folder.mkdir(exist_ok=True)
        (folder / name).mkdir() if name == "deep" else (folder / name).write_text("x")
        with pytest.raises(RecordsError, match=f"'{name}' is not a part of a bucket"):
            open_buckets(raw)

    @pytest.mark.parametrize(
        "folder",
        ["bucket=2", "bucket=-1", "bucket=x", "bucket=", "bucket=__HIVE_DEFAULT_PARTITION__", "bucket=²"],
    )
    def test_buckets_that_would_be_left_out_are_refused(self, lender, tmp_path, folder):
        raw = write_raw(lender(), tmp_path / "raw", 2)
        (raw / "statements" / folder).mkdir()
        with pytest.raises(RecordsError, match="is no bucket of 2"):
            open_buckets(raw)

    def test_a_table_of_another_name_is_refused(self, lender, tmp_path):
        raw = write_raw(lender(), tmp_path / "raw", 2)
        (raw / "statements").rename(raw / "statement")
        with pytest.raises(RecordsError, match=r"'statement' is not a table.*rename it to 'statements'"):
            open_buckets(raw)

    def test_without_accounts_there_is_no_book(self, lender, tmp_path):
        raw = write_raw(lender(), tmp_path / "raw", 2)
        shutil.rmtree(raw / "accounts")
        with pytest.raises(RecordsError, match="no buckets of accounts"):
            open_buckets(raw)


def test_who_reads_records_whole_says_that_these_are_in_buckets(prepared):
    with pytest.raises(
        RecordsError, match=r"the records are in buckets.*give the records that they were made"
    ):
        load_records(prepared.path)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "7", '{"n_buckets": 0}', '{"n_buckets": -1}', '{"n_buckets": "4"}',
        '{"n_buckets": 4.0}', '{"n_buckets": true}', '{"buckets": 4}', "[" * 100_000,
        '{"n_buckets": 4, "prepared": 3}', '{"n_buckets": 4, "prepared": {}}',
        '{"n_buckets": 4, "prepared": {"records_fingerprint": "x", "files": [], "config": {}}}',
    ],
)  # fmt: skip
def test_what_is_no_description_of_buckets_is_refused(prepared, text):
    (prepared.path / BUCKETS).write_text(text)
    with pytest.raises(RecordsError, match=r"the buckets cannot be opened.*buckets\.json") as caught:
        open_buckets(prepared.path)
    assert caught.value.exit_code == 3


class TestPrepared:
    def part(self, prepared, table="statements") -> Path:
        return prepared.path / table / f"bucket={bucket_by_hand('c1', 4):05d}" / "part-00000.parquet"

    def test_a_part_that_vanished(self, prepared):
        path = self.part(prepared)
        path.unlink()
        with pytest.raises(RecordsError, match="a file of the prepared records is missing") as caught:
            open_buckets(prepared.path)
        assert str(path.relative_to(prepared.path)) in str(caught.value)
        # Also when it vanishes after the book was opened.
        with pytest.raises(RecordsError, match="No such file"):
            prepared.load(bucket_by_hand("c1", 4))

    def test_a_table_that_vanished_is_not_a_lender_without_it(self, prepared):
        shutil.rmtree(prepared.path / "labels")
        with pytest.raises(RecordsError, match="a file of the prepared records is missing"):
            open_buckets(prepared.path)

    def test_a_part_that_was_added(self, prepared):
        path = self.part(prepared)
        shutil.copyfile(path, path.with_name("part-00001.parquet"))
        with pytest.raises(RecordsError, match="a file was added after the records were prepared"):
            open_buckets(prepared.path)

    @pytest.mark.parametrize("how", ["changed", "truncated", "emptied"])
    def test_a_part_that_is_another(self, prepared, how):
        path = self.part(prepared)
        if how == "changed":
            pq.write_table(pq.read_table(path).slice(1), path)
        else:
            path.write_bytes(path.read_bytes()[:-100] if how == "truncated" else b"")
        again = open_buckets(prepared.path)
        with pytest.raises(RecordsError, match="was changed after the records were prepared") as caught:
            again.load(bucket_by_hand("c1", 4))
        assert str(path.relative_to(prepared.path)) in str(caught.value)
        assert caught.value.exit_code == 3


def test_a_damaged_part_of_another_program_is_one_sentence(lender, tmp_path):
    raw = write_raw(lender(), tmp_path / "raw", 1)
    (path,) = (raw / "statements" / "bucket=0").glob("part-*")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(RecordsError, match=r"cannot be read.*statements/bucket=0"):
        open_buckets(raw).load(0)


class TestWriting:
    def test_only_into_a_new_or_empty_folder(self, records, tmp_path):
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "mine.txt").write_text("mine")
        (tmp_path / "file").write_text("mine")
        for to in (tmp_path / "full", tmp_path / "file"):
            with pytest.raises(ConfigError, match="something stands there already"):
                write_buckets(records, to, 2)
        assert (tmp_path / "full" / "mine.txt").read_text() == (tmp_path / "file").read_text() == "mine"
        (tmp_path / "empty").mkdir()
        assert write_buckets(records, tmp_path / "empty", 2).n_buckets == 2

    @pytest.mark.parametrize("n_buckets", [0, -1])
    def test_at_least_one(self, records, tmp_path, n_buckets):
        with pytest.raises(ConfigError, match="at least 1"):
            write_buckets(records, tmp_path / "to", n_buckets)

    @pytest.mark.parametrize("failing", [1, 5, 16])
    def test_a_full_disk_leaves_no_buckets_that_look_whole(self, records, tmp_path, monkeypatch, failing):
        write, calls = pq.write_table, []

        def sometimes(*args, **options):
            calls.append(1)
            if len(calls) == failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(*args, **options)

        monkeypatch.setattr(pq, "write_table", sometimes)
        with pytest.raises(OverdueMLError, match="No space left on device") as caught:
            write_buckets(records, tmp_path / "to", 4)
        assert str(tmp_path / "to") in str(caught.value)
        assert not is_bucketed(tmp_path / "to")

    def test_rejected_rows_are_kept_beside(self, lender, tmp_path):
        frames = lender()
        frames["statements"].loc[0, "dpd"] = -5
        records = load_records(frames, strict=False)
        found = write_buckets(records, tmp_path / "to", 2)
        whole = open_buckets(tmp_path / "to").load_all()
        assert whole.fingerprint == records.fingerprint == found.fingerprint
        assert list(found.rejected) == ["statements"]
        assert found.rejected["statements"].equals(records.rejected["statements"])
        path = tmp_path / "to" / "rejected" / "statements.parquet"
        pq.write_table(pq.read_table(path).slice(1), path)
        with pytest.raises(RecordsError, match=r"was changed after.*rejected/statements\.parquet"):
            _ = found.rejected
