"""Settings as flags of the command line, made from the same dataclasses that TOML is read into."""

from __future__ import annotations

import argparse
from dataclasses import MISSING
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.rules import Files, Switch, Wholes
from pipeline.settings.config import STAGES
from pipeline.settings.values import parse_assignment, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pipeline.rules import Rule, Setting

TITLES: Mapping[str, str] = {
    "input": "input",
    "output": "what is written",
    "faces": "how faces are found",
    "identity": "who is who",
    "engine": "what runs the networks",
    "live": "what is seen and shown",
    "serve": "where the page is, and what it takes",
    "chunks": "long videos",
    "report": "report and progress",
}
"""The group of settings to its heading in the help."""


SHORT: Mapping[str, tuple[str, ...]] = {"overwrite": ("-y",)}
"""Keys to their flags of one letter."""

COMMON = (
    *("inputs", "output", "virtual_camera", "preview", "camera", "input", "size", "delay", "host", "port", "open"),
    *("recursive", "overwrite", "skip_existing", "start", "end", "codec", "quality", "only", "except", "face"),
    *("mark", "device", "set", "config", "report", "quiet", "verbose"),
)
"""What the short help shows, in this order, by the names that argparse has for it."""


def taken_by_run(setting: Setting) -> bool:
    """Whether `barefaced run` takes it."""
    return setting.group not in ("live", "serve")


def of_groups(*groups: str) -> Callable[[Setting], bool]:
    """Whether a command takes it that takes all settings of `groups`."""
    return lambda setting: setting.group in groups


def taken_by_live(setting: Setting) -> bool:
    """Whether `barefaced live` takes it."""
    return setting.group not in ("input", "output", "serve", "chunks") or setting.key == "mark"


def taken_by_serve(setting: Setting) -> bool:
    """Whether `barefaced serve` takes it."""
    return setting.group in ("faces", "engine", "serve") or setting.key in (
        "mark",
        "on-error",
        "in-flight",
        "face",
        "only-enrolled",
        "recogniser",
        "recogniser-file",
    )


def add_flags(parser: argparse.ArgumentParser, takes: Callable[[Setting], bool]) -> None:
    """A flag for every setting that a command takes, grouped. One that is not given leaves no trace."""
    taken = [setting for setting in settings() if takes(setting)]
    present = {setting.group for setting in taken}
    groups = {group: parser.add_argument_group(title) for group, title in TITLES.items() if group in present}
    for setting in taken:
        add_flag(groups[setting.group], setting)


def add_stage_flag(parser: argparse.ArgumentParser) -> None:
    """The flag `--set`, which sets what the stages have."""
    parser.add_argument_group("how faces are cut out, drawn and blended").add_argument(
        "--set",
        action="append",
        type=_parser_of(parse_assignment),
        default=argparse.SUPPRESS,
        metavar="STAGE.KEY=VALUE",
        help=f"a setting of a stage, such as blend.feather-px=8; docs/settings.md lists those of {', '.join(STAGES)}",
    )


def add_flag(group: argparse._ActionsContainer, setting: Setting) -> None:
    """One flag in a parser or in a group of its help. When it is not given it leaves no trace."""
    flag, default = f"--{setting.key}", argparse.SUPPRESS
    names = (*SHORT.get(setting.key, ()), flag)
    if isinstance(setting.rule, Switch):
        group.add_argument(*names, action=argparse.BooleanOptionalAction, default=default, help=_help(setting))
        return

    # A list of numbers takes them in one go, files are given again and again.
    several = isinstance(setting.rule, Wholes)
    group.add_argument(
        *names,
        action="append" if isinstance(setting.rule, Files) else "store",
        type=int if several else parser_of(setting.key, setting.rule),
        nargs=(setting.rule.count or "+") if isinstance(setting.rule, Wholes) else None,
        default=default,
        required=setting.default is MISSING,
        metavar=setting.rule.metavar,
        help=_help(setting),
    )


def given(namespace: argparse.Namespace) -> dict[str, object]:
    """The settings that flags gave, by key, ready for `config.build`."""
    return given_of(settings(), namespace) | dict(getattr(namespace, "set", ()))


def given_of(known: Iterable[Setting], namespace: argparse.Namespace) -> dict[str, object]:
    """What flags gave of the settings `known`, by key."""
    flags = vars(namespace)
    names = {setting.key: setting.key.replace("-", "_") for setting in known}
    found = {key: flags[name] for key, name in names.items() if name in flags}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}


def parser_of(key: str, rule: Rule) -> Callable[[str], object]:
    """What argparse takes as a type, for a flag that is checked by `rule`."""
    return _parser_of(partial(rule.from_text, key))


def _parser_of(parse: Callable[[str], object]) -> Callable[[str], object]:
    """What argparse takes as a type: as `parse`, whose `ConfigError` becomes argparse's own."""

    def parsed(text: str) -> object:
        try:
            return parse(text)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


def _help(setting: Setting) -> str:
    shown = float(setting.default) if isinstance(setting.default, Fraction) else setting.default
    default = f" (default: {shown})" if shown not in (None, False, (), MISSING) else ""
    if shown is True:
        default = f" (on unless --no-{setting.key} is given)"
    words = getattr(setting.rule, "words", ())
    choices = f": {', '.join(words)}" if words else ""
    return (setting.meaning + choices + default).replace("%", "%%")
