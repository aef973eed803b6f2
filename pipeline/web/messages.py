"""The JSON messages between page and server while a camera is on; those that come in are checked here."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.run.controls import WIDEST_FEATHER_PX, Wishes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.live.live import LiveRun
    from pipeline.run.controls import Controls, SeenFace

MOST_FACES = 1000
"""How many faces a visitor may switch on or off."""

Message = dict[str, object]


def parsed(text: str) -> Message:
    """Parse a message, which is a JSON object. Raises `ConfigError`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"a message is no JSON ({error})") from error
    if not isinstance(value, dict):
        raise ConfigError("a message must be a JSON object")
    return value


def offer_of(message: Message) -> str:
    """Take the SDP from the message that begins a visit. Raises `ConfigError`."""
    sdp = message.get("sdp")
    if message.get("type") != "offer" or not isinstance(sdp, str):
        raise ConfigError("the first message must be an offer with its sdp")
    return sdp


def choice_of(message: Message) -> Wishes:
    """Take the choices from a message of the page. Raises `ConfigError` when a value is missing or out of range."""
    if message.get("type") != "choice":
        raise ConfigError("after the offer a message must be a choice")
    faces, others = message.get("faces"), message.get("others")
    if not isinstance(others, bool) or not isinstance(faces, dict) or len(faces) > MOST_FACES:
        raise ConfigError(f"faces must be an object of at most {MOST_FACES} entries, and others true or false")
    return Wishes(
        smoothing=number("smoothing", message.get("smoothing"), highest=1),
        feather_px=number("feather", message.get("feather"), highest=WIDEST_FEATHER_PX),
        faces=_switches(faces),
        others=others,
    )


def number(key: str, value: object, *, highest: float) -> float:
    """Check that `value` is a number from 0 to `highest`. Raises `ConfigError`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= highest:
        raise ConfigError(f"{key} is {value!r}; it must be a number from 0 to {highest:g}")
    return float(value)


def _switches(faces: Mapping[str, object]) -> dict[int, bool]:
    """Face number to whether it is drawn. Raises `ConfigError`."""
    if not all(key.isdecimal() and len(key) < 10 and isinstance(value, bool) for key, value in faces.items()):
        raise ConfigError("faces must give true or false by the number of the face")
    return {int(key): value is True for key, value in faces.items()}


def status_of(run: LiveRun, controls: Controls, *, now: float) -> Message:
    """Make the message about the status of a run at `now`, in `time.perf_counter` seconds."""
    counts, ages = run.outbox.counts, run.outbox.counts.ages.recent()
    width, height = controls.seen_size
    return {
        "type": "status",
        "fps": round(counts.ages.recent_fps(now=now), 1),
        "age_ms": ages.as_json() if ages else None,
        "shown": counts.ages.count,
        "dropped": run.source.dropped,
        "failed": run.stream.ledger.failures,
        "last_failure": run.stream.ledger.last_failure,
        "faces": [_face(face, controls.choice, width, height) for face in controls.seen],
    }


def _face(face: SeenFace, choice: Wishes, width: int, height: int) -> Message:
    """Describe a face for the page, with its box as shares of the picture."""
    box = face.track.detection.box
    edges = (box.left / width, box.top / height, box.right / width, box.bottom / height)
    return {
        "id": face.track.id,
        "box": [round(min(max(edge, 0.0), 1.0), 4) if math.isfinite(edge) else 0.0 for edge in edges],
        "state": "drawn" if face.skipped is None else face.skipped.value,
        "on": choice.draws(face.track.id),
    }
