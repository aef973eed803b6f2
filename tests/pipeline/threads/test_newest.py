"""The newest item wins."""

from __future__ import annotations

import threading

import pytest

from pipeline.threads.newest import Newest

pytestmark = pytest.mark.timeout(60)


def test_only_the_newest_is_found_and_the_others_are_counted() -> None:
    newest: Newest[int] = Newest()
    for item in range(5):
        newest.put(item)
    assert newest.take() == 4
    assert newest.dropped == 4


def test_closed_it_gives_nothing_each_time_whatever_is_put() -> None:
    newest: Newest[int] = Newest()
    newest.put(1)
    newest.close()
    newest.put(2)
    assert newest.take() is None
    assert newest.take() is None


def test_close_wakes_who_waits() -> None:
    newest: Newest[int] = Newest()
    found: list[int | None] = []
    reader = threading.Thread(target=lambda: found.append(newest.take()))
    reader.start()
    newest.close()
    reader.join()
    assert found == [None]


@pytest.mark.stress
def test_two_threads_see_growing_numbers_and_lose_none_uncounted() -> None:
    newest: Newest[int] = Newest()
    taken: list[int] = []

    def read() -> None:
        while (item := newest.take()) is not None:
            taken.append(item)
            if item == 20_000:
                return

    reader = threading.Thread(target=read)
    reader.start()
    for item in range(1, 20_001):
        newest.put(item)
    reader.join()
    assert taken == sorted(set(taken))
    assert len(taken) + newest.dropped == 20_000
