"""A trained model at work: its answers against the model's own on images prepared by hand, and what it refuses."""

import csv
import io
import json
import math
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch
from PIL import Image
from scipy.spatial.transform import Rotation as Turn
from tqdm import tqdm

from sphreg.errors import UserError
from sphreg.model import Model
from sphreg.predict import Predictor, images, load
from sphreg.predict.__main__ import main
from sphreg.predict.images import FORMATS, LARGEST, single_images, square
from sphreg.predict.rotations import Rotations
from sphreg.render.camera import decode_normals
from sphreg.samples import Batch
from sphreg.views import Views, write_views
from tests.agreement import DEGREES, check_normals, check_rotations
from tests.trained import CATEGORIES, pictures, write_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder HEAD-TASK for each, and the task `shared` for a rotation with one set of outputs."""
    folder = tmp_path_factory.mktemp("models")
    for head in "direct", "sexp":
        for task in "rotation", "viewpoint", "normals":
            write_model(folder / f"{head}-{task}", task, head)
    write_model(folder / "sexp-shared", "rotation", per_category=False)
    return folder


def by_hand(folder: Path, grey: np.ndarray, categories: list[str]) -> np.ndarray:
    """What the model itself says of images (n, size, size)."""
    model = Model.load(folder / "last.safetensors")
    numbers = torch.tensor([CATEGORIES.index(name) for name in categories])
    points = model.predict(Batch(torch.tensor(grey)[:, None], numbers, torch.zeros(len(grey))))
    return model.task.answer(points).numpy()


def png(folder: Path, name: str, picture: np.ndarray | Image.Image, **options: Any) -> Path:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(folder / name, **options)
    return folder / name


def lanczos(picture: np.ndarray, size: int) -> np.ndarray:
    """Resize a square image, smaller or larger, by the window of Lanczos of three lobes, pixel by pixel."""
    side = len(picture)
    scale = side / size
    weights = np.zeros((size, side))
    for out in range(size):
        for place in range(side):
            x = (place + 0.5 - (out + 0.5) * scale) / max(scale, 1)
            weights[out, place] = np.sinc(x) * np.sinc(x / 3) if abs(x) < 3 else 0
    weights /= weights.sum(axis=1, keepdims=True)
    return np.clip(weights @ np.clip(picture @ weights.T, 0, 255), 0, 255)  # as an image of bytes in between


class TestSquares:
    """What a network sees of an image."""

    @pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 9), (5, 16), (16, 15), (1, 16)])
    def test_an_image_stands_in_the_middle_of_a_white_square(self, height: int, width: int) -> None:
        picture = pictures(1, height, width)[0]
        expected = [[255] * 16 for _ in range(16)]
        for row in range(height):
            for column in range(width):
                expected[(16 - height) // 2 + row][(16 - width) // 2 + column] = picture[row, column]
        np.testing.assert_array_equal(square(picture, 16).pixels, expected)

    @pytest.mark.parametrize(("height", "width"), [(64, 64), (61, 40), (33, 64), (7, 5)])
    def test_resizing_is_lanczos_with_antialiasing(self, height: int, width: int) -> None:
        picture = pictures(1, height, width)[0]
        side = max(height, width)
        padded = np.full((side, side), 255)
        top, left = (side - height) // 2, (side - width) // 2
        padded[top : top + height, left : left + width] = picture
        result = square(picture, 16).pixels.astype(float)
        assert np.abs(result - lanczos(padded, 16)).max() <= 2  # Pillow rounds after each direction

    def test_fine_stripes_become_grey(self) -> None:
        stripes = np.tile(np.uint8([0, 255]), (128, 64))
        assert np.abs(square(stripes, 16).pixels[:, 2:-2] - 127.5).max() < 3

    def test_colour_becomes_the_luma_of_rec_601(self) -> None:
        picture = pictures(1, 16, 16, 3)[0]
        luma = picture @ np.array([0.299, 0.587, 0.114])
        assert np.abs(square(picture, 16).pixels - luma).max() <= 0.51

    def test_transparent_pixels_are_white(self) -> None:
        picture = pictures(1, 16, 16, 4)[0]
        luma, alpha = picture[..., :3] @ np.array([0.299, 0.587, 0.114]), picture[..., 3] / 255
        assert np.abs(square(picture, 16).pixels - (alpha * luma + (1 - alpha) * 255)).max() <= 1.6

    def test_numbers_from_0_to_1_become_the_nearest_grey(self) -> None:
        numbers = np.linspace(0, 1, 256).reshape(16, 16) ** 2
        assert np.abs(square(numbers, 16).pixels - numbers * 255).max() <= 0.5

    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_16_bits_are_scaled(self, tmp_path: Path, suffix: str) -> None:
        deep = np.random.default_rng(0).integers(0, 65536, (16, 16), dtype=np.uint16)
        path = png(tmp_path, f"deep.{suffix}", deep)
        assert np.abs(square(str(path), 16).pixels - deep / 65535 * 255).max() <= 0.51

    @pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
    def test_an_image_is_turned_upright(self, tmp_path: Path, orientation: int, turns: int) -> None:
        picture = pictures(1, 16, 10)[0]
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = str(png(tmp_path, "turned.png", picture, exif=exif))
        upright = np.rot90(picture, turns)
        np.testing.assert_array_equal(square(path, 16).pixels, square(upright, 16).pixels)
        assert square(path, 16)[1:] == images.shape(path) == upright.shape

    def test_a_stored_view_is_what_the_training_sees(self, tmp_path: Path) -> None:
        smooth = np.add.outer(np.arange(0, 128, 8), np.arange(0, 96, 6)).astype(np.uint8)
        jpeg = simplejpeg.encode_jpeg(smooth[..., None].copy(), 95, "GRAY")
        write_views(tmp_path / "a.lmdb", [("a", jpeg)])
        (tmp_path / "a.jpg").write_bytes(jpeg)
        seen = square(str(tmp_path / "a.jpg"), 16).pixels
        np.testing.assert_array_equal(seen, Views(tmp_path / "a.lmdb").image("a"))

    @pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 9), (37, 50), (50, 37), (3, 5), (8, 1)])
    def test_maps_are_brought_back_by_the_nearest_pixel(self, height: int, width: int) -> None:
        values = np.random.default_rng(0).normal(size=(16, 16, 3)).astype(np.float32)
        undone = images.Square(np.zeros((16, 16), np.uint8), height, width).undo(values)
        assert undone.shape == (height, width, 3)
        side = max(height, width)
        for row in range(height):
            for column in range(width):
                y = (row + (side - height) // 2 + 0.5) / side * 16
                x = (column + (side - width) // 2 + 0.5) / side * 16
                assert (undone[row, column] == values[math.floor(y), math.floor(x)]).all()


class TestKinds:
    """The same picture in every form that is accepted."""

    def test_one_picture_in_all_forms(self, models: Path, tmp_path: Path) -> None:
        grey = pictures(1)[0]
        colour = np.repeat(grey[..., None], 3, axis=2)
        tensor = torch.tensor(grey)
        path = png(tmp_path, "grey.png", grey)
        forms: list[Any] = [
            path,
            str(path),
            [path],
            (str(path),),
            png(tmp_path, "colour.png", colour),
            png(tmp_path, "grey.tif", grey),
            png(tmp_path, "palette.gif", Image.fromarray(grey).convert("P")),
            Image.fromarray(grey),
            grey,
            [grey],
            grey[None],
            grey[..., None],
            grey[None, ..., None],
            colour,
            colour[None],
            np.asfortranarray(colour),
            np.dstack([colour, np.full_like(grey, 255)]),
            grey / 255,
            (colour / 255).astype(np.float32),
            (grey / 255).astype(np.float16),
            tensor,
            tensor[None],
            tensor[None, None],
            tensor.expand(3, -1, -1),
            tensor.expand(1, 3, -1, -1),
            (tensor / 255).requires_grad_(),
            [(tensor / 255).double()[None]],
        ]
        model = load(models / "sexp-rotation")
        expected = by_hand(models / "sexp-rotation", grey[None], ["sofa"])
        for form in forms:
            found = model.predict(form, "sofa").quaternions
            assert found.shape == (1, 4)
            check_rotations(found, expected)

    def test_the_user_s_own_image_stays_open_and_as_it_was(self, models: Path, tmp_path: Path) -> None:
        grey = pictures(1)[0]
        with Image.open(png(tmp_path, "a.png", grey)) as image:
            load(models / "sexp-rotation").predict([image, image], "sofa")
            np.testing.assert_array_equal(np.asarray(image), grey)

    @pytest.mark.parametrize(
        ("shape", "count", "single"),
        [
            ((8, 9), 1, (8, 9)),
            ((8, 9, 3), 1, (8, 9, 3)),
            ((8, 9, 4), 1, (8, 9, 4)),
            ((8, 9, 1), 1, (8, 9)),
            ((3, 8, 9), 3, (8, 9)),
            ((5, 8, 9, 3), 5, (8, 9, 3)),
            ((5, 8, 9, 1), 5, (8, 9)),
        ],
    )
    def test_shapes_of_arrays(self, shape: tuple[int, ...], count: int, single: tuple[int, ...]) -> None:
        found = single_images(np.zeros(shape, np.uint8))
        assert [image.shape for image in found if isinstance(image, np.ndarray)] == [single] * count

    @pytest.mark.parametrize(
        ("shape", "count", "single"),
        [
            ((8, 9), 1, (8, 9)),
            ((3, 8, 9), 1, (8, 9, 3)),
            ((1, 8, 9), 1, (8, 9)),
            ((5, 1, 8, 9), 5, (8, 9)),
            ((5, 3, 8, 9), 5, (8, 9, 3)),
        ],
    )
    def test_shapes_of_tensors(self, shape: tuple[int, ...], count: int, single: tuple[int, ...]) -> None:
        found = single_images(torch.zeros(shape, dtype=torch.uint8))
        assert [image.shape for image in found if isinstance(image, np.ndarray)] == [single] * count

    def test_channels_of_tensors_are_those_of_arrays(self) -> None:
        picture = pictures(4, 8, 9, 3)
        for image, expected in zip(single_images(torch.tensor(picture).permute(0, 3, 1, 2)), picture, strict=True):
            np.testing.assert_array_equal(image, expected)

    @pytest.mark.parametrize(
        ("wrong", "sentence"),
        [
            ([], "images is empty, allowed: at least one image."),
            (np.zeros((0, 8, 8), np.uint8), "images is empty, allowed: at least one image."),
            (
                np.zeros(8, np.uint8),
                "images has the shape (8,), allowed: (h, w), (h, w, c), (n, h, w), (n, h, w, c) with c of 1, 3 or 4.",
            ),
            (
                np.zeros((2, 8, 8, 2), np.uint8),
                "images has the shape (2, 8, 8, 2), allowed: (h, w), (h, w, c), (n, h, w), (n, h, w, c) with c of 1, "
                "3 or 4.",
            ),
            (
                np.zeros((8, 0), np.uint8),
                "images has the shape (8, 0), allowed: (h, w), (h, w, c), (n, h, w), (n, h, w, c) with c of 1, 3 or 4.",
            ),
            (
                [np.zeros((8, 8), np.uint8), np.zeros((2, 8, 8), np.uint8)],
                "images[1] has the shape (2, 8, 8), allowed: of one image, (h, w), (h, w, c), (n, h, w), (n, h, w, c) "
                "with c of 1, 3 or 4.",
            ),
            (
                torch.zeros((2, 8, 8), dtype=torch.uint8),
                "images has the shape (2, 8, 8), allowed: (h, w), (c, h, w), (n, c, h, w) with c of 1, 3 or 4.",
            ),
            (
                np.zeros((8, 8), np.int64),
                "images is of type int64, allowed: uint8, or floating-point numbers from 0 to 1.",
            ),
            (
                [torch.zeros(8, 8, dtype=torch.bool)],
                "images[0] is of type bool, allowed: uint8, or floating-point numbers from 0 to 1.",
            ),
            (
                np.full((8, 8), 1.5),
                "images has floating-point numbers that are not from 0 to 1; as uint8 they may go to 255.",
            ),
            (
                [np.full((8, 8), -0.1)],
                "images[0] has floating-point numbers that are not from 0 to 1; as uint8 they may go to 255.",
            ),
            (
                torch.full((8, 8), math.nan),
                "images has floating-point numbers that are not from 0 to 1; as uint8 they may go to 255.",
            ),
        ],
    )
    def test_what_is_no_image(self, models: Path, wrong: Any, sentence: str) -> None:
        model = load(models / "sexp-shared")
        for method in model.predict, model.stream:
            with pytest.raises(UserError) as raised:
                method(wrong)
            assert str(raised.value) == sentence


class TestPoses:
    @pytest.mark.parametrize("name", ["direct-rotation", "sexp-rotation", "direct-viewpoint", "sexp-viewpoint"])
    def test_the_answers_are_the_model_s(self, models: Path, name: str) -> None:
        grey, categories = pictures(9), CATEGORIES * 3
        found = load(models / name).predict(grey, categories)
        expected = by_hand(models / name, grey, categories)
        check_rotations(found.quaternions, expected)
        np.testing.assert_allclose(np.linalg.norm(found.quaternions, axis=1), 1, rtol=0, atol=1e-12)
        assert (found.quaternions[:, 3] >= 0).all()
        assert found.quaternions.std(axis=0).min() > 0.01  # the images matter to these models
        others = load(models / name).predict(grey, "bed")
        check_rotations(others[::3].quaternions, found[::3].quaternions)
        differ = (others.as_scipy().inv() * found.as_scipy()).magnitude()
        assert (np.delete(differ, slice(None, None, 3)) > 0.01).all()  # and the categories

    def test_one_set_of_outputs_needs_no_category(self, models: Path) -> None:
        grey = pictures(5)
        model = load(models / "sexp-shared")
        expected = by_hand(models / "sexp-shared", grey, ["bed"] * 5)
        for categories in None, "sofa", CATEGORIES[:1] * 5:
            check_rotations(model.predict(grey, categories).quaternions, expected)

    def test_the_viewpoints_against_matrices(self, models: Path) -> None:
        found = load(models / "sexp-viewpoint").predict(pictures(20), "sofa")
        np.testing.assert_allclose(found.viewpoints_deg, np.degrees(found.viewpoints), atol=1e-12)
        for matrix, (azimuth, elevation, tilt) in zip(found.as_scipy().as_matrix(), found.viewpoints, strict=True):
            assert -math.pi <= min(azimuth, tilt) <= max(azimuth, tilt) < math.pi
            assert abs(elevation) <= math.pi / 2
            rebuilt = np.eye(3)
            for axis, angle in (2, tilt), (0, elevation - math.pi / 2), (2, -azimuth):
                i, j = (axis + 1) % 3, (axis + 2) % 3
                turn = np.eye(3)
                turn[i, i] = turn[j, j] = math.cos(angle)
                turn[j, i] = math.sin(angle)
                turn[i, j] = -math.sin(angle)
                rebuilt = rebuilt @ turn
            np.testing.assert_allclose(matrix, rebuilt, atol=1e-12)

    def test_scipy_reads_the_angles_of_the_columns(self, models: Path) -> None:
        found = load(models / "sexp-rotation").predict(pictures(20), "sofa")
        columns = found.columns()
        assert list(columns) == ["qw", "qx", "qy", "qz", "azimuth_deg", "elevation_deg", "tilt_deg"]
        angles = [columns["tilt_deg"], columns["elevation_deg"] - 90, -columns["azimuth_deg"]]
        turns = Turn.from_euler("ZXZ", np.stack(angles, axis=-1), degrees=True)
        quaternions = Turn.from_quat(np.stack([columns[name] for name in ("qx", "qy", "qz", "qw")], axis=-1))
        assert (turns.inv() * quaternions).magnitude().max() < 1e-12
        assert (found.as_scipy().inv() * quaternions).magnitude().max() < 1e-12

    def test_indices_are_numpy_s(self) -> None:
        quaternions = Turn.random(5, rng=0).as_quat(canonical=True)
        rotations = Rotations(quaternions)
        assert len(rotations) == 5
        for index in 2, -1, slice(1, 4), [0, 3], np.array([True, False, False, True, True]), np.array([4, 0]):
            np.testing.assert_array_equal(rotations[index].quaternions, quaternions[index].reshape(-1, 4))
        np.testing.assert_array_equal(np.concatenate([r.quaternions for r in rotations]), quaternions)

    def test_order_and_batches_do_not_matter(self, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        grey, categories = pictures(11), (CATEGORIES * 4)[:11]
        model = load(models / "sexp-rotation")
        expected = model.predict(grey, categories).quaternions
        backwards = model.predict(grey[::-1], categories[::-1]).quaternions
        check_rotations(backwards[::-1], expected)
        for size in 1, 4, 11:
            monkeypatch.setattr("sphreg.predict.BATCH", size)
            check_rotations(model.predict(grey, categories).quaternions, expected)
            streamed = list(model.stream(list(grey), categories))
            assert [len(rotations) for rotations in streamed] == [1] * 11
            found = np.concatenate([rotations.quaternions for rotations in streamed])
            check_rotations(found, expected)

    def test_any_iterable_of_images(self, models: Path) -> None:
        grey = pictures(3)
        model = load(models / "sexp-shared")
        for iterable in tuple(grey), iter(grey), (image for image in grey), tqdm([*grey], disable=True):
            np.testing.assert_array_equal(model.predict(iterable).quaternions, model.predict(grey).quaternions)


class TestNormals:
    @pytest.mark.parametrize("name", ["direct-normals", "sexp-normals"])
    def test_the_answers_are_the_model_s(self, models: Path, name: str) -> None:
        grey = pictures(7)
        found = load(models / name).predict(grey)
        assert found.dtype == np.float32
        check_normals(found, by_hand(models / name, grey, ["bed"] * 7))
        np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)
        assert found.std(axis=(0, 1, 2)).min() > 0.01

    def test_an_image_that_is_not_square_has_the_normals_of_its_own_pixels(self, models: Path) -> None:
        grey = pictures(2, 10, 16)
        padded = np.full((2, 16, 16), 255, np.uint8)
        padded[:, 3:13] = grey
        expected = by_hand(models / "sexp-normals", padded, ["bed"] * 2)[:, 3:13]
        check_normals(load(models / "sexp-normals").predict(grey), expected)

    def test_each_pixel_of_a_larger_image_has_the_normal_of_the_network_s_pixel(self, models: Path) -> None:
        grey = pictures(1, 48, 32)[0]
        small = square(grey, 16).pixels
        answer = by_hand(models / "sexp-normals", small[None], ["bed"])[0]
        found = load(models / "sexp-normals").predict(grey)[0]
        expected = [[answer[row // 3, (column + 8) // 3] for column in range(32)] for row in range(48)]
        check_normals(found, np.array(expected))

    def test_images_of_several_sizes_are_for_the_stream(self, models: Path, tmp_path: Path) -> None:
        mixed = [pictures(1, 8, 12)[0], str(png(tmp_path, "a.png", pictures(1, 20, 6)[0])), pictures(1, 5, 5)[0]]
        model = load(models / "sexp-normals")
        with pytest.raises(UserError) as raised:
            model.predict(mixed)
        assert str(raised.value) == "images of 5 x 5 and 12 x 8 pixels, allowed: one size; or use `stream`."
        maps = list(model.stream(mixed))
        for image, normals in zip(mixed, maps, strict=True):
            check_normals(normals, model.predict([image])[0])
        assert [normals.shape for normals in maps] == [(8, 12, 3), (20, 6, 3), (5, 5, 3)]


UNKNOWN = f"damaged, or not one of the formats {', '.join(FORMATS)}"
SENTENCES = {
    "missing": "missing.png: there is no such file.",
    "text": f"text.png: it is no image that can be used ({UNKNOWN}).",
    "empty": f"empty.png: it is no image that can be used ({UNKNOWN}).",
    "cut": "cut.png: it is no image that can be used (",
    "folder": ": it is no image that can be used (it is no regular file).",
    "float": "float.tif: it is no image that can be used (its pixels are numbers of 32 bits, mode F, allowed: 8 or "
    "16 bits).",
    "long": "long.png: it is no image that can be used (13001 x 1 pixels, allowed: up to 13,000 each way).",
}


class TestBadImages:
    @pytest.fixture
    def paths(self, tmp_path: Path) -> dict[str, Path]:
        """Images of several kinds of badness, between good ones."""
        good = png(tmp_path, "good.png", pictures(1, 40, 40)[0])
        bad = {
            "missing": tmp_path / "missing.png",
            "text": tmp_path / "text.png",
            "empty": tmp_path / "empty.png",
            "cut": tmp_path / "cut.png",
            "folder": tmp_path,
            "float": png(tmp_path, "float.tif", np.zeros((8, 8), np.float32)),
            "long": png(tmp_path, "long.png", np.zeros((1, LARGEST + 1), np.uint8)),
        }
        bad["text"].write_text("no image")
        bad["empty"].touch()
        bad["cut"].write_bytes(good.read_bytes()[:-500])
        return {"good": good} | bad

    def test_each_is_named_and_the_stream_goes_on(self, models: Path, paths: dict[str, Path]) -> None:
        model = load(models / "sexp-shared")
        good = model.predict(paths["good"]).quaternions
        for name, sentence in SENTENCES.items():
            with pytest.raises(UserError) as raised:
                model.predict([paths["good"], paths[name]])
            assert f"{paths[name].parent if name != 'folder' else paths[name]}" in str(raised.value)
            assert sentence in str(raised.value)
            assert "\n" not in str(raised.value)
        answers = list(model.stream([path for bad in SENTENCES for path in (paths[bad], paths["good"])]))
        for bad, answer, sentence in zip(answers[::2], answers[1::2], SENTENCES.values(), strict=True):
            assert isinstance(bad, UserError)
            assert sentence in str(bad)
            check_rotations(answer.quaternions, good)

    def test_what_the_headers_tell_is_said_before_any_image_is_predicted(
        self, models: Path, paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = load(models / "sexp-shared")
        monkeypatch.setattr(Model, "predict", lambda *_: pytest.fail("it has begun"))
        for name in "missing", "text", "empty", "folder", "long":
            with pytest.raises(UserError):
                model.predict([paths["good"]] * 100 + [paths[name]])

    def test_the_stream_reads_no_further_than_it_has_to(
        self, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sphreg.predict.BATCH", 2)
        paths = [png(tmp_path, f"{i}.png", image) for i, image in enumerate(pictures(4))]
        answers = load(models / "sexp-shared").stream(paths)
        next(answers)
        for path in paths:
            path.unlink()
        assert [isinstance(answer, UserError) for answer in answers] == [False, True, True]


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


class TestBadModels:
    @pytest.fixture
    def folder(self, models: Path, tmp_path: Path) -> Path:
        shutil.copytree(models / "sexp-rotation", tmp_path / "model")
        return tmp_path / "model"

    def refused(self, folder: Path, **options: Any) -> str:
        with pytest.raises(UserError) as raised:
            load(folder, **options)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        for folder in tmp_path / "no", tmp_path:
            said = f"{folder}/last.safetensors: there is no such file, allowed: a folder with a trained model, as "
            assert self.refused(folder) == f"{said}models/HEAD/TASK."

    def test_weights_of_a_name_that_is_none(self, folder: Path) -> None:
        assert self.refused(folder, weights="first") == "weights is 'first', allowed: last, best."

    def test_the_best_weights(self, folder: Path) -> None:
        assert f"{folder}/best.safetensors: there is no such file" in self.refused(folder, weights="best")
        other = Model.load(folder / "last.safetensors")
        with torch.no_grad():
            for weight in other.network.parameters():
                weight.mul_(-0.7)
        other.save(folder / "best.safetensors")
        grey = pictures(1)
        last, best = (load(folder, weights=name).predict(grey, "sofa").quaternions for name in ("last", "best"))
        assert np.abs(last - best).max() > 0.01
        points = other.predict(Batch(torch.tensor(grey)[:, None], torch.tensor([2]), torch.zeros(1)))
        check_rotations(best, other.task.answer(points).numpy())

    def test_another_task(self, folder: Path) -> None:
        assert load(folder, task="rotation").task == "rotation"
        said = f"{folder}: the task of this model is rotation, allowed here: normals."
        assert self.refused(folder, task="normals") == said

    @pytest.mark.parametrize("task", ["viewpoint", "normals"])
    def test_weights_of_another_task_or_shape(self, models: Path, folder: Path, task: str) -> None:
        shutil.copy(models / f"sexp-{task}" / "last.safetensors", folder)
        assert self.refused(folder).startswith(f"{folder}/last.safetensors: ")

    @pytest.mark.parametrize("kept", [0, 7, 100, -1])
    def test_weights_that_were_cut_short(self, folder: Path, kept: int) -> None:
        file = folder / "last.safetensors"
        file.write_bytes(file.read_bytes()[:kept])
        assert self.refused(folder).startswith(f"{file}: ")

    @pytest.mark.parametrize("write", [torch.save, lambda trap, path: path.write_bytes(pickle.dumps(trap))])
    def test_a_pickle_is_not_opened(self, folder: Path, tmp_path: Path, write: Any) -> None:
        write(Trap(str(tmp_path / "sprung")), folder / "last.safetensors")
        assert self.refused(folder).startswith(f"{folder}/last.safetensors: ")
        assert not (tmp_path / "sprung").exists()

    @pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]", b"\xff"])
    def test_a_config_that_is_missing_or_none(self, folder: Path, content: bytes | None) -> None:
        (folder / "config.json").unlink()
        if content is not None:
            (folder / "config.json").write_bytes(content)
        assert self.refused(folder).startswith(f"{folder}/")


class TestBadCategories:
    def test_they_are_needed_where_the_outputs_differ(self, models: Path) -> None:
        for name in "sexp-rotation", "direct-viewpoint":
            with pytest.raises(UserError) as raised:
                load(models / name).predict(pictures(2))
            said = "categories is missing, as the model has outputs for each, allowed: bed, night_stand, sofa."
            assert str(raised.value) == said

    @pytest.mark.parametrize("name", ["sexp-rotation", "sexp-shared", "sexp-normals"])
    def test_one_that_the_training_did_not_have(self, models: Path, name: str) -> None:
        for categories in "chair", ["bed", "chair"]:
            with pytest.raises(UserError) as raised:
                load(models / name).stream(pictures(2), categories)
            said = "the training did not have the category 'chair', allowed: bed, night_stand, sofa."
            assert str(raised.value) == said

    def test_their_number(self, models: Path) -> None:
        with pytest.raises(UserError) as raised:
            load(models / "sexp-rotation").predict(pictures(3), ["bed", "sofa"])
        assert str(raised.value) == "2 categories for 3 images, allowed: one for all, or one for each."


class TestProgram:
    """`python -m sphreg.predict`."""

    @pytest.fixture
    def paths(self, tmp_path: Path) -> list[str]:
        return [str(png(tmp_path, f"{name}.png", picture)) for name, picture in zip("abc", pictures(3), strict=True)]

    @pytest.mark.parametrize("task", ["rotation", "viewpoint"])
    def test_a_row_per_image(
        self, models: Path, paths: list[str], tmp_path: Path, task: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        model = str(models / f"sexp-{task}")
        expected = load(model).predict(paths, "sofa").columns()
        assert main([model, *paths, "--category", "sofa"]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert main([model, *paths, "--category", "sofa", "--format", "csv"]) == 0
        same = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        for form in "json", "csv":
            out = tmp_path / "new" / f"rows.{form}"
            assert main([model, *paths, "--category", "sofa", "--format", form, "--out", str(out)]) == 0
            assert main([model, *paths, "--category", "sofa", "--format", form]) == 0
            assert out.read_text() == capsys.readouterr().out
        for found in rows, same:
            assert [list(row) for row in found] == [["file", *expected]] * 3
            assert [row["file"] for row in found] == paths
            for name, values in expected.items():
                differ = np.array([float(row[name]) for row in found]) - values
                if name.endswith("_deg"):
                    assert np.abs((differ + 180) % 360 - 180).max() < DEGREES
                else:
                    assert np.abs(differ).max() < math.radians(DEGREES)

    def test_a_map_per_image(
        self, models: Path, tmp_path: Path, paths: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        wide = str(png(tmp_path, "wide.jpg", pictures(1, 30, 50)[0]))
        model, out = str(models / "sexp-normals"), tmp_path / "maps" / "here"
        files = {form: [out / f"{name}.normals.{form}" for name in ("a", "b", "c", "wide")] for form in ("png", "npy")}
        for form, options in ("png", []), ("npy", ["--format", "npy"]):
            assert main([model, *paths, wide, "--out", str(out), *options]) == 0
            assert capsys.readouterr().out.split() == [str(file) for file in files[form]]
        assert sorted(out.iterdir()) == sorted(files["png"] + files["npy"])
        for path, coloured, exact in zip([*paths, wide], files["png"], files["npy"], strict=True):
            normals = np.load(exact)
            check_normals(normals, load(model).predict(path)[0])  # alone, where the program had it in a batch
            colours = np.asarray(Image.open(coloured))
            differ = np.abs(colours - np.rint((normals + 1) / 2 * 255))
            # Both from one batch: only where a colour lies in the middle of two may it be the other one.
            assert differ.max() <= 1 and (differ > 0).mean() < 0.01
            np.testing.assert_allclose(decode_normals(colours), normals, atol=0.01)

    def test_the_other_images_are_not_lost(
        self, models: Path, paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "b.png").write_text("no image")
        assert main([str(models / "sexp-shared"), *paths, "--out", str(tmp_path / "rows.json")]) == 1
        said = capsys.readouterr()
        assert said.err == f"{paths[1]}: it is no image that can be used ({UNKNOWN}).\n"
        assert [row["file"] for row in json.loads((tmp_path / "rows.json").read_text())] == [paths[0], paths[2]]
        assert main([str(models / "sexp-normals"), *paths, "--out", str(tmp_path / "maps")]) == 1
        assert sorted(file.name for file in (tmp_path / "maps").iterdir()) == ["a.normals.png", "c.normals.png"]

    def test_where_no_image_can_be_read_an_older_file_stays(
        self, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "rows.json"
        out.write_text("older")
        assert main([str(models / "sexp-shared"), str(tmp_path / "x.png"), "--out", str(out)]) == 1
        assert capsys.readouterr().err == f"{tmp_path}/x.png: there is no such file.\nNo image could be read.\n"
        assert [out] == list(tmp_path.iterdir())
        assert out.read_text() == "older"

    @pytest.mark.parametrize(
        ("model", "options", "sentence"),
        [
            ("no", ["IMAGE"], "MODELS/no/last.safetensors: there is no such file, allowed: a folder with a trained "),
            ("sexp-shared", [], "images is empty, allowed: at least one image."),
            (
                "sexp-shared",
                ["IMAGE", "--category", "chair"],
                "the training did not have the category 'chair', allowed",
            ),
            ("sexp-rotation", ["IMAGE"], "categories is missing, as the model has outputs for each, allowed: bed, "),
            ("sexp-shared", ["IMAGE", "--task", "normals"], "MODELS/sexp-shared: the task of this model is rotation, "),
            ("sexp-shared", ["IMAGE", "--weights", "best"], "MODELS/sexp-shared/best.safetensors: there is no such"),
            ("sexp-shared", ["IMAGE", "--weights", "x"], "weights is 'x', allowed: last, best."),
            (
                "sexp-shared",
                ["IMAGE", "--format", "npy"],
                "--format is npy, allowed with a model for rotation: json, csv.",
            ),
            (
                "sexp-normals",
                ["IMAGE", "--format", "csv", "--out", "FOLDER/maps"],
                "--format is csv, allowed with a model for normals: png, npy.",
            ),
            ("sexp-normals", ["IMAGE"], "--out is missing, allowed: a folder for the maps of normals."),
            ("sexp-normals", ["IMAGE", "--out", "IMAGE/maps"], "IMAGE/maps: there can be no such folder (Not a dir"),
            ("sexp-normals", ["IMAGE", "--out", "IMAGE"], "IMAGE: there can be no such folder (File exists)."),
            (
                "sexp-shared",
                ["IMAGE", "--out", "IMAGE/rows.csv"],
                "IMAGE/rows.csv: it cannot be written (File exists).",
            ),
            ("sexp-shared", ["IMAGE", "--out", "FOLDER"], "--out is FOLDER, a folder, allowed: a file."),
            (
                "sexp-normals",
                ["IMAGE", "FOLDER/a.jpg", "--out", "FOLDER/maps"],
                "IMAGE and FOLDER/a.jpg would both become FOLDER/maps/a.normals.png; predict them into two folders.",
            ),
        ],
    )
    def test_what_is_wrong_is_said_in_one_sentence_before_any_work(
        self,
        models: Path,
        paths: list[str],
        tmp_path: Path,
        model: str,
        options: list[str],
        sentence: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def filled(text: str) -> str:
            return text.replace("IMAGE", paths[0]).replace("FOLDER", str(tmp_path)).replace("MODELS", str(models))

        monkeypatch.setattr(Predictor, "_answers", lambda *_: pytest.fail("it has begun"))
        before = sorted(tmp_path.rglob("*"))
        assert main([str(models / model), *map(filled, options)]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(filled(sentence))
        assert said.err.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before

    @pytest.mark.parametrize("form", ["json", "csv"])
    def test_names_come_back_as_they_are(
        self, models: Path, tmp_path: Path, form: str, capfdbinary: pytest.CaptureFixture[bytes]
    ) -> None:
        names = [
            b"a,b",
            b'"',
            b"'",
            b"a\nb",
            b"a\rb",
            b"a\r\nb",
            b"\x1b[31m",
            b"\xff\xfe",
            "ü".encode(),
            b" a ",
            b"=1+1",
        ]
        paths = [os.fsdecode(os.fsencode(tmp_path) + b"/" + name) for name in names]
        for path in paths:
            Image.fromarray(pictures(1)[0]).save(path, "PNG")
        broken = f"{tmp_path}/\x1b[2J\n\udcff"
        command = [str(models / "sexp-shared"), *paths, broken, "--format", form]
        assert main([*command, "--out", str(tmp_path / "rows")]) == 1
        sentence = rf"{tmp_path}/\x1b[2J\n\udcff: there is no such file." + "\n"
        assert capfdbinary.readouterr() == (b"", sentence.encode())
        assert main(command) == 1
        said = capfdbinary.readouterr()
        assert said.out == (tmp_path / "rows").read_bytes()
        text = said.out.decode(errors="surrogateescape")
        rows = json.loads(text) if form == "json" else list(csv.DictReader(io.StringIO(text, newline="")))
        assert [row["file"] for row in rows] == paths

    def test_maps_of_names_of_any_bytes(
        self, models: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
    ) -> None:
        path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
        Image.fromarray(pictures(1)[0]).save(path, "PNG")
        assert main([str(models / "sexp-normals"), path, "--out", str(tmp_path / "maps")]) == 0
        assert capfdbinary.readouterr().out == os.fsencode(tmp_path) + b"/maps/\xff.normals.png\n"
        assert os.listdir(os.fsencode(tmp_path / "maps")) == [b"\xff.normals.png"]

    def test_what_a_launcher_left_in_the_environment_is_not_waited_for(self, models: Path, paths: list[str]) -> None:
        command = [sys.executable, "-m", "sphreg.predict", str(models / "sexp-shared"), *paths, "--format", "csv"]
        launched = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
        environment = os.environ | launched | {"PYTHONPATH": str(Path(__file__).parents[1])}
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert len(ended.stdout.splitlines()) == 4

    def test_as_a_person_runs_it(self, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "sphreg.predict", str(tmp_path), "a.png"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        ended = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert ended.returncode == 1
        assert ended.stderr.startswith(f"{tmp_path}/last.safetensors: there is no such file")
        assert ended.stderr.count("\n") == 1
