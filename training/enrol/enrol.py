"""Views of a person to their face: chosen, tuned, judged, and ready to be written."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine import models
from engine.onnx_file import with_weights
from engine.select import load
from pipeline.errors import SourceError
from pipeline.people.enrolled import FaceManifest, Recognition
from pipeline.people.people import Look, mean_of
from training.enrol.judge import Exam, by_engine, choose, missing, spanning
from training.enrol.tune import HeldBack, TuningPlan, names_in_file, tune, weights_of
from training.loop.objectives import pays_in_bf16
from training.networks.checkpoints import begin_warm
from training.networks.generator import Generator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from engine.spec import Array, Network
    from pipeline.draw.mouth import Voices
    from pipeline.people.embed import Embedder
    from training.enrol.gather import View
    from training.enrol.judge import Choice
    from training.enrol.tune import Tuned, TuningProgress

FEW = 12
"""The number of views from which on all weights are tuned; fewer teach no more than a likeness."""
FEW_PLAN = TuningPlan(steps=40, batch=4, rate=1e-4, average=0.8, perceptual=0.0, contextual=0.0, specks=0.0)
"""How a face is tuned to a few photos. At five times the rate, four photos made one of two people 0.7 dB worse."""
LEAST_GAIN_OF_FEW_DB = 0.0
"""The least gain, as `LEAST_GAIN_DB`, on photos that were left out in turn."""
LEAST_GAIN_DB = 0.1
"""A face that is not so much nearer to the truth than the shipped network, on the views held back, is not written."""
MOST_TRIED = 2
"""How many of a few photos are left out in turn, to see whether the others help there."""
LOOKS = 24
"""How many views the recogniser's picture of the wearer is the mean of."""


@dataclass(frozen=True)
class Enrolled:
    """A face, ready to be written."""

    manifest: FaceManifest
    weights: Mapping[str, Array]
    """The weights in which it differs from the base, by their names in the base's file."""
    recognition: Recognition | None
    tuned: Tuned
    exam: Exam
    """The views held back in drawn masks, or those learned from where none was held back."""
    shipped: NDArray[np.uint8]
    """(N, S, S, 3) what the shipped network draws there."""
    own: NDArray[np.uint8]
    """(N, S, S, 3) what the person's own network draws there."""
    voices: Voices | None = None
    """What was learned of the person's voice."""


@dataclass(frozen=True)
class Enrolling:
    """Makes a face of views."""

    seconds: float
    """How long it may tune."""
    watch: Callable[[TuningProgress], None]
    """Told after every step."""
    embedder: Embedder | None = None
    """Makes the face one that is recognised; None: it is drawn on whoever is alone in the picture."""
    plan: TuningPlan | None = None
    """How it is tuned; None: as the number of views asks for."""
    engine: str = "auto"
    """The backend on which the shipped network and the person's own are compared."""

    def __call__(self, views: Sequence[View], *, reasons: str = "") -> Enrolled:
        """The face of the one person in `views`; `reasons` say what else was seen and left out.

        Raises `SourceError` where it is no better than the shipped network, and `EngineError`.
        """
        choice = choose(views)
        if not choice.learned:
            raise SourceError(f"no face to learn from: {reasons}; record the bare face, near and in good light")
        few = len(choice.learned) < FEW
        plan = self.plan or (FEW_PLAN if few else TuningPlan())
        with closing(_Drawing(models.shipped("generator"), self.engine)) as drawing:
            if few and not choice.held_back and len(choice.learned) > 1:
                self._try_without_each(choice, plan, drawing)
            return self._enrolled(choice, plan, drawing, sources=len({view.source for view in views}), reasons=reasons)

    def _enrolled(self, choice: Choice, plan: TuningPlan, drawing: _Drawing, *, sources: int, reasons: str) -> Enrolled:
        exam = Exam.of(choice.held_back or choice.learned)
        tuned = self._tuned(choice.learned, choice, plan, drawing.base)
        # What is judged and shown had not seen the views held back; what is written has learned from all.
        shipped, own = drawing.shipped(exam), drawing.own(exam, weights_of(tuned.judged, drawing.base))
        before, after = (exam.psnr(shipped), exam.psnr(own)) if choice.held_back else (None, None)
        if before is not None and after is not None and after - before < LEAST_GAIN_DB:
            raise SourceError(_no_better(after - before, choice, reasons))

        manifest = FaceManifest(
            base_sha256=drawing.base.sha256,
            made=datetime.now(UTC).date().isoformat(),
            sources=sources,
            frames=len(choice.everything),
            held_back=len(choice.held_back),
            steps=tuned.steps,
            shipped_psnr=before,
            own_psnr=after,
        )
        weights, who = weights_of(tuned.network, drawing.base), self._recognition(choice.learned)
        return Enrolled(manifest, weights, who, tuned, exam, shipped, own)

    def _tuned(self, views: Sequence[View], choice: Choice | None, plan: TuningPlan, base: Network) -> Tuned:
        """A network tuned to `views`, judged as `choice` says, or not at all."""
        judged = None
        if choice is not None and choice.held_back:
            exam = Exam.of(choice.held_back)
            judged = HeldBack(
                choice.held_back, choice.everything, lambda draw: exam.psnr(exam.drawn(draw)), LEAST_GAIN_DB
            )

        return tune(
            views,
            shipped_generator(),
            plan,
            learns=names_in_file(base).__contains__,
            seconds=self.seconds,
            held_back=judged,
            watch=self.watch,
            device=computing(),
            bf16=pays_in_bf16(computing()),
        )

    def _try_without_each(self, choice: Choice, plan: TuningPlan, drawing: _Drawing) -> None:
        """Tune to all views but one, and judge on that one. Raises `SourceError` where that is no gain."""
        gains = []
        for place in range(min(MOST_TRIED, len(choice.learned))):
            others = [view for number, view in enumerate(choice.learned) if number != place]
            exam = Exam.of([choice.learned[place]] * 5)  # in a mask of each kind
            tuned = self._tuned(others, None, plan, drawing.base)
            own = drawing.own(exam, weights_of(tuned.network, drawing.base))
            gains.append(exam.psnr(own) - exam.psnr(drawing.shipped(exam)))
        if np.mean(gains) <= LEAST_GAIN_OF_FEW_DB:
            raise SourceError(_no_better(float(np.mean(gains)), choice, ""))

    def _recognition(self, views: Sequence[View]) -> Recognition | None:
        """The recogniser's picture of the wearer, bare and in drawn masks."""
        if self.embedder is None:
            return None
        some = spanning(views, LOOKS)
        bare = self.embedder.looks(self.embedder.submit([view.canonical for view in some]), [False] * len(some))
        masked = self.embedder.looks(self.embedder.submit(list(Exam.of(some).masked)), [True] * len(some))
        look = Look(bare=mean_of(bare).bare, masked=mean_of(masked).masked)
        return Recognition(self.embedder.sha256, look)


def computing() -> str:
    """PyTorch's name of the device that tunes: the first CUDA card where there is one, else the processor."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def shipped_generator() -> Generator:
    """The shipped generator as PyTorch has it."""
    generator = Generator().eval()
    with resources.as_file(models.PACKAGE.joinpath("generator.onnx")) as path:
        begin_warm(generator, path)
    return generator


class _Drawing:
    """The shipped network and those made of it, compiled by one backend."""

    def __init__(self, base: Network, backend: str) -> None:
        self.base, self._backend = base, backend
        self._engine = load(base, backend=backend)

    def shipped(self, exam: Exam) -> NDArray[np.uint8]:
        """(N, S, S, 3) what the shipped network draws."""
        return exam.drawn(by_engine(self._engine))

    def own(self, exam: Exam, weights: Mapping[str, Array]) -> NDArray[np.uint8]:
        """(N, S, S, 3) what the network draws with these weights in the place of its own."""
        with closing(load(with_weights(self.base, weights, name="generator-own"), backend=self._backend)) as engine:
            return exam.drawn(by_engine(engine))

    def close(self) -> None:
        """Release the engine."""
        self._engine.close()


def _no_better(gain: float, choice: Choice, reasons: str) -> str:
    """Why there is no face: what can be told of the recording."""
    count = len(choice.learned)
    causes = [f"there are only {count} pictures to learn from"] if count < 40 else []
    causes += missing(choice.learned)
    causes += [f"left out: {reasons}"] if reasons else []
    why = "; ".join(causes) or "the pictures held back are unlike those learned from"
    return (
        f"the face came out {gain:+.2f} dB beside the shipped network, so nothing is written: {why}. "
        "Record 40 seconds of the bare face: look around, talk, smile, open the mouth"
    )
