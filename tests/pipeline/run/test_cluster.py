"""Runs on a Ray cluster of three nodes in one machine: the same packets as a run on one."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from commands.parsing import INCOMPLETE
from commands.run import exit_code
from pipeline.errors import ConfigError
from pipeline.run import doctor, nodes
from pipeline.run.batch import Job
from pipeline.run.cluster import Driver
from pipeline.settings.values import build
from tests.pipeline.chunked_clips import SETTINGS, Watching, masked_clip, packets_of, run_in_chunks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.run.process import Ended

ray = pytest.importorskip("ray", reason="install barefaced[cluster]")
cluster_utils = pytest.importorskip("ray.cluster_utils", reason="install barefaced[cluster]")

ROOT = str(Path(__file__).parents[3])
LOADERS = "tests.pipeline.run.cluster_loader"
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes, each with room for one worker, that is as urgent as whatever else runs here."""
    os.environ.update(RAY_worker_niceness="0")
    found = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    for _ in range(2):
        found.add_node(num_cpus=2)
    ray.init(
        address=found.address,
        logging_level=logging.ERROR,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": ROOT}},
    )
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("talks")
    return [masked_clip(frames).write(folder / f"{frames}.mp4") for frames in (60, 45)]


@pytest.fixture(scope="module")
def locally(clips: Sequence[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[object, ...]]]:
    """Each clip's name to the packets that a run on one machine makes of it."""
    folder = tmp_path_factory.mktemp("local")
    for clip in clips:
        assert run_in_chunks(clip, folder / clip.name).error is None
    return {clip.name: packets_of(folder / clip.name) for clip in clips}


def on_cluster(
    clips: Sequence[Path],
    folder: Path,
    *,
    loader: str = "as_if_loaded",
    driver_type: type[Driver] = Driver,
    watching: Watching | None = None,
    **more: Any,
) -> tuple[list[Ended], dict[str, Any]]:
    """How the files ended, and what the driver tells of the cluster."""
    config = build(SETTINGS | more)
    driver = driver_type(ray, config, watching or Watching(), loader=f"{LOADERS}:{loader}")
    return list(driver.process([Job(clip, folder / clip.name) for clip in clips])), driver.as_json()


class Disturbed(Driver):
    """A driver that does something once its second chunk is back."""

    does: Any = None
    back = 0

    def _collect(self) -> None:
        before = len(self.waiting)
        super()._collect()
        type(self).back += before > 0
        if type(self).back == 2 and type(self).does is not None:
            act, type(self).does = type(self).does, None
            act(self)


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("shared", [False, True])
def test_several_files_become_what_one_machine_makes_of_them(
    clips: list[Path], locally: dict[str, list[tuple[object, ...]]], tmp_path: Path, shared: bool
) -> None:
    watching = Watching()
    ended, told = on_cluster(clips, tmp_path, watching=watching, shared=shared)
    assert [one.error for one in ended] == [None, None]
    for clip in clips:
        assert packets_of(tmp_path / clip.name) == locally[clip.name]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(clip.name for clip in clips)
    assert all(one.report.complete for one in ended)

    of_first = ended[0].report.as_json()["cluster"]
    assert isinstance(of_first, dict)
    assert sum(of_first["chunks_by_node"].values()) >= 3
    assert (sum(watching.expected), watching.frames) == (105, 105)  # type: ignore[arg-type]
    assert (told["frames"], told["retries"]) == (105, 0)
    assert told["fps"] > 0
    assert set(of_first["chunks_by_node"]) <= set(told["nodes"])
    assert sum(node["chunks"] for node in told["nodes"].values()) == 7
    assert all(node["busy_seconds"] > 0 for node in told["nodes"].values())


@pytest.mark.usefixtures("cluster")
def test_a_worker_that_is_killed_loses_nothing(
    clips: list[Path], locally: dict[str, list[tuple[object, ...]]], tmp_path: Path
) -> None:
    def kill(driver: Driver) -> None:
        busy = next(seat for seat in driver.seats if seat.facts is not None and seat.task is not None)
        assert busy.facts is not None
        os.kill(busy.facts["process"], signal.SIGKILL)

    Disturbed.does, Disturbed.back = staticmethod(kill), 0
    ended, told = on_cluster(clips[:1], tmp_path, driver_type=Disturbed)
    assert packets_of(tmp_path / clips[0].name) == locally[clips[0].name]
    assert ended[0].report.as_json()["cluster"]["retries"] == 1  # type: ignore[index]
    assert told["retries"] == 1


@pytest.mark.usefixtures("cluster")
def test_a_chunk_that_kills_three_workers_is_reported_and_the_rest_is_finished(
    clips: list[Path], tmp_path: Path
) -> None:
    both, _ = on_cluster(clips, tmp_path, loader="deadly")
    ended, other = sorted(both, key=lambda one: one.report.complete)
    assert ended.error is None
    assert not ended.report.complete
    assert ended.report.missing == ("1.50 s to 2.00 s ended 3 workers that computed it; it is not in the output",)
    assert ended.report.frames_out == 45
    assert other.report.complete
    assert exit_code([ended, other], argparse.Namespace(traceback=False)) == INCOMPLETE


@pytest.mark.usefixtures("cluster")
def test_a_node_with_other_networks_is_refused_in_a_sentence(clips: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has another networks than the other nodes: install the same version"):
        on_cluster(clips[:1], tmp_path, loader="differing")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("cluster")
def test_every_node_says_what_is_installed_on_it() -> None:
    found = nodes.ask_nodes(ray)  # two or three: another test may have removed one
    assert {trouble for _, trouble in nodes.alike(found)} == {None}
    assert len({node.name for node in found}) == len(found) >= 2
    (here, facts), old = (found[0].name, found[0].facts), found[1]
    assert facts is not None
    other = replace(old, facts={**facts, "version": "0.0.1"})
    silent = replace(found[0], name="silent", facts=None, trouble="can't run barefaced: No module named 'pipeline'")
    told = {node.name: trouble for node, trouble in nodes.alike([found[0], other, silent])}
    assert told[here] is None
    assert "has another version than the other nodes" in str(told[other.name])
    assert told[silent.name] == silent.trouble


DRIVER = """
import logging, sys, time
from pathlib import Path
import ray
from pipeline.run.batch import Job
from pipeline.run.cluster import Driver
from pipeline.settings.values import build
from tests.pipeline.chunked_clips import SETTINGS, Watching
address, source, target = sys.argv[1:]
ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
driver = Driver(ray, build(SETTINGS), Watching(at=0), loader="tests.pipeline.run.cluster_loader:as_if_loaded")
list(driver.process([Job(Path(source), Path(target))]))
"""


def test_a_driver_that_is_killed_goes_on_from_the_chunks_that_are_back(
    cluster: Any, clips: list[Path], locally: dict[str, list[tuple[object, ...]]], tmp_path: Path
) -> None:
    target = tmp_path / clips[0].name
    command = [sys.executable, "-c", DRIVER, cluster.address, str(clips[0]), str(target)]
    with subprocess.Popen(command, cwd=ROOT) as driver:
        while not list(tmp_path.glob("*.chunks/[0-9]*.chunk")) and driver.poll() is None:
            time.sleep(0.01)
        driver.kill()
    back = len(list(tmp_path.glob("*.chunks/[0-9]*.chunk")))
    assert driver.returncode == -signal.SIGKILL
    assert back
    assert not target.exists()
    _, told = on_cluster(clips[:1], tmp_path)
    assert sum(node["chunks"] for node in told["nodes"].values()) == 4 - back
    assert packets_of(target) == locally[clips[0].name]
    assert [file.name for file in tmp_path.iterdir()] == [target.name]


def test_a_node_that_goes_away_loses_nothing(
    cluster: Any, clips: list[Path], locally: dict[str, list[tuple[object, ...]]], tmp_path: Path
) -> None:
    Disturbed.does, Disturbed.back = (
        staticmethod(lambda _driver: cluster.remove_node(next(iter(cluster.worker_nodes)))),
        0,
    )
    ended, _ = on_cluster(clips, tmp_path, driver_type=Disturbed)
    assert [one.error for one in ended] == [None, None]
    for clip in clips:
        assert packets_of(tmp_path / clip.name) == locally[clip.name]


def test_auto_starts_a_cluster_of_its_own_whatever_else_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(ray, "init", lambda **arguments: asked.append(arguments))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    for address in ("auto", "10.0.0.5:6379"):
        with nodes.connected(address):
            pass
    assert [arguments["address"] for arguments in asked] == ["local", "10.0.0.5:6379"]


def test_the_doctor_says_that_no_cluster_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_arguments: object) -> None:
        raise ConnectionError("nothing listens")

    monkeypatch.setattr(ray, "init", refused)
    (finding,) = doctor.examine_cluster("10.0.0.5:6379")
    assert finding.state is doctor.Condition.BROKEN
    assert "no Ray cluster answers at 10.0.0.5:6379 (nothing listens)" in finding.says
