"""One self-contained HTML page: no script, no request, every value escaped."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from overdue_ml.reports.svg import clean

_TEMPLATES = Path(__file__).with_name("templates")
# Should a value ever slip through unescaped, the browser still runs and fetches nothing.
CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["clean"] = clean
    return environment


@lru_cache(maxsize=1)
def _style_sheet() -> Markup:
    # Part of the package, so its text is trusted.
    return Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8"))  # noqa: S704


def render_page(template: str, lang: str, **context: Any) -> str:
    """Fill in a template.

    Parameters
    ----------
    template : str
        File under ``templates``.
    lang : str
        Language of the page.
    **context
        Values; texts are escaped, Markup is kept.

    Returns
    -------
    str
        HTML.
    """
    page = _environment().get_template(template)
    return page.render(lang=lang, css=_style_sheet(), csp=CONTENT_SECURITY_POLICY, **context)
