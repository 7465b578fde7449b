"""A folder of parts is one table, or is refused by name; never a part of the rows."""

from __future__ import annotations

import hashlib
import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from overdue_ml.errors import RecordsError
from overdue_ml.records import load_records


@pytest.fixture(params=["csv", "parquet"])
def kind(request):
    return request.param


@pytest.fixture
def folder(lender, write_folder, tmp_path, kind):
    """Sound records, the statements in three parts beside the writer's own marks."""
    frames = lender()
    folder = write_folder(frames, tmp_path / "records", kind)
    whole = folder / f"statements.{kind}"
    parts = folder / "statements"
    parts.mkdir()
    for name, rows in (
        ("part-00001", slice(0, 3)),
        ("part-00000", slice(3, 3)),
        ("part-00002", slice(3, 10)),
    ):
        if kind == "csv":
            frames["statements"].iloc[rows].to_csv(parts / f"{name}.csv", index=False)
        else:
            pq.write_table(pq.read_table(whole)[rows], parts / f"{name}.parquet")
    (parts / "_SUCCESS").write_bytes(b"")
    (parts / ".part-00000.crc").write_bytes(b"crc")
    whole.unlink()
    return folder


def refusal(folder, *told: str) -> None:
    with pytest.raises(RecordsError) as caught:
        load_records(folder, strict=False)
    for part in told:
        assert part in str(caught.value)


def change(path, edit) -> None:
    if path.suffix == ".csv":
        edit(pd.read_csv(path, dtype=str)).to_csv(path, index=False)
    else:
        pq.write_table(
            pa.Table.from_pandas(edit(pq.read_table(path).to_pandas()), preserve_index=False), path
        )


def test_parts_are_one_table(folder, lender):
    assert load_records(folder).tables["statements"].equals(load_records(lender()).tables["statements"])


def test_a_row_may_not_stand_in_two_parts(folder, kind):
    shutil.copy(folder / "statements" / f"part-00001.{kind}", folder / "statements" / f"part-00003.{kind}")
    records = load_records(folder, strict=False)
    assert {r.rule: r.rows_rejected for r in records.report.rules if r.rows_rejected} == {"row_repeated": 3}


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda f: f.drop(columns="dpd"), "the column 'dpd' is missing"),
        (lambda f: f.assign(more=1), "the column 'more' is new"),
        (lambda f: f[f.columns[::-1]], "the columns stand in another order"),
    ],
)
def test_parts_with_other_columns_are_refused(folder, kind, edit, told):
    change(folder / "statements" / f"part-00002.{kind}", edit)
    refusal(folder, told, f"statements/part-00002.{kind}", f"statements/part-00000.{kind}")


def test_parts_with_other_types_are_refused(folder, kind):
    if kind == "csv":
        pytest.skip("the cells of a CSV are text")
    change(folder / "statements" / "part-00002.parquet", lambda f: f.assign(dpd=f["dpd"].astype(str)))
    refusal(folder, "the column 'dpd' is of type", "statements/part-00002.parquet")


def test_a_part_in_which_a_column_is_empty_throughout_is_no_other_type(folder, kind, lender):
    if kind == "csv":
        pytest.skip("the cells of a CSV are text")
    for name in ("part-00000", "part-00001"):  # before and after a part that knows the type
        change(folder / "statements" / f"{name}.parquet", lambda f: f.assign(payment_behaviour=None))
    rows = load_records(folder).tables["statements"].column("payment_behaviour").to_pylist()
    assert len(rows) == 10
    assert rows.count(None) > rows.count("late") > 0


def test_what_is_no_part_is_named(folder, kind):
    (folder / "statements" / f"rest.{kind}").write_bytes(b"x")
    refusal(folder, f"'rest.{kind}' is not a part of a table", "folder statements")
    (folder / "statements" / f"rest.{kind}").unlink()
    (folder / "statements" / "month=1").mkdir()
    refusal(folder, "'month=1' is not a part of a table")


def test_parts_of_two_kinds_no_parts_and_a_file_beside_them(folder, kind):
    other = "csv" if kind == "parquet" else "parquet"
    (folder / "statements" / f"part-9.{other}").write_bytes(b"x")
    refusal(folder, "the parts are of two kinds", "folder statements")
    (folder / "statements" / f"part-9.{other}").unlink()
    (folder / f"statements.{other}").write_bytes(b"x")
    refusal(folder, "the table 'statements' stands there twice")
    (folder / f"statements.{other}").unlink()
    (folder / "labels").mkdir()
    (folder / f"labels.{kind}").unlink()
    refusal(folder, "there is no part", "folder labels")


def test_damage_is_named_by_its_part(folder, kind):
    part = folder / "statements" / f"part-00002.{kind}"
    part.write_bytes(part.read_bytes()[:-3])
    refusal(folder, f"statements/part-00002.{kind}")
    part.write_bytes(b"")
    refusal(folder, "the file is empty (0 bytes)", f"statements/part-00002.{kind}")


def test_checksums_of_parts_are_held(folder, kind):
    name = f"statements/part-00002.{kind}"
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "SHA256SUMS").write_text(f"{digest}  {name}\n")
    load_records(folder)
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  {name}\n")
    refusal(folder, "does not match its checksum", f"{name} in SHA256SUMS")
