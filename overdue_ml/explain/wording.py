"""The words of the customer card: what each reason says, in English, Chinese or an institution's own text.

A sentence states facts with the customer's own figures. Whether a reason raises or lowers the risk is
shown by the card's bars, so that a sentence stays true whatever the figure.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from pathlib import Path
from typing import Any

from overdue_ml.config import read_yaml
from overdue_ml.errors import ConfigError
from overdue_ml.explain.speaking import CONTRADICTIONS, Pairs

_FOLDER = Path(__file__).with_name("catalogue")
# A figure, or the day that many days before or after the as_of date.
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*(?:\.(?:past|future)_date)?)\}")
_SECTIONS = ("reasons", "units", "tiers", "behaviours", "card")
_REFERENCE = "en"
# Beyond this a figure is not money any more, and 300 digits would only break the layout.
_HUGE = 1e15
#: Of a probability in per cent.
_MOST_DECIMALS = 4


@dataclass(frozen=True)
class ReasonText:
    """What one reason code says.

    Parameters
    ----------
    title : str
    adverse, protective : str
        Sentence for a contribution above zero, and for any other; ``{feature_name}`` placeholders. Of a
        feature in days, ``{feature_name.past_date}`` is the day that many days before the as_of date and
        ``{feature_name.future_date}`` the day after it.
    adverse_plain, protective_plain : str
        The same without figures, for when one of them is unknown.
    """

    title: str
    adverse: str
    protective: str
    adverse_plain: str
    protective_plain: str


@dataclass(frozen=True)
class Wording:
    """Every text that the customer card shows, in one language.

    Parameters
    ----------
    language : str
    reasons : mapping of str to ReasonText
        By reason code.
    units : mapping of str to str
        How a number reads in each unit, as ``{n} days``.
    tiers, behaviours : mapping of str to str
        Names of risk tiers and of payment behaviours.
    card : mapping of str to str
        Every other text.
    months : tuple of str
        Twelve names.
    contradictions : frozenset of pairs
        Reasons of which a card never tells one as raising and the other as lowering the risk.
    """

    language: str
    reasons: Mapping[str, ReasonText]
    units: Mapping[str, str]
    tiers: Mapping[str, str]
    behaviours: Mapping[str, str]
    card: Mapping[str, str]
    months: tuple[str, ...]
    contradictions: Pairs = CONTRADICTIONS

    def sentence(
        self,
        code: str,
        contribution: float,
        values: Mapping[str, float | None],
        units: Mapping[str, str],
        as_of: dt.date | None = None,
    ) -> str:
        """Say what a reason means for one customer.

        Parameters
        ----------
        code : str
            Reason code.
        contribution : float
            In log-odds; above zero it raises the risk.
        values : mapping of str to float or None
            The customer's figures by feature name; others than those of the sentence are ignored.
        units : mapping of str to str
            Unit of each feature, as the registry gives it.
        as_of : date, optional
            From which days are counted; without it sentences with a date are told plainly.

        Returns
        -------
        str
            The sentence with figures, or the plain one if a figure is missing, null or not finite, or a date
            of it is.

        Raises
        ------
        ConfigError
            If the reason code or a unit is unknown.

        Examples
        --------
        >>> wording = load_wording("en")
        >>> wording.sentence(
        ...     "CREDIT_LIMIT", -0.2, {"account_credit_limit_amount_sum": 50000.0},
        ...     {"account_credit_limit_amount_sum": "amount"},
        ... )
        'The credit limits add up to 50,000.'
        """
        reason = self._reason(code)
        adverse = contribution > 0
        text = reason.adverse if adverse else reason.protective
        slots = set(_PLACEHOLDER.findall(text))
        lost = sorted(
            name for name in map(_feature_of, slots) if _known(values.get(name)) and name not in units
        )
        if lost:
            raise ConfigError(f"no unit is given for {', '.join(lost)}", where=f"reason {code}")
        told = {slot: self._told(slot, values, units, as_of) for slot in slots}
        if None in told.values():
            return reason.adverse_plain if adverse else reason.protective_plain
        return _fill(text, {slot: shown for slot, shown in told.items() if shown is not None})

    def title(self, code: str) -> str:
        """Heading of a reason."""
        return self._reason(code).title

    def placeholders(self, code: str) -> frozenset[str]:
        """Names of the features whose figures the sentences of a reason show."""
        reason = self._reason(code)
        return frozenset(map(_feature_of, _PLACEHOLDER.findall(reason.adverse + reason.protective)))

    def sentence_features(self, code: str, contribution: float) -> frozenset[str]:
        """Names of the features whose figures the one sentence for a contribution shows."""
        reason = self._reason(code)
        text = reason.adverse if contribution > 0 else reason.protective
        return frozenset(map(_feature_of, _PLACEHOLDER.findall(text)))

    def plain_sentence(self, code: str, contribution: float) -> str:
        """What a reason means, without figures."""
        reason = self._reason(code)
        return reason.adverse_plain if contribution > 0 else reason.protective_plain

    def format_number(self, value: float | None, unit: str) -> str:
        """Write a number with its unit; a null or infinite one as unknown.

        Parameters
        ----------
        value : float or None
            A ratio is shown in per cent.
        unit : {'days', 'amount', 'ratio', 'count', 'score'}

        Raises
        ------
        ConfigError
            If the unit is none of these.

        Examples
        --------
        >>> wording = load_wording("en")
        >>> wording.format_number(0.934, "ratio"), wording.format_number(-1234.0, "amount")
        ('93 %', '-1,234')
        """
        if unit not in self.units:
            raise ConfigError(f"'{unit}' is no unit of a figure", expected=f"one of {', '.join(self.units)}")
        if value is None or not _known(value):
            return self.text("unknown")
        number = _digits(100.0 * value if unit == "ratio" else float(value), unit)
        key = "days_one" if unit == "days" and number in ("1", "-1") else unit
        return _fill(self.units[key], {"n": number})

    def format_shares(self, shares: Sequence[float]) -> list[str]:
        """Write probabilities in per cent that are compared: with the decimals that tell them apart.

        Parameters
        ----------
        shares : sequence of float

        Examples
        --------
        >>> load_wording("en").format_shares([0.1996, 0.2, 0.31])
        ['19.96 %', '20.00 %', '31.00 %']
        """
        told = [self.format_number(share, "ratio") for share in shares]
        for decimals in range(1, _MOST_DECIMALS + 1):
            if len(set(told)) == len({round(share, _MOST_DECIMALS + 2) for share in shares}):
                break
            told = [_fill(self.units["ratio"], {"n": f"{100 * share:.{decimals}f}"}) for share in shares]
        return told

    def format_date(self, day: dt.date | None) -> str:
        """Write a date in words; a missing one as unknown."""
        if day is None:
            return self.text("unknown")
        month = self.months[day.month - 1]
        return self.text("date", day=str(day.day), month=month, year=f"{day.year:04d}")

    def text(self, key: str, **values: str) -> str:
        """One of the card's texts with its placeholders filled in.

        Raises
        ------
        ConfigError
            If there is no such text, or it names a placeholder that is not given.
        """
        try:
            return _fill(self.card[key], values)
        except KeyError as error:
            raise ConfigError(f"the card text '{key}' cannot be filled in: {error} is missing") from None

    def tier(self, name: str) -> str:
        """Name of a risk tier; an unknown one as it stands."""
        return self.tiers.get(name, name)

    def behaviour(self, name: str) -> str:
        """Name of a payment behaviour; an unknown one as it stands."""
        return self.behaviours.get(name, name)

    def _told(
        self, slot: str, values: Mapping[str, float | None], units: Mapping[str, str], as_of: dt.date | None
    ) -> str | None:
        """A figure or a date as it is written; None where it is not known."""
        name, _, kind = slot.partition(".")
        value = values.get(name)
        if value is None or not _known(value):
            return None
        if not kind:
            return self.format_number(value, units[name])
        # A mean of days is no day.
        if as_of is None or units[name] != "days" or value != int(value):
            return None
        try:
            days = dt.timedelta(days=int(value))
            return self.format_date(as_of - days if kind == "past_date" else as_of + days)
        except OverflowError:
            return None

    def _reason(self, code: str) -> ReasonText:
        try:
            return self.reasons[code]
        except KeyError:
            raise ConfigError(
                f"the reason '{code}' has no wording in '{self.language}'",
                next_step="add it under 'reasons' to your own wording file",
            ) from None


def languages() -> list[str]:
    """Languages that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_wording(lang: str, path: Path | None = None) -> Wording:
    """Texts of the card in one language.

    Parameters
    ----------
    lang : str
        ``en``, ``zh``, or with ``path`` any other language.
    path : Path, optional
        An institution's own YAML. In a language of the package it need only hold what differs; in another
        one it has to be complete. Its list ``contradictions`` of pairs of reason codes takes the place of the
        package's; the word ``package`` in it stands for those.

    Returns
    -------
    Wording

    Raises
    ------
    ConfigError
        If the language is unknown, a reason, key or text is missing, or a placeholder is malformed.

    Examples
    --------
    >>> load_wording("zh").format_number(60.0, "days")
    '60天'
    """
    reference = read_yaml(_FOLDER / f"{_REFERENCE}.yaml")
    known = languages()
    if lang not in known and path is None:
        raise ConfigError(
            f"there is no wording in '{lang}'",
            expected=f"one of {', '.join(known)}",
            next_step="or give your own wording file (--catalogue)",
        )
    data: dict[str, Any] = read_yaml(_FOLDER / f"{lang}.yaml") if lang in known else {}
    where = f"wording '{lang}'"
    if path is not None:
        where = str(path)
        own = read_yaml(path)
        if own.get("language", lang) != lang:
            raise ConfigError(f"the wording is in '{own['language']}'", where=where, expected=f"'{lang}'")
        data = _merge(data, own)
    return _build(lang, data, reference, where)


def check_wording(wording: Wording, reason_codes: Iterable[str], feature_names: Collection[str]) -> None:
    """Check that a wording fits a set of features.

    Parameters
    ----------
    wording : Wording
    reason_codes : iterable of str
        Reasons under which features are explained.
    feature_names : collection of str
        Every registered feature.

    Raises
    ------
    ConfigError
        If a reason has no wording, or a placeholder of it is not a feature, or a pair of contradictions names
        no reason.
    """
    names = set(feature_names)
    faults = []
    for code in sorted(set(reason_codes)):
        if code not in wording.reasons:
            faults.append(f"{code}: no wording")
            continue
        faults += [f"{code}: '{name}' is no feature" for name in sorted(wording.placeholders(code) - names)]
    paired = {code for pair in wording.contradictions for code in pair}
    faults += [
        f"{code}: contradicts another and is no reason" for code in sorted(paired - {*wording.reasons})
    ]
    if faults:
        raise ConfigError("; ".join(faults), where=f"wording '{wording.language}'")


def _build(lang: str, data: dict[str, Any], reference: dict[str, Any], where: str) -> Wording:
    unknown = sorted(set(data) - {"language", "months", "contradictions", *_SECTIONS})
    if unknown:
        raise ConfigError(f"unknown section(s) {', '.join(unknown)}", where=where)
    parts = {name: _section(data.get(name), name, reference[name], where) for name in _SECTIONS}
    months = data.get("months")
    if not isinstance(months, list) or len(months) != 12 or not all(isinstance(m, str) for m in months):
        raise ConfigError("'months' cannot be used", where=where, expected="a list of twelve texts")
    for name in ("units", "card"):
        _check_texts(parts[name], name, reference[name], where)
    return Wording(
        language=lang,
        reasons={code: _reason_text(code, entry, where) for code, entry in parts["reasons"].items()},
        units=parts["units"],
        tiers=parts["tiers"],
        behaviours=parts["behaviours"],
        card=parts["card"],
        months=tuple(months),
        contradictions=_pairs(data.get("contradictions", ["package"]), where),
    )


def _pairs(given: object, where: str) -> Pairs:
    """Pairs of reason codes; ``package`` stands for those of the package."""
    found: set[frozenset[str]] = set()
    for item in given if isinstance(given, list) else [None]:
        if item == "package":
            found |= CONTRADICTIONS
            continue
        codes = item if isinstance(item, list) and all(isinstance(c, str) for c in item) else []
        if len(codes) != 2 or len(set(codes)) != 2:
            raise ConfigError(
                "'contradictions' cannot be used",
                where=where,
                expected="a list of pairs of reason codes, as [[NEXT_DUE, PLAN_LEFT]], or the word package",
            )
        found.add(frozenset(codes))
    return frozenset(found)


def _section(section: object, name: str, reference: dict[str, Any], where: str) -> dict[str, Any]:
    """Return a section that has every key of the reference, texts only (reasons: mappings)."""
    if not isinstance(section, dict):
        raise ConfigError(f"the section '{name}' is missing", where=where)
    missing = sorted(reference.keys() - section.keys())
    if missing:
        raise ConfigError(f"'{name}' lacks {', '.join(missing)}", where=where)
    wanted = dict if name == "reasons" else str
    wrong = sorted(str(key) for key, value in section.items() if not isinstance(value, wanted) or not value)
    if wrong:
        raise ConfigError(f"'{name}' has no usable text for {', '.join(wrong)}", where=where)
    return section


def _check_texts(section: dict[str, str], name: str, reference: dict[str, str], where: str) -> None:
    for key, text in section.items():
        if key not in reference:
            raise ConfigError(f"'{name}.{key}' is not a text of the card", where=where)
        extra = _names(text, f"{name}.{key}", where) - _names(reference[key], key, where)
        if extra:
            raise ConfigError(f"'{name}.{key}' has the unknown placeholder {sorted(extra)[0]}", where=where)


def _reason_text(code: str, entry: dict[str, Any], where: str) -> ReasonText:
    keys = [field.name for field in fields(ReasonText)]
    missing = [key for key in keys if not isinstance(entry.get(key), str) or not entry[key].strip()]
    if missing:
        raise ConfigError(f"the reason {code} lacks {', '.join(missing)}", where=where)
    unknown = sorted(set(entry) - set(keys))
    if unknown:
        raise ConfigError(f"the reason {code} has unknown keys {', '.join(unknown)}", where=where)
    for key in keys:
        names = _names(entry[key], f"{code}.{key}", where)
        if names and key not in ("adverse", "protective"):
            raise ConfigError(
                f"{code}.{key} has a placeholder", where=where, expected="a text without figures"
            )
    return ReasonText(**{key: entry[key] for key in keys})


def _names(text: str, key: str, where: str) -> set[str]:
    """Placeholders of a text; any other brace is a mistake that would reach the customer."""
    if set(_PLACEHOLDER.sub("", text)) & {"{", "}"}:
        raise ConfigError(f"{key} has a malformed placeholder", where=where, expected="{feature_name}")
    return set(_PLACEHOLDER.findall(text))


def _feature_of(slot: str) -> str:
    return slot.partition(".")[0]


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _fill(text: str, values: Mapping[str, str]) -> str:
    # Not str.format: its fields can reach attributes, and a wording file is outside the package.
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def _known(value: object) -> bool:
    # A category, should a wording file name one, is no figure either.
    return isinstance(value, (int, float, Real)) and math.isfinite(value)


def _digits(number: float, unit: str) -> str:
    """Digits with thousands separators, and as many decimals as the size of the number deserves."""
    size = abs(number)
    if size >= _HUGE:
        return f"{number:.3g}"
    if unit == "amount":
        decimals = 0 if size >= 1000 or number == int(number) else 2
        text = f"{number:,.{decimals}f}"
    else:
        decimals = 0 if size >= 10 else (2 if unit in ("count", "score") else 1)
        text = f"{number:,.{decimals}f}"
        text = text.rstrip("0").rstrip(".") if decimals else text
    return text.removeprefix("-") if not text.strip("-0.,") else text
