"""Stage: a mask drawn on every tracked face, steady over time. What is beneath it stays known.

Each face wears one mask for as long as it is tracked: what is random in it is drawn anew from the same seed in every
frame. It is drawn in a crop that lies on the face by all points of the face mesh, so that the noise of single points
does not shake it, and in the form of the mesh smoothed over time. Each frame's alpha can be kept, losslessly.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import av
import cv2
import numpy as np
from PIL import Image

from pipeline.blend.paste import paste
from pipeline.errors import ConfigError, SinkError
from pipeline.geometry import CROP_SIZE, Affine, similarity
from pipeline.picture.pixels import align, read_crop, read_rgb
from pipeline.whole_file import whole_file
from training.data import masks
from training.data.crops import MARGIN, stored_from_canonical
from training.data.mesh import FaceMesh, mesh_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from av.container import OutputContainer
    from numpy.typing import NDArray

    from pipeline.frames import Frame, Track, Tracked
    from training.needs import MaskKind

    Mesh = Callable[[NDArray[np.uint8], Affine], tuple[NDArray[np.float32], float]]


SIDE = round(CROP_SIZE * MARGIN)
"""Side in pixels of the crop in which masks are drawn: a scarf reaches beyond the canonical one."""

ITSELF = Affine(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))

LEAST_PAINT = 1 / 512
"""Alpha from which a pixel is painted."""


@dataclass(frozen=True)
class Worn:
    """A frame in which faces wear masks, and the truth."""

    bare: Frame
    masked: Frame
    alpha: NDArray[np.float32]
    """(height, width) in [0, 1]: how much of each pixel is mask. Its contact shadow is not part of it."""
    places: Mapping[int, Affine]
    """The tracks that wear one here, each with the crop in which it was drawn: `wide_from_frame`, `SIDE` wide."""


@dataclass(frozen=True)
class _Fit:
    """Where a face's mask lay in the last frame."""

    form: NDArray[np.float64]
    """(468, 2) the smoothed mesh in pixels of the wide crop."""
    wide_from_frame: Affine
    crop_from_frame: Affine
    """The tracker's crop in the same frame."""


@dataclass(frozen=True)
class Wear:
    """The stage that draws the masks."""

    seed: int = 0
    """Other masks for another seed; the same masks, on the same tracks, for the same."""
    kind: MaskKind | None = None
    """What all wear; None: each face what its seed says."""
    follow: float = 0.3
    """How much of the mesh's form in a frame enters the smoothed one, in (0, 1]. Lower it and the mask is stiffer, and
    a mouth that opens beneath it moves it later; at 1 the mesh's noise shows."""
    least_sure: float = 0.5
    """How sure the mesh network must be of a face. Below it the mask goes on where the tracker sees the face go."""
    mesh: Mesh = mesh_of
    """Finds the mesh in a crop; see `mesh.mesh_of`."""

    def __call__(self, stream: Iterator[Tracked]) -> Iterator[Worn]:
        """Each frame with the masks on its faces. Raises `CheckpointError` where the mesh network is not installed."""
        fits: dict[int, _Fit] = {}
        for tracked in stream:
            alive = {track.id: track for track in tracked.tracks}
            found = {number: self._fit(tracked.frame, track, fits.get(number)) for number, track in alive.items()}
            fits = {number: fit for number, fit in found.items() if fit is not None}
            masked = tracked.frame
            alpha = np.zeros((masked.height, masked.width), np.float32)
            for number, fit in fits.items():
                masked = self._paint(masked, fit, alpha, rng=np.random.default_rng([self.seed, number]))
            yield Worn(tracked.frame, masked, alpha, {number: fit.wide_from_frame for number, fit in fits.items()})

    def _fit(self, frame: Frame, track: Track, last: _Fit | None) -> _Fit | None:
        """Where the face's mask lies in this frame; None for a face that the mesh network has never seen."""
        image, crop_from_frame = align(frame, track)
        mesh, sure = self.mesh(image, ITSELF)
        # The mesh network has lost the face: the mask moves on with the crop.
        if sure < self.least_sure:
            if last is None:
                return None
            moved = last.wide_from_frame.after(last.crop_from_frame.inverse()).after(crop_from_frame)
            return _Fit(last.form, moved, crop_from_frame)

        wide_from_crop = stored_from_canonical(SIDE)
        points = crop_from_frame.inverse().apply(mesh[:, :2])
        if last is None:
            return _Fit(wide_from_crop.apply(mesh[:, :2]), wide_from_crop.after(crop_from_frame), crop_from_frame)
        wide_from_frame = similarity(points, last.form, np.ones(len(points)))
        # The place is taken at once and the form slowly: a mask keeps its shape while the head moves.
        form = last.form + self.follow * (wide_from_frame.apply(points) - last.form)
        return _Fit(form, wide_from_frame, crop_from_frame)

    def _paint(self, frame: Frame, fit: _Fit, alpha: NDArray[np.float32], *, rng: np.random.Generator) -> Frame:
        """`frame` with the mask of one face on it; its coverage is added to `alpha` (height, width)."""
        bare = read_crop(frame.planes, fit.wide_from_frame, size=SIDE)
        drawn, cover = masks.draw(bare, FaceMesh(fit.form.astype(np.float32)), rng, kind=self.kind)
        box = _box_of(fit.wide_from_frame, frame)
        if box is None:
            return frame

        left, top, right, bottom = box
        place = fit.wide_from_frame.after(Affine(np.array([[1.0, 0, left], [0, 1.0, top]])))
        picture, cover, shade = (
            _laid(layer, place, width=right - left, height=bottom - top)
            for layer in (drawn.astype(np.float32), cover, drawn.astype(np.float32) - bare)
        )
        below = read_rgb(frame.planes, left=left, top=top, right=right, bottom=bottom).astype(np.float32)
        over = cover[..., None]
        colour = over * picture + (1 - over) * (below + shade)

        touched = (cover > LEAST_PAINT) | (np.abs(shade).max(axis=2) > 0.5)
        below_mask = alpha[top:bottom, left:right]
        below_mask += (1 - below_mask) * cover
        planes = paste(frame.planes, left=left, top=top, colour=colour, alpha=touched.astype(np.float32))
        return replace(frame, planes=planes)


@dataclass(frozen=True)
class Dressed:
    """Stage: the frames with their masks alone. What is beneath goes to `witness`, frame by frame, before them."""

    wear: Wear
    witness: Callable[[Worn], None]

    def __call__(self, stream: Iterator[Tracked]) -> Iterator[Frame]:
        """Each frame as `wear` masks it."""
        for worn in self.wear(stream):
            self.witness(worn)
            yield worn.masked


def _box_of(wide_from_frame: Affine, frame: Frame) -> tuple[int, int, int, int] | None:
    """left, top, right, bottom of the frame that the wide crop covers, half-open pixels; None where it covers none."""
    last = SIDE - 1
    corners = wide_from_frame.inverse().apply([[0, 0], [last, 0], [0, last], [last, last]])
    left, top = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)) + 1, [frame.width, frame.height]).astype(int)
    return (int(left), int(top), int(right), int(bottom)) if left < right and top < bottom else None


def _laid(layer: NDArray[np.float32], wide_from_place: Affine, *, width: int, height: int) -> NDArray[np.float32]:
    """A layer of the wide crop in the frame's pixels, 0 outside the crop; averaged first where it shrinks."""
    shrinks = wide_from_place.scale
    if shrinks > 1.2:
        layer = np.asarray(cv2.GaussianBlur(layer, (0, 0), 0.4 * shrinks), np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(layer, wide_from_place.matrix, (width, height), flags=flags, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(laid, np.float32)


CLOCK = Fraction(1, 90_000)
"""The time base of the written video, in seconds; frames lie further apart."""


class AlphaSink(Protocol):
    """Takes the alphas of a run, frame by frame."""

    def write(self, alpha: NDArray[np.float32], time: Fraction) -> None:
        """Add a frame's alpha (height, width) in [0, 1]. Times in seconds, each after the one before."""
        ...


@dataclass
class _Film:
    """A Matroska file of grey FFV1 pictures, 255 where all is mask."""

    output: OutputContainer
    stream: av.VideoStream | None = None

    def write(self, alpha: NDArray[np.float32], time: Fraction) -> None:
        if self.stream is None:
            self.stream = self.output.add_stream("ffv1", rate=25)
            self.stream.height, self.stream.width = alpha.shape
            self.stream.pix_fmt = "gray"
            self.stream.codec_context.time_base = CLOCK
        picture = av.VideoFrame.from_ndarray(_as_bytes(alpha), format="gray")
        picture.pts, picture.time_base = round(time / CLOCK), CLOCK
        self.output.mux(self.stream.encode(picture))


@dataclass
class _Photo:
    """The alpha of the one frame of a photo."""

    alphas: list[NDArray[np.float32]] = field(default_factory=list)

    def write(self, alpha: NDArray[np.float32], _time: Fraction) -> None:
        self.alphas.append(alpha)


def _as_bytes(alpha: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(alpha * 255).astype(np.uint8)


@contextmanager
def alpha_file(path: Path, *, still: bool, overwrite: bool) -> Iterator[AlphaSink]:
    """A file for the alphas of a run; it gets its name once the block has ended well.

    A photo's is a grey PNG, a video's Matroska. Raises `ConfigError` for another suffix and `SinkError` when it can't
    be written or is there already.
    """
    suffix, what = (".png", "photo") if still else (".mkv", "video")
    if path.suffix.lower() != suffix:
        raise ConfigError(f"--alpha {path}: the alpha of a {what} is written as {suffix}")

    with whole_file(path, overwrite=overwrite) as unfinished:
        try:
            if still:
                photo = _Photo()
                yield photo
                for alpha in photo.alphas:
                    Image.fromarray(_as_bytes(alpha)).save(unfinished, format="PNG")
                return
            with av.open(str(unfinished), "w", format="matroska") as output:
                film = _Film(output)
                yield film
                if film.stream is not None:
                    output.mux(film.stream.encode(None))
        except av.error.FFmpegError as error:
            raise SinkError(f"{path} can't be written: {error.strerror or error}") from error
