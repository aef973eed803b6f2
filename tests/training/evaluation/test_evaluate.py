"""A portrait with a painted mask through the product's path, with generators that are put in the place of ours."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx", reason="evaluating needs the extra `training`")
pytest.importorskip("skimage", reason="evaluating needs the extra `training`")

import cli
from engine.models import shipped
from engine.onnx_file import multiply_adds
from pipeline.demo.clip import mask_alpha, masked_portrait, portrait
from pipeline.errors import SourceError
from pipeline.frames import Detection, Skipped
from pipeline.geometry import Box
from pipeline.run.load import Networks
from tests.pipeline.faces import MadeEngine
from tests.pipeline.masked_scenes import Scene
from tests.training.enrol.portraits import pose
from training.evaluation import evaluate
from training.evaluation.measures import MEASURES, Judge
from training.evaluation.photos import FixedPairs, MaskedPhoto, reference_photos
from training.evaluation.product import Product

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from engine.spec import Array
    from pipeline.frames import Frame

SCENE = Scene(width=320, height=300, noise=0)


def masked() -> MaskedPhoto:
    alpha = SCENE.mask_in_frame()
    return MaskedPhoto("portrait", "cloth", SCENE.bare(), alpha, SCENE.masked())


@dataclass(frozen=True)
class MadeDetector:
    """Sees the scene's face, or none."""

    blind: bool = False

    def __call__(self, _frame: Frame) -> tuple[Detection, ...]:
        points = SCENE.landmarks()
        (left, top), (right, bottom) = points.points.min(0) - 30, points.points.max(0) + 40
        return () if self.blind else (Detection(Box(left, top, right, bottom), points, 0.9),)


def sees(mask: NDArray[np.float32]) -> MadeEngine:
    """A segmenter that says `mask` (256, 256)."""
    return MadeEngine(lambda feeds: {"mask": np.repeat(mask[None, None, ::2, ::2], len(feeds["crop"]), 0)})


def draws(colour: float) -> MadeEngine:
    """A generator that paints one grey, in [-1, 1]."""

    def answer(feeds: Mapping[str, Array]) -> dict[str, Array]:
        return {"face": np.full((len(feeds["crop_and_mask"]), 3, 256, 256), colour, np.float32)}

    return MadeEngine(answer)


def product(*, blind: bool = False, mask: NDArray[np.float32] | None = None) -> Product:
    found = SCENE.mask_in_crop() if mask is None else mask
    generator = shipped("generator")
    head = MadeEngine(lambda feeds: {"figure": np.ones((len(feeds["drawn"]), 1, 128, 128), np.float32)})
    return Product(Networks(MadeDetector(blind), sees(found), draws(0.2), head, {"generator": generator}, "made"))


def scored(parts: Product, **baselines: MadeEngine) -> dict[str, object]:
    marks, fates = evaluate.score([masked()], parts, Judge(parts), baselines, labels={}, counted=iter)
    return evaluate.summary(marks, fates, parts, baselines)


def without_description(found: dict[str, object], name: str) -> dict[str, object]:
    told = dict(found["baselines"][name])
    assert told.pop("description")
    return told


def test_mask_is_gone_with_either_mask_and_stays_when_untouched() -> None:
    found = scored(product())
    assert found["fates"] == {"drawn": 1}
    assert found["baselines"]["untouched"]["hole_psnr"] < found["true_mask"]["hole_psnr"]
    assert found["predicted_mask"]["hole_psnr"] == pytest.approx(found["true_mask"]["hole_psnr"], abs=0.3)
    assert found["segmenter_iou"] > 0.95
    assert found["hole_fraction"] == pytest.approx(masked().alpha.mean(), abs=1e-5)
    assert found["gmacs"] == pytest.approx(multiply_adds(shipped("generator")) / 1e9, abs=0.001)
    assert set(found["true_mask"]) == {*MEASURES, "kid", "kid_low", "kid_high"}
    assert found["true_mask"]["perceptual"] is None
    assert found["per_type"]["cloth"]["true_mask"] == found["true_mask"]


def test_groups_are_scored_apart_and_photos_that_no_label_tells_of_are_left_out() -> None:
    photos = [
        replace(masked(), name=name, truth=masked().truth // share) for name, share in (("a", 1), ("b", 4), ("c", 1))
    ]
    labels = {"a": {"lit": "well", "size": "all"}, "b": {"lit": "badly"}, "z": {"lit": "well"}}
    parts = product()
    marks, fates = evaluate.score(photos, parts, Judge(parts), {}, labels=labels, counted=iter)
    told = evaluate.summary(marks, fates, parts, {})["per_group"]
    counts = {name: {value: scores["photos"] for value, scores in values.items()} for name, values in told.items()}
    assert counts == {"lit": {"well": 1, "badly": 1}, "size": {"all": 1}}
    for value, mark in (("well", marks[0]), ("badly", marks[1])):
        assert told["lit"][value]["true_mask"] == evaluate.means([mark], "true_mask")
    assert told["lit"]["well"]["true_mask"] != told["lit"]["badly"]["true_mask"]


def test_pixels_away_from_the_mask_are_the_photos_own() -> None:
    parts = product()
    images = evaluate.process(parts, masked(), {}).images
    far = masked().alpha == 0
    far[60:] = False
    for name in ("true_mask", "predicted_mask"):
        assert np.array_equal(images[name][far], masked().image[far])
        assert not np.array_equal(images[name], masked().image)


def test_baseline_goes_the_same_way_with_the_true_mask() -> None:
    parts = product(mask=np.zeros((256, 256), np.float32))
    found = scored(parts, same=draws(0.2), dark=draws(-1.0))
    assert without_description(found, "same") == found["true_mask"]
    assert found["baselines"]["dark"]["hole_psnr"] < found["true_mask"]["hole_psnr"]


def test_mask_that_the_segmenter_misses_counts_as_standing() -> None:
    found = scored(product(mask=np.zeros((256, 256), np.float32)))
    assert found["segmenter_iou"] == 0
    assert found["fates"] == {Skipped.BARE.value: 1}
    assert found["predicted_mask"] == without_description(found, "untouched")
    assert found["true_mask"]["hole_psnr"] > found["predicted_mask"]["hole_psnr"]


def test_face_that_is_not_found_keeps_its_mask_and_is_scored_so() -> None:
    found = scored(product(blind=True))
    assert found["fates"] == {"face not found": 1}
    assert found["true_mask"] == found["predicted_mask"] == without_description(found, "untouched")
    assert found["segmenter_iou"] is None


class NoFaces:
    """Photos in which there is no face to draw a mask on."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, _number: int) -> None:
        return None


def test_photos_without_faces_are_an_error() -> None:
    parts = product()
    with pytest.raises(SourceError, match="none of the 3 photos"):
        evaluate.score(NoFaces(), parts, Judge(parts), {}, labels={}, counted=iter)


def write_pair(folder: Path, name: str, one: MaskedPhoto) -> None:
    for part, image in (("truth", one.truth), ("paint", one.image), ("mask", np.rint(one.alpha * 255))):
        (folder / part).mkdir(exist_ok=True, parents=True)
        suffix = "png" if part == "mask" else "jpg"
        Image.fromarray(image.astype(np.uint8)).save(folder / part / f"{name}.{suffix}", quality=95)


def write_photos(folder: Path, name: str, *photos: NDArray[np.uint8]) -> None:
    """Photos to learn a person's face from."""
    (folder / "reference" / name).mkdir(parents=True)
    for number, photo in enumerate(photos):
        Image.fromarray(photo).save(folder / "reference" / name / f"{number}.png")


def test_command_scores_pairs_and_writes_json_and_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pair(tmp_path, "p_cloth", masked())
    told, sheet = tmp_path / "scores.json", tmp_path / "sheet.png"
    flags = ["--pairs", str(tmp_path), "--fast", "--threads", "1", "--json", str(told), "--sheet", str(sheet)]
    (tmp_path / "groups.csv").write_text("name,age group\np_cloth,over 60\n")
    flags += ["--sheets", str(tmp_path / "sheets"), "--groups", str(tmp_path / "groups.csv")]
    assert cli.main(["evaluate", "generator", *flags]) == 0
    scores = json.loads(told.read_text())
    assert scores["photos"] == 1
    assert scores["true_mask"]["hole_psnr"] > scores["baselines"]["untouched"]["hole_psnr"]
    assert f"{scores['true_mask']['psnr']:.4f}" in capsys.readouterr().out
    assert scores["per_group"]["age group"]["over 60"]["true_mask"] == scores["true_mask"]
    written = {path.name: path for path in (tmp_path / "sheets").iterdir()}
    assert set(written) == {"kind-cloth.png", "age-group-over-60.png"}
    for path in (sheet, *written.values()):
        with Image.open(path) as shown:
            assert shown.size == (192, 18 + 4 * 180)
            assert "invented" in shown.info["Comment"]


def test_command_names_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["evaluate", "generator", "--fast", "--threads", "1"]
    assert cli.main([*flags, "--pairs", str(tmp_path)]) == 1
    assert "truth/*.jpg" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        cli.main([*flags, "--pairs", str(tmp_path), "--limit", "0"])
    assert ended.value.code == 2
    assert "at least 1" in capsys.readouterr().err


@dataclass
class Learned:
    """Faces of three people: one is better, one is worse and was not drawn by itself, one is refused."""

    pairs: FixedPairs
    asked: list[list[str]] = field(default_factory=list)

    def learn(self, name: str, photos: Sequence[Path]) -> Path:
        self.asked.append([photo.name for photo in photos])
        if name == "c_scarf":
            raise SourceError("the face came out -0.05 dB")
        return Path(f"{name}.face")

    def draw(self, image: NDArray[np.uint8], face: Path | None) -> tuple[NDArray[np.uint8], evaluate.DrawnBy]:
        """The truth, darker by so many levels."""
        number = next(number for number in range(3) if np.array_equal(self.pairs[number].image, image))
        levels = {None: 20, "a_cloth": 10, "b_gaiter": 40}[face and face.stem]
        drawn = np.where(self.pairs[number].truth > levels, self.pairs[number].truth - levels, 0).astype(np.uint8)
        doubt = {"shipped": {"in doubt": 1}}
        return drawn, {} if face is None else doubt if face.stem == "b_gaiter" else {face.stem: {"alone": 1}}


@pytest.fixture
def learned(tmp_path: Path) -> Learned:
    one = masked()
    for name, level in (("a_cloth", 0), ("b_gaiter", 3), ("c_scarf", 6)):
        write_pair(tmp_path, name, replace(one, truth=one.truth // 2 + np.uint8(level)))
        write_photos(tmp_path, name, *[one.truth[:, : 200 + 40 * number] for number in range(3)])
    return Learned(FixedPairs.of(tmp_path))


def people_of(learned: Learned, *, photos: int | None = None) -> list[evaluate.Person]:
    references = reference_photos(learned.pairs.folder / "reference", learned.pairs.names, most=photos)
    judge = Judge(product())
    return list(evaluate.people(learned.pairs, references, judge, learn=learned.learn, draw=learned.draw))


def test_who_is_refused_a_face_counts_as_drawn_by_the_shipped_network(learned: Learned, tmp_path: Path) -> None:
    found = people_of(learned)
    scores = evaluate.summary_of_people(found)
    better, worse, refused = (scores["per_person"][name] for name in learned.pairs.names)
    assert (scores["people"], scores["faces"], scores["drawn"]) == (3, 2, 1)
    assert refused["refused"] == "the face came out -0.05 dB"
    assert refused["own_face"] == refused["shipped"]
    assert better["own_face"]["hole_psnr"] > better["shipped"]["hole_psnr"] + 5
    assert worse["own_face"]["hole_psnr"] < worse["shipped"]["hole_psnr"] - 5
    assert (scores["worse"]["hole_psnr"], scores["worse"]["identity"]) == (1, 0)

    for which in ("shipped", "own_face"):
        decibels = [one[which]["hole_psnr"] for one in (better, worse, refused)]
        assert scores["mean"][which]["hole_psnr"] == pytest.approx(np.mean(decibels), abs=1e-4)
        assert scores["mean_of_faces"][which]["hole_psnr"] == pytest.approx(np.mean(decibels[:2]), abs=1e-4)
    told = evaluate.table_of_people(scores)
    assert "no face for c_scarf: the face came out -0.05 dB" in told
    for row in (better, scores["mean"], scores["mean_of_faces"]):
        assert f"{row['own_face']['hole_psnr']:.4f}" in told

    evaluate.sheet_of_people(tmp_path / "sheet.png", found)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (3 * 192, 18 + 4 * 180 + 288)  # four pictures of 320x300, and a photo of 200x300


def test_where_nobody_gets_a_face_there_is_no_mean_of_faces(learned: Learned) -> None:
    scores = evaluate.summary_of_people(people_of(learned)[2:])
    assert scores["faces"] == 0
    assert scores["mean_of_faces"]["own_face"]["hole_psnr"] is None
    assert scores["mean"]["own_face"] == scores["mean"]["shipped"]
    assert "0 with a face" in evaluate.table_of_people(scores)


@pytest.mark.parametrize(
    ("photos", "names"), [(1, ["0.png"]), (2, ["0.png", "1.png"]), (None, ["0.png", "1.png", "2.png"])]
)
def test_as_many_photos_are_learned_from_as_were_asked_for(
    photos: int | None, names: list[str], learned: Learned
) -> None:
    found = people_of(learned, photos=photos)
    assert learned.asked == [names] * 3
    assert [person.photos for person in found] == [len(names)] * 3


@pytest.mark.parametrize(
    ("measure", "own", "worse"),
    [("identity", 0.8, True), ("identity", 0.95, False), ("perceptual", 0.8, False), ("perceptual", 0.95, True)],
)
def test_a_distance_that_grows_is_worse_and_a_cosine_that_falls(measure: str, own: float, *, worse: bool) -> None:
    scores = {name: {"hole_psnr": 20.0, measure: value} for name, value in (("shipped", 0.9), ("own_face", own))}
    person = evaluate.Person("a", 4, None, 1.0, {}, scores, np.zeros((1, 1, 3), np.uint8))
    assert person.worse(measure) is worse


def test_people_without_photos_are_named(learned: Learned) -> None:
    folder = learned.pairs.folder / "reference"
    with pytest.raises(SourceError, match=r"no photos of d_cloth, e_cloth: it holds NAME/\*\.jpg"):
        reference_photos(folder, ["a_cloth", "d_cloth", "e_cloth"])


def test_command_learns_and_draws_as_enroll_and_run_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two people of whom one has a photo of a face and the other one of a wall."""
    pytest.importorskip("torch", reason="install barefaced[enroll]")
    from training.enrol import enrol
    from training.enrol.tune import TuningPlan

    monkeypatch.setattr(enrol, "FEW_PLAN", TuningPlan(steps=2, batch=1, rate=1e-3, size=128, perceptual=0.0))
    one = MaskedPhoto("", "", portrait(), mask_alpha(), masked_portrait())
    for name, photo in (("a_cloth", pose(1)[0]), ("b_cloth", portrait()[:60, :60])):
        write_pair(tmp_path, name, one)
        write_photos(tmp_path, name, photo, portrait())
    told, sheet = tmp_path / "scores.json", tmp_path / "sheet.png"
    asked = ["evaluate", "own-faces", "--pairs", str(tmp_path), "--fast", "--threads", "1", "--photos", "1"]
    assert cli.main([*asked, "--json", str(told), "--sheet", str(sheet), "--engine", "onnxruntime"]) == 0

    scores = json.loads(told.read_text())
    assert (scores["people"], scores["faces"], scores["drawn"]) == (2, 1, 1)
    face, none = scores["per_person"]["a_cloth"], scores["per_person"]["b_cloth"]
    assert set(face["drawn_by"]) == {"a_cloth"}
    assert face["own_face"] != face["shipped"]
    assert "no face to learn from" in none["refused"]
    assert none["own_face"] == none["shipped"] == face["shipped"]
    with Image.open(sheet) as shown:
        assert shown.size == (2 * 192, 18 + 5 * 192)
        assert "invented" in shown.info["Comment"]
    said = capsys.readouterr()
    assert "no face for b_cloth" in said.out
    assert re.search(r"1 of 2: a_cloth \(\d+ s\): [+-]\d+\.\d\d dB", said.err)
    assert "2 of 2: b_cloth" in said.err


def test_command_for_own_faces_names_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="install barefaced[enroll]")
    asked = ["evaluate", "own-faces", "--fast", "--pairs", str(tmp_path)]
    assert cli.main(asked) == 1
    assert "truth/*.jpg" in capsys.readouterr().err
    write_pair(tmp_path, "p_cloth", masked())
    assert cli.main(asked) == 1
    assert "reference has no photos of p_cloth" in capsys.readouterr().err
