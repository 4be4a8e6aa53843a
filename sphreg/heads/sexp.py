"""The spherical exponential: head III of the paper."""

from typing import Annotated, Literal

import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from sphreg.heads.base import Head, Settings
from sphreg.spheres import s_exp


class SExpSettings(Settings):
    """Which loss the absolute values have, and the weights of both losses."""

    absolute: Literal["cosine", "cross_entropy"]
    absolute_weight: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    sign_weight: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class SExp(Head):
    """S_exp gives the absolute values, a classification over the sphere's sign classes their signs."""

    Settings = SExpSettings
    settings: SExpSettings

    @property
    def parts(self) -> tuple[int, ...]:
        """Absolute values, then sign classes."""
        return (self.sphere.dim, self.sphere.classes)

    def loss(
        self, raw: Float[Tensor, "*batch raw"], target: Float[Tensor, "*batch dim"]
    ) -> dict[str, Float[Tensor, "*batch"]]:
        """1 - cos of the absolute values, or -sum_i y_i^2 log p_i^2; and the cross-entropy of the sign classes."""
        exponents, logits = raw.split(self.parts, dim=-1)
        if self.settings.absolute == "cosine":
            absolute = 1 - (s_exp(exponents) * target.abs()).sum(-1)
        else:  # p_i^2 = softmax(2 o)_i
            absolute = -(target.square() * F.log_softmax(2 * exponents, dim=-1)).sum(-1)
        signs = -F.log_softmax(logits, dim=-1).gather(-1, self.sphere.sign_class(target)[..., None])[..., 0]
        return {"absolute": self.settings.absolute_weight * absolute, "signs": self.settings.sign_weight * signs}

    def predict(self, raw: Float[Tensor, "*batch raw"]) -> Float[Tensor, "*batch dim"]:
        """S_exp of the first part, with the signs of the most probable class."""
        exponents, logits = raw.split(self.parts, dim=-1)
        return s_exp(exponents) * self.sphere.signs(logits.argmax(-1))
