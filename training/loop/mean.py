"""The weighted mean of networks of one kind: `python -m training.loop.mean OUT RUN=0.3 RUN=0.7`.

A discriminator makes a network sharper and less exact, and learning on other data surer there and less sure elsewhere;
between two networks of which one was trained on from the other, their mean has some of both (Wortsman et al. 2022,
"Model soups"). A part is a run's folder or an exported network; OUT becomes a run that `training.networks.export`
takes. Weights that only some of the parts have, such as those for an expression, are the mean of these alone, so a part
with a share of 0 gives what the others lack and nothing else.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pipeline.errors import CheckpointError, ConfigError
from training.loop.objectives import fixed_samples, validate
from training.needs import errors_in_one_line
from training.networks.checkpoints import begin_warm, built, restore, save
from training.settings import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

CHECKPOINT = "checkpoint.pt"


def mean(out: Path, shares: Mapping[Path, float]) -> dict[str, float]:
    """Write the mean of the averaged weights as `out`, a run with the last run's settings; its validation scores.

    Raises `ConfigError` when the shares are not of 1 in all, and `CheckpointError` for a part that holds no network or
    another one than the last run's, or when no part is a run.
    """
    if min(shares.values()) < 0 or not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
        raise ConfigError(f"the shares {', '.join(map(str, shares.values()))}: none below 0, 1 together")
    runs = [path for path in shares if (path / CHECKPOINT).exists()]
    if not runs:
        raise CheckpointError(
            f"none of {', '.join(map(str, shares))} is the folder of a run: the settings are told there"
        )

    last = restore(runs[-1] / CHECKPOINT)
    config = replace(TrainConfig(**last["config"]), run=out)
    network = built(config)

    total: dict[str, list[tuple[float, Tensor]]] = {}
    for path, share in shares.items():
        own = begin_warm(network, path if path.suffix == ".onnx" else path / CHECKPOINT)
        for name in own:
            total.setdefault(name, []).append((share, network.state_dict()[name].clone()))
    network.load_state_dict({name: _weighted(parts) for name, parts in total.items()}, strict=False)

    out.mkdir(parents=True, exist_ok=True)
    scores = validate(config, network.eval(), fixed_samples(config), last["step"])
    weights = network.state_dict()
    run = {"network": weights, "ema": weights, "step": last["step"], "scores": scores, "config": asdict(config)}
    save(out / CHECKPOINT, run)
    return scores


def _weighted(parts: Sequence[tuple[float, Tensor]]) -> Tensor:
    """The mean of the parts by their shares; of parts without any share, all alike."""
    whole = sum(share for share, _ in parts)
    shares = [share / whole if whole else 1 / len(parts) for share, _ in parts]
    return torch.stack([share * weight for share, (_, weight) in zip(shares, parts, strict=True)]).sum(0)


def _part(text: str) -> tuple[Path, float]:
    path, _, share = text.rpartition("=")
    try:
        return Path(path), float(share)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: a part is PATH=SHARE, such as runs/sharp=0.7") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the flags and write the mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("parts", type=_part, nargs="+", metavar="PATH=SHARE", help="a run's folder or a .onnx file")
    flags = parser.parse_args(arguments)
    with errors_in_one_line(parser):
        scores = mean(flags.out, dict(flags.parts))
        print(", ".join(f"{name} {value:.4f}" for name, value in scores.items()))  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
