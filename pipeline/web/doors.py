"""Bounds what strangers can hold open: how many connections there are, and how long each may stay silent.

aiohttp waits for the first request of a connection for ever. A visitor that opens a thousand connections and says
nothing would use up the server's file descriptors, and the page would answer nobody.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

MOST_CONNECTIONS = 128
"""A browser opens six at a time. When all are taken, the one that has been silent for the longest makes room."""
SILENT_SECONDS = 10.0
"""How long a connection may take to send the whole head of its first request."""
IDLE_SECONDS = 30.0
"""How long a connection stays open between two requests."""

LOG = logging.getLogger("barefaced.serve")


class Doors:
    """Lets connections in and watches those that have asked for nothing yet. For one event loop."""

    def __init__(self) -> None:
        self._open: set[_Door] = set()
        self._silent: dict[asyncio.BaseTransport, _Door] = {}
        """Connections without a request, the oldest first."""

    @web.middleware
    async def check(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Note that a connection has asked for something, and refuse bodies that are encoded (middleware).

        A megabyte of gzip inflates to a gigabyte, and browsers never encode what they send.
        """
        if request.transport is not None:
            self._silent.pop(request.transport, None)
        if "Content-Encoding" in request.headers:
            raise web.HTTPUnsupportedMediaType(text="Encoded bodies are refused: send the file as it is.\n")
        return await handler(request)

    @asynccontextmanager
    async def listening(self, server: web.Server, host: str, port: int) -> AsyncIterator[int]:
        """Listen inside a `with` block, and give the port. Raises `ConfigError` when nothing can listen."""
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(lambda: _Door(server(), self), host, port)
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"nothing can listen on {host} port {port} ({reason}): --port 0 takes a free one"
            raise ConfigError(message) from error

        try:
            yield listener.sockets[0].getsockname()[1]
        finally:
            listener.close()

    def enter(self, door: _Door, transport: asyncio.Transport) -> bool:
        """Let a connection in, or say that all places are taken by connections at work."""
        if len(self._open) >= MOST_CONNECTIONS:
            oldest = next(iter(self._silent), None)
            if oldest is None:
                return False
            self._silent[oldest].close()
        self._open.add(door)
        self._silent[transport] = door
        asyncio.get_running_loop().call_later(SILENT_SECONDS, self._close_silent, transport, door)
        return True

    def leave(self, door: _Door, transport: asyncio.BaseTransport) -> None:
        """Forget a connection."""
        self._open.discard(door)
        self._silent.pop(transport, None)

    def _close_silent(self, transport: asyncio.BaseTransport, door: _Door) -> None:
        if self._silent.get(transport) is door:
            door.close()


class _Door(asyncio.Protocol):
    """One connection: hands everything on to aiohttp's handler, once it was let in."""

    def __init__(self, handler: asyncio.Protocol, doors: Doors) -> None:
        self._handler = handler
        self._doors = doors
        self._transport: asyncio.Transport | None = None
        """None while it was not let in."""

    def close(self) -> None:
        """End the connection at once, without an answer."""
        if self._transport is not None:
            self._doors.leave(self, self._transport)
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a TCP server gives
        if not self._doors.enter(self, transport):
            transport.abort()
            return
        self._transport = transport
        self._handler.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._doors.leave(self, self._transport)
            self._handler.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        return self._handler.eof_received() if self._transport is not None else None

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()


class OneLine(logging.Filter):
    """Turns a record with a traceback into one line that names the error."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record in place, and let it pass."""
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            record.msg, record.args = f"{record.getMessage()}: {type(error).__name__}: {error}", ()
            record.exc_info, record.exc_text = None, None
        return True


LOG.addFilter(OneLine())
