"""What of many crystals' order a pattern can show, worked out by several processes and kept beside the master patterns.

`kikuchinet.diffraction.orderings` takes seconds for a crystal that nearly repeats on a finer lattice, and a training set
has a thousand crystals. A file of the store is called ``KEY.json``; KEY is a digest of everything that decides its content.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

from kikuchinet._cluster import cores
from kikuchinet._files import atomic_path
from kikuchinet.crystal import Crystal
from kikuchinet.diffraction import Ordering, orderings
from kikuchinet.diffraction.visibility import orderings_key
from kikuchinet.errors import InputError

_FEW = 4
"""So few crystals are not worth the start of processes."""
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


def orderings_of(
    crystals: Iterable[Crystal],
    cache_dir: str | Path,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> dict[Crystal, tuple[Ordering, ...]]:
    """Return the finer lattices on which each of many crystals nearly repeats.

    Parameters
    ----------
    crystals
        The crystals.
    cache_dir
        The cache folder, which the master patterns are in too.
    workers
        Processes; one a core if not given, 1 for none besides this one.
    progress
        Show a progress bar.

    Returns
    -------
    dict
        What `kikuchinet.diffraction.orderings` says of each.

    Raises
    ------
    kikuchinet.errors.InputError
        The folder cannot be written to for another reason than that it may only be read.
    """
    from rich.progress import Progress

    folder = Path(cache_dir) / "orderings"
    wanted = {crystal: orderings_key(crystal) for crystal in dict.fromkeys(crystals)}
    found = {crystal: known for crystal, key in wanted.items() if (known := _read(folder, key)) is not None}
    left = [crystal for crystal in wanted if crystal not in found]
    with Progress(disable=not progress or not left, transient=True) as bar:
        task = bar.add_task("visible order", total=len(left))
        for crystal, known in _worked_out(left, workers or cores()):
            _store(folder, wanted[crystal], known)
            found[crystal] = known
            bar.advance(task)
    return {crystal: found[crystal] for crystal in wanted}


def _worked_out(crystals: Sequence[Crystal], workers: int) -> Iterator[tuple[Crystal, tuple[Ordering, ...]]]:
    if workers <= 1 or len(crystals) <= _FEW:
        yield from ((crystal, orderings(crystal)) for crystal in crystals)
        return
    with ProcessPoolExecutor(
        min(workers, len(crystals)), get_context("spawn"), initializer=_one_thread
    ) as pool:
        futures = {pool.submit(orderings, crystal): crystal for crystal in crystals}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    import numba

    numba.set_num_threads(1)


def _place(folder: Path, key: str) -> Path:
    return folder / key[:2] / f"{key}.json"


def _read(folder: Path, key: str) -> tuple[Ordering, ...] | None:
    try:
        text = _place(folder, key).read_text(encoding="utf-8")
        return tuple(Ordering(**one) for one in json.loads(text))
    except (OSError, ValueError, TypeError):
        # Not there, or damaged: then it is made anew.
        return None


def _store(folder: Path, key: str, known: Sequence[Ordering]) -> None:
    try:
        with atomic_path(_place(folder, key)) as temporary:
            temporary.write_text(json.dumps([asdict(one) for one in known]), encoding="utf-8")
    except OSError as error:
        # A store that may only be read serves as well: working it out anew costs time and nothing else.
        if error.errno not in _READ_ONLY:
            raise InputError(folder, f"cannot be written to ({error.strerror or error})") from error
