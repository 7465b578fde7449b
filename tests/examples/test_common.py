"""What the converters share: stamps to days, rows accounted for, files refused, tables written."""

import importlib

import pandas as pd
import pytest

from overdue_ml.errors import RecordsError


@pytest.fixture
def common(zindi):
    return importlib.import_module("_common")


def test_a_stamp_with_a_zone_is_cut_to_days_there_and_any_other_as_it_stands(common, rows):
    stamps = ["2019-03-31 22:30:00", "2019-03-31T22:30:00Z", "2019-03-31T00:30:00+0500", "2019-03-31", None]
    days = common.to_days(pd.Series(stamps, dtype="str", name="d"), "Africa/Kampala")
    # Kampala is three hours ahead: 22:30 UTC is 01:30 of 1 April there, 00:30 at +05:00 is 22:30 of the 30th.
    want = ["2019-03-31", "2019-04-01", "2019-03-30", "2019-03-31", None]
    assert [row[0] for row in rows(days.to_frame(), "d")] == want


def test_a_bare_date_is_no_time_in_the_zone_of_its_day(common, rows):
    # Read as midnight UTC it would be the day before in Lima.
    days = common.to_days(pd.Series(["2019-03-05"], dtype="str", name="d"), "America/Lima")
    assert rows(days.to_frame(), "d") == [("2019-03-05",)]


def test_a_stamp_that_cannot_be_read_is_an_error(common):
    with pytest.raises(RecordsError, match="31/03/2019"):
        common.to_days(pd.Series(["31/03/2019"], dtype="str", name="d"), "UTC")


def test_a_number_that_cannot_be_read_is_an_error_and_an_empty_cell_is_not(common):
    frame = pd.DataFrame({"x": ["1.5", None]}, dtype="str")
    assert common.to_numbers(frame, ["x"])["x"].isna().tolist() == [False, True]
    with pytest.raises(RecordsError, match="'1,5' is not a number"):
        common.to_numbers(pd.DataFrame({"x": ["1,5"]}, dtype="str"), ["x"])


def test_a_row_that_vanished_is_an_error(common):
    conversion = common.Conversion()
    with pytest.raises(RecordsError, match="10 rows were read, but 8 used and 1 left out"):
        conversion.account_for("f.csv", 10, 8, {"a reason": 1})
    conversion.account_for("f.csv", 10, 8, {"a reason": 2, "none": 0})
    assert conversion.left_out == {"f.csv": {"a reason": 2}}


def test_a_byte_order_mark_is_no_part_of_the_first_column(common, tmp_path):
    (tmp_path / "f.csv").write_bytes(b"\xef\xbb\xbfid,x\n0012345678901234567,NA\n")
    frame = common.read_table(tmp_path / "f.csv", ["id", "x"])
    # Ids keep every digit, and NA is a missing value only where the set says so.
    assert frame.to_dict("list") == {"id": ["0012345678901234567"], "x": ["NA"]}
    assert common.read_table(tmp_path / "f.csv", ["x"], missing=("", "NA"))["x"].isna().all()


def test_a_missing_file_or_column_is_named(common, tmp_path):
    with pytest.raises(RecordsError, match=r"f\.csv"):
        common.read_table(tmp_path / "f.csv", ["id"])
    (tmp_path / "f.csv").write_text("id\n1\n", encoding="utf-8")
    with pytest.raises(RecordsError, match="the column 'x' is missing"):
        common.read_table(tmp_path / "f.csv", ["id", "x"])


def test_the_command_line_answers_with_the_exit_code_of_the_error(zindi, tmp_path, capsys):
    assert zindi.module.main(["--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 3
    assert "Train.csv" in capsys.readouterr().out
