"""Files that are dropped on the page: what is taken, what is refused, and what comes back."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import threading
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import av
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("aiohttp", reason="the page needs aiohttp and aiortc")
pytest.importorskip("aiortc", reason="the page needs aiohttp and aiortc")

from yarl import URL

from pipeline.demo.clip import masked_portrait, write_clip
from pipeline.errors import ConfigError, TooSlow
from pipeline.frames import Frame
from pipeline.run.work import Wishes
from pipeline.settings import values
from pipeline.video.labels import claims
from pipeline.web.uploads import KEPT, SUFFIXES, Uploads, known_suffix, result_suffix, small_jpeg
from pipeline.web.visit import Turn
from tests.pipeline.web.site import SLIDERS, Page, new_browser, run, site
from tests.stand_ins import StandInEngine, flat_colour, stand_in_networks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from engine.spec import Array, Done
    from pipeline.run.load import Networks

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("no_thread_left")]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "talk.mp4"
    write_clip(path, width=320, height=240, frames=20)
    return path.read_bytes()


class Held(StandInEngine):
    """A generator that draws nothing until it is let."""

    def __init__(self) -> None:
        super().__init__("face", flat_colour)
        self.gate = threading.Event()

    def submit(self, feeds: Mapping[str, Array]) -> Done:
        assert self.gate.wait(60)
        return super().submit(feeds)


async def sent(page: Page, name: str, content: Any, **query: str) -> dict[str, Any]:
    """The last that the page is told of a file that is taken."""
    status, answer = await page.send(name, content, **query)
    assert status == 201, answer
    found = (await page.until_done(answer["id"]))[-1]
    return found | {"id": answer["id"]}


def test_a_video_comes_back_without_the_mask(clip: bytes, tmp_path: Path) -> None:
    async def test() -> None:
        async with site() as page:
            told = await sent(page, "talk.mp4", clip)
            assert (told["frames"], told["expected"], told["error"], told["suffix"]) == (20, 20, None, ".mp4")
            counts = {"pictures": 20, "changed": 20, "faces": 20, "masks": 20, "left": 0, "drawers": {}}
            assert told["counts"] == counts
            async with page.session.get(f"{page.origin}/files/{told['id']}/result") as answer:
                assert answer.status == 200
                (tmp_path / "result.mp4").write_bytes(await answer.read())
            async with page.session.get(
                f"{page.origin}/files/{told['id']}/result", headers={"Range": "bytes=0-99"}
            ) as answer:
                assert answer.status == 206
                assert len(await answer.read()) == 100
            # A page asks for the newest picture while the file ends: that there is none is no error.
            async with page.session.get(f"{page.origin}/files/{told['id']}/newest") as answer:
                assert (answer.status, await answer.read()) == (204, b"")

    run(test())
    (tmp_path / "input.mp4").write_bytes(clip)
    assert red(tmp_path / "input.mp4") < 0.01 < 0.03 < red(tmp_path / "result.mp4")
    with av.open(str(tmp_path / "result.mp4")) as container:
        assert {stream.type for stream in container.streams} == {"video", "audio"}


def red(path: Path) -> float:
    """How much of the first frame is as red as the stand-in draws."""
    with av.open(str(path)) as container:
        image = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    return float(((image[..., 0] > 150) & (image[..., 1] < 90) & (image[..., 2] < 110)).mean())


def test_a_picture_comes_back_in_a_format_that_browsers_show(tmp_path: Path) -> None:
    Image.fromarray(np.asarray(masked_portrait())).save(tmp_path / "me.bmp")

    async def test() -> None:
        async with site() as page:
            told = await sent(page, "me.bmp", (tmp_path / "me.bmp").read_bytes())
            assert (told["suffix"], told["still"], told["error"]) == (".png", True, None)
            async with page.session.get(f"{page.origin}/files/{told['id']}/result") as answer:
                assert answer.content_type == "image/png"

    run(test())


def test_a_fault_of_the_program_ends_the_file_and_is_told(clip: bytes, tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield clip

    def broken() -> Networks:
        raise ZeroDivisionError("a fault of ours")

    async def test() -> None:
        uploads = Uploads(tmp_path / "in", values.build({}), broken, Turn())
        uploads.folder.mkdir()
        upload = await uploads.receive("talk.mp4", len(clip), chunks(), Wishes())
        while upload.at_work:
            await asyncio.sleep(0.01)
        assert upload.outcome is not None
        assert upload.outcome.report.error == "a fault of ours"
        await uploads.receive("talk.mp4", len(clip), chunks(), Wishes())  # the turn was given back
        await uploads.end()

    run(test())


@pytest.mark.parametrize(
    "name",
    [
        "../../talk.mp4",
        "/etc/passwd.mp4",
        "C:\\Users\\me\\talk.MP4",
        "a\nb.mp4",
        "%00.mp4",
        "\u202etalk.mp4",
        ".mp4.mp4",
    ],
)
def test_no_name_becomes_a_path(name: str, clip: bytes, tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield clip

    async def test() -> None:
        uploads = Uploads(tmp_path / "in", values.build({}), stand_in_networks, Turn())
        uploads.folder.mkdir()
        upload = await uploads.receive(name, len(clip), chunks(), Wishes())
        assert upload.source == tmp_path / "in" / upload.id / "input.mp4"
        await uploads.end()
        outside = [path for path in tmp_path.rglob("*") if uploads.folder not in (path, *path.parents)]
        assert not outside

    run(test())


@pytest.mark.parametrize(
    "name", ["", "talk", "talk.exe", "talk.mp4/", "talk.mp4 ", "..", "list.m3u8", "talk.mp4\x00.sh"]
)
def test_other_suffixes_are_refused(name: str) -> None:
    if name == "talk.mp4/":
        assert known_suffix(name) == ".mp4"  # a path that ends in a separator names the same
        return
    with pytest.raises(ConfigError, match="with one of the suffixes"):
        known_suffix(name)


def test_a_known_suffix_is_our_own_text() -> None:
    assert all(known_suffix(f"x{suffix.upper()}") is suffix for suffix in SUFFIXES)


@pytest.mark.parametrize("declared", [True, False])
def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(declared: bool) -> None:
    size = 1_000_001

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(size // 1000 + 1):
            yield bytes(1000)

    async def test() -> None:
        async with site(upload_megabytes=1) as page:
            status, answer = await page.send("talk.mp4", bytes(size) if declared else chunks())
            assert status == 413
            assert answer["message"] == "the file has more than 1 MB; --upload-megabytes allows for more"
            status, _ = await page.send("talk.mp4", b"x")  # the turn was given back
            assert status == 201

    run(test())


def test_a_file_that_comes_too_slowly_is_refused(tmp_path: Path) -> None:
    async def drip() -> AsyncIterator[bytes]:
        yield b"some"
        await asyncio.Event().wait()

    async def test() -> None:
        settings = values.build({"upload-minutes": 1})
        hasty = replace(settings, serve=replace(settings.serve, upload_minutes=0.001))  # type: ignore[arg-type]
        uploads = Uploads(tmp_path, hasty, stand_in_networks, Turn())
        with pytest.raises(Exception, match="receiving the file took longer than"):
            await uploads.receive("talk.mp4", None, drip(), Wishes())
        assert not list(tmp_path.iterdir())
        assert uploads.turn.holder is None

    run(test())


@pytest.mark.parametrize("pause_seconds", [0.05, 60.0])
def test_a_file_that_crawls_or_stops_does_not_keep_the_turn(
    pause_seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.web.uploads.PATIENCE_SECONDS", 0.3)

    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b"some"
            await asyncio.sleep(pause_seconds)

    async def test() -> None:
        uploads = Uploads(tmp_path, values.build({}), stand_in_networks(), Turn())
        with pytest.raises(TooSlow, match="too slowly"):
            await uploads.receive("talk.mp4", None, drip(), Wishes())
        assert not list(tmp_path.iterdir())
        assert uploads.turn.holder is None

    run(test())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_and_leaves_nothing(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    class Full(io.BytesIO):
        def write(self, _data: object) -> int:
            raise OSError(number, os.strerror(number))

    def opened(path: Path, *arguments: Any, **options: Any) -> Any:
        return Full() if path.name == "input.mp4" and arguments == ("xb",) else real(path, *arguments, **options)

    async def test() -> None:
        async with site() as page:
            monkeypatch.setattr(Path, "open", opened)
            status, answer = await page.send("talk.mp4", b"x" * 1000)
            assert (status, answer["message"]) == (507, "the disk of the machine that serves this page is full")
            monkeypatch.undo()
            status, _ = await page.send("talk.mp4", b"x")  # the turn was given back
            assert status == 201

    run(test())


def test_an_upload_that_breaks_off_or_lies_about_its_length_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def test() -> None:
        async with site() as page:
            (folder,) = (entry for entry in tmp_path.iterdir() if entry.name.startswith("barefaced-page-"))
            cookies = page.session.cookie_jar.filter_cookies(URL(page.origin))
            cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())
            for length, given in ((1000, b"x" * 10), (10, b""), (10**8, b"x" * 100_000)):
                reader, writer = await asyncio.open_connection("127.0.0.1", page.guard.port)
                writer.write(
                    f"POST /files?name=a.mp4&{urlencode(SLIDERS)} HTTP/1.1\r\nHost: 127.0.0.1:{page.guard.port}\r\n"
                    f"Origin: {page.origin}\r\nCookie: {cookie}\r\nContent-Length: {length}\r\n\r\n".encode()
                    + given
                )
                await writer.drain()
                while given and not [entry for entry in folder.iterdir() if entry.is_dir()]:
                    await asyncio.sleep(0.01)
                writer.close()
                await writer.wait_closed()
                del reader
            while [entry for entry in folder.iterdir() if entry.is_dir()]:
                await asyncio.sleep(0.01)
            status, _ = await page.send("talk.mp4", b"x")
            assert status == 201
        assert not list(tmp_path.iterdir())

    run(test())
    assert "Traceback" not in caplog.text


def test_of_a_hundred_uploads_at_once_one_is_taken_and_none_leaves_a_trace(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clip: bytes
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    held = Held()

    async def test() -> None:
        async with site(replace(stand_in_networks(), generator=held)) as page:
            answers = await asyncio.gather(*(page.send("talk.mp4", clip) for _ in range(100)), return_exceptions=True)
            held.gate.set()
            statuses = Counter(answer[0] if isinstance(answer, tuple) else type(answer).__name__ for answer in answers)
            assert statuses[201] == 1, statuses
            assert set(statuses) <= {201, 409, 429, 503, "ClientOSError", "ServerDisconnectedError"}, statuses
            taken = next(answer[1]["id"] for answer in answers if isinstance(answer, tuple) and answer[0] == 201)
            assert (await page.until_done(taken))[-1]["done"]
        assert not list(tmp_path.iterdir())

    run(test())


def test_what_one_visitor_sent_is_out_of_reach_for_another(clip: bytes) -> None:
    async def test() -> None:
        async with site() as page, new_browser() as stranger:
            found = await sent(page, "talk.mp4", clip)
            for path in (f"/files/{found['id']}", f"/files/{found['id']}/result"):
                for method in ("GET", "DELETE"):
                    async with stranger.request(method, page.origin + path) as answer:
                        assert answer.status in (401, 403, 405)
            for guess in ("", "0", found["id"][:-1], "..", "%2e%2e", f"..%2f{found['id']}", "*"):
                assert await page.status(f"/files/{guess}/result") == 404
            assert await page.status(f"/files/{found['id']}/result") == 200

    run(test())


def test_processing_that_takes_too_long_ends_with_the_reason(clip: bytes, tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield clip

    async def test() -> None:
        uploads = Uploads(tmp_path, values.build({}), stand_in_networks, Turn())
        upload = await uploads.receive("talk.mp4", None, chunks(), Wishes())
        upload.longest_seconds = 0.0
        await asyncio.gather(*uploads._at_work)
        said = upload.as_json()
        assert said["error"] == "processing took longer than 0 min; --upload-minutes allows for more"
        assert upload.result is None
        assert [path.name for path in upload.folder.iterdir()] == ["input.mp4"]

    run(test())


def test_what_is_no_video_says_so_without_a_path_of_ours() -> None:
    async def test() -> None:
        async with site() as page:
            told = await sent(page, "talk.mp4", b"this is no video" * 100)
            assert (
                told["error"] == "the file is not a media file or is damaged: no known container format was found in it"
            )
            assert await page.status(f"/files/{told['id']}/result") == 404
            status, answer = await page.send("talk.mp4", b"")
            assert (status, answer["message"]) == (400, "the file is empty")

    run(test())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("smoothing", "2"),
        ("smoothing", "nan"),
        ("feather", "-1"),
        ("feather", "x"),
        ("smile", "-4"),
        ("mouth_open", ""),
    ],
)
def test_a_choice_out_of_range_is_refused(key: str, value: str) -> None:
    async def test() -> None:
        async with site() as page:
            status, answer = await page.send("talk.mp4", b"x", **{key: value})
            assert status == 400
            assert answer["message"].startswith(f"{key} is ")

    run(test())


async def asked_again(page: Page, number: str, **choice: object) -> dict[str, Any]:
    """The last that the page is told of a file that is drawn again."""
    sliders = {"smoothing": 0.5, "feather": 5, "smile": 0, "mouth_open": 0}
    body = {"type": "choice", **sliders, "faces": {}, "others": True, **choice}
    address = f"{page.origin}/files/{number}/again"
    async with page.session.post(address, json=body, headers={"Origin": page.origin}) as answer:
        assert answer.status == 201, await answer.text()
    return (await page.until_done(number))[-1]


def test_a_finished_file_tells_its_faces_and_is_drawn_again_without_one(clip: bytes, tmp_path: Path) -> None:
    async def test() -> None:
        async with site() as page:
            told = await sent(page, "talk.mp4", clip)
            (face,) = told["faces"]
            assert (face["state"], face["on"], told["drawn"]) == ("drawn", True, True)
            assert face["picture"].startswith("data:image/jpeg;base64,")

            told = await asked_again(page, told["id"], faces={str(face["id"]): False}) | {"id": told["id"]}
            assert (told["faces"][0]["state"], told["faces"][0]["on"], told["drawn"]) == ("switched off", False, False)
            async with page.session.get(f"{page.origin}/files/{told['id']}/result") as answer:
                (tmp_path / "again.mp4").write_bytes(await answer.read())
            async with page.session.get(f"{page.origin}/files/{told['id']}/original") as answer:
                assert await answer.read() == clip
            told = await asked_again(page, told["id"], others=True)
            assert told["drawn"]

    run(test())
    assert red(tmp_path / "again.mp4") < 0.01


def test_a_result_stays_until_there_is_another(clip: bytes) -> None:
    held = Held()
    held.gate.set()

    async def test() -> None:
        async with site(replace(stand_in_networks(), generator=held)) as page:
            told = await sent(page, "talk.mp4", clip)
            path = f"/files/{told['id']}"
            held.gate.clear()
            again = asyncio.create_task(asked_again(page, told["id"]))
            while (await _first_status(page, told["id"]))["done"]:
                await asyncio.sleep(0.05)
            assert await page.status(f"{path}/result") == 200
            assert await page.status(f"{path}/stop", "POST", Origin=page.origin) == 204
            held.gate.set()
            told = await again
            assert (told["error"], told["refusal"], told["drawn"]) == (None, None, True)
            assert await page.status(f"{path}/result") == 200

    run(test())


async def _first_status(page: Page, number: str) -> dict[str, Any]:
    async with page.session.get(f"{page.origin}/files/{number}") as answer:
        async for line in answer.content:
            if line.startswith(b"data: "):
                found: dict[str, Any] = json.loads(line[6:])
                return found
    raise AssertionError("nothing was told")


def test_original_and_result_are_put_side_by_side(clip: bytes, tmp_path: Path) -> None:
    async def test() -> None:
        async with site() as page:
            told = await sent(page, "talk.mp4", clip)
            async with page.session.get(f"{page.origin}/files/{told['id']}/beside") as answer:
                assert answer.status == 200
                (tmp_path / "beside.mp4").write_bytes(await answer.read())

    run(test())
    with av.open(str(tmp_path / "beside.mp4")) as container:
        images = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    assert len(images) == 20
    for image in images:
        left, right = np.hsplit((image[..., 0] > 150) & (image[..., 1] < 90) & (image[..., 2] < 110), 2)
        assert left.mean() < 0.005 < 0.02 < right.mean()


def test_a_picture_is_put_side_by_side(tmp_path: Path) -> None:
    Image.fromarray(np.asarray(masked_portrait())).save(tmp_path / "me.png")

    async def test() -> None:
        async with site() as page:
            told = await sent(page, "me.png", (tmp_path / "me.png").read_bytes())
            async with page.session.get(f"{page.origin}/files/{told['id']}/beside") as answer:
                assert answer.status == 200
                with Image.open(io.BytesIO(await answer.read())) as picture:
                    assert picture.size == masked_portrait().shape[1::-1]

    run(test())


def test_the_sample_is_drawn_and_processed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.web.uploads.SAMPLE_FRAMES", 12)

    async def test() -> None:
        async with site() as page:
            query = {"name": "sample.mp4", **SLIDERS}
            address = f"{page.origin}/sample"
            async with page.session.post(address, params=query, headers={"Origin": page.origin}) as answer:
                assert answer.status == 201
                number = (await answer.json())["id"]
            told = (await page.until_done(number))[-1]
            assert (told["frames"], told["drawn"]) == (12, True)

    run(test())


def test_the_newest_frame_is_shown_while_a_file_is_processed(clip: bytes, tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, values.build({}), stand_in_networks(), Turn())
    upload = uploads._new(".mp4")
    with av.open(io.BytesIO(clip)) as container:
        picture = next(container.decode(video=0))
    upload.expected = 20
    upload._since -= 10
    upload.wrote(Frame(0, Fraction(0), 0.0, picture))
    left = upload.as_json()["seconds_left"]
    assert isinstance(left, float)
    assert left >= 190  # nineteen times as long as the ten seconds and more that one frame took
    with Image.open(io.BytesIO(small_jpeg(picture))) as small:
        assert small.size == (320, 240)


def test_a_picture_that_the_page_drew_comes_back_labelled(tmp_path: Path) -> None:
    plain = io.BytesIO()
    Image.fromarray(np.asarray(masked_portrait())).save(plain, "PNG")

    async def test() -> None:
        async with site() as page:
            address, origin = f"{page.origin}/label", {"Origin": page.origin}
            async with page.session.post(address, data=plain.getvalue(), headers=origin) as answer:
                (tmp_path / "snapshot.png").write_bytes(await answer.read())
            async with page.session.post(address, data=b"no picture", headers=origin) as answer:
                assert answer.status == 400

    run(test())
    assert len(claims(tmp_path / "snapshot.png")) == 2


def test_one_at_a_time_and_a_cancelled_one_makes_room(clip: bytes) -> None:
    held = Held()

    async def test() -> None:
        async with site(replace(stand_in_networks(), generator=held)) as page:
            status, first = await page.send("talk.mp4", clip)
            assert status == 201
            status, second = await page.send("talk.mp4", clip)
            assert status == 409
            assert second["message"] == "a file is being processed: end that, or wait, and try again"
            assert await page.status(f"/files/{first['id']}", "DELETE", Origin=page.origin) == 204
            assert await page.status(f"/files/{first['id']}") == 404
            held.gate.set()
            status, _ = await page.send("talk.mp4", clip)  # waits for the last frames of the first
            assert status == 201

    run(test())


def test_the_oldest_results_go_and_all_go_at_the_end(
    clip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def test() -> None:
        async with site() as page:
            numbers = [(await sent(page, "talk.mp4", clip))["id"] for _ in range(KEPT + 1)]
            assert await page.status(f"/files/{numbers[0]}/result") == 404
            assert await page.status(f"/files/{numbers[-1]}/result") == 200
            (folder,) = tmp_path.iterdir()
            assert {path.name for path in folder.iterdir() if path.is_dir()} == set(numbers[1:])

    run(test())
    assert not list(tmp_path.iterdir())


def test_the_end_of_the_server_cancels_what_goes_on(clip: bytes) -> None:
    held = Held()

    async def test() -> None:
        async with site(replace(stand_in_networks(), generator=held)) as page:
            status, _ = await page.send("talk.mp4", clip)
            assert status == 201
            held.gate.set()

    run(test())


@pytest.mark.parametrize(("codec", "samples_as", "suffix"), [("wavpack", "s16p", ".mkv"), ("flac", "s16", ".mp4")])
def test_a_video_becomes_mp4_or_matroska_where_mp4_cannot_hold_its_sound(
    codec: str, samples_as: str, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / "talk.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=30)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(codec, rate=48_000, layout="mono")
        container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(video.encode(None))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), format=samples_as, layout="mono")
        samples.sample_rate, samples.pts, samples.time_base = 48_000, 0, Fraction(1, 48_000)
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    assert result_suffix(path) == suffix
