"""The imports of the architecture point one way; this walks them and holds the arrows."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("barefaced", "commands", "pipeline", "engine", "training", "benchmarks")
FORBIDDEN_NAMES = {"utils", "helpers", "common", "core", "manager"}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in [ROOT / "cli.py", *(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))]
}
ASSEMBLERS = {
    "barefaced.removal", "commands.evaluate",
    "pipeline.run.process", "pipeline.run.chunks", "pipeline.run.resume", "pipeline.live.live", "benchmarks.child",
}  # fmt: skip
"""Who may import `pipeline.run.assemble` when the program runs: those that begin a run."""
LOADERS = {
    "commands.run", "commands.live", "commands.evaluate", "commands.enroll", "commands.identity",
    "barefaced.enrolment", "pipeline.web.faces", "barefaced.removal", "pipeline.demo.show",
    "training.evaluation.product", "benchmarks.child", "benchmarks.parts.cores", "benchmarks.parts.smoke",
}  # fmt: skip
"""Who may load networks: commands, and what measures as a command does."""
STAGES = (
    "pipeline.video.decode", "pipeline.video.encode", "pipeline.video.stills", "pipeline.live.camera",
    "pipeline.find.detect", "pipeline.find.track", "pipeline.draw.segment", "pipeline.draw.inpaint",
    "pipeline.people.identify", "pipeline.blend.smooth", "pipeline.blend.blend", "pipeline.blend.paste",
)  # fmt: skip
STAGE_NAMES = {
    "Detect", "TrackFaces", "track_each_detection", "Segment", "Identify", "Inpaint", "Smooth", "Blend", "Mark",
}  # fmt: skip
SINGLE_STAGES = {
    "barefaced.removal": {"TrackFaces", "track_each_detection"},
    "benchmarks.parts.pipeline": {"Blend"},
    "training.enrol.gather": {"Detect", "TrackFaces", "track_each_detection", "Segment"},
    "training.evaluation.product": {"Detect", "track_each_detection", "Segment", "Inpaint", "Smooth", "Blend"},
}
"""Who runs or chooses stages outside a run of the pipeline, on photos or on frames in memory, and which."""
MEASURED = (
    "pipeline.errors", "pipeline.frames", "pipeline.geometry", "pipeline.rules", "pipeline.whole_file",
    "pipeline.settings", "pipeline.run.load", "pipeline.picture", "pipeline.video.opening", "pipeline.video.stills",
    "pipeline.detectors", "pipeline.recognisers", "pipeline.find", "pipeline.draw", "pipeline.blend", "pipeline.people",
)  # fmt: skip
"""What of the pipeline training may import; who may load networks is in `LOADERS`."""
ROOMS = {
    "pipeline.threads": (),
    "pipeline.picture": (),
    "pipeline.recognisers": (),
    "pipeline.video": ("picture",),
    "pipeline.detectors": ("picture",),
    "pipeline.find": ("picture", "detectors"),
    "pipeline.blend": ("picture",),
    "pipeline.draw": ("picture", "find"),
    "pipeline.people": ("picture", "video", "recognisers", "detectors", "find", "draw"),
    "pipeline.settings": ("video", "find", "draw", "blend", "people"),
    "pipeline.run": ("threads", "settings", "video", "detectors", "find", "draw", "blend", "people"),
    "pipeline.live": ("threads", "settings", "picture", "video", "detectors", "draw", "run"),
    "pipeline.demo": ("settings", "video", "run"),
    "pipeline.web": ("settings", "video", "people", "run", "live", "demo"),
    "training.networks": ("data",),
    "training.data": (),
    "training.loop": ("networks", "data"),
    "training.evaluation": ("networks", "data", "loop"),
    "training.enrol": ("networks", "data", "loop", "evaluation"),
    "training.identity": ("networks", "data", "evaluation"),
}
"""Which rooms of its own wing each room may import from, beside the modules at the wing's own root."""


@cache
def imported(path: Path, *, at_import: bool = False, typing: bool = True) -> frozenset[str]:
    """What a module imports, full names; with `at_import` only what importing it loads.

    Without `typing` what is imported for type checkers alone is left out.
    """
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update(
                f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in MODULES else node.module
                for alias in node.names
            )
        for child in ast.iter_child_nodes(node):
            deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing_only = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            if not ((at_import and deferred) or (typing_only and (at_import or not typing))):
                visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(found)


def imports_of(prefix: str) -> dict[str, frozenset[str]]:
    chosen = {name: imported(path) for name, path in MODULES.items() if name == prefix or name.startswith(prefix + ".")}
    assert chosen, f"there is no module {prefix}"
    return chosen


def within(name: str, packages: set[str] | tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def test_the_walk_sees_an_import_inside_a_function() -> None:
    assert "pipeline.run.load" in imported(MODULES["commands.run"])
    assert "pipeline.run.load" not in imported(MODULES["commands.run"], at_import=True)


@pytest.mark.parametrize("package", ["pipeline", "engine"])
def test_running_needs_no_training_and_no_command_line(package: str) -> None:
    for name, imports in imports_of(package).items():
        assert not [
            other for other in imports if within(other, ("training", "cli", "commands", "benchmarks", "barefaced"))
        ], name


def test_only_the_torch_backends_need_torch_outside_training() -> None:
    """Nor does anybody else load their modules."""
    with_torch = ("engine.backends.torch", "engine.torch_", "pipeline.detectors.retinaface_resnet50")
    for package in ("pipeline", "engine", "benchmarks", "commands", "cli"):
        for name, imports in imports_of(package).items():
            if not name.startswith(with_torch):
                needed = [other for other in imports if within(other, ("torch", "torchvision"))]
                assert not needed + [other for other in imports if other.startswith(with_torch)], name


def test_an_engine_knows_nothing_of_faces_or_video() -> None:
    for name, imports in imports_of("engine").items():
        assert {other for other in imports if within(other, ("pipeline",))} <= {
            "pipeline.errors",
            "pipeline.whole_file",
        }, name
        assert not [other for other in imports if within(other, ("av", "cv2", "PIL"))], name


def test_only_the_virtual_camera_knows_pyvirtualcam() -> None:
    """It is GPL-2 and optional."""
    users = {name for name, path in MODULES.items() if "pyvirtualcam" in imported(path)}
    assert users == {"pipeline.live.sinks"}
    assert "pyvirtualcam" not in imported(MODULES["pipeline.live.sinks"], at_import=True)


def test_only_the_command_serve_knows_the_page() -> None:
    """Its server and WebRTC are optional, and are imported only when it runs."""
    users = {name for name in MODULES for other in imported(MODULES[name]) if within(other, ("pipeline.web",))}
    assert {name for name in users if not within(name, ("pipeline.web",))} == {"commands.live"}
    assert not [
        other for other in imported(MODULES["commands.live"], at_import=True) if within(other, ("pipeline.web",))
    ]
    for name, path in MODULES.items():
        if not within(name, ("pipeline.web",)):
            assert not [other for other in imported(path) if within(other, ("aiohttp", "aiortc"))], name


@pytest.mark.parametrize("name", ["pipeline.threads.channel", "pipeline.threads.runner", "pipeline.threads.worker"])
def test_the_runner_knows_nothing_of_video(name: str) -> None:
    for other in imported(MODULES[name]):
        assert other.split(".")[0] in sys.stdlib_module_names or other in (
            "pipeline.threads.channel",
            "pipeline.threads.worker",
        ), other


@pytest.mark.parametrize(
    ("module", "users"),
    [("pipeline.run.assemble", ASSEMBLERS), ("pipeline.run.load", LOADERS)],
    ids=["assemble", "load"],
)
def test_only_those_that_begin_a_run_assemble_it_and_load_networks(module: str, users: set[str]) -> None:
    found = {name for name, path in MODULES.items() if module in imported(path, typing=False)}
    assert found == users


def test_stages_know_neither_config_nor_the_commands() -> None:
    above = {"pipeline.settings", "pipeline.run", "pipeline.live.live", "pipeline.web", "pipeline.demo"}
    for name in STAGES:
        seen, waiting = set(), {name}
        while waiting:
            module = waiting.pop()
            seen.add(module)
            waiting |= {other for other in imported(MODULES[module]) if other in MODULES} - seen
        assert not [other for other in seen if within(other, tuple(above))], name


def test_training_takes_from_the_pipeline_what_it_measures() -> None:
    """It begins no run, and neither decodes nor encodes videos by the pipeline."""
    for name, imports in imports_of("training").items():
        taken = {other for other in imports if within(other, ("pipeline",))} - {"pipeline.run"}
        assert not [other for other in taken if not within(other, MEASURED)], name


def test_who_runs_single_stages_outside_a_run_is_listed() -> None:
    """Elsewhere what is measured is a run, put together by `pipeline.run.assemble`."""
    found = {
        name: stages
        for name, path in MODULES.items()
        if not within(name, ("pipeline",)) and (stages := _stages_taken(path))
    }
    assert found == SINGLE_STAGES


def _stages_taken(path: Path) -> set[str]:
    """The stages that a module imports by name."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    names = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    return names & STAGE_NAMES


def test_a_room_imports_from_the_rooms_below_it_alone() -> None:
    """The rooms stand in `ROOMS` from the ground up, so that no two can need each other."""
    found = {".".join(name.split(".")[:2]) for name in MODULES if name.count(".") >= 2}
    assert {room for room in found if room.startswith(("pipeline.", "training."))} == set(ROOMS)
    for room, below in ROOMS.items():
        wing = room.split(".")[0]
        for name, imports in imports_of(room).items():
            others = {".".join(other.split(".")[:2]) for other in imports if within(other, tuple(ROOMS))} - {room}
            beside = {other for other in others if other.startswith(wing)}
            assert beside <= {f"{wing}.{other}" for other in below}, f"{name} imports from {sorted(beside)}"


def test_no_two_modules_import_each_other() -> None:
    needs = {name: imported(path, at_import=True) & set(MODULES) for name, path in MODULES.items()}
    free: set[str] = set()
    while loose := {name for name, needed in needs.items() if name not in free and needed - {name} <= free}:
        free |= loose
    assert not set(needs) - free, "these need each other"


def test_no_module_has_a_name_that_says_nothing() -> None:
    for name in MODULES:
        assert name.rpartition(".")[2] not in FORBIDDEN_NAMES, name
