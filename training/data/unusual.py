"""What the segmenter seldom meets in photos and must know all the same.

Masks that reach beyond the crop, flaps behind the ears, balaclavas, masks of wire and clear plastic, in shadow, under
glasses or a shield, of the colour of what is around them; clothes and caps of the colour of the mask; things before a
bare face that are no masks; and beside any face what looks like a strap and is none.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from training.data import masks
from training.data.mask_shape import curve, filled, flap, stroke
from training.data.mesh import FaceMesh, Point
from training.needs import MaskKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Rng = np.random.Generator


def worn(truth: Image, mesh: FaceMesh, rng: Rng, *, textures: Sequence[Image]) -> tuple[Image, Floats]:
    """The picture (S, S, 3) with an unusual mask, and its alpha (S, S)."""
    ground = dressed_below(truth, mesh, rng, textures) if rng.random() < 0.2 else truth
    picture, alpha = cut(ground, mesh, rng, textures=textures)

    dressed = rng.random()
    if dressed < 0.3:
        picture = _like_around(picture, truth, alpha, rng)
    elif dressed < 0.55 and (alpha > 0.9).any():
        colour = picture[alpha > 0.9].mean(axis=0) * rng.uniform(0.8, 1.2) + rng.normal(0, 8, 3)
        picture = dressed_in(picture, mesh, colour, rng, worn=alpha)
    picture = _seen_through(picture, truth, alpha, rng) if rng.random() < 0.16 else picture
    for share, change in ((0.2, _shaded), (0.15, masks.labelled)):
        picture = change(picture, alpha, rng) if rng.random() < share else picture
    picture = shielded(picture, mesh, rng) if rng.random() < 0.08 else picture
    return _behind_glasses(picture, alpha, mesh, rng) if rng.random() < 0.1 else (picture, alpha)


def cut(
    ground: Image, mesh: FaceMesh, rng: Rng, *, textures: Sequence[Image] = (), plain: bool = False
) -> tuple[Image, Floats]:
    """The picture (S, S, 3) with a mask of an unusual cut, and its alpha (S, S); `plain` as in `masks.draw`."""
    draw, what = partial(masks.draw, ground, mesh, rng, textures=textures, plain=plain), rng.random()
    if what < 0.35:
        kind = MaskKind(rng.choice([MaskKind.CLOTH, MaskKind.RESPIRATOR, MaskKind.GAITER], p=[0.55, 0.2, 0.25]))
        return _with_flaps(ground, *draw(kind=kind, fastened=rng.random() < 0.5), mesh, rng)
    if what < 0.55:
        return draw(kind=MaskKind.GAITER if rng.random() < 0.5 else MaskKind.SCARF, reach=rng.uniform(0, 1.2))
    return _balaclava(ground, mesh, rng) if what < 0.72 else draw(fastened=True)


def dressed_below(truth: Image, mesh: FaceMesh, rng: Rng, textures: Sequence[Image] = ()) -> Image:
    """A scarf or a high collar, of any colour and print, up to where a mask ends: no part of it."""
    if rng.random() < 0.4:
        return dressed_in(truth, mesh, rng.uniform(0, 255, 3).astype(np.float32), rng)
    below = (mesh[Point.CHIN] - mesh[Point.NOSE_TIP]) * rng.uniform(0.8, 1.4)
    low = FaceMesh((mesh.points + below).astype(np.float32))
    return masks.draw(truth, low, rng, kind=MaskKind.SCARF, textures=textures)[0]


def _seen_through(picture: Image, truth: Image, alpha: Floats, rng: Rng) -> Image:
    """The picture whose mask (S, S) is of wire, is perforated or of clear plastic: within its rim the face shows."""
    side, what = len(alpha), rng.random()
    within = cv2.distanceTransform((alpha > 0.5).astype(np.uint8), cv2.DIST_L2, 3) - side * rng.uniform(0.005, 0.04)
    rows, columns = np.mgrid[:side, :side] * (2 * np.pi / (side * rng.uniform(0.012, 0.03 if what < 0.4 else 0.07)))
    angle = rng.uniform(0, np.pi)
    a, b = (np.cos(angle + turn) * columns + np.sin(angle + turn) * rows for turn in (0, np.pi / 2))

    behind = truth.astype(np.float32) * rng.uniform(0.3, 1.0)
    if what < 0.4:  # wire
        share = np.minimum(np.cos(a), np.cos(b)) > rng.uniform(-0.7, 0.3)
    elif what < 0.75:  # holes in a part of it
        share = (np.cos(a) + np.cos(b) > rng.uniform(1.0, 1.8)) & (masks.field(side, 5, rng) > rng.uniform(-0.5, 0.7))
        behind *= rng.uniform(0, 0.6)
    else:  # plastic, with reflections
        share = rng.uniform(0.3, 0.75) * (masks.field(side, 8, rng) < rng.uniform(0.8, 2))
        behind = truth + rng.uniform(-20, 30)
    open_share = masks.blurred(np.asarray(share, np.float32), rng.uniform(0.3, 0.8)) * rng.uniform(0.6, 1)
    mixed = picture + (behind - picture) * (open_share * np.clip(within, 0, 1))[..., None]
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8)


def _shaded(picture: Image, alpha: Floats, rng: Rng) -> Image:
    """The picture with a part of its mask (S, S) in shadow, soft or hard."""
    side, way = len(alpha), rng.uniform(0, 2 * np.pi)
    held = np.argwhere(alpha[::4, ::4] > 0.5) * 4
    if not len(held):
        return picture
    rows, columns = np.mgrid[:side, :side] - held[rng.integers(len(held))][:, None, None]
    distance = np.cos(way) * columns + np.sin(way) * rows + side * rng.uniform(0, 0.05) * masks.field(side, 4, rng)
    dark = np.clip(0.5 + distance / (side * rng.uniform(0.01, 0.2)), 0, 1) * rng.uniform(0.3, 0.8)
    over = dark * (alpha if rng.random() < 0.7 else 1)
    return np.asarray(np.rint(picture * (1 - over[..., None])), np.uint8)


def shielded(picture: Image, mesh: FaceMesh, rng: Rng) -> Image:
    """The picture behind a clear shield that hangs from the forehead: no mask, and only what is worn beneath is one."""
    side, (_, out, up) = len(picture), mesh.ear(1)
    upper, lower = out * rng.uniform(0.55, 0.8), out * rng.uniform(0.35, 0.75)
    top, bottom = mesh[Point.FOREHEAD] + up * rng.uniform(-0.1, 0.25), mesh[Point.CHIN] - up * rng.uniform(0.2, 0.7)
    around = np.array([top - upper, top + upper, bottom + lower, bottom - lower], np.float32)
    pane = masks.blurred(filled(around, side), side / 200)

    glare = np.clip(masks.field(side, rng.uniform(2, 6), rng) - rng.uniform(0.3, 1.5), 0, 1)
    edge = pane * (1 - masks.blurred(pane, side / 60)) * rng.uniform(0, 2)
    share = np.clip(pane * (rng.uniform(0, 0.25) + rng.uniform(0, 0.5) * glare) + edge, 0, 0.9)[..., None]
    seen = picture + (rng.uniform(150, 255, 3) - picture) * share
    if rng.random() < 0.7:  # the foam at the forehead
        band = np.array([top - upper, top + upper, top + upper - up * 0.12, top - upper - up * 0.12], np.float32)
        seen = seen + (rng.uniform(0, 255) - seen) * masks.blurred(filled(band, side), side / 250)[..., None]
    return np.asarray(np.clip(np.rint(seen), 0, 255), np.uint8)


def _behind_glasses(picture: Image, alpha: Floats, mesh: FaceMesh, rng: Rng) -> tuple[Image, Floats]:
    """The picture and its mask with glasses that lie over the mask's upper edge: rims, and dark lenses, are no mask."""
    cover = np.zeros((2 * len(picture),) * 2, np.uint8)
    dark, (_, out, up) = rng.random() < 0.4, mesh.ear(1)
    size, low = rng.uniform([1.9, 0.17], [2.5, 0.28]), rng.uniform(0, 0.06)
    for inner, outer in (mesh.points[[133, 33]], mesh.points[[362, 263]]):
        middle, axes = inner + outer - 2 * up * low, size * [np.linalg.norm(inner - outer), np.linalg.norm(up)]
        box = (tuple(middle.tolist()), tuple((2 * axes).tolist()), float(np.degrees(np.arctan2(out[1], out[0]))))
        cv2.ellipse(cover, box, 255, -1 if dark else max(1, round(rng.uniform(0.02, 0.1) * axes[0])), cv2.LINE_AA)
    over = np.asarray(cv2.resize(cover, picture.shape[:2], interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)
    colour = rng.uniform(5, 90) * np.ones(3) if dark or rng.random() < 0.7 else rng.uniform(0, 255, 3)
    return np.rint(picture + (colour - picture) * over[..., None]).astype(np.uint8), alpha * (1 - over)


def _with_flaps(truth: Image, picture: Image, alpha: Floats, mesh: FaceMesh, rng: Rng) -> tuple[Image, Floats]:
    """The mask going on to behind the ears as broad flaps, often with an opening for the ear or a gap before it, or
    standing up there, off the head."""
    width, standing = float(np.linalg.norm(mesh.across)), rng.random() < 0.5
    flaps = np.zeros(alpha.shape, np.uint8)
    for side in (-1, 1):
        around = flap(mesh, side, rng, standing=standing)
        cv2.fillPoly(flaps, [np.rint(around * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        if not standing and rng.random() < 0.7:  # the ear, or the skin before it, is seen through an opening
            middle = 0.25 * mesh.ear(side)[0] + around.T @ [0.15, 0.225, 0.225, 0.15]
            axes = 2 * width * rng.uniform([0.03, 0.06], [0.1, 0.18])
            cv2.ellipse(flaps, (tuple(middle.tolist()), tuple(axes.tolist()), rng.uniform(-40, 40)), 0, -1, cv2.LINE_AA)

    soft = masks.blurred(flaps.astype(np.float32) / np.float32(255), 0.4 * len(alpha) / 160)
    return _painted(picture, truth, alpha, soft, rng)


def _balaclava(truth: Image, mesh: FaceMesh, rng: Rng) -> tuple[Image, Floats]:
    """A gaiter that goes on over the head but for the eyes, often leaving hair, ears or nostrils free.

    What lies above the eyes is worn, and is no mask.
    """
    picture, alpha = masks.draw(truth, mesh, rng, kind=MaskKind.GAITER, reach=rng.uniform(0, 0.8))
    eyes, down, width = mesh[Point.BETWEEN_EYES], mesh.down, float(np.linalg.norm(mesh.across))
    height, middle = float(np.linalg.norm(down)) + 1e-6, mesh.points.mean(axis=0)
    rows, columns = np.mgrid[: len(alpha), : len(alpha)].astype(np.float32)
    below = ((columns - eyes[0]) * down[0] + (rows - eyes[1]) * down[1]) / height**2  # 0 at the eyes, 1 at the chin

    head = cv2.convexHull(((mesh.points - middle) * rng.uniform(1.05, 1.4) + middle - 0.1 * down).astype(np.float32))
    hood = np.zeros(alpha.shape, np.uint8)
    cv2.fillPoly(hood, [np.rint(head * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    turn = float(np.degrees(np.arctan2(mesh.across[1], mesh.across[0])))
    openings = [(eyes, width * rng.uniform(0.38, 0.5), height * rng.uniform(0.14, 0.26))]
    if rng.random() < 0.3:
        ears = mesh[Point.RIGHT_EAR], mesh[Point.LEFT_EAR]
        openings += [(ear, width * rng.uniform(0.04, 0.1), width * rng.uniform(0.08, 0.16)) for ear in ears]
    for spot, across, along in openings:
        cv2.ellipse(hood, (tuple(spot.tolist()), (2 * across, 2 * along), turn), 0, -1, cv2.LINE_AA)
    if rng.random() < 0.4:
        hood[below < -rng.uniform(0.25, 0.5)] = 0

    soft = masks.blurred(hood.astype(np.float32) / np.float32(255), 0.5 * len(alpha) / 160)
    if rng.random() < 0.4:  # one pale cloth for all of it
        picture = np.rint(picture + (rng.uniform(120, 255, 3) - picture) * (alpha > 0.5)[..., None]).astype(np.uint8)
    picture, everything = _painted(picture, truth, alpha * (rng.random() < 0.5), np.maximum(soft, alpha), rng)

    if rng.random() < 0.35:
        nose = np.rint(mesh[Point.NOSE_BASE] + rng.normal(0, 0.02, 2) * width).astype(int).tolist()
        nostrils = np.zeros(alpha.shape, np.uint8)
        cv2.ellipse(nostrils, nose, (max(1, round(width * 0.06)), max(1, round(height * 0.05))), turn, 0, 360, 255, -1)
        free = masks.blurred(nostrils / np.float32(255), 0.6)[..., None]
        picture = np.rint(picture + (truth * rng.uniform(0.3, 1) - picture) * free).astype(np.uint8)
    return picture, np.where(below > 0.08, everything, 0).astype(np.float32)


def _painted(picture: Image, truth: Image, alpha: Floats, added: Floats, rng: Rng) -> tuple[Image, Floats]:
    """The picture with `added` (S, S) more mask in the colour and the light of the mask, and the joint alpha."""
    worn_here = alpha > 0.9
    colour = picture[worn_here].mean(axis=0) if worn_here.any() else rng.uniform(0, 255, 3)
    light = truth.mean(axis=2, keepdims=True) / (float(truth.mean()) + 1)
    shade = np.clip(1 + rng.uniform(0, 0.25) * (masks.blurred(light[..., 0].astype(np.float32), 4) - 1), 0.5, 1.5)
    cloth = colour * rng.uniform(0.75, 1.15) * shade[..., None] + rng.normal(0, 3, (*alpha.shape, 1))
    fresh = np.clip(added - alpha, 0, 1)[..., None]
    return np.rint(picture * (1 - fresh) + np.clip(cloth, 0, 255) * fresh).astype(np.uint8), np.maximum(alpha, added)


def _like_around(picture: Image, truth: Image, alpha: Floats, rng: Rng) -> Image:
    """The mask in the colour of something around it: dark on dark, white on white, skin on skin."""
    worn_here = alpha > 0.9
    free = np.argwhere(alpha < 0.02)
    if not worn_here.any() or not len(free):
        return picture
    row, column = free[rng.integers(len(free))]
    patch = truth[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4].reshape(-1, 3)
    shift = patch.mean(axis=0) + rng.normal(0, 10, 3) - picture[worn_here].mean(axis=0)
    return np.asarray(np.clip(np.rint(picture + alpha[..., None] * shift), 0, 255), np.uint8)


def dressed_in(picture: Image, mesh: FaceMesh, colour: Floats, rng: Rng, *, worn: Floats | None = None) -> Image:
    """A gown, mostly, and a cap, at times, of about one `colour` (3,), as surgeons wear them: no part of a mask.

    `worn` (S, S) is how much of each pixel a mask hides; it lies over the clothes.
    """
    height, width = float(np.linalg.norm(mesh.down)) + 1e-6, float(np.linalg.norm(mesh.across)) + 1e-6
    rows, columns = np.mgrid[: len(picture), : len(picture)].astype(np.float32)
    away = np.stack([columns, rows], axis=2) - mesh[Point.CHIN]  # (S, S, 2)
    below, beside = away @ (mesh.down / height**2), np.abs(away @ (mesh.across / width**2))

    # A collar that is low in the middle, or so high that it meets the mask; shoulders fall away from it.
    clothes = np.zeros(picture.shape[:2], np.float32)
    if rng.random() < 0.85:
        collar, opening = rng.uniform(0.02, 0.7), rng.uniform(0.1, 0.6)
        shoulders = rng.uniform(-0.2, 0.35) + rng.uniform(0, 0.5) * np.maximum(beside - 0.5, 0)
        line = np.where(beside < opening, collar + (shoulders - collar) * beside / opening, shoulders)
        clothes = np.maximum(clothes, below > line)
    if rng.random() < 0.4:
        brow = (mesh[Point.BETWEEN_EYES] - mesh[Point.CHIN]) @ (mesh.down / height**2) - rng.uniform(0.15, 0.5)
        clothes = np.maximum(clothes, (below < brow + 0.3 * beside**2) & (beside < rng.uniform(0.5, 0.9)))

    soft = masks.blurred(clothes, rng.uniform(0.4, 1.2) * len(picture) / 160)[..., None]
    if worn is not None:
        soft = soft * (1 - worn[..., None])
    folds = cv2.resize(rng.normal(0, 1, (rng.integers(3, 9), rng.integers(3, 9))).astype(np.float32), picture.shape[:2])
    light = cv2.GaussianBlur(picture, (0, 0), len(picture) / 10).mean(axis=2) / (float(picture.mean()) + 1)
    shade = np.clip(light, 0.5, 1.4) ** rng.uniform(0, 0.7) + rng.uniform(0, 0.15) * folds
    cloth = colour * shade[..., None] + rng.normal(0, rng.uniform(0, 4), (*shade.shape, 1))
    return np.asarray(np.rint(picture * (1 - soft) + np.clip(cloth, 0, 255) * soft), np.uint8)


def held_before(image: Image, mesh: FaceMesh, rng: Rng) -> Image:
    """Something that is eaten, drunk from or held before the mouth: of any colour, from the mouth out of the face."""
    out = image.copy()
    mouth = mesh[Point.UPPER_LIP] + rng.normal(0, 0.04, 2) * len(image)
    width = float(np.linalg.norm(mesh.across))
    away = rng.normal(0, 0.5, 2) + np.array([0.0, 0.7])
    away = away / (np.linalg.norm(away) + 1e-6)

    colour = rng.integers(0, 256, 3).tolist()
    ends = [tuple(np.rint(mouth + away * width * reach).astype(int).tolist()) for reach in (0.0, rng.uniform(0.3, 1.2))]
    thick = max(2, round(width * rng.uniform(0.08, 0.28)))
    if rng.random() < 0.5:
        cv2.line(out, ends[0], ends[1], colour, thick, cv2.LINE_AA)
        cv2.line(out, ends[0], ends[1], [min(255, value + 40) for value in colour], max(1, thick // 4), cv2.LINE_AA)
    else:
        cv2.ellipse(
            out, ends[0], (thick, max(2, round(thick * rng.uniform(0.5, 1)))), 0, 0, 360, colour, -1, cv2.LINE_AA
        )
    return np.asarray(cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 1.2)), np.uint8)


BESIDE = {"glasses": 0.38, "hair": 0.2, "earrings": 0.12, "cables": 0.1, "headset": 0.08, "cap": 0.06, "ground": 0.06}
"""How often what is beside a face: temples of glasses, strands of hair, ear-rings, cables and cords, a headset, a cap's
rim, or bright and dark lines behind the head."""


def beside_ears(image: Image, mesh: FaceMesh, rng: Rng) -> Image:
    """The picture with thin things at the ears and beside the face that hold no mask, one or two kinds of `BESIDE`."""
    out = image
    for _ in range(rng.integers(1, 3)):
        what = str(rng.choice(list(BESIDE), p=list(BESIDE.values())))
        cover = np.zeros((2 * len(image),) * 2, np.uint8)
        for side in (-1, 1):
            if rng.random() < 0.9:
                _BESIDE[what](cover, mesh, side, rng)
        out = _coloured(out, cover, mesh, rng, behind=what == "ground")
    return out


def _coloured(image: Image, cover: Image, mesh: FaceMesh, rng: Rng, *, behind: bool) -> Image:
    """The picture (S, S, 3) under something of coverage `cover` (2 S, 2 S) of 255: mostly dark, often grey or brown."""
    size, kind = len(image), rng.random()
    if kind < 0.45:
        colour = rng.uniform(5, 90) * np.array([1, 0.92, 0.85])
    elif kind < 0.75:
        colour = rng.uniform(60, 250) * np.ones(3)
    elif kind < 0.9:
        colour = rng.uniform(80, 230) * np.array([1, rng.uniform(0.6, 0.9), rng.uniform(0.3, 0.7)])  # gold, skin
    else:
        colour = rng.uniform(0, 255, 3)

    soft = np.asarray(cv2.resize(cover, (size, size), interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)
    soft = masks.blurred(soft, rng.uniform(0.2, 0.7) * size / 160) * rng.uniform(0.6, 1)
    if behind:
        hull = cv2.convexHull((1.15 * (mesh.points - mesh.points.mean(0)) + mesh.points.mean(0)).astype(np.float32))
        soft = soft * (1 - masks.blurred(filled(hull[:, 0], size), size / 100))
    shade = 1 + rng.uniform(0, 0.3) * masks.field(size, 10, rng)[..., None]
    return np.clip(np.rint(image + (colour * shade - image) * soft[..., None]), 0, 255).astype(np.uint8)


def _glasses(cover: Image, mesh: FaceMesh, side: int, rng: Rng) -> None:
    """A temple that ends at or behind the ear, mostly with the hinge, and often the rim of a lens."""
    ear, out, up = mesh.ear(side)
    width = float(np.linalg.norm(out))
    inner, outer = mesh.points[[362, 263] if side > 0 else [133, 33]]
    thick = width * np.exp(rng.uniform(*np.log([0.006, 0.035])))

    corner = outer + (ear - outer) * rng.uniform(0.15, 0.65) + up * rng.uniform(-0.02, 0.06)
    end = ear + out * rng.uniform(-0.05, 0.12) + up * rng.uniform(0.02, 0.16)
    stroke(cover, [corner, (corner + end) / 2 + up * rng.normal(0, 0.01), end], thick)
    if rng.random() < 0.7:  # the hinge, and the end piece of the frame
        stroke(cover, [corner, corner + (end - corner) * rng.uniform(0.1, 0.5)], thick * rng.uniform(1.3, 2.5))
    if rng.random() < 0.4:  # bent down behind the ear
        stroke(cover, [end, end + out * rng.uniform(0, 0.06) - up * rng.uniform(0.04, 0.2)], thick)

    if rng.random() < 0.6:
        middle = (inner + outer) / 2 - up * rng.uniform(0, 0.05)
        half = np.array([np.linalg.norm(corner - middle), width * rng.uniform(0.09, 0.16)])
        turn = float(np.degrees(np.arctan2(*(mesh.across[::-1]))))
        box = (tuple((2 * middle).tolist()), tuple((4 * half).tolist()), turn)
        cv2.ellipse(cover, box, 255, max(1, round(2 * thick * rng.uniform(0.4, 1))), cv2.LINE_AA)


def _hair(cover: Image, mesh: FaceMesh, side: int, rng: Rng) -> None:
    """Strands that fall before or behind the ear, or stand off."""
    ear, out, up = mesh.ear(side)
    for _ in range(rng.integers(1, 6)):
        start = ear + out * rng.uniform(-0.1, 0.25) + up * rng.uniform(0.2, 0.7)
        end = ear + out * rng.normal(0.05, 0.12) + up * rng.uniform(-0.6, 0.15)
        middle = (start + end) / 2 + out * rng.normal(0, 0.05)
        stroke(cover, [start, middle, end], float(np.linalg.norm(out)) * rng.uniform(0.004, 0.02))


def _earrings(cover: Image, mesh: FaceMesh, side: int, rng: Rng) -> None:
    """A stud, a hoop, or what dangles."""
    ear, out, up = mesh.ear(side)
    width, lobe = float(np.linalg.norm(out)), ear + out * rng.uniform(-0.02, 0.1) - up * rng.uniform(0.08, 0.22)
    radius, what = width * rng.uniform(0.012, 0.07), rng.random()
    thick = width * rng.uniform(0.006, 0.02)
    if what < 0.4:
        hoop = np.rint(2 * (lobe - up / width * radius)).astype(int).tolist()
        cv2.circle(cover, hoop, round(2 * radius), 255, max(1, round(2 * thick)), cv2.LINE_AA)
    elif what < 0.7:
        cv2.circle(cover, np.rint(2 * lobe).astype(int).tolist(), max(1, round(radius)), 255, -1, cv2.LINE_AA)
    else:
        stroke(cover, [lobe, lobe + out * rng.normal(0, 0.02) - up * rng.uniform(0.08, 0.35)], thick)


def _cables(cover: Image, mesh: FaceMesh, side: int, rng: Rng) -> None:
    """A cable of an ear-phone, or the cord of glasses: from the ear down beside the jaw; or the stem of an ear-bud."""
    ear, out, up = mesh.ear(side)
    start, thick = ear + out * rng.uniform(-0.03, 0.08) + up * rng.uniform(-0.08, 0.12), rng.uniform(0.006, 0.02)
    if rng.random() < 0.3:
        stroke(cover, [start, start - out * 0.03 - up * rng.uniform(0.08, 0.18)], float(np.linalg.norm(out)) * 0.03)
        return
    end = ear + out * rng.normal(0, 0.2) - up * rng.uniform(0.6, 1.3)
    stroke(cover, [start, (start + end) / 2 + out * rng.normal(0.05, 0.08), end], float(np.linalg.norm(out)) * thick)


def _headset(cover: Image, mesh: FaceMesh, side: int, rng: Rng) -> None:
    """A band over the head, a cup on the ear, and on one side the arm of a microphone."""
    ear, out, up = mesh.ear(side)
    width = float(np.linalg.norm(out))
    bow = [ear + out * 0.06, ear + out * 0.1 + up * 0.5, ear - out * 0.3 + up * 0.9]
    stroke(cover, bow, width * rng.uniform(0.01, 0.06))

    if rng.random() < 0.7:
        axes = tuple(np.rint(2 * width * rng.uniform([0.05, 0.1], [0.1, 0.2])).astype(int).tolist())
        cv2.ellipse(cover, np.rint(2 * (ear + out * 0.05)).astype(int).tolist(), axes, 0, 0, 360, 255, -1, cv2.LINE_AA)

    if rng.random() < 0.5:
        tip = mesh[Point.LOWER_LIP] + out * rng.uniform(0.2, 0.4) - up * rng.uniform(-0.05, 0.15)
        arm = [ear, (ear + tip) / 2 + out * 0.05 - up * rng.uniform(0, 0.06), tip]
        stroke(cover, arm, width * rng.uniform(0.008, 0.02))


def _cap(cover: Image, mesh: FaceMesh, side: int, rng: Rng) -> None:
    """Half of a hat's rim, from the forehead to above the ear, and sometimes the hat."""
    ear, out, up = mesh.ear(side)
    low, high = (
        ear + out * rng.uniform(0, 0.1) + up * rng.uniform(0.05, 0.3),
        mesh[Point.FOREHEAD] + up * rng.uniform(-0.12, 0.1),
    )
    rim = curve([high, (low + high) / 2 + up * rng.uniform(0, 0.06) + out * 0.06, low], 24)
    stroke(cover, list(rim[::8]), float(np.linalg.norm(out)) * rng.uniform(0.01, 0.05))
    if rng.random() < 0.5:
        cv2.fillPoly(cover, [np.rint(2 * np.concatenate([rim, [low + 2 * up, high + 2 * up]])).astype(np.int32)], 255)


def _ground(cover: Image, mesh: FaceMesh, side: int, rng: Rng) -> None:
    """Lines of what is behind the head: frames of windows, lamps, shelves."""
    ear, out, up = mesh.ear(side)
    for _ in range(rng.integers(1, 4)):
        place = ear + out * rng.uniform(0, 0.5) + up * rng.uniform(-0.7, 0.4)
        way = out * rng.normal(0, 0.2) + up if rng.random() < 0.6 else out + up * rng.normal(0, 0.5)
        ends = [place - way * rng.uniform(0.1, 1), place + way * rng.uniform(0.1, 1)]
        stroke(cover, ends, float(np.linalg.norm(out)) * rng.uniform(0.006, 0.06))


_BESIDE = {
    "glasses": _glasses,
    "hair": _hair,
    "earrings": _earrings,
    "cables": _cables,
    "headset": _headset,
    "cap": _cap,
    "ground": _ground,
}
