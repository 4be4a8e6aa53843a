"""The figures: what they show is what the tables say, nothing lies on top of another or is cut off."""

import functools
import io
import itertools
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from PIL import Image
from scipy.spatial.transform import Rotation

from sphreg.figures import png, results
from sphreg.figures.sheet import sheet
from tests.overlap import check_texts

SIZE, FOV_DEG, NOTE = 64, 40.0, "A re-render: the camera and the light of the original were never published."
TEN = ["bathtub", "bed", "chair", "desk", "dresser", "monitor", "night_stand", "sofa", "table", "toilet"]


def log(epochs: int) -> pd.DataFrame:
    rng = np.random.default_rng(epochs)
    names = ["lr", "loss", "grad_norm", "grad_norm_cv", "validation_median_deg"]
    return pd.DataFrame({"epoch": range(1, epochs + 1)} | {name: rng.uniform(0.1, 90, epochs) for name in names})


def scores(names: list[str], limits: tuple[str, ...]) -> pd.DataFrame:
    rng = np.random.default_rng(len(names))
    accuracies = np.sort(rng.uniform(size=(len(names), 3)), axis=1)
    table = pd.DataFrame({"category": names, "median_deg": rng.uniform(0, 180, len(names))})
    return table.assign(**{f"acc_{limit}": column for limit, column in zip(limits, accuracies.T, strict=True)})


def by_task(names: list[str]) -> dict[str, pd.DataFrame]:
    poses = ("7_5", "15", "30")
    return {
        "rotation": scores([*names, "macro"], poses),
        "viewpoint": scores([*names, "macro"], poses),
        "normals": scores([*names, "all"], ("11_25", "22_5", "30")),
    }


def cdf(tasks: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    degrees = np.linspace(0, 180, 361)
    return {task: pd.DataFrame({"error_deg": degrees, "share": 1 - np.exp(-degrees / 20)}) for task in tasks}


def gallery(columns: int) -> pd.DataFrame:
    count = 3 * columns
    true, predicted = Rotation.random(2 * count, np.random.default_rng(columns)).as_quat().reshape(2, count, 4)
    table = pd.DataFrame({"category": (TEN * 2)[:count], "error_deg": 178.88, "rank": "best"})
    table["rank"] = np.repeat(["best", "median", "worst"], columns)
    for whose, quaternions in ("true", true), ("predicted", predicted):
        table[[f"{whose}_{name}" for name in ("qx", "qy", "qz", "qw")]] = quaternions
    return table


def draw_gallery(columns: int) -> Figure:
    return results.rotations(gallery(columns), np.full((3 * columns, SIZE, SIZE), 170, np.uint8), FOV_DEG, NOTE)


def maps(count: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """The last view shows nothing."""
    vectors = np.random.default_rng(count).normal(size=(2, count, 8, 8, 3))
    true, predicted = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    true[:, :3] = 0
    true[-1] = 0
    views = pd.DataFrame({"category": TEN[:count], "pixels": 40, "mean_deg": 101.25})
    views.loc[count - 1, ["pixels", "mean_deg"]] = 0, np.nan
    return views, np.full((count, 8, 8), 200, np.uint8), true, predicted


def noise(*shape: int) -> np.ndarray:
    """An image that is nowhere white and like no other."""
    return np.random.default_rng(shape).integers(0, 200, shape, dtype=np.uint8)


def views(count: int, size: int) -> list[np.ndarray]:
    return list(np.random.default_rng(size).integers(0, 200, (count, size, size), dtype=np.uint8))


def named(count: int) -> list[str]:
    return [f"night_stand_{mesh:04d}.v020\n-180° -90° -180°" for mesh in range(count)]


SIZES = [noise(64, 64), noise(20, 64), noise(64, 30, 3), noise(5, 5), noise(33, 21)]
LONG = [f"{'a_long_name_of_a_mesh_' * 4}{number}.v001" for number in range(6)]
SHEETS: dict[str, tuple[list[np.ndarray], list[str], int]] = {
    "20 of 64 pixels": (views(20, 64), named(20), 7),
    "100 of 64 pixels": (views(100, 64), named(100), 10),
    "20 of 224 pixels": (views(20, 224), named(20), 5),
    "many columns for few": (views(6, 224), named(6), 50),
    "one column": (views(6, 300), named(6), 1),
    "tiny": (views(30, 8), named(30), 30),
    "long labels": (views(6, 64), LONG, 3),
    "odd labels": (views(6, 64), ["$x_1^", "", "a\nb\nc", "Stühle", "%d {0} \\n", "<b>"], 3),
    "unequal sizes": (SIZES, named(5), 3),
}


def draw_sheet(name: str) -> Figure:
    images, labels, columns = SHEETS[name]
    return sheet(images, labels, "test.lmdb: 100 of 58,400 views of category chair", NOTE, columns)


NAN_LOG = log(4).assign(validation_median_deg=np.nan)
ODD = ["$x_1^", "<b>&amp;", "a very long name of a category", "Stühle", "%d {0} \\n"]
DRAWN: dict[str, Callable[[], Figure]] = {
    "cdf": lambda: results.error_cdf(cdf(("rotation", "viewpoint", "normals"))),
    "cdf of normals": lambda: results.error_cdf(cdf(("normals",))),
    "training": lambda: results.training({"rotation": log(6), "viewpoint": log(150), "normals": log(1)}),
    "training of one task without held-out meshes": lambda: results.training({"normals": NAN_LOG}),
    "ten categories": lambda: results.categories(by_task(TEN)),
    "odd categories": lambda: results.categories(by_task(ODD)),
    "one category of one task": lambda: results.categories({"rotation": by_task(["chair"])["rotation"]}),
    "gallery": lambda: draw_gallery(6),
    "gallery of one view": lambda: draw_gallery(1),
    "maps": lambda: results.normal_maps(*maps(8), NOTE),
    "map of one view": lambda: results.normal_maps(*maps(1), NOTE),
} | {f"sheet: {name}": functools.partial(draw_sheet, name) for name in SHEETS}


@pytest.mark.parametrize("name", DRAWN)
def test_no_text_is_cut_off_or_on_another(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(check_texts(DRAWN[name](), monkeypatch)) > 4


@pytest.mark.parametrize("name", ["cdf", "gallery of one view"])
def test_png_is_white_opaque_repeatable_and_holds_pixels_only(name: str) -> None:
    content = png(DRAWN[name]())
    assert content == png(DRAWN[name]())
    chunks, place = [], 8
    while place < len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        chunks.append(content[place + 4 : place + 8])
        place += size + 12
    assert set(chunks) == {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))
    assert (pixels[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all() and (pixels[..., 3] == 255).all()


def turned(quaternion: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """v + 2 w (u x v) + 2 u x (u x v) for q = (u, w)."""
    u, w = quaternion[:3], quaternion[3]
    return vector + 2 * w * np.cross(u, vector) + 2 * np.cross(u, np.cross(u, vector))


def pixel(point: np.ndarray) -> tuple[float, float]:
    """A pinhole on the z axis from which the unit sphere fills the field of view: column and row."""
    half = math.radians(FOV_DEG / 2)
    depth = 1 / math.sin(half) - point[2]
    column, row = point[0] / depth / math.tan(half), -point[1] / depth / math.tan(half)
    return (column + 1) * SIZE / 2, (row + 1) * SIZE / 2


def arrows(axes: Axes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Start and tip by name."""
    found = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    return {str(arrow.get_gid()): vars(arrow)["_posA_posB"] for arrow in found}


def test_arrows_point_along_the_axes_of_the_object() -> None:
    views, figure = gallery(2), draw_gallery(2)
    assert len(figure.axes) == len(views) == 6
    for axes, view in zip(figure.axes, views.to_dict("records"), strict=True):
        found = arrows(axes)
        assert len(found) == 6
        for whose, (name, direction) in itertools.product(("true", "predicted"), zip("xyz", np.eye(3), strict=True)):
            quaternion = np.array([view[f"{whose}_{part}"] for part in ("qx", "qy", "qz", "qw")])
            start, tip = found[f"{whose} {name}"]
            assert start == pytest.approx((SIZE / 2, SIZE / 2))
            assert tip == pytest.approx(pixel(results.AXIS_LENGTH * turned(quaternion, direction)))


def test_an_upright_object_seen_from_its_front() -> None:
    """R = Rx(-90 degrees): z points up in the image, x to the right, y away from the viewer."""
    half = math.sqrt(0.5)
    views = gallery(1)
    views[["true_qx", "true_qy", "true_qz", "true_qw"]] = -half, 0.0, 0.0, half
    figure = results.rotations(views, np.zeros((3, SIZE, SIZE), np.uint8), FOV_DEG, NOTE)
    axes = figure.axes[0]
    found, middle = arrows(axes), SIZE / 2
    assert found["true z"][1][0] == pytest.approx(middle) and 0 < found["true z"][1][1] < middle / 4
    assert found["true x"][1][1] == pytest.approx(middle) and SIZE > found["true x"][1][0] > SIZE - middle / 4
    assert found["true y"][1] == pytest.approx((middle, middle))
    assert axes.get_xlim() == (0, SIZE) and axes.get_ylim() == (SIZE, 0)
    assert tuple(axes.images[0].get_extent()) == (0, SIZE, SIZE, 0)


def test_truth_is_solid_and_prediction_dashed() -> None:
    for patch in draw_gallery(1).axes[0].patches:
        assert (patch.get_linestyle() in ("-", "solid")) == str(patch.get_gid()).startswith("true")


def test_titles_of_the_gallery_are_those_of_its_rows() -> None:
    titles = [axes.get_title() for axes in draw_gallery(2).axes]
    assert titles == [f"{name} 178.9°" for name in TEN[:6]]


def test_maps_show_normals_as_colours_and_the_angle_between_them() -> None:
    views, images, true, predicted = maps(3)
    figure = results.normal_maps(views, images, true, predicted, NOTE)
    grid = np.array(figure.axes[:12]).reshape(4, 3)
    for column in range(2):
        shown = [axes.images[0].get_array() for axes in grid[:, column]]
        for row, place in itertools.product(range(8), range(8)):
            n, p = true[column, row, place], predicted[column, row, place]
            if row < 3:
                assert shown[1][row, place].tolist() == shown[2][row, place].tolist() == [1, 1, 1]
                assert np.ma.getmaskarray(np.ma.masked_invalid(shown[3]))[row, place]
            else:
                assert shown[1][row, place].tolist() == pytest.approx([(c + 1) / 2 for c in n], abs=1e-6)
                assert shown[2][row, place].tolist() == pytest.approx([(c + 1) / 2 for c in p], abs=1e-6)
                angle = math.degrees(math.acos(sum(a * b for a, b in zip(n, p, strict=True))))
                assert shown[3][row, place] == pytest.approx(angle, abs=1e-4)
    assert [axes.get_title() for axes in grid[0]] == ["bathtub\nmean 101.2°", "bed\nmean 101.2°", "chair\nno object"]


@pytest.mark.parametrize("degrees", [0, 1e-6, 1, 90, 179.999999, 180])
def test_angles_are_accurate_at_both_ends(degrees: float) -> None:
    a = np.array([[1.0, 0, 0]])
    b = np.array([[math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0]])
    assert results.angles_deg(a, b)[0] == pytest.approx(degrees, abs=1e-12)


def test_curves_are_those_of_the_tables() -> None:
    tables = cdf(("rotation", "normals"))
    lines = {line.get_label(): line.get_xydata() for line in results.error_cdf(tables).axes[0].lines}
    for task, table in tables.items():
        assert np.array_equal(lines[task], table.to_numpy())


def test_chance_is_the_share_of_random_rotations() -> None:
    (line,) = (line for line in DRAWN["cdf"]().axes[0].lines if line.get_label() == "random rotations")
    angles = np.degrees(Rotation.random(20_000, np.random.default_rng(0)).magnitude())
    degrees, shares = np.array(line.get_xydata()).T
    found = np.searchsorted(np.sort(angles), degrees) / len(angles)
    assert np.abs(found - shares).max() < 1.63 / math.sqrt(len(angles))  # Kolmogorov and Smirnov, 1 %


def test_training_curves_are_those_of_the_log() -> None:
    table = log(5)
    loss, norm, error = results.training({"rotation": table}).axes
    for axes, name in (loss, "loss"), (norm, "grad_norm"), (error, "validation_median_deg"):
        assert np.array_equal(axes.lines[0].get_xydata(), table[["epoch", name]].to_numpy())
        assert axes.get_ylim()[0] == 0
    band = norm.collections[0].get_paths()[0].get_extents()
    assert band.y1 == pytest.approx((table["grad_norm"] * (1 + table["grad_norm_cv"])).max())
    assert band.y0 == 0  # the norm is not negative, whatever its deviation


def bars(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_bars_are_as_long_as_the_metrics() -> None:
    tables = by_task(TEN)
    figure = results.categories(tables)
    for place, table in enumerate(tables.values()):
        above, below = figure.axes[place], figure.axes[place + 3]
        assert [bar.get_width() for bar in bars(above)] == table["median_deg"].tolist()
        longest_first = table.iloc[:, :1:-1].to_numpy().T.ravel()
        assert [bar.get_width() for bar in bars(below)] == longest_first.tolist()
        for axes in above, below:
            assert [label.get_text() for label in axes.get_yticklabels()] == table["category"].tolist()
            assert axes.yaxis_inverted()
    legends = [axes.get_legend() for axes in figure.axes[3:]]
    labels = [[text.get_text() for text in legend.get_texts()] for legend in legends if legend is not None]
    assert labels == [["< 7.5°", "< 15°", "< 30°"]] * 2 + [["< 11.25°", "< 22.5°", "< 30°"]]


def test_odd_names_are_shown_as_they_are() -> None:
    labels = DRAWN["odd categories"]().axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == [
        "$x_1^",
        "<b>&amp;",
        "a very long n…",
        "Stühle",
        "%d {0} \\n",
        "macro",
    ]
    assert not any(label.get_parse_math() for label in labels)


def test_errors_of_zero_have_bars_from_zero() -> None:
    table = scores(["chair", "macro"], ("7_5", "15", "30")).assign(median_deg=0.0)
    assert results.categories({"rotation": table}).axes[0].get_xlim()[0] == 0


def found(image: np.ndarray, picture: np.ndarray) -> list[tuple[int, int]]:
    """Rows and columns where an image stands in a picture."""
    (height, width), (rows, columns) = image.shape[:2], picture.shape[:2]
    may = np.ones((rows - height + 1, columns - width + 1), bool)
    for y, x in itertools.product((0, height - 1), (0, width - 1)):  # what has the same corners is compared in full
        may &= picture[y : y + may.shape[0], x : x + may.shape[1], 0] == image[y, x, 0]
    return [(y, x) for y, x in np.argwhere(may).tolist() if (picture[y : y + height, x : x + width] == image).all()]


@pytest.mark.parametrize("name", SHEETS)
def test_a_sheet_shows_each_image_pixel_for_pixel_above_its_label(name: str) -> None:
    images, labels, columns = SHEETS[name]
    figure = draw_sheet(name)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[..., :3]
    assert picture.shape[:2] == (round(figure.bbox.height), round(figure.bbox.width))
    factor = max(1, 128 // max(max(image.shape[:2]) for image in images))
    places = []
    for image in images:
        colours = np.kron(np.atleast_3d(image), np.ones((factor, factor, 1), int)) * np.ones(3, int)
        (place,) = found(colours, picture)
        places.append((*place, *colours.shape[:2]))
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in figure.texts]  # their y is from the bottom
    texts = [text.get_text() for text in figure.texts]
    for number, ((y, x, height, width), label) in enumerate(zip(places, labels, strict=True)):
        assert number == 0 or (places[number - 1][1] < x) == (number % columns > 0)  # from left to right, then below
        assert number < columns or places[number - columns][0] + places[number - columns][2] < y
        box = boxes[number]
        assert texts[number].split("\n")[-1][-5:] == label.split("\n")[-1][-5:]
        if label:
            assert abs((box.x0 + box.x1) / 2 - (x + width / 2)) <= 1
            assert 0 <= figure.bbox.height - box.y1 - (y + height) < 70
        for other in boxes:
            top, bottom = figure.bbox.height - other.y1, figure.bbox.height - other.y0
            assert other.x1 <= x or other.x0 >= x + width or bottom <= y or top >= y + height
    assert texts[-2] == "test.lmdb: 100 of 58,400 views of category chair"
    assert texts[-1].replace("\n", " ") == NOTE


def test_a_sheet_is_whole_where_inches_are_not() -> None:
    """As 1.13 inches of 100 pixels are 112.99999999999999 pixels."""
    widths = [width for width in range(600, 1500) if int(width / 100 * 100) < width][:3]
    assert len(widths) == 3
    for width in widths:
        image = noise(20, width - 34)  # 2 of its frame and 32 of margins
        figure = sheet([image], ["a"], "a", "a", 1)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        picture = np.asarray(canvas.buffer_rgba())
        assert picture.shape[1] == width and len(found(np.dstack([image] * 3), picture[..., :3])) == 1


def test_a_sheet_keeps_the_ends_of_long_labels() -> None:
    assert draw_sheet("long labels").texts[5].get_text() == f"{LONG[5][:15]}…{LONG[5][-16:]}"
    assert draw_sheet("odd labels").texts[2].get_text() == "a\nb\nc"
