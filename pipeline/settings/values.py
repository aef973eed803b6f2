"""From what a user writes to settings: TOML files, Python values and STAGE.KEY=VALUE, checked and put together.

Values come in layers, the later over the earlier. Settings of a stage stand in TOML in a table of the stage's name:
`feather-px = 8` under `[blend]`. On the command line `--set blend.feather-px=8` does the same.
"""

from __future__ import annotations

import tomllib
from dataclasses import fields
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.rules import settings_in
from pipeline.settings.config import STAGES, Config, stage_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.rules import Setting


def as_json(config: Config) -> dict[str, object]:
    """Every setting's value by key, as JSON holds it, and what was set of the stages; times are seconds."""
    values = {item.key: getattr(getattr(config, item.group), item.field) for item in settings()}
    values |= config.stages
    return {key: float(value) if isinstance(value, Fraction) else value for key, value in values.items()}


def settings() -> tuple[Setting, ...]:
    """Every setting of `Config` but those of the stages, group by group, in the order in which they stand."""
    return tuple(item for group, section in sections().items() for item in settings_in(section, group))


def sections() -> dict[str, type]:
    """The dataclass of each group of settings, by the group's name."""
    return {item.name: type(item.default) for item in fields(Config) if item.name != "stages"}


def read(path: Path) -> dict[str, object]:
    """What a TOML file sets, by key, parsed and checked; settings of stages by their full names.

    Raises `ConfigError` for a file that can't be read, an unknown key (naming the nearest) and a value that is not
    allowed.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ConfigError(f"config file {path} can't be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file {path} is not TOML: {error}") from error

    # A table is a stage, and its lines are settings of that stage.
    flat: dict[str, object] = {}
    for key, value in content.items():
        inner = value if isinstance(value, dict) and key in STAGES else None
        flat |= {key: value} if inner is None else {f"{key}.{name}": held for name, held in inner.items()}

    try:
        return {key: _known(key, value).rule.from_toml(key, value) for key, value in flat.items()}
    except ConfigError as error:
        raise ConfigError(f"config file {path}: {error}") from error


def build(*layers: Mapping[str, object]) -> Config:
    """The settings that `layers` give by key, later layers over earlier ones, over the defaults.

    Values are parsed already, by `read` or by a rule's `from_text`. Raises `ConfigError` for an unknown key and where
    two settings contradict each other.
    """
    values: dict[str, object] = {}
    for layer in layers:
        values.update(layer)

    known = {key: _known(key, value) for key, value in values.items()}
    groups = {
        group: section(**{known[key].field: value for key, value in values.items() if known[key].group == group})
        for group, section in sections().items()
    }
    return Config(**groups, stages={key: value for key, value in values.items() if "." in key})


def from_values(values: Mapping[str, object]) -> dict[str, object]:
    """What Python values set, by key: names with underscores for dashes, `only=["ann.jpg"]`, `blend={"feather_px": 8}`.

    Raises `ConfigError` as `read` does.
    """
    flat: dict[str, object] = {}
    for name, value in values.items():
        key = name.rstrip("_").replace("_", "-")
        inner = value if isinstance(value, dict) and key in STAGES else {"": value}
        flat |= {f"{key}.{field_.replace('_', '-')}" if field_ else key: held for field_, held in inner.items()}

    exact = {key: Decimal(str(value)) if isinstance(value, float) else value for key, value in flat.items()}
    return {key: _known(key, value).rule.from_toml(key, value) for key, value in exact.items()}


def parse_assignment(text: str) -> tuple[str, object]:
    """The full name and the value in STAGE.KEY=VALUE. Raises `ConfigError` for an unknown name and a wrong value."""
    name, equals, value = text.partition("=")
    if not equals or "." not in name:
        raise ConfigError(f"{text!r} sets nothing: write STAGE.KEY=VALUE, such as blend.feather-px=8")
    return name, _known(name, value).rule.from_text(name, value)


def _known(key: str, value: object) -> Setting:
    """The setting of this key. Raises `ConfigError`, which names the nearest one, where there is none."""
    known: Mapping[str, Setting] = stage_settings() if "." in key else {item.key: item for item in settings()}
    if key in known:
        return known[key]
    nearest = get_close_matches(key.replace("_", "-").lower(), known, n=1)
    if nearest:
        raise ConfigError(f"unknown key {key!r}; did you mean {nearest[0]!r}?")
    if isinstance(value, dict):
        tables = ", ".join(f"[{stage}]" for stage in STAGES)
        raise ConfigError(f"[{key}] is no table of settings: there are {tables}, all else stands at the top level")
    raise ConfigError(f"unknown key {key!r}; there are: {', '.join(known)}")
