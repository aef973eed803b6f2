"""What changed beyond noise is told, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import cli
from benchmarks import compare
from benchmarks.compare import Verdict, compared
from benchmarks.record import BenchmarkError
from tests.benchmarks import documents

if TYPE_CHECKING:
    from pathlib import Path


def verdicts(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Verdict]:
    return {each.name: each.verdict for each in compared(before, after)}


def test_noise_is_no_change() -> None:
    found = verdicts(documents.pipeline(seed=1), documents.pipeline(seed=11))
    assert set(found.values()) == {Verdict.SAME}


def test_half_the_speed_is_worse_and_half_the_time_better() -> None:
    found = verdicts(documents.pipeline(fps=50), documents.pipeline(fps=25))
    assert found["pipeline/640x480/fps"] is Verdict.WORSE
    assert found["pipeline/640x480/ceiling"] is Verdict.SAME
    slow, fast = documents.live(), documents.live()
    fast["series"][0]["values"] = [value / 2 for value in slow["series"][0]["values"]]
    assert verdicts(slow, fast) == {"live/age": Verdict.BETTER}
    assert verdicts(fast, slow) == {"live/age": Verdict.WORSE}


def test_a_figure_may_be_nothing_at_times() -> None:
    before, after = documents.live(), documents.live()
    for each in (before, after):
        each["series"][0]["values"] = [0.0, 30.0, 30.0, 30.0]
    assert verdicts(before, after) == {"live/age": Verdict.SAME}


def test_measurements_without_a_figure_in_common_are_an_error() -> None:
    with pytest.raises(BenchmarkError, match="no figure in common"):
        compared(documents.live(), documents.pipeline())


def test_another_machine_is_cautioned_of() -> None:
    before, after = documents.pipeline(), documents.pipeline()
    assert compare.cautions(before, after) == []
    after["machine"] = {**after["machine"], "processor": "an abacus"}
    (said,) = compare.cautions(before, after)
    assert said.endswith("then an abacus")


def test_the_command_tells_and_fails_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for fps in (50.0, 25.0):
        paths.append(str(tmp_path / f"{fps}.json"))
        (tmp_path / f"{fps}.json").write_text(json.dumps(documents.pipeline(fps=fps)))
    assert cli.main(["bench", "compare", *paths]) == 0
    said = capsys.readouterr().out
    assert "pipeline/640x480/fps " in said
    assert "ceiling" not in said
    assert cli.main(["bench", "compare", *paths, "--fail"]) == 1
    assert cli.main(["bench", "compare", *reversed(paths), "--fail", "--everything"]) == 0
    assert "within noise" in capsys.readouterr().out
    assert cli.main(["bench", "compare", *paths, "--json", "-"]) == 0
    told = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert told["pipeline/640x480/fps"]["verdict"] == "worse"
    assert told["pipeline/640x480/fps"]["factor"] == pytest.approx(0.5, rel=0.01)
    assert cli.main(["bench", "compare", paths[0], paths[0]]) == 0
    assert "nothing changed beyond noise" in capsys.readouterr().out
