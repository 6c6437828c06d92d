"""Orientation of a cubic crystal whose phase nobody has named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from orix.quaternion import Rotation
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
SEARCH_ROWS, REFINE_ROWS = 36, 48
"""Heights at which orientations are searched and refined."""
CENTERS: tuple[tuple[float, float, float], ...] = tuple(
    (0.5, y, z) for y in (0.15, 0.24, 0.33, 0.42, 0.51) for z in (0.42, 0.51, 0.6, 0.69, 0.78, 0.87)
)
"""Pattern centres tried where none is known: the middle of the screen in x, and where cameras have it in y and z."""
_COARSE_DEG, _COARSE_ROWS = 6.0, 24
_CENTERS_REFINED = 3
_M3M = 221
_BATCH = 1024
_EVALUATIONS = 16
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
    """

    quaternions: NDArray[np.float64]
    pattern_centers: NDArray[np.float64]
    correlations: NDArray[np.float64]
    templates: NDArray[np.int64]

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
        candidates: int = 3,
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
            How many of the best pairs of template and orientation are refined.
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
        starts, which, _ = self._searched(
            stack, detector, inside, candidates, rows=SEARCH_ROWS, grid=_grid(SPACING_DEG)
        )
        shape = _height(detector.shape, REFINE_ROWS)
        small, seen, screen = resample(stack, shape), _shrunk(inside, shape), replace(detector, shape=shape)
        blank = np.ptp(small[:, seen], axis=1) == 0
        found = CubicOrientations(
            quaternions=starts[:, 0].copy(),
            pattern_centers=np.tile(detector.pattern_center, (len(stack), 1)),
            correlations=np.full(len(stack), -1.0),
            templates=which[:, 0].copy(),
        )
        for rank in range(candidates):
            for number in np.unique(which[:, rank]):
                (mine,) = np.nonzero((which[:, rank] == number) & ~blank)
                if not mine.size:
                    continue
                fit = refine(
                    small[mine],
                    self._ready[number],
                    Rotation(starts[mine, rank]),
                    screen,
                    masks=seen,
                    fit_center=fit_center,
                    evaluations=_EVALUATIONS,
                )
                better = fit.correlations > found.correlations[mine]
                places = mine[better]
                found.quaternions[places] = fit.rotations.data.reshape(-1, 4)[better]
                found.pattern_centers[places] = fit.pattern_centers[better]
                found.correlations[places] = fit.correlations[better]
                found.templates[places] = number
        if fit_center:
            numbers = np.zeros(len(stack), dtype=np.int64) if groups is None else np.asarray(groups)
            self._share_centers(found, numbers, small, seen, screen)
        return found

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
            _, _, scores = self._searched(
                stack, screen, inside, 1, rows=_COARSE_ROWS, grid=_grid(_COARSE_DEG)
            )
            first.append(float(scores.mean()))
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

    def _share_centers(
        self,
        found: CubicOrientations,
        groups: NDArray[np.int64],
        small: Floats,
        seen: NDArray[np.bool_],
        screen: Detector,
    ) -> None:
        """Refine orientations once more, with the median pattern centre of each group of at least `_GROUP` patterns."""
        shown = found.correlations > -1.0
        shared = np.zeros(len(groups), dtype=bool)
        for number in np.unique(groups[shown]):
            (mine,) = np.nonzero((groups == number) & shown)
            if len(mine) >= _GROUP:
                # Of the better half: where the orientation is wrong, so is the centre.
                best = mine[np.argsort(-found.correlations[mine], kind="stable")[: (len(mine) + 1) // 2]]
                found.pattern_centers[mine] = np.median(found.pattern_centers[best], axis=0)
                shared[mine] = True
        for number in np.unique(found.templates[shared]):
            (mine,) = np.nonzero((found.templates == number) & shared)
            fit = refine(
                small[mine],
                self._ready[number],
                Rotation(found.quaternions[mine]),
                screen,
                pattern_centers=found.pattern_centers[mine],
                masks=seen,
                fit_center=False,
                evaluations=_EVALUATIONS,
            )
            found.quaternions[mine] = fit.rotations.data.reshape(-1, 4)
            found.correlations[mine] = fit.correlations

    def _searched(
        self,
        stack: Floats,
        detector: Detector,
        inside: NDArray[np.bool_],
        best: int,
        *,
        rows: int,
        grid: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], Floats]:
        """Return the orientations (n, best, 4) that correlate best, their templates (n, best) and the correlations."""
        shape = _height(detector.shape, rows)
        seen, screen = _shrunk(inside, shape), replace(detector, shape=shape)
        measured = normalised(resample(stack, shape), seen, 0.0)
        scores = np.full((len(stack), best), -np.inf, dtype=np.float32)
        where = np.zeros((len(stack), best), dtype=np.int64)
        for number, template in enumerate(self._ready):
            for first in range(0, len(grid), _BATCH):
                part = grid[first : first + _BATCH]
                images = project_batch(
                    template.upper,
                    template.lower,
                    part,
                    screen.pattern_center,
                    shape,
                    tilt_deg=screen.tilt_deg,
                    azimuthal_deg=screen.azimuthal_deg,
                    twist_deg=screen.twist_deg,
                    sample_tilt_deg=screen.sample_tilt_deg,
                    texels=template.texels,
                )
                values = measured @ normalised(images, seen, 0.0).T
                kept = min(best, len(part))
                top = np.argpartition(-values, kept - 1, axis=1)[:, :kept]
                scores = np.concatenate([scores, np.take_along_axis(values, top, axis=1)], axis=1)
                where = np.concatenate([where, number * len(grid) + first + top], axis=1)
                order = np.argsort(-scores, axis=1, kind="stable")[:, :best]
                scores = np.take_along_axis(scores, order, axis=1)
                where = np.take_along_axis(where, order, axis=1)
        return grid[where % len(grid)], where // len(grid), scores


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
