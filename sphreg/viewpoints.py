"""Rotations as viewpoints: R = Rz(tilt) Rx(elevation - 90 deg) Rz(-azimuth), the angles in radians.

Azimuth and tilt are in [-pi, pi), elevation in [-pi/2, pi/2]. Azimuth 0, elevation 0 and tilt 0 see an object's front
(its -y) upright (its z). From straight above or below, the azimuth and the tilt turn about the same axis: the tilt is
defined as 0 there.
"""

import numpy as np
from jaxtyping import Float64

# Nearer to a pole than this, in radians, azimuth and tilt are noise of the quaternion's last bits.
POLE = 1e-12


def viewpoint_angles(quaternions: Float64[np.ndarray, "n 4"]) -> Float64[np.ndarray, "n 3"]:
    """Azimuth, elevation and tilt of rotations, given as quaternions XYZW of either sign.

    The product of the three rotations is the quaternion

        w, z = cos(p) cos(d), cos(p) sin(d)      with p = (90 deg - elevation) / 2,
        x, y = -sin(p) cos(s), -sin(p) sin(s)         d = (tilt - azimuth) / 2, s = (tilt + azimuth) / 2,

    so that two-argument arc tangents give all three, exactly up to the poles.
    """
    x, y, z, w = quaternions.T
    top, bottom = np.hypot(x, y), np.hypot(z, w)
    polar = 2 * np.arctan2(top, bottom)
    half_difference, half_sum = np.arctan2(z, w), np.arctan2(-y, -x)
    at_top, at_bottom = polar < POLE, polar > np.pi - POLE
    half_sum = np.where(at_top, -half_difference, half_sum)
    half_difference = np.where(at_bottom, -half_sum, half_difference)
    azimuth, tilt = half_sum - half_difference, half_sum + half_difference
    return np.stack([_wrap(azimuth), np.pi / 2 - polar, _wrap(tilt)], axis=-1)


def viewpoint_quaternions(angles: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 4"]:
    """The rotations of azimuth, elevation and tilt, of any size, as quaternions XYZW with w >= 0."""
    from scipy.spatial.transform import Rotation  # here, as it takes long to import, and few who read angles need it

    azimuth, elevation, tilt = angles.T
    turns = np.stack([tilt, elevation - np.pi / 2, -azimuth], axis=-1)
    return Rotation.from_euler("ZXZ", turns).as_quat(canonical=True)


def _wrap(angles: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    """Into [-pi, pi)."""
    wrapped = (angles + np.pi) % (2 * np.pi) - np.pi
    return np.where(wrapped >= np.pi, -np.pi, wrapped)  # the remainder of a tiny negative number is 2 pi itself
