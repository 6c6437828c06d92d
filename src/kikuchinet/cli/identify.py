"""``kikuchinet identify``: patterns in, space groups out."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kikuchinet.cli._group import BAD_INPUT, complain
from kikuchinet.cli._identify_output import print_result
from kikuchinet.cli._output import console, text
from kikuchinet.cli._pattern_center import NAMES, Convention, parse_center
from kikuchinet.cli._pattern_options import DeviceName, Example, ModelName, PatternInputs
from kikuchinet.cli._progress import progress, staged_progress
from kikuchinet.errors import InputError


class Precision(StrEnum):
    """Choices of --precision."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


class Runtime(StrEnum):
    """Choices of --runtime."""

    AUTO = "auto"
    TORCH = "torch"
    OPENVINO = "openvino"


def identify(
    inputs: PatternInputs = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the results; made if it does not exist.")
    ] = ...,  # type: ignore[assignment]
    model: ModelName = None,
    roi: Annotated[
        str,
        typer.Option(
            "--roi",
            metavar="ROW0:ROW1,COL0:COL1",
            help="Part of each scan, counted from 0, the last row and column left out: 10:20,5:25, or :50 for 50 rows.",
            show_default=False,
        ),
    ] = "",
    stride: Annotated[
        int, typer.Option("--stride", min=1, help="Every n-th row and every n-th column only.")
    ] = 1,
    grains: Annotated[
        str,
        typer.Option(
            "--grains",
            metavar="FILE",
            help="Grain map of the scan (.npy, .tif, .csv, or a crystal map that orix reads), or 'off'; without it similar "
            "neighbours make a grain.",
            show_default=False,
        ),
    ] = "",
    elements: Annotated[
        str,
        typer.Option(
            "--elements",
            help="Elements known to be there, such as Al,Ni: crystals of the library made of these are fitted.",
        ),
    ] = "",
    cifs: Annotated[
        list[Path] | None,
        typer.Option(
            "--cifs", help="CIF files, or folders of them, to be fitted as well.", show_default=False
        ),
    ] = None,
    physics: Annotated[
        str,
        typer.Option(
            "--physics",
            metavar="N|all",
            help="Patterns of each phase that candidates are fitted to; 0 for no fit. 'all': then the best one is fitted to "
            "all patterns of its phase, which gives their orientations.",
        ),
    ] = "4",
    energy_kev: Annotated[
        float | None,
        typer.Option(
            "--energy-kev",
            min=1.0,
            max=100.0,
            help="Energy of the beam; the file's, or 20, if not given.",
            show_default=False,
        ),
    ] = None,
    pattern_center: Annotated[
        str,
        typer.Option(
            *NAMES,
            metavar="X,Y,Z",
            help="Pattern centre, for bands and fits; the file's if not given. Without either, bands are not read "
            "unless --bands on asks for it, and fits seek it.",
            show_default=False,
        ),
    ] = "",
    convention: Annotated[
        Convention, typer.Option("--convention", help="Whose pattern centre it is.")
    ] = Convention.BRUKER,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            help="Where master patterns are kept; the user's cache folder, or KIKUCHINET_CACHE, if not given.",
            show_default=False,
        ),
    ] = None,
    device: DeviceName = "auto",
    precision: Annotated[
        Precision,
        typer.Option(
            "--precision",
            help="In what the network computes; auto is bf16 where the hardware has it, twice as fast.",
        ),
    ] = Precision.AUTO,
    runtime: Annotated[
        Runtime,
        typer.Option(
            "--runtime",
            help="What computes the network; auto is OpenVINO, where installed, on processors for thousands of patterns, "
            "which it answers faster than PyTorch.",
        ),
    ] = Runtime.AUTO,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="Dask scheduler whose workers do the work, such as tcp://10.0.0.1:8786. "
            "Without it, this machine's cores do.",
        ),
    ] = None,
    adapt: Annotated[
        bool,
        typer.Option(
            "--adapt",
            help="Fit the network to these patterns first, without labels; they should all come from one camera.",
        ),
    ] = False,
    bands: Annotated[
        str,
        typer.Option(
            "--bands",
            metavar="auto|on|off|MODEL",
            help="Whether patterns are answered by their band profiles. auto: where the pattern centre is in the file or "
            "given and there is no --model and no --adapt, up to 400 patterns; of larger scans the best of each grain, 400 "
            "in all, answer for the grain. on: every pattern; an unknown pattern centre is sought.",
        ),
    ] = "auto",
    example: Example = False,
) -> None:
    """Identify the space group of Kikuchi patterns.

    Writes patterns.csv (one row a pattern), summary.json, report.html and, for a scan, grains.csv, maps (PNG) and
    crystal_map.h5 (orix). Similar neighbours of a scan are taken for one grain and judged together. With --elements or
    --cifs, candidates are fitted to some patterns of each phase, and orientations.ang and orientations.ctf hold the
    orientations found. Results of an earlier run in the same folder are replaced when this one is done.
    A run that was interrupted, however that was, goes on where it was when it is started again. What cannot be read is
    named, everything else is done, and the exit status is 2.

    For example:

    - `kikuchinet identify --example --out demo`
    - `kikuchinet identify scan.h5 --out results --elements Al,Ni --cifs phases/`
    - `kikuchinet identify scan.h5 --out corner --roi 0:100,0:100 --stride 2`
    - `kikuchinet identify scan.h5 --out results --adapt`
    - `kikuchinet identify patterns/ single.tif --out results --model my-model/`
    """
    if example == bool(inputs):
        raise typer.BadParameter("give pattern files, or --example in place of them", param_hint="INPUT")
    if out.exists() and not out.is_dir():
        raise InputError(out, "is a file, not a folder for results")
    for path in inputs or ():
        # A mistyped name is answered at once, before libraries are loaded for seconds.
        if not path.exists():
            raise InputError(path, "does not exist")

    center = parse_center(pattern_center)
    many = _physics(physics)
    from kikuchinet.patterns import Region, example_patterns, select

    region = Region.parse(roi) if roi else None
    if grains and grains != "off" and not Path(grains).is_file():
        raise InputError(grains, "does not exist")
    from kikuchinet.identification import (
        Physics,
        fit_phases,
        gather_crystals,
        parse_elements,
        unfinished,
        whole_folder,
        with_bands,
        with_grains,
        write_results,
    )
    from kikuchinet.identification import identify as run
    from kikuchinet.identification.adapting import adapt_to_scan
    from kikuchinet.identification.pipeline import band_model, model_key, open_sources
    from kikuchinet.models import load_model
    from kikuchinet.report import write_report

    symbols = parse_elements(elements)
    found, unreadable = gather_crystals(symbols, cifs or ()) if many is not None else ([], [])
    for error in unreadable:
        complain(f"left out: {error}", "warning")
    failures: list[InputError] = []
    opened = [example_patterns()] if example else open_sources(list(inputs or ()), failures)
    sources = [select(source, region, stride) for source in opened]
    loaded = load_model(model, device=device, precision=precision.value, runtime=runtime.value)
    reader = band_model(
        {"auto": None, "on": True, "off": False}.get(bands, bands), unasked=model is None and not adapt
    )
    fitting = Physics(
        patterns=1 if many is None else many[0],
        everywhere=many is not None and many[1],
        energy_kev=energy_kev,
        pattern_center=center,
        convention=convention.value,
    )
    with unfinished(out) as store:
        adaptation = None
        if adapt:
            with progress("Adapting", "patterns") as advance:
                adaptation = adapt_to_scan(
                    sources, loaded, store=store, key=model_key(loaded), progress=advance
                )
        with progress("Identifying", "patterns") as advance:
            result = run(
                sources,
                loaded,
                elements=symbols,
                device=device,
                scheduler=scheduler,
                store=store,
                adapt=adaptation or False,
                bands=False,
                on_error="skip",
                progress=advance,
            )
        if grains != "off":
            with progress("Finding grains", "patterns") as advance:
                result = with_grains(result, grains or None, progress=advance)
        if reader is not None:
            with progress("Reading bands", "patterns") as advance:
                result = with_bands(
                    result, reader, fitting, asked=bands != "auto", store=store, progress=advance
                )
        if found and many is not None:
            from kikuchinet.diffraction.cache import MasterCache, default_cache_folder

            store_of_masters = MasterCache(cache or default_cache_folder())
            with staged_progress() as stage:
                result = fit_phases(result, found, fitting, cache=store_of_masters, progress=stage)
        settings = {
            **result.settings,
            "roi": roi,
            "stride": stride,
            "grains": grains or "similar neighbours",
            "physics": physics if found else "none",
            "example": example,
            "model": str(model or ""),
            "read_bands": bands,
            "pattern_center": pattern_center,
            "convention": convention.value,
        }
        result = replace(result, settings=settings, failures=(*failures, *result.failures))
        with whole_folder(out) as folder:
            write_results(result, folder)
            # Heat maps are of the network of whole patterns: they explain no answer of the bands.
            report = write_report(result, folder, None if result.bands else loaded)
    print_result(result)
    if store.found:
        console().print(f"Taken from an unfinished run: {store.found:,} patterns")
    console().print(f"Report: {text(out / report.name)}", soft_wrap=True)
    for error in result.failures:
        complain(error)
    if result.failures:
        raise typer.Exit(BAD_INPUT)


def _physics(physics: str) -> tuple[int, bool] | None:
    """Return the patterns a phase, and whether all are indexed afterwards; None for no fit."""
    if physics == "all":
        return 4, True
    if not physics.isdecimal():
        raise typer.BadParameter(f"{physics!r} is neither a number nor 'all'", param_hint="--physics")
    return (int(physics), False) if int(physics) else None
