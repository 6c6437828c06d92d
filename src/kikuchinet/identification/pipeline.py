"""From patterns to answers, a batch at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kikuchinet._version import __version__
from kikuchinet.errors import InputError
from kikuchinet.identification.adapting import adapt_to_scan
from kikuchinet.identification.answer_store import AnswerStore
from kikuchinet.identification.blocks import Block, BlockAnswer, Images, digest, nothing_seen, plan
from kikuchinet.identification.candidates import library_candidates
from kikuchinet.identification.elements import parse_elements
from kikuchinet.identification.gather import joined, nothing
from kikuchinet.identification.result import IdentificationResult, SourceAnswer
from kikuchinet.identification.schedule import answer_here
from kikuchinet.models import Adaptation, SpaceGroupModel, load_model, model_bytes
from kikuchinet.patterns import PatternSource, open_patterns, read_patterns
from kikuchinet.patterns.preprocessing import DEFAULT as PREPROCESSING

if TYPE_CHECKING:
    from kikuchinet.identification.physics import Physics
    from kikuchinet.models.band_network import BandModel


def identify(
    inputs: str | Path | PatternSource | Iterable[str | Path | PatternSource],
    model: SpaceGroupModel | str | Path | None = None,
    *,
    elements: str | Iterable[str] = (),
    device: str = "auto",
    precision: str = "auto",
    runtime: str = "auto",
    batch_size: int | None = None,
    scheduler: str | None = None,
    store: AnswerStore | None = None,
    adapt: bool | Adaptation = False,
    bands: bool | str | Path | BandModel | None = None,
    on_error: str = "raise",
    progress: Callable[[int, int], None] | None = None,
) -> IdentificationResult:
    """Identify the space group of every pattern, and of all of them together.

    Parameters
    ----------
    inputs
        Files, folders or sources of patterns, one or several. All of them are taken for one crystal when evidence
        is pooled.
    model
        A loaded model, the name of a shipped one or a folder with one; the default model if not given.
    elements
        Symbols, as a list or as ``"Al,Ni"``: library crystals of these elements that agree with the answer are
        listed.
    device
        Where a model that is not loaded yet shall run.
    precision
        In what it shall compute: ``fp32``, ``bf16``, or ``auto``, bf16 where the hardware has it.
    runtime
        What computes: ``torch``, ``openvino``, or ``auto``: OpenVINO where it is installed and the run is so large that it
        wins back the time it takes to convert the network (`kikuchinet.models.openvino_runtime`), never on a cluster. A
        loaded model brings its own.
    batch_size
        Patterns that are read and answered together; 256, or fewer where they are large, if not given.
    scheduler
        Address of a dask scheduler whose workers shall compute. Without it, threads of this process do.
    store
        Where answers are kept as they come, and looked up (`kikuchinet.identification.answer_store`).
    adapt
        Whether the model is first fitted to the patterns, without labels, which should all come from one camera
        (`kikuchinet.identification.adapting`); or how, where that is known.
    bands
        Whether patterns are answered by their band profiles (`kikuchinet.identification.bands`), and by which model.
        If not given: where neither a model nor adaptation is asked for, every file says where its screen stood, and
        there are few patterns; of a large scan see `with_bands`. Where it is asked for and no file says it, the pattern
        centre is sought, which takes several good patterns.
    on_error
        ``raise`` an error where something cannot be read, or ``skip`` it: the result's `failures` names it, and a pattern
        that cannot be read has no answer and the reason.
    progress
        Called with the patterns done and the patterns in all.

    Returns
    -------
    IdentificationResult
        Answers, pooled evidence, candidates.

    Raises
    ------
    kikuchinet.errors.InputError
        An input, the model, an element or the device cannot be used, or a network without batch normalisation shall be
        adapted; with ``skip``, if nothing can be read at all.

    Notes
    -----
    Patterns are read, identified and forgotten a batch at a time. What stays is some hundred bytes a pattern. How many
    cores or workers share a run of more than `batch_size` patterns changes no answer, to the last bit. The runtime does, as
    precision does: the result's `settings` name both.
    """
    symbols = parse_elements(elements)
    if on_error not in {"raise", "skip"}:
        raise InputError("on_error", f"{on_error!r} is neither raise nor skip")
    failures: list[InputError] | None = [] if on_error == "skip" else None
    sources = open_sources(inputs, failures)
    reader = band_model(bands, unasked=model is None and not adapt)
    if not isinstance(model, SpaceGroupModel):
        model = load_model(model, device=device, precision=precision, runtime=runtime)
    settings: dict[str, Any] = {
        "inputs": [source.name for source in sources],
        "elements": list(symbols),
        "device": str(model.device),
        "precision": model.precision,
        "abstain_below": model.card.abstain_below,
        "pool_correlation": model.card.pool_correlation,
        "adapt": bool(adapt),
    }
    adaptation = adapt if isinstance(adapt, Adaptation) else None
    if adapt is True:
        adaptation = adapt_to_scan(sources, model, store=store, key=model_key(model))
    if adaptation is not None:
        model = adaptation.applied(model)
    # Whether the workers of a cluster have more than PyTorch is not known here.
    model = model.for_run(0 if scheduler else sum(len(source) for source in sources))
    settings["runtime"] = model.runtime
    answers = _answers(sources, model, failures, batch_size, scheduler, device, store, progress)
    result = IdentificationResult(
        tuple(answers), model.card, settings, symbols, failures=tuple(failures or ()), adaptation=adaptation
    )
    if reader is not None:
        result = with_bands(result, reader, asked=bands is not None, store=store)
    return _with_candidates(result)


def band_model(bands: bool | str | Path | BandModel | None, *, unasked: bool) -> BandModel | None:
    """Return the model that reads bands, or None where bands are not to be read.

    Parameters
    ----------
    bands
        As for `identify`.
    unasked
        Whether the model that ships reads them where nothing is said.
    """
    if bands is False or (bands is None and not unasked):
        return None
    from kikuchinet.models.band_network import DEFAULT_BAND_MODEL, BandModel, load_band_model

    if isinstance(bands, BandModel):
        return bands
    return load_band_model(DEFAULT_BAND_MODEL if bands is None or bands is True else bands)


def with_bands(
    result: IdentificationResult,
    model: BandModel,
    settings: Physics | None = None,
    *,
    asked: bool = False,
    store: AnswerStore | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> IdentificationResult:
    """Answer patterns by their bands where that can be done; say in the settings why not, where not.

    Parameters
    ----------
    result
        The answers of a network of whole patterns, with grains where there are scans.
    model
        The model of band profiles.
    settings
        Says where the screen stood. Else the files do, and where they do not, it is found out.
    asked
        Whether it was asked for: then every pattern is read, whatever their number, and what stands against it is an
        error. If not, every pattern is read of up to `kikuchinet.identification.band_grains.MOST_PATTERNS`, and of more the
        best of each grain, which speak for it.
    store
        Where readings are kept as they come, and looked up.
    progress
        As for `identify`.

    Raises
    ------
    kikuchinet.errors.InputError
        It was asked for and cannot be done.
    """
    from kikuchinet.identification.band_grains import MOST_PATTERNS, sample_grains
    from kikuchinet.identification.band_readings import UnreadableBands
    from kikuchinet.identification.bands import obstacle, read_bands
    from kikuchinet.identification.physics import Physics

    settings = settings or Physics()
    if why := obstacle(result, settings, asked=asked):
        return replace(result, settings={**result.settings, "bands": f"not read: {why}"})
    sampled = not asked and len(result.identification) > MOST_PATTERNS
    try:
        result = read_bands(
            result,
            model,
            settings,
            sample=sample_grains(result.answers) if sampled else None,
            store=store,
            progress=progress,
        )
    except UnreadableBands as error:
        if asked:
            raise
        return replace(result, settings={**result.settings, "bands": f"not read: {error}"})
    return _with_candidates(result)


def _with_candidates(result: IdentificationResult) -> IdentificationResult:
    """Return a result with the library's crystals that agree with its answer."""
    if not result.elements or result.pooled is None:
        return result
    group = result.pooled.space_group
    return replace(result, candidates=library_candidates(result.elements, group, result.card.classes))


def _answers(
    sources: Sequence[PatternSource],
    model: SpaceGroupModel,
    failures: list[InputError] | None,
    batch_size: int | None,
    scheduler: str | None,
    device: str,
    store: AnswerStore | None,
    progress: Callable[[int, int], None] | None,
) -> list[SourceAnswer]:
    """Return the answers of all sources of which anything can be read; what cannot be is added to `failures`."""
    unreadable: list[dict[int, InputError]] = [{} for _ in sources]
    blocks = plan(sources, batch_size)
    found: list[BlockAnswer | None] = [None] * len(blocks)
    digests: dict[int, str] = {}
    done, total = 0, sum(len(source) for source in sources)

    def ended(block: Block, outcome: BlockAnswer) -> None:
        nonlocal done
        found[block.number] = outcome
        done += len(block)
        if progress is not None:
            progress(done, total)

    def work() -> Iterator[tuple[Block, Images]]:
        key = model_key(model, device if scheduler else "") if store is not None else ""
        for block in blocks:
            images, failed = sources[block.source].salvage(block.first, block.last)
            if failed and failures is None:
                raise next(iter(failed.values()))
            unreadable[block.source] |= failed
            if len(failed) == len(block):
                ended(block, nothing_seen(len(block), len(model.classes)))
                continue
            if store is not None:
                digests[block.number] = digest(images, key)
                if (earlier := store.find(digests[block.number])) is not None:
                    ended(block, earlier)
                    continue
            yield block, images

    if scheduler is None:
        answered = answer_here(model, work(), len(blocks))
    else:
        from kikuchinet.identification.cluster import answer_on_cluster

        answered = answer_on_cluster(model, work(), scheduler, device)
    with closing(answered):
        for block, outcome in answered:
            if store is not None:
                store.keep(digests.pop(block.number), outcome)
            ended(block, outcome)
    parts: list[list[BlockAnswer]] = [[] for _ in sources]
    for block, one in zip(blocks, found, strict=True):
        assert one is not None
        parts[block.source].append(one)
    return joined(sources, model.card, parts, unreadable, failures if failures is not None else [])


def model_key(model: SpaceGroupModel, device: str = "") -> str:
    """Say what answers depend on besides the patterns: the weights, how they are used, and how patterns are made ready."""
    return json.dumps(
        [
            __version__,
            hashlib.sha256(model_bytes(model)).hexdigest(),
            model.card.architecture,
            model.card.size,
            model.card.classes,
            model.precision,
            model.runtime,
            model.device.type,
            device,
            repr(PREPROCESSING),
        ]
    )


def open_sources(
    inputs: str | Path | PatternSource | Iterable[str | Path | PatternSource],
    failures: list[InputError] | None = None,
) -> list[PatternSource]:
    """Open everything that was given, in order.

    Parameters
    ----------
    inputs
        Files, folders or sources.
    failures
        Where it is told what cannot be opened. If not given, that is raised.

    Returns
    -------
    list of PatternSource
        One a file or folder.

    Raises
    ------
    kikuchinet.errors.InputError
        Nothing was given, or something, with `failures` everything, cannot be read.
    """
    items = [inputs] if isinstance(inputs, str | Path | PatternSource) else list(inputs)
    sources: list[PatternSource] = []
    for item in items:
        if isinstance(item, PatternSource):
            sources.append(item)
        elif failures is None:
            sources.extend(read_patterns([item]))
        else:
            opened, failed = open_patterns([item])
            sources.extend(opened)
            failures.extend(failed)
    if not sources:
        raise nothing(failures)
    return sources
