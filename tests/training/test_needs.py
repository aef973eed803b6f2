import io
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, how_to_install
from training.needs import bar, errors_in_one_line, require


def test_all_that_is_missing_is_named_with_the_cure() -> None:
    require("evaluate generator", "numpy")
    with pytest.raises(ConfigError, match=r"evaluate generator needs no_such, nor_this: make setup EXTRAS=training"):
        require("evaluate generator", "numpy", "no_such", "nor_this")


def test_error_that_the_user_can_mend_ends_the_command_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, errors_in_one_line(ArgumentParser(prog="training.some")):
        raise ConfigError("--size 7: a multiple of 128")
    assert ended.value.code == 1
    assert capsys.readouterr().err == "training.some: --size 7: a multiple of 128\n"
    with pytest.raises(ZeroDivisionError), errors_in_one_line(ArgumentParser()):
        raise ZeroDivisionError


def test_outside_a_clone_packages_are_named_and_not_make(tmp_path: Path) -> None:
    told = how_to_install("live", root=tmp_path)
    assert told.startswith("pipx inject barefaced 'pyvirtualcam")
    assert "make" not in told
    (tmp_path / "Makefile").touch()
    assert how_to_install("live", root=tmp_path) == "make setup EXTRAS=live"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "hidden", "seen"), [(Terminal, False, True), (Terminal, True, False), (io.StringIO, False, False)]
)
def test_a_bar_is_shown_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], hidden: bool, seen: bool
) -> None:
    told = stream()
    monkeypatch.setattr(sys, "stderr", told)
    assert list(bar(range(3), unit="photo", hidden=hidden)) == [0, 1, 2]
    with bar(unit="step", total=10, done=4, hidden=hidden) as shown:
        shown.update(6)
    assert ("3/3" in told.getvalue() and "10/10" in told.getvalue()) == seen
    assert bool(told.getvalue()) == seen
