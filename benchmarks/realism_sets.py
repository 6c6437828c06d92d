"""The measured sets of benchmarks/realism.py, and the simulated twin of each pattern."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import h5py
import kikuchipy
import numpy as np
from numpy.typing import NDArray
from orix.quaternion import Rotation
from scipy import ndimage

import kikuchinet as kn
from kikuchinet.diffraction import MasterPattern
from kikuchinet.diffraction.cache import MasterCache
from kikuchinet.diffraction.job import SimulationJob, file_content
from kikuchinet.identification import Refinement, refine, search_orientations
from kikuchinet.microscope import Camera, Detector, project_batch
from kikuchinet.microscope.filters import resample
from kikuchinet.patterns import ColourWarning, example_patterns, preprocess, read_patterns
from kikuchinet.patterns.preprocessing import divide_static

#: Side of the prepared patterns that are matched and that the discriminator sees.
SIDE = 128
#: As `preprocess` takes it off, in heights.
HIGH_PASS = 1 / 8
#: Radius in heights of what is compared on a round screen: 480 px reach to 0.48-0.5.
SCREEN_RADIUS = 0.46

Images = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MeasuredSet:
    """Patterns of one camera and one phase.

    Parameters
    ----------
    name, crystal
        What tables call it; name of the library's crystal.
    detector
        Where to start; of shape (SIDE, SIDE).
    frames
        (n, rows, columns) as stored, divided by the static background where the file holds one; mean 1 on the screen
        then.
    mask
        bool (rows, columns), what is compared.
    """

    name: str
    crystal: str
    detector: Detector
    frames: Images
    mask: Mask

    @cached_property
    def prepared(self) -> Images:
        """(n, SIDE, SIDE), as a network gets them."""
        return preprocess(self.frames)

    def matched(self, master: MasterPattern) -> Refinement:
        """Search and refine the orientation and pattern centre of each pattern."""
        # One mask for all, so that the search prepares its dictionary once.
        masks = (self.prepared != 0).mean(axis=0) > 0.5
        best, _scores = search_orientations(
            self.prepared, master, self.detector, masks=masks, spacing_deg=3.0, best=5
        )
        tries = [
            refine(self.prepared, master, best[:, k], self.detector, masks=masks, high_pass=HIGH_PASS)
            for k in range(5)
        ]
        choice = np.argmax([t.correlations for t in tries], axis=0)
        rows = np.arange(len(choice))

        def chosen(arrays: list[NDArray[np.float64]]) -> NDArray[np.float64]:
            return np.stack(arrays)[choice, rows]

        return Refinement(
            Rotation(chosen([t.rotations.data for t in tries])),
            chosen([t.pattern_centers for t in tries]),
            chosen([t.correlations for t in tries]),
            chosen([t.start_correlations for t in tries]),
        )

    def only(self, keep: NDArray[np.bool_]) -> MeasuredSet:
        """Return the set with some of its patterns."""
        return replace(self, frames=self.frames[keep])


def master_pattern(crystal: str, cache: Path, preset: str = "accurate") -> MasterPattern:
    """Return a crystal's master pattern at 20 kV, simulated once."""
    job, store = SimulationJob(kn.crystals[crystal], 20.0, 250, preset, 0), MasterCache(cache)
    path = store.find(job.key)
    if path is None:
        path = store.store(job.key, file_content(job.run()))
    return MasterPattern.load(path)


def clean_twins(measured: MeasuredSet, master: MasterPattern, fit: Refinement) -> Images:
    """Return simulated patterns of the measured ones' orientations and pattern centres, without a camera."""
    screen, (rows, columns) = measured.detector, measured.frames.shape[1:]
    # A binned pixel averages what falls on it.
    times = max(1, round(240 / rows))
    images = project_batch(
        master.upper,
        master.lower,
        fit.rotations.data,
        fit.pattern_centers,
        (times * rows, times * columns),
        tilt_deg=screen.tilt_deg,
        azimuthal_deg=screen.azimuthal_deg,
        sample_tilt_deg=screen.sample_tilt_deg,
        threads=2,
    )
    return resample(images, (rows, columns))


def photograph(camera: Camera, clean: Images, mask: Mask, seed: int) -> Images:
    """Return what is stored of clean patterns, float32, each with noise of its own.

    Raw frames are divided by a static background, as the measured ones are: the frame that the same camera takes of a
    specimen without Kikuchi bands, with a hundred times the dose. Their mean on the screen is 1 then.
    """
    rng = np.random.default_rng(seed)
    frames = np.concatenate([camera.expose(image[None], rng) for image in clean]).astype(np.float32)
    if camera.flat_fielded:
        return frames
    many = replace(camera, dose_electrons_per_px=100 * camera.dose_electrons_per_px, uneven=0.0)
    static = many.expose(np.zeros((1, *clean.shape[1:]), np.float32), rng)[0]
    frames = divide_static(frames, np.maximum(static, 1))
    return frames / frames[:, mask].mean(axis=1)[:, None, None]


def _disc(shape: tuple[int, int], radius: float = SCREEN_RADIUS) -> Mask:
    rows, columns = shape
    y = (np.arange(rows) - (rows - 1) / 2) / rows
    x = (np.arange(columns) - (columns - 1) / 2) / rows
    return np.asarray(np.hypot(y[:, None], x[None]) < radius)


def _nickel(rows: slice) -> MeasuredSet:
    source = example_patterns()
    indices = np.arange(9).reshape(3, 3)[rows].ravel()
    frames = np.stack([source[int(k)] for k in indices]).astype(np.float32)
    center = kikuchipy.data.nickel_ebsd_small().detector.pc.reshape(-1, 3)[indices].mean(axis=0)
    frames /= frames.mean(axis=(1, 2), keepdims=True)
    # In a corner hardly any light falls on the screen.
    light = kikuchipy.data.nickel_ebsd_small().static_background.astype(np.float32)
    mask = ndimage.binary_erosion(light > 0.45 * np.median(light), border_value=1)
    return MeasuredSet("Ni", "Ni", Detector((SIDE, SIDE), tuple(center)), frames, mask)


#: Pattern centre of `si_in.h5`, found by a search over y and z; the other two stand farther off, so z is searched.
_SILICON_CENTERS = {
    "si_in": ((0.5, 0.17, 0.515),),
    "si_out5mm": tuple((0.5, y, z) for y in (0.17, 0.22, 0.27) for z in (0.6, 0.7, 0.8)),
    "si_out10mm": tuple((0.5, y, z) for y in (0.17, 0.25, 0.32) for z in (0.7, 0.8, 0.9, 1.0)),
}


def _silicon(folder: Path, name: str) -> list[MeasuredSet]:
    """Return one set for each pattern centre to start from."""
    path = folder / f"si_nordif/{name}.h5"
    (source,) = read_patterns(path)
    with h5py.File(path) as file:
        light = file["Scan 1/EBSD/Header/static_background"][()].astype(np.float32)
    frame = np.asarray(source[0], dtype=np.float32)
    # Two dark objects stand in front of the screen's lower edge: no screen there.
    mask = _disc(frame.shape) & (light > 0.35 * np.median(light))
    frame = frame / frame[mask].mean()
    return [
        MeasuredSet("Si", "Si", Detector((SIDE, SIDE), center), frame[None], mask)
        for center in _SILICON_CENTERS[name]
    ]


def _steel(folder: Path, pattern: Callable[[str], bool]) -> MeasuredSet:
    files = sorted(p for p in (folder / "steel_ferrite").glob("x*.jpg") if pattern(p.name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ColourWarning)
        frames = np.stack([read_patterns(file)[0][0] for file in files]).astype(np.float32)
    # Pattern centre of scan.ang.
    detector = Detector((SIDE, SIDE), (0.5017, 0.7189, 0.5342), "tsl")
    return MeasuredSet("steel", "Fe", detector, frames, _disc(frames.shape[1:]))


def looked_at(folder: Path) -> dict[str, list[MeasuredSet]]:
    """Return the sets that may be looked at, each with its possible starts."""
    return {
        "Ni": [_nickel(slice(0, 1))],
        "Si": _silicon(folder, "si_in"),
        "steel": [_steel(folder, lambda name: name.startswith("x000_"))],
    }


def held(folder: Path) -> dict[str, list[MeasuredSet]]:
    """Return the sets that are only scored."""
    later = [f"x{k:03d}_y{j:03d}.jpg" for k in range(10, 100, 10) for j in range(0, 100, 10)]
    return {
        "Ni": [_nickel(slice(1, 3))],
        "Si, 5 mm": _silicon(folder, "si_out5mm"),
        "Si, 10 mm": _silicon(folder, "si_out10mm"),
        # Every third: a minute instead of three.
        "steel": [_steel(folder, lambda name: name in later[::3])],
    }


def best_match(starts: list[MeasuredSet], master: MasterPattern) -> tuple[MeasuredSet, Refinement]:
    """Return the start that is matched best, and its match."""
    fits = [(start, start.matched(master)) for start in starts]
    return max(fits, key=lambda pair: float(pair[1].correlations.mean()))
