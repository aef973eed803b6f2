"""The doctor looks at all that a run needs, and never fails itself."""

from __future__ import annotations

import builtins
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.run import doctor
from pipeline.run.doctor import Condition

if TYPE_CHECKING:
    from collections.abc import Callable


def findings() -> dict[str, doctor.Finding]:
    return {finding.subject: finding for finding in doctor.examine()}


def test_what_is_installed_here_works() -> None:
    found = findings()
    for subject in (
        "python",
        "opencv",
        "pyav",
        "encode h264",
        "engine openvino",
        "--engine auto",
        "detector retinaface",
    ):
        assert found[subject].state is Condition.WORKS, found[subject]
    assert {f"network {name}" for name in doctor.NETWORKS} <= set(found)
    assert all(finding.says for finding in found.values())


@pytest.mark.parametrize(("module", "subject"), [("cv2", "opencv"), ("av", "pyav")])
def test_a_broken_library_is_found_and_the_cure_named(
    module: str, subject: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_for_real: Callable[..., object] = builtins.__import__

    def without(name: str, *rest: object, **named: object) -> object:
        if name.split(".")[0] == module:
            raise ImportError("libGL.so.1: cannot open shared object file")
        return import_for_real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    finding = findings()[subject]
    assert finding.state is Condition.BROKEN
    assert "libGL.so.1" in finding.says
    assert "pip install" in finding.says


@pytest.mark.parametrize("module", ["cv2", "av"])
def test_a_broken_library_does_not_end_the_examination_of_a_fresh_process(module: str) -> None:
    """In a process that has imported nothing yet the packages above the broken one fail as well."""
    script = f"""
import sys
sys.modules[{module!r}] = None
from pipeline.run import doctor
print(*(finding.subject for finding in doctor.examine() if finding.state is doctor.Condition.BROKEN))
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert {"cv2": "opencv", "av": "pyav"}[module] in ended.stdout.split()


def test_the_versions_to_install_are_those_that_the_project_asks_for() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (asked,) = (line for line in project["dependencies"] if line.startswith("av"))
    assert set(doctor.required("av").removeprefix("av").split(",")) == set(asked.removeprefix("av").split(","))
