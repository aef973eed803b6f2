"""Milliseconds of each network on each engine and in each precision that is here, beside a matrix product.

Outputs are compared with the reference before a time counts, and speed is set beside what the same engine reaches, in
the same run and precision, in a matrix product.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import turns
from benchmarks.clips import Faces, moments
from benchmarks.drawing import Figure, Percentile, Percentiles
from benchmarks.machine import Noise
from benchmarks.parts import Part, Plan, counts, option
from benchmarks.record import BenchmarkError, Better, LeftOut, Series, Table, document, left_out, share, shown
from engine import models, select
from engine.onnx_file import multiply_adds
from engine.spec import Device, Network, Precision
from pipeline.detectors import DEFAULT, detector_file
from pipeline.errors import BackendMissing, CheckpointError
from pipeline.settings.values import as_json, build

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.parts import Say
    from benchmarks.record import Document
    from engine.spec import Array, Engine
    from pipeline.settings.config import EngineConfig

CLASSIC = ("openvino", "onnxruntime")
"""The engines that are measured when all parts are: those that a plain installation brings."""
LEAST_PSNR_DB = {Precision.F32: 80.0, Precision.FP16: 50.0, Precision.BF16: 40.0, Precision.INT8: 39.0}
"""How near each output must be to the reference's, by precision; the generator's inside the hole."""
NO_NETWORK = ("identity",)
"""Engines that compute nothing."""
REFERENCES = ("torch", "onnxruntime")
"""The reference is the first that is here, in float32 on the CPU."""

METHOD = (
    "Inputs are moments of the demo's clip: a photo in a drawn mask. Each network is loaded on each engine in each "
    "precision, its output is compared with the reference's, then runs are timed one by one, inputs and outputs in the "
    f"program's memory, after {turns.WARM_UP_RUNS} that don't count. A matrix product of 1024 x 1024 by a constant of "
    "the same size, on the same engine in the same precision, is the ceiling; it and the network take turns, "
    f"{turns.ROUNDS} of each, and the share is the median over turns. GMACs are multiply-adds of convolutions and "
    "matrix products; one is two operations."
)

NETWORKS = (DEFAULT, "generator", "segmenter")
"""The networks that look at pictures. The one that repairs embeddings takes microseconds, once a second."""


@dataclass(frozen=True, kw_only=True)
class EnginesPlan(Plan):
    """Which engines run how many faces. A setting for an engine, device or precision leaves the others out."""

    batches: Sequence[int] = counts(
        "--batch", (1, 4), "only so many faces in a run; may be given again (default: 1, 4)"
    )
    seconds: float = option("--seconds", 2.0, type=float, metavar="S", help="for each row, about (default: 2)")
    """How long each network, engine, precision and batch is run at most, once each of its rounds has `LEAST_RUNS`."""
    engines: tuple[str, ...] | None = None
    """Only these where no setting names one; None for all that are here."""


@dataclass(frozen=True)
class EngineVariant:
    """An engine in a precision."""

    engine: str
    precision: Precision
    device: Device
    threads: int

    def __str__(self) -> str:
        return f"{self.engine} {self.device} {self.precision}"

    def load(self, network: Network) -> Engine:
        """Load `network` on it."""
        return select.load(
            network, backend=self.engine, device=self.device, precision=self.precision, threads=self.threads
        )


def measure(plan: EnginesPlan, say: Say) -> Document:
    """Measure every network on every engine.

    Raises `BenchmarkError` when an output is not the reference's, `BackendMissing` when what was asked for is not here.
    """
    config = build(plan.settings)
    faces = moments(max(plan.batches))
    ceilings: list[dict[str, object]] = []
    rows: list[dict[str, object]] = []
    series: list[Series] = []
    absent = LeftOut(say)

    with Noise() as noise:
        for variant in _variants(config.engine, plan.engines):
            with closing(turns.Ceiling.of(variant.load, variant.precision)) as ceiling:
                for name in NETWORKS:
                    with absent.attempt(f"{name} on {variant}"):
                        for row, samples in _rows(plan, variant, name, faces, ceiling):
                            rows.append(row)
                            series += samples
                            say(_line(row))
            ceilings.append({**_named(variant), "gflops": ceiling.gflops and round(ceiling.gflops, 1)})

    if not rows:
        raise BenchmarkError(f"nothing was measured: no engine computes in {config.engine.precision} here")
    return document(
        "engines",
        method=METHOD,
        settings=as_json(config),
        noise=noise,
        series=series,
        figures={"reference": _reference(), "ceilings": ceilings, "engines": rows, "left_out": absent.reasons},
    )


def _named(variant: EngineVariant) -> dict[str, object]:
    return {"engine": variant.engine, "device": str(variant.device), "precision": str(variant.precision)}


def _variants(config: EngineConfig, engines: Sequence[str] | None) -> Iterator[EngineVariant]:
    """What is to be measured. Raises `BackendMissing` when a backend that was asked for can't run here."""
    names: Sequence[str] = engines or select.names()
    if config.engine != select.AUTO:
        names = (config.engine,)

    device = select.find_device(config.device, config.engine)
    for name in names:
        reason = select.find_backend(name).missing()
        if reason is not None and config.engine != select.AUTO:
            raise BackendMissing(f"backend {name}: {reason}", reasons={name: reason})
        if reason is not None or name in NO_NETWORK:
            continue
        for precision in select.find_backend(name).offer().precisions:
            if config.precision in (Precision.AUTO, precision):
                yield EngineVariant(name, precision, device, config.threads)


def _network(name: str, precision: Precision) -> Network | None:
    """A network of ours, as it is needed for a precision; None where there is none."""
    if name == DEFAULT:
        return None if precision is Precision.INT8 else detector_file(DEFAULT).network()
    try:
        return models.shipped(name, precision=precision)
    except CheckpointError:
        if precision is Precision.INT8:
            return None
        raise


def _rows(
    plan: EnginesPlan, variant: EngineVariant, name: str, faces: Faces, ceiling: turns.Ceiling
) -> Iterator[tuple[dict[str, object], list[Series]]]:
    """A row and its samples for each batch; none where there is no such network for the precision.

    Raises `EngineError` where the engine can't take the network.
    """
    network = _network(name, variant.precision)
    if network is None:
        return

    with closing(variant.load(network)) as engine:
        for batch in plan.batches:
            feeds = {engine.inputs[0].name: faces.feed(name, batch)}
            psnr = verify(variant, name, engine.run(feeds), feeds, faces.holes[:batch])
            shapes = {key: value.shape for key, value in feeds.items()}
            work = multiply_adds(_network(name, Precision.F32) or network, shapes)
            times, shares = turns.in_turns(engine, feeds, work, ceiling, plan.seconds)

            row = {"network": name, **_named(variant), "description": engine.description, "batch": batch}
            row |= {"psnr_db": round(psnr, 1), **turns.figures(times, batch, work, shares)}
            yield row, _series(f"engines/{name}/{variant}/batch {batch}", times, shares)


def _series(name: str, times: Sequence[float], shares: Sequence[float]) -> list[Series]:
    found = [Series(f"{name}/time", "ms", Better.LESS, times)]
    return found + ([Series(f"{name}/of ceiling", "ratio", Better.MORE, shares)] if shares else [])


def verify(
    variant: EngineVariant, name: str, seen: Mapping[str, Array], feeds: Mapping[str, Array], holes: Array
) -> float:
    """PSNR of the worst output against the reference. Raises `BenchmarkError` when it is too low for its precision."""
    network = _network(name, Precision.F32)
    if network is None:
        raise BenchmarkError(f"there is no network {name} to compare with")

    with closing(select.load(network, backend=_reference())) as reference:
        expected = reference.run(feeds)
    where = np.broadcast_to(holes[:, None], seen["face"].shape) if name == "generator" else ...
    worst = min(turns.psnr_db(seen[key][where], expected[key][where]) for key in expected)
    if worst < LEAST_PSNR_DB[variant.precision] - (0 if name == "generator" else 10):
        raise BenchmarkError(f"{variant}: {name} is {worst:.1f} dB from the reference: its times mean nothing")
    return worst


def _reference() -> str:
    return next(name for name in REFERENCES if select.find_backend(name).missing() is None)


def _line(row: Mapping[str, object]) -> str:
    ceiling = row["ceiling_share"]
    of_ceiling = f", {ceiling:.0%} of the ceiling" if isinstance(ceiling, float) else ""
    return (
        f"{row['network']:<10} {row['engine']:<13} {row['precision']:<5} batch {row['batch']}: "
        f"{row['median_ms']:8.2f} ms, p95 {row['p95_ms']:.2f}, p99 {row['p99_ms']:.2f}, "
        f"{row['median_ms_per_face']:.2f} a face, {row['psnr_db']} dB, {row['gflops']} GFLOP/s{of_ceiling}"
    )


def tables(part: Document) -> list[Table]:
    """A row for each network, engine, precision and batch."""
    rows = tuple(
        (
            row["network"], f"{row['engine']} {row['precision']}", str(row["batch"]), shown(row["median_ms"]),
            shown(row["p95_ms"]), shown(row["p99_ms"]), shown(row["median_ms_per_face"]),
            share(row["ceiling_share"]), shown(row["psnr_db"]),
        )
        for row in part["engines"]
    )  # fmt: skip
    headers = ("network", "engine", "batch", "median ms", "p95", "p99", "ms a face", "of ceiling", "dB from reference")
    return [Table("Networks", headers, rows), *left_out(part.get("left_out", {}))]


def figures(part: Document) -> Iterator[Figure]:
    """The percentiles of every row."""
    colours = {"generator": "orange", "segmenter": "blue"}
    rows = [
        Percentile(
            f"{row['network']}, {row['engine']} {row['precision']}, batch {row['batch']}",
            row["median_ms"], row["p95_ms"], row["p99_ms"], colours.get(row["network"], "grey"),
        )
        for row in part["engines"]
    ]  # fmt: skip
    label = "Milliseconds of a run of each network on each engine"
    yield Figure("engines", f"{label}.", label, Percentiles(rows, "milliseconds"))


PART = Part(
    "The networks alone", 2, EnginesPlan, measure, tables, figures,
    short={"seconds": 0.8, "engines": CLASSIC}, packages=turns.PACKAGES,
)  # fmt: skip
