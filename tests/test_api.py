"""The public names, the model card, and the lines of Python that the README and the card show."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image
from scipy.spatial.transform import Rotation as Turn

import sphreg
from benchmarks.packed import describe, info_of
from benchmarks.results import write_log
from sphreg.modelcard import CONVENTIONS, card
from sphreg.predict.rotations import Rotations
from sphreg.split import views_table
from sphreg.views import write_views
from stages.evaluate import main as evaluate
from tests.settings import PARAMS
from tests.trained import CATEGORIES, SIZE, pictures, write_model

ROOT = Path(__file__).parents[1]
COUNTS = {
    "train": {
        name: {"meshes": 1000 + i, "views": 40_000 + i, "normals": 10_000 + i} for i, name in enumerate(CATEGORIES)
    },
    "test": {name: {"meshes": 50 + i, "views": 700 + i, "normals": 200 + i} for i, name in enumerate(CATEGORIES)},
}
INFO = info_of(CATEGORIES, SIZE, counts=COUNTS)
FIFTH = "the same, over a fifth of the images"
NAMES = {
    "rotation": ("median_deg", "acc_7_5"),
    "viewpoint": ("median_deg", "acc_7_5"),
    "normals": ("rmse_deg", "acc_30"),
}


def rows(card: str) -> dict[str, list[str]]:
    """The cells of each row of all tables, by the first one."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in card.splitlines() if line[:1] == "|"]
    return {first: rest for first, *rest in cells}


def python(text: str) -> list[str]:
    """The blocks of Python in a document."""
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


class TestNames:
    def test_they_are_imported_when_they_are_asked_for(self) -> None:
        code = (
            "import sys, sphreg\n"
            "assert sphreg.UserError is sys.modules['sphreg.errors'].UserError\n"
            "assert 'load' in dir(sphreg) and not {'torch', 'numpy', 'PIL'} & set(sys.modules)\n"
            "assert sphreg.load is sys.modules['sphreg.predict'].load and 'torch' in sys.modules\n"
            "try: sphreg.nothing\n"
            "except AttributeError as error: print(error)\n"
        )
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
        assert (ended.stdout, ended.stderr) == ("module 'sphreg' has no attribute 'nothing'\n", "")

    def test_all_are_there(self) -> None:
        assert {"load", "Rotations", "Sphere", "HEADS", "TASKS", "UserError"} <= set(sphreg.__all__)
        for name in sphreg.__all__:
            assert name in dir(sphreg)
            value = getattr(sphreg, name)
            assert isinstance(value, dict) or value.__name__ == name
        assert set(sphreg.TASKS) == {"rotation", "viewpoint", "normals"}


class TestReadme:
    def test_its_lines_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tests.trained.CATEGORIES", ["chair", "sofa"])
        write_model(tmp_path / "models/sexp/rotation", "rotation")
        for name, picture in zip(("a.png", "b.jpg"), pictures(2, 30, 20), strict=True):
            Image.fromarray(picture).save(tmp_path / name)
        monkeypatch.chdir(tmp_path)
        (block,) = python((ROOT / "README.md").read_text(encoding="utf-8"))
        names: dict[str, object] = {}
        exec(block, names)
        rotations = names["rotations"]
        assert isinstance(rotations, Rotations)
        assert len(rotations) == 2


class TestCard:
    @pytest.mark.parametrize("weights", ["last", "best"])
    @pytest.mark.parametrize("task", ["rotation", "viewpoint", "normals"])
    def test_the_card(self, task: str, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = Path("models/sexp") / task
        monkeypatch.chdir(tmp_path)
        model = write_model(folder, task)
        (folder / "last.safetensors").rename(folder / f"{weights}.safetensors")
        scores = {
            name: dict.fromkeys(NAMES[task], 0.0)
            for name in [*CATEGORIES, *(["all"] if task == "normals" else ["macro", "macro_fifth"])]
        }
        for place, (name, values) in enumerate(scores.items()):
            scores[name] = {metric: 12.3456 + place if "deg" in metric else 0.98765 for metric in values}
        text = card(model.config, folder.as_posix(), weights, INFO, scores)

        assert f"`models/sexp/{task}/{weights}.safetensors`" in text
        assert INFO.note in text
        assert f"{SIZE} x {SIZE} pixels" in text
        table, kind = rows(text), "normals" if task == "normals" else "views"
        images = [f"{COUNTS[split][name][kind]:,}" for name in CATEGORIES for split in ("train", "test")]
        assert [cell for name in CATEGORIES for cell in row_of_counts(text, name)[1::2]] == images
        totals = [
            sum(COUNTS[split][name][what] for name in CATEGORIES) for split in COUNTS for what in ("meshes", kind)
        ]
        assert row_of_counts(text, "all") == [f"{total:,}" for total in totals]
        assert f"all its {totals[3]:,} images" in text
        assert f"of {totals[2]:,} meshes" in text
        assert ("The fifth is random, with a fixed seed" in text) == (task != "normals")
        summaries = ["all pixels"] if task == "normals" else ["mean of the categories", FIFTH]
        for place, (name, label) in enumerate(zip(scores, [*CATEGORIES, *summaries], strict=True)):
            assert table[label] == [f"{12.3456 + place:.2f}", "0.988"], name
        for name, value in model.config.train.model_dump().items():
            assert table[f"`{name}`"] == [f"`{json.dumps(value)}`"]
        for name, value in model.config.head_settings.items():
            assert table[f"`{name}`"] == [f"`{json.dumps(value)}`"]

        Image.fromarray(pictures(1, 20, 30)[0]).save(tmp_path / "view.png")
        (block,) = python(text)
        assert block.count("\n") == 3
        names: dict[str, object] = {}
        exec(block, names)
        if task == "normals":
            assert np.shape(names["normals"]) == (1, 20, 30, 3)
        else:
            assert isinstance(names["rotations"], Rotations)

    def test_its_conventions_are_those_of_the_project(self) -> None:
        page = " ".join(str(sphreg.__doc__).split())
        for conventions in CONVENTIONS.values():
            for heading, text in conventions.items():
                assert f" {heading} " in page
                for sentence in re.split(r"(?<=\.) (?=[A-Z])", text):
                    assert sentence.removesuffix(".") in page

    def test_the_stage_writes_it(self, tmp_path: Path) -> None:
        data, folder = tmp_path / "so3", tmp_path / "model"
        write_model(folder, "rotation")
        write_log(folder, 1, np.random.default_rng(0))
        quaternions = Turn.random(6, rng=0).as_quat(canonical=True)
        keys = [f"{name}_0001.v{view:03d}" for name in CATEGORIES for view in (1, 2)]
        data.mkdir()
        table = views_table(keys, [key[:-10] for key in keys], [key[:-5] for key in keys], quaternions)
        table.to_csv(data / "test.csv", index=False)
        jpegs = [simplejpeg.encode_jpeg(picture[..., None].copy(), 95, "GRAY") for picture in pictures(6)]
        write_views(data / "test.lmdb", zip(keys, jpegs, strict=True))
        describe(data, SIZE)
        evaluate(PARAMS, folder, data, tmp_path / "results")
        metrics = json.loads((tmp_path / "results/metrics.json").read_text())
        table = rows((tmp_path / "results/card.md").read_text(encoding="utf-8"))
        assert table["mean of the categories"][0] == f"{metrics['macro']['median_deg']:.2f}"
        assert table[FIFTH][0] == f"{metrics['macro_fifth']['median_deg']:.2f}"


def row_of_counts(card: str, name: str) -> list[str]:
    """The row of the first table, which is the one of counts."""
    return rows(card[: card.index("| setting")])[name]
