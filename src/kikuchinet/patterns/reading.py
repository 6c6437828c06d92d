"""Files of patterns: whatever kikuchipy loads, pictures, and folders of either."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.patterns.edax import OH5_EXTENSION, UP_EXTENSIONS, oh5_sources, up_source
from kikuchinet.patterns.geometry import signal_geometry
from kikuchinet.patterns.hdf5 import HDF5_EXTENSIONS, check_hdf5
from kikuchinet.patterns.image_files import IMAGE_EXTENSIONS, folder_source, image_source, natural_key
from kikuchinet.patterns.libraries import quiet, words
from kikuchinet.patterns.limits import check_count, check_shape
from kikuchinet.patterns.source import PatternSource

if TYPE_CHECKING:
    from orix.crystal_map import CrystalMap

#: Endings of the files that programs for EBSD write patterns to (kikuchipy, Bruker, EDAX, EMsoft, NORDIF, Oxford).
VENDOR_EXTENSIONS: tuple[str, ...] = (
    ".h5",
    ".hdf5",
    ".h5ebsd",
    ".h5oina",
    ".ebsp",
    ".dat",
    *UP_EXTENSIONS,
    OH5_EXTENSION,
)

#: A static background belongs to raw patterns if their mean resembles it this much (correlation). Raw NORDIF
#: frames of Ni and Si: 0.997 and 0.999; the same after its removal: 0.52 and 0.06.
_SAME_BACKGROUND = 0.8


def read_patterns(
    paths: str | Path | Iterable[str | Path], *, static_background: bool = True
) -> list[PatternSource]:
    """Open files and folders of patterns. Patterns themselves are read when they are needed.

    Parameters
    ----------
    paths
        One or more of: a file that kikuchipy loads (.h5, .h5oina, .ebsp, .up1, .up2, .dat...), an image file
        (`IMAGE_EXTENSIONS`), a folder of image files, a folder of files that kikuchipy loads.
    static_background
        Whether raw patterns are divided by the static background that their file holds.

    Returns
    -------
    list of PatternSource
        In the order given; a file with several scans and a folder of several files give one source each.

    Raises
    ------
    InputError
        If something does not exist, is empty or damaged, or holds no patterns. It names the file.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if not given:
        raise InputError("input", "no files were given")
    sources: list[PatternSource] = []
    for item in given:
        sources.extend(_open(Path(item), static_background))
    return sources


def open_patterns(
    paths: str | Path | Iterable[str | Path], *, static_background: bool = True
) -> tuple[list[PatternSource], list[InputError]]:
    """Open what can be opened of files and folders of patterns.

    Parameters
    ----------
    paths, static_background
        As for `read_patterns`.

    Returns
    -------
    sources : list of PatternSource
        In the order given. Damaged images of a folder are part of its source, so that a scan keeps its shape; they
        fail when they are read.
    failures : list of InputError
        What could not be opened, and why.
    """
    sources: list[PatternSource] = []
    failures: list[InputError] = []
    for item in [paths] if isinstance(paths, str | Path) else list(paths):
        try:
            sources.extend(_open(Path(item), static_background, failures))
        except InputError as error:
            failures.append(error)
    return sources, failures


def example_patterns(*, static_background: bool = True) -> PatternSource:
    """Return the nine measured nickel patterns that ship inside kikuchipy.

    Parameters
    ----------
    static_background
        Whether they are divided by the static background that was measured with them.

    Returns
    -------
    PatternSource
        A scan of 3 x 3 patterns of 60 x 60 px: Ni (space group 225), NORDIF UF-1100, 20 kV. Nothing is downloaded.

    Notes
    -----
    Data set of H. W. Ånes, CC BY 4.0; see `kikuchipy.data.nickel_ebsd_small`.
    """
    import kikuchipy

    # Its own path, not `kikuchipy.data`'s function: that one would fetch the file if it were not there.
    path = Path(kikuchipy.__file__).parent / "data" / "kikuchipy_h5ebsd" / "patterns.h5"
    if not path.is_file():
        raise InputError("example patterns", "are not inside the installed kikuchipy")
    return _vendor_sources(path, static_background, name="kikuchipy nickel_ebsd_small")[0]


def _open(
    path: Path, static_background: bool, failures: list[InputError] | None = None
) -> list[PatternSource]:
    """Open a file or folder; what is wrong with a part of it is raised, or put into `failures` where these are given."""
    if not path.exists():
        raise InputError(path, "does not exist")
    if path.is_dir():
        return _open_folder(path, static_background, failures)
    if path.stat().st_size == 0:
        raise InputError(path, "is empty")
    ending = path.suffix.lower()
    if ending in IMAGE_EXTENSIONS:
        return [image_source(path)]
    if ending in UP_EXTENSIONS:
        return [up_source(path)]
    if ending == OH5_EXTENSION:
        return oh5_sources(path)
    if ending in VENDOR_EXTENSIONS:
        return _vendor_sources(path, static_background)
    known = " ".join((*VENDOR_EXTENSIONS, *IMAGE_EXTENSIONS))
    raise InputError(path, f"is of no known kind of pattern file ({known})")


def _open_folder(
    folder: Path, static_background: bool, failures: list[InputError] | None
) -> list[PatternSource]:
    files = sorted(
        (file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")),
        key=natural_key,
    )
    # Pictures beside a vendor's file are its backgrounds and calibration patterns, not the scan.
    vendor = [file for file in files if file.suffix.lower() in VENDOR_EXTENSIONS]
    if vendor:
        sources = []
        for file in vendor:
            try:
                sources.extend(_open(file, static_background, failures))
            except InputError as error:
                if failures is None:
                    raise
                failures.append(error)
        return sources
    pictures = [file for file in files if file.suffix.lower() in IMAGE_EXTENSIONS]
    if not pictures:
        raise InputError(folder, "holds no pattern files")
    return [folder_source(folder, pictures, damaged=failures is not None)]


def _vendor_sources(path: Path, static_background: bool, name: str | None = None) -> list[PatternSource]:
    import kikuchipy as kp

    try:
        with quiet():
            check_hdf5(path)
            scans = _scan_groups(path)
            loaded = kp.load(path, lazy=True, **({"scan_group_names": scans} if len(scans) > 1 else {}))
    except InputError:
        raise
    except Exception as error:
        raise InputError(path, f"cannot be read as patterns ({words(error)})") from error
    signals = loaded if isinstance(loaded, list) else [loaded]
    if not signals:
        raise InputError(path, "holds no patterns")
    sources = []
    for number, signal in enumerate(signals):
        kind = type(signal).__name__
        if "MasterPattern" in kind:
            raise InputError(path, "holds a master pattern, not detector patterns")
        title = (name or str(path)) + (f", scan {number + 1}" if len(signals) > 1 else "")
        sources.append(_signal_source(signal, path, title, static_background))
    return sources


def _scan_groups(path: Path) -> list[str]:
    """Return the names of the scans of an HDF5 file in the layout that vendors and kikuchipy share (h5ebsd).

    Each has ``EBSD/Data`` and ``EBSD/Header``; one that lacks either is damaged, and kikuchipy says so. EMsoft's files have
    groups ``EBSD``, too, but neither of these in them.
    """
    import h5py

    if path.suffix.lower() not in HDF5_EXTENSIONS:
        return []
    with h5py.File(path) as file:
        return [
            name
            for name in sorted(file, key=lambda key: natural_key(Path(key)))
            if any(isinstance(file.get(f"{name}/EBSD/{part}"), h5py.Group) for part in ("Data", "Header"))
        ]


def _reference(signal: Any, n: int) -> CrystalMap | None:
    """Return a signal's crystal map if somebody has indexed the patterns."""
    xmap = getattr(signal, "xmap", None)
    if xmap is None or xmap.size != n:
        return None
    # An empty map of kikuchipy's has one phase without a symmetry, in the identity orientation.
    known = any(phase.point_group is not None for _, phase in xmap.phases)
    turned = bool((np.abs(xmap.rotations.data.reshape(-1, 4)[:, 0]) < 1.0 - 1e-9).any())
    return xmap if known or turned else None


def _signal_source(signal: Any, path: Path, name: str, static_background: bool) -> PatternSource:
    """Return a source that reads from a lazy kikuchipy signal."""
    data = signal.data
    if data.ndim < 2:
        raise InputError(path, f"holds data of shape {data.shape}; a pattern has rows and columns")
    shape = tuple(int(side) for side in data.shape[-2:])
    check_shape(path, shape)
    scan = tuple(int(side) for side in data.shape[:-2])
    n = int(np.prod(scan, dtype=np.int64)) if scan else 1
    if n == 0:
        raise InputError(path, "holds no patterns")
    # A signal in memory has no file to be measured against.
    if path.is_file():
        check_count(path, n, n * shape[0] * shape[1] * data.dtype.itemsize, path.stat().st_size)
    if len(scan) > 2:
        raise InputError(path, f"holds a scan of {len(scan)} dimensions; two at most are understood")
    width = scan[-1] if scan else 1

    def read(first: int, last: int) -> Sequence[NDArray[Any]]:
        try:
            with quiet():
                return _patterns(data, scan, first, last)
        except Exception as error:
            raise InputError(
                path, f"patterns {first} to {last - 1} cannot be read ({words(error)})"
            ) from error

    rows, columns = np.divmod(np.arange(n), width)
    background = None
    if static_background:
        background = _belonging_background(signal, read, n, shape)
    step, unit = _step(signal, scan)
    return PatternSource(
        name=name,
        names=[name] * n,
        read=read,
        navigation_shape=scan or None,
        rows=rows if len(scan) == 2 else None,
        columns=columns if scan else None,
        step=step,
        step_unit=unit,
        static_background=background,
        geometry=signal_geometry(signal, n),
        load_reference=lambda: _reference(signal, n),
    )


def _patterns(data: Any, scan: tuple[int, ...], first: int, last: int) -> list[NDArray[Any]]:
    """Return patterns first to last - 1 of a dask or NumPy array, reading whole rows of the scan only once."""
    if not scan:
        return [np.asarray(data)]
    if len(scan) == 1:
        return list(np.asarray(data[first:last]))
    width = scan[1]
    row0, row1 = first // width, (last - 1) // width + 1
    if row1 - row0 == 1:
        return list(np.asarray(data[row0, first - row0 * width : last - row0 * width]))
    block = np.asarray(data[row0:row1]).reshape(-1, *data.shape[-2:])
    return list(block[first - row0 * width : last - row0 * width])


def _belonging_background(
    signal: Any, read: Any, n: int, shape: tuple[int, ...]
) -> NDArray[np.float32] | None:
    """Return the file's static background if the patterns still contain it.

    Files keep the background after it has been removed from the patterns; dividing by it then would put it back,
    inverted.
    """
    background = getattr(signal, "static_background", None)
    if background is None:
        return None
    level = np.asarray(background, dtype=np.float32)
    if level.shape != shape or not np.isfinite(level).all() or np.median(level) <= 0 or np.ptp(level) == 0:
        return None
    some = sorted({int(i) for i in np.linspace(0, n - 1, 9)})
    mean = np.mean([np.asarray(read(i, i + 1)[0], dtype=np.float64) for i in some], axis=0)
    if not np.isfinite(mean).all() or np.ptp(mean) == 0:
        return None
    return level if np.corrcoef(mean.ravel(), level.ravel())[0, 1] > _SAME_BACKGROUND else None


def _step(signal: Any, scan: tuple[int, ...]) -> tuple[tuple[float, float] | None, str]:
    """Return the scan's step (between rows, between columns) and its unit; None where the signal is not calibrated."""
    axes = signal.axes_manager.navigation_axes
    # HyperSpy gives an axis without a unit the scale 1, which says nothing.
    if not scan or not axes or not isinstance(axes[0].units, str):
        return None, "um"
    scales = [float(axis.scale) for axis in axes]  # fastest first
    unit = axes[0].units
    return (scales[1] if len(scales) > 1 else scales[0], scales[0]), "um" if unit in (
        "um",
        "µm",
        "μm",
    ) else unit
