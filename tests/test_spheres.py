"""Spheres: S_exp and S_flat against 50 digits and against their Jacobians, sign classes against plain loops."""

import itertools
import math

import mpmath  # type: ignore[import-untyped]
import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian

from sphreg.spheres import Sphere, s_exp, s_flat

SPHERES = {
    "S1": Sphere(2),
    "S2 with known z": Sphere(3, positive=2),
    "S3 with known w": Sphere(4, positive=3),
    "S2 with known x": Sphere(3, positive=0),
    "S4": Sphere(5),
}
BATCHES = [(), (7,), (2, 3), (2, 5, 4), (0,)]
spheres = pytest.mark.parametrize("sphere", SPHERES.values(), ids=SPHERES.keys())
batches = pytest.mark.parametrize("batch", BATCHES, ids=str)
precisions = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-6)], ids=str)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=generator(), dtype=torch.float64)


def exact_s_exp(raw: Tensor) -> Tensor:
    """S_exp of one point, with 50 digits and any exponent."""
    with mpmath.workdps(50):
        powers = [mpmath.exp(mpmath.mpf(o)) for o in raw.tolist()]
        norm = mpmath.sqrt(sum(power**2 for power in powers))
        return torch.tensor([float(power / norm) for power in powers], dtype=torch.float64)


class TestSigns:
    @pytest.mark.parametrize(
        ("sphere", "classes", "free"),
        [(Sphere(2), 4, (0, 1)), (Sphere(3, 2), 4, (0, 1)), (Sphere(4, 3), 8, (0, 1, 2)), (Sphere(3, 0), 4, (1, 2))],
    )
    def test_there_are_two_to_the_free_components_classes(
        self, sphere: Sphere, classes: int, free: tuple[int, ...]
    ) -> None:
        assert sphere.classes == classes
        assert sphere.free == free

    @spheres
    def test_bit_k_is_set_where_the_kth_free_component_is_negative(self, sphere: Sphere) -> None:
        seen = []
        for signs in itertools.product((1, -1), repeat=sphere.dim):
            if sphere.positive is not None and signs[sphere.positive] < 0:
                continue
            expected, bit = 0, 1
            for component in range(sphere.dim):
                if component != sphere.positive:
                    if signs[component] < 0:
                        expected += bit
                    bit *= 2
            size = torch.rand(sphere.dim, generator=generator(expected), dtype=torch.float64) + 0.1
            point = size * torch.tensor(signs)
            assert sphere.sign_class(point).item() == expected
            assert torch.equal(sphere.signs(sphere.sign_class(point)) * size, point)
            seen.append(expected)
        assert sorted(seen) == list(range(sphere.classes))

    @spheres
    def test_every_class_comes_back_from_its_signs(self, sphere: Sphere) -> None:
        classes = torch.arange(sphere.classes)
        assert torch.equal(sphere.sign_class(sphere.signs(classes)), classes)
        assert torch.equal(sphere.signs(classes).abs(), torch.ones(sphere.classes, sphere.dim))

    @spheres
    @batches
    def test_random_points_come_back_from_class_and_absolute_values(
        self, sphere: Sphere, batch: tuple[int, ...]
    ) -> None:
        points = randn(*batch, sphere.dim)
        if sphere.positive is not None:
            points[..., sphere.positive].abs_()
        classes = sphere.sign_class(points)
        assert classes.shape == batch
        assert classes.dtype == torch.int64
        assert torch.equal(sphere.signs(classes) * points.abs(), points)

    @spheres
    def test_zeros_of_both_signs_count_as_positive(self, sphere: Sphere) -> None:
        assert sphere.sign_class(torch.zeros(sphere.dim)).item() == 0
        assert sphere.sign_class(torch.full((sphere.dim,), -0.0)).item() == 0
        assert sphere.sign_class(torch.full((sphere.dim,), -1e-30)).item() == sphere.classes - 1

    def test_the_known_sign_has_no_class(self) -> None:
        """The few normals that look away from the camera get the class of those that face it."""
        sphere = SPHERES["S2 with known z"]
        assert sphere.sign_class(torch.tensor([[0.6, -0.7, 0.1], [0.6, -0.7, -0.1]])).tolist() == [2, 2]
        assert sphere.signs(torch.tensor(2)).tolist() == [1, -1, 1]


class TestSExp:
    @precisions
    @pytest.mark.parametrize("scale", [0.1, 1, 5, 100])
    def test_it_is_the_formula(self, dtype: torch.dtype, tolerance: float, scale: float) -> None:
        raw = randn(20, 4, scale=scale).to(dtype)
        expected = torch.stack([exact_s_exp(point) for point in raw])
        # The exponent's rounding error grows with the exponent.
        torch.testing.assert_close(s_exp(raw).double(), expected, rtol=0, atol=tolerance * max(1, scale))

    @precisions
    @pytest.mark.parametrize("shift", [1e4, -1e4])
    def test_large_outputs_neither_overflow_nor_vanish(
        self, dtype: torch.dtype, tolerance: float, shift: float
    ) -> None:
        whole = torch.tensor([0.0, 1.0, -2.0, 0.5], dtype=dtype)  # exact after the shift, in both precisions
        # One unit in the last place of 1e4 is the error of the logarithm.
        torch.testing.assert_close(s_exp(whole + shift), exact_s_exp(whole).to(dtype), rtol=0, atol=1e4 * tolerance)
        one_wins = torch.tensor([1e4, 0.0, -1e4], dtype=dtype, requires_grad=True)
        points = s_exp(one_wins)
        assert points.tolist() == [1, 0, 0]
        points.sum().backward()
        assert one_wins.grad is not None and one_wins.grad.isfinite().all()

    @precisions
    def test_points_are_positive_and_of_unit_length(self, dtype: torch.dtype, tolerance: float) -> None:
        points = s_exp(randn(200, 4, scale=3).to(dtype))
        assert (points > 0).all()
        torch.testing.assert_close(points.norm(dim=-1), torch.ones(200, dtype=dtype), rtol=0, atol=5 * tolerance)

    def test_a_constant_added_changes_nothing(self) -> None:
        raw = randn(50, 3)
        torch.testing.assert_close(s_exp(raw + 17.3), s_exp(raw), rtol=0, atol=1e-13)

    def test_the_logarithm_is_its_inverse(self) -> None:
        points = randn(50, 4).abs()
        points /= points.square().sum(-1, keepdim=True).sqrt()
        torch.testing.assert_close(s_exp(points.log()), points, rtol=0, atol=1e-14)

    def test_squares_are_the_softmax_of_doubled_outputs_and_half_outputs_give_the_root_of_the_softmax(self) -> None:
        raw = randn(50, 4)
        torch.testing.assert_close(s_exp(raw) ** 2, torch.softmax(2 * raw, -1))
        torch.testing.assert_close(s_exp(raw / 2), torch.softmax(raw, -1).sqrt())

    @pytest.mark.parametrize("dim", [2, 3, 4])
    def test_its_jacobian_depends_on_the_point_alone(self, dim: int) -> None:
        """dp_i / do_j = p_i (delta_ij - p_j^2)."""
        for raw in randn(5, dim, scale=2):
            p = s_exp(raw).tolist()
            expected = [[p[i] * ((i == j) - p[j] ** 2) for j in range(dim)] for i in range(dim)]
            torch.testing.assert_close(jacobian(s_exp, raw), torch.tensor(expected, dtype=torch.float64))
            torch.testing.assert_close(jacobian(s_exp, raw), jacobian(s_exp, raw + 9))

    @batches
    def test_every_point_of_a_batch_is_taken_alone(self, batch: tuple[int, ...]) -> None:
        raw = randn(*batch, 3)
        alone = [exact_s_exp(point) for point in raw.reshape(-1, 3)]
        torch.testing.assert_close(s_exp(raw), torch.stack(alone).reshape(raw.shape) if alone else raw)


class TestSFlat:
    @precisions
    def test_it_divides_by_the_norm(self, dtype: torch.dtype, tolerance: float) -> None:
        raw = randn(50, 4, scale=3).to(dtype)
        expected = [[o / math.sqrt(sum(k * k for k in point)) for o in point] for point in raw.tolist()]
        torch.testing.assert_close(s_flat(raw), torch.tensor(expected, dtype=dtype), rtol=0, atol=tolerance)

    @pytest.mark.parametrize("dim", [2, 3, 4])
    def test_its_jacobian_shrinks_with_the_norm(self, dim: int) -> None:
        """dp / do = (I - p p^T) / ||o||."""
        for raw in randn(5, dim, scale=2):
            norm = math.sqrt(sum(o * o for o in raw.tolist()))
            p = [o / norm for o in raw.tolist()]
            expected = [[((i == j) - p[i] * p[j]) / norm for j in range(dim)] for i in range(dim)]
            torch.testing.assert_close(jacobian(s_flat, raw), torch.tensor(expected, dtype=torch.float64))
            torch.testing.assert_close(jacobian(s_flat, 10 * raw), jacobian(s_flat, raw) / 10)

    @batches
    def test_only_the_direction_counts(self, batch: tuple[int, ...]) -> None:
        raw = randn(*batch, 3)
        torch.testing.assert_close(s_flat(1e-6 * raw), s_flat(1e6 * raw))
        assert s_flat(raw).shape == raw.shape

    def test_zeros_stay_zeros_with_a_finite_gradient(self) -> None:
        raw = torch.zeros(4, dtype=torch.float64, requires_grad=True)
        points = s_flat(raw)
        assert points.tolist() == [0, 0, 0, 0]
        points.sum().backward()
        assert raw.grad is not None and raw.grad.isfinite().all()
