"""The training loop in full view: `python -m training.train NETWORK --crops DIR --run DIR`.

The generator is trained in two runs: its trunk alone on small crops, then the whole, warm from that.

A run resumes from its last checkpoint when the folder has one. The log is JSON lines; sample sheets are PNGs beside it.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import CheckpointError
from pipeline.geometry import CROP_SIZE
from pipeline.segment import INPUT_SIZE
from training import losses
from training.data import Faces, Masked, batches, draw_sample, read_textures
from training.discriminator import PatchDiscriminator
from training.generator import Generator, Trunk
from training.mcsam_paper import WIDTH, McsamPaper
from training.optimisers import OPTIMISERS
from training.segmenter import Segmenter
from training.stored_weights import read_weights

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class TrainConfig:
    """One run's settings."""

    network: str
    """`trunk` (the generator's), `generator`, `segmenter`, or `mcsam-paper`, which the generator is compared with."""
    crops: Path
    """Folder of stored crops: `train` and `val`, and `sharp` mixed in where present."""
    run: Path
    """Folder of the checkpoint, log and sheets."""
    size: int = 256
    """Side of the crops in pixels; what is learned small is learned four times as fast and carries over."""
    steps: int = 6000
    batch: int = 16
    rate: float = 4e-4
    """Step size at the start; it falls along a cosine to a twentieth."""
    optimiser: str = "muon"
    """`muon` or `adam`."""
    seed: int = 0
    threads: int = 1
    """Threads of the network; workers draw masks beside them."""
    workers: int = 1
    textures: Path | None = None
    sharpen_from: float = 0.45
    """Part of the run after which perceptual and adversarial losses join."""
    perceptual: float = 0.15
    adversarial: float = 0.012
    warm: Path | None = None
    """A checkpoint or an exported network to start from when the run is new."""
    samples: int = 96
    """Validation faces."""
    every: int = 500
    """Steps between checkpoints, validations and sheets."""
    paper_width: int = WIDTH
    """Channels of `mcsam-paper`'s first layer."""


def hole_of(alpha: Tensor, *, grow: int) -> Tensor:
    """(B, 1, S, S) what the generator fills: the alpha, grown by `grow` pixels and softened."""
    return functional.avg_pool2d(grown((alpha > 0.15).float(), grow), 3, stride=1, padding=1)


def grown(hole: Tensor, pixels: int) -> Tensor:
    """The largest value within a square of `pixels` to each side, rows first and then columns."""
    side = 2 * pixels + 1
    rows = functional.max_pool2d(hole, (side, 1), stride=1, padding=(pixels, 0))
    return functional.max_pool2d(rows, (1, side), stride=1, padding=(0, pixels))


def picture(x: Tensor) -> Tensor:
    """uint8 to [-1, 1]."""
    return x.float() / 127.5 - 1


def segmenter_sized(x: Tensor) -> Tensor:
    """(B, C, S, S) at the size of the segmenter's input."""
    return functional.avg_pool2d(x, x.shape[-1] // INPUT_SIZE)


class GeneratorLoss:
    """The generator's losses and its adversary's step."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.features = losses.EfficientNetFeatures().eval()
        self.adversary = PatchDiscriminator()
        self.optimiser = torch.optim.Adam(self.adversary.parameters(), lr=2e-4, betas=(0.0, 0.99))

    def state(self) -> dict[str, object]:
        """All that a resumed run needs of the adversary."""
        return {"adversary": self.adversary.state_dict(), "adversary_optimiser": self.optimiser.state_dict()}

    def load(self, state: dict[str, dict[str, object]]) -> None:
        """Restore what `state` gave."""
        self.adversary.load_state_dict(state["adversary"])
        self.optimiser.load_state_dict(state["adversary_optimiser"])

    def __call__(
        self, network: nn.Module, batch: tuple[Tensor, Tensor, Tensor], part: float
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch, `part` of the run through, and its terms for the log."""
        masked, truth = picture(batch[0]), picture(batch[1])
        hole = hole_of(batch[2].float() / 255, grow=self._scaled(int(torch.randint(1, 13, ()))))
        with torch.autocast("cpu", torch.bfloat16):
            drawn = network(torch.cat([masked, hole], 1).contiguous(memory_format=torch.channels_last))
        drawn = drawn.float()
        l1, ssim = losses.hole_l1(drawn, truth, hole), losses.hole_ssim(drawn, truth, hole)
        around = grown(hole, self._scaled(12))  # blending compares colours around the hole
        total = l1 + 0.2 * losses.hole_l1(drawn, truth, around) + 0.3 * ssim
        terms = {"l1": l1.item(), "ssim": ssim.item()}
        if part < self.config.sharpen_from:
            return total, terms
        fade = min(1.0, (part - self.config.sharpen_from) / 0.05)
        some = slice(0, max(1, len(drawn) // 2))  # as dear as the generator itself: half a batch steers as well
        seen = losses.perceptual(self.features, drawn[some], truth[some], hole[some])
        total = total + self.config.perceptual * fade * seen
        terms["perceptual"] = seen.item()
        if self.config.adversarial > 0:
            made = losses.composite(drawn, truth, hole)
            terms["adversary"] = self._train_adversary(made.detach(), truth, hole)
            self.adversary.requires_grad_(requires_grad=False)
            with torch.autocast("cpu", torch.bfloat16):
                fooled = losses.generator_hinge(self.adversary(truth, hole).float(), self.adversary(made, hole).float())
            self.adversary.requires_grad_(requires_grad=True)
            total = total + self.config.adversarial * fade * fooled
            terms["fooled"] = fooled.item()
        return total, terms

    def _scaled(self, pixels: int) -> int:
        """Pixels of a crop of this run for pixels of the canonical one; at least 1."""
        return max(1, round(pixels * self.config.size / CROP_SIZE))

    def _train_adversary(self, made: Tensor, truth: Tensor, hole: Tensor) -> float:
        self.optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = losses.discriminator_hinge(self.adversary(truth, hole).float(), self.adversary(made, hole).float())
        loss.backward()
        self.optimiser.step()
        return loss.item()


class SegmenterLoss:
    """The segmenter's loss; it has no adversary."""

    def state(self) -> dict[str, object]:
        """Nothing to keep."""
        return {}

    def load(self, state: dict[str, dict[str, object]]) -> None:
        """Nothing to restore."""

    def __call__(
        self, network: Segmenter, batch: tuple[Tensor, Tensor, Tensor], part: float
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch and its term for the log; the same at every `part` of the run."""
        del part
        crop, alpha = segmenter_sized(picture(batch[0])), segmenter_sized(batch[2].float() / 255)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network.logits(crop)
        loss = losses.segmentation(logits.float(), alpha)
        return loss, {"loss": loss.item()}


def fixed_samples(config: TrainConfig, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same validation batch in every run and at every step."""
    faces, rng = Faces.read(config.crops, "val"), np.random.default_rng(7)
    bare = 0.3 if config.network == "segmenter" else 0.0
    samples = [draw_sample(faces, i * 5 % len(faces), rng, size=config.size, bare=bare) for i in range(count)]
    pictures, truths, alphas = zip(*((s.picture, s.truth, s.alpha) for s in samples), strict=True)
    stack = [torch.from_numpy(np.stack(x).transpose(0, 3, 1, 2).copy()) for x in (pictures, truths)]
    return stack[0], stack[1], torch.from_numpy(np.rint(np.stack(alphas)[:, None] * 255).astype(np.uint8))


@torch.no_grad()
def validate(
    config: TrainConfig, network: nn.Module, samples: tuple[Tensor, Tensor, Tensor], step: int
) -> dict[str, float]:
    """Scores on the fixed samples, and a sheet of the first of them."""
    masked, truth, alpha = picture(samples[0]), picture(samples[1]), samples[2].float() / 255
    if config.network == "segmenter":
        guess = torch.cat([network(segmenter_sized(part)) for part in masked.split(16)])
        want = segmenter_sized(alpha) > 0.5
        found = guess > 0.5
        worn = want.flatten(1).any(1)
        iou = (found & want).sum((1, 2, 3)) / (found | want).sum((1, 2, 3)).clamp(min=1)
        shown = functional.interpolate(guess, masked.shape[2:]) * 2 - 1
        write_sheet(config.run / f"sheet-{step:06d}.png", [masked, shown.expand(-1, 3, -1, -1)])
        return {
            "iou": iou[worn].mean().item(),
            "false": (found[~worn].float().mean((1, 2, 3)) > 0.005).float().mean().item(),
        }
    hole = hole_of(alpha, grow=max(1, round(6 * config.size / CROP_SIZE)))
    drawn = torch.cat([network(torch.cat(pair, 1)) for pair in zip(masked.split(16), hole.split(16), strict=True)])
    made = losses.composite(drawn, truth, hole)
    inside = ((((made - truth) / 2) ** 2).mean(1, keepdim=True) * hole).sum((1, 2, 3)) / hole.sum((1, 2, 3))
    write_sheet(config.run / f"sheet-{step:06d}.png", [masked, made, truth])
    return {
        "hole_psnr": (-10 * torch.log10(inside)).mean().item(),
        "hole_l1": losses.hole_l1(drawn, truth, hole).item(),
    }


def write_sheet(path: Path, rows: list[Tensor]) -> None:
    """The first eight of each row, under each other."""
    values = torch.cat([torch.cat(list(row[:8]), 2) for row in rows], 1)
    image = ((values.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy().transpose(1, 2, 0)
    cv2.imwrite(str(path), image[..., ::-1])


def save(path: Path, state: dict[str, object]) -> None:
    """All or nothing: a run that dies while saving keeps its last checkpoint."""
    aside = path.with_suffix(".partial")
    torch.save(state, aside)
    aside.replace(path)


def restore(path: Path) -> dict[str, object]:
    """The state in `path`. Raises `CheckpointError` when it is not ours."""
    try:
        state = torch.load(path, weights_only=False)
    except Exception as error:
        raise CheckpointError(f"{path} can't be read as a checkpoint: {error}") from error
    if not isinstance(state, dict) or "network" not in state or "step" not in state:
        raise CheckpointError(f"{path} is not a checkpoint of training.train")
    return state


def begin_warm(network: nn.Module, path: Path) -> None:
    """Give `network` the weights of a checkpoint, of a trunk's checkpoint, or of an exported network.

    Raises `CheckpointError` when `path` is none of these or is of another network.
    """
    weights = read_weights(path) if path.suffix == ".onnx" else restore(path)["smooth"]
    wanted = network.state_dict().keys()
    if isinstance(network, Generator) and weights.keys() == network.trunk.state_dict().keys():
        network.trunk.load_state_dict(weights)
    elif missing := sorted(wanted - weights.keys()):
        raise CheckpointError(f"{path} holds no {missing[0]}: it is of another network than {type(network).__name__}")
    else:
        network.load_state_dict({name: weights[name] for name in wanted})


NETWORKS: dict[str, Callable[[TrainConfig], nn.Module]] = {
    "trunk": lambda _: Trunk(),
    "generator": lambda _: Generator(),
    "segmenter": lambda _: Segmenter(),
    "mcsam-paper": lambda config: McsamPaper(config.paper_width),
}


def train(config: TrainConfig) -> None:
    """Run to `config.steps`, resuming where the folder's checkpoint stands."""
    torch.set_num_threads(config.threads)
    cv2.setNumThreads(0)  # a pool of threads would not survive the fork of the workers
    torch.manual_seed(config.seed)
    config.run.mkdir(parents=True, exist_ok=True)
    network = NETWORKS[config.network](config)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # a sixth less time a step: the CPU's fast kernels want channels last
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    loss_of = SegmenterLoss() if config.network == "segmenter" else GeneratorLoss(config)
    smooth = copy.deepcopy(network).requires_grad_(requires_grad=False).eval()
    optimiser = OPTIMISERS[config.optimiser](network, config.rate)
    checkpoint, step = config.run / "checkpoint.pt", 0
    if checkpoint.exists():
        state = restore(checkpoint)
        network.load_state_dict(state["network"])
        smooth.load_state_dict(state["smooth"])
        optimiser.load_state_dict(state["optimiser"])
        loss_of.load(state)
        torch.set_rng_state(state["rng"])
        step = state["step"]
    elif config.warm is not None:
        begin_warm(network, config.warm)
        smooth.load_state_dict(network.state_dict())
    sets = [(Faces.read(config.crops, "train"), 0.9)]
    if (config.crops / "sharp.npz").exists():
        sets.append((Faces.read(config.crops, "sharp"), 0.1))
    bare = 0.3 if config.network == "segmenter" else 0.0
    dataset = Masked(
        sets, size=config.size, seed=config.seed + 1000 * step, bare=bare, textures=read_textures(config.textures)
    )
    fixed = fixed_samples(config, config.samples)
    started, waited, terms = time.time(), 0.0, {}
    with (config.run / "log.jsonl").open("a") as log:
        stream = batches(dataset, size=config.batch, workers=config.workers)
        while step < config.steps:
            asked = time.time()
            batch = next(stream)
            waited += time.time() - asked
            part = step / config.steps
            pace = min(1, (step + 1) / 200) * (0.05 + 0.95 * (0.5 + 0.5 * math.cos(math.pi * part)))
            for group in optimiser.param_groups:
                group["lr"] = group["initial_lr"] * pace
            optimiser.zero_grad()
            loss, terms = loss_of(network, batch, part)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            step += 1
            keep = min(0.998, step / (step + 20))
            with torch.no_grad():
                for ours, theirs in zip(smooth.parameters(), network.parameters(), strict=True):
                    ours.lerp_(theirs, 1 - keep)
                for ours, theirs in zip(smooth.buffers(), network.buffers(), strict=True):
                    ours.copy_(theirs)  # what a normalisation has counted is an average already
            if step % 50 == 0:
                seconds = time.time() - started
                line = {
                    "step": step,
                    "pictures": step * config.batch,
                    "seconds": round(seconds, 1),
                    "waited": round(waited, 1),
                }
                log.write(json.dumps(line | {k: round(v, 5) for k, v in terms.items()}) + "\n")
                log.flush()
            if step % config.every == 0 or step == config.steps:
                scores = validate(config, smooth, fixed, step)
                log.write(json.dumps({"step": step, "validation": scores}) + "\n")
                log.flush()
                state = {
                    "network": network.state_dict(),
                    "smooth": smooth.state_dict(),
                    "optimiser": optimiser.state_dict(),
                }
                state |= {"step": step, "rng": torch.get_rng_state(), "config": asdict(config), "scores": scores}
                save(checkpoint, state | loss_of.state())


def main() -> None:
    """Read the flags and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=list(NETWORKS))
    for name, kind in (("crops", Path), ("run", Path)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    for name, kind in (
        ("size", int),
        ("steps", int),
        ("batch", int),
        ("rate", float),
        ("seed", int),
        ("threads", int),
        ("workers", int),
        ("every", int),
    ):
        parser.add_argument(f"--{name}", type=kind, default=getattr(TrainConfig, name))
    for name in ("sharpen_from", "perceptual", "adversarial"):
        parser.add_argument("--" + name.replace("_", "-"), type=float, default=getattr(TrainConfig, name))
    parser.add_argument("--optimiser", choices=list(OPTIMISERS), default=TrainConfig.optimiser)
    for name in ("textures", "warm"):
        parser.add_argument(f"--{name}", type=Path)
    train(TrainConfig(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
