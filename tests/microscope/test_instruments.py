"""Instruments against the files they are described by, and ranges around them."""

from __future__ import annotations

import kikuchipy as kp
import numpy as np
import pytest

from kikuchinet.datasets.geometry import GeometryRange
from kikuchinet.datasets.stream import StreamConfig
from kikuchinet.errors import InputError
from kikuchinet.microscope import INSTRUMENTS, instrument


def test_names_and_sources():
    assert instrument("Oxford Symmetry") is INSTRUMENTS["oxford_symmetry"]
    with pytest.raises(InputError, match="there are oxford_symmetry"):
        instrument("Leica")
    for name, each in INSTRUMENTS.items():
        assert each.name == name
        assert len(each.sources) == 8
        assert all(each.sources.values())
        assert each.binning_modes[0] == each.detector.shape
        for mode in each.binning_modes:
            assert each.in_mode(mode).shape == mode
    with pytest.raises(InputError, match="512 x 622"):
        instrument("oxford_symmetry").in_mode((100, 100))


def test_the_seed_instrument_is_that_of_its_file():
    """Oxford's header, turned into Bruker's convention by kikuchipy."""
    detector = instrument("oxford_symmetry").detector
    theirs = kp.detectors.EBSDDetector(
        shape=(1024, 1244),
        pc=(0.5345449851084132, 0.5471273736587182, 0.6142604241467944),
        convention="oxford",
    )
    np.testing.assert_allclose(detector.pattern_center, theirs.pc[0], atol=1e-8)
    assert detector.px_size_um * 1244 == pytest.approx(22869.26, abs=1)


def test_nordif_is_that_of_kikuchipys_nickel():
    measured = kp.data.nickel_ebsd_small().detector
    each = instrument("nordif_uf1100")
    np.testing.assert_allclose(
        each.detector.pattern_center, measured.pc.reshape(-1, 3).mean(axis=0), atol=1e-3
    )
    assert each.in_mode((60, 60)).binning == measured.binning


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_ranges_around_an_instrument_hold_it(name):
    place = instrument(name)
    ranges = GeometryRange.around(place, (128, 128))
    center = place.detector.binned((128, 128)).pattern_center
    rng = np.random.default_rng(0)
    drawn = ranges.pattern_centers(500, rng)
    assert (abs(drawn - center) <= 0.1 + 1e-9).all()
    np.testing.assert_allclose(drawn.mean(axis=0), center, atol=0.01)
    sample, detector, azimuth = ranges.tilts_deg(rng)
    assert abs(sample - 70) <= 2
    assert abs(detector - place.detector.tilt_deg) <= 2
    assert abs(azimuth) <= 2


def test_streams_stand_around_an_instrument():
    config = StreamConfig(instrument="edax_clarity")
    assert config.screens((60, 60)) == GeometryRange.around(instrument("edax_clarity"), (60, 60))
    assert StreamConfig().screens((60, 60)) == GeometryRange()
    with pytest.raises(InputError, match="unknown"):
        StreamConfig(instrument="hikari 9")
    with pytest.raises(InputError, match="either"):
        StreamConfig(instrument="edax_clarity", geometry=GeometryRange(pc_x=(0.5, 0.5)))
