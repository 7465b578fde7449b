"""Summarise, print and write what accuracy_taiwan.py measured."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from results_page import write_section

OURS, YARDSTICK = "ours", "lightgbm"

# metric: (function in overdue_ml.metrics, ranks on the margin, heading)
METRICS: dict[str, tuple[str, bool, str]] = {
    "auc": ("compute_auc", True, "AUC"),
    "ks": ("compute_ks", True, "KS"),
    "average_precision": ("compute_average_precision", True, "AP"),
    "brier": ("compute_brier", False, "Brier"),
    "log_loss": ("compute_log_loss", False, "Log loss"),
    "ece": ("compute_ece", False, "ECE"),
}


def compute_difference(rows: pd.DataFrame, name: str, metric: str) -> dict[str, float | None] | None:
    """Return a model's mean difference to ours over the folds, with two standard errors.

    Parameters
    ----------
    rows : DataFrame
        From `run_folds`.
    name, metric : str
        The model and the metric.

    Returns
    -------
    dict or None
        ``mean`` (model - ours), ``se`` (paired) and ``se_corrected`` (Nadeau and Bengio); the errors are
        None below two folds. None for ours itself or when ours did not run.

    References
    ----------
    Nadeau, C. and Bengio, Y. (2003). Inference for the generalization error. Machine Learning 52.
    """
    if name == OURS or OURS not in set(rows["model"]):
        return None
    by_fold = rows.pivot(index=["seed", "fold"], columns="model", values=metric)  # noqa: PD010 - must fail on duplicates
    difference = (by_fold[name] - by_fold[OURS]).to_numpy()
    mean, n = float(difference.mean()), len(difference)
    if n < 2:
        return {"mean": mean, "se": None, "se_corrected": None}
    variance = float(difference.var(ddof=1))
    overlap = float((rows["n_test"] / rows["n_train"]).mean())
    return {
        "mean": mean,
        "se": math.sqrt(variance / n),
        "se_corrected": math.sqrt(variance * (1 / n + overlap)),
    }


def summarise(
    rows: pd.DataFrame, pooled: dict[str, dict[str, float]], labels: dict[str, str]
) -> dict[str, Any]:
    """Return, per model, the means, the differences to ours, the fit time and every fold."""
    # The median, as the first fit of a process also pays for warming up and others may share the machine.
    seconds = rows.groupby("model")["fit_seconds"].median()
    summary: dict[str, Any] = {}
    for name in pooled:
        own = rows[rows["model"].eq(name)]
        ratio = seconds[name] / seconds[YARDSTICK] if YARDSTICK in seconds else None
        summary[name] = {
            "label": labels[name],
            "mean": {metric: float(own[metric].mean()) for metric in METRICS},
            "difference_to_ours": {metric: compute_difference(rows, name, metric) for metric in METRICS},
            "pooled_ece": pooled[name],
            "fit_seconds": float(seconds[name]),
            "fit_ratio_to_lightgbm": None if ratio is None else float(ratio),
            "folds": own.drop(columns="model").to_dict("records"),
        }
    return summary


def format_table(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return an aligned Markdown table: first column left, the others right."""
    widths = [max(map(len, column)) for column in zip(heads, *body, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        for row in (heads, rule, *body)
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def format_difference(difference: dict[str, float | None] | None, error: str = "se") -> str:
    """Return ``+0.0012 ± 0.0003``; a dash for ours."""
    if difference is None:
        return "-"
    spread = difference[error]
    return f"{difference['mean']:+.4f}" + ("" if spread is None else f" ± {spread:.4f}")


def format_summary(summary: dict[str, Any]) -> str:
    """Return the two tables: means with fit time, and paired differences to ours."""
    means, differences = [], []
    for entry in summary.values():
        ratio = entry["fit_ratio_to_lightgbm"]
        pooled = " / ".join(f"{value:.4f}" for value in entry["pooled_ece"].values())
        timing = [f"{entry['fit_seconds']:.2f}", "-" if ratio is None else f"{ratio:.1f}"]
        means.append(
            [entry["label"], *(f"{entry['mean'][metric]:.4f}" for metric in METRICS), pooled, *timing]
        )
        given = entry["difference_to_ours"]
        if given["auc"] is not None:
            cells = [format_difference(given[metric]) for metric in METRICS]
            cells.insert(1, format_difference(given["auc"], "se_corrected"))
            differences.append([entry["label"], *cells])
    heads = [heading for *_, heading in METRICS.values()]
    parts = [
        "Mean over the folds; pooled ECE per seed; median fit time of a fold.",
        format_table(["Model", *heads, "Pooled ECE", "Fit (s)", "x LightGBM"], means),
    ]
    if differences:
        heads.insert(1, "AUC, corrected")
        parts += [
            "Model minus overdue_ml, ± paired standard error ('corrected': Nadeau and Bengio). overdue_ml is "
            "the better one where AUC, KS or AP is negative, or Brier, log loss or ECE positive.",
            format_table(["Model", *heads], differences),
        ]
    return "\n\n".join(parts)


def write_results(folder: Path, run: dict[str, Any], summary: dict[str, Any]) -> None:
    """Write ``results/<benchmark>.json`` and replace the section between its markers in ``RESULTS.md``.

    Parameters
    ----------
    folder : Path
        The benchmarks folder; a missing ``RESULTS.md`` or pair of markers is added.
    run, summary : dict
        What was run, with its ``benchmark`` and ``title``, and `summarise`'s answer.
    """
    name = run["benchmark"]
    (folder / "results").mkdir(exist_ok=True)
    body = json.dumps(run | {"models": summary}, indent=1, allow_nan=False)
    (folder / "results" / f"{name}.json").write_text(body + "\n", "utf-8")
    machine = run["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in run["packages"].items())
    facts = [
        f"{run['date']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}: "
        f"`{run['command']}`",
        f"Packages: {packages}.",
    ]
    if run["feature_seconds"] is not None:
        seconds = f"{run['feature_seconds']:.1f} s"
        facts.append(f"overdue_ml built its features once, before the folds, in {seconds}.")
    if not run["complete"]:
        facts.insert(0, "**A partial run: not all models, seeds and folds.**")
    title = f"## {run['title']}"
    write_section(folder / "RESULTS.md", name, title, *facts, format_summary(summary))
