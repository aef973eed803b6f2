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
Shape = tuple[int, int, str]
"""Width, height and pixel format."""
Warn = Callable[[str], None]

TICK = Fraction(1, 1_000_000)

SWSCALE_MATRIX = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
"""swscale's matrix for each of FFmpeg's numbers; BT.709 is assumed where none is named."""

ONE_THREAD = 1
"""swscale's threads: with more, FFmpeg 8.1 leaves a row grey at the seam of two slices about once in 2000 pictures."""

SMOOTH = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def conform(pictures: Iterator[Picture], info: SourceInfo, warn: Warn) -> Iterator[Picture]:
    """Each picture as `info` promises it: `width`, `height` and `pixel_format`, same time, same order.

    `warn` gets one sentence for each kind of change that had to be made.
    """
    if not info.turn.nothing:
        warn(f"the pictures are stored {info.turn}; they are turned upright and the output needs no rotation tag")

    def size_changes(picture: Picture, first: Shape) -> None:
        at = f"at {float(moment(picture)):.3f} s"
        warn(f"{at} the video changes from {named(first)} to {named(shape_of(picture))}; it is scaled back to fit")

    fit = Fitter(size_changes, (*info.turn.size(info.width, info.height), info.stored_format))
    for picture in deinterlace(map(fit, pictures), warn):
        yield upright(working(picture, info, warn), info)


class Fitter:
    """Scales every picture to fit into one size and format, with black beside it. Used by one thread."""

    def __init__(self, report: Callable[[Picture, Shape], None], shape: Shape | None = None) -> None:
        """Fit into `shape`, or into that of the first picture.

        `report` is called once for each other shape, with its first picture and the shape that it is scaled to.
        """
        self._report = report
        self._shape = shape
        self._graphs: dict[Shape, Graph] = {}

    def __call__(self, picture: Picture) -> Picture:
        """The picture itself when it has that size and format."""
        found = shape_of(picture)
        self._shape = self._shape or found
        if found == self._shape:
            return picture

        if found not in self._graphs:
            picture.time_base = picture.time_base or TICK
            self._report(picture, self._shape)
            self._graphs[found] = graph_fitting(picture, self._shape)
        graph = self._graphs[found]
        graph.vpush(picture)
        fitted = graph.vpull()
        copy_tags(picture, fitted)
        return fitted


def shape_of(picture: Picture) -> Shape:
    """Width, height and pixel format of a picture."""
    return picture.width, picture.height, picture.format.name


def named(shape: Shape) -> str:
    """A shape in words, such as `640x480 yuv420p`."""
    return f"{shape[0]}x{shape[1]} {shape[2]}"


def graph_fitting(picture: Picture, shape: Shape) -> Graph:
    """A graph that scales pictures like this one to fit into `shape`, black beside them."""
    width, height, name = shape
    scaled = f"{width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2:flags=bicubic"
    return graph_for(picture, ("scale", scaled), ("pad", f"{width}:{height}:-1:-1"), ("format", name))


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
    """Progressive pictures: each interlaced one goes through bwdif, the others stay as they are."""
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
    rewritten = picture.reformat(format=target, interpolation=Interpolation.POINT, threads=ONE_THREAD)
    copy_tags(picture, rewritten)
    return rewritten


def upright(picture: Picture, info: SourceInfo) -> Picture:
    """The picture turned as its display matrix asks, and top row first."""
    bottom_up = any(plane.line_size < 0 for plane in picture.planes)
    return picture if info.turn.nothing and not bottom_up else turn_frame(picture, info.turn)


def converted(picture: Picture, target: str, colour: Colour) -> Picture:
    """The picture in an encoder's pixel format `target`, whose numbers mean what `colour` says.

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
