"""Where the time of a run went, stage by stage: codec, networks, and what the pipeline does around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING

from pipeline.detectors.retinaface import RetinaFace

if TYPE_CHECKING:
    from engine.spec import Array, Engine, Pending, TensorSpec
    from pipeline.detectors import Detector
    from pipeline.frames import Detection, Frame
    from pipeline.run.load import Networks

Stages = Mapping[str, Mapping[str, float]]
"""`stages` of a run's report: busy, starved, blocked and CPU seconds by stage."""

CODEC = ("decode", "encode")
"""Stages that are the codec's."""


@dataclass(frozen=True)
class StageTime:
    """Where the time of one stage went, in milliseconds a frame."""

    name: str
    codec_ms: float
    network_ms: float
    own_ms: float
    """Neither codec nor network: the pipeline's own work."""

    @property
    def busy_ms(self) -> float:
        """All of the stage's time."""
        return self.codec_ms + self.network_ms + self.own_ms


@dataclass(frozen=True)
class Profile:
    """Where the time of a run went, its stages in order."""

    stages: tuple[StageTime, ...]

    @classmethod
    def of(cls, stages: Stages, network_seconds: Mapping[str, float], frames: int) -> Profile:
        """The profile of a run: from its report, its stages' seconds with networks, and the number of its frames."""
        return cls(tuple(_time(name, seconds["busy"], network_seconds, frames) for name, seconds in stages.items()))

    @property
    def slowest(self) -> StageTime:
        """The stage that was busy longest: nothing is faster than it."""
        return max(self.stages, key=lambda stage: stage.busy_ms)

    @property
    def overhead_share(self) -> float:
        """The part of the summed busy seconds that is neither codec nor network, in [0, 1]."""
        return sum(stage.own_ms for stage in self.stages) / sum(stage.busy_ms for stage in self.stages)

    def costliest(self, count: int) -> Sequence[StageTime]:
        """The stages with the most work of their own, neither codec nor network."""
        return sorted(self.stages, key=lambda stage: stage.own_ms, reverse=True)[:count]

    def as_json(self) -> dict[str, object]:
        """The profile, the slowest stage, and the three stages that do the most besides codec and networks."""
        return {
            "slowest_stage": self.slowest.name,
            "overhead_share": round(self.overhead_share, 4),
            "most_overhead": [stage.name for stage in self.costliest(3)],
            "ms_per_frame": {
                # Of each stage: what the codec took, what networks took, and what is the pipeline's own.
                stage.name: {
                    "codec": round(stage.codec_ms, 3),
                    "network": round(stage.network_ms, 3),
                    "own": round(stage.own_ms, 3),
                }
                for stage in self.stages
            },
        }


def _time(name: str, busy_seconds: float, network_seconds: Mapping[str, float], frames: int) -> StageTime:
    busy_ms = 1000 * busy_seconds / frames
    if name in CODEC:
        return StageTime(name, busy_ms, 0.0, 0.0)

    # A stage's clock is read before and after the network's: rounding must not make its own part negative.
    network_ms = min(busy_ms, 1000 * network_seconds.get(name, 0.0) / frames)
    return StageTime(name, 0.0, network_ms, busy_ms - network_ms)


@dataclass
class Meter:
    """What is counted of a network. Each figure is written by one thread: one asks, one takes results."""

    asked_seconds: float = field(default=0.0, init=False)
    """The time spent in asking."""
    waited_seconds: float = field(default=0.0, init=False)
    """The time spent in taking results."""
    calls: int = field(default=0, init=False)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Count a call, and the time of the `with` block."""
        self.calls += 1
        began = perf_counter()
        try:
            yield
        finally:
            self.asked_seconds += perf_counter() - began


@dataclass
class Metered(Meter):
    """An engine whose calls are timed."""

    engine: Engine

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The engine's inputs."""
        return self.engine.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The engine's outputs."""
        return self.engine.outputs

    @property
    def description(self) -> str:
        """The engine's description."""
        return self.engine.description

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the engine, and count the call."""
        with self.asking():
            return self.engine.run(feeds)

    def submit(self, feeds: Mapping[str, Array]) -> MeteredPending:
        """Submit to the engine, and count the call."""
        with self.asking():
            return MeteredPending(self, self.engine.submit(feeds))

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()


@dataclass(frozen=True)
class MeteredPending:
    """A result whose awaiting is timed."""

    meter: Metered
    pending: Pending

    def result(self) -> dict[str, Array]:
        """Wait for the engine's result, and count the time."""
        began = perf_counter()
        try:
            return self.pending.result()
        finally:
            self.meter.waited_seconds += perf_counter() - began


@dataclass
class MeteredDetector(Meter):
    """A detector of which nothing is known but that it can be called: all of it counts as network."""

    detector: Detector

    def __call__(self, frame: Frame) -> tuple[Detection, ...]:
        """Ask the detector, and count the call."""
        with self.asking():
            return self.detector(frame)


@dataclass(frozen=True)
class Meters:
    """Meters on a run's networks."""

    networks: Networks
    """The metered networks, to run with."""
    detector: Metered | MeteredDetector
    segmenter: Metered
    generator: Metered
    figure: Metered

    @classmethod
    def on(cls, networks: Networks) -> Meters:
        """Put meters on these networks."""
        detector: Metered | MeteredDetector
        seen: Detector
        if isinstance(networks.detector, RetinaFace):
            detector = Metered(networks.detector.engine)
            seen = replace(networks.detector, engine=detector)
        else:
            detector = seen = MeteredDetector(networks.detector)

        segmenter, generator, figure = map(Metered, (networks.segmenter, networks.generator, networks.figure))
        metered = replace(networks, detector=seen, segmenter=segmenter, generator=generator, figure=figure)
        return cls(metered, detector, segmenter, generator, figure)

    @property
    def calls(self) -> dict[str, int]:
        """How often each network was asked."""
        return {name: meter.calls for name, meter in vars(self).items() if isinstance(meter, Meter)}

    @property
    def by_stage(self) -> dict[str, float]:
        """Seconds with a network, by the stage in whose thread they were spent: a network takes two stages."""
        return {
            "detect": self.detector.asked_seconds + self.detector.waited_seconds,
            "align": self.segmenter.asked_seconds,
            "segment": self.segmenter.waited_seconds + self.generator.asked_seconds,
            "inpaint": self.generator.waited_seconds + self.figure.asked_seconds,
        }
