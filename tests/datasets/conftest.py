"""A few small simulated master patterns."""

from __future__ import annotations

import pytest

from kikuchinet.datasets import MastersConfig, MasterSet, prepare


@pytest.fixture(scope="session")
def masters(tmp_path_factory: pytest.TempPathFactory) -> MasterSet:
    """Three light crystals, two master patterns each."""
    config = MastersConfig(materials=("Al", "Fe", "Si"), half_width=20, preset="fast", variants=2)
    return prepare(config, tmp_path_factory.mktemp("cache"), progress=False)
