"""The machines of a Ray cluster: what connects to them, what is asked of them, and the worker that computes on them."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import os
import socket
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from pipeline.errors import BarefacedError, ConfigError, how_to_install
from pipeline.run import chunks
from pipeline.run.resume import program_facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.run.chunks import Chunk
    from pipeline.settings.config import Config
    from pipeline.video.pieces import Slice

INSTALL = how_to_install("cluster")
"""How to get what a cluster needs."""

CORES_PER_WORKER = 2
"""The stages of a run and OpenVINO's threads share this many cores without waiting much for each other."""

ANSWER_SECONDS = 120
"""How long a node may take to start a process and import barefaced."""


def missing() -> str | None:
    """The reason why no cluster can be used here, with the cure, or None. Imports nothing heavy."""
    return None if importlib.util.find_spec("ray") else f"--cluster needs ray: {INSTALL}"


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect to the cluster at `address`, or start one on this machine for `auto`. Raises `ConfigError`."""
    reason = missing()
    if reason is not None:
        raise ConfigError(reason)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    try:
        ray.init(
            address="local" if address == "auto" else address,  # what else runs here is somebody else's
            include_dashboard=False if address == "auto" else None,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"no Ray cluster answers at {address} ({error}): `ray start --head` starts one") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def room(resources: Mapping[str, float]) -> tuple[int, dict[str, float]]:
    """How many workers a cluster has room for, and what each asks for: a GPU where there are any, else some cores."""
    cores, graphics = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    if graphics:
        return graphics, {"num_gpus": 1}
    return max(1, cores // CORES_PER_WORKER), {"num_cpus": min(CORES_PER_WORKER, max(cores, 1))}


class ChunkWorker:
    """Computes chunks with networks that are loaded once. Ray makes an actor of it."""

    def __init__(self, config: Config, loader: str) -> None:
        """Load the networks. Raises what loading them raises."""
        module, _, function = loader.partition(":")
        self._stack = ExitStack()
        self._config = config
        load = getattr(importlib.import_module(module), function)
        self._networks = self._stack.enter_context(load(config))

    def facts(self) -> dict[str, object]:
        """What all workers must have in common, and which worker this is."""
        return {
            "common": program_facts(self._networks),
            "node": this_node(),
            "node id": node_id(),
            "process": os.getpid(),
            "hashes": self._networks.hashes,
            "engine": self._networks.description,
        }

    def compute(self, path: str, target: str, chunk: Chunk, part: Slice | None) -> bytes:
        """Compute a chunk of the recording `path`, or of its `part` where the file is not here."""
        finished = chunks.compute(Path(path), Path(target), chunk, self._config, self._networks, part=part)
        return finished.as_bytes()


def node_id() -> str:
    """What Ray calls the node that this process is on."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def this_node() -> str:
    """The name of this machine, and so much of Ray's that two nodes on one machine differ."""
    return f"{socket.gethostname()}/{node_id()[:6]}"


def check_alike(facts: Mapping[str, object], first: Mapping[str, object], node: str) -> None:
    """Raise `ConfigError` where a node has other programs or networks than the first one."""
    differ = [key for key, value in facts.items() if value != first.get(key)]
    if differ:
        raise ConfigError(
            f"node {node} has another {', '.join(differ)} than the other nodes: install the same version of barefaced "
            "and the same networks on all"
        )


@dataclass(frozen=True)
class ClusterNode:
    """What was found of one machine."""

    name: str
    resources: Mapping[str, float]
    facts: Mapping[str, object] | None
    """Its programs and networks; None where it could not say."""
    trouble: str | None
    """Why it could not say."""


def installed() -> tuple[str, dict[str, object]]:
    """The name of this machine, and which programs and networks are installed on it. Raises `CheckpointError`."""
    from engine.models import shipped
    from pipeline.detectors import DEFAULT, detector_file

    networks = {name: shipped(name).sha256 for name in ("segmenter", "generator", "figure")}
    return this_node(), {
        "version": importlib.metadata.version("barefaced"),
        "networks": networks | {"detector": detector_file(DEFAULT).network().sha256},
        "libraries": {name: list(version) for name, version in av.library_versions.items()},
    }


def ask_nodes(ray: Any) -> list[ClusterNode]:  # noqa: ANN401 - the module, which is optional
    """Ask every node of the cluster what is installed on it."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    living = [node for node in ray.nodes() if node["Alive"]]
    answers = [
        ray.remote(num_cpus=0)(installed)
        .options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False), max_retries=0)
        .remote()
        for node in living
    ]
    return [_heard(ray, node, answer) for node, answer in zip(living, answers, strict=True)]


def _heard(ray: Any, node: Mapping[str, Any], answer: object) -> ClusterNode:  # noqa: ANN401 - as above
    """What a node answered."""
    name, resources = f"{node['NodeManagerHostname']}/{node['NodeID'][:6]}", node["Resources"]
    try:
        _, facts = ray.get(answer, timeout=ANSWER_SECONDS)
    except ray.exceptions.GetTimeoutError:
        return ClusterNode(name, resources, None, f"does not answer within {ANSWER_SECONDS} s")
    except (ray.exceptions.RayError, ImportError, BarefacedError) as error:
        return ClusterNode(name, resources, None, f"can't run barefaced: {last_line(error)}")
    return ClusterNode(name, resources, facts, None)


def last_line(error: BaseException) -> str:
    """The last line of what a worker raised."""
    return ([line for line in str(error).splitlines() if line.strip()] or [type(error).__name__])[-1].strip()


def alike(nodes: Sequence[ClusterNode]) -> Iterator[tuple[ClusterNode, str | None]]:
    """Each node, and in a sentence why it can't take part; None where it can."""
    first = next((node.facts for node in nodes if node.facts is not None), None)
    for node in nodes:
        trouble = node.trouble
        try:
            if node.facts is not None and first is not None:
                check_alike(node.facts, first, node.name)
        except ConfigError as error:
            trouble = str(error)
        yield node, trouble
