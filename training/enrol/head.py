"""A mean head, turned as five landmarks say: where to draw a mask without a network that finds a face mesh.

The head, `head.npz`, is the mean of the meshes of 385 portraits of FFHQ: points alone, which show nobody. They lie
within 3 pixels of the crop, on average, of those that the mesh network finds.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@cache
def _head() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mesh (468, 3) and the five landmarks (5, 3) of an upright frontal head, in pixels of the canonical crop."""
    with resources.files(__package__).joinpath("head.npz").open("rb") as file:
        stored = np.load(file)
        return stored["mesh"].astype(np.float64), stored["landmarks"].astype(np.float64)


def mesh_of_landmarks(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """The face mesh (468, 2) of a head whose five landmarks are `points` (5, 2), in the same pixels.

    Least squares give the affine map from the head's landmarks; the nearest map that turns, scales and shifts is used.
    """
    mesh, landmarks = _head()
    solution = np.linalg.lstsq(np.column_stack([landmarks, np.ones(5)]), np.asarray(points, np.float64), rcond=None)[0]
    left, scales, right = np.linalg.svd(solution[:3].T, full_matrices=False)  # (2, 2), (2,), (2, 3)
    turn = scales.mean() * left @ right
    shift = np.mean(points, axis=0) - turn @ landmarks.mean(axis=0)
    return np.asarray(mesh @ turn.T + shift, np.float32)
