"""Decides who is answered and how long they may take: host, origin, session, connections and silence.

A request must come to the right host from the right origin, with a session that began with the one-time link.

How many connections there are, and how long each may stay silent, is bounded: aiohttp waits for the first request of a
connection for ever. A visitor that opens a thousand connections and says nothing would use up the server's file
descriptors, and the page would answer nobody.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Server": "barefaced",
}
"""The headers of every response. Nothing of the page comes from elsewhere, and nobody may frame it."""

NO_SESSION = (
    "This page opens with the link that `barefaced serve` printed, once, in one browser.\n"
    "For another link press Enter in the terminal of `barefaced serve`, or start it again.\n"
)

PUBLIC = "/page/"
"""Where the page's own files are, which are the same everywhere: who has no session may see how the page looks."""


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Put `HEADERS` on a response, errors included."""
    response.headers.update(HEADERS)


@dataclass
class Guard:
    """Refuses every request that is not this machine's user's own."""

    host: str
    """The address on which the server listens."""
    token: str | None
    """The token that the first request must show; None when everybody may come who reaches the address."""
    lost: str = ""
    """The HTML page for a browser without a session."""
    port: int = 0
    """The port, which is known once the server listens."""
    _session: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    _used: bool = field(default=False, repr=False)

    @property
    def cookie(self) -> str:
        """The name of the session's cookie, with the port: cookies know no ports, and two servers may run."""
        return f"barefaced-{self.port}"

    @property
    def link(self) -> str:
        """The address of the page, with the token."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    @web.middleware
    async def check(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer a request that is refused with 403 and a sentence, and hand on any other (middleware)."""
        host = request.headers.get("Host", "")
        if not self.answers_to(host):
            raise web.HTTPForbidden(text=f"This server answers only under its own address, not as {host!r}.\n")
        if not _same_origin(request, host):
            raise web.HTTPForbidden(text="Requests from other pages are refused.\n")

        if self.token is None or self._known(request) or request.path.startswith(PUBLIC):
            return await handler(request)

        # Who comes without a session has one try: the first page, with the token of the link.
        if request.path != "/" or not self._spend(request.query.get("token", "")):
            if self.lost and request.path == "/" and "text/html" in request.headers.get("Accept", ""):
                raise web.HTTPForbidden(text=self.lost, content_type="text/html")
            raise web.HTTPForbidden(text=NO_SESSION)

        response = await handler(request)
        response.set_cookie(self.cookie, self._session, httponly=True, samesite="Strict", path="/")
        return response

    def renew(self) -> str:
        """Make another link for another browser, and give it; an unused one before it is good no more."""
        if self.token is not None:
            self.token, self._used = new_token(), False
        return self.link

    def answers_to(self, host_and_port: str) -> bool:
        """Whether the Host header names this server.

        A name that somebody else could point at this machine does not name it (DNS rebinding): only addresses do,
        `localhost`, and the name that was given by --host.
        """
        try:
            parts = urlsplit(f"//{host_and_port}")
            name, port = parts.hostname or "", parts.port or 80
        except ValueError:
            return False

        if port != self.port or parts.username is not None or parts.path:
            return False
        if name == self.host:
            return True
        if _is_loopback(self.host):
            return name == "localhost" or _is_loopback(name)
        return _is_address(name)

    def _known(self, request: web.Request) -> bool:
        """Whether a request belongs to the session."""
        return _same(request.cookies.get(self.cookie, ""), self._session)

    def _spend(self, token: str) -> bool:
        """Whether this is the token, which is good for one time."""
        if self._used or self.token is None or not _same(token, self.token):
            return False
        self._used = True
        return True


def new_token() -> str:
    """Make a token that nobody guesses."""
    return secrets.token_urlsafe(24)


def _same(given: str, secret: str) -> bool:
    """Whether a visitor gives the secret, in a time that tells nothing. What is not UTF-8 is another text, no error."""
    return secrets.compare_digest(given.encode(errors="surrogateescape"), secret.encode())


def _same_origin(request: web.Request, host: str) -> bool:
    """Whether a page of ours asks; or the user by a link or the address bar, which opens only the first page."""
    origin = request.headers.get("Origin")
    if origin is not None:
        return origin == f"http://{host}"
    if request.method not in ("GET", "HEAD") or "Upgrade" in request.headers:
        return False  # browsers say where these come from
    return request.path == "/" or request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


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
