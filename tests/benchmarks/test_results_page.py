"""Results of a benchmark take the place of its earlier ones, and of nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "benchmarks" / "results_page.py"


@pytest.fixture(scope="module")
def write_section():
    """As the benchmarks import it, which are scripts and no package."""
    spec = importlib.util.spec_from_file_location("results_page", PAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write_section


def test_a_section_comes_last_and_then_stays_where_it_is(write_section, tmp_path):
    page = tmp_path / "RESULTS.md"
    write_section(page, "a", "## A", "one")
    write_section(page, "ab", "## AB")
    write_section(page, "a", "## A", "two", "three")
    assert page.read_text("utf-8") == (
        "# Benchmark results\n\n"
        "<!-- a:start -->\n\n## A\n\ntwo\n\nthree\n\n<!-- a:end -->\n\n"
        "<!-- ab:start -->\n\n## AB\n\n<!-- ab:end -->\n"
    )


def test_what_stands_around_it_is_untouched(write_section, tmp_path):
    page = tmp_path / "RESULTS.md"
    page.write_text("before é\n<!-- a:start -->old<!-- a:end -->\n\n\nafter", "utf-8")
    write_section(page, "a", "new")
    assert page.read_text("utf-8") == "before é\n<!-- a:start -->\n\nnew\n\n<!-- a:end -->\n\n\nafter"


def test_half_a_pair_of_markers_is_none(write_section, tmp_path):
    page = tmp_path / "RESULTS.md"
    page.write_text("<!-- a:start -->\nmine\n", "utf-8")
    write_section(page, "a", "new")
    assert page.read_text("utf-8") == "<!-- a:start -->\nmine\n\n<!-- a:start -->\n\nnew\n\n<!-- a:end -->\n"
