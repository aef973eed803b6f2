"""`barefaced bench`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.parsing import FAILED, add, at_least_one
from pipeline.errors import ConfigError
from pipeline.settings import flags, manual

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from benchmarks.record import Document
    from commands.parsing import Commands

ALL, SMOKE, SHOW, COMPARE = "all", "smoke", "show", "compare"
PARTS = ("pipeline", "engines", "live", "quality", "scale", "peers")
"""As `benchmarks.record.PARTS` has them, which is heavy to import; a test holds both equal."""
READING = {SHOW: 1, COMPARE: 2}
"""What measures nothing, and how many files it reads."""
MEANT_FOR = {
    "repeats": ("pipeline", "scale", "peers"),
    "size": ("pipeline", "live"),
    "frames": ("pipeline",),
    "minutes": ("live",),
    "pairs": ("quality",),
    "limit": ("quality",),
    "baseline_runs": ("quality",),
    "html": (ALL, *PARTS, SHOW),
    "png": (ALL, *PARTS, SHOW),
    "markdown": (ALL, *PARTS, SHOW),
    "fail": (COMPARE,),
    "everything": (COMPARE,),
}
"""Flags that not every word after `bench` takes."""
PAGE, RECORD = Path("bench.html"), "bench.json"
"""What all parts are written to where nothing else is said."""


def add_bench(commands: Commands) -> None:
    """Add `bench`."""
    parser = add(
        commands,
        "bench",
        _bench,
        summary="how fast it is on this machine",
        description=manual.BENCH,
        epilog=manual.BENCH_EXAMPLES,
    )
    parser.usage = "barefaced bench [WHAT] [FILE.json ...] [FLAG ...]"
    parser.add_argument(
        "what",
        nargs="?",
        default=ALL,
        choices=(ALL, *PARTS, SMOKE, SHOW, COMPARE),
        metavar="WHAT",
        help=f"one of {', '.join((*PARTS, SMOKE, SHOW, COMPARE))}; left out: all parts, about a quarter of an hour",
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.json", help="measurements, for show and compare")
    written = parser.add_argument_group("what is written")
    written.add_argument("--json", metavar="FILE", help="every sample as JSON; - is standard output")
    written.add_argument("--html", type=Path, metavar="FILE", help="one page with plots and tables")
    written.add_argument("--png", type=Path, metavar="DIR", help="each plot as PNG; a chromium draws them")
    written.add_argument(
        "--markdown", metavar="FILE", help="the tables; into a document between its marks, or - for standard output"
    )
    _add_measuring(parser.add_argument_group("what is measured"))
    judged = parser.add_argument_group("how measurements are compared")
    judged.add_argument("--fail", action="store_true", default=None, help="exit code 1 when something got worse")
    judged.add_argument("--everything", action="store_true", default=None, help="tell also what did not change")
    flags.add_flags(parser, flags.of_groups("engine"))


def _add_measuring(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--repeats", type=at_least_one, metavar="N", help="runs of each kind (default: 3; scale: 2)")
    group.add_argument("--size", action="append", metavar="WxH", help="only this size, may be given again for pipeline")
    group.add_argument(
        "--frames", type=at_least_one, metavar="N", help="length (default: 180; 10000 shows that memory stays flat)"
    )
    group.add_argument("--minutes", type=at_least_one, metavar="N", help="of the live run (default: 5)")
    group.add_argument("--pairs", type=Path, metavar="DIR", help="photos with true faces, as `evaluate generator` has")
    group.add_argument("--limit", type=at_least_one, metavar="N", help="only the first N of them")
    group.add_argument(
        "--baseline-runs", type=Path, metavar="DIR", help="what `evaluate generator --baselines` learned"
    )


def _bench(options: argparse.Namespace) -> int:
    _check(options)
    if options.what == COMPARE:
        return _compare(options)
    if options.what == SMOKE:
        return _smoke(options)
    from benchmarks import record

    whole = record.read(options.files[0]) if options.what == SHOW else _measured(options)
    _write(whole, options)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raise `ConfigError` for a flag without effect, or files too many or too few."""
    for flag, words in MEANT_FOR.items():
        if getattr(options, flag) is not None and options.what not in words:
            raise ConfigError(f"--{flag.replace('_', '-')} means nothing to `bench {options.what}`: leave it out")
    wanted = READING.get(options.what, 0)
    if len(options.files) != wanted:
        files = " ".join(["FILE.json"] * wanted) or "no file"
        raise ConfigError(f"`bench {options.what}` takes {files}, not {len(options.files)} files")
    if options.what == "live" and options.size and len(options.size) > 1:
        raise ConfigError("`bench live` measures one size: give --size once")


def _measured(options: argparse.Namespace) -> Document:
    settings, say = flags.given(options), _sayer(options)
    if options.what == ALL:
        from benchmarks import everything

        return everything.measure(settings, say=say)
    return _part(options, settings, say)


def _part(options: argparse.Namespace, settings: Mapping[str, object], say: Callable[[str], None]) -> Document:
    """One part by its plan, with what the flags say of it."""
    from benchmarks.parts import engines, live, peers, pipeline, quality, scale

    def given(**fields: object) -> dict[str, Any]:
        return {"settings": settings} | {name: value for name, value in fields.items() if value is not None}

    measured: dict[str, Callable[[], Document]] = {
        "pipeline": lambda: pipeline.measure(
            pipeline.Plan(**given(repeats=options.repeats, frames=options.frames, sizes=options.size)), say=say
        ),
        "engines": lambda: engines.measure(engines.Plan(**given()), say=say),
        "live": lambda: live.measure(
            live.Plan(**given(minutes=options.minutes, size=options.size and options.size[0])), say=say
        ),
        "quality": lambda: quality.measure(
            quality.Plan(**given(pairs=options.pairs, limit=options.limit, baseline_runs=options.baseline_runs)),
            say=say,
        ),
        "scale": lambda: scale.measure(scale.Plan(**given(repeats=options.repeats)), say=say),
        "peers": lambda: peers.measure(peers.Plan(**given(repeats=options.repeats)), say=say),
    }
    return measured[options.what]()


def _sayer(options: argparse.Namespace) -> Callable[[str], None]:
    def say(text: str) -> None:
        if not options.quiet:
            print(text, file=sys.stderr, flush=True)

    return say


def _write(whole: Document, options: argparse.Namespace) -> None:
    """To wherever the flags say; all parts, and nothing said, go to a page and its JSON."""
    from benchmarks import page, tables
    from pipeline.run.report import write_json

    nowhere = options.what == ALL and not any((options.json, options.html, options.png, options.markdown))
    html, record = (PAGE, RECORD) if nowhere else (options.html, options.json)
    say = _sayer(options)
    if record:
        write_json(whole, record)
    if html:
        page.write(whole, html)
        say(f"{html} is the page")
    if options.png:
        say(f"{len(page.write_pngs(whole, options.png))} pictures in {options.png}")
    if options.markdown or (options.what == SHOW and not html and not options.png):
        tables.write(whole, options.markdown or "-")


def _compare(options: argparse.Namespace) -> int:
    from benchmarks import compare, record
    from pipeline.run.report import write_json

    before, after = (record.read(path) for path in options.files)
    changes = compare.compared(before, after)
    if options.json != "-":
        for sentence in compare.cautions(before, after):
            print(f"note: {sentence}")
        print(compare.table(changes, everything=bool(options.everything)))
    if options.json:
        write_json([each.as_json() for each in changes], options.json)
    return FAILED if options.fail and compare.worse(changes) else 0


def _smoke(options: argparse.Namespace) -> int:
    from benchmarks.parts import smoke
    from pipeline.run.report import write_json

    measured = smoke.measure()
    if options.json != "-":
        print(smoke.table(measured, smoke.committed()))
    if options.json:
        write_json(measured, options.json)
    return 0
