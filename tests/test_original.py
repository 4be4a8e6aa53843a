"""The dataset as the paper's authors published it: colour images, rotations from a pickle, and nothing that it runs."""

import base64
import copyreg
import io
import os
import pickle
import subprocess
import sys
import warnings
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from sphreg.errors import UserError
from sphreg.views.original import OriginalViews, category, read_quaternions

KEYS = ["bathtub_0107.v001", "night_stand_0201.v020"]
ENTRIES: dict[str, Any] = {
    KEYS[0]: np.array([-0.5, 0.5, -0.5, 0.5]),
    KEYS[1]: [np.float32(3), 0, 0.0, 4],
}
XYZW = {KEYS[0]: [-0.5, 0.5, -0.5, 0.5], KEYS[1]: [0, 0, 0.8, 0.6]}

FROM_ELSEWHERE = {  # what others wrote of ENTRIES, compressed
    "Python 2.7, numpy 1.16.6, protocol 0": (
        "eNqljstqwzAQRff3R6RNzchxmxQKzaqgjRf1tmAk23mA4whpHOK/7ziGtlDSTRdnQNwZ3aPbYFCp4bg/cJ3YDW1NOZnsIlMh5NB9WKEZxlOY"
        "suYcu+w09nx0MboJqXG9iwgF9LKBlqfQITxCV2pXKFiCNeD38ARtV1L0olCWpX0wuEFgX6mPK9HMdqvm3TWcBO5NsAVcqpR3fODR12RoLWpk"
        "RG1zz6qOXXMeEsexYYTnL7ehXfJgSGSkWf699Rkj75kCvF/UNz/UTX7f3RLh2/83neB3f+Wv/zoWf5+yT2H8gvU="
    ),
    "Python 2.7, numpy 1.16.6, protocol 1": (
        "eNp1jkFrAjEUhBNdW5t68dB7jzkt2VJoDwW9SQ3sQcixLEl27QoafdkXYQ/+tv4V/4kGXS8F5zCP4Q3MdwDK1Ytb/dZYNKhdWYg3kaX76ND7"
        "gT63Lmx2bWq3vko3YY0r7b1uWWP1WnsGSVdgJba7isGAq97yXRJJcQEPXPYV/crzfH6KupgkaFRCyHQaC4+SzEgnmVRqbDTWGEwhMvERIUQG"
        "wzsAha/s1jXog0UGTzcMV17fwHhcUtTElWcuKZcJ1he4zw5udAfuWwimXq9Mx7/uTv5nNCE9A6w9Y30="
    ),
    "Python 2.7, numpy 1.16.6, protocol 2": (
        "eNprYKotZNQIFc3LTM8oiS8uScxLiTcwMjDUKwOShUyxhcwayXmluQWVesn5Ral6uaU5JZmJRUWJlVzFyYk5iUVchSwQea6UksqCVK5C1lCm"
        "NBNvBm/G9qBCNg1v5lBGGz8/P6//QAAmvBlKkkJZGBgcHNqCCtm9GdwZoMCbJTVUMCmxJKOkNCnewNDAHOgEA8NCDhzWxxelJufnFZcUlSaX"
        "cBVyQh2RlwKRLeTyZmgNZUwCOoJbw5vRm6U1A+QwC6jDeHA4rDNUAeKYB/uhtD06vySpVA8AjhhjUg=="
    ),
    "Python 3.11, numpy 1.26.4, protocol 0": (
        "eNqtUctugzAQvM+XcClaGwJEqpScKuWSQw+cKiFjKIlEHAubSnxdf6Wf0t3QQ6U+1EOR1gx4Zj2eTTpPqFsTT3FuG1JUpi9ECl7Buvnil9Re"
        "pz69zGM8m2kyC5qpt1cX4jTbCK+RrDy4bt33GZIDIfoctrHXrrcBvRMAv0FSt/AF6tHEs+NjSiZWePRbfitioBTLpXL5oz9coIuL5waKm9fP"
        "FYMcByIuJbSNCAsWZajvebPE8Xg83CncSsyoCq0IBrHwNBM/v69vr39i7f6zFzvfYpBItESh5W5aow21Ow+n2IRoXNeQJsVDYorXHMfodf7T"
        "rII1o5mYx7ce1uxy/io+ZadLOam6ZTd8E5zeov0S2n7PY6bVaqa4QaYFZYJyGBaaB0p55SmakL4DqVmpJQ=="
    ),
    "Python 3.11, numpy 1.26.4, protocol 1": (
        "eNp1kEtLw0AQx9M2Vl2fVev7fZA9hU0R9CDYm9RADznlIiHZRBNot/0nE6EHv4vfRNAPppvW4EGdw8wwz9/MCwzutQzDCANKqAh9YYsr61kI"
        "GzWpiuF4YslRFlvDYkBpkGXBhPlZLEcqp6yQxFDnszKmolkaDe4YBFP6chTFMmexKh2GOe7VykVoek1tBwGlysY8YcHFIoG5WOJOjTsmYfl7"
        "ZkSTse5c4V5ddzxeY7UnBOsJmxHWXKxzpzGdeYNWv9+//9QyVSXARljWJnrrhVHJx+v7W+Xd/hHCZqJ5tly0Cduh19ZRlT4l5OcUqMgXHWHr"
        "33QEdh6wy//5Ty6DQZAx7PGkAr/E/g/4gYtDDZ78Rj4KS1xzStPt4riEOXFxSjhzce4Yd9UdjhkX1hez34HE"
    ),
    "Python 3.11, numpy 1.26.4, protocol 2": (
        "eNp1kMtKw0AUhqdt6mW8Vq33+0KyCpMi6EKwO8FAF1llI2EyiabQTvsnE6ELwU1b+xa+iaAPppNeVupZnPNzrh/ntfgCYnoVQkjAVayywGc2"
        "u7KeGbNREDJrd3uW6CSR1c5aqsmThPeon0SiI1OVZEJRFCddVIaTKkoO6cMQvuiEkUhpJHNBUfYK+RXMeXM6trhqShvzAyy4WByCulgynYJj"
        "9LE8XRiqXlfPrXhF3f94jdXR2xBrLtZNpzTedYNKo9G4/9Y2dg5R2AhGcdm7IDP7ev/8mKnbP1LYjDXDlouqwnbgVXVWNp9i5aeKy9BnNWbr"
        "Z9QYdh6wa/7zkFTwFk8o9uIp7CX2c9gDF4caNv6NeRRoSmMMUa/jOGc4cXE6wJmLc4fczfAdI8qsH24JgKs="
    ),
    "Python 3.11, numpy 1.26.4, protocol 3": (
        "eNprYK4tZNCIEGRgYEhKLMkoKU2KNzA0MNcrMzAwLGRMzivNLajUS84vStXLLc0pyUwsKkqs5IovSk3OzysuKSpNLuEqZIKo4spLgcgWMnsz"
        "tBayODMmFbK2F7IFFbJreDN6s7QWckAVppRUFqRyFXJGMAFtTbMo5OrsaC/kDirk0fBmjmAEitkU8vr5+Xn9BwIw4c1QUsiX1OmswAAGD/ZD"
        "aXt0fiF/SaFAUoQokJOXmZ5REl9ckpiXEm9gZGAI9JGRQaFgbKGQBg5fFScn5iQWcRUKZ0BdZlIoAnKZaFChGNBlGZhuEk9yZmFgcHAolGgr"
        "lAwqlPJmcGeAAm+W1FI9AGnSa7c="
    ),
    "Python 3.11, numpy 1.26.4, protocol 4": (
        "eNprYJmqysgABrVTNHoEkxJLMkpKk+INDA3M9coMDAyn9IjmleYWVOol5xel6uWW5pRkJhYVJVZO6eGJL0pNzs8rLikqTS6ZMnlKDytY4ZQe"
        "9rwUiJLJU7wZWqc4MyZNaZ8SNEXDm9GbpXVKBmsPa0pJZUEqSAtTmsWUzg6ILHMPo80UPz8/r/9AACa8GUqmJHU6K0Dc92A/lLZH508BKgM6"
        "MzM9oyS+uCQxLyXewMjAEOh8I4MpsVM0Mph62IqTE3MSi4BWZvABLTVBWJohhGmlMwsDg4PDlDagCm8GdwYo8GZJLdUDAHdnbVE="
    ),
    "Python 3.11, numpy 1.26.4, protocol 5": (
        "eNprYJ2qxsgABrVTNHoEkxJLMkpKk+INDA3M9coMDAyn9AjlleYWVOol5xel6gGZqUWZyVN6uOPTivJzk0rT0lKLpkyeojFNgQEZPNgPpe3R"
        "+VN6WMHmAemUksqCVKDmHqY0iymdHe1TgqZoeDP3MNpM8fPz8/oPBGDCm6FkSpI3S+uUHkbnKSVART2ieZnpGSXxxSWJeSnxBkYGhkCXGhlM"
        "iQV6QBTJsbmlOSWZiUVFiUDL2IqTE3MSQU7N4ADaZ4KwL4MH0zZnFgYGB4cpbUAV3gzuME95s6SW6gEALyRrzA=="
    ),
}


class Call:
    """Is pickled as the call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def picture(hue: int) -> np.ndarray:
    """Smooth, so that JPEG changes little: red grows downwards, green to the right, blue is one value."""
    image = np.full((48, 32, 3), hue, np.uint8)
    image[..., 0] = np.arange(48)[:, None] * 5
    image[..., 1] = np.arange(32) * 7
    return image


def jpeg(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "ModelNet10-SO3" / "test_20V.Rawjpg.lmdb"
    path.mkdir(parents=True)
    with lmdb.open(str(path), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for hue, key in enumerate(KEYS):
            transaction.put(key.encode(), jpeg(picture(200 * hue)))
    (path / "lock.mdb").unlink()
    (path / "viewID2quat.pkl").write_bytes(pickle.dumps(ENTRIES))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "viewID2quat.pkl"


def refused(file: Path, content: bytes, match: str) -> None:
    """One line, which names the file."""
    file.write_bytes(content)
    with pytest.raises(UserError, match=match) as caught:
        read_quaternions(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ") and message.endswith(".") and "\n" not in message and len(message) < 400


def test_images_come_back_in_colour(folder: Path) -> None:
    views = OriginalViews(folder)
    assert views.keys == KEYS and len(views) == 2
    for hue, key in enumerate(KEYS):
        image = views.image(key)
        assert image.dtype == np.uint8
        assert np.abs(image.astype(int) - picture(200 * hue)).max() <= 6
    with pytest.raises(UserError, match=r"no view 'bed_0001\.v001'"):
        views.image("bed_0001.v001")


def test_reading_changes_nothing(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    views = pickle.loads(pickle.dumps(OriginalViews(folder)))
    assert views.image(KEYS[0]).shape == (48, 32, 3) and len(views.quaternions) == 2
    assert {path: path.read_bytes() for path in folder.iterdir()} == before  # no lock file


def test_quaternions_are_ours(folder: Path) -> None:
    quaternions = OriginalViews(folder).quaternions
    assert list(quaternions) == KEYS
    for key, quaternion in quaternions.items():
        np.testing.assert_allclose(quaternion, XYZW[key], atol=1e-15)


def test_quaternions_are_the_same_rotations(file: Path) -> None:
    first = np.random.default_rng(0).normal(size=(200, 4)) * np.logspace(-300, 300, 200)[:, None]
    file.write_bytes(pickle.dumps({str(number): quaternion for number, quaternion in enumerate(first)}))
    ours = np.stack(list(read_quaternions(file).values()))
    assert (ours[:, 3] >= 0).all() and np.linalg.norm(ours, axis=1) == pytest.approx(1)
    scaled = first / np.abs(first).max(axis=1, keepdims=True)
    expected = Rotation.from_quat(scaled, scalar_first=True).as_matrix()
    np.testing.assert_allclose(Rotation.from_quat(ours).as_matrix(), expected, atol=1e-12)


def test_the_rotations_may_lie_in_the_folder_above(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "viewID2quat.pkl").rename(folder.parent / "viewID2quat.pkl")
    assert list(OriginalViews(folder).quaternions) == KEYS
    monkeypatch.chdir(folder)
    assert list(OriginalViews(Path()).quaternions) == KEYS
    (folder.parent / "viewID2quat.pkl").unlink()
    with pytest.raises(UserError, match=r"viewID2quat\.pkl: there is no such file, and none in the folder above\."):
        _ = OriginalViews(folder).quaternions


def test_a_folder_without_views_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.mdb: there is no such file"):
        OriginalViews(tmp_path)


def test_views_that_were_cut_short_are_refused(folder: Path) -> None:
    content = (folder / "data.mdb").read_bytes()
    (folder / "data.mdb").write_bytes(content[:-4096])
    with pytest.raises(UserError, match=r"data\.mdb: it is cut short"):
        OriginalViews(folder)


def test_categories() -> None:
    assert [category(key) for key in KEYS] == ["bathtub", "night_stand"]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<f2", "<i8", ">i2", "i1"])
def test_arrays_of_all_protocols_and_types(file: Path, protocol: int, dtype: str) -> None:
    array = np.array([2, -4, 4, 8]).astype(dtype)
    readonly = array.copy()
    readonly.flags.writeable = False
    file.write_bytes(pickle.dumps({"a": array, "b": readonly, "c": tuple(array), "d": array[::-1][::-1]}, protocol))
    for quaternion in read_quaternions(file).values():
        assert quaternion.tolist() == [-0.4, 0.4, 0.8, 0.2]


@pytest.mark.parametrize("writer", FROM_ELSEWHERE)
def test_files_of_older_writers(file: Path, writer: str) -> None:
    content = zlib.decompress(base64.b64decode(FROM_ELSEWHERE[writer]))
    with warnings.catch_warnings(action="ignore"):  # numpy 2 moved what these files name
        for key, value in pickle.loads(content, encoding="latin1").items():
            assert list(value) == list(ENTRIES[key])
    file.write_bytes(content)
    quaternions = read_quaternions(file)
    assert sorted(quaternions) == KEYS
    for key, quaternion in quaternions.items():
        np.testing.assert_allclose(quaternion, XYZW[key], atol=1e-15)


# Each would write the file `marker` into the working folder, or asks for what is no array; with what is refused.
EVIL = Call(os.system, "touch marker")
POISONS: dict[str, tuple[Any, str]] = {
    "system": (EVIL, "posix.system"),
    "eval": (Call(eval, "open('marker', 'w').close()"), r"(__builtin__|builtins).eval"),
    "a class": (Call(io.FileIO, "marker", "w"), "_io.FileIO"),
    "a process": (Call(subprocess.Popen, ["touch", "marker"]), "(subprocess|commands).Popen"),
    "a function of numpy": (Call(np.savetxt, "marker", [0]), "numpy.savetxt"),
    "a value": ({"a": EVIL}, "posix.system"),
    "deep in a value": ({"a": {"b": [1, (2, EVIL)]}}, "posix.system"),
    "a key": ({EVIL: [1, 0, 0, 0]}, "posix.system"),
    "beside a right entry": (ENTRIES | {"c": EVIL}, "posix.system"),
    "an array of objects": ({"a": np.array([EVIL, 1, 2, 3], dtype=object)}, "an array of 'O8'"),
    "an array of records": ({"a": np.zeros(4, "f8,f8")}, "an array of 'V16'"),
    "an array of texts": ({"a": np.array(["a"] * 4)}, "an array of 'U1'"),
    "an array of complex numbers": ({"a": np.zeros(4, complex)}, "an array of 'c16'"),
    "another kind of array": ({"a": np.ma.zeros(4)}, "numpy.ma"),
    "a set": ({"a": {1, 2, 3, 4}}, "(__builtin__|builtins).set|it holds a set"),
    "a dictionary in order": (OrderedDict(ENTRIES), "collections.OrderedDict"),
    "an object": (Path("marker"), "pathlib.*Path|copyreg"),
    "an object by copyreg": (Exception("marker"), "(exceptions|builtins).Exception|tblib"),  # which Dask registers
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", POISONS)
def test_a_poisoned_file_is_refused_and_runs_nothing(
    file: Path, name: str, protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    content, match = POISONS[name]
    refused(file, pickle.dumps(content, protocol), match)
    assert os.listdir() == [file.name]


# As no pickler writes them: opcodes by hand.
CRAFTED: dict[str, tuple[bytes, str]] = {
    "INST": (b"(S'touch marker'\nios\nsystem\n.", "os.system"),
    "OBJ": (b"(cos\nsystem\nS'touch marker'\no.", "os.system"),
    "REDUCE": (b"cos\nsystem\n(S'touch marker'\ntR.", "os.system"),
    "NEWOBJ": (b"\x80\x02csubprocess\nPopen\nX\x05\x00\x00\x00touch\x85\x81.", "subprocess.Popen"),
    "a persistent id": (b"Pos.system\n.", "an object outside of it"),
    "a persistent id of any kind": (b"\x80\x04\x8c\x09os.systemQ.", "an object outside of it"),
    "an attribute": (b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.", "numpy.ndarray.tofile"),
    "a module is not imported": (b"cthis\ns\n.", "this.s"),
    "copyreg": (b"ccopyreg\nadd_extension\n(Vposix\nVsystem\nI7\ntR.", "copyreg.add_extension"),
    "copyreg of Python 2": (b"ccopy_reg\n_reconstructor\n.", "copy_reg._reconstructor"),
    "another encoding": (b"c_codecs\nencode\n(Va\nVrot13\ntR.", "damaged"),
    "a buffer elsewhere": (b"\x80\x05\x97.", "damaged"),
    "a new object of a name": (b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00f8\x85\x81.", "an object of a class"),
    "a state for a name": (b"\x80\x02cnumpy\ndtype\n}X\x09\x00\x00\x00_functionNsb.", "damaged"),
    "slots for a name": (b"\x80\x02cnumpy\ndtype\nN}X\x09\x00\x00\x00_functionNs\x86b.", "damaged"),
    "a dtype from a list": (b"cnumpy\ndtype\n((lp0\ntR.", "an array of what a list says"),
    "a long name": (b"c" + b"a" * 5000 + b"\nb\n.", "it asks for 'aaa"),
    "two lines in a name": (b"\x80\x04\x8c\x03a\nb\x8c\x01c\x93.", r"a\\nb\.c"),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_opcodes_run_nothing(file: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    content, match = CRAFTED[name]
    refused(file, content, match)
    assert os.listdir() == [file.name]
    assert "this" not in sys.modules
    file.write_bytes(pickle.dumps(ENTRIES))  # and changes nothing for the next
    assert sorted(read_quaternions(file)) == KEYS


def test_the_marker_would_be_written(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    pickle.loads(pickle.dumps({"a": EVIL}))
    assert os.listdir() == ["marker"]


def test_an_extension_code_is_no_way_around(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    copyreg.add_extension("posix", "system", 240)
    try:
        content = pickle.dumps(EVIL, 2)
        assert b"posix" not in content
        refused(file, content, "it asks for an extension")
        pickle.loads(content)  # which keeps the function itself by its code
        os.rmdir("marker") if os.path.isdir("marker") else os.remove("marker")
        refused(file, content, "it asks for an extension")
    finally:
        copyreg.remove_extension("posix", "system", 240)
    assert os.listdir() == [file.name]


# A few bytes that ask for much memory, or time.
TWOS = b"(t" + b"2\x86" * 60  # a tuple of two tuples of two ..., 60 levels deep
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n)R(I1\n{}cnumpy\ndtype\n(V{}\ntRI00\nV{}\ntb"
BOMBS: dict[str, bytes] = {
    "a shape without bytes": b"}Va\n" + ARRAY.replace(b"{}", b"(I300000000\nI0\nt", 1).replace(b"{}", b"f8", 1) + b"s.",
    "a shape of no end": b"}Va\n" + ARRAY.replace(b"{}", TWOS, 1).replace(b"{}", b"f8", 1) + b"s.",
    "a dtype of no end": b"cnumpy\ndtype\n" + TWOS + b"\x85R.",
    "a key of no end": b"}" + TWOS + b"Ns.",
    "a key of no end, in protocol 0": b"(" + TWOS + b"Nd.",
    "a set of no end": b"\x80\x04\x8f(" + TWOS + b"\x90.",
    "a frozen set of no end": b"\x80\x04(" + TWOS + b"\x91.",
    "a value of no end": b"}Va\n" + TWOS + b"s.",
    "a call of what has no end": TWOS + b"I1\nR.",
    "a place far away": b"}r\xff\xff\xff\x7f.",
    "a long text": b"\x80\x04\x8d" + (1 << 40).to_bytes(8, "little") + b"a.",
    "long bytes": b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"a.",
    "a long frame": b"\x80\x04\x95" + (1 << 40).to_bytes(8, "little") + b"}.",
    "many copies": b"}Va\n(lV" + b"a" * 100_000 + b"\np0\n0" + b"c_codecs\nencode\n(g0\nVlatin1\ntRa" * 5000 + b"s.",
}


def test_a_few_bytes_take_little_memory_and_time(tmp_path: Path) -> None:
    """In a process of its own, as what is read wrongly takes all."""
    code = f"""
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from sphreg.errors import UserError
from sphreg.views.original import read_quaternions
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20),) * 2)
for path in map(Path, sys.argv[1:]):
    signal.alarm(60)
    try:
        assert read_quaternions(path) == {{}}
        print(path.name, "empty")
    except UserError as error:
        assert "memory" not in str(error), error
        print(path.name, "refused")
"""
    files = [tmp_path / name for name in BOMBS]
    for path, content in zip(files, BOMBS.values(), strict=True):
        path.write_bytes(content)
    done = subprocess.run([sys.executable, "-c", code, *map(str, files)], capture_output=True, text=True)
    empty = "a place far away", "a long frame"
    assert done.stdout == "".join(f"{name} {'empty' if name in empty else 'refused'}\n" for name in BOMBS)
    assert done.stderr == ""


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ([], "no dictionary"),
        (None, "no dictionary"),
        (np.zeros(4), "no dictionary"),
        ({1: [1, 0, 0, 0]}, "a key is of type int, allowed: .* with texts as keys"),
        ({b"a": [1, 0, 0, 0]}, "a key is of type bytes, allowed: .* with texts as keys"),
        *(
            ({"fine": [1, 0, 0, 0], "a_1.v1": value}, r"'a_1\.v1' has no rotation, allowed: four finite numbers")
            for value in [
                [1, 0, 0],
                [1, 0, 0, 0, 0],
                [[1, 0, 0, 0]],
                [],
                None,
                1.0,
                "1000",
                b"1000",
                ["1", 0, 0, 0],
                [True, 0, 0, 0],
                [1, 0, 0, None],
                [0, 0, 0, 0],
                [NAN, 0, 0, 1],
                [INF, 0, 0, 1],
                [10**400, 0, 0, 1],
                np.zeros(4),
                np.ones(3),
                np.ones((4, 1)),
                np.ones((1, 4)),
                np.float64(1),
                np.array([1, NAN, 0, 0]),
                np.array([1, 0, -INF, 0], np.float32),
            ]
        ),
    ],
)
def test_what_is_no_rotation_is_refused(file: Path, content: Any, match: str) -> None:
    for protocol in 2, 5:
        refused(file, pickle.dumps(content, protocol), match)


@pytest.mark.parametrize("protocol", range(6))
def test_a_file_that_was_cut_short_is_refused(file: Path, protocol: int) -> None:
    content = pickle.dumps(ENTRIES, protocol)
    for size in range(len(content)):
        refused(file, content[:size], "it is not a pickle, or is damaged|it asks for|an array of")


def test_a_missing_or_other_file_is_named(file: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_quaternions(file)
    refused(file, b"hello", "it is not a pickle, or is damaged")
    refused(file, b"", "it is not a pickle, or is damaged")


def test_a_file_with_any_wrong_byte_is_read_or_refused(file: Path) -> None:
    """In a process of its own with little memory, as a few bytes can ask for much."""
    code = f"""
import pickle, random, resource, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from sphreg.errors import UserError
from sphreg.views.original import read_quaternions
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
file, rng, outcomes = Path({str(file)!r}), random.Random(0), [0, 0]
for number in range(3000):
    content = bytearray(Path(sys.argv[1 + number % 6]).read_bytes())
    for _ in range(rng.choice([1, 1, 2, 5])):
        content[rng.randrange(len(content))] = rng.randrange(256)
    file.write_bytes(content)
    try:
        read_quaternions(file)
        outcomes[0] += 1
    except UserError as error:
        assert "\\n" not in str(error), error
        outcomes[1] += 1
print(*outcomes)
"""
    files = [file.with_name(f"{protocol}.pkl") for protocol in range(6)]
    for protocol, path in enumerate(files):
        path.write_bytes(pickle.dumps(ENTRIES, protocol))
    done = subprocess.run([sys.executable, "-c", code, *map(str, files)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(int(number) > 50 for number in done.stdout.split())
