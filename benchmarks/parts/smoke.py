"""`barefaced bench smoke`: a minute's look at the ratios that must not get worse, beside the committed ones.

It warns and never fails. Ratios only, of two things in the same run: seconds differ from machine to machine, and these
by less.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import closing
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import blending, child, turns
from benchmarks.clips import make_clip, verify
from benchmarks.faces import moments
from benchmarks.machine import described
from benchmarks.noise import Noise
from benchmarks.profile import Profile
from benchmarks.record import Better, Document
from engine import models
from engine.cost import multiply_adds
from engine.spec import Precision
from pipeline.run import load
from pipeline.run.batch import Job
from pipeline.settings.config import build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.settings.config import EngineConfig

FILE = "smoke.json"
"""The committed ratios, beside this module."""
SIZE, FRAMES, TURNS = "640x480", 30, 3
SECONDS = 1.0
"""For each network."""
TOLERANCE = 0.25
"""A ratio that is worse by more than this is warned of."""

BETTER = {
    "pipeline over ceiling": Better.MORE,
    "share of busy seconds that is neither codec nor network": Better.LESS,
    "generator over matrix product": Better.MORE,
    "segmenter over matrix product": Better.MORE,
    "four faces over one": Better.LESS,
    "blending over copying": Better.LESS,
}
"""Every ratio that is looked at, and which way it improves."""


@dataclass(frozen=True)
class Row:
    """A ratio beside the committed one."""

    name: str
    committed: float | None
    """None where no one was committed yet."""
    measured: float

    @property
    def warned_of(self) -> bool:
        """Whether it is worse by more than the tolerance."""
        if self.committed is None:
            return False
        if BETTER[self.name] is Better.MORE:
            return self.measured < self.committed * (1 - TOLERANCE)
        return self.measured > self.committed * (1 + TOLERANCE)


def committed() -> Document:
    """What was measured before: `ratios` by name, and the `processor` they are of."""
    text = resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8")
    found: Document = json.loads(text)
    return found


def measure() -> Document:
    """The ratios of this machine as they are committed, with the processor and the noise."""
    config = build({"overwrite": True})
    with Noise() as noise:
        ratios = {**_runs(), **_networks(config.engine)}
        ratios["blending over copying"] = median(blending.measure(SIZE).copies)
    return {
        "processor": described()["processor"],
        "noise": noise.as_json(),
        "ratios": {name: round(ratios[name], 4) for name in BETTER},
    }


def _runs() -> dict[str, float]:
    """Runs and their ceilings in turns, in one process: a run of its own for each would take a minute to begin."""
    config = build({"overwrite": True})
    shares, overheads = [], []
    with tempfile.TemporaryDirectory(prefix="barefaced-bench-") as name, load.networks(config) as networks:
        clip, target = make_clip(Path(name), SIZE, FRAMES), Path(name) / "out.mp4"
        job = Job(clip, target)
        for turn in range(1 + TURNS):
            most, ours = child.ceiling(job, config), child.whole(job, config, networks)
            verify(clip, target, SIZE)
            if turn:  # the first warms up
                shares.append(ours["fps"] / most["fps"])
                overheads.append(Profile.of(ours["stages"], ours["network_seconds"], FRAMES).overhead_share)
    return {
        "pipeline over ceiling": median(shares),
        "share of busy seconds that is neither codec nor network": median(overheads),
    }


def _networks(config: EngineConfig) -> dict[str, float]:
    found, faces = {}, moments(4)
    for name in ("generator", "segmenter"):
        network = models.shipped(name, precision=Precision(config.precision))
        with closing(turns.loaded(network, config)) as engine, closing(turns.Ceiling.beside(engine, config)) as ceiling:
            port = engine.inputs[0].name
            feeds = {port: faces.feed(name, 1)}
            work = multiply_adds(network, {key: value.shape for key, value in feeds.items()})
            one, shares = turns.in_turns(engine, feeds, work, ceiling, SECONDS)
            found[f"{name} over matrix product"] = median(shares)
            if name == "generator":
                four, _ = turns.in_turns(engine, {port: faces.feed(name, 4)}, 4 * work, ceiling, SECONDS)
                found["four faces over one"] = median(four) / median(one)
    return found


def rows(measured: Document, before: Document) -> list[Row]:
    """Every ratio beside the committed one."""
    known: Mapping[str, float] = before["ratios"]
    return [Row(name, known.get(name), value) for name, value in measured["ratios"].items()]


def table(measured: Document, before: Document) -> str:
    """For a person: every ratio, and a warning where one is worse."""
    found = rows(measured, before)
    width = max(len(row.name) for row in found)
    lines = [f"{'':<{width}} {'committed':>10} {'measured':>10}"]
    for row in found:
        known = "-" if row.committed is None else f"{row.committed:.3f}"
        warning = f"  WARNING: worse by more than {TOLERANCE:.0%}" if row.warned_of else ""
        lines.append(f"{row.name:<{width}} {known:>10} {row.measured:>10.3f}{warning}")
    if before["processor"] != measured["processor"]:
        lines.append(f"the committed ones are of another processor: {before['processor']}")
    steal = measured["noise"]["worst_steal_share"]
    if steal is not None and steal > 0.1:
        lines.append(f"noisy: in the worst second {steal:.0%} of the time was stolen")
    return "\n".join(lines)
