"""Quality figures that need the Hough transform: band contrast, and mean angular deviation by indexing."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal
from kikuchinet.crystal.orix_phase import orix_phase
from kikuchinet.diffraction.bands import find_bands
from kikuchinet.errors import InputError
from kikuchinet.microscope import Detector
from kikuchinet.patterns.hough import hough_transforms
from kikuchinet.patterns.libraries import import_pyebsdindex
from kikuchinet.patterns.preprocessing import preprocess

if TYPE_CHECKING:
    import pandas as pd

_FAMILIES = 8
"""Families of bands that a phase is indexed by, the strongest."""
_CHUNK = 528
N_BANDS = 9
"""Bands that are looked for in a pattern."""


@dataclass(frozen=True, eq=False)
class HoughIndexing:
    """What Hough indexing says of n patterns.

    Parameters
    ----------
    phase
        (n,) number of the crystal in the list that was given; -1 where no solution was found.
    quaternions
        (n, 4) orientation, sample to crystal, scalar first; (1, 0, 0, 0) without a solution.
    mad_deg
        (n,) mean angular deviation between the bands found and those of the solution, degrees; NaN without one.
    matched
        (n,) number of bands that the solution explains.
    confidence
        (n,) PyEBSDIndex's confidence metric, 0 to 1.
    band_contrast
        (n,) `band_contrast` of the patterns.
    """

    phase: NDArray[np.int64]
    quaternions: NDArray[np.float64]
    mad_deg: NDArray[np.float64]
    matched: NDArray[np.int64]
    confidence: NDArray[np.float64]
    band_contrast: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.phase)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with columns ``phase, qa, qb, qc, qd, mad_deg, matched, confidence, band_contrast``."""
        import pandas as pd

        frame = pd.DataFrame(self.quaternions, columns=["qa", "qb", "qc", "qd"])
        frame.insert(0, "phase", self.phase)
        for name in ("mad_deg", "matched", "confidence", "band_contrast"):
            frame[name] = getattr(self, name)
        return frame


def hough_indexing(
    images: NDArray[Any] | Sequence[NDArray[Any]],
    crystals: Crystal | Sequence[Crystal],
    detector: Detector,
    *,
    pattern_centers: NDArray[np.float64] | None = None,
    n_bands: int = N_BANDS,
) -> HoughIndexing:
    """Index patterns by their Hough transforms.

    Parameters
    ----------
    images
        (n, rows, columns), as the camera or the vendor's program left them.
    crystals
        The phases that may be there.
    detector
        Where the screen stands; its shape must be the patterns'.
    pattern_centers
        (n, 3), Bruker's convention, one a pattern; the detector's for all if not given.
    n_bands
        Bands that are looked for.

    Returns
    -------
    HoughIndexing
        Solutions and quality figures.

    Raises
    ------
    kikuchinet.errors.InputError
        There are no patterns or phases, or shapes do not fit.

    Notes
    -----
    PyEBSDIndex [1]_ through kikuchipy, on patterns after `preprocess`. A phase is indexed by the eight strongest families of
    its bands (`diffraction.bands.find_bands`); its fit is what vendors call MAD, mean angular deviation.

    References
    ----------
    .. [1] D. J. Rowenhorst, P. G. Callahan, H. W. Ånes, J. Appl. Cryst. 57 (2024) 3-19.
    """
    phases = [crystals] if isinstance(crystals, Crystal) else list(crystals)
    if not phases:
        raise InputError("phases", "none was given to index by")
    if len(images) == 0:
        raise InputError("images", "no patterns")
    shape = np.asarray(images[0]).shape
    if shape != tuple(detector.shape):
        raise InputError("images", f"shape {shape}; the detector's is {tuple(detector.shape)}")
    prepared = preprocess(images, size=detector.shape)
    n = len(prepared)
    screen = detector.to_kikuchipy()
    if pattern_centers is not None:
        centers = np.asarray(pattern_centers, dtype=np.float64)
        if centers.shape != (n, 3):
            raise InputError("pattern centres", f"shape {centers.shape}; ({n}, 3) is needed")
        screen.pc = centers
    found = _index(prepared, phases, screen, n_bands)
    phase = found["phase"].astype(np.int64)
    solved = phase >= 0
    quaternions = np.where(solved[:, None], found["quat"].astype(np.float64), [1.0, 0.0, 0.0, 0.0])
    quaternions[quaternions[:, 0] < 0] *= -1
    return HoughIndexing(
        phase=phase,
        quaternions=quaternions,
        mad_deg=np.where(solved, found["fit"].astype(np.float64), np.nan),
        matched=np.where(solved, found["nmatch"], 0).astype(np.int64),
        confidence=np.where(solved, found["cm"].astype(np.float64), 0.0),
        band_contrast=_contrast(prepared, n_bands),
    )


def band_contrast(
    images: NDArray[Any] | Sequence[NDArray[Any]], *, n_bands: int = N_BANDS
) -> NDArray[np.float64]:
    """Return how much brighter the bands of patterns are than the whole.

    Parameters
    ----------
    images
        (n, rows, columns).
    n_bands
        Bands that are looked for.

    Returns
    -------
    numpy.ndarray
        (n,) mean over the bands found of the mean grey level along their middle lines, less the mean of the pattern, in
        standard deviations of the pattern's grey levels, all after `preprocess`. 0 without bands.

    Notes
    -----
    Band contrast is the mean intensity of the Kikuchi bands against that of the whole pattern [1]_. The vendor scales it to
    0 to 255 in an unpublished way; this does not.

    References
    ----------
    .. [1] T. Maitland, S. Sitzman, in: Scanning Microscopy for Nanotechnology (Springer, 2007), chapter 2.
    """
    if len(images) == 0:
        raise InputError("images", "no patterns")
    shape = np.asarray(images[0]).shape
    if len(shape) != 2:
        raise InputError("images", f"a pattern of shape {shape}; rows and columns are needed")
    return _contrast(preprocess(images, size=(shape[0], shape[1])), n_bands)


def _contrast(prepared: NDArray[np.float32], n_bands: int) -> NDArray[np.float64]:
    values = np.zeros(len(prepared))
    spread = prepared.std(axis=(1, 2), dtype=np.float64)
    (which,) = np.nonzero(spread > 0.0)
    for start in range(0, len(which), _CHUNK):
        part = which[start : start + _CHUNK]
        for number, transform in zip(part, hough_transforms(prepared[part], n_bands), strict=True):
            if not len(transform.bands):
                continue
            theta = np.abs(transform.theta_deg[None] - transform.bands[:, :1]).argmin(axis=1)
            rho = np.abs(transform.rho[None] - transform.bands[:, 1:2]).argmin(axis=1)
            lines = float(transform.values[rho, theta].mean())
            values[number] = (lines - float(prepared[number].mean())) / spread[number]
    return values


def _index(
    prepared: NDArray[np.float32], phases: Sequence[Crystal], screen: Any, n_bands: int
) -> NDArray[Any]:
    """Return PyEBSDIndex's best solution of each pattern, a structured array (n,)."""
    from orix.crystal_map import PhaseList

    # Names must differ in a phase list.
    listed = PhaseList(
        [orix_phase(crystal, f"{number} {crystal.name}") for number, crystal in enumerate(phases)]
    )
    reflectors = [_reflectors(crystal) for crystal in phases]
    import_pyebsdindex()
    # It tells of itself on standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        indexer = screen.get_indexer(listed, reflectors, nBands=n_bands, tSigma=2, rSigma=2)
        data, _, _, _ = indexer.index_pats(patsin=prepared, chunksize=_CHUNK, verbose=0)
    best: NDArray[Any] = data[-1]
    return best


def _reflectors(crystal: Crystal) -> NDArray[np.int64]:
    """Return (n, 3) one plane of each of the strongest families."""
    bands = find_bands(crystal)
    seen: set[tuple[int, ...]] = set()
    chosen = []
    for hkl in bands.hkl:
        family = {tuple(row) for row in (hkl @ crystal.laue_operations).tolist()}
        if tuple(hkl.tolist()) in seen:
            continue
        seen |= family
        chosen.append(hkl)
        if len(chosen) == _FAMILIES:
            break
    return np.array(chosen)
