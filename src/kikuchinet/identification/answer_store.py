"""Answers of a run that is not finished: kept as they come, so that it can be taken up again after any end."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet._files import atomic_path
from kikuchinet.identification.blocks import BlockAnswer

FOLDER = ".unfinished"
"""Name of the working folder, in the folder of the results."""


class AnswerStore:
    """A folder of answers, each under the digest of what it answers.

    Parameters
    ----------
    folder
        Where they are; made when there is something to keep.

    Notes
    -----
    A digest holds the patterns themselves, the model and the settings, so nothing is ever taken for the answer to something
    else, whatever has become of files in the meantime. A file is written whole or not at all, and one that is damaged
    counts as none (a zip archive has checksums).
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.found = 0

    def find(self, digest: str) -> BlockAnswer | None:
        """Return the answer to a block, or None."""
        arrays = self.find_arrays(digest)
        if arrays is None or not {"logits", "blank", "quality"} <= set(arrays):
            return None
        answer = BlockAnswer(arrays["logits"], arrays["blank"], arrays["quality"])
        self.found += len(answer.blank)
        return answer

    def keep(self, digest: str, answer: BlockAnswer) -> None:
        """Keep the answer to a block."""
        self.keep_arrays(digest, {"logits": answer.logits, "blank": answer.blank, "quality": answer.quality})

    def find_arrays(self, digest: str) -> dict[str, NDArray[Any]] | None:
        """Return the arrays kept under a digest, or None."""
        try:
            with self._path(digest).open("rb") as stored, np.load(stored, allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile):
            return None

    def keep_arrays(self, digest: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep arrays by their names."""
        with atomic_path(self._path(digest)) as path, path.open("wb") as file:
            np.savez(file, **dict(arrays))  # type: ignore[arg-type]  # none is called allow_pickle

    def _path(self, digest: str) -> Path:
        # A folder of many thousand files is slow on some systems.
        return self.folder / digest[:2] / f"{digest[2:]}.npz"


@contextmanager
def unfinished(out: str | Path) -> Iterator[AnswerStore]:
    """Keep answers inside the folder of the results for as long as these are not written.

    Parameters
    ----------
    out
        The folder of the results.

    Yields
    ------
    AnswerStore
        When the block ends without an error it is removed, with what other unfinished runs have left; else it stays. `out`
        itself does not stay if this made it and there is nothing in it.
    """
    out = Path(out)
    existed = out.is_dir()
    store = AnswerStore(out / FOLDER)
    finished = False
    try:
        yield store
        finished = True
    finally:
        if finished:
            shutil.rmtree(store.folder, ignore_errors=True)
        elif not existed:
            with suppress(OSError):
                out.rmdir()
