"""Generators of the literature as graphs with random weights: what they cost at 256x256 on the engine that runs ours.

Nobody else's weights are here, and random ones draw nothing: of these networks only the speed is known. Layers are
those of the released code; a normalisation after a convolution is folded into it, as engines do.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks.literature.graph import Graph, Value

SIDE = 256


def mi_gan() -> tuple[Graph, Value]:
    """MI-GAN (Sargsyan et al., ICCV 2023): separable convolutions, skips by addition, nothing normalised."""
    graph = Graph("mi-gan")
    sides = [SIDE >> level for level in range(7)]  # 256 to 4
    widths = {side: min(32768 // side, 512) for side in sides}
    x = _clamped(graph, graph.conv(graph.entry, widths[SIDE], 1))
    seen: dict[int, Value] = {}
    for side, below in zip(sides, [*sides[1:], 4], strict=True):
        seen[side] = _separable(graph, x, widths[side])
        x = _separable(graph, seen[side], widths[below], shrink=side > below)
    x = graph.add(_separable(graph, x, widths[4]), seen[4])
    x = _separable(graph, x, widths[4])
    image = graph.conv(x, 3, 1)
    for side in reversed(sides[:-1]):
        x = graph.add(_separable(graph, x, widths[side], grow=True, noise=True), seen[side])
        x = _separable(graph, x, widths[side], noise=True)
        image = graph.add(_grown(graph, image), graph.conv(x, 3, 1))
    return graph, image


_BINOMIAL = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / np.float32(64)


def _clamped(graph: Graph, x: Value) -> Value:
    """A leaky rectifier that keeps the energy and is bounded."""
    x = graph.like(x, "LeakyRelu", alpha=0.2)
    x = graph.like(x, "Mul", graph.scalar(math.sqrt(2)))
    return graph.like(x, "Clip", graph.scalar(-256), graph.scalar(256))


def _separable(
    graph: Graph, x: Value, out: int, *, shrink: bool = False, grow: bool = False, noise: bool = False
) -> Value:
    x = _clamped(graph, graph.conv(x, x.channels, 3, groups=x.channels))
    if shrink:
        x = graph.fixed(x, np.tile(_BINOMIAL, (x.channels, 1, 1, 1)), stride=2, pad=1)
    x = graph.conv(x, out, 1, bias=False)
    if grow:
        x = _grown(graph, x)
    if noise:
        grain = np.random.default_rng(x.width).standard_normal((1, 1, x.height, x.width), np.float32)
        x = graph.like(x, "Add", graph.constant(grain))
    return _clamped(graph, x)


def _grown(graph: Graph, x: Value) -> Value:
    """Twice the side: zeros put between, then a binomial filter.

    As it is trained, by a comb. The transposed convolution that it is released with takes engines here several times
    as long as all else.
    """
    comb = np.zeros((1, 1, 2 * x.height, 2 * x.width), np.float32)
    comb[:, :, ::2, ::2] = 1
    apart = graph.like(graph.doubled(x), "Mul", graph.constant(comb))
    around = graph.constant(np.array([0, 0, 2, 2, 0, 0, 1, 1], np.int64))
    padded = Value(graph.apply("Pad", apart.name, around), x.channels, apart.height + 3, apart.width + 3)
    return graph.fixed(padded, np.tile(4 * _BINOMIAL, (x.channels, 1, 1, 1)))


def lama(blocks: int = 9) -> tuple[Graph, Value]:
    """LaMa (Suvorov et al., WACV 2022): residual blocks of fast Fourier convolutions, 3/4 of the channels global.

    The transforms are products with a constant matrix, as in what is exported for engines that have no complex numbers.
    """
    graph = Graph("lama")
    x = _rectified(graph, graph.conv(graph.entry, 64, 7, border="reflect"))
    for width in (128, 256):
        x = _rectified(graph, graph.conv(x, width, 3, stride=2, border="reflect"))
    local, wide = (
        _rectified(graph, graph.conv(x, width, 3, stride=2, border="reflect", bias=True)) for width in (128, 384)
    )
    for _ in range(blocks):
        first = _fourier_convolution(graph, *_fourier_convolution(graph, local, wide))
        local, wide = graph.add(first[0], local), graph.add(first[1], wide)
    x = graph.joined(local, wide)
    for width in (256, 128, 64):
        x = _rectified(graph, graph.wider(x, width))
    return graph, graph.like(graph.conv(x, 3, 7, border="reflect"), "Sigmoid")


def _rectified(graph: Graph, x: Value) -> Value:
    return graph.like(x, "Relu")


def _fourier_convolution(graph: Graph, local: Value, wide: Value) -> tuple[Value, Value]:
    """Both halves of the channels from both."""
    to_local = [graph.conv(value, local.channels, 3, border="reflect") for value in (local, wide)]
    half = _rectified(graph, graph.conv(wide, wide.channels // 2, 1))
    spectrum = fourier(graph, half)
    mixed = _rectified(graph, graph.conv(spectrum, spectrum.channels, 1))
    globally = graph.conv(graph.add(half, fourier_back(graph, mixed)), wide.channels, 1, bias=False)
    across = graph.conv(local, wide.channels, 3, border="reflect")
    return _rectified(graph, graph.add(*to_local)), _rectified(graph, graph.add(across, globally))


def fourier(graph: Graph, x: Value) -> Value:
    """The orthonormal spectrum of (B, C, S, S) as (B, 2C, S, S/2 + 1): real and imaginary parts take turns."""
    side, kept = x.width, x.width // 2 + 1
    turns = np.exp(-2j * np.pi * np.outer(np.arange(side), np.arange(side)) / side) / math.sqrt(side)
    along = np.concatenate([turns[:, :kept].real, turns[:, :kept].imag], axis=1).astype(np.float32)
    down = np.block([[turns.real, -turns.imag], [turns.imag, turns.real]]).astype(np.float32)
    rows = graph.apply("MatMul", x.name, graph.constant(along))  # (B, C, S, 2K)
    parts = graph.apply("Transpose", graph.reshaped(rows, x.channels, side, 2, kept), perm=[0, 1, 3, 2, 4])
    both = graph.apply("MatMul", graph.constant(down), graph.reshaped(parts, x.channels, 2 * side, kept))
    return Value(graph.reshaped(both, 2 * x.channels, side, kept), 2 * x.channels, side, kept)


def fourier_back(graph: Graph, x: Value) -> Value:
    """The picture (B, C, S, S) of a spectrum that `fourier` gave."""
    side, kept, channels = x.height, x.width, x.channels // 2
    turns = np.exp(2j * np.pi * np.outer(np.arange(side), np.arange(side)) / side) / math.sqrt(side)
    up = np.block([[turns.real, -turns.imag], [turns.imag, turns.real]]).astype(np.float32)
    # Beyond its half a real picture's spectrum is that half mirrored: each column but the first and last counts twice.
    twice = np.where(np.isin(np.arange(kept), (0, kept - 1)), 1, 2)[:, None]
    across = np.concatenate([twice * turns[:kept].real, -twice * turns[:kept].imag]).astype(np.float32)
    both = graph.apply("MatMul", graph.constant(up), graph.reshaped(x.name, channels, 2 * side, kept))
    rows = graph.apply("Transpose", graph.reshaped(both, channels, 2, side, kept), perm=[0, 1, 3, 2, 4])
    done = graph.apply("MatMul", graph.reshaped(rows, channels, side, 2 * kept), graph.constant(across))
    return Value(done, channels, side, side)
