"""The pages of the interface: what is shown in words, numbers and links of one language."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from overdue_ml.explain import Wording, load_wording
from overdue_ml.jobs.cards import mask_id
from overdue_ml.reports.card_reasons import written_share
from overdue_ml.reports.svg import clean
from overdue_ml.server.book import LISTED, SORTS, SUPPRESSED, Book, Row, Selection
from overdue_ml.server.cards import wording_of
from overdue_ml.server.exports import has_excel, reason_title
from overdue_ml.server.query import View
from overdue_ml.server.runs import Run
from overdue_ml.server.settings import PAGE_SIZES, ServeConfig, Sources
from overdue_ml.server.words import Words, languages, load_words

_TEMPLATES = Path(__file__).with_name("templates")
_ID, _NAME = 48, 80
#: How each language names itself.
_LANGUAGES = {"en": "English", "zh": "中文"}


@dataclass(frozen=True)
class Speech:
    """The words of the interface and those of the cards, in one language."""

    words: Words
    wording: Wording

    @classmethod
    def of(cls, sources: Sources, lang: str) -> Speech:
        """Load both."""
        return _speech(sources.wording, lang)


@lru_cache(maxsize=8)
def _speech(wording: Path | None, lang: str) -> Speech:
    return Speech(load_words(lang), load_wording(lang, wording_of(wording, lang)))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clean"] = clean
    return environment


def _fill(template: str, speech: Speech, **context: Any) -> str:
    page = _environment().get_template(template)
    return page.render(t=speech.words.texts, say=speech.words.text, lang=speech.words.language, **context)


@dataclass(frozen=True)
class Pages:
    """Writes the pages.

    Parameters
    ----------
    sources : Sources
    config : ServeConfig
    """

    sources: Sources
    config: ServeConfig

    def list_page(self, view: View, runs: list[Run], run: Run, book: Book, user: str, login: bool) -> str:
        """The list of a run.

        Parameters
        ----------
        view : View
        runs : list of Run
            To choose from.
        run : Run
            Of ``book``.
        book : Book
        user : str
        login : bool
            Whether there is a login to end.
        """
        speech = Speech.of(self.sources, view.lang)
        found = book.select(view.filter)
        n, pages = len(found.positions), max(1, -(-len(found.positions) // view.size))
        page = min(view.page, pages)
        rows = book.rows(found.positions[(page - 1) * view.size : page * view.size])
        links = {"first": 1, "previous": page - 1, "next": page + 1, "last": pages}
        useful = {"first": page > 1, "previous": page > 1, "next": page < pages, "last": page < pages}
        return _fill(
            "list.html",
            speech,
            title=speech.words.text("title"),
            user=user,
            login=login,
            view=view,
            f=view.filter,
            languages=[(code, _LANGUAGES.get(code, code), view.url("/", lang=code)) for code in languages()],
            runs=[(r.key, self._run_label(r, speech)) for r in runs],
            run_key=run.key,
            facts=self._facts(run, speech),
            options=self._options(book, view, speech),
            counts=self._counts(found, len(book), speech),
            asked=self._asked(view, speech),
            rows=[self._row(row, view, speech) for row in rows],
            heads={key: _head(view, key) for key in SORTS},
            pager={key: view.url("/", page=number) if useful[key] else "" for key, number in links.items()},
            hidden=[(k, v) for k, v in view.params(page="").items()],
            page=page,
            page_words=speech.words.text("page_of", page=_count(page, speech), pages=_count(pages, speech)),
            pages=pages,
            sizes=PAGE_SIZES,
            clear=view.url("/", q="", match="", tier="", reason="", status="", due_from="", due_to=""),
            exports=[
                (kind, view.url(f"/export.{kind}", page=""))
                for kind in ("csv", "xlsx")
                if kind == "csv" or has_excel()
            ],
            export_note=self._export_note(n, speech),
            masked=self.sources.mask_ids,
        )

    def message_page(self, lang: str, title: str, message: str, back: str = "/") -> str:
        """A page that says why there is nothing else to see.

        Parameters
        ----------
        lang : str
        title : str
            Key of a text.
        message : str
        back : str
            Address of a link.
        """
        speech = Speech.of(self.sources, lang)
        heading = speech.words.text(title)
        return _fill("message.html", speech, title=heading, heading=heading, message=message, back=back)

    def login_page(self, lang: str, next_address: str, refused: bool, named: bool) -> str:
        """The login.

        Parameters
        ----------
        lang : str
        next_address : str
            Where to go after it.
        refused : bool
            The token was wrong.
        named : bool
            Every token stands for a name, so none is asked for.
        """
        speech = Speech.of(self.sources, lang)
        others = [
            (code, _LANGUAGES.get(code, code), f"/login?lang={code}&next={quote(next_address, safe='')}")
            for code in languages()
        ]
        return _fill(
            "login.html",
            speech,
            title=speech.words.text("login_heading"),
            next_address=next_address,
            refused=refused,
            named=named,
            languages=others,
        )

    def card_bar(self, view: View, book: Book, position: int, shown: str) -> Markup:
        """The bar above a card: back to the list, neighbours in it, languages.

        Parameters
        ----------
        view : View
        book : Book
        position : int
            Of the customer.
        shown : str
            The parameters that name the customer.
        """
        speech = Speech.of(self.sources, view.lang)
        positions = book.select(view.filter).positions
        places = (positions == position).nonzero()[0]
        place = int(places[0]) if len(places) else -1
        page = place // view.size + 1 if place >= 0 else view.page
        before = int(positions[place - 1]) if place > 0 else None
        after = int(positions[place + 1]) if 0 <= place < len(positions) - 1 else None
        text = ""
        if place >= 0:
            text = speech.words.text(
                "place", place=_count(place + 1, speech), n=_count(len(positions), speech)
            )
        return Markup(  # noqa: S704 - a template of the package, its values escaped
            _fill(
                "bar.html",
                speech,
                back=view.url("/", page="" if page == 1 else page),
                previous="" if before is None else self.card_url(view, book, before),
                next="" if after is None else self.card_url(view, book, after),
                place=text,
                languages=[
                    (code, _LANGUAGES.get(code, code), f"{view.url('/card', page='', lang=code)}&{shown}")
                    for code in languages()
                ],
            )
        )

    def card_url(self, view: View, book: Book, position: int) -> str:
        """The address of a card in a list."""
        (row,) = book.rows([position])
        return self._card_url(row, view)

    def _card_url(self, row: Row, view: View) -> str:
        return f"{view.url('/card', page='')}&{self.naming(row)}"

    def naming(self, row: Row) -> str:
        """The parameter of an address that names a customer: the id, or the rank where ids are masked."""
        if self.sources.mask_ids:
            return f"rank={row.rank}"
        return urlencode({"customer": row.customer_id}, quote_via=quote, safe="")

    def _row(self, row: Row, view: View, speech: Speech) -> dict[str, Any]:
        wording, words = speech.wording, speech.words
        customer = mask_id(row.customer_id) if self.sources.mask_ids else row.customer_id
        reasons = [clean(reason_title(code, wording), _NAME) for code in row.reasons]
        status = ""
        if row.status == LISTED and row.reminder_rank is not None:
            status = words.text("listed_at", rank=_count(row.reminder_rank, speech))
        elif row.status:
            status = words.rule(row.status)
        return {
            "customer": clean(customer, _ID),
            "url": self._card_url(row, view),
            "rank": _count(row.rank, speech),
            "tier": clean(wording.tier(row.tier), _NAME),
            "tier_class": row.tier if row.tier in ("high", "medium", "low") else "other",
            "share": written_share(row.p_overdue, wording),
            # A hundred units wide; something is to be seen of the smallest probability.
            "width": f"{max(100 * row.p_overdue, 0.5):.1f}" if row.p_overdue > 0 else "0",
            "due": "–" if row.next_due_date is None else wording.format_date(row.next_due_date),
            "amount": "–" if row.next_due_date is None else wording.format_number(row.due_amount, "amount"),
            "expected": wording.format_number(row.expected_overdue_amount, "amount"),
            "reason": reasons[0] if reasons else "–",
            "others": words.text("list_comma").join(reasons[1:2]),
            "status": clean(status, _NAME),
            "listed": row.status == LISTED,
        }

    def _options(self, book: Book, view: View, speech: Speech) -> dict[str, list[tuple[str, str]]]:
        """What the fields of the filter offer; also what was asked for and nobody has."""
        wording, words, f, statuses = speech.wording, speech.words, view.filter, book.statuses
        tiers = [(t, wording.tier(t)) for t in book.tiers]
        reasons = sorted(((c, reason_title(c, wording)) for c in book.reasons), key=lambda pair: pair[1])
        named = []
        if statuses:
            n = statuses.get(LISTED, 0)
            named = [(LISTED, n), (SUPPRESSED, sum(statuses.values()) - n)]
            named += sorted((name, count) for name, count in statuses.items() if name != LISTED)
        status = [
            (name, words.text("with_count", name=words.rule(name), n=_count(count, speech)))
            for name, count in named
        ]
        offered = {"tier": tiers, "reason": reasons, "status": status}
        for key, options in offered.items():
            value = getattr(f, key)
            if value and value not in dict(options):
                options.append((value, clean(value, _NAME)))
        sorts = [key for name in SORTS for key in (name, f"-{name}")]
        offered["sort"] = [(key, words.text(f"sort_{key.replace('-', 'reverse_')}")) for key in sorts]
        return offered

    def _counts(self, found: Selection, n_customers: int, speech: Speech) -> dict[str, Any]:
        n, wording = len(found.positions), speech.wording
        return {
            "found": speech.words.text("found", n=_count(n, speech), of=_count(n_customers, speech)),
            "tiers": [
                (
                    name if name in ("high", "medium", "low") else "other",
                    wording.tier(name),
                    _count(k, speech),
                )
                for name, k in found.tiers.items()
            ],
            "expected": wording.format_number(found.expected_overdue_amount, "amount"),
        }

    def _asked(self, view: View, speech: Speech) -> str:
        """The filter in words, for print and for those who cannot see the form."""
        f, words, wording = view.filter, speech.words, speech.wording
        parts = []
        if f.text:
            parts.append(words.text("asked_exact" if f.exact else "asked_prefix", text=clean(f.text, _ID)))
        if f.tier:
            parts.append(wording.tier(f.tier))
        if f.reason:
            parts.append(reason_title(f.reason, wording))
        if f.status:
            parts.append(words.rule(f.status))
        if f.due_from:
            parts.append(words.text("asked_from", date=wording.format_date(f.due_from)))
        if f.due_to:
            parts.append(words.text("asked_to", date=wording.format_date(f.due_to)))
        return clean(words.text("list_semicolon").join(parts), 600)

    def _export_note(self, n: int, speech: Speech) -> str:
        limit = self.config.export_rows
        if n <= limit:
            return ""
        return speech.words.text("export_cut", shown=_count(limit, speech), n=_count(n, speech))

    def _facts(self, run: Run, speech: Speech) -> str:
        """Date, number and model of a run."""
        words, facts = (
            speech.words,
            [speech.wording.text("as_of", date=speech.wording.format_date(run.as_of))],
        )
        if run.number > 1:
            facts.append(words.text("run_only", number=str(run.number)))
        model = run.manifest["model"]
        named = f"{model.get('name', '')} {model.get('version', '')}".strip()
        if named:
            facts.append(words.text("model", name=clean(named, _NAME)))
        return " · ".join(facts)

    def _run_label(self, run: Run, speech: Speech) -> str:
        date = speech.wording.format_date(run.as_of)
        if run.number == 1:
            return date
        return speech.words.text("run_number", date=date, number=str(run.number))


def _count(number: int, speech: Speech) -> str:
    return speech.wording.format_number(number, "count")


def _head(view: View, sort: str) -> tuple[str, str]:
    """Where the head of a column leads, and how the list is sorted by it."""
    natural = "ascending" if sort in ("rank", "due") else "descending"
    turned = "descending" if natural == "ascending" else "ascending"
    order = {sort: natural, f"-{sort}": turned}.get(view.filter.sort, "")
    return view.sorted_by(sort).url("/"), order
