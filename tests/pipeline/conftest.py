"""What the tests of the pipeline share."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Fails the test when a thread that it began is alive at its end. A thread that was joined is gone already."""
    before = set(threading.enumerate())
    yield
    left = [thread.name for thread in threading.enumerate() if thread not in before]
    assert not left, f"threads left behind: {left}"
