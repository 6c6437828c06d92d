"""``kikuchinet simulate``: crystals in, master patterns out."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kikuchinet.cli._crystals_argument import find_crystals
from kikuchinet.cli._group import BAD_INPUT, complain
from kikuchinet.cli._output import console, text
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from kikuchinet.diffraction.cache import MasterCache
    from kikuchinet.diffraction.campaign import Standing
    from kikuchinet.diffraction.job import SimulationJob


class Preset(StrEnum):
    """Numerical settings of the simulator."""

    ACCURATE = "accurate"
    PARITY = "parity"


@dataclass(frozen=True)
class _Order:
    """A master pattern that was asked for: what to simulate, and where it goes."""

    job: SimulationJob
    target: Path


def simulate(
    crystals: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names of library crystals, CIF files, or folders of CIF files.",
            metavar="CRYSTAL...",
            show_default=False,
        ),
    ] = None,
    *,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the master patterns; made if it does not exist.")
    ],
    whole_library: Annotated[bool, typer.Option("--all", help="Take the whole library of crystals.")] = False,
    space_group: Annotated[
        int | None,
        typer.Option("--space-group", min=1, max=230, help="Take only crystals of this space group."),
    ] = None,
    energy_kev: Annotated[
        float, typer.Option("--energy-kev", min=1.0, max=100.0, help="Energy of the beam in keV.")
    ] = 20.0,
    half_width: Annotated[
        int,
        typer.Option("--half-width", min=10, max=2000, help="Pixels from the centre of the map to its edge."),
    ] = 250,
    preset: Annotated[
        Preset,
        typer.Option(
            "--preset", help="accurate: converged; parity: the settings of EMsoft, for comparisons."
        ),
    ] = Preset.ACCURATE,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            help="Solve on a PyTorch device, such as cuda, one crystal after the other. By default compiled code runs on "
            "all cores.",
            show_default=False,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="Dask scheduler whose workers do the work, such as tcp://10.0.0.1:8786. "
            "Without it, processes of this machine do.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            min=1,
            help="Crystals at a time on this machine; 1 puts all cores to one. "
            "By default one a core, if there is enough to do.",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            envvar="KIKUCHINET_CACHE",
            help="Folder where all simulations are kept and looked up; by default the user's cache folder.",
            show_default=False,
        ),
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither look up nor keep.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Simulate again what is there already.")] = False,
) -> None:
    """Simulate dynamical master patterns, any number of them.

    Writes one HDF5 file a crystal in EMsoft's layout, which kikuchipy.load reads: NAME.h5 for a crystal of the library,
    FILE.h5 for FILE.cif. Every result is kept at once, in the folder and in the cache, so a run that was interrupted
    goes on where it was. A crystal that fails does not stop the others.

    For example:

    - `kikuchinet simulate Ni --out masters`
    - `kikuchinet simulate Ni3Al NiAl phase.cif --out masters --energy-kev 15 --half-width 300`
    - `kikuchinet simulate --all --out masters --scheduler tcp://10.0.0.1:8786`
    """
    if not crystals and not whole_library:
        raise typer.BadParameter("name at least one crystal, or give --all", param_hint="CRYSTAL...")
    if scheduler is not None and workers is not None:
        raise typer.BadParameter(
            "counts processes of this machine; not with --scheduler", param_hint="--jobs"
        )
    if device is not None:
        from kikuchinet._torch import torch_device

        torch_device(device)
        if scheduler is not None or (workers or 1) > 1:
            raise typer.BadParameter(
                "solves one crystal after the other; not with --scheduler or --jobs", param_hint="--device"
            )
        workers = 1
    chosen, unreadable = find_crystals(crystals or (), library=whole_library, space_group=space_group)
    if not chosen and not unreadable:
        raise InputError(f"space group {space_group}", "none of these crystals has it")
    if out.exists() and not out.is_dir():
        raise InputError(out, "is a file, not a folder for master patterns")

    from kikuchinet.diffraction.cache import MasterCache, default_cache_folder
    from kikuchinet.diffraction.job import SimulationJob

    store = None if no_cache else MasterCache(cache or default_cache_folder())
    orders = [
        _Order(
            SimulationJob(
                one.crystal,
                energy_kev=energy_kev,
                half_width=half_width,
                preset=preset.value,
                device=device,
            ),
            out / f"{one.stem}.h5",
        )
        for one in chosen
    ]  # fmt: skip
    errors = unreadable + (_fill(orders, store, scheduler, workers, force=force) if orders else [])
    for error in errors:
        complain(error)
    if errors:
        raise typer.Exit(BAD_INPUT)


def _fill(
    orders: Sequence[_Order],
    cache: MasterCache | None,
    scheduler: str | None,
    workers: int | None,
    *,
    force: bool,
) -> list[InputError]:
    """Fill all orders, from what is there or by simulation; return why some could not be."""
    kept, found, missing = _sort(orders, cache, force=force)
    count = len({order.job.key for order in missing})
    parts = [f"{len(kept)} kept" if kept else "", f"{len(found)} in the cache" if found else ""]
    parts += [f"{count} to simulate" if missing else ""]
    noun = "crystal" if len(orders) == 1 else "crystals"
    console().print(f"{len(orders)} {noun}: {', '.join(part for part in parts if part)}", soft_wrap=True)
    for order, path in found:
        _deliver(path.read_bytes(), order, "from the cache")
    return _simulate(missing, cache, scheduler, workers) if missing else []


def _sort(
    orders: Sequence[_Order], cache: MasterCache | None, *, force: bool
) -> tuple[list[_Order], list[tuple[_Order, Path]], list[_Order]]:
    """Sort orders into those that lie in the folder, those that lie in the cache (and where), and the others."""
    kept, found, missing = [], [], []
    for order in orders:
        if force:
            missing.append(order)
        elif _is_filled(order):
            kept.append(order)
        elif cache is not None and (path := cache.find(order.job.key)) is not None:
            found.append((order, path))
        else:
            missing.append(order)
    return kept, found, missing


def _is_filled(order: _Order) -> bool:
    from kikuchinet.diffraction import MasterPattern

    if not order.target.is_file():
        return False
    try:
        return order.job.made(MasterPattern.load(order.target))
    except InputError:
        # Not a master pattern, or a damaged one: it is made anew.
        return False


def _simulate(
    orders: Sequence[_Order], cache: MasterCache | None, scheduler: str | None, workers: int | None
) -> list[InputError]:
    from kikuchinet.diffraction.cache import check_writable
    from kikuchinet.diffraction.campaign import simulate_many
    from kikuchinet.diffraction.campaign_bar import campaign_bar

    for folder in {order.target.parent for order in orders} | ({cache.folder} if cache else set()):
        check_writable(folder)
    by_key: dict[str, list[_Order]] = {}
    for order in orders:
        by_key.setdefault(order.job.key, []).append(order)
    errors: list[InputError] = []
    jobs = [same[0].job for same in by_key.values()]
    with (
        campaign_bar("Simulating", shown=sys.stderr.isatty()) as watch,
        closing(simulate_many(jobs, cache, scheduler=scheduler, workers=workers, watch=watch)) as run,
    ):
        for finished in run:
            if finished.error is not None:
                errors.append(_in_one_line(finished.job.name, finished.error))
                continue
            for order in by_key[finished.job.key]:
                _deliver(finished.content, order, _progress(finished.standing))
    return errors


def _deliver(content: bytes, order: _Order, remark: str) -> None:
    """Write a file of the right content, under the name that the order's crystal has."""
    from kikuchinet._files import atomic_path
    from kikuchinet.diffraction import MasterPattern

    with atomic_path(order.target) as temporary:
        temporary.write_bytes(content)
        master = MasterPattern.load(temporary)
        if not order.job.made(master):
            order.job.label(master).save(temporary)
    console().print(f"{text(order.job.name)}: wrote {text(order.target)} ({remark})", soft_wrap=True)


def _progress(standing: Standing) -> str:
    from kikuchinet.diffraction.campaign_bar import time_left

    left = time_left(standing)
    return f"{standing.done} of {standing.total}" + (f", {left}" if left else "")


def _in_one_line(name: str, error: Exception) -> InputError:
    if isinstance(error, InputError):
        return error
    # Not the user's doing: whoever mends it needs to know where it came from.
    traceback.print_exception(error)
    return InputError(name, f"{type(error).__name__}: {error}")
