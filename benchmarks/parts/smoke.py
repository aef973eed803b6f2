"""A minute: the ratios that must not get worse, beside the committed ones; warns and never fails.

Ratios only, of two things in the same run: seconds differ from machine to machine, and these by less.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import child, turns
from benchmarks.clips import make_clip, moments, verify
from benchmarks.machine import Noise
from benchmarks.parts import Part, Plan, option, pipeline
from benchmarks.profile import Profile
from benchmarks.record import NONE, Better, Series, Table, document, shown
from engine.onnx_file import multiply_adds
from pipeline.run import load
from pipeline.run.batch import Job
from pipeline.run.report import write_json
from pipeline.settings.values import as_json, build

if TYPE_CHECKING:
    from benchmarks.parts import Say
    from benchmarks.record import Document
    from pipeline.settings.config import Config, EngineConfig

FILE = Path(__file__).with_name("smoke.json")
"""The committed ratios."""
SIZE, FRAMES, TURNS = "640x480", 30, 3
SECONDS = 1.0
"""How long each network runs."""
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

METHOD = (
    f"Runs of the demo's clip at {SIZE}, {FRAMES} frames, and their ceilings in turns, in one process; networks in "
    "turns with a matrix product; blending in turns with copying. Ratios are medians over turns, that of blending "
    "the shortest over the shortest."
)


@dataclass(frozen=True)
class Row:
    """A ratio beside the committed one."""

    name: str
    committed: float | None
    """The ratio that was committed; None where none was yet."""
    measured: float

    @property
    def warned_of(self) -> bool:
        """Whether it is worse by more than the tolerance."""
        if self.committed is None:
            return False
        if BETTER[self.name] is Better.MORE:
            return self.measured < self.committed * (1 - TOLERANCE)
        return self.measured > self.committed * (1 + TOLERANCE)


@dataclass(frozen=True, kw_only=True)
class SmokePlan(Plan):
    """Whether the ratios are to be held from now on."""

    keep: bool = option(
        "--keep", default=False, action="store_true", help="hold these ratios for this processor from now on"
    )


def all_committed() -> list[Document]:
    """The ratios that were kept, a document for each processor: `processor`, `noise`, and `ratios` by name."""
    found: list[Document] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def committed(processor: str) -> Document:
    """The ratios that were kept for this processor, or else for the first one."""
    found = all_committed()
    return next((kept for kept in found if kept["processor"] == processor), found[0])


def keep(measured: Document) -> None:
    """Hold these ratios for their processor from now on. Raises `SinkError`."""
    ours = {"processor": measured["machine"]["processor"], "noise": measured["noise"], "ratios": measured["ratios"]}
    others = [kept for kept in all_committed() if kept["processor"] != ours["processor"]]
    write_json([*others, ours], str(FILE))


def measure(plan: SmokePlan, say: Say) -> Document:
    """Measure the ratios of this machine, and say each beside the committed one."""
    config = build(plan.settings, {"overwrite": True})
    with Noise() as noise:
        samples = {**_runs(config), **_networks(config.engine)}
        # The shortest of each: blending takes long enough for other programs to come between, copying does not.
        blended = pipeline.measured_blending(SIZE)
        samples["blending over copying"] = [min(blended.blend_ms) / min(blended.copy_ms)]

    measured = document(
        "smoke",
        method=METHOD,
        settings=as_json(config),
        noise=noise,
        series=[Series(f"smoke/{name}", "ratio", better, samples[name]) for name, better in BETTER.items()],
        figures={"ratios": {name: round(median(samples[name]), 4) for name in BETTER}},
    )
    say(table(measured, committed(measured["machine"]["processor"])))
    if plan.keep:
        keep(measured)
    return measured


def _runs(config: Config) -> dict[str, list[float]]:
    """Runs and their ceilings in turns, in one process: a run of its own for each would take a minute to begin."""
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
        "pipeline over ceiling": shares,
        "share of busy seconds that is neither codec nor network": overheads,
    }


def _networks(config: EngineConfig) -> dict[str, list[float]]:
    found, faces = {}, moments(4)
    for name in ("generator", "segmenter"):
        network = turns.ours(name, config)
        with closing(turns.loaded(network, config)) as engine, closing(turns.Ceiling.beside(engine, config)) as ceiling:
            port = engine.inputs[0].name
            feeds = {port: faces.feed(name, 1)}
            work = multiply_adds(network, {key: value.shape for key, value in feeds.items()})
            one, shares = turns.in_turns(engine, feeds, work, ceiling, SECONDS)
            found[f"{name} over matrix product"] = shares

            if name == "generator":
                four, _ = turns.in_turns(engine, {port: faces.feed(name, 4)}, 4 * work, ceiling, SECONDS)
                found["four faces over one"] = [median(four) / median(one)]
    return found


def rows(measured: Document, before: Document) -> list[Row]:
    """Every ratio beside the committed one."""
    known = before["ratios"]
    return [Row(name, known.get(name), value) for name, value in measured["ratios"].items()]


def table(measured: Document, before: Document) -> str:
    """Every ratio for a person to read, with a warning where one is worse."""
    found = rows(measured, before)
    width = max(len(row.name) for row in found)
    lines = [f"{'':<{width}} {'committed':>10} {'measured':>10}"]
    for row in found:
        known = NONE if row.committed is None else f"{row.committed:.3f}"
        warning = f"  WARNING: worse by more than {TOLERANCE:.0%}" if row.warned_of else ""
        lines.append(f"{row.name:<{width}} {known:>10} {row.measured:>10.3f}{warning}")

    if before["processor"] != measured["machine"]["processor"]:
        lines.append(f"the committed ones are of another processor: {before['processor']}")
    steal = measured["noise"]["worst_steal_share"]
    if steal is not None and steal > 0.1:
        lines.append(f"noisy: in the worst second {steal:.0%} of the time was stolen")
    return "\n".join(lines)


def tables(part: Document) -> list[Table]:
    """Every ratio beside the committed one."""
    found = [
        (row.name, NONE if row.committed is None else shown(row.committed), shown(row.measured),
         "yes" if row.warned_of else "no")
        for row in rows(part, committed(part["machine"]["processor"]))
    ]  # fmt: skip
    return [Table("Ratios", ("ratio", "committed", "measured", "worse"), tuple(found))]


PART = Part("Ratios that are held", 8, SmokePlan, measure, tables, packages=turns.PACKAGES)
