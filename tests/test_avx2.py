"""A library that asks for the processor's features through CPUID is told of AVX2 and of nothing newer."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests import avx2

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or not shutil.which("gcc") or not shutil.which("objdump"),
    reason="needs x86-64 Linux with gcc and objdump",
)

ASKS = r"""
#include <cpuid.h>
const unsigned char text[] = {0x0f, 0xa2};  /* looks like CPUID, and is not */
unsigned features(void) { unsigned a, b, c, d; __cpuid_count(7, 0, a, b, c, d); return b; }
unsigned others(void) { unsigned a, b, c, d; __cpuid_count(7, 1, a, b, c, d); return a; }
"""
SAYS = (
    "import ctypes; library = ctypes.CDLL({path!r}); library.features.restype = ctypes.c_uint32\n"
    "print(library.features(), library.others(), bytes((ctypes.c_char * 2).in_dll(library, 'text')).hex())"
)
FSGSBASE, AVX2, AVX512F = 1, 1 << 5, 1 << 16
AVX_VNNI = 1 << 4


def test_what_is_newer_than_avx2_is_hidden_and_nothing_else(tmp_path: Path) -> None:
    library = tmp_path / "asks.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-xc", "-", "-o", str(library)], input=ASKS, text=True, check=True)
    command = [sys.executable, "-c", SAYS.format(path=str(library))]
    before, others, text = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert avx2.replace_cpuid(library) == 2
    preloaded = {"LD_PRELOAD": str(avx2.compile_handler(tmp_path))}
    after, without, same = subprocess.run(
        command, env=preloaded, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not int(after) & AVX512F
    assert int(after) & (FSGSBASE | AVX2) == int(before) & (FSGSBASE | AVX2)
    assert not int(without) & AVX_VNNI
    assert text == same == "0fa2"

    asked = preloaded | {avx2.LEAVE_VNNI: "1"}
    _, left, _ = subprocess.run(command, env=asked, capture_output=True, text=True, check=True).stdout.split()
    assert int(left) & AVX_VNNI == int(others) & AVX_VNNI
