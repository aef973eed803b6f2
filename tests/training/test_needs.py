from argparse import ArgumentParser
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, how_to_install
from training.needs import errors_in_one_line, require


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
