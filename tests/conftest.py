"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# No window ever opens, and no test grabs more cores than the machine has for it.
os.environ["MPLBACKEND"] = "Agg"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Return the folder of measured patterns and references beside the repository; skip where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "patterns").is_dir():
        pytest.skip("the folder of measured patterns is not on this machine")
    return folder
