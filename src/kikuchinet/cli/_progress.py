"""Progress bars on stderr, for people; nothing where no terminal is looking."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress


class Advance(Protocol):
    """What long work calls as it goes."""

    def __call__(self, done: float, total: float | None = None) -> None:
        """Say how much is `done` of how much in `total`, in any unit."""


@contextmanager
def progress(description: str, unit: str = "") -> Iterator[Advance]:
    """Show a progress bar while the block runs.

    Parameters
    ----------
    description
        What is going on, in a few words.
    unit
        What is counted; printed after the numbers. Without it, the bar shows per cent.

    Yields
    ------
    Advance
        To be called with what is done and the total, when known. Costs nothing where stderr is not a terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total=None: None
        return
    columns = (
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} " + unit) if unit else TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, total=None)

        def advance(done: float, total: float | None = None) -> None:
            if total is not None:
                bar.update(task, completed=done, total=total)
            else:
                bar.update(task, completed=done)

        yield advance


@contextmanager
def staged_progress() -> Iterator[Callable[[str, float, float], None]]:
    """Show a progress bar for work of several stages that name themselves.

    Yields
    ------
    function
        To be called with what is going on, how much of it is done and how much there is.
    """
    with progress_bar() as bar:
        if bar is None:
            yield lambda title, done, total: None
            return
        task = bar.add_task("", total=None)
        yield lambda title, done, total: bar.update(task, description=title, completed=done, total=total)


@contextmanager
def progress_bar() -> Iterator[Progress | None]:
    """Yield rich's bar on stderr, in per cent; None where stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield bar
