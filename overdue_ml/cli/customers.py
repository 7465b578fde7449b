"""Verbs about single customers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overdue_ml.cli.common import (
    MODELS,
    FeaturesModuleArg,
    JsonArg,
    LangArg,
    ModelsArg,
    RecordsArg,
    RunRecordsArg,
    ScoresArg,
    app,
    print_json,
)


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
    what_if: Annotated[
        bool | None,
        typer.Option(
            "--what-if/--no-what-if", help="Standard events on the card; by default of one card only."
        ),
    ] = None,
    models: ModelsArg = MODELS,
    features_module: FeaturesModuleArg = None,
    as_json: JsonArg = False,
) -> None:
    """Write the card of one customer or of many: why this score, in words."""
    from overdue_ml.jobs.cards import CardBook
    from overdue_ml.jobs.explain import chosen_customers, write_cards
    from overdue_ml.jobs.text import card_text, cards_json

    # It takes some seconds a card, where thousands of cards without it take seconds.
    asked = (top is None and len(customer or []) == 1) if what_if is None else what_if
    book = CardBook(
        scores, lang, source=records, wording=wording, own=features_module, mask_ids=mask_ids,
        models=models if asked else None,
    )  # fmt: skip
    results = write_cards(book, chosen_customers(book, customer, top), out)
    if as_json:
        print_json(cards_json(results))
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
    events_file: Annotated[
        Path | None,
        typer.Option(
            "--events",
            help="YAML with events of your own: payment, income, borrowing, limit, standard or ledger rows, "
            "each with its amount and day; docs/events.yaml shows one of each.",
        ),
    ] = None,
    below: Annotated[
        float | None, typer.Option("--below", help="Without events: a probability to come below.")
    ] = None,
    records: RunRecordsArg = None,
    models: ModelsArg = MODELS,
    lang: LangArg = "en",
    features_module: FeaturesModuleArg = None,
    as_json: JsonArg = False,
) -> None:
    """Score a customer as if something happened, or search what would lower the tier."""
    from overdue_ml.explain import event_named, load_events, load_wording
    from overdue_ml.jobs.whatif import run_what_if

    words, events = load_wording(lang), [event_named(name) for name in event or []]
    events += load_events(events_file) if events_file else []
    own = features_module
    result = run_what_if(scores, customer, models, events, below=below, source=records, own=own)
    if as_json:
        print_json(result.answer.to_dict())
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
        print_json(change_json(result))
    else:
        typer.echo(change_text(result, words))


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
        print_json(replay_json(result))
    else:
        typer.echo(replay_text(result))
    if result.exit_code:
        raise typer.Exit(result.exit_code)
