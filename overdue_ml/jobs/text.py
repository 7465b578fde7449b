"""Results as a person reads them on a terminal, and as JSON."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from overdue_ml.records import ValidationReport

if TYPE_CHECKING:
    from overdue_ml.jobs.demo import DemoResult
    from overdue_ml.jobs.explain import ExplainResult
    from overdue_ml.jobs.monitor import MonitorResult
    from overdue_ml.jobs.score import ScorePlan, ScoreResult
    from overdue_ml.jobs.train import TrainResult

_LABELS = {
    "auc": "AUC",
    "gini": "Gini",
    "ks": "KS",
    "average_precision": "average precision",
    "brier": "Brier score",
    "log_loss": "log loss",
    "ece": "calibration error (ECE)",
    "capture_rate_at_5": "overdue customers caught in the top 5 %",
    "capture_rate_at_10": "overdue customers caught in the top 10 %",
    "capture_rate_at_20": "overdue customers caught in the top 20 %",
    "lift_at_10": "lift in the top 10 %",
}


def table_text(rows: list[list[str]], header: list[str], right: set[int]) -> str:
    """A plain table: columns padded, the named ones right-aligned."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        padded = [
            c.rjust(w) if i in right else c.ljust(w)
            for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  " + "  ".join(padded).rstrip()

    return "\n".join([line(header), "  " + "  ".join("-" * w for w in widths), *(line(row) for row in rows)])


def metrics_text(table: pd.DataFrame, heading: str = "on rows the model never saw") -> str:
    """The evaluation table with 95 % intervals where there are any."""
    rows = []
    for row in table.to_dict("records"):
        if row["metric"] in _LABELS:
            span = "" if math.isnan(row["low"]) else f"{row['low']:.4f} to {row['high']:.4f}"
            rows.append([_LABELS[row["metric"]], f"{row['value']:.4f}", span])
    return table_text(rows, [heading, "value", "95 % interval"], {1})


def validation_text(report: ValidationReport, out: Path | None) -> str:
    """Tables, broken rules, and whether the records can be used."""
    rows = [
        [t.table, f"{t.rows:,}", f"{t.accepted:,}", f"{t.rejected:,}", f"{t.rejected_share:.3%}"]
        for t in report.tables
    ]
    parts = [table_text(rows, ["table", "rows", "accepted", "rejected", "share"], {1, 2, 3, 4})]
    broken = [r for r in report.rules if r.rows_rejected]
    if broken:
        cells = [[r.table, r.rule, f"{r.rows_rejected:,}", ", ".join(r.first_keys[:3])] for r in broken]
        parts.append(table_text(cells, ["table", "rule broken", "rows", "first keys"], {2}))
    for f in report.freshness:
        if f.is_stale:
            what = f"no {f.column} up to" if f.newest is None else f"newest {f.column} {f.newest},"
            age = "" if f.age_days is None else f" {f.age_days} days before"
            parts.append(
                f"Warning: {f.table}: {what}{age} {report.as_of} (limit {report.max_age_days} days)."
            )
    limit = f"{report.max_rejected_share:.2%}"
    verdict = "can be used" if report.passed else "cannot be used"
    parts.append(
        f"{len(report.rules)} rules checked. The records {verdict} "
        f"(limit of rejected rows: {limit} of a table)."
    )
    if out is not None:
        parts.append(f"Report and rejected rows: {out}")
    return "\n\n".join(parts)


def _where(result: TrainResult) -> str:
    if result.run is None:
        return ""
    return f"Registered as {result.run.model_name} version {result.run.version} (run {result.run.run_id})."


def training_text(result: TrainResult, models: Path = Path("models")) -> str:
    """What was trained, how good it is, where it is, and the command that puts it to work."""
    f = result.facts
    lines = [
        f"Trained on {f['train_rows']:,} rows ({f['train_overdue']:,} overdue) "
        f"as of {', '.join(f['as_of'])}, "
        f"{f['n_features']} features.",
        f"Evaluated on {f['test_rows']:,} rows ({f['test_overdue']:,} overdue) that were set aside.",
        "",
        metrics_text(result.evaluation.overall),
        "",
        _where(result),
    ]
    if result.run is not None:
        name = [] if result.run.model_name == "overdue" else ["--name", result.run.model_name]
        folder = [] if models == Path("models") else ["--models", str(models)]
        command = ["overdue-ml", "promote", result.run.version, "--alias", "champion", *name, *folder]
        lines.append(f"Next: {shlex.join(command)}")
    return "\n".join(lines)


def training_json(result: TrainResult) -> dict[str, Any]:
    """The same as plain data."""
    run = result.run
    return {
        "run_id": run.run_id if run else None,
        "model": run.model_name if run else None,
        "version": run.version if run else None,
        "bundle_hash": result.bundle_hash,
        "metrics": {row.metric: row.value for row in result.evaluation.overall.itertuples()},
        "facts": dict(result.facts),
    }


def _explained(manifest: Mapping[str, Any]) -> str:
    n = manifest["n_explained"]
    return "Every score is explained" if n == manifest["n_customers"] else f"{n:,} scores are explained"


def _lists_text(m: Mapping[str, Any]) -> list[str]:
    """The watch list and who is past due; what the policy could not ask, or not read."""
    watched = [
        f"{rule['n']:,} {rule['kind']} {rule['indicator']} {rule['threshold']:g}"
        for rule in m["watch_list"]
        if rule["n"]
    ]
    earlier = m.get("watched", {}).get("earlier")
    since = ", with no run before it" if earlier is None else f" since {earlier[0]}"
    lines = [f"Watch list{since}: {', '.join(watched) or 'nobody'}."] if m["watch_list"] else []
    if earlier is not None and earlier[1] != m["watched"]["model"]:
        lines.append(
            f"Note: {earlier[1]} gave the scores of {earlier[0]}, {m['watched']['model']} those of today; a "
            "score may have moved for that alone."
        )
    rungs = ", ".join(f"{rung} {n:,}" for rung, n in m["treatment"].items())
    if rungs:
        lines.append(f"{sum(m['treatment'].values()):,} customers are past due; suggested: {rungs}.")
    lines += _beyond_the_model(m)
    planned = m.get("planned", {}).get("runs", [])
    if planned:
        runs = ", ".join(f"{n:,} by the run of {day}" for day, n in planned)
        lines.append(
            f"Contacts planned before for days after {m['as_of']}: {runs}; they count for caps, cooldown and "
            "daily capacity."
        )
    if not m["reminder_inputs"]["has_contacts"]:
        known = (
            "of contacts only those that earlier runs planned are known"
            if planned
            else "nobody is left out for having been contacted enough"
        )
        lines.append(f"Note: the records have no table 'contacts': {known}.")
    unclear = ", ".join(f"{rule} {n:,}" for rule, n in m["reminder_inputs"]["unclear"].items())
    if unclear:
        lines.append(f"Note: flags that say neither yes nor no count as yes: {unclear}.")
    # Older runs do not say.
    for rule, values in m["reminder_inputs"].get("unmatched", {}).items():
        told = ", ".join(f"'{value[:40]}'" for value in values[:5]) + (", ..." if len(values) > 5 else "")
        lines.append(f"Note: no cell holds these values of the exclusion {rule}; are they misspelt? {told}.")
    return lines


def _beyond_the_model(m: Mapping[str, Any]) -> list[str]:
    """How many customers are not like those that the model learned from."""
    population, n_late = m["labels"]["population"], sum(m["treatment"].values())
    n = {"pre_due": n_late, "past_due": m["n_customers"] - n_late}.get(population, 0)
    if not n:
        return []
    learned, told = ("not past due", "are") if population == "pre_due" else ("past due", "are not")
    return [
        f"Note: the model learned only from customers who were {learned} (population: {population}); the "
        f"probabilities of the {n:,} who {told} say little."
    ]


def scoring_text(result: ScoreResult) -> str:
    """Counts and files of a scoring run."""
    m = result.manifest
    if result.already_done:
        return (
            "Already done: the same records, model and config were scored before. Nothing was written.\n"
            f"{result.folder}"
        )
    tiers = ", ".join(f"{n:,} {tier}" for tier, n in m["tiers"].items())
    suppressed = ", ".join(f"{rule} {n:,}" for rule, n in m["suppressed"].items()) or "nobody"
    lines = [
        f"Scored {m['n_customers']:,} customers as of {m['as_of']} with {m['model']['name']} version "
        f"{m['model']['version']}: {tiers}.",
        f"{_explained(m)}; base + contributions = log-odds within {m['largest_explanation_gap']:.1e}."
        if m["n_explained"]
        else "No score is explained.",
        f"{m['n_reminders']:,} customers are on the reminder list; suppressed: {suppressed}.",
        *_lists_text(m),
    ]
    drift = [f"{name} {psi:.2f}" for name, psi, status in m["drift"] if status != "stable"]
    if drift:
        lines.append(f"Not as in training (PSI above 0.1): {', '.join(drift[:5])}.")
    if m["trained_on_later_outcomes"]:
        lines.append(
            f"Note: the model learned from outcomes final on {m['labels_final_on']}, after the as_of date; "
            "scores of its training customers are in-sample."
        )
    lines += ["", str(result.folder)]
    about = {
        "scores.parquet": "one row a customer: probability, points, tier, rank, dues, up to four reasons",
        "contributions.parquet": "what each feature added, in log-odds",
        "reminders.csv": "whom to remind, best first (reminders.parquet: the same)",
        "reminders.xlsx": "the same for Excel",
        "suppressed.parquet": "who is not on the list, and by which rule",
        "arms.parquet": "of the campaign: who is treated and who is held out",
        "watch_list.csv": "whose figures reached a line or moved far since the run before",
        "treatment.csv": "who is past due, with a suggested rung of the ladder; an officer decides",
        "manifest.json": "what this run depended on",
    }
    there = {*m["files"], "manifest.json"}
    return "\n".join([*lines, *(f"  {name:<22} {text}" for name, text in about.items() if name in there)])


def plan_json(plan: ScorePlan) -> dict[str, Any]:
    """What a scoring run would do, as plain data."""
    return {
        "run_key": plan.run_key,
        "already_done": None if plan.done is None else str(plan.done),
        "beside": [str(path) for path in plan.beside],
        "n_buckets": plan.n_buckets,
        "n_ready": plan.n_ready,
        "left_over": [str(path) for path in plan.left_over],
    }


def plan_text(plan: ScorePlan) -> str:
    """What a scoring run would do; the answer to ``--dry-run``."""
    if plan.done is not None:
        return f"Already done, nothing would be written: {plan.done}"
    lines = [f"{plan.n_buckets - plan.n_ready:,} of {plan.n_buckets:,} bucket(s) would be scored."]
    if plan.n_ready:
        lines.append(f"{plan.n_ready:,} stand ready from an attempt that was interrupted.")
    if plan.beside:
        lines.append(f"The result would stand beside, not over: {', '.join(p.name for p in plan.beside)}.")
    if plan.left_over:
        names = ", ".join(p.name for p in plan.left_over)
        lines.append(f"Begun with other inputs and not finished, to be deleted if not wanted: {names}.")
    return "\n".join([*lines, "Nothing was written."])


def card_text(result: ExplainResult) -> str:
    """Probability, standing and the strongest reasons in the card's language, then the file."""
    card, words = result.card, result.wording
    standing = words.text("book_rank", rank=f"{card.rank:,}", n=f"{card.n_customers:,}")
    lines = [
        f"{card.customer_id} · {words.text('as_of', date=words.format_date(card.as_of))}",
        f"{words.text('probability_heading')}: {card.p_overdue:.1%} · {words.tier(card.tier)} · {standing}",
        *(f"  {r.contribution:+.2f}  {r.title}: {r.sentence}" for r in card.told_reasons(words)[0]),
        "",
        str(result.path),
    ]
    return "\n".join(lines)


def cards_json(results: list[ExplainResult]) -> dict[str, Any]:
    """File, probability and rank of one card, or of each of several under ``cards``."""
    cards = [{"card": str(r.path), "p_overdue": r.card.p_overdue, "rank": r.card.rank} for r in results]
    return cards[0] if len(cards) == 1 else {"cards": cards}


def monitor_text(result: MonitorResult) -> str:
    """Drift, then realised performance."""
    rows = [[str(r.feature), f"{r.psi:.4f}", str(r.status)] for r in result.drift.itertuples()]
    parts = [table_text(rows, ["against training", "PSI", "status"], {1})]
    if result.realised is not None:
        parts.append(f"Outcomes of {result.realised.attrs['n_rows']:,} scored customers are known:")
        parts.append(metrics_text(result.realised, "as it turned out"))
        if result.in_sample:
            parts.append(
                "Note: the model learned from outcomes after this as_of date, so some of these customers "
                "were in its training data; the figures flatter it."
            )
    return "\n\n".join(parts)


def demo_text(result: DemoResult) -> str:
    """What the demo did, for a person who sees it for the first time."""
    f, later = result.trained.facts, result.out_of_time
    n = {t.table: t.rows for t in result.records.report.tables}
    top = [
        [str(r.reminder_rank), str(r.customer_id), f"{r.p_overdue:.0%}", f"{r.due_amount:,.0f}",
         f"{r.expected_overdue_amount:,.0f}", str(r.tier), str(r.reasons)]
        for r in result.top.itertuples()
    ]  # fmt: skip
    lines = [
        "",
        "1. Records (UCI 'default of credit card clients', Taiwan 2005)",
        f"   {n['customers']:,} customers, {n['accounts']:,} accounts, {n['statements']:,} statements, "
        f"{n['labels']:,} outcomes; {sum(t.rejected for t in result.records.report.tables)} rows rejected.",
        "",
        f"2. Model: trained on {f['train_rows']:,} customers, tested on {f['test_rows']:,} others "
        f"({f['n_features']} features of repayment and account; sex, marriage, age, education not used)",
        "",
        metrics_text(result.trained.evaluation.overall),
        "",
        f"   Out of time, on the statements alone: trained on {', '.join(later.facts['as_of'])}, tested on "
        f"{', '.join(later.facts['test_as_of'])}",
        f"   ({later.facts['test_rows']:,} customers, overdue = more than 30 days late): "
        f"AUC {_value(later, 'auc')}, average precision {_value(later, 'average_precision')}, "
        f"ECE {_value(later, 'ece')}.",
        "",
        f"   {_where(result.trained)} It is now the champion.",
        "",
        "3. " + scoring_text(result.scored).replace("\n", "\n   "),
        "",
        "4. The first ten of the reminder list, by expected overdue amount",
        table_text(
            top, ["", "customer", "p", "due", "expected", "tier", "why (strongest first)"], {0, 2, 3, 4}
        ),
        "",
        "5. Cards of the first customer, to open in a browser",
        *(f"   {path}" for path in result.cards),
    ]
    return "\n".join(lines)


def _value(result: TrainResult, metric: str) -> str:
    row = result.evaluation.overall.set_index("metric").loc[metric]
    return f"{row['value']:.4f} ({row['low']:.4f} to {row['high']:.4f})"


def demo_json(result: DemoResult) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "trained": training_json(result.trained),
        "out_of_time": training_json(result.out_of_time),
        "scores": str(result.scored.folder),
        "top": result.top.to_dict("records"),
        "cards": [str(path) for path in result.cards],
    }
