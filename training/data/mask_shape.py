"""The shape of a drawn mask: a ruled surface between a top and a bottom curve that run along the points of a face mesh.

So it follows the jaw and the turn of the head. A place on it has coordinates u (ear to ear) and v (top to bottom).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from training.data.mesh import LEFT_CHEEK, LEFT_JAW, MIDLINE, RIGHT_CHEEK, RIGHT_JAW, Point
from training.needs import MaskKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.data.mesh import FaceMesh

    Floats = NDArray[np.float32]


NECK = (MaskKind.GAITER, MaskKind.SCARF)
"""The kinds that reach down over the neck and have no straps."""

CURVE_POINTS = 64
"""Points of a mask's top and bottom curve."""


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

BELOW_NOSE = 5.5
"""Positions on the midline from here on lie below the nose."""


def cut_of(kind: MaskKind, rng: np.random.Generator) -> Cut:
    """A cut of this kind; one mask in twelve is worn low, under the nose or on the chin."""
    least, most = (np.array(astuple(cut)) for cut in CUTS[kind])
    cut = Cut(*rng.uniform(least, most).tolist())
    if rng.random() > 1 / 12:
        return cut
    low = rng.uniform(5.8, 9.5)
    return replace(cut, bridge=low, ear=cut.ear + 1.0, corner=max(cut.corner, cut.ear + 2.0), cheek=2.8)


def curve(points: Sequence[NDArray[np.floating]], count: int) -> Floats:
    """(count, 2) a Catmull-Rom curve through `points`."""
    knots = np.asarray([2 * points[0] - points[1], *points, 2 * points[-1] - points[-2]], np.float32)
    spot = np.linspace(0, len(points) - 1 - 1e-4, count)
    i = spot.astype(int)
    t = (spot - i)[:, None]
    a, b, c, d = knots[i], knots[i + 1], knots[i + 2], knots[i + 3]
    return np.asarray(
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3), np.float32
    )


def outline(mesh: FaceMesh, cut: Cut, kind: MaskKind, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(64, 2) top and bottom curves, from the person's right to the left."""
    # A mask sits a little askew, higher at one ear than at the other.
    tilt = rng.normal(0, 0.15)
    wings = np.zeros((2, 2)) if kind in NECK else far_wings(mesh, rng)

    ears = [
        _off(mesh, mesh.along(RIGHT_JAW, cut.ear + tilt), cut.out) + wings[0],
        _off(mesh, mesh.along(LEFT_JAW, cut.ear - tilt), cut.out) + wings[1],
    ]
    cheeks = [mesh.along(RIGHT_CHEEK, cut.cheek + tilt), mesh.along(LEFT_CHEEK, cut.cheek - tilt)]
    bridge = mesh.along(MIDLINE, cut.bridge)
    if cut.bridge > BELOW_NOSE:  # the edge runs straight from cheek to cheek
        bridge = 0.5 * (bridge + 0.5 * (cheeks[0] + cheeks[1]) + 0.1 * mesh.down)
        cheeks = [np.asarray(0.5 * (ear + bridge), np.float32) for ear in ears]

    top = curve([ears[0], cheeks[0], bridge, cheeks[1], ears[1]], CURVE_POINTS)
    return top, _over_the_neck(mesh, cut, ears) if kind in NECK else _under_the_chin(mesh, cut, wings)


def _off(mesh: FaceMesh, point: Floats, amount: float) -> Floats:
    """`point` moved away from the nose, by a part of its distance to it."""
    return point + (point - mesh[Point.NOSE_TIP]) * amount


def _over_the_neck(mesh: FaceMesh, cut: Cut, ears: Sequence[NDArray[np.floating]]) -> Floats:
    """The bottom curve of what is worn round the neck; it ends below the jaw's corners."""
    ground, width = mesh[Point.CHIN] + mesh.down * cut.drop, 0.72 + cut.flare
    half, rise = (ears[1] - ears[0]) * 0.5, mesh.down * 0.1
    bottom = curve([ground - half * width - rise, ground, ground + half * width - rise], CURVE_POINTS)

    sides = [_off(mesh, mesh.along(jaw, cut.corner), cut.out + 0.04) for jaw in (RIGHT_JAW, LEFT_JAW)]
    # On a head that looks down the chin hides the neck; cloth still ends below the jaw's corners.
    lowest = bottom[CURVE_POINTS // 2] - 0.5 * (sides[0] + sides[1])
    return bottom if np.dot(lowest, mesh.down) > 0 else bottom + mesh.down * 0.3


def _under_the_chin(mesh: FaceMesh, cut: Cut, wings: NDArray[np.float64]) -> Floats:
    """The bottom curve of a mask: along the jaw, a little below the chin."""
    jaws = (RIGHT_JAW, LEFT_JAW)
    corners = [
        _off(mesh, mesh.along(jaw, cut.corner), cut.out + 0.02) + 0.8 * wing
        for jaw, wing in zip(jaws, wings, strict=True)
    ]
    beside_chin = [_off(mesh, mesh.along(jaw, 8.0), cut.out * 0.5 + 0.05) + mesh.down * cut.drop * 0.7 for jaw in jaws]
    chin = mesh[Point.CHIN] + mesh.down * cut.drop
    return curve([corners[0], beside_chin[0], chin, beside_chin[1], corners[1]], CURVE_POINTS)


def far_wings(mesh: FaceMesh, rng: np.random.Generator) -> NDArray[np.float64]:
    """(2, 2) how far a stiff mask stands off the cheek at the person's right and left: on a turned head the far side
    shows against the background, beyond the face's outline."""
    outward = mesh.across / (np.linalg.norm(mesh.across) + 1e-6) * np.linalg.norm(mesh.down)
    reach = rng.uniform(0, 0.05, 2)
    reach[0 if mesh.turn > 0 else 1] += rng.uniform(0, 0.45) * min(1.0, 1.6 * abs(mesh.turn))
    rise = -mesh.down * rng.uniform(-0.1, 0.5)  # its upper corner stands up towards the eye
    return np.stack([-outward * reach[0] + rise * reach[0], outward * reach[1] + rise * reach[1]])


def ruled(top: Floats, bottom: Floats, count: int, *, bulge: float) -> Floats:
    """(count, count, 2) points of the ruled surface between the curves: rows from top to bottom, columns along them."""
    places = np.linspace(0, CURVE_POINTS - 1, count)
    upper, lower = (
        np.stack([np.interp(places, np.arange(CURVE_POINTS), side[:, k]) for k in (0, 1)], axis=1)[None]
        for side in (top, bottom)
    )  # (1, count, 2)

    v = np.linspace(0, 1, count, dtype=np.float32)[:, None, None]
    u = np.linspace(0, 1, count, dtype=np.float32)[None, :, None]
    out = (u - 0.5) * 4 * v * (1 - v) * bulge * np.linalg.norm(top[-1] - top[0])
    return np.asarray(upper * (1 - v) + lower * v + out * np.array([1.0, 0.0]))  # (count, count, 2)


def covered(points: Floats, size: int) -> Floats:
    """(size, size) soft coverage of a surface's points."""
    rim = np.concatenate([points[0], points[:, -1], points[-1, ::-1], points[::-1, 0]])
    return filled(rim, size)


def filled(rim: Floats, size: int) -> Floats:
    """(size, size) soft coverage of the polygon `rim` (N, 2)."""
    cover = np.zeros((size, size), np.uint8)
    cv2.fillPoly(cover, [np.rint(rim * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return cover.astype(np.float32) / np.float32(255)


def surface(top: Floats, bottom: Floats, size: int, *, bulge: float) -> tuple[Floats, Floats, Floats]:
    """Soft coverage (size, size) and the maps u and v of the ruled surface between the curves."""
    middle = CURVE_POINTS // 2
    spacing = max(*(float(np.linalg.norm(edge)) for edge in (bottom[middle] - top[middle], top[-1] - top[0])), 8.0)
    count = int(min(spacing * 1.6, 2.2 * size))
    points = ruled(top, bottom, count, bulge=bulge)

    # Each point leaves its u and v in the cell where it falls; a blur over cells and counts fills those that got none.
    cells = np.rint(points).astype(int)
    inside = ((cells >= 0) & (cells < size)).all(-1)
    v, u = np.meshgrid(*(np.linspace(0, 1, count, dtype=np.float32),) * 2, indexing="ij")
    x, y = cells[inside].T
    maps = np.zeros((size, size, 3), np.float32)
    maps[y, x] = np.stack([u[inside], v[inside], np.ones(len(x), np.float32)], axis=1)

    u_sum, v_sum, weight = (np.asarray(cv2.GaussianBlur(maps[..., k], (0, 0), 1.2), np.float32) for k in range(3))
    return covered(points, size), u_sum / (weight + 1e-4), v_sum / (weight + 1e-4)


def stroke(cover: NDArray[np.uint8], stops: Sequence[NDArray[np.floating]], thick: float) -> None:
    """Draw a curve through `stops`, in pixels of the picture, into `cover`, which is twice as large."""
    points = np.rint((2 * curve(stops, 24) + 0.5) * 16).astype(np.int32)
    cv2.polylines(
        cover, [points], isClosed=False, color=255, thickness=max(1, round(2 * thick)), lineType=cv2.LINE_AA, shift=4
    )


def flap(mesh: FaceMesh, side: int, rng: np.random.Generator, *, standing: bool) -> Floats:
    """(N, 2) the rim of a flap from a mask's edge to behind an ear: of four points, or of one that stands up there."""
    (ear, _, up), jaw = mesh.ear(side), LEFT_JAW if side > 0 else RIGHT_JAW
    up = up * np.linalg.norm(mesh.across) / (np.linalg.norm(up) + 1e-6)
    upper, lower = mesh.along(jaw, rng.uniform(0.6, 2.0)), mesh.along(jaw, rng.uniform(3.6, 5.2))
    upper, lower = (point + (mesh[Point.NOSE_TIP] - point) * rng.uniform(0.1, 0.3) for point in (upper, lower))
    out = (ear - mesh[Point.NOSE_TIP]) * rng.uniform(0.05, 0.5)
    if not standing:
        end, half = ear + out + up * rng.uniform(-0.08, 0.12), up * rng.uniform(0.02, 0.16)
        return np.array([upper, end + half, end - half, lower], np.float32)

    thick, tip = out * rng.uniform(0.1, 0.6), ear + out * rng.uniform(0.2, 0.8) + up * rng.uniform(0.05, 0.45)
    inner = ear + out * rng.uniform(-0.3, 0.3) - up * rng.uniform(0, 0.1)
    return curve([upper, inner, tip - 0.5 * thick, tip + 0.5 * thick, inner + thick + 0.3 * out, lower], 40)
