"""Tasks: targets and answers as round trips, errors as constructed angles, reductions as plain loops."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation as Turn
from torch import Tensor

from sphreg import heads, tasks
from sphreg.config import TASKS as NAMES
from sphreg.heads.base import Head
from sphreg.spheres import Sphere
from sphreg.tasks import TASKS
from sphreg.tasks.base import Pose, Task
from sphreg.tasks.normals import Normals
from sphreg.tasks.rotation import Rotation
from sphreg.tasks.viewpoint import Viewpoint
from tests.settings import PARAMS

TRAIN = PARAMS.train


def task(name: str, **settings: Any) -> Task:
    section = getattr(TRAIN, name)
    return tasks.build(name, section.model_copy(update=settings))


def rotation() -> Rotation:
    return Rotation(TRAIN.rotation)


def viewpoint(shift: float = 0.0) -> Viewpoint:
    return Viewpoint(TRAIN.viewpoint.model_copy(update={"azimuth_shift_deg": shift}))


def normals(turn: float = 45.0) -> Normals:
    return Normals(TRAIN.normals.model_copy(update={"rotate_xy_deg": turn}))


def haar(n: int, seed: int = 0) -> Turn:
    return Turn.random(n, np.random.default_rng(seed))


def quaternions(turns: Turn) -> Tensor:
    return torch.from_numpy(turns.as_quat())


def deg(degrees: float) -> float:
    return math.radians(degrees)


def plain_viewpoint(azimuth: float, elevation: float, tilt: float) -> np.ndarray:
    """Rz(tilt) Rx(elevation - 90 deg) Rz(-azimuth), written out."""

    def rz(t: float) -> np.ndarray:
        return np.array([[math.cos(t), -math.sin(t), 0], [math.sin(t), math.cos(t), 0], [0, 0, 1]])

    def rx(t: float) -> np.ndarray:
        return np.array([[1, 0, 0], [0, math.cos(t), -math.sin(t)], [0, math.sin(t), math.cos(t)]])

    return rz(tilt) @ rx(elevation - math.pi / 2) @ rz(-azimuth)


def random_viewpoints(n: int, seed: int = 0) -> np.ndarray:
    """Azimuth, elevation and tilt in radians, in their ranges."""
    low, high = [-math.pi, -math.pi / 2, -math.pi], [math.pi, math.pi / 2, math.pi]
    return np.random.default_rng(seed).uniform(low, high, (n, 3))


def from_viewpoints(viewpoints: np.ndarray) -> Tensor:
    return quaternions(Turn.from_matrix(np.stack([plain_viewpoint(*angles) for angles in viewpoints])))


def on_circles(angles: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack([np.cos(angles), np.sin(angles)], axis=-1))


def angle_of_matrices(a: np.ndarray, b: np.ndarray) -> float:
    """Of a' b, from its trace and its antisymmetric part."""
    m = a.T @ b
    sine = math.hypot(m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1])
    return math.atan2(sine, np.trace(m) - 1)


class TestEveryTask:
    @pytest.mark.parametrize(
        ("name", "points", "sphere", "classes"),
        [("rotation", 1, Sphere(4, 3), 8), ("viewpoint", 3, Sphere(2), 4), ("normals", None, Sphere(3, 2), 4)],
    )
    def test_its_points_and_their_sphere(self, name: str, points: int | None, sphere: Sphere, classes: int) -> None:
        built = tasks.build(name, getattr(TRAIN, name))
        assert (built.points, built.sphere, built.sphere.classes) == (points, sphere, classes)

    def test_each_gets_its_own_section_of_the_settings(self) -> None:
        assert list(TASKS) == list(NAMES)
        for name in TASKS:
            assert tasks.build(name, getattr(TRAIN, name)).settings == getattr(TRAIN, name)

    @pytest.mark.parametrize("name", ["rotation", "viewpoint"])
    def test_losses_of_poses_are_summed_over_the_points(self, name: str) -> None:
        built = task(name)
        assert built.points is not None
        losses = torch.arange(1, 1 + 4 * built.points, dtype=torch.float64).reshape(4, built.points)
        assert built.total(losses, quaternions(haar(4))).item() == sum(sum(row) for row in losses.tolist())

    @pytest.mark.parametrize("name", ["rotation", "viewpoint"])
    def test_every_pose_has_a_truth(self, name: str) -> None:
        mask = task(name).mask(quaternions(haar(5)))
        assert mask.tolist() == [True] * 5

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
    @pytest.mark.parametrize("name", ["rotation", "viewpoint"])
    def test_targets_are_points_of_the_sphere_with_the_precision_of_the_truth(
        self, name: str, dtype: torch.dtype
    ) -> None:
        built = task(name)
        targets = built.targets(quaternions(haar(50)).to(dtype))
        assert targets.shape == (50, built.points, built.sphere.dim)
        assert targets.dtype == dtype
        torch.testing.assert_close(targets.square().sum(-1), torch.ones(50, built.points or 0, dtype=dtype))
        if built.sphere.positive is not None:
            assert (targets[..., built.sphere.positive] >= 0).all()
        assert built.answer(targets).dtype == dtype

    @pytest.mark.parametrize(
        ("built", "atol"), [(rotation(), 0), (viewpoint(), 1e-14), (viewpoint(45.0), 1e-14), (viewpoint(-180.0), 1e-14)]
    )
    def test_a_perfect_prediction_of_a_pose_has_no_error(self, built: Pose, atol: float) -> None:
        truth = quaternions(haar(200))
        answer = built.answer(built.targets(truth))
        signs = torch.where((truth[:, 3:] < 0), -1.0, 1.0)
        torch.testing.assert_close(answer, signs * truth, rtol=0, atol=atol)
        assert (built.error(answer, truth) < 1e-14).all()
        assert (built.error(-answer, truth) < 1e-14).all()

    @pytest.mark.parametrize("name", ["rotation", "viewpoint"])
    @pytest.mark.parametrize("theta", [1e-7, 1e-3, 1, math.pi / 2, 3, math.pi])
    def test_the_error_of_a_pose_is_the_angle_that_was_put_in(self, name: str, theta: float) -> None:
        axes = np.random.default_rng(1).normal(size=(30, 3))
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
        truth, wrong = haar(30), haar(30) * Turn.from_rotvec(theta * axes)
        built = task(name)
        answer = built.answer(built.targets(quaternions(wrong)))
        np.testing.assert_allclose(built.error(answer, quaternions(truth)), theta, rtol=0, atol=1e-14)


class TestRotation:
    def test_the_target_is_the_quaternion_of_positive_w(self) -> None:
        """Components XYZW; q and -q are one rotation."""
        truth = torch.tensor([[0.1, -0.7, 0.1, 0.7], [0.5, 0.5, -0.5, -0.5], [0.6, 0, -0.8, 0]], dtype=torch.float64)
        expected = torch.tensor([[0.1, -0.7, 0.1, 0.7], [-0.5, -0.5, 0.5, 0.5], [0.6, 0, -0.8, 0]], dtype=torch.float64)
        assert torch.equal(rotation().targets(truth)[:, 0], expected)
        assert torch.equal(rotation().answer(truth[:, None]), expected)

    def test_columns(self) -> None:
        truth = quaternions(haar(100))
        columns = rotation().columns(rotation().targets(truth))
        assert list(columns) == ["qw", "qx", "qy", "qz", "sign_class"]
        for row, (x, y, z, w) in enumerate(haar(100).as_quat(canonical=True)):
            assert [columns[name][row] for name in ("qw", "qx", "qy", "qz")] == [w, x, y, z]
            assert columns["sign_class"][row] == (x < 0) + 2 * (y < 0) + 4 * (z < 0)

    def test_columns_of_a_prediction_of_negative_w_are_those_of_the_same_rotation(self) -> None:
        """A direct head may predict one; the table shows the canonical one, with its class."""
        columns = rotation().columns(torch.tensor([[[0.5, -0.5, 0.5, -0.5]]]))
        assert {name: column.item() for name, column in columns.items()} == {
            "qw": 0.5,
            "qx": -0.5,
            "qy": 0.5,
            "qz": -0.5,
            "sign_class": 0b101,
        }


class TestViewpoint:
    @pytest.mark.parametrize("shift", [0.0, 45.0, -180.0])
    def test_targets_are_cosine_and_sine_of_the_angles_with_the_azimuth_shifted(self, shift: float) -> None:
        viewpoints = random_viewpoints(100)
        targets = viewpoint(shift).targets(from_viewpoints(viewpoints))
        for row, (azimuth, elevation, tilt) in enumerate(viewpoints):
            angles = (azimuth + deg(shift), elevation, tilt)
            expected = [[math.cos(angle), math.sin(angle)] for angle in angles]
            np.testing.assert_allclose(targets[row], expected, rtol=0, atol=1e-13)

    @pytest.mark.parametrize("shift", [0.0, 45.0, -180.0])
    def test_the_answer_is_the_product_of_the_plain_matrices(self, shift: float) -> None:
        """Of any points, also of an elevation beyond the poles and of points that are not quite of unit length."""
        angles = np.random.default_rng(0).uniform(-math.pi, math.pi, (100, 3))
        answer = viewpoint(shift).answer(1.01 * on_circles(angles))
        for quaternion, (azimuth, elevation, tilt) in zip(answer.numpy(), angles, strict=True):
            expected = plain_viewpoint(azimuth - deg(shift), elevation, tilt)
            np.testing.assert_allclose(Turn.from_quat(quaternion).as_matrix(), expected, rtol=0, atol=1e-14)

    def test_the_error_is_the_angle_of_the_composed_rotations(self) -> None:
        built, predicted, true = viewpoint(45.0), random_viewpoints(100, 1), random_viewpoints(100, 2)
        shifted = predicted + np.array([deg(45), 0, 0])
        errors = built.error(built.answer(on_circles(shifted)), from_viewpoints(true))
        for error, a, b in zip(errors.tolist(), predicted, true, strict=True):
            assert error == pytest.approx(angle_of_matrices(plain_viewpoint(*a), plain_viewpoint(*b)), abs=1e-13)

    @pytest.mark.parametrize("which", [0, 1, 2])
    @pytest.mark.parametrize("wrong_deg", [1e-5, 1, 30, 170])
    def test_one_wrong_angle_is_the_error_itself(self, which: int, wrong_deg: float) -> None:
        viewpoints = random_viewpoints(30)
        wrong = viewpoints.copy()
        wrong[:, which] += deg(wrong_deg)
        built = viewpoint()
        errors = built.error(built.answer(on_circles(wrong)), from_viewpoints(viewpoints))
        np.testing.assert_allclose(errors, deg(wrong_deg), rtol=0, atol=1e-13)

    def test_from_above_azimuth_and_tilt_make_up_for_each_other(self) -> None:
        """Two wrong angles, one right rotation; an error by angles would say 70 degrees."""
        built = viewpoint()
        true, wrong = np.array([[0.3, math.pi / 2, 0.5]]), np.array([[0.3 + deg(70), math.pi / 2, 0.5 + deg(70)]])
        assert built.error(built.answer(on_circles(wrong)), from_viewpoints(true)).item() < 1e-14

    @pytest.mark.parametrize("shift", [0.0, 45.0])
    def test_columns(self, shift: float) -> None:
        """The angles without the shift, in degrees; the classes of the points that were learned, with it."""
        viewpoints = random_viewpoints(100)
        built = viewpoint(shift)
        columns = built.columns(built.targets(from_viewpoints(viewpoints)))
        names = ["azimuth", "elevation", "tilt"]
        assert list(columns) == [f"{name}_deg" for name in names] + [f"{name}_sign_class" for name in names]
        for place, name in enumerate(names):
            np.testing.assert_allclose(columns[f"{name}_deg"], np.degrees(viewpoints[:, place]), rtol=0, atol=1e-11)
            for row, angle in enumerate(viewpoints[:, place]):
                learned = angle + (deg(shift) if name == "azimuth" else 0)
                expected = (math.cos(learned) < 0) + 2 * (math.sin(learned) < 0)
                assert columns[f"{name}_sign_class"][row] == expected

    def test_columns_of_an_elevation_beyond_the_pole_are_brought_into_the_ranges(self) -> None:
        """Elevation 120 at azimuth 10 is elevation 60 from the other side, upside down."""
        columns = viewpoint().columns(on_circles(np.radians([[10.0, 120.0, 0.0]])))
        assert columns["azimuth_deg"].item() == pytest.approx(-170)
        assert columns["elevation_deg"].item() == pytest.approx(60)
        assert abs(columns["tilt_deg"].item()) == pytest.approx(180)
        assert columns["elevation_sign_class"].item() == 1


class TestNormals:
    @staticmethod
    def truth(dtype: torch.dtype = torch.float64) -> Tensor:
        """Two maps of 4 x 5 unit vectors towards the viewer; about a third of the pixels are background."""
        generator = torch.Generator().manual_seed(0)
        vectors = torch.randn(2, 4, 5, 3, generator=generator, dtype=torch.float64)
        vectors[..., 2].abs_()
        vectors /= vectors.square().sum(-1, keepdim=True).sqrt()
        return (vectors * (torch.rand(2, 4, 5, 1, generator=generator) < 0.7)).to(dtype)

    @pytest.mark.parametrize("turn", [0.0, 45.0, 90.0, -180.0])
    def test_targets_are_turned_about_z(self, turn: float) -> None:
        targets = normals(turn).targets(self.truth())
        cos, sin = math.cos(deg(turn)), math.sin(deg(turn))
        for target, (x, y, z) in zip(
            targets.reshape(-1, 3).tolist(), self.truth().reshape(-1, 3).tolist(), strict=True
        ):
            assert target == pytest.approx([cos * x - sin * y, sin * x + cos * y, z], abs=1e-15)

    @pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-15), (torch.float32, 3e-7)], ids=str)
    @pytest.mark.parametrize("turn", [0.0, 45.0, -180.0])
    def test_answers_are_turned_back(self, turn: float, dtype: torch.dtype, atol: float) -> None:
        truth = self.truth(dtype)
        answer = normals(turn).answer(normals(turn).targets(truth))
        torch.testing.assert_close(answer, truth, rtol=0, atol=atol)
        errors = normals(turn).error(answer, truth)
        assert (errors[normals().mask(truth)] < 2 * atol).all()

    def test_the_mask_is_where_a_vector_is(self) -> None:
        truth = self.truth()
        mask = normals().mask(truth)
        for pixel, vector in zip(mask.flatten().tolist(), truth.reshape(-1, 3).tolist(), strict=True):
            assert pixel == (vector != [0, 0, 0])
        assert 0 < mask.sum() < mask.numel()
        one_component = torch.zeros(1, 1, 2, 3)
        one_component[0, 0, 0, 0] = -1
        assert normals().mask(one_component).tolist() == [[[True, False]]]

    @pytest.mark.parametrize("theta_deg", [1e-5, 1, 45, 90, 179.9, 180])
    def test_the_error_is_the_angle_that_was_put_in(self, theta_deg: float) -> None:
        """About an axis at right angles to the normal."""
        truth = self.truth()
        mask = normals().mask(truth)
        across = torch.linalg.cross(truth, torch.tensor([0.36, 0.48, 0.8]).double().expand_as(truth))
        across /= across.square().sum(-1, keepdim=True).sqrt()
        answer = math.cos(deg(theta_deg)) * truth + math.sin(deg(theta_deg)) * across
        errors = normals().error(answer, truth)
        assert errors.shape == mask.shape
        np.testing.assert_allclose(errors[mask].rad2deg(), theta_deg, rtol=0, atol=1e-12)

    def test_losses_are_summed_over_the_pixels_of_the_object(self) -> None:
        truth = self.truth()
        losses = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        inside = [
            loss
            for loss, vector in zip(losses.flatten().tolist(), truth.reshape(-1, 3).tolist(), strict=True)
            if any(vector)
        ]
        assert normals().total(losses, truth).item() == pytest.approx(sum(inside), rel=1e-14)

    HEADS = pytest.mark.parametrize(
        ("head", "settings"),
        [
            ("direct", {}),
            ("flat", {}),
            ("sexp", {"absolute": "cosine", "absolute_weight": 10.0, "sign_weight": 1.0}),
            ("sexp", {"absolute": "cross_entropy", "absolute_weight": 4.0, "sign_weight": 1.0}),
        ],
    )

    @staticmethod
    def loss_and_gradient(head: Head, raw: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        raw = raw.clone().requires_grad_()
        losses = head.loss(raw, normals().targets(truth)).values()
        loss = torch.stack([normals().total(part, truth) for part in losses]).sum()
        loss.backward()
        assert raw.grad is not None
        return loss.detach(), raw.grad

    @HEADS
    def test_pixels_of_the_background_change_neither_loss_nor_gradient(
        self, head: str, settings: dict[str, Any]
    ) -> None:
        built = heads.build(head, Normals.sphere, settings)
        truth = self.truth()
        mask = normals().mask(truth)
        raw = torch.randn(2, 4, 5, sum(built.parts), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        loss, gradient = self.loss_and_gradient(built, raw, truth)
        assert (gradient[~mask] == 0).all()
        assert (gradient[mask] != 0).any(-1).all()
        for background in 0.0, -3.0, 1e4:
            other = torch.where(mask[..., None], raw, background)
            same_loss, same_gradient = self.loss_and_gradient(built, other, truth)
            assert torch.equal(same_loss, loss)
            assert torch.equal(same_gradient, gradient)

    @HEADS
    def test_images_of_nothing_have_no_loss_and_no_gradient(self, head: str, settings: dict[str, Any]) -> None:
        built = heads.build(head, Normals.sphere, settings)
        raw = torch.randn(1, 3, 3, sum(built.parts), generator=torch.Generator().manual_seed(1))
        loss, gradient = self.loss_and_gradient(built, raw, torch.zeros(1, 3, 3, 3))
        assert loss.item() == 0
        assert (gradient == 0).all()
