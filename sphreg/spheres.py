"""The n-sphere that a point lives on, the two maps onto it, and its sign classes."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Sphere:
    """The unit sphere in `dim` dimensions.

    The signs of a point's components are a class of their own: bit k of it is set where the k-th component whose sign
    is not known is negative. Zero counts as positive.

    Attributes:
        dim: components of a point, n + 1 on S^n.
        positive: the component that is known to be at least 0, if there is one.
    """

    dim: int
    positive: int | None = None

    @property
    def free(self) -> tuple[int, ...]:
        """The components whose signs are not known."""
        return tuple(i for i in range(self.dim) if i != self.positive)

    @property
    def classes(self) -> int:
        """How many sign classes there are."""
        return 2 ** len(self.free)

    def sign_class(self, points: Float[Tensor, "*batch dim"]) -> Int64[Tensor, "*batch"]:
        """The class of each point, 0 to `classes` - 1."""
        negative = points < 0
        # By component: to reduce so short an axis takes 15 times as long, and an index of several is copied to the GPU.
        return torch.stack([negative[..., i] * (1 << bit) for bit, i in enumerate(self.free)]).sum(0)

    def signs(self, classes: Int64[Tensor, "*batch"]) -> Float[Tensor, "*batch dim"]:
        """The signs of each class, +1 or -1."""
        negative = classes[..., None] >> torch.arange(len(self.free), device=classes.device) & 1
        signs = torch.ones(*classes.shape, self.dim, device=classes.device)
        signs[..., self.free] -= 2 * negative
        return signs


def s_flat(raw: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
    """S_flat: raw / ||raw||. Zeros stay zeros, as they have no direction."""
    return F.normalize(raw, dim=-1)


def s_exp(raw: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
    """S_exp: exp(o_i) / sqrt(sum_k exp(2 o_k)), points with positive components (the paper's equation for S_exp).

    Its Jacobian depends on the point p alone: dp_i / do_j = p_i (delta_ij - p_j^2).
    """
    return (raw - torch.logsumexp(2 * raw, dim=-1, keepdim=True) / 2).exp()
