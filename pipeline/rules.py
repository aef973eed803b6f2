"""How a dataclass field becomes a setting: its meaning, and the rule for what it may be.

A setting is one field, declared by `setting` or `required`, whether it belongs to a command, to a stage or to a
training run. Flags, TOML keys, their help and the tables in the documents are made from it. Importing this module
loads nothing heavy.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, field, fields
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Value = TypeVar("Value")


class Rule:
    """What a setting may be. A flag's text and a TOML value of the same meaning give the same value."""

    @property
    def allowed(self) -> str:
        """What the setting may be, to be read after "allowed is"."""
        raise NotImplementedError

    @property
    def metavar(self) -> str:
        """What stands for the value in a usage line."""
        return "N"

    def parse(self, text: str) -> object:
        """The TOML value that a flag's text stands for. Raises `ValueError` when it stands for none."""
        return text

    def accept(self, value: object) -> Any:  # noqa: ANN401 - each rule has a type of its own
        """The setting's value from a TOML value, whose floats are Decimals. Raises `ValueError` when it is not allowed.

        What it gives it also accepts.
        """
        raise NotImplementedError

    def hint(self, value: object) -> str:  # noqa: ARG002 - most rules have none
        """What may have been meant by a value that is not allowed."""
        return ""

    def from_text(self, key: str, text: str) -> Any:  # noqa: ANN401 - as `accept`
        """The value of the flag `key`. Raises `ConfigError`, which says what is allowed."""
        try:
            return self.accept(self.parse(text))
        except ValueError:
            raise self._refusal(key, text) from None

    def from_toml(self, key: str, value: object) -> Any:  # noqa: ANN401 - as `accept`
        """The value of the TOML line `key`. Raises `ConfigError`, which says what is allowed."""
        try:
            return self.accept(value)
        except ValueError:
            raise self._refusal(key, value) from None

    def _refusal(self, key: str, value: object) -> ConfigError:
        shown = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else value
        return ConfigError(f"{key} can't be {shown}: allowed is {self.allowed}{self.hint(value)}")


@dataclass(frozen=True)
class Setting:
    """One thing that can be set: where it lives, what it means and what it may be."""

    key: str
    """The flag without its dashes, and the TOML key."""
    field: str
    """Its name in the dataclass: the key with underscores, and one more behind a word of Python's."""
    group: str
    """The section of the settings that it belongs to."""
    default: object
    """`dataclasses.MISSING` where it must be given."""
    rule: Rule
    meaning: str


def setting(default: Value, rule: Rule, meaning: str) -> Value:
    """A dataclass field that is a setting."""
    described: Value = field(default=default, metadata={"rule": rule, "meaning": meaning})
    return described


def required(rule: Rule, meaning: str) -> Any:  # noqa: ANN401 - a field without a default is of any type
    """A dataclass field that is a setting which must be given."""
    return field(metadata={"rule": rule, "meaning": meaning})


def settings_in(section: Any, group: str = "") -> Iterator[Setting]:  # noqa: ANN401 - any dataclass
    """The settings among the fields of a dataclass, in the order in which they stand."""
    for item in fields(section):
        if "rule" in item.metadata:
            key = item.name.rstrip("_").replace("_", "-")
            yield Setting(key, item.name, group, item.default, item.metadata["rule"], item.metadata["meaning"])


def check_settings(section: Any) -> None:  # noqa: ANN401 - any dataclass
    """Raise `ConfigError` for a field of a dataclass object that its rule does not allow."""
    for item in settings_in(section):
        value = getattr(section, item.field)
        if value is not None or item.default is not None:
            item.rule.from_toml(item.key, value)


class Switch(Rule):
    """True or false; as a flag, present or present with `no-` before it."""

    allowed = "true or false"
    metavar = ""

    def parse(self, text: str) -> object:
        return {"true": True, "false": False}.get(text, text)

    def accept(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError
        return value


@dataclass(frozen=True)
class Whole(Rule):
    """A whole number from `low` to `high`, both included; without `high` there is no upper limit."""

    low: int
    high: int | None = None

    @property
    def allowed(self) -> str:
        return _between("a whole number", self.low, self.high)

    def parse(self, text: str) -> object:
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            raise ValueError
        return int(text)

    def accept(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not _within(value, self.low, self.high):
            raise ValueError
        return value


@dataclass(frozen=True)
class Number(Rule):
    """A number from `low` to `high`, both included; without `high` there is no upper limit."""

    low: float = 0.0
    high: float | None = None
    metavar = "X"

    @property
    def allowed(self) -> str:
        return _between("a number", self.low, self.high)

    def parse(self, text: str) -> object:
        if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
            raise ValueError
        return Decimal(text)

    def accept(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise ValueError
        if not _within(float(value), self.low, self.high):
            raise ValueError
        return float(value)


@dataclass(frozen=True)
class Share(Rule):
    """A number from 0 to 1, both included, exact."""

    allowed = "a number from 0 to 1"
    metavar = "X"

    def parse(self, text: str) -> object:
        if not re.fullmatch(r"[0-9]*\.?[0-9]+", text):
            raise ValueError
        return Decimal(text)

    def accept(self, value: object) -> Fraction:
        if isinstance(value, bool) or not isinstance(value, int | Decimal | Fraction) or not 0 <= value <= 1:
            raise ValueError
        return Fraction(value)


@dataclass(frozen=True)
class Wholes(Rule):
    """Several whole numbers of at least 1: as many as `count` says, or any number of them."""

    count: int | None = None

    @property
    def allowed(self) -> str:
        return f"{self.count or 'some'} whole numbers of at least 1"

    def accept(self, value: object) -> tuple[int, ...]:
        if not isinstance(value, list | tuple) or not value or (self.count and len(value) != self.count):
            raise ValueError
        return tuple(Whole(1).accept(number) for number in value)


@dataclass(frozen=True)
class Size(Rule):
    """Width and height in pixels, such as `640x480`."""

    allowed = "a size such as 640x480, each side from 16 to 7680"
    metavar = "WxH"

    def accept(self, value: object) -> tuple[int, int]:
        text = "{}x{}".format(*value) if isinstance(value, tuple) else value
        sides = re.fullmatch(r"([0-9]{2,4})x([0-9]{2,4})", text) if isinstance(text, str) else None
        if not sides or not all(16 <= int(side) <= 7680 for side in sides.groups()):
            raise ValueError
        return int(sides[1]), int(sides[2])


@dataclass(frozen=True)
class OneOf(Rule):
    """One of a few words, or another name for one of them."""

    words: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Other names that people know a word by, to that word."""
    metavar = "NAME"

    @property
    def allowed(self) -> str:
        return "one of " + ", ".join(self.words)

    def accept(self, value: object) -> str:
        word = self.aliases.get(str(value).lower(), value)
        if word not in self.words:
            raise ValueError
        return str(word)

    def hint(self, value: object) -> str:
        nearest = get_close_matches(str(value).lower(), (*self.words, *self.aliases), n=1)
        return f"; did you mean {self.aliases.get(nearest[0], nearest[0])}?" if nearest else ""


@dataclass(frozen=True)
class Modules(Rule):
    """The name of a module in `folder`, one file each, or of a Python package's folder, or one of the further words."""

    folder: str
    """Top-level package and subpackage, such as `engine/backends`."""
    first: str | None = None
    """A word that is no module and stands before them."""
    metavar = "NAME"

    @property
    def words(self) -> tuple[str, ...]:
        """All that the setting may be."""
        top, inner = self.folder.split("/")
        files = resources.files(top).joinpath(inner).iterdir()
        names = sorted(file.name.removesuffix(".py") for file in files if file.name.endswith(".py"))
        public = tuple(name.replace("_", "-") if top == "pipeline" else name for name in names if name[0] != "_")
        return (self.first, *public) if self.first else public

    @property
    def allowed(self) -> str:
        return OneOf(self.words).allowed

    def accept(self, value: object) -> str:
        return OneOf(self.words).accept(value)

    def hint(self, value: object) -> str:
        return OneOf(self.words).hint(value)


@dataclass(frozen=True)
class Text(Rule):
    """A word that is not empty and, where a pattern is given, matches it as a whole."""

    pattern: str = r".+"
    allowed: str = "a text that is not empty"
    metavar: str = "NAME"
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Other names that people know a word by, to that word."""

    def accept(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError
        word = self.aliases.get(value.lower(), value)
        if not re.fullmatch(self.pattern, word):
            raise ValueError
        return word


@dataclass(frozen=True)
class Location(Rule):
    """Where a file or a folder is."""

    allowed = "the name of a file or a folder"
    metavar: str = "PATH"

    def accept(self, value: object) -> Path:
        if not isinstance(value, str | Path) or value == "":
            raise ValueError
        return Path(value)


@dataclass(frozen=True)
class Files(Rule):
    """Any number of files: as a flag one each time, in TOML a list."""

    allowed = "a list of file names"
    metavar: str = "FILE"

    def from_text(self, key: str, text: str) -> str:
        """One of the files."""
        name: str = Text(allowed="the name of a file").from_text(key, text)
        return name

    def accept(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name for name in value):
            raise ValueError
        return tuple(value)


@dataclass(frozen=True)
class Time(Rule):
    """A time in seconds, exact: `83.25`, `1:23.25` or `0:01:23.25`; in TOML also a number or a TOML local time."""

    allowed = "seconds such as 83.25, or minutes and hours before them such as 1:23.25 or 0:01:23.25"
    metavar = "TIME"

    def accept(self, value: object) -> Fraction:
        if isinstance(value, str | datetime.time):
            return self._from_clock(value if isinstance(value, str) else value.isoformat())
        if isinstance(value, bool) or not isinstance(value, int | Decimal | Fraction):
            raise ValueError
        if not 0 <= value < Decimal("inf"):
            raise ValueError
        return Fraction(value)

    @staticmethod
    def _from_clock(text: str) -> Fraction:
        if not re.fullmatch(r"([0-9]+:([0-5]?[0-9]:)?[0-5]?[0-9]|[0-9]+)(\.[0-9]+)?", text):
            raise ValueError
        seconds = Fraction(0)
        for digits in text.split(":"):
            seconds = seconds * 60 + Fraction(digits)
        return seconds


def _within(value: float, low: float, high: float | None) -> bool:
    return low <= value and (high is None or value <= high)


def _between(kind: str, low: float, high: float | None) -> str:
    lowest, highest = (str(limit).removesuffix(".0") for limit in (low, high))
    return f"{kind} of at least {lowest}" if high is None else f"{kind} from {lowest} to {highest}"
