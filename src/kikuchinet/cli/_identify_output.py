"""What ``kikuchinet identify`` says on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kikuchinet.cli._output import console, table, text

if TYPE_CHECKING:
    from kikuchinet.identification import IdentificationResult, PhaseFit
    from kikuchinet.identification.result import SourceAnswer

_ROWS = 40
"""Patterns in the table on the terminal; all of them stand in patterns.csv."""
_CANDIDATES = 8
"""Candidates of a phase in its table; all of them stand in summary.json."""


def print_result(result: IdentificationResult) -> None:
    """Print patterns, phases, candidates and the answer of all together."""
    _print_patterns(result)
    if result.adaptation is not None:
        console().print(text(result.adaptation.sentence), soft_wrap=True)
    for number, answer in enumerate(result.answers):
        if answer.phases:
            _print_phases(answer)
            if result.sampled(number):
                _print_band_grains(answer)
    for fit in result.fits:
        _print_fit(fit, result)
    if result.pooled is None:
        console().print("All together: no answer, no pattern shows any contrast")
        return
    from kikuchinet.crystal import OUTSIDE
    from kikuchinet.crystal.outside import answer_title, outside_phrase

    pooled, classes = result.pooled, result.card.classes
    outside = pooled.space_group == OUTSIDE
    answer_text = outside_phrase(classes) if outside else answer_title(pooled.space_group, classes)
    console().print(
        f"All together: {answer_text}, probability {pooled.probability:.3f} ({result.verdict})",
        soft_wrap=True,
    )
    if outside and result.verdict in {"clear", "likely"}:
        console().print(
            "That is an answer: the model takes the crystal for one of another group, and cannot say of which.",
            soft_wrap=True,
        )
    if result.bands:
        _print_bands(result)
    steps = result.ladder
    if steps is not None:
        console().print(f"How far down that is sure: {steps.sentence}.", soft_wrap=True)
    if result.elements and not result.fits:
        names = ", ".join(candidate.name for candidate in result.candidates) or "none"
        console().print(
            f"Library crystals of {', '.join(result.elements)} that agree (not fitted): {text(names)}"
        )


def _print_bands(result: IdentificationResult) -> None:
    from kikuchinet.crystal.outside import answer_title

    sampled = any(result.sampled(number) for number in range(len(result.answers)))
    line = "Read from band profiles of the grains' best patterns" if sampled else "Read from band profiles"
    line += f" ({result.card.name})"
    if result.whole is not None and result.whole.pooled is not None:
        other = result.whole.pooled
        title = answer_title(other.space_group, result.whole.card.classes)
        line += f"; the network of whole patterns ({result.whole.card.name}) says {title}, {other.probability:.3f}"
    console().print(text(line + "."), soft_wrap=True)


def _print_patterns(result: IdentificationResult) -> None:
    from kikuchinet.crystal import OUTSIDE
    from kikuchinet.crystal.outside import answer_title
    from kikuchinet.models import NO_ANSWER

    frame = result.patterns
    several = len(result.answers) > 1 or frame["source"].nunique() > 1
    rows = table("pattern", "space group", "probability", "abstained", "reason", right=("probability",))
    for entry in frame.head(_ROWS).to_dict("records"):
        name = f"{entry['source']} [{entry['index']}]" if several else str(entry["index"])
        group = "" if entry["abstained"] else answer_title(int(entry["space_group"]), result.card.classes)
        rows.add_row(
            text(name),
            group,
            f"{entry['probability']:.3f}",
            "yes" if entry["abstained"] else "no",
            text(entry["reason"]),
        )
    console().print(rows)
    if len(frame) > _ROWS:
        console().print(f"... and {len(frame) - _ROWS:,} more in patterns.csv")
    names = {NO_ANSWER: "no answer", OUTSIDE: "outside"}
    counts = ", ".join(f"{count:,} x {names.get(group, group)}" for group, count in result.tally)
    console().print(f"Single patterns: {counts}")


def _print_phases(answer: SourceAnswer) -> None:
    assert answer.grains is not None
    origin = answer.grains.origin
    console().print(
        f"{text(answer.source.name)}: {answer.grains.count:,} grains ({text(origin)})", soft_wrap=True
    )
    rows = table(
        "phase",
        "of the scan",
        "sure",
        "grains",
        "probability",
        right=("of the scan", "sure", "grains", "probability"),
    )
    for phase in answer.phases:
        rows.add_row(
            phase.title,
            f"{phase.fraction:.1%}",
            f"{phase.sure_fraction:.1%}",
            f"{len(phase.grains):,}",
            f"{phase.probability:.3f}",
        )
    console().print(rows)


def _print_band_grains(answer: SourceAnswer) -> None:
    found, grains, bands = answer.grain_answers, answer.grains, answer.bands
    assert found is not None
    assert found.by_bands is not None
    assert grains is not None
    assert bands is not None
    share = grains.sizes[found.by_bands].sum() / len(grains.labels)
    console().print(
        f"{int(found.by_bands.sum()):,} of these grains ({share:.1%} of the scan) are answered by the bands of "
        f"{int(bands.speaks.sum()):,} patterns ({int(bands.read.sum()):,} read), the others by the whole-pattern network.",
        soft_wrap=True,
    )


def _print_fit(fit: PhaseFit, result: IdentificationResult) -> None:
    name = result.answers[fit.source].source.name
    x, y, z = fit.detector.pattern_center
    where = {"file": "from the file", "given": "as given", "fitted": "fitted"}[fit.geometry]
    phase = "all patterns" if fit.space_group is None else f"phase {fit.space_group or 'outside'}"
    console().print(
        f"{text(name)}, {phase}: candidates fitted to {len(fit.patterns)} patterns, pattern centre "
        f"({x:.3f}, {y:.3f}, {z:.3f}, Bruker's) {where}",
        soft_wrap=True,
    )
    rows = table(
        "candidate",
        "space group",
        "network",
        "correlation",
        "behind best",
        "stands out",
        "",
        right=("network", "correlation", "behind best", "stands out"),
    )
    for one in fit.candidates[:_CANDIDATES]:
        margin, error = fit.margin(one)
        spread = f" ± {error:.3f}" if error == error else ""  # noqa: PLR0124  NaN for a single pattern
        rows.add_row(
            text(one.crystal.name),
            f"{one.crystal.space_group} {one.crystal.symmetry.symbol}",
            "not taught" if one.evidence is None else f"{one.evidence:.3f}",
            f"{one.score:.3f}",
            "" if one is fit.candidates[0] else f"{margin:.3f}{spread}",
            f"{float(_median(one.standing)):.1f} σ",
            "" if one.fits else "does not fit",
        )
    console().print(rows)
    if len(fit.candidates) > _CANDIDATES:
        console().print(f"... and {len(fit.candidates) - _CANDIDATES} more in summary.json")
    console().print(text(fit.statement), soft_wrap=True)


def _median(values: object) -> float:
    import numpy as np

    return float(np.median(np.asarray(values)))
