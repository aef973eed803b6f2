"""What can run the networks on this machine: every engine that is here, tried on the detector's network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from engine import select
from engine.spec import Device
from pipeline.detectors import DEFAULT, detector_file
from pipeline.errors import BarefacedError

if TYPE_CHECKING:
    from engine.spec import Network


@dataclass(frozen=True)
class Found:
    """An engine, looked at and tried."""

    name: str
    available: bool
    reason: str | None
    """Why it can't run here and how to get it; None where it can."""
    version: str | None
    devices: tuple[str, ...]
    """Such as `cpu` and `cuda:0 NVIDIA GeForce RTX 3060`; none where it can't run."""
    precisions: tuple[str, ...]
    """What `--precision` may be, beside auto."""

    @property
    def says(self) -> str:
        """In one line, for a person."""
        if not self.available:
            return self.reason or "unavailable"
        return f"{self.version}, on {', '.join(self.devices)}, in {', '.join(self.precisions)}"


@dataclass(frozen=True)
class Survey:
    """All engines, and which one `auto` takes on the CPU."""

    engines: tuple[Found, ...]
    auto: str | None

    def as_json(self) -> list[dict[str, object]]:
        """The engines as JSON holds them."""
        return [asdict(each) for each in self.engines]


def survey() -> Survey:
    """Try every engine there is a file for. Raises `CheckpointError` when the detector's network is not here."""
    network = detector_file(DEFAULT).network()
    found = tuple(_look(name, network) for name in select.names())
    working = {each.name for each in found if each.available}
    return Survey(found, next((name for name in select.PREFERRED["cpu"] if name in working), None))


def _look(name: str, network: Network) -> Found:
    backend = select.find_backend(name)
    reason = backend.missing()
    if reason is not None:
        return Found(name, available=False, reason=reason, version=None, devices=(), precisions=())
    try:
        offer = backend.offer()
        select.load(network, backend=name, device=Device.named(offer.devices[0].split()[0])).close()
    except BarefacedError as error:
        return Found(name, available=False, reason=str(error), version=None, devices=(), precisions=())
    precisions = tuple(str(precision) for precision in offer.precisions)
    return Found(name, True, None, offer.version, offer.devices, precisions)  # noqa: FBT003 - fields in order
