"""What a generator is compared with, each in its place in the product: hole filled by other means.

None is shipped. Those that learn, learn from stored crops (`training.data.crops`) when they are asked for, and what
they learned is kept in a folder. One is the paper's generator at the cost of ours, trained by our loop for a given
time.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from engine.spec import Done, TensorSpec, checked_feeds
from pipeline.errors import ConfigError
from pipeline.geometry import CROP_SIZE
from training.data.crops import MARGIN
from training.loop.train import train
from training.networks.checkpoints import restore
from training.networks.generator import multiply_adds
from training.networks.mcsam_paper import McsamPaper, width_of
from training.settings import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from engine.spec import Array

    Fill = Callable[[NDArray[np.uint8], NDArray[np.float32]], NDArray[np.uint8]]


INPAINT_RADIUS = 5
"""Pixels around a point from which OpenCV's two methods take its colour."""

PCA_SIDE, PCA_FACES, PCA_COMPONENTS = 96, 2000, 128
"""Side of the pictures that are analysed, how many, and how many components are kept."""


@dataclass(frozen=True)
class Filler:
    """An engine that takes what the generator takes, and fills one crop after the other by `fill`."""

    description: str
    fill: Fill
    """(S, S, 3) uint8 RGB and hole (S, S) in [0, 1] to (S, S, 3) uint8."""

    inputs = (TensorSpec("crop_and_mask", (None, 4, CROP_SIZE, CROP_SIZE), np.dtype(np.float32)),)
    outputs = (TensorSpec("face", (None, 3, CROP_SIZE, CROP_SIZE), np.dtype(np.float32)),)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Fill the holes, as every engine computes. Raises `ShapeError`."""
        crops = checked_feeds(self.inputs, feeds)["crop_and_mask"]
        faces = np.empty((len(crops), 3, CROP_SIZE, CROP_SIZE), np.float32)
        for crop, face in zip(crops, faces, strict=True):
            image = np.clip(np.rint((crop[:3] + 1) * 127.5), 0, 255).astype(np.uint8).transpose(1, 2, 0)
            filled = self.fill(np.ascontiguousarray(image), crop[3])
            face[...] = filled.transpose(2, 0, 1) / np.float32(127.5) - 1
        return {"face": faces}

    def submit(self, feeds: Mapping[str, Array]) -> Done:
        """Fill the holes at once, and give what is already computed."""
        return Done(self.run(feeds))

    def close(self) -> None:
        """Do nothing: no network is held."""


def diffused(method: int) -> Fill:
    """OpenCV's `INPAINT_TELEA` or `INPAINT_NS`: colours flow in from the hole's rim."""

    def fill(image: NDArray[np.uint8], hole: NDArray[np.float32]) -> NDArray[np.uint8]:
        return np.asarray(cv2.inpaint(image, (hole > 0).astype(np.uint8), INPAINT_RADIUS, method), np.uint8)

    return fill


@dataclass(frozen=True)
class FaceSpace:
    """The mean of many faces and how they differ most (Everson and Sirovich 1995: gappy principal components)."""

    mean: NDArray[np.float32]
    """(s, s, 3) in [0, 255], s = `PCA_SIDE`."""
    components: NDArray[np.float32]
    """(k, s * s * 3), orthonormal."""
    spread: NDArray[np.float32]
    """(k,) standard deviation of each component's part in a face."""
    noise: float
    """Variance of a value that the components don't explain."""

    @classmethod
    def learned(cls, crops: NDArray[np.uint8]) -> FaceSpace:
        """Learn from stored crops (N, side, side, 3), evenly taken."""
        taken = crops[np.linspace(0, len(crops) - 1, min(PCA_FACES, len(crops))).astype(int)]
        faces = np.stack([_canonical(crop) for crop in taken]).astype(np.float32)
        mean = faces.mean(0)
        off = (faces - mean).reshape(len(faces), -1)
        values, vectors = np.linalg.eigh(off @ off.T)
        strongest = np.argsort(values)[::-1][: min(PCA_COMPONENTS, len(faces) - 1)]
        sizes = np.sqrt(np.maximum(values[strongest], 1e-6))
        components = (vectors[:, strongest] / sizes).T @ off
        spread = sizes / np.sqrt(len(faces))
        unexplained = (off.var(axis=0).sum() - (spread**2).sum()) / off.shape[1]
        quantised = 1 / 12  # no picture is finer than its 256 steps
        return cls(mean, components.astype(np.float32), spread.astype(np.float32), max(float(unexplained), quantised))

    @classmethod
    def read(cls, path: Path) -> FaceSpace:
        """The one that `cached` left in `path`."""
        with np.load(path) as stored:
            return cls(stored["mean"], stored["components"], stored["spread"], float(stored["noise"]))

    @classmethod
    def cached(cls, path: Path, crops: NDArray[np.uint8]) -> FaceSpace:
        """The one in `path`; learned from `crops` and written there when there is none."""
        if path.exists():
            return cls.read(path)
        space = cls.learned(crops)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, mean=space.mean, components=space.components, spread=space.spread, noise=space.noise)
        return space

    def average(self, _image: NDArray[np.uint8], _hole: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The mean face, whoever is there; its colours are met by blending."""
        return _enlarged(self.mean)

    def nearest(self, image: NDArray[np.uint8], hole: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The most likely face of this space for what is seen of `image`: its parts are taken for normal variables."""
        size = (PCA_SIDE, PCA_SIDE)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        seen = (cv2.resize(hole, size, interpolation=cv2.INTER_AREA) < 0.01).reshape(-1).repeat(3)
        basis = self.components[:, seen]
        prior = np.diag(self.noise / self.spread**2)
        parts = np.linalg.solve(basis @ basis.T + prior, basis @ (small - self.mean).reshape(-1)[seen])
        return _enlarged(self.mean + (parts @ self.components).reshape(self.mean.shape))


def _canonical(stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The canonical crop of a stored one, which is `MARGIN` times as wide."""
    side = stored.shape[0]
    rim = round(side * (1 - 1 / MARGIN) / 2)
    inner = stored[rim : side - rim, rim : side - rim]
    return np.asarray(cv2.resize(inner, (PCA_SIDE, PCA_SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _enlarged(face: NDArray[np.float32]) -> NDArray[np.uint8]:
    large = cv2.resize(face, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint(large), 0, 255).astype(np.uint8)


def unlearned() -> dict[str, Filler]:
    """The baselines that have learned nothing, by name."""
    description = f"OpenCV {cv2.__version__}, radius {INPAINT_RADIUS}"
    return {
        "telea": Filler(description, diffused(cv2.INPAINT_TELEA)),
        "navier-stokes": Filler(description, diffused(cv2.INPAINT_NS)),
    }


def untrained(space: FaceSpace) -> dict[str, Filler]:
    """The baselines that need no training run, by name."""
    return {
        "mean-face": Filler("the mean of the training faces", space.average),
        **unlearned(),
        "gappy-pca": Filler(f"{len(space.components)} components at {PCA_SIDE}x{PCA_SIDE}", space.nearest),
    }


PILOT_STEPS = 100
"""Steps of the run that tells how long a step takes. Its losses join as in the whole run, so its mean is the same."""


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
    network.load_state_dict(state["ema"])
    cost = multiply_adds(network, 1, 4, 256, 256) / 1e9
    return Filler(f"width {config.paper_width}, {cost:.2f} GMACs, {state['step']} steps", filled_by(network))


def planned_steps(config: TrainConfig, seconds: float) -> int:
    """How many steps of `config` take `seconds` here, as a short run finds; written down, so that a resumed run agrees.

    Raises `ConfigError` when another time or width was written.
    """
    plan, wanted = config.run / "plan.json", {"seconds": seconds, "width": config.paper_width}
    if plan.exists():
        before = json.loads(plan.read_text())
        if {name: before.get(name) for name in wanted} != wanted:
            raise ConfigError(
                f"{config.run} was trained for {before['seconds']:g} s at width {before.get('width')}, "
                f"not for {seconds:g} s at {config.paper_width}: give another --baseline-runs"
            )
        return int(before["steps"])

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
