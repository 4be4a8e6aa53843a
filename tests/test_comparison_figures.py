"""The figures that compare heads: what they show is what the tables say, from one row to extremes."""

import itertools
import math
import re
from collections.abc import Callable, Iterable
from functools import cache
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.spatial.transform import Rotation

from sphreg.figures import comparison, signs, sphere, svg
from sphreg.figures.comparison import NEAR_SYMMETRIC
from sphreg.figures.looks import COLOURS, fitted, looks
from sphreg.figures.signs import Point
from sphreg.runs import row_name
from tests.overlap import check_texts

TEN = ["bathtub", "bed", "chair", "desk", "dresser", "monitor", "night_stand", "sofa", "table", "toilet"]
HEADS = ["direct", "flat", "sexp"]
ODD = ["<b>&amp;\"'</b>", "$x_1^", "--><script>", "a very long name of a head", "%d {0} \\n", "Kopf äöü", "7", "8"]
QUATERNION = [Point("sign_class", "quaternion", ("x", "y", "z"))]
ANGLES = [Point(f"{name}_sign_class", name, ("cos", "sin")) for name in ("azimuth", "elevation", "tilt")]
METRICS = {"median_deg": "median error (°)", "acc_30": "share of errors < 30°"}


# One head alone, one with variants that differ at the end, and names that are far too long.
LONG = "a head whose name alone is longer than sixty characters, as somebody may well have it"
VARIANTS = [
    *[("direct", ""), ("sexp", "per_category True"), ("sexp", "per_category False"), ("sexp", "lr 0.003")],
    *[(LONG, f"head_settings.sexp.rotation.absolute cross_entropy, lr {rate}") for rate in (0.1, 0.01)],
    *[("W" * 70, ""), ("flat", "")],
]
NAMES = [row_name(head, variant) for head, variant in VARIANTS]


def alone(heads: Iterable[str]) -> list[tuple[str, str]]:
    """Heads without variants."""
    return [(head, "") for head in heads]


def runs(heads: Iterable[str], seeds: int) -> list[tuple[str, int]]:
    return [(head, seed) for head in heads for seed in range(seeds)]


def views(
    heads: list[str],
    seeds: int = 1,
    count: int = 60,
    error: Callable[[np.random.Generator, int], np.ndarray] | None = None,
) -> pd.DataFrame:
    """As `sphreg.page.results.errors` gives them."""
    rng = np.random.default_rng(0)
    angles = np.degrees(Rotation.random(count, rng).as_euler("ZXZ"))
    true = pd.DataFrame({"azimuth_deg": angles[:, 0], "elevation_deg": angles[:, 1] - 90, "tilt_deg": angles[:, 2]})
    true["elevation_deg"] = rng.uniform(-90, 90, count)
    true["angle_deg"] = rng.uniform(0, 180, count)
    parts = []
    for head, seed in runs(heads, seeds):
        part = true.assign(
            head=head, seed=seed, error_deg=(error or (lambda rng, n: rng.uniform(0, 180, n)))(rng, count)
        )
        for name in sphere.ANGLES:
            part[f"predicted_{name}"] = true[name] + rng.normal(0, 20, count)
        part["predicted_elevation_deg"] = part["predicted_elevation_deg"].clip(-90, 90)
        for point, classes in ("sign_class", 8), *((point.column, 4) for point in ANGLES):
            part[f"true_{point}"] = rng.integers(0, classes, count)
            part[f"predicted_{point}"] = rng.integers(0, classes, count)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def cdf(heads: list[str], seeds: int = 1, degrees: float | None = None) -> pd.DataFrame:
    angles = np.linspace(0, 180, 361)
    shares = [angles >= degrees if degrees is not None else 1 - np.exp(-angles / (20 + i)) for i in range(99)]
    parts = [
        pd.DataFrame({"head": head, "seed": seed, "error_deg": angles, "share": shares[place].astype(float)})
        for place, (head, seed) in enumerate(runs(heads, seeds))
    ]
    return pd.concat(parts, ignore_index=True)


def scores(heads: list[str], names: list[str], seeds: int = 1, degrees: float | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = []
    for head, seed in runs(heads, seeds):
        for name in [*names, "all"]:
            median, share = (rng.uniform(0, 180), rng.uniform()) if degrees is None else (degrees, float(degrees < 30))
            rows.append((head, seed, name, median, share))
    return pd.DataFrame(rows, columns=["head", "seed", "category", "median_deg", "acc_30"])


def logs(heads: list[str], seeds: int = 1, epochs: int = 4, constant: float | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    names = ["loss", "grad_norm", "grad_norm_cv", "validation_median_deg"]
    parts = []
    for head, seed in runs(heads, seeds):
        values = {name: rng.uniform(0.01, 3, epochs) if constant is None else constant for name in names}
        parts.append(pd.DataFrame({"head": head, "seed": seed, "epoch": range(1, epochs + 1)} | values))
    return pd.concat(parts, ignore_index=True)


def by_head(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(head): group for head, group in table.groupby("head", sort=False)}


def maps(heads: list[str], count: int) -> Figure:
    """The last view shows nothing."""
    vectors = np.random.default_rng(count).normal(size=(1 + len(heads), count, 8, 8, 3))
    true, *predicted = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    true[:, :3] = 0
    true[-1] = 0
    images = np.full((count, 8, 8), 200, np.uint8)
    return comparison.normal_maps(TEN[:count], images, true, dict(zip(heads, predicted, strict=True)))


def figures(
    heads: list[str],
    seeds: int = 1,
    names: list[str] = TEN,
    count: int = 60,
    epochs: int = 4,
    degrees: float | None = None,
) -> dict[str, Callable[[], Figure]]:
    """Every figure, from the same heads."""
    look = looks(alone(heads))
    constant = None if degrees is None else (lambda _, n: np.full(n, degrees))

    def table() -> pd.DataFrame:
        return views(heads, seeds, count, constant)

    return {
        "error_cdf": lambda: comparison.error_cdf(cdf(heads, seeds, degrees), look, chance=True),
        "categories": lambda: comparison.categories(
            scores(heads, names, seeds, degrees), look, METRICS, NEAR_SYMMETRIC
        ),
        "by_angle": lambda: comparison.by_angle(table(), look, "angle_deg", "rotation angle", (0, 180)),
        "by_elevation": lambda: comparison.by_angle(table(), look, "elevation_deg", "elevation", (-90, 90)),
        "training": lambda: comparison.training(logs(heads, seeds, epochs, degrees), look, "loss", "loss"),
        "gradient_norm": lambda: comparison.gradient_norm(logs(heads, seeds, epochs, degrees), look),
        "signs of rotation": lambda: signs.confusion(by_head(table()), QUATERNION),
        "signs of viewpoint": lambda: signs.confusion(by_head(table()), ANGLES),
        "sphere": lambda: sphere.rotations(by_head(table().groupby(["head", "seed"]).head(16))),
        "normal_maps": lambda: maps(heads, min(3, count)),
    }


CASES: dict[str, Callable[[], dict[str, Callable[[], Figure]]]] = {
    "three heads, three seeds, ten categories": lambda: figures(HEADS, 3),
    "one row": lambda: figures(["sexp"], 1, ["chair"], 1, 1),
    "one category": lambda: figures(HEADS, 1, ["chair"]),
    "all errors 0": lambda: figures(HEADS, 2, TEN, 30, 3, 0.0),
    "all errors 180": lambda: figures(HEADS, 2, TEN, 30, 3, 180.0),
    "odd names": lambda: figures(ODD[:4], 1, ODD[:4]),
    "rows with variants and long names": lambda: figures(NAMES[1:6], 2),
    "eight rows, all of them": lambda: figures(NAMES),
    "150 epochs": lambda: figures(HEADS, 1, TEN, 40, 150),
}
DRAWN_NAMES = list(figures(HEADS))
# What a case changes something of, if not of all figures.
OF_EPOCHS, OF_ERRORS = ["training", "gradient_norm"], [name for name in DRAWN_NAMES if name != "normal_maps"]
ALONE = {"150 epochs": OF_EPOCHS, "one category": OF_ERRORS, "all errors 0": OF_ERRORS, "all errors 180": OF_ERRORS}
DRAWN = [(case, name) for case in CASES for name in ALONE.get(case, DRAWN_NAMES)]


@cache
def texts(case: str, name: str) -> list[str]:
    """Of a figure, in which all can be read."""
    with pytest.MonkeyPatch.context() as patch:
        return check_texts(CASES[case]()[name](), patch)


@pytest.mark.parametrize(("case", "name"), DRAWN)
def test_every_figure_can_be_read(case: str, name: str) -> None:
    assert len(texts(case, name)) >= 3


@pytest.mark.parametrize("name", ["error_cdf", "signs of rotation", "sphere", "normal_maps"])
@pytest.mark.parametrize("case", ["three heads, three seeds, ten categories", "odd names", "one row"])
def test_drawings_are_well_formed_repeatable_and_ask_for_nothing(case: str, name: str) -> None:
    text = svg(CASES[case]()[name](), "fig")
    assert text == svg(CASES[case]()[name](), "fig")
    root = ElementTree.fromstring(text)
    names = {element.get("id") for element in root.iter() if element.get("id")}
    assert names and all(str(name).startswith("fig-") for name in names)
    links = re.findall(r'href="([^"]*)"', text) + [f"#{name}" for name in re.findall(r"url\(#([^)]*)\)", text)]
    assert all(link.startswith("data:image/png") or link[1:] in names for link in links)
    assert "<!--" not in text and "<metadata" not in text and "<script" not in text
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {
        *("svg", "g", "path", "use", "defs", "style", "clipPath", "rect", "image", "linearGradient", "stop"),
    }


def test_looks_differ_and_what_comes_later_changes_nothing() -> None:
    rows = alone(f"head {number}" for number in range(20))
    found = looks(rows)
    assert list(found) == [head for head, _ in rows] and len(set(found.values())) == 20
    assert looks(rows[:3]) == {head: found[head] for head, _ in rows[:3]}


def test_rows_of_one_head_have_one_colour_and_other_dashes_in_all_tasks() -> None:
    """`sexp` stands alone in one task, and with variants in another."""
    one, other = [("direct", ""), ("sexp", "")], [("flat", ""), ("sexp", "lr 1"), ("direct", ""), ("sexp", "lr 2")]
    found = looks([*one, *other])
    assert list(found) == ["direct", "sexp", "flat", "sexp (lr 1)", "sexp (lr 2)"]
    sexp = [look for name, look in found.items() if name.startswith("sexp")]
    assert len({look.colour for look in sexp}) == 1
    assert len({look.dashes for look in sexp}) == len({look.hatch for look in sexp}) == 3
    assert len({look.colour for look in found.values()}) == 3
    assert found["direct"].dashes == found["sexp"].dashes == found["flat"].dashes == "-"


def test_variants_do_not_take_the_looks_of_a_head_whose_colour_came_again() -> None:
    colours = len(COLOURS)
    found = looks([*(("0", f"lr {number}") for number in range(3)), *alone(map(str, range(1, colours + 1)))])
    again = found[str(colours)]
    assert again.colour == found["0 (lr 0)"].colour and len(set(found.values())) == 3 + colours


@pytest.mark.parametrize("name", DRAWN_NAMES)
def test_names_of_rows_can_be_told_apart_in_every_figure(name: str) -> None:
    """Without line breaks, each of them is found as it is; what belongs to another row is no part of it."""
    found = ["".join(text.split()) for text in texts("eight rows, all of them", name)]
    for row in NAMES:
        assert any(text.startswith("".join(row.split())) for text in found), row


def test_of_a_very_long_name_both_ends_are_shown() -> None:
    lines = fitted("a" * 300 + "b" * 300, 2.0, 8.0).split("\n")
    text = "".join(lines)
    assert text == "a" * 80 + "…" + "b" * 80 and len(lines) > 3


@pytest.mark.parametrize("name", [*NAMES, "W" * 70, "i" * 70, "", " ", "(", "a (b (c", "two words"])
@pytest.mark.parametrize("room", [0.5, 2.0, 20.0])
def test_lines_of_names_fit(name: str, room: float) -> None:
    """Measured as they are drawn, in whole pixels for each letter."""
    text = fitted(name, room, 8.0)
    drawn = Figure(dpi=100).text(0, 0, text, fontsize=8).get_window_extent()
    assert drawn.width <= 104 * room + 2 and "".join(text.split()) == "".join(name.split())


def luminance(colour: str) -> float:
    """As WCAG 2 defines it, in a loop."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: str, other: str) -> float:
    a, b = sorted([luminance(one), luminance(other)])
    return (b + 0.05) / (a + 0.05)


def test_colours_stand_out_from_the_page_in_the_light_and_in_the_dark() -> None:
    """By 3, as WCAG 2 asks for what is no text; in the dark, the page is nearly black."""
    tilts = [to_hex(colour) for colour in sphere.tilt_colours()(np.linspace(0, 1, 100))]
    assert len(set(tilts)) > 50 and tilts[0] == tilts[-1]
    for colour in *COLOURS, *tilts:
        assert contrast(colour, "#ffffff") >= 3 and contrast(colour, "#16181b") >= 3, colour


def test_numbers_stand_out_from_their_cells() -> None:
    """Cells of 0 to 100 %: of true class 0 a share is predicted as 1."""
    for wrong in range(0, 101, 5):
        predicted = np.repeat([1, 0], [wrong, 100 - wrong])
        table = pd.DataFrame({"true_sign_class": 0, "predicted_sign_class": predicted})
        axes = signs.confusion({"sexp": table}, QUATERNION).axes[0]
        colours = {round(patch.get_x() + 0.5): to_hex(patch.get_facecolor()) for patch in axes.patches}
        for text in axes.texts:
            assert contrast(text.get_color(), colours[text.get_position()[0]]) >= 4.5


def test_curves_are_means_of_the_seeds() -> None:
    table = cdf(HEADS, 3)
    axes = comparison.error_cdf(table, looks(alone(HEADS)), chance=False).axes[0]
    assert [line.get_label() for line in axes.lines] == HEADS
    for line, band in zip(axes.lines, axes.collections, strict=True):
        own = table[table["head"] == line.get_label()]
        for degrees in 0, 15.5, 90:
            values = own[own["error_deg"] == degrees]["share"].tolist()
            drawn = dict(np.array(line.get_xydata()).tolist())
            assert drawn[degrees] == pytest.approx(sum(values) / 3)
            outline = np.array(band.get_paths()[0].vertices)
            drawn_at = outline[outline[:, 0] == degrees, 1]
            assert [drawn_at.min(), drawn_at.max()] == pytest.approx([min(values), max(values)])


def test_bars_are_means_of_the_seeds_and_near_symmetric_categories_have_a_star() -> None:
    table = scores(HEADS, TEN, 3)
    figure = comparison.categories(table, looks(alone(HEADS)), METRICS, NEAR_SYMMETRIC)
    for axes, metric in zip(figure.axes, METRICS, strict=True):
        bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        expected = [
            table[(table["head"] == head) & (table["category"] == name)][metric].sum() / 3
            for head in HEADS
            for name in [*TEN, "all"]
        ]
        assert [bar.get_width() for bar in bars] == pytest.approx(expected)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    starred = {"bathtub", "desk", "dresser", "night_stand", "table"}
    assert labels == [f"{name} *" if name in starred else name for name in [*TEN, "all"]]


def test_medians_by_angle_are_those_of_groups_of_equal_size() -> None:
    table = views(["sexp"], count=120)
    line = comparison.by_angle(table, looks([("sexp", "")]), "angle_deg", "angle", (0, 180)).axes[0].lines[0]
    ordered = sorted(zip(table["angle_deg"], table["error_deg"], strict=True))
    groups = [ordered[start : start + 10] for start in range(0, 120, 10)]
    expected = [
        [(sorted(pair[side] for pair in group)[4] + sorted(pair[side] for pair in group)[5]) / 2 for side in (0, 1)]
        for group in groups
    ]
    assert np.array(line.get_xydata()) == pytest.approx(np.array(expected))


def test_views_without_error_are_left_out_by_angle() -> None:
    table = views(["sexp"], count=24)
    table.loc[::2, "error_deg"] = np.nan
    line = comparison.by_angle(table, looks([("sexp", "")]), "angle_deg", "angle", (0, 180)).axes[0].lines[0]
    assert np.array(line.get_xydata())[:, 1].tolist() == table[1::2].sort_values("angle_deg")["error_deg"].tolist()


def test_confusion_shares_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(3)
    true, predicted = rng.integers(0, 7, 500), rng.integers(0, 8, 500)
    shares = signs.confusion_shares(true, predicted, 8)
    for one in range(7):
        rows = [p for t, p in zip(true, predicted, strict=True) if t == one]
        assert shares[one].tolist() == pytest.approx([rows.count(other) / len(rows) for other in range(8)])
    assert np.isnan(shares[7]).all()


def test_cells_stand_where_their_labels_say() -> None:
    """A true class 1, `-++`, that is taken for 4, `++-`, in one of four views."""
    table = pd.DataFrame({"true_sign_class": [1, 1, 1, 1, 0], "predicted_sign_class": [1, 1, 1, 4, 0]})
    axes = signs.confusion({"sexp": table}, QUATERNION).axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    columns = [label.get_text().replace("\n", "") for label in axes.get_xticklabels()]
    assert rows == ["+++", "-++"] and columns == ["+++", "-++", "++-"]
    cells = {(rows[round(t.get_position()[1])], columns[round(t.get_position()[0])]): t.get_text() for t in axes.texts}
    assert cells == {("+++", "+++"): "100", ("-++", "-++"): "75", ("-++", "++-"): "25"}
    assert axes.get_title() == "sexp\n80 % right"


def test_neighbouring_classes_differ_in_one_sign() -> None:
    for bits in 1, 2, 3:
        order = signs.gray_code(bits)
        assert sorted(order) == list(range(2**bits))
        assert all((a ^ b).bit_count() == 1 for a, b in zip(order, [*order[1:], order[0]], strict=True))
    assert [signs.sign_label(code, 3) for code in (0, 1, 2, 4, 7)] == ["+++", "-++", "+-+", "++-", "---"]


def haversine(one: np.ndarray, other: np.ndarray) -> float:
    (h1, e1), (h2, e2) = one, other
    a = math.sin((e2 - e1) / 2) ** 2 + math.cos(e1) * math.cos(e2) * math.sin((h2 - h1) / 2) ** 2
    return 2 * math.asin(math.sqrt(min(1.0, a)))


@pytest.mark.parametrize("seed", range(20))
def test_lines_are_the_shortest_ways(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.uniform([-np.pi, -np.pi / 2], [np.pi, np.pi / 2], (2, 2))
    path = sphere.great_circle(one, other)
    points = path[~np.isnan(path).any(axis=1)]
    assert points[0] == pytest.approx(one) and points[-1] == pytest.approx(other)
    steps = [haversine(a, b) for a, b in itertools.pairwise(points)]
    assert sum(steps) == pytest.approx(haversine(one, other), abs=1e-6)
    assert np.nanmax(np.abs(np.diff(path[:, 0]))) <= np.pi


@pytest.mark.parametrize("place", [(0.3, 0.2), (-3.0, -1.5), (0.0, math.pi / 2)])
def test_a_line_to_the_same_place_is_a_point(place: tuple[float, float]) -> None:
    path = sphere.great_circle(np.array(place), np.array(place))
    assert np.abs(path[:, 1] - place[1]).max() < 1e-6


def test_rings_are_the_truth_and_points_the_predictions() -> None:
    table = views(["sexp"], count=5)
    rings, points = sphere.rotations({"sexp": table}).axes[0].collections
    assert np.degrees(np.array(rings.get_offsets())) == pytest.approx(
        table[["azimuth_deg", "elevation_deg"]].to_numpy()
    )
    predicted = table[["predicted_azimuth_deg", "predicted_elevation_deg"]].to_numpy()
    assert np.degrees(np.array(points.get_offsets())) == pytest.approx(predicted)
    assert len(rings.get_facecolor()) == 0 and len(points.get_facecolor()) == 5


def test_maps_of_each_head_are_its_own() -> None:
    figure = maps(HEADS, 2)
    grid = np.array(figure.axes[:16]).reshape(8, 2)
    assert [axes.get_ylabel() for axes in grid[:, 0]] == [
        *("image", "truth", "direct", "error", "flat", "error", "sexp", "error")
    ]
    vectors = np.random.default_rng(2).normal(size=(4, 2, 8, 8, 3))
    true, *predicted = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    for place, normals in enumerate(predicted):
        shown, error = (grid[row, 0].images[0].get_array() for row in (2 + 2 * place, 3 + 2 * place))
        n, p = true[0, 5, 6], normals[0, 5, 6]
        assert shown[5, 6].tolist() == pytest.approx([(c + 1) / 2 for c in p], abs=1e-6)
        assert error[5, 6] == pytest.approx(math.degrees(math.acos(sum(a * b for a, b in zip(n, p, strict=True)))))
        assert shown[0, 0].tolist() == [1, 1, 1] and np.ma.getmaskarray(np.ma.masked_invalid(error))[0, 0]
