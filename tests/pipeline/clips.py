"""Small clips with known truth, made in a moment: for every test that needs a video.

Every picture carries its own number as a row of black and white blocks, so that a frame can be recognised after any
number of encodings: `number_in(image)`. A clip with sound flashes white and beeps at every whole second.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from pipeline.video.structure import ebml_element

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SAMPLE_RATE = 48000
BEEP_HZ = 1000
FLASH_SECONDS = Fraction(1, 10)
BLOCK = 16
"""Side of a number's block in pixels."""
BITS = 10

X264_FAST = {"preset": "ultrafast", "crf": "12", "g": "30"}


@dataclass(frozen=True)
class Sound:
    """One audio track of beeps, each whole second."""

    codec: str = "aac"
    hertz: int = BEEP_HZ
    language: str = "eng"
    title: str = ""


@dataclass(frozen=True)
class Clip:
    """What a clip is made of; `write` makes it."""

    frames: int = 60
    rate: Fraction = Fraction(30)
    times: Sequence[Fraction] | None = None
    """Of every frame in seconds; None is constant rate from 0."""
    time_base: Fraction | None = None
    width: int = 320
    height: int = 240
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=lambda: dict(X264_FAST))
    sounds: tuple[Sound, ...] = ()
    subtitles: tuple[tuple[Fraction, Fraction, str], ...] = ()
    """Start, end and text."""
    subtitle_language: str = "fra"
    chapters: tuple[tuple[Fraction, Fraction, str], ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    video_metadata: dict[str, str] = field(default_factory=dict)
    rotation: int = 0
    """Counter-clockwise degrees that a player turns the stored picture by."""
    flipped: bool = False
    aspect: Fraction = Fraction(1)
    colour: tuple[int, int, int, int] | None = None
    """Matrix, range, primaries, transfer in FFmpeg's numbers."""
    interlaced: bool = False
    attachment: tuple[str, str, bytes] | None = None
    muxer_options: dict[str, str] = field(default_factory=dict)
    draw: Callable[[int, int, int, bool], NDArray[np.uint8]] | None = None
    """Picture by number, width, height and whether it is a flash; None draws `picture`."""

    @property
    def moments(self) -> list[Fraction]:
        """The time of every frame."""
        return list(self.times) if self.times is not None else [Fraction(i) / self.rate for i in range(self.frames)]

    @property
    def seconds(self) -> Fraction:
        """How long the clip is."""
        moments = self.moments
        return moments[-1] + (moments[-1] - moments[-2] if len(moments) > 1 else 1 / self.rate)

    def but(self, **changes: Any) -> Clip:
        """The same clip with other settings."""
        return replace(self, **changes)

    def write(self, path: Path) -> Path:
        """Make the file; its suffix is the container."""
        with av.open(str(path), "w", container_options=self.muxer_options) as output:
            video = self.add_video(output)
            audio = [self.add_sound(output, sound) for sound in self.sounds]
            subtitle = add_subtitles(output, self.subtitle_language) if self.subtitles else None
            if self.attachment:
                output.add_attachment(*self.attachment)
            output.metadata.update(self.metadata)
            output.set_chapters(
                [
                    {
                        "id": i + 1,
                        "start": int(a * 1000),
                        "end": int(b * 1000),
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": text},
                    }
                    for i, (a, b, text) in enumerate(self.chapters)
                ]
            )
            packets = list(self.video_packets(video))
            for stream, sound in zip(audio, self.sounds, strict=True):
                packets += encode_sound(stream, beeps(self.seconds, sound.hertz))
            if subtitle is not None:
                packets += subtitle_packets(subtitle, self.subtitles)
            for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base):
                output.mux(packet)
        return path

    def add_video(self, output: Any) -> Any:
        """The video stream, set up."""
        stream = output.add_stream(self.codec, rate=self.rate, options=dict(self.options))
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = self.width, self.height, self.pixel_format
        context.time_base = self.time_base or 1 / self.rate
        context.sample_aspect_ratio = self.aspect
        context.thread_count = 1
        if self.colour:
            context.colorspace, context.color_range, context.color_primaries, context.color_trc = self.colour
        if self.interlaced:
            context.flags |= (1 << 18) | (1 << 29)  # interlaced DCT and motion estimation
            context.field_order = 2  # top field first
        if self.rotation or self.flipped:
            stream.set_display_rotation(self.rotation, hflip=self.flipped)
        stream.metadata.update(self.video_metadata)
        return stream

    def add_sound(self, output: Any, sound: Sound) -> Any:
        """An audio stream, set up."""
        stream = output.add_stream(sound.codec, rate=SAMPLE_RATE, layout="mono")
        stream.metadata["language"] = sound.language
        if sound.title:
            stream.metadata["title"] = sound.title
        return stream

    def video_packets(self, stream: Any) -> Any:
        """Every picture, encoded."""
        for number, moment in enumerate(self.moments):
            flash = bool(self.sounds) and moment % 1 < FLASH_SECONDS
            yield from stream.encode(self.frame(number, moment, stream.codec_context.time_base, flash=flash))
        yield from stream.encode(None)

    def frame(self, number: int, moment: Fraction, time_base: Fraction, *, flash: bool = False) -> av.VideoFrame:
        """One picture in the clip's pixel format."""
        draw = self.draw or picture
        image = draw(number, self.width, self.height, flash)
        if self.interlaced:
            image[1::2] = draw(number + 1, self.width, self.height, flash)[1::2]
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        if self.pixel_format != "rgb24":
            matrix = "ITU601" if self.colour and self.colour[0] in (5, 6) else "ITU709"
            full = self.colour is not None and self.colour[1] == 2
            frame = frame.reformat(
                format=self.pixel_format, dst_colorspace=matrix, dst_color_range="JPEG" if full else "MPEG"
            )
        frame.time_base = time_base
        frame.pts = round(moment / time_base)
        return frame


def picture(number: int, width: int, height: int, flash: bool) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB: a gradient that moves, a square that wanders, the number as blocks on top."""
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([(x + 3 * number) % 256, (y * 2 + number) % 256, (x + y) // 2 % 256], axis=-1).astype(np.uint8)
    image = image // 2 + 40
    if flash:
        image[:] = 235
    left, top = (7 * number) % max(width - 40, 1), height // 2
    image[top : top + 24, left : left + 24] = (220, 30, 30)
    for bit in range(BITS):
        image[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 235 if number >> bit & 1 else 20
    return image


def number_in(image: NDArray[np.uint8]) -> int:
    """The number that `picture` wrote into the image."""
    inside = [image[4 : BLOCK - 4, bit * BLOCK + 4 : (bit + 1) * BLOCK - 4].mean() > 128 for bit in range(BITS)]
    return sum(1 << bit for bit, white in enumerate(inside) if white)


def beeps(seconds: Fraction, hertz: int) -> NDArray[np.float32]:
    """(1, samples) float32: a beep at every whole second, as long as a flash."""
    count = int(seconds * SAMPLE_RATE)
    time = np.arange(count) / SAMPLE_RATE
    loud = (time % 1 < float(FLASH_SECONDS)).astype(np.float32)
    return (0.5 * np.sin(2 * np.pi * hertz * time) * loud).astype(np.float32)[None]


def encode_sound(stream: Any, sound: NDArray[np.float32]) -> list[Any]:
    """Packets of a track."""
    packets = []
    formats = {"fltp": sound, "s16": (sound * 32767).astype(np.int16), "flt": sound}
    wanted = stream.codec_context.format.name
    for start in range(0, sound.shape[1], 1024):
        chunk = formats[wanted][:, start : start + 1024]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(chunk), format=wanted, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def add_subtitles(output: Any, language: str) -> Any:
    """A text subtitle stream in what the container holds."""
    codec = "mov_text" if output.format.name in ("mp4", "mov") else "subrip"
    stream = output.add_mux_stream(codec)
    stream.time_base = Fraction(1, 1000)
    stream.metadata["language"] = language
    return stream


def subtitle_packets(stream: Any, lines: Sequence[tuple[Fraction, Fraction, str]]) -> list[Any]:
    """A packet for each line."""
    packets = []
    for start, end, text in lines:
        data = text.encode()
        mov_text = stream.container.format.name in ("mp4", "mov")
        packet = av.Packet(len(data).to_bytes(2, "big") + data if mov_text else data)
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = int(start * 1000)
        packet.duration = int((end - start) * 1000)
        packets.append(packet)
    return packets


def size_change(path: Path, *, first: int = 30, then: int = 30, small: tuple[int, int] = (160, 120)) -> Path:
    """A transport stream whose pictures are 320x240 and from then on smaller."""
    clip = Clip(frames=first)
    second = clip.but(width=small[0], height=small[1])
    with av.open(str(path), "w") as output:
        stream = clip.add_video(output)
        for packet in clip.video_packets(stream):
            output.mux(packet)
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = *small, "yuv420p"
        encoder.time_base, encoder.framerate, encoder.options = 1 / clip.rate, clip.rate, dict(X264_FAST)
        frames = [second.frame(i, i / clip.rate, 1 / clip.rate) for i in range(first, first + then)]
        for packet in [packet for frame in [*frames, None] for packet in encoder.encode(frame)]:
            packet.stream = stream
            output.mux(packet)
    return path


def cut(source: Path, target: Path, *, share: float) -> Path:
    """The first part of a file, as a broken download leaves it."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def flip_bits(source: Path, target: Path, *, count: int, begin: float = 0.2, end: float = 1.0, seed: int = 1) -> Path:
    """The file with `count` single bits inverted, between two shares of its length."""
    data = bytearray(source.read_bytes())
    generator = np.random.default_rng(seed)
    for position in generator.integers(int(len(data) * begin), int(len(data) * end), count):
        data[position] ^= 1 << int(generator.integers(8))
    target.write_bytes(data)
    return target


def variable_rate(seconds: int = 6) -> list[Fraction]:
    """Times of 30 frames a second in the first half, 10 in the second."""
    half = Fraction(seconds, 2)
    return [Fraction(i, 30) for i in range(int(half * 30))] + [half + Fraction(i, 10) for i in range(int(half * 10))]


def times_of(path: Path) -> list[Fraction]:
    """The exact time of every picture of a file, decoded with nothing between."""
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        return [frame.pts * stream.time_base for frame in source.decode(stream)]


def images_of(path: Path) -> list[NDArray[np.uint8]]:
    """Every picture of a file as (height, width, 3) uint8 RGB, as stored."""
    with av.open(str(path)) as source:
        return [frame.to_ndarray(format="rgb24", threads=1) for frame in source.decode(video=0)]


def sound_of(path: Path, track: int = 0) -> tuple[Fraction, NDArray[np.float32]]:
    """The time of the first sample and all samples of a track, gaps filled with silence."""
    with av.open(str(path)) as source:
        stream = source.streams.audio[track]
        chunks = [
            (frame.pts * frame.time_base, frame.to_ndarray().astype(np.float32)) for frame in source.decode(stream)
        ]
        scale = 1 / 32768 if stream.codec_context.format.name.startswith("s16") else 1
    start = chunks[0][0]
    length = max(round((time - start) * SAMPLE_RATE) + chunk.shape[1] for time, chunk in chunks)
    sound = np.zeros(length, np.float32)
    for time, chunk in chunks:
        at = round((time - start) * SAMPLE_RATE)
        sound[at : at + chunk.shape[1]] = chunk[0] * scale
    return start, sound


def later(source: Path, target: Path, *, seconds: Fraction, options: dict[str, str] | None = None) -> Path:
    """The same packets on a clock that begins `seconds` later."""
    with av.open(str(source)) as whole, av.open(str(target), "w", container_options=options or {}) as output:
        streams = {stream.index: output.add_stream_from_template(stream) for stream in whole.streams}
        for packet in whole.demux():
            if packet.size:
                shift = round(seconds / packet.time_base)
                packet.pts += shift
                packet.dts = None if packet.dts is None else packet.dts + shift
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    return target


def empty_matroska_blocks(path: Path, numbers: Sequence[int]) -> Path:
    """Take the content out of the simple blocks of these numbers; their clusters may have no checksum."""
    data = path.read_bytes()
    segment, cluster, block = 0x18538067, 0x1F43B675, 0xA3
    position, number, emptied = 0, 0, bytearray(data)
    while position < len(data):
        element, start, length = ebml_element(data, position)
        if element == block and length is not None:
            if number in numbers:
                # The block keeps its header of four bytes; what is left becomes an element that says nothing.
                header, rest = b"\xa3\x84" + data[start : start + 4], start + length - position - 6 - 9
                void = b"\xec" + (rest | 1 << 56).to_bytes(8, "big")
                emptied[position : position + 15] = header + void
            number += 1
        position = start if element in (segment, cluster) or length is None else start + length
    path.write_bytes(emptied)
    return path


def empty_quicktime_samples(path: Path, numbers: Sequence[int]) -> Path:
    """Take the content out of the samples of these numbers, and hang it on the ones before them."""
    data = bytearray(path.read_bytes())
    table = data.index(b"stsz") + 16
    for number in sorted(numbers, reverse=True):
        here, before = table + 4 * number, table + 4 * (number - 1)
        sizes = [int.from_bytes(data[at : at + 4], "big") for at in (before, here)]
        data[before : before + 4], data[here : here + 4] = sum(sizes).to_bytes(4, "big"), bytes(4)
    path.write_bytes(data)
    return path
