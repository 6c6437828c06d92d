"""Vendors' orientation files, read back by orix and by another way of saying the same orientations."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from orix import io
from orix.quaternion import Orientation, Rotation
from orix.vector import Miller

import kikuchinet as kn
from kikuchinet.crystal.orix_phase import orix_phase
from kikuchinet.identification import SourceAnswer
from kikuchinet.identification.extras import Orientations
from kikuchinet.identification.orientation_files import oxford_crystal_frame, save_ang, save_ctf
from kikuchinet.models import Identification
from kikuchinet.patterns import Geometry, PatternSource

SHAPE = (3, 4)


@pytest.fixture
def answer():
    rows, columns = np.divmod(np.arange(12), 4)
    source = PatternSource(
        "a\tscan",
        ["a\tscan"] * 12,
        lambda a, b: [],
        SHAPE,
        rows,
        columns,
        step=(0.5, 0.25),
        geometry=Geometry(np.array([[0.5, 0.3, 0.6]]), energy_kev=15.0),
    )
    said = Identification((225, 229), np.tile([0.7, 0.3], (12, 1)), np.full(12, 225), ("",) * 12)
    return SourceAnswer(source, said, np.linspace(0.1, 0.9, 12))


@pytest.fixture
def orientations():
    rng = np.random.default_rng(3)
    quaternions = rng.normal(size=(12, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    which = np.array([0, 0, 1, 1, -1, 0, 1, 1, 0, 2, 2, -1])
    quaternions[which < 0] = [1, 0, 0, 0]
    crystals = (kn.crystals["Ni"], kn.crystals["Ti"], kn.crystals["quartz"])
    return Orientations(crystals, which, quaternions, np.where(which < 0, np.nan, 0.6))


def load(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return io.load(str(path))


def test_ang(tmp_path, answer, orientations):
    save_ang(answer, orientations, tmp_path / "map.ang")
    loaded = load(tmp_path / "map.ang")
    assert loaded.shape == SHAPE
    np.testing.assert_allclose(loaded.x, answer.source.columns * 0.25)
    np.testing.assert_allclose(loaded.y, answer.source.rows * 0.5)
    np.testing.assert_array_equal(loaded.is_indexed, orientations.indexed)
    names = [loaded.phases[int(k)].name for k in loaded.phase_id[loaded.is_indexed]]
    expected = [orientations.crystals[k].name for k in orientations.crystal if k >= 0]
    assert names == expected
    np.testing.assert_allclose(
        loaded.phases["Ti"].structure.lattice.abcABG(), [2.951, 2.951, 4.684, 90, 90, 120], rtol=2e-3
    )
    turn = Rotation(orientations.quaternions[orientations.indexed]) * ~loaded[loaded.is_indexed].rotations
    assert np.degrees(turn.angle).max() < 0.01
    assert (loaded.prop["ci"][~loaded.is_indexed] == -1).all()


def test_ctf(tmp_path, answer, orientations):
    save_ctf(answer, orientations, tmp_path / "map.ctf")
    lines = (tmp_path / "map.ctf").read_bytes().decode("ascii").split("\r\n")
    assert lines[0] == "Channel Text File"
    assert {"JobMode\tGrid", "XCells\t4", "YCells\t3", "XStep\t0.25", "YStep\t0.5", "Phases\t3"} <= set(lines)
    assert all(len(line.split("\t")) == 11 for line in lines[-13:-1])
    assert "KV\t15" in "\n".join(lines)
    loaded = load(tmp_path / "map.ctf")
    assert loaded.shape == SHAPE
    np.testing.assert_allclose(loaded.x, answer.source.columns * 0.25)
    np.testing.assert_array_equal(loaded.is_indexed, orientations.indexed)
    assert [loaded.phases[k].name for k in (1, 2, 3)] == ["Ni", "Ti", "quartz"]
    # Laue class, by Channel 5's number, and space group; orix keeps the group only where the class is its point group.
    assert [line.split("\t")[3:5] for line in lines[13:16]] == [["11", "225"], ["9", "194"], ["7", "152"]]
    assert [loaded.phases[k].space_group.number for k in (1, 2)] == [225, 194]
    assert [loaded.phases[k].point_group.name for k in (1, 2, 3)] == ["m-3m", "6/mmm", "-3m"]
    assert (loaded.prop["error"][~loaded.is_indexed] == 3).all()


def test_ctf_has_oxfords_frames(tmp_path, answer, orientations):
    """Directions of the lattice lie where they lay: seen from the sample, turned by 90 degrees about its normal."""
    save_ctf(answer, orientations, tmp_path / "map.ctf")
    loaded = load(tmp_path / "map.ctf")
    # Oxford's x is kikuchipy's y, and its y is kikuchipy's -x.
    turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    for k in np.flatnonzero(orientations.indexed):
        crystal = orientations.crystals[orientations.crystal[k]]
        phase = orix_phase(crystal)
        ours = Orientation(orientations.quaternions[k])
        for uvw in ([1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 2, 3]):
            direction = Miller(uvw=uvw, phase=phase).data.reshape(3)
            seen = (~ours).to_matrix()[0] @ direction
            in_theirs = oxford_crystal_frame(crystal) @ direction
            theirs = (~loaded.rotations[k]).to_matrix()[0] @ in_theirs
            np.testing.assert_allclose(theirs, turn @ seen, atol=1e-5 * np.linalg.norm(seen))


def test_oxfords_crystal_frame():
    np.testing.assert_allclose(oxford_crystal_frame(kn.crystals["Ni"]), np.eye(3), atol=1e-12)
    hexagonal = oxford_crystal_frame(kn.crystals["Ti"])
    # a* lies 30 degrees from a, towards b.
    np.testing.assert_allclose(hexagonal[0], [np.sqrt(0.75), 0.5, 0.0], atol=1e-12)
    skew = next(c for c in kn.crystals.values() if c.symmetry.crystal_system == "triclinic")
    frame = oxford_crystal_frame(skew)
    np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(frame) == pytest.approx(1.0)
    np.testing.assert_allclose(np.cross(frame[2], skew.direct_matrix[2]), 0, atol=1e-12)
