"""The tasks by name."""

from sphreg.config import Train
from sphreg.tasks.base import Task
from sphreg.tasks.normals import Normals
from sphreg.tasks.rotation import Rotation
from sphreg.tasks.viewpoint import Viewpoint

TASKS: dict[str, type[Task]] = {"rotation": Rotation, "viewpoint": Viewpoint, "normals": Normals}


def build(name: str, settings: Train) -> Task:
    """The task `name` with its own section of the settings."""
    return TASKS[name](getattr(settings, name))
