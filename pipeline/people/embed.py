"""Faces to embeddings: a recogniser, and the network of ours that repairs what it makes of a masked face."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine import models
from pipeline.draw.segment import Segment
from pipeline.errors import SourceError
from pipeline.frames import Detected, Skipped, Track, Tracked
from pipeline.people.people import Look, PeopleFilter
from pipeline.picture.pixels import align
from pipeline.recognisers import recogniser_file
from pipeline.video.stills import StillSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from engine.spec import Engine, Network, Pending
    from pipeline.detectors import Detector
    from pipeline.frames import Cropped
    from pipeline.recognisers import Recogniser, Thresholds


@dataclass(frozen=True)
class Embedder:
    """Embeds faces, masked or not, so that their cosines can be compared. It keeps no face and no embedding."""

    recogniser: Recogniser
    unmasker: Engine | None
    """The Embedding Unmasking Model; None where no model was trained for this recogniser."""
    least: Thresholds
    """The cosines from which two faces are taken for one person."""
    sha256: str = ""
    """The hash of the recogniser's network, in hexadecimal."""

    def submit(self, crops: Sequence[NDArray[np.uint8]]) -> Pending:
        """Begin to embed canonical crops (S, S, 3) RGB. Raises `EngineError`."""
        return self.recogniser.submit(crops)

    def looks(self, answer: Pending, masked: Sequence[bool]) -> list[Look]:
        """Wait for the embeddings of faces, of which `masked` says who wears a mask. Raises `EngineError`."""
        found = self.recogniser.embeddings(answer)  # (N, d)
        which = np.flatnonzero(masked)

        repaired = found
        if self.unmasker is not None and len(which):
            repaired = found.copy()
            repaired[which] = self.unmasker.run({"masked": found[which]})["embedding"]  # (masked faces, d)

        return [
            Look(masked=plain, repaired=better) if hidden else Look(bare=plain)
            for plain, better, hidden in zip(found, repaired, masked, strict=True)
        ]


def recogniser_missing(recogniser: str) -> str | None:
    """Why the recogniser of that name can't run here and how to get it, or None. Raises `ConfigError` for no name."""
    return recogniser_file(recogniser).missing()


def load_embedder(
    recogniser: str, path: str | None, compiled: Callable[[Network], Engine]
) -> tuple[Embedder, tuple[Network, ...]]:
    """Load what embeds faces: the recogniser of that name, whose network may be a file at `path`, and its unmasker.

    Gives the networks too, as the report names them. Raises what `compiled` raises, and as `RecogniserFile` does.
    """
    file = recogniser_file(recogniser)
    network = file.network(None if path is None else Path(path))
    loaded = file.recogniser(compiled(network))
    if file.UNMASKER is None:
        return Embedder(loaded, None, file.SAME_PERSON, network.sha256), (network,)

    unmasker = models.shipped(file.UNMASKER)
    return Embedder(loaded, compiled(unmasker), file.SAME_PERSON, network.sha256), (network, unmasker)


@dataclass(frozen=True)
class Examiner:
    """The networks that embed the face in a picture."""

    detector: Detector
    segmenter: Engine
    embedder: Embedder


def portrait(path: Path, examiner: Examiner) -> Look:
    """Embed the one face in a picture. Raises `SourceError` when there is none, several, or it can't be embedded."""
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
class Who:
    """What tells people apart in a run, and whose masks it takes off."""

    embedder: Embedder
    choice: PeopleFilter


def chosen_people(examiner: Examiner, *, only: Sequence[str], spared: Sequence[str]) -> Who:
    """Read the pictures of people whose masks alone come off, and of people who keep theirs. Raises as `portrait` does.

    Without `only` everybody's mask comes off, but for those who are spared.
    """
    wanted, kept = (tuple(portrait(Path(picture), examiner) for picture in pictures) for pictures in (only, spared))
    return Who(examiner.embedder, PeopleFilter(wanted or None, kept, examiner.embedder.least))


@dataclass(frozen=True)
class ClearFace:
    """A face that is large and frontal enough to be embedded."""

    track: Track
    masked: bool
    """Whether the segmenter found a mask."""

    def image(self, cropped: Cropped) -> NDArray[np.uint8]:
        """The face's canonical crop (S, S, 3) RGB."""
        return align(cropped.frame, self.track)[0]


def clear_faces(cropped: Cropped) -> dict[int, ClearFace]:
    """The faces of a frame that can be embedded, by track id: neither too small nor turned away nor in doubt."""
    masked = {crop.track.id: ClearFace(crop.track, masked=True) for crop in cropped.crops}
    bare = {track.id: ClearFace(track, masked=False) for track, why in cropped.skipped if why is Skipped.BARE}
    return masked | bare
