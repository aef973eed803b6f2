"""The counts of `make house` are those of a small house that is known line by line."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from tests import house

if TYPE_CHECKING:
    from pathlib import Path

WALL = (
    '''
def wall() -> int:
    """Adds.

    The blank line above is no gap.
    """
'''
    + "    x = 1\n" * 10
)
GAP = "\ndef gap() -> int:\n" + "    x = 1\n" * 7 + "\n" + "    x = 1\n" * 7
COMMENT = "\ndef _commented() -> int:\n    # why\n" + "    x = 1\n" * 15
TRAILING = "\ndef trailing() -> int:\n    x = 1  # (1,)\n" + "    x = 1\n" * 15


def figures(root: Path) -> dict[str, float]:
    return {row.name: row.value for row in house.counted(root)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "cli.py").write_text(WALL + GAP + COMMENT + TRAILING)
    for folder, count in (("engine", 2), ("engine/backends", 21)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text('"""What lives here."""\n')
        for number in range(count):
            (tmp_path / folder / f"module{number}.py").write_text("x = 1\n" * 150)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_cli.py").write_text("# not counted\n" * 500)
    return tmp_path


def test_the_counts_of_a_known_house(root: Path) -> None:
    seen = figures(root)
    assert seen["source files that hold code"] == 1 + 2 + 21
    assert seen["__init__.py files that only say what lives there"] == 2
    assert seen["source lines"] == 16 + 17 + 18 + 18 + 2 + 23 * 150
    assert seen["lines of the median module"] == 150
    assert seen["lines of the longest module"] == 150
    assert seen["modules in the largest folder"] == 21
    assert seen["functions of 15 lines or more without a gap"] == 1 / 4
    assert seen["blank lines inside functions"] == 1 / (10 + 15 + 16 + 16)
    assert seen["lines that are a comment"] == 1 / seen["source lines"]
    assert seen["public definitions with a docstring"] == 1 / 3


def test_a_broken_bar_is_told_and_fails(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert house.main([str(root)]) == 1
    told = capsys.readouterr().out.splitlines()
    assert [line for line in told if "BROKEN" in line] == [line for line in told if "largest folder" in line]
    (root / "engine" / "backends" / "module0.py").unlink()
    assert house.main([str(root)]) == 0
    assert "BROKEN" not in capsys.readouterr().out


@pytest.mark.parametrize("count", [200, 201])
def test_two_hundred_files_may_hold_code_and_not_one_more(
    tmp_path: Path, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(count):
        folder = tmp_path / "engine" / f"room{number % 20}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text('"""A sign."""\n')
        (folder / f"module{number}.py").write_text(GAP + "x = 1\n" * 150)
    assert house.main([str(tmp_path)]) == int(count > 200)
    told = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in told if "BROKEN" in line] == ["source files that hold code"] * (count > 200)


def test_this_house_keeps_its_bars() -> None:
    rows = house.counted(house.ROOT)
    assert {row.name: row.value for row in rows}["source files that hold code"] > 100
    assert not [str(row) for row in rows if row.broken]


def test_no_variable_is_called_each() -> None:
    """It has a name of its own: what one of them is."""
    files = [file for source in (*house.SOURCES, "tests") for file in house._python_files(house.ROOT / source)]
    assert not [
        f"{file.relative_to(house.ROOT)}:{node.lineno}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Name) and node.id == "each") or (isinstance(node, ast.arg) and node.arg == "each")
    ]
