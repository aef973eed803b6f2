from dataclasses import asdict
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `training`")

from tests.training.made_faces import store
from training.loop.mean import main
from training.loop.objectives import fixed_samples, validate
from training.networks.checkpoints import built, restore, save
from training.settings import TrainConfig


def run(folder: Path, name: str, seed: int, *, blocks: int = 1, expression: float = 0.0) -> Path:
    """A run of a small trunk with random weights."""
    config = TrainConfig(
        "trunk",
        folder / "crops",
        folder / name,
        128,
        samples=2,
        widths=(8, 8, 8),
        blocks=blocks,
        expression=expression,
    )
    torch.manual_seed(seed)
    weights = built(config).state_dict()
    (folder / name).mkdir()
    state = {"network": weights, "ema": weights, "step": seed, "config": asdict(config), "scores": {}}
    save(folder / name / "checkpoint.pt", state)
    return folder / name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store(tmp_path / "crops", "val")
    return tmp_path


def test_mean_lies_where_the_shares_say_and_has_scores_of_its_own(folder: Path, capsys: pytest.CaptureFixture) -> None:
    first, second = run(folder, "first", 1), run(folder, "second", 2)
    main([str(folder / "out"), f"{first}=0.25", f"{second}=0.75"])
    made, one, two = (restore(run / "checkpoint.pt") for run in (folder / "out", first, second))
    for name, weight in made["ema"].items():
        assert torch.allclose(weight, one["ema"][name] / 4 + two["ema"][name] * 3 / 4, atol=1e-6)
    assert made["step"] == 2
    config = TrainConfig(**made["config"])
    network = built(config)
    network.load_state_dict(made["ema"])
    assert made["scores"] == validate(config, network.eval(), fixed_samples(config), 2)
    assert f"hole_psnr {made['scores']['hole_psnr']:.4f}" in capsys.readouterr().out


def test_weights_that_one_part_alone_has_are_its_own_and_a_share_of_0_gives_nothing_else(folder: Path) -> None:
    plain, told = run(folder, "plain", 1), run(folder, "told", 2, expression=0.75)
    main([str(folder / "out"), f"{plain}=1", f"{told}=0"])
    made, first, second = (restore(part / "checkpoint.pt")["ema"] for part in (folder / "out", plain, told))
    assert made.keys() == second.keys() > first.keys()
    for name, weight in made.items():
        assert torch.equal(weight, first.get(name, second[name]))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (["{first}=0.5", "{second}=0.6"], "1 together"),
        (["{first}=1.5", "{second}=-0.5"], "none below 0"),
        (["{first}=0.5", "{deep}=0.5"], "another network than Trunk"),
        (["{first}=0.5", "{crops}=0.5"], "can't be read as a checkpoint"),
        (["{crops}=1"], "is the folder of a run"),
        (["{first}"], "PATH=SHARE"),
    ],
)
def test_what_has_no_mean_is_refused_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture, parts: list[str], said: str
) -> None:
    names = {"first": run(folder, "first", 1), "second": run(folder, "second", 2), "crops": folder / "crops"}
    names["deep"] = run(folder, "deep", 3, blocks=2)
    with pytest.raises(SystemExit) as ended:
        main([str(folder / "out"), *(part.format(**names) for part in parts)])
    assert ended.value.code
    error = capsys.readouterr().err
    assert said in error
    assert not (folder / "out").exists()
