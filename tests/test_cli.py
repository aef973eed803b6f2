"""The commands: what they say, what they leave, how they exit. The networks are stand-ins whose answers are known."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import platformdirs
import pytest
from PIL import Image

import cli
from benchmarks.clips import verify
from commands import parsing
from engine import models, select
from pipeline.demo.clip import draw_frames, write_clip
from pipeline.errors import CheckpointError
from pipeline.run import load, process, report
from pipeline.run.process import Interrupts
from pipeline.settings import flags, values
from tests.stand_ins import as_if_loaded, found_in_clip, stand_in_networks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from pipeline.frames import Detection, Frame
    from pipeline.run.load import Networks
    from pipeline.settings.config import Config

ROOT = Path(__file__).parent.parent
FRAMES = 24
COMMANDS = (
    "run", "live", "cameras", "serve", "demo", "doctor", "engines", "build", "bench", "mask", "verify", "check",
    "evaluate",
    "completion",
)  # fmt: skip
FAST = ("--preset", "ultrafast")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "talk.mp4"
    write_clip(path, width=320, height=240, frames=FRAMES)
    return path


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "networks", as_if_loaded)


@pytest.fixture(autouse=True)
def signals_are_put_back() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    yield
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def use_detector(monkeypatch: pytest.MonkeyPatch, detector: object) -> None:
    @contextlib.contextmanager
    def networks(_config: Config) -> Iterator[Networks]:
        yield stand_in_networks(detector)  # type: ignore[arg-type]

    monkeypatch.setattr(load, "networks", networks)


def only_file_in(report: str) -> dict[str, Any]:
    """What a report says of the one file that was processed."""
    (told,) = json.loads(report)["files"]
    return dict(told)


def frames_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


# --- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], *([command] for command in COMMANDS)])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    done = python(
        "import sys, contextlib, io, cli\n"
        "with contextlib.redirect_stdout(io.StringIO()) as said:\n"
        f"    try: cli.main([*{arguments!r}, '--help'])\n"
        "    except SystemExit as end: assert end.code == 0, end.code\n"
        "heavy = {'torch', 'cv2', 'av', 'numpy', 'openvino', 'onnxruntime', 'PIL', 'tqdm', 'asyncio'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert 'usage' in said.getvalue()"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [[], ["run"], ["demo"]])
def test_help_says_that_what_is_drawn_is_invented(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([*arguments, "--help"])
    assert "INVENTED" in capsys.readouterr().out


def test_every_command_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    assert all(re.search(rf"\n    {command}\s", shown) for command in COMMANDS)


# --- wrong usage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["remove"],
        ["run"],
        ["run", "a.mp4", "-o", "b.mp4", "--quality", "best"],
        ["run", "a.mp4", "-o", "b.mp4", "--codec", "divx"],
        ["run", "a.mp4", "-o", "b.mp4", "--start", "1:99"],
        ["run", "a.mp4", "-o", "b.mp4", "--over"],
        ["bench", "moon"],
        ["bench", "engines", "--precision", "f64"],
        ["demo", "--device", "moon"],
        ["build"],
        ["build", "--engine", "tensorrt_rtx", "--compute-capability", "86"],
        ["build", "--engine", "tensorrt_rtx", "--time-limit", "0"],
        ["live", "--on-error", "hope"],
        ["live", "--size", "640"],
        ["live", "--codec", "h264"],
        ["run", "a.mp4", "-o", "b.mp4", "--fps", "30"],
    ],
)
def test_wrong_usage_exits_with_2_and_points_to_the_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert "--help` shows what is allowed" in capsys.readouterr().err


# --- run: what it does ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("loaded")
def test_a_run_takes_the_mask_off_and_reports(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, report = tmp_path / "bare.mp4", tmp_path / "report.json"
    assert cli.main(["run", str(clip), "-o", str(target), "--report", str(report), *FAST]) == 0
    seen = verify(clip, target, "320x240", every=4)
    assert seen.frames == FRAMES
    told = only_file_in(report.read_text())
    assert told["frames_in"] == told["frames_out"] == FRAMES
    assert told["faces"] == told["masked_faces"] == told["frames_with_mask"] == FRAMES
    assert (told["bare_faces"], told["faces_left"], told["bad_packets"]) == (0, {}, 0)
    assert (told["complete"], told["interrupted"], told["error"]) == (True, False, None)
    assert told["engine"] == "stand-in"
    assert told["networks"] == {"detector": "0", "segmenter": "1", "generator": "2"}
    assert list(told["stages"]) == [
        "decode",
        "detect",
        "track",
        "align",
        "segment",
        "inpaint",
        "smooth",
        "blend",
        "encode",
    ]
    assert all({"busy", "starved", "blocked"} <= set(stage) for stage in told["stages"].values())
    assert told["wall_seconds"] > 0
    assert told["fps"] == pytest.approx(FRAMES / told["wall_seconds"], rel=0.05)
    said = capsys.readouterr()
    assert said.out == ""
    assert f"masks drawn over in {FRAMES} frames" in said.err
    assert said.err.count("invented") == 1


@pytest.mark.usefixtures("loaded")
def test_a_report_on_standard_output_is_all_that_is_there(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", str(clip), "-o", str(tmp_path / "b.mp4"), "--report", "-", "--stats", *FAST]) == 0
    said = capsys.readouterr()
    assert only_file_in(said.out)["frames_out"] == FRAMES
    assert "starved s" in said.err
    assert "blend" in said.err


@pytest.mark.usefixtures("loaded")
def test_quiet_says_nothing(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", str(clip), "-o", str(tmp_path / "b.mp4"), "-q", *FAST]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("loaded")
def test_a_part_is_cut_out_by_time(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "part.mp4"
    assert cli.main(["run", str(clip), "-o", str(target), "--start", "0.2", "--end", "0:00.5", *FAST]) == 0
    with av.open(str(target)) as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert times == [Fraction(index, 30) for index in range(9)]


@pytest.mark.usefixtures("loaded")
def test_settings_come_from_a_file_and_flags_win(clip: Path, tmp_path: Path) -> None:
    settings = tmp_path / "mine.toml"
    settings.write_text('codec = "ffv1"\nreport = "-"\nend = 0.2\n')
    target, report = tmp_path / "b.mkv", tmp_path / "r.json"
    assert cli.main(["run", str(clip), "-o", str(target), "--config", str(settings), "--report", str(report)]) == 0
    with av.open(str(target)) as container:
        assert container.streams.video[0].codec_context.name == "ffv1"
    assert only_file_in(report.read_text())["frames_out"] == 6


@pytest.mark.usefixtures("loaded")
def test_the_mark_is_drawn_when_asked_for(clip: Path, tmp_path: Path) -> None:
    plain, marked = tmp_path / "plain.mkv", tmp_path / "marked.mkv"
    part = ["--codec", "ffv1", "--end", "0.1"]
    assert cli.main(["run", str(clip), "-o", str(plain), *part]) == 0
    assert cli.main(["run", str(clip), "-o", str(marked), "--mark", *part]) == 0
    with av.open(str(plain)) as one, av.open(str(marked)) as other:
        without, with_mark = (next(opened.decode(video=0)).to_ndarray(format="rgb24") for opened in (one, other))
    assert (without != with_mark).any()


@pytest.mark.usefixtures("loaded")
def test_a_picture_goes_in_and_out(tmp_path: Path) -> None:
    source, target = tmp_path / "photo.png", tmp_path / "bare.png"
    (image,) = draw_frames(width=320, height=240, frames=1)
    Image.fromarray(image).save(source)
    assert cli.main(["run", str(source), "-o", str(target), "--report", f"{tmp_path}/r.json", "--codec", "av1"]) == 0
    told = only_file_in((tmp_path / "r.json").read_text())
    assert (told["frames_out"], told["masked_faces"], told["complete"]) == (1, 1, True)
    assert told["warnings"] == ["codec: without effect on a picture"]
    with Image.open(target) as bare:
        changed = (np.asarray(bare) != image).any(axis=2)
    assert 0.02 < changed.mean() < 0.5


@pytest.mark.usefixtures("loaded")
def test_several_inputs_go_into_a_directory_and_a_bad_one_stops_nobody(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, out = tmp_path / "bad.mp4", tmp_path / "out"
    bad.write_bytes(b"no video at all")
    (image,) = draw_frames(width=320, height=240, frames=1)
    Image.fromarray(image).save(tmp_path / "photo.png")
    report = tmp_path / "r.json"
    asked = ["run", str(bad), str(clip), f"{tmp_path}/*.png", "-o", str(out), "--report", str(report), *FAST]
    assert cli.main(asked) == 1
    assert sorted(path.name for path in out.iterdir()) == ["photo.png", "talk.mp4"]
    told = json.loads(report.read_text())
    assert told["complete"] is False
    assert [file["output"] is None for file in told["files"]] == [True, False, False]
    assert "bad.mp4" in told["files"][0]["error"]
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("barefaced: ")]
    assert [line for line in errors if not line.startswith("barefaced: note: ")] == [errors[0], errors[-1]]
    assert errors[-1] == "barefaced: 3 files: 1 failed, 2 done"


# --- run: batches -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("loaded")
def test_a_batch_says_a_line_for_every_file_as_it_ends(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.mp4").write_bytes(clip.read_bytes())
    asked = ["run", str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4"), "-o", f"{tmp_path}/out", "--frames", "2", *FAST]
    assert cli.main(asked) == 0
    first, second, total, invented = capsys.readouterr().err.splitlines()
    assert first.startswith(f"1 of 2: {tmp_path}/out/a.mp4: 2 frames at ")
    assert second.startswith("2 of 2: ")
    assert total == "barefaced: 2 files: 2 done"
    assert "invented" in invented


@pytest.mark.usefixtures("loaded")
def test_a_batch_goes_on_where_it_ended_before(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.mp4").write_bytes(b"done before")
    asked = ["run", f"{tmp_path}/*.mp4", "-o", f"{tmp_path}/out", "--frames", "2", "--report", f"{tmp_path}/r.json"]
    assert cli.main([*asked, "--skip-existing", *FAST]) == 0
    assert (tmp_path / "out" / "a.mp4").read_bytes() == b"done before"
    assert [file["state"] for file in json.loads((tmp_path / "r.json").read_text())["files"]] == ["skipped", "done"]
    assert "1 skipped, 1 done" in capsys.readouterr().err
    assert cli.main([*asked, "--skip-existing", "-y"]) == 1
    assert "contradict each other" in capsys.readouterr().err


@pytest.mark.usefixtures("loaded")
def test_the_report_grows_while_files_end(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.mp4").write_bytes(clip.read_bytes())
    seen: list[list[str]] = []
    write = report.write_json

    def written(value: Any, path: str) -> None:
        seen.append([file["state"] for file in value["files"]])
        write(value, path)

    monkeypatch.setattr(report, "write_json", written)
    asked = ["run", f"{tmp_path}/*.mp4", "-o", f"{tmp_path}/out", "--frames", "1", "--report", f"{tmp_path}/r.json"]
    assert cli.main([*asked, "-q", *FAST]) == 0
    assert seen == [["not begun", "not begun"], ["done", "not begun"], ["done", "done"], ["done", "done"]]


@pytest.mark.usefixtures("loaded")
def test_faces_are_written_line_by_line(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "faces.jsonl"
    assert cli.main(["run", str(clip), "-o", f"{tmp_path}/b.mp4", "--frames", "3", "--faces", str(path), *FAST]) == 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2]
    assert [line["time"] for line in lines] == pytest.approx([0, 1 / 30, 2 / 30], abs=1e-6)
    assert [line["cut"] for line in lines] == [True, False, False]
    (face,) = lines[1]["faces"]
    assert face["done"] in ("drawn", "held")
    left, top, right, bottom = face["box"]
    assert all(left < x < right and top < y < bottom for x, y in face["landmarks"])


@pytest.mark.usefixtures("loaded")
def test_the_faces_of_several_inputs_lie_as_their_outputs_do(clip: Path, tmp_path: Path) -> None:
    for folder in ("in", "in/more"):
        (tmp_path / folder).mkdir()
        shutil.copy(clip, tmp_path / folder / "talk.mp4")
    faces = tmp_path / "found" / "faces"
    asked = ["run", f"{tmp_path}/in", "-r", "-o", f"{tmp_path}/out", "--frames", "2", "--faces", str(faces), "-q"]
    assert cli.main([*asked, *FAST]) == 0
    written = sorted(path.relative_to(faces) for path in faces.rglob("*") if path.is_file())
    assert written == [Path("more/talk.mp4.jsonl"), Path("talk.mp4.jsonl")]
    assert all(len((faces / path).read_text().splitlines()) == 2 for path in written)


@pytest.mark.usefixtures("loaded")
def test_a_quick_look_is_so_many_frames_from_the_start_that_was_asked_for(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "look.mp4"
    assert cli.main(["run", str(clip), "-o", str(target), "--start", "0.2", "--frames", "5", "-q", *FAST]) == 0
    assert frames_in(target) == 5


# --- run: what stands in the place of a file --------------------------------------------------------------------------


@pytest.mark.usefixtures("loaded")
def test_a_file_in_the_place_of_a_command_is_run(clip: Path, tmp_path: Path) -> None:
    source = tmp_path / "talk.mp4"
    source.write_bytes(clip.read_bytes())
    assert cli.main([str(source), "--frames", "2", "-q", *FAST]) == 0
    assert frames_in(tmp_path / "talk-barefaced.mp4") == 2
    assert cli.main(["-q", "--frames", "1", str(source), "-y", *FAST]) == 0
    assert frames_in(tmp_path / "talk-barefaced.mp4") == 1


def test_a_pipe_leads_in_and_out(clip: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "import cli; from pipeline.run import load; from tests.stand_ins import as_if_loaded\n"
        "load.networks = as_if_loaded\n"
        "sys.exit(cli.main(['-', '--frames', '2', '--preset', 'ultrafast']))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, input=clip.read_bytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    with av.open(io.BytesIO(done.stdout)) as container:
        assert "matroska" in container.format.name
        assert sum(1 for _ in container.decode(video=0)) == 2
    assert b"-: 2 frames" in done.stderr


def run_apart(*arguments: str | bytes, closed: str) -> subprocess.CompletedProcess[bytes]:
    """A run in a process of its own whose standard output is closed, at once or by whoever reads it."""
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "import cli; from pipeline.run import load; from tests.stand_ins import as_if_loaded\n"
        "load.networks = as_if_loaded\n"
        "sys.exit(cli.main())"
    )
    lead = {"at once": 'exec "$@" >&-', "by the reader": 'set -o pipefail; "$@" | exec 0<&-'}[closed]
    command = ["bash", "-c", lead, "bash", sys.executable, "-c", code, *arguments, "--preset", "ultrafast"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False)


@pytest.mark.parametrize("arguments", [["-o", "b.mp4", "--report", "-"], ["-o", "-"]])
@pytest.mark.parametrize("closed", ["at once", "by the reader"])
def test_a_closed_standard_output_is_one_line_and_no_traceback(
    arguments: list[str], closed: str, clip: Path, tmp_path: Path
) -> None:
    given = [str(tmp_path / word) if word == "b.mp4" else word for word in arguments]
    done = run_apart("run", str(clip), *given, "--frames", "2", closed=closed)
    assert done.returncode == 1, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    if closed == "at once":
        assert b"closed: give the name of a file" in done.stderr
        assert not (tmp_path / "b.mp4").exists()


@pytest.mark.parametrize(
    "name", [b"caf\xe9.mp4", b"x" * 240 + b".mp4", b"x" * 251 + b".mp4", "\U0001f637.mp4".encode()]
)
def test_every_name_goes_in_and_out_and_into_the_report(name: bytes, clip: Path, tmp_path: Path) -> None:
    source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    source.write_bytes(clip.read_bytes())
    (tmp_path / "out").mkdir()
    asked = ["run", str(source), "-o", f"{tmp_path / 'out'}/", "--report", str(tmp_path / "r.json"), "--frames", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "networks", as_if_loaded)
        assert cli.main([*asked, *FAST]) == 0
    assert [os.fsencode(entry.name) for entry in (tmp_path / "out").iterdir()] == [name]
    assert only_file_in((tmp_path / "r.json").read_text())["frames_out"] == 2


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("flag", ["--report", "--faces"])
def test_what_can_not_be_written_is_said_before_the_work(
    flag: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.json").write_text("precious")
    assert cli.main(["run", str(clip), "-o", str(tmp_path / "b.mp4"), flag, str(tmp_path / "notes.json"), *FAST]) == 1
    assert "exists" in capsys.readouterr().err
    assert (tmp_path / "notes.json").read_text() == "precious"
    assert not (tmp_path / "b.mp4").exists()


def test_json_takes_no_file_away_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("precious")
    for command in (["engines"], ["bench", "compare", "a", "b"], ["evaluate", "generator", "--pairs", "p"]):
        assert cli.main([*command, "--json", str(tmp_path / "notes.txt")]) == 1
        assert "exists and is no JSON" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-", "-", "-o", "out/"], "standard input can be read once"),
        (["-", "--report", "-"], "can't both go to standard output"),
        (["a.mp4", "b.mp4", "-o", "-"], "only one input can go to standard output"),
    ],
)
def test_one_pipe_holds_one_thing(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert cli.main(["run", *arguments]) == 1
    assert says in capsys.readouterr().err


# --- what may have been meant -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["convert", "x"], "did you mean `barefaced run`?"),
        (["convert", "talk.mp4"], "did you mean `barefaced run`?"),
        (["webcam"], "did you mean `barefaced live`?"),
        (["doctr"], "did you mean `barefaced doctor`?"),
        (["run", "a.mp4", "--gpu"], "no flag --gpu; did you mean --device cuda?"),
        (["run", "a.mp4", "--crf=20"], "no flag --crf; did you mean --quality?"),
        (["run", "a.mp4", "--qualty", "20"], "no flag --qualty; did you mean --quality?"),
        (["run", "a.mp4", "--force"], "no flag --force; did you mean -y?"),
        (["live", "--show"], "no flag --show; did you mean --preview?"),
        (["run", "a.mp4", "--xyzzy"], "there is no flag --xyzzy\n"),
    ],
)
def test_what_is_unknown_is_met_with_what_may_be_meant(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert says in capsys.readouterr().err


def test_every_suggestion_is_a_command_or_a_flag_that_there_is() -> None:
    parser, commands = cli._parser()
    assert parsing.COMMANDS_ELSEWHERE.keys() <= set(commands)
    flags = {flag for command in commands.values() for flag in command._option_string_actions}
    assert {meant.split()[0] for meant in parsing.FLAGS_ELSEWHERE} <= flags
    for meant, names in parsing.FLAGS_ELSEWHERE.items():
        taken = [name for name in names if name in flags and meant.split()[0] != name]
        for command in commands.values():
            known = command._option_string_actions
            assert not (meant.split()[0] in known and set(taken) & set(known)), f"{taken} are flags themselves"
    assert parser.prog == "barefaced"


def test_the_help_of_run_fits_on_a_screen_and_help_all_has_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    assert len(capsys.readouterr().out.splitlines()) <= 40
    with pytest.raises(SystemExit):
        cli.main(["run", "--help-all"])
    shown = capsys.readouterr().out
    assert all(f"--{setting.key}" in shown for setting in values.settings() if flags.taken_by_run(setting))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
def test_a_shell_gets_its_completions(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in ("run", "skip-existing", "virtual-camera"))


def test_without_anything_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([])
    assert end.value.code == 2
    assert "usage: barefaced" in capsys.readouterr().err


@pytest.mark.usefixtures("loaded")
def test_settings_of_the_user_are_found_and_flags_and_another_file_win(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platformdirs, "user_config_path", lambda name, **_: tmp_path / name)
    own, other, target = tmp_path / "barefaced" / "config.toml", tmp_path / "other.toml", tmp_path / "b.mp4"
    own.parent.mkdir()
    own.write_text("frames = 3\noverwrite = true\n")
    other.write_text("overwrite = true\nframes = 2\n")
    for more, frames in (([], 3), (["--frames", "4"], 4), (["--config", str(other)], 2)):
        assert cli.main(["run", str(clip), "-o", str(target), "-q", *more, *FAST]) == 0
        assert frames_in(target) == frames


# --- run: how it fails ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("loaded")
def test_an_error_of_ours_is_one_line_and_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "r.json"
    assert cli.main(["run", str(tmp_path / "no.mp4"), "-o", str(tmp_path / "b.mp4"), "--report", str(report)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("barefaced: ")
    assert said.count("\n") == 1
    assert "no.mp4" in said
    told = only_file_in(report.read_text())
    assert (told["complete"], told["output"], told["frames_out"]) == (False, None, 0)
    assert told["error"] in said


@pytest.mark.usefixtures("loaded")
def test_an_output_that_exists_is_left_alone_until_asked(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "b.mp4"
    target.write_bytes(b"mine")
    asked = ["run", str(clip), "-o", str(target), "--end", "0.1", *FAST]
    assert cli.main(asked) == 1
    assert target.read_bytes() == b"mine"
    assert cli.main([*asked, "--overwrite"]) == 0
    assert frames_in(target) == 3


@pytest.mark.usefixtures("loaded")
def test_with_traceback_an_error_is_raised(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"no\.mp4"):
        cli.main(["run", str(tmp_path / "no.mp4"), "-o", str(tmp_path / "b.mp4"), "--traceback"])


def test_a_wrong_config_file_is_an_error_of_ours(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "mine.toml"
    settings.write_text("qualty = 20\n")
    assert cli.main(["run", str(clip), "-o", str(tmp_path / "b.mp4"), "--config", str(settings)]) == 1
    assert "did you mean 'quality'" in capsys.readouterr().err


def test_a_start_beyond_the_end_is_not_called_damage(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "r.json"
    asked = ["run", str(clip), "-o", str(tmp_path / "b.mp4"), "--start", "100", "--report", str(report), *FAST]
    assert cli.main(asked) == 1
    assert "start is 100.00 s" in (said := capsys.readouterr().err)
    assert "incomplete" not in said
    assert only_file_in(report.read_text())["missing"] == []


def test_networks_that_are_not_there_are_reported_for_every_input(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextlib.contextmanager
    def none_here(_config: Config) -> Iterator[Networks]:
        raise CheckpointError("generator.onnx is not here: reinstall barefaced")
        yield

    monkeypatch.setattr(load, "networks", none_here)
    report = tmp_path / "r.json"
    assert cli.main(["run", str(clip), "-o", str(tmp_path / "b.mp4"), "--report", str(report)]) == 1
    assert only_file_in(report.read_text())["error"] == "generator.onnx is not here: reinstall barefaced"
    assert "generator.onnx" in capsys.readouterr().err


@pytest.mark.usefixtures("loaded")
def test_a_cut_off_input_is_exit_code_3_and_says_what_is_missing(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = tmp_path / "whole.ts"
    assert cli.main(["run", str(clip), "-o", str(whole), "-q", *FAST]) == 0
    cut, report = tmp_path / "cut.mp4", tmp_path / "r.json"
    fast_start = tmp_path / "fast.mp4"
    with av.open(str(clip)) as source, av.open(str(fast_start), "w", options={"movflags": "faststart"}) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    cut.write_bytes(fast_start.read_bytes()[: int(fast_start.stat().st_size * 0.6)])
    target = tmp_path / "b.mp4"
    assert cli.main(["run", str(cut), "-o", str(target), "--report", str(report), *FAST]) == 3
    told = only_file_in(report.read_text())
    assert told["complete"] is False
    assert 0 < told["frames_out"] < FRAMES
    assert told["frames_out"] == frames_in(target)
    assert told["missing"]
    assert "is incomplete" in capsys.readouterr().err


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("times", "leaves"), [(1, True), (2, False)])
def test_ctrl_c_once_finishes_the_file_and_twice_leaves_none(
    times: int, leaves: bool, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noticed = threading.Semaphore(0)

    def pressed(frame: Frame) -> tuple[Detection, ...]:
        if frame.index == 4:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
                assert noticed.acquire(timeout=30)
        return found_in_clip(frame)

    class Noticing(Interrupts):
        def _interrupt(self, number: int, frame: FrameType | None) -> None:
            noticed.release()
            super()._interrupt(number, frame)

    monkeypatch.setattr(process, "Interrupts", Noticing)
    use_detector(monkeypatch, pressed)
    target, report = tmp_path / "b.mp4", tmp_path / "r.json"
    asked = ["run", str(clip), "-o", str(target), "--report", str(report), "--detect-every", "1", *FAST]
    assert cli.main(asked) == 130
    told = only_file_in(report.read_text())
    assert (told["interrupted"], told["complete"]) == (True, False)
    assert target.exists() is leaves
    assert {path.name for path in tmp_path.iterdir()} <= {"b.mp4", "r.json"}
    if leaves:
        assert 4 <= frames_in(target) == told["frames_out"] < FRAMES


def test_ctrl_c_ends_a_batch(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pressed(frame: Frame) -> tuple[Detection, ...]:
        if frame.index == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return found_in_clip(frame)

    use_detector(monkeypatch, pressed)
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes())
    out = tmp_path / "out"
    asked = ["run", str(clip), str(other), "-o", str(out), "--detect-every", "1", "--report", f"{tmp_path}/r.json"]
    assert cli.main([*asked, *FAST]) == 130
    assert [path.name for path in out.iterdir()] == ["talk.mp4"]
    told = json.loads((tmp_path / "r.json").read_text())
    assert told["interrupted"] is True
    assert [file["state"] for file in told["files"]] == ["cut short", "not begun"]
    said = capsys.readouterr().err
    assert "Ctrl-C again stops now and leaves no file" in said
    assert f"{other}: not begun." in said
    assert "2 files: 1 cut short, 1 not begun" in said


# --- the other commands -----------------------------------------------------------------------------------------------


def test_doctor_exits_with_1_when_something_needed_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.run import doctor

    found = [
        doctor.Finding("a", doctor.Condition.WORKS, "fine"),
        doctor.Finding("b", doctor.Condition.ABSENT, "get it so"),
    ]
    monkeypatch.setattr(doctor, "examine", lambda: iter(found))
    assert cli.main(["doctor"]) == 0
    found.append(doctor.Finding("c", doctor.Condition.BROKEN, "gone: do this"))
    assert cli.main(["doctor"]) == 1
    assert "gone: do this" in capsys.readouterr().out


def test_engines_lists_them_and_what_auto_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(select, "names", lambda: ("identity", "openvino", "tensorrt"))  # importing torch takes its time
    assert cli.main(["engines", "--json", str(tmp_path / "e.json")]) == 0
    told = {engine["name"]: engine for engine in json.loads((tmp_path / "e.json").read_text())}
    fields = ["name", "available", "reason", "version", "devices", "precisions"]
    assert [list(engine) for engine in told.values()] == [fields] * 3
    openvino = told["openvino"]
    assert (openvino["available"], openvino["reason"], openvino["devices"]) == (True, None, ["cpu"])
    assert "f32" in openvino["precisions"]
    assert openvino["version"]
    if not told["tensorrt"]["available"]:
        assert told["tensorrt"]["reason"]
        assert told["tensorrt"]["devices"] == told["tensorrt"]["precisions"] == []
    assert "auto takes openvino" in capsys.readouterr().out


@pytest.mark.parametrize(
    "asked",
    [["--engine", "tensorrt"], ["--engine", "tensorrt_rtx", "--device", "cuda"], ["--device", "cuda"]],
    ids=" ".join,
)
def test_a_gpu_that_is_not_here_is_told_and_nothing_is_written(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if any(select.find_backend(name).missing() is None for name in select.PREFERRED["cuda"][:2]):
        pytest.skip("a GPU is here")
    source = tmp_path / "photo.png"
    Image.new("RGB", (320, 240)).save(source)
    assert cli.main(["run", str(source), "-o", str(tmp_path / "bare.png"), *asked]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "install" in said
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_int8_without_an_int8_version_says_how_to_make_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if any(map(models.has_int8, models.names())):
        pytest.skip("a network has an int8 version here")
    source = tmp_path / "photo.png"
    Image.new("RGB", (320, 240)).save(source)
    assert cli.main(["run", str(source), "-o", str(tmp_path / "bare.png"), "--precision", "int8"]) == 1
    assert "python -m training.networks.quantise makes it" in capsys.readouterr().err
    assert not (tmp_path / "bare.png").exists()


def test_building_on_an_engine_that_cannot_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["build", "--engine", "openvino"]) == 1
    assert "does not compile ahead of time: use one of tensorrt, tensorrt_rtx" in capsys.readouterr().err


def test_the_module_can_be_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "--version"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout[:9]) == (0, "barefaced")
