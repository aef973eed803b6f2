"""What lies beside the pictures of a video is kept, or left out and said."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import SinkError
from pipeline.picture.formats import NATIVE, traits
from pipeline.picture.planes import arrays
from pipeline.video.codecs import Codec, OtherStreams
from pipeline.video.decode import FileSource
from pipeline.video.encode import FileSink
from pipeline.video.labels import SOURCE_TYPE, claims
from pipeline.video.pieces import PieceSink
from pipeline.video.probe import has_captions, is_stereoscopic
from pipeline.video.structure import ebml_element, flaw
from pipeline.video.writer import transparent
from tests.pipeline.clips import Clip, Sound, number_in, picture, times_of
from tests.pipeline.heic import box
from tests.pipeline.video.test_torture import length_of, through

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIDE = 64
VPX = {"crf": "10", "b": "0", "auto-alt-ref": "0"}


def half_clear(number: int) -> np.ndarray:
    """(240, 320, 4) uint8: a picture whose right half can be seen through."""
    image = np.dstack([picture(number, 320, 240, flash=False), np.full((240, 320), 255, np.uint8)])
    image[:, 160:, 3] = 40
    return image


def film_with_alpha(path: Path, codec: str, pixel_format: str, *, frames: int = 8) -> Path:
    """A film whose right half can be seen through."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25, options=dict(VPX) if "vpx" in codec else {})
        stream.width, stream.height, stream.pix_fmt = 320, 240, pixel_format
        if "vpx" in codec:
            stream.metadata["alpha_mode"] = "1"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(half_clear(number), format="rgba").reformat(format=pixel_format)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


FILMS = {
    "in.webm": ("libvpx-vp9", "yuva420p"),
    "vp8.webm": ("libvpx", "yuva420p"),
    "in.mov": ("prores_ks", "yuva444p10le"),
    "qt.mov": ("qtrle", "argb"),
    "in.mkv": ("ffv1", "yuva420p"),
}


def alpha_of(path: Path) -> list[np.ndarray]:
    """The transparency of every frame as a source gives it, in [0, 1]."""
    found = []
    for frame in FileSource(path):
        kind, planes = traits(frame.planes.format.name), arrays(frame.planes)
        alpha = planes[3][:, :, 0] if len(planes) == 4 else planes[0][:, :, 3]
        found.append(alpha / ((1 << kind.depth) - 1))
    return found


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("target", ["out.webm", "out.mkv"])
def test_transparency_is_kept_where_the_output_has_it(name: str, target: str, tmp_path: Path) -> None:
    source = film_with_alpha(tmp_path / name, *FILMS[name])
    codec = Codec.AUTO if target == "out.webm" else Codec.FFV1
    _, sink = through(source, tmp_path / target, codec=codec)
    assert not any("transparency" in warning for warning in sink.outcome.warnings)
    before, after = alpha_of(source), alpha_of(tmp_path / target)
    assert len(after) == len(before) == 8
    for one, other in zip(before, after, strict=True):
        assert one[:, :140].mean() > 0.95 and one[:, 180:].mean() < 0.3
        assert np.abs(one - other).mean() < 0.02


@pytest.mark.parametrize("name", FILMS)
def test_transparency_that_is_lost_is_said(name: str, tmp_path: Path) -> None:
    source = film_with_alpha(tmp_path / name, *FILMS[name])
    _, sink = through(source, tmp_path / "out.mp4")
    assert sum("transparency is left out" in warning for warning in sink.outcome.warnings) == 1


def test_an_opaque_film_with_room_for_transparency_loses_none(tmp_path: Path) -> None:
    clip = Clip(frames=5, codec="ffv1", pixel_format="bgra", options={})
    _, sink = through(clip.write(tmp_path / "in.mkv"), tmp_path / "out.mp4")
    assert not any("transparency" in warning for warning in sink.outcome.warnings)


@pytest.mark.parametrize("name", sorted(name for name in NATIVE if traits(name).alpha))
def test_a_single_clear_sample_is_found_in_every_format(name: str) -> None:
    frame = av.VideoFrame(SIDE, SIDE, name)
    planes = arrays(frame)
    for plane in planes:
        plane[...] = (1 << traits(name).depth) - 1
    assert not transparent(frame)
    (planes[3] if len(planes) == 4 else planes[0])[5, 7, 3 if len(planes) == 1 else 0] = 3
    assert transparent(frame)


@pytest.mark.parametrize("kind", ["webp", "png", "gif", "avif"])
@pytest.mark.parametrize("target", ["out.webm", "out.mp4"])
def test_animations_are_films(kind: str, target: str, tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(number, 320, 240, flash=False)) for number in range(6)]
    options = {"lossless": True} if kind == "webp" else {}
    path = tmp_path / f"in.{kind}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 100, 300, 100, 100, 2000], **options)
    reading, _ = through(path, tmp_path / target)
    assert reading.outcome.complete, reading.outcome
    assert [number_in(frame.image) for frame in FileSource(path)] == list(range(6))
    assert [round(float(time), 2) for time in times_of(tmp_path / target)] == [0, 0.1, 0.2, 0.5, 0.6, 0.7]
    assert float(length_of(tmp_path / target)) == pytest.approx(2.7, abs=0.01)


SHOWN_MS = [100, 100, 300, 40, 100, 2000]


def animation(path: Path, **options: object) -> Path:
    """Six pictures, half transparent, each shown for so long."""
    frames = [Image.fromarray(half_clear(number)) for number in range(6)]
    lossless = {"lossless": True, "exact": True} if path.suffix == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=SHOWN_MS, **lossless, **options)
    return path


@pytest.mark.parametrize("source", ["in.webp", "in.png", "in.gif"])
@pytest.mark.parametrize("target", ["out.webp", "out.png", "out.apng"])
def test_an_animation_comes_out_as_one(source: str, target: str, tmp_path: Path) -> None:
    path = animation(tmp_path / source, loop=3)
    reading, sink = through(path, tmp_path / target)
    assert reading.outcome.complete
    assert not any("transparency" in line for line in sink.outcome.warnings)
    with Image.open(path) as before, Image.open(tmp_path / target) as after:
        assert after.n_frames == 6
        assert after.info["loop"] == 3
        for number, shown in enumerate(SHOWN_MS):
            before.seek(number)
            after.seek(number)
            one, other = np.asarray(before.convert("RGBA")), np.asarray(after.convert("RGBA"))
            visible = one[:, :, 3] > 0
            assert np.array_equal(one[visible], other[visible])
            assert np.array_equal(one[:, :, 3], other[:, :, 3])
            assert after.info["duration"] == pytest.approx(shown, abs=0.1)
    assert any("trained algorithmic" in claim for claim in claims(tmp_path / target))
    assert [number_in(frame.image) for frame in FileSource(tmp_path / target)] == list(range(6))
    assert flaw(tmp_path / target, "apng" if "png" in target else "webp") is None


@pytest.mark.parametrize("target", ["out.webp", "out.png"])
def test_a_film_becomes_an_animation_that_runs_on(target: str, tmp_path: Path) -> None:
    clip = Clip(frames=4, times=[Fraction(0), Fraction(1, 30), Fraction(1, 2), Fraction(3, 5)])
    reading, _ = through(clip.write(tmp_path / "in.mp4"), tmp_path / target)
    assert reading.outcome.complete
    with Image.open(tmp_path / target) as written:
        assert (written.n_frames, written.info["loop"]) == (4, 0)
    assert [round(float(time), 2) for time in times_of_source(tmp_path / target)] == [0, 0.03, 0.5, 0.6]


def times_of_source(path: Path) -> list[Fraction]:
    """The times of the frames that a source gives."""
    return [frame.time for frame in FileSource(path)]


@pytest.mark.parametrize("target", ["out.webp", "out.png"])
def test_an_animation_of_one_picture_is_one(target: str, tmp_path: Path) -> None:
    through(Clip(frames=1).write(tmp_path / "in.mp4"), tmp_path / target)
    with Image.open(tmp_path / target) as written:
        assert getattr(written, "n_frames", 1) == 1
        assert SOURCE_TYPE.encode() in written.info["xmp"]
        assert number_in(np.asarray(written.convert("RGB"))) == 0


@pytest.mark.parametrize("target", ["out.webp", "out.png"])
def test_sound_is_not_lost_to_an_animation_without_a_word(target: str, tmp_path: Path) -> None:
    source = Clip(frames=4, sounds=(Sound(),)).write(tmp_path / "in.mp4")
    with pytest.raises(SinkError, match=r"can't hold stream 1 \(audio.*write to \.mp4"):
        through(source, tmp_path / target)
    _, sink = through(source, tmp_path / target, other_streams=OtherStreams.LEAVE_OUT)
    assert any("audio" in line for line in sink.outcome.problems)


def test_a_part_of_an_animation_can_be_taken(tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(number, 320, 240, flash=False)) for number in range(6)]
    frames[0].save(tmp_path / "in.webp", save_all=True, append_images=frames[1:], duration=100, lossless=True)
    source = FileSource(tmp_path / "in.webp", start=Fraction(1, 5), end=Fraction(1, 2))
    assert [number_in(frame.image) for frame in source] == [2, 3, 4]


def test_a_damaged_animation_is_an_error(tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(number, 320, 240, flash=False)) for number in range(6)]
    frames[0].save(tmp_path / "in.webp", save_all=True, append_images=frames[1:], duration=100)
    data = (tmp_path / "in.webp").read_bytes()
    (tmp_path / "in.webp").write_bytes(data[: len(data) * 2 // 3])
    source = FileSource(tmp_path / "in.webp")
    try:
        count = len(list(source))
    except OSError as error:
        assert "in.webp" in str(error)
    else:
        assert count < 6
        assert not source.outcome.complete


def captioned(path: Path, **changes: object) -> Path:
    """An H.264 film with closed captions in every picture."""
    clip = Clip(frames=10, options={"preset": "ultrafast", "x264-params": "aud=1"}).but(**changes)
    words = b"\xb5\x00\x31GA94\x03\x41\xff\xfc\x94\x20\xff"
    unit = b"\x00\x00\x00\x01\x06\x04" + bytes([len(words)]) + words + b"\x80"
    with av.open(str(path), "w") as output:
        stream = clip.add_video(output)
        for packet in clip.video_packets(stream):
            data = bytes(packet)
            behind_delimiter = data.index(b"\x00\x00", 4) if data[4] & 31 == 9 else 0
            marked = av.Packet(data[:behind_delimiter] + unit + data[behind_delimiter:])
            marked.stream, marked.pts, marked.dts, marked.time_base = stream, packet.pts, packet.dts, packet.time_base
            marked.is_keyframe = packet.is_keyframe
            output.mux(marked)
    return path


def captions_in(path: Path) -> int:
    """How many pictures carry captions."""
    with av.open(str(path)) as opened:
        return sum(has_captions(frame) for frame in opened.decode(video=0))


@pytest.mark.parametrize(
    ("target", "codec", "kept"),
    [
        ("out.mp4", Codec.H264, True),
        ("out.ts", Codec.H264, True),
        ("out.mp4", Codec.HEVC, False),
        ("out.webm", Codec.VP9, False),
        ("out.mkv", Codec.FFV1, False),
    ],
)
def test_captions_in_the_pictures_are_kept_or_said(target: str, codec: Codec, kept: bool, tmp_path: Path) -> None:
    source = captioned(tmp_path / "in.ts")
    assert captions_in(source) == 10
    _, sink = through(source, tmp_path / target, codec=codec)
    said = any("closed captions" in warning for warning in sink.outcome.warnings)
    written = captions_in(tmp_path / target)
    assert said == (written == 0)
    assert (written == 10) == kept


def test_captions_in_turned_pictures_are_said(tmp_path: Path) -> None:
    with av.open(str(captioned(tmp_path / "in.ts"))) as source, av.open(str(tmp_path / "in.mp4"), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(90)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    _, sink = through(tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert any("closed captions" in warning for warning in sink.outcome.warnings)


def with_box(path: Path, added: bytes, entry: bytes) -> Path:
    """An MP4 or MOV with its index at the end, with a box more in the description of its video."""
    data = path.read_bytes()
    at = 0
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", entry):
        at = data.index(name, at + 4) - 4
        length = int.from_bytes(data[at : at + 4], "big")
        data = data[:at] + (length + len(added)).to_bytes(4, "big") + data[at + 4 :]
    end = at + length
    path.write_bytes(data[:end] + added + data[end:])
    return path


def with_elements(path: Path, added: bytes) -> Path:
    """A live Matroska file, whose length is nowhere said, with elements more in the description of its video."""
    data = path.read_bytes()
    tracks_at = data.index(TRACKS, data.index(b"Lavf"))
    track_at = child(data, tracks_at, 0xAE)
    video_at = child(data, track_at, 0xE0)
    stored = len(data)
    for at in (video_at, track_at, tracks_at):
        name = data[at : at + (4 if at == tracks_at else 1)]
        _, inside, length = ebml_element(data, at)
        end = inside + (length or 0) + len(data) - stored
        data = data[:at] + element(name, data[inside:end] + (added if at == video_at else b"")) + data[end:]
    path.write_bytes(data)
    return path


def child(data: bytes, parent_at: int, wanted: int) -> int:
    """Where the first child of that id begins."""
    _, at, _ = ebml_element(data, parent_at)
    while (found := ebml_element(data, at))[0] != wanted:
        at = found[1] + (found[2] or 0)
    return at


def element(name: bytes, payload: bytes) -> bytes:
    """An EBML element whose length takes eight bytes."""
    return name + (len(payload) | 1 << 56).to_bytes(8, "big") + payload


TRACKS = b"\x16\x54\xae\x6b"
SPHERICAL = box(
    b"sv3d",
    box(b"svhd", b"barefaced\x00", version=0)
    + box(b"proj", box(b"prhd", bytes(12), version=0) + box(b"equi", bytes(16), version=0)),
)
STEREOSCOPIC = box(b"st3d", b"\x01", version=0)
LIVE = Clip(frames=5, muxer_options={"live": "1"})


def spherical_mp4(folder: Path) -> Path:
    """The second version of Google's boxes, put behind the sample entry."""
    return with_box(Clip(frames=5).write(folder / "in.mp4"), SPHERICAL, b"avc1")


def spherical_stereoscopic_mov(folder: Path) -> Path:
    return with_box(Clip(frames=5).write(folder / "in.mov"), STEREOSCOPIC + SPHERICAL, b"avc1")


def spherical_mkv(folder: Path) -> Path:
    return with_elements(LIVE.write(folder / "in.mkv"), element(b"\x76\x70", b"\x76\x71\x81\x01"))


@pytest.mark.parametrize("make", [spherical_mp4, spherical_stereoscopic_mov, spherical_mkv])
@pytest.mark.parametrize("target", ["out.mp4", "out.mkv", "out.webm"])
def test_marks_of_a_360_degree_film_are_gone_and_said(
    make: Callable[[Path], Path], target: str, tmp_path: Path
) -> None:
    _, sink = through(make(tmp_path), tmp_path / target)
    assert sum("360-degree" in line for line in sink.outcome.warnings) == 1
    assert "SPHERICAL" not in marks_in(tmp_path / target)


@pytest.mark.parametrize("make", [spherical_mp4, spherical_stereoscopic_mov, spherical_mkv])
@pytest.mark.parametrize(("target", "codec"), [("out.mp4", "h264"), ("out.mkv", "ffv1"), ("out.mp4", "hevc")])
def test_marks_of_a_stereoscopic_film_are_kept_or_said(
    make: Callable[[Path], Path], target: str, codec: str, tmp_path: Path
) -> None:
    _, sink = through(make(tmp_path), tmp_path / target, codec=Codec(codec))
    was = make is spherical_stereoscopic_mov
    with av.open(str(tmp_path / target)) as written:
        kept = is_stereoscopic(next(written.decode(video=0)))
    assert kept == (was and codec == "h264")
    assert any("stereoscopic" in line for line in sink.outcome.warnings) == (was and not kept)


def marks_in(path: Path) -> set[str]:
    """What the first picture carries beside its samples, by FFmpeg's names."""
    with av.open(str(path)) as written:
        return {side.type.name for side in next(written.decode(video=0)).side_data}


def clean_aperture(width: int, height: int, right: int, down: int) -> bytes:
    """MP4's box for the part of a picture that is shown, its middle so many pixels off."""
    return box(b"clap", struct.pack(">8i", width, 1, height, 1, right, 1, down, 1))


CROPS = {
    "in.mp4": lambda path: with_box(Clip(frames=5).write(path), clean_aperture(288, 208, 0, 8), b"avc1"),
    "in.mov": lambda path: with_box(
        Clip(frames=5, codec="mjpeg", pixel_format="yuvj420p", options={}).write(path),
        clean_aperture(288, 208, 0, 8),
        b"jpeg",
    ),
    "in.mkv": lambda path: with_elements(
        LIVE.write(path), b"\x54\xaa\x81\x08\x54\xbb\x81\x18\x54\xcc\x81\x10\x54\xdd\x81\x10"
    ),
    "in.webm": lambda path: with_elements(
        LIVE.but(codec="libvpx", options={"deadline": "realtime", "b": "2M"}).write(path),
        b"\x54\xaa\x81\x09\x54\xbb\x81\x18\x54\xcc\x81\x10\x54\xdd\x81\x11",  # odd: a chroma sample stays whole
    ),
}
"""Films of 320x240 of which 24 rows above, 8 below and 16 columns on either side are not shown."""


@pytest.mark.parametrize("name", CROPS)
def test_what_a_container_crops_is_not_shown_and_said(name: str, tmp_path: Path) -> None:
    path = CROPS[name](tmp_path / name)
    with av.open(str(path)) as stored:
        whole = [arrays(frame)[0].copy() for frame in stored.decode(video=0)]
    reading, _ = through(path, tmp_path / "out.mkv", codec=Codec.FFV1)
    assert sum("288x208 of the stored 320x240" in line for line in reading.outcome.warnings) == 1
    with av.open(str(tmp_path / "out.mkv")) as written:
        shown = [arrays(frame)[0].copy() for frame in written.decode(video=0)]
    assert len(shown) == len(whole) == 5
    for before, after in zip(whole, shown, strict=True):
        assert np.array_equal(before[24:-8, 16:-16], after)


def test_a_film_that_is_turned_is_cropped_as_it_is_stored(tmp_path: Path) -> None:
    path = with_box(Clip(frames=3, rotation=90).write(tmp_path / "in.mp4"), clean_aperture(288, 208, 0, 8), b"avc1")
    source = FileSource(path)
    assert (
        {(frame.width, frame.height) for frame in source} == {(source.info.width, source.info.height)} == {(208, 288)}
    )


@pytest.mark.parametrize("make", [lambda folder: captioned(folder / "in.ts"), spherical_stereoscopic_mov])
def test_losses_are_said_of_pieces_too(make: Callable[[Path], Path], tmp_path: Path) -> None:
    reading = FileSource(make(tmp_path))
    for codec, lost in ((Codec.HEVC, True), (Codec.H264, False)):
        sink = PieceSink(FileSink(reading, tmp_path / "out.mp4", codec=codec))
        list(sink(iter(reading)))
        assert sink.piece is not None
        assert any("left out" in line for line in sink.piece.warnings) == lost


def test_lost_transparency_is_said_of_pieces_too(tmp_path: Path) -> None:
    reading = FileSource(film_with_alpha(tmp_path / "in.mov", *FILMS["in.mov"]))
    sink = PieceSink(FileSink(reading, tmp_path / "out.mp4"))
    list(sink(iter(reading)))
    assert sink.piece is not None
    assert sum("transparency" in line for line in sink.piece.warnings) == 1
