"""A page and its tables: both whole, or what stood there before."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pandas as pd
import pytest

from overdue_ml.errors import ConfigError, ResourceError
from overdue_ml.jobs.pages import write_page

TABLES = {"one": pd.DataFrame({"id": ["=1", "2"]}), "two": pd.DataFrame({"n": [1.5]})}


def test_tables_lie_beside_the_page(tmp_path):
    path = tmp_path / "new" / "b.html"
    tables = write_page("<p>贷款</p>", TABLES, path)
    assert path.read_text(encoding="utf-8") == "<p>贷款</p>"
    assert sorted(p.name for p in path.parent.iterdir()) == ["b.html", "b_tables"]
    assert sorted(p.name for p in tables.iterdir()) == ["one.csv", "one.parquet", "two.csv", "two.parquet"]
    assert pd.read_parquet(tables / "one.parquet")["id"].tolist() == ["=1", "2"]
    assert (tables / "one.csv").read_text() == "id\n'=1\n2\n"


@pytest.mark.parametrize("method", ["write_text", "replace"])
def test_a_page_that_the_disk_refuses_leaves_the_old_one(tmp_path, monkeypatch, method):
    path = tmp_path / "b.html"
    write_page("old", TABLES, path)
    original = getattr(Path, method)

    def refuse(self, *args, **options):
        if self.name == ".b.html.part":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(self, *args, **options)

    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(ResourceError, match="cannot be written: No space left on device") as caught:
        write_page("new", TABLES, path)
    assert str(path) in str(caught.value)
    assert path.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.html", "b_tables"]


def test_what_is_no_place_for_a_page_is_refused_before_tables_are_written(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").write_text("mine")
    for name, said in {
        "folder": "a folder stands there",
        "folder.html": "a folder stands there",
        "file/b.html": "a file stands there",
        "file/new/b.html": "a file stands there",
        "b": "'b' is not the name of a page",
        "b.pdf": "expected a name that ends in .html",
    }.items():
        with pytest.raises(ConfigError, match=said):
            write_page("page", TABLES, tmp_path / name)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder", "folder.html"]
    assert (tmp_path / "file").read_text() == "mine"


def test_two_pages_have_two_folders_of_tables(tmp_path):
    places = [
        write_page(name, TABLES, tmp_path / name) for name in ("b.html", "b.htm", "b.HTML", "b.v2.html")
    ]
    assert [p.name for p in places] == ["b_tables", "b.htm_tables", "b.HTML_tables", "b.v2_tables"]
