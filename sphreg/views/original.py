"""ModelNet10-SO3 as the authors of the paper published it: a folder with an LMDB and the rotations in a pickle.

`test_20V.Rawjpg.lmdb/data.mdb` holds JPEGs in colour by keys such as `bathtub_0107.v001`. `viewID2quat.pkl`, in that
folder or the one above it, is a dictionary from key to quaternion with the scalar first. A pickle is a program; this
one comes from a stranger, so what it asks for is never looked up and never called: the few names that arrays need
stand for functions and classes of this module, which keep data and do nothing else. Nothing in it takes more memory or
time than its bytes do.
"""

import io
import pickle
import re
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from jaxtyping import Float64, UInt8

from sphreg.errors import UserError
from sphreg.reading import reading
from sphreg.views import Views

ROTATIONS = "viewID2quat.pkl"
ALLOWED = "arrays of numbers, numbers, strings, bytes, lists, tuples and dictionaries with texts as keys"
LONGEST = 4 * 8  # bytes of the array of a rotation


class OriginalViews:
    """Reads the original dataset. Leaves no lock file, and may be pickled, forked and shared by threads.

    Attributes:
        folder: with `data.mdb`.
    """

    def __init__(self, folder: Path) -> None:
        """Open the LMDB.

        Raises:
            UserError: it is missing, cut short or no LMDB file.
        """
        self.folder = folder
        self._views = Views(folder / "data.mdb")

    @property
    def keys(self) -> list[str]:
        """All keys, sorted."""
        return self._views.keys

    def __len__(self) -> int:
        """The number of views."""
        return len(self._views)

    def image(self, key: str) -> UInt8[np.ndarray, "h w 3"]:
        """One image in colour, red first.

        Raises:
            UserError: there is none with this key.
        """
        return simplejpeg.decode_jpeg(self._views[key], "RGB")

    @cached_property
    def quaternions(self) -> dict[str, Float64[np.ndarray, "4"]]:
        """By key, XYZW of unit length with w >= 0.

        Raises:
            UserError: there is no such pickle, it is damaged, it holds what it must not, or something is no rotation.
        """
        path = find_rotations(self.folder)
        if path is None:
            raise UserError(f"{self.folder / ROTATIONS}: there is no such file, and none in the folder above.")
        return read_quaternions(path)


def category(key: str) -> str:
    """`night_stand` of `night_stand_0201.v001`."""
    return key.partition(".")[0].rpartition("_")[0]


def find_rotations(folder: Path) -> Path | None:
    """`viewID2quat.pkl` in a folder or the one above it."""
    places = folder / ROTATIONS, folder.resolve().parent / ROTATIONS
    return next((path for path in places if path.is_file()), None)


def read_quaternions(path: Path) -> dict[str, Float64[np.ndarray, "4"]]:
    """What `viewID2quat.pkl` holds, as XYZW of unit length with w >= 0.

    It may be of any pickle protocol, and from Python 2 or 3 and numpy 1 or 2.

    Raises:
        UserError: it is damaged, it holds what it must not, or something in it is no rotation.
    """
    with reading(path, "a pickle"):
        try:
            content = _Unpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()  # as numpy asks of Python 2
        except UserError as error:
            raise UserError(f"{path}: {error}, allowed: {ALLOWED}.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: it holds no dictionary, allowed: a quaternion for each key.")
    rows = []
    for key, value in content.items():
        values = value.values if isinstance(value, _Array) else value
        row = values if isinstance(values, list | tuple) else []
        numbers = [number for number in row if _is_finite(number)]
        if not len(numbers) == len(row) == 4 or not any(numbers):
            raise UserError(f"{path}: {key!r:.99} has no rotation, allowed: four finite numbers that are not all zero.")
        rows.append(numbers)
    quaternions = np.array(rows, dtype=np.float64).reshape(-1, 4)[:, [1, 2, 3, 0]]
    quaternions /= np.abs(quaternions).max(axis=1, keepdims=True)  # or the squares of odd ones may overflow
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    return dict(zip(content, np.where(quaternions[:, 3:] < 0, -quaternions, quaternions), strict=True))


def _is_finite(number: Any) -> bool:
    """Whether it is a number and no NaN, infinite, or a whole number beyond all floats."""
    return type(number) in (int, float) and abs(number) <= sys.float_info.max


class _Dtype:
    """Stands for `numpy.dtype`, of numbers only."""

    def __init__(self, code: Any, *flags: Any) -> None:
        if not isinstance(code, str):  # what it is instead may have no end when it is shown
            raise UserError(f"it holds an array of what a {type(code).__name__} says")
        if not re.fullmatch("[iu][1248]|f[248]", code):
            raise UserError(f"it holds an array of {code!r:.99}")
        self.numpy = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise ValueError("a byte order that there is not")
        self.numpy = self.numpy.newbyteorder(order)


class _Array:
    """Stands for an array, which the state fills; its values are a list of numbers, or None if it is no rotation."""

    values: list[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, _, content = state
        self.values = _numbers(content, dtype) if shape == (4,) else None


def _numbers(content: Any, dtype: Any) -> list[Any]:
    """Those that bytes, or a string of Python 2, stand for; none where they are too many."""
    if len(content) > LONGEST:
        return []
    numbers: list[Any] = np.frombuffer(_encode(content) if isinstance(content, str) else content, dtype.numpy).tolist()
    return numbers


def _reconstruct(*arguments: Any) -> _Array:
    """`numpy.core.multiarray._reconstruct`: an empty array."""
    return _Array()


def _frombuffer(content: Any, dtype: Any, shape: Any, *order: Any) -> _Array:
    """`numpy.core.numeric._frombuffer`: an array of protocol 5."""
    array = _Array()
    array.__setstate__((None, shape, dtype, order, content))
    return array


def _scalar(dtype: Any, content: Any) -> Any:
    """`numpy.core.multiarray.scalar`: one number."""
    (number,) = _numbers(content, dtype)
    return number


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """`_codecs.encode`: bytes, in the protocols that have none; of what is too long for an array the beginning."""
    if encoding != "latin1":
        raise ValueError("bytes in an unknown encoding")
    return str.encode(text[: LONGEST + 1], "latin1")


class _Name:
    """What a name in a pickle becomes: it can be called, and neither read nor changed."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise TypeError("a name has no state")


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "numpy.ndarray": _reconstruct,  # it is only handed on
    "numpy.dtype": _Dtype,
    "_codecs.encode": _encode,
}
for _package in "numpy.core", "numpy._core":  # of numpy 1 and 2
    _FUNCTIONS[f"{_package}.multiarray._reconstruct"] = _reconstruct
    _FUNCTIONS[f"{_package}.multiarray.scalar"] = _scalar
    _FUNCTIONS[f"{_package}.numeric._frombuffer"] = _frombuffer


class _Entries(dict[str, Any]):
    """A dictionary. Keys of other types may take time without end, such as tuples of tuples."""

    __slots__ = ()

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, str):
            raise UserError(f"a key is of type {type(key).__name__}")
        super().__setitem__(key, value)


class _Unpickler(pickle._Unpickler):
    """Builds arrays, numbers, strings, bytes, lists, tuples and dictionaries.

    The unpickler in C would take memory for as many objects as a few bytes say that there are.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Nothing is imported.

        Raises:
            UserError: for all names but those of arrays.
        """
        full = f"{module}.{name}"
        if full not in _FUNCTIONS:
            raise UserError(f"it asks for {full!r:.99}")
        return _Name(_FUNCTIONS[full])

    def persistent_load(self, pid: Any) -> Any:
        """There is nothing outside of the file.

        Raises:
            UserError: always.
        """
        raise UserError("it asks for an object outside of it")

    def get_extension(self, code: int) -> None:
        """Nor is there a register of names.

        Raises:
            UserError: always.
        """
        raise UserError("it asks for an extension")

    def _empty(self: Any) -> None:
        self.append(_Entries())

    def _dictionary(self: Any) -> None:
        items = self.pop_mark()
        self.append(entries := _Entries())
        for key, value in zip(items[::2], items[1::2], strict=True):
            entries[key] = value

    def _call(self: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):  # or the error would show them
            raise ValueError("a call of what is no function")
        self.append(function(*arguments))

    def _other(self: Any) -> None:
        raise UserError("it holds a set, or an object of a class")

    dispatch = pickle._Unpickler.dispatch | {
        pickle.EMPTY_DICT[0]: _empty,
        pickle.DICT[0]: _dictionary,
        pickle.REDUCE[0]: _call,
        **dict.fromkeys(b"".join([pickle.EMPTY_SET, pickle.FROZENSET, pickle.NEWOBJ, pickle.NEWOBJ_EX]), _other),
        # An array of bytes is read as bytes: room for it would be made for as many as the file says.
        pickle.BYTEARRAY8[0]: pickle._Unpickler.dispatch[pickle.BINBYTES8[0]],
    }
