"""The truths of the job on whole files: what comes out is what went in, at the same times, with all beside it."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from pipeline.errors import DecodeError, SinkError, SourceError
from pipeline.picture.planes import arrays
from pipeline.video.codecs import Codec, OtherStreams
from pipeline.video.decode import FileSource
from pipeline.video.encode import FileSink
from tests.pipeline.clips import (
    SAMPLE_RATE,
    Clip,
    Sound,
    cut,
    flip_bits,
    images_of,
    number_in,
    picture,
    size_change,
    sound_of,
    times_of,
    variable_rate,
)

if TYPE_CHECKING:
    from pathlib import Path

BEEPING = Clip(frames=45, sounds=(Sound(),))
FAST_START = {"movflags": "faststart"}
HDR10 = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"


def through(source: Path, target: Path, **settings: Any) -> tuple[FileSource, FileSink]:
    """The file decoded and encoded again, as the pipeline does it."""
    trim = {key: settings.pop(key) for key in ("start", "end") if key in settings}
    reading = FileSource(source, **trim)
    sink = FileSink(reading, target, preset=settings.pop("preset", None), **settings)
    sink.check()
    for _ in sink(iter(reading)):
        pass
    return reading, sink


def stream_of(path: Path) -> dict[str, Any]:
    """Size, shape and colour of a file's video as a player sees it."""
    with av.open(str(path)) as opened:
        stream = opened.streams.video[0]
        frame = next(opened.decode(stream))
        return {
            "size": (frame.width, frame.height),
            "format": frame.format.name,
            "rotation": frame.rotation,
            "aspect": stream.sample_aspect_ratio,
            "colour": (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc),
            "side_data": {data.type.name: bytes(data) for data in frame.side_data},
        }


def first_flash_and_beep(path: Path, *, near: float = 1.0) -> tuple[float, float]:
    """Seconds at which the picture turns white, and at which the sound of 1 kHz sets in, nearest to `near`."""
    images, times = images_of(path), [float(time) for time in times_of(path)]
    bright = np.array([image[image.shape[0] // 2 :].mean() for image in images]) > 180
    starts = [times[i] for i in range(1, len(times)) if bright[i] and not bright[i - 1]]
    flash = min(starts, key=lambda time: abs(time - near))
    begin, sound = sound_of(path)
    # Cross-correlation of the loudness with a beep's; a peak is where a beep begins.
    length = SAMPLE_RATE // 10
    total = np.cumsum(np.concatenate([[0.0], np.abs(sound), np.zeros(length)]))
    match = total[length:] - total[:-length]
    loud = [np.argmax(match[at : at + SAMPLE_RATE // 2]) + at for at in range(0, len(match), SAMPLE_RATE // 2)]
    onsets = [float(begin) + at / SAMPLE_RATE for at in loud if match[at] > 0.8 * match.max()]
    return flash, min(onsets, key=lambda time: abs(time - near))


@pytest.mark.parametrize(
    "clip",
    [
        pytest.param(BEEPING, id="constant rate"),
        pytest.param(BEEPING.but(times=variable_rate(3), time_base=Fraction(1, 90000)), id="variable rate"),
        pytest.param(BEEPING.but(rate=Fraction(30000, 1001)), id="30000/1001"),
        pytest.param(BEEPING.but(rate=Fraction(24)), id="24"),
        pytest.param(BEEPING.but(rate=Fraction(60000, 1001)), id="60000/1001"),
    ],
)
def test_output_keeps_every_time_exactly(clip: Clip, tmp_path: Path) -> None:
    source = clip.write(tmp_path / "in.mp4")
    reading, sink = through(source, tmp_path / "out.mp4")
    assert times_of(tmp_path / "out.mp4") == times_of(source)
    assert reading.outcome.complete
    assert reading.outcome.frames == sink.outcome.frames == len(clip.moments)


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_output_times_are_right_to_half_a_tick_in_other_containers(suffix: str, tmp_path: Path) -> None:
    source = BEEPING.but(times=variable_rate(3), time_base=Fraction(1, 90000)).write(tmp_path / "in.mp4")
    target = tmp_path / f"out{suffix}"
    through(source, target)
    with av.open(str(target)) as opened:
        half_tick = opened.streams.video[0].time_base / 2
    assert all(abs(a - b) <= half_tick for a, b in zip(times_of(target), times_of(source), strict=True))


@pytest.mark.parametrize(
    ("source_suffix", "target_suffix"), [(".mp4", ".mp4"), (".mp4", ".mkv"), (".ts", ".mp4"), (".mkv", ".mp4")]
)
def test_flash_and_beep_stay_together(source_suffix: str, target_suffix: str, tmp_path: Path) -> None:
    source = BEEPING.but(frames=60).write(tmp_path / f"in{source_suffix}")
    target = tmp_path / f"out{target_suffix}"
    through(source, target)
    flash, beep = first_flash_and_beep(target)
    before = first_flash_and_beep(source)
    assert abs((flash - beep) - (before[0] - before[1])) < 0.003
    assert abs(flash - beep) < 1 / 30


def test_transport_stream_starts_at_zero_in_other_containers(tmp_path: Path) -> None:
    source = BEEPING.write(tmp_path / "in.ts")
    reading, _ = through(source, tmp_path / "out.mp4")
    assert times_of(tmp_path / "out.mp4") == [time - reading.info.origin for time in times_of(source)]


@pytest.mark.parametrize(("rotation", "flipped"), [(90, False), (180, False), (270, False), (90, True), (0, True)])
def test_rotated_clips_come_out_upright(rotation: int, flipped: bool, tmp_path: Path) -> None:
    lying = Clip(frames=4, width=256, height=192, codec="ffv1", options={}, pixel_format="yuv444p")
    source = lying.but(codec="libx264", options={"qp": "0", "preset": "ultrafast"}, rotation=rotation, flipped=flipped)
    source.write(tmp_path / "in.mp4")
    through(tmp_path / "in.mp4", tmp_path / "out.mkv", codec=Codec.FFV1)
    found = stream_of(tmp_path / "out.mkv")
    stored = images_of(tmp_path / "in.mp4")
    # set_display_rotation turns counter-clockwise, then mirrors.
    expected = [np.rot90(image, rotation // 90) for image in stored]
    expected = [image[:, ::-1] if flipped else image for image in expected]
    assert found["rotation"] == 0
    assert found["size"] == (expected[0].shape[1], expected[0].shape[0])
    assert all(np.array_equal(a, b) for a, b in zip(images_of(tmp_path / "out.mkv"), expected, strict=True))


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv420p10le", "nv12", "yuv444p", "gray"])
def test_turning_moves_samples_and_changes_none(pixel_format: str, tmp_path: Path) -> None:
    source = Clip(frames=1, width=64, height=48, pixel_format=pixel_format, rotation=270).write(tmp_path / "in.mp4")
    frame = next(iter(FileSource(source)))
    with av.open(str(source)) as opened:
        stored = next(opened.decode(video=0))
    assert (frame.width, frame.height) == (48, 64)
    for upright, lying in zip(arrays(frame.planes), arrays(stored), strict=True):
        turned = np.rot90(lying, -1)
        repeat = [a // b for a, b in zip(upright.shape[:2], turned.shape[:2], strict=True)]
        assert np.array_equal(upright, np.repeat(np.repeat(turned, repeat[0], axis=0), repeat[1], axis=1))


def test_pixel_aspect_is_kept_and_turned(tmp_path: Path) -> None:
    wide = Clip(frames=3, aspect=Fraction(16, 11))
    through(wide.write(tmp_path / "wide.mp4"), tmp_path / "wide_out.mp4")
    through(wide.but(rotation=90).write(tmp_path / "tall.mp4"), tmp_path / "tall_out.mp4")
    assert stream_of(tmp_path / "wide_out.mp4")["aspect"] == Fraction(16, 11)
    assert stream_of(tmp_path / "tall_out.mp4")["aspect"] == Fraction(11, 16)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC, Codec.VP9, Codec.AV1, Codec.FFV1])
def test_odd_sizes_are_kept(codec: Codec, tmp_path: Path) -> None:
    source = Clip(frames=5, width=213, height=119, codec="ffv1", options={}).write(tmp_path / "in.mkv")
    through(source, tmp_path / "out.mkv", codec=codec)
    assert stream_of(tmp_path / "out.mkv")["size"] == (213, 119)
    pairs = zip(images_of(source), images_of(tmp_path / "out.mkv"), strict=True)
    assert all(np.abs(a.astype(int) - b).mean() < 4 for a, b in pairs)


def test_854x480_is_not_padded(tmp_path: Path) -> None:
    through(Clip(frames=3, width=854, height=480).write(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    assert stream_of(tmp_path / "out.mp4")["size"] == (854, 480)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC, Codec.VP9, Codec.AV1, Codec.FFV1])
def test_ten_bits_stay_ten_bits(codec: Codec, tmp_path: Path) -> None:
    source = Clip(frames=5, pixel_format="yuv420p10le", width=192, height=128).write(tmp_path / "in.mp4")
    _, sink = through(source, tmp_path / "out.mkv", codec=codec)
    if codec is Codec.VP9 and "yuv420p10le" not in encoder_formats_of("libvpx-vp9"):
        assert any("8" in warning or "yuv420p" in warning for warning in sink.outcome.warnings)
        return
    assert stream_of(tmp_path / "out.mkv")["format"] == "yuv420p10le"


def encoder_formats_of(name: str) -> list[str]:
    return [pixels.name for pixels in av.Codec(name, "w").video_formats or ()]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC, Codec.AV1])
def test_hdr10_keeps_bits_tags_and_mastering_values(codec: Codec, tmp_path: Path) -> None:
    source = Clip(
        frames=5,
        codec="libx265",
        pixel_format="yuv420p10le",
        colour=(9, 1, 9, 16),
        options={"preset": "ultrafast", "x265-params": f"log-level=error:{HDR10}"},
    ).write(tmp_path / "in.mp4")
    reading, _ = through(source, tmp_path / "out.mp4", codec=codec)
    before, after = stream_of(source), stream_of(tmp_path / "out.mp4")
    assert reading.info.colour.hdr
    assert after["format"] == "yuv420p10le"
    assert after["colour"] == (9, 1, 9, 16)
    for name in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"):
        assert_same_hdr(before["side_data"][name], after["side_data"][name])


def assert_same_hdr(before: bytes, after: bytes) -> None:
    """The same rationals, to what a codec's fixed point can hold."""
    a, b = np.frombuffer(before, np.int32), np.frombuffer(after, np.int32)
    if len(a) == 2:
        assert np.array_equal(a, b)
        return
    assert np.allclose(a[0:20:2] / a[1:20:2], b[0:20:2] / b[1:20:2], rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("colour", [(1, 1, 1, 1), (6, 1, 6, 6), (5, 2, 5, 6), (9, 1, 9, 18)])
@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC, Codec.VP9])
def test_colour_tags_and_values_are_kept(colour: tuple[int, int, int, int], codec: Codec, tmp_path: Path) -> None:
    source = Clip(frames=2, colour=colour, width=128, height=96).write(tmp_path / "in.mp4")
    through(source, tmp_path / "out.mkv", codec=codec, quality=2)
    assert stream_of(tmp_path / "out.mkv")["colour"] == colour
    # The numbers themselves, not only their tags: no hidden conversion of matrix or range.
    with av.open(str(source)) as a, av.open(str(tmp_path / "out.mkv")) as b:
        before, after = (arrays(next(container.decode(video=0))) for container in (a, b))
    assert all(np.abs(x.astype(int) - y).mean() < 2 for x, y in zip(before, after, strict=True))


def test_interlaced_video_is_deinterlaced_frame_for_frame(tmp_path: Path) -> None:
    source = Clip(frames=30, interlaced=True).write(tmp_path / "in.mp4")
    with av.open(str(source)) as opened:
        assert next(opened.decode(video=0)).interlaced_frame
    reading, _ = through(source, tmp_path / "out.mp4")
    assert times_of(tmp_path / "out.mp4") == times_of(source)
    assert any("interlaced" in warning for warning in reading.outcome.warnings)

    def combing(image: np.ndarray) -> float:
        rows = image.astype(float).mean(axis=2)
        return float(np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2).mean())

    assert combing(images_of(tmp_path / "out.mp4")[10]) < 0.6 * combing(images_of(source)[10])


def test_size_change_is_scaled_to_the_first_size(tmp_path: Path) -> None:
    source = size_change(tmp_path / "in.ts", first=15, then=15, small=(160, 120))
    reading, sink = through(source, tmp_path / "out.mp4")
    assert sink.outcome.frames == 30
    assert any("160x120" in warning for warning in reading.outcome.warnings)
    images = images_of(tmp_path / "out.mp4")
    assert {image.shape for image in images} == {(240, 320, 3)}
    assert number_in(images[14]) == 14


def test_lossless_codec_gives_identical_frames(tmp_path: Path) -> None:
    for pixel_format in ("yuv420p", "yuvj420p", "yuv422p10le", "yuv444p"):
        source = Clip(frames=6, pixel_format=pixel_format, sounds=(Sound(),)).write(tmp_path / f"{pixel_format}.mp4")
        through(source, tmp_path / "out.mkv", codec=Codec.FFV1, overwrite=True)
        with av.open(str(source)) as a, av.open(str(tmp_path / "out.mkv")) as b:
            for before, after in zip(a.decode(video=0), b.decode(video=0), strict=True):
                pairs = zip(arrays(before), arrays(after), strict=True)
                assert all(np.array_equal(x, y) for x, y in pairs), pixel_format


# Damage -----------------------------------------------------------------------------------------------------------


def test_cut_off_mp4_is_written_and_reported(tmp_path: Path) -> None:
    whole = BEEPING.but(muxer_options=FAST_START).write(tmp_path / "whole.mp4")
    source = cut(whole, tmp_path / "in.mp4", share=0.6)
    reading, _ = through(source, tmp_path / "out.mp4")
    assert not reading.outcome.complete
    assert any("cut off" in problem and "of 45 pictures" in problem for problem in reading.outcome.problems)
    written = times_of(tmp_path / "out.mp4")
    assert len(written) == reading.outcome.frames > 10
    assert written == times_of(whole)[: len(written)]


@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
def test_other_cut_off_files_are_reported(suffix: str, tmp_path: Path) -> None:
    source = cut(BEEPING.write(tmp_path / f"whole{suffix}"), tmp_path / f"in{suffix}", share=0.6)
    reading, sink = through(source, tmp_path / "out.mp4")
    assert not reading.outcome.complete
    assert any("cut off" in problem for problem in reading.outcome.problems)
    assert len(times_of(tmp_path / "out.mp4")) == sink.outcome.frames > 10


def test_cut_off_fragmented_mp4_is_reported(tmp_path: Path) -> None:
    fragmented = BEEPING.but(
        muxer_options={"movflags": "frag_keyframe+empty_moov"}, options={"g": "10", "preset": "ultrafast"}
    )
    source = cut(fragmented.write(tmp_path / "whole.mp4"), tmp_path / "in.mp4", share=0.6)
    reading, _ = through(source, tmp_path / "out.mp4")
    assert not reading.outcome.complete


def test_mp4_without_index_is_refused_with_the_reason(tmp_path: Path) -> None:
    source = cut(BEEPING.write(tmp_path / "whole.mp4"), tmp_path / "in.mp4", share=0.6)
    with pytest.raises(SourceError, match="moov"):
        through(source, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("suffix", [".ts", ".mp4", ".mkv"])
@pytest.mark.parametrize("target", [".mp4", ".mkv", ".ts"])
def test_bit_errors_are_survived_and_reported(suffix: str, target: str, tmp_path: Path) -> None:
    whole = BEEPING.but(muxer_options=FAST_START if suffix == ".mp4" else {}).write(tmp_path / f"whole{suffix}")
    source = flip_bits(whole, tmp_path / f"in{suffix}", count=25)
    reading, _ = through(source, tmp_path / f"out{target}")
    assert not reading.outcome.complete
    assert reading.outcome.bad_packets > 0
    written = times_of(tmp_path / f"out{target}")
    assert len(written) == reading.outcome.frames > 20
    assert all(b > a for a, b in pairwise(written))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".mov"])
def test_healthy_files_are_complete(suffix: str, tmp_path: Path) -> None:
    source = BEEPING.but(times=[*variable_rate(2), Fraction(9, 2)], time_base=Fraction(1, 90000))
    reading, _ = through(source.write(tmp_path / f"in{suffix}"), tmp_path / "out.mp4")
    assert reading.outcome.complete, reading.outcome


# Everything beside the video --------------------------------------------------------------------------------------

RICH = Clip(
    frames=90,
    sounds=(Sound(title="Main"), Sound(hertz=500, language="deu", title="Kommentar")),
    subtitles=((Fraction(1, 2), Fraction(3, 2), "Bonjour"), (Fraction(2), Fraction(5, 2), "Fin")),
    chapters=((Fraction(0), Fraction(1), "One"), (Fraction(1), Fraction(3), "Two")),
    metadata={"title": "A clip", "comment": "mine", "artist": "me"},
    video_metadata={"language": "ita"},
)


def inventory(path: Path) -> dict[str, Any]:
    """Streams, chapters and tags of a file."""
    with av.open(str(path)) as opened:
        streams = [
            (stream.type, stream.codec_context.name, stream.language, int(stream.disposition))
            for stream in opened.streams
            if stream.type in ("audio", "subtitle")
        ]
        titles = [stream.metadata.get("title", stream.metadata.get("name")) for stream in opened.streams.audio]
        chapters = [
            (
                chapter["start"] * chapter["time_base"],
                chapter["end"] * chapter["time_base"],
                chapter["metadata"]["title"],
            )
            for chapter in opened.chapters()
        ]
        tags = {key.lower(): value for key, value in opened.metadata.items()}
        return {"streams": streams, "titles": titles, "chapters": chapters, "tags": tags}


def payloads(path: Path, kind: str) -> list[list[tuple[Fraction, bytes]]]:
    """Time and bytes of every packet of each stream of a kind."""
    with av.open(str(path)) as opened:
        found: dict[int, list[tuple[Fraction, bytes]]] = {s.index: [] for s in opened.streams if s.type == kind}
        for packet in opened.demux():
            if packet.size and packet.stream.index in found:
                found[packet.stream.index].append((packet.pts * packet.time_base, bytes(packet)))
        return list(found.values())


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_every_other_stream_is_copied(suffix: str, tmp_path: Path) -> None:
    source, target = RICH.write(tmp_path / f"in{suffix}"), tmp_path / f"out{suffix}"
    _, sink = through(source, target)
    before, after = inventory(source), inventory(target)
    assert after["streams"] == before["streams"]
    assert after["titles"] == before["titles"] == ["Main", "Kommentar"]
    assert after["chapters"] == before["chapters"]
    assert payloads(target, "audio") == payloads(source, "audio")
    assert payloads(target, "subtitle") == payloads(source, "subtitle")
    assert after["tags"]["title"] == "A clip"
    assert after["tags"]["artist"] == "me"
    assert sink.outcome.warnings == []


def test_metadata_says_synthetic_and_keeps_the_own_comment(tmp_path: Path) -> None:
    source = RICH.write(tmp_path / "in.mkv")
    through(source, tmp_path / "out.mkv")
    through(source, tmp_path / "again.mkv")
    through(tmp_path / "out.mkv", tmp_path / "again.mkv", overwrite=True)
    for name in ("out.mkv", "again.mkv"):
        tags = inventory(tmp_path / name)["tags"]
        assert tags["comment"].startswith("mine\n")
        assert tags["comment"].count("generated by barefaced") == 1
        assert "invented" in tags["synthetic_content"]


def test_tags_of_phones_are_kept(tmp_path: Path) -> None:
    clip = Clip(
        frames=3, metadata={"com.apple.quicktime.make": "Maker"}, muxer_options={"movflags": "use_metadata_tags"}
    )
    source = clip.write(tmp_path / "in.mov")
    through(source, tmp_path / "out.mov")
    tags = inventory(tmp_path / "out.mov")["tags"]
    assert tags["com.apple.quicktime.make"] == "Maker"
    assert "invented" in tags["comment"]


def test_attachments_are_copied(tmp_path: Path) -> None:
    font = bytes(range(256)) * 8
    source = Clip(frames=3, attachment=("face.ttf", "font/ttf", font)).write(tmp_path / "in.mkv")
    through(source, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as opened:
        attachments = [stream for stream in opened.streams if stream.type == "attachment"]
        assert [(kept.name, kept.mimetype, kept.data) for kept in attachments] == [("face.ttf", "font/ttf", font)]


# Start and end ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("target", [".mp4", ".mkv"])
def test_start_and_end_cut_picture_and_sound_alike(suffix: str, target: str, tmp_path: Path) -> None:
    source = BEEPING.but(frames=120, width=192, height=96).write(tmp_path / f"in{suffix}")
    out = tmp_path / f"out{target}"
    reading, _ = through(source, out, start=Fraction(3, 2), end=Fraction(7, 2))
    whole = [time - reading.info.origin for time in times_of(source)]
    numbers = [i for i, time in enumerate(whole) if Fraction(3, 2) <= time < Fraction(7, 2)]
    assert [number_in(image) for image in images_of(out)] == numbers
    times = times_of(out)
    assert times[0] == 0
    assert all(
        abs(a - (whole[n] - whole[numbers[0]])) <= Fraction(1, 2000) for a, n in zip(times, numbers, strict=True)
    )
    assert reading.outcome.complete
    flash, beep = first_flash_and_beep(out, near=0.5)
    assert abs(flash - beep) < 1 / 30
    begin, sound = sound_of(out)
    assert begin < Fraction(1, 40)
    assert float(begin) + len(sound) / SAMPLE_RATE < 2 + 0.05


def test_trimmed_frames_are_those_of_a_whole_pass(tmp_path: Path) -> None:
    source = Clip(frames=90, options={"preset": "medium", "g": "25", "bf": "3"}).write(tmp_path / "in.mp4")
    whole = {frame.time: arrays(frame.planes)[0].copy() for frame in FileSource(source)}
    part = {
        frame.time: arrays(frame.planes)[0].copy()
        for frame in FileSource(source, start=Fraction(9, 5), end=Fraction(5, 2))
    }
    assert sorted(part) == [time for time in whole if Fraction(9, 5) <= time < Fraction(5, 2)]
    assert all(np.array_equal(part[time], whole[time]) for time in part)


def test_subtitles_and_chapters_are_cut_with_the_video(tmp_path: Path) -> None:
    source = RICH.write(tmp_path / "in.mkv")
    through(source, tmp_path / "out.mkv", start=Fraction(1), end=Fraction(9, 4))
    found = inventory(tmp_path / "out.mkv")
    assert [(float(a), float(b), title) for a, b, title in found["chapters"]] == [(0.0, 1.25, "Two")]
    lines = payloads(tmp_path / "out.mkv", "subtitle")[0]
    assert [(float(time), text) for time, text in lines] == [(0.0, b"Bonjour"), (1.0, b"Fin")]


# How long pictures are shown --------------------------------------------------------------------------------------

STILL = [Fraction(i, 25) for i in range(10)] + [Fraction(12, 5) + Fraction(i, 25) for i in range(10)]
"""No picture between 0.36 s and 2.4 s."""


def lasting(clip: Clip, path: Path, seconds: Fraction) -> Path:
    """The clip, its last picture shown for `seconds`."""
    moments = clip.moments
    with av.open(str(path), "w") as output:
        stream = clip.add_video(output)
        packets = list(clip.video_packets(stream))
        last = max(packet.pts for packet in packets)
        until = {packet.pts: packet for packet in packets}
        for packet in packets:
            later = [pts for pts in until if pts > packet.pts]
            shown = min(later) - packet.pts if later else round(seconds / packet.time_base)
            packet.duration = shown
            output.mux(packet)
        assert last == round(moments[-1] / packets[0].time_base)
    return path


def length_of(path: Path) -> Fraction:
    """How long a file says that it is."""
    with av.open(str(path)) as opened:
        return Fraction(opened.duration or 0, 1_000_000)


LASTING = {
    "in.mp4": Clip(times=[Fraction(i, 25) for i in range(25)], time_base=Fraction(1, 12800), options={"bf": "0"}),
    "in.mkv": Clip(times=[*variable_rate(2)], time_base=Fraction(1, 1000)),
    "in.gif": Clip(
        times=[Fraction(i, 5) for i in range(8)],
        time_base=Fraction(1, 100),
        codec="gif",
        pixel_format="rgb8",
        options={},
    ),
}


@pytest.mark.parametrize("name", LASTING)
@pytest.mark.parametrize("target", [".mp4", ".mkv", ".mov", ".webm"])
def test_the_last_picture_is_shown_as_long_as_in_the_input(name: str, target: str, tmp_path: Path) -> None:
    source = lasting(LASTING[name], tmp_path / name, Fraction(2))
    reading, _ = through(source, tmp_path / f"out{target}")
    expected = LASTING[name].moments[-1] + 2
    assert reading.outcome.complete, reading.outcome
    assert abs(length_of(tmp_path / f"out{target}") - expected) <= Fraction(1, 500)


@pytest.mark.parametrize("target", [".mp4", ".mkv"])
def test_the_last_picture_is_shown_as_long_again_after_a_second_pass(target: str, tmp_path: Path) -> None:
    source = lasting(LASTING["in.mp4"], tmp_path / "in.mp4", Fraction(2))
    through(source, tmp_path / f"out{target}")
    through(tmp_path / f"out{target}", tmp_path / f"again{target}")
    assert abs(length_of(tmp_path / f"again{target}") - Fraction(74, 25)) <= Fraction(1, 500)


def test_a_transport_stream_says_that_it_stores_no_durations(tmp_path: Path) -> None:
    source = lasting(LASTING["in.mp4"], tmp_path / "in.mp4", Fraction(2))
    _, sink = through(source, tmp_path / "out.ts")
    assert any("stores no durations" in warning for warning in sink.outcome.warnings)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("target", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (Fraction(29, 10), [(0, 9)] + [(Fraction(7, 5) + Fraction(i, 25), 10 + i) for i in range(10)]),
        (Fraction(2), [(0, 9)]),
    ],
)
def test_a_cut_begins_with_the_picture_that_stands(
    suffix: str, target: str, end: Fraction, expected: list[tuple[Fraction, int]], tmp_path: Path
) -> None:
    source = Clip(times=STILL, time_base=Fraction(1, 90000)).write(tmp_path / f"in{suffix}")
    out = tmp_path / f"out{target}"
    reading, _ = through(source, out, start=Fraction(1), end=end)
    found = list(zip(times_of(out), map(number_in, images_of(out)), strict=True))
    assert [number for _, number in found] == [number for _, number in expected]
    assert all(abs(a - b) <= Fraction(1, 500) for (a, _), (b, _) in zip(found, expected, strict=True))
    assert length_of(out) == pytest.approx(min(Fraction(9, 5), end - 1), abs=0.05)
    assert reading.outcome.complete


def test_a_cut_beside_a_picture_begins_with_it(tmp_path: Path) -> None:
    """A millisecond before a picture, the one before is not worth showing."""
    source = Clip(frames=90, rate=Fraction(30000, 1001)).write(tmp_path / "in.mp4")
    through(source, tmp_path / "out.mp4", start=Fraction(1), end=Fraction(2))
    assert [number_in(image) for image in images_of(tmp_path / "out.mp4")] == list(range(30, 60))


def test_a_cut_behind_the_last_picture_is_refused(tmp_path: Path) -> None:
    source = Clip(frames=30).write(tmp_path / "in.mp4")
    with pytest.raises(DecodeError, match="lasts"):
        through(source, tmp_path / "out.mp4", start=Fraction(5))


# Streams that nobody can hold, and several videos -----------------------------------------------------------------

UNKNOWN = {
    "in.mov": (Clip(frames=15, sounds=(Sound(), Sound(codec="pcm_s16le"))), b"sowt", b"apac", 2),
    "in.mkv": (Clip(frames=15, sounds=(Sound(), Sound(codec="mp2"))), b"A_MPEG/L2", b"A_XPEG/L9", 2),
    "subtitles.mkv": (Clip(frames=15, sounds=(Sound(),), subtitles=RICH.subtitles[:1]), b"UTF8", b"XYZ8", 2),
}
"""Clips, what names the codec of a stream in the file, what it is replaced by, and the stream's number."""


def with_unknown_codec(name: str, folder: Path) -> Path:
    """A file in which one stream beside a known one is in a codec that nobody knows."""
    clip, codec, unknown, _ = UNKNOWN[name]
    path = clip.write(folder / name)
    data = path.read_bytes()
    last = data.rindex(codec)
    path.write_bytes(data[:last] + unknown + data[last + len(codec) :])
    return path


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("target", [".mov", ".mp4", ".mkv"])
def test_a_stream_that_no_container_holds_is_left_out_and_missing(name: str, target: str, tmp_path: Path) -> None:
    source = with_unknown_codec(name, tmp_path)
    _, sink = through(source, tmp_path / f"out{target}")
    assert [f"stream {UNKNOWN[name][3]} " in problem for problem in sink.outcome.problems] == [True]
    with av.open(str(tmp_path / f"out{target}")) as opened:
        assert [stream.type for stream in opened.streams] == ["video", "audio"]
    before, after = (payloads(path, "audio")[0] for path in (source, tmp_path / f"out{target}"))
    kept = [data for _, data in after]
    assert kept == [data for _, data in before][-len(kept) :]


@pytest.mark.parametrize("name", UNKNOWN)
def test_it_stops_the_run_where_that_was_asked_for(name: str, tmp_path: Path) -> None:
    source = with_unknown_codec(name, tmp_path)
    with pytest.raises(SinkError, match=f"stream {UNKNOWN[name][3]}"):
        through(source, tmp_path / "out.mkv", other_streams=OtherStreams.REFUSE)


def test_what_another_container_holds_is_left_out_only_where_that_was_asked_for(tmp_path: Path) -> None:
    source = Clip(frames=15, sounds=(Sound(),)).write(tmp_path / "in.mp4")
    with pytest.raises(SinkError, match=r"write to \.mp4"):
        through(source, tmp_path / "out.webm")
    _, sink = through(source, tmp_path / "out.webm", other_streams=OtherStreams.LEAVE_OUT)
    assert any("stream 1 (audio, aac)" in problem for problem in sink.outcome.problems)


def two_videos(path: Path, *, default: int) -> Path:
    """Two videos in one file, the second's numbers 500 higher."""
    first = Clip(frames=12)
    second = first.but(draw=lambda number, width, height, flash: picture(number + 500, width, height, flash))
    with av.open(str(path), "w") as output:
        streams = [clip.add_video(output) for clip in (first, second)]
        streams[default].disposition = av.stream.Disposition.default
        packets = [list(clip.video_packets(stream)) for clip, stream in zip((first, second), streams, strict=True)]
        for pair in zip(*packets, strict=True):
            for packet in pair:
                output.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
@pytest.mark.parametrize("default", [0, 1])
def test_of_several_videos_the_default_one_is_processed_and_the_other_is_said(
    suffix: str, default: int, tmp_path: Path
) -> None:
    source = two_videos(tmp_path / f"in{suffix}", default=default)
    reading, sink = through(source, tmp_path / "out.mkv")
    with av.open(str(source)) as opened:
        marked = [stream.index for stream in opened.streams if stream.disposition & av.stream.Disposition.default]
    expected = default if marked == [default] else 0
    assert [number_in(frame.image) for frame in FileSource(source)] == [500 * expected + n for n in range(12)]
    assert reading.info.video_index == expected
    assert any(f"stream {1 - expected} is another video" in warning for warning in sink.outcome.warnings)
