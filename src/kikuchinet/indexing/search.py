"""Orientation of a pattern when nothing is known of it: the best of a dictionary that covers all orientations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from orix.quaternion import Rotation
from orix.sampling import get_sample_fundamental

from kikuchinet.diffraction import MasterPattern
from kikuchinet.errors import InputError
from kikuchinet.indexing.refinement import normalised
from kikuchinet.microscope.detector import Detector
from kikuchinet.microscope.filters import resample
from kikuchinet.microscope.projection import interleave, project_batch

_BATCH = 512


def search_orientations(
    patterns: NDArray[np.generic],
    master: MasterPattern,
    detector: Detector,
    *,
    masks: NDArray[np.bool_] | None = None,
    spacing_deg: float = 4.0,
    rows: int = 40,
    high_pass: float = 0.125,
    best: int = 1,
) -> tuple[Rotation, NDArray[np.float64]]:
    """Find orientations by comparison with simulated patterns of all orientations.

    Parameters
    ----------
    patterns
        (n, r, c) on a detector of that shape, best with the background taken off.
    master
        Master pattern of the phase. Its space group says which orientations are alike.
    detector
        Where the screen stands; the pattern centre should be right within 0.03.
    masks
        bool (n, r, c) or (r, c), True where a pattern is compared.
    spacing_deg
        Mean distance of neighbouring orientations. Half of it must lie within the reach of `refine`.
    rows
        Patterns are compared at this height.
    high_pass
        As for `refine`.
    best
        Number of orientations returned for a pattern.

    Returns
    -------
    rotations : orix.quaternion.Rotation
        (n, best), sample to crystal, best first.
    correlations : numpy.ndarray
        float64 (n, best).

    Raises
    ------
    InputError
        If shapes disagree or the spacing is not positive.

    Notes
    -----
    Dictionary indexing [1]_ with orix's cubochoric sampling of the fundamental zone. A crystal of class m-3m at 4°
    has about 12,000 orientations, which takes a second.

    References
    ----------
    .. [1] Y. H. Chen et al., Microsc. Microanal. 21 (2015) 739-752.
    """
    rotations, correlations, _ = search_with_spread(
        patterns,
        master,
        detector,
        masks=masks,
        spacing_deg=spacing_deg,
        rows=rows,
        high_pass=high_pass,
        best=best,
    )
    return rotations, correlations


def search_with_spread(
    patterns: NDArray[np.generic],
    master: MasterPattern,
    detector: Detector,
    *,
    masks: NDArray[np.bool_] | None = None,
    spacing_deg: float = 4.0,
    rows: int = 40,
    high_pass: float = 0.125,
    best: int = 1,
) -> tuple[Rotation, NDArray[np.float64], NDArray[np.float64]]:
    """Find orientations as `search_orientations` does, and say how much all orientations' correlations vary.

    Returns
    -------
    rotations, correlations
        As there.
    spread : numpy.ndarray
        float64 (n,) standard deviation of a pattern's correlations with the simulated patterns of all orientations: what a
        wrong orientation reaches by chance, noise and band widths included.
    """
    stack = np.ascontiguousarray(patterns, dtype=np.float32)
    if stack.ndim != 3 or stack.shape[1:] != detector.shape:
        raise InputError(
            "orientation search", f"patterns of shape {stack.shape} on a detector of {detector.shape}"
        )
    if not (spacing_deg > 0 and rows >= 8 and best >= 1):
        raise InputError("orientation search", "needs a positive spacing, 8 rows and one answer at least")
    small = (rows, max(8, round(rows * stack.shape[2] / stack.shape[1])))
    everywhere = np.ones(stack.shape, bool) if masks is None else np.broadcast_to(masks, stack.shape)
    inside = resample(everywhere.astype(np.float32), small) > 0.99
    wanted = resample(stack, small)
    # Patterns of one camera share their mask, and then the dictionary is prepared once.
    kinds, which = np.unique(inside.reshape(len(stack), -1), axis=0, return_inverse=True)
    groups = [(np.flatnonzero(which == k), kind.reshape(small)) for k, kind in enumerate(kinds)]
    if not all(mask.any() for _, mask in groups):
        raise InputError("orientation search", "a mask leaves nothing of its pattern")
    measured = [
        np.concatenate([normalised(wanted[k : k + 1], mask, high_pass) for k in who]) for who, mask in groups
    ]

    grid = np.asarray(
        get_sample_fundamental(spacing_deg, space_group=master.space_group).data, dtype=np.float64
    )
    texels = interleave(master.upper, master.lower)
    scores = np.empty((len(stack), len(grid)), dtype=np.float32)
    for first in range(0, len(grid), _BATCH):
        part = slice(first, first + _BATCH)
        images = project_batch(
            master.upper,
            master.lower,
            grid[part],
            detector.pattern_center,
            small,
            tilt_deg=detector.tilt_deg,
            azimuthal_deg=detector.azimuthal_deg,
            twist_deg=detector.twist_deg,
            sample_tilt_deg=detector.sample_tilt_deg,
            texels=texels,
        )
        for (who, mask), values in zip(groups, measured, strict=True):
            scores[who, part] = values @ normalised(images, mask, high_pass).T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :best]
    correlations = np.take_along_axis(scores, order, axis=1).astype(np.float64)
    return Rotation(grid[order]), correlations, scores.std(axis=1, dtype=np.float64)
