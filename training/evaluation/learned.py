"""The two measures that networks take, which no loss here uses: a perceptual distance, and whose face it is."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import dlib
import face_recognition_models
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engine.select import load
from engine.spec import Precision
from pipeline.geometry import CROP_SIZE
from pipeline.picture.pixels import read_crop
from pipeline.recognisers import dlib_resnet, unit
from pipeline.video.stills import still_frame
from training.loop.losses import EfficientNetFeatures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.geometry import Affine


WEIGHTS = ("stlpips_pytorch", "weights/vST0.0/alex_shift_tolerant.pth")


class PerceptualDistance:
    """Shift-tolerant LPIPS (Ghildyal and Liu, ECCV 2022, arXiv 2207.13686), the AlexNet variant.

    The features of five layers, of unit length, are compared, and their differences weighted by channel. The weights
    come from the package `stlpips-pytorch`, which is read as data: importing it needs packages that it does not name.
    They were learned from people's judgements. The figures are not those of LPIPS: its trunk was trained anew.
    """

    def __init__(self) -> None:
        package, path = WEIGHTS
        with resources.files(package).joinpath(path).open("rb") as file:
            self.state: dict[str, Tensor] = torch.load(file, weights_only=True, map_location="cpu")

    @torch.no_grad()
    def features(self, image: NDArray[np.uint8]) -> list[Tensor]:
        """Features (1, C, H, W), of unit length over C, of a picture (256, 256, 3) RGB after each of five layers."""
        x = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1)[None]
        x = (x - self.state["scaling_layer.shift"]) / self.state["scaling_layer.scale"]
        x = functional.relu(self._halve(self._convolve(x, "slice1.0", 2), "slice1.1"))
        seen = [x]
        x = functional.relu(self._convolve(self._halve(functional.max_pool2d(x, 3, 1), "slice2.4"), "slice2.5", 2))
        seen.append(x)
        x = functional.relu(self._convolve(self._halve(functional.max_pool2d(x, 3, 1), "slice3.8"), "slice3.9", 1))
        seen.append(x)
        for name in ("slice4.11", "slice5.13"):
            x = functional.relu(self._convolve(x, name, 1))
            seen.append(x)
        return [layer / (layer.square().sum(1, keepdim=True).sqrt() + 1e-10) for layer in seen]

    def between(self, first: list[Tensor], second: list[Tensor]) -> float:
        """The distance of two pictures by their `features`; 0 for the same picture, larger for more different ones."""
        total = 0.0
        for index, (ours, theirs) in enumerate(zip(first, second, strict=True)):
            weights = self.state[f"lin{index}.model.1.weight"]
            total += functional.conv2d((ours - theirs).square(), weights).mean().item()
        return total

    def _convolve(self, x: Tensor, name: str, padding: int) -> Tensor:
        return functional.conv2d(x, self.state[f"net.{name}.weight"], self.state[f"net.{name}.bias"], padding=padding)

    def _halve(self, x: Tensor, name: str) -> Tensor:
        """Blur, then every second pixel: what makes it tolerant of shifts."""
        padded = functional.pad(x, (2, 2, 2, 2), mode="reflect")
        return functional.conv2d(padded, self.state[f"net.{name}.filt"], stride=2, groups=x.shape[1])


LOWER = slice(CROP_SIZE // 2, CROP_SIZE)
"""The rows of a crop in which a lower face lies, and a neck."""


class LowerFace:
    """What ImageNet features say of the lower half of a face: for comparing many drawn ones with many true ones."""

    def __init__(self) -> None:
        self.network = EfficientNetFeatures().eval()

    @torch.no_grad()
    def __call__(self, image: NDArray[np.uint8], crop_from_image: Affine) -> NDArray[np.float32]:
        """(192,) means of the last two layers' features."""
        crop = read_crop(still_frame(image).planes, crop_from_image, size=CROP_SIZE)[LOWER]
        x = torch.from_numpy(crop.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1)[None]
        deep = self.network(x)[-2:]
        return np.asarray(torch.cat([layer.mean((2, 3)) for layer in deep], 1)[0].numpy(), np.float32)


CHIP_SIZE, CHIP_PADDING = 150, 0.25
"""What the network takes, as dlib's documentation has it."""

BOX = (62, 45, 194, 194)
"""left, top, right, bottom of a face's box in the canonical crop, as dlib's own frontal detector would give it."""


class DlibRecogniser:
    """dlib's ResNet, frozen, on an engine of ours; the faces are cut out by the five landmarks of `dlib-bin`.

    Its embeddings are (128,) of unit length: the cosine of two is high when they look like the same person.
    """

    def __init__(self) -> None:
        self._predictor = dlib.shape_predictor(face_recognition_models.pose_predictor_five_point_model_location())
        self._engine = load(dlib_resnet.network(None), precision=Precision.F32, threads=1)

    def embeddings(self, images: list[NDArray[np.uint8]], crop_from_image: Affine) -> NDArray[np.float32]:
        """(N, 128) of the same face in N pictures of the same scene, all cut out by the landmarks that the first shows.

        Raises `EngineError`.
        """
        crops = [read_crop(still_frame(image).planes, crop_from_image, size=CROP_SIZE) for image in images]
        shape = self._predictor(crops[0], dlib.rectangle(*BOX))
        chips = np.stack([dlib.get_face_chip(crop, shape, CHIP_SIZE, CHIP_PADDING) for crop in crops])
        found = self._engine.run({"chip": chips.transpose(0, 3, 1, 2).astype(np.float32)})["embedding"]
        return unit(found.astype(np.float32))
