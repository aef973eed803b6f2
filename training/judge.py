"""What a result is worth: the paper's measures, those inside the hole, and two learned ones."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from pipeline.geometry import face_crop
from training.measures import nearness, squared
from training.perceptual import PerceptualDistance
from training.product import worn_by
from training.recogniser import Recogniser

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from training.photos import Masked
    from training.product import Product

MEASURES = ("ssim", "psnr", "l1", "hole_psnr", "hole_ssim", "perceptual", "identity")
"""Their names, in the order in which tables show them."""


class Judge:
    """Compares results with the truth.

    Without `learned` the two learned measures, which take most of the time, are left out and None.
    """

    def __init__(self, product: Product, *, learned: bool) -> None:
        self._product = product
        self._perceptual = PerceptualDistance() if learned else None
        self._recogniser = Recogniser() if learned else None

    def __call__(self, masked: Masked, results: Mapping[str, NDArray[np.uint8]]) -> dict[str, dict[str, float | None]]:
        """The measures of each result of a photo, by name."""
        truth, hidden = squared(masked.truth), squared(np.rint(masked.alpha * 255).astype(np.uint8)) > 127
        scores: dict[str, dict[str, float | None]] = {
            name: asdict(nearness(squared(result), truth, hidden)) for name, result in results.items()
        }
        distances, cosines = self._distances(truth, results), self._cosines(masked, results)
        for name, measured in scores.items():
            measured |= {"perceptual": distances.get(name), "identity": cosines.get(name)}
        return scores

    def _distances(self, truth: NDArray[np.uint8], results: Mapping[str, NDArray[np.uint8]]) -> dict[str, float]:
        judge = self._perceptual
        if judge is None:
            return {}
        wanted = judge.features(truth)
        return {name: judge.between(judge.features(squared(result)), wanted) for name, result in results.items()}

    def _cosines(self, masked: Masked, results: Mapping[str, NDArray[np.uint8]]) -> dict[str, float]:
        if self._recogniser is None:
            return {}
        bare = self._product.find(masked.truth)
        wearer = worn_by(bare, masked.alpha)
        if wearer is None:
            return {}
        crop_from_photo = face_crop(wearer.detection.landmarks)
        truth, *others = self._recogniser.embeddings([masked.truth, *results.values()], crop_from_photo)
        return {name: float(truth @ other) for name, other in zip(results, others, strict=True)}
