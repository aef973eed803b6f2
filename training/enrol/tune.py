"""The shipped generator tuned to one person: a few hundred steps on pictures of them in drawn masks."""

from __future__ import annotations

import copy
import math
import os
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from engine.onnx_file import read_weight, stored_weights
from training.data.samples import Faces, Variation
from training.enrol.judge import mesh_of_landmarks
from training.loop import losses
from training.loop.objectives import Muon
from training.loop.stream import Batch, MaskedFaces, grown, hole_of, picture, scaled
from training.networks.checkpoints import HALF
from training.networks.generator import EXPRESSION, Generator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Generator as Stream

    from numpy.typing import NDArray

    from engine.spec import Array, Network
    from training.enrol.gather import View
    from training.enrol.judge import Draw

ONE_PERSON = Variation(
    turn=0.03, grow=(0.02, 0.05), shift=(-0.006, 0.015), shortened=0.0, mirrored=0.0, close_up=0.05, colourless=0.0
)
"""Views of one person are varied as much as a mask displaces their crop, and no more: nobody is their own mirror image.
On the crops of a run, 80 steps with this brought as much as 120 with the variation for anybody."""
AHEAD = 4
"""Batches that are drawn ahead of the network, in another thread."""
WIDEST_GROWN = 12
"""The hole is grown by 1 to so many pixels of the canonical crop, as in the training of the base."""


@dataclass(frozen=True)
class TuningPlan:
    """How a face is tuned."""

    steps: int = 240
    """Optimiser steps; fewer where the time is over before."""
    batch: int = 8
    """Pictures a step."""
    rate: float = 4e-4
    """Step size at its largest; it falls along a cosine to a twentieth."""
    size: int = 256
    """Side of the pictures."""
    layers: tuple[str, ...] = ("",)
    """How the names of the weights begin that are tuned; of all of them by default."""
    every: int = 30
    """Steps between two looks at the views held back."""
    judged: float = 0.25
    """The part of the tuning in which it is judged; in the rest it learns from all views.

    The views held back are the nearest in time to those that will be drawn: while they are held back for longer, less
    of the gain arrives there.
    """
    patience: int = 3
    """Looks without a gain after which the judging ends."""
    average: float = 0.95
    """How much of the averaged weights each step keeps."""
    part: float = 1.0
    """How far of the way from the shipped weights to the tuned ones the result goes, in (0, 1]."""
    around: float = 0.2
    """Weight of the absolute difference around the hole, beside that in it."""
    ssim: float = 0.3
    """Weight of 1 - SSIM."""
    perceptual: float = 0.15
    """Weight of the difference of ImageNet features."""
    contextual: float = 0.2
    """Weight of what is not found nearby, which keeps lips and teeth clear where they can't be foreseen."""
    specks: float = 5.0
    """Weight of the difference of fine colour, which the other losses let lips and teeth be dotted with."""
    seed: int = 0
    """The seed of all that is drawn by chance."""


@dataclass(frozen=True)
class TuningProgress:
    """How far a tuning has come."""

    step: int
    steps: int
    seconds: float
    gain: float | None
    """What the best look at the views held back gave over the shipped network, in dB; None before there was one."""


@dataclass
class Tuned:
    """A tuned network, and how it came about. Changed in place while it is tuned."""

    network: Generator
    """The result, which has learned from all views."""
    judged: Generator
    """The best of the networks that had not seen the views held back; `network` where none were."""
    steps: int = 0
    """How many steps were made, whether the last ones helped or not."""
    seconds: float = 0.0
    looks: list[tuple[int, float, float]] = field(default_factory=list)
    """Step, seconds and hole PSNR of each look at the views held back; the first is the shipped network's."""

    @property
    def gain(self) -> float | None:
        """The best look over the first, in dB."""
        return max(score for _, _, score in self.looks) - self.looks[0][2] if self.looks else None


@dataclass(frozen=True)
class HeldBack:
    """Views that a network is judged on before it learns from them."""

    views: Sequence[View]
    """The views that it is judged on."""
    afterwards: Sequence[View]
    """The views that it learns from once it was judged."""
    judge: Callable[[Draw], float]
    """The score of what a network draws there, in dB."""
    least_gain_db: float
    """A network that has gained less when the judging ends is given up."""


def tune(
    views: Sequence[View],
    base: Generator,
    plan: TuningPlan,
    *,
    learns: Callable[[str], bool],
    seconds: float,
    held_back: HeldBack | None,
    watch: Callable[[TuningProgress], None],
    device: str,
    bf16: bool,
) -> Tuned:
    """Tune a copy of `base` to `views` for at most so many seconds: those weights whose name `learns` takes.

    With `held_back` the network is judged in the first part of the plan, and in the rest it learns from all of them,
    unless it gained nothing. `device` is PyTorch's name of what computes; `bf16` pays where that has it.
    """
    started = time.monotonic()
    tuning = _Tuning(base, plan, learns, device=torch.device(device), bf16=bf16)
    tuned, judging = Tuned(copy.deepcopy(base), copy.deepcopy(base)), _Judging(plan, held_back)
    judging.look(tuning, tuned)

    batches = drawn_batches(views, plan)
    progress = 0.0
    while progress < 1:
        tuning.advance(next(batches), progress)
        tuned.steps, tuned.seconds = tuned.steps + 1, time.monotonic() - started
        progress = max(tuned.steps / plan.steps, tuned.seconds / seconds)
        if judging.goes_on:
            judging.look(tuning, tuned, ends=progress >= plan.judged)
            if judging.failed:
                break
            if not judging.goes_on and held_back is not None:
                batches.close()
                # Judged for good: from here on there is no reason to learn from less than all views.
                batches = drawn_batches(held_back.afterwards, plan)
        watch(TuningProgress(tuned.steps, plan.steps, tuned.seconds, tuned.gain))
    batches.close()

    tuning.copy_to(tuned.network)
    if held_back is None:
        tuning.copy_to(tuned.judged)
    return tuned


class _Judging:
    """The looks at the views held back, which end when the plan says so or nothing is gained any more."""

    def __init__(self, plan: TuningPlan, held_back: HeldBack | None) -> None:
        self.plan, self.held_back = plan, held_back
        self.goes_on, self.failed = held_back is not None, False
        self._stale = 0

    def look(self, tuning: _Tuning, tuned: Tuned, *, ends: bool = False) -> None:
        """Look when it is time, and keep the best network that was seen."""
        if self.held_back is None or not (ends or tuned.steps % self.plan.every == 0):
            return
        score = self.held_back.judge(tuning.draw)
        better = not tuned.looks or score > max(before for _, _, before in tuned.looks)
        tuned.looks.append((tuned.steps, tuned.seconds, score))
        self._stale = 0 if better else self._stale + 1
        if better:
            tuning.copy_to(tuned.judged)

        self.goes_on = not ends and self._stale < self.plan.patience
        self.failed = not self.goes_on and (tuned.gain or 0.0) < self.held_back.least_gain_db


class _Tuning:
    """A network that learns, and its averaged weights."""

    def __init__(
        self, base: Generator, plan: TuningPlan, learns: Callable[[str], bool], *, device: torch.device, bf16: bool
    ) -> None:
        torch.manual_seed(plan.seed)
        torch.set_num_threads(max(1, os.cpu_count() or 1))
        self.plan, self.device, self.bf16, self.step = plan, device, bf16, 0
        compares = plan.perceptual > 0 or plan.contextual > 0
        self.features = losses.EfficientNetFeatures().eval().to(device) if compares else None
        self.base = copy.deepcopy(base).requires_grad_(requires_grad=False).eval().to(device)
        self.network, self.average = copy.deepcopy(base).to(device), copy.deepcopy(self.base)
        for module in self.network.modules():
            if isinstance(module, nn.Conv2d):  # a CPU's fast kernels want channels last
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
        for name, weight in self.network.named_parameters():
            weight.requires_grad_(learns(name) and name.startswith(plan.layers))
        self.learning = nn.ParameterList(weight for weight in self.network.parameters() if weight.requires_grad)
        self.optimiser = Muon(self.learning, plan.rate, bf16=bf16)

    def advance(self, batch: Batch, progress: float) -> None:
        """One step on a batch, `progress` of the way through, in [0, 1]."""
        warming = min(1.0, (self.step + 1) / 10)
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate * warming * (0.05 + 0.95 * (0.5 + 0.5 * math.cos(math.pi * progress)))
        self.network.train()
        self.network.zero_grad()
        torch.autograd.backward(self._loss(batch))
        nn.utils.clip_grad_norm_(self.learning, 1.0)
        self.optimiser.step()

        self.step += 1
        # The first steps change most and are forgotten soon.
        keep = min(self.plan.average, self.step / (self.step + 10))
        with torch.no_grad():
            for held, weight in zip(self.average.parameters(), self.network.parameters(), strict=True):
                held.lerp_(weight, 1 - keep)

    def _loss(self, batch: Batch) -> Tensor:
        plan = self.plan
        pictures, truths, alphas = (part.to(self.device) for part in (batch[0], batch[1], batch[2]))
        masked, truth = picture(pictures), picture(truths)  # (N, 3, S, S) each
        grow = scaled(int(torch.randint(1, WIDEST_GROWN + 1, ())), plan.size)
        hole = hole_of(alphas.float() / 255, grow=grow)  # (N, 1, S, S)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            drawn = self.network(torch.cat([masked, hole], 1).contiguous(memory_format=torch.channels_last))
        drawn = drawn.float()

        inside = losses.hole_l1(drawn, truth, hole)
        around = losses.hole_l1(drawn, truth, grown(hole, scaled(12, plan.size)))
        total = inside + plan.around * around + plan.ssim * losses.hole_ssim(drawn, truth, hole)
        if plan.specks > 0:
            total = total + plan.specks * losses.hole_specks(drawn, truth, hole)
        if self.features is None:
            return total
        total = total + plan.contextual * losses.contextual(self.features, drawn, truth, hole)
        half = slice(0, max(1, len(drawn) // 2))  # as costly as the generator itself: half a batch steers as well
        seen = losses.compared(self.features, drawn[half], truth[half], hole[half])
        return total + plan.perceptual * losses.perceptual(seen)

    @torch.no_grad()
    def copy_to(self, network: Generator) -> None:
        """Give `network` the averaged weights, as far of the way from the base as the plan goes."""
        weights = (network.parameters(), self.base.parameters(), self.average.parameters())
        for weight, base, tuned in zip(*weights, strict=True):
            weight.copy_(torch.lerp(base, tuned, self.plan.part))  # from the device to where the network is

    @torch.no_grad()
    def draw(self, feed: NDArray[np.float32]) -> NDArray[np.float32]:
        """Faces (N, 3, S, S) of `feed` (N, 4, S, S), by the weights that `copy_to` gives."""
        network = self.average
        if self.plan.part < 1:
            network = copy.deepcopy(self.base)
            self.copy_to(network)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            drawn: NDArray[np.float32] = network(torch.from_numpy(feed).to(self.device)).float().cpu().numpy()
        return drawn


def drawn_batches(views: Sequence[View], plan: TuningPlan) -> Stream[Batch]:
    """Batches without end of the views in drawn masks, drawn ahead in another thread; the seed decides all of them."""
    meshes = np.stack([mesh_of_landmarks(view.landmarks) for view in views])
    unknown = np.zeros((len(views), EXPRESSION - 1), np.float32)  # landmarks tell too little of a mouth
    faces = Faces(np.stack([view.crop for view in views]), meshes, unknown)
    samples = MaskedFaces(
        [(faces, 1.0)], size=plan.size, seed=plan.seed, bare=0.0, textures=[], plain=True, variation=ONE_PERSON
    )

    def drawn(number: int) -> Batch:
        some = [samples[place] for place in range(number * plan.batch, (number + 1) * plan.batch)]
        return Batch(*(torch.stack(tensors) for tensors in zip(*some, strict=True)))

    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[Batch]] = deque()
        for number in count():
            waiting.append(thread.submit(drawn, number))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()


def names_in_file(base: Network) -> dict[str, str]:
    """Each parameter of a generator to its name in the file `base`; those that the exporter folded have none."""
    return {name.removesuffix(HALF): name for name in stored_weights(base)}


def weights_of(network: Generator, base: Network) -> Mapping[str, Array]:
    """The weights in which a generator differs from the file `base`, by their names there and in its types."""
    stored, names = stored_weights(base), names_in_file(base)
    found = {}
    for name, values in network.state_dict().items():
        if name in names:
            place = stored[names[name]]
            own = values.detach().numpy().astype(place.dtype).reshape(place.shape)
            if not np.array_equal(own, read_weight(base, place)):
                found[names[name]] = own
    return found
