"""A portrait with a painted mask through the product's path, with generators that are put in the place of ours."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx", reason="evaluating needs the extra `training`")
pytest.importorskip("skimage", reason="evaluating needs the extra `training`")

import cli
from engine.models import shipped
from engine.onnx_file import multiply_adds
from pipeline.errors import SourceError
from pipeline.frames import Detection, Skipped
from pipeline.geometry import Box
from pipeline.run.load import Networks
from tests.pipeline.faces import MadeEngine
from tests.pipeline.masked_scenes import Scene
from training.evaluation import evaluate
from training.evaluation.measures import MEASURES, Judge
from training.evaluation.photos import MaskedPhoto
from training.evaluation.product import Product

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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


def test_command_scores_pairs_and_writes_json_and_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = masked()
    for part, image in (("truth", one.truth), ("paint", one.image), ("mask", np.rint(one.alpha * 255))):
        (tmp_path / part).mkdir()
        suffix = "png" if part == "mask" else "jpg"
        Image.fromarray(image.astype(np.uint8)).save(tmp_path / part / f"p_cloth.{suffix}", quality=95)
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
