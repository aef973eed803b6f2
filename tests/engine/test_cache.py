from __future__ import annotations

import os
from dataclasses import fields, replace
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import cache
from engine.cache import Cache, Label
from pipeline.errors import CheckpointError

LABEL = Label("generator", "ab" * 32, "tensorrt_rtx", "1.7", ("sm86",), "fp16", "1..8x4x256x256")
COMPILED = bytes(range(256)) * 500


def test_what_was_kept_is_found(tmp_path: Path) -> None:
    store = Cache(tmp_path / "deep" / "engines")
    assert store.find(LABEL) is None
    store.keep(LABEL, COMPILED)
    assert store.find(LABEL) == COMPILED
    (path,) = store.folder.glob("*")
    assert path.name.startswith("generator-tensorrt_rtx-fp16-")
    assert cache.read(path) == (LABEL, COMPILED)


@pytest.mark.parametrize("name", [field.name for field in fields(Label)])
def test_another_value_in_any_field_is_another_engine(tmp_path: Path, name: str) -> None:
    store = Cache(tmp_path)
    store.keep(LABEL, COMPILED)
    other = replace(LABEL, **{name: ("sm89",) if name == "devices" else "other"})
    assert store.find(other) is None
    store.keep(other, b"other")
    assert (store.find(other), store.find(LABEL)) == (b"other", COMPILED)


def test_an_engine_for_several_devices_serves_each_of_them(tmp_path: Path) -> None:
    store = Cache(tmp_path)
    store.keep(replace(LABEL, devices=("sm75", "sm86", "sm89")), COMPILED)
    assert store.find(LABEL) == COMPILED
    assert store.find(replace(LABEL, devices=("sm120",))) is None


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_cut_off_or_damaged_file_is_refused_and_rebuilt(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    store = Cache(tmp_path_factory.mktemp("cache"))
    store.keep(LABEL, COMPILED)
    (path,) = store.folder.glob("*.engine")
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:place])
    else:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :])
    assert store.find(LABEL) is None
    store.keep(LABEL, b"anew")
    assert store.find(LABEL) == b"anew"


@pytest.mark.parametrize("content", [b"", b"somebody else's", cache.MAGIC, cache.MAGIC + b"\xff" * 40])
def test_a_foreign_file_is_told_and_removed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / LABEL.file_name
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="build it anew"):
        cache.read(path)
    assert Cache(tmp_path).find(LABEL) is None
    assert not path.exists()


def test_files_of_others_beside_ours_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    store = Cache(tmp_path)
    store.keep(LABEL, COMPILED)
    assert store.find(LABEL) == COMPILED
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_oldest_go_when_there_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "KEPT", 2)
    store = Cache(tmp_path)
    labels = [replace(LABEL, shapes=str(number)) for number in range(4)]
    for age, label in enumerate(labels[:3]):
        store.keep(label, COMPILED)
        os.utime(tmp_path / label.file_name, (age, age))
    store.keep(labels[3], COMPILED)
    assert [store.find(label) is not None for label in labels] == [False, False, True, True]


def test_a_folder_that_cannot_be_written_is_said_and_nothing_worse(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Cache(tmp_path / "file")
    store.keep(LABEL, COMPILED)
    assert "can't be kept" in caplog.text
    assert store.find(LABEL) is None


def test_a_failed_write_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        cache.write(tmp_path / "a.engine", LABEL, COMPILED)
    assert not list(tmp_path.iterdir())


def test_the_folder_is_the_users_or_the_one_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv(cache.VARIABLE, "~/engines")
    assert cache.default_folder() == Path("/home/somebody/engines")
    monkeypatch.delenv(cache.VARIABLE)
    assert cache.default_folder().parts[-2:] == ("barefaced", "engines")
    assert "~" not in str(cache.default_folder())


def write_often(folder: str, byte: int) -> None:
    for _ in range(20):
        Cache(Path(folder)).keep(LABEL, bytes([byte]) * 300_000)


def test_two_processes_at_once_end_with_one_whole_file(tmp_path: Path) -> None:
    spawn = get_context("spawn")
    writers = [spawn.Process(target=write_often, args=(str(tmp_path), byte)) for byte in (1, 2)]
    for writer in writers:
        writer.start()
    found = [Cache(tmp_path).find(LABEL) for _ in range(50)]
    seen = {None if one is None else bytes(one) for one in found}
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    (path,) = tmp_path.iterdir()
    _, compiled = cache.read(path)
    assert compiled in (b"\x01" * 300_000, b"\x02" * 300_000)
    assert seen <= {None, b"\x01" * 300_000, b"\x02" * 300_000}
