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
from training.data.samples import hole_psnr
from training.evaluation.product import worn_by
from training.evaluation.realism import jaw_edge, sharpness

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pipeline.geometry import Affine
    from training.evaluation.learned import DlibRecogniser, LowerFace, PerceptualDistance
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


MEASURES = ("ssim", "psnr", "l1", "hole_psnr", "hole_ssim", "perceptual", "identity", "sharpness", "jaw_edge")
"""Their names, in the order in which tables show them."""


TRUTH = "truth"
"""The name of the bare photo among results."""


@dataclass(frozen=True)
class Judged:
    """What was measured of the results of one photo."""

    scores: Mapping[str, Mapping[str, float | None]]
    """The scores, by result and then by measure."""
    features: Mapping[str, NDArray[np.float32]]
    """Features of the lower face in each result, and in the truth under `TRUTH`; empty where none were taken."""


@dataclass(frozen=True)
class Judge:
    """Compares results with the truth."""

    product: Product
    """Finds the face of the bare photo, which the recogniser looks at."""
    learned: tuple[PerceptualDistance, DlibRecogniser, LowerFace] | None = None
    """The learned measures, which take most of the time; without them their scores are None."""

    @classmethod
    def of(cls, product: Product, *, learned: bool) -> Judge:
        """A judge with or without the learned measures; their packages are loaded only when they are wanted."""
        if not learned:
            return cls(product)
        from training.evaluation.learned import DlibRecogniser, LowerFace, PerceptualDistance

        return cls(product, (PerceptualDistance(), DlibRecogniser(), LowerFace()))

    def __call__(self, masked: MaskedPhoto, results: Mapping[str, NDArray[np.uint8]]) -> Judged:
        """The measures of each result of a photo, by name."""
        truth, hidden = squared(masked.truth), squared(np.rint(masked.alpha * 255).astype(np.uint8)) > 127
        scores: dict[str, dict[str, float | None]] = {
            name: asdict(nearness(squared(result), truth, hidden)) for name, result in results.items()
        }

        distances: Mapping[str, float] = {}
        cosines: Mapping[str, float] = {}
        crop_from_photo = self._crop_of(masked)
        if self.learned is not None:
            distances = self._distances(self.learned[0], truth, results)
            if crop_from_photo is not None:
                cosines = self._cosines(self.learned[1], masked, results, crop_from_photo)

        for name, measured in scores.items():
            measured |= {"perceptual": distances.get(name), "identity": cosines.get(name)}
            measured |= dict.fromkeys(("sharpness", "jaw_edge"))
            if crop_from_photo is not None:
                measured["sharpness"] = sharpness(results[name], masked.alpha, crop_from_photo)
                measured["jaw_edge"] = jaw_edge(results[name], masked.truth, masked.alpha, crop_from_photo)
        if self.learned is None or crop_from_photo is None:
            return Judged(scores, {})
        pictures = {TRUTH: masked.truth, **results}
        return Judged(scores, {name: self.learned[2](image, crop_from_photo) for name, image in pictures.items()})

    def _crop_of(self, masked: MaskedPhoto) -> Affine | None:
        """`crop_from_photo` of the face in the bare photo that wears the mask; None where none is found."""
        wearer = worn_by(self.product.find(masked.truth), masked.alpha)
        return None if wearer is None else face_crop(wearer.detection.landmarks)

    def _distances(
        self, perceptual: PerceptualDistance, truth: NDArray[np.uint8], results: Mapping[str, NDArray[np.uint8]]
    ) -> dict[str, float]:
        wanted = perceptual.features(truth)
        seen = {name: perceptual.features(squared(result)) for name, result in results.items()}
        return {name: perceptual.between(features, wanted) for name, features in seen.items()}

    def _cosines(
        self,
        recogniser: DlibRecogniser,
        masked: MaskedPhoto,
        results: Mapping[str, NDArray[np.uint8]],
        crop_from_photo: Affine,
    ) -> dict[str, float]:
        """The cosines to the true face."""
        truth, *others = recogniser.embeddings([masked.truth, *results.values()], crop_from_photo)
        return {name: float(truth @ other) for name, other in zip(results, others, strict=True)}
