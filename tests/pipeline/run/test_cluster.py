"""Runs on a Ray cluster of three nodes in one machine: the same packets as a run on one."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

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
    """Three nodes, each with room for one worker."""
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
    **more: Any,
) -> list[Ended]:
    config = build(SETTINGS | more)
    driver = driver_type(ray, config, Watching(), loader=f"{LOADERS}:{loader}")
    return list(driver.process([Job(clip, folder / clip.name) for clip in clips]))


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
    ended = on_cluster(clips, tmp_path, shared=shared)
    assert [one.error for one in ended] == [None, None]
    for clip in clips:
        assert packets_of(tmp_path / clip.name) == locally[clip.name]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(clip.name for clip in clips)
    assert all(one.report.complete for one in ended)
    told = ended[0].report.as_json()["cluster"]
    assert isinstance(told, dict)
    assert sum(told["chunks_by_node"].values()) >= 3


@pytest.mark.usefixtures("cluster")
def test_a_worker_that_is_killed_loses_nothing(
    clips: list[Path], locally: dict[str, list[tuple[object, ...]]], tmp_path: Path
) -> None:
    def kill(driver: Driver) -> None:
        busy = next(seat for seat in driver.seats if seat.facts is not None and seat.task is not None)
        assert busy.facts is not None
        os.kill(busy.facts["process"], signal.SIGKILL)

    Disturbed.does, Disturbed.back = staticmethod(kill), 0
    ended = on_cluster(clips[:1], tmp_path, driver_type=Disturbed)
    assert packets_of(tmp_path / clips[0].name) == locally[clips[0].name]
    assert ended[0].report.as_json()["cluster"]["retries"] == 1  # type: ignore[index]


@pytest.mark.usefixtures("cluster")
def test_a_chunk_that_kills_three_workers_is_reported_and_the_rest_is_finished(
    clips: list[Path], tmp_path: Path
) -> None:
    (ended,) = on_cluster(clips[:1], tmp_path, loader="deadly")
    assert ended.error is None
    assert not ended.report.complete
    assert any("ended 3 workers that computed it" in sentence for sentence in ended.report.missing)
    assert ended.report.frames_out == 45


def test_a_node_that_goes_away_loses_nothing(
    cluster: Any, clips: list[Path], locally: dict[str, list[tuple[object, ...]]], tmp_path: Path
) -> None:
    Disturbed.does, Disturbed.back = (
        staticmethod(lambda _driver: cluster.remove_node(next(iter(cluster.worker_nodes)))),
        0,
    )
    ended = on_cluster(clips, tmp_path, driver_type=Disturbed)
    assert [one.error for one in ended] == [None, None]
    for clip in clips:
        assert packets_of(tmp_path / clip.name) == locally[clip.name]
