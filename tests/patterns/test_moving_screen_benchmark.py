"""benchmarks/moving_screen.py finds where the screen stood of patterns that were projected with it known."""

from __future__ import annotations

import kikuchipy as kp
import pytest
from orix.quaternion import Rotation

import kikuchinet as kn
from kikuchinet.diffraction import MasterPattern
from kikuchinet.patterns import preprocess

X, Y, Z, GROWN = 0.52, 0.2, 0.5, 1.25


def test_the_point_that_stays_and_the_magnification_are_found(benchmark_script):
    script = benchmark_script("moving_screen")
    signal = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    master = MasterPattern.from_kikuchipy(signal)
    near, far = (
        preprocess(
            kn.project(
                master,
                Rotation.from_euler([[20, 40, 60]], degrees=True),
                kn.Detector(shape=(script.SIDE, script.SIDE), pattern_center=(X, Y, z), convention="bruker"),
            ),
            size=(script.SIDE, script.SIDE),
        )[0]
        for z in (Z, GROWN * Z)
    )
    found, (x, y, grown) = script.registered(near, far)
    assert found > 0.9
    assert (x, y) == pytest.approx((X, Y), abs=0.01)
    assert grown == pytest.approx(GROWN, abs=0.01)
