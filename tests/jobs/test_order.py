"""Order and ranks that are found in ranges: those of everything sorted at once, whatever the ranges."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from overdue_ml.errors import OverdueMLError
from overdue_ml.jobs.order import InFiles, InMemory, find_order, find_ranks

IDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch):
    monkeypatch.setattr("overdue_ml.jobs.order.RANGE_ROWS", 8)


def part(ids) -> pa.Table:
    return pa.table({"customer_id": pa.array(sorted(ids), pa.large_string())})


@given(st.dictionaries(IDS, st.integers(0, 4), max_size=80))
@settings(max_examples=150)
def test_the_order_is_that_of_all_ids_sorted_at_once(part_of):
    parts = [part(i for i, number in part_of.items() if number == n) for n in range(5)]
    ids = [i for table in parts for i in table.column("customer_id").to_pylist()]
    found = find_order(parts, InMemory())
    assert found.tolist() == sorted(range(len(ids)), key=lambda row: ids[row].encode())


@given(st.sets(IDS, min_size=1, max_size=60), st.data())
def test_a_customer_in_two_parts_is_noticed_in_every_range(ids, data):
    twice = data.draw(st.sampled_from(sorted(ids)))
    halves = [set(), set()]
    for i in sorted(ids):
        halves[data.draw(st.integers(0, 1))].add(i)
    with pytest.raises(OverdueMLError, match="a customer was scored in two buckets"):
        find_order([part(half | {twice}) for half in halves], InMemory())


def test_of_no_range_more_is_sorted_than_was_said(monkeypatch):
    """2,000 ids in 4 parts of unequal sizes, 1,000 of which begin alike."""
    monkeypatch.setattr("overdue_ml.jobs.order.RANGE_ROWS", 100)
    sizes, sort = [], pa.compute.sort_indices
    monkeypatch.setattr(
        "overdue_ml.jobs.order.pc.sort_indices", lambda ids: (sizes.append(len(ids)), sort(ids))[1]
    )
    ids = [f"{i % 2 and 'same-same-same'}{i:06}" for i in range(2000)]
    cut = np.random.default_rng(0).choice(4, 2000, p=[0.7, 0.2, 0.1, 0.0])
    order = find_order([part(np.array(ids)[cut == n]) for n in range(4)], InMemory())
    assert sorted(order) == list(range(2000))
    assert max(sizes) <= 150
    assert sum(sizes) == 2000


VALUES = st.floats(width=16, allow_nan=True, allow_infinity=True) | st.sampled_from([-1.0, 0.0, -0.0, 1.0])


@given(st.lists(VALUES, max_size=300))
@example([0.5] * 100)
@example([float("nan")] * 30 + [1.0])
@settings(max_examples=150)
def test_ranks_are_those_of_all_values_sorted_at_once(values):
    found = find_ranks(np.array(values, dtype=np.float64), InMemory())
    # Python sorts stably too; NaN after all others.
    order = sorted(
        range(len(values)), key=lambda i: (np.isnan(values[i]), 0 if np.isnan(values[i]) else -values[i])
    )
    assert np.argsort(found).tolist() == order
    assert sorted(found) == list(range(1, len(values) + 1))


class TestInFiles:
    def test_what_lies_in_files_leaves_none_behind(self, tmp_path):
        room = InFiles(tmp_path)
        array = room.zeros(3_000_000, np.int16)
        assert list(tmp_path.iterdir()) == []
        assert array.sum() == 0
        array[-1] = 7
        assert (len(array), array[-1], array.dtype) == (3_000_000, 7, np.int16)
        assert len(room.zeros(0, np.bool_)) == 0

    @pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
    def test_their_pages_are_those_of_a_file(self, tmp_path):
        """Pages of a file can be taken back by the system; memory of the process's own cannot."""
        array = InFiles(tmp_path).zeros(1 << 22, np.float64)
        array += 1.0
        size = int(array.nbytes // 1024)
        for block in Path("/proc/self/smaps").read_text().split("VmFlags")[:-1]:
            if str(tmp_path) in block and "Size:" in block:
                found = {line.split(":")[0]: line.split()[1] for line in block.splitlines() if ":" in line}
                assert int(found["Size"]) == size
                assert int(found["Anonymous"]) == 0
                return
        raise AssertionError("the array lies in no file")

    def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(self, tmp_path, monkeypatch):
        class Full:
            def __init__(self, file):
                self._file = file

            def __enter__(self):
                return self

            def __exit__(self, *_):
                self._file.close()

            def write(self, _):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        import tempfile

        real = tempfile.TemporaryFile
        monkeypatch.setattr("overdue_ml.jobs.order.tempfile.TemporaryFile", lambda **o: Full(real(**o)))
        with pytest.raises(OSError, match="No space left"):
            InFiles(tmp_path).zeros(10, np.int64)
