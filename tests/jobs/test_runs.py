"""Scores of a run before, read on and on in the order of customer_id."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.errors import OverdueMLError
from overdue_ml.jobs.runs import EarlierRun

IDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)


def earlier(folder: Path, ids: list[str], group: int = 1 << 20) -> EarlierRun:
    """A run with these scores."""
    table = pa.table(
        {"customer_id": pa.array(ids, pa.large_string()), "x": [float(i) for i in range(len(ids))]}
    )
    pq.write_table(table, folder / "scores.parquet", row_group_size=group, write_page_checksum=True)
    return EarlierRun(folder, "2024-01-31", "m/1", "x")


@settings(max_examples=60, deadline=None)
@given(st.sets(IDS, max_size=30), st.sets(IDS, max_size=8), st.integers(1, 12), st.integers(1, 12))
def test_each_row_comes_once_and_with_the_first_who_is_not_before_it(ids, asked, batch, group):
    ids, asked = (sorted(some, key=str.encode) for some in (ids, asked))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("overdue_ml.jobs.runs._BATCH", batch)
        scores = earlier(Path(folder), ids, group).read_scores(["customer_id", "x", "absent"])
        seen: list[str] = []
        for last in asked:
            found = scores.up_to(last)
            assert list(found) == ["customer_id", "x"]
            assert found["x"].tolist() == [float(ids.index(i)) for i in found["customer_id"]]
            seen += found["customer_id"].tolist()
            assert seen == [i for i in ids if i.encode() <= last.encode()]


@pytest.mark.parametrize("ids", [["b", "a", "c"], ["a", "c", "b"], ["a", "a"]])
def test_scores_that_are_not_in_order_are_refused(tmp_path, ids, monkeypatch):
    """They would seem to lack customers, who would seem to have had no score before."""
    monkeypatch.setattr("overdue_ml.jobs.runs._BATCH", 1)
    scores = earlier(tmp_path, ids).read_scores(["customer_id"])
    with pytest.raises(OverdueMLError, match="the scores of the run before cannot be read"):
        _ = [scores.up_to(last) for last in "abc"]


def test_a_damaged_page_is_noticed_when_it_is_read(tmp_path):
    run = earlier(tmp_path, [f"c{i:04}" for i in range(2000)])
    path = tmp_path / "scores.parquet"
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    scores = run.read_scores(["customer_id", "x"])
    with pytest.raises(OverdueMLError, match="the scores of the run before cannot be read"):
        scores.up_to("c1999")


def test_what_is_read_is_a_frame_of_the_columns_asked_for(tmp_path):
    scores = earlier(tmp_path, ["a", "b"]).read_scores(["customer_id", "x"])
    pd.testing.assert_frame_equal(scores.up_to("a"), pd.DataFrame({"customer_id": ["a"], "x": [0.0]}))
    assert scores.up_to("a").empty
