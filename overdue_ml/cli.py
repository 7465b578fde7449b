"""The command line: each verb parses its arguments, calls one job and prints what came of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from overdue_ml.errors import OverdueMLError

app = typer.Typer(
    name="overdue-ml",
    help="Predict which borrowers will go overdue: records in, a ranked and explained list out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RecordsArg = Annotated[
    Path,
    typer.Option("--records", help="Folder of <table>.parquet, .csv or parts, or a .duckdb file."),
]
RecordsConfigArg = Annotated[
    Path | None, typer.Option("--records-config", help="YAML as configs/records.yaml.")
]
ConfigArg = Annotated[Path | None, typer.Option("--config", help="YAML file of this verb's settings.")]
SetArg = Annotated[
    list[str] | None, typer.Option("--set", help="Override one setting: key=value. Repeatable.")
]
ModelsArg = Annotated[Path, typer.Option("--models", help="Folder of runs and registered models.")]
JsonArg = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
FeaturesModuleArg = Annotated[
    Path | None,
    typer.Option("--features-module", help="Python file with FEATURES = [...] of your own. It is run."),
]
ScoresArg = Annotated[Path, typer.Option("--scores", help="A scoring run: <out>/as_of=YYYY-MM-DD.")]
RunRecordsArg = Annotated[Path | None, typer.Option("--records", help="The run's records, if they moved.")]
LangArg = Annotated[str, typer.Option("--lang", help="en or zh.")]
NameArg = Annotated[str, typer.Option("--name", help="Registered model.")]
MODELS = Path("models")


class _Console:
    """Stages and bars on a terminal, one plain line a stage elsewhere; all on standard error."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None
        self._task: Any = None

    def stage(self, name: str) -> None:
        """Say that a stage begins."""
        if self._quiet:
            return
        if sys.stderr.isatty():
            self._on_terminal(name)
        else:
            typer.echo(f"- {name}", err=True)

    def _on_terminal(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        if self._bar is None:
            self._bar = Progress(
                SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
                console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._bar.start()
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=None)

    def advance(self, done: int, total: int) -> None:
        """Say how far the stage is."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def _progress(as_json: bool) -> Iterator[_Console]:
    console = _Console(quiet=as_json)
    try:
        yield console
    finally:
        console.close()


def _print_json(data: Any) -> None:
    typer.echo(json.dumps(data, ensure_ascii=False, indent=2, default=str))


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

    with _progress(as_json) as progress:
        result = run_demo(records or find_demo_records(), models, out, progress)
    if as_json:
        _print_json(demo_json(result))
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
            _print_json(parse_yaml(proposal, "--suggest"))
        else:
            typer.echo(proposal, nl=False)
        return
    from overdue_ml.jobs.text import validation_text
    from overdue_ml.jobs.validate import run_validate
    from overdue_ml.records.dates import parse_date

    day = None if as_of is None else parse_date(as_of, "--as-of")
    report = run_validate(records, records_config, out, day)
    if as_json:
        _print_json(report.to_dict())
    else:
        typer.echo(validation_text(report, out))
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
    with _progress(as_json) as progress:
        result = run_train(
            records,
            load_config(RecordsConfig, records_config),
            train_config,
            models,
            progress,
            features_module,
        )
    if as_json:
        _print_json(training_json(result))
    else:
        typer.echo(training_text(result))


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
        _print_json(line)
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
        _print_json({"on": day.isoformat()} | vars(found))
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
        _print_json(line)
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
        _print_json({"folder": str(folder)} | registered.card())
    else:
        typer.echo(export_text(registered, folder))


@app.command()
def replay(
    customer: Annotated[str, typer.Option("--customer", help="customer_id, character by character.")],
    as_of: Annotated[str, typer.Option("--as-of", help="YYYY-MM-DD, that of the run.")],
    run_folder: Annotated[Path, typer.Option("--run", help="A scoring run: <out>/as_of=YYYY-MM-DD.")],
    records: RecordsArg,
    models: ModelsArg = MODELS,
    features_module: FeaturesModuleArg = None,
    as_json: JsonArg = False,
) -> None:
    """Score one customer of a run again: 0 the same, 3 other records, 4 another model or code."""
    from overdue_ml.jobs.replay import replay_json, replay_text, run_replay
    from overdue_ml.records.dates import parse_date

    day = parse_date(as_of, "--as-of")
    result = run_replay(run_folder, customer, day, records, models, features_module)
    if as_json:
        _print_json(replay_json(result))
    else:
        typer.echo(replay_text(result))
    if result.exit_code:
        raise typer.Exit(result.exit_code)


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
    with _progress(as_json) as progress:
        registered = load_model(open_store(models), model)
        settings_ = ScoreSettings(score_config, reminders, records_settings, features_module)
        result = run_score(records, day, registered, out, settings_, replace=replace, progress=progress)
    if as_json:
        _print_json(
            {"folder": str(result.folder), "already_done": result.already_done} | dict(result.manifest)
        )
    else:
        typer.echo(scoring_text(result))


@app.command()
def explain(
    scores: ScoresArg,
    customer: Annotated[
        list[str] | None, typer.Option("--customer", help="customer_id, character by character. Repeatable.")
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", min=1, help="Instead: so many customers, the riskiest first.")
    ] = None,
    lang: Annotated[str, typer.Option("--lang", help="en or zh.")] = "en",
    records: Annotated[
        Path | None, typer.Option("--records", help="The scored records, if they moved.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="HTML file, or folder of several cards; by default cards/ in the run."),
    ] = None,
    wording: Annotated[
        Path | None, typer.Option("--catalogue", "--wording", help="A reason catalogue of your own.")
    ] = None,
    mask_ids: Annotated[
        bool, typer.Option("--mask-ids", help="Show only the ends of customers' and accounts' ids.")
    ] = False,
    features_module: FeaturesModuleArg = None,
    as_json: JsonArg = False,
) -> None:
    """Write the card of one customer or of many: why this score, in words."""
    from overdue_ml.jobs.cards import CardBook
    from overdue_ml.jobs.explain import chosen_customers, write_cards
    from overdue_ml.jobs.text import card_text, cards_json

    book = CardBook(scores, lang, source=records, wording=wording, own=features_module, mask_ids=mask_ids)
    results = write_cards(book, chosen_customers(book, customer, top), out)
    if as_json:
        _print_json(cards_json(results))
    else:
        typer.echo(card_text(results[0]) if len(results) == 1 else "\n".join(str(r.path) for r in results))


@app.command(name="what-if")
def what_if(
    scores: ScoresArg,
    customer: Annotated[str, typer.Option("--customer", help="customer_id, character by character.")],
    event: Annotated[
        list[str] | None,
        typer.Option("--event", help="pay_arrears, pay_next_dues:2, income_falls:0.2 ... Repeatable."),
    ] = None,
    below: Annotated[
        float | None, typer.Option("--below", help="Without --event: a probability to come below.")
    ] = None,
    records: RunRecordsArg = None,
    models: ModelsArg = MODELS,
    lang: LangArg = "en",
    features_module: FeaturesModuleArg = None,
    as_json: JsonArg = False,
) -> None:
    """Score a customer as if something happened, or search what would lower the tier."""
    from overdue_ml.explain import event_named, load_wording
    from overdue_ml.jobs.whatif import run_what_if

    words, events = load_wording(lang), [event_named(name) for name in event or []]
    own = features_module
    result = run_what_if(scores, customer, models, events, below=below, source=records, own=own)
    if as_json:
        _print_json(result.answer.to_dict())
    else:
        typer.echo(result.text(words))


@app.command()
def change(
    before: Annotated[Path, typer.Option("--from", help="The earlier scoring run.")],
    after: Annotated[Path, typer.Option("--to", help="The later one, or one of another model.")],
    customer: Annotated[str | None, typer.Option("--customer", help="One customer; else the book.")] = None,
    records: RunRecordsArg = None,
    models: ModelsArg = MODELS,
    lang: LangArg = "en",
    features_module: FeaturesModuleArg = None,
    as_json: JsonArg = False,
) -> None:
    """Split the change of scores between two runs into data, model and calibration."""
    from overdue_ml.explain import load_wording
    from overdue_ml.jobs.change import change_json, change_text, run_change

    words = load_wording(lang)
    result = run_change(before, after, customer, models=models, source=records, own=features_module)
    if as_json:
        _print_json(change_json(result))
    else:
        typer.echo(change_text(result, words))


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
        _print_json(
            {"drift": result.drift.to_dict("records"), "realised": realised, "in_sample": result.in_sample}
        )
    else:
        typer.echo(monitor_text(result))


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; every foreseen error is one sentence on standard error.

    Parameters
    ----------
    arguments : list of str, optional
        Words after the program's name; those of the process by default.
    """
    try:
        app(arguments)
    except OverdueMLError as error:
        typer.echo(f"error: {error}", err=True)
        return error.exit_code
    except SystemExit as leave:
        # Typer ends every command so: 0 when it is done, 2 for words it does not understand.
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    return 0


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())


if __name__ == "__main__":
    main()
