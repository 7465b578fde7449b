"""``overdue-ml demo``: the whole line on real data, once."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from overdue_ml.config import (
    EvaluationConfig,
    LabelsConfig,
    ModelConfig,
    RecordsConfig,
    RemindersConfig,
    SplitConfig,
    TrainConfig,
)
from overdue_ml.errors import ConfigError
from overdue_ml.explain import load_wording
from overdue_ml.jobs.explain import run_explain
from overdue_ml.jobs.progress import Progress, Silent
from overdue_ml.jobs.promote import run_promote
from overdue_ml.jobs.score import ScoreResult, ScoreSettings, run_score
from overdue_ml.jobs.train import TrainResult, run_train
from overdue_ml.records import Records, load_records
from overdue_ml.tracking import load_model, open_store

AS_OF = dt.date(2005, 9, 30)
#: Observation points of the out-of-time check: each label is final before the last of them.
_EARLIER = ["2005-05-31", "2005-06-30", "2005-07-31", "2005-08-31"]


@dataclass(frozen=True)
class DemoResult:
    """Everything the demo made.

    Attributes
    ----------
    records : Records
    trained : TrainResult
        On the published label, evaluated on customers the model never saw.
    out_of_time : TrainResult
        On the statements alone: trained on earlier months, evaluated on a later one.
    scored : ScoreResult
    top : pandas.DataFrame
        The first ten of the reminder list, with ``reasons`` in words.
    cards : list of Path
    """

    records: Records
    trained: TrainResult
    out_of_time: TrainResult
    scored: ScoreResult
    top: pd.DataFrame
    cards: list[Path]


def find_demo_records() -> Path:
    """The folder ``data/taiwan`` of the working folder or of the checkout.

    Raises
    ------
    ConfigError
        If it is in neither.
    """
    for root in (Path.cwd(), Path(__file__).resolve().parents[2]):
        folder = root / "data" / "taiwan"
        if folder.is_dir():
            return folder
    raise ConfigError(
        "the demo's data are not here", expected="the folder data/taiwan", next_step="give it with --records"
    )


def run_demo(source: Path, models: Path, out: Path, progress: Progress | None = None) -> DemoResult:
    """Train, check out of time, promote, score, explain.

    Parameters
    ----------
    source : Path
        The folder ``data/taiwan``.
    models, out : Path
    progress : Progress, optional

    Returns
    -------
    DemoResult
    """
    progress = progress or Silent()
    config = RecordsConfig(timezone="Asia/Taipei")
    progress.stage("reading records")
    records = load_records(source, config)
    trained = run_train(records, config, TrainConfig(), models, progress)
    progress.stage("checking out of time: trained on May to July, tested on August")
    # Code 2 and more means late in every month; code 1 exists in September only (data/taiwan/README.md).
    check = TrainConfig(
        as_of=_EARLIER,
        labels=LabelsConfig(source="next_statement", overdue_dpd=31, population="pre_due"),
        split=SplitConfig(by="time"),
        model=ModelConfig(cv=2),
        evaluation=EvaluationConfig(n_boot=100),
    )
    out_of_time = run_train(records, config, check, None)
    assert trained.run is not None
    name, version = trained.run.model_name, trained.run.version
    run_promote(models, version, "champion", "demo", "the demo's candidate", name)
    registered = load_model(open_store(models), f"{name}@champion")
    # The statements of September are due by the end of October.
    settings = ScoreSettings(reminders=RemindersConfig(lead_days=31), records=config)
    scored = run_score(source, AS_OF, registered, out, settings, progress=progress)
    progress.stage("writing customer cards")
    top = _top(scored.folder)
    first = str(top["customer_id"].iloc[0])
    cards = [run_explain(scored.folder, first, lang, source=records).path for lang in ("en", "zh")]
    return DemoResult(records, trained, out_of_time, scored, top, cards)


def _top(folder: Path, n: int = 10) -> pd.DataFrame:
    words = load_wording("en")
    reminders = pd.read_parquet(folder / "reminders.parquet").head(n)
    scores = pd.read_parquet(folder / "scores.parquet").set_index("customer_id")
    texts = []
    for customer in reminders["customer_id"]:
        row = scores.loc[customer]
        adverse = [
            words.title(row[f"reason_{i}_code"]) for i in range(1, 5) if row[f"reason_{i}_contribution"] > 0
        ]
        texts.append("; ".join(adverse))
    return reminders.assign(reasons=texts)
