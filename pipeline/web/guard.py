"""Who may ask for what: the right host, the right origin, and a session that began with the one-time link."""

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
"""Of every response. Nothing of the page comes from elsewhere, and nobody may frame it."""

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
    """The address that is listened on."""
    token: str | None
    """What the first request must show; None when anybody may come who reaches the address."""
    port: int = 0
    """Known once the server listens."""
    _session: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    _used: bool = field(default=False, repr=False)

    @property
    def cookie(self) -> str:
        """The session's name: cookies do not know ports, and another server may run beside this one."""
        return f"barefaced-{self.port}"

    @property
    def link(self) -> str:
        """Where the page is, with the token."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    @web.middleware
    async def check(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Middleware: answer 403 with a sentence, or go on."""
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
        """Whether the Host header names us. A name that somebody else could point at this machine does not (DNS
        rebinding): only addresses, `localhost`, and the name that was asked for with --host."""
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
        return secrets.compare_digest(request.cookies.get(self.cookie, "").encode(), self._session.encode())

    def _spend(self, token: str) -> bool:
        """Whether this is the token; it is good for one time."""
        if self._used or self.token is None or not secrets.compare_digest(token.encode(), self.token.encode()):
            return False
        self._used = True
        return True


def _same_origin(request: web.Request, host: str) -> bool:
    """Whether a page of ours asks, or the user by a link or the address bar, who may only look at the first page."""
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
