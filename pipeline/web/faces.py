"""Own faces on the page: recordings of a person come in, a face is learned of them, worn, and forgotten.

Learning needs what a run does not, so that whoever serves the page hands in what does it.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import platformdirs

from engine.cache import Cache
from pipeline.errors import BarefacedError, CheckpointError, ConfigError, SourceError, TooSlow
from pipeline.people.enrolled import AGREED, SUFFIX, read_face
from pipeline.run.load import wearing
from pipeline.web.uploads import known_suffix, without_paths, write_chunks
from pipeline.web.visit import in_words

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from pipeline.run.load import Networks
    from pipeline.settings.config import Config
    from pipeline.web.visit import Turn

MOST_RECORDINGS = 20
"""Files that one face is learned from."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
"""What a face may be called: its name is its file's."""


class Far(Protocol):
    """How far an enrolment is, as `barefaced.Enrolment` has it."""

    @property
    def pictures(self) -> int: ...  # noqa: D102 - as there
    @property
    def step(self) -> int: ...  # noqa: D102
    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def gain(self) -> float | None: ...  # noqa: D102


class Enrolls(Protocol):
    """Learns a face."""

    @property
    def missing(self) -> str | None:
        """Why it can't be done here, with the cure; None where it can."""
        ...

    def __call__(
        self,
        recordings: Sequence[Path],
        target: Path,
        sheet: Path,
        config: Config,
        *,
        tell: Callable[[Far], None],
        note: Callable[[str], None],
    ) -> None:
        """Write the face in `recordings` to `target`, and a sheet to look at. Raises `BarefacedError`.

        `note` is told what the recordings show too little of, and why nothing was learned of the voice.
        """
        ...


@dataclass
class PageEnrolment:
    """Recordings of one person, and what becomes of them. One thread at a time writes this; any reads it."""

    folder: Path
    recordings: list[Path] = field(default_factory=list)
    far: Far | None = None
    running: bool = False
    unwanted: bool = False
    error: str | None = None
    name: str | None = None
    """The name of the face that was learned."""
    notes: list[str] = field(default_factory=list)
    """What the recordings showed too little of, and what became of the voice."""

    @property
    def sheet(self) -> Path:
        """The picture of masked, shipped, own and true faces."""
        return self.folder / "sheet.png"

    def told(self, far: Far) -> None:
        """Note how far it is. Raises `SourceError` when somebody cancelled it."""
        self.far = far
        if self.unwanted:
            raise SourceError("it was cancelled")

    def as_json(self) -> dict[str, object]:
        """What the page is told."""
        far = self.far
        return {
            "recordings": len(self.recordings),
            "running": self.running,
            "pictures": far.pictures if far else 0,
            "step": far.step if far else 0,
            "steps": far.steps if far else 0,
            "gain": None if far is None or far.gain is None else round(far.gain, 2),
            "error": self.error,
            "name": self.name,
            "notes": [*self.notes],
        }


class WornFaces:
    """The enrolled faces, which of them is drawn, and the one that is being learned.

    Only the event loop's thread uses it.
    """

    def __init__(self, config: Config, networks: Networks, turn: Turn, scratch: Path, enrolls: Enrolls) -> None:
        """`networks` wear the faces of `config`; `scratch` is a directory that its maker removes."""
        self.config, self.networks, self.turn, self.enrolls = config, networks, turn, enrolls
        self.enrolment = PageEnrolment(scratch / "enrolment")
        self.worn = ", ".join(Path(path).stem for path in config.identity.face) or None
        self._bare = networks
        self._compiled = ExitStack()
        self._work: asyncio.Task[None] | None = None

    @property
    def folder(self) -> Path:
        """Where faces are kept that are learned on the page."""
        asked = self.config.serve.face_folder
        return Path(asked) if asked else platformdirs.user_data_path("barefaced", appauthor=False) / "faces"

    def files(self) -> dict[str, Path]:
        """The faces that may be worn, by name."""
        kept = {path.stem: path for path in sorted(self.folder.glob(f"*{SUFFIX}"))}
        return kept | {Path(path).stem: Path(path) for path in self.config.identity.face}

    def as_json(self) -> dict[str, object]:
        """What the page shows of faces."""
        return {
            "missing": self.enrolls.missing,
            "worn": self.worn,
            "faces": [_described(name, path) for name, path in self.files().items()],
            "enrolment": self.enrolment.as_json(),
        }

    async def wear(self, name: str | None) -> None:
        """Draw with that face from now on; None: with the shipped network alone.

        Raises `ConfigError` for an unknown name, `Busy` while something is processed, `CheckpointError`, `EngineError`.
        """
        path = None if name is None else self._path(name)
        identity = replace(self.config.identity, face=() if path is None else (str(path),))
        async with self.turn.taken("a face"):
            compiled = ExitStack()
            wears = wearing(self._bare, replace(self.config, identity=identity))
            networks = await asyncio.to_thread(compiled.enter_context, wears)
            self._compiled.close()
            self.networks, self.worn, self._compiled = networks, name, compiled

    async def forget(self, name: str) -> None:
        """Delete a face and what was compiled of it. Raises as `wear` does."""
        path = self._path(name)
        if self.worn is not None and name in self.worn.split(", "):
            await self.wear(None)
        with suppress(CheckpointError):  # nothing was compiled of a damaged one
            Cache.default().forget(read_face(path).generator.sha256)
        path.unlink()

    async def receive(self, name: str, length: int | None, chunks: AsyncIterator[bytes]) -> None:
        """Take a recording, of whose name only the suffix counts. Raises `Refused` and `ConfigError`."""
        suffix, limits, enrolment = known_suffix(name), self.config.serve, self.enrolment
        if enrolment.running:
            raise ConfigError("a face is being learned: wait for it, or cancel it")
        if len(enrolment.recordings) >= MOST_RECORDINGS:
            raise ConfigError(f"a face is learned from at most {MOST_RECORDINGS} files")

        enrolment.folder.mkdir(exist_ok=True)
        path = enrolment.folder / f"{len(enrolment.recordings)}{suffix}"
        try:
            async with asyncio.timeout(limits.upload_minutes * 60):
                await write_chunks(path, chunks, limits.upload_megabytes, length)
        # A visitor that goes away is a CancelledError: half a recording must not stay.
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, TimeoutError):
                raise TooSlow(f"receiving the file took longer than {limits.upload_minutes} min") from error
            raise
        enrolment.recordings.append(path)

    async def learn(self, name: str, *, agreed: bool) -> None:
        """Begin to learn a face of the recordings that came.

        Raises `ConfigError` for a name that no file may have or that is taken, without consent, and where it can't be
        done, and `Busy`.
        """
        if self.enrolls.missing is not None:
            raise ConfigError(self.enrolls.missing)
        if not agreed:
            raise ConfigError(f"say that the person agreed: {AGREED}")
        if not NAME.fullmatch(name) or name == "shipped":
            raise ConfigError("a face is called by letters, digits, - and _, up to 40 of them")
        if name in self.files():
            raise ConfigError(f"there is a face called {name}: choose another name, or forget that one")
        if not self.enrolment.recordings:
            raise ConfigError("record the face, or choose videos or photos of it, first")

        # The turn is taken here and given back when learning ends, long after this request was answered.
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.turn.taken("a face"))
            self.enrolment.running, self.enrolment.error, self.enrolment.notes = True, None, []
            self._work = asyncio.create_task(self._learn(name, self.enrolment, stack.pop_all()))

    async def drop(self) -> None:
        """Cancel what is being learned, and forget the recordings."""
        dropped, self.enrolment = self.enrolment, PageEnrolment(self.enrolment.folder)
        dropped.unwanted = True
        if self._work is not None:
            self.turn.end()
            await self._work
        shutil.rmtree(dropped.folder, ignore_errors=True)

    async def end(self) -> None:
        """Cancel what is being learned, and release what was compiled."""
        await self.drop()
        self._compiled.close()

    async def _learn(self, name: str, enrolment: PageEnrolment, turn: AsyncExitStack) -> None:
        """Learn in a thread, and give the turn back. The recordings go, whatever came of them."""
        async with turn:
            try:
                await asyncio.to_thread(self._learned, name, enrolment)
                enrolment.name = name
            except BarefacedError as error:
                enrolment.error = without_paths(in_words(error), enrolment.folder)
            finally:
                for recording in enrolment.recordings:
                    recording.unlink(missing_ok=True)
                enrolment.recordings, enrolment.running, self._work = [], False, None

    def _learned(self, name: str, enrolment: PageEnrolment) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / f"{name}{SUFFIX}"
        tell, note = enrolment.told, enrolment.notes.append
        self.enrolls(enrolment.recordings, target, enrolment.sheet, self.config, tell=tell, note=note)

    def _path(self, name: str) -> Path:
        """Where a face is. Raises `ConfigError` for an unknown name."""
        path = self.files().get(name)
        if path is None:
            raise ConfigError(f"there is no face called {name!r} here")
        return path


def _described(name: str, path: Path) -> dict[str, object]:
    """A face in a line."""
    try:
        made = read_face(path).manifest
    except BarefacedError as error:
        return {"name": name, "pictures": 0, "made": "", "gain": None, "error": str(error)}
    return {"name": name, "pictures": made.frames, "made": made.made, "gain": made.gain, "error": None}
