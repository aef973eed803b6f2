"""Damaged files of every kind, thrown at reading and writing: `python -m tests.fuzz --minutes 5`.

A corpus of small whole files is made, one of each container and kind of picture. Each case is one of them with a few
changes: bits turned, stretches cut out, zeroed, doubled or swapped, lengths changed, the end cut off. A worker process
takes the case through `FileSource` and `FileSink`, or their like for pictures, under limits of memory and time.

A finding is a crash, a hang, an exception that is not ours, an output that a plain decoder does not read, and silent
loss: a run that is called complete although a plain decoder gets more pictures out of the same damaged file. A run that
is complete with fewer pictures than the whole file had, which no decoder can know, is counted and is no finding.

Each case follows from its number, so `--seed S --only NUMBER` does it again; `--keep FOLDER` keeps files of findings.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from PIL import Image

from pipeline.errors import BarefacedError
from pipeline.video.decode import FileSource
from pipeline.video.encode import FileSink
from pipeline.video.pictures import is_still
from pipeline.video.stills import StillSink, StillSource
from tests.pipeline.clips import Clip, Sound, picture
from tests.pipeline.heic import write_heic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from numpy.random import Generator

MEMORY_BYTES = 4 << 30
"""Of address space, in which libraries take much that they never use."""
SECONDS_A_CASE = 30
CASES_A_WORKER = 200
"""After so many a new process begins, so that what one case leaves behind does not reach far."""

FILM = Clip(frames=24, width=176, height=64, options={"preset": "ultrafast", "g": "8"}, sounds=(Sound(),))
VPX = FILM.but(codec="libvpx", options={"deadline": "realtime", "b": "200k", "g": "8"}, sounds=(Sound("libopus"),))
FILMS = {
    "mp4": (FILM, "a.mp4"),
    "fast mp4": (FILM.but(muxer_options={"movflags": "faststart"}), "a.mp4"),
    "fragmented mp4": (FILM.but(muxer_options={"movflags": "frag_keyframe+empty_moov"}), "a.mp4"),
    "mov": (FILM.but(codec="mjpeg", pixel_format="yuvj420p", options={}), "a.mov"),
    "hevc mp4": (FILM.but(codec="libx265", options={"x265-params": "log-level=none", "preset": "ultrafast"}), "a.mp4"),
    "mkv": (FILM, "a.mkv"),
    "live mkv": (FILM.but(muxer_options={"live": "1"}), "a.mkv"),
    "ffv1 mkv": (FILM.but(codec="ffv1", options={"level": "3", "slicecrc": "1"}), "a.mkv"),
    "webm": (VPX, "a.webm"),
    "vp9 webm": (VPX.but(codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}), "a.webm"),
    "live webm": (VPX.but(muxer_options={"live": "1"}), "a.webm"),
    "ts": (FILM, "a.ts"),
    "mpeg2 ts": (FILM.but(codec="mpeg2video", options={}), "a.ts"),
    "flv": (FILM, "a.flv"),
    "avi": (FILM.but(codec="mpeg4", options={}, sounds=(Sound("mp2"),)), "a.avi"),
    "mjpeg avi": (FILM.but(codec="mjpeg", pixel_format="yuvj420p", options={}, sounds=()), "a.avi"),
    "gif": (FILM.but(codec="gif", pixel_format="rgb8", options={}, sounds=()), "a.gif"),
    "ogg": (VPX.but(sounds=()), "a.ogg"),
    "nut": (FILM.but(codec="mpeg4", options={}, sounds=(Sound("mp2"),)), "a.nut"),
    "ivf": (VPX.but(sounds=()), "a.ivf"),
    "y4m": (FILM.but(codec="wrapped_avframe", options={}, sounds=()), "a.y4m"),
    "mpeg ps": (FILM.but(codec="mpeg2video", options={}, sounds=(Sound("mp2"),)), "a.mpg"),
}  # fmt: skip

PICTURES = {
    "png": {},
    "jpeg": {},
    "webp": {},
    "avif": {},
    "tiff": {"compression": "tiff_lzw"},
    "bmp": {},
    "ppm": {},
}
ANIMATIONS = ("webp", "png")


@dataclass(frozen=True)
class Seed:
    """A whole file."""

    kind: str
    path: Path
    frames: int


def corpus(folder: Path) -> list[Seed]:
    """A whole file of every kind."""
    seeds = []
    for number, (kind, (clip, name)) in enumerate(FILMS.items()):
        path = clip.write(folder / f"{number:02}{Path(name).suffix}")
        seeds.append(Seed(kind, path, plain_frames(path)))

    images = [Image.fromarray(picture(index, 96, 64, flash=False)) for index in range(5)]
    for kind, options in PICTURES.items():
        images[0].save(folder / f"still.{kind}", **options)
        seeds.append(Seed(kind, folder / f"still.{kind}", 1))
    for kind in ANIMATIONS:
        images[0].save(folder / f"moving.{kind}", save_all=True, append_images=images[1:], duration=100)
        seeds.append(Seed(f"animated {kind}", folder / f"moving.{kind}", 5))
    for kind, tile in (("heic", None), ("tiled heic", 64)):
        path = write_heic(folder / f"{kind.replace(' ', '-')}.heic", picture(3, 128, 64, flash=False), tile=tile)
        seeds.append(Seed(kind, path, 1))
    return seeds


# Mutations ---------------------------------------------------------------------------------------------------------


def turn_bits(data: bytearray, random: Generator) -> None:
    """Turn one to thirty bits."""
    for position in random.integers(0, len(data), int(random.integers(1, 31))):
        data[position] ^= 1 << int(random.integers(8))


def stretch_of(data: bytearray, random: Generator) -> slice:
    """A stretch of up to a sixth of the file."""
    length = int(random.integers(1, max(2, len(data) // 6)))
    begin = int(random.integers(0, max(1, len(data) - length)))
    return slice(begin, begin + length)


def zero(data: bytearray, random: Generator) -> None:
    """Zero a stretch."""
    stretch = stretch_of(data, random)
    data[stretch] = bytes(stretch.stop - stretch.start)


def lose(data: bytearray, random: Generator) -> None:
    """Take a stretch out."""
    del data[stretch_of(data, random)]


def double(data: bytearray, random: Generator) -> None:
    """Put a stretch in a second time."""
    stretch = stretch_of(data, random)
    data[stretch.stop : stretch.stop] = data[stretch]


def swap(data: bytearray, random: Generator) -> None:
    """Put a stretch somewhere else."""
    stretch = stretch_of(data, random)
    moved = data[stretch]
    del data[stretch]
    place = int(random.integers(0, len(data) + 1))
    data[place:place] = moved


def fill(data: bytearray, random: Generator) -> None:
    """Overwrite a stretch at random."""
    stretch = stretch_of(data, random)
    data[stretch] = random.bytes(stretch.stop - stretch.start)


def lie(data: bytearray, random: Generator) -> None:
    """Give a number of two or four bytes, such as a length, another value."""
    size = int(random.choice([2, 4]))
    place = int(random.integers(0, max(1, len(data) - size)))
    value = int(random.choice([0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF])) if size == 2 else int(random.integers(0, 1 << 32))
    data[place : place + size] = value.to_bytes(size, random.choice(["big", "little"]))


def cut_off(data: bytearray, random: Generator) -> None:
    """Cut the end off."""
    del data[int(random.integers(1, len(data))) :]


MUTATIONS: tuple[Callable[[bytearray, Generator], None], ...] = (
    turn_bits, zero, lose, double, swap, fill, lie, cut_off,
)  # fmt: skip


def mutated(seeds: list[Seed], run: int, number: int) -> tuple[Seed, str, bytes]:
    """Case `number` of a run: the file that it comes from, what was done to it, and what came of it."""
    random = np.random.default_rng([run, number])
    seed = seeds[int(random.integers(len(seeds)))]
    data, done = bytearray(seed.path.read_bytes()), []
    for _ in range(int(random.choice([1, 1, 1, 2, 3]))):
        mutation = MUTATIONS[int(random.integers(len(MUTATIONS)))]
        if len(data) > 16:
            mutation(data, random)
            done.append(mutation.__name__)
    return seed, " + ".join(done), bytes(data)


# One case ----------------------------------------------------------------------------------------------------------


def plain_frames(path: Path) -> int:
    """How many pictures a plain decoder gets out of a file, skipping what it can't decode."""
    count = 0
    with contextlib.suppress(av.error.FFmpegError, IndexError, ValueError), av.open(str(path)) as container:
        stream = next(video for video in container.streams.video)
        for packet in container.demux(stream):
            with contextlib.suppress(av.error.FFmpegError):
                count += len(packet.decode() if packet.size or packet.pts is None else [])
    return count


def verdict(path: Path, seed: Seed, folder: Path) -> str:
    """What becomes of a file; a finding begins with an exclamation mark."""
    target = folder / "out.mkv"
    try:
        if is_still(path):
            return of_still(path, folder / "out.png")
        source = FileSource(path)
        sink = FileSink(source, target, preset="ultrafast", overwrite=True)
        sink.check()
        for _ in sink(iter(source)):
            pass
    except BarefacedError:
        return "refused"
    except Exception as error:
        return f"! {type(error).__name__}: {error}"

    written, found = plain_frames(target), plain_frames(path)
    if written != sink.outcome.frames:
        return f"! {sink.outcome.frames} frames went to the encoder and {written} are in the output"
    if not source.outcome.complete or sink.outcome.problems:
        return "told"
    if sink.outcome.frames < found:
        return f"! silent loss: {sink.outcome.frames} of {found} pictures, called complete"
    return "fewer than the whole, which nobody can know" if sink.outcome.frames < seed.frames else "complete"


def of_still(path: Path, target: Path) -> str:
    """What becomes of a picture."""
    source = StillSource(path)
    sink = StillSink(source, target, overwrite=True)
    sink.check()
    for _ in sink(iter(source)):
        pass
    with Image.open(target) as written:
        written.load()
    return "complete"


def work(seeds: list[Seed], run: int, numbers: list[int], answers: Connection) -> None:
    """Do cases one after the other, and send the number and the verdict of each."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    warnings.simplefilter("ignore")
    for number in numbers:
        seed, _, data = mutated(seeds, run, number)
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / f"in{seed.path.suffix}"
            path.write_bytes(data)
            answers.send((number, verdict(path, seed, Path(name))))


def judged(seeds: list[Seed], run: int, numbers: list[int]) -> Iterator[tuple[int, str]]:
    """Number and verdict of every case, done in processes that may die or hang."""
    context = multiprocessing.get_context("spawn")
    left = list(numbers)
    while left:
        answers, theirs = context.Pipe(duplex=False)
        worker = context.Process(target=work, args=(seeds, run, left[:CASES_A_WORKER], theirs))
        worker.start()
        theirs.close()
        batch, patience = left[:CASES_A_WORKER], SECONDS_A_CASE + 30  # a process takes some seconds to begin
        try:
            while batch:
                if not answers.poll(patience):
                    yield batch.pop(0), f"! hang: no answer for {patience} s"
                    break
                number, sentence = answers.recv()
                batch.remove(number)
                patience = SECONDS_A_CASE
                yield number, sentence
        except EOFError:
            worker.join()
            yield batch.pop(0), f"! crash: exit code {worker.exitcode}"
        finally:
            worker.kill()
            worker.join()
        left = batch + left[CASES_A_WORKER:]


def main(arguments: list[str] | None = None) -> int:
    """Fuzz for a while, print what was found, and give 1 when there was a finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=1, help="another one makes other cases")
    parser.add_argument("--only", type=int, help="the number of one case to do again")
    parser.add_argument("--keep", type=Path, help="a directory for the files of findings")
    options: Any = parser.parse_args(arguments)

    ends, counts, findings = time.monotonic() + 60 * options.minutes, Counter[str](), 0
    with tempfile.TemporaryDirectory() as folder:
        seeds = corpus(Path(folder))
        first = 0 if options.only is None else options.only
        many = 1 if options.only is not None else 10_000_000
        for number, sentence in judged(seeds, options.seed, list(range(first, first + many))):
            seed, done, data = mutated(seeds, options.seed, number)
            counts[sentence if sentence[0] != "!" else "findings"] += 1
            if sentence[0] == "!":
                findings += 1
                print(f"case {number}: {seed.kind}, {done}: {sentence[2:]}", flush=True)  # noqa: T201 - what was asked for
                if options.keep:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / f"{options.seed}-{number}{seed.path.suffix}").write_bytes(data)
            if time.monotonic() > ends:
                break
    summary = ", ".join(f"{count} {what}" for what, count in counts.most_common())
    print(f"{sum(counts.values())} cases: {summary}")  # noqa: T201 - likewise
    return int(findings > 0)


if __name__ == "__main__":
    sys.exit(main())
