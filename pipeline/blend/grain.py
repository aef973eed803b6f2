"""Fine detail for what was drawn: the texture of the face's own skin, and the grain of its frame.

A network draws 256 pixels across; a face in a close-up has a thousand, with pores, and every frame has the noise of its
sensor and the dirt of its compression. Without them the drawn part is a soft patch in a sharp face. So the energy of
each octave of detail is measured on visible skin and on what was drawn, and what is missing is filled in from two
sources:

- texture, which belongs to the face: quilted once from blocks of the face's own visible skin, and moving with it;
- grain, which belongs to the picture: noise that is new in every frame.

How much of each is added follows from how much the skin's detail changes from one frame to the next.

What is no texture, the edges of lips, nostrils and jaw, is soft too: `steeper` makes them as steep as the pixels allow,
as far as the eyes above them are sharp.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.blend.texture import (
    BLOCK,
    CALM,
    Bands,
    Region,
    SkinMap,
    block_energies,
    crispness,
    drawn_skin,
    gains_for,
    interplay,
    merge,
    noise,
    noise_piece,
    percentile,
    quilt,
    visible_skin,
)
from pipeline.geometry import CROP_SIZE, Affine
from pipeline.picture.pixels import FIELD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipeline.blend.hole import Place
    from pipeline.picture.samples import Values

_EVERY = 12
"""Frames from one measurement to the next. Lower it and a change of focus or light is met sooner, for more work."""

_MOST_OCTAVES = 6

_CANVAS = (24, 64, 232, 256)
"""left, top, right, bottom of the crop that the texture covers: wherever a mask may hang."""

_RESCALED = 1.4
"""When the face has grown or shrunk by this factor in the frame, its texture is quilted anew."""

_SMALLEST = 0.2
"""Samples for each pixel of the crop below which a face is a dozen samples wide and has no detail to speak of."""

_SURE_SKIN = 1.6
"""What looks like skin by this factor less than certain gets its whole texture."""

_UNSEEN = 0.1
"""A change of gain of this share of the largest is not worth merging the texture anew."""

_CHANCE = 0.8
"""The least of plain noise's mean square that its calm blocks are taken to have."""

STEEPER_FROM = 1.25
"""Samples for each pixel of the crop from which edges are made steeper: in a smaller face a drawing is sharp enough."""

FINER = 2
"""Pixels for each one of the crop, across and down, of the grid on which edges are made steeper."""

_EDGE = 10.0
"""Levels a pixel of the crop from which a slope is an edge rather than a shade."""

_PULL, _BOOST = 24.0, 1.4
"""How far an edge's sides are pulled together, and what is added of what stands out there."""

_OUTLINE = 4.0
"""By how many levels what stands out may do so: more and a jaw gets an outline."""

_SOFT, _CRISP = 0.15, 0.45
"""The crispness of a picture up to which edges stay as drawn, and from which they are wholly steeper: a picture that
was enlarged has 0.2, a sharp one 0.5 and more."""

_CROP_FROM_MAP = Affine.resize(CROP_SIZE / FIELD_SIZE)


def steeper(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """What to add to `luma` (h, w), in 8-bit levels, enlarged to (FINER * h, FINER * w), for steeper edges.

    Near an edge brightness moves towards the edge, as when a picture is warped (Arad and Gotsman, Enhancement by
    image-dependent warping, 1999, here to the first order), and what stands out is raised. Where there is no edge
    nothing changes, so neither noise nor a network's pattern is raised with it.
    """
    # Where the edges are changes slowly, and is found at the size of the crop.
    across, down = _slopes(cv2.GaussianBlur(luma, (3, 3), 0.6))
    square: Values = cv2.add(cv2.multiply(across, across), cv2.multiply(down, down))
    found = cv2.GaussianBlur(square / (square + np.float32(_EDGE**2)), (5, 5), 1.0)  # in [0, 1]

    size = (FINER * luma.shape[1], FINER * luma.shape[0])
    edge = cv2.resize(found, size)
    fine = cv2.resize(luma, size, interpolation=cv2.INTER_CUBIC)
    across, down = _slopes(cv2.GaussianBlur(fine, (7, 7), 1.2))

    # In place, since temporaries of this size cost more than the sums.
    change = cv2.GaussianBlur(fine, (11, 11), 2.5)
    cv2.subtract(fine, change, change)
    cv2.multiply(change, edge, change, scale=_BOOST)
    for slope, edge_slope in zip((across, down), _slopes(edge), strict=True):
        cv2.multiply(slope, edge_slope, slope, scale=_PULL)
        cv2.subtract(change, slope, change)

    # Nothing gets much brighter or darker than what is near it, or a jaw before dark hair has an outline.
    for reach, nearer, sign in ((cv2.dilate, cv2.min, 1), (cv2.erode, cv2.max, -1)):
        near = cv2.resize(reach(luma, np.ones((3, 3), np.uint8)), size)
        nearer(change, cv2.subtract(near, fine) + np.float32(sign * _OUTLINE), change)
    return np.asarray(change, np.float32)


def _slopes(values: Values) -> tuple[Values, Values]:
    """The slopes of `values` across and down, a pixel."""
    return cv2.Scharr(values, cv2.CV_32F, 1, 0, scale=1 / 32), cv2.Scharr(values, cv2.CV_32F, 0, 1, scale=1 / 32)


class SkinDetail:
    """The fine detail of one face: what was measured, and the texture. One for each track, kept as long as it lasts."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._frames = 0
        self._scale = 0.0
        self._octaves = 0

        # What was measured.
        self._skin: NDArray[np.float64] | None = None
        """(octaves,) mean squares of visible skin; None until enough of it was seen."""
        self._trust = 0.0
        """How much `_skin` is trusted, in [0, 1]."""
        self._drawn = np.zeros(0)
        """(octaves,) mean squares of what was drawn."""
        self._grain_share: NDArray[np.float64] | None = None
        """(octaves,) in [0, 1]: how much of the skin's detail is new in every frame."""
        self._before: tuple[Region, Affine] | None = None

        self._crispness: float | None = None
        """How sharp the eyes are; None until they were seen."""
        self._until_look = 0

        # What is filled in.
        self._texture: Bands = []
        self._canvas_from_crop = Affine(np.eye(2, 3))
        self._interplay = np.zeros((0, 0, 0))
        self._still_gains = np.zeros(0, np.float32)
        self._still = np.zeros((0, 0), np.float32)
        """The texture with its gains, mirrored at the canvas's border."""
        self._still_from_crop = self._canvas_from_crop
        self._grain_gains = np.zeros(0, np.float32)
        self._grain, self._corner = np.zeros((0, 0), np.float32), (0, 0)
        """The grain of the frame that was looked at last, and the sample at which it begins."""

    def steepness(self, luma: Values, luma_from_crop: Affine) -> float:
        """How much of `steeper` the drawing is to have in a frame of this `luma`, in [0, 1]: as far as its eyes are
        sharp, and no more than there are pixels for."""
        room = min(luma_from_crop.scale - STEEPER_FROM, 1.0)
        if room <= 0:
            return 0.0
        if self._until_look == 0:
            found, self._until_look = crispness(luma, luma_from_crop), _EVERY
            if found is not None:
                before = found if self._crispness is None else self._crispness
                self._crispness = before + 0.3 * (found - before)
        self._until_look -= 1
        known = _SOFT if self._crispness is None else self._crispness
        return room * float(np.clip((known - _SOFT) / (_CRISP - _SOFT), 0, 1))

    def look(
        self,
        drawn: Callable[[], NDArray[np.float32]],
        place: Place,
        luma: Values,
        luma_from_crop: Affine,
        skin: SkinMap,
    ) -> bool:
        """Look at a frame, in whose `luma` lies at `place` what `drawn` gives, (h, w) float32 in sample values.

        Says whether there is anything that is missing: not while too little skin is visible to know, and not in tiny
        faces. `luma` is as the decoder gave it.
        """
        scale = luma_from_crop.scale
        if scale < _SMALLEST:
            return False
        # A texture has pores of one size: a face that came much nearer gets another.
        if not self._scale / _RESCALED < scale < self._scale * _RESCALED:
            self._scale, self._octaves = scale, int(np.clip(1 + round(np.log2(scale)), 1, _MOST_OCTAVES))
            self._frames, self._skin, self._grain_share, self._texture = 0, None, None, []

        # Measuring takes longer than painting, and light and focus change slowly.
        if self._frames % _EVERY == 0 or self._skin is None:
            self._measure(visible_skin(luma, luma_from_crop, skin), drawn_skin(drawn(), place, skin), luma_from_crop)
        elif self._before is not None:
            self._compare(luma, luma_from_crop)
        self._frames += 1
        if self._skin is None:
            return False

        # New in every frame, and the same in every run.
        seed = self._seed * 1_000_003 + self._frames
        gains, size = self._grain_gains, {"width": place.width, "height": place.height}
        self._grain, self._corner = noise_piece(self._octaves, gains, **size, seed=seed), (place.left, place.top)
        return True

    def missing_at(self, place: Place, skin: SkinMap) -> NDArray[np.float32]:
        """(h, w) what is missing at `place` in the frame that was looked at last, in sample values."""
        texture = self._texture_at(place)
        # Pores belong to skin alone; grain belongs to the picture, whatever is drawn there.
        texture *= _skin_at(place, skin)
        left, top = place.left - self._corner[0], place.top - self._corner[1]
        texture += self._grain[top : top + place.height, left : left + place.width]
        return texture

    def _measure(self, skin: Region | None, painted: Region | None, luma_from_crop: Affine) -> None:
        """Take the energies of this frame in; the first time, quilt the texture too."""
        if skin is None or painted is None:
            return
        energies = skin.energies(self._octaves)  # (octaves, m)
        found, drawn = skin.calm(energies), painted.calm(painted.energies(self._octaves))  # (octaves,)
        if self._skin is None:
            self._skin, self._drawn, self._trust = found, drawn, skin.trust
        else:
            self._trust += 0.3 * (skin.trust - self._trust)
            self._skin, self._drawn = self._skin + 0.3 * (found - self._skin), self._drawn + 0.3 * (drawn - self._drawn)
        self._before = skin, luma_from_crop

        # Quilting takes tens of milliseconds, and the same texture all along is what makes it look like skin.
        if not self._texture:
            left, top, right, bottom = _CANVAS
            self._canvas_from_crop = Affine.resize(self._scale).after(Affine.shift(-left, -top))
            width, height = round((right - left) * self._scale), round((bottom - top) * self._scale)
            random = np.random.default_rng(self._seed)
            self._texture = quilt(skin, energies, width=width, height=height, random=random)
            self._interplay = interplay(
                [band[: 256 >> octave, : 256 >> octave] for octave, band in enumerate(self._texture)]
            )
            self._still_gains = np.full(self._octaves, -1, np.float32)
        self._update_gains(self._skin)

    def _compare(self, luma: Values, luma_from_crop: Affine) -> None:
        """Learn from the same skin one frame later how much of its detail is grain."""
        assert self._before is not None and self._skin is not None  # noqa: S101 - as the caller has checked
        (skin, crop_then), self._before = self._before, None
        corner = np.array([skin.left, skin.top])
        middle = skin.centres.mean(axis=0) + corner
        moved = luma_from_crop.apply(crop_then.inverse().apply(middle)) - middle
        left, top = np.rint(moved).astype(int) + corner
        height, width = skin.values.shape
        if left < 0 or top < 0 or left + width > luma.shape[1] or top + height > luma.shape[0]:
            return

        # Two independent noises differ by twice the energy of each.
        now = luma[top : top + height, left : left + width].astype(np.float32)
        change = (now - skin.values) * np.float32(np.sqrt(0.5))
        energies = block_energies(change, skin.centres, octaves=self._octaves, block_px=skin.block_px)
        share = np.clip(skin.calm(energies) / np.maximum(self._skin, 1e-6), 0, 1)  # (octaves,)

        # A face that moves seems to have more grain than it has: believe a lower share at once and a higher one slowly.
        before = share if self._grain_share is None else self._grain_share
        self._grain_share = before + np.where(share < before, 0.5, 0.1) * (share - before)
        self._update_gains(self._skin)

    def _update_gains(self, skin: NDArray[np.float64]) -> None:
        share = np.full(self._octaves, 0.5) if self._grain_share is None else self._grain_share
        lacking = self._trust**2 * np.maximum(skin - self._drawn, 0)  # (octaves,)
        grain = np.minimum(lacking, share * skin)
        still = lacking - grain

        # Both measures stand for calm blocks; what is added has the mean that goes with them.
        calm_share = _calm_share(self._octaves, round(BLOCK * self._scale))
        self._grain_gains = gains_for(grain / calm_share, _noise_interplay(self._octaves))
        gains = gains_for(still / calm_share, self._interplay)
        if np.abs(gains - self._still_gains).max() > _UNSEEN * float(gains.max()):
            # It goes on around the canvas: as far as a crop and what is painted at its border.
            across, up, down = (math.ceil(self._scale * reach) for reach in (_CANVAS[0] + 4, _CANVAS[1] + 4, 4))
            whole: Values = merge(self._texture, gains)
            whole = cv2.copyMakeBorder(whole, up, down, across, across, cv2.BORDER_REFLECT)
            self._still_gains, self._still = gains, whole.astype(np.float32, copy=False)
            self._still_from_crop = Affine.shift(across, up).after(self._canvas_from_crop)

    def _texture_at(self, place: Place) -> NDArray[np.float32]:
        """(h, w) the texture laid over the face, on the samples of `place`."""
        # Interpolation would take half of the finest octave away, more or less as the face moves.
        return place.turned(self._still, self._still_from_crop.inverse(), cv2.INTER_NEAREST)


def _skin_at(place: Place, skin: SkinMap) -> NDArray[np.float32]:
    """(h, w) how much each sample of `place` looks like skin; so smooth that a sixteenth of them are worked out."""
    quarter_from_map = Affine.resize(0.25).after(place.here_from_crop).after(_CROP_FROM_MAP)
    width, height = -(-place.width // 4), -(-place.height // 4)
    likely = np.minimum(_SURE_SKIN * skin.drawn, 1)  # (64, 64)
    quarter = cv2.warpAffine(likely, quarter_from_map.matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    whole = cv2.resize(quarter, (4 * width, 4 * height), interpolation=cv2.INTER_LINEAR)
    return whole[: place.height, : place.width].astype(np.float32, copy=False)


@lru_cache(maxsize=64)
def _calm_share(octaves: int, block_px: int) -> NDArray[np.float64]:
    """(octaves,) what blocks of plain noise that count as calm have of its mean square."""
    flat = np.ones(octaves, np.float32)
    plain = noise_piece(octaves, flat, width=512, height=512, seed=0)  # (512, 512)
    places = np.arange(block_px / 2, 512 - block_px / 2, max(block_px / 3, 2))
    centres = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    energies = block_energies(plain, centres, octaves=octaves, block_px=block_px)  # (octaves, m)

    # Coarse octaves of real skin are calm where there are no folds, not by chance: there the whole share is too much.
    shares = percentile(energies, CALM) / np.maximum(energies.mean(axis=1), 1e-6)
    return np.asarray(np.maximum(shares, _CHANCE), np.float64)


@lru_cache(maxsize=_MOST_OCTAVES)
def _noise_interplay(octaves: int) -> NDArray[np.float64]:
    return interplay(noise(octaves))
