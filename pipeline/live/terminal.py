"""The surroundings of a live run on a desktop: virtual camera, preview window, the terminal's keys and status line."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pipeline.errors import ConfigError, SinkError
from pipeline.live.devices import Onlookers
from pipeline.live.sinks import HELP, Key, VirtualCamera, key_of, missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    import av

    from pipeline.live.live import LiveRun, Sink
    from pipeline.live.sinks import Preview

LINE_SECONDS = 0.5
"""How often the status line is written anew."""


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
    """Take a character from standard input without waiting; empty when there is none."""
    if sys.platform == "win32":
        import msvcrt

        return msvcrt.getwch() if msvcrt.kbhit() else ""
    import os
    import select

    ready, _, _ = select.select([sys.stdin], [], [], 0)
    # Not by sys.stdin.read, which takes more than it gives and hides the rest from select.
    return os.read(sys.stdin.fileno(), 1).decode("latin-1") if ready else ""


@dataclass
class Terminal:
    """The surroundings of `barefaced live`.

    Raises `ConfigError` when nothing would show pictures, and `SinkError` when what is asked for is not installed.
    """

    keys: Keys
    virtual_camera: str | None
    """The name of the virtual camera; empty for the first there is, None for none."""
    preview: bool
    fps: int
    size: tuple[int, int] | None
    quiet: bool
    onlookers: Onlookers = field(default_factory=Onlookers)
    """Asks whether anybody watches the virtual camera."""
    _window: Preview | None = field(default=None, init=False)
    _next_line: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if self.virtual_camera is None and not self.preview:
            raise ConfigError("nothing would be seen: give --virtual-camera, --preview or both")
        reason = missing()
        if self.virtual_camera is not None and reason is not None:
            raise SinkError(reason)  # before a camera is opened and networks are compiled

    @property
    def can_rest(self) -> bool:
        """Whether it can be known that nobody watches."""
        return sys.platform == "linux" and self.virtual_camera is not None and not self.preview

    def say(self, sentence: str) -> None:
        """Write a sentence for the user above the status line, from any thread."""
        if not self.quiet:
            sys.stderr.write(f"{self._clear}barefaced: {sentence}\n")

    def sinks(self, picture: av.VideoFrame, stack: ExitStack) -> tuple[Sink, ...]:
        """Open the virtual camera and the window that were asked for. Raises `SinkError`."""
        found: list[Sink] = []
        if self.virtual_camera is not None:
            width, height = self.size or (picture.width, picture.height)
            device = self.virtual_camera or None
            camera = stack.enter_context(VirtualCamera(width=width, height=height, fps=self.fps, device=device))
            self.say(f"virtual camera {camera.device}, {camera.width}x{camera.height}; keys: {HELP}")
            self.onlookers.device = Path(camera.device)
            found.append(camera)
        if self.preview:
            from pipeline.live.sinks import Preview

            self._window = stack.enter_context(Preview())
            found.append(self._window)
        return tuple(found)

    def pressed(self) -> Iterator[Key]:
        """The keys of the terminal and of the window."""
        yield from self.keys.pressed()
        if self._window is not None:
            yield from self._window.pressed()

    def show_status(self, run: LiveRun) -> None:
        """Write the status line anew where there is a terminal, at most once in `LINE_SECONDS`."""
        now = time.monotonic()
        if self.quiet or not sys.stderr.isatty() or now < self._next_line:
            return
        self._next_line = now + LINE_SECONDS
        sys.stderr.write(f"{self._clear}{run.status}")
        sys.stderr.flush()

    def end_line(self) -> None:
        """Clear the status line for what is printed next."""
        sys.stderr.write(self._clear)

    @property
    def _clear(self) -> str:
        return "\r\x1b[K" if sys.stderr.isatty() else ""
