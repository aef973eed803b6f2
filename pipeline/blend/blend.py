"""Painting what the networks drew into the frame, in the colours around it, so that no seam and no soft patch shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.blend.grain import STEEPER_FROM, SkinDetail, steeper
from pipeline.blend.ground import Background, Ground, ground_of, with_ground_seen
from pipeline.blend.hole import Hole, Place, Sides, find_hole, place_of, sides_outside
from pipeline.blend.paste import Copier, Sheet, write
from pipeline.blend.texture import SkinMap, map_skin
from pipeline.geometry import CROP_SIZE, Affine
from pipeline.picture.pixels import FIELD_SIZE, largest, shrunk, stretched
from pipeline.picture.samples import BT601, Samples, samples_of
from pipeline.rules import Number, setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.frames import Frame, Inpainted, Patch
    from pipeline.picture.samples import Component, Grid, Values


_STRANGE = 20.0
"""A rim pixel that is still this far off after levelling counts half: there something else was drawn, not another
light."""

_CONTRAST = 15.0
"""How much the rim's brightness must vary, as a standard deviation, for its contrast to be believed by half."""

_GAINS = (0.6, 1.6)

_LUMA = np.array([BT601], np.float32)

_LEAST_GROUND = 24
"""Pixels of a hole, of 128 x 128, that must lie on the background for what was seen of it to be looked for."""


def correction(
    real: NDArray[np.float32], drawn: NDArray[np.float32], hole: Hole, *, limit: float
) -> NDArray[np.float32]:
    """What to add to `drawn` so that it meets `real`, all (64, 64, 3) float32 RGB.

    Both are compared on the feather, where the one fades into the other: a gain and an offset for each channel first,
    then what differs still from place to place, spread over the hole like a stretched skin. None is larger than
    `limit`. What lies beyond the network's own hole, which ends within the feather, it has merely copied: that says
    little about what it invents.
    """
    size = (FIELD_SIZE, FIELD_SIZE)
    soiled = cv2.resize(hole.grown, size, interpolation=cv2.INTER_AREA)
    reached = cv2.resize(hole.alpha, size, interpolation=cv2.INTER_AREA)
    # There the drawing fades into real skin, and no mask's colour comes through.
    rim = ((soiled == 0) & (reached > 0)).astype(np.float32)  # (64, 64)
    if not rim.any():
        return np.zeros_like(drawn)

    level, weight = _level(real, drawn, rim)
    both = cv2.merge([*cv2.split(cv2.multiply(real - drawn - level, cv2.merge([weight] * 3))), weight])  # (64, 64, 4)
    # Half the resolution holds a smooth surface.
    field = level + cv2.pyrUp(stretched(np.asarray(cv2.pyrDown(both), np.float32)))
    # Bent towards the limit, not cut off at it: a cut would show as an edge on the cheek.
    return np.asarray(limit * np.tanh(field * (1 / limit)), np.float32)


def _level(
    real: NDArray[np.float32], drawn: NDArray[np.float32], rim: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a gain and an offset for each channel add to `drawn`, (64, 64, 3), and how far the rim agrees, (64, 64)."""
    places = np.flatnonzero(rim)
    wanted, given = real.reshape(-1, 3)[places], drawn.reshape(-1, 3)[places]  # (n, 3)
    # It begins as the median difference, which a strand of hair across the rim does not move.
    gain, offset = np.ones(3, np.float32), np.sort(wanted - given, axis=0)[len(places) // 2]

    # Least squares, a second time with less weight for what was far off: hair or a collar across the rim.
    for _ in range(2):
        off = np.abs(wanted - gain * given - offset)
        strangeness = np.maximum(np.maximum(off[:, 0], off[:, 1]), off[:, 2]) / np.float32(_STRANGE)
        share = 1 / (1 + strangeness * strangeness)
        share /= share.sum()
        wanted_mean, given_mean = share @ wanted, share @ given
        from_mean = given - given_mean
        spread, together = share @ (from_mean * from_mean), share @ (from_mean * (wanted - wanted_mean))
        # Where the rim is even its contrast says nothing of a gain, so that one stays near 1.
        gain = np.clip((together + _CONTRAST**2) / (spread + _CONTRAST**2), *_GAINS).astype(np.float32)
        offset = wanted_mean - gain * given_mean

    level = drawn * (gain - 1) + offset.astype(np.float32)
    strangeness = largest(cv2.absdiff(real - drawn, level)) / np.float32(_STRANGE)
    return level, rim / (1 + strangeness * strangeness)


@dataclass(frozen=True)
class _Fitted:
    """A drawing in the colours of the face around it. A face that is held shows it again as it is."""

    patch: Patch
    outside: Sides
    hole: Hole
    field: NDArray[np.float32]
    """(64, 64, 3) what was added to the drawing's colours."""
    skin: SkinMap
    sheet: Sheet
    """What was drawn inside the hole's box, in these colours."""
    behind: NDArray[np.float32]
    """(S, S) in [0, 1] how much of it is the background as it was seen earlier."""

    def holds(self, patch: Patch, outside: Sides) -> bool:
        """Whether `patch` is the same drawing."""
        same = patch.image is self.patch.image and patch.crop.mask is self.patch.crop.mask
        return same and patch.crop.held and outside == self.outside


@dataclass
class _Face:
    """What is remembered of a face from frame to frame."""

    detail: SkinDetail
    fitted: _Fitted | None = None
    ground: Ground | None = None
    """What was painted where its mask goes on beyond its crop."""


@dataclass(frozen=True)
class Blend:
    """Paints every patch of a frame into a private copy of it; a frame without patches goes through as it is.

    Pixels that neither the grown mask nor its feather reaches stay as the decoder made them, bit for bit.
    """

    grow_px: float = setting(
        2.5,
        Number(0, 64),
        "how far beyond the mask to paint, in pixels of the 256-pixel crop; raise it when a rim of the mask's colour "
        "stays; each pixel more replaces a pixel of the real face",
    )
    grow_frame_px: float = setting(
        1.0,
        Number(0, 64),
        "how much farther to paint, in pixels of the frame, since chroma and compression carry the mask's colour that "
        "far however small the face is",
    )
    feather_px: float = setting(
        5.0,
        Number(0, 64),
        "over how many pixels of the crop the drawn face fades into the real one; raise it for a softer passage; too "
        "wide, and two versions of a wrinkle show through each other",
    )
    colour_limit_levels: float = setting(
        48.0,
        Number(0, 255),
        "by how many of 255 levels of brightness the drawn colours may be moved to meet the real ones; 0 leaves them "
        "alone; raise it for hard light; too high, and a bright thing beside the mask tints the cheek",
    )
    detail: float = setting(
        0.9,
        Number(0, 1),
        "how much of the missing fine detail is filled in; at 0 a close-up has a soft patch; at 1 it has the energy of "
        "the visible skin and of its compression",
    )

    edges: float = setting(
        1.0,
        Number(0, 2),
        "how much steeper the edges of lips, nostrils and jaw become in a face that is not small; "
        "at 0 they are soft in a close-up, too high and they get outlines",
    )

    def __call__(self, items: Iterator[Inpainted]) -> Iterator[Frame]:
        """The frames with every patch painted in. Raises `SourceError` for a format that can't be painted on."""
        copier, background = Copier(), Background()
        faces: dict[int, _Face] = {}
        for item in items:
            background.look(item.cropped.tracked, item.patches)
            alive = {track.id for track in item.cropped.tracked.tracks}
            faces = {track: face for track, face in faces.items() if track in alive}
            if not item.patches:
                yield item.frame
                continue

            # What is measured is the decoder's picture, so that a face beside another sees no paint.
            source = samples_of(item.frame.planes)
            picture = copier.copy(item.frame.planes)
            target = samples_of(picture, writable=True)
            for patch in item.patches:
                track = patch.crop.track.id
                face = faces.setdefault(track, _Face(SkinDetail(track)))
                face.fitted, before = self._fitted_to(patch, source, face.fitted, background), face.fitted
                if face.fitted is None:
                    continue
                self._paint_ground(face, item.frame, background, target, fresh=before is None)
                self._paint(face, source, target)
            yield replace(item.frame, planes=picture)

    def _fitted_to(
        self, patch: Patch, source: Samples, before: _Fitted | None, background: Background
    ) -> _Fitted | None:
        """The drawing in the colours around it, as `before` where the face is held; None for nothing to paint."""
        frame_from_crop = patch.crop.crop_from_frame.inverse()
        rows, columns = source.components[0].samples.shape
        outside = sides_outside(frame_from_crop, width=columns, height=rows)
        if before is not None and before.holds(patch, outside):
            return replace(before, patch=patch)
        return self._fitted(patch, outside, frame_from_crop.scale, before, background)

    def _paint_ground(self, face: _Face, frame: Frame, background: Background, target: Samples, *, fresh: bool) -> None:
        """Paint what lies behind the mask beyond the crop, before the drawn face comes over it."""
        fitted, before = face.fitted, None if fresh else face.ground
        patch = None if fitted is None else fitted.patch
        if patch is None or patch.crop.beyond is None or patch.around is None:
            face.ground = None
            return

        beyond, around = patch.crop.beyond, patch.around
        frame_from_view = beyond.view_from_frame.inverse()
        # The very same array: the face is held, and its ground with it.
        if before is not None and before.beyond.mask is beyond.mask:
            face.ground = replace(before, beyond=beyond)
        else:
            face.ground = ground_of(
                beyond,
                around,
                before,
                grow_px=self.grow_px + self.grow_frame_px / frame_from_view.scale,
                feather_px=self.feather_px,
                outside=sides_outside(frame_from_view, width=frame.width, height=frame.height),
                behind=background.within(beyond.view_from_frame),
            )
        ground = face.ground
        box = None if ground is None else ground.hole.box
        if ground is None or box is None:
            return
        left, top, right, bottom = box
        sheet = Sheet(ground.image[top:bottom, left:right], box)
        for place, alpha, components in _laid(sheet, ground.hole, frame_from_view, target):
            for index, component in components.items():
                _mix(component.samples[place.part], sheet.laid(index, place, target), alpha, target, None)

    def _paint(self, face: _Face, source: Samples, target: Samples) -> None:
        """Paint the drawn face."""
        fitted = face.fitted
        if fitted is None:
            return
        sheet, frame_from_crop = fitted.sheet, fitted.patch.crop.crop_from_frame.inverse()
        luma = source.components[0]
        luma_from_crop = luma.grid.component_from_frame.after(frame_from_crop)
        steepness = 0.0
        if sheet.edges is not None:
            steepness = self.edges * face.detail.steepness(luma.samples, luma_from_crop)

        whole = place_of(sheet.box, luma, luma_from_crop)
        if whole is None:
            return

        # Luma alone has the detail, or red, green and blue.
        detailed = 0
        if self.detail > 0 and face.detail.look(
            lambda: sheet.laid(0, whole, target, steepness=steepness), whole, luma.samples, luma_from_crop, fitted.skin
        ):
            detailed = 3 if target.rgb else 1
        for place, alpha, components in _laid(sheet, fitted.hole, frame_from_crop, target):
            missing: NDArray[np.float32] | None = None
            if min(components) < detailed:
                missing = face.detail.missing_at(place, fitted.skin)
                # Two pictures that fade into each other lose half their noise midway; this keeps its energy whole.
                share = 2 - alpha
                share *= alpha
                missing *= np.multiply(np.sqrt(share, out=share), self.detail, out=share)
            for index, component in components.items():
                values = sheet.laid(index, place, target, steepness=steepness)
                _mix(component.samples[place.part], values, alpha, target, missing if index < detailed else None)

    def _fitted(
        self, patch: Patch, outside: Sides, scale: float, before: _Fitted | None, background: Background
    ) -> _Fitted | None:
        """The drawing in the colours around it; None where there is nothing to paint.

        `scale` is how many of the frame's pixels one of the crop is across.
        """
        grow_px = self.grow_px + self.grow_frame_px / scale
        hole = find_hole(patch.crop.mask, grow_px=grow_px, feather_px=self.feather_px, outside=outside)
        box = hole.box
        if box is None:
            return None

        # A drawing that is carried on keeps its colours: those around it belong to another frame and would make it
        # flicker.
        if before is not None and patch.crop.carried:
            field, skin = before.field, replace(before.skin, hole=hole)
        else:
            real, small = shrunk(patch.crop.image), shrunk(patch.image)  # (64, 64, 3)
            field = np.zeros_like(small)
            if self.colour_limit_levels > 0:
                field = correction(real, small, hole, limit=self.colour_limit_levels)
            skin = map_skin(real, small + field, hole, patch.ground)

        same = before is not None and before.patch.image is patch.image and before.field is field
        if before is not None and same and before.sheet.box == box:
            return _Fitted(patch, outside, hole, field, skin, before.sheet, before.behind)

        # Light changes slowly, so what was found in small is enlarged for the whole drawing.
        left, top, right, bottom = box
        ratio = CROP_SIZE // FIELD_SIZE
        inside = field[top // ratio : bottom // ratio, left // ratio : right // ratio]
        drawn = patch.image[top:bottom, left:right].astype(np.float32)  # (h, w, 3)
        drawn += cv2.resize(inside, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)

        # Beside the face the background is shown as it was seen, where it was.
        behind, part = np.zeros((CROP_SIZE, CROP_SIZE), np.float32), np.s_[top:bottom, left:right]
        if patch.ground is not None and np.count_nonzero(patch.ground[::2, ::2] * (hole.alpha > 0)) > _LEAST_GROUND:
            box_from_frame = Affine.shift(-left, -top).after(patch.crop.crop_from_frame)
            seen = background.within(box_from_frame, (right - left, bottom - top))
            if seen is not None:
                earlier = None if before is None else before.behind[part]
                drawn, behind[part] = with_ground_seen(drawn, patch.ground[part], seen, earlier)
        edges = None
        if self.edges > 0 and scale > STEEPER_FROM:
            edges = steeper(cv2.transform(drawn, _LUMA).astype(np.float32, copy=False))
        return _Fitted(patch, outside, hole, field, skin, Sheet(drawn, box, edges), behind)


def _laid(
    sheet: Sheet, hole: Hole, frame_from_here: Affine, target: Samples
) -> Iterator[tuple[Place, NDArray[np.float32], dict[int, Component]]]:
    """Where the sheet is laid on `target`: places, their alpha, and the components whose samples lie there.

    The sheet lies in a crop or a view, in whose coordinates `hole` is. Nothing where it lies outside the frame.
    """
    by_grid: dict[Grid, dict[int, Component]] = {}
    for index, component in enumerate(target.components):
        by_grid.setdefault(component.grid, {})[index] = component

    for grid, components in by_grid.items():
        whole = place_of(sheet.box, components[min(components)], grid.component_from_frame.after(frame_from_here))
        for place in () if whole is None else whole.parted(hole):
            yield place, place.alpha(hole), components


def _mix(
    samples: Values,
    values: NDArray[np.float32],
    alpha: NDArray[np.float32],
    target: Samples,
    added: NDArray[np.float32] | None,
) -> None:
    """Write `values` (h, w) over `samples` as far as `alpha` says, and `added` where it is given. Changes `values`."""
    below = samples.astype(np.float32)  # (h, w)
    # In place: temporaries of this size cost more than the sums.
    values -= below
    values *= alpha
    values += below
    if added is not None:
        values += added
    write(samples, values, alpha, target)
