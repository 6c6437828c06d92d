"""What computes the network on a processor, and how fast: the table of docs/identify.md.

    .venv/bin/python benchmarks/runtimes.py [--rounds N]

Patterns of nickel with noise, 60 x 60 pixels, are made ready and answered by the model that ships, in one thread, by
PyTorch and by OpenVINO, in fp32 and in bf16, in turns. Rates are of patterns a CPU second of the process, so that other
programs count little: n cores answer up to n times as many a second. `kikuchinet benchmark identify` has the rates of
whole runs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

import kikuchinet as kn
from kikuchinet.cli._identify_benchmarks import noisy_nickel
from kikuchinet.cli._stream_benchmarks import nickel_masters

RUNTIMES = {"PyTorch": "torch", "OpenVINO": "openvino"}
PRECISIONS = ("fp32", "bf16")
MANY, FEW = 128, 4
LEAST_S = 0.4
"""CPU seconds of a turn at least."""


def rate(answer: Callable[[], object], n: int) -> float:
    """Return how many patterns a CPU second are answered, n at a time."""
    start, done = time.process_time(), 0
    while (spent := time.process_time() - start) < LEAST_S:
        answer()
        done += n
    return done / spent


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each; the best one counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with nickel_masters() as (signal, _):
        images = noisy_nickel(signal, MANY)
    models, ready, answers = {}, {}, {}
    for name, runtime in RUNTIMES.items():
        for precision in PRECISIONS:
            key = (name, precision)
            models[key] = kn.load_model(device="cpu", precision=precision, runtime=runtime)
            start = time.process_time()
            models[key].make_ready()
            ready[key] = time.process_time() - start
            answers[key] = models[key].identify(images)
            models[key].identify(images[0])
    many = dict.fromkeys(models, 0.0)
    alone = dict.fromkeys(models, 0.0)
    for _ in range(options.rounds):
        for key, model in models.items():
            many[key] = max(many[key], rate(lambda model=model: model.identify(images), MANY))
            alone[key] = max(
                alone[key], rate(lambda model=model: [model.identify(image) for image in images[:FEW]], FEW)
            )
    exact = answers["PyTorch", "fp32"]
    print(
        "| runtime | precision | many, patterns/CPU s | one at a time, ms | ready after, CPU s | largest difference |"
        " same answers |"
    )
    print("|" + " --- |" * 7)
    for key, found in answers.items():
        difference = np.abs(found.probabilities - exact.probabilities).max()
        same = (found.answers == exact.answers).mean()
        print(
            f"| {key[0]} | {key[1]} | {many[key]:.0f} | {1e3 / alone[key]:.1f} | {ready[key]:.1f} | {difference:.1g} "
            f"| {same:.3f} |"
        )


if __name__ == "__main__":
    main()
