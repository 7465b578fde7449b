"""The converters in ``examples/``, which are in no package, and the folders of the real sets."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
#: Public sets of unclear terms lie beside the checkout where somebody put them there.
DATA = Path(__file__).parents[2] / ".." / "shared" / "data"


class Converter:
    """One converter: its module, its real folder, and made-up source files."""

    def __init__(self, name: str) -> None:
        if str(EXAMPLES) not in sys.path:
            sys.path.insert(0, str(EXAMPLES))
        self.name = name
        self.module: ModuleType = importlib.import_module(name)
        self.folder = DATA / name

    def real(self) -> Path:
        """The real folder; the test is skipped where it is not there."""
        if not self.folder.is_dir():
            pytest.skip(f"the set {self.name} is not beside the checkout")
        return self.folder

    def of(self, folder: Path, **files: list[str]) -> object:
        """Convert files written from lines, cells apart by blanks, ``-`` for an empty cell."""
        folder.mkdir(exist_ok=True)
        for name, lines in files.items():
            rows = [
                ["" if cell == "-" else cell.replace("_", " ") for cell in row.split()] for row in lines[1:]
            ]
            frame = pd.DataFrame(rows, columns=lines[0].split())
            frame.to_csv(folder / f"{name}.csv", index=False, encoding="utf-8-sig")
        return self.module.convert_with_counts(folder)


@pytest.fixture(scope="session")
def zindi() -> Converter:
    return Converter("zindi_xente")


@pytest.fixture(scope="session")
def homecredit() -> Converter:
    return Converter("homecredit_sample")


@pytest.fixture(scope="session")
def bnpl() -> Converter:
    return Converter("bnpl_emi_small")


def cells(frame: pd.DataFrame, columns: str) -> list[tuple]:
    """Rows as tuples of the named columns; days as text, missing as None."""
    chosen = frame[columns.split()].copy()
    for name in chosen.columns:
        if str(chosen[name].dtype).startswith("datetime"):
            chosen[name] = chosen[name].dt.strftime("%Y-%m-%d")
    return [tuple(None if pd.isna(cell) else cell for cell in row) for row in chosen.itertuples(index=False)]


@pytest.fixture(scope="session")
def rows():
    """``rows(frame, "columns")``: see :func:`cells`."""
    return cells
