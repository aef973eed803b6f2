"""The hole that the generator fills in a crop, how smooth edges in it run, and the one between figure and ground.

The generator draws a face and what lies behind it in one picture. Where it does not know how far the jaw goes it draws
something between the two, and that shows as a smear. So a small network looks at what was drawn and says what of it is
the figure: head, hair and body. The smear is parted along the figure's edge: on the one side the face's colours go on
up to it, on the other those of the ground.

The edges that it draws are ragged: it knows where a jaw goes to a few pixels, and its grain breaks the line. So what
was drawn is smoothed along its edges, after Kyprianidis and Kang, Image and Video Abstraction by Coherence-Enhancing
Filtering, 2011: a jaw becomes one line, and no edge gets softer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.frames import Patch
from pipeline.geometry import CANONICAL_LANDMARKS, CROP_SIZE, NOSE
from pipeline.picture.pixels import write_colours
from pipeline.picture.samples import BT601

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.spec import Engine
    from pipeline.frames import FaceCrop, Surroundings
    from pipeline.picture.samples import Values

    Floats = NDArray[np.float32]
    Image = NDArray[np.uint8]

GROW_PX = 4
"""How far the hole reaches beyond a mask where a network is validated, and by default in use."""

_STRAP_PX, _STRAP_GROW_PX = 13, 3
"""A part of a mask that is narrower than the first is a strap; the hole reaches the second beyond it."""

_EYE_PX, _EYE_GROW_PX = (20, 10), 2
"""How far an eye reaches across and down from its middle, and how far the hole may reach beyond a mask there."""

FIGURE_SIDE = CROP_SIZE // 2
"""Side of what the network says of the figure."""

_LEAST = 24
"""Pixels of background in a hole from which on the edge is looked for."""

_SEEN = 0.02
"""Up to so much hole the pixels of the frame are believed up to the edge."""

_COARSE = 64
"""Side at which colours are carried to the edge: they change slowly."""

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

_AROUND = 7
"""Side of the square around a pixel in which the ground's roughness is measured, in pixels of `_COARSE`."""

_SPREAD = 8.0
"""Sigma with which what is said of the ground around counts for a pixel, in pixels of `_COARSE`."""

_LEAST_PLAIN, _PLAIN_LEVELS = 0.1, 9.0
"""How plain a ground must be somewhere for it to go on as it is; standard deviation of a half plain one, in levels."""

_SOFT_PX = 1.0
"""Sigma of the edge's softness, in pixels of the crop: about as in a photo of the crop's size."""

_LUMA = np.array([BT601], np.float32)

_GREY_LEVELS, _COLOURED = 8, 0.1
"""How far a grey pixel's channels lie apart at most, and from what share of other pixels on a picture has colours."""

_ALONG_PX, _ALONG_SIGMA = (2.0, 4.0), 2.6
"""How far along an edge, either way, the pixels lie that are averaged, and how fast they count less."""

_SLOPE = 4.0
"""Levels a pixel of the crop from which a slope that leads one way is an edge."""

_ONE_WAY = (0.05, 0.6)
"""How much slopes must lead one way for what was drawn to be smoothed along them: not yet, and wholly."""

_GHOST_PX = 4
"""How far beyond a mask something of it is seen on the ground."""

_FINER = (0.8, 1.2)
"""Pixels of the frame for one of the crop from which edges are smoothed: not yet, and wholly."""

_NOSE_AND_MOUTH_PX = (44.0, 38.0)
"""How far nose and mouth reach across and down from their middle: gaps between teeth run across lips, and stay."""


@dataclass(frozen=True)
class Shown:
    """What the generator is shown of a face."""

    image: Image
    """(S, S, 3) uint8 RGB."""
    hole: Floats
    """(S, S) in [0, 1]: what it fills."""
    finer: float
    """How many pixels of the frame one of the image is across."""
    around: Surroundings | None = None
    """What it drew before around the crop, of which `image` has the rim; None where the mask ends within."""

    def with_rim(self, face: Image) -> Image:
        """(S, S, 3) the drawn `face` (S, S, 3) with the rim of what is around it."""
        return face if self.around is None else filled(self.image, face, self.hole)

    def coloured(self, face: Image) -> Image:
        """(S, S, 3) the drawn `face`, in black and white where all around it is: a network tints it a little."""
        first, second, third = cv2.split(self.image[::4, ::4])
        spread = cv2.max(cv2.max(first, second), third) - cv2.min(cv2.min(first, second), third)
        seen = spread[self.hole[::4, ::4] == 0]
        share = float((seen > _GREY_LEVELS).mean()) / _COLOURED if len(seen) else 1.0
        if share >= 1:
            return face
        luma = cv2.merge([cv2.transform(face, _LUMA)] * 3)
        return np.asarray(cv2.addWeighted(luma, 1 - share, face, share, 0), np.uint8)


def hole_of(mask: Floats, grow_px: int = GROW_PX, *, aligned: bool = True) -> Floats:
    """(S, S) in [0, 1], what the generator fills: the mask's likely pixels, grown by `grow_px` and softened.

    Straps grow less: they throw no shadow, and an ear that the hole hides whole would not be drawn. Least grows over
    the eyes, which lie where they should in a crop that is `aligned` to the face.
    """
    likely = (mask > 0.3).astype(np.uint8)
    cloth = cv2.dilate(_without_straps(likely), _square(grow_px))
    hole = cv2.max(cloth, cv2.dilate(likely, _square(min(grow_px, _STRAP_GROW_PX))))
    if aligned:
        cv2.copyTo(cv2.dilate(likely, _square(min(grow_px, _EYE_GROW_PX))), _eyes(), hole)
    return np.asarray(cv2.blur(hole.astype(np.float32), (3, 3)), np.float32)


@lru_cache(maxsize=1)
def _eyes() -> Image:
    """(S, S) 1 on the eyes, 0 elsewhere."""
    eyes = np.zeros((CROP_SIZE, CROP_SIZE), np.uint8)
    for middle in np.rint(CANONICAL_LANDMARKS[:2]).astype(int).tolist():
        cv2.ellipse(eyes, middle, _EYE_PX, 0, 0, 360, 1, -1)
    return eyes


def _square(radius: int) -> Image:
    """(2 * radius + 1, the same) of ones: holes grow so in training, and in an eighth of a disc's time."""
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


def _without_straps(mask: Image) -> Image:
    """(S, S) what of a `mask` (S, S) of ones is wider than a strap."""
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, _square(_STRAP_PX // 2)), np.uint8)


def generator_input(images: Sequence[Image], holes: Sequence[Floats]) -> Floats:
    """(N, 4, S, S): RGB in [-1, 1] of the images (S, S, 3) of N crops, and their `holes` (S, S) in [0, 1]."""
    feed = np.empty((len(images), 4, CROP_SIZE, CROP_SIZE), np.float32)
    for image, hole, planes in zip(images, holes, feed, strict=True):
        write_colours(image, planes[:3])
        planes[3] = hole
    return feed


def with_edges(figure: Engine, shown: Sequence[Shown], faces: Sequence[Image]) -> list[tuple[Image, Image]]:
    """N drawn `faces` (S, S, 3) for what was `shown`, with smooth edges, and each with one where its figure ends.

    And of each (S, S) uint8 1 where the ground is, else 0. Raises `EngineError`.
    """
    holes = [one.hole for one in shown]
    smooth = [along_edges(face, one.hole, one.finer) for face, one in zip(faces, shown, strict=True)]
    drawn = [composite(one.image, face, one.hole) for face, one in zip(smooth, shown, strict=True)]
    figures = figure.run({"drawn": figure_input(drawn)})["figure"][:, 0].astype(np.float32)
    grounds = [(_resized(one, CROP_SIZE) < 0.5).astype(np.uint8) for one in figures]
    return list(zip(map(edged, smooth, drawn, holes, figures), grounds, strict=True))


def wider_on_ground(mask: Floats, ground: Image | None) -> Floats:
    """(S, S) a crop's `mask` (S, S), its cloth grown where (S, S) the `ground` is 1; None: nobody knows where it is.

    The shade of a mask's outline stays on a wall as a ghost of the mask, and a few pixels of a wall are easily drawn.
    """
    if ground is None:
        return mask
    near = cv2.dilate(_without_straps((mask > 0.3).astype(np.uint8)), _square(_GHOST_PX))  # beside straps are ears
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


def along_edges(face: Image, hole: Floats, finer: float) -> Image:
    """(S, S, 3) the drawn `face`, smoothed along its edges in the `hole` (S, S), but for nose and mouth.

    The frame is so much `finer`: in a small face nobody sees ragged edges.
    """
    left, top, width, height = cv2.boundingRect((hole > 0).astype(np.uint8))
    strength = float(np.clip((finer - _FINER[0]) / (_FINER[1] - _FINER[0]), 0, 1))
    if not width or strength == 0:
        return face
    box = np.s_[top : top + height, left : left + width]
    drawn = np.ascontiguousarray(face[box])

    # Which way edges lead is said by the structure tensor, at half the size: more than the grain's own width around.
    luma = cv2.GaussianBlur(cv2.transform(drawn, _LUMA).astype(np.float32), (5, 5), 0.8)
    across, down = (cv2.Scharr(luma, cv2.CV_32F, x, 1 - x, scale=1 / 32) for x in (1, 0))
    products = cv2.merge([across * across, down * down, across * down])
    half = (width + 1) // 2, (height + 1) // 2
    tensor = cv2.GaussianBlur(cv2.resize(products, half, interpolation=cv2.INTER_AREA), (9, 9), 1.5)
    xx, yy, xy = cv2.split(tensor)
    lead = cv2.sqrt((xx - yy) ** 2 + 4 * xy * xy) / (xx + yy + np.float32(_SLOPE**2))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)  # of the slope; the edge runs at right angles to it
    # Half a turn lies between two angles of one line, so they can't be averaged.
    turn = cv2.resize(cv2.merge([-np.sin(angle), np.cos(angle)]), (width, height), interpolation=cv2.INTER_NEAREST)

    # What lies on the edge before and behind each pixel.
    step_x, step_y = cv2.split(turn)
    x, y = (grid[:height, :width] for grid in _positions())
    total: Values = drawn.astype(np.float32)
    weights = 1.0
    for distance in _ALONG_PX:
        weight = float(np.exp(-0.5 * (distance / _ALONG_SIGMA) ** 2))
        weights += 2 * weight
        for far in (distance, -distance):
            place_x, place_y = cv2.scaleAdd(step_x, far, x), cv2.scaleAdd(step_y, far, y)
            beside = cv2.remap(drawn, place_x, place_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            total = cv2.addWeighted(total, 1, beside, weight, 0, dtype=cv2.CV_32F)

    share = (
        cv2.resize(_rise(lead.astype(np.float32, copy=False), _ONE_WAY), (width, height))
        * _around_mouth()[box]
        * np.float32(strength)
    )
    change = cv2.multiply(cv2.addWeighted(total, 1 / weights, drawn, -1, 0, dtype=cv2.CV_32F), cv2.merge([share] * 3))
    smooth = face.copy()
    smooth[box] = cv2.add(drawn, change, dtype=cv2.CV_8U)
    return smooth


@lru_cache(maxsize=1)
def _positions() -> tuple[Floats, Floats]:
    """(S, S) how far across each pixel of a crop lies, and (S, S) how far down."""
    down, across = np.mgrid[:CROP_SIZE, :CROP_SIZE].astype(np.float32)
    return across, down


@lru_cache(maxsize=1)
def _around_mouth() -> Floats:
    """(S, S) 0 where a crop has nose and mouth, 1 away from them."""
    middle, grids = CANONICAL_LANDMARKS[NOSE:].mean(axis=0), _positions()
    away = ((grid - at) / reach for grid, at, reach in zip(grids, middle, _NOSE_AND_MOUTH_PX, strict=True))
    return _rise(np.asarray(np.hypot(*away), np.float32), (0.8, 1.2))


def filled(image: Image, face: Image, hole: Floats) -> Image:
    """(S, S, 3) an `image` (S, S, 3) with the drawn `face` (S, S, 3) in its `hole` (S, S)."""
    return np.asarray(cv2.convertScaleAbs(composite(image, face, hole)), np.uint8)


def composite(image: Image, face: Image, hole: Floats) -> Floats:
    """(S, S, 3) the drawn `face` in the `hole` (S, S) of a crop's `image`."""
    left, top, width, height = cv2.boundingRect((hole > 0).astype(np.uint8))
    box = np.s_[top : top + height, left : left + width]
    drawn = image.astype(np.float32)
    if width:
        more = cv2.multiply(cv2.subtract(face[box], image[box], dtype=cv2.CV_32F), cv2.merge([hole[box]] * 3))
        drawn[box] += more
    return drawn


def figure_input(drawn: Sequence[Floats]) -> Floats:
    """(N, 3, S, S) RGB in [0, 1] of N composites (S, S, 3)."""
    feed = np.empty((len(drawn), 3, CROP_SIZE, CROP_SIZE), np.float32)
    for picture, planes in zip(drawn, feed, strict=True):
        for channel, plane in zip(cv2.split(picture), planes, strict=True):
            np.multiply(channel, np.float32(1 / 255), out=plane)
    return feed


def edged(face: Image, drawn: Floats, hole: Floats, figure: Floats) -> Image:
    """(S, S, 3) the drawn `face` with an edge where the `figure` (S/2, S/2) ends in the `hole` (S, S).

    `drawn` is its composite. The very same array where the hole does not reach the figure's edge.
    """
    calm = np.asarray(cv2.GaussianBlur(figure, (0, 0), _CALM_PX[0] / 2), np.float32)
    whole = _resized(calm, CROP_SIZE)
    if cv2.countNonZero(((hole > 0.5) & (whole < 0.5)).astype(np.uint8)) < _LEAST:
        return face

    # Where it matters. Depths are smooth: half the size will do to find it.
    depth = 2 * _depth(calm > 0.5)
    deep = _resized(depth, CROP_SIZE)
    near = (deep < _INNER_PX[1]) & (hole > 0)
    left, top, width, height = cv2.boundingRect(near.astype(np.uint8))
    box = np.s_[top : top + height, left : left + width]
    if not width or deep[box][hole[box] > 0].max() < -_OUTER_PX[1] - _DOUBT_PX / 2:  # no figure ends near the hole
        return face

    # The colours of face and ground at the edge, carried there from where they are pure.
    small, seen = (_resized(values, FIGURE_SIDE, cv2.INTER_AREA) for values in (drawn, hole))
    skin, ground = (
        _carried(small, np.maximum(_rise(away, _PURE_PX), (seen < _SEEN) & (away > 2)), box) for away in (depth, -depth)
    )

    # Where the ground that is seen around is plain, it goes on as it is, and nothing else is drawn there.
    bare = ((seen < _SEEN) & (depth < -_CLEAR_PX)).astype(np.float32)
    plain = _resized(_plainness(small, bare), CROP_SIZE)[box]
    if plain.max() > _LEAST_PLAIN:
        more = cv2.subtract(_carried(small, bare, box), ground)
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
    towards_face = hole[box] * share * (1 - mixed) * (1 - _rise(within, _INNER_PX))
    towards_ground = hole[box] * (1 - share) * np.maximum(1 - _rise(-within, _OUTER_PX), plain)
    change = cv2.multiply(to_face, cv2.merge([towards_face] * 3))
    change = cv2.subtract(change, cv2.multiply(to_picture, cv2.merge([towards_ground] * 3)))
    changed = face.copy()
    changed[box] = cv2.add(face[box], change, dtype=cv2.CV_8U)
    return changed


def _plainness(values: Floats, known: Floats) -> Floats:
    """(64, 64) in [0, 1]: how plain `values` (S/2, S/2, 3) are around, where they are `known` (S/2, S/2)."""
    luma = np.asarray(cv2.multiply(cv2.transform(values, _LUMA), known), np.float32)
    parts = cv2.merge([luma, cv2.multiply(luma, luma), known])
    sums = cv2.blur(_resized(parts, _COARSE, cv2.INTER_AREA), (_AROUND, _AROUND))
    mean, square, _ = cv2.split(sums / (sums[..., 2:] + np.float32(1e-5)))
    rough = np.asarray(sums[..., 2] * np.maximum(square - mean * mean, 0), np.float32)
    spread = cv2.GaussianBlur(cv2.merge([rough, sums[..., 2]]), (0, 0), _SPREAD)
    return np.asarray(np.exp(spread[..., 0] / (spread[..., 1] + 1e-5) * (-1 / _PLAIN_LEVELS**2)), np.float32)


def _depth(inside: NDArray[np.bool_]) -> Floats:
    """(h, w) how far each pixel lies within `inside` (h, w), in pixels; below 0, beyond it; never more than a crop."""
    sides = (cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 3) for side in (inside, ~inside))
    inwards, outwards = sides
    return np.asarray(np.clip(inwards - outwards, -CROP_SIZE, CROP_SIZE), np.float32)


def _carried(values: Floats, known: Floats, box: tuple[slice, slice]) -> Floats:
    """The `box` of a crop: `values` (S/2, S/2, 3) where they are `known` (S/2, S/2), between them a smooth surface."""
    weight = known + np.float32(1e-5)
    both = cv2.merge([cv2.multiply(values, cv2.merge([weight] * 3)), weight])
    levels = [_resized(both, _COARSE, cv2.INTER_AREA)]
    while levels[-1].shape[0] > 2:
        levels.append(np.asarray(cv2.pyrDown(levels[-1]), np.float32))

    surface = levels[-1][..., :3] / levels[-1][..., 3:]
    for level in levels[-2::-1]:
        total = level[..., 3:]
        finer = np.asarray(cv2.pyrUp(surface), np.float32)
        surface = finer + np.minimum(2 * total, 1) * (level[..., :3] / total - finer)

    # Enlarged around the box alone, with a pixel more where there is one.
    times = CROP_SIZE // _COARSE
    firsts = [max(side.start // times - 1, 0) for side in box]
    ends = [min(-(-side.stop // times) + 1, _COARSE) for side in box]
    part = surface[firsts[0] : ends[0], firsts[1] : ends[1]]
    enlarged = cv2.resize(part, (times * part.shape[1], times * part.shape[0]))
    rows, columns = (slice(s.start - times * f, s.stop - times * f) for s, f in zip(box, firsts, strict=True))
    return np.asarray(enlarged[rows, columns], np.float32)


def _resized(values: Values, side: int, method: int = cv2.INTER_LINEAR) -> Floats:
    """(side, side, ...) `values` (S, S, ...)."""
    return cv2.resize(values, (side, side), interpolation=method).astype(np.float32, copy=False)


def _dot(first: Floats, second: Floats) -> Floats:
    """(h, w) the products of the colours (h, w, 3) of two pictures."""
    return np.asarray(cv2.transform(cv2.multiply(first, second), np.ones((1, 3), np.float32)), np.float32)


def _rise(values: Floats, ends: tuple[float, float]) -> Floats:
    """0 up to the first of `ends`, 1 from the second on, smooth between."""
    share = np.clip((values - ends[0]) / (ends[1] - ends[0]), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)
