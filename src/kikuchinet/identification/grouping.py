"""Grains put to the answers of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kikuchinet.errors import InputError
from kikuchinet.identification.grain_files import read_grain_map
from kikuchinet.identification.grains import find_grains
from kikuchinet.identification.result import IdentificationResult


def with_grains(
    result: IdentificationResult,
    grain_map: str | Path | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> IdentificationResult:
    """Return a run's result with the grains of its scans.

    Parameters
    ----------
    result
        Answers for every pattern.
    grain_map
        A grain map that somebody made, see `kikuchinet.identification.grain_files.read_grain_map`; without it grains are
        found from the patterns themselves, which are read once more.
    progress
        Called with the patterns done and the patterns in all.

    Returns
    -------
    IdentificationResult
        With `SourceAnswer.grains` for every source that is a scan of two dimensions.

    Raises
    ------
    kikuchinet.errors.InputError
        A grain map was given and there is not exactly one scan, or it does not fit.
    """
    scans = [answer for answer in result.answers if answer.scan_shape is not None]
    if grain_map is not None and len(scans) != 1:
        raise InputError(grain_map, f"a grain map belongs to one scan, and there are {len(scans)}")
    total = sum(len(answer.source) for answer in scans)
    done = 0
    answers = []
    for answer in result.answers:
        if answer.scan_shape is None:
            answers.append(answer)
            continue
        if grain_map is not None:
            grains = read_grain_map(grain_map, answer.source)
        else:
            before = done

            def step(part: int, _: int, before: int = before) -> None:
                if progress is not None:
                    progress(before + part, total)

            grains = find_grains(answer.source, progress=step)
        done += len(answer.source)
        answers.append(replace(answer, grains=grains))
    return replace(result, answers=tuple(answers))
