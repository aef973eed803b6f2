"""`barefaced mask`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from commands.parsing import add
from commands.run import exit_code
from pipeline.settings import flags, manual, values
from training.needs import MaskKind

if TYPE_CHECKING:
    import argparse

    from commands.parsing import Commands
    from training.data.wear import Worn


def add_mask(commands: Commands) -> None:
    """Add `mask`."""
    parser = add(commands, "mask", _mask, summary="draw masks on bare faces", description=manual.MASK)
    parser.add_argument("input", type=Path, metavar="INPUT", help="a video or a picture of bare faces")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="the file to write")
    parser.add_argument(
        "--kind",
        choices=tuple(MaskKind),
        help="what all wear (default: each face another)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="other masks for another one (default: 0)")
    parser.add_argument("--alpha", type=Path, metavar="FILE", help="keep the truth: where mask is, .mkv or .png")
    flags.add_flags(parser, flags.of_groups("input", "output", "faces", "engine"))


def _mask(options: argparse.Namespace) -> int:
    settings = values.build(flags.given(options))
    from contextlib import ExitStack

    from pipeline.run import assemble, load
    from pipeline.run.batch import Job
    from pipeline.run.process import Interrupts, carry_out
    from pipeline.run.progress import Progress
    from training.data.mesh import mesh_network
    from training.data.wear import Dressed, Wear, alpha_file

    mesh_network()  # says what to install before anything is begun
    job, wearers = Job(options.input, options.output), Counter[int]()
    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        kept = options.alpha and alpha_file(options.alpha, still=job.still, overwrite=settings.output.overwrite)
        truth = stack.enter_context(kept) if kept else None

        def witness(worn: Worn) -> None:
            wearers.update(worn.places.keys())
            if truth is not None:
                truth.write(worn.alpha, worn.bare.time)

        wear = Wear(seed=options.seed, kind=MaskKind(options.kind) if options.kind else None)
        detector = stack.enter_context(load.detector(settings))
        work = assemble.worn(job, settings, detector, Dressed(wear, witness))
        watcher = Progress(interrupts, quiet=options.quiet > 0)
        ended = carry_out(job, work, watcher=watcher, engine="", hashes={})
        if ended.error is not None:
            raise ended.error
    for sentence in (*ended.report.missing, *ended.report.warnings):
        print(f"barefaced: {options.input}: {sentence}", file=sys.stderr)
    if not options.quiet:
        print(f"{options.output}: {len(wearers)} faces wear drawn masks, in {wearers.total()} pictures of them")
    return exit_code([ended], options)
