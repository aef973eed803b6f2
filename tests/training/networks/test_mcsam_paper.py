import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `training`")

from training.networks.generator import multiply_adds
from training.networks.mcsam_paper import Block, McsamPaper, width_of


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


@pytest.mark.parametrize("branch", range(4))
def test_each_branch_of_a_block_sees_as_far_as_its_dilation(branch: int) -> None:
    """The means of an instance normalisation are felt a little everywhere; what is felt strongly is the filters'."""
    block = Block(8).eval()
    x = torch.rand(1, 8, 65, 65, generator=torch.Generator().manual_seed(1), requires_grad=True)
    block(x)[0, 2 * branch + 1, 32, 32].backward()
    felt = x.grad[0].abs().amax(0)
    strong = (felt > 5 * felt[:10, :10].max()).nonzero() - 32
    assert strong.abs().max() == 2**branch + 1  # a 3x3 filter follows the dilated one
