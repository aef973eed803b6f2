"""Ctrl-C twice: the first stops, the second raises."""

from __future__ import annotations

import signal

import pytest

from pipeline.run.process import Interrupts


class Run:
    def __init__(self) -> None:
        self.stops = 0

    def stop(self) -> None:
        self.stops += 1


def test_the_first_stops_the_run_and_the_second_raises() -> None:
    run = Run()
    with Interrupts() as interrupts:
        interrupts.watch(run)
        signal.raise_signal(signal.SIGINT)
        assert (run.stops, interrupts.asked) == (1, True)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert run.stops == 1


def test_with_nothing_to_stop_the_first_raises() -> None:
    with Interrupts() as interrupts:
        interrupts.watch(Run())
        interrupts.watch(None)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert interrupts.asked


def test_sigterm_ends_the_program_with_its_code() -> None:
    run = Run()
    with Interrupts() as interrupts, pytest.raises(SystemExit) as end:
        interrupts.watch(run)
        signal.raise_signal(signal.SIGTERM)
    assert (end.value.code, run.stops) == (143, 0)


def test_the_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
