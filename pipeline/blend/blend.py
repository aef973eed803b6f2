"""Painting what the networks drew into the frame, so that neither a seam nor a soft patch shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.blend.colour import correction
from pipeline.blend.grain import SkinDetail
from pipeline.blend.hole import Hole, Place, Sides, find_hole, place_of, sides_outside
from pipeline.blend.paste import Copier, write
from pipeline.blend.skin import SkinMap, map_skin
from pipeline.geometry import CROP_SIZE
from pipeline.picture.fields import FIELD_SIZE, shrunk
from pipeline.picture.samples import Samples, samples_of
from pipeline.rules import Number, setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.frames import Frame, Inpainted, Patch
    from pipeline.picture.samples import Grid, Values


@dataclass(frozen=True)
class _Fitted:
    """A drawing in the colours of the face around it. A face that is held shows it again as it is."""

    patch: Patch
    outside: Sides
    hole: Hole
    box: tuple[int, int, int, int]
    """`hole.box`, which is not empty."""
    field: NDArray[np.float32]
    """(64, 64, 3) what was added to the drawing's colours."""
    skin: SkinMap
    drawn: NDArray[np.float32]
    """(h, w, 3) RGB: what was drawn inside `box` of the crop, in these colours."""

    def holds(self, patch: Patch, outside: Sides) -> bool:
        """Whether `patch` is the same drawing."""
        same = patch.image is self.patch.image and patch.crop.mask is self.patch.crop.mask
        return same and patch.crop.held and outside == self.outside


@dataclass
class _Face:
    """What is remembered of a face from frame to frame."""

    detail: SkinDetail
    fitted: _Fitted | None = None


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
        0.5,
        Number(0, 1),
        "how much of the missing fine detail is filled in; at 0 a close-up has a soft patch; at 1 it has the energy of "
        "the visible skin and of its compression, and a much compressed face looks gritty",
    )

    def __call__(self, items: Iterator[Inpainted]) -> Iterator[Frame]:
        """The frames with every patch painted in. Raises `SourceError` for a format that can't be painted on."""
        copier = Copier()
        faces: dict[int, _Face] = {}
        for item in items:
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
                self._paint(patch, source, target, faces.setdefault(track, _Face(SkinDetail(track))))
            yield replace(item.frame, planes=picture)

    def _paint(self, patch: Patch, source: Samples, target: Samples, face: _Face) -> None:
        frame_from_crop = patch.crop.crop_from_frame.inverse()
        rows, columns = source.components[0].samples.shape
        outside = sides_outside(frame_from_crop, width=columns, height=rows)
        if face.fitted is None or not face.fitted.holds(patch, outside):
            face.fitted = self._fitted(patch, outside, frame_from_crop.scale, face.fitted)
        fitted = face.fitted
        if fitted is None:
            return
        drawn = cv2.transform(fitted.drawn, target.samples_from_rgb).astype(np.float32, copy=False)
        drawn = drawn if drawn.ndim == 3 else drawn[..., None]  # (h, w, components)

        # Luma comes first and has the detail; both chroma components lie on one grid and share place and alpha.
        missing: NDArray[np.float32] | None = None
        places: dict[Grid, tuple[Place, NDArray[np.float32]]] = {}
        for index, component in enumerate(target.components):
            component_from_crop = component.grid.component_from_frame.after(frame_from_crop)
            if component.grid not in places:
                found = place_of(fitted.box, component, component_from_crop)
                if found is None:
                    return
                places[component.grid] = found, found.alpha(fitted.hole)
            place, alpha = places[component.grid]
            values = place.resampled(drawn[..., index])
            if index == 0 and self.detail > 0:
                luma = source.components[0].samples
                missing = face.detail.missing_from(
                    values, place=place, luma=luma, luma_from_crop=component_from_crop, skin=fitted.skin
                )
                if missing is not None:
                    # Two pictures that fade into each other lose half their noise midway; this keeps its energy whole.
                    missing *= self.detail * np.sqrt(alpha * (2 - alpha))
            added = missing if index == 0 or target.rgb else None
            _mix(component.samples[place.part], values, alpha, target, added)

    def _fitted(self, patch: Patch, outside: Sides, scale: float, before: _Fitted | None) -> _Fitted | None:
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
            skin = map_skin(real, small + field, hole)

        # Light changes slowly, so what was found in small is enlarged for the whole drawing.
        left, top, right, bottom = box
        ratio = CROP_SIZE // FIELD_SIZE
        inside = field[top // ratio : bottom // ratio, left // ratio : right // ratio]
        drawn = patch.image[top:bottom, left:right].astype(np.float32)  # (h, w, 3)
        drawn += cv2.resize(inside, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
        return _Fitted(patch, outside, hole, box, field, skin, drawn)


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
