"""DeepFill v2 (Yu et al., "Free-Form Image Inpainting with Gated Convolution", ICCV 2019) as a graph, random weights.

Two stages of gated convolutions; in the second, a branch copies patches from elsewhere by contextual attention.
"""

from __future__ import annotations

import numpy as np

from benchmarks.literature.graph import Graph, Value

WIDTH = 48
"""Channels of the first convolution; the gate takes half of each."""
SOFTMAX_SCALE = 10.0
DILATIONS = (2, 4, 8, 16)


def deepfill(*, attention: bool = True) -> tuple[Graph, Value]:
    """The network; published costs leave its contextual attention out."""
    graph = Graph("deepfill-v2")
    picture, mask = graph.channels_of(graph.entry, 0, 3), graph.channels_of(graph.entry, 3, 4)
    ones = graph.like(graph.like(mask, "Mul", graph.scalar(0)), "Add", graph.scalar(1))
    x = graph.joined(picture, ones, mask)
    x = _shrunk(graph, x, (1, 2, 2, 4, 4, 4))
    coarse = _enlarged(graph, _dilated(graph, x))
    hidden = graph.like(coarse, "Mul", mask.name)
    shown = graph.like(picture, "Mul", graph.like(ones, "Sub", mask.name).name)
    pasted = graph.add(hidden, shown)
    imagined = _dilated(graph, _shrunk(graph, pasted, (1, 1, 2, 2, 4, 4)))
    x = _shrunk(graph, pasted, (1, 1, 2, 4, 4), last=4)
    if attention:
        x = _attended(graph, x, mask)
    for _ in range(2):
        x = _gated(graph, x, 4 * WIDTH)
    return graph, _enlarged(graph, graph.joined(imagined, x))


def _gated(
    graph: Graph, x: Value, out: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1, activation: str = "Elu"
) -> Value:
    """Half of the channels let the other half through."""
    both = graph.conv(x, out, kernel, stride=stride, dilation=dilation)
    feature = graph.like(graph.channels_of(both, 0, out // 2), activation)
    gate = graph.like(graph.channels_of(both, out // 2, out), "Sigmoid")
    return graph.like(feature, "Mul", gate.name)


def _shrunk(graph: Graph, x: Value, widths: tuple[int, ...], *, last: int | None = None) -> Value:
    """To a quarter of the side: at the second and the fourth convolution by half. `last` adds a rectified one."""
    for index, width in enumerate(widths):
        x = _gated(graph, x, width * WIDTH, 3 if index else 5, stride=2 if index in (1, 3) else 1)
    return x if last is None else _gated(graph, x, last * WIDTH, activation="Relu")


def _dilated(graph: Graph, x: Value) -> Value:
    for dilation in DILATIONS:
        x = _gated(graph, x, 4 * WIDTH, dilation=dilation)
    return x


def _enlarged(graph: Graph, x: Value) -> Value:
    """Back to the whole side, and a picture."""
    for width in (4, 4):
        x = _gated(graph, x, width * WIDTH)
    x = _gated(graph, graph.doubled(x), 2 * WIDTH)
    x = _gated(graph, x, 2 * WIDTH)
    x = _gated(graph, graph.doubled(x), WIDTH)
    x = _gated(graph, x, WIDTH // 2)
    return graph.like(graph.conv(x, 3, 3), "Tanh")


def _attended(graph: Graph, x: Value, mask: Value) -> Value:
    """Each place of half the side made of the patches of 4x4 that resemble it, hidden ones left out."""
    half = x.width // 2
    small = _patches(graph, _halved(graph, x), kernel=3, stride=1)  # (B, 9C, half * half)
    raw = _patches(graph, x, kernel=4, stride=2)  # (B, 16C, half * half)
    places = half * half
    axis = graph.constant(np.array([1], np.int64))
    length = graph.apply("Max", graph.apply("ReduceL2", small, axis, keepdims=1), graph.scalar(1e-4))
    kernels = graph.apply("Transpose", graph.apply("Div", small, length), perm=[0, 2, 1])
    alike = graph.apply("MatMul", kernels, small)  # (B, patches, places)
    fused = _fused(graph, _fused(graph, alike, half), half)
    hidden = _pooled(graph, mask, mask.width // half)
    shown = graph.apply("Sub", graph.scalar(1), graph.reshaped(hidden, places, 1))
    weighed = graph.apply("Mul", fused, graph.apply("Mul", shown, graph.scalar(SOFTMAX_SCALE)))
    chosen = graph.apply("Mul", graph.apply("Softmax", weighed, axis=1), shown)
    pasted = graph.apply("MatMul", raw, chosen)
    filled = Value(graph.reshaped(pasted, 16 * x.channels, half, half), 16 * x.channels, half, half)
    return graph.like(
        graph.spread(filled, x.channels, _one_hot(x.channels, 4), stride=2, pad=1), "Div", graph.scalar(4)
    )


def _fused(graph: Graph, alike: str, half: int) -> str:
    """Neighbours that match neighbours count more: along one axis of the picture, and then the axes change places."""
    places = half * half
    square = Value(graph.reshaped(alike, 1, places, places), 1, places, places)
    summed = graph.fixed(square, np.eye(3, dtype=np.float32)[None, None], pad=1)
    turned = graph.apply("Transpose", graph.reshaped(summed.name, half, half, half, half), perm=[0, 2, 1, 4, 3])
    return graph.reshaped(turned, places, places)


def _halved(graph: Graph, x: Value) -> Value:
    """Every second pixel."""
    corner = np.zeros((x.channels, 1, 2, 2), np.float32)
    corner[:, :, 0, 0] = 1
    return graph.fixed(x, corner, stride=2)


def _patches(graph: Graph, x: Value, *, kernel: int, stride: int) -> str:
    """(B, C * kernel**2, places): the neighbourhood of every place."""
    seen = graph.fixed(x, _one_hot(x.channels, kernel), stride=stride, pad=1)
    return graph.reshaped(seen.name, seen.channels, seen.height * seen.width)


def _one_hot(channels: int, kernel: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """(channels * kernel**2, 1, kernel, kernel): one filter for each pixel of a patch."""
    return np.tile(np.eye(kernel**2, dtype=np.float32).reshape(-1, 1, kernel, kernel), (channels, 1, 1, 1))


def _pooled(graph: Graph, mask: Value, by: int) -> str:
    """Whether anything of a patch is hidden."""
    cells = graph.apply("MaxPool", mask.name, kernel_shape=[by] * 2, strides=[by] * 2)
    return graph.apply("MaxPool", cells, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
