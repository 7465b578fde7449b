"""The command line: what each verb prints, and one clear sentence with its exit code for bad input."""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from overdue_ml import cli

TAIWAN = Path(__file__).parents[1] / "data" / "taiwan"
N_CUSTOMERS = 600


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one command."""
    code = cli.run([str(a) for a in args])
    out = capsys.readouterr()
    return code, out.out, out.err


def sentence(err: str) -> str:
    """The error line; there must be exactly one, and no traceback."""
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if not line.startswith("- ")]
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    assert lines[0].endswith(".")
    return lines[0]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with records (CSV) and a champion, made through the command line."""
    root = tmp_path_factory.mktemp("cli")
    records = root / "records"
    records.mkdir()
    accounts = pd.read_parquet(TAIWAN / "accounts.parquet").head(N_CUSTOMERS)
    accounts.to_csv(records / "accounts.csv", index=False)
    for name, key in (("customers", "customer_id"), ("labels", "customer_id"), ("statements", "account_id")):
        frame = pd.read_parquet(TAIWAN / f"{name}.parquet")
        frame[frame[key].isin(accounts[key])].to_csv(records / f"{name}.csv", index=False)
    train = [
        "train", "--records", records, "--models", root / "models",
        "--set", "model.n_estimators=20", "--set", "model.cv=2", "--set", "evaluation.n_boot=0",
        "--set", "split.test_share=0.5",
    ]  # fmt: skip
    assert cli.run([str(a) for a in train]) == 0
    promote = ["promote", "1", "--models", root / "models", "--by", "tester"]
    assert cli.run([str(a) for a in promote]) == 0
    return root


@pytest.fixture
def workspace(line: Path, tmp_path: Path) -> Path:
    """A copy of the workspace, to be broken; the store is found in its new place."""
    shutil.copytree(line, tmp_path / "w")
    return tmp_path / "w"


def score_args(root: Path, *more: object) -> list[object]:
    return [
        "score", "--records", root / "records", "--as-of", "2005-09-30", "--models", root / "models",
        "--out", root / "out", *more,
    ]  # fmt: skip


def test_the_verbs_work_one_after_the_other(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "validate", "--records", workspace / "records", "--out", workspace / "checked")
    assert code == 0
    assert "can be used" in out
    assert json.loads((workspace / "checked" / "report.json").read_text())["passed"] is True
    code, out, err = run(capsys, *score_args(workspace))
    assert code == 0, err
    assert "Scored 600 customers" in out
    assert "base + contributions = log-odds" in out
    folder = workspace / "out" / "as_of=2005-09-30"
    first = pd.read_parquet(folder / "scores.parquet").sort_values("rank")["customer_id"].iloc[0]
    code, out, _ = run(capsys, "explain", "--scores", folder, "--customer", first, "--lang", "zh")
    assert code == 0
    assert "第1位，共600户" in out
    assert (folder / "cards" / f"{first}_zh.html").is_file()
    code, out, _ = run(capsys, "monitor", "--scores", folder, "--outcomes", workspace / "records", "--json")
    assert code == 0
    assert {"auc", "brier"} <= {row["metric"] for row in json.loads(out)["realised"]}
    code, out, _ = run(capsys, *score_args(workspace, "--json"))
    assert code == 0
    assert json.loads(out)["already_done"] is True


Breaker = Callable[[Path], None]


def edit(name: str, change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> Breaker:
    """Change one CSV of the records."""

    def breaker(root: Path) -> None:
        path = root / "records" / f"{name}.csv"
        frame = pd.read_csv(path, dtype=str)
        changed = change(frame)
        (frame if changed is None else changed).to_csv(path, index=False)

    return breaker


def cell(name: str, column: str, value: str, rows: int = 40) -> Breaker:
    """Put a value into the first rows of a column."""

    def change(frame: pd.DataFrame) -> None:
        frame.loc[: rows - 1, column] = value

    return edit(name, change)


def as_parquet(name: str, change: Callable[[pd.DataFrame], pa.Table]) -> Breaker:
    """Replace one CSV by a Parquet file with checksums."""

    def breaker(root: Path) -> None:
        path = root / "records" / f"{name}.csv"
        pq.write_table(change(pd.read_csv(path)), path.with_suffix(".parquet"), write_page_checksum=True)
        path.unlink()

    return breaker


def doubles_for_dates(frame: pd.DataFrame) -> pa.Table:
    frame["statement_date"] = 38_000.0
    return pa.Table.from_pandas(frame)


def flip_a_bit(root: Path) -> None:
    as_parquet("statements", lambda f: pa.Table.from_pandas(f))(root)
    path = root / "records" / "statements.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def truncate(root: Path) -> None:
    path = root / "records" / "statements.csv"
    path.write_bytes(path.read_bytes()[:-37])


def duplicate(frame: pd.DataFrame) -> pd.DataFrame:
    copy = frame.head(20).assign(paid_amount="1")
    return pd.concat([frame, copy])


def blank_beside_long_ids(frame: pd.DataFrame) -> None:
    frame["customer_id"] = [f"{100000000000000000 + i}" for i in range(len(frame))]
    frame.loc[0, "customer_id"] = ""
    frame.loc[1, "customer_id"] = "007"


BAD_RECORDS: dict[str, tuple[Breaker, str]] = {
    "missing table": (lambda r: (r / "records/statements.csv").unlink(), "the table 'statements' is missing"),
    "missing column": (
        edit("statements", lambda f: f.drop(columns="statement_date")),
        "'statement_date' is missing",
    ),
    "renamed column": (
        edit("accounts", lambda f: f.rename(columns={"customer_id": "customerid"})),
        "rename 'customerid' to 'customer_id'",
    ),
    "wrong type": (as_parquet("statements", doubles_for_dates), "'statement_date' is of type DOUBLE"),
    "empty table": (edit("accounts", lambda f: f.head(0)), "the table has no rows"),
    "empty file": (lambda r: (r / "records/accounts.csv").write_bytes(b""), "0 bytes"),
    "duplicate key": (edit("statements", duplicate), "key_duplicate 40"),
    "unknown account": (cell("statements", "account_id", "X1", 1), "limit 0.00%"),
    "NaN amount": (cell("statements", "balance_amount", "NaN"), "balance_amount_not_finite 40"),
    "infinite amount": (cell("statements", "balance_amount", "inf"), "balance_amount_not_finite 40"),
    "1e400": (cell("statements", "balance_amount", "1e400"), "balance_amount_not_finite 40"),
    "thousands separator": (
        cell("statements", "balance_amount", "1,234.50"),
        "balance_amount_not_readable 40",
    ),
    "negative limit": (cell("accounts", "credit_limit_amount", "-5"), "credit_limit_amount_out_of_range 40"),
    "30 February": (cell("statements", "statement_date", "2005-02-30"), "statement_date_not_readable 40"),
    "year 9999": (cell("statements", "due_date", "9999-12-31"), "due_date_out_of_range 40"),
    "truncated CSV": (truncate, "the file ends within a line"),
    "bit-flipped Parquet": (flip_a_bit, "the Parquet file is damaged"),
    "blank among 18-digit ids": (edit("customers", blank_beside_long_ids), "customer_id_missing 1"),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_bad_records_give_one_sentence_and_exit_code_3(
    name: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    breaker, expected = BAD_RECORDS[name]
    breaker(workspace)
    config = workspace / "records.yaml"
    config.write_text("max_rejected_share: 0.0\n")
    code, out, err = run(capsys, *score_args(workspace, "--records-config", config))
    assert code == 3, err
    assert expected in sentence(err)
    assert out == ""
    assert not (workspace / "out").exists()


def test_a_few_bad_rows_are_set_aside_with_their_rule_and_the_rest_is_scored(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell("statements", "balance_amount", "1e400", 1)(workspace)
    code, _, err = run(capsys, *score_args(workspace))
    assert code == 0, err
    rejected = pd.read_parquet(workspace / "out/as_of=2005-09-30/rejected/statements.parquet")
    assert rejected["rule"].tolist() == ["balance_amount_not_finite"]
    assert rejected["balance_amount"].tolist() == ["1e400"]


def test_ids_keep_their_zeros_and_all_their_digits(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accounts = pd.read_csv(workspace / "records/accounts.csv", dtype=str)
    old = accounts["customer_id"].tolist()
    new = {c: f"{100000000000000000 + i}" for i, c in enumerate(old)} | {old[0]: "007", old[1]: "NA"}
    for name in ("accounts", "customers", "labels"):
        edit(name, lambda f: f.assign(customer_id=f["customer_id"].map(new)))(workspace)
    code, _, err = run(capsys, *score_args(workspace))
    assert code == 0, err
    ids = set(pd.read_parquet(workspace / "out/as_of=2005-09-30/scores.parquet")["customer_id"])
    assert ids == set(new.values())


def test_usage_and_config_errors_give_exit_code_2(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = workspace
    bad = root / "bad.yaml"
    bad.write_text("tiersss: []\n")
    for args, expected in (
        (score_args(root, "--config", bad), "tiersss: unknown key"),
        (score_args(root, "--set", "reasons=9"), "reasons"),
        (score_args(root, "--set", "reasons"), "is not an override"),
        (score_args(root, "--config", root / "none.yaml"), "cannot be read"),
        (
            ["score", "--records", root / "records", "--as-of", "2005-02-30", "--out", root / "out"],
            "is not a date",
        ),
        (["explain", "--scores", root, "--customer", "C00001"], "there is no scoring run"),
    ):
        code, out, err = run(capsys, *args)
        assert code == 2, err
        assert expected in sentence(err)
        assert out == ""
    code, _, err = run(capsys, "score")
    assert code == 2
    assert "--records" in err
    code, _, err = run(capsys, "nonsense")
    assert code == 2
    assert not (root / "out").exists()


def test_an_as_of_date_before_any_record_gives_exit_code_5(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = score_args(workspace)
    args[args.index("2005-09-30")] = "1999-01-01"
    code, out, err = run(capsys, *args)
    assert code == 5
    assert "nothing is known of any customer on 1999-01-01" in sentence(err)
    assert out == ""
    assert not (workspace / "out").exists()


def _booster(root: Path) -> Path:
    return next(root.glob("models/artifacts/**/booster_0.txt"))


def test_a_changed_model_file_gives_exit_code_4_and_no_score(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original = Path(_booster(workspace))
    original.write_text(original.read_text().replace("leaf_value=", "leaf_value=1", 1))
    code, out, err = run(capsys, *score_args(workspace))
    assert code == 4
    assert "changed after it was registered" in sentence(err)
    assert out == ""
    assert not (workspace / "out").exists()


def test_no_champion_and_an_unknown_version_give_exit_code_4(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, *score_args(workspace, "--model", "overdue@challenger"))
    assert code == 4
    for part in (
        "there is no model 'overdue@challenger'",
        "versions of 'overdue' one, as 1;",
        "--alias challenger",
    ):
        assert part in sentence(err)
    code, _, err = run(capsys, "promote", "77", "--models", workspace / "models", "--by", "tester")
    assert code == 4
    for part in ("overdue/77", "versions of 'overdue' one, as 1;", "--alias champion"):
        assert part in sentence(err)
    code, _, err = run(capsys, *score_args(workspace, "--model", "it's@champion"))
    assert code == 4
    assert "there is no model 'it's@champion' [registry in models/]; train a model" in sentence(err)
    code, _, err = run(capsys, "promote", "1", "--alias", "king", "--models", workspace / "models")
    assert code == 4
    assert "king" in sentence(err)


def test_a_model_of_other_features_gives_exit_code_4(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if this version computed one feature otherwise than the one that trained the model."""
    monkeypatch.setattr("overdue_ml.features.registry.ENGINE_VERSION", 99)
    code, _, err = run(capsys, *score_args(workspace))
    assert code == 4
    assert "other feature definitions" in sentence(err)
    assert not (workspace / "out").exists()


def test_a_disk_that_refuses_gives_exit_code_6_whatever_was_wanted_of_it(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file that vanished from a finished run, which nothing else looks for.
    assert run(capsys, *score_args(workspace))[0] == 0
    folder = workspace / "out" / "as_of=2005-09-30"
    (folder / "scores.parquet").unlink()
    code, out, err = run(capsys, "monitor", "--scores", folder, "--outcomes", workspace / "records")
    assert (code, out) == (6, "")
    for part in ("cannot be used: FileNotFoundError", str(folder / "scores.parquet"), "run again"):
        assert part in sentence(err)


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_file_in_place_of_the_folder_of_runs_gives_exit_code_2(
    workspace: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    (workspace / "out").write_text("mine")
    for out_folder in (workspace / "out", workspace / "out" / "below"):
        args = score_args(workspace, *more)
        args[args.index("--out") + 1] = out_folder
        code, out, err = run(capsys, *args)
        assert (code, out) == (2, "")
        for part in ("a file stands there", f"[{workspace / 'out'}]", "expected a folder or a new name"):
            assert part in sentence(err)
    assert (workspace / "out").read_text() == "mine"


@pytest.mark.parametrize("day", ["0001-01-01", "1899-12-31", "9001-01-01", "9999-12-31"])
def test_dates_at_the_ends_of_the_calendar_are_refused_in_every_verb(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, day: str
) -> None:
    given = ["--records", tmp_path, "--as-of", day]
    for args in (["score", *given, "--out", tmp_path / "out"], ["report", *given], ["validate", *given]):
        code, out, err = run(capsys, *args)
        assert (code, out) == (2, "")
        assert f"{day} is too far away [--as-of]; expected a day from 1900-01-01 to 9000-12-31." in sentence(
            err
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_what_a_disk_says_in_any_verb_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, code: int, tmp_path: Path
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(code, os.strerror(code), str(tmp_path / "x"))

    monkeypatch.setattr("overdue_ml.jobs.validate.run_validate", refuse)
    found, out, err = run(capsys, "validate", "--records", tmp_path)
    assert (found, out) == (6, "")
    assert os.strerror(code) in sentence(err)
    assert f"[{tmp_path / 'x'}]" in sentence(err)


def test_a_disk_that_is_full_where_duckdb_writes_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A limit on the size of files stands for it, and one on what DuckDB may put on a disk."""

    def write(*_args: object, **_options: object) -> None:
        with duckdb.connect() as con:
            con.execute(f"COPY (SELECT random() AS a FROM range(1000000)) TO '{tmp_path / 'x.parquet'}'")

    monkeypatch.setattr("overdue_ml.jobs.validate.run_validate", write)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        code, out, err = run(capsys, "validate", "--records", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (code, out) == (6, "")
    for part in ("cannot be used: IO Error", os.strerror(errno.EFBIG), str(tmp_path / "x.parquet")):
        assert part in sentence(err)


def test_memory_that_does_not_suffice_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def sort(*_args: object, **_options: object) -> None:
        with duckdb.connect() as con:
            con.execute(f"SET memory_limit = '30MB'; SET temp_directory = '{tmp_path}'")
            con.execute("SET max_temp_directory_size = '1MB'")
            con.execute("SELECT hash(i)::VARCHAR AS a, random() FROM range(3000000) t(i) ORDER BY a")

    def allocate(*_args: object, **_options: object) -> None:
        np.empty(1 << 58, dtype=np.int8)

    for fail, words in [(sort, "Out of Memory"), (allocate, "Unable to allocate 256. PiB")]:
        monkeypatch.setattr("overdue_ml.jobs.validate.run_validate", fail)
        code, out, err = run(capsys, "validate", "--records", tmp_path)
        assert (code, out) == (6, "")
        for part in ("memory does not suffice", words, "customers at a time", "run again"):
            assert part in sentence(err)


@pytest.mark.parametrize("error", [ConnectionResetError(errno.ECONNRESET, "reset"), OSError("no number")])
def test_what_no_disk_says_stays_a_bug(
    monkeypatch: pytest.MonkeyPatch, error: OSError, tmp_path: Path
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr("overdue_ml.jobs.validate.run_validate", fail)
    with pytest.raises(type(error)):
        cli.run(["validate", "--records", str(tmp_path)])


def test_validate_counts_and_writes_what_it_rejects(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell("statements", "dpd", "-1", 30)(workspace)
    code, out, _ = run(capsys, "validate", "--records", workspace / "records", "--out", workspace / "checked")
    assert code == 3
    assert "cannot be used" in out
    assert "dpd_out_of_range" in out
    assert len(pd.read_parquet(workspace / "checked/rejected/statements.parquet")) == 30


def test_progress_lines_go_to_standard_error(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = run(capsys, *score_args(workspace))
    assert "- ranking 600 customers" in err
    assert "- " not in out.splitlines()[0]


def test_a_real_process_prints_no_traceback_and_returns_the_code(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "overdue_ml.cli", "validate", "--records", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "the records were not found" in sentence(done.stderr)


def test_scores_hold_dates_not_timestamps(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *score_args(workspace))
    schema = pq.read_schema(workspace / "out/as_of=2005-09-30/scores.parquet")
    assert schema.field("as_of_date").type == pa.date32()
    assert schema.field("next_due_date").type == pa.date32()
    first = pd.read_parquet(workspace / "out/as_of=2005-09-30/scores.parquet")["next_due_date"].iloc[0]
    assert first == dt.date(2005, 10, 31)
