"""Images as users have them, brought to the squares that a model was trained on, and maps brought back."""

import io
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from os import PathLike, fspath
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Shaped, UInt8
from PIL import ExifTags, Image, ImageFile, TiffImagePlugin, UnidentifiedImageError
from torch import Tensor

from sphreg.errors import UserError, printable

Source = str | PathLike[str] | Image.Image | np.ndarray | Tensor
Images = Source | Iterable[Source]
Single = str | Image.Image | np.ndarray  # a path, or an image (h, w) or (h, w, c)

CHANNELS = (1, 3, 4)  # grey, RGB, RGBA
# What files may be. Pillow knows others, one of which, EPS, it has drawn by Ghostscript, as a program.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
LARGEST = 13_000  # pixels of a side: padded to a square such an image takes 169 MB. From 179 million on Pillow refuses
# Of views drawn at 224 and 300 pixels, Lanczos changes what a model for 64 predicts by a median of 3 degrees, and the
# bilinear filter by 6; given to the network as they are, their predictions are as good as chance.
FILTER = Image.Resampling.LANCZOS
TURNS = {  # by the orientation in EXIF data
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Square(NamedTuple):
    """What a network sees of an image, and the image's own size."""

    pixels: UInt8[np.ndarray, "size size"]
    height: int
    width: int

    def undo(self, values: Float32[np.ndarray, "size size dim"]) -> Float32[np.ndarray, "h w dim"]:
        """The value at the centre of each of the image's own pixels: that of the nearest pixel of the square."""
        side = max(self.height, self.width)
        rows, columns = (
            (2 * (np.arange(length) + (side - length) // 2) + 1) * len(values) // (2 * side)
            for length in (self.height, self.width)
        )
        return values[np.ix_(rows, columns)]


def single_images(images: Images) -> list[Single]:
    """Each image by itself.

    Raises:
        UserError: there is none, or something has a shape, a type or values that no image has.
    """
    if isinstance(images, np.ndarray | Tensor):
        found = list(_array("images", images, several=True))
    elif isinstance(images, str | PathLike | Image.Image):
        found = [_single("images", images)]
    else:
        found = [_single(f"images[{place}]", image) for place, image in enumerate(images)]
    if not found:
        raise UserError("images is empty, allowed: at least one image.")
    return found


def shape(image: Single) -> tuple[int, int]:
    """Height and width, of a file from its header alone.

    Raises:
        UserError: there is no such file, or it is no image.
    """
    if isinstance(image, np.ndarray):
        return image.shape[0], image.shape[1]
    with _opened(image) as opened:
        return (opened.width, opened.height) if _orientation(opened) >= 5 else (opened.height, opened.width)


def square(image: Single, size: int) -> Square:
    """Turn an image upright, make it grey, pad it with white to a square, in whose middle it is, and resize that.

    Raises:
        UserError: there is no such file, it is no image, or it is too large.
    """
    with _opened(image) as opened:
        upright, orientation = _grey(opened), _orientation(opened)
    if orientation in TURNS:
        upright = upright.transpose(TURNS[orientation])
    width, height = upright.size
    side = max(width, height)
    padded = Image.new("L", (side, side), "white")
    padded.paste(upright, ((side - width) // 2, (side - height) // 2))
    return Square(np.asarray(padded.resize((size, size), FILTER)), height, width)


@contextmanager
def _opened(image: Single) -> Iterator[Image.Image]:
    """The image, opened but maybe not yet decoded; what goes wrong with it, also while decoding, names it."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image if image.dtype == np.uint8 else np.rint(image * 255.0).astype(np.uint8))
    name = printable(image if isinstance(image, str) else getattr(image, "filename", None) or "an image")
    try:
        with _opened_file(image) if isinstance(image, str) else nullcontext(image) as opened:
            if max(opened.size) > LARGEST:
                raise UserError(f"{opened.width} x {opened.height} pixels, allowed: up to {LARGEST:,} each way")
            yield opened
    except FileNotFoundError:
        raise UserError(f"{name}: there is no such file.") from None
    except Exception as error:  # the decoders of damaged files raise errors of a dozen kinds
        match error:
            case UnidentifiedImageError():
                reason = f"damaged, or not one of the formats {', '.join(FORMATS)}"
            case Image.DecompressionBombError():
                reason = f"too many pixels, allowed: up to {LARGEST:,} each way"
            case OSError(strerror=str(strerror)):
                reason = strerror
            case _:
                reason = str(error) or type(error).__name__
        raise UserError(f"{name}: it is no image that can be used ({' '.join(reason.split())}).") from None


@contextmanager
def _opened_file(path: str) -> Iterator[Image.Image]:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise UserError("it is no regular file")  # to open a pipe may take for ever
    # Of a path Pillow maps an uncompressed TIFF into memory, which scrambles it where it is to be turned by 90 degrees.
    # An open file it asks for as many bytes as a damaged one says that there are, and Python takes memory for all.
    with open(path, "rb") as file:
        content = io.BytesIO(file.read())
    with Image.open(content, formats=FORMATS) as opened:
        yield opened


def _orientation(image: Image.Image) -> int:
    """How to turn an image, a key of TURNS; or 1, not at all, as where its EXIF data are broken."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # which Pillow turns while it decodes
        return 1
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # these, too, are of a dozen kinds
        return 1
    return int(orientation) if orientation in TURNS else 1


def _grey(image: Image.Image) -> Image.Image:
    """Mode L, on white. What Pillow alone would get wrong is seen to here."""
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    transparent = image.info.get("transparency")
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    coded = tiles[0].args if tiles else None  # how the file has the pixels, as long as they are not decoded
    if transparent is not None and coded in ("L;2", "L;4"):  # the pixels become 8 bits, and this does not
        image.info["transparency"] = transparent * (85 if coded == "L;2" else 17)
    if image.mode == "RGB" and transparent is not None and (coded == "RGB;16B" or max(transparent) > 255):
        raise UserError("16 bits a colour, one of them transparent, allowed: an alpha channel, or 8 bits")
    if 2 in tags.get(TiffImagePlugin.SAMPLEFORMAT, ()):
        raise UserError("its pixels are signed numbers, allowed: unsigned ones")
    if image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PPM"):  # of PGM, which Pillow scales
        white = 4095 if tags.get(TiffImagePlugin.BITSPERSAMPLE) == (12,) else 65535
        greys = np.rint(np.arange(65536).clip(max=white) / (white / 255)).astype(np.uint8)
        if tags and tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 0) == 0:
            greys = 255 - greys
        if transparent is not None:
            greys[transparent] = 255
        return Image.fromarray(greys[np.asarray(image)])
    if image.mode in ("I", "F"):
        raise UserError(f"its pixels are numbers of 32 bits, mode {image.mode}, allowed: 8 or 16 bits")
    if image.mode in ("La", "LAB"):  # which are converted to few other modes
        image = image.convert({"La": "LA", "LAB": "RGB"}[image.mode])
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert("L")


def _single(name: str, image: Source) -> Single:
    if isinstance(image, np.ndarray | Tensor):
        return _array(name, image, several=False)[0]
    return image if isinstance(image, Image.Image) else fspath(image)


def _array(name: str, image: np.ndarray | Tensor, several: bool) -> Shaped[np.ndarray, "n h w *channels"]:
    """One image, or several where that is allowed, as a batch whose channels are last."""
    if isinstance(image, Tensor):
        allowed = "(h, w), (c, h, w), (n, c, h, w)"
        right, batch = image.ndim == 2 or (image.ndim in (3, 4) and image.shape[-3] in CHANNELS), image.ndim == 4
        array = (image.float() if image.is_floating_point() else image).detach().cpu().numpy()
        array = np.moveaxis(array, -3, -1) if right and array.ndim > 2 else array
    else:
        allowed = "(h, w), (h, w, c), (n, h, w), (n, h, w, c)"
        dimensions = image.ndim - (image.ndim > 2 and image.shape[-1] in CHANNELS)
        right, batch, array = dimensions in (2, 3), dimensions == 3, image
    if not right or 0 in image.shape[batch:] or (batch and not several):
        single = "" if several else "of one image, "
        raise UserError(f"{name} has the shape {tuple(image.shape)}, allowed: {single}{allowed} with c of 1, 3 or 4.")
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise UserError(f"{name} is of type {array.dtype}, allowed: uint8, or floating-point numbers from 0 to 1.")
    if array.dtype.kind == "f" and not ((array >= 0) & (array <= 1)).all():
        raise UserError(f"{name} has floating-point numbers that are not from 0 to 1; as uint8 they may go to 255.")
    array = array if batch else array[None]
    return array[..., 0] if array.ndim == 4 and array.shape[-1] == 1 else array
