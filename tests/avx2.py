"""Runs Python as on a processor that has AVX2 and nothing newer: `python -m tests.avx2 -m cli bench pipeline`.

For x86-64 Linux with gcc and objdump. Settings such as `ONEDNN_MAX_CPU_ISA` reach one library of several, and what a
library finds out by itself then contradicts them. Here every library finds out the same: in a copy of the installed
native libraries the instruction CPUID is replaced by UD2, which is as long, and a preloaded handler answers in its
place, without AVX-512, AMX and VNNI. The copy is kept in the user's cache for as long as the environment is the same.

`python -m tests.avx2 --vnni -m cli bench pipeline` leaves the VNNI that processors with AVX2 alone may have (AVX-VNNI,
as laptops since 2021), where this processor has it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from platformdirs import user_cache_path

ROOT = Path(__file__).resolve().parent.parent
COPIED = re.compile(r"(openvino|onnxruntime|numpy|av|cv2|opencv_\w+)(\.libs)?")
"""The packages in site-packages whose libraries choose their code by the processor."""
PACKAGES = Path(sysconfig.get_path("purelib"))
CPUID, UD2 = b"\x0f\xa2", b"\x0f\x0b"
LEAVE_VNNI = "BAREFACED_LEAVE_VNNI"
"""The environment variable, set to anything, with which the handler leaves AVX-VNNI."""

HANDLER = r"""
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

static unsigned vnni;

static void answer(int number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    unsigned char *at = (unsigned char *)registers[REG_RIP];
    if (at[0] != 0x0f || at[1] != 0x0b) { signal(SIGILL, SIG_DFL); return; }

    unsigned leaf = registers[REG_RAX], part = registers[REG_RCX], a, b, c, d;
    __cpuid_count(leaf, part, a, b, c, d);
    if (leaf == 7 && part == 0) {  /* AVX-512, AMX, and the vector forms of GFNI, AES and PCLMULQDQ */
        b &= ~(1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31);
        c &= ~(1u << 1 | 1u << 6 | 1u << 8 | 1u << 9 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 14);
        d &= ~(1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25);
    }
    if (leaf == 7 && part == 1) {  /* VNNI unless it is left, bfloat16, IFMA, AMX-FP16; VNNI of other types, AVX10 */
        a &= ~(1u << 5 | 1u << 21 | 1u << 23 | (vnni ? 0 : 1u << 4));
        d &= ~(1u << 4 | 1u << 5 | 1u << 10 | 1u << 19);
    }
    if (leaf == 13 && part == 0) a &= ~(7u << 5 | 3u << 17);  /* their registers */

    registers[REG_RAX] = a; registers[REG_RBX] = b; registers[REG_RCX] = c; registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

__attribute__((constructor(101))) static void install(void) {
    struct sigaction action;
    vnni = getenv("BAREFACED_LEAVE_VNNI") != NULL;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = answer;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    sigaction(SIGILL, &action, 0);
}
"""


def compile_handler(folder: Path) -> Path:
    """Compile the library that answers in the place of CPUID."""
    library = folder / "handler.so"
    command = ["gcc", "-O2", "-shared", "-fPIC", "-xc", "-", "-o", str(library)]
    subprocess.run(command, input=HANDLER, text=True, check=True)
    return library


def replace_cpuid(library: Path) -> int:
    """Replace CPUID by UD2 in a library, and say how often. The same two bytes elsewhere stay."""
    content = bytearray(library.read_bytes())
    if CPUID not in content:
        return 0

    headers = subprocess.run(["objdump", "-h", str(library)], capture_output=True, text=True, check=True).stdout
    header = re.compile(r"^\s*\d+ \S+\s+([0-9a-f]+)\s+([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)", re.MULTILINE)
    sections = [[int(number, 16) for number in found.groups()] for found in header.finditer(headers)]

    # The listing of a large library is read line by line: it would not fit into memory.
    command = ["objdump", "-d", "--no-show-raw-insn", str(library)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listing:
        lines = listing.stdout or ()
        instructions = [found for line in lines if (found := re.match(r"\s*([0-9a-f]+):\s+cpuid", line))]
    for instruction in instructions:
        address = int(instruction[1], 16)
        _, begin, offset = next(section for section in sections if section[1] <= address < section[1] + section[0])
        place = offset + address - begin
        assert content[place : place + 2] == CPUID, (library, hex(address))
        content[place : place + 2] = UD2

    if instructions:
        library.write_bytes(content)
    return len(instructions)


def environment() -> Path:
    """A copy of the packages in which CPUID is replaced; making it takes minutes, once for their versions."""
    copied = sorted(path for path in PACKAGES.iterdir() if COPIED.fullmatch(path.name))
    versions = sorted(path.name for path in PACKAGES.glob("*.dist-info") if COPIED.match(path.name))
    folder = user_cache_path("barefaced") / "avx2" / hashlib.sha256("\n".join(versions).encode()).hexdigest()[:16]
    if folder.exists():
        return folder

    # It gets its name when it is complete: two runs may make it at the same time.
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    for path in copied:
        shutil.copytree(path, unfinished / "site" / path.name, symlinks=True)
    for library in sorted((unfinished / "site").rglob("*.so*")):
        if not library.is_symlink() and (count := replace_cpuid(library)):
            sys.stderr.write(f"{library.name}: {count} times\n")
    unfinished.rename(folder)
    return folder


def main(arguments: list[str]) -> int:
    """Run Python with these arguments in the copied environment."""
    folder = environment()
    path = [str(ROOT), str(folder / "site"), str(PACKAGES)]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    if arguments[:1] == ["--vnni"]:
        arguments, variables = arguments[1:], variables | {LEAVE_VNNI: "1"}

    python = Path(sys.executable).resolve()  # not the virtual environment, whose packages would come first
    with tempfile.TemporaryDirectory() as handlers:
        variables["LD_PRELOAD"] = str(compile_handler(Path(handlers)))
        return subprocess.run([python, *arguments], env=variables, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
