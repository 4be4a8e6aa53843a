"""How a program ends: what a user can mend is one sentence with status 1, Ctrl-C one line with status 130."""

import errno
import functools
import io
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec

from sphreg.errors import UserError, printable

Arguments = ParamSpec("Arguments")
INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it


def interruptible() -> None:
    """Ctrl-C is one line from now on, also while no main function runs yet: imports take seconds."""
    usual = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            return usual(kind, error, trace)
        print("Interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)

    sys.excepthook = hook


def program(main: Callable[Arguments, int | None]) -> Callable[Arguments, int]:
    """A main function that returns the status of its process, whatever ends it.

    An OSError with a file, or of a full disk, is an input or a disk that is not as it should be. One without, and all
    else, is a fault of the program, and keeps its traceback.
    """

    @functools.wraps(main)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> int:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="surrogateescape")  # or it would not print each name that a file may have
        try:
            status = main(*args, **kwargs) or 0
            if sys.stdout is not None:
                sys.stdout.flush()  # here, and not at the exit, which tells what goes wrong with a traceback
            return status
        except UserError as error:
            reason = str(error)
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            return INTERRUPTED
        except BrokenPipeError:  # whoever reads the output has enough, as `head`
            _end_output()
            return 1
        except OSError as error:
            if error.filename is None and error.errno != errno.ENOSPC:
                raise
            if error.filename is None:
                _end_output()
            reason = f"{error.filename or 'the output'}: {error.strerror}."
        print("\n".join(map(printable, reason.splitlines())), file=sys.stderr)
        return 1

    return run


def _end_output() -> None:
    """Let nothing more be written, or the exit would try it again with what is left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
