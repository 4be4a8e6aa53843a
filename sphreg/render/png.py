"""Lossless images of few colours, as maps of normals of flat faces are."""

import struct
import zlib

import numpy as np
from jaxtyping import UInt8

LEVEL = 1  # of 9; the higher ones take longer and save little


def png(colours: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """The image as PNG, with no filter on its rows.

    Filters turn areas of one colour into noise at their edges, and the libraries try five of them for each row: without
    they are as small, in a quarter of the time (`python -m benchmarks.render`). The format is in ISO/IEC 15948.
    """
    height, width, _ = colours.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # a row begins with its filter; 0 is none
    rows[:, 1:] = colours.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits each of red, green and blue
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), LEVEL)), (b"IEND", b"")
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
