"""Signals of kikuchipy and HyperSpy in, orix maps out."""

from __future__ import annotations

import hyperspy.api as hs
import kikuchipy as kp
import numpy as np
import pytest
from orix.crystal_map import CrystalMap

import kikuchinet as kn
from kikuchinet.errors import InputError
from kikuchinet.identification import identify_signal
from kikuchinet.identification.result import IdentificationResult
from kikuchinet.patterns.signals import signal_source


@pytest.fixture(scope="module")
def model(tiny_model):
    return kn.load_model(tiny_model)


@pytest.fixture(scope="module")
def nickel():
    return kp.data.nickel_ebsd_small()


def test_a_map_with_probabilities(model, nickel):
    before = nickel.data.copy()
    xmap = kn.identify(nickel, model)
    assert isinstance(xmap, CrystalMap)
    assert xmap.shape == (3, 3)
    np.testing.assert_array_equal(nickel.data, before)
    columns = [xmap.prop[f"probability_{group}"] for group in model.classes]
    np.testing.assert_allclose(np.sum(columns, axis=0), 1.0)
    np.testing.assert_allclose(xmap.prop["probability"], np.max(columns, axis=0))
    np.testing.assert_allclose(xmap.prop["crystal_system_probability"], 1.0)
    face_centred = xmap.prop["probability_225"] + xmap.prop["probability_227"]
    assert (xmap.prop["bravais_lattice_probability"] >= face_centred - 1e-9).all()
    np.testing.assert_allclose(xmap.dx, nickel.axes_manager["x"].scale)
    # The vendor's orientations are kept; the network has none of its own.
    np.testing.assert_allclose(xmap.rotations.data, nickel.xmap.rotations.data)
    result = kn.identify(kn.example_patterns(), model)
    assert isinstance(result, IdentificationResult)
    np.testing.assert_allclose(np.stack(columns, axis=1), result.identification.probabilities, atol=1e-5)
    groups = [xmap.phases[int(k)].space_group.number if k >= 0 else 0 for k in xmap.phase_id]
    assert groups == result.identification.space_groups.tolist()


def test_lazy_is_the_same(model, nickel):
    lazy = kn.identify(nickel.as_lazy(), model)
    eager = kn.identify(nickel, model)
    for name, values in eager.prop.items():
        np.testing.assert_allclose(lazy.prop[name], values, err_msg=name)


def test_one_pattern_a_line_and_plain_hyperspy(model, nickel):
    assert kn.identify(nickel.inav[1, 1], model).size == 1
    line = kn.identify(nickel.inav[:, 1], model)
    assert line.shape == (3,)
    assert "grain" not in line.prop
    plain = hs.signals.Signal2D(np.asarray(nickel.data))
    assert kn.identify(plain, model).shape == (3, 3)
    with pytest.raises(InputError, match="signal axes"):
        identify_signal(hs.signals.Signal1D(np.zeros((3, 4))), model)


def test_steps_unit_and_direction_of_lines(model, nickel):
    step = nickel.axes_manager["x"].scale
    for line in (nickel.inav[:, 1], nickel.inav[:, 1:2]):
        row = kn.identify(line, model)
        assert (row.shape, row.scan_unit) == ((3,), "um")
        np.testing.assert_allclose(row.x, step * np.arange(3))
    column = kn.identify(nickel.inav[1:2, :], model)
    assert (column.shape, column.scan_unit) == ((3,), "um")
    np.testing.assert_allclose(column.y, nickel.axes_manager["y"].scale * np.arange(3))


def test_a_signal_that_is_not_calibrated_has_no_step(model, nickel):
    plain = hs.signals.Signal2D(np.asarray(nickel.data))
    assert signal_source(plain).step is None
    made = kn.identify(plain, model)
    assert (made.scan_unit, made.dx, made.dy) == ("px", 1.0, 1.0)
    assert kn.identify(plain.inav[:, 0], model).scan_unit == "px"
