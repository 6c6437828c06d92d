"""Orientation of a cubic crystal whose phase nobody has named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from orix.quaternion import Rotation
from orix.quaternion.symmetry import Oh
from orix.sampling import get_sample_fundamental
from scipy.cluster.vq import kmeans2
from scipy.ndimage import gaussian_filter

from kikuchinet.errors import InputError
from kikuchinet.indexing.refinement import normalised, refine
from kikuchinet.microscope.detector import Detector
from kikuchinet.microscope.filters import resample
from kikuchinet.microscope.projection import interleave, pattern_rays, project_batch

SPACING_DEG = 4.0
"""Mean distance of the orientations that are compared."""
SEARCH_ROWS, REFINE_ROWS = 36, 64
"""Heights at which orientations are searched and refined."""
CENTERS: tuple[tuple[float, float, float], ...] = tuple(
    (0.5, y, z) for y in (0.15, 0.24, 0.33, 0.42, 0.51) for z in (0.42, 0.51, 0.6, 0.69, 0.78, 0.87)
)
"""Pattern centres tried where none is known: the middle of the screen in x, and where cameras have it in y and z."""
_COARSE_DEG, _COARSE_ROWS = 6.0, 24
_CENTERS_REFINED = 3
_M3M = 221
_BATCH = 1024
_ROUGH_EVALUATIONS, _EVALUATIONS = 6, 12
_KEPT_CANDIDATES = 5
_APART_DEG = 6.0
_PEAKS_AMONG = 400
"""Orientations among which those that are not alike are looked for."""
_AT_ONCE = 1000
"""Patterns that are searched at once: 70 MB of correlations."""
_GROUP = 4
_HIGH_PASS = 0.15
"""Standard deviation of the average that is taken off a template, of its half-width: 11°, about an eighth of a
pattern's height."""
_KEPT = 60
"""Principal components of master patterns that are compared when templates are made."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CubicOrientations:
    """Orientations of patterns, on the premise that the crystal is cubic.

    Parameters
    ----------
    quaternions
        (n, 4) sample to crystal, scalar first.
    pattern_centers
        (n, 3) Bruker's convention, refined.
    correlations
        (n,) normalised cross-correlation with the template that fits best.
    templates
        (n,) which one that is.
    polarity
        (n,) by how much the pattern correlates better than its negative, each with the template and in the orientation that
        suit it best, before any refinement. Below 0 where black and white are exchanged; about 0 where there is no pattern.
    """

    quaternions: NDArray[np.float64]
    pattern_centers: NDArray[np.float64]
    correlations: NDArray[np.float64]
    templates: NDArray[np.int64]
    polarity: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.correlations)

    def rays(self, detector: Detector) -> Floats:
        """Return where the pixels of a detector look, (n, 3, 3), as `kikuchinet.microscope.projection.pattern_rays` does.

        Parameters
        ----------
        detector
            Its pattern centre does not count.
        """
        return pattern_rays(
            self.quaternions, self.pattern_centers, detector.shape, detector.detector_to_sample
        )


@dataclass(frozen=True, eq=False)
class _Template:
    """A template in the shape that `refine` takes."""

    upper: Floats

    @property
    def lower(self) -> Floats:
        return self.upper

    @cached_property
    def texels(self) -> Floats:
        return interleave(self.upper, self.upper)


class CubicFinder:
    """Finds how a cubic crystal lies, without being told which crystal it is.

    Parameters
    ----------
    templates
        float32 (k, 2h+1, 2h+1), average master patterns of m-3m crystals, `templates_of`.

    Raises
    ------
    kikuchinet.errors.InputError
        The templates are no squares of odd side.

    Notes
    -----
    Bands of a family lie at the same places in all cubic crystals, and low indices are bright in nearly all of them:
    average master patterns of crystals that look alike are templates enough to index one that is not among them. The
    search is dictionary indexing (Y. H. Chen et al., Microsc. Microanal. 21 (2015) 739) over all templates.
    """

    def __init__(self, templates: NDArray[np.floating]) -> None:
        squares = np.ascontiguousarray(templates, dtype=np.float32)
        if squares.ndim != 3 or squares.shape[1] != squares.shape[2] or squares.shape[1] % 2 == 0:
            raise InputError("templates", f"of shape {squares.shape}, not squares of odd side")
        self.templates = squares
        self._ready = [_Template(square) for square in squares]

    def find(
        self,
        patterns: NDArray[np.generic],
        detector: Detector,
        *,
        mask: NDArray[np.bool_] | None = None,
        candidates: int = 20,
        fit_center: bool = True,
        groups: NDArray[np.int64] | None = None,
    ) -> CubicOrientations:
        """Find the orientations of patterns.

        Parameters
        ----------
        patterns
            (n, rows, columns) as `kikuchinet.patterns.preprocess` returns them.
        detector
            Of that shape; the pattern centre should be right within 0.03.
        mask
            bool (rows, columns), True on the screen; all of it if not given.
        candidates
            How many of the best orientations that are not alike are refined roughly; the best five of them go on.
        fit_center
            Whether the pattern centre is refined as well: for each pattern, and then once more with the median of its
            group, for a pattern by itself tells a shift of the centre badly from a turn of the crystal.
        groups
            (n,) patterns of one number share a pattern centre; all of them if not given.

        Returns
        -------
        CubicOrientations
            The best after refinement. That a crystal is not cubic, or an orientation wrong, shows in a low correlation.

        Raises
        ------
        kikuchinet.errors.InputError
            Shapes disagree, the mask leaves nothing, or `candidates` is not positive.
        """
        stack = np.ascontiguousarray(patterns, dtype=np.float32)
        if stack.ndim != 3 or stack.shape[1:] != detector.shape:
            raise InputError(
                "orientations", f"patterns of shape {stack.shape} on a detector of {detector.shape}"
            )
        if candidates < 1:
            raise InputError("orientations", f"{candidates} candidates are none")
        inside = np.ones(detector.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
        starts, polarity = self._distinct(stack, detector, inside, candidates)
        rough = _Comparison(stack, detector, inside, SEARCH_ROWS)
        self._refine(rough, starts, fit_center=False, evaluations=_ROUGH_EVALUATIONS)
        fine = _Comparison(stack, detector, inside, REFINE_ROWS)
        found = starts.best(_KEPT_CANDIDATES)
        self._refine(fine, found, fit_center=fit_center, evaluations=_EVALUATIONS)
        if fit_center:
            numbers = np.zeros(len(stack), dtype=np.int64) if groups is None else np.asarray(groups)
            shared = found.share_centers(numbers, ~fine.blank)
            self._refine(fine, found, only=shared, fit_center=False, evaluations=_EVALUATIONS)
        best = found.best(1)
        return CubicOrientations(
            best.quaternions[:, 0],
            best.centers[:, 0],
            best.correlations[:, 0],
            best.templates[:, 0],
            polarity,
        )

    def seek_center(
        self,
        patterns: NDArray[np.generic],
        detector: Detector,
        *,
        mask: NDArray[np.bool_] | None = None,
        centers: Sequence[tuple[float, float, float]] = CENTERS,
    ) -> Detector:
        """Find the pattern centre of patterns that share it, where it is not known at all.

        Parameters
        ----------
        patterns, mask
            As for `find`; eight good ones, of several orientations, are plenty.
        detector
            Of the patterns' shape; its tilts count, its pattern centre does not.
        centers
            Where to look, Bruker's convention, in steps of at most 0.1.

        Returns
        -------
        Detector
            With the pattern centre from which the patterns correlate best with the templates.

        Raises
        ------
        kikuchinet.errors.InputError
            As `find`.
        """
        stack = np.ascontiguousarray(patterns, dtype=np.float32)
        if stack.ndim != 3 or stack.shape[1:] != detector.shape or len(stack) == 0:
            raise InputError(
                "pattern centre", f"patterns of shape {stack.shape} on a detector of {detector.shape}"
            )
        inside = np.ones(detector.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
        first = []
        for center in centers:
            screen = replace(detector, pattern_center=center)
            scores, _, _ = self._searched(stack, screen, inside, rows=_COARSE_ROWS, grid=_grid(_COARSE_DEG))
            first.append(float(scores.max(axis=1).mean()))
        best: tuple[float, Detector] | None = None
        for place in np.argsort(-np.asarray(first), kind="stable")[:_CENTERS_REFINED]:
            screen = replace(detector, pattern_center=centers[place])
            found = self.find(stack, screen, mask=mask)
            score = float(found.correlations.mean())
            if best is None or score > best[0]:
                better = found.correlations >= np.median(found.correlations)
                x, y, z = np.median(found.pattern_centers[better], axis=0).tolist()
                best = score, replace(detector, pattern_center=(x, y, z))
        assert best is not None
        return best[1]

    def _refine(
        self,
        comparison: _Comparison,
        candidates: _Candidates,
        *,
        only: NDArray[np.bool_] | None = None,
        fit_center: bool,
        evaluations: int,
    ) -> None:
        """Refine all candidates of the patterns that are not blank, in place."""
        wanted = ~comparison.blank if only is None else only & ~comparison.blank
        for number in np.unique(candidates.templates[wanted]):
            which, rank = np.nonzero((candidates.templates == number) & wanted[:, None])
            fit = refine(
                comparison.patterns[which],
                self._ready[number],
                Rotation(candidates.quaternions[which, rank]),
                comparison.detector,
                pattern_centers=candidates.centers[which, rank],
                masks=comparison.mask,
                fit_center=fit_center,
                evaluations=evaluations,
            )
            candidates.quaternions[which, rank] = fit.rotations.data.reshape(-1, 4)
            candidates.centers[which, rank] = fit.pattern_centers
            candidates.correlations[which, rank] = fit.correlations

    def _distinct(
        self, stack: Floats, detector: Detector, inside: NDArray[np.bool_], count: int
    ) -> tuple[_Candidates, NDArray[np.float64]]:
        """Return the orientations of each pattern that correlate best and are not alike, and its polarity."""
        grid = _grid(SPACING_DEG)
        quaternions = np.empty((len(stack), count, 4))
        templates = np.empty((len(stack), count), dtype=np.int64)
        polarity = np.empty(len(stack))
        for first in range(0, len(stack), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            scores, which, lowest = self._searched(stack[part], detector, inside, rows=SEARCH_ROWS, grid=grid)
            # The correlation of a negative is minus the pattern's own.
            polarity[part] = scores.max(axis=1) + lowest
            for pattern, (values, numbers) in enumerate(zip(scores, which, strict=True), first):
                places = _apart(values, grid, count)
                quaternions[pattern] = grid[places]
                templates[pattern] = numbers[places]
        centers = np.broadcast_to(np.asarray(detector.pattern_center), (len(stack), count, 3)).copy()
        starts = _Candidates(quaternions, centers, np.full((len(stack), count), -1.0), templates)
        return starts, polarity

    def _searched(
        self,
        stack: Floats,
        detector: Detector,
        inside: NDArray[np.bool_],
        *,
        rows: int,
        grid: NDArray[np.float64],
    ) -> tuple[Floats, NDArray[np.int16], Floats]:
        """Return the correlation (n, m) with each orientation's best template, which one it is, and all's lowest (n,)."""
        comparison = _Comparison(stack, detector, inside, rows)
        seen, screen = comparison.mask, comparison.detector
        measured = normalised(comparison.patterns, seen, 0.0)
        scores = np.full((len(stack), len(grid)), -np.inf, dtype=np.float32)
        which = np.zeros((len(stack), len(grid)), dtype=np.int16)
        lowest = np.full(len(stack), np.inf, dtype=np.float32)
        for number, template in enumerate(self._ready):
            for first in range(0, len(grid), _BATCH):
                part = slice(first, first + _BATCH)
                images = project_batch(
                    template.upper,
                    template.lower,
                    grid[part],
                    screen.pattern_center,
                    screen.shape,
                    tilt_deg=screen.tilt_deg,
                    azimuthal_deg=screen.azimuthal_deg,
                    twist_deg=screen.twist_deg,
                    sample_tilt_deg=screen.sample_tilt_deg,
                    texels=template.texels,
                )
                values = measured @ normalised(images, seen, 0.0).T
                better = values > scores[:, part]
                which[:, part][better] = number
                np.maximum(scores[:, part], values, out=scores[:, part])
                np.minimum(lowest, values.min(axis=1), out=lowest)
        return scores, which, lowest


@dataclass(eq=False)
class _Candidates:
    """Orientations that patterns may have: (n, k, 4), (n, k, 3), (n, k) and (n, k)."""

    quaternions: NDArray[np.float64]
    centers: NDArray[np.float64]
    correlations: NDArray[np.float64]
    templates: NDArray[np.int64]

    def best(self, count: int) -> _Candidates:
        """Return the candidates of each pattern that correlate best, best first."""
        order = np.argsort(-self.correlations, axis=1, kind="stable")[:, :count]
        every = np.arange(len(order))[:, None]
        return _Candidates(
            self.quaternions[every, order],
            self.centers[every, order],
            self.correlations[every, order],
            self.templates[every, order],
        )

    def share_centers(self, groups: NDArray[np.int64], shown: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Give all patterns of a group of at least `_GROUP` the median pattern centre of the best half of them.

        Returns which patterns (n,) that concerns. In the worse half the orientation may be wrong, and then the centre is.
        """
        best = self.best(1)
        shared = np.zeros(len(groups), dtype=bool)
        for number in np.unique(groups[shown]):
            (mine,) = np.nonzero((groups == number) & shown)
            if len(mine) >= _GROUP:
                order = np.argsort(-best.correlations[mine, 0], kind="stable")
                good = mine[order[: (len(mine) + 1) // 2]]
                self.centers[mine] = np.median(best.centers[good, 0], axis=0)
                shared[mine] = True
        return shared


class _Comparison:
    """Patterns, screen and mask at the height at which they are compared."""

    def __init__(self, stack: Floats, detector: Detector, inside: NDArray[np.bool_], rows: int) -> None:
        shape = _height(detector.shape, rows)
        self.patterns = resample(stack, shape)
        self.mask = _shrunk(inside, shape)
        self.detector = replace(detector, shape=shape)
        self.blank = np.ptp(self.patterns[:, self.mask], axis=1) == 0


def templates_of(masters: NDArray[np.floating], count: int, *, seed: int = 0, half_width: int = 60) -> Floats:
    """Average master patterns of crystals that look alike.

    Parameters
    ----------
    masters
        (n, 2h+1, 2h+1) upper hemispheres of crystals of point group m-3m.
    count
        How many averages, at most.
    seed
        Of the start of k-means.
    half_width
        Of the result.

    Returns
    -------
    numpy.ndarray
        float32 (k, 2 half_width + 1, 2 half_width + 1), each without its slow parts and with standard deviation 1.

    Notes
    -----
    k-means (SciPy's, with k-means++ for a start) on the first principal components of the master patterns, each brought to
    mean 0 and standard deviation 1.
    """
    stack = np.ascontiguousarray(masters, dtype=np.float32)
    side = 2 * half_width + 1
    if stack.shape[1:] != (side, side):
        stack = resample(stack, (side, side))
    # The equator is a mirror of m-3m: across the edge of the square lies the square's own mirror image.
    flat = np.stack(
        [one - gaussian_filter(one, _HIGH_PASS * half_width, mode="reflect") for one in stack]
    ).reshape(len(stack), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= flat.std(axis=1, keepdims=True)
    left, singular, _ = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    components = left[:, :_KEPT] * singular[:_KEPT]
    _, labels = kmeans2(components, min(count, len(stack)), minit="++", seed=seed, iter=50)
    averages = np.stack([flat[labels == label].mean(axis=0) for label in np.unique(labels)])
    averages /= averages.std(axis=1, keepdims=True)
    return averages.reshape(-1, side, side).astype(np.float32)


@cache
def _grid(spacing_deg: float) -> NDArray[np.float64]:
    """Return orientations (m, 4) all over the fundamental zone of m-3m."""
    return np.asarray(get_sample_fundamental(spacing_deg, space_group=_M3M).data, dtype=np.float64)


@cache
def _rotations() -> NDArray[np.float64]:
    """Return the rotations of m-3m, (24, 4)."""
    return np.asarray(Oh.proper_subgroup.data, dtype=np.float64)


def _apart(scores: Floats, grid: NDArray[np.float64], count: int) -> list[int]:
    """Return the places of the best orientations that lie `_APART_DEG` from one another, best first.

    Where there are fewer, the last of them stands for the rest.
    """
    top = np.argpartition(-scores, min(_PEAKS_AMONG, len(scores)) - 1)[:_PEAKS_AMONG]
    top = top[np.argsort(-scores[top], kind="stable")]
    orientations = Rotation(grid[top])
    left = np.ones(len(top), dtype=bool)
    limit = np.cos(np.deg2rad(_APART_DEG) / 2.0)
    found: list[int] = []
    for place in range(len(top)):
        if left[place]:
            found.append(int(top[place]))
            if len(found) == count:
                break
            alike = (Rotation(_rotations()) * orientations[place]).data @ grid[top].T
            left &= np.abs(alike).max(axis=0) < limit
    return found + [found[-1]] * (count - len(found))


def _height(shape: tuple[int, int], rows: int) -> tuple[int, int]:
    """Return a shape of so many rows and the same aspect; the shape itself if it has fewer."""
    if shape[0] <= rows:
        return shape
    return rows, max(8, round(rows * shape[1] / shape[0]))


def _shrunk(inside: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    seen = resample(inside[None].astype(np.float32), shape)[0] > 0.99
    if not seen.any():
        raise InputError("orientations", "the mask leaves nothing of the patterns")
    return np.asarray(seen)
