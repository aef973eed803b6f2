"""`barefaced run --learn`: the faces of those who are bare for a while in the clip itself."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.people.embed import Embedder
    from pipeline.run.load import Networks
    from pipeline.settings.config import Config
    from training.enrol.gather import View

MINUTES = 10.0
"""How long the people of a clip are learned at most, all together."""


@contextmanager
def learned_faces(
    source: Path, settings: Config, networks: Networks, keep: Path | None, say: Callable[[str], None]
) -> Iterator[tuple[str, ...]]:
    """The `.face` files of those who are bare for a while in the video `source`.

    They are written to the directory `keep`, or are gone at the end. `say` is told what was learned of whom, and why of
    others nothing was. Raises `SourceError`, `EngineError` and `SinkError`.
    """
    from pipeline.people.enrolled import SUFFIX, write_face
    from training.enrol.enrol import Enrolling

    with ExitStack() as stack:
        embedder = _embedder(settings, stack)
        people = _people(source, settings, networks, embedder)
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="barefaced-")))
        folder.mkdir(parents=True, exist_ok=True)
        if not people:
            say("nobody is bare for long enough to learn from: faces are drawn as without --learn")

        faces = []
        for number, views in enumerate(people, start=1):
            path = folder / f"{source.stem}-{number}{SUFFIX}"
            enrolling = Enrolling(60 * MINUTES / len(people), lambda _: None, embedder, engine=settings.engine.engine)
            try:
                face = enrolling(views)
            except SourceError as error:
                say(f"person {number}: {error}")
                continue
            write_face(path, face.manifest, face.weights, face.recognition, overwrite=settings.output.overwrite)
            say(f"person {number}: learned from {face.manifest.frames} pictures, {face.manifest.gain or 0:+.2f} dB")
            faces.append(str(path))
        yield tuple(faces)


def _embedder(settings: Config, stack: ExitStack) -> Embedder | None:
    """What tells the people of a clip apart; None where the recogniser is not installed."""
    from pipeline.people.embed import recogniser_missing
    from pipeline.run import load

    if recogniser_missing(settings.identity.recogniser) is not None:
        return None
    return stack.enter_context(load.examiner(settings)).embedder


def _people(source: Path, settings: Config, networks: Networks, embedder: Embedder | None) -> list[list[View]]:
    """The bare moments of each person in a video."""
    from tqdm import tqdm

    from pipeline.video.decode import FileSource
    from training.enrol.gather import Gather, Gathered, people_in

    gathered = Gathered()
    video = FileSource(source, start=settings.input.start, end=settings.input.end)
    seen = Gather(networks.detector, networks.segmenter).video(video, str(source), gathered)
    for _ in tqdm(seen, desc="learning", unit="frame", disable=not sys.stderr.isatty(), leave=False):
        pass
    return people_in(gathered, embedder)
