"""`barefaced bench` without a part: all of them, short enough for a quarter of an hour on two cores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.parts import engines, live, peers, pipeline, quality, scale
from benchmarks.record import BenchmarkError, Document, joined
from engine import select
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Say = Callable[[str], None]

CLASSIC = ("openvino", "onnxruntime")
"""The engines that are measured where no GPU is: those that a plain installation brings."""


def measure(settings: Mapping[str, object], *, say: Say) -> Document:
    """Every part with the shorter of its plans. `say` is told each figure when it is there.

    A part that lacks an optional package is left out, and the document says why. Raises `BenchmarkError` when a run did
    not do its work.
    """
    parts: dict[str, Document] = {}
    left_out: dict[str, str] = {}
    for name, measured in plans(settings).items():
        say(f"-- {name}")
        try:
            parts[name] = measured(say)
        except ConfigError as error:
            left_out[name] = str(error)
            say(f"{name} is left out: {error}")
    if not parts:
        raise BenchmarkError("no part could be measured: " + "; ".join(left_out.values()))
    return joined(parts, left_out)


def plans(settings: Mapping[str, object]) -> dict[str, Callable[[Say], Document]]:
    """What measures each part, in the order in which they are measured."""
    here = tuple(name for name in CLASSIC if select.find_backend(name).missing() is None)
    return {
        "pipeline": lambda say: pipeline.measure(pipeline.Plan(frames=90, settings=settings), say=say),
        "engines": lambda say: engines.measure(engines.Plan(seconds=0.8, engines=here, settings=settings), say=say),
        "live": lambda say: live.measure(live.Plan(minutes=1, settings=settings), say=say),
        "quality": lambda say: quality.measure(quality.Plan(settings=settings), say=say),
        "scale": lambda say: scale.measure(
            scale.Plan(frames=30, lengths=(90, 900), repeats=1, seconds=1.0, settings=settings), say=say
        ),
        "peers": lambda say: peers.measure(peers.Plan(repeats=1, frames=120, seconds=1.5, settings=settings), say=say),
    }
