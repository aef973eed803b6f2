"""What every command's parser is made of, what may have been meant by a word it does not know, and the exit codes."""

from __future__ import annotations

import argparse
import glob
import logging
import sys
from copy import copy
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import platformdirs

from pipeline.settings import flags, values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pipeline.settings.config import Config


COMMANDS_ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    "run": ("convert", "process", "remove", "video", "photo", "picture", "image", "file", "batch", "infer", "apply"),
    "live": ("webcam", "camera", "virtual", "stream", "meeting", "zoom", "obs"),
    "cameras": ("devices", "list-cameras", "webcams"),
    "serve": ("web", "ui", "gui", "server", "page", "browser", "app", "http"),
    "demo": ("example", "try", "sample", "showcase"),
    "doctor": ("diagnose", "status", "health", "info", "env", "test", "debug"),
    "engines": ("backends", "gpus", "runtimes", "providers"),
    "build": ("compile", "export", "optimize", "tensorrt"),
    "bench": ("benchmark", "speed", "profile", "perf"),
    "verify": ("compare", "match", "identify", "recognise", "recognize"),
    "mask": ("synthesize", "wear", "add-mask", "draw"),
    "check": ("label", "metadata", "c2pa", "iptc", "inspect"),
    "completion": ("completions", "autocomplete", "shell"),
}
"""Each command to what people call it elsewhere."""

FLAGS_ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    "-o": ("--out", "--out-dir", "--output-dir", "--outdir", "--destination", "--dest", "--target", "--output-path"),
    "-y": ("--force", "--yes", "--replace", "--clobber", "--overwrite-output", "-f"),
    "--skip-existing": ("--resume", "--continue", "--no-clobber", "--skip", "-n"),
    "--device cuda": ("--gpu", "--cuda", "--nvidia", "--use-gpu"),
    "--device cpu": ("--cpu", "--no-gpu", "--no-cuda", "--use-cpu"),
    "--engine": ("--backend", "--provider", "--execution-provider", "--runtime", "--execution-providers"),
    "--precision fp16": ("--fp16", "--half", "--float16"),
    "--precision bf16": ("--bf16", "--bfloat16"),
    "--precision int8": ("--int8", "--quantize", "--quantized"),
    "--precision f32": ("--fp32", "--float32", "--full"),
    "--quality": ("--crf", "--cq", "--qp", "--output-video-quality", "--bitrate", "-crf"),
    "--picture-quality": ("--jpeg-quality", "--output-image-quality"),
    "--codec": ("--encoder", "--vcodec", "--video-codec", "--output-video-encoder", "-c:v", "-c", "--format"),
    "--codec ffv1": ("--lossless",),
    "--hardware-encoder": ("--nvenc", "--hwenc", "--hw-encoder"),
    "--hardware-decoder": ("--hwaccel", "--hwdec", "--hw-decoder"),
    "--start": ("--ss", "-ss", "--from", "--begin", "--trim-start", "--seek", "--trim-frame-start"),
    "--end": ("--to", "-to", "-t", "--until", "--duration", "--trim-end", "--stop", "--trim-frame-end"),
    "--frames": ("--max-frames", "--limit", "--first", "--num-frames", "--preview-frames"),
    "--detect-threshold": ("--confidence", "--threshold", "--score", "--conf", "--face-detector-score", "--min-score"),
    "--detect-size": ("--face-size", "--detector-size", "--face-detector-size", "--scale", "--resolution"),
    "--detect-every": ("--skip-frames", "--stride", "--every", "--interval", "--frame-skip"),
    "--only": ("--person", "--reference", "--include", "--who", "--target-face"),
    "--except": ("--exclude", "--ignore", "--without", "--not"),
    "--identity": ("--people", "--recognise", "--recognize", "--reid", "--track"),
    "--set blend.feather-px=8": ("--feather", "--blur", "--face-mask-blur", "--softness"),
    "--set smooth.pace=0.05": ("--smooth", "--smoothing", "--stabilize", "--stabilise"),
    "--mark": ("--watermark", "--label", "--stamp"),
    "--recursive": ("--recurse", "-R", "--subfolders", "--subdirectories"),
    "--threads": ("--jobs", "--workers", "-j", "--execution-thread-count", "--num-threads", "--cores"),
    "-q": ("--silent", "--no-output", "--loglevel", "--log-level"),
    "-v": ("--debug", "--log"),
    "--progress none": ("--no-progress", "--no-bar"),
    "--progress json": ("--json-progress",),
    "--report": ("--json", "--log-file", "--output-json", "--summary"),
    "--config": ("--settings", "--conf-file", "--ini", "--settings-file"),
    "--help-all": ("--help-full", "--full-help", "--usage", "--man", "--advanced"),
    "--camera": ("--webcam", "--source", "--device-id", "--cam", "-i", "--input-device"),
    "--preview": ("--show", "--window", "--display"),
    "--virtual-camera": ("--vcam", "--output-camera", "--v4l2", "--obs"),
    "--size": ("--resolution", "--width", "--height", "--dimensions"),
    "--delay": ("--latency", "--sync"),
    "--open": ("--browser", "--launch", "--open-browser", "--inbrowser"),
    "--host": ("--bind", "--listen", "--address", "--server-name"),
    "--port": ("-p", "--server-port"),
    "--no-token": ("--no-auth", "--public", "--no-password"),
    "--only-enrolled": ("--enrolled-only",),
}
"""Each flag, with a value where that is what is meant, to what people call it elsewhere."""


def command_meant(word: str, known: Iterable[str]) -> str | None:
    """The command that `word` may have been meant for; None where nothing is near."""
    return _meant(word, COMMANDS_ELSEWHERE, set(known))


def flag_meant(flag: str, known: Iterable[str]) -> str | None:
    """The flag of `known` that `flag` may have been meant for, such as `--device cuda`; None where nothing is near."""
    known = set(known)
    meant = {means: names for means, names in FLAGS_ELSEWHERE.items() if means.split()[0] in known}
    return _meant(flag, meant, known)


def _meant(given: str, meanings: Mapping[str, tuple[str, ...]], known: set[str]) -> str | None:
    by_name = {name: means for means, names in meanings.items() for name in names if means.split()[0] in known}
    if given.lower() in by_name:
        return by_name[given.lower()]
    near = get_close_matches(given.lower().replace("_", "-"), [*sorted(known), *by_name], n=1, cutoff=0.7)
    return by_name.get(near[0], near[0]) if near else None


def looks_like_input(word: str) -> bool:
    """Whether a word of the command line is a file, a folder or a pattern rather than a command, which has no dot."""
    return word == "-" or "/" in word or bool(Path(word).suffix) or glob.has_magic(word) or Path(word).exists()


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 - it has no public name

FAILED, USAGE, INCOMPLETE, INTERRUPTED = 1, 2, 3, 130
"""Exit codes besides 0: an error of ours, wrong usage, an input of which not all could be read, Ctrl-C."""


class Parser(argparse.ArgumentParser):
    """A parser that keeps the line breaks of its texts, takes no abbreviated flags and says what may be meant.

    Its help shows the common flags, each in a line; `--help-all` shows every flag with all that there is to say.
    """

    def __init__(self, *, prog: str, description: str | None = None, epilog: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=30),
            allow_abbrev=False,
        )
        self.more = ""
        """What `--help-all` says at its end, besides."""
        self._common: tuple[str, ...] = ()

    prepare: Callable[[], None] | None = None
    """Adds the flags that take long to know, once, when the command is given."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 - as argparse has it
        """Parse as argparse does, prepared; what is unknown here is an error here, with what may be meant."""
        if self.prepare is not None:
            prepare, self.prepare = self.prepare, None
            prepare()
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(self._unknown(unknown[0]))
        return found, unknown

    def shorten(self, common: Iterable[str]) -> None:
        """Leave all flags but these out of `--help`, and say that `--help-all` has them."""
        self.add_argument("--help-all", action=_HelpAll, nargs=0, help="show every flag and all that it does")
        self._common = (*common, "help_all")

    def format_help(self) -> str:
        """The help; where `shorten` was called, on one screen."""
        if not self._common:
            return super().format_help()
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._actions, [])
        formatter.add_text(self.description)
        formatter.start_section("inputs and common flags")
        formatter.add_arguments(map(_short, sorted(filter(self._is_common, self._actions), key=self._rank)))
        formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def _is_common(self, action: argparse.Action) -> bool:
        return action.dest in self._common

    def _rank(self, action: argparse.Action) -> int:
        return self._common.index(action.dest)

    def format_help_all(self) -> str:
        """The help with every flag."""
        return super().format_help() + (f"\n{self.more}" if self.more else "")

    def error(self, message: str) -> NoReturn:
        """End with what is wrong and where to read on."""
        self.exit(USAGE, f"{self.prog}: {message}\n`{self.prog} --help` shows what is allowed.\n")

    def _unknown(self, word: str) -> str:
        flag = word.split("=")[0]
        if not flag.startswith("-"):
            return f"{word!r} is one argument too many"
        meant = flag_meant(flag, self._option_string_actions)
        return f"there is no flag {flag}" + (f"; did you mean {meant}?" if meant else "")


def _short(action: argparse.Action) -> argparse.Action:
    """An action as the short help shows it: without `--no-` and with the first clause of its help."""
    short = copy(action)
    short.option_strings = [name for name in action.option_strings if not name.startswith("--no-")]
    short.help = (action.help or "").split(";")[0]
    return short


class _HelpAll(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        assert isinstance(parser, Parser)  # noqa: S101 - only such parsers have the flag
        print(parser.format_help_all(), end="")
        parser.exit(0)


class Version(argparse.Action):
    """Look the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Say it and end."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"barefaced {version('barefaced')}")
        except PackageNotFoundError:
            print("barefaced, not installed (make setup installs it)")
        parser.exit(0)


def add(
    commands: Commands,
    name: str,
    command: Callable[[argparse.Namespace], int],
    *,
    summary: str,
    description: str,
    epilog: str | None = None,
) -> Parser:
    """A command with its help; `command` is what it does, and gives the exit code."""
    parser = commands.add_parser(name, help=summary, description=description, epilog=epilog)
    parser.set_defaults(command=command)
    return parser


def add_loudness(parser: argparse.ArgumentParser, *, default: object = 0) -> None:
    """Add the flags that every command has; `default` is what they have where they are not given."""
    group = parser.add_argument_group("messages")
    group.add_argument("-q", "--quiet", action="count", default=default, help="no progress and no summary, errors only")
    group.add_argument("-v", "--verbose", action="count", default=default, help="say more; twice: everything")
    group.add_argument(
        "--traceback", action="store_true", default=default, help="show where in the program an error came from"
    )


def at_least_one(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def add_config(parser: Parser) -> None:
    """Add the flag that names a file of settings."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE.toml",
        help="read settings from this file instead of your own config.toml; flags win over both",
    )


def settings_of(options: argparse.Namespace) -> Config:
    """The settings of a command: those of the user's file or of `--config`, and its flags over them."""
    path = options.config or _own_file()
    if path is not None and options.config is None:
        logging.getLogger("barefaced").info("settings are read from %s", path)
    from_file = values.read(path) if path else {}
    return values.build(from_file, flags.given(options))


def _own_file() -> Path | None:
    """The file of settings in the user's config directory; None where there is none."""
    path: Path = platformdirs.user_config_path("barefaced", appauthor=False) / "config.toml"
    return path if path.is_file() else None


def complain(error: BaseException) -> int:
    """Say what went wrong in a line on standard error; the exit code."""
    from pipeline.run.process import described

    print(f"barefaced: {described(error)}", file=sys.stderr)
    return FAILED
