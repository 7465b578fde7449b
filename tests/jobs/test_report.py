"""The aged book from the command line: a page, tables beside it, and one JSON object."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from overdue_ml import cli
from overdue_ml.errors import ConfigError
from overdue_ml.jobs.report import run_report
from overdue_ml.records import simulate_to

DATE = "2022-06-30"


@pytest.fixture(scope="module")
def lender(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book") / "lender"
    simulate_to(folder, 200, seed=3, months=8)
    return folder


def test_the_page_and_its_tables(lender, tmp_path, capsys):
    words = ["report", "--records", str(lender), "--as-of", DATE, "--by", "product,region", "--lang", "zh"]
    assert cli.run([*words, "--out", str(tmp_path / "new" / "b.html"), "--months", "3"]) == 0
    told = capsys.readouterr().out
    page = (tmp_path / "new" / "b.html").read_text(encoding="utf-8")
    assert "账龄报告" in page
    folder = tmp_path / "new" / "b_tables"
    ageing = pd.read_parquet(folder / "ageing.parquet")
    assert len(set(ageing["as_of_date"])) == 4
    last = ageing[ageing["as_of_date"].astype(str) == DATE]
    assert f"{last['accounts'].iloc[0]:,}" in told
    assert pd.read_csv(folder / "ageing.csv")["amount"].sum() == pytest.approx(ageing["amount"].sum())
    rates = pd.read_parquet(folder / "group_rates.parquet")
    assert set(rates["column"]) == {"product", "region"}
    sums = rates.groupby("column")["amount"].sum()
    assert sums.to_list() == pytest.approx([last["amount"].sum()] * 2)
    assert sorted(path.stem for path in folder.glob("*.csv")) == sorted(
        p.stem for p in folder.glob("*.parquet")
    )
    # Again the same bytes.
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert cli.run([*words, "--out", str(tmp_path / "new" / "b.html"), "--months", "3"]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_one_json_object(lender, tmp_path, capsys):
    words = ["report", "--records", str(lender), "--as-of", DATE, "--out", str(tmp_path / "b.html"), "--json"]
    assert cli.run(words) == 0
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert told["as_of"] == DATE
    assert told["tables"]["ageing"][0]["accounts_growth"] is None
    assert set(told["tables"]) == {
        "ageing", "totals", "rolls", "cures", "vintages", "first_payment", "groups", "group_rates",
    }  # fmt: skip


def test_statements_without_amounts_are_aged_by_accounts(tmp_path, capsys):
    """Of no amount there is no share; the account is five days late."""
    pd.DataFrame({"account_id": ["k"], "customer_id": ["c"], "opened_on": ["2024-01-05"]}).to_csv(
        tmp_path / "accounts.csv", index=False
    )
    pd.DataFrame({"account_id": ["k"], "statement_date": ["2024-01-31"], "dpd": [5]}).to_csv(
        tmp_path / "statements.csv", index=False
    )
    words = ["report", "--records", str(tmp_path), "--as-of", "2024-01-31", "--out", str(tmp_path / "b.html")]
    assert cli.run(words) == 0
    told = capsys.readouterr().out
    assert "nan" not in told
    (late,) = [line.split() for line in told.splitlines() if line.strip().startswith("1-30")]
    assert late == ["1-30", "1", "100.0%", "0"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--as-of", "2022-02-30"], 2, "not a date"),
        (["--as-of", DATE, "--by", "colour"], 2, "no column 'colour'"),
        (["--as-of", DATE, "--lang", "fr"], 2, "'fr'"),
        (["--as-of", DATE, "--months", "0"], 2, "number of months"),
        (["--as-of", "2001-01-31"], 5, "no account was in the book"),
        (["--as-of", "0001-06-30"], 2, "0001-06-30 is too far away"),
    ],
)
def test_what_cannot_be_reported_is_one_sentence(lender, tmp_path, capsys, words, code, said):
    out = tmp_path / "b.html"
    assert cli.run(["report", "--records", str(lender), "--out", str(out), *words]) == code
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_said(lender, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="a file stands there"):
        run_report(lender, pd.Timestamp(DATE).date(), tmp_path / "file" / "b.html")
