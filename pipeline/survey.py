"""What can run the networks on this machine: every engine tried on the detector's network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from time import perf_counter

from engine import select
from pipeline.detectors import DEFAULT, detector_file
from pipeline.errors import BarefacedError


@dataclass(frozen=True)
class Found:
    """An engine, tried."""

    name: str
    works: bool
    says: str
    """What it came up as, such as `openvino 2026.4.1 cpu bf16`, or why it does not work and how to get it."""
    load_seconds: float | None
    """How long it took to compile the detector's network; None where it does not work."""


@dataclass(frozen=True)
class Survey:
    """All engines, and which one `auto` takes."""

    engines: tuple[Found, ...]
    auto: str | None

    def as_json(self) -> dict[str, object]:
        """The survey as JSON holds it."""
        return {"auto": self.auto, "engines": [asdict(each) for each in self.engines]}


def survey() -> Survey:
    """Try every engine there is a file for. Raises `CheckpointError` when the detector's network is not here."""
    network = detector_file(DEFAULT).network()
    found = []
    for name in select.names():
        began = perf_counter()
        try:
            engine = select.load(network, engine=name)
        except BarefacedError as error:
            found.append(Found(name, works=False, says=str(error), load_seconds=None))
            continue
        found.append(Found(name, works=True, says=engine.description, load_seconds=round(perf_counter() - began, 3)))
        engine.close()
    working = {each.name for each in found if each.works}
    return Survey(tuple(found), next((name for name in select.PREFERRED if name in working), None))
