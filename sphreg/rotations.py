"""Rotations as unit quaternions XYZW, in torch."""

import roma
import torch
from jaxtyping import Float
from torch import Tensor


def canonical(quaternions: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """The one of q and -q, the same rotation, that has w >= 0."""
    return torch.where(quaternions[..., 3:] < 0, -quaternions, quaternions)


def geodesic_angle(a: Float[Tensor, "*batch 4"], b: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch"]:
    """The angle of the rotation a^-1 b, that of R_a' R_b, in radians from 0 to pi.

    For unit quaternions it is 2 atan2(||(x, y, z)||, |w|) of a^-1 b. Unlike arccos(2 <a, b>^2 - 1) this keeps its
    accuracy near 0 and near pi. The first evaluation published with the paper divided the spectral norm of
    log(R_a' R_b) by sqrt(2), and gave every angle sqrt(2) too small.

    The zero quaternion is no rotation: with it the angle is NaN.
    """
    between = roma.quat_product(roma.quat_conjugation(a), b)
    angle = 2 * torch.atan2(between[..., :3].norm(dim=-1), between[..., 3].abs())
    return torch.where(between.any(dim=-1), angle, torch.nan)


def angle_between(a: Float[Tensor, "*batch dim"], b: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch"]:
    """The angle between unit vectors in radians from 0 to pi: 2 atan2(||a - b||, ||a + b||), accurate at both ends."""
    return 2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1))
