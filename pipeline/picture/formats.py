"""What is known of pixel formats: their kind, where their samples lie in memory, and which stands in for which.

FFmpeg describes its formats itself (`av.VideoFormat`); what it does not say to Python, the order of packed samples and
which bits of a sample are used, follows from the names here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from av.video.format import VideoFormat

from pipeline.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

NATIVE = frozenset(
    [f"yuv{kind}p" for kind in ("420", "422", "444", "440")]
    + [f"yuvj{kind}p" for kind in ("420", "422", "444", "440")]
    + [f"yuv{kind}p{bits}le" for kind in ("420", "422", "444") for bits in (9, 10, 12, 14, 16)]
    + [f"yuv440p{bits}le" for bits in (10, 12)]
    + [f"yuva{kind}p" for kind in ("420", "422", "444")]
    + [f"yuva{kind}p{bits}le" for kind in ("420", "422", "444") for bits in (9, 10, 16)]
    + [f"yuva{kind}p12le" for kind in ("422", "444")]
    + ["nv12", "p010le", "gray", "rgb24", "bgr24", "rgba", "bgra", "gbrp", "gbrap"]
    + [f"gbrap{bits}le" for bits in (10, 12, 14, 16)]
    + [f"gray{bits}le" for bits in (9, 10, 12, 14, 16)]
    + [f"gbrp{bits}le" for bits in (9, 10, 12, 14, 16)]
)
"""What the blend can write into: planar YUV of 8 to 16 bits, grey, and the usual RGB. Transparency flows beside it."""

WORKING = {"pal8": "rgb24", "yuv410p": "yuv444p", "xyz12le": "rgb24", "xyz12be": "rgb24"}
"""What pictures become on arrival where their traits say too little to find the nearest native format."""

_PACKED_RGB = re.compile(r"(?P<order>[rgba0]{3,4})(24|48le|64le)?")
_PACKED_YUV = {"yuyv422": (0, 1, 3), "uyvy422": (1, 0, 2), "yvyu422": (0, 3, 1)}
"""Name: the byte of the first luma, blue and red difference among the four that hold two pixels."""
_RED_DIFFERENCE_FIRST = ("nv21", "nv42")
_WIDEST = 64
"""Side in pixels of the picture that stands for all pictures of a format."""


@dataclass(frozen=True)
class Traits:
    """What matters when one pixel format stands in for another."""

    rgb: bool
    grey: bool
    alpha: bool
    depth: int
    """Bits a sample; 0 for pictures in a device's memory."""
    coarse_x: int
    coarse_y: int
    """Luma samples for one chroma sample, across and down: 1 or 2, 4 in rare formats; 1 without chroma."""


@dataclass(frozen=True)
class ComponentPlace:
    """Where a component's samples lie: in `plane`, from value `offset` on, one in every `stride` values."""

    plane: int
    offset: int = 0
    stride: int = 1
    coarse_x: int = 1
    coarse_y: int = 1


@dataclass(frozen=True)
class Layout:
    """How the samples of a format lie in memory, and how they are to be read."""

    places: tuple[ComponentPlace, ...]
    """Where luma, blue and red difference lie; or red, green and blue; or luma alone. Transparency is left out."""
    bits: int
    """How many bits are in use in each sample."""
    unused_bits: int
    """How many bits at the lower end of a sample are not."""
    rgb: bool
    full_range: bool | None
    """Whether values span all that they can; None where the picture's tag says it."""
    centred_chroma: bool
    """True where chroma lies in the middle of its luma samples across, as in JPEG; at the left one elsewhere."""

    @property
    def grey(self) -> bool:
        """True when there is luma alone."""
        return len(self.places) == 1


@lru_cache(maxsize=256)
def traits(name: str) -> Traits:
    """The traits of a pixel format by name. Raises `ValueError` for an unknown one."""
    pixel_format = VideoFormat(name, _WIDEST, _WIDEST)
    components = pixel_format.components
    chroma = [component for component in components if component.is_chroma]
    return Traits(
        rgb=pixel_format.is_rgb,
        grey=len(components) <= 2 and not pixel_format.has_palette,
        alpha=any(component.is_alpha for component in components),
        depth=max((component.bits for component in components), default=0),
        coarse_x=_WIDEST // chroma[0].width if chroma else 1,
        coarse_y=_WIDEST // chroma[0].height if chroma else 1,
    )


@lru_cache(maxsize=64)
def layout(name: str) -> Layout:
    """How pictures in a format lie in memory. Raises `SourceError` for one whose samples can't be viewed here."""
    kind = traits(name)
    places = _places(name)
    if not places or not 8 <= kind.depth <= 16 or name.endswith("be"):
        raise SourceError(
            f"pictures in pixel format {name} can't be processed; convert the input first, for example with "
            "`ffmpeg -i INPUT -pix_fmt yuv420p OUTPUT`"
        )

    jpeg = name.startswith("yuvj")
    high_bits = "msb" in name or re.fullmatch(r"p\d1[026]le", name)
    return Layout(
        places,
        bits=kind.depth,
        unused_bits=16 - kind.depth if high_bits else 0,
        rgb=kind.rgb,
        full_range=True if jpeg else None,
        centred_chroma=jpeg,
    )


@lru_cache(maxsize=64)
def plane_layout(name: str) -> tuple[tuple[int, int], ...]:
    """Bytes a sample and samples a pixel of each plane of a format."""
    itemsizes: dict[int, int] = {}
    channels: dict[int, int] = {}
    for component in VideoFormat(name, _WIDEST, _WIDEST).components:
        itemsizes[component.plane] = 1 if component.bits <= 8 else 2
        channels[component.plane] = channels.get(component.plane, 0) + 1
    return tuple((itemsizes[plane], channels[plane]) for plane in sorted(channels))


def _places(name: str) -> tuple[ComponentPlace, ...]:
    """The places of a format's colour components; empty where they are not known."""
    pixel_format = VideoFormat(name, _WIDEST, _WIDEST)
    if name in _PACKED_YUV:
        luma, blue, red = _PACKED_YUV[name]
        return (ComponentPlace(0, luma, 2), ComponentPlace(0, blue, 4, 2), ComponentPlace(0, red, 4, 2))
    if (match := _PACKED_RGB.fullmatch(name)) and set("rgb") <= set(match["order"]):
        order = match["order"]
        return tuple(ComponentPlace(0, order.index(letter), len(order)) for letter in "rgb")
    if pixel_format.has_palette or pixel_format.is_bayer or "f" in name:
        return ()

    planes = [component.plane for component in pixel_format.components]
    places = []
    for own_index, component in enumerate(pixel_format.components):
        beside = [index for index, plane in enumerate(planes) if plane == component.plane]
        if len(beside) > 2:
            return ()
        offset = beside.index(own_index)
        if name in _RED_DIFFERENCE_FIRST and len(beside) == 2:
            offset = 1 - offset
        if not component.is_alpha:
            coarse_x, coarse_y = _WIDEST // component.width, _WIDEST // component.height
            places.append(ComponentPlace(component.plane, offset, len(beside), coarse_x, coarse_y))
    return tuple(places)


def alpha_channel(name: str) -> int:
    """Which sample of a pixel is its transparency, in a packed format that has one."""
    return name.index("a") if name.startswith(("a", "rgb", "bgr")) else 1


def working_format(name: str) -> str:
    """The format in which pictures of format `name` flow through the pipeline: their own where that is possible."""
    if name in WORKING:
        return WORKING[name]
    if "bayer" in name or "f" in name:
        return "rgb24"
    return closest(name, sorted(NATIVE))


def upright_format(name: str) -> str:
    """The format that holds a picture of format `name` lying on its side without loss.

    4:2:2 turned by 90 degrees is 4:4:0, which few encoders take; 4:4:4 holds it too, each chroma sample written twice.
    """
    return name if traits(name).coarse_x == traits(name).coarse_y else re.sub("422|440", "444", name)


def closest(wanted: str, formats: Sequence[str]) -> str:
    """The format of `formats` that keeps most of `wanted`: itself, an exact one, else the least loss."""
    if wanted in formats:
        return wanted
    have = traits(wanted)

    def loss(name: str) -> tuple[int | bool, ...]:
        want = traits(name)
        # RGB and grey that have to become YUV become 4:2:0: the rest of H.264 and VP9 plays in few places.
        free = have.rgb != want.rgb or have.grey != want.grey
        coarse_x, coarse_y = (2, 2) if free else (have.coarse_x, have.coarse_y)
        return (
            plain(name) != plain(wanted),
            not loses_nothing(wanted, name),
            have.rgb != want.rgb,
            want.grey and not have.grey,
            have.alpha and not want.alpha,
            max(0, have.depth - want.depth),
            have.grey and not want.grey,
            max(0, want.coarse_x - coarse_x) + max(0, want.coarse_y - coarse_y),
            want.depth,
            max(0, coarse_x - want.coarse_x) + max(0, coarse_y - want.coarse_y),
            want.alpha,
            not name.startswith(("yuv", "gbrp", "gray")),
            name.startswith("yuvj"),
        )

    usable = [name for name in formats if not traits(name).depth > 16 and "f" not in name and not name.endswith("be")]
    return min(usable, key=loss)


def plain(name: str) -> str:
    """The format without FFmpeg's old mark for full range: yuvj420p is yuv420p whose range is full."""
    return name.replace("yuvj", "yuv", 1)


def planar(name: str) -> bool:
    """True for YUV with a plane for each component."""
    return plain(name).startswith("yuv") and "p" in name


def moves_exactly(source: str, target: str) -> bool:
    """True when `planes.move` can turn `source` into `target` and every sample keeps its value."""
    have, want = traits(source), traits(target)
    if have.rgb or want.rgb or have.alpha or want.alpha or have.depth != want.depth:
        return False
    if have.grey:
        return want.grey or planar(target)
    finer_or_same = want.coarse_x <= have.coarse_x and want.coarse_y <= have.coarse_y
    return not want.grey and finer_or_same and planar(target) and have.coarse_x <= 2


def loses_nothing(source: str, target: str) -> bool:
    """True when a picture in format `target` can hold all that one in `source` says, to the bit."""
    if plain(source) == plain(target) or moves_exactly(source, target):
        return True
    have, want = traits(source), traits(target)
    return have.rgb and want.rgb and have.depth == want.depth and have.alpha <= want.alpha
