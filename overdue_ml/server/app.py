"""The routes of the risk officer's page; each answers from what was scored and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from overdue_ml.errors import OverdueMLError
from overdue_ml.server.access import AccessLog
from overdue_ml.server.cards import CardShelf, with_bar
from overdue_ml.server.exports import CSV_TYPE, EXCEL_TYPE, csv_bytes, excel_bytes, export_frame
from overdue_ml.server.pages import Pages, Speech
from overdue_ml.server.query import AddressError, UnknownCustomerError, View
from overdue_ml.server.runs import Run, RunShelf
from overdue_ml.server.security import (
    COOKIE,
    FORM_COOKIE,
    Door,
    Guard,
    content_security_policy,
    safe_address,
    session_cookie,
)
from overdue_ml.server.settings import ServeConfig, Sources
from overdue_ml.server.words import languages

_CSS = (Path(__file__).with_name("static") / "page.css").read_text(encoding="utf-8")
_MAX_FORM = 10_000


@dataclass(frozen=True)
class Site:
    """Everything that the routes answer from.

    Parameters
    ----------
    sources : Sources
    config : ServeConfig
    door : Door
    log : AccessLog
    runs : RunShelf
    secure_cookie : bool, default False
        The login's cookie travels over TLS only.
    """

    sources: Sources
    config: ServeConfig
    door: Door
    log: AccessLog
    runs: RunShelf
    secure_cookie: bool = False


class _Routes:
    """The answers, one method a route."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._pages = Pages(site.sources, site.config)
        self._cards = CardShelf(site.sources)

    def view(self, request: Request) -> tuple[View, Run]:
        """What an address asks for, and the run it speaks of."""
        site = self._site
        view = View.read(
            request.query_params, site.sources.lang, site.config.page_size, site.sources.mask_ids
        )
        run = site.runs.find(view.run)
        if run is None:
            raise AddressError(
                f"there is no scoring run '{view.run[:80]}'", next_step="choose one that the list offers"
            )
        # Pinned: a run that is written meanwhile must not move the pages under the officer.
        return replace(view, run=run.key), run

    def list_page(self, request: Request) -> Response:
        """The list."""
        view, run = self.view(request)
        site = self._site
        login = bool(site.door.tokens) and bool(session_cookie(request.headers))
        page = self._pages.list_page(
            view, site.runs.runs(), run, site.runs.book(run), request.state.user, login
        )
        return HTMLResponse(page)

    def card(self, request: Request) -> Response:
        """The card of one customer."""
        view, run = self.view(request)
        site, book = self._site, self._site.runs.book(run)
        customer, rank = request.query_params.get("customer"), request.query_params.get("rank", "")
        position = None
        if customer is not None and not site.sources.mask_ids:
            position = book.find(customer)
        elif rank.isascii() and rank.isdigit() and len(rank) < 10:
            position = book.find_rank(int(rank))
        if position is None:
            raise UnknownCustomerError(
                f"customer '{(customer or rank)[:80]}' was not scored in this run",
                where=run.folder.name,
                next_step="check the id character by character; leading zeros count",
            )
        (row,) = book.rows([position])
        page = self._cards.render(run, row.customer_id, view.lang)
        bar = self._pages.card_bar(view, book, position, self._pages.naming(row))
        whole, styles = with_bar(page, bar)
        site.log.write(
            request.state.user, "card", customer_id=row.customer_id, run=run.folder.name, lang=view.lang
        )
        return HTMLResponse(whole, headers={"Content-Security-Policy": content_security_policy(styles)})

    def export_csv(self, request: Request) -> Response:
        """The list as CSV."""
        return self._export(request, "csv")

    def export_excel(self, request: Request) -> Response:
        """The list as an Excel sheet."""
        return self._export(request, "xlsx")

    def _export(self, request: Request, kind: str) -> Response:
        view, run = self.view(request)
        site, book = self._site, self._site.runs.book(run)
        speech = Speech.of(site.sources, view.lang)
        positions = book.select(view.filter).positions
        rows = book.rows(positions[: site.config.export_rows])
        frame = export_frame(rows, run.manifest["as_of"], speech.words, speech.wording, site.sources.mask_ids)
        content = csv_bytes(frame) if kind == "csv" else excel_bytes(frame)
        facts = {"run": run.folder.name, "format": kind, "filter": view.facts()}
        site.log.write(request.state.user, "export", rows=len(rows), of=len(positions), **facts)
        return Response(
            content,
            media_type=CSV_TYPE if kind == "csv" else EXCEL_TYPE,
            headers={"Content-Disposition": f'attachment; filename="overdue_{run.key}.{kind}"'},
        )

    def login_page(self, request: Request) -> Response:
        """The form of the login."""
        address = safe_address(request.query_params.get("next", "/"))
        if not self._site.door.tokens:
            return RedirectResponse(address, 303)
        return self._login_form(self._lang(request.query_params.get("lang")), address)

    def _login_form(self, lang: str, address: str, refused: bool = False) -> Response:
        named = all(self._site.door.tokens.by_digest.values())
        page = self._pages.login_page(lang, address, refused, named)
        answer = HTMLResponse(page, 401 if refused else 200)
        answer.set_cookie(
            FORM_COOKIE, "1", httponly=True, samesite="strict", secure=self._site.secure_cookie, path="/login"
        )
        return answer

    async def login(self, request: Request) -> Response:
        """Begin a login, or say that the token is wrong."""
        form = await _form(request)
        # The log waits for the disk; nobody else should wait for it.
        return await run_in_threadpool(self._login, form)

    def _login(self, form: dict[str, str]) -> Response:
        site = self._site
        address, lang = safe_address(form.get("next", "/")), self._lang(form.get("lang"))
        owner = site.door.tokens.owner(form.get("token", "").strip())
        user = owner or form.get("name", "").strip()[:80]
        if owner is None or not user:
            # Not the name: who mixes up the fields has typed the token there.
            site.log.write("", "login_refused")
            return self._login_form(lang, address, refused=True)
        site.log.write(user, "login")
        answer = RedirectResponse(address, 303)
        answer.set_cookie(
            COOKIE,
            site.door.sessions.begin(user),
            httponly=True,
            samesite="strict",
            secure=site.secure_cookie,
        )
        return answer

    def logout(self, request: Request) -> Response:
        """End a login."""
        site, cookie = self._site, session_cookie(request.headers)
        if cookie:
            site.door.sessions.end(cookie)
            site.log.write(request.state.user, "logout")
        answer = RedirectResponse("/login" if site.door.tokens else "/", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=site.secure_cookie)
        return answer

    def styles(self) -> Response:
        """The style sheet."""
        return Response(_CSS, media_type="text/css; charset=utf-8")

    def refused(self, request: Request, error: Exception) -> Response:
        """Why there is nothing to see, in a sentence."""
        # What is in the address is the visitor's; records that are gone or changed are the house's.
        status = error.status if isinstance(error, AddressError) else 503
        lang = self._lang(request.query_params.get("lang"))
        return HTMLResponse(
            self._pages.message_page(lang, "cannot_show", str(error), f"/?lang={lang}"), status
        )

    def missing(self, request: Request, error: Exception) -> Response:
        """No such page."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        lang = self._lang(request.query_params.get("lang"))
        return HTMLResponse(self._pages.message_page(lang, "not_found", "", f"/?lang={lang}"), status)

    def _lang(self, text: str | None) -> str:
        return text if text in languages() else self._site.sources.lang


async def _form(request: Request) -> dict[str, str]:
    """The fields of a small form; parsed here, since no file is ever sent."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM:
            return {}
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20)
    return {name: values[-1] for name, values in fields.items()}


def build_app(site: Site) -> Guard:
    """The page as an ASGI application.

    Parameters
    ----------
    site : Site

    Returns
    -------
    Guard
    """
    routes = _Routes(site)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    read: list[tuple[str, Callable[..., object]]] = [
        ("/", routes.list_page),
        ("/card", routes.card),
        ("/export.csv", routes.export_csv),
        ("/export.xlsx", routes.export_excel),
        ("/login", routes.login_page),
        ("/static/page.css", routes.styles),
    ]
    for path, answer in read:
        app.add_api_route(path, answer, methods=["GET", "HEAD"], response_model=None)
    app.add_api_route("/login", routes.login, methods=["POST"], response_model=None)
    app.add_api_route("/logout", routes.logout, methods=["POST"], response_model=None)
    app.add_exception_handler(OverdueMLError, routes.refused)
    app.add_exception_handler(HTTPException, routes.missing)
    return Guard(app, site.door)
