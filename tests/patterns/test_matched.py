"""Simulated and measured nickel at the orientations that kikuchipy's authors indexed: the whole chain at once.

Only the first row of the scan is looked at; the rest is for scoring.
"""

from __future__ import annotations

import kikuchipy as kp
import numpy as np
import pytest

from kikuchinet.microscope import Camera, project_batch
from kikuchinet.patterns import example_patterns, preprocess


@pytest.fixture(scope="module")
def measured():
    return preprocess([example_patterns()[k] for k in range(3)])


def simulated(quaternions, **camera):
    signal = kp.data.nickel_ebsd_small()
    upper, lower = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both").data
    centers = signal.detector.pc.reshape(-1, 3)[:3]
    clean = project_batch(upper, lower, quaternions, centers, (128, 128))
    quiet = Camera(dose_electrons_per_px=1e6, psf_sigma_px=1.5, **camera)
    return preprocess(quiet.expose(clean, np.random.default_rng(0)))


def similarity(first, second):
    return np.array([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(first, second, strict=True)])


@pytest.fixture(scope="module")
def indexed():
    return kp.data.nickel_ebsd_small().xmap.rotations.data.reshape(9, 4)[:3]


def test_geometry_and_preprocessing_fit_measured_patterns(measured, indexed):
    right = similarity(measured, simulated(indexed, compression=0.4, excess_deficiency=0.0))
    wrong = [similarity(measured, simulated(np.random.default_rng(k).normal(size=(3, 4)))) for k in range(5)]
    assert right.min() > 0.35
    assert np.max(wrong) < 0.2


def test_asymmetry_of_bands_has_the_measured_sign(measured, indexed):
    below = similarity(measured, simulated(indexed, excess_deficiency=0.4, beam_center=(0.5, 1.2)))
    above = similarity(measured, simulated(indexed, excess_deficiency=0.4, beam_center=(0.5, -0.5)))
    assert (below > above + 0.02).all()


def test_compression_brings_the_grey_levels_closer(measured, indexed):
    plain = similarity(measured, simulated(indexed, compression=0.0, excess_deficiency=0.0))
    bent = similarity(measured, simulated(indexed, compression=0.4, excess_deficiency=0.0))
    assert (bent > plain + 0.01).all()
