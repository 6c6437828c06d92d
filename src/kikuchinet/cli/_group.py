"""How the command ends: the exit status, and the one line on stderr that goes with it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from kikuchinet.errors import InputError

# Typer carries its own click since 0.20-odd and used the separate package before: this is the usage error of
# whichever it is.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

BAD_INPUT = 2
INTERRUPTED = 130


def one_line(text: object) -> str:
    """Return text on one line, with everything that a terminal would obey replaced.

    File names may hold newlines and escape sequences; a message that quotes them must stay one harmless line.
    """
    return "".join(c if c.isprintable() else " " for c in " ".join(str(text).split()))


def complain(message: object, kind: str = "error") -> None:
    """Print one line on stderr.

    Parameters
    ----------
    message
        What to say; put on one line.
    kind
        ``"error"`` or ``"warning"``.
    """
    print(f"kikuchinet: {kind}: {one_line(message)}", file=sys.stderr, flush=True)


def _describe_os_error(error: OSError) -> str:
    cause = error.strerror or str(error)
    return f"{error.filename}: {cause}" if error.filename is not None else cause


class CommandGroup(TyperGroup):
    """A Typer group that turns what a user may do wrong into one line and an exit status.

    Notes
    -----
    ============================  ======  =======================================
    what happened                 status  on stderr
    ============================  ======  =======================================
    success                       0       nothing
    bad usage, bad input          2       ``kikuchinet: error: SUBJECT: cause``
    a file that cannot be opened  2       the same, with the system's own words
    Ctrl-C                        130     ``kikuchinet: interrupted``
    the reader of a pipe left     1       nothing (Typer's doing)
    a fault of ours               1       the traceback, to be reported
    ============================  ======  =======================================
    """

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line; with `standalone_mode`, leave through ``sys.exit``."""
        try:
            status = super().main(
                args=args,
                prog_name=prog_name,
                complete_var=complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except _UsageError as error:
            context = getattr(error, "ctx", None)
            path = context.command_path if context is not None else "kikuchinet"
            message = error.format_message() if hasattr(error, "format_message") else str(error)
            # Without any arguments the help has been printed already and there is nothing to add.
            if message:
                complain(f"{message.rstrip('.')} (see '{path} --help')")
            status = BAD_INPUT
        except (KeyboardInterrupt, typer.Abort):
            status = INTERRUPTED
        except InputError as error:
            complain(error)
            status = BAD_INPUT
        except OSError as error:
            complain(_describe_os_error(error))
            status = BAD_INPUT
        status = status if isinstance(status, int) else 0
        if status == INTERRUPTED:
            print("kikuchinet: interrupted", file=sys.stderr, flush=True)
        if standalone_mode:
            sys.exit(status)
        return status
