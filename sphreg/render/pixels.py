"""From sub-samples to pixels, the same for every engine."""

from typing import no_type_check

import numpy as np
from jaxtyping import UInt8

from sphreg.render.compiled import compiled

SUPERSAMPLING = 2  # rows and columns of sub-samples in a pixel
SUBSAMPLE = 1  # row and column, from the top left, of the one that gives a pixel its normal and its mask


def pixels(
    samples: UInt8[np.ndarray, "side side 4"],
) -> tuple[UInt8[np.ndarray, "size size"], UInt8[np.ndarray, "size size 3"]]:
    """The image and the encoded normals from sub-samples that hold a normal in RGB and a grey value in A.

    Grey is averaged over a pixel's sub-samples; a normal never is, as the mean over an edge belongs to no face.
    """
    size = len(samples) // SUPERSAMPLING
    image, colours = np.empty((size, size), np.uint8), np.empty((size, size, 3), np.uint8)
    _reduce(samples, image, colours)
    return image, colours


@no_type_check  # compiled: beartype cannot look into it
@compiled
def _reduce(samples, image, colours):
    for row in range(len(image)):
        for column in range(len(image)):
            total = 0
            for i in range(SUPERSAMPLING):
                for j in range(SUPERSAMPLING):
                    total += samples[SUPERSAMPLING * row + i, SUPERSAMPLING * column + j, 3]
            image[row, column] = (total + SUPERSAMPLING**2 // 2) // SUPERSAMPLING**2
            for channel in range(3):
                colours[row, column, channel] = samples[
                    SUPERSAMPLING * row + SUBSAMPLE, SUPERSAMPLING * column + SUBSAMPLE, channel
                ]
