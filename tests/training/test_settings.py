import argparse
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the extra `training`")

from pipeline.errors import ConfigError
from training.networks.generator import GeneratorConfig
from training.settings import TrainConfig, add_flags, differences, given

NEEDED = ["--crops", "crops", "--run", "runs/a"]


def parsed(*flags: str) -> TrainConfig:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return given(parser.parse_args([*flags]))


def test_every_field_is_a_flag_and_none_changes_what_is_not_given() -> None:
    assert parsed("trunk", *NEEDED) == TrainConfig("trunk", Path("crops"), Path("runs/a"))
    parser = argparse.ArgumentParser()
    add_flags(parser)
    shown = parser.format_help()
    assert all(f"--{item.name.replace('_', '-')} " in shown for item in fields(TrainConfig)[1:])


def test_flags_give_values_of_the_fields_types() -> None:
    flags = (
        "--widths",
        "32",
        "64",
        "96",
        "--dilations",
        "1",
        "2",
        "--ms-ssim",
        "0.5",
        "--warm",
        "a.pt",
        "--batch",
        "4",
    )
    config = parsed("generator", *NEEDED, *flags)
    assert (config.ms_ssim, config.warm, config.batch) == (0.5, Path("a.pt"), 4)
    assert config.generator == GeneratorConfig(widths=(32, 64, 96), dilations=(1, 2))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"network": "unet"}, "none of trunk"),
        ({"size": 100}, "multiple of 128"),
        ({"size": 64}, "at least 128"),
        ({"network": "mcsam-paper", "size": 128}, "at least 256"),
        ({"supervision": "hole"}, "supervision can't be 'hole': allowed is one of composite, whole"),
        ({"size": 192}, "multiple of 128"),
        ({"rate": -1.0}, "rate can't be -1.0: allowed is a number of at least 0"),
        ({"ms_ssim": -0.1}, "ms-ssim can't be -0.1: allowed is a number of at least 0"),
        ({"workers": -1}, "workers can't be -1: allowed is a whole number of at least 0"),
        ({"batch": 0}, "batch can't be 0: allowed is a whole number of at least 1"),
        ({"widths": (32, 64, 99)}, "can't share 99"),
    ],
)
def test_what_can_not_be_trained_is_refused_with_the_reason(change: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        TrainConfig(**({"network": "trunk", "crops": Path("c"), "run": Path("r")} | change))


def test_what_a_run_chose_itself_is_no_difference() -> None:
    begun = TrainConfig("trunk", Path("crops"), Path("run"), precision="f32", batch=4)
    assert differences(asdict(begun), replace(begun, precision="auto"), free=()) == []
    assert differences(asdict(begun), replace(begun, precision="bf16", batch=8), free=("batch",)) == ["precision"]
