"""Bad cells: the row is rejected under the rule that names the fault, and nothing is altered silently."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import RecordsError
from overdue_ml.records import load_records
from overdue_ml.records.contracts import CONTRACTS, table_rules


def as_text(frame: pd.DataFrame, column: str, row: int, value: object) -> None:
    """Put a value into a column of text, as a CSV would bring it."""
    frame[column] = [None if pd.isna(v) else str(v) for v in frame[column]]
    frame[column] = frame[column].astype(object)
    frame.loc[row, column] = value


@pytest.mark.parametrize(
    ("table", "column", "value", "rule"),
    [
        ("accounts", "credit_limit_amount", "nan", "credit_limit_amount_not_finite"),
        ("accounts", "credit_limit_amount", "inf", "credit_limit_amount_not_finite"),
        ("accounts", "credit_limit_amount", "-inf", "credit_limit_amount_not_finite"),
        ("accounts", "credit_limit_amount", "1e400", "credit_limit_amount_not_finite"),
        ("accounts", "credit_limit_amount", "1,234.50", "credit_limit_amount_not_readable"),
        ("accounts", "credit_limit_amount", "12 EUR", "credit_limit_amount_not_readable"),
        ("accounts", "credit_limit_amount", "-0.01", "credit_limit_amount_out_of_range"),
        ("accounts", "term_months", "0", "term_months_out_of_range"),
        ("accounts", "term_months", "1201", "term_months_out_of_range"),
        ("accounts", "account_id", "", "account_id_missing"),
        ("accounts", "account_id", "   ", "account_id_missing"),
        ("accounts", "customer_id", None, "customer_id_missing"),
        ("accounts", "customer_id", "nobody", "customer_id_unknown"),
        ("accounts", "customer_id", "C1", "customer_id_unknown"),
        ("accounts", "closed_on", "2004-02-28", "closed_on_before_opened_on"),
        ("accounts", "opened_on", "2005-02-30", "opened_on_not_readable"),
        ("accounts", "opened_on", "2005-02-29", "opened_on_not_readable"),
        ("accounts", "opened_on", "0000-00-00", "opened_on_not_readable"),
        ("accounts", "opened_on", "9999-12-31", "opened_on_out_of_range"),
        ("accounts", "opened_on", "1969-12-31", "opened_on_out_of_range"),
        ("accounts", "opened_on", "31/01/2005", "opened_on_not_readable"),
        ("accounts", "opened_on", "20050131", "opened_on_not_readable"),
        ("accounts", "opened_on", "2005-01-31 (BC)", "opened_on_not_readable"),
        ("accounts", "opened_on", "2005-01-31 24:00:00", "opened_on_not_readable"),
        # DuckDB would drop the zone's name and keep the day.
        ("accounts", "opened_on", "2005-01-31 00:00:00 Asia/Shanghai", "opened_on_not_readable"),
        ("accounts", "opened_on", "2005-02-30T00:00:00Z", "opened_on_not_readable"),
        ("statements", "statement_date", "", "statement_date_missing"),
        ("statements", "due_date", "2005-01-30", "due_date_before_statement_date"),
        ("statements", "known_on", "2005-01-30", "known_on_before_statement_date"),
        ("statements", "account_id", "0007", "account_id_unknown"),
        ("statements", "dpd", "30.7", "dpd_not_readable"),
        ("statements", "dpd", "3000000000", "dpd_not_readable"),
        ("statements", "dpd", "-1", "dpd_out_of_range"),
        ("statements", "dpd", "nan", "dpd_not_readable"),
        ("statements", "dpd", "true", "dpd_not_readable"),
        ("statements", "paid_amount", "-1", "paid_amount_out_of_range"),
        ("statements", "payment_behaviour", "Late", "payment_behaviour_unknown_value"),
        ("statements", "payment_behaviour", "defaulted", "payment_behaviour_unknown_value"),
        ("labels", "is_overdue", "yes", "is_overdue_not_readable"),
        ("labels", "is_overdue", "2", "is_overdue_not_readable"),
        ("labels", "is_overdue", "", "is_overdue_missing"),
        ("labels", "customer_id", "nobody", "customer_id_unknown"),
    ],
)
def test_a_bad_cell_rejects_its_row_under_its_rule(lender, as_csv, broken, table, column, value, rule):
    frames = lender()
    if column not in frames[table]:
        frames[table][column] = 0.0
    as_text(frames[table], column, 0, value)
    records = as_csv(frames)
    assert broken(records, table) == {rule: 1}
    assert records.rejected[table].num_rows == 1
    row = records.rejected[table].to_pylist()[0]
    assert row["rule"] == rule
    assert row[column] == (value.strip() or None if value else None), "the cell is kept as it came"
    assert records.tables[table].num_rows == len(frames[table]) - 1


@pytest.mark.parametrize(
    ("table", "column", "value", "read"),
    [
        ("accounts", "opened_on", "2004-02-29", dt.date(2004, 2, 29)),
        ("accounts", "opened_on", "1970-01-01", dt.date(1970, 1, 1)),
        ("accounts", "opened_on", " 2004-01-05 ", dt.date(2004, 1, 5)),
        ("accounts", "opened_on", "2004-01-05T23:59:59.999999999", dt.date(2004, 1, 5)),
        ("accounts", "opened_on", "2004-01-05 10:00", dt.date(2004, 1, 5)),
        ("accounts", "closed_on", "2100-12-31", dt.date(2100, 12, 31)),
        ("accounts", "credit_limit_amount", "1e3", 1000.0),
        ("accounts", "credit_limit_amount", "0.1", 0.1),
        ("accounts", "credit_limit_amount", "-0.0", 0.0),
        ("statements", "balance_amount", "-339603", -339603.0),
        ("statements", "dpd", "30.0", 30),
        ("statements", "dpd", "", None),
        ("labels", "is_overdue", "TRUE", True),
        ("labels", "is_overdue", "True", True),
        ("labels", "is_overdue", "t", True),
        ("labels", "is_overdue", "1", True),
        ("labels", "is_overdue", "1.0", True),
        ("labels", "is_overdue", "false", False),
        ("labels", "is_overdue", "F", False),
        ("labels", "is_overdue", "0", False),
        ("labels", "is_overdue", "0.0", False),
    ],
)
def test_a_sound_cell_is_read_exactly(lender, as_csv, table, column, value, read):
    frames = lender()
    key = frames[table].iloc[0][CONTRACTS[table].key[0]]
    as_text(frames[table], column, 0, value)
    records = as_csv(frames)
    assert records.rejected[table].num_rows == 0
    rows = [row for row in records.tables[table].to_pylist() if row[CONTRACTS[table].key[0]] == key]
    assert rows[0][column] == read


@pytest.mark.parametrize("values", [[1, 0], [1.0, 0.0], [True, False], ["1", "f"]])
def test_booleans_of_every_type(lender, values):
    frames = lender()
    frames["labels"] = frames["labels"].iloc[:2].assign(is_overdue=values)
    assert load_records(frames).tables["labels"].column("is_overdue").to_pylist() == [True, False]


def test_infinity_of_a_float_column_is_rejected_and_nan_is_missing(lender, broken):
    """NaN is the only way in which pandas can say that an amount is not known."""
    frames = lender()
    frames["statements"].loc[[0, 3, 5], "balance_amount"] = [np.nan, np.inf, -np.inf]
    records = load_records(frames, strict=False)
    assert broken(records, "statements") == {"balance_amount_not_finite": 2}
    assert records.tables["statements"].column("balance_amount").null_count == 1


class TestColumnsWithoutAValue:
    """What is empty throughout fits any type: pandas makes floating numbers of it."""

    NAMES = (
        ("accounts", "closed_on"),
        ("accounts", "product"),
        ("statements", "payment_behaviour"),
        ("statements", "known_on"),
    )

    def test_in_every_source_it_reads_as_in_a_csv(self, lender, write_folder, write_database, tmp_path):
        frames = lender()
        for table, column in self.NAMES:
            frames[table][column] = np.nan
        plain = load_records(write_folder(frames, tmp_path / "csv", "csv"))
        # pandas keeps NaN as a number in the file; Arrow's own NaN is no null.
        arrow = {name: pa.Table.from_pandas(frame, preserve_index=False) for name, frame in frames.items()}
        for table, column in self.NAMES:
            place = arrow[table].column_names.index(column)
            nan = pa.array([float("nan")] * arrow[table].num_rows)
            arrow[table] = arrow[table].set_column(place, column, nan)
        sources = [frames, arrow, write_database(frames, tmp_path / "book.duckdb")]
        for source in [*sources, write_folder(frames, tmp_path / "parquet", "parquet")]:
            records = load_records(source)
            for table, column in self.NAMES:
                assert records.tables[table].column(column).null_count == len(frames[table])
                kind = plain.tables[table].schema.field(column).type
                assert records.tables[table].schema.field(column).type == kind

    def test_one_number_among_them_is_refused(self, lender):
        frames = lender()
        frames["accounts"]["closed_on"] = [np.nan, np.nan, 1.0, np.nan, np.nan]
        with pytest.raises(RecordsError, match="the column 'closed_on' is of type DOUBLE"):
            load_records(frames)

    def test_a_required_one_breaks_its_rule(self, lender, broken):
        frames = lender()
        frames["labels"]["as_of_date"] = np.nan
        records = load_records(frames, strict=False)
        assert broken(records, "labels") == {"as_of_date_missing": 3}


def test_nan_in_a_parquet_file_is_a_broken_amount(lender, broken, tmp_path):
    frames = lender()
    for name, frame in frames.items():
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if name == "statements":
            column = pa.array([float("nan")] * len(frame))
            table = table.set_column(table.column_names.index("balance_amount"), "balance_amount", column)
        pq.write_table(table, tmp_path / f"{name}.parquet")
    records = load_records(tmp_path, strict=False)
    assert broken(records, "statements") == {"balance_amount_not_finite": len(frames["statements"])}


def test_an_underscore_does_not_group_digits(lender, broken):
    frames = lender()
    frames["statements"]["balance_amount"] = frames["statements"]["balance_amount"].astype(str)
    frames["statements"].loc[0, "balance_amount"] = "1_000"
    records = load_records(frames, strict=False)
    assert broken(records, "statements") == {"balance_amount_not_readable": 1}


def test_dpd_is_never_rounded(lender, broken):
    frames = lender()
    frames["statements"]["dpd"] = [30.7, 30.0, 0.5, 1, 2, 3, 4, 5, 6, np.nan]
    records = load_records(frames, strict=False)
    assert broken(records, "statements") == {"dpd_not_readable": 2}
    kept = records.tables["statements"].column("dpd").to_pylist()
    assert sorted(value for value in kept if value is not None) == [1, 2, 3, 4, 5, 6, 30]
    assert {"30.7", "0.5"} == set(records.rejected["statements"].column("dpd").to_pylist())


class TestIds:
    def test_18_digits_beside_a_blank_stay_exact(self, tmp_path, broken):
        rows = ["123456789012345678,c", "123456789012345679,c", ",c", "007,c", "7,c", "NA,NA", "nan,null"]
        (tmp_path / "accounts.csv").write_text(
            "account_id,customer_id,opened_on\n" + "".join(f"{row},2004-01-01\n" for row in rows)
        )
        (tmp_path / "statements.csv").write_text("account_id,statement_date\n007,2005-01-31\n")
        records = load_records(tmp_path, strict=False)
        ids = records.tables["accounts"].column("account_id").to_pylist()
        assert ids == ["007", "123456789012345678", "123456789012345679", "7", "NA", "nan"]
        assert records.tables["accounts"].column("customer_id").to_pylist()[4:] == ["NA", "null"]
        assert broken(records, "accounts") == {"account_id_missing": 1}

    def test_whole_numbers_are_taken_to_the_last_digit(self):
        ids = [2**63 - 1, 2**63 - 2, 7]
        accounts = pd.DataFrame({"account_id": ids, "customer_id": ids, "opened_on": None})
        statements = pd.DataFrame({"account_id": ids, "statement_date": "2005-01-31"})
        records = load_records({"accounts": accounts, "statements": statements})
        assert set(records.tables["accounts"].column("account_id").to_pylist()) == {str(i) for i in ids}

    def test_floating_ids_are_refused_because_digits_are_lost(self, lender):
        frames = lender()
        frames["accounts"]["account_id"] = [1.0, 2.0, 3.0, 4.0, np.nan]
        with pytest.raises(RecordsError, match="as floating numbers long ids lose digits") as caught:
            load_records(frames)
        assert "table accounts" in str(caught.value)
        assert "'account_id' is of type DOUBLE" in str(caught.value)

    def test_a_blank_before_an_id_is_part_of_it(self, via):
        accounts = pd.DataFrame({"account_id": ["a", " a"], "customer_id": "c", "opened_on": "2004-01-01"})
        statements = pd.DataFrame({"account_id": [" a"], "statement_date": ["2005-01-31"]})
        records = via({"accounts": accounts, "statements": statements})
        assert records.tables["accounts"].column("account_id").to_pylist() == [" a", "a"]

    def test_categories_are_read_as_their_text(self, lender):
        frames = lender()
        plain = load_records(frames).fingerprint
        for name in ("accounts", "statements"):
            frames[name]["account_id"] = frames[name]["account_id"].astype("category")
        assert load_records(frames).fingerprint == plain


class TestKeys:
    def test_all_rows_that_share_a_key_are_rejected(self, lender, via, broken):
        frames = lender()
        twin = frames["statements"].iloc[[0]].assign(dpd=60)
        frames["statements"] = pd.concat([frames["statements"], twin])
        records = via(frames)
        assert broken(records, "statements") == {"key_duplicate": 2}
        assert sorted(records.rejected["statements"].column("dpd").to_pylist()) == ["0", "60"]
        rule = next(r for r in records.report.rules if r.rule == "key_duplicate" and r.rows_rejected)
        assert rule.first_keys == ("007 2005-01-31",)

    def test_exact_copies_keep_one_and_are_counted(self, lender, via, broken):
        frames = lender()
        frames["statements"] = pd.concat([frames["statements"], *[frames["statements"].iloc[[4]]] * 3])
        records = via(frames)
        assert broken(records, "statements") == {"row_repeated": 3}
        assert records.tables["statements"].num_rows == 10
        assert set(records.rejected["statements"].column("rule").to_pylist()) == {"row_repeated"}

    def test_copies_of_a_twin_do_not_hide_it(self, lender, via, broken):
        frames = lender()
        first = frames["statements"].iloc[[0]]
        frames["statements"] = pd.concat([frames["statements"], first, first.assign(dpd=60)])
        records = via(frames)
        assert broken(records, "statements") == {"key_duplicate": 2, "row_repeated": 1}
        assert records.tables["statements"].num_rows == 9

    def test_rows_that_differ_in_an_extra_column_only_are_no_copies(self, lender, via, broken):
        frames = lender()
        frames["customers"] = pd.concat(
            [frames["customers"], pd.DataFrame({"customer_id": ["c2"], "education": ["other"]})]
        )
        records = via(frames)
        assert broken(records, "customers") == {"key_duplicate": 2}

    def test_rows_without_a_key_are_no_duplicates_of_each_other(self, lender, via, broken):
        frames = lender()
        frames["labels"].loc[:1, "customer_id"] = None
        records = via(frames)
        assert broken(records, "labels") == {"customer_id_missing": 2}

    def test_statements_of_a_rejected_account_are_rejected_too(self, lender, via, broken):
        frames = lender()
        frames["accounts"].loc[0, "customer_id"] = None
        records = via(frames)
        assert broken(records, "statements") == {"account_id_unknown": 2}


class TestDates:
    @pytest.mark.parametrize(
        ("text", "zone", "day"),
        [
            ("2005-01-31T15:59:59Z", "Asia/Shanghai", 31),
            ("2005-01-31T16:00:00Z", "Asia/Shanghai", 1),
            ("2005-02-01T00:00:00+08:00", "Asia/Shanghai", 1),
            ("2005-02-01 00:00:00+0800", "UTC", 31),
            ("2005-02-01 00:00+08", "UTC", 31),
            ("2005-01-31T23:30:00-00:30", "UTC", 1),
            ("2005-01-31 23:59:59", "Asia/Shanghai", 31),
        ],
    )
    def test_written_zones_are_cut_in_the_lenders_zone(self, lender, as_csv, text, zone, day):
        frames = lender()
        frames["accounts"] = frames["accounts"].assign(closed_on=text)
        records = as_csv(frames, RecordsConfig(timezone=zone))
        days = records.tables["accounts"].column("closed_on").to_pylist()
        assert days == [dt.date(2005, 1 if day == 31 else 2, day)] * 5

    @pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
    def test_datetimes_of_every_unit_are_the_same_day(self, lender, unit):
        frames = lender()
        plain = load_records(frames).fingerprint
        days = pd.to_datetime(frames["statements"]["statement_date"]) + pd.Timedelta(hours=23, minutes=59)
        frames["statements"]["statement_date"] = days.astype(f"datetime64[{unit}]")
        assert load_records(frames).fingerprint == plain

    @pytest.mark.parametrize("unit", ["us", "ns"])
    def test_zoned_datetimes_are_cut_at_midnight_in_shanghai(self, lender, unit):
        frames = lender()
        stamps = pd.to_datetime(["2005-02-28T15:59:59Z", "2005-02-28T16:00:00Z"] * 5).as_unit(unit)
        frames["statements"]["known_on"] = stamps
        known = {}
        for zone in ("UTC", "Asia/Shanghai"):
            table = load_records(frames, RecordsConfig(timezone=zone)).tables["statements"]
            known[zone] = set(table.column("known_on").to_pylist())
        assert known["UTC"] == {dt.date(2005, 2, 28)}
        assert known["Asia/Shanghai"] == {dt.date(2005, 2, 28), dt.date(2005, 3, 1)}

    def test_mixed_zones_and_no_zone_in_one_column(self, lender):
        frames = lender()
        shanghai = dt.timezone(dt.timedelta(hours=8))
        frames["accounts"]["closed_on"] = pd.Series(
            [
                dt.datetime(2005, 2, 1, 16),
                dt.datetime(2005, 2, 2, 0, tzinfo=shanghai),
                dt.datetime(2005, 2, 1, 16, tzinfo=dt.UTC),
                dt.datetime(2005, 2, 1, 15, 59, tzinfo=dt.UTC),
                None,
            ],
            dtype=object,
        )
        records = load_records(frames, RecordsConfig(timezone="Asia/Shanghai"))
        closed = {row["account_id"]: row["closed_on"] for row in records.tables["accounts"].to_pylist()}
        assert closed == {
            "007": dt.date(2005, 2, 1),
            "7": dt.date(2005, 2, 2),
            "A-1": dt.date(2005, 2, 2),
            "NA": dt.date(2005, 2, 1),
            "123456789012345678": None,
        }

    def test_a_sentinel_date_beyond_nanoseconds_is_rejected_not_refused(self, lender, broken):
        frames = lender()
        frames["accounts"].loc[4, "closed_on"] = dt.date(9999, 12, 31)
        records = load_records(frames, strict=False)
        assert broken(records, "accounts") == {"closed_on_out_of_range": 1}
        assert records.rejected["accounts"].column("closed_on").to_pylist() == ["9999-12-31"]


class TestLimit:
    def frames(self, bad: int, of: int = 1000) -> dict[str, pd.DataFrame]:
        ids = [f"a{i:04}" for i in range(of)]
        accounts = pd.DataFrame({"account_id": ids, "customer_id": ids, "opened_on": "2004-01-01"})
        accounts["credit_limit_amount"] = [-1.0] * bad + [1.0] * (of - bad)
        return {
            "accounts": accounts,
            "statements": pd.DataFrame({"account_id": ids[-5:], "statement_date": "2005-01-31"}),
        }

    @pytest.mark.parametrize(("bad", "share"), [(1, 0.001), (3, 0.003), (7, 0.007), (0, 0.0)])
    def test_the_limit_itself_is_still_accepted(self, bad, share):
        records = load_records(self.frames(bad), RecordsConfig(max_rejected_share=share))
        assert records.report.passed
        assert records.rejected["accounts"].num_rows == bad

    def test_rare_rows_are_quarantined_with_counts(self):
        records = load_records(self.frames(1))
        assert [(t.table, t.rows, t.accepted, t.rejected) for t in records.report.tables] == [
            ("accounts", 1000, 999, 1),
            ("statements", 5, 5, 0),
        ]
        frame = records.report.to_frame()
        row = frame[frame["rule"] == "credit_limit_amount_out_of_range"].iloc[0]
        assert (row["rows_checked"], row["rows_rejected"], row["first_keys"]) == (1000, 1, ("a0000",))

    def test_one_more_stops_and_names_table_rule_counts_and_first_keys(self):
        with pytest.raises(RecordsError) as caught:
            load_records(self.frames(2))
        assert caught.value.exit_code == 3
        message = str(caught.value)
        assert "2 of 1000 rows of 'accounts' were rejected (0.20%, limit 0.10%)" in message
        assert "raise max_rejected_share in the records config" in message
        assert "credit_limit_amount_out_of_range 2 (first: a0000, a0001)" in message
        assert "overdue-ml validate" in message

    def test_not_strict_returns_the_rest_and_says_it_failed(self):
        records = load_records(self.frames(2), strict=False)
        assert not records.report.passed
        assert records.report.to_dict()["passed"] is False
        assert records.tables["accounts"].num_rows == 998

    def test_a_table_without_one_sound_row_fails_at_any_limit(self):
        frames = self.frames(0, of=5)
        frames["accounts"]["credit_limit_amount"] = -1.0
        with pytest.raises(RecordsError, match="5 of 5 rows of 'accounts'") as caught:
            load_records(frames, RecordsConfig(max_rejected_share=1.0))
        assert "max_rejected_share" not in str(caught.value), "no limit would help"

    def test_a_long_id_does_not_flood_the_message(self):
        frames = self.frames(2)
        frames["accounts"].loc[0, "account_id"] = "a" * 10_000
        with pytest.raises(RecordsError) as caught:
            load_records(frames)
        assert len(str(caught.value)) < 600


def test_every_rule_has_one_name_in_its_table():
    for table in CONTRACTS.values():
        present = {c.name for c in table.columns}
        names = [rule.name for rule in table_rules(table, present, set(CONTRACTS))]
        assert len(names) == len(set(names))
        assert "row_repeated" not in names
