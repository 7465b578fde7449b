"""The settings models: one for each YAML file in ``configs/``; unknown keys are errors."""

from __future__ import annotations

import re
import zoneinfo
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class _Settings(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, validate_default=True, allow_inf_nan=False
    )


class ColumnMapping(_Settings):
    """Where the cells of one column come from, and how they are read.

    Parameters
    ----------
    column : str
        The column's name in the source.
    values : mapping of str to str, optional
        Their words to ours; other cells stay as they are. An empty text means unknown.
    scale : float, optional
        Numbers are multiplied by this, as 0.01 for cents.
    date_format : str, optional
        How days are written there, as ``%d/%m/%Y``; a cell written otherwise is rejected.
    """

    column: str = Field(min_length=1)
    values: dict[str, str] = {}
    scale: float | None = None
    date_format: str | None = None

    @field_validator("values", mode="before")
    @classmethod
    def _words(cls, values: object) -> object:
        # YAML reads `1: true` as a number and a boolean; cells are text.
        return {_word(k): _word(v) for k, v in values.items()} if isinstance(values, dict) else values

    @field_validator("scale")
    @classmethod
    def _scale_is_not_zero(cls, scale: float | None) -> float | None:
        if scale == 0:
            raise ValueError("a scale of 0 would wipe out every amount")
        return scale

    @field_validator("date_format")
    @classmethod
    def _format_names_a_day(cls, text: str | None) -> str | None:
        if text is None:
            return None
        marks = re.findall(r"%-?(.)", text)
        named = [sum(mark in group for mark in marks) for group in ("d", "mbB", "yY")]
        if named != [1, 1, 1] or set(marks) - set("dmbByYHIMSfp"):
            raise ValueError("needs day, month and year once each and no time zone, as '%d/%m/%Y'")
        return text


def _word(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


class TableMapping(_Settings):
    """Where one table comes from: the source's name for it, and the columns that are named otherwise.

    Parameters
    ----------
    source : str, optional
        Name of the file (without its ending), folder of parts or table; the contract's name otherwise.
    columns : mapping of str to ColumnMapping
        Keyed by the contract's column; a plain text is the column's name in the source.
    """

    source: str | None = Field(default=None, min_length=1)
    columns: dict[str, ColumnMapping] = {}

    @field_validator("columns", mode="before")
    @classmethod
    def _plain_names(cls, columns: object) -> object:
        if not isinstance(columns, dict):
            return columns
        return {name: {"column": c} if isinstance(c, str) else c for name, c in columns.items()}


class RecordsConfig(_Settings):
    """``configs/records.yaml``: how records are read and when a job stops.

    Parameters
    ----------
    timezone : str
        IANA zone in which timestamps are cut to days.
    max_rejected_share : float
        A table of which a larger share of rows is rejected stops the job.
    csv_delimiter, csv_encoding : str
        Declared, never guessed.
    protected : list of str
        Columns of ``customers`` that never become features.
    attributes : list of str
        Columns of ``customers`` that become categorical features.
    posting_lag_days : int
        Days from ``paid_on`` until the lender knows of a payment without ``known_on``.
    tolerance_amount, tolerance_ratio : float
        An instalment that is short by no more than the larger of this amount and this share of its amount
        due counts as settled.
    max_age_days : int
        A table whose newest event is older than this on a date that is asked for gets a warning.
    mapping : mapping of str to TableMapping
        Tables and columns that stand in the source under other names or in another form. Declared,
        never guessed; ``overdue-ml validate --suggest`` proposes one.
    """

    timezone: str = "UTC"
    max_rejected_share: float = Field(default=0.001, ge=0.0, le=1.0)
    csv_delimiter: str = Field(default=",", min_length=1, max_length=1)
    csv_encoding: Literal["utf-8", "utf-16", "latin-1", "gb18030", "gbk"] = "utf-8"
    protected: list[str] = [
        "sex",
        "gender",
        "marriage",
        "marital_status",
        "birth_date",
        "age",
        "age_years",
        "religion",
        "ethnicity",
        "nationality",
    ]
    attributes: list[str] = []
    posting_lag_days: int = Field(default=0, ge=0, le=366)
    tolerance_amount: float = Field(default=0.0, ge=0.0)
    tolerance_ratio: float = Field(default=0.0, ge=0.0, le=1.0)
    max_age_days: int = Field(default=45, ge=0, le=36525)
    mapping: dict[str, TableMapping] = {}

    @field_validator("timezone")
    @classmethod
    def _timezone_exists(cls, name: str) -> str:
        try:
            zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("not an IANA time zone, as 'UTC' or 'Asia/Shanghai'") from None
        return name

    @model_validator(mode="after")
    def _attributes_are_not_protected(self) -> Self:
        both = sorted(set(self.attributes) & set(self.protected))
        if both:
            raise ValueError(
                f"{', '.join(both)} stands under both 'attributes' and 'protected'; "
                "take it out of 'protected' to say so on the record"
            )
        return self


class LabelsConfig(_Settings):
    """What counts as overdue, from which source, and for whom.

    Parameters
    ----------
    source : {'labels', 'next_statement', 'instalments'}
        The ``labels`` table, the days past due of the first statement after the as_of date, or the settled
        instalments that fall due after it.
    horizon_days : int
        How far after the as_of date the deciding statement or due date may lie.
    overdue_dpd : int
        Days past due from which on a customer counts as overdue.
    further_dpd : list of int
        Further degrees of lateness, as 7 and 30, for which a training run gives probabilities too; rising,
        and each above ``overdue_dpd``. Not from the ``labels`` table and not for ``past_due``.
    grace_days : int
        Days after the due date before the days past due of the label begin to count (instalments).
    posting_days : int
        Days after the deadline within which money paid by it may still become known (instalments; only where
        payments have ``known_on``, and not less than ``posting_lag_days`` of the records).
    technical_days : int
        Days after the deadline within which technical payments may still excuse an instalment
        (instalments; only where payments say which are technical).
    population : {'all', 'pre_due', 'past_due'}
        Everyone, only customers without days past due on the as_of date, or only those with: then the
        label is the roll to a worse bucket (1-30, 31-60, 61-90, 90+).
    """

    source: Literal["labels", "next_statement", "instalments"] = "labels"
    horizon_days: int = Field(default=31, ge=1, le=366)
    overdue_dpd: int = Field(default=1, ge=1, le=360)
    further_dpd: list[int] = Field(default=[], max_length=5)
    grace_days: int = Field(default=0, ge=0, le=90)
    posting_days: int = Field(default=7, ge=0, le=90)
    technical_days: int = Field(default=7, ge=0, le=90)
    population: Literal["all", "pre_due", "past_due"] = "all"

    @model_validator(mode="after")
    def _degrees_rise(self) -> Self:
        degrees = [self.overdue_dpd, *self.further_dpd]
        if sorted(set(degrees)) != degrees or degrees[-1] > 360:
            raise ValueError("further_dpd must rise from above overdue_dpd to at most 360")
        if self.further_dpd and (self.source == "labels" or self.population == "past_due"):
            raise ValueError("further_dpd needs days past due: not the labels table, not past_due")
        return self


class SplitConfig(_Settings):
    """How the evaluation part is set aside.

    Parameters
    ----------
    by : {'customer', 'time'}
        Customers drawn by a hash of their id, or the last as_of dates.
    test_share : float
        Share of customers (``by='customer'``).
    test_dates : int
        Number of last as_of dates (``by='time'``).
    salt : str
        Part of the hash, so that another draw is one word away.
    """

    by: Literal["customer", "time"] = "customer"
    test_share: float = Field(default=0.2, gt=0.0, lt=1.0)
    test_dates: int = Field(default=1, ge=1)
    salt: str = "overdue_ml"


class ModelConfig(_Settings):
    """Arguments of :class:`overdue_ml.OverdueClassifier`; see there.

    ``monotone`` holds every feature to the direction that the registry gives it; ``monotone_cost`` measures
    what that costs, by training again without. ``recency_half_life_days`` is the age of an as_of date at
    which its rows count half.
    """

    n_estimators: int = Field(default=400, ge=1)
    learning_rate: float = Field(default=0.03, gt=0.0, le=1.0)
    num_leaves: int = Field(default=8, ge=2)
    max_depth: int = Field(default=8, ge=1, le=30)
    min_child_samples: int = Field(default=50, ge=1)
    reg_lambda: float = Field(default=10.0, ge=0.0)
    colsample_bytree: float = Field(default=0.15, gt=0.0, le=1.0)
    subsample: float = Field(default=0.7, gt=0.0, le=1.0)
    max_bin: int = Field(default=63, ge=2, le=65535)
    monotone: bool = False
    monotone_cost: bool = False
    calibration: Literal["platt", "beta", "isotonic", "venn_abers", "none", "auto"] = "platt"
    recency_half_life_days: float | None = Field(default=None, gt=0.0)
    cv: int = Field(default=5, ge=2)
    early_stopping_rounds: int | None = Field(default=None, ge=1)
    random_state: int = 0


class EvaluationConfig(_Settings):
    """What the evaluation of a training run reports, and in which language.

    Parameters
    ----------
    n_boot : int
        Bootstrap resamples of the 95 % intervals; 0 for none.
    top : list of float
        Shares of the ranked list at which capture and lift are read.
    lang : {'en', 'zh'}
        Language of the evaluation page.
    segments : list of str or None
        Columns of ``accounts`` or ``customers`` by which the metrics are split; None for ``product`` where
        accounts have it.
    amount : str or None
        Feature that tells the amount at stake, for amount bands and lift in money; None for the first of the
        usual ones that is there.
    capacity : float
        Share of the book that a team can work on: where the old and the new score are compared.
    fairness_threshold : float or None
        Probability from which on a row counts as selected in the fairness report, as the medium tier has it;
        None for the riskiest ``capacity``.
    min_group_rows, min_group_overdue : int
        A group of fewer rows, or fewer overdue or other rows, is shown without figures.
    """

    n_boot: int = Field(default=200, ge=0)
    top: list[float] = [0.05, 0.1, 0.2]
    lang: Literal["en", "zh"] = "en"
    segments: list[str] | None = None
    amount: str | None = None
    capacity: float = Field(default=0.1, gt=0.0, le=1.0)
    fairness_threshold: float | None = Field(default=0.2, gt=0.0, lt=1.0)
    min_group_rows: int = Field(default=100, ge=10)
    min_group_overdue: int = Field(default=10, ge=1)


class AuditConfig(_Settings):
    """The leakage audit that every training run begins with.

    Parameters
    ----------
    dates : int
        On how many of the training dates, spread evenly, the features are built again without the future;
        0 for none.
    customers : int
        On how many customers, drawn by a hash of their id.
    max_auc : float
        A single feature that ranks the training rows better than this is suspicious.
    on_hit : {'refuse', 'record'}
        Stop, or train nevertheless and say so in the data sheet.
    """

    dates: int = Field(default=2, ge=0)
    customers: int = Field(default=500, ge=1)
    max_auc: float = Field(default=0.9, gt=0.5, le=1.0)
    on_hit: Literal["refuse", "record"] = "refuse"


class SelectionConfig(_Settings):
    """Which features a model is trained on: arguments of :class:`overdue_ml.model.FeatureSelector`.

    Fitted on the training rows only; what it leaves out stands in the data sheet.

    Parameters
    ----------
    constants : bool
        Leave out features with one value on all rows; missing counts as a value.
    max_missing : float
        Leave out features of which a larger share of rows is missing; 1.0 leaves out none.
    duplicates : bool
        Leave out features that equal an earlier one on every row. Windows of different lengths are equal
        where histories are short, and part later.
    max_psi : float or None
        Leave out features whose population stability index between the earliest training date and any
        later one is higher; only with three training dates or more.
    keep : int or None
        Keep so many, those with the highest gain in a small model on the training rows.
    """

    constants: bool = True
    max_missing: float = Field(default=1.0, ge=0.0, le=1.0)
    duplicates: bool = False
    max_psi: float | None = Field(default=None, gt=0.0)
    keep: int | None = Field(default=None, ge=1)


class FeaturesConfig(_Settings):
    """Which kinds of features a model may be trained on besides the default ones.

    Parameters
    ----------
    ranks : bool
        Also places of customers in the whole book of the date (``<feature>_rank``).
    """

    ranks: bool = False


class TuningConfig(_Settings):
    """Search for better settings of the model before it is trained; off by default.

    Parameters
    ----------
    trials : int
        Settings to try, those of ``model`` first; 0 is no limit where ``minutes`` is given, else off.
    minutes : float or None
        Stop after the trial during which so many minutes are over. What is found then depends on the
        machine; with ``trials`` alone it does not.
    folds : int
        The last as_of dates of the training rows, each tried on dates whose labels were final by then;
        with too few of them folds of customers.
    criterion : {'log_loss', 'stability'}
        Mean log loss of the folds, or the mean Gini by date less penalties for falling and wobbling.
    """

    trials: int = Field(default=0, ge=0)
    minutes: float | None = Field(default=None, gt=0.0)
    folds: int = Field(default=4, ge=2)
    criterion: Literal["log_loss", "stability"] = "log_loss"

    @property
    def wanted(self) -> bool:
        """Whether there is anything to try."""
        return self.trials > 0 or self.minutes is not None


class TrainConfig(_Settings):
    """``configs/train.yaml``: everything a training run depends on besides the records."""

    as_of: list[str] | None = None
    labels: LabelsConfig = LabelsConfig()
    split: SplitConfig = SplitConfig()
    model: ModelConfig = ModelConfig()
    tuning: TuningConfig = TuningConfig()
    challenger: Literal["none", "scorecard", "logistic"] = "none"
    evaluation: EvaluationConfig = EvaluationConfig()
    features: FeaturesConfig = FeaturesConfig()
    selection: SelectionConfig = SelectionConfig()
    audit: AuditConfig = AuditConfig()
    experiment: str = "overdue"
    registered_model: str = "overdue"


class TierRule(_Settings):
    """A customer is in ``tier`` from this probability AND this due amount on."""

    tier: Literal["high", "medium", "low"]
    min_probability: float = Field(ge=0.0, le=1.0)
    min_amount: float = Field(ge=0.0)


class PointsConfig(_Settings):
    """Scorecard scale: ``base`` points at ``odds`` to 1 on time, ``pdo`` points double the odds."""

    base: float = 600.0
    odds: float = Field(default=50.0, gt=0.0)
    pdo: float = Field(default=20.0, gt=0.0)


class ContributionsConfig(_Settings):
    """What a feature's contribution is taken against.

    Parameters
    ----------
    kind : {'path_dependent', 'interventional'}
        The training rows that came the same way through the trees, or customers of the scored book.
    background : int
        How many of these, drawn by id.
    seed : int
        Of the draw.
    """

    kind: Literal["path_dependent", "interventional"] = "path_dependent"
    background: int = Field(default=500, ge=1, le=10_000)
    seed: int = Field(default=0, ge=0)


class ScoreConfig(_Settings):
    """``configs/score.yaml``: tiers, points, how many reasons are written, and of whom.

    Parameters
    ----------
    tiers : list of TierRule
        The first that is reached counts. Each must be reached by somebody who reaches none before it; the
        last takes everybody.
    points : PointsConfig
    reasons : int
    explain : {'all', 'listed', 'none'}
        Everybody, those on the reminder list, or nobody.
    contributions : ContributionsConfig
    """

    tiers: list[TierRule] = [
        TierRule(tier="high", min_probability=0.5, min_amount=1000.0),
        TierRule(tier="medium", min_probability=0.2, min_amount=100.0),
        TierRule(tier="low", min_probability=0.0, min_amount=0.0),
    ]
    points: PointsConfig = PointsConfig()
    reasons: int = Field(default=4, ge=1, le=4)
    explain: Literal["all", "listed", "none"] = "all"
    contributions: ContributionsConfig = ContributionsConfig()

    @model_validator(mode="after")
    def _last_tier_takes_everybody(self) -> Self:
        last = self.tiers[-1] if self.tiers else None
        if last is None or last.min_probability > 0 or last.min_amount > 0:
            raise ValueError("the last tier must take everybody: min_probability 0 and min_amount 0")
        return self

    @model_validator(mode="after")
    def _every_tier_is_reached(self) -> Self:
        for place, rule in enumerate(self.tiers):
            for before in self.tiers[:place]:
                if before.min_probability <= rule.min_probability and before.min_amount <= rule.min_amount:
                    raise ValueError(
                        f"nobody reaches the tier '{rule.tier}' of min_probability {rule.min_probability:g}: "
                        f"'{before.tier}' before it takes everybody of it"
                    )
        return self


CONFIG_FILES: dict[str, type[_Settings]] = {
    "records.yaml": RecordsConfig,
    "train.yaml": TrainConfig,
    "score.yaml": ScoreConfig,
}
