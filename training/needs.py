"""What a training command needs beyond a plain run, looked for before anything heavy is loaded."""

from __future__ import annotations

from importlib.util import find_spec

from pipeline.errors import ConfigError

INSTALL = "make setup EXTRAS=training"


def require(command: str, *modules: str) -> None:
    """Raise `ConfigError`, naming what is missing and how to get it, unless every one of `modules` is installed."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise ConfigError(f"{command} needs {', '.join(missing)}: {INSTALL}")
