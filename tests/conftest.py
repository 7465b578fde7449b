"""A ledger of five customers small enough to work out by hand, the Taiwan records, and shared helpers."""

import datetime as dt
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pandas as pd
import pytest

from overdue_ml.config import RecordsConfig
from overdue_ml.records import Records, load_records

TESTS = Path(__file__).parent

# The same examples on every machine and run; HYPOTHESIS_PROFILE=explore looks for new ones.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

# Month ends of 2024, a leap year. Nothing here is typed by column: a cell is what stands in the row.
_CUSTOMERS = ["customer_id education     sex"]
_CUSTOMERS += ["ANN        university    female"]
_CUSTOMERS += ["BEN        high_school   male"]
_CUSTOMERS += ["CAT        university    female"]
_CUSTOMERS += ["DAN        -             male"]
_CUSTOMERS += ["EVE        others        female"]

_ACCOUNTS = ["account_id customer_id opened_on  closed_on  credit_limit_amount"]
_ACCOUNTS += ["A1        ANN         2024-01-01 -          1000"]
# Opened on 29 February, and a second account that is closed on 15 May 2024.
_ACCOUNTS += ["B1        BEN         2020-02-29 -          1000"]
_ACCOUNTS += ["B2        BEN         2022-06-30 2024-05-15  500"]
_ACCOUNTS += ["C1        CAT         2024-03-01 -          2000"]
# No limit.
_ACCOUNTS += ["D1        DAN         2023-12-15 -             -"]
# Opened nobody knows when.
_ACCOUNTS += ["E1        EVE         -          -           300"]

_STATEMENTS = [
    "account_id statement_date due_date balance_amount minimum_due_amount paid_amount dpd payment_behaviour "
    "credit_limit_amount known_on"
]
# Ann is late three times, up to 60 days, and pays 550 in all.
_STATEMENTS += ["A1 2024-01-31 2024-02-20  400  40    0   0 paid_minimum - -"]
_STATEMENTS += ["A1 2024-02-29 2024-03-20  500  50  100   0 paid_minimum - -"]
_STATEMENTS += ["A1 2024-03-31 2024-04-20  600  60    0  30 late         - -"]
_STATEMENTS += ["A1 2024-04-30 2024-05-20  800  80   50  60 late         - -"]
_STATEMENTS += ["A1 2024-05-31 2024-06-20  700  70  400   0 paid_minimum - -"]
_STATEMENTS += ["A1 2024-06-30 2024-07-20  900  90    0  30 late         - -"]
# Ben is on time with his first account, whose limit is 800 from June on, and late with his second.
_STATEMENTS += ["B1 2024-03-31 2024-04-20  200   -    0   0 inactive     - -"]
_STATEMENTS += ["B1 2024-04-30 2024-05-20  300   -  200   0 paid_in_full - -"]
_STATEMENTS += ["B1 2024-05-31 2024-06-20  100   -  300   0 paid_in_full - -"]
_STATEMENTS += ["B1 2024-06-30 2024-07-20  500   -  100   0 paid_in_full 800 -"]
_STATEMENTS += ["B2 2024-03-31 2024-04-20  450  45    0  30 late         - -"]
_STATEMENTS += ["B2 2024-04-30 2024-05-10  400  40   50  60 late         - -"]
_STATEMENTS += ["B2 2024-05-15 2024-06-04    0   0  400   0 paid_in_full - -"]
# Cat's May statement, 30 days late, becomes known in July only; in June she is in credit.
_STATEMENTS += ["C1 2024-04-30 2024-05-20  100  10    0   0 paid_minimum - 2024-04-30"]
_STATEMENTS += ["C1 2024-05-31 2024-06-20  300  30  100  30 late         - 2024-07-15"]
_STATEMENTS += ["C1 2024-06-30 2024-07-20  -50   0  350   0 paid_in_full - -"]
# What became of Dan's May statement is not known, and he paid nothing towards it.
_STATEMENTS += ["D1 2024-05-31 2024-06-20 1000   -    0   - -            - -"]
_STATEMENTS += ["D1 2024-06-30 2024-07-20 1500   -    0   0 paid_minimum - -"]
# Eve's single statement has no due date and no minimum.
_STATEMENTS += ["E1 2024-06-30 -           300   -    0   0 inactive     - -"]

_WHOLE = {"dpd"}


def _frame(lines: list[str]) -> pd.DataFrame:
    """Cells split at blanks; ``-`` is empty; dates become dates, amounts nullable floats."""
    header, *rows = (line.split() for line in lines)
    frame = pd.DataFrame([[None if cell == "-" else cell for cell in row] for row in rows], columns=header)
    for name in frame.columns:
        if name.endswith(("_on", "_date")):
            frame[name] = [None if pd.isna(cell) else dt.date.fromisoformat(cell) for cell in frame[name]]
        elif name.endswith("_amount"):
            # Not float64: there an empty cell is NaN, which the contract takes for a broken amount.
            frame[name] = frame[name].astype("Float64")
        elif name in _WHOLE:
            frame[name] = frame[name].astype("Int64")
        else:
            frame[name] = frame[name].astype("str")
    return frame


@dataclass(frozen=True)
class Five:
    """The five customers as DataFrames and as validated records."""

    frames: dict[str, pd.DataFrame]
    records: Records

    def with_labels(self, labels: pd.DataFrame) -> Records:
        """The records with a ``labels`` table."""
        return load_records(self.frames | {"labels": labels})


@pytest.fixture(scope="session")
def five() -> Five:
    """The hand-written ledger of Ann, Ben, Cat, Dan and Eve."""
    frames = {
        "customers": _frame(_CUSTOMERS),
        "accounts": _frame(_ACCOUNTS),
        "statements": _frame(_STATEMENTS),
    }
    return Five(frames, load_records(frames, RecordsConfig(attributes=["education"])))


@pytest.fixture(scope="session")
def taiwan() -> Records:
    """30,000 customers, six statements each."""
    return load_records(TESTS.parent / "data" / "taiwan", RecordsConfig(attributes=["education"]))


def _helper(name: str):
    """A helper module beside the tests, which are no package."""
    path = TESTS / "features" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"helper_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def oracle():
    """``oracle.py``: every declared feature in plain Python."""
    return _helper("oracle")


@pytest.fixture(scope="session")
def ledgers():
    """``ledgers.py``: random small ledgers."""
    return _helper("ledgers")
