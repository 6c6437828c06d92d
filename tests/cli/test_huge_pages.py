"""Large pages: asked for where that changes something, once, and never over what the user has set."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from kikuchinet.cli._huge_pages import ASKED, POLICY, TUNABLES, wanted

ON_REQUEST = "always [madvise] never\n"


@pytest.mark.parametrize(
    ("environment", "policy", "libc", "answer"),
    [
        ({}, ON_REQUEST, ("glibc", "2.35"), True),
        ({}, ON_REQUEST, ("glibc", "3.0"), True),
        ({}, ON_REQUEST, ("glibc", "2.34"), False),
        ({}, ON_REQUEST, ("musl", "2.36"), False),
        ({}, ON_REQUEST, ("", ""), False),
        ({}, ON_REQUEST, ("glibc", "2.x"), False),
        ({}, "[always] madvise never\n", ("glibc", "2.36"), False),
        ({}, "always madvise [never]\n", ("glibc", "2.36"), False),
        ({}, "", ("glibc", "2.36"), False),
        ({TUNABLES: "glibc.malloc.tcache_count=0"}, ON_REQUEST, ("glibc", "2.36"), False),
        ({TUNABLES: ""}, ON_REQUEST, ("glibc", "2.36"), False),
    ],
)
def test_where_it_is_wanted(
    environment: dict[str, str], policy: str, libc: tuple[str, str], answer: bool
) -> None:
    assert wanted(environment, policy, libc) is answer


def test_the_program_begins_anew_once_with_its_arguments() -> None:
    program = (
        "import os, sys; from kikuchinet.cli._huge_pages import restart_with_huge_pages;"
        "print('begun', flush=True); restart_with_huge_pages(); print(os.environ.get('GLIBC_TUNABLES'), *sys.argv[1:])"
    )
    environment = {name: value for name, value in os.environ.items() if name != TUNABLES}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, "a b", "--c"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    policy = POLICY.read_text() if POLICY.exists() else ""
    again = wanted(environment, policy, platform.libc_ver())
    assert done.stdout.splitlines() == ["begun"] * (1 + again) + [f"{ASKED if again else None} a b --c"]
