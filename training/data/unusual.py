"""What the segmenter seldom meets in photos and must know all the same.

Views wider than the crop, masks that reach beyond it, flaps with openings for the ears, balaclavas, masks of the colour
of what is around them, clothes and caps of the colour of the mask, dark skin, night and hard contrast; things before a
bare face that are no masks; and beside any face what looks like a strap and is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.geometry import Affine
from training.data import masks
from training.data.mask_shape import curve, filled
from training.data.mesh import LEFT_JAW, RIGHT_JAW, Point
from training.needs import MaskKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.data.mesh import FaceMesh

    Image = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Rng = np.random.Generator

WIDEST = 0.45
"""Scale of the widest view: a second look covers twice the crop, and a tracker may make it a little wider."""


def wider(rng: Rng, side: int) -> Affine:
    """view-from-crop, both `side` wide about one centre: a view that shows more around the face."""
    scale, middle = rng.uniform(WIDEST, 0.8), (side - 1) / 2
    return Affine(np.array([[scale, 0.0, middle - scale * middle], [0.0, scale, middle - scale * middle]]))


def scene(stored: Image, view_from_stored: Affine, side: int, other: Image, rng: Rng) -> Image:
    """(side, side, 3) a stored crop in a view that may show more than it holds.

    Beyond its border the border goes on, as in `read_crop`, or there is another photo, `other`, behind it.
    """
    border = cv2.BORDER_REPLICATE if rng.random() < 0.6 else cv2.BORDER_REFLECT_101
    size = (side, side)
    view = cv2.warpAffine(stored, view_from_stored.matrix, size, flags=cv2.INTER_LINEAR, borderMode=border)
    if rng.random() < 0.4:
        inside = cv2.warpAffine(np.ones(stored.shape[:2], np.float32), view_from_stored.matrix, size)
        soft = masks.blurred(np.asarray(inside, np.float32), rng.uniform(0.3, side / 40))[..., None]
        behind = cv2.resize(other[len(other) // 2 :: -1], size, interpolation=cv2.INTER_LINEAR)  # no upright face
        view = np.rint(view * soft + behind * (1 - soft))
    return np.asarray(view, np.uint8)


def worn(truth: Image, mesh: FaceMesh, rng: Rng, *, textures: Sequence[Image]) -> tuple[Image, Floats]:
    """The picture (S, S, 3) with an unusual mask, and its alpha (S, S)."""
    what = rng.random()
    if what < 0.35:
        kind = MaskKind.CLOTH if rng.random() < 0.7 else MaskKind.RESPIRATOR
        picture, alpha = masks.draw(truth, mesh, rng, kind=kind, textures=textures, fastened=rng.random() < 0.5)
        picture, alpha = _with_flaps(truth, picture, alpha, mesh, rng)
    elif what < 0.65:
        kind = MaskKind.GAITER if rng.random() < 0.5 else MaskKind.SCARF
        picture, alpha = masks.draw(truth, mesh, rng, kind=kind, textures=textures, reach=rng.uniform(0, 1.2))
    elif what < 0.75:
        picture, alpha = _balaclava(truth, mesh, rng)
    else:
        picture, alpha = masks.draw(truth, mesh, rng, textures=textures, fastened=True)

    dressed = rng.random()
    if dressed < 0.3:
        picture = _like_around(picture, truth, alpha, rng)
    elif dressed < 0.65 and (alpha > 0.9).any():
        colour = picture[alpha > 0.9].mean(axis=0) * rng.uniform(0.8, 1.2) + rng.normal(0, 8, 3)
        picture = dressed_in(picture, mesh, colour, rng, worn=alpha)
    return picture, alpha


def _with_flaps(truth: Image, picture: Image, alpha: Floats, mesh: FaceMesh, rng: Rng) -> tuple[Image, Floats]:
    """The mask going on to behind the ears as broad flaps, often with an opening for the ear or a gap before it."""
    width = float(np.linalg.norm(mesh.across))
    up = -mesh.down / (np.linalg.norm(mesh.down) + 1e-6)
    flaps = np.zeros(alpha.shape, np.uint8)
    for ear, jaw in ((mesh[Point.RIGHT_EAR], RIGHT_JAW), (mesh[Point.LEFT_EAR], LEFT_JAW)):
        upper, lower = mesh.along(jaw, rng.uniform(0.6, 2.0)), mesh.along(jaw, rng.uniform(3.6, 5.2))
        upper, lower = (point + (mesh[Point.NOSE_TIP] - point) * rng.uniform(0.1, 0.3) for point in (upper, lower))
        end = ear + (ear - mesh[Point.NOSE_TIP]) * rng.uniform(0.05, 0.5) + up * width * rng.uniform(-0.08, 0.12)
        half = up * width * rng.uniform(0.02, 0.16)
        around = np.array([upper, end + half, end - half, lower])
        cv2.fillPoly(flaps, [np.rint(around * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)

        if rng.random() < 0.7:  # the ear, or the skin before it, is seen through an opening
            middle = tuple(np.rint(end * 0.45 + ear * 0.25 + 0.15 * (upper + lower)).astype(int).tolist())
            axes = (max(1, round(width * rng.uniform(0.03, 0.1))), max(1, round(width * rng.uniform(0.06, 0.18))))
            cv2.ellipse(flaps, middle, axes, rng.uniform(-40, 40), 0, 360, 0, -1, cv2.LINE_AA)

    soft = masks.blurred(flaps.astype(np.float32) / np.float32(255), 0.4 * len(alpha) / 160)
    return _painted(picture, truth, alpha, soft, rng)


def _balaclava(truth: Image, mesh: FaceMesh, rng: Rng) -> tuple[Image, Floats]:
    """A gaiter that goes on over the whole head but for the eyes. What lies above these is worn, and is no mask."""
    picture, alpha = masks.draw(truth, mesh, rng, kind=MaskKind.GAITER, reach=rng.uniform(0, 0.8))
    eyes, down = mesh[Point.BETWEEN_EYES], mesh.down
    height = float(np.linalg.norm(down)) + 1e-6
    middle = mesh.points.mean(axis=0)
    head = cv2.convexHull(((mesh.points - middle) * rng.uniform(1.1, 1.4) + middle - 0.1 * down).astype(np.float32))
    hood = np.zeros(alpha.shape, np.uint8)
    cv2.fillPoly(hood, [np.rint(head * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)

    half = float(np.linalg.norm(mesh.across)) * rng.uniform(0.38, 0.5), height * rng.uniform(0.14, 0.24)
    turn = float(np.degrees(np.arctan2(mesh.across[1], mesh.across[0])))
    spot = tuple(np.rint(eyes).astype(int).tolist())
    cv2.ellipse(hood, spot, (max(1, round(half[0])), max(1, round(half[1]))), turn, 0, 360, 0, -1, cv2.LINE_AA)
    soft = masks.blurred(hood.astype(np.float32) / np.float32(255), 0.5 * len(alpha) / 160)
    picture, everything = _painted(picture, truth, alpha, soft, rng)

    rows, columns = np.mgrid[: len(alpha), : len(alpha)].astype(np.float32)
    below = ((columns - eyes[0]) * down[0] + (rows - eyes[1]) * down[1]) / height > 0.08 * height
    return picture, np.where(below, everything, 0).astype(np.float32)


def _painted(picture: Image, truth: Image, alpha: Floats, added: Floats, rng: Rng) -> tuple[Image, Floats]:
    """The picture with `added` (S, S) more mask in the colour and the light of the mask, and the joint alpha."""
    worn_here = alpha > 0.9
    colour = picture[worn_here].mean(axis=0) if worn_here.any() else rng.uniform(0, 255, 3)
    light = truth.mean(axis=2, keepdims=True) / (float(truth.mean()) + 1)
    shade = np.clip(1 + rng.uniform(0, 0.25) * (masks.blurred(light[..., 0].astype(np.float32), 4) - 1), 0.5, 1.5)
    cloth = colour * rng.uniform(0.75, 1.15) * shade[..., None] + rng.normal(0, 3, (*alpha.shape, 1))
    fresh = np.clip(added - alpha, 0, 1)[..., None]
    mixed = picture * (1 - fresh) + np.clip(cloth, 0, 255) * fresh
    return np.rint(mixed).astype(np.uint8), np.maximum(alpha, added)


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


def darker_skin(truth: Image, mesh: FaceMesh, rng: Rng) -> Image:
    """The picture with the face and what is near it in colours as of dark skin; hair and ground darken less."""
    hull = cv2.convexHull(((mesh.points - mesh.points.mean(0)) * 1.3 + mesh.points.mean(0)).astype(np.float32))
    face = np.zeros(truth.shape[:2], np.uint8)
    cv2.fillPoly(face, [np.rint(hull).astype(np.int32)], 255)
    soft = masks.blurred(face.astype(np.float32) / np.float32(255), len(truth) / 16)[..., None]
    tone = rng.uniform(0.3, 0.65) * np.array([1.0, 0.88, 0.8]) ** rng.uniform(0.3, 1.5)
    return np.rint(truth * (1 + soft * (tone - 1))).astype(np.uint8)


def hard_light(picture: Image, rng: Rng) -> Image:
    """The picture at night, or in hard black and white."""
    if rng.random() < 0.6:
        dark = picture * rng.uniform(0.15, 0.5) + rng.normal(0, rng.uniform(0, 6), picture.shape)
        return np.clip(np.rint(dark * np.exp(rng.normal(0, 0.12, 3))), 0, 255).astype(np.uint8)
    grey = picture.mean(axis=2, keepdims=True)
    hard = (grey - rng.uniform(70, 150)) * rng.uniform(1.4, 2.6) + 128
    return np.repeat(np.clip(np.rint(hard), 0, 255), 3, axis=2).astype(np.uint8)


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


def _axes(mesh: FaceMesh, side: int) -> tuple[Floats, Floats, Floats]:
    """An ear, outwards and upwards; the latter as long as the face is wide. `side` is -1 at the person's right."""
    width = max(float(np.linalg.norm(mesh.across)), 1.2 * float(np.linalg.norm(mesh.down)))
    out = mesh.across / (np.linalg.norm(mesh.across) + 1e-6) * width * side
    up = -mesh.down / (np.linalg.norm(mesh.down) + 1e-6) * width
    ear = mesh[Point.LEFT_EAR if side > 0 else Point.RIGHT_EAR]
    return ear, np.asarray(out, np.float32), np.asarray(up, np.float32)


def _stroke(cover: Image, stops: Sequence[NDArray[np.floating]], thick: float) -> None:
    """Draw a curve through `stops`, in pixels of the picture, into `cover`, which is twice as large."""
    points = np.rint((2 * curve(stops, 24) + 0.5) * 16).astype(np.int32)
    cv2.polylines(
        cover, [points], isClosed=False, color=255, thickness=max(1, round(2 * thick)), lineType=cv2.LINE_AA, shift=4
    )


def _glasses(cover: Image, mesh: FaceMesh, side: int, rng: Rng) -> None:
    """A temple that ends at or behind the ear, mostly with the hinge, and often the rim of a lens."""
    ear, out, up = _axes(mesh, side)
    width = float(np.linalg.norm(out))
    inner, outer = mesh.points[[362, 263] if side > 0 else [133, 33]]
    thick = width * np.exp(rng.uniform(*np.log([0.006, 0.035])))

    corner = outer + (ear - outer) * rng.uniform(0.15, 0.65) + up * rng.uniform(-0.02, 0.06)
    end = ear + out * rng.uniform(-0.05, 0.12) + up * rng.uniform(0.02, 0.16)
    _stroke(cover, [corner, (corner + end) / 2 + up * rng.normal(0, 0.01), end], thick)
    if rng.random() < 0.7:  # the hinge, and the end piece of the frame
        _stroke(cover, [corner, corner + (end - corner) * rng.uniform(0.1, 0.5)], thick * rng.uniform(1.3, 2.5))
    if rng.random() < 0.4:  # bent down behind the ear
        _stroke(cover, [end, end + out * rng.uniform(0, 0.06) - up * rng.uniform(0.04, 0.2)], thick)

    if rng.random() < 0.6:
        middle = (inner + outer) / 2 - up * rng.uniform(0, 0.05)
        half = np.array([np.linalg.norm(corner - middle), width * rng.uniform(0.09, 0.16)])
        turn = float(np.degrees(np.arctan2(*(mesh.across[::-1]))))
        box = (tuple((2 * middle).tolist()), tuple((4 * half).tolist()), turn)
        cv2.ellipse(cover, box, 255, max(1, round(2 * thick * rng.uniform(0.4, 1))), cv2.LINE_AA)


def _hair(cover: Image, mesh: FaceMesh, side: int, rng: Rng) -> None:
    """Strands that fall before or behind the ear, or stand off."""
    ear, out, up = _axes(mesh, side)
    for _ in range(rng.integers(1, 6)):
        start = ear + out * rng.uniform(-0.1, 0.25) + up * rng.uniform(0.2, 0.7)
        end = ear + out * rng.normal(0.05, 0.12) + up * rng.uniform(-0.6, 0.15)
        middle = (start + end) / 2 + out * rng.normal(0, 0.05)
        _stroke(cover, [start, middle, end], float(np.linalg.norm(out)) * rng.uniform(0.004, 0.02))


def _earrings(cover: Image, mesh: FaceMesh, side: int, rng: Rng) -> None:
    """A stud, a hoop, or what dangles."""
    ear, out, up = _axes(mesh, side)
    width, lobe = float(np.linalg.norm(out)), ear + out * rng.uniform(-0.02, 0.1) - up * rng.uniform(0.08, 0.22)
    radius, what = width * rng.uniform(0.012, 0.07), rng.random()
    thick = width * rng.uniform(0.006, 0.02)
    if what < 0.4:
        hoop = np.rint(2 * (lobe - up / width * radius)).astype(int).tolist()
        cv2.circle(cover, hoop, round(2 * radius), 255, max(1, round(2 * thick)), cv2.LINE_AA)
    elif what < 0.7:
        cv2.circle(cover, np.rint(2 * lobe).astype(int).tolist(), max(1, round(radius)), 255, -1, cv2.LINE_AA)
    else:
        _stroke(cover, [lobe, lobe + out * rng.normal(0, 0.02) - up * rng.uniform(0.08, 0.35)], thick)


def _cables(cover: Image, mesh: FaceMesh, side: int, rng: Rng) -> None:
    """A cable of an ear-phone, or the cord of glasses: from the ear down beside the jaw; or the stem of an ear-bud."""
    ear, out, up = _axes(mesh, side)
    start, thick = ear + out * rng.uniform(-0.03, 0.08) + up * rng.uniform(-0.08, 0.12), rng.uniform(0.006, 0.02)
    if rng.random() < 0.3:
        _stroke(cover, [start, start - out * 0.03 - up * rng.uniform(0.08, 0.18)], float(np.linalg.norm(out)) * 0.03)
        return
    end = ear + out * rng.normal(0, 0.2) - up * rng.uniform(0.6, 1.3)
    _stroke(cover, [start, (start + end) / 2 + out * rng.normal(0.05, 0.08), end], float(np.linalg.norm(out)) * thick)


def _headset(cover: Image, mesh: FaceMesh, side: int, rng: Rng) -> None:
    """A band over the head, a cup on the ear, and on one side the arm of a microphone."""
    ear, out, up = _axes(mesh, side)
    width = float(np.linalg.norm(out))
    _stroke(
        cover,
        [ear + out * 0.06, ear + out * 0.1 + up * 0.5, ear - out * 0.3 + up * 0.9],
        width * rng.uniform(0.01, 0.06),
    )

    if rng.random() < 0.7:
        axes = tuple(np.rint(2 * width * rng.uniform([0.05, 0.1], [0.1, 0.2])).astype(int).tolist())
        cv2.ellipse(cover, np.rint(2 * (ear + out * 0.05)).astype(int).tolist(), axes, 0, 0, 360, 255, -1, cv2.LINE_AA)

    if rng.random() < 0.5:
        tip = mesh[Point.LOWER_LIP] + out * rng.uniform(0.2, 0.4) - up * rng.uniform(-0.05, 0.15)
        _stroke(
            cover,
            [ear, (ear + tip) / 2 + out * 0.05 - up * rng.uniform(0, 0.06), tip],
            width * rng.uniform(0.008, 0.02),
        )


def _cap(cover: Image, mesh: FaceMesh, side: int, rng: Rng) -> None:
    """Half of a hat's rim, from the forehead to above the ear, and sometimes the hat."""
    ear, out, up = _axes(mesh, side)
    low, high = (
        ear + out * rng.uniform(0, 0.1) + up * rng.uniform(0.05, 0.3),
        mesh[Point.FOREHEAD] + up * rng.uniform(-0.12, 0.1),
    )
    rim = curve([high, (low + high) / 2 + up * rng.uniform(0, 0.06) + out * 0.06, low], 24)
    _stroke(cover, list(rim[::8]), float(np.linalg.norm(out)) * rng.uniform(0.01, 0.05))
    if rng.random() < 0.5:
        cv2.fillPoly(cover, [np.rint(2 * np.concatenate([rim, [low + 2 * up, high + 2 * up]])).astype(np.int32)], 255)


def _ground(cover: Image, mesh: FaceMesh, side: int, rng: Rng) -> None:
    """Lines of what is behind the head: frames of windows, lamps, shelves."""
    ear, out, up = _axes(mesh, side)
    for _ in range(rng.integers(1, 4)):
        place = ear + out * rng.uniform(0, 0.5) + up * rng.uniform(-0.7, 0.4)
        way = out * rng.normal(0, 0.2) + up if rng.random() < 0.6 else out + up * rng.normal(0, 0.5)
        _stroke(
            cover,
            [place - way * rng.uniform(0.1, 1), place + way * rng.uniform(0.1, 1)],
            float(np.linalg.norm(out)) * rng.uniform(0.006, 0.06),
        )


_BESIDE = {
    "glasses": _glasses,
    "hair": _hair,
    "earrings": _earrings,
    "cables": _cables,
    "headset": _headset,
    "cap": _cap,
    "ground": _ground,
}
