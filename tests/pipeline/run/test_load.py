"""The networks of a run with enrolled faces, on the backend that computes nothing."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engine import models, select
from engine.onnx_file import read_weight, stored_weights
from engine.spec import Precision
from pipeline.draw.mouth import AHEAD, Voices, by_rule
from pipeline.errors import CheckpointError, ConfigError, EngineError
from pipeline.live.live import prepared
from pipeline.people.enrolled import FaceManifest, Recognition, read_face, write_face
from pipeline.people.people import Look
from pipeline.run import load
from pipeline.run.load import give_back_memory
from pipeline.settings import config, values
from tests.pipeline.live_fakes import FakeCamera, Plugged, SlowEngine, always_there, lower_half_is_mask
from tests.pipeline.people.test_enrolled import a_voice
from tests.stand_ins import StandInEngine, flat_colour, stand_in_networks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.spec import Array, Engine, Network
    from pipeline.run.ledger import Shown
    from pipeline.run.load import Networks


KEY = "trunk.leave.0.weight_half"


def face(folder: Path, name: str, *, recogniser: str | None = None, brighter: float = 0.5) -> str:
    base = models.shipped("generator")
    manifest = FaceManifest(base.sha256, "2026-11-26", 1, 90, 20, 200, 20.5, 24.5)
    look = Look(bare=np.array([1.0, 0.0], np.float32))
    recognition = None if recogniser is None else Recognition(recogniser, look)
    weights = {KEY: read_weight(base, stored_weights(base)[KEY]) + np.float16(brighter)}
    write_face(folder / name, manifest, weights, recognition, overwrite=False)
    return str(folder / name)


def settings(*faces: str, **other: object) -> config.Config:
    return values.build({"face": faces, "engine": "identity", **other})


def test_int8_is_taken_where_it_is_asked_for_alone() -> None:
    in_int8 = {name: models.shipped(name, precision=Precision.INT8) for name in load.OURS if models.has_int8(name)}
    assert in_int8
    for precision, taken in (("int8", True), ("auto", False), ("f32", False)):
        with load.networks(values.build({"engine": "onnxruntime", "precision": precision})) as networks:
            assert {networks.hashes[name] == network.sha256 for name, network in in_int8.items()} == {taken}
            assert networks.description.endswith(" cpu int8") is taken


def test_an_enrolled_face_has_a_network_of_its_own_beside_the_shipped_one(tmp_path: Path) -> None:
    with load.networks(settings(face(tmp_path, "me.face"))) as networks:
        assert set(networks.own) == {"me"}
        assert networks.own["me"] is not networks.generator
        hashes = networks.hashes
        assert hashes["generator"] == models.shipped("generator").sha256
        assert hashes["face me"] not in ("", hashes["generator"])
        assert networks.wearers is not None
        assert networks.wearers.looks == {"me": None}
        assert not networks.wearers.only


def test_the_voice_of_the_face_tells_the_mouth_in_the_place_of_the_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(load, "_spoken", lambda _path, _changed, voice: told.append(voice))
    path = face(tmp_path, "me.face")
    whole, voices = read_face(Path(path)), Voices(a_voice(AHEAD), None, 0.6, 0.4)
    write_face(
        tmp_path / "voice.face",
        whole.manifest,
        {KEY: read_weight(whole.generator, stored_weights(whole.generator)[KEY])},
        None,
        overwrite=False,
        voices=voices,
    )
    for name in ("me.face", "voice.face"):
        asked = settings(str(tmp_path / name), expression="speech")
        with load.networks(asked) as networks:
            networks.told_mouth(asked, tmp_path / name)
    assert told[0] is by_rule
    assert told[1].ahead == AHEAD


def test_the_networks_of_every_run_are_compiled_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_one, all_four = select.load, threading.Barrier(4, timeout=60)

    def waiting(network: Network, **asked: Any) -> Engine:
        all_four.wait()  # breaks unless four are under way together
        return compile_one(network, **asked)

    monkeypatch.setattr(select, "load", waiting)
    with load.networks(settings()) as networks:
        assert list(networks.files) == ["retinaface", "segmenter", "generator", "figure"]


def test_what_was_compiled_is_closed_when_another_can_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[StandInEngine] = []

    def failing(network: Network, **_asked: object) -> StandInEngine:
        if network.name == "generator":
            raise EngineError("no such instruction")
        made.append(StandInEngine(network.name, lambda feed: feed))
        return made[-1]

    monkeypatch.setattr(select, "load", failing)
    with pytest.raises(EngineError, match="no such instruction"), load.networks(settings()):
        pass
    assert len(made) == 2
    assert all(engine.closed for engine in made)


def test_without_a_face_nothing_of_it_is_there() -> None:
    with load.networks(settings()) as networks:
        assert networks.own == {}
        assert networks.wearers is None


def test_several_faces_that_nothing_tells_apart_are_refused(tmp_path: Path) -> None:
    faces = face(tmp_path, "ann.face"), face(tmp_path, "bob.face", brighter=0.25)
    with pytest.raises(ConfigError, match="nothing tells ann from the others"), load.networks(settings(*faces)):
        pass


def test_only_enrolled_needs_a_face() -> None:
    with pytest.raises(ConfigError, match="give --face"), load.networks(settings(**{"only-enrolled": True})):
        pass


def test_an_embedding_of_another_recogniser_is_not_compared(tmp_path: Path) -> None:
    pytest.importorskip("face_recognition_models", reason="install barefaced[identity]")
    with load.networks(settings(face(tmp_path, "me.face", recogniser="0" * 64))) as networks:
        assert networks.wearers is not None
        assert networks.wearers.looks == {"me": None}


def test_a_file_that_is_no_face_ends_it_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "me.face").write_bytes(b"no face")
    with pytest.raises(CheckpointError, match=r"me\.face"), load.networks(settings(str(tmp_path / "me.face"))):
        pass


@pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc",
    reason="only glibc keeps freed memory and gives it back",
)
def test_memory_that_was_freed_is_given_back() -> None:
    def resident_mb() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    # Blocks below glibc's threshold for maps of their own; the last one keeps the heap from shrinking by itself.
    blocks = [bytearray(60_000) for _ in range(2000)]
    pin = blocks[-1]
    del blocks
    before = resident_mb()
    give_back_memory()
    assert resident_mb() < before - 60
    assert len(pin) == 60_000


POOLS = """
import ctypes, threading
from pipeline.run.load import share_freed_memory
share_freed_memory()
every = threading.Barrier(6)
def takes() -> None:
    every.wait()
    block = ctypes.CDLL(None).malloc(1000)
    every.wait()
threads = [threading.Thread(target=takes) for _ in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
ctypes.CDLL(None).malloc_stats()
"""


@pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="only glibc gives each thread a pool"
)
def test_threads_share_two_pools_of_memory() -> None:
    told = subprocess.run([sys.executable, "-c", POOLS], capture_output=True, text=True, check=True).stderr
    assert told.count("Arena ") <= 2
    without = subprocess.run(
        [sys.executable, "-c", POOLS.replace("\nshare_freed_memory()", "")], capture_output=True, text=True, check=True
    ).stderr
    assert without.count("Arena ") > 2


pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("no_thread_left")]


@dataclass
class SlowAtFirst(SlowEngine):
    """A network whose first run takes long."""

    first_run_seconds: float = 0.0

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.seconds = 0.0 if self.calls else self.first_run_seconds
        return super().run(feeds)


def networks(segmenter: SlowEngine, generator: SlowEngine) -> Networks:
    return replace(stand_in_networks(always_there), segmenter=segmenter, generator=generator)


FIRST_RUN_SECONDS = 0.8


@pytest.mark.parametrize("slow", ["segmenter", "generator"])
def test_the_first_frame_that_is_shown_came_when_every_network_had_run(slow: str) -> None:
    segmenter = SlowAtFirst(name="mask", outputs_of=lower_half_is_mask)
    generator = SlowAtFirst(name="face", outputs_of=flat_colour)
    slow_one = {"segmenter": segmenter, "generator": generator}[slow]
    slow_one.first_run_seconds = FIRST_RUN_SECONDS
    run = prepared(values.build({}), networks(segmenter, generator), lambda _: None, FakeCamera([Plugged(10_000)]))
    shown: list[Shown] = []

    def show(one: Shown) -> None:
        shown.append(one)
        run.stop()

    run.show_as_they_come(show)
    # While the network ran for the first time newer pictures came: the first to be shown is one of the last of these.
    assert shown[0].frame.arrived > slow_one.moments[0] - FIRST_RUN_SECONDS / 2
    assert run.source.stats.spent == 1
    assert [one.frame.index for one in shown] == list(range(len(shown)))
    assert run.outbox.counts.sent == run.outbox.counts.ages.count == len(shown)


def test_a_network_that_fails_in_rehearsal_is_told_of_and_does_not_end_the_run() -> None:
    said: list[str] = []
    segmenter = SlowEngine(name="mask", outputs_of=lower_half_is_mask, fails=lambda call: call == 1)
    run = prepared(values.build({}), networks(segmenter, SlowEngine()), said.append, FakeCamera([Plugged(10_000)]))
    shown: list[Shown] = []

    def show(one: Shown) -> None:
        shown.append(one)
        run.stop()

    run.show_as_they_come(show)
    assert said == ["a network failed before the first frame was shown: the device was lost"]
    assert shown[0].failed is None


def test_the_networks_of_enrolled_faces_have_run_too() -> None:
    segmenter, own = (
        SlowEngine(name="mask", outputs_of=lower_half_is_mask),
        SlowEngine(name="face", outputs_of=flat_colour),
    )
    parts = replace(networks(segmenter, SlowEngine()), own={"me": own})
    run = prepared(values.build({}), parts, lambda _: None, FakeCamera([Plugged(10_000)]))

    run.show_as_they_come(lambda _: run.stop())
    assert own.calls == 1
