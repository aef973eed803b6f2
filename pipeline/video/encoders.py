"""Which encoder, with which settings, in which pixel format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import cast

import av

from pipeline.errors import ConfigError, SinkError
from pipeline.picture.formats import closest, loses_nothing, plain, traits
from pipeline.video.codecs import HARDWARE, KINDS, PRESETS, Codec, check
from pipeline.video.info import Colour, ContentLight, MasteringDisplay, SourceInfo


@dataclass(frozen=True)
class Encoding:
    """An encoder chosen and set up, not yet opened."""

    encoder: str
    """FFmpeg's name, such as `libx264`."""
    pixel_format: str
    options: dict[str, str]
    colour: Colour
    """The tags of what is encoded."""
    warnings: tuple[str, ...]
    """What the choice costs, in sentences."""


def choose(
    info: SourceInfo, codec: Codec, *, quality: int | None, preset: str | None, hardware: str | None
) -> Encoding:
    """The encoder for this source.

    Raises `ConfigError` for a quality or preset that the codec has not, and `SinkError` when there is no such encoder.
    """
    kind = KINDS[codec]
    name = kind.software if hardware is None else hardware_encoder(codec, hardware)
    pixel_format, reason = nearest_format(info, name, codec)
    chosen_quality, chosen_preset = check(codec, quality=quality, preset=preset)
    options = settings(name, quality=chosen_quality, preset=chosen_preset, info=info)

    warnings = [reason] if reason else []
    if codec is Codec.H264 and traits(pixel_format).depth > 8:
        warnings.append(f"few players show H.264 with {traits(pixel_format).depth} bits; hevc is shown by more")
    if not loses_nothing(info.pixel_format, pixel_format) and not reason:
        warnings.append(f"{name} does not take {info.pixel_format}; the video is converted to {pixel_format}")
    if info.mastering_display and name not in ("libx264", "libx265", "libsvtav1"):
        warnings.append(f"{name} can't store the mastering display's HDR values; the colour tags are kept")
    return Encoding(name, pixel_format, options, encoded_colour(info, pixel_format), tuple(warnings))


def hardware_encoder(codec: Codec, hardware: str) -> str:
    """FFmpeg's name of the hardware encoder. Raises `SinkError` when this FFmpeg has none of that name."""
    if hardware not in HARDWARE:
        raise ConfigError(f"hardware encoder is {hardware!r}; it is one of {', '.join(HARDWARE)}")
    name = f"{codec}_{hardware}"
    if name not in av.codecs_available:
        there = [family for family in HARDWARE if f"{codec}_{family}" in av.codecs_available]
        raise SinkError(f"there is no encoder {name} here; for {codec} there are: {', '.join(there) or 'none'}")
    return name


def encoder_formats(name: str) -> list[str]:
    """The pixel formats that an encoder takes. Raises `SinkError` when there is no such encoder."""
    try:
        codec = av.Codec(name, "w")
    except av.error.EncoderNotFoundError as error:
        raise SinkError(
            f"this build of FFmpeg has no encoder {name}; install PyAV from PyPI or choose another"
        ) from error
    # What has no components is memory of a device, which our pictures are not in; no picture is reduced to a palette.
    formats = [video_format for video_format in codec.video_formats or () if video_format.components]
    return [video_format.name for video_format in formats if not video_format.has_palette]


def nearest_format(info: SourceInfo, name: str, codec: Codec) -> tuple[str, str | None]:
    """The encoder's format that loses least, and what to tell the user when that is a surprise."""
    formats = encoder_formats(name)
    if codec is Codec.WEBP:
        formats = ["bgra"]  # what it compresses without loss
    elif KINDS[codec].quality is not None:
        # Lossy codecs hold RGB too, but in profiles that next to no player shows.
        formats = [pixel_format for pixel_format in formats if not traits(pixel_format).rgb] or formats
    halved = info.width % 2 or info.height % 2
    if halved and codec in (Codec.H264, Codec.HEVC):
        # Both count their size in whole chroma samples: an odd size exists only where chroma is as fine as luma.
        whole = [fine for fine in formats if (kind := traits(fine)).coarse_x == kind.coarse_y == 1]
        best = closest(info.pixel_format, whole)
        if best not in (info.pixel_format, plain(info.pixel_format)):
            reason = (
                f"{codec} stores odd sizes ({info.width}x{info.height}) only in full chroma: it is encoded as {best}"
            )
            return best, f"{reason}, which some players can't show; vp9, av1 and ffv1 keep {info.pixel_format}"
        return best, None
    return best_that_opens(name, info.pixel_format, formats), None


def best_that_opens(encoder: str, wanted: str, formats: list[str]) -> str:
    """The nearest format to `wanted` with which the encoder can be opened; what it lists is not always what it takes.

    Where none opens, as without the device of a hardware encoder, the nearest.
    """
    best = nearest = closest(wanted, formats)
    left = list(formats)
    while not opens(encoder, best):
        left.remove(best)
        if not left:
            return nearest
        best = closest(wanted, left)
    return best


def quiet(encoder: str) -> dict[str, str]:
    """The options with which an encoder prints nothing but errors."""
    os.environ.setdefault("SVT_LOG", "1")  # libsvtav1 has no option for it
    return {"x265-params": "log-level=error"} if encoder == "libx265" else {}


@lru_cache(maxsize=64)
def opens(encoder: str, pixel_format: str) -> bool:
    """True when the encoder can be opened for small pictures in this format."""
    context = cast("av.VideoCodecContext", av.CodecContext.create(encoder, "w"))
    context.width, context.height, context.pix_fmt = 256, 256, pixel_format
    context.time_base, context.thread_count = Fraction(1, 25), 1
    context.options = quiet(encoder)
    try:
        context.open()
    except av.error.FFmpegError:
        return False
    return True


def encoded_colour(info: SourceInfo, pixel_format: str) -> Colour:
    """The colour tags of the encoded picture: the source's, except where RGB becomes YUV."""
    colour = info.colour
    if traits(info.pixel_format).rgb == traits(pixel_format).rgb:
        full = colour.range or (2 if pixel_format.startswith("yuvj") else 0)
        return Colour(colour.matrix, full, colour.primaries, colour.transfer)
    # 1 and 1: BT.709 in limited range, which players assume where they read no tags.
    return Colour(matrix=1, range=1, primaries=colour.primaries, transfer=colour.transfer)


def settings(name: str, *, quality: int | None, preset: str, info: SourceInfo) -> dict[str, str]:
    """The encoder's options."""
    rank = PRESETS.index(preset)
    hdr = hdr_parameters(name, info.mastering_display, info.content_light)
    # MP4 stores how long pictures last in the order of decoding, which is that of showing only without B-frames.
    in_order = "" if info.steady else "bframes=0"

    if name == "libx264":
        parameters = ":".join(filter(None, [in_order, hdr]))
        return {"preset": preset, "crf": str(quality)} | ({"x264-params": parameters} if parameters else {})
    if name == "libx265":
        parameters = ":".join(filter(None, ["log-level=error", in_order, hdr]))
        return {"preset": preset, "crf": str(quality), "x265-params": parameters}
    if name == "libvpx-vp9":
        return {"crf": str(quality), "b": "0", "deadline": "good", "cpu-used": str(8 - rank), "row-mt": "1"}
    if name == "libsvtav1":
        options = {"crf": str(quality), "preset": str((12, 11, 10, 9, 8, 7, 5, 4, 2)[rank])}
        return options | ({"svtav1-params": hdr} if hdr else {})
    if name == "ffv1":
        # Each picture by itself and with a checksum: for editors, and so that damage stays in one picture.
        return {"level": "3", "slicecrc": "1", "g": "1"}
    if name == "libwebp_anim":
        return {"lossless": "1", "compression_level": "3"}
    if name == "apng":
        return {"pred": "mixed"}
    return hardware_settings(name, quality=quality, rank=rank)


def hardware_settings(name: str, *, quality: int | None, rank: int) -> dict[str, str]:
    """The options of a hardware encoder that mean the same quality and effort."""
    if name.endswith("_nvenc"):
        return {
            "rc": "vbr",
            "cq": str(quality),
            "b": "0",
            "preset": ("p1", "p1", "p2", "p3", "p4", "p4", "p5", "p6", "p7")[rank],
        }
    if name.endswith("_qsv"):
        return {"global_quality": str(quality), "preset": PRESETS[max(rank, 2)]}
    effort = ("speed", "balanced", "quality")[rank // 3]
    return {"rc": "cqp", "qp_i": str(quality), "qp_p": str(quality), "quality": effort}


def hdr_parameters(name: str, display: MasteringDisplay | None, light: ContentLight | None) -> str:
    """The HDR values as the encoder wants to read them; empty where there are none or it has no such setting."""
    named = {
        "libx264": ("mastering-display", "cll", 50000, 10000),
        "libx265": ("master-display", "max-cll", 50000, 10000),
        "libsvtav1": ("mastering-display", "content-light", 1, 1),
    }
    if name not in named:
        return ""

    display_key, light_key, chromaticity, luminance = named[name]
    parts = []
    if display and display.primaries and display.white and display.luminance:
        red, green, blue = (pair(primary, chromaticity) for primary in display.primaries)
        darkest, brightest = display.luminance
        white = pair(display.white, chromaticity)
        limits = pair((brightest, darkest), luminance)
        parts.append(f"{display_key}=G{green}B{blue}R{red}WP{white}L{limits}")
    if light:
        parts.append(f"{light_key}={light.maximum},{light.average}")
    return ":".join(parts)


def pair(values: tuple[Fraction, Fraction], scale: int) -> str:
    """Two numbers in units of 1/scale, as `(x,y)`; whole numbers unless the scale is 1."""
    numbers = [value * scale for value in values]
    written = [f"{float(value):.5f}" if scale == 1 else str(round(value)) for value in numbers]
    return f"({','.join(written)})"
