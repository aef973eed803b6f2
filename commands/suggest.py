"""What may have been meant by a flag or a command that does not exist: by meaning first, then by spelling."""

from __future__ import annotations

import glob
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COMMANDS: Mapping[str, tuple[str, ...]] = {
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

FLAGS: Mapping[str, tuple[str, ...]] = {
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
    return _meant(word, COMMANDS, set(known))


def flag_meant(flag: str, known: Iterable[str]) -> str | None:
    """The flag of `known` that `flag` may have been meant for, such as `--device cuda`; None where nothing is near."""
    known = set(known)
    meant = {means: names for means, names in FLAGS.items() if means.split()[0] in known}
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
