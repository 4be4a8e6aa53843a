"""Show views: a contact sheet of an LMDB file of `dvc repro`, or of the original dataset, as a PNG.

The file is data/so3/train.lmdb, for example, or data/so3/test.normals.lmdb, which is shown in colours; with the table
beside it each view has its viewpoint below it. Of a folder as data/so3 it is test.lmdb. Of the dataset of the paper's
authors it is a folder with data.mdb.
"""

import argparse
import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import UInt8
from matplotlib.backends import BackendFilter, backend_registry
from PIL import Image

from sphreg.checksums import check_if_any
from sphreg.errors import UserError, printable
from sphreg.figures import png
from sphreg.figures.sheet import sheet
from sphreg.files import write_whole
from sphreg.info import NOTE
from sphreg.program import program
from sphreg.split import DEGREES, read_views
from sphreg.views import Views
from sphreg.views.original import OriginalViews, category, find_rotations

MOST = 1000  # images on a sheet
LARGEST = 256  # pixels; what is larger is shown smaller
WINDOW = 14, 9  # inches, at most


@dataclass(frozen=True)
class Album:
    """What there is to see.

    Attributes:
        keys: of all views, sorted.
        image: the picture of a key.
        label: a key, with what is known of its view in a line below it.
        categories: of keys; none where they are not known.
        note: what the labels are.
    """

    keys: list[str]
    image: Callable[[str], UInt8[np.ndarray, "..."]]
    label: Callable[[str], str]
    categories: Mapping[str, str]
    note: str


def open_packed(path: Path) -> Album:
    """A file that `write_views` wrote, with the table beside it if there is one.

    Raises:
        UserError: one of them cannot be read.
    """
    table = path.with_name(f"{path.name.removesuffix('.lmdb').removesuffix('.normals')}.csv")
    check_if_any(path.parent, [file.name for file in (path, table)])
    views = Views(path)
    if not table.is_file():
        return Album(views.keys, lambda key: _picture(views, key), lambda key: key, {}, NOTE)
    rows = read_views(table)
    angles = dict(zip(rows["key"], rows[DEGREES].round().astype(int).to_numpy().tolist(), strict=True))

    def label(key: str) -> str:
        return f"{key}\n{' '.join(f'{angle}°' for angle in angles[key])}" if key in angles else key

    note = f"Below the keys: azimuth, elevation and tilt. {NOTE}"
    categories = dict(zip(rows["key"], rows["category"], strict=True))
    return Album(views.keys, lambda key: _picture(views, key), label, categories, note)


def open_original(folder: Path) -> Album:
    """The dataset of the paper's authors, with the rotations if there are some.

    Raises:
        UserError: something cannot be read.
    """
    if not (folder / "data.mdb").is_file():
        raise UserError(f"{folder}: it is a folder without data.mdb, allowed: that of the original dataset, or a file.")
    views = OriginalViews(folder)
    keys = views.keys
    categories, note = {key: category(key) for key in keys}, "The original ModelNet10-SO3."
    if find_rotations(folder) is None:
        return Album(keys, views.image, lambda key: key, categories, note)
    quaternions = views.quaternions

    def label(key: str) -> str:
        if key not in quaternions:
            return key
        rounded = quaternions[key][[3, 0, 1, 2]].round(2) + 0.0  # no -0.00
        return f"{key}\n{' '.join(f'{number:.2f}' for number in rounded)}"

    return Album(keys, views.image, label, categories, f"{note} Below the keys: quaternions, w first.")


def _picture(views: Views, key: str) -> UInt8[np.ndarray, "..."]:
    """An image, or a map of normals as colours on white."""
    content = views[key]
    if not content.startswith(b"\x89PNG"):
        return views.image(key)
    colours = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    return np.where(colours.any(axis=-1, keepdims=True), colours, np.uint8(255))


def choose(keys: list[str], count: int, seed: int) -> list[str]:
    """At most `count` keys in their order, drawn at random; the same of the same keys and seed."""
    rows = np.random.default_rng(seed).choice(len(keys), min(count, len(keys)), replace=False)
    return [keys[row] for row in np.sort(rows)]


def draw(path: Path, arguments: argparse.Namespace) -> tuple[bytes, str]:
    """The sheet as PNG, and how many views of how many it shows.

    Raises:
        UserError: something is not there, or no image.
    """
    album = open_original(path) if path.is_dir() else open_packed(path)
    pool, what = album.keys, "views"
    if not pool:
        raise UserError(f"{path}: it holds no view.")
    if arguments.category is not None:
        if not album.categories:
            raise UserError(f"{path}: the table with the categories is not beside it; leave --category out.")
        pool = [key for key in album.keys if album.categories.get(key) == arguments.category]
        what = f"views of category {arguments.category}"
        if not pool:
            allowed = ", ".join(sorted({album.categories[key] for key in album.keys if key in album.categories}))
            raise UserError(f"{path}: it has no view of category {arguments.category!r}, allowed: {allowed}.")
    chosen = arguments.keys or choose(pool, arguments.count, arguments.seed)
    if unknown := sorted(set(chosen) - set(pool)):
        raise UserError(f"{path}: it has no view {unknown[0]!r}, allowed: {pool[0]} to {pool[-1]}.")
    images = []
    for key in chosen:
        try:
            image = Image.fromarray(album.image(key))
        except (ValueError, OSError, SyntaxError):  # which PIL raises for some damaged PNG
            raise UserError(f"{path}: the view {key!r} is no image that can be decoded.") from None
        image.thumbnail((LARGEST, LARGEST))
        images.append(np.asarray(image))
    labels = [album.label(key) for key in chosen]
    shown = f"{len(chosen):,} of {len(pool):,} {what}"
    return png(sheet(images, labels, f"{printable(path.name)}: {shown}", album.note, arguments.columns)), shown


def show(picture: bytes, name: str) -> None:
    """Open a window, and wait until it is closed.

    Raises:
        UserError: there is no display.
    """
    from matplotlib import pyplot

    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    height, width = pixels.shape[:2]
    scale = min(1 / 100, WINDOW[0] / width, WINDOW[1] / height)
    try:
        if matplotlib.get_backend().lower() not in backend_registry.list_builtin(BackendFilter.INTERACTIVE):
            raise ImportError
        figure = pyplot.figure(name, figsize=(width * scale, height * scale))
    except ImportError:  # which matplotlib raises too, where the user chose a backend that finds no display
        raise UserError("--show: there is no display that matplotlib can open a window on.") from None
    figure.add_axes((0, 0, 1, 1), frame_on=False, xticks=[], yticks=[]).imshow(pixels)
    pyplot.show()


@program
def main(argv: list[str] | None = None) -> int:
    """Draw, write and maybe show a sheet."""
    parser = argparse.ArgumentParser(
        prog="python -m sphreg.views", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, metavar="LMDB", help="a file, or the folder of a dataset")
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="where to write it (default: NAME.png here)")
    parser.add_argument("--show", action="store_true", help="open it in a window, too")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--category", help="only views of this category")
    which.add_argument("--keys", nargs="+", metavar="KEY", help="these views, such as chair_0341.v001")
    parser.add_argument("--count", type=int, default=40, help="views, drawn at random (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    parser.add_argument("--columns", type=int, default=8, help="images in a row (default: %(default)s)")
    arguments = parser.parse_args(argv)
    path: Path = arguments.path
    if (path / "test.lmdb").is_file():
        path /= "test.lmdb"
    out: Path = arguments.out or Path(f"{path.resolve().name.removesuffix('.lmdb')}.png")
    for name, least, most in ("count", 1, MOST), ("columns", 1, MOST), ("seed", 0, 2**32):
        if not least <= getattr(arguments, name) <= most:
            raise UserError(f"--{name} is {getattr(arguments, name)}, allowed: {least} to {most}.")
    if len(arguments.keys or []) > MOST:
        raise UserError(f"--keys has {len(arguments.keys)} keys, allowed: at most {MOST}.")
    if out.suffix != ".png":
        raise UserError(f"--out is {out}, allowed: a name that ends in .png.")
    picture, shown = draw(path, arguments)
    write_whole(out, picture)
    print(f"{out}: {shown} in {path}.")
    if arguments.show:
        show(picture, out.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
