"""Packings of atoms that obey a space group: sites placed at random, then pushed apart until they fill the cell well.

Lengths are in units of the cell, which has no size yet; contacts are in nm. Only their ratio counts: the cell is scaled
at the end until the tightest contact is as long as wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal.elements import covalent_radius_nm
from kikuchinet.crystal.orbits import wrap
from kikuchinet.crystal.symmetry import Setting, symmetrised_metric

ANIONS = frozenset({"N", "O", "F", "S", "Cl", "Se", "Br", "Te", "I"})
"""Elements that take electrons from most others."""

ANION_CONTACT = 1.6
"""Contact of two anions in sums of their covalent radii. Oxygen atoms of one oxide are 0.22 to 0.28 nm apart, chlorine atoms
of a chloride 0.33 to 0.39: 1.6 to 1.9 sums; only in a pair bonded to each other, as in a peroxide or in pyrite, is it 1."""

_IMAGES = np.array(list(product((-1, 0, 1), repeat=3)), dtype=np.float64)
_HOME = len(_IMAGES) // 2
_SAME = 1e-7
"""Images nearer than this, in units of the cell, are one atom: positions are exact here."""

_STEPS = 24
_HARDNESS = 10
_NEAR = 1.5


def contacts_nm(first: Sequence[str], second: Sequence[str], among: Sequence[str]) -> NDArray[np.float64]:
    """Lengths of contacts between atoms.

    Parameters
    ----------
    first, second
        Elements of the atoms, m and n of them.
    among
        All elements of the crystal: where there is nothing but anions, as in sulphur or Se-Te, they bond to one another.

    Returns
    -------
    numpy.ndarray
        Sums of covalent radii (Cordero et al., Dalton Trans. 2008, 2832), longer between anions, nm, shape (m, n).
    """
    radii = [np.array([covalent_radius_nm(name) for name in names]) for names in (first, second)]
    lengths = radii[0][:, None] + radii[1]
    if not set(among) <= ANIONS:
        anion = [np.array([name in ANIONS for name in names], dtype=bool) for names in (first, second)]
        lengths[anion[0][:, None] & anion[1]] *= ANION_CONTACT
    return lengths


@dataclass(frozen=True)
class Orbit:
    """The atoms that the symmetry makes of one.

    Parameters
    ----------
    setting
        Setting of the space group.
    position
        The first of them, fractional, shape (3,).
    element
        What they are.
    operations
        Indices of the operations that make each atom of the first, shape (n,).
    freedom
        Projection of a displacement of the first atom on those that keep its site symmetry, shape (3, 3).
    """

    setting: Setting
    position: NDArray[np.float64]
    element: str
    operations: NDArray[np.int64]
    freedom: NDArray[np.float64]

    @classmethod
    def of(cls, setting: Setting, position: NDArray[np.float64], element: str) -> Orbit:
        """The orbit of a position, whose site symmetry is found."""
        images = wrap(setting.rotations @ position + setting.translations)
        _, first = np.unique(np.floor((images + 0.2345678e-6) * 1e6), axis=0, return_index=True)
        home = images - position
        home -= np.rint(home)
        keeps = np.abs(home).max(axis=1) < _SAME
        return cls(setting, position, element, np.sort(first), setting.rotations[keeps].mean(axis=0))

    @cached_property
    def atoms(self) -> NDArray[np.float64]:
        """Fractional coordinates in [0, 1), shape (n, 3)."""
        chosen = self.operations
        return wrap(self.setting.rotations[chosen] @ self.position + self.setting.translations[chosen])

    def moved(self, displacement: NDArray[np.float64]) -> Orbit:
        """The orbit with its atoms displaced as far as their site symmetry allows."""
        return replace(self, position=self.position + self.freedom @ displacement)


@dataclass(frozen=True)
class Packing:
    """Orbits in a cell of arbitrary size.

    Parameters
    ----------
    setting
        Setting of the space group.
    metric
        Metric tensor of the cell, shape (3, 3).
    palette
        Elements that the crystal may hold.
    orbits
        The orbits placed so far.
    """

    setting: Setting
    metric: NDArray[np.float64]
    palette: tuple[str, ...]
    orbits: tuple[Orbit, ...] = ()

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """Rows a, b, c."""
        return np.linalg.cholesky(self.metric).astype(np.float64)

    @property
    def n_atoms(self) -> int:
        """Atoms in the cell."""
        return sum(len(orbit.operations) for orbit in self.orbits)

    @cached_property
    def tightest(self) -> float:
        """Smallest distance over length of contact, in cell units per nm."""
        return min((float(ratios.min()) for _, _, ratios in map(self._around, self.orbits)), default=np.inf)

    @property
    def emptiness(self) -> float:
        """Volume per atom after scaling to touching contacts, nm³."""
        volume = float(np.sqrt(np.linalg.det(self.metric)))
        return volume / (max(self.tightest, 1e-6) ** 3 * max(self.n_atoms, 1))

    def with_orbit(self, position: NDArray[np.float64], element: str) -> Packing:
        """The packing with one more orbit."""
        added = replace(self, orbits=(*self.orbits, Orbit.of(self.setting, position, element)))
        # The older contacts are known; only those of the new orbit can be shorter.
        added.__dict__["tightest"] = min(self.tightest, float(added._around(added.orbits[-1])[2].min()))
        return added

    def _around(self, orbit: Orbit) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Vectors from the first atom of an orbit to all images of all atoms, (k, 3); contacts and ratios, (k,)."""
        atoms = np.concatenate([other.atoms for other in self.orbits])
        names = [other.element for other in self.orbits]
        lengths = np.repeat(
            contacts_nm([orbit.element], names, self.palette)[0],
            [len(other.operations) for other in self.orbits],
        )
        difference = atoms - orbit.position
        difference -= np.rint(difference)
        vectors = ((difference[:, None, :] + _IMAGES) @ self.matrix).reshape(-1, 3)
        distances = np.sqrt(np.einsum("ki,ki->k", vectors, vectors))
        own = int(np.abs(difference).max(axis=1).argmin()) * len(_IMAGES) + _HOME
        distances[own] = np.inf
        lengths = np.repeat(lengths, len(_IMAGES))
        return vectors, lengths, distances / lengths

    def relaxed(self) -> Packing:
        """The tightest packing met while soft spheres push one another apart.

        Atoms move within their site symmetry and the cell changes its shape within its system, along the gradient of a
        repulsion r^-10 of the distances in lengths of contact, in a few shrinking steps. That is no search for the
        best packing: random starts have to end differently.
        """
        best = current = self
        for step in range(_STEPS):
            current = current._pushed(0.06 * 0.88**step)
            if current.emptiness < best.emptiness:
                best = current
        return best

    def _pushed(self, size: float) -> Packing:
        """One step of relaxation: by `size` of the mean distance, and the cell by as large a strain."""
        forces: list[NDArray[np.float64]] = []
        stress = np.zeros((3, 3))
        tightest = self.tightest
        for orbit in self.orbits:
            vectors, lengths, ratios = self._around(orbit)
            near = ratios < _NEAR * tightest
            strength = (tightest / ratios[near]) ** (_HARDNESS + 1) / lengths[near]
            unit = vectors[near] / (ratios[near] * lengths[near])[:, None]
            forces.append(-(strength[:, None] * unit).sum(axis=0))
            stress += len(orbit.operations) * np.einsum("k,ki,kj->ij", strength, unit, vectors[near])
        spacing = float((np.sqrt(np.linalg.det(self.metric)) / self.n_atoms) ** (1.0 / 3.0))
        inverse = np.linalg.inv(self.matrix)
        displacements = [
            orbit.freedom @ (force @ inverse) for orbit, force in zip(self.orbits, forces, strict=True)
        ]
        longest = max(float(np.linalg.norm(d @ self.matrix)) for d in displacements)
        scale = size * spacing / longest if longest > 1e-9 * float(np.abs(stress).max()) else 0.0
        strain = stress - np.trace(stress) / 3.0 * np.eye(3)
        strain *= size / max(float(np.abs(stress).max()), 1e-12)
        moved = tuple(orbit.moved(scale * d) for orbit, d in zip(self.orbits, displacements, strict=True))
        deformed = self.matrix @ (np.eye(3) + 0.5 * (strain + strain.T))
        metric = symmetrised_metric(deformed @ deformed.T, self.setting)
        return replace(self, orbits=moved, metric=metric)


def random_position(setting: Setting, rng: np.random.Generator, degree: int) -> NDArray[np.float64]:
    """A random point, made special by up to `degree` operations that keep it.

    Parameters
    ----------
    setting
        Setting of the space group.
    rng
        Source of randomness.
    degree
        0 for a general position; for each further one an operation is drawn and the point moved to where that
        operation and all earlier ones keep it, if there is such a point.

    Returns
    -------
    numpy.ndarray
        Fractional coordinates in [0, 1), shape (3,).
    """
    point = rng.random(3)
    rows: list[NDArray[np.float64]] = []
    targets: list[NDArray[np.float64]] = []
    for _ in range(degree):
        index = int(rng.integers(1, len(setting.rotations))) if len(setting.rotations) > 1 else 0
        rotation = setting.rotations[index].astype(np.float64)
        image = rotation @ point + setting.translations[index]
        shift = setting.translations[index] - np.rint(image - point)
        # (W - I) x = -w: solved together with the conditions already met, by the smallest move of the point.
        system = np.concatenate([*rows, rotation - np.eye(3)])
        target = np.concatenate([*targets, -shift])
        move, *_ = np.linalg.lstsq(system, target - system @ point, rcond=1e-9)
        if np.abs(system @ (point + move) - target).max() < 1e-9:
            point = point + move
            rows.append(rotation - np.eye(3))
            targets.append(-shift)
    return wrap(point[None])[0]
