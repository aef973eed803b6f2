"""A page that is served for a test, and a browser's requests to it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession, ClientTimeout, CookieJar, WSMsgType

from pipeline.settings import values
from pipeline.web.server import serving
from tests.stand_ins import stand_in_networks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from aiohttp import ClientWebSocketResponse

    from pipeline.run.load import Networks
    from pipeline.web.guard import Guard


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
        asked = {"name": name, "smoothing": "0.5", "feather": "5", **query}
        async with self.session.post(
            f"{self.origin}/files", params=asked, data=content, headers={"Origin": self.origin}
        ) as answer:
            return answer.status, await answer.json()

    async def until_done(self, number: str) -> list[dict[str, Any]]:
        """All that the page is told of a file."""
        async with self.session.get(f"{self.origin}/files/{number}") as answer:
            return [json.loads(line[6:]) async for line in answer.content if line.startswith(b"data: ")]

    def socket(self) -> Any:
        """The WebSocket of a camera, to be entered."""
        return self.session.ws_connect(f"{self.origin}/live", headers={"Origin": self.origin})


@asynccontextmanager
async def site(networks: Networks | None = None, **settings: object) -> AsyncIterator[Page]:
    """The page, and a browser that has opened its link."""
    keys = {key.replace("_", "-"): value for key, value in settings.items()}
    settled = values.build({"port": 0, **keys})
    async with serving(settled, networks or stand_in_networks()) as guard, new_browser() as session:
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
