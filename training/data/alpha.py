"""The truth beside pictures with drawn masks: each frame's alpha, losslessly, at the frame's own time."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import av
import numpy as np
from PIL import Image

from pipeline.errors import ConfigError, SinkError
from pipeline.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import OutputContainer
    from numpy.typing import NDArray

CLOCK = Fraction(1, 90_000)
"""Of the written video, in seconds; frames lie further apart."""


class AlphaSink(Protocol):
    """Takes the alphas of a run, frame by frame."""

    def write(self, alpha: NDArray[np.float32], time: Fraction) -> None:
        """Add a frame's alpha (height, width) in [0, 1]. Times in seconds, each after the one before."""
        ...


@dataclass
class _Film:
    """A Matroska file of grey FFV1 pictures, 255 where all is mask."""

    output: OutputContainer
    stream: av.VideoStream | None = None

    def write(self, alpha: NDArray[np.float32], time: Fraction) -> None:
        if self.stream is None:
            self.stream = self.output.add_stream("ffv1", rate=25)
            self.stream.height, self.stream.width = alpha.shape
            self.stream.pix_fmt = "gray"
            self.stream.codec_context.time_base = CLOCK
        picture = av.VideoFrame.from_ndarray(_as_bytes(alpha), format="gray")
        picture.pts, picture.time_base = round(time / CLOCK), CLOCK
        self.output.mux(self.stream.encode(picture))


@dataclass
class _Photo:
    """The alpha of the one frame of a photo."""

    alphas: list[NDArray[np.float32]] = field(default_factory=list)

    def write(self, alpha: NDArray[np.float32], _time: Fraction) -> None:
        self.alphas.append(alpha)


def _as_bytes(alpha: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(alpha * 255).astype(np.uint8)


@contextmanager
def written(path: Path, *, still: bool, overwrite: bool) -> Iterator[AlphaSink]:
    """A file for the alphas of a run; it gets its name once the block has ended well.

    A photo's is a grey PNG, a video's Matroska. Raises `ConfigError` for another suffix and `SinkError` when it can't
    be written or is there already.
    """
    suffix, what = (".png", "photo") if still else (".mkv", "video")
    if path.suffix.lower() != suffix:
        raise ConfigError(f"--alpha {path}: the alpha of a {what} is written as {suffix}")
    with whole_file(path, overwrite=overwrite) as unfinished:
        try:
            if still:
                photo = _Photo()
                yield photo
                for alpha in photo.alphas:
                    Image.fromarray(_as_bytes(alpha)).save(unfinished, format="PNG")
                return
            with av.open(str(unfinished), "w", format="matroska") as output:
                film = _Film(output)
                yield film
                if film.stream is not None:
                    output.mux(film.stream.encode(None))
        except av.error.FFmpegError as error:
            raise SinkError(f"{path} can't be written: {error.strerror or error}") from error
