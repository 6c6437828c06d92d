"""How long a run has taken so far, over all the times it was gone on with."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kikuchinet._files import atomic_path

HOURS_FILE = "hours.json"


@contextmanager
def counted(out: Path, *, resume: bool) -> Iterator[None]:
    """Add the time that is spent within to the file of a run's hours, however it ends."""
    before = spent(out) if resume else 0.0
    started = time.monotonic()
    try:
        yield
    finally:
        with atomic_path(out / HOURS_FILE) as temporary:
            temporary.write_text(json.dumps(before + (time.monotonic() - started) / 3600.0), encoding="utf-8")


def spent(out: Path) -> float:
    """Return the hours of a run so far."""
    path = out / HOURS_FILE
    return float(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else 0.0
