"""A network and its ceiling in turns: a matrix product on the same engine in the same precision, at the same time."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.arithmetic import matrix_product
from engine import select
from engine.spec import Device, Precision
from pipeline.errors import BackendMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from engine.spec import Array, Engine, Network
    from pipeline.settings.config import EngineConfig

WARM_UP_RUNS = 5
ROUNDS = 5
"""Turns of the ceiling and the network, one after the other."""
LEAST_RUNS, MOST_RUNS = 4, 60
"""Of each in a round."""
CEILING_SHARE = 0.3
"""Of the time, for the ceiling."""


def loaded(network: Network, config: EngineConfig) -> Engine:
    """A network as the settings ask for it."""
    return select.load(
        network,
        backend=config.engine,
        device=Device.named(config.device),
        precision=Precision(config.precision),
        threads=config.threads,
    )


@dataclass
class Ceiling:
    """A matrix product on the engine and in the precision that are measured; without one where they lack it."""

    engine: Engine | None
    feeds: Mapping[str, Array]
    work: int
    """Multiply-adds."""
    times: list[float] = field(default_factory=list)
    """Milliseconds of every run so far."""

    @classmethod
    def of(cls, load: Callable[[Network], Engine], precision: Precision) -> Ceiling:
        """Loaded by `load` and warm; `precision` is the one that it loads in."""
        network, feeds, work = matrix_product(precision)
        try:
            engine = load(network)
        except BackendMissing:
            return cls(None, feeds, work)
        _warm_up(engine, feeds)
        return cls(engine, feeds, work)

    @classmethod
    def beside(cls, engine: Engine, config: EngineConfig) -> Ceiling:
        """For an engine that was loaded by these settings, in the precision that it told."""
        return cls.of(lambda product: loaded(product, config), Precision(engine.description.rpartition(" ")[2]))

    @property
    def gflops(self) -> float | None:
        """Median over all runs; None before the first, or without an engine."""
        return 2e-6 * self.work / float(np.median(self.times)) if self.times else None

    def round(self, seconds: float) -> float | None:
        """GFLOP/s of another round of about so long."""
        if self.engine is None:
            return None
        times = _times(self.engine, self.feeds, seconds)
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
        ours = _times(engine, feeds, (1 - CEILING_SHARE) * seconds / ROUNDS)
        times += ours
        if most is not None:
            shares.append(2e-6 * work / float(np.median(ours)) / most)
    return times, shares


def _warm_up(engine: Engine, feeds: Mapping[str, Array]) -> None:
    for _ in range(WARM_UP_RUNS):
        engine.run(feeds)


def _times(engine: Engine, feeds: Mapping[str, Array], seconds: float) -> list[float]:
    """Milliseconds of each run of a round."""
    times: list[float] = []
    while len(times) < MOST_RUNS and (len(times) < LEAST_RUNS or sum(times) < 1000 * seconds):
        began = perf_counter()
        engine.run(feeds)
        times.append(1000 * (perf_counter() - began))
    return times


def figures(times: Sequence[float], batch: int, work: int, shares: Sequence[float]) -> dict[str, object]:
    """What the milliseconds of runs of `batch` faces and `work` multiply-adds come to."""
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
