"""``overdue-ml report --campaign``: what reminders did, as a page and as tables."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from overdue_ml.config import LabelsConfig, RecordsConfig, build_config
from overdue_ml.errors import CampaignError, ConfigError, RecordsError
from overdue_ml.jobs.book import open_book
from overdue_ml.jobs.pages import write_page
from overdue_ml.jobs.places import MANIFEST, parse_run, sha256_of
from overdue_ml.jobs.progress import Progress, Silent
from overdue_ml.jobs.text import table_text
from overdue_ml.labels import compute_unpaid, label_customers
from overdue_ml.monitoring import Campaign, CampaignEffect, estimate_campaign
from overdue_ml.records import Records
from overdue_ml.reports import render_campaign
from overdue_ml.reports.svg import clean

_ARMS = "arms.parquet"
_PLAIN = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class CampaignQuestion:
    """What is asked of a campaign.

    Parameters
    ----------
    scores : Path
        The folder in which its runs stand, or one run. Of several runs of a date the last one counts.
    name : str
        Of the campaign, as in the reminders config.
    until : datetime.date, optional
        Later runs are left out.
    bands : sequence of float, optional
        Bounds of the amount due; by default thirds.
    """

    scores: Path
    name: str
    until: dt.date | None = None
    bands: Sequence[float] | None = None


@dataclass(frozen=True)
class CampaignRuns:
    """The runs of one campaign.

    Attributes
    ----------
    folders : list of Path
        By date and number.
    share : float
        That was to be held out.
    labels : LabelsConfig
        What the models of the runs call overdue.
    records : RecordsConfig
        How the last run read the records.
    arms : pandas.DataFrame
        Of all runs, one below the other.
    superseded : list of Path
        Runs of the campaign that are left out, since a later one of their date stands there.
    """

    folders: list[Path]
    share: float
    labels: LabelsConfig
    records: RecordsConfig
    arms: pd.DataFrame
    superseded: list[Path]


@dataclass(frozen=True)
class CampaignResult:
    """The effect, the runs it was read from, its page, and the folder of its tables."""

    effect: CampaignEffect
    name: str
    runs: CampaignRuns
    page: Path
    tables: Path


def run_campaign(
    question: CampaignQuestion,
    source: Path | Records,
    as_of: dt.date,
    out: Path | None = None,
    lang: str = "en",
    *,
    config: RecordsConfig | None = None,
    progress: Progress | None = None,
) -> CampaignResult:
    """Estimate what the reminders of a campaign did, and write a page and, beside it, its tables.

    Parameters
    ----------
    question : CampaignQuestion
    source : Path or Records
        Records in which the outcomes are known by now.
    as_of : datetime.date
        What became known later is not looked at: neither runs nor outcomes nor contacts.
    out : Path, optional
        HTML file; by default ``out/campaign_<name>_<date>.html``.
    lang : {'en', 'zh'}
    config : RecordsConfig, optional
        How records are read from a path; by default as the last run read them.
    progress : Progress, optional

    Returns
    -------
    CampaignResult

    Raises
    ------
    CampaignError
        If nothing can be concluded: see :func:`overdue_ml.monitoring.estimate_campaign`; also if the runs
        were made with several shares or definitions of overdue.
    ConfigError
        If there is no such campaign, or the language or a bound cannot be used.
    RecordsError
        If the records are bad, or a run is not as it was written.
    ResourceError
        If the output cannot be written.
    """
    progress = progress or Silent()
    progress.stage("reading runs")
    runs = read_runs(question, as_of)
    progress.stage("reading records")
    records = open_book(source, config or runs.records).load_all()
    progress.stage("reading outcomes")
    days = sorted({day.date() for day in pd.to_datetime(runs.arms["as_of_date"])})
    outcomes = label_customers(records, days, runs.labels)
    unpaid = compute_unpaid(records, days, runs.labels)
    progress.stage("comparing the arms")
    contacts = records.frame("contacts") if "contacts" in records else None
    campaign = Campaign(runs.share, question.bands)
    effect = estimate_campaign(runs.arms, outcomes, as_of, campaign, contacts, unpaid)
    page = render_campaign(effect, question.name, runs.labels, lang, superseded=len(runs.superseded))
    path = out or Path("out") / f"campaign_{file_name(question.name)}_{as_of.isoformat()}.html"
    tables = write_page(page, effect.tables(), path)
    return CampaignResult(effect, question.name, runs, path, tables)


def file_name(campaign: str) -> str:
    """A campaign's name as a part of a file's name: another campaign has another one.

    Examples
    --------
    >>> file_name("spring_2024")
    'spring_2024'
    >>> file_name("../春")
    '_-5d7bbce4'
    """
    plain = _PLAIN.sub("_", campaign)[:40]
    if plain == campaign:
        return plain
    return f"{plain}-{hashlib.sha256(campaign.encode()).hexdigest()[:8]}"


def read_runs(question: CampaignQuestion, as_of: dt.date) -> CampaignRuns:
    """The runs of a campaign up to a date, with their arms.

    Of several of one date the last counts: whoever scored again meant the list that came of it. Another one
    can be named as ``scores``.

    Parameters
    ----------
    question : CampaignQuestion
    as_of : datetime.date

    Returns
    -------
    CampaignRuns

    Raises
    ------
    CampaignError
        If they were made with several shares or definitions of overdue.
    ConfigError
        If there is none.
    RecordsError
        If one of them is not as it was written.
    """
    last = min(as_of, question.until or as_of)
    found = list(finished_runs(question.scores))
    named = [(path, m) for path, m in found if _holdout(m).get("campaign") == question.name]
    mine = [(path, m) for path, m in named if dt.date.fromisoformat(m["as_of"]) <= last]
    last_of = {m["as_of"]: path for path, m in mine}
    drawn = [(path, m) for path, m in mine if path == last_of[m["as_of"]] and _holdout(m).get("share")]
    if not drawn:
        raise _no_run(question, [m for _, m in found], bool(named), bool(mine), last)
    shares = {float(_holdout(m)["share"]) for _, m in drawn}
    definitions = {json.dumps(m["labels"], sort_keys=True) for _, m in drawn}
    for what, several in (("shares", shares), ("definitions of overdue", definitions)):
        if len(several) > 1:
            raise CampaignError(
                f"the runs were made with {len(several)} {what}",
                where=f"{drawn[0][0].name} to {drawn[-1][0].name}",
                expected="one of them for a whole campaign",
                next_step="give each its own campaign name, or leave out the later runs (--until)",
            )
    manifest = drawn[-1][1]
    return CampaignRuns(
        [path for path, _ in drawn],
        shares.pop(),
        build_config(LabelsConfig, manifest["labels"], where=MANIFEST),
        build_config(RecordsConfig, manifest["settings"]["records"], where=MANIFEST),
        pd.concat([_read_arms(path, m, question.name) for path, m in drawn], ignore_index=True),
        [path for path, m in mine if path != last_of[m["as_of"]]],
    )


def superseded_text(runs: CampaignRuns) -> list[str]:
    """A line on runs that are left out, if there are any."""
    if not runs.superseded:
        return []
    names = [folder.name for folder in runs.superseded]
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return [f"{len(names)} run(s) left out, since a later run of the date counts: {shown}."]


def finished_runs(scores: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Folders and manifests of finished runs by date and number; a folder that cannot be read is no run.

    Parameters
    ----------
    scores : Path
        The folder in which they stand, or one of them.
    """
    if (scores / MANIFEST).is_file():
        folders = [scores]
    else:
        named = [(parse_run(p.parent.name), p.parent) for p in scores.glob(f"as_of=*/{MANIFEST}")]
        folders = [path for _, path in sorted((run, path) for run, path in named if run is not None)]
    found = []
    for folder in folders:
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            dt.date.fromisoformat(manifest["as_of"])
            _holdout(manifest).get("campaign")
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue
        found.append((folder, manifest))
    return found


def _holdout(manifest: dict[str, Any]) -> dict[str, Any]:
    # Runs of before there were holdouts do not say.
    found: dict[str, Any] = manifest["settings"]["reminders"].get("holdout", {})
    return found


def _no_run(
    question: CampaignQuestion, manifests: list[dict[str, Any]], named: bool, in_time: bool, last: dt.date
) -> ConfigError:
    where, name = str(question.scores), clean(question.name, 60)
    if in_time:
        return ConfigError(
            f"the campaign '{name}' held nobody out",
            where=where,
            next_step="set holdout.share and score again",
        )
    if named:
        return ConfigError(f"the campaign '{name}' has no run up to {last}", where=where)
    others = sorted({str(_holdout(m).get("campaign")) for m in manifests if _holdout(m).get("campaign")})
    return ConfigError(
        f"no run of a campaign '{name}' stands there",
        where=where,
        expected=f"one of {', '.join(clean(other, 60) for other in others[:10])}"
        if others
        else "runs that were scored with a holdout",
        next_step="give the folder that was --out of 'overdue-ml score'",
    )


def read_written(folder: Path, manifest: Mapping[str, Any], name: str, next_step: str) -> pd.DataFrame:
    """A table of a run, if it is still as the run wrote it.

    Parameters
    ----------
    folder : Path
    manifest : mapping
        Of the run.
    name : str
        Of the Parquet file.
    next_step : str
        What to do where it is not.

    Raises
    ------
    RecordsError
        If it is gone or was changed.
    """
    path = folder / name
    try:
        if sha256_of(path) != manifest["files"][name]:
            raise ValueError("changed since")
        table: pd.DataFrame = pq.read_table(path, page_checksum_verification=True).to_pandas()
    except (OSError, ValueError, LookupError, TypeError, pa.ArrowException) as error:
        raise RecordsError(
            f"{name} is not as the run wrote it", where=str(folder), next_step=next_step
        ) from error
    return table


def _read_arms(folder: Path, manifest: Mapping[str, Any], campaign: str) -> pd.DataFrame:
    told = "bring back the file; without it the arms of this run are not known"
    arms = read_written(folder, manifest, _ARMS, told)
    return arms[arms["campaign"] == campaign]


def campaign_text(result: CampaignResult) -> str:
    """The difference over all and by group, what limits it, then the files."""
    effect, runs = result.effect, result.runs
    shown = effect.effects[effect.effects["grouping"] != "as_of_date"]
    money = {"money": "amount due of overdue, less (95 %)"}
    if effect.knows_unpaid:
        money["unpaid"] = "left unpaid, less (95 %)"
    rows = [_cells({str(k): v for k, v in row.items()}, list(money)) for row in shown.to_dict("records")]
    header = [
        "", "reminded", "held out", "overdue", "overdue", "less overdue, points (95 %)", *money.values(),
    ]  # fmt: skip
    lines = [
        f"Campaign {clean(result.name, 60)}: {len(runs.folders)} run(s), {effect.counts['customers']:,} "
        f"customers, {runs.share:.0%} held out; outcomes known by {effect.as_of}.",
        *superseded_text(runs),
        "",
        table_text(rows, header, {1, 2, 3, 4}),
        "Amounts are for each due listed: the whole amount due of who went overdue"
        + (", and what was left of it unpaid on the day it became overdue." if effect.knows_unpaid else "."),
        "",
        *_limits_text(effect),
        "",
        str(result.page),
        str(result.tables),
    ]
    return "\n".join(lines)


def _cells(row: dict[str, Any], money: Sequence[str]) -> list[str]:
    """A row of effects as it is printed."""
    name = row["group"] if row["grouping"] == "all" else f"{row['grouping']} {row['group']}"
    counts = [f"{row['treated_rows']:,}", f"{row['holdout_rows']:,}"]
    if row["too_few"]:
        return [name, *counts, "too few", "", "", *("" for _ in money)]
    ends = ("difference", "low", "high")
    # Adding zero takes the sign off a rounded zero.
    points = [f"{round(100 * row[f'rate_{end}'], 1) + 0.0:+.1f}" for end in ends]
    amounts = [[f"{round(row[f'{kind}_{end}'], 2) + 0.0:+,.2f}" for end in ends] for kind in money]
    rates = [f"{row['treated_rate']:.1%}", f"{row['holdout_rate']:.1%}"]
    return [name, *counts, *rates, *(f"{x[0]} ({x[1]} to {x[2]})" for x in (points, *amounts))]


def _limits_text(effect: CampaignEffect) -> list[str]:
    overall = effect.overall
    lines = []
    if overall["rate_low"] <= 0 <= overall["rate_high"]:
        lines.append(
            "No difference beyond chance: four of five such campaigns would have found one of "
            f"{100 * effect.detectable:.1f} points."
        )
    if effect.contacted is None:
        lines.append("Contacts are not known, so nobody can say whether those held out were contacted.")
    else:
        held = effect.contacted["holdout"]
        lines.append(
            f"Contacted before the due date: {effect.contacted['treated']:,} of "
            f"{overall['treated_rows']:,} to be reminded, {held:,} of {overall['holdout_rows']:,} held out"
            + (", which makes the difference smaller than what reminders do." if held else ".")
        )
    tiers = effect.effects[(effect.effects["grouping"] == "tier") & ~effect.effects["too_few"]]
    known = tiers[tiers["group"].isin(["high", "medium", "low"])]
    if len(known) and overall["rate_low"] > 0:
        words = ", ".join(
            f"{group}: {value:.3f}"
            for group, value in zip(known["group"], known["rate_difference"].tolist(), strict=True)
        )
        lines.append(f"For a ranking by expected benefit: benefits: {{{words}}}")
    return lines


def campaign_json(result: CampaignResult) -> dict[str, Any]:
    """The files, counts and all tables as plain data; what cannot be told is null."""
    effect, runs = result.effect, result.runs
    tables = {
        name: table.astype(object).where(table.notna(), None).to_dict("records")
        for name, table in effect.tables().items()
    }
    return {
        "campaign": result.name,
        "as_of": effect.as_of.isoformat(),
        "runs": [folder.name for folder in runs.folders],
        "superseded": [folder.name for folder in runs.superseded],
        "share": runs.share,
        "ratio_p": effect.ratio_p,
        "detectable": effect.detectable,
        "counts": effect.counts,
        "contacted": effect.contacted,
        "labels": runs.labels.model_dump(mode="json"),
        "page": str(result.page),
        "tables_folder": str(result.tables),
        "tables": tables,
    }
