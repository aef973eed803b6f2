"""Processes one browser's camera, from the first message to the last, while no other visitor has the networks.

The messages between page and server while a camera is on are JSON; those that come in are checked here.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
from aiohttp import WSMsgType, web

from pipeline.errors import BarefacedError, Busy, ConfigError, EngineError, SourceError
from pipeline.live.camera import CameraSource
from pipeline.live.live import LiveRun, rehearsal
from pipeline.run.process import described
from pipeline.run.work import MOST_OF_A_MOUTH, WIDEST_FEATHER_PX, Controls, Wishes
from pipeline.web.peer import BrowserCamera, Peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.run.ledger import Shown
    from pipeline.run.load import Networks
    from pipeline.run.work import SeenFace
    from pipeline.settings.config import Config


class Turn:
    """Knows whose turn it is. Only the event loop's thread uses it."""

    def __init__(self) -> None:
        self.holder: str | None = None
        """What is being processed, such as `a file`; None when nothing is."""
        self._ending = False
        self._free = asyncio.Event()

    @asynccontextmanager
    async def taken(self, holder: str) -> AsyncIterator[None]:
        """Have the turn inside a `with` block, after waiting for a holder that is ending.

        Raises `Busy`, which names the holder, where it is not ending.
        """
        while self.holder is not None and self._ending:
            await self._free.wait()
        if self.holder is not None:
            raise Busy(f"{self.holder} is being processed: end that, or wait, and try again")

        self.holder = holder
        self._free.clear()
        try:
            yield
        finally:
            self.holder, self._ending = None, False
            self._free.set()

    def end(self) -> None:
        """Note that the holder is ending: its last frames are on their way."""
        self._ending = self.holder is not None


MOST_FACES = 1000
"""How many faces a visitor may switch on or off."""

Message = dict[str, object]


def parsed(text: str) -> Message:
    """Parse a message, which is a JSON object. Raises `ConfigError`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"a message is no JSON ({error})") from error
    if not isinstance(value, dict):
        raise ConfigError("a message must be a JSON object")
    return value


def offer_of(message: Message) -> str:
    """Take the SDP from the message that begins a visit. Raises `ConfigError`."""
    sdp = message.get("sdp")
    if message.get("type") != "offer" or not isinstance(sdp, str):
        raise ConfigError("the first message must be an offer with its sdp")
    return sdp


def choice_of(message: Message) -> Wishes:
    """Take the choices from a message of the page. Raises `ConfigError` when a value is missing or out of range."""
    if message.get("type") != "choice":
        raise ConfigError("after the offer a message must be a choice")
    faces, others = message.get("faces"), message.get("others")
    if not isinstance(others, bool) or not isinstance(faces, dict) or len(faces) > MOST_FACES:
        raise ConfigError(f"faces must be an object of at most {MOST_FACES} entries, and others true or false")
    return Wishes(
        smoothing=number("smoothing", message.get("smoothing"), highest=1),
        feather_px=number("feather", message.get("feather"), highest=WIDEST_FEATHER_PX),
        smile=number("smile", message.get("smile"), lowest=-MOST_OF_A_MOUTH, highest=MOST_OF_A_MOUTH),
        mouth_open=number("mouth_open", message.get("mouth_open"), lowest=-MOST_OF_A_MOUTH, highest=MOST_OF_A_MOUTH),
        faces=_switches(faces),
        others=others,
    )


def in_words(error: BaseException) -> str:
    """What a visitor is told of an error; what an engine says of itself is quoted."""
    if isinstance(error, EngineError):
        return f"a network failed: {described(error)}"
    if isinstance(error, BarefacedError):
        return described(error)
    return f"the program failed at this ({described(error)}); the window of the server says more"


def faces_of(controls: Controls) -> list[Message]:
    """Describe the faces that wear masks in a finished file, with their small pictures as data URLs."""
    found: list[Message] = []
    for track, face in controls.met.items():
        if not face.masked:
            continue
        state = "drawn" if face.drawn or face.left is None else face.left.value
        picture = "" if face.portrait is None else _data_url(face.portrait)
        found.append({"id": track, "state": state, "on": controls.choice.draws(track), "picture": picture})
    return found


def _data_url(image: NDArray[np.uint8]) -> str:
    """A picture (height, width, 3) RGB as the address of a JPEG."""
    _, coded = cv2.imencode(".jpg", image[..., ::-1])
    return f"data:image/jpeg;base64,{base64.b64encode(coded.tobytes()).decode()}"


def number(key: str, value: object, *, lowest: float = 0, highest: float) -> float:
    """Check that `value` is a number from `lowest` to `highest`. Raises `ConfigError`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
        raise ConfigError(f"{key} is {value!r}; it must be a number from {lowest:g} to {highest:g}")
    return float(value)


def _switches(faces: Mapping[str, object]) -> dict[int, bool]:
    """Face number to whether it is drawn. Raises `ConfigError`."""
    if not all(key.isdecimal() and len(key) < 10 and isinstance(value, bool) for key, value in faces.items()):
        raise ConfigError("faces must give true or false by the number of the face")
    return {int(key): value is True for key, value in faces.items()}


def status_of(run: LiveRun, controls: Controls, *, now: float, drawn: bool | None) -> Message:
    """Make the message about the status of a run at `now`, in `time.perf_counter` seconds.

    `drawn` says whether the picture that was shown last is as the networks made it; None before the first.
    """
    counts, ages = run.outbox.counts, run.outbox.counts.ages.recent()
    width, height = controls.seen_size
    return {
        "type": "status",
        "fps": round(counts.ages.recent_fps(now=now), 1),
        "age_ms": ages.as_json() if ages else None,
        "shown": counts.ages.count,
        "dropped": run.source.dropped,
        "failed": run.stream.ledger.failures,
        "last_failure": run.stream.ledger.last_failure,
        "drawn": drawn,
        "faces": [_face(face, controls.choice, width, height) for face in controls.seen],
    }


def _face(face: SeenFace, choice: Wishes, width: int, height: int) -> Message:
    """Describe a face for the page, with its box as shares of the picture."""
    box = face.track.detection.box
    edges = (box.left / width, box.top / height, box.right / width, box.bottom / height)
    return {
        "id": face.track.id,
        "box": [round(min(max(edge, 0.0), 1.0), 4) if math.isfinite(edge) else 0.0 for edge in edges],
        "state": "drawn" if face.skipped is None else face.skipped.value,
        "on": choice.draws(face.track.id),
    }


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
        self._drawn: bool | None = None
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
        self._drawn = shown.failed is None
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
            await self._send(status_of(self._run, self._controls, now=time.perf_counter(), drawn=self._drawn))

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
            await socket.send_str(json.dumps({"type": "error", "message": in_words(error)}))
        await socket.close()
    return socket


async def _first_text(socket: web.WebSocketResponse) -> str:
    """Wait for the first message. Raises `ConfigError` when none comes in time, or one that is no text."""
    try:
        return await asyncio.wait_for(socket.receive_str(), OFFER_SECONDS)
    except (TimeoutError, TypeError) as error:  # aiohttp raises TypeError for what is no text
        raise ConfigError("the page sent no offer") from error
