from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from overdue_ml.errors import ConfigError
from overdue_ml.metrics import calibration_table, capture_curve
from overdue_ml.reports import (
    plot_calibration,
    plot_capture,
    plot_reasons,
    plot_score_distribution,
    save_figures,
)

RNG = np.random.default_rng(0)
P = RNG.beta(1, 4, 2000)
Y = (RNG.random(2000) < P).astype(int)
REASONS = pd.Series({"LATE_DEPTH": 0.9, "PROFILE": 0.1, "UTILISATION": 0.4})


def _all() -> dict[str, Axes]:
    return {
        "calibration": plot_calibration(calibration_table(Y, P)),
        "capture": plot_capture(capture_curve(Y, P)),
        "scores": plot_score_distribution(Y, P),
        "reasons": plot_reasons(REASONS),
    }


def test_each_plot_returns_labelled_axes():
    for axes in _all().values():
        assert isinstance(axes, Axes)
        assert axes.get_xlabel()
        assert axes.get_title()


def test_given_axes_are_used():
    axes = Figure().subplots()
    assert plot_capture(capture_curve(Y, P), ax=axes) is axes
    assert plot_calibration(calibration_table([0, 0, 1, 1], [0.0, 0.1, 0.9, 1.0], n_bins=2)) is not axes


def test_the_strongest_reason_is_on_top_and_groups_are_told_apart():
    axes = plot_reasons(REASONS)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["PROFILE", "UTILISATION", "LATE_DEPTH"]
    axes = plot_reasons(pd.DataFrame({"high": REASONS, "low": REASONS / 2}))
    assert len(axes.patches) == 6
    assert axes.get_legend() is not None


def test_figures_are_saved_with_the_same_bytes(tmp_path):
    paths = save_figures(_all(), tmp_path / "a")
    again = save_figures(_all(), tmp_path / "b")
    assert [p.name for p in paths] == ["calibration.png", "capture.png", "scores.png", "reasons.png"]
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in again]
    assert sorted((tmp_path / "a").iterdir()) == sorted(paths)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden"])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    with pytest.raises(ConfigError):
        save_figures({name: plot_reasons(REASONS)}, tmp_path)


def test_lengths_have_to_agree():
    with pytest.raises(ValueError, match="one length"):
        plot_score_distribution([0, 1], [0.5])


def test_importing_reports_loads_no_matplotlib():
    code = "import sys, overdue_ml.reports; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
