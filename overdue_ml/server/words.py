"""The words of the interface in one language; texts are data, see ``server/catalogue``."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from overdue_ml.config import read_yaml
from overdue_ml.errors import ConfigError
from overdue_ml.reports.phrases import Phrases

_FOLDER = Path(__file__).with_name("catalogue")


class Words(Phrases):
    """Texts by key, as those of the pages; those of the interface stand in a catalogue of their own.

    Examples
    --------
    >>> load_words("en").text("page_of", page="2", pages="9")
    'Page 2 of 9'
    """

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
