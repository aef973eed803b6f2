"""Generators of the literature are those that were published, by their cost, and any engine runs them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks import literature, literature_networks
from benchmarks.literature_networks import deepfill, lama, mi_gan
from benchmarks.network_writer import NetworkWriter, Value
from benchmarks.record import BenchmarkError, Better, Series
from engine import select
from engine.onnx_file import multiply_adds
from engine.spec import Network, Precision
from pipeline.errors import EngineError
from pipeline.settings.values import build

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.spec import Array

FEED = {"crop_and_mask": (1, 4, 256, 256)}


def run(network: Network, picture: Array) -> Array:
    with closing(select.load(network, backend="onnxruntime", precision=Precision.F32)) as engine:
        (seen,) = engine.run({"crop_and_mask": picture}).values()
        return seen


def small(writer: NetworkWriter) -> Array:
    shape = (2, writer.channels, writer.side, writer.side)
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


# Weights in millions and multiply-adds in billions as they are known of the released code.
@pytest.mark.parametrize(
    ("made", "nodes", "weights", "gmacs", "apart"),
    [
        (mi_gan, 314, 5.94, 10.9, 0.02),  # the weights known include the fixed filters
        (lama, 547, 27.05, 31.9, 0.025),  # the cost known leaves the transforms out
        (lambda: deepfill(attention=False), 258, 4.05, 25.2, 0.001),
    ],
    ids=["mi-gan", "lama", "deepfill"],
)
def test_networks_are_the_published_ones_by_size_and_cost(
    made: Callable[[], tuple[NetworkWriter, Value]], nodes: int, weights: float, gmacs: float, apart: float
) -> None:
    writer, leave = made()
    assert (leave.channels, leave.height, leave.width) == (3, 256, 256)
    assert writer.nodes == nodes
    assert writer.weights / 1e6 == pytest.approx(weights, rel=0.015)
    assert multiply_adds(writer.network(leave), FEED) / 1e9 == pytest.approx(gmacs, rel=apart)


def test_attention_costs_what_two_products_of_patches_do() -> None:
    writer, leave = deepfill()
    places, channels = 32 * 32, 96
    products = places * places * channels * (9 + 16)
    without, plain = deepfill(attention=False)
    added = multiply_adds(writer.network(leave), FEED) - multiply_adds(without.network(plain), FEED)
    assert products < added < 1.2 * products
    assert writer.weights == without.weights


def test_another_network_than_the_published_one_is_told() -> None:
    entry = literature.ENTRIES["LaMa"]
    writer, leave = lama(blocks=8)
    with pytest.raises(BenchmarkError, match=r"published are 31\.9: it is another one"):
        literature.check_cost("LaMa", entry, writer.network(leave))


def test_the_spectrum_is_numpys_and_leads_back() -> None:
    writer = NetworkWriter("spectrum", channels=3, side=16)
    spectrum = literature_networks.fourier(writer, writer.entry)
    picture = small(writer)
    seen = run(writer.network(spectrum), picture)
    expected = np.fft.rfft2(picture, norm="ortho")
    np.testing.assert_allclose(seen[:, 0::2] + 1j * seen[:, 1::2], expected, atol=1e-5)
    back = literature_networks.fourier_back(writer, spectrum)
    np.testing.assert_allclose(run(writer.network(back), picture), picture, atol=1e-5)


def test_a_transposed_fixed_convolution_puts_patches_back_where_they_were_cut() -> None:
    writer = NetworkWriter("patches", channels=2, side=8)
    one_hot = np.tile(np.eye(4, dtype=np.float32).reshape(-1, 1, 2, 2), (2, 1, 1, 1))
    cut = writer.fixed(writer.entry, one_hot, stride=2)
    assert (cut.channels, cut.height) == (8, 4)
    whole = writer.spread(cut, 2, one_hot, stride=2)
    picture = small(writer)
    np.testing.assert_allclose(run(writer.network(whole), picture), picture)


def test_borders_strides_and_sizes_are_what_is_written() -> None:
    writer = NetworkWriter("layers", channels=2, side=16)
    for value, shape in (
        (writer.conv(writer.entry, 5, 3, stride=2), (5, 8)),
        (writer.conv(writer.entry, 4, 3, dilation=4, border="reflect"), (4, 16)),
        (writer.wider(writer.entry, 3), (3, 32)),
        (writer.doubled(writer.entry), (2, 32)),
        (writer.joined(writer.entry, writer.channels_of(writer.entry, 1, 2)), (3, 16)),
    ):
        assert (value.channels, value.height) == shape
        assert run(writer.network(value), small(writer)).shape == (2, shape[0], shape[1], shape[1])


def test_a_mirrored_border_leaves_an_even_picture_even() -> None:
    writer = NetworkWriter("border", channels=1, side=8)
    mirrored = run(writer.network(writer.conv(writer.entry, 1, 3, border="reflect")), np.ones((1, 1, 8, 8), np.float32))
    assert np.ptp(mirrored) < 1e-6


def test_the_papers_network_is_the_published_one_by_cost() -> None:
    pytest.importorskip("torch", reason="the paper's network is written with torch: make setup EXTRAS=training")
    pytest.importorskip("onnxscript", reason="make setup EXTRAS=training")
    from training.networks.mcsam_paper import McsamPaper

    network = McsamPaper()
    assert sum(weights.numel() for weights in network.parameters()) / 1e6 == pytest.approx(44.7, rel=0.005)
    entry = literature.ENTRIES["the paper's"]
    literature.check_cost("the paper's", entry, entry.network())


def test_a_network_that_an_engine_does_not_take_costs_no_other_its_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    def pretended(name: str, *_: object) -> tuple[dict[str, object], Series]:
        if name == "MI-GAN":
            raise EngineError("backend openvino can't compile mi-gan: No suitable implementations found")
        row = {"name": name, "median_ms": 1.0, "gmacs": 1.0, "gflops": 1.0}
        return row, Series(name, "ms a face", Better.LESS, (1.0,))

    entries = {name: literature.ENTRIES[name] for name in ("MI-GAN", "LaMa")}
    monkeypatch.setattr(literature, "_timed", pretended)
    monkeypatch.setattr(literature, "ENTRIES", entries)
    rows, series, left_out = literature.measure(build().engine, seconds=0, say=lambda _text: None)
    assert [row["name"] for row in rows] == [one.name for one in series] == ["ours", "LaMa"]
    assert list(left_out) == ["MI-GAN"]
