"""Before a live run shows its first frame every network has run once, on a frame that is not shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from pipeline.live.live import prepared
from pipeline.settings import config as configuration
from tests.pipeline.live_fakes import FakeCamera, Plugged, SlowEngine, always_there, lower_half_is_mask
from tests.stand_ins import flat_colour, stand_in_networks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.spec import Array
    from pipeline.run.ledger import Shown
    from pipeline.run.load import Networks

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("no_thread_left")]


@dataclass
class SlowAtFirst(SlowEngine):
    """A network whose first run takes long."""

    first_run_seconds: float = 0.0

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.seconds = 0.0 if self.calls else self.first_run_seconds
        return super().run(feeds)


def networks(segmenter: SlowEngine, generator: SlowEngine) -> Networks:
    return replace(stand_in_networks(always_there), segmenter=segmenter, generator=generator)


FIRST_RUN_SECONDS = 0.8


@pytest.mark.parametrize("slow", ["segmenter", "generator"])
def test_the_first_frame_that_is_shown_came_when_every_network_had_run(slow: str) -> None:
    segmenter = SlowAtFirst(name="mask", outputs_of=lower_half_is_mask)
    generator = SlowAtFirst(name="face", outputs_of=flat_colour)
    slow_one = {"segmenter": segmenter, "generator": generator}[slow]
    slow_one.first_run_seconds = FIRST_RUN_SECONDS
    run = prepared(
        configuration.build({}), networks(segmenter, generator), lambda _: None, FakeCamera([Plugged(10_000)])
    )
    shown: list[Shown] = []

    def show(each: Shown) -> None:
        shown.append(each)
        run.stop()

    run.show_as_they_come(show)
    # While the network ran for the first time newer pictures came: the first to be shown is one of the last of these.
    assert shown[0].frame.arrived > slow_one.moments[0] - FIRST_RUN_SECONDS / 2
    assert run.source.stats.spent == 1
    assert [each.frame.index for each in shown] == list(range(len(shown)))
    assert run.outbox.counts.sent == run.outbox.counts.ages.count == len(shown)


def test_a_network_that_fails_in_rehearsal_is_told_of_and_does_not_end_the_run() -> None:
    said: list[str] = []
    segmenter = SlowEngine(name="mask", outputs_of=lower_half_is_mask, fails=lambda call: call == 1)
    run = prepared(
        configuration.build({}), networks(segmenter, SlowEngine()), said.append, FakeCamera([Plugged(10_000)])
    )
    shown: list[Shown] = []

    def show(each: Shown) -> None:
        shown.append(each)
        run.stop()

    run.show_as_they_come(show)
    assert said == ["a network failed before the first frame was shown: the device was lost"]
    assert shown[0].failed is None


def test_the_networks_of_enrolled_faces_have_run_too() -> None:
    segmenter, own = (
        SlowEngine(name="mask", outputs_of=lower_half_is_mask),
        SlowEngine(name="face", outputs_of=flat_colour),
    )
    parts = replace(networks(segmenter, SlowEngine()), own={"me": own})
    run = prepared(configuration.build({}), parts, lambda _: None, FakeCamera([Plugged(10_000)]))

    run.show_as_they_come(lambda _: run.stop())
    assert own.calls == 1
