"""The tasks by name."""

from sphreg.tasks.base import Task
from sphreg.tasks.normals import Normals
from sphreg.tasks.rotation import Rotation
from sphreg.tasks.viewpoint import Viewpoint

TASKS: dict[str, type[Task]] = {"rotation": Rotation, "viewpoint": Viewpoint, "normals": Normals}
