"""``kikuchinet benchmark identify``: an answer from a file of patterns, beside what others do with the same patterns.

Nickel of 60 x 60 px with noise, on the cores that this process may use. Ours is timed from the file on the disk to the
answers: reading, preparing, network, computed by PyTorch and, where it is installed, by OpenVINO. The peers get their
patterns in memory, and what they can do beforehand (dictionaries, tables of bands, the network's inputs) is not timed. A
rate says how fast somebody answers, not how well: Hough and dictionary indexing find orientations, and choose among two
phases that they are given, fcc nickel and bcc iron.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet._cluster import cores
from kikuchinet.cli._benchmarks import REPEATS, Comparison, Missing, best_time
from kikuchinet.cli._stream_benchmarks import nickel_masters
from kikuchinet.models.registry import DEFAULT_MODEL, FAST_MODEL

SHAPE = (60, 60)
PATTERNS = 16_384
"""A scan of 128 x 128 points: what the ends of a run cost no longer shows."""
PEERS_PATTERNS = 1024
"""Those of `PATTERNS` that the peers get: their rates depend less on how many there are, and some are slow."""
CENTER = (0.5, 0.3, 0.6)
STEP_DEG = 4.0
"""Between the orientations of the dictionaries: 11,935 in each of the two."""
HALF_WIDTH = 60
NICKEL, IRON = 225, 229
_HOUGH_CHUNK = 528

MODELS = {DEFAULT_MODEL: "", FAST_MODEL: "fast model, "}
"""Those that are timed, and how their rows are called."""

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class _Ours:
    """What a runtime came to: answers; patterns a second, a CPU second, a second one at a time; seconds to make ready."""

    answers: NDArray[np.int64]
    rate: float
    cpu_rate: float
    alone: float
    ready_s: float


def identify() -> list[Comparison | Missing]:
    """Compare reading, preparing and answering with Hough indexing, dictionary indexing and Keras' Xception."""
    from kikuchinet.models import list_models, load_model
    from kikuchinet.models.openvino_runtime import installed

    with nickel_masters() as (signal, _), TemporaryDirectory() as folder:
        images = noisy_nickel(signal)
        path = Path(folder) / "nickel.h5"
        write(path, images)
        results: list[Comparison | Missing] = []
        ours: dict[str, _Ours] = {}
        notes: dict[str, str] = {}
        runtimes = ("torch", "openvino") if installed() else ("torch",)
        for name, prefix in MODELS.items():
            for runtime in runtimes:
                model = load_model(name, precision="auto", runtime=runtime)
                ours[prefix + runtime] = _ours(path, images, model)
                notes[prefix + runtime] = (
                    f"{model.name} ({model.card.architecture}, {model.card.size[0]} x {model.card.size[1]}, "
                    f"{model.precision}, {model.device}); {len(images)} patterns of {SHAPE[0]} x {SHAPE[1]}, "
                    f"best of {REPEATS}, {cores()} processors"
                )
        paper = list_models()[DEFAULT_MODEL]

        def compare(
            runtime: str, peer: str, theirs: float, theirs_one: float | None, phases: Any, remark: str
        ) -> None:
            mine = ours[runtime]
            agreement = (
                float((phases == mine.answers[: len(phases)]).mean()) if phases is not None else float("nan")
            )
            results.append(
                Comparison(
                    f"identify, {runtime}",
                    peer,
                    mine.rate,
                    theirs,
                    "patterns/s",
                    agreement,
                    f"{notes[runtime]}; {remark}",
                )
            )
            if theirs_one is not None:
                results.append(
                    Comparison(
                        f"identify, {runtime}, one at a time",
                        peer,
                        mine.alone,
                        theirs_one,
                        "patterns/s",
                        agreement,
                        "a pattern in memory to its answer: "
                        f"ours {1e3 / mine.alone:.1f} ms, theirs {1e3 / theirs_one:.1f} ms",
                    )
                )

        for prefix in MODELS.values():
            if "openvino" not in runtimes:
                results.append(
                    Missing(
                        f"identify, {prefix}openvino",
                        "the same by PyTorch",
                        "not measured: pip install openvino",
                    )
                )
                continue
            torch, openvino = ours[prefix + "torch"], ours[prefix + "openvino"]
            ready = (
                f"made ready in {openvino.ready_s:.1f} s, PyTorch in {torch.ready_s:.1f} s, not in the rates"
            )
            compare(f"{prefix}openvino", "the same by PyTorch", torch.rate, torch.alone, torch.answers, ready)
            results.append(
                Comparison(
                    f"identify, {prefix}openvino",
                    "the same by PyTorch",
                    openvino.cpu_rate,
                    torch.cpu_rate,
                    "patterns/CPU s",
                    float((openvino.answers == torch.answers).mean()),
                    "leaves out what other programs take",
                )
            )
        few = images[:PEERS_PATTERNS]
        peers: list[tuple[str, float, float | None, Any, str]] = [
            ("PyEBSDIndex Hough indexing", *_hough(few), "fcc or bcc, 9 bands"),
            (
                "kikuchipy dictionary indexing",
                *_dictionary(signal, few),
                f"Ni or Fe, every {STEP_DEG:g} degrees, dictionaries made beforehand",
            ),
        ]
        keras = _keras(paper.size, len(paper.classes))
        if keras is not None:
            backend, theirs, theirs_one = keras
            peers.append(
                (
                    f"Xception in Keras ({backend})",
                    theirs,
                    theirs_one,
                    None,
                    "the network alone, untrained, on prepared inputs of the same size",
                )
            )
        for runtime in ours:
            for peer in peers:
                compare(runtime, *peer)
        if keras is None:
            results.append(
                Missing("identify", "Xception in Keras", "not measured: pip install keras tensorflow-cpu")
            )
    return results


def noisy_nickel(signal: Any, n: int | None = None, seed: int = 0) -> Images:
    """Return patterns of kikuchipy's nickel master pattern at random orientations, with noise of a fast scan."""
    from orix.quaternion import Rotation

    from kikuchinet.microscope import project_batch

    rng = np.random.default_rng(seed)
    upper, lower = signal.data.astype(np.float32)
    turns = Rotation(rng.standard_normal((n or PATTERNS, 4))).unit.data
    clean = project_batch(upper, lower, turns, CENTER, SHAPE)
    clean -= clean.mean((1, 2), keepdims=True)
    clean /= clean.std((1, 2), keepdims=True)
    noisy = 128.0 + 30.0 * clean + rng.normal(0.0, 15.0, clean.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def write(path: Path, images: Images) -> None:
    """Write patterns in kikuchipy's layout, as a scan of rows of 32."""
    import h5py

    from kikuchinet.datasets.h5ebsd import PATTERNS as PLACE
    from kikuchinet.datasets.h5ebsd import write_header

    with h5py.File(path, "w") as file:
        file.create_dataset(PLACE, data=images, chunks=(min(32, len(images)), *images.shape[1:]))
        write_header(file, images.shape[1:], np.array([CENTER]), 0.0, scan_shape=(len(images) // 32, 32))


def _ours(path: Path, images: Images, model: Any) -> _Ours:
    from kikuchinet.identification import identify as run

    found: list[Any] = []
    cpu: list[float] = []

    def answer() -> None:
        start = time.process_time()
        found.append(run(path, model))
        cpu.append(time.process_time() - start)

    start = time.perf_counter()
    model.make_ready()
    ready_s = time.perf_counter() - start
    seconds = best_time(answer)
    answers = found[-1].identification.space_groups
    alone = _one_at_a_time(model.identify, images)
    return _Ours(answers, len(images) / seconds, len(images) / min(cpu), alone, ready_s)


def _one_at_a_time(answer: Callable[[Any], Any], images: NDArray[Any], n: int = 20) -> float:
    """Return the rate of answers to single patterns, each waited for."""
    some = images[:n]
    return n / best_time(lambda: [answer(image) for image in some])


def _hough(images: Images) -> tuple[float, float, NDArray[np.int64]]:
    from kikuchinet.patterns.libraries import import_pyebsdindex

    import_pyebsdindex()
    from pyebsdindex.ebsd_index import EBSDIndexer

    with contextlib.redirect_stdout(io.StringIO()):
        indexer = EBSDIndexer(
            phaselist=["FCC", "BCC"],
            vendor="KIKUCHIPY",
            PC=CENTER,
            sampleTilt=70.0,
            camElev=0.0,
            patDim=SHAPE,
            nBands=9,
        )

        def index(patterns: Images) -> Any:
            return indexer.index_pats(patsin=patterns, chunksize=_HOUGH_CHUNK, verbose=0)[0]

        phases = np.asarray(index(images)[-1]["phase"])
        rate = len(images) / best_time(partial(index, images))
        alone = _one_at_a_time(lambda image: index(image[None]), images)
    return rate, alone, np.choose(np.clip(phases + 1, 0, 2), [0, NICKEL, IRON])


def _dictionary(signal: Any, images: Images) -> tuple[float, None, NDArray[np.int64]]:
    import kikuchipy as kp
    from orix import sampling
    from orix.crystal_map import CrystalMap
    from orix.quaternion import Rotation, symmetry

    from kikuchinet.crystal import crystals
    from kikuchinet.diffraction import simulate
    from kikuchinet.microscope import Detector

    iron = simulate(crystals["Fe"], 20.0, half_width=HALF_WIDTH, preset="fast").to_kikuchipy()
    turns = sampling.get_sample_fundamental(STEP_DEG, point_group=symmetry.Oh)
    detector = Detector(shape=SHAPE, pattern_center=CENTER).to_kikuchipy()
    dictionaries = [
        master.get_patterns(
            turns, detector, energy=20, dtype_out="float32", compute=True, show_progressbar=False
        )
        for master in (signal, iron)
    ]
    scan = kp.signals.EBSD(images.reshape(-1, 32, *SHAPE))
    scan.xmap = CrystalMap(
        Rotation.identity((len(images),)),
        x=np.tile(np.arange(32), len(images) // 32),
        y=np.repeat(np.arange(len(images) // 32), 32),
    )

    def index() -> NDArray[np.float64]:
        # One run a phase, as its documentation does it; the better score decides.
        scores = []
        for dictionary in dictionaries:
            found = scan.dictionary_indexing(dictionary, metric="ncc", keep_n=1)
            scores.append(np.ravel(found.prop["scores"]))
        return np.stack(scores)

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        phases = np.array([NICKEL, IRON])[index().argmax(axis=0)]
        rate = len(images) / best_time(index)
    return rate, None, phases


def _keras(size: tuple[int, int], classes: int) -> tuple[str, float, float] | None:
    """Return Keras' backend and its rates; None where it is not installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            import keras

            network = keras.applications.Xception(
                include_top=True, weights=None, input_shape=(*size, 1), classes=classes
            )
    except ImportError:
        return None
    inputs = np.random.default_rng(0).standard_normal((PEERS_PATTERNS, *size, 1)).astype(np.float32)
    rate = PEERS_PATTERNS / best_time(lambda: network.predict(inputs, batch_size=32, verbose=0))
    alone = _one_at_a_time(lambda image: np.asarray(network(image[None], training=False)), inputs)
    return str(keras.backend.backend()), rate, alone
