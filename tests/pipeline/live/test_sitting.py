"""A sitting before a camera that is not there: it ends in time, and every instruction comes once and in order."""

from __future__ import annotations

from pipeline.live.sitting import STEPS, Sitting
from tests.pipeline.live_fakes import FakeCamera, Plugged


def test_every_instruction_comes_in_order_and_the_camera_is_closed_at_the_end() -> None:
    camera, said = FakeCamera([Plugged(10_000)], fps=200), list[str]()
    frames = list(Sitting(camera, 0.5, said.append).frames())
    assert frames
    assert all(frame.time < 0.5 for frame in frames)
    assert [sentence.split(" (")[0] for sentence in said] == [step for _, step in STEPS]
    assert not camera.open_now
