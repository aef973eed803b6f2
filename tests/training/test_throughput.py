from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `training`")

from tests.training.made_faces import store
from training import throughput
from training.settings import TrainConfig


def test_pace_counts_what_is_done_and_not_the_first_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(throughput.time, "monotonic", lambda: clock[0])
    costs = iter([100.0, *[0.5] * 50])

    def work() -> None:
        clock[0] += next(costs)

    assert throughput.paced(work, 10) == pytest.approx(2)


def test_slow_data_shows_as_waiting(tmp_path: Path) -> None:
    """The loop draws its data itself, so it waits for all that drawing takes; and a run's folder stays as it was."""
    store(tmp_path / "crops", "train")
    config = TrainConfig(
        "segmenter", tmp_path / "crops", tmp_path / "run", size=128, batch=2, workers=0, threads=torch.get_num_threads()
    )
    found = throughput.measure(config, 0.5)
    assert min(found.drawn, found.learned, found.together) > 0  # which is slower, a busy machine decides
    assert 0 < found.waiting < 1
    assert "bottleneck" in replace(found, waiting=0.5).told(config)
    assert "data keeps up" in replace(found, waiting=0.01).told(config)
    assert not (tmp_path / "run").exists()
