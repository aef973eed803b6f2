"""Settings: one meaning as flag and in TOML, ranges checked, unknown keys met with the nearest known one."""

from __future__ import annotations

import argparse
import dataclasses
import re
import subprocess
import sys
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from engine import select
from pipeline import detectors
from pipeline.errors import ConfigError
from pipeline.find.detect import Detect
from pipeline.rules import Number, Switch, Whole
from pipeline.settings import config, flags, values
from pipeline.video import codecs

if TYPE_CHECKING:
    from pathlib import Path

SAMPLES: dict[str, tuple[str, str, object]] = {
    "start": ("1:02.5", '"1:02.5"', Fraction(125, 2)),
    "end": ("0:01:40", "00:01:40", Fraction(100)),
    "frames": ("5", "5", 5),
    "largest-picture": ("300", "300", 300),
    "hardware-decoder": ("cuda", '"cuda"', "cuda"),
    "codec": ("ffv1", '"ffv1"', "ffv1"),
    "quality": ("21", "21", 21),
    "picture-quality": ("90", "90", 90),
    "preset": ("slow", '"slow"', "slow"),
    "hardware-encoder": ("nvenc", '"nvenc"', "nvenc"),
    "other-streams": ("leave-out", '"leave-out"', "leave-out"),
    "overwrite": ("", "true", True),
    "skip-existing": ("", "true", True),
    "compare": ("side", '"side"', "side"),
    "overlay": ("", "true", True),
    "matte": ("out.mkv", '"out.mkv"', "out.mkv"),
    "mark": ("", "true", True),
    "c2pa": ("", "true", True),
    "certificate": ("me.pem", '"me.pem"', "me.pem"),
    "certificate-key": ("key.pem", '"key.pem"', "key.pem"),
    "detector": ("retinaface", '"retinaface"', "retinaface"),
    "detect-every": ("7", "7", 7),
    "redraw-every": ("1", "1", 1),
    "expression": ("neutral", '"neutral"', "neutral"),
    "smile": ("-1.5", "-1.5", -1.5),
    "mouth-open": ("2", "2", 2.0),
    "detect-size": ("320", "320", 320),
    "detect-threshold": ("0.35", "0.35", Fraction(7, 20)),
    "only": ("ann.jpg", '["ann.jpg"]', ("ann.jpg",)),
    "except": ("bob.png", '["bob.png"]', ("bob.png",)),
    "face": ("me.face", '["me.face"]', ("me.face",)),
    "only-enrolled": ("", "true", True),
    "identity": ("", "true", True),
    "recogniser": ("arcface", '"arcface"', "arcface"),
    "recogniser-file": ("net.onnx", '"net.onnx"', "net.onnx"),
    "engine": ("identity", '"identity"', "identity"),
    "device": ("cuda:1", '"cuda:1"', "cuda:1"),
    "precision": ("bf16", '"bf16"', "bf16"),
    "threads": ("2", "2", 2),
    "camera": ("/dev/video2", '"/dev/video2"', "/dev/video2"),
    "camera-format": ("mjpeg", '"mjpeg"', "mjpeg"),
    "input": ("rtsp://door/1", '"rtsp://door/1"', "rtsp://door/1"),
    "realtime": ("", "true", True),
    "microphone": ("default", '"default"', "default"),
    "size": ("640x480", '"640x480"', (640, 480)),
    "fps": ("25", "25", 25),
    "delay": ("200", "200", 200),
    "oldest-ms": ("500", "500", 500),
    "on-error": ("blank", '"blank"', "blank"),
    "rest": ("", "true", True),
    "in-flight": ("3", "3", 3),
    "host": ("0.0.0.0", '"0.0.0.0"', "0.0.0.0"),  # noqa: S104 - what a user may ask for
    "port": ("9000", "9000", 9000),
    "token": ("", "true", True),
    "open": ("", "true", True),
    "face-folder": ("faces", '"faces"', "faces"),
    "upload-megabytes": ("20", "20", 20),
    "upload-minutes": ("5", "5", 5),
    "chunk-seconds": ("30", "30", 30.0),
    "fresh": ("", "true", True),
    "cluster": ("auto", '"auto"', "auto"),
    "shared": ("", "true", True),
    "stats": ("", "true", True),
    "report": ("-", '"-"', "-"),
    "faces": ("f.jsonl", '"f.jsonl"', "f.jsonl"),
    "progress": ("json", '"json"', "json"),
}
"""Key to a flag's text, the same in TOML, and the value that both mean."""


def parsed(*arguments: str) -> dict[str, object]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    flags.add_flags(parser, lambda _: True)
    flags.add_stage_flag(parser)
    return flags.given(parser.parse_args(arguments))


def from_toml(folder: Path, text: str) -> dict[str, object]:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return values.read(path)


def value_of(settings: config.Config, key: str) -> object:
    (setting,) = (found for found in values.settings() if found.key == key)
    return getattr(getattr(settings, setting.group), setting.field)


def test_every_setting_has_a_sample_here() -> None:
    assert [setting.key for setting in values.settings()] == list(SAMPLES)


@pytest.mark.parametrize("key", SAMPLES)
def test_a_flag_and_a_toml_line_mean_the_same(key: str, tmp_path: Path) -> None:
    text, toml, value = SAMPLES[key]
    by_flag = parsed(f"--{key}", *([text] if text else []))
    by_file = from_toml(tmp_path, f"{key} = {toml}\n")
    assert by_flag == by_file == {key: value}
    assert value_of(values.build(by_flag), key) == value


def test_a_flag_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    by_file = from_toml(tmp_path, 'codec = "hevc"\nmark = true\n')
    built = values.build(by_file, parsed("--codec", "av1", "--no-mark"))
    assert (built.output.codec, built.output.mark) == ("av1", False)
    assert values.build(by_file).output.codec == "hevc"
    assert values.build() == config.Config()


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        values.build().output.codec = "av1"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "nearest"),
    [("codek", "codec"), ("detect_every", "detect-every"), ("Quality", "quality"), ("over-write", "overwrite")],
)
def test_an_unknown_key_is_met_with_the_nearest(given: str, nearest: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"unknown key '{given}'; did you mean '{nearest}'"):
        from_toml(tmp_path, f"{given} = 1\n")
    with pytest.raises(ConfigError, match=f"did you mean '{nearest}'"):
        values.build({given: 1})


def test_a_key_like_none_that_is_known_gets_the_list(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'zzz'; there are: start, end, "):
        from_toml(tmp_path, "zzz = 1\n")


def test_a_table_that_is_no_stage_is_told_what_tables_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[video\] is no table of settings: there are \[detect\], .*top level"):
        from_toml(tmp_path, "[video]\ncodec = 'av1'\n")


@pytest.mark.parametrize("name", list(config.stage_settings()))
def test_a_stage_gets_what_its_table_and_its_flag_say(name: str, tmp_path: Path) -> None:
    setting = config.stage_settings()[name]
    rule = setting.rule
    assert isinstance(rule, Number | Whole) and rule.high is not None
    value = (rule.low + rule.high) // 2 if isinstance(rule, Whole) else (rule.low + rule.high) / 2
    by_file = from_toml(tmp_path, f"[{setting.group}]\n{setting.key} = {value}\n")
    by_flag = parsed("--set", f"{name}={value}")
    assert by_file == by_flag == {name: value}
    assert values.build(by_flag).of_stage(setting.group) == {setting.field: value}
    assert values.as_json(values.build(by_flag))[name] == value


def test_defaults_of_the_stages_are_allowed_by_their_own_rules() -> None:
    for setting in config.stage_settings().values():
        assert setting.rule.from_toml(setting.key, setting.default) == setting.default
        assert setting.meaning


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("blend.fether-px=3", "did you mean 'blend.feather-px'"),
        ("blend.feather-px=-1", "blend.feather-px can't be '-1': allowed is a number from 0 to"),
        ("blend.feather-px", "write STAGE.KEY=VALUE"),
        ("codec=av1", "write STAGE.KEY=VALUE"),
    ],
)
def test_a_flag_that_sets_nothing_says_what_it_takes(text: str, says: str) -> None:
    with pytest.raises(argparse.ArgumentError, match=says):
        parsed("--set", text)


def test_help_does_not_wait_for_the_stages() -> None:
    script = "import sys, pipeline.settings.flags; print({'cv2', 'av', 'numpy'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("quality = 64", "quality can't be 64: allowed is a whole number from 0 to 63"),
        ("quality = -1", "quality can't be -1"),
        ('quality = "20"', "quality can't be '20'"),
        ("quality = true", "quality can't be true"),
        ("mark = 1", "mark can't be 1: allowed is true or false"),
        ("detect-every = 0", "detect-every can't be 0: allowed is a whole number from 1 to 120"),
        ("detect-threshold = 1.5", "detect-threshold can't be 1.5: allowed is a number from 0 to 1"),
        ('codec = "h266"', "codec can't be 'h266': allowed is one of auto, h264, .*did you mean"),
        ('device = "moon"', "device can't be 'moon': allowed is auto, cpu, gpu, cuda"),
        ('start = "1:75"', "start can't be '1:75': allowed is seconds such as"),
        ("start = -1", "start can't be -1"),
        ("start = inf", "start can't be Infinity"),
        ('report = ""', "report can't be ''"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_allowed(line: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        from_toml(tmp_path, line)
    assert "settings.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", Fraction(0)),
        ("90", Fraction(90)),
        ("0.1", Fraction(1, 10)),
        ("1:02", Fraction(62)),
        ("75:00", Fraction(4500)),
        ("1:02:03.000000001", 3723 + Fraction(1, 10**9)),
    ],
)
def test_times_are_exact(text: str, seconds: Fraction) -> None:
    assert parsed("--start", text) == {"start": seconds}


@pytest.mark.parametrize("text", ["", "-1", "1:", ":5", "1:60", "1:2:3:4", "1e3", "nan", "1,5", "1:02:3 "])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentError, match="start can't be"):
        parsed(f"--start={text}")


def test_toml_numbers_are_read_exactly(tmp_path: Path) -> None:
    assert from_toml(tmp_path, "start = 0.1\nend = 5\n") == {"start": Fraction(1, 10), "end": Fraction(5)}


def test_an_end_before_the_start_is_refused() -> None:
    with pytest.raises(ConfigError, match="end 2 s is not after start 3 s"):
        values.build({"start": Fraction(3), "end": Fraction(2)})


def test_a_file_that_is_absent_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent.toml can't be read: No such file"):
        values.read(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match=r"settings.toml is not TOML"):
        from_toml(tmp_path, "codec = \n")


def test_what_config_lists_is_what_there_is() -> None:
    words = {setting.key: getattr(setting.rule, "words", ()) for setting in values.settings()}
    assert words["engine"] == ("auto", *select.names())
    assert words["detector"] == detectors.names()
    assert max(kind.worst for kind in codecs.KINDS.values()) == 63


@pytest.mark.parametrize("name", codecs.OTHER_NAMES)
def test_a_codec_has_other_names(name: str, tmp_path: Path) -> None:
    by_flag = parsed("--codec", name.upper())
    assert by_flag == from_toml(tmp_path, f"codec = {name!r}") == {"codec": codecs.OTHER_NAMES[name]}
    assert by_flag["codec"] in tuple(codecs.Codec)


def test_the_help_says_the_quality_that_is_taken_where_none_is_asked_for() -> None:
    (quality,) = (setting for setting in values.settings() if setting.key == "quality")
    for codec, kind in codecs.KINDS.items():
        assert kind.quality is None or re.search(rf"{kind.quality} for [a-z0-9 ]*{codec}", quality.meaning)


def test_defaults_are_those_of_the_parts() -> None:
    assert config.FacesConfig().detect_every == Detect(lambda _frame: ()).every
    assert config.FacesConfig().detector == detectors.DEFAULT
    assert config.EngineConfig().engine == select.AUTO


def test_every_flag_has_help_and_every_switch_can_be_taken_back() -> None:
    parser = argparse.ArgumentParser()
    flags.add_flags(parser, lambda _: True)
    shown = parser.format_help()
    for setting in values.settings():
        assert f"--{setting.key}" in shown
        assert setting.meaning
        assert not isinstance(setting.rule, Switch) or f"--no-{setting.key}" in shown


def test_files_are_given_one_after_the_other() -> None:
    assert parsed("--only", "ann.jpg", "--only", "bob.jpg") == {"only": ("ann.jpg", "bob.jpg")}


def test_an_empty_file_name_and_a_list_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="allowed is a list of file names"):
        from_toml(tmp_path, 'only = "ann.jpg"')
    with pytest.raises(argparse.ArgumentError, match="the name of a file"):
        parsed("--only", "")


def test_naming_somebody_asks_for_identity() -> None:
    assert not values.build().identity.wanted
    assert values.build({"only": ("ann.jpg",)}).identity.wanted
    assert values.build({"except": ("ann.jpg",)}).identity.wanted
    assert values.build({"identity": True}).identity.wanted


def test_a_microphone_and_a_mouth_at_rest_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match="a microphone moves the mouth, and expression neutral keeps it still"):
        values.build({"microphone": "default", "expression": "neutral"})
