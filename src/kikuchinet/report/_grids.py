"""What the page knows about every pattern: small numbers in grids, one grid a source."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal.outside import answer_symbol
from kikuchinet.identification import IdentificationResult, SourceAnswer
from kikuchinet.models import NO_ANSWER, list_models
from kikuchinet.models.registry import DEFAULT_MODEL
from kikuchinet.report._text import shown

POINTS = 262_144
"""Points of all grids together. Larger scans are thinned: every second, third, ... row and column."""
_LEADING = 6
"""Groups of which a point keeps the probability."""
_NAMES = 20_000
"""Names of single files that the page keeps."""
NOTHING, EMPTY = 255, 254
"""Codes of a point without an answer, and of a cell of the grid without a pattern."""
NO_GRAIN = 0xFFFFFFFF
"""In place of a grain's number where a pattern belongs to none."""
UNSEEN = "#8a8f94"
"""Colour of a group that no pattern was answered with."""


def page_data(result: IdentificationResult, pictures: Mapping[int, str]) -> dict[str, Any]:
    """Return what the page's script needs, as JSON can hold it.

    Parameters
    ----------
    result
        The answers.
    pictures
        Reason why a chosen pattern has no picture, or empty, by pattern.

    Returns
    -------
    dict
        Classes with their colours, tables of colours for numbers, and one grid a source. Arrays are base64: bytes for
        answers, little-endian 16-bit parts of 65535 for probabilities. A point has those of its six leading groups.
    """
    from matplotlib import colormaps

    stride = thinning([_shape(answer) for answer in result.answers])
    starts = np.cumsum([0, *(len(answer.identification) for answer in result.answers)]).tolist()
    table = np.linspace(0.0, 1.0, 256)
    return {
        "classes": [
            {
                "number": group,
                "symbol": answer_symbol(group, result.card.classes),
                "colour": result.colours.get(group, UNSEEN),
            }
            for group in result.card.classes
        ],
        "ramps": {
            name: _coded((colormaps[name](table)[:, :3] * 255).round().astype(np.uint8))
            for name in ("cividis", "gray")
        },
        "stride": stride,
        "grids": [
            _grid(number, answer, int(start), stride, pictures, result)
            for number, (answer, start) in enumerate(zip(result.answers, starts, strict=False))
        ],
    }


def thinning(shapes: list[tuple[int, int]], points: int = POINTS) -> int:
    """Return the smallest stride with which grids of some shapes have at most `points` points together."""
    stride = 1
    while sum(-(-rows // stride) * -(-columns // stride) for rows, columns in shapes) > points:
        stride += 1
    return stride


def _shape(answer: SourceAnswer) -> tuple[int, int]:
    """Rows and columns of the scan; patterns that are no scan are laid out row by row."""
    n = len(answer.identification)
    columns = int(np.ceil(np.sqrt(n)))
    return answer.scan_shape or (-(-n // columns), columns)


def place_numbers(answer: SourceAnswer) -> tuple[list[int], list[int]]:
    """Return the numbers of a map's rows and of its columns, as patterns.csv has them; from 0 where the source has none."""
    rows, columns = _shape(answer)
    source = answer.source
    if source.rows is None or source.columns is None:
        return list(range(rows)), list(range(columns))
    return source.rows[::columns].tolist(), source.columns[:columns].tolist()


def _grid(
    which: int,
    answer: SourceAnswer,
    start: int,
    stride: int,
    pictures: Mapping[int, str],
    result: IdentificationResult,
) -> dict[str, Any]:
    rows, columns = _shape(answer)
    n = len(answer.identification)
    place = (np.arange(0, rows, stride)[:, None] * columns + np.arange(0, columns, stride)).ravel()
    there = place < n
    kept = place[there]
    source, identification = answer.source, answer.identification
    # Of answers: the last entry is that of `NO_ANSWER`, -1.
    code = np.full(232, NOTHING, dtype=np.uint8)
    code[list(identification.classes)] = np.arange(len(identification.classes))
    probabilities = identification.probabilities[kept]
    k = min(_LEADING, probabilities.shape[1])
    leading = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    reasons = list(dict.fromkeys(identification.reasons[i] for i in kept.tolist()))[:256]
    number = {reason: i for i, reason in enumerate(reasons)}
    quality = np.asarray(answer.quality, dtype=float)[kept]
    finite = quality[np.isfinite(quality)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    scale = (np.nan_to_num(quality, nan=low) - low) / max(high - low, 1e-9)

    def filled(values: NDArray[Any], empty: int) -> NDArray[Any]:
        whole = np.full((len(place), *values.shape[1:]), empty, dtype=values.dtype)
        whole[there] = values
        return whole

    spoken = np.zeros(n, dtype=bool) if answer.bands is None else answer.bands.speaks
    grid: dict[str, Any] = {
        "name": shown(source.name),
        "scan": answer.scan_shape is not None,
        "rows": -(-rows // stride),
        "columns": -(-columns // stride),
        "aspect": _aspect(answer),
        "group": _coded(filled(code[identification.answers[kept]], EMPTY)),
        "leading": _coded(filled(leading.astype(np.uint8), 0)),
        "probability": _coded(
            filled((np.take_along_axis(probabilities, leading, 1) * 65535).round().astype("<u2"), 0)
        ),
        "kept": k,
        "quality": _coded(filled((scale * 255).round().astype(np.uint8), 0)),
        "quality_range": [low, high],
        "reasons": reasons,
        "reason": _coded(
            filled(
                np.array([number.get(identification.reasons[i], 0) for i in kept.tolist()], dtype=np.uint8), 0
            )
        ),
        "index": _range(source.indices, place, there),
        "pictures": {
            str(cell): start + int(pattern)
            for cell, pattern in enumerate(place.tolist())
            if start + pattern in pictures
        },
        "command": _command(source.name, which, result),
        "python": f"kikuchinet.read_patterns([{shown(source.name)!r}])[0]",
    }
    if spoken[kept].any():
        grid["band_command"] = _command(source.name, which, result, by_bands=True)
        if not spoken[kept].all():
            grid["spoken"] = _coded(filled(spoken[kept].astype(np.uint8), 0))
    if answer.scan_shape is not None:
        row_numbers, column_numbers = place_numbers(answer)
        grid["row_numbers"], grid["column_numbers"] = row_numbers[::stride], column_numbers[::stride]
    if answer.grains is not None and answer.grain_answers is not None:
        labels = answer.grains.labels[kept]
        # Numbers of the tables, from 0; NO_GRAIN where a pattern belongs to none.
        grid["grain"] = _coded(filled(np.where(labels < 0, NO_GRAIN, labels).astype("<u4"), NO_GRAIN))
        groups = np.append(answer.grain_answers.answers, NO_ANSWER)[labels]
        best = np.append(answer.grain_answers.best, 0.0)[labels]
        grid["grain_group"] = _coded(filled(code[groups], EMPTY))
        grid["grain_probability"] = _coded(filled((best * 65535).round().astype("<u2"), 0))
    names = [source.names[i] for i in kept.tolist()] if len(set(source.names)) > 1 else []
    if names and len(names) <= _NAMES:
        grid["names"] = [shown(name) for name in names]
        if answer.scan_shape is None:
            grid["commands"] = [
                _command(source.names[i], which, result, by_bands=bool(spoken[i])) for i in kept.tolist()
            ]
    return grid


def _range(indices: NDArray[np.int64], place: NDArray[np.int64], there: NDArray[np.bool_]) -> str:
    numbers = np.zeros(len(place), dtype="<u4")
    numbers[there] = indices[place[there]]
    return _coded(numbers)


def _aspect(answer: SourceAnswer) -> float:
    """Height of a point over its width."""
    step = answer.source.step
    if answer.scan_shape is None or step is None or not all(np.isfinite(step)) or min(step) <= 0:
        return 1.0
    return float(step[0] / step[1])


def _command(name: str, which: int, result: IdentificationResult, *, by_bands: bool = False) -> str:
    """Return the command that makes a page of one file of a source; the script adds row and column of a point.

    It names the model that answered the pattern, by its bands or as a whole, as the run named it.
    """
    from kikuchinet.models.band_network import DEFAULT_BAND_MODEL

    # Each scan of a file is a source of its own; the command line takes the file, and the region is of all its scans.
    file = name if Path(name).exists() else re.sub(r", scan [0-9]+$", "", name)
    words = ["kikuchinet", "identify", "--example" if result.settings.get("example") else shown(file)]
    network = (result.whole or result).card.name
    model = result.settings.get("model")
    if model is None and not by_bands:
        # A run from Python does not say where it took its model from.
        model = "" if network == DEFAULT_MODEL else _nameable(network)
    if model:
        words += ["--model", shown(str(model))]
    if by_bands:
        asked = str(result.settings.get("read_bands", ""))
        if asked in {"", "auto", "on"}:
            asked = "on" if result.card.name == DEFAULT_BAND_MODEL else _nameable(result.card.name)
        words += ["--bands", shown(asked)]
    elif not model:
        # The default is to read bands where that can be done.
        words += ["--bands", "off"]
    if center := result.settings.get("pattern_center"):
        words += ["--pc", str(center), "--convention", str(result.settings["convention"])]
    elif by_bands:
        # One pattern is too few to find the pattern centre again. Without a convention it is Bruker's.
        unfiled = [one.detector for one in result.bands if one.source == which and one.geometry != "file"]
        words += ["--pc", ",".join(f"{value:.6g}" for value in unfiled[0].pattern_center)] if unfiled else []
    return shlex.join([*words, "--out", "point"])


def _nameable(model: str) -> str:
    """Return what stands for a model on the command line: its name if it ships, else what the reader has to put there."""
    return model if model in list_models() else f"FOLDER-OF-{model}"


def _coded(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
