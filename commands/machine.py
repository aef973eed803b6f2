"""What is on this machine and is made for it: `barefaced demo`, `doctor`, `engines`, `build` and `completion`."""

from __future__ import annotations

import sys
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from commands.parsing import FAILED, INTERRUPTED, add
from engine.spec import Precision
from pipeline.rules import OneOf, Text, Whole
from pipeline.settings import flags, manual

if TYPE_CHECKING:
    import argparse

    from commands.parsing import Commands, Parser


CAPABILITIES = Text(r"[1-9][0-9]?\.[0-9](,[1-9][0-9]?\.[0-9])*", "numbers such as 8.6, with commas between")


def add_demo(commands: Commands) -> None:
    """Add `demo`."""
    parser = add(commands, "demo", _demo, summary="see it work on a free portrait", description=manual.DEMO)
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("demo"), metavar="DIR", help="where the results go (default: ./demo)"
    )
    flags.add_flags(parser, flags.of_groups("engine"))


def add_doctor(commands: Commands) -> None:
    """Add `doctor`."""
    parser = add(
        commands,
        "doctor",
        _doctor,
        summary="check what works on this machine, and how to get the rest",
        description=manual.DOCTOR,
    )
    parser.add_argument(
        "--cluster", metavar="ADDRESS", help="look at this Ray cluster too: whether it answers and its nodes are alike"
    )


def add_engines(commands: Commands) -> None:
    """Add `engines`."""
    parser = add(
        commands,
        "engines",
        _engines,
        summary="list what can run the networks on this machine",
        description=manual.ENGINES,
    )
    parser.add_argument("--json", metavar="FILE", help="write the list as JSON; - is standard output")


def add_build(commands: Commands) -> None:
    """Add `build`."""
    parser = add(
        commands,
        "build",
        _build,
        summary="compile the networks ahead of time",
        description=manual.BUILD,
        epilog=manual.BUILD_EXAMPLES,
    )

    parser.add_argument("--engine", required=True, metavar="NAME", help="what compiles: tensorrt or tensorrt_rtx")
    parser.add_argument(
        "--compute-capability",
        type=flags.parser_of("compute-capability", CAPABILITIES),
        metavar="N[,N]",
        help="of the GPUs to compile for, such as 7.5,8.6 (default: the GPU here)",
    )
    parser.add_argument(
        "--precision",
        type=flags.parser_of("precision", OneOf(tuple(Precision))),
        metavar="NAME",
        default="auto",
        help="number format to compile for (default: auto, which is fp16)",
    )

    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="where the files go (default: where `barefaced run` looks)"
    )
    parser.add_argument(
        "--time-limit",
        type=flags.parser_of("time-limit", Whole(1, 86400)),
        default=900,
        metavar="SECONDS",
        help="for each network (default: 900)",
    )
    parser.add_argument("--json", metavar="FILE", help="write what was built as JSON; - is standard output")


def _demo(options: argparse.Namespace) -> int:
    from pipeline.demo.show import show
    from pipeline.run.process import Interrupts
    from pipeline.run.progress import BatchProgress

    def say(text: str) -> None:
        if not options.quiet:
            print(f"{text} ...", file=sys.stderr, flush=True)

    with Interrupts() as interrupts:
        watcher = BatchProgress(interrupts, quiet=options.quiet > 0)
        shown = show(options.output, settings=flags.given(options), watcher=watcher, say=say)
    print(shown.text)
    return INTERRUPTED if shown.report.interrupted else 0


def _doctor(options: argparse.Namespace) -> int:
    from pipeline.run.doctor import Condition, examine, examine_cluster

    broken = 0
    for finding in chain(examine(), examine_cluster(options.cluster) if options.cluster else ()):
        broken += finding.state is Condition.BROKEN
        print(f"{finding.state.value}  {finding.subject:<20} {finding.says}", flush=True)
    print(f"\n{broken} things that `barefaced run` needs are not here" if broken else "\nall that a run needs is here")
    return FAILED if broken else 0


def _engines(options: argparse.Namespace) -> int:
    from pipeline.run.doctor import try_backends
    from pipeline.run.report import write_json

    found = try_backends()
    if options.json != "-":
        for backend in found.tried:
            print(f"{'ok' if backend.available else '--'}  {backend.name:<14} {backend.says}")
        print(f"auto takes {found.auto}" if found.auto else "auto finds none that works: barefaced doctor says more")
    if options.json:
        write_json(found.as_json(), options.json)
    return 0 if found.auto else FAILED


def _build(options: argparse.Namespace) -> int:
    from engine import building, models
    from pipeline.detectors import DEFAULT, detector_file
    from pipeline.run.report import write_json

    given, precision = options.compute_capability, Precision(options.precision)
    names, finder = models.names(), [detector_file(DEFAULT).network()]
    if precision is Precision.INT8:  # those that have no version in int8 are run in auto's precision, and built for it
        names, finder = tuple(filter(models.has_int8, names)) or names, []
    ours = [models.shipped(name, precision=precision) for name in names]
    built = []
    for engine_file in building.build_all(
        options.engine,
        [*finder, *ours],
        options.output,
        precision=precision,
        capabilities=building.capabilities_of(given) if given else (),
        time_limit_seconds=options.time_limit,
    ):
        built.append(engine_file)
        if options.json != "-":
            cards = ", ".join(engine_file.capabilities)
            print(f"{engine_file.network}: {engine_file.file}, {engine_file.bytes} bytes, for {cards}", flush=True)
    if options.json:
        write_json([engine_file.as_json() for engine_file in built], options.json)
    return 0


SHELLS = ("bash", "zsh", "fish", "tcsh")


def add_completion(commands: Commands, whole: Parser) -> None:
    """Add `completion`, which completes what `whole` parses."""
    parser = add(
        commands,
        "completion",
        partial(_completion, whole),
        summary="let the Tab key complete commands and flags",
        description=manual.COMPLETION,
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"one of {', '.join(SHELLS)}")


def _completion(whole: Parser, options: argparse.Namespace) -> int:
    import shtab

    print(shtab.complete(whole, options.shell))
    return 0
