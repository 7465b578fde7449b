"""A scoring run with its records, read once, from which the cards of its customers are made."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overdue_ml.config import PointsConfig, build_config
from overdue_ml.errors import ConfigError
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
from overdue_ml.jobs.book import InMemory, records_of
from overdue_ml.jobs.card_data import CardData, read_card_data
from overdue_ml.jobs.card_whatif import Asker
from overdue_ml.jobs.output import mask_id as mask_id
from overdue_ml.jobs.parts import looks_at_everybody
from overdue_ml.jobs.runs import (
    earlier_runs,
    find_run,
    read_explained,
    read_manifest,
    read_rows,
    scored_book,
)
from overdue_ml.jobs.score import MANIFEST
from overdue_ml.jobs.silent import silent_reasons
from overdue_ml.records import Bucketed, Records
from overdue_ml.reports import Card, PastScore, ReasonLine, WhatIfCard, render_card

_PLAIN = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
_ATTRIBUTE = "attr_"
_FEW = 3


class CardBook:
    """The cards of one scoring run.

    Parameters
    ----------
    scores : Path
        A scoring run.
    lang : str
        Language of the cards.
    source : Path or Records, optional
        The records that were scored; by default where the run read them.
    wording : Path, optional
        A reason catalogue of your own.
    own : path, OwnFeatures or sequence of features, optional
        Features of your own that the model was trained with, or their file.
    mask_ids : bool, default False
        Show customers and accounts by the ends of their ids only, also in the names of files.
    models : Path, optional
        The models folder: with it each card says what would happen to the score if something happened, which
        takes some seconds a card.

    Attributes
    ----------
    folder : Path
        Of the run.
    wording : Wording

    Raises
    ------
    ConfigError
        If the run or the language is unknown, or the wording does not fit.
    RecordsError
        If the records are not those that were scored.
    FeatureMismatchError
        If ``own`` are others than those of the model.
    """

    def __init__(
        self,
        scores: Path,
        lang: str = "en",
        *,
        source: Path | Records | None = None,
        wording: Path | None = None,
        own: GivenFeatures | None = None,
        mask_ids: bool = False,
        models: Path | None = None,
    ) -> None:
        self.folder = find_run(scores)
        self._manifest = read_manifest(self.folder)
        self._as_of = dt.date.fromisoformat(self._manifest["as_of"])
        self._mask_ids = mask_ids
        described = self._manifest.get("own_features")
        given = None if own is None else own_features_of(described, own)
        attributes = self._manifest["settings"]["records"]["attributes"]
        # Runs of before there were ranks do not say.
        ranks = bool(self._manifest.get("ranks", False))
        self._registry = registry_with(attributes, given, ranks=ranks)
        self._declared = _Declared.of(self._registry, described["features"] if described else [])
        self.wording = _with_meanings(load_wording(lang, wording), self._declared.own)
        check_wording(self.wording, self._declared.reasons.values(), self._declared.numbers)
        self._source = source
        self._book: InMemory | Bucketed | None = None
        self._records: Records | None = None
        # A rank, and maybe a function of one's own, looks at everybody.
        self._everybody = ranks or looks_at_everybody(given)
        self._what_if = models is not None
        self._asker = None if models is None else Asker.find(self._manifest, models, own)

    def riskiest(self, n: int) -> list[str]:
        """The ids of the first ``n`` customers by rank, of those who were explained."""
        scores, explained = self.folder / "scores.parquet", self.folder / "contributions.parquet"
        table = pq.read_table(scores, columns=["customer_id", "rank"], page_checksum_verification=True)
        if explained.is_file():
            ids = pq.read_table(explained, columns=["customer_id"], page_checksum_verification=True)
            told = pc.is_in(table.column("customer_id"), value_set=ids.column("customer_id"))
            table = table.filter(told)
        return [str(i) for i in table.sort_by("rank").column("customer_id").slice(0, n).to_pylist()]

    def make(self, customer_ids: Sequence[str]) -> list[Card]:
        """The cards of some customers, in the order asked for.

        Parameters
        ----------
        customer_ids : sequence of str

        Raises
        ------
        ConfigError
            If one of them was not scored, or not explained.
        RecordsError
            If the records are not those that were scored.
        """
        rows = read_rows(self.folder / "scores.parquet", customer_ids)
        for customer_id in customer_ids:
            if customer_id not in rows.index:
                raise ConfigError(
                    f"customer '{customer_id[:80]}' was not scored in this run",
                    where="scores.parquet",
                    next_step="check the id character by character; leading zeros count",
                )
        contributions = read_explained(self.folder, customer_ids)
        if self._book is None:
            self._book = scored_book(self._manifest, self._source)
        if self._records is None or not self._everybody:
            self._records = records_of(self._book, None if self._everybody else customer_ids)
        data = read_card_data(self._records, customer_ids, self._as_of)
        told = self._sentences(contributions.drop(columns="base").astype(float))
        past = self._past(customer_ids)
        # As plain mappings: looking up rows of a frame costs more than the rest of a card.
        found: list[dict[str, Any]] = [
            {str(k): v for k, v in row.items()} for row in rows.reset_index().to_dict("records")
        ]
        scores = {str(row["customer_id"]): row for row in found}
        base = contributions["base"].astype(float).to_dict()
        ids = [str(i) for i in customer_ids]
        return [self._card(scores[i] | {"base": base[i]}, told[i], data, past.get(i, [])) for i in ids]

    def _asked(self, row: Mapping[str, Any]) -> WhatIfCard | None:
        if not self._what_if:
            return None
        if self._asker is None:
            return WhatIfCard(absent=self.wording.text("what_if_no_model"))
        assert self._records is not None
        return self._asker.ask(self._records, row, self.wording)

    def path_of(self, card: Card, customer_id: str) -> Path:
        """Where a card is written by default: ``cards/`` in the run's folder."""
        stem = f"rank-{card.rank}" if self._mask_ids else _file_stem(customer_id)
        return self.folder / "cards" / f"{stem}_{card.lang}.html"

    def write(self, card: Card, path: Path) -> Path:
        """Write a card as HTML.

        Parameters
        ----------
        card : Card
        path : Path
            Its folder is made if it is missing.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render_card(card, self.wording), encoding="utf-8")
        return path

    def _sentences(self, contributions: pd.DataFrame) -> dict[str, list[ReasonLine]]:
        """The reasons of each customer in words, the one that raises the risk most first."""
        assert self._records is not None
        by_reason = sum_by_reason(contributions, self._declared.reasons)
        figures = self._figures(list(contributions.index), list(by_reason.columns))
        scored = self._scored(list(contributions.columns))
        titles = {str(code): self.wording.title(str(code)) for code in by_reason.columns}
        lines = {}
        for customer_id, values in by_reason.to_dict("index").items():
            own, found = figures[str(customer_id)], []
            for code, c in ((str(code), float(c)) for code, c in values.items()):
                told = self._sentence(code, c, own, scored[code])
                found.append(ReasonLine(code, titles[code], told, c))
            lines[str(customer_id)] = sorted(found, key=lambda line: -line.contribution)
        return lines

    def _scored(self, names: list[str]) -> dict[str, set[str]]:
        """By reason the scored features and those that they are made of."""
        found: dict[str, set[str]] = {}
        for name in names:
            parts = self._registry.closure([name]) if name in self._registry else []
            found.setdefault(self._declared.reasons[name], set()).update({name}, (f.name for f in parts))
        return found

    def _sentence(
        self, code: str, contribution: float, figures: Mapping[str, float | None], scored: set[str]
    ) -> str:
        shown = self.wording.sentence_features(code, contribution)
        # Figures that had no part in the score would give reasons that are none.
        if shown and not shown & scored:
            return self.wording.plain_sentence(code, contribution)
        return self.wording.sentence(code, contribution, figures, self._declared.units, self._as_of)

    def _figures(self, customer_ids: list[str], codes: list[str]) -> dict[str, dict[str, float | None]]:
        """The customers' own figures that the sentences speak of."""
        assert self._records is not None
        wanted = {name for code in codes for name in self.wording.placeholders(str(code))}
        # A sentence may speak of what these records do not have; it then falls back to plain words.
        present = sorted(wanted & set(available_features(self._records, self._registry)))
        keys = pd.DataFrame({"customer_id": customer_ids, "as_of_date": self._as_of})
        values = FeatureBuilder(self._records, present, self._registry).fit(keys).transform(keys)
        rows = values.astype(object).where(values.notna(), None).to_dict("records")
        return {
            str(i): {str(name): value for name, value in row.items()}
            for i, row in zip(customer_ids, rows, strict=True)
        }

    def _past(self, customer_ids: Iterable[str]) -> dict[str, list[PastScore]]:
        """What runs of earlier dates beside this one said of the customers, of each date the last one."""
        found: dict[str, dict[dt.date, PastScore]] = {}
        for folder, manifest in earlier_runs(self.folder, self._manifest):
            try:
                rows = read_rows(folder / "scores.parquet", customer_ids, ["p_overdue", "tier", "rank"])
            except (OSError, ValueError):
                # Half a run, or a damaged one: no reason to keep today's card back.
                continue
            day, model = dt.date.fromisoformat(manifest["as_of"]), manifest["model"]
            n, version, digest = int(manifest["n_customers"]), str(model["version"]), str(model["model_hash"])
            for i, p, tier, rank in zip(
                rows.index, rows["p_overdue"].tolist(), rows["tier"], rows["rank"].tolist(), strict=True
            ):
                score = PastScore(day, p, str(tier), rank, n, version, digest)
                # A later run of a date knew its late and corrected records.
                found.setdefault(str(i), {})[day] = score
        return {i: list(scores.values()) for i, scores in found.items()}

    def _card(
        self, row: Mapping[str, Any], lines: list[ReasonLine], data: CardData, past: list[PastScore]
    ) -> Card:
        customer_id, manifest, due_date = str(row["customer_id"]), self._manifest, row["next_due_date"]
        shown = _masked_accounts(data, customer_id) if self._mask_ids else data
        silent = silent_reasons(manifest)
        return Card(
            customer_id=mask_id(customer_id) if self._mask_ids else customer_id,
            as_of=self._as_of,
            lang=self.wording.language,
            p_overdue=float(row["p_overdue"]),
            log_odds=float(row["log_odds"]),
            base_log_odds=float(row["base"]),
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
            statements=shown.statements.get(customer_id, []),
            model=manifest["model"],
            notes=self._notes(customer_id, data, silent & {line.code for line in lines}),
            p_low=float(row["p_low"]) if "p_low" in row else None,
            p_high=float(row["p_high"]) if "p_high" in row else None,
            points_scale=build_config(PointsConfig, manifest["settings"]["score"]["points"], where=MANIFEST),
            silent=silent,
            instalments=shown.instalments.get(customer_id, []),
            payments=shown.payments.get(customer_id, []),
            incomes=None if data.incomes is None else data.incomes.get(customer_id, []),
            debts=None if data.debts is None else data.debts.get(customer_id, []),
            past=past,
            what_if=self._asked(row),
        )

    def _notes(self, customer_id: str, data: CardData, silent: frozenset[str]) -> list[str]:
        words, manifest, notes = self.wording, self._manifest, []
        if manifest["trained_on_later_outcomes"]:
            final = dt.date.fromisoformat(manifest["labels_final_on"])
            notes.append(words.text("note_later_outcomes", date=words.format_date(final)))
        # Runs made elsewhere, or long ago, do not say whom their model learned from.
        population = manifest.get("labels", {}).get("population")
        is_late = data.dpd.get(customer_id, 0.0) > 0
        if (population, is_late) in {("pre_due", True), ("past_due", False)}:
            notes.append(words.text(f"note_{population}"))
        last = data.last_known.get(customer_id)
        if last is None:
            # Instalments that nobody dated were always known.
            if customer_id not in data.instalments:
                notes.append(words.text("note_never_known"))
        else:
            days = words.format_number(float((self._as_of - last).days), "days")
            notes.append(words.text("note_last_known", date=words.format_date(last), days=days))
        fallen_due = sum(i.due_date <= self._as_of for i in data.instalments.get(customer_id, []))
        n = fallen_due + len(data.statements.get(customer_id, []))
        if n < _FEW:
            notes.append(words.text("note_few", n=str(n)))
        if data.incomes is None:
            notes.append(words.text("note_no_incomes"))
        if data.debts is None:
            notes.append(words.text("note_no_borrowings"))
        for name, count in sorted(manifest.get("unknown_categories", {}).items()):
            column = name.removeprefix(_ATTRIBUTE)
            if count and self._declared.reasons.get(name) not in silent:
                shown = words.format_number(count, "count")
                notes.append(words.text("note_unknown_categories", n=shown, column=column))
        return [*notes, words.text("note_protected")] if silent else notes


def _masked_accounts(data: CardData, customer_id: str) -> CardData:
    """What is known of a customer's accounts under masked ids, each account still by itself."""
    instalments, payments = data.instalments.get(customer_id, []), data.payments.get(customer_id, [])
    statements = data.statements.get(customer_id, [])
    masks: dict[str, str] = {}
    for account in sorted({row.account_id for rows in (instalments, payments, statements) for row in rows}):
        mask, n = mask_id(account), sum(m.startswith(mask_id(account)) for m in masks.values())
        masks[account] = f"{mask} {n + 1}" if n else mask
    return replace(
        data,
        instalments={customer_id: [replace(i, account_id=masks[i.account_id]) for i in instalments]},
        payments={customer_id: [replace(p, account_id=masks[p.account_id]) for p in payments]},
        statements={customer_id: [replace(s, account_id=masks[s.account_id]) for s in statements]},
    )


def _file_stem(customer_id: str) -> str:
    """An id as a file name; anything but plain letters and digits is hashed."""
    if _PLAIN.match(customer_id):
        return customer_id
    return "id-" + hashlib.sha256(customer_id.encode()).hexdigest()[:24]


def _scored_records(manifest: Mapping[str, Any], source: Path | Records | None) -> Records:
    return scored_book(manifest, source).load_all()


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

    @property
    def numbers(self) -> list[str]:
        """Features that a sentence may speak of; a category, which may be protected, is none."""
        return [name for name, unit in self.units.items() if unit != "category"]


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
