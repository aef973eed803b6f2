"""`barefaced serve`."""

from __future__ import annotations

import signal
import sys
import webbrowser
from contextlib import suppress
from typing import TYPE_CHECKING

from commands.parsing import INTERRUPTED, add, add_config, settings_of
from pipeline.errors import ConfigError
from pipeline.settings import flags, manual

if TYPE_CHECKING:
    import argparse

    from commands.parsing import Commands
    from pipeline.run.load import Networks
    from pipeline.settings.config import Config


def add_serve(commands: Commands) -> None:
    """Add `serve`."""
    parser = add(
        commands,
        "serve",
        _serve,
        summary="a page on this machine: the browser's camera or a file, without the masks",
        description=manual.SERVE,
        epilog=manual.SERVE_EXAMPLES,
    )
    parser.usage = "barefaced serve [--open] [SETTING ...]"
    add_config(parser)
    flags.add_flags(parser, flags.taken_by_serve)
    flags.add_stage_flag(parser)
    parser.shorten(flags.COMMON)


def _serve(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    import asyncio

    from pipeline.web import missing

    reason = missing()
    if reason is not None:
        raise ConfigError(reason)  # before networks are compiled
    from pipeline.run import load

    with load.networks(settings) as networks, suppress(KeyboardInterrupt):
        asyncio.run(_until_ended(settings, networks, quiet=options.quiet > 0))
        return 128 + signal.SIGTERM
    return INTERRUPTED


async def _until_ended(settings: Config, networks: Networks, *, quiet: bool) -> None:
    """Serve the page until SIGTERM, or Ctrl-C, which raises; either ends whatever goes on."""
    import asyncio

    from pipeline.web.server import serving

    ended = asyncio.Event()
    with suppress(NotImplementedError):  # Windows has no such signal
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with serving(settings, networks) as guard:
        link = guard.link.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")  # what a browser opens
        print(link, flush=True)
        if not quiet:
            once = "This link opens the page, once, in one browser. " if guard.token else ""
            print(f"barefaced: {once}{networks.description}. Ctrl-C ends it.", file=sys.stderr)
        if settings.serve.open:
            webbrowser.open(link)
        await ended.wait()
