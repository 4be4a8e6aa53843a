"""The figures of the dataset card, and the directions that one of them shows, against scipy and closed forms."""

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import stats
from scipy.spatial.transform import Rotation

from sphreg.figures import dataset, png
from sphreg.viewpoints import viewpoint_angles

NOTE = "A re-render: the camera and the light of the original ModelNet10-SO3 were never published."
ODD = ["$x_1^", "<b>&amp;", "a very long name of a category", "Stühle", "%d {0} \\n"]


def quaternions(n: int, seed: int = 0) -> np.ndarray:
    return Rotation.random(n, np.random.default_rng(seed)).as_quat(canonical=True)


def curve(n: int) -> pd.DataFrame:
    """Of angles drawn from their closed form CDF, (t - sin t) / pi, by rejection."""
    rng = np.random.default_rng(n)
    angles = rng.uniform(0, 180, 8 * n)
    angles = angles[rng.uniform(0, 2, 8 * n) < 1 - np.cos(np.radians(angles))][:n]
    density = np.histogram(angles, np.arange(0, 181, 5), density=True)[0]
    middles = np.arange(2.5, 180, 5)
    haar = (1 - np.cos(np.radians(middles))) / 180
    return pd.DataFrame({"angle_deg": middles, "density_per_deg": density, "haar_per_deg": haar})


def images(names: list[str], columns: int, size: int) -> dict[str, np.ndarray]:
    """Of which the last category has only one."""
    rng = np.random.default_rng(size)
    counts = [columns] * (len(names) - 1) + [1]
    return {name: rng.integers(0, 256, (n, size, size), dtype=np.uint8) for name, n in zip(names, counts, strict=True)}


def draw_angles(train: int, test: int) -> Figure:
    return dataset.angles({"train": curve(train), "test": curve(test)}, {"train": train, "test": test}, NOTE)


def draw_directions(train: int, test: int) -> Figure:
    return dataset.directions({"train": quaternions(train, 0), "test": quaternions(test, 1)}, NOTE)


DRAWN: dict[str, Callable[[], Figure]] = {
    "categories": lambda: dataset.categories(images(ODD, 10, 32), NOTE),
    "one view of one category": lambda: dataset.categories(images(["chair"], 1, 8), NOTE),
    "angles": lambda: draw_angles(54_400, 16),
    "directions of many and few": lambda: draw_directions(54_400, 16),
    "directions of one and some": lambda: draw_directions(1, 4_000),
}


@pytest.mark.parametrize("name", DRAWN)
def test_no_text_is_cut_off_or_on_another(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Text] = []
    draw = Text.draw

    def spy(text: Text, renderer: RendererBase) -> None:
        drawn.append(text)
        draw(text, renderer)

    figure = DRAWN[name]()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    monkeypatch.setattr(Text, "draw", spy)
    canvas.draw()
    texts = [text for text in drawn if text.get_text() and text.get_visible()]
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in texts]
    assert len(texts) >= 3
    for text, box in zip(texts, boxes, strict=True):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height, text
    for (one, a), (other, b) in itertools.combinations(zip(texts, boxes, strict=True), 2):
        assert min(a.x1, b.x1) - max(a.x0, b.x0) < 1 or min(a.y1, b.y1) - max(a.y0, b.y0) < 1, (one, other)


@pytest.mark.parametrize("name", DRAWN)
def test_each_has_a_title_says_that_it_is_a_re_render_and_is_the_same_again(name: str) -> None:
    figure = DRAWN[name]()
    assert figure.get_suptitle() and figure.get_supxlabel() == NOTE
    assert png(figure) == png(DRAWN[name]())


def test_categories_show_each_view_once_in_the_row_of_its_category() -> None:
    shown = images(["a", "b", "c"], 4, 20)
    axes = dataset.categories(shown, NOTE).axes[0]
    board = np.asarray(axes.images[0].get_array())
    step = board.shape[0] // 3
    assert board.shape == (3 * step, 4 * step) and step > 20
    for (row, views), column in itertools.product(enumerate(shown.values()), range(4)):
        tile = board[row * step : (row + 1) * step, column * step : (column + 1) * step]
        assert (tile[20:] == 255).all() and (tile[:, 20:] == 255).all()
        assert np.array_equal(tile[:20, :20], views[column] if column < len(views) else np.full((20, 20), 255))
    places = {label.get_text(): label.get_position()[1] for label in axes.get_yticklabels()}
    assert places == {name: (row + 0.5) * step for row, name in enumerate("abc")}


def test_odd_names_are_shown_as_they_are() -> None:
    labels = DRAWN["categories"]().axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == [*ODD[:2], "a very long n…", *ODD[3:]]
    assert not any(label.get_parse_math() for label in labels)


def test_angles_are_those_of_the_tables_with_the_spread_of_a_binomial() -> None:
    tables, counts = {"train": curve(5000), "test": curve(40)}, {"train": 5000, "test": 40}
    for axes, (split, table) in zip(dataset.angles(tables, counts, NOTE).axes, tables.items(), strict=True):
        values, edges, _ = axes.patches[0].get_data()  # type: ignore[attr-defined]
        assert np.array_equal(values, table["density_per_deg"]) and np.array_equal(edges, np.arange(0, 181, 5))
        assert np.array_equal(axes.lines[0].get_xydata(), table[["angle_deg", "haar_per_deg"]])
        assert f"{split}: {counts[split]:,} views" == axes.get_title()
        (band,) = (item for item in axes.collections if isinstance(item, PolyCollection))
        top = band.get_paths()[0].vertices[:, 1].max()
        last = table["haar_per_deg"].iloc[-1]
        deviation = stats.binom(counts[split], 5 * last).std() / (5 * counts[split])
        assert top == pytest.approx(last + stats.norm.ppf(0.975) * deviation, rel=1e-4)


def test_directions_are_where_scipy_turns_the_line_of_sight_back_to() -> None:
    values = quaternions(500)
    expected = Rotation.from_quat(values).inv().apply([0, 0, 1])
    assert dataset.viewing_directions(values) == pytest.approx(expected, abs=1e-12)
    assert dataset.viewing_directions(-values) == pytest.approx(expected, abs=1e-12)


def test_azimuth_and_elevation_are_those_of_the_viewpoint() -> None:
    values = quaternions(500)
    expected = viewpoint_angles(values)[:, :2]
    assert dataset.azimuth_elevation(dataset.viewing_directions(values)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("direction", "azimuth", "elevation"), [((0, -1, 0), 0, 0), ((1, 0, 0), 90, 0), ((-1, 0, 0), -90, 0)]
)
def test_azimuth_0_is_the_front_and_90_the_side_at_x(
    direction: tuple[float, float, float], azimuth: float, elevation: float
) -> None:
    found = dataset.azimuth_elevation(np.array([direction], dtype=float))
    assert np.degrees(found) == pytest.approx(np.array([[azimuth, elevation]]))


@pytest.mark.parametrize("sign", [1, -1])
def test_poles_have_an_elevation_of_90_degrees(sign: int) -> None:
    assert np.degrees(dataset.azimuth_elevation(np.array([[0.0, 0, sign]])))[0, 1] == sign * 90


def test_few_views_are_points_at_their_azimuth_and_elevation() -> None:
    values = {"train": quaternions(30), "test": quaternions(1)}
    for axes, rotations in zip(dataset.directions(values, NOTE).axes, values.values(), strict=True):
        assert axes.name == "mollweide"
        assert np.asarray(axes.collections[0].get_offsets()) == pytest.approx(
            viewpoint_angles(rotations)[:, :2], abs=1e-9
        )


def test_cells_have_equal_areas() -> None:
    """Points of a Fibonacci lattice lie evenly on the sphere."""
    place = np.arange(200_000)
    elevation = np.arcsin(1 - (2 * place + 1) / len(place))
    azimuth = (place * np.pi * (3 - np.sqrt(5)) + np.pi) % (2 * np.pi) - np.pi
    assert dataset.densities(azimuth, elevation) == pytest.approx(1, abs=0.03)


def test_uniform_rotations_fill_the_cells_evenly() -> None:
    azimuth, elevation = dataset.azimuth_elevation(dataset.viewing_directions(quaternions(60_000))).T
    found = dataset.densities(azimuth, elevation)
    assert stats.chisquare(found.ravel() * 60_000 / found.size).pvalue > 0.01


@pytest.mark.parametrize(("azimuth", "elevation"), [(-150, -50), (10, 80), (100, 20)])
def test_many_views_from_one_side_colour_their_cell(azimuth: float, elevation: float) -> None:
    turned = Rotation.from_euler("ZX", [0, elevation - 90], degrees=True) * Rotation.from_euler(
        "Z", -azimuth, degrees=True
    )
    values = np.tile(turned.as_quat(canonical=True), (dataset.FEW + 1, 1))
    axes = dataset.directions({"test": values}, NOTE).axes[0]
    (mesh,) = (item for item in axes.collections if isinstance(item, QuadMesh))
    corners, colours = np.degrees(mesh.get_coordinates()), np.asarray(mesh.get_array())
    rows, columns = np.nonzero(colours)
    cell = corners[rows.min() : rows.max() + 2, columns.min() : columns.max() + 2].reshape(-1, 2)
    (left, low), (right, high) = cell.min(axis=0), cell.max(axis=0)
    assert left <= azimuth <= right and low <= elevation <= high
    assert right - left == pytest.approx(15) and colours.max() == colours.size / dataset.FINE
