"""Processes one browser's camera, from the first message to the last."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from pipeline.errors import BarefacedError, ConfigError, SourceError
from pipeline.live.camera import CameraSource
from pipeline.live.live import LiveRun, rehearsal
from pipeline.run.controls import Controls, Wishes
from pipeline.web.messages import choice_of, offer_of, parsed, status_of
from pipeline.web.peer import BrowserCamera, Peer

if TYPE_CHECKING:
    from pipeline.run.ledger import Shown
    from pipeline.run.load import Networks
    from pipeline.settings.config import Config
    from pipeline.web.messages import Message
    from pipeline.web.turn import Turn

STATUS_SECONDS = 0.25
"""How often the page gets the status of the run."""

OFFER_SECONDS = 15.0
"""How long a page may take for its first message."""

HEARTBEAT_SECONDS = 30.0
"""How often a page is asked whether it is still there. One that is closed says so at once; this finds one that hangs,
and half of it is how long a busy machine may take to answer."""

LONGEST_MESSAGE = 1 << 16
"""The greatest length of a message in bytes; an offer has a few thousand."""


@dataclass
class Visit:
    """A camera that is processed for as long as its WebSocket is open: closing the page ends it."""

    socket: web.WebSocketResponse
    config: Config
    networks: Networks
    turn: Turn

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._camera = BrowserCamera()
        self._controls = Controls(Wishes.of(self.config))
        self._lost: asyncio.Future[str] = self._loop.create_future()
        self._peer = Peer(self._camera, self._lose)
        said: list[str] = []
        source = CameraSource(self._camera, said.append, lasts=False, rehearse=rehearsal(self.networks, said.append))
        self._run = LiveRun(self.config, self.networks, source, said, controls=self._controls)

    async def hold(self, offer: str) -> None:
        """Answer `offer` and process until one side ends the visit.

        Raises `BarefacedError` with the reason when neither side wanted that end.
        """
        work: asyncio.Task[None] | None = None
        helpers: list[asyncio.Task[None]] = []

        try:
            answer = await self._peer.answer(offer)
            await self._send({"type": "answer", "sdp": answer})
            work = asyncio.create_task(asyncio.to_thread(self._run.show_as_they_come, self._show))
            helpers = [asyncio.create_task(helper) for helper in (self._listen(), self._report(), self._until_lost())]
            await asyncio.wait([work, *helpers], return_when=asyncio.FIRST_COMPLETED)
            for task in (work, *helpers):
                if task.done():
                    task.result()  # raises what the task raised

        finally:
            for helper in helpers:
                helper.cancel()
            self.turn.end()
            self._run.stop()
            await self._peer.close()
            await asyncio.gather(*helpers, *([work] if work else []), return_exceptions=True)

    def _show(self, shown: Shown) -> None:
        """Hand a finished frame over to the event loop. Called in the run's thread."""
        self._loop.call_soon_threadsafe(self._peer.track.put, shown.frame.planes)

    def _lose(self, reason: str) -> None:
        """Note why the connection was lost."""
        if not self._lost.done():
            self._lost.set_result(reason)

    async def _until_lost(self) -> None:
        """Wait until the connection is lost. Raises `SourceError` with the reason."""
        raise SourceError(await self._lost)

    async def _listen(self) -> None:
        """Take the choices of the page, until it is closed."""
        async for message in self.socket:
            if message.type is WSMsgType.TEXT:
                self._controls.choice = choice_of(parsed(message.data))

    async def _report(self) -> None:
        """Send the page the status of the run, for ever."""
        while True:
            await asyncio.sleep(STATUS_SECONDS)
            await self._send(status_of(self._run, self._controls, now=time.perf_counter()))

    async def _send(self, message: Message) -> None:
        """Send the page a message."""
        await self.socket.send_str(json.dumps(message))


async def receive(request: web.Request, *, config: Config, networks: Networks, turn: Turn) -> web.WebSocketResponse:
    """Answer a request that opens a WebSocket for a camera, and stay with it to its end."""
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, max_msg_size=LONGEST_MESSAGE)
    await socket.prepare(request)
    with suppress(ConnectionError):  # the page is gone
        try:
            offer = offer_of(parsed(await _first_text(socket)))
            async with turn.taken("a camera"):
                await Visit(socket, config, networks, turn).hold(offer)
        except BarefacedError as error:
            await socket.send_str(json.dumps({"type": "error", "message": str(error)}))
        await socket.close()
    return socket


async def _first_text(socket: web.WebSocketResponse) -> str:
    """Wait for the first message. Raises `ConfigError` when none comes in time, or one that is no text."""
    try:
        return await asyncio.wait_for(socket.receive_str(), OFFER_SECONDS)
    except (TimeoutError, TypeError) as error:  # aiohttp raises TypeError for what is no text
        raise ConfigError("the page sent no offer") from error
