"""Decides which requests are answered: right host, right origin, and a session that began with the one-time link."""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

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
    "If that link was used already, start `barefaced serve` again.\n"
)


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
        if self.token is None or self._known(request):
            return await handler(request)
        if request.path != "/" or not self._spend(request.query.get("token", "")):
            raise web.HTTPForbidden(text=NO_SESSION)
        response = await handler(request)
        response.set_cookie(self.cookie, self._session, httponly=True, samesite="Strict", path="/")
        return response

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
