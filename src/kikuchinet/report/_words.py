"""The answer in words, with its reasons and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from kikuchinet.crystal import OUTSIDE, ladder
from kikuchinet.crystal.outside import groups_of, outside_phrase
from kikuchinet.identification import IdentificationResult
from kikuchinet.report._symbols import hermann_mauguin, outside

LABELS = {
    "clear": "clear answer",
    "partly": "sure in part",
    "likely": "likely, not certain",
    "undecided": "undecided",
    "none": "nothing to see",
}
LATTICES = {
    "aP": "primitive triclinic", "mP": "primitive monoclinic", "mS": "base-centred monoclinic",
    "oP": "primitive orthorhombic", "oS": "base-centred orthorhombic", "oF": "face-centred orthorhombic",
    "oI": "body-centred orthorhombic", "tP": "primitive tetragonal", "tI": "body-centred tetragonal",
    "hP": "primitive hexagonal", "hR": "rhombohedral", "cP": "primitive cubic", "cF": "face-centred cubic",
    "cI": "body-centred cubic",
}  # fmt: skip

_UNANIMOUS = 0.8
"""Where fewer single answers than this share agree, the page says that there may be several phases."""


@dataclass(frozen=True)
class Verdict:
    """How sure the answer is.

    Parameters
    ----------
    level
        As `IdentificationResult.verdict` has it.
    label
        The same for people.
    sentence
        The answer in one or two sentences.
    part
        What is sure where the space group is not, such as ``Bravais lattice cF``; else empty.
    """

    level: str
    label: str
    sentence: Markup
    part: str = ""

    @property
    def answers(self) -> bool:
        """Whether a space group is answered, and not only hinted at."""
        return self.level in {"clear", "likely"}


def percent(value: float) -> str:
    """Return a share as people write it; never a round 100 % for what is not certain."""
    if value >= 0.9995:
        return "> 99.9\u00a0%" if value < 1.0 else "100\u00a0%"
    if 0.0 < value < 0.0005:
        return "< 0.1\u00a0%"
    return f"{100.0 * value:.1f}\u00a0%"


def probability(value: float) -> str:
    """Return a probability in per cent; a network is never wholly certain."""
    return percent(min(value, 0.9999)) if value > 0.0 else "< 0.1\u00a0%"


def named(space_group: int, classes: Sequence[int] = ()) -> Markup:
    """Return a space group's symbol and number as HTML, or what lies outside a model's classes."""
    if space_group == OUTSIDE:
        return outside(classes)
    return Markup('<span class="sg">{}</span> (No. {})').format(hermann_mauguin(space_group), space_group)


def patterns(count: int) -> str:
    """Return a number of patterns in words."""
    return "one pattern" if count == 1 else f"{count:,} patterns"


def verdict(result: IdentificationResult) -> Verdict:
    """Return the answer in words."""
    pooled, level = result.pooled, result.verdict
    if pooled is None:
        text = Markup("None of the patterns shows any contrast, so nothing can be said about the crystal.")
        return Verdict(level, LABELS[level], text)
    classes = result.card.classes
    if pooled.space_group == OUTSIDE:
        meaning = outside_phrase(classes).partition(" (")[2]
        what = Markup("{} ({}").format(outside(classes), meaning)
    else:
        lattice = LATTICES[ladder(pooled.space_group).bravais_lattice]
        what = Markup("{}, {}").format(named(pooled.space_group), lattice)
    how = Markup("with probability {}").format(probability(pooled.probability))
    taken = "The pattern" if pooled.n_patterns == 1 else f"Taken together, the {patterns(pooled.n_patterns)}"
    verb = {"clear": "say", "likely": "most likely show"}.get(level)
    if verb is not None and pooled.n_patterns == 1:
        verb = {"clear": "says", "likely": "most likely shows"}[level]
    step = result.sure_step
    part = ""
    if level == "partly" and step is not None:
        part = f"{step.title} {step.value}"
        text = Markup(
            "{} {} sure of one thing: {}, with probability {}. The space group is not; the first among them is {} {}."
        ).format(
            taken,
            "is" if pooled.n_patterns == 1 else "are",
            part,
            probability(step.probability),
            named(pooled.space_group, classes),
            how,
        )
    elif verb is None:
        text = Markup(
            "{} {} not decide between {}. The first among them is {}, {}; read it as a hint, not as an answer."
        ).format(
            taken,
            "does" if pooled.n_patterns == 1 else "do",
            "answers" if OUTSIDE in classes else "groups",
            what,
            how,
        )
    else:
        text = Markup("{} {} {}, {}.").format(taken, verb, what, how)
    return Verdict(level, LABELS[level], text, part)


def reasons(result: IdentificationResult) -> list[Markup]:
    """Return why the answer is what it is, from the numbers."""
    pooled = result.pooled
    identification = result.identification
    n = len(identification)
    if pooled is None:
        return [
            Markup("{} read, all of one grey level once the background is removed.").format(
                patterns(n).capitalize()
            )
        ]
    found: list[Markup] = []
    answered = int((~identification.abstained).sum())
    agree = int((identification.answers == pooled.space_group).sum())
    classes = result.card.classes
    if pooled.space_group == OUTSIDE and result.verdict in {"clear", "likely"}:
        found.append(_outside_means(classes))
    if n == 1:
        if not answered:
            found.append(
                Markup("On its own the pattern is not enough for an answer: {}.").format(
                    identification.reasons[0]
                )
            )
    else:
        found.append(
            Markup("On their own, {} of {} that were answered say {}; {} no answer.").format(
                f"{agree:,}",
                f"the {patterns(answered)}" if answered != 1 else "the one pattern",
                named(pooled.space_group, classes),
                f"{n - answered:,} got" if n > answered else "none got",
            )
        )
        column = identification.classes.index(pooled.space_group)
        single = identification.probabilities[:, column]
        found.append(
            Markup("A single pattern gives it {} on median, from {} to {}.").format(
                probability(float(np.median(single))),
                probability(float(single.min())),
                probability(float(single.max())),
            )
        )
    found.extend(_from_bands(result))
    second, value = result.ranking()[1]
    found.append(Markup("The runner-up is {} with {}.").format(named(second, classes), probability(value)))
    if result.agreement < _UNANIMOUS:
        found.append(
            Markup(
                "Single patterns disagree. If the input holds several phases, do not read the pooled answer: "
                "look at the counts below and identify the phases apart."
            )
        )
    return found


def _from_bands(result: IdentificationResult) -> list[Markup]:
    """Return which bands an answer rests on, and what the network of whole patterns says."""
    if not result.bands:
        return []
    from kikuchinet.indexing.bands import FAMILIES

    assert result.pooled is not None
    found = []
    if sampled := [one for one in result.bands if one.grains is not None]:
        found.append(
            Markup(
                "Bands were read of the best patterns of large grains, and {} of {} speak for them. Only these count here; "
                "points of other grains are answered by the network of whole patterns."
            ).format(
                patterns(sum(len(one.patterns) for one in sampled)),
                "one grain" if (n := sum(one.grains or 0 for one in sampled)) == 1 else f"{n:,} grains",
            )
        )
    # Phases have runners-up of their own.
    mine = [one for one in result.bands if one.grains is None or one.answer == result.pooled.space_group]
    weights = np.mean([one.families for one in mine], axis=0) if mine else np.zeros(len(FAMILIES))
    leading = [k for k in np.argsort(-weights)[:3] if weights[k] > 0.1]
    if leading:
        names = ", ".join("{" + "".join(map(str, FAMILIES[k])) + "}" for k in leading)
        found.append(
            Markup("It was read from band profiles; against {} speak most the bands {}.").format(
                named(mine[0].runner_up, result.card.classes), names
            )
        )
    if result.whole is not None and result.whole.pooled is not None:
        other = result.whole.pooled
        found.append(
            Markup("The network of whole patterns ({}) says {} with {}.").format(
                result.whole.card.name,
                named(other.space_group, result.whole.card.classes),
                probability(other.probability),
            )
        )
    return found


def _outside_means(classes: Sequence[int]) -> Markup:
    """Return what it means for a crystal to be outside the model's groups."""
    return Markup(
        "This is an answer, not a want of one: the model takes the crystal for one of another group than {}. It does not "
        "say of which, nor of which crystal system. Candidates (<code>--elements</code>, <code>--cifs</code>) can be held "
        "against it."
    ).format(_listed(groups_of(classes)))


def _listed(groups: Sequence[int]) -> Markup:
    return Markup(", ").join(named(group) for group in groups)


def _what_is_known(classes: Sequence[int]) -> Markup:
    """Return which answers there are."""
    groups = groups_of(classes)
    if OUTSIDE not in classes:
        return Markup(
            "The model knows {} space groups and no others: {}. A crystal of any other group is answered with one of "
            "these, or not at all."
        ).format(len(groups), _listed(groups))
    return Markup(
        "The model tells {} space groups apart: {}. For crystals of all others it has one answer, {}, learnt from a limited "
        "number of them. A crystal unlike those may still be answered with one of its groups, and patterns unlike those it "
        "was taught on may be given that answer though the crystal is of its groups."
    ).format(len(groups), _listed(groups), outside(classes))


def limits(result: IdentificationResult) -> list[Markup]:
    """Return what the answer must not be taken for."""
    items = [
        _what_is_known(result.card.classes),
        Markup(
            "It was taught on simulated patterns of a limited number of materials. Crystals and cameras unlike those "
            "may be answered wrongly and with confidence."
        ),
        Markup("Probabilities hold for patterns like those it was calibrated on (simulated ones). {}").format(
            "No lattice parameter or composition is used or found. The pattern centre must be right within a few hundredths."
            if result.bands
            else "No orientation, lattice parameter or composition is used or found."
        ),
    ]
    if result.adaptation is not None:
        note = " Its probabilities were calibrated without that." if result.adaptation.used else ""
        items.append(escape(result.adaptation.sentence + note))
    if result.card.labels == "visible":
        items.append(
            Markup(
                "Its classes are the groups that a camera can see: a crystal whose order is too weak to see (such as "
                "FeNi<sub>3</sub>) counts as its disordered parent."
            )
        )
    if len(result.identification) > 1:
        items.append(
            Markup(
                "The pooled answer takes all patterns for one crystal and weights them as partly dependent "
                "(correlation {} between patterns of one scan)."
            ).format(f"{result.card.pool_correlation:g}")
        )
    failures = result.card.details.get("known_failures", ())
    items.extend(escape(str(note)) for note in ([failures] if isinstance(failures, str) else failures))
    return items
