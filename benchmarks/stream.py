"""Patterns a second as a network gets them, and where the time goes.

Run ``python benchmarks/stream.py`` for what ``kikuchinet benchmark stream`` measures: the stream in one process, with two
workers and by torch, beside kikuchipy. ``--profile`` lists the costliest functions of the stream in one process instead, in
microseconds of CPU time a pattern, other programs left out. ``--count`` counts what the stream on a torch device asks of it,
which takes no GPU: operations in a window, bytes read and written, and arithmetic in products of matrices.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from kikuchinet.cli._stream_benchmarks import nickel_masters, nickel_stream, stream

COSTLIEST = 24


def profile(device: str, windows: int = 3) -> None:
    """Print the functions that take the most CPU time themselves."""
    with nickel_masters() as (_, masters):
        source = nickel_stream(masters, device)
        source.window(0)
        recorder = cProfile.Profile(time.process_time)
        for number in range(1, windows + 1):
            recorder.runcall(source.window, number)
    patterns = windows * source.config.window
    found = pstats.Stats(recorder).get_stats_profile()
    print(f"{found.total_tt / patterns * 1e6:8.1f} µs a pattern in all")
    costs = sorted(found.func_profiles.items(), key=lambda item: item[1].tottime, reverse=True)
    for name, cost in costs[:COSTLIEST]:
        place = f"{Path(cost.file_name).name}:{cost.line_number}"
        print(f"{cost.tottime / patterns * 1e6:8.1f} µs  {name:<40} {place}")


class _Counter(TorchDispatchMode):
    """Counts the operations that PyTorch carries out, views left out."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.moved = self.products = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        if function.is_view or "view" in function.name():
            return out
        tensors = [x for x in tree_flatten((args, kwargs, out))[0] if isinstance(x, torch.Tensor)]
        self.operations += 1
        self.moved += sum(
            # Of a tensor that repeats itself only what is stored is read.
            x.untyped_storage().nbytes() if 0 in x.stride() else x.numel() * x.element_size()
            for x in tensors
        )
        if function.name() in ("aten::mm", "aten::bmm"):
            self.products += 2 * args[0].numel() * args[1].shape[-1]
        return out


def count() -> None:
    """Print what a pattern asks of a device, averaged over a window."""
    with nickel_masters() as (_, masters):
        source = nickel_stream(masters, "cpu")
        source.window(0)
        with _Counter() as counter:
            source.window(1)
    patterns = source.config.window
    print(f"{counter.operations} operations for a window of {patterns} patterns; a pattern moves")
    print(
        f"{counter.moved / patterns / 1e6:.0f} MB and takes {counter.products / patterns / 1e6:.0f} million"
    )
    print("additions and multiplications in products of matrices")


def main() -> None:
    """Print the comparison, or the profile."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", action="store_true", help="list the costliest functions")
    parser.add_argument("--count", action="store_true", help="count what a torch device is asked for")
    parser.add_argument("--device", default="", help="of the profiled stream; compiled code if not given")
    arguments = parser.parse_args()
    if arguments.profile:
        profile(arguments.device)
        return
    if arguments.count:
        count()
        return
    for result in stream():
        print(
            f"{result.benchmark:<24}{result.ours:>8.0f} {result.unit:<16}"
            f"{result.ratio:>6.2f} of {result.peer} ({result.theirs:.0f})"
        )


if __name__ == "__main__":
    main()
