"""Memory in large pages where the system has them only for who asks.

A network's arrays are taken from the system and given back at every step, and each page of 4 KiB of them costs a fault: in
virtual machines that is the larger part of a training step. The C library asks for pages of 2 MiB instead if
``glibc.malloc.hugetlb=1`` is among its tunables (GNU C library 2.35 and later, "Memory Allocation Tunables"), which it
reads once, before the program begins. So the program is begun anew. `benchmarks/huge_pages.py` measures what it brings.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

TUNABLES = "GLIBC_TUNABLES"
ASKED = "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1"
"""The second, because the memory that the library keeps for single threads is not in large pages."""
POLICY = Path("/sys/kernel/mm/transparent_hugepage/enabled")
"""Of Linux: ``always [madvise] never``, the policy in force in brackets (kernel's documentation, "Transparent Hugepage
Support")."""


def wanted(environment: dict[str, str], policy: str, libc: tuple[str, str]) -> bool:
    """Return whether to begin anew.

    Parameters
    ----------
    environment
        The process's; one that sets tunables is left alone.
    policy
        Contents of `POLICY`; empty where there is no such file.
    libc
        Name and version of the C library, as `platform.libc_ver` tells them.
    """
    name, version = libc
    if name != "glibc" or TUNABLES in environment or "[madvise]" not in policy:
        return False
    numbers = version.split(".")[:2]
    return all(part.isdigit() for part in numbers) and tuple(map(int, numbers)) >= (2, 35)


def restart_with_huge_pages() -> None:
    """Begin the program anew, as the same process, with large pages, or return where that changes nothing."""
    try:
        policy = POLICY.read_text(encoding="ascii")
    except OSError:
        return
    if wanted(dict(os.environ), policy, platform.libc_ver()):
        os.environ[TUNABLES] = ASKED
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 (itself, with its own arguments)
