"""The Masked-Faces synthesiser: a mask drawn on a bare face, in the face's own geometry.

It is painted in the coordinates u and v of its surface (`mask_shape`), lit like the face, and laid over the picture
with straps, a contact shadow and soft edges.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.mask_shape import NECK, covered, curve, cut_of, filled, outline, ruled, surface
from training.data.mesh import Point
from training.needs import MaskKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.data.mesh import FaceMesh

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Rng = np.random.Generator

COLOURS: dict[MaskKind, tuple[tuple[float, float, float], ...]] = {
    MaskKind.SURGICAL: (
        *((0.85, 0.9, 0.95), (0.62, 0.8, 0.9), (0.6, 0.82, 0.78)),
        *((0.95, 0.95, 0.94), (0.1, 0.1, 0.11), (0.9, 0.7, 0.78)),
    ),
    MaskKind.RESPIRATOR: (
        *((0.95, 0.95, 0.94), (0.9, 0.9, 0.88), (0.12, 0.12, 0.13)),
        *((0.6, 0.62, 0.65), (0.93, 0.88, 0.8)),
    ),
}
"""RGB in [0, 1] that are often worn."""

CLOTH_COLOURS = ((0.08, 0.08, 0.09), (0.3, 0.3, 0.32), (0.12, 0.15, 0.3), (0.9, 0.9, 0.9))
"""The colours of all other kinds."""

PRINTS = {"plain": 0.55, "stripes": 0.1, "checks": 0.1, "dots": 0.07, "blotches": 0.13, "picture": 0.05}
"""How often cloth is printed with what."""


def blurred(layer: NDArray[np.floating], sigma: float) -> Floats:
    """A Gaussian blur of the layer."""
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), sigma), np.float32)


def field(size: int, cells: float, rng: Rng) -> Floats:
    """(size, size) smooth noise of about unit deviation with `cells` bumps across."""
    small = rng.standard_normal((max(2, round(cells)) + 2,) * 2).astype(np.float32)
    return np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def lookup(texture: NDArray[np.generic], u: Floats, v: Floats) -> Floats:
    """A square texture at (u, v), both in [0, 1]."""
    last = texture.shape[0] - 1
    return np.asarray(cv2.remap(np.asarray(texture, np.float32), u * last, v * last, cv2.INTER_LINEAR), np.float32)


def base_colour(kind: MaskKind, rng: Rng) -> Floats:
    """(3,) RGB in [0, 1]: what is often worn, and anything."""
    common = COLOURS.get(kind, CLOTH_COLOURS)
    if rng.random() < 0.6:
        return np.clip(np.array(common[rng.integers(len(common))]) + rng.normal(0, 0.04, 3), 0.02, 1).astype(np.float32)
    hsv = np.array([[[rng.uniform(0, 360), rng.uniform(0.1, 0.95), rng.uniform(0.1, 1)]]], np.float32)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0], np.float32)


def print_on(u: Floats, v: Floats, colour: Floats, rng: Rng, textures: Sequence[Image]) -> Floats:
    """(size, size, 3) the cloth's colours in [0, 1]: plain, stripes, checks, dots, blotches or a picture."""
    choice = rng.choice(list(PRINTS), p=list(PRINTS.values()))
    other = base_colour(MaskKind.CLOTH, rng)
    repeats, angle = rng.uniform(3, 16), rng.uniform(0, np.pi)

    if choice == "picture" and textures:
        picture = textures[int(rng.integers(len(textures)))]
        scale = rng.uniform(0.4, 1.0)
        return lookup(picture, np.clip(u * scale, 0, 1), np.clip(v * scale, 0, 1)) / np.float32(255)
    a, b = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    if choice == "stripes":
        share = np.sin(a * repeats * 2 * np.pi) > rng.uniform(-0.6, 0.6)
    elif choice == "checks":
        share = 0.5 * (np.sin(a * repeats * 2 * np.pi) > 0) + 0.5 * (np.sin(b * repeats * 2 * np.pi) > 0)
    elif choice == "dots":
        share = np.hypot((a * repeats) % 1 - 0.5, (b * repeats) % 1 - 0.5) < rng.uniform(0.15, 0.4)
    elif choice == "blotches":
        share = lookup(field(96, repeats, rng), u, v) > rng.uniform(-0.3, 0.6)
    else:
        share = np.zeros_like(u)
    return np.asarray(colour + (other - colour) * share[..., None], np.float32)


def folds(kind: MaskKind, u: Floats, v: Floats, rng: Rng) -> Floats:
    """(size, size) brightness around 1: pleats, seam, wrinkles, the roundness of what is underneath, weave."""
    light: NDArray[np.floating] = np.ones_like(u)
    if kind is MaskKind.SURGICAL:
        light = _pleats(u, v, rng)
    elif kind in (MaskKind.CLOTH, MaskKind.RESPIRATOR) and rng.random() < 0.6:
        light = light - rng.uniform(0.05, 0.3) * _line(u - 0.5, rng.uniform(0.008, 0.02))
        light = light + rng.uniform(0, 0.1) * np.sign(u - 0.5)

    wrinkles, stretch = rng.uniform(0.02, 0.16 if kind is MaskKind.SCARF else 0.08), rng.uniform(1, 4)
    light = light + wrinkles * lookup(field(96, rng.uniform(3, 8), rng), np.clip(u / stretch, 0, 1), v)
    if kind is MaskKind.SCARF:
        light = light + rng.uniform(0.03, 0.2) * np.sin(v * rng.uniform(10, 40) + 3 * lookup(field(64, 3, rng), u, v))

    # Round as the face beneath, lit more from one side, and woven.
    side = rng.uniform(-0.35, 0.35)
    light = light * (1 - rng.uniform(0.05, 0.35) * (2 * u - 1) ** 2 + side * (u - 0.5))
    light = light * (1 - rng.uniform(0, 0.3) * (v - 0.4) ** 2)
    return np.asarray(light + rng.uniform(0, 0.05) * rng.standard_normal(u.shape), np.float32)


def _pleats(u: Floats, v: Floats, rng: Rng) -> NDArray[np.floating]:
    """Three folds across a surgical mask, and often the wire in its top edge."""
    light: NDArray[np.floating] = np.ones_like(u)
    strength = rng.uniform(0.03, 0.16)
    for height in (0.28, 0.5, 0.72):
        line = v - height - 0.05 * (1 - 4 * (u - 0.5) ** 2) * rng.uniform(-1, 1)
        light = light - strength * _line(line, 0.025) + 0.6 * strength * _line(line + 0.05, 0.03)
    if rng.random() < 0.6:
        light = light - rng.uniform(0, 0.15) * _line(v - 0.05, 0.02)
    return light


def _line(distance: NDArray[np.floating], width: float) -> NDArray[np.floating]:
    """How strongly a soft line of `width` is seen at a distance from its middle, 1 on it."""
    return np.asarray(np.exp(-((distance / width) ** 2)))


def beyond_the_cheek(paint: Floats, mesh: FaceMesh, rng: Rng) -> Floats:
    """The paint (size, size, 3) where it stands beyond the face's outline: in another light, and its pale inside."""
    beyond = blurred(1 - filled(mesh.outline(), len(paint)), 1.0)[..., None]
    pale = paint + (rng.uniform(0.6, 1.0) - paint) * rng.uniform(0, 0.9)
    return np.asarray(paint * (1 - beyond) + pale * rng.uniform(0.6, 1.7) * beyond, np.float32)


def straps(size: int, top: Floats, bottom: Floats, mesh: FaceMesh, kind: MaskKind, rng: Rng) -> Floats:
    """(size, size) coverage of the straps from the mask's corners to the ears or round the head."""
    lines = np.zeros((size, size), np.uint8)
    if kind in NECK or rng.random() < 0.15:
        return lines.astype(np.float32)
    width = np.linalg.norm(mesh.across)
    thickness = max(1, round(width * rng.uniform(0.012, 0.035)))
    up = mesh[Point.FOREHEAD] - mesh[Point.CHIN]
    up = up / np.linalg.norm(up)

    for ear, corners in ((mesh[Point.RIGHT_EAR], (top[0], bottom[0])), (mesh[Point.LEFT_EAR], (top[-1], bottom[-1]))):
        away = ear + (ear - mesh[Point.NOSE_TIP]) * rng.uniform(0.02, 0.3) + up * width * rng.uniform(-0.02, 0.12)
        for corner in corners:
            middle = 0.5 * (corner + away) - up * width * rng.uniform(-0.02, 0.03)
            path = np.rint(curve([corner, middle, away], 12) * 16).astype(np.int32)
            cv2.polylines(lines, [path], isClosed=False, color=255, thickness=thickness, lineType=cv2.LINE_AA, shift=4)
    return lines.astype(np.float32) / np.float32(255)


FASTENINGS = {"loops": 0.27, "strands": 0.17, "bands": 0.1, "ties": 0.06, "cords": 0.06, "hidden": 0.34}
"""How often what holds a mask: loops at the ears, a single strand to each, bands round the head, ties, a cord round the
neck beside loops, and what hair or a hat hides: an ear is not enough to tell of a strap."""


def fastening(size: int, top: Floats, bottom: Floats, mesh: FaceMesh, rng: Rng) -> Floats:
    """(size, size) coverage of what holds a mask, much of it in front of hair and ears and thinner than a pixel.

    More of it than `straps` draws: for those who look for it. The far ear's is mostly hidden by the head.
    """
    face = max(float(np.linalg.norm(mesh.across)), 1.2 * float(np.linalg.norm(mesh.down)))
    across = mesh.across / (np.linalg.norm(mesh.across) + 1e-6) * face
    up = np.asarray(-mesh.down / (np.linalg.norm(mesh.down) + 1e-6) * face, np.float32)
    held = str(rng.choice(list(FASTENINGS), p=list(FASTENINGS.values())))
    wide = face * float(np.exp(rng.uniform(*np.log([0.006, 0.028]))))
    wide *= rng.uniform(1, 4 if held == "ties" else 2.5) if held in ("bands", "ties") else 1
    far = 0 if mesh.turn > 0 else 1

    lines = np.zeros((2 * size, 2 * size), np.uint8)
    for side, ear in enumerate((mesh[Point.RIGHT_EAR], mesh[Point.LEFT_EAR])):
        if held == "hidden" or rng.random() < (0.8 * abs(mesh.turn) if side == far else 0.1):
            continue
        out = np.asarray(across * (1 if side else -1) * (1 if side == far else 1 + abs(mesh.turn)), np.float32)
        for stops in _strap_stops(held, top[-side], bottom[-side], ear, out, up, rng):
            path = curve(stops, 32)
            points = np.rint((2 * path + 0.5) * 16).astype(np.int32)
            thick = max(1, round(2 * wide))
            cv2.polylines(lines, [points], isClosed=False, color=255, thickness=thick, lineType=cv2.LINE_AA, shift=4)
            if rng.random() < 0.2:  # what makes a loop shorter
                knot = tuple(points[rng.integers(6, 20)].tolist())
                cv2.circle(lines, knot, round(16 * wide * rng.uniform(1.5, 3)), 255, -1, cv2.LINE_AA, 4)
    return np.asarray(cv2.resize(lines, (size, size), interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)


def _strap_stops(
    held: str, upper: Floats, lower: Floats, ear: Floats, out: Floats, up: Floats, rng: Rng
) -> list[list[NDArray[np.floating]]]:
    """Points through which the straps at one side run, from the mask's upper and lower corner there.

    `out` points from the face's middle to that side and `up` upwards, both as long as the face is wide.
    """

    def off(place: Floats, beside: tuple[float, float], above: tuple[float, float]) -> Floats:
        return np.asarray(place + out * rng.uniform(*beside) + up * rng.uniform(*above), np.float32)

    over, under = off(ear, (-0.04, 0.12), (0.02, 0.2)), off(ear, (-0.04, 0.1), (-0.2, -0.02))
    ends = [(upper, over), (lower, under)]
    if held == "strands":
        ends = [(lower if rng.random() < 0.2 else upper, off(ear, (-0.05, 0.3), (-0.05, 0.35)))]
    elif held == "bands":
        ends = [(upper, off(upper, (0.1, 0.5), (0.3, 0.9))), (lower, off(lower, (0.15, 0.5), (-0.3, 0.15)))]
    elif held == "ties":
        ends = [(upper, off(upper, (0.1, 0.4), (0.2, 0.8))), (lower, off(lower, (-0.1, 0.3), (-0.8, -0.2)))]
    elif held == "cords":
        ends.append((upper if rng.random() < 0.5 else lower, off(lower, (-0.3, 0.1), (-1.4, -0.6))))
    elif rng.random() < 0.4:  # round the whole ear
        return [[upper, over, off(ear, (0.1, 0.25), (-0.08, 0.1)), under, lower]]
    elif rng.random() < 0.12:  # twisted
        ends = [(upper, under), (lower, over)]
    slack = rng.uniform(0, 0.07)
    return [[a, (a + b) / 2 + rng.normal(0, slack, 2) * float(np.linalg.norm(b - a)), b] for a, b in ends]


def strands(picture: Image, alpha: Floats, rng: Rng) -> None:
    """Lay bands of any colour across `picture` (S, S, 3) from within its mask, and add them to `alpha` (S, S).

    Straps run anywhere: round the neck, over the hair, beyond the cheek. What is behind them is all that is hidden.
    """
    side = len(alpha)
    # One pixel in many is enough to choose a beginning from.
    held = np.argwhere(alpha[:: side // 32, :: side // 32] > 0.5) * (side // 32)
    if not len(held):
        return

    drawn = np.zeros(alpha.shape, np.uint8)
    for _ in range(rng.integers(1, 4)):
        start = held[rng.integers(len(held)), ::-1]
        way, length = rng.uniform(0, 2 * np.pi), side * rng.uniform(0.2, 0.7)
        bend = rng.normal(0, 0.1, 2) * length

        end = start + length * np.array([np.cos(way), np.sin(way)])
        path = curve([np.asarray(p, np.float32) for p in (start, (start + end) / 2 + bend, end)], 12)
        wide = max(1, round(side * rng.uniform(0.005, 0.03)))
        points = np.rint(path * 16).astype(np.int32)
        cv2.polylines(drawn, [points], isClosed=False, color=255, thickness=wide, lineType=cv2.LINE_AA, shift=4)

    band = drawn.astype(np.float32) / 255
    picture[:] = np.rint(picture * (1 - band[..., None]) + rng.integers(0, 256, 3) * band[..., None])
    np.maximum(alpha, band, out=alpha)


def valve(paint: Floats, u: Floats, v: Floats, rng: Rng) -> Floats:
    """The paint with a respirator's breathing valve."""
    across, down, radius = (
        rng.choice([0.3, 0.7]) + rng.normal(0, 0.03),
        rng.uniform(0.45, 0.65),
        rng.uniform(0.06, 0.11),
    )
    distance = np.hypot(u - across, (v - down) * rng.uniform(0.7, 1))
    rings = 0.85 + 0.15 * np.cos(distance / radius * rng.uniform(6, 20))
    inside = np.clip((radius - distance) / 0.015, 0, 1)[..., None]
    return np.asarray(
        paint * (1 - inside) + base_colour(MaskKind.RESPIRATOR, rng) * rings[..., None] * inside, np.float32
    )


def face_light(image: Image, mesh: FaceMesh) -> tuple[float, Floats]:
    """How bright the face is (1 is a well-lit one) and its left-to-right slope over the face, (size,) per column."""
    size = image.shape[0]
    cheeks = (Point.RIGHT_CHEEK_BONE, Point.RIGHT_OF_MOUTH, Point.LEFT_CHEEK_BONE, Point.LEFT_OF_MOUTH)
    spots = np.clip(np.rint([mesh[point] for point in cheeks]), 0, size - 1).astype(int)
    luma = [float(image[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].mean()) for x, y in spots]

    level = np.mean(luma) / 150
    slope = np.clip((luma[2] + luma[3] - luma[0] - luma[1]) / (sum(luma) + 1), -0.5, 0.5)
    across = (np.arange(size) - mesh[Point.NOSE_TIP][0]) / (abs(mesh.across[0]) + 1)
    return float(np.clip(level, 0.15, 1.3)), np.clip(1 + slope * across * 1.5, 0.4, 1.6).astype(np.float32)


@dataclass(frozen=True)
class _Cloth:
    """A mask before it is lit."""

    cover: Floats
    """(size, size) what it hides, in [0, 1]."""
    paint: Floats
    """(size, size, 3) its colours, 1 for white."""


def draw(
    image: Image,
    mesh: FaceMesh,
    rng: Rng,
    *,
    kind: MaskKind | None = None,
    textures: Sequence[Image] = (),
    plain: bool = False,
    reach: float = 0.0,
    fastened: bool = False,
) -> tuple[Image, Floats]:
    """`image` (S, S, 3) with a mask drawn on the face of `mesh` in its pixels, and the mask's alpha (S, S).

    The mask's kind, cut, colour, wear and light are drawn from `rng`: the same generator gives the same mask. A `plain`
    one has no print and no folds, which take long: for those who never look beneath the alpha. It ends `reach` farther
    down than its kind does, in parts of the face's height. A `fastened` one is held as `fastening` has it; what a strap
    touches is mask then, however soft the picture shows it.
    """
    kind = kind or MaskKind(
        rng.choice(list(MaskKind), p=[0.28, 0.22, 0.14, 0.18, 0.18])
    )  # NumPy gives back a plain string
    size = image.shape[0]
    cut = cut_of(kind, rng)
    fastened = fastened and kind not in NECK
    if fastened and rng.random() < 0.4:  # so narrow that straps cross the cheek
        cut = replace(cut, out=rng.uniform(-0.35, -0.1))
    top, bottom = outline(mesh, replace(cut, drop=cut.drop + reach), kind, rng)
    bulge = rng.uniform(0.0, 0.12)
    if plain:
        cover = covered(ruled(top, bottom, 64, bulge=bulge), size)
        cloth = _Cloth(cover, np.full((size, size, 3), base_colour(kind, rng), np.float32))
    else:
        cover, u, v = surface(top, bottom, size, bulge=bulge)
        cloth = _Cloth(cover, _painted(kind, u, v, mesh, rng, textures))

    band = fastening(size, top, bottom, mesh, rng) if fastened else straps(size, top, bottom, mesh, kind, rng)
    paint = _with_straps(cloth, band, rng)
    if fastened:  # straps in a light of their own
        shade = rng.uniform(0.5, 1.2) * (1 + 0.12 * field(size, 8, rng))
        paint = np.where((cover >= band)[..., None], paint, paint * shade[..., None])
    level, slope = face_light(image, mesh)
    paint = paint * (level * rng.uniform(0.75, 1.35)) * slope[None, :, None] * 255
    if not fastened:
        return _laid_over(image, np.maximum(cover, band), paint, cover, rng)
    picture, alpha = _laid_over(image, np.maximum(cover, band), paint, np.maximum(cover, 0.5 * band), rng)
    return picture, np.maximum(alpha, np.minimum(1.5 * band, 1)).astype(np.float32)


def _painted(kind: MaskKind, u: Floats, v: Floats, mesh: FaceMesh, rng: Rng, textures: Sequence[Image]) -> Floats:
    """(size, size, 3) the cloth with its print, valve and folds."""
    paint = print_on(u, v, base_colour(kind, rng), rng, textures)
    if kind is MaskKind.RESPIRATOR and rng.random() < 0.4:
        paint = valve(paint, u, v, rng)
    paint = paint * folds(kind, u, v, rng)[..., None]
    return paint if kind in NECK or rng.random() >= 0.6 else beyond_the_cheek(paint, mesh, rng)


def _with_straps(cloth: _Cloth, band: Floats, rng: Rng) -> NDArray[np.floating]:
    """The cloth's paint, and that of straps of coverage `band`: white or grey as often as of the cloth's colour."""
    colour = np.full(3, 0.9)
    if rng.random() < 0.6:
        colour = base_colour(MaskKind.RESPIRATOR, rng)
    elif (cloth.cover > 0.5).any():
        colour = cloth.paint[cloth.cover > 0.5].mean(0)
    return np.where((cloth.cover >= band)[..., None], cloth.paint, colour)


def _laid_over(
    image: Image, alpha: Floats, paint: NDArray[np.floating], cover: Floats, rng: Rng
) -> tuple[Image, Floats]:
    """The picture under paint (size, size, 3) in [0, 255], with soft edges and a contact shadow, and the soft alpha."""
    size = len(image)
    soft = rng.uniform(0.3, 1.0) * size / 160
    alpha = blurred(alpha, soft)
    paint = blurred(np.clip(paint, 0, 255).astype(np.float32), soft * 0.8)

    shadow = blurred(cover, size * rng.uniform(0.008, 0.03))
    fall = round(size * rng.uniform(0, 0.015))
    shadow = np.pad(shadow, ((fall, 0), (0, 0)))[:size] * rng.uniform(0, 0.45)

    scene = image * (1 - shadow * (1 - alpha))[..., None]
    picture = scene * (1 - alpha[..., None]) + paint * alpha[..., None]
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), alpha


def labelled(picture: Image, alpha: Floats, rng: Rng) -> Image:
    """The picture with lines of print, and tabs of another colour, on its mask (S, S)."""
    side, held = len(alpha), np.argwhere(alpha[::4, ::4] > 0.9) * 4
    if not len(held):
        return picture

    drawn = picture.copy()
    for _ in range(rng.integers(1, 5)):
        row, column = held[rng.integers(len(held))].tolist()
        colour = rng.uniform(0, 255, 3).tolist()
        if rng.random() < 0.6:
            text = "".join(rng.choice(list("ABEKMNORSTX0359 "), rng.integers(2, 12)))
            cv2.putText(drawn, text, (column, row), 0, side * rng.uniform(0.0008, 0.003), colour, 1, cv2.LINE_AA)
        else:
            size = tuple((side * rng.uniform(0.015, 0.08, 2)).tolist())
            box = cv2.boxPoints(((column, row), size, rng.uniform(0, 180)))
            cv2.fillPoly(drawn, [np.rint(box).astype(np.int32)], colour, cv2.LINE_AA)

    over = blurred(drawn.astype(np.float32), 0.6)
    return np.asarray(np.rint(picture + (over - picture) * alpha[..., None]), np.uint8)


def near_infrared(picture: Image, rng: Rng) -> Image:
    """About what a camera for near-infrared light sees (S, S, 3), three equal channels, made of a colour photo.

    Skin is bright there whatever its colour, and even, since blood and pigment hardly absorb; lips fade, cloth of any
    dye is bright, the light comes from beside the lens and falls off to the rim, and the sensor is noisy. What a dye or
    a skin really reflects is not in a colour photo: this approximates the look, not the physics.
    """
    red, green, blue = picture.astype(np.float32).transpose(2, 0, 1) / 255
    seen = np.clip(1.0 * red + 0.25 * np.maximum(green, blue), 0, 1) ** 0.8
    rows, columns = np.mgrid[-1 : 1 : seen.shape[0] * 1j, -1 : 1 : seen.shape[1] * 1j]
    lit = seen * (1.1 - 0.45 * np.clip(rows**2 + columns**2, 0, 1.5))
    noisy = blurred(lit.astype(np.float32), 0.6) + rng.normal(0, 0.015, seen.shape)
    grey = np.rint(np.clip(noisy, 0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def pale_cloth(picture: Image, alpha: Floats, rng: Rng) -> Image:
    """The picture (S, S, 3) with its mask, `alpha` (S, S), grey and mostly bright: in near-infrared no dye is seen."""
    grey = picture.mean(axis=2, keepdims=True)
    level = rng.uniform(120, 255) if rng.random() < 0.8 else rng.uniform(20, 120)
    cloth = level + (grey - grey[alpha > 0.5].mean()) * rng.uniform(0.2, 0.8) if (alpha > 0.5).any() else grey
    return np.asarray(np.clip(np.rint(picture + (cloth - picture) * alpha[..., None]), 0, 255), np.uint8)
