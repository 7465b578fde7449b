"""Small helpers that write SVG: every text escaped, every number rounded, so bytes do not vary."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

_MARK = "\ufffd"
_MAX_LABEL = 96
_SMALLEST = 1e-9


def clean(text: object, limit: int = _MAX_LABEL) -> str:
    """Text that is safe to lay out: no control or direction characters, and no longer than a limit.

    Parameters
    ----------
    text : object
        Anything; its ``str``.
    limit : int
        Characters kept; what is cut is marked by an ellipsis.

    Returns
    -------
    str
        Not escaped yet.

    Examples
    --------
    >>> clean("A" * 200, limit=5)
    'AAAA…'
    """
    raw = str(text)
    cut = raw if len(raw) <= limit else raw[: limit - 1] + "…"
    # Control and format characters (direction, zero width) and lone surrogates are shown, not obeyed.
    shown = (_MARK if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in cut)
    return "".join(shown)


def number(value: float) -> str:
    """Coordinate with at most two decimals and no negative zero."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def element(tag: str, content: Markup | str | None = None, **attributes: str | float) -> Markup:
    """One SVG element.

    Parameters
    ----------
    tag : str
    content : Markup or str, optional
        Markup is kept as it is, text is escaped.
    **attributes
        ``_`` stands for ``-`` and a trailing ``_`` is dropped, as in ``class_`` and ``text_anchor``.

    Examples
    --------
    >>> print(element("text", "<a>", x=1.5, class_="label"))
    <text x="1.5" class="label">&lt;a&gt;</text>
    """
    parts = []
    for name, value in attributes.items():
        # A number has nothing to escape, and a card has hundreds.
        shown = escape(value) if isinstance(value, str) else number(value)
        parts.append(f' {name.rstrip("_").replace("_", "-")}="{shown}"')
    start = f"{tag}{''.join(parts)}"
    # Attribute values are escaped above, the content below.
    if content is None:
        return Markup(f"<{start}/>")  # noqa: S704
    return Markup(f"<{start}>{escape(content)}</{tag}>")  # noqa: S704


def join(parts: Iterable[Markup]) -> Markup:
    """Elements one after the other."""
    return Markup("").join(parts)


def picture(
    width: float, height: float, title: str, parts: Iterable[Markup], class_: str = "chart"
) -> Markup:
    """Return an SVG image with a title that screen readers announce."""
    return element(
        "svg",
        element("title", title) + join(parts),
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
        class_=class_,
        role="img",
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str) -> Markup:
    """A rectangle; a negative height is turned round."""
    if height < 0:
        y, height = y + height, -height
    return element("rect", x=x, y=y, width=max(width, 0.0), height=height, class_=class_)


def text(x: float, y: float, content: str, class_: str = "label", anchor: str = "start") -> Markup:
    """A line of text."""
    return element("text", content, x=x, y=y, class_=class_, text_anchor=anchor)


def path(points: Sequence[tuple[float, float]], class_: str, *, closed: bool = False) -> Markup:
    """A polygon or a broken line through the points."""
    steps = " ".join(f"{'L' if i else 'M'}{number(x)} {number(y)}" for i, (x, y) in enumerate(points))
    return element("path", d=steps + (" Z" if closed else ""), class_=class_)


def marker(x: float, y: float, size: float, class_: str, shape: str = "diamond") -> Markup:
    """A point as a diamond, a triangle up or a triangle down."""
    shapes = {
        "diamond": [(0, -1), (1, 0), (0, 1), (-1, 0)],
        "up": [(0, -1), (1, 1), (-1, 1)],
        "down": [(0, 1), (1, -1), (-1, -1)],
    }
    return path([(x + size * a, y + size * b) for a, b in shapes[shape]], class_, closed=True)


def width_of(words: str) -> float:
    """About how wide a label is; Chinese characters are as wide as two others."""
    return sum(11.5 if unicodedata.east_asian_width(c) in "WF" else 6.2 for c in words)


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers from at most ``low`` to at least ``high``.

    Examples
    --------
    >>> nice_ticks(0, 93)
    [0.0, 25.0, 50.0, 75.0, 100.0]
    """
    span = high - low
    if not math.isfinite(span) or span < _SMALLEST:
        return [low, low + 1.0]
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power * count >= span * 0.999999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]
