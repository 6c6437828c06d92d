"""Memory and speed of ``kikuchinet identify`` on a scan larger than memory ought to be.

Writes a scan of so many patterns of 60 x 60 px (kikuchipy's HDF5 layout): nickel at random orientations, projected from
kikuchipy's master pattern, each used again and again under noise of its own. Then runs the command on it in a process of
its own and prints the most memory that it held, as it went and at the end:

    python benchmarks/large_scan.py --rows 250 --columns 400
    python benchmarks/large_scan.py --rows 1000 --columns 1000 --model my-model/

Without ``--model`` an untrained network with hardly any layers answers, so that it is reading, preparing and writing that is
measured; memory differs from another network's by its weights. ``--keep FOLDER`` keeps the scan and the results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import psutil

SHAPE = (60, 60)
DIFFERENT = 2000
CHUNK = 1000
CLASSES = (221, 223, 225, 227, 229, 230)


def write_scan(path: Path, rows: int, columns: int, seed: int = 0) -> None:
    """Write a scan of nickel with noise."""
    from orix.quaternion import Rotation

    from kikuchinet.cli._stream_benchmarks import nickel_masters
    from kikuchinet.datasets.h5ebsd import PATTERNS, write_header
    from kikuchinet.microscope import project_batch

    rng = np.random.default_rng(seed)
    n = rows * columns
    center = (0.5, 0.3, 0.6)
    with nickel_masters() as (signal, _):
        upper, lower = signal.data.astype(np.float32)
    turns = Rotation(rng.standard_normal((DIFFERENT, 4))).unit.data
    clean = project_batch(upper, lower, turns, center, SHAPE)
    lowest, highest = clean.min((1, 2), keepdims=True), clean.max((1, 2), keepdims=True)
    clean = (60.0 + 130.0 * (clean - lowest) / (highest - lowest)).astype(np.float32)
    noise = rng.normal(0.0, 20.0, (4 * CHUNK, *SHAPE)).astype(np.float32)
    with h5py.File(path, "w") as file:
        patterns = file.create_dataset(PATTERNS, (n, *SHAPE), np.uint8, chunks=(min(100, n), *SHAPE))
        for first in range(0, n, CHUNK):
            last = min(first + CHUNK, n)
            some = clean[np.arange(first, last) % DIFFERENT]
            own = noise[rng.integers(0, len(noise), last - first)]
            patterns[first:last] = np.clip(np.roll(own, int(rng.integers(0, 60)), 1) + some, 0, 255)
        write_header(file, SHAPE, np.array([center]), 0.0, scan_shape=(rows, columns))


def small_model(folder: Path) -> Path:
    """Save an untrained network."""
    import torch

    from kikuchinet.models import create_model, save_model

    torch.manual_seed(0)
    network = create_model("test_resnet", len(CLASSES)).eval()
    save_model(
        folder,
        network,
        name="untrained",
        version="0",
        architecture="test_resnet",
        classes=CLASSES,
        size=(64, 64),
        labels="visible",
        details={"data": {"source": "none: an untrained network"}},
    )
    return folder


def measure(words: list[str]) -> tuple[float, float, list[tuple[float, float]]]:
    """Run the command; return its seconds, its highest resident set in MB, and (seconds, MB) on the way."""
    command = [sys.executable, "-c", "from kikuchinet.cli import main; main()", *words]
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    watched = psutil.Process(process.pid)
    seen: list[tuple[float, float]] = []

    def watch() -> None:
        while process.poll() is None:
            try:
                seen.append((time.monotonic() - start, watched.memory_info().rss / 2**20))
            except psutil.NoSuchProcess:
                return
            time.sleep(0.2)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    watcher.join()
    if process.returncode:
        sys.exit(f"the command ended with {process.returncode}: {output}")
    return time.monotonic() - start, max(mb for _, mb in seen), seen


def main() -> None:
    """Write the scan, identify it, and print what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=250)
    parser.add_argument("--columns", type=int, default=400)
    parser.add_argument("--model", help="a shipped model or a folder with one")
    parser.add_argument("--keep", type=Path, help="folder for the scan and the results")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    n = options.rows * options.columns
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        scan = folder / f"scan_{options.rows}x{options.columns}.h5"
        if not scan.exists():
            write_scan(scan, options.rows, options.columns)
        model = options.model or str(small_model(Path(temporary) / "untrained"))
        seconds, most, seen = measure(["identify", str(scan), "--out", str(folder / "out"), "--model", model])
        size = scan.stat().st_size / 2**20
        results = {path.name: round(path.stat().st_size / 2**20, 1) for path in (folder / "out").iterdir()}
    tenths = [max((mb for s, mb in seen if s <= part * seconds / 10), default=0.0) for part in range(1, 11)]
    found = {
        "patterns": n,
        "file_mb": round(size),
        "seconds": round(seconds, 1),
        "patterns_per_second": round(n / seconds, 1),
        "highest_rss_mb": round(most),
        "highest_rss_mb_by_tenths_of_the_time": [round(mb) for mb in tenths],
        "results_mb": results,
    }
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        for name, value in found.items():
            print(f"{name.replace('_', ' ')}: {value}")


if __name__ == "__main__":
    main()
