"""What others may rely on from Python: files, pictures and frames without masks, and errors that say what is wrong."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

import barefaced
from pipeline.demo.clip import FRAME_RATE, draw_frames, write_clip
from pipeline.run import load
from tests.stand_ins import as_if_loaded

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
FRAMES = 8


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "networks", as_if_loaded)


@pytest.fixture(scope="module")
def pictures() -> list[NDArray[np.uint8]]:
    return list(draw_frames(width=320, height=240, frames=FRAMES))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "talk.mp4"
    write_clip(path, width=320, height=240, frames=FRAMES)
    return path


def drawn_share(rgb: NDArray[np.uint8]) -> float:
    """Which part of a picture is crimson, as what the stand-in draws is once it has the colours of the face's light.

    The portrait has no such pixel: its flag is darker, its suit is orange.
    """
    red, green, blue = rgb.astype(float).transpose(2, 0, 1)
    return float(((red > 180) & (red - green > 80) & (blue > green)).mean())


def test_a_file_comes_out_beside_its_input_with_a_report(clip: Path, tmp_path: Path) -> None:
    source = tmp_path / "talk.mp4"
    source.write_bytes(clip.read_bytes())
    seen: list[barefaced.Progress] = []
    report = barefaced.remove(source, progress=seen.append, preset="ultrafast")
    assert isinstance(report, barefaced.Report)
    assert report.output == str(tmp_path / "talk-barefaced.mp4")
    assert (report.frames_out, report.tally.masked_faces) == (FRAMES, FRAMES)
    assert [(progress.frames, progress.expected) for progress in seen] == [(n, FRAMES) for n in range(1, FRAMES + 1)]
    with av.open(report.output) as container:
        assert drawn_share(next(container.decode(video=0)).to_ndarray(format="rgb24")) > 0.05


def test_settings_have_the_names_of_the_flags_with_underscores(clip: Path, tmp_path: Path) -> None:
    barefaced.remove(clip, tmp_path / "a.mp4", end=0.1, codec="x265", preset="ultrafast", blend={"feather_px": 9.5})
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "hevc"
        assert sum(1 for _ in container.decode(video=0)) == round(0.1 * FRAME_RATE)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"codek": "av1"}, "unknown key 'codek'; did you mean 'codec'"),
        ({"quality": 99}, "quality can't be 99: allowed is a whole number from 0 to 63"),
        ({"only": "ann.jpg"}, "only can't be 'ann.jpg': allowed is a list of file names"),
        ({"blend": {"fether_px": 1}}, "did you mean 'blend.feather-px'"),
        ({"fps": 0}, "fps can't be 0"),
    ],
)
def test_a_setting_that_can_not_be_is_refused_with_a_cure(settings: dict[str, object], says: str) -> None:
    with pytest.raises(barefaced.ConfigError, match=says):
        barefaced.Remover(**settings)  # type: ignore[arg-type]


def test_a_file_that_can_not_be_read_raises_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(barefaced.SourceError, match=r"absent\.mp4"):
        barefaced.remove(tmp_path / "absent.mp4", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_what_progress_raises_ends_the_run(clip: Path, tmp_path: Path) -> None:
    def enough(progress: barefaced.Progress) -> None:
        if progress.frames == 2:
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        barefaced.remove(clip, tmp_path / "out.mp4", progress=enough, preset="ultrafast")
    assert not (tmp_path / "out.mp4").exists()


def test_after_a_restart_frames_are_those_of_another_video(pictures: list[NDArray[np.uint8]]) -> None:
    """The smoothing averages over the frames before: without them a frame comes out as the first one did."""
    with barefaced.Remover(redraw_every=1, smooth={"pace": 0.05}) as remover:
        first = remover.frame(pictures[0])
        for rgb in pictures[1:]:
            remover.frame(rgb)
        remover.restart()
        np.testing.assert_array_equal(remover.frame(pictures[0]), first)


def test_frames_come_out_one_by_one_and_the_same_as_from_an_iterable(pictures: list[NDArray[np.uint8]]) -> None:
    with barefaced.Remover() as remover:
        one_by_one = [remover.frame(rgb) for rgb in pictures]
        together = list(remover.frames(pictures))
    assert all(drawn_share(rgb) > 0.05 for rgb in together)
    for single, among, rgb in zip(one_by_one, together, pictures, strict=True):
        assert single.shape == rgb.shape and single.dtype == np.uint8
        np.testing.assert_array_equal(single, among)
        assert (single[:10] == rgb[:10]).all(), "away from the face nothing changes"


def test_a_picture_has_nothing_to_do_with_the_one_before(pictures: list[NDArray[np.uint8]]) -> None:
    with barefaced.Remover() as remover:
        first = remover.picture(pictures[0])
        remover.picture(pictures[5])
        np.testing.assert_array_equal(remover.picture(pictures[0]), first)


def test_threads_take_turns(pictures: list[NDArray[np.uint8]]) -> None:
    with barefaced.Remover() as remover:
        expected, found = remover.picture(pictures[0]), []
        threads = [threading.Thread(target=lambda: found.append(remover.picture(pictures[0]))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == len(threads)
    for picture in found:
        np.testing.assert_array_equal(picture, expected)


def test_a_call_inside_the_loop_over_frames_is_an_error_and_no_deadlock(pictures: list[NDArray[np.uint8]]) -> None:
    with barefaced.Remover() as remover:
        frames = remover.frames(pictures)
        next(frames)
        with pytest.raises(barefaced.BarefacedError, match="still being read"):
            remover.picture(pictures[0])
        frames.close()  # type: ignore[attr-defined]
        remover.picture(pictures[0])


@pytest.mark.parametrize(
    ("rgb", "says"),
    [
        (np.zeros((4, 4), np.uint8), "uint8 of shape \\(4, 4\\)"),
        (np.zeros((4, 4, 3), np.float32), "float32 of shape"),
        ([[1, 2, 3]], "not list"),
    ],
)
def test_an_array_that_is_no_picture_is_refused(rgb: object, says: str) -> None:
    with barefaced.Remover() as remover, pytest.raises(barefaced.ConfigError, match=says):
        remover.frame(rgb)  # type: ignore[arg-type]


def test_python_m_barefaced_is_the_command() -> None:
    script = [sys.executable, "-m", "barefaced", "--version"]
    ended = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("barefaced ")


def test_every_public_name_is_there_and_importing_is_light() -> None:
    assert all(getattr(barefaced, name) is not None for name in barefaced.__all__)
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    assert not [name for name in barefaced.__all__ if f"`{name}" not in page]
    script = "import sys, barefaced; print({'cv2', 'av', 'numpy'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"
    with pytest.raises(AttributeError, match="no attribute 'remover'"):
        _ = barefaced.remover
