"""Who may ask: the link is good once, other hosts and other pages are refused, and every answer has its headers."""

from __future__ import annotations

import asyncio
import gzip
import logging

import pytest
from aiohttp import WSServerHandshakeError

from pipeline.web import guard
from pipeline.web.guard import HEADERS, Guard
from tests.pipeline.web.site import Page, new_browser, run, site

pytest.importorskip("aiohttp", reason="the page needs aiohttp and aiortc")
pytest.importorskip("aiortc", reason="the page needs aiohttp and aiortc")


pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("no_thread_left")]


def listening(host: str) -> Guard:
    return Guard(host, "secret", port=8437)


@pytest.mark.parametrize(
    ("host", "asked", "answers"),
    [
        ("127.0.0.1", "127.0.0.1:8437", True),
        ("127.0.0.1", "localhost:8437", True),
        ("127.0.0.1", "[::1]:8437", True),
        ("127.0.0.1", "127.0.0.1:80", False),
        ("127.0.0.1", "127.0.0.1", False),
        ("127.0.0.1", "evil.example:8437", False),
        ("127.0.0.1", "localhost.evil.example:8437", False),
        ("127.0.0.1", "192.168.1.7:8437", False),
        ("127.0.0.1", "user@127.0.0.1:8437", False),
        ("127.0.0.1", "127.0.0.1:8437/x", False),
        ("127.0.0.1", "127.0.0.1:x", False),
        ("127.0.0.1", "[::1", False),
        ("127.0.0.1", "", False),
        ("0.0.0.0", "192.168.1.7:8437", True),  # noqa: S104 - what a user may ask for
        ("0.0.0.0", "evil.example:8437", False),  # noqa: S104 - likewise
        ("desk.local", "desk.local:8437", True),
        ("desk.local", "evil.example:8437", False),
    ],
)
def test_only_its_own_addresses_are_answered(host: str, asked: str, answers: bool) -> None:
    assert listening(host).answers_to(asked) is answers


def test_the_link_holds_the_token_and_the_brackets_of_ipv6() -> None:
    assert listening("::1").link == "http://[::1]:8437/?token=secret"
    assert Guard("127.0.0.1", None, port=80).link == "http://127.0.0.1:80/"


def test_the_link_is_good_for_one_browser() -> None:
    async def test() -> None:
        async with site() as page, new_browser() as another:
            assert await page.status("/") == 200
            async with another.get(page.guard.link) as answer:
                assert answer.status == 403
                assert "printed, once, in one browser" in await answer.text()
            assert await page.status("/?token=wrong") == 200  # the session counts, once there is one

    run(test())


def test_a_browser_without_a_session_gets_a_page_that_says_what_to_do() -> None:
    """Its style and its scripts are public: they are the same everywhere."""

    async def test() -> None:
        async with site() as page, new_browser() as stranger:
            async with stranger.get(page.origin + "/", headers={"Accept": "text/html,*/*"}) as answer:
                assert answer.status == 403
                assert answer.content_type == "text/html"
                assert "press Enter" in await answer.text()
            for part in ("style.css", "lost.js", "words.js", "de.json"):
                async with stranger.get(f"{page.origin}/page/{part}") as answer:
                    assert answer.status == 200
                    assert "Set-Cookie" not in answer.headers

    run(test())


def test_a_new_link_lets_another_browser_in_and_the_first_stays() -> None:
    async def test() -> None:
        async with site() as page, new_browser() as another, new_browser() as late:
            former = page.guard.renew()
            link = page.guard.renew()
            async with another.get(former) as answer:
                assert answer.status == 403
            async with another.get(link) as answer:
                assert answer.status == 200
            async with late.get(link) as answer:
                assert answer.status == 403
            assert await page.status("/about") == 200

    run(test())


@pytest.mark.parametrize("path", ["/", "/?token=wrong", "/about", "/files/x", "/live"])
def test_without_a_session_nothing_is_given(path: str) -> None:
    async def test() -> None:
        async with site() as page, new_browser() as stranger:
            async with stranger.get(page.origin + path) as answer:
                assert answer.status == 403
                assert "Set-Cookie" not in answer.headers
            async with stranger.get(page.origin + path, cookies={page.guard.cookie: "guessed"}) as answer:
                assert answer.status == 403

    run(test())


def test_the_token_opens_the_page_alone_and_a_wrong_one_does_not_spend_it() -> None:
    async def test() -> None:
        async with site() as page:
            guard = page.guard
            fresh = Guard(guard.host, "another", port=guard.port)
            assert not fresh._spend("")
            assert not fresh._spend("anothe")
            assert fresh._spend("another")
            assert not fresh._spend("another")

    run(test())


def test_without_a_token_anybody_may_come_but_not_from_another_page() -> None:
    async def test() -> None:
        async with site(token=False) as page, new_browser() as another:
            async with another.get(page.origin + "/about") as answer:
                assert answer.status == 200
            async with another.get(page.origin + "/about", headers={"Origin": "http://evil.example"}) as answer:
                assert answer.status == 403

    run(test())


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example"])
def test_a_name_that_was_rebound_to_this_machine_is_refused(host: str) -> None:
    async def test() -> None:
        async with site() as page:
            assert await page.status("/about", Host=f"{host}:{page.guard.port}") == 403
            assert await page.status("/about", Host=f"localhost:{page.guard.port}") == 200

    run(test())


def test_other_origins_are_refused_whatever_they_ask() -> None:
    async def test() -> None:
        async with site() as page:
            for origin in ("http://evil.example", "null", page.origin.replace("http", "https"), page.origin + "0"):
                assert await page.status("/about", Origin=origin) == 403
                assert await page.status("/files", "POST", Origin=origin) == 403
            assert await page.status("/files", "POST") == 403  # a browser would say where it comes from
            assert await page.status("/files/x", "DELETE") == 403
            assert await page.status("/about", **{"Sec-Fetch-Site": "cross-site"}) == 403
            assert await page.status("/about", **{"Sec-Fetch-Site": "same-site"}) == 403
            assert await page.status("/about", Origin=page.origin) == 200

    run(test())


def test_a_websocket_from_another_page_is_refused() -> None:
    async def test() -> None:
        async with site() as page:
            for headers in ({"Origin": "http://evil.example"}, {}):
                with pytest.raises(WSServerHandshakeError) as refused:
                    await page.session.ws_connect(page.origin + "/live", headers=headers)
                assert refused.value.status == 403

    run(test())


@pytest.mark.parametrize("path", ["/", "/page/style.css", "/nowhere", "/files/x", "/page/..%2Fguard.py"])
def test_every_answer_has_its_headers(path: str) -> None:
    async def test() -> None:
        async with site() as page, page.session.get(page.origin + path) as answer:
            for name, value in HEADERS.items():
                assert answer.headers[name] == value

    run(test())


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites() -> None:
    async def test() -> None:
        async with site() as page:
            (cookie,) = page.session.cookie_jar
            assert cookie.key == f"barefaced-{page.guard.port}"
            assert cookie["httponly"]
            assert cookie["samesite"] == "Strict"
            assert cookie.value not in page.guard.link

    run(test())


@pytest.mark.parametrize(
    "path",
    ["/page/..%2Fguard.py", "/page/%2e%2e%2fguard.py", "/page/%2Fetc%2Fpasswd", "/page/guard.py", "/page/", "/pages"],
)
def test_no_path_leads_out_of_the_page(path: str) -> None:
    async def test() -> None:
        async with site() as page:
            reader, writer = await asyncio.open_connection("127.0.0.1", page.guard.port)
            (cookie,) = page.session.cookie_jar
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{page.guard.port}\r\nConnection: close\r\n"
                f"Cookie: {cookie.key}={cookie.value}\r\n\r\n".encode()
            )
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            assert answer.startswith(b"HTTP/1.1 404")

    run(test())


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

    monkeypatch.setattr(guard, "MOST_CONNECTIONS", 8)
    run(test())


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: "])
def test_a_connection_that_never_finishes_its_request_is_closed(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with site() as page:
            assert await raw(page, begun) == b""
            assert await page.status("/") == 200

    monkeypatch.setattr(guard, "SILENT_SECONDS", 0.2)
    run(test())


def test_an_open_camera_and_a_long_upload_are_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with site() as page, page.socket() as socket:
            await asyncio.sleep(0.5)
            assert not socket.closed
            assert await page.status("/") == 200

    monkeypatch.setattr(guard, "SILENT_SECONDS", 0.2)
    run(test())


def test_an_error_in_the_log_is_one_line() -> None:
    error = ValueError("no such thing")
    record = logging.LogRecord(
        "x", logging.ERROR, "f", 1, "Error handling %s", ("a request",), (ValueError, error, None)
    )
    assert guard.OneLine().filter(record)
    assert logging.Formatter().format(record) == "Error handling a request: ValueError: no such thing"
