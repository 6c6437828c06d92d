"""The one error that a user's input may raise."""

from __future__ import annotations

from pathlib import Path


class InputError(ValueError):
    """Something the user gave cannot be used.

    The command line prints it as one line and exits with status 2; library users catch it as a ``ValueError``.

    Parameters
    ----------
    subject
        What was given: a file, a crystal's name, an option.
    cause
        Why it cannot be used, in plain words, without a full stop.
    """

    def __init__(self, subject: str | Path, cause: str) -> None:
        self.subject = str(subject)
        self.cause = " ".join(str(cause).split())
        super().__init__(f"{self.subject}: {self.cause}")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str]]:
        # Keeps the two arguments when the error crosses a process boundary.
        return type(self), (self.subject, self.cause)
