"""What a training run leaves for people to read: settings, evaluation, data sheet, page and figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from overdue_ml.errors import ConfigError
from overdue_ml.explain import load_wording
from overdue_ml.jobs.assessment import Trained, assess
from overdue_ml.jobs.output import write_json
from overdue_ml.metrics import MIN_SHOWN_ROWS
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
from overdue_ml.reports.assessment import Assessment, Remark
from overdue_ml.reports.evaluation import Judged
from overdue_ml.reports.phrases import Phrases, load_phrases

_CONFIGS = ("config", "records_config")
#: Facts of a run that are tables of the page and no lines of its data sheet.
_CHOICES = ("tuning", "calibration_choice", "challenger", "constraint_cost")


def write_evidence(folder: Path, trained: Trained, models: Path) -> dict[str, Path]:
    """Write config, evaluation, report and figures: aggregates only.

    Parameters
    ----------
    folder : Path
        Empty.
    trained : Trained
    models : Path
        The models folder, for the champion.

    Returns
    -------
    dict of str to Path
        The folders ``config``, ``evaluation`` and ``figures``.
    """
    out = {name: folder / name for name in ("config", "evaluation", "figures")}
    for path in out.values():
        path.mkdir()
    meta = trained.model.meta
    facts = {key: value for key, value in meta.items() if key not in _CONFIGS}
    evaluation, importance = _without_few(trained.evaluation), trained.importance
    assessment = assess(trained, models)
    write_json({key: meta[key] for key in _CONFIGS}, out["config"] / "config.json")
    write_json(
        evaluation.to_dict() | {"assessment": assessment.to_dict()}, out["evaluation"] / "evaluation.json"
    )
    write_json(facts, out["evaluation"] / "data_sheet.json")
    page = _page(trained, evaluation, assessment, facts)
    (out["evaluation"] / "evaluation.html").write_text(page, encoding="utf-8")
    save_figures(
        {
            "calibration": plot_calibration(evaluation.calibration),
            "capture": plot_capture(evaluation.capture),
            "reasons": plot_reasons(importance),
            "scores": plot_score_distribution(trained.scored.target, trained.scored.p),
            "verdicts": plot_verdicts(trained.sample.verdicts),
        },
        out["figures"],
    )
    return out


def _without_few(evaluation: Evaluation) -> Evaluation:
    """Dates of so few rows that their figures could point at a customer keep their count only."""
    by_date = evaluation.by_date.copy()
    few = by_date["n"] < MIN_SHOWN_ROWS
    by_date.loc[few, by_date.columns.difference(["as_of_date", "n"])] = float("nan")
    return Evaluation(**{**vars(evaluation), "by_date": by_date})


def _page(trained: Trained, evaluation: Evaluation, assessment: Assessment, facts: Mapping[str, Any]) -> str:
    config, scored = trained.config.evaluation, trained.scored
    phrases = load_phrases(config.lang)
    tables = {
        "metrics": evaluation.overall,
        "calibration": evaluation.calibration,
        "capture": evaluation.capture,
        "by_date": evaluation.by_date,
        "verdicts": trained.sample.verdicts,
        **_choice_tables(facts),
        "reasons": _reasons(trained.importance, phrases),
    }
    selection = facts["selection"]
    if selection["dropped"]:
        left_out = pd.DataFrame(selection["dropped"])
        tables["left_out"] = left_out.assign(rule=[phrases.word("v", r) for r in left_out["rule"]])
    head = {
        phrases.text("f_trained"): ", ".join(facts["as_of"]),
        phrases.text("f_tested"): ", ".join(facts["test_as_of"]),
    }
    shown = {key: value for key, value in facts.items() if key not in ("selection", *_CHOICES)}
    sheet = {
        phrases.word("f", key).replace("_", " "): _in_words(value, phrases) for key, value in shown.items()
    }
    judged = Judged(
        assessment,
        {
            "n": len(scored.target),
            "n_overdue": int(scored.target.sum()),
            "mean_p": float(scored.p.mean()),
            "overdue_rate": float(scored.target.mean()),
            "min_rows": config.min_group_rows,
            "min_overdue": config.min_group_overdue,
        },
        evaluation.score_psi,
        evaluation.stability,
        audit_remarks(facts["leakage_audit"]),
    )
    notes = [phrases.text("not_checked", what=what) for what in selection["not_checked"]]
    return render_evaluation(tables, head, sheet, notes, judged=judged, lang=config.lang)


def audit_remarks(audit: Mapping[str, Any]) -> list[Remark]:
    """What the page of a run says of its leakage audit.

    Parameters
    ----------
    audit : mapping
        As :func:`overdue_ml.jobs.audit.audit_training` gives it.
    """
    about = Remark("about_leakage_none")
    if audit["dates"]:
        values = {
            "customers": f"{audit['customers']:,}",
            "dates": ", ".join(audit["dates"]),
            "max_auc": f"{audit['max_auc']:g}",
            "n": str(len(audit["findings"])),
        }
        about = Remark("about_leakage", values)
    found = []
    for finding in audit["findings"]:
        if finding["how"] == "alone":
            values = {"feature": finding["feature"], "auc": str(finding["auc"])}
        else:
            values = {key: str(finding[key]) for key in ("feature", "as_of", "customers")}
            values["table"] = str(finding["table"] or "–")
        found.append(Remark(f"audit_{finding['how']}", values))
    return [about, *found]


def _reasons(importance: pd.Series, phrases: Phrases) -> pd.DataFrame:
    """Reasons in words and by code; those of your own have no words."""
    wording = load_wording(phrases.language)
    titles = []
    for code in importance.index:
        try:
            titles.append(wording.title(str(code)))
        except ConfigError:
            titles.append(str(code))
    return pd.DataFrame({"reason": titles, "code": importance.index, "value": importance.to_numpy()})


def _choice_tables(facts: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The tables of how the model was chosen, as far as the training left any."""
    found: dict[str, pd.DataFrame] = {}
    for name in _CHOICES:
        found |= _tables_of(name, facts[name]) if facts.get(name) else {}
    return found


def _tables_of(name: str, value: Any) -> dict[str, pd.DataFrame]:
    """One table of the plain figures, and one of each list of records."""
    if not isinstance(value, Mapping):
        return {name: pd.json_normalize(value)}
    if all(isinstance(item, Mapping) for item in value.values()):
        return {name: pd.DataFrame(value).rename_axis("name")}
    plain: dict[str, str] = {}
    lists: dict[str, pd.DataFrame] = {}
    for key, item in value.items():
        if isinstance(item, list) and item and all(isinstance(record, Mapping) for record in item):
            lists[f"{name}: {key}"] = pd.json_normalize(item)
        elif isinstance(item, Mapping):
            plain |= {f"{key} {inner}": _figure_in_words(cell) for inner, cell in item.items()}
        else:
            plain[key] = _figure_in_words(item)
    table = pd.DataFrame({"name": [key.replace("_", " ") for key in plain], "value": list(plain.values())})
    return {name: table} | lists


def _figure_in_words(value: object) -> str:
    return f"{value:,.4f}" if isinstance(value, float) else str(value)


def _in_words(value: object, phrases: Phrases) -> str:
    """A fact as a person reads it."""
    if isinstance(value, Mapping):
        items = (f"{phrases.word('v', str(key))} {_in_words(item, phrases)}" for key, item in value.items())
        return ", ".join(items) or phrases.text("none")
    if isinstance(value, list):
        return ", ".join(_in_words(item, phrases) for item in value) or phrases.text("none")
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
