"""Faces and masks to samples, in the canonical crop.

Photos are cut once (`training.data.crops`) into a memory-mapped array of crops a quarter wider than the canonical one,
each with its face mesh. A sample jitters the crop as a tracker would, draws a mask and degrades the picture as a camera
would, anew each time; some faces come so close that the photo ends within the crop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.errors import CheckpointError
from pipeline.geometry import CANONICAL_LANDMARKS, CROP_SIZE, Affine
from pipeline.picture.pixels import faded
from training.data import masks, unusual
from training.data.crops import CENTRE, MARGIN, no_face, scene, stored_from_canonical, wider
from training.data.mesh import FaceMesh, Point, expression_of, square
from training.needs import MaskKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Faces:
    """Stored crops of one set of photos."""

    crops: NDArray[np.uint8]
    """(N, side, side, 3) RGB, memory-mapped; they cover `MARGIN` canonical crops."""
    meshes: NDArray[np.float32]
    """(N, 468, 2) in pixels of the canonical crop at `CROP_SIZE`."""
    expressions: NDArray[np.float32]
    """(N, 4) what the mouths do, as `expression_of` says."""

    @classmethod
    def read(cls, folder: Path, name: str) -> Faces:
        """The set `name` in `folder`, as `training.data.crops` wrote it.

        Raises `CheckpointError` where there is none.
        """
        try:
            stored = np.load(folder / f"{name}.npz")["mesh"]
            crops = np.load(folder / f"{name}_crops.npy", mmap_mode="r")
        except (OSError, KeyError, ValueError) as error:
            raise CheckpointError(f"{folder} holds no crops called {name}: training.data.crops writes them") from error
        if not len(stored):
            raise CheckpointError(f"{folder}/{name}.npz holds no face: training.data.crops found none in its photos")
        return cls(crops[: len(stored)], stored[:, :, :2], expression_of(stored))

    def __len__(self) -> int:
        return len(self.meshes)

    def any_index(self, rng: np.random.Generator, *, among: int = 2) -> int:
        """A face at random; turned heads, which are rare in photos, more often: every other turns most of `among`."""
        some = rng.integers(len(self), size=among)
        return int(max(some, key=lambda one: abs(self.mesh(one).turn)) if rng.random() < 0.5 else some[0])

    def mesh(self, index: int) -> FaceMesh:
        """The mesh of a face, in the canonical crop."""
        return FaceMesh(self.meshes[index])


@dataclass(frozen=True)
class TrainingSample:
    """One masked face with its truth, S pixels a side."""

    picture: NDArray[np.uint8]
    """(S, S, 3) masked and degraded."""
    truth: NDArray[np.uint8]
    """(S, S, 3) what was there before."""
    alpha: NDArray[np.float32]
    """(S, S) the drawn mask's coverage; all 0 when nothing is worn."""


@dataclass(frozen=True)
class Variation:
    """How unlike the stored crops samples are. Lengths are parts of the canonical crop's side.

    As it stands it is for networks that draw anybody. A mask draws the landmarks beneath it down: over 100 masked faces
    the chin came out 6 pixels higher than in the same faces' bare crops, spread by 10, and the crop 3 % wider, spread
    by 7. A face that looks down is a shorter one.
    """

    turn: float = 0.05
    """Spread of the angle by which a crop is off, in radians."""
    grow: tuple[float, float] = (-0.02, 0.065)
    """Mean and spread of the logarithm of its scale."""
    shift: tuple[float, float] = (-0.012, 0.022)
    """Mean downwards, and spread, of how far it lies beside the face."""
    shortened: float = 0.25
    """How often a face is made shorter."""
    mirrored: float = 0.5
    close_up: float = 0.2
    """How often a photo ends within the crop."""
    colourless: float = 0.04
    """How often it is black and white."""


ANYBODY = Variation()


def jitter(rng: np.random.Generator, side: int, variation: Variation = ANYBODY) -> Affine:
    """drawing-from-canonical, a similarity as wrong as a tracker's on a masked face; some heads look down."""
    turn, grow = rng.normal(0, variation.turn), np.exp(rng.normal(*variation.grow))
    down, spread = variation.shift
    shift = rng.normal([0, down], spread) * CROP_SIZE
    linear = grow * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    if rng.random() < variation.shortened:
        # A head that looks down: its landmarks lie closer together from top to bottom.
        linear[:, 1] *= rng.uniform(0.74, 1)

    middle = CANONICAL_LANDMARKS[:2].mean(axis=0)
    moved = Affine(np.column_stack([linear, middle - linear @ middle + shift]))
    if rng.random() < variation.mirrored:
        moved = Affine(np.array([[-1.0, 0.0, CROP_SIZE - 1], [0.0, 1.0, 0.0]])).after(moved)
    return square(CROP_SIZE, CENTRE, side).after(moved)


ODDITIES = np.array([1.0, 1.4, 1.4, 0.5, 2.2, 1.7, 0.2])
"""What is out of the ordinary, and how often beside the others: a wider view, dark skin, the mask, the light, straps,
thin things beside the face, near-infrared."""

SOUGHT = 0.35 * ODDITIES
"""How often each is in what the segmenter learns from."""

DRAWN_OVER = np.array([0, 0.1, 0.3, 0, 0.5, 0.15, 0])
"""How often each is in what the generator learns from. Beyond a stored crop there is no truth to draw, and the truth is
in the usual light."""

STRANDED = 0.3
"""How often bands run from a mask that have nothing to do with ears."""

ELSEWHERE = 0.75
"""How often a mask sits as on somebody else who holds the head alike."""


def loosely(faces: Faces, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(468, 2) in the canonical crop: the geometry of a mask that tells little of the face of `index` beneath it.

    A mask that is drawn along a face's own jaw and chin shows where they are, and a generator learns to read them off
    the outline instead of off the face: under masks of another make it was then 1 dB worse. So most sit as on somebody
    else, and all are stretched, moved and bent.
    """
    mesh, turn = faces.meshes[index], faces.mesh(index).turn
    if rng.random() < ELSEWHERE:
        others = faces.meshes[rng.integers(len(faces), size=6)]
        mesh = min(others, key=lambda other: abs(FaceMesh(other).turn - turn))

    middle = mesh.mean(axis=0)
    points = (mesh - middle) * np.exp(rng.normal(0, 0.06, 2)) + middle + rng.normal(0, 0.02 * CROP_SIZE, 2)
    # A grid of 4 x 4 shifts, between which the mask bends as cloth does.
    bends = rng.normal(0, 0.025 * CROP_SIZE, (4, 4, 2)).astype(np.float32)
    where = np.clip(points * (3 / CROP_SIZE), 0, 3).astype(np.float32)
    bent = cv2.remap(bends, where[:, :1], where[:, 1:], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(points + bent[:, 0], np.float32)


def recolour(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Another exposure, contrast, white balance and saturation, as cameras differ."""
    tone = (np.arange(256, dtype=np.float32) / 255) ** np.exp(rng.normal(0, 0.15))
    tone = (tone - 0.5) * np.exp(rng.normal(0, 0.08)) + 0.5 + rng.normal(0, 0.03)
    curves = 255 * tone[:, None] * np.exp(rng.normal(0, 0.04, 3))
    values = cv2.LUT(image, curves[None].astype(np.float32))
    vivid = np.exp(rng.normal(0, 0.15))
    mixed = cv2.transform(values, np.eye(3) * vivid + (1 - vivid) / 3)
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8)


def degrade(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """What a camera and a codec do to a picture: blur, noise, compression."""
    if rng.random() < 0.25:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6)), np.uint8)

    if rng.random() < 0.15:
        length = int(rng.integers(3, 9))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1 / length
        turned = cv2.getRotationMatrix2D((length / 2 - 0.5,) * 2, rng.uniform(0, 180), 1)
        line = cv2.warpAffine(kernel, turned, (length, length))
        image = np.asarray(cv2.filter2D(image, -1, line / line.sum()), np.uint8)

    if rng.random() < 0.3:
        noisy = image + rng.normal(0, rng.uniform(1, 10), image.shape)
        image = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))])
        image = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return image


def darker_skin(truth: NDArray[np.uint8], mesh: FaceMesh, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture with the face and what is near it in colours as of dark skin; hair and ground darken less."""
    hull = cv2.convexHull(((mesh.points - mesh.points.mean(0)) * 1.3 + mesh.points.mean(0)).astype(np.float32))
    face = np.zeros(truth.shape[:2], np.uint8)
    cv2.fillPoly(face, [np.rint(hull).astype(np.int32)], 255)
    soft = masks.blurred(face.astype(np.float32) / np.float32(255), len(truth) / 16)[..., None]
    tone = rng.uniform(0.3, 0.65) * np.array([1.0, 0.88, 0.8]) ** rng.uniform(0.3, 1.5)
    return np.rint(truth * (1 + soft * (tone - 1))).astype(np.uint8)


def hard_light(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture at night, or in hard black and white."""
    if rng.random() < 0.6:
        dark = picture * rng.uniform(0.15, 0.5) + rng.normal(0, rng.uniform(0, 6), picture.shape)
        return np.clip(np.rint(dark * np.exp(rng.normal(0, 0.12, 3))), 0, 255).astype(np.uint8)
    grey = picture.mean(axis=2, keepdims=True)
    hard = (grey - rng.uniform(70, 150)) * rng.uniform(1.4, 2.6) + 128
    return np.repeat(np.clip(np.rint(hard), 0, 255), 3, axis=2).astype(np.uint8)


def distract(image: NDArray[np.uint8], mesh: FaceMesh, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Something near the mouth that is no mask: fingers in the face's own skin, or a microphone."""
    out = image.copy()
    mouth = mesh[Point.UPPER_LIP] + rng.normal(0, len(image) * 0.08, 2)
    if rng.random() < 0.6:
        _draw_fingers(out, mouth, mesh, rng)
    else:
        _draw_microphone(out, mouth, rng)
    soft = cv2.GaussianBlur(out, (0, 0), 1.0)
    return np.asarray(soft if rng.random() < 0.5 else out)


def _draw_fingers(
    image: NDArray[np.uint8], mouth: NDArray[np.float64], mesh: FaceMesh, rng: np.random.Generator
) -> None:
    """Draw one to four fingers side by side, in the colour of the cheek."""
    side = len(image)
    x, y = np.clip(np.rint(mesh[Point.RIGHT_CHEEK_BONE]), 2, side - 3).astype(int)
    skin = image[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).mean(0)

    angle = rng.uniform(0, 2 * np.pi)
    across, along = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    for finger in range(rng.integers(1, 5)):
        start = mouth + finger * side * 0.055 * across
        end = start + side * rng.uniform(0.3, 0.6) * along
        colour = np.clip(skin * rng.uniform(0.75, 1.1), 0, 255).tolist()
        cv2.line(image, _pixel(start), _pixel(end), colour, int(side * 0.055), cv2.LINE_AA)


def _draw_microphone(image: NDArray[np.uint8], mouth: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Draw a grey ball below the mouth, on a stick."""
    side, grey = len(image), rng.uniform(5, 90)
    ball = _pixel(mouth + np.array([0, side * rng.uniform(0.05, 0.15)]))
    foot = (int(ball[0] + rng.normal(0, side * 0.3)), side)
    cv2.line(image, ball, foot, (grey * 0.7,) * 3, int(side * 0.05), cv2.LINE_AA)
    cv2.circle(image, ball, int(side * rng.uniform(0.05, 0.1)), (grey,) * 3, -1, cv2.LINE_AA)


def _pixel(place: NDArray[np.float64]) -> tuple[int, int]:
    x, y = np.rint(place).astype(int).tolist()
    return x, y


_ENDS = (0.25, 0.28, 0.25, 0.28)
"""How far from the crop's left, top, right and bottom side it may end, as parts of the side."""


def colourless(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(S, S, 3) the picture in black and white."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def close_up(sample: TrainingSample, rng: np.random.Generator, *, grey: bool = False) -> TrainingSample:
    """The sample as of a photo that ends within the crop: beyond its border the border goes on, as in `read_crop`.

    `grey`: it turns grey there, as what the segmenter is shown in a run, and no mask is looked for in the grey.
    """
    side = len(sample.alpha)
    left, top, right, bottom = (np.array(_ENDS) * rng.uniform(0, side, 4) * (rng.random(4) < 0.6)).astype(int).tolist()
    kept = np.s_[top : side - bottom, left : side - right]

    picture, truth = (
        np.asarray(cv2.copyMakeBorder(image[kept], top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8)
        for image in (sample.picture, sample.truth)
    )
    alpha = cv2.copyMakeBorder(sample.alpha[kept], top, bottom, left, right, cv2.BORDER_REPLICATE)

    if grey:
        place = Affine(np.array([[1.0, 0.0, left], [0.0, 1.0, top]]))
        picture, away = (
            faded(image, place, side - left - right, side - top - bottom) for image in (picture, np.zeros_like(picture))
        )
        alpha = np.where(away[..., 0] < 64, alpha, 0)  # of 128
    return TrainingSample(picture, truth, np.asarray(alpha, np.float32))


def draw_sample(
    faces: Faces,
    index: int,
    rng: np.random.Generator,
    *,
    size: int = CROP_SIZE,
    bare: float = 0.0,
    textures: Sequence[NDArray[np.uint8]] = (),
    plain: bool = False,
    odd: NDArray[np.float64] | None = None,
    variation: Variation = ANYBODY,
) -> TrainingSample:
    """A face of `faces` at `size`, jittered and masked; with probability `bare` bare, but perhaps with something like a
    mask.

    `plain` is for those who never look beneath the alpha: masks as in `masks.draw`, worn `loosely` and with `strands`.
    `odd` (7,) says how often each of what `ODDITIES` lists is as `unusual` has it, or a mask `fastened`, each by
    itself; None for never.
    """
    stored = faces.crops[index]
    # Not larger than what is stored: an enlarged truth would teach to draw blurred faces.
    side = min(size, round(stored.shape[0] / MARGIN) // 8 * 8)
    view_from_canonical = jitter(rng, side, variation)
    # Each by itself. Where none is odd, chance is not asked: samples stay what they were.
    is_odd = np.zeros(7, bool) if odd is None else rng.random(7) < odd
    if is_odd[0]:
        view_from_canonical = wider(rng, side).after(view_from_canonical)
    view_from_stored = view_from_canonical.after(stored_from_canonical(len(stored)).inverse())
    if is_odd[0]:
        truth = scene(stored, view_from_stored, side, faces.crops[faces.any_index(rng)], rng)
    else:
        flags, border, shape = cv2.INTER_LINEAR, cv2.BORDER_REFLECT_101, (side, side)
        truth = np.asarray(cv2.warpAffine(stored, view_from_stored.matrix, shape, flags=flags, borderMode=border))
    truth = recolour(np.asarray(truth, np.uint8), rng)  # (side, side, 3)

    points = loosely(faces, index, rng) if plain else faces.meshes[index]
    mesh = FaceMesh(view_from_canonical.apply(points).astype(np.float32))
    if is_odd[1]:
        truth = darker_skin(truth, mesh, rng)
    if is_odd[5]:
        truth = unusual.beside_ears(truth, mesh, rng)
    if rng.random() >= bare:
        if is_odd[2] and plain:
            truth = unusual.dressed_below(truth, mesh, rng) if rng.random() < 0.2 else truth
            picture, alpha = unusual.cut(truth, mesh, rng, plain=True)
        elif is_odd[2]:
            picture, alpha = unusual.worn(truth, mesh, rng, textures=textures)
        else:
            picture, alpha = masks.draw(truth, mesh, rng, textures=textures, plain=plain, fastened=bool(is_odd[4]))
        if plain and rng.random() < STRANDED:
            masks.strands(picture, alpha, rng)
    else:
        picture, truth = _unmasked(truth, mesh, stored, rng, textures)
        if is_odd[2]:
            if rng.random() < 0.15:
                picture = unusual.shielded(picture, mesh, rng)
            elif rng.random() < 0.4:
                picture = unusual.dressed_in(picture, mesh, rng.uniform(0, 255, 3).astype(np.float32), rng)
            else:
                picture = unusual.held_before(picture, mesh, rng)
        alpha = np.zeros((side, side), np.float32)
    if is_odd[3]:
        picture = hard_light(picture, rng)
    if is_odd[6]:
        picture = masks.near_infrared(masks.pale_cloth(picture, alpha, rng) if rng.random() < 0.7 else picture, rng)

    sample = _sized(degrade(picture, rng), truth, alpha, size)
    if rng.random() < variation.colourless:
        sample = replace(sample, picture=colourless(sample.picture), truth=colourless(sample.truth))
    return close_up(sample, rng, grey=odd is not None and not plain) if rng.random() < variation.close_up else sample


def _unmasked(
    truth: NDArray[np.uint8],
    mesh: FaceMesh,
    stored: NDArray[np.uint8],
    rng: np.random.Generator,
    textures: Sequence[NDArray[np.uint8]],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Picture and truth of a face without a mask, or of no face: what a segmenter must not take for one."""
    if rng.random() < 0.2:
        corner = no_face(stored, len(truth), rng)
        return corner, corner

    if rng.random() < 0.4:
        return distract(truth, mesh, rng), truth
    if rng.random() < 0.35:  # a scarf on the neck only hides nothing of the face
        below = (mesh[Point.CHIN] - mesh[Point.NOSE_TIP]) * rng.uniform(1.05, 1.5)
        low = FaceMesh((mesh.points + below).astype(np.float32))
        return masks.draw(truth, low, rng, kind=MaskKind.SCARF, textures=textures)[0], truth
    return truth, truth


def _sized(
    picture: NDArray[np.uint8], truth: NDArray[np.uint8], alpha: NDArray[np.float32], size: int
) -> TrainingSample:
    """The sample at `size`, enlarged where it was drawn smaller."""
    if len(picture) == size:
        return TrainingSample(picture, truth, alpha)
    picture, truth = (
        np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)
        for image in (picture, truth)
    )
    alpha = np.asarray(cv2.resize(alpha, (size, size), interpolation=cv2.INTER_LINEAR).clip(0, 1), np.float32)
    return TrainingSample(picture, truth, alpha)


LEAST_ERROR = 1e-10
"""Mean squared difference, of a range of 1, below which pictures count as the same: 100 dB."""


def hole_psnr(
    drawn: NDArray[np.generic], truth: NDArray[np.generic], hole: NDArray[np.generic], *, span: float
) -> float:
    """PSNR in decibels of two pictures (height, width, channels) whose values span `span`, inside a hole.

    A pixel counts as much as it is hidden: `hole` (height, width) is in [0, 1], or true where the mask was.
    """
    hidden = hole.astype(np.float64)
    inside = hidden > 0
    wrong = (drawn[inside].astype(np.float64) - truth[inside].astype(np.float64)) / span  # (pixels, channels)
    error = float(hidden[inside] @ (wrong**2).mean(axis=1)) / float(hidden.sum())
    return float(-10 * np.log10(max(error, LEAST_ERROR)))
