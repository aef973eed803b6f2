"""Draw your own face where your mask is: `python own_face.py me.mp4 talk.mp4`."""

import sys
from pathlib import Path

import barefaced


def main(recording: str, clip: str) -> None:
    """Learn the face in me.mp4, which its person agreed to, and draw it in talk-barefaced.mp4."""
    file = Path(recording).with_suffix(".face")
    face = barefaced.Face.read(file) if file.exists() else barefaced.enroll(recording, file, agreed=True)
    print(f"{file}: {face.manifest.frames} pictures, {face.gain:+.2f} dB" if face.gain else f"{file}")

    report = barefaced.remove(clip, face=[str(file)])
    print(f"{report.output}: {report.summary}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
