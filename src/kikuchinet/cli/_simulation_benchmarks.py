"""The simulator beside its peers: EMsoft's log, de-ebsd, LAPACK, and the machine's own matrix products."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kikuchinet.cli._benchmarks import Comparison, Missing, best_time, correlation
from kikuchinet.diffraction.bloch import BeamSelection
from kikuchinet.diffraction.potential import CrystalPotential

EMSOFT_FILE = "ni_mc_mp_20kv_uint8_gzip_opts9.h5"
"""EMsoft's Ni master pattern as it lies inside kikuchipy, with EMsoft's own log."""
DE_EBSD_DEFAULT = (8.0, 50.0, 100.0)
"""Bethe parameters that de-ebsd takes unless told otherwise."""


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _emsoft_path() -> Path:
    import kikuchipy

    return Path(kikuchipy.__file__).parent / "data" / "emsoft_ebsd_master_pattern" / EMSOFT_FILE


@cache
def _parity_nickel() -> tuple[float, NDArray[np.float32]]:
    """Shortest time in seconds, and the upper hemisphere, of Ni at EMsoft's settings, 401 x 401."""
    from kikuchinet.crystal import crystals
    from kikuchinet.diffraction import ElectronTransport, simulate

    transport = ElectronTransport.from_emsoft(_emsoft_path())
    made = []

    def run() -> None:
        made.append(simulate(crystals["Ni"], 20.0, half_width=200, preset="parity", transport=transport))

    return best_time(run), made[-1].upper


def emsoft_log() -> Comparison:
    """Ni at the settings of EMsoft's file in kikuchipy, against the time that EMsoft logged in it.

    EMsoft itself is not run: its time is from another machine, taken per thread.
    """
    import h5py

    from kikuchinet.diffraction import MasterPattern

    with h5py.File(_emsoft_path()) as file:
        seconds = float(file["EMheader/EBSDmaster/Duration"][0])
        threads = int(file["NMLparameters/EBSDMasterNameList/nthreads"][0])
    own, upper = _parity_nickel()
    return Comparison(
        "simulate",
        "EMsoft's logged time",
        1.0 / (own * _processors()),
        1.0 / (seconds * threads),
        "master patterns per second and thread",
        correlation(upper, MasterPattern.load(_emsoft_path()).upper),
        f"Ni, 401 x 401, preset parity, ours {own:.2f} s on {_processors()} processors, EMsoft {seconds:.2f} s on {threads} "
        "threads of another machine",
    )


def de_ebsd() -> Comparison | Missing:
    """The same, against de-ebsd at the same settings with the same depths, on this machine."""
    try:
        from de_ebsd.crystal.lattice import AtomSite, Crystal
        from de_ebsd.diffraction.bethe import BetheParameters
        from de_ebsd.sim.microscope import Microscope
        from de_ebsd.sim.montecarlo.depth import DepthDistribution
        from de_ebsd.sim.simulator import MasterPatternSimulator
    except ImportError as error:
        return Missing("simulate", "de-ebsd", f"not measured: pip install de-ebsd ({error})")
    import torch

    ours = 1.0 / _parity_nickel()[0]
    nickel = Crystal.from_parameters(
        a=0.35236, space_group=225, atoms=[AtomSite("Ni", (0.0, 0.0, 0.0), debye_waller=0.0035)]
    )
    simulator = MasterPatternSimulator(
        nickel,
        Microscope(energy=20e3),
        npx=200,
        dmin=0.05,
        bethe=BetheParameters(4.0, 8.0, 50.0),
        monte_carlo=DepthDistribution.from_emsoft(str(_emsoft_path())),
    )
    torch.set_num_threads(_processors())
    start = time.perf_counter()
    master = simulator.compute(device="cpu")
    seconds = time.perf_counter() - start
    theirs = np.asarray(master.data[-1, 0])
    return Comparison(
        "simulate",
        "de-ebsd",
        ours,
        1.0 / seconds,
        "master patterns per second",
        correlation(_parity_nickel()[1], theirs),
        f"Ni, 401 x 401, Bethe 4/8/50, d_min 0.05 nm, EMsoft's depths, {_processors()} processors; theirs {seconds:.1f} s",
    )


def eigensolver(name: str, count: int) -> Comparison:
    """One direction after another by LAPACK's general eigen-solver (zgeev), same beams, one thread each.

    Building the matrices is not counted against LAPACK.
    """
    from threadpoolctl import threadpool_limits

    from kikuchinet.crystal import crystals
    from kikuchinet.diffraction.bloch import exact_intensities, reflection_strengths
    from kikuchinet.diffraction.potential import crystal_potential

    selection = BeamSelection(strong=6.0, weak=6.0, cutoff=100.0, forbidden_s_per_nm=None)
    potential = crystal_potential(crystals[name], 20.0, 0.035)
    directions = np.random.default_rng(0).normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    weights, step = np.exp(-np.arange(80) * 0.5 / 9.0), 0.5
    strengths = reflection_strengths(potential, selection)
    problems = [_eigenproblem(potential, selection, strengths, direction) for direction in directions]
    made: list[NDArray[np.float64]] = []
    with threadpool_limits(1):
        start = time.perf_counter()
        theirs = np.array([_by_eigenvalues(*problem, weights, step) for problem in problems])
        seconds = time.perf_counter() - start
        own = best_time(
            lambda: made.append(
                exact_intensities(potential, directions, selection, weights, step, strengths)[0]
            )
        )
    beams = float(np.mean([len(problem[0]) for problem in problems]))
    return Comparison(
        "simulate",
        f"LAPACK zgeev, {name}",
        count / (own * _processors()),
        count / seconds,
        "directions per second and thread",
        correlation(made[-1], theirs),
        f"{name}, {count} directions, {beams:.0f} beams on average, the same for both; theirs once",
    )


def _eigenproblem(
    potential: CrystalPotential,
    selection: BeamSelection,
    strengths: NDArray[np.float64],
    direction: NDArray[np.float64],
) -> tuple[NDArray[np.complex128], NDArray[np.complex128], float]:
    """Dynamical matrix, source matrix and wavelength of one direction."""
    wavelength = potential.wavelength_nm
    along = -potential.g @ direction
    errors = -(2.0 * along / wavelength + np.sum(potential.g**2, axis=1)) / (2.0 * (1.0 / wavelength + along))
    taken = np.abs(errors) <= wavelength * np.minimum(
        selection.strong * abs(potential.u_0), selection.cutoff * strengths
    )
    taken[0] = True
    beams = potential.hkl[taken]
    difference = beams[:, None] - beams[None]
    matrix = potential.at(potential.u, difference)
    matrix[np.diag_indices(len(beams))] = 2.0 * errors[taken] / wavelength + 1j * potential.u_0.imag
    return matrix, potential.at(potential.s, -difference), wavelength


def _by_eigenvalues(
    matrix: NDArray[np.complex128],
    source: NDArray[np.complex128],
    wavelength: float,
    weights: NDArray[np.float64],
    step: float,
) -> float:
    from scipy import linalg

    values, vectors = linalg.eig(matrix)
    excitation = linalg.solve(vectors, np.eye(len(matrix))[:, 0])
    phases = np.exp(1j * np.pi * wavelength * step * np.outer(values, np.arange(len(weights))))
    waves = vectors @ (excitation[:, None] * phases)
    return float(np.real(weights @ np.sum(waves.conj() * (source @ waves), axis=0)))


def matrix_products(name: str) -> Comparison:
    """How far preset accurate is from the rate at which this machine multiplies large complex matrices."""
    from threadpoolctl import threadpool_limits

    from kikuchinet.crystal import crystals
    from kikuchinet.diffraction import ElectronTransport
    from kikuchinet.diffraction.energy import plan_energy
    from kikuchinet.diffraction.presets import PRESETS

    settings = replace(PRESETS["accurate"], energies=1)
    transport = ElectronTransport.simulate(crystals[name], energies=1, electrons=20_000)
    problem = plan_energy(crystals[name], transport, 0, 60, settings)
    operations = []

    def run() -> None:
        operations.append(problem.solve(None, lambda _: None).operations)

    with threadpool_limits(1):
        seconds = best_time(run, repeats=1)
    size = 1024
    square = np.random.default_rng(0).normal(size=(2, size, size)).astype(np.complex64)
    product = np.empty((size, size), np.complex64)
    with threadpool_limits(_processors()):
        multiply = best_time(lambda: np.dot(square[0], square[1], out=product))
    return Comparison(
        "simulate",
        "this machine's complex matrix product",
        8e-9 * operations[-1] / seconds,
        8e-9 * size**3 / multiply,
        "GFLOP/s",
        1.0,
        f"{name}, preset accurate, half-width 60: floating-point operations of its matrix products over its whole time, "
        f"against {size} x {size} complex64 in float32, {_processors()} processors",
    )
