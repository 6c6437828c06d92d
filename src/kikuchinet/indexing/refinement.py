"""Orientation and pattern centre of a pattern, refined until the simulated pattern fits it best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from orix.quaternion import Rotation
from scipy.optimize import least_squares

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

    Notes
    -----
    With both patterns brought to mean 0 and norm 1, half the sum of squared differences is 1 - r, r being the
    normalised cross-correlation, so the largest r is a problem of least squares and is solved as one
    (Levenberg-Marquardt, from MINPACK). One pattern fixes how crystal and screen lie to each other: a wrong tilt of
    sample or detector goes into the orientation and does not change the fit.

    See Also
    --------
    kikuchinet.indexing.search.search_orientations : where to start if nothing is known.
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
    all_masks = np.ones(stack.shape, dtype=bool) if masks is None else np.broadcast_to(masks, stack.shape)
    quaternions, found, before, after = np.empty_like(starts), np.empty((len(stack), 3)), [], []
    for k in range(len(stack)):
        fit = _Fit(stack[k], all_masks[k], master, texels, starts[k], centers[k], detector, high_pass)
        first = np.zeros(6 if fit_center else 3)
        result = least_squares(
            fit.residuals, first, fit.jacobian, method="lm", max_nfev=evaluations, xtol=1e-5
        )
        quaternions[k], found[k] = (part[0] for part in fit.place(result.x[None]))
        before.append(fit.correlation(first))
        after.append(fit.correlation(result.x))
    return Refinement(Rotation(quaternions), found, np.array(after), np.array(before))


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
    values = images[:, mask]
    values = values - values.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    norm = np.sqrt(np.einsum("ij,ij->i", values, values, dtype=np.float64))[:, None]
    return np.asarray(values / np.where(norm > 0, norm, np.inf), dtype=np.float32)


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
    """Return a quaternion after small turns of the sample: start ⊗ exp(vector / 2), (n, 4).

    Parameters
    ----------
    start
        (4,) unit quaternion, scalar first.
    vectors
        (n, 3) axis times angle in radians.
    """
    half = 0.5 * vectors
    angle = np.linalg.norm(half, axis=1, keepdims=True)
    turn = np.concatenate([np.cos(angle), half * np.sinc(angle / np.pi)], axis=1)
    a, b, c, d = start
    product = np.array([[a, -b, -c, -d], [b, a, -d, c], [c, d, a, -b], [d, -c, b, a]])
    return np.asarray(turn @ product.T)


class _Fit:
    """One pattern and the simulated ones around its starting point."""

    def __init__(
        self,
        pattern: Images,
        mask: Mask,
        master: HasHemispheres,
        texels: Images,
        start: NDArray[np.float64],
        center: NDArray[np.float64],
        detector: Detector,
        high_pass: float,
    ) -> None:
        self.mask, self.high_pass = mask, high_pass
        self.master, self.texels = master, texels
        self.start, self.center, self.detector = start, center, detector
        if not mask.any():
            raise InputError("refinement", "a mask leaves nothing of its pattern")
        self.measured = normalised(pattern[None], mask, high_pass)[0].astype(np.float64)
        if not self.measured.any():
            raise InputError("refinement", "a pattern is blank")

    def place(self, offsets: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return quaternions (n, 4) and pattern centres (n, 3) of offsets (n, 3 or 6), in units of the steps."""
        centers = np.tile(self.center, (len(offsets), 1))
        if offsets.shape[1] == 6:
            centers += _STEP_CENTER * offsets[:, 3:]
        # Behind the screen there is nothing to see: a step that far is taken back by the fit.
        centers[:, 2] = np.maximum(centers[:, 2], 0.05)
        return turned(self.start, _STEP_RAD * offsets[:, :3]), centers

    def _simulated(self, offsets: NDArray[np.float64]) -> NDArray[np.float64]:
        quaternions, centers = self.place(offsets)
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
        return normalised(images, self.mask, self.high_pass).astype(np.float64)

    def residuals(self, offset: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return simulated less measured pattern, (pixels,)."""
        return np.asarray(self._simulated(offset[None])[0] - self.measured)

    def jacobian(self, offset: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the derivatives of the residuals, (pixels, parameters), central differences."""
        steps = 0.5 * np.eye(len(offset))
        images = self._simulated(np.concatenate([offset + steps, offset - steps]))
        return np.asarray((images[: len(offset)] - images[len(offset) :]).T)

    def correlation(self, offset: NDArray[np.float64]) -> float:
        """Return the normalised cross-correlation."""
        return float(self._simulated(offset[None])[0] @ self.measured)
