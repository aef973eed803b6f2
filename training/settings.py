"""What can be set about a training run, and the flags made from it."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path  # noqa: TC003 - the flags' types are read from the fields
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from pipeline.errors import ConfigError
from training.loop.optimisers import OPTIMISERS
from training.networks.generator import GeneratorConfig
from training.networks.mcsam_paper import WIDTH

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Mapping

Value = TypeVar("Value")

NETWORKS = ("trunk", "generator", "segmenter", "mcsam-paper")

SIDE = 128
"""A crop's is a multiple of it: SSIM is taken at this size, and so is the segmenter's input."""


def told(default: Value, meaning: str, *words: str) -> Value:
    """A field with what it means, which the help shows; `words` are all that it may be."""
    described: Value = field(default=default, metadata={"meaning": meaning, "words": words})
    return described


def needed(meaning: str) -> Any:  # noqa: ANN401 - a field without a default is of any type
    """A field that must be given."""
    return field(metadata={"meaning": meaning, "words": ()})


@dataclass(frozen=True)
class TrainConfig:
    """One run's settings."""

    network: str
    """One of `NETWORKS`: the generator's trunk, the generator, the segmenter, or the paper's, to compare with."""
    crops: Path = needed("folder of stored crops: train and val, and sharp mixed in where it is there")
    run: Path = needed("folder of the checkpoint, the log and the sheets; a run that is in it goes on")
    size: int = told(256, "side of the crops in pixels; what is learned small carries over, four times as fast")
    steps: int = told(6000, "how long the run is")
    batch: int = told(16, "pictures a step, in each process")
    rate: float = told(4e-4, "step size at the start; it falls along a cosine to a twentieth")
    optimiser: str = told("muon", "what turns gradients into steps", *OPTIMISERS)
    seed: int = told(0, "of the first weights and of all that is drawn: faces, masks, wear")
    device: str = told("cpu", "where the network is computed; cuda takes one card for each process", "cpu", "cuda")
    precision: str = told("bf16", "of the network's products; f32 where bf16 is slow", "bf16", "f32")
    threads: int = told(1, "threads of the network; workers draw masks beside them")
    reuse: int = told(1, "how often a drawn picture is seen; more where drawing is slower than learning")
    workers: int = told(1, "processes that draw batches ahead of time; 0: the loop draws them itself")
    textures: Path | None = told(
        None, "folder of pictures (*.jpg) to print on the masks that the segmenter learns from"
    )
    warm: Path | None = told(None, "a checkpoint or an exported network to begin with when the run is new")
    samples: int = told(96, "validation faces")
    every: int = told(500, "steps between checkpoints, validations and sheets")

    supervision: str = told("composite", "what the losses see: the hole, or the whole picture", "composite", "whole")
    l1: float = told(1.0, "weight of the absolute difference")
    around: float = told(0.2, "weight of the same where blending compares colours: the hole and 12 pixels around")
    ssim: float = told(0.3, "weight of 1 - SSIM")
    ms_ssim: float = told(0.0, "weight of 1 - SSIM over three scales")
    sharpen_from: float = told(0.45, "part of the run after which the losses below join; above 1: never")
    perceptual: float = told(0.15, "weight of the difference of EfficientNet features")
    style: float = told(0.0, "weight of the difference of their Gram matrices")
    identity: float = told(0.0, "weight of 1 - cosine of their pooled embedding; see losses.identity for what it is")
    adversarial: float = told(0.012, "weight of the discriminator's opinion, at two scales")
    r1: float = told(0.0, "weight of its squared slope on a quarter of the true pictures")
    r2: float = told(0.0, "the same on drawn ones")

    widths: tuple[int, int, int] = told(GeneratorConfig.widths, "channels of the trunk, from fine to coarse")
    blocks: int = told(GeneratorConfig.blocks, "M-CSAM blocks at its bottom")
    dilations: tuple[int, ...] = told(GeneratorConfig.dilations, "of the branches of a block")
    refined: int = told(GeneratorConfig.refined, "channels of the generator's refining stage")
    paper_width: int = told(WIDTH, "channels of the first layer of mcsam-paper")

    def __post_init__(self) -> None:
        """Raise `ConfigError` for a value that can't be trained with."""
        if self.network not in NETWORKS:
            raise ConfigError(f"network {self.network!r} is none of {', '.join(NETWORKS)}")
        for each in fields(self):
            words = each.metadata.get("words")
            if words and getattr(self, each.name) not in words:
                raise ConfigError(f"--{_flag(each.name)} {getattr(self, each.name)}: it is one of {', '.join(words)}")
        for name in ("steps", "batch", "reuse", "threads", "samples", "every", "blocks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} {getattr(self, name)}: at least 1")
        least = 2 * SIDE if self.network == "mcsam-paper" else SIDE  # whose widest branch mirrors as far as 256 allow
        if self.size < least or self.size % SIDE:
            raise ConfigError(f"--size {self.size}: {self.network} takes a multiple of {SIDE}, at least {least}")
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, int | float) and value < 0:
                raise ConfigError(f"--{_flag(each.name)} {value}: at least 0")
        if self.widths[2] % len(self.dilations):
            raise ConfigError(f"--widths {self.widths}: {len(self.dilations)} branches can't share {self.widths[2]}")

    @property
    def generator(self) -> GeneratorConfig:
        """How large the trunk or generator of this run is."""
        return GeneratorConfig(
            widths=self.widths, blocks=self.blocks, refined=self.refined, dilations=tuple(self.dilations)
        )


def differences(before: Mapping[str, object], config: TrainConfig, *, free: Collection[str]) -> list[str]:
    """The flags in which `config` differs from the settings `before`, but for those that are `free` to."""
    now = asdict(config)
    return sorted(_flag(name) for name in now if name not in free and now[name] != before.get(name))


def add_flags(parser: argparse.ArgumentParser, *, leave_out: tuple[str, ...] = ()) -> None:
    """The network, and a flag for every other field of `TrainConfig` but those called `leave_out`."""
    hints = get_type_hints(TrainConfig)
    parser.add_argument("network", choices=NETWORKS)
    for each in fields(TrainConfig):
        if each.name in ("network", *leave_out):
            continue
        hint, default = hints[each.name], each.default
        parts = get_args(hint)
        several = bool(parts) and parts[0] is int
        shown = "" if default in (MISSING, None) else " (default: %(default)s)"
        parser.add_argument(
            f"--{_flag(each.name)}",
            type=parts[0] if parts else hint,
            default=None if default is MISSING else default,
            required=default is MISSING,
            choices=each.metadata["words"] or None,
            metavar=None if each.metadata["words"] else "N" if several else each.name.upper(),
            nargs=_count(parts) if several else None,
            help=each.metadata["meaning"] + shown,
        )


def _count(parts: tuple[object, ...]) -> int | str:
    return "+" if Ellipsis in parts else len(parts)


def _flag(name: str) -> str:
    return name.replace("_", "-")


def given(options: argparse.Namespace) -> TrainConfig:
    """The run that the flags describe. Raises `ConfigError` for one that can't be."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in vars(options).items()
    }
    return TrainConfig(**values)
