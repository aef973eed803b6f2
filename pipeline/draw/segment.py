"""The stages that find the mask in each face's crop, pixel by pixel, and decide which faces are drawn anew.

A face that keeps still in its crop would be drawn the same again, but for noise: what was found and drawn is kept, and
no network runs. What is compared is what is seen, with the crop of the last look, so that slow changes add up and are
noticed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import cv2
import numpy as np

from pipeline.draw.beyond import (
    connected,
    doubts,
    joined,
    may_go_on,
    view_of,
    with_straps,
)
from pipeline.draw.mouth import REDRAWN_FROM
from pipeline.errors import EngineError
from pipeline.frames import Beyond, Cropped, FaceCrop, Skipped
from pipeline.geometry import CROP_SIZE, Affine
from pipeline.picture.pixels import (
    FACE,
    align,
    carried_on,
    faded,
    largest,
    leaves_frame,
    read_crop,
    shrunk,
    turned_away,
    write_colours,
)
from pipeline.rules import Number, setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from engine.spec import Engine, Pending
    from pipeline.frames import Frame, Track, Tracked


Kept = TypeVar("Kept")


def kept(before: Mapping[int, Kept], track: Track) -> Kept:
    """What `before` has of a face that is held. Raises `EngineError` when it has nothing."""
    if track.id not in before:
        raise EngineError(f"the network failed on the frame that face {track.id} is held from")
    return before[track.id]


@dataclass(frozen=True)
class _Look:
    """What was seen of a face when it was last looked at."""

    crop: NDArray[np.float32]
    """(64, 64, 3) RGB, blurred."""
    frames: int
    """How many frames it has been kept for."""


@dataclass
class Holder:
    """Remembers the faces of a stream. Used by one thread."""

    every: int
    """A face is looked at anew at least in every so many frames."""
    face_levels: float = 1.5
    """Mean change of the whole face, in 8-bit steps, up to which it is as it was."""
    spot_levels: float = 6.0
    """How much the spot that has changed most may differ; it is about a tenth of the face wide."""
    sooner: bool = False
    """Both are divided by the number of frames that the face would have been kept for: a face that changes
    more is looked at sooner."""
    _looks: dict[int, _Look] = field(default_factory=dict)

    def keep(self, tracks: Iterable[int], *, cut: bool) -> None:
        """Forget all faces but those of `tracks`, and these too where a new shot begins."""
        alive = () if cut else tracks
        self._looks = {track: self._looks[track] for track in alive if track in self._looks}

    def holds(
        self, track: int, image: NDArray[np.uint8], *, where: NDArray[np.uint8] = FACE, allowed: bool = True
    ) -> bool:
        """Whether the face of `track`, whose crop is `image` (s, s, 3), is kept as it was; else it is looked at now.

        No spot of `where` (64, 64) may have changed, 255 is inside. Without `allowed` it is looked at in any case.
        """
        crop = np.asarray(cv2.blur(shrunk(image), (3, 3)), np.float32)  # (64, 64, 3)
        last = self._looks.get(track)
        if allowed and last is not None and last.frames + 1 < self.every and self._alike(crop, last, where):
            self._looks[track] = _Look(last.crop, last.frames + 1)
            return True
        self._looks[track] = _Look(crop, 0)
        return False

    def _alike(self, crop: NDArray[np.float32], last: _Look, where: NDArray[np.uint8]) -> bool:
        change = largest(cv2.absdiff(crop, last.crop)) * np.float32(last.frames + 1 if self.sooner else 1)
        if cv2.mean(change, mask=FACE)[0] > self.face_levels:
            return False
        return bool(cv2.minMaxLoc(cv2.blur(change, (5, 5)), mask=where)[1] <= self.spot_levels)


MOST_BEYOND = 8
"""A drawing serves another mask while at most so many of its pixels, at half size, lie beyond what was filled."""


_FILLED = np.ones((5, 5), np.uint8)
"""What is filled around a mask in the view, at least."""


@dataclass(frozen=True)
class Drawn:
    """What the last drawing of a face was made for."""

    drawer: str | None
    """The enrolled face whose network drew it; None for the shipped one."""
    hole: NDArray[np.float32]
    """(S/2, S/2) in [0, 1]: what was filled."""
    expression: NDArray[np.float32]
    """(5,) what the network was told of the mouth."""
    frame: int
    """The index of the frame it was made for."""
    beyond: NDArray[np.bool_] | None
    """(S, S) of the view: what was filled beyond the crop; None where the mask ended within."""

    def serves(self, crop: FaceCrop, expression: NDArray[np.float32] | None) -> bool:
        """Whether the network that is to draw `crop` drew it, all that is mask there, and the mouth of `expression`."""
        moved = expression is not None and np.abs(expression - self.expression).max() > REDRAWN_FROM
        if moved or drawer_of(crop) != self.drawer:
            return False
        unfilled = int(np.count_nonzero((self.hole < 0.5) & (crop.mask[::2, ::2] > 0.5)))
        if crop.beyond is not None:
            if self.beyond is None:
                return False
            unfilled = max(unfilled, int(np.count_nonzero(~self.beyond & (crop.beyond.mask > 0.5))))
        return unfilled <= MOST_BEYOND


def drawn_for(crop: FaceCrop, hole: NDArray[np.float32], expression: NDArray[np.float32], frame: int) -> Drawn:
    """What is remembered of a drawing of `crop` that fills `hole` (S, S)."""
    beyond = None
    if crop.beyond is not None:
        beyond = cv2.dilate((crop.beyond.mask > 0.3).astype(np.uint8), _FILLED) > 0
    small = hole[::2, ::2].copy()  # a part of the whole would keep all of it in memory
    return Drawn(drawer_of(crop), small, expression, frame, beyond)


def drawer_of(crop: FaceCrop) -> str | None:
    """The name of the enrolled face whose own network is to draw `crop`; None for the shipped one."""
    return None if crop.drawn_by is None else crop.drawn_by.face


WATCHED_SIZE = CROP_SIZE // 2
"""Side of the crop in which is seen whether a face has changed."""


@dataclass(frozen=True)
class _Worn:
    """The mask of a face."""

    mask: NDArray[np.float32]
    """(S, S) in the crop."""
    view: NDArray[np.float32] | None
    """(S, S) in the view around it; None where it ends within the crop."""
    doubted: bool = False
    """Whether the last look found no mask: one such look alone, at a hand or a blur, does not take it for gone."""


_Verdict: TypeAlias = "_Worn | Skipped"
"""The mask of a face, or why the face is left."""


@dataclass(frozen=True)
class Aligned:
    """A face cut out upright."""

    track: Track
    image: NDArray[np.uint8]
    """(s, s, 3) uint8 RGB: s is what the segmenter looks at where it is asked, else `WATCHED_SIZE`."""
    crop_from_frame: Affine
    held: bool
    """The face is as it was when it was last searched: what was found then holds."""


@dataclass(frozen=True)
class Looking:
    """A frame whose faces are being searched for masks."""

    tracked: Tracked
    aligned: tuple[Aligned, ...]
    skipped: tuple[tuple[Track, Skipped], ...]
    """The faces that are not searched, each with the reason."""
    masks: Pending | None
    """The masks of the faces that are not held, in order; None when there are none."""

    @property
    def frame(self) -> Frame:
        """The frame in which the faces are."""
        return self.tracked.frame


@dataclass(frozen=True)
class Segment:
    """Cuts the crop of each track and finds the mask in it, in two stages: while the second waits for one frame, the
    first cuts the next.
    """

    engine: Engine
    least_mask: float = setting(
        0.03,
        Number(0, 1),
        "share of the crop that must be mask before a face counts as masked; raise it and a mask on the chin stays, "
        "lower it and a hand may be taken for a mask; once masked, a face stays so down to half of this",
    )
    least_certainty: float = setting(
        0.6,
        Number(0.5, 1),
        "how sure the network must be, on average, of the pixels that it calls mask; raise it and unusual masks stay, "
        "lower it and a beard or a microphone may be taken for a mask",
    )
    least_eye_distance_px: float = setting(
        7.0,
        Number(0, 1000),
        "distance of the eyes, in pixels of the frame, below which a face is left, since nothing would be seen of "
        "what is drawn; raise it and a crowd in the background costs nothing",
    )
    most_turned: float = setting(
        0.72,
        Number(0, 2),
        "how far a head may be turned, from 0, towards the camera, to 1, one eye behind the other; beyond it the "
        "generator draws nothing good; lower it and a face is left as soon as it looks aside",
    )
    still_face_levels: float = setting(
        Holder.face_levels,
        Number(0, 255),
        "mean change of the whole face, in 255 levels, up to which it is shown as it was last drawn; lower it and a "
        "camera's noise counts as a change, raise it and a slow turn is drawn in steps",
    )
    still_spot_levels: float = setting(
        Holder.spot_levels,
        Number(0, 255),
        "change of the spot that changed most, a tenth of the face wide, up to which the face is shown as it was last "
        "drawn; a blink is more",
    )
    every: int = 8
    """A face is searched and drawn anew at least in every so many frames, and whenever it changes. At 1 it always is;
    raise it and a still face costs less."""
    thorough: bool = False
    """Straps are looked for in each mask's mirror image too, as a picture has the time for."""
    _turn: Lock = field(default_factory=Lock, repr=False, compare=False)
    """Held to submit: both stages ask the network, each in its own thread."""

    def ask(self, stream: Iterator[Tracked]) -> Iterator[Looking]:
        """Stage: cut the crops of each frame and hand them to the network. Raises `EngineError`."""
        holder, side = Holder(self.every, self.still_face_levels, self.still_spot_levels), side_of(self.engine)
        still: set[int] = set()
        for tracked in stream:
            holder.keep((track.id for track in tracked.tracks), cut=tracked.detected.cut)

            skipped: list[tuple[Track, Skipped]] = []
            aligned: list[Aligned] = []
            for track in tracked.tracks:
                reason = self._unfit(track)
                if reason is None:
                    # A face that moves goes on moving, mostly, and is read once for both: for the network.
                    size = WATCHED_SIZE if track.id in still else side
                    image, crop_from_frame = align(tracked.frame, track, size=size)
                    held = holder.holds(track.id, image)
                    if not held and size != side:
                        image, _ = align(tracked.frame, track, size=side)
                    aligned.append(Aligned(track, image, crop_from_frame, held))
                else:
                    skipped.append((track, reason))

            # All faces of a frame are searched in one batch.
            still = {face.track.id for face in aligned if face.held}
            new = [self._shown(face, tracked.frame) for face in aligned if not face.held]
            masks = self._submit(new) if new else None
            yield Looking(tracked, tuple(aligned), tuple(skipped), masks)

    def answer(self, stream: Iterator[Looking]) -> Iterator[Cropped]:
        """Stage: each frame with its masked faces, and the others with why they are left. Raises `EngineError`."""
        before: dict[int, _Verdict] = {}
        for looking in stream:
            before = self._verdicts(looking, before)
            skipped = list(looking.skipped)
            crops: list[FaceCrop] = []

            for face in looking.aligned:
                verdict = before[face.track.id]
                if isinstance(verdict, Skipped):
                    skipped.append((face.track, verdict))
                else:
                    view = verdict.view
                    beyond = None if view is None else Beyond(view, view_of(face.crop_from_frame))
                    crops.append(
                        FaceCrop(face.track, face.image, verdict.mask, face.crop_from_frame, face.held, beyond=beyond)
                    )
            yield Cropped(tracked=looking.tracked, crops=tuple(crops), skipped=tuple(skipped))

    def unasked(self, tracked: Tracked) -> Looking:
        """The frame as it goes on when `ask` failed on it: its faces are left as they are."""
        return Looking(tracked, (), tuple((track, Skipped.UNCERTAIN) for track in tracked.tracks), None)

    def unanswered(self, looking: Looking) -> Cropped:
        """The frame as it goes on when `answer` failed on it: its faces are left as they are."""
        undecided = tuple((face.track, Skipped.UNCERTAIN) for face in looking.aligned)
        return Cropped(looking.tracked, (), looking.skipped + undecided)

    def _verdicts(self, looking: Looking, before: dict[int, _Verdict]) -> dict[int, _Verdict]:
        """The mask of each face or why it is left, by its track."""
        verdicts: dict[int, _Verdict] = {}
        masks = iter(() if looking.masks is None else looking.masks.result()["mask"])
        for face in looking.aligned:
            if face.held:
                verdicts[face.track.id] = kept(before, face.track)
                continue

            (small,) = next(masks)
            worn = before.get(face.track.id, Skipped.BARE)
            reason = self._unmasked(small, was_masked=isinstance(worn, _Worn))
            if reason is None:
                verdicts[face.track.id] = self._whole(self._surer(small, face, looking.frame), face, looking.frame)
            # One look without a mask may be a hand before the face, so the former mask stays for once.
            elif isinstance(worn, _Worn) and not worn.doubted:
                verdicts[face.track.id] = replace(worn, doubted=True)
            else:
                verdicts[face.track.id] = reason
        return verdicts

    def _surer(self, small: NDArray[np.floating], face: Aligned, frame: Frame) -> NDArray[np.float32]:
        """(S, S) the mask of a face in which the network found `small` (s, s).

        Where it doubts more than a rim it is shown the mirror image too, and what either look finds is mask; of a mask
        that it does not doubt, straps alone.
        """
        found = np.asarray(small, np.float32)
        doubted = doubts(found)
        if doubted or self.thorough:
            ((mirrored,),) = self._submit([self._shown(face, frame)[:, ::-1]]).result()["mask"]
            other = np.asarray(mirrored[:, ::-1], np.float32)
            found = np.maximum(found, other) if doubted else with_straps(found, other)
        mask = connected(np.asarray(cv2.resize(found, (CROP_SIZE,) * 2, interpolation=cv2.INTER_LINEAR), np.float32))
        crop = face.crop_from_frame
        if leaves_frame(crop, frame.width, frame.height):
            return carried_on(mask, crop, frame.width, frame.height)
        return mask

    def _shown(self, face: Aligned, frame: Frame) -> NDArray[np.uint8]:
        """(s, s, 3) what the network is shown of a face."""
        crop = face.crop_from_frame
        if not leaves_frame(crop, frame.width, frame.height):
            return face.image
        image_from_frame = Affine.resize(len(face.image) / CROP_SIZE).after(crop)
        return faded(face.image, image_from_frame, frame.width, frame.height)

    def _whole(self, mask: NDArray[np.float32], face: Aligned, frame: Frame) -> _Worn:
        """The mask of a face, looked for beyond its crop where it may go on there."""
        if not may_go_on(mask):
            return _Worn(mask, None)
        view_from_frame, side = view_of(face.crop_from_frame), side_of(self.engine)
        image_from_frame = Affine.resize(side / CROP_SIZE).after(view_from_frame)
        view = read_crop(frame.planes, image_from_frame, size=side)
        view = faded(view, image_from_frame, frame.width, frame.height)
        ((small,),) = self._submit([view]).result()["mask"]
        wide = cv2.resize(small, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)
        return _Worn(*joined(mask, wide, view_from_frame, width=frame.width, height=frame.height))

    def _submit(self, images: Sequence[NDArray[np.uint8]]) -> Pending:
        """Begin to look for masks."""
        with self._turn:
            return self.engine.submit({"crop": segmenter_input(images)})

    def _unfit(self, track: Track) -> Skipped | None:
        if turned_away(track) > self.most_turned:
            return Skipped.TURNED_AWAY
        landmarks = track.detection.landmarks
        # In profile the eyes lie close together on a face of any size, so its whole extent counts too.
        across, spread = np.hypot(*np.diff(landmarks.eyes, axis=0)[0]), np.ptp(landmarks.points, axis=0).max()
        if max(float(across), 0.6 * float(spread)) < self.least_eye_distance_px:
            return Skipped.TOO_SMALL
        return None

    def _unmasked(self, mask: NDArray[np.float32], *, was_masked: bool) -> Skipped | None:
        inside = mask > 0.5
        # With a single threshold a mask near it would come and go from frame to frame.
        if inside.mean() < (self.least_mask / 2 if was_masked else self.least_mask):
            return Skipped.BARE
        return Skipped.UNCERTAIN if mask[inside].mean() < self.least_certainty else None


def side_of(segmenter: Engine) -> int:
    """Side of the pictures that a segmenter looks at, as its network says; a crop's where it takes any."""
    return segmenter.inputs[0].shape[-1] or CROP_SIZE


def segmenter_input(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """(N, 3, s, s) in [-1, 1] of N crops (s, s, 3)."""
    feed = np.empty((len(images), 3, *images[0].shape[:2]), np.float32)
    for image, planes in zip(images, feed, strict=True):
        write_colours(image, planes)
    return feed
