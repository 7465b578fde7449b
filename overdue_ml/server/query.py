"""What an address asks for, and addresses that ask for it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from overdue_ml.errors import ConfigError
from overdue_ml.server.book import SORTS, Filter
from overdue_ml.server.settings import PAGE_SIZES
from overdue_ml.server.words import languages

_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")
_NUMBER = re.compile(r"^\d{1,9}$")
_TEXTS = ("tier", "reason", "status")


class AddressError(ConfigError):
    """An address that asks for what there is not; ``status`` is that of the answer."""

    status: ClassVar[int] = 400


class UnknownCustomerError(AddressError):
    """A customer who was not scored in the run."""

    status: ClassVar[int] = 404


@dataclass(frozen=True)
class View:
    """One page of one list.

    Parameters
    ----------
    run : str
        Key of a run; empty for the newest.
    lang : str
    filter : Filter
    page, size : int
        From 1; a page beyond the last means the last.
    """

    run: str
    lang: str
    filter: Filter
    page: int
    size: int

    @classmethod
    def read(cls, params: Mapping[str, str], lang: str, size: int, exact_only: bool = False) -> View:
        """The view that the parameters of an address ask for.

        Parameters
        ----------
        params : mapping of str to str
        lang, size
            Where the address does not say.
        exact_only : bool
            Ids are looked for whole only.

        Raises
        ------
        AddressError
            If a parameter cannot be used.
        """
        sort = params.get("sort") or "rank"
        chosen = params.get("lang") or lang
        rows = _number(params, "size", size)
        if sort.removeprefix("-") not in SORTS:
            raise _bad("sort", sort, ", ".join(SORTS))
        if chosen not in languages():
            raise _bad("lang", chosen, " or ".join(languages()))
        if rows not in PAGE_SIZES:
            raise _bad("size", str(rows), ", ".join(map(str, PAGE_SIZES)))
        wanted = Filter(
            text=params.get("q", ""),
            exact=exact_only or params.get("match") == "exact",
            due_from=_day(params, "due_from"),
            due_to=_day(params, "due_to"),
            sort=sort,
            **{name: params.get(name, "") for name in _TEXTS},
        )
        return cls(params.get("run", ""), chosen, wanted, max(1, _number(params, "page", 1)), rows)

    def params(self, **changes: Any) -> dict[str, str]:
        """The view as parameters of an address; those that filter nothing are left out."""
        f = self.filter
        found = {
            "run": self.run,
            "lang": self.lang,
            "q": f.text,
            "match": "exact" if f.exact and f.text else "",
            **{name: getattr(f, name) for name in _TEXTS},
            "due_from": f.due_from.isoformat() if f.due_from else "",
            "due_to": f.due_to.isoformat() if f.due_to else "",
            "sort": "" if f.sort == "rank" else f.sort,
            "size": str(self.size),
            "page": "" if self.page == 1 else str(self.page),
        }
        merged = found | {k: str(v) for k, v in changes.items()}
        return {k: v for k, v in merged.items() if v}

    def url(self, path: str, **changes: Any) -> str:
        """An address of this site with this view; a change of ``""`` leaves a parameter out."""
        return f"{path}?{urlencode(self.params(**changes), quote_via=quote, errors='replace')}"

    def sorted_by(self, sort: str) -> View:
        """The first page of the list in another order; asked for once more the other way round."""
        turned = f"-{sort}" if self.filter.sort == sort else sort
        return replace(self, filter=replace(self.filter, sort=turned), page=1)

    def facts(self) -> dict[str, str]:
        """What an access log tells of the list: all but language and page."""
        return {k: v for k, v in self.params(lang="", size="", page="").items() if k != "run"}


def _day(params: Mapping[str, str], name: str) -> dt.date | None:
    text = params.get(name, "")
    if not text:
        return None
    try:
        if _DAY.match(text):
            return dt.date.fromisoformat(text)
    except ValueError:
        pass
    raise _bad(name, text, "a date as YYYY-MM-DD")


def _number(params: Mapping[str, str], name: str, otherwise: int) -> int:
    text = params.get(name, "")
    if not text:
        return otherwise
    # Digits of other scripts are numbers to int() and never meant.
    if not (_NUMBER.match(text) and text.isascii()):
        raise _bad(name, text, "a whole number")
    return int(text)


def _bad(name: str, value: str, expected: str) -> AddressError:
    return AddressError(f"'{value[:80]}' is no {name}", where=name, expected=expected)
