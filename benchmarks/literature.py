"""Our generator beside those of the literature: milliseconds of a face at 256x256, each in turns with its ceiling.

The networks of others have random weights, since theirs are not here: only their speed is known. The paper's own
network (`training.networks.mcsam_paper`) is written with torch. At its own size it is known by its speed alone; what
`barefaced evaluate generator --paper-seconds` trained, at the cost of ours, has scores too.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import turns
from benchmarks.clips import moments
from benchmarks.record import BenchmarkError, Better, LeftOut, Series
from engine import select
from engine.onnx_file import multiply_adds
from engine.spec import Network, Precision
from training.needs import require

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.parts import Say
    from pipeline.settings.config import EngineConfig
    from training.networks.mcsam_paper import McsamPaper

LEAST_PSNR_DB = 20.0
"""How near an output must be to float32's. Random weights carry rounding on undamped: this catches what is wrong."""
MOST_APART = 0.03
"""How far the multiply-adds that we count may be from the published ones, as a share."""
FEED = (1, 4, 256, 256)
PAPER_PACKAGES = ("torch", "onnx", "onnxscript")
"""Modules of the extra `training` that write the paper's network."""


@dataclass(frozen=True)
class Entry:
    """A generator of the literature."""

    network: Callable[[], Network]
    published_gmacs: float
    source: str
    counted: Callable[[], Network] | None = None
    """The part of it that the published figure counts, where that is not all."""
    note: str = ""


def mi_gan() -> Network:
    """MI-GAN with random weights."""
    from benchmarks import literature_networks

    writer, leave = literature_networks.mi_gan()
    return writer.network(leave)


def lama() -> Network:
    """LaMa with random weights."""
    from benchmarks import literature_networks

    writer, leave = literature_networks.lama()
    return writer.network(leave)


def deepfill(*, attention: bool = True) -> Network:
    """DeepFill v2 with random weights; published costs leave its contextual attention out."""
    from benchmarks import literature_networks

    writer, leave = literature_networks.deepfill(attention=attention)
    return writer.network(leave)


def papers_untrained() -> Network:
    """The paper's network at its own size. Raises `ConfigError` where torch is not installed."""
    require("the paper's network", *PAPER_PACKAGES)
    from training.networks.mcsam_paper import McsamPaper

    return _exported(McsamPaper())


def papers_trained(run: Path) -> Network:
    """The paper's network as the training run in `run` left it.

    Raises `ConfigError` without torch, `CheckpointError` for a foreign run.
    """
    require("the paper's network", *PAPER_PACKAGES)
    from training.networks.checkpoints import restore
    from training.networks.mcsam_paper import McsamPaper
    from training.settings import TrainConfig

    state: dict[str, Any] = restore(run / "checkpoint.pt")
    network = McsamPaper(TrainConfig(**state["config"]).paper_width)
    network.load_state_dict(state["ema"])
    return _exported(network)


def _exported(network: McsamPaper) -> Network:
    from training.networks.export import PORTS, to_onnx

    network.eval()
    return Network.of("mcsam-paper", to_onnx(network, PORTS["generator"]).SerializeToString())


ENTRIES = {
    "MI-GAN": Entry(mi_gan, 10.9, "released code, layer by layer; its figure shows 11"),
    "LaMa": Entry(lama, 31.9, "released configuration; MI-GAN's figure shows 32", note="published without transforms"),
    "DeepFill v2": Entry(
        deepfill, 25.2, "released code, layer by layer", lambda: deepfill(attention=False),
        note="published without attention",
    ),
    "the paper's": Entry(papers_untrained, 25.91, "released code, layer by layer"),
}  # fmt: skip


def measure(
    config: EngineConfig, *, seconds: float, say: Say
) -> tuple[list[dict[str, Any]], list[Series], dict[str, str]]:
    """A row for each generator, every sample, and by name why one was left out: an engine may not take each network.

    Raises `BenchmarkError` when a network is not the published one by its multiply-adds, or is computed wrong.
    """
    rows, series, left_out = [], [], LeftOut(say)
    for name, entry in {"ours": None, **ENTRIES}.items():
        with left_out.attempt(name):
            network = turns.ours("generator", config) if entry is None else entry.network()
            row, samples = _timed(name, network, config, seconds)
            if entry is not None:
                check_cost(name, entry, network)
                row |= {"published_gmacs": entry.published_gmacs, "published_source": entry.source, "note": entry.note}

            rows.append(row)
            series.append(samples)
            say(f"{name:<12} {row['median_ms']:8.1f} ms a face, {row['gmacs']} GMACs, {row['gflops']} GFLOP/s")
    return rows, series, left_out.reasons


def check_cost(name: str, entry: Entry, network: Network) -> None:
    """Raise `BenchmarkError` unless the network costs what was published."""
    counted = multiply_adds(entry.counted() if entry.counted else network, {"crop_and_mask": FEED}) / 1e9
    if abs(counted / entry.published_gmacs - 1) > MOST_APART:
        raise BenchmarkError(
            f"{name} costs {counted:.2f} GMACs, published are {entry.published_gmacs}: it is another one"
        )


def _timed(name: str, network: Network, config: EngineConfig, seconds: float) -> tuple[dict[str, Any], Series]:
    feeds = {"crop_and_mask": moments(1).feed("generator", 1)}
    work = multiply_adds(network, {"crop_and_mask": FEED})

    with closing(turns.loaded(network, config)) as engine:
        with closing(select.load(network, backend="onnxruntime", precision=Precision.F32)) as reference:
            psnr = turns.psnr_db(engine.run(feeds)["face"], reference.run(feeds)["face"])
        if not np.isfinite(psnr) or psnr < LEAST_PSNR_DB:
            raise BenchmarkError(f"{name} on {engine.description} is {psnr:.1f} dB from the reference")
        with closing(turns.Ceiling.beside(engine, config)) as ceiling:
            times, shares = turns.in_turns(engine, feeds, work, ceiling, seconds)

    figures = turns.figures(times, 1, work, shares)
    row = {"name": name, "description": engine.description, "psnr_db": round(psnr, 1), **figures}
    return row, Series(f"peers/generator/{name}/time", "ms a face", Better.LESS, times)
