"""Settings to what tells people apart: the recogniser, and the people that pictures name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine import models
from pipeline.people.embed import Embedder, portrait
from pipeline.people.people import PeopleFilter
from pipeline.recognisers import recogniser_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.spec import Engine, Network
    from pipeline.people.embed import Examiner
    from pipeline.settings.config import IdentityConfig


@dataclass(frozen=True)
class Who:
    """What tells people apart, and whose masks are taken off."""

    embedder: Embedder
    choice: PeopleFilter


def embedder(settings: IdentityConfig, compiled: Callable[[Network], Engine]) -> tuple[Embedder, tuple[Network, ...]]:
    """What embeds faces, and the files of its networks. Raises what `compiled` raises, and as `RecogniserFile` does."""
    file = recogniser_file(settings.recogniser)
    network = file.network(None if settings.recogniser_file is None else Path(settings.recogniser_file))
    recogniser = file.recogniser(compiled(network))
    if file.UNMASKER is None:
        return Embedder(recogniser, None, file.SAME_PERSON), (network,)
    unmasker = models.shipped(file.UNMASKER)
    return Embedder(recogniser, compiled(unmasker), file.SAME_PERSON), (network, unmasker)


def who(settings: IdentityConfig, examiner: Examiner) -> Who:
    """With the people of the pictures that `only` and `except` name. Raises as `portrait` does."""
    only, spared = (
        tuple(portrait(Path(each), examiner) for each in pictures) for pictures in (settings.only, settings.except_)
    )
    return Who(examiner.embedder, PeopleFilter(only or None, spared, examiner.embedder.least))
