"""What a network is trained for: the losses of a batch, weighed as the settings say, and how far a run has come.

Scores are on faces that the network never learns from; a sheet shows the first of them. Last come the optimisers, which
turn the losses' slopes into steps, and which products a device learns sooner with.
"""

from __future__ import annotations

import time
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from engine.select import find_backend
from engine.spec import Precision
from pipeline.draw.hole import GROW_PX
from training.data.samples import SOUGHT, Faces, draw_sample, hole_psnr
from training.loop import losses
from training.loop.losses import Adversary, EfficientNetFeatures, compared
from training.loop.stream import Batch, grown, hole_of, picture, scaled
from training.networks.generator import Generator, Logits, Segmenter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from training.loop.stream import World
    from training.settings import TrainConfig


FADE = 0.05
"""Part of the run over which the losses that join late come to their weight."""


class Objective(Protocol):
    """The losses of one network."""

    def __call__(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, `progress` in [0, 1] of the run through, and its terms for the log."""
        ...

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs beside network and optimiser."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` gave."""
        ...


class GeneratorLoss:
    """The loss of networks that draw faces: differences of pixels at first, of features and patches later."""

    def __init__(self, config: TrainConfig, network: nn.Module, world: World) -> None:
        self.config, self.network = config, world.shared(network)
        looked_at = max(config.perceptual, config.style, config.identity, config.contextual) > 0
        self.features = EfficientNetFeatures().to(world.device).eval() if looked_at else None
        self.adversary = Adversary(config, world) if config.adversarial > 0 else None

    def state(self) -> dict[str, Any]:
        """The adversary's; nothing without one."""
        return self.adversary.state() if self.adversary else {}

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` gave; an adversary that the checkpoint's run did not have begins anew."""
        if self.adversary and "adversary" in state:
            self.adversary.load(state)

    def __call__(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """As `Objective`."""
        config = self.config
        masked, truth = picture(batch.pictures), picture(batch.truths)
        hole = hole_of(batch.alphas.float() / 255, grow=scaled(int(torch.randint(1, 13, ())), config.size))

        with torch.autocast(masked.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            crop_and_mask = torch.cat([masked, hole], 1).contiguous(memory_format=torch.channels_last)
            drawn = self.network(crop_and_mask, *([batch.expressions] if config.expression > 0 else []))
        drawn = drawn.float()

        seen = hole if config.supervision == "composite" else torch.ones_like(hole)
        known = batch.known
        if not known.any():  # as chance may have it where pictures are mixed anew: nothing to compare with
            return drawn.sum() * 0, {}
        compared_with_truth = drawn[known], truth[known], seen[known]
        terms = self._of_pixels(*compared_with_truth)
        if progress >= config.sharpen_from:
            fade = min(1.0, (progress - config.sharpen_from) / FADE)
            made = losses.composite(drawn, truth, seen)
            late = self._of_features(*compared_with_truth) | self._of_patches(made, genuine(truth, known), hole)
            terms |= {name: (fade * weight, value) for name, (weight, value) in late.items()}

        total = sum((weight * value for weight, value in terms.values()), drawn.new_zeros(()))
        return total, {name: value.detach() for name, (_, value) in terms.items()}

    def _of_pixels(self, drawn: Tensor, truth: Tensor, seen: Tensor) -> dict[str, tuple[float, Tensor]]:
        """Weights and values of what is wanted; so do the others."""
        config, found = self.config, {}
        if config.l1 > 0:
            found["l1"] = config.l1, losses.hole_l1(drawn, truth, seen)
        if config.around > 0:
            found["around"] = config.around, losses.hole_l1(drawn, truth, grown(seen, scaled(12, config.size)))
        if config.ssim > 0:
            found["ssim"] = config.ssim, losses.hole_ssim(drawn, truth, seen)
        if config.ms_ssim > 0:
            found["ms_ssim"] = config.ms_ssim, losses.hole_ms_ssim(drawn, truth, seen)
        if config.specks > 0:
            found["specks"] = config.specks, losses.hole_specks(drawn, truth, seen)
        return found

    def _of_features(self, drawn: Tensor, truth: Tensor, seen: Tensor) -> dict[str, tuple[float, Tensor]]:
        if self.features is None:
            return {}
        some = slice(0, max(1, len(drawn) // 2))  # as dear as the generator itself: half a batch steers as well
        pairs = compared(self.features, drawn[some], truth[some], seen[some])
        wanted = (
            ("perceptual", self.config.perceptual, losses.perceptual),
            ("style", self.config.style, losses.style),
            ("identity", self.config.identity, losses.identity),
        )
        found = {name: (weight, loss(pairs)) for name, weight, loss in wanted if weight > 0}
        if self.config.contextual > 0:
            sought = losses.contextual(self.features, drawn[some], truth[some], seen[some])
            found["contextual"] = self.config.contextual, sought
        return found

    def _of_patches(self, made: Tensor, truth: Tensor, hole: Tensor) -> dict[str, tuple[float, Tensor]]:
        """The adversary learns from the batch, and then judges it."""
        if self.adversary is None:
            return {}
        judged = self.adversary.train(made, truth, hole)
        return {
            "adversary": (0.0, judged),
            "fooled": (self.config.adversarial, self.adversary.fooled(made, truth, hole)),
        }


def genuine(truth: Tensor, known: Tensor) -> Tensor:
    """(B, 3, S, S) the truths, with those that are not `known` (B,) replaced by others of the batch: bare faces all."""
    (places,) = known.nonzero(as_tuple=True)
    order = torch.arange(len(known), device=known.device)
    return truth[torch.where(known, order, places[order % len(places)])]


class SegmenterLoss:
    """The segmenter's; it has no adversary."""

    def __init__(self, config: TrainConfig, network: Segmenter, world: World) -> None:
        self.bf16, self.logits = config.precision == "bf16", world.shared(Logits(network))

    def state(self) -> dict[str, Any]:
        """Give nothing: there is no state beside network and optimiser."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Do nothing, since `state` gives nothing."""

    def __call__(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """As `Objective`; the same all through the run."""
        del progress
        crop, alpha = picture(batch.pictures), batch.alphas.float() / 255
        with torch.autocast(crop.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self.logits(crop)
        loss = losses.segmentation(logits.float(), alpha)
        return loss, {"loss": loss.detach()}


def objective(config: TrainConfig, network: nn.Module, world: World) -> Objective:
    """The losses that a run trains `network` for, in `world`."""
    if isinstance(network, Segmenter):
        return SegmenterLoss(config, network, world)
    return GeneratorLoss(config, network, world)


AT_ONCE = 16
"""Faces that a network is given at a time."""


def fixed_samples(config: TrainConfig) -> Batch:
    """A validation batch that is the same in every run and at every step."""
    faces, rng = Faces.read(config.crops, "val"), np.random.default_rng(7)
    judges = config.network == "segmenter"
    bare, odd = (0.3, SOUGHT) if judges else (0.0, None)
    drawn = partial(draw_sample, faces, size=config.size, bare=bare, plain=not judges, odd=odd)
    indices = [number * 5 % len(faces) for number in range(config.samples)]
    samples = [drawn(index, rng) for index in indices]

    pictures, truths, alphas = zip(*((s.picture, s.truth, s.alpha) for s in samples), strict=True)
    stacks = [torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy()) for images in (pictures, truths)]
    whole_alphas = torch.from_numpy(np.rint(np.stack(alphas)[:, None] * 255).astype(np.uint8))
    expressions = np.column_stack([faces.expressions[indices], np.ones(len(indices), np.float32)])
    return Batch(
        stacks[0], stacks[1], whole_alphas, torch.from_numpy(expressions), torch.ones(len(indices), dtype=torch.bool)
    )


def validate(config: TrainConfig, network: nn.Module, samples: Batch, step: int) -> dict[str, float]:
    """Scores on the fixed samples, and a sheet of the first of them."""
    scored = _segmented if config.network == "segmenter" else _drawn
    scores, rows = scored(config, network, samples)
    write_sheet(config.run / f"sheet-{step:06d}.png", rows)
    return scores


@torch.no_grad()
def _segmented(_config: TrainConfig, network: nn.Module, samples: Batch) -> tuple[dict[str, float], list[Tensor]]:
    masked, alphas = picture(samples.pictures), samples.alphas.float() / 255
    guess = _in_parts(network, masked)
    found, want, thin = guess > 0.5, alphas > 0.5, losses.thin_parts(alphas) > 0.5
    worn = want.flatten(1).any(1)
    iou = (found & want).sum((1, 2, 3)) / (found | want).sum((1, 2, 3)).clamp(min=1)
    wrongly = found[~worn].float().mean((1, 2, 3)) > 0.005
    judged = {"iou": iou[worn], "false": wrongly.float(), "thin": found[thin].float()}
    scores = {name: values.mean().item() for name, values in judged.items() if len(values)}  # none shows it: no score
    return scores, [masked, (guess * 2 - 1).expand(-1, 3, -1, -1)]


@torch.no_grad()
def drawn_faces(
    config: TrainConfig, network: nn.Module, samples: Batch, *, expressions: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What `network` draws for the samples, (B, 3, S, S) in [-1, 1], and their holes (B, 1, S, S).

    `expressions` (B, 5) is given to a network that takes them; None: it is told nothing of the mouths.
    """
    hole = hole_of(samples.alphas.float() / 255, grow=scaled(GROW_PX, config.size))
    crop_and_mask = torch.cat([picture(samples.pictures), hole], 1)
    inputs = (crop_and_mask,) if expressions is None else (crop_and_mask, expressions)
    return _in_parts(network, *inputs), hole


def _drawn(config: TrainConfig, network: nn.Module, samples: Batch) -> tuple[dict[str, float], list[Tensor]]:
    truth = picture(samples.truths)
    drawn, hole = drawn_faces(config, network, samples)
    scores, rows = _nearness(drawn, truth, hole), [picture(samples.pictures), losses.composite(drawn, truth, hole)]
    if config.expression > 0:
        given, _ = drawn_faces(config, network, samples, expressions=samples.expressions)
        scores |= {f"{name}_expression": value for name, value in _nearness(given, truth, hole).items()}
        rows.append(losses.composite(given, truth, hole))
    return scores, [*rows, truth]


def _nearness(drawn: Tensor, truth: Tensor, hole: Tensor) -> dict[str, float]:
    """The scores of drawn faces; those with the true expressions given end in `_expression`."""
    made = losses.composite(drawn, truth, hole)
    faces = zip(*(x.permute(0, 2, 3, 1).numpy() for x in (made, truth, hole)), strict=True)
    return {
        "hole_psnr": float(np.mean([hole_psnr(face, true, hidden[..., 0], span=2) for face, true, hidden in faces])),
        "hole_l1": losses.hole_l1(drawn, truth, hole).item(),
        "hole_ssim": 1 - losses.hole_ssim(drawn, truth, hole).item(),
    }


def _in_parts(network: nn.Module, *inputs: Tensor) -> Tensor:
    device = next(network.parameters()).device
    parts = zip(*(torch.split(tensor, AT_ONCE) for tensor in inputs), strict=True)
    return torch.cat([network(*(tensor.to(device) for tensor in few)).cpu() for few in parts])


def write_sheet(path: Path, rows: list[Tensor]) -> None:
    """The first eight of each row, under each other."""
    values = torch.cat([torch.cat(list(row[:8]), 2) for row in rows], 1)
    image = ((values.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy().transpose(1, 2, 0)
    cv2.imwrite(str(path), image[..., ::-1])


MOMENTUM = 0.95


def orthogonalised(gradients: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """The matrices nearest in shape to (N, R, C) `gradients` with singular values near 1.

    Five steps of the quintic Newton-Schulz iteration with the coefficients of Jordan et al. 2024 ("Muon: an optimizer
    for hidden layers in neural networks"), computed in `dtype`.
    """
    x: Tensor = gradients.to(dtype)
    if tall := x.shape[1] > x.shape[2]:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.mT if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Muon for convolutions, seen as matrices (outputs, inputs x taps); Adam for gains, biases and tiny filters.

    At equal pictures it learns faster than Adam alone: docs/training-log.md has the figure.
    """

    def __init__(self, network: nn.Module, rate: float, *, bf16: bool = True) -> None:
        self.dtype = torch.bfloat16 if bf16 else torch.float32  # without bf16 in hardware it takes ten times as long
        matrices = [p for p in network.parameters() if p.ndim == 4]
        others = [p for p in network.parameters() if p.ndim != 4]
        groups = [{"params": matrices, "lr": rate}, {"params": others, "lr": rate}]
        super().__init__(groups, {"lr": rate, "initial_lr": rate})
        self.adam = torch.optim.Adam(others, lr=rate, betas=(0.9, 0.99))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; `closure` isn't supported."""
        if closure is not None:
            raise NotImplementedError("Muon takes no closure")
        alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
        for parameter in self.param_groups[0]["params"]:
            velocity = self.state[parameter].setdefault("velocity", torch.zeros_like(parameter))
            velocity.lerp_(parameter.grad, 1 - MOMENTUM)
            ahead = parameter.grad.lerp(velocity, MOMENTUM).flatten(1)
            alike.setdefault(ahead.shape, []).append((parameter, ahead))
        for shape, pairs in alike.items():  # matrices of one shape in one product: a GPU waits less
            changes = orthogonalised(torch.stack([ahead for _, ahead in pairs]), self.dtype)
            # 0.2 sqrt(larger side): as large an update as Adam's (Liu et al. 2025, "Muon is scalable")
            step_size = -self.param_groups[0]["lr"] * 0.2 * max(shape) ** 0.5
            for (parameter, _), change in zip(pairs, changes, strict=True):
                parameter.add_(change.view_as(parameter), alpha=step_size)
        self.adam.param_groups[0]["lr"] = self.param_groups[1]["lr"]
        self.adam.step()

    def state_dict(self) -> dict[str, object]:
        """Velocities and Adam's moments."""
        return {"muon": super().state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, dict[str, object]]) -> None:
        """Restore what `state_dict` gave."""
        super().load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])


def adam(network: nn.Module, rate: float, *, bf16: bool = True) -> torch.optim.Optimizer:
    """Adam for all weights alike, in float32 whatever `bf16` says."""
    del bf16
    return torch.optim.Adam([{"params": list(network.parameters()), "initial_lr": rate}], lr=rate, betas=(0.9, 0.99))


OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"muon": Muon, "adam": adam}


def pays_in_bf16(device: str) -> bool:
    """Whether PyTorch's `device` learns sooner in bf16; where it has none, that is imitated in forty times the time."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    openvino = find_backend("openvino")
    return openvino.missing() is None and openvino.fastest() is Precision.BF16 and faster_in_bf16()


@cache
def faster_in_bf16() -> bool:
    """Whether this processor learns sooner in bf16 than in float32, as a small picture shows in some seconds.

    One with AMX does. One whose only bf16 is that of AVX-512 took 1.6 times as long (AMD EPYC, PyTorch 2.13).
    """
    network = Generator()
    crop = torch.zeros(2, 4, 128, 128).contiguous(memory_format=torch.channels_last)
    took: dict[bool, list[float]] = {False: [], True: []}
    for bf16 in (False, True) * 3:  # in turns, and the first of each prepares the kernels
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            drawn = network(crop)
        torch.autograd.backward(drawn.float().mean())
        took[bf16].append(time.perf_counter() - started)
    return min(took[True]) < min(took[False])
