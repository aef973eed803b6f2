"""A picture in the pixel format of an encoder: itself, its samples moved, or, where there is no other way, computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from av.video.reformatter import ColorRange, Colorspace, Interpolation

from pipeline.picture.planes import copy_tags, move, moves_exactly, plain, traits

if TYPE_CHECKING:
    import av

    from pipeline.video.info import Colour

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
