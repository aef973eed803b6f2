"""A window that shows the pictures that are sent, made with Tk, which comes with Python."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Self

from pipeline.errors import SinkError
from pipeline.live.view import HELP, Key, key_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import av

MOST_WIDE_PX = 960
"""The greatest width of a picture in the window; a wider one is shown smaller, since Tk takes pictures slowly."""

CURE = "--virtual-camera alone needs no display"


class Preview:
    """A window, open inside its `with` block, in the main thread. Raises `SinkError` with the cure."""

    def __init__(self) -> None:
        try:
            import tkinter
        except ImportError as error:
            raise SinkError(f"no preview: Python has no Tk here; sudo apt install python3-tk, or: {CURE}") from error
        try:
            self._window = tkinter.Tk()
        except tkinter.TclError as error:
            raise SinkError(f"no preview: there is no display ({error}); {CURE}") from error

        self._gone: type[Exception] = tkinter.TclError
        self._pressed: deque[Key] = deque()
        self._window.title(f"barefaced: {HELP}")
        self._window.protocol("WM_DELETE_WINDOW", lambda: self._pressed.append(Key.QUIT))
        self._window.bind("<Key>", self._press)
        self._picture = tkinter.PhotoImage(master=self._window)
        self._label = tkinter.Label(self._window, image=self._picture, borderwidth=0)
        self._label.pack()

    def _press(self, event: object) -> None:
        """Note a key that was pressed, if it means anything."""
        key = key_of(getattr(event, "char", ""))
        if key is not None:
            self._pressed.append(key)

    def show(self, picture: av.VideoFrame) -> None:
        """Show a picture. Raises `SinkError` when the window is gone."""
        width = min(picture.width, MOST_WIDE_PX)
        height = picture.height * width // picture.width
        image = picture.reformat(width=width, height=height, format="rgb24").to_ndarray()
        try:
            self._picture.configure(data=b"P6 %d %d 255 " % (width, height) + image.tobytes(), format="PPM")
            self._window.update()
        except self._gone as error:
            raise SinkError(f"the preview window is gone ({error})") from error

    def pressed(self) -> Iterator[Key]:
        """The keys that were pressed in the window since the last call."""
        while self._pressed:
            yield self._pressed.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._window.destroy()
        except self._gone:  # it is gone already
            return
