"""Pictures of a live source brought to one size: scaled to fit, with black beside them where their shape differs."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from pipeline.video.conform import fitted, graph_fitting, named

if TYPE_CHECKING:
    from collections.abc import Callable

    import av
    from av.filter import Graph

TICK = Fraction(1, 1_000_000)


class Fitter:
    """Gives every picture the size and format of the first. Used by one thread."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """`say` is told, once for each size, what is scaled."""
        self._say = say
        self._shape: tuple[int, int, str] | None = None
        self._graphs: dict[tuple[int, int, str], Graph] = {}

    def __call__(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture itself when it has that size and format."""
        found = (picture.width, picture.height, picture.format.name)
        if self._shape is None:
            self._shape = found
        if found == self._shape:
            return picture
        if found not in self._graphs:
            size = f"{found[0]}x{found[1]}"
            self._say(
                f"the camera now sends {named(found)} instead of {named(self._shape)}; it is scaled to fit. "
                f"To have it whole, end and start again with --size {size}"
            )
            picture.time_base = picture.time_base or TICK
            self._graphs[found] = graph_fitting(picture, self._shape)
        return fitted(self._graphs[found], picture)
