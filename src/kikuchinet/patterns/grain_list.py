"""``Grain List.txt``: what Oxford's software says of each point of a map, as Kaufmann et al. (2020) exported it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kikuchinet.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

FILE_NAME = "Grain List.txt"
_COLUMNS = {
    "ID": "id",
    "Phase": "phase",
    "X": "x_um",
    "Y": "y_um",
    "phi1": "phi1_deg",
    "PHI": "Phi_deg",
    "phi2": "phi2_deg",
    "MAD": "mad_deg",
    "BC": "band_contrast",
    "BS": "band_slope",
    "Grain ID": "grain",
}
_UNINDEXED = "Zero solution"
_LARGEST = 1_000_000_000


def read_grain_list(path: str | Path) -> pd.DataFrame:
    """Read a grain list.

    Parameters
    ----------
    path
        The file, text with tabs.

    Returns
    -------
    pandas.DataFrame
        ``id, phase, x_um, y_um, phi1_deg, Phi_deg, phi2_deg, mad_deg, band_contrast, band_slope, grain`` and whatever else
        the file has; the phase is empty where the vendor found none.

    Raises
    ------
    kikuchinet.errors.InputError
        The file is missing, is no such table, or an ID comes twice.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such file")
    if path.stat().st_size > _LARGEST:
        raise InputError(path, "is too large for a grain list")
    try:
        frame = pd.read_csv(path, sep="\t", encoding="utf-8", encoding_errors="replace")
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(path, f"is no grain list ({str(error).splitlines()[0]})") from error
    frame.columns = [str(name).strip() for name in frame.columns]
    if missing := [name for name in ("ID", "Phase") if name not in frame.columns]:
        raise InputError(path, f"is no grain list: it has no column {missing[0]!r}")
    frame = frame.rename(columns=_COLUMNS)
    if frame.empty:
        raise InputError(path, "lists no patterns")
    for name in frame.columns.intersection([c for c in _COLUMNS.values() if c != "phase"]):
        numbers = pd.to_numeric(frame[name], errors="coerce")
        if numbers.isna().any():
            row = int(numbers.isna().idxmax())
            raise InputError(path, f"line {row + 2}: {frame[name][row]!r} is no number")
        frame[name] = numbers
    if frame["id"].duplicated().any():
        raise InputError(path, f"ID {frame['id'][frame['id'].duplicated()].iloc[0]} comes twice")
    phase = frame["phase"].astype(str).str.strip()
    frame["phase"] = phase.where((phase != _UNINDEXED) & (phase != "nan"), "")
    return frame
