"""What every request passes: method, host, origin, token; and the headers of every answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overdue_ml.server.access import Sessions, Tokens, is_loopback

COOKIE, FORM_COOKIE = "overdue_ml_session", "overdue_ml_form"
LOCAL = "local"
_READ, _POSTED = ("GET", "HEAD"), ("/login", "/logout")
_logger = logging.getLogger(__name__)

HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Robots-Tag": "noindex",
}


def content_security_policy(styles: str = "'self'") -> str:
    """The policy of a page: nothing but its styles, drawn icons and its own forms.

    Parameters
    ----------
    styles : str
        Sources of styles.
    """
    return (
        f"default-src 'none'; style-src {styles}; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )


@dataclass(frozen=True)
class Door:
    """Who is let in.

    Parameters
    ----------
    tokens : Tokens
    sessions : Sessions
    loopback : bool
        The page is for this machine only, so the Host header must name it.
    user : str
        Who looks where no token is needed.
    """

    tokens: Tokens
    sessions: Sessions
    loopback: bool = True
    user: str = LOCAL

    def visitor(self, headers: Headers) -> str | None:
        """The name of who asks, or None of a stranger."""
        if not self.tokens:
            return self.user
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            name = self.tokens.owner(token.strip())
            return None if name is None else name or "bearer"
        cookie = session_cookie(headers)
        return self.sessions.user(cookie) if cookie else None


def session_cookie(headers: Headers, name: str = COOKIE) -> str:
    """What the login's cookie holds, or another one; empty where there is none."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def same_origin(headers: Headers) -> bool:
    """Whether a form was sent from this site itself.

    A page that sends no referrer has the origin ``null``, even to itself. Browsers then say where the form
    is from by ``Sec-Fetch-Site``, but over plain HTTP to this machine only; what is left are cookies that
    they never send along from another site.
    """
    origin = headers.get("origin", "null")
    if origin != "null":
        # A page over plain HTTP and the same page behind TLS differ in the scheme only.
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.netloc == headers.get("host", "")
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return any(session_cookie(headers, name) for name in (COOKIE, FORM_COOKIE))


def own_host(headers: Headers) -> bool:
    """Whether the Host header names this machine: a stranger's name that leads here is refused."""
    host = headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)


class Guard:
    """An ASGI application around another one.

    Parameters
    ----------
    app : ASGI application
    door : Door
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Content-Security-Policy", content_security_policy())
            await send(message)

        try:
            refused = self._refuse(scope)
            await (refused or self._app)(scope, receive, sending)
        except Exception as error:  # A bug; its message may name a customer, so only its kind is logged.
            _logger.error("%s while answering %s", type(error).__name__, scope["method"])
            if not started:
                await PlainTextResponse("Internal Server Error", 500)(scope, receive, sending)

    def _refuse(self, scope: Scope) -> ASGIApp | None:
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        if method not in _READ and not (method == "POST" and path in _POSTED):
            return PlainTextResponse("Method Not Allowed", 405, {"Allow": ", ".join(_READ)})
        if self._door.loopback and not own_host(headers):
            return PlainTextResponse("Misdirected Request: this page answers to 127.0.0.1 only", 421)
        if method == "POST" and not same_origin(headers):
            return PlainTextResponse("Forbidden: the form is not from this page", 403)
        user = self._door.visitor(headers)
        scope.setdefault("state", {})["user"] = user
        if user is not None or path == "/login" or path.startswith("/static/"):
            return None
        if "authorization" in headers:
            return PlainTextResponse("Unauthorized", 401, {"WWW-Authenticate": "Bearer"})
        return RedirectResponse(f"/login?next={quote(_address(scope), safe='')}", 303)


def _address(scope: Scope) -> str:
    query = scope.get("query_string", b"").decode("latin-1")
    return quote(scope["path"]) + (f"?{query}" if query else "")


def safe_address(text: str) -> str:
    r"""An address of this site, or its first page where a text is none.

    Examples
    --------
    >>> safe_address("/card?rank=3"), safe_address("//evil.example/x"), safe_address("/\\evil.example")
    ('/card?rank=3', '/', '/')
    """
    inside = text.startswith("/") and not text.startswith("//")
    plain = text.isascii() and text.isprintable() and "\\" not in text
    return text if inside and plain else "/"
