"""Rules of the house that no linter checks."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "overdue_ml").rglob("*.py"))
HEAVY = ("mlflow", "lightgbm", "shap", "matplotlib", "numba", "sklearn", "pandas", "duckdb")


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    first = node.body[0]
    doc = ast.get_docstring(node) is not None
    length = (node.end_lineno or 0) - node.lineno + 1
    return length - ((first.end_lineno or 0) - first.lineno + 1 if doc else 0)


@pytest.mark.parametrize("path", PACKAGE, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500
    too_long = {f.name: code_lines(f) for f in functions(path) if code_lines(f) > 60}
    assert not too_long


def public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Public functions, classes and methods; what stands inside a private class or a function is private."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if any(isinstance(d, ast.Name) and d.id == "overload" for d in node.decorator_list):
                continue  # the one that does the work has the docstring
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def test_everything_public_has_a_docstring() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE}
    bare = [
        f"{path.name}:{node.name}"
        for path, tree in trees.items()
        for node in public(tree.body)
        if ast.get_docstring(node) is None
    ]
    assert not bare
    assert not [path.name for path, tree in trees.items() if ast.get_docstring(tree) is None]


@pytest.mark.parametrize("path", PACKAGE, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_reads_todays_date(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = re.findall(
        r"\b(?:today|now|utcnow|time\.time|current_date|current_timestamp)\s*\(", text, re.IGNORECASE
    )
    assert not found


def test_no_interval_arithmetic_in_sql() -> None:
    """DuckDB takes INTERVAL 30 DAY and INTERVAL 1 MONTH in one query for the same expression."""
    assert not [p.name for p in PACKAGE if re.search(r"\bINTERVAL\b", p.read_text(encoding="utf-8"))]


def _modules_after(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not _modules_after("import overdue_ml") & set(HEAVY)


def test_the_command_line_answers_for_help_without_loading_anything_heavy() -> None:
    code = (
        "import sys; sys.argv = ['overdue-ml', '--help']\n"
        "from overdue_ml.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert stop.code == 0\n"
        "print('MODULES', ' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    text, _, modules = done.stdout.partition("MODULES")
    assert "score" in text
    assert not set(modules.split()) & set(HEAVY)


def test_every_public_name_is_importable_and_documented() -> None:
    import overdue_ml as om

    for name in om.__all__:
        value = getattr(om, name)
        assert name == "__version__" or value.__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = om.nothing


def test_the_version_stands_once() -> None:
    from importlib.metadata import version

    import overdue_ml as om

    assert om.__version__ == version("overdue_ml")


def test_nothing_committed_names_this_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    bad = re.compile(rb"/work/|/root/|/opt/pypi")
    hits = [
        name
        for name in listed.stdout.splitlines()
        if (ROOT / name).is_file()
        and not name.endswith((".parquet", ".png"))
        and name != "tests/test_house.py"
        and bad.search((ROOT / name).read_bytes())
    ]
    assert not hits
