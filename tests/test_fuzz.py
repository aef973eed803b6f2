"""The fuzzing command: its corpus is whole, its cases follow from their numbers, and a few of them go well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import fuzz

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[fuzz.Seed]:
    return fuzz.corpus(tmp_path_factory.mktemp("corpus"))


def test_every_file_of_the_corpus_is_whole(seeds: list[fuzz.Seed], tmp_path: Path) -> None:
    assert {seed.kind: fuzz.verdict(seed.path, seed, tmp_path) for seed in seeds} == {
        seed.kind: "complete" for seed in seeds
    }


def test_a_case_follows_from_its_number(seeds: list[fuzz.Seed]) -> None:
    one, other = fuzz.mutated(seeds, 1, 5), fuzz.mutated(seeds, 1, 5)
    assert one == other
    assert fuzz.mutated(seeds, 2, 5) != one


@pytest.mark.parametrize("mutation", fuzz.MUTATIONS)
def test_every_mutation_changes_the_file(mutation: object) -> None:
    import numpy as np

    whole = bytes(range(1, 256)) * 4
    changed = [bytearray(whole) for _ in range(5)]
    for seed, data in enumerate(changed):
        mutation(data, np.random.default_rng(seed))  # type: ignore[operator]
    assert any(bytes(data) != whole for data in changed)


def test_silent_loss_is_a_finding(seeds: list[fuzz.Seed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the end of a file passed over without a word, it would be found."""
    seed = next(seed for seed in seeds if seed.kind == "mkv")
    pictures = fuzz.FileSource.__iter__
    monkeypatch.setattr(fuzz.FileSource, "__iter__", lambda self: list(pictures(self))[:-3].__iter__())
    assert fuzz.verdict(seed.path, seed, tmp_path).startswith("! ")


def test_a_foreign_exception_is_a_finding(
    seeds: list[fuzz.Seed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: object) -> None:
        raise IndexError("out of range")

    monkeypatch.setattr(fuzz.FileSource, "__iter__", fail)
    assert fuzz.verdict(seeds[0].path, seeds[0], tmp_path) == "! IndexError: out of range"


@pytest.mark.parametrize("number", [129, 296, 914, 1254])
def test_pictures_that_a_library_could_not_read_are_refused(
    number: int, seeds: list[fuzz.Seed], tmp_path: Path
) -> None:
    """Found by fuzzing: libavif and libheif raise RuntimeError, which came through."""
    seed, _, data = fuzz.mutated(seeds, 1, number)
    path = tmp_path / f"in{seed.path.suffix}"
    path.write_bytes(data)
    assert not fuzz.verdict(path, seed, tmp_path).startswith("!")
