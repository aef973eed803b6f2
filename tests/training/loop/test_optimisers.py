import copy
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `training`")

from torch import nn
from torch.nn import functional

from engine.spec import Precision
from training.loop import objectives
from training.loop.objectives import OPTIMISERS, Muon, orthogonalised


@pytest.mark.parametrize("shape", [(16, 144), (144, 16), (32, 32)])
def test_singular_values_are_brought_near_one(shape: tuple[int, int]) -> None:
    gradients = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalised(gradients))
    assert values.min() > 0.4
    assert values.max() < 1.4


def test_directions_are_kept() -> None:
    gradient = torch.randn(16, 40, generator=torch.Generator().manual_seed(1))
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    (found,) = orthogonalised(gradient[None])
    assert functional.cosine_similarity(found.flatten(), (left @ right).flatten(), dim=0) > 0.97


def test_each_matrix_is_seen_apart() -> None:
    gradients = torch.randn(3, 16, 40, generator=torch.Generator().manual_seed(2))
    gradients *= torch.tensor([1e-3, 1, 50])[:, None, None]
    together = orthogonalised(gradients)
    for gradient, found in zip(gradients, together, strict=True):
        assert torch.allclose(orthogonalised(gradient[None])[0], found, atol=0.02)  # steps are taken in bf16


@pytest.mark.parametrize("name", list(OPTIMISERS))
def test_network_learns(name: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(16, 3, 3, padding=1))
    picture = torch.rand(4, 3, 16, 16)
    optimiser = OPTIMISERS[name](network, 1e-2)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = functional.mse_loss(network(picture), 1 - picture)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_state_that_is_restored_goes_on_the_same() -> None:
    def step(network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad()
        network(torch.ones(1, 2, 4, 4)).square().mean().backward()
        optimiser.step()

    torch.manual_seed(0)
    first, second = nn.Conv2d(2, 4, 3), nn.Conv2d(2, 4, 3)
    ours = Muon(first, 1e-2)
    step(first, ours)
    second.load_state_dict(first.state_dict())
    theirs = Muon(second, 1e-2)
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    step(first, ours)
    step(second, theirs)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_closure_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="closure"):
        Muon(nn.Conv2d(2, 4, 3), 1e-2).step(lambda: 0.0)


@pytest.mark.parametrize("has_it", [True, False])
def test_a_card_learns_in_bf16_where_it_need_not_imitate_that(has_it: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: has_it or including_emulation)
    assert objectives.pays_in_bf16("cuda") is has_it


@pytest.mark.parametrize("faster", [True, False])
@pytest.mark.parametrize("fastest", [Precision.BF16, Precision.F32])
def test_bf16_computes_where_the_processor_has_it_and_is_faster_with_it(
    fastest: Precision, faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two products in bf16 may take longer than one in float32: what has it need not be what gains by it."""
    offered = SimpleNamespace(missing=lambda: None, fastest=lambda: fastest)
    monkeypatch.setattr(objectives, "find_backend", lambda _: offered)
    monkeypatch.setattr(objectives, "faster_in_bf16", lambda: faster)
    assert objectives.pays_in_bf16("cpu") is (fastest is Precision.BF16 and faster)


def test_which_precision_is_faster_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that runs for bf16 alone says that float32 is faster, and the other way round."""
    for slow in (True, False):
        objectives.faster_in_bf16.cache_clear()
        clock = iter([0.0, 2.0 if not slow else 1.0, 10.0, 11.0 if not slow else 12.0] * 3)
        monkeypatch.setattr(objectives.time, "perf_counter", lambda clock=clock: next(clock))
        assert objectives.faster_in_bf16() is not slow
        assert objectives.faster_in_bf16() is not slow
    monkeypatch.undo()
    objectives.faster_in_bf16.cache_clear()
