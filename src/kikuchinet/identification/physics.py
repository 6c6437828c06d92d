"""Candidates fitted to the phases of a run: which patterns, with which screen and which master patterns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from orix.quaternion import Rotation

from kikuchinet.crystal import Crystal
from kikuchinet.diffraction import MasterPattern
from kikuchinet.diffraction.cache import MasterCache
from kikuchinet.diffraction.campaign import Finished, Standing, simulate_many
from kikuchinet.diffraction.job import SimulationJob
from kikuchinet.errors import InputError
from kikuchinet.identification.contenders import rank_by_network
from kikuchinet.identification.fitting import (
    CENTER_GRID,
    SPACING_DEG,
    Contender,
    Indexed,
    PhaseFit,
    find_pattern_center,
    fit_candidate,
    fit_contenders,
    master_name,
    prepare,
    side_by_side,
)
from kikuchinet.microscope.detector import Detector
from kikuchinet.patterns import Geometry, PatternSource

if TYPE_CHECKING:
    from kikuchinet.identification.result import IdentificationResult, SourceAnswer

LEAST_FRACTION = 0.01
"""Phases of a smaller part of a scan are not fitted."""
_SEARCHED_CANDIDATES = 3
"""Candidates, likeliest first, with which an unknown pattern centre is sought."""
_CHUNK = 256

Progress = Callable[[str, float, float], None]


@dataclass(frozen=True)
class Physics:
    """How candidates are fitted.

    Parameters
    ----------
    patterns
        Patterns of each phase, each from another grain where there are enough.
    everywhere
        Whether the best candidate of each phase is then fitted to all of the phase's patterns.
    energy_kev
        Of the beam; the file's, or 20 keV where it has none, if not given.
    pattern_center, convention
        Where the screen stands, if not as the file says; see `kikuchinet.microscope.Detector`.
    detector_tilt_deg, sample_tilt_deg
        Tilts of the screen and of the specimen; the file's, or 0° and 70° where it has none, if not given.
    half_width, preset
        Of the master patterns.
    spacing_deg
        Mean distance of the orientations that are searched.
    """

    patterns: int = 4
    everywhere: bool = False
    energy_kev: float | None = None
    pattern_center: tuple[float, float, float] | None = None
    convention: str = "bruker"
    detector_tilt_deg: float | None = None
    sample_tilt_deg: float | None = None
    half_width: int = 125
    preset: str = "accurate"
    spacing_deg: float = SPACING_DEG

    def __post_init__(self) -> None:
        if self.patterns < 1:
            raise InputError("--physics", f"{self.patterns} patterns are none")

    def detector(
        self, geometry: Geometry | None, shape: tuple[int, int], image_shape: tuple[int, int] | None = None
    ) -> Detector:
        """Return where the screen stands as far as is known: what is given here goes before what the file says.

        Parameters
        ----------
        geometry
            What the file says.
        shape
            Rows and columns at which patterns are used.
        image_shape
            Theirs in the file, if another; the pattern centre that is given depends on it in some conventions.

        Returns
        -------
        Detector
            With the default pattern centre where none is given and the file has none.
        """
        known = Detector(shape) if geometry is None else geometry.detector(shape)
        if self.detector_tilt_deg is not None:
            known = replace(known, tilt_deg=self.detector_tilt_deg)
        if self.sample_tilt_deg is not None:
            known = replace(known, sample_tilt_deg=self.sample_tilt_deg)
        if self.pattern_center is None:
            return known
        given = Detector(image_shape or shape, self.pattern_center, convention=self.convention)
        return replace(known, pattern_center=given.pattern_center)


def fit_phases(
    result: IdentificationResult,
    found: Sequence[tuple[Crystal, str]],
    settings: Physics,
    *,
    cache: MasterCache | None = None,
    masters: Mapping[str, MasterPattern] | None = None,
    progress: Progress | None = None,
) -> IdentificationResult:
    """Fit candidates to each phase of each source.

    Parameters
    ----------
    result
        The network's answers, with grains where there are any.
    found
        Crystals, as `kikuchinet.identification.contenders.gather_crystals` returns them.
    settings
        How.
    cache
        Where master patterns are kept.
    masters
        Master patterns that are there already, by `kikuchinet.identification.fitting.master_name`.
    progress
        Called with what is going on, how much is done and how much there is.

    Returns
    -------
    IdentificationResult
        The same with its `fits`.

    Raises
    ------
    kikuchinet.errors.InputError
        A candidate cannot be simulated, or a pattern cannot be read.
    """
    if not found:
        return result
    fits = []
    given = dict(masters or {})
    ready: dict[tuple[str, float], MasterPattern] = {}
    for number, answer in enumerate(result.answers):
        known: tuple[Detector, str] | None = None
        for space_group, probabilities, members in _groups(answer):
            contenders = rank_by_network(found, probabilities, result.card.classes)
            chosen = choose_patterns(answer, members, settings.patterns)
            energy = _energy(answer.source, settings)
            names = [master_name(one) for one in contenders]
            needed = [
                one
                for one, name in zip(contenders, names, strict=True)
                if name not in given and (name, energy) not in ready
            ]
            for one, master in _simulated(needed, energy, settings, cache, progress):
                ready[master_name(one), energy] = master
            of_name = {name: given[name] if name in given else ready[name, energy] for name in names}
            images = [answer.source[int(k)] for k in chosen]
            prepared, mask = prepare(images)
            if known is None:
                first = [of_name[name] for name in names[:_SEARCHED_CANDIDATES]]
                known = _where(answer.source, settings, images[0].shape, prepared, mask, first, progress)
            detector, geometry = known
            title = f"Fitting {len(contenders)} candidates to {len(chosen)} patterns"
            step = _counter(progress, title, len(contenders))
            candidates = fit_contenders(
                prepared,
                mask,
                contenders,
                of_name,
                detector,
                centers=_centers(answer.source, geometry, chosen),
                spacing_deg=settings.spacing_deg,
                progress=step,
            )
            fit = PhaseFit(
                number,
                space_group,
                chosen,
                candidates,
                detector,
                geometry,
                numbers=answer.source.indices[chosen],
            )
            if fit.best is not None:
                winner = of_name[master_name(Contender(fit.best.crystal, fit.best.origin, None))]
                fit = replace(fit, compared=side_by_side(prepared, mask, winner, fit.best, detector))
            if settings.everywhere and fit.best is not None:
                winner = of_name[master_name(Contender(fit.best.crystal, fit.best.origin, None))]
                everywhere = index_patterns(answer.source, members, winner, fit, settings, progress)
                fit = replace(fit, indexed=everywhere)
            fits.append(fit)
    return replace(result, fits=tuple(fits))


def _groups(
    answer: SourceAnswer,
) -> list[tuple[int | None, NDArray[np.float64], NDArray[np.int64]]]:
    """Return space group, probabilities (classes,) and patterns of each phase of a source."""
    everything = np.arange(len(answer.identification), dtype=np.int64)
    probabilities = answer.identification.probabilities
    shown = np.ptp(probabilities, axis=1) > 0
    if not shown.any():
        return []
    if answer.grains is None or answer.grain_answers is None:
        pooled = answer.identification.pooled(where=shown)
        return [(pooled.space_group, pooled.probabilities, everything[shown])]
    groups: list[tuple[int | None, NDArray[np.float64], NDArray[np.int64]]] = []
    for phase in answer.phases:
        if phase.fraction >= LEAST_FRACTION:
            members = np.flatnonzero(np.isin(answer.grains.labels, phase.grains) & shown)
            weights = answer.grains.sizes[phase.grains]
            mean = np.average(answer.grain_answers.probabilities[phase.grains], axis=0, weights=weights)
            groups.append((phase.space_group, mean, members))
    return groups


def choose_patterns(answer: SourceAnswer, members: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Choose the patterns of a phase that candidates are fitted to.

    Parameters
    ----------
    answer
        Of the source.
    members
        Places of the phase's patterns in the source.
    most
        How many at most.

    Returns
    -------
    numpy.ndarray
        Places, in rising order: of each of the largest grains the pattern of best quality, away from its boundary where
        it has an inside; further ones of the same grains if there are not enough. All of the first one's shape.
    """
    quality = answer.quality[members]
    labels = (
        np.zeros(len(members), dtype=np.int64) if answer.grains is None else answer.grains.labels[members]
    )
    inside = ~at_boundary(answer)[members]
    order = np.lexsort((-quality, ~inside))
    turn: dict[int, int] = {}
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    ranked = []
    for place in order.tolist():
        label = int(labels[place])
        ranked.append((turn.get(label, 0), -int(sizes[label]) if label >= 0 else 0, place))
        turn[label] = turn.get(label, 0) + 1
    picked: list[int] = []
    shape: tuple[int, ...] | None = None
    for _, _, place in sorted(ranked):
        if len(picked) == most:
            break
        k = int(members[place])
        size = answer.source[k].shape
        shape = shape or size
        if size == shape:
            picked.append(k)
    return np.sort(np.asarray(picked, dtype=np.int64))


def at_boundary(answer: SourceAnswer) -> NDArray[np.bool_]:
    """Return (n,) whether a neighbouring point of the scan belongs to another grain."""
    shape = answer.source.navigation_shape
    if answer.grains is None or shape is None:
        return np.zeros(len(answer.identification), dtype=bool)
    labels = answer.grains.labels.reshape(shape)
    edge = np.zeros(shape, dtype=bool)
    for axis in range(labels.ndim):
        ahead = [slice(None)] * labels.ndim
        behind = [slice(None)] * labels.ndim
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        differs = labels[tuple(ahead)] != labels[tuple(behind)]
        edge[tuple(ahead)] |= differs
        edge[tuple(behind)] |= differs
    return edge.ravel()


def index_patterns(
    source: PatternSource,
    members: NDArray[np.int64],
    master: MasterPattern,
    fit: PhaseFit,
    settings: Physics,
    progress: Progress | None = None,
) -> Indexed:
    """Find the orientations of all patterns of a phase with its best candidate.

    Parameters
    ----------
    source
        The patterns.
    members
        Places of the phase's patterns.
    master
        Master pattern of the best candidate.
    fit
        Where the screen stands. Patterns of another shape in the file than the fitted ones are left out.
    settings
        How finely orientations are searched.
    progress
        As for `fit_phases`.
    """
    places, rotations, correlations, standing = [], [], [], []
    # Not `fitted_shape`: screens of different sizes may come to the same one, and are not one screen.
    shape = source[int(fit.patterns[0])].shape
    for first in range(0, len(members), _CHUNK):
        part = members[first : first + _CHUNK]
        images = [source[int(k)] for k in part]
        alike = [image.shape == shape for image in images]
        part = part[np.asarray(alike, dtype=bool)]
        if len(part):
            prepared, mask = prepare([image for image, same in zip(images, alike, strict=True) if same])
            found = fit_candidate(
                prepared,
                mask,
                master,
                fit.detector,
                centers=_centers(source, fit.geometry, part),
                best=2,
                spacing_deg=settings.spacing_deg,
            )
            places.append(part)
            rotations.append(found[0].data)
            correlations.append(found[2])
            standing.append(found[3])
        if progress is not None:
            progress(f"Orientations of {master.name}", min(first + _CHUNK, len(members)), len(members))
    return Indexed(
        np.concatenate(places),
        Rotation(np.concatenate(rotations)),
        np.concatenate(correlations),
        np.concatenate(standing),
    )


def _energy(source: PatternSource, settings: Physics) -> float:
    if settings.energy_kev is not None:
        return settings.energy_kev
    known = None if source.geometry is None else source.geometry.energy_kev
    return 20.0 if known is None else float(known)


def _centers(source: PatternSource, geometry: str, chosen: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Return the file's pattern centres of single patterns, where it has them and they are used."""
    if geometry != "file" or source.geometry is None or len(source.geometry.pattern_centers) == 1:
        return None
    return source.geometry.pattern_centers[chosen]


def _where(
    source: PatternSource,
    settings: Physics,
    image_shape: tuple[int, int],
    prepared: NDArray[np.float32],
    mask: NDArray[np.bool_],
    masters: Sequence[MasterPattern],
    progress: Progress | None,
) -> tuple[Detector, str]:
    """Return where the screen stands, and how that is known."""
    shape = (prepared.shape[1], prepared.shape[2])
    start = settings.detector(source.geometry, shape, image_shape)
    if settings.pattern_center is not None:
        return start, "given"
    if source.geometry is not None:
        return start, "file"
    step = _counter(progress, "Seeking the pattern centre", len(masters) * len(CENTER_GRID))
    return find_pattern_center(
        prepared, mask, masters, start, spacing_deg=settings.spacing_deg, progress=step
    ), "fitted"


def _counter(progress: Progress | None, title: str, total: int) -> Callable[[], None]:
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(title, done, total)

    if progress is not None:
        progress(title, 0, total)
    return step


def _simulated(
    contenders: Sequence[Contender],
    energy_kev: float,
    settings: Physics,
    cache: MasterCache | None,
    progress: Progress | None,
) -> list[tuple[Contender, MasterPattern]]:
    """Return master patterns from the cache, and simulated ones, which are put there."""
    jobs = [
        SimulationJob(one.crystal, energy_kev, settings.half_width, settings.preset) for one in contenders
    ]
    ready: dict[str, MasterPattern] = {}
    if cache is not None:
        for job in jobs:
            path = cache.find(job.key)
            if path is not None:
                ready[job.key] = MasterPattern.load(path)
    left = [job for job in jobs if job.key not in ready]
    names = ", ".join(job.name for job in left[:4]) + (", ..." if len(left) > 4 else "")

    def watch(standing: Standing) -> None:
        if progress is not None:
            progress(f"Simulating {names}", standing.share, 1.0)

    # One process with all its threads: candidates are few, and a notebook must not start processes.
    for done in simulate_many(left, cache, workers=1, watch=watch):
        if done.error is not None:
            raise done.error
        ready[done.job.key] = _read(done)
    return [(one, ready[job.key]) for one, job in zip(contenders, jobs, strict=True)]


def _read(done: Finished) -> MasterPattern:
    if done.path is not None:
        return MasterPattern.load(done.path)
    with tempfile.TemporaryDirectory(prefix="kikuchinet-") as folder:
        path = Path(folder) / "master.h5"
        path.write_bytes(done.content)
        return MasterPattern.load(path)
