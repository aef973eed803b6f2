"""The sound of a file, decoded block by block for those that listen to it. What is written keeps its sound as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

from pipeline.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

GAP_SECONDS = 0.05
"""A silence in the file's clock from which on it is filled with zeros, so that what follows stays at its time."""


def read_sound(path: Path, rate: int) -> tuple[float, Iterator[NDArray[np.float32]]]:
    """When a file's first sound track begins, in seconds of the file's clock, and its samples in blocks (N,), mono.

    `rate` is in samples a second. Raises `SourceError`, also while the blocks are read, for a file that can't be read
    and for one without sound.
    """
    blocks = _blocks(path, rate)
    first = next(blocks, None)
    if first is None:
        raise SourceError(f"{path} has no sound")
    start, samples = first

    def all_of_them() -> Iterator[NDArray[np.float32]]:
        count = len(samples)
        yield samples
        for seconds, block in blocks:
            missing = round((seconds - start) * rate) - count
            if missing > GAP_SECONDS * rate:
                yield np.zeros(missing, np.float32)
                count += missing
            count += len(block)
            yield block

    return start, all_of_them()


def _blocks(path: Path, rate: int) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """The time and the samples of each block."""
    try:
        with av.open(str(path)) as file:
            if not file.streams.audio:
                return
            resampler = av.AudioResampler("fltp", rate=rate)
            seconds = 0.0
            for frame in file.decode(audio=0):
                seconds = seconds if frame.time is None else float(frame.time)
                for block in resampler.resample(frame):
                    yield seconds, np.asarray(block.to_ndarray().mean(axis=0), np.float32)
                seconds += frame.samples / frame.sample_rate
            for block in resampler.resample(None):
                yield seconds, np.asarray(block.to_ndarray().mean(axis=0), np.float32)
    except av.error.FFmpegError as error:
        raise SourceError(f"the sound of {path} can't be read: {error.strerror or error}") from error
