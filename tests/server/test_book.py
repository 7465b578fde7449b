"""The list as plain arrays: any ids, any order, any size of batches; what is never told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.errors import ConfigError, OverdueMLError
from overdue_ml.jobs.output import write_parquet
from overdue_ml.jobs.runs import read_rows
from overdue_ml.records import write_buckets
from overdue_ml.server import book as module
from overdue_ml.server.book import Book, Filter
from overdue_ml.server.cards import with_bar
from overdue_ml.server.settings import ServeConfig

MANIFEST = {"settings": {"records": {"attributes": [], "protected": []}}}
# Few signs, so that ids begin alike; those above U+FFFF sort otherwise in UTF-16 than in UTF-8.
IDS = st.lists(st.text("ab%é\uffee😀", min_size=1, max_size=4), min_size=1, max_size=12, unique=True)


def book_of(folder: Path, ids, **columns):
    n = len(ids)
    scores = {
        "customer_id": pd.array(list(ids), dtype="str"),
        "p_overdue": np.linspace(0.9, 0.1, n),
        "tier": ["low"] * n,
        "rank": np.arange(1, n + 1),
        "next_due_date": pd.array([None] * n, dtype="date32[pyarrow]"),
        "due_amount": np.zeros(n),
        "expected_overdue_amount": np.zeros(n),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_parquet(pd.DataFrame(scores | columns), folder / "scores.parquet")
    return Book(folder, MANIFEST)


def ids_of(book, wanted):
    return [row.customer_id for row in book.rows(book.select(wanted).positions)]


@given(ids=IDS, text=st.text("ab%é\uffee😀", min_size=1, max_size=3))
@settings(max_examples=60)
def test_searching_is_comparing_every_id(tmp_path_factory, ids, text):
    folder = tmp_path_factory.getbasetemp() / "search"
    book = book_of(folder, ids)
    assert ids_of(book, Filter(text=text)) == [i for i in ids if i.startswith(text)]
    assert ids_of(book, Filter(text=text, exact=True)) == [i for i in ids if i == text]
    assert all(book.customer_id(book.find(i)) == i for i in ids)
    assert (book.find(text) is not None) == (text in ids)


def test_batches_are_put_together_in_order(lender, monkeypatch):
    folder = lender.out / "as_of=2022-08-31.run2"
    manifest = json.loads((folder / "manifest.json").read_text())
    whole = Book(folder, manifest)
    monkeypatch.setattr(module, "_BATCH", 7)
    parts = Book(folder, manifest)
    everybody = Filter(sort="expected")
    assert parts.rows(parts.select(everybody).positions) == whole.rows(whole.select(everybody).positions)
    assert parts.reasons == whole.reasons
    assert parts.statuses == whole.statuses
    # What is kept of a customer is little, whatever the batches were.
    assert parts.nbytes == whole.nbytes


def test_what_lowers_the_risk_or_is_protected_is_no_reason(tmp_path):
    columns = {
        "reason_1_code": ["PROFILE", "PROFILE", "ACCOUNT_AGE"],
        "reason_1_contribution": [0.9, 0.8, 0.0],
        "reason_2_code": ["ACCOUNT_AGE", "NEXT_DUE", None],
        "reason_2_contribution": [0.5, -0.1, np.nan],
    }
    open_book = book_of(tmp_path, "abc", **columns)
    assert [row.reasons for row in open_book.rows([0, 1, 2])] == [["PROFILE", "ACCOUNT_AGE"], ["PROFILE"], []]
    # One that a config let in is protected all the same.
    let_in = {"settings": {"records": {"attributes": ["sex"], "protected": []}}}
    book = Book(tmp_path, let_in)
    assert [row.reasons for row in book.rows([0, 1, 2])] == [["ACCOUNT_AGE"], [], []]
    assert book.reasons == ["ACCOUNT_AGE"]


def test_columns_without_a_value_are_shown_as_such(tmp_path):
    nothing = {f"reason_1_{name}": [None, None] for name in ("code", "contribution")}
    book = book_of(tmp_path, "ab", tier=[None, "own"], **nothing)
    first, second = book.rows([0, 1])
    assert (first.tier, first.reasons, first.status, first.reminder_rank) == ("", [], "", None)
    assert second.tier == "own"
    assert book.select(Filter(tier="own")).tiers == {"own": 1}
    assert book.statuses == {}


def test_who_is_on_neither_list_is_not_taken_for_suppressed(tmp_path):
    rules = pd.DataFrame({"customer_id": ["b", "gone"], "rule": ["nothing_due", "over_capacity"]})
    rules.to_parquet(tmp_path / "suppressed.parquet", index=False)
    reminders = pd.DataFrame({"customer_id": ["c"], "reminder_rank": [1]})
    reminders.to_parquet(tmp_path / "reminders.parquet", index=False)
    book = book_of(tmp_path, "abc")
    assert ids_of(book, Filter(status="suppressed")) == ["b"]
    assert ids_of(book, Filter(status="listed")) == ["c"]
    assert book.rows([0])[0].status == ""


def test_a_damaged_table_is_said(lender, tmp_path):
    folder = shutil.copytree(lender.out / "as_of=2022-08-31", tmp_path / "as_of=2022-08-31")
    data = bytearray((folder / "scores.parquet").read_bytes())
    data[len(data) // 4] ^= 1
    (folder / "scores.parquet").write_bytes(data)
    with pytest.raises(ConfigError, match="the run cannot be shown"):
        Book(folder, MANIFEST)
    (folder / "scores.parquet").unlink()
    with pytest.raises(ConfigError, match="the run cannot be shown"):
        Book(folder, MANIFEST)


def test_rows_of_some_customers_come_from_the_groups_in_which_they_are(tmp_path):
    frame = pd.DataFrame({"customer_id": [f"C{i:03d}" for i in range(100)], "a": range(100), "b": 1.5})
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=7, index=False)
    found = read_rows(tmp_path / "t.parquet", ["C093", "C001", "nobody", "C000"])
    assert found["a"].to_dict() == {"C000": 0, "C001": 1, "C093": 93}
    assert read_rows(tmp_path / "t.parquet", ["nobody"], ["b"]).dtypes.to_dict() == {"b": np.float64}


def test_cards_of_a_book_in_buckets_are_those_of_the_whole(site, client_of, lender, tmp_path):
    write_buckets(lender.records, tmp_path / "buckets", 5)
    whole, parts = client_of(site()), client_of(site(records=tmp_path / "buckets"))
    for customer, lang in (("SYN000000050", "en"), ("客户甲", "zh")):
        asked = {"customer": customer, "lang": lang}
        answer = parts.get("/card", params=asked)
        assert answer.status_code == 200
        assert answer.text == whole.get("/card", params=asked).text


def test_a_card_of_another_shape_is_refused():
    with pytest.raises(OverdueMLError, match="no page with one style sheet"):
        with_bar("<html><head></head><body></body></html>", "")


def test_settings_are_checked():
    for wrong in ({"page_size": 30}, {"export_rows": 0}, {"runs_in_memory": 0}, {"unknown": 1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ServeConfig(**wrong)
