"""The verbs about the book as it stands, and about what reminders did and do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overdue_ml.cli.common import (
    JsonArg,
    LangArg,
    RecordsArg,
    RecordsConfigArg,
    app,
    print_json,
    progress_on,
)
from overdue_ml.errors import ConfigError

if TYPE_CHECKING:
    from overdue_ml.jobs.campaign import CampaignQuestion

_MONTHS, _FPD_DAYS = 12, 30


@app.command()
def report(
    records: RecordsArg,
    as_of: Annotated[str, typer.Option("--as-of", help="YYYY-MM-DD: what was known at the end of that day.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="HTML file; tables go to a folder beside it.")
    ] = None,
    lang: LangArg = "en",
    by: Annotated[
        str | None,
        typer.Option("--by", help="Columns of accounts or customers, as product,region; default: product."),
    ] = None,
    months: Annotated[int, typer.Option("--months", help="Month ends before the date.")] = _MONTHS,
    fpd_days: Annotated[
        int, typer.Option("--fpd-days", help="A first due later than this is a first-payment default.")
    ] = _FPD_DAYS,
    campaign: Annotated[
        str | None,
        typer.Option("--campaign", help="Tell what the reminders of this campaign did, not the book."),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            "--scores",
            help="With --campaign: --out of 'overdue-ml score', or one run; the last run of a date counts.",
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="With --campaign: leave out runs after this day.")
    ] = None,
    bands: Annotated[
        str | None, typer.Option("--bands", help="With --campaign: bounds of the amount due, as 500,2000.")
    ] = None,
    records_config: RecordsConfigArg = None,
    as_json: JsonArg = False,
) -> None:
    """Age the book: buckets, growth, roll rates, cures, vintages. With --campaign: what reminders did."""
    from overdue_ml.records.dates import parse_date

    day = parse_date(as_of, "--as-of")
    if campaign is not None:
        if by is not None or months != _MONTHS or fpd_days != _FPD_DAYS:
            raise ConfigError("--by, --months and --fpd-days are about the book, not about a campaign")
        question = _campaign_question(campaign, scores, until, bands)
        _report_campaign(question, records, as_of, out, lang, records_config, as_json)
        return
    if not (scores is None and until is None and bands is None):
        raise ConfigError("--scores, --until and --bands need --campaign")

    from overdue_ml.config import RecordsConfig, load_config
    from overdue_ml.jobs.report import BookQuestion, report_json, report_text, run_report

    settings = load_config(RecordsConfig, records_config)
    columns = None if by is None else [name.strip() for name in by.split(",") if name.strip()]
    asked = BookQuestion(months, columns, fpd_days)
    with progress_on(as_json) as progress:
        result = run_report(records, day, out, lang, question=asked, config=settings, progress=progress)
    if as_json:
        print_json(report_json(result))
    else:
        typer.echo(report_text(result))


def _campaign_question(
    name: str, scores: Path | None, until: str | None, bands: str | None
) -> CampaignQuestion:
    from overdue_ml.jobs.campaign import CampaignQuestion
    from overdue_ml.records.dates import parse_date

    if scores is None:
        raise ConfigError("--campaign needs --scores", expected="the folder that was --out of 'score'")
    try:
        tops = None if bands is None else [float(top) for top in bands.split(",")]
    except ValueError:
        raise ConfigError(
            f"'{bands}' is no list of amounts", where="--bands", expected="as 500,2000"
        ) from None
    return CampaignQuestion(scores, name, None if until is None else parse_date(until, "--until"), tops)


def _report_campaign(
    question: CampaignQuestion,
    records: Path,
    as_of: str,
    out: Path | None,
    lang: str,
    records_config: Path | None,
    as_json: bool,
) -> None:
    from overdue_ml.config import RecordsConfig, load_config
    from overdue_ml.jobs.campaign import campaign_json, campaign_text, run_campaign
    from overdue_ml.records.dates import parse_date

    # Without a config of its own the records are read as the runs read them.
    config = None if records_config is None else load_config(RecordsConfig, records_config)
    day = parse_date(as_of, "--as-of")
    with progress_on(as_json) as progress:
        result = run_campaign(question, records, day, out, lang, config=config, progress=progress)
    if as_json:
        print_json(campaign_json(result))
    else:
        typer.echo(campaign_text(result))


@app.command()
def uplift(
    records: RecordsArg,
    as_of: Annotated[str, typer.Option("--as-of", help="YYYY-MM-DD: outcomes known by the end of that day.")],
    campaign: Annotated[str, typer.Option("--campaign", help="Learn from the holdout of this campaign.")],
    scores: Annotated[
        Path, typer.Option("--scores", help="--out of 'overdue-ml score'; the last run of a date counts.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the new list; another one than --scores.")],
    run: Annotated[
        Path | None, typer.Option("--run", help="The run to rank; by default the last one up to the date.")
    ] = None,
    features: Annotated[
        str | None, typer.Option("--features", help="Features that benefits go by too, as a,b.")
    ] = None,
    learner: Annotated[str, typer.Option("--learner", help="linear or forest.")] = "linear",
    seed: Annotated[int, typer.Option("--seed")] = 0,
    records_config: RecordsConfigArg = None,
    as_json: JsonArg = False,
) -> None:
    """Rank the reminder list of a run by what reminders do, learned from a campaign's holdout."""
    from overdue_ml.config import RecordsConfig, load_config
    from overdue_ml.jobs.uplift import UpliftQuestion, run_uplift, uplift_json, uplift_text
    from overdue_ml.records.dates import parse_date
    from overdue_ml.reminders.uplift import check_learner

    names = tuple(name.strip() for name in (features or "").split(",") if name.strip())
    question = UpliftQuestion(scores, campaign, run, names, check_learner(learner), seed)
    config = None if records_config is None else load_config(RecordsConfig, records_config)
    day = parse_date(as_of, "--as-of")
    with progress_on(as_json) as progress:
        result = run_uplift(question, records, day, out, config=config, progress=progress)
    if as_json:
        print_json(uplift_json(result))
    else:
        typer.echo(uplift_text(result))
