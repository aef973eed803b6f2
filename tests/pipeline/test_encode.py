"""A video file as a sink: what is refused, and what is left behind when something goes wrong."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from pipeline.decode import FileSource
from pipeline.encode import FileSink
from pipeline.encoders import Codec
from pipeline.errors import ConfigError, SinkError
from tests.pipeline.clips import SAMPLE_RATE, Clip, Sound, sound_of, times_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def beeping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Clip(frames=60, sounds=(Sound(),), width=160, height=120).write(tmp_path_factory.mktemp("clips") / "in.mp4")


def test_every_frame_is_yielded_as_it_came(beeping: Path, tmp_path: Path) -> None:
    source = FileSource(beeping)
    came = list(source)
    sink = FileSink(source, tmp_path / "out.mp4")
    given = list(sink(iter(came)))
    assert all(a is b for a, b in zip(given, came, strict=True))
    assert sink.outcome.frames == 60
    assert sink.outcome.encoder == "libx264 yuv420p"


def test_check_leaves_nothing_behind(beeping: Path, tmp_path: Path) -> None:
    sink = FileSink(FileSource(beeping), tmp_path / "out.mp4")
    sink.check()
    sink.check()
    assert list(tmp_path.iterdir()) == []


def test_until_the_end_the_file_has_another_name(beeping: Path, tmp_path: Path) -> None:
    source, target = FileSource(beeping), tmp_path / "out.mp4"
    written = FileSink(source, target)(iter(source))
    next(written)
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1
    assert sum(1 for _ in written) == 59
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_nothing_is_left_when_a_stage_before_fails(suffix: str, beeping: Path, tmp_path: Path) -> None:
    source = FileSource(beeping)

    def failing():  # noqa: ANN202
        for frame in source:
            if frame.index == 20:
                raise RuntimeError("the network fell over")
            yield frame

    with pytest.raises(RuntimeError, match="fell over"):
        list(FileSink(source, tmp_path / f"out{suffix}")(failing()))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_when_the_run_is_cancelled(beeping: Path, tmp_path: Path) -> None:
    source = FileSource(beeping)
    written = FileSink(source, tmp_path / "out.mp4")(iter(source))
    next(written)
    written.close()  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []


def test_run_that_is_stopped_early_has_sound_as_long_as_its_pictures(beeping: Path, tmp_path: Path) -> None:
    source = FileSource(beeping)

    def stopped():  # noqa: ANN202
        frames = iter(source)
        for _ in range(24):
            yield next(frames)

    list(FileSink(source, tmp_path / "out.mp4")(stopped()))
    assert len(times_of(tmp_path / "out.mp4")) == 24
    start, sound = sound_of(tmp_path / "out.mp4")
    assert float(start) + len(sound) / SAMPLE_RATE == pytest.approx(24 / 30, abs=0.03)


def test_existing_output_is_refused_and_kept(beeping: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_text("precious")
    sink = FileSink(FileSource(beeping), target)
    with pytest.raises(SinkError, match="exists"):
        sink.check()
    with pytest.raises(SinkError, match="exists"):
        list(sink(iter(())))
    assert target.read_text() == "precious"
    replace(sink, overwrite=True).check()
    assert target.read_text() == "precious"


def test_input_is_never_overwritten(beeping: Path, tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to(beeping)
    for target in (beeping, tmp_path / "link.mp4"):
        with pytest.raises(SinkError, match="is the input itself"):
            FileSink(FileSource(beeping), target, overwrite=True).check()


def test_impossible_outputs_are_refused_before_work_begins(beeping: Path, tmp_path: Path) -> None:
    source = FileSource(beeping)
    with pytest.raises(SinkError, match=r"\.webm can't hold stream 1 \(audio, aac\).*\.mkv"):
        FileSink(source, tmp_path / "out.webm").check()
    with pytest.raises(SinkError, match="does not exist"):
        FileSink(source, tmp_path / "no" / "out.mp4").check()
    with pytest.raises(SinkError, match=r"\.avi files can't be written"):
        FileSink(source, tmp_path / "out.avi").check()
    with pytest.raises(ConfigError, match="quality"):
        FileSink(source, tmp_path / "out.mp4", quality=99).check()
    assert list(tmp_path.iterdir()) == []


def test_hardware_encoder_that_does_not_open_is_an_error(beeping: Path, tmp_path: Path) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA device")
    with pytest.raises(SinkError, match=r"h264_nvenc can't be opened.*on the CPU"):
        FileSink(FileSource(beeping), tmp_path / "out.mp4", hardware="nvenc").check()
    assert list(tmp_path.iterdir()) == []


def test_no_frame_is_no_file(beeping: Path, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="no frame"):
        list(FileSink(FileSource(beeping), tmp_path / "out.mp4")(iter(())))
    assert list(tmp_path.iterdir()) == []


def test_frame_of_another_size_is_an_error(beeping: Path, tmp_path: Path) -> None:
    source = FileSource(beeping)
    frame = next(iter(source))
    wrong = replace(frame, planes=av.VideoFrame(64, 64, "yuv420p"))
    with pytest.raises(SinkError, match="frame 0 is 64x64 in a video of 160x120"):
        list(FileSink(source, tmp_path / "out.mp4")(iter([wrong])))


def test_frame_that_was_drawn_anew_needs_no_tags(beeping: Path, tmp_path: Path) -> None:
    source = FileSource(beeping)

    def redrawn():  # noqa: ANN202
        for frame in source:
            yield replace(frame, planes=av.VideoFrame.from_ndarray(frame.planes.to_ndarray(), format="yuv420p"))

    list(FileSink(source, tmp_path / "out.mp4")(redrawn()))
    assert times_of(tmp_path / "out.mp4") == times_of(beeping)


def test_dropped_frames_leave_their_gap(beeping: Path, tmp_path: Path) -> None:
    source = FileSource(beeping)
    list(FileSink(source, tmp_path / "out.mp4")(frame for frame in source if frame.index % 7))
    assert times_of(tmp_path / "out.mp4") == [time for i, time in enumerate(times_of(beeping)) if i % 7]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC, Codec.AV1])
def test_better_quality_is_larger(codec: Codec, beeping: Path, tmp_path: Path) -> None:
    sizes = []
    for quality in (10, 40):
        source, target = FileSource(beeping, end=Fraction(1, 2)), tmp_path / f"{quality}.mp4"
        list(FileSink(source, target, codec=codec, quality=quality)(iter(source)))
        sizes.append(target.stat().st_size)
    assert sizes[0] > 1.5 * sizes[1]


def test_hevc_carries_the_name_that_apple_players_want(beeping: Path, tmp_path: Path) -> None:
    source = FileSource(beeping, end=Fraction(1, 3))
    list(FileSink(source, tmp_path / "out.mp4", codec=Codec.HEVC)(iter(source)))
    assert b"hvc1" in (tmp_path / "out.mp4").read_bytes()


def test_index_of_an_mp4_is_in_front(beeping: Path, tmp_path: Path) -> None:
    source = FileSource(beeping)
    list(FileSink(source, tmp_path / "out.mp4")(iter(source)))
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_pictures_in_the_input_do_not_choose_keyframes_in_the_output(tmp_path: Path) -> None:
    every = Clip(frames=60, width=64, height=48, options={"preset": "ultrafast", "g": "1"}).write(tmp_path / "in.mp4")
    source = FileSource(every)
    list(FileSink(source, tmp_path / "out.mp4")(iter(source)))
    with av.open(str(tmp_path / "out.mp4")) as opened:
        assert sum(packet.is_keyframe for packet in opened.demux(video=0) if packet.size) < 10


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from pipeline.decode import FileSource
from pipeline.encode import FileSink
from pipeline.errors import SinkError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
source = FileSource(Path(sys.argv[1]))
try:
    list(FileSink(source, Path(sys.argv[2]), quality=1)(iter(source)))
except SinkError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [1_000, 30_000])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_full_disk_is_an_error_and_leaves_nothing(limit: int, suffix: str, beeping: Path, tmp_path: Path) -> None:
    target = tmp_path / f"out{suffix}"
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, beeping, target, str(limit)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "disk is full" in ran.stdout, ran
    assert ran.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_killed_run_leaves_no_file_under_the_final_name(beeping: Path, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom pipeline.decode import FileSource\n"
        "from pipeline.encode import FileSink\nsource = FileSource(Path(sys.argv[1]))\n"
        "for frame in FileSink(source, Path(sys.argv[2]))(iter(source)):\n"
        "    if frame.index == 30:\n        print('half', flush=True)\n        sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, beeping, tmp_path / "out.mp4"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"half\n"
        running.kill()
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("sound", "source_suffix"), [("opus", ".mkv"), ("opus", ".webm"), ("flac", ".mkv"), ("aac", ".mkv")]
)
def test_video_times_do_not_move_for_the_priming_of_sound(sound: str, source_suffix: str, tmp_path: Path) -> None:
    codec = "libvpx" if source_suffix == ".webm" else "libx264"
    options = {"deadline": "realtime", "cpu-used": "8"} if source_suffix == ".webm" else {"preset": "ultrafast"}
    clip = Clip(frames=30, width=160, height=96, codec=codec, options=options)
    path = clip.but(sounds=(Sound(codec="libopus" if sound == "opus" else sound),)).write(
        tmp_path / f"in{source_suffix}"
    )
    source = FileSource(path)
    target = tmp_path / "out.mkv"
    list(FileSink(source, target)(iter(source)))
    assert times_of(target) == times_of(path)
    assert abs(sound_of(target)[0] - sound_of(path)[0]) < Fraction(1, 200)
