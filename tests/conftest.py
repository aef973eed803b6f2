"""What holds for every test: compiled engines go to a directory that ends with the test run, never to the user's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.cache import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def engines_are_kept_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(tmp_path_factory.mktemp("engines")))
        yield
