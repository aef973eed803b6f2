"""Pixel formats: which flow through the pipeline as they are, and what the others become."""

from __future__ import annotations

NATIVE = frozenset(
    [f"yuv{kind}p" for kind in ("420", "422", "444", "440")]
    + [f"yuvj{kind}p" for kind in ("420", "422", "444", "440")]
    + [f"yuv{kind}p{bits}le" for kind in ("420", "422", "444") for bits in (9, 10, 12, 14, 16)]
    + [f"yuv440p{bits}le" for bits in (10, 12)]
    + ["nv12", "p010le", "gray", "rgb24", "bgr24", "rgba", "bgra", "gbrp"]
    + [f"gray{bits}le" for bits in (9, 10, 12, 14, 16)]
    + [f"gbrp{bits}le" for bits in (9, 10, 12, 14, 16)]
)
"""What the blend can write into: planar YUV of 8 to 16 bits, grey, and the usual RGB."""

BECOMES = {
    "yuyv422": "yuv422p",
    "uyvy422": "yuv422p",
    "yvyu422": "yuv422p",
    "nv21": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "nv20le": "yuv422p10le",
    "p210le": "yuv422p16le",
    "p216le": "yuv422p16le",
    "p410le": "yuv444p16le",
    "p416le": "yuv444p16le",
    "p012le": "yuv420p16le",
    "p016le": "yuv420p16le",
    "y210le": "yuv422p10le",
    "y212le": "yuv422p12le",
    "xv30le": "yuv444p10le",
    "vuyx": "yuv444p",
    "yuv410p": "yuv444p",
    "yuv411p": "yuv422p",
    "yuva420p": "yuv420p",
    "yuva422p": "yuv422p",
    "yuva444p": "yuv444p",
    "pal8": "rgb24",
    "monow": "gray",
    "monob": "gray",
    "ya8": "gray",
    "ya16le": "gray16le",
    "rgb0": "rgb24",
    "bgr0": "rgb24",
    "0rgb": "rgb24",
    "0bgr": "rgb24",
    "argb": "rgb24",
    "abgr": "rgb24",
    "gbrap": "gbrp",
    "gbrap10le": "gbrp10le",
    "gbrap12le": "gbrp12le",
    "gbrap14le": "gbrp14le",
    "gbrap16le": "gbrp16le",
    "rgb48le": "gbrp16le",
    "rgb48be": "gbrp16le",
    "bgr48le": "gbrp16le",
    "rgba64le": "gbrp16le",
    "rgba64be": "gbrp16le",
    "x2rgb10le": "gbrp10le",
    "rgb555le": "rgb24",
    "rgb565le": "rgb24",
    "bgr555le": "rgb24",
    "bgr565le": "rgb24",
}
"""Formats that are rewritten on arrival, and the nearest that holds their colours."""


def working_format(name: str) -> str:
    """The format in which pictures of format `name` flow through the pipeline: their own where that is possible."""
    if name in NATIVE:
        return name
    if name in BECOMES:
        return BECOMES[name]
    little = name.removesuffix("be") + "le"
    if name.endswith("be") and little in NATIVE:
        return little
    alpha = name.replace("yuva", "yuv", 1)
    if alpha in NATIVE:
        return alpha
    return "rgb24"
