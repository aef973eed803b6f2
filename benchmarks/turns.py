"""A network and its ceiling in turns: a matrix product on the same engine in the same precision, at the same time."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from engine import models, select
from engine.spec import Precision
from pipeline.errors import BackendMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from engine.spec import Array, Engine, Network
    from pipeline.settings.config import EngineConfig

PACKAGES = ("onnx",)
"""Modules that a ceiling needs."""
SIDE = 1024
"""The side of the matrices: large enough that moving them costs little beside multiplying them."""
WARM_UP_RUNS = 5
ROUNDS = 5
"""Turns of the ceiling and the network, one after the other."""
LEAST_RUNS, MOST_RUNS = 4, 60
"""How often each of them runs in a round."""
CEILING_SHARE = 0.3
"""The part of the time that the ceiling gets."""


def matrix_product(precision: Precision) -> tuple[Network, dict[str, Array], int]:
    """A network that multiplies by a matrix of `SIDE`, what to feed it, and its multiply-adds.

    In int8 both sides are quantised, as in a network that was quantised; else the engine decides by its precision.
    """
    from onnx.helper import make_node
    from onnx.numpy_helper import from_array

    from benchmarks.network_writer import written

    draw = np.random.default_rng(3)
    weights = draw.uniform(-1, 1, (SIDE, SIDE)).astype(np.float32)
    constants = [from_array(weights, "w")]
    nodes = [make_node("MatMul", ["x", "w"], ["y"])]

    if precision is Precision.INT8:
        constants = [
            from_array(np.array(1 / 127, np.float32), "step"),
            from_array(np.array(0, np.int8), "zero"),
            from_array(np.round(weights * 127).astype(np.int8), "w"),
        ]
        nodes = [
            make_node("QuantizeLinear", ["x", "step", "zero"], ["x8"]),
            make_node("DequantizeLinear", ["x8", "step", "zero"], ["xf"]),
            make_node("DequantizeLinear", ["w", "step", "zero"], ["wf"]),
            make_node("MatMul", ["xf", "wf"], ["y"]),
        ]

    square = (SIDE, SIDE)
    product = written(f"product-{precision}", nodes, constants, {"x": square}, {"y": square})
    return product, {"x": draw.uniform(-1, 1, square).astype(np.float32)}, SIDE**3


def ours(name: str, config: EngineConfig) -> Network:
    """The network of ours that a run takes with these settings."""
    return models.shipped(name, precision=Precision(config.precision))


def loaded(network: Network, config: EngineConfig) -> Engine:
    """A network on the engine, the device and in the precision that the settings ask for."""
    return select.load(
        network,
        backend=config.engine,
        device=select.find_device(config.device, config.engine),
        precision=Precision(config.precision),
        threads=config.threads,
    )


@dataclass
class Ceiling:
    """A matrix product on the engine and in the precision that are measured; without an engine where they lack it."""

    engine: Engine | None
    feeds: Mapping[str, Array]
    work: int
    """Multiply-adds of one run."""
    times: list[float] = field(default_factory=list)
    """Milliseconds of every run so far."""

    @classmethod
    def of(cls, load: Callable[[Network], Engine], precision: Precision) -> Ceiling:
        """A ceiling that `load` loaded, warm; `precision` is the one that it loads in."""
        network, feeds, work = matrix_product(precision)
        try:
            engine = load(network)
        except BackendMissing:
            return cls(None, feeds, work)
        _warm_up(engine, feeds)
        return cls(engine, feeds, work)

    @classmethod
    def beside(cls, engine: Engine, config: EngineConfig) -> Ceiling:
        """A ceiling for an engine that these settings loaded, in the precision that its description ends with."""
        return cls.of(lambda product: loaded(product, config), Precision(engine.description.rpartition(" ")[2]))

    @property
    def gflops(self) -> float | None:
        """The median GFLOP/s over all runs, two operations for a multiply-add; None before the first run."""
        return 2e-6 * self.work / float(np.median(self.times)) if self.times else None

    def round(self, seconds: float) -> float | None:
        """GFLOP/s of another round of about so long; None without an engine."""
        if self.engine is None:
            return None
        times = times_of(self.engine, self.feeds, seconds)
        self.times += times
        return 2e-6 * self.work / float(np.median(times))

    def close(self) -> None:
        """Close its engine."""
        if self.engine is not None:
            self.engine.close()


def in_turns(
    engine: Engine, feeds: Mapping[str, Array], work: int, ceiling: Ceiling, seconds: float
) -> tuple[list[float], list[float]]:
    """Milliseconds of each run of `work` multiply-adds, and by round the share of the ceiling's speed beside it."""
    _warm_up(engine, feeds)

    times, shares = [], []
    for _ in range(ROUNDS):
        most = ceiling.round(CEILING_SHARE * seconds / ROUNDS)
        ours = times_of(engine, feeds, (1 - CEILING_SHARE) * seconds / ROUNDS)
        times += ours
        if most is not None:
            shares.append(2e-6 * work / float(np.median(ours)) / most)
    return times, shares


def _warm_up(engine: Engine, feeds: Mapping[str, Array]) -> None:
    for _ in range(WARM_UP_RUNS):
        engine.run(feeds)


def times_of(engine: Engine, feeds: Mapping[str, Array], seconds: float) -> list[float]:
    """Milliseconds of each run of a round that takes about so long."""
    times: list[float] = []
    while len(times) < MOST_RUNS and (len(times) < LEAST_RUNS or sum(times) < 1000 * seconds):
        began = perf_counter()
        engine.run(feeds)
        times.append(1000 * (perf_counter() - began))
    return times


def figures(times: Sequence[float], batch: int, work: int, shares: Sequence[float]) -> dict[str, object]:
    """The figures of runs of `batch` faces and `work` multiply-adds, from their milliseconds."""
    median, p95, p99 = (float(np.percentile(times, share)) for share in (50, 95, 99))

    return {
        "runs": len(times),
        "median_ms": round(median, 3),
        "p95_ms": round(p95, 3),
        "p99_ms": round(p99, 3),
        "median_ms_per_face": round(median / batch, 3),
        "gmacs": round(work / 1e9, 3),
        "gflops": round(2e-6 * work / median, 1),
        "ceiling_share": round(float(np.median(shares)), 3) if shares else None,
    }


def psnr_db(seen: Array, expected: Array) -> float:
    """Peak signal-to-noise ratio; the peak is how far apart the expected values lie. At most 200."""
    first, second = np.asarray(seen, np.float64), np.asarray(expected, np.float64)
    error = float(np.mean((first - second) ** 2))
    span = float(np.ptp(second)) or 1.0
    return min(200.0, 10 * float(np.log10(span**2 / max(error, 1e-30))))
