"""The files of one run, written all together or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kikuchinet.errors import InputError
from kikuchinet.identification.maps import save_crystal_map, save_map
from kikuchinet.identification.result import IdentificationResult

PATTERNS_FILE = "patterns.csv"
SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"
MAP_FILE = "map.png"
CRYSTAL_MAP_FILE = "crystal_map.h5"

_OURS = (PATTERNS_FILE, SUMMARY_FILE, REPORT_FILE, MAP_FILE, CRYSTAL_MAP_FILE)


@contextmanager
def whole_folder(out: str | Path) -> Iterator[Path]:
    """Yield a folder whose files replace those in `out` when the block ends without an error.

    Parameters
    ----------
    out
        The folder of the results; made if it does not exist.

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
            if _is_ours(path.name) and path.name not in fresh:
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
        for stem, end in (("map", ".png"), ("crystal_map", ".h5"))
        if name.endswith(end)
    )


def write_results(result: IdentificationResult, folder: Path) -> list[Path]:
    """Write patterns.csv, summary.json and, for every scan, a map and a crystal map.

    Parameters
    ----------
    result
        What was found.
    folder
        An existing folder.

    Returns
    -------
    list of pathlib.Path
        What was written. A second scan gets ``map_2.png`` and ``crystal_map_2.h5``, and so on.
    """
    table = folder / PATTERNS_FILE
    frame = result.patterns.copy()
    frame["abstained"] = frame["abstained"].map({True: "true", False: "false"})
    for column in ("probability", "second_probability"):
        frame[column] = frame[column].map("{:.6f}".format)
    frame["quality"] = frame["quality"].map("{:.4f}".format)
    # A file name may hold bytes that are no text; they are written as \\udc.. and stop nothing.
    frame.to_csv(table, index=False, lineterminator="\n", encoding="utf-8", errors="backslashreplace")
    summary = folder / SUMMARY_FILE
    text = json.dumps(result.summary(), indent=2, ensure_ascii=False) + "\n"
    summary.write_text(text, encoding="utf-8", errors="backslashreplace")
    written = [table, summary]
    scans = [answer for answer in result.answers if answer.scan_shape is not None]
    for number, answer in enumerate(scans, start=1):
        picture, crystal_map = scan_files(number)
        save_map(answer, folder / picture)
        save_crystal_map(answer, folder / crystal_map)
        written += [folder / picture, folder / crystal_map]
    return written


def scan_files(number: int) -> tuple[str, str]:
    """Return the names of the map and the crystal map of the `number`-th scan, counted from 1."""
    if number == 1:
        return MAP_FILE, CRYSTAL_MAP_FILE
    return f"map_{number}.png", f"crystal_map_{number}.h5"
