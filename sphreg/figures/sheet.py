"""A contact sheet: many images in rows, each with its label below it."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from jaxtyping import UInt8
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from sphreg.figures import GREY, style

# All lengths are in pixels: the images are neither blurred nor cut, and each of their pixels is a square.
TILE = 128  # smaller images are magnified by a whole number, up to this side
GAP = 8  # between images, and from a label to what is beside or above it
MARGIN = 16
NARROWEST = 480  # leaves room for the title and the note of few images
FRAME = 0xDD  # the grey of a line around each image, as many images are white at their edges
LONGEST = 32  # characters in a line of a label


@style
def sheet(
    images: Sequence[UInt8[np.ndarray, "..."]], labels: Sequence[str], title: str, note: str, columns: int
) -> Figure:
    """Images, row by row, as one picture, with text beside it: axes for each would take seconds.

    Args:
        images: at least one; grey (h, w) or in colours (h, w, 3). Where their sizes differ, each stands in the middle
            of a tile that the largest fills, and all are magnified alike.
        labels: one for each of them, of one line or more; a long line is cut in its middle.
        title: above all images.
        note: below all images; the figure breaks it into lines.
        columns: the most images in a row.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    factor = max(1, TILE // max(side for image in images for side in image.shape[:2]))
    large = [image.repeat(factor, axis=0).repeat(factor, axis=1) for image in images]
    height, width = (max(image.shape[axis] for image in large) for axis in (0, 1))

    figure = Figure()
    figure.set_layout_engine("none")
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [figure.text(0, 0, _cut(label), fontsize=7, ha="center", va="top", linespacing=1.15) for label in labels]
    label_width, label_height = (max(sides) for sides in zip(*(_size(text, renderer) for text in texts), strict=True))
    pitch = max(width + 2, label_width) + GAP, height + 2 + label_height + 2 * GAP  # of columns, of rows

    heading = figure.text(0, 0, title, fontsize=10, va="top")
    grid_width = columns * pitch[0] - GAP
    inner = max(grid_width, _size(heading, renderer)[0], NARROWEST)
    below = figure.text(0, 0, note, fontsize=8, color=GREY, va="bottom")
    if note:
        below.set_text(fill(note, max(20, int(0.95 * inner * len(note) / _size(below, renderer)[0]))))
    inner = max(inner, _size(below, renderer)[0])

    top = MARGIN + _size(heading, renderer)[1] + GAP
    whole = top + rows * pitch[1] + _size(below, renderer)[1] + MARGIN, inner + 2 * MARGIN
    picture = np.full((*whole, 4), 255, dtype=np.uint8)
    left = MARGIN + (inner - grid_width) // 2
    for place, (image, text) in enumerate(zip(large, texts, strict=True)):
        row, column = divmod(place, columns)
        middle = left + column * pitch[0] + (pitch[0] - GAP) // 2
        y = top + row * pitch[1] + 1 + (height - image.shape[0]) // 2
        x = middle - image.shape[1] // 2
        picture[y - 1 : y + image.shape[0] + 1, x - 1 : x + image.shape[1] + 1, :3] = FRAME
        picture[y : y + image.shape[0], x : x + image.shape[1], :3] = image if image.ndim == 3 else image[..., None]
        text.set_position((middle / whole[1], 1 - (top + row * pitch[1] + height + 2 + GAP // 2) / whole[0]))
    heading.set_position((MARGIN / whole[1], 1 - MARGIN / whole[0]))
    below.set_position((MARGIN / whole[1], MARGIN / whole[0]))
    # A bit more, as 1.13 * 100 is less than 113, and matplotlib 3.10 leaves out what is no whole pixel.
    figure.set_size_inches((whole[1] + 1e-6) / figure.dpi, (whole[0] + 1e-6) / figure.dpi)
    figure.add_artist(_Pixels(picture))
    return figure


class _Pixels(Artist):
    """A picture that fills its figure, pixel for pixel. `figimage` resamples it, which takes most of the time."""

    zorder = -1  # below all text

    def __init__(self, picture: UInt8[np.ndarray, "h w 4"]) -> None:
        super().__init__()
        self.picture = picture

    def draw(self, renderer: RendererBase) -> None:
        """Copy the pixels; Agg counts their rows from the bottom."""
        renderer.draw_image(renderer.new_gc(), 0, 0, self.picture[::-1])


def _size(text: Text, renderer: RendererBase) -> tuple[int, int]:
    """Width and height of a text as it is drawn."""
    box = text.get_window_extent(renderer)
    return int(np.ceil(box.width)), int(np.ceil(box.height))


def _cut(label: str) -> str:
    """The label with what is too long of each line left out: the end of a key is the number of its view."""
    half = LONGEST // 2
    return "\n".join(
        line if len(line) <= LONGEST else f"{line[: half - 1]}…{line[-half:]}" for line in label.split("\n")
    )
