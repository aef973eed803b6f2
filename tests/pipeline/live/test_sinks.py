"""The preview window, where there is a display to open it on."""

from __future__ import annotations

import av
import pytest

from pipeline.errors import SinkError
from pipeline.live.sinks import Key, Preview
from tests.pipeline.live_fakes import seen


def test_without_a_display_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    tkinter = pytest.importorskip("tkinter", reason="Python has no Tk here")

    def no_display() -> None:
        raise tkinter.TclError("no display name and no $DISPLAY environment variable")

    monkeypatch.setattr(tkinter, "Tk", no_display)
    with pytest.raises(SinkError, match=r"there is no display .*; --virtual-camera alone needs no display"):
        Preview()


def test_keys_and_pictures_go_through_the_window_until_it_is_gone() -> None:
    picture = av.VideoFrame.from_ndarray(seen(1), format="rgb24")
    try:
        preview = Preview()
    except SinkError as error:
        pytest.skip(str(error))
    with preview:
        preview.show(picture)
        preview._window.focus_force()
        preview._window.update()
        preview._window.event_generate("<Key-b>")
        preview._window.update()
        assert list(preview.pressed()) == [Key.BYPASS]
        assert (preview._picture.width(), preview._picture.height()) == (320, 240)
        preview._window.destroy()
        with pytest.raises(SinkError, match="preview window is gone"):
            preview.show(picture)
