"""What pages of 2 MiB bring a network (`kikuchinet.cli._huge_pages`): the same work in two processes, with and without.

Run ``python benchmarks/huge_pages.py``. Each process trains the network on noise, then identifies noise with it, on one
thread; the processes take turns, three times, and the best of each is printed, in patterns a second of CPU time. Where
the system gives large pages to everybody, or to nobody, both lines are alike.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

import torch

from kikuchinet.cli._huge_pages import ASKED, POLICY, TUNABLES
from kikuchinet.models import create_model

CLASSES, BATCH, TURNS = 11, 32, 3


def work(architecture: str, size: int, steps: int) -> tuple[float, float]:
    """Return patterns a CPU second in training and in identifying."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = create_model(architecture, CLASSES).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(network.parameters(), fused=True)
    images = torch.randn(BATCH, 1, size, size).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (BATCH,))

    def train() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(images).float()
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(logits, labels).backward()
        optimiser.step()

    def identify() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            network(images)

    rates = []
    for what in (train, identify):
        what()
        started = time.process_time()
        for _ in range(steps):
            what()
        rates.append(steps * BATCH / (time.process_time() - started))
        network.eval()
    return rates[0], rates[1]


def main() -> None:
    """Compare, or be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", default="legacy_xception")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(*work(arguments.architecture, arguments.size, arguments.steps))
        return
    print("policy:", POLICY.read_text().strip() if POLICY.exists() else "none")
    rates: dict[str, list[tuple[float, ...]]] = {"": [], ASKED: []}
    for _ in range(TURNS):
        for asked, found in rates.items():
            command = [sys.executable, *sys.argv, "--one"]
            done = subprocess.run(
                command, env={**os.environ, TUNABLES: asked}, capture_output=True, text=True, check=True
            )
            found.append(tuple(map(float, done.stdout.split())))
    for asked, found in rates.items():
        best = [max(column) for column in zip(*found, strict=True)]
        print(f"{asked or 'small pages':24} training {best[0]:6.1f}/s   identifying {best[1]:6.1f}/s")


if __name__ == "__main__":
    main()
