"""Our generator beside those of the literature: milliseconds of a face at 256x256, each in turns with its ceiling."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import turns
from benchmarks.faces import moments
from benchmarks.literature import paper
from benchmarks.literature.deepfill import deepfill
from benchmarks.literature.networks import lama, mi_gan
from benchmarks.parts.engines import psnr_db
from benchmarks.record import BenchmarkError, Better, Series
from engine import models, select
from engine.cost import multiply_adds
from engine.spec import Precision
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from engine.spec import Network
    from pipeline.settings.config import EngineConfig

LEAST_PSNR_DB = 20.0
"""Of an output against float32's. Random weights carry rounding on undamped: this catches what is wrong, no more."""
MOST_APART = 0.03
"""Between the multiply-adds that we count and the published ones."""
FEED = (1, 4, 256, 256)


@dataclass(frozen=True)
class Entry:
    """A generator of the literature."""

    network: Callable[[], Network]
    published_gmacs: float
    source: str
    counted: Callable[[], Network] | None = None
    """The part of it that the published figure counts, where that is not all."""
    note: str = ""


def _mi_gan() -> Network:
    graph, leave = mi_gan()
    return graph.network(leave)


def _lama() -> Network:
    graph, leave = lama()
    return graph.network(leave)


def _deepfill() -> Network:
    graph, leave = deepfill()
    return graph.network(leave)


def _deepfill_counted() -> Network:
    graph, leave = deepfill(attention=False)
    return graph.network(leave)


ENTRIES = {
    "MI-GAN": Entry(_mi_gan, 10.9, "released code, layer by layer; its figure shows 11"),
    "LaMa": Entry(_lama, 31.9, "released configuration; MI-GAN's figure shows 32", note="published without transforms"),
    "DeepFill v2": Entry(
        _deepfill, 25.2, "released code, layer by layer", _deepfill_counted, "published without attention"
    ),
    "the paper's": Entry(paper.untrained, 25.91, "released code, layer by layer"),
}


def measure(
    config: EngineConfig, *, seconds: float, say: Callable[[str], None]
) -> tuple[list[dict[str, Any]], list[Series], dict[str, str]]:
    """A row for each, every sample, and by name why one was left out.

    Raises `BenchmarkError` when a network is not the published one by its multiply-adds, or is computed wrong.
    """
    rows, series, left_out = [], [], {}
    for name, entry in {"ours": None, **ENTRIES}.items():
        try:
            network = _ours(config) if entry is None else entry.network()
        except ConfigError as error:
            left_out[name] = str(error)
            say(f"{name} is left out: {error}")
            continue
        row, samples = _timed(name, network, config, seconds)
        if entry is not None:
            row |= {
                "published_gmacs": entry.published_gmacs,
                "published_source": entry.source,
                "note": entry.note,
            }
            check_cost(name, entry, network)
        rows.append(row)
        series += samples
        say(f"{name:<12} {row['median_ms']:8.1f} ms a face, {row['gmacs']} GMACs, {row['gflops']} GFLOP/s")
    return rows, series, left_out


def check_cost(name: str, entry: Entry, network: Network) -> None:
    """Raise `BenchmarkError` unless the network costs what was published."""
    counted = multiply_adds(entry.counted() if entry.counted else network, {"crop_and_mask": FEED}) / 1e9
    if abs(counted / entry.published_gmacs - 1) > MOST_APART:
        raise BenchmarkError(
            f"{name} costs {counted:.2f} GMACs, published are {entry.published_gmacs}: it is another one"
        )


def _ours(config: EngineConfig) -> Network:
    return models.shipped("generator", precision=Precision(config.precision))


def _timed(name: str, network: Network, config: EngineConfig, seconds: float) -> tuple[dict[str, Any], list[Series]]:
    feeds: Mapping[str, Any] = {"crop_and_mask": moments(1).feed("generator", 1)}
    work = multiply_adds(network, {"crop_and_mask": FEED})
    with ExitStack() as stack:
        engine = stack.enter_context(closing(turns.loaded(network, config)))
        with closing(select.load(network, backend="onnxruntime", precision=Precision.F32)) as reference:
            psnr = psnr_db(engine.run(feeds)["face"], reference.run(feeds)["face"])
        if not np.isfinite(psnr) or psnr < LEAST_PSNR_DB:
            raise BenchmarkError(f"{name} on {engine.description} is {psnr:.1f} dB from the reference")
        ceiling = stack.enter_context(closing(turns.Ceiling.beside(engine, config)))
        times, shares = turns.in_turns(engine, feeds, work, ceiling, seconds)
        told = turns.figures(times, 1, work, shares)
        row = {"name": name, "description": engine.description, "psnr_db": round(psnr, 1), **told}
    return row, [Series(f"peers/generator/{name}/time", "ms a face", Better.LESS, times)]
