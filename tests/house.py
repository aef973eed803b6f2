"""Counts how the source reads: the length of modules, the gaps inside functions, comments, docstrings, commit subjects.

`python -m tests.house [FOLDER]` prints a table for this checkout, or for another one, and exits with 1 when a bar is
broken. Tests are not counted, and neither is the page, which has no Python. An `__init__.py` that only says what lives
in its folder is a sign at a door: signs are counted apart from the files that hold code.
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("cli.py", "barefaced", "commands", "pipeline", "engine", "training", "benchmarks")
LONG_FUNCTION = 15
"""Lines from which a function counts as long, its docstring included."""
SHORT_MODULE = 40
COMMITS = 50
"""How many of the newest commits are looked at."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
PUBLIC = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Module:
    """What was counted in one source file."""

    path: Path
    lines: int
    is_sign: bool
    """Whether it holds a docstring and nothing else."""
    comment_lines: int
    """Lines that hold a comment and nothing else."""
    function_lines: int
    """Lines inside functions, their signatures and docstrings left out."""
    blank_function_lines: int
    long_functions: int
    long_functions_without_gap: int
    """Those in which no line is blank and no comment stands; blank lines in the docstring do not count."""
    public: int
    """Classes and functions whose name has no underscore in front."""
    public_with_docstring: int

    @classmethod
    def read(cls, path: Path) -> Module:
        """Count one file."""
        text = path.read_text(encoding="utf-8")
        lines, tree = text.splitlines(), ast.parse(text)
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        commented = {token.start[0] for token in tokens if token.type == tokenize.COMMENT}
        blank = {number for number, line in enumerate(lines, 1) if not line.strip()}

        functions = [node for node in ast.walk(tree) if isinstance(node, Function)]
        bodies = {node: _body(node) for node in functions}
        long = [node for node in functions if (node.end_lineno or 0) - node.lineno + 1 >= LONG_FUNCTION]
        public = [node for node in ast.walk(tree) if isinstance(node, PUBLIC) and not node.name.startswith("_")]

        return cls(
            path,
            lines=len(lines),
            is_sign=len(tree.body) <= 1 and ast.get_docstring(tree) is not None,
            comment_lines=sum(lines[number - 1].lstrip().startswith("#") for number in commented),
            function_lines=sum(len(body) for body in bodies.values()),
            blank_function_lines=sum(len(body & blank) for body in bodies.values()),
            long_functions=len(long),
            long_functions_without_gap=sum(not bodies[node] & (blank | commented) for node in long),
            public=len(public),
            public_with_docstring=sum(ast.get_docstring(node) is not None for node in public),
        )


def _body(node: Function) -> set[int]:
    """The numbers of a function's lines, without those of its signature and its docstring."""
    docstring = node.body[0] if ast.get_docstring(node) is not None else None
    before = docstring or node.returns or node.args
    begin = getattr(before, "end_lineno", node.lineno) + 1
    return set(range(begin, (node.end_lineno or 0) + 1))


@dataclass(frozen=True)
class Row:
    """A line of the table: a figure, and the range that it must lie in where there is a bar."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    percent: bool = False

    @property
    def broken(self) -> bool:
        """Whether the figure lies outside its bar."""
        return (self.low is not None and self.value < self.low) or (self.high is not None and self.value > self.high)

    @property
    def bar(self) -> str:
        """The bar in words; nothing where there is none."""
        if self.low is not None:
            return f"{self._shown(self.low)} to {self._shown(self.high or 0)}"
        return "" if self.high is None else f"at most {self._shown(self.high)}"

    def _shown(self, value: float) -> str:
        return f"{value:.1%}" if self.percent else f"{value:,.1f}".removesuffix(".0")

    def __str__(self) -> str:
        return f"{self.name:<52} {self._shown(self.value):>8}  {self.bar}{'  BROKEN' if self.broken else ''}".rstrip()


def counted(root: Path) -> list[Row]:
    """The figures of the checkout in `root`, each with its bar."""
    files = sorted(file for source in SOURCES for file in _python_files(root / source))
    modules = [Module.read(file) for file in files]
    named = [module for module in modules if module.path.name != "__init__.py"]
    folders = Counter(module.path.parent for module in named)
    subjects = _commit_subjects(root)

    def share(part: str, whole: str) -> float:
        return sum(getattr(module, part) for module in modules) / sum(getattr(module, whole) for module in modules)

    lengths = [module.lines for module in named]
    signs = sum(module.is_sign for module in modules)
    rows = [
        Row("source files that hold code", len(files) - signs, high=200),
        Row("__init__.py files that only say what lives there", signs),
        Row("source lines", sum(module.lines for module in modules)),
        Row("lines of the median module", median(lengths), low=140, high=220),
        Row("lines of the longest module", max(lengths), high=420),
        Row(f"modules under {SHORT_MODULE} lines", sum(length < SHORT_MODULE for length in lengths)),
        Row("modules in the largest folder", max(folders.values()), high=20),
        Row(
            f"functions of {LONG_FUNCTION} lines or more without a gap",
            share("long_functions_without_gap", "long_functions"), high=0.25, percent=True,
        ),
        Row("blank lines inside functions", share("blank_function_lines", "function_lines"), percent=True),
        Row("lines that are a comment", share("comment_lines", "lines"), percent=True),
        Row("public definitions with a docstring", share("public_with_docstring", "public"), percent=True),
    ]  # fmt: skip
    return [*rows, Row(f"mean subject of the last {COMMITS} commits", mean(map(len, subjects)))] if subjects else rows


def _python_files(source: Path) -> list[Path]:
    return [source] if source.is_file() else list(source.rglob("*.py"))


def _commit_subjects(root: Path) -> list[str]:
    """The subjects of the newest commits; none where `root` is no checkout or git is not installed."""
    command = ["git", "-C", str(root), "log", f"-{COMMITS}", "--format=%s"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return []


def main(arguments: list[str]) -> int:
    """Print the table; 1 when a bar is broken."""
    rows = counted(Path(arguments[0]) if arguments else ROOT)
    sys.stdout.write("".join(f"{row}\n" for row in rows))
    return int(any(row.broken for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
