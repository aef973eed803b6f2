"""Does what the two TensorRT backends share: says what is missing, compiles through the cache, loads.

TensorRT's engines belong to one GPU model and are built where they run. Those of TensorRT for RTX are compiled without
a GPU, for one or several compute capabilities, and finished by the GPU that loads them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine import cuda
from engine.building import TIME_LIMIT_SECONDS, Order, build
from engine.cache import Cache, Label
from engine.onnx_file import read_interface
from engine.spec import Device, Network, Offer, Precision
from engine.tensorrt_plan import BUILDER, described_shapes
from pipeline.errors import BackendMissing

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from engine.tensorrt_engine import TensorRtEngine

PRECISIONS = (Precision.FP16, Precision.BF16, Precision.F32, Precision.INT8)
"""The precisions of both; the first one is what `auto` stands for."""
NO_BF16 = ("75",)
"""Compute capabilities without bfloat16."""


@dataclass(frozen=True)
class Family:
    """One of the two packages, and how it differs from the other."""

    name: str
    """The name of the backend and of the Python package."""
    cure: str
    """How to install the package."""
    portable: bool
    """Whether engines are compiled for compute capabilities, anywhere, or for the GPU that is here."""
    context_of: Callable[[ModuleType, Any], Any]
    """Makes an execution context from the module and an engine."""
    captured: bool
    """Whether runs are to be recorded as CUDA graphs; False where the runtime does that itself."""

    def uninstalled(self) -> str | None:
        """The reason why the package can't be used, or None."""
        absent = [package for package in (self.name, "onnx") if importlib.util.find_spec(package) is None]
        return f"not installed: {' and '.join(absent)}; {self.cure}" if absent else None

    def missing(self) -> str | None:
        """The reason why networks can't run here, or None."""
        return self.uninstalled() or cuda.missing()

    def version(self) -> str:
        """The version of the package, which is not imported for that."""
        return importlib.metadata.version(self.name)

    def offer(self) -> Offer:
        """Version, devices and precisions."""
        return Offer(self.version(), tuple(str(card) for card in cuda.cards()), PRECISIONS)

    def fastest(self) -> Precision:
        """The precision that `auto` stands for."""
        return PRECISIONS[0]

    def load(self, network: Network, *, device: Device, precision: Precision, threads: int) -> TensorRtEngine:
        """Compile `network` for a GPU of this machine, or take its engine from the cache.

        `threads` means nothing here. Raises `BackendMissing` where there is no such GPU, and for a precision that it
        lacks; `EngineError` when compiling or loading fails.
        """
        del threads
        reason = self.missing()
        if reason is None and device.kind != "cuda":
            reason = f"runs on cuda, not on {device}: use --device cuda"
        cards = cuda.cards() if reason is None else ()
        if reason is None and device.index >= len(cards):
            reason = f"there is no {device}; there are: {', '.join(map(str, cards))}"
        if reason is not None:
            raise self._refused(reason)

        label, capabilities = self._for_card(network, precision, cards[device.index])
        cache = Cache.default()
        kept = cache.find(label)
        plan = None if kept is None else bytes(kept)
        if plan is None:
            plan = self._compile(network, label, capabilities)
            cache.keep(label, plan)

        from engine.tensorrt_engine import TensorRtEngine

        return TensorRtEngine(
            importlib.import_module(self.name),
            plan,
            read_interface(network),
            card_index=device.index,
            description=f"{self.name} {self.version()} {device} {label.precision}",
            context_of=self.context_of,
            captured=self.captured,
        )

    def build(
        self, network: Network, *, precision: Precision, capabilities: tuple[str, ...], time_limit_seconds: float
    ) -> tuple[Label, bytes]:
        """Compile ahead of time: for compute capabilities such as "86", or, without any, for the GPU that is here.

        Raises `BackendMissing` for one that is not known or lacks the precision, or where no GPU is here; `EngineError`
        when compiling fails.
        """
        reason = self.uninstalled()
        if reason is None:
            reason = self._unfit(capabilities) if capabilities else self._no_card()
        if reason is not None:
            raise self._refused(reason)

        if capabilities:
            chosen = self._precision(network, precision, capabilities)
            label = self._label(network, chosen, tuple(f"sm{capability}" for capability in capabilities))
        else:
            label, capabilities = self._for_card(network, precision, cuda.cards()[0])
        return label, self._compile(network, label, capabilities, time_limit_seconds)

    def _no_card(self) -> str | None:
        """The reason why nothing can be compiled for the GPU that is here, or None."""
        reason = cuda.missing()
        if reason is None or not self.portable:
            return reason
        return f"{reason}; or give --compute-capability, such as 8.6, which needs no GPU"

    def _unfit(self, capabilities: tuple[str, ...]) -> str | None:
        """The reason why nothing can be compiled for these compute capabilities, or None."""
        if not self.portable:
            return "builds for the GPU that is here: leave --compute-capability out, or use --engine tensorrt_rtx"
        names = importlib.import_module(self.name).ComputeCapability.__members__
        known = [name.removeprefix("SM") for name in names if name.startswith("SM")]
        unknown = [capability for capability in capabilities if capability not in known]
        if not unknown:
            return None
        return f"does not know compute capability {_dotted(unknown)}; it has {_dotted(known)}"

    def _for_card(self, network: Network, precision: Precision, card: cuda.Card) -> tuple[Label, tuple[str, ...]]:
        """The label of an engine for a GPU of this machine, and the compute capabilities to compile for."""
        capability = card.architecture.removeprefix("sm")
        chosen = self._precision(network, precision, (capability,))
        device = card.architecture if self.portable else f"{card.name} {card.architecture}"
        return self._label(network, chosen, (device,)), (capability,) if self.portable else ()

    def _compile(
        self,
        network: Network,
        label: Label,
        capabilities: tuple[str, ...],
        time_limit_seconds: float = TIME_LIMIT_SECONDS,
    ) -> bytes:
        """Compile in a process of its own. Raises `EngineError`."""
        options = {"package": self.name, "precision": label.precision, "capabilities": list(capabilities)}
        return build(Order(BUILDER, network, options, time_limit_seconds), log=Cache.default().log_file(label))

    def _precision(self, network: Network, asked: Precision, capabilities: tuple[str, ...]) -> Precision:
        """The precision to compute in. Raises `BackendMissing` for one that network or GPU lack."""
        chosen = PRECISIONS[0] if asked is Precision.AUTO else asked
        reason = network.lacks_int8() if chosen is Precision.INT8 else None
        old = [capability for capability in capabilities if capability in NO_BF16]
        if chosen is Precision.BF16 and old:
            reason = "compute capability 7.5 has no bf16; use precision fp16"
        if reason is not None:
            raise self._refused(reason)
        return chosen

    def _label(self, network: Network, precision: Precision, devices: tuple[str, ...]) -> Label:
        """The label of an engine for these devices."""
        shapes = described_shapes(read_interface(network).inputs)
        return Label(network.name, network.sha256, self.name, self.version(), devices, str(precision), shapes)

    def _refused(self, reason: str) -> BackendMissing:
        """The error that says why this backend can't be used."""
        return BackendMissing(f"backend {self.name}: {reason}", reasons={self.name: reason})


def _dotted(capabilities: list[str]) -> str:
    """Join compute capabilities for a message, as in `7.5, 8.6`."""
    return ", ".join(f"{capability[:-1]}.{capability[-1]}" for capability in capabilities)
