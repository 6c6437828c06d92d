"""Hough indexing and the quality figures that come of it, against kikuchipy and known orientations."""

from __future__ import annotations

import kikuchipy
import numpy as np
import pytest
from orix.quaternion import Orientation, Rotation
from orix.quaternion.symmetry import Oh

from kikuchinet.crystal import crystals
from kikuchinet.errors import InputError
from kikuchinet.microscope import Camera, Detector
from kikuchinet.patterns.indexing import band_contrast, hough_indexing


@pytest.fixture(scope="module")
def nickel() -> kikuchipy.signals.EBSD:
    """Nine measured patterns, indexed and refined by kikuchipy's authors."""
    return kikuchipy.data.nickel_ebsd_small()


@pytest.fixture(scope="module")
def twins() -> tuple[np.ndarray, Rotation, Detector]:
    """Simulated nickel at a known place."""
    master = kikuchipy.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="upper")
    detector = Detector((120, 120), (0.5, 0.3, 0.55), sample_tilt_deg=70.0)
    rotations = Rotation.random(6)
    patterns = master.get_patterns(
        rotations,
        detector.to_kikuchipy(),
        energy=20,
        dtype_out="float32",
        compute=True,
        show_progressbar=False,
    )
    return np.asarray(patterns.data).reshape(-1, 120, 120), rotations, detector


def angles_deg(found: np.ndarray, true: Rotation) -> np.ndarray:
    pairs = zip(Orientation(found, symmetry=Oh), Orientation(true.data, symmetry=Oh), strict=True)
    return np.array([np.rad2deg(a.angle_with(b)[0]) for a, b in pairs])


def test_orientations_of_simulated_patterns_are_found(twins) -> None:
    images, rotations, detector = twins
    result = hough_indexing(images, crystals["Ni"], detector)
    assert (result.phase == 0).all()
    assert angles_deg(result.quaternions, rotations).max() < 2.0
    assert result.mad_deg.max() < 1.0
    assert result.matched.min() >= 5
    frame = result.to_frame()
    assert list(frame["mad_deg"]) == result.mad_deg.tolist()
    # One pattern centre a pattern, the same ones.
    each = hough_indexing(
        images, crystals["Ni"], detector, pattern_centers=np.tile(detector.pattern_center, (len(images), 1))
    )
    np.testing.assert_allclose(each.quaternions, result.quaternions, atol=1e-3)


def test_measured_nickel_is_indexed_as_by_kikuchipy(nickel) -> None:
    place = nickel.detector
    detector = Detector(
        (60, 60), tuple(place.pc_average), tilt_deg=place.tilt, sample_tilt_deg=place.sample_tilt
    )
    result = hough_indexing(
        nickel.data.reshape(-1, 60, 60),
        [crystals["Ni"]],
        detector,
        pattern_centers=place.pc.reshape(-1, 3),
    )
    good = result.phase == 0
    assert good.sum() >= 7
    reference = Rotation(nickel.xmap.rotations.data[good])
    assert np.median(angles_deg(result.quaternions[good], reference)) < 2.0
    assert np.nanmedian(result.mad_deg) < 1.5


def test_noise_lowers_every_figure(twins) -> None:
    images, _, detector = twins
    rng = np.random.default_rng(2)
    shot = [
        Camera(dose_electrons_per_px=dose, contrast=0.1).expose(images, rng)
        for dose in (20_000.0, 100.0, 10.0)
    ]
    contrast = [float(band_contrast(frames).mean()) for frames in shot]
    assert contrast[0] > contrast[1] > contrast[2] >= 0.0
    results = [hough_indexing(frames, crystals["Ni"], detector) for frames in shot]
    matched = [result.matched.mean() for result in results]
    assert matched[0] > matched[2]
    np.testing.assert_allclose(results[0].band_contrast, band_contrast(shot[0]))


def test_blank_patterns_have_no_contrast() -> None:
    blank = np.full((2, 60, 60), 7, dtype=np.uint8)
    assert (band_contrast(blank) == 0).all()


def test_what_cannot_be_indexed_is_refused() -> None:
    detector = Detector((60, 60), (0.5, 0.3, 0.55))
    image = np.random.default_rng(0).normal(size=(1, 60, 60))
    with pytest.raises(InputError, match="none was given"):
        hough_indexing(image, [], detector)
    with pytest.raises(InputError, match="the detector's is"):
        hough_indexing(image[:, :50], crystals["Ni"], detector)
    with pytest.raises(InputError, match="no patterns"):
        band_contrast(image[:0])
    with pytest.raises(InputError, match=r"\(1, 3\) is needed"):
        hough_indexing(image, crystals["Ni"], detector, pattern_centers=np.zeros((2, 3)))
