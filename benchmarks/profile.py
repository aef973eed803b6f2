"""Where the time of a run went, stage by stage: codec, networks, and what the pipeline does around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Stages = Mapping[str, Mapping[str, float]]
"""`stages` of a run's report: busy, starved, blocked and CPU seconds by stage."""

CODEC = ("decode", "encode")
"""Stages that are the codec's."""


@dataclass(frozen=True)
class StageTime:
    """Of one stage, in milliseconds a frame."""

    name: str
    codec_ms: float
    network_ms: float
    own_ms: float
    """Neither codec nor network: the pipeline's own work."""

    @property
    def busy_ms(self) -> float:
        """All of it."""
        return self.codec_ms + self.network_ms + self.own_ms


@dataclass(frozen=True)
class Profile:
    """Of a run, its stages in order."""

    stages: tuple[StageTime, ...]

    @classmethod
    def of(cls, stages: Stages, network_seconds: Mapping[str, float], frames: int) -> Profile:
        """From a run's report, the seconds that its stages were with networks, and how many frames it had."""
        return cls(tuple(_time(name, told["busy"], network_seconds, frames) for name, told in stages.items()))

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
