"""A file appears under its name only when it is whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import SinkError
from pipeline.whole_file import check_target, is_unfinished, remove_leftovers, temporary_folder, whole_file


def test_file_appears_at_the_end_and_nothing_else_is_left(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with whole_file(target, overwrite=False) as unfinished:
        unfinished.write_text("whole")
        assert not target.exists()
        assert unfinished.parent == tmp_path
        assert unfinished.suffix == ".mp4"
        assert "partial" in unfinished.name
    assert target.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_after_an_error(error: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(error), whole_file(tmp_path / "out.mp4", overwrite=False) as unfinished:
        unfinished.write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_existing_file_survives_an_error_even_when_it_may_be_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_text("old")
    with pytest.raises(RuntimeError), whole_file(target, overwrite=True) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    with whole_file(target, overwrite=True) as unfinished:
        unfinished.write_text("new")
    assert target.read_text() == "new"


def test_existing_file_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_text("old")
    with pytest.raises(SinkError, match="exists"), whole_file(target, overwrite=False):
        pytest.fail("an existing file was opened for writing")


def test_file_that_appears_meanwhile_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with pytest.raises(SinkError, match="appeared"), whole_file(target, overwrite=False) as unfinished:
        unfinished.write_text("ours")
        target.write_text("theirs")
    assert target.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [target]


def test_file_systems_without_hard_links_work_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", refuse)
    with whole_file(tmp_path / "out.mp4", overwrite=False) as unfinished:
        unfinished.write_text("whole")
    assert (tmp_path / "out.mp4").read_text() == "whole"


def test_missing_and_impossible_directories_are_named(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="does not exist"), whole_file(tmp_path / "no" / "out.mp4", overwrite=False):
        pass
    with pytest.raises(SinkError, match="is a directory"), whole_file(tmp_path, overwrite=True):
        pass
    with pytest.raises(SinkError, match="can't be written"), whole_file(Path("/proc/out.mp4"), overwrite=False):
        pass


@pytest.mark.parametrize("name", ["n" * 251 + ".mp4", "ä" * 125 + ".mkv", "n" * 242])
def test_names_of_any_length_that_is_allowed_can_be_written(name: str, tmp_path: Path) -> None:
    with whole_file(tmp_path / name, overwrite=False) as unfinished:
        unfinished.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_name_that_is_too_long_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="256 bytes"):
        check_target(tmp_path / ("n" * 252 + ".mp4"), overwrite=False)


def test_a_name_that_is_not_utf8_can_be_written(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    with whole_file(tmp_path / name, overwrite=False) as unfinished:
        unfinished.write_text("whole")
    assert (tmp_path / name).read_text() == "whole"


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_link_to_nothing_is_said_before_any_work(overwrite: bool, tmp_path: Path) -> None:
    (tmp_path / "out.mp4").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SinkError, match="link to nothing"):
        check_target(tmp_path / "out.mp4", overwrite=overwrite)


LEFT = [".talk.partial-0a1b2c3d.mp4", ".😷.partial-ffffffff.png", f".{'x' * 230}.partial-01234567.mkv"]
THERE = [".talk.partial.mp4", "talk.partial-0a1b2c3d.mp4", ".hidden", "a.mp4"]


def test_what_killed_runs_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (*LEFT, *THERE):
        (tmp_path / name).write_bytes(b"left")
    with whole_file(tmp_path / "other.mp4", overwrite=False) as unfinished:
        assert is_unfinished(unfinished)
        remove_leftovers(tmp_path)
        assert unfinished.exists()  # its run goes on
        unfinished.write_bytes(b"whole")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([*THERE, "other.mp4"])


@pytest.mark.skipif(sys.platform == "win32", reason="files that are open are not locked there")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_a_process_that_is_killed_leaves_goes_with_the_next(what: str, tmp_path: Path) -> None:
    code = {
        "file": "with whole_file(Path(sys.argv[1]) / 'out.mp4', overwrite=False):",
        "folder": "with temporary_folder('barefaced-test-') as folder:\n (folder / 'a').touch()",
    }[what]
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        f"from pipeline.whole_file import temporary_folder, whole_file\n{code}\n os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, env=os.environ | {"TMPDIR": str(tmp_path)}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path))
        remove_leftovers(tmp_path)
        with temporary_folder("barefaced-test-") as folder:
            assert [entry.name for entry in tmp_path.iterdir()] == [folder.name]
            with temporary_folder("barefaced-test-"):
                assert folder.exists()  # its process lives
    assert not list(tmp_path.iterdir())
