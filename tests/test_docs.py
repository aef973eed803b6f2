"""The documents say what the program does: settings, report, commands, links."""

from __future__ import annotations

import ast
import re
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.rules import Modules, Switch
from pipeline.run.report import Report, Tally
from pipeline.settings import flags, values
from pipeline.settings.config import stage_settings

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
        allowed = f"{rule.first or ''} or a file of `{rule.folder}/`" if isinstance(rule, Modules) else rule.allowed
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
