"""The picture at the top of the README: what it shows is what it was given, and all of it can be read."""

import math
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from sphreg.figures import png
from sphreg.figures.looks import Look
from sphreg.figures.teaser import teaser, teaser_views
from tests.overlap import check_texts

TASKS = ("rotation", "viewpoint", "normals")
HEADS = {"direct": Look("#0072B2", "-"), "flat": Look("#D55E00", "-"), "sexp": Look("#009E73", "-")}
NAMES = [
    "<b>&amp;\"'</b>",
    "$x_1^",
    "--><script>",
    "a very long name of a head",
    "%d {0} \\n",
    "Kopf äöü",
    "7",
    "chance",
]
ODD = {name: Look(f"C{place}", "-" if place < 6 else (0, (4, 1.5))) for place, name in enumerate(NAMES)}
SIZE = 16


def cdf(heads: Mapping[str, Look], seeds: int, degrees: float | None) -> pd.DataFrame:
    """As `sphreg.page.results.cdf` gives it: some curve of each run, or all errors equal."""
    angles = np.linspace(0, 180, 361)
    runs = [(head, seed) for head in heads for seed in range(seeds)]
    shares = [
        1 - np.exp(-angles / (20 + place)) if degrees is None else angles >= degrees for place in range(len(runs))
    ]
    parts = [
        pd.DataFrame({"head": head, "seed": seed, "error_deg": angles, "share": share.astype(float)})
        for (head, seed), share in zip(runs, shares, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def views(count: int, seed: int) -> np.ndarray:
    """Noise on a white border, as the bounding sphere touches the edges."""
    images = np.full((count, SIZE, SIZE), 255, np.uint8)
    images[:, 2:-2, 2:-2] = np.random.default_rng(seed).integers(76, 230, (count, SIZE - 4, SIZE - 4))
    return images


def draw(
    heads: Mapping[str, Look] = HEADS,
    count: int = 6,
    tasks: tuple[str, ...] = TASKS,
    degrees: float | None = None,
    seeds: int = 1,
) -> Figure:
    errors = np.random.default_rng(0).uniform(0, 180, (len(heads), count)) if degrees is None else None
    return teaser(
        views(count, 99),
        {head: views(count, place) for place, head in enumerate(heads)},
        {head: np.full(count, degrees) if errors is None else errors[place] for place, head in enumerate(heads)},
        {task: cdf(heads, seeds, degrees) for task in tasks},
        heads,
    )


def grid_of(figure: Figure) -> np.ndarray:
    """The axes with images, in rows."""
    shown = [axes for axes in figure.axes if axes.images]
    rows = sum(1 for axes in shown if axes.get_ylabel())
    return np.array(shown).reshape(rows, -1)


def panels_of(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.lines]


CASES: dict[str, Callable[[], Figure]] = {
    "three heads": draw,
    "three seeds": lambda: draw(seeds=3),
    "one head": lambda: draw({"sexp": Look("C0", "-")}),
    "one view": lambda: draw(count=1),
    "one head, view and task": lambda: draw({"sexp": Look("C0", "-")}, 1, ("normals",)),
    "one task": lambda: draw(tasks=("rotation",)),
    "no error": lambda: draw(degrees=0.0),
    "half a turn": lambda: draw(degrees=180.0),
    "odd names": lambda: draw(dict(list(ODD.items())[:4])),
    "eight heads": lambda: draw(ODD),
    "long names": lambda: draw(
        {f"{name} (hidden 512, per_category False, dropout 0.5)": HEADS[name] for name in HEADS}
    ),
    "very long names": lambda: draw({f"{name} {'and so on ' * 15}": HEADS[name] for name in HEADS}),
    "twelve views": lambda: draw(count=12),
}


@pytest.mark.parametrize("case", CASES)
def test_it_can_be_read(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(check_texts(CASES[case](), monkeypatch)) >= 5


def test_names_and_errors_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = {"<&$x$": HEADS["flat"], "a long name 1": HEADS["sexp"], "a long name 2": HEADS["direct"]}
    images = views(2, 0)
    errors = {head: np.array([place, 179.6]) for place, head in enumerate(heads)}
    texts = Counter(
        check_texts(
            teaser(images, dict.fromkeys(heads, images), errors, {"rotation": cdf(heads, 1, None)}, heads), monkeypatch
        )
    )
    assert texts["<&$x$"] == texts["a long name 1"] == texts["a long name 2"] == 2  # beside the row, and of the curve
    assert [texts[text] for text in ("0°", "1°", "2°", "180°", "input", "rotation", "chance")] == [1, 1, 1, 3, 1, 1, 1]


def test_each_row_has_its_own_images_and_errors() -> None:
    grid = grid_of(draw())
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["input", "direct", "flat", "sexp"]
    errors = np.random.default_rng(0).uniform(0, 180, (3, 6))
    for row, seed in enumerate([99, 0, 1, 2]):
        for column, image in enumerate(views(6, seed)):
            axes = grid[row, column]
            assert np.array_equal(np.asarray(axes.images[0].get_array()), image)
            assert axes.get_xlabel() == ("" if row == 0 else f"{round(errors[row - 1, column])}°")


def test_images_may_have_more_pixels_than_those_of_the_networks() -> None:
    larger = np.full((6, 5 * SIZE, 5 * SIZE), 200, np.uint8)
    curves = {"rotation": cdf(HEADS, 1, None)}
    figure = teaser(views(6, 0), dict.fromkeys(HEADS, larger), dict.fromkeys(HEADS, np.zeros(6)), curves, HEADS)
    boxes = [axes.get_position().size for axes in grid_of(figure).flat]
    assert boxes == pytest.approx(np.array([boxes[0]] * len(boxes)))


def test_inputs_are_grey_and_predictions_in_the_colour_of_their_head_on_white() -> None:
    grid = grid_of(draw())
    shades = np.array([0, 76, 140, 229, 255])
    for axes in grid[0]:
        assert axes.images[0].to_rgba(shades)[:, :3] == pytest.approx(
            np.repeat(shades[:, None] / 255, 3, axis=1), abs=4e-3
        )
    for row, look in zip(grid[1:], HEADS.values(), strict=True):
        colours = row[0].images[0].to_rgba(shades)[:, :3]
        assert colours[0].max() == 0 and colours[-1].min() == 1
        assert colours[2] == pytest.approx(np.array(to_rgb(look.colour)), abs=0.02)
        assert (np.diff(colours.sum(axis=1)) > 0.1).all()


def test_curves_are_those_of_the_tables_and_of_random_rotations() -> None:
    panels = panels_of(draw(seeds=2))
    table = cdf(HEADS, 2, None)
    assert [axes.texts[0].get_text() for axes in panels] == list(TASKS)
    for axes, task in zip(panels, TASKS, strict=True):
        curves, chance = axes.lines[:3], axes.lines[3:]
        for line, (head, look) in zip(curves, HEADS.items(), strict=True):
            drawn = dict(np.array(line.get_xydata()).tolist())
            values = table[(table["head"] == head) & (table["error_deg"] == 30)]["share"].tolist()
            assert drawn[30] == pytest.approx(sum(values) / 2) and line.get_color() == look.colour
        assert len(chance) == (0 if task == "normals" else 1)
        for line in chance:
            for degrees, share in np.array(line.get_xydata()):
                assert share == pytest.approx(haar_share(math.radians(degrees)), abs=1e-4)


def haar_share(angle: float, steps: int = 400) -> float:
    """The integral of (1 - cos t) / pi from 0 to the angle, by the midpoint rule."""
    width = angle / steps
    return sum((1 - math.cos((step + 0.5) * width)) / math.pi * width for step in range(steps))


def test_it_is_as_wide_as_a_page_and_its_letters_are_legible_at_two_thirds_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    figure = draw()
    assert 1100 <= figure.bbox.width <= 1240 and 400 <= figure.bbox.height <= 700
    texts = [axes.xaxis.label for axes in grid_of(figure)[1:].flat]
    texts += [label for axes in panels_of(figure) for label in [*axes.get_yticklabels(), *axes.texts]]
    assert min(text.get_fontsize() for text in texts) * 800 / figure.bbox.width >= 6.5


def test_same_input_same_bytes() -> None:
    assert png(draw()) == png(draw())


def table(counts: Mapping[str, int]) -> pd.DataFrame:
    rows = [(name, f"{name}_{place:04d}", 1.0) for name, count in counts.items() for place in range(count)]
    return pd.DataFrame(rows, columns=["category", "key", "error_deg"])


def test_views_are_spread_over_the_categories() -> None:
    counts = {"bed": 100, "chair": 1000, "desk": 7}
    chosen = teaser_views(table(counts), 6)
    assert Counter(chosen["category"]) == {"bed": 2, "chair": 2, "desk": 2}
    for name, count in counts.items():
        places = [int(key[-4:]) for key in chosen[chosen["category"] == name]["key"]]
        assert places == pytest.approx([count / 4, 3 * count / 4], abs=1)


@pytest.mark.parametrize(("counts", "n"), [({"chair": 1}, 6), ({"chair": 3}, 3), ({"bed": 5, "chair": 5}, 1)])
def test_no_view_comes_twice(counts: dict[str, int], n: int) -> None:
    chosen = teaser_views(table(counts), n)
    assert chosen["key"].is_unique and len(chosen) == min(n, sum(counts.values()))


def test_fewer_views_than_categories_are_of_different_ones() -> None:
    chosen = teaser_views(table({f"category {place}": 20 for place in range(10)}), 6)
    assert len(chosen) == chosen["category"].nunique() == 6


def test_neither_errors_nor_the_order_of_the_rows_choose_the_views() -> None:
    views = table({"bed": 50, "chair": 80})
    others = views.assign(error_deg=np.random.default_rng(0).uniform(0, 180, len(views))).sample(frac=1, random_state=1)
    assert teaser_views(views, 6)["key"].tolist() == teaser_views(others, 6)["key"].tolist()
