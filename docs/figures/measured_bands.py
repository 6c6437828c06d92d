"""Band profiles of the measured nickel patterns inside kikuchipy: docs/images/measured_bands.png.

    python docs/figures/measured_bands.py

No phase is given: `kikuchinet identify` finds the orientations. The lattice parameter of nickel serves to draw the Bragg
angles only.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

import kikuchinet as kn
from kikuchinet.diffraction.electrons import wavelength_nm
from kikuchinet.indexing import FAMILIES
from kikuchinet.indexing.bands import BINS, REACH

mpl.use("Agg")
OUT = Path(__file__).parents[1] / "images" / "measured_bands.png"
SHOWN = ((1, 1, 1), (1, 0, 0), (1, 1, 0), (3, 1, 1))
LATTICE_PARAMETER_NM = 0.3524


def main() -> None:
    """Read the bands and draw."""
    result = kn.identify(kn.example_patterns(), bands=True)
    assert result.pooled is not None
    (bands,) = result.bands
    angles = np.rad2deg(np.arcsin((np.arange(BINS) + 0.5) * REACH / BINS))
    near = angles < 6.0
    curves = bands.pooled_profiles[0][:, near]
    figure, axes = plt.subplots(1, len(SHOWN), figsize=(10.0, 2.7), sharey=True, layout="constrained")
    for family, axis in zip(SHOWN, axes, strict=True):
        curve = curves[FAMILIES.index(family)]
        axis.plot(
            np.concatenate([-angles[near][::-1], angles[near]]), np.concatenate([curve[::-1], curve]), "C0"
        )
        for order in range(1, 7):
            indices = order * np.array(family)
            bragg = np.rad2deg(
                np.arcsin(wavelength_nm(20.0) * np.linalg.norm(indices) / (2.0 * LATTICE_PARAMETER_NM))
            )
            if bragg > 6.0:
                break
            # All even or all odd: what a face-centred lattice reflects.
            allowed = len(set(indices % 2)) == 1
            for side in (-bragg, bragg):
                axis.axvline(side, color="C2" if allowed else "0.6", lw=1.0, ls="-" if allowed else ":")
            if not allowed:
                continue
            axis.annotate(
                "".join(map(str, indices)),
                (bragg, 1.0),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="bottom",
                fontsize=6.5,
                color="C2",
            )
        axis.set_xlabel(f"degrees from ({''.join(map(str, family))})")
    axes[0].set_ylabel("mean intensity / σ")
    figure.savefig(OUT, dpi=130)
    print(f"{OUT}: {result.pooled.space_group}, probability {result.pooled.probability:.3f}")


if __name__ == "__main__":
    main()
