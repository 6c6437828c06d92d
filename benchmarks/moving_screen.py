"""Where the screen stood, from patterns of one point with the screen at several distances; no phase is needed for it.

    python benchmarks/moving_screen.py FILE FILE... --moved-mm 0 5 10 --pixel-um 90

The screen moves along its normal, so the pattern grows about the pattern centre and nothing else happens to it: the
point that stays is (PCx, PCy), and it grows in proportion to the distance (J. Hjelen, R. Orsund, E. Hoel, P. Runde, T.
Furu, E. Nes, Textures and Microstructures 20 (1993) 29, doi 10.1155/TSM.20.29). Every pattern is registered to the
first by the correlation of the pixels that both show. Printed are the correlation, the magnification and the pattern
centres (Bruker's convention). The pixel size of the NORDIF UF420 is that of kikuchipy's tutorial "PC calibration:
moving-screen technique".
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.optimize import minimize

import kikuchinet as kn
from kikuchinet.patterns import preprocess

SIDE = 240
STARTS = tuple((x, y) for x in (0.4, 0.5, 0.6) for y in (0.1, 0.2, 0.3, 0.4, 0.5))


def correlation(
    near: NDArray[np.float32], far: NDArray[np.float32], x: float, y: float, grown: float
) -> float:
    """Return the correlation of a pattern with one of a screen farther away, where both show the same.

    Parameters
    ----------
    near, far
        (rows, columns), prepared.
    x, y
        The point that stays, as shares of width and height.
    grown
        By how much distances from it grew, more than 1.
    """
    rows, columns = far.shape
    i, j = np.mgrid[:rows, :columns]
    centre_i, centre_j = y * rows - 0.5, x * columns - 0.5
    place = np.stack([centre_i + (i - centre_i) / grown, centre_j + (j - centre_j) / grown])
    there = ((place >= 0) & (place <= np.array([rows - 1, columns - 1])[:, None, None])).all(axis=0)
    moved = map_coordinates(near, place, order=1, mode="nearest")
    return float(np.corrcoef(moved[there], far[there])[0, 1])


def registered(
    near: NDArray[np.float32], far: NDArray[np.float32]
) -> tuple[float, tuple[float, float, float]]:
    """Return the best correlation, and x, y and the magnification at which it is reached."""
    found = []
    coarse = (near[::4, ::4], far[::4, ::4])
    starts = [(x, y, grown) for x, y in STARTS for grown in np.linspace(1.05, 1.7, 14)]
    starts.sort(key=lambda start: -correlation(*coarse, *start))
    for start in starts[:5]:
        best = minimize(
            lambda p: -correlation(near, far, *p),
            start,
            method="Nelder-Mead",
            options={"xatol": 1e-4, "fatol": 1e-5, "initial_simplex": start + 0.03 * np.eye(4, 3)},
        )
        found.append((-float(best.fun), tuple(map(float, best.x))))
    return max(found)


def main() -> None:
    """Register and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="a pattern each, the nearest screen first")
    parser.add_argument("--moved-mm", nargs="+", type=float, required=True, help="how far the screen moved")
    parser.add_argument("--pixel-um", type=float, required=True, help="edge of a pixel of the screen")
    given = parser.parse_args()
    if len(given.files) != len(given.moved_mm) or len(given.files) < 2:
        parser.error("a distance for every file, and two files at least")
    images = [source[0] for source in kn.read_patterns(given.files)]
    height_mm = images[0].shape[0] * given.pixel_um / 1000.0
    prepared = [preprocess(image, size=(SIDE, SIDE))[0] for image in images]
    rows = []
    for image, moved in zip(prepared[1:], given.moved_mm[1:], strict=True):
        found, (x, y, grown) = registered(prepared[0], image)
        distance_mm = (moved - given.moved_mm[0]) / (grown - 1.0)
        rows.append((x, y, distance_mm))
        print(
            f"{moved:g} mm: correlation {found:.3f}, grown by {grown:.4f} about ({x:.4f}, {y:.4f}); "
            f"the first screen is {distance_mm:.2f} mm away"
        )
    x, y, distance_mm = np.mean(rows, axis=0)
    for file, moved in zip(given.files, given.moved_mm, strict=True):
        z = (distance_mm + moved - given.moved_mm[0]) / height_mm
        print(f"{file.name}: pattern centre ({x:.4f}, {y:.4f}, {z:.4f})")


if __name__ == "__main__":
    main()
