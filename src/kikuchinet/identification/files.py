"""The files of one run, written all together or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kikuchinet.errors import InputError
from kikuchinet.identification.maps import save_crystal_map, save_map
from kikuchinet.identification.orientation_files import save_ang, save_ctf
from kikuchinet.identification.pictures import save_confidence_map, save_phase_map, save_quality_map
from kikuchinet.identification.result import EULER_COLUMNS, IdentificationResult

PATTERNS_FILE = "patterns.csv"
SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"
MAP_FILE = "map.png"
CRYSTAL_MAP_FILE = "crystal_map.h5"
GRAINS_FILE = "grains.csv"
PHASE_MAP_FILE = "phase_map.png"
CONFIDENCE_MAP_FILE = "confidence_map.png"
QUALITY_MAP_FILE = "quality_map.png"
ANG_FILE = "orientations.ang"
CTF_FILE = "orientations.ctf"

_OF_A_SCAN = (
    MAP_FILE,
    CRYSTAL_MAP_FILE,
    PHASE_MAP_FILE,
    CONFIDENCE_MAP_FILE,
    QUALITY_MAP_FILE,
    ANG_FILE,
    CTF_FILE,
)
_OURS = (PATTERNS_FILE, SUMMARY_FILE, REPORT_FILE, GRAINS_FILE, *_OF_A_SCAN)


@contextmanager
def whole_folder(out: str | Path, ours: Callable[[str], bool] | None = None) -> Iterator[Path]:
    """Yield a folder whose files replace those in `out` when the block ends without an error.

    Parameters
    ----------
    out
        The folder of the results; made if it does not exist.
    ours
        Whether a file of this name is a result of such a run; those of `kikuchinet.identification` if not given.

    Yields
    ------
    pathlib.Path
        A temporary folder inside `out`. On success its files move into `out`, and results of an earlier run that this
        one did not write anew (the map of a scan, say) are removed, so that `out` never mixes two runs. On an error
        or Ctrl-C everything in `out` stays as it was.

    Raises
    ------
    kikuchinet.errors.InputError
        `out` is a file.
    """
    out = Path(out)
    ours = ours or _is_ours
    if out.exists() and not out.is_dir():
        raise InputError(out, "is a file, not a folder for results")
    existed = out.is_dir()
    out.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=out, prefix=".kikuchinet-"))
    finished = False
    try:
        yield temporary
        fresh = {path.name for path in temporary.iterdir()}
        for path in sorted(temporary.iterdir()):
            path.replace(out / path.name)
        for path in out.iterdir():
            if ours(path.name) and path.name not in fresh:
                path.unlink()
        finished = True
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if not finished and not existed and not any(out.iterdir()):
            out.rmdir()


def _is_ours(name: str) -> bool:
    if name in _OURS:
        return True
    return any(
        name.startswith(f"{stem}_") and name.removeprefix(f"{stem}_").removesuffix(end).isdigit()
        for stem, end in ((Path(file).stem, Path(file).suffix) for file in _OF_A_SCAN)
        if name.endswith(end)
    )


def write_results(result: IdentificationResult, folder: Path) -> list[Path]:
    """Write patterns.csv, summary.json and, for every scan, its maps, grains and orientations.

    Parameters
    ----------
    result
        What was found.
    folder
        An existing folder.

    Returns
    -------
    list of pathlib.Path
        What was written. A second scan gets ``map_2.png`` and ``crystal_map_2.h5``, and so on. The files of orientations are
        written only where a crystal was fitted to at least one pattern; ``grains.csv`` holds the grains of all scans.
    """
    table = folder / PATTERNS_FILE
    frame = result.patterns.copy()
    frame["abstained"] = frame["abstained"].map({True: "true", False: "false"})
    for column in ("probability", "second_probability"):
        frame[column] = frame[column].map("{:.6f}".format)
    frame["quality"] = frame["quality"].map("{:.4f}".format)
    for column, digits in (
        ("grain_probability", 6),
        ("correlation", 4),
        *((name, 3) for name in EULER_COLUMNS),
    ):
        frame[column] = frame[column].round(digits)
    # A file name may hold bytes that are no text; they are written as \\udc.. and stop nothing.
    frame.to_csv(table, index=False, lineterminator="\n", encoding="utf-8", errors="backslashreplace")
    summary = folder / SUMMARY_FILE
    text = json.dumps(result.summary(), indent=2, ensure_ascii=False) + "\n"
    summary.write_text(text, encoding="utf-8", errors="backslashreplace")
    written = [table, summary]
    scans = [number for number, answer in enumerate(result.answers) if answer.scan_shape is not None]
    for place, number in enumerate(scans, start=1):
        written += _write_scan(result, number, folder, place)
    tables = [answer.grain_table for answer in result.answers if answer.grains is not None]
    if tables:
        import pandas as pd

        path = folder / GRAINS_FILE
        pd.concat(tables, ignore_index=True).to_csv(
            path, index=False, lineterminator="\n", encoding="utf-8", errors="backslashreplace"
        )
        written.append(path)
    return written


def _write_scan(result: IdentificationResult, number: int, folder: Path, place: int) -> list[Path]:
    answer, orientations = result.answers[number], result.orientations(number)
    fitted = bool(result.fits)
    paths = {name: folder / numbered(name, place) for name in _OF_A_SCAN}
    save_map(answer, paths[MAP_FILE], result.colours)
    save_crystal_map(answer, paths[CRYSTAL_MAP_FILE], orientations if fitted else None)
    save_phase_map(answer, paths[PHASE_MAP_FILE], result.colours)
    save_confidence_map(answer, paths[CONFIDENCE_MAP_FILE])
    save_quality_map(answer, paths[QUALITY_MAP_FILE])
    if not orientations.indexed.any():
        return [path for name, path in paths.items() if name not in {ANG_FILE, CTF_FILE}]
    save_ang(answer, orientations, paths[ANG_FILE])
    save_ctf(answer, orientations, paths[CTF_FILE])
    return list(paths.values())


def numbered(name: str, place: int) -> str:
    """Return a file's name for the `place`-th scan, counted from 1: ``map.png``, ``map_2.png``."""
    return name if place == 1 else f"{Path(name).stem}_{place}{Path(name).suffix}"


def scan_files(number: int) -> tuple[str, str]:
    """Return the names of the map and the crystal map of the `number`-th scan, counted from 1."""
    return numbered(MAP_FILE, number), numbered(CRYSTAL_MAP_FILE, number)
