"""A loop over the pictures of a webcam as NumPy arrays: `python webcam.py`, ended by Ctrl-C.

For a virtual camera or a window, `barefaced live` does all of this and more.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

import barefaced


def pictures(camera: cv2.VideoCapture) -> Iterator[NDArray[np.uint8]]:
    """The camera's pictures in RGB; OpenCV gives BGR."""
    while True:
        there, bgr = camera.read()
        if not there:
            return
        yield np.ascontiguousarray(bgr[..., ::-1], dtype=np.uint8)


def main(camera: cv2.VideoCapture) -> int:
    """Take the mask off in every picture as it comes; how many there were."""
    count = 0
    with barefaced.Remover(fps=30) as remover:
        for rgb in pictures(camera):
            bare = remover.frame(rgb)  # (height, width, 3), the answer to this very picture
            count += 1
            print(f"\rpicture {count}, {bare.shape[1]}x{bare.shape[0]}", end="", flush=True)
    return count


if __name__ == "__main__":
    main(cv2.VideoCapture(0))
