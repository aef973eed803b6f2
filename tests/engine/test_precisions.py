"""Our networks in every precision of every engine, against PyTorch in float32: inside the hole, on real faces.

The faces are the demo's portrait, a photo, and, where they are, photos of people in drawn masks that may not be passed
on. PSNR's peak is how far apart the reference's values lie.
"""

from __future__ import annotations

from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from benchmarks.clips import moments
from benchmarks.parts.engines import LEAST_PSNR_DB
from benchmarks.turns import psnr_db
from engine import models, select
from engine.spec import Precision
from pipeline.draw.hole import hole_of
from pipeline.errors import BackendMissing, CheckpointError
from tests.shared import DATA

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAIRS = DATA / "eval_pairs"
COUNT = 3
ENGINES = [name for name in select.names() if name not in ("identity", "torch_compile")]
"""`torch_compile` runs the reference's own graph, and takes minutes to compile it."""


@cache
def faces(source: str) -> NDArray[np.float32]:
    """(COUNT, 4, 256, 256) as the generator takes them."""
    if source == "portrait":
        return moments(COUNT).crops
    if not PAIRS.is_dir():
        pytest.skip("the photos that may not be passed on are not here")
    feeds = []
    for path in sorted((PAIRS / "mask").glob("*.png"))[:COUNT]:
        alpha = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        alpha = (alpha[..., -1] if alpha.ndim == 3 else alpha).astype(np.float32) / 255
        truth, paint = (
            cv2.imread(str(PAIRS / kind / path.with_suffix(".jpg").name), cv2.IMREAD_COLOR_RGB).astype(np.float32)
            for kind in ("truth", "paint")
        )
        masked = truth * (1 - alpha[..., None]) + paint * alpha[..., None]
        picture = cv2.resize(masked, (256, 256), interpolation=cv2.INTER_CUBIC).clip(0, 255)
        hole = hole_of(cv2.resize(alpha, (256, 256), interpolation=cv2.INTER_LINEAR))
        feeds.append(np.concatenate([picture.transpose(2, 0, 1) / 127.5 - 1, hole[None]]).astype(np.float32))
    return np.stack(feeds)


@cache
def reference(source: str) -> NDArray[np.float32]:
    reason = select.find_backend("torch").missing()
    if reason is not None:
        pytest.skip(reason)
    with closing(select.load(models.shipped("generator"), backend="torch", precision=Precision.F32)) as engine:
        return np.asarray(engine.run({"crop_and_mask": faces(source)})["face"], np.float32)


@pytest.mark.parametrize("source", ["portrait", "photos"])
@pytest.mark.parametrize("precision", LEAST_PSNR_DB)
@pytest.mark.parametrize("name", ENGINES)
def test_the_generator_draws_what_the_reference_draws(name: str, precision: Precision, source: str) -> None:
    backend = select.find_backend(name)
    reason = backend.missing()
    if reason is not None:
        pytest.skip(reason)
    if precision not in backend.offer().precisions:
        pytest.skip(f"{name} does not compute in {precision} here")
    expected, feed = reference(source), faces(source)
    try:
        engine = select.load(
            models.shipped("generator", precision=precision), backend=name, precision=precision, threads=1
        )
    except (BackendMissing, CheckpointError) as error:
        pytest.skip(str(error))
    with closing(engine):
        seen = np.asarray(engine.run({"crop_and_mask": feed})["face"])
    inside = np.broadcast_to(feed[:, 3:] > 0.5, seen.shape)
    assert psnr_db(seen[inside], expected[inside]) >= LEAST_PSNR_DB[precision]


@pytest.mark.parametrize("name", ENGINES)
def test_a_generator_that_is_told_nothing_of_mouths_draws_as_if_nothing_were_known(name: str) -> None:
    backend = select.find_backend(name)
    if backend.missing() is not None:
        pytest.skip(str(backend.missing()))
    try:
        engine = select.load(models.shipped("generator"), backend=name, precision=Precision.F32, threads=1)
    except (BackendMissing, CheckpointError) as error:
        pytest.skip(str(error))
    feed = faces("portrait")[:2]
    smile = np.tile(np.array([0, 1, 2, 0, 1], np.float32), (len(feed), 1))
    with closing(engine):
        left_out = np.asarray(engine.run({"crop_and_mask": feed})["face"])
        unknown = np.asarray(engine.run({"crop_and_mask": feed, "expression": np.zeros_like(smile)})["face"])
        smiling = np.asarray(engine.run({"crop_and_mask": feed, "expression": smile})["face"])
    assert np.array_equal(left_out, unknown)
    assert np.abs(smiling - unknown).max() > 0.05
