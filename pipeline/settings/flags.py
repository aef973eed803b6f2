"""Settings as flags of the command line, made from the same dataclasses that TOML is read into."""

from __future__ import annotations

import argparse
from fractions import Fraction
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.rules import Files, Switch
from pipeline.settings.config import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.rules import Rule
    from pipeline.settings.config import Setting

TITLES: Mapping[str, str] = {
    "input": "what is read",
    "output": "what is written",
    "faces": "how faces are found",
    "identity": "who is who",
    "engine": "what runs the networks",
    "live": "what is seen and shown",
    "serve": "where the page is, and what it takes",
    "report": "what is said about the run",
}
"""The group of settings to its heading in the help."""


def taken_by_run(setting: Setting) -> bool:
    """Whether `barefaced run` takes it."""
    return setting.group not in ("live", "serve")


def of_groups(*groups: str) -> Callable[[Setting], bool]:
    """Whether a command takes it that takes all settings of `groups`."""
    return lambda setting: setting.group in groups


def taken_by_live(setting: Setting) -> bool:
    """Whether `barefaced live` takes it."""
    return setting.group not in ("input", "output", "serve") or setting.key == "mark"


def taken_by_serve(setting: Setting) -> bool:
    """Whether `barefaced serve` takes it."""
    return setting.group in ("faces", "engine", "serve") or setting.key in ("mark", "on-error", "in-flight")


def add_flags(parser: argparse.ArgumentParser, takes: Callable[[Setting], bool]) -> None:
    """A flag for every setting that a command takes, grouped. One that is not given leaves no trace."""
    taken = [setting for setting in settings() if takes(setting)]
    present = {setting.group for setting in taken}
    groups = {group: parser.add_argument_group(title) for group, title in TITLES.items() if group in present}
    for setting in taken:
        group = groups[setting.group]
        flag = f"--{setting.key}"
        if isinstance(setting.rule, Switch):
            group.add_argument(
                flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=_help(setting)
            )
        else:
            group.add_argument(
                flag,
                action="append" if isinstance(setting.rule, Files) else "store",
                type=parser_of(setting.key, setting.rule),
                default=argparse.SUPPRESS,
                metavar=setting.rule.metavar,
                help=_help(setting),
            )


def given(namespace: argparse.Namespace) -> dict[str, object]:
    """The settings that flags gave, by key, ready for `config.build`."""
    flags = vars(namespace)
    names = {setting.key: setting.key.replace("-", "_") for setting in settings()}
    found = {key: flags[name] for key, name in names.items() if name in flags}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}


def parser_of(key: str, rule: Rule) -> Callable[[str], object]:
    """What argparse takes as a type, for a flag that is checked by `rule`."""

    def parse(text: str) -> object:
        try:
            return rule.from_text(key, text)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parse


def _help(setting: Setting) -> str:
    shown = float(setting.default) if isinstance(setting.default, Fraction) else setting.default
    default = f" (default: {shown})" if shown not in (None, False, ()) else ""
    words = getattr(setting.rule, "words", ())
    choices = f": {', '.join(words)}" if words else ""
    return (setting.meaning + choices + default).replace("%", "%%")
