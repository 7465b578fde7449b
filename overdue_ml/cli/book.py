"""Verbs about everybody of one date."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overdue_ml.cli.common import (
    MODELS,
    ConfigArg,
    FeaturesModuleArg,
    JsonArg,
    LangArg,
    ModelsArg,
    RecordsArg,
    RecordsConfigArg,
    RunRecordsArg,
    ScoresArg,
    SetArg,
    app,
    print_json,
    progress_on,
)


def _set(key: str, value: object) -> list[str]:
    return [] if value is None else [f"{key}={value}"]


@app.command()
def prepare(
    records: RecordsArg,
    to: Annotated[Path, typer.Option("--to", help="A new folder.")],
    buckets: Annotated[
        int | None, typer.Option("--buckets", min=1, help="How many; by default 50,000 customers each.")
    ] = None,
    records_config: RecordsConfigArg = None,
    as_json: JsonArg = False,
) -> None:
    """Validate records once and write them in buckets of customers, which 'score' reads one at a time."""
    from overdue_ml.config import RecordsConfig, load_config
    from overdue_ml.jobs.prepare import prepare_text, run_prepare

    with progress_on(as_json) as progress:
        done = run_prepare(records, to, load_config(RecordsConfig, records_config), buckets, progress)
    if as_json:
        print_json({"folder": str(done.path), "n_buckets": done.n_buckets} | dict(done.prepared or {}))
    else:
        typer.echo(prepare_text(done))


@app.command()
def score(
    records: RecordsArg,
    as_of: Annotated[str, typer.Option("--as-of", help="YYYY-MM-DD: what was known at the end of that day.")],
    out: Annotated[Path, typer.Option("--out", help="Results go to <out>/as_of=YYYY-MM-DD.")],
    model: Annotated[str, typer.Option("--model", help="name@alias or name/version.")] = "overdue@champion",
    config: ConfigArg = None,
    settings: SetArg = None,
    reminders_config: Annotated[
        Path | None, typer.Option("--reminders-config", help="YAML as configs/reminders.yaml.")
    ] = None,
    records_config: RecordsConfigArg = None,
    models: ModelsArg = MODELS,
    batch_config: Annotated[
        Path | None, typer.Option("--batch-config", help="YAML as configs/batch.yaml.")
    ] = None,
    engine: Annotated[str | None, typer.Option("--engine", help="local, dask or spark.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Processes.")] = None,
    explain: Annotated[
        str | None, typer.Option("--explain", help="Explain all, listed (only those to be reminded) or none.")
    ] = None,
    excel: Annotated[
        bool, typer.Option("--excel", help="Also write the reminders as reminders.xlsx.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done; write nothing.")
    ] = False,
    features_module: FeaturesModuleArg = None,
    as_json: JsonArg = False,
) -> None:
    """Rank and explain every customer for one date; killed at any moment, it goes on where it stopped."""
    from overdue_ml.config import BatchConfig, RecordsConfig, RemindersConfig, ScoreConfig, load_config

    score_config = load_config(ScoreConfig, config, [*(settings or []), *_set("explain", explain)])
    reminders = load_config(RemindersConfig, reminders_config, ["excel=true"] if excel else None)
    records_settings = load_config(RecordsConfig, records_config)
    batch = load_config(BatchConfig, batch_config, [*_set("engine", engine), *_set("workers", workers)])
    from overdue_ml.jobs.score import ScoreSettings, plan_score, run_score
    from overdue_ml.jobs.text import plan_json, plan_text, scoring_text
    from overdue_ml.records.dates import parse_date
    from overdue_ml.tracking import load_model, open_store

    day = parse_date(as_of, "--as-of")
    with progress_on(as_json) as progress:
        registered = load_model(open_store(models, create=False), model)
        settings_ = ScoreSettings(score_config, reminders, records_settings, features_module, batch)
        if dry_run:
            plan = plan_score(records, day, registered, out, settings_)
        else:
            result = run_score(records, day, registered, out, settings_, progress=progress)
    if dry_run:
        print_json(plan_json(plan)) if as_json else typer.echo(plan_text(plan))
        return
    if as_json:
        print_json(
            {"folder": str(result.folder), "already_done": result.already_done} | dict(result.manifest)
        )
    else:
        typer.echo(scoring_text(result))


@app.command()
def monitor(
    scores: ScoresArg,
    outcomes: Annotated[
        Path | None, typer.Option("--outcomes", help="Records in which the outcomes are known by now.")
    ] = None,
    config: ConfigArg = None,
    settings: SetArg = None,
    records_config: RecordsConfigArg = None,
    as_json: JsonArg = False,
) -> None:
    """Report drift of a scored book and, with outcomes, how right the scores were."""
    from overdue_ml.config import LabelsConfig, RecordsConfig, load_config
    from overdue_ml.jobs.monitor import run_monitor
    from overdue_ml.jobs.text import monitor_text

    # Without settings of its own an outcome is what it was when the model was trained.
    labels = load_config(LabelsConfig, config, settings) if config or settings else None
    result = run_monitor(scores, outcomes, load_config(RecordsConfig, records_config), labels)
    if as_json:
        realised = None if result.realised is None else result.realised.to_dict("records")
        print_json(
            {"drift": result.drift.to_dict("records"), "realised": realised, "in_sample": result.in_sample}
        )
    else:
        typer.echo(monitor_text(result))


@app.command()
def overview(
    scores: ScoresArg,
    lang: LangArg = "en",
    out: Annotated[
        Path | None, typer.Option("--out", help="HTML file; by default overview_<lang>.html in the run.")
    ] = None,
    records: RunRecordsArg = None,
    models: ModelsArg = MODELS,
    segment: Annotated[
        list[str] | None,
        typer.Option("--segment", help="'tier' or a column of accounts or customers. Repeatable."),
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", min=1, help="Customers looked at, drawn by id.")
    ] = 100_000,
    features_module: FeaturesModuleArg = None,
    as_json: JsonArg = False,
) -> None:
    """Show what moves the scores of a whole book: reasons, features, interactions, groups."""
    from overdue_ml.jobs.overview import TIER, OverviewSettings, run_overview

    settings = OverviewSettings(segment or (TIER,), sample, own=features_module)
    result = run_overview(scores, lang, source=records, out=out, models=models, settings=settings)
    found = result.overview
    if as_json:
        tables = {"reasons": found.reasons, "features": found.features, "interactions": found.interactions}
        print_json(
            {"page": str(result.path), "n_customers": found.n, "n_explained": found.n_book}
            | {name: None if t is None else t.to_dict("records") for name, t in tables.items()}
            | {"segments": {name: t.to_dict("records") for name, t in found.segments.items()}}
        )
    else:
        typer.echo(f"{found.n:,} of {found.n_book:,} customers: {result.path}")
