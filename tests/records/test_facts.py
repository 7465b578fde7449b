"""From which day a row was known."""

import datetime as dt

from overdue_ml.records import load_records
from overdue_ml.records.facts import account_known_sql, known_on_sql


def test_known_on_falls_back_to_the_event_date(five):
    assert (
        known_on_sql(five.records, "statements", "statement_date", "s")
        == "coalesce(s.known_on, s.statement_date)"
    )
    frames = five.frames | {"statements": five.frames["statements"].drop(columns="known_on")}
    assert known_on_sql(load_records(frames), "statements", "statement_date") == "statement_date"


def test_an_account_is_known_from_its_opening_or_its_first_statement(five):
    with five.records.connect() as con:
        found = dict(
            con.sql(f"SELECT account_id, known_on FROM ({account_known_sql(five.records)})").fetchall()
        )
    assert found == {
        "A1": dt.date(2024, 1, 1),
        "B1": dt.date(2020, 2, 29),
        "B2": dt.date(2022, 6, 30),
        "C1": dt.date(2024, 3, 1),
        "D1": dt.date(2023, 12, 15),
        # Opened nobody knows when.
        "E1": dt.date(2024, 6, 30),
    }
