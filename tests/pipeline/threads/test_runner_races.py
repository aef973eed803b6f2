from __future__ import annotations

import random
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pipeline.threads.runner import Cancelled
from tests.pipeline.chains import Take, Traced, TracedSource, linked, press_ctrl_c

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from pipeline.threads.runner import Stage

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("no_thread_left")]

RUNNER_MODULES = ("pipeline.threads.channel", "pipeline.threads.runner", "pipeline.threads.worker")


@contextmanager
def restless_threads() -> Iterator[None]:
    """The interpreter changes from thread to thread as often as it can."""
    previous = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(previous)


@dataclass(frozen=True)
class Dawdle:
    """Passes items on, giving way to other threads at random moments."""

    seed: int

    def __call__(self, items: Iterator[int]) -> Iterator[int]:
        chance = random.Random(self.seed)  # noqa: S311 - nothing here is secret
        for item in items:
            if chance.random() < 0.3:
                time.sleep(0)
            yield item


@pytest.mark.stress
@pytest.mark.parametrize("ending", ["whole", "error", "two errors", "stop", "cancel", "break", "early"])
def test_runs_that_end_in_the_same_way_many_times(ending: str) -> None:
    with restless_threads():
        for seed in range(80):
            run_to_an_end(ending, chance=random.Random(seed))  # noqa: S311 - as above


def run_to_an_end(ending: str, *, chance: random.Random) -> None:
    moment = chance.randrange(40)
    chain: list[Stage[int, int]] = [Dawdle(chance.randrange(1000)) for _ in range(chance.randint(1, 4))]
    if ending in ("error", "two errors"):
        chain.insert(chance.randint(0, len(chain)), Traced(fail_at=moment))
    if ending == "two errors":
        chain.insert(chance.randint(0, len(chain)), Traced(fail_at=moment))
    if ending == "early":
        chain.insert(chance.randint(0, len(chain)), Take(moment))
    source, sink = TracedSource(length=40 if ending in ("whole", "error") else None), Traced()
    given_items: list[int] = []
    outcome: BaseException | None = None
    with linked(source, *chain, sink).run(capacity=chance.randint(1, 3)) as run:
        try:
            for item in run:
                given_items.append(item)
                if item == moment:
                    if ending == "break":
                        break
                    {"stop": run.stop, "cancel": run.cancel}.get(ending, lambda: None)()
        except (OSError, Cancelled) as error:
            outcome = error
    expected = {"error": OSError, "two errors": OSError, "cancel": Cancelled}.get(ending, type(None))
    assert type(outcome) is expected
    assert given_items == list(range(len(given_items)))
    whole = ending in ("whole", "stop", "early")
    name = run.stats()[-1].name
    if source.events:
        assert source.events == ["opened in source", "closed in source"]
    if whole or sink.events:
        assert sink.events == ["finalised"] * whole + [f"released in {name}"]
    assert len(given_items) >= {"whole": 40, "stop": moment + 1, "early": moment}.get(ending, 0)


@pytest.mark.stress
def test_ctrl_c_at_any_moment_leaves_nobody_waiting() -> None:
    armed = False

    def raise_inside_the_runner(_signal: int, frame: FrameType | None) -> None:
        # Not just anywhere beneath the runner: in a callback of the garbage collector Python would swallow it.
        if armed and frame is not None and frame.f_globals["__name__"] in RUNNER_MODULES:
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, raise_inside_the_runner)
    try:
        with restless_threads():
            for seed in range(100):
                chance = random.Random(seed)  # noqa: S311 - as above
                run = linked(range(500), Dawdle(seed)).run(capacity=chance.randint(1, 2))
                run.__enter__()
                armed = True
                with presses(after_seconds=chance.random() * 0.01, times=chance.randint(1, 4)):
                    insist(lambda: list(run))  # noqa: B023 - called in this round only
                    insist(lambda: run.__exit__(None, None, None))  # noqa: B023 - as above
                armed = False
                assert [thread.name for thread in threading.enumerate() if thread.name in ("source", "first")] == []
    finally:
        signal.signal(signal.SIGINT, previous)


def insist(act: Callable[[], object]) -> None:
    """Calls `act` until no Ctrl-C comes in between."""
    while True:
        try:
            act()
        except KeyboardInterrupt:
            continue
        except Cancelled:
            return
        return


@contextmanager
def presses(*, after_seconds: float, times: int) -> Iterator[None]:
    """Another thread presses Ctrl-C, a few times in quick succession."""

    def press() -> None:
        time.sleep(after_seconds)
        for _ in range(times):
            press_ctrl_c()
            time.sleep(0.0002)

    hand = threading.Thread(target=press)
    hand.start()
    try:
        yield
    finally:
        hand.join()
