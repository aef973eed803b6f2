"""After each test the garbage of its connections is collected at once.

aiortc leaves cycles with finalisers behind. Python 3.11 fails with `SystemError: AST constructor recursion depth
mismatch` when such a finaliser happens to run while another test parses source.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()
