import pytest

pytest.importorskip("torch", reason="training needs the extra `training`")

from pipeline.draw.mouth import heard
from tests.pipeline.draw.test_mouth import FRAMES, loudness, mouths, voice
from training.evaluation.speech import scores


@pytest.mark.parametrize("late", [0.0, 0.16, 0.3])
def test_what_was_learned_from_one_part_is_scored_on_the_other(late: float) -> None:
    found = scores(heard([voice(late)]), FRAMES, mouths(loudness(FRAMES)))
    assert found["learned"]["opening"] > 0.85
    assert found["learned"]["width"] is None  # it never moved
