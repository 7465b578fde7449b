"""Cards inside the officer's page: the same card as ``overdue-ml explain`` writes, under a bar of links."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from markupsafe import Markup

from overdue_ml.config import RecordsConfig, build_config, read_yaml
from overdue_ml.errors import ConfigError, OverdueMLError, RecordsError
from overdue_ml.jobs.cards import CardBook
from overdue_ml.records import Bucketed, Records, bucket_of, is_bucketed, load_records, open_buckets
from overdue_ml.reports import render_card
from overdue_ml.server.runs import Run
from overdue_ml.server.settings import Sources

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_BAR_STYLE = (Path(__file__).with_name("static") / "bar.css").read_text(encoding="utf-8")


class CardShelf:
    """Cards of the runs, one at a time.

    Held in memory are the records of the run whose card was opened last; of a book in buckets only the bucket
    of that customer.

    Parameters
    ----------
    sources : Sources
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._lock = threading.Lock()
        self._run: tuple[str, tuple[int, int, int]] | None = None
        self._bucketed: Bucketed | None = None
        self._bucket = 0
        self._records: Records | None = None
        self._books: dict[str, CardBook] = {}

    def render(self, run: Run, customer_id: str, lang: str) -> str:
        """The card of a customer as a page.

        Parameters
        ----------
        run : Run
        customer_id : str
        lang : str

        Returns
        -------
        str
            HTML.

        Raises
        ------
        OverdueMLError
            If the records are gone or others, the customer was not scored, or the run was not explained.
        """
        # One after the other: the second request for the same records must not read them again.
        if not self._explained(run):
            raise ConfigError(
                "this run was not explained, so there are no cards",
                where=run.folder.name,
                next_step="score the date again with explanations",
            )
        with self._lock:
            self._load(run, customer_id)
            book = self._book(run, lang)
            (card,) = book.make([customer_id])
            return render_card(card, book.wording)

    def _load(self, run: Run, customer_id: str) -> None:
        """Have the records of a customer at hand; the old ones go before the new ones come."""
        if self._run != (run.key, run.stamp):
            self._run, self._records, self._bucketed, self._books = None, None, None, {}
            source, config = self._source(run)
            if is_bucketed(source):
                self._bucketed = open_buckets(source, config)
                self._fingerprint = self._bucketed.fingerprint
            else:
                self._records = _loaded(source, config)
            self._run = (run.key, run.stamp)
        if self._bucketed is not None:
            bucket = int(bucket_of(pa.array([customer_id]), self._bucketed.n_buckets)[0])
            if self._records is None or bucket != self._bucket:
                self._records, self._books = None, {}
                found = self._bucketed.load(bucket)
                if found is None:
                    raise RecordsError("the customer's bucket is empty", where=f"bucket {bucket}")
                self._records, self._bucket = _Part.of(found, self._fingerprint), bucket

    def _explained(self, run: Run) -> bool:
        return run.manifest.get("n_explained") != 0 and (run.folder / "contributions.parquet").is_file()

    def _book(self, run: Run, lang: str) -> CardBook:
        if lang not in self._books:
            sources = self._sources
            self._books[lang] = CardBook(
                run.folder,
                lang,
                source=self._records,
                wording=wording_of(sources.wording, lang),
                own=sources.features_module,
                mask_ids=sources.mask_ids,
                models=sources.models,
            )
        return self._books[lang]

    def _source(self, run: Run) -> tuple[Path, RecordsConfig]:
        source = self._sources.records or run.manifest.get("records_source")
        if not source:
            raise ConfigError(
                "the run does not say where its records are", next_step="start with --records FOLDER"
            )
        config = build_config(RecordsConfig, run.manifest["settings"]["records"], where=run.folder.name)
        return Path(source), config


@dataclass(frozen=True)
class _Part(Records):
    """Records, or those of one bucket, with the fingerprint of the whole book at hand."""

    whole: str = ""

    @classmethod
    def of(cls, records: Records, whole: str) -> _Part:
        return cls(records.tables, records.rejected, records.report, records.config, whole)

    @property
    def fingerprint(self) -> str:
        """Of the whole book."""
        return self.whole


def _loaded(source: Path, config: RecordsConfig) -> Records:
    try:
        records = load_records(source, config)
    except OSError as error:
        raise RecordsError(
            f"the records cannot be read: {error.strerror or error}", where=str(source)
        ) from error
    # A hash over all rows, which every language would ask for anew.
    return _Part.of(records, records.fingerprint)


def wording_of(path: Path | None, lang: str) -> Path | None:
    """A catalogue of one's own where it is of that language."""
    if path is None:
        return None
    return path if read_yaml(path).get("language", lang) == lang else None


def with_bar(page: str, bar: Markup) -> tuple[str, str]:
    """A card with a bar of links above it, and the policy under which its styles are allowed.

    Parameters
    ----------
    page : str
        A whole HTML page with one style sheet in its head.
    bar : Markup

    Returns
    -------
    (str, str)
        The page, and the sources of its styles for a Content-Security-Policy.
    """
    head, found, body = page.partition("</head>\n<body>\n")
    style = _STYLE.search(head)
    if not found or style is None:
        raise OverdueMLError("the card is no page with one style sheet in its head")
    links = f'<link rel="icon" href="data:,">\n<style>{_BAR_STYLE}</style>\n'
    sources = " ".join(_hash(text) for text in (style[1], _BAR_STYLE))
    return f"{head}{links}{found}{bar}{body}", sources


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
