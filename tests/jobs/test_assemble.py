"""Parts of buckets put together: the same rows in the same order and bytes, however they were cut."""

from __future__ import annotations

import datetime as dt
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.errors import OverdueMLError, RecordsError
from overdue_ml.jobs.assemble import (
    Merged,
    PartFiles,
    RowGroups,
    keep_reasons,
    part_tables,
    rank_scores,
    refuse_rejected,
    rejected_tables,
    sum_unknown,
    write_contributions,
)
from overdue_ml.jobs.parts import _write_arrow
from overdue_ml.records import RuleResult, TableResult, ValidationReport

IDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)


def table(ids, values=None) -> pa.Table:
    values = list(range(len(ids))) if values is None else values
    return pa.table({"customer_id": pa.array(ids, pa.string()), "x": pa.array(values, pa.float64())})


def cut(whole: pa.Table, bucket: list[int]) -> list[pa.Table]:
    """Rows of a sorted table by bucket; each part stays sorted."""
    return [whole.filter(pa.array([b == number for b in bucket])) for number in range(4)]


def sort(ids) -> list[str]:
    """In the order of their UTF-8 bytes, as Arrow has it."""
    return sorted(ids, key=lambda i: i.encode())


@given(st.sets(IDS, min_size=1, max_size=30), st.data())
@settings(max_examples=60)
def test_however_rows_were_cut_they_come_back_in_order(ids, data):
    whole = table(sort(ids))
    bucket = data.draw(st.lists(st.integers(0, 3), min_size=len(ids), max_size=len(ids)))
    merged = Merged.of(cut(whole, bucket))
    rows = data.draw(st.integers(1, len(ids) + 1))
    blocks = list(merged.blocks(rows))
    assert [len(b) for b in blocks[:-1]] == [rows] * (len(blocks) - 1)
    assert pa.concat_tables(blocks).to_pydict() == whole.to_pydict()
    assert [b.column_names for b in merged.blocks(rows, ["x"])] == [["x"]] * len(blocks)
    # And some of them only.
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids))))
    some = Merged(merged.parts, merged.order[kept])
    found = [row for block in some.blocks(rows) for row in block.to_pylist()]
    assert found == whole.filter(pa.array(kept)).to_pylist()


def test_nobody_at_all():
    merged = Merged.of([table([]), table([])])
    assert list(merged.blocks(5)) == []
    assert len(merged.order) == 0


def test_a_customer_in_two_parts_is_noticed():
    with pytest.raises(OverdueMLError, match="a customer was scored in two buckets"):
        Merged.of([table(["a", "c"]), table(["b", "c"])])
    assert Merged.of([table(["a", "c"]), table(["b", "d"])]).order.tolist() == [0, 2, 1, 3]


def test_other_tables_of_the_parts_have_the_same_order_or_are_refused():
    merged = Merged.of([table(["a", "c"]), table(["b", "d"])])
    large = [
        t.cast(pa.schema([("customer_id", pa.large_string()), ("x", pa.float64())])) for t in merged.parts
    ]
    assert merged.like(large).order is merged.order
    for others in ([table(["a", "c"])], [table(["a", "c"]), table(["b", "e"])], [table(["a"]), table(["b"])]):
        with pytest.raises(OverdueMLError, match="the tables of a part are of different customers"):
            merged.like(others)


@pytest.mark.parametrize("n_parts", [1, 2, 5])
def test_contributions_have_the_same_bytes_from_any_parts(tmp_path, n_parts, monkeypatch):
    """Also where a block ends in the middle of a part, and where parts stand in other files."""
    monkeypatch.setattr("overdue_ml.jobs.assemble.BLOCK_ROWS", 7)
    n = 40
    whole = table([f"{i:03}" for i in range(n)], np.random.default_rng(0).normal(size=n).tolist())
    bucket = [i * 7 % n_parts for i in range(n)]
    for number, part in enumerate(cut(whole, bucket) if n_parts < 5 else cut(whole, [b % 4 for b in bucket])):
        _write_arrow(part, tmp_path / f"{number:05d}.contributions.arrow")
    write_contributions(Merged.of(PartFiles(tmp_path, range(6), "contributions")), tmp_path / "parts.parquet")
    write_contributions(
        Merged.of([whole.replace_schema_metadata({"pandas": "3"})]), tmp_path / "whole.parquet"
    )
    assert (tmp_path / "parts.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert pq.read_table(tmp_path / "parts.parquet").to_pydict() == whole.to_pydict()
    written = pq.ParquetFile(tmp_path / "parts.parquet").metadata
    assert written.num_row_groups == 6
    # What every reader of Parquet knows, also one of some years ago.
    for column in (written.row_group(0).column(i) for i in range(written.num_columns)):
        assert set(column.encodings) <= {"PLAIN", "RLE"}
        assert column.compression == "SNAPPY"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_parts_are_in_memory_only_while_they_are_read(tmp_path):
    for number, ids in enumerate((["a", "d"], ["b"], ["c", "e"])):
        _write_arrow(table(ids), tmp_path / f"{number:05d}.scores.arrow")

    def mapped(at_most: int) -> int:
        """Parts still mapped once Arrow's own threads, which let go a moment late, have done so."""
        end = time.monotonic() + 20
        while (n := Path("/proc/self/maps").read_text().count(str(tmp_path))) > at_most:
            if time.monotonic() > end:
                break
            time.sleep(0.002)
        return n

    merged = Merged.of(PartFiles(tmp_path, range(3), "scores"))
    assert mapped(0) == 0
    # Rows of several parts were copied together; those of one part alone are read where they stand.
    for block, expected in zip(merged.blocks(2), [0, 0, 1], strict=True):
        assert mapped(expected) == expected
        del block
    assert mapped(0) == 0


@given(st.integers(0, 60_000), st.data())
@settings(max_examples=25, deadline=None)
def test_rows_in_portions_give_the_bytes_of_a_table_that_is_written_at_once(n, data):
    """Also over the ends of pages, after 20,000 rows, and of row groups."""
    rng = np.random.default_rng(n)
    words = pa.array(["low", "high", None]).take(pa.array(rng.integers(0, 3, n)))
    whole = pa.table({"id": [f"c{i:06}" for i in range(n)], "x": rng.normal(size=n), "w": words})
    group = data.draw(st.sampled_from([25_000, 40_000, 1 << 20]))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        one, other = Path(folder) / "one", Path(folder) / "other"
        pq.write_table(whole, one, row_group_size=group, compression="zstd", write_page_checksum=True)
        patch.setattr("overdue_ml.jobs.assemble.GROUP_ROWS", group)
        with RowGroups(other, whole.schema) as file:
            start = 0
            while start < n:
                rows = data.draw(st.integers(0, n - start) | st.just(20_000))
                file.add(whole.slice(start, rows))
                start += rows
                if not rows:
                    file.add(whole.slice(start))
                    break
        assert other.read_bytes() == one.read_bytes()


def test_contributions_that_nobody_wants_any_more_are_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("overdue_ml.jobs.assemble.BLOCK_ROWS", 1)
    asked = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) == 3

    write_contributions(Merged.of([table(["a", "b", "c", "d"])]), tmp_path / "x.parquet", stopped)
    assert pq.read_table(tmp_path / "x.parquet").column("customer_id").to_pylist() == ["a", "b"]


def test_without_contributions_there_is_no_file(tmp_path):
    write_contributions(Merged.of(PartFiles(tmp_path, range(3), "contributions")), tmp_path / "none.parquet")
    assert not (tmp_path / "none.parquet").exists()


def scores(ids, log_odds) -> pa.Table:
    return pa.table(
        {"customer_id": ids, "log_odds": log_odds, "tier": ["low"] * len(ids), "z": [0] * len(ids)}
    )


def test_the_riskiest_is_first_and_ties_go_to_the_smaller_id():
    ranked = rank_scores(scores(["a", "b", "c", "d"], [0.5, 2.0, 2.0, -1.0]))
    assert ranked.column("rank").to_pylist() == [3, 1, 2, 4]
    assert ranked.column_names == ["customer_id", "log_odds", "tier", "rank", "z"]


def test_reasons_are_those_of_the_chosen_and_of_nobody_else():
    before = pa.table(
        {
            "customer_id": ["a", "b", "c"],
            "reason_1_code": ["LATE", "LATE", "INCOME"],
            "reason_1_contribution": [0.5, 0.4, 0.3],
            "rank": [1, 2, 3],
        }
    )
    after = keep_reasons(before, pa.array([True, False, True]))
    assert after.schema == before.schema
    assert after.column("reason_1_code").to_pylist() == ["LATE", None, "INCOME"]
    assert after.column("reason_1_contribution").to_pylist() == [0.5, None, 0.3]
    assert after.drop(["reason_1_code", "reason_1_contribution"]) == before.select(["customer_id", "rank"])
    nobody = keep_reasons(before, pa.array([False] * 3))
    assert nobody.schema == before.schema
    assert nobody.column("reason_1_code").null_count == 3


def report(rows: int, rejected: int, keys: tuple[str, ...] = ()) -> dict:
    """What one bucket says of its statements."""
    found = ValidationReport(
        0.5,
        [TableResult("statements", rows, rows - rejected, rejected)],
        [RuleResult("statements", "dpd_not_negative", "dpd is not negative", rows, rejected, keys)],
    )
    return {"validated": found.to_dict()}


class TestRejected:
    def test_the_share_is_that_of_all_buckets_together(self):
        """3 of 4 rows of one bucket, 3 of 1,000 of both."""
        facts = [report(4, 3, ("k1", "k2", "k3")), report(996, 0), {"rows": 1}]
        refuse_rejected(facts, 0.003)
        with pytest.raises(
            RecordsError, match=r"3 of 1000 rows of 'statements' were rejected \(0.30%"
        ) as caught:
            refuse_rejected(facts, 0.0029)
        assert "dpd_not_negative 3 (first: k1, k2, k3)" in str(caught.value)
        refuse_rejected([], 0.0)

    def test_rows_of_all_buckets_are_kept_though_their_columns_differ(self, tmp_path):
        _write_arrow(pa.table({"a": ["1"], "rule": ["x"]}), tmp_path / "00000.rejected.accounts.arrow")
        _write_arrow(
            pa.table({"a": ["2"], "b": ["3"], "rule": ["y"]}), tmp_path / "00002.rejected.accounts.arrow"
        )
        _write_arrow(pa.table({"c": [1]}), tmp_path / "00002.rejected.payments.arrow")
        found = rejected_tables(tmp_path, range(3))
        assert found["accounts"].to_pylist() == [
            {"a": "1", "rule": "x", "b": None},
            {"a": "2", "rule": "y", "b": "3"},
        ]
        assert found["payments"].num_rows == 1
        assert [sorted(t) for t in part_tables(tmp_path, range(3), "rejected")] == [
            ["accounts"], ["accounts", "payments"],
        ]  # fmt: skip


def test_unknown_categories_are_summed_by_feature():
    facts = [{"unknown_categories": {"b": 1, "a": 2}}, {}, {"unknown_categories": {"b": 3}}]
    assert sum_unknown(facts) == {"a": 2, "b": 4}
    assert list(sum_unknown(facts)) == ["a", "b"]


def test_a_part_that_was_cut_short_is_not_read_as_one(tmp_path):
    path = tmp_path / "00000.scores.arrow"
    _write_arrow(table(["a", "b"]), path)
    assert PartFiles(tmp_path, [0], "scores").buckets == [0]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises((OSError, pa.ArrowException)):
        PartFiles(tmp_path, [0], "scores")


def test_a_part_in_which_nobody_has_a_day_has_the_types_of_the_others(tmp_path):
    """pandas gives a column of days that are all missing another type than one in which there is a day."""
    day = pa.array([dt.date(2024, 1, 31)], pa.date32())
    for number, days in enumerate([pa.nulls(1, pa.timestamp("s")), day, pa.nulls(1)]):
        _write_arrow(
            pa.table({"customer_id": [f"c{number}"], "due": days}), tmp_path / f"0000{number}.x.arrow"
        )
    (block,) = Merged.of(PartFiles(tmp_path, range(3), "x")).blocks(10)
    assert block.schema.field("due").type == pa.date32()
    assert block.column("due").to_pylist() == [None, dt.date(2024, 1, 31), None]


def test_no_unfinished_part_is_left_where_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "00000.scores.arrow"
    _write_arrow(table(["old"]), path)
    before = path.read_bytes()

    def refuse(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("overdue_ml.jobs.parts.pa.ipc.new_file", refuse)
    with pytest.raises(OSError, match="No space left"):
        _write_arrow(table(["new"]), path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before
