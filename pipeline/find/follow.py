"""One face followed over time: where it is now, and how sure that is.

Two witnesses tell where a face is. A detector says where its landmarks are, in some frames, off by a few hundredths of
the distance between the eyes, differently each time. Optical flow says how they moved since the frame before, much more
exactly, but its errors add up. A Kalman filter weighs them: flow moves the landmarks, and a detection pulls them by as
much as it is to be trusted. So a still head stays still, and a moving one is not behind, as it would be with a filter
that smooths positions, such as the One Euro filter (Casiez et al. 2012): here motion is measured, not smoothed, and
what is smoothed is the detector's disagreement with it, which has no speed of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pipeline.find import flow
from pipeline.frames import Detection
from pipeline.geometry import CANONICAL_LANDMARKS, EYES, LANDMARK_WEIGHTS, MOUTH, Affine, Box, Landmarks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.find.flow import FlowPicture, Points

# All noises are standard deviations in distances between the eyes.
DETECTION_NOISE = 0.03
"""The noise of a detector's landmarks. Raise it and a still head is stiller, and an error of flow lives longer."""
FLOW_NOISE = 0.002
"""What flow adds in one frame."""
FLOW_NOISE_OF_MOTION = 0.03
"""What flow adds as a part of the distance moved: fast motion blurs, and a turning head is not rigid in the picture."""
COASTING_NOISE = 0.1
"""What carrying on at the last known velocity adds in one frame."""
SURPRISE = 0.15
"""A detection so many distances between the eyes away says that the filter is surer than it should be."""
STILL_THE_FACE = 0.5
"""Correlation with the face last seen, below which what flow followed is something in front of it."""
SURELY_THE_FACE = 0.9
"""Correlation from which the face is remembered as it looks now, so that it may turn."""
VELOCITY_HALF_LIFE_SECONDS = 0.25
"""A face that nobody sees slows down."""
VELOCITY_MEMORY = 0.7
"""Share of the velocity so far that enters the velocity of the next frame."""
SHORTEST_FRAME = 1e-3
"""Seconds that at least lie between two frames; their time stamps may be equal."""
CANONICAL_ACROSS_OVER_DOWN = float(
    np.ptp(CANONICAL_LANDMARKS[EYES, 0]) / (CANONICAL_LANDMARKS[MOUTH, 1].mean() - CANONICAL_LANDMARKS[EYES, 1].mean())
)
"""The distance between the eyes over that from eyes to mouth, of a face seen from the front."""


@dataclass
class FollowedFace:
    """A face and what is known of it. Changed in place, by the tracker alone."""

    landmarks: Points
    box: NDArray[np.float64]
    """(4,): left, top, right, bottom in frame pixels."""
    score: float
    corners: Points
    """What flow follows, in frame pixels."""
    look: NDArray[np.float32]
    """The upper face when it was last seen, a `flow.patch`."""
    variance: float = DETECTION_NOISE**2
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    """How fast the face moves, in frame pixels a second."""
    coasting_seconds: float = 0.0
    """How long the face has been neither detected nor followed by flow."""

    @classmethod
    def seen(cls, detection: Detection, picture: FlowPicture) -> FollowedFace:
        """A face that the detector has just found."""
        landmarks = detection.landmarks.points.astype(np.float64)
        return cls(
            landmarks=landmarks,
            box=edges(detection.box),
            score=detection.score,
            corners=flow.pick_corners(picture, landmarks),
            look=flow.patch(picture, landmarks),
        )

    @property
    def eye_distance(self) -> float:
        """The distance of the eyes in frame pixels, at least one; of a profile, what it would be from the front."""
        return eye_distance(self.landmarks)

    @property
    def detection(self) -> Detection:
        """Where the face is now, as a detection."""
        return Detection(Box(*self.box.tolist()), Landmarks(self.landmarks.astype(np.float32)), self.score)

    def advance(self, before: FlowPicture, after: FlowPicture, *, seconds: float) -> None:
        """Move on to the next frame, which comes `seconds` later."""
        motion = flow.follow(before, after, self.corners)
        # Flow follows whatever moves, also the hand that passes before a face.
        if motion is None or not self._is_there(after, motion.after_from_before):
            self.coast(seconds=seconds)
            self.corners = flow.pick_corners(after, self.landmarks)
            return

        step = self._move(motion.after_from_before)
        self.variance += FLOW_NOISE**2 + (FLOW_NOISE_OF_MOTION * float(np.linalg.norm(step)) / self.eye_distance) ** 2
        self.velocity = VELOCITY_MEMORY * self.velocity + (1 - VELOCITY_MEMORY) * step / max(seconds, SHORTEST_FRAME)
        self.corners = motion.corners
        self.coasting_seconds = 0.0

    def coast(self, *, seconds: float) -> None:
        """Move on to a frame in which the face can't be seen."""
        step = self.velocity * seconds
        self._move(Affine.shift(*step))
        self.velocity = self.velocity * 0.5 ** (seconds / VELOCITY_HALF_LIFE_SECONDS)
        self.variance += COASTING_NOISE**2
        self.coasting_seconds += seconds

    def correct(self, detection: Detection, picture: FlowPicture) -> None:
        """Take in what a detector saw in the present frame."""
        seen = detection.landmarks.points.astype(np.float64)
        surprise = self.distance(detection)
        # Flow lost the face and did not notice: from here on the detector is believed.
        if surprise > SURPRISE:
            self.variance += surprise**2

        # The Kalman gain, the same for all coordinates.
        gain = self.variance / (self.variance + DETECTION_NOISE**2)
        self.variance *= 1 - gain
        self.landmarks = self.landmarks + gain * (seen - self.landmarks)
        self.box = self.box + gain * (edges(detection.box) - self.box)
        self.score = detection.score
        self.corners = flow.pick_corners(picture, self.landmarks)
        self.look = flow.patch(picture, self.landmarks)
        self.coasting_seconds = 0.0

    def distance(self, detection: Detection) -> float:
        """How far `detection` is away, in distances between the eyes; the eyes count most."""
        away = np.linalg.norm(detection.landmarks.points - self.landmarks, axis=1)
        return float(np.average(away, weights=LANDMARK_WEIGHTS)) / self.eye_distance

    def _is_there(self, after: FlowPicture, after_from_before: Affine) -> bool:
        """Whether what flow followed still looks like the face."""
        now = flow.patch(after, after_from_before.apply(self.landmarks))
        alike = float((now * self.look).sum())
        if alike > SURELY_THE_FACE:
            self.look = now
        return alike > STILL_THE_FACE

    def _move(self, after_from_before: Affine) -> NDArray[np.float64]:
        """Apply a similarity transform, and return the shift of the face's middle, (2,)."""
        middle = self.landmarks.mean(axis=0)
        self.landmarks = after_from_before.apply(self.landmarks)
        centre = (self.box[:2] + self.box[2:]) / 2
        half = (self.box[2:] - self.box[:2]) / 2 * after_from_before.scale
        moved = after_from_before.apply(centre)
        self.box = np.concatenate([moved - half, moved + half])
        shift: NDArray[np.float64] = self.landmarks.mean(axis=0) - middle
        return shift


def edges(box: Box) -> NDArray[np.float64]:
    """(4,): left, top, right, bottom."""
    return np.array([box.left, box.top, box.right, box.bottom])


def eye_distance(landmarks: Points) -> float:
    """The distance of the eyes in frame pixels, at least one; of a profile, what it would be from the front."""
    # Single numbers take a tenth of the time of small arrays.
    (right_x, right_y), (left_x, left_y) = landmarks[EYES].tolist()
    (corner_x, corner_y), (other_x, other_y) = landmarks[MOUTH].tolist()
    across = math.hypot(left_x - right_x, left_y - right_y)
    down = math.hypot(corner_x + other_x - right_x - left_x, corner_y + other_y - right_y - left_y) / 2
    return max(across, down * CANONICAL_ACROSS_OVER_DOWN, 1.0)
