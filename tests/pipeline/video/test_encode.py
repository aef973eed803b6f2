"""A video file as a sink: what is refused, and what is left behind when something goes wrong."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import ConfigError, SinkError
from pipeline.video.codecs import Codec
from pipeline.video.decode import FileSource
from pipeline.video.encode import FileSink
from tests.pipeline.clips import SAMPLE_RATE, Clip, Sound, sound_of, times_of

ROOT = Path(__file__).parents[3]


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
    with pytest.raises(SinkError, match=r"\.avi is no kind of video that is written here; use one of"):
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
from pipeline.video.decode import FileSource
from pipeline.video.encode import FileSink
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
        "import sys\nfrom pathlib import Path\nfrom pipeline.video.decode import FileSource\n"
        "from pipeline.video.encode import FileSink\nsource = FileSource(Path(sys.argv[1]))\n"
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


def test_names_that_look_like_addresses_are_files(
    beeping: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("12:30 café %03d.mp4").write_bytes(beeping.read_bytes())
    source = FileSource(Path("12:30 café %03d.mp4"))
    list(FileSink(source, Path("http:out.mp4"))(iter(source)))
    assert times_of(tmp_path / "http:out.mp4") == times_of(beeping)


def with_cover(source: Path, target: Path, cover: bytes) -> Path:
    """The file with a JPEG that players show beside it."""
    with av.open(str(source)) as opened, av.open(str(target), "w") as output:
        targets = {stream.index: output.add_stream_from_template(stream, opaque=True) for stream in opened.streams}
        picture = output.add_stream("mjpeg", rate=1, width=16, height=16)
        picture.pix_fmt = "yuvj420p"
        picture.disposition = av.stream.Disposition.attached_pic
        packet = av.Packet(cover)
        packet.stream, packet.time_base, packet.pts, packet.dts = picture, Fraction(1), 0, 0
        output.mux(packet)
        for packet in opened.demux():
            if packet.size:
                packet.stream = targets[packet.stream.index]
                output.mux(packet)
    return target


def test_cover_pictures_stay_covers(beeping: Path, tmp_path: Path) -> None:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 16, 16, "yuvj420p", Fraction(1)
    cover = b"".join(
        bytes(packet) for frame in (av.VideoFrame(16, 16, "yuvj420p"), None) for packet in encoder.encode(frame)
    )
    before = with_cover(beeping, tmp_path / "in.mp4", cover)
    for name in ("out.mp4", "out.mkv", "again.mkv", "again.mp4"):
        source = FileSource(before, end=Fraction(1, 3))
        list(FileSink(source, tmp_path / name)(iter(source)))
        with av.open(str(tmp_path / name)) as opened:
            (found,) = (
                stream for stream in opened.streams.video if stream.disposition & av.stream.Disposition.attached_pic
            )
            assert next(bytes(packet) for packet in opened.demux(found) if packet.size) == cover
            assert len(opened.streams.video) == 2
        before = tmp_path / name


def test_second_video_is_copied_as_it_is(beeping: Path, tmp_path: Path) -> None:
    with av.open(str(beeping)) as opened, av.open(str(tmp_path / "in.mp4"), "w") as output:
        first, second = (output.add_stream_from_template(opened.streams.video[0], opaque=True) for _ in range(2))
        for packet in opened.demux(video=0):
            if packet.size:
                twin = av.Packet(bytes(packet))
                twin.time_base, twin.pts, twin.dts = packet.time_base, packet.pts, packet.dts
                twin.duration, twin.is_keyframe = packet.duration, packet.is_keyframe
                for one, stream in ((packet, first), (twin, second)):
                    one.stream = stream
                    output.mux(one)
    source = FileSource(tmp_path / "in.mp4")
    list(FileSink(source, tmp_path / "out.mp4")(iter(source)))

    def packets_of_second(path: Path) -> list[tuple[Fraction, bytes]]:
        with av.open(str(path)) as opened:
            found = opened.demux(opened.streams.video[1])
            return [(packet.pts * packet.time_base, bytes(packet)) for packet in found if packet.size]

    assert packets_of_second(tmp_path / "out.mp4") == packets_of_second(tmp_path / "in.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_cut_far_into_a_long_file_has_its_sound(suffix: str, tmp_path: Path) -> None:
    clip = Clip(frames=215, rate=Fraction(5), width=192, height=32, sounds=(Sound(),))
    path = clip.write(tmp_path / f"in{suffix}")
    source = FileSource(path, start=Fraction(40), end=Fraction(42))
    list(FileSink(source, tmp_path / "out.mp4")(iter(source)))
    assert times_of(tmp_path / "out.mp4") == [Fraction(i, 5) for i in range(10)]
    start, sound = sound_of(tmp_path / "out.mp4")
    loud = np.abs(sound)[: SAMPLE_RATE * 3 // 2] > 0.1
    onsets = [float(start) + at / SAMPLE_RATE for at in np.flatnonzero(loud[1:] & ~loud[:-1])]
    assert min(onsets) < 0.05
    assert min(abs(onset - 1) for onset in onsets) < 0.05
