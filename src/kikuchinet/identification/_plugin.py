"""What carries a model to the workers of a dask cluster; in a file of its own, for dask is loaded with it."""

from __future__ import annotations

from typing import Any

from distributed import WorkerPlugin


class ModelPlugin(WorkerPlugin):
    """Holds a model on every worker, under a name."""

    def __init__(self, name: str, model: Any) -> None:
        self.name = name
        self.model = model
