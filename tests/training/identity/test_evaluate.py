from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest

from engine.spec import TensorSpec
from tests.pipeline.faces import MadeEngine
from training.identity import evaluate, metrics
from training.identity.evaluate import BareAndWorn, Side, comparing, methods, repaired
from training.identity.metrics import Rates
from training.identity.sets import PhotoSet

PEOPLE = np.repeat(np.arange(4), 3)
COUNT, WIDTH = len(PEOPLE), 6
EVERYTHING = np.ones(COUNT, bool)
FLIP = MadeEngine(
    lambda feeds: {"embedding": -feeds["masked"]}, (TensorSpec("masked", (None, WIDTH), np.dtype(np.float32)),)
)
CORNER = MadeEngine(
    lambda feeds: {"embedding": feeds["chip"][:, :, 0, 0]}, (TensorSpec("chip", (None, 3, 5, 5), np.dtype(np.float32)),)
)
"""Another recogniser: its embedding of a picture is the colour of the upper left corner."""


def side(seed: int, *, masked: bool, lost: int | None = None) -> Side:
    draw = np.random.default_rng(seed)
    vectors = draw.normal(size=(COUNT, WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    drawn = np.where(np.arange(COUNT)[:, None] % 2, np.float32(np.nan), vectors[::-1])
    if lost is not None:
        vectors[lost] = drawn[lost] = np.nan
    pictures = draw.integers(0, 256, (COUNT, 5, 5, 3), np.uint8)
    return Side(vectors, pictures, np.full(COUNT, masked), drawn.astype(np.float32))


@pytest.fixture
def photos() -> PhotoSet:
    files = tuple(Path(f"{person}_{number}.jpg") for number, person in enumerate(PEOPLE))
    return PhotoSet("made", files, PEOPLE, masked=None, pairs=None)


@pytest.fixture
def looked() -> BareAndWorn:
    return BareAndWorn(side(0, masked=False), side(1, masked=True, lost=4), design=np.arange(COUNT) % 3)


def one_by_one(looked: BareAndWorn, setting: str) -> tuple[list[float], list[float]]:
    """Genuine and impostor scores, every comparison thought of by itself."""
    hidden = setting in ("M-M", "MLFW")
    reference = looked.worn if hidden else looked.bare
    probe = looked.bare if setting == "U-U" else looked.worn
    orders = combinations(range(COUNT), 2) if setting != "U-M" else product(range(COUNT), repeat=2)
    genuine, impostor = [], []
    for one, two in orders:
        if one == two or not (reference.there[one] and probe.there[two]):
            continue
        same_person, same_mask = PEOPLE[one] == PEOPLE[two], looked.design[one] == looked.design[two]
        if setting == "MLFW" and same_person == same_mask:
            continue
        (genuine if same_person else impostor).append(float(reference.embedding[one] @ probe.embedding[two]))
    return sorted(genuine), sorted(impostor)


@pytest.mark.parametrize("setting", ["U-U", "U-M", "M-M", "MLFW"])
def test_what_is_compared_is_what_one_would_compare_by_hand(
    photos: PhotoSet, looked: BareAndWorn, setting: str
) -> None:
    found = comparing(photos, looked, setting, EVERYTHING).scores(lambda face: face.embedding)
    genuine, impostor = one_by_one(looked, setting)
    if setting == "U-M":  # a photo's own masked copy is no second photo of the person
        assert len(genuine) == 2 * 4 * 3 - 2
    assert sorted(found.genuine.tolist()) == pytest.approx(genuine, abs=1e-6)
    assert sorted(found.impostor.tolist()) == pytest.approx(impostor, abs=1e-6)
    assert (found.one != found.other).all()


def test_photos_that_are_left_out_are_not_compared(photos: PhotoSet, looked: BareAndWorn) -> None:
    first = np.arange(COUNT) < 6
    assert set(comparing(photos, looked, "U-U", first).pairs.flatten().tolist()) == set(range(6))


def test_only_faces_found_masked_are_repaired(looked: BareAndWorn) -> None:
    bare, worn = looked.bare, looked.worn
    assert (repaired(FLIP, bare, bare.embedding) == bare.embedding).all()
    there = worn.there
    assert (repaired(FLIP, worn, worn.embedding)[there] == -worn.embedding[there]).all()
    assert np.isnan(repaired(FLIP, worn, worn.embedding)[~there]).all()


def test_another_recogniser_looks_at_the_pictures_of_all_faces(photos: PhotoSet, looked: BareAndWorn) -> None:
    worn = looked.worn
    method = methods({"eum_srt": FLIP, "corner": CORNER}, drawing=False)["corner"]
    found = method(worn)
    colours = worn.pictures[:, 0, 0].astype(np.float32)
    expected = colours / np.linalg.norm(colours, axis=1, keepdims=True)
    assert found[worn.there] == pytest.approx(expected[worn.there], abs=1e-6)
    assert np.isnan(found[~worn.there]).all()
    scored = comparing(photos, looked, "U-M", EVERYTHING).scores(method)
    assert len(scored.genuine) == 22


def test_another_recogniser_may_be_asked_for_masked_faces_alone(looked: BareAndWorn) -> None:
    flat = MadeEngine(lambda feeds: {"embedding": feeds["chip"][:, 0, 0, :1].repeat(WIDTH, 1)}, CORNER.inputs)
    found = methods({"eum_srt": FLIP, "flat": flat}, drawing=False)
    assert (found["flat where masked"](looked.bare) == looked.bare.embedding).all()
    there = looked.worn.there
    alone, both = found["flat where masked"](looked.worn)[there], found["eum_srt and flat"](looked.worn)[there]
    assert alone == pytest.approx(np.full_like(alone, WIDTH**-0.5), abs=1e-6)
    summed = alone - looked.worn.embedding[there]
    assert both == pytest.approx(summed / np.linalg.norm(summed, axis=1, keepdims=True), abs=1e-6)


def test_methods_have_the_names_of_the_tables(looked: BareAndWorn) -> None:
    models = {"eum_srt": FLIP, "eum_t": FLIP, "eum_srt_drawn": FLIP}
    assert list(methods(models, drawing=False)) == ["baseline", "eum_srt", "eum_t"]
    found = methods(models, drawing=True)
    assert list(found)[3:] == ["inpainted", "eum_srt_drawn", "eum_srt on inpainted", "fusion"]
    shown = found["inpainted"](looked.worn)
    assert (shown[0] == looked.worn.drawn[0]).all()
    assert (shown[1] == looked.worn.embedding[1]).all(), "nothing was drawn there"
    both = -looked.worn.embedding[0] - looked.worn.drawn[0]
    assert found["fusion"](looked.worn)[0] == pytest.approx(both / np.linalg.norm(both), abs=1e-6)


def test_an_evaluation_says_all_that_its_json_holds(photos: PhotoSet, looked: BareAndWorn) -> None:
    found = evaluate.scores(photos, looked, {"eum_srt": FLIP}, settings=("U-U", "U-M"), drawn=6)
    assert list(found.told["settings"]) == ["U-U", "U-M"]
    row = found.told["settings"]["U-M"]["eum_srt"]
    assert row["genuine"] == 22
    assert row.keys() >= {"eer", "fmr100", "fmr1000", "auc", "genuine_mean", "impostor_mean", "fdr"}
    base = found.told["settings"]["U-M"]["baseline"]
    assert base["change"]["fmr1000"] == [0.0, 0.0]
    assert row["genuine_mean"] == pytest.approx(-base["genuine_mean"], abs=1e-6)
    at = row["at_bare_thresholds"]["fmr100"]
    assert at["avg"] == pytest.approx((at["fmr"] + at["fnmr"]) / 2)
    assert found.told["not_found"] == {"bare": 0, "worn": 1}
    assert found.told["found_masked"] == {"bare": 0.0, "worn": 1.0}
    assert "inpainted" in found.told["drawn"]["settings"]["U-M"]
    assert "eum_srt" in metrics.table(found.told)


def test_embeddings_come_back_as_they_were_kept(looked: BareAndWorn, tmp_path: Path) -> None:
    looked.save(tmp_path / "kept.npz")
    again = BareAndWorn.load(tmp_path / "kept.npz")
    assert np.array_equal(again.worn.drawn, looked.worn.drawn, equal_nan=True)
    assert (again.design == looked.design).all()


def test_curves_are_drawn_between_the_axes(tmp_path: Path) -> None:
    """A recogniser without errors runs along the ROC's upper edge; one that guesses is a straight line in the DET."""
    sure = Rates.of(np.array([0.9, 0.95]), np.array([0.1, 0.2]))
    (along,) = metrics.roc({"sure": sure}, "made").axes[0].lines
    x, y = along.get_xydata().T
    assert (y[x > np.log10(metrics.FMR_TICKS[0])] == 1).all()
    assert x.max() == np.log10(metrics.FMR_TICKS[-1])
    assert along.get_label() == "sure"

    fifty = Rates.of(np.linspace(0, 1, 101), np.linspace(0, 1, 101))
    chance = metrics.det({"chance": fifty}, "made")
    x, y = chance.axes[0].lines[0].get_xydata().T
    inside = (x > -1.6) & (x < 0)
    assert inside.sum() > 40
    assert np.abs(x + y)[inside].max() < 0.05
    metrics.write(tmp_path / "det.png", chance)
    assert (tmp_path / "det.png").stat().st_size > 1000
