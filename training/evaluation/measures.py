"""How near a result is to the truth, as "Face Mask Removal with Region-attentive Face Inpainting" measures it.

arXiv 2409.06845; its script compares uint8 pictures of 256x256, whole. The measures inside the hole are ours: where
nothing was hidden the pictures are the same, and that flatters the whole. Two learned measures come from `learned`.

How real a drawn face looks is measured beside how near it is: as sharp as the rest, jawed, like other faces. And how
much of the thin parts of a mask the segmenter finds.

`python -m training.evaluation.measures FOLDER` says how well segmenters find real masks: FOLDER holds faces and their
corrected masks as `training.data.real --apart` writes them.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from engine import models
from engine.select import load
from engine.spec import Precision
from pipeline.draw.segment import segmenter_input, side_of
from pipeline.geometry import CROP_SIZE, VIEW_FROM_CROP, Affine, face_crop
from pipeline.picture.samples import BT601
from training.data.real import STORED_FROM_CANONICAL, RealMasks, greyed, seen
from training.data.samples import hole_psnr
from training.evaluation.photos import sheet_column, write_sheet
from training.evaluation.product import worn_by
from training.needs import bar, errors_in_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from engine.spec import Engine
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


_HALF_BAND = np.array([-1, 0, 9, 16, 9, 0, -1], np.float32) / 32
"""A filter that lets through what is below half of the Nyquist frequency."""

_FEWEST = 60
"""Pixels below which nothing is said of a region."""

_FEWEST_FACES = 20
"""Faces below which no distance between two sets is given."""

_LEAST_STRAP = 24
"""Pixels below which a thin part is a corner of the mask."""

_FACE_CENTRE, _FACE_AXES = (CROP_SIZE / 2, CROP_SIZE / 2), (68.0, 88.0)
"""Middle and half axes of an ellipse that a face fills, in pixels of the crop."""

_RAYS = np.linspace(np.deg2rad(20), np.deg2rad(160), 57)
"""Angles of the rays from a face's middle over the jaw, downwards from ear to ear."""

_REACH = np.linspace(0.7, 1.2, 41)
"""Where on a ray the jaw is looked for, in parts of the ellipse."""


def luma(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(h, w) in [0, 255]."""
    return np.asarray(cv2.transform(image.astype(np.float32), np.array([BT601], np.float32)), np.float32)


def sharpness(image: NDArray[np.uint8], alpha: NDArray[np.float32], crop_from_photo: Affine) -> float | None:
    """Energy above half the Nyquist frequency in the drawn part of a face over that of its visible part.

    Of the picture at its own size; 1 is as sharp. None where too little of either is seen.
    """
    fine = luma(image) - cv2.sepFilter2D(luma(image), cv2.CV_32F, _HALF_BAND, _HALF_BAND)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    places = crop_from_photo.apply(np.stack([columns, rows], axis=-1)) - _FACE_CENTRE
    face = np.hypot(places[..., 0] / _FACE_AXES[0], places[..., 1] / _FACE_AXES[1]) < 0.9

    grown = max(2, round(10 / crop_from_photo.scale))  # past the feather and what the codec carried
    near = cv2.dilate((alpha > 0.02).astype(np.uint8), np.ones((2 * grown + 1,) * 2, np.uint8)) > 0
    deep = cv2.erode((alpha > 0.9).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    drawn, visible = fine[face & deep], fine[face & ~near]
    if min(len(drawn), len(visible)) < _FEWEST:
        return None
    return float(np.mean(drawn**2) / max(float(np.mean(visible**2)), 1e-6))


def jaw_edge(
    image: NDArray[np.uint8], truth: NDArray[np.uint8], alpha: NDArray[np.float32], crop_from_photo: Affine
) -> float | None:
    """How steep the edge of the jaw is under the mask, over that of the true face; 1 is as steep.

    On each ray from the face's middle over the jaw the steepest slope of luma is taken, where the mask hid the ray.
    None where it hid too few rays.
    """
    reach = np.stack([np.cos(_RAYS), np.sin(_RAYS)], axis=-1)[:, None] * _REACH[None, :, None] * _FACE_AXES
    places = crop_from_photo.inverse().apply(reach + _FACE_CENTRE).astype(np.float32)  # (57, 41, 2)

    def along(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.remap(values, places[..., 0], places[..., 1], cv2.INTER_LINEAR), np.float32)

    hidden = (along(alpha) > 0.5).mean(axis=1) > 0.8
    if np.count_nonzero(hidden) < len(_RAYS) // 4:
        return None
    steepest = []
    for picture in (image, truth):
        calm = np.asarray(cv2.GaussianBlur(luma(picture), (0, 0), 0.8), np.float32)
        slopes = np.abs(np.gradient(along(calm), axis=1))[hidden]
        steepest.append(float(slopes.max(axis=1).mean()))
    return steepest[0] / max(steepest[1], 1e-6)


def thin_parts(mask: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(S, S) the straps and loops of a crop's mask: what is no more than 6 pixels wide, so within 3 of its middle."""
    inside = (mask > 0.5).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7)).astype(np.uint8)
    opened = cv2.morphologyEx(inside, cv2.MORPH_OPEN, disc)
    broad = np.asarray(cv2.dilate(opened, np.ones((3, 3), np.uint8)), np.uint8)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(inside & (1 - broad))
    long = [part for part in range(1, count) if stats[part, cv2.CC_STAT_AREA] >= _LEAST_STRAP]
    return np.isin(parts, long)


def kernel_distance(
    drawn: NDArray[np.float32], true: NDArray[np.float32], *, rounds: int = 200
) -> tuple[float, float, float] | None:
    """KID of features (n, d) of drawn and of true faces, and the ends of its 95 % interval; None for fewer than 20.

    The unbiased squared maximum mean discrepancy under a cubic kernel (Binkowski et al., Demystifying MMD GANs, 2018);
    the interval is of halves of the faces, drawn at random without putting back.
    """
    if len(drawn) < _FEWEST_FACES:
        return None
    dimensions, rng = drawn.shape[1], np.random.default_rng(0)
    ours, theirs, both = (
        (one.astype(np.float64) @ other.T.astype(np.float64) / dimensions + 1) ** 3
        for one, other in ((drawn, drawn), (true, true), (drawn, true))
    )

    def distance(some: NDArray[np.int64]) -> float:
        n, here = len(some), np.ix_(some, some)
        within = sum(float(k[here].sum() - np.trace(k[here])) for k in (ours, theirs)) / (n * (n - 1))
        return within - 2 * float(both[here].mean())

    every = np.arange(len(drawn))
    halves = [distance(rng.permutation(every)[: len(every) // 2]) for _ in range(rounds)]
    low, high = np.quantile(halves, [0.025, 0.975])
    return distance(every), float(low), float(high)


VIEWS = {"crop": Affine.resize(1.0), "wide view": VIEW_FROM_CROP}
"""What is looked at, by name: view-from-crop."""

WORST, IN_A_ROW = 24, 8
"""So many faces, at most, are on a sheet, and so many in each of its rows."""


@dataclass(frozen=True)
class Found:
    """What a network found in one view of one face."""

    picture: NDArray[np.uint8]
    """(S, S, 3) what it was shown."""
    true: NDArray[np.bool_]
    """(S, S) where something is worn."""
    found: NDArray[np.bool_]
    """(S, S) where it says so."""

    @property
    def iou(self) -> float:
        """The pixels that both call mask as a part of those that either does; 1 where nothing is worn or found."""
        either = np.count_nonzero(self.true | self.found)
        return np.count_nonzero(self.true & self.found) / either if either else 1.0

    @property
    def thin(self) -> float:
        """The share of straps and loops that is found; NaN where none are seen."""
        thin = thin_parts(self.true.astype(np.float32))
        return float(self.found[thin].mean()) if thin.any() else float("nan")

    def marked(self) -> NDArray[np.uint8]:
        """(S, S, 3) the picture, in red what is missed and in blue what is no mask."""
        shown = self.picture.copy()
        for wrong, colour in ((self.true & ~self.found, (255, 0, 0)), (self.found & ~self.true, (0, 0, 255))):
            shown[wrong] = shown[wrong] // 3 + np.array(colour, np.uint8) // 3 * 2
        return shown


def found_in(segmenter: Engine, masks: RealMasks, view_from_crop: Affine) -> list[Found]:
    """What `segmenter` finds in one view of each face. Raises `EngineError`."""
    side, faces = side_of(segmenter), []
    view_from_stored = view_from_crop.after(STORED_FROM_CANONICAL.inverse())
    for picture, mask in bar(zip(masks.pictures, masks.masks, strict=True), unit="face", total=len(masks)):
        image = seen(picture[..., :3], view_from_stored, CROP_SIZE, cv2.BORDER_REPLICATE)
        inside = seen(picture[..., 3], view_from_stored, CROP_SIZE) > 127
        shown = cv2.resize(greyed(image, inside), (side, side), interpolation=cv2.INTER_AREA)
        ((small,),) = segmenter.run({"crop": segmenter_input([np.asarray(shown, np.uint8)])})["mask"]
        likely = cv2.resize(small.astype(np.float32), (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)
        true = seen(mask, view_from_stored, CROP_SIZE) > 127
        faces.append(Found(image, true & inside, (likely > 0.5) & inside))
    return faces


def _told(name: str, faces: Sequence[Found]) -> str:
    """One line: what was found in `faces` on average."""
    iou, thin = np.mean([face.iou for face in faces]), np.array([face.thin for face in faces])
    more, less = (
        np.mean([np.count_nonzero(wrong) for wrong in ways])
        for ways in zip(*((face.found & ~face.true, face.true & ~face.found) for face in faces), strict=True)
    )
    straps = f"{np.nanmean(thin):.3f}" if np.isfinite(thin).any() else "-"
    return f"{name:36} IoU {iou:.4f}  thin parts {straps}  pixels too many {more:.0f}, missed {less:.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the flags and print the scores."""
    parser = argparse.ArgumentParser(
        description="How well segmenters find real masks, in the crop and in a view twice as wide."
    )
    parser.add_argument(
        "folder", type=Path, help="of faces and their corrected masks, as training.data.real --apart writes them"
    )
    parser.add_argument(
        "--models",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="folders with a segmenter, as training.networks.export writes them; left out: the one that ships",
    )
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="the worst faces of the last network, marked")
    flags = parser.parse_args(arguments)
    with errors_in_one_line(parser):
        masks = RealMasks.read(flags.folder)
        for folder in flags.models or [models.PACKAGE]:
            segmenter = load(models.shipped("segmenter", folder), precision=Precision.F32, threads=1)
            try:
                faces = {view: found_in(segmenter, masks, view_from_crop) for view, view_from_crop in VIEWS.items()}
            finally:
                segmenter.close()
            for view, found in faces.items():
                print(_told(f"{Path(str(folder)).name}, {view}", found))  # noqa: T201 (the command's answer)

        if flags.sheet is not None:
            worst = sorted(faces["crop"], key=lambda face: face.iou)[:WORST]
            columns = [sheet_column(f"IoU {face.iou:.3f}", [face.picture, face.marked()]) for face in worst]
            write_sheet(flags.sheet, [columns[at : at + IN_A_ROW] for at in range(0, len(columns), IN_A_ROW)])


if __name__ == "__main__":
    main()
