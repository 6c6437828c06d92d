"""Master patterns, projection and training streams by torch on a GPU, beside the compiled code on this machine's processors.

Run ``python benchmarks/gpu.py``. It says so where there is no GPU; ``--device cpu --crystals Ni --half-widths 12
--patterns 64 --sizes 48x56`` runs it on the processor, which checks the agreement and times nothing of interest. A second
table says whether a stream of patterns, camera and preprocessing included, keeps the device busy: patterns a second of the
stream alone, of training alone on patterns that are there already, and of training fed by the stream. A time is the best of
three after a run that compiles or warms up; of compiled master patterns, which take long, that of a single run. A master
pattern is one energy with the beams of the `accurate` preset, at 20 keV; the electrons' depths follow an exponential law
of the crystal's mean escape depth.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from itertools import islice
from types import SimpleNamespace
from typing import Any

import kikuchipy as kp
import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from kikuchinet._torch import torch_device
from kikuchinet.cli._stream_benchmarks import nickel_masters, nickel_stream
from kikuchinet.crystal import crystals
from kikuchinet.diffraction import PRESETS
from kikuchinet.diffraction.bloch import exact_intensities, reflection_strengths
from kikuchinet.diffraction.folding import Folding, fold
from kikuchinet.diffraction.lambert import lambert_grid
from kikuchinet.diffraction.potential import crystal_potential
from kikuchinet.diffraction.tiles import tiled_intensities
from kikuchinet.diffraction.torch_solver import torch_intensities
from kikuchinet.microscope import interleave, project_batch
from kikuchinet.microscope.torch_projection import MasterStack, project_torch
from kikuchinet.training import ModelConfig, OptimiserConfig, TrainingConfig
from kikuchinet.training.module import SpaceGroupModule
from kikuchinet.training.replicas import Replicas

SOLUTIONS = (("Ni", False), ("Ni", True), ("Mo3Si", True))
"""Crystals, and whether the tiled solver is taken: the one that is cheaper on processors, and both where both serve."""
MEAN_DEPTH_NM = {"Ni": 4.4, "Mo3Si": 5.0}
"""Ni: the mean of our Monte Carlo's electrons at 20 keV. Mo3Si: a round figure for a crystal as heavy."""
STEP_NM = 0.5
MASTERS = 8
REPEATS = 3


def best_time(function: Callable[[], Any], repeats: int = REPEATS) -> tuple[float, Any]:
    """Return the shortest wall time of `function` in seconds, after one run that does not count, and its result."""
    result = function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def ncc(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return the normalised cross-correlation of two arrays of equal shape."""
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def _squares(folding: Folding, half_width: int, width: int) -> NDArray[np.int64]:
    """Label of the square of so many pixels that each direction lies in."""
    blocks = 2 * half_width // width + 1
    return ((folding.signs < 0) * blocks + folding.rows // width) * blocks + folding.columns // width


def master_pattern(name: str, tiled: bool, half_width: int, device: torch.device) -> tuple[str, ...]:
    """Return one row of the table: one energy of a crystal's master pattern, both ways."""
    crystal, preset = crystals[name], PRESETS["accurate"]
    folding = fold(crystal, half_width)
    directions = lambert_grid(half_width)[folding.rows, folding.columns]
    directions[:, 2] *= folding.signs
    width = max(1, round(preset.tile_rad * 2 * half_width / np.sqrt(2.0 * np.pi)))
    tiles = _squares(folding, half_width, width)
    patch_width = max(1, round(preset.patch_rad * 2 * half_width / np.sqrt(2.0 * np.pi)) // width) * width
    patches = _squares(folding, half_width, patch_width)
    potential = crystal_potential(crystal, 20.0, preset.d_min_nm)
    strengths = reflection_strengths(potential, preset.selection)
    depths = np.arange(0.0, 6.0 * MEAN_DEPTH_NM[name], STEP_NM)
    weights = np.exp(-depths / MEAN_DEPTH_NM[name])

    def compiled(part: slice = slice(None)) -> NDArray[np.float64]:
        with threadpool_limits(1):
            chosen = directions[part]
            if tiled:
                return tiled_intensities(
                    potential,
                    chosen,
                    tiles[part],
                    preset.selection,
                    weights,
                    STEP_NM,
                    strengths,
                    patches=patches[part],
                )[0]
            return exact_intensities(potential, chosen, preset.selection, weights, STEP_NM, strengths)[0]

    def by_torch() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        return torch_intensities(
            potential,
            directions,
            tiles,
            patches,
            preset.selection,
            weights,
            STEP_NM,
            strengths=strengths,
            folded=tiled,
            device=device,
        )

    torch_s, (values, beams) = best_time(by_torch)
    # Minutes on processors: once is enough, and a few directions compile it.
    compiled(slice(2))
    start = time.perf_counter()
    expected = compiled()
    compiled_s = time.perf_counter() - start
    return (
        f"{name} master, half-width {half_width}, {'tiled' if tiled else 'exact'}, {beams[:, 0].mean():.0f} beams",
        f"{torch_s:.3f} s",
        f"{compiled_s:.3f} s",
        f"{compiled_s / torch_s:.1f}",
        f"{ncc(values, expected):.7f}",
    )


def projection(side: int, count: int, device: torch.device) -> tuple[str, ...]:
    """Return one row of the table: patterns a second from several master patterns, both ways."""
    signal = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    upper, lower = signal.data.astype(np.float32)
    masters = [SimpleNamespace(upper=upper + 10.0 * k, lower=lower + 10.0 * k) for k in range(MASTERS)]
    rng = np.random.default_rng(0)
    which = np.sort(rng.integers(0, MASTERS, count))
    quaternions = rng.normal(size=(count, 4))
    centers = np.array([0.5, 0.4, 0.6]) + rng.uniform(-0.1, 0.1, (count, 3))
    stack = MasterStack.of(masters, device)
    texels = [interleave(master.upper, master.lower) for master in masters]

    def compiled() -> NDArray[np.float32]:
        out = np.empty((count, side, side), dtype=np.float32)
        for k, master in enumerate(masters):
            mine = slice(*np.searchsorted(which, (k, k + 1)))
            if mine.start < mine.stop:
                project_batch(
                    master.upper,
                    master.lower,
                    quaternions[mine],
                    centers[mine],
                    (side, side),
                    out=out[mine],
                    threads=None,
                    texels=texels[k],
                )
        return out

    def by_torch() -> torch.Tensor:
        patterns = project_torch(stack, quaternions, centers, (side, side), which=which)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return patterns

    torch_s, patterns = best_time(by_torch)
    compiled_s, expected = best_time(compiled)
    return (
        f"projection {side} x {side}, {MASTERS} masters",
        f"{count / torch_s:.0f} /s",
        f"{count / compiled_s:.0f} /s",
        f"{compiled_s / torch_s:.1f}",
        f"{ncc(patterns.cpu().numpy(), expected):.7f}",
    )


def training_step(size: tuple[int, int], batch: int, device: torch.device) -> Callable[[Any, Any], None]:
    """Return a step of the paper's network at bf16 as `kikuchinet train` takes it, for a batch on the device."""
    config = TrainingConfig(
        precision="bf16",
        workers=0,
        model=ModelConfig(size=size),
        optimiser=OptimiserConfig(name="adamw", batch_size=batch),
    )
    module = SpaceGroupModule(config).to(device)
    module.train()
    replicas, optimiser = Replicas(module.network, 1), module.configure_optimizers()

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        shaped = images[:, None].contiguous(memory_format=torch.channels_last)
        replicas.gradients(module._loss, shaped, labels)
        optimiser.step()

    return step


def busy(masters: Any, size: tuple[int, int], count: int, device: torch.device) -> tuple[str, ...]:
    """Return one row of the second table: rates of the stream, of training, and of both together."""
    batch = min(256, count)
    blocks = max(1, min(count // 16, 60))
    source = nickel_stream(masters, str(device), size, blocks)
    step = training_step(size, batch, device)
    steps = max(1, count // batch)

    def finished() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def stream_alone() -> None:
        for _ in islice(source.batches(batch), steps):
            pass
        finished()

    images, labels = next(source.batches(batch))

    def training_alone() -> None:
        for _ in range(steps):
            step(images, labels)
        finished()

    def together() -> None:
        for fed in islice(source.batches(batch), steps):
            step(*fed)
        finished()

    stream, training, both = (
        steps * batch / best_time(part)[0] for part in (stream_alone, training_alone, together)
    )
    return (
        f"{size[0]} x {size[1]}",
        f"{stream:.0f} /s",
        f"{training:.0f} /s",
        f"{both:.0f} /s",
        f"{both / training:.2f}",
    )


def _size(text: str) -> tuple[int, int]:
    rows, columns = text.split("x")
    return int(rows), int(columns)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="PyTorch's name of a device")
    parser.add_argument("--crystals", nargs="+", default=list(MEAN_DEPTH_NM), choices=list(MEAN_DEPTH_NM))
    parser.add_argument("--half-widths", type=int, nargs="+", default=[125, 250])
    parser.add_argument("--patterns", type=int, default=8192)
    parser.add_argument(
        "--sizes", type=_size, nargs="+", default=[(128, 128), (246, 299)], help="such as 128x128"
    )
    arguments = parser.parse_args()
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        print(
            "No GPU on this machine. To check this script:"
            " --device cpu --crystals Ni --half-widths 12 --patterns 64 --sizes 48x56"
        )
        return
    device = torch_device(arguments.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    print(f"torch {torch.__version__} on {name}; compiled code on {os.cpu_count()} processors")
    print(f"{'':<52}{'torch':>12}{'compiled':>12}{'ratio':>8}{'NCC':>11}", flush=True)
    jobs: list[Callable[[], tuple[str, ...]]] = [
        lambda crystal=crystal, tiled=tiled, half_width=half_width: master_pattern(
            crystal, tiled, half_width, device
        )
        for half_width in arguments.half_widths
        for crystal, tiled in SOLUTIONS
        if crystal in arguments.crystals
    ]
    jobs += [lambda side=side: projection(side, arguments.patterns, device) for side in (128, 60)]
    for job in jobs:
        label, torch_figure, compiled_figure, ratio, agreement = job()
        print(f"{label:<52}{torch_figure:>12}{compiled_figure:>12}{ratio:>8}{agreement:>11}", flush=True)
    print(f"\n{'training':<24}{'stream':>12}{'network':>12}{'both':>12}{'busy':>8}", flush=True)
    with nickel_masters() as (_, masters):
        for size in arguments.sizes:
            label, *figures = busy(masters, size, arguments.patterns, device)
            print(f"{label:<24}{figures[0]:>12}{figures[1]:>12}{figures[2]:>12}{figures[3]:>8}", flush=True)


if __name__ == "__main__":
    main()
