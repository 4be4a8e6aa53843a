"""How a program ends: what a user can mend is one sentence with status 1, Ctrl-C one line with status 130."""

import functools
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec

from sphreg.errors import UserError

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

    An OSError with a file is an input or a disk that is not as it should be. One without, and all else, is a fault of
    the program, and keeps its traceback.
    """

    @functools.wraps(main)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> int:
        try:
            return main(*args, **kwargs) or 0
        except UserError as error:
            reason = str(error)
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            return INTERRUPTED
        except BrokenPipeError:  # whoever reads the output has enough, as `head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the exit would write there again
            return 1
        except OSError as error:
            if error.filename is None:
                raise
            reason = f"{error.filename}: {error.strerror}."
        print(reason, file=sys.stderr)
        return 1

    return run
