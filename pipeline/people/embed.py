"""Faces to embeddings: a recogniser, and the model of ours that repairs what it makes of a masked face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.draw.segment import Segment
from pipeline.errors import SourceError
from pipeline.find.align import align
from pipeline.frames import Detected, Skipped, Track, Tracked
from pipeline.people.people import Look
from pipeline.video.stills import StillSource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.spec import Engine, Pending
    from pipeline.detectors import Detector
    from pipeline.frames import Cropped, FaceCrop
    from pipeline.recognisers import Recogniser, Thresholds


@dataclass(frozen=True)
class Embedder:
    """Embeds faces, masked or not, so that their cosines can be compared. Holds no face and no embedding."""

    recogniser: Recogniser
    unmasker: Engine | None
    """The Embedding Unmasking Model; None where none was trained for this recogniser."""
    least: Thresholds
    """From where on two faces are taken for one person."""

    def submit(self, crops: Sequence[NDArray[np.uint8]]) -> Pending:
        """Begin to embed canonical crops (S, S, 3) RGB. Raises `EngineError`."""
        return self.recogniser.submit(crops)

    def looks(self, answer: Pending, masked: Sequence[bool]) -> list[Look]:
        """What each of these faces tells, where `masked` says which are. Raises `EngineError`."""
        found = self.recogniser.embeddings(answer)
        which = np.flatnonzero(masked)
        repaired = found
        if self.unmasker is not None and len(which):
            repaired = found.copy()
            repaired[which] = self.unmasker.run({"masked": found[which]})["embedding"]
        return [
            Look(masked=plain, repaired=better) if hidden else Look(bare=plain)
            for plain, better, hidden in zip(found, repaired, masked, strict=True)
        ]


@dataclass(frozen=True)
class Examiner:
    """What it takes to embed the face in a picture."""

    detector: Detector
    segmenter: Engine
    embedder: Embedder


def portrait(path: Path, examiner: Examiner) -> Look:
    """The one face in a picture. Raises `SourceError` when there is none, more than one, or it is of no use."""
    (frame,) = StillSource(path)
    faces = examiner.detector(frame)
    if len(faces) != 1:
        cure = "cut out the one you mean" if faces else "give one in which it is larger and looks into the camera"
        raise SourceError(f"{path} shows {len(faces) or 'no'} face{'s' if faces else ''}: {cure}")
    segment, track = Segment(examiner.segmenter), Track(1, faces[0], age=0, unseen=0)
    (cropped,) = segment.answer(segment.ask(iter([Tracked(Detected(frame, faces, cut=True), (track,))])))
    shown = clear_faces(cropped)
    if not shown:
        raise SourceError(f"{path}: the face is {cropped.skipped[0][1].value}: give another picture")
    answer = examiner.embedder.submit([shown[1].image(cropped)])
    return examiner.embedder.looks(answer, [shown[1].masked])[0]


@dataclass(frozen=True)
class ClearFace:
    """A face that can be embedded."""

    track: Track
    crop: FaceCrop | None
    """Of a masked face; a bare one's was not kept."""

    @property
    def masked(self) -> bool:
        """Whether the segmenter found a mask."""
        return self.crop is not None

    def image(self, cropped: Cropped) -> NDArray[np.uint8]:
        """Its canonical crop (S, S, 3) RGB."""
        return align(cropped.frame, self.track)[0] if self.crop is None else self.crop.image


def clear_faces(cropped: Cropped) -> dict[int, ClearFace]:
    """The faces of a frame that can be embedded, by track: neither too small nor turned away nor in doubt."""
    masked = {crop.track.id: ClearFace(crop.track, crop) for crop in cropped.crops}
    bare = {track.id: ClearFace(track, None) for track, why in cropped.skipped if why is Skipped.BARE}
    return masked | bare
