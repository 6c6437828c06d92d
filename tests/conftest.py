"""What every test may use."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

# No window ever opens.
os.environ["MPLBACKEND"] = "Agg"
# Where several processes share the tests, each has one thread for torch and BLAS: two would wait for those of the other.
# Compiled kernels keep theirs, so that what runs side by side in them is still tested; they must not wait in a loop.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Two processes that compile orix for the first time at once can leave numba a broken cache, and every later import of
    # orix ends in a segmentation fault: a cache for each.
    caches = Path(__file__).resolve().parents[1] / ".pytest_cache" / "numba"
    os.environ.setdefault("NUMBA_CACHE_DIR", str(caches / os.environ["PYTEST_XDIST_WORKER"]))
# A shell that starts a script's work in the background has it ignore Ctrl-C, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Return the folder of measured patterns and references beside the repository; skip where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "patterns").is_dir():
        pytest.skip("the folder of measured patterns is not on this machine")
    return folder


@pytest.fixture(scope="session")
def benchmark_script() -> Callable[[str], ModuleType]:
    """Return what imports a script of the folder benchmarks, which is no package."""

    def script(name: str) -> ModuleType:
        path = Path(__file__).resolve().parents[1] / "benchmarks" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Dataclasses look their module up.
        sys.modules[module.__name__] = module
        spec.loader.exec_module(module)
        return module

    return script


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small untrained model, saved as trained ones are: it answers at random, but always alike.

    For tests of everything around a model; what a model is worth is tested on those that ship.
    """
    return _untrained(tmp_path_factory.mktemp("models") / "tiny", (221, 223, 225, 227, 229, 230))


@pytest.fixture(scope="session")
def outside_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model like `tiny_model` with a class 0, which is its answer for some example patterns."""
    return _untrained(tmp_path_factory.mktemp("models") / "outside", (0, 221, 225))


def _untrained(folder: Path, classes: tuple[int, ...]) -> Path:
    import numpy as np
    import torch

    from kikuchinet.models import create_model, save_model
    from kikuchinet.patterns import example_patterns, preprocess

    size = (64, 64)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = create_model("test_resnet", len(classes)).eval()
    with torch.no_grad():
        # An untrained network says nearly the same about everything. Its small differences between the example patterns
        # are drawn apart, so that some get answers, different ones, and some get none.
        prepared = torch.from_numpy(preprocess(np.stack(list(example_patterns())), size=size))[:, None]
        head = network.get_classifier()  # type: ignore[operator]
        head.bias -= network(prepared).mean(dim=0)
        head.weight *= 600.0
        head.bias *= 600.0
    save_model(
        folder,
        network,
        name=folder.name,
        version="0",
        architecture="test_resnet",
        classes=classes,
        size=size,
        labels="visible",
        details={"data": {"source": "none: an untrained network for tests"}},
        abstain_below=0.5,
    )
    return folder
