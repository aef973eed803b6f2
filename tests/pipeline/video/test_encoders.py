"""The encoder, its options and its pixel format are chosen so that nothing is lost that need not be."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
import pytest

from pipeline.errors import ConfigError, SinkError
from pipeline.picture.formats import closest, traits
from pipeline.video.codecs import KINDS, PRESETS, Codec
from pipeline.video.encoders import choose, encoder_formats, opens
from pipeline.video.info import Colour, ContentLight, MasteringDisplay, SourceInfo
from pipeline.video.probe import probe
from tests.pipeline.clips import Clip


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> SourceInfo:
    return probe(Clip(frames=2).write(tmp_path_factory.mktemp("clip") / "in.mp4"))


def chosen(info: SourceInfo, codec: Codec, *, quality: int | None = None, preset: str | None = None):  # noqa: ANN201
    return choose(info, codec, quality=quality, preset=preset, hardware=None)


@pytest.mark.parametrize(
    ("wanted", "codec", "expected"),
    [
        ("yuv420p", Codec.H264, "yuv420p"),
        ("yuvj420p", Codec.H264, "yuvj420p"),
        ("yuvj420p", Codec.VP9, "yuv420p"),
        ("yuv440p", Codec.H264, "yuv444p"),
        ("yuv420p12le", Codec.H264, "yuv420p10le"),
        ("yuv422p10le", Codec.AV1, "yuv420p10le"),
        ("p010le", Codec.H264, "yuv420p10le"),
        ("nv12", Codec.HEVC, "yuv420p"),
        ("gray", Codec.VP9, "yuv420p"),
        ("gray16le", Codec.H264, "gray10le"),
        ("rgb24", Codec.H264, "yuv420p"),
        ("rgb24", Codec.FFV1, "bgr0"),
        ("rgba", Codec.FFV1, "bgra"),
        ("gbrp10le", Codec.H264, "yuv420p10le"),
    ],
)
def test_the_nearest_pixel_format_is_taken(wanted: str, codec: Codec, expected: str) -> None:
    assert closest(wanted, encoder_formats(KINDS[codec].software)) == expected


@pytest.mark.parametrize("codec", list(KINDS))
@pytest.mark.parametrize(
    "pixel_format", ["rgb24", "rgba", "gbrap", "yuva420p", "yuva444p10le", "ya8", "gray12le", "nv12"]
)
def test_the_chosen_format_opens(codec: Codec, pixel_format: str, info: SourceInfo) -> None:
    encoding = chosen(replace(info, pixel_format=pixel_format), codec)
    assert opens(encoding.encoder, encoding.pixel_format)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC, Codec.VP9, Codec.AV1])
@pytest.mark.parametrize("pixel_format", ["rgb24", "gbrp10le", "rgba"])
def test_lossy_codecs_get_what_players_show(codec: Codec, pixel_format: str, info: SourceInfo) -> None:
    encoding = chosen(replace(info, pixel_format=pixel_format), codec)
    assert encoding.pixel_format.startswith("yuv")
    assert (traits(encoding.pixel_format).coarse_x, traits(encoding.pixel_format).coarse_y) == (2, 2)


def test_ten_bits_in_h264_are_said(info: SourceInfo) -> None:
    deep = replace(info, pixel_format="yuv420p10le")
    assert any("few players" in warning for warning in chosen(deep, Codec.H264).warnings)
    assert chosen(deep, Codec.HEVC).warnings == ()


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC])
def test_odd_sizes_get_full_chroma_where_they_must(codec: Codec, info: SourceInfo) -> None:
    odd = replace(info, width=853, height=479)
    encoding = chosen(odd, codec)
    assert encoding.pixel_format == "yuv444p"
    assert any("853x479" in warning and "vp9" in warning for warning in encoding.warnings)
    assert chosen(odd, Codec.VP9).pixel_format == "yuv420p"


def test_lossy_conversion_is_said_and_lossless_is_not(info: SourceInfo) -> None:
    rgb = replace(info, pixel_format="rgb24", stored_format="rgb24")
    assert any("yuv420p" in warning for warning in chosen(rgb, Codec.H264).warnings)
    assert chosen(rgb, Codec.FFV1).warnings == ()


def test_rgb_that_becomes_yuv_is_tagged_as_what_it_becomes(info: SourceInfo) -> None:
    rgb = replace(info, pixel_format="rgb24", colour=Colour(0, 2, 1, 13))
    assert chosen(rgb, Codec.H264).colour == Colour(1, 1, 1, 13)
    assert chosen(rgb, Codec.FFV1).colour == Colour(0, 2, 1, 13)


def test_full_range_by_name_is_tagged(info: SourceInfo) -> None:
    full = replace(info, pixel_format="yuvj420p", colour=Colour(5, 2, 5, 6))
    assert chosen(full, Codec.VP9).colour.range == 2


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC, Codec.VP9, Codec.AV1])
def test_quality_reaches_the_encoder(codec: Codec, info: SourceInfo) -> None:
    assert chosen(info, codec, quality=31).options["crf"] == "31"
    assert chosen(info, codec).options["crf"] == str(KINDS[codec].quality)


def test_quality_out_of_range_names_the_range(info: SourceInfo) -> None:
    with pytest.raises(ConfigError, match=r"60.*0 \(best\) to 51"):
        chosen(info, Codec.H264, quality=60)
    assert chosen(info, Codec.VP9, quality=60).options["crf"] == "60"


def test_unknown_preset_lists_the_known(info: SourceInfo) -> None:
    with pytest.raises(ConfigError, match="ultrafast, superfast"):
        chosen(info, Codec.H264, preset="turbo")


def test_lossless_codec_has_neither_quality_nor_preset(info: SourceInfo) -> None:
    with pytest.raises(ConfigError, match="lossless"):
        chosen(info, Codec.FFV1, quality=3)
    with pytest.raises(ConfigError, match="lossless"):
        chosen(info, Codec.FFV1, preset="fast")


@pytest.mark.parametrize("codec", [Codec.VP9, Codec.AV1])
def test_slower_presets_are_slower_in_every_codec(codec: Codec, info: SourceInfo) -> None:
    key = {"vp9": "cpu-used", "av1": "preset"}[codec]
    efforts = [int(chosen(info, codec, preset=preset).options[key]) for preset in PRESETS]
    assert efforts == sorted(efforts, reverse=True)


def test_unknown_hardware_lists_the_known(info: SourceInfo) -> None:
    with pytest.raises(ConfigError, match="nvenc, qsv"):
        choose(info, Codec.H264, quality=None, preset=None, hardware="gpu")


def test_hardware_that_is_not_in_this_ffmpeg_is_an_error(info: SourceInfo) -> None:
    with pytest.raises(SinkError, match="no encoder ffv1_nvenc"):
        choose(info, Codec.FFV1, quality=None, preset=None, hardware="nvenc")


def test_hdr_values_are_written_as_each_encoder_reads_them(info: SourceInfo) -> None:
    display = MasteringDisplay(
        primaries=(
            (Fraction(34000, 50000), Fraction(16000, 50000)),
            (Fraction(13250, 50000), Fraction(34500, 50000)),
            (Fraction(7500, 50000), Fraction(3000, 50000)),
        ),
        white=(Fraction(15635, 50000), Fraction(16450, 50000)),
        luminance=(Fraction(1, 10000), Fraction(1000)),
    )
    hdr = replace(info, mastering_display=display, content_light=ContentLight(1000, 400))
    values = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    assert chosen(hdr, Codec.HEVC).options["x265-params"] == f"log-level=error:master-display={values}:max-cll=1000,400"
    assert chosen(hdr, Codec.H264).options["x264-params"] == f"mastering-display={values}:cll=1000,400"
    assert "content-light=1000,400" in chosen(hdr, Codec.AV1).options["svtav1-params"]
    assert any("mastering display" in warning for warning in chosen(hdr, Codec.VP9).warnings)


@pytest.mark.parametrize("hardware", ["nvenc", "qsv"])
@pytest.mark.parametrize("pixel_format", ["yuvj422p", "gray", "yuv420p12le", "gbrp10le"])
def test_hardware_encoders_get_a_format_of_theirs(hardware: str, pixel_format: str, info: SourceInfo) -> None:
    if f"h264_{hardware}" not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no h264_{hardware}")
    other = replace(info, pixel_format=pixel_format)
    encoding = choose(other, Codec.H264, quality=21, preset="fast", hardware=hardware)
    assert encoding.pixel_format in encoder_formats(f"h264_{hardware}")
    assert "21" in encoding.options.values()
