"""The Hough transform: lines that were drawn are found where they were drawn."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kikuchinet.errors import InputError
from kikuchinet.patterns.hough import hough_transform, line_ends


@pytest.mark.parametrize(("theta", "rho"), [(60.0, 0.2), (130.0, -0.1), (10.0, 0.0), (95.0, 0.3)])
def test_a_line_is_found(theta: float, rho: float) -> None:
    rows, columns = 120, 160
    y, x = np.mgrid[:rows, :columns]
    x, y = x - 0.5 * (columns - 1), 0.5 * (rows - 1) - y
    distance = x * np.cos(np.deg2rad(theta)) + y * np.sin(np.deg2rad(theta)) - rho * rows
    found = hough_transform((np.abs(distance) < 3).astype(np.float32))
    assert found.bands[0, 0] == pytest.approx(theta, abs=1.5)
    assert found.bands[0, 1] == pytest.approx(rho, abs=0.02)
    assert found.bands[0, 2] == 1.0
    peak = np.unravel_index(int(found.values.argmax()), found.values.shape)
    assert found.theta_deg[peak[1]] == pytest.approx(theta, abs=2.5)
    assert found.rho[peak[0]] == pytest.approx(rho, abs=0.025)
    ends = line_ends(theta, rho, (rows, columns))
    for column, row in ends:
        across = (column - 0.5 * (columns - 1)) * np.cos(np.deg2rad(theta))
        down = (0.5 * (rows - 1) - row) * np.sin(np.deg2rad(theta))
        assert across + down == pytest.approx(rho * rows)
        assert -0.5 - 1e-9 <= column <= columns - 0.5 + 1e-9
        assert -0.5 - 1e-9 <= row <= rows - 0.5 + 1e-9


def test_a_line_beside_the_pattern_has_no_ends() -> None:
    assert np.isnan(line_ends(90.0, 0.6, (100, 100))).all()
    assert np.isnan(line_ends(45.0, 0.9, (100, 100))).all()


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(InputError, match="rows and columns"):
        hough_transform(np.zeros((2, 3, 4)))


FOLLOWED = """
import os
import numpy as np
from kikuchinet.patterns.hough import hough_transform
before = dict(os.environ)
hough_transform(np.eye(60, dtype=np.float32))
import pyebsdindex.band_detect
print({name for name in {*os.environ, *before} if "NUMBA" in name and os.environ.get(name) != before.get(name)})
"""


@pytest.mark.parametrize("chosen", [False, True])
def test_processes_started_later_keep_their_own_cache_of_compiled_code(chosen: bool, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    if chosen:
        environment["NUMBA_CACHE_DIR"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", FOLLOWED], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"
