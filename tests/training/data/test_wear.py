"""Masks on a drawn portrait that moves; its face mesh is known, not found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

import cli
from pipeline.errors import ConfigError, SinkError
from tests.pipeline.faces import frame_of, track_of, tracked, upright
from tests.pipeline.masked_scenes import portrait
from tests.training.made_faces import mesh
from training.data.wear import Wear, Worn, alpha_file
from training.needs import MaskKind

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.frames import Tracked
    from pipeline.geometry import Affine


@dataclass
class KnownMesh:
    """The mesh of the made face in its crop, with noise; not sure in the calls listed."""

    noise: float = 0.0
    unsure: frozenset[int] = frozenset()
    calls: int = 0

    def __call__(self, _image: np.ndarray, _crop: Affine) -> tuple[np.ndarray, float]:
        rng = np.random.default_rng(self.calls)
        points = np.column_stack([mesh(), np.zeros(468)]) + rng.normal(0, self.noise, (468, 3))
        self.calls += 1
        return points.astype(np.float32), 0.1 if self.calls - 1 in self.unsure else 0.9


def film(*, count: int = 6, step: float = 0.0, width: int = 400, height: int = 360) -> list[Tracked]:
    """A face that moves `step` pixels to the right in each frame, on a plain ground."""
    items = []
    for index in range(count):
        image = np.full((height, width, 3), (180, 150, 130), np.uint8)
        items.append(tracked(frame_of(image, index), track_of(upright(x=60 + step * index, y=40))))
    return items


def worn(items: list[Tracked], **settings: object) -> list[Worn]:
    return list(Wear(**({"mesh": KnownMesh(), "kind": MaskKind.SURGICAL} | settings))(iter(items)))  # type: ignore[arg-type]


def centre(covered: np.ndarray) -> np.ndarray:
    ys, xs = np.nonzero(covered > 0.5)
    return np.array([xs.mean(), ys.mean()])


def test_mask_covers_the_mouth_and_leaves_the_eyes_and_all_that_is_far() -> None:
    eyes, (x, y) = upright(x=60, y=40)[:2], np.rint(upright(x=60, y=40)[3:].mean(0)).astype(int)
    all_of_them = [worn(film(count=1), seed=seed)[0] for seed in range(8)]
    assert np.mean([one.alpha[y, x] > 0.9 for one in all_of_them]) > 0.7  # some are worn on the chin
    one = all_of_them[0]
    for x, y in np.rint(eyes).astype(int):
        assert one.alpha[y, x] == 0
    assert np.array_equal(one.masked.image[:60], one.bare.image[:60])
    changed = np.abs(one.masked.image.astype(int) - one.bare.image).max(2) > 3
    assert changed[one.alpha > 0.9].mean() > 0.8
    assert one.bare.planes is not one.masked.planes
    assert one.masked.time == one.bare.time


def test_same_seed_wears_the_same_in_every_frame_and_another_seed_another() -> None:
    first, second = worn(film(count=2))
    assert np.array_equal(first.masked.image, second.masked.image)
    (other,) = worn(film(count=1), seed=1)
    assert not np.array_equal(first.masked.image, other.masked.image)


def test_mask_follows_the_face_without_delay() -> None:
    places = [centre(frame.alpha) for frame in worn(film(step=7.0))]
    steps = np.diff(places, axis=0)
    assert np.allclose(steps[:, 0], 7, atol=0.3)
    assert np.allclose(steps[:, 1], 0, atol=0.3)


def test_noise_of_the_mesh_hardly_shakes_the_mask() -> None:
    def shake(pace: float) -> float:
        frames = worn(film(count=16), mesh=KnownMesh(noise=2.0), follow=pace)[4:]
        return float(np.linalg.norm(np.diff([centre(frame.alpha) for frame in frames], axis=0), axis=1).mean())

    assert shake(0.3) < 0.6 * shake(1.0)
    assert shake(0.3) < 1.0


def test_where_the_mesh_is_lost_the_mask_goes_on_with_the_tracker() -> None:
    every = worn(film(step=7.0))
    lost = worn(film(step=7.0), mesh=KnownMesh(unsure=frozenset([2, 3])))
    for ours, theirs in zip(lost, every, strict=True):
        assert np.abs(ours.alpha - theirs.alpha).max() < 0.05


def test_face_that_was_never_seen_wears_nothing() -> None:
    first, second = worn(film(count=2), mesh=KnownMesh(unsure=frozenset([0])))
    assert first.masked is first.bare
    assert first.alpha.max() == 0
    assert not first.places
    assert second.alpha.max() > 0.9


def test_two_faces_wear_two_masks() -> None:
    image = np.full((360, 640, 3), 150, np.uint8)
    faces = [track_of(upright(x=-20, y=40), 1), track_of(upright(x=300, y=40), 2)]
    (one,) = worn([tracked(frame_of(image), *faces)], kind=None)
    assert set(one.places) == {1, 2}
    left, right = one.alpha[:, :300], one.alpha[:, 340:]
    assert left.max() > 0.9
    assert right.max() > 0.9


def test_face_at_the_border_wears_what_is_inside_the_frame() -> None:
    image = np.full((200, 200, 3), 150, np.uint8)
    (one,) = worn([tracked(frame_of(image), track_of(upright(x=-120, y=-20)))])
    assert one.alpha.shape == (200, 200)
    assert one.alpha[:, 0].max() > 0.9
    (none,) = worn([tracked(frame_of(image), track_of(upright(x=-900, y=-20)))])
    assert none.alpha.max() == 0


def test_alphas_of_a_video_come_back_bit_for_bit_at_their_times(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    alphas = [rng.random((60, 80)).astype(np.float32) for _ in range(3)]
    times = [frame.bare.time * 3 for frame in worn(film(count=3))]
    with alpha_file(tmp_path / "a.mkv", still=False, overwrite=False) as file:
        for alpha, time in zip(alphas, times, strict=True):
            file.write(alpha, time)
    with av.open(str(tmp_path / "a.mkv")) as container:
        pictures = list(container.decode(video=0))
    for picture, alpha, time in zip(pictures, alphas, times, strict=True):
        assert np.array_equal(picture.to_ndarray(format="gray"), np.rint(alpha * 255).astype(np.uint8))
        assert abs(picture.pts * picture.time_base - time) < 1 / 1000


def test_alpha_file_is_named_for_what_it_holds_and_never_lost(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"written as \.png"),
        alpha_file(tmp_path / "a.mkv", still=True, overwrite=False),
    ):
        pass
    (tmp_path / "a.png").write_bytes(b"mine")
    with pytest.raises(SinkError, match="exists"), alpha_file(tmp_path / "a.png", still=True, overwrite=False):
        pass
    assert (tmp_path / "a.png").read_bytes() == b"mine"


@pytest.mark.usefixtures("_mesh")
def test_command_masks_a_photo_and_keeps_the_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, target, truth = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "alpha.png"
    cv2.imwrite(str(photo), portrait()[..., ::-1])
    arguments = ["mask", str(photo), str(target), "--alpha", str(truth), "--kind", "surgical", "--threads", "1"]
    assert cli.main(arguments) == 0
    assert "1 faces wear drawn masks" in capsys.readouterr().out
    before, after = cv2.imread(str(photo)), cv2.imread(str(target))
    covered = cv2.imread(str(truth), cv2.IMREAD_GRAYSCALE)
    x, y = centre(covered / 255)
    assert abs(x - 222) < 25  # beneath the nose
    assert 115 < y < 190
    changed = np.abs(after.astype(int) - before).max(2) > 3
    assert changed[covered > 230].mean() > 0.8
    assert np.array_equal(before[300:], after[300:])
    assert cli.main(arguments) == 1
    assert "exists" in capsys.readouterr().err
