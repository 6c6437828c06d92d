"""Detectors that are sold, as they stand in front of a sample: shape, pattern centre, tilts, bits and binning modes."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from kikuchinet.errors import InputError
from kikuchinet.microscope.detector import Detector

_RECALLED = "recalled"
_TIFF = "header (XML in TIFF tag 51122) of the pattern that Kaufmann et al. released, krkaufma/Electron-Diffraction-CNN"
_NICKEL = "file header of kikuchipy.data.nickel_ebsd_small"


@dataclass(frozen=True)
class Instrument:
    """A detector with what its maker says, or its files show, about it.

    Parameters
    ----------
    name
        Key in `INSTRUMENTS`.
    detector
        The whole screen at the camera's own pixels, where a pattern centre of it is known; else a usual one.
    bits
        Bits of a stored pixel.
    screen
        ``"full"``: the screen fills the image. ``"round"``: it is a disc within it.
    processing
        What stored patterns usually have gone through: ``"raw"``, ``"static"`` or ``"static, dynamic"`` background.
    binning_modes
        Shapes (rows, columns) that the camera offers, the largest first.
    sources
        Where each entry is from; ``"recalled"`` if only from memory, and then no better than a usual value. Entries are
        ``shape``, ``px_size_um``, ``pattern_center``, ``tilts``, ``bits``, ``screen``, ``processing`` and
        ``binning_modes``. A pixel size of 1 µm means that it is not known.
    """

    name: str
    detector: Detector
    bits: int
    screen: str
    processing: str
    binning_modes: tuple[tuple[int, int], ...]
    sources: MappingProxyType[str, str]

    def in_mode(self, shape: tuple[int, int]) -> Detector:
        """Return the detector in one of its binning modes.

        Raises
        ------
        InputError
            If the camera has no such mode.
        """
        if shape not in self.binning_modes:
            modes = ", ".join(f"{rows} x {columns}" for rows, columns in self.binning_modes)
            raise InputError(f"{self.name} {shape[0]} x {shape[1]}", f"not a binning mode; there are {modes}")
        return self.detector.binned(shape)


def _sources(**known: str) -> MappingProxyType[str, str]:
    entries = (
        "shape",
        "px_size_um",
        "pattern_center",
        "tilts",
        "bits",
        "screen",
        "processing",
        "binning_modes",
    )
    return MappingProxyType({entry: known.get(entry, _RECALLED) for entry in entries})


def _modes(rows: int, columns: int, *factors: int) -> tuple[tuple[int, int], ...]:
    return tuple((rows // factor, columns // factor) for factor in factors)


_ALL = (
    Instrument(
        "oxford_symmetry",
        Detector(
            (1024, 1244),
            (0.5345449851, 0.5471273737, 0.6142604241),
            "oxford",
            tilt_deg=6.186,
            px_size_um=18.384,
        ),
        bits=8,
        screen="full",
        processing="static, dynamic",
        binning_modes=((1024, 1244), (512, 622), (128, 156)),
        sources=_sources(
            shape=_TIFF,
            px_size_um=f"field of view of 22.87 mm over 1244 px; {_TIFF}",
            pattern_center=_TIFF,
            tilts=f"sample 70°, detector 96.186° - 90°, read as kikuchipy reads Oxford's files; {_TIFF}. The paper prints a "
            "detector tilt of -3.1°, near the header's third Euler angle of -2.97°",
            bits=_TIFF,
            screen="that pattern",
            processing="that pattern: flat, 0.5 % clipped at each end",
            binning_modes="https://www.azom.com/article.aspx?ArticleID=13964, by the maker",
        ),
    ),
    Instrument(
        "oxford_nordlysnano",
        Detector((1024, 1344), (0.5, 0.5, 0.65), "oxford", tilt_deg=5.0),
        bits=8,
        screen="full",
        processing="static, dynamic",
        binning_modes=_modes(1024, 1344, 1, 2, 4, 8),
        sources=_sources(),
    ),
    Instrument(
        "bruker_eflash_hr",
        Detector((1200, 1600), (0.5, 0.3, 0.7), tilt_deg=5.0),
        bits=16,
        screen="full",
        processing="static",
        binning_modes=_modes(1200, 1600, 1, 2, 4, 5, 10),
        sources=_sources(),
    ),
    Instrument(
        "bruker_eflash_fs",
        Detector((480, 640), (0.5, 0.3, 0.7), tilt_deg=5.0),
        bits=8,
        screen="full",
        processing="static",
        binning_modes=_modes(480, 640, 1, 2, 4, 8),
        sources=_sources(),
    ),
    Instrument(
        "edax_hikari",
        Detector((480, 480), (0.5017, 0.7189, 0.5342), "tsl", tilt_deg=10.0),
        bits=8,
        screen="round",
        processing="static, dynamic",
        binning_modes=_modes(480, 480, 1, 2, 4, 5, 8),
        sources=_sources(
            shape="patterns of ferritic steel in the history of OpenXY, 480 x 480: the square of a chip of 640 x 480",
            pattern_center="scan.ang of the same map",
            screen="the same patterns",
            bits="the same patterns",
            processing="the same patterns: background subtracted",
        ),
    ),
    Instrument(
        "edax_velocity",
        Detector((480, 640), (0.5, 0.7, 0.7), "tsl", tilt_deg=10.0),
        bits=8,
        screen="full",
        processing="static, dynamic",
        binning_modes=((480, 640), (240, 320), (120, 160), (120, 120)),
        sources=_sources(),
    ),
    Instrument(
        "edax_clarity",
        Detector((512, 512), (0.5, 0.65, 0.7), "tsl", tilt_deg=0.0, px_size_um=55.0),
        bits=12,
        screen="full",
        processing="static",
        binning_modes=((512, 512),),
        sources=_sources(),
    ),
    Instrument(
        "nordif_uf1100",
        Detector((480, 480), (0.425, 0.213, 0.501), px_size_um=70.0),
        bits=8,
        screen="full",
        processing="raw",
        binning_modes=_modes(480, 480, 1, 2, 4, 8),
        sources=_sources(
            shape=f"60 x 60 px at binning 8; {_NICKEL}",
            pattern_center=f"mean of nine; {_NICKEL}",
            tilts=_NICKEL,
            bits=_NICKEL,
            screen="those patterns",
            processing="those patterns: as recorded, static background in the file",
            px_size_um="kikuchipy's tutorials on these patterns, recalled",
        ),
    ),
    Instrument(
        "nordif_uf420",
        Detector((480, 480), (0.42, 0.21, 0.5), px_size_um=90.0),
        bits=8,
        screen="round",
        processing="raw",
        binning_modes=_modes(480, 480, 1, 2, 4),
        sources=_sources(
            shape="Si wafer patterns of pyxem/kikuchipy-data, CC-BY 4.0",
            bits="the same patterns",
            screen="the same patterns",
            processing="the same patterns",
            pattern_center="assumed to be near that of nordif_uf1100; the file does not say",
            tilts="the same file's header: 70° and 0°",
        ),
    ),
)

INSTRUMENTS: MappingProxyType[str, Instrument] = MappingProxyType({each.name: each for each in _ALL})
"""All instruments by name."""


def instrument(name: str) -> Instrument:
    """Return an instrument.

    Parameters
    ----------
    name
        Key of `INSTRUMENTS`, in upper or lower case, with spaces or hyphens for underscores if you like.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    key = name.strip().lower().replace(" ", "_").replace("-", "_")
    if key not in INSTRUMENTS:
        raise InputError(f"instrument {name!r}", f"unknown; there are {', '.join(INSTRUMENTS)}")
    return INSTRUMENTS[key]
