"""A video file as a sink of frames: each picture at its exact time, every other stream of the input beside it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import av

from pipeline.errors import SinkError
from pipeline.picture.formats import traits
from pipeline.video.animation import plays_of
from pipeline.video.codecs import Codec, OtherStreams
from pipeline.video.containers import codec_for, container_for, file_tags, unusual_in_mp4
from pipeline.video.encoders import choose
from pipeline.video.labels import label_video
from pipeline.video.opening import opened
from pipeline.video.remux import is_cover, select
from pipeline.video.writer import Writer, Written, muxer_options, translated
from pipeline.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pipeline.frames import Frame
    from pipeline.video.decode import FileSource
    from pipeline.video.encoders import Encoding
    from pipeline.video.labels import Seal
    from pipeline.video.pieces import Piece


@dataclass(frozen=True)
class FileSink:
    """Writes frames to a video file and yields each once it was handed to the encoder.

    Until the file is whole it has another name in the same directory; after any error there is none. Raises `SinkError`
    and `ConfigError`; `check` raises the same before any work is done.
    """

    source: FileSource
    """Where the frames come from: the other streams are copied from the same file, cut alike."""
    path: Path
    codec: Codec = Codec.AUTO
    quality: int | None = None
    """Constant quality in the codec's own scale, lower is better and larger; None is the codec's default."""
    preset: str | None = None
    """One of `codecs.PRESETS`: slower presets make smaller files of the same quality."""
    hardware: str | None = None
    """One of `codecs.HARDWARE`; None encodes on the CPU."""
    other_streams: OtherStreams = OtherStreams.AUTO
    overwrite: bool = False
    encoder_threads: int | None = None
    """How many threads the encoder gets; None is one a processor. Encoders give other bytes with other numbers."""
    seal: Seal | None = None
    """Signs the file; None leaves it unsigned."""
    outcome: Written = field(default_factory=Written, init=False, compare=False)

    def check(self) -> None:
        """Open what the run will open, write a header, and leave nothing behind. Raises what the run would raise."""
        if self.seal is not None:
            self.seal.check(self.path)
        with contextlib.suppress(Discarded), whole_file(self.path, overwrite=self.overwrite) as unfinished:
            with self.writer(unfinished) as writer:
                writer.begin(self.source.info.origin)
            raise Discarded

    def __call__(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Write every frame; the file gets its name after the last one was taken."""
        with whole_file(self.path, overwrite=self.overwrite) as unfinished:
            with self.writer(unfinished) as writer:
                for frame in frames:
                    writer.write(frame)
                    yield frame
                writer.finish()
            self._label(unfinished)

    def join(self, pieces: Iterable[Piece]) -> None:
        """Write pieces that are encoded already, in the order of their times, with every other stream beside them."""
        with whole_file(self.path, overwrite=self.overwrite) as unfinished:
            with self.writer(unfinished) as writer:
                for piece in pieces:
                    writer.append(piece)
                writer.finish()
            self._label(unfinished)

    def _label(self, unfinished: Path) -> None:
        """Say in the file that networks drew in it, and sign that where it was asked for."""
        label_video(unfinished)
        if self.seal is not None:
            self.seal.sign(self.source.path, unfinished, self.path.name)

    def encoding(self) -> Encoding:
        """The encoder for this file, chosen and set up."""
        info = self.source.info
        return choose(info, self.codec_there(), quality=self.quality, preset=self.preset, hardware=self.hardware)

    def codec_there(self) -> Codec:
        """The codec to encode in, `AUTO` decided."""
        return codec_for(self.path, self.codec, bits=traits(self.source.info.pixel_format).depth)

    @contextlib.contextmanager
    def writer(self, unfinished: Path) -> Iterator[Writer]:
        """A file being written under another name, closed at the end."""
        info = self.source.info
        if self.path.exists() and self.path.samefile(info.path):
            raise SinkError(f"{self.path} is the input itself; choose another name for the output")
        encoding = self.encoding()
        with opened(info.path) as container:
            selection = select(container, info.video_index, self.path, self.codec_there(), rule=self.other_streams)
            kind = container_for(self.path)
            # MP4 has no room for a cover in the table that takes any tag.
            free_keys = bool(unusual_in_mp4(file_tags(container.metadata, kind))) and not any(
                map(is_cover, selection.copied)
            )
            options = muxer_options(kind, info.time_base, free_keys=free_keys, plays=plays_of(info.path))
            with translated(self.path):
                output = av.open(str(unfinished.absolute()), "w", format=kind.muxer, container_options=options)
            try:
                yield Writer(
                    self.source,
                    self.path,
                    encoding=encoding,
                    selection=selection,
                    container=container,
                    output=output,
                    encoder_threads=self.encoder_threads,
                    outcome=self.outcome,
                )
            finally:
                # After `finish` this does nothing; before, it ends a file that is about to be removed.
                with contextlib.suppress(av.error.FFmpegError):
                    output.close()


class Discarded(Exception):  # noqa: N818 - not an error, a way out
    """Ends a trial: leaves the writing of a file as an error would, so that the file is removed."""
