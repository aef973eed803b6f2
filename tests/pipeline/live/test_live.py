"""Live runs from a camera that is not there to a virtual camera that is not there, with the real library between."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.errors import ConfigError, SinkError, SourceError
from pipeline.live.camera import CameraSource
from pipeline.live.devices import Playback
from pipeline.live.live import LiveRun, device_of, prepared
from pipeline.live.sinks import Key
from pipeline.settings import values
from tests.pipeline.clips import Clip
from tests.pipeline.live_fakes import (
    Around,
    FakeCamera,
    Plugged,
    Screen,
    SlowEngine,
    always_there,
    lower_half_is_mask,
    nothing_is_mask,
    seen,
)
from tests.stand_ins import StandInEngine, stand_in_networks

pyvirtualcam = pytest.importorskip("pyvirtualcam", reason="a virtual camera needs the extra `live`")

from pipeline.live.sinks import VirtualCamera  # noqa: E402 - it is what the skip above is for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack
    from pathlib import Path

    import av

    from engine.spec import Array, Engine
    from pipeline.frames import Frame
    from pipeline.live.live import Openable, Sink

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("no_thread_left")]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    found = Screen()
    monkeypatch.setattr("pyvirtualcam.camera.BACKENDS", {})
    pyvirtualcam.register_backend("fake", found.backend())
    return found


def live_run(
    camera: Openable, generator: Engine | None = None, *, segmenter: Engine | None = None, **settings: object
) -> LiveRun:
    keys = {key.replace("_", "-"): value for key, value in settings.items()}
    known = stand_in_networks(always_there)
    masked = replace(
        known,
        segmenter=segmenter or StandInEngine("mask", lower_half_is_mask),
        generator=generator or known.generator,
    )
    return prepared(values.build(keys), masked, lambda _: None, camera)


def onto(device: str | None = None) -> Callable[[av.VideoFrame, ExitStack], tuple[Sink, ...]]:
    def opens(picture: av.VideoFrame, stack: ExitStack) -> tuple[Sink, ...]:
        camera = VirtualCamera(width=picture.width, height=picture.height, fps=30, device=device)
        return (stack.enter_context(camera),)

    return opens


def shown_on(
    screen: Screen,
    run: LiveRun,
    *,
    frames: int | None = None,
    until: Callable[[LiveRun], bool] = lambda _run: False,
    keys: dict[int, Key] | None = None,
) -> Around:
    """Show the run until so many frames were shown, `until` holds, or it ends; the virtual camera must be released."""

    def end(live: LiveRun, _tick: int) -> None:
        if until(live) or (frames is not None and live.outbox.counts.ages.count >= frames):
            live.stop()

    around = Around(onto(), keys or {}, end)
    try:
        run.show_until_end(around)
    finally:
        assert screen.open_now == 0
        assert screen.closed <= 1
    return around


def in_order(numbers: list[int]) -> bool:
    return all(before < after for before, after in pairwise(numbers))


# --- order, age, pacing -----------------------------------------------------------------------------------------------


def test_frames_come_in_order_and_every_tick_has_one(screen: Screen) -> None:
    run = live_run(FakeCamera([Plugged(10_000)]))
    shown_on(screen, run, frames=20)
    counts = run.outbox.counts
    assert in_order(screen.fresh)
    assert len(screen.fresh) == counts.ages.count >= 20
    assert len(screen.numbers) == counts.sent == counts.ages.count + counts.repeated


def test_a_slow_network_drops_frames_and_keeps_their_age_bounded(screen: Screen) -> None:
    network_seconds = 0.4
    slow = SlowEngine(network_seconds, name="mask", outputs_of=nothing_is_mask)
    run = live_run(FakeCamera([Plugged(10_000)]), segmenter=slow)
    shown_on(screen, run, frames=24)
    ages = run.outbox.counts.ages.overall()
    assert ages is not None
    # As long as a call took here: on a machine that does nothing else, `network_seconds`.
    call_seconds = max(network_seconds, float(np.diff(slow.moments).max()))
    assert ages.p95 < 3 * 1000 * call_seconds
    assert in_order(screen.fresh)
    assert run.source.dropped > 0
    assert run.outbox.counts.repeated > 0


@pytest.mark.parametrize("rule", ["pass", "freeze", "blank"])
def test_a_network_that_stalls_shows_the_newest_picture_as_on_error_says(rule: str, screen: Screen) -> None:
    """Its first frames take no time and then one takes 1.5 s, in which nothing drawn is younger than 0.3 s."""

    class Stalling(SlowEngine):
        def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
            self.seconds = 1.5 if self.calls > 6 else 0.0
            return super().run(feeds)

    camera = FakeCamera([Plugged(10_000)])
    run = live_run(camera, Stalling(), oldest_ms=300, on_error=rule)
    shown_on(screen, run, until=lambda live: live.outbox.counts.too_old >= 4)
    counts = run.outbox.counts
    ages = counts.ages.overall()
    assert ages is not None
    assert ages.p99 <= 300
    assert bool(counts.undrawn) == (rule != "freeze")
    assert in_order([number for number in screen.fresh if number])
    if rule == "blank":
        assert 0 in screen.numbers


def test_every_picture_of_the_camera_is_accounted_for(screen: Screen) -> None:
    camera = FakeCamera([Plugged(10_000)])
    run = live_run(camera, SlowEngine(0.1))
    shown_on(screen, run, frames=10)
    ready = run.outbox.counts.ages.count + run.outbox.counts.overtaken + run.outbox.counts.too_old
    # One may still have lain where the newest is found when the run was stopped.
    assert camera.given - run.source.dropped - ready in (0, 1)


def test_a_hiccup_of_the_camera_repeats_the_last_frame_and_goes_on(screen: Screen) -> None:
    run = live_run(FakeCamera([Plugged(10_000, hiccup_at=10, hiccup_seconds=2.0)]))
    shown_on(screen, run, until=lambda live: live.source.stats.pictures > 20 and screen.numbers[-1] > 11)
    shows = {number: np.flatnonzero(np.array(screen.numbers) == number) for number in screen.fresh}
    longest = max(shows.values(), key=lambda ticks: screen.moments[ticks[-1]] - screen.moments[ticks[0]])
    assert len(longest) >= 3
    assert screen.moments[longest[-1]] - screen.moments[longest[0]] > 0.5
    assert in_order(screen.fresh)


def test_a_delay_shows_every_frame_that_late_and_not_sooner(screen: Screen) -> None:
    run = live_run(FakeCamera([Plugged(10_000)]), delay=300)
    shown_on(screen, run, frames=10)
    ages = run.outbox.counts.ages.overall()
    assert ages is not None
    assert ages.p50 >= 300
    assert run.report(None, interrupted=False).as_json()["delay_ms"] == 300


def test_a_file_is_shown_in_order_and_the_run_ends_with_it(screen: Screen, tmp_path: Path) -> None:
    path = Clip(frames=30).write(tmp_path / "talk.mp4")
    run = live_run(Playback(path))
    shown_on(screen, run)
    assert run.source.stats.pictures == 30
    assert in_order(screen.fresh)


def test_a_file_is_played_no_faster_than_its_time(tmp_path: Path) -> None:
    path = Clip(frames=15).write(tmp_path / "talk.mp4")
    began = time.perf_counter()
    with Playback(path).opened() as pictures:
        moments = [time.perf_counter() - began for _ in pictures]
    assert all(moment >= index / 30 for index, moment in enumerate(moments))


def test_a_file_waits_while_networks_are_rehearsed_and_loses_no_frame(tmp_path: Path) -> None:
    path = Clip(frames=15).write(tmp_path / "talk.mp4")
    rehearsed: list[int] = []

    def rehearse(frame: Frame) -> None:
        time.sleep(0.8)  # longer than the file lasts
        rehearsed.append(frame.index)

    source = CameraSource(Playback(path), str, lasts=False, rehearse=rehearse)
    frames = list(source)
    assert rehearsed == [0]
    assert source.stats.pictures == 15
    assert len(frames) + source.dropped in (14, 15)  # the end may overtake the last
    assert frames[0].index == 0
    assert frames[1].time < 0.5
    assert len(frames) > 7  # all but those that a busy machine asked for too late


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_an_unplugged_camera_is_opened_again_and_the_numbers_go_on(screen: Screen) -> None:
    camera = FakeCamera([Plugged(20), Plugged(0, refuses="not there"), Plugged(10_000)])
    run = live_run(camera)
    shown_on(screen, run, until=lambda _: bool(screen.numbers) and screen.numbers[-1] > 22)
    assert camera.opened_times == 3
    assert run.source.stats.reopened == 1
    assert in_order(screen.fresh)
    assert screen.fresh[-1] > 20
    assert any("is lost (fake camera is gone: plug it in again); waiting for it" in said for said in run.said)
    assert any("is back" in said for said in run.said)


def test_a_camera_that_stays_away_shows_black_and_the_run_can_still_be_ended(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.live.live.STALE_SECONDS", 0.3)
    run = live_run(FakeCamera([Plugged(10), Plugged(0, refuses="not there")]))
    shown_on(screen, run, until=lambda _: bool(screen.images) and screen.images[-1].max() < 20)
    assert any(image.max() < 20 for image in screen.images)
    assert "camera away" in run.status


def test_a_busy_camera_ends_the_run_with_its_sentence(screen: Screen) -> None:
    busy = "fake camera is in use by zoom (12): close that"
    with pytest.raises(SourceError, match=r"in use by zoom \(12\)"):
        shown_on(screen, live_run(FakeCamera([Plugged(0, refuses=busy)])))
    assert screen.closed == 0


def test_another_size_after_plugging_in_again_is_scaled_and_said(screen: Screen) -> None:
    run = live_run(FakeCamera([Plugged(15), Plugged(10_000, width=640, height=360)]))
    shown_on(screen, run, until=lambda _: bool(screen.images) and screen.images[-1][:20].max() < 40)
    assert screen.size == (320, 240)
    (said,) = [sentence for sentence in run.said if "scaled to fit" in sentence]
    assert "start again with --size 640x360" in said
    assert screen.images[-1][60:180].mean() > 60  # between the black above and below


def test_a_consumer_that_is_gone_ends_the_run_and_releases_the_camera(screen: Screen) -> None:
    screen.fails_at = 10
    camera = FakeCamera([Plugged(10_000)])
    with pytest.raises(SinkError, match="virtual camera fake is gone"):
        shown_on(screen, live_run(camera))
    assert screen.closed == 1
    assert not camera.open_now


def test_a_virtual_camera_that_is_not_there_says_how_to_get_one(screen: Screen) -> None:
    del screen
    with pytest.raises(SinkError, match="Device /dev/video9 does not exist"):
        live_run(FakeCamera([Plugged(10_000)])).show_until_end(Around(onto("/dev/video9")))


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_whatever_is_raised_at_a_tick_releases_everything(screen: Screen, kind: type[BaseException]) -> None:
    camera = FakeCamera([Plugged(10_000)])

    def fail(_run: LiveRun, tick: int) -> None:
        if tick == 10:
            raise kind

    with pytest.raises(kind):
        live_run(camera).show_until_end(Around(onto(), at_tick=fail))
    assert screen.open_now == 0
    assert not camera.open_now


def test_a_bug_in_a_stage_ends_the_run_even_while_the_camera_is_away(screen: Screen) -> None:
    class Broken(SlowEngine):
        def run(self, feeds: object) -> dict[str, np.ndarray]:
            del feeds
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        shown_on(screen, live_run(FakeCamera([Plugged(3), Plugged(0, refuses="not there")]), Broken()))


# --- a network that fails ---------------------------------------------------------------------------------------------

FAILING = range(5, 12)
"""Calls of the generator that fail."""


def failing_run(screen: Screen, policy: str) -> LiveRun:
    fails = SlowEngine(fails=lambda call: call in FAILING)
    run = live_run(FakeCamera([Plugged(10_000)]), fails, on_error=policy, redraw_every=1)
    shown_on(screen, run, frames=20 if policy != "freeze" else 14)
    assert run.stream.ledger.failures == len(FAILING)
    assert run.stream.ledger.last_failure == "the device was lost"
    assert in_order([number for number in screen.fresh if number])
    return run


def drawn(image: np.ndarray) -> bool:
    """Whether the mouth is not as the camera saw it."""
    mouth = np.s_[150:165, 150:170]
    return bool(np.abs(image[mouth].astype(int) - seen(0)[mouth]).mean() > 12)


def test_pass_shows_the_camera_while_the_network_fails_and_draws_again_afterwards(screen: Screen) -> None:
    failing_run(screen, "pass")
    states = [drawn(image) for image in screen.images]
    assert states[0] is True
    assert False in states
    assert states[-1] is True
    assert all(screen.numbers)


def test_freeze_holds_the_last_good_frame(screen: Screen) -> None:
    failing_run(screen, "freeze")
    assert all(drawn(image) for image in screen.images)
    assert np.diff(screen.fresh).max() >= len(FAILING)


def test_blank_shows_black(screen: Screen) -> None:
    failing_run(screen, "blank")
    black = [image.max() < 20 for image in screen.images]
    assert not black[0]
    assert any(black)
    assert not black[-1]
    assert all(drawn(image) or dark for image, dark in zip(screen.images, black, strict=True))


# --- keys and settings ------------------------------------------------------------------------------------------------


class Presses:
    """Presses a key as soon as each of some conditions holds, in order, and ends behind the last."""

    def __init__(self, key: Key, *conditions: Callable[[], bool]) -> None:
        self.key, self.conditions = key, list(conditions)

    def __call__(self, run: LiveRun) -> bool:
        if self.conditions and self.conditions[0]():
            self.conditions.pop(0)
            if self.conditions:
                run.view.press(self.key)
        return not self.conditions


def test_bypass_shows_the_camera_and_the_same_key_leads_back(screen: Screen) -> None:
    def result() -> bool:
        return bool(screen.images) and drawn(screen.images[-1])

    def camera() -> bool:
        return not drawn(screen.images[-1])

    run = live_run(FakeCamera([Plugged(10_000)]))
    shown_on(screen, run, until=Presses(Key.BYPASS, result, camera, result))


def test_pause_holds_the_picture(screen: Screen) -> None:
    run = live_run(FakeCamera([Plugged(10_000)]))
    shown_on(screen, run, until=Presses(Key.PAUSE, lambda: bool(screen.numbers), lambda: len(screen.numbers) >= 40))
    assert len(set(screen.numbers[-35:])) == 1
    assert run.outbox.counts.ages.count > 3
    assert "paused" in run.status


def test_side_by_side_has_the_camera_on_the_left_and_the_result_on_the_right(screen: Screen) -> None:
    run = live_run(FakeCamera([Plugged(10_000)]))
    run.view.press(Key.BOTH)
    shown_on(screen, run, frames=5)
    last = screen.images[-1].astype(int)
    left, right = last[:, :155], last[:, 165:320]
    difference = np.abs(left - right).sum(axis=2)
    assert difference.max() > 60
    assert np.median(difference) < 20


def test_quit_ends_the_run(screen: Screen) -> None:
    around = shown_on(screen, live_run(FakeCamera([Plugged(10_000)])), keys={12: Key.QUIT})
    assert around.ticks == 12


def test_a_file_without_realtime_is_refused_with_both_cures() -> None:
    with pytest.raises(ConfigError, match="--realtime plays it as a camera would; `barefaced run`"):
        device_of(values.build({"input": "talk.mp4"}).live)


def test_no_thread_is_a_daemon(screen: Screen) -> None:
    others, daemons = set(threading.enumerate()), set[bool]()

    def look(run: LiveRun, tick: int) -> None:
        daemons.update(thread.daemon for thread in threading.enumerate() if thread not in others)
        if tick > 5 and screen.numbers:
            run.stop()

    live_run(FakeCamera([Plugged(10_000)])).show_until_end(Around(onto(), at_tick=look))
    assert daemons == {False}
    assert screen.closed == 1
