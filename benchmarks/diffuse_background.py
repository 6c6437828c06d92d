"""The diffuse background on a screen by Monte Carlo, beside the camera's smooth curves for it.

    .venv/bin/python benchmarks/diffuse_background.py [--electrons 300000]

Electrons of `kikuchinet.diffraction.transport` are traced out of three crystals (20 kV, 70°) onto a square screen at 0.7
heights whose pattern centre is 0.35 down. Printed are the Gaussian that fits their number (`source_center`,
`source_width` of the camera, with what it leaves), the rise of their mean energy down the screen (`energy_rise`) and how the
share that has kept 0.8 of its energy goes with the mean energy (the power in `specimen.energy_contrast`).
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

import kikuchinet as kn
from kikuchinet.diffraction.transport import EscapeStatistics, escape_statistics

BINS = 12
CENTER, DISTANCE, TILT_DEG, ENERGY_KEV = (0.5, 0.35), 0.7, 70.0, 20.0


def on_screen(run: EscapeStatistics) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return where each electron meets the screen, x and y, and whether it does."""
    tilt = np.deg2rad(TILT_DEG)
    forward = np.sign(run.direction[:, 0].mean())
    beam = np.array([forward * np.sin(tilt), 0.0, -np.cos(tilt)])
    normal = np.array([forward * np.cos(tilt), 0.0, np.sin(tilt)])
    towards = run.direction @ normal
    reach = np.where(towards > 0.1, DISTANCE / np.maximum(towards, 0.1), np.nan)
    x, y = CENTER[0] + reach * run.direction[:, 1], CENTER[1] + reach * (run.direction @ beam)
    return x, y, (abs(x - 0.5) < 0.5) & (abs(y - 0.5) < 0.5)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--electrons", type=int, default=300_000)
    electrons = parser.parse_args().electrons
    middle = (np.arange(BINS) + 0.5) / BINS
    grid_x, grid_y = np.meshgrid(middle, middle)

    def lobe(
        place: NDArray[np.float64], height: float, x: float, y: float, width: float
    ) -> NDArray[np.float64]:
        return height * np.exp(-((place[0] - x) ** 2 + (place[1] - y) ** 2) / (2 * width**2))

    print(f"{'':<4}{'center':>14}{'width':>7}{'left':>7}{'mean E':>8}{'sd E':>7}{'rise':>7}{'power':>7}")
    for name in ("Si", "Ni", "W"):
        run = escape_statistics(kn.crystals[name], ENERGY_KEV, sample_tilt_deg=TILT_DEG, electrons=electrons)
        x, y, hit = on_screen(run)
        edges = np.linspace(0, 1, BINS + 1)
        counts = np.histogram2d(y[hit], x[hit], bins=(edges, edges))[0]
        counts /= counts.mean()
        place = np.stack([grid_x.ravel(), grid_y.ravel()])
        fit, _ = curve_fit(lobe, place, counts.ravel(), p0=(1.2, 0.5, 0.7, 0.6))
        left = (counts.ravel() - lobe(place, *fit)).std() / counts.std()
        energy = run.energy_kev[hit] / ENERGY_KEV
        row = np.digitize(y[hit], edges) - 1
        means = np.array([energy[row == k].mean() for k in range(BINS)])
        low_loss = np.array([(energy[row == k] > 0.8).mean() for k in range(BINS)])
        rise = np.polyfit(middle, means, 1)[0]
        power = np.polyfit(np.log(means), np.log(low_loss), 1)[0]
        print(
            f"{name:<4}{fit[1]:>7.2f}{fit[2]:>7.2f}{abs(fit[3]):>7.2f}{left:>7.2f}"
            f"{energy.mean():>8.2f}{energy.std():>7.2f}{rise:>7.2f}{power:>7.1f}"
        )


if __name__ == "__main__":
    main()
