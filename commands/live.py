"""`barefaced live`, `cameras` and `serve`: a camera's pictures at its pace, on this desktop or in a page."""

from __future__ import annotations

import os
import signal
import sys
import webbrowser
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from commands.parsing import FAILED, INTERRUPTED, add, add_config, settings_of
from pipeline.errors import ConfigError
from pipeline.settings import flags, manual, values

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from commands.parsing import Commands
    from pipeline.live.live import LiveRun
    from pipeline.live.terminal import Terminal
    from pipeline.run.load import Networks
    from pipeline.run.process import Interrupts
    from pipeline.settings.config import Config
    from pipeline.web.faces import Far


def add_live(commands: Commands) -> None:
    """Add `live`."""
    parser = add(
        commands,
        "live",
        _live,
        summary="take the mask off in a camera's picture, for meetings",
        description=manual.LIVE,
        epilog=manual.LIVE_EXAMPLES,
    )
    parser.usage = "barefaced live [--virtual-camera [NAME]] [--preview] [SETTING ...]"

    parser.add_argument(
        "--virtual-camera",
        nargs="?",
        const="",
        metavar="NAME",
        help="show it to other programs as a camera: the first there is, or this path or name",
    )
    parser.add_argument("--preview", action="store_true", help="show it in a window")

    add_config(parser)
    flags.add_flags(parser, flags.taken_by_live)
    flags.add_stage_flag(parser)
    parser.shorten(flags.COMMON)


def add_cameras(commands: Commands) -> None:
    """Add `cameras`."""
    add(
        commands,
        "cameras",
        _cameras,
        summary="list the cameras and microphones of this machine",
        description=manual.CAMERAS,
    )


def _live(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    from pipeline.live.live import always, device_of, hearing_of, prepared
    from pipeline.live.sinks import Preview
    from pipeline.live.terminal import Keys, Terminal
    from pipeline.run import load
    from pipeline.run.process import Interrupts
    from pipeline.run.report import check_report

    with Interrupts() as interrupts, Keys() as keys:
        terminal = Terminal(
            keys,
            options.virtual_camera,
            preview=options.preview,
            fps=settings.live.fps,
            size=settings.live.size,
            quiet=options.quiet > 0,
        )
        if settings.live.rest and not terminal.can_rest:
            raise ConfigError("rest needs a virtual camera on Linux, and no preview: leave --rest out")
        check_report(settings.report.report)
        device, hearing = device_of(settings.live), hearing_of(settings.live)
        if options.preview:
            Preview.check()  # before networks are compiled and the camera is opened
        with load.networks(settings) as networks:
            wanted = terminal.onlookers if settings.live.rest else always
            run = prepared(settings, networks, terminal.say, device, wanted=wanted, hearing=hearing)
            interrupts.watch(run)
            return _show(run, terminal, interrupts, options)


def _show(run: LiveRun, terminal: Terminal, interrupts: Interrupts, options: argparse.Namespace) -> int:
    """The run from beginning to end, and its report, which is written even when it fails."""
    from pipeline.run.report import INVENTED, stage_table, write_json

    error: BaseException | None = None
    try:
        run.show_until_end(terminal)
    except BaseException as raised:
        error = raised
        raise
    finally:
        terminal.end_line()
        report = run.report(None if error is None else str(error), interrupted=interrupts.asked)
        if run.config.report.report:
            write_json(report.as_json(), run.config.report.report)
        if run.config.report.stats:
            print(stage_table(report.stages), file=sys.stderr)
        if report.counts.sent and not options.quiet:
            print(f"{report.summary} {INVENTED}", file=sys.stderr)
    return INTERRUPTED if interrupts.asked else 0


def _cameras(_options: argparse.Namespace) -> int:
    from pipeline.live import devices
    from pipeline.live.microphone import microphones

    found = devices.cameras()
    for name, description in found:
        print(f"{name}  {description}")
        for line in devices.formats(devices.camera(name, size=None, fps=30)):
            print(f"    {line}")
    if not found:
        print("no camera here; `barefaced live --input rtsp://…` takes one from the network")
    for name, description in microphones():
        print(f"microphone {name}  {description}")
    return 0 if found else FAILED


def add_serve(commands: Commands) -> None:
    """Add `serve`."""
    parser = add(
        commands,
        "serve",
        _serve,
        summary="do it on a page in your browser, for a camera or a file",
        description=manual.SERVE,
        epilog=manual.SERVE_EXAMPLES,
    )
    parser.usage = "barefaced serve [SETTING ...]"
    add_config(parser)
    flags.add_flags(parser, flags.taken_by_serve)
    flags.add_stage_flag(parser)
    parser.shorten(flags.COMMON)


PAGE_CURE = "pip install aiohttp aiortc"


def page_lacks() -> list[str]:
    """The packages that the page needs and that are not here."""
    return [name for name in ("aiohttp", "aiortc") if find_spec(name) is None]


def _serve(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    import asyncio

    if absent := page_lacks():  # said before networks are compiled
        raise ConfigError(f"`barefaced serve` needs {' and '.join(absent)}: {PAGE_CURE}")
    from pipeline.run import load

    with load.networks(settings) as networks, suppress(KeyboardInterrupt):
        asyncio.run(_until_ended(settings, networks, quiet=options.quiet > 0))
        return 128 + signal.SIGTERM
    return INTERRUPTED


ENROLLING_MINUTES = 10.0
"""How long a face is tuned at most that is enrolled on the page."""


class Learner:
    """Learns the faces that are enrolled on the page, as `barefaced enroll` does."""

    @property
    def missing(self) -> str | None:
        """Why no face can be learned here, or None."""
        from barefaced.enrolment import NEEDS
        from training.needs import require

        try:
            require("enrolling a face", *NEEDS, extra="enroll")
        except ConfigError as error:
            return str(error)
        return None

    def __call__(
        self,
        recordings: Sequence[Path],
        target: Path,
        sheet: Path,
        config: Config,
        *,
        tell: Callable[[Far], None],
        note: Callable[[str], None],
    ) -> None:
        """Learn the face in `recordings`. Raises `SourceError` where there is none, `SinkError` and `EngineError`."""
        from barefaced.enrolment import Learning, keep

        engine = values.build({"engine": config.engine.engine, "detect-size": config.faces.detect_size})
        enrolled = Learning(ENROLLING_MINUTES, None, recognition=True, tell=tell, note=note)(recordings, engine)
        keep(enrolled, target, sheet=sheet, overwrite=False)
        if enrolled.voices is not None:
            note("it holds how the mouth goes with the voice, which is biometric data, too")


async def _until_ended(settings: Config, networks: Networks, *, quiet: bool) -> None:
    """Serve the page until SIGTERM, or Ctrl-C, which raises; either ends whatever goes on."""
    import asyncio

    from pipeline.web.server import serving

    ended = asyncio.Event()
    with suppress(NotImplementedError):  # Windows has no such signal
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with serving(settings, networks, Learner()) as guard:
        link = _opened_by_browsers(guard.link)
        print(link, flush=True)
        again = guard.token is not None and _on_enter(lambda: print(_opened_by_browsers(guard.renew()), flush=True))
        if not quiet:
            once = "This link opens the page, once, in one browser. " if guard.token else ""
            enter = "Enter prints another one. " if again else ""
            print(f"barefaced: {once}{enter}{networks.description}. Ctrl-C ends it.", file=sys.stderr)
        if settings.serve.open and _sees_windows():
            webbrowser.open(link)
        await ended.wait()


def _opened_by_browsers(link: str) -> str:
    """The link with an address that a browser of this machine opens, where the server listens on all of them."""
    return link.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _on_enter(answer: Callable[[], None]) -> bool:
    """Call `answer` whenever somebody presses Enter in the terminal, and say whether that can be done here."""
    import asyncio

    loop = asyncio.get_running_loop()

    def heard() -> None:
        if sys.stdin.readline():
            answer()
        else:
            loop.remove_reader(sys.stdin)

    try:
        if not sys.stdin.isatty():
            return False
        loop.add_reader(sys.stdin, heard)
    except (AttributeError, NotImplementedError, OSError, ValueError):  # Windows, or no standard input at all
        return False
    return True


def _sees_windows() -> bool:
    """Whether whoever began this would see a window of a browser: not in a container, nor at the far end of SSH."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return sys.platform in ("win32", "darwin") or bool(screen)
