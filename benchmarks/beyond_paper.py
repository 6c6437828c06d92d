"""What makes a network find unseen materials? Materials, their range, patterns, dose, orientation, synthetic ones.

    .venv/bin/python benchmarks/beyond_paper.py --out FOLDER [--size quick|small|cpu|paper] [--draws 3] [--limit N]

Goes on where it was: every finished network adds its rows to FOLDER/results.csv. Prints one sentence a question, and draws
one figure each, from all rows so far. At size small a ResNet-10 learns from 64 x 77 pixels; at size quick the networks learn
nothing, and it shows that everything runs.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from kikuchinet.study.beyond import plan, run_beyond
from kikuchinet.study.beyond_figures import AXES, draw_trend, draw_z_range, find_trend
from kikuchinet.study.settings import CPU_SIZE, PAPER_SIZE, QUICK

SMALL = replace(CPU_SIZE, size=(64, 77), architecture="resnet10t", patience=PAPER_SIZE.patience)
"""A small network on small patterns, ten seconds an epoch on two cores. With a patience of 8 epochs one stopped before it
had learnt anything, with its lowest validation loss in the first epochs."""

SIZES = {"quick": QUICK, "small": SMALL, "cpu": CPU_SIZE, "paper": PAPER_SIZE}


def main() -> None:
    """Run what is left, then show what there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", choices=SIZES, default="cpu")
    parser.add_argument("--draws", type=int, default=3, help="random choices of training materials")
    parser.add_argument("--limit", type=int, default=None, help="networks of the plan, at most")
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    settings = replace(SIZES[options.size], seed=options.seed)
    points = plan(settings, options.draws)[: options.limit]
    results = run_beyond(options.out, settings, points=points, cache_dir=options.cache)
    if results.empty:
        print("interrupted; nothing is finished yet")
        return
    if not settings.judged:
        print("Quick: the networks have learnt nothing, and these sentences mean nothing.")
    for question in AXES:
        if question not in set(results["question"]):
            continue
        trend = find_trend(results, question)
        draw_trend(trend).savefig(options.out / f"{question.replace(' ', '_')}.png")
        print(trend.sentence)
    if "materials" in set(results["question"]):
        figure, sentence = draw_z_range(results)
        figure.savefig(options.out / "z_range.png")
        print(sentence)


if __name__ == "__main__":
    main()
