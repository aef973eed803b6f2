"""The doctor looks at all that a run needs, and never fails itself."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

import pytest

from pipeline.run import doctor
from pipeline.run.doctor import State

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
        assert found[subject].state is State.WORKS, found[subject]
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
    assert finding.state is State.BROKEN
    assert "libGL.so.1" in finding.says
    assert "pip install" in finding.says
