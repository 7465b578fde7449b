"""``overdue-ml serve``: the page on a socket."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from overdue_ml.errors import ConfigError
from overdue_ml.server.access import TOKEN_VARIABLE, AccessLog, Sessions, Tokens, is_loopback
from overdue_ml.server.runs import RunShelf
from overdue_ml.server.settings import ServeConfig, Sources

if TYPE_CHECKING:
    from overdue_ml.server.security import Guard


@dataclass(frozen=True)
class Address:
    """Where the page answers.

    Parameters
    ----------
    host : str
    port : int
    certificate, key : Path, optional
        Both for TLS.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    certificate: Path | None = None
    key: Path | None = None

    @property
    def url(self) -> str:
        """The address to open."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}/"


@dataclass(frozen=True)
class Access:
    """Who may look, and where it is written down.

    Parameters
    ----------
    token_file : Path, optional
        See :meth:`Tokens.read`.
    log_folder : Path, optional
        ``<out>/access_log`` by default.
    user : str
        Who looks where no token is needed.
    """

    token_file: Path | None = None
    log_folder: Path | None = None
    user: str = "local"


def prepare(
    sources: Sources, config: ServeConfig, address: Address, access: Access, environment: Mapping[str, str]
) -> Guard:
    """The page, checked and with the newest list read.

    Parameters
    ----------
    sources : Sources
    config : ServeConfig
    address : Address
    access : Access
    environment : mapping of str to str

    Returns
    -------
    Guard
        An ASGI application.

    Raises
    ------
    ConfigError
        If others than this machine could look without a token, there is no run, or a package is missing.
    """
    tokens = Tokens.read(access.token_file, environment)
    if not tokens and not is_loopback(address.host):
        raise ConfigError(
            f"'{address.host}' can be reached from other machines, and no token is set",
            where="--host",
            next_step=f"give --token-file FILE or set {TOKEN_VARIABLE}, or leave --host out",
        )
    if (address.certificate is None) != (address.key is None):
        raise ConfigError("TLS needs both --tls-certificate and --tls-key")
    missing = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the page needs packages that are not installed: {', '.join(missing)}",
            next_step="pip install 'overdue_ml[serve]'",
        )
    from overdue_ml.server.app import Site, build_app
    from overdue_ml.server.security import Door

    runs = RunShelf(sources.out, config.runs_in_memory)
    newest = runs.find("")
    if newest is None:
        raise ConfigError(
            "there is no scoring run",
            where=str(sources.out),
            next_step="'overdue-ml score' writes them there as as_of=YYYY-MM-DD",
        )
    runs.book(newest)
    door = Door(tokens, Sessions(config.session_hours), is_loopback(address.host), access.user)
    log = AccessLog(access.log_folder or sources.out / "access_log")
    return build_app(Site(sources, config, door, log, runs, secure_cookie=address.certificate is not None))


def run_server(app: Guard, address: Address) -> None:
    """Answer until the process is stopped.

    Parameters
    ----------
    app : Guard
    address : Address
    """
    import uvicorn

    # Its own access log would hold the ids that stand in addresses; see AccessLog for ours.
    uvicorn.run(
        app,
        host=address.host,
        port=address.port,
        ssl_certfile=address.certificate,
        ssl_keyfile=address.key,
        access_log=False,
        server_header=False,
        log_level="warning",
        proxy_headers=False,
        ws="none",
    )
