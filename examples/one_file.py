"""Take the masks off in one video or picture: `python one_file.py talk.mp4`."""

import sys

import barefaced


def main(path: str) -> None:
    """Write talk-barefaced.mp4 beside talk.mp4 and say what was done."""
    report = barefaced.remove(path, codec="hevc" if path.endswith(".mp4") else "auto")
    print(f"{report.output}: {report.summary}")


if __name__ == "__main__":
    main(sys.argv[1])
