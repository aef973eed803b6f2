"""The paper's generator at the cost of ours, trained by our loop for a given time, to be compared with."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipeline.errors import ConfigError
from training.evaluation.baselines import Filler
from training.loop.train import train
from training.networks.checkpoints import restore
from training.networks.generator import multiply_adds
from training.networks.mcsam_paper import McsamPaper, width_of
from training.settings import TrainConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.evaluation.baselines import Fill

PILOT_STEPS = 100
"""Of the run that tells how long a step takes. Its losses join as in the whole run, so its mean is the whole run's."""


def paper_baseline(folder: Path, crops: Path, *, gmacs: float, seconds: float, threads: int) -> Filler:
    """`mcsam-paper` at a cost of `gmacs`, trained on `crops` for about `seconds`; the run lies in `folder`.

    A run that was cut off goes on, and one that has ended is taken as it is. Raises `CheckpointError` for a foreign
    checkpoint and `ConfigError` for a run of another time or width.
    """
    config = TrainConfig(
        network="mcsam-paper", paper_width=width_of(gmacs * 1e9), crops=crops, run=folder, threads=threads
    )
    config = replace(config, steps=planned_steps(config, seconds))
    checkpoint = folder / "checkpoint.pt"
    if not checkpoint.exists() or restore(checkpoint)["step"] < config.steps:
        train(config)
    state = restore(checkpoint)
    network = McsamPaper(config.paper_width)
    network.load_state_dict(state["smooth"])
    cost = multiply_adds(network, 1, 4, 256, 256) / 1e9
    return Filler(f"width {config.paper_width}, {cost:.2f} GMACs, {state['step']} steps", filled_by(network))


def planned_steps(config: TrainConfig, seconds: float) -> int:
    """How many steps of `config` take `seconds` here. Told by a short run, and kept so that a resumed run agrees.

    Raises `ConfigError` when another time or width was kept.
    """
    plan, wanted = config.run / "plan.json", {"seconds": seconds, "width": config.paper_width}
    if plan.exists():
        kept = json.loads(plan.read_text())
        if {name: kept.get(name) for name in wanted} != wanted:
            raise ConfigError(
                f"{config.run} was trained for {kept['seconds']:g} s at width {kept.get('width')}, "
                f"not for {seconds:g} s at {config.paper_width}: give another --baseline-runs"
            )
        return int(kept["steps"])
    with tempfile.TemporaryDirectory() as aside:
        train(replace(config, run=Path(aside), steps=PILOT_STEPS, samples=8, every=PILOT_STEPS))
        lines = [json.loads(line) for line in (Path(aside) / "log.jsonl").read_text().splitlines()]
    taken = [line["seconds"] for line in lines if line.get("step") == PILOT_STEPS and "seconds" in line]
    steps: int = max(1, round(seconds * PILOT_STEPS / taken[0]))
    config.run.mkdir(parents=True, exist_ok=True)
    plan.write_text(json.dumps(wanted | {"steps": steps, "seconds_a_step": taken[0] / PILOT_STEPS}))
    return steps


def filled_by(network: McsamPaper) -> Fill:
    """How the network fills the hole of one crop."""
    network.eval()

    @torch.no_grad()
    def fill(image: NDArray[np.uint8], hole: NDArray[np.float32]) -> NDArray[np.uint8]:
        crop = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1)
        face = network(torch.cat([crop, torch.from_numpy(hole)[None]])[None])[0]
        return np.asarray(((face + 1) * 127.5).round().clamp(0, 255).permute(1, 2, 0).numpy(), np.uint8)

    return fill
