"""What tests of the command line share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keep the user's cache folder out of the tests, in this process and in those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIKUCHINET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
