"""The contract of a head."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from sphreg.spheres import Sphere


class Settings(BaseModel):
    """A head's own settings; empty where it has none."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Head(ABC):
    """Turns raw network outputs into points on one sphere. It knows no task, no image, no category and no mask.

    The network gives `sum(parts)` raw numbers per point, one branch for each of `parts`. Losses are not reduced: the
    task masks and averages them. The minimiser of the summed losses over `raw` is what `predict` returns.
    """

    Settings: type[BaseModel] = Settings

    def __init__(self, sphere: Sphere, settings: BaseModel) -> None:
        self.sphere = sphere
        self.settings = settings

    @property
    def parts(self) -> tuple[int, ...]:
        """Raw numbers per branch."""
        return (self.sphere.dim,)

    @abstractmethod
    def loss(
        self, raw: Float[Tensor, "*batch raw"], target: Float[Tensor, "*batch dim"]
    ) -> dict[str, Float[Tensor, "*batch"]]:
        """The parts of the loss by name, each with its weight already in it, for targets of unit length."""

    @abstractmethod
    def predict(self, raw: Float[Tensor, "*batch raw"]) -> Float[Tensor, "*batch dim"]:
        """Points of unit length."""
