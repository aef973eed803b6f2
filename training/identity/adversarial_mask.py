"""A printed mask that hides who wears it: `python -m training.identity.adversarial_mask PHOTOS PATTERN.png`.

After Adversarial Mask (Zolfi et al., arXiv 2111.10759): one pattern for everybody is optimised so that a recogniser
finds the wearer unlike their bare photo. The paper projects it onto the face by a 3D mesh; here it lies on the surface
of our own drawn masks. It is a test of what ships: the segmenter has to find such a mask as it finds others.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from pipeline.draw.segment import side_of
from pipeline.errors import SourceError
from pipeline.geometry import CROP_SIZE
from pipeline.picture.pixels import align
from training.data.crops import central_face
from training.data.mask_shape import cut_of, outline, surface
from training.data.mesh import FaceMesh
from training.evaluation.photos import read
from training.evaluation.product import looker
from training.identity.distil import student
from training.identity.faces import as_pictures
from training.identity.networks import pretrained
from training.needs import MaskKind, errors_in_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from engine.spec import Engine
    from pipeline.geometry import Affine
    from training.evaluation.product import Looker

SMOOTHNESS = 0.1
"""Weight of the total variation beside the cosine's 1, as in the paper."""
PATTERN = 112
"""Side of the pattern in pixels, as in the paper."""
RATE = 0.05
KIND = MaskKind.CLOTH
BULGE = 0.05
"""How far the mask bulges beyond a straight side, as `masks.draw` has it between 0 and 0.12."""


@dataclass(frozen=True)
class Wearer:
    """A face on which a printed mask can be drawn, seen as the segmenter or as the recogniser sees it."""

    picture: NDArray[np.uint8]
    """(S, S, 3) the bare face."""
    cover: NDArray[np.float32]
    """(S, S) in [0, 1] where the mask lies."""
    places: NDArray[np.float32]
    """(S, S, 2) which place of the pattern, from -1 to 1 across and down, each pixel of the mask shows."""

    def moved(self, map_: Affine, size: int) -> Wearer:
        """The wearer in a picture of another size, whose pixels `map_` gives."""
        picture, cover, places = (
            cv2.warpAffine(values, map_.matrix, (size, size)) for values in (self.picture, self.cover, self.places)
        )
        return Wearer(np.asarray(picture, np.uint8), np.asarray(cover, np.float32), np.asarray(places, np.float32))


def wearer(photo: NDArray[np.uint8], look: Looker, rng: np.random.Generator) -> Wearer | None:
    """The canonical crop of a photo's face with a place for a mask; None where no face is found."""
    tracked, found = look.central(photo), central_face(photo)
    if tracked is None or found is None:
        return None
    crop, crop_from_photo = align(tracked.frame, tracked.tracks[0])
    points = crop_from_photo.after(found[0].inverse()).apply(found[1][:, :2]).astype(np.float32)
    top, bottom = outline(FaceMesh(points), cut_of(KIND, rng), KIND, rng)
    cover, across, down = surface(top, bottom, CROP_SIZE, bulge=BULGE)
    return Wearer(crop, cover, np.stack([2 * across - 1, 2 * down - 1], -1).astype(np.float32))


def worn(pattern: Tensor, wearers: Sequence[Wearer]) -> Tensor:
    """(N, 3, S, S) the faces with the pattern (3, P, P) in [0, 1] printed on their masks, differentiable in it."""
    pictures = as_pictures(np.stack([face.picture for face in wearers]))
    cover = torch.from_numpy(np.stack([face.cover for face in wearers]))[:, None]
    places = torch.from_numpy(np.stack([face.places for face in wearers]))
    printed = functional.grid_sample(pattern.expand(len(wearers), -1, -1, -1), places, align_corners=True)
    return pictures * (1 - cover) + 255 * printed * cover


def total_variation(pattern: Tensor) -> Tensor:
    """The mean absolute difference of neighbours of a pattern (3, P, P): smooth patterns can be printed."""
    return pattern.diff(dim=1).abs().mean() + pattern.diff(dim=2).abs().mean()


def adversarial_loss(embeddings: Tensor, bare: Tensor, pattern: Tensor) -> Tensor:
    """The mean cosine of masked and bare embeddings (N, d), and the pattern's total variation."""
    likeness = functional.cosine_similarity(embeddings, bare).mean()
    return likeness + SMOOTHNESS * total_variation(pattern)


def optimise(network: torch.nn.Module, wearers: Sequence[Wearer], *, steps: int, batch: int, seed: int) -> Tensor:
    """The pattern (3, PATTERN, PATTERN) in [0, 1] after `steps` steps, from an even grey.

    `network` takes pictures as the wearers' are, and is not changed.
    """
    rng = np.random.default_rng(seed)
    raw = torch.zeros(3, PATTERN, PATTERN, requires_grad=True)
    optimiser = torch.optim.Adam([raw], lr=RATE)

    for _ in range(steps):
        some = [wearers[int(number)] for number in rng.integers(0, len(wearers), batch)]
        with torch.no_grad():
            bare = network(as_pictures(np.stack([face.picture for face in some])))
        pattern = raw.sigmoid()
        loss = adversarial_loss(network(worn(pattern, some)), bare, pattern)
        # Not `backward`, which would give the network gradients too.
        (raw.grad,) = torch.autograd.grad(loss, raw)
        optimiser.step()
    return raw.detach().sigmoid()


@torch.no_grad()
def likeness(network: torch.nn.Module, pattern: Tensor, wearers: Sequence[Wearer]) -> float:
    """The mean cosine of the wearers' masked and bare embeddings, both by `network`."""
    bare = network(as_pictures(np.stack([face.picture for face in wearers])))
    return float(functional.cosine_similarity(network(worn(pattern, wearers)), bare).mean())


def comparison_patterns(seed: int) -> dict[str, Tensor]:
    """Patterns of one even colour, and one of noise: what a mask does without being optimised."""
    noise = torch.rand(3, PATTERN, PATTERN, generator=torch.Generator().manual_seed(seed))
    colours = {"white": 0.95, "grey": 0.5, "black": 0.08}
    return {name: torch.full((3, PATTERN, PATTERN), value) for name, value in colours.items()} | {"noise": noise}


def overlap(segmenter: Engine, pattern: Tensor, wearers: Sequence[Wearer]) -> float:
    """The mean IoU of the masks that the segmenter finds in canonical crops and the true ones."""
    size = (side_of(segmenter),) * 2
    shown = functional.interpolate(worn(pattern, wearers), size, mode="area")
    found = segmenter.run({"crop": (shown / 127.5 - 1).numpy()})["mask"][:, 0].astype(np.float32) > 0.5
    shares = torch.from_numpy(np.stack([face.cover for face in wearers]))[:, None]
    true = functional.interpolate(shares, size, mode="area")[:, 0].numpy() > 0.5
    return float(np.mean((found & true).sum((1, 2)) / np.maximum((found | true).sum((1, 2)), 1)))


def measure(
    networks: Mapping[str, torch.nn.Module], look: Looker, pattern: Tensor, crops: Sequence[Wearer]
) -> dict[str, dict[str, float]]:
    """Measure, for each pattern, the likeness to the bare face that each network sees, and the segmenter's IoU."""
    pictures = [crop.moved(look.recogniser.picture_from_crop, look.recogniser.size) for crop in crops]
    answer: dict[str, dict[str, float]] = {}
    for name, printed in ({"adversarial": pattern} | comparison_patterns(0)).items():
        answer[name] = {key: likeness(network, printed, pictures) for key, network in networks.items()}
        answer[name]["segmenter_iou"] = overlap(look.parts.networks.segmenter, printed, crops)
    return answer


def main() -> None:
    """Read the options, optimise a pattern against the recogniser, and measure it on other people."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("pattern", type=Path)
    parser.add_argument("--run", type=Path, help="a run of training.identity.distil, whose network is measured too")
    parser.add_argument("--count", type=int, default=100, help="of photos; half are optimised on, half measured on")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with errors_in_one_line(parser), looker() as look:
        print(json.dumps(_attack(options, look), indent=2))  # noqa: T201 (the command's answer)


def _attack(options: argparse.Namespace, look: Looker) -> dict[str, dict[str, float]]:
    files = sorted(path for path in options.photos.glob("*") if path.is_file())[: options.count]
    rng = np.random.default_rng(options.seed)
    crops = [crop for path in files if (crop := wearer(read(path), look, rng)) is not None]
    if len(crops) < 2:
        raise SourceError(f"{options.photos}: faces are found in {len(crops)} photos, and two are needed")
    half = len(crops) // 2

    networks: dict[str, torch.nn.Module] = {"dlib-resnet": pretrained()}
    if options.run is not None:
        networks["student"] = student(options.run)
    pictures = [crop.moved(look.recogniser.picture_from_crop, look.recogniser.size) for crop in crops[:half]]
    pattern = optimise(networks["dlib-resnet"], pictures, steps=options.steps, batch=8, seed=options.seed)
    picture = (255 * pattern.permute(1, 2, 0)).round().numpy().astype(np.uint8)
    Image.fromarray(picture).save(options.pattern)
    return measure(networks, look, pattern, crops[half:])


if __name__ == "__main__":
    main()
