from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine.spec import TensorSpec
from pipeline.errors import CheckpointError, ConfigError
from pipeline.geometry import CANONICAL_LANDMARKS, CROP_SIZE
from pipeline.recognisers import arcface
from tests.pipeline.faces import MadeEngine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from engine.spec import Array

FLOAT = np.dtype(np.float32)


def mean_colour(feeds: Mapping[str, Array]) -> dict[str, Array]:
    return {"out": feeds["input.1"].mean((2, 3))}


def engine_of(*shape: int | None) -> MadeEngine:
    out = (TensorSpec("out", (None, 3), FLOAT),)
    return MadeEngine(mean_colour, inputs=(TensorSpec("input.1", shape, FLOAT),), outputs=out)


def test_a_face_is_put_where_the_family_wants_it_and_scaled() -> None:
    recogniser = arcface.recogniser(engine_of(None, 3, 112, 112))
    eyes = recogniser.picture_from_crop.apply(CANONICAL_LANDMARKS)[:2]
    assert np.abs(eyes - arcface.LANDMARKS[:2]).max() < 2.5, "pixels of 112"
    white = np.full((CROP_SIZE, CROP_SIZE, 3), 255, np.uint8)
    assert recogniser.embed([white]) == pytest.approx(np.full((1, 3), 3**-0.5), abs=1e-6)


@pytest.mark.parametrize("shape", [(None, 3, 150, 150), (None, 112, 112, 3)])
def test_a_network_of_another_shape_is_refused(shape: tuple[int | None, ...]) -> None:
    with pytest.raises(CheckpointError, match="takes one picture"):
        arcface.recogniser(engine_of(*shape))


def test_the_file_must_be_named_and_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--recogniser-file"):
        arcface.network(None)
    with pytest.raises(CheckpointError, match="can't be read"):
        arcface.network(tmp_path / "absent.onnx")
