"""The stages that have the generator draw the hidden part of each face, all faces of a frame in one batch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.draw.hole import GROW_PX, generator_input, hole_of, with_edges
from pipeline.draw.mouth import REDRAWN_FROM, UNTOLD, takes_expression
from pipeline.draw.segment import Holder, kept
from pipeline.frames import Inpainted, Patch, Skipped
from pipeline.geometry import CROP_SIZE
from pipeline.picture.pixels import FACE, read_colours, read_crop
from pipeline.rules import Number, Whole, setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from engine.spec import Array, Engine, Pending
    from pipeline.draw.mouth import Telling
    from pipeline.frames import Cropped, FaceCrop, Frame

RIM = np.ones((7, 7), np.uint8)
"""How far around a mask the background is looked at, in a crop of 64 pixels: the generator has drawn it there too."""

MOST_BEYOND = 8
"""A drawing serves another mask while at most so many of its pixels, at half size, lie beyond what was filled."""


@dataclass(frozen=True)
class Drawing:
    """A frame whose faces are being drawn."""

    cropped: Cropped
    faces: Pending | None
    """The new drawings of the crops that are not carried on, in order; None when there are none."""
    holes: tuple[NDArray[np.float32], ...] = ()
    """(S, S) in [0, 1] for each of those: what the generator fills."""

    @property
    def frame(self) -> Frame:
        """The frame in which the faces are."""
        return self.cropped.frame


@dataclass(frozen=True)
class _Drawn:
    """What the last drawing of a face was made for."""

    drawer: str | None
    """The enrolled face whose network drew it; None for the shipped one."""
    hole: NDArray[np.float32]
    """(S/2, S/2) in [0, 1]: what was filled."""
    expression: NDArray[np.float32]
    """(5,) what the network was told of the mouth."""
    frame: int
    """The index of the frame it was made for."""

    def serves(self, crop: FaceCrop, expression: NDArray[np.float32] | None) -> bool:
        """Whether the network that is to draw `crop` drew it, all that is mask there, and the mouth of `expression`."""
        moved = expression is not None and np.abs(expression - self.expression).max() > REDRAWN_FROM
        if moved or _drawer(crop) != self.drawer:
            return False
        beyond = (self.hole < 0.5) & (crop.mask[::2, ::2] > 0.5)
        return int(np.count_nonzero(beyond)) <= MOST_BEYOND


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
        "how far the hole reaches beyond the mask to each side, in pixels of the crop; raise it and it hides what the "
        "network goes by (0.8 dB with 10), lower it and pieces of real masks' rims come through",
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

    def ask(self, stream: Iterator[Cropped]) -> Iterator[Drawing]:
        """Stage: hand the crops of each frame to the generator. Raises `EngineError`.

        A face that has hardly changed since it was drawn is not handed on: its drawing is carried on.
        """
        holder = Holder(self.every, self.drift_face_levels, self.drift_spot_levels, sooner=True)
        drawn: dict[int, _Drawn] = {}
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
            holes = tuple(hole_of(crop.mask, self.grow_px) for crop in new)
            for crop, hole in zip(new, holes, strict=True):
                small = hole[::2, ::2].copy()  # a part of the whole would keep all of it in memory
                drawn[crop.track.id] = _Drawn(_drawer(crop), small, expression, cropped.frame.index)
            faces = self._submit(new, holes, expression) if new else None
            yield Drawing(replace(cropped, crops=tuple(crops)), faces, holes)

    def answer(self, stream: Iterator[Drawing]) -> Iterator[Inpainted]:
        """Stage: each frame with one patch for each of its crops. Raises `EngineError`."""
        images: dict[int, NDArray[np.uint8]] = {}
        for drawing in stream:
            crops = drawing.cropped.crops
            new = [crop.image for crop in crops if not crop.carried]
            faces = iter(() if drawing.faces is None else self._faces(new, drawing.holes, drawing.faces))
            images = {crop.track.id: kept(images, crop.track) if crop.carried else next(faces) for crop in crops}
            yield Inpainted(drawing.cropped, tuple(Patch(crop, images[crop.track.id]) for crop in crops))

    def _faces(
        self, images: Sequence[NDArray[np.uint8]], holes: Sequence[NDArray[np.float32]], drawn: Pending
    ) -> list[NDArray[np.uint8]]:
        """What was drawn in the `holes` of the crops' `images`, with an edge where the figure ends.

        Raises `EngineError`.
        """
        faces = [read_colours(face) for face in drawn.result()["face"]]
        return faces if self.figure is None else with_edges(self.figure, images, faces, holes)

    def _submit(
        self, crops: Sequence[FaceCrop], holes: Sequence[NDArray[np.float32]], expression: NDArray[np.float32]
    ) -> Pending:
        """Begin to draw, each face by the network that is to draw it."""
        drawers = [_drawer(crop) for crop in crops]
        if not any(drawers):
            return self._submit_to(self.engine, generator_input([crop.image for crop in crops], holes), expression)

        pending = {}
        for drawer in dict.fromkeys(drawers):
            places = tuple(place for place, name in enumerate(drawers) if name == drawer)
            engine = self.engine if drawer is None else self.own[drawer]
            feed = generator_input([crops[place].image for place in places], [holes[place] for place in places])
            pending[places] = self._submit_to(engine, feed, expression)
        return _DrawnBySeveral(pending)

    def _submit_to(self, engine: Engine, feed: NDArray[np.float32], expression: NDArray[np.float32]) -> Pending:
        """Begin to draw with one network. One that asks what the mouths do is told."""
        feeds = {"crop_and_mask": feed}
        if takes_expression(engine):
            feeds["expression"] = np.repeat(expression[None], len(feed), axis=0)
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
    if crop.image.shape[0] == CROP_SIZE:
        return crop.image
    return read_crop(frame.planes, crop.crop_from_frame, size=CROP_SIZE)


def _drawer(crop: FaceCrop) -> str | None:
    """The name of the enrolled face whose own network is to draw `crop`; None for the shipped one."""
    return None if crop.drawn_by is None else crop.drawn_by.face


def _looked_at(mask: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(64, 64) where a change calls for another drawing, 255 inside: the face, and what lies around its mask."""
    small = (cv2.resize(mask, FACE.shape, interpolation=cv2.INTER_AREA) > 0.3).astype(np.uint8)
    return np.asarray(cv2.max(FACE, 255 * (cv2.dilate(small, RIM) - small)), np.uint8)
