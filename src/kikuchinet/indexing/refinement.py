"""Orientation and pattern centre of a pattern, refined until the simulated pattern fits it best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from orix.quaternion import Rotation

from kikuchinet.errors import InputError
from kikuchinet.microscope.detector import Detector
from kikuchinet.microscope.projection import HasHemispheres, interleave, project_batch
from kikuchinet.patterns.lowpass import gaussian_basis, smooth_kernel

Images = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Steps of the numerical derivatives: about half a pixel of a pattern of 128 px, where bilinear interpolation is
#: no longer a staircase of slopes.
_STEP_RAD = 2.5e-3
_STEP_CENTER = 2e-3
_SMALLEST_STEP = 0.02
"""Of these: 0.003° and 4e-5. Where every part of a step is smaller the fit has ended."""
_DAMPING, _DAMPING_FACTOR = 1e-3, 10.0
_FLOATS = 6_000_000
"""Pixels that are simulated at once."""


@dataclass(frozen=True, eq=False)
class Refinement:
    """Patterns' orientations and pattern centres, and how well the simulated patterns fit there.

    Parameters
    ----------
    rotations
        (n,) sample to crystal.
    pattern_centers
        (n, 3) Bruker's convention.
    correlations
        (n,) normalised cross-correlation of measured and simulated pattern.
    start_correlations
        (n,) the same before refinement.
    """

    rotations: Rotation
    pattern_centers: NDArray[np.float64]
    correlations: NDArray[np.float64]
    start_correlations: NDArray[np.float64]


def refine(
    patterns: NDArray[np.generic],
    master: HasHemispheres,
    rotations: Rotation,
    detector: Detector,
    *,
    pattern_centers: ArrayLike | None = None,
    masks: Mask | None = None,
    high_pass: float = 0.0,
    fit_center: bool = True,
    evaluations: int = 60,
) -> Refinement:
    """Refine the orientation, and the pattern centre, of each pattern by itself.

    Parameters
    ----------
    patterns
        (n, rows, columns), best with the background taken off, as `preprocess` returns them.
    master
        Master pattern of the phase.
    rotations
        (n,) starting orientations, sample to crystal, within some 3° of the truth.
    detector
        Its shape is that of the patterns; its pattern centre is where refinement starts.
    pattern_centers
        (n, 3) or (3,) other starting pattern centres, Bruker's convention.
    masks
        bool (n, rows, columns) or (rows, columns), True where a pattern is compared.
    high_pass
        Standard deviation, in heights, of a Gaussian average that is taken off both patterns; 0 for none. 1/8 fits
        patterns that `preprocess` made ready.
    fit_center
        Whether the pattern centre is refined as well.
    evaluations
        Most evaluations of the fit for a pattern; it takes 5 to 20.

    Returns
    -------
    Refinement
        In the order of the patterns.

    Raises
    ------
    InputError
        If shapes disagree, or a pattern is blank within its mask.

    See Also
    --------
    kikuchinet.indexing.search.search_orientations : where to start if nothing is known.

    Notes
    -----
    With both patterns brought to mean 0 and norm 1, half the sum of squared differences is 1 - r, r being the
    normalised cross-correlation, so the largest r is a problem of least squares and is solved as one
    (Levenberg-Marquardt [1]_ of many patterns at once, with central differences for derivatives). One pattern fixes
    how crystal and screen lie to each other: a wrong tilt of sample or detector goes into the orientation and does not
    change the fit.

    References
    ----------
    .. [1] D. W. Marquardt, J. Soc. Indust. Appl. Math. 11 (1963) 431-441.
    """
    stack = np.ascontiguousarray(patterns, dtype=np.float32)
    if stack.ndim != 3 or stack.shape[1:] != detector.shape:
        raise InputError("refinement", f"patterns of shape {stack.shape} on a detector of {detector.shape}")
    starts = np.asarray(rotations.data, dtype=np.float64).reshape(-1, 4)
    centers = np.asarray(detector.pattern_center if pattern_centers is None else pattern_centers, dtype=float)
    if len(starts) != len(stack) or centers.shape not in ((3,), (len(stack), 3)):
        raise InputError(
            "refinement", f"{len(stack)} patterns, {len(starts)} orientations, {centers.shape} centres"
        )
    centers = np.broadcast_to(centers, (len(stack), 3))
    texels = interleave(master.upper, master.lower)
    parameters = 6 if fit_center else 3
    quaternions, found = np.empty_like(starts), np.empty((len(stack), 3))
    before, after = np.empty(len(stack)), np.empty(len(stack))
    for mask, those in _by_mask(masks, stack.shape):
        at_once = max(1, _FLOATS // ((2 * parameters + 1) * max(1, int(mask.sum()))))
        for first in range(0, len(those), at_once):
            mine = those[first : first + at_once]
            fits = _Fits(stack[mine], mask, master, texels, starts[mine], centers[mine], detector, high_pass)
            offsets, before[mine], after[mine] = fits.best(parameters, evaluations)
            quaternions[mine], found[mine] = fits.place(np.arange(len(mine)), offsets)
    return Refinement(Rotation(quaternions), found, after, before)


def _by_mask(masks: Mask | None, shape: tuple[int, ...]) -> Iterator[tuple[Mask, NDArray[np.int64]]]:
    """Yield each different mask (rows, columns) and the numbers of the patterns that it belongs to."""
    everyone = np.arange(shape[0])
    if masks is None:
        yield np.ones(shape[1:], dtype=bool), everyone
    elif np.ndim(masks) == 2:
        yield np.asarray(masks), everyone
    else:
        flat = np.broadcast_to(masks, shape).reshape(shape[0], -1)
        kinds, which = np.unique(flat, axis=0, return_inverse=True)
        for number, kind in enumerate(kinds):
            yield kind.reshape(shape[1:]), everyone[which.ravel() == number]


def normalised(images: Images, mask: Mask, high_pass: float) -> Images:
    """Return what is compared: pixels on the screen, without slow parts, of mean 0 and norm 1.

    Parameters
    ----------
    images
        float32 (n, rows, columns).
    mask
        bool (rows, columns).
    high_pass
        Standard deviation in heights of the Gaussian average over the screen that is taken off; 0 for none.

    Returns
    -------
    numpy.ndarray
        float32 (n, pixels). All 0 for a blank image.
    """
    if high_pass > 0:
        images = without_average(images, mask, high_pass)
    values = images.reshape(len(images), mask.size) if mask.all() else images[:, mask]
    values = values - values.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    norm = np.sqrt(np.einsum("ij,ij->i", values, values, dtype=np.float64))[:, None]
    values *= (1.0 / np.where(norm > 0, norm, np.inf)).astype(np.float32)
    return np.asarray(values, dtype=np.float32)


def without_average(images: Images, mask: Mask, sigma: float) -> Images:
    """Take off images their Gaussian average over the screen.

    Parameters
    ----------
    images
        float32 (n, rows, columns).
    mask
        bool (rows, columns), True on the screen. What lies outside has no weight; its values in the result mean nothing.
    sigma
        Standard deviation of the Gaussian in heights.

    Returns
    -------
    numpy.ndarray
        float32 (n, rows, columns).
    """
    rows, columns = mask.shape
    bases = (*gaussian_basis(rows, sigma * rows), *gaussian_basis(columns, sigma * rows))
    weight = np.ascontiguousarray(mask, dtype=np.float32)
    share, average, out = np.empty_like(weight), np.empty_like(weight), np.empty_like(images)
    smooth_kernel(weight, *bases, 1, share)
    share = np.maximum(share, np.float32(1e-3))
    for image, result in zip(images, out, strict=True):
        # On the screen's own level: the surround of zeros must not weigh in.
        level = image[mask].mean(dtype=np.float64).astype(np.float32)
        smooth_kernel(weight * (image - level), *bases, 1, average)
        result[:] = image - level - average / share
    return out


def turned(start: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return quaternions after small turns of the sample: start ⊗ exp(vector / 2), (n, 4).

    Parameters
    ----------
    start
        (4,) or (n, 4) unit quaternions, scalar first.
    vectors
        (n, 3) axis times angle in radians.
    """
    half = 0.5 * vectors
    angle = np.linalg.norm(half, axis=1)
    e, (f, g, h) = np.cos(angle), half.T * np.sinc(angle / np.pi)
    a, b, c, d = np.broadcast_to(start, (len(vectors), 4)).T
    return np.stack(
        [
            a * e - b * f - c * g - d * h,
            a * f + b * e + c * h - d * g,
            a * g - b * h + c * e + d * f,
            a * h + b * g - c * f + d * e,
        ],
        axis=1,
    )


class _Fits:
    """Patterns of one mask and the simulated ones around their starting points."""

    def __init__(
        self,
        patterns: Images,
        mask: Mask,
        master: HasHemispheres,
        texels: Images,
        starts: NDArray[np.float64],
        centers: NDArray[np.float64],
        detector: Detector,
        high_pass: float,
    ) -> None:
        self.mask, self.high_pass = mask, high_pass
        self.master, self.texels = master, texels
        self.starts, self.centers, self.detector = starts, centers, detector
        if not mask.any():
            raise InputError("refinement", "a mask leaves nothing of its pattern")
        self.measured = normalised(patterns, mask, high_pass)
        if not self.measured.any(axis=1).all():
            raise InputError("refinement", "a pattern is blank")

    def place(
        self, which: NDArray[np.int64], offsets: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return quaternions (n, 4) and pattern centres (n, 3) of patterns' offsets (n, 3 or 6), in units of the steps."""
        centers = self.centers[which].copy()
        if offsets.shape[1] == 6:
            centers += _STEP_CENTER * offsets[:, 3:]
        # Behind the screen there is nothing to see: a step that far is taken back by the fit.
        centers[:, 2] = np.maximum(centers[:, 2], 0.05)
        return turned(self.starts[which], _STEP_RAD * offsets[:, :3]), centers

    def _simulated(self, which: NDArray[np.int64], offsets: NDArray[np.float64]) -> Images:
        quaternions, centers = self.place(which, offsets)
        screen = self.detector
        images = project_batch(
            self.master.upper,
            self.master.lower,
            quaternions,
            centers,
            screen.shape,
            tilt_deg=screen.tilt_deg,
            azimuthal_deg=screen.azimuthal_deg,
            twist_deg=screen.twist_deg,
            sample_tilt_deg=screen.sample_tilt_deg,
            texels=self.texels,
        )
        return normalised(images, self.mask, self.high_pass)

    def _derivatives(self, which: NDArray[np.int64], offsets: NDArray[np.float64]) -> Images:
        """Return the central differences (n, parameters, pixels) of the simulated patterns."""
        count, parameters = offsets.shape
        steps = 0.5 * np.eye(parameters)
        around = np.concatenate([offsets[:, None] + steps, offsets[:, None] - steps], axis=1)
        images = self._simulated(np.repeat(which, 2 * parameters), around.reshape(-1, parameters))
        images = images.reshape(count, 2, parameters, images.shape[1])
        return images[:, 0] - images[:, 1]

    def best(
        self, parameters: int, evaluations: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the offsets (n, parameters) of the best fits, and the correlations (n,) before and after."""
        count = len(self.measured)
        everyone = np.arange(count)
        offsets = np.zeros((count, parameters))
        images = self._simulated(everyone, offsets)
        before = _products(images, self.measured)
        after = before.copy()
        slopes, curvatures = np.empty((count, parameters)), np.empty((count, parameters, parameters))
        damping = np.full(count, _DAMPING)
        moved, active = np.ones(count, dtype=bool), np.ones(count, dtype=bool)
        for _ in range(evaluations):
            (there,) = np.nonzero(active & moved)
            derivatives = self._derivatives(there, offsets[there])
            slopes[there] = np.einsum("nkp,np->nk", derivatives, images[there] - self.measured[there])
            curvatures[there] = derivatives @ derivatives.swapaxes(1, 2)
            (mine,) = np.nonzero(active)
            scale = np.einsum("nkk->nk", curvatures[mine]) + np.finfo(np.float32).tiny
            damped = curvatures[mine] + np.einsum("n,nk,kl->nkl", damping[mine], scale, np.eye(parameters))
            step = -np.linalg.solve(damped, slopes[mine][..., None])[..., 0]
            trial = offsets[mine] + step
            tried = self._simulated(mine, trial)
            values = _products(tried, self.measured[mine])
            better = values > after[mine]
            moved[mine] = better
            offsets[mine[better]], after[mine[better]] = trial[better], values[better]
            images[mine[better]] = tried[better]
            damping[mine] *= np.where(better, 1.0 / _DAMPING_FACTOR, _DAMPING_FACTOR)
            active[mine] = np.abs(step).max(axis=1) > _SMALLEST_STEP
            if not active.any():
                break
        return offsets, before, after


def _products(first: Images, second: Images) -> NDArray[np.float64]:
    return np.einsum("np,np->n", first, second, dtype=np.float64)
