"""What a setting may be: rules that turn a flag's text or a TOML value into the value, or say what is allowed."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from importlib import resources
from typing import Protocol, TypeVar

from pipeline.errors import ConfigError

Value = TypeVar("Value")


class Rule(Protocol):
    """Parses and checks one setting. Both ways give the same value for the same meaning, or raise `ConfigError`."""

    @property
    def allowed(self) -> str:
        """What the setting may be, to be read after its name."""
        ...

    @property
    def metavar(self) -> str:
        """What stands for the value in a usage line."""
        ...

    def from_text(self, key: str, text: str) -> object:
        """The value of a flag."""
        ...

    def from_toml(self, key: str, value: object) -> object:
        """The value of a TOML line; its floats are Decimals."""
        ...


def setting(default: Value, rule: Rule, meaning: str) -> Value:
    """A dataclass field that carries its rule and what it means, both read by `pipeline.settings.config.settings`."""
    described: Value = field(default=default, metadata={"rule": rule, "meaning": meaning})
    return described


@dataclass(frozen=True)
class Switch:
    """True or false; as a flag, present or present with `no-` before it."""

    allowed: str = "true or false"
    metavar: str = ""

    def from_text(self, key: str, text: str) -> bool:
        if text not in ("true", "false"):
            raise _refused(key, text, self.allowed)
        return text == "true"

    def from_toml(self, key: str, value: object) -> bool:
        if not isinstance(value, bool):
            raise _refused(key, value, self.allowed)
        return value


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`, both included."""

    low: int
    high: int
    metavar: str = "N"

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def from_text(self, key: str, text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            raise _refused(key, text, self.allowed)
        return self.from_toml(key, int(text))

    def from_toml(self, key: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise _refused(key, value, self.allowed)
        return value


@dataclass(frozen=True)
class Size:
    """Width and height in pixels, such as `640x480`."""

    allowed: str = "a size such as 640x480, each side from 16 to 7680"
    metavar: str = "WxH"

    def from_text(self, key: str, text: str) -> tuple[int, int]:
        sides = re.fullmatch(r"([0-9]{2,4})x([0-9]{2,4})", text)
        if not sides or not all(16 <= int(side) <= 7680 for side in sides.groups()):
            raise _refused(key, text, self.allowed)
        return int(sides[1]), int(sides[2])

    def from_toml(self, key: str, value: object) -> tuple[int, int]:
        if not isinstance(value, str):
            raise _refused(key, value, self.allowed)
        return self.from_text(key, value)


@dataclass(frozen=True)
class Share:
    """A number from 0 to 1, both included, exact."""

    allowed: str = "a number from 0 to 1"
    metavar: str = "X"

    def from_text(self, key: str, text: str) -> Fraction:
        if not re.fullmatch(r"[0-9]*\.?[0-9]+", text):
            raise _refused(key, text, self.allowed)
        return self.from_toml(key, Decimal(text))

    def from_toml(self, key: str, value: object) -> Fraction:
        if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= 1:
            raise _refused(key, value, self.allowed)
        return Fraction(value)


@dataclass(frozen=True)
class OneOf:
    """One of a few words."""

    words: tuple[str, ...]
    metavar: str = "NAME"

    @property
    def allowed(self) -> str:
        return "one of " + ", ".join(self.words)

    def from_text(self, key: str, text: str) -> str:
        return self.from_toml(key, text)

    def from_toml(self, key: str, value: object) -> str:
        if value not in self.words:
            nearest = get_close_matches(str(value).lower(), self.words, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            raise _refused(key, value, self.allowed + hint)
        return str(value)


@dataclass(frozen=True)
class Modules:
    """The name of a module in `folder`, one file each, or of a Python package's folder, or one of the further words."""

    folder: str
    """Top-level package and subpackage, such as `engine/backends`."""
    first: str | None = None
    """A word that is no module and stands before them."""

    @property
    def words(self) -> tuple[str, ...]:
        top, inner = self.folder.split("/")
        files = resources.files(top).joinpath(inner).iterdir()
        names = sorted(file.name.removesuffix(".py") for file in files if file.name.endswith(".py"))
        public = tuple(name.replace("_", "-") if top == "pipeline" else name for name in names if name[0] != "_")
        return (self.first, *public) if self.first else public

    @property
    def allowed(self) -> str:
        return OneOf(self.words).allowed

    @property
    def metavar(self) -> str:
        return "NAME"

    def from_text(self, key: str, text: str) -> str:
        return OneOf(self.words).from_text(key, text)

    def from_toml(self, key: str, value: object) -> str:
        return OneOf(self.words).from_toml(key, value)


@dataclass(frozen=True)
class Text:
    """A word that is not empty and, where a pattern is given, matches it as a whole."""

    pattern: str = r".+"
    allowed: str = "a text that is not empty"
    metavar: str = "NAME"

    def from_text(self, key: str, text: str) -> str:
        return self.from_toml(key, text)

    def from_toml(self, key: str, value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            raise _refused(key, value, self.allowed)
        return value


@dataclass(frozen=True)
class Files:
    """Any number of files: as a flag one each time, in TOML a list."""

    allowed: str = "a list of file names"
    metavar: str = "FILE"

    def from_text(self, key: str, text: str) -> str:
        if not text:
            raise _refused(key, text, "the name of a file")
        return text

    def from_toml(self, key: str, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise _refused(key, value, self.allowed)
        return tuple(value)


@dataclass(frozen=True)
class Time:
    """A time in seconds, exact: `83.25`, `1:23.25` or `0:01:23.25`; in TOML also a number or a TOML local time."""

    allowed: str = "seconds such as 83.25, or minutes and hours before them such as 1:23.25 or 0:01:23.25"
    metavar: str = "TIME"

    def from_text(self, key: str, text: str) -> Fraction:
        if not re.fullmatch(r"([0-9]+:([0-5]?[0-9]:)?[0-5]?[0-9]|[0-9]+)(\.[0-9]+)?", text):
            raise _refused(key, text, self.allowed)
        seconds = Fraction(0)
        for part in text.split(":"):
            seconds = seconds * 60 + Fraction(part)
        return seconds

    def from_toml(self, key: str, value: object) -> Fraction:
        if isinstance(value, str):
            return self.from_text(key, value)
        if isinstance(value, datetime.time):
            return self.from_text(key, value.isoformat())
        if isinstance(value, int | Decimal) and not isinstance(value, bool) and 0 <= value < Decimal("inf"):
            return Fraction(value)
        raise _refused(key, value, self.allowed)


def _refused(key: str, value: object, allowed: str) -> ConfigError:
    shown = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else value
    return ConfigError(f"{key} can't be {shown}: allowed is {allowed}")
