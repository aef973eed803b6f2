"""Takes face masks off people in videos and pictures, from Python. What stands in `__all__` is what you may rely on.

    import barefaced

    report = barefaced.remove("talk.mp4", "talk-barefaced.mp4")
    print(report.summary)

    with barefaced.Remover() as remover:
        rgb = remover.frame(rgb)              # (height, width, 3) uint8, one frame of a video after the other

    barefaced.enroll("me.mp4", "me.face", agreed=True)      # your own face, from a recording of you
    barefaced.remove("talk.mp4", face=["me.face"])

Settings are those of `barefaced run`, under the same names with underscores: `detect_every=2`, `codec="hevc"`. What is
drawn where a mask was is invented by a neural network and shows nobody's real face.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import (
    BackendMissing,
    BarefacedError,
    CheckpointError,
    ConfigError,
    DecodeError,
    EngineError,
    SinkError,
    SourceError,
)

if TYPE_CHECKING:
    from barefaced.enrolment import Enrolment, Face, enroll
    from barefaced.removal import Progress, Remover, remove
    from pipeline.run.report import Report

__all__ = [
    "BackendMissing",
    "BarefacedError",
    "CheckpointError",
    "ConfigError",
    "DecodeError",
    "EngineError",
    "Enrolment",
    "Face",
    "Progress",
    "Remover",
    "Report",
    "SinkError",
    "SourceError",
    "enroll",
    "remove",
]


def __getattr__(name: str) -> object:
    """Import the rest of `__all__` when it is first asked for, since it loads FFmpeg and OpenCV."""
    if name not in __all__:
        raise AttributeError(f"module 'barefaced' has no attribute {name!r}")
    from barefaced import enrolment, removal

    return getattr(enrolment if name in enrolment.__all__ else removal, name)
