"""Verbs about registered models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overdue_ml.cli.common import MODELS, ConfigArg, JsonArg, ModelsArg, NameArg, SetArg, app, print_json


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="Registered version, as 'train' printed it.")],
    alias: Annotated[str, typer.Option("--alias", help="champion or challenger.")] = "champion",
    by: Annotated[str | None, typer.Option("--by", help="Who promotes; the login name by default.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Evidence, in words.")] = "",
    name: NameArg = "overdue",
    override: Annotated[
        str, typer.Option("--override", help="Why a champion is wanted although a gate fails; recorded.")
    ] = "",
    config: ConfigArg = None,
    settings: SetArg = None,
    models: ModelsArg = MODELS,
    as_json: JsonArg = False,
) -> None:
    """Give a registered version an alias, on the record; a champion must pass the gates."""
    import getpass

    from overdue_ml.config import GatesConfig, load_config
    from overdue_ml.jobs.promote import promotion_text, run_promote
    from overdue_ml.tracking import Policy

    policy = Policy(load_config(GatesConfig, config, settings), override)
    line = run_promote(models, version, alias, by or getpass.getuser(), reason, name, policy)
    if as_json:
        print_json(line)
    else:
        typer.echo(promotion_text(line))


@app.command()
def champion(
    on: Annotated[str, typer.Option("--on", help="YYYY-MM-DD: who was champion at the end of that day.")],
    name: NameArg = "overdue",
    timezone: Annotated[str, typer.Option("--timezone", help="IANA zone in which the day ends.")] = "UTC",
    models: ModelsArg = MODELS,
    as_json: JsonArg = False,
) -> None:
    """Say which version was champion on a day, by the promotion log."""
    from overdue_ml.jobs.promote import champion_text, run_champion
    from overdue_ml.records.dates import parse_date

    day = parse_date(on, "--on")
    found = run_champion(models, day, name, timezone)
    if as_json:
        print_json({"on": day.isoformat()} | vars(found))
    else:
        typer.echo(champion_text(found, day))


@app.command()
def rollback(
    by: Annotated[str, typer.Option("--by", help="Who rolls back.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, in words.")],
    name: NameArg = "overdue",
    models: ModelsArg = MODELS,
    as_json: JsonArg = False,
) -> None:
    """Make the champion of before champion again, on the record; twice goes further back."""
    from overdue_ml.jobs.rollback import rollback_text, run_rollback

    line = run_rollback(models, by, reason, name)
    if as_json:
        print_json(line)
    else:
        typer.echo(rollback_text(line))


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="name@alias or name/version.")],
    to: Annotated[Path, typer.Option("--to", help="A new folder.")],
    config: ConfigArg = None,
    settings: SetArg = None,
    models: ModelsArg = MODELS,
    as_json: JsonArg = False,
) -> None:
    """Write a model into a folder that scores anywhere, without MLflow; --config as configs/score.yaml."""
    from overdue_ml.config import ScoreConfig, load_config
    from overdue_ml.jobs.export import export_text, run_export

    registered, folder = run_export(models, model, to, load_config(ScoreConfig, config, settings))
    if as_json:
        print_json({"folder": str(folder)} | registered.card())
    else:
        typer.echo(export_text(registered, folder))
