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
    ModelsArg,
    RecordsArg,
    RecordsConfigArg,
    ScoresArg,
    SetArg,
    app,
    print_json,
    progress_on,
)


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
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of another run of the date.")
    ] = False,
    features_module: FeaturesModuleArg = None,
    as_json: JsonArg = False,
) -> None:
    """Rank and explain every customer for one date."""
    from overdue_ml.config import RecordsConfig, RemindersConfig, ScoreConfig, load_config

    score_config = load_config(ScoreConfig, config, settings)
    reminders = load_config(RemindersConfig, reminders_config)
    records_settings = load_config(RecordsConfig, records_config)
    from overdue_ml.jobs.score import ScoreSettings, run_score
    from overdue_ml.jobs.text import scoring_text
    from overdue_ml.records.dates import parse_date
    from overdue_ml.tracking import load_model, open_store

    day = parse_date(as_of, "--as-of")
    with progress_on(as_json) as progress:
        registered = load_model(open_store(models), model)
        settings_ = ScoreSettings(score_config, reminders, records_settings, features_module)
        result = run_score(records, day, registered, out, settings_, replace=replace, progress=progress)
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
