"""`run --only`, `run --except` and `verify`, on photos that are moved about; they are not ours to show, so not here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

import cli
from pipeline.recognisers import dlib_resnet, unit
from tests.shared import DATA
from training.identity.evaluate import BareAndWorn, Side

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FACES = DATA / "lfw"
NAMED, OTHER = ("Abdullah_Gul_0001", "Abdullah_Gul_0007"), "Aaron_Patterson_0001"
WIDTH, HEIGHT, FRAMES, SIDE = 640, 288, 60, 240
FAST = ("--codec", "ffv1", "--threads", "1", "--quiet")


@dataclass(frozen=True)
class Stage:
    """A clip of two masked people, and bare pictures of the one on the left."""

    clip: Path
    same: Path
    """The very picture, bare."""
    elsewhere: Path
    """Another picture of the same person."""


def place(frame: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """left and top of both pictures."""
    sway = round(24 * np.sin(frame / 9)), round(8 * np.cos(frame / 7))
    return (40 + sway[0], 24 + sway[1]), (352 - sway[0], 24 - sway[1])


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, _mesh: None) -> Stage:
    if not FACES.is_dir():
        pytest.skip("the photos are not here")
    from training.evaluation.photos import read, wear
    from training.needs import MaskKind

    folder = tmp_path_factory.mktemp("people")
    bare = [large(read(FACES / f"{name}.avif")) for name in (*NAMED, OTHER)]
    masked = []
    for number, photo in ((0, bare[0]), (2, bare[2])):
        worn = wear(photo, np.random.default_rng(number), MaskKind.SURGICAL)
        assert worn is not None, "no face was found"
        masked.append(worn[0])
    with av.open(str(folder / "clip.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        for frame in range(FRAMES):
            image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
            for picture, (left, top) in zip(masked, place(frame), strict=True):
                image[top : top + SIDE, left : left + SIDE] = picture
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    for name, photo in (("same.png", bare[0]), ("elsewhere.png", bare[1])):
        cv2.imwrite(str(folder / name), photo[..., ::-1])
    return Stage(folder / "clip.mkv", folder / "same.png", folder / "elsewhere.png")


def large(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(photo, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)


def planes(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


def changed(before: Path, after: Path) -> NDArray[np.bool_]:
    """(frames, 2) whether any sample of the left and of the right half differs."""
    found = []
    for one, other in zip(planes(before), planes(after), strict=True):
        differs = one != other
        found.append((differs[..., : WIDTH // 2].any(), differs[..., WIDTH // 2 :].any()))
    return np.array(found)


@pytest.mark.parametrize(("flag", "drawn"), [("--only", 0), ("--except", 1)])
def test_the_right_mask_goes_and_the_others_pixels_stay(stage: Stage, tmp_path: Path, flag: str, drawn: int) -> None:
    out, report = tmp_path / "out.mkv", tmp_path / "report.json"
    arguments = ["run", str(stage.clip), "-o", str(out), flag, str(stage.same), "--report", str(report), *FAST]
    assert cli.main(arguments) == 0
    sides = changed(stage.clip, out)
    assert sides[:, drawn].mean() >= 0.99
    assert not sides[:, 1 - drawn].any()
    (told,) = json.loads(report.read_text())["files"]
    assert told["people"] == 2
    assert told["faces_left"] == {"not chosen": FRAMES}
    assert "recogniser" in told["networks"]


def test_verify_tells_one_person_from_two(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(stage.same), str(stage.elsewhere)]) == 0
    assert capsys.readouterr().out.startswith("same person: their embeddings are ")
    assert cli.main(["verify", str(stage.same), str(FACES / f"{OTHER}.avif")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("different people: their embeddings are ")
    assert "no proof" in said


def test_a_picture_without_a_face_is_refused(stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grey = tmp_path / "grey.png"
    cv2.imwrite(str(grey), np.full((64, 64, 3), 128, np.uint8))
    assert cli.main(["verify", str(stage.same), str(grey)]) == 1
    assert "shows no face" in capsys.readouterr().err
    both = tmp_path / "both.png"
    photo = cv2.imread(str(stage.same))
    cv2.imwrite(str(both), np.hstack([photo, photo]))
    assert cli.main(["run", str(stage.clip), "-o", str(tmp_path / "out.mkv"), "--only", str(both), *FAST]) == 1
    assert "shows 2 faces: cut out the one you mean" in capsys.readouterr().err


def test_without_the_extra_the_cure_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dlib_resnet, "missing", lambda: f"the package is not installed: {dlib_resnet.CURE}")
    asked = ["verify", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--recogniser", "dlib-resnet"]
    assert cli.main(asked) == 1
    assert "make setup EXTRAS=identity" in capsys.readouterr().err


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Ten people with three photos each, and embeddings of them as if they had been looked at before."""
    draw = np.random.default_rng(0)
    owner = np.repeat(np.arange(10), 3)
    near = draw.normal(size=(10, 128))[owner]
    (tmp_path / "photos").mkdir()
    for number, person in enumerate(owner):
        cv2.imwrite(str(tmp_path / "photos" / f"person{person}_{number}.png"), np.zeros((4, 4, 3), np.uint8))
    bare, worn = (unit((near + draw.normal(size=near.shape)).astype(np.float32)) for _ in range(2))
    unknown, yes = np.full_like(bare, np.nan), np.ones(len(owner), bool)
    pictures = np.zeros((len(owner), 150, 150, 3), np.uint8)
    sides = (Side(found, pictures, masked, unknown) for found, masked in ((bare, ~yes), (worn, yes)))
    looked = BareAndWorn(*sides, design=np.arange(len(owner)) % 4)
    looked.save(tmp_path / "kept.npz")
    return tmp_path


def test_evaluate_identity_writes_scores_and_curves(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", "identity", "--data", str(kept / "photos"), "--keep", str(kept / "kept.npz"), "--quiet"]
    assert cli.main([*arguments, "--json", str(kept / "scores.json"), "--plots", str(kept / "curves")]) == 0
    told = json.loads((kept / "scores.json").read_text())
    assert list(told["settings"]) == ["U-U", "U-M", "M-M", "MLFW"]
    ours = ["recogniser", "recogniser where masked", "eum_srt and recogniser"]
    assert list(told["settings"]["U-M"]) == ["baseline", "eum_srt", *ours]
    assert told["settings"]["U-U"]["baseline"] == told["settings"]["U-U"]["eum_srt"], "bare faces are not repaired"
    assert told["masks"] == "both"
    assert len(list((kept / "curves").glob("*.png"))) == 8
    assert "eum_srt" in capsys.readouterr().out


def test_embeddings_of_another_set_or_without_drawn_faces_are_refused(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "identity", "--data", str(kept / "photos"), "--keep", str(kept / "kept.npz")]
    assert cli.main([*arguments, "--limit", "9"]) == 1
    assert "holds 30 photos, photos has 27" in capsys.readouterr().err
    assert cli.main([*arguments, "--draw", "5"]) == 1
    assert "was made without --draw" in capsys.readouterr().err
