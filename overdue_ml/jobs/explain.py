"""``overdue-ml explain``: the cards of scored customers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from overdue_ml.errors import ConfigError
from overdue_ml.explain import Wording
from overdue_ml.features import GivenFeatures
from overdue_ml.jobs.cards import CardBook
from overdue_ml.records import Records
from overdue_ml.reports import Card


@dataclass(frozen=True)
class ExplainResult:
    """The card that was written, what stands on it, and the words of its language."""

    path: Path
    card: Card
    wording: Wording


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
    book = CardBook(scores, lang, source=source, wording=wording, own=own)
    (card,) = book.make([customer_id])
    path = out or book.path_of(card, customer_id)
    return ExplainResult(book.write(card, path), card, book.wording)


def chosen_customers(book: CardBook, named: Sequence[str] | None, top: int | None) -> list[str]:
    """The customers named, each once, or the riskiest ``top``.

    Parameters
    ----------
    book : CardBook
    named : sequence of str, optional
    top : int, optional

    Raises
    ------
    ConfigError
        If neither is given, or both are.
    """
    if bool(named) == (top is not None):
        raise ConfigError("whose card is not clear", expected="either --customer ID or --top N")
    return list(dict.fromkeys(named)) if named else book.riskiest(top or 0)


def write_cards(book: CardBook, customer_ids: Sequence[str], out: Path | None = None) -> list[ExplainResult]:
    """Write the cards of many customers; the run and the records are read once for all of them.

    Parameters
    ----------
    book : CardBook
    customer_ids : sequence of str
    out : Path, optional
        HTML file of one card, folder of several; by default ``cards/`` in the run's folder.

    Returns
    -------
    list of ExplainResult
        In the order of the customers.

    Raises
    ------
    ConfigError
        If a customer was not scored; nothing is written then.
    """
    results = []
    for customer_id, card in zip(customer_ids, book.make(customer_ids), strict=True):
        path = book.path_of(card, customer_id)
        if out is not None:
            path = out if len(customer_ids) == 1 else out / path.name
        results.append(ExplainResult(book.write(card, path), card, book.wording))
    return results
