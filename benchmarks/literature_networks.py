"""Generators of the literature as graphs with random weights: what they cost at 256x256 on the engine that runs ours.

MI-GAN; LaMa; and DeepFill v2 (Yu et al., "Free-Form Image Inpainting with Gated Convolution", ICCV 2019), which has two
stages of gated convolutions, and in the second a branch that copies patches from elsewhere by contextual attention.
Nobody else's weights are here, and random ones draw nothing: of these networks only the speed is known. Layers are
those of the released code; a normalisation after a convolution is folded into it, as engines do.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks.network_writer import NetworkWriter, Value

SIDE = 256


def mi_gan() -> tuple[NetworkWriter, Value]:
    """MI-GAN (Sargsyan et al., ICCV 2023): separable convolutions, skips by addition, nothing normalised."""
    writer = NetworkWriter("mi-gan")
    sides = [SIDE >> level for level in range(7)]  # 256 to 4
    widths = {side: min(32768 // side, 512) for side in sides}
    x = _clamped(writer, writer.conv(writer.entry, widths[SIDE], 1))
    seen: dict[int, Value] = {}
    for side, below in zip(sides, [*sides[1:], 4], strict=True):
        seen[side] = _separable(writer, x, widths[side])
        x = _separable(writer, seen[side], widths[below], shrink=side > below)
    x = writer.add(_separable(writer, x, widths[4]), seen[4])
    x = _separable(writer, x, widths[4])
    image = writer.conv(x, 3, 1)
    for side in reversed(sides[:-1]):
        x = writer.add(_separable(writer, x, widths[side], grow=True, noise=True), seen[side])
        x = _separable(writer, x, widths[side], noise=True)
        image = writer.add(_grown(writer, image), writer.conv(x, 3, 1))
    return writer, image


_BINOMIAL = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / np.float32(64)


def _clamped(writer: NetworkWriter, x: Value) -> Value:
    """A leaky rectifier that keeps the energy and is bounded."""
    x = writer.like(x, "LeakyRelu", alpha=0.2)
    x = writer.like(x, "Mul", writer.scalar(math.sqrt(2)))
    return writer.like(x, "Clip", writer.scalar(-256), writer.scalar(256))


def _separable(
    writer: NetworkWriter, x: Value, out: int, *, shrink: bool = False, grow: bool = False, noise: bool = False
) -> Value:
    x = _clamped(writer, writer.conv(x, x.channels, 3, groups=x.channels))

    if shrink:
        x = writer.fixed(x, np.tile(_BINOMIAL, (x.channels, 1, 1, 1)), stride=2, pad=1)
    x = writer.conv(x, out, 1, bias=False)
    if grow:
        x = _grown(writer, x)
    if noise:
        grain = np.random.default_rng(x.width).standard_normal((1, 1, x.height, x.width), np.float32)
        x = writer.like(x, "Add", writer.constant(grain))
    return _clamped(writer, x)


def _grown(writer: NetworkWriter, x: Value) -> Value:
    """Twice the side: zeros put between, then a binomial filter.

    As it is trained, by a comb. The transposed convolution that it is released with takes engines here several times
    as long as all else.
    """
    comb = np.zeros((1, 1, 2 * x.height, 2 * x.width), np.float32)
    comb[:, :, ::2, ::2] = 1
    apart = writer.like(writer.doubled(x), "Mul", writer.constant(comb))
    around = writer.constant(np.array([0, 0, 2, 2, 0, 0, 1, 1], np.int64))
    padded = Value(writer.apply("Pad", apart.name, around), x.channels, apart.height + 3, apart.width + 3)
    return writer.fixed(padded, np.tile(4 * _BINOMIAL, (x.channels, 1, 1, 1)))


def lama(blocks: int = 9) -> tuple[NetworkWriter, Value]:
    """LaMa (Suvorov et al., WACV 2022): residual blocks of fast Fourier convolutions, 3/4 of the channels global.

    The transforms are products with a constant matrix, as in what is exported for engines that have no complex numbers.
    """
    writer = NetworkWriter("lama")
    x = _rectified(writer, writer.conv(writer.entry, 64, 7, border="reflect"))
    for width in (128, 256):
        x = _rectified(writer, writer.conv(x, width, 3, stride=2, border="reflect"))
    local, wide = (
        _rectified(writer, writer.conv(x, width, 3, stride=2, border="reflect", bias=True)) for width in (128, 384)
    )

    for _ in range(blocks):
        first = _fourier_convolution(writer, *_fourier_convolution(writer, local, wide))
        local, wide = writer.add(first[0], local), writer.add(first[1], wide)

    x = writer.joined(local, wide)
    for width in (256, 128, 64):
        x = _rectified(writer, writer.wider(x, width))
    return writer, writer.like(writer.conv(x, 3, 7, border="reflect"), "Sigmoid")


def _rectified(writer: NetworkWriter, x: Value) -> Value:
    return writer.like(x, "Relu")


def _fourier_convolution(writer: NetworkWriter, local: Value, wide: Value) -> tuple[Value, Value]:
    """Both halves of the channels from both."""
    to_local = [writer.conv(value, local.channels, 3, border="reflect") for value in (local, wide)]
    half = _rectified(writer, writer.conv(wide, wide.channels // 2, 1))
    spectrum = fourier(writer, half)
    mixed = _rectified(writer, writer.conv(spectrum, spectrum.channels, 1))
    globally = writer.conv(writer.add(half, fourier_back(writer, mixed)), wide.channels, 1, bias=False)
    across = writer.conv(local, wide.channels, 3, border="reflect")
    return _rectified(writer, writer.add(*to_local)), _rectified(writer, writer.add(across, globally))


def fourier(writer: NetworkWriter, x: Value) -> Value:
    """The orthonormal spectrum of (B, C, S, S) as (B, 2C, S, S/2 + 1): real and imaginary parts take turns."""
    side, kept = x.width, x.width // 2 + 1
    turns = np.exp(-2j * np.pi * np.outer(np.arange(side), np.arange(side)) / side) / math.sqrt(side)
    along = np.concatenate([turns[:, :kept].real, turns[:, :kept].imag], axis=1).astype(np.float32)
    down = np.block([[turns.real, -turns.imag], [turns.imag, turns.real]]).astype(np.float32)
    rows = writer.apply("MatMul", x.name, writer.constant(along))  # (B, C, S, 2K)
    parts = writer.apply("Transpose", writer.reshaped(rows, x.channels, side, 2, kept), perm=[0, 1, 3, 2, 4])
    both = writer.apply("MatMul", writer.constant(down), writer.reshaped(parts, x.channels, 2 * side, kept))
    return Value(writer.reshaped(both, 2 * x.channels, side, kept), 2 * x.channels, side, kept)


def fourier_back(writer: NetworkWriter, x: Value) -> Value:
    """The picture (B, C, S, S) of a spectrum that `fourier` gave."""
    side, kept, channels = x.height, x.width, x.channels // 2
    turns = np.exp(2j * np.pi * np.outer(np.arange(side), np.arange(side)) / side) / math.sqrt(side)
    up = np.block([[turns.real, -turns.imag], [turns.imag, turns.real]]).astype(np.float32)
    # Beyond its half a real picture's spectrum is that half mirrored: each column but the first and last counts twice.
    twice = np.where(np.isin(np.arange(kept), (0, kept - 1)), 1, 2)[:, None]
    across = np.concatenate([twice * turns[:kept].real, -twice * turns[:kept].imag]).astype(np.float32)
    both = writer.apply("MatMul", writer.constant(up), writer.reshaped(x.name, channels, 2 * side, kept))
    rows = writer.apply("Transpose", writer.reshaped(both, channels, 2, side, kept), perm=[0, 1, 3, 2, 4])
    done = writer.apply("MatMul", writer.reshaped(rows, channels, side, 2 * kept), writer.constant(across))
    return Value(done, channels, side, side)


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
    """Shrink to a quarter of the side: by half at the second and fourth convolution. `last` adds a rectified one."""
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
