"""A media file opened, every foreign error translated into why and what to do; and its sound, to listen to."""

from __future__ import annotations

import contextlib
import logging
import struct
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np

from pipeline.errors import SourceError
from pipeline.video.animation import AnimationStream, animation_size, check_frame_size, needs_pillow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction
    from pathlib import Path

    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream
    from numpy.typing import NDArray


TS_DISCONT = 0x200
"""FFmpeg's AVFMT_TS_DISCONT: the format's time stamps may jump."""


@contextlib.contextmanager
def opened(
    path: Path, *, hardware: str | None = None, largest_megapixels: Fraction | None = None
) -> Iterator[InputContainer]:
    """The container of `path`, closed at the end.

    Raises `SourceError` that says why it can't be opened and what to do, also for frames beyond a limit.
    """
    check_is_file(path)
    hear_errors()

    try:
        if needs_pillow(path):
            check_frame_size(path, *animation_size(path), largest_megapixels=largest_megapixels)
            container = av.open(cast("Any", AnimationStream(path)), format="mov")
        else:
            container = av.open(str(path.absolute()), metadata_errors="replace", hwaccel=hardware_decoder(hardware))
    except (av.error.InvalidDataError, av.error.EOFError) as error:
        raise SourceError(f"{path} is not a media file or is damaged: {explain_invalid(path)}") from error
    except (av.error.FFmpegError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if hardware is not None:
            cure = "leave the hardware decoder out to decode on the CPU"
            raise SourceError(f"{path} can't be decoded by {hardware} here ({reason}); {cure}") from error
        raise SourceError(f"{path} can't be opened: {reason}") from error

    with container:
        for film in container.streams.video:
            if film.codec_context is not None:
                width, height = film.codec_context.width, film.codec_context.height
                check_frame_size(path, width, height, largest_megapixels=largest_megapixels)
        yield container


def hear_errors() -> None:
    """Let what FFmpeg says of errors be captured; what nobody captures is not printed."""
    if av.logging.get_level() is None:
        av.logging.set_skip_repeated(False)
        logging.getLogger("libav").addHandler(logging.NullHandler())
        av.logging.set_level(av.logging.ERROR)


def check_is_file(path: Path) -> None:
    """Raise `SourceError` unless `path` is a file with something in it."""
    try:
        if path.is_dir():
            raise SourceError(f"{path} is a directory; name a file in it")
        if not path.exists():
            raise SourceError(f"{path} does not exist")
        if not path.is_file():
            raise SourceError(f"{path} is not a regular file; save the stream to a file first, it is read twice")
        if path.stat().st_size == 0:
            raise SourceError(f"{path} is empty")
    except PermissionError as error:
        raise SourceError(f"{path} can't be read: permission denied") from error


def hardware_decoder(name: str | None) -> av.codec.hwaccel.HWAccel | None:
    """FFmpeg's accelerator of that name, which never becomes software in silence; None for None."""
    if name is None:
        return None
    known = av.codec.hwaccel.hwdevices_available()
    if name not in known:
        raise SourceError(f"no hardware decoder is called {name!r} here; there are: {', '.join(known) or 'none'}")
    return av.codec.hwaccel.HWAccel(device_type=name, allow_software_fallback=False)


def explain_invalid(path: Path) -> str:
    """Why FFmpeg can't make sense of the file, for a person."""
    boxes = top_level_boxes(path)
    if boxes and "ftyp" in boxes and "moov" not in boxes:
        return "it is an MP4 without its index (moov), as when a recording was cut off; a repair tool may rebuild it"
    return "no known container format was found in it"


def top_level_boxes(path: Path) -> list[str]:
    """Names of the outer boxes of an MP4 file, as far as they can be read; empty for other files."""
    names: list[str] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        position = 0

        while position + 8 <= size and len(names) < 100:
            file.seek(position)
            header = file.read(16)
            length, name = struct.unpack(">I4s", header[:8])
            if length == 1 and len(header) == 16:
                length = struct.unpack(">Q", header[8:])[0]
            if not name.isalnum():
                break
            names.append(name.decode("ascii", "replace"))
            if length < 8:
                break
            position += length
    return names


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The stream to process: the default video, else the first, that is not a cover picture.

    Raises `SourceError` when there is none that can be decoded.
    """
    films = [film for film in container.streams.video if not film.disposition & av.stream.Disposition.attached_pic]
    readable = [film for film in films if film.codec_context is not None]
    if readable:
        return next((film for film in readable if film.disposition & av.stream.Disposition.default), readable[0])
    if films:
        raise SourceError(f"{path} holds video that this FFmpeg has no decoder for; convert it to H.264 first")
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise SourceError(f"{path} has no video stream (it holds: {kinds})")


def packets_of(container: InputContainer, *streams: Stream) -> Iterator[Packet[Any]]:
    """The packets of the file in their order, of these streams or of all, to the end.

    PyAV raises an `IndexError` there when FFmpeg has found another stream in the middle of the file.
    """
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets, None)
        except IndexError:
            return
        if packet is None:
            return
        yield packet


def clock_is_arbitrary(container: InputContainer) -> bool:
    """True for formats whose clock starts anywhere and may restart in the middle, such as MPEG-TS."""
    return bool(int(container.format.flags) & TS_DISCONT)


GAP_SECONDS = 0.05
"""A silence in the file's clock from which on it is filled with zeros, so that what follows stays at its time."""


def read_sound(path: Path, rate: int) -> tuple[float, Iterator[NDArray[np.float32]]]:
    """When a file's first sound track begins, in seconds of the file's clock, and its samples in blocks (N,), mono.

    `rate` is in samples a second. Raises `SourceError`, also while the blocks are read, for a file that can't be read
    and for one without sound.
    """
    blocks = _blocks(path, rate)
    first = next(blocks, None)
    if first is None:
        raise SourceError(f"{path} has no sound")
    start, samples = first

    def all_of_them() -> Iterator[NDArray[np.float32]]:
        count = len(samples)
        yield samples
        for seconds, block in blocks:
            missing = round((seconds - start) * rate) - count
            if missing > GAP_SECONDS * rate:
                yield np.zeros(missing, np.float32)
                count += missing
            count += len(block)
            yield block

    return start, all_of_them()


def _blocks(path: Path, rate: int) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """The time and the samples of each block."""
    try:
        with av.open(str(path)) as file:
            if not file.streams.audio:
                return

            resampler = av.AudioResampler("fltp", rate=rate)
            seconds = 0.0
            for frame in file.decode(audio=0):
                seconds = seconds if frame.time is None else float(frame.time)
                for block in resampler.resample(frame):
                    yield seconds, np.asarray(block.to_ndarray().mean(axis=0), np.float32)
                seconds += frame.samples / frame.sample_rate

            # The resampler holds samples back until it is told that no more come.
            for block in resampler.resample(None):
                yield seconds, np.asarray(block.to_ndarray().mean(axis=0), np.float32)
    except av.error.FFmpegError as error:
        raise SourceError(f"the sound of {path} can't be read: {error.strerror or error}") from error
