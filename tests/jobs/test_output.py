"""Results on disk: equal tables give equal bytes, cells are no formulas, folders are whole or absent."""

from __future__ import annotations

import csv
import datetime as dt
import errno
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.errors import ConfigError, ResourceError
from overdue_ml.jobs.output import whole_folder, write_csv, write_json, write_parquet

STARTS = ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"]


def cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


class TestCsv:
    @pytest.mark.parametrize("start", STARTS)
    @pytest.mark.parametrize("dtype", ["str", "object", "category"])
    def test_text_that_a_spreadsheet_would_run_is_neutralised(self, tmp_path, start, dtype):
        evil = f"{start}HYPERLINK(0)"
        write_csv(pd.DataFrame({"a": pd.Series([evil, "plain", None], dtype=dtype)}), tmp_path / "x.csv")
        assert cells(tmp_path / "x.csv")[1:] in (
            [["'" + evil], ["plain"], [""]],
            [["'" + evil], ["plain"], []],
        )

    def test_a_formula_in_a_header_is_neutralised(self, tmp_path):
        write_csv(pd.DataFrame({"=1+1": ["a"], "b": ["c"]}), tmp_path / "x.csv")
        assert cells(tmp_path / "x.csv") == [["'=1+1", "b"], ["a", "c"]]

    def test_mixed_objects(self, tmp_path):
        write_csv(pd.DataFrame({"a": ["=1", -1, 2.5, True]}, dtype=object), tmp_path / "x.csv")
        assert cells(tmp_path / "x.csv") == [["a"], ["'=1"], ["-1"], ["2.5"], ["True"]]

    def test_numbers_dates_and_harmless_text_are_left_alone(self, tmp_path):
        frame = pd.DataFrame(
            {
                "f": [-1.5, -np.inf],
                "i": [-3, 0],
                "n": pd.array([-7, None], dtype="Int64"),
                "d": [dt.date(2005, 1, 31), None],
                "t": pd.to_datetime(["2005-01-31", None]),
                "b": [True, False],
                "s": ["a=b", "1-2"],
            }
        )
        write_csv(frame, tmp_path / "x.csv")
        assert cells(tmp_path / "x.csv")[1:] == [
            ["-1.5", "-3", "-7", "2005-01-31", "2005-01-31", "True", "a=b"],
            ["-inf", "0", "", "", "", "False", "1-2"],
        ]

    @pytest.mark.parametrize("n", [0, 1, 6, 7])
    def test_in_portions_it_has_the_bytes_of_the_whole(self, tmp_path, monkeypatch, n):
        """Some portions have a formula or a cell without anything, others do not."""
        text = [["plain", "=1", None, 'a"b', "x,y"][i % 5] for i in range(n)]
        frame = pd.DataFrame(
            {
                "=t": pd.Series(text, dtype="str"),
                "d": pd.Series([None if i % 4 else dt.date(2005, 1, 31) for i in range(n)], dtype="object"),
                "c": pd.Series(text, dtype="category"),
                "x": np.arange(n) / 3,
            }
        )
        write_csv(frame, tmp_path / "whole.csv")
        monkeypatch.setattr("overdue_ml.jobs.output._CSV_ROWS", 3)
        write_csv(frame, tmp_path / "portions.csv")
        assert (tmp_path / "portions.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
        assert len(cells(tmp_path / "whole.csv")) == n + 1

    def test_the_frame_itself_is_not_changed(self, tmp_path):
        frame = pd.DataFrame({"=a": ["=1"]})
        write_csv(frame, tmp_path / "x.csv")
        assert frame.to_dict("list") == {"=a": ["=1"]}

    def test_a_formula_behind_a_line_end_within_a_cell_starts_no_row(self, tmp_path):
        write_csv(pd.DataFrame({"a": ["x\r=1", "y\n=2", "z\r\n=3"]}), tmp_path / "x.csv")
        assert cells(tmp_path / "x.csv") == [["a"], ["x\r=1"], ["y\n=2"], ["z\r\n=3"]]

    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=4))
    @settings(max_examples=40, deadline=None)
    def test_no_text_at_all_starts_a_formula_and_none_is_lost(self, texts):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.csv"
            write_csv(pd.DataFrame({"a": texts, "b": "end"}), path)
            read = [row[0] for row in cells(path)[1:]]
        assert not any(cell.startswith(tuple(STARTS)) for cell in read)
        assert read == [f"'{t}" if t.startswith(tuple(STARTS)) else t for t in texts]


class TestParquet:
    def frame(self, n: int = 3000) -> pd.DataFrame:
        rng = np.random.default_rng(0)
        return pd.DataFrame(
            {"id": [f"{i:05}" for i in range(n)], "x": rng.normal(size=n), "day": [dt.date(2005, 1, 31)] * n}
        )

    def test_equal_tables_give_equal_bytes(self, tmp_path):
        frame = self.frame()
        again = pd.concat([frame.iloc[:1000], frame.iloc[1000:]])
        again.index = range(5, 5 + len(frame))
        again.attrs["note"] = "no part of the result"
        arrow = pa.Table.from_pandas(frame, preserve_index=False)
        chunked = pa.concat_tables([arrow.slice(0, 777), arrow.slice(777)])
        for i, table in enumerate([frame, again, arrow, chunked]):
            write_parquet(table, tmp_path / f"{i}.parquet")
        assert len({(tmp_path / f"{i}.parquet").read_bytes() for i in range(4)}) == 1
        assert pq.read_table(tmp_path / "0.parquet").to_pandas()["id"].tolist() == frame["id"].tolist()

    def test_other_content_gives_other_bytes(self, tmp_path):
        write_parquet(self.frame(), tmp_path / "a.parquet")
        write_parquet(self.frame().assign(x=0.0), tmp_path / "b.parquet")
        assert (tmp_path / "a.parquet").read_bytes() != (tmp_path / "b.parquet").read_bytes()

    def test_a_flipped_bit_in_any_page_is_refused(self, tmp_path):
        path = tmp_path / "a.parquet"
        write_parquet(self.frame(200), path)
        data = path.read_bytes()
        good = pq.read_table(path)
        footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
        refused = 0
        for position in range(4, footer, 3):
            flipped = bytearray(data)
            flipped[position] ^= 1 << position % 8
            try:
                table = pq.read_table(pa.BufferReader(bytes(flipped)), page_checksum_verification=True)
            except (OSError, pa.ArrowException):
                refused += 1
            else:
                assert table.equals(good), position
        assert refused > 0.7 * footer / 3, "without checksums most of the flips would pass"

    def test_no_pandas_version_is_stored(self, tmp_path):
        write_parquet(self.frame(), tmp_path / "a.parquet")
        assert b"pandas" not in (tmp_path / "a.parquet").read_bytes()


class TestJson:
    def test_keys_are_sorted_and_text_is_kept(self, tmp_path):
        write_json({"b": "东", "a": [1, None]}, tmp_path / "x.json")
        text = (tmp_path / "x.json").read_text(encoding="utf-8")
        assert text == '{\n  "a": [\n    1,\n    null\n  ],\n  "b": "东"\n}\n'

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_nan_is_refused_since_json_has_none(self, tmp_path, value):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json({"a": value}, tmp_path / "x.json")


@pytest.fixture
def target(tmp_path):
    """A folder with an earlier result."""
    folder = tmp_path / "results" / "as_of=2005-09-30"
    folder.mkdir(parents=True)
    (folder / "old.txt").write_text("old")
    (folder / "deep").mkdir()
    return folder


def content(target: Path) -> set[str]:
    """All names beside and below the target; a temporary folder would show."""
    return {str(path.relative_to(target.parent)) for path in target.parent.rglob("*")}


class Stop(Exception):  # noqa: N818
    pass


def write_half(target: Path, error: BaseException) -> None:
    """Begin a result, then fail."""
    with whole_folder(target) as folder:
        (folder / "half.txt").write_text("half")
        raise error


class TestWholeFolder:
    def test_a_new_folder_and_its_parents(self, tmp_path):
        target = tmp_path / "a" / "b" / "c"
        with whole_folder(target) as folder:
            (folder / "new.txt").write_text("new")
            assert not target.exists()
        assert content(target) == {"c", "c/new.txt"}
        assert target.stat().st_mode & 0o777 == 0o755

    def test_the_old_folder_stands_until_the_end_and_is_replaced_whole(self, target):
        before = content(target)
        with whole_folder(target) as folder:
            (folder / "new.txt").write_text("new")
            assert content(target) >= before
            assert not (target / "new.txt").exists()
        assert content(target) == {target.name, f"{target.name}/new.txt"}

    @pytest.mark.parametrize("error", [Stop, KeyboardInterrupt, ConfigError])
    def test_an_exception_leaves_the_old_folder_and_nothing_else(self, target, error):
        before = content(target)
        with pytest.raises(error):
            write_half(target, error("stop"))
        assert content(target) == before
        assert (target / "old.txt").read_text() == "old"

    def test_a_full_disk_while_writing(self, target):
        before = content(target)
        with pytest.raises(ResourceError) as caught:
            write_half(target, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        assert content(target) == before
        for part in ("No space left on device", str(target), "free some space", "still there"):
            assert part in str(caught.value)

    @pytest.mark.parametrize("failing", [1, 2])
    def test_a_failing_swap_puts_the_old_folder_back(self, target, monkeypatch, failing):
        """Whether the old folder cannot be moved away or the new one cannot take its place."""
        before, replace, calls = content(target), os.replace, []

        def sometimes(source, destination, **options):
            calls.append(source)
            if len(calls) == failing:
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
            replace(source, destination, **options)

        monkeypatch.setattr(os, "replace", sometimes)
        with pytest.raises(ResourceError, match="Permission denied"), whole_folder(target) as folder:
            (folder / "new.txt").write_text("new")
        assert len(calls) >= failing
        assert content(target) == before
        assert (target / "old.txt").read_text() == "old"

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
    def test_a_place_that_cannot_be_written(self, target, monkeypatch, code):
        before = content(target)

        def refuse(**options):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(tempfile, "mkdtemp", refuse)
        with pytest.raises(ResourceError) as caught, whole_folder(target):
            pytest.fail("the block must not start")
        assert os.strerror(code) in str(caught.value)
        assert str(target.parent) in str(caught.value)
        assert content(target) == before

    def test_a_file_in_the_way_is_kept(self, target):
        path = target / "old.txt"
        with pytest.raises(ConfigError, match="a file stands there"), whole_folder(path):
            pytest.fail("the block must not start")
        with (
            pytest.raises(ConfigError, match="a file stands there") as caught,
            whole_folder(path / "a" / "b"),
        ):
            pytest.fail("the block must not start")
        assert f"[{path}]" in str(caught.value)
        assert path.read_text() == "old"

    def test_a_hostile_name(self, tmp_path):
        target = tmp_path / "as_of='; rm -rf 😀"
        with whole_folder(target) as folder:
            write_json({}, folder / "x.json")
        assert json.loads((target / "x.json").read_text()) == {}
