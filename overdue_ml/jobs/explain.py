"""``overdue-ml explain``: the card of one scored customer."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overdue_ml.config import RecordsConfig, build_config
from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.explain import Wording, check_wording, load_wording, sum_by_reason
from overdue_ml.explain.wording import ReasonText
from overdue_ml.features import (
    FeatureBuilder,
    GivenFeatures,
    Registry,
    available_features,
    own_features_of,
    registry_with,
)
from overdue_ml.jobs.score import MANIFEST
from overdue_ml.records import Records, load_records
from overdue_ml.records.facts import known_on_sql
from overdue_ml.reports import Card, ReasonLine, render_card

_PLAIN = re.compile(r"^[A-Za-z0-9_-]{1,64}$")


@dataclass(frozen=True)
class ExplainResult:
    """The card that was written, what stands on it, and the words of its language."""

    path: Path
    card: Card
    wording: Wording


def read_manifest(scores: Path) -> dict[str, Any]:
    """The manifest of a scoring run.

    Parameters
    ----------
    scores : Path
        ``<out>/as_of=YYYY-MM-DD``, or ``<out>`` where it holds one such folder only.

    Raises
    ------
    ConfigError
        If there is none, or several to choose from.
    """
    manifest: dict[str, Any] = json.loads((find_run(scores) / MANIFEST).read_text(encoding="utf-8"))
    return manifest


def find_run(scores: Path) -> Path:
    """The folder of a scoring run; see :func:`read_manifest`."""
    if (scores / MANIFEST).is_file():
        return scores
    runs = sorted(p.parent for p in scores.glob(f"as_of=*/{MANIFEST}"))
    if len(runs) == 1:
        return runs[0]
    raise ConfigError(
        f"{len(runs)} scoring runs stand there" if runs else "there is no scoring run",
        where=str(scores),
        next_step="name one folder as_of=YYYY-MM-DD that 'overdue-ml score' wrote",
    )


def read_row(path: Path, customer_id: str) -> pd.Series:
    """The row of one customer in a table of a scoring run, its pages checked."""
    table = pq.read_table(path, page_checksum_verification=True)
    found = table.filter(pc.equal(table.column("customer_id"), customer_id)).to_pandas()
    if found.empty:
        raise ConfigError(
            f"customer '{customer_id[:80]}' was not scored in this run",
            where=path.name,
            next_step="check the id character by character; leading zeros count",
        )
    row: pd.Series = found.iloc[0]
    return row


def _only(records: Records, customer_id: str) -> Records:
    """The records of one customer: features depend on nothing else."""
    tables = dict(records.tables)
    for name in ("customers", "accounts", "labels"):
        if name in tables:
            tables[name] = tables[name].filter(pc.equal(tables[name].column("customer_id"), customer_id))
    accounts = tables["accounts"].column("account_id")
    for name in ("statements", "payments"):
        if name in tables:
            ids = tables[name].column("account_id")
            tables[name] = tables[name].filter(pc.is_in(ids, value_set=accounts.combine_chunks()))
    return replace(records, tables=tables)


def _statements(records: Records, as_of: dt.date) -> pd.DataFrame:
    wanted = ["due_date", "balance_amount", "paid_amount", "dpd", "payment_behaviour"]
    if "statements" not in records:
        return pd.DataFrame(columns=["statement_date", *wanted, "credit_limit_amount"])
    present = set(records.columns("statements"))
    cells = [f"s.{c}" if c in present else f"NULL AS {c}" for c in wanted]
    limits = [
        f"{alias}.credit_limit_amount"
        for alias, table in (("s", "statements"), ("a", "accounts"))
        if "credit_limit_amount" in records.columns(table)
    ]
    limit = f"coalesce({', '.join(limits)})" if limits else "NULL"
    known = known_on_sql(records, "statements", "statement_date", "s")
    with records.connect() as con:
        return con.execute(
            f"SELECT s.statement_date, {', '.join(cells)}, {limit} AS credit_limit_amount "
            f"FROM statements s JOIN accounts a USING (account_id) WHERE {known} <= $as_of "
            "ORDER BY s.statement_date, s.account_id",
            {"as_of": as_of},
        ).df()


def run_explain(
    scores: Path,
    customer_id: str,
    lang: str = "en",
    *,
    source: Path | Records | None = None,
    out: Path | None = None,
    wording: Path | None = None,
    own: GivenFeatures | None = None,
) -> ExplainResult:
    """Write the card of one customer.

    Parameters
    ----------
    scores : Path
        A scoring run.
    customer_id : str
    lang : {'en', 'zh'}
    source : Path or Records, optional
        The records that were scored; by default where the run read them.
    out : Path, optional
        HTML file; by default ``cards/`` in the run's folder.
    wording : Path, optional
        A reason catalogue of your own.
    own : path, OwnFeatures or sequence of features, optional
        Features of your own that the model was trained with, or their file. Without them nothing of yours
        is run, and the card shows what they mean without their figures.

    Returns
    -------
    ExplainResult

    Raises
    ------
    ConfigError
        If the run, the customer or the language is unknown.
    RecordsError
        If the records are not those that were scored.
    FeatureMismatchError
        If ``own`` are others than those of the model.

    Notes
    -----
    A reason of your own that no wording knows is told by the meanings of its features, in English in every
    language; ``wording`` says it better.
    """
    folder = find_run(scores)
    manifest = read_manifest(folder)
    described = manifest.get("own_features")
    own = None if own is None else own_features_of(described, own)
    attributes = manifest["settings"]["records"]["attributes"]
    # Runs of before there were ranks do not say.
    registry = registry_with(attributes, own, ranks=bool(manifest.get("ranks", False)))
    declared = _Declared.of(registry, described["features"] if described else [])
    words = _with_meanings(load_wording(lang, wording), declared.own)
    check_wording(words, declared.reasons.values(), declared.reasons)
    row = read_row(folder / "scores.parquet", customer_id)
    contributions = read_row(folder / "contributions.parquet", customer_id).drop("customer_id")
    records = _scored_records(manifest, source)
    by_reason = sum_by_reason(contributions.drop("base").astype(float).to_frame().T, declared.reasons).iloc[0]
    as_of = dt.date.fromisoformat(manifest["as_of"])
    figures = _figures(records, registry, (customer_id, as_of), words, list(by_reason.index))
    lines = [
        ReasonLine(
            str(code),
            words.title(str(code)),
            words.sentence(str(code), float(c), figures, declared.units),
            float(c),
        )
        for code, c in by_reason.sort_values(ascending=False, kind="stable").items()
    ]
    statements = _statements(_only(records, customer_id), as_of)
    card = _card(manifest, row, float(contributions["base"]), lines, statements, words)
    path = out or folder / "cards" / f"{_file_stem(customer_id)}_{lang}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_card(card, words), encoding="utf-8")
    return ExplainResult(path, card, words)


def _file_stem(customer_id: str) -> str:
    """An id as a file name; anything but plain letters and digits is hashed."""
    if _PLAIN.match(customer_id):
        return customer_id
    return "id-" + hashlib.sha256(customer_id.encode()).hexdigest()[:24]


def _scored_records(manifest: Mapping[str, Any], source: Path | Records | None) -> Records:
    if source is None:
        if not manifest.get("records_source"):
            raise ConfigError("the run does not say where its records are", next_step="give --records")
        source = Path(str(manifest["records_source"]))
    if isinstance(source, Path):
        config = build_config(RecordsConfig, manifest["settings"]["records"], where=MANIFEST)
        source = load_records(source, config)
    if source.fingerprint != manifest["records_fingerprint"]:
        raise RecordsError(
            "the records are not those that were scored",
            expected=f"fingerprint {manifest['records_fingerprint'][:12]}, found {source.fingerprint[:12]}",
            next_step="score again, or give the old records with --records",
        )
    return source


@dataclass(frozen=True)
class _Declared:
    """Reason and unit of every feature that there is, and what is known of the user's own."""

    reasons: Mapping[str, str]
    units: Mapping[str, str]
    own: Iterable[Mapping[str, str]]

    @classmethod
    def of(cls, registry: Registry, own: list[dict[str, str]]) -> _Declared:
        reasons = {f.name: f.reason for f in registry} | {f["name"]: f["reason"] for f in own}
        units = {f.name: str(f.unit) for f in registry} | {f["name"]: f["unit"] for f in own}
        return cls(reasons, units, own)


def _with_meanings(words: Wording, own: Iterable[Mapping[str, str]]) -> Wording:
    """The wording, and for reasons that it does not know the meanings of their features."""
    by_code: dict[str, list[tuple[str, str]]] = {}
    for f in own:
        # A brace would be taken for a placeholder.
        meaning = f["meaning"].strip().removesuffix(".").replace("{", "(").replace("}", ")")
        by_code.setdefault(f["reason"], []).append((meaning, f["name"]))
    texts = {}
    for code, features in by_code.items():
        told = "; ".join(f"{meaning}: {{{name}}}" for meaning, name in features) + "."
        plain = "; ".join(meaning for meaning, _ in features) + "."
        texts[code] = ReasonText(code.replace("_", " ").capitalize(), told, told, plain, plain)
    return replace(words, reasons=texts | dict(words.reasons))


def _card(
    manifest: Mapping[str, Any],
    row: pd.Series,
    base: float,
    lines: list[ReasonLine],
    statements: pd.DataFrame,
    words: Wording,
) -> Card:
    due_date = row["next_due_date"]
    return Card(
        customer_id=str(row["customer_id"]),
        as_of=dt.date.fromisoformat(manifest["as_of"]),
        lang=words.language,
        p_overdue=float(row["p_overdue"]),
        log_odds=float(row["log_odds"]),
        base_log_odds=base,
        points=float(row["points"]),
        tier=str(row["tier"]),
        rank=int(row["rank"]),
        n_customers=int(manifest["n_customers"]),
        book_edges=list(manifest["book_edges"]),
        book_counts=list(manifest["book_counts"]),
        next_due_date=None if pd.isna(due_date) else due_date,
        due_amount=float(row["due_amount"]),
        exposure_amount=float(row["exposure_amount"]),
        expected_overdue_amount=float(row["expected_overdue_amount"]),
        reasons=lines,
        statements=statements,
        model=manifest["model"],
        notes=_notes(manifest, words),
    )


def _figures(
    records: Records, registry: Registry, key: tuple[str, dt.date], words: Wording, codes: list[str]
) -> dict[str, float | None]:
    """The customer's own figures that the sentences speak of."""
    wanted = sorted({name for code in codes for name in words.placeholders(code)})
    # A sentence may speak of what these records do not have; it then falls back to plain words.
    present = sorted(set(wanted) & set(available_features(records, registry)))
    keys = pd.DataFrame([key], columns=["customer_id", "as_of_date"])
    values = FeatureBuilder(records, present, registry).fit(keys).transform(keys).iloc[0]
    return {name: None if pd.isna(values[name]) else values[name] for name in present}


def _notes(manifest: Mapping[str, Any], words: Wording) -> list[str]:
    notes = []
    if manifest["trained_on_later_outcomes"]:
        notes.append(words.text("note_later_outcomes", date=manifest["labels_final_on"]))
    return notes
