"""Sections of RESULTS.md, each between markers of its own; nothing but the standard library."""

from __future__ import annotations

from pathlib import Path


def write_section(page: Path, name: str, *parts: str) -> None:
    """Replace what stands between the markers of a benchmark, or add it at the end.

    Parameters
    ----------
    page : Path
        Made where it is missing.
    name : str
        Of the benchmark, as in ``<!-- name:start -->``.
    *parts : str
        Blank lines go between them.
    """
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    text = page.read_text("utf-8") if page.is_file() else "# Benchmark results\n"
    section = "\n\n".join([start, *parts, end])
    if start in text and end in text:
        text = text[: text.index(start)] + section + text[text.index(end) + len(end) :]
    else:
        text = f"{text.rstrip()}\n\n{section}\n"
    page.write_text(text, "utf-8")
