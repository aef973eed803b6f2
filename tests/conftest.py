"""What holds for every test: nothing of the user's is read or written, neither settings nor compiled engines."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from engine.cache import VARIABLE
from pipeline.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def settings_of_the_user_are_not_read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session", autouse=True)
def engines_are_kept_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(tmp_path_factory.mktemp("engines")))
        yield


@pytest.fixture(autouse=True)
def the_program_logs_as_it_begins() -> None:
    """Undo what commands did to the program's logger and to the root logger, since it would hide later warnings."""
    logger = logging.getLogger("barefaced")
    logger.handlers[:] = []
    logger.setLevel(logging.NOTSET)
    logger.propagate = True
    logging.getLogger().setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def _mesh() -> None:
    """The face mesh, with which masks are drawn: it comes in a package of its own."""
    mesh = pytest.importorskip("training.data.mesh")
    try:
        mesh.mesh_network()
    except CheckpointError as error:
        pytest.skip(str(error))
