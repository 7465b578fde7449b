"""Connections to the one database of the process: each has what it registers to itself."""

import os
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pyarrow as pa
import pytest

from overdue_ml.records import _sessions
from overdue_ml.records._sessions import open_session


@pytest.fixture(autouse=True)
def own(monkeypatch):
    """Databases of the test alone."""
    monkeypatch.setattr(_sessions, "_OPEN", {})


def test_what_one_registers_sets_or_makes_as_temporary_is_not_seen_by_another():
    with open_session() as one, open_session() as other:
        for con, value in ((one, 1), (other, 2)):
            con.register("t", pa.table({"v": [value]}))
            con.execute("CREATE TEMP TABLE mine AS SELECT v + 10 AS v FROM t")
            con.execute("SET VARIABLE v = ?", [value + 20])
        for con, value in ((one, 1), (other, 2)):
            found = con.sql("SELECT t.v, mine.v, getvariable('v') FROM t, mine").fetchall()
            assert found == [(value, value + 10, value + 20)]
    with open_session() as later:
        assert later.sql("SHOW TABLES").fetchall() == []
        assert later.sql("SELECT getvariable('v')").fetchall() == [(None,)]
    assert list(_sessions._OPEN) == [os.getpid()]


def test_an_error_or_an_end_is_its_own():
    with open_session() as one, open_session() as other:
        with pytest.raises(duckdb.Error):
            one.execute("SELECT nothing")
        one.close()
        assert other.sql("SELECT 1").fetchall() == [(1,)]


def test_a_database_that_is_of_no_use_any_more_is_left_for_another():
    open_session().close()
    (found,) = _sessions._OPEN.values()
    found.close()
    with open_session() as con:
        assert con.sql("SELECT 1").fetchall() == [(1,)]
    assert list(_sessions._OPEN.values()) != [found]


def test_a_process_that_was_forked_has_a_database_of_its_own(monkeypatch):
    open_session().close()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    open_session().close()
    assert len(_sessions._OPEN) == 2


def test_threads_side_by_side():
    def ask(number):
        with open_session() as con:
            con.register("t", pa.table({"v": [number] * 1000}))
            return con.sql("SELECT sum(v) FROM t").fetchall()[0][0]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(200))) == [1000 * n for n in range(200)]


def test_it_is_closed_when_the_process_ends():
    open_session().close()
    (found,) = _sessions._OPEN.values()
    _sessions._close()
    with pytest.raises(duckdb.Error):
        found.execute("SELECT 1")
    _sessions._close()
