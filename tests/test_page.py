"""The page of all heads, on results that are made up: all is there, and nothing of it is taken for HTML."""

import base64
import io
import json
import re
import shlex
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from benchmarks.packed import info_of
from benchmarks.report import NOTE, make, write
from benchmarks.results import write_result
from sphreg.comparison import Comparison, Difference, Estimate, Pair, Row, Scored, compare
from sphreg.comparison_tables import Table, overview_table, pair_table, published_tables, row_table
from sphreg.errors import UserError
from sphreg.info import read_info
from sphreg.page import as_texts
from sphreg.page.gallery import Meshes, gallery, signs_right
from sphreg.page.highlights import write_highlights
from sphreg.page.results import errors, scores
from sphreg.page.study import study as study_of
from sphreg.render.camera import Camera
from sphreg.runs import Run, runs_in
from sphreg.views import Views

TASKS = ("rotation", "viewpoint", "normals")
EVIL = "<b>\"x\" & 'y'</b>--><script>alert(1)</script>{{ 7 * 7 }}"
SIZE = 32


def written(folder: Path, heads: Sequence[str], categories: Sequence[str], views: int, tasks: Sequence[str]) -> Path:
    """One seed, a mesh of each category."""
    make(folder, categories, len(categories), views, SIZE, 3, heads, [0], tasks)
    write(folder, heads, [0], tasks)
    return folder


class Page(HTMLParser):
    """Elements with their attributes, and the text of each."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] not in ("style", "script"):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read(folder: Path) -> Page:
    return Page((folder / "reports" / "index.html").read_text())


def test_it_asks_nothing_of_any_network(study: Path) -> None:
    page = read(study)
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            value = attributes.get(name, "#")
            assert value.startswith(("#", "data:")), (tag, name, value)
    text = (study / "reports" / "index.html").read_text()
    assert not re.search(r"@import|url\((?!#)", text)
    policy = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert len(policy) == 1 and policy[0].startswith("default-src 'none'; img-src data:")


def test_every_picture_has_a_text(study: Path) -> None:
    page = read(study)
    drawings = [attributes for attributes in page.all("div") if attributes.get("role") == "img"]
    assert len(drawings) == len(page.all("svg")) == 10 + 10 + 9
    assert all(len(attributes["aria-label"]) > 20 for attributes in drawings)
    pictures = page.all("img")
    assert pictures and all(len(attributes["alt"]) > 10 for attributes in pictures)


def test_every_picture_of_the_gallery_is_an_image(study: Path) -> None:
    pictures = read(study).all("img")
    assert len(pictures) == 2 * 3 * 2 * 3 * 2 * 4  # tasks, heads, categories, ranks, both, views of each
    for attributes in pictures[::7]:
        start, _, content = attributes["src"].partition(",")
        assert start == "data:image/jpeg;base64"
        assert Image.open(io.BytesIO(base64.b64decode(content))).size == (SIZE, SIZE)


def test_links_on_the_page_have_a_target_and_names_are_unique(study: Path) -> None:
    page = read(study)
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    links = [
        attributes[name] for _, attributes in page.elements for name in ("href", "xlink:href") if name in attributes
    ]
    assert {link.removeprefix("#") for link in links if link.startswith("#")} <= set(names)


def test_figures_are_files_too(study: Path) -> None:
    files = sorted(str(path.relative_to(study / "reports" / "figures")) for path in (study / "reports").rglob("*.svg"))
    assert len(files) == 29 and "rotation/error_cdf.svg" in files and "normals/normal_maps.svg" in files


def test_same_results_same_bytes(tmp_path: Path) -> None:
    folder = written(tmp_path, ["flat", "sexp"], ["chair"], 3, ["viewpoint"])
    before = {path: path.read_bytes() for path in (folder / "reports").rglob("*") if path.is_file()}
    write(folder, ["flat", "sexp"], [0], ["viewpoint"])
    assert before == {path: path.read_bytes() for path in (folder / "reports").rglob("*") if path.is_file()}


def test_names_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    page = read(written(tmp_path, [EVIL, "sexp"], ["chair", '<i>"so&fa'], 1, ["rotation", "normals"]))
    assert len(page.all("script")) == 1 and not page.all("b") and not page.all("i")
    text = "".join(page.text)
    assert EVIL in text and '<i>"so&fa' in text and "49" not in re.findall(r"\{\{.{0,9}", text)
    labels = [attributes["aria-label"] for attributes in page.all("div") if "aria-label" in attributes]
    assert any(EVIL in label for label in labels)


def test_one_view_of_one_mesh_with_one_head(tmp_path: Path) -> None:
    page = read(written(tmp_path, ["sexp"], ["chair"], 1, TASKS))
    assert len(page.all("img")) == 2 * 3 * 2
    assert "1 test view of 1 mesh" in "".join(page.text)


def row_of(study: Path, task: str, head: str = "1", seeds: Sequence[int] = (0, 1)) -> Row:
    """The row of a head; their folders are numbered, and here their names, too."""
    info = read_info(study / "so3")
    folders = {seed: study / "results" / head / str(seed) / task for seed in seeds}
    runs = [Run("here", None, task, head, seed, {}, {}, {}, str(folder), "") for seed, folder in folders.items()]
    (row,) = compare([Scored(run, Path(run.folder), info) for run in runs]).rows
    return row


def test_highlights_are_pictures_and_markdown_that_shows_them(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = {}
    for task in TASKS:
        rows = [row_of(study, task, head) for head in "012"]
        found[task] = Comparison(task, rows, [], [])
    write_highlights(study_of(found, study / "so3", study / "meshes"), Path("metrics/heads"))
    text = Path("metrics/heads/teaser.md").read_text() + Path("metrics/heads/figures.md").read_text()
    shown = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", text)
    assert {path for _, path in shown} == {str(path) for path in Path("metrics/heads").glob("*.png")}
    assert len(shown) == 6 and shown[0][1] == "metrics/heads/teaser.png"
    medians = [
        statistics.fmean(
            json.loads((study / "results" / head / seed / "rotation" / "metrics.json").read_text())["macro"][
                "median_deg"
            ]
            for seed in "01"
        )
        for head in "012"
    ]
    assert shown[0][0].endswith(
        "Median error of rotation: " + ", ".join(f"{i} {median:.1f}°" for i, median in enumerate(medians)) + "."
    )
    for _, path in shown:
        with Image.open(path) as image:
            width, height = image.size
        assert 300 < width < 1300 and 200 < height < 1300


def test_highlights_of_normals_alone(study: Path, tmp_path: Path) -> None:
    found = {"normals": Comparison("normals", [row_of(study, "normals")], [], [])}
    write_highlights(study_of(found, study / "so3", study / "meshes"), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"figures.md", "normals-normal_maps.png"}


def test_scores_are_those_of_the_files(study: Path) -> None:
    for task in TASKS:
        table = scores([row_of(study, task)])
        assert table["category"].tolist() == ["chair", "table", "all"] * 2
        overall = "all" if task == "normals" else "macro"
        for seed, group in table.groupby("seed"):
            metrics = json.loads((study / "results" / "1" / str(seed) / task / "metrics.json").read_text())
            for (_, row), name in zip(group.iterrows(), ["chair", "table", overall], strict=True):
                assert row[list(metrics[name])].to_dict() == metrics[name]


def test_angles_of_views_are_those_of_scipy(study: Path) -> None:
    views = pd.read_csv(study / "so3" / "test.csv")
    table = errors([row_of(study, "rotation", seeds=[0])], views)
    expected = np.degrees(Rotation.from_quat(views[["qx", "qy", "qz", "qw"]].to_numpy()).magnitude())
    assert table["key"].tolist() == views["key"].tolist()
    assert table["angle_deg"].to_numpy() == pytest.approx(expected, abs=1e-9)
    assert table["elevation_deg"].tolist() == views["elevation_deg"].tolist()


def test_other_views_than_those_of_the_dataset_are_an_error(study: Path) -> None:
    views = pd.read_csv(study / "so3" / "test.csv")
    with pytest.raises(UserError, match="tested on other views than those of the dataset"):
        errors([row_of(study, "rotation")], views[1:])


def test_runs_on_different_views_are_an_error(study: Path, tmp_path: Path) -> None:
    views = pd.read_csv(study / "so3" / "test.csv")
    shutil.copytree(study / "results", tmp_path / "results")
    shutil.copytree(study / "so3", tmp_path / "so3")
    fewer, rng = views[1:], np.random.default_rng(0)
    for task, reason in ("normals", "tested on different views"), ("rotation", "tested on other views than those of"):
        write_result(tmp_path / "results" / "1" / "0" / task, task, fewer, [1.0] * len(fewer), 1, rng)
        with pytest.raises(UserError, match=reason):
            errors([row_of(study, task), row_of(tmp_path, task, seeds=[0])], views)


def test_results_are_found_or_named(tmp_path: Path) -> None:
    (tmp_path / "flat" / "rotation").mkdir(parents=True)
    for name in "errors.csv", "log.csv", "metrics.json":
        (tmp_path / "flat" / "rotation" / name).touch()
    (run,) = runs_in(tmp_path, ["flat"], ["rotation"], 3)
    assert (run.task, run.head, run.seed, Path(run.folder)) == ("rotation", "flat", 3, tmp_path / "flat" / "rotation")
    assert run.command == "uv run dvc exp run -S head=flat -S seed=3 stages/dvc.yaml:evaluate@rotation-flat"
    with pytest.raises(UserError, match=r"sexp/rotation: there is no whole result; `dvc repro -P` makes all of them\."):
        runs_in(tmp_path, ["flat", "sexp"], ["rotation"], 3)


def test_commands_name_what_differs() -> None:
    changes = {"train.rotation.backbone": "resnet18", "train.rotation.weights": None, "tasks": ["a b", "c"], "x": True}
    run = Run("e", "1", "rotation", "sexp", 2, {}, {}, {}, "", "", changes)
    words = [
        "-S",
        "head=sexp",
        "-S",
        "train.rotation.backbone=resnet18",
        "-S",
        "train.rotation.weights=null",
        "-S",
        'tasks=["a b", "c"]',
    ]
    words += ["-S", "x=true", "-S", "seed=2", "stages/dvc.yaml:evaluate@rotation-sexp"]
    assert shlex.split(run.command) == ["uv", "run", "dvc", "exp", "run", *words]


def test_a_right_prediction_is_drawn_as_the_image_was(study: Path) -> None:
    """Truth for prediction: what is drawn again is the image, but for the loss of JPEG."""
    table = pd.read_csv(study / "results" / "0" / "0" / "rotation" / "errors.csv")
    for name in ("qx", "qy", "qz", "qw", "sign_class"):
        table[f"predicted_{name}"] = table[f"true_{name}"]
    table["error_deg"] = np.arange(len(table), dtype=float)
    first = table[table["mesh"].str.endswith("_0001")]  # the images are of the first mesh of each category
    shown = list(gallery(first, Views(study / "so3" / "test.lmdb"), Meshes(study / "meshes"), Camera(SIZE, 40.0), 1))
    assert [(view.category, view.rank) for view in shown] == [
        (category, rank) for category in ("chair", "table") for rank in ("best", "median", "worst")
    ]
    for view in shown:
        one, other = (np.asarray(Image.open(io.BytesIO(image)), float) for image in (view.image, view.predicted))
        assert np.abs(one - other).mean() < 4 and view.signs
    assert shown[0].error_deg < shown[1].error_deg < shown[2].error_deg


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), r"000\d\.off: it cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), r"000\d\.off: it is not what was written"),
    ],
)
def test_a_mesh_that_is_missing_or_another_is_named(
    study: Path, tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    table = pd.read_csv(study / "results" / "0" / "0" / "rotation" / "errors.csv")
    shutil.copytree(study / "meshes", tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("*/*.off"):
        damage(path)
    with pytest.raises(UserError, match=said):
        list(gallery(table, Views(study / "so3" / "test.lmdb"), Meshes(tmp_path), Camera(SIZE, 40.0), 1))


def test_a_mesh_of_another_dataset_is_named(study: Path) -> None:
    with pytest.raises(UserError, match="the mesh chair_9, which was tested, is not there"):
        Meshes(study / "meshes")["chair_9"]


def test_signs_are_right_where_all_are() -> None:
    row = {"true_sign_class": 3, "predicted_sign_class": 3, "true_qw": 1.0, "predicted_qw": 0.5}
    assert signs_right(pd.Series(row))
    assert not signs_right(pd.Series(row | {"predicted_sign_class": 2}))
    row = {f"{side}_{name}_sign_class": 1 for side in ("true", "predicted") for name in ("azimuth", "tilt")}
    assert signs_right(pd.Series(row)) and not signs_right(pd.Series(row | {"true_tilt_sign_class": 0}))


def test_settings_have_dotted_names() -> None:
    settings = {"a": {"b": {"c": 1, "d": None}, "e": {}}, "f": [1, "x"], "g": True, "h": "null"}
    assert dict(as_texts(settings)) == {
        **{"a.b.c": "1", "a.b.d": "null", "a.e": "{}", "f": "1, x", "g": "true", "h": "null"},
    }


def test_columns_of_numbers_are_known() -> None:
    frame = pd.DataFrame(
        {"a": ["1.5 [1, 2]", ""], "b": ["x", "2"], "c": ["< 0.001", "-3"], "d": ["", ""], "e": ["a fifth: 3", "all 9"]}
    )
    assert Table("", frame).numeric == [True, False, True, False, False]
    frame = pd.DataFrame({"version": ["3.11.7", "1.2"], "sum": ["1,234", "-5.0 ± 1"], "p": ["1e-3", "0.5"]})
    assert Table("", frame).numeric == [False, True, True]


def test_the_overview_has_a_column_of_medians_for_each_task(study: Path) -> None:
    rows = {task: [row_of(study, task)] for task in TASKS}
    rows["rotation"] = [row_of(study, "rotation", seeds=[0]), row_of(study, "rotation", "2")]
    frame = overview_table({task: Comparison(task, rows[task], [], []) for task in TASKS}).frame
    assert frame["head"].tolist() == ["1", "2"] and frame["normals (°)"][1] == ""
    for task, place, seeds in ("rotation", 0, "one seed"), ("rotation", 1, "2 seeds"), ("normals", 0, "2 seeds"):
        row = rows[task][place]
        text = frame[f"{task} (°)"][place]
        assert text.startswith(f"{row.estimates['median_deg'].mean:.1f}") and text.endswith(f"]\n{seeds}")


def test_rows_and_pairs_are_tables() -> None:
    info = info_of(["chair"], 64)
    runs = {name: Run("", None, "rotation", name, 0, {}, {}, {}, "", "") for name in ("flat", "sexp")}
    median, acc = Estimate(50.04, 0.31, (48.0, 52.0)), Estimate(0.25, None, None)
    both = [Scored(runs["flat"], Path(), info), Scored(replace(runs["flat"], seed=1), Path(), info)]
    for each in both:
        each.__dict__["result"] = SimpleNamespace(errors=pd.DataFrame({"key": ["a", "b"], "mesh": ["m", "m"]}))
    flat = Row(both, "", {"median_deg": median, "acc_30": acc}, {})
    one = Row([Scored(runs["sexp"], Path(), info)], "lr 0.1", {"median_deg": median, "acc_30": acc}, {})
    one.scored[0].__dict__["result"] = both[0].result
    differences = {
        "median_deg": Difference(20.0, (18.0, 22.0), 0.0002, True),
        "acc_30": Difference(-0.2, None, 0.25, False),
    }
    found = Comparison("rotation", [flat, one], [Pair(flat, one, differences)], [])
    rows = row_table(found)
    assert rows.caption == "rotation, 2 test images of 1 mesh"
    assert rows.frame.to_dict("records") == [
        {"head": "flat", "seeds": "0, 1", "median (°)": "50.0 ± 0.3\n[48.0, 52.0]", "Acc@30°": "0.250"},
        {
            "head": "sexp (lr 0.1)",
            "seeds": "0 (one seed)",
            "median (°)": "50.0 ± 0.3\n[48.0, 52.0]",
            "Acc@30°": "0.250",
        },
    ]
    pairs = pair_table(found)
    assert pairs is not None and pairs.strong == {(0, 1)}
    assert pairs.frame.to_numpy().tolist() == [
        ["flat - sexp (lr 0.1), one seed", "+20.0\n[+18.0, +22.0]\np < 0.001", "-0.200\np = 0.250"]
    ]
    assert pair_table(found, ["acc_30"]).frame.shape == (1, 2)
    assert pair_table(replace(found, pairs=[])) is None
    heading, rule, line = pairs.markdown.splitlines()
    assert heading == "| rotation, differences | median (°) | Acc@30° |" and rule == "| --- | ---: | ---: |"
    assert line == "| flat - sexp (lr 0.1), one seed | **+20.0 [+18.0, +22.0], p < 0.001** | -0.200, p = 0.250 |"


def test_published_numbers_have_a_source_and_withdrawn_ones_stand_apart() -> None:
    for task in TASKS:
        for table in published_tables(task):
            assert {"method", "network", "test views", "source"} <= set(table.frame)
            assert (table.frame["source"] != "").all()
    valid, withdrawn, *_ = published_tables("rotation")
    assert valid.caption == "ModelNet10-SO3: 3,991 training and 908 test models"
    assert withdrawn.caption == "ModelNet10-SO3: 3,991 training and 908 test models; first published and withdrawn"
    for table, median, remark in (
        (valid, "28.7", "corrected by the authors"),
        (withdrawn, "20.3", "withdrawn: √2 too small"),
    ):
        (row,) = table.frame.query("method == 'S_exp' and network == 'VGG16'").to_dict("records")
        assert (row["median (°)"], row["remark"]) == (median, remark)
    assert set(withdrawn.frame["remark"]) == {"withdrawn: √2 too small"}
    assert "withdrawn: √2 too small" not in set(valid.frame["remark"])


def test_the_page_says_what_it_is_of(study: Path) -> None:
    text = " ".join("".join(read(study).text).split())
    for words in (
        *("Heads direct, flat, sexp.", NOTE, "not those of the paper's dataset", f"{SIZE} x {SIZE} pixels"),
        *("24 test views of 6 meshes", "What others published, on other data", "python -m benchmarks.report"),
    ):
        assert words in text, words
