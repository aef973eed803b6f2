from collections import Counter
from itertools import count, islice
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `training`")

from pipeline.errors import ConfigError
from training.loop.stream import EXPRESSION_NOISE, GROUP, Batch, Reuse, expression_input, read_textures

CPU = torch.device("cpu")
BATCH = 2


def drawn(first: int):  # noqa: ANN201 - batches without end
    """Pictures whose number is in their left column; the right one says what is mirrored."""
    for number in count(first):
        picture = torch.zeros(BATCH, 1, 1, 2)
        picture[:, 0, 0, 0] = torch.arange(number * BATCH, (number + 1) * BATCH)
        picture[:, 0, 0, 1] = -1
        known = torch.ones(BATCH, dtype=torch.bool)
        yield Batch(picture, picture + 0.25, picture + 0.5, picture[:, 0, 0, :1] * torch.ones(5), known)


def seen(times: int, step: int, steps: int) -> list[tuple[torch.Tensor, ...]]:
    reuse = Reuse(times, seed=3, device=CPU)
    return list(islice(reuse.seen(drawn(reuse.first_drawn(step)), step), steps))


def test_each_picture_is_seen_so_often_and_every_other_time_mirrored() -> None:
    group = seen(4, 0, 4 * GROUP)
    numbers = Counter(int(face.max()) for picture, *_ in group for face in picture)
    assert numbers == dict.fromkeys(range(GROUP * BATCH), 4)
    mirrored = [bool((picture[..., 0] == -1).all()) for picture, *_ in group]
    assert mirrored == [turn % 2 == 1 for turn in range(4) for _ in range(GROUP)]
    for picture, truth, alpha, expression, _ in group:
        assert torch.equal(truth, picture + 0.25)  # they stay together
        assert torch.equal(alpha, picture + 0.5)
        assert torch.equal(expression[:, 0], picture.amax((1, 2, 3)))


def test_pictures_are_mixed_anew_each_time() -> None:
    first, second = (
        [int(face.max()) for picture, *_ in seen(2, begin, GROUP) for face in picture] for begin in (0, GROUP)
    )
    assert first != second
    assert sorted(first) == sorted(second)


@pytest.mark.parametrize("times", [1, 3])
def test_run_that_goes_on_sees_what_the_whole_one_saw(times: int) -> None:
    whole = seen(times, 0, 2 * times * GROUP)
    for step in (5, times * GROUP + 7):
        rest = seen(times, step, 3)
        for ours, theirs in zip(rest, whole[step : step + 3], strict=True):
            assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))


def test_textures_are_those_of_the_folder_and_without_any_it_is_an_error(tmp_path: Path) -> None:
    assert read_textures(None) == []
    with pytest.raises(ConfigError, match=r"there is no picture called \*\.jpg"):
        read_textures(tmp_path)
    cv2.imwrite(str(tmp_path / "wool.jpg"), np.full((20, 30, 3), 90, np.uint8))
    (tmp_path / "torn.jpg").write_bytes(b"")
    assert [texture.shape for texture in read_textures(tmp_path)] == [(256, 256, 3)]


def test_an_expression_is_given_with_noise_in_its_share_of_the_samples_alone() -> None:
    rng, numbers = np.random.default_rng(0), np.array([2.0, -1, 0, 0.5], np.float32)
    drawn = np.stack([expression_input(numbers, rng, share=0.75) for _ in range(2000)])
    known = drawn[:, 4] == 1
    assert known.mean() == pytest.approx(0.75, abs=0.04)
    assert not drawn[~known].any()
    assert drawn[known, :4].mean(axis=0) == pytest.approx(numbers, abs=0.03)
    assert drawn[known, :4].std(axis=0) == pytest.approx(EXPRESSION_NOISE, abs=0.02)
    assert not expression_input(numbers, rng, share=0).any()
