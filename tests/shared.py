"""Pictures that may lie beside the checkout and may not be passed on: tests skip where they are not."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
