"""EMsoft's nickel file that ships inside kikuchipy, and an exact solution to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import kikuchipy
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import linalg
from threadpoolctl import threadpool_limits

from kikuchinet.crystal import Crystal, Site
from kikuchinet.diffraction.bloch import BeamSelection
from kikuchinet.diffraction.potential import CrystalPotential


@pytest.fixture(scope="session", autouse=True)
def _one_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread, as `simulate` does: its threads get into the way of those over directions."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def emsoft_file() -> Path:
    """Return EMsoft 5.0's Monte Carlo and master pattern of Ni, 20 keV, 401 x 401."""
    folder = Path(kikuchipy.__file__).parent / "data" / "emsoft_ebsd_master_pattern"
    return folder / "ni_mc_mp_20kv_uint8_gzip_opts9.h5"


@pytest.fixture(scope="session")
def emsoft_nickel() -> Crystal:
    """Return the crystal as it stands in that file."""
    return Crystal(
        name="Ni",
        a_nm=0.35236,
        b_nm=0.35236,
        c_nm=0.35236,
        alpha_deg=90,
        beta_deg=90,
        gamma_deg=90,
        space_group=225,
        setting="F m -3 m",
        sites=(Site("Ni", (0.0, 0.0, 0.0), 1.0, 0.0035),),
    )


EigenSolver = Callable[
    [CrystalPotential, NDArray[np.float64], BeamSelection, NDArray[np.float64], float], NDArray[np.float64]
]


@pytest.fixture(scope="session")
def eigen_solution() -> EigenSolver:
    """Return a textbook Bloch-wave solver in float64: LAPACK's general eigenproblem, depth by depth.

    Written apart from the production code (Humphreys 1979, section 2): no Bethe perturbation, no exponentials, no tiles.
    """

    def solve(
        potential: CrystalPotential,
        directions: NDArray[np.float64],
        selection: BeamSelection,
        weights: NDArray[np.float64],
        step_nm: float,
    ) -> NDArray[np.float64]:
        k = 1.0 / potential.wavelength_nm
        result = []
        for direction in directions:
            wave_vector = -k * direction
            total = wave_vector + potential.g
            s = (k**2 - np.sum(total**2, axis=1)) / (2.0 * np.abs(total @ direction))
            u_g = np.abs(potential.at(potential.u, potential.hkl))
            limit = np.where(u_g > 1e-4, selection.cutoff * u_g / k, selection.forbidden_s_per_nm)
            taken = (np.abs(s) <= limit) & (np.abs(s) <= selection.strong * abs(potential.u_0) / k)
            taken[0] = True
            beams = potential.hkl[taken]
            difference = beams[:, None, :] - beams[None, :, :]
            matrix = potential.at(potential.u, difference)
            matrix[np.diag_indices(len(beams))] = 2.0 * k * s[taken] + 1j * potential.u_0.imag
            values, vectors = linalg.eig(matrix)
            excitation = linalg.solve(vectors, np.eye(len(beams))[:, 0])
            overlap = potential.at(potential.s, -difference)
            depths = np.arange(len(weights)) * step_nm
            waves = vectors @ (excitation[:, None] * np.exp(1j * np.pi / k * values[:, None] * depths))
            result.append(weights @ np.einsum("gz,gh,hz->z", waves.conj(), overlap, waves).real)
        return np.array(result)

    return solve


@pytest.fixture(scope="session")
def folded_solution() -> Callable[..., float]:
    """Return an eigen-solution in float64 with weak beams folded in (Löwdin 1951), for one direction."""

    def solve(
        potential: CrystalPotential,
        direction: NDArray[np.float64],
        selection: BeamSelection,
        weights: NDArray[np.float64],
        step_nm: float = 0.5,
        others: NDArray[np.float64] | None = None,
        among: bool = True,
    ) -> float:
        """Solve for one direction.

        `others` are directions whose strong beams are solved for as well, (n, 3). `among`: weak beams scatter into each
        other, once.
        """
        k = 1.0 / potential.wavelength_nm
        u_g = np.abs(potential.at(potential.u, potential.hkl))

        def near(normal: NDArray, times: float, cutoff: float) -> tuple[NDArray, NDArray]:
            total = -k * normal + potential.g
            s = (k**2 - np.sum(total**2, axis=1)) / (2.0 * np.abs(total @ normal))
            limit = np.where(u_g > 1e-4, cutoff * u_g / k, selection.forbidden_s_per_nm)
            return (np.abs(s) <= limit) & (np.abs(s) * k <= times * abs(potential.u_0)), s

        strong, s = near(direction, selection.strong, selection.cutoff)
        for other in [] if others is None else others:
            strong |= near(other, selection.strong, selection.cutoff)[0]
        weak = near(direction, selection.weak, selection.weak_cutoff or selection.cutoff)[0] & ~strong
        beams = potential.hkl[np.concatenate([np.flatnonzero(strong), np.flatnonzero(weak)])]
        n = strong.sum()
        difference = beams[:, None, :] - beams[None, :, :]
        whole = potential.at(potential.u, difference)
        overlap = potential.at(potential.s, -difference)
        detuning = 2.0 * k * s[weak] + 1j * potential.u_0.imag
        # Bounded as the amplitude of two coupled beams is.
        largest = np.max(np.abs(whole[n:, :n]) ** 2, axis=1, initial=0.0)
        inverse = detuning.conj() / (np.abs(detuning) ** 2 + 4.0 * largest)
        into_weak = whole[n:, :n].copy()
        if among:
            between = whole[n:, n:] - np.diag(np.diag(whole[n:, n:]))
            into_weak -= between @ (inverse[:, None] * whole[n:, :n])
        follow = np.concatenate([np.eye(n), -inverse[:, None] * into_weak])
        matrix = whole[:n, :n] + whole[:n, n:] @ follow[n:]
        matrix[np.diag_indices(n)] += 2.0 * k * s[strong] - potential.u_0.real
        values, vectors = linalg.eig(matrix)
        excited = vectors * linalg.solve(vectors, np.eye(n)[:, 0])
        depths = np.arange(len(weights)) * step_nm
        waves = follow @ excited @ np.exp(1j * np.pi / k * values[:, None] * depths)
        return float(weights @ np.einsum("gz,gh,hz->z", waves.conj(), overlap, waves).real)

    return solve
