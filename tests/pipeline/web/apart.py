"""A network namespace of its own for a command: it has an address, as WebRTC needs, and no way out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

SET_UP = """\
set -e
ip link set lo up
ip link add inside type veth peer name other
ip addr add 10.77.0.1/24 dev inside
ip link set inside up
ip link set other up
ip route add default dev inside
exec "$@"
"""


def apart(*command: str) -> list[str]:
    """The command line that runs `command` there."""
    ours = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    return [*ours, "sh", "-c", SET_UP, "sh", *command]


def missing() -> str | None:
    """Why this can't be done here, or None."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    absent = [name for name in ("unshare", "ip") if shutil.which(name) is None]
    if absent:
        return f"{' and '.join(absent)} (apt-get install iproute2 util-linux)"
    tried = subprocess.run(apart("true"), capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        return f"no rights to make a network namespace ({tried.stderr.strip()})"
    return None
