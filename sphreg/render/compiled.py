"""Compiled loops."""

from collections.abc import Callable
from typing import TypeVar

from numba import njit

Loops = TypeVar("Loops", bound=Callable[..., object])


def compiled(function: Loops) -> Loops:
    """Compile a function when it is first called, and keep the result for other processes where a folder takes it."""
    try:
        kept: Loops = njit(cache=True, nogil=True)(function)
    except (RuntimeError, OSError):  # neither NUMBA_CACHE_DIR, nor beside the code, nor in the user's home
        kept = njit(nogil=True)(function)
    return kept
