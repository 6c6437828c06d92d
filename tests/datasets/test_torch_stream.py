"""The stream on a device shows what the compiled stream shows, but for the noise, and is as reproducible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torch._subclasses.fake_tensor import FakeTensorMode

from kikuchinet.datasets import (
    MasterSet,
    PatternStream,
    StoredPatterns,
    StreamConfig,
    generate,
    pattern_stream,
    windows,
)
from kikuchinet.datasets.torch_stream import TorchPatternStream
from kikuchinet.errors import InputError
from kikuchinet.microscope.torch_projection import MasterStack
from kikuchinet.patterns import torch_preprocessing

CLASSES = (225, 227, 229)
CONFIG = StreamConfig(seed=11, block=4, blocks_per_window=18, cameras=("good", "mixed", "poor"))


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield request.param
    torch.set_num_threads(threads)


def make(masters: MasterSet, device: str, config: StreamConfig = CONFIG) -> PatternStream:
    return pattern_stream(masters, CLASSES, replace(config, device=device), size=(48, 40))


def test_the_configuration_chooses(masters, device):
    assert type(make(masters, "")) is PatternStream
    stream = make(masters, device)
    assert isinstance(stream, TorchPatternStream)
    assert stream.device.type == device
    with pytest.raises(InputError, match="abacus"):
        make(masters, "abacus")


def test_shows_what_the_compiled_stream_shows(masters, device):
    """The same crystals, orientations, screens and cameras: nothing but the noise is another."""
    streams = [make(masters, name) for name in ("", device)]
    for stream in streams:
        ranges = stream._cameras
        stream._cameras = [replace(r, noise_to_signal=(1e-3, 1e-3), gain_error=(0.0, 0.0)) for r in ranges]
    compiled, found = (stream.window(3) for stream in streams)
    np.testing.assert_array_equal(found.labels, compiled.labels)
    np.testing.assert_array_equal(found.masters, compiled.masters)
    alike = [
        np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(found.images, compiled.images, strict=True)
    ]
    # A grey level up or down can decide whether a block at the rim is screen.
    assert np.median(alike) > 0.9999
    assert np.min(alike) > 0.9
    twin, block = (stream.block(3, 2, 1) for stream in streams)
    np.testing.assert_array_equal(block.quaternions, twin.quaternions)
    np.testing.assert_array_equal(block.masters, twin.masters)
    assert block.images.shape == twin.images.shape
    assert np.abs(block.images - twin.images).max() <= 1
    assert np.ptp(twin.images) == 255


def test_the_distribution_is_that_of_the_compiled_stream(masters, device):
    """All cameras, noise and faults included: grey levels, detail, surround."""
    streams = [make(masters, name, replace(CONFIG, blocks_per_window=90)) for name in ("", device)]
    ours, theirs = (stream.window(0).images for stream in streams)

    def figures(images: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "skewness": (images**3).mean(axis=(1, 2)),
            "tails": (images**4).mean(axis=(1, 2)),
            "detail": np.abs(np.diff(images, axis=2)).mean(axis=(1, 2)),
            "correlation of neighbours": (images[:, 1:] * images[:, :-1]).mean(axis=(1, 2)),
            "surround": (images == 0).mean(axis=(1, 2)),
        }

    for (name, a), b in zip(figures(ours).items(), figures(theirs).values(), strict=True):
        # The scenes are the same, so the test is sharper than for independent samples.
        assert ks_2samp(a, b).pvalue > 0.5, name


def test_same_seed_same_bytes_wherever_it_starts(masters, device):
    stream = make(masters, device)
    first = [w.images.tobytes() + w.labels.tobytes() for w in islice(windows(stream), 2)]
    again = make(masters, device)
    assert again.window(1).images.tobytes() + again.window(1).labels.tobytes() == first[1]
    assert first[0] != first[1]
    other = make(masters, device, replace(CONFIG, seed=12))
    assert other.window(1).images.tobytes() != again.window(1).images.tobytes()


@pytest.mark.parametrize("start", [0, 50, 72])
def test_batches_are_the_windows_cut_anywhere(masters, device, start):
    whole = make(masters, device)
    images = np.concatenate([whole.window(k).images for k in range(3)])
    labels = np.concatenate([whole.window(k).labels for k in range(3)])
    for name in ("", device):
        stream = make(masters, name)
        expected = images if name else np.concatenate([stream.window(k).images for k in range(3)])
        for k, (batch, classes) in enumerate(islice(stream.batches(20, start=start), 5)):
            where = slice(start + 20 * k, start + 20 * k + 20)
            assert batch.device.type == (name or "cpu")
            assert classes.dtype == torch.int64
            np.testing.assert_array_equal(batch.cpu().numpy(), expected[where])
            np.testing.assert_array_equal(classes.cpu().numpy(), labels[where])


def test_stored_sets_have_the_same_interface(masters, tmp_path):
    manifest = generate(masters, tmp_path / "set.h5", count=3, shape=(40, 40), progress=False)
    stored = StoredPatterns(manifest, CLASSES, size=(48, 40))
    stream = make(masters, "")
    for source in (stored, stream):
        assert source.classes == CLASSES
        assert source.size == (48, 40)
        images, labels = next(source.batches(4, start=5))
        assert images.shape == (4, 48, 40)
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
    assert [len(labels) for _, labels in stored.batches(4, start=5)] == [4]


def test_a_device_has_no_workers(masters):
    with pytest.raises(InputError, match="workers"):
        make(masters, "cpu").batches(4, workers=1)


class _NoGenerator:
    """Stands for a CUDA generator, which only a machine with a GPU can make."""

    def __init__(self, device: torch.device) -> None:
        assert device.type == "cuda"

    def manual_seed(self, seed: int) -> None:
        assert 0 <= seed < 2**63


def test_every_step_stays_on_the_device(masters, monkeypatch):
    """PyTorch's fake tensors have a device and no content, and refuse what a GPU would: a mixture of devices."""
    stream = make(masters, "cpu", replace(CONFIG, blocks_per_window=40))
    caches = [
        value for value in vars(torch_preprocessing).values() if callable(getattr(value, "cache_clear", None))
    ]
    assert len(caches) >= 5
    monkeypatch.setattr(torch, "Generator", _NoGenerator)
    monkeypatch.setattr(torch, "poisson", lambda mean, generator: torch.empty_like(mean))
    monkeypatch.setattr(torch.Tensor, "normal_", lambda self, generator: self)
    # Content would be needed to know whether the search for the surround is over.
    monkeypatch.setattr(torch, "equal", lambda a, b: a.device == b.device)
    for cache in caches:
        cache.cache_clear()
    try:
        with FakeTensorMode(allow_non_fake_inputs=False):
            stream.device = torch.device("cuda:0")
            size = stream._stack.size
            texels = torch.empty((len(masters) * 2 * size**2, 4), device=stream.device)
            stream._stack = MasterStack(texels, size)
            images, labels = next(stream.batches(20))
            assert images.device == labels.device == stream.device
            assert images.shape == (20, 48, 40)
            assert images.dtype == torch.float32
    finally:
        for cache in caches:
            cache.cache_clear()
