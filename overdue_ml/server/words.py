"""The words of the interface in one language; texts are data, see ``server/catalogue``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from overdue_ml.config import read_yaml
from overdue_ml.errors import ConfigError

_FOLDER = Path(__file__).with_name("catalogue")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Words:
    """Texts by key.

    Parameters
    ----------
    language : str
    texts : mapping of str to str
        ``{name}`` is a placeholder.
    """

    language: str
    texts: Mapping[str, str]

    def text(self, key: str, /, **values: str) -> str:
        """Fill in a text.

        Raises
        ------
        ConfigError
            If there is no such text, or a placeholder of it is not given.

        Examples
        --------
        >>> load_words("en").text("page_of", page="2", pages="9")
        'Page 2 of 9'
        """
        try:
            return _PLACEHOLDER.sub(lambda match: values[match[1]], self.texts[key])
        except KeyError as error:
            raise ConfigError(
                f"the text '{key}' cannot be filled in: {error} is missing",
                where=f"interface in '{self.language}'",
            ) from None

    def rule(self, name: str) -> str:
        """A rule of the reminder policy in words; one that is not known as it stands."""
        return self.texts.get(f"rule_{name}", name.replace("_", " "))


def languages() -> list[str]:
    """Languages of the interface."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


@lru_cache(maxsize=8)
def load_words(lang: str) -> Words:
    """Load the texts of a language.

    Raises
    ------
    ConfigError
        If there are no texts in it.
    """
    if lang not in languages():
        raise ConfigError(f"there is no page in '{lang}'", expected=f"one of {', '.join(languages())}")
    return Words(lang, {str(k): str(v) for k, v in read_yaml(_FOLDER / f"{lang}.yaml").items()})
