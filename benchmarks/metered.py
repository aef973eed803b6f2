"""How long a run's stages were with its networks: the networks' own time, apart from what the stages do around them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING

from pipeline.detectors.retinaface import RetinaFace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.spec import Array, Engine, Pending, TensorSpec
    from pipeline.detectors import Detector
    from pipeline.frames import Detection, Frame
    from pipeline.run.load import Networks


@dataclass
class Metered:
    """An engine whose calls are timed. Each figure is written by one thread: one submits, one takes results."""

    engine: Engine
    asked_seconds: float = field(default=0.0, init=False)
    """In `run` and `submit`."""
    waited_seconds: float = field(default=0.0, init=False)
    """In `result`."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The engine's."""
        return self.engine.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The engine's."""
        return self.engine.outputs

    @property
    def description(self) -> str:
        """The engine's."""
        return self.engine.description

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """As the engine does it."""
        began = perf_counter()
        try:
            return self.engine.run(feeds)
        finally:
            self.asked_seconds += perf_counter() - began

    def submit(self, feeds: Mapping[str, Array]) -> MeteredPending:
        """As the engine does it."""
        began = perf_counter()
        try:
            return MeteredPending(self, self.engine.submit(feeds))
        finally:
            self.asked_seconds += perf_counter() - began

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()


@dataclass(frozen=True)
class MeteredPending:
    """A result whose awaiting is timed."""

    meter: Metered
    pending: Pending

    def result(self) -> dict[str, Array]:
        """As the engine gives it."""
        began = perf_counter()
        try:
            return self.pending.result()
        finally:
            self.meter.waited_seconds += perf_counter() - began


@dataclass
class MeteredDetector:
    """A detector of which nothing is known but that it can be called: all of it counts as network."""

    detector: Detector
    asked_seconds: float = field(default=0.0, init=False)
    waited_seconds: float = field(default=0.0, init=False)

    def __call__(self, frame: Frame) -> tuple[Detection, ...]:
        """As the detector does it."""
        began = perf_counter()
        try:
            return self.detector(frame)
        finally:
            self.asked_seconds += perf_counter() - began


@dataclass(frozen=True)
class Meters:
    """Those of a run's networks."""

    networks: Networks
    """To be run with."""
    detector: Metered | MeteredDetector
    segmenter: Metered
    generator: Metered

    @classmethod
    def on(cls, networks: Networks) -> Meters:
        """Meters on these networks."""
        detector: Metered | MeteredDetector
        seen: Detector
        if isinstance(networks.detector, RetinaFace):
            detector = Metered(networks.detector.engine)
            seen = replace(networks.detector, engine=detector)
        else:
            detector = seen = MeteredDetector(networks.detector)
        segmenter, generator = Metered(networks.segmenter), Metered(networks.generator)
        metered = replace(networks, detector=seen, segmenter=segmenter, generator=generator)
        return cls(metered, detector, segmenter, generator)

    @property
    def by_stage(self) -> dict[str, float]:
        """Seconds with a network, by the stage in whose thread they were spent: a network takes two stages."""
        return {
            "detect": self.detector.asked_seconds + self.detector.waited_seconds,
            "align": self.segmenter.asked_seconds,
            "segment": self.segmenter.waited_seconds + self.generator.asked_seconds,
            "inpaint": self.generator.waited_seconds,
        }
