"""Workbooks: text is text, days are days, what does not fit says so, and equal tables are equal bytes."""

import datetime as dt
import importlib.util
import os
import re
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pytest

from overdue_ml.errors import ConfigError
from overdue_ml.jobs import excel
from overdue_ml.jobs.excel import write_excel

DAY = dt.date(2024, 2, 29)
HOSTILE = [
    "=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "#N/A", "#REF!", "<script>alert(1)</script>",
    "../../etc/passwd", "007", "1e5", "2024-02-29", "TRUE", " spaces ", "two\nlines", "客户甲", "a&b<c>\"d'",
]  # fmt: skip


def read(path):
    """Cells below the header of the first sheet, by openpyxl, which calculates nothing."""
    return list(openpyxl.load_workbook(path).worksheets[0].iter_rows(min_row=2))


def unescape(text):
    """What Excel shows of a text, by the rule of the file format."""
    return re.sub("_x([0-9A-F]{4})_", lambda found: chr(int(found.group(1), 16)), text)


def test_no_text_is_a_formula_an_error_or_a_number(tmp_path):
    write_excel(pd.DataFrame({"id": HOSTILE}), tmp_path / "x.xlsx", "reminders", DAY)
    cells = [row[0] for row in read(tmp_path / "x.xlsx")]
    assert [cell.value for cell in cells] == HOSTILE
    assert {cell.data_type for cell in cells} == {"s"}
    # Nor does one become a formula when somebody edits it.
    assert all(cell.quotePrefix for cell in cells)


def test_each_kind_of_column_is_what_it_is(tmp_path):
    frame = pd.DataFrame(
        {
            "n": [1, 2],
            "x": [0.5, np.nan],
            "flag": [True, False],
            "day": [DAY, None],
            "stamp": pd.to_datetime(["2024-02-29", None]),
            "arrow": pd.Series(pa.array([DAY, None]), dtype=pd.ArrowDtype(pa.date32())),
            "text": pd.array(["a", None], dtype="str"),
        }
    ).set_axis([7, 9])
    write_excel(frame, tmp_path / "x.xlsx", "reminders", DAY)
    sheet = openpyxl.load_workbook(tmp_path / "x.xlsx").worksheets[0]
    assert sheet.title == "reminders"
    assert sheet.freeze_panes == "A2"
    assert [cell.value for cell in sheet[1]] == list(frame)
    midnight = dt.datetime(2024, 2, 29)
    assert [cell.value for cell in sheet[2]] == [1, 0.5, True, midnight, midnight, midnight, "a"]
    assert [cell.number_format for cell in sheet[2]][3:6] == ["yyyy-mm-dd"] * 3
    assert [cell.value for cell in sheet[3]] == [2, None, False, None, None, None, None]


def test_what_xml_cannot_hold_is_escaped_as_excel_does_it(tmp_path):
    texts = [
        "bell\x07",
        "cr\rlf\n",
        "tab\t",
        "\x00",
        "\ufffe\uffff",
        "_x0041_",
        "_x41_",
        "__x0041_",
        "_x000D",
    ]
    write_excel(pd.DataFrame({"id": texts}), tmp_path / "x.xlsx", "t", DAY)
    stored = [row[0].value for row in read(tmp_path / "x.xlsx")]
    assert stored[:2] == ["bell_x0007_", "cr_x000D_lf\n"]
    assert stored[5] == "_x005F_x0041_"
    assert [unescape(text) for text in stored] == texts


@pytest.mark.parametrize(("text", "shown"), [("x" * 32_767, 32_767), ("x" * 32_768, 32_767)])
def test_a_text_too_long_for_a_cell_ends_in_dots(tmp_path, text, shown):
    write_excel(pd.DataFrame({"id": [text]}), tmp_path / "x.xlsx", "t", DAY)
    ((cell,),) = read(tmp_path / "x.xlsx")
    assert len(cell.value) == shown
    assert cell.value.endswith("…") == (len(text) > shown)


def test_an_emoji_is_not_cut_in_two(tmp_path):
    # Two units each in UTF-16: 16,383 of them and one dot are 32,767.
    write_excel(pd.DataFrame({"id": ["😀" * 20_000, "😀" * 2_500]}), tmp_path / "x.xlsx", "t", DAY)
    cut, whole = (row[0].value for row in read(tmp_path / "x.xlsx"))
    assert cut == "😀" * 16_383 + "…"
    assert whole == "😀" * 2_500


def test_more_rows_than_a_sheet_takes_go_on_in_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(excel, "_SHEET_ROWS", 4)
    write_excel(pd.DataFrame({"id": list("abcdefg")}), tmp_path / "x.xlsx", "reminders", DAY)
    book = openpyxl.load_workbook(tmp_path / "x.xlsx")
    assert book.sheetnames == ["reminders", "reminders 2", "reminders 3"]
    assert [[row[0] for row in sheet.values] for sheet in book] == [
        ["id", "a", "b", "c"], ["id", "d", "e", "f"], ["id", "g"],
    ]  # fmt: skip


def test_nobody_is_a_sheet_with_a_header(tmp_path):
    write_excel(pd.DataFrame({"id": []}), tmp_path / "x.xlsx", "reminders", DAY)
    assert [list(row) for row in openpyxl.load_workbook(tmp_path / "x.xlsx").active.values] == [["id"]]


def test_equal_tables_are_equal_bytes_whenever_they_are_written(tmp_path, monkeypatch):
    frame = pd.DataFrame({"id": HOSTILE, "x": 1.5, "day": DAY})
    write_excel(frame, tmp_path / "a.xlsx", "t", DAY)
    # Zip files count two seconds, the properties one.
    later = time.time() + 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    write_excel(frame, tmp_path / "b.xlsx", "t", DAY)
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.xlsx") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.testzip() is None
        properties = archive.read("docProps/core.xml").decode()
    assert re.findall(r"\d{4}-\d\d-\d\dT[\d:]+Z", properties) == ["2024-02-29T00:00:00Z"] * 2


class TestFolder:
    """A list that a kill cuts off lies nowhere but where the whole one would."""

    @pytest.fixture
    def made(self, tmp_path, monkeypatch):
        """Files and folders that were made, by the system's own word; none may be made in its folder."""
        planted, found = tmp_path / "system", []
        planted.mkdir()
        monkeypatch.setenv("TMPDIR", str(planted))
        monkeypatch.setattr(tempfile, "tempdir", None)
        assert tempfile.gettempdir() == str(planted)
        watching = [True]

        def hear(event, args):
            if not watching[0]:
                return
            if (event == "open" and isinstance(args[0], str) and args[2] & os.O_CREAT) or event == "os.mkdir":
                found.append(Path(args[0]))

        # A hook stays for good.
        sys.addaudithook(hear)
        yield found
        watching[0] = False

    def test_nothing_is_ever_made_elsewhere(self, tmp_path, made, monkeypatch):
        monkeypatch.setattr(excel, "_SHEET_ROWS", 4)
        out = tmp_path / "out"
        out.mkdir()
        made.clear()
        write_excel(pd.DataFrame({"id": list("abcdefg")}), out / "x.xlsx", "reminders", DAY)
        # The workbook, a folder, and in it a file for each of three sheets.
        assert len(made) == 5
        assert all(path.is_relative_to(out) for path in made)
        assert [path.name for path in out.iterdir()] == ["x.xlsx"]

    def test_nothing_stays_where_it_fails(self, tmp_path, made, monkeypatch):
        out = tmp_path / "out"
        out.mkdir()
        made.clear()
        monkeypatch.setattr(excel, "_fitting", lambda text: 1 / 0 if text == "c" else text)
        with pytest.raises(ZeroDivisionError):
            write_excel(pd.DataFrame({"id": list("abc")}), out / "x.xlsx", "reminders", DAY)
        assert made
        assert all(path.is_relative_to(out) for path in made)
        assert list(out.iterdir()) == []


def test_without_openpyxl_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"need openpyxl.*pip install 'overdue_ml\[excel\]'"):
        write_excel(pd.DataFrame({"id": ["a"]}), tmp_path / "x.xlsx", "t", DAY)
    assert not list(tmp_path.iterdir())
