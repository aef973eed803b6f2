"""The page in a real browser, from the link to the file that is fetched: does it all and writes down what it saw.

    python -m tests.pipeline.web.in_browser OUT [SECONDS]

is run by `test_in_browser.py` in a network namespace of its own, and by whoever wants the pictures or the figures:
`barefaced serve`, Chromium with a film for a camera, then `OUT/in_browser.json` and `OUT/*.png`. Where the network is
the machine's own it needs no rights.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from pipeline.demo.clip import FRAME_RATE, write_clip
from tests.pipeline.web.browser import Browser, browser
from tests.pipeline.web.film import BITS, BLOCK_PX, FRAMES, write_film
from tests.pipeline.web.site import made_face

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

WATCH = """
const [block, bits] = arguments;
window.seen = {original: [], result: []};
for (const id of ["original", "result"]) {
  const video = document.getElementById(id);
  const canvas = new OffscreenCanvas(block * bits, block);
  const context = canvas.getContext("2d", {willReadFrequently: true});
  const look = (now) => {
    context.drawImage(video, 0, 0, canvas.width, block, 0, 0, canvas.width, block);
    const white = [];
    for (let place = 0; place < bits; place++) {
      const [red, green, blue] = context.getImageData((place + 0.5) * block, block / 2, 1, 1).data;
      white.push(red + green + blue > 380);
    }
    let number = 0;
    for (let bit = bits - 3, above = false; bit >= 0; bit--) {
      above = above !== white[2 + bit];
      number |= above << bit;
    }
    window.seen[id].push([white[0] && !white[1] ? number : -1, now]);
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
}
"""
"""Reads the number of every frame that either video shows, with the moment at which it was shown."""

FACES = "return fetch('/faces').then((answer) => answer.text())"
"""What the server says of own faces, as JSON."""

GRAB = """
const video = document.getElementById(arguments[0]);
const canvas = document.createElement("canvas");
canvas.width = video.videoWidth ?? video.naturalWidth;
canvas.height = video.videoHeight ?? video.naturalHeight;
canvas.getContext("2d").drawImage(video, 0, 0);
return canvas.toDataURL("image/png").split(",")[1];
"""


LONGEST_MS = 5000
"""A result that is later than that may be of the film's next round."""

NEAR = 15
"""Frames, half a second: how far from its own number a frame of the original may be to tell the time."""

ENOUGH, PATIENCE_SECONDS = 10, 120.0
"""Frames whose time was taken, and how long they are waited for on a machine that does something else."""

CLICK_TWICE = """
const media = navigator.mediaDevices, open = media.getUserMedia.bind(media);
const button = document.getElementById("enroll-record");
window.cameras = 0;
media.getUserMedia = (wanted) => { window.cameras += 1; return open(wanted); };
button.click();
button.click();
"""
"""Begins a recording by two clicks at once, and counts how often a camera was opened for it."""


def grab(window: Browser, which: str, path: Path) -> NDArray[np.uint8]:
    """(height, width, 3) RGB of what a video of the page shows, written to `path` as well."""
    path.write_bytes(base64.b64decode(window.run(GRAB, which)))
    with av.open(str(path)) as picture:
        return next(picture.decode(video=0)).to_ndarray(format="rgb24")


def blue_share(image: NDArray[np.uint8]) -> float:
    """How much of the picture is as blue as the film's mask."""
    red, _, blue = (image[..., channel].astype(int) for channel in range(3))
    return float((blue - red > 25).mean())


def latencies_ms(seen: dict[str, list[list[float]]]) -> list[float]:
    """For each frame of the result: how long after the original it was shown.

    A busy browser leaves out frames of the original; then the nearest one that it showed is taken, and the film's time
    between the two.
    """
    originals = [(int(number), moment) for number, moment in seen["original"] if number >= 0]
    found = []
    for (before, _), (number, moment) in pairwise([[-1, 0.0], *seen["result"]]):
        if number < 0 or number == before:
            continue
        apart = [(_frames_between(original, int(number)), shown) for original, shown in originals]
        near = [(frames, shown) for frames, shown in apart if abs(frames) <= NEAR and 0 < moment - shown < LONGEST_MS]
        if near:
            frames, shown = min(near, key=lambda pair: abs(pair[0]))
            found.append(moment - shown - 1000 * frames / FRAME_RATE)
    return found


def _frames_between(first: int, second: int) -> int:
    """How many frames of the film lie between two, the shorter way round."""
    return (second - first + FRAMES // 2) % FRAMES - FRAMES // 2


def out_of_order(numbers: list[int]) -> int:
    """How often a frame came before one that it follows, on a film that begins again."""
    return sum(_frames_between(before, later) < 0 for before, later in pairwise(numbers))


@contextmanager
def server(*arguments: str) -> Iterator[str]:
    """The link of a `barefaced serve`."""
    process = subprocess.Popen(
        [sys.executable, "cli.py", "serve", "--port", "0", "--no-open", *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        link = process.stdout.readline().strip()
        assert link, "barefaced serve did not print a link"
        yield link
    finally:
        process.terminate()
        process.communicate(timeout=60)


def look_at_camera(window: Browser, out: Path, seconds: float) -> dict[str, Any]:
    """The camera: latency, order, the mask gone, the switches."""
    window.click("#start")
    window.wait_for(lambda: window.shown("#compare"), 60)
    drawn = "return document.querySelector('#faces small')?.textContent"
    window.wait_for(lambda: window.run(drawn) == "Mask removed", 60)
    window.run(WATCH, BLOCK_PX, BITS)
    time.sleep(seconds)
    window.wait_for(lambda: len(latencies_ms(window.run("return window.seen"))) >= ENOUGH, PATIENCE_SECONDS)
    seen = window.run("return window.seen")
    found: dict[str, Any] = {
        "latencies_ms": latencies_ms(seen),
        "shown": len(seen["result"]),
        "read": sum(number >= 0 for number, _ in seen["result"]),
        "out_of_order": out_of_order([int(number) for number, _ in seen["result"] if number >= 0]),
        "size": list(grab(window, "result", out / "camera-result.png").shape),
        "blue_original": blue_share(grab(window, "original", out / "camera-original.png")),
        "blue_result": blue_share(grab(window, "result", out / "camera-result.png")),
        "engine": window.text("#engine"),
        "fps": float(window.text("#fps")),
        "age_p50_ms": float(window.text("#age")),
    }
    pictures(window, out, "camera")
    window.press("#others", " ")  # as with the keyboard
    path = out / "camera-switched-off.png"
    window.wait_for(lambda: blue_share(grab(window, "result", path)) > 0.5 * found["blue_original"])
    found["blue_switched_off"] = blue_share(grab(window, "result", path))
    # A face's own switch goes before that. On a slow machine a face may be lost meanwhile, and come back as another.
    click = f"if (({drawn.removeprefix('return ')}) === 'Mask left on') document.querySelector('.face input').click()"
    window.wait_for(lambda: (window.run(click), window.run(drawn) == "Mask removed")[1])
    before = window.run("return getComputedStyle(document.getElementById('compare')).getPropertyValue('--cut')")
    window.press("#divider", "\ue012" * 5)  # arrow left
    after = window.run("return getComputedStyle(document.getElementById('compare')).getPropertyValue('--cut')")
    found["divider"] = [before, after]
    window.click("#stop")
    window.wait_for(lambda: window.shown("#empty"))
    found["status_at_the_end"] = window.text("#status")
    return found


def look_at_file(window: Browser, out: Path, clip: Path) -> dict[str, Any]:
    """A file: chosen, processed, played, fetched."""
    window.press("#file", str(clip))
    window.wait_for(lambda: window.shown("#working"))
    window.wait_for(lambda: window.shown("#download"), 180)
    for which in ("original", "result"):  # without a size, and then black, until its first picture is decoded
        ready = f"return document.getElementById('{which}').readyState >= 2"
        window.wait_for(lambda ready=ready: window.run(ready), 60)
        window.wait_for(lambda which=which: grab(window, which, out / f"file-{which}.png").max() > 50)
    found: dict[str, Any] = {
        "blue_original": blue_share(grab(window, "original", out / "file-original.png")),
        "blue_result": blue_share(grab(window, "result", out / "file-result.png")),
        "notes": window.text("#notes"),
        "download": window.run("return document.getElementById('download').download"),
    }
    pictures(window, out, "file")
    window.click("#play")
    window.wait_for(lambda: window.run("return document.getElementById('result').currentTime > 0.3"))
    found["apart_seconds"] = window.run(
        "return Math.abs(document.getElementById('result').currentTime "
        "- document.getElementById('original').currentTime)"
    )
    fetched = window.run(
        "return fetch(document.getElementById('download').href).then((answer) => answer.arrayBuffer())"
        ".then((bytes) => bytes.byteLength)"
    )
    found["bytes"] = fetched
    window.click("#another")
    window.wait_for(lambda: window.run("return document.getElementById('ask').open"))
    window.click("#ask button:nth-child(2)")
    window.wait_for(lambda: window.shown("#empty"))
    return found


def look_at_faces(window: Browser, out: Path) -> dict[str, Any]:
    """A face is chosen and forgotten; another is recorded by the camera, whose film shows nobody without a mask."""
    window.wait_for(lambda: window.shown("#own-face-ann"))
    worn = "return document.querySelector('[name=own-face]:checked').id"
    found: dict[str, Any] = {"worn": [window.run(worn)]}
    window.click("#own-face-ann")
    window.wait_for(lambda: json.loads(window.run(FACES))["worn"] == "ann", 60)
    found["worn"].append(window.run(worn))

    window.click("#enroll-open")
    found["consent"] = " ".join(window.text("#enroll-agreed-text").split())
    window.press("#enroll-name", "me")
    window.run(CLICK_TWICE)
    window.wait_for(lambda: "Look into the camera" in window.text("#enroll-told"))
    time.sleep(2)
    pictures(window, out, "enroll")
    found["unnamed"] = unnamed(window)
    found["cameras"] = window.run("return window.cameras")
    # A recording ends by itself after 40 seconds: on a slow machine there is nothing left to stop.
    window.run(
        "const button = document.getElementById('enroll-record'); if (button.textContent === 'Stop') button.click()"
    )
    window.wait_for(lambda: window.text("#enroll-told") == "Recordings to learn from: 1")
    ready = "return !document.getElementById('enroll-learn').disabled"
    found["ready"] = [window.run(ready)]
    window.click("#enroll-agreed")
    found["ready"].append(window.run(ready))
    if json.loads(window.run(FACES))["missing"] is None:
        window.click("#enroll-learn")
        window.wait_for(lambda: window.shown("#enroll-alert"), 180)
        found["refusal"] = window.text("#enroll-alert")
    window.click("#enroll-close")
    window.wait_for(lambda: json.loads(window.run(FACES))["enrolment"]["recordings"] == 0)

    window.click("[aria-label='Forget the face ann']")
    window.click("#ask-answers button")
    window.wait_for(lambda: json.loads(window.run(FACES))["faces"] == [], 60)
    window.wait_for(lambda: window.run(worn) == "own-face-")
    return found


def pictures(window: Browser, out: Path, name: str) -> None:
    """The page in light and dark, and on a narrow screen."""
    for scheme in ("light", "dark"):
        window.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        window.screenshot(out / f"{name}-{scheme}.png")
    narrow = {"width": 390, "height": 1200, "deviceScaleFactor": 1, "mobile": False}
    window.devtools("Emulation.setDeviceMetricsOverride", **narrow)
    window.screenshot(out / f"{name}-narrow.png")
    window.devtools("Emulation.clearDeviceMetricsOverride")
    window.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])


def unnamed(window: Browser) -> list[str]:
    """The controls of the page that a screen reader could not name."""
    nodes = window.devtools("Accessibility.getFullAXTree")["nodes"]
    kinds = {"button", "slider", "switch", "link", "checkbox", "image", "progressbar", "textbox"}
    found = []
    for node in nodes:
        role = node.get("role", {}).get("value")
        if role in kinds and not node.get("ignored") and not node.get("name", {}).get("value"):
            found.append(f"{role} {node.get('backendDOMNodeId')}")
    return found


def main(out: Path, seconds: float) -> None:
    """Do it all; what was seen is in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    driver, program = shutil.which("chromedriver"), shutil.which("chromium")
    assert driver and program, "chromedriver and chromium are needed: apt-get install chromium chromium-driver"
    with tempfile.TemporaryDirectory() as folder:
        film, clip = Path(folder) / "film.y4m", Path(folder) / "talk.mp4"
        write_film(film)
        write_clip(clip, width=320, height=240, frames=45)
        with (
            server("--face-folder", str(made_face(Path(folder) / "ann.face").parent)) as link,
            browser(driver, program, Path(folder) / "profile", camera=film, size=(1280, 900)) as window,
        ):
            window.open(link)
            window.wait_for(lambda: window.run("return document.body.classList.contains('ready')"))
            found: dict[str, Any] = {"address": window.run("return location.href"), "link": link}
            pictures(window, out, "empty")
            found["unnamed"] = unnamed(window)
            found["camera"] = look_at_camera(window, out, seconds)
            found["file"] = look_at_file(window, out, clip)
            found["faces"] = look_at_faces(window, out)
            found["complaints"] = window.complaints()
    (out / "in_browser.json").write_text(json.dumps(found, indent=2), encoding="utf-8")
    ages = np.percentile(found["camera"]["latencies_ms"], [5, 50, 95])
    sys.stdout.write(
        f"glass to glass through WebRTC: p5 {ages[0]:.0f}, p50 {ages[1]:.0f}, p95 {ages[2]:.0f} ms "
        f"over {len(found['camera']['latencies_ms'])} frames; in the pipeline p50 "
        f"{found['camera']['age_p50_ms']:.0f} ms at {found['camera']['fps']:.1f} fps; {found['camera']['engine']}\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 8.0)
