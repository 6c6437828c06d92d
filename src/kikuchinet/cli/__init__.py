"""The command ``kikuchinet``."""

from kikuchinet.cli._app import app, main

__all__ = ["app", "main"]
