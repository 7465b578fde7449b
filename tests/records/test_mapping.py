"""Other names and forms are read as declared, and only so; a proposal is proposed and nothing more."""

from __future__ import annotations

import datetime as dt

import duckdb
import pandas as pd
import pytest

from overdue_ml.cli import run
from overdue_ml.config import RecordsConfig, build_config, load_config, parse_yaml
from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.records import load_records, suggest_mapping
from overdue_ml.records.suggest import similarity


def config(text: str) -> RecordsConfig:
    return build_config(RecordsConfig, parse_yaml(text, "test"))


@pytest.fixture
def frames():
    """A book under other names: cents, dd/mm/yyyy, letters for behaviours, months for days past due."""
    return {
        "loans": pd.DataFrame(
            {
                "loan": ["007", "8"],
                "client": ["c1", "c2"],
                "start": ["05/01/2024", ""],
                "cents": ["1999", "30"],
                "branch": ["n", "s"],
            }
        ),
        "monthly": pd.DataFrame(
            {
                "loan": ["007", "007", "8"],
                "dt": ["31/01/2024", "29/02/2024", "31/01/2024"],
                "dpd": ["0", "2", "1"],
                "st": ["F", "L", ""],
                "DUE_DATE": ["never", "used", "text"],
            }
        ),
    }


MAPPING = """
mapping:
  accounts:
    source: loans
    columns:
      account_id: loan
      customer_id: client
      opened_on: {column: start, date_format: "%d/%m/%Y"}
      principal_amount: {column: cents, scale: 0.01}
  statements:
    source: monthly
    columns:
      account_id: loan
      statement_date: {column: dt, date_format: "%d/%m/%Y"}
      due_date: {column: dt, date_format: "%d/%m/%Y"}
      dpd: {column: dpd, scale: 30}
      payment_behaviour: {column: st, values: {L: late, F: paid_in_full}}
"""


def sources(frames, folder):
    folder.mkdir()
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    with duckdb.connect(str(folder / "book.duckdb")) as con:
        for name, frame in frames.items():
            con.register("frame", frame)
            con.execute(f"CREATE TABLE {name} AS SELECT * FROM frame")
    return [frames, folder, folder / "book.duckdb"]


def test_every_source_is_read_as_declared(frames, tmp_path):
    for source in sources(frames, tmp_path / "book"):
        records = load_records(source, config(MAPPING))
        assert records.tables["accounts"].to_pylist() == [
            {
                "account_id": "007",
                "customer_id": "c1",
                "opened_on": dt.date(2024, 1, 5),
                "principal_amount": 19.99,
                "branch": "n",
            },
            {
                "account_id": "8",
                "customer_id": "c2",
                "opened_on": None,
                "principal_amount": 0.3,
                "branch": "s",
            },
        ]
        rows = records.tables["statements"].to_pylist()
        assert [(r["due_date"].isoformat(), r["dpd"], r["payment_behaviour"]) for r in rows] == [
            ("2024-01-31", 0, "paid_in_full"),
            ("2024-02-29", 60, "late"),
            ("2024-01-31", 30, None),
        ]


@pytest.mark.parametrize(
    ("table", "column", "cell", "rule", "kept"),
    [
        ("loans", "start", "31/02/2024", "opened_on_not_readable", "31/02/2024 (not %d/%m/%Y)"),
        # It would be a date by the contract's own form; the lender said that it writes another.
        ("loans", "start", "2024-01-05", "opened_on_not_readable", "2024-01-05 (not %d/%m/%Y)"),
        ("loans", "start", "05/01/24", "opened_on_out_of_range", "0024-01-05"),
        ("loans", "cents", "1_000", "principal_amount_not_readable", "1_000"),
        ("loans", "cents", "much", "principal_amount_not_readable", "much"),
        ("loans", "cents", "-100", "principal_amount_out_of_range", "-1.0"),
        ("monthly", "st", "X", "payment_behaviour_unknown_value", "X"),
        ("monthly", "dpd", "0.01", "dpd_not_readable", "0.3"),
    ],
)
def test_what_cannot_be_read_as_declared_is_rejected_and_shown(
    frames, broken, table, column, cell, rule, kept
):
    frames[table].loc[1, column] = cell
    records = load_records(frames, config(MAPPING), strict=False)
    name = {"loans": "accounts", "monthly": "statements"}[table]
    found = broken(records, name)
    assert found.pop(rule) == 1
    assert set(found) <= {"account_id_unknown"}
    assert kept in records.rejected[name].to_pylist()[0].values()


def test_numbers_are_scaled_without_a_detour(frames):
    frames["loans"]["cents"] = [1999, 2**40 + 1]
    amounts = load_records(frames, config(MAPPING)).tables["accounts"].column("principal_amount").to_pylist()
    assert amounts == [19.99, (2**40 + 1) / 100]


def test_a_table_may_bear_the_name_of_another(frames):
    """What this lender calls payments are its statements: it is not read as payments, too."""
    frames["payments"] = frames.pop("monthly")
    records = load_records(frames, config(MAPPING.replace("source: monthly", "source: payments")))
    assert set(records.tables) == {"accounts", "statements"}


def test_a_mapped_attribute_of_customers(frames):
    frames["people"] = pd.DataFrame({"client": ["c1", "c2"], "edu": ["1", "2"]})
    text = MAPPING + "  customers:\n    source: people\n    columns: {customer_id: client, education: edu}\n"
    with pytest.raises(ConfigError, match="'education' is not a column of the contract"):
        load_records(frames, config(text))
    records = load_records(frames, config("attributes: [education]\n" + text))
    assert records.tables["customers"].column("education").to_pylist() == ["1", "2"]


@pytest.mark.parametrize(
    ("table", "column", "told"),
    [
        (
            "customers",
            "region",
            "; leave it out, as columns that are not mapped pass through under their own",
        ),
        ("customers", "region", "or list 'region' under 'attributes' in the records config."),
        ("customers", "custmer_id", "; did you mean 'customer_id'; if not, leave it out, as columns"),
        (
            "accounts",
            "branch",
            "; leave it out, as columns that are not mapped pass through under their own name.",
        ),
    ],
)
def test_an_extra_column_is_told_its_remedies(frames, table, column, told):
    text = f"mapping: {{{table}: {{source: loans, columns: {{{column}: branch}}}}}}"
    with pytest.raises(ConfigError, match=f"'{column}' is not a column of the contract") as caught:
        load_records(frames, config(text))
    assert told in str(caught.value)
    assert "religion'" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  accounts:", "  account:", ["'account' is not a table", "mapping.account", "mean 'accounts'"]),
        ("dpd: {", "dpds: {", ["'dpds' is not a column", "mapping.statements.columns.dpds", "mean 'dpd'"]),
        ("scale: 30}", "date_format: '%d/%m/%Y'}", ["'dpd' is no date", "mapping.statements.columns.dpd"]),
        ("values: {L: late, F: paid_in_full}", "scale: 2", ["'payment_behaviour' is no number"]),
        ("customer_id: client", "customer_id: {column: client, values: {a: b}}", ["'customer_id' is an id"]),
    ],
)
def test_a_mapping_that_no_contract_fits_is_refused_by_name(frames, old, new, told):
    assert old in MAPPING
    with pytest.raises(ConfigError) as caught:
        load_records(frames, config(MAPPING.replace(old, new, 1)))
    for part in told:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "source: loans",
            "source: loan",
            ["'loan', which the mapping names for the table 'accounts'", "'loans'"],
        ),
        ("column: cents", "column: cent", ["'cent' is missing", "mapping.accounts.columns.principal_amount"]),
        ("account_id: loan", "account_id: Loan", ["the column 'Loan' is missing", "did you mean 'loan'"]),
    ],
)
def test_a_mapping_that_the_source_does_not_fit_is_refused_by_name(frames, old, new, told):
    assert old in MAPPING
    with pytest.raises(RecordsError) as caught:
        load_records(frames, config(MAPPING.replace(old, new, 1)))
    for part in told:
        assert part in str(caught.value)


def test_dates_that_are_dates_need_no_format(frames):
    frames["loans"]["start"] = [dt.date(2024, 1, 5), None]
    with pytest.raises(RecordsError, match=r"'start' is of type DATE.*take date_format away"):
        load_records(frames, config(MAPPING))


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("{column: x, date_format: '%d/%Y'}", "day, month and year once each"),
        ("{column: x, date_format: '%d/%m/%Y %z'}", "no time zone"),
        ("{column: x, scale: 0}", "would wipe out every amount"),
        ("{column: x, scale: .inf}", "scale"),
        ("{colum: x}", "colum: unknown key"),
        ("{}", "Field required"),
        ("3", "mapping.accounts.columns.opened_on"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(cell, told):
    with pytest.raises(ConfigError) as caught:
        config(f"mapping: {{accounts: {{columns: {{opened_on: {cell}}}}}}}")
    assert told in str(caught.value)


def test_words_may_be_numbers_and_booleans_in_yaml(frames):
    frames["payments"] = pd.DataFrame(
        {"account_id": ["8"] * 3, "paid_on": ["2024-02-01"] * 3, "amount": [1, 2, 3], "bank": ["1", "0", "?"]}
    )
    text = (
        MAPPING
        + "  payments:\n    columns:\n      technical: {column: bank, values: {1: true, 0: false, '?': ''}}\n"
    )
    records = load_records(frames, config(text))
    assert records.tables["payments"].column("technical").to_pylist() == [True, False, None]


@pytest.mark.parametrize("name", ['q"uote', "o'clock", "a;b", "x -- y", "列"])
def test_no_name_and_no_word_gets_into_the_sql(frames, name):
    frames["monthly"] = frames["monthly"].rename(columns={"st": name}).replace("L", name)
    mapped = config(MAPPING)
    cell = {"column": name, "values": {name: "late", "F": "inactive"}}
    columns = mapped.mapping["statements"].model_dump()["columns"] | {"payment_behaviour": cell}
    data = mapped.model_dump() | {
        "mapping": {
            "accounts": mapped.mapping["accounts"].model_dump(),
            "statements": {"source": "monthly", "columns": columns},
        }
    }
    records = load_records(frames, build_config(RecordsConfig, data))
    assert records.tables["statements"].column("payment_behaviour").to_pylist() == ["inactive", "late", None]


class TestSuggest:
    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ("cust_id", "customer_id"),
            ("Client", "customer_id"),
            ("LoanID", "account_id"),
            ("contract_number", "account_id"),
            ("start_dt", "opened_on"),
            ("due", "due_date"),
            ("emi_amt", "amount_due"),
            ("repaid_dt", "paid_on"),
            ("seq", "instalment_no"),
            ("days_past_due", "dpd"),
            ("bal", "balance_amount"),
        ],
    )
    def test_common_names_are_known(self, theirs, ours):
        assert similarity(theirs, ours) >= 0.9

    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [("colour", "customer_id"), ("branch", "balance_amount"), ("x", "dpd"), ("", "amount")],
    )
    def test_other_names_are_not(self, theirs, ours):
        assert similarity(theirs, ours) < 0.6

    def test_the_contracts_own_names_are_found_for_sure(self, lender, write_folder, tmp_path):
        folder = write_folder(lender(), tmp_path / "records", "csv")
        proposed = config(suggest_mapping(folder))
        for name, table in proposed.mapping.items():
            assert table.source == name
            assert {ours: cell.column for ours, cell in table.columns.items() if ours != cell.column} == {}
        assert load_records(folder, proposed).fingerprint == load_records(folder).fingerprint

    def test_a_folder_of_nothing_known(self, tmp_path):
        (tmp_path / "weather.csv").write_text("wind,rain\n1,2\n")
        text = suggest_mapping(tmp_path)
        assert config(text) == RecordsConfig()
        assert "# not used: weather" in text

    def test_what_cannot_be_read_is_named_and_the_rest_is_proposed(self, tmp_path):
        (tmp_path / "loans.csv").write_text("loan_id,cust_id,start\n1,2,2024-01-05\n")
        (tmp_path / "notes.csv").write_bytes(b"a\0b")
        (tmp_path / "empty.parquet").write_bytes(b"")
        text = suggest_mapping(tmp_path)
        assert set(config(text).mapping) == {"accounts"}
        assert "# cannot be read: there is a NUL byte [notes.csv, line 1]" in text
        assert "# cannot be read: the file is empty (0 bytes) [empty.parquet]" in text

    def test_a_database_is_read_as_well(self, frames, tmp_path):
        path = sources(frames, tmp_path / "book")[2]
        proposed = config(suggest_mapping(path)).mapping
        assert proposed["accounts"].columns["account_id"].column == "loan"
        assert proposed["statements"].source == "monthly"

    def test_names_cannot_break_out_of_the_yaml(self, tmp_path):
        evil = "cust_id: x\\n# }"
        pd.DataFrame({"loan_id": ["1"], evil: ["2"], "start": ["2024-01-05"]}).to_csv(
            tmp_path / "loans: {}.csv", index=False
        )
        proposed = config(suggest_mapping(tmp_path))
        assert proposed.mapping["accounts"].source == "loans: {}"

    def test_no_values_of_the_book_are_shown(self, tmp_path):
        (tmp_path / "loans.csv").write_text("loan_id,cust_id,start\nSECRET1,SECRET2,13/01/2024\n")
        text = suggest_mapping(tmp_path)
        assert 'opened_on: {column: start, date_format: "%d/%m/%Y"}' in text
        assert "SECRET" not in text
        assert "13" not in text

    @pytest.mark.parametrize(
        ("cells", "told"),
        [
            # One broken cell of a hundred and blank ones hide nothing; two do.
            (["13/01/2024"] * 99 + ["soon"] + [""] * 50, '{column: start, date_format: "%d/%m/%Y"} #'),
            (
                ["13/01/2024"] * 98 + ["soon"] * 2,
                "start # low (0.67); the dates are written otherwise, add date_format",
            ),
            # All but one could be either: that one is the thirteenth.
            (["05/01/2024"] * 199 + ["13/01/2024"], '{column: start, date_format: "%d/%m/%Y"} #'),
            (["05/01/2024"] * 199 + ["01/13/2024"], '{column: start, date_format: "%m/%d/%Y"} #'),
            (["13/01/24"] * 2, '{column: start, date_format: "%d/%m/%y"} #'),
            (["13/01/2024 23:59"] * 2, '{column: start, date_format: "%d/%m/%Y %H:%M"} #'),
            (["20240113 23:59:59"] * 2, '{column: start, date_format: "%Y%m%d %H:%M:%S"} #'),
            (["2024-01-13"] * 99 + ["soon"], "start #"),
            (["2024-01-13 23:59:59", "2024-01-13T23:59:59.5+08:00", "2024-01-13 23:59Z"], "start #"),
        ],
    )
    def test_nearly_all_cells_decide_on_a_date_format(self, tmp_path, cells, told):
        rows = "".join(f"{i},2,{cell}\n" for i, cell in enumerate(cells))
        (tmp_path / "loans.csv").write_text(f"loan_id,cust_id,start\n{rows}")
        text = suggest_mapping(tmp_path)
        assert f"opened_on: {told}" in text
        assert ("add date_format" in text) == ("written otherwise" in told)
        assert config(text).mapping["accounts"].columns["opened_on"].column == "start"

    @pytest.mark.parametrize(
        ("cell", "told"),
        [
            ("30,900.00", "; the numbers have thousands commas, export them as 1234.5"),
            ("12.5%", "; the numbers have per cent signs, export them as 1234.5"),
            ("30.900,00", "; the numbers are not plain ones, export them as 1234.5"),
            ("£3", "; the numbers are not plain ones, export them as 1234.5"),
            ("30900.00", ""),
            ("-3e4", ""),
            ("", ""),
        ],
    )
    def test_numbers_that_are_not_plain_are_noted(self, tmp_path, cell, told):
        rows = "".join(f'{i},2,2024-01-05,"{cell}"\n' for i in range(99)) + '99,2,2024-01-05,"n/a"\n' * (
            cell != ""
        )
        (tmp_path / "loans.csv").write_text(f"loan_id,cust_id,start,principal\n{rows}")
        (line,) = (row for row in suggest_mapping(tmp_path).splitlines() if "principal" in row)
        assert line.endswith(f"(0.95){told}")

    def test_where_no_file_can_be_read_nothing_is_proposed(self, tmp_path, capsys):
        for name in ("loans", "people"):
            (tmp_path / f"{name}.csv").write_bytes("借据号,客户编号\n1,2\n".encode("gb18030"))
        assert run(["validate", "--records", str(tmp_path), "--suggest"]) == 3
        said = capsys.readouterr()
        assert said.out == ""
        assert (
            "no table can be read: the bytes are not utf-8 [loans.csv, line 1]; set csv_encoding" in said.err
        )
        arguments = ["validate", "--records", str(tmp_path), "--suggest", "--set", "csv_encoding=gb18030"]
        assert run(arguments) == 0

    def test_dates_that_can_be_read_two_ways_are_left_to_a_person(self, tmp_path):
        (tmp_path / "loans.csv").write_text("loan_id,cust_id,start\n1,2,05/01/2024\n")
        text = suggest_mapping(tmp_path)
        assert "add date_format (%d/%m/%Y or %m/%d/%Y)" in text
        assert config(text).mapping["accounts"].columns["opened_on"].date_format is None


def test_ten_minutes_from_a_foreign_folder_to_validated_records(tmp_path, capsys):
    """Other names, dd/mm/yyyy, cents: propose, correct by hand, validate."""
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "clients.csv").write_text("client,Gender\nc1,f\nc2,m\n")
    (folder / "loans.csv").write_text(
        "loan_id,cust_id,start_dt,loan_amt\n007,c1,05/01/2024,120000\n8,c2,,1999\n"
    )
    (folder / "schedule.csv").write_text(
        "loan_id,seq,due,emi_amt\n007,1,05/02/2024,10000\n007,2,05/03/2024,10000\n8,1,01/02/2024,1999\n"
    )
    (folder / "repayments.csv").write_text(
        "loan_id,repaid_dt,amt\n007,25/02/2024,10000\n007,25/02/2024,5000\n"
    )
    before = sorted(tmp_path.rglob("*"))

    assert run(["validate", "--records", str(folder)]) == 3
    assert "the table 'accounts' is missing" in capsys.readouterr().err
    assert run(["validate", "--records", str(folder), "--suggest"]) == 0
    proposal = capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written"

    # Taken as it is, the ambiguous due dates are rejected, not guessed.
    path = tmp_path / "records.yaml"
    path.write_text(proposal, encoding="utf-8")
    assert run(["validate", "--records", str(folder), "--config", str(path)]) == 3
    assert "due_date_not_readable" in capsys.readouterr().out

    corrected = proposal.replace("due_date: due ", "due_date: {column: due, date_format: '%d/%m/%Y'} ")
    corrected = corrected.replace(
        "opened_on: start_dt ", "opened_on: {column: start_dt, date_format: '%d/%m/%Y'} "
    )
    corrected = corrected.replace("loan_amt #", "{column: loan_amt, scale: 0.01} #")
    corrected = corrected.replace("emi_amt #", "{column: emi_amt, scale: 0.01} #")
    corrected = corrected.replace(" amt #", " {column: amt, scale: 0.01} #")
    path.write_text(corrected, encoding="utf-8")
    out = tmp_path / "out"
    assert run(["validate", "--records", str(folder), "--config", str(path), "--out", str(out)]) == 0
    assert "can be used" in capsys.readouterr().out

    records = load_records(folder, load_config(RecordsConfig, path))
    assert set(records.tables) == {"customers", "accounts", "instalments", "payments"}
    assert records.tables["instalments"].column("due_date").to_pylist()[1] == dt.date(2024, 3, 5)
    assert records.tables["payments"].column("amount").to_pylist() == [50.0, 100.0]
    assert records.tables["accounts"].column("principal_amount").to_pylist() == [1200.0, 19.99]
