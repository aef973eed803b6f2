"""Where the figure ends in a drawing, and the ground goes on behind it.

The generator draws a face and what lies behind it in one picture. Where it does not know how far the jaw goes it draws
something between the two, and that shows as a smear. So a small network looks at what was drawn and says what of it is
the figure: head, hair and body. The smear is parted along the figure's edge: on the one side the face's colours go on
up to it, on the other those of the ground.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.draw.hole import along_edges, composite, resized, rise, square, without_straps
from pipeline.frames import Patch
from pipeline.geometry import CROP_SIZE
from pipeline.picture.pixels import stretched
from pipeline.picture.samples import BT601

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.spec import Engine
    from pipeline.draw.hole import Floats, Image, Shown
    from pipeline.frames import FaceCrop

FIGURE_SIDE = CROP_SIZE // 2
"""Side of what the network says of the figure."""

_COARSE = 64
"""Side at which a surface is found: its colours change slowly."""

_AROUND, _SPREAD = 7, 8.0
"""Side of the square around a pixel in which the ground's roughness is measured, and the sigma with which what is found
around counts for a pixel, in pixels of `_COARSE`."""

_LEAST_PLAIN, _PLAIN_LEVELS = 0.1, 9.0
"""How plain a ground must be somewhere for it to go on as it is; standard deviation of a half plain one, in levels."""

_LEAST = 24
"""Pixels of background in a hole from which on the edge is looked for."""

_SEEN = 0.02
"""Up to so much hole the pixels of the frame are believed up to the edge."""

_PURE_PX = (6.0, 10.0)
"""From how far on either side of the figure's edge nothing of the other side is mixed in: not yet, and surely."""

_ALIKE = 13.0
"""How much face and ground must differ, in 8-bit steps, for their mixture to be believed by half."""

_MIXED, _DOUBT_PX = 0.6, 16.0
"""How much the drawing's own mixture says of where the edge lies; the rest is the network's, over so many pixels."""

_CALM_PX = 3.0, 2.0
"""Sigma of the blurs that take the ripples out of the figure and of its edge, in pixels of the crop."""

_INNER_PX = (12.0, 20.0)
"""How far from its edge the face is cleared of the ground's colours: wholly, and at all."""

_OUTER_PX = (4.0, 12.0)
"""From how far beyond the edge the drawn ground is shown: not yet, and wholly."""

_CLEAR_PX = 4.0
"""How far from the figure's edge nothing of the figure is left in what is seen of the ground."""

_SOFT_PX = 1.0
"""Sigma of the edge's softness, in pixels of the crop: about as in a photo of the crop's size."""

_GHOST_PX = 4
"""How far beyond a mask something of it is seen on the ground."""

_LUMA = np.array([BT601], np.float32)


def with_edges(figure: Engine, shown: Sequence[Shown], faces: Sequence[Image]) -> list[tuple[Image, Image]]:
    """N drawn `faces` (S, S, 3) for what was `shown`, with smooth edges, and each with one where its figure ends.

    And of each (S, S) uint8 1 where the ground is, else 0. Raises `EngineError`.
    """
    holes = [one.hole for one in shown]
    smooth = [along_edges(face, one.hole, one.finer) for face, one in zip(faces, shown, strict=True)]
    drawn = [composite(one.image, face, one.hole) for face, one in zip(smooth, shown, strict=True)]
    figures = figure.run({"drawn": figure_input(drawn)})["figure"][:, 0].astype(np.float32)
    grounds = [(resized(one, CROP_SIZE) < 0.5).astype(np.uint8) for one in figures]
    return list(zip(map(edged, smooth, drawn, holes, figures), grounds, strict=True))


def figure_input(drawn: Sequence[Floats]) -> Floats:
    """(N, 3, S, S) RGB in [0, 1] of N composites (S, S, 3)."""
    feed = np.empty((len(drawn), 3, CROP_SIZE, CROP_SIZE), np.float32)
    for picture, planes in zip(drawn, feed, strict=True):
        for channel, plane in zip(cv2.split(picture), planes, strict=True):
            np.multiply(channel, np.float32(1 / 255), out=plane)
    return feed


def wider_on_ground(mask: Floats, ground: Image | None) -> Floats:
    """(S, S) a crop's `mask` (S, S), its cloth grown where (S, S) the `ground` is 1; None: nobody knows where it is.

    The shade of a mask's outline stays on a wall as a ghost of the mask, and a few pixels of a wall are easily drawn.
    """
    if ground is None:
        return mask
    near = cv2.dilate(without_straps((mask > 0.3).astype(np.uint8)), square(_GHOST_PX))  # beside straps are ears
    return np.maximum(mask, cv2.multiply(near, ground), dtype=np.float32)


def patched(crop: FaceCrop, shown: Shown, face: tuple[Image, Image | None]) -> Patch:
    """What was drawn of `crop`."""
    image, ground = face
    whole = replace(crop, mask=wider_on_ground(crop.mask, ground))
    return Patch(whole, shown.with_rim(image), shown.around, ground)


def carried(crop: FaceCrop, before: Patch) -> Patch:
    """The same, as it was drawn `before`. The mask of a face that is held is the very same array."""
    mask = before.crop.mask if crop.held else wider_on_ground(crop.mask, before.ground)
    return replace(before, crop=replace(crop, mask=mask))


def edged(face: Image, drawn: Floats, hole: Floats, figure: Floats) -> Image:
    """(S, S, 3) the drawn `face` with an edge where the `figure` (S/2, S/2) ends in the `hole` (S, S).

    `drawn` is its composite. The very same array where the hole does not reach the figure's edge.
    """
    calm = np.asarray(cv2.GaussianBlur(figure, (0, 0), _CALM_PX[0] / 2), np.float32)
    whole = resized(calm, CROP_SIZE)
    if cv2.countNonZero(((hole > 0.5) & (whole < 0.5)).astype(np.uint8)) < _LEAST:
        return face

    # Where it matters. Depths are smooth: half the size will do to find it.
    depth = 2 * _depth(calm > 0.5)
    deep = resized(depth, CROP_SIZE)
    near = (deep < _INNER_PX[1]) & (hole > 0)
    left, top, width, height = cv2.boundingRect(near.astype(np.uint8))
    box = np.s_[top : top + height, left : left + width]
    if not width or deep[box][hole[box] > 0].max() < -_OUTER_PX[1] - _DOUBT_PX / 2:  # no figure ends near the hole
        return face

    # The colours of face and ground at the edge, carried there from where they are pure.
    small, seen = (resized(values, FIGURE_SIDE, cv2.INTER_AREA) for values in (drawn, hole))
    skin, ground = (
        _enlarged(_surface(small, np.maximum(rise(away, _PURE_PX), (seen < _SEEN) & (away > 2))), box)
        for away in (depth, -depth)
    )

    # Where the ground that is seen around is plain, it goes on as it is, and nothing else is drawn there.
    bare = ((seen < _SEEN) & (depth < -_CLEAR_PX)).astype(np.float32)
    plain = resized(_plainness(small, bare), CROP_SIZE)[box]
    if plain.max() > _LEAST_PLAIN:
        more = cv2.subtract(_enlarged(_surface(small, bare), box), ground)
        ground += cv2.multiply(more, cv2.merge([plain] * 3))

    # What of each pixel is drawn as face; where face and ground are alike, the network knows better.
    picture = drawn[box]
    to_face, to_picture = skin - ground, picture - ground
    drawn_as = _dot(to_picture, to_face) + _ALIKE**2 * whole[box]
    mixed = np.clip(drawn_as / (_dot(to_face, to_face) + _ALIKE**2), 0, 1)
    believed = np.clip(0.5 + deep[box] / _DOUBT_PX, 0, 1)
    inside = cv2.GaussianBlur(believed + _MIXED * (mixed - believed), (0, 0), _CALM_PX[1]) > 0.5

    # Within the edge what is mixed in of the ground is made good, and shading stays; beyond it the ground goes on.
    within = _depth(inside)
    share = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), _SOFT_PX)
    towards_face = hole[box] * share * (1 - mixed) * (1 - rise(within, _INNER_PX))
    towards_ground = hole[box] * (1 - share) * np.maximum(1 - rise(-within, _OUTER_PX), plain)
    change = cv2.multiply(to_face, cv2.merge([towards_face] * 3))
    change = cv2.subtract(change, cv2.multiply(to_picture, cv2.merge([towards_ground] * 3)))
    changed = face.copy()
    changed[box] = cv2.add(face[box], change, dtype=cv2.CV_8U)
    return changed


def _plainness(values: Floats, known: Floats) -> Floats:
    """(64, 64) in [0, 1]: how plain `values` (S/2, S/2, 3) are around, where they are `known` (S/2, S/2)."""
    luma = np.asarray(cv2.multiply(cv2.transform(values, _LUMA), known), np.float32)
    parts = cv2.merge([luma, cv2.multiply(luma, luma), known])
    sums = cv2.blur(resized(parts, _COARSE, cv2.INTER_AREA), (_AROUND, _AROUND))
    mean, square_mean, _ = cv2.split(sums / (sums[..., 2:] + np.float32(1e-5)))
    rough = np.asarray(sums[..., 2] * np.maximum(square_mean - mean * mean, 0), np.float32)
    spread = cv2.GaussianBlur(cv2.merge([rough, sums[..., 2]]), (0, 0), _SPREAD)
    return np.asarray(np.exp(spread[..., 0] / (spread[..., 1] + 1e-5) * (-1 / _PLAIN_LEVELS**2)), np.float32)


def _enlarged(smooth: Floats, box: tuple[slice, slice]) -> Floats:
    """The `box` (h, w, 3) of a crop of what is a `smooth` surface (64, 64, 3) over all of it."""
    # Enlarged around the box alone, with a pixel more where there is one.
    times = CROP_SIZE // _COARSE
    firsts = [max(side.start // times - 1, 0) for side in box]
    ends = [min(-(-side.stop // times) + 1, _COARSE) for side in box]
    part = smooth[firsts[0] : ends[0], firsts[1] : ends[1]]
    enlarged = cv2.resize(part, (times * part.shape[1], times * part.shape[0]))
    rows, columns = (slice(s.start - times * f, s.stop - times * f) for s, f in zip(box, firsts, strict=True))
    return np.asarray(enlarged[rows, columns], np.float32)


def _surface(values: Floats, known: Floats) -> Floats:
    """(64, 64, 3) `values` (S/2, S/2, 3) where they are `known` (S/2, S/2), between them a smooth surface."""
    weight = known + np.float32(1e-5)
    return stretched(
        resized(cv2.merge([cv2.multiply(values, cv2.merge([weight] * 3)), weight]), _COARSE, cv2.INTER_AREA)
    )


def _depth(inside: NDArray[np.bool_]) -> Floats:
    """(h, w) how far each pixel lies within `inside` (h, w), in pixels; below 0, beyond it; never more than a crop."""
    inwards, outwards = (cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 3) for side in (inside, ~inside))
    return np.asarray(np.clip(inwards - outwards, -CROP_SIZE, CROP_SIZE), np.float32)


def _dot(first: Floats, second: Floats) -> Floats:
    """(h, w) the products of the colours (h, w, 3) of two pictures."""
    return np.asarray(cv2.transform(cv2.multiply(first, second), np.ones((1, 3), np.float32)), np.float32)
