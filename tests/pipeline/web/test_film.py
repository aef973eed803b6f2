"""What the browser's test measures with: a made record of frames gives the delay that was put in."""

from __future__ import annotations

import pytest

from tests.pipeline.web.film import FRAMES
from tests.pipeline.web.in_browser import latencies_ms, out_of_order

STEP_MS = 1000 / 30


def record(delay_ms: float, *, every: int = 1) -> dict[str, list[list[float]]]:
    """Two rounds of the film, the original seen in every `every`-th frame, the result after `delay_ms`."""
    frames = [(index % FRAMES, index * STEP_MS) for index in range(2 * FRAMES)]
    return {
        "original": [[number, moment] for number, moment in frames[::every]],
        "result": [[number, moment + delay_ms] for number, moment in frames],
    }


@pytest.mark.parametrize("every", [1, 7])
@pytest.mark.parametrize("delay_ms", [40.0, 400.0, 2500.0])
def test_the_delay_is_found_also_where_originals_are_left_out(delay_ms: float, every: int) -> None:
    found = latencies_ms(record(delay_ms, every=every))
    assert len(found) > FRAMES
    assert found == pytest.approx([delay_ms] * len(found), abs=0.01)


def test_a_frame_that_is_shown_on_and_one_that_cannot_be_read_do_not_count() -> None:
    seen = record(100.0)
    seen["result"] = [seen["result"][5], seen["result"][5], [-1, 400.0]]
    assert latencies_ms(seen) == pytest.approx([100.0])


def test_the_film_beginning_again_is_in_order_and_a_step_back_is_not() -> None:
    assert out_of_order([FRAMES - 2, FRAMES - 1, 0, 1, 5]) == 0
    assert out_of_order([1, 2, 1, 3]) == 1
