"""PNG files against a reader that is not ours."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sphreg.render.png import png


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 64), (7, 300)])
def test_any_colours_come_back(shape):
    colours = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(png(colours))) as image:
        image.verify()  # the checksums
    image = Image.open(io.BytesIO(png(colours)))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", shape[::-1])
    np.testing.assert_array_equal(image, colours)


def test_rows_are_right_when_the_array_is_a_view():
    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)[::-2, 1::2]
    np.testing.assert_array_equal(Image.open(io.BytesIO(png(colours))), colours)


def test_areas_of_one_colour_take_no_room():
    colours = np.zeros((224, 224, 3), np.uint8)
    colours[50:170, 30:200] = [255, 128, 3]
    assert len(png(colours)) < 2500


def test_no_row_is_filtered():
    data = png(np.full((4, 4, 3), 9, np.uint8))
    at = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[at - 4 : at])
    assert zlib.decompress(data[at + 4 : at + 4 + length]) == (b"\0" + bytes([9] * 12)) * 4
