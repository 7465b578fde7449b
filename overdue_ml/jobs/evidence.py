"""What a training run leaves for people to read: settings, evaluation, data sheet, page and figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from overdue_ml.jobs.audit import audit_notes
from overdue_ml.jobs.output import write_json
from overdue_ml.jobs.sample import Scored
from overdue_ml.model import Evaluation
from overdue_ml.reports import (
    plot_calibration,
    plot_capture,
    plot_reasons,
    plot_score_distribution,
    plot_verdicts,
    render_evaluation,
    save_figures,
)

#: What the page shows of each as_of date; evaluation.json has every metric.
_BY_DATE = ["as_of_date", "n", "overdue_rate", "mean_p", "auc", "ks", "brier", "ece"]
_HEADINGS = {"as_of_date": "as of", "overdue_rate": "overdue", "mean_p": "mean p"}


def write_evidence(
    folder: Path,
    configs: Mapping[str, Any],
    evaluation: Evaluation,
    facts: Mapping[str, Any],
    importance: pd.Series,
    scored: Scored,
    verdicts: pd.DataFrame,
) -> dict[str, Path]:
    """Config, evaluation, report and figures: aggregates only."""
    out = {name: folder / name for name in ("config", "evaluation", "figures")}
    for path in out.values():
        path.mkdir()
    write_json(configs, out["config"] / "config.json")
    write_json(evaluation.to_dict(), out["evaluation"] / "evaluation.json")
    write_json(facts, out["evaluation"] / "data_sheet.json")
    tables = {
        "metrics": evaluation.overall,
        "calibration": evaluation.calibration,
        "capture": evaluation.capture,
        "by as_of date": evaluation.by_date[_BY_DATE].rename(columns=_HEADINGS),
        "mean absolute contribution by reason (log-odds)": importance.rename("value")
        .rename_axis("reason_code")
        .reset_index(),
    }
    if len(verdicts) > 1:
        tables["verdicts"] = verdicts
    selection = facts["selection"]
    if selection["dropped"]:
        tables["features left out"] = pd.DataFrame(selection["dropped"]).rename(
            columns={"same_as": "same as"}
        )
    head = {"trained as of": ", ".join(facts["as_of"]), "tested as of": ", ".join(facts["test_as_of"])}
    sheet = {key.replace("_", " "): _in_words(value) for key, value in facts.items() if key != "selection"}
    notes = audit_notes(facts["leakage_audit"]) + [f"Not checked: {n}." for n in selection["not_checked"]]
    page = render_evaluation(tables, head, sheet, notes)
    (out["evaluation"] / "evaluation.html").write_text(page, encoding="utf-8")
    save_figures(
        {
            "calibration": plot_calibration(evaluation.calibration),
            "capture": plot_capture(evaluation.capture),
            "reasons": plot_reasons(importance),
            "scores": plot_score_distribution(scored.target, scored.p),
            "verdicts": plot_verdicts(verdicts),
        },
        out["figures"],
    )
    return out


def _in_words(value: object) -> str:
    """A fact as a person reads it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_in_words(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(_in_words(item) for item in value) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
