"""The parts of a set of band profiles, made by several processes and kept one by one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from kikuchinet._cluster import cores
from kikuchinet.datasets.profiles import ProfileMaker, Profiles


def make_profiles(
    maker: ProfileMaker,
    *,
    folder: Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> list[Profiles]:
    """Make all parts of a set of band profiles.

    Parameters
    ----------
    maker
        Makes each of them.
    folder
        Where parts are kept, each whole or not at all, and taken from; nowhere if not given.
    workers
        Processes; one a core if not given, 1 for none besides this one.
    progress
        Show a progress bar.

    Returns
    -------
    list of Profiles
        In the order of their numbers, whoever made them.
    """
    from rich.progress import Progress

    total = len(maker)
    found: dict[int, Profiles] = {}
    if folder is not None:
        for number in range(total):
            if _part(folder, number).is_file():
                found[number] = Profiles.load(_part(folder, number))
    left = [number for number in range(total) if number not in found]
    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("band profiles", total=total, completed=len(found))
        for number, part in _made(left, maker, workers or cores()):
            if folder is not None:
                part.save(_part(folder, number))
            found[number] = part
            bar.advance(task)
    return [found[number] for number in range(total)]


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:04d}.npz"


def _made(numbers: list[int], maker: ProfileMaker, workers: int) -> Iterator[tuple[int, Profiles]]:
    if min(workers, len(numbers)) <= 1:
        yield from ((number, maker.part(number)) for number in numbers)
        return
    with ProcessPoolExecutor(
        min(workers, len(numbers)), get_context("spawn"), initializer=_begin, initargs=(maker,)
    ) as pool:
        futures = [pool.submit(_make, number) for number in numbers]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


_maker: ProfileMaker


def _begin(maker: ProfileMaker) -> None:
    global _maker  # noqa: PLW0603 - a process has one
    _maker = maker


def _make(number: int) -> tuple[int, Profiles]:
    return number, _maker.part(number)
