"""The README keeps its word: its Python runs, its commands, tables and files exist."""

import re
import shlex
import warnings
from itertools import pairwise
from pathlib import Path

import pytest
import typer.main

from overdue_ml.cli import app
from overdue_ml.config import (
    CONFIG_FILES,
    RecordsConfig,
    TrainConfig,
    build_config,
    load_config,
    parse_yaml,
)
from overdue_ml.records import load_records
from overdue_ml.records.contracts import CONTRACTS
from overdue_ml.records.mapping import check_mapping

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Every ``overdue-ml ...`` of the README as words, from code blocks and from prose."""
    shell = "\n".join(blocks("bash")).replace("\\\n", " ")
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in shell.splitlines() if line.startswith("overdue-ml ")]
    lines += re.findall(r"`(overdue-ml [^`]*)`", prose)
    return [shlex.split(line, comments=True)[1:] for line in lines]


VERBS = typer.main.get_command(app).commands


def options(verb: str) -> set[str]:
    return {name for parameter in VERBS[verb].params for name in (*parameter.opts, *parameter.secondary_opts)}


def test_python_runs(tmp_path, monkeypatch, capsys):
    (tmp_path / "data").symlink_to(ROOT / "data", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__readme__"}
    found = blocks("python")
    assert len(found) >= 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number, source in enumerate(found, start=1):
            exec(compile(source, f"README.md, Python block {number}", "exec"), namespace)
    assert "auc" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_verbs_and_options_exist(words):
    verb, *rest = words
    assert verb in VERBS
    assert {word for word in rest if word.startswith("--")} <= options(verb)


def test_options_in_prose_exist():
    everywhere = set().union(*(options(verb) for verb in VERBS))
    assert set(re.findall(r"`(--[a-z-]+)", README)) <= everywhere


def test_settings_in_commands_are_accepted():
    for words in commands():
        given = [value for option, value in pairwise(words) if option == "--set"]
        if given:
            assert words[0] == "train"
            load_config(TrainConfig, overrides=given)


def test_files_it_points_to_exist():
    targets = re.findall(r"\]\(([^)]+)\)", README)
    local = {target for target in targets if not target.startswith("https://")}
    missing = {target for target in local if not (ROOT / target).exists()}
    # The comparison writes its own results.
    assert missing <= {"benchmarks/RESULTS.md"}
    assert {name for name in CONFIG_FILES if (ROOT / "configs" / name).is_file()} == set(CONFIG_FILES)


def test_pictures_are_small():
    pictures = list((ROOT / "docs" / "images").glob("*.png"))
    assert {f"docs/images/{p.name}" for p in pictures} == set(re.findall(r"!\[[^]]*\]\(([^)]+)\)", README))
    assert all(picture.stat().st_size < 200_000 for picture in pictures)


def test_csv_example_is_accepted(tmp_path):
    names = re.findall(r"`(\w+)\.csv`:\n\n```csv\n", README)
    assert names == ["accounts", "statements"]
    for name, text in zip(names, blocks("csv"), strict=True):
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    records = load_records(tmp_path)
    assert {t.table: t.rejected for t in records.report.tables} == {"accounts": 0, "statements": 0}


def test_mapping_example_is_read():
    (text,) = blocks("yaml")
    config = build_config(RecordsConfig, parse_yaml(text, where="README.md"))
    check_mapping(config)
    assert config.mapping["accounts"].columns["opened_on"].date_format == "%d/%m/%Y"


def test_columns_table_agrees_with_the_contracts():
    rows = re.findall(r"^\| (\w+) \| [^|]+ \| ([^|]*_id\\\*.*) \|$", README, flags=re.MULTILINE)
    assert {name for name, _ in rows} == set(CONTRACTS)
    for name, cell in rows:
        required = set(re.findall(r"(\w+)\\\*", cell))
        assert required == {c.name for c in CONTRACTS[name].columns if c.required}
        named = set(re.findall(r"\b(\w+_(?:id|on|date|amount)|dpd|payment_behaviour|is_overdue)\b", cell))
        assert named <= {c.name for c in CONTRACTS[name].columns}
