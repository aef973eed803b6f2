"""The Masked-Faces synthesiser: a mask drawn on a bare face, in the face's own geometry.

A mask is a ruled surface between a top and a bottom curve that run along the points of a face mesh (468 points,
MediaPipe's numbering), so it follows the jaw and the turn of the head. It is painted in its own coordinates u (ear to
ear) and v (top to bottom), lit like the face, and laid over the picture with straps, a contact shadow and soft edges.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.kinds import MaskKind

if TYPE_CHECKING:
    from collections.abc import Sequence

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Rng = np.random.Generator

RIGHT_JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)
"""Mesh points from the person's right ear down to the chin."""
LEFT_JAW = (454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152)
MIDLINE = (168, 6, 197, 195, 5, 4, 2, 164, 0, 17, 18, 200, 152)
"""From between the eyes over the nose tip (index 5) and the lips to the chin."""
RIGHT_CHEEK, LEFT_CHEEK = (111, 117, 50, 205), (340, 346, 280, 425)
"""Down the cheeks: below the eye, on the cheek bone, below it, beside the mouth."""


@dataclass(frozen=True)
class Cut:
    """Where a mask's outline runs. Positions along a chain of mesh points count in points and may lie between two."""

    bridge: float
    """Where the top edge crosses the midline."""
    ear: float
    """Where the top edge meets the jaw line."""
    corner: float
    """Where the bottom edge leaves the jaw line."""
    cheek: float
    """Where the top edge crosses the cheek."""
    out: float
    """How far the outline stands off the jaw, in parts of the distance to the nose."""
    drop: float
    """How far below the chin it ends, in parts of the face's height; above 0.3 it covers the neck."""
    flare: float
    """How much wider the bottom is than the jaw; scarves flare, gaiters narrow to the neck."""


CUTS: dict[MaskKind, tuple[Cut, Cut]] = {
    MaskKind.SURGICAL: (Cut(0.7, 0.5, 3.6, 0.3, -0.08, 0.01, 0.0), Cut(3.6, 2.4, 5.2, 2.2, 0.06, 0.10, 0.0)),
    MaskKind.CLOTH: (Cut(0.7, 0.4, 3.2, 0.4, -0.05, 0.01, 0.0), Cut(3.6, 2.6, 5.4, 2.4, 0.08, 0.12, 0.0)),
    MaskKind.RESPIRATOR: (Cut(0.7, 1.6, 4.0, 0.6, -0.20, 0.00, 0.0), Cut(2.6, 3.4, 5.6, 2.4, 0.04, 0.10, 0.0)),
    MaskKind.GAITER: (Cut(1.0, 0.2, 4.0, 0.5, 0.00, 0.35, -0.2), Cut(4.2, 2.0, 4.0, 2.5, 0.10, 0.90, 0.15)),
    MaskKind.SCARF: (Cut(1.2, 0.5, 4.0, 0.8, 0.02, 0.35, 0.1), Cut(5.2, 3.0, 4.0, 2.8, 0.20, 0.90, 0.7)),
}
"""The least and the most of each; a mask is cut anywhere between."""


def cut_of(kind: MaskKind, rng: Rng) -> Cut:
    """A cut of this kind; one mask in twelve is worn low, under the nose or on the chin."""
    least, most = (np.array(astuple(cut)) for cut in CUTS[kind])
    cut = Cut(*rng.uniform(least, most).tolist())
    if rng.random() > 1 / 12:
        return cut
    low = rng.uniform(5.8, 9.5)
    return replace(cut, bridge=low, ear=cut.ear + 1.0, corner=max(cut.corner, cut.ear + 2.0), cheek=2.8)


def along(mesh: Floats, chain: Sequence[int], position: float) -> Floats:
    """(2,) the point of a chain of mesh points at `position`, counted in points."""
    spot = np.clip(position, 0, len(chain) - 1)
    low = min(int(spot), len(chain) - 2)
    part = spot - low
    return np.asarray(mesh[chain[low], :2] * (1 - part) + mesh[chain[low + 1], :2] * part, np.float32)


def curve(points: Sequence[Floats], count: int) -> Floats:
    """(count, 2) a Catmull-Rom curve through `points`."""
    knots = np.asarray([2 * points[0] - points[1], *points, 2 * points[-1] - points[-2]], np.float32)
    spot = np.linspace(0, len(points) - 1 - 1e-4, count)
    i = spot.astype(int)
    t = (spot - i)[:, None]
    a, b, c, d = knots[i], knots[i + 1], knots[i + 2], knots[i + 3]
    return np.asarray(
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3), np.float32
    )


def outline(mesh: Floats, cut: Cut, kind: MaskKind, rng: Rng) -> tuple[Floats, Floats]:
    """(64, 2) top and bottom curves, from the person's right to the left."""
    nose = mesh[4, :2]
    chin, brow = mesh[152, :2], mesh[168, :2]
    down = chin - brow

    def off(point: Floats, amount: float) -> Floats:
        return point + (point - nose) * amount

    tilt = rng.normal(0, 0.15)
    wings = (
        far_wings(mesh, rng) if kind in (MaskKind.SURGICAL, MaskKind.CLOTH, MaskKind.RESPIRATOR) else np.zeros((2, 2))
    )
    ears = [off(along(mesh, RIGHT_JAW, cut.ear + tilt), cut.out), off(along(mesh, LEFT_JAW, cut.ear - tilt), cut.out)]
    ears = [ear + wing for ear, wing in zip(ears, wings, strict=True)]
    cheeks = [along(mesh, RIGHT_CHEEK, cut.cheek + tilt), along(mesh, LEFT_CHEEK, cut.cheek - tilt)]
    bridge = along(mesh, MIDLINE, cut.bridge)
    if cut.bridge > 5.5:  # below the nose: the edge runs straight from cheek to cheek
        bridge = 0.5 * (bridge + 0.5 * (cheeks[0] + cheeks[1]) + 0.1 * down)
        cheeks = [0.5 * (ear + bridge) for ear in ears]
    top = curve([ears[0], cheeks[0], bridge, cheeks[1], ears[1]], 64)
    if kind in (MaskKind.GAITER, MaskKind.SCARF):
        ground = chin + down * cut.drop
        across = (ears[1] - ears[0]) * 0.5
        width = 0.72 + cut.flare
        bottom = curve([ground - across * width - down * 0.1, ground, ground + across * width - down * 0.1], 64)
        sides = [off(along(mesh, jaw, cut.corner), cut.out + 0.04) for jaw in (RIGHT_JAW, LEFT_JAW)]
        bottom_middle = 0.5 * (sides[0] + sides[1])
        return top, bottom if np.dot(bottom[32] - bottom_middle, down) > 0 else bottom + down * 0.3
    low = [
        off(along(mesh, jaw, cut.corner), cut.out + 0.02) + 0.8 * wing
        for jaw, wing in zip((RIGHT_JAW, LEFT_JAW), wings, strict=True)
    ]
    middle = [off(along(mesh, jaw, 8.0), cut.out * 0.5 + 0.05) + down * cut.drop * 0.7 for jaw in (RIGHT_JAW, LEFT_JAW)]
    bottom = curve([low[0], middle[0], chin + down * cut.drop, middle[1], low[1]], 64)
    return top, bottom


def head_turn(mesh: Floats) -> float:
    """How far the head is turned, -1 to 1: positive shows more of the person's left half, 0 is a frontal face."""
    across = mesh[454, :2] - mesh[234, :2]
    right, left = (float(np.dot(mesh[side, :2] - mesh[4, :2], across)) for side in (234, 454))
    return float(np.clip((left + right) / (abs(left) + abs(right) + 1e-6), -1, 1))


def far_wings(mesh: Floats, rng: Rng) -> NDArray[np.float64]:
    """(2, 2) how far a stiff mask stands off the cheek at the person's right and left: on a turned head the far side
    shows against the background, beyond the face's outline."""
    turn = head_turn(mesh)
    across = mesh[454, :2] - mesh[234, :2]
    outward = across / (np.linalg.norm(across) + 1e-6) * np.linalg.norm(mesh[152, :2] - mesh[168, :2])
    reach = rng.uniform(0, 0.05, 2)
    reach[0 if turn > 0 else 1] += rng.uniform(0, 0.45) * min(1.0, 1.6 * abs(turn))
    rise = (mesh[168, :2] - mesh[152, :2]) * rng.uniform(-0.1, 0.5)  # its upper corner stands up towards the eye
    return np.stack([-outward * reach[0] + rise * reach[0], outward * reach[1] + rise * reach[1]])


def ruled(top: Floats, bottom: Floats, count: int, *, bulge: float) -> Floats:
    """(count, count, 2) points of the ruled surface between the curves: rows from top to bottom, columns along them."""
    v = np.linspace(0, 1, count, dtype=np.float32)[:, None, None]
    rows = np.stack(
        [np.interp(np.linspace(0, 63, count), np.arange(64), side[:, k]) for side in (top, bottom) for k in (0, 1)]
    )
    upper, lower = rows[:2].T[None], rows[2:].T[None]
    u = np.linspace(0, 1, count, dtype=np.float32)[None, :, None]
    out = (u - 0.5) * 4 * v * (1 - v) * bulge * np.linalg.norm(top[-1] - top[0])
    return np.asarray(upper * (1 - v) + lower * v + out * np.array([1.0, 0.0]))


def covered(points: Floats, size: int) -> Floats:
    """(size, size) soft coverage of a surface's points."""
    rim = np.concatenate([points[0], points[:, -1], points[-1, ::-1], points[::-1, 0]])
    cover = np.zeros((size, size), np.uint8)
    cv2.fillPoly(cover, [np.rint(rim * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return cover.astype(np.float32) / 255


def surface(top: Floats, bottom: Floats, size: int, *, bulge: float) -> tuple[Floats, Floats, Floats]:
    """Soft coverage (size, size) and the maps u and v of the ruled surface between the curves."""
    spacing = max(np.linalg.norm(bottom[32] - top[32]), np.linalg.norm(top[-1] - top[0]), 8.0)
    count = int(min(spacing * 1.6, 2.2 * size))
    points = ruled(top, bottom, count, bulge=bulge)
    cells = np.rint(points).astype(int)
    inside = ((cells >= 0) & (cells < size)).all(-1)
    maps = np.zeros((size, size, 3), np.float32)
    v, u = np.meshgrid(*(np.linspace(0, 1, count, dtype=np.float32),) * 2, indexing="ij")
    y, x = cells[inside].T[::-1]
    maps[y, x, 0] = u[inside]
    maps[y, x, 1] = v[inside]
    maps[y, x, 2] = 1
    weight = cv2.GaussianBlur(maps[..., 2], (0, 0), 1.2) + 1e-4
    return (
        covered(points, size),
        cv2.GaussianBlur(maps[..., 0], (0, 0), 1.2) / weight,
        cv2.GaussianBlur(maps[..., 1], (0, 0), 1.2) / weight,
    )


def field(size: int, cells: float, rng: Rng) -> Floats:
    """(size, size) smooth noise of about unit deviation with `cells` bumps across."""
    small = rng.standard_normal((max(2, round(cells)) + 2,) * 2).astype(np.float32)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)


def lookup(texture: NDArray[np.generic], u: Floats, v: Floats) -> Floats:
    """A square texture at (u, v), both in [0, 1]."""
    last = texture.shape[0] - 1
    return np.asarray(cv2.remap(np.asarray(texture, np.float32), u * last, v * last, cv2.INTER_LINEAR), np.float32)


def base_colour(kind: MaskKind, rng: Rng) -> Floats:
    """(3,) RGB in [0, 1]: what is often worn, and anything."""
    common = {
        MaskKind.SURGICAL: [
            (0.85, 0.9, 0.95),
            (0.62, 0.8, 0.9),
            (0.6, 0.82, 0.78),
            (0.95, 0.95, 0.94),
            (0.1, 0.1, 0.11),
            (0.9, 0.7, 0.78),
        ],
        MaskKind.RESPIRATOR: [
            (0.95, 0.95, 0.94),
            (0.9, 0.9, 0.88),
            (0.12, 0.12, 0.13),
            (0.6, 0.62, 0.65),
            (0.93, 0.88, 0.8),
        ],
    }.get(kind, [(0.08, 0.08, 0.09), (0.3, 0.3, 0.32), (0.12, 0.15, 0.3), (0.9, 0.9, 0.9)])
    if rng.random() < 0.6:
        return np.clip(np.array(common[rng.integers(len(common))]) + rng.normal(0, 0.04, 3), 0.02, 1).astype(np.float32)
    hsv = np.array([[[rng.uniform(0, 360), rng.uniform(0.1, 0.95), rng.uniform(0.1, 1)]]], np.float32)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0], np.float32)


def print_on(u: Floats, v: Floats, colour: Floats, rng: Rng, textures: Sequence[Image]) -> Floats:
    """(size, size, 3) the cloth's colours in [0, 1]: plain, stripes, checks, dots, blotches or a picture."""
    choice = rng.choice(
        ["plain", "stripes", "checks", "dots", "blotches", "picture"], p=[0.55, 0.1, 0.1, 0.07, 0.13, 0.05]
    )
    other = base_colour(MaskKind.CLOTH, rng)
    n = rng.uniform(3, 16)
    turn = rng.uniform(0, np.pi)
    a, b = u * np.cos(turn) + v * np.sin(turn), v * np.cos(turn) - u * np.sin(turn)
    if choice == "picture" and textures:
        picture = textures[rng.integers(len(textures))]
        scale = rng.uniform(0.4, 1.0)
        return lookup(picture, np.clip(u * scale, 0, 1), np.clip(v * scale, 0, 1)) / 255
    if choice == "stripes":
        part = (np.sin(a * n * 2 * np.pi) > rng.uniform(-0.6, 0.6)).astype(np.float32)
    elif choice == "checks":
        part = 0.5 * (np.sin(a * n * 2 * np.pi) > 0) + 0.5 * (np.sin(b * n * 2 * np.pi) > 0)
    elif choice == "dots":
        part = (np.hypot((a * n) % 1 - 0.5, (b * n) % 1 - 0.5) < rng.uniform(0.15, 0.4)).astype(np.float32)
    elif choice == "blotches":
        part = (lookup(field(96, n, rng), u, v) > rng.uniform(-0.3, 0.6)).astype(np.float32)
    else:
        part = np.zeros_like(u)
    return np.asarray(colour + (other - colour) * part[..., None], np.float32)


def folds(kind: MaskKind, u: Floats, v: Floats, rng: Rng) -> Floats:
    """(size, size) brightness around 1: pleats, seam, wrinkles, the roundness of what is underneath, weave."""
    light = np.ones_like(u)
    if kind is MaskKind.SURGICAL:
        strength = rng.uniform(0.03, 0.16)
        for height in (0.28, 0.5, 0.72):
            line = v - height - 0.05 * (1 - 4 * (u - 0.5) ** 2) * rng.uniform(-1, 1)
            light = (
                light
                - strength * np.exp(-((line / 0.025) ** 2))
                + 0.6 * strength * np.exp(-(((line + 0.05) / 0.03) ** 2))
            )
        if rng.random() < 0.6:
            light = light - rng.uniform(0, 0.15) * np.exp(-(((v - 0.05) / 0.02) ** 2))
    elif kind in (MaskKind.CLOTH, MaskKind.RESPIRATOR) and rng.random() < 0.6:
        light = light - rng.uniform(0.05, 0.3) * np.exp(-(((u - 0.5) / rng.uniform(0.008, 0.02)) ** 2))
        light = light + rng.uniform(0, 0.1) * np.sign(u - 0.5)
    wrinkles = rng.uniform(0.02, 0.16 if kind is MaskKind.SCARF else 0.08)
    stretch = rng.uniform(1, 4)
    light = light + wrinkles * lookup(field(96, rng.uniform(3, 8), rng), np.clip(u / stretch, 0, 1), v)
    if kind is MaskKind.SCARF:
        light = light + rng.uniform(0.03, 0.2) * np.sin(v * rng.uniform(10, 40) + 3 * lookup(field(64, 3, rng), u, v))
    side = rng.uniform(-0.35, 0.35)
    light = (
        light
        * (1 - rng.uniform(0.05, 0.35) * (2 * u - 1) ** 2 + side * (u - 0.5))
        * (1 - rng.uniform(0, 0.3) * (v - 0.4) ** 2)
    )
    return np.asarray(light + rng.uniform(0, 0.05) * rng.standard_normal(u.shape), np.float32)


def beyond_the_cheek(paint: Floats, mesh: Floats, rng: Rng) -> Floats:
    """The paint (size, size, 3) where it stands beyond the face's outline: in another light, and its pale inside."""
    outline_points = [mesh[i, :2] for i in (*RIGHT_JAW, *LEFT_JAW[-2::-1])]
    face = np.zeros(paint.shape[:2], np.uint8)
    cv2.fillPoly(face, [np.rint(np.array(outline_points) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    beyond = cv2.GaussianBlur(1 - face.astype(np.float32) / 255, (0, 0), 1.0)[..., None]
    pale = paint + (rng.uniform(0.6, 1.0) - paint) * rng.uniform(0, 0.9)
    return np.asarray(paint * (1 - beyond) + pale * rng.uniform(0.6, 1.7) * beyond, np.float32)


def straps(cover: Floats, top: Floats, bottom: Floats, mesh: Floats, kind: MaskKind, rng: Rng) -> Floats:
    """(size, size) coverage of the straps from the mask's corners to the ears or round the head."""
    lines = np.zeros(cover.shape, np.uint8)
    if kind in (MaskKind.GAITER, MaskKind.SCARF) or rng.random() < 0.15:
        return lines.astype(np.float32)
    width = np.linalg.norm(mesh[454, :2] - mesh[234, :2])
    thickness = max(1, round(width * rng.uniform(0.012, 0.035)))
    up = (mesh[10, :2] - mesh[152, :2]) / np.linalg.norm(mesh[10, :2] - mesh[152, :2])
    for ear, corner_top, corner_bottom in ((234, top[0], bottom[0]), (454, top[-1], bottom[-1])):
        away = (
            mesh[ear, :2]
            + (mesh[ear, :2] - mesh[4, :2]) * rng.uniform(0.02, 0.3)
            + up * width * rng.uniform(-0.02, 0.12)
        )
        for corner in (corner_top, corner_bottom):
            middle = 0.5 * (corner + away) - up * width * rng.uniform(-0.02, 0.03)
            path = np.rint(curve([corner, middle, away], 12) * 16).astype(np.int32)
            cv2.polylines(lines, [path], isClosed=False, color=255, thickness=thickness, lineType=cv2.LINE_AA, shift=4)
    return lines.astype(np.float32) / 255


def valve(paint: Floats, u: Floats, v: Floats, rng: Rng) -> Floats:
    """The paint with a respirator's breathing valve."""
    spot, radius = (rng.choice([0.3, 0.7]) + rng.normal(0, 0.03), rng.uniform(0.45, 0.65)), rng.uniform(0.06, 0.11)
    far = np.hypot(u - spot[0], (v - spot[1]) * rng.uniform(0.7, 1))
    rings = 0.85 + 0.15 * np.cos(far / radius * rng.uniform(6, 20))
    inside = np.clip((radius - far) / 0.015, 0, 1)[..., None]
    return np.asarray(
        paint * (1 - inside) + base_colour(MaskKind.RESPIRATOR, rng) * rings[..., None] * inside, np.float32
    )


def face_light(image: Image, mesh: Floats) -> tuple[float, Floats]:
    """How bright the face is (1 is a well-lit one) and its left-to-right slope over the face, (size,) per column."""
    size = image.shape[0]
    spots = np.clip(np.rint(mesh[[50, 205, 280, 425], :2]), 0, size - 1).astype(int)
    luma = [float(image[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].mean()) for x, y in spots]
    level = np.mean(luma) / 150
    slope = np.clip((luma[2] + luma[3] - luma[0] - luma[1]) / (sum(luma) + 1), -0.5, 0.5)
    width = abs(mesh[454, 0] - mesh[234, 0]) + 1
    across = (np.arange(size) - mesh[4, 0]) / width
    return float(np.clip(level, 0.15, 1.3)), np.clip(1 + slope * across * 1.5, 0.4, 1.6).astype(np.float32)


def draw(
    image: Image,
    mesh: Floats,
    rng: Rng,
    *,
    kind: MaskKind | None = None,
    textures: Sequence[Image] = (),
    plain: bool = False,
) -> tuple[Image, Floats]:
    """`image` (S, S, 3) with a mask drawn on the face of `mesh` (468, 2) in its pixels, and the mask's alpha (S, S).

    The mask's kind, cut, colour, wear and light are drawn from `rng`: the same generator gives the same mask. A `plain`
    one has no print and no folds, which take long: for those who never look beneath the alpha.
    """
    kind = kind or MaskKind(
        rng.choice(list(MaskKind), p=[0.28, 0.22, 0.14, 0.18, 0.18])
    )  # NumPy gives back a plain string
    cut = cut_of(kind, rng)
    size = image.shape[0]
    top, bottom = outline(mesh, cut, kind, rng)
    bulge = rng.uniform(0.0, 0.12)
    if plain:
        cover = covered(ruled(top, bottom, 64, bulge=bulge), size)
        paint = np.full((size, size, 3), base_colour(kind, rng), np.float32)
    else:
        cover, u, v = surface(top, bottom, size, bulge=bulge)
        paint = print_on(u, v, base_colour(kind, rng), rng, textures)
        if kind is MaskKind.RESPIRATOR and rng.random() < 0.4:
            paint = valve(paint, u, v, rng)
        paint = paint * folds(kind, u, v, rng)[..., None]
        if kind not in (MaskKind.GAITER, MaskKind.SCARF) and rng.random() < 0.6:
            paint = beyond_the_cheek(paint, mesh, rng)
    band = straps(cover, top, bottom, mesh, kind, rng)
    strap_colour = (
        base_colour(MaskKind.RESPIRATOR, rng)
        if rng.random() < 0.6
        else paint[cover > 0.5].mean(0)
        if (cover > 0.5).any()
        else 0.9
    )
    alpha = np.maximum(cover, band)
    paint = np.where((cover >= band)[..., None], paint, strap_colour)
    level, slope = face_light(image, mesh)
    paint = paint * (level * rng.uniform(0.75, 1.35)) * slope[None, :, None] * 255
    soft = rng.uniform(0.3, 1.0) * size / 160
    alpha = cv2.GaussianBlur(alpha, (0, 0), soft)
    paint = cv2.GaussianBlur(np.clip(paint, 0, 255).astype(np.float32), (0, 0), soft * 0.8)
    shadow = cv2.GaussianBlur(cover, (0, 0), size * rng.uniform(0.008, 0.03))
    fall = round(size * rng.uniform(0, 0.015))
    shadow = np.pad(shadow, ((fall, 0), (0, 0)))[:size] * rng.uniform(0, 0.45)
    scene = image * (1 - shadow * (1 - alpha))[..., None]
    picture = scene * (1 - alpha[..., None]) + paint * alpha[..., None]
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), alpha
