"""The layers before the raw outputs of a head."""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from sphreg.config import Training


class Branches(nn.Module):
    """A hidden layer and an output layer for each part of a head; the hidden layer may be one for all parts.

    Args:
        hidden: makes a hidden layer, without its ReLU.
        outputs: makes the output layer of a part.
        parts: raw outputs of each part.
        settings: whether the parts share the hidden layer, and its dropout.
        copies: how often there is all this, for points that have hidden layers of their own.
    """

    def __init__(
        self,
        hidden: Callable[[], nn.Module],
        outputs: Callable[[int], nn.Module],
        parts: Sequence[int],
        settings: Training,
        copies: int = 1,
    ):
        super().__init__()
        self.hidden = nn.ModuleList(hidden() for _ in range(copies * (1 if settings.share_hidden else len(parts))))
        self.outputs = nn.ModuleList(outputs(part) for _ in range(copies) for part in parts)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, features: Tensor) -> list[Tensor]:
        """The outputs of each part, of each copy."""
        hidden = [self.dropout(F.relu(layer(features))) for layer in self.hidden]
        sharing = len(self.outputs) // len(hidden)
        return [output(hidden[i // sharing]) for i, output in enumerate(self.outputs)]
