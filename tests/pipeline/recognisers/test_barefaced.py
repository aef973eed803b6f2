"""The recogniser that ships: it needs no extra, and knows a face in a mask again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from engine.select import load
from pipeline.errors import ConfigError
from pipeline.geometry import CROP_SIZE
from pipeline.recognisers import barefaced, recogniser_file
from pipeline.settings.config import Config
from tests.pipeline.recognisers.test_dlib_resnet import crop_of, portrait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.recognisers import Recogniser


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def recogniser(request: pytest.FixtureRequest) -> Iterator[Recogniser]:
    engine = load(barefaced.network(None), backend=request.param, threads=1)
    yield barefaced.recogniser(engine)
    engine.close()


def masked(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The crop with everything below the eyes behind blue cloth."""
    out = crop.copy()
    corners = np.array([[60, 130], [196, 130], [185, 215], [128, 240], [71, 215]])
    cv2.fillConvexPoly(out, corners, (70, 130, 190))
    return out


def test_it_is_what_a_run_takes_and_nothing_is_missing() -> None:
    assert Config().identity.recogniser == "barefaced"
    assert recogniser_file("barefaced").missing() is None
    with pytest.raises(ConfigError, match="takes no file"):
        barefaced.network(Path("other.onnx"))


def test_a_face_in_a_mask_is_known_again_and_no_other_picture_is(recogniser: Recogniser) -> None:
    face = crop_of(portrait())
    turned = np.ascontiguousarray(face[::-1])
    noise = np.random.default_rng(0).integers(0, 256, (CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8)
    bare, hidden, mirrored, upside_down, nothing = recogniser.embed(
        [face, masked(face), np.ascontiguousarray(face[:, ::-1]), turned, noise]
    )
    assert np.linalg.norm(bare) == pytest.approx(1, abs=1e-5)
    assert bare @ hidden > barefaced.SAME_PERSON.mixed
    assert bare @ mirrored > barefaced.SAME_PERSON.bare
    assert max(bare @ upside_down, bare @ nothing) < barefaced.SAME_PERSON.mixed


def test_it_weighs_a_quarter_and_gives_the_same_on_every_engine() -> None:
    network = barefaced.network(None)
    assert len(network.onnx) < 6.1e6
    found = []
    for name in ("onnxruntime", "openvino", "torch"):
        if name == "torch":
            pytest.importorskip("torch", reason="install barefaced[training]")
        engine = load(network, backend=name, threads=1)
        found.append(barefaced.recogniser(engine).embed([crop_of(portrait())])[0])
        engine.close()
    assert min(found[0] @ other for other in found[1:]) > 0.999
