"""The words of the evaluation page in one language; texts are data, see ``reports/catalogue``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from overdue_ml.config import read_yaml
from overdue_ml.errors import ConfigError
from overdue_ml.reports.assessment import Remark

_FOLDER = Path(__file__).with_name("catalogue")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Phrases:
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
        >>> load_phrases("en").text("to", low="0.1", high="0.2")
        '0.1 to 0.2'
        """
        try:
            return _PLACEHOLDER.sub(lambda match: values[match[1]], self.texts[key])
        except KeyError as error:
            raise ConfigError(
                f"the text '{key}' of the page cannot be filled in: {error} is missing",
                where=f"page in '{self.language}'",
            ) from None

    def word(self, kind: str, name: str) -> str:
        """The word for a name of that kind (``c`` columns, ``v`` verdicts...), or the name as it stands."""
        return self.texts.get(f"{kind}_{name}", name)

    def remark(self, remark: Remark) -> str:
        """A remark in words."""
        return self.text(remark.key, **remark.values)

    def placeholders(self) -> dict[str, set[str]]:
        """The placeholders of each text."""
        return {key: set(_PLACEHOLDER.findall(text)) for key, text in self.texts.items()}


@lru_cache(maxsize=4)
def load_phrases(lang: str) -> Phrases:
    """Load the texts of a language.

    Raises
    ------
    ConfigError
        If there are no texts in it.
    """
    known = sorted(path.stem for path in _FOLDER.glob("*.yaml"))
    if lang not in known:
        raise ConfigError(f"there is no evaluation page in '{lang}'", expected=f"one of {', '.join(known)}")
    return Phrases(lang, {str(k): str(v) for k, v in read_yaml(_FOLDER / f"{lang}.yaml").items()})
