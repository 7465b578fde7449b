"""Throughput and time left: by hand, on a clock that is put back, and on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from overdue_ml.jobs.progress import Pace


def pace(seconds, total):
    """A pace whose clock stands at these seconds, one after another."""
    ticks = iter(seconds)
    return Pace(total, lambda: next(ticks))


def test_by_hand():
    """Two buckets took 10 and 30 s: 20 s each, so two more take 40."""
    told = pace([100, 110, 140, 141], 4)
    assert told.step(600, False) == "600 customers, 60 a second, 30 s left"
    assert told.step(1000, False) == "1,600 customers, 40 a second, 40 s left"
    assert told.step(0, False) == "1,600 customers, 39 a second, 14 s left"


def test_what_was_there_already_tells_nothing_of_the_pace():
    told = pace([0, 1, 1, 5], 10)
    assert told.step(5000, True) == "5,000 customers"
    assert told.step(5000, True) == "10,000 customers"
    # One bucket in 5 s, and seven to come.
    assert told.step(500, False) == "10,500 customers, 100 a second, 35 s left"


def test_at_the_end_nothing_is_left():
    assert pace([0, 2], 1).step(10, False) == "10 customers, 5 a second"


def test_a_clock_that_was_put_back_tells_no_pace():
    told = pace([1000, 400, 1000, 1001], 3)
    assert told.step(7, False) == "7 customers"
    assert told.step(7, False) == "14 customers"
    assert told.step(7, False) == "21 customers, 21 a second"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "0 s"), (89.4, "89 s"), (91, "2 min"), (3600, "60 min"), (8000, "2 h 13 min")]
)
def test_durations(seconds, said):
    assert pace([0, seconds], 2).step(1, False).endswith(f", {said} left")


SHOW = """
from overdue_ml.cli.common import progress_on
with progress_on(False) as told:
    told.stage("scoring 2 bucket(s)")
    told.advance(1, 2, "600 customers, 60 a second, 30 s left")
    told._bar.refresh()
    told.stage("writing")
    told._bar.refresh()
"""


def test_a_terminal_shows_a_bar_with_the_same_figures():
    ours, theirs = pty.openpty()
    env = os.environ | {"COLUMNS": "200", "TERM": "xterm"}
    done = subprocess.run([sys.executable, "-c", SHOW], stderr=theirs, env=env, timeout=60, check=True)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:
            break
    os.close(ours)
    text = shown.decode()
    assert done.returncode == 0
    assert "scoring 2 bucket(s)" in text
    assert "600 customers, 60 a second, 30 s left" in text
    assert "━" in text
    assert "writing" in text
