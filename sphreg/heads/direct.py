"""Direct regression: head I of the paper."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sphreg.heads.base import Head
from sphreg.spheres import s_flat


class Direct(Head):
    """The raw numbers are the coordinates; only the prediction is brought to unit length."""

    def loss(
        self, raw: Float[Tensor, "*batch dim"], target: Float[Tensor, "*batch dim"]
    ) -> dict[str, Float[Tensor, "*batch"]]:
        """Smooth L1, summed over the coordinates."""
        return {"smooth_l1": F.smooth_l1_loss(raw, target, reduction="none").sum(-1)}

    def predict(self, raw: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """raw / ||raw||."""
        return s_flat(raw)
