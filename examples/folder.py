"""Take the masks off in every video of a folder, with progress: `python folder.py clips/ bare/`."""

import sys
from pathlib import Path

import barefaced


def show(progress: barefaced.Progress) -> None:
    """One line that is written over again, for every frame."""
    of = f" of {progress.expected}" if progress.expected else ""
    print(f"\r{progress.file.name}: {progress.frames}{of} frames", end="", flush=True)


def main(source: Path, target: Path) -> None:
    """The networks are compiled once, and a file that can't be read does not keep the next from being done."""
    target.mkdir(parents=True, exist_ok=True)
    with barefaced.Remover(overwrite=True) as remover:
        for path in sorted(source.glob("*.mp4")):
            try:
                report = remover.file(path, target / path.name, progress=show)
            except barefaced.BarefacedError as error:
                print(f"\n{path.name}: {error}", file=sys.stderr)
            else:
                print(f"\r{report.summary}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
