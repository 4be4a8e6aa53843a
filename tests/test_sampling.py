"""The rotations that meshes are seen in."""

import zlib

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.transform import Rotation

from sphreg.render.sampling import rotations


def test_rotations_are_a_matter_of_seed_and_name():
    quaternions = rotations(7, "chair_0001", 10)
    expected = Rotation.random(10, np.random.default_rng([7, zlib.crc32(b"chair_0001")])).as_quat()
    np.testing.assert_array_equal(quaternions, expected * np.sign(expected[:, 3:]))
    np.testing.assert_array_equal(rotations(7, "chair_0001", 4), quaternions[:4])
    for other in rotations(8, "chair_0001", 10), rotations(7, "chair_0002", 10):
        assert not np.isclose(other, quaternions).any()


def test_rotations_are_uniform():
    quaternions = np.concatenate([rotations(0, f"chair_{number:04d}", 40) for number in range(500)])
    np.testing.assert_allclose(np.linalg.norm(quaternions, axis=1), 1)
    assert (quaternions[:, 3] >= 0).all()
    angles = 2 * np.arccos(quaternions[:, 3])
    assert stats.kstest(angles, lambda t: (t - np.sin(t)) / np.pi).pvalue > 0.01
    assert np.degrees(angles.mean()) == pytest.approx(126.48, abs=1)
    axes = quaternions[:, :3] / np.linalg.norm(quaternions[:, :3], axis=1, keepdims=True)
    for component in axes.T:  # each coordinate of a uniform direction is uniform
        assert stats.kstest(component, stats.uniform(-1, 2).cdf).pvalue > 0.01
    around = np.arctan2(axes[:, 1], axes[:, 0])
    assert stats.kstest(around, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 0.01
    assert abs(stats.spearmanr(angles, axes[:, 2]).statistic) < 0.03
