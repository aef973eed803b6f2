"""What strangers send before anybody knows who they are neither stops the page nor fills the log."""

from __future__ import annotations

import asyncio
import gzip
import logging

import pytest

pytest.importorskip("aiohttp", reason="the page needs aiohttp and aiortc")
pytest.importorskip("aiortc", reason="the page needs aiohttp and aiortc")

from pipeline.web import doors
from tests.pipeline.web.site import Page, run, site

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("no_thread_left")]


async def raw(page: Page, text: bytes) -> bytes:
    """The answer to these bytes, until the server closes the connection or has said all."""
    reader, writer = await asyncio.open_connection("127.0.0.1", page.guard.port)
    writer.write(text)
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(1 << 16), 20)
    writer.close()
    return answer


def head(page: Page, *lines: bytes) -> bytes:
    return b"\r\n".join([b"POST /files HTTP/1.1", f"Host: 127.0.0.1:{page.guard.port}".encode(), *lines, b"", b""])


@pytest.mark.parametrize("body", [gzip.compress(bytes(1 << 22)), b"this is no gzip"])
def test_an_encoded_body_is_refused_before_it_is_inflated(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with site() as page:
            length = f"Content-Length: {len(body)}".encode()
            answer = await raw(page, head(page, b"Content-Encoding: gzip", length) + body)
            assert answer.startswith(b"HTTP/1.1 415 ")
            assert b"send the file as it is" in answer

    run(test())
    assert not caplog.records


def test_a_cookie_that_is_no_text_is_a_strangers(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with site() as page:
            cookie = b"Cookie: " + page.guard.cookie.encode() + b"=\xff\xfe"
            answer = await raw(page, head(page, cookie).replace(b"POST /files", b"GET /about"))
            assert answer.startswith(b"HTTP/1.1 403 ")

    run(test())
    assert not caplog.records


def test_silent_connections_make_room_for_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with site() as page:
            silent = [await asyncio.open_connection("127.0.0.1", page.guard.port) for _ in range(3 * 8)]
            assert await page.status("/") == 200
            closed = [await asyncio.wait_for(reader.read(1), 20) == b"" for reader, _ in silent[: 2 * 8]]
            assert all(closed)
            for _, writer in silent:
                writer.close()

    monkeypatch.setattr(doors, "MOST_CONNECTIONS", 8)
    run(test())


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: "])
def test_a_connection_that_never_finishes_its_request_is_closed(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with site() as page:
            assert await raw(page, begun) == b""
            assert await page.status("/") == 200

    monkeypatch.setattr(doors, "SILENT_SECONDS", 0.2)
    run(test())


def test_an_open_camera_and_a_long_upload_are_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with site() as page, page.socket() as socket:
            await asyncio.sleep(0.5)
            assert not socket.closed
            assert await page.status("/") == 200

    monkeypatch.setattr(doors, "SILENT_SECONDS", 0.2)
    run(test())


def test_an_error_in_the_log_is_one_line() -> None:
    error = ValueError("no such thing")
    record = logging.LogRecord(
        "x", logging.ERROR, "f", 1, "Error handling %s", ("a request",), (ValueError, error, None)
    )
    assert doors.OneLine().filter(record)
    assert logging.Formatter().format(record) == "Error handling a request: ValueError: no such thing"
