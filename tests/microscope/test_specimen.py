"""What the specimen does to a pattern, against what physics says it must do."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from kikuchinet import crystals
from kikuchinet.diffraction.transport import escape_statistics
from kikuchinet.microscope import Camera, grid, specimen


def test_background_peaks_where_it_should():
    background = specimen.diffuse_background((60, 80), (0.25, 0.8), 0.5, 0.0)
    row, column = np.unravel_index(background.argmax(), background.shape)
    assert background.mean() == pytest.approx(1.0, abs=1e-5)
    assert (row, column) == (47, 19) or (row, column) == (48, 20)


def test_vignette_loses_what_it_says():
    without = specimen.diffuse_background((101, 101), (0.5, 0.5), 50.0, 0.0)
    vignetted = specimen.diffuse_background((101, 101), (0.5, 0.5), 50.0, 0.4)
    ratio = vignetted / without
    edge = ratio[0, 50] / ratio[50, 50]
    assert edge == pytest.approx(0.6, abs=0.01)


def test_excess_above_deficiency_below():
    # A horizontal band, the diffuse source below it: bright upper edge, dark lower edge.
    y = np.arange(64, dtype=np.float32)[:, None]
    band = np.exp(-(((y - 32) / 4) ** 2)) * np.ones((1, 64), np.float32)
    signal = grid.standardise(band[None])
    added = specimen.excess_deficiency(signal, (0.5, 1.5), 0.5) - signal
    profile = added[0].mean(axis=1)
    assert 24 < profile.argmax() < 32 < profile.argmin() < 41
    assert added.std() == pytest.approx(0.5, rel=0.01)
    # The other way round where the source is above.
    turned = (specimen.excess_deficiency(signal, (0.5, -0.5), 0.5) - signal)[0].mean(axis=1)
    assert turned.argmin() < 32 < turned.argmax()
    np.testing.assert_array_equal(specimen.excess_deficiency(signal, (0.5, 1.5), 0.0), signal)


def test_compression_lowers_the_skew_and_keeps_the_order():
    rng = np.random.default_rng(1)
    signal = grid.standardise(rng.exponential(size=(2, 50, 50)).astype(np.float32))
    flat = specimen.compress(signal, 0.6)
    assert stats.skew(flat.ravel()) < stats.skew(signal.ravel()) - 0.5
    assert (np.argsort(flat[0].ravel()) == np.argsort(signal[0].ravel())).mean() > 0.99
    assert flat.std(axis=(1, 2)) == pytest.approx(1.0, abs=1e-3)


def test_uneven_field_is_smooth_and_repeats():
    fields = [specimen.uneven_field((64, 96), 0.2, np.random.default_rng(3)) for _ in range(2)]
    assert fields[0].tobytes() == fields[1].tobytes()
    assert fields[0].std() == pytest.approx(1.0, abs=1e-3)
    assert np.abs(np.diff(fields[0], axis=0)).max() < 0.5
    assert (
        np.abs(np.diff(specimen.uneven_field((64, 64), 0.02, np.random.default_rng(3)), axis=0)).max() > 0.5
    )


def test_a_wide_asymmetry_halves_a_band():
    """Over half a band's width the slope is bright on one half and dark on the other, not only at the edges."""
    y = np.arange(96, dtype=np.float32)[:, None]
    band = ((abs(y - 48) < 10) * np.ones((1, 96), np.float32)).astype(np.float32)
    signal = grid.standardise(band[None])
    profiles = {}
    for width in (0.01, 0.08):
        term = specimen.excess_deficiency(signal, (0.5, 1.5), 0.5, width) - signal
        profiles[width] = term[0].mean(axis=1)
        assert profiles[width][38] > 0.5 * profiles[width].max()
        assert profiles[width][58] < 0.5 * profiles[width].min()
    quarter = 43
    assert abs(profiles[0.01][quarter]) < 0.1 * profiles[0.01].max()
    assert profiles[0.08][quarter] > 0.3 * profiles[0.08].max()


def test_bands_along_the_beam_have_no_asymmetry():
    x = np.arange(65, dtype=np.float32)[None, :]
    band = (np.exp(-(((x - 32) / 4) ** 2)) * np.ones((65, 1), np.float32)).astype(np.float32)
    signal = grid.standardise(band[None])
    along = specimen.excess_deficiency(signal, (0.5, 1.5), 1.0) - signal
    # Its term is antisymmetric about a trace through the source, and the same everywhere along it.
    np.testing.assert_allclose(along[0], along[0][:, ::-1], atol=1e-4)


def test_overlap_weighs_two_grains():
    rng = np.random.default_rng(0)
    first, second = (scale * rng.standard_normal((3, 40, 40)).astype(np.float32) for scale in (5.0, 0.1))
    share = np.array([0.0, 0.3, 1.0])
    both = specimen.overlap(first, second, share)
    np.testing.assert_allclose(both[0], grid.standardise(first)[0], atol=1e-6)
    np.testing.assert_allclose(both[2], grid.standardise(second)[2], atol=1e-6)
    # Whatever their intensities, the shares are what they were to be.
    a, b = grid.standardise(first)[1].ravel(), grid.standardise(second)[1].ravel()
    found = np.linalg.lstsq(np.stack([a, b], axis=1), both[1].ravel(), rcond=None)[0]
    np.testing.assert_allclose(found, [0.7, 0.3], atol=1e-3)


def test_amorphous_layers_halve_the_contrast_again_and_again():
    assert specimen.transmitted_contrast(0.0) == 1.0
    five, ten = specimen.transmitted_contrast(5.0), specimen.transmitted_contrast(10.0)
    assert ten == pytest.approx(five**2)
    assert ten == pytest.approx(np.exp(-1))


def test_diffuse_energy_rises_downwards_as_the_monte_carlo_has_it():
    """The Monte Carlo of backscattering (nickel, 20 kV, 70°), on a screen in front of the sample."""
    run = escape_statistics(crystals["Ni"], 20.0, electrons=60_000, seed=1)
    x, _y, _z = run.direction.mean(axis=0)
    tilt = np.deg2rad(70)
    beam = np.array([np.sign(x) * np.sin(tilt), 0, -np.cos(tilt)])
    normal = np.array([np.sign(x) * np.cos(tilt), 0, np.sin(tilt)])
    towards = run.direction @ normal
    down = 0.35 + 0.7 * (run.direction @ beam) / np.where(towards > 0.2, towards, np.nan)
    edges = np.linspace(0, 1, 9)
    middle = 0.5 * (edges[1:] + edges[:-1])
    energy = np.array([run.energy_kev[(down > a) & (down < b)].mean() for a, b in pairwise(edges)]) / 20
    rise = np.polyfit(middle, energy, 1)[0]
    assert 0.13 < rise < 0.22
    ours = specimen.diffuse_energy((800, 1), rise)[:, 0].reshape(8, 100).mean(axis=1)
    np.testing.assert_allclose(ours, energy / energy.mean(), atol=0.02)
    # Electrons with most of their energy left, which carry the bands, are more of them where the mean is high.
    low_loss = np.array([(run.energy_kev[(down > a) & (down < b)] > 16).mean() for a, b in pairwise(edges)])
    contrast = specimen.energy_contrast(ours[:, None].astype(np.float32))[:, 0]
    np.testing.assert_allclose(contrast, low_loss / low_loss.mean(), atol=0.12)


def test_contrast_falls_off_around_its_centre():
    shape = (40, 60)
    lobe = specimen.contrast_lobe(shape, (0.25, 0.5), 0.3)
    assert lobe.mean() == pytest.approx(1, abs=1e-5)
    top = np.unravel_index(lobe.argmax(), shape)
    assert abs(top[0] - 19.5) <= 0.5
    assert abs(top[1] - 14.5) <= 0.5
    # 0.3 heights from the centre, one standard deviation: 12 px
    assert lobe[19, 14 + 12] / lobe[19, 14] == pytest.approx(np.exp(-0.5), abs=0.03)
    noiseless = Camera(contrast=0.05, dose_electrons_per_px=1e7, bits=16, compression=0, excess_deficiency=0)
    signal = np.random.default_rng(0).standard_normal((1, 80, 80)).astype(np.float32)
    around = replace(noiseless, contrast_center=(0.5, 0.0), contrast_width=0.4)
    image = around.expose(signal, np.random.default_rng(1))[0].astype(float)
    assert image[:20].std() > 4 * image[60:].std()
