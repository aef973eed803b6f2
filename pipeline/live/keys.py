"""Single keys of a terminal, without Return, while a run goes on."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator


class Key(StrEnum):
    """What a key does, in the terminal and in the preview window."""

    PAUSE = "p"
    BYPASS = "b"
    BOTH = "s"
    QUIT = "q"


HELP = "p pause, b bypass, s side by side, q quit"


def key_of(character: str) -> Key | None:
    """The key that a character is, whatever its case; None for others."""
    return next((key for key in Key if key.value == character.lower()), None)


class Keys:
    """The keys that are pressed in the terminal of standard input, inside a `with` block; none where it is no terminal.

    The terminal is put back as it was, however the block is left.
    """

    def __init__(self) -> None:
        self._on = sys.stdin is not None and sys.stdin.isatty()
        self._before: list[Any] | None = None

    def __enter__(self) -> Self:
        if self._on and sys.platform != "win32":
            import termios
            import tty

            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None and sys.platform != "win32":
            import termios

            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def pressed(self) -> Iterator[Key]:
        """The known keys that were pressed since the last call; never waits."""
        while self._on and (character := _waiting_character()):
            key = key_of(character)
            if key is not None:
                yield key


def _waiting_character() -> str:
    """A character that lies in standard input; empty when there is none."""
    if sys.platform == "win32":
        import msvcrt

        return msvcrt.getwch() if msvcrt.kbhit() else ""
    import os
    import select

    ready, _, _ = select.select([sys.stdin], [], [], 0)
    # Not by sys.stdin.read, which takes more than it gives and hides the rest from select.
    return os.read(sys.stdin.fileno(), 1).decode("latin-1") if ready else ""
