import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import SourceError
from training.loop import plots


def run(folder: Path, lines: list[dict[str, object]]) -> Path:
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def loss(step: int, seconds: float, waited: float, **terms: float) -> dict[str, object]:
    return {"step": step, "pictures": 8 * step, "seconds": seconds, "waited": waited, **terms}


def score(step: int, **scores: float) -> dict[str, object]:
    return {"step": step, "validation": scores}


def test_curves_are_of_scores_losses_and_the_share_of_waiting(tmp_path: Path) -> None:
    lines = [loss(50, 10, 1, l1=0.5), loss(100, 20, 6, l1=0.4, ssim=0.3), score(100, hole_psnr=17.0)]
    curves = plots.read_log(run(tmp_path / "a", lines))
    assert list(curves) == ["validation: hole_psnr", "loss: l1", "loss: ssim", "share of time waiting for data"]
    assert curves["loss: l1"].pictures.tolist() == [400, 800]
    assert curves["loss: l1"].values.tolist() == [0.5, 0.4]
    assert curves["validation: hole_psnr"].pictures.tolist() == [800]
    assert curves["share of time waiting for data"].values.tolist() == [0.5]


def test_what_a_run_logged_before_it_went_on_from_an_earlier_checkpoint_is_left_out(tmp_path: Path) -> None:
    lines = [loss(50, 10, 0, l1=0.9), loss(100, 20, 0, l1=0.8), score(100, hole_psnr=17.0), loss(150, 30, 0, l1=5.0)]
    lines += [loss(150, 10, 0, l1=0.7), loss(200, 20, 0, l1=0.6), score(200, hole_psnr=18.0)]
    curves = plots.read_log(run(tmp_path / "a", lines))
    assert curves["loss: l1"].values.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert curves["validation: hole_psnr"].values.tolist() == [17.0, 18.0]


def test_folder_without_a_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"log\.jsonl is not the log"):
        plots.read_log(tmp_path)
    with pytest.raises(SourceError, match="no scores and no losses"):
        plots.read_log(run(tmp_path / "new", []))


def test_running_mean_begins_with_the_first_value_and_keeps_a_constant() -> None:
    assert plots.smoothed(np.array([4.0, 4.0, 4.0])) == pytest.approx([4, 4, 4])
    found = plots.smoothed(np.array([0.0] + [1.0] * 100))
    assert found[0] == 0
    assert 0.9 < found[-1] < 1


def test_curve_lies_where_its_values_are(tmp_path: Path) -> None:
    """A score that rises along a line is drawn as one, and a loss that jumps as its running mean before its jumps."""
    lines = [loss(step, step, 0, l1=step % 2) for step in range(1, 11)]
    folder = run(tmp_path / "a", [*lines, *(score(step, psnr=10.0 + step) for step in range(11, 21))])
    panels = {panel.get_title(loc="left"): panel for panel in plots.plot([folder]).axes}
    (rising,) = panels["validation: psnr"].lines
    assert rising.get_xydata().tolist() == [[8 * step, 10.0 + step] for step in range(11, 21)]
    assert panels["validation: psnr"].get_ylim() == pytest.approx((21 - 0.45, 30 + 0.45))
    jumps, mean = panels["loss: l1"].lines
    assert jumps.get_ydata().tolist() == [step % 2 for step in range(1, 11)]
    assert np.ptp(mean.get_ydata()[4:]) < 0.3
    assert jumps.get_alpha() < 1


def test_command_draws_several_runs_on_one_sheet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [
        run(tmp_path / name, [loss(50, 9, 0, l1=level), loss(99, 19, 0, l1=0.1)])
        for name, level in {"a": 1, "b": 2}.items()
    ]
    monkeypatch.setattr("sys.argv", ["plots", *map(str, names)])
    plots.main()
    assert capsys.readouterr().out.strip() == str(tmp_path / "a" / "plots.png")
    with Image.open(tmp_path / "a" / "plots.png") as sheet:
        seen = {colour for _, colour in sheet.convert("RGB").getcolors(1 << 20)}
        assert {(31, 119, 180), (255, 127, 14)} <= seen  # the first two colours of matplotlib
    monkeypatch.setattr("sys.argv", ["plots", str(tmp_path)])
    with pytest.raises(SystemExit):
        plots.main()
    assert "is not the log" in capsys.readouterr().err
