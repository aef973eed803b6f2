"""The stages that have the generator draw the hidden part of each face, all faces of a frame in one batch.

What lies around a face whose mask goes on beyond its crop is drawn before that, in a batch of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.draw.beyond import mask_around, shown_of
from pipeline.draw.figure import carried, patched, with_edges
from pipeline.draw.hole import GROW_PX, Shown, filled, generator_input, hole_of
from pipeline.draw.mouth import UNTOLD, takes_expression
from pipeline.draw.segment import Drawn, Holder, drawer_of, drawn_for, kept
from pipeline.frames import Inpainted, Patch, Skipped, Surroundings
from pipeline.geometry import CROP_SIZE
from pipeline.picture.pixels import FACE, read_colours, read_crop
from pipeline.rules import Number, Whole, setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from engine.spec import Array, Engine, Pending
    from pipeline.draw.hole import Floats, Image
    from pipeline.draw.mouth import Telling
    from pipeline.frames import Beyond, Cropped, FaceCrop, Frame

RIM = np.ones((7, 7), np.uint8)
"""How far around a mask the background is looked at, in a crop of 64 pixels: the generator has drawn it there too."""


@dataclass(frozen=True)
class Drawing:
    """A frame whose faces are being drawn."""

    cropped: Cropped
    faces: Pending | None
    """The new drawings of the crops that are not carried on, in order; None when there are none."""
    shown: tuple[Shown, ...] = ()
    """What they are drawn from."""

    @property
    def frame(self) -> Frame:
        """The frame in which the faces are."""
        return self.cropped.frame


@dataclass(frozen=True)
class Inpaint:
    """Draws what each mask hides, in two stages: while the second waits for one frame, the first starts the next."""

    engine: Engine
    """The shipped generator."""
    own: Mapping[str, Engine] = field(default_factory=dict)
    """The generators of enrolled faces, by the face's name; each takes and gives what the shipped one does."""
    mouth: Telling = UNTOLD
    """What the generators are told of the mouths, where they take an expression."""
    figure: Engine | None = None
    """Says what of a drawing is figure, for an edge where the figure ends; None leaves drawings as they are."""
    grow_px: int = setting(
        GROW_PX,
        Whole(0, 64),
        "how far the hole reaches beyond the mask to each side, in pixels of the crop, at most 3 beyond a strap; "
        "raise it and it hides what the network goes by (0.8 dB with 10), lower it and rims of real masks come through",
    )

    every: int = 8
    """A face is drawn anew at least in every so many frames, and sooner when it changes."""
    mouth_every: int = 1
    """For its mouth alone it is drawn anew in every so many frames at most: each drawing delays a live picture."""
    drift_face_levels: float = setting(
        9.0,
        Number(0, 255),
        "mean change of the whole face, in 8-bit steps times frames since it was drawn, up to which the drawing is "
        "carried on with the face; lower it and a moving face is drawn more often, raise it and it is drawn in steps",
    )
    drift_spot_levels: float = setting(
        36.0,
        Number(0, 255),
        "the same for the spot that has changed most, about a tenth of the face wide; lower it and a blink is enough",
    )

    _turn: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)
    """Held to ask what the figure is: both stages do, each in its own thread."""

    def ask(self, stream: Iterator[Cropped]) -> Iterator[Drawing]:
        """Stage: hand the crops of each frame to the generator. Raises `EngineError`.

        A face that has hardly changed since it was drawn is not handed on: its drawing is carried on.
        """
        holder = Holder(self.every, self.drift_face_levels, self.drift_spot_levels, sooner=True)
        drawn: dict[int, Drawn] = {}
        for cropped in stream:
            holder.keep((crop.track.id for crop in cropped.crops), cut=cropped.tracked.detected.cut)
            expression = self.mouth.numbers(cropped.frame, len(cropped.crops))
            crops = []
            for crop in cropped.crops:
                last = drawn.get(crop.track.id)
                late = last is not None and cropped.frame.index - last.frame >= self.mouth_every
                allowed = last is not None and last.serves(crop, expression if late else None)
                carried = holder.holds(crop.track.id, crop.image, where=_looked_at(crop.mask), allowed=allowed)
                image = crop.image if carried else _whole(crop, cropped.frame)
                crops.append(replace(crop, image=image, held=crop.held and carried, carried=carried))

            new = [crop for crop in crops if not crop.carried]
            holes = [hole_of(crop.mask, self.grow_px) for crop in new]
            for crop, hole in zip(new, holes, strict=True):
                drawn[crop.track.id] = drawn_for(crop, hole, expression, cropped.frame.index)
            shown = self._shown(new, holes, expression, cropped.frame)
            faces = self._submit([drawer_of(crop) for crop in new], shown, expression) if new else None
            yield Drawing(replace(cropped, crops=tuple(crops)), faces, shown)

    def answer(self, stream: Iterator[Drawing]) -> Iterator[Inpainted]:
        """Stage: each frame with one patch for each of its crops. Raises `EngineError`."""
        drawn: dict[int, Patch] = {}
        for drawing in stream:
            faces = iter(zip(drawing.shown, self._faces(drawing.shown, drawing.faces), strict=True))
            drawn = {
                crop.track.id: carried(crop, kept(drawn, crop.track)) if crop.carried else patched(crop, *next(faces))
                for crop in drawing.cropped.crops
            }
            yield Inpainted(drawing.cropped, tuple(drawn.values()))

    def _shown(
        self, crops: Sequence[FaceCrop], holes: Sequence[Floats], expression: Floats, frame: Frame
    ) -> tuple[Shown, ...]:
        """What the generator is shown of each of the `crops`, whose `holes` (S, S) these are. Raises `EngineError`.

        Where a mask goes on beyond its crop, what lies around the crop is drawn first, and the crop has its rim.
        """
        wide = [(crop, crop.beyond) for crop in crops if crop.beyond is not None]
        around = iter(self._around(wide, expression, frame) if wide else ())
        return tuple(
            shown_of(crop, hole, None if crop.beyond is None else next(around))
            for crop, hole in zip(crops, holes, strict=True)
        )

    def _around(self, crops: Sequence[tuple[FaceCrop, Beyond]], expression: Floats, frame: Frame) -> list[Surroundings]:
        """What lies around each of the `crops`, drawn with all of its mask for a hole. Raises `EngineError`."""
        shown, places = [], []
        for crop, beyond in crops:
            here_from_crop, mask = mask_around(crop.mask, beyond, width=frame.width, height=frame.height)
            here_from_frame = here_from_crop.after(crop.crop_from_frame)
            image = read_crop(frame.planes, here_from_frame, size=CROP_SIZE)
            shown.append(Shown(image, hole_of(mask, self.grow_px, aligned=False), 1 / here_from_frame.scale))
            places.append(here_from_crop)

        faces = self._faces(shown, self._submit([drawer_of(crop) for crop, _ in crops], shown, expression))
        drawn = zip(shown, faces, places, strict=True)
        return [Surroundings(filled(one.image, face, one.hole), place) for one, (face, _), place in drawn]

    def _faces(self, shown: Sequence[Shown], drawn: Pending | None) -> list[tuple[Image, Image | None]]:
        """As `with_edges`, of what was drawn in the holes of what was `shown`. Raises `EngineError`."""
        made = () if drawn is None else drawn.result()["face"]
        faces = [one.coloured(read_colours(face)) for one, face in zip(shown, made, strict=True)]
        if self.figure is None or not faces:
            return [(face, None) for face in faces]
        with self._turn:
            return [*with_edges(self.figure, shown, faces)]

    def _submit(self, drawers: Sequence[str | None], shown: Sequence[Shown], expression: Floats) -> Pending:
        """Begin to draw what is `shown`, each face by the network that is to draw it."""
        if not any(drawers):
            return self._submit_to(self.engine, shown, expression)

        pending = {}
        for drawer in dict.fromkeys(drawers):
            places = tuple(place for place, name in enumerate(drawers) if name == drawer)
            engine = self.engine if drawer is None else self.own[drawer]
            pending[places] = self._submit_to(engine, [shown[place] for place in places], expression)
        return _DrawnBySeveral(pending)

    def _submit_to(self, engine: Engine, shown: Sequence[Shown], expression: Floats) -> Pending:
        """Begin to draw with one network. One that asks what the mouths do is told."""
        feeds = {"crop_and_mask": generator_input([one.image for one in shown], [one.hole for one in shown])}
        if takes_expression(engine):
            feeds["expression"] = np.repeat(expression[None], len(shown), axis=0)
        return engine.submit(feeds)

    def unasked(self, cropped: Cropped) -> Drawing:
        """The frame as it goes on when `ask` failed on it: its faces are left as they are."""
        undrawn = tuple((crop.track, Skipped.UNCERTAIN) for crop in cropped.crops)
        return Drawing(replace(cropped, crops=(), skipped=cropped.skipped + undrawn), None)

    def unanswered(self, drawing: Drawing) -> Inpainted:
        """The frame as it goes on when `answer` failed on it: its faces are left as they are."""
        return Inpainted(self.unasked(drawing.cropped).cropped, ())


@dataclass(frozen=True)
class _DrawnBySeveral:
    """The faces of a frame that several networks draw."""

    pending: Mapping[tuple[int, ...], Pending]
    """What each network draws, by the places of its faces among all of them."""

    def result(self) -> dict[str, Array]:
        """The faces (N, 3, S, S) in their own order. Raises `EngineError`."""
        drawn: dict[int, Array] = {}
        for places, pending in self.pending.items():
            drawn |= zip(places, pending.result()["face"], strict=True)
        return {"face": np.stack([drawn[place] for place in sorted(drawn)])}


def _whole(crop: FaceCrop, frame: Frame) -> NDArray[np.uint8]:
    """(S, S, 3) the face as its generator sees it; until it is to be drawn it was looked at in less."""
    return crop.image if len(crop.image) == CROP_SIZE else read_crop(frame.planes, crop.crop_from_frame, size=CROP_SIZE)


def _looked_at(mask: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(64, 64) where a change calls for another drawing, 255 inside: the face, and what lies around its mask."""
    small = (cv2.resize(mask, FACE.shape, interpolation=cv2.INTER_AREA) > 0.3).astype(np.uint8)
    return np.asarray(cv2.max(FACE, 255 * (cv2.dilate(small, RIM) - small)), np.uint8)
