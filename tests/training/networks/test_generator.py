import re
from functools import partial
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `training`")

from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from training.loop import losses
from training.loop.losses import Discriminator, DiscriminatorLoss, PatchDiscriminator
from training.networks.generator import (
    ChannelSpatialAttention,
    Dilated,
    Generator,
    GeneratorConfig,
    Segmenter,
    Trunk,
    doubled,
    halved,
    multiply_adds,
)
from training.settings import TrainConfig

ROOT = Path(__file__).parents[3]


def shaken(network: nn.Module) -> nn.Module:
    """The network with no weight left at the zero it starts from."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.02)
    return network.eval()


def test_multiply_adds_of_one_convolution_by_hand() -> None:
    layer = nn.Conv2d(8, 16, 3, padding=1, groups=2)
    assert multiply_adds(layer, 1, 8, 10, 12) == 16 * 10 * 12 * 4 * 9


@pytest.mark.parametrize(
    ("name", "network", "shape", "most"),
    [
        ("generator", Generator(GeneratorConfig(expression=True)), (4, 256, 256), 2.4),
        ("segmenter", Segmenter(), (3, 256, 256), 0.5),
    ],
    ids=["generator", "segmenter"],
)
def test_networks_are_as_large_as_the_model_card_says(
    name: str, network: nn.Module, shape: tuple[int, ...], most: float
) -> None:
    """`most` GMACs are what a CPU runs at video rate."""
    row = rf"\| `{name}` \|[^|]*\| ([0-9.]+) M weights \| ([0-9.]+) GMACs \|"
    found = re.search(row, (ROOT / "docs" / "model-card.md").read_text(encoding="utf-8"))
    assert found is not None
    millions, gmacs = map(float, found.groups())

    assert multiply_adds(network, 1, *shape) / 1e9 == pytest.approx(gmacs, abs=0.006)
    assert sum(weight.numel() for weight in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.006)
    assert gmacs < most


def test_counting_multiply_adds_changes_nothing() -> None:
    """A normalisation would count what it is run on."""
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert multiply_adds(network, 1, 1, 8, 8) == 64
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_what_is_under_the_mask_does_not_reach_the_generator() -> None:
    network = shaken(Generator())
    feed = torch.rand(1, 4, 256, 256, generator=torch.Generator().manual_seed(1)) * 2 - 1
    feed[:, 3] = 0
    feed[:, 3, 128:200, 64:192] = 1
    other = feed.clone()
    other[:, :3, 128:200, 64:192] = 0.9
    seen = feed.clone()
    seen[:, :3, :100] = -0.9
    with torch.no_grad():
        drawn = network(feed)
        assert torch.equal(drawn, network(other))
        assert not torch.allclose(drawn, network(seen), atol=1e-3)
    assert drawn.shape == (1, 3, 256, 256)
    assert drawn.abs().max() <= 1


@pytest.mark.parametrize("side", [2, 4])
def test_cells_are_halved_as_the_picture_is(side: int) -> None:
    picture = torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(3))
    half = functional.avg_pool2d(picture, 2)
    found = halved(functional.pixel_unshuffle(picture, side), side)
    assert torch.allclose(found, functional.pixel_unshuffle(half, side), atol=1e-6)


def test_trunk_enters_from_the_whole_picture_as_from_its_half() -> None:
    trunk = shaken(Trunk())
    seen = torch.rand(2, 4, 96, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1
    with torch.no_grad():
        half = trunk.enter(functional.avg_pool2d(seen, 2))
        assert torch.allclose(trunk.enter_halved(functional.pixel_unshuffle(seen, 4)), half, atol=1e-5)


def test_doubling_is_bilinear_up_to_the_border() -> None:
    small = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(4))
    large = functional.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(functional.pixel_shuffle(doubled(small), 2), large, atol=1e-6)


def test_attention_is_one_filter_over_channels_rows_and_columns() -> None:
    attention = shaken(ChannelSpatialAttention())
    features = torch.randn(2, 12, 9, 7, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        volume = attention.filter(features.unsqueeze(1)).squeeze(1)
        assert torch.allclose(attention.filtered(features), volume, atol=1e-5)


@pytest.mark.parametrize("dilation", [1, 2, 4, 8])
@pytest.mark.parametrize("side", [8, 16, 20])
def test_dilated_convolution_learns_from_the_sums_that_it_is_run_with(dilation: int, side: int) -> None:
    layer = Dilated(12, 6, dilation)
    seen = torch.randn(2, 12, side, side, generator=torch.Generator().manual_seed(5))
    slopes = []
    for learning in (True, False):
        layer.train(learning)
        out = layer(x := seen.clone().requires_grad_())
        slopes.append([out, *torch.autograd.grad(out.square().sum(), [x, layer.weight, layer.bias])])
    for fast, plain in zip(*slopes, strict=True):
        assert torch.allclose(fast, plain, atol=1e-3, rtol=1e-4)


def crop_and_mask(count: int = 2) -> torch.Tensor:
    feed = torch.rand(count, 4, 64, 64, generator=torch.Generator().manual_seed(6)) * 2 - 1
    feed[:, 3] = (feed[:, 3] > 0).float()
    return feed


@pytest.mark.parametrize("kind", [Generator, Trunk])
def test_an_expression_changes_nothing_before_it_is_learned_nor_while_it_is_unknown(kind: type[nn.Module]) -> None:
    feed, smile = crop_and_mask(), torch.tensor([[0.0, 2, 1, -1, 1], [0.0, 2, 1, -1, 0]])
    network = kind(GeneratorConfig(expression=True))
    with torch.no_grad():
        assert torch.equal(network(feed), network(feed, smile))
        shaken(network)
        plain, given = network(feed), network(feed, smile)
    assert not torch.allclose(plain[0], given[0], atol=1e-3)
    assert torch.equal(plain[1], given[1])


def test_an_expression_costs_as_good_as_nothing() -> None:
    """Products over small maps alone."""
    plain, other = Generator(), Generator(GeneratorConfig(expression=True))
    assert other.trunk.expression is not None
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        other.trunk.expression(torch.zeros(1, 5), 16)
    assert 0 < counter.get_total_flops() / 2 < 0.005 * multiply_adds(plain, 1, 4, 256, 256)
    weights = [sum(weight.numel() for weight in network.parameters()) for network in (plain, other)]
    assert weights[1] - weights[0] < 0.03 * weights[0]


def test_every_weight_of_the_generator_is_used() -> None:
    network = shaken(Generator())
    network(torch.rand(1, 4, 64, 64)).square().mean().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_generator_sees_the_whole_crop() -> None:
    network = shaken(Generator())
    feed = torch.zeros(1, 4, 256, 256, requires_grad=True)
    network(feed)[0, :, 128, 128].sum().backward()
    rows = feed.grad[0, :3].abs().sum((0, 2)).nonzero()
    assert rows.max() - rows.min() > 200


def test_segmenter_gives_probabilities_at_its_input_size() -> None:
    with torch.no_grad():
        mask = shaken(Segmenter())(torch.rand(2, 3, 256, 256))
    assert mask.shape == (2, 1, 256, 256)
    assert 0 <= mask.min() <= mask.max() <= 1


def test_segmenter_begins_as_its_coarse_part_on_half_the_picture() -> None:
    network = shaken(Segmenter())
    nn.init.zeros_(network.fine.leave.weight)
    nn.init.zeros_(network.fine.leave.bias)
    crop = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(7)) * 2 - 1
    with torch.no_grad():
        half, _ = network.coarse(functional.pixel_unshuffle(functional.avg_pool2d(crop, 2), 2))
        enlarged = functional.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)
        assert torch.allclose(network.logits(crop), enlarged, atol=1e-5)


def test_segmenter_sees_what_half_the_picture_does_not_show() -> None:
    """A chequered board whose squares are a pixel wide is grey in the half."""
    network = shaken(Segmenter())
    crop = torch.zeros(1, 3, 64, 64)
    board = crop.clone()
    board[..., ::2, ::2] = board[..., 1::2, 1::2] = 1
    board[..., 1::2, ::2] = board[..., ::2, 1::2] = -1
    with torch.no_grad():
        assert torch.equal(functional.avg_pool2d(board, 2), functional.avg_pool2d(crop, 2))
        assert not torch.allclose(network.logits(board), network.logits(crop), atol=1e-3)


def test_every_weight_of_the_segmenter_is_used() -> None:
    network = shaken(Segmenter())
    network(torch.rand(1, 3, 64, 64)).square().mean().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_discriminator_scores_patches_of_the_lower_face() -> None:
    picture = torch.rand(2, 3, 256, 256, requires_grad=True)
    scores = PatchDiscriminator()(picture, torch.zeros(2, 1, 256, 256))
    assert scores.shape == (2, 1, 20, 24)
    scores.sum().backward()
    assert not picture.grad[:, :, :96].any()
    assert picture.grad[:, :, 120:].any()


def test_discriminator_sees_twice_as_far_at_its_coarse_scale() -> None:
    picture = torch.zeros(1, 3, 256, 256, requires_grad=True)
    reach = []
    for scores in Discriminator()(picture, torch.zeros(1, 1, 256, 256)):
        middle = scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2]
        (slope,) = torch.autograd.grad(middle, picture, retain_graph=True)
        seen = slope[0].abs().sum(0) > 0
        reach.append((int(seen.any(1).sum()), int(seen.any(0).sum())))
    assert reach == [(38, 38), (76, 76)]


@pytest.mark.parametrize("r1", [0.0, 10.0])
def test_either_scale_of_the_discriminator_has_half_a_say(r1: float) -> None:
    """The coarse one has a quarter of the scores."""
    truth, made = torch.rand(2, 4, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    hole, judge = torch.ones(4, 1, 256, 256), shaken(Discriminator())
    config = TrainConfig("generator", crops=Path(), run=Path(), precision="f32", r1=r1)
    losses_of_scales = []
    for scale in (judge.fine, judge.from_afar):
        hinge = losses.discriminator_hinge(scale(truth, hole), scale(made, hole))
        steep = losses.slope_penalty(partial(scale, hole=hole[:1]), truth[:1])
        losses_of_scales.append(hinge + r1 * steep)
    assert torch.allclose(DiscriminatorLoss(judge, config)(truth, made, hole), sum(losses_of_scales) / 2)
    assert (steep > 0) and not torch.allclose(losses_of_scales[0], losses_of_scales[1])
