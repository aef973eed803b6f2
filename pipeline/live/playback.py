"""A video file as a camera: its pictures come when their time has come."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.video.decode import FileSource

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    import av


@dataclass(frozen=True)
class Playback:
    """A file played once, in real time."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Iterator[av.VideoFrame]]:
        """The pictures, upright, each at its time from now on. Entering and iterating raise `SourceError`."""
        with contextlib.closing(self._pictures(FileSource(self.path))) as pictures:
            yield pictures

    def _pictures(self, source: FileSource) -> Generator[av.VideoFrame]:
        began = time.perf_counter() - float(source.info.origin)
        for frame in source:
            wait = began + float(frame.time) - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            yield frame.planes
