"""Whether a figure can be read."""

import numpy as np
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
    boxes = np.array([text.get_window_extent(canvas.get_renderer()).extents for text in texts]).reshape(-1, 2, 2)
    low, high = boxes[:, 0], boxes[:, 1]
    cut = ((low < 0) | (high > (width, height))).any(axis=1)
    assert not cut.any(), [text for text, outside in zip(texts, cut, strict=True) if outside]
    common = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)  # width and height for each pair
    pairs = np.argwhere(np.triu((common >= 1).all(axis=2), 1))
    assert not pairs.size, [(texts[one], texts[other]) for one, other in pairs]
    return [text.get_text() for text in texts]
