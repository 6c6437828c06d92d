"""What the paper states, each held against a study's own tables: the same, different, and why we think so.

Statements are those of Kaufmann et al. (2020) in our words; what is found is worked out from predictions, never typed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kikuchinet.crystal import crystals
from kikuchinet.crystal.library import PAPER_MATERIALS
from kikuchinet.study.tables import LevelScores, counts

if TYPE_CHECKING:
    import pandas as pd

    from kikuchinet.study.run import ExperimentResult

_POINTS = 0.10
"""Difference of accuracies, or of a recall, up to which they count as the same: a stated choice, in the rule of each."""


@dataclass(frozen=True)
class Finding:
    """What a study found of one statement.

    Parameters
    ----------
    experiment
        The experiment that it is about.
    states
        The paper's statement.
    rule
        When it counts as the same.
    ours
        What was found.
    same
        Whether it is; None where a further experiment, or a material, is missing.
    why
        Why we think so.
    """

    experiment: str
    states: str
    rule: str
    ours: str
    same: bool | None
    why: str


@dataclass(frozen=True, eq=False)
class _Found:
    """An experiment's tables, and those of the others."""

    scores: LevelScores
    answers: pd.DataFrame
    others: Mapping[str, _Found]
    chance: float

    def check(self, materials: Sequence[str]) -> None:
        """Raise a `LookupError` that names what was not tested on; a user's manifest need not hold all 18."""
        if missing := [name for name in materials if name not in self.answers.index]:
            raise LookupError(f"no test patterns of {', '.join(missing)}")

    def recall(self, material: str) -> float:
        self.check([material])
        return float(self.scores.materials.set_index("material").loc[material, "recall"])

    def mean_recall(self, materials: Sequence[str]) -> float:
        return sum(map(self.recall, materials)) / len(materials)

    def share(self, materials: Sequence[str], groups: Sequence[int]) -> float:
        """Return the share of the answers for some materials that are one of some groups; materials weigh the same."""
        self.check(materials)
        rows = self.answers.loc[list(materials)]
        shares = rows.div(rows.sum(axis=1), axis=0)
        return float(shares[[group for group in groups if group in shares]].sum(axis=1).mean())

    def commonest_error(self, materials: Sequence[str]) -> tuple[int, float]:
        """Return the commonest wrong answer for some materials, and its share of their wrong answers."""
        self.check(materials)
        wrong = self.answers.loc[list(materials)].copy().astype(float)
        for name in wrong.index:
            if crystals[name].space_group in wrong.columns:
                wrong.loc[name, crystals[name].space_group] = 0.0
        total = wrong.sum()
        if total.sum() == 0:
            return 0, 0.0
        return int(total.idxmax()), float(total.max() / total.sum())


Judge = Callable[[_Found], tuple[str, bool | None]]


@dataclass(frozen=True)
class _Statement:
    experiment: str
    states: str
    rule: str
    judge: Judge
    same: str
    different: str


def _accuracy(paper: float) -> Judge:
    def judge(found: _Found) -> tuple[str, bool | None]:
        share, low, high = found.scores.accuracy
        return f"{share:.1%} ({low:.1%} to {high:.1%})", abs(share - paper) <= _POINTS

    return judge


def _in_range(found: _Found) -> tuple[str, bool | None]:
    share, low, high = found.scores.accuracy
    return f"{share:.1%} ({low:.1%} to {high:.1%})", 0.40 <= share <= 0.65


def _unseen_above_chance(found: _Found) -> tuple[str, bool | None]:
    found.check(_all_but())
    unseen = found.scores.materials.query("not seen")
    above = int((unseen["recall_low"] > found.chance).sum())
    return f"{above} of {len(unseen)}", abs(above - 6) <= 1


def _unseen_best(found: _Found) -> tuple[str, bool | None]:
    found.check(_all_but())
    unseen = found.scores.materials.query("not seen and recall > 0.45")["material"]
    return ", ".join(unseen) or "none", set(unseen) == {"Ni3Al", "Cr3Si", "W", "Al4Ni3"}


def _al4ni3(found: _Found) -> tuple[str, bool | None]:
    recall = found.recall("Al4Ni3")
    return f"{recall:.1%}", abs(recall - 0.95) <= _POINTS


def _b2_elsewhere(found: _Found) -> tuple[str, bool | None]:
    shares = {name: found.share([name], (229, 230)) for name in ("FeAl", "NiAl")}
    words = ", ".join(f"{share:.0%} of {name}" for name, share in shares.items())
    return f"{words} to 229 or 230", min(shares.values()) > 0.5


def _light_225_best(found: _Found) -> tuple[str, bool | None]:
    light, heavy = found.mean_recall(("Al", "TiC")), found.mean_recall(("NbC", "Ni", "TaC"))
    return f"Al and TiC {light:.0%}, NbC, Ni and TaC {heavy:.0%}", light > heavy


def _errors_to(group: int, materials: Sequence[str]) -> Judge:
    def judge(found: _Found) -> tuple[str, bool | None]:
        commonest, share = found.commonest_error(materials)
        if commonest == 0:
            return "no wrong answers", False
        return f"commonest wrong answer {commonest}, {share:.0%} of all wrong ones", commonest == group

    return judge


def _gains(materials: Sequence[str], name: str) -> Judge:
    def judge(found: _Found) -> tuple[str, bool | None]:
        if "fig2" not in found.others:
            return "fig2 has not been run", None
        before, after = found.others["fig2"].mean_recall(materials), found.mean_recall(materials)
        return f"{name}: {before:.0%} in fig2, {after:.0%} here", after > before

    return judge


def _half_of_nial(found: _Found) -> tuple[str, bool | None]:
    share = found.share(["NiAl"], [229])
    return f"{share:.0%} of NiAl to 229", 0.35 <= share <= 0.55


def _below_chance(found: _Found) -> tuple[str, bool | None]:
    found.check(_all_but())
    below = found.scores.materials.query("recall < @found.chance")["material"]
    return ", ".join(below) or "none", set(below) == {"Al", "W"}


def _all_but(*groups: int) -> tuple[str, ...]:
    return tuple(name for group, names in PAPER_MATERIALS.items() if group not in groups for name in names)


_ANY_WITHIN = "within 10 points"
_TYPES = (
    "One material a group teaches how that material looks: its band widths and contrasts, and its structure type. What "
    "comes near in both is taken for it, whatever its symmetry."
)
_OTHER_DATA = (
    "Our patterns are simulated and of known, even quality; the paper's weights of materials in its overall figure are not "
    "known, and a network of one material a group is a matter of its seed."
)

_STATEMENTS = (
    _Statement("fig2", "Overall accuracy 51.2 %.", _ANY_WITHIN, _accuracy(0.512), _TYPES, _OTHER_DATA),
    _Statement(
        "fig2",
        "Better than chance on 6 of the 12 unseen materials.",
        "5 to 7, lower end of the 95 % interval above chance",
        _unseen_above_chance,
        _TYPES,
        _OTHER_DATA,
    ),
    _Statement(
        "fig2",
        "Above 45 % on Ni3Al, Cr3Si, W and Al4Ni3, and on no other unseen material.",
        "the same four",
        _unseen_best,
        "Each of the four has the structure type of the material that taught its group.",
        "Unseen materials of a taught structure type are found, others as far as they look like it. FeNi3 taught 221 "
        "with an order that no camera sees, so fcc metals may be called 221.",
    ),
    _Statement(
        "fig2",
        "Al4Ni3 is found in 95 % of cases.",
        _ANY_WITHIN,
        _al4ni3,
        "Al4CoNi2, which taught 230, is nearly the same crystal.",
        "Al4CoNi2, which taught 230, is nearly the same crystal, but other groups reach into it.",
    ),
    _Statement(
        "fig2",
        "FeAl and NiAl are taken for 229 and 230.",
        "more than half of each",
        _b2_elsewhere,
        "B2 is bcc with weak superlattice reflections, and Al4CoNi2 is B2 with ordered vacancies.",
        "B2 lies between bcc (229) and the vacancy-ordered B2 of 230; which of its neighbours it is taken for depends on "
        "cell and contrast.",
    ),
    _Statement("fig4", "Overall accuracy 40 to 65 %.", "in the range", _in_range, _TYPES, _OTHER_DATA),
    _Statement(
        "fig4",
        "With Al in place of TaC the light materials of 225 are best.",
        "mean recall of Al and TiC above that of NbC, Ni and TaC",
        _light_225_best,
        "Al teaches wide bands of low contrast, which light crystals have.",
        "Al is taught itself; TiC is a rock salt, which fcc Al does not teach.",
    ),
    _Statement(
        "fig4",
        "Errors of the other groups' materials go to 225.",
        "225 is their commonest wrong answer",
        _errors_to(225, _all_but(225)),
        _TYPES,
        _OTHER_DATA,
    ),
    _Statement("fig5", "Overall accuracy 40 to 65 %.", "in the range", _in_range, _TYPES, _OTHER_DATA),
    _Statement(
        "fig5",
        "With Si in place of Ge, 225, 227 and Fe go to 221.",
        "221 is the commonest wrong answer of the materials of 225 and 227 and of Fe",
        _errors_to(221, (*PAPER_MATERIALS[225], *PAPER_MATERIALS[227], "Fe")),
        "221 was taught with FeNi3, which a camera cannot tell from an fcc metal: fcc patterns belong there.",
        _OTHER_DATA,
    ),
    _Statement(
        "fig5",
        "221 gains.",
        "mean recall of its materials above that in fig2",
        _gains(PAPER_MATERIALS[221], "221"),
        "A lighter material for 227 leaves contrasts of medium strength to 221.",
        "A change of one material elsewhere moves 221 by no more than another seed may.",
    ),
    _Statement("fig6", "Overall accuracy 40 to 65 %.", "in the range", _in_range, _TYPES, _OTHER_DATA),
    _Statement(
        "fig6",
        "With Fe in place of Ta the light 229 is found better.",
        "recall of Fe above that in fig2",
        _gains(("Fe",), "Fe"),
        "Fe is taught itself.",
        _OTHER_DATA,
    ),
    _Statement(
        "fig6",
        "B2 goes to 229.",
        "229 is the commonest wrong answer of NiAl and FeAl",
        _errors_to(229, ("NiAl", "FeAl")),
        "Fe has nearly the cell of NiAl and FeAl; only weak superlattice reflections tell them from bcc.",
        "Vacancy-ordered B2, which teaches 230, is as near to B2 as bcc iron is.",
    ),
    _Statement(
        "fig6",
        "Nearly half of NiAl goes to 229.",
        "35 to 55 %",
        _half_of_nial,
        "Fe has nearly the cell of NiAl; only weak superlattice reflections tell it from bcc.",
        "Vacancy-ordered B2, which teaches 230, is as near to NiAl as bcc iron is.",
    ),
    _Statement(
        "fig7",
        "Overall accuracy 80 %.",
        _ANY_WITHIN,
        _accuracy(0.80),
        "Two materials a group, where there are two, span its structure types and a range of mean Z.",
        _OTHER_DATA,
    ),
    _Statement(
        "fig7",
        "Only Al and W are below chance.",
        "the same two",
        _below_chance,
        "Al is lighter, and W heavier, than what taught their groups.",
        "Materials outside the range of mean Z that taught their group are lost first, and which those are depends on "
        "quality and seed.",
    ),
    _Statement(
        "fig10",
        "Overall accuracy 93 % with all 18 materials taught.",
        _ANY_WITHIN,
        _accuracy(0.93),
        "Every test pattern is of a crystal that the network has seen.",
        "FeNi3 and Ni look alike to a camera, ours and theirs; without differences of preparation between samples nothing "
        "tells them apart.",
    ),
)


def find_statements(results: Sequence[ExperimentResult]) -> list[Finding]:
    """Hold the paper's statements against finished experiments, at the literal level.

    Parameters
    ----------
    results
        Finished experiments; statements of others are left out.

    Returns
    -------
    list of Finding
        In the paper's order.
    """
    found: dict[str, _Found] = {}
    for result in results:
        if result.predictions is None:
            continue
        found[result.experiment.name] = _Found(
            result.scores("literal"),
            counts(result.predictions),
            found,
            1.0 / len(result.experiment.training),
        )
    findings = []
    for statement in _STATEMENTS:
        if statement.experiment not in found:
            continue
        try:
            ours, same = statement.judge(found[statement.experiment])
        except LookupError as error:
            ours, same = str(error.args[0]), None
        why = "" if same is None else statement.same if same else statement.different
        findings.append(Finding(statement.experiment, statement.states, statement.rule, ours, same, why))
    return findings
