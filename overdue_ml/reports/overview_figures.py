"""Global views as matplotlib axes for notebooks; each draws what ``compute_*`` of the same name gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from overdue_ml.reports.figures import new_axes, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ACCENT, _ADVERSE, _PROTECTIVE, _GREY = "#17435f", "#b4521b", "#2e75a6", "#9aa6b1"
_LOG_ODDS = "contribution (log-odds)"
# A rank correlation from which on a feature has a direction.
_CLEAR = 0.3


def plot_importance(importance: pd.DataFrame, top: int = 15, ax: Axes | None = None) -> Axes:
    """Draw how much features or reasons move scores, coloured by direction where there is one.

    Parameters
    ----------
    importance : pandas.DataFrame
        As :func:`overdue_ml.explain.compute_importance` or ``compute_reason_importance`` gives it.
    top : int
    ax : matplotlib.axes.Axes, optional
        A new figure without it.

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes, shown = new_axes(ax), importance.head(top).iloc[::-1]
    name = "feature" if "feature" in shown else "reason_code"
    direction = shown["direction"] if "direction" in shown else pd.Series(np.nan, index=shown.index)
    colours = [
        _ADVERSE if d > _CLEAR else (_PROTECTIVE if d < -_CLEAR else _GREY) for d in direction.tolist()
    ]
    axes.barh(shown[name].tolist(), shown["mean_abs"], color=_ACCENT if name == "reason_code" else colours)
    title = "Reasons" if name == "reason_code" else "Features: more raises (warm), more lowers (cool)"
    axes.set(xlabel="mean size of the contribution (log-odds)", title=title)
    return plain_axes(axes)


def plot_dependence(dependence: pd.DataFrame, feature: str, ax: Axes | None = None) -> Axes:
    """Draw the contribution of a feature against its value, and the share of customers below.

    Parameters
    ----------
    dependence : pandas.DataFrame
        As :func:`overdue_ml.explain.compute_dependence` gives it.
    feature : str
        Its name, for the axis.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes, places = new_axes(ax), np.arange(len(dependence), dtype=float)
    # What is missing or put together stands apart.
    places += 0.8 * (~dependence["kind"].isin(["number", "category"])).cumsum().to_numpy()
    mean = dependence["mean"].to_numpy(dtype=float)
    axes.vlines(places, dependence["low_10"], dependence["high_90"], color=_GREY, linewidth=3)
    is_number = (dependence["kind"] == "number").to_numpy()
    axes.plot(places[is_number], mean[is_number], color=_ACCENT, linewidth=1.5)
    axes.plot(places, mean, "o", color=_ACCENT, markersize=4)
    axes.axhline(0.0, color=_GREY, linewidth=0.8)
    density = axes.twinx()
    density.bar(places, dependence["share"], color=_GREY, alpha=0.35, width=0.8)
    density.set_ylim(0.0, 6.0 * float(dependence["share"].max()))
    density.set_axis_off()
    labels = [_label(row) for row in dependence.to_dict("records")]
    axes.set_xticks(places, labels, rotation=60, ha="right", fontsize=7)
    axes.set(xlabel=feature, ylabel=_LOG_ODDS, title="Mean and the middle 80 %; bars: customers")
    return plain_axes(axes)


def plot_swarm(swarm: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw single customers as dots, coloured by how large the value of the feature is.

    Parameters
    ----------
    swarm : pandas.DataFrame
        As :func:`overdue_ml.explain.compute_swarm` gives it.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes, names = new_axes(ax), list(dict.fromkeys(swarm["feature"]))
    height = swarm["feature"].map({name: len(names) - 1 - i for i, name in enumerate(names)}).astype(float)
    y, known = height + 0.42 * swarm["lane"], swarm["place"].notna()
    axes.axvline(0.0, color=_GREY, linewidth=0.8)
    axes.scatter(swarm.loc[~known, "contribution"], y[~known], s=5, color=_GREY)
    dots = axes.scatter(
        swarm.loc[known, "contribution"], y[known], s=5, c=swarm.loc[known, "place"], cmap="coolwarm",
        vmin=0.0, vmax=1.0,
    )  # fmt: skip
    figure = axes.get_figure(root=True)
    if figure is not None:
        figure.colorbar(dots, ax=axes, ticks=[0.0, 1.0], label="value").ax.set_yticklabels(["low", "high"])
    axes.set_yticks(range(len(names)), names[::-1])
    axes.set(xlabel=_LOG_ODDS, title="Customers, by feature (grey: no number)")
    return plain_axes(axes)


def plot_interactions(interactions: pd.DataFrame, top: int = 15, ax: Axes | None = None) -> Axes:
    """Draw which pairs of features move scores together.

    Parameters
    ----------
    interactions : pandas.DataFrame
        As :func:`overdue_ml.explain.compute_interactions` gives it.
    top : int
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes, shown = new_axes(ax), interactions.head(top).iloc[::-1]
    names = [f"{a} × {b}" for a, b in zip(shown["feature_1"], shown["feature_2"], strict=True)]
    axes.barh(names, shown["mean_abs"], color=_ACCENT)
    axes.set(xlabel="mean size of the interaction (log-odds)", title="Interactions")
    return plain_axes(axes)


def plot_segment_reasons(segments: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how the mean contributions of groups differ from those of the book, by reason.

    Parameters
    ----------
    segments : pandas.DataFrame
        As :func:`overdue_ml.explain.compute_segment_reasons` gives it.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = new_axes(ax)
    groups = list(dict.fromkeys(segments["segment"]))
    wide = segments.pivot_table(index="reason_code", columns="segment", values="difference")[groups]
    wide = wide.loc[wide.abs().max(axis=1).sort_values(ascending=False, kind="stable").index]
    most = float(wide.abs().to_numpy().max()) or 1.0
    axes.imshow(wide.to_numpy(), cmap="coolwarm", vmin=-most, vmax=most, aspect="auto")
    for (row, column), value in np.ndenumerate(wide.to_numpy()):
        axes.text(column, row, f"{value:+.2f}", ha="center", va="center", fontsize=8)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_yticks(range(len(wide)), [str(code) for code in wide.index])
    axes.set(xlabel="group", title="Mean contribution, difference to the book (log-odds)")
    return plain_axes(axes)


def _label(row: dict[object, object]) -> str:
    if row["kind"] == "number":
        low, high = float(str(row["low"])), float(str(row["high"]))
        return f"{low:.4g}" if low == high else f"{low:.3g} – {high:.3g}"
    return str(row["label"]) if row["kind"] == "category" else str(row["kind"])
