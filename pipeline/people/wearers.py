"""Which enrolled face is in the picture: its own network draws it there, and nobody else is ever drawn with it.

In doubt the shipped network draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipeline.frames import Drawer, DrawnBy, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.frames import Cropped, FaceCrop, Track
    from pipeline.people.people import Look
    from pipeline.recognisers import Thresholds

CLEARLY_OTHER = 0.03
"""A face that is alone in the picture counts as the enrolled one unless it is less alike than the threshold by so much
of the cosine. Raise it and a wearer whom the recogniser hardly knows is drawn; a stranger then is sooner, too."""
APART = 0.01
"""By so much a face must be more like one enrolled face than like every other."""
LOOSE = 0.02
"""A face that was recognised stays so down to so much below the threshold."""
MOST_UNSEEN = 12
"""Frames without a detection behind which a track may have become somebody else's."""
OVERLAPPING = 0.1
"""Intersection over union from which one face is behind another, and a track may lie on the face in front."""
TOUCHING = 0.02
"""Intersection over union from which two faces may be taken for each other."""


@dataclass(frozen=True)
class Wearers:
    """The enrolled faces of a run, and what is done where none of them is seen."""

    looks: Mapping[str, Look | None]
    """What a recogniser makes of each enrolled face, by its name; None where the file or the run has no recogniser."""
    least: Thresholds | None
    """From which cosine two faces are one person's; None where the run has no recogniser."""
    only: bool
    """Whether the masks of everybody else stay on."""

    def begin(self) -> Assignment:
        """For one stream of frames."""
        return Assignment(self)

    def assign(self, stream: Iterator[Cropped]) -> Iterator[Cropped]:
        """Stage for a run without a recogniser: each frame with the drawer of each face."""
        assignment = self.begin()
        for cropped in stream:
            yield assignment(cropped, {})


@dataclass
class Assignment:
    """Gives each masked face of a stream the network that draws it. Changed in place, by one thread."""

    wearers: Wearers
    _alone: set[int] = field(default_factory=set)
    """The tracks that were alone in the picture when they came and touched no other face since."""
    _seen: set[int] = field(default_factory=set)
    _last: dict[int, str | None] = field(default_factory=dict)
    """Which enrolled face each track was drawn with in the last frame."""

    def __call__(self, cropped: Cropped, looks: Mapping[int, Look]) -> Cropped:
        """The frame with the drawer of each face; `looks` holds what is known of tracks, which may be nothing."""
        tracks = cropped.tracked.tracks
        self._note_alone(tracks)
        drawers = self._drawers([track.id for track in tracks], looks)
        drawers |= {
            track.id: DrawnBy(None, Drawer.IN_DOUBT)
            for track in tracks
            if _largest_overlap(track, tracks) > OVERLAPPING
        }
        crops = tuple(self._assigned(crop, drawers[crop.track.id]) for crop in cropped.crops)
        self._last = {crop.track.id: None if crop.drawn_by is None else crop.drawn_by.face for crop in crops}
        if not self.wearers.only:
            return replace(cropped, crops=crops)

        own = tuple(crop for crop in crops if crop.drawn_by is not None and crop.drawn_by.face is not None)
        others = tuple((crop.track, Skipped.NOT_CHOSEN) for crop in crops if crop not in own)
        return replace(cropped, crops=own, skipped=cropped.skipped + others)

    def _note_alone(self, tracks: tuple[Track, ...]) -> None:
        """Learn which tracks have had no chance to become somebody else's."""
        for track in tracks:
            if track.id not in self._seen and len(tracks) == 1:
                self._alone.add(track.id)
            self._seen.add(track.id)
            if _largest_overlap(track, tracks) > TOUCHING or track.unseen > MOST_UNSEEN:
                self._alone.discard(track.id)

    def _drawers(self, tracks: list[int], looks: Mapping[int, Look]) -> dict[int, DrawnBy]:
        """Who draws each of the tracks that are in the picture together."""
        margins = {track: self._margins(looks.get(track)) for track in tracks}
        # An enrolled face is one person: of all tracks that are like it the likest one alone is drawn with it.
        likest = {
            face: max((track for track in tracks if face in margins[track]), key=lambda track: margins[track][face])
            for face in {face for found in margins.values() for face in found}
        }
        return {track: self._drawer(track, margins[track], likest) for track in tracks}

    def _margins(self, look: Look | None) -> dict[str, float]:
        """By how much a face is more like each enrolled face than the threshold; nothing where that is unknown."""
        least = self.wearers.least
        if look is None or least is None:
            return {}
        return {face: look.margin(known, least) for face, known in self.wearers.looks.items() if known is not None}

    def _drawer(self, track: int, margins: Mapping[str, float], likest: Mapping[str, int]) -> DrawnBy:
        """Who draws one track."""
        faces = sorted(margins, key=lambda face: -margins[face])
        if faces and likest[faces[0]] == track:
            best, next_best = margins[faces[0]], margins[faces[1]] if len(faces) > 1 else -1.0
            stays = LOOSE if self._last.get(track) == faces[0] else 0.0
            if best >= -stays and best - next_best >= APART:
                return DrawnBy(faces[0], Drawer.RECOGNISED)

        (only, *others) = self.wearers.looks
        if not others and track in self._alone and margins.get(only, 0.0) >= -CLEARLY_OTHER:
            return DrawnBy(only, Drawer.ALONE)
        return DrawnBy(None, Drawer.NOT_RECOGNISED if faces and margins[faces[0]] < 0 else Drawer.IN_DOUBT)

    def _assigned(self, crop: FaceCrop, drawn_by: DrawnBy) -> FaceCrop:
        """The crop with its drawer; it is drawn anew where another network drew it in the last frame."""
        same = self._last.get(crop.track.id, drawn_by.face) == drawn_by.face
        return replace(crop, drawn_by=drawn_by, held=crop.held and same)


def _largest_overlap(track: Track, tracks: tuple[Track, ...]) -> float:
    """The largest intersection over union of a track's box with another's."""
    box = track.detection.box
    return max((box.iou(other.detection.box) for other in tracks if other.id != track.id), default=0.0)
