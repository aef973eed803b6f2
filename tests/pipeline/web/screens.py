"""Every screen of the page in a real browser, with networks that answer at once: what it shows, keeps and asks.

    python -m tests.pipeline.web.screens OUT

is run by `test_in_browser.py` in a network namespace of its own. What was seen goes to `OUT/screens.json`, each screen
in each size and look to `OUT/*.png`, and what axe finds there, where `make check-page` has installed it, beside them.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from pipeline.demo.clip import FRAME_RATE, draw_frames, write_clip
from tests.pipeline.web.browser import Browser, browser

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[3]
AXE = ROOT / "tests/page/node_modules/axe-core/axe.min.js"

STAND_IN = """
import contextlib, pathlib, sys, time, cli
from pipeline.run import load
from tests.stand_ins import StandInEngine, blue_is_mask, stand_in_networks

def masks(crops):
    if pathlib.Path(sys.argv[1]).exists():
        time.sleep(0.8)
    return blue_is_mask(crops)

@contextlib.contextmanager
def networks(config):
    found = stand_in_networks()
    found.segmenter.outputs_of = masks
    yield found

load.networks = networks
sys.exit(cli.main(["serve", "--port", "0", "--no-open"]))
"""
"""Serves the page with networks that answer at once, or slowly while there is the file that is its argument."""

SIZES = {"desk": (1280, 900), "zoomed": (640, 450), "phone": (390, 844), "lying": (844, 390)}
"""Of the window in CSS pixels; `zoomed` is the first at 200 %."""

WIDE = (640, 360)
"""The size of the camera's picture: wider than 4:3."""

CAUGHT = """
window.saved = [];
let last = null;
const made = URL.createObjectURL;
URL.createObjectURL = (blob) => made.call(URL, (last = blob));
HTMLAnchorElement.prototype.click = function () {
  const name = this.download;
  window.saved.push(last.arrayBuffer().then((bytes) => {
    const text = new TextDecoder("latin1").decode(bytes);
    return [name, bytes.byteLength, text.includes("compositeWithTrainedAlgorithmicMedia")];
  }));
};
"""
"""Catches what the page saves: its name, its length, and whether it has the label."""

RED_SHARE = """
const video = document.getElementById("result");
const context = new OffscreenCanvas(64, 48).getContext("2d");
context.drawImage(video, 0, 0, 64, 48);
const {data} = context.getImageData(0, 0, 64, 48);
let red = 0;
for (let at = 0; at < data.length; at += 4) {
  red += data[at] > 150 && data[at + 1] < 110 && data[at + 2] < 130;
}
return red / (64 * 48);
"""
"""How much of the result is as red as the networks that answer at once draw."""

DROP = """
const [text, name] = arguments;
const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], name));
const target = document.querySelector("footer, aside") ?? document.body;
for (const type of ["dragenter", "dragover", "drop"]) {
  target.dispatchEvent(new DragEvent(type, {bubbles: true, cancelable: true, dataTransfer: data}));
}
"""


@contextmanager
def stand_in_server(slow: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The link of a server whose networks answer at once, while `slow` is not there, and the server."""
    command = [sys.executable, "-c", STAND_IN, str(slow)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
    finally:
        process.terminate()
        process.communicate(timeout=60)


class Looker:
    """Looks at a screen in every size, and notes what axe finds."""

    def __init__(self, window: Browser, out: Path) -> None:
        self.window = window
        self.out = out
        self.violations: dict[str, list[str]] = {}
        self.too_wide: list[str] = []

    def look(self, name: str, sizes: Iterable[str] = SIZES) -> None:
        for size in sizes:
            width, height = SIZES[size]
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            self.window.devtools("Emulation.setDeviceMetricsOverride", **metrics)
            self._note(f"{name}-{size}")
        self.window.devtools("Emulation.clearDeviceMetricsOverride")
        for look, (feature, value) in {
            "dark": ("prefers-color-scheme", "dark"),
            "forced": ("forced-colors", "active"),
        }.items():
            self.window.devtools("Emulation.setEmulatedMedia", features=[{"name": feature, "value": value}])
            self._note(f"{name}-{look}")
        self.window.devtools("Emulation.setEmulatedMedia", features=[])

    def _note(self, name: str) -> None:
        self.window.screenshot(self.out / f"{name}.png")
        root = "document.documentElement"
        if self.window.run(f"return {root}.scrollWidth > {root}.clientWidth"):
            self.too_wide.append(name)
        if AXE.exists():
            if self.window.run("return window.axe === undefined"):
                self.window.run(AXE.read_text(encoding="utf-8"))
            found = self.window.run(
                "return axe.run().then((all) => all.violations.map((one) => one.id + ': ' + one.nodes[0].target))"
            )
            self.violations[name] = found


def write_wide_film(path: Path) -> None:
    """A second of a wide picture for Chromium's camera."""
    width, height = WIDE
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{FRAME_RATE}:1 Ip A1:1 C420jpeg\n".encode())
        for image in draw_frames(width=width, height=height, frames=FRAME_RATE):
            file.write(b"FRAME\n" + np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)).tobytes())


def look_at_full_screen(window: Browser, looker: Looker) -> list[Any]:
    """What fills the screen, how much of it the picture takes, and what fills it once Escape is pressed."""
    within = "return document.fullscreenElement?.id ?? null"
    window.click("#fullscreen")
    window.wait_for(lambda: window.run(within))
    shares = (
        "const box = document.getElementById('after').getBoundingClientRect();"
        "return Math.max(box.width / innerWidth, box.height / innerHeight)"
    )
    found = [window.run(within), window.run(shares), window.shown("#divider")]
    window.screenshot(looker.out / "fullscreen.png")
    window.run("return document.exitFullscreen()")
    window.wait_for(lambda: window.run(within) is None)
    return found


def look_at_advice(window: Browser, looker: Looker, slow: Path) -> list[list[str]]:
    """What is advised and said while the networks are slow: with the widest picture, and with the narrowest."""
    advice = "const box = document.getElementById('advice'); return box.checkVisibility() && box.textContent"
    choose = (
        "const all = document.getElementById('size'); all.selectedIndex = (arguments[0] + all.length) % all.length;"
        "all.dispatchEvent(new Event('input'))"
    )
    slow.touch()
    found = []
    for place in (-1, 0):
        window.run(choose, place)
        window.wait_for(lambda: window.run(advice) is False)
        window.wait_for(lambda: window.run(advice), 90)
        window.wait_for(lambda: window.text("#right-side") == "Result", 90)
        found.append([window.run(advice), window.text("#status")])
        if place < 0:
            looker.look("advice")
    slow.unlink()
    return found


def look_at_camera(window: Browser, looker: Looker, slow: Path) -> dict[str, Any]:
    """The camera: its shape, its name, the mirror, the original while a button is held, a picture that is saved, full
    screen, and what is advised when it is slow."""
    window.click("#start")
    window.wait_for(
        lambda: window.run("return document.querySelector('#faces small')?.textContent") == "Mask removed", 90
    )
    window.wait_for(lambda: window.run("return document.getElementById('result').videoWidth"), 60)
    # A slow machine shows pictures now and then as they come, and says then that nothing in them is invented.
    sides: list[str] = []
    window.wait_for(lambda: sides.append(window.text("#right-side")) or sides[-1] == "Invented", 60)
    found: dict[str, Any] = {
        "size": window.run("const v = document.getElementById('result'); return [v.videoWidth, v.videoHeight]"),
        "side": sides[-1],
        "cameras": window.run("return [...document.getElementById('device').options].map((each) => each.text)"),
        "details_open": window.run("return document.getElementById('speed').open"),
    }
    looker.look("camera")

    scale = "return getComputedStyle(document.querySelector('#after video')).scale"
    before = window.run(scale)
    window.run("document.getElementById('mirror').click()")
    found["mirror"] = [before, window.run(scale)]

    result_seen = "return getComputedStyle(document.getElementById('after')).visibility"
    window.run("document.getElementById('peek').dispatchEvent(new PointerEvent('pointerdown'))")
    held = window.run(result_seen)
    window.run("document.getElementById('peek').dispatchEvent(new PointerEvent('pointerup'))")
    found["peek"] = [held, window.run(result_seen)]

    window.run(CAUGHT)
    window.wait_for(lambda: window.shown("#snapshot"))
    window.click("#snapshot")
    window.wait_for(lambda: window.run("return window.saved.length"), 120)
    found["snapshot"] = window.run("return window.saved[0]")
    found["full_screen"] = look_at_full_screen(window, looker)
    found["advice"] = look_at_advice(window, looker, slow)
    window.click("#stop")
    window.wait_for(lambda: window.shown("#empty"))
    return found


def look_at_sample(window: Browser, looker: Looker) -> dict[str, Any]:
    """The sample, and all that can be done with a finished file."""
    window.click("#sample")
    window.wait_for(lambda: window.shown("#working"))
    window.wait_for(lambda: window.shown("#newest") or window.shown("#download"), 120)
    found: dict[str, Any] = {"newest": window.shown("#newest")}
    if found["newest"]:
        looker.look("working")
    window.wait_for(lambda: window.shown("#download"), 240)
    for which in ("original", "result"):
        ready = f"return document.getElementById('{which}').readyState >= 2"
        window.wait_for(lambda ready=ready: window.run(ready), 60)
    # A busy machine shows black for a while after it says that a picture is there.
    window.wait_for(lambda: window.run(RED_SHARE) > 0.05, 60)
    found |= {
        "faces": window.text("#faces"),
        "side": window.text("#right-side"),
        "notes": window.text("#notes"),
        "name": window.run("return document.getElementById('download').download"),
        "red": window.run(RED_SHARE),
    }
    looker.look("result")

    window.run(CAUGHT)
    window.click("#beside")
    window.wait_for(lambda: window.run("return window.saved.length"), 120)
    found["beside"] = window.run("return window.saved[0]")

    # Opened again, the page still has the result.
    window.ask("POST", "/refresh")
    window.wait_for(lambda: window.shown("#download"), 60)
    found["after_reload"] = window.text("#faces")

    # With the face switched off it is drawn again, and nothing in it is invented any more.
    window.click("#faces input")
    window.click("#again")
    window.wait_for(lambda: not window.shown("#download"), 60)
    window.wait_for(lambda: window.shown("#download"), 240)
    found["again"] = [window.text("#faces small"), window.text("#right-side"), window.text("#notes")]
    window.wait_for(lambda: window.run("return document.getElementById('result').readyState >= 2"), 60)
    found["red"] = [found["red"], window.run(RED_SHARE)]
    looker.look("unchanged")

    window.click("#another")
    window.wait_for(lambda: window.run("return document.getElementById('ask').open"))
    looker.look("asking")
    found["question"] = window.text("#ask-text")
    window.press("#ask button:last-child", "\ue00c")  # Escape keeps it
    window.wait_for(lambda: not window.run("return document.getElementById('ask').open"))
    found["kept"] = window.shown("#download")
    return found


def drop_on_the_panel(window: Browser, clip: Path) -> dict[str, Any]:
    """A file that is dropped beside the picture while a result is there: asked, and then taken."""
    window.run(DROP, base64.b64encode(clip.read_bytes()).decode(), "dropped.mp4")
    window.wait_for(lambda: window.run("return document.getElementById('ask').open"))
    window.click("#ask button:nth-child(2)")
    name = "return document.getElementById('download').download"
    window.wait_for(lambda: window.run(name) == "dropped-barefaced.mp4" and window.shown("#download"), 120)
    window.run("document.getElementById('download').onclick()")
    window.click("#another")
    window.wait_for(lambda: window.shown("#empty"))
    return {"asked_after_download": window.run("return document.getElementById('ask').open")}


CUT_OFF = "the file was cut off: 3 of 9 pictures are missing, it ends at 2.00 s"
"""What the server may say, in two sentences of the catalogue."""


def look_at_languages(window: Browser, looker: Looker) -> dict[str, list[str]]:
    """The page's first button in each language that can be chosen, why a file is refused that is none, and a sentence
    of the server that is made of two."""
    found = {}
    for code in ("de", "fr", "es", "zh", "ja", "en"):
        window.run(
            "const all = document.getElementById('language'); all.value = arguments[0];"
            "setTimeout(() => all.dispatchEvent(new Event('input')), 0)",
            code,
        )
        ready = "return document.documentElement.lang === arguments[0] && document.body.classList.contains('ready')"
        window.wait_for(lambda code=code, ready=ready: window.run(ready, code))
        window.run(DROP, base64.b64encode(b"neither sound nor picture").decode(), "talk.mp4")
        window.wait_for(lambda: window.shown("#alert") and window.shown("#empty"))
        heard = window.run("return import('/page/words.js').then((words) => words.heard(arguments[0]))", CUT_OFF)
        found[code] = [window.text("#start").strip(), window.text("#alert"), heard]
        if code in ("de", "ja"):
            looker.look(f"empty-{code}", ["phone"])
    return found


def main(out: Path) -> None:
    """Do it all; what was seen is in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    driver, program = shutil.which("chromedriver"), shutil.which("chromium")
    assert driver and program, "chromedriver and chromium are needed: apt-get install chromium chromium-driver"
    with tempfile.TemporaryDirectory() as folder:
        film, clip, slow = Path(folder) / "film.y4m", Path(folder) / "talk.mp4", Path(folder) / "slow"
        write_wide_film(film)
        write_clip(clip, width=320, height=240, frames=20)
        with (
            stand_in_server(slow) as (link, server),
            browser(driver, program, Path(folder) / "profile", camera=film, size=SIZES["desk"]) as window,
        ):
            looker = Looker(window, out)
            window.open(link.replace("token=", "token=x"))
            window.wait_for(lambda: "press Enter" in window.text("main"))
            looker.look("lost")
            expected = window.complaints()  # of the 403
            window.open(link)
            window.wait_for(lambda: window.run("return document.body.classList.contains('ready')"))
            looker.look("empty")
            found: dict[str, Any] = {"lost": expected}
            found["languages"] = look_at_languages(window, looker)
            found["camera"] = look_at_camera(window, looker, slow)
            found["sample"] = look_at_sample(window, looker)
            found["dropped"] = drop_on_the_panel(window, clip)
            found["complaints"] = window.complaints()

            server.terminate()
            server.wait(60)
            window.press("#file", str(clip))
            window.wait_for(lambda: window.shown("#alert"))
            found["server_gone"] = window.text("#alert")
            looker.look("alert")
            found["violations"] = {name: broken for name, broken in looker.violations.items() if broken}
            found["looked_at"] = len(looker.violations)
            found["too_wide"] = looker.too_wide
    (out / "screens.json").write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
