"""DeepFill v2 (Yu et al., "Free-Form Image Inpainting with Gated Convolution", ICCV 2019) as a network, random weights.

Two stages of gated convolutions; in the second, a branch copies patches from elsewhere by contextual attention.
"""

from __future__ import annotations

import numpy as np

from benchmarks.literature.writer import NetworkWriter, Value

WIDTH = 48
"""Channels of the first convolution; the gate takes half of each."""
SOFTMAX_SCALE = 10.0
DILATIONS = (2, 4, 8, 16)


def deepfill(*, attention: bool = True) -> tuple[NetworkWriter, Value]:
    """The network; published costs leave its contextual attention out."""
    writer = NetworkWriter("deepfill-v2")
    picture, mask = writer.channels_of(writer.entry, 0, 3), writer.channels_of(writer.entry, 3, 4)
    ones = writer.like(writer.like(mask, "Mul", writer.scalar(0)), "Add", writer.scalar(1))
    x = writer.joined(picture, ones, mask)
    x = _shrunk(writer, x, (1, 2, 2, 4, 4, 4))

    # The coarse picture fills the hole; the fine stage starts from it.
    coarse = _enlarged(writer, _dilated(writer, x))
    hidden = writer.like(coarse, "Mul", mask.name)
    shown = writer.like(picture, "Mul", writer.like(ones, "Sub", mask.name).name)
    pasted = writer.add(hidden, shown)

    imagined = _dilated(writer, _shrunk(writer, pasted, (1, 1, 2, 2, 4, 4)))
    x = _shrunk(writer, pasted, (1, 1, 2, 4, 4), last=4)
    if attention:
        x = _attended(writer, x, mask)
    for _ in range(2):
        x = _gated(writer, x, 4 * WIDTH)
    return writer, _enlarged(writer, writer.joined(imagined, x))


def _gated(
    writer: NetworkWriter,
    x: Value,
    out: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    dilation: int = 1,
    activation: str = "Elu",
) -> Value:
    """Half of the channels let the other half through."""
    both = writer.conv(x, out, kernel, stride=stride, dilation=dilation)

    feature = writer.like(writer.channels_of(both, 0, out // 2), activation)
    gate = writer.like(writer.channels_of(both, out // 2, out), "Sigmoid")
    return writer.like(feature, "Mul", gate.name)


def _shrunk(writer: NetworkWriter, x: Value, widths: tuple[int, ...], *, last: int | None = None) -> Value:
    """To a quarter of the side: at the second and the fourth convolution by half. `last` adds a rectified one."""
    for index, width in enumerate(widths):
        x = _gated(writer, x, width * WIDTH, 3 if index else 5, stride=2 if index in (1, 3) else 1)
    return x if last is None else _gated(writer, x, last * WIDTH, activation="Relu")


def _dilated(writer: NetworkWriter, x: Value) -> Value:
    for dilation in DILATIONS:
        x = _gated(writer, x, 4 * WIDTH, dilation=dilation)
    return x


def _enlarged(writer: NetworkWriter, x: Value) -> Value:
    """Back to the whole side, and a picture."""
    for width in (4, 4):
        x = _gated(writer, x, width * WIDTH)
    x = _gated(writer, writer.doubled(x), 2 * WIDTH)
    x = _gated(writer, x, 2 * WIDTH)
    x = _gated(writer, writer.doubled(x), WIDTH)
    x = _gated(writer, x, WIDTH // 2)
    return writer.like(writer.conv(x, 3, 3), "Tanh")


def _attended(writer: NetworkWriter, x: Value, mask: Value) -> Value:
    """Each place of half the side made of the patches of 4x4 that resemble it, hidden ones left out."""
    half = x.width // 2
    small = _patches(writer, _halved(writer, x), kernel=3, stride=1)  # (B, 9C, half * half)
    raw = _patches(writer, x, kernel=4, stride=2)  # (B, 16C, half * half)
    places = half * half
    axis = writer.constant(np.array([1], np.int64))
    length = writer.apply("Max", writer.apply("ReduceL2", small, axis, keepdims=1), writer.scalar(1e-4))
    kernels = writer.apply("Transpose", writer.apply("Div", small, length), perm=[0, 2, 1])
    alike = writer.apply("MatMul", kernels, small)  # (B, patches, places)
    fused = _fused(writer, _fused(writer, alike, half), half)
    hidden = _pooled(writer, mask, mask.width // half)
    shown = writer.apply("Sub", writer.scalar(1), writer.reshaped(hidden, places, 1))
    weighed = writer.apply("Mul", fused, writer.apply("Mul", shown, writer.scalar(SOFTMAX_SCALE)))
    chosen = writer.apply("Mul", writer.apply("Softmax", weighed, axis=1), shown)
    pasted = writer.apply("MatMul", raw, chosen)
    filled = Value(writer.reshaped(pasted, 16 * x.channels, half, half), 16 * x.channels, half, half)
    return writer.like(
        writer.spread(filled, x.channels, _one_hot(x.channels, 4), stride=2, pad=1), "Div", writer.scalar(4)
    )


def _fused(writer: NetworkWriter, alike: str, half: int) -> str:
    """Neighbours that match neighbours count more: along one axis of the picture, and then the axes change places."""
    places = half * half
    square = Value(writer.reshaped(alike, 1, places, places), 1, places, places)
    summed = writer.fixed(square, np.eye(3, dtype=np.float32)[None, None], pad=1)
    turned = writer.apply("Transpose", writer.reshaped(summed.name, half, half, half, half), perm=[0, 2, 1, 4, 3])
    return writer.reshaped(turned, places, places)


def _halved(writer: NetworkWriter, x: Value) -> Value:
    """Every second pixel."""
    corner = np.zeros((x.channels, 1, 2, 2), np.float32)
    corner[:, :, 0, 0] = 1
    return writer.fixed(x, corner, stride=2)


def _patches(writer: NetworkWriter, x: Value, *, kernel: int, stride: int) -> str:
    """(B, C * kernel**2, places): the neighbourhood of every place."""
    seen = writer.fixed(x, _one_hot(x.channels, kernel), stride=stride, pad=1)
    return writer.reshaped(seen.name, seen.channels, seen.height * seen.width)


def _one_hot(channels: int, kernel: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """(channels * kernel**2, 1, kernel, kernel): one filter for each pixel of a patch."""
    return np.tile(np.eye(kernel**2, dtype=np.float32).reshape(-1, 1, kernel, kernel), (channels, 1, 1, 1))


def _pooled(writer: NetworkWriter, mask: Value, by: int) -> str:
    """Whether anything of a patch is hidden."""
    cells = writer.apply("MaxPool", mask.name, kernel_shape=[by] * 2, strides=[by] * 2)
    return writer.apply("MaxPool", cells, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
