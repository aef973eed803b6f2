"""Exports graphs by `torch.export`, and has them compiled for the shapes that come.

A compiler gets the exported program: operators on tensors alone, without Python and without arithmetic on sizes, so
that it takes the program whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch

from engine.tensorrt.plan import MAX_BATCH

if TYPE_CHECKING:
    from engine.interface import Interface
    from engine.torch_graph.graph import TorchGraph

Feeds: TypeAlias = tuple[torch.Tensor, ...]
Function: TypeAlias = Callable[..., tuple[torch.Tensor, ...]]


class Programs:
    """A graph that is compiled when shapes are first met, once for all batches where only the batch is open."""

    def __init__(
        self,
        graph: TorchGraph,
        interface: Interface,
        *,
        compiler: Callable[[torch.export.ExportedProgram, Feeds, bool], Function],
    ) -> None:
        """`compiler` takes a program, an example of its feeds, and whether batches of 1 to `MAX_BATCH` will come."""
        self._graph = graph
        self._compiler = compiler
        self._open_batch = all(spec.shape[0] is None and None not in spec.shape[1:] for spec in interface.inputs)
        self._compiled: dict[tuple[tuple[int, ...], ...], Function] = {}

    def __call__(self, *feeds: torch.Tensor) -> Feeds:
        """Compute the outputs; more than `MAX_BATCH` pictures take several runs. Raises what the compiler raises."""
        if self._open_batch and len(feeds[0]) > MAX_BATCH:
            parts = [self(*some) for some in zip(*(torch.split(feed, MAX_BATCH) for feed in feeds), strict=True)]
            return tuple(torch.cat(outputs) for outputs in zip(*parts, strict=True))

        key = tuple(tuple(feed.shape[1:] if self._open_batch else feed.shape) for feed in feeds)
        if key not in self._compiled:
            with torch.inference_mode(mode=False):  # tensors of inference mode can't be exported
                plain = tuple(feed.clone() for feed in feeds)
                program = exported(self._graph, plain, open_batch=self._open_batch)
                self._compiled[key] = self._compiler(program, plain, self._open_batch)
        return tuple(self._compiled[key](*feeds))


def exported(graph: TorchGraph, feeds: Feeds, *, open_batch: bool) -> torch.export.ExportedProgram:
    """Export the graph for batches of 1 to `MAX_BATCH`, or for exactly the shapes of the feeds."""
    if not open_batch:
        return torch.export.export(graph, feeds)
    # An example of one picture would fix the batch at one.
    examples = tuple(feed[:1].expand(2, *feed.shape[1:]).contiguous() for feed in feeds)
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    return torch.export.export(graph, examples, dynamic_shapes=(tuple({0: batch} for _ in feeds),))
