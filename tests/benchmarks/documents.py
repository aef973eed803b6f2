"""Measurements as they are written down, made up: for tests of what reads and shows them."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from benchmarks.machine import Noise, Ticks
from benchmarks.parts.peers import published
from benchmarks.parts.scale import EXPECTATIONS, judged
from benchmarks.record import Better, Series, document, joined

STAGES = {
    "decode": (1.9, 0.0, 0.0),
    "detect": (0.0, 2.1, 0.9),
    "track": (0.0, 0.0, 0.7),
    "align": (0.0, 0.9, 1.5),
    "segment": (0.0, 1.8, 0.4),
    "inpaint": (0.0, 7.4, 0.3),
    "smooth": (0.0, 0.0, 2.3),
    "blend": (0.0, 0.0, 4.6),
    "encode": (5.2, 0.0, 0.0),
}
"""Milliseconds a frame: codec, network, own."""


def quiet() -> Noise:
    return Noise([Ticks(0, 0), Ticks(200, 2), Ticks(400, 10)], load_before=0.4)


def spoilt(middle: float, count: int, *, seed: int = 1, spread: float = 0.05) -> list[float]:
    """Samples around `middle`."""
    return [float(value) for value in middle * np.exp(spread * np.random.default_rng(seed).normal(size=count))]


def _made(part: str, series: list[Series], **figures: object) -> dict[str, Any]:
    settings = {"detect-every": 4}
    return document(part, method="made up", settings=settings, noise=quiet(), series=series, figures=figures)


def pipeline(*, fps: float = 50.0, seed: int = 1) -> dict[str, Any]:
    sizes, series = {}, []
    for size, factor in (("640x480", 1.0), ("1280x720", 0.45)):
        ours, most = spoilt(fps * factor, 3, seed=seed), spoilt(140 * factor, 3, seed=seed + 1)
        series += [
            Series(f"pipeline/{size}/fps", "fps", Better.MORE, ours),
            Series(f"pipeline/{size}/ceiling", "fps", Better.MORE, most),
        ]
        sizes[size] = {
            "fps": ours[0], "ceiling_fps": most[0], "ratio": ours[0] / most[0], "added_ms": 12.9, "peak_rss_mb": 380.0,
            "all_fps": ours, "all_ceiling_fps": most,
            "blending": {"blend_ms": 4.4, "copy_ms": 0.1, "copies": 44.0},
            "profile": {
                "slowest_stage": "inpaint", "overhead_share": 0.357,
                "ms_per_frame": {
                    name: dict(zip(("codec", "network", "own"), parts, strict=True)) for name, parts in STAGES.items()
                },
            },
        }  # fmt: skip
    return _made("pipeline", series, frames=180, repeats=3, sizes=sizes)


def engines() -> dict[str, Any]:
    rows, series = [], []
    for network, base in (("retinaface", 9.0), ("generator", 17.0), ("segmenter", 2.2)):
        for precision, factor in (("bf16", 1.0), ("f32", 3.6)):
            times = spoilt(base * factor, 60)
            p50, p95, p99 = (float(np.percentile(times, share)) for share in (50, 95, 99))
            rows.append({
                "network": network, "engine": "openvino", "precision": precision, "batch": 1, "median_ms": p50,
                "p95_ms": p95, "p99_ms": p99, "median_ms_per_face": p50, "ceiling_share": 0.31, "psnr_db": 61.2,
            })  # fmt: skip
            series.append(Series(f"engines/{network}/openvino cpu {precision}/time", "ms", Better.LESS, times))
    return _made("engines", series, reference="torch", ceilings=[], engines=rows)


def live() -> dict[str, Any]:
    moments = [index / 30 for index in range(900)]
    ages = [
        55 + 9 * math.sin(moment / 7) + extra for moment, extra in zip(moments, spoilt(9, 900, spread=0.6), strict=True)
    ]
    told = {"p50": 62.0, "p95": 84.0, "p99": 97.0}
    return _made(
        "live", [Series("live/age", "ms", Better.LESS, ages)], size="640x480", camera_fps=30, fps=29.97, ratio=0.999,
        seconds=30.0, age_ms=told, first_minute_age_ms=told, last_minute_age_ms=told, shown=900, dropped=4,
        repeated=4, out_of_order=0, memory_growth_mb=0.4, moments=moments,
    )  # fmt: skip


def quality() -> dict[str, Any]:
    told = (
        ("ours", 17.1, 19.6, True), ("telea", 9.2, 12.4, False), ("navier-stokes", 8.7, 12.9, False),
        ("gappy-pca", 22.0, 17.8, False), ("mean-face", 0.6, 14.8, True),
        ("the paper's, at its own size", 141.0, None, False),
    )  # fmt: skip
    rows = [
        {"name": name, "ms_per_face": ms, "p95_ms": ms, "hole_psnr": psnr, "hole_ssim": psnr and psnr / 30,
         "on_front": front, "description": "made up"}
        for name, ms, psnr, front in told
    ]  # fmt: skip
    series = [Series(f"quality/{name}/time", "ms a face", Better.LESS, spoilt(ms, 15)) for name, ms, _, _ in told]
    left_out = {"the paper's, at our cost": "runs/baselines/mcsam-paper is not here"}
    return _made("quality", series, pictures="made up", photos=12, generators=rows, left_out=left_out)


def curves() -> dict[str, Any]:
    def point(at: int | str, ms: float, memory: float = 400.0) -> dict[str, Any]:
        return {"at": at, "frame_ms": ms, "ceiling_ms": 0.4 * ms, "added_ms": 0.6 * ms, "peak_rss_mb": memory}

    sizes = {"640x360": 14.0, "1280x720": 29.0, "1920x1080": 55.0, "3840x2160": 190.0}
    batch = {1: 17.0, 2: 16.2, 4: 15.9, 8: 15.8}
    return {
        "faces": [point(count, 18 + 15 * count**0.85) for count in (0, 1, 2, 4, 8)],
        "resolution": [point(size, ms) for size, ms in sizes.items()],
        "length": [point(frames, 20.0, 380 + frames / 4000) for frames in (90, 360, 1440)],
        "threads": [point(1, 24.0), point(2, 20.0)],
        "batch": [{"at": count, "ms_per_face": ms, "p95_ms": ms * count * 1.1} for count, ms in batch.items()],
    }


def scale() -> dict[str, Any]:
    found = curves()
    series = [Series("scale/faces/1/time", "ms a frame", Better.LESS, spoilt(33, 2))]
    return _made("scale", series, curves=found, expectations=judged(found))


def peers() -> dict[str, Any]:
    costs = {"ours": (17.0, 3.1), "MI-GAN": (120.0, 10.9), "LaMa": (240.0, 32.6), "the paper's": (141.0, 25.9)}
    shared = {"ceiling_share": 0.3, "note": ""}
    generators = [
        {"name": name, "median_ms": ms, "p95_ms": 1.1 * ms, "gmacs": gmacs, "published_gmacs": gmacs, **shared}
        for name, (ms, gmacs) in costs.items()
    ]
    told = {
        "deface 1.5.0": (3.3, 12.1),
        "PyAV, decode and encode": (120.0, 0.33),
        "ffmpeg, decode and encode": (131.0, 0.3),
    }
    others = {name: {"fps": fps, "ratio": ratio, "all_fps": spoilt(fps, 3)} for name, (fps, ratio) in told.items()}
    series = [Series("peers/barefaced/fps", "fps", Better.MORE, spoilt(40, 3))]
    return _made(
        "peers", series, size="854x480", frames=360, fps=40.0,
        peers=others, generators=generators, left_out={}, published=published(), all_fps=spoilt(40, 3),
    )  # fmt: skip


def cores() -> dict[str, Any]:
    found = {"stage_ms": {name: sum(parts) for name, parts in STAGES.items()}, "slowest_stage": "inpaint",
             "fps": {"1": 33.0, "2": 65.0, "8": 128.0}, "limit_fps": 129.9}  # fmt: skip
    series = [Series("cores/640x480/2", "fps", Better.MORE, [65.0])]
    return _made("cores", series, sizes={"640x480": found})


@cache
def everything() -> dict[str, Any]:
    made = {
        "pipeline": pipeline,
        "engines": engines,
        "live": live,
        "quality": quality,
        "scale": scale,
        "cores": cores,
        "peers": peers,
    }
    return joined({name: make() for name, make in made.items()}, {})


assert len(EXPECTATIONS) == len(curves())
