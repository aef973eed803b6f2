"""Pictures in the size and pixel format that the next one takes: the pipeline after the decoder, the encoder after it.

Most files need nothing, and then the decoder's own picture passes through untouched. Interlaced video is deinterlaced
here, one picture for each frame: a patch drawn on a frame that holds two moments in alternate rows would be wrong in
both. A change of size or pixel format in mid-stream is scaled to what the stream began with, since an output stream has
one size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.filter import Graph
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from pipeline.picture.formats import moves_exactly, plain, traits
from pipeline.picture.planes import copy_tags, moment, move, turn_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.video.info import Colour, SourceInfo

Picture = av.VideoFrame
Warn = Callable[[str], None]


def conform(pictures: Iterator[Picture], info: SourceInfo, warn: Warn) -> Iterator[Picture]:
    """Each picture as `info` promises it: `width`, `height` and `pixel_format`, same time, same order.

    `warn` is told, once each, what had to be changed.
    """
    if not info.turn.nothing:
        warn(f"the pictures are stored {info.turn}; they are turned upright and the output needs no rotation tag")
    for picture in deinterlace(one_shape(pictures, info, warn), warn):
        yield upright(working(picture, info, warn), info)


def one_shape(pictures: Iterator[Picture], info: SourceInfo, warn: Warn) -> Iterator[Picture]:
    """Pictures of the size and format with which the stream began; others are scaled to fit."""
    width, height = info.turn.size(info.width, info.height)
    shape = (width, height, info.stored_format)
    graphs: dict[tuple[int, int, str], Graph] = {}
    for picture in pictures:
        found = (picture.width, picture.height, picture.format.name)
        if found == shape:
            yield picture
            continue
        if found not in graphs:
            seconds = float(moment(picture))
            warn(
                f"at {seconds:.3f} s the video changes from {named(shape)} to {named(found)}; it is scaled back to fit"
            )
            graphs[found] = graph_fitting(picture, shape)
        yield fitted(graphs[found], picture)


def graph_fitting(picture: Picture, shape: tuple[int, int, str]) -> Graph:
    """Scales pictures like this one to fit into `shape` (width, height, format), black beside them."""
    width, height, name = shape
    scaled = f"{width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2:flags=bicubic"
    return graph_for(picture, ("scale", scaled), ("pad", f"{width}:{height}:-1:-1"), ("format", name))


def fitted(graph: Graph, picture: Picture) -> Picture:
    """The picture that `graph` makes of this one, with its tags."""
    graph.vpush(picture)
    scaled = graph.vpull()
    copy_tags(picture, scaled)
    return scaled


def named(shape: tuple[int, int, str]) -> str:
    """Such as `640x480 yuv420p`."""
    return f"{shape[0]}x{shape[1]} {shape[2]}"


def graph_for(picture: Picture, *filters: tuple[str, str]) -> Graph:
    """A chain of libavfilter filters for pictures like this one."""
    graph = Graph()
    graph.threads = ONE_THREAD
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
    )
    nodes = [source, *(graph.add(name, arguments) for name, arguments in filters), graph.add("buffersink")]
    graph.link_nodes(*nodes).configure()
    return graph


def deinterlace(pictures: Iterator[Picture], warn: Warn) -> Iterator[Picture]:
    """Progressive pictures: interlaced ones by bwdif, one for each, others as they are."""
    graph: Graph | None = None
    waiting: deque[Picture] = deque()
    for picture in pictures:
        if graph is None and picture.interlaced_frame:
            warn("the video is interlaced; it is deinterlaced (bwdif), one picture for each frame")
            graph = graph_for(picture, ("bwdif", "mode=send_frame:parity=auto:deint=interlaced"))
        if graph is None:
            yield picture
            continue
        waiting.append(picture)
        graph.vpush(picture)
        yield from finished(graph, waiting)
    if graph is not None:
        graph.vpush(None)
        yield from finished(graph, waiting)


def finished(graph: Graph, waiting: deque[Picture]) -> Iterator[Picture]:
    """What the filter has ready: one picture for each that waits, in order, with that one's tags."""
    while True:
        try:
            picture = graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        copy_tags(waiting.popleft(), picture)
        yield picture


def working(picture: Picture, info: SourceInfo, warn: Warn) -> Picture:
    """The picture in a format that can be blended in."""
    if picture.format.name != info.working_format:
        warn(f"pictures come as {info.stored_format}; they are processed as {info.working_format}")
    return in_format(picture, info.working_format)


def in_format(picture: Picture, target: str) -> Picture:
    """The picture in pixel format `target`, the nearest that can be blended in: itself if it has it."""
    if picture.format.name == target:
        return picture
    # Without interpolation: a coarser grid of chroma is copied into the finer one, not smoothed.
    converted = picture.reformat(format=target, interpolation=Interpolation.POINT, threads=ONE_THREAD)
    copy_tags(picture, converted)
    return converted


def upright(picture: Picture, info: SourceInfo) -> Picture:
    """The picture turned as its display matrix asks, and top row first."""
    bottom_up = any(plane.line_size < 0 for plane in picture.planes)
    return picture if info.turn.nothing and not bottom_up else turn_frame(picture, info.turn)


TICK = Fraction(1, 1_000_000)


class Fitter:
    """Gives every picture the size and format of the first. Used by one thread."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """`say` is told, once for each size, what is scaled."""
        self._say = say
        self._shape: tuple[int, int, str] | None = None
        self._graphs: dict[tuple[int, int, str], Graph] = {}

    def __call__(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture itself when it has that size and format."""
        found = (picture.width, picture.height, picture.format.name)
        if self._shape is None:
            self._shape = found
        if found == self._shape:
            return picture
        if found not in self._graphs:
            size = f"{found[0]}x{found[1]}"
            self._say(
                f"the camera now sends {named(found)} instead of {named(self._shape)}; it is scaled to fit. "
                f"To have it whole, end and start again with --size {size}"
            )
            picture.time_base = picture.time_base or TICK
            self._graphs[found] = graph_fitting(picture, self._shape)
        return fitted(self._graphs[found], picture)


SWSCALE_MATRIX = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
"""From FFmpeg's numbers for a matrix; BT.709 is assumed where none is named."""

ONE_THREAD = 1
"""For swscale: with more, FFmpeg 8.1 leaves a row grey at the seam of two slices about once in 2000 pictures."""

SMOOTH = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def converted(picture: av.VideoFrame, target: str, colour: Colour) -> av.VideoFrame:
    """The picture in pixel format `target`, whose numbers mean what `colour` says.

    The picture itself when it is in that format already; no sample changes its value where the formats allow that.
    """
    source = picture.format.name
    if source == target:
        return picture
    if plain(source) == plain(target) or moves_exactly(source, target):
        return move(picture, target)
    matrix = SWSCALE_MATRIX.get(colour.matrix, Colorspace.ITU709)
    full = colour.range == ColorRange.JPEG
    source_full = full if traits(source).rgb == traits(target).rgb else traits(source).rgb
    computed = picture.reformat(
        format=target,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=ColorRange.JPEG if source_full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        interpolation=SMOOTH,
        threads=ONE_THREAD,
    )
    copy_tags(picture, computed)
    return computed
