"""What `training.evaluation.ablate` compares: short runs that differ from one another in one thing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

BASE, ALONE, SHIPPED = "base", "pixels-alone", "shipped"
"""The variants that the others of their table are compared with."""

LEARNING, SHARPENING, SIZE = "learning", "sharpening", "size"
"""The tables: what a trunk learns from scratch, what losses do to a trunk that has learned, and how large it is."""


@dataclass(frozen=True)
class Variant:
    """One run."""

    name: str
    table: str
    meaning: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the run, beside those that all runs of its table share."""
    run: str = ""
    """The variant whose run this is, where it is not one of its own."""


def _late(name: str, meaning: str, **changes: float) -> Variant:
    return Variant(name, SHARPENING, meaning, changes)


def _size(name: str, widths: tuple[int, int, int], blocks: int) -> Variant:
    across = "-".join(map(str, widths))
    return Variant(
        name, SIZE, f"{across}, {blocks} blocks", {"widths": widths, "blocks": blocks, "refined": min(64, widths[0])}
    )


VARIANTS = (
    Variant(BASE, LEARNING, "dilations 1, 2, 4, 8; supervised on the composite; L1 and SSIM"),
    Variant("base-again", LEARNING, "the same with another seed: how much chance does", {"seed": 1}),
    Variant("one-dilation", LEARNING, "no multi-scale attention: dilation 1 only", {"dilations": (1, 1, 1, 1)}),
    Variant("whole-image", LEARNING, "supervised on the whole picture", {"supervision": "whole"}),
    Variant("no-ssim", LEARNING, "without SSIM", {"ssim": 0.0}),
    Variant("ms-ssim", LEARNING, "SSIM over three scales in its place", {"ssim": 0.0, "ms_ssim": 0.3}),
    Variant("no-around", LEARNING, "without L1 around the hole", {"around": 0.0}),
    _late(ALONE, "L1 and SSIM go on alone"),
    _late("perceptual", "EfficientNet features", perceptual=0.25),
    _late("style", "their Gram matrices", style=0.1),
    _late("identity", "their pooled embedding", identity=0.5),
    _late("adversarial", "patch discriminator", adversarial=0.01),
    _late("adversarial-r1", "patch discriminator with R1", adversarial=0.01, r1=1.0),
    _late("adversarial-r1-r2", "patch discriminator with R1 and R2", adversarial=0.01, r1=1.0, r2=1.0),
    _late("all", "features and patch discriminator with R1", perceptual=0.25, adversarial=0.01, r1=1.0),
    _size("narrow", (32, 64, 96), 4),
    _size("slim", (48, 96, 144), 4),
    _size("medium", (64, 128, 192), 4),
    _size("shallow", (96, 160, 256), 2),
    Variant(SHIPPED, SIZE, "96-160-256, 4 blocks", run=BASE),
    _size("deep", (96, 160, 256), 8),
)
"""In the order in which they are trained: those that begin with the base's weights come after it."""
