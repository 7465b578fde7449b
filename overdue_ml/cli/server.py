"""The verb that shows scored output in a browser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from overdue_ml.cli.common import (
    ConfigArg,
    FeaturesModuleArg,
    LangArg,
    RunRecordsArg,
    SetArg,
    app,
    progress_on,
)


@app.command()
def serve(
    out: Annotated[Path, typer.Option("--out", help="Folder of scoring runs, as given to 'score'.")],
    host: Annotated[str, typer.Option("--host", help="Any but this machine's needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8080,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="Lines NAME:TOKEN. Else the variable OVERDUE_ML_TOKEN."),
    ] = None,
    user: Annotated[
        str, typer.Option("--user", help="Name for the access log where no token is needed.")
    ] = "local",
    access_log: Annotated[
        Path | None, typer.Option("--access-log", help="Folder of the access log; else <out>/access_log.")
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option("--tls-certificate", help="PEM file; with --tls-key.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="PEM file.")] = None,
    lang: LangArg = "en",
    records: RunRecordsArg = None,
    wording: Annotated[
        Path | None, typer.Option("--catalogue", "--wording", help="A reason catalogue of your own.")
    ] = None,
    models: Annotated[
        Path | None, typer.Option("--models", help="Models folder: cards then say what would change a score.")
    ] = None,
    mask_ids: Annotated[
        bool, typer.Option("--mask-ids", help="Show only the ends of customers' and accounts' ids.")
    ] = False,
    features_module: FeaturesModuleArg = None,
    config: ConfigArg = None,
    settings: SetArg = None,
) -> None:
    """Show scored customers to a risk officer in a browser: search, filter, open cards, export."""
    from overdue_ml.config import load_config
    from overdue_ml.server.access import is_loopback
    from overdue_ml.server.run import Access, Address, prepare, run_server
    from overdue_ml.server.settings import ServeConfig, Sources
    from overdue_ml.server.words import load_words

    chosen = load_config(ServeConfig, config, settings)
    load_words(lang)
    address = Address(host, port, tls_certificate, tls_key)
    access = Access(token_file, access_log, user)
    sources = Sources(out, lang, records, wording, features_module, models, mask_ids)
    with progress_on(False) as progress:
        progress.stage("reading the newest list")
        page = prepare(sources, chosen, address, access, os.environ)
    if not is_loopback(host) and tls_certificate is None:
        typer.echo(
            "Without TLS tokens travel in clear: give --tls-certificate, or a proxy with TLS.", err=True
        )
    typer.echo(f"The page answers at {address.url} (Ctrl+C ends it).", err=True)
    run_server(page, address)
