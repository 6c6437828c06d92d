"""Many simulations as a bar on stderr: how many are done, how long the others will take, which are running."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from kikuchinet.diffraction.campaign import Standing, Watch


def time_left(standing: Standing) -> str:
    """Return the time left in words, such as ``"about 3 min left"``; empty where nothing is known."""
    if standing.left_s is None or standing.done == standing.total:
        return ""
    minutes = standing.left_s / 60.0
    if minutes < 1.0:
        return f"about {standing.left_s:.0f} s left"
    if minutes < 90.0:
        return f"about {minutes:.0f} min left"
    return f"about {minutes / 60.0:.1f} h left"


@contextmanager
def campaign_bar(title: str, *, shown: bool = True) -> Iterator[Watch | None]:
    """Show a bar while the block runs.

    Parameters
    ----------
    title
        What is being done, in a word or two.
    shown
        Whether to show it at all.

    Yields
    ------
    callable or None
        What `simulate_many` shall report to; None where the bar is not shown.
    """
    if not shown:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[count]}", markup=False),
        TextColumn("{task.fields[left]}", markup=False),
        TextColumn("{task.fields[running]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
    )  # fmt: skip
    with Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        # Results go to stdout, wherever that leads; rich would send them where the bar is.
        redirect_stdout=sys.stdout.isatty(),
    ) as bar:
        task = bar.add_task(title, total=1.0, count="", left="", running="starting")

        def watch(standing: Standing) -> None:
            names = ", ".join(standing.running)
            bar.update(
                task,
                completed=standing.share,
                count=f"{standing.done} of {standing.total}",
                left=time_left(standing),
                running=f"now {names}" if names else "waiting for a worker",
            )

        yield watch
