"""The geodesic angle against 50 digits, scipy, matrices and constructed rotations, from 1e-7 rad to pi."""

import math

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from benchmarks import evaluation
from sphreg.rotations import angle_between, canonical, geodesic_angle

ANGLES = [1e-7, 1e-6, 1e-5, 1e-3, 0.1, 1, math.pi / 2, 2, 3, math.pi - 1e-3, math.pi - 1e-5, math.pi - 1e-7, math.pi]
angles = pytest.mark.parametrize("theta", ANGLES)
# Rounding quaternions to a precision alters their angle by about two units in its last place, 2.2e-16 and 1.2e-7.
precisions = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 2e-15), (torch.float32, 1e-6)], ids=str)
ULPS = 2e-15  # of angles up to pi, whose last place is worth 4e-16: the arc tangents of libraries are not all the same


def haar(n: int, seed: int = 0) -> Rotation:
    return Rotation.random(n, np.random.default_rng(seed))


def quaternions(rotations: Rotation) -> Tensor:
    return torch.from_numpy(rotations.as_quat())


def unit_vectors(n: int, dim: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def apart(theta: float, n: int = 40) -> tuple[Tensor, Tensor]:
    """Pairs of random rotations with the angle theta between them, about random axes."""
    a = haar(n)
    return quaternions(a), quaternions(a * Rotation.from_rotvec(theta * unit_vectors(n, 3, seed=1)))


def exact_angle(a: list[float], b: list[float]) -> float:
    """The angle of a^-1 b by 50 digits, from Hamilton's product written out, whatever the quaternions' lengths."""
    with mpmath.workdps(50):
        (ax, ay, az, aw), (bx, by, bz, bw) = [mpmath.mpf(v) for v in a], [mpmath.mpf(v) for v in b]
        x = aw * bx - ax * bw - ay * bz + az * by
        y = aw * by + ax * bz - ay * bw - az * bx
        z = aw * bz - ax * by + ay * bx - az * bw
        w = aw * bw + ax * bx + ay * by + az * bz
        return float(2 * mpmath.atan2(mpmath.sqrt(x * x + y * y + z * z), abs(w)))


class TestCanonical:
    def test_it_is_the_same_rotation_with_w_at_least_0(self) -> None:
        q = quaternions(haar(200))
        signs = torch.where(torch.arange(200) % 2 == 0, 1.0, -1.0)[:, None].double()
        result = canonical(signs * q)
        assert (result[:, 3] >= 0).all()
        assert ((result == q).all(-1) | (result == -q).all(-1)).all()
        assert torch.equal(canonical(-q), canonical(q))
        assert torch.equal(canonical(result), result)
        assert np.allclose(Rotation.from_quat(result).as_matrix(), haar(200).as_matrix(), atol=1e-15)

    @pytest.mark.parametrize("batch", [(), (0,), (5,), (2, 3), (2, 3, 4)], ids=str)
    def test_batches(self, batch: tuple[int, ...]) -> None:
        q = torch.randn(*batch, 4, generator=torch.Generator().manual_seed(0))
        expected = [[-v for v in row] if row[3] < 0 else row for row in q.reshape(-1, 4).tolist()]
        assert torch.equal(canonical(q), torch.tensor(expected).reshape(q.shape))


class TestGeodesicAngle:
    @precisions
    @angles
    def test_it_is_the_angle_of_a_constructed_rotation(
        self, theta: float, dtype: torch.dtype, tolerance: float
    ) -> None:
        a, b = apart(theta)
        result = geodesic_angle(a.to(dtype), b.to(dtype))
        assert result.dtype == dtype
        torch.testing.assert_close(
            result.double(), torch.full((40,), theta, dtype=torch.float64), rtol=0, atol=tolerance
        )

    @precisions
    @angles
    def test_50_digits(self, theta: float, dtype: torch.dtype, tolerance: float) -> None:
        """Of the rounded quaternions themselves, so that only the function's own error counts."""
        a, b = (q.to(dtype) for q in apart(theta))
        expected = [exact_angle(p, q) for p, q in zip(a.tolist(), b.tolist(), strict=True)]
        np.testing.assert_allclose(geodesic_angle(a, b).double().numpy(), expected, rtol=0, atol=tolerance)

    @angles
    def test_scipy(self, theta: float) -> None:
        a, b = apart(theta)
        expected = (Rotation.from_quat(a).inv() * Rotation.from_quat(b)).magnitude()
        np.testing.assert_allclose(geodesic_angle(a, b).numpy(), expected, rtol=0, atol=2e-15)

    @pytest.mark.parametrize("theta", [1e-300, 1e-30, 1e-7, 1e-3, 1])
    def test_small_angles_from_the_identity_keep_all_their_digits(self, theta: float) -> None:
        a = torch.tensor([0, 0, 0, 1], dtype=torch.float64)
        b = torch.tensor([0, 0, math.sin(theta / 2), math.cos(theta / 2)], dtype=torch.float64)
        assert geodesic_angle(a, b).item() == pytest.approx(theta, rel=1e-15)

    @pytest.mark.parametrize("short_of_pi", [1e-15, 1e-7, 1e-3])
    def test_turns_near_a_half_one_keep_their_digits(self, short_of_pi: float) -> None:
        a = torch.tensor([0, 0, 0, 1], dtype=torch.float64)
        b = torch.tensor([math.cos(short_of_pi / 2), 0, 0, math.sin(short_of_pi / 2)], dtype=torch.float64)
        assert geodesic_angle(a, b).item() == pytest.approx(math.pi - short_of_pi, rel=3e-16)

    def test_the_trace_of_the_plain_matrices(self) -> None:
        """1 + 2 cos of the angle is the trace of R_a' R_b."""
        a, b = haar(100, 1), haar(100, 2)
        trace = np.einsum("nij,nij->n", a.as_matrix(), b.as_matrix())
        expected = np.arccos((trace - 1) / 2)
        np.testing.assert_allclose(geodesic_angle(quaternions(a), quaternions(b)).numpy(), expected, atol=1e-7)

    def test_the_logarithm_of_the_matrix_and_the_mistake_of_the_first_evaluation(self) -> None:
        """The spectral norm of log(R_a' R_b) is the angle, its Frobenius norm sqrt(2) times that; they were mixed."""
        a, b = haar(30, 1), haar(30, 2)
        logarithms = [scipy.linalg.logm(p.T @ q).real for p, q in zip(a.as_matrix(), b.as_matrix(), strict=True)]
        result = geodesic_angle(quaternions(a), quaternions(b)).numpy()
        spectral = np.array([np.linalg.norm(log, 2) for log in logarithms])
        np.testing.assert_allclose(result, spectral, atol=1e-7)
        np.testing.assert_allclose(result, [np.linalg.norm(log) / math.sqrt(2) for log in logarithms], atol=1e-7)
        assert (np.abs(result - spectral / math.sqrt(2)) > 0.25 * result).all()

    @pytest.mark.parametrize("turns", [0, 45, 90, 179, 180, 181, 270, 359, 360])
    def test_turns_about_one_axis_in_degrees(self, turns: int) -> None:
        a = Rotation.from_euler("z", 0, degrees=True)
        b = Rotation.from_euler("z", turns, degrees=True)
        result = geodesic_angle(quaternions(a), quaternions(b)).rad2deg().item()
        assert result == pytest.approx(min(turns, 360 - turns), abs=1e-13)

    @angles
    def test_it_is_symmetric_and_q_is_minus_q(self, theta: float) -> None:
        a, b = apart(theta)
        expected = geodesic_angle(a, b)
        for p, q in [(b, a), (-a, b), (a, -b), (-a, -b), (-b, a)]:
            torch.testing.assert_close(geodesic_angle(p, q), expected, rtol=0, atol=ULPS)

    @angles
    def test_a_rotation_before_or_after_both_changes_nothing(self, theta: float) -> None:
        a, b = apart(theta)
        p, q, r = Rotation.from_quat(a), Rotation.from_quat(b), haar(40, seed=3)
        for left, right in [(r * p, r * q), (p * r, q * r), (r.inv() * p * r, r.inv() * q * r)]:
            result = geodesic_angle(quaternions(left), quaternions(right))
            torch.testing.assert_close(result, geodesic_angle(a, b), rtol=0, atol=4e-15)

    def test_it_is_a_distance(self) -> None:
        a, b, c = (quaternions(haar(2000, seed)) for seed in (1, 2, 3))
        assert (geodesic_angle(a, a) < 1e-15).all()
        assert (geodesic_angle(a, c) <= geodesic_angle(a, b) + geodesic_angle(b, c) + 2 * ULPS).all()
        assert (geodesic_angle(a, b) <= math.pi).all()

    def test_random_rotations_are_as_far_apart_as_haars_measure_says(self) -> None:
        """Density (1 - cos t) / pi on [0, pi]: median 132.35 and mean 126.48 degrees."""
        result = geodesic_angle(quaternions(haar(20_000, 1)), quaternions(haar(20_000, 2))).numpy()
        assert scipy.stats.kstest(result, lambda t: (t - np.sin(t)) / math.pi).pvalue > 0.01
        assert math.degrees(np.median(result)) == pytest.approx(132.35, abs=1)
        assert math.degrees(result.mean()) == pytest.approx(126.48, abs=1)
        wrong = scipy.stats.kstest(result / math.sqrt(2), lambda t: (t - np.sin(t)) / math.pi)
        assert wrong.pvalue < 1e-12

    @pytest.mark.parametrize("batch", [(), (0,), (5,), (2, 3), (2, 3, 4)], ids=str)
    def test_batches(self, batch: tuple[int, ...]) -> None:
        generator = torch.Generator().manual_seed(0)
        a, b = (torch.nn.functional.normalize(torch.randn(*batch, 4, generator=generator), dim=-1) for _ in "ab")
        expected = [
            exact_angle(p, q) for p, q in zip(a.reshape(-1, 4).tolist(), b.reshape(-1, 4).tolist(), strict=True)
        ]
        torch.testing.assert_close(geodesic_angle(a, b), torch.tensor(expected).reshape(batch), rtol=0, atol=1e-6)


class TestLoops:
    """Loops over the samples that compute a matrix logarithm or the trace of R_a' R_b, as published and lean."""

    @pytest.mark.filterwarnings("ignore:the matrix subclass")
    @pytest.mark.parametrize("name", evaluation.LOOPS)
    def test_they_agree_where_they_are_accurate(self, name: str) -> None:
        low, high = evaluation.ACCURATE_DEG[name]
        degrees = np.concatenate([np.geomspace(max(low, 1e-9), 180, 60, endpoint=False), np.linspace(low, high, 40)])
        a = haar(100)
        b = a * Rotation.from_rotvec(unit_vectors(100, 3, seed=1) * degrees[:, None], degrees=True)
        found = evaluation.LOOPS[name](a.as_quat(), b.as_quat())
        np.testing.assert_allclose(found, degrees, rtol=0, atol=1e-6)
        np.testing.assert_allclose(found, geodesic_angle(quaternions(a), quaternions(b)).rad2deg(), rtol=0, atol=1e-6)

    @pytest.mark.parametrize("name", evaluation.LOOPS)
    @pytest.mark.parametrize("factor", [1 / math.sqrt(2), 1 + 1e-7, math.nan], ids=["1 / sqrt(2)", "1 + 1e-7", "nan"])
    def test_the_benchmark_refuses_what_does_not_agree(self, name: str, factor: float) -> None:
        degrees = np.linspace(1, 180, 50)
        assert "at most 0.0e+00 degrees" in evaluation.agree(name, degrees, degrees)
        with pytest.raises(SystemExit, match=f"{name}: .* degrees from `geodesic_angle`, allowed: 1e-06"):
            evaluation.agree(name, factor * degrees, degrees)

    def test_the_views_of_the_benchmark(self) -> None:
        """As many as in ModelNet10-SO3, with errors from 0 to 180 degrees."""
        table, true, predicted = evaluation.views()
        assert len(table) == len(true) == len(predicted) == 18_160
        assert table["key"].is_unique and table["category"].nunique() == 10
        errors = np.degrees((Rotation.from_quat(true).inv() * Rotation.from_quat(predicted)).magnitude())
        np.testing.assert_allclose(evaluation.ours(true, predicted), errors, rtol=0, atol=2e-13)
        for low, high in (0, 1e-12), (1e-6, 1e-3), (1e-3, 1), (1, 90), (90, 179), (180 - 1e-12, 180.1):
            assert ((errors >= low) & (errors <= high)).sum() >= 20


class TestAngleBetween:
    @precisions
    @angles
    @pytest.mark.parametrize("dim", [2, 3, 4])
    def test_it_is_the_angle_of_a_constructed_vector(
        self, theta: float, dim: int, dtype: torch.dtype, tolerance: float
    ) -> None:
        """cos(theta) a + sin(theta) n, with n at right angles to a."""
        a, n = unit_vectors(30, dim, seed=1), unit_vectors(30, dim, seed=2)
        for _ in range(2):  # the second time removes what rounding left
            n -= (a * n).sum(1, keepdims=True) * a
            n /= np.linalg.norm(n, axis=1, keepdims=True)
        b = math.cos(theta) * a + math.sin(theta) * n
        p, q = (torch.from_numpy(v).to(dtype) for v in (a, b))
        expected = torch.full((30,), theta, dtype=torch.float64)
        torch.testing.assert_close(angle_between(p, q).double(), expected, rtol=0, atol=tolerance)
        torch.testing.assert_close(angle_between(q, p), angle_between(p, q), rtol=0, atol=0)

    def test_the_closed_form(self) -> None:
        a, b = unit_vectors(200, 3, seed=1), unit_vectors(200, 3, seed=2)
        expected = np.arctan2(np.linalg.norm(np.cross(a, b), axis=1), (a * b).sum(1))
        np.testing.assert_allclose(angle_between(torch.from_numpy(a), torch.from_numpy(b)), expected, atol=2e-15)

    def test_the_ends_are_exact(self) -> None:
        a = torch.from_numpy(unit_vectors(50, 3))
        assert (angle_between(a, a) == 0).all()
        assert (angle_between(a, -a) == math.pi).all()

    @pytest.mark.parametrize("batch", [(), (0,), (2, 5, 4)], ids=str)
    def test_batches(self, batch: tuple[int, ...]) -> None:
        x, y = torch.eye(3)[:2]
        a, b = (v.expand(*batch, 3) for v in (x, y))
        torch.testing.assert_close(angle_between(a, b), torch.full(batch, math.pi / 2))


def test_a_zero_quaternion_is_no_rotation_and_has_no_error() -> None:
    """It would otherwise score 0 degrees, as atan2(0, 0) is 0."""
    one, nothing = torch.tensor([0.0, 0.0, 0.0, 1.0]), torch.zeros(4)
    assert geodesic_angle(torch.stack([one, nothing]), torch.stack([one, one])).isnan().tolist() == [False, True]
