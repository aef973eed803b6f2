"""How near a result is to the truth, as "Face Mask Removal with Region-attentive Face Inpainting" measures it.

arXiv 2409.06845; its script compares uint8 pictures of 256x256, whole. The measures inside the hole are ours: where
nothing was hidden the pictures are the same, and that flatters the whole. Two learned measures come from `learned`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pipeline.geometry import face_crop
from training.evaluation.product import worn_by
from training.hole_psnr import hole_psnr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from training.evaluation.learned import PerceptualDistance, Recogniser
    from training.evaluation.photos import MaskedPhoto
    from training.evaluation.product import Product


SIDE = 256
"""Side of the pictures that are compared."""

WINDOW = 11
"""Side of the window of SSIM."""


@dataclass(frozen=True)
class Nearness:
    """How near one result is to its truth."""

    ssim: float
    """SSIM of the whole picture, in [-1, 1]."""
    psnr: float
    """PSNR of the whole picture, in decibels."""
    l1: float
    """Mean difference of the grey pictures, grey being the mean of the channels, in [0, 1]."""
    hole_psnr: float
    """PSNR of the pixels that the mask hid, in decibels."""
    hole_ssim: float
    """Mean of the SSIM map over the pixels that the mask hid."""


def squared(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture (height, width, 3), or a mask without the last axis, at 256x256: nearest pixel, aspect not kept.

    So the paper brings its pictures of 178x218 to size.
    """
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.NEAREST))


def nearness(result: NDArray[np.uint8], truth: NDArray[np.uint8], hidden: NDArray[np.bool_]) -> Nearness:
    """Compare (256, 256, 3) pictures; `hidden` (256, 256) is what the mask hid.

    Raises `ValueError` when nothing was hidden or nothing differs: then there is nothing to measure.
    """
    if not hidden.any():
        raise ValueError("no pixel is hidden")
    if np.array_equal(result, truth):
        raise ValueError("the result is the truth itself")

    ssim, ssim_map = structural_similarity(truth, result, win_size=WINDOW, channel_axis=2, data_range=255, full=True)
    grey = result.mean(axis=2) - truth.mean(axis=2)

    return Nearness(
        ssim=float(ssim),
        psnr=float(peak_signal_noise_ratio(truth, result, data_range=255)),
        l1=float(np.abs(grey).mean() / 255),
        hole_psnr=hole_psnr(result, truth, hidden, span=255),
        hole_ssim=float(ssim_map[hidden].mean()),
    )


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
        """A judge with or without the learned measures; their packages are loaded only when they are wanted."""
        if not learned:
            return cls(product)
        from training.evaluation.learned import PerceptualDistance, Recogniser

        return cls(product, (PerceptualDistance(), Recogniser()))

    def __call__(
        self, masked: MaskedPhoto, results: Mapping[str, NDArray[np.uint8]]
    ) -> dict[str, dict[str, float | None]]:
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
        self, recogniser: Recogniser, masked: MaskedPhoto, results: Mapping[str, NDArray[np.uint8]]
    ) -> dict[str, float]:
        """The cosines to the true face; none where the bare photo shows no face."""
        wearer = worn_by(self.product.find(masked.truth), masked.alpha)
        if wearer is None:
            return {}
        crop_from_photo = face_crop(wearer.detection.landmarks)
        truth, *others = recogniser.embeddings([masked.truth, *results.values()], crop_from_photo)
        return {name: float(truth @ other) for name, other in zip(results, others, strict=True)}
