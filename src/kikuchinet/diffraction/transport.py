"""Transport of the beam: with which energy, and from which depth, electrons leave the sample.

Energies, yields and directions come from a Monte Carlo run: screened Rutherford scattering off the crystal's own mixture
of atoms, continuous slowing down between events.

Depths need care. A pattern forms on the way from an electron's last *incoherent* event to the surface: elastic scattering
in between is what the Bloch waves describe. The waves' own absorption says how often incoherent events happen (thermal
diffuse and inelastic scattering: once in ξ'₀/2π on average, 9 nm in Ni at 20 keV), so electrons leave from the depth z
with a chance that falls as ``exp(-2π z / ξ'₀)``, and the source strength ``λ(z) exp(2π z / ξ'₀)`` of a master pattern is the
same at all depths. That law is the default. The Monte Carlo run counts something else: the distance from the last
*elastic* event, which is what EMsoft [3]_ uses for λ(z). It is half as long in Ni and a quarter in W, and takes elastic
scattering for incoherent: part of it is then counted twice. Longer distances than ξ'₀/2π are worse still, for the source
strength then *grows* with depth without limit, and what is left of the waves there is anomalously transmitted.
`benchmarks/escape_depth.py` holds both laws against measured patterns.

References
----------
.. [1] D. C. Joy, Monte Carlo Modeling for Electron Microscopy and Microanalysis, Oxford University Press, 1995,
   chapter 3: cross-section, screening and angular distribution.
.. [2] D. C. Joy, S. Luo, Scanning 11 (1989) 176: stopping power at low energies.
.. [3] P. Callahan, M. De Graef, Microsc. Microanal. 19 (2013) 1255: energy and depth weights of master patterns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numba as nb
import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal
from kikuchinet.diffraction.electrons import REST_ENERGY_KEV
from kikuchinet.diffraction.potential import absorption_length_nm
from kikuchinet.errors import InputError

_CHUNKS = 64
"""Independent random streams; fixed, so that a result does not depend on the number of threads."""
_DEPTH_STEP_NM = 0.5
_DEPTH_MAX_NM = 200.0
_ATTENUATION_LENGTHS = 7.0
"""Depth up to which the exponential law is tabulated; e^-7 = 1e-3 is left."""
_AVOGADRO_PER_NM3 = 6.02214076e2
"""Atoms per nm³ at 1 g/cm³ and 1 g/mol."""


DEFAULT_ELECTRONS = 100_000
"""Of a Monte Carlo run."""


@dataclass(frozen=True, eq=False)
class ElectronTransport:
    """Weights of energies and of depths for a master pattern.

    Attributes
    ----------
    energies_kev
        (m,) energies at which the pattern is computed.
    energy_weights
        (m,) their share, sum 1.
    depth_step_nm
        Step of the depth weights.
    depth_weights
        (m, n) weight of each depth ``k · depth_step_nm`` for each energy; each row sums to 1.
    yield_fraction
        Backscattered electrons per incident one; NaN where it is not known.
    beam_kev
        Energy of the incident beam.
    """

    energies_kev: NDArray[np.float64]
    energy_weights: NDArray[np.float64]
    depth_step_nm: float
    depth_weights: NDArray[np.float64]
    yield_fraction: float
    beam_kev: float

    @property
    def mean_depth_nm(self) -> float:
        """Mean depth, along the way out, from which electrons leave; over all energies."""
        depths = np.arange(self.depth_weights.shape[1]) * self.depth_step_nm
        return float(self.energy_weights @ (self.depth_weights @ depths))

    @classmethod
    def simulate(
        cls,
        crystal: Crystal,
        energy_kev: float = 20.0,
        *,
        sample_tilt_deg: float = 70.0,
        energies: int = 3,
        electrons: int = DEFAULT_ELECTRONS,
        depths: str = "absorption",
        seed: int = 0,
    ) -> ElectronTransport:
        """Follow electrons through a bulk sample of a crystal's composition and density.

        Parameters
        ----------
        crystal
            Composition and density; its orientation plays no part.
        energy_kev
            Energy of the beam.
        sample_tilt_deg
            Angle between the beam and the surface normal.
        energies
            Number of energies: the electrons that leave, sorted by energy, are cut into as many equal parts.
        electrons
            Number of electrons.
        depths
            ``"absorption"``: from the waves' absorption. ``"last elastic event"``: the Monte Carlo run's distances, as
            EMsoft. See the module's text.
        seed
            Seed of the random numbers.

        Raises
        ------
        kikuchinet.errors.InputError
            Energy, tilt or number of electrons make no sense, or there is no such law of depths.
        """
        if depths not in _DEPTH_LAWS:
            raise InputError(f"depths {depths!r}", f"no such law; there are {', '.join(_DEPTH_LAWS)}")
        paths = escape_statistics(
            crystal, energy_kev, sample_tilt_deg=sample_tilt_deg, electrons=electrons, seed=seed
        )
        # Electrons that lost most of their energy add a diffuse background, no pattern; EMsoft too starts at half.
        usable = paths.energy_kev > 0.5 * energy_kev
        if usable.sum() < 100 * energies:
            raise InputError(crystal.name, f"only {usable.sum()} of {electrons} electrons were backscattered")
        energy, path = paths.energy_kev[usable], paths.path_nm[usable]
        order = np.argsort(energy)[::-1]
        parts = np.array_split(order, energies)
        levels = [float(energy[part].mean()) for part in parts]
        if depths == "absorption":
            rows = _attenuated_depths([absorption_length_nm(crystal, level) for level in levels])
        else:
            rows = _counted_depths([path[part] for part in parts])
        return cls(
            energies_kev=np.array(levels),
            energy_weights=np.full(energies, 1.0 / energies),
            depth_step_nm=_DEPTH_STEP_NM,
            depth_weights=rows,
            yield_fraction=len(paths.energy_kev) / electrons,
            beam_kev=float(energy_kev),
        )

    @classmethod
    def from_emsoft(cls, path: str | Path) -> ElectronTransport:
        """Read energy bins and depth histograms from EMsoft's Monte Carlo data.

        EMsoft counts a depth in the bin below it, so bin k stands for the depth ``(k + 1) · step``.

        Raises
        ------
        kikuchinet.errors.InputError
            The file is missing, damaged, or holds no Monte Carlo data.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(path, "no such file")
        try:
            with h5py.File(path, "r") as file:
                counts = np.asarray(file["EMData/MCOpenCL/accum_z"], dtype=np.float64)
                names = file["NMLparameters/MCCLNameList"]
                beam, lowest, width, step = (
                    float(np.asarray(names[key]).ravel()[0])
                    for key in ("EkeV", "Ehistmin", "Ebinsize", "depthstep")
                )
        except (OSError, KeyError, ValueError) as error:
            raise InputError(path, f"no Monte Carlo data of EMsoft ({error})") from error
        histogram = counts.sum(axis=(0, 1)).T
        totals = histogram.sum(axis=1)
        if histogram.ndim != 2 or not (totals > 0).any():
            raise InputError(path, "EMsoft's depth histogram is empty")
        filled = totals > 0
        weights = np.zeros((int(filled.sum()), histogram.shape[1] + 1))
        weights[:, 1:] = histogram[filled] / totals[filled, None]
        return cls(
            energies_kev=(lowest + width * np.arange(len(totals)))[filled],
            energy_weights=totals[filled] / totals.sum(),
            depth_step_nm=step,
            depth_weights=weights,
            yield_fraction=float("nan"),
            beam_kev=beam,
        )


_DEPTH_LAWS = ("absorption", "last elastic event")


def _attenuated_depths(lengths_nm: list[float]) -> NDArray[np.float64]:
    """exp(-z/Λ) at the depths 0, h, 2h, ..., by the trapezoidal rule; one row for each Λ."""
    depth = np.arange(int(np.ceil(_ATTENUATION_LENGTHS * max(lengths_nm) / _DEPTH_STEP_NM)) + 1)
    rows = np.exp(-depth * _DEPTH_STEP_NM / np.array(lengths_nm)[:, None])
    rows[:, 0] *= 0.5
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


def _counted_depths(paths_nm: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Histograms of distances, one row each."""
    bins = int(round(_DEPTH_MAX_NM / _DEPTH_STEP_NM)) + 1
    rows = []
    for path in paths_nm:
        index = np.minimum(np.round(path / _DEPTH_STEP_NM).astype(int), bins - 1)
        rows.append(np.bincount(index, minlength=bins) / len(path))
    return np.array(rows)


@dataclass(frozen=True, eq=False)
class EscapeStatistics:
    """One entry per backscattered electron.

    Attributes
    ----------
    energy_kev
        Energy on leaving.
    depth_nm
        Depth of the last scattering event below the surface.
    path_nm
        Distance from there to the surface along the way out.
    direction
        (n, 3) direction of flight, z out of the sample along the surface normal, the beam in the x-z plane.
    """

    energy_kev: NDArray[np.float64]
    depth_nm: NDArray[np.float64]
    path_nm: NDArray[np.float64]
    direction: NDArray[np.float64]


def escape_statistics(
    crystal: Crystal,
    energy_kev: float = 20.0,
    *,
    sample_tilt_deg: float = 70.0,
    electrons: int = DEFAULT_ELECTRONS,
    seed: int = 0,
) -> EscapeStatistics:
    """Energies, depths and directions of the electrons that leave the sample again.

    Parameters
    ----------
    crystal, energy_kev, sample_tilt_deg, electrons, seed
        As in :meth:`ElectronTransport.simulate`.

    Returns
    -------
    EscapeStatistics
    """
    if not (np.isfinite(energy_kev) and 1.0 <= energy_kev <= 100.0):
        raise InputError(f"energy {energy_kev} keV", "must lie between 1 and 100 keV")
    if not 0.0 <= sample_tilt_deg < 90.0:
        raise InputError(f"sample tilt {sample_tilt_deg}°", "must lie between 0 and 90°")
    if electrons < 1:
        raise InputError(f"{electrons} electrons", "at least one is needed")
    atoms = crystal.atoms()
    z, inverse = np.unique(atoms.z, return_inverse=True)
    per_cell = np.bincount(inverse, weights=atoms.occupancy)
    density = per_cell / crystal.volume_nm3
    weight = np.array([_atomic_weight(int(number)) for number in z])
    seeds = np.random.SeedSequence(seed).generate_state(_CHUNKS)
    counts = np.full(_CHUNKS, electrons // _CHUNKS)
    counts[: electrons % _CHUNKS] += 1
    starts = np.concatenate([[0], np.cumsum(counts)])
    out = np.full((electrons, 6), np.nan)
    _trace(
        seeds.astype(np.int64),
        starts,
        z.astype(np.float64),
        density,
        density * weight / _AVOGADRO_PER_NM3,
        weight,
        float(energy_kev),
        np.deg2rad(sample_tilt_deg),
        REST_ENERGY_KEV,
        out,
    )
    kept = out[np.isfinite(out[:, 0])]
    return EscapeStatistics(kept[:, 0], kept[:, 1], kept[:, 2], kept[:, 3:6])


def _atomic_weight(z: int) -> float:
    import gemmi

    return float(gemmi.Element(z).weight)


@nb.njit(cache=True, fastmath=True)
def _screening(z, energy):
    """Screening parameter of Bishop and Joy ([1]_, equation 3.2): 3.4e-3 Z^0.67 / E."""
    return 3.4e-3 * z**0.67 / energy


@nb.njit(cache=True, fastmath=True)
def _inverse_free_path(z, density, energy, rest):
    """Events per nm off one kind of atom: relativistic screened Rutherford cross-section ([1]_, equation 3.1)."""
    alpha = _screening(z, energy)
    relativistic = (energy + rest) / (energy + 2.0 * rest)
    sigma_nm2 = 5.21e-7 * (z / energy) ** 2 * 4.0 * np.pi / (alpha * (1.0 + alpha)) * relativistic**2
    return density * sigma_nm2


@nb.njit(cache=True, fastmath=True)
def _stopping_power(z, mass_density, weight, energy):
    """Energy loss in keV/nm, modified Bethe law ([2]_), Bragg's additivity over the kinds of atoms."""
    total = 0.0
    # 78500 Z/(A E) keV cm²/g for E in keV is 7.85e-3 keV/nm at 1 g/cm³.
    for i in range(z.shape[0]):
        mean_ionisation = (9.76 * z[i] + 58.5 * z[i] ** -0.19) * 1e-3
        log = np.log(1.166 * (energy + 0.85 * mean_ionisation) / mean_ionisation)
        total += 7.85e-3 * mass_density[i] * z[i] / (weight[i] * energy) * log
    return total


@nb.njit(cache=True, parallel=True, nogil=True)
def _trace(seeds, starts, z, density, mass_density, weight, beam, tilt, rest, out):
    kinds = z.shape[0]
    for chunk in nb.prange(seeds.shape[0]):
        np.random.seed(seeds[chunk])
        rates = np.empty(kinds)
        for electron in range(starts[chunk], starts[chunk + 1]):
            energy = beam
            # z points into the sample; the beam comes in at the tilt angle from the normal.
            ux, uy, uz = np.sin(tilt), 0.0, np.cos(tilt)
            depth = 0.0
            while energy > 0.4 * beam:
                total = 0.0
                for i in range(kinds):
                    rates[i] = _inverse_free_path(z[i], density[i], energy, rest)
                    total += rates[i]
                step = -np.log(1.0 - np.random.random()) / total
                after = depth + step * uz
                if after <= 0.0:
                    path = -depth / uz
                    energy -= path * _stopping_power(z, mass_density, weight, energy)
                    out[electron, 0] = energy
                    out[electron, 1] = depth
                    out[electron, 2] = path
                    out[electron, 3] = ux
                    out[electron, 4] = uy
                    out[electron, 5] = -uz
                    break
                depth = after
                energy -= step * _stopping_power(z, mass_density, weight, energy)
                if energy <= 0.0:
                    break
                pick = np.random.random() * total
                kind = 0
                while kind < kinds - 1 and pick > rates[kind]:
                    pick -= rates[kind]
                    kind += 1
                alpha = _screening(z[kind], energy)
                r = np.random.random()
                cosine = 1.0 - 2.0 * alpha * r / (1.0 + alpha - r)
                sine = np.sqrt(max(0.0, 1.0 - cosine * cosine))
                azimuth = 2.0 * np.pi * np.random.random()
                a, b = sine * np.cos(azimuth), sine * np.sin(azimuth)
                # Rotate about the old direction; the frame is chosen away from its pole.
                if abs(uz) > 0.99999:
                    ux, uy, uz = a, b, cosine * np.sign(uz)
                else:
                    root = np.sqrt(1.0 - uz * uz)
                    vx = cosine * ux + (a * ux * uz - b * uy) / root
                    vy = cosine * uy + (a * uy * uz + b * ux) / root
                    uz = cosine * uz - a * root
                    ux, uy = vx, vy
