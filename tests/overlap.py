"""Whether a figure can be read."""

import itertools

import pytest
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


def check_texts(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """See that no text that is drawn is cut off or lies on another; return all of them."""
    drawn: list[Text] = []
    draw = Text.draw

    def spy(text: Text, renderer: RendererBase) -> None:
        drawn.append(text)
        draw(text, renderer)

    monkeypatch.setattr(Text, "draw", spy)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = figure.bbox.size
    texts = [text for text in drawn if text.get_text() and text.get_visible()]
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in texts]
    for text, box in zip(texts, boxes, strict=True):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text
    for (one, a), (other, b) in itertools.combinations(zip(texts, boxes, strict=True), 2):
        assert min(a.x1, b.x1) - max(a.x0, b.x0) < 1 or min(a.y1, b.y1) - max(a.y0, b.y0) < 1, (one, other)
    return [text.get_text() for text in texts]
