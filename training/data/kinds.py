"""The kinds of masks that can be drawn, apart from how they are drawn, so that `--help` loads nothing heavy."""

from __future__ import annotations

from enum import StrEnum


class MaskKind(StrEnum):
    """What is worn."""

    SURGICAL = "surgical"
    CLOTH = "cloth"
    RESPIRATOR = "respirator"
    GAITER = "gaiter"
    SCARF = "scarf"
