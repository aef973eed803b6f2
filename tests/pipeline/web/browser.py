"""A headless Chromium, driven over the W3C WebDriver protocol, which is JSON over HTTP."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""What the protocol calls a reference to an element."""

LONGEST_SECONDS = 120.0
"""For the driver to answer, on a machine that does something else as well."""


@dataclass
class Browser:
    """One window. Every method raises `AssertionError` with the driver's own words when it does not work."""

    connection: HTTPConnection
    session: str = ""

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        text = None if method == "GET" else json.dumps(body or {})
        self.connection.request(method, f"{self.session}{path}", text, {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        answer = json.loads(response.read())["value"]
        assert response.status == 200, f"{method} {path}: {answer}"
        return answer

    def open(self, address: str) -> None:
        self.ask("POST", "/url", {"url": address})

    def run(self, script: str, *arguments: object) -> Any:
        """What the JavaScript function body `script` returns, or what the promise that it returns becomes."""
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def click(self, selector: str) -> None:
        """Click on what is there; where the page redraws it between finding and clicking, on what took its place."""
        for left in reversed(range(20)):
            try:
                self.ask("POST", f"/element/{self._element(selector)}/click")
            except AssertionError as error:
                if left == 0 or "stale element reference" not in str(error):
                    raise
                time.sleep(0.1)
            else:
                return

    def press(self, selector: str, keys: str) -> None:
        self.ask("POST", f"/element/{self._element(selector)}/value", {"text": keys})

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def shown(self, selector: str) -> bool:
        return bool(self.run("return document.querySelector(arguments[0]).checkVisibility()", selector))

    def wait_for(self, what: Callable[[], object], seconds: float = 30.0) -> None:
        """Wait until `what` gives something true."""
        end = time.monotonic() + seconds
        while not what():
            if time.monotonic() > end:
                page = self.run("return document.body.innerText")
                raise AssertionError(f"not within {seconds:g} s; the page says:\n{page}\n{self.complaints()}")
            time.sleep(0.1)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.ask("GET", "/screenshot")))

    def devtools(self, command: str, **parameters: object) -> Any:
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def complaints(self) -> list[str]:
        """What the console said since it was last asked: errors of scripts, refused sources, failed requests."""
        return [str(entry["message"]) for entry in self.ask("POST", "/se/log", {"type": "browser"})]

    def _element(self, selector: str) -> str:
        return str(self.ask("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT])


@contextmanager
def browser(driver: str, program: str, profile: Path, *, camera: Path, size: tuple[int, int]) -> Iterator[Browser]:
    """A window of `size` whose camera plays the file `camera` (Y4M) over and over."""
    arguments = [
        "--headless=new",
        "--no-sandbox",  # Chromium does not start as root with it, and nothing but our own page is opened
        "--disable-gpu",
        "--hide-scrollbars",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
        f"--user-data-dir={profile}",
        f"--window-size={size[0]},{size[1]}",
    ]
    options = {"binary": program, "args": arguments}
    wanted = {
        "browserName": "chrome",
        "goog:chromeOptions": options,
        "goog:loggingPrefs": {"browser": "ALL"},
        "timeouts": {"script": 1000 * int(LONGEST_SECONDS)},
    }
    process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        port = next(int(line.split()[-1].rstrip(".")) for line in process.stdout if "successfully on port" in line)
        found = Browser(HTTPConnection("127.0.0.1", port, timeout=LONGEST_SECONDS))
        answer = found.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        found.session = f"/session/{answer['sessionId']}"
        try:
            yield found
        finally:
            found.ask("DELETE", "")
            found.connection.close()
    finally:
        process.terminate()
        process.communicate()
