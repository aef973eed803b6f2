"""A camera through WebRTC and back, with aiortc in the browser's place."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from aiohttp import WSMsgType
from aioice.ice import get_host_addresses
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError

from engine.spec import TensorSpec
from pipeline.demo.clip import draw_frames
from pipeline.draw.mouth import AT_REST, WIDER
from pipeline.errors import Busy
from pipeline.web.peer import BrowserCamera, Peer, with_start_bitrate
from pipeline.web.visit import Turn
from tests.pipeline.faces import MadeEngine
from tests.pipeline.live_fakes import SlowEngine, always_there, lower_half_is_mask
from tests.pipeline.web.site import Page, run, site, told
from tests.stand_ins import StandInEngine, flat_colour, stand_in_networks

pytest.importorskip("aiortc", reason="the page needs aiohttp and aiortc")
pytest.importorskip("aiohttp", reason="the page needs aiohttp and aiortc")


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from numpy.typing import NDArray

    from pipeline.run.load import Networks


pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("no_thread_left"),
    pytest.mark.skipif(
        not get_host_addresses(use_ipv4=True, use_ipv6=True),
        reason="WebRTC needs a network address other than 127.0.0.1",
    ),
]

WIDTH, HEIGHT = 320, 240


class Film(VideoStreamTrack):
    """A camera that sees one picture, for ever."""

    def __init__(self) -> None:
        super().__init__()
        self._image = next(draw_frames(width=WIDTH, height=HEIGHT, frames=1))

    async def recv(self) -> av.VideoFrame:
        pts, _ = await self.next_timestamp()
        picture = av.VideoFrame.from_ndarray(self._image, format="rgb24").reformat(format="yuv420p")
        picture.pts, picture.time_base = pts, Fraction(1, 90_000)
        return picture


class Client:
    """A browser with its camera on."""

    def __init__(self, socket: Any, peer: RTCPeerConnection) -> None:
        self.socket = socket
        self.peer = peer
        self.back = asyncio.get_running_loop().create_future()
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        peer.on("track", self.back.set_result)

    async def listen(self) -> None:
        """Take what the server says, and answer its pings, whatever the test is at."""
        async for message in self.socket:
            self.heard.put_nowait(json.loads(message.data))

    async def told(self, kind: str) -> dict[str, Any]:
        """The next message of that kind."""
        while (message := await asyncio.wait_for(self.heard.get(), 60))["type"] != kind:
            assert message["type"] != "error", message
        return message

    async def picture(self) -> NDArray[np.int64]:
        """(height, width, 3) RGB: the next that comes back."""
        try:
            frame = await asyncio.wait_for((await asyncio.wait_for(self.back, 30)).recv(), 30)
        except MediaStreamError:
            raise AssertionError(f"no more pictures: {await self.told('error')}") from None
        return frame.to_ndarray(format="rgb24").astype(int)

    async def status(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next status that fits."""
        while not fits(found := await self.told("status")):
            pass
        return found

    async def choose(self, **choice: object) -> None:
        sliders = {"smoothing": 0.5, "feather": 5, "smile": 0, "mouth_open": 0}
        whole = {"type": "choice", **sliders, "faces": {}, "others": True, **choice}
        await self.socket.send_str(json.dumps(whole))


@asynccontextmanager
async def client(page: Page) -> AsyncIterator[Client]:
    """A visit that goes on."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    async with page.socket() as socket:
        found = Client(socket, peer)
        peer.addTrack(Film())
        try:
            await peer.setLocalDescription(await peer.createOffer())
            await socket.send_str(json.dumps({"type": "offer", "sdp": peer.localDescription.sdp}))
            answer = await told(socket, "answer")
            await peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
            listening = asyncio.create_task(found.listen())
            yield found
            listening.cancel()
        finally:
            await peer.close()


def networks() -> Networks:
    """A face that is always there with a mask on; what is drawn over it is red."""

    return replace(stand_in_networks(always_there), segmenter=StandInEngine("mask", lower_half_is_mask))


def red(image: NDArray[np.int64]) -> float:
    """How much of the picture is as red as the stand-in draws."""
    return float(((image[..., 0] > 140) & (image[..., 1] < 100) & (image[..., 2] < 110)).mean())


def test_the_camera_comes_back_with_its_masks_drawn_over() -> None:
    async def test() -> None:
        async with site(networks()) as page, client(page) as visitor:
            picture = await visitor.picture()
            while red(picture) < 0.02:
                picture = await visitor.picture()
            assert picture.shape == (HEIGHT, WIDTH, 3)
            status = await visitor.status(lambda told: bool(told["faces"] and told["age_ms"]))
            (face,) = status["faces"]
            assert (face["state"], face["on"]) == ("drawn", True)
            assert all(0 <= edge <= 1 for edge in face["box"])
            assert status["age_ms"]["p50"] <= status["age_ms"]["p95"] <= status["age_ms"]["p99"]
            assert status["failed"] == 0

    run(test())


def test_a_face_is_switched_off_and_on_while_it_runs() -> None:
    async def test() -> None:
        async with site(networks()) as page, client(page) as visitor:
            while red(await visitor.picture()) < 0.02:
                pass
            (face,) = (await visitor.status(lambda told: bool(told["faces"])))["faces"]
            await visitor.choose(faces={str(face["id"]): False})
            while red(await visitor.picture()) > 0.01:
                pass
            status = await visitor.status(lambda told: told["faces"][0]["state"] == "switched off")
            assert status["faces"][0]["on"] is False
            await visitor.choose(smoothing=0, feather=20)
            while red(await visitor.picture()) < 0.02:
                pass

    run(test())


def told_of_mouths() -> MadeEngine:
    """A generator that takes an expression."""
    floats = np.dtype(np.float32)
    inputs = (TensorSpec("crop_and_mask", (None, 4, 256, 256), floats), TensorSpec("expression", (None, 5), floats))
    return MadeEngine(lambda feeds: {"face": flat_colour(feeds["crop_and_mask"])}, inputs=inputs)


def test_the_mouth_follows_the_sliders_while_it_runs() -> None:
    generator = told_of_mouths()

    def told(expression: list[float]) -> bool:
        return bool(generator.fed) and generator.fed[-1]["expression"][0] == pytest.approx(expression)

    async def test() -> None:
        async with site(replace(networks(), generator=generator)) as page, client(page) as visitor:
            await visitor.picture()
            while not told([0, 0, 0, 0, 0]):  # the network decides
                await visitor.picture()
            await visitor.choose(smile=2, mouth_open=1.5)
            while not told([AT_REST[0] + 1.5, 2 * WIDER, 2, 0, 1]):
                await visitor.picture()
            await visitor.choose()
            while not told([0, 0, 0, 0, 0]):
                await visitor.picture()

    run(test())


def test_the_page_offers_the_mouth_only_where_the_network_can_be_told() -> None:
    async def test() -> None:
        for known, offers in ((networks(), False), (replace(networks(), generator=told_of_mouths()), True)):
            async with site(known) as page, page.session.get(f"{page.origin}/about") as answer:
                assert (await answer.json())["takes_expression"] is offers

    run(test())


def test_the_second_visitor_is_told_and_comes_in_when_the_first_has_gone() -> None:
    async def test() -> None:
        async with site(networks()) as page:
            async with client(page), page.socket() as second:
                await second.send_str(json.dumps({"type": "offer", "sdp": "v=0"}))
                refused = json.loads((await second.receive(timeout=30)).data)
                assert refused == {
                    "type": "error",
                    "message": "a camera is being processed: end that, or wait, and try again",
                }
                status, _ = await page.send("talk.mp4", b"x")
                assert status == 409
            async with client(page) as third:  # what ends is waited for
                assert (await third.picture()).shape == (HEIGHT, WIDTH, 3)

    run(test())


def test_a_browser_that_vanishes_leaves_nothing_behind() -> None:
    async def test() -> None:
        async with site(networks()) as page:
            async with client(page) as visitor:
                await visitor.picture()
                visitor.socket._response.connection.transport.abort()  # as when the browser is killed
            while any(thread.name in ("camera reader", "detect", "blend") for thread in threading.enumerate()):
                await asyncio.sleep(0.02)

    run(test())


def test_the_end_of_the_server_ends_a_visit() -> None:
    async def test() -> None:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peer.addTrack(Film())
        await peer.setLocalDescription(await peer.createOffer())
        async with site(networks()) as page:
            socket = await page.socket()
            await socket.send_str(json.dumps({"type": "offer", "sdp": peer.localDescription.sdp}))
            await told(socket, "answer")
        assert not [thread for thread in threading.enumerate() if thread.name == "camera reader"]
        await peer.close()

    run(test())


def test_a_network_that_fails_is_counted_and_the_picture_goes_on() -> None:

    failing = replace(networks(), generator=SlowEngine(fails=lambda call: call > 3))

    async def test() -> None:
        async with site(failing) as page, client(page) as visitor:
            status = await visitor.status(lambda told: told["failed"] > 0)
            assert status["last_failure"] == "the device was lost"
            assert (await visitor.picture()).shape == (HEIGHT, WIDTH, 3)

    run(test())


@pytest.mark.parametrize(
    ("first", "says"),
    [
        ("no json", "a message is no JSON"),
        ("[]", "a message must be a JSON object"),
        ("{}", "the first message must be an offer with its sdp"),
        ('{"type": "offer", "sdp": 7}', "the first message must be an offer with its sdp"),
        ('{"type": "offer", "sdp": ""}', "the browser's offer"),
        ('{"type": "offer", "sdp": "v=0\\r\\nm=video x"}', "the browser's offer can't be read"),
        ('{"type": "offer", "sdp": "\\u0000\\n\\n=="}', "the browser's offer"),
    ],
)
def test_a_first_message_that_is_no_offer_is_answered_with_why(first: str, says: str) -> None:
    async def test() -> None:
        async with site() as page:
            async with page.socket() as socket:
                await socket.send_str(first)
                answer = json.loads((await socket.receive(timeout=30)).data)
                assert answer["type"] == "error"
                assert answer["message"].startswith(says)
                assert (await socket.receive(timeout=30)).type is WSMsgType.CLOSE
            async with page.socket() as socket:  # the turn was given back
                await socket.send_bytes(b"offer")
                assert json.loads((await socket.receive(timeout=30)).data)["message"] == "the page sent no offer"

    run(test())


@pytest.mark.parametrize("kinds", [(), ("audio",), ("video", "video"), ("video", "audio")])
def test_an_offer_of_anything_but_one_camera_is_refused(kinds: tuple[str, ...]) -> None:
    async def test() -> None:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        for kind in kinds:
            peer.addTransceiver(kind)
        if not kinds:
            peer.createDataChannel("data")
        await peer.setLocalDescription(await peer.createOffer())
        ours = Peer(BrowserCamera(), lambda _reason: None)
        try:
            with pytest.raises(ValueError, match="must send one camera and nothing else"):
                await ours.answer(peer.localDescription.sdp)
        finally:
            await ours.close()
            await peer.close()

    run(test())


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"type": "offer"}, "after the offer a message must be a choice"),
        ({"smoothing": 2}, "smoothing is 2; it must be a number from 0 to 1"),
        ({"smoothing": True}, "smoothing is True; it must be a number from 0 to 1"),
        ({"feather": "5"}, "feather is '5'; it must be a number from 0 to 24"),
        ({"smile": 4}, "smile is 4; it must be a number from -3 to 3"),
        ({"mouth_open": None}, "mouth_open is None; it must be a number from -3 to 3"),
        ({"others": 1}, "faces must be an object of at most 1000 entries, and others true or false"),
        ({"faces": []}, "faces must be an object of at most 1000 entries, and others true or false"),
        ({"faces": {"x": True}}, "faces must give true or false by the number of the face"),
        ({"faces": {"1": "yes"}}, "faces must give true or false by the number of the face"),
    ],
)
def test_a_choice_that_makes_no_sense_ends_the_visit_with_why(choice: dict[str, object], says: str) -> None:
    async def test() -> None:
        async with site(networks()) as page, client(page) as visitor:
            await visitor.choose(**choice)
            assert (await visitor.told("error"))["message"] == says

    run(test())


def test_a_message_that_is_too_long_ends_the_visit() -> None:
    async def test() -> None:
        async with site() as page, page.socket() as socket:
            await socket.send_str("x" * 70_000)
            message = await socket.receive(timeout=30)
            while message.type is WSMsgType.TEXT:
                message = await socket.receive(timeout=30)
            assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED)

    run(test())


def test_every_codec_of_the_answer_begins_at_our_bit_rate() -> None:
    answer = [
        "a=rtpmap:96 VP8/90000",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
        "a=rtpmap:102 H264/90000",
        "a=fmtp:102 packetization-mode=1",
        "",
    ]
    assert with_start_bitrate("\r\n".join(answer)).split("\r\n") == [
        "a=rtpmap:96 VP8/90000",
        "a=fmtp:96 x-google-start-bitrate=2500",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
        "a=rtpmap:102 H264/90000",
        "a=fmtp:102 packetization-mode=1;x-google-start-bitrate=2500",
        "",
    ]


def test_a_second_one_is_refused_by_name_and_the_next_is_not() -> None:
    async def test() -> None:
        turn = Turn()
        async with turn.taken("a camera"):
            with pytest.raises(Busy, match="a camera is being processed"):
                async with turn.taken("a file"):
                    pass
        async with turn.taken("a file"):
            assert turn.holder == "a file"

    asyncio.run(test())


def test_what_ends_is_waited_for_and_of_two_that_wait_one_is_refused() -> None:
    async def test() -> None:
        turn = Turn()
        got: list[str] = []

        async def want(name: str) -> None:
            async with turn.taken(name):
                got.append(name)
                await asyncio.sleep(0)

        async with turn.taken("a camera"):
            turn.end()
            waiting = [asyncio.create_task(want(name)) for name in ("first", "second")]
            await asyncio.sleep(0)
            assert not got
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert got == ["first"]
        assert [type(error) for error in ended] == [type(None), Busy]

    asyncio.run(test())


def test_saying_that_nothing_ends_changes_nothing() -> None:
    async def test() -> None:
        turn = Turn()
        turn.end()
        async with turn.taken("a file"):
            with pytest.raises(Busy):
                async with turn.taken("another"):
                    pass

    asyncio.run(test())
