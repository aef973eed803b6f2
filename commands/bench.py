"""`barefaced bench`."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.parsing import FAILED, add, add_loudness
from pipeline.settings import flags, manual

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.record import Document
    from commands.parsing import Commands, Parser

ALL = "all"
PAGE, RECORD = Path("bench.html"), "bench.json"
"""What all parts are written to where nothing else is said."""
WRITTEN = ("json", "html", "png", "markdown")


def add_bench(commands: Commands) -> None:
    """Add `bench` and the words that may follow it."""
    from benchmarks import parts

    parser = add(
        commands,
        "bench",
        partial(_measure, ALL),
        summary="measure how fast it is on this machine",
        description=manual.BENCH,
        epilog=manual.BENCH_EXAMPLES,
    )
    parser.usage = "barefaced bench [WHAT] [FLAG ...]"
    _add_written(parser)
    flags.add_flags(parser, flags.of_groups("engine"))
    words = parser.add_subparsers(title="what", metavar="WHAT", required=False, prog="barefaced bench")

    for name in parts.names():
        summary = parts.summary(name)
        short = summary[0].lower() + summary[1:].rstrip(".")
        word = add(words, name, partial(_measure, name), summary=short, description=summary)
        word.prepare = partial(_add_flags_of, name, word)
        _add_written(word)
        flags.add_flags(word, flags.of_groups("engine"))
    _add_show(words)
    _add_compare(words)
    for word in words.choices.values():
        add_loudness(word, default=argparse.SUPPRESS)


def _add_flags_of(part: str, word: Parser) -> None:
    from benchmarks import parts

    parts.part(part).add_flags(word.add_argument_group("what is measured"))


def _add_written(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is written")
    for flag, kind, metavar, meaning in (
        ("--json", str, "FILE", "every sample as JSON; - is standard output"),
        ("--html", Path, "FILE", "one page with figures and tables"),
        ("--png", Path, "DIR", "each figure as PNG, light and dark"),
        ("--markdown", str, "FILE", "the tables; into a document between its marks, or - for standard output"),
    ):
        group.add_argument(flag, type=kind, metavar=metavar, default=argparse.SUPPRESS, help=meaning)


def _add_show(words: Commands) -> None:
    summary = "a measurement that was kept: its tables, its page, its pictures"
    show = add(words, "show", _show, summary=summary, description=summary)
    show.add_argument("file", type=Path, metavar="FILE.json")
    _add_written(show)


def _add_compare(words: Commands) -> None:
    summary = "what changed between two measurements beyond what noise explains"
    page = add(words, "compare", _compare, summary=summary, description=summary)
    page.add_argument("files", nargs=2, type=Path, metavar="FILE.json")
    page.add_argument("--json", metavar="FILE", help="the changes as JSON; - is standard output")
    page.add_argument("--fail", action="store_true", help="exit code 1 when something got worse")
    page.add_argument("--everything", action="store_true", help="tell also what did not change")


def _measure(name: str, options: argparse.Namespace) -> int:
    from benchmarks import drawing, parts
    from training.needs import require

    written = {what: value for what, value in vars(options).items() if what in WRITTEN}
    if name == ALL and not written:
        written = {"html": PAGE, "json": RECORD}
    if "html" in written or "png" in written:
        require("a page or a picture", *drawing.PACKAGES, extra=parts.EXTRA)  # before anything is measured

    say, settings = _sayer(options), flags.given(options)
    if name == ALL:
        whole = parts.measure_all(settings, say)
    else:
        whole = parts.measure(name, parts.part(name).planned(settings, vars(options)), say)
    _write(whole, written, say)
    return 0


def _show(options: argparse.Namespace) -> int:
    from benchmarks import record

    written = {what: value for what, value in vars(options).items() if what in WRITTEN}
    _write(record.read(options.file), written or {"markdown": "-"}, _sayer(options))
    return 0


def _sayer(options: argparse.Namespace) -> Callable[[str], None]:
    def say(text: str) -> None:
        if not options.quiet:
            print(text, file=sys.stderr, flush=True)

    return say


def _write(whole: Document, written: dict[str, Any], say: Callable[[str], None]) -> None:
    from benchmarks import page
    from pipeline.run.report import write_json

    if "json" in written:
        write_json(whole, written["json"])
    if "html" in written:
        page.write_html(whole, written["html"])
        say(f"{written['html']} is the page")
    if "png" in written:
        say(f"{len(page.write_pngs(whole, written['png']))} pictures in {written['png']}")
    if "markdown" in written:
        page.write_markdown(page.markdown(whole), written["markdown"])


def _compare(options: argparse.Namespace) -> int:
    from benchmarks import page, record
    from pipeline.run.report import write_json

    before, after = (record.read(path) for path in options.files)
    changes = page.compared(before, after)
    if options.json != "-":
        for sentence in page.cautions(before, after):
            print(f"note: {sentence}")
        print(page.table(changes, everything=options.everything))
    if options.json:
        write_json([change.as_json() for change in changes], options.json)
    return FAILED if options.fail and page.worse(changes) else 0
