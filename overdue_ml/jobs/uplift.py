"""``overdue-ml uplift``: the reminder list of a scoring run ranked by what reminders do.

What they do is learned from the outcomes of a campaign with a holdout. The new list stands in a folder that
holds what a run holds of its lists, so that ``report --campaign`` can tell of it as of any other.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from overdue_ml.config import RecordsConfig, RemindersConfig, build_config
from overdue_ml.errors import CampaignError, ConfigError
from overdue_ml.features import build_features
from overdue_ml.jobs.book import open_book
from overdue_ml.jobs.campaign import (
    CampaignQuestion,
    CampaignRuns,
    finished_runs,
    read_runs,
    read_written,
    superseded_text,
)
from overdue_ml.jobs.excel import check_excel, write_excel
from overdue_ml.jobs.lists import mask_columns
from overdue_ml.jobs.output import whole_folder, write_csv, write_json, write_parquet
from overdue_ml.jobs.places import MANIFEST, sha256_of
from overdue_ml.jobs.progress import Progress, Silent
from overdue_ml.jobs.text import table_text
from overdue_ml.labels import label_customers
from overdue_ml.metrics import compare_rankings
from overdue_ml.monitoring import Campaign, CampaignEffect, campaign_rows, estimate_campaign
from overdue_ml.records import Records
from overdue_ml.reminders import (
    ReminderList,
    UpliftLimits,
    UpliftModel,
    collect_inputs,
    cross_uplift,
    fit_uplift,
    rank_customers,
    room_of,
)
from overdue_ml.reminders.uplift import Learner

_SCORES = "scores.parquet"
_KEYS = ["customer_id", "as_of_date"]


@dataclass(frozen=True)
class UpliftQuestion:
    """What is learned from, and which run is ranked.

    Parameters
    ----------
    scores : Path
        The folder in which the runs stand. Of several runs of a date the last one is learned from.
    campaign : str
        Whose holdout is learned from.
    run : Path, optional
        The run to rank; by default the last one up to the date.
    features : sequence of str
        Features beside the room to move (see :func:`overdue_ml.reminders.room_of`).
    learner : {'linear', 'forest'}
    seed : int
    """

    scores: Path
    campaign: str
    run: Path | None = None
    features: Sequence[str] = ()
    learner: Learner = "linear"
    seed: int = 0


@dataclass(frozen=True)
class UpliftResult:
    """A list ranked by benefit.

    Attributes
    ----------
    effect : CampaignEffect
        Of the history.
    model : UpliftModel
    rankings : pandas.DataFrame
        Money saved among the first of the history by risk and by benefit, as the holdout shows it, each
        customer's benefit from a model that never saw the customer; see
        :func:`overdue_ml.metrics.compare_rankings`.
    lists : ReminderList
    folder : Path
        ``<out>/as_of=YYYY-MM-DD``.
    runs : CampaignRuns
        What was learned from, of which those without final outcomes were left out.
    """

    effect: CampaignEffect
    model: UpliftModel
    rankings: pd.DataFrame
    lists: ReminderList
    folder: Path
    runs: CampaignRuns


def run_uplift(
    question: UpliftQuestion,
    source: Path | Records,
    as_of: dt.date,
    out: Path,
    *,
    config: RecordsConfig | None = None,
    limits: UpliftLimits | None = None,
    progress: Progress | None = None,
) -> UpliftResult:
    """Learn what reminders do, and rank a run's customers by it.

    Parameters
    ----------
    question : UpliftQuestion
    source : Path or Records
        With the outcomes of the campaign.
    as_of : datetime.date
        What became known later is not looked at. Runs whose outcomes are not all final are not learned from.
    out : Path
        Another folder than that of the runs.
    config : RecordsConfig, optional
        How records are read from a path; by default as the last run of the campaign read them.
    limits : UpliftLimits, optional
    progress : Progress, optional

    Returns
    -------
    UpliftResult

    Raises
    ------
    CampaignError
        If nothing can be concluded from the campaign.
    ConfigError
        If there is no such campaign or run, a feature is unknown, econml is not installed, openpyxl is not
        where the policy asks for a workbook, or the new list would stand over another one.
    ModelError
        If there is too little history.
    RecordsError
        If the records are bad, or a run is not as it was written.
    ResourceError
        If the output cannot be written.
    """
    progress = progress or Silent()
    progress.stage("reading runs")
    runs = read_runs(CampaignQuestion(question.scores, question.campaign), as_of)
    run, manifest = _find_run(question, as_of)
    target = out / f"as_of={manifest['as_of']}"
    if target.exists():
        raise ConfigError("a list stands there already", where=str(target), next_step="choose another --out")
    policy = build_config(RemindersConfig, manifest["settings"]["reminders"], where=MANIFEST)
    policy = policy.model_copy(update={"rank_by": "expected_benefit"})
    if policy.excel:
        check_excel()
    records = open_book(source, config or runs.records).load_all()
    progress.stage("reading outcomes")
    effect, rows = _history(runs, records, as_of)
    progress.stage("learning what reminders do")
    features = _features(rows, records, question.features)
    told = features, rows["arm"], rows["verdict"] == "overdue"
    options: dict[str, Any] = {"seed": question.seed, "learner": question.learner, "limits": limits}
    model = fit_uplift(*told, customers=rows["customer_id"], **options)
    # Of half of the customers: what is enough for all need not be refused for these.
    halved = options | {"limits": UpliftLimits(1, 1)}
    own = cross_uplift(*told, rows["customer_id"], **halved)
    rankings = compare_rankings(
        {"risk": rows["p_overdue"] * rows["due_amount"], "benefit": own * rows["due_amount"]},
        told[2], rows["is_holdout"], rows["due_amount"], rows["customer_id"],
    )  # fmt: skip
    progress.stage("ranking")
    scores = read_written(run, manifest, _SCORES, next_step="score again")
    scores["benefit"] = model.predict(_features(scores, records, question.features))
    inputs = collect_inputs(records, dt.date.fromisoformat(manifest["as_of"]), policy)
    lists = rank_customers(scores, policy, inputs)
    facts = {"campaign": question.campaign, "known_by": as_of.isoformat(), **_facts_of(model, question)}
    told_of = manifest | _changed(manifest, policy, lists, facts)
    _write(target, policy, scores, lists, rankings, told_of)
    return UpliftResult(effect, model, rankings, lists, target, runs)


def _find_run(question: UpliftQuestion, as_of: dt.date) -> tuple[Path, dict[str, Any]]:
    place = question.run or question.scores
    found = [(path, m) for path, m in finished_runs(place) if dt.date.fromisoformat(m["as_of"]) <= as_of]
    if not found:
        raise ConfigError(
            f"no scoring run up to {as_of} stands there",
            where=str(place),
            next_step="name a folder that 'overdue-ml score' wrote",
        )
    return found[-1]


def _history(runs: CampaignRuns, records: Records, as_of: dt.date) -> tuple[CampaignEffect, pd.DataFrame]:
    """The effect on the dates of which every outcome is final, and their rows."""
    arms = runs.arms.assign(as_of_date=pd.to_datetime(runs.arms["as_of_date"]).astype("datetime64[s]"))
    days = sorted({day.date() for day in arms["as_of_date"]})
    outcomes = label_customers(records, days, runs.labels)
    final = arms[_KEYS].merge(outcomes.reset_index(), on=_KEYS, how="left")
    known = (final["verdict"] != "immature") & (final["matured_on"] <= pd.Timestamp(as_of))
    # Whole dates: of one that is not final yet, those known are the bad ones.
    whole = known.groupby(final["as_of_date"]).all()
    kept = arms[arms["as_of_date"].isin(whole.index[whole])]
    if kept.empty:
        raise CampaignError(
            "no run of the campaign has final outcomes",
            where=f"known by {as_of}",
            next_step="ask again later, with records that reach that day",
        )
    effect = estimate_campaign(kept, outcomes, as_of, Campaign(runs.share))
    rows = campaign_rows(kept, outcomes, as_of)
    return effect, rows[rows["verdict"] != "already_overdue"].reset_index(drop=True)


def _features(rows: pd.DataFrame, records: Records, names: Sequence[str]) -> pd.DataFrame:
    """What benefits go by: the room to move, and named features as known on the date of each row."""
    found = pd.DataFrame({"room": room_of(rows["p_overdue"])})
    if not names:
        return found
    keys = rows[_KEYS].assign(as_of_date=pd.to_datetime(rows["as_of_date"]).astype("datetime64[s]"))
    days = sorted({day.date() for day in keys["as_of_date"]})
    built = build_features(records, days, names)
    values = built.reindex(pd.MultiIndex.from_frame(keys))
    return found.assign(**{str(name): values[name].to_numpy() for name in built.columns})


def _changed(
    manifest: Mapping[str, Any], policy: RemindersConfig, lists: ReminderList, facts: dict[str, Any]
) -> dict[str, Any]:
    """What the manifest of the new list says otherwise than that of the run."""
    key = json.dumps([manifest.get("run_key"), facts], sort_keys=True)
    return {
        "run_key": hashlib.sha256(key.encode()).hexdigest(),
        "ranked_from": manifest.get("run_key"),
        "uplift": facts,
        "settings": manifest["settings"] | {"reminders": policy.model_dump(mode="json")},
        "n_reminders": len(lists.reminders),
        "suppressed": _counts(lists.suppressed["rule"]),
        "arms": _counts(lists.arms["arm"]),
    }


def _counts(words: pd.Series) -> dict[str, int]:
    return {str(word): int(n) for word, n in words.value_counts().sort_index().items()}


def _write(
    target: Path,
    policy: RemindersConfig,
    scores: pd.DataFrame,
    lists: ReminderList,
    rankings: pd.DataFrame,
    manifest: dict[str, Any],
) -> None:
    """Write the folder as a whole."""
    shown = mask_columns(lists.reminders, policy.masked_columns)
    with whole_folder(target) as folder:
        write_parquet(scores, folder / _SCORES)
        write_parquet(lists.reminders, folder / "reminders.parquet")
        write_csv(shown, folder / "reminders.csv")
        if policy.excel:
            day = dt.date.fromisoformat(manifest["as_of"])
            write_excel(shown, folder / "reminders.xlsx", "reminders", day)
        write_parquet(lists.suppressed, folder / "suppressed.parquet")
        if policy.holdout.campaign is not None:
            write_parquet(lists.arms, folder / "arms.parquet")
        write_parquet(rankings, folder / "rankings.parquet")
        write_csv(rankings, folder / "rankings.csv")
        files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
        write_json(manifest | {"files": files}, folder / MANIFEST)


def _facts_of(model: UpliftModel, question: UpliftQuestion) -> dict[str, Any]:
    return {
        "features": list(model.feature_names),
        "learner": question.learner,
        "seed": question.seed,
        "n_treated": model.n_treated,
        "n_holdout": model.n_holdout,
        "mean_benefit": model.mean_benefit,
        "low": model.low,
        "high": model.high,
    }


def uplift_text(result: UpliftResult) -> str:
    """What was learned, what it is worth on the history, then the folder."""
    model, table = result.model, result.rankings
    rows = [
        [
            f"{row['top']:.0%}",
            row["ranking"],
            f"{row['saved']:,.0f} ({row['low']:,.0f} to {row['high']:,.0f})",
            "" if row["ranking"] == "risk" else f"{row['gain']:+,.0f} ({row['gain_low']:+,.0f} to "
            f"{row['gain_high']:+,.0f})",
        ]
        for row in table.sort_values("top", kind="stable").to_dict("records")
    ]  # fmt: skip
    header = ["first", "ranked by", "money saved (95 %)", "more than by risk (95 %)"]
    sure = table[(table["ranking"] == "benefit") & (table["top"] < 1)]
    verdict = (
        "Ranking by benefit saved more beyond chance among some of the first."
        if (sure["gain_low"] > 0).any()
        else "The history does not show that ranking by benefit saves more than ranking by risk."
    )
    return "\n".join(
        [
            f"Learned from {model.n_treated:,} dues reminded and {model.n_holdout:,} held out:",
            f"a reminder takes {100 * model.mean_benefit:.1f} points ({100 * model.low:.1f} to "
            f"{100 * model.high:.1f}) off the overdue rate.",
            *superseded_text(result.runs),
            "",
            "What reminders save among the first of the list, as the holdout shows it:",
            table_text(rows, header, {0}),
            verdict,
            "",
            f"{len(result.lists.reminders):,} customers are on the list ranked by benefit.",
            str(result.folder),
        ]
    )


def uplift_json(result: UpliftResult) -> dict[str, Any]:
    """The same as plain data; what cannot be told is null."""
    model, table = result.model, result.rankings
    return {
        "folder": str(result.folder),
        "superseded": [folder.name for folder in result.runs.superseded],
        "features": list(model.feature_names),
        "n_treated": model.n_treated,
        "n_holdout": model.n_holdout,
        "mean_benefit": model.mean_benefit,
        "low": model.low,
        "high": model.high,
        "rankings": table.astype(object).where(table.notna(), None).to_dict("records"),
        "n_reminders": len(result.lists.reminders),
    }
