"""How far a run has come: scores on faces that it never sees, and a sheet of the first of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.draw.inpaint import GROW_PX
from training.data.samples import Faces, draw_sample
from training.loop import losses
from training.loop.views import hole_of, picture, scaled, segmenter_sized

if TYPE_CHECKING:
    from pathlib import Path

    from training.loop.objectives import Batch
    from training.settings import TrainConfig

AT_ONCE = 16
"""Faces that a network is given at a time."""


def fixed_samples(config: TrainConfig) -> Batch:
    """The same validation batch in every run and at every step."""
    faces, rng = Faces.read(config.crops, "val"), np.random.default_rng(7)
    judges = config.network == "segmenter"
    drawn = partial(draw_sample, faces, size=config.size, bare=0.3 if judges else 0.0, plain=not judges)
    samples = [drawn(i * 5 % len(faces), rng) for i in range(config.samples)]
    pictures, truths, alphas = zip(*((s.picture, s.truth, s.alpha) for s in samples), strict=True)
    stack = [torch.from_numpy(np.stack(x).transpose(0, 3, 1, 2).copy()) for x in (pictures, truths)]
    return stack[0], stack[1], torch.from_numpy(np.rint(np.stack(alphas)[:, None] * 255).astype(np.uint8))


def validate(config: TrainConfig, network: nn.Module, samples: Batch, step: int) -> dict[str, float]:
    """Scores on the fixed samples, and a sheet of the first of them."""
    scored = _segmented if config.network == "segmenter" else _drawn
    scores, rows = scored(config, network, samples)
    write_sheet(config.run / f"sheet-{step:06d}.png", rows)
    return scores


@torch.no_grad()
def _segmented(_config: TrainConfig, network: nn.Module, samples: Batch) -> tuple[dict[str, float], list[Tensor]]:
    masked, want = picture(samples[0]), segmenter_sized(samples[2].float() / 255) > 0.5
    guess = _in_parts(network, segmenter_sized(masked))
    found, worn = guess > 0.5, want.flatten(1).any(1)
    iou = (found & want).sum((1, 2, 3)) / (found | want).sum((1, 2, 3)).clamp(min=1)
    wrongly = found[~worn].float().mean((1, 2, 3)) > 0.005
    shown = functional.interpolate(guess, masked.shape[2:]) * 2 - 1
    judged = {"iou": iou[worn], "false": wrongly.float()}
    scores = {name: values.mean().item() for name, values in judged.items() if len(values)}  # none shows it: no score
    return scores, [masked, shown.expand(-1, 3, -1, -1)]


@torch.no_grad()
def drawn_faces(config: TrainConfig, network: nn.Module, samples: Batch) -> tuple[Tensor, Tensor]:
    """What `network` draws for the samples, (B, 3, S, S) in [-1, 1], and their holes (B, 1, S, S)."""
    hole = hole_of(samples[2].float() / 255, grow=scaled(GROW_PX, config.size))
    return _in_parts(network, torch.cat([picture(samples[0]), hole], 1)), hole


def _drawn(config: TrainConfig, network: nn.Module, samples: Batch) -> tuple[dict[str, float], list[Tensor]]:
    drawn, hole = drawn_faces(config, network, samples)
    truth = picture(samples[1])
    made = losses.composite(drawn, truth, hole)
    inside = ((((made - truth) / 2) ** 2).mean(1, keepdim=True) * hole).sum((1, 2, 3)) / hole.sum((1, 2, 3))
    scores = {
        "hole_psnr": (-10 * torch.log10(inside)).mean().item(),
        "hole_l1": losses.hole_l1(drawn, truth, hole).item(),
        "hole_ssim": 1 - losses.hole_ssim(drawn, truth, hole).item(),
    }
    return scores, [picture(samples[0]), made, truth]


def _in_parts(network: nn.Module, inputs: Tensor) -> Tensor:
    device = next(network.parameters()).device
    return torch.cat([network(part.to(device)).cpu() for part in torch.split(inputs, AT_ONCE)])


def write_sheet(path: Path, rows: list[Tensor]) -> None:
    """The first eight of each row, under each other."""
    values = torch.cat([torch.cat(list(row[:8]), 2) for row in rows], 1)
    image = ((values.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy().transpose(1, 2, 0)
    cv2.imwrite(str(path), image[..., ::-1])
