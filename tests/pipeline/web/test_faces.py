"""Own faces on the page: recordings come in, a face is learned, worn and forgotten, and nothing without consent."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("aiohttp", reason="the page needs aiohttp and aiortc")
pytest.importorskip("aiortc", reason="the page needs aiohttp and aiortc")

from pipeline.people.enrolled import AGREED
from tests.pipeline.web.site import HARDLY_MOVED, NOBODY, CopyingEnroller, Page, made_face, run, site

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("no_thread_left")]

ON_ONNXRUNTIME = {"engine": "onnxruntime"}


async def learned(page: Page, name: str = "me") -> dict[str, Any]:
    """What the page is told of a face once it is learned of one recording."""
    assert (await page.faces("POST", "/recordings", b"film", name="me.webm"))[0] == 200
    status, answer = await page.faces("POST", name=name, agreed="true")
    assert status == 200, answer
    while answer["enrolment"]["running"]:
        await asyncio.sleep(0.02)
        _, answer = await page.faces()
    assert isinstance(answer, dict)
    return answer


def test_a_face_is_learned_of_recordings_and_kept_without_them(tmp_path: Path) -> None:
    async def test() -> None:
        enroller = CopyingEnroller()
        async with site(enrolls=enroller, face_folder=str(tmp_path / "faces")) as page:
            await page.faces("POST", "/recordings", b"photo", name="../../me.JPG")
            told = await learned(page)
            assert enroller.seen == [".jpg", ".webm"]
            assert told["enrolment"] | {"name": "me", "gain": 1.23, "recordings": 0, "error": None} == told["enrolment"]
            assert told["enrolment"]["notes"] == [HARDLY_MOVED]
            assert [face["name"] for face in told["faces"]] == ["me"]
            assert told["faces"][0]["pictures"] == 90
            assert await page.status("/faces/sheet") == 200

    run(test())
    assert [path.name for path in tmp_path.rglob("*.*")] == ["me.face"]


@pytest.mark.parametrize(
    ("name", "agreed", "said"),
    [
        ("me", "", AGREED),
        ("../me", "true", "letters, digits"),
        ("shipped", "true", "letters, digits"),
        ("", "true", "letters, digits"),
        ("ann", "true", "there is a face called ann"),
    ],
)
def test_no_face_is_learned_without_consent_or_under_a_name_of_another(
    tmp_path: Path, name: str, agreed: str, said: str
) -> None:
    made_face(tmp_path / "ann.face")

    async def test() -> None:
        async with site(face_folder=str(tmp_path)) as page:
            await page.faces("POST", "/recordings", b"film", name="me.webm")
            status, answer = await page.faces("POST", name=name, agreed=agreed)
            assert status == 400
            assert said in answer["message"]

    run(test())
    assert [path.name for path in tmp_path.iterdir()] == ["ann.face"]


def test_what_is_missing_or_goes_wrong_is_said(tmp_path: Path) -> None:
    class Unable(CopyingEnroller):
        missing = "enrolling a face needs torch"

    async def test() -> None:
        async with site(enrolls=Unable(), face_folder=str(tmp_path)) as page:
            assert (await page.faces())[1]["missing"] == Unable.missing
            assert (await page.faces("POST", name="me", agreed="true"))[1]["message"] == Unable.missing
        async with site(face_folder=str(tmp_path)) as page:
            assert "record the face" in (await page.faces("POST", name="me", agreed="true"))[1]["message"]
            assert (await page.faces("POST", "/recordings", b"film", name="me.exe"))[0] == 400
            await page.faces("POST", "/recordings", NOBODY, name="me.webm")
            told = await learned(page)
            assert told["enrolment"]["error"] == "no face to learn from"
            assert told["faces"] == []

    run(test())


def test_one_thing_at_a_time_is_processed_and_closing_the_dialog_cancels_it(tmp_path: Path) -> None:
    async def test() -> None:
        gate = threading.Event()
        async with site(enrolls=CopyingEnroller(gate), face_folder=str(tmp_path)) as page:
            await page.faces("POST", "/recordings", b"film", name="me.webm")
            await page.faces("POST", name="me", agreed="true")
            assert (await page.send("talk.mp4", b"clip"))[0] == 409
            assert (await page.faces("POST", "/recordings", b"film", name="me.webm"))[0] == 400
            dropping = asyncio.create_task(page.faces("DELETE", "/recordings"))
            await asyncio.sleep(0.1)
            gate.set()
            _, told = await dropping
            assert told["enrolment"] | {"recordings": 0, "running": False, "name": None} == told["enrolment"]
            assert told["faces"] == []

    run(test())
    assert not list(tmp_path.iterdir())


def test_a_face_is_worn_and_forgotten(tmp_path: Path) -> None:
    made_face(tmp_path / "ann.face")

    async def test() -> None:
        async with site(face_folder=str(tmp_path), **ON_ONNXRUNTIME) as page:
            assert (await page.faces())[1]["worn"] is None
            _, told = await page.faces("PUT", name="ann")
            assert told["worn"] == "ann"
            status, answer = await page.faces("PUT", name="bob")
            assert (status, "no face called 'bob'" in answer["message"]) == (400, True)
            _, told = await page.faces("DELETE", "/ann")
            assert (told["worn"], told["faces"]) == (None, [])

    run(test())
    assert not list(tmp_path.iterdir())


def test_a_damaged_face_is_shown_and_can_be_forgotten(tmp_path: Path) -> None:
    (tmp_path / "bad.face").write_bytes(b"no archive")

    async def test() -> None:
        async with site(face_folder=str(tmp_path)) as page:
            (face,) = (await page.faces())[1]["faces"]
            assert "bad.face is damaged" in face["error"]
            assert (await page.faces("PUT", name="bad"))[0] == 400
            assert (await page.faces("DELETE", "/bad"))[1]["faces"] == []

    run(test())
