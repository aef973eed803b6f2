from __future__ import annotations

import weakref
from itertools import count
from typing import TYPE_CHECKING

import pytest

from pipeline.threads.channel import Cancelled, Channel
from pipeline.threads.worker import ChannelIntake, SourceIntake, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.timeout(30), pytest.mark.usefixtures("no_thread_left")]


def fails_at_two(items: Iterator[int]) -> Iterator[int]:
    for item in items:
        if item == 2:
            raise OSError("disk full")
        yield item


def filled(items: list[int]) -> Channel[int]:
    channel: Channel[int] = Channel(capacity=len(items))
    for item in items:
        channel.put(item)
    channel.close()
    return channel


class Errors(list[tuple[str, BaseException]]):
    """What workers report."""

    def __call__(self, name: str, error: BaseException) -> None:
        self.append((name, error))


def test_worker_gives_what_its_stage_gives_and_then_the_end() -> None:
    gives: Channel[int] = Channel(capacity=9)
    errors = Errors()
    intake = ChannelIntake(filled([0, 1]), upstream=())
    worker = Worker("name", fails_at_two, intake, gives, on_error=errors)
    worker.start()
    worker.join()
    assert list(gives) == [0, 1]
    assert errors == []


def test_worker_whose_stage_raises_cancels_both_sides_by_itself() -> None:
    upstream: Channel[int] = Channel(capacity=1)
    takes, gives = filled([0, 1, 2, 3]), Channel[int](capacity=9)
    errors = Errors()
    worker = Worker(
        "name",
        fails_at_two,
        ChannelIntake(takes, upstream=(upstream,)),
        gives,
        on_error=errors,
    )
    worker.start()
    worker.join()
    ((name, error),) = errors
    assert (name, str(error)) == ("name", "disk full")
    assert error.__notes__ == ["in stage 'name', the last item it took: 2"]
    assert upstream.cancelled
    assert takes.cancelled
    with pytest.raises(Cancelled):
        next(gives)


def test_worker_that_was_never_started_is_joined_at_once() -> None:
    gives: Channel[int] = Channel(capacity=1)
    Worker("name", fails_at_two, SourceIntake(count()), gives, on_error=Errors()).join()


def test_worker_that_has_ended_keeps_no_item_alive() -> None:
    class Picture:
        pass

    def look_at_each(items: Iterator[Picture]) -> Iterator[bool]:
        for item in items:
            yield item is not None

    pictures = [Picture()]
    (picture,) = map(weakref.ref, pictures)
    intake = SourceIntake(pictures)
    worker = Worker("name", look_at_each, intake, Channel[bool](capacity=9), on_error=Errors())
    worker.start()
    worker.join()
    pictures.clear()
    assert picture() is None
    assert worker.stats().items == 1
