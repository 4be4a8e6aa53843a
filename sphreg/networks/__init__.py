"""Networks: a backbone, and the layers between it and the raw outputs of a head."""

from collections.abc import Sequence

from sphreg.networks.backbones import BACKBONES
from sphreg.networks.pixels import MirroredNetwork, PixelNetwork
from sphreg.networks.pose import PoseNetwork
from sphreg.tasks.base import Pose, Task


def build(task: Task, parts: Sequence[int], categories: int) -> PoseNetwork | PixelNetwork | MirroredNetwork:
    """The network of a task, with `parts` raw outputs per point (see `Head.parts`), in random weights.

    The backbone's weights are read where the settings name some.

    Raises:
        UserError: the weights are not to be had or belong to another backbone.
    """
    settings = task.settings
    backbone = BACKBONES[settings.backbone]
    weights = settings.weights, f"train.{type(task).__name__.lower()}.weights"
    if isinstance(task, Pose):
        layers = backbone.part([backbone.features[0]], *weights)
        return PoseNetwork(backbone, layers, parts, task.points, categories, task.settings)
    layers = backbone.part(backbone.maps, *weights)
    if settings.backbone in ("vgg16", "vgg16_bn"):
        return MirroredNetwork(backbone, layers, parts, settings)
    return PixelNetwork(backbone, layers, parts, settings)
