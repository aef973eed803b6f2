"""What a result is worth: the paper's measures, those inside the hole, and two learned ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.geometry import face_crop
from training.evaluation.measures import nearness, squared
from training.evaluation.product import worn_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from training.evaluation.photos import Masked
    from training.evaluation.perceptual import PerceptualDistance
    from training.evaluation.product import Product
    from training.evaluation.recogniser import Recogniser

MEASURES = ("ssim", "psnr", "l1", "hole_psnr", "hole_ssim", "perceptual", "identity")
"""Their names, in the order in which tables show them."""


@dataclass(frozen=True)
class Judge:
    """Compares results with the truth."""

    product: Product
    """Finds the face of the bare photo, which the recogniser looks at."""
    learned: tuple[PerceptualDistance, Recogniser] | None = None
    """Without them their two measures, which take most of the time, are None."""

    @classmethod
    def of(cls, product: Product, *, learned: bool) -> Judge:
        """With or without the learned measures; their packages are loaded only when they are wanted."""
        if not learned:
            return cls(product)
        from training.evaluation.perceptual import PerceptualDistance
        from training.evaluation.recogniser import Recogniser

        return cls(product, (PerceptualDistance(), Recogniser()))

    def __call__(self, masked: Masked, results: Mapping[str, NDArray[np.uint8]]) -> dict[str, dict[str, float | None]]:
        """The measures of each result of a photo, by name."""
        truth, hidden = squared(masked.truth), squared(np.rint(masked.alpha * 255).astype(np.uint8)) > 127
        scores: dict[str, dict[str, float | None]] = {
            name: asdict(nearness(squared(result), truth, hidden)) for name, result in results.items()
        }
        distances: Mapping[str, float] = {}
        cosines: Mapping[str, float] = {}
        if self.learned is not None:
            distances = self._distances(self.learned[0], truth, results)
            cosines = self._cosines(self.learned[1], masked, results)
        for name, measured in scores.items():
            measured |= {"perceptual": distances.get(name), "identity": cosines.get(name)}
        return scores

    def _distances(
        self, perceptual: PerceptualDistance, truth: NDArray[np.uint8], results: Mapping[str, NDArray[np.uint8]]
    ) -> dict[str, float]:
        wanted = perceptual.features(truth)
        seen = {name: perceptual.features(squared(result)) for name, result in results.items()}
        return {name: perceptual.between(features, wanted) for name, features in seen.items()}

    def _cosines(
        self, recogniser: Recogniser, masked: Masked, results: Mapping[str, NDArray[np.uint8]]
    ) -> dict[str, float]:
        """To the true face; none where the bare photo shows no face."""
        wearer = worn_by(self.product.find(masked.truth), masked.alpha)
        if wearer is None:
            return {}
        crop_from_photo = face_crop(wearer.detection.landmarks)
        truth, *others = recogniser.embeddings([masked.truth, *results.values()], crop_from_photo)
        return {name: float(truth @ other) for name, other in zip(results, others, strict=True)}
