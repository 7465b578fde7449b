"""Missing, empty, renamed, retyped and damaged sources: a named error, never other data."""

from __future__ import annotations

import hashlib
import random
import shutil

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.jobs.output import write_parquet
from overdue_ml.records import load_records
from overdue_ml.records.sources import _read_parquet


@pytest.fixture
def folder(lender, write_folder, tmp_path):
    return write_folder(lender(), tmp_path / "records", "parquet")


def refusal(source, *parts: str) -> RecordsError:
    with pytest.raises(RecordsError) as caught:
        load_records(source, strict=False)
    assert caught.value.exit_code == 3
    for part in parts:
        assert part in str(caught.value)
    return caught.value


class TestTables:
    def test_nothing_there(self, tmp_path):
        refusal(tmp_path / "no" / "where", "the records were not found", "where")
        (tmp_path / "records.zip").write_bytes(b"PK")
        refusal(tmp_path / "records.zip", "the records were not found")
        refusal(tmp_path, "the table 'accounts' is missing", "found no table")

    def test_a_missing_table_is_named_with_the_near_miss(self, lender, write_folder, tmp_path):
        folder = write_folder(lender(), tmp_path / "records", "csv")
        (folder / "statements.csv").rename(folder / "statement.csv")
        refusal(
            folder, "the table 'statements' is missing", "found 'statement', rename it or map it", str(folder)
        )

    def test_a_missing_table_is_told_what_stands_there_and_how_to_map_it(
        self, lender, write_folder, tmp_path
    ):
        frames = {f"tbl{i}": frame for i, frame in enumerate([*lender().values()] * 2)}
        folder = write_folder(frames, tmp_path / "records", "csv")
        told = "found 'tbl0', 'tbl1', 'tbl2', 'tbl3', 'tbl4' and 3 more; map them"
        error = refusal(folder, "the table 'accounts' is missing", told)
        assert str(error).endswith("('overdue-ml validate --suggest' proposes how).")

    def test_an_ending_in_capitals_is_the_same_ending(self, lender, write_folder, tmp_path):
        folder = write_folder(lender(), tmp_path / "records", "csv")
        plain = load_records(folder).fingerprint
        (folder / "statements.csv").rename(folder / "statements.CSV")
        assert load_records(folder).fingerprint == plain
        (folder / "statements.CSV").rename(folder / "Statements.CSV")
        refusal(folder, "the table 'statements' is missing", "found 'Statements', rename it or map it")

    def test_a_missing_table_without_a_near_miss(self, lender):
        frames = lender()
        del frames["accounts"]
        error = refusal(frames, "the table 'accounts' is missing", "dict of DataFrames")
        assert str(error).endswith("; found customers, statements, labels only.")

    def test_a_missing_table_of_a_database(self, lender, write_database, tmp_path):
        frames = lender()
        frames["account"] = frames.pop("accounts")
        refusal(write_database(frames, tmp_path / "x.db"), "'accounts' is missing", "found 'account'")

    def test_tables_of_another_schema_are_not_taken(self, lender, write_database, tmp_path):
        path = write_database(lender(), tmp_path / "x.duckdb")
        plain = load_records(path).fingerprint
        with duckdb.connect(str(path)) as con:
            con.execute("CREATE SCHEMA old; CREATE TABLE old.statements(x INT); DROP TABLE main.labels")
            con.execute("CREATE TABLE old.labels(x INT)")
        records = load_records(path)
        assert "labels" not in records
        assert records.fingerprint != plain

    def test_csv_and_parquet_of_one_table(self, folder):
        (folder / "labels.csv").write_text("customer_id,as_of_date,is_overdue\n")
        refusal(folder, "the table 'labels' stands there twice", "labels.parquet, labels.csv", "remove one")

    def test_other_files_and_folders_are_left_alone(self, folder):
        plain = load_records(folder).fingerprint
        (folder / "notes.csv").write_bytes(b"\0\xff")
        (folder / "labels.csv").mkdir()
        assert load_records(folder).fingerprint == plain

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_a_file_of_no_bytes(self, lender, write_folder, tmp_path, kind):
        folder = write_folder(lender(), tmp_path / "records", kind)
        (folder / f"statements.{kind}").write_bytes(b"")
        refusal(folder, "the file is empty (0 bytes)", f"statements.{kind}")

    @pytest.mark.parametrize("name", ["customers", "accounts", "statements", "labels"])
    def test_a_table_without_rows(self, lender, via, name):
        frames = lender()
        frames[name] = frames[name].iloc[:0]
        with pytest.raises(RecordsError, match=f"the table has no rows \\[table {name}\\]"):
            via(frames)

    @pytest.mark.parametrize("thing", [[1, 2], "accounts.csv", {"account_id": ["a"]}])
    def test_a_table_that_is_no_table(self, lender, thing):
        refusal(lender() | {"accounts": thing}, "'accounts' is a", "a pandas DataFrame or a pyarrow Table")

    def test_a_source_that_is_none(self, lender):
        told = "a folder, a DuckDB file, or DataFrames or Arrow tables by the names of their tables"
        frames = lender()
        refusal(frames["accounts"], "the source of the records is a DataFrame; expected", told)
        refusal(None, "the source of the records is a NoneType", told)
        refusal(list(frames.values()), "the source of the records is a list", told)
        refusal({1: frames["accounts"]}, "a mapping whose keys are no names", told)

    def test_a_config_that_is_none(self, lender):
        with pytest.raises(ConfigError, match="the config is a dict; expected a RecordsConfig; make one"):
            load_records(lender(), {"timezone": "UTC"})

    def test_a_table_without_columns(self, lender):
        refusal(lender() | {"accounts": pd.DataFrame()}, "there are no columns", "table accounts")


class TestColumns:
    @pytest.mark.parametrize(
        ("table", "column"),
        [
            ("customers", "customer_id"),
            ("accounts", "opened_on"),
            ("statements", "statement_date"),
            ("labels", "is_overdue"),
        ],
    )
    def test_a_missing_column_is_named(self, lender, table, column):
        frames = lender()
        frames[table] = frames[table].drop(columns=column)
        refusal(frames, f"the column '{column}' is missing", f"table {table}", f"add the column '{column}'")

    @pytest.mark.parametrize("renamed", ["statementdate", "statement_dt", "Statement_Date", "STATEMENT_DATE"])
    def test_a_renamed_column_is_recognised(self, lender, renamed):
        frames = lender()
        frames["statements"] = frames["statements"].rename(columns={"statement_date": renamed})
        refusal(frames, "'statement_date' is missing", f"rename '{renamed}' to 'statement_date'")

    @pytest.mark.parametrize(
        ("table", "column", "values", "kind"),
        [
            ("accounts", "opened_on", [12345.0] * 5, "DOUBLE"),
            ("accounts", "opened_on", [12345] * 5, "BIGINT"),
            ("accounts", "opened_on", [True] * 5, "BOOLEAN"),
            ("accounts", "account_id", [1.0, 2.0, 3.0, 4.0, 5.0], "DOUBLE"),
            ("accounts", "account_id", [True] * 5, "BOOLEAN"),
            ("accounts", "account_id", [b"a", b"b", b"c", b"d", b"e"], "BLOB"),
            ("accounts", "credit_limit_amount", [True] * 5, "BOOLEAN"),
            ("accounts", "credit_limit_amount", pd.to_datetime(["2005-01-31"] * 5), "TIMESTAMP"),
            ("accounts", "term_months", pd.to_timedelta([1] * 5, unit="D"), "INTERVAL"),
        ],
    )
    def test_a_column_of_the_wrong_type(self, lender, write_folder, tmp_path, table, column, values, kind):
        frames = lender()
        frames[table][column] = values
        source = write_folder(frames, tmp_path / "records", "parquet")
        refusal(source, f"the column '{column}' is of type {kind}", f"table {table}", "convert the column")

    def test_columns_in_another_order_change_nothing(self, lender):
        frames = lender()
        plain = load_records(frames).fingerprint
        assert load_records({n: f[f.columns[::-1]] for n, f in frames.items()}).fingerprint == plain


def damaged(data: bytes, position: int, bit: int) -> bytes:
    flipped = bytearray(data)
    flipped[position] ^= 1 << bit
    return bytes(flipped)


class TestDamagedParquet:
    @pytest.mark.parametrize("keep", [1, 100, 0.3, 0.6, 0.99, -1])
    def test_a_truncated_file(self, folder, keep):
        path = folder / "statements.parquet"
        data = path.read_bytes()
        path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
        refusal(folder, "the Parquet file is damaged", "statements.parquet", "export it again")

    def test_a_csv_named_parquet(self, folder):
        (folder / "statements.parquet").write_text("account_id,statement_date\n")
        refusal(folder, "the Parquet file is damaged", "statements.parquet")

    def test_flipped_bits_never_give_other_records(self, folder):
        """Anywhere in the file: refused, or the very same accepted rows."""
        plain = load_records(folder).fingerprint
        path = folder / "statements.parquet"
        data = path.read_bytes()
        rng = random.Random(20051001)
        outcomes = {"refused": 0, "same": 0}
        for position in rng.sample(range(len(data)), 40):
            bit = rng.randrange(8)
            path.write_bytes(damaged(data, position, bit))
            try:
                records = load_records(folder, strict=False)
            except RecordsError:
                outcomes["refused"] += 1
                continue
            assert records.fingerprint == plain, (position, bit)
            outcomes["same"] += 1
        assert outcomes["refused"] > 20, "the flips did hit something"

    def test_flipped_bits_of_the_unchecksummed_footer(self, folder, tmp_path):
        """Every byte of the footer once: its column names and types have no checksum."""
        good = _read_parquet(folder / "statements.parquet")
        data = (folder / "statements.parquet").read_bytes()
        footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
        path = tmp_path / "statements.parquet"
        rng = random.Random(7)
        refused = 0
        for position in range(footer, len(data)):
            bit = rng.randrange(8)
            path.write_bytes(damaged(data, position, bit))
            try:
                table = _read_parquet(path)
            except RecordsError:
                refused += 1
            else:
                assert table.schema.names == good.schema.names, (position, bit)
                assert table.to_pylist() == good.to_pylist(), (position, bit)
        assert refused > 100

    def test_a_flipped_bit_in_a_column_name_is_seen(self, folder):
        """Without a look at the second copy of the schema, a known column would become an extra one."""
        path = folder / "statements.parquet"
        data = path.read_bytes()
        position = data.index(b"payment_behaviour")  # in the schema; later copies are not read
        for bit in range(8):
            path.write_bytes(damaged(data, position + bit, bit))
            refusal(folder, "the Parquet file is damaged", "statements.parquet")

    def test_files_of_other_writers_are_read(self, folder, lender):
        """No second schema, narrower units, dictionaries: sound files, though they differ from ours."""
        plain = load_records(folder).fingerprint
        table = pq.read_table(folder / "statements.parquet")
        path = folder / "statements.parquet"
        day = table.schema.get_field_index("statement_date")
        stamps = table.set_column(day, "statement_date", table["statement_date"].cast(pa.timestamp("ns")))
        texts = table.schema.get_field_index("payment_behaviour")
        coded = table.set_column(texts, "payment_behaviour", table["payment_behaviour"].dictionary_encode())
        for other, options in [
            (table, {"store_schema": False}),
            (stamps, {"coerce_timestamps": "ms"}),
            (coded, {}),
            (table, {"version": "1.0", "compression": "snappy"}),
        ]:
            pq.write_table(other, path, **options)
            assert load_records(folder).fingerprint == plain
        duckdb.from_arrow(table).write_parquet(str(path))
        assert load_records(folder).fingerprint == plain


class TestDamagedDatabase:
    @pytest.fixture
    def path(self, write_database, tmp_path):
        ids = [f"a{i:05}" for i in range(3000)]
        frames = {
            "accounts": pd.DataFrame({"account_id": ids, "customer_id": ids, "opened_on": "2004-01-01"}),
            "statements": pd.DataFrame({"account_id": ids, "statement_date": "2005-01-31", "dpd": 3}),
        }
        return write_database(frames, tmp_path / "lender.duckdb")

    def test_flipped_bits(self, path):
        data = path.read_bytes()
        plain = load_records(path).fingerprint
        rng = random.Random(3)
        for position in rng.sample(range(len(data)), 20):
            path.write_bytes(damaged(data, position, rng.randrange(8)))
            try:
                assert load_records(path, strict=False).fingerprint == plain, position
            except RecordsError:
                continue
        path.write_bytes(data)
        assert load_records(path).fingerprint == plain

    def test_truncated_and_foreign_files(self, path):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        refusal(path)
        path.write_bytes(b"SQLite format 3\0" + b"x" * 200)
        refusal(path, "the DuckDB file cannot be opened", str(path))


class TestChecksums:
    def listing(self, folder, line="{digest}  {name}\n"):
        return "".join(
            line.format(digest=hashlib.sha256(p.read_bytes()).hexdigest(), name=p.name)
            for p in sorted(folder.glob("*.parquet"))
        )

    @pytest.mark.parametrize("line", ["{digest}  {name}\n", "{digest} *{name}\n", "{digest}  ./{name}\n"])
    def test_matching_files_pass_in_every_layout_of_sha256sum(self, folder, line):
        (folder / "SHA256SUMS").write_text(self.listing(folder, line))
        assert load_records(folder).report.passed

    @pytest.mark.parametrize("line", ["{digest}  {name}\n", "{digest} *{name}\n", "{digest}  ./{name}\n"])
    def test_another_file_under_the_name_is_refused(self, folder, lender, line):
        (folder / "SHA256SUMS").write_text(self.listing(folder, line))
        labels = lender()["labels"]
        labels.loc[0, "is_overdue"] = False
        write_parquet(labels, folder / "labels.parquet")
        refusal(folder, "does not match its checksum", "labels.parquet in SHA256SUMS", "fetch the file again")

    def test_a_table_that_is_not_listed_is_not_checked(self, folder):
        (folder / "SHA256SUMS").write_text(f"{'0' * 64}  elsewhere.parquet\n\n")
        assert load_records(folder).report.passed

    def test_a_listing_of_junk_is_no_crash(self, folder):
        (folder / "SHA256SUMS").write_bytes(b"\xff\xfe\0junk\n")
        assert load_records(folder).report.passed


def test_the_source_is_left_untouched(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    load_records(folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "copy").iterdir()
    }


def test_a_misspelt_optional_table_is_named(lender):
    frames = lender()
    frames["label"] = frames.pop("labels")
    with pytest.raises(RecordsError, match=r"'label' is not a table.*rename it to 'labels'"):
        load_records(frames)


def test_another_delimiter_is_named(lender, tmp_path):
    for name, frame in lender().items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False, sep=";")
    with pytest.raises(RecordsError, match=r"the header is one column, with ';' in it.*csv_delimiter"):
        load_records(tmp_path)
    records = load_records(tmp_path, RecordsConfig(csv_delimiter=";"))
    assert records.report.passed
