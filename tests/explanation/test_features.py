"""Zone axes, bands and HOLZ rings: against kikuchipy's geometrical simulation and against Bragg's law."""

from __future__ import annotations

import numpy as np
import pytest
from orix.quaternion import Rotation

import kikuchinet as kn
from kikuchinet.diffraction.electrons import wavelength_nm
from kikuchinet.explanation import PatternFeatures, find_bands, find_zone_axes, prepared_detector
from kikuchinet.patterns.preprocessing import crop_to_aspect


def test_bands_of_nickel_are_those_of_fcc() -> None:
    bands = find_bands(kn.crystals["Ni"])
    families = {tuple(sorted(np.abs(hkl).tolist())) for hkl in bands.hkl[:13]}
    assert families == {(1, 1, 1), (0, 0, 2), (0, 2, 2)}
    np.testing.assert_allclose(bands.spacing_nm[:4], kn.crystals["Ni"].a_nm / np.sqrt(3), rtol=1e-12)
    # One of each pair ±hkl, and no plane twice.
    planes = {tuple(h) for h in (bands.hkl // np.gcd.reduce(bands.hkl, axis=1)[:, None]).tolist()}
    assert len(planes) == len(bands.hkl)
    assert not any(tuple(-i for i in plane) in planes for plane in planes)


@pytest.mark.parametrize(
    ("name", "uvw", "translation"),
    [
        ("Ni", (1, 1, 0), 1 / np.sqrt(2)),  # half of the face diagonal
        ("Ni", (1, 0, 0), 1.0),
        ("Fe", (1, 1, 1), np.sqrt(3) / 2),  # half of the space diagonal
        ("Fe", (1, 1, 0), np.sqrt(2)),
        ("NiAl", (1, 1, 1), np.sqrt(3)),
    ],
)
def test_translations_along_zone_axes_follow_the_centring(
    name: str, uvw: tuple[int, int, int], translation: float
) -> None:
    crystal = kn.crystals[name]
    axes = find_zone_axes(crystal)
    at = int(np.flatnonzero((np.abs(np.sort(np.abs(axes.uvw), axis=1)) == sorted(uvw)).all(axis=1))[0])
    assert axes.translation_nm[at] == pytest.approx(translation * crystal.a_nm)


def test_rhombohedral_centring_counts() -> None:
    axes = find_zone_axes(kn.crystals["calcite"])
    crystal = kn.crystals["calcite"]
    lengths = np.linalg.norm(axes.uvw @ crystal.direct_matrix, axis=1)
    # [211] is three times a rhombohedral translation (obverse setting); [110] is none.
    repeats = dict(zip(map(tuple, axes.uvw.tolist()), (lengths / axes.translation_nm).round(9), strict=True))
    assert repeats.get((2, 1, 1), repeats.get((-2, -1, -1), 3.0)) == 3.0
    assert any(value == 3.0 for value in repeats.values())
    assert all(value in (1.0, 3.0) for value in repeats.values())


def test_positions_are_those_of_kikuchipy() -> None:
    import kikuchipy as kp
    from diffsims.crystallography import ReciprocalLatticeVector
    from orix.crystal_map import Phase

    crystal = kn.crystals["Ni"]
    detector = kn.Detector(shape=(60, 80), pattern_center=(0.45, 0.3, 0.6), tilt_deg=3.0, azimuthal_deg=2.0)
    rotation = Rotation.from_euler(np.deg2rad([20.0, 40.0, 70.0]))
    features = PatternFeatures.of(crystal, rotation, detector)
    from diffpy.structure import Atom, Lattice, Structure

    a = crystal.a_nm * 10
    phase = Phase(
        space_group=225,
        structure=Structure(atoms=[Atom("Ni", [0, 0, 0])], lattice=Lattice(a, a, a, 90, 90, 90)),
    )
    vectors = ReciprocalLatticeVector(phase, hkl=[[1, 1, 1], [2, 0, 0], [2, 2, 0]]).symmetrise()
    simulation = kp.simulations.KikuchiPatternSimulator(vectors).on_detector(
        detector.to_kikuchipy(), rotation
    )
    coordinates = np.squeeze(simulation.zone_axes_coordinates(0, coordinates="pixel"))
    theirs = coordinates[np.isfinite(coordinates).all(axis=1)]
    angles = features.angles_to_axes()
    axes = find_zone_axes(crystal).uvw
    checked = 0
    for uvw, angle in zip(axes.tolist(), angles, strict=True):
        if sorted(map(abs, uvw)) not in ([0, 0, 1], [0, 1, 1], [1, 1, 1]):
            continue
        row, column = np.unravel_index(int(angle.argmin()), angle.shape)
        if 0 < row < 59 and 0 < column < 79:
            nearest = np.abs(theirs - [column, row]).max(axis=1).min()
            assert nearest <= 1.0, uvw
            checked += 1
    assert checked >= 2


def test_holz_ring_is_the_envelope_of_the_lines_of_the_first_layer() -> None:
    # Bragg's law k·g = g²/2 for every g = H ẑ + G with any G in the plane; the nearest that any of their lines comes to
    # the axis, found by brute force, is the ring.
    axes = find_zone_axes(kn.crystals["Ni"])
    energy = 20.0
    k = 1.0 / wavelength_nm(energy)
    height = 1.0 / axes.translation_nm[0]
    nearest = np.pi
    for length in np.linspace(0.5, 60.0, 4000):
        # g lies at the height -H: k·g = k (G sin φ - H cos φ) must be (G² + H²)/2, solved for φ.
        phi = np.linspace(0.0, np.pi / 3, 2000)
        misfit = k * (length * np.sin(phi) - height * np.cos(phi)) - 0.5 * (length**2 + height**2)
        crossing = np.flatnonzero(np.diff(np.sign(misfit)))
        if crossing.size:
            nearest = min(nearest, phi[crossing[0]])
    assert axes.holz_angles(energy)[0] == pytest.approx(nearest, abs=2e-3)


def test_masks_hold_what_they_should() -> None:
    detector = kn.Detector(shape=(60, 60), pattern_center=(0.5, 0.5, 0.5))
    features = PatternFeatures.of(kn.crystals["Ni"], Rotation.random(1), detector)
    small, large = features.zone_axis_mask(1.0), features.zone_axis_mask(4.0)
    assert small.sum() < large.sum()
    assert (large | ~small).all()
    axis = features.angles_to_axes()[0]
    ring = features.holz_mask(width_deg=2.0, strongest=1)
    radius = find_zone_axes(kn.crystals["Ni"]).holz_angles(20.0)[0]
    assert (np.abs(axis[ring] - radius) <= np.deg2rad(1.0) + 1e-12).all()
    assert 0.0 < features.band_mask().mean() < 1.0


@pytest.mark.parametrize("shape", [(60, 80), (80, 60), (60, 60)])
def test_prepared_detector_looks_where_the_crop_looks(shape: tuple[int, int]) -> None:
    # A map of directions that is cropped as patterns are must agree with the detector of the crop.
    from kikuchinet.microscope import pixel_directions

    detector = kn.Detector(shape=shape, pattern_center=(0.45, 0.35, 0.6), tilt_deg=4.0)
    rotation = Rotation.from_euler(np.deg2rad([10.0, 20.0, 30.0]))
    cropped = crop_to_aspect(np.moveaxis(pixel_directions(rotation, detector), -1, 0), (60, 60))
    ours = pixel_directions(rotation, prepared_detector(detector, cropped.shape[1:]))
    np.testing.assert_allclose(ours, np.moveaxis(cropped, 0, -1), atol=1e-6)
