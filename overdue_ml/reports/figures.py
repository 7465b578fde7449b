"""Figures for notebooks and MLflow. Each function draws on axes and returns them; none keeps global state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from overdue_ml.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

_ACCENT, _ADVERSE, _PROTECTIVE, _GREY = "#17435f", "#b4521b", "#2e75a6", "#9aa6b1"
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]*$")


def plot_calibration(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the observed overdue rate against the mean probability, bin by bin.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`overdue_ml.metrics.calibration_table` gives it.
    ax : matplotlib.axes.Axes, optional
        A new figure without it.

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(ax)
    rate = table["overdue_rate"].to_numpy(dtype=float)
    gaps = np.vstack(
        [rate - table["rate_low"].to_numpy(dtype=float), table["rate_high"].to_numpy(dtype=float) - rate]
    )
    top = 1.05 * float(max(table["mean_p"].max(), table["rate_high"].max()))
    axes.plot([0, top], [0, top], color=_GREY, linestyle="--", linewidth=1, label="exact")
    # The Wilson interval may miss a rate of exactly 0 or 1 by a rounding error.
    axes.errorbar(
        table["mean_p"],
        rate,
        yerr=np.maximum(gaps, 0.0),
        fmt="o",
        color=_ACCENT,
        capsize=3,
        label="observed, 95 %",
    )
    axes.set(xlabel="mean predicted probability", ylabel="observed overdue rate", title="Calibration")
    axes.legend(frameon=False)
    return plain_axes(axes)


def plot_capture(curve: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the share of overdue customers caught against the share of the book looked at.

    Parameters
    ----------
    curve : pandas.DataFrame
        As :func:`overdue_ml.metrics.capture_curve` gives it.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(ax)
    share = np.r_[0.0, curve["share"].to_numpy(dtype=float)]
    captured = np.r_[0.0, curve["captured"].to_numpy(dtype=float)]
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1, label="at random")
    axes.plot(share, captured, color=_ACCENT, linewidth=2, label="model")
    axes.set(
        xlabel="share of the book, riskiest first",
        ylabel="share of overdue customers caught",
        title="Capture curve",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    axes.legend(frameon=False, loc="lower right")
    return plain_axes(axes)


def plot_score_distribution(y_true: ArrayLike, p: ArrayLike, ax: Axes | None = None) -> Axes:
    """Draw how the probabilities of overdue and of other customers are spread.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        1 for overdue, 0 otherwise.
    p : array-like of shape (n,)
        Probability of overdue, in [0, 1].
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    target, probability = np.asarray(y_true, dtype=float), np.asarray(p, dtype=float)
    if target.shape != probability.shape:
        raise ValueError(f"y_true and p must have one length, got {target.shape} and {probability.shape}.")
    axes = new_axes(ax)
    edges = np.linspace(0.0, 1.0, 41).tolist()
    groups = ((0, _PROTECTIVE, "on time", ""), (1, _ADVERSE, "overdue", "//"))
    for value, colour, name, hatch in groups:
        rows = probability[target == value]
        if rows.size:
            weights = np.full(rows.size, 1.0 / rows.size)
            label = f"{name} ({rows.size:,})"
            # Hatched as well, for readers who do not tell the colours apart.
            axes.hist(
                rows,
                bins=edges,
                weights=weights,
                color=colour,
                alpha=0.55,
                hatch=hatch,
                edgecolor="white",
                label=label,
            )
    axes.set(
        xlabel="predicted probability", ylabel="share of the group", title="Scores by outcome", xlim=(0, 1)
    )
    axes.legend(frameon=False)
    return plain_axes(axes)


def plot_reasons(reason_contributions: pd.Series[float] | pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how much each reason moves scores.

    Parameters
    ----------
    reason_contributions : Series or DataFrame
        Mean absolute contribution in log-odds, indexed by reason; the columns of a DataFrame are groups
        to compare.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    table = reason_contributions
    frame = table.to_frame("all") if isinstance(table, pd.Series) else table
    frame = frame.loc[frame.mean(axis=1).sort_values(kind="stable").index]
    axes = new_axes(ax)
    groups, places = len(frame.columns), np.arange(len(frame))
    colours = [_ACCENT, _ADVERSE, _PROTECTIVE, _GREY]
    for i, column in enumerate(frame.columns):
        height = 0.8 / groups
        shift = (groups - 1) / 2 - i
        values = frame[column].to_numpy(dtype=float)
        axes.barh(places + shift * height, values, height=height, color=colours[i % 4], label=str(column))
    axes.set_yticks(places, [str(name) for name in frame.index])
    axes.set(xlabel="mean absolute contribution (log-odds)", title="Reasons")
    if groups > 1:
        axes.legend(frameon=False, loc="lower right")
    return plain_axes(axes)


def save_figures(figures: Mapping[str, Axes], folder: Path) -> list[Path]:
    """Write each figure as ``<folder>/<name>.png``.

    Parameters
    ----------
    figures : mapping of str to Axes
        By file name without its ending.
    folder : Path
        Made if it is missing.

    Returns
    -------
    list of Path

    Raises
    ------
    ConfigError
        If a name is not plain letters, digits, ``_`` and ``-``, or the axes belong to no figure.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, axes in figures.items():
        figure = axes.get_figure(root=True)
        if not _NAME.match(name) or figure is None:
            raise ConfigError(
                f"'{name}' is no figure that can be saved", expected="letters, digits, '_' and '-'"
            )
        path, part = folder / f"{name}.png", folder / f".{name}.png.part"
        FigureCanvasAgg(figure)
        # Without matplotlib's version in it the same figure gives the same bytes; renamed when complete.
        figure.savefig(part, format="png", dpi=144, bbox_inches="tight", metadata={"Software": None})
        part.replace(path)
        paths.append(path)
    return paths


def new_axes(ax: Axes | None) -> Axes:
    """The given axes, or those of a new figure."""
    if ax is not None:
        return ax
    # Not pyplot: it keeps every figure alive and asks for a display.
    from matplotlib.figure import Figure

    return Figure(figsize=(6.4, 4.4), layout="constrained").subplots()


def plain_axes(axes: Axes) -> Axes:
    """Axes without the lines above and to the right."""
    axes.spines[["top", "right"]].set_visible(False)
    return axes
