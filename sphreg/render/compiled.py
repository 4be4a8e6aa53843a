"""Compiled loops."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called, and keep the result for other processes where a folder takes it."""
    try:
        return njit(cache=True, nogil=True)(function)
    except (RuntimeError, OSError):  # neither NUMBA_CACHE_DIR, nor beside the code, nor in the user's home
        return njit(nogil=True)(function)
