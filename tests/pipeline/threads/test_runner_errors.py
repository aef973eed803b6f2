from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, NoReturn

import pytest

from pipeline.threads.runner import Cancelled, Pipeline
from tests.pipeline.chains import (
    Add,
    Traced,
    TracedSource,
    linked,
    others_wait_for,
    results,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("no_thread_left")]


@pytest.mark.parametrize("capacity", [1, 2, 20])
@pytest.mark.parametrize("name", ["first", "second", "third"])
def test_error_of_a_stage_reaches_the_caller_with_its_type_the_stage_and_the_item(name: str, capacity: int) -> None:
    # Three channels hold fewer than 100 items, so every stage has begun.
    chain = {"first": Traced(), "second": Traced(), "third": Traced()} | {name: Traced(fail_at=100)}
    source = TracedSource()
    with pytest.raises(OSError, match="disk full at 100") as caught:
        results(linked(source, *chain.values()), capacity=capacity)
    assert caught.value.__notes__ == [f"in stage {name!r}, the last item it took: 100"]
    assert source.events == ["opened in source", "closed in source"]
    assert [stage.events for stage in chain.values()] == [[f"released in {name}"] for name in chain]


def test_error_of_the_source_names_it_and_nothing_is_finalised() -> None:
    source, sink = TracedSource(fail_at=10), Traced()  # more than lie before the sink, so it has begun
    with pytest.raises(OSError, match="no signal") as caught:
        results(linked(source, Add(0), sink))
    assert caught.value.__notes__ == ["in stage 'source', the last item it took: 9"]
    assert sink.events == ["released in second"]


def test_error_before_the_first_item_says_so() -> None:
    def broken(_items: Iterator[int]) -> Iterator[int]:
        raise FileNotFoundError("no model")

    with pytest.raises(FileNotFoundError) as caught:
        results(linked(count(), broken))
    assert caught.value.__notes__ == ["in stage 'first', before it took an item"]


def test_error_while_flushing_names_the_last_item() -> None:
    def fails_to_flush(items: Iterator[int]) -> Iterator[int]:
        yield from items
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full") as caught:
        results(linked(range(3), fails_to_flush))
    assert caught.value.__notes__ == ["in stage 'first', the last item it took: 2"]


def test_error_while_closing_the_source_prevents_finalising() -> None:
    sink = Traced()

    class Camera:
        def __init__(self) -> None:
            self.items = iter(range(3))

        def __iter__(self) -> Camera:
            return self

        def __next__(self) -> int:
            return next(self.items)

        def close(self) -> None:
            raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged") as caught:
        results(linked(Camera(), sink))
    assert caught.value.__notes__ == ["in stage 'source', the last item it took: 2"]
    assert sink.events == ["released in first"]


def test_errors_that_follow_are_noted_on_the_first() -> None:
    with pytest.raises(OSError, match="disk full at 3") as caught:
        results(linked(count(), Traced(fail_in_finally=True), Traced(fail_at=3)))
    assert caught.value.__notes__ == [
        "in stage 'second', the last item it took: 3",
        "while the run ended, stage 'first' raised ValueError(\"can't close\")",
    ]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, Cancelled, MemoryError])
def test_exceptions_of_every_kind_reach_the_caller(kind: type[BaseException]) -> None:
    def fails(items: Iterator[int]) -> Iterator[int]:
        for item in items:
            if item == 3:
                raise kind("as raised")
            yield item

    sink = Traced()
    with pytest.raises(kind, match="as raised") as caught:
        results(linked(count(), fails, sink))
    assert caught.value.__notes__ == ["in stage 'first', the last item it took: 3"]
    assert sink.events == ["released in second"]


def test_stop_iteration_outside_a_generator_is_an_error_not_an_end() -> None:
    def takes_first(items: Iterator[int]) -> Iterator[int]:
        return iter([next(items)])

    with pytest.raises(RuntimeError, match="a stage raised StopIteration") as caught:
        results(linked([], takes_first))
    assert caught.value.__notes__ == ["in stage 'first', before it took an item"]
    assert isinstance(caught.value.__cause__, StopIteration)


def test_stage_that_is_no_generator_by_mistake_is_an_error_that_names_it() -> None:
    def forgot_to_yield(_items: Iterator[int]) -> Iterator[int]:
        return None  # type: ignore[return-value]

    with pytest.raises(TypeError, match="not iterable") as caught:
        results(linked(count(), forgot_to_yield))
    assert caught.value.__notes__ == ["in stage 'first', before it took an item"]


def test_item_with_a_long_or_broken_repr_does_not_hide_the_error() -> None:
    class Mute:
        def __repr__(self) -> NoReturn:
            raise ZeroDivisionError("no words")

    def fails(items: Iterator[object]) -> Iterator[object]:
        for item in items:
            raise OSError(f"bad {type(item).__name__}")
            yield item

    for item, words in ((Mute(), "a Mute whose repr raises ZeroDivisionError('no words')"), ("x" * 999, "xxx...")):
        with (
            pytest.raises(OSError, match="bad") as caught,
            Pipeline.from_source("source", [item]).then("first", fails).run() as run,
        ):
            list(run)
        (note,) = caught.value.__notes__
        assert note.endswith(words)
        assert len(note) < 300


def test_error_ends_stages_that_wait_at_both_ends() -> None:
    def fails_when_all_others_wait(items: Iterator[int]) -> Iterator[int]:
        next(items)
        wait_until(lambda: others_wait_for("second", run))
        raise OSError("in the middle")
        yield

    run = linked(count(), Add(0), fails_when_all_others_wait, Add(0)).run(capacity=1)
    with pytest.raises(OSError, match="in the middle"), run:
        list(run)


def test_error_that_the_loop_did_not_raise_is_raised_by_leaving_the_block() -> None:
    stage = Traced(fail_in_finally=True)
    with pytest.raises(ValueError, match="can't close") as caught, linked(count(), stage).run(capacity=2):
        wait_until(lambda: len(stage.taken) == 3)  # it takes no more: nobody reads what it gives
    assert caught.value.__notes__ == ["in stage 'first', the last item it took: 2"]


def test_error_that_the_loop_did_not_raise_is_noted_on_the_exception_that_passes() -> None:
    with (
        pytest.raises(KeyError, match="caller") as caught,
        linked(count(), Traced(fail_in_finally=True)).run() as run,
    ):
        next(run)
        raise KeyError("caller")
    besides, where = caught.value.__notes__
    assert besides == 'besides, a stage raised ValueError("can\'t close")'
    assert where.startswith("in stage 'first'")


def test_error_that_the_loop_did_not_raise_is_raised_by_closing_a_generator_around_the_run() -> None:
    def items() -> Generator[int]:
        with linked(count(), Traced(fail_in_finally=True)).run() as run:
            yield from run

    stream = items()
    next(stream)
    with pytest.raises(ValueError, match="can't close"):
        stream.close()


def test_run_ends_for_good_after_an_error() -> None:
    with linked(range(3), Traced(fail_at=1)).run() as run:
        with pytest.raises(OSError, match="disk full"):
            list(run)
        assert list(run) == []
