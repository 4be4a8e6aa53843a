"""Flat regression: head II of the paper."""

from jaxtyping import Float
from torch import Tensor

from sphreg.heads.base import Head
from sphreg.spheres import s_flat


class Flat(Head):
    """The raw numbers are divided by their norm, in training too."""

    def loss(
        self, raw: Float[Tensor, "*batch dim"], target: Float[Tensor, "*batch dim"]
    ) -> dict[str, Float[Tensor, "*batch"]]:
        """1 - cos of the angle between prediction and target."""
        return {"cosine": 1 - (s_flat(raw) * target).sum(-1)}

    def predict(self, raw: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """raw / ||raw||."""
        return s_flat(raw)
