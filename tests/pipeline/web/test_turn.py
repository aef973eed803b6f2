"""One at a time, and whoever comes while the last one ends waits for it."""

from __future__ import annotations

import asyncio

import pytest

from pipeline.errors import Busy
from pipeline.web.turn import Turn


def test_a_second_one_is_refused_by_name_and_the_next_is_not() -> None:
    async def test() -> None:
        turn = Turn()
        async with turn.taken("a camera"):
            with pytest.raises(Busy, match="a camera is being processed"):
                async with turn.taken("a file"):
                    pass
        async with turn.taken("a file"):
            assert turn.holder == "a file"

    asyncio.run(test())


def test_what_ends_is_waited_for_and_of_two_that_wait_one_is_refused() -> None:
    async def test() -> None:
        turn = Turn()
        got: list[str] = []

        async def want(name: str) -> None:
            async with turn.taken(name):
                got.append(name)
                await asyncio.sleep(0)

        async with turn.taken("a camera"):
            turn.end()
            waiting = [asyncio.create_task(want(name)) for name in ("first", "second")]
            await asyncio.sleep(0)
            assert not got
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert got == ["first"]
        assert [type(each) for each in ended] == [type(None), Busy]

    asyncio.run(test())


def test_saying_that_nothing_ends_changes_nothing() -> None:
    async def test() -> None:
        turn = Turn()
        turn.end()
        async with turn.taken("a file"):
            with pytest.raises(Busy):
                async with turn.taken("another"):
                    pass

    asyncio.run(test())
