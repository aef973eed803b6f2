"""Clips with a key frame every half second, a masked face in them, and runs in chunks over them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import av

from pipeline.demo.clip import draw_frames
from pipeline.run.batch import Job
from pipeline.run.resume import process_in_chunks
from pipeline.settings.values import build
from tests.pipeline.clips import Clip, Sound
from tests.stand_ins import stand_in_networks

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.frames import Frame
    from pipeline.run.process import Ended, Stoppable

WIDTH, HEIGHT = 192, 144
KEY_FRAMES = {"preset": "ultrafast", "crf": "12", "g": "15", "bf": "2"}
"""A key frame every half second of 30 frames a second, and pictures that are decoded in another order."""
SETTINGS = {"chunk-seconds": 0.5, "preset": "ultrafast"}


@cache
def drawn(frames: int) -> tuple[NDArray[np.uint8], ...]:
    return tuple(draw_frames(width=WIDTH, height=HEIGHT, frames=frames))


def masked_clip(frames: int = 60) -> Clip:
    """A face that moves, wearing a mask, with sound."""
    return Clip(
        frames=frames,
        width=WIDTH,
        height=HEIGHT,
        options=dict(KEY_FRAMES),
        sounds=(Sound(),),
        draw=lambda number, _width, _height, _flash: drawn(frames)[number].copy(),
    )


@dataclass
class Watching:
    """A watcher, and a gauge of a cluster, that counts frames, and does at one of them what the test wants."""

    at: int | None = None
    does: object = None
    frames: int = 0
    run: Stoppable | None = None
    expected: list[int | None] = field(default_factory=list)

    def began(self, _job: Job, run: Stoppable, frames: int | None) -> None:
        self.run = run
        self.expected.append(frames)

    def wrote(self, _frame: Frame) -> None:
        self.frames += 1
        if self.frames == self.at and callable(self.does):
            self.does()

    def spread(self, run: Stoppable) -> None:
        self.run = run

    def expect(self, _job: Job, frames: int) -> None:
        self.expected.append(frames)

    def came(self, frames: int) -> None:
        self.frames += frames

    def ended(self) -> None:
        pass


def run_in_chunks(source: Path, target: Path, *, watching: Watching | None = None, **settings: object) -> Ended:
    """A run in chunks of half a second by networks whose answers are known."""
    named = {key.replace("_", "-"): value for key, value in settings.items()}
    config = build(SETTINGS | named)
    return process_in_chunks(Job(source, target), config, stand_in_networks(), watcher=watching or Watching())


def packets_of(path: Path) -> list[tuple[object, ...]]:
    """All packets of a file: stream, times, whether it is a key packet, and the hash of its bytes."""
    with av.open(str(path)) as opened:
        return [
            (packet.stream_index, packet.pts, packet.dts, packet.is_keyframe, hashlib.sha256(bytes(packet)).hexdigest())
            for packet in opened.demux()
            if packet.size
        ]
