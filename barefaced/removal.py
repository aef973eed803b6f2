"""Removing masks from files and from arrays, as the commands do it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count
from pathlib import Path
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Self

import numpy as np

from pipeline.errors import BarefacedError, ConfigError
from pipeline.find.track import TrackFaces, track_each_detection
from pipeline.run import assemble, load
from pipeline.run.batch import Job, named_beside
from pipeline.run.process import process
from pipeline.run.report import Report, Tally
from pipeline.settings.values import build, from_values
from pipeline.threads.runner import Pipeline
from pipeline.video.stills import still_frame

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from pipeline.frames import Detected, Frame, Tracked
    from pipeline.run.load import Networks
    from pipeline.run.process import Stoppable
    from pipeline.settings.config import Config
    from pipeline.threads.worker import Stage

__all__ = ["Progress", "Remover", "Report", "remove"]


@dataclass(frozen=True)
class Progress:
    """How far a file is."""

    file: Path
    frames: int
    """Frames written so far."""
    expected: int | None
    """Frames that will be written, as far as the file says; None when it does not."""


def remove(
    input: str | os.PathLike[str],  # noqa: A002 - the natural name of the first argument
    output: str | os.PathLike[str] | None = None,
    *,
    progress: Callable[[Progress], None] | None = None,
    **settings: object,
) -> Report:
    """Take the masks off in one video or picture and write the result to `output`.

    Without `output` the result stands beside the input: `talk.mp4` becomes `talk-barefaced.mp4`. `progress` is called
    after every frame, in the caller's thread; what it raises ends the run and leaves no output. For several files use
    one `Remover`, which compiles the networks once.

    Raises `ConfigError` for a setting that does not exist or is not allowed, `SourceError` and `SinkError` for files
    that can't be read or written, and `EngineError` or `CheckpointError` where the networks can't run.
    """
    with Remover(fps=30.0, **settings) as remover:
        return remover.file(input, output, progress=progress)


class Remover:
    """Compiled networks that take masks off in files, in single pictures and in streams of frames.

    Use it in a `with` block, or call `close` at the end. Any thread may call it; calls wait for each other, since the
    networks serve one at a time. Settings are those of `barefaced run`, with underscores.
    """

    def __init__(self, *, fps: float = 30.0, **settings: object) -> None:
        """Compile the networks, which takes seconds. `fps` is how many frames a second `frame` and `frames` are given.

        Raises as `remove` does.
        """
        if fps <= 0:
            raise ConfigError(f"fps can't be {fps:g}: allowed is a number above 0")
        self.config: Config = build(from_values(settings))
        self._fps = Fraction(fps).limit_denominator(100_000)
        self._stack = ExitStack()
        self._networks: Networks = self._stack.enter_context(load.networks(self.config))
        self._lock = Lock()
        self._holder: int | None = None
        self._stream: _OneByOne | None = None

    def __enter__(self) -> Self:
        """Nothing more to do: the networks are compiled."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the networks. A closed remover can't be used again."""
        with self._alone():
            self._stream = None
            self._stack.close()

    def file(
        self,
        input: str | os.PathLike[str],  # noqa: A002 - as in `remove`
        output: str | os.PathLike[str] | None = None,
        *,
        progress: Callable[[Progress], None] | None = None,
    ) -> Report:
        """Take the masks off in one video or picture, as `remove` does, and raise as it does."""
        source = Path(input)
        target = named_beside(source) if output is None else Path(output)
        with self._alone():
            ended = process(Job(source, target), self.config, self._networks, watcher=_Teller(progress))
        if ended.error is not None:
            raise ended.error
        return ended.report

    def picture(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture (height, width, 3) uint8 RGB without masks; it has nothing to do with the one before.

        Raises `EngineError`, and `ConfigError` for an array of another shape or type.
        """
        frames: Pipeline[Frame] = Pipeline("picture", [still_frame(_checked(rgb))])
        with self._alone():
            (drawn,) = self._faces(frames, follow=track_each_detection, picture=True).compose()
        return np.array(drawn.image)

    def frame(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The next frame (height, width, 3) uint8 RGB of a video, without masks. Faces are followed from call to call.

        Nothing is held back: the answer belongs to the frame that was given. Call `restart` before another video.
        Raises as `picture` does.
        """
        rgb = _checked(rgb)
        with self._alone():
            if self._stream is None:
                self._stream = _OneByOne(self._fps, self._streamed)
            try:
                return np.array(self._stream.answer(rgb).image)
            except BaseException:
                self._stream = None  # a generator that raised is at its end
                raise

    def restart(self) -> None:
        """Forget the faces of the frames so far: the next one begins another video."""
        with self._alone():
            self._stream = None

    def frames(self, rgbs: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        """The frames of a video, (height, width, 3) uint8 RGB each, without masks and in order.

        Faster than `frame`, since the networks work on several frames at a time and in threads of their own, in which
        `rgbs` is read too; an answer comes some frames after its question. The other calls wait until the iterator has
        ended or is closed. Raises as `picture` does, and what `rgbs` raises.
        """
        numbered = (_framed(_checked(rgb), index, self._fps) for index, rgb in enumerate(rgbs))
        with (
            self._alone(),
            self._faces(Pipeline("frames", numbered), follow=assemble.file_tracker(self.config)).run() as run,
        ):
            for frame in run:
                yield np.array(frame.image)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until no other thread uses the networks. Raises `BarefacedError` when this thread does already."""
        if self._holder == get_ident():
            raise BarefacedError("frames() is still being read: read it to its end or close it before another call")
        with self._lock:
            self._holder = get_ident()
            try:
                yield
            finally:
                self._holder = None

    def _streamed(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        follow = TrackFaces(**self.config.of_stage("track"))
        return self._faces(Pipeline("frames", frames), follow=follow).compose()

    def _faces(
        self, frames: Pipeline[Frame], *, follow: Stage[Detected, Tracked], picture: bool = False
    ) -> Pipeline[Frame]:
        return assemble.faces(frames, self.config, self._networks, Tally(), follow=follow, picture=picture)


class _OneByOne:
    """A pipeline without threads that gives one frame for each that it takes."""

    def __init__(self, fps: Fraction, pipeline: Callable[[Iterator[Frame]], Iterator[Frame]]) -> None:
        self._fps = fps
        self._waiting: list[NDArray[np.uint8]] = []
        self._answers = pipeline(self._questions())

    def answer(self, rgb: NDArray[np.uint8]) -> Frame:
        self._waiting.append(rgb)
        return next(self._answers)

    def _questions(self) -> Iterator[Frame]:
        for index in count():
            yield _framed(self._waiting.pop(), index, self._fps)


class _Teller:
    """Tells a caller how far a file is."""

    def __init__(self, tell: Callable[[Progress], None] | None) -> None:
        self._tell = tell
        self._progress = Progress(Path(), 0, None)

    def began(self, job: Job, _run: Stoppable, frames: int | None) -> None:
        self._progress = Progress(job.source, 0, frames)

    def wrote(self, _frame: Frame) -> None:
        self._progress = Progress(self._progress.file, self._progress.frames + 1, self._progress.expected)
        if self._tell is not None:
            self._tell(self._progress)

    def ended(self) -> None:
        pass


def _checked(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        shape = f"{rgb.dtype} of shape {rgb.shape}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise ConfigError(f"a picture must be a uint8 array of shape (height, width, 3) in RGB, not {shape}")
    return np.ascontiguousarray(rgb)


def _framed(rgb: NDArray[np.uint8], index: int, fps: Fraction) -> Frame:
    """A frame of a video from an array, with the time that its place in the video gives it."""
    frame = still_frame(rgb)
    frame.planes.pts, frame.planes.time_base = index, 1 / fps
    return replace(frame, index=index, time=index / fps)
