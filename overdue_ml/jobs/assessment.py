"""What a training run is judged by beyond its metrics: groups, drift, simpler rules, the champion, money."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from overdue_ml.config import EvaluationConfig, TrainConfig
from overdue_ml.errors import ModelError
from overdue_ml.features import Registry
from overdue_ml.jobs.groups import amount_bands, groups_of, table_of
from overdue_ml.jobs.limits import find_limits
from overdue_ml.jobs.sample import Sample, Scored
from overdue_ml.metrics import (
    Interval,
    SmallGroups,
    compare_groups,
    compute_auc,
    compute_csi,
    evaluate_segments,
    find_best_rule,
    money_curve,
    money_table,
    paired_difference,
    select_top,
    swap_set,
)
from overdue_ml.model import Evaluation, ScoringModel
from overdue_ml.records import Records
from overdue_ml.reports.assessment import (
    Assessment,
    ChampionComparison,
    MoneyComparison,
    Remark,
    RuleComparison,
)
from overdue_ml.tracking import load_model, open_store

#: Features that tell the amount at stake, the nearest to what can go overdue next first.
AMOUNTS = (
    "due_unpaid_amount_next",
    "due_amount_next",
    "stmt_balance_amount_latest",
    "due_debt_amount_all",
    "account_principal_amount_open_sum",
    "account_credit_limit_amount_sum",
)
BY_AMOUNT = "amount"
#: Words of a feature's name that stand for lateness in the past.
_LATENESS = ("dpd", "late", "late31", "status", "overdue", "arrears")
#: Enough rows to choose a rule by the second digit of its AUC.
_RULE_ROWS = 100_000
_SHIFT_SHOWN = 15


@dataclass(frozen=True)
class Trained:
    """What a training run has made, for those who read it."""

    records: Records
    sample: Sample
    scored: Scored
    registry: Registry
    model: ScoringModel
    evaluation: Evaluation
    importance: pd.Series
    config: TrainConfig

    @property
    def customers(self) -> np.ndarray:
        """Customer of each test row, as a number."""
        codes, _ = pd.factorize(self.scored.features.index.get_level_values("customer_id"))
        return np.asarray(codes)

    @property
    def wide(self) -> pd.DataFrame:
        """Every feature of the test rows, also those the model left out."""
        return self.sample.features[self.sample.test]


def assess(trained: Trained, models: Path) -> Assessment:
    """Compare, split and weigh what a training run has made, on the rows it set aside.

    Parameters
    ----------
    trained : Trained
    models : Path
        The models folder, for the champion.

    Returns
    -------
    Assessment
        Aggregates only.
    """
    notes: dict[str, list[Remark]] = {}

    def note(section: str, key: str, **values: str) -> None:
        notes.setdefault(section, []).append(Remark(key, values))

    amounts, source = _amounts(trained, note)
    meanings = _meanings(trained)
    shift = compute_csi(
        trained.scored.features, {n: trained.model.references[n] for n in trained.model.feature_names}
    )
    return Assessment(
        segments=_segments(trained, amounts, note),
        fairness=_fairness(trained, note),
        selection=_selection(trained.config.evaluation),
        shift=_with_meanings(shift.head(_SHIFT_SHOWN), meanings),
        n_shifted={str(k): int(v) for k, v in shift["status"].value_counts().sort_index().items()},
        rule=(rule := _rule(trained, meanings, note)),
        champion=_champion(trained, models, note),
        money=_money(trained, amounts, source, rule, note),
        notes=notes,
        limits=find_limits(trained.model.meta, trained.config),
    )


_Note = Callable[..., None]


def _limits_of(config: EvaluationConfig) -> SmallGroups:
    return SmallGroups(config.min_group_rows, config.min_group_overdue)


def _amounts(trained: Trained, note: _Note) -> tuple[np.ndarray | None, str]:
    """Amount at stake of the test rows, NaN where unknown, and the feature it comes from."""
    wide, wanted = trained.wide, trained.config.evaluation.amount
    if wanted is not None and wanted not in wide.columns:
        note("money", "amount_absent", amount=wanted)
        return None, ""
    source = wanted or next((name for name in AMOUNTS if name in wide.columns), None)
    if source is None or not pd.api.types.is_numeric_dtype(wide[source].dtype):
        note("money", "amount_none")
        return None, ""
    # A balance in credit is nothing that could go overdue.
    return np.maximum(wide[source].to_numpy(dtype=np.float64, na_value=np.nan), 0.0), source


def _segments(trained: Trained, amounts: np.ndarray | None, note: _Note) -> dict[str, pd.DataFrame]:
    config = trained.config.evaluation
    columns = config.segments
    if columns is None:
        columns = ["product"] if "product" in trained.records.columns("accounts") else []
    groups = {}
    for column in columns:
        if table_of(trained.records, column) is None:
            note("segments", "segment_absent", column=column)
        else:
            groups[column] = groups_of(trained.records, column, trained.scored.features.index)
    if amounts is not None:
        groups[BY_AMOUNT] = amount_bands(amounts)
    found = {}
    for column, group in groups.items():
        table = evaluate_segments(
            trained.scored.target,
            trained.scored.p,
            group,
            trained.scored.log_odds,
            trained.customers,
            _limits_of(config),
            config.n_boot,
        )
        if len(table) > 1:
            found[column] = table
        else:
            note("segments", "segment_single", column=column)
    return found


def _selection(config: EvaluationConfig) -> Remark:
    if config.fairness_threshold is None:
        return Remark("selected_top", {"share": f"{100 * config.capacity:g}"})
    return Remark("selected_from", {"p": f"{100 * config.fairness_threshold:g}"})


def _fairness(trained: Trained, note: _Note) -> dict[str, pd.DataFrame]:
    config, scored = trained.config.evaluation, trained.scored
    columns = [c for c in trained.records.config.protected if c in trained.records.columns("customers")]
    if not columns:
        note("fairness", "fairness_none")
    if config.fairness_threshold is None:
        selected = select_top(scored.log_odds, config.capacity)
    else:
        selected = (scored.p >= config.fairness_threshold).astype(np.float64)
    found = {}
    for column in columns:
        group = groups_of(trained.records, column, scored.features.index)
        table = compare_groups(
            scored.target, scored.p, selected, group, trained.customers, _limits_of(config)
        )
        if len(table) > 1:
            found[column] = table
        else:
            note("fairness", "segment_single", column=column)
    return found


def _with_meanings(shift: pd.DataFrame, meanings: Mapping[str, str]) -> pd.DataFrame:
    told = pd.Series([meanings[name] for name in shift["feature"]], index=shift.index, dtype="str")
    return shift.assign(meaning=told)[["feature", "meaning", "psi", "status"]]


def _meanings(trained: Trained) -> dict[str, str]:
    """What each feature means, in the language of the page."""
    catalogue = trained.registry.catalogue(trained.config.evaluation.lang)
    return dict(zip(catalogue["name"].astype("str"), catalogue["meaning"].astype("str"), strict=True))


def _difference(trained: Trained, first: np.ndarray, second: np.ndarray) -> Interval:
    """Of the AUCs on the test rows; without an interval where the config asks for none."""
    y, config = trained.scored.target, trained.config.evaluation
    if config.n_boot:
        return paired_difference(compute_auc, y, (first, second), trained.customers, config.n_boot)
    return Interval(compute_auc(y, first) - compute_auc(y, second), np.nan, np.nan)


def _rule(trained: Trained, meanings: Mapping[str, str], note: _Note) -> RuleComparison | None:
    """Chosen on the training rows, held against the model on the test rows."""
    features = trained.sample.features
    names = [n for n in features.columns if not set(str(n).split("_")).isdisjoint(_LATENESS)]
    train = np.flatnonzero(trained.sample.train)
    train = train[:: -(-len(train) // _RULE_ROWS)]
    labels = trained.sample.labels["is_overdue"].to_numpy()
    best = find_best_rule(labels[train], features[names].iloc[train]) if names else None
    if best is None:
        note("rule", "rule_none")
        return None
    score = best.score(trained.wide[best.feature].to_numpy(dtype=np.float64, na_value=np.nan))
    return RuleComparison(
        feature=best.feature,
        meaning=meanings[best.feature],
        rising=best.rising,
        train_auc=best.auc,
        auc=compute_auc(trained.scored.target, score),
        model_auc=compute_auc(trained.scored.target, trained.scored.log_odds),
        difference=_difference(trained, trained.scored.log_odds, score),
    )


def _champion(trained: Trained, models: Path, note: _Note) -> ChampionComparison | None:
    try:
        champion = load_model(open_store(models), f"{trained.config.registered_model}@champion")
    except ModelError as error:
        absent = str(error).startswith("there is no model")
        note("champion", "champion_none" if absent else "champion_unreadable")
        return None
    model, names = champion.model, champion.model.feature_names
    registry, wide = trained.registry, trained.wide
    known = all(name in registry and name in wide.columns for name in names)
    if not known or registry.feature_set_hash(names) != model.feature_set_hash:
        note("champion", "champion_features", version=champion.version)
        return None
    theirs = model.classifier.decision_function(wide[names])
    top = trained.config.evaluation.capacity
    return ChampionComparison(
        version=champion.version,
        auc=compute_auc(trained.scored.target, theirs),
        model_auc=compute_auc(trained.scored.target, trained.scored.log_odds),
        difference=_difference(trained, trained.scored.log_odds, theirs),
        top=top,
        swap=swap_set(trained.scored.target, theirs, trained.scored.log_odds, top),
        unseen=_unseen(model, trained),
    )


def _unseen(champion: ScoringModel, trained: Trained) -> bool:
    """Whether these test rows cannot have been among the champion's training rows."""
    split = trained.config.split.model_dump(mode="json")
    theirs = champion.meta["config"]["split"]
    if split["by"] == "customer" and all(theirs.get(k) == split[k] for k in ("by", "test_share", "salt")):
        return True
    first = min(dt.date.fromisoformat(day) for day in trained.model.meta["test_as_of"])
    return dt.date.fromisoformat(str(champion.meta["labels_final_on"])) <= first


def _money(
    trained: Trained, amounts: np.ndarray | None, source: str, rule: RuleComparison | None, note: _Note
) -> MoneyComparison | None:
    if amounts is None:
        return None
    scored, config = trained.scored, trained.config.evaluation
    known = ~np.isnan(amounts)
    y, p, money = scored.target[known], scored.p[known], amounts[known]
    if int((y & (money > 0)).sum()) < config.min_group_overdue:
        note("money", "amount_few", amount=source)
        return None
    rankings = {"log_odds": scored.log_odds[known], "expected_amount": p * money, "amount": money}
    if rule is not None:
        values = trained.wide[rule.feature].to_numpy(dtype=np.float64, na_value=np.nan)[known]
        # Where a rule ties, as for all that were never late, the larger amount comes first.
        rankings["rule"] = _then_by(values if rule.rising else -values, money)
    table = money_table(y, p, money, rankings, config.top, trained.customers[known], config.n_boot)
    curves = {name: money_curve(y, money, score) for name, score in rankings.items()}
    return MoneyComparison(
        amount=source,
        n_rows=int(known.sum()),
        n_unknown=int((~known).sum()),
        total=float(np.sort(money).sum()),
        total_overdue=float(np.sort(money * y).sum()),
        table=table,
        curves=curves | {"perfect": money_curve(y, money, y * money)},
    )


def _then_by(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Places in the order of the first, of the second where that ties; missing ones lowest."""
    filled = np.where(np.isnan(first), -np.inf, first)
    codes = np.unique(filled, return_inverse=True)[1] * (len(second) + 1.0)
    return np.asarray(codes + np.unique(second, return_inverse=True)[1], dtype=np.float64)
