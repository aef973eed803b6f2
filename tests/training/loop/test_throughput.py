from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `training`")

from pipeline.errors import ConfigError
from tests.training.made_faces import store
from training.loop import train
from training.settings import TrainConfig


def test_rate_counts_what_is_done_and_not_the_first_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(train.time, "monotonic", lambda: clock[0])
    costs = iter([100.0, *[0.5] * 50])

    def work() -> None:
        clock[0] += next(costs)

    assert train.rate_of(work, 10) == pytest.approx(2)


def test_slow_data_shows_as_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A draw takes a quarter of a second, a step three; what is drawn by the loop itself is waited for."""
    clock = [0.0]
    monkeypatch.setattr(train.time, "monotonic", lambda: clock[0])

    class Learner:
        def advance(self, _batch: object) -> None:
            clock[0] += 0.75

    def drawn(*_: object) -> Iterator[object]:
        while True:
            clock[0] += 0.25
            yield object()

    monkeypatch.setattr(train, "begun", lambda *_: Learner())
    monkeypatch.setattr(train, "drawn_batches", drawn)
    found = train.measure(TrainConfig("segmenter", tmp_path, tmp_path, batch=2), 9)
    assert [found.drawn, found.learned, found.together] == pytest.approx([8, 2 / 0.75, 2])
    assert found.waiting == pytest.approx(0.25)


def test_card_that_is_not_there_is_not_replaced_in_silence(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    with pytest.raises(ConfigError, match="finds 0 cards"):
        train.measure(TrainConfig("segmenter", tmp_path, tmp_path, device="cuda"), 1)


def test_real_run_is_measured_and_its_folder_stays_as_it_was(tmp_path: Path) -> None:
    store(tmp_path / "crops", "train")
    config = TrainConfig(
        "segmenter", tmp_path / "crops", tmp_path / "run", batch=2, workers=0, threads=torch.get_num_threads(),
        precision="f32",
    )  # fmt: skip
    found = train.measure(config, 0.5)
    assert min(found.drawn, found.learned, found.together) > 0  # which is slower, a busy machine decides
    assert 0 < found.waiting < 1
    assert "bottleneck" in replace(found, waiting=0.5).summary(config)
    assert "data keeps up" in replace(found, waiting=0.01).summary(config)
    assert not (tmp_path / "run").exists()


def test_command_of_a_run_measures_instead_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store(tmp_path / "crops", "train")
    flags = ["--crops", str(tmp_path / "crops"), "--run", str(tmp_path / "run"), "--batch", "2", "--workers", "0"]
    flags += ["--precision", "f32"]
    monkeypatch.setattr("sys.argv", ["train", "segmenter", *flags, "--measure", "0.1"])
    threads = torch.get_num_threads()
    train.main()
    torch.set_num_threads(threads)
    told = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in told[1:]] == ["drawn alone", "learned alone", "both together"]
    assert not (tmp_path / "run").exists()
