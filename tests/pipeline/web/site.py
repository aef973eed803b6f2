"""A page that is served for a test, and a browser's requests to it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from aiohttp import ClientSession, ClientTimeout, CookieJar, WSMsgType

from barefaced import Enrolment
from engine import models
from engine.onnx_file import read_weight, stored_weights
from pipeline.errors import SourceError
from pipeline.people.enrolled import FaceManifest, write_face
from pipeline.settings import values
from pipeline.web.server import serving
from tests.stand_ins import stand_in_networks

if TYPE_CHECKING:
    import threading
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from pathlib import Path

    from aiohttp import ClientWebSocketResponse

    from pipeline.run.load import Networks
    from pipeline.settings.config import Config
    from pipeline.web.faces import Enrolls, Far
    from pipeline.web.guard import Guard


SLIDERS = {"smoothing": "0.5", "feather": "5", "smile": "0", "mouth_open": "0"}
"""What a browser sends of the sliders with a file."""


class Page:
    """What a browser does: it keeps the cookie, and says on every request where it comes from."""

    def __init__(self, session: ClientSession, guard: Guard) -> None:
        self.session = session
        self.guard = guard
        self.origin = f"http://127.0.0.1:{guard.port}"

    async def status(self, path: str, method: str = "GET", **headers: str) -> int:
        """The status of the answer to a request with these headers."""
        async with self.session.request(method, self.origin + path, headers=headers) as answer:
            return answer.status

    async def send(self, name: str, content: Any, **query: str) -> tuple[int, dict[str, Any]]:
        """Drop a file: the status and the answer."""
        asked = {"name": name, **SLIDERS, **query}
        async with self.session.post(
            f"{self.origin}/files", params=asked, data=content, headers={"Origin": self.origin}
        ) as answer:
            return answer.status, await answer.json()

    async def until_done(self, number: str) -> list[dict[str, Any]]:
        """All that the page is told of a file."""
        async with self.session.get(f"{self.origin}/files/{number}") as answer:
            return [json.loads(line[6:]) async for line in answer.content if line.startswith(b"data: ")]

    async def faces(self, method: str = "GET", path: str = "", body: Any = None, **query: str) -> tuple[int, Any]:
        """Ask for the faces, or for a change of them: the status and the answer."""
        async with self.session.request(
            method, f"{self.origin}/faces{path}", params=query, data=body, headers={"Origin": self.origin}
        ) as answer:
            return answer.status, await answer.json()

    def socket(self) -> Any:
        """The WebSocket of a camera, to be entered."""
        return self.session.ws_connect(f"{self.origin}/live", headers={"Origin": self.origin})


class CopyingEnroller:
    """Writes a face of no change in the place of one that is learned, and a picture in the place of a sheet."""

    missing: str | None = None

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.gate = gate
        self.seen: list[str] = []

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
        del config
        self.seen += [path.suffix for path in recordings]
        tell(Enrolment(pictures=9))
        if self.gate is not None:
            assert self.gate.wait(60)
        if recordings[0].read_bytes() == NOBODY:
            raise SourceError("no face to learn from")
        tell(Enrolment(pictures=9, step=2, steps=2, gain=1.234))
        note(HARDLY_MOVED)
        made_face(target)
        cv2.imwrite(str(sheet), np.full((64, 64, 3), 90, np.uint8))


NOBODY = b"nobody is seen in it"
HARDLY_MOVED = "the mouth hardly moves: the face gains from a recording that shows more"


def made_face(path: Path) -> Path:
    """A face that draws as the shipped network does."""
    base = models.shipped("generator")
    manifest = FaceManifest(base.sha256, "2026-11-26", 1, 90, 20, 200, 20.5, 24.5)
    key, place = next(iter(stored_weights(base).items()))
    write_face(path, manifest, {key: read_weight(base, place)}, None, overwrite=False)
    return path


@asynccontextmanager
async def site(
    networks: Networks | None = None, enrolls: Enrolls | None = None, **settings: object
) -> AsyncIterator[Page]:
    """The page, and a browser that has opened its link."""
    keys = {key.replace("_", "-"): value for key, value in settings.items()}
    settled = values.build({"port": 0, **keys})
    served = serving(settled, networks or stand_in_networks(), enrolls or CopyingEnroller())
    async with served as guard, new_browser() as session:
        async with session.get(guard.link) as answer:
            assert answer.status == 200
        yield Page(session, guard)


def new_browser() -> ClientSession:
    """One without cookies."""
    return ClientSession(cookie_jar=CookieJar(unsafe=True), timeout=ClientTimeout(total=60))


async def told(socket: ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """The next message of that kind."""
    while True:
        message = await socket.receive(timeout=60)
        assert message.type is WSMsgType.TEXT, f"{message.type} while waiting for {kind}"
        found = json.loads(message.data)
        assert isinstance(found, dict)
        if found["type"] == kind:
            return found
        assert found["type"] != "error", found


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test in an event loop of its own."""
    asyncio.run(asyncio.wait_for(test, 120))
