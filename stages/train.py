"""Stage `train`: one task with one head."""

import json
import os
import sys
from pathlib import Path

from sphreg.config import Params
from sphreg.errors import UserError
from sphreg.model import ModelConfig
from sphreg.samples import Samples
from sphreg.training import train
from stages import run


def main(params: Params, task: str, head: str, data: Path, out: Path) -> None:
    """Train the task TASK with the head HEAD on the packed dataset DATA; write weights, config and log to OUT."""
    info = json.loads((data / "info.json").read_text())
    categories = info["categories"]
    if untrained := [name for name in categories if not info["counts"]["train"][name]["views"]]:
        raise UserError(
            f"{data}: the test has the category {untrained[0]!r}, of which the training has no mesh; give it some, or "
            "leave the category out (meshes.categories)."
        )
    samples = Samples.read(data, "train", with_normals=task == "normals", categories=categories)
    config = ModelConfig.of(params, task, head, categories, info["render"]["size"])
    # DVC_ROOT is the repository's folder, also where an experiment runs in a copy of it.
    scratch = Path(os.environ.get("DVC_ROOT", ".")) / ".scratch" / "train"
    train(config, samples, out, params.train, scratch)


if __name__ == "__main__":
    sys.exit(run(main))
