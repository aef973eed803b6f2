"""Receives a browser's camera by WebRTC, and sends processed pictures back."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from fractions import Fraction
from queue import SimpleQueue
from typing import TYPE_CHECKING

import av
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLOCK = 90_000
"""Ticks of the RTP clock for video in a second."""

START_KBPS = 2500
"""The bit rate that the browser begins with; by itself it begins with a few hundred, which shows blocks."""


class BrowserCamera:
    """A browser's camera as `CameraSource` takes one: one thread puts pictures, another reads them."""

    name = "the browser's camera"

    def __init__(self) -> None:
        self._pictures: SimpleQueue[av.VideoFrame | None] = SimpleQueue()

    def put(self, picture: av.VideoFrame) -> None:
        """Add a picture that came."""
        self._pictures.put(picture)

    def end(self) -> None:
        """Say that no more pictures will come."""
        self._pictures.put(None)

    @contextmanager
    def opened(self) -> Iterator[Iterator[av.VideoFrame]]:
        """Give the pictures as they come until the end, in a `with` block."""
        yield iter(self._pictures.get, None)


class ProcessedTrack(MediaStreamTrack):
    """The track that goes back to the browser: where encoding is slow, only the newest picture is sent.

    Only the event loop's thread uses it.
    """

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._began = time.perf_counter()
        self._newest: av.VideoFrame | None = None
        self._there = asyncio.Event()

    def put(self, picture: av.VideoFrame) -> None:
        """Leave the picture that goes out next."""
        self._newest = picture
        self._there.set()

    async def recv(self) -> av.VideoFrame:
        """Wait for the next picture to encode; its time is now, since a browser shows such a picture at once."""
        if self.readyState != "live":
            raise MediaStreamError
        await self._there.wait()
        self._there.clear()
        picture = self._newest
        if picture is None:
            raise MediaStreamError
        picture.pts = round((time.perf_counter() - self._began) * CLOCK)
        picture.time_base = Fraction(1, CLOCK)
        return picture


class Peer:
    """The connection to one browser."""

    def __init__(self, camera: BrowserCamera, lost: Callable[[str], None]) -> None:
        """`lost` gets a sentence when the connection is lost, in the event loop's thread."""
        # No servers: nothing but this machine is asked how to reach it.
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._camera = camera
        self._lost = lost
        self._taking: asyncio.Task[None] | None = None
        self.track = ProcessedTrack()
        self._connection.on("track", self._begin)
        self._connection.on("connectionstatechange", self._changed)

    async def answer(self, offer: str) -> str:
        """Answer the SDP of a browser that sends one camera and wants one picture back.

        Raises `ConfigError` for text that is no such offer.
        """
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
        except Exception as error:  # whatever a parser of foreign text may raise
            raise ConfigError(f"the browser's offer can't be read ({type(error).__name__}: {error})") from error
        kinds = [transceiver.kind for transceiver in self._connection.getTransceivers()]
        if kinds != ["video"] or self._taking is None:
            raise ConfigError(f"the browser's offer must send one camera and nothing else, not {kinds or 'nothing'}")
        self._connection.addTrack(self.track)
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        return with_start_bitrate(self._connection.localDescription.sdp)

    async def close(self) -> None:
        """End the connection and the camera."""
        if self._taking is not None:
            self._taking.cancel()
        self._camera.end()
        await self._connection.close()

    def _begin(self, track: MediaStreamTrack) -> None:
        """Take pictures from the first video track."""
        if track.kind == "video" and self._taking is None:
            self._taking = asyncio.create_task(self._take(track))

    async def _take(self, track: MediaStreamTrack) -> None:
        """Hand the camera's pictures over until the connection ends."""
        try:
            while True:
                picture = await track.recv()
                if isinstance(picture, av.VideoFrame):
                    self._camera.put(picture)
        except MediaStreamError:
            self._lost("no more pictures come from the browser: the connection was lost, or the camera was taken away")
        finally:
            self._camera.end()

    def _changed(self) -> None:
        """Report a connection that could not be made."""
        if self._connection.connectionState == "failed":
            self._lost(
                "no connection between browser and server: WebRTC needs a network address other than 127.0.0.1 on "
                "this machine (docs/serve.md)"
            )


def with_start_bitrate(sdp: str) -> str:
    """Add the bit rate with which the browser begins to an answer, for each codec that it may use."""
    lines: list[str] = []
    for line in sdp.splitlines():
        lines.append(line)
        if line.startswith("a=rtpmap:") and "/90000" in line and " rtx/" not in line:
            payload = line.removeprefix("a=rtpmap:").split()[0]
            if f"a=fmtp:{payload} " not in sdp:
                lines.append(f"a=fmtp:{payload} x-google-start-bitrate={START_KBPS}")
        elif line.startswith("a=fmtp:") and "apt=" not in line:
            lines[-1] = f"{line};x-google-start-bitrate={START_KBPS}"
    return "\r\n".join(lines) + "\r\n"
