"""From the blocks' answers to those of the sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.identification.blocks import BlockAnswer
from kikuchinet.identification.result import SourceAnswer
from kikuchinet.models import ModelCard
from kikuchinet.models.space_group_model import answers
from kikuchinet.patterns import PatternSource

UNREADABLE = "cannot be read: "
"""Reason why a pattern that could not be read has no answer, before the cause."""


def joined(
    sources: Sequence[PatternSource],
    card: ModelCard,
    parts: Sequence[Sequence[BlockAnswer]],
    unreadable: Sequence[Mapping[int, InputError]],
    failures: list[InputError],
) -> list[SourceAnswer]:
    """Return the answers of every source of which anything could be read.

    Parameters
    ----------
    sources
        What was identified.
    card
        The model's.
    parts
        The blocks of each source, in order.
    unreadable
        The patterns of each source that could not be read.
    failures
        A line is added for every source that could not be read in part or at all.

    Raises
    ------
    kikuchinet.errors.InputError
        Nothing could be read at all.
    """
    found = []
    for source, blocks, failed in zip(sources, parts, unreadable, strict=True):
        if failed:
            failures.append(_summary(source, failed))
        if len(failed) == len(source):
            continue
        logits, blank, quality = (
            np.concatenate([getattr(block, name) for block in blocks])
            for name in ("logits", "blank", "quality")
        )
        identification = answers(card, logits, blank)
        if failed:
            reasons = list(identification.reasons)
            for index, error in failed.items():
                reasons[index] = f"{UNREADABLE}{error.cause}"
            identification = replace(identification, reasons=tuple(reasons))
            source = _mended(source, failed)
        found.append(SourceAnswer(source, identification, quality))
    if not found:
        raise nothing(failures)
    return found


def nothing(failures: Sequence[InputError] | None) -> InputError:
    """Return the error to raise where there is nothing to identify."""
    if not failures:
        return InputError("input", "no patterns were given")
    first, others = failures[0], len(failures) - 1
    if not others:
        return first
    return InputError(
        first.subject, f"{first.cause}; nor can {others} more be read, which is all that was given"
    )


def _summary(source: PatternSource, failed: Mapping[int, InputError]) -> InputError:
    first = failed[min(failed)]
    if len(failed) == 1:
        return first
    return InputError(
        source.name,
        f"{len(failed):,} of {len(source):,} patterns cannot be read, the first: {first.subject}: {first.cause}",
    )


def _mended(source: PatternSource, failed: Mapping[int, InputError]) -> PatternSource:
    """Return a source that is black where it could not be read, for whoever looks at patterns afterwards.

    What is black has the size and type of the first pattern that can be read.
    """
    first_readable = next(index for index in range(len(source)) if index not in failed)

    @cache
    def black() -> NDArray[Any]:
        return np.zeros_like(source[first_readable])

    def read(first: int, last: int) -> list[NDArray[Any]]:
        if not any(first <= index < last for index in failed):
            return list(source.patterns(first, last))
        images = source.salvage(first, last)[0]
        return [black() if i in failed else image for i, image in enumerate(images, start=first)]

    # The source divides by the background itself.
    return replace(source, read=read, static_background=None)
