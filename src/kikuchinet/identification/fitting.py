"""Candidates held against patterns: the best dynamical fit of each, how good it is, and what may be said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from orix.quaternion import Rotation
from scipy.stats import t as student_t

from kikuchinet.crystal import Crystal
from kikuchinet.diffraction import MasterPattern
from kikuchinet.indexing.refinement import normalised, refine
from kikuchinet.indexing.search import search_with_spread
from kikuchinet.microscope.detector import Detector
from kikuchinet.microscope.projection import project_batch
from kikuchinet.patterns import preprocess

HIGH_PASS = 0.125
"""Standard deviation of the Gaussian taken off both patterns, in heights: that of `preprocess`."""
SPACING_DEG = 3.0
BEST = 5
"""Orientations of the dictionary that are refined; the best one of it is the right one in most cases only."""
LARGEST_ROWS = 96
"""Patterns are fitted at this height at most."""

LEAST_STANDING = 14.0
"""A fit stands out of what chance gives from here on; see `CandidateFit.standing`. Of the right crystal's fits to simulated
patterns 99 % do; of those of crystals of another lattice or Laue class about a quarter do as well, since alike structures
have alike patterns (``benchmarks/candidate_fits.py``, docs/identify.md)."""
LEAST_MARGIN = 0.01
"""Mean correlations that are nearer than this are not told apart, however many patterns say so: simulations are no nearer to
nature."""
LEAST_MARGIN_ALONE = 0.025
"""The same for a single pattern, whose spread is not known. In the same benchmark a wrong crystal was ahead by up to 0.024,
leaving out one pattern to which the right one could not be fitted at all."""
CONFIDENCE = 0.95
"""Of the interval of Student's t that a mean difference of correlations must not share with 0."""
DISSENT = 0.05
"""A pattern that another candidate fits better by more than this does not belong to the phase's best candidate."""


@dataclass(frozen=True, eq=False)
class CandidateFit:
    """One crystal's best fits to some patterns.

    Parameters
    ----------
    crystal
        The candidate.
    origin
        ``"library"`` or its CIF file.
    evidence
        The network's probability of the crystal's visible space group, or of all groups that it does not tell apart together
        (`kikuchinet.crystal.OUTSIDE`) where that is one of them; None where the model has no class for the crystal.
    rotations
        (m,) sample to crystal.
    pattern_centers
        (m, 3) Bruker's convention.
    correlations
        (m,) normalised cross-correlation of measured and simulated pattern.
    standing
        (m,) correlation over the standard deviation of the correlations with all orientations' patterns of this crystal.
        What chance reaches does not depend on noise in this measure.
    """

    crystal: Crystal
    origin: str
    evidence: float | None
    rotations: Rotation
    pattern_centers: NDArray[np.float64]
    correlations: NDArray[np.float64]
    standing: NDArray[np.float64]

    @property
    def score(self) -> float:
        """Mean correlation."""
        return float(self.correlations.mean())

    @property
    def stands_out(self) -> NDArray[np.bool_]:
        """(m,) whether the fit of each pattern stands out of what chance gives."""
        return self.standing >= LEAST_STANDING

    @property
    def fits(self) -> bool:
        """Whether its best orientations stand out of what chance gives: the median does."""
        return float(np.median(self.standing)) >= LEAST_STANDING


@dataclass(frozen=True, eq=False)
class Indexed:
    """Orientations of all patterns of a phase, with its best candidate.

    Parameters
    ----------
    patterns
        (k,) places in the source.
    rotations
        (k,) sample to crystal.
    correlations, standing
        (k,) as in `CandidateFit`.
    """

    patterns: NDArray[np.int64]
    rotations: Rotation
    correlations: NDArray[np.float64]
    standing: NDArray[np.float64]

    @property
    def indexed(self) -> NDArray[np.bool_]:
        """(k,) whether the fit stands out of what chance gives."""
        return self.standing >= LEAST_STANDING


@dataclass(frozen=True, eq=False)
class PhaseFit:
    """All candidates' fits to the patterns of one phase.

    Parameters
    ----------
    source
        Which of the run's sources.
    space_group
        The network's answer for the phase, 0 for outside its groups; None where it has none.
    patterns
        (m,) places of the fitted patterns in the source.
    candidates
        Best first.
    detector
        Where the screen stands, of the fitted patterns' shape.
    geometry
        Where that is known from: ``"file"``, ``"given"`` or ``"fitted"``.
    indexed
        The best candidate's orientations of all patterns of the phase, where they were asked for.
    compared
        The fitted patterns and the best candidate's simulated ones, each float32 (m, rows, columns), as they were compared;
        None where no candidate fits.
    numbers
        (m,) number of each fitted pattern in its file (`kikuchinet.patterns.PatternSource.indices`), by which it is named;
        None where these are the places in the source.
    """

    source: int
    space_group: int | None
    patterns: NDArray[np.int64]
    candidates: tuple[CandidateFit, ...]
    detector: Detector
    geometry: str
    indexed: Indexed | None = None
    compared: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    numbers: NDArray[np.int64] | None = None

    def number(self, place: int) -> int:
        """Return the number in its file of a fitted pattern, given its place in the source."""
        return place if self.numbers is None else int(self.numbers[self.patterns == place][0])

    @property
    def best(self) -> CandidateFit | None:
        """The best candidate, if it fits."""
        first = self.candidates[0] if self.candidates else None
        return first if first is not None and first.fits else None

    def margin(self, other: CandidateFit) -> tuple[float, float]:
        """Return by how much the best candidate's correlation exceeds another's, and that mean's standard error.

        The error is NaN for a single pattern.
        """
        difference = self.candidates[0].correlations - other.correlations
        m = len(difference)
        error = float(difference.std(ddof=1) / np.sqrt(m)) if m > 1 else float("nan")
        return float(difference.mean()), error

    def apart(self, other: CandidateFit) -> bool:
        """Whether another candidate fits measurably worse than the best one."""
        margin, error = self.margin(other)
        if not np.isfinite(error):
            return margin > LEAST_MARGIN_ALONE
        factor = float(student_t.ppf(0.5 + CONFIDENCE / 2, len(self.patterns) - 1))
        return margin > max(LEAST_MARGIN, factor * error)

    @property
    def rivals(self) -> tuple[CandidateFit, ...]:
        """Candidates that fit as well as the best one, within what can be told apart."""
        if self.best is None:
            return ()
        return tuple(other for other in self.candidates[1:] if other.fits and not self.apart(other))

    @property
    def dissenting(self) -> tuple[tuple[int, CandidateFit, float], ...]:
        """Patterns that another candidate fits better by more than `DISSENT`.

        Place in the source, that candidate, and by how much.
        Their grains probably belong to another phase, whatever the network says.
        """
        if self.best is None:
            return ()
        found = []
        for k, place in enumerate(self.patterns.tolist()):
            other = max(self.candidates, key=lambda fit: fit.correlations[k])
            lead = float(other.correlations[k] - self.best.correlations[k])
            if lead > DISSENT and other.stands_out[k]:
                found.append((place, other, lead))
        return tuple(found)

    @property
    def verdict(self) -> str:
        """``one``, ``several`` (candidates cannot be told apart) or ``none`` (unknown: no candidate fits)."""
        if self.best is None:
            return "none"
        return "several" if self.rivals else "one"

    @property
    def statement(self) -> str:
        """The outcome in words."""
        if not self.candidates:
            return "No candidate to fit."
        first = self.candidates[0]
        if self.best is None:
            return (
                f"None of the {len(self.candidates)} candidates fits: the nearest, {first.crystal.name}, reaches a "
                f"correlation of {first.score:.2f}, which chance gives too. The crystal stays unknown."
            )
        text = f"{first.crystal.name} fits best of the candidates, correlation {first.score:.3f}"
        if self.rivals:
            names = ", ".join(other.crystal.name for other in self.rivals)
            text += f"; it cannot be told apart from {names} by these fits"
        elif len(self.candidates) > 1:
            second = self.candidates[1]
            text += f", {self.margin(second)[0]:.3f} more than {second.crystal.name}"
        for place, other, lead in self.dissenting:
            better = f"Pattern {self.number(place)} is fitted better by {other.crystal.name}, by {lead:.2f}"
            text += f". {better}: its grain may be another phase"
        return f"{text}."


def fitted_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the rows and columns at which patterns of a shape are fitted."""
    rows = min(LARGEST_ROWS, max(32, shape[0]))
    return rows, max(32, round(rows * shape[1] / shape[0]))


def prepare(images: Sequence[NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Make patterns of one shape ready to be fitted.

    Returns
    -------
    prepared : numpy.ndarray
        float32 (m, rows, columns) at `fitted_shape`.
    mask : numpy.ndarray
        bool (rows, columns), where the screen is in most of them.
    """
    stack = np.stack(list(images))
    prepared = preprocess(stack, size=fitted_shape((stack.shape[1], stack.shape[2])))
    mask = (prepared != 0).mean(axis=0) > 0.5
    return prepared, mask if mask.any() else np.ones(mask.shape, dtype=bool)


def fit_candidate(
    prepared: NDArray[np.float32],
    mask: NDArray[np.bool_],
    master: MasterPattern,
    detector: Detector,
    *,
    centers: NDArray[np.float64] | None = None,
    best: int = BEST,
    spacing_deg: float = SPACING_DEG,
) -> tuple[Rotation, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Search the orientations of patterns and refine the best ones, pattern centre included.

    Parameters
    ----------
    prepared, mask
        As `prepare` returns them.
    master
        Master pattern of the candidate.
    detector
        Of the prepared patterns' shape; the pattern centre must be right within 0.03.
    centers
        (m, 3) pattern centres of each pattern, Bruker's convention, where refinement starts.
    best
        Orientations refined for each pattern.
    spacing_deg
        Mean distance of the orientations that are searched.

    Returns
    -------
    rotations, pattern_centers, correlations, standing
        As in `CandidateFit`.
    """
    found, _, spread = search_with_spread(
        prepared, master, detector, masks=mask, spacing_deg=spacing_deg, high_pass=HIGH_PASS, best=best
    )
    tries = [
        refine(
            prepared,
            master,
            found[:, k],
            detector,
            pattern_centers=centers,
            masks=mask,
            high_pass=HIGH_PASS,
        )
        for k in range(found.shape[1])
    ]
    choice = np.argmax([one.correlations for one in tries], axis=0)
    rows = np.arange(len(prepared))
    correlations = np.stack([one.correlations for one in tries])[choice, rows]
    return (
        Rotation(np.stack([one.rotations.data for one in tries])[choice, rows]),
        np.stack([one.pattern_centers for one in tries])[choice, rows],
        correlations,
        correlations / np.maximum(spread, 1e-6),
    )


def side_by_side(
    prepared: NDArray[np.float32],
    mask: NDArray[np.bool_],
    master: MasterPattern,
    fit: CandidateFit,
    detector: Detector,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return patterns and a candidate's simulated ones as the fit compares them.

    Parameters
    ----------
    prepared, mask
        As `prepare` returns them.
    master
        Master pattern of the candidate.
    fit
        Its orientations and pattern centres.
    detector
        Of the prepared patterns' shape.

    Returns
    -------
    tuple of numpy.ndarray
        Two float32 (m, rows, columns), 0 outside the screen; their product, summed, is `CandidateFit.correlations`.
    """
    simulated = project_batch(
        master.upper,
        master.lower,
        fit.rotations.data,
        fit.pattern_centers,
        detector.shape,
        tilt_deg=detector.tilt_deg,
        azimuthal_deg=detector.azimuthal_deg,
        twist_deg=detector.twist_deg,
        sample_tilt_deg=detector.sample_tilt_deg,
    )
    both = []
    for images in (prepared, simulated):
        whole = np.zeros(images.shape, dtype=np.float32)
        whole[:, mask] = normalised(images, mask, HIGH_PASS)
        both.append(whole)
    return both[0], both[1]


@dataclass(frozen=True)
class Contender:
    """A candidate before it is fitted.

    Parameters
    ----------
    crystal, origin, evidence
        As in `CandidateFit`.
    """

    crystal: Crystal
    origin: str
    evidence: float | None


def fit_contenders(
    prepared: NDArray[np.float32],
    mask: NDArray[np.bool_],
    contenders: Sequence[Contender],
    masters: Mapping[str, MasterPattern],
    detector: Detector,
    *,
    centers: NDArray[np.float64] | None = None,
    spacing_deg: float = SPACING_DEG,
    progress: Callable[[], None] | None = None,
) -> tuple[CandidateFit, ...]:
    """Fit every candidate to the same patterns with the same freedom.

    Parameters
    ----------
    prepared, mask
        As `prepare` returns them.
    contenders
        The candidates.
    masters
        Master patterns by ``origin`` and name of the crystal, see `master_name`.
    detector, centers, spacing_deg
        As in `fit_candidate`.
    progress
        Called after each candidate.

    Returns
    -------
    tuple of CandidateFit
        The best correlation first.
    """
    fits = []
    for one in contenders:
        found = fit_candidate(
            prepared, mask, masters[master_name(one)], detector, centers=centers, spacing_deg=spacing_deg
        )
        fits.append(CandidateFit(one.crystal, one.origin, one.evidence, *found))
        if progress is not None:
            progress()
    return tuple(sorted(fits, key=lambda fit: -fit.score))


def master_name(contender: Contender) -> str:
    """Return what a candidate's master pattern is found by."""
    return f"{contender.origin}: {contender.crystal.name}"


def find_pattern_center(
    prepared: NDArray[np.float32],
    mask: NDArray[np.bool_],
    masters: Sequence[MasterPattern],
    detector: Detector,
    *,
    spacing_deg: float = SPACING_DEG,
    progress: Callable[[], None] | None = None,
) -> Detector:
    """Find where the screen stands when nobody knows: the pattern centre at which the best candidate fits best.

    Parameters
    ----------
    prepared, mask
        As `prepare` returns them.
    masters
        Master patterns of the candidates that are tried.
    detector
        Of the patterns' shape; its tilts are taken as they are.
    spacing_deg
        Of the last search; that at each pattern centre of the grid is of 5°.
    progress
        Called after each pattern centre of the grid.

    Returns
    -------
    Detector
        With the median of the patterns' refined pattern centres.

    Notes
    -----
    A shift of the pattern centre along the screen is nearly a turn of the crystal, which the search makes up for, so the
    grid is coarse in x and y and fine in the distance; refinement does the rest. A sample tilt that is not the true one
    goes into the orientation.
    """
    tried: list[tuple[float, int, tuple[float, float, float]]] = []
    for number, master in enumerate(masters):
        for center in CENTER_GRID:
            _, correlations, spread = search_with_spread(
                prepared,
                master,
                replace(detector, pattern_center=center),
                masks=mask,
                spacing_deg=5.0,
                rows=32,
                high_pass=HIGH_PASS,
            )
            tried.append((float((correlations[:, 0] / spread).mean()), number, center))
            if progress is not None:
                progress()
    tried.sort(key=lambda entry: -entry[0])
    best = (-1.0, detector)
    for _, number, center in tried[:_REFINED_CENTERS]:
        start = replace(detector, pattern_center=center)
        _, centers, correlations, _ = fit_candidate(
            prepared, mask, masters[number], start, best=2, spacing_deg=spacing_deg
        )
        if correlations.mean() > best[0]:
            x, y, z = np.median(centers, axis=0)
            best = (
                float(correlations.mean()),
                replace(detector, pattern_center=(float(x), float(y), float(z))),
            )
    return best[1]


CENTER_GRID = tuple((0.5, y, z) for z in (0.45, 0.53, 0.62, 0.73, 0.86) for y in (0.15, 0.35, 0.55, 0.75))
"""Pattern centres tried where nothing is known, Bruker's convention: where detectors that are sold stand."""
_REFINED_CENTERS = 4
