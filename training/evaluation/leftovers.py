"""`barefaced evaluate leftovers`: in how many results something of a mask is left, as another network sees it.

Around each face a view twice as wide as its crop is looked at, before and after. What was mask before and looks like
mask still is left over. `python -m training.evaluation.leftovers CROPS FILE` trains the network that judges. It must
not err as the segmenter errs, so all about it is another thing: frozen ImageNet features under a small head instead of
a network of its own, and pictures of drawn faces from which pieces of a mask were not taken off.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW

from engine.models import shipped
from engine.select import load
from pipeline.draw.beyond import view_of
from pipeline.draw.hole import hole_of
from pipeline.errors import CheckpointError
from pipeline.geometry import CROP_SIZE, VIEW_TIMES, face_crop
from pipeline.picture.pixels import in_frame, read_crop
from pipeline.whole_file import whole_file
from training.data.samples import ODDITIES, Faces, draw_sample
from training.evaluation.photos import sheet_column, write_sheet
from training.loop import losses
from training.loop.losses import EfficientNetFeatures
from training.loop.stream import picture
from training.needs import bar, errors_in_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from engine.spec import Engine
    from pipeline.frames import Frame, Tracked

    Judge = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

FACE_SHARE = 0.29
"""A face's part of its crop: an ellipse half as wide as the crop and two thirds as high."""

MOST_LEFT = 0.001
"""How much may be left, since nobody sees it, as a part of a face's area."""

_SURE = 0.6
"""How likely a pixel must be mask, before and after."""

_LEAST_WORN = 0.05
"""How much must be mask for a face to count as masked, as a part of its area."""

_MIDDLE = np.s_[120:165, 96:160]
"""The part of a view from a nose to a chin."""

_SPECK = np.ones((2, 2), np.uint8)
"""What is thinner than two pixels of a view is an edge, not a piece of a mask."""


@dataclass(frozen=True)
class JudgedFace:
    """One masked face, before and after."""

    title: str
    share: float
    """What is left of the mask, in parts of the face's area; a mask that stays on is more than 1."""
    before: NDArray[np.uint8]
    """(S, S, 3) its view as it was."""
    after: NDArray[np.uint8]
    marked: NDArray[np.uint8]
    """`after` with what is left in red."""


@dataclass(frozen=True)
class Seen:
    """A photo, or a frame of a clip."""

    title: str
    faces: tuple[JudgedFace, ...]
    """The masked ones."""

    @property
    def share(self) -> float:
        """The most that is left on a face."""
        return max((face.share for face in self.faces), default=0.0)


def look(title: str, tracked: Tracked, after: Frame, judge: Judge) -> Seen:
    """What is left in the frame `after` of the masks on the faces of `tracked`."""
    faces = []
    for track in tracked.tracks:
        crop_from_frame = face_crop(track.detection.landmarks, pixel_aspect=tracked.frame.pixel_aspect)
        view = view_of(crop_from_frame)
        before, now = (read_crop(frame.planes, view, size=CROP_SIZE) for frame in (tracked.frame, after))
        area = FACE_SHARE * (CROP_SIZE / VIEW_TIMES) ** 2

        worn = _worn(judge(before), in_frame(view, tracked.frame.width, tracked.frame.height))
        if worn.sum() < _LEAST_WORN * area:
            continue
        left = worn & (judge(now) > _SURE)
        left = cv2.morphologyEx(left.astype(np.uint8), cv2.MORPH_OPEN, _SPECK) > 0
        marked = now.copy()
        marked[left] = (255, 0, 0)
        faces.append(
            JudgedFace(f"{title} {100 * left.sum() / area:.2f} %", float(left.sum() / area), before, now, marked)
        )
    return Seen(title, tuple(faces))


def _worn(likely: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(S, S) the mask of the face in the middle of a view: what hangs together with mask at its nose and mouth."""
    _, parts = cv2.connectedComponents(((likely > _SURE) & inside).astype(np.uint8))
    own = np.unique(parts[_MIDDLE])
    return np.isin(parts, own[own > 0])


def summary(seen: Sequence[Seen], faceless: Iterable[str]) -> dict[str, Any]:
    """The scores as JSON holds them."""
    masked = [one for one in seen if one.faces]
    left = [one for one in masked if one.share > MOST_LEFT]
    return {
        "pictures": len(seen),
        "without_a_face": sorted(faceless),
        "masked": len(masked),
        "left_over": len(left),
        "left_over_share": round(len(left) / max(1, len(masked)), 4),
        "mean_left": round(float(np.mean([one.share for one in masked])), 5) if masked else None,
        "worst": {one.title: round(one.share, 5) for one in ordered(masked)[:20]},
    }


def ordered(seen: Sequence[Seen]) -> list[Seen]:
    """The faces, the worst first."""
    return sorted(seen, key=lambda one: -one.share)


def sheet(path: Path, seen: Sequence[Seen], *, count: int = 20) -> None:
    """The `count` worst faces as a PNG, ten a row; from the top: before, after, and what is left in red."""
    worst = sorted((face for one in seen for face in one.faces), key=lambda face: -face.share)[:count]
    columns = [sheet_column(face.title, [face.before, face.after, face.marked]) for face in worst]
    if columns:
        write_sheet(path, [columns[start : start + 10] for start in range(0, len(columns), 10)])


def table(scores: dict[str, Any]) -> str:
    """The summary for a person."""
    return (
        f"{scores['left_over']} of {scores['masked']} pictures with a masked face have more than "
        f"{100 * MOST_LEFT:.1f} % of its area left over ({100 * scores['left_over_share']:.1f} %); "
        f"{scores['pictures']} looked at, {len(scores['without_a_face'])} without a face"
    )


SIDE = CROP_SIZE // 2
"""Side of the pictures it learns from: a crop at the scale at which a view shows it."""

BARE, ODD = 0.3, 0.5 * ODDITIES
"""How many faces are bare, some behind fingers or a microphone, and how much else is out of the ordinary: wider views
with hair, caps, collars and shadows, temples, strands, cables. A judge must take none of that for mask."""

BATCH, RATE = 16, 4e-3
"""Samples a step, and the learning rate at its start."""

_CHANNELS, _WIDTH = (16, 24, 40, 80, 112), 24


class LeftoverJudge(nn.Module):
    """How likely each pixel is mask, of pictures of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.features = EfficientNetFeatures().eval()
        self.entries = nn.ModuleList(nn.Conv2d(channels, _WIDTH, 1) for channels in _CHANNELS)
        self.mixed = nn.Sequential(nn.ReLU(), nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1), nn.ReLU())
        self.leave = nn.Conv2d(_WIDTH, 4, 3, padding=1)

    @classmethod
    def read(cls, path: Path) -> LeftoverJudge:
        """The judge with the head in `path`, as `write` left it. Raises `CheckpointError` for anything else."""
        judge = cls()
        try:
            with np.load(path) as stored:
                head = {name: torch.from_numpy(stored[name].astype(np.float32)) for name in stored.files}
            judge.load_state_dict(judge.state_dict() | head)
        except (OSError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path} holds no judge: training.evaluation.leftovers writes one") from error
        return judge.eval()

    def write(self, path: Path) -> None:
        """Keep the head in `path`, a few tens of kilobytes in float16."""
        head: dict[str, Any] = {name: value.numpy().astype(np.float16) for name, value in self.head.items()}
        with whole_file(path, overwrite=True) as unfinished, unfinished.open("wb") as file:
            np.savez_compressed(file, **head)

    @property
    def head(self) -> dict[str, Tensor]:
        """What was learned here."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("features.")}

    def logits(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [-1, 1] to (B, 1, H, W); sides are multiples of 16."""
        with torch.no_grad():
            seen = self.features(pictures)
        return self.judged(seen)

    def judged(self, seen: list[Tensor]) -> Tensor:
        """(B, 1, H, W) logits from the features of pictures."""
        size = seen[0].shape[2:]
        entered = (entry(layer) for entry, layer in zip(self.entries, seen, strict=True))
        joint = sum(functional.interpolate(x, size, mode="bilinear", align_corners=False) for x in entered)
        logits: Tensor = functional.pixel_shuffle(self.leave(self.mixed(joint)), 2)
        return logits

    @torch.no_grad()
    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(H, W) in [0, 1] of a picture (H, W, 3)."""
        pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
        return np.asarray(torch.sigmoid(self.logits(picture(pixels)))[0, 0].numpy(), np.float32)


def left_over(alpha: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """The part of a mask's `alpha` (S, S) that somebody forgets to take off: nothing, an end of it, a spot, or all."""
    chance = rng.random()
    if chance < 0.25 or not (alpha > 0.5).any():
        return np.zeros_like(alpha)
    if chance < 0.4:
        return alpha

    rows, columns = np.mgrid[: len(alpha), : len(alpha)].astype(np.float32)
    inside = np.argwhere(alpha > 0.5)
    if chance < 0.75:  # what lies beyond a line that leaves most of the mask on the other side
        way = rng.uniform(0, 2 * np.pi)
        across = columns * np.cos(way) + rows * np.sin(way)
        edge = np.quantile(across[alpha > 0.5], rng.uniform(0.75, 0.99))
        kept = across > edge
    else:
        row, column = inside[rng.integers(len(inside))]
        kept = np.hypot(rows - row, columns - column) < len(alpha) * rng.uniform(0.02, 0.15)

    return np.asarray(alpha * kept, np.float32)


def sample(faces: Faces, generator: Engine, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A face (SIDE, SIDE, 3) whose mask was drawn over but for what is left, and the alpha of that."""
    drawn = draw_sample(faces, faces.any_index(rng), rng, size=CROP_SIZE, bare=BARE, odd=ODD)
    left = left_over(drawn.alpha, rng)
    image = drawn.picture

    if (drawn.alpha > 0.5).any() and not np.array_equal(left, drawn.alpha):
        hole = hole_of(drawn.alpha)
        feed = np.concatenate([drawn.picture.transpose(2, 0, 1) / np.float32(127.5) - 1, hole[None]])
        face = generator.run({"crop_and_mask": feed[None].astype(np.float32)})["face"][0].astype(np.float32)
        share = hole * (1 - cv2.GaussianBlur(left, (0, 0), 1.0) / max(float(left.max()), 1e-3))
        painted = (face.transpose(1, 2, 0) + 1) * 127.5
        image = np.clip(np.rint(image + share[..., None] * (painted - image)), 0, 255).astype(np.uint8)

    size = (SIDE, SIDE)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), np.asarray(cv2.resize(left, size, interpolation=cv2.INTER_AREA), np.float32)


def samples(crops: Path, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """`count` samples as pictures (N, 3, SIDE, SIDE) uint8 and alphas (N, 1, SIDE, SIDE) in [0, 1]."""
    rng, pictures, alphas = np.random.default_rng(seed), [], []
    sets = [Faces.read(crops, "train")]
    if (crops / "sharp.npz").exists():
        sets.append(Faces.read(crops, "sharp"))
    generator = load(shipped("generator"), threads=1)
    for number in range(count):
        image, alpha = sample(sets[0 if number % 5 else -1], generator, rng)
        pictures.append(image.transpose(2, 0, 1))
        alphas.append(alpha[None])
    generator.close()
    return torch.from_numpy(np.stack(pictures)), torch.from_numpy(np.stack(alphas))


@torch.no_grad()
def features_of(judge: LeftoverJudge, pictures: Tensor) -> list[Tensor]:
    """The frozen features of all pictures, in float16: computed once, since they cost ten times what the head does."""
    parts = [
        [layer.half() for layer in judge.features(picture(some))]
        for some in bar(torch.split(pictures, 16), unit="batch")
    ]
    return [torch.cat(layers) for layers in zip(*parts, strict=True)]


def train(crops: Path, target: Path, *, count: int, epochs: int) -> float:
    """Teach a head, write it to `target`, and give the last loss."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    pictures, alphas = samples(crops, count, seed=20)
    judge = LeftoverJudge()
    seen = features_of(judge, pictures)
    learned = [weight for weight in judge.parameters() if weight.requires_grad]
    optimiser, loss = AdamW(learned, lr=RATE), torch.zeros(())
    steps = max(1, epochs * len(pictures) // BATCH)
    for step in bar(range(steps), unit="step"):
        optimiser.param_groups[0]["lr"] = RATE * (1 - 0.95 * step / steps)
        some = torch.randint(len(pictures), (BATCH,))
        loss = losses.segmentation(judge.judged([layer[some].float() for layer in seen]), alphas[some])
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()

    judge.write(target)
    return loss.item()


def main() -> None:
    """Read the flags and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crops", type=Path, help="stored crops, as training.data.crops writes them")
    parser.add_argument("target", type=Path, help="file of the head, such as judge.npz")
    parser.add_argument("--count", type=int, default=4000, help="pictures that are drawn once")
    parser.add_argument("--epochs", type=int, default=12, help="how often each is seen")
    flags = parser.parse_args()
    with errors_in_one_line(parser):
        loss = train(flags.crops, flags.target, count=flags.count, epochs=flags.epochs)
        print(f"{flags.target}: loss {loss:.4f}")  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
