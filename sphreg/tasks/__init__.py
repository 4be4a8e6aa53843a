"""The tasks by name. A task's file is imported when it is built, so that no other one counts for it."""

import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphreg.config import Training
    from sphreg.tasks.base import Task

TASKS = {
    "rotation": "sphreg.tasks.rotation:Rotation",
    "viewpoint": "sphreg.tasks.viewpoint:Viewpoint",
    "normals": "sphreg.tasks.normals:Normals",
}


def build(name: str, settings: "Training") -> "Task":
    """The task `name`, with its settings.

    Raises:
        KeyError: there is no such task.
    """
    task: Task = pkgutil.resolve_name(TASKS[name])(settings)
    return task
