"""The examples do what they say, on stand-ins for the networks."""

from __future__ import annotations

import asyncio
import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from PIL import Image

from engine import models
from engine.onnx_file import read_weight, stored_weights
from pipeline.demo.clip import draw_frames, write_clip
from pipeline.people.enrolled import FaceManifest, write_face
from pipeline.run import load
from tests.stand_ins import as_if_loaded

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

EXAMPLES = Path(__file__).parents[2] / "examples"
FRAMES = 4


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "networks", as_if_loaded)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "talk.mp4"
    path.parent.mkdir()
    write_clip(path, width=320, height=240, frames=FRAMES)
    return path


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def picture() -> NDArray[np.uint8]:
    return next(draw_frames(width=320, height=240, frames=1))


def test_every_example_is_tested_here() -> None:
    tested = {"own_face", "one_file", "folder", "webcam", "web_endpoint", "comfyui_node"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == tested


def test_own_face(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a face that was learned before; `tests/barefaced/test_enrolment.py` learns one."""
    base = models.shipped("generator")
    manifest = FaceManifest(base.sha256, "2026-11-26", 1, 90, 20, 200, 20.5, 24.5)
    key, place = next(iter(stored_weights(base).items()))
    write_face(tmp_path / "me.face", manifest, {key: read_weight(base, place)}, None, overwrite=False)
    example("own_face").main(str(tmp_path / "me.mp4"), str(clip))
    told = capsys.readouterr().out
    assert "90 pictures, +4.00 dB" in told
    assert "talk-barefaced.mp4" in told


def test_one_file(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example("one_file").main(str(clip))
    assert (clip.parent / "talk-barefaced.mp4").exists()
    assert f"{FRAMES} frames" in capsys.readouterr().out


def test_a_folder_goes_on_behind_a_file_that_can_not_be_read(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clip.parent / "broken.mp4").write_bytes(b"no video")
    example("folder").main(clip.parent, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["talk.mp4"]
    told = capsys.readouterr()
    assert "broken.mp4" in told.err
    assert f"talk.mp4: {FRAMES} of {FRAMES} frames" in told.out


def test_a_webcam_s_pictures_are_answered_one_by_one(clip: Path) -> None:
    assert example("webcam").main(cv2.VideoCapture(str(clip))) == FRAMES


def test_the_endpoint_gives_a_picture_back_and_refuses_what_is_none() -> None:
    pytest.importorskip("fastapi", reason="the example needs fastapi, which the extra `test` brings")
    app = example("web_endpoint").app
    body = io.BytesIO()
    Image.fromarray(picture()).save(body, "PNG")
    (status, drawn), (refused, _) = asyncio.run(posted(app, "/bare", [body.getvalue(), b"no picture"]))
    assert status == 200
    changed = (np.array(Image.open(io.BytesIO(drawn))) != picture()).any(axis=2)
    assert 0.005 < changed.mean() < 0.5
    assert refused == 415


async def posted(app: Any, path: str, bodies: list[bytes]) -> list[tuple[int, bytes]]:
    """What the app answers to each body, by the interface that servers call it by (ASGI)."""
    answers = []
    async with app.router.lifespan_context(app):
        for body in bodies:
            sent: list[dict[str, Any]] = []
            scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}

            async def receive(body: bytes = body) -> dict[str, Any]:
                return {"type": "http.request", "body": body, "more_body": False}

            async def send(message: dict[str, Any], sent: list[dict[str, Any]] = sent) -> None:
                sent.append(message)

            await app(scope, receive, send)
            answers.append((sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])))
    return answers


def test_the_node_takes_and_gives_what_comfyui_passes() -> None:
    torch = pytest.importorskip("torch", reason="ComfyUI's images are tensors of torch")
    node = example("comfyui_node").NODE_CLASS_MAPPINGS["BarefacedRemoveMasks"]
    assert node.INPUT_TYPES()["required"].keys() == {"images", "video"}
    images = torch.from_numpy(np.stack([picture(), picture()]).astype(np.float32) / 255)
    for video in (False, True):
        (drawn,) = getattr(node(), node.FUNCTION)(images=images, video=video)
        assert drawn.shape == images.shape and drawn.dtype == torch.float32
        assert 0.005 < float((drawn - images).abs().amax(-1).gt(0.02).float().mean()) < 0.5
