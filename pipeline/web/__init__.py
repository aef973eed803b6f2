"""The page of `barefaced serve`: a browser's camera or a file in, the result beside it.

`server` puts it together; `guard` decides who may ask; `visit` is one browser's camera from beginning to end, with what
is said, and `peer` for WebRTC; `uploads` are files, `faces` are enrolled. What the browser gets is in `page/`.
"""

from __future__ import annotations

import importlib.util

CURE = "pip install aiohttp aiortc"


def missing() -> str | None:
    """The reason why the page can't be served here, with the cure, or None. Imports nothing heavy."""
    absent = [name for name in ("aiohttp", "aiortc") if importlib.util.find_spec(name) is None]
    return f"`barefaced serve` needs {' and '.join(absent)}: {CURE}" if absent else None
