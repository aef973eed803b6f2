"""The settings of the stages: fields of the stages themselves, so that meaning and default stand beside their use.

In TOML they stand in a table of the stage's name, such as `feather-px = 8` under `[blend]`; on the command line
`--set blend.feather-px=8` does the same.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pipeline.rules import settings_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.rules import Setting

STAGES = ("detect", "track", "segment", "identify", "inpaint", "smooth", "blend", "mark")
"""The stages that have settings, in the order in which a frame passes them. Each is a table in TOML."""


@cache
def stage_settings() -> Mapping[str, Setting]:
    """Every setting of a stage by its full name, such as `blend.feather-px`.

    The stages are imported here, since they load OpenCV and FFmpeg, for which `--help` need not wait.
    """
    from pipeline.blend.blend import Blend
    from pipeline.blend.paste import Mark
    from pipeline.blend.smooth import Smooth
    from pipeline.draw.inpaint import Inpaint
    from pipeline.draw.segment import Segment
    from pipeline.find.detect import Detect
    from pipeline.find.track import TrackFaces
    from pipeline.people.identify import Identify

    classes = (Detect, TrackFaces, Segment, Identify, Inpaint, Smooth, Blend, Mark)
    stages = dict(zip(STAGES, classes, strict=True))
    return {f"{name}.{item.key}": item for name, stage in stages.items() for item in settings_in(stage, name)}
