"""Apply the reminder policy: every scored customer is reminded, or is suppressed by one named rule."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from overdue_ml.config import RemindersConfig
from overdue_ml.config.reminders import EXCLUSIONS, POLICY_RULES
from overdue_ml.errors import ConfigError, OverdueMLError
from overdue_ml.reminders.calendar import ContactPlan, plan_contacts
from overdue_ml.reminders.channels import assign_channels
from overdue_ml.reminders.holdout import draw_holdout
from overdue_ml.reminders.inputs import ReminderInputs
from overdue_ml.reminders.known import Known
from overdue_ml.reminders.listing import REMINDER_COLUMNS as REMINDER_COLUMNS
from overdue_ml.reminders.listing import ReminderList, arms_of, list_chosen, reminders_of, suppressed_of
from overdue_ml.reminders.policy import find_rules
from overdue_ml.reminders.scored import TIERS, Bools, Floats, Ints, Scored, floats_of

#: The rules that the package itself has names for, in the order in which they are asked by default; those of
#: a config are ``RemindersConfig.rules``.
RULES = (*EXCLUSIONS, *POLICY_RULES)


def rank_customers(
    scores: pd.DataFrame, config: RemindersConfig | None = None, inputs: ReminderInputs | None = None
) -> ReminderList:
    """Apply the reminder policy to scored customers.

    A contact is planned on the first possible day and on no later one: whom the policy or its capacity
    leaves out today, the next run asks about again, and knows more.

    Parameters
    ----------
    scores : pandas.DataFrame
        Columns of ``scores.parquet``, one row a customer, of one as_of date.
    config : RemindersConfig, optional
    inputs : ReminderInputs, optional
        What :func:`collect_inputs` read from the records. Without them no rule is asked that needs records,
        and hours are those of ``hours.timezone``, or UTC.

    Returns
    -------
    ReminderList

    Raises
    ------
    ConfigError
        If a column is missing, the inputs are of another date or config, or the benefits by which to rank
        are not known.
    OverdueMLError
        If a customer is scored twice, or reminders and suppressed customers do not add up to all.
    """
    config = config or RemindersConfig()
    scored, known, plan, rule = _ask(scores, config, inputs)
    best = _best_first(rule < 0, scored, _rank_key(scores, scored, config))
    channel = assign_channels(best, scored, known, plan, config)
    rule[best[channel < 0]] = config.rules.index("over_capacity")
    best, channel = best[channel >= 0], channel[channel >= 0]
    held = _hold_out(best, scored, config)
    rule[best[held]] = config.rules.index("holdout")
    chosen = list_chosen(scores, best, channel, plan, config)
    reminders = reminders_of(chosen, held, config)
    suppressed = suppressed_of(scores, scored, rule, config)
    if len(reminders) + len(suppressed) != len(scores):
        raise OverdueMLError(
            f"{len(reminders)} reminders and {len(suppressed)} suppressed are not {len(scores)} customers"
        )
    place = np.empty_like(scored.by_id)
    place[scored.by_id] = np.arange(len(scored))
    return ReminderList(reminders, suppressed, arms_of(chosen, held, np.argsort(place[best]), config))


def ask_alone(
    scores: pd.DataFrame, config: RemindersConfig | None = None, inputs: ReminderInputs | None = None
) -> Ints:
    """The first rule that holds for each customer, whoever else is scored.

    What is left for :func:`rank_customers` to decide among those for whom none holds is capacity and holdout.

    Parameters
    ----------
    scores : pandas.DataFrame
        ``SCORED_COLUMNS``, one row a customer.
    config : RemindersConfig, optional
    inputs : ReminderInputs, optional
        Of these customers.

    Returns
    -------
    ndarray of int64, shape (n,)
        Place among ``config.rules``; -1 where none holds.

    Raises
    ------
    ConfigError, OverdueMLError
        As :func:`rank_customers`.
    """
    return _ask(scores, config or RemindersConfig(), inputs)[-1]


def _ask(
    scores: pd.DataFrame, config: RemindersConfig, inputs: ReminderInputs | None
) -> tuple[Scored, Known, ContactPlan, Ints]:
    scored = Scored.of(scores)
    known = Known.of(scored, config, inputs)
    default = config.hours.timezone or (inputs.timezone if inputs else "UTC")
    plan = plan_contacts(scored.as_of, known.zone, known.zones, default, config.hours)
    return scored, known, plan, find_rules(scored, known, plan, config, asks_contacts=inputs is not None)


def _rank_key(scores: pd.DataFrame, scored: Scored, config: RemindersConfig) -> Floats:
    """What customers are ranked by, most first.

    Raises
    ------
    ConfigError
        If it is not known.
    """
    if config.rank_by != "expected_benefit":
        if config.rank_by not in scores.columns:
            raise ConfigError(f"the scores have no column '{config.rank_by}'", where="rank_by")
        return floats_of(scores[config.rank_by])
    if "benefit" in scores.columns:
        return scored.due_amount * floats_of(scores["benefit"])
    check_benefits(config)
    by_tier = [config.benefits.get(tier, np.nan) for tier in TIERS]
    return np.asarray(scored.due_amount * np.array([*by_tier, np.nan])[scored.tier])


def check_benefits(config: RemindersConfig) -> None:
    """Refuse to rank scores without a column ``benefit`` by what nobody has said of every tier.

    Raises
    ------
    ConfigError
    """
    missing = [tier for tier in config.tiers if tier not in config.benefits]
    if config.rank_by == "expected_benefit" and missing:
        raise ConfigError(
            f"what a reminder does for the tier '{missing[0]}' is not known",
            where="rank_by: expected_benefit",
            expected="a column 'benefit' in the scores, or 'benefits' of every tier that is reminded",
            next_step="take them from a campaign report, or rank by expected_overdue_amount",
        )


def _best_first(among: Bools, scored: Scored, key: Floats) -> Ints:
    """Rows by the key, then by log odds, then by id; unknown values stand last."""
    rows = scored.by_id[among[scored.by_id]]
    return rows[np.lexsort((-scored.log_odds[rows], -key[rows]))]


def _hold_out(best: Ints, scored: Scored, config: RemindersConfig) -> Bools:
    """Who is held out of those who would have been reminded.

    The lot is drawn last, from a list that was made without a look at it: treated and held out then differ
    by nothing else. Drawn before capacity, it would hold out customers whom no reminder would have reached
    anyway, and they are not like those treated. A place that becomes free stays empty for the same reason:
    whoever took it would be treated with nobody alike held out.
    """
    campaign, share = config.holdout.campaign, config.holdout.share
    if campaign is None or share == 0:
        return np.zeros(len(best), dtype=np.bool_)
    return draw_holdout(scored.ids.take(pa.array(best)).to_pylist(), campaign, share)
