"""The documents say what the program does: settings, report, commands, links."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from dataclasses import fields
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cli
from pipeline.rules import Modules, Switch
from pipeline.run.report import Report, Tally
from pipeline.settings import flags, values
from pipeline.settings.config import stage_settings
from tests import house
from training.enrol.judge import LEAST_PHOTOS
from training.identity.distil import DistilConfig
from training.identity.train import EumConfig
from training.settings import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from commands.parsing import Parser

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
CLAIMS = re.compile(r"\b(recover|reveal|restor|reconstruct|unmask)\w*", re.IGNORECASE)
"""Words that suggest that what was hidden is seen."""
DENIED = ("not", "never", "nothing", "no ")


def settings_table() -> str:
    """The table of docs/settings.md, made from the settings."""
    lines = ["| flag and TOML key | of | what it may be | default | what it means |", "|---|---|---|---|---|"]
    takers = {"run": flags.taken_by_run, "live": flags.taken_by_live, "serve": flags.taken_by_serve}
    for setting in values.settings():
        rule, key = setting.rule, setting.key
        flag = f"`--{key}`, `--no-{key}`" if isinstance(rule, Switch) else f"`--{key}`"
        allowed = f"{rule.first or ''} or a name that `--help-all` lists" if isinstance(rule, Modules) else rule.allowed
        of = ", ".join(command for command, takes in takers.items() if takes(setting))
        cells = flag, of, allowed.removeprefix(" or "), _shown(setting.default), setting.meaning
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def stages_table() -> str:
    """The table of docs/settings.md of what the stages have."""
    lines = ["| TOML table and key | what it may be | default | what it means |", "|---|---|---|---|"]
    for setting in stage_settings().values():
        name = f"`[{setting.group}]` `{setting.key}`"
        lines.append(f"| {name} | {setting.rule.allowed} | {setting.default} | {setting.meaning} |")
    return "\n".join(lines)


def _shown(default: object) -> str:
    if default is None or default == ():
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return f"{float(default):g}" if isinstance(default, Fraction) else str(default)


def test_the_settings_page_has_every_setting_as_it_is() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for table in (settings_table(), stages_table()):
        assert table in page, f"docs/settings.md needs this table:\n{table}"


def test_the_report_page_has_every_key() -> None:
    report = Report("in", "out", True, 0, 0, 0, 1.0, "engine", {}, Tally())  # noqa: FBT003 - fields in order
    page = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    table = "\n".join(line.split("|")[1] for line in page.splitlines() if line.startswith("|"))
    for key in report.as_json():
        assert f"`{key}`" in table, key


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_wording_suggests_that_a_hidden_face_was_seen(page: Path) -> None:
    text = " ".join(page.read_text(encoding="utf-8").split())
    for sentence in re.split(r"(?<=[.!?:|])\s", text):
        if CLAIMS.search(sentence):
            assert any(word in sentence.lower() for word in DENIED), sentence


def test_most_modules_have_a_test_in_the_same_place() -> None:
    """As CONTRIBUTING.md says. Some are tested through a contract, a command or the module that uses them."""
    modules = [
        path.relative_to(ROOT)
        for wing in ("pipeline", "engine", "training", "benchmarks")
        for path in (ROOT / wing).rglob("*.py")
        if path.name != "__init__.py"
    ]
    tested = [path for path in modules if (ROOT / "tests" / path.parent / f"test_{path.name}").exists()]
    assert len(tested) > len(modules) / 2


WINGS = ("pipeline", "engine", "training", "benchmarks", "commands", "tests")
NAMED_PATH = re.compile(rf"\b((?:{'|'.join(WINGS)})/[\w/]+\.(?:py|js|toml|json|onnx))\b")
NAMED_MODULE = re.compile(rf"(?<![\w./])((?:{'|'.join(WINGS)})(?:\.(?!md\b)[a-z_][a-z0-9_]*)+)")
EXAMPLES = {"engine/backends/mine.py", "benchmarks/parts/NAME.py"}
"""Files that a page tells the reader to write."""
SOURCES = [ROOT / "cli.py", *(path for wing in WINGS for path in sorted((ROOT / wing).rglob("*.py")))]


def names_something(dotted: str) -> bool:
    """Whether a module, or a name that its file mentions, is called `dotted`."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        folder = ROOT.joinpath(*parts[:length])
        for path in (folder.with_suffix(".py"), folder / "__init__.py", folder):
            if path.exists():
                rest = parts[length:]
                text = path.read_text(encoding="utf-8") if path.is_file() else ""
                return not rest or bool(re.search(rf"\b{rest[0]}\b", text))
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_files_and_modules_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not [path for path in NAMED_PATH.findall(text) if path not in EXAMPLES and not (ROOT / path).exists()]
    assert not [name for name in NAMED_MODULE.findall(text) if not names_something(name)]


def test_docstrings_name_files_and_modules_that_exist() -> None:
    for source in SOURCES:
        tree = ast.parse(source.read_text(encoding="utf-8"))
        strings = (
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
        for text in strings:
            missing = [path for path in NAMED_PATH.findall(text) if path not in EXAMPLES and not (ROOT / path).exists()]
            missing += [
                name
                for quoted in re.findall(r"`([^`]+)`", text)
                for name in NAMED_MODULE.findall(quoted)
                if not names_something(name)
            ]
            assert not missing, f"{source.relative_to(ROOT)} names {missing}"


BARE_FILE = re.compile(r"`(\w+\.(?:py|js|toml))`")
BARE_NAME = re.compile(r"`(\w+)\.([A-Z][A-Z_]+)`")
"""A constant, under the last name of its module."""
WRITTEN_BY_READERS = {"NAME.py", "mine.py", "config.toml"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_files_and_constants_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = {path.name for path in (*ROOT.glob("*.*"), *ROOT.glob("pipeline/web/page/*"), *SOURCES)}
    assert set(BARE_FILE.findall(text)) <= named | WRITTEN_BY_READERS
    for module, name in BARE_NAME.findall(text):
        definers = [path for path in SOURCES if path.stem == module]
        assert any(_defines(path, name) for path in definers), f"{module}.{name}"


def _defines(path: Path, name: str) -> bool:
    return bool(re.search(rf"^(class |def |)\s*{name}\b", path.read_text(encoding="utf-8"), re.MULTILINE))


FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
FOREIGN_FLAGS = {
    "--constraint", "--editable", "--wheel", "--no-deps", "--force-reinstall", "--index-url", "--overrides",
    "--network", "--rm", "--head", "--num-cpus", "--list-devices",
}  # fmt: skip
"""Flags of pip, uv, docker, ray and v4l2-ctl."""
DEFAULT_IN_PROSE = re.compile(r"`--([a-z-]+)`(?: frames)? \((\d+)\)")


def flags_of(parser: argparse.ArgumentParser) -> set[str]:
    """All flags of a parser and of its commands."""
    found = set()
    for action in parser._actions:
        found.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            found.update(*(flags_of(command) for command in action.choices.values()))
    return found


@cache
def known_flags() -> set[str]:
    """The flags of all commands and modules of ours, and those of others that our pages name."""
    settings = (*fields(TrainConfig), *fields(EumConfig), *fields(DistilConfig))
    written = {
        flag for source in SOURCES for flag in re.findall(r'"(--[a-z0-9-]+)"', source.read_text(encoding="utf-8"))
    }
    return flags_of(parser()[0]) | {f"--{field.name.replace('_', '-')}" for field in settings} | written | FOREIGN_FLAGS


@cache
def parser() -> tuple[Parser, Mapping[str, Parser]]:
    """The parser of `barefaced`, and its commands."""
    return cli._parser()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_flags_that_exist(page: Path) -> None:
    assert set(FLAG.findall(page.read_text(encoding="utf-8"))) <= known_flags()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_pages_are_understood(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```[a-z]*\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    for line in lines:
        if match := re.match(r"(?:\w+\$\s+|\.venv/bin/)?barefaced ([^|#]*)", line):
            whole, commands = parser()
            try:
                whole.parse_args(cli._with_command(shlex.split(match[1]), whole, commands))
            except SystemExit as ended:
                assert not ended.code, f"{line}: {capsys.readouterr().err}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_defaults_that_prose_names_are_the_settings(page: Path) -> None:
    defaults = {setting.key: setting.default for setting in values.settings()}
    for key, number in DEFAULT_IN_PROSE.findall(page.read_text(encoding="utf-8")):
        assert defaults[key] == int(number), key


def test_contributing_names_the_bars_of_the_house() -> None:
    page = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    bars = {row.name: row.high for row in house.counted(ROOT)}
    assert f"never more than {bars['lines of the longest module']}" in page
    assert f"{bars['source files that hold code']} files of code" in page
    assert f"{bars['modules in the largest folder']} modules in a folder" in page


def test_the_readme_installs_what_make_test_installs() -> None:
    (extras,) = re.findall(r'"\.(\[test,.*?\])"', (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert f'".{extras}"' in (ROOT / "README.md").read_text(encoding="utf-8")


def test_errors_that_a_caller_may_meet_are_in_one_module() -> None:
    """Others are ways out, caught beside where they are raised, or belong to the bench."""
    beside = {"Cancelled", "CutOff", "Broken", "Discarded", "BenchmarkError", "UnmeasurableError"}
    found = {
        node.name
        for source in SOURCES
        if "tests" not in source.parts and source != ROOT / "pipeline" / "errors.py"
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and any("Error" in ast.unparse(base) or "Exception" in ast.unparse(base) for base in node.bases)
    }
    assert found == beside


def test_the_poses_of_the_picture_of_an_own_face_are_made_as_its_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four are held back, as many as the picture has columns, and 20 are learned from."""
    page = (ROOT / "docs" / "own-face.md").read_text(encoding="utf-8")
    program = page.partition("python - <<END\n")[2].partition("END\n")[0]
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "docs/own-face.md", "exec"), {})  # noqa: S102 - the page is ours
    poses = sorted((tmp_path / "poses").iterdir())
    assert len({pose.read_bytes() for pose in poses}) == len(poses)
    held_back = len(poses) // LEAST_PHOTOS
    assert (held_back, len(poses) - held_back) == (4, 20)
