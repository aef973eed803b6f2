"""What can be set about a training run, and the flags made from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError
from pipeline.rules import Location, Number, OneOf, Whole, Wholes, check_settings, required, setting, settings_in
from pipeline.settings import flags
from training.loop.objectives import OPTIMISERS
from training.networks.generator import GeneratorConfig
from training.networks.mcsam_paper import WIDTH

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Mapping
    from pathlib import Path

NETWORKS = ("trunk", "generator", "segmenter", "mcsam-paper")

SIDE = 128
"""A crop's is a multiple of it: SSIM is taken at this size."""


@dataclass(frozen=True)
class TrainConfig:
    """What a training run may be told."""

    network: str
    """One of `NETWORKS`: the generator's trunk, the generator, the segmenter, or the paper's, to compare with."""
    crops: Path = required(Location(), "folder of stored crops: train and val, and sharp mixed in where it is there")
    run: Path = required(Location(), "folder of the checkpoint, the log and the sheets; a run in it is continued")
    size: int = setting(256, Whole(1), "side of the crops in pixels; the trunk is trained at 128, four times as fast")
    steps: int = setting(6000, Whole(1), "length of the run")
    batch: int = setting(16, Whole(1), "pictures a step, in each process")
    rate: float = setting(4e-4, Number(), "learning rate at the start; it falls along a cosine to a twentieth")
    optimiser: str = setting("muon", OneOf(tuple(OPTIMISERS)), "turns gradients into steps")
    seed: int = setting(0, Whole(0), "random seed of the first weights, the faces, the masks and their wear")
    device: str = setting("cpu", OneOf(("cpu", "cuda")), "computes the network; cuda takes one card for each process")
    precision: str = setting(
        "auto", OneOf(("auto", "bf16", "f32")), "number format of products; auto tries which is faster"
    )
    threads: int = setting(1, Whole(1), "CPU threads of the network; workers draw masks beside them")
    reuse: int = setting(1, Whole(1), "times a drawn picture is used; raise it where drawing is slower than learning")
    workers: int = setting(1, Whole(0), "processes that draw batches ahead of time; 0: the loop draws them itself")
    textures: Path | None = setting(
        None, Location(), "folder of pictures (*.jpg) to print on the masks that the segmenter learns from"
    )
    real: Path | None = setting(
        None, Location(), "folder of photos of people in real masks, as training.data.real wrote them"
    )
    real_share: float = setting(0.25, Number(high=0.5), "share of samples that are of --real")
    warm: Path | None = setting(None, Location(), "checkpoint or exported network that a new run begins with")
    samples: int = setting(96, Whole(1), "validation faces")
    every: int = setting(500, Whole(1), "steps between checkpoints, validations and sheets")

    supervision: str = setting(
        "composite", OneOf(("composite", "whole")), "what the losses see: the hole alone, or the whole picture"
    )
    l1: float = setting(1.0, Number(), "weight of the absolute difference")
    around: float = setting(0.2, Number(), "weight of the absolute difference in the hole and 12 pixels around it")
    ssim: float = setting(0.3, Number(), "weight of 1 - SSIM")
    ms_ssim: float = setting(0.0, Number(), "weight of 1 - SSIM over three scales")
    sharpen_from: float = setting(0.45, Number(), "share of the run after which the losses below join; above 1: never")
    perceptual: float = setting(0.15, Number(), "weight of the difference of EfficientNet features")
    contextual: float = setting(
        0.0, Number(), "weight of what is not found nearby around the mouth (losses.contextual)"
    )
    specks: float = setting(0.0, Number(), "weight of the difference of fine colour (losses.hole_specks)")
    style: float = setting(0.0, Number(), "weight of the difference of the features' Gram matrices")
    identity: float = setting(0.0, Number(), "weight of 1 - cosine of the features' pooled embedding (losses.identity)")
    adversarial: float = setting(0.012, Number(), "weight of the discriminator's opinion, at two scales")
    r1: float = setting(0.0, Number(), "weight of the discriminator's squared slope on a quarter of the true pictures")
    r2: float = setting(0.0, Number(), "weight of the discriminator's squared slope on drawn pictures")

    widths: tuple[int, int, int] = setting(GeneratorConfig.widths, Wholes(3), "channels of the trunk, fine to coarse")
    blocks: int = setting(GeneratorConfig.blocks, Whole(1), "M-CSAM blocks at the bottom of the trunk")
    dilations: tuple[int, ...] = setting(GeneratorConfig.dilations, Wholes(), "dilations of a block's branches")
    refined: int = setting(GeneratorConfig.refined, Whole(1), "channels of the generator's refining stage")
    mended: int = setting(GeneratorConfig.mended, Whole(1), "residual layers of that stage")
    expression: float = setting(
        0.0,
        Number(high=1),
        "share of samples in which the network is given what the mouth does; 0: it has no such input",
    )
    paper_width: int = setting(WIDTH, Whole(1), "channels of the first layer of mcsam-paper")

    def __post_init__(self) -> None:
        """Raise `ConfigError` for a value that can't be trained with."""
        if self.network not in NETWORKS:
            raise ConfigError(f"network {self.network!r} is none of {', '.join(NETWORKS)}")
        check_settings(self)

        # The paper's widest branch mirrors as far as 256 allow; the segmenter finds masks in crops as a run cuts them.
        least = 2 * SIDE if self.network in ("mcsam-paper", "segmenter") else SIDE
        if self.size < least or self.size % SIDE:
            raise ConfigError(f"size can't be {self.size}: {self.network} takes a multiple of {SIDE}, at least {least}")
        if self.expression > 0 and self.network not in ("trunk", "generator"):
            raise ConfigError(
                f"expression can't be {self.expression}: {self.network} takes none, but trunk and generator do"
            )
        if self.widths[2] % len(self.dilations):
            raise ConfigError(f"widths {self.widths}: {len(self.dilations)} branches can't share {self.widths[2]}")

    @property
    def generator(self) -> GeneratorConfig:
        """How large the trunk or generator of this run is."""
        return GeneratorConfig(
            widths=self.widths,
            blocks=self.blocks,
            refined=self.refined,
            mended=self.mended,
            dilations=tuple(self.dilations),
            expression=self.expression > 0,
        )


def differences(before: Mapping[str, object], config: TrainConfig, *, free: Collection[str]) -> list[str]:
    """The flags in which `config` differs from the settings `before`, but for those that are `free` to.

    What is "auto" was chosen when the run began, and differs from nothing.
    """
    now = {name: value for name, value in asdict(config).items() if name not in free and value != "auto"}
    return sorted(name.replace("_", "-") for name, value in now.items() if value != before.get(name))


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The network, and a flag for every other field of `TrainConfig`."""
    parser.add_argument("network", choices=NETWORKS)
    for item in settings_in(TrainConfig):
        flags.add_flag(parser, item)


def given(options: argparse.Namespace) -> TrainConfig:
    """The run that the flags describe. Raises `ConfigError` for one that can't be."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in vars(options).items()
    }
    return TrainConfig(**values)
