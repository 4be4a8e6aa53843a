"""Predict from the command line: a row per image, or a map of normals per image.

Rows have the columns file, qw, qx, qy, qz, azimuth_deg, elevation_deg and tilt_deg, as JSON or CSV. Maps are files
NAME.normals.png, in the colours of the dataset, or NAME.normals.npy, exact; their paths are printed. What is no image
is said on standard error, and the status is then 1; the other images are predicted all the same. Names of files come
back with the bytes that they have; where these are no UTF-8, JSON has them as os.fsdecode gives them.
"""

import argparse
import csv
import io
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sphreg.errors import UserError, printable
from sphreg.files import whole
from sphreg.predict import Predictor, load
from sphreg.predict.images import FORMATS
from sphreg.program import program
from sphreg.render.camera import encode_normals

ROWS, MAPS = ("json", "csv"), ("png", "npy")  # the formats, the default first
TEXT: Any = {"encoding": "utf-8", "errors": "surrogateescape"}  # with which any name of a file is written as it is
COLUMNS = ("file", "qw", "qx", "qy", "qz", "azimuth_deg", "elevation_deg", "tilt_deg")


def predict(arguments: argparse.Namespace) -> bool:
    """Predict all images. Whether each of them could be read.

    Raises:
        UserError: a part of the command line is wrong, or no image could be read.
    """
    predictor = load(arguments.model, arguments.weights, arguments.task, arguments.device)
    formats = MAPS if predictor.task == "normals" else ROWS
    form, out, bad = arguments.format or formats[0], arguments.out, list[str]()
    if form not in formats:
        raise UserError(f"--format is {form}, allowed with a model for {predictor.task}: {', '.join(formats)}.")
    answers = readable(predictor, arguments.images, arguments.category, bad)
    if formats == MAPS:
        if out is None:
            raise UserError("--out is missing, allowed: a folder for the maps of normals.")
        write_maps(answers, places(arguments.images, out, form))
        return not bad
    if out is not None and out.is_dir():
        raise UserError(f"--out is {out}, a folder, allowed: a file.")
    with whole(out) if out else nullcontext() as partial:
        with partial.open("w", newline="", **TEXT) if partial else nullcontext(sys.stdout) as file:
            file.writelines(lines(answers, form))
        if len(bad) == len(arguments.images):  # what is in the file from earlier on stays
            raise UserError("No image could be read.")
    return not bad


def readable(
    predictor: Predictor, images: list[str], category: str | None, bad: list[str]
) -> Iterator[tuple[str, Any]]:
    """The path and the answer of each image; those that cannot be read are said on standard error, and go to `bad`."""
    answers = predictor.stream(images, category)  # which checks its arguments now, and not at the first answer

    def pairs() -> Iterator[tuple[str, Any]]:
        for path, answer in zip(images, answers, strict=True):
            if isinstance(answer, UserError):
                print(printable(str(answer)), file=sys.stderr)
                bad.append(path)
            else:
                yield path, answer

    return pairs()


def lines(answers: Iterator[tuple[str, Any]], form: str) -> Iterator[str]:
    """A row for each image, as soon as it is known."""
    rows = ({"file": path} | {name: x.item() for name, x in rotation.columns().items()} for path, rotation in answers)
    if form == "csv":
        for cells in chain([COLUMNS], (row.values() for row in rows)):
            line = io.StringIO()
            csv.writer(line).writerow(cells)  # which quotes what it ends lines with, "\r\n"
            yield f"{line.getvalue()[:-2]}\n"
    else:
        yield "["
        for place, row in enumerate(rows):
            yield f"{',' if place else ''}\n{json.dumps(row)}"
        yield "\n]\n"


def places(images: list[str], out: Path, form: str) -> dict[str, Path]:
    """Where the map of each image goes.

    Raises:
        UserError: two would go to one place, or there can be no such folder.
    """
    found = {image: out / f"{Path(image).stem}.normals.{form}" for image in images}
    first: dict[Path, str] = {}
    for image, place in found.items():
        if first.setdefault(place, image) != image:
            raise UserError(f"{first[place]} and {image} would both become {place}; predict them into two folders.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: there can be no such folder ({error.strerror}).") from None
    return found


def write_maps(answers: Iterator[tuple[str, Any]], places: dict[str, Path]) -> None:
    """Write the map of each image as soon as it is known, and print its path."""
    for image, normals in answers:
        with whole(places[image]) as partial, partial.open("wb") as file:
            if places[image].suffix == ".npy":
                np.save(file, normals)
            else:
                Image.fromarray(encode_normals(normals)).save(file, "PNG")
        print(places[image], flush=True)


@program
def main(argv: list[str] | None = None) -> int:
    """Predict; status 1 if an image could not be read."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(**TEXT)
    parser = argparse.ArgumentParser(
        prog="python -m sphreg.predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="the folder of a trained model, as models/sexp/rotation"
    )
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=f"files: {', '.join(FORMATS)}")
    parser.add_argument("--category", metavar="NAME", help="of all images; for a model with outputs per category")
    parser.add_argument("--format", help=f"{' or '.join(ROWS)}; for maps of normals {' or '.join(MAPS)}")
    parser.add_argument("--out", type=Path, help="a file for the rows (default: they are printed), a folder for maps")
    parser.add_argument("--weights", default="last", help="last, or best by the held-out meshes (default: last)")
    parser.add_argument("--task", help="what the model has to predict (default: any)")
    parser.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="(default: a GPU if there is one)"
    )
    arguments = parser.parse_intermixed_args(argv)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # of damage that it gets over, and of large images
        return int(not predict(arguments))


if __name__ == "__main__":
    sys.exit(main())
