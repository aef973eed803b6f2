"""A person's own face as a file: the weights in which their network differs from the shipped one, and how it was made.

A `.face` file is a ZIP archive of `manifest.json` and `weights.bin`. It holds numbers for a graph that the program
already has, so nothing in it can run code, and no picture. It may hold what was learned of the voice, numbers as well.
It is biometric data: it is written for its owner alone, and deleting it is forgetting the face.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import models
from engine.onnx_file import with_weights
from pipeline.draw.mouth import NAMES, VoiceModel, Voices
from pipeline.errors import CheckpointError, ConfigError
from pipeline.people.people import Look
from pipeline.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from engine.spec import Array, Network

FORMAT = 1
"""The version of the file's layout."""
SUFFIX = ".face"
AGREED = "The person whose face this is agreed that it is drawn where their mask is."
"""The sentence that every file carries, and that whoever makes one says."""
TERMS = "biometric data; for the person shown alone; non-commercial research, as the network that it was made from"
MOST_BYTES = 64 << 20
"""A file that unpacks to more is none of ours."""
DTYPES = ("float16", "float32")
"""The types that a weight may have."""
MANIFEST, WEIGHTS = "manifest.json", "weights.bin"


@dataclass(frozen=True)
class Recognition:
    """What a recogniser makes of the wearer."""

    recogniser: str
    """SHA-256 of the recogniser's network: embeddings of another one mean nothing beside these."""
    look: Look
    """Mean embeddings of the bare face and of the face under drawn masks."""


@dataclass(frozen=True)
class FaceManifest:
    """How a face was made, and how good it is."""

    base_sha256: str
    """The hash of the shipped generator, whose weights these replace."""
    made: str
    """The day, such as `2026-11-26`."""
    sources: int
    """How many videos and photos it was made from."""
    frames: int
    """How many pictures of the face were learned from."""
    held_back: int
    """How many of them were held back until it had been judged on them."""
    steps: int
    """How many steps of the optimiser it took."""
    shipped_psnr: float | None
    """Hole PSNR of the shipped network on the pictures held back, in dB; None when none was held back."""
    own_psnr: float | None
    """Hole PSNR of this face's network on the same views, in decibels."""
    agreed: str = AGREED
    terms: str = TERMS

    @property
    def gain(self) -> float | None:
        """How many dB nearer to the true face it draws than the shipped network."""
        if self.own_psnr is None or self.shipped_psnr is None:
            return None
        return self.own_psnr - self.shipped_psnr


@dataclass(frozen=True)
class EnrolledFace:
    """A face that was read from a file."""

    name: str
    """The file's name without its suffix; what a report calls the face."""
    manifest: FaceManifest
    generator: Network
    """The shipped generator with this person's weights."""
    recognition: Recognition | None
    """What recognises the person; None where the file was made without a recogniser."""
    voices: Voices | None = None
    """What was learned of their voice; None where the recording taught nothing of it."""


def write_face(
    path: Path,
    manifest: FaceManifest,
    weights: Mapping[str, Array],
    recognition: Recognition | None,
    *,
    overwrite: bool,
    voices: Voices | None = None,
) -> None:
    """Write a face, readable by its owner alone; `weights` are those that differ from the base, by name.

    Raises `SinkError` when `path` exists and `overwrite` is False, or can't be written.
    """
    # The weights lie behind each other as bare numbers: where each begins, the manifest says.
    packed = b"".join(
        np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes() for values in weights.values()
    )
    content = {
        "format": FORMAT,
        **asdict(manifest),
        "recognition": None if recognition is None else _told(recognition),
        "voices": None if voices is None else _told_voices(voices),
        "weights": [[name, values.dtype.name, list(values.shape)] for name, values in weights.items()],
        "weights_sha256": hashlib.sha256(packed).hexdigest(),
    }

    with whole_file(path, overwrite=overwrite) as unfinished:
        unfinished.chmod(0o600)  # before anything is in it
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(MANIFEST, json.dumps(content, indent=2) + "\n")
            archive.writestr(WEIGHTS, packed)


def read_face(path: Path, base: Network | None = None) -> EnrolledFace:
    """Read a face; `base` is the generator that it must have been made from, the shipped one unless given.

    Raises `CheckpointError` for a file that is absent, foreign, damaged, or made from another generator.
    """
    base = base or models.shipped("generator")
    content, packed = _unpacked(path)
    try:
        manifest = _manifest(content)
        wanted, written = [_weight(*told) for told in content["weights"]], content["weights_sha256"]
        recognition = None if content["recognition"] is None else _recognition(content["recognition"])
        voices = None if content.get("voices") is None else _voices(content["voices"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error!r}): enroll the face again") from error
    if manifest.base_sha256 != base.sha256:
        raise CheckpointError(f"{path} was made for another version of barefaced's generator: enroll the face again")
    if hashlib.sha256(packed).hexdigest() != written:
        raise CheckpointError(f"{path} is damaged (its weights are not those that were written): enroll the face again")

    generator = with_weights(base, _split(packed, wanted, path), name="generator-own")
    return EnrolledFace(path.stem, manifest, generator, recognition, voices)


def read_faces(paths: Sequence[str], base: Network | None = None) -> tuple[EnrolledFace, ...]:
    """Read several faces. Raises as `read_face` does, and `ConfigError` for names that a report would confuse."""
    faces = tuple(read_face(Path(path), base) for path in paths)
    names = [face.name for face in faces]
    if "shipped" in names:
        raise ConfigError(f"face can't be called shipped{SUFFIX}: reports call the shipped network so; rename the file")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"face can't be {name}{SUFFIX} twice: rename one of the files")
    return faces


def _unpacked(path: Path) -> tuple[dict[str, Any], bytes]:
    """The manifest and the packed weights. Raises `CheckpointError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sorted(archive.namelist()) != [MANIFEST, WEIGHTS]:
                raise CheckpointError(f"{path} is not a face that barefaced enroll wrote")
            # Asked before anything is unpacked: a small archive may hold gigabytes of zeros.
            if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
                raise CheckpointError(f"{path} is not a face that barefaced enroll wrote: it is too large")
            content, packed = json.loads(archive.read(MANIFEST)), archive.read(WEIGHTS)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is not there: barefaced enroll makes it") from error
    except OSError as error:
        raise CheckpointError(f"{path} can't be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"{path} is damaged or not a face that barefaced enroll wrote: {error}") from error

    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a face of this version of barefaced: enroll the face again")
    return content, packed


def _manifest(content: Mapping[str, Any]) -> FaceManifest:
    """The manifest, each field of its type. Raises `KeyError`, `TypeError` and `ValueError`."""
    fields: dict[str, Any] = {key: str(content[key]) for key in ("base_sha256", "made", "agreed", "terms")}
    fields |= {key: int(content[key]) for key in ("sources", "frames", "held_back", "steps")}
    fields |= {key: None if content[key] is None else float(content[key]) for key in ("shipped_psnr", "own_psnr")}
    return FaceManifest(**fields)


def _weight(name: str, dtype: str, shape: Sequence[int]) -> tuple[str, np.dtype[Any], tuple[int, ...]]:
    """What the manifest says of a weight. Raises `TypeError` and `ValueError`."""
    sizes = tuple(map(int, shape))
    if dtype not in DTYPES or min(sizes, default=0) < 0:
        raise ValueError(f"a weight of shape {sizes} in {dtype}")
    return str(name), np.dtype(dtype), sizes


def _split(packed: bytes, wanted: Sequence[tuple[str, np.dtype[Any], tuple[int, ...]]], path: Path) -> dict[str, Array]:
    """The weights by name. Raises `CheckpointError` when there are fewer or more bytes than they take."""
    weights: dict[str, Array] = {}
    begin = 0
    for name, dtype, shape in wanted:
        count = int(np.prod(shape, dtype=np.int64))
        end = begin + count * dtype.itemsize
        if end > len(packed):
            raise CheckpointError(f"{path} is damaged (it ends inside {name}): enroll the face again")
        weights[name] = np.frombuffer(packed[begin:end], dtype.newbyteorder("<")).reshape(shape).astype(dtype)
        begin = end
    if begin != len(packed):
        raise CheckpointError(f"{path} is damaged (it holds more than its weights): enroll the face again")
    return weights


def _told(recognition: Recognition) -> dict[str, object]:
    look = recognition.look
    vectors = {"bare": look.bare, "masked": look.masked}
    return {"recogniser": recognition.recogniser} | {name: _encoded(vector) for name, vector in vectors.items()}


def _recognition(content: Mapping[str, Any]) -> Recognition:
    look = Look(bare=_decoded(content["bare"]), masked=_decoded(content["masked"]))
    if look.bare is None:
        raise ValueError("it has no embedding of the bare face")
    return Recognition(str(content["recogniser"]), look)


def _told_voices(voices: Voices) -> dict[str, object]:
    scores = {"alike": voices.alike, "alike_by_rule": voices.alike_by_rule}
    return scores | {name: _told_model(model) for name, model in (("recorded", voices.recorded), ("live", voices.live))}


def _told_model(model: VoiceModel | None) -> dict[str, object] | None:
    if model is None:
        return None
    parts = {"mean": model.mean, "spread": model.spread, "weights": model.weights.ravel(), "rest": model.rest}
    return {"ahead": model.ahead} | {name: _encoded(part.astype(np.float32)) for name, part in parts.items()}


def _voices(content: Mapping[str, Any]) -> Voices:
    """Raises `KeyError`, `TypeError` and `ValueError`."""
    recorded, live = (None if content[name] is None else _model(content[name]) for name in ("recorded", "live"))
    return Voices(recorded, live, float(content["alike"]), float(content["alike_by_rule"]))


def _model(content: Mapping[str, Any]) -> VoiceModel:
    mean, spread, weights, rest = (
        np.asarray(_decoded(content[name]), np.float64) for name in ("mean", "spread", "weights", "rest")
    )
    return VoiceModel(mean, spread, weights.reshape(-1, len(NAMES)), rest, float(content["ahead"]))


def _encoded(vector: NDArray[np.float32] | None) -> str | None:
    return None if vector is None else base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _decoded(text: str | None) -> NDArray[np.float32] | None:
    if text is None:
        return None
    vector = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    if not len(vector) or not np.isfinite(vector).all():
        raise ValueError("an embedding is empty or not finite")
    return vector
