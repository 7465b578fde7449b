"""Verbs that make or read records and train on them."""

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
    SetArg,
    app,
    print_json,
    progress_on,
)


@app.command()
def demo(
    records: Annotated[Path | None, typer.Option("--records", help="The folder data/taiwan.")] = None,
    models: ModelsArg = MODELS,
    out: Annotated[Path, typer.Option("--out", help="Where scores and cards go.")] = Path("out/demo"),
    as_json: JsonArg = False,
) -> None:
    """Run the whole line on real data: train, evaluate, score, explain."""
    from overdue_ml.jobs.demo import find_demo_records, run_demo
    from overdue_ml.jobs.text import demo_json, demo_text

    with progress_on(as_json) as progress:
        result = run_demo(records or find_demo_records(), models, out, progress)
    if as_json:
        print_json(demo_json(result))
    else:
        typer.echo(demo_text(result))


@app.command()
def validate(
    records: RecordsArg,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for report.json, report.html and rejected rows.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="YYYY-MM-DD: warn of tables without recent events.")
    ] = None,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Only print a mapping for unknown table and column names.")
    ] = False,
    config: ConfigArg = None,
    settings: SetArg = None,
    as_json: JsonArg = False,
) -> None:
    """Check records against the table contracts; write the rejected rows with the rule they broke."""
    from overdue_ml.config import RecordsConfig, load_config, parse_yaml

    records_config = load_config(RecordsConfig, config, settings)
    if suggest:
        from overdue_ml.records import suggest_mapping

        proposal = suggest_mapping(records, records_config)
        if as_json:
            print_json(parse_yaml(proposal, "--suggest"))
        else:
            typer.echo(proposal, nl=False)
        return
    from overdue_ml.jobs.text import validation_text
    from overdue_ml.jobs.validate import run_validate
    from overdue_ml.records.dates import parse_date

    day = None if as_of is None else parse_date(as_of, "--as-of")
    report = run_validate(records, records_config, out, day)
    if as_json:
        print_json(report.to_dict())
    else:
        typer.echo(validation_text(report, out))
        if report.remarks:
            typer.echo("\n" + "\n".join(remark.line for remark in report.remarks))
    if not report.passed:
        raise typer.Exit(3)


@app.command()
def train(
    records: RecordsArg,
    config: ConfigArg = None,
    settings: SetArg = None,
    records_config: RecordsConfigArg = None,
    models: ModelsArg = MODELS,
    features_module: FeaturesModuleArg = None,
    as_json: JsonArg = False,
) -> None:
    """Train on matured labels, evaluate on rows set aside, register the model."""
    from overdue_ml.config import RecordsConfig, TrainConfig, load_config
    from overdue_ml.jobs.text import training_json, training_text
    from overdue_ml.jobs.train import run_train

    train_config = load_config(TrainConfig, config, settings)
    with progress_on(as_json) as progress:
        result = run_train(
            records,
            load_config(RecordsConfig, records_config),
            train_config,
            models,
            progress,
            features_module,
        )
    if as_json:
        print_json(training_json(result))
    else:
        typer.echo(training_text(result, models))
