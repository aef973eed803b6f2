import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `training`")

from training.generator import multiply_adds
from training.mcsam_paper import Block, McsamPaper, width_of


def test_paper_s_width_has_the_paper_s_size_and_cost() -> None:
    network = McsamPaper().eval()
    assert sum(weight.numel() for weight in network.parameters()) / 1e6 == pytest.approx(44.70, abs=0.005)
    assert multiply_adds(network, 1, 4, 256, 256) / 1e9 == pytest.approx(25.9, abs=0.05)


def test_narrow_one_costs_what_it_was_asked_to_cost() -> None:
    for wanted in (1.74e9, 2.4e9):
        cost = multiply_adds(McsamPaper(width_of(wanted)).eval(), 1, 4, 256, 256)
        assert cost == pytest.approx(wanted, rel=0.06)


def test_picture_in_face_out() -> None:
    network = McsamPaper(4).eval()
    feed = torch.rand(2, 4, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    drawn = network(feed)
    assert drawn.shape == (2, 3, 256, 256)
    assert drawn.abs().max() <= 1
    drawn.square().mean().backward()
    reached = [weight.grad is not None and bool(weight.grad.abs().sum() > 0) for weight in network.parameters()]
    assert sum(reached) > 0.8 * len(reached)  # behind an attention whose gain starts at zero nothing moves yet


def test_block_sees_eight_pixels_to_each_side_and_all_channels() -> None:
    """An instance normalisation shares means over the whole plane, so the receptive field is read off its centre."""
    block = Block(8).eval()
    with torch.no_grad():
        block.attention.gain.fill_(1.0)
    x = torch.rand(1, 8, 33, 33, generator=torch.Generator().manual_seed(1), requires_grad=True)
    block(x)[0, 0, 16, 16].backward()
    felt = x.grad[0].abs().amax(0)
    near = felt[16, 16 - 8 : 16 + 9 : 8]
    assert (near > 3 * felt.median()).all()
    assert (x.grad[0].abs().flatten(1).amax(1) > 0).all()
