"""A face from views to file and back: what the run draws with it is this person, and what is no better is refused."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

torch = pytest.importorskip("torch", reason="install barefaced[enroll]")
pytest.importorskip("onnx", reason="install barefaced[enroll]")

from engine import models
from engine.select import load
from pipeline.errors import SourceError
from pipeline.people.enrolled import read_face, write_face
from tests.training.enrol.portraits import view
from training.enrol import enrol
from training.enrol.enrol import Enrolled, Enrolling
from training.enrol.judge import by_engine
from training.enrol.tune import TuningPlan

if TYPE_CHECKING:
    from pathlib import Path

    from training.enrol.gather import View

ENGINE = "onnxruntime"
PLAN = TuningPlan(
    steps=6, batch=2, rate=1e-3, size=128, every=6, judged=0.6, perceptual=0.0, contextual=0.0, specks=0.0
)
LAST_LAYERS = replace(PLAN, layers=("leave.",))
"""Where it does not matter how good the face is."""
TALK = [view(number) for number in range(30)]
PHOTOS = [replace(view(number), still=True, source=f"{number}.jpg") for number in range(2)]


def enrolled(views: list[View], plan: TuningPlan = PLAN) -> Enrolled:
    return Enrolling(seconds=1e6, watch=lambda _: None, plan=plan, engine=ENGINE)(views)


@pytest.fixture(scope="module")
def talk() -> Enrolled:
    return enrolled(TALK)


def test_the_file_draws_no_worse_than_what_was_judged(talk: Enrolled, tmp_path: Path) -> None:
    write_face(tmp_path / "me.face", talk.manifest, talk.weights, talk.recognition, overwrite=False)
    face = read_face(tmp_path / "me.face")
    with closing(load(face.generator, backend=ENGINE)) as engine:
        assert talk.exam.psnr(talk.exam.drawn(by_engine(engine))) > talk.exam.psnr(talk.own) - 0.2
    assert talk.exam.psnr(talk.own) > talk.exam.psnr(talk.shipped) + 0.1


def test_the_manifest_says_how_it_was_made_and_how_good_it_is(talk: Enrolled) -> None:
    manifest = talk.manifest
    assert manifest.base_sha256 == models.shipped("generator").sha256
    assert (manifest.sources, manifest.frames, manifest.held_back, manifest.steps) == (1, 30, 6, 6)
    assert manifest.own_psnr == pytest.approx(talk.exam.psnr(talk.own))
    assert manifest.gain is not None
    assert manifest.gain > 0.1


def test_a_face_that_is_no_better_is_refused_with_the_reason() -> None:
    with pytest.raises(SourceError, match=r"nothing is written: there are only 19 pictures.*left out: 3 blurred"):
        Enrolling(seconds=1e6, watch=lambda _: None, plan=replace(LAST_LAYERS, steps=1, rate=0.0), engine=ENGINE)(
            TALK, reasons="3 blurred"
        )


def test_nobody_can_be_learned_from_nothing() -> None:
    with pytest.raises(SourceError, match="no face to learn from: 7 masked or covered"):
        Enrolling(seconds=1, watch=lambda _: None)([], reasons="7 masked or covered")


def test_a_few_photos_are_tried_on_each_other() -> None:
    face = enrolled(PHOTOS, replace(PLAN, steps=3, rate=2e-3))
    assert (face.manifest.sources, face.manifest.frames, face.manifest.held_back) == (2, 2, 0)
    assert face.manifest.gain is None


def test_few_photos_that_do_not_help_each_other_are_refused() -> None:
    with pytest.raises(SourceError, match="nothing is written: there are only 2 pictures"):
        enrolled(PHOTOS, replace(LAST_LAYERS, steps=1, batch=1, rate=0.0))


def test_one_photo_is_taken_as_it_is() -> None:
    assert enrolled(PHOTOS[:1], replace(LAST_LAYERS, steps=2)).manifest.frames == 1


def test_a_card_computes_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert enrol.computing() == "cuda"


def test_without_a_card_the_processor_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert enrol.computing() == "cpu"
